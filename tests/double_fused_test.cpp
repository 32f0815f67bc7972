// SPDX-License-Identifier: Apache-2.0
//
// Row norms of f64 with a residual before them, 1 + weight or ReLU behind, and of tensors: the bits of the separate
// steps, which double_test holds against the definitions.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/double_gate.hpp"
#include "support/doubles.hpp"
#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class double_fused_test : public isa_fixture {
 protected:
  void TearDown() override {
    simdnorm_stream_border_set(0);
    isa_fixture::TearDown();
  }
};
SIMDNORM_FOR_EACH_ISA(double_fused_test);

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

enum class place { own, x, residual, none };

struct call {
  double_norm norm = double_norm::layer;
  std::size_t rows = 3, cols = 1;
  double_given given = double_given::nothing;
  int bias = 0;  // 0: none, 1: doubles, 2: floats
  place y = place::own, sum = place::own;
  bool relu = false, unit_offset = false, keep = false;
  simdnorm_padding_kind padding = SIMDNORM_PADDING_NONE;
  std::size_t pitch = 0;
};

struct marked {
  std::vector<std::int32_t> lengths;
  std::vector<std::uint8_t> bytes;
  std::vector<char> real;
  simdnorm_padding c{};
  explicit marked(const call& k) {
    c.kind = k.padding;
    c.fill = k.keep ? SIMDNORM_FILL_KEEP : SIMDNORM_FILL_ZERO;
    const bool row = k.padding == SIMDNORM_PADDING_ROW_MASK, bits = k.padding == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
    bytes.resize(row ? k.rows : bits ? k.rows * ((k.cols + 7) / 8) : k.rows * k.cols);
    for (std::size_t i = 0; i < k.rows; ++i) {
      lengths.push_back(static_cast<std::int32_t>(k.cols * (i + 1) / k.rows));
      for (std::size_t j = 0; j < k.cols; ++j) {
        const bool element = (i * k.cols + j) % 5 != 2;
        real.push_back(k.padding == SIMDNORM_PADDING_NONE          ? true
                       : k.padding == SIMDNORM_PADDING_ROW_LENGTHS ? static_cast<std::int32_t>(j) < lengths[i]
                       : row                                       ? i != 1
                                                                   : element);
        if (!real.back()) continue;
        if (row) {
          bytes[i] = 1;
        } else if (bits) {
          std::uint8_t& b = bytes[i * ((k.cols + 7) / 8) + j / 8];
          b = static_cast<std::uint8_t>(b | 1u << (j % 8));
        } else {
          bytes[i * k.cols + j] = 1;
        }
      }
    }
    if (k.padding == SIMDNORM_PADDING_NONE) return;
    const bool by_length = k.padding == SIMDNORM_PADDING_ROW_LENGTHS;
    c.data = by_length ? static_cast<const void*>(lengths.data()) : bytes.data();
    c.size = by_length || row ? k.rows : k.rows * k.cols;
  }
};

struct given {
  double_rows p;
  std::vector<double> residual, bias;
  given(const call& k, std::uint64_t seed, double mean) : p(k.rows, k.cols, seed, mean) {
    generator g(seed + 1);
    for (std::size_t i = 0; i < k.rows * k.cols; ++i) residual.push_back(g.normal());
    for (std::size_t j = 0; j < k.cols; ++j) bias.push_back(static_cast<double>(static_cast<float>(g.normal())));
  }
};

struct outcome {
  simdnorm_status status = -1;
  std::vector<double> y, sum, mean, rstd;
  bool intact = false;
};
bool same(const outcome& a, const outcome& b) {
  return a.status == b.status && same_doubles(a.y, b.y) && same_doubles(a.sum, b.sum) && same_doubles(a.mean, b.mean) &&
         same_doubles(a.rstd, b.rstd);
}

outcome run(const call& k, const given& d, arena& memory, const simdnorm_executor* executor = nullptr) {
  memory.reset();
  const std::size_t pitch = k.cols + k.pitch, size = (k.rows - 1) * pitch + k.cols;
  const auto take = [&](const std::vector<double>* v) {
    auto* t = memory.take<double>(size);
    std::fill(t, t + size, double_unwritten);
    for (std::size_t i = 0; v && i < k.rows; ++i) std::copy_n(v->data() + i * k.cols, k.cols, t + i * pitch);
    return t;
  };
  const auto vector = [&](const std::vector<double>& v, bool wanted, bool floats) -> simdnorm_const_vector {
    if (!wanted) return {};
    if (floats) {
      auto* f = memory.take<float>(v.size());
      std::copy(v.begin(), v.end(), f);
      return {f, v.size(), SIMDNORM_F32};
    }
    auto* t = memory.take<double>(v.size());
    std::copy(v.begin(), v.end(), t);
    return {t, v.size(), SIMDNORM_F64};
  };
  double *x = take(&d.p.x), *residual = take(&d.residual);
  const auto at = [&](place p) { return p == place::x ? x : p == place::residual ? residual : take(nullptr); };
  double *sum = k.sum == place::none ? nullptr : at(k.sum), *y = at(k.y);
  auto *mean = memory.take<double>(k.rows), *rstd = memory.take<double>(k.rows);
  const auto step = static_cast<std::ptrdiff_t>(pitch);
  const simdnorm_const_matrix cx{x, k.rows, k.cols, step, SIMDNORM_F64},
      cr{residual, k.rows, k.cols, step, SIMDNORM_F64};
  const simdnorm_matrix cs{sum, k.rows, k.cols, step, SIMDNORM_F64}, cy{y, k.rows, k.cols, step, SIMDNORM_F64};
  const simdnorm_const_vector bias = vector(d.bias, k.bias != 0, k.bias == 2);
  const bool floats = k.given == double_given::floats, any = k.given != double_given::nothing;
  const simdnorm_const_vector gamma = vector(d.p.gamma, any, floats),
                              beta = vector(d.p.beta, any && k.norm == double_norm::layer, floats);
  const marked m(k);
  outcome out;
  if (k.norm == double_norm::layer) {
    simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
    o.gamma = gamma;
    o.beta = beta;
    o.mean = {mean, k.rows, SIMDNORM_F64};
    o.rstd = {rstd, k.rows, SIMDNORM_F64};
    o.padding = m.c;
    o.executor = executor;
    o.activation = k.relu ? SIMDNORM_ACTIVATION_RELU : SIMDNORM_ACTIVATION_NONE;
    out.status = simdnorm_add_layer_norm(&cx, &cr, bias, sum ? &cs : nullptr, &cy, &o);
    out.mean.assign(mean, mean + k.rows);
  } else {
    simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
    o.weight = gamma;
    o.rstd = {rstd, k.rows, SIMDNORM_F64};
    o.padding = m.c;
    o.executor = executor;
    o.activation = k.relu ? SIMDNORM_ACTIVATION_RELU : SIMDNORM_ACTIVATION_NONE;
    o.add_unit_offset = k.unit_offset;
    out.status = simdnorm_add_rms_norm(&cx, &cr, bias, sum ? &cs : nullptr, &cy, &o);
  }
  out.rstd.assign(rstd, rstd + k.rows);
  out.intact = memory.intact();
  for (std::size_t i = 0; i < k.rows; ++i) {
    out.y.insert(out.y.end(), y + i * pitch, y + i * pitch + k.cols);
    if (sum) out.sum.insert(out.sum.end(), sum + i * pitch, sum + i * pitch + k.cols);
    for (std::size_t j = k.cols; j < pitch && i + 1 < k.rows; ++j)
      for (const double* v : {x, residual, y}) out.intact &= bits_of(v[i * pitch + j]) == bits_of(double_unwritten);
  }
  return out;
}

// The separate steps.
outcome expected(const call& k, const given& d) {
  double_rows p = d.p;
  outcome out;
  const marked m(k);
  for (std::size_t i = 0; i < p.x.size(); ++i) {
    const double x = p.x[i], with = k.bias ? x + d.bias[i % k.cols] : x, h = with + d.residual[i];
    const auto before = [&](place at) {
      return at == place::x ? x : at == place::residual ? d.residual[i] : double_unwritten;
    };
    p.x[i] = m.real[i] ? h == h ? h : std::numeric_limits<double>::quiet_NaN() : nan;
    if (k.sum != place::none) out.sum.push_back(m.real[i] ? p.x[i] : k.keep ? before(k.sum) : 0.0);
  }
  double_how how;
  how.given = k.norm == double_norm::rms && k.given == double_given::doubles ? double_given::gamma_alone : k.given;
  how.padding = m.c;
  how.padding.fill = SIMDNORM_FILL_ZERO;
  if (k.unit_offset) how.given = double_given::nothing;
  const double_outputs norm = run(k.norm, p, how);
  out.status = norm.status;
  out.intact = true;
  out.y = norm.y;
  for (std::size_t i = 0; i < p.x.size(); ++i) {
    double& y = out.y[i];
    if (k.unit_offset && k.given != double_given::nothing) y = std::fma(y, p.gamma[i % k.cols], y);
    if (k.relu && y < 0) y = 0;
    if (!m.real[i] && k.keep)
      y = k.y == place::x ? d.p.x[i] : k.y == place::residual ? d.residual[i] : double_unwritten;
  }
  if (k.norm == double_norm::layer) out.mean = norm.mean;
  out.rstd = norm.rstd;
  return out;
}

std::vector<call> calls() {
  std::vector<call> all;
  std::size_t turn = 0;
  for (const double_norm n : {double_norm::layer, double_norm::rms})
    for (const std::size_t cols : {1, 5, 16, 63, 129, 300, 768})
      for (const auto& [y, sum] : {std::pair{place::own, place::own},
                                   {place::own, place::none},
                                   {place::own, place::residual},
                                   {place::own, place::x},
                                   {place::x, place::none},
                                   {place::residual, place::none},
                                   {place::x, place::own},
                                   {place::x, place::residual},
                                   {place::residual, place::x}})
        for (const simdnorm_padding_kind kind :
             {SIMDNORM_PADDING_NONE, SIMDNORM_PADDING_ROW_LENGTHS, SIMDNORM_PADDING_ROW_MASK,
              SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
          call k;
          k.norm = n;
          k.cols = cols;
          k.y = y;
          k.sum = sum;
          k.padding = kind;
          k.given = static_cast<double_given>(++turn % 3);
          k.bias = static_cast<int>(turn / 3 % 3);
          k.relu = turn / 9 % 2;
          k.unit_offset = n == double_norm::rms && turn / 2 % 2;
          k.keep = turn / 4 % 2;
          k.pitch = turn % 4;
          all.push_back(k);
        }
  return all;
}
std::string describe(const call& k) {
  return std::string(name_of(k.norm)) + " of " + std::to_string(k.cols) + ", y " + std::to_string(int(k.y)) + ", sum " +
         std::to_string(int(k.sum)) + ", padding " + std::to_string(k.padding) + ", given " +
         std::to_string(int(k.given)) + (k.relu ? ", relu" : "") + (k.unit_offset ? ", 1 + weight" : "");
}

TEST_P(double_fused_test, as_the_separate_steps) {
  thread_executor threads(3);
  guarded_arena start(guarded_arena::at_start), end(guarded_arena::at_end);
  std::uint64_t seed = 0;
  for (const call& k : calls()) {
    ++seed;
    given d(k, seed, seed % 3 == 0 ? 1e9 : 0.5);
    if (seed % 11 == 0) d.p.x[d.p.x.size() / 2] = nan;
    if (seed % 13 == 0) d.residual[0] = std::numeric_limits<double>::infinity();
    if (seed % 17 == 0) d.p.x.assign(d.p.x.size(), 3), d.residual.assign(d.residual.size(), 0.5);
    const outcome want = expected(k, d);
    ASSERT_EQ(want.status, SIMDNORM_OK);
    for (arena* memory : {static_cast<arena*>(&start), static_cast<arena*>(&end)}) {
      const outcome got = run(k, d, *memory);
      ASSERT_EQ(got.status, SIMDNORM_OK) << describe(k);
      ASSERT_TRUE(got.intact) << describe(k);
      for (std::size_t i = 0; i < want.y.size(); ++i)
        ASSERT_EQ(bits_of(got.y[i]), bits_of(want.y[i])) << describe(k) << " [" << i << "]";
      ASSERT_TRUE(same_doubles(got.sum, want.sum)) << describe(k);
      ASSERT_TRUE(same(got, want)) << describe(k);
    }
    simdnorm_stream_border_set(1);
    ASSERT_TRUE(same(run(k, d, end, &threads.c), want)) << describe(k);
    simdnorm_stream_border_set(0);
    given garbage = d;
    const marked m(k);
    if (k.keep) continue;
    for (std::size_t i = 0; i < m.real.size(); ++i) {
      if (!m.real[i]) garbage.p.x[i] = garbage.residual[i] = nan;
    }
    ASSERT_TRUE(same(run(k, garbage, start), want)) << describe(k);
  }
  call large;
  large.rows = 64;
  large.cols = 4000;
  const given d(large, 9, 1);
  offset_arena memory;
  ASSERT_TRUE(same(run(large, d, memory, &threads.c), expected(large, d)));
  ASSERT_GT(threads.tasks.load(), 0u);
}

// 1 + weight is not rounded before it is used.
TEST_P(double_fused_test, unit_offset_meets_the_gate) {
  double_gate gate("rms_norm with 1 + weight");
  for (const std::size_t cols : {3, 17, 129, 600}) {
    for (const hostile_doubles& row : hostile_rows_f64(cols)) {
      generator g(cols);
      std::vector<double> weight(cols), y(cols);
      for (double& v : weight) v = 1e-3 * g.normal();
      const auto step = static_cast<std::ptrdiff_t>(cols);
      const simdnorm_const_matrix cx{row.x.data(), 1, cols, step, SIMDNORM_F64};
      const simdnorm_matrix cy{y.data(), 1, cols, step, SIMDNORM_F64};
      simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
      o.epsilon = row.epsilon;
      o.weight = {weight.data(), cols, SIMDNORM_F64};
      o.add_unit_offset = 1;
      ASSERT_EQ(simdnorm_rms_norm(&cx, &cy, &o), SIMDNORM_OK);
      const wide rstd = oracle_rstd(oracle_moments(row.x.data(), cols).mean_square, row.epsilon);
      for (std::size_t j = 0; j < cols; ++j) {
        const wide xhat = static_cast<wide>(row.x[j]) * rstd, exact = xhat * (1 + static_cast<wide>(weight[j]));
        gate.judge(y[j], exact, static_cast<wide>(std::fabs(1 + weight[j])) * gate.unit_of(xhat),
                   static_cast<wide>(ulp_f64(exact)) / 2, row.name, j);
      }
    }
  }
  gate.report();
}

// q of a packed [batch, tokens, 3, heads, features] buffer, into one of its own and in place: the bits of its rows.
TEST_P(double_fused_test, tensors_are_their_rows) {
  constexpr std::size_t batch = 2, tokens = 5, heads = 3, rows = batch * tokens * heads;
  thread_executor threads(3);
  for (const double_norm n : double_norms)
    for (const std::size_t cols : {1, 7, 64, 100})
      for (int kind = 0; kind < 5; ++kind)
        for (const bool in_place : {false, true}) {
          double_rows p(rows, cols, cols, kind == 2 ? 1e9 : 1);
          std::vector<std::uint8_t> mask(kind == 3 ? rows * cols : batch * tokens);
          for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 4 != 1;
          const std::vector<std::int32_t> lengths = {4, 2};
          std::vector<std::int32_t> row_lengths(rows);
          for (std::size_t i = 0; i < rows; ++i) row_lengths[i] = static_cast<std::int32_t>(cols * (i % 4) / 3);
          simdnorm_padding tensor{}, matrix{};
          std::vector<std::uint8_t> of_rows(rows);
          for (std::size_t i = 0; i < rows; ++i) {
            const std::size_t token = i / heads;
            of_rows[i] = kind == 1 ? mask[token] : static_cast<std::int32_t>(token % tokens) < lengths[token / tokens];
          }
          if (kind == 1) tensor = {mask.data(), batch * tokens, 0, SIMDNORM_PADDING_ROW_MASK, 0, 0};
          if (kind == 2) tensor = {lengths.data(), batch, tokens, SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_I32, 0};
          if (kind == 1 || kind == 2) matrix = {of_rows.data(), rows, 0, SIMDNORM_PADDING_ROW_MASK, 0, 0};
          if (kind == 3) tensor = matrix = {mask.data(), rows * cols, 0, SIMDNORM_PADDING_ELEMENT_MASK, 0, 0};
          if (kind == 4) tensor = matrix = {row_lengths.data(), rows, 0, SIMDNORM_PADDING_ROW_LENGTHS, SIMDNORM_I32, 0};
          double_how how;
          how.given = double_given::doubles;
          how.padding = matrix;
          const double_outputs want = run(n, p, how);
          const std::size_t row = cols, token = 3 * heads * cols, sample = tokens * token;
          std::vector<double> buffer(batch * sample, double_unwritten), own = buffer, mean(rows), rstd(rows);
          const auto at = [&](std::size_t i) {
            return i / heads / tokens * sample + i / heads % tokens * token + i % heads * row;
          };
          for (std::size_t i = 0; i < rows; ++i) std::copy_n(p.x.data() + i * cols, cols, buffer.data() + at(i));
          double* const y = in_place ? buffer.data() : own.data();
          const auto signed_of = [](std::size_t v) { return static_cast<std::ptrdiff_t>(v); };
          const simdnorm_const_tensor cx{buffer.data(),
                                         {batch, tokens, heads, cols},
                                         {signed_of(sample), signed_of(token), signed_of(row), 1},
                                         4,
                                         SIMDNORM_F64};
          simdnorm_tensor cy{y, {}, {}, 4, SIMDNORM_F64};
          std::copy_n(cx.sizes, 4, cy.sizes);
          std::copy_n(cx.strides, 4, cy.strides);
          const simdnorm_const_vector gamma{p.gamma.data(), cols, SIMDNORM_F64},
              beta{p.beta.data(), cols, SIMDNORM_F64};
          const simdnorm_vector means{mean.data(), rows, SIMDNORM_F64}, scales{rstd.data(), rows, SIMDNORM_F64};
          simdnorm_status s;
          if (n == double_norm::layer) {
            simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
            o.epsilon = p.epsilon;
            o.gamma = gamma;
            o.beta = beta;
            o.mean = means;
            o.rstd = scales;
            o.padding = tensor;
            o.executor = &threads.c;
            s = simdnorm_layer_norm_nd(&cx, &cy, &o);
          } else if (n == double_norm::rms) {
            simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
            o.epsilon = p.epsilon;
            o.weight = gamma;
            o.rstd = scales;
            o.padding = tensor;
            s = simdnorm_rms_norm_nd(&cx, &cy, &o);
          } else {
            simdnorm_l2_norm_options o = simdnorm_l2_norm_defaults();
            o.epsilon = p.epsilon;
            o.norm = scales;
            o.padding = tensor;
            s = simdnorm_l2_norm_nd(&cx, &cy, &o);
          }
          ASSERT_EQ(s, SIMDNORM_OK);
          std::vector<double> got, rest(y, y + batch * sample);
          for (std::size_t i = 0; i < rows; ++i) {
            got.insert(got.end(), y + at(i), y + at(i) + cols);
            std::fill_n(rest.begin() + signed_of(at(i)), cols, double_unwritten);
          }
          ASSERT_TRUE(same_doubles(got, want.y)) << name_of(n) << " " << cols << " " << kind;
          ASSERT_TRUE(same_doubles(rstd, want.rstd));
          if (n == double_norm::layer) {
            ASSERT_TRUE(same_doubles(mean, want.mean));
          }
          for (const double v : rest) ASSERT_EQ(bits_of(v), bits_of(double_unwritten));
        }
}

TEST_P(double_fused_test, a_bad_argument_is_a_status) {
  double x[12] = {}, r[12] = {}, y[12], sum[12], v[4] = {};
  std::fill(std::begin(y), std::end(y), double_unwritten);
  std::fill(std::begin(sum), std::end(sum), double_unwritten);
  struct arguments {
    simdnorm_const_matrix x, residual;
    simdnorm_const_vector bias;
    simdnorm_matrix sum, y;
    simdnorm_rms_norm_options o;
  };
  const arguments good{{x, 3, 4, 4, SIMDNORM_F64},   {r, 3, 4, 4, SIMDNORM_F64}, {},
                       {sum, 3, 4, 4, SIMDNORM_F64}, {y, 3, 4, 4, SIMDNORM_F64}, simdnorm_rms_norm_defaults()};
  const auto bad = [&](simdnorm_status expected, auto&& change) {
    arguments a = good;
    change(a);
    EXPECT_EQ(simdnorm_add_rms_norm(&a.x, &a.residual, a.bias, &a.sum, &a.y, &a.o), expected);
  };
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.residual.type = SIMDNORM_F32; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.sum.type = SIMDNORM_F32; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.x.type = SIMDNORM_F32; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [&](arguments& a) { a.bias = {v, 4, SIMDNORM_F16}; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.o.activation = SIMDNORM_ACTIVATION_GELU; });
  bad(SIMDNORM_INVALID_ACTIVATION, [](arguments& a) { a.o.activation = 77; });
  bad(SIMDNORM_INVALID_OPTION, [](arguments& a) { a.o.rounding = 7; });
  bad(SIMDNORM_INVALID_SHAPE, [](arguments& a) { a.residual.rows = 2; });
  bad(SIMDNORM_INVALID_SHAPE, [&](arguments& a) { a.bias = {v, 3, SIMDNORM_F64}; });
  bad(SIMDNORM_NULL_POINTER, [](arguments& a) { a.residual.data = nullptr; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.sum.data = y; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.residual.data = y + 1; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.bias = {y, 4, SIMDNORM_F64}; });
  EXPECT_EQ(simdnorm_gated_rms_norm(&good.x, &good.residual, &good.y, nullptr), SIMDNORM_UNSUPPORTED_TYPE);
  EXPECT_EQ(simdnorm_add_rms_norm(nullptr, &good.residual, {}, nullptr, &good.y, nullptr), SIMDNORM_NULL_POINTER);
  const simdnorm_const_tensor in{x, {3, 4}, {4, 1}, 2, SIMDNORM_F64};
  simdnorm_tensor out{y, {3, 4}, {4, 1}, 2, SIMDNORM_F32};
  EXPECT_EQ(simdnorm_l2_norm_nd(&in, &out, nullptr), SIMDNORM_UNSUPPORTED_TYPE);
  out.type = SIMDNORM_F64;
  out.strides[0] = 3;
  EXPECT_EQ(simdnorm_l2_norm_nd(&in, &out, nullptr), SIMDNORM_INVALID_STRIDE);
  out.strides[0] = 4;
  out.data = x + 1;
  EXPECT_EQ(simdnorm_l2_norm_nd(&in, &out, nullptr), SIMDNORM_OVERLAP);
  for (const double* p : {y, sum})
    for (int k = 0; k < 12; ++k) EXPECT_EQ(bits_of(p[k]), bits_of(double_unwritten));
}

}  // namespace
}  // namespace simdnorm::test

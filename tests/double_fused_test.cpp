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

class double_fused_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(double_fused_test);

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

enum class place { own, x, residual, none };

struct call {
  double_norm norm = double_norm::layer;
  std::size_t rows = 3, cols = 1;
  double_given given = double_given::nothing;
  int bias = 0;  // 0: none, 1: doubles, 2: floats
  place y = place::own, sum = place::own;
  simdnorm_activation function = SIMDNORM_ACTIVATION_NONE;
  bool unit_offset = false, keep = false;
  simdnorm_padding_kind padding = SIMDNORM_PADDING_NONE;
  std::size_t pitch = 0;
};

mask mask_of(const call& k) {
  mask m;
  m.kind = k.padding;
  m.fill = k.keep ? SIMDNORM_FILL_KEEP : SIMDNORM_FILL_ZERO;
  m.cols = k.cols;
  for (std::size_t i = 0; i < k.rows; ++i) {
    m.lengths.push_back(static_cast<std::int64_t>(k.cols * (i + 1) / k.rows));
    m.rows.push_back(i != 1);
    for (std::size_t j = 0; j < k.cols; ++j) m.elements.push_back((i * k.cols + j) % 5 != 2);
  }
  return m;
}

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

double_how how_of(const call& k) {
  double_how h;
  h.given = k.given;
  h.pad = mask_of(k);
  h.function = k.function;
  h.unit_offset = k.unit_offset;
  return h;
}

outcome run(const call& k, const given& d, arena& memory, const simdnorm_executor* executor = nullptr) {
  memory.reset();
  const auto take = [&](const std::vector<double>* v) { return double_matrix(memory, k.rows, k.cols, k.pitch, v); };
  const double_matrix x = take(&d.p.x), residual = take(&d.residual);
  const auto at = [&](place p) { return p == place::x ? x : p == place::residual ? residual : take(nullptr); };
  const double_matrix sum = at(k.sum), y = at(k.y);
  const simdnorm_matrix cs = sum.out();
  const simdnorm_const_vector bias = k.bias == 0 ? simdnorm_const_vector{} : placed{memory}.in(d.bias, k.bias == 2);
  double_how h = how_of(k);
  h.executor = executor;
  const double_call norm(k.norm, d.p, h, memory);
  outcome out;
  out.status = norm.add(x.in(), residual.in(), bias, k.sum == place::none ? nullptr : &cs, y.out());
  out.intact = memory.intact() && x.intact() && residual.intact() && y.intact();
  out.y = y.elements();
  if (k.sum != place::none) out.sum = sum.elements();
  if (k.norm == double_norm::layer) append(out.mean, norm.mean);
  append(out.rstd, norm.rstd);
  return out;
}

// The separate steps.
outcome expected(const call& k, const given& d) {
  double_rows p = d.p;
  outcome out;
  double_how h = how_of(k);
  const mask m = h.pad;
  const auto real = [&](std::size_t i) { return m.real(i / k.cols, i % k.cols); };
  const auto before = [&](place at, std::size_t i) {
    return at == place::x ? d.p.x[i] : at == place::residual ? d.residual[i] : double_unwritten;
  };
  for (std::size_t i = 0; i < p.x.size(); ++i) {
    const double x = p.x[i], with = k.bias ? x + d.bias[i % k.cols] : x, sum = with + d.residual[i];
    p.x[i] = real(i) && sum == sum ? sum : nan;
    if (k.sum != place::none) out.sum.push_back(real(i) ? p.x[i] : k.keep ? before(k.sum, i) : 0.0);
  }
  h.pad.fill = SIMDNORM_FILL_ZERO;
  h.function = SIMDNORM_ACTIVATION_NONE;
  h.unit_offset = false;
  if (k.unit_offset) h.given = double_given::nothing;
  const double_outputs norm = run(k.norm, p, h);
  out.status = norm.status;
  out.intact = true;
  out.y = norm.y;
  for (std::size_t i = 0; i < p.x.size(); ++i) {
    double& y = out.y[i];
    if (k.unit_offset && k.given != double_given::nothing) y = std::fma(y, p.gamma[i % k.cols], y);
  }
  out.y = activated(k.function, out.y);
  for (std::size_t i = 0; i < p.x.size(); ++i) {
    if (!real(i)) out.y[i] = k.keep ? before(k.y, i) : 0.0;
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
          k.function = static_cast<simdnorm_activation>(turn / 9 % 5);
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
         std::to_string(int(k.given)) + ", activation " + std::to_string(k.function) +
         (k.unit_offset ? ", 1 + weight" : "");
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
    const mask m = mask_of(k);
    if (k.keep) continue;
    for (std::size_t i = 0; i < d.residual.size(); ++i) {
      if (!m.real(i / k.cols, i % k.cols)) garbage.p.x[i] = garbage.residual[i] = nan;
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

// function(norm(x)) * silu(gate): the bits of the separate steps, y in place of x or of the gate, too.
TEST_P(double_fused_test, gated_as_the_separate_steps) {
  guarded_arena start(guarded_arena::at_start), end(guarded_arena::at_end);
  thread_executor threads(3);
  std::size_t turn = 0;
  for (const std::size_t cols : {1, 5, 16, 129, 300, 768})
    for (const simdnorm_padding_kind kind : {SIMDNORM_PADDING_NONE, SIMDNORM_PADDING_ROW_LENGTHS,
                                             SIMDNORM_PADDING_ROW_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS})
      for (const place where : {place::own, place::x, place::residual}) {
        ++turn;
        call k;
        k.norm = double_norm::rms;
        k.cols = cols;
        k.padding = kind;
        k.given = static_cast<double_given>(turn % 3);
        k.function = static_cast<simdnorm_activation>(turn / 2 % 5);
        k.unit_offset = turn % 4 == 1;
        k.keep = turn % 3 == 0;
        given d(k, turn, 0.5);
        if (turn % 5 == 0) d.residual[d.residual.size() / 2] = nan;  // the gate
        if (turn % 7 == 0) d.p.x[0] = nan;
        if (turn % 11 == 0) d.p.x.assign(d.p.x.size(), 0);
        if (turn % 13 == 0) std::fill_n(d.p.x.begin(), cols, std::numeric_limits<double>::infinity());
        const mask m = mask_of(k);
        double_how h = how_of(k);
        h.pad.fill = SIMDNORM_FILL_ZERO;
        std::vector<double> want = run(k.norm, d.p, h).y;
        const std::vector<double> factor = activated(SIMDNORM_ACTIVATION_SILU, d.residual);
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double v = want[i] * factor[i];
          want[i] = v == v ? v : nan;
          if (m.real(i / cols, i % cols)) continue;
          want[i] = !k.keep                    ? 0.0
                    : where == place::x        ? d.p.x[i]
                    : where == place::residual ? d.residual[i]
                                               : double_unwritten;
        }
        for (arena* memory : {static_cast<arena*>(&start), static_cast<arena*>(&end)}) {
          memory->reset();
          const double_matrix x(*memory, k.rows, cols, turn % 4, &d.p.x), gate(*memory, k.rows, cols, 3, &d.residual);
          const double_matrix y = where == place::x          ? x
                                  : where == place::residual ? gate
                                                             : double_matrix(*memory, k.rows, cols, 1);
          h = how_of(k);
          if (turn % 2 == 0) h.executor = &threads.c;
          const double_call norm(k.norm, d.p, h, *memory);
          const simdnorm_const_matrix cx = x.in(), cz = gate.in();
          const simdnorm_matrix cy = y.out();
          ASSERT_EQ(simdnorm_gated_rms_norm(&cx, &cz, &cy, &norm.rms), SIMDNORM_OK);
          ASSERT_TRUE(memory->intact() && x.intact() && y.intact() && gate.intact());
          const std::vector<double> got = y.elements();
          for (std::size_t i = 0; i < want.size(); ++i)
            ASSERT_EQ(bits_of(got[i]), bits_of(want[i])) << describe(k) << " [" << i << "], turn " << turn;
        }
      }
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
          // Of the tensor, and of the matrix of its rows.
          mask tensor, matrix;
          tensor.cols = cols;
          tensor.tokens = tokens;
          for (std::size_t i = 0; i < batch * tokens; ++i) tensor.rows.push_back(i % 4 != 1);
          for (std::size_t i = 0; i < rows * cols; ++i) tensor.elements.push_back(i % 4 != 1);
          if (kind == 2) tensor.lengths = {4, 2};
          for (std::size_t i = 0; i < rows && kind == 4; ++i)
            tensor.lengths.push_back(static_cast<std::int64_t>(cols * (i % 4) / 3));
          constexpr simdnorm_padding_kind kinds[] = {SIMDNORM_PADDING_NONE, SIMDNORM_PADDING_ROW_MASK,
                                                     SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_PADDING_ELEMENT_MASK,
                                                     SIMDNORM_PADDING_ROW_LENGTHS};
          tensor.kind = kinds[kind];
          matrix = tensor;
          if (kind == 1 || kind == 2) {
            matrix.kind = SIMDNORM_PADDING_ROW_MASK;
            matrix.rows.clear();
            for (std::size_t i = 0; i < rows; ++i) matrix.rows.push_back(tensor.real(i / heads, 0));
          }
          double_how how;
          how.given = double_given::doubles;
          how.function = static_cast<simdnorm_activation>((cols + static_cast<std::size_t>(kind)) % 5);
          how.pad = matrix;
          const double_outputs want = run(n, p, how);
          const std::size_t row = cols, token = 3 * heads * cols, sample = tokens * token;
          std::vector<double> buffer(batch * sample, double_unwritten), own = buffer;
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
          offset_arena memory;
          how.pad = tensor;
          how.executor = &threads.c;
          const double_call norm(n, p, how, memory);
          ASSERT_EQ(norm.run(cx, cy), SIMDNORM_OK);
          std::vector<double> got, rest(y, y + batch * sample);
          for (std::size_t i = 0; i < rows; ++i) {
            got.insert(got.end(), y + at(i), y + at(i) + cols);
            std::fill_n(rest.begin() + signed_of(at(i)), cols, double_unwritten);
          }
          ASSERT_TRUE(same_doubles(got, want.y)) << name_of(n) << " " << cols << " " << kind;
          std::vector<double> mean, rstd;
          append(mean, norm.mean);
          append(rstd, norm.rstd);
          ASSERT_TRUE(same_doubles(mean, want.mean) && same_doubles(rstd, want.rstd));
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
  bad(SIMDNORM_INVALID_ACTIVATION, [](arguments& a) { a.o.activation = 77; });
  bad(SIMDNORM_INVALID_OPTION, [](arguments& a) { a.o.rounding = 7; });
  bad(SIMDNORM_INVALID_SHAPE, [](arguments& a) { a.residual.rows = 2; });
  bad(SIMDNORM_INVALID_SHAPE, [&](arguments& a) { a.bias = {v, 3, SIMDNORM_F64}; });
  bad(SIMDNORM_NULL_POINTER, [](arguments& a) { a.residual.data = nullptr; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.sum.data = y; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.residual.data = y + 1; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.bias = {y, 4, SIMDNORM_F64}; });
  simdnorm_const_matrix gate = good.residual;
  gate.type = SIMDNORM_F32;
  EXPECT_EQ(simdnorm_gated_rms_norm(&good.x, &gate, &good.y, nullptr), SIMDNORM_UNSUPPORTED_TYPE);
  gate = good.residual;
  gate.data = y + 1;
  EXPECT_EQ(simdnorm_gated_rms_norm(&good.x, &gate, &good.y, nullptr), SIMDNORM_OVERLAP);
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

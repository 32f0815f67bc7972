// SPDX-License-Identifier: Apache-2.0
//
// Row norms of bf16 and f16: the float that the same arithmetic gives for the same values, rounded once to
// nearest even; against the definition in binary128, too.

#include "support/half.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "support/arena.hpp"
#include "support/data.hpp"
#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class half_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(half_test);

enum class norm { layer, rms };
enum class given { nothing, floats, halves, gamma_alone, beta_alone };

struct rows_of_halves {
  const half_format& f;
  std::size_t rows, cols;
  std::vector<std::uint16_t> x, gamma, beta;

  rows_of_halves(const half_format& format, std::size_t r, std::size_t c, std::uint64_t seed, double mean = 0)
      : f(format), rows(r), cols(c) {
    generator g(seed);
    for (std::size_t i = 0; i < rows * cols; ++i) x.push_back(f.rounded(mean + g.normal()));
    for (std::size_t j = 0; j < cols; ++j) {
      gamma.push_back(f.rounded(1 + 0.25 * g.normal()));
      beta.push_back(f.rounded(g.normal()));
    }
  }
  [[nodiscard]] std::vector<float> floats(const std::vector<std::uint16_t>& v) const {
    std::vector<float> all;
    for (const std::uint16_t h : v) all.push_back(static_cast<float>(f.value(h)));
    return all;
  }
};

struct outputs {
  simdnorm_status status;
  std::vector<std::uint16_t> y;
  std::vector<float> mean, rstd;
};

struct how {
  given parameters = given::floats;
  bool in_place = false;
  std::size_t pitch = 0;  // columns beyond the row
  const std::vector<std::int32_t>* lengths = nullptr;
  const simdnorm_executor* executor = nullptr;
  simdnorm_padding_fill fill = SIMDNORM_FILL_ZERO;
};

// A norm of halves, or, `widened`, the same of the floats that they are, its outputs rounded here.
outputs run(norm n, const rows_of_halves& p, const how& h, bool widened, arena& memory) {
  const std::size_t pitch = p.cols + h.pitch;
  const std::size_t size = (p.rows - 1) * pitch + p.cols;
  const simdnorm_type type = widened ? SIMDNORM_F32 : p.f.type;
  void* x = nullptr;
  void* y = nullptr;
  if (widened) {
    auto* floats = memory.take<float>(size);
    for (std::size_t i = 0; i < p.rows; ++i)
      for (std::size_t j = 0; j < p.cols; ++j)
        floats[i * pitch + j] = static_cast<float>(p.f.value(p.x[i * p.cols + j]));
    x = floats;
    if (!h.in_place) {  // what padding that is kept holds
      y = memory.take<float>(size);
      std::fill_n(static_cast<float*>(y), size, 1.5f);
    }
  } else {
    auto* halves = memory.take<std::uint16_t>(size);
    for (std::size_t i = 0; i < p.rows; ++i) std::memcpy(halves + i * pitch, p.x.data() + i * p.cols, p.cols * 2);
    x = halves;
    if (!h.in_place) {
      y = memory.take<std::uint16_t>(size);
      std::fill_n(static_cast<std::uint16_t*>(y), size, p.f.rounded(1.5));
    }
  }
  if (h.in_place) y = x;
  const auto vector = [&](const std::vector<std::uint16_t>& v, bool there) -> simdnorm_const_vector {
    if (!there) return {};
    if (h.parameters == given::halves && !widened) {
      auto* to = memory.take<std::uint16_t>(p.cols);
      std::memcpy(to, v.data(), p.cols * 2);
      return {to, p.cols, p.f.type};
    }
    auto* to = memory.take<float>(p.cols);
    for (std::size_t j = 0; j < p.cols; ++j) to[j] = static_cast<float>(p.f.value(v[j]));
    return {to, p.cols, SIMDNORM_F32};
  };
  const bool gamma = h.parameters != given::nothing && h.parameters != given::beta_alone;
  const bool beta = h.parameters != given::nothing && h.parameters != given::gamma_alone;
  outputs out{0, {}, std::vector<float>(p.rows), std::vector<float>(p.rows)};
  simdnorm_padding padding{};
  if (h.lengths) {
    padding.kind = SIMDNORM_PADDING_ROW_LENGTHS;
    padding.data = h.lengths->data();
    padding.size = h.lengths->size();
    padding.fill = h.fill;
  }
  const auto stride = static_cast<std::ptrdiff_t>(pitch);
  const simdnorm_const_matrix cx{x, p.rows, p.cols, stride, type};
  const simdnorm_matrix cy{y, p.rows, p.cols, stride, type};
  const simdnorm_vector mean{out.mean.data(), p.rows, SIMDNORM_F32}, rstd{out.rstd.data(), p.rows, SIMDNORM_F32};
  if (n == norm::layer) {
    simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
    o.gamma = vector(p.gamma, gamma);
    o.beta = vector(p.beta, beta);
    o.mean = mean;
    o.rstd = rstd;
    o.padding = padding;
    o.executor = h.executor;
    out.status = simdnorm_layer_norm(&cx, &cy, &o);
  } else {
    simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
    o.weight = vector(p.gamma, gamma);
    o.rstd = rstd;
    o.padding = padding;
    o.executor = h.executor;
    out.status = simdnorm_rms_norm(&cx, &cy, &o);
  }
  for (std::size_t i = 0; i < p.rows; ++i)
    for (std::size_t j = 0; j < p.cols; ++j) {
      const std::size_t at = i * pitch + j;
      out.y.push_back(widened ? p.f.rounded(static_cast<double>(static_cast<const float*>(y)[at]))
                              : static_cast<const std::uint16_t*>(y)[at]);
    }
  EXPECT_TRUE(memory.intact());
  return out;
}

std::string difference(const outputs& a, const outputs& b) {
  if (a.status != SIMDNORM_OK || b.status != SIMDNORM_OK) return simdnorm_status_string(a.status ? a.status : b.status);
  for (std::size_t k = 0; k < a.y.size(); ++k)
    if (a.y[k] != b.y[k])
      return "y[" + std::to_string(k) + "]: " + std::to_string(a.y[k]) + ", not " + std::to_string(b.y[k]);
  for (std::size_t i = 0; i < a.mean.size(); ++i)
    if (bits_of(a.mean[i]) != bits_of(b.mean[i]) || bits_of(a.rstd[i]) != bits_of(b.rstd[i]))
      return "statistics of row " + std::to_string(i);
  return "";
}

constexpr given all_given[] = {given::nothing, given::floats, given::halves, given::gamma_alone, given::beta_alone};

// Both sides of every border between loops, of a register and of what parameters are converted in.
TEST_P(half_test, the_rounded_float_in_every_regime) {
  std::vector<std::size_t> columns;
  for (std::size_t cols = 1; cols <= 36; ++cols) columns.push_back(cols);
  for (const std::size_t cols :
       {63, 64, 65, 127, 128, 129, 256, 257, 333, 768, 1024, 1536, 1537, 4095, 4096, 4097, 9000})
    columns.push_back(cols);
  for (const half_format& f : half_formats)
    for (const norm n : {norm::layer, norm::rms})
      for (const std::size_t cols : columns)
        for (const std::size_t rows : {1, 2, 19, 140}) {
          // Of few columns more than one tile of f32.
          if (rows == 140 ? cols > 17 : rows * cols > 40000) continue;
          const rows_of_halves p(f, rows, cols, cols + rows, static_cast<double>(cols % 3));
          for (const given parameters : all_given) {
            how h;
            h.parameters = parameters;
            offset_arena memory(0, std::size_t{1} << 18);
            const outputs expected = run(n, p, h, true, memory);
            for (const std::size_t border : {std::size_t{1}, SIZE_MAX}) {
              simdnorm_stream_border_set(border);
              for (const bool in_place : {false, true})
                for (const std::size_t pitch : {std::size_t{0}, std::size_t{3}}) {
                  h.in_place = in_place;
                  h.pitch = pitch;
                  ASSERT_EQ(difference(run(n, p, h, false, memory), expected), "")
                      << f.name << " " << rows << "x" << cols << " parameters " << static_cast<int>(parameters)
                      << " border " << border << " in place " << in_place << " pitch " << pitch;
                  memory.reset();
                }
            }
          }
        }
}

TEST_P(half_test, at_any_alignment_and_between_guard_pages) {
  for (const half_format& f : half_formats)
    for (const norm n : {norm::layer, norm::rms})
      for (const std::size_t cols : {1, 5, 16, 31, 48, 129, 640, 2000}) {
        const rows_of_halves p(f, cols <= 16 ? 35 : 5, cols, cols);
        how h;
        h.parameters = given::halves;
        offset_arena plain;
        const outputs expected = run(n, p, h, true, plain);
        for (std::size_t offset = 0; offset < 32; offset += 3) {
          offset_arena memory(offset);
          ASSERT_EQ(difference(run(n, p, h, false, memory), expected), "") << offset;
        }
        for (const auto side : {guarded_arena::at_start, guarded_arena::at_end})
          for (const std::size_t pitch : {std::size_t{0}, std::size_t{7}}) {
            h.pitch = pitch;
            guarded_arena memory(side);
            ASSERT_EQ(difference(run(n, p, h, false, memory), expected), "") << f.name << " " << cols;
          }
      }
}

TEST_P(half_test, padding_and_threads) {
  for (const half_format& f : half_formats)
    for (const norm n : {norm::layer, norm::rms}) {
      rows_of_halves p(f, 64, 900, 3);
      std::vector<std::int32_t> lengths;
      generator g(9);
      for (std::size_t i = 0; i < p.rows; ++i) {
        lengths.push_back(static_cast<std::int32_t>(g.between(0, p.cols)));
        for (std::size_t j = static_cast<std::size_t>(lengths[i]); j < p.cols; ++j) p.x[i * p.cols + j] = f.nan();
      }
      how h;
      h.parameters = given::halves;
      h.lengths = &lengths;
      offset_arena memory(0, std::size_t{1} << 20);
      const outputs expected = run(n, p, h, true, memory);
      for (const std::uint16_t y : expected.y) ASSERT_LE(y & 0x7fffu, f.infinity());
      ASSERT_EQ(difference(run(n, p, h, false, memory), expected), "") << f.name;
      shuffle_executor threads(3);
      h.executor = &threads.c;
      ASSERT_EQ(difference(run(n, p, h, false, memory), expected), "") << f.name;

      const rows_of_halves few_columns(f, 6000, 13, 4);
      h.lengths = nullptr;
      const outputs of_floats = run(n, few_columns, h, true, memory);
      const std::size_t runs = threads.runs;
      ASSERT_EQ(difference(run(n, few_columns, h, false, memory), of_floats), "") << f.name;
      ASSERT_GT(threads.runs, runs);
    }
}

// Lengths on both sides of every border, beside each other; what is padded is NaN.
TEST_P(half_test, row_lengths_in_every_regime) {
  constexpr std::size_t rows = 37;
  for (const half_format& f : half_formats)
    for (const norm n : {norm::layer, norm::rms})
      for (const std::size_t cols : {20, 64, 96, 128, 320, 768, 900, 1536, 2100}) {
        rows_of_halves p(f, rows, cols, cols);
        generator g(cols);
        std::vector<std::int32_t> lengths;
        const std::size_t some[] = {0, 1, 15, 16, 17, 31, 32, 33, 64, 100, 256, 300, cols - 1, cols, cols};
        for (std::size_t i = 0; i < rows; ++i) {
          const std::size_t length = i % 3 == 0 ? g.between(0, cols) : some[g.below(std::size(some))];
          lengths.push_back(static_cast<std::int32_t>(length < cols ? length : cols));
          for (std::size_t j = static_cast<std::size_t>(lengths[i]); j < cols; ++j) p.x[i * cols + j] = f.nan();
        }
        how h;
        h.lengths = &lengths;
        offset_arena memory(0, std::size_t{1} << 20);
        for (const simdnorm_padding_fill fill : {SIMDNORM_FILL_ZERO, SIMDNORM_FILL_KEEP}) {
          h.fill = fill;
          h.in_place = false;
          const outputs expected = run(n, p, h, true, memory);
          for (const std::size_t border : {std::size_t{1}, SIZE_MAX})
            for (const bool in_place : {false, true}) {
              if (in_place && fill == SIMDNORM_FILL_KEEP) continue;
              h.in_place = in_place;
              simdnorm_stream_border_set(border);
              const outputs mine = run(n, p, h, false, memory);
              simdnorm_stream_border_set(0);
              ASSERT_EQ(difference(mine, expected), "") << f.name << " " << rows << "x" << cols << " border " << border
                                                        << " in place " << in_place << " fill " << fill;
              memory.reset();
            }
        }
      }
}

// Constant rows, outliers, the largest and least values, infinities and NaN.
TEST_P(half_test, hostile_rows) {
  for (const half_format& f : half_formats)
    for (const std::size_t cols : {3, 40, 700, 5000})
      for (const given parameters : all_given) {
        rows_of_halves p(f, 8, cols, 5);
        const auto row = [&](std::size_t i, auto value) {
          for (std::size_t j = 0; j < cols; ++j) p.x[i * cols + j] = static_cast<std::uint16_t>(value(j));
        };
        row(0, [&](std::size_t) { return f.rounded(1e4); });
        row(1, [&](std::size_t j) { return j == 0 ? f.infinity() - 1 : f.rounded(1); });
        row(2, [&](std::size_t j) { return (f.infinity() - 1) | (j % 2 ? 0x8000u : 0u); });
        row(3, [&](std::size_t j) { return 1 + j % 3; });  // subnormal
        row(4, [&](std::size_t) { return 0; });
        p.x[5 * cols + 2] = static_cast<std::uint16_t>(f.infinity());
        p.x[6 * cols + 1] = static_cast<std::uint16_t>(f.infinity() + 1);
        for (const norm n : {norm::layer, norm::rms}) {
          how h;
          h.parameters = parameters;
          offset_arena memory(0, std::size_t{1} << 19);
          ASSERT_EQ(difference(run(n, p, h, false, memory), run(n, p, h, true, memory)), "")
              << f.name << " " << cols << " parameters " << static_cast<int>(parameters);
        }
      }
}

// 99.9 % of outputs are the correctly rounded value, and none is more than an ulp off.
TEST_P(half_test, outputs_are_correctly_rounded) {
  for (const half_format& f : half_formats)
    for (const double mean : {0.0, 3.0, 50.0}) {
      std::size_t all = 0, other = 0;
      double worst = 0;
      for (const std::size_t cols : {16, 64, 333, 768, 4096}) {
        const std::size_t rows = 20000 / cols + 1;
        const rows_of_halves p(f, rows, cols, cols, mean);
        how h;
        h.parameters = given::nothing;
        offset_arena memory(0, std::size_t{1} << 19);
        const outputs got = run(norm::layer, p, h, false, memory);
        ASSERT_EQ(got.status, SIMDNORM_OK);
        for (std::size_t i = 0; i < rows; ++i) {
          std::vector<double> row;
          for (std::size_t j = 0; j < cols; ++j) row.push_back(f.value(p.x[i * cols + j]));
          const exact_moments m = oracle_moments(row.data(), cols);
          const wide rstd = oracle_rstd(m.variance(), 1e-5);
          for (std::size_t j = 0; j < cols; ++j) {
            const double exact = static_cast<double>((static_cast<wide>(row[j]) - m.mean) * rstd);
            ++all;
            other += got.y[i * cols + j] != f.rounded(exact);
            worst = std::max(worst, std::fabs(f.value(got.y[i * cols + j]) - exact) / f.ulp(exact));
          }
        }
      }
      std::printf(
          "             %s, mean %g: %zu of %zu outputs are not the correctly rounded value, none is more "
          "than %.3f ulp off\n",
          f.name, mean, other, all, worst);
      EXPECT_LE(other * 1000, all) << f.name;
      EXPECT_LE(worst, 1.0) << f.name;
    }
}

TEST_P(half_test, types_that_do_not_go_together) {
  std::vector<std::uint16_t> x(8), y(8), gamma(4);
  std::vector<float> floats(8);
  const simdnorm_const_matrix in{x.data(), 2, 4, 4, SIMDNORM_BF16};
  const simdnorm_matrix out{y.data(), 2, 4, 4, SIMDNORM_BF16};
  simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
  o.gamma = {gamma.data(), 4, SIMDNORM_F64};
  EXPECT_EQ(simdnorm_layer_norm(&in, &out, &o), SIMDNORM_UNSUPPORTED_TYPE);
  o.gamma = {reinterpret_cast<char*>(gamma.data()) + 1, 4, SIMDNORM_BF16};
  EXPECT_EQ(simdnorm_layer_norm(&in, &out, &o), SIMDNORM_MISALIGNED);
  const simdnorm_const_matrix odd{reinterpret_cast<char*>(x.data()) + 1, 2, 3, 3, SIMDNORM_BF16};
  const simdnorm_matrix narrow{y.data(), 2, 3, 3, SIMDNORM_BF16};
  EXPECT_EQ(simdnorm_rms_norm(&odd, &narrow, nullptr), SIMDNORM_MISALIGNED);
  const simdnorm_matrix shifted{x.data() + 1, 2, 3, 3, SIMDNORM_BF16};
  const simdnorm_const_matrix first{x.data(), 2, 3, 3, SIMDNORM_BF16};
  EXPECT_EQ(simdnorm_rms_norm(&first, &shifted, nullptr), SIMDNORM_OVERLAP);
  const simdnorm_const_matrix doubles{floats.data(), 2, 2, 2, SIMDNORM_F64};
  const simdnorm_matrix to{y.data(), 2, 2, 2, SIMDNORM_BF16};
  EXPECT_EQ(simdnorm_rms_norm(&doubles, &to, nullptr), SIMDNORM_UNSUPPORTED_TYPE);
}

}  // namespace
}  // namespace simdnorm::test

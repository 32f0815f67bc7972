// SPDX-License-Identifier: Apache-2.0
//
// What row norms have beside the plain ones: L2, a residual, activations and a gate, masks of elements, tensors.
// Accuracy against binary128, and calls of several steps.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "runtime/rows.hpp"
#include "support/data.hpp"
#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class row_family_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(row_family_test);

// Calls of floats have loops of their own. What a call does not give has no type: with one that is not f32 taken for a
// mix, RMS norms with a residual took twice as long.
TEST(fused_rows_test, what_is_not_there_mixes_no_types) {
  const float there = 0;
  fused_row_arguments a = {};
  a.x_type = a.y_type = SIMDNORM_F32;
  EXPECT_FALSE(mixes_types(a));
  a.gamma = &there;
  a.gamma_type = SIMDNORM_F32;
  EXPECT_FALSE(mixes_types(a));
  a.beta = &there;
  a.beta_type = SIMDNORM_BF16;
  EXPECT_TRUE(mixes_types(a));
  a.beta = nullptr;
  EXPECT_FALSE(mixes_types(a));
  a.residual = &there;
  a.residual_type = SIMDNORM_F16;
  EXPECT_TRUE(mixes_types(a));
  a.residual_type = SIMDNORM_F32;
  EXPECT_FALSE(mixes_types(a));
  a.y_type = SIMDNORM_I8;
  EXPECT_TRUE(mixes_types(a));
}

// ---- l2_norm --------------------------------------------------------------------------------------

// Outputs are far below 1, so errors count in ulps of themselves.
TEST_P(row_family_test, l2_norm_against_binary128) {
  double worst = 0, worst_norm = 0;
  std::size_t checked = 0;
  const auto check = [&](const std::vector<float>& x, double epsilon, const std::string& where) {
    const std::size_t n = x.size();
    std::vector<float> y(n, -1), norm(1, -1);
    ASSERT_EQ(l2_norm({x.data(), 1, n}, {y.data(), 1, n}, {.epsilon = epsilon, .norm_out = norm}), status::ok);
    wide squares = 0;
    for (const float v : x) squares += static_cast<wide>(v) * static_cast<wide>(v);
    const wide exact = square_root(squares);
    const wide divisor = exact < static_cast<wide>(epsilon) ? static_cast<wide>(epsilon) : exact;
    for (std::size_t j = 0; j < n; ++j) {
      const wide want = divisor == 0 ? wide(0) : static_cast<wide>(x[j]) / divisor;
      const double off = static_cast<double>(absolute(static_cast<wide>(y[j]) - want)) / ulp_f32(want);
      ASSERT_LE(off, 2.5) << where << ", element " << j << ": " << y[j];
      worst = std::max(worst, off);
      ++checked;
    }
    if (static_cast<double>(exact) > 0x1.fffffep127) {
      EXPECT_GT(norm[0], 3.4e38f) << where;
      return;
    }
    const double off = static_cast<double>(absolute(static_cast<wide>(norm[0]) - exact)) / ulp_f32(exact);
    ASSERT_LE(off, 2.0) << where << ": norm " << norm[0];
    worst_norm = std::max(worst_norm, off);
  };
  std::vector<std::size_t> lengths = {333, 512, 513, 768, 1000, 1024, 4096, 65536};
  for (std::size_t n = 1; n <= 140; ++n) lengths.push_back(n);
  for (const std::size_t n : lengths) {
    for (const double centre : {0.0, 1.0, 1e4}) check(normals(n, n, centre), 1e-12, "normals");
    if (n > 5000) continue;
    for (const hostile_row& row : hostile_rows(n)) check(row.x, row.epsilon == 0 ? 0 : 1e-12, row.name);
  }
  const std::vector<float> base = normals(5, 100, 0.5);
  for (int exponent = -140; exponent <= 125; ++exponent) {
    std::vector<float> x = base;
    for (float& v : x) v = static_cast<float>(std::ldexp(static_cast<double>(v), exponent));
    for (const double epsilon : {0.0, 1e-12, 1.0, 1e30, 1e300})
      check(x, epsilon, "times 2^" + std::to_string(exponent));
  }
  std::printf("             l2_norm, %s: largest error %.3f ulp of y in %zu outputs, %.3f of the norm\n",
              simdnorm_isa_name(GetParam()), worst, checked, worst_norm);
}

// As torch.nn.functional.normalize: an infinite norm makes finite elements zeros, and infinity NaN.
TEST_P(row_family_test, l2_norm_of_zeros_and_infinities) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::size_t n : {1, 2, 16, 33, 64, 500}) {
    std::vector<float> x(n, -0.0f), y(n, 3), norm(1, 3);
    for (const double epsilon : {0.0, 1e-12}) {
      ASSERT_EQ(l2_norm({x.data(), 1, n}, {y.data(), 1, n}, {.epsilon = epsilon, .norm_out = norm}), status::ok);
      for (const float v : y) ASSERT_EQ(bits_of(v), 0u);
      ASSERT_EQ(bits_of(norm[0]), 0u);
    }
    x.assign(n, 1.0f);
    x[n - 1] = -infinity;
    ASSERT_EQ(l2_norm({x.data(), 1, n}, {y.data(), 1, n}, {.norm_out = norm}), status::ok);
    for (std::size_t j = 0; j + 1 < n; ++j) ASSERT_EQ(bits_of(y[j]), 0u);
    ASSERT_EQ(bits_of(y[n - 1]), canonical_nan);
    ASSERT_EQ(norm[0], infinity);
  }
}

// ---- with a residual --------------------------------------------------------------------------------

// h is two additions in f32, in this order; y is what the norm makes of h; in all the places that y and sum may be.
TEST_P(row_family_test, add_norms_are_additions_and_the_norm) {
  for (const std::size_t cols : {1, 5, 31, 64, 100, 768, 1030, 4096, 4500, 8192, 9000})
    for (const bool with_bias : {false, true})
      for (const bool layer : {true, false}) {
        const std::size_t rows = cols > 2000 ? 5 : 19;
        const problem p = make_problem(cols, rows, cols, flavour::normal, true);
        const std::vector<float> residual = normals(cols + 1, rows * cols, 0.5, 3.0);
        const std::vector<float> bias = with_bias ? normals(cols + 2, cols, 0.0) : std::vector<float>();
        std::vector<float> h(rows * cols), expected(rows * cols);
        for (std::size_t k = 0; k < h.size(); ++k) {
          float v = p.x[k];
          if (with_bias) v += bias[k % cols];
          h[k] = v + residual[k];
        }
        const auto view = [&](std::vector<float>& v) { return matrix_view<float>{v.data(), rows, cols}; };
        std::vector<float> mean(rows), rstd(rows), want_mean(rows), want_rstd(rows);
        layer_norm_options lo{.gamma = p.gamma, .beta = p.beta, .mean_out = want_mean, .rstd_out = want_rstd};
        rms_norm_options ro{.weight = p.gamma, .rstd_out = want_rstd};
        ASSERT_EQ(layer ? layer_norm(view(h), view(expected), lo) : rms_norm(view(h), view(expected), ro), status::ok);
        lo.mean_out = mean;
        lo.rstd_out = ro.rstd_out = rstd;
        // 0: apart; sum none, apart, x or residual; y apart, x or residual.
        for (const std::size_t border : {std::size_t{1}, SIZE_MAX}) {
          simdnorm_stream_border_set(border);
          for (const int to_sum : {0, 1, 2, 3})
            for (const int to_y : {0, 1, 2}) {
              if (to_sum == to_y + 1 && to_y > 0) continue;  // y and sum would be one
              std::vector<float> x = p.x, r = residual, sum(rows * cols, -7), y(rows * cols, -7);
              std::vector<float>& sum_at = to_sum == 2 ? x : to_sum == 3 ? r : sum;
              std::vector<float>& y_at = to_y == 1 ? x : to_y == 2 ? r : y;
              const addend with{view(r), bias, to_sum == 0 ? matrix_view<float>() : view(sum_at)};
              ASSERT_EQ(
                  layer ? add_layer_norm(view(x), with, view(y_at), lo) : add_rms_norm(view(x), with, view(y_at), ro),
                  status::ok);
              ASSERT_TRUE(same_bits(y_at, expected)) << rows << "x" << cols << ", sum " << to_sum << ", y " << to_y;
              ASSERT_TRUE(same_bits(rstd, want_rstd));
              if (layer) {
                ASSERT_TRUE(same_bits(mean, want_mean));
              }
              if (to_sum != 0) {
                ASSERT_TRUE(same_bits(sum_at, h)) << rows << "x" << cols << ", sum " << to_sum << ", y " << to_y;
              }
            }
          simdnorm_stream_border_set(0);
        }
      }
}

TEST_P(row_family_test, nan_in_a_sum_is_canonical) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::size_t cols : {3, 40, 100, 5000}) {
    std::vector<float> x = normals(1, 9 * cols, 0), r = normals(2, 9 * cols, 0), sum(9 * cols), y(9 * cols);
    x[4 * cols + 1] = infinity;
    r[4 * cols + 1] = -infinity;
    x[6 * cols + 2] = float_of(0xffc12345);
    ASSERT_EQ(
        add_layer_norm({x.data(), 9, cols}, {{r.data(), 9, cols}, {}, {sum.data(), 9, cols}}, {y.data(), 9, cols}),
        status::ok);
    for (std::size_t k = 0; k < sum.size(); ++k) {
      const bool poisoned = k == 4 * cols + 1 || k == 6 * cols + 2;
      ASSERT_EQ(bits_of(sum[k]), poisoned ? canonical_nan : bits_of(x[k] + r[k])) << k;
      if (k / cols == 4 || k / cols == 6) {
        ASSERT_EQ(bits_of(y[k]), canonical_nan);
      }
    }
  }
}

// ---- activations, the gate, 1 + weight ------------------------------------------------------------------

// The norm's own outputs, to the bit, then a function of its own accuracy (tests of activations have the proof).
TEST_P(row_family_test, activations_and_gates_follow_the_norm) {
  for (const std::size_t cols : {1, 7, 33, 100, 1024, 1030, 3000}) {
    const std::size_t rows = 9;
    const problem p = make_problem(cols, rows, cols, flavour::normal, true);
    const std::vector<float> z = normals(cols + 5, rows * cols, 0, 2);
    const auto in = [&](const std::vector<float>& v) { return matrix_view<const float>{v.data(), rows, cols}; };
    std::vector<float> plain(rows * cols), weighted(rows * cols), y(rows * cols);
    const auto out = matrix_view<float>{y.data(), rows, cols};
    ASSERT_EQ(layer_norm(in(p.x), {plain.data(), rows, cols}, {.gamma = p.gamma, .beta = p.beta}), status::ok);
    ASSERT_EQ(rms_norm(in(p.x), {weighted.data(), rows, cols}, {.weight = p.gamma}), status::ok);
    const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
    const auto close = [&](std::size_t k, double want, double slack) {
      ASSERT_NEAR(y[k], want, slack * 0x1p-23 * std::max(0x1p-100, std::fabs(want))) << cols << ", element " << k;
    };
    for (const activation_function a : {activation_function::relu, activation_function::gelu,
                                        activation_function::gelu_tanh, activation_function::silu}) {
      ASSERT_EQ(layer_norm(in(p.x), out, {.gamma = p.gamma, .beta = p.beta, .activation = a}), status::ok);
      for (std::size_t k = 0; k < y.size(); ++k) {
        const double v = plain[k], cube = v * v * v;
        switch (a) {
          case activation_function::relu:
            ASSERT_EQ(y[k], plain[k] > 0 ? plain[k] : 0.0f);
            break;
          case activation_function::gelu:
            close(k, v * 0.5 * std::erfc(-v * std::sqrt(0.5)), 4);
            break;
          case activation_function::gelu_tanh:
            if (v > -4) close(k, 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * cube))), 8);
            break;
          default:
            close(k, silu(v), 4);
        }
      }
    }
    ASSERT_EQ(gated_rms_norm(in(p.x), in(z), out, {.weight = p.gamma}), status::ok);
    for (std::size_t k = 0; k < y.size(); ++k) close(k, static_cast<double>(weighted[k]) * silu(z[k]), 4);
    const std::vector<float> gated = y;
    y = p.x;
    ASSERT_EQ(gated_rms_norm(out, in(z), out, {.weight = p.gamma}), status::ok);
    ASSERT_TRUE(same_bits(y, gated)) << "y is x";
    y = z;
    ASSERT_EQ(gated_rms_norm(in(p.x), out, out, {.weight = p.gamma}), status::ok);
    ASSERT_TRUE(same_bits(y, gated)) << "y is z";

    // x_hat * (1 + w), rounded once: fma(x_hat, w, x_hat).
    std::vector<float> bare(rows * cols);
    ASSERT_EQ(rms_norm(in(p.x), {bare.data(), rows, cols}), status::ok);
    ASSERT_EQ(rms_norm(in(p.x), out, {.weight = p.gamma, .add_unit_offset = true}), status::ok);
    for (std::size_t k = 0; k < y.size(); ++k)
      ASSERT_EQ(bits_of(y[k]), bits_of(std::fmaf(bare[k], p.gamma[k % cols], bare[k])));
    ASSERT_EQ(rms_norm(in(p.x), out, {.weight = p.gamma, .round = rounding::before_weight}), status::ok);
    ASSERT_TRUE(same_bits(y, weighted)) << "for f32 both roundings are one";
  }
}

// ---- masks of elements ------------------------------------------------------------------------------------

TEST_P(row_family_test, masked_elements_against_binary128) {
  generator g(3);
  double worst = 0;
  for (const std::size_t cols : {1, 2, 20, 63, 64, 65, 129, 300, 768, 1500, 5000})
    for (const double centre : {0.0, 1.0, 1e4, 1e6})
      for (const std::size_t odds : {1, 5, 9})
        for (const bool hostile : {false, true}) {
          std::vector<hostile_row> rows;
          if (hostile && centre == 0 && cols < 2000) rows = hostile_rows(cols);
          rows.push_back({"normal", 1e-5, normals(cols, cols, centre), false});
          for (const hostile_row& row : rows) {
            std::vector<float> x = row.x, real, y(cols, 5), mean(1), rstd(1);
            std::vector<std::uint8_t> mask(cols);
            for (std::size_t j = 0; j < cols; ++j) {
              mask[j] = g.below(10) < odds && (odds != 5 || j >= cols / 3);
              if (mask[j]) {
                real.push_back(x[j]);
              } else {
                x[j] = j % 2 ? float_of(0x7fc00000) : 3e38f;
              }
            }
            if (real.empty()) continue;
            ASSERT_EQ(
                layer_norm(
                    {x.data(), 1, cols}, {y.data(), 1, cols},
                    {.epsilon = row.epsilon, .mean_out = mean, .rstd_out = rstd, .pad = padding::element_mask(mask)}),
                status::ok);
            const exact_moments m = oracle_moments(real.data(), real.size());
            const wide scale = oracle_rstd(m.variance(), row.epsilon);
            for (std::size_t j = 0; j < cols; ++j) {
              if (!mask[j]) {
                ASSERT_EQ(bits_of(y[j]), 0u);
                continue;
              }
              const wide want = (static_cast<wide>(x[j]) - m.mean) * scale;
              const double size = static_cast<double>(absolute(want));
              const double off =
                  static_cast<double>(absolute(static_cast<wide>(y[j]) - want)) / ulp_f32(size < 1 ? 1 : size);
              ASSERT_LE(off, 2.5) << row.name << ", n " << cols << ", " << real.size() << " real, element " << j;
              worst = std::max(worst, off);
            }
            ASSERT_LE(std::fabs(static_cast<double>(mean[0]) - static_cast<double>(m.mean)),
                      ulp_f32(m.mean) + static_cast<double>(m.sigma()) * 2.5 * 0x1p-23);
          }
        }
  std::printf("             masked layer_norm, %s: largest error %.3f ulp\n", simdnorm_isa_name(GetParam()), worst);
}

// ---- tensors ------------------------------------------------------------------------------------------------

struct strided {
  std::vector<std::size_t> sizes;
  std::vector<std::ptrdiff_t> strides;
  std::ptrdiff_t offset;
  std::size_t memory;
};

// Views of all kinds give what a matrix of their rows gives, and write nothing else.
TEST_P(row_family_test, tensors_are_their_rows) {
  const std::vector<strided> views = {
      {{6, 20}, {20, 1}, 0, 120},
      {{3, 4, 32}, {128, 32, 1}, 0, 384},                        // contiguous
      {{2, 5, 3, 64}, {5 * 576, 576, 64, 1}, 192, 2 * 5 * 576},  // k of packed [batch, tokens, 3, heads, features]
      {{2, 3, 5, 64}, {5 * 576, 64, 576, 1}, 384, 2 * 5 * 576},  // v, heads before tokens
      {{2, 5, 3, 5}, {5 * 45, 45, 5, 1}, 15, 450},               // tiny
      {{2, 2, 3, 2, 16}, {400, 200, 66, 33, 1}, 3, 800},         // pitches everywhere
      {{4, 3, 70}, {-300, 100, 1}, 900, 1200},                   // backwards
      {{1, 9, 1, 33}, {7, 40, 9999, 1}, 0, 360},                 // sizes of one: any stride
      {{3, 2, 1}, {10, 4, 77}, 1, 32},                           // one column: its stride is nobody's
      {{2, 2, 3000}, {7000, 3100, 1}, 5, 14000},                 // long rows
      {{2, 64, 8, 128}, {64 * 3072, 3072, 128, 1}, 1024, 2 * 64 * 3072},  // queries of 8 heads
  };
  for (const strided& v : views)
    for (const bool in_place : {false, true})
      for (const std::size_t border : {std::size_t{1}, SIZE_MAX})
        for (int kind = 0; kind < 6; ++kind) {
          const std::size_t rank = v.sizes.size(), cols = v.sizes.back();
          std::size_t rows = 1, heads = 1;
          for (std::size_t d = 0; d + 1 < rank; ++d) {
            rows *= v.sizes[d];
            if (d >= 2) heads *= v.sizes[d];
          }
          const std::vector<float> memory = normals(rows * cols, v.memory, 2);
          std::vector<std::ptrdiff_t> at;  // of each row
          for (std::size_t i = 0; i < rows; ++i) {
            std::size_t rest = i;
            std::ptrdiff_t place = v.offset;
            for (std::size_t d = rank - 1; d-- > 0; rest /= v.sizes[d])
              place += static_cast<std::ptrdiff_t>(rest % v.sizes[d]) * v.strides[d];
            at.push_back(place);
          }
          std::vector<float> x(rows * cols), expected(rows * cols, -3), mean(rows), rstd(rows), want_mean(rows),
              want_rstd(rows);
          std::vector<float> into = in_place ? memory : std::vector<float>(v.memory, float_of(unwritten)),
                             source = memory;
          for (std::size_t i = 0; i < rows; ++i) {
            std::copy_n(memory.begin() + at[i], cols, x.begin() + static_cast<std::ptrdiff_t>(i * cols));
            std::copy_n(into.begin() + at[i], cols, expected.begin() + static_cast<std::ptrdiff_t>(i * cols));
          }
          const std::vector<float> gamma = normals(3, cols, 1), beta = normals(4, cols, 0);
          const auto view = [&](std::vector<float>& of) {
            tensor_view<float> t;
            t.data = of.data() + v.offset;
            t.rank = static_cast<std::int32_t>(rank);
            for (std::size_t d = 0; d < rank; ++d) {
              t.sizes[d] = v.sizes[d];
              t.strides[d] = v.strides[d];
            }
            return t;
          };
          // Masks of tokens, as bytes; of every row, as lengths; of elements.
          std::vector<std::uint8_t> tokens(rows / heads), all_rows(rows), elements(rows * cols);
          std::vector<std::int32_t> lengths(rows);
          for (std::size_t i = 0; i < rows; ++i) {
            tokens[i / heads] = all_rows[i] = i / heads % 3 != 1;
            lengths[i] = static_cast<std::int32_t>(i * 7 % (cols + 1));
          }
          for (std::size_t k = 0; k < elements.size(); ++k) elements[k] = k % 7 != 2;
          padding pad, plain;
          if (kind == 1) pad = padding::row_mask(tokens, fill::keep), plain = padding::row_mask(all_rows, fill::keep);
          if (kind == 2) pad = plain = padding::row_lengths<std::int32_t>(lengths);
          if (kind == 3) pad = plain = padding::element_mask(elements);
          layer_norm_options a{
              .gamma = gamma, .beta = beta, .mean_out = want_mean, .rstd_out = want_rstd, .pad = plain},
              b = a;
          b.mean_out = mean;
          b.rstd_out = rstd;
          b.pad = pad;
          if (kind == 4) a.activation = b.activation = activation_function::silu;
          simdnorm_stream_border_set(border);
          tensor_view<float> out = view(into);
          const tensor_view<float> from = in_place ? out : view(source);
          if (kind == 5) {
            ASSERT_EQ(l2_norm(matrix_view<const float>{x.data(), rows, cols}, {expected.data(), rows, cols}),
                      status::ok);
            ASSERT_EQ(l2_norm(from, out), status::ok);
            mean = want_mean;
            rstd = want_rstd;
          } else {
            ASSERT_EQ(layer_norm(matrix_view<const float>{x.data(), rows, cols}, {expected.data(), rows, cols}, a),
                      status::ok);
            ASSERT_EQ(layer_norm(from, out, b), status::ok) << "rank " << rank << ", kind " << kind;
          }
          simdnorm_stream_border_set(0);
          ASSERT_TRUE(same_bits(mean, want_mean) && same_bits(rstd, want_rstd)) << "rank " << rank << ", kind " << kind;
          std::vector<float> whole = in_place ? memory : std::vector<float>(v.memory, float_of(unwritten));
          for (std::size_t i = 0; i < rows; ++i)
            std::copy_n(expected.begin() + static_cast<std::ptrdiff_t>(i * cols), cols, whole.begin() + at[i]);
          ASSERT_TRUE(same_bits(into, whole))
              << "rank " << rank << ", " << cols << " columns, kind " << kind << (in_place ? ", in place" : "");
        }
}

// Overlap of views, against a list of their elements. What is refused though apart must be rare.
TEST_P(row_family_test, tensors_overlap_against_brute_force) {
  generator g(5);
  std::size_t overlaps = 0, fine = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    const std::size_t cols = g.between(1, 5);
    const std::size_t sizes[3] = {g.between(1, 3), g.between(1, 3), g.between(1, 3)};
    std::ptrdiff_t xs[3], ys[3];
    for (int d = 0; d < 3; ++d) xs[d] = static_cast<std::ptrdiff_t>(g.below(40)) - 10;
    if (g.below(3)) {  // y dimension within dimension, with gaps, in any order
      const std::size_t first = g.below(3);
      std::ptrdiff_t step = static_cast<std::ptrdiff_t>(cols + g.below(8));
      for (std::size_t d = 0; d < 3; ++d) {
        const std::size_t at = (first + d) % 3;
        ys[at] = g.below(4) ? step : -step;
        step = step * static_cast<std::ptrdiff_t>(sizes[at]) + static_cast<std::ptrdiff_t>(g.below(4));
      }
      if (g.below(2)) std::copy(ys, ys + 3, xs);
    } else {
      for (int d = 0; d < 3; ++d) ys[d] = static_cast<std::ptrdiff_t>(g.below(60)) - 20;
    }
    const auto xo = static_cast<std::ptrdiff_t>(400 + g.below(40)), yo = static_cast<std::ptrdiff_t>(400 + g.below(60));
    std::vector<float> memory(1400, 1.0f);
    std::vector<int> touched(1400, 0);
    bool self = false, meet = false, same = xo == yo;
    const auto each = [&](const std::ptrdiff_t* s, std::ptrdiff_t o, auto use) {
      for (std::size_t i = 0; i < sizes[0]; ++i)
        for (std::size_t j = 0; j < sizes[1]; ++j)
          for (std::size_t k = 0; k < sizes[2]; ++k)
            for (std::size_t c = 0; c < cols; ++c)
              use(static_cast<std::size_t>(o + static_cast<std::ptrdiff_t>(i) * s[0] +
                                           static_cast<std::ptrdiff_t>(j) * s[1] +
                                           static_cast<std::ptrdiff_t>(k) * s[2] + static_cast<std::ptrdiff_t>(c)));
    };
    each(ys, yo, [&](std::size_t at) { self |= touched[at]++ > 0; });
    each(xs, xo, [&](std::size_t at) { meet |= touched[at] > 0; });
    for (int d = 0; d < 3; ++d) same = same && (sizes[d] == 1 || xs[d] == ys[d]);
    tensor_view<float> x, y;
    x.data = memory.data() + xo;
    y.data = memory.data() + yo;
    x.rank = y.rank = 4;
    for (int d = 0; d < 3; ++d) {
      x.sizes[d] = y.sizes[d] = sizes[d];
      x.strides[d] = xs[d];
      y.strides[d] = ys[d];
    }
    x.sizes[3] = y.sizes[3] = cols;
    x.strides[3] = y.strides[3] = 1;
    const status s = layer_norm(x, y);
    if (self) {
      ASSERT_EQ(s, status::invalid_stride) << "round " << round;
      continue;
    }
    if (s == status::invalid_stride) {  // apart, but not dimension within dimension
      ++refused;
      continue;
    }
    ASSERT_EQ(s, meet && !same ? status::overlap : status::ok) << "round " << round;
    ++(s == status::ok ? fine : overlaps);
  }
  EXPECT_GT(overlaps, 500u);
  EXPECT_GT(fine, 500u);
  EXPECT_LT(refused, 600u);
}

TEST_P(row_family_test, tensors_that_are_wrong) {
  std::vector<float> memory(4000, 1.0f), y_memory(4000), gamma(8);
  const auto with = [&](auto spoil) {
    tensor_view<const float> x(memory.data(), {2, 3, 4, 8});
    tensor_view<float> y(y_memory.data(), {2, 3, 4, 8});
    layer_norm_options o{.gamma = gamma};
    spoil(x, y, o);
    const status s = layer_norm(x, y, o);
    if (s != status::ok) {
      for (const float v : y_memory) EXPECT_EQ(v, 0.0f);
    }
    std::fill(y_memory.begin(), y_memory.end(), 0.0f);
    return s;
  };
  EXPECT_EQ(with([](auto&, auto&, auto&) {}), status::ok);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.rank = 1; }), status::invalid_shape);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.rank = 6; }), status::invalid_shape);
  EXPECT_EQ(with([&](auto& x, auto&, auto&) {
              x = tensor_view<const float>(memory.data(), {6, 4, 8});
            }),
            status::invalid_shape);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.sizes[1] = 2; }), status::invalid_shape);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.strides[3] = 2; }), status::invalid_stride);
  EXPECT_EQ(with([](auto&, auto& y, auto&) { y.strides[3] = -1; }), status::invalid_stride);
  EXPECT_EQ(with([](auto&, auto& y, auto&) { y.strides[2] = 7; }), status::invalid_stride);
  EXPECT_EQ(with([](auto&, auto& y, auto&) { y.strides[0] = 32; }), status::invalid_stride);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.strides[2] = 0; }), status::ok);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.data = nullptr; }), status::null_pointer);
  EXPECT_EQ(with([](auto&, auto& y, auto&) { y.data = nullptr; }), status::null_pointer);
  EXPECT_EQ(with([](auto& x, auto& y, auto&) { x.sizes[0] = y.sizes[0] = 0; }), status::ok);
  EXPECT_EQ(with([](auto& x, auto& y, auto&) { x.sizes[3] = y.sizes[3] = 0; }), status::invalid_shape) << "gamma";
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.strides[0] = PTRDIFF_MAX / 4; }), status::invalid_shape);
  EXPECT_EQ(with([](auto& x, auto&, auto&) { x.strides[0] = PTRDIFF_MIN; }), status::invalid_shape);
  EXPECT_EQ(with([](auto& x, auto& y, auto&) { x.sizes[0] = y.sizes[0] = SIZE_MAX / 2; }), status::invalid_shape);
  EXPECT_EQ(with([](auto&, auto&, auto& o) { o.epsilon = -1; }), status::invalid_epsilon);
  EXPECT_EQ(with([](auto&, auto&, auto& o) { o.activation = static_cast<activation_function>(5); }),
            status::invalid_activation);
  EXPECT_EQ(with([&](auto&, auto&, auto& o) { o.gamma = {y_memory.data() + 184, 8}; }), status::overlap);
  EXPECT_EQ(with([&](auto&, auto&, auto& o) { o.mean_out = {memory.data() + 180, 24}; }), status::overlap);
  EXPECT_EQ(with([&](auto&, auto&, auto& o) { o.mean_out = {memory.data() + 300, 23}; }), status::invalid_shape);
  EXPECT_EQ(with([&](auto& x, auto&, auto&) { x.data = y_memory.data() + 1; }), status::overlap);
  std::vector<std::uint8_t> mask(24, 1);
  EXPECT_EQ(with([&](auto&, auto&, auto& o) { o.pad = padding::row_mask({mask.data(), 6}); }), status::ok);
  EXPECT_EQ(with([&](auto&, auto&, auto& o) {
              o.pad = padding::row_mask({mask.data(), 24});
            }),
            status::invalid_padding);
  const simdnorm_const_tensor bytes{memory.data(), {2, 8}, {8, 1}, 2, SIMDNORM_I8};
  const simdnorm_tensor out{y_memory.data(), {2, 8}, {8, 1}, 2, SIMDNORM_F32};
  EXPECT_EQ(simdnorm_rms_norm_nd(&bytes, &out, nullptr), SIMDNORM_UNSUPPORTED_TYPE);
  EXPECT_EQ(simdnorm_rms_norm_nd(nullptr, &out, nullptr), SIMDNORM_NULL_POINTER);
}

// Threads take blocks of rows, wherever these lie.
TEST_P(row_family_test, tensors_over_threads) {
  const std::size_t n = std::size_t{2} * 300 * 3 * 4 * 64;
  const std::vector<float> memory = normals(7, n, 1);
  std::vector<float> one = memory, four = memory;
  const auto query = [](std::vector<float>& m) {
    return tensor_view<float>(m.data() + 256, {2, 300, 4, 64}, {300 * 768, 768, 64, 1});
  };
  thread_executor threads(4);
  ASSERT_EQ(rms_norm(query(one), query(one)), status::ok);
  ASSERT_EQ(rms_norm(query(four), query(four), {.exec = &threads.c}), status::ok);
  ASSERT_TRUE(same_bits(one, four));
}

}  // namespace
}  // namespace simdnorm::test

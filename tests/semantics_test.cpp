// SPDX-License-Identifier: Apache-2.0
//
// docs/numerics.md, "Semantics", sentence by sentence.

#include <gtest/gtest.h>

#include <limits>

#include "support/isa_fixture.hpp"
#include "support/operations.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class semantics_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(semantics_test);

const float infinity = std::numeric_limits<float>::infinity();

// Norms without a mean: an infinite scale makes zeros of what is finite.
bool is_scaled(operation op) {
  return op == operation::rms_norm || op == operation::rms_norm_weighted || op == operation::l2_norm ||
         op == operation::rms_norm_offset_gelu || op == operation::gated_rms_norm;
}

problem filled(std::size_t rows, std::size_t cols, float value) {
  problem p = make_problem(1, rows, cols, flavour::normal, true);
  p.x.assign(rows * cols, value);
  return p;
}

// Zero variance: exactly beta; +0 without beta, whatever the sign of gamma.
TEST_P(semantics_test, a_constant_line_gives_exactly_beta) {
  for (const float value :
       {100.1f, 0.1f, -7.3f, 1e-40f, 1e30f, 3.4028235e38f, -3.4028235e38f, 0.0f, -0.0f, 16777217.0f})
    for (const double epsilon : {0.0, 1e-12, 1e-5, 1.0})
      for (const std::size_t n : {1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 65, 100, 333, 1000, 4099}) {
        for (const operation op : {operation::layer_norm, operation::layer_norm_affine, operation::batch_norm_training,
                                   operation::batch_norm_training_affine}) {
          problem p = is_row_wise(op) ? filled(2, n, value) : filled(n, 2, value);
          p.epsilon = epsilon;
          for (std::size_t j = 0; j < p.cols; j += 2) p.gamma[j] = -p.gamma[j];
          const result r = run(op, p);
          const bool affine = op == operation::layer_norm_affine || op == operation::batch_norm_training_affine;
          for (std::size_t k = 0; k < r.y.size(); ++k)
            ASSERT_EQ(bits_of(r.y[k]), affine ? bits_of(p.beta[k % p.cols]) : 0u)
                << name_of(op) << ": constant " << value << ", n " << n << ", epsilon " << epsilon << ": " << r.y[k];
        }
        std::vector<float> column(n, value), y(n, 5);
        double mean, scale;
        ASSERT_EQ(standardize_fit({column.data(), n, 1}, {&mean, 1}, {&scale, 1}), status::ok);
        ASSERT_EQ(mean, static_cast<double>(value)) << n;
        ASSERT_EQ(scale, 1.0);
        ASSERT_EQ(standardize_transform({column.data(), n, 1}, {y.data(), n, 1}, {&mean, 1}, {&scale, 1}), status::ok);
        for (const float v : y) ASSERT_EQ(bits_of(v), 0u);
        double low, high;
        ASSERT_EQ(min_max_fit({column.data(), n, 1}, {&low, 1}, {&high, 1}), status::ok);
        ASSERT_EQ(min_max_transform({column.data(), n, 1}, {y.data(), n, 1}, {&low, 1}, {&high, 1}), status::ok);
        for (const float v : y) ASSERT_EQ(bits_of(v), 0u) << "min_max of a constant is low, +0";
      }
}

TEST_P(semantics_test, a_row_of_zeros_gives_plus_zero_in_rms_norm) {
  for (const float zero : {0.0f, -0.0f})
    for (const double epsilon : {0.0, 1e-5})
      for (const std::size_t n : {1, 17, 64, 300}) {
        problem p = filled(2, n, zero);
        p.epsilon = epsilon;
        for (float& v : p.gamma) v = -v;
        for (const operation op : {operation::rms_norm, operation::rms_norm_weighted, operation::l2_norm})
          for (const float v : run(op, p).y) ASSERT_EQ(bits_of(v), 0u) << name_of(op) << ", epsilon " << epsilon;
      }
}

TEST_P(semantics_test, one_element_per_line) {
  problem rows = make_problem(4, 40, 1, flavour::normal, true);
  for (const float v : run(operation::layer_norm, rows).y) ASSERT_EQ(bits_of(v), 0u);
  for (const float v : run(operation::layer_norm_affine, rows).y) ASSERT_EQ(bits_of(v), bits_of(rows.beta[0]));
  rows.epsilon = 0;
  const result rms = run(operation::rms_norm, rows);
  for (std::size_t i = 0; i < 40; ++i) ASSERT_NEAR(rms.y[i], rows.x[i] < 0 ? -1 : 1, 2.5 * 0x1p-23);

  // One row of batch norm: beta, mean = x, and the unbiased running variance, which does not exist,
  // left as it was. The biased one moves towards 0.
  const problem one = make_problem(4, 1, 40, flavour::normal, false);
  const result r = run(operation::batch_norm_training_affine, one);
  for (std::size_t j = 0; j < 40; ++j) {
    ASSERT_EQ(bits_of(r.y[j]), bits_of(one.beta[j]));
    ASSERT_EQ(r.f32[j],
              static_cast<float>((1 - 0.1) * static_cast<double>(one.mean[j]) + 0.1 * static_cast<double>(one.x[j])))
        << "running mean";
    ASSERT_EQ(bits_of(r.f32[40 + j]), bits_of(one.variance[j])) << "running variance";
    ASSERT_EQ(r.f32[80 + j], one.x[j]) << "mean";
  }
  batch_norm_options o;
  std::vector<float> variance = one.variance, y(40);
  o.biased_running_variance = true;
  o.running_variance = variance;
  ASSERT_EQ(batch_norm_training({one.x.data(), 1, 40}, {y.data(), 1, 40}, o), status::ok);
  for (std::size_t j = 0; j < 40; ++j)
    ASSERT_EQ(variance[j], static_cast<float>((1 - 0.1) * static_cast<double>(one.variance[j])));
}

// One row that a mask leaves over is the same case.
TEST_P(semantics_test, one_valid_row_leaves_the_unbiased_running_variance) {
  const problem p = make_problem(9, 70, 11, flavour::normal, false);
  setup s;
  s.pad.kind = SIMDNORM_PADDING_ROW_MASK;
  s.pad.rows.assign(70, 0);
  s.pad.rows[66] = 1;
  const result r = run(operation::batch_norm_training_affine, p, s);
  for (std::size_t j = 0; j < 11; ++j) {
    ASSERT_EQ(bits_of(r.f32[11 + j]), bits_of(p.variance[j]));
    ASSERT_NE(bits_of(r.f32[j]), bits_of(p.mean[j]));
    ASSERT_EQ(r.f32[22 + j], p.at(66, j));
  }
}

TEST_P(semantics_test, no_rows_or_no_columns_is_ok_and_writes_nothing) {
  for (const operation op : all_operations())
    for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 0}, {0, 0}, {0, 300}}) {
      problem p = make_problem(1, rows, cols, flavour::normal, is_row_wise(op));
      offset_arena memory(1);
      const result r = run(op, p, {}, memory);
      ASSERT_EQ(r.status, SIMDNORM_OK) << name_of(op) << " " << rows << "x" << cols << ": "
                                       << simdnorm_status_string(r.status);
      ASSERT_TRUE(r.intact);
    }
  // Null data is fine where there is nothing to read.
  const simdnorm_const_matrix x{nullptr, 0, 7, 7, SIMDNORM_F32};
  const simdnorm_matrix y{nullptr, 0, 7, 7, SIMDNORM_F32};
  EXPECT_EQ(simdnorm_layer_norm(&x, &y, nullptr), SIMDNORM_OK);
  EXPECT_EQ(simdnorm_rms_norm(&x, &y, nullptr), SIMDNORM_OK);
  EXPECT_EQ(simdnorm_l2_norm(&x, &y, nullptr), SIMDNORM_OK);
  EXPECT_EQ(simdnorm_batch_norm_training(&x, &y, nullptr), SIMDNORM_OK);
}

// A matrix without rows leaves outputs as they were; a state without rows has a result, the empty set.
TEST_P(semantics_test, moments_of_no_rows) {
  simdnorm_moments m[3];
  for (auto& e : m) e = {9, 9, 9, 9, 9, 9};
  const simdnorm_const_matrix x{nullptr, 0, 3, 3, SIMDNORM_F32};
  ASSERT_EQ(simdnorm_column_moments(&x, m, nullptr), SIMDNORM_OK);
  for (const auto& e : m) EXPECT_EQ(e.count, 9u);
  column_accumulator a(3);
  ASSERT_EQ(a.update({nullptr, 0, 3}), status::ok);
  ASSERT_EQ(a.result(m), status::ok);
  for (const auto& e : m) {
    EXPECT_EQ(e.count, 0u);
    for (const double v : {e.mean, e.m2, e.min, e.max}) EXPECT_EQ(bits_of(v), 0u);
  }
}

TEST_P(semantics_test, epsilon_zero_is_legal_and_epsilon_is_a_double) {
  problem p = make_problem(2, 3, 50, flavour::normal, true);
  for (float& v : p.x) v = static_cast<float>(static_cast<double>(v) * 1e-25);  // variance 1e-50: no f32
  for (const operation op : {operation::layer_norm_affine, operation::rms_norm_weighted}) {
    p.epsilon = 0;
    const result zero = run(op, p);
    ASSERT_EQ(zero.status, SIMDNORM_OK);
    p.epsilon = 1e-49;  // rounds to 0 in f32, yet outweighs the variance
    const result tiny = run(op, p);
    ASSERT_NE(difference(zero, tiny), "") << name_of(op);
  }
}

// NaN or infinity in one line: all its outputs are the NaN 0x7fc00000, no other line changes.
TEST_P(semantics_test, nan_and_infinity_stay_in_their_line) {
  const std::uint32_t poisons[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff, 0x7f800000, 0xff800000};
  for (const operation op : all_operations())
    for (const std::size_t n : {1, 2, 5, 16, 33, 64, 65, 100, 513})
      for (const std::uint32_t poison : poisons) {
        const std::size_t lines = 21;
        const std::size_t rows = is_row_wise(op) ? lines : n, cols = is_row_wise(op) ? n : lines;
        const problem clean = make_problem(n, rows, cols, flavour::normal, is_row_wise(op));
        problem p = clean;
        generator g(n + poison);
        const std::size_t line = g.below(lines), place = g.below(n);
        (is_row_wise(op) ? p.at(line, place) : p.at(place, line)) = float_of(poison);
        const result expected = run(op, clean), r = run(op, p);
        const bool is_nan = (poison & 0x7fffff) != 0;
        // A norm with statistics poisons its line, a transform only the element; one infinity is
        // an infinity there.
        const bool transforms = op == operation::batch_norm_inference || op == operation::batch_norm_inference_add ||
                                op == operation::standardize_transform || op == operation::standardize_inverse ||
                                op == operation::min_max_transform || op == operation::min_max_inverse ||
                                op == operation::min_max_transform_clipped || op == operation::max_abs_transform ||
                                op == operation::max_abs_inverse;
        const bool missing = op == operation::standardize_weighted || op == operation::min_max;
        for (std::size_t k = 0; k < r.y.size(); ++k) {
          const std::size_t i = k / cols, j = k % cols, own = is_row_wise(op) ? i : j, along = is_row_wise(op) ? j : i;
          std::uint32_t want = bits_of(expected.y[k]);
          if (own == line && (!transforms || along == place)) {
            want = canonical_nan;
            if (transforms && !is_nan) {
              const bool flat =
                  (op == operation::min_max_inverse || op == operation::min_max_transform) && p.low[j] == p.high[j];
              const bool negative = op == operation::batch_norm_inference && p.gamma[j] < 0;
              if (flat) continue;
              want = negative ? poison ^ 0x80000000 : poison;
              if (op == operation::batch_norm_inference_add)  // the residual is infinite, too
                want = p.gamma[j] < 0 ? canonical_nan : poison >> 31 ? 0 : poison;
              if (op == operation::min_max_transform_clipped) want = bits_of(poison >> 31 ? -1.0f : 2.5f);
            }
            // A missing number is NaN and moves the others; an infinite extreme makes the others `low` or zeros.
            if ((missing && along != place) || ((missing || op == operation::max_abs) && !is_nan)) {
              if (r.y[k] != r.y[k]) {
                ASSERT_EQ(bits_of(r.y[k]), canonical_nan) << name_of(op);
              }
              continue;
            }
            // rms_norm, l2_norm: an infinite sum of squares makes the scale 0, so finite elements become zeros.
            if (!is_nan && is_scaled(op) && along != place) {
              ASSERT_EQ(r.y[k], 0.0f) << name_of(op) << ", n " << n << ", infinity beside it";
              continue;
            }
          }
          ASSERT_EQ(bits_of(r.y[k]), want)
              << name_of(op) << ", n " << n << ", poison " << std::hex << poison << std::dec << ", line " << own
              << " (poisoned: " << line << "), element " << along << " (poisoned: " << place << ")";
        }
        // Per-line outputs of the other lines.
        for (std::size_t k = 0; k < r.f32.size(); ++k) {
          if (k % lines == line) {
            if (r.f32[k] != r.f32[k]) {
              ASSERT_EQ(bits_of(r.f32[k]), canonical_nan) << name_of(op) << " f32 output " << k;
            }
          } else {
            ASSERT_EQ(bits_of(r.f32[k]), bits_of(expected.f32[k])) << name_of(op) << " f32 output " << k;
          }
        }
        const std::size_t width = doubles_per_column(op);
        for (std::size_t k = 0; k < r.f64.size(); ++k) {
          if (k / width % lines == line) {
            if (r.f64[k] != r.f64[k]) {
              ASSERT_EQ(bits_of(r.f64[k]), canonical_nan_f64) << name_of(op) << " f64 output " << k;
            }
          } else {
            ASSERT_EQ(bits_of(r.f64[k]), bits_of(expected.f64[k])) << name_of(op) << " f64 output " << k;
          }
        }
      }
}

TEST_P(semantics_test, moments_of_a_column_with_nan_or_infinity) {
  for (const std::size_t rows : {1, 2, 63, 64, 65, 200})
    for (const std::size_t place : {std::size_t{0}, rows / 2, rows - 1}) {
      std::vector<float> x = normals(rows, rows, 5);
      simdnorm_moments m;
      x[place] = float_of(0xffc00001);
      ASSERT_EQ(column_moments({x.data(), rows, 1}, {&m, 1}), status::ok);
      EXPECT_EQ(m.count, rows);
      for (const double v : {m.mean, m.m2, m.min, m.max})
        EXPECT_EQ(bits_of(v), canonical_nan_f64) << rows << " " << place;
      double low, high;
      ASSERT_EQ(min_max_fit({x.data(), rows, 1}, {&low, 1}, {&high, 1}), status::ok);
      EXPECT_EQ(bits_of(low), canonical_nan_f64);
      EXPECT_EQ(bits_of(high), canonical_nan_f64);

      x[place] = infinity;
      ASSERT_EQ(column_moments({x.data(), rows, 1}, {&m, 1}), status::ok);
      EXPECT_EQ(m.max, static_cast<double>(infinity));
      float least = infinity;
      for (const float v : x) least = std::min(least, v);
      EXPECT_EQ(m.min, static_cast<double>(least));
      EXPECT_FALSE(std::isfinite(m.mean));
      EXPECT_EQ(bits_of(m.m2), canonical_nan_f64);
    }
}

// Parameters that are NaN or infinite: NaN outputs have the one NaN, their neighbours are untouched.
TEST_P(semantics_test, nan_and_infinity_in_gamma_and_beta) {
  for (const operation op : {operation::layer_norm_affine, operation::rms_norm_weighted,
                             operation::batch_norm_training_affine, operation::batch_norm_inference})
    for (const std::size_t cols : {2, 7, 16, 33, 70, 300}) {  // a row of one is constant: beta whatever gamma
      const problem clean = make_problem(cols, 5, cols, flavour::normal, is_row_wise(op));
      const result expected = run(op, clean);
      for (const std::uint32_t poison : {0x7fc00001u, 0xffc00000u, 0xff812345u, 0x7f800000u, 0xff800000u})
        for (const bool in_gamma : {true, false}) {
          if (op == operation::rms_norm_weighted && !in_gamma) continue;
          problem p = clean;
          const std::size_t place = cols / 2;
          (in_gamma ? p.gamma : p.beta)[place] = float_of(poison);
          const result r = run(op, p);
          for (std::size_t k = 0; k < r.y.size(); ++k) {
            if (k % cols != place) {
              ASSERT_EQ(bits_of(r.y[k]), bits_of(expected.y[k])) << name_of(op);
            } else if ((poison & 0x7fffff) != 0) {
              ASSERT_EQ(bits_of(r.y[k]), canonical_nan) << name_of(op) << (in_gamma ? ", gamma" : ", beta");
            } else if (!in_gamma) {
              ASSERT_EQ(bits_of(r.y[k]), poison) << name_of(op) << ", infinite beta";
            } else if (r.y[k] != r.y[k]) {
              ASSERT_EQ(bits_of(r.y[k]), canonical_nan) << name_of(op) << ", infinite gamma";
            } else {
              ASSERT_TRUE(std::isinf(r.y[k])) << name_of(op) << ": infinite gamma gave " << r.y[k];
            }
          }
        }
    }
}

// No output of any kind is another NaN than the canonical one.
TEST_P(semantics_test, every_nan_is_the_canonical_one) {
  std::size_t nans = 0;
  for (const operation op : all_operations())
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      problem p = make_problem(seed, 1 + seed * 5, 1 + seed * 3, flavour::specials, is_row_wise(op));
      const result r = run(op, p);
      for (const std::vector<float>* v : {&r.y, &r.f32})
        for (const float e : *v)
          if (e != e) {
            ASSERT_EQ(bits_of(e), canonical_nan) << name_of(op);
            ++nans;
          }
      for (const double e : r.f64)
        if (e != e) {
          ASSERT_EQ(bits_of(e), canonical_nan_f64) << name_of(op);
          ++nans;
        }
    }
  EXPECT_GT(nans, 1000u);
}

// A zero extreme is +0, whatever zeros the column holds.
TEST_P(semantics_test, extremes_are_never_minus_zero) {
  for (const std::size_t rows : {1, 2, 15, 16, 64, 65, 129})
    for (int pattern = 0; pattern < 6; ++pattern) {
      std::vector<float> x(rows);
      for (std::size_t i = 0; i < rows; ++i) {
        const float choices[] = {-0.0f,
                                 i & 1 ? -0.0f : 0.0f,
                                 i & 1 ? 0.0f : -0.0f,
                                 i & 1 ? -0.0f : 5.0f,
                                 i & 1 ? -0.0f : -5.0f,
                                 i + 1 == rows ? 0.0f : -0.0f};
        x[i] = choices[pattern];
      }
      const exact_moments e = oracle_moments(x.data(), rows);
      simdnorm_moments m;
      ASSERT_EQ(column_moments({x.data(), rows, 1}, {&m, 1}), status::ok);
      EXPECT_EQ(bits_of(m.min), bits_of(e.min)) << rows << ", pattern " << pattern;
      EXPECT_EQ(bits_of(m.max), bits_of(e.max)) << rows << ", pattern " << pattern;
      EXPECT_NEAR(m.mean, static_cast<double>(e.mean), 5 * 0x1p-24);  // of 5 at most, from f32 sums
      double low, high;
      ASSERT_EQ(min_max_fit({x.data(), rows, 1}, {&low, 1}, {&high, 1}), status::ok);
      EXPECT_EQ(bits_of(low), bits_of(e.min));
      EXPECT_EQ(bits_of(high), bits_of(e.max));
    }
}

TEST_P(semantics_test, merging_with_the_empty_set) {
  const moments empty{}, some{3, 1.5, 2.25, -1, 4, 3};
  for (const moments& m : {merge(empty, some), merge(some, empty)}) {
    EXPECT_EQ(m.count, 3u);
    EXPECT_EQ(m.mean, 1.5);
    EXPECT_EQ(m.m2, 2.25);
    EXPECT_EQ(m.min, -1);
    EXPECT_EQ(m.max, 4);
  }
  const moments none = merge(empty, empty);
  EXPECT_EQ(none.count, 0u);
  for (const double v : {none.mean, none.m2, none.min, none.max}) EXPECT_EQ(bits_of(v), 0u);

  const double nan = std::numeric_limits<double>::quiet_NaN();
  const moments poisoned{2, -nan, -nan, -nan, -nan, 2};
  for (const moments& m : {merge(poisoned, some), merge(some, poisoned)}) {
    EXPECT_EQ(m.count, 5u);
    for (const double v : {m.mean, m.m2, m.min, m.max}) EXPECT_EQ(bits_of(v), canonical_nan_f64);
  }
}

// mean_out and rstd_out are roundings of internal values: they may overflow where outputs do not.
TEST_P(semantics_test, rstd_out_may_overflow_where_outputs_do_not) {
  std::vector<float> x = {0x1p-149f, 0, 0x1p-149f, 0}, y(4), rstd(1), mean(1);
  layer_norm_options o;
  o.epsilon = 0;
  o.rstd_out = rstd;
  o.mean_out = mean;
  ASSERT_EQ(layer_norm({x.data(), 1, 4}, {y.data(), 1, 4}, o), status::ok);
  EXPECT_EQ(y, (std::vector<float>{1, -1, 1, -1}));
  EXPECT_EQ(rstd[0], infinity);  // 2^150
  EXPECT_EQ(mean[0], 0.0f);      // 2^-150 ties to even
}

TEST_P(semantics_test, broadcast_and_backward_rows) {
  for (const operation op : all_operations()) {
    // The generic call has positive pitches only; build the same problem by hand.
    const std::size_t rows = 70, cols = 23;
    problem p = make_problem(12, rows, cols, flavour::normal, is_row_wise(op));
    problem repeated = p, reversed = p;
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < cols; ++j) {
        repeated.at(i, j) = p.at(0, j);
        reversed.at(i, j) = p.at(rows - 1 - i, j);
      }
    if (op == operation::layer_norm || op == operation::rms_norm || op == operation::batch_norm_training) {
      const auto call = [&](const simdnorm_const_matrix& x, const simdnorm_matrix& y) {
        if (op == operation::layer_norm) return simdnorm_layer_norm(&x, &y, nullptr);
        if (op == operation::rms_norm) return simdnorm_rms_norm(&x, &y, nullptr);
        return simdnorm_batch_norm_training(&x, &y, nullptr);
      };
      std::vector<float> y(rows * cols, -1);
      const auto n = static_cast<std::ptrdiff_t>(cols);
      ASSERT_EQ(call({p.x.data(), rows, cols, 0, SIMDNORM_F32}, {y.data(), rows, cols, n, SIMDNORM_F32}), SIMDNORM_OK);
      ASSERT_TRUE(same_bits(y, run(op, repeated).y)) << name_of(op) << ": stride 0";
      ASSERT_EQ(
          call({p.x.data() + (rows - 1) * cols, rows, cols, -n, SIMDNORM_F32}, {y.data(), rows, cols, n, SIMDNORM_F32}),
          SIMDNORM_OK);
      ASSERT_TRUE(same_bits(y, run(op, reversed).y)) << name_of(op) << ": negative stride of x";
      ASSERT_EQ(
          call({p.x.data(), rows, cols, n, SIMDNORM_F32}, {y.data() + (rows - 1) * cols, rows, cols, -n, SIMDNORM_F32}),
          SIMDNORM_OK);
      const std::vector<float> expected = run(op, p).y;
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < cols; ++j)
          ASSERT_EQ(bits_of(y[(rows - 1 - i) * cols + j]), bits_of(expected[i * cols + j]))
              << name_of(op) << ": negative stride of y";
      // In place, backwards.
      std::vector<float> both = p.x;
      float* last = both.data() + (rows - 1) * cols;
      ASSERT_EQ(call({last, rows, cols, -n, SIMDNORM_F32}, {last, rows, cols, -n, SIMDNORM_F32}), SIMDNORM_OK);
      const std::vector<float> backwards = run(op, reversed).y;
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < cols; ++j)
          ASSERT_EQ(bits_of(both[(rows - 1 - i) * cols + j]), bits_of(backwards[i * cols + j]))
              << name_of(op) << ": backwards in place";
    }
    if (op == operation::column_moments) {
      std::vector<moments> out(cols);
      ASSERT_EQ(column_moments({p.x.data(), rows, cols, 0}, out), status::ok);
      for (std::size_t j = 0; j < cols; ++j) {
        EXPECT_EQ(out[j].m2, 0);
        EXPECT_EQ(out[j].mean, static_cast<double>(p.x[j]));
      }
    }
  }
}

}  // namespace
}  // namespace simdnorm::test

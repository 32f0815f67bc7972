// SPDX-License-Identifier: Apache-2.0
//
// Columns with gaps and weights: moments against Welford's recurrence in binary128, the gate for what is scaled by
// them; fit and transform in one call; clipping, max_abs, constant columns; parameters from moments.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/data.hpp"
#include "support/gate.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class scaling_test : public isa_fixture {
 protected:
  [[nodiscard]] static std::string here(const char* op) {
    return std::string(op) + ", " + simdnorm_isa_name(GetParam());
  }
};
SIMDNORM_FOR_EACH_ISA(scaling_test);

// Welford (1962) with weights, West (1979): W += w, mean += (w / W) d, M2 += w d (x - mean).
struct weighted {
  std::uint64_t count = 0;
  wide weight = 0, mean = 0, m2 = 0;
  double min = 0, max = 0;

  void add(float x, float w) {
    if (w == 0) return;
    const double v = static_cast<double>(x);
    min = count == 0 || v < min ? v : min;
    max = count == 0 || v > max ? v : max;
    ++count;
    weight += static_cast<wide>(w);
    const wide d = static_cast<wide>(x) - mean;
    mean += d * (static_cast<wide>(w) / weight);
    m2 += static_cast<wide>(w) * d * (static_cast<wide>(x) - mean);
    if (min == max) {
      m2 = 0;
      mean = static_cast<wide>(x);
    }
  }
  [[nodiscard]] wide sigma() const { return count ? square_root(m2 / weight) : wide(0); }
};

// What is real, what it weighs: some of everything.
struct gaps {
  std::vector<std::uint8_t> elements;
  std::vector<float> weights;
  bool missing = false;
};

struct table {
  std::size_t rows = 0, cols = 0;
  std::vector<float> x;
  std::string name;
};

table hostile_table(std::size_t rows) {
  const std::vector<hostile_row> source = hostile_rows(rows);
  table t{rows, source.size(), std::vector<float>(rows * source.size()), "hostile"};
  for (std::size_t j = 0; j < t.cols; ++j)
    for (std::size_t i = 0; i < rows; ++i) t.x[i * t.cols + j] = source[j].x[i];
  return t;
}

table normal_table(std::size_t rows, std::size_t cols) {
  static const double centres[] = {0, 1, -1e3, 1e4, 1e6};
  table t{rows, cols, std::vector<float>(rows * cols), "N(R, 1)"};
  generator g(rows + cols);
  for (std::size_t k = 0; k < t.x.size(); ++k) t.x[k] = static_cast<float>(centres[k % cols % 5] + g.normal());
  return t;
}

std::vector<table> tables() {
  std::vector<table> all;
  for (const std::size_t rows : {1, 2, 3, 15, 16, 17, 33, 63, 64, 65, 129, 500, 1000})
    all.push_back(normal_table(rows, 37));
  for (const std::size_t rows : {4096, 4097, 9000}) all.push_back(normal_table(rows, 10));
  all.push_back(normal_table(70, 300));
  for (const std::size_t rows : {1, 2, 63, 65, 129, 500, 4200}) all.push_back(hostile_table(rows));
  return all;
}

// Puts NaN into the table where it is to be missing.
gaps make_gaps(table& t, int form, std::uint64_t seed) {
  generator g(seed);
  gaps v;
  v.missing = (form & 1) != 0;
  for (std::size_t k = 0; v.missing && k < t.x.size(); ++k)
    if (g.below(7) == 0) t.x[k] = float_of(g.next() & 1 ? canonical_nan : 0xff812345);
  for (std::size_t k = 0; (form & 2) && k < t.x.size(); ++k) v.elements.push_back(g.below(5) ? 1 : 0);
  for (std::size_t i = 0; (form & 4) && i < t.rows; ++i)
    v.weights.push_back(g.below(8) == 0 ? 0.0f : static_cast<float>(form & 8 ? g.scale(20) : 1 + g.uniform()));
  return v;
}
constexpr int forms[] = {1, 2, 3, 4, 5, 6, 7, 12, 15};

weighted oracle(const table& t, const gaps& v, std::size_t j) {
  weighted w;
  for (std::size_t i = 0; i < t.rows; ++i) {
    const std::size_t k = i * t.cols + j;
    if (!v.elements.empty() && v.elements[k] == 0) continue;
    if (v.missing && std::isnan(t.x[k])) continue;
    w.add(t.x[k], v.weights.empty() ? 1.0f : v.weights[i]);
  }
  return w;
}

padding pad_of(const gaps& v) {
  return v.elements.empty() ? padding{} : padding::element_mask(v.elements);
}

TEST_P(scaling_test, moments_with_gaps_and_weights) {
  double worst_mean = 0, worst_m2 = 0;
  case_turns turns;
  for (const int form : forms)
    for (table t : tables()) {
      if (turns.skips()) continue;
      const gaps v = make_gaps(t, form, t.rows + static_cast<std::uint64_t>(form));
      std::vector<moments> out(t.cols);
      ASSERT_EQ(column_moments({t.x.data(), t.rows, t.cols}, out,
                               {.pad = pad_of(v), .weights = v.weights, .nan_is_missing = v.missing}),
                status::ok);
      for (std::size_t j = 0; j < t.cols; ++j) {
        const weighted e = oracle(t, v, j);
        const std::string where =
            t.name + " " + std::to_string(t.rows) + ", form " + std::to_string(form) + ", column " + std::to_string(j);
        ASSERT_EQ(out[j].count, e.count) << where;
        ASSERT_LE(std::fabs(out[j].weight - static_cast<double>(e.weight)), 1e-14 * out[j].weight) << where;
        ASSERT_EQ(out[j].min, e.min) << where;
        ASSERT_EQ(out[j].max, e.max) << where;
        const double sigma = static_cast<double>(e.sigma()), m2 = static_cast<double>(e.m2);
        const double mean_error = static_cast<double>(absolute(static_cast<wide>(out[j].mean) - e.mean));
        const double m2_error = static_cast<double>(absolute(static_cast<wide>(out[j].m2) - e.m2));
        // The bounds of column_accuracy_test.
        ASSERT_LE(mean_error, sigma * 0x1p-22 + std::fabs(static_cast<double>(e.mean)) * 0x1p-51)
            << where << ": mean " << out[j].mean << " should be " << static_cast<double>(e.mean);
        ASSERT_LE(m2_error, m2 * 0x1p-22) << where << ": m2 " << out[j].m2 << " should be " << m2;
        if (sigma == 0) continue;
        worst_mean = std::max(worst_mean, mean_error / sigma);
        worst_m2 = std::max(worst_m2, m2_error / m2);
      }
    }
  std::printf("             %s: largest error of the mean %.3g sigma, of m2 %.3g of itself\n",
              here("moments with gaps and weights").c_str(), worst_mean, worst_m2);
}

TEST_P(scaling_test, standardize_with_gaps_and_weights) {
  gate g(here("standardize with gaps and weights"));
  case_turns turns;
  for (const int form : forms)
    for (table t : tables()) {
      if (turns.skips()) continue;
      const gaps v = make_gaps(t, form, t.rows);
      std::vector<double> mean(t.cols), scale(t.cols);
      std::vector<float> y(t.x.size(), 9);
      ASSERT_EQ(standardize({t.x.data(), t.rows, t.cols}, {y.data(), t.rows, t.cols}, mean, scale,
                            {.pad = pad_of(v), .weights = v.weights, .nan_is_missing = v.missing}),
                status::ok);
      for (std::size_t j = 0; j < t.cols; ++j) {
        const weighted e = oracle(t, v, j);
        const wide divisor = e.m2 == 0 ? wide(1) : e.sigma();
        if (e.m2 == 0) {
          ASSERT_EQ(scale[j], 1.0);
        }
        for (std::size_t i = 0; i < t.rows; ++i) {
          const std::size_t k = i * t.cols + j;
          if (!v.elements.empty() && v.elements[k] == 0) {
            ASSERT_EQ(bits_of(y[k]), 0u);
          } else if (std::isnan(t.x[k])) {
            ASSERT_EQ(bits_of(y[k]), canonical_nan);
          } else if (e.count > 0) {
            // Rows of weight 0 are scaled, too: far from the others they may be large.
            g.check(y[k], (static_cast<wide>(t.x[k]) - e.mean) / divisor, t.name + " form " + std::to_string(form), k);
          }
        }
      }
    }
  g.report();
}

TEST_P(scaling_test, batch_norm_with_gaps) {
  gate g(here("batch norm with gaps"));
  for (table t : tables()) {
    const gaps v = make_gaps(t, 2, t.rows);
    std::vector<float> y(t.x.size(), 9), mean(t.cols), rstd(t.cols), running_mean(t.cols, 2),
        running_variance(t.cols, 3);
    batch_norm_options o;
    o.epsilon = 1e-5;
    o.pad = pad_of(v);
    o.mean_out = mean;
    o.rstd_out = rstd;
    o.running_mean = running_mean;
    o.running_variance = running_variance;
    ASSERT_EQ(batch_norm_training({t.x.data(), t.rows, t.cols}, {y.data(), t.rows, t.cols}, o), status::ok);
    for (std::size_t j = 0; j < t.cols; ++j) {
      const weighted e = oracle(t, v, j);
      const wide variance = e.count ? e.m2 / e.weight : wide(0), r = oracle_rstd(variance, 1e-5);
      for (std::size_t i = 0; i < t.rows; ++i) {
        const std::size_t k = i * t.cols + j;
        if (v.elements[k]) {
          g.check(y[k], (static_cast<wide>(t.x[k]) - e.mean) * r, t.name, k);
        } else {
          ASSERT_EQ(bits_of(y[k]), 0u);
        }
      }
      const auto close = [](float is, wide should, double slack) {
        return std::isinf(is) ||
               static_cast<double>(absolute(static_cast<wide>(is) - should)) <= ulp_f32(should) + slack;
      };
      const double sigma = static_cast<double>(e.sigma());
      ASSERT_TRUE(close(mean[j], e.mean, sigma * 0x1p-22)) << mean[j];
      ASSERT_TRUE(close(rstd[j], e.count ? r : wide(0), static_cast<double>(r) * 0x1p-22)) << rstd[j];
      const wide tenth = static_cast<wide>(0.1), kept = static_cast<wide>(0.9);
      ASSERT_TRUE(close(running_mean[j], e.count ? kept * 2 + tenth * e.mean : wide(2), sigma * 0x1p-22));
      const wide unbiased = e.count > 1 ? e.m2 / static_cast<wide>(e.count - 1) : wide(0);
      ASSERT_TRUE(close(running_variance[j], e.count > 1 ? kept * 3 + tenth * unbiased : wide(3),
                        static_cast<double>(unbiased) * 0x1p-22))
          << running_variance[j] << ", " << e.count << " values";
    }
  }
  g.report();
}

// Weights of 1 and no gaps: the bits of the plain call. Weights that are integers: as if rows stood there so often.
TEST_P(scaling_test, weights_of_one_and_whole_weights) {
  for (const table& t : tables()) {
    const matrix_view<const float> x{t.x.data(), t.rows, t.cols};
    std::vector<moments> plain(t.cols), ones(t.cols), twos(t.cols), repeated(t.cols);
    const std::vector<float> one(t.rows, 1.0f);
    std::vector<float> some, more;
    std::size_t count = 0;
    for (std::size_t i = 0; i < t.rows; ++i) {
      some.push_back(static_cast<float>(i * 7 % 4));
      for (std::size_t k = 0; k < i * 7 % 4; ++k, ++count)
        more.insert(more.end(), t.x.begin() + static_cast<std::ptrdiff_t>(i * t.cols),
                    t.x.begin() + static_cast<std::ptrdiff_t>((i + 1) * t.cols));
    }
    ASSERT_EQ(column_moments(x, plain), status::ok);
    ASSERT_EQ(column_moments(x, ones, {.weights = one}), status::ok);
    for (std::size_t j = 0; j < t.cols; ++j) {
      ASSERT_EQ(bits_of(ones[j].mean), bits_of(plain[j].mean)) << t.name << " " << t.rows << ", column " << j;
      ASSERT_EQ(bits_of(ones[j].m2), bits_of(plain[j].m2)) << t.name << " " << t.rows << ", column " << j;
      ASSERT_EQ(ones[j].weight, static_cast<double>(t.rows));
    }
    if (count == 0) continue;
    ASSERT_EQ(column_moments(x, twos, {.weights = some}), status::ok);
    ASSERT_EQ(column_moments({more.data(), count, t.cols}, repeated), status::ok);
    for (std::size_t j = 0; j < t.cols; ++j) {
      ASSERT_EQ(twos[j].weight, static_cast<double>(count));
      const double sigma = std::sqrt(repeated[j].m2 / repeated[j].weight);
      ASSERT_LE(std::fabs(twos[j].mean - repeated[j].mean), 0x1p-21 * sigma + std::fabs(repeated[j].mean) * 0x1p-50);
      ASSERT_LE(std::fabs(twos[j].m2 - repeated[j].m2), 0x1p-21 * repeated[j].m2);
    }
  }
}

// Weights at the ends of f32, and rows that do not count whatever they hold.
TEST_P(scaling_test, extreme_weights) {
  for (const float w : {0x1p-149f, 0x1p-126f, 1e-30f, 1e30f, std::numeric_limits<float>::max()})
    for (const std::size_t rows : {1, 5, 100}) {
      table t = normal_table(rows, 20);
      gaps v;
      v.weights.assign(rows, w);
      if (rows > 1) {
        v.weights[rows - 1] = 0;
        for (std::size_t j = 0; j < 20; ++j) t.x[(rows - 1) * 20 + j] = float_of(j % 2 ? canonical_nan : 0x7f800000);
      }
      std::vector<moments> out(20);
      ASSERT_EQ(column_moments({t.x.data(), rows, 20}, out, {.weights = v.weights}), status::ok);
      for (std::size_t j = 0; j < 20; ++j) {
        const weighted e = oracle(t, v, j);
        ASSERT_EQ(out[j].count, e.count);
        ASSERT_LE(static_cast<double>(absolute(static_cast<wide>(out[j].weight) - e.weight)), 1e-14 * out[j].weight);
        ASSERT_LE(static_cast<double>(absolute(static_cast<wide>(out[j].mean) - e.mean)),
                  static_cast<double>(e.sigma()) * 0x1p-22 + std::fabs(out[j].mean) * 0x1p-51)
            << w << " " << rows;
        ASSERT_LE(static_cast<double>(absolute(static_cast<wide>(out[j].m2) - e.m2)),
                  static_cast<double>(e.m2) * 0x1p-22)
            << w << " " << rows;
      }
    }
}

// One call is two calls, for every form of gap, in and out of place, whatever is wanted of the parameters.
TEST_P(scaling_test, fit_and_transform_in_one_call) {
  for (const std::size_t cols : {5, 300, 600})
    for (const int form : {0, 1, 2, 4, 7}) {
      table t = normal_table(200, cols);
      const gaps v = make_gaps(t, form, cols);
      const matrix_view<const float> x{t.x.data(), t.rows, cols};
      std::vector<double> a(cols), b(cols), c(cols, 7), d(cols, 7);
      std::vector<float> two(t.x.size()), one(t.x.size()), bare(t.x.size());
      const auto out = [&](std::vector<float>& y) { return matrix_view<float>{y.data(), t.rows, cols}; };
      const auto same = [&](const char* what) {
        ASSERT_TRUE(same_bits(one, two)) << what;
        ASSERT_TRUE(same_bits(bare, two)) << what;
        ASSERT_TRUE(same_bits(a, c)) << what;
        ASSERT_TRUE(same_bits(b, d)) << what;
      };
      const standardize_options so{.pad = pad_of(v), .weights = v.weights, .nan_is_missing = v.missing};
      ASSERT_EQ(standardize_fit(x, a, b, so), status::ok);
      ASSERT_EQ(standardize_transform(x, out(two), a, b, so), status::ok);
      ASSERT_EQ(standardize(x, out(one), c, d, so), status::ok);
      bare = t.x;
      ASSERT_EQ(standardize({bare.data(), t.rows, cols}, out(bare), {}, {}, so), status::ok);
      same("standardize");
      const min_max_options mo{.low = -2, .high = 3, .pad = pad_of(v), .nan_is_missing = v.missing, .clip = form == 2};
      ASSERT_EQ(min_max_fit(x, a, b, mo), status::ok);
      ASSERT_EQ(min_max_transform(x, out(two), a, b, mo), status::ok);
      ASSERT_EQ(min_max(x, out(one), c, d, mo), status::ok);
      bare = t.x;
      ASSERT_EQ(min_max({bare.data(), t.rows, cols}, out(bare), {}, {}, mo), status::ok);
      same("min_max");
      const max_abs_options xo{.pad = pad_of(v), .nan_is_missing = v.missing};
      ASSERT_EQ(max_abs_fit(x, a, xo), status::ok);
      ASSERT_EQ(max_abs_transform(x, out(two), a, xo), status::ok);
      ASSERT_EQ(max_abs(x, out(one), c, xo), status::ok);
      bare = t.x;
      ASSERT_EQ(max_abs({bare.data(), t.rows, cols}, out(bare), {}, xo), status::ok);
      d = b;
      same("max_abs");
    }
}

TEST_P(scaling_test, clipping) {
  const float infinity = std::numeric_limits<float>::infinity();
  const double low[] = {0, 1e-40}, high[] = {1, 2e-40};  // the second column is worked out in doubles
  for (const std::size_t rows : {1, 70}) {
    std::vector<float> x, y(rows * 2);
    const float some[] = {-1, -0.0f, 0.25f, 1, 1.5f, infinity, -infinity, float_of(0xffc00001)};
    for (std::size_t i = 0; i < rows; ++i) x.insert(x.end(), {some[i % 8], some[(i + 3) % 8] * 1e-40f});
    ASSERT_EQ(
        min_max_transform({x.data(), rows, 2}, {y.data(), rows, 2}, low, high, {.low = -3, .high = 0.1, .clip = true}),
        status::ok);
    for (std::size_t k = 0; k < y.size(); ++k) {
      if (std::isnan(x[k])) {
        ASSERT_EQ(bits_of(y[k]), canonical_nan);
        continue;
      }
      const double free = (static_cast<double>(x[k]) - low[k % 2]) / (high[k % 2] - low[k % 2]) * 3.1 - 3;
      ASSERT_GE(y[k], -3.0f);
      ASSERT_LE(y[k], 0.1f);
      ASSERT_NEAR(y[k], std::min(std::max(free, -3.0), 0.1), 2e-6) << x[k];
    }
  }
}

TEST_P(scaling_test, max_abs) {
  gate g(here("max_abs")), back(here("max_abs inverse"));
  for (const table& t : tables()) {
    std::vector<double> scale(t.cols);
    std::vector<float> y(t.x.size()), x(t.x.size());
    ASSERT_EQ(simdnorm::max_abs({t.x.data(), t.rows, t.cols}, {y.data(), t.rows, t.cols}, scale), status::ok);
    ASSERT_EQ(max_abs_inverse(matrix_view<const float>{y.data(), t.rows, t.cols}, {x.data(), t.rows, t.cols}, scale),
              status::ok);
    for (std::size_t j = 0; j < t.cols; ++j) {
      double most = 0;
      for (std::size_t i = 0; i < t.rows; ++i)
        most = std::max(most, std::fabs(static_cast<double>(t.x[i * t.cols + j])));
      if (most == 0) most = 1;
      ASSERT_EQ(scale[j], most);
      for (std::size_t i = 0; i < t.rows; ++i) {
        const std::size_t k = i * t.cols + j;
        const wide exact = static_cast<wide>(t.x[k]) / static_cast<wide>(most);
        g.check(y[k], exact, t.name, k);
        const bool extreme = std::fabs(static_cast<double>(t.x[k])) == most;
        if (extreme) {
          ASSERT_EQ(std::fabs(y[k]), 1.0f);
        }
        const wide again = static_cast<wide>(y[k]) * static_cast<wide>(most);
        back.judge(x[k], static_cast<wide>(y[k]), again, most, ulp_f32(again) / 2, t.name, k);
      }
    }
  }
  g.report();
  back.report();
}

// scikit-learn's rule: a variance that rounding could have made is none.
TEST_P(scaling_test, constant_columns) {
  const auto scale_of = [](moments m, const standardize_options& o = {}) {
    double mean = -1, scale = -1;
    EXPECT_EQ(standardize_parameters({&m, 1}, {&mean, 1}, {&scale, 1}, o), status::ok);
    return scale;
  };
  const auto of = [](double n, double mean, double variance) {
    return moments{static_cast<std::uint64_t>(n), mean, n * variance, mean, mean, n};
  };
  EXPECT_EQ(scale_of(of(10, 3, 0)), 1.0);
  EXPECT_EQ(scale_of(of(10, 0, 1e-300)), 1e-150);  // a mean of 0 leaves nothing to rounding
  const double bound = std::pow(1000 * 100.5 * 0x1p-52, 2);
  EXPECT_EQ(scale_of(of(1000, 100.5, 0.9 * bound)), 1.0);
  EXPECT_DOUBLE_EQ(scale_of(of(1000, 100.5, 1.1 * bound)), std::sqrt(1.1 * bound));
  EXPECT_EQ(scale_of(of(10, 3, 4), {.with_std = false}), 1.0);
  moments m = of(10, 3, 4);
  double mean = -1, scale = -1;
  ASSERT_EQ(standardize_parameters({&m, 1}, {&mean, 1}, {&scale, 1}, {.with_mean = false}), status::ok);
  EXPECT_EQ(mean, 0.0);
  EXPECT_EQ(scale, 2.0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(bits_of(scale_of({2, nan, nan, nan, nan, 2})), canonical_nan_f64);
  EXPECT_EQ(scale_of({}), 1.0);
  // With the options a matrix is scaled and not moved, or moved and not scaled.
  const float x[] = {1, 2, 3, 4};
  float y[4];
  ASSERT_EQ(standardize({x, 4, 1}, {y, 4, 1}, {&mean, 1}, {&scale, 1}, {.with_mean = false}), status::ok);
  for (int i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(y[i], static_cast<float>(x[i] / std::sqrt(1.25)));
  ASSERT_EQ(standardize({x, 4, 1}, {y, 4, 1}, {}, {}, {.with_std = false}), status::ok);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(y[i], x[i] - 2.5f);
}

// A fit in pieces: moments of a state are parameters, with the bits of a fit in one shot.
TEST_P(scaling_test, parameters_from_a_state) {
  for (const int form : {0, 1, 4, 5}) {
    table t = normal_table(5000, 9);
    const gaps v = make_gaps(t, form, 3);
    column_accumulator a(t.cols);
    for (std::size_t row = 0; row < t.rows;) {
      const std::size_t n = std::min<std::size_t>(t.rows - row, 1 + row % 777);
      column_options o{.nan_is_missing = v.missing};
      if (!v.weights.empty()) o.weights = std::span<const float>(v.weights).subspan(row, n);
      ASSERT_EQ(a.update({t.x.data() + row * t.cols, n, t.cols}, o), status::ok);
      row += n;
    }
    std::vector<moments> m(t.cols);
    ASSERT_EQ(a.result(m), status::ok);
    std::vector<double> p(t.cols), q(t.cols), r(t.cols), s(t.cols);
    const matrix_view<const float> x{t.x.data(), t.rows, t.cols};
    ASSERT_EQ(standardize_parameters(m, p, q), status::ok);
    ASSERT_EQ(standardize_fit(x, r, s, {.weights = v.weights, .nan_is_missing = v.missing}), status::ok);
    EXPECT_TRUE(same_bits(p, r));
    EXPECT_TRUE(same_bits(q, s));
    if (!v.weights.empty()) continue;
    ASSERT_EQ(min_max_parameters(m, p, q), status::ok);
    ASSERT_EQ(min_max_fit(x, r, s, {.nan_is_missing = v.missing}), status::ok);
    EXPECT_TRUE(same_bits(p, r));
    EXPECT_TRUE(same_bits(q, s));
    ASSERT_EQ(max_abs_parameters(m, p), status::ok);
    ASSERT_EQ(max_abs_fit(x, r, {.nan_is_missing = v.missing}), status::ok);
    EXPECT_TRUE(same_bits(p, r));
  }
}

}  // namespace
}  // namespace simdnorm::test

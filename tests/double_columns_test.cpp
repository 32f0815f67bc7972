// SPDX-License-Identifier: Apache-2.0
//
// Column norms of f64: accuracy, hostile columns, bits, padding, arguments.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
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

class double_columns_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(double_columns_test);

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double largest = std::numeric_limits<double>::max();

struct table {
  std::size_t rows, cols;
  std::vector<double> x;
  double epsilon = 1e-5;
  [[nodiscard]] std::vector<double> column(std::size_t j) const {
    std::vector<double> v;
    for (std::size_t i = 0; i < rows; ++i) v.push_back(x[i * cols + j]);
    return v;
  }
};

table normal_table(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  table t{rows, cols, std::vector<double>(rows * cols)};
  generator g(seed);
  const double means[] = {0, 0.3, 1, 1e3, 1e6, 1e9, 1e12};
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) t.x[i * cols + j] = means[j % 7] + g.normal();
  return t;
}
// The hostile rows of this epsilon as columns.
table hostile_table(std::size_t rows, double epsilon) {
  std::vector<hostile_doubles> lines;
  for (hostile_doubles& line : hostile_rows_f64(rows))
    if (line.epsilon == epsilon) lines.push_back(line);
  table t{rows, lines.size(), std::vector<double>(rows * lines.size()), epsilon};
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < t.cols; ++j) t.x[i * t.cols + j] = lines[j].x[i];
  return t;
}
std::vector<table> tables() {
  std::vector<table> all;
  for (const std::size_t rows : {1, 2, 3, 50, 400})
    for (const std::size_t cols : {1, 3, 4, 7, 16, 65, 130}) all.push_back(normal_table(rows, cols, rows + cols));
  for (const std::size_t rows : {2, 3, 65, 300})
    for (const double epsilon : {0.0, 1e-5, 1e-12, 1e300}) all.push_back(hostile_table(rows, epsilon));
  return all;
}

struct worst_of {
  std::string what;
  double bound = 2.5, worst = 0;
  std::size_t checked = 0;
  // |y - exact| in units, beyond the slack.
  void check(double y, wide exact, wide unit, wide slack = 0) {
    ++checked;
    if (std::isinf(y) && (y > 0) == (exact > 0) && absolute(exact) + 3 * unit + slack >= static_cast<wide>(largest))
      return;
    const wide error = absolute(static_cast<wide>(y) - exact);
    const double ulps = error <= slack ? 0 : error == error ? static_cast<double>((error - slack) / unit) : infinity;
    worst = std::max(worst, ulps);
    EXPECT_TRUE(ulps <= bound) << what << ": " << y << ", should be " << static_cast<double>(exact) << ": " << ulps;
  }
  ~worst_of() { std::printf("             %s: largest error %.3f ulp of %zu\n", what.c_str(), worst, checked); }
};
wide unit_of(wide xhat) {
  return static_cast<wide>(ulp_f64(absolute(xhat) < 1 ? wide(1) : xhat));
}

TEST_P(double_columns_test, moments_are_right) {
  worst_of means{"mean, in ulps of max(|mean|, std)"}, squares{"m2"};
  for (const table& t : tables()) {
    std::vector<moments> m(t.cols);
    ASSERT_EQ(column_moments({t.x.data(), t.rows, t.cols}, m), status::ok);
    for (std::size_t j = 0; j < t.cols; ++j) {
      const std::vector<double> x = t.column(j);
      const exact_moments e = oracle_moments(x.data(), t.rows);
      EXPECT_EQ(m[j].count, t.rows);
      EXPECT_EQ(m[j].weight, static_cast<double>(t.rows));
      EXPECT_EQ(bits_of(m[j].min), bits_of(e.min));
      EXPECT_EQ(bits_of(m[j].max), bits_of(e.max));
      means.check(m[j].mean, e.mean,
                  static_cast<wide>(ulp_f64(absolute(e.mean) > e.sigma() ? absolute(e.mean) : e.sigma())));
      squares.check(m[j].m2, e.m2, static_cast<wide>(ulp_f64(e.m2)));
    }
  }
}

TEST_P(double_columns_test, batch_norm_meets_the_gate) {
  worst_of bare{"batch_norm"}, affine{"batch_norm, gamma and beta"}, inference{"batch_norm, inference"};
  for (const table& t : tables()) {
    std::vector<double> y(t.x.size()), z(t.x.size()), w(t.x.size()), mean(t.cols), rstd(t.cols), running(t.cols, 2),
        variance(t.cols, 3), given_mean(t.cols), given_variance(t.cols);
    generator g(5);
    std::vector<double> gamma(t.cols), beta(t.cols);
    for (double& v : gamma) v = 1 + g.normal() / 4;
    for (double& v : beta) v = g.normal();
    batch_norm_options o;
    o.epsilon = t.epsilon;
    ASSERT_EQ(batch_norm_training({t.x.data(), t.rows, t.cols}, {y.data(), t.rows, t.cols}, o), status::ok);
    o.gamma = gamma;
    o.beta = beta;
    o.mean_out = mean;
    o.rstd_out = rstd;
    o.running_mean = running;
    o.running_variance = variance;
    ASSERT_EQ(batch_norm_training({t.x.data(), t.rows, t.cols}, {z.data(), t.rows, t.cols}, o), status::ok);
    for (std::size_t j = 0; j < t.cols; ++j) {
      const std::vector<double> x = t.column(j);
      const exact_moments e = oracle_moments(x.data(), t.rows);
      given_mean[j] = static_cast<double>(e.mean);
      given_variance[j] = static_cast<double>(e.variance());
      const wide r = oracle_rstd(e.variance(), t.epsilon);
      const bool constant = e.min == e.max;
      for (std::size_t i = 0; i < t.rows; ++i) {
        const wide exact = (static_cast<wide>(x[i]) - e.mean) * r;
        const double got = y[i * t.cols + j], full = z[i * t.cols + j];
        if (constant) {
          ASSERT_EQ(bits_of(got), 0u);
          ASSERT_EQ(bits_of(full), bits_of(beta[j]));
        }
        bare.check(got, exact, unit_of(exact));
        const wide with = exact * static_cast<wide>(gamma[j]) + static_cast<wide>(beta[j]);
        affine.check(full, with, static_cast<wide>(std::fabs(gamma[j])) * unit_of(exact),
                     static_cast<wide>(ulp_f64(with)) / 2);
      }
      const double var = given_variance[j];
      EXPECT_NEAR(running[j], 0.9 * 2 + 0.1 * given_mean[j], 1e-15 * (2 + std::fabs(0.1 * given_mean[j])));
      if (t.rows == 1) {
        EXPECT_EQ(variance[j], 3.0);
      } else if (var < 1e300) {
        const double n = static_cast<double>(t.rows);
        EXPECT_NEAR(variance[j], 0.9 * 3 + 0.1 * var * (n / (n - 1)), 1e-15 * (3 + var));
      }
    }
    o = {};
    o.epsilon = t.epsilon;
    for (double& v : given_variance) v = std::min(v, 1e300);
    ASSERT_EQ(
        batch_norm_inference({t.x.data(), t.rows, t.cols}, {w.data(), t.rows, t.cols}, given_mean, given_variance, o),
        status::ok);
    for (std::size_t i = 0; i < t.rows; ++i) {
      for (std::size_t j = 0; j < t.cols; ++j) {
        const wide r = oracle_rstd(static_cast<wide>(given_variance[j]), t.epsilon);
        const wide exact = (static_cast<wide>(t.x[i * t.cols + j]) - static_cast<wide>(given_mean[j])) * r;
        inference.check(w[i * t.cols + j], exact, unit_of(exact));
      }
    }
  }
}

TEST_P(double_columns_test, scaling_is_right_and_comes_back) {
  worst_of z{"standardize"}, scales{"scale of standardize"}, unit{"min_max, in ulps of max(1, |y|)"}, most{"max_abs"},
      back{"inverses, in ulps of what they are sums of"};
  for (const table& t : tables()) {
    const matrix_view<const double> x{t.x.data(), t.rows, t.cols};
    std::vector<double> y(t.x.size()), again(t.x.size()), one(t.cols), two(t.cols), three(t.cols), four(t.cols);
    const matrix_view<double> to{y.data(), t.rows, t.cols}, other{again.data(), t.rows, t.cols};
    const auto each = [&](auto&& work) {
      for (std::size_t i = 0; i < t.rows; ++i)
        for (std::size_t j = 0; j < t.cols; ++j)
          work(static_cast<wide>(t.x[i * t.cols + j]), y[i * t.cols + j], again[i * t.cols + j], j);
    };
    ASSERT_EQ(standardize(x, to, one, two), status::ok);
    ASSERT_EQ(standardize_fit(x, three, four), status::ok);
    ASSERT_TRUE(same_doubles(one, three) && same_doubles(two, four));
    ASSERT_EQ(standardize_transform(x, other, one, two), status::ok);
    ASSERT_TRUE(same_doubles(y, again));
    for (std::size_t j = 0; j < t.cols; ++j) {
      const std::vector<double> column = t.column(j);
      const exact_moments e = oracle_moments(column.data(), t.rows);
      if (two[j] != 1.0 && e.sigma() < static_cast<wide>(1e150) && e.sigma() > static_cast<wide>(1e-140))
        scales.check(two[j], e.sigma(), static_cast<wide>(ulp_f64(e.sigma())));
    }
    const auto usable = [](double scale) { return scale < 0x1p1000 && scale > 0x1p-1000; };
    each([&](wide v, double got, double, std::size_t j) {
      if (!usable(two[j])) return;  // m2 is infinite, or nothing
      const wide exact = (v - static_cast<wide>(one[j])) / static_cast<wide>(two[j]);
      z.check(got, exact, unit_of(exact));
    });
    const std::vector<double> scaled = y;
    ASSERT_EQ(standardize_inverse({scaled.data(), t.rows, t.cols}, other, one, two), status::ok);
    for (std::size_t k = 0; k < y.size(); ++k) {
      const std::size_t j = k % t.cols;
      if (!usable(two[j]) || std::fabs(one[j]) > 1e307) continue;
      const wide part = static_cast<wide>(scaled[k]) * static_cast<wide>(two[j]),
                 exact = part + static_cast<wide>(one[j]);
      const wide size = absolute(part) > absolute(static_cast<wide>(one[j])) ? part : static_cast<wide>(one[j]);
      back.check(again[k], exact, static_cast<wide>(ulp_f64(size)));
    }

    min_max_options o;
    o.low = -1;
    o.high = 2;
    ASSERT_EQ(min_max(x, to, one, two, o), status::ok);
    ASSERT_EQ(min_max_fit(x, three, four), status::ok);
    ASSERT_TRUE(same_doubles(one, three) && same_doubles(two, four));
    each([&](wide v, double got, double, std::size_t j) {
      const wide extent = one[j] == two[j] ? wide(1) : static_cast<wide>(two[j]) - static_cast<wide>(one[j]);
      const wide exact = (v - static_cast<wide>(one[j])) / extent * 3 - 1;
      if (v == static_cast<wide>(one[j])) {
        ASSERT_EQ(got, -1.0);
      }
      unit.check(got, exact, unit_of(exact));
    });
    ASSERT_EQ(min_max_inverse({y.data(), t.rows, t.cols}, other, one, two, o), status::ok);
    for (std::size_t k = 0; k < y.size(); ++k) {
      const std::size_t j = k % t.cols;
      const wide extent = one[j] == two[j] ? wide(1) : static_cast<wide>(two[j]) - static_cast<wide>(one[j]);
      const wide exact = (static_cast<wide>(y[k]) + 1) * extent / 3 + static_cast<wide>(one[j]);
      const wide size = absolute(extent) > absolute(static_cast<wide>(one[j])) ? extent : static_cast<wide>(one[j]);
      back.check(again[k], exact, static_cast<wide>(ulp_f64(size)));
    }
    o.clip = true;
    for (double& v : one) v = v + 0.25;
    ASSERT_EQ(min_max_transform(x, to, one, two, o), status::ok);
    for (const double v : y) ASSERT_TRUE(v >= -1 && v <= 2);

    ASSERT_EQ(max_abs(x, to, one), status::ok);
    ASSERT_EQ(max_abs_fit(x, three), status::ok);
    ASSERT_TRUE(same_doubles(one, three));
    each([&](wide v, double got, double, std::size_t j) {
      const wide exact = v / static_cast<wide>(one[j]);
      most.check(got, exact, static_cast<wide>(ulp_f64(exact)));
    });
    ASSERT_EQ(max_abs_inverse({y.data(), t.rows, t.cols}, other, one), status::ok);
    for (std::size_t k = 0; k < y.size(); ++k)
      back.check(again[k], static_cast<wide>(y[k]) * static_cast<wide>(one[k % t.cols]),
                 static_cast<wide>(ulp_f64(static_cast<wide>(one[k % t.cols]))));
  }
}

// Every output of every function, one after another; of x with rows that a mask leaves out.
std::vector<double> everything(const table& t, const padding& pad, const executor* exec, std::size_t pitch,
                               bool in_place, bool* intact = nullptr) {
  std::vector<double> all;
  const auto put = [&](const std::vector<double>& v) { all.insert(all.end(), v.begin(), v.end()); };
  std::vector<double> gamma(t.cols, 1.5), beta(t.cols, -0.25), a(t.cols), b(t.cols);
  const auto call = [&](auto&& work) {
    offset_arena memory(pitch);
    const double_matrix x(memory, t.rows, t.cols, pitch, &t.x);
    const double_matrix y = in_place ? x : double_matrix(memory, t.rows, t.cols, pitch);
    const auto stride = static_cast<std::ptrdiff_t>(x.pitch);
    EXPECT_EQ(work(matrix_view<const double>{x.data, t.rows, t.cols, stride},
                   matrix_view<double>{y.data, t.rows, t.cols, stride}),
              status::ok);
    if (intact) *intact = *intact && memory.intact() && y.intact();
    put(y.elements());
    put(a);
    put(b);
  };
  batch_norm_options o;
  o.epsilon = t.epsilon;
  o.pad = pad;
  o.exec = exec;
  o.mean_out = a;
  o.rstd_out = b;
  call([&](auto x, auto y) { return batch_norm_training(x, y, o); });
  o.gamma = gamma;
  o.beta = beta;
  call([&](auto x, auto y) { return batch_norm_training(x, y, o); });
  call([&](auto x, auto y) { return standardize(x, y, a, b, {.pad = pad, .exec = exec}); });
  for (double& v : b) v = std::fabs(v);
  call([&](auto x, auto y) { return batch_norm_inference(x, y, a, b, o); });
  call([&](auto x, auto y) { return standardize_inverse(x, y, a, b, {.pad = pad, .exec = exec}); });
  call([&](auto x, auto y) { return min_max(x, y, a, b, {.low = -1, .high = 2, .pad = pad, .exec = exec}); });
  call([&](auto x, auto y) { return min_max_inverse(x, y, a, b, {.pad = pad, .exec = exec}); });
  call([&](auto x, auto y) { return min_max_transform(x, y, a, b, {.pad = pad, .exec = exec, .clip = true}); });
  call([&](auto x, auto y) { return max_abs(x, y, a, {.pad = pad, .exec = exec}); });
  call([&](auto x, auto y) { return max_abs_inverse(x, y, a, {.pad = pad, .exec = exec}); });
  std::vector<moments> m(t.cols);
  const std::size_t before = all.size();
  call([&](auto x, auto) { return column_moments(x, m, {.pad = pad, .exec = exec}); });
  all.resize(before);  // no y
  for (const moments& e : m) put({static_cast<double>(e.count), e.mean, e.m2, e.min, e.max, e.weight});
  return all;
}

TEST_P(double_columns_test, bits_are_those_of_scalar) {
  std::vector<table> all = tables();
  table special = normal_table(40, 20, 3);
  special.x[20 * 3 + 5] = nan;
  special.x[20 * 3 + 6] = -infinity;
  special.x[20 * 5 + 6] = infinity;
  special.x[20 * 7 + 8] = infinity;
  all.push_back(special);
  for (std::size_t k = 0; k < all.size(); ++k) {
    ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
    const std::vector<double> expected = everything(all[k], {}, nullptr, 0, false);
    ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
    bool intact = true;
    ASSERT_TRUE(same_doubles(everything(all[k], {}, nullptr, k % 5, false, &intact), expected)) << k;
    ASSERT_TRUE(intact);
    thread_executor threads(3);
    ASSERT_TRUE(same_doubles(everything(all[k], {}, &threads.c, k % 3, false), expected)) << k;
    for (const double v : expected) {
      if (v != v) {
        ASSERT_EQ(bits_of(v), canonical_nan_f64);
      }
    }
  }
}

TEST_P(double_columns_test, padded_rows_do_not_count) {
  for (const std::size_t cols : {1, 5, 16, 67}) {
    constexpr std::size_t rows = 24;
    const table t = normal_table(rows, cols, cols);
    std::vector<std::uint8_t> mask(rows), bits(3);
    for (const int form : {0, 1, 2, 3}) {
      const std::vector<std::int32_t> lengths = {5, 0, 8}, offsets = {3, 7, 20};
      std::vector<bool> real(rows);
      for (std::size_t i = 0; i < rows; ++i) {
        real[i] = form < 2 ? i % 3 != 1 : form == 2 ? static_cast<int>(i % 8) < lengths[i / 8] : i >= 3 && i < 20;
        mask[i] = real[i];
        if (real[i]) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | 1u << (i % 8));
      }
      if (form == 2) bits.assign(3, 0);
      const auto pad = [&](fill f) {
        if (form == 0) return padding::row_mask(mask, f);
        if (form == 1) return padding::row_mask_bits(bits, rows, f);
        if (form == 2) return padding::sequence_lengths<std::int32_t>(lengths, 8, f);
        return padding::offsets<std::int32_t>(offsets, f);
      };
      table garbage = t, packed{0, cols, {}};
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          if (real[i]) packed.x.push_back(t.x[i * cols + j]);
          if (!real[i]) garbage.x[i * cols + j] = j % 2 == 0 ? nan : infinity;
        }
        packed.rows += real[i];
      }
      const std::vector<double> of = everything(garbage, pad(fill::zero), nullptr, 0, true);
      ASSERT_TRUE(same_doubles(everything(t, pad(fill::zero), nullptr, 2, false), of)) << form;
      const std::vector<double> kept = everything(t, pad(fill::keep), nullptr, 0, false);
      const std::vector<double> dense = everything(packed, {}, nullptr, 0, false);
      // Ten calls with y and two vectors, and the moments.
      std::size_t at = 0, from = 0;
      for (int call = 0; call < 10; ++call) {
        for (std::size_t i = 0; i < rows; ++i) {
          for (std::size_t j = 0; j < cols; ++j, ++at) {
            ASSERT_EQ(bits_of(of[at]), real[i] ? bits_of(dense[from++]) : 0u) << form << " " << call << " " << i;
            ASSERT_EQ(bits_of(kept[at]), real[i] ? bits_of(of[at]) : bits_of(double_unwritten));
          }
        }
        for (std::size_t j = 0; j < 2 * cols; ++j, ++at) ASSERT_EQ(bits_of(of[at]), bits_of(dense[from++]));
      }
      for (std::size_t k = 0; k < 6 * cols; ++k)
        ASSERT_EQ(bits_of(of[of.size() - 1 - k]), bits_of(dense[dense.size() - 1 - k]));
    }
  }
}

// Elements that a mask or NaN leaves out, weights of rows of both types: against the definitions.
TEST_P(double_columns_test, gaps_and_weights) {
  worst_of means{"mean with gaps and weights, in ulps of max(|mean|, std)"}, squares{"m2 with gaps and weights"},
      scaled{"standardize with gaps and weights"}, normalized{"batch_norm with gaps, residual and ReLU"};
  thread_executor threads(3);
  for (const std::size_t rows : {1, 2, 40, 150}) {
    for (const std::size_t cols : {1, 3, 8, 67}) {
      for (int form = 0; form < 16; ++form) {
        const bool masked = form % 2 == 1, bits = form & 2, missing = form & 4, weighted = form & 8;
        table t = normal_table(rows, cols, rows + cols + static_cast<std::size_t>(form));
        generator g(rows * cols + static_cast<std::size_t>(form));
        std::vector<double> weights(rows);
        std::vector<float> floats(rows);
        for (std::size_t i = 0; i < rows; ++i) {
          floats[i] =
              static_cast<float>(g.below(5) == 0 ? 0 : std::ldexp(0.5 + g.uniform(), static_cast<int>(g.below(60))));
          weights[i] = bits ? static_cast<double>(floats[i]) : std::ldexp(static_cast<double>(floats[i]) / 3, 900);
        }
        std::vector<std::uint8_t> marks, packed(rows * ((cols + 7) / 8));
        std::vector<bool> real;
        for (std::size_t k = 0; k < rows * cols; ++k) {
          const std::size_t i = k / cols, j = k % cols;
          marks.push_back(!masked || g.below(3) != 0);
          if (marks[k]) packed[i * ((cols + 7) / 8) + j / 8] |= static_cast<std::uint8_t>(1u << (j % 8));
          if (!marks[k] || (weighted && weights[i] == 0) || (missing && g.below(4) == 0)) t.x[k] = nan;
          real.push_back(t.x[k] == t.x[k]);
        }
        padding pad{};
        if (masked) pad = bits ? padding::element_mask_bits(packed, rows, cols) : padding::element_mask(marks);
        const parameter_view w = !weighted ? parameter_view() : bits ? parameter_view(floats) : parameter_view(weights);
        const matrix_view<const double> x{t.x.data(), rows, cols};
        std::vector<double> y(t.x.size(), double_unwritten), z = y, mean(cols), scale(cols);
        const matrix_view<double> to{y.data(), rows, cols}, on{z.data(), rows, cols};
        std::vector<moments> m(cols), again(cols);
        column_options o{.pad = pad, .weights = w, .nan_is_missing = missing};
        ASSERT_EQ(column_moments(x, m, o), status::ok);
        o.exec = &threads.c;
        ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
        ASSERT_EQ(column_moments(x, again, o), status::ok);
        ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
        ASSERT_EQ(std::memcmp(m.data(), again.data(), cols * sizeof m[0]), 0);
        ASSERT_EQ(standardize(x, to, mean, scale, {.pad = pad, .weights = w, .nan_is_missing = missing}), status::ok);
        for (std::size_t j = 0; j < cols; ++j) {
          wide total = 0, sum = 0, m2 = 0;
          std::uint64_t count = 0;
          double least = infinity, greatest = -infinity;
          const auto each = [&](auto&& work) {
            for (std::size_t i = 0; i < rows; ++i) {
              if (real[i * cols + j])
                work(static_cast<wide>(t.x[i * cols + j]), static_cast<wide>(weighted ? weights[i] : 1));
            }
          };
          each([&](wide v, wide weight) {
            ++count;
            total += weight;
            sum += weight * v;
            least = std::min(least, static_cast<double>(v));
            greatest = std::max(greatest, static_cast<double>(v));
          });
          ASSERT_EQ(m[j].count, count);
          if (count == 0) continue;
          const wide center = sum / total;
          each([&](wide v, wide weight) { m2 += weight * (v - center) * (v - center); });
          const wide sigma = square_root(m2 / total);
          ASSERT_EQ(m[j].min, least);
          ASSERT_EQ(m[j].max, greatest);
          EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(m[j].weight) - total) / total), 0x1p-53);
          means.check(m[j].mean, center,
                      static_cast<wide>(ulp_f64(absolute(center) > sigma ? absolute(center) : sigma)));
          if (least != greatest) squares.check(m[j].m2, m2, static_cast<wide>(ulp_f64(m2)));
          for (std::size_t i = 0; i < rows; ++i) {
            const std::size_t k = i * cols + j;
            if (!marks[k]) {
              ASSERT_EQ(bits_of(y[k]), 0u);
            } else if (t.x[k] != t.x[k]) {
              ASSERT_EQ(bits_of(y[k]), canonical_nan_f64);
            } else if (real[k]) {
              const wide exact = (static_cast<wide>(t.x[k]) - static_cast<wide>(mean[j])) / static_cast<wide>(scale[j]);
              scaled.check(y[k], exact, unit_of(exact));
            }
          }
        }
        if (weighted || missing) continue;
        // Batch norm, a residual and ReLU; in place on the residual.
        const batch_norm_options bo{.pad = pad};
        for (double& v : z) v = g.normal();
        const std::vector<double> residuals = z;
        ASSERT_EQ(batch_norm_training_add(x, on, on, bo), status::ok);
        for (std::size_t j = 0; j < cols; ++j) {
          std::vector<double> column;
          for (std::size_t i = 0; i < rows; ++i) {
            if (real[i * cols + j]) column.push_back(t.x[i * cols + j]);
          }
          const exact_moments e = oracle_moments(column.data(), column.size());
          for (std::size_t i = 0; i < rows; ++i) {
            const std::size_t k = i * cols + j;
            if (!real[k]) {
              ASSERT_EQ(bits_of(z[k]), 0u);
              continue;
            }
            const wide xhat = (static_cast<wide>(t.x[k]) - e.mean) * oracle_rstd(e.variance(), bo.epsilon);
            const wide exact = xhat + static_cast<wide>(residuals[k]);
            normalized.check(z[k], exact > 0 ? exact : wide(0), unit_of(xhat), static_cast<wide>(ulp_f64(exact)) / 2);
          }
        }
      }
    }
  }
}

// Weights of 1 and a mask that leaves nothing out are none; light rows far away do not cost accuracy.
TEST_P(double_columns_test, weights_of_one_and_light_rows) {
  for (const table& t : tables()) {
    std::vector<moments> plain(t.cols), with(t.cols);
    const std::vector<float> ones(t.rows, 1);
    const std::vector<std::uint8_t> all(t.rows * t.cols, 1);
    column_options o;
    o.weights = ones;
    o.pad = padding::element_mask(all);
    ASSERT_EQ(column_moments({t.x.data(), t.rows, t.cols}, plain), status::ok);
    ASSERT_EQ(column_moments({t.x.data(), t.rows, t.cols}, with, o), status::ok);
    ASSERT_EQ(std::memcmp(plain.data(), with.data(), t.cols * sizeof plain[0]), 0);
  }
  worst_of squares{"m2 with light rows"};
  for (const float light : {1e-5f, 1e-20f, 1e-38f}) {
    generator g(6);
    std::vector<double> x(50);
    for (double& v : x) v = 1 + 1e-9 * g.normal();
    x[20] = 1e6;
    std::vector<float> weights(50, 1);
    weights[20] = light;
    wide total = 0, sum = 0, m2 = 0;
    for (std::size_t i = 0; i < 50; ++i) {
      total += static_cast<wide>(weights[i]);
      sum += static_cast<wide>(weights[i]) * static_cast<wide>(x[i]);
    }
    for (std::size_t i = 0; i < 50; ++i) {
      const wide d = static_cast<wide>(x[i]) - sum / total;
      m2 += static_cast<wide>(weights[i]) * d * d;
    }
    column_options o;
    o.weights = weights;
    moments m[1];
    ASSERT_EQ(column_moments({x.data(), 50, 1}, m, o), status::ok);
    squares.check(m[0].m2, m2, static_cast<wide>(ulp_f64(m2)));
  }
}

TEST_P(double_columns_test, no_byte_beyond_is_touched) {
  for (const auto side : {guarded_arena::at_start, guarded_arena::at_end}) {
    for (std::size_t cols = 1; cols <= 40; ++cols) {
      guarded_arena memory(side);
      auto* x = memory.take<double>(3 * cols);
      auto* y = memory.take<double>(3 * cols);
      auto* a = memory.take<double>(cols);
      auto* b = memory.take<double>(cols);
      auto* gamma = memory.take<double>(cols);
      for (std::size_t k = 0; k < 3 * cols; ++k) x[k] = static_cast<double>(k % 7);
      std::fill(gamma, gamma + cols, 1.0);
      batch_norm_options o;
      o.gamma = {gamma, cols};
      o.mean_out = {a, cols};
      o.running_variance = {b, cols};
      std::fill(b, b + cols, 1.0);
      ASSERT_EQ(batch_norm_training({x, 3, cols}, {y, 3, cols}, o), status::ok);
      ASSERT_EQ(batch_norm_inference({x, 3, cols}, {y, 3, cols}, {a, cols}, {b, cols}, {}), status::ok);
      ASSERT_EQ(min_max({x, 3, cols}, {y, 3, cols}, {a, cols}, {b, cols}), status::ok);
    }
  }
}

TEST_P(double_columns_test, a_bad_argument_is_a_status) {
  double x[6] = {1, 2, 3, 4, 5, 6}, y[6], a[2], b[2];
  std::fill(std::begin(y), std::end(y), double_unwritten);
  const matrix_view<const double> in{x, 3, 2};
  const matrix_view<double> out{y, 3, 2};
  float floats[3] = {1, -1, 1};
  column_options weighted;
  weighted.weights = floats;
  std::vector<moments> m(2);
  EXPECT_EQ(column_moments(in, m, weighted), status::invalid_weight);
  simdnorm_column_options weights = simdnorm_column_defaults();
  double doubles[3] = {1, infinity, 1};
  const simdnorm_const_matrix cx{x, 3, 2, 2, SIMDNORM_F64};
  simdnorm_moments c_moments[2] = {};
  const auto with = [&](const void* data, std::size_t size, simdnorm_type type) {
    weights.weights = {data, size, type};
    return simdnorm_column_moments(&cx, c_moments, &weights);
  };
  EXPECT_EQ(with(doubles, 3, SIMDNORM_F64), SIMDNORM_INVALID_WEIGHT);
  EXPECT_EQ(with(doubles, 2, SIMDNORM_F64), SIMDNORM_INVALID_SHAPE);
  EXPECT_EQ(with(doubles, 3, SIMDNORM_BF16), SIMDNORM_UNSUPPORTED_TYPE);
  EXPECT_EQ(with(c_moments, 3, SIMDNORM_F64), SIMDNORM_OVERLAP);
  EXPECT_EQ(standardize(in, out, a, b, {.weights = floats}), status::invalid_weight);
  const std::vector<std::uint8_t> marks(5, 1);
  EXPECT_EQ(batch_norm_training(in, out, {.pad = padding::element_mask(marks)}), status::invalid_padding);
  EXPECT_EQ(batch_norm_training(in, out, {.epsilon = -1}), status::invalid_epsilon);
  EXPECT_EQ(batch_norm_training(in, out, {.momentum = 2}), status::invalid_momentum);
  EXPECT_EQ(batch_norm_training(in, out, {.mean_out = {y, 2}}), status::overlap);
  EXPECT_EQ(batch_norm_training(in, out, {.mean_out = {x, 2}}), status::overlap);
  EXPECT_EQ(batch_norm_training(in, {y, 2, 2}, {}), status::invalid_shape);
  EXPECT_EQ(batch_norm_inference(in, out, {}, {}, {}), status::null_pointer);
  EXPECT_EQ(min_max_fit(in, a, b, {.low = 1, .high = 1}), status::invalid_range);
  EXPECT_EQ(min_max(in, out, {x, 2}, b), status::overlap);
  EXPECT_EQ(standardize_fit(in, a, {a + 1, 2}), status::overlap);
  EXPECT_EQ(max_abs({nullptr, 3, 2}, out, {a, 2}), status::null_pointer);
  simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
  simdnorm_matrix cy{y, 3, 2, 2, SIMDNORM_F64};
  o.activation = SIMDNORM_ACTIVATION_SILU;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_INVALID_ACTIVATION);
  o.activation = SIMDNORM_ACTIVATION_NONE;
  simdnorm_const_tensor residual{x, {3, 2}, {2, 1}, 2, SIMDNORM_F32};
  o.residual = &residual;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_UNSUPPORTED_TYPE);
  residual.type = SIMDNORM_F64;
  residual.data = y + 1;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_OVERLAP);
  residual.data = x;
  residual.sizes[0] = 2;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_INVALID_SHAPE);
  o.residual = nullptr;
  cy.type = SIMDNORM_F32;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_UNSUPPORTED_TYPE);
  for (const double v : y) EXPECT_EQ(bits_of(v), bits_of(double_unwritten));
  ASSERT_EQ(standardize({x, 0, 2}, {y, 0, 2}, a, b), status::ok);
}

}  // namespace
}  // namespace simdnorm::test

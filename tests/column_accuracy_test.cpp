// SPDX-License-Identifier: Apache-2.0
//
// The accuracy gate for column norms, and how good moments are.

#include <gtest/gtest.h>

#include <vector>

#include "support/data.hpp"
#include "support/gate.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class column_accuracy_test : public isa_fixture {
 protected:
  [[nodiscard]] static std::string here(const char* op) {
    return std::string(op) + ", " + simdnorm_isa_name(GetParam());
  }
};
SIMDNORM_FOR_EACH_ISA(column_accuracy_test);

// What the gate needs of a column's moments. An error e of the mean moves every x^ by e / sigma, and
// the gate allows 2.5 * 2^-23; a relative error e of m2 moves x^ by |x^| * e / 2, and half an ulp of
// x^ is |x^| * 2^-25 at least: 2^-22 takes two of the 2.5 where x^ is just below a power of two. Sums
// of 64 squares in f32, 16 at a time, are off by 19 * 2^-24 = 2^-19.8 at the very worst and by a
// random walk of sqrt(19) * 2^-24 = 2^-21.9 as a rule.
constexpr double mean_bound = 0x1p-22, m2_bound = 0x1p-22;

struct matrix {
  std::size_t rows = 0, cols = 0;
  std::vector<float> x;
  std::string name;
  std::vector<std::string> columns;  // names, may be empty
  double epsilon = 1e-5;
  [[nodiscard]] std::string where(std::size_t j) const {
    return name + ", " + std::to_string(rows) + "x" + std::to_string(cols) + ", column " + std::to_string(j) +
           (columns.empty() ? "" : " (" + columns[j] + ")");
  }
};

// Column j is N(R_j, sigma_j): neighbours differ in both.
matrix normal_matrix(std::uint64_t seed, std::size_t rows, std::size_t cols) {
  static const double centres[] = {0, 1, 1e3, 1e4, 1e6};
  matrix m{rows, cols, std::vector<float>(rows * cols), "N(R, 1)", {}};
  generator g(seed);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j)
      m.x[i * cols + j] = static_cast<float>(((j & 1) ? -1 : 1) * centres[j % 5] + g.normal());
  return m;
}

// Every hostile row as a column; one matrix for each epsilon.
std::vector<matrix> hostile_matrices(std::size_t rows) {
  std::vector<matrix> all;
  for (const double epsilon : {0.0, 1e-12, 1e-5}) {
    const std::vector<hostile_row> source = hostile_rows(rows);
    matrix m{rows, source.size(), std::vector<float>(rows * source.size()), "hostile", {}, epsilon};
    for (std::size_t j = 0; j < source.size(); ++j) {
      m.columns.push_back(source[j].name);
      for (std::size_t i = 0; i < rows; ++i) m.x[i * m.cols + j] = source[j].x[i];
    }
    all.push_back(std::move(m));
  }
  return all;
}

exact_moments column(const matrix& m, std::size_t j) {
  return oracle_moments(m.x.data() + j, m.rows, static_cast<std::ptrdiff_t>(m.cols));
}

std::vector<matrix> normal_matrices() {
  std::vector<matrix> all;
  case_turns turns;
  const auto add = [&](std::uint64_t seed, std::size_t rows, std::size_t cols) {
    if (!turns.skips()) all.push_back(normal_matrix(seed, rows, cols));
  };
  for (const std::size_t rows : {1, 2, 3, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 333, 1000})
    for (const std::size_t cols : {1, 5, 17, 65}) add(rows * 1000 + cols, rows, cols);
  for (const std::size_t rows : {16, 17, 31, 33, 48, 63, 65, 96, 129}) add(rows + 77, rows, 500);
  for (const std::size_t rows : {4095, 4096, 4097, 8192, 20000}) add(rows, rows, 10);
  add(1, 70, 600);
  return all;
}

void check_moments(const matrix& m, double& worst_mean, double& worst_m2) {
  std::vector<moments> out(m.cols);
  ASSERT_EQ(column_moments({m.x.data(), m.rows, m.cols}, out), status::ok) << m.name;
  for (std::size_t j = 0; j < m.cols; ++j) {
    const exact_moments e = column(m, j);
    EXPECT_EQ(out[j].count, m.rows) << m.where(j);
    const double sigma = static_cast<double>(e.sigma());
    const double mean_error = static_cast<double>(absolute(static_cast<wide>(out[j].mean) - e.mean));
    const double m2_error = static_cast<double>(absolute(static_cast<wide>(out[j].m2) - e.m2));
    // A double cannot hold the mean better than 2^-53 of itself.
    EXPECT_LE(mean_error, sigma * mean_bound + std::fabs(static_cast<double>(e.mean)) * 0x1p-51)
        << m.where(j) << ": mean " << out[j].mean;
    EXPECT_LE(m2_error, static_cast<double>(e.m2) * m2_bound)
        << m.where(j) << ": m2 " << out[j].m2 << " should be " << static_cast<double>(e.m2);
    EXPECT_EQ(bits_of(out[j].min), bits_of(e.min)) << m.where(j) << ": min " << out[j].min;
    EXPECT_EQ(bits_of(out[j].max), bits_of(e.max)) << m.where(j) << ": max " << out[j].max;
    if (sigma > 0) {
      worst_mean = std::max(worst_mean, mean_error / sigma);
      worst_m2 = std::max(worst_m2, m2_error / static_cast<double>(e.m2));
    }
  }
}

TEST_P(column_accuracy_test, moments) {
  double mean = 0, m2 = 0;
  for (const matrix& m : normal_matrices()) check_moments(m, mean, m2);
  for (const std::size_t rows : {1, 2, 63, 64, 65, 129, 500, 4200})
    for (const matrix& m : hostile_matrices(rows)) check_moments(m, mean, m2);
  std::printf("             %s: largest error of the mean %.3g sigma, of m2 %.3g of itself\n",
              here("column_moments").c_str(), mean, m2);
  RecordProperty("mean_error_in_sigma", std::to_string(mean * 1e9) + "e-9");
  RecordProperty("m2_relative_error", std::to_string(m2 * 1e9) + "e-9");
}

void check_batch_norm(gate& g, const matrix& m, bool affine) {
  std::vector<float> y(m.x.size(), -1), gamma, beta, mean(m.cols, -1), rstd(m.cols, -1);
  batch_norm_options o;
  o.epsilon = m.epsilon;
  generator random(m.rows);
  if (affine) {
    for (std::size_t j = 0; j < m.cols; ++j) {
      gamma.push_back(static_cast<float>(std::ldexp(random.normal(), static_cast<int>(random.below(20)) - 10)));
      beta.push_back(static_cast<float>(std::ldexp(random.normal(), static_cast<int>(random.below(20)) - 10)));
    }
    o.gamma = gamma;
    o.beta = beta;
    o.mean_out = mean;
    o.rstd_out = rstd;
  }
  ASSERT_EQ(batch_norm_training({m.x.data(), m.rows, m.cols}, {y.data(), m.rows, m.cols}, o), status::ok);
  for (std::size_t j = 0; j < m.cols; ++j) {
    const exact_moments e = column(m, j);
    const wide r = oracle_rstd(e.variance(), m.epsilon);
    const std::string where = m.where(j);
    for (std::size_t i = 0; i < m.rows; ++i) {
      const std::size_t k = i * m.cols + j;
      const wide xhat = (static_cast<wide>(m.x[k]) - e.mean) * r;
      if (affine)
        g.check(y[k], xhat, gamma[j], beta[j], where, i);
      else
        g.check(y[k], xhat, where, i);
    }
    if (!affine) continue;
    EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(mean[j]) - e.mean)),
              ulp_f32(e.mean) / 2 * 1.0001 + static_cast<double>(e.sigma()) * mean_bound)
        << where << ": mean_out " << mean[j];
    if (e.variance() + static_cast<wide>(m.epsilon) == 0) continue;
    const double exact = static_cast<double>(r);
    if (exact > 0x1.fffffep127) {
      EXPECT_GE(rstd[j], 0x1.fffffep127f) << where;
    } else {
      EXPECT_LE(std::fabs(static_cast<double>(rstd[j]) - exact), ulp_f32(exact) / 2 * 1.0001 + exact * m2_bound)
          << where << ": rstd_out " << rstd[j] << " should be " << exact;
    }
  }
}

TEST_P(column_accuracy_test, batch_norm_training) {
  gate plain(here("batch_norm")), affine(here("batch_norm affine"));
  for (const matrix& m : normal_matrices()) {
    check_batch_norm(plain, m, false);
    check_batch_norm(affine, m, true);
  }
  plain.report();
  affine.report();
}

TEST_P(column_accuracy_test, batch_norm_training_of_hostile_columns) {
  gate plain(here("batch_norm hostile")), affine(here("batch_norm hostile affine"));
  for (const std::size_t rows : {1, 2, 3, 63, 64, 65, 129, 500, 4200})
    for (const matrix& m : hostile_matrices(rows)) {
      check_batch_norm(plain, m, false);
      check_batch_norm(affine, m, true);
    }
  plain.report();
  affine.report();
}

// Blocks whose means have nothing to do with each other or with the first.
TEST_P(column_accuracy_test, columns_that_drift_and_jump) {
  gate g(here("batch_norm drifting"));
  double mean = 0, m2 = 0;
  for (const std::size_t rows : {100, 640, 5000}) {
    matrix m{rows, 8, std::vector<float>(rows * 8), "drift", {}};
    generator random(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      const double t = static_cast<double>(i), noise = random.normal();
      const double columns[] = {t + noise,
                                1e6 - t + noise,
                                static_cast<double>(i / 64) * 1e4 + noise,
                                (i / 50 % 2 ? 1e6 : -1e6) + noise,
                                i < 64 ? 1e6 : noise,
                                i % 64 == 0 ? 1e6 : noise,
                                i + 1 == rows ? 1e6 : noise,
                                i == 0 ? 1e30 : 1e28 * noise};
      for (std::size_t j = 0; j < 8; ++j) m.x[i * 8 + j] = static_cast<float>(columns[j]);
    }
    check_moments(m, mean, m2);
    check_batch_norm(g, m, false);
  }
  g.report();
}

// running = (1 - momentum) * running + momentum * batch; PyTorch's variance divides by n - 1, ONNX'
// by n.
TEST_P(column_accuracy_test, running_statistics) {
  for (const std::size_t rows : {2, 3, 64, 65, 300, 5000})
    for (const bool biased : {false, true})
      for (const double momentum : {0.0, 0.1, 0.5, 1.0}) {
        const matrix m = normal_matrix(rows, rows, 33);
        std::vector<float> y(m.x.size()), mean = normals(1, 33, 2), variance = normals(2, 33, 8, 0.5);
        const std::vector<float> old_mean = mean, old_variance = variance;
        batch_norm_options o;
        o.momentum = momentum;
        o.biased_running_variance = biased;
        o.running_mean = mean;
        o.running_variance = variance;
        ASSERT_EQ(batch_norm_training({m.x.data(), rows, 33}, {y.data(), rows, 33}, o), status::ok);
        for (std::size_t j = 0; j < 33; ++j) {
          const exact_moments e = column(m, j);
          const wide batch = e.m2 / static_cast<wide>(biased ? rows : rows - 1), k = static_cast<wide>(momentum);
          const wide new_mean = (1 - k) * static_cast<wide>(old_mean[j]) + k * e.mean;
          const wide new_variance = (1 - k) * static_cast<wide>(old_variance[j]) + k * batch;
          // Half an ulp of the result, and the allowed errors of the batch's statistics.
          EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(mean[j]) - new_mean)),
                    ulp_f32(new_mean) / 2 * 1.0001 + momentum * static_cast<double>(e.sigma()) * mean_bound)
              << m.where(j) << ", momentum " << momentum;
          EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(variance[j]) - new_variance)),
                    ulp_f32(new_variance) / 2 * 1.0001 + momentum * static_cast<double>(batch) * m2_bound)
              << m.where(j) << ", momentum " << momentum << ", biased " << biased;
          if (momentum == 0) {
            EXPECT_EQ(bits_of(mean[j]), bits_of(old_mean[j]));
            EXPECT_EQ(bits_of(variance[j]), bits_of(old_variance[j]));
          }
        }
      }
}

TEST_P(column_accuracy_test, batch_norm_inference) {
  gate plain(here("batch_norm_inference")), affine(here("batch_norm_inference affine"));
  for (const std::size_t cols : {1, 3, 16, 17, 255, 256, 257, 600})
    for (const double centre : {0.0, 1.0, 1e3, 1e6}) {
      const std::size_t rows = 9;
      generator g(cols);
      const std::vector<float> x = normals(cols, rows * cols, centre, 2);
      std::vector<float> mean = normals(cols + 1, cols, centre), variance, gamma = normals(3, cols, 0, 2),
                         beta = normals(4, cols, 0, 50), y(x.size());
      for (std::size_t j = 0; j < cols; ++j) {
        variance.push_back(static_cast<float>(std::ldexp(1 + g.uniform(), static_cast<int>(g.below(20)) - 10)));
        if (g.below(16) == 0) variance[j] = 0;  // dead channel: epsilon alone
      }
      batch_norm_options o;
      o.epsilon = 1e-3;
      for (const bool with : {false, true}) {
        if (with) {
          o.gamma = gamma;
          o.beta = beta;
        }
        ASSERT_EQ(simdnorm::batch_norm_inference({x.data(), rows, cols}, {y.data(), rows, cols}, mean, variance, o),
                  status::ok);
        for (std::size_t k = 0; k < x.size(); ++k) {
          const std::size_t j = k % cols;
          const wide xhat = (static_cast<wide>(x[k]) - static_cast<wide>(mean[j])) *
                            oracle_rstd(static_cast<wide>(variance[j]), 1e-3);
          const std::string where = "column " + std::to_string(j) + " of " + std::to_string(cols);
          if (with)
            affine.check(y[k], xhat, gamma[j], beta[j], where, k);
          else
            plain.check(y[k], xhat, where, k);
        }
      }
    }
  plain.report();
  affine.report();
}

// Given statistics at the ends of the f32 range.
TEST_P(column_accuracy_test, batch_norm_inference_at_the_ends_of_the_range) {
  gate g(here("batch_norm_inference, extreme"));
  struct column_case {
    float mean, variance;
    double spread;
    double epsilon;
  };
  for (const column_case& c :
       {column_case{3e38f, 1e38f, 1e36, 0}, column_case{0, 1e-38f, 1e-19, 0}, column_case{0, 1e-44f, 1e-22, 0},
        column_case{-2e38f, 3e38f, 5e37, 1e-5}, column_case{1e6f, 1e-8f, 1, 0}, column_case{0.1f, 0, 1e-3, 1e-12}}) {
    std::vector<float> x = normals(1, 300, 0, 0.3), y(300);
    for (float& v : x)
      v = static_cast<float>(static_cast<double>(c.mean) * (1 - 0x1p-10) + c.spread * static_cast<double>(v));
    batch_norm_options o;
    o.epsilon = c.epsilon;
    const float mean[] = {c.mean}, variance[] = {c.variance};
    ASSERT_EQ(simdnorm::batch_norm_inference({x.data(), 300, 1}, {y.data(), 300, 1}, mean, variance, o), status::ok);
    for (std::size_t i = 0; i < 300; ++i)
      g.check(
          y[i],
          (static_cast<wide>(x[i]) - static_cast<wide>(c.mean)) * oracle_rstd(static_cast<wide>(c.variance), c.epsilon),
          "mean " + std::to_string(c.mean) + ", variance " + std::to_string(c.variance), i);
  }
  g.report();
}

TEST_P(column_accuracy_test, standardize) {
  gate g(here("standardize"));
  gate back(here("standardize inverse"));
  std::vector<matrix> all = normal_matrices();
  for (const std::size_t rows : {2, 65, 300})
    for (matrix& m : hostile_matrices(rows)) all.push_back(std::move(m));
  for (const matrix& m : all) {
    std::vector<double> mean(m.cols, -1), scale(m.cols, -1);
    std::vector<float> y(m.x.size()), x(m.x.size());
    const matrix_view<const float> source{m.x.data(), m.rows, m.cols};
    ASSERT_EQ(standardize_fit(source, mean, scale), status::ok);
    ASSERT_EQ(standardize_transform(source, {y.data(), m.rows, m.cols}, mean, scale), status::ok);
    ASSERT_EQ(standardize_inverse(matrix_view<const float>{y.data(), m.rows, m.cols}, {x.data(), m.rows, m.cols}, mean,
                                  scale),
              status::ok);
    for (std::size_t j = 0; j < m.cols; ++j) {
      const exact_moments e = column(m, j);
      const std::string where = m.where(j);
      const double sigma = static_cast<double>(e.sigma());
      EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(mean[j]) - e.mean)),
                sigma * mean_bound + std::fabs(static_cast<double>(e.mean)) * 0x1p-51)
          << where;
      if (e.m2 == 0)
        EXPECT_EQ(scale[j], 1.0) << where;
      else
        EXPECT_LE(std::fabs(scale[j] - sigma), sigma * m2_bound) << where;
      const wide divisor = e.m2 == 0 ? wide(1) : e.sigma();
      for (std::size_t i = 0; i < m.rows; ++i) {
        const std::size_t k = i * m.cols + j;
        g.check(y[k], (static_cast<wide>(m.x[k]) - e.mean) / divisor, where, i);
        // Back again, from the y that came out and the fitted doubles: x = y * scale + mean, where
        // f32 holds mean and x to half an ulp each.
        const wide expected = static_cast<wide>(y[k]) * static_cast<wide>(scale[j]) + static_cast<wide>(mean[j]);
        const double slack = (ulp_f32(expected) + ulp_f32(mean[j])) / 2;
        back.judge(x[k], static_cast<wide>(y[k]), expected, scale[j], slack, where, i);
      }
    }
  }
  g.report();
  back.report();
}

TEST_P(column_accuracy_test, min_max) {
  gate g(here("min_max")), back(here("min_max inverse"));
  std::vector<matrix> all = normal_matrices();
  for (const std::size_t rows : {2, 65, 300})
    for (matrix& m : hostile_matrices(rows)) all.push_back(std::move(m));
  case_turns turns;
  for (const matrix& m : all)
    for (const auto& [low, high] : {std::pair{0.0, 1.0}, std::pair{-1.0, 1.0}, std::pair{100.0, 100.5}}) {
      if (turns.skips()) continue;
      std::vector<double> least(m.cols, -1), greatest(m.cols, -1);
      std::vector<float> y(m.x.size()), x(m.x.size());
      const matrix_view<const float> source{m.x.data(), m.rows, m.cols};
      min_max_options o;
      o.low = low;
      o.high = high;
      ASSERT_EQ(min_max_fit(source, least, greatest, o), status::ok);
      ASSERT_EQ(min_max_transform(source, {y.data(), m.rows, m.cols}, least, greatest, o), status::ok);
      ASSERT_EQ(min_max_inverse(matrix_view<const float>{y.data(), m.rows, m.cols}, {x.data(), m.rows, m.cols}, least,
                                greatest, o),
                status::ok);
      for (std::size_t j = 0; j < m.cols; ++j) {
        const exact_moments e = column(m, j);
        const std::string where = m.where(j) + ", to " + std::to_string(low) + ".." + std::to_string(high);
        EXPECT_EQ(bits_of(least[j]), bits_of(e.min)) << where;
        EXPECT_EQ(bits_of(greatest[j]), bits_of(e.max)) << where;
        const wide span = e.min == e.max ? wide(1) : static_cast<wide>(e.max) - static_cast<wide>(e.min);
        const wide range = static_cast<wide>(high) - static_cast<wide>(low);
        for (std::size_t i = 0; i < m.rows; ++i) {
          const std::size_t k = i * m.cols + j;
          const wide unit = (static_cast<wide>(m.x[k]) - static_cast<wide>(e.min)) / span;
          const wide expected = unit * range + static_cast<wide>(low);
          // low in f32 is within half an ulp of itself, y within half of its own.
          g.judge(y[k], unit, expected, static_cast<double>(range), (ulp_f32(expected) + ulp_f32(low)) / 2, where, i);
          const wide scale = span / range;
          const wide original = (static_cast<wide>(y[k]) - static_cast<wide>(low)) * scale + static_cast<wide>(e.min);
          back.judge(x[k], (static_cast<wide>(y[k]) - static_cast<wide>(low)) / range, original,
                     static_cast<double>(span), (ulp_f32(original) + ulp_f32(e.min)) / 2, where, i);
        }
      }
    }
  g.report();
  back.report();
}

// Chan's formula on exact halves must be exact to a few roundings of f64.
TEST_P(column_accuracy_test, merging_moments) {
  generator g(11);
  for (int round = 0; round < 300; ++round) {
    const std::size_t na = g.between(1, 200), nb = g.between(1, 200);
    std::vector<double> v(na + nb);
    const double jump = std::ldexp(g.normal(), static_cast<int>(g.below(30)));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = g.normal() + (i < na ? 0 : jump);
    const auto exact = [](const double* p, std::size_t n) {
      const exact_moments e = oracle_moments(p, n);
      return moments{n, static_cast<double>(e.mean), static_cast<double>(e.m2), e.min, e.max, static_cast<double>(n)};
    };
    const moments m = merge(exact(v.data(), na), exact(v.data() + na, nb));
    const exact_moments e = oracle_moments(v.data(), v.size());
    EXPECT_EQ(m.count, v.size());
    EXPECT_LE(std::fabs(m.mean - static_cast<double>(e.mean)), 1e-15 * (1 + std::fabs(jump)));
    EXPECT_LE(std::fabs(m.m2 - static_cast<double>(e.m2)), 4e-15 * static_cast<double>(e.m2));
    EXPECT_EQ(m.min, e.min);
    EXPECT_EQ(m.max, e.max);
  }
}

}  // namespace
}  // namespace simdnorm::test

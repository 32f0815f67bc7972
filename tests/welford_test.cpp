// SPDX-License-Identifier: Apache-2.0
//
// The textbook algorithms that the benchmark measures beside the library's: Welford's recurrence, in
// f32 and in f64, is the definition that the library's blocks generalize, so it is held to what
// theory and NIST say of it, and to Chan's merge of sets of one. E[x^2] - E[x]^2 must fail where it is
// said to: a benchmark whose bad example is good proves nothing.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "baselines/statistics.hpp"
#include "data/nist_univariate.hpp"
#include "simdnorm/simdnorm.hpp"
#include "support/data.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

namespace textbook = simdnorm_baselines::reference;

std::vector<float> normal_numbers(std::size_t n, double mean, std::uint64_t seed) {
  generator g(seed);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(mean + g.normal());
  return x;
}

double m2_error(double m2, const exact_moments& e) {
  const double exact = static_cast<double>(e.m2);
  return std::fabs(m2 - exact) / exact;
}

// Relative error of M2 below n * kappa * u, kappa = sqrt(1 + (mean/std)^2) (Chan, Lewis, 1979).
template <class Real>
void check_welford(double u) {
  for (const double mean : {0.0, 1.0, 1e3, 1e4, 1e6}) {
    for (const std::size_t n : {2, 3, 64, 1000, 4096}) {
      const std::vector<float> x = normal_numbers(n, mean, n);
      const exact_moments e = oracle_moments(x.data(), n);
      if (e.m2 == 0) continue;
      const textbook::mean_m2 w = textbook::welford<Real>(x.data(), n);
      const double ratio = static_cast<double>(e.mean) / static_cast<double>(e.sigma());
      const double bound = static_cast<double>(n) * std::sqrt(1 + ratio * ratio) * u;
      EXPECT_LE(m2_error(w.m2, e), bound) << "mean " << mean << ", n " << n;
      EXPECT_LE(std::fabs(w.mean - static_cast<double>(e.mean)), bound * static_cast<double>(e.sigma()))
          << "mean " << mean << ", n " << n;
    }
  }
}

TEST(welford_test, f32_keeps_its_bound) {
  check_welford<float>(0x1p-24);
}
TEST(welford_test, f64_keeps_its_bound) {
  check_welford<double>(0x1p-53);
}

TEST(welford_test, f64_has_the_certified_digits) {
  for (const nist::dataset& d : nist::datasets) {
    if (!d.exact_in_f32) continue;
    const textbook::mean_m2 w = textbook::welford<double>(d.data, d.n);
    const double sd = std::sqrt(w.m2 / static_cast<double>(d.n - 1));
    EXPECT_NEAR(w.mean / d.certified_mean, 1, 1e-13) << d.name;
    EXPECT_NEAR(sd / d.certified_sd, 1, 1e-13) << d.name;
  }
}

// Chan's formula with a second set of one number is Welford's recurrence.
TEST(welford_test, is_chan_with_sets_of_one) {
  const std::vector<float> x = normal_numbers(4096, 1e3, 7);
  moments chain{};
  for (const float v : x) chain = merge(chain, moments{1, v, 0.0, v, v, 1.0});
  const textbook::mean_m2 w = textbook::welford<double>(x.data(), x.size());
  EXPECT_EQ(chain.count, x.size());
  EXPECT_NEAR(chain.mean / w.mean, 1, 1e-13);
  EXPECT_NEAR(chain.m2 / w.m2, 1, 1e-12);
}

TEST(welford_test, one_pass_fails_where_it_should) {
  const std::vector<float> x = normal_numbers(4096, 1e4, 3);
  const exact_moments e = oracle_moments(x.data(), x.size());
  EXPECT_GT(m2_error(textbook::one_pass<float>(x.data(), x.size()).m2, e), 0.1);
  EXPECT_LT(m2_error(textbook::two_pass<float>(x.data(), x.size()).m2, e), 1e-3);
}

}  // namespace
}  // namespace simdnorm::test

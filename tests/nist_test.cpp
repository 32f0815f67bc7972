// SPDX-License-Identifier: Apache-2.0
//
// NIST's certified data. Sets whose decimals are exact in f32 are held against NIST's own 15 digits;
// the others against the exact statistics of their f32 image. NumAcc4 (10000000.1, .2, .3) rounds to
// a constant in f32: the right answer is then a variance of exactly 0.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "data/nist_univariate.hpp"
#include "support/gate.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class nist_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(nist_test);

// Correct digits, as NIST counts them.
double digits(double value, double certified) {
  const double e = std::fabs(value - certified) / (certified == 0 ? 1 : std::fabs(certified));
  return e == 0 ? 15 : std::min(15.0, -std::log10(e));
}

// The oracle itself, against NIST: 15 digits where the data are exact.
TEST_P(nist_test, the_oracle_has_the_certified_digits) {
  for (const nist::dataset& d : nist::datasets) {
    const exact_moments e = oracle_moments(d.data, d.n);
    const double sd = static_cast<double>(square_root(e.m2 / static_cast<wide>(d.n - 1)));
    if (d.exact_in_f32) {
      EXPECT_GE(digits(static_cast<double>(e.mean), d.certified_mean), 14.5) << d.name;
      EXPECT_GE(digits(sd, d.certified_sd), 14.5) << d.name;
    } else {
      EXPECT_LE(std::fabs(static_cast<double>(e.mean) - d.certified_mean), 2.0 * ulp_f32(d.certified_mean)) << d.name;
    }
  }
}

TEST_P(nist_test, moments) {
  for (const nist::dataset& d : nist::datasets) {
    const exact_moments e = oracle_moments(d.data, d.n);
    const double mean = static_cast<double>(e.mean),
                 sd = static_cast<double>(square_root(e.m2 / static_cast<wide>(d.n - 1)));
    moments m;
    ASSERT_EQ(column_moments({d.data, d.n, 1}, {&m, 1}), status::ok);
    const double own_sd = std::sqrt(m.m2 / static_cast<double>(d.n - 1));
    EXPECT_EQ(m.count, d.n);
    EXPECT_EQ(m.min, e.min);
    EXPECT_EQ(m.max, e.max);
    // The bounds of column_accuracy_test.
    EXPECT_LE(std::fabs(m.mean - mean), sd * 0x1p-22 + std::fabs(mean) * 0x1p-51) << d.name;
    EXPECT_LE(std::fabs(own_sd - sd), sd * 0x1p-23) << d.name;
    if (d.exact_in_f32) {
      EXPECT_LE(std::fabs(m.mean - d.certified_mean), sd * 0x1p-22 + std::fabs(mean) * 0x1p-51) << d.name;
      EXPECT_GE(digits(own_sd, d.certified_sd), 6.5) << d.name;
    }
    std::printf("             %-8s mean %.2f digits, standard deviation %.2f digits\n", d.name, digits(m.mean, mean),
                digits(own_sd, sd));
  }
}

TEST_P(nist_test, numacc4_is_constant_in_f32) {
  const nist::dataset& d = nist::datasets[4];
  ASSERT_STREQ(d.name, "numacc4");
  moments m;
  ASSERT_EQ(column_moments({d.data, d.n, 1}, {&m, 1}), status::ok);
  EXPECT_EQ(m.m2, 0.0);
  EXPECT_EQ(m.mean, 10000000.0);
  std::vector<float> y(d.n, 9);
  ASSERT_EQ(layer_norm({d.data, 1, d.n}, {y.data(), 1, d.n}), status::ok);
  for (const float v : y) EXPECT_EQ(bits_of(v), 0u);
}

TEST_P(nist_test, norms_meet_the_gate) {
  gate layer("layer_norm of NIST's sets"), batch("batch_norm of NIST's sets"), rms("rms_norm of NIST's sets");
  for (const nist::dataset& d : nist::datasets) {
    const exact_moments e = oracle_moments(d.data, d.n);
    std::vector<float> y(d.n);
    layer_norm_options lo;
    lo.epsilon = 0;
    ASSERT_EQ(layer_norm({d.data, 1, d.n}, {y.data(), 1, d.n}, lo), status::ok);
    const wide r = oracle_rstd(e.variance(), 0);
    for (std::size_t i = 0; i < d.n; ++i) layer.check(y[i], (static_cast<wide>(d.data[i]) - e.mean) * r, d.name, i);
    batch_norm_options bo;
    bo.epsilon = 0;
    ASSERT_EQ(batch_norm_training({d.data, d.n, 1}, {y.data(), d.n, 1}, bo), status::ok);
    for (std::size_t i = 0; i < d.n; ++i) batch.check(y[i], (static_cast<wide>(d.data[i]) - e.mean) * r, d.name, i);
    rms_norm_options ro;
    ro.epsilon = 0;
    ASSERT_EQ(rms_norm({d.data, 1, d.n}, {y.data(), 1, d.n}, ro), status::ok);
    const wide s = oracle_rstd(e.mean_square, 0);
    for (std::size_t i = 0; i < d.n; ++i) rms.check(y[i], static_cast<wide>(d.data[i]) * s, d.name, i);
  }
  layer.report();
  batch.report();
  rms.report();
}

}  // namespace
}  // namespace simdnorm::test

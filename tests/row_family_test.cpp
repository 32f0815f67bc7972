// SPDX-License-Identifier: Apache-2.0
//
// What row norms have beside layer and RMS norm: L2. Accuracy against binary128, and what a row of nothing,
// of zeros or of infinities gives.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/data.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class row_family_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(row_family_test);

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

}  // namespace
}  // namespace simdnorm::test

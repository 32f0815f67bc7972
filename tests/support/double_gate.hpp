// SPDX-License-Identifier: Apache-2.0
//
// What errors of f64 norms are judged by.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "support/wide.hpp"

namespace simdnorm::test {

// Of doubles; 2^-1074 among the subnormals.
inline double ulp_f64(wide v) {
  const double a = static_cast<double>(absolute(v));
  if (!(a >= 0x1p-1022)) return 0x1p-1074;
  int exponent;
  (void)std::frexp(std::min(a, std::numeric_limits<double>::max()), &exponent);
  return std::ldexp(1.0, exponent - 53);
}

// The gate of support/gate.hpp, in doubles.
class double_gate {
 public:
  explicit double_gate(std::string what) : what_(std::move(what)) {}
  void judge(double y, wide expected, wide unit, wide slack, const std::string& where, std::size_t index) {
    ++checked_;
    if (std::isinf(y) && (y > 0) == (expected > 0) &&
        absolute(expected) + 2.5 * unit + slack >= static_cast<wide>(std::numeric_limits<double>::max()))
      return;
    const wide error = absolute(static_cast<wide>(y) - expected);
    const double ulps = error <= slack ? 0
                        : unit > 0     ? static_cast<double>((error - slack) / unit)
                                       : std::numeric_limits<double>::max();
    if (ulps > worst_) {
      worst_ = ulps;
      worst_at_ = where + " [" + std::to_string(index) + "]";
    }
    if (!(error <= static_cast<wide>(2.5) * unit + slack) && ++failures_ <= 3)  // NaN fails
      ADD_FAILURE() << what_ << ", " << where << ", element " << index << ": is " << y << ", should be "
                    << static_cast<double>(expected) << ": " << ulps << " ulp over the slack";
  }
  void xhat(double y, wide exact, const std::string& where, std::size_t index) {
    judge(y, exact, unit_of(exact), 0, where, index);
  }
  void affine(double y, wide exact, double gamma, double beta, const std::string& where, std::size_t index) {
    const wide expected = static_cast<wide>(gamma) * exact + static_cast<wide>(beta);
    judge(y, expected, static_cast<wide>(std::fabs(gamma)) * unit_of(exact), static_cast<wide>(ulp_f64(expected)) / 2,
          where, index);
  }
  // In ulps of y itself.
  void relative(double y, wide expected, const std::string& where, std::size_t index) {
    judge(y, expected, static_cast<wide>(ulp_f64(expected)), 0, where, index);
  }
  void report() {
    if (failures_ > 3) ADD_FAILURE() << what_ << ": " << failures_ << " of " << checked_ << " miss the gate";
    EXPECT_GT(checked_, 0u);
    std::printf("             %s: largest error %.3f ulp in %zu outputs, at %s\n", what_.c_str(), worst_, checked_,
                worst_at_.empty() ? "-" : worst_at_.c_str());
  }

  static wide unit_of(wide exact) { return static_cast<wide>(ulp_f64(absolute(exact) < 1 ? wide(1) : exact)); }

 private:
  std::string what_, worst_at_;
  double worst_ = 0;
  std::size_t checked_ = 0, failures_ = 0;
};

}  // namespace simdnorm::test

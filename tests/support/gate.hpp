// SPDX-License-Identifier: Apache-2.0
//
// The accuracy gate (docs/numerics.md): with x^ the normalized value before gamma and beta,
//   |error| <= 2.5 * |gamma| * ulp(max(1, |x^|)) + [with gamma or beta] ulp(y) / 2.
// A bound in ulps of y alone cannot hold: gamma * x^ and beta may cancel.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "support/wide.hpp"

namespace simdnorm::test {

inline constexpr double gate_ulps = 2.5;

class gate {
 public:
  explicit gate(std::string what) : what_(std::move(what)) {}
  gate(const gate&) = delete;
  gate& operator=(const gate&) = delete;

  // y against x^ itself.
  void check(float y, wide xhat, const std::string& where, std::size_t index) {
    judge(y, xhat, xhat, 1, 0, where, index);
  }
  // y against gamma * x^ + beta.
  void check(float y, wide xhat, float gamma, float beta, const std::string& where, std::size_t index) {
    const wide expected = static_cast<wide>(gamma) * xhat + static_cast<wide>(beta);
    judge(y, xhat, expected, std::fabs(static_cast<double>(gamma)), ulp_f32(expected) / 2, where, index);
  }
  // General form: |error| <= 2.5 * scale * ulp(max(1, |x^|)) + slack.
  void judge(float y, wide xhat, wide expected, double scale, double slack, const std::string& where,
             std::size_t index) {
    ++checked_;
    const double magnitude = static_cast<double>(absolute(xhat));
    const double unit = scale * ulp_f32(magnitude < 1 ? 1 : magnitude);
    // Beyond FLT_MAX an infinity of the same sign is right, and just below it may be.
    if (std::isinf(y) && (y > 0) == (expected > 0) &&
        static_cast<double>(absolute(expected)) + gate_ulps * unit + slack >= 0x1.ffffffp127)
      return;
    const double error = static_cast<double>(absolute(static_cast<wide>(y) - expected));
    const double ulps = error <= slack ? 0 : unit > 0 ? (error - slack) / unit : HUGE_VAL;
    if (ulps > worst_) {
      worst_ = ulps;
      worst_at_ = where + " [" + std::to_string(index) + "]";
    }
    if (!(error <= gate_ulps * unit + slack) && ++failures_ <= 3) {  // NaN fails
      char line[200];
      std::snprintf(line, sizeof line, "is %.9g (%08x), should be %.17g: %.3f ulp over the slack",
                    static_cast<double>(y), static_cast<unsigned>(bits_of(y)), static_cast<double>(expected), ulps);
      ADD_FAILURE() << what_ << ", " << where << ", element " << index << ": " << line;
    }
  }
  // Prints and records the largest error; fails if nothing was checked.
  void report() {
    if (failures_ > 3) ADD_FAILURE() << what_ << ": " << failures_ << " of " << checked_ << " outputs miss the gate";
    EXPECT_GT(checked_, 0u);
    std::printf("             %s: largest error %.3f ulp of max(1,|x^|) in %zu outputs, at %s\n", what_.c_str(), worst_,
                checked_, worst_at_.empty() ? "-" : worst_at_.c_str());
    ::testing::Test::RecordProperty("max_ulp", std::to_string(worst_));
  }
  [[nodiscard]] double worst() const { return worst_; }

 private:
  std::string what_, worst_at_;
  double worst_ = 0;
  std::size_t checked_ = 0, failures_ = 0;
};

}  // namespace simdnorm::test

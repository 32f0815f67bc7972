// SPDX-License-Identifier: Apache-2.0
//
// bf16 and f16 by their definition, in doubles.
#pragma once

#include <cmath>
#include <cstdint>

#include "simdnorm/simdnorm.h"
#include "support/wide.hpp"

namespace simdnorm::test {

// Of doubles that are normal or 0 (then less than any half's); ilogb and ldexp take 10 ns each.
inline int exponent_of(double v) {
  return static_cast<int>(bits_of(v) >> 52 & 0x7ff) - 1023;
}
inline double power_of_two(int exponent) {
  const auto bits = static_cast<std::uint64_t>(exponent + 1023) << 52;
  double v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

struct half_format {
  simdnorm_type type;
  const char* name;
  int mantissa_bits, exponent_bits;

  [[nodiscard]] int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  [[nodiscard]] std::uint32_t infinity() const { return ((1u << exponent_bits) - 1) << mantissa_bits; }
  [[nodiscard]] std::uint16_t nan() const {
    return static_cast<std::uint16_t>(infinity() | (1u << (mantissa_bits - 1)));
  }

  // Of a half that is not negative and not NaN; infinity counts as the next power of two.
  [[nodiscard]] double size(std::uint32_t half) const {
    const int exponent = static_cast<int>(half >> mantissa_bits);
    const double fraction = static_cast<double>(half & ((1u << mantissa_bits) - 1));
    const double one = static_cast<double>(1u << mantissa_bits);
    if (exponent == 0) return fraction * power_of_two(1 - bias() - mantissa_bits);
    return (one + fraction) * power_of_two(exponent - bias() - mantissa_bits);
  }
  [[nodiscard]] double value(std::uint16_t half) const {
    const std::uint32_t rest = half & 0x7fffu;
    const double v = rest > infinity() ? std::nan("") : rest == infinity() ? HUGE_VAL : size(rest);
    return std::copysign(v, half >> 15 ? -1.0 : 1.0);
  }
  // Rounded to nearest even.
  [[nodiscard]] std::uint16_t rounded(double v) const {
    if (v != v) return nan();
    const std::uint32_t sign = std::signbit(v) ? 0x8000u : 0;
    const double a = std::fabs(v);
    if (a == 0) return static_cast<std::uint16_t>(sign);
    if (a >= size(infinity())) return static_cast<std::uint16_t>(sign | infinity());
    const int least = 1 - bias();
    const int exponent = exponent_of(a) < least ? least : exponent_of(a);
    const double steps = std::nearbyint(a * power_of_two(mantissa_bits - exponent));
    // A mantissa that rounds up to the next power of two carries into the exponent.
    const auto m = static_cast<std::uint32_t>(steps);
    const std::uint32_t one = 1u << mantissa_bits;
    const std::uint32_t bits =
        m < one ? m : (static_cast<std::uint32_t>(exponent + bias()) << mantissa_bits) + (m - one);
    return static_cast<std::uint16_t>(sign | bits);
  }
  // Spacing of halves at |v|.
  [[nodiscard]] double ulp(double v) const {
    const int least = 1 - bias();
    const int exponent = exponent_of(v) < least ? least : exponent_of(v);
    return power_of_two(exponent - mantissa_bits);
  }
};
inline const half_format half_formats[] = {{SIMDNORM_BF16, "bf16", 7, 8}, {SIMDNORM_F16, "f16", 10, 5}};

}  // namespace simdnorm::test

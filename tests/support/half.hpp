// SPDX-License-Identifier: Apache-2.0
//
// bf16 and f16 by their definition, in doubles.
#pragma once

#include <cmath>
#include <cstdint>

#include "simdnorm/simdnorm.h"

namespace simdnorm::test {

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
    if (exponent == 0) return std::ldexp(fraction, 1 - bias() - mantissa_bits);
    return std::ldexp(one + fraction, exponent - bias() - mantissa_bits);
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
    const int exponent = std::ilogb(a) < least ? least : std::ilogb(a);
    const double steps = std::nearbyint(std::ldexp(a, mantissa_bits - exponent));
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
    const int exponent = v == 0 || std::ilogb(v) < least ? least : std::ilogb(v);
    return std::ldexp(1.0, exponent - mantissa_bits);
  }
};
inline const half_format half_formats[] = {{SIMDNORM_BF16, "bf16", 7, 8}, {SIMDNORM_F16, "f16", 10, 5}};

}  // namespace simdnorm::test

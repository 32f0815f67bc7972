// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of the oracles: binary128 everywhere. x86 has it as __float128 (its long double
// has 64 bits of precision only), aarch64 as long double. 113 bits hold the sum of 2^16 floats whose
// magnitudes differ by 2^70 without rounding, so an oracle's own error never reaches a gate.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace simdnorm::test {

#if defined(__x86_64__)
using wide = __float128;
#else
using wide = long double;
static_assert(LDBL_MANT_DIG == 113);
#endif

inline wide absolute(wide v) {
  return v < 0 ? -v : v;
}

// Newton on the long double root: one step doubles 64 bits to 113 and more.
inline wide square_root(wide v) {
  if (v == 0) return 0;
  wide s = std::sqrt(static_cast<long double>(v));
  s = (s + v / s) / 2;
  return (s + v / s) / 2;
}

// The distance of two neighbours in f32 at the magnitude of v; 2^-149 among the subnormals.
inline double ulp_f32(double v) {
  const double a = std::fabs(v);
  if (!(a >= 0x1p-126)) return 0x1p-149;
  int exponent;
  (void)std::frexp(a, &exponent);  // a = m * 2^exponent, m in [0.5, 1)
  return std::ldexp(1.0, (exponent > 128 ? 128 : exponent) - 24);
}
inline double ulp_f32(wide v) {
  return ulp_f32(static_cast<double>(v));
}

inline std::uint32_t bits_of(float v) {
  std::uint32_t u;
  std::memcpy(&u, &v, sizeof u);
  return u;
}
inline std::uint64_t bits_of(double v) {
  std::uint64_t u;
  std::memcpy(&u, &v, sizeof u);
  return u;
}
inline float float_of(std::uint32_t u) {
  float v;
  std::memcpy(&v, &u, sizeof v);
  return v;
}

inline constexpr std::uint32_t canonical_nan = 0x7fc00000;
inline constexpr std::uint64_t canonical_nan_f64 = 0x7ff8000000000000;

}  // namespace simdnorm::test

// SPDX-License-Identifier: Apache-2.0
//
// The fused multiply-add of doubles where there is no instruction for it. libm's would be a library more to link,
// and a call per element.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inline.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// a * b + c, rounded once: in integers, for any operands.
[[gnu::noinline, maybe_unused]] double exact_fma64(double a, double b, double c) {
  constexpr uint64_t top = uint64_t{1} << 63, fraction = (uint64_t{1} << 52) - 1;
  const auto bits = [](double v) { return __builtin_bit_cast(uint64_t, v); };
  const auto exponent = [&](double v) { return static_cast<int>(bits(v) >> 52 & 0x7ff); };
  if (exponent(a) == 0x7ff || exponent(b) == 0x7ff || a == 0.0 || b == 0.0) return a * b + c;
  if (exponent(c) == 0x7ff) return c + c;
  // v = m * 2^e, m of 53 bits.
  struct number {
    uint64_t m;
    int e;
  };
  const auto read = [&](double v) -> number {
    uint64_t m = bits(v) & fraction;
    int e = exponent(v);
    if (e != 0) return {m | (fraction + 1), e - 1075};
    if (m == 0) return {0, -1074};
    const int shift = __builtin_clzll(m) - 11;
    return {m << shift, -1074 - shift};
  };
  const number x = read(a), y = read(b), z = read(c);
  const uint64_t product_sign = (bits(a) ^ bits(b)) & top, c_sign = bits(c) & top;
  // Both terms with room below: the product at bits 20 to 125, c at 20 + its distance.
  using wide = unsigned __int128;
  wide p = static_cast<wide>(x.m) * y.m << 20;
  int e = x.e + y.e - 20;
  wide q = static_cast<wide>(z.m);
  uint64_t sticky = 0;  // whether something is lost below q (or below p)
  bool product_lost = false;
  if (z.m != 0) {
    int distance = z.e - e;
    if (distance > 73) {  // c's highest bit would pass 125: the product is moved down
      const int down = distance - 73;
      product_lost = true;
      if (down >= 127) {
        sticky = 1;
        p = 0;
      } else {
        sticky = (p & ((static_cast<wide>(1) << down) - 1)) != 0;
        p >>= down;
      }
      e += down;
      distance = 73;
    }
    if (distance >= 0) {
      q <<= distance;
    } else if (distance > -64) {
      sticky = (q & ((static_cast<wide>(1) << -distance) - 1)) != 0;
      q >>= -distance;
    } else {
      sticky = 1;
      q = 0;
    }
  }
  wide sum;
  uint64_t sign = product_sign;
  if (product_sign == c_sign) {
    sum = p + q;
  } else {
    // What was lost is under the last bit of the smaller one: the difference is that much smaller, and sticky.
    const bool c_larger = q > p;
    sum = c_larger ? q - p : p - q;
    if (sticky != 0 && c_larger == product_lost) sum -= 1;
    if (c_larger) sign = c_sign;
    if (sum == 0 && sticky == 0) return 0.0;  // exact: +0 to nearest
  }
  if (z.m == 0) sign = product_sign;
  // Round to 53 bits, or to fewer, where the last bit of a subnormal is.
  const uint64_t high = static_cast<uint64_t>(sum >> 64), low = static_cast<uint64_t>(sum);
  const int length = high != 0 ? 128 - __builtin_clzll(high) : low != 0 ? 64 - __builtin_clzll(low) : 0;
  int drop = length - 53;
  if (e + drop < -1074) drop = -1074 - e;
  uint64_t m;
  if (drop <= 0) {
    m = low << -drop;  // exact: what is sticky is far below
  } else if (drop > 127) {
    m = 0;
  } else {
    m = static_cast<uint64_t>(sum >> drop);
    const wide rest = sum & ((static_cast<wide>(1) << drop) - 1);
    const wide half = static_cast<wide>(1) << (drop - 1);
    if (rest > half || (rest == half && (sticky != 0 || (m & 1) != 0))) ++m;
  }
  e += drop;
  if (m == uint64_t{1} << 53) {
    m >>= 1;
    ++e;
  }
  uint64_t result;
  if (m <= fraction) {
    result = m;  // e is -1074
  } else if (e + 1075 >= 0x7ff) {
    result = uint64_t{0x7ff} << 52;
  } else {
    result = (m & fraction) | static_cast<uint64_t>(e + 1075) << 52;
  }
  return __builtin_bit_cast(double, sign | result);
}

// a * b + c, rounded once. The product's error by Dekker's splitting; the sum of its lower part and c's error is
// rounded to odd (Boldo, Melquiond: Emulation of FMA and Correctly Rounded Sums, 2008). That holds where no part
// overflows or underflows.
[[gnu::noinline, maybe_unused]] double emulated_fma64(double a, double b, double c) {
  const double p = a * b;
  const double size = __builtin_fabs(p);
  if (!((size > 0x1p-960) & (size < 0x1p990) & (__builtin_fabs(a) < 0x1p990) & (__builtin_fabs(b) < 0x1p990) &
        (__builtin_fabs(c) < 0x1p1000))) [[unlikely]] {
    return exact_fma64(a, b, c);
  }
  constexpr double splitter = 0x1p27 + 1;
  const double as = a * splitter, bs = b * splitter;
  const double ah = as - (as - a), bh = bs - (bs - b);
  const double al = a - ah, bl = b - bh;
  const double error = ((ah * bh - p) + ah * bl + al * bh) + al * bl;  // p + error = a * b
  const double s = c + error;                                          // s + t = c + error
  const double s1 = s - c;
  const double t = (c - (s - s1)) + (error - s1);
  const double u = p + s;  // u + v = p + s
  const double u1 = u - p;
  const double v = (p - (u - u1)) + (s - u1);
  double w = t + v;  // to odd
  const double w1 = w - t;
  const double lost = (t - (w - w1)) + (v - w1);
  uint64_t bits = __builtin_bit_cast(uint64_t, w);
  const uint64_t lost_bits = __builtin_bit_cast(uint64_t, lost);
  const bool inexact = (lost > 0.0) | (lost < 0.0);
  const uint64_t toward = 1 - 2 * ((bits ^ lost_bits) >> 63);  // away from zero: 1; towards: -1
  bits += toward & (0 - (static_cast<uint64_t>(inexact) & ~bits & 1));
  return u + __builtin_bit_cast(double, bits);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

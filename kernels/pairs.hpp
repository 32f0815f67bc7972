// SPDX-License-Identifier: Apache-2.0
//
// Pairs of doubles, and what rows and columns of f64 make of them. docs/numerics.md, "f64".
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inline.hpp"
#include "repeat.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// repeat, as a loop where lanes are no registers: 16 emulated fma are not written out.
template <class L, size_t N, class F>
SIMDNORM_INLINE void each(F f) {
  if constexpr (L::width64 == 1) {
#pragma GCC unroll 1
    for (size_t i = 0; i < N; ++i) f(i);
  } else {
    repeat<N>(f);
  }
}

// The unevaluated sum high + low, of doubles or of registers of them.
template <class V>
struct pair {
  V high, low;
};
using doubles = pair<double>;

// a + b exactly (Knuth).
template <class V>
SIMDNORM_INLINE pair<V> two_sum(V a, V b) {
  const V s = a + b;
  const V from_b = s - a;
  return {s, (a - (s - from_b)) + (b - from_b)};
}
template <class V>
SIMDNORM_INLINE pair<V> sum_of_pairs(pair<V> a, pair<V> b) {
  const pair<V> s = two_sum(a.high, b.high);
  return {s.high, s.low + (a.low + b.low)};
}
// The same value with |low| at most half an ulp of high.
SIMDNORM_INLINE doubles normal(double high, double low) {
  return two_sum(high, low);
}

// d = x - center, x_hat = fma(d, high, fma(d, low, offset)); high is below the exact scale, so that low has its
// sign: a zero keeps its own. And what the caller is told.
struct double_scale {
  double center, high, low, offset;
  double mean, rstd;
};

// 1 / sqrt(v), from below, and what is left of it.
template <class L>
SIMDNORM_INLINE void set_reciprocal_root(doubles v, double_scale& s) {
  const double h = 1.0 / __builtin_sqrt(v.high) * (1.0 - 0x1p-52);
  const double p = h * h;
  const double p_lost = L::fma64(h, h, -p);
  const double q = v.high * p;
  const double q_lost = L::fma64(v.high, p, -q);
  const double left = (((1.0 - q) - q_lost) - v.high * p_lost) - v.low * p;
  s.high = h;
  s.low = 0.5 * h * left;
}
template <class L>
SIMDNORM_INLINE void set_reciprocal(double v, double_scale& s) {
  s.high = 1.0 / v * (1.0 - 0x1p-52);
  s.low = s.high * L::fma64(-s.high, v, 1.0);
}
// a / n.
template <class L>
SIMDNORM_INLINE doubles divided(doubles a, double n, double inverse) {
  const double q = a.high * inverse;
  return {q, (L::fma64(-q, n, a.high) + a.low) * inverse};
}
// center and offset of (x - mean) * rstd, the scale being that of v: a mean that is small beside the deviation is no
// center, as x - 0 is exact.
template <class L>
SIMDNORM_INLINE void set_center(doubles mean, doubles v, double_scale& s) {
  if (mean.high * mean.high < v.high) {
    s.center = 0.0;
    s.offset = -L::fma64(mean.high, s.high, L::fma64(mean.high, s.low, mean.low * s.high));
  } else {
    s.center = mean.high;
    s.offset = -L::fma64(mean.low, s.high, mean.low * s.low);
  }
}
SIMDNORM_INLINE bool ordinary(double v) {
  return (v > 0x1p-900) & (v < 0x1p1000);
}

// 2^-k for v of [2^k, 2^(k+1)), k from -1000 to 1022.
[[maybe_unused]] inline double reciprocal_power(double v) {
  const int64_t biased = static_cast<int64_t>(__builtin_bit_cast(uint64_t, v) >> 52);  // k + 1023
  const int64_t k = biased < 23 ? 23 : biased > 2045 ? 2045 : biased;
  return __builtin_bit_cast(double, static_cast<uint64_t>(2046 - k) << 52);
}

SIMDNORM_INLINE double canonical_double(double v) {
  return v == v ? v : __builtin_nan("");
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// exp, tanh, the logistic function and what is x times it (silu, gelu_tanh), of one register. All of them are
// e^b = 2^n (1 + t) with n = round(b / ln 2), |r| <= ln 2 / 2 for r = b - n ln 2, and t = e^r - 1 small enough that
// its rounding hardly counts; they differ in what they make of n and t. docs/numerics.md, "Activations".
//
// Arguments are clamped where the result no longer changes; min and max are written so that NaN passes.
// A NaN comes out as some NaN.
#pragma once

#include <stdint.h>

#include "inline.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// e^b: its exponent, as bits whose low nine are n + Bias, and t.
template <class L>
struct exponential {
  typename L::u32 n;
  typename L::f32 t;
};

// t = r + r^2 Q(r). Q is the minimax polynomial of degree 4 (Remez, coefficients rounded to f32 one after the other,
// the others fitted again); t is off by 2^-28 (1 + t) at most, and by its roundings.
template <class L>
SIMDNORM_INLINE typename L::f32 exp_minus_1_of_reduced(typename L::f32 r) {
  typename L::f32 q = L::fma(r, L::broadcast(0x1.6b606cp-10f), L::broadcast(0x1.122f44p-7f));
  q = L::fma(r, q, L::broadcast(0x1.555696p-5f));
  q = L::fma(r, q, L::broadcast(0x1.5554a4p-3f));
  q = L::fma(r, q, L::broadcast(0.5f));
  return L::fma(r * r, q, r);
}

// 1.5 * 2^23 + Bias: added to a number, it leaves that number rounded, plus Bias, in the low bits of the sum.
template <int Bias>
constexpr float rounder = 0x1.8p23f + static_cast<float>(Bias);

constexpr float log2_e = 0x1.715476p+0f;
constexpr float ln2_high = 0x1.62e43p-1f;  // 21 bits: n * ln2_high is exact where b - n * ln2_high is
constexpr float ln2_low = -0x1.05c61p-29f;

// Of b - low, low being far below b.
template <class L, int Bias>
SIMDNORM_INLINE exponential<L> exponential_of(typename L::f32 b, typename L::f32 low) {
  const typename L::f32 sum = L::fma(b, L::broadcast(log2_e), L::broadcast(rounder<Bias>));
  const typename L::f32 n = sum - L::broadcast(rounder<Bias>);
  const typename L::f32 r = L::fnma(n, L::broadcast(ln2_high), b) - L::fma(n, L::broadcast(ln2_low), low);
  return {L::bits(sum), exp_minus_1_of_reduced<L>(r)};
}
template <class L, int Bias>
SIMDNORM_INLINE exponential<L> exponential_of(typename L::f32 b) {
  const typename L::f32 sum = L::fma(b, L::broadcast(log2_e), L::broadcast(rounder<Bias>));
  const typename L::f32 n = sum - L::broadcast(rounder<Bias>);
  const typename L::f32 r = L::fnma(n, L::broadcast(ln2_low), L::fnma(n, L::broadcast(ln2_high), b));
  return {L::bits(sum), exp_minus_1_of_reduced<L>(r)};
}

// 2^n as two factors, neither subnormal nor infinite for -250 < n < 250, of bits with Bias 254: what is multiplied
// by one and then by the other is rounded once.
template <class L>
struct power_of_two {
  typename L::f32 first, second;
};
template <class L>
SIMDNORM_INLINE power_of_two<L> power_of(typename L::u32 n) {
  const typename L::u32 half = n >> 1;
  return {L::floats(half << 23), L::floats((n - half) << 23)};
}

template <class L>
SIMDNORM_INLINE typename L::f32 exp(typename L::f32 x) {
  const typename L::f32 b = L::max(L::broadcast(-104.0f), L::min(L::broadcast(89.0f), x));
  const exponential<L> e = exponential_of<L, 254>(b);
  const power_of_two<L> power = power_of<L>(e.n);
  return ((L::broadcast(1.0f) + e.t) * power.first) * power.second;
}

template <class L>
SIMDNORM_INLINE typename L::f32 negated(typename L::f32 v) {
  return L::floats(L::bits(v) ^ typename L::u32(0x80000000u));
}
template <class L>
SIMDNORM_INLINE typename L::f32 magnitude(typename L::f32 v) {
  return L::floats(L::bits(v) & typename L::u32(0x7fffffffu));
}
// The magnitude of one with the sign of the other.
template <class L>
SIMDNORM_INLINE typename L::f32 with_sign_of(typename L::f32 v, typename L::f32 sign) {
  const typename L::u32 mask(0x80000000u);
  return L::floats((L::bits(v) & typename L::u32(0x7fffffffu)) | (L::bits(sign) & mask));
}

// m / (1 + e^b) for e^b of Bias 256, as (m s) / (s + 2^n s (1 + t)) with s = 1 or, where 2^n alone could be
// infinite, 2^-64: so a result that is subnormal is rounded once, by the division. `negative_m` is -m.
template <class L>
SIMDNORM_INLINE typename L::f32 over_one_plus(exponential<L> e, typename L::f32 negative_m) {
  using f32 = typename L::f32;
  const f32 n = L::floats(e.n);
  const f32 negative_s =
      L::select(L::less(L::broadcast(rounder<256 + 64>), n), L::broadcast(-0x1p-64f), L::broadcast(-1.0f));
  const f32 power = L::floats(L::bits(negative_s) + (e.n << 23));  // 256 in n turns the sign
  // Where 2^n is over 2^23 a bit of s or of 2^n s is lost in their sum (exactly: they are powers of two), and 1 + e^b
  // would be off by an ulp more at n = 24.
  const f32 sum = power - negative_s;
  const f32 minus_lost = (sum - power) + negative_s;
  return L::div(negative_m * negative_s, sum - L::fnma(power, e.t, minus_lost));
}

// Below -109 x / (1 + e^-x) is under half the least subnormal; above 18, 1 + e^-x rounds to 1.
template <class L>
SIMDNORM_INLINE typename L::f32 silu(typename L::f32 x) {
  const typename L::f32 y = L::min(L::broadcast(109.0f), negated<L>(x));
  return over_one_plus<L>(exponential_of<L, 256>(L::max(L::broadcast(-18.0f), y)), y);
}
template <class L>
SIMDNORM_INLINE typename L::f32 sigmoid(typename L::f32 x) {
  const typename L::f32 b = L::max(L::broadcast(-18.0f), L::min(L::broadcast(109.0f), negated<L>(x)));
  return over_one_plus<L>(exponential_of<L, 256>(b), L::broadcast(-1.0f));
}

// x / 2 (1 + tanh z) = x / (1 + e^-2z), 2z = c x (x^2 + d) with d = 1 / 0.044715 and c = 2 sqrt(2 / pi) / d. In the
// negative tail an error of 2z is one of the result, and 2z reaches 107: it is computed in two floats.
template <class L>
SIMDNORM_INLINE typename L::f32 gelu_tanh(typename L::f32 x) {
  using f32 = typename L::f32;
  const f32 d_high = L::broadcast(0x1.65d26p+4f);  // of 21 bits, so that d_high - (x^2 + d_high) is exact
  const f32 d_low = L::broadcast(-0x1.226128p-20f);
  const f32 c_high = L::broadcast(0x1.2444f2p-4f);
  const f32 c_low = L::broadcast(0x1.49b16ap-29f);
  const f32 y = L::min(L::broadcast(10.8f), negated<L>(x));
  const f32 a = L::max(L::broadcast(-5.2f), y);
  const f32 s = L::fma(a, a, d_high);                           // a^2 + d
  const f32 s_low = L::fma(a, a, d_high - s) + d_low;           //         - s
  const f32 p = a * s;                                          // a (a^2 + d)
  const f32 minus_p_low = L::fnma(a, s_low, L::fnma(a, s, p));  // p -
  const f32 b = c_high * p;                                     // c a (a^2 + d)
  const f32 minus_b_low = L::fnma(c_low, p, L::fma(c_high, minus_p_low, L::fnma(c_high, p, b)));
  return over_one_plus<L>(exponential_of<L, 256>(b, minus_b_low), y);
}

// tanh |x| = -m / (2 + m) with m = e^-2|x| - 1 = 2^n t + (2^n - 1).
template <class L>
SIMDNORM_INLINE typename L::f32 tanh(typename L::f32 x) {
  using f32 = typename L::f32;
  const f32 one = L::broadcast(1.0f);
  const f32 b = L::broadcast(-2.0f) * L::min(L::broadcast(9.1f), magnitude<L>(x));
  const exponential<L> e = exponential_of<L, 127>(b);
  const f32 power = L::floats(e.n << 23);
  const f32 m = L::fma(power, e.t, power - one);
  return with_sign_of<L>(L::div(m, L::fma(power, e.t, power + one)), x);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

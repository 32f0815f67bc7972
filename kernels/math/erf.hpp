// SPDX-License-Identifier: Apache-2.0
//
// erf and gelu_erf of one register, by polynomials over eight intervals whose coefficients are looked up.
// docs/numerics.md, "Activations".
#pragma once

#include <stdint.h>

#include "inline.hpp"
#include "math/exp.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// f(a) = c0 + (a - center) (c1 + ... + c7 (a - center)^6) in each of eight intervals: rows are centers, c0 ... c7. A
// center is chosen, near the middle of its interval, so that f(center) is a float to 2^-35: so what is added
// to c0 is small against it, and f is hardly worse than its last rounding. The polynomials are minimax of the
// relative error (Remez, coefficients rounded to f32 one after the other, the others fitted again).
struct eight_polynomials {
  float rows[9][8];
};

// f(a) = base + rest, base being c0.
template <class L>
struct value_in_parts {
  typename L::f32 base, rest;
};
template <class L>
SIMDNORM_INLINE value_in_parts<L> evaluate(const eight_polynomials& table, typename L::f32 a, typename L::octet o) {
  using f32 = typename L::f32;
  const f32 z = a - L::look_up(table.rows[0], o);
  f32 p = L::fma(z, L::look_up(table.rows[8], o), L::look_up(table.rows[7], o));
  p = L::fma(z, p, L::look_up(table.rows[6], o));
  p = L::fma(z, p, L::look_up(table.rows[5], o));
  p = L::fma(z, p, L::look_up(table.rows[4], o));
  p = L::fma(z, p, L::look_up(table.rows[3], o));
  p = L::fma(z, p, L::look_up(table.rows[2], o));
  return {L::look_up(table.rows[1], o), z * p};
}

// erf(a) / a; interval k is where 1.9 a rounds to k. Off by 2^-29.1 of itself at most.
constexpr eight_polynomials erf_polynomials = {{
    {0x1.e20b24p-4f, 0x1.0c7692p-1f, 0x1.0d28c8p+0f, 0x1.9a5d0ep+0f, 0x1.0d7ab4p+1f, 0x1.5348c2p+1f, 0x1.949b38p+1f,
     0x1.d7e4b2p+1f},
    {0x1.1f8978p+0f, 0x1.0870ap+0f, 0x1.a43c0ep-1f, 0x1.37eed2p-1f, 0x1.e4f9c6p-2f, 0x1.82402p-2f, 0x1.43f26ap-2f,
     0x1.15c1f4p-2f},
    {-0x1.679ebcp-4f, -0x1.57608p-2f, -0x1.b38d1ep-2f, -0x1.4dff68p-2f, -0x1.bfab6p-3f, -0x1.22a9bp-3f, -0x1.99dd4cp-4f,
     -0x1.2d5ceap-4f},
    {-0x1.77a158p-2f, -0x1.bdae7cp-3f, 0x1.fba50ep-6f, 0x1.df8c1ap-4f, 0x1.725674p-4f, 0x1.ae6a1ep-5f, 0x1.02e76p-5f,
     0x1.46f3f4p-6f},
    {0x1.ac073ap-5f, 0x1.5ba768p-3f, 0x1.d2b4b6p-4f, 0x1.5bc728p-10f, -0x1.adfe2cp-6f, -0x1.29cc1ap-6f, -0x1.443f4p-7f,
     -0x1.62847ep-8f},
    {0x1.b79c4cp-4f, 0x1.ae8152p-6f, -0x1.e537bcp-5f, -0x1.03264cp-5f, -0x1.52895cp-11f, 0x1.48688ep-8f, 0x1.87214p-9f,
     0x1.7f278ep-10f},
    {-0x1.3088eap-6f, -0x1.98ab9p-5f, -0x1.e1ff98p-8f, 0x1.1a222ap-6f, 0x1.a069aap-8f, -0x1.c3ebb2p-12f,
     -0x1.997382p-11f, -0x1.9a00ccp-12f},
    {-0x1.970728p-6f, 0x1.b72f9ap-10f, 0x1.04b14cp-6f, -0x1.06d914p-10f, -0x1.e5fc4p-9f, -0x1.5a123p-11f,
     0x1.03e0a8p-13f, 0x1.9c9c64p-14f},
    {0x1.ec32cap-8f, 0x1.44d36p-7f, -0x1.73f0ccp-9f, -0x1.cae00ap-9f, 0x1.408752p-11f, 0x1.1ecbep-11f, -0x1.3cedaap-15f,
     -0x1.2619e2p-18f},
}};

template <class L>
SIMDNORM_INLINE typename L::f32 erf(typename L::f32 x) {
  using f32 = typename L::f32;
  const f32 a = L::min(L::broadcast(3.94f), magnitude<L>(x));
  const auto o = L::octet_of(L::bits(L::fma(a, L::broadcast(1.9f), L::broadcast(rounder<0>))));
  const value_in_parts<L> f = evaluate<L>(erf_polynomials, a, o);
  return with_sign_of<L>(L::min(L::broadcast(1.0f), a * (f.base + f.rest)), x);
}

// R(a) = e^(a^2 / 2) erfc(a / sqrt 2) / 2 for a < 1, a R(a) from there on; intervals end where (a + 1)^2 is 2, 4, ...
// 128, and stand here in the order of the exponent of (a + 1)^2 mod 8. Off by 2^-27.2 of itself at most.
constexpr eight_polynomials normal_tail_polynomials = {{
    {0x1.71f96p-1f, 0x1.70a5fep+0f, 0x1.2ca8b4p+1f, 0x1.e422c8p+1f, 0x1.7ac2f8p+2f, 0x1.0f182cp+3f, 0x1.8ee512p+3f,
     0x1.bf96d8p-3f},
    {0x1.3860ecp-2f, 0x1.379daep-2f, 0x1.654d06p-2f, 0x1.80812p-2f, 0x1.8dbb82p-2f, 0x1.930c32p-2f, 0x1.95efe4p-2f,
     0x1.b1a89p-2f},
    {-0x1.6d94a6p-3f, 0x1.336af6p-4f, 0x1.fd020ep-6f, 0x1.5abf0ep-7f, 0x1.b0d7dp-9f, 0x1.3dea46p-10f, 0x1.a0035p-12f,
     -0x1.39bdb8p-2f},
    {0x1.689626p-4f, -0x1.4c8424p-5f, -0x1.bb4e62p-7f, -0x1.c29974p-9f, -0x1.8e5ff4p-11f, -0x1.abecb8p-13f,
     -0x1.86ba32p-15f, 0x1.6d172cp-3f},
    {-0x1.39bcdep-5f, 0x1.279e4p-6f, 0x1.43d13ep-8f, 0x1.f59044p-11f, 0x1.3f4eacp-13f, 0x1.f9fa3cp-16f, 0x1.444ceap-18f,
     -0x1.6d20b6p-4f},
    {0x1.ee7302p-7f, -0x1.cce83ep-8f, -0x1.a54096p-10f, -0x1.f96bc2p-13f, -0x1.d5c7f6p-16f, -0x1.14ef9cp-18f,
     -0x1.f4fb8ep-22f, 0x1.452f3p-5f},
    {-0x1.661f5ep-8f, 0x1.4500c2p-9f, 0x1.f8da7ap-12f, 0x1.dbe46cp-15f, 0x1.438e88p-18f, 0x1.22c936p-21f,
     0x1.70c102p-25f, -0x1.07ab0ep-6f},
    {0x1.ebbcc2p-10f, -0x1.b3ccfep-11f, -0x1.236f84p-13f, -0x1.be3ffep-17f, -0x1.cd91e8p-21f, -0x1.34f7ep-24f,
     -0x1.1a5d78p-28f, 0x1.8e5b28p-8f},
    {-0x1.6c48f8p-11f, 0x1.1d3decp-12f, 0x1.126a9ep-15f, 0x1.621fe8p-19f, 0x1.4fc88p-23f, 0x1.016a9ep-27f,
     0x1.9df55p-32f, -0x1.19215ep-9f},
}};

// x/2 (1 + erf(x / sqrt 2)) = max(x, 0) - h(|x|), h(a) = a erfc(a / sqrt 2) / 2 = min(a, 1) f(a) e^(-a^2 / 2): without
// cancellation for x < 0, and no constant of an irrational number is rounded on the way to e^. a^2 is taken in two
// floats. min(a, 1) and f (1 + t) each bring a part of 2^n, so that a result that is subnormal is rounded once.
template <class L>
SIMDNORM_INLINE typename L::f32 gelu_erf(typename L::f32 x) {
  using f32 = typename L::f32;
  const f32 one = L::broadcast(1.0f);
  const f32 a = L::min(L::broadcast(14.5f), magnitude<L>(x));
  const f32 u = a + one;
  const value_in_parts<L> f = evaluate<L>(normal_tail_polynomials, a, L::octet_of(L::bits(u * u) >> 23));

  const f32 minus_half_a = a * L::broadcast(-0.5f);
  const f32 b = a * minus_half_a;
  const exponential<L> e = exponential_of<L, 254>(b, L::fnma(a, minus_half_a, b));
  const f32 g = f.base + L::fma(f.base + f.rest, e.t, f.rest);  // f (1 + t)
  const power_of_two<L> power = power_of<L>(e.n);
  return L::fnma(L::min(one, a) * power.first, g * power.second, L::max(L::broadcast(0.0f), x));
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

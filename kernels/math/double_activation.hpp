// SPDX-License-Identifier: Apache-2.0
//
// GELU and SiLU of doubles, one at a time: what f32 does in a register (math/exp.hpp, math/erf.hpp), with longer
// polynomials. f64 is made for being right; 20 to 40 fma an element. docs/numerics.md, "Activations".
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inline.hpp"
#include "pairs.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// e^b = 2^n (1 + t). n is that of the low bits of `sum`, whatever else NaN leaves there.
struct double_exponential {
  uint64_t n;
  double t;
};

SIMDNORM_INLINE double double_power_of_two(uint64_t n) {
  return __builtin_bit_cast(double, (n + 1023) << 52);
}

// Of b - low, low being far below b; |b| < 1400. t = r + r^2 Q(r) as in math/exp.hpp, Q interpolated at Chebyshev's
// nodes: off by 2^-61 (1 + t), and by its roundings.
template <class L>
SIMDNORM_INLINE double_exponential exponential_of_double(double b, double low) {
  constexpr double rounder = 0x1.8p52;
  constexpr double per_ln2 = 0x1.71547652b82fep+0;
  constexpr double high = 0x1.62e42fefa38p-1;  // ln 2, 42 bits: n * high is exact
  constexpr double rest = 0x1.ef35793c7673p-45;
  const double sum = L::fma64(b, per_ln2, rounder);
  const double n = sum - rounder;
  const double r = L::fma64(-n, high, b) - L::fma64(n, rest, low);
  constexpr double q[] = {0x1p-1,
                          0x1.5555555555557p-3,
                          0x1.5555555555556p-5,
                          0x1.11111111100bep-7,
                          0x1.6c16c16c162c3p-10,
                          0x1.a01a01abf85abp-13,
                          0x1.a01a01a6e1e2ap-16,
                          0x1.71de01fdbf9cap-19,
                          0x1.27e4db46cddd1p-22,
                          0x1.af4e554377204p-26,
                          0x1.1f7340dbc337ep-29};
  double p = q[10];
  for (size_t k = 10; k-- > 0;) p = L::fma64(r, p, q[k]);
  return {__builtin_bit_cast(uint64_t, sum) - __builtin_bit_cast(uint64_t, rounder), L::fma64(r * r, p, r)};
}

// m / (1 + e^b), as (m s) / (s + 2^n s (1 + t)), with s = 2^-200 where 2^n could be infinite: so a result that is
// subnormal is rounded once, by the division.
template <class L>
SIMDNORM_INLINE double double_over_one_plus(const double_exponential& e, double m) {
  const bool large = static_cast<int64_t>(e.n) > 900;
  const double s = large ? 0x1p-200 : 1.0;
  const double power = double_power_of_two(large ? e.n - 200 : e.n);
  const double sum = power + s;
  const double minus_lost = (sum - power) - s;
  return m * s / (sum - L::fma64(-power, e.t, minus_lost));
}

// Below -760 x / (1 + e^-x) is under half the least subnormal; above 40, 1 + e^-x rounds to 1. NaN passes comparisons.
template <class L>
[[gnu::noinline]] double double_silu(double x) {
  const double y = -x > 760.0 ? 760.0 : -x;
  return double_over_one_plus<L>(exponential_of_double<L>(y < -40.0 ? -40.0 : y, 0.0), -y);
}

// gelu_tanh of math/exp.hpp, 2z in two doubles.
template <class L>
[[gnu::noinline]] double double_gelu_tanh(double x) {
  constexpr double d_high = 0x1.65d25edd9ed8p+4;  // a multiple of 2^-44, so that d_high - (x^2 + d_high) is exact
  constexpr double d_low = 0x1.fd4f2671c239cp-48;
  constexpr double c_high = 0x1.2444f2a4d8b4bp-4;
  constexpr double c_low = -0x1.6c843a29d1c7p-61;
  const double y = -x > 22.0 ? 22.0 : -x;
  const double a = y < -7.5 ? -7.5 : y;
  const double s = L::fma64(a, a, d_high);
  const double s_low = L::fma64(a, a, d_high - s) + d_low;
  const double p = a * s;
  const double minus_p_low = L::fma64(-a, s_low, L::fma64(-a, s, p));
  const double b = c_high * p;
  const double minus_b_low = L::fma64(-c_low, p, L::fma64(c_high, minus_p_low, L::fma64(-c_high, p, b)));
  return double_over_one_plus<L>(exponential_of_double<L>(b, minus_b_low), -y);
}

// R(a) = e^(a^2 / 2) erfc(a / sqrt 2) / 2 for a < 1, a R(a) from there on, as c0 + z (c1 + ... + c13 z^12) of
// z = a - center, in intervals that end where (a + 1)^2 is 1.5, 2, 3, 4, 6 ... 2048. Rows are center, c0 ... c13; a
// center is near the middle, where c0 is exact to 2^-62. Interpolated at Chebyshev's nodes: off by 2^-56.6 of itself at
// most, which is the rounding of c1.
constexpr size_t double_tail_intervals = 22;
constexpr double double_normal_tail[double_tail_intervals][15] = {
    {0x1.cd248fbd873cbp-4, 0x1.d511669f8b102p-2, -0x1.63b51e0347c7ep-2, 0x1.ad05675bb0be5p-3, -0x1.ba137d517258fp-4,
     0x1.9422c57ea5974p-5, -0x1.4f76154d63df9p-6, 0x1.00d5b0b49b1cfp-7, -0x1.6edc9b11acb92p-9, 0x1.ed04c8f740ee6p-11,
     -0x1.3934dc46c0179p-12, 0x1.7bf46ae270e5fp-14, -0x1.f71bcda14c0efp-15, 0x1.41a1624104368p-17,
     0x1.ad89f5a576154p-11},
    {0x1.476b126c4d6bfp-2, 0x1.93b032a38a81p-2, -0x1.17709924f4551p-2, 0x1.3a56c5b0f42d9p-3, -0x1.3194bef51aa9cp-4,
     0x1.097c2bce4331fp-5, -0x1.a5051193ea62fp-7, 0x1.351b7039467f3p-8, -0x1.a8a1642064585p-10, 0x1.131ba9537a362p-11,
     -0x1.a82cab28a833ep-13, 0x1.e635a258c723ap-15, 0x1.dc378816badcfp-9, -0x1.c037f6b9f7885p-12,
     -0x1.0017cb576e5eep-3},
    {0x1.26703e70ed919p-1, 0x1.557105d072c0bp-2, -0x1.a85325129a17cp-3, 0x1.b6dd476772633p-4, -0x1.8d8358250ff1dp-5,
     0x1.44907efde2feap-6, -0x1.e6b3a685f6bd6p-8, 0x1.5374b57d6edf4p-9, -0x1.bcae4a2238a3cp-11, 0x1.1386841c5ff62p-12,
     -0x1.44af65b73b0fap-14, 0x1.6da8eda1074ebp-16, -0x1.dfff709c0618bp-18, 0x1.031571a7904f7p-19,
     0x1.f4d850d2fc2f5p-17},
    {0x1.ba00fc1c8be0cp-1, 0x1.2058048a063c3p-2, -0x1.3f2f92ad6c60dp-3, 0x1.2d235a491fea9p-4, -0x1.f88965820b65dp-6,
     0x1.807eea09ad70bp-7, -0x1.0edb656c58165p-8, 0x1.64c69b47b7a4ep-10, -0x1.bb1a6644ee93p-12, 0x1.052308d2a325fp-13,
     -0x1.246a914ac41b8p-15, 0x1.4341d6944b342p-17, -0x1.3388c093f321ep-17, -0x1.d9b0ffa9cdbd6p-19,
     0x1.e7a39d9b20e4ep-14},
    {0x1.39147eedc6b35p+0, 0x1.24c4daa0e412cp-2, 0x1.8757e6621ebdap-4, -0x1.bf61f74e43cd3p-5, 0x1.a1ee1189bad49p-6,
     -0x1.54f3da71f6599p-7, 0x1.f647c7bb92725p-9, -0x1.54c42c5ab3571p-10, 0x1.af90f478875ffp-12, -0x1.017fccd91580ep-13,
     0x1.239cfac225e69p-15, -0x1.3b1ac0ef3898fp-17, 0x1.4444b19bb8b9p-19, -0x1.498240585778bp-21,
     0x1.0666d2434985fp-22},
    {0x1.a2db1b83e922cp+0, 0x1.4538330114c42p-2, 0x1.f3dd4444e88b1p-5, -0x1.017373238be1ap-5, 0x1.b616b94aa74a6p-7,
     -0x1.48252b802eed9p-8, 0x1.bea902806256dp-10, -0x1.196e300f1d855p-11, 0x1.4c6cb867d5b3dp-13,
     -0x1.7351ec7b8fa82p-15, 0x1.8ac9c468ce1f4p-17, -0x1.91d6aa2543e4cp-19, 0x1.9894c7648cff9p-21,
     -0x1.6066f325479f6p-23, -0x1.ce201a7c98659p-23},
    {0x1.120735eef296p+1, 0x1.5e0897619798ap-2, 0x1.3263dc9820414p-5, -0x1.17ccb6f5b7b76p-6, 0x1.aae2240f0e65p-8,
     -0x1.212fd72e3a0bcp-9, 0x1.667bb8daf2ffap-11, -0x1.9dc2880ced974p-13, 0x1.c1c94da722264p-15,
     -0x1.d0469757bfd4cp-17, 0x1.c9d6553f3a07ep-19, -0x1.b141ec9338658p-21, 0x1.8917a213339bep-23,
     -0x1.63300fb139539p-25, 0x1.915dc7c736d26p-27},
    {0x1.5ceb4eb5a020ap+1, 0x1.6f9142a2c6d4fp-2, 0x1.7373307cce3c3p-6, -0x1.29d60d97f90e7p-7, 0x1.934ac87ef8296p-9,
     -0x1.e91ce9721f681p-11, 0x1.1144dccc49721p-12, -0x1.1df8f01989aa5p-14, 0x1.1b43dcb3739fp-16,
     -0x1.0b9249b197f97p-18, 0x1.e4dd45f070ba4p-21, -0x1.a6639aca1a29ep-23, 0x1.4b402945d8dcep-25,
     -0x1.488e2a9659eadp-27, 0x1.ef038575364ecp-27},
    {0x1.b95451d175fd4p+1, 0x1.7c7268f656d6dp-2, 0x1.b1eb89370f816p-7, -0x1.2c5f3b0c4497bp-8, 0x1.62d0da4880235p-10,
     -0x1.7a9e99acfb19ap-12, 0x1.76e9efdd66045p-14, -0x1.5dcf25d0f9d9ap-16, 0x1.3691b04c17c8p-18,
     -0x1.08292aa77e4a7p-20, 0x1.b0a7ff4776bp-23, -0x1.5672105228fedp-25, 0x1.0858ab86d444fp-27, -0x1.9029750b639e1p-30,
     0x1.b003b3a786e5bp-33},
    {0x1.1124ae0d59885p+2, 0x1.85091f1addbb8p-2, 0x1.005c50cdc6d99p-7, -0x1.3160a59b7ab0bp-9, 0x1.39237cba7207bp-11,
     -0x1.243f464c9d56fp-13, 0x1.fd79a89e79848p-16, -0x1.a4cd211eba65p-18, 0x1.4c5bf57e00ddp-20, -0x1.f932f0654b12fp-23,
     0x1.7322b340b716fp-25, -0x1.088d6af7d9757p-27, 0x1.731fee604550dp-30, -0x1.ebbe0374883b9p-33,
     0x1.423804849e96ep-39},
    {0x1.538aa2c5a29e5p+2, 0x1.8b53db9f4f47dp-2, 0x1.22a41c3499ab7p-8, -0x1.2491e90b68598p-10, 0x1.ff1ac04a51092p-13,
     -0x1.992a3306267fdp-15, 0x1.33cfec721bda5p-17, -0x1.b9422d3a300a9p-20, 0x1.2fefc19dc9efap-22,
     -0x1.94b26910c332dp-25, 0x1.0580a38e1ed67p-27, -0x1.48ebd432938efp-30, 0x1.93ee239b48733p-33,
     -0x1.f321235932411p-36, 0x1.267ace35d89cdp-38},
    {0x1.9e70e2e861993p+2, 0x1.8f667b2a535fdp-2, 0x1.522243deeac5bp-9, -0x1.206c023501c7dp-11, 0x1.ad9078f047542p-14,
     -0x1.26cbd96721623p-16, 0x1.7e1f93dd95a8fp-19, -0x1.da116e9354d58p-22, 0x1.1bc425fdcf85cp-24,
     -0x1.499ad7fbe1e4fp-27, 0x1.74c1e574477d4p-30, -0x1.9ba65982cd655p-33, 0x1.d5cc95ae2fe2ep-36,
     -0x1.ffbfed6f13b6cp-39, -0x1.234cc5d472439p-40},
    {0x1.fa05c465f2e16p+2, 0x1.9245ea24e5ebep-2, 0x1.82ce035f547c5p-10, -0x1.150515f3cf2c7p-12, 0x1.5c1d15cf6cc9ep-15,
     -0x1.94f72e5e69affp-18, 0x1.bec688cf5c464p-21, -0x1.d99739255c983p-24, 0x1.e62f31f176712p-27,
     -0x1.e5e7baf2b2632p-30, 0x1.da89f41ab2a14p-33, -0x1.c5c6c1f2adbfbp-36, 0x1.a7d41c099acd1p-39,
     -0x1.96898a07268adp-42, 0x1.ac3e5bff3208p-45},
    {0x1.30d3961ddc467p+3, 0x1.9427f786ffe84p-2, 0x1.c65a97fa035d3p-11, -0x1.12abf8f83125fp-13, 0x1.246475d074739p-16,
     -0x1.211ab214efc0bp-19, 0x1.0ff2438192669p-22, -0x1.ed081de273148p-26, 0x1.b20d2705a034bp-29,
     -0x1.75044fc1546d6p-32, 0x1.3a3890db7e18ep-35, -0x1.02b5ebda5b3e3p-38, 0x1.7e41c4135f0cdp-42,
     -0x1.9e76b635c8b8bp-45, 0x1.a86a6e3e769c9p-46},
    {0x1.72ca59279acfep+3, 0x1.958a3161e2d29p-2, 0x1.0180719bc410dp-11, -0x1.03380ec0a4a1ap-14, 0x1.cccac37f91bd5p-18,
     -0x1.7d6e050d2cf89p-21, 0x1.2d25c5453f608p-24, -0x1.cb6219f7a6737p-28, 0x1.5517a40c39d1cp-31,
     -0x1.ef8e5105d758dp-35, 0x1.615130affe766p-38, -0x1.efc05dd9b6b09p-42, 0x1.5c418b0719d63p-45,
     -0x1.e742812f0e29ap-49, 0x1.947b4e06f66ccp-53},
    {0x1.beac94199774p+3, 0x1.9673a3a8a8de3p-2, 0x1.2a7f48b423f7p-12, -0x1.f7266f1a866a2p-16, 0x1.77244dc0effd3p-19,
     -0x1.04fc497d6e283p-22, 0x1.5afdaabb38ac2p-26, -0x1.be7836525b3e5p-30, 0x1.1819b13d57366p-33,
     -0x1.586ac68725a4cp-37, 0x1.a06c06b3c4e8p-41, -0x1.f0300aa0feea9p-45, 0x1.24ca7c13c519ep-48,
     -0x1.5bf5385195d6fp-52, 0x1.5916354e07fbbp-56},
    {0x1.0c3f4da8a3605p+4, 0x1.97142971e8fd3p-2, 0x1.5bb1c1b706379p-13, -0x1.eadd2b4fbd298p-17, 0x1.32f3fb9668ec5p-20,
     -0x1.66b295792c667p-24, 0x1.9110a600aeac5p-28, -0x1.b28ca814feaaep-32, 0x1.cbb8cd5575e4fp-36,
     -0x1.dd3677d31421cp-40, 0x1.e7a63a1bdf5efp-44, -0x1.eb9be29d27168p-48, 0x1.ecefc644b6f12p-52,
     -0x1.f59b8df82a4fap-56, 0x1.a5132a63de3c5p-60},
    {0x1.41424a8178939p+4, 0x1.9782d385f1ae2p-2, 0x1.9761b3d7ee353p-14, -0x1.e2373084282cap-18, 0x1.fa291e9e3d425p-22,
     -0x1.f0e7d8a7d601ap-26, 0x1.d333d480dccf9p-30, -0x1.aa129450eff2ap-34, 0x1.7bc2503dc342dp-38,
     -0x1.4c5cd227a4c8cp-42, 0x1.1c9dcd54eadffp-46, -0x1.f10bcab46823p-51, 0x1.8a102b7a141a3p-54,
     -0x1.2dbbe46b1c86dp-67, -0x1.8ed0874d6fcf1p-58},
    {0x1.8304080ec44aep+4, 0x1.97d27d4b02e14p-2, 0x1.d426256b1c1afp-15, -0x1.cd5f8e2de374fp-19, 0x1.93800f2853cdp-23,
     -0x1.4a4852934ea6bp-27, 0x1.031bb7ef5b85cp-31, -0x1.8a99fa3984266p-36, 0x1.25dc2c9fe5d9ep-40,
     -0x1.ae23898936ec7p-45, 0x1.3673a31608288p-49, -0x1.ba95a7171d8b4p-54, 0x1.366171ec67b24p-58,
     -0x1.c6f0c59e8865bp-63, 0x1.72830dffb1792p-67},
    {0x1.cf236e0fba844p+4, 0x1.9807f435f5dbbp-2, 0x1.120230ef0210cp-15, -0x1.c43a9b692c852p-20, 0x1.4b546ddd18db1p-24,
     -0x1.c6a0c33e34714p-29, 0x1.2b146c41794c9p-33, -0x1.7e20d66867171p-38, 0x1.ddb91ca91c218p-43,
     -0x1.259efab4be4cdp-47, 0x1.6394380646c82p-52, -0x1.a828420e4b45bp-57, 0x1.282e45cba7646p-61,
     -0x1.a057d2b9ed923p-66, -0x1.50c360c13e965p-68},
    {0x1.1520e7025e4fp+5, 0x1.982d6460e2b37p-2, 0x1.406c2175f6a77p-16, -0x1.ba854ad5552a8p-21, 0x1.0f657d97aba11p-25,
     -0x1.37d4bd06ebe19p-30, 0x1.57ad2e48d83f9p-35, -0x1.6ff3a6e98cf3p-40, 0x1.8196817ddc23dp-45,
     -0x1.8d6f2a39c5ff4p-50, 0x1.9435bfa0a1834p-55, -0x1.9672446afb5bep-60, 0x1.982fb5012ee1bp-65,
     -0x1.a2d006cd032bbp-70, 0x1.54b030819e916p-75},
    {0x1.499577e54fef9p+5, 0x1.9846d12d0467bp-2, 0x1.7d882c8506988p-17, -0x1.bb7b9dfa600ccp-22, 0x1.c9f2cd7aa4166p-27,
     -0x1.bb12701f72031p-32, 0x1.9b4acbb2d65e4p-37, -0x1.72f88b6845c32p-42, 0x1.4797c1c665133p-47,
     -0x1.1c9300e4368b6p-52, 0x1.e4af5afaf77fbp-58, -0x1.a0b0a3b4b3d8ap-63, 0x1.458e8216f5a31p-67,
     -0x1.7ac803408db1ap-74, -0x1.3d6a79e47aecap-73},
};

// gelu_erf of math/erf.hpp.
template <class L>
[[gnu::noinline]] double double_gelu_erf(double x) {
  const double size = __builtin_fabs(x);
  const double a = size > 38.7 ? 38.7 : size;
  const double u = a + 1.0;
  const uint64_t interval = (__builtin_bit_cast(uint64_t, u * u) >> 51) - 2046;
  const double* const c = double_normal_tail[interval < double_tail_intervals ? interval : 0];  // NaN: any
  const double z = a - c[0];
  double p = c[14];
  for (size_t k = 14; k-- > 2;) p = L::fma64(z, p, c[k]);
  const double base = c[1], rest = z * p;

  const double minus_half_a = a * -0.5;
  const double b = a * minus_half_a;
  const double_exponential e = exponential_of_double<L>(b, L::fma64(-a, minus_half_a, b));
  const double g = base + L::fma64(base + rest, e.t, rest);  // f (1 + t)
  const auto half = static_cast<uint64_t>(static_cast<int64_t>(e.n) >> 1);
  const double first = (a > 1.0 ? 1.0 : a) * double_power_of_two(half);
  return L::fma64(-first, g * double_power_of_two(e.n - half), 0.0 > x ? 0.0 : x);
}

// v[j] = function(v[j]), of those that are more than a comparison; then, with a gate, times silu(gate[j]).
template <class L>
[[gnu::noinline]] void activate_doubles(elementwise_function function, double* v, const double* gate, size_t n) {
#pragma GCC unroll 1
  for (size_t j = 0; j < n; ++j) {
    double y = v[j];
    if (function == elementwise_function::gelu_erf) y = double_gelu_erf<L>(y);
    if (function == elementwise_function::gelu_tanh) y = double_gelu_tanh<L>(y);
    if (function == elementwise_function::silu) y = double_silu<L>(y);
    if (gate != nullptr) y = y * double_silu<L>(gate[j]);
    v[j] = canonical_double(y);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

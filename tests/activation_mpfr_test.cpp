// SPDX-License-Identifier: Apache-2.0
//
// The activation functions against MPFR, at most 2 ulp: in strides over all floats, at every exponent, on both sides of
// every border between intervals and clamps, and at the worst inputs that sweeps over all floats have found.

#include <gtest/gtest.h>
#include <mpfr.h>

#include <cmath>

#include "support/activations.hpp"
#include "support/isa_fixture.hpp"

namespace simdnorm::test {
namespace {

class number {
 public:
  number() { mpfr_init2(v_, 128); }
  explicit number(double d) : number() { mpfr_set_d(v_, d, MPFR_RNDN); }
  number(const number&) = delete;
  number& operator=(const number&) = delete;
  ~number() { mpfr_clear(v_); }
  operator mpfr_ptr() { return v_; }

 private:
  mpfr_t v_;
};

// x / (1 + e^minus_z)
double over_one_plus_exp(number& x, number& minus_z) {
  number y;
  mpfr_exp(y, minus_z, MPFR_RNDN);
  mpfr_add_ui(y, y, 1, MPFR_RNDN);
  mpfr_div(y, x, y, MPFR_RNDN);
  return mpfr_get_d(y, MPFR_RNDN);
}

double exact(elementwise_function f, float input) {
  number x(input), y, one(1);
  switch (f) {
    case elementwise_function::none:
      return input;
    case elementwise_function::relu:
      return input < 0 ? 0 : input;
    case elementwise_function::gelu_erf:  // x erfc(-x / sqrt 2) / 2
      mpfr_sqrt_ui(y, 2, MPFR_RNDN);
      mpfr_div(y, x, y, MPFR_RNDN);
      mpfr_neg(y, y, MPFR_RNDN);
      mpfr_erfc(y, y, MPFR_RNDN);
      mpfr_mul(y, y, x, MPFR_RNDN);
      mpfr_div_ui(y, y, 2, MPFR_RNDN);
      return mpfr_get_d(y, MPFR_RNDN);
    case elementwise_function::gelu_tanh: {  // x (1 + tanh z) / 2 = x / (1 + e^-2z), z = sqrt(2 / pi) (x + 0.044715
                                             // x^3)
      number z;
      mpfr_const_pi(y, MPFR_RNDN);
      mpfr_ui_div(y, 2, y, MPFR_RNDN);
      mpfr_sqrt(y, y, MPFR_RNDN);
      mpfr_pow_ui(z, x, 3, MPFR_RNDN);
      mpfr_mul_ui(z, z, 44715, MPFR_RNDN);
      mpfr_div_ui(z, z, 1000000, MPFR_RNDN);
      mpfr_add(z, z, x, MPFR_RNDN);
      mpfr_mul(z, z, y, MPFR_RNDN);
      mpfr_mul_si(z, z, -2, MPFR_RNDN);
      return over_one_plus_exp(x, z);
    }
    case elementwise_function::silu:
    case elementwise_function::sigmoid:
      mpfr_neg(y, x, MPFR_RNDN);
      return over_one_plus_exp(f == elementwise_function::silu ? x : one, y);
    case elementwise_function::tanh:
      mpfr_tanh(y, x, MPFR_RNDN);
      return mpfr_get_d(y, MPFR_RNDN);
    case elementwise_function::erf:
      mpfr_erf(y, x, MPFR_RNDN);
      return mpfr_get_d(y, MPFR_RNDN);
    case elementwise_function::exp:
      mpfr_exp(y, x, MPFR_RNDN);
      return mpfr_get_d(y, MPFR_RNDN);
  }
  return 0;
}

std::vector<float> inputs() {
  std::vector<float> x;
  const auto add = [&](std::uint32_t u) {
    const float v = float_of(u & 0x7fffffff);
    if (!std::isfinite(v)) return;
    x.push_back(v);
    x.push_back(-v);
  };
  for (std::uint64_t u = 0; u < 0x7f800000; u += 0x7f800000 / 3000) add(static_cast<std::uint32_t>(u));
  generator g(7);
  for (std::uint32_t e = 0; e < 255; ++e) {
    for (const std::uint32_t m : {0u, 1u, 0x400000u, 0x7fffffu}) add(e << 23 | m);
    // 2^-4 to 128 is where the functions bend.
    for (std::size_t k = 0; k < (e >= 123 && e <= 133 ? 1500 : 4); ++k)
      add(e << 23 | static_cast<std::uint32_t>(g.next() & 0x7fffff));
  }
  for (const double border : {std::sqrt(2.0) - 1,
                              1.0,
                              2 * std::sqrt(2.0) - 1,
                              3.0,
                              4 * std::sqrt(2.0) - 1,
                              7.0,
                              8 * std::sqrt(2.0) - 1,
                              14.0,
                              14.2,
                              14.5,
                              3.92,
                              3.93,
                              5.2,
                              9.0,
                              9.1,
                              10.7,
                              10.8,
                              17.0,
                              18.0,
                              87.33,
                              88.72,
                              89.0,
                              103.9,
                              104.0,
                              108.5,
                              109.0}) {
    const std::uint32_t u = bits_of(static_cast<float>(border));
    for (std::uint32_t k = 0; k < 9; ++k) add(u + k - 4);
  }
  for (int k = 0; k <= 7; ++k) {
    const std::uint32_t u = bits_of(static_cast<float>((k + 0.5) / 1.9));
    for (std::uint32_t i = 0; i < 9; ++i) add(u + i - 4);
  }
  // The worst normal and subnormal results of gelu_erf, gelu_tanh, silu, sigmoid; of tanh, erf, exp.
  for (const std::uint32_t u : {0x3fed58e0u, 0x415321ebu, 0x40a63bb2u, 0x41219f49u, 0x42b65faau, 0x42b7b9c9u,
                                0x3f8d6573u, 0x42aeaf19u, 0x3f047814u, 0x3fea38b7u, 0x40bb786bu, 0x42b00d32u})
    add(u);
  return x;
}

class activation_mpfr_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(activation_mpfr_test);

TEST_P(activation_mpfr_test, two_ulps) {
  const std::vector<float> x = inputs();
  for (const named_activation& a : all_activations) {
    const std::vector<float> y = activated(a.function, x);
    double most = 0;
    float at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double wanted = exact(a.function, x[i]);
      const double error = error_in_ulps(y[i], wanted);
      ASSERT_LE(error, 2) << a.name << " of " << x[i] << " is " << y[i] << ", not " << wanted;
      ASSERT_EQ(std::signbit(y[i]), std::signbit(wanted)) << a.name << " of " << x[i];
      if (error > most) most = error, at = x[i];
    }
    std::printf("%s: %.3f ulp at most, at %.9g\n", a.name, most, static_cast<double>(at));
  }
}

}  // namespace
}  // namespace simdnorm::test

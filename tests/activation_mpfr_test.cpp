// SPDX-License-Identifier: Apache-2.0
//
// The activation functions against MPFR, at most 2 ulp: in strides over all floats, at every exponent, on both sides of
// every border between intervals and clamps, and at the worst inputs that sweeps over all floats have found.

#include <gtest/gtest.h>
#include <mpfr.h>

#include <cmath>
#include <utility>

#include "support/activations.hpp"
#include "support/double_gate.hpp"
#include "support/doubles.hpp"
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

// y = x / (1 + e^minus_z)
void over_one_plus_exp(number& y, number& x, number& minus_z) {
  mpfr_exp(y, minus_z, MPFR_RNDN);
  mpfr_add_ui(y, y, 1, MPFR_RNDN);
  mpfr_div(y, x, y, MPFR_RNDN);
}

void exact(elementwise_function f, double input, number& y) {
  number x(input), one(1);
  switch (f) {
    case elementwise_function::none:
      mpfr_set(y, x, MPFR_RNDN);
      break;
    case elementwise_function::relu:
      mpfr_set_d(y, input < 0 ? 0 : input, MPFR_RNDN);
      break;
    case elementwise_function::gelu_erf:  // x erfc(-x / sqrt 2) / 2
      mpfr_sqrt_ui(y, 2, MPFR_RNDN);
      mpfr_div(y, x, y, MPFR_RNDN);
      mpfr_neg(y, y, MPFR_RNDN);
      mpfr_erfc(y, y, MPFR_RNDN);
      mpfr_mul(y, y, x, MPFR_RNDN);
      mpfr_div_ui(y, y, 2, MPFR_RNDN);
      break;
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
      over_one_plus_exp(y, x, z);
      break;
    }
    case elementwise_function::silu:
    case elementwise_function::sigmoid: {
      number minus_z;
      mpfr_neg(minus_z, x, MPFR_RNDN);
      over_one_plus_exp(y, f == elementwise_function::silu ? x : one, minus_z);
      break;
    }
    case elementwise_function::tanh:
      mpfr_tanh(y, x, MPFR_RNDN);
      break;
    case elementwise_function::erf:
      mpfr_erf(y, x, MPFR_RNDN);
      break;
    case elementwise_function::exp:
      mpfr_exp(y, x, MPFR_RNDN);
      break;
  }
}
double exact(elementwise_function f, float input) {
  number y;
  exact(f, static_cast<double>(input), y);
  return mpfr_get_d(y, MPFR_RNDN);
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

// All exponents; where the functions bend, and every border between intervals and clamps, four neighbours on each side.
std::vector<double> double_inputs() {
  std::vector<double> x;
  generator g(11);
  const auto add = [&](double v) {
    x.push_back(v);
    x.push_back(-v);
  };
  for (int e = -1074; e <= 1023; e += e > -60 && e < 12 ? 1 : 23) {
    add(std::ldexp(1.0, e));
    for (int k = 0; k < (e > -60 && e < 12 ? 200 : 3); ++k) add(std::ldexp(1 + g.uniform(), e));
  }
  for (const double reach : {1.0, 8.0, 23.0, 40.0, 760.0})
    for (int k = 0; k < 4000; ++k) add(reach * g.uniform());
  std::vector<double> borders = {1, 7.5, 21.8, 22, 37, 38.4, 38.6, 38.7, 40, 708, 744, 745, 752, 760};
  for (double square = 1; square < 2048; square *= 2) {
    borders.push_back(std::sqrt(square) - 1);
    borders.push_back(std::sqrt(1.5 * square) - 1);
  }
  for (double v : borders) {
    for (int k = 0; k < 4; ++k) v = std::nextafter(v, 0);
    for (int k = 0; k < 9; ++k, v = std::nextafter(v, 1e9)) add(v);
  }
  return x;
}

TEST_P(activation_mpfr_test, two_ulps_of_doubles) {
  std::vector<double> x = double_inputs();
  if (GetParam() == SIMDNORM_SCALAR) x.resize(x.size() / 8);  // emulated fma
  ASSERT_TRUE(same_doubles(activated(SIMDNORM_ACTIVATION_NONE, x), x));
  constexpr std::pair<simdnorm_activation, elementwise_function> functions[] = {
      {SIMDNORM_ACTIVATION_GELU, elementwise_function::gelu_erf},
      {SIMDNORM_ACTIVATION_GELU_TANH, elementwise_function::gelu_tanh},
      {SIMDNORM_ACTIVATION_SILU, elementwise_function::silu}};
  for (const auto& [activation, function] : functions) {
    const std::vector<double> y = activated(activation, x);
    double most = 0, at = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      number wanted, difference(y[i]);
      exact(function, x[i], wanted);
      const double nearest = mpfr_get_d(wanted, MPFR_RNDN);
      mpfr_sub(difference, difference, wanted, MPFR_RNDN);
      const double error = std::fabs(mpfr_get_d(difference, MPFR_RNDN)) / static_cast<double>(ulp_f64(nearest));
      ASSERT_LE(error, 2) << activation << " of " << std::hexfloat << x[i] << " is " << y[i] << ", not " << nearest;
      ASSERT_EQ(std::signbit(y[i]), std::signbit(nearest)) << activation << " of " << x[i];
      if (error > most) most = error, at = x[i];
    }
    std::printf("activation %d of doubles: %.3f ulp at most, at %.17g\n", activation, most, at);
  }
  const double infinity = std::numeric_limits<double>::infinity();
  for (const auto& [activation, function] : functions) {
    const std::vector<double> y = activated(activation, {infinity, -infinity, 0.0, -0.0, -std::nan("")});
    const double expected[] = {infinity, -0.0, 0.0, -0.0};
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(bits_of(y[i]), bits_of(expected[i])) << activation << " " << i;
    EXPECT_EQ(bits_of(y[4]), canonical_nan_f64);
  }
}

}  // namespace
}  // namespace simdnorm::test

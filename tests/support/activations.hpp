// SPDX-License-Identifier: Apache-2.0
//
// The activation kernel, called as the library's own code would, and an oracle in doubles for it: libm's doubles are
// right to 2^-52 or so, and what is made of them here to 2^-45, which is nothing beside an ulp of f32.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/dispatch.hpp"
#include "support/operations.hpp"
#include "support/wide.hpp"
#include "table.hpp"

namespace simdnorm::test {

struct named_activation {
  elementwise_function function;
  const char* name;
};
inline constexpr std::array<named_activation, 9> all_activations = {{
    {elementwise_function::none, "none"},
    {elementwise_function::relu, "relu"},
    {elementwise_function::gelu_erf, "gelu_erf"},
    {elementwise_function::gelu_tanh, "gelu_tanh"},
    {elementwise_function::silu, "silu"},
    {elementwise_function::sigmoid, "sigmoid"},
    {elementwise_function::tanh, "tanh"},
    {elementwise_function::erf, "erf"},
    {elementwise_function::exp, "exp"},
}};

// With the instruction set that is active.
inline void activated(elementwise_function f, const float* x, float* y, std::size_t n) {
  active_table()->elementwise_f32({x, y, f}, {0, 1, 0, n});
}
inline std::vector<float> activated(elementwise_function f, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  activated(f, x.data(), y.data(), x.size());
  return y;
}

// Every upper half of a float with `lows` lower ones: all signs, exponents, infinities and many NaN; the same numbers
// on every machine.
inline std::vector<float> floats_of_every_kind(std::size_t lows) {
  std::vector<float> x;
  generator g(lows);
  for (std::uint32_t high = 0; high < 0x10000; ++high)
    for (std::size_t k = 0; k < lows; ++k)
      x.push_back(float_of(high << 16 | (k == 0 ? 0 : static_cast<std::uint32_t>(g.next() & 0xffff))));
  return x;
}

// What the result is at inputs that have no error, or none worth a bound.
struct special_value {
  elementwise_function function;
  std::uint32_t x, y;
};
inline constexpr std::uint32_t plus_infinity = 0x7f800000, minus_infinity = 0xff800000, one = 0x3f800000,
                               minus_one = 0xbf800000, minus_zero = 0x80000000;
inline constexpr special_value special_values[] = {
    {elementwise_function::relu, minus_zero, minus_zero},
    {elementwise_function::relu, 0, 0},
    {elementwise_function::relu, minus_infinity, 0},
    {elementwise_function::relu, plus_infinity, plus_infinity},
    {elementwise_function::gelu_erf, minus_zero, minus_zero},
    {elementwise_function::gelu_erf, 0, 0},
    {elementwise_function::gelu_erf, minus_infinity, minus_zero},
    {elementwise_function::gelu_erf, plus_infinity, plus_infinity},
    {elementwise_function::gelu_erf, 0x7f7fffff, 0x7f7fffff},
    {elementwise_function::gelu_erf, 0xff7fffff, minus_zero},
    {elementwise_function::gelu_erf, 2, 1},
    {elementwise_function::gelu_tanh, minus_zero, minus_zero},
    {elementwise_function::gelu_tanh, 0, 0},
    {elementwise_function::gelu_tanh, minus_infinity, minus_zero},
    {elementwise_function::gelu_tanh, plus_infinity, plus_infinity},
    {elementwise_function::gelu_tanh, 0x7f7fffff, 0x7f7fffff},
    {elementwise_function::gelu_tanh, 0xff7fffff, minus_zero},
    {elementwise_function::gelu_tanh, 2, 1},
    {elementwise_function::silu, minus_zero, minus_zero},
    {elementwise_function::silu, 0, 0},
    {elementwise_function::silu, minus_infinity, minus_zero},
    {elementwise_function::silu, plus_infinity, plus_infinity},
    {elementwise_function::silu, 0x7f7fffff, 0x7f7fffff},
    {elementwise_function::silu, 0xff7fffff, minus_zero},
    {elementwise_function::silu, 2, 1},
    {elementwise_function::sigmoid, minus_zero, 0x3f000000},
    {elementwise_function::sigmoid, 0, 0x3f000000},
    {elementwise_function::sigmoid, minus_infinity, 0},
    {elementwise_function::sigmoid, plus_infinity, one},
    {elementwise_function::tanh, minus_zero, minus_zero},
    {elementwise_function::tanh, 0, 0},
    {elementwise_function::tanh, 1, 1},
    {elementwise_function::tanh, minus_infinity, minus_one},
    {elementwise_function::tanh, plus_infinity, one},
    {elementwise_function::erf, minus_zero, minus_zero},
    {elementwise_function::erf, 0, 0},
    {elementwise_function::erf, minus_infinity, minus_one},
    {elementwise_function::erf, plus_infinity, one},
    {elementwise_function::exp, minus_zero, one},
    {elementwise_function::exp, 0, one},
    {elementwise_function::exp, minus_infinity, 0},
    {elementwise_function::exp, plus_infinity, plus_infinity},
    {elementwise_function::exp, 0xff7fffff, 0},
    {elementwise_function::exp, 0x7f7fffff, plus_infinity},
};

struct activation_hash {
  const char* name;
  std::uint64_t hash;
  std::uint64_t outputs;
};
inline std::vector<activation_hash> hash_activations(std::size_t lows) {
  const std::vector<float> x = floats_of_every_kind(lows);
  std::vector<activation_hash> all;
  for (const named_activation& a : all_activations) {
    hash h;
    h.add(activated(a.function, x));
    all.push_back({a.name, h.value(), x.size()});
  }
  return all;
}

// Of numbers and infinities; limits at infinities.
inline double exact_in_doubles(elementwise_function f, double x) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  switch (f) {
    case elementwise_function::none:
      return x;
    case elementwise_function::relu:
      return x < 0 ? 0 : x;
    case elementwise_function::gelu_erf:
      return x == -infinity ? -0.0 : x * (0.5 * std::erfc(-x * 0.70710678118654752440));
    case elementwise_function::gelu_tanh:
      return x == -infinity ? -0.0 : x / (1 + std::exp(-1.5957691216057307117 * (x + 0.044715 * x * x * x)));
    case elementwise_function::silu:
      return x == -infinity ? -0.0 : x / (1 + std::exp(-x));
    case elementwise_function::sigmoid:
      return 1 / (1 + std::exp(-x));
    case elementwise_function::tanh:
      return std::tanh(x);
    case elementwise_function::erf:
      return std::erf(x);
    case elementwise_function::exp:
      return std::exp(x);
  }
  return 0;
}

// |y - exact| in ulps of exact, those of the subnormals being 2^-149. Infinity is as far as 2^128.
inline double error_in_ulps(float y, double exact) {
  std::uint64_t exponent = bits_of(exact) >> 52 & 0x7ff;
  exponent = exponent < 1023 - 126 ? 1023 - 126 : exponent > 1023 + 127 ? 1023 + 127 : exponent;
  const double per_ulp = __builtin_bit_cast(double, (2 * 1023 + 23 - exponent) << 52);
  const double limit = 0x1p128;
  const double value = std::fabs(y) == std::numeric_limits<float>::infinity() ? std::copysign(limit, y) : y;
  exact = exact > limit ? limit : exact < -limit ? -limit : exact;
  return std::fabs(value - exact) * per_ulp;
}

}  // namespace simdnorm::test

// SPDX-License-Identifier: Apache-2.0
//
// The activation functions of a register, and the kernel that applies one to an array.
#pragma once

#include <stddef.h>

#include "inline.hpp"
#include "math/erf.hpp"
#include "math/exp.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// NaN becomes 0x7fc00000, in all of them but `none`, which changes nothing.
template <class L, elementwise_function F>
SIMDNORM_INLINE typename L::f32 activate(typename L::f32 v) {
  if constexpr (F == elementwise_function::none) return v;
  if constexpr (F == elementwise_function::relu) return L::canonical(L::max(L::broadcast(0.0f), v));
  if constexpr (F == elementwise_function::gelu_erf) return L::canonical(gelu_erf<L>(v));
  if constexpr (F == elementwise_function::gelu_tanh) return L::canonical(gelu_tanh<L>(v));
  if constexpr (F == elementwise_function::silu) return L::canonical(silu<L>(v));
  if constexpr (F == elementwise_function::sigmoid) return L::canonical(sigmoid<L>(v));
  if constexpr (F == elementwise_function::tanh) return L::canonical(tanh<L>(v));
  if constexpr (F == elementwise_function::erf) return L::canonical(erf<L>(v));
  if constexpr (F == elementwise_function::exp) return L::canonical(exp<L>(v));
}

template <class L, elementwise_function F>
[[gnu::noinline]] void activate_all(const float* x, float* y, size_t n) {
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) L::store(y + i, activate<L, F>(L::load(x + i)));
  if (i < n) L::store_n(y + i, activate<L, F>(L::load_n(x + i, n - i)), n - i);
}

template <class L, class>
void elementwise(const elementwise_arguments& a, const block& b) {
  const float* const x = a.x + b.col_first;
  float* const y = a.y + b.col_first;
  const size_t n = b.col_last - b.col_first;
  switch (a.function) {
    case elementwise_function::none:
      return activate_all<L, elementwise_function::none>(x, y, n);
    case elementwise_function::relu:
      return activate_all<L, elementwise_function::relu>(x, y, n);
    case elementwise_function::gelu_erf:
      return activate_all<L, elementwise_function::gelu_erf>(x, y, n);
    case elementwise_function::gelu_tanh:
      return activate_all<L, elementwise_function::gelu_tanh>(x, y, n);
    case elementwise_function::silu:
      return activate_all<L, elementwise_function::silu>(x, y, n);
    case elementwise_function::sigmoid:
      return activate_all<L, elementwise_function::sigmoid>(x, y, n);
    case elementwise_function::tanh:
      return activate_all<L, elementwise_function::tanh>(x, y, n);
    case elementwise_function::erf:
      return activate_all<L, elementwise_function::erf>(x, y, n);
    case elementwise_function::exp:
      return activate_all<L, elementwise_function::exp>(x, y, n);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

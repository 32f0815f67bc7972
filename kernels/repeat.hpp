// SPDX-License-Identifier: Apache-2.0
//
// Loops over registers. An index that is a constant of the program, not of the optimizer, keeps
// arrays of registers in registers: GCC 12 leaves them in memory where two such loops are nested.
#pragma once

#include <stddef.h>

#include <utility>

#include "inline.hpp"

namespace simdnorm {
namespace {

// A number that is a type. std::integral_constant's conversion is a weak symbol at -O0, and would leak
// from one instruction set into another.
template <auto Value>
struct constant {
  constexpr operator decltype(Value)() const { return Value; }
};

// f(0), f(1), ... f(N - 1), each with its index as a constant; as a loop where that many are no registers
// any more (the scalar target's 32 lanes: written out, it was 1.3 MB).
template <size_t N, class F>
SIMDNORM_INLINE void repeat(F f) {
  if constexpr (N > 16) {
#pragma GCC unroll 1
    for (size_t i = 0; i < N; ++i) f(i);
    return;
  }
  [&]<size_t... i>(std::index_sequence<i...>) SIMDNORM_LAMBDA {
    (f(constant<i>{}), ...);
  }
  (std::make_index_sequence<(N > 16 ? 0 : N)>{});
}

// The sum of N registers, by halving.
template <size_t N, size_t First = 0, class V>
SIMDNORM_INLINE auto sum_of(const V* v) {
  if constexpr (N == 1) {
    return v[First];
  } else {
    return sum_of<N / 2, First>(v) + sum_of<N - N / 2, First + N / 2>(v);
  }
}

}  // namespace
}  // namespace simdnorm

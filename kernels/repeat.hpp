// SPDX-License-Identifier: Apache-2.0
//
// Loops over registers. An index that is a constant of the program, not of the optimizer, keeps
// arrays of registers in registers: GCC 12 leaves them in memory where two such loops are nested.
#pragma once

#include <stddef.h>

#include <type_traits>
#include <utility>

#include "inline.hpp"

namespace simdnorm {
namespace {

// f(0), f(1), ... f(N - 1), each with its index as a constant.
template <size_t N, class F>
SIMDNORM_INLINE void repeat(F f) {
  [&]<size_t... i>(std::index_sequence<i...>) SIMDNORM_LAMBDA {
    (f(std::integral_constant<size_t, i>{}), ...);
  }
  (std::make_index_sequence<N>{});
}

}  // namespace
}  // namespace simdnorm

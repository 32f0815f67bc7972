// SPDX-License-Identifier: Apache-2.0
//
// column_extremes: least and greatest value of every column of a strip.
#pragma once

#include "column/column.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// min and max of the columns and the rows of a block.
template <class L>
SIMDNORM_INLINE void extremes_of_block(const float* const* rows, size_t n, size_t cols, float* min, float* max) {
  using f32 = typename L::f32;
  constexpr size_t at_once = 16;
  for (size_t first = 0; first < n; first += at_once) {
    const size_t stop = first + at_once < n ? first + at_once : n;
    for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      constexpr size_t V = together;
      // x * 0 is NaN for NaN and infinity alone: one fma finds both, a rare second look tells them
      // apart. min and max by themselves would drop a NaN or not, depending on where it stands.
      const f32 zero = L::broadcast(0.0f);
      f32 least[V], greatest[V], odd[V];
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        least[v] = access.load(min + j + v * L::width);
        greatest[v] = access.load(max + j + v * L::width);
        odd[v] = zero;
      });
      for (size_t r = first; r < stop; ++r) {
        repeat<V>([&](auto v) SIMDNORM_LAMBDA {
          const f32 x = access.load(rows[r] + j + v * L::width);
          least[v] = L::min(x, least[v]);
          greatest[v] = L::max(x, greatest[v]);
          odd[v] = L::fma(x, zero, odd[v]);
        });
      }
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        access.store(min + j + v * L::width, least[v]);
        access.store(max + j + v * L::width, greatest[v]);
      });
      if (L::any_nan(sum_of<V>(odd))) [[unlikely]] {
        const size_t end = j + V * L::width < cols ? j + V * L::width : cols;
        for (size_t c = j; c < end; ++c) {
          bool nan = false;
          for (size_t r = first; r < stop; ++r) nan |= rows[r][c] != rows[r][c];
          if (nan) min[c] = max[c] = __builtin_nanf("");
        }
      }
    });
  }
}

template <class L, class>
SIMDNORM_INLINE void column_extremes(const column_extremes_arguments& a, const block& b) {
  real_rows source(a.x, a.x_stride, a.padding, b);
  const float* rows[rows_per_block];
  while (const size_t n = source.take(rows, rows_per_block)) {
    extremes_of_block<L>(rows, n, b.col_last - b.col_first, a.min, a.max);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

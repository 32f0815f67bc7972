// SPDX-License-Identifier: Apache-2.0
//
// column_extremes: least and greatest value of every column of a strip.
#pragma once

#include "column/column.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L>
SIMDNORM_INLINE void column_extremes(const column_extremes_arguments& a, const block& b) {
  using f32 = typename L::f32;
  const size_t cols = b.col_last - b.col_first;
  real_rows source(a.x, a.x_stride, a.padding, b);
  const float* rows[rows_per_block];
  while (const size_t n = source.take(rows, rows_per_block)) {
    for_columns<L>(cols, [&](size_t j, size_t width, auto load) SIMDNORM_LAMBDA {
      f32 least = load(a.min);
      f32 greatest = load(a.max);
      // x * 0 is NaN for NaN and infinity alone: one fma finds both, a rare second look tells them
      // apart. min and max by themselves would drop a NaN or not, depending on where it stands.
      f32 odd = L::broadcast(0.0f);
      const f32 zero = odd;
      for (size_t r = 0; r < n; ++r) {
        const f32 v = load(rows[r]);
        least = L::min(v, least);
        greatest = L::max(v, greatest);
        odd = L::fma(v, zero, odd);
      }
      const auto put = [&](float* p, f32 v) SIMDNORM_LAMBDA {
        if (width == L::width) {
          L::store(p + j, v);
        } else {
          L::store_n(p + j, v, width);
        }
      };
      put(a.min, least);
      put(a.max, greatest);
      if (L::any_nan(odd)) [[unlikely]] {
        for (size_t c = j; c < j + width; ++c) {
          bool nan = false;
          for (size_t r = 0; r < n; ++r) nan |= rows[r][c] != rows[r][c];
          if (nan) a.min[c] = a.max[c] = __builtin_nanf("");
        }
      }
    });
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

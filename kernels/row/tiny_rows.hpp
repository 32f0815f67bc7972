// SPDX-License-Identifier: Apache-2.0
//
// Rows so short that a lane is a row: v[j] are elements j of `width` rows, side by side.
#pragma once

#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Columns are read and written four at a time, the last four of a row once more where a row has no whole number of
// fours: one column by itself costs as much.
constexpr size_t columns_at_once = 4;
template <class Four>
SIMDNORM_INLINE void for_fours(size_t n, Four four) {
  size_t j = 0;
  for (; j + columns_at_once <= n; j += columns_at_once) four(j);
  if (j < n) four(n - columns_at_once);
}
template <class L>
SIMDNORM_INLINE void load_tiny_rows(const float* x, ptrdiff_t stride, size_t n, typename L::f32 (&v)[tiny_columns]) {
  if (n < columns_at_once) {
    for (size_t j = 0; j < n; ++j) v[j] = L::load_column(x + j, stride);
  } else {
    for_fours(n, [&](size_t j) SIMDNORM_LAMBDA { L::load_columns(x + j, stride, v + j); });
  }
}
template <class L>
SIMDNORM_INLINE void store_tiny_rows(float* y, ptrdiff_t stride, size_t n, const typename L::f32 (&v)[tiny_columns]) {
  if (n < columns_at_once) {
    for (size_t j = 0; j < n; ++j) L::store_column(y + j, stride, v[j]);
  } else {
    for_fours(n, [&](size_t j) SIMDNORM_LAMBDA { L::store_columns(y + j, stride, v + j); });
  }
}

// Sum of N registers in the order of `sum` and `sum64`: i + 4, then 2, 1.
template <size_t N, class T>
SIMDNORM_INLINE T sum_of_lanes(T (&v)[8]) {
  constexpr size_t of_4 = N < 4 ? N : 4, of_2 = N < 2 ? N : 2;
  repeat<N - of_4>([&](auto i) SIMDNORM_LAMBDA { v[i] = v[i] + v[i + 4]; });
  repeat<of_4 - of_2>([&](auto i) SIMDNORM_LAMBDA { v[i] = v[i] + v[i + 2]; });
  if constexpr (N > 1) v[0] = v[0] + v[1];
  return v[0];
}

// f of the number of registers that are left when those from the ninth on, n in all, were added to the first.
template <size_t N = 1, class F>
SIMDNORM_INLINE void with_lanes(size_t n, F f) {
  if constexpr (N == 8) {
    f(constant<N>{});
  } else {
    n <= N ? f(constant<N>{}) : with_lanes<N + 1>(n, f);
  }
}

// As sum_of_lanes, in f32 (what `sum` does of a row) and in doubles (`sum64`).
template <class L>
[[gnu::noinline]] void sum_of_columns(const typename L::f32 (&v)[tiny_columns], size_t n, typename L::f32& sum) {
  with_lanes(n, [&](auto lanes) SIMDNORM_LAMBDA {
    typename L::f32 s[8];
    repeat<lanes>([&](auto j) SIMDNORM_LAMBDA { s[j] = v[j]; });
    if constexpr (lanes == 8) {
      for (size_t j = 8; j < n; ++j) s[j - 8] = s[j - 8] + v[j];
    }
    sum = sum_of_lanes<lanes>(s);
  });
}
template <class L>
[[gnu::noinline]] void sum_of_columns(const typename L::f32 (&v)[tiny_columns], size_t n, double* sums) {
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(typename L::f64);
  with_lanes(n, [&](auto lanes) SIMDNORM_LAMBDA {
    typename L::f64 s[parts][8];
    repeat<lanes>([&](auto j) SIMDNORM_LAMBDA {
      const typename L::wide w = L::widen(v[j]);
      repeat<parts>([&](auto p) SIMDNORM_LAMBDA { s[p][j] = w.part[p]; });
    });
    if constexpr (lanes == 8) {
      for (size_t j = 8; j < n; ++j) {
        const typename L::wide w = L::widen(v[j]);
        for (size_t p = 0; p < parts; ++p) s[p][j - 8] = s[p][j - 8] + w.part[p];
      }
    }
    repeat<parts>([&](auto p) SIMDNORM_LAMBDA { L::store64(sums + p * L::width64, sum_of_lanes<lanes>(s[p])); });
  });
}
template <class L>
SIMDNORM_INLINE void sum_of_column_squares(const typename L::f32 (&v)[tiny_columns], size_t n, double* sums) {
  typename L::f32 squares[tiny_columns];
  for (size_t j = 0; j < n; ++j) squares[j] = v[j] * v[j];
  sum_of_columns<L>(squares, n, sums);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

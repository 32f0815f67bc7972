// SPDX-License-Identifier: Apache-2.0
//
// column_moments: count, mean and M2 of every column of a strip. docs/numerics.md, "A column".
#pragma once

#include "column/column.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Within a block of 64 rows, f32 sums are flushed into a second level every so many rows.
constexpr size_t rows_per_flush = 16;

// The f32 statistics of one block, a column an entry: with d = x - shift, sum(d) and sum(d^2).
struct block_sums {
  float shift[strip_capacity];
  float sum[strip_capacity];
  float squares[strip_capacity];
};

// V registers side by side: their chains of additions hide each other's latency.
template <class L, size_t V, class Load>
SIMDNORM_INLINE void sum_block(const float* const* rows, size_t n, size_t j, block_sums& out, Load load) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f);

  // The shift is the mean of the first 2^k <= 16 rows, summed as a tree: exact where all are equal.
  // A subset's mean is within sqrt(63) standard deviations of the whole's, within sqrt(3) for a
  // full block, so the shift cannot be far off, outliers or not.
  f32 shift[V];
  size_t head = 1;
  while (head * 2 <= n && head < rows_per_flush) head *= 2;
  const f32 scale = L::broadcast(1.0f / static_cast<float>(head));
  for (size_t v = 0; v < V; ++v) {
    const size_t at = j + v * L::width;
    f32 t[4];
    const auto pair = [&](size_t r) SIMDNORM_LAMBDA { return load(rows[r] + at) + load(rows[r + 1] + at); };
    switch (head) {
      case 1:
        t[0] = load(rows[0] + at);
        break;
      case 2:
        t[0] = pair(0);
        break;
      case 4:
        t[0] = pair(0) + pair(2);
        break;
      case 8:
        t[0] = (pair(0) + pair(2)) + (pair(4) + pair(6));
        break;
      default:
        for (size_t q = 0; q < 4; ++q) t[q] = pair(4 * q) + pair(4 * q + 2);
        t[0] = (t[0] + t[1]) + (t[2] + t[3]);
    }
    shift[v] = t[0] * scale;
  }

  f32 sum[V];
  f32 squares[V];
  for (size_t v = 0; v < V; ++v) sum[v] = squares[v] = zero;
  for (size_t r = 0; r < n;) {
    const size_t stop = r + rows_per_flush < n ? r + rows_per_flush : n;
    f32 s1[V];
    f32 s2[V];
    for (size_t v = 0; v < V; ++v) s1[v] = s2[v] = zero;
    for (; r < stop; ++r) {
      const float* row = rows[r] + j;
      for (size_t v = 0; v < V; ++v) {
        const f32 d = load(row + v * L::width) - shift[v];
        s1[v] = s1[v] + d;
        s2[v] = L::fma(d, d, s2[v]);
      }
    }
    for (size_t v = 0; v < V; ++v) {
      sum[v] = sum[v] + s1[v];
      squares[v] = squares[v] + s2[v];
    }
  }
  for (size_t v = 0; v < V; ++v) {
    L::store(out.shift + j + v * L::width, shift[v]);
    L::store(out.sum + j + v * L::width, sum[v]);
    L::store(out.squares + j + v * L::width, squares[v]);
  }
}

// Two passes in doubles over one column of the block, the second corrected.
SIMDNORM_INLINE void exact_block_column(const float* const* rows, size_t n, size_t j, double& mean, double& m2) {
  const double first = static_cast<double>(rows[0][j]);
  bool constant = true;
  for (size_t r = 1; r < n && constant; ++r) constant = static_cast<double>(rows[r][j]) == first;
  if (constant && __builtin_isfinite(first)) {
    mean = first;
    m2 = 0.0;
    return;
  }
  const double count = static_cast<double>(n);
  double sum = 0.0;
  for (size_t r = 0; r < n; ++r) sum = sum + static_cast<double>(rows[r][j]);
  const double rough = sum / count;
  double s1 = 0.0;
  double s2 = 0.0;
  for (size_t r = 0; r < n; ++r) {
    const double d = static_cast<double>(rows[r][j]) - rough;
    s1 = s1 + d;
    s2 = s2 + d * d;
  }
  const double correction = s1 / count;
  mean = rough + correction;
  m2 = s2 - s1 * correction;
}

template <class L>
SIMDNORM_INLINE void fold_block(const float* const* rows, size_t n, size_t cols, column_fold& fold) {
  block_sums sums;
  size_t j = 0;
  constexpr size_t side_by_side = 4;
  const auto full = [](const float* p) SIMDNORM_LAMBDA { return L::load(p); };
  for (; j + side_by_side * L::width <= cols; j += side_by_side * L::width) {
    sum_block<L, side_by_side>(rows, n, j, sums, full);
  }
  for (; j + L::width <= cols; j += L::width) sum_block<L, 1>(rows, n, j, sums, full);
  if (j < cols) {
    const size_t rest = cols - j;
    sum_block<L, 1>(rows, n, j, sums, [rest](const float* p) SIMDNORM_LAMBDA { return L::load_n(p, rest); });
  }

  // mean = K + S1/n, M2 = S2 - S1^2/n, guarded like a row's; no epsilon will hide a small variance
  // here. Plain loops: one column an entry, so any vectorization gives the same bits.
  const double count = static_cast<double>(n);
  const double inverse = 1.0 / count;
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  int unsafe = 0;
  const bool single = n == 1;  // of which no variance can be lost
  const auto is_safe = [single, inverse](double s1, double s2, double m) SIMDNORM_LAMBDA {
    return ((s1 * (s1 * inverse) <= 4.0 * m) & (m > 0x1p-96) & (s2 < 0x1p127)) | (single & (s2 == 0.0));
  };
  for (size_t c = 0; c < cols; ++c) {
    const double s1 = static_cast<double>(sums.sum[c]);
    const double s2 = static_cast<double>(sums.squares[c]);
    const double delta = s1 * inverse;
    mean[c] = static_cast<double>(sums.shift[c]) + delta;
    m2[c] = s2 - s1 * delta;
    unsafe |= !is_safe(s1, s2, m2[c]);
  }
  if (unsafe) [[unlikely]] {
    for (size_t c = 0; c < cols; ++c) {
      const double s1 = static_cast<double>(sums.sum[c]);
      const double s2 = static_cast<double>(sums.squares[c]);
      if (!is_safe(s1, s2, m2[c])) exact_block_column(rows, n, c, mean[c], m2[c]);
    }
  }

  // Chan: mean += (mean_b - mean) n_b/n; M2 += M2_b + (mean_b - mean)^2 n_a n_b/n. The first block
  // meets a fold of zeros: it is taken as it is.
  const double before = static_cast<double>(fold.count);
  const double weight = count / (before + count);
  const double cross = before * weight;
  double* fold_mean = fold.mean;
  double* fold_m2 = fold.m2;
  if (fold.count == 0) {
    for (size_t c = 0; c < cols; ++c) {
      fold_mean[c] = mean[c];
      fold_m2[c] = m2[c];
    }
  } else {
    for (size_t c = 0; c < cols; ++c) {
      const double delta = mean[c] - fold_mean[c];
      fold_mean[c] = fold_mean[c] + delta * weight;
      fold_m2[c] = fold_m2[c] + (m2[c] + (delta * delta) * cross);
    }
  }
  fold.count += n;
}

template <class L>
SIMDNORM_INLINE void column_moments(const column_moments_arguments& a, const block& b) {
  const size_t cols = b.col_last - b.col_first;
  real_rows source(a.x, a.x_stride, a.padding, b);
  const float* rows[rows_per_block];
  for (size_t left = a.valid_rows; left > 0;) {
    const size_t n = source.take(rows, left < rows_per_block ? left : rows_per_block);
    if (n == 0) return;
    fold_block<L>(rows, n, cols, *a.fold);
    left -= n;
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

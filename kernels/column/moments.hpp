// SPDX-License-Identifier: Apache-2.0
//
// column_moments: count, mean and M2 of every column of a strip. docs/numerics.md, "A column".
#pragma once

#include "column/column.hpp"
#include "repeat.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Within a block of 64 rows, f32 sums are added to doubles every so many rows. Even and odd rows have
// chains of their own: 8 additions each. A chain's error is most of M2's: with chains of 16 and a
// second level in f32 M2 was off by up to 3.2e-7, and outputs of short columns by up to 3.6 ulp.
constexpr size_t rows_per_flush = 16;

// The statistics of one block, a column an entry: with d = x - shift, sum(d) and sum(d^2).
struct block_sums {
  float shift[strip_capacity];
  double sum[strip_capacity];
  double squares[strip_capacity];
};

// Calls work(load, first column, registers side by side as a constant) over a strip: several
// registers hide each other's latency.
template <class L, class Work>
SIMDNORM_INLINE void for_column_groups(size_t cols, Work work) {
  constexpr size_t together = L::columns_together;
  const auto full = [](const float* p) SIMDNORM_LAMBDA { return L::load(p); };
  size_t j = 0;
  for (; j + together * L::width <= cols; j += together * L::width) {
    work(full, j, constant<together>{});
  }
  for (; j + L::width <= cols; j += L::width) work(full, j, constant<size_t{1}>{});
  if (j < cols) {
    const size_t rest = cols - j;
    work([rest](const float* p) SIMDNORM_LAMBDA { return L::load_n(p, rest); }, j, constant<size_t{1}>{});
  }
}

// out.shift = mean of the rows, in f32: near enough for a shift.
template <class L>
SIMDNORM_INLINE void shift_by_mean(const float* const* rows, size_t n, size_t cols, block_sums& out) {
  using f32 = typename L::f32;
  const f32 share = L::broadcast(1.0f / static_cast<float>(n));
  for_column_groups<L>(cols, [&](auto load, size_t j, auto together) SIMDNORM_LAMBDA {
    constexpr size_t V = together;
    f32 even[V], odd[V];
    repeat<V>([&](auto v) SIMDNORM_LAMBDA { even[v] = odd[v] = L::broadcast(0.0f); });
    size_t r = 0;
    for (; r + 2 <= n; r += 2) {
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        even[v] = even[v] + load(rows[r] + j + v * L::width);
        odd[v] = odd[v] + load(rows[r + 1] + j + v * L::width);
      });
    }
    if (r < n) repeat<V>([&](auto v) SIMDNORM_LAMBDA { even[v] = even[v] + load(rows[r] + j + v * L::width); });
    repeat<V>([&](auto v) SIMDNORM_LAMBDA { L::store(out.shift + j + v * L::width, (even[v] + odd[v]) * share); });
  });
}

// Sums of a block with the shifts that are there.
template <class L>
SIMDNORM_INLINE void sum_block(const float* const* rows, size_t n, size_t cols, block_sums& out) {
  using f32 = typename L::f32;
  using wide = typename L::wide;
  constexpr size_t parts = sizeof(wide) / sizeof(typename L::f64);
  for_column_groups<L>(cols, [&](auto load, size_t j, auto together) SIMDNORM_LAMBDA {
    constexpr size_t V = together;
    f32 shift[V];
    wide sum[V], squares[V];
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      shift[v] = L::load(out.shift + j + v * L::width);
      repeat<parts>([&](auto k) SIMDNORM_LAMBDA { sum[v].part[k] = squares[v].part[k] = L::broadcast64(0.0); });
    });
    for (size_t r = 0; r < n;) {
      const size_t stop = r + rows_per_flush < n ? r + rows_per_flush : n;
      f32 s1[2][V], s2[2][V];
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        repeat<2>([&](auto odd) SIMDNORM_LAMBDA { s1[odd][v] = s2[odd][v] = L::broadcast(0.0f); });
      });
      const auto add = [&](const float* row, auto odd) SIMDNORM_LAMBDA {
        repeat<V>([&](auto v) SIMDNORM_LAMBDA {
          const f32 d = load(row + j + v * L::width) - shift[v];
          s1[odd][v] = s1[odd][v] + d;
          s2[odd][v] = L::fma(d, d, s2[odd][v]);
        });
      };
      for (; r + 2 <= stop; r += 2) {
        add(rows[r], constant<size_t{0}>{});
        add(rows[r + 1], constant<size_t{1}>{});
      }
      if (r < stop) add(rows[r++], constant<size_t{0}>{});
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        const wide w1 = L::widen(s1[0][v] + s1[1][v]);
        const wide w2 = L::widen(s2[0][v] + s2[1][v]);
        repeat<parts>([&](auto k) SIMDNORM_LAMBDA {
          sum[v].part[k] = sum[v].part[k] + w1.part[k];
          squares[v].part[k] = squares[v].part[k] + w2.part[k];
        });
      });
    }
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      repeat<parts>([&](auto k) SIMDNORM_LAMBDA {
        L::store64(out.sum + j + v * L::width + k * L::width64, sum[v].part[k]);
        L::store64(out.squares + j + v * L::width + k * L::width64, squares[v].part[k]);
      });
    });
  });
}

// spread[j] = the largest |x - shift| of the block: 0 in a constant column, also where every square
// underflows.
template <class L>
SIMDNORM_INLINE void spread_of_block(const float* const* rows, size_t n, size_t cols, const block_sums& sums,
                                     float* spread) {
  using f32 = typename L::f32;
  for_column_groups<L>(cols, [&](auto load, size_t j, auto together) SIMDNORM_LAMBDA {
    constexpr size_t V = together;
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      const size_t at = j + v * L::width;
      const f32 shift = L::load(sums.shift + at);
      f32 most = L::broadcast(0.0f);
      for (size_t r = 0; r < n; ++r) {
        const f32 x = load(rows[r] + at);
        most = L::max(L::max(x - shift, shift - x), most);
      }
      L::store(spread + at, most);
    });
  });
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

// Mean and M2 of every column of the strip over the n rows of a block. `near`: the mean of earlier
// rows, a good shift; null where there are none.
template <class L>
inline void moments_of_block(const float* const* rows, size_t n, size_t cols, const double* near, double* mean,
                             double* m2) {
  if (n == 1) {
    for (size_t c = 0; c < cols; ++c) {
      const double x = static_cast<double>(rows[0][c]);
      m2[c] = x - x;  // 0; NaN for infinity and NaN
      mean[c] = x + m2[c];
    }
    return;
  }
  block_sums sums;
  if (near) {
    for (size_t c = 0; c < cols; ++c) sums.shift[c] = static_cast<float>(near[c]);
  } else {
    shift_by_mean<L>(rows, n, cols, sums);
  }

  // mean = K + S1/n, M2 = S2 - S1^2/n. No epsilon will hide a small variance here. Plain loops, a
  // column an entry: no vectorization can change a bit.
  const double inverse = 1.0 / static_cast<double>(n);
  const auto is_safe = [inverse](double s1, double s2, double m) SIMDNORM_LAMBDA {
    return (s1 * (s1 * inverse) <= 0.25 * m) & (m > 0x1p-96) & (s2 < 0x1p127);
  };
  const auto finish = [&] {
    int unsafe = 0;
    for (size_t c = 0; c < cols; ++c) {
      const double delta = sums.sum[c] * inverse;
      mean[c] = static_cast<double>(sums.shift[c]) + delta;
      m2[c] = sums.squares[c] - sums.sum[c] * delta;
      unsafe |= !is_safe(sums.sum[c], sums.squares[c], m2[c]);
    }
    return unsafe != 0;
  };
  sum_block<L>(rows, n, cols, sums);
  if (!finish()) [[likely]]
    return;

  // A shift that was too far off is mended by a second pass, shifted by the mean that the first
  // found. Columns that were fine come out as before: their shift stays.
  bool again = false;
  for (size_t c = 0; c < cols; ++c) {
    const double s2 = sums.squares[c];
    if (!is_safe(sums.sum[c], s2, m2[c]) && s2 > 0.0 && s2 < 0x1p127) {
      sums.shift[c] = static_cast<float>(mean[c]);
      again = true;
    }
  }
  if (again) {
    sum_block<L>(rows, n, cols, sums);
    if (!finish()) return;
  }
  // What is left is constant, or hostile.
  float spread[strip_capacity];
  spread_of_block<L>(rows, n, cols, sums, spread);
  for (size_t c = 0; c < cols; ++c) {
    if (is_safe(sums.sum[c], sums.squares[c], m2[c])) continue;
    if (sums.squares[c] == 0.0 && spread[c] == 0.0f) {
      mean[c] = static_cast<double>(sums.shift[c]);
      m2[c] = 0.0;
    } else {
      exact_block_column(rows, n, c, mean[c], m2[c]);
    }
  }
}

template <class L>
inline void fold_block(const float* const* rows, size_t n, size_t cols, column_fold& fold) {
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  double* fold_mean = fold.mean;
  double* fold_m2 = fold.m2;
  if (fold.count == 0) {
    moments_of_block<L>(rows, n, cols, nullptr, fold_mean, fold_m2);
    fold.count = n;
    return;
  }
  moments_of_block<L>(rows, n, cols, fold_mean, mean, m2);
  // Chan: mean += (mean_b - mean) n_b/n; M2 += M2_b + (mean_b - mean)^2 n_a n_b/n.
  const double count = static_cast<double>(n);
  const double before = static_cast<double>(fold.count);
  const double weight = count / (before + count);
  const double cross = before * weight;
  for (size_t c = 0; c < cols; ++c) {
    const double delta = mean[c] - fold_mean[c];
    fold_mean[c] = fold_mean[c] + delta * weight;
    fold_m2[c] = fold_m2[c] + (m2[c] + (delta * delta) * cross);
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

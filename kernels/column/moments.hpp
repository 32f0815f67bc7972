// SPDX-License-Identifier: Apache-2.0
//
// column_moments: count, mean and M2 of every column of a strip, and extremes. docs/numerics.md, "A column".
#pragma once

#include "column/column.hpp"
#include "column/extremes.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Within a block of 64 rows, f32 sums are added to doubles every so many rows. Even and odd rows have
// chains of their own: 8 additions each. A chain's error is most of M2's: with chains of 16 and a
// second level in f32 M2 was off by up to 3.2e-7, and outputs of short columns by up to 3.6 ulp.
constexpr size_t rows_per_flush = 16;

// An entry a column: with d = x - shift, sum(d) and sum(d^2).
struct column_sums {
  double sum[strip_capacity];
  double squares[strip_capacity];
};

// The open span of a strip.
struct strip_span {
  uint64_t count;
  float shift[strip_capacity];
  column_sums sums;
};

// Rows of a block that are gone through together, and how far below x is fetched ahead (0: not).
struct row_group {
  const float* const* rows;
  size_t count;
  ptrdiff_t fetch;
};

// shift = the mean of the rows, in f32: near enough.
template <class L>
SIMDNORM_INLINE void shift_by_mean(const float* const* rows, size_t n, size_t cols, float* shift) {
  using f32 = typename L::f32;
  float even[strip_capacity], odd[strip_capacity];
  const f32 share = L::broadcast(1.0f / static_cast<float>(n));
  for (size_t first = 0; first < n; first += rows_per_flush) {
    const size_t stop = first + rows_per_flush < n ? first + rows_per_flush : n;
    for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      constexpr size_t V = together;
      f32 sum[2][V];
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        sum[0][v] = first == 0 ? L::broadcast(0.0f) : L::load(even + j + v * L::width);
        sum[1][v] = first == 0 ? L::broadcast(0.0f) : L::load(odd + j + v * L::width);
      });
      const auto add = [&](const float* row, auto odd_row) SIMDNORM_LAMBDA {
        repeat<V>([&](auto v)
                      SIMDNORM_LAMBDA { sum[odd_row][v] = sum[odd_row][v] + access.load(row + j + v * L::width); });
      };
      size_t r = first;
      for (; r + 2 <= stop; r += 2) {
        add(rows[r], constant<size_t{0}>{});
        add(rows[r + 1], constant<size_t{1}>{});
      }
      if (r < stop) add(rows[r], constant<size_t{0}>{});
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        if (stop < n) {
          L::store(even + j + v * L::width, sum[0][v]);
          L::store(odd + j + v * L::width, sum[1][v]);
        } else {
          L::store(shift + j + v * L::width, (sum[0][v] + sum[1][v]) * share);
        }
      });
    });
  }
}

// to = from and the rows.
template <class L, size_t V, class Access>
SIMDNORM_INLINE void add_rows(Access access, const row_group& g, size_t j, const float* shifts, const column_sums& from,
                              column_sums& to) {
  using f32 = typename L::f32;
  f32 shift[V], s1[2][V], s2[2][V];
  repeat<V>([&](auto v) SIMDNORM_LAMBDA {
    shift[v] = L::load(shifts + j + v * L::width);
    repeat<2>([&](auto odd) SIMDNORM_LAMBDA { s1[odd][v] = s2[odd][v] = L::broadcast(0.0f); });
  });
  const auto add = [&](const float* row, auto odd) SIMDNORM_LAMBDA {
    if (g.fetch != 0) {
      repeat<(V * L::width + 15) / 16>([&](auto k) SIMDNORM_LAMBDA { L::prefetch(row + g.fetch + j + k * 16); });
    }
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      const f32 d = access.load(row + j + v * L::width) - shift[v];
      s1[odd][v] = s1[odd][v] + d;
      s2[odd][v] = L::fma(d, d, s2[odd][v]);
    });
  };
  size_t r = 0;
  for (; r + 2 <= g.count; r += 2) {
    add(g.rows[r], constant<size_t{0}>{});
    add(g.rows[r + 1], constant<size_t{1}>{});
  }
  if (r < g.count) add(g.rows[r], constant<size_t{0}>{});
  repeat<V>([&](auto v) SIMDNORM_LAMBDA {
    const typename L::wide w1 = L::widen(s1[0][v] + s1[1][v]);
    const typename L::wide w2 = L::widen(s2[0][v] + s2[1][v]);
    repeat<L::width / L::width64>([&](auto k) SIMDNORM_LAMBDA {
      const size_t at = j + v * L::width + k * L::width64;
      L::store64(to.sum + at, L::load64(from.sum + at) + w1.part[k]);
      L::store64(to.squares + at, L::load64(from.squares + at) + w2.part[k]);
    });
  });
}

// to = from and the rows of a block.
template <class L>
SIMDNORM_INLINE void sum_block(const float* const* rows, size_t n, size_t cols, ptrdiff_t fetch, const float* shift,
                               const column_sums& from, column_sums& to) {
  for (size_t r = 0; r < n; r += rows_per_flush) {
    const row_group g{rows + r, r + rows_per_flush < n ? rows_per_flush : n - r, fetch};
    for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      add_rows<L, together>(access, g, j, shift, r == 0 ? from : to, to);
    });
  }
}

// Whether sums of `count` rows can be trusted: a shift within half a standard deviation of the mean,
// S1^2/n <= M2/4 with M2 = S2 - S1^2/n, and squares that neither overflowed nor underflowed.
SIMDNORM_INLINE bool is_safe(double sum, double squares, double count) {
  return (5.0 * (sum * sum) <= count * squares) & (squares > 0x1p-95) & (squares < 0x1p127);
}

inline bool all_safe(const column_sums& t, size_t cols, double count) {
  int unsafe = 0;
  for (size_t c = 0; c < cols; ++c) unsafe |= !is_safe(t.sum[c], t.squares[c], count);
  return unsafe == 0;
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

// The span and the block as one set, in doubles, shifted by its own mean.
SIMDNORM_INLINE void add_exactly(const float* const* rows, size_t n, size_t c, strip_span& span) {
  double mean, m2;
  exact_block_column(rows, n, c, mean, m2);
  const double block = static_cast<double>(n);
  const double before = static_cast<double>(span.count);
  const double count = before + block;
  double& sum = span.sums.sum[c];
  double& squares = span.sums.squares[c];
  if (span.count > 0) {
    const double offset = sum / before;
    const double span_mean = static_cast<double>(span.shift[c]) + offset;
    const double delta = mean - span_mean;
    mean = span_mean + delta * (block / count);
    m2 = (squares - sum * offset) + (m2 + (delta * delta) * (before * (block / count)));
  }
  span.shift[c] = static_cast<float>(mean);
  const double offset = mean - static_cast<double>(span.shift[c]);
  sum = count * offset;
  squares = m2 + sum * offset;
}

// spread[j] = the largest |x - shift| of the block: 0 in a constant column, also where every square
// underflows.
template <class L>
SIMDNORM_INLINE void spread_of_block(const float* const* rows, size_t n, size_t cols, const float* shifts,
                                     float* spread) {
  using f32 = typename L::f32;
  for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
    repeat<together>([&](auto v) SIMDNORM_LAMBDA {
      const size_t at = j + v * L::width;
      const f32 shift = L::load(shifts + at);
      f32 most = L::broadcast(0.0f);
      for (size_t r = 0; r < n; ++r) {
        const f32 x = access.load(rows[r] + at);
        most = L::max(L::max(x - shift, shift - x), most);
      }
      L::store(spread + at, most);
    });
  });
}

// A block some of whose sums `t` cannot be trusted; the span is still without it. Each such column once
// more, shifted by the mean that the first attempt found, and what still fails in doubles. Columns that
// were fine come out as before: their shift stays.
template <class L>
[[gnu::noinline]] void mend_block(const float* const* rows, size_t n, size_t cols, strip_span& span, column_sums& t) {
  const double before = static_cast<double>(span.count);
  const double count = before + static_cast<double>(n);
  bool again = false;
  for (size_t c = 0; c < cols; ++c) {
    if (is_safe(t.sum[c], t.squares[c], count) || !(t.squares[c] > 0.0 && t.squares[c] < 0x1p127)) continue;
    const double old = static_cast<double>(span.shift[c]);
    span.shift[c] = static_cast<float>(old + t.sum[c] / count);
    const double moved = old - static_cast<double>(span.shift[c]);
    span.sums.squares[c] = span.sums.squares[c] + moved * (2.0 * span.sums.sum[c] + before * moved);
    span.sums.sum[c] = span.sums.sum[c] + before * moved;
    again = true;
  }
  if (again) sum_block<L>(rows, n, cols, 0, span.shift, span.sums, t);
  float spread[strip_capacity];
  spread_of_block<L>(rows, n, cols, span.shift, spread);
  for (size_t c = 0; c < cols; ++c) {
    const bool constant = t.squares[c] == 0.0 && spread[c] == 0.0f;
    const bool lost = span.sums.squares[c] != span.sums.squares[c];  // NaN or infinity earlier in the span
    if (is_safe(t.sum[c], t.squares[c], count) || constant || lost) {
      span.sums.sum[c] = t.sum[c];
      span.sums.squares[c] = t.squares[c];
    } else {
      add_exactly(rows, n, c, span);
    }
  }
}

// Adds a block of n real rows to the open span.
template <class L>
SIMDNORM_INLINE void add_block(const float* const* rows, size_t n, size_t cols, ptrdiff_t fetch, strip_span& span) {
  if (span.count == 0) shift_by_mean<L>(rows, n, cols, span.shift);
  column_sums t;
  sum_block<L>(rows, n, cols, fetch, span.shift, span.sums, t);
  // The sums of a single row are what they are: 0, or NaN of an infinity.
  if (span.count + n == 1 || all_safe(t, cols, static_cast<double>(span.count + n))) [[likely]] {
    __builtin_memcpy(span.sums.sum, t.sum, cols * sizeof(double));
    __builtin_memcpy(span.sums.squares, t.squares, cols * sizeof(double));
  } else {
    mend_block<L>(rows, n, cols, span, t);
  }
  span.count += n;
}

inline void open_span(strip_span& span, size_t cols) {
  span.count = 0;
  for (size_t c = 0; c < cols; ++c) span.sums.sum[c] = span.sums.squares[c] = 0.0;
}

// Closes the span into the total by Chan's formula: mean += (mean_s - mean) n_s/n,
// M2 += M2_s + (mean_s - mean)^2 n_a n_s/n. Plain loops, a column an entry: the compiler vectorizes them,
// and no vectorization can change a bit.
inline void close_span(const strip_span& span, size_t cols, column_fold& total) {
  double* mean = total.mean;
  double* m2 = total.m2;
  const double inverse = 1.0 / static_cast<double>(span.count);
  if (total.count == 0) {
#pragma GCC ivdep
    for (size_t c = 0; c < cols; ++c) {
      const double delta = span.sums.sum[c] * inverse;
      mean[c] = static_cast<double>(span.shift[c]) + delta;
      m2[c] = span.sums.squares[c] - span.sums.sum[c] * delta;
    }
  } else {
    const double count = static_cast<double>(span.count);
    const double before = static_cast<double>(total.count);
    const double weight = count / (before + count);
    const double cross = before * weight;
#pragma GCC ivdep
    for (size_t c = 0; c < cols; ++c) {
      const double offset = span.sums.sum[c] * inverse;
      const double delta = static_cast<double>(span.shift[c]) + offset - mean[c];
      mean[c] = mean[c] + delta * weight;
      m2[c] = m2[c] + ((span.sums.squares[c] - span.sums.sum[c] * offset) + (delta * delta) * cross);
    }
  }
  total.count += span.count;
}

template <class L, class>
SIMDNORM_INLINE void column_moments(const column_moments_arguments& a, const block& b) {
  const size_t cols = b.col_last - b.col_first;
  strip_span span;
  open_span(span, cols);
  const auto carry = [cols](auto* to, const auto* from) { __builtin_memcpy(to, from, cols * sizeof *to); };
  if (a.open && a.open->count > 0) {
    span.count = a.open->count;
    carry(span.shift, a.open->shift);
    carry(span.sums.sum, a.open->sum);
    carry(span.sums.squares, a.open->squares);
  }
  real_rows source(a.x, a.x_stride, a.padding, b);
  const float* rows[rows_per_block];
  for (size_t left = a.valid_rows; left > 0;) {
    const size_t n = source.take(rows, left < rows_per_block ? left : rows_per_block);
    if (n == 0) break;
    const ptrdiff_t fetch = a.far && left > n ? ptrdiff_t{rows_per_flush} * a.x_stride : 0;
    add_block<L>(rows, n, cols, fetch, span);
    if (a.total->min) extremes_of_block<L>(rows, n, cols, a.total->min, a.total->max);
    if (span.count == rows_per_span) {
      close_span(span, cols, *a.total);
      open_span(span, cols);
    }
    left -= n;
  }
  if (!a.close) {
    a.open->count = span.count;
    carry(a.open->shift, span.shift);
    carry(a.open->sum, span.sums.sum);
    carry(a.open->squares, span.sums.squares);
  } else if (span.count > 0) {
    close_span(span, cols, *a.total);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// column_moments_masked: column_moments with gaps (an element mask, NaN for missing) and weights. The arithmetic
// is that of moments.hpp, in which a gap adds zeros and every column counts for itself: columns without gaps and
// weights of 1 have its bits. docs/numerics.md, "Gaps and weights".
#pragma once

#include "column/column.hpp"
#include "column/extremes.hpp"
#include "column/moments.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Rows of a block: x, their parts of the element mask (null: none) and their weights.
struct masked_rows {
  const float* const* x;
  const uint8_t* const* marks;
  const float* weights;  // null: ones
  size_t count;
  ptrdiff_t fetch;    // how far below x is fetched ahead (0: not),
  size_t mark_fetch;  // and below its marks
};

SIMDNORM_INLINE masked_rows part_of(const masked_rows& all, size_t first, size_t most) {
  return {all.x + first,
          all.marks + first,
          all.weights ? all.weights + first : nullptr,
          all.count - first < most ? all.count - first : most,
          all.fetch,
          all.mark_fetch};
}

struct masked_span {
  uint64_t count;  // rows, gaps included
  float shift[strip_capacity];
  column_sums sums;
  double values[strip_capacity];  // numbers that count
  double weight[strip_capacity];  // and the sum of their weights
};

// counts[j] = how many of the block's elements are real.
template <class L, class Real>
[[gnu::noinline]] void count_block(const masked_rows& g, size_t cols, float* counts) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f), one = L::broadcast(1.0f);
  for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
    repeat<together>([&](auto v) SIMDNORM_LAMBDA {
      const size_t at = j + v * L::width;
      f32 here = zero;
      for (size_t r = 0; r < g.count; ++r) {
        here = here + Real::choose(access, g.marks[r], at, access.load(g.x[r] + at), one, zero);
      }
      L::store(counts + at, here);
    });
  });
}

// The same, and weight[j] += the sum of their weights.
template <class L, class Real>
[[gnu::noinline]] void weigh_block(const masked_rows& g, size_t cols, float* counts, double* weight) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f), one = L::broadcast(1.0f);
  for (size_t first = 0; first < g.count; first += rows_per_flush) {
    const masked_rows some = part_of(g, first, rows_per_flush);
    for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      repeat<together>([&](auto v) SIMDNORM_LAMBDA {
        const size_t at = j + v * L::width;
        f32 here = first == 0 ? zero : L::load(counts + at);
        typename L::f64 sum[L::width / L::width64];
        repeat<L::width / L::width64>([&](auto k) SIMDNORM_LAMBDA { sum[k] = L::broadcast64(0.0); });
        for (size_t r = 0; r < some.count; ++r) {
          if (some.weights[r] == 0.0f) continue;
          const f32 x = access.load(some.x[r] + at);
          const f32 w = L::broadcast(some.weights[r]);
          here = here + Real::choose(access, some.marks[r], at, x, one, zero);
          const typename L::wide added = L::widen(Real::choose(access, some.marks[r], at, x, w, zero));
          repeat<L::width / L::width64>([&](auto k) SIMDNORM_LAMBDA { sum[k] = sum[k] + added.part[k]; });
        }
        L::store(counts + at, here);
        repeat<L::width / L::width64>([&](auto k) SIMDNORM_LAMBDA {
          double* to = weight + at + k * L::width64;
          L::store64(to, L::load64(to) + sum[k]);
        });
      });
    });
  }
}

// The same where nothing but weights is given: all columns have the same.
[[maybe_unused]] inline void weigh_rows(const masked_rows& g, size_t cols, float* counts, double* weight) {
  float here = 0.0f;
  double sums[rows_per_block / rows_per_flush];
  size_t n = 0;
  for (size_t first = 0; first < g.count; first += rows_per_flush) {
    const masked_rows some = part_of(g, first, rows_per_flush);
    double sum = 0.0;
    for (size_t r = 0; r < some.count; ++r) {
      here = here + (some.weights[r] != 0.0f ? 1.0f : 0.0f);
      sum = sum + static_cast<double>(some.weights[r]);
    }
    sums[n++] = sum;
  }
  for (size_t c = 0; c < cols; ++c) {
    counts[c] = here;
    for (size_t k = 0; k < n; ++k) weight[c] = weight[c] + sums[k];
  }
}

// shift = the mean of the block's real elements, in f32, where the span has none yet: near enough, weights or not.
template <class L, class Real>
[[gnu::noinline]] void shift_open_columns(const masked_rows& g, size_t cols, const float* counts, const double* values,
                                          float* shift) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f);
  float even[strip_capacity], odd[strip_capacity];
  for (size_t first = 0; first < g.count; first += rows_per_flush) {
    const masked_rows some = part_of(g, first, rows_per_flush);
    for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      constexpr size_t V = together;
      f32 sum[2][V];
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        sum[0][v] = first == 0 ? zero : L::load(even + j + v * L::width);
        sum[1][v] = first == 0 ? zero : L::load(odd + j + v * L::width);
      });
      const auto add = [&](size_t r, auto odd_row) SIMDNORM_LAMBDA {
        if (some.weights && some.weights[r] == 0.0f) return;
        repeat<V>([&](auto v) SIMDNORM_LAMBDA {
          const f32 x = access.load(some.x[r] + j + v * L::width);
          sum[odd_row][v] = sum[odd_row][v] + Real::choose(access, some.marks[r], j + v * L::width, x, x, zero);
        });
      };
      size_t r = 0;
      for (; r + 2 <= some.count; r += 2) {
        add(r, constant<size_t{0}>{});
        add(r + 1, constant<size_t{1}>{});
      }
      if (r < some.count) add(r, constant<size_t{0}>{});
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        L::store(even + j + v * L::width, sum[0][v]);
        L::store(odd + j + v * L::width, sum[1][v]);
      });
    });
  }
  for (size_t c = 0; c < cols; ++c) {
    const float mean = (even[c] + odd[c]) * (1.0f / counts[c]);
    shift[c] = (values[c] == 0.0) & (counts[c] > 0.0f) ? mean : shift[c];
  }
}

// to = from and the rows; counts += how many elements are real (with weights weigh_block counts them).
template <class L, class Real, bool Weighted, size_t V, class Access>
SIMDNORM_INLINE void add_masked_rows(Access access, const masked_rows& g, size_t j, const float* shifts,
                                     const column_sums& from, column_sums& to, float* counts) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f), one = L::broadcast(1.0f);
  f32 shift[V], s1[2][V], s2[2][V], here[V];
  repeat<V>([&](auto v) SIMDNORM_LAMBDA {
    shift[v] = L::load(shifts + j + v * L::width);
    if constexpr (!Weighted) here[v] = L::load(counts + j + v * L::width);
    repeat<2>([&](auto odd) SIMDNORM_LAMBDA { s1[odd][v] = s2[odd][v] = zero; });
  });
  const auto add = [&](size_t r, auto odd) SIMDNORM_LAMBDA {
    const float* row = g.x[r];
    if (g.fetch != 0) {
      repeat<(V * L::width + 15) / 16>([&](auto k) SIMDNORM_LAMBDA { L::prefetch(row + g.fetch + j + k * 16); });
      if constexpr (Real::form == mark_form::bytes) {
        L::prefetch(reinterpret_cast<const float*>(g.marks[r] + g.mark_fetch + j));
      }
    }
    if constexpr (Weighted) {
      if (g.weights[r] == 0.0f) return;
    }
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      const size_t at = j + v * L::width;
      const f32 x = access.load(row + at);
      const f32 d = Real::choose(access, g.marks[r], at, x, x - shift[v], zero);
      if constexpr (Weighted) {
        const f32 t = L::broadcast(g.weights[r]) * d;
        s1[odd][v] = s1[odd][v] + t;
        s2[odd][v] = L::fma(t, d, s2[odd][v]);
      } else {
        s1[odd][v] = s1[odd][v] + d;
        s2[odd][v] = L::fma(d, d, s2[odd][v]);
        here[v] = here[v] + Real::choose(access, g.marks[r], at, x, one, zero);
      }
    });
  };
  size_t r = 0;
  for (; r + 2 <= g.count; r += 2) {
    add(r, constant<size_t{0}>{});
    add(r + 1, constant<size_t{1}>{});
  }
  if (r < g.count) add(r, constant<size_t{0}>{});
  repeat<V>([&](auto v) SIMDNORM_LAMBDA {
    const typename L::wide w1 = L::widen(s1[0][v] + s1[1][v]);
    const typename L::wide w2 = L::widen(s2[0][v] + s2[1][v]);
    if constexpr (!Weighted) L::store(counts + j + v * L::width, here[v]);
    repeat<L::width / L::width64>([&](auto k) SIMDNORM_LAMBDA {
      const size_t at = j + v * L::width + k * L::width64;
      L::store64(to.sum + at, L::load64(from.sum + at) + w1.part[k]);
      L::store64(to.squares + at, L::load64(from.squares + at) + w2.part[k]);
    });
  });
}

// to = from and the rows of a block.
template <class L, class Real, bool Weighted>
[[gnu::noinline]] void sum_masked_block(const masked_rows& g, size_t cols, const float* shift, const column_sums& from,
                                        column_sums& to, float* counts) {
  if constexpr (!Weighted) {
    for (size_t c = 0; c < cols; ++c) counts[c] = 0.0f;
  }
  for (size_t r = 0; r < g.count; r += rows_per_flush) {
    const masked_rows some = part_of(g, r, rows_per_flush);
    for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      add_masked_rows<L, Real, Weighted, together>(access, some, j, shift, r == 0 ? from : to, to, counts);
    });
  }
}

// Two passes in doubles over one column of the block, the second corrected. weight == 0: nothing is real.
template <class Real>
[[gnu::noinline]] void exact_masked_column(const masked_rows& g, size_t j, double& mean, double& m2, double& weight) {
  const auto weight_of = [&](size_t r) {
    if (g.weights && g.weights[r] == 0.0f) return 0.0;
    if (!Real::is(g.marks[r], j, g.x[r][j])) return 0.0;
    return g.weights ? static_cast<double>(g.weights[r]) : 1.0;
  };
  weight = 0.0;
  double sum = 0.0;
  double first = 0.0;
  bool constant = true;
  for (size_t r = 0; r < g.count; ++r) {
    const double w = weight_of(r);
    if (w == 0.0) continue;
    const double x = static_cast<double>(g.x[r][j]);
    if (weight == 0.0) first = x;
    constant = constant && x == first;
    weight = weight + w;
    sum = sum + w * x;
  }
  mean = first;
  m2 = 0.0;
  if (weight == 0.0 || (constant && __builtin_isfinite(first))) return;
  const double rough = sum / weight;
  double s1 = 0.0;
  double s2 = 0.0;
  for (size_t r = 0; r < g.count; ++r) {
    const double w = weight_of(r);
    if (w == 0.0) continue;
    const double d = static_cast<double>(g.x[r][j]) - rough;
    s1 = s1 + w * d;
    s2 = s2 + (w * d) * d;
  }
  const double correction = s1 / weight;
  mean = rough + correction;
  m2 = s2 - s1 * correction;
}

// The span and the block, of `count` together, as one set, in doubles, shifted by its own mean.
template <class Real>
SIMDNORM_INLINE void add_masked_exactly(const masked_rows& g, size_t c, double count, masked_span& span) {
  double mean, m2, block;
  exact_masked_column<Real>(g, c, mean, m2, block);
  if (block == 0.0) return;
  const double before = span.weight[c];
  double& sum = span.sums.sum[c];
  double& squares = span.sums.squares[c];
  if (before > 0.0) {
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

// The largest |x - shift| of a column of the block.
template <class Real>
SIMDNORM_INLINE float spread_of_column(const masked_rows& g, size_t c, float shift) {
  float most = 0.0f;
  for (size_t r = 0; r < g.count; ++r) {
    if (g.weights && g.weights[r] == 0.0f) continue;
    const float x = g.x[r][c];
    const float d = __builtin_fabsf(x - shift);
    if (Real::is(g.marks[r], c, x) && d > most) most = d;
  }
  return most;
}

SIMDNORM_INLINE bool is_safe_or_none(double sum, double squares, double weight) {
  return is_safe(sum, squares, weight) | (weight == 0.0);
}

// As mend_block (moments.hpp), by the counts of each column: `weight` with the block, the span's without it.
using sum_block_function = void (*)(const masked_rows&, size_t, const float*, const column_sums&, column_sums&, float*);
template <class Real>
[[gnu::noinline]] void mend_masked_block(const masked_rows& g, size_t cols, sum_block_function sum,
                                         const double* weight, masked_span& span, column_sums& t) {
  bool again = false;
  for (size_t c = 0; c < cols; ++c) {
    if (is_safe_or_none(t.sum[c], t.squares[c], weight[c])) continue;
    if (!(t.squares[c] > 0.0 && t.squares[c] < 0x1p127)) continue;
    const double before = span.weight[c];
    const double old = static_cast<double>(span.shift[c]);
    span.shift[c] = static_cast<float>(old + t.sum[c] / weight[c]);
    const double moved = old - static_cast<double>(span.shift[c]);
    span.sums.squares[c] = span.sums.squares[c] + moved * (2.0 * span.sums.sum[c] + before * moved);
    span.sums.sum[c] = span.sums.sum[c] + before * moved;
    again = true;
  }
  float counts[strip_capacity];
  if (again) sum(g, cols, span.shift, span.sums, t, counts);
  for (size_t c = 0; c < cols; ++c) {
    const bool lost = span.sums.squares[c] != span.sums.squares[c];  // NaN or infinity earlier in the span
    if (is_safe_or_none(t.sum[c], t.squares[c], weight[c]) || lost ||
        (t.squares[c] == 0.0 && spread_of_column<Real>(g, c, span.shift[c]) == 0.0f)) {
      span.sums.sum[c] = t.sum[c];
      span.sums.squares[c] = t.squares[c];
    } else {
      add_masked_exactly<Real>(g, c, weight[c], span);
    }
  }
}

// The steps of a block that look at its elements, for one kind of gaps. What holds them together is there once: with
// each of the eleven kinds it was 85 KB.
struct masked_steps {
  bool weighted;
  sum_block_function sum;
  void (*count)(const masked_rows&, size_t, float*);
  void (*weigh)(const masked_rows&, size_t, float*, double*);
  void (*shift)(const masked_rows&, size_t, const float*, const double*, float*);
  void (*mend)(const masked_rows&, size_t, sum_block_function, const double*, masked_span&, column_sums&);
  void (*extremes)(const float* const*, const uint8_t* const*, const float*, size_t, size_t, float*, float*);
};
template <class L, class Real>
SIMDNORM_INLINE masked_steps steps_for(bool weighted) {
  masked_steps steps;
  steps.weighted = weighted;
  steps.sum = weighted ? sum_masked_block<L, Real, true> : sum_masked_block<L, Real, false>;
  if constexpr (Real::all) {
    steps.weigh = weigh_rows;
  } else {
    steps.weigh = weigh_block<L, Real>;
  }
  steps.count = count_block<L, Real>;
  steps.shift = shift_open_columns<L, Real>;
  steps.mend = mend_masked_block<Real>;
  steps.extremes = extremes_of_masked_block<L, Real>;
  return steps;
}

// Adds a block to the open span.
inline void add_masked_block(const masked_steps& steps, const masked_rows& g, size_t cols, masked_span& span) {
  float counts[strip_capacity];
  double weight[strip_capacity];
  column_sums t;
  if (steps.weighted) {
    __builtin_memcpy(weight, span.weight, cols * sizeof(double));
    steps.weigh(g, cols, counts, weight);
  }
  // Where a column is still empty the block's own counts are needed first.
  int open = 0;
  for (size_t c = 0; c < cols; ++c) open |= span.values[c] == 0.0;
  if (open) {
    if (!steps.weighted) steps.count(g, cols, counts);
    steps.shift(g, cols, counts, span.values, span.shift);
  }
  steps.sum(g, cols, span.shift, span.sums, t, counts);
  if (!steps.weighted) {
    for (size_t c = 0; c < cols; ++c) weight[c] = span.weight[c] + static_cast<double>(counts[c]);
  }
  int unsafe = 0;
  for (size_t c = 0; c < cols; ++c) unsafe |= !is_safe_or_none(t.sum[c], t.squares[c], weight[c]);
  if (!unsafe) [[likely]] {
    __builtin_memcpy(span.sums.sum, t.sum, cols * sizeof(double));
    __builtin_memcpy(span.sums.squares, t.squares, cols * sizeof(double));
  } else {
    steps.mend(g, cols, steps.sum, weight, span, t);
  }
  __builtin_memcpy(span.weight, weight, cols * sizeof(double));
  for (size_t c = 0; c < cols; ++c) span.values[c] = span.values[c] + static_cast<double>(counts[c]);
  span.count += g.count;
}

inline void open_masked_span(masked_span& span, size_t cols) {
  span.count = 0;
  for (size_t c = 0; c < cols; ++c) {
    span.shift[c] = 0.0f;
    span.sums.sum[c] = span.sums.squares[c] = span.values[c] = span.weight[c] = 0.0;
  }
}

// close_span, by the counts of each column; a column that has nothing in the span keeps its total.
inline void close_masked_span(const masked_span& span, size_t cols, column_fold& total) {
  double* mean = total.mean;
  double* m2 = total.m2;
  double* weight = total.weight;
  double* values = total.values;
#pragma GCC ivdep
  for (size_t c = 0; c < cols; ++c) {
    const double here = span.weight[c];
    const double before = weight[c];
    const bool any = here > 0.0;
    const double offset = span.sums.sum[c] * (1.0 / here);
    const double share = here / (before + here);
    const double delta = static_cast<double>(span.shift[c]) + offset - mean[c];
    const double new_mean = mean[c] + delta * share;
    const double new_m2 =
        m2[c] + ((span.sums.squares[c] - span.sums.sum[c] * offset) + (delta * delta) * (before * share));
    mean[c] = any ? new_mean : mean[c];
    m2[c] = any ? new_m2 : m2[c];
    weight[c] = before + here;
    values[c] = values[c] + span.values[c];
  }
  total.count += span.count;
}

// Hands out the real rows of a block with their marks and weights.
class masked_source {
 public:
  masked_source(const column_moments_arguments& a, const column_gaps& gaps, const float* weights, const block& b)
      : a_(a),
        cols_(gaps.cols),
        weights_(weights),
        first_(b.col_first),
        end_(b.row_last),
        run_(next_real_run(a.padding, b.row_first, b.row_last)) {}

  size_t take(const float** x, const uint8_t** marks, float* weights, size_t wanted) {
    size_t taken = 0;
    while (taken < wanted && run_.first < end_) {
      for (; taken < wanted && run_.first < run_.last; ++taken, ++run_.first) {
        const size_t row = run_.first;
        x[taken] = static_cast<const float*>(a_.x) + static_cast<ptrdiff_t>(row) * a_.x_stride + first_;
        marks[taken] = element_marks(a_.padding, cols_, row, first_);
        weights[taken] = weights_ ? weights_[row] : 1.0f;
      }
      if (run_.first == run_.last) run_ = next_real_run(a_.padding, run_.last, end_);
    }
    return taken;
  }

 private:
  const column_moments_arguments& a_;
  size_t cols_;
  const float* weights_;
  size_t first_, end_;
  row_run run_;
};

[[gnu::noinline, maybe_unused]] inline void masked_moments(const masked_steps& steps,
                                                           const column_moments_masked_arguments& m, const block& b) {
  const column_moments_arguments& a = m.rows;
  const size_t cols = b.col_last - b.col_first;
  masked_span span;
  open_masked_span(span, cols);
  const auto carry = [cols](auto* to, const auto* from) { __builtin_memcpy(to, from, cols * sizeof *to); };
  if (a.open && a.open->count > 0) {
    span.count = a.open->count;
    carry(span.shift, a.open->shift);
    carry(span.sums.sum, a.open->sum);
    carry(span.sums.squares, a.open->squares);
    carry(span.values, a.open->values);
    carry(span.weight, a.open->weight);
  }
  masked_source source(a, m.gaps, m.weights, b);
  const float* x[rows_per_block];
  const uint8_t* marks[rows_per_block];
  float weights[rows_per_block];
  for (size_t left = a.valid_rows; left > 0;) {
    const size_t n = source.take(x, marks, weights, left < rows_per_block ? left : rows_per_block);
    if (n == 0) break;
    const ptrdiff_t fetch = a.far && left > n ? ptrdiff_t{rows_per_flush} * a.x_stride : 0;
    const masked_rows g{x, marks, steps.weighted ? weights : nullptr, n, fetch, rows_per_flush * m.gaps.cols};
    add_masked_block(steps, g, cols, span);
    if (a.total->min) steps.extremes(x, marks, g.weights, n, cols, a.total->min, a.total->max);
    if (span.count == rows_per_span) {
      close_masked_span(span, cols, *a.total);
      open_masked_span(span, cols);
    }
    left -= n;
  }
  if (!a.close) {
    a.open->count = span.count;
    carry(a.open->shift, span.shift);
    carry(a.open->sum, span.sums.sum);
    carry(a.open->squares, span.sums.squares);
    carry(a.open->values, span.values);
    carry(a.open->weight, span.weight);
  } else if (span.count > 0) {
    close_masked_span(span, cols, *a.total);
  }
}

template <class L, class>
inline void column_moments_masked(const column_moments_masked_arguments& m, const block& b) {
  masked_steps steps;
  with_real_elements<L>(m.rows.padding, m.gaps,
                        [&](auto real) SIMDNORM_LAMBDA { steps = steps_for<L, decltype(real)>(m.weights); });
  masked_moments(steps, m, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// Column statistics above the kernels, which add rows to spans and fold spans into totals, one after
// the other; where threads took the spans, their totals are folded here. The order is fixed by the
// sequence of real rows: however the rows are cut into calls, tasks or pieces, the same numbers meet in
// the same order.
#pragma once

#include "runtime/split.hpp"
#include "table.hpp"

namespace simdnorm {

// A checked matrix and which of its rows are real.
struct column_source {
  const void* x;
  ptrdiff_t x_stride;
  size_t rows;
  simdnorm_padding padding;
  bool far;  // too large for the caches
};

// Whether rows x cols floats go past the caches: as outputs (1 times them), as x and y (2 times).
inline bool beyond_caches(size_t rows, size_t cols, size_t times) noexcept {
  return rows > 0 && cols >= simdnorm_stream_border() / sizeof(float) / rows * times;
}

// a = a followed by b, by Chan's formula, for `cols` columns.
void merge_folds(column_fold& a, const column_fold& b, size_t cols) noexcept;

// Where the next `wanted` real rows at or after `row` end, and how many there are (fewer at the end
// of the matrix).
struct real_span {
  size_t last, count;
};
real_span find_real_rows(const column_source& source, size_t row, size_t wanted) noexcept;

// Whether a call needs statistics of its columns, or only goes through its rows.
enum class needs : bool { rows, statistics };

// How column-wise work goes over threads: strips of columns, each a task of its own, where there are
// columns enough for every thread; else, or where one strip needs no statistics, strips one after the
// other, each split by rows. One thread: strips as wide as their parameters' stack room allows.
struct column_split {
  size_t width;
  bool by_rows;
};
column_split split_columns(needs what, size_t rows, size_t cols, const simdnorm_executor* executor) noexcept;

// Calls work(first, last, executor for the rows) for strips that together are [0, cols).
template <class Work>
simdnorm_status for_strips(needs what, size_t rows, size_t cols, const simdnorm_executor* executor,
                           Work work) noexcept {
  const column_split split = split_columns(what, rows, cols, executor);
  const size_t count = split.width == 0 ? 0 : (cols + split.width - 1) / split.width;
  const auto strip = [&](size_t i, const simdnorm_executor* over_rows) {
    const size_t first = i * split.width;
    return work(first, first + split.width < cols ? first + split.width : cols, over_rows);
  };
  if (!split.by_rows) return for_tasks(executor, count, [&](size_t i) { (void)strip(i, nullptr); });
  for (size_t i = 0; i < count; ++i) {
    const control_word_scope ieee;
    if (const simdnorm_status s = strip(i, executor)) return s;
  }
  return SIMDNORM_OK;
}

// Of columns [first, last) over all real rows, what `total` has arrays for (with room for
// columns_per_strip). Without a real row: mean and M2 of 0, extremes of +inf and -inf. Rows go over
// threads where `executor` says so.
simdnorm_status fold_columns(const kernel_table& table, const column_source& source, size_t first, size_t last,
                             column_fold& total, const simdnorm_executor* executor) noexcept;

// Public values: canonical NaN, no extreme of negative zero, zeros for an empty set.
inline double canonical(double v) noexcept {
  return v == v ? v : __builtin_nan("");
}
inline double public_extreme(float v) noexcept {
  return canonical(v == 0.0f ? 0.0 : static_cast<double>(v));
}
inline simdnorm_moments make_moments(uint64_t count, double mean, double m2, float min, float max) noexcept {
  if (count == 0) return {0, 0.0, 0.0, 0.0, 0.0};
  return {count, canonical(mean), canonical(m2), public_extreme(min), public_extreme(max)};
}

}  // namespace simdnorm

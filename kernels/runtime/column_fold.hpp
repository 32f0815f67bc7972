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

// Calls work(first, last, executor for the rows) for strips that together are [0, cols), as wide as their
// parameters' stack room allows. Over threads go strips where each thread has 1,024 columns or more, else
// the rows of one strip after the other: threads that write to the same 4 KiB of a row take lines from each
// other, by prefetches beyond their own (784x128 by halves of 64 columns took three times as long as on one
// thread).
template <class Work>
simdnorm_status for_strips(size_t cols, const simdnorm_executor* executor, Work work) noexcept {
  const size_t width = columns_per_strip;
  const auto strip = [&](size_t i, const simdnorm_executor* over_rows) {
    const size_t first = i * width;
    return work(first, first + width < cols ? first + width : cols, over_rows);
  };
  const size_t count = (cols + width - 1) / width;
  if (!is_parallel(executor) || cols / executor->threads >= 1024) {
    return for_tasks(executor, count, [&](size_t i) { (void)strip(i, nullptr); });
  }
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

// SPDX-License-Identifier: Apache-2.0
//
// Column statistics above the kernels, which add rows to spans and fold spans into totals, one after
// the other; where threads took the spans, their totals are folded here. The order is fixed by the
// sequence of real rows: however the rows are cut into calls, tasks or pieces, the same numbers meet in
// the same order.
#pragma once

#include "runtime/split.hpp"
#include "runtime/tiles.hpp"
#include "table.hpp"

namespace simdnorm {

// A checked matrix, which of its rows and elements are real, and what they weigh.
struct column_source {
  const void* x;
  ptrdiff_t x_stride;
  size_t rows;
  simdnorm_padding padding;
  bool far;  // too large for the caches
  column_gaps gaps{};
  const float* weights = nullptr;  // null: ones
  bool masked = false;             // columns differ in what counts
  size_t first = 0;                // of its rows, that is folded; `rows` is then where they end
  simdnorm_type type = SIMDNORM_F32;
};

// Whether rows x cols elements go past the caches: as outputs (1 times them), as x and y (2 times).
inline bool beyond_caches(size_t rows, size_t cols, size_t times, simdnorm_type type = SIMDNORM_F32) noexcept {
  return rows > 0 && cols >= simdnorm_stream_border() / bytes_of(type) / rows * times;
}

inline column_source source_of(const simdnorm_const_matrix& x, const simdnorm_padding& padding, bool nan_is_missing,
                               const simdnorm_const_vector& weights) noexcept {
  const bool elements =
      padding.kind == SIMDNORM_PADDING_ELEMENT_MASK || padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  return {x.data,
          x.row_stride,
          x.rows,
          padding,
          beyond_caches(x.rows, x.cols, 2, x.type),
          {x.cols, nan_is_missing},
          static_cast<const float*>(weights.data),
          elements || nan_is_missing || weights.data != nullptr,
          0,
          x.type};
}

// a = a followed by b, by Chan's formula, for `cols` columns. Either both have counts of each column, or
// neither.
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

// The moments of the arguments' rows, with the source's gaps and weights.
inline void run_moments(const kernel_table& table, const column_source& source, const column_moments_arguments& a,
                        const block& b) noexcept {
  if (source.masked) {
    run(table, column_moments_masked_arguments{a, source.gaps, source.weights}, b);
  } else {
    run(table, a, b);
  }
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
// Column c of a fold.
inline simdnorm_moments make_moments(const column_fold& f, size_t c) noexcept {
  const uint64_t count = f.values ? static_cast<uint64_t>(f.values[c]) : f.count;
  const double weight = f.weight ? f.weight[c] : static_cast<double>(count);
  if (count == 0) return {0, 0.0, 0.0, 0.0, 0.0, 0.0};
  return {count, canonical(f.mean[c]), canonical(f.m2[c]), public_extreme(f.min[c]), public_extreme(f.max[c]), weight};
}

}  // namespace simdnorm

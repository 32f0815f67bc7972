// SPDX-License-Identifier: Apache-2.0
#include "runtime/column_fold.hpp"

#include "padding.hpp"

namespace simdnorm {

void merge_folds(column_fold& a, const column_fold& b, size_t cols) noexcept {
  if (b.count == 0) return;
  if (a.count == 0) {
    for (size_t c = 0; c < cols; ++c) {
      a.mean[c] = b.mean[c];
      a.m2[c] = b.m2[c];
    }
    a.count = b.count;
    return;
  }
  const double count_a = static_cast<double>(a.count);
  const double count_b = static_cast<double>(b.count);
  const double weight = count_b / (count_a + count_b);
  const double cross = count_a * weight;
  for (size_t c = 0; c < cols; ++c) {
    const double delta = b.mean[c] - a.mean[c];
    a.mean[c] = a.mean[c] + delta * weight;
    a.m2[c] = a.m2[c] + (b.m2[c] + (delta * delta) * cross);
  }
  a.count += b.count;
}

real_span find_real_rows(const column_source& source, size_t row, size_t wanted) noexcept {
  size_t count = 0;
  while (count < wanted && row < source.rows) {
    const row_run run = next_real_run(source.padding, row, source.rows);
    const size_t here = run.last - run.first;
    if (here > wanted - count) return {run.first + (wanted - count), wanted};
    count += here;
    row = run.last;
  }
  return {row, count};
}

column_split split_columns(size_t rows, size_t cols, const simdnorm_executor* executor) noexcept {
  const size_t widest = cols < columns_per_strip ? cols : size_t{columns_per_strip};
  if (!is_parallel(executor)) return {widest, false};
  // Below 128 columns (512 bytes of a row) a task reads too little of each page and line pair.
  constexpr size_t narrowest = 128;
  const size_t threads = executor->threads;
  const size_t share = ((cols + threads - 1) / threads + 15) / 16 * 16;
  if (share < narrowest && rows > rows_per_span) return {widest, true};
  const size_t worth = (elements_per_task + rows) / (rows + 1);  // columns that make a task worth while
  size_t width = share < narrowest ? narrowest : share;
  if (width < worth) width = (worth + 15) / 16 * 16;
  return {width < widest ? width : widest, false};
}

simdnorm_status fold_columns(const kernel_table& table, const column_source& source, size_t first, size_t last,
                             column_fold& total, const simdnorm_executor* executor) noexcept {
  const size_t cols = last - first;
  total.count = 0;
  for (size_t c = 0; c < cols; ++c) total.mean[c] = total.m2[c] = 0.0;
  if (!is_parallel(executor)) {
    const control_word_scope ieee;
    const column_moments_arguments a{source.x, source.x_stride, source.padding, source.rows, nullptr,
                                     true,     &total,          source.far};
    table.column_moments_f32(a, block{0, source.rows, first, last});
    return SIMDNORM_OK;
  }
  // Moments of the spans of one wave: 16 KiB of the caller's stack, whatever the shape.
  constexpr size_t room = 1024;
  double mean[room];
  double m2[room];
  constexpr size_t most_spans = 16;
  const size_t per_wave = room / cols < most_spans ? room / cols : most_spans;

  for (size_t row = 0; row < source.rows;) {
    size_t starts[most_spans];
    size_t counts[most_spans];
    column_fold folds[most_spans];
    size_t spans = 0;
    while (spans < per_wave && row < source.rows) {
      const real_span span = find_real_rows(source, row, rows_per_span);
      starts[spans] = row;
      counts[spans] = span.count;
      folds[spans] = {0, mean + spans * cols, m2 + spans * cols};
      row = span.last;
      if (span.count > 0) ++spans;
    }
    const simdnorm_status s = for_tasks(executor, spans, [&](size_t i) {
      const column_moments_arguments a{source.x, source.x_stride, source.padding, counts[i], nullptr,
                                       true,     &folds[i],       source.far};
      table.column_moments_f32(a, block{starts[i], source.rows, first, last});
    });
    if (s) return s;
    const control_word_scope ieee;
    for (size_t i = 0; i < spans; ++i) merge_folds(total, folds[i], cols);
  }
  return SIMDNORM_OK;
}

void column_extremes(const kernel_table& table, const column_source& source, size_t first, size_t last, float* min,
                     float* max) noexcept {
  for (size_t c = 0; c < last - first; ++c) {
    min[c] = __builtin_inff();
    max[c] = -__builtin_inff();
  }
  const column_extremes_arguments a{source.x, source.x_stride, source.padding, min, max};
  table.column_extremes_f32(a, block{0, source.rows, first, last});
}

}  // namespace simdnorm

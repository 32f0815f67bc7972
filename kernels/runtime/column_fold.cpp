// SPDX-License-Identifier: Apache-2.0
#include "runtime/column_fold.hpp"

#include "padding.hpp"

namespace simdnorm {

namespace {

// Extremes of the set a followed by b: NaN in one is NaN in both.
float least(float a, float b) {
  return a != a ? a : (b != b ? b : (b < a ? b : a));
}
float greatest(float a, float b) {
  return a != a ? a : (b != b ? b : (b > a ? b : a));
}

void empty_fold(column_fold& f, size_t cols) {
  f.count = 0;
  for (size_t c = 0; f.mean && c < cols; ++c) f.mean[c] = f.m2[c] = 0.0;
  for (size_t c = 0; f.min && c < cols; ++c) {
    f.min[c] = __builtin_inff();
    f.max[c] = -__builtin_inff();
  }
}

}  // namespace

void merge_folds(column_fold& a, const column_fold& b, size_t cols) noexcept {
  if (b.count == 0) return;
  for (size_t c = 0; a.min && c < cols; ++c) {
    a.min[c] = least(a.min[c], b.min[c]);
    a.max[c] = greatest(a.max[c], b.max[c]);
  }
  const double count_a = static_cast<double>(a.count);
  const double count_b = static_cast<double>(b.count);
  const double weight = count_b / (count_a + count_b);
  const double cross = count_a * weight;
  for (size_t c = 0; a.mean && c < cols; ++c) {
    const double delta = b.mean[c] - a.mean[c];
    a.mean[c] = a.count > 0 ? a.mean[c] + delta * weight : b.mean[c];
    a.m2[c] = a.count > 0 ? a.m2[c] + (b.m2[c] + (delta * delta) * cross) : b.m2[c];
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

column_split split_columns(needs what, size_t rows, size_t cols, const simdnorm_executor* executor) noexcept {
  const size_t widest = cols < columns_per_strip ? cols : size_t{columns_per_strip};
  if (!is_parallel(executor)) return {widest, false};
  // Below 128 columns (512 bytes of a row) a task reads too little of each page and line pair; where there
  // is one span, threads share nothing but columns, and 64 will do.
  const size_t narrowest = rows > rows_per_span ? 128 : 64;
  const size_t share = (cols + executor->threads - 1) / executor->threads;
  if (share < narrowest || (what == needs::rows && cols == widest)) return {widest, true};
  const auto in_registers = [](size_t n) { return (n + 15) / 16 * 16; };
  const size_t strips = (share + columns_per_strip - 1) / columns_per_strip;  // of a thread
  const size_t worth = elements_per_task / 2 / (rows + 1);                    // two passes over each element
  const size_t width = in_registers((share + strips - 1) / strips);
  const size_t wide = width < worth ? in_registers(worth) : width;
  return {wide < widest ? wide : widest, false};
}

simdnorm_status fold_columns(const kernel_table& table, const column_source& source, size_t first, size_t last,
                             column_fold& total, const simdnorm_executor* executor) noexcept {
  const auto fold = [&](column_fold& f, size_t row, size_t end, size_t count) {
    empty_fold(f, last - first);
    if (f.mean) {
      const column_moments_arguments a{source.x, source.x_stride, source.padding, count, nullptr, true, &f, source.far};
      table.column_moments_f32(a, block{row, end, first, last});
    } else {
      const column_extremes_arguments a{source.x, source.x_stride, source.padding, f.min, f.max};
      table.column_extremes_f32(a, block{row, end, first, last});
      f.count = count;
    }
  };
  if (!is_parallel(executor)) {
    const control_word_scope ieee;
    fold(total, 0, source.rows, total.mean ? source.rows : find_real_rows(source, 0, source.rows).count);
    return SIMDNORM_OK;
  }
  // Folds of the spans of one wave: 24 KiB of the caller's stack, whatever the shape.
  constexpr size_t room = 1024;
  double mean[room], m2[room];
  float min[room], max[room];
  constexpr size_t most_spans = 16;
  const size_t cols = last - first;
  const size_t per_wave = room / cols < most_spans ? room / cols : most_spans;

  empty_fold(total, cols);
  for (size_t row = 0; row < source.rows;) {
    size_t starts[most_spans + 1] = {row};
    size_t counts[most_spans];
    column_fold folds[most_spans];
    size_t spans = 0;
    while (spans < per_wave && row < source.rows) {
      const real_span span = find_real_rows(source, row, rows_per_span);
      const size_t at = spans * cols;
      folds[spans] = {0, total.mean ? mean + at : nullptr, m2 + at, total.min ? min + at : nullptr, max + at};
      counts[spans] = span.count;
      row = starts[++spans] = span.last;
    }
    const simdnorm_status s =
        for_tasks(executor, spans, [&](size_t i) { fold(folds[i], starts[i], starts[i + 1], counts[i]); });
    if (s) return s;
    const control_word_scope ieee;
    for (size_t i = 0; i < spans; ++i) merge_folds(total, folds[i], cols);
  }
  return SIMDNORM_OK;
}

}  // namespace simdnorm

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
  for (size_t c = 0; f.values && c < cols; ++c) f.values[c] = f.weight[c] = 0.0;
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
  if (a.values) {
    for (size_t c = 0; c < cols; ++c) {
      const double count_b = b.weight[c];
      if (count_b > 0.0 && a.mean) {
        const double count_a = a.weight[c];
        const double weight = count_b / (count_a + count_b);
        const double delta = b.mean[c] - a.mean[c];
        a.mean[c] = count_a > 0.0 ? a.mean[c] + delta * weight : b.mean[c];
        a.m2[c] = count_a > 0.0 ? a.m2[c] + (b.m2[c] + (delta * delta) * (count_a * weight)) : b.m2[c];
      }
      a.weight[c] = a.weight[c] + count_b;
      a.values[c] = a.values[c] + b.values[c];
    }
    a.count += b.count;
    return;
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
  const auto listed = with_row_mask(source.padding, [&](auto real) {
    while (count < wanted && row < source.rows) {
      const size_t stop = source.rows - row < wanted - count ? source.rows : row + (wanted - count);
      size_t here = 0;
      for (size_t i = row; i < stop; ++i) here += real(i);
      count += here;
      row = stop;
    }
  });
  if (listed) return {row, count};
  while (count < wanted && row < source.rows) {
    const row_run run = next_real_run(source.padding, row, source.rows);
    const size_t here = run.last - run.first;
    if (here > wanted - count) return {run.first + (wanted - count), wanted};
    count += here;
    row = run.last;
  }
  return {row, count};
}

namespace {

column_fold part_of(const column_fold& all, size_t from) {
  const auto part = [from](auto* of_columns) { return of_columns ? of_columns + from : nullptr; };
  return {0, part(all.mean), part(all.m2), part(all.min), part(all.max), part(all.values), part(all.weight)};
}

// f = `count` real rows of the block.
[[gnu::noinline]] void fold_block(const kernel_table& table, const column_source& source, const block& b, size_t count,
                                  column_fold& f) {
  empty_fold(f, b.col_last - b.col_first);
  if (f.mean) {
    run_moments(table, source,
                {source.x, source.x_stride, source.padding, count, nullptr, true, &f, source.far, source.type}, b);
  } else {
    run(table,
        column_extremes_arguments{source.x, source.x_stride, source.padding, f.min, f.max, source.gaps, source.type},
        b);
    f.count = count;
  }
}

// Columns [from, to) of a strip, spans over threads; the folds of one wave of spans are in `memory`.
template <class Fold>
[[gnu::noinline]] simdnorm_status fold_waves(char* memory, size_t memory_bytes, const column_source& source,
                                             size_t from, size_t to, column_fold& strip,
                                             const simdnorm_executor* executor, const Fold& fold) noexcept {
  const size_t cols = to - from;
  column_fold total = part_of(strip, from);
  constexpr size_t most_spans = 16;
  const size_t bytes = cols * ((total.mean ? 2 : 0) + (total.values ? 2 : 0)) * sizeof(double) +
                       (total.min ? 2 : 0) * cols * sizeof(float);
  const size_t per_wave = memory_bytes / bytes < most_spans ? memory_bytes / bytes : most_spans;

  empty_fold(total, cols);
  for (size_t row = source.first; row < source.rows;) {
    size_t starts[most_spans + 1] = {row};
    size_t counts[most_spans];
    column_fold folds[most_spans];
    size_t spans = 0;
    while (spans < per_wave && row < source.rows) {
      const real_span span = find_real_rows(source, row, rows_per_span);
      char* p = memory + spans * bytes;
      const auto take = [&p, cols](auto* wanted) {
        auto* here = reinterpret_cast<decltype(wanted)>(p);
        if (wanted) p += cols * sizeof *wanted;
        return wanted ? here : nullptr;
      };
      column_fold& f = folds[spans];
      f = {};
      f.mean = take(total.mean);
      f.m2 = take(total.m2);
      f.values = take(total.values);
      f.weight = take(total.weight);
      f.min = take(total.min);
      f.max = take(total.max);
      counts[spans] = span.count;
      row = starts[++spans] = span.last;
    }
    const simdnorm_status s =
        for_tasks(executor, spans, [&](size_t i) { fold(folds[i], from, to, starts[i], starts[i + 1], counts[i]); });
    if (s) return s;
    const control_word_scope ieee;
    for (size_t i = 0; i < spans; ++i) merge_folds(total, folds[i], cols);
  }
  strip.count = total.count;
  return SIMDNORM_OK;
}

// The same in so many bytes of the caller's stack, whatever the shape.
template <size_t Bytes, class Fold>
[[gnu::noinline]] simdnorm_status fold_waves_in(const column_source& source, size_t from, size_t to, column_fold& strip,
                                                const simdnorm_executor* executor, const Fold& fold) noexcept {
  alignas(64) char memory[Bytes];
  return fold_waves(memory, Bytes, source, from, to, strip, executor, fold);
}

}  // namespace

simdnorm_status fold_columns(const kernel_table& table, const column_source& source, size_t first, size_t last,
                             column_fold& total, const simdnorm_executor* executor) noexcept {
  const size_t cols = last - first;
  // Columns [from, to) of the strip, and `count` real rows from `row` on; f begins with column `from`.
  const auto fold = [&](column_fold& f, size_t from, size_t to, size_t row, size_t end, size_t count) {
    fold_block(table, source, block{row, end, first + from, first + to}, count, f);
  };
  const size_t rows = source.rows - source.first;
  if (!is_parallel(executor) || rows <= rows_per_span) {
    // One span: by columns, which are read only. 64 at least, so that prefetches are of use.
    const size_t threads = is_parallel(executor) && rows * cols >= 2 * elements_per_task ? executor->threads : 1;
    const size_t share = ((cols + threads - 1) / threads + 15) / 16 * 16;
    const size_t width = share < 64 ? 64 : share;
    const size_t count = find_real_rows(source, source.first, rows).count;
    const simdnorm_status s = for_tasks(executor, (cols + width - 1) / width, [&](size_t i) {
      const size_t from = i * width;
      const size_t to = from + width < cols ? from + width : cols;
      column_fold f = part_of(total, from);
      fold(f, from, to, source.first, source.rows, count);
    });
    total.count = count;
    return s;
  }
  // Halves have a tile on the stack beside: half as many columns at a time, in half the memory.
  constexpr size_t some = columns_per_strip / 2;
  if (source.type == SIMDNORM_F32) return fold_waves_in<24 * 1024>(source, 0, cols, total, executor, fold);
  for (size_t from = 0; from < cols; from += some) {
    const size_t to = cols - from < some ? cols : from + some;
    if (const simdnorm_status s = fold_waves_in<12 * 1024>(source, from, to, total, executor, fold)) return s;
  }
  return SIMDNORM_OK;
}

}  // namespace simdnorm

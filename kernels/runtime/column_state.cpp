// SPDX-License-Identifier: Apache-2.0
//
// Streaming moments: simdnorm_column_state, simdnorm_moments_merge. column_bytes.cpp: a state as bytes.
#include "runtime/column_state.hpp"

#include <string.h>

#include "padding.hpp"
#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"

using namespace simdnorm;

namespace {

template <class Each>
void each_strip(size_t cols, Each each) {
  for (size_t first = 0; first < cols; first += columns_per_strip) {
    each(first, first + columns_per_strip < cols ? first + columns_per_strip : cols);
  }
}

// The open span and the totals of a strip, where they lie.
struct strip_view {
  column_span span;
  column_fold total;
};
strip_view view_of(const simdnorm_column_state* state, const state_arrays& a, size_t first) {
  return {{state->span_count, a.span_shift + first, a.span_sum + first, a.span_squares + first, a.span_values + first,
           a.span_weight + first},
          {state->total_count, a.total_mean + first, a.total_m2 + first, a.min + first, a.max + first,
           a.total_values + first, a.total_weight + first}};
}

// Adds `rows` real rows of the source, from `row` on, to the open span: whole blocks of it.
void take_blocks(simdnorm_column_state* state, const state_arrays& a, const kernel_table& table,
                 const column_source& source, size_t row, size_t rows) {
  uint64_t span_count = 0, total_count = 0;
  each_strip(static_cast<size_t>(state->cols), [&](size_t first, size_t last) {
    strip_view v = view_of(state, a, first);
    const column_moments_arguments m{source.x, source.x_stride, source.padding, rows,       &v.span,
                                     false,    &v.total,        source.far,     source.type};
    run_moments(table, source, m, block{row, source.rows, first, last});
    span_count = v.span.count;
    total_count = v.total.count;
  });
  state->span_count = span_count;
  state->total_count = total_count;
}

// The first `rows` rows of the open block.
column_source open_block(const simdnorm_column_state* state, const state_arrays& a, size_t rows) {
  const size_t cols = static_cast<size_t>(state->cols);
  column_source source{a.open, static_cast<ptrdiff_t>(cols), rows, {}, false, {cols, false}, nullptr, false};
  if (state->masked == 0) return source;
  source.padding.kind = SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  source.padding.data = a.open_marks;
  source.padding.size = rows * cols;
  source.weights = a.open_weights;
  source.masked = true;
  return source;
}

// Gives every column counts of its own: so far all have seen the same rows.
void begin_masked(simdnorm_column_state* state, const state_arrays& a) {
  if (state->masked != 0) return;
  for (size_t c = 0; c < state->cols; ++c) {
    a.span_values[c] = a.span_weight[c] = static_cast<double>(state->span_count);
    a.total_values[c] = a.total_weight[c] = static_cast<double>(state->total_count);
  }
  for (size_t i = 0; i < rows_per_block; ++i) a.open_weights[i] = 1.0f;
  memset(a.open_marks, 0xff, rows_per_block * mark_bytes(static_cast<size_t>(state->cols)));
  state->masked = 1;
}

// Appends a row to the open block.
void keep_row(simdnorm_column_state* state, const state_arrays& a, const kernel_table& table,
              const column_source& source, size_t row) {
  const size_t cols = static_cast<size_t>(state->cols);
  const size_t at = static_cast<size_t>(state->open_rows++);
  const void* from = advanced(source.x, source.type, static_cast<ptrdiff_t>(row) * source.x_stride);
  float* to = a.open + at * cols;
  if (source.type == SIMDNORM_F32) {
    memcpy(to, from, cols * sizeof(float));
  } else {
    widen_row(table, from, source.type, to, cols);
  }
  if (!source.masked) return;
  uint8_t* marks = a.open_marks + at * mark_bytes(cols);
  memset(marks, 0, mark_bytes(cols));
  const uint8_t* given = element_marks(source.padding, cols, row, 0);
  const bool bits = source.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  a.open_weights[at] = source.weights ? source.weights[row] : 1.0f;
  for (size_t c = 0; c < cols; ++c) {
    const bool marked = given == nullptr || (bits ? bit_at(given, c) : given[c] != 0);
    if (marked && !(source.gaps.nan_is_missing && to[c] != to[c])) {
      marks[c / 8] = static_cast<uint8_t>(marks[c / 8] | 1u << (c % 8));
    } else {
      to[c] = 0.0f;
    }
  }
}

// Statistics of all rows so far for a strip, the open span and open block included.
struct strip_total {
  uint64_t count;
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  double values[columns_per_strip];
  double weight[columns_per_strip];
  float min[columns_per_strip];
  float max[columns_per_strip];
  bool masked;
  column_fold fold() { return {count, mean, m2, min, max, masked ? values : nullptr, masked ? weight : nullptr}; }
};

void total_of_strip(const simdnorm_column_state* state, const state_arrays& a, const kernel_table& table, size_t first,
                    size_t last, bool masked, strip_total& out) {
  const size_t cols = last - first;
  strip_view v = view_of(state, a, first);
  memcpy(out.mean, v.total.mean, cols * sizeof(double));
  memcpy(out.m2, v.total.m2, cols * sizeof(double));
  memcpy(out.min, v.total.min, cols * sizeof(float));
  memcpy(out.max, v.total.max, cols * sizeof(float));
  out.masked = state->masked != 0;
  if (out.masked) {
    memcpy(out.values, v.total.values, cols * sizeof(double));
    memcpy(out.weight, v.total.weight, cols * sizeof(double));
  }
  out.count = state->total_count;
  column_fold total = out.fold();
  const size_t rows = static_cast<size_t>(state->open_rows);
  const column_source source = open_block(state, a, rows);
  const column_moments_arguments m{source.x, source.x_stride, source.padding, rows, &v.span, true, &total, false};
  run_moments(table, source, m, block{0, rows, first, last});
  out.count = total.count;
  if (masked && !out.masked) {
    for (size_t c = 0; c < cols; ++c) out.values[c] = out.weight[c] = static_cast<double>(out.count);
    out.masked = true;
  }
}

}  // namespace

extern "C" {

simdnorm_moments simdnorm_moments_merge(simdnorm_moments a, simdnorm_moments b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  const control_word_scope ieee;
  double values = 0.0;
  column_fold left{a.count, &a.mean, &a.m2, nullptr, nullptr, &values, &a.weight};
  const column_fold right{b.count, &b.mean, &b.m2, nullptr, nullptr, &values, &b.weight};
  merge_folds(left, right, 1);
  const bool nan = a.min != a.min || b.min != b.min;
  return {left.count,
          canonical(a.mean),
          canonical(a.m2),
          nan ? __builtin_nan("") : (b.min < a.min ? b.min : a.min),
          nan ? __builtin_nan("") : (b.max > a.max ? b.max : a.max),
          a.weight};
}

size_t simdnorm_column_state_size(size_t cols, simdnorm_type type) {
  if (type != SIMDNORM_F32) return 0;
  // 8 doubles, 3 floats, and a block of floats and of bits a column, each array rounded up.
  constexpr size_t per_column = 8 * sizeof(double) + (3 + rows_per_block) * sizeof(float) + rows_per_block / 8;
  if (cols > (static_cast<size_t>(PTRDIFF_MAX) - 4096) / per_column) return 0;
  return offset_of_arrays() + 8 * round_up(cols * sizeof(double)) + 3 * round_up(cols * sizeof(float)) +
         round_up(rows_per_block * cols * sizeof(float)) + round_up(rows_per_block * sizeof(float)) +
         round_up(rows_per_block * mark_bytes(cols));
}

simdnorm_status simdnorm_column_state_init(void* memory, size_t bytes, size_t cols, simdnorm_type type,
                                           simdnorm_column_state** out) {
  if (memory == nullptr || out == nullptr) return SIMDNORM_NULL_POINTER;
  if (type != SIMDNORM_F32) return SIMDNORM_UNSUPPORTED_TYPE;
  const size_t size = simdnorm_column_state_size(cols, type);
  if (size == 0 || bytes < size) return SIMDNORM_INVALID_SHAPE;
  if (reinterpret_cast<uintptr_t>(memory) % state_alignment != 0) return SIMDNORM_MISALIGNED;
  memset(memory, 0, size);
  auto* state = static_cast<simdnorm_column_state*>(memory);
  state->magic = state_magic;
  state->bytes = size;
  state->cols = cols;
  const state_arrays a = arrays_of(state);
  for (size_t c = 0; c < cols; ++c) {
    a.min[c] = __builtin_inff();
    a.max[c] = -__builtin_inff();
  }
  *out = state;
  return SIMDNORM_OK;
}

simdnorm_status simdnorm_column_state_update(simdnorm_column_state* state, const simdnorm_const_matrix* x,
                                             const simdnorm_column_options* options) {
  simdnorm_column_options storage;
  const simdnorm_column_options* chosen = read_options(options, storage, simdnorm_column_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_column_options& o = *chosen;
  if (state == nullptr) return SIMDNORM_NULL_POINTER;
  if (!is_state(state)) return SIMDNORM_INVALID_STATE;
  region rx, pad, weights;
  if (const simdnorm_status s = check_matrix(x, rx, false, types::mixed)) return s;
  if (x->cols != state->cols) return SIMDNORM_INVALID_SHAPE;
  if (const simdnorm_status s = check_padding(o.padding, x->rows, x->cols, axis::column, pad)) return s;
  if (const simdnorm_status s = check_weights(o.weights, x->rows, weights)) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  const region own[] = {contiguous(state, static_cast<size_t>(state->bytes))};
  const region read[] = {rx, pad, weights};
  if (const simdnorm_status s = check_apart(own, read)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;

  const control_word_scope ieee;
  const state_arrays a = arrays_of(state);
  column_source source = source_of(*x, o.padding, o.nan_is_missing != 0, o.weights);
  if (source.masked) begin_masked(state, a);
  source.masked = state->masked != 0;
  size_t row = 0;

  const auto keep = [&](size_t wanted) {  // copies up to `wanted` real rows into the open block
    while (wanted > 0 && row < source.rows) {
      const row_run run = next_real_run(source.padding, row, source.rows);
      const size_t n = run.last - run.first < wanted ? run.last - run.first : wanted;
      for (size_t i = run.first; i < run.first + n; ++i) keep_row(state, a, *table, source, i);
      wanted -= n;
      row = run.first + n;
    }
  };

  if (state->open_rows > 0) {
    keep(rows_per_block - static_cast<size_t>(state->open_rows));
    if (state->open_rows < rows_per_block) return SIMDNORM_OK;
    state->open_rows = 0;
    take_blocks(state, a, *table, open_block(state, a, rows_per_block), 0, rows_per_block);
  }
  const size_t blocks = find_real_rows(source, row, source.rows).count / rows_per_block;
  if (blocks > 0) {
    take_blocks(state, a, *table, source, row, blocks * rows_per_block);
    row = find_real_rows(source, row, blocks * rows_per_block).last;
  }
  keep(rows_per_block);
  return SIMDNORM_OK;
}

simdnorm_status simdnorm_column_state_merge(simdnorm_column_state* into, const simdnorm_column_state* from) {
  if (into == nullptr || from == nullptr) return SIMDNORM_NULL_POINTER;
  if (!is_state(into) || !is_state(from) || into->cols != from->cols) return SIMDNORM_INVALID_STATE;
  if (into == from) return SIMDNORM_OVERLAP;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  const control_word_scope ieee;
  const state_arrays a = arrays_of(into);
  const bool masked = into->masked != 0 || from->masked != 0;
  uint64_t count = into->total_count;
  each_strip(static_cast<size_t>(into->cols), [&](size_t first, size_t last) {
    strip_total left;
    strip_total right;
    total_of_strip(into, a, *table, first, last, masked, left);
    total_of_strip(from, arrays_of(from), *table, first, last, masked, right);
    column_fold total = left.fold();
    merge_folds(total, right.fold(), last - first);
    memcpy(a.total_mean + first, left.mean, (last - first) * sizeof(double));
    memcpy(a.total_m2 + first, left.m2, (last - first) * sizeof(double));
    memcpy(a.min + first, left.min, (last - first) * sizeof(float));
    memcpy(a.max + first, left.max, (last - first) * sizeof(float));
    if (masked) {
      memcpy(a.total_values + first, left.values, (last - first) * sizeof(double));
      memcpy(a.total_weight + first, left.weight, (last - first) * sizeof(double));
    }
    count = total.count;
  });
  into->total_count = count;
  into->masked = masked;
  into->span_count = into->open_rows = 0;
  return SIMDNORM_OK;
}

simdnorm_status simdnorm_column_state_result(const simdnorm_column_state* state, simdnorm_moments* out) {
  if (state == nullptr) return SIMDNORM_NULL_POINTER;
  if (!is_state(state)) return SIMDNORM_INVALID_STATE;
  region written;
  if (const simdnorm_status s = check_array(out, static_cast<size_t>(state->cols), written)) return s;
  const region own = contiguous(state, static_cast<size_t>(state->bytes));
  if (share_bytes(written, own)) return SIMDNORM_OVERLAP;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  const control_word_scope ieee;
  const state_arrays a = arrays_of(state);
  each_strip(static_cast<size_t>(state->cols), [&](size_t first, size_t last) {
    strip_total total;
    total_of_strip(state, a, *table, first, last, false, total);
    const column_fold fold = total.fold();
    for (size_t c = first; c < last; ++c) out[c] = make_moments(fold, c - first);
  });
  return SIMDNORM_OK;
}

}  // extern "C"

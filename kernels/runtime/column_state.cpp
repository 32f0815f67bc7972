// SPDX-License-Identifier: Apache-2.0
//
// Streaming moments: simdnorm_column_state, simdnorm_moments_merge.
//
// The state is plain data: a header, then the arrays it counts out. It carries the rows of the open
// block as they came; a block is worked on when it is full, exactly as in one shot.
#include <string.h>

#include "padding.hpp"
#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"

using namespace simdnorm;

struct simdnorm_column_state {
  uint64_t magic;
  uint64_t bytes;
  uint64_t cols;
  uint64_t span_count;   // rows in the full blocks of the open span
  uint64_t total_count;  // rows in closed spans and merged states
  uint64_t open_rows;    // rows in the open block
  uint64_t reserved[2];
};

namespace {

constexpr uint64_t state_magic = 0x326c6f636d726f6eu;  // "normcol2"
constexpr size_t alignment = 64;

constexpr size_t round_up(size_t n) {
  return (n + alignment - 1) / alignment * alignment;
}

struct state_arrays {
  double *span_sum, *span_squares, *total_mean, *total_m2;
  float *span_shift, *min, *max, *open;
};

size_t offset_of_arrays() {
  return round_up(sizeof(simdnorm_column_state));
}

state_arrays arrays_of(const simdnorm_column_state* state) {
  const size_t cols = static_cast<size_t>(state->cols);
  char* p = const_cast<char*>(reinterpret_cast<const char*>(state)) + offset_of_arrays();
  const auto take = [&p](size_t bytes) {
    char* here = p;
    p += round_up(bytes);
    return here;
  };
  state_arrays a;
  a.span_sum = reinterpret_cast<double*>(take(cols * sizeof(double)));
  a.span_squares = reinterpret_cast<double*>(take(cols * sizeof(double)));
  a.total_mean = reinterpret_cast<double*>(take(cols * sizeof(double)));
  a.total_m2 = reinterpret_cast<double*>(take(cols * sizeof(double)));
  a.span_shift = reinterpret_cast<float*>(take(cols * sizeof(float)));
  a.min = reinterpret_cast<float*>(take(cols * sizeof(float)));
  a.max = reinterpret_cast<float*>(take(cols * sizeof(float)));
  a.open = reinterpret_cast<float*>(take(rows_per_block * cols * sizeof(float)));
  return a;
}

bool is_state(const simdnorm_column_state* state) {
  return reinterpret_cast<uintptr_t>(state) % alignment == 0 && state->magic == state_magic &&
         state->bytes == simdnorm_column_state_size(static_cast<size_t>(state->cols), SIMDNORM_F32);
}

template <class Each>
void each_strip(size_t cols, Each each) {
  for (size_t first = 0; first < cols; first += columns_per_strip) {
    each(first, first + columns_per_strip < cols ? first + columns_per_strip : cols);
  }
}

// Adds `rows` real rows of the source, from `row` on, to the open span: whole blocks of it.
void take_blocks(simdnorm_column_state* state, const state_arrays& a, const kernel_table& table,
                 const column_source& source, size_t row, size_t rows) {
  const uint64_t span_count = state->span_count, total_count = state->total_count;
  each_strip(static_cast<size_t>(state->cols), [&](size_t first, size_t last) {
    column_span span{span_count, a.span_shift + first, a.span_sum + first, a.span_squares + first};
    column_fold total{total_count, a.total_mean + first, a.total_m2 + first, a.min + first, a.max + first};
    const column_moments_arguments m{source.x, source.x_stride, source.padding, rows, &span, false, &total, source.far};
    table.column_moments_f32(m, block{row, source.rows, first, last});
    state->span_count = span.count;
    state->total_count = total.count;
  });
}

// Statistics of all rows so far for a strip, the open span and open block included.
struct strip_total {
  uint64_t count;
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  float min[columns_per_strip];
  float max[columns_per_strip];
  column_fold fold() { return {count, mean, m2, min, max}; }
};

void total_of_strip(const simdnorm_column_state* state, const state_arrays& a, const kernel_table& table, size_t first,
                    size_t last, strip_total& out) {
  const size_t cols = last - first;
  memcpy(out.mean, a.total_mean + first, cols * sizeof(double));
  memcpy(out.m2, a.total_m2 + first, cols * sizeof(double));
  column_span span{state->span_count, a.span_shift + first, a.span_sum + first, a.span_squares + first};
  memcpy(out.min, a.min + first, cols * sizeof(float));
  memcpy(out.max, a.max + first, cols * sizeof(float));
  out.count = state->total_count;
  column_fold total = out.fold();
  const size_t rows = static_cast<size_t>(state->open_rows);
  const column_moments_arguments m{a.open, static_cast<ptrdiff_t>(state->cols), {}, rows, &span, true, &total, false};
  table.column_moments_f32(m, block{0, rows, first, last});
  out.count = total.count;
}

}  // namespace

extern "C" {

simdnorm_moments simdnorm_moments_merge(simdnorm_moments a, simdnorm_moments b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  const control_word_scope ieee;
  column_fold left{a.count, &a.mean, &a.m2, nullptr, nullptr};
  const column_fold right{b.count, &b.mean, &b.m2, nullptr, nullptr};
  merge_folds(left, right, 1);
  const bool nan = a.min != a.min || b.min != b.min;
  return {left.count, canonical(a.mean), canonical(a.m2), nan ? __builtin_nan("") : (b.min < a.min ? b.min : a.min),
          nan ? __builtin_nan("") : (b.max > a.max ? b.max : a.max)};
}

size_t simdnorm_column_state_size(size_t cols, simdnorm_type type) {
  if (type != SIMDNORM_F32) return 0;
  // 4 doubles, 3 floats and a block of floats a column, each array rounded up.
  constexpr size_t per_column = 4 * sizeof(double) + (3 + rows_per_block) * sizeof(float);
  if (cols > (static_cast<size_t>(PTRDIFF_MAX) - 4096) / per_column) return 0;
  return offset_of_arrays() + 4 * round_up(cols * sizeof(double)) + 3 * round_up(cols * sizeof(float)) +
         round_up(rows_per_block * cols * sizeof(float));
}

simdnorm_status simdnorm_column_state_init(void* memory, size_t bytes, size_t cols, simdnorm_type type,
                                           simdnorm_column_state** out) {
  if (memory == nullptr || out == nullptr) return SIMDNORM_NULL_POINTER;
  if (type != SIMDNORM_F32) return SIMDNORM_UNSUPPORTED_TYPE;
  const size_t size = simdnorm_column_state_size(cols, type);
  if (size == 0 || bytes < size) return SIMDNORM_INVALID_SHAPE;
  if (reinterpret_cast<uintptr_t>(memory) % alignment != 0) return SIMDNORM_MISALIGNED;
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
  region rx, pad;
  if (const simdnorm_status s = check_matrix(x, rx, false)) return s;
  if (x->cols != state->cols) return SIMDNORM_INVALID_SHAPE;
  if (const simdnorm_status s = check_padding(o.padding, x->rows, x->cols, axis::column, pad)) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  const region own[] = {contiguous(state, static_cast<size_t>(state->bytes))};
  const region read[] = {rx, pad};
  if (const simdnorm_status s = check_apart(own, read)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;

  const control_word_scope ieee;
  const state_arrays a = arrays_of(state);
  const column_source source{x->data, x->row_stride, x->rows, o.padding, beyond_caches(x->rows, x->cols, 2)};
  const size_t cols = x->cols;
  size_t row = 0;

  const auto keep = [&](size_t wanted) {  // copies up to `wanted` real rows into the open block
    while (wanted > 0 && row < source.rows) {
      const row_run run = next_real_run(source.padding, row, source.rows);
      const size_t n = run.last - run.first < wanted ? run.last - run.first : wanted;
      for (size_t i = run.first; i < run.first + n; ++i) {
        const float* from = static_cast<const float*>(source.x) + static_cast<ptrdiff_t>(i) * source.x_stride;
        memcpy(a.open + state->open_rows * cols, from, cols * sizeof(float));
        ++state->open_rows;
      }
      wanted -= n;
      row = run.first + n;
    }
  };

  if (state->open_rows > 0) {
    keep(rows_per_block - static_cast<size_t>(state->open_rows));
    if (state->open_rows < rows_per_block) return SIMDNORM_OK;
    const column_source open{a.open, static_cast<ptrdiff_t>(cols), rows_per_block, {}, false};
    state->open_rows = 0;
    take_blocks(state, a, *table, open, 0, rows_per_block);
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
  uint64_t count = into->total_count;
  each_strip(static_cast<size_t>(into->cols), [&](size_t first, size_t last) {
    strip_total left;
    strip_total right;
    total_of_strip(into, a, *table, first, last, left);
    total_of_strip(from, arrays_of(from), *table, first, last, right);
    column_fold total = left.fold();
    merge_folds(total, right.fold(), last - first);
    memcpy(a.total_mean + first, left.mean, (last - first) * sizeof(double));
    memcpy(a.total_m2 + first, left.m2, (last - first) * sizeof(double));
    memcpy(a.min + first, left.min, (last - first) * sizeof(float));
    memcpy(a.max + first, left.max, (last - first) * sizeof(float));
    count = total.count;
  });
  into->total_count = count;
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
    total_of_strip(state, a, *table, first, last, total);
    for (size_t c = first; c < last; ++c) {
      out[c] = make_moments(total.count, total.mean[c - first], total.m2[c - first], total.min[c - first],
                            total.max[c - first]);
    }
  });
  return SIMDNORM_OK;
}

}  // extern "C"

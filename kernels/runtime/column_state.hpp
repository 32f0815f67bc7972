// SPDX-License-Identifier: Apache-2.0
//
// The state of streaming moments as it lies in memory: plain data, a header, then the arrays it counts out. It
// carries the rows of the open block as they came, with their weights and gaps; a block is worked on when it is
// full, exactly as in one shot.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "table.hpp"

struct simdnorm_column_state {
  uint64_t magic;
  uint64_t bytes;
  uint64_t cols;
  uint64_t span_count;   // rows in the full blocks of the open span
  uint64_t total_count;  // rows in closed spans and merged states
  uint64_t open_rows;    // rows in the open block
  uint64_t masked;       // 1: there were gaps or weights, and columns have counts of their own
  uint64_t reserved;
};

namespace simdnorm {

inline constexpr uint64_t state_magic = 0x336c6f636d726f6eu;  // "normcol3"
inline constexpr size_t state_alignment = 64;

constexpr size_t round_up(size_t n) {
  return (n + state_alignment - 1) / state_alignment * state_alignment;
}

constexpr size_t mark_bytes(size_t cols) {
  return cols / 8 + (cols % 8 != 0);
}

// The counts of columns, and the weights and marks of the open block, mean something only if `masked`.
struct state_arrays {
  double *span_sum, *span_squares, *span_values, *span_weight;
  double *total_mean, *total_m2, *total_values, *total_weight;
  float *span_shift, *min, *max, *open, *open_weights;
  uint8_t* open_marks;
};

inline size_t offset_of_arrays() {
  return round_up(sizeof(simdnorm_column_state));
}

inline state_arrays arrays_of(const simdnorm_column_state* state) {
  const size_t cols = static_cast<size_t>(state->cols);
  char* p = const_cast<char*>(reinterpret_cast<const char*>(state)) + offset_of_arrays();
  const auto take = [&p](size_t bytes) {
    char* here = p;
    p += round_up(bytes);
    return here;
  };
  state_arrays a;
  double** const doubles[] = {&a.span_sum,   &a.span_squares, &a.span_values,  &a.span_weight,
                              &a.total_mean, &a.total_m2,     &a.total_values, &a.total_weight};
  for (double** array : doubles) *array = reinterpret_cast<double*>(take(cols * sizeof(double)));
  float** const floats[] = {&a.span_shift, &a.min, &a.max};
  for (float** array : floats) *array = reinterpret_cast<float*>(take(cols * sizeof(float)));
  a.open = reinterpret_cast<float*>(take(rows_per_block * cols * sizeof(float)));
  a.open_weights = reinterpret_cast<float*>(take(rows_per_block * sizeof(float)));
  a.open_marks = reinterpret_cast<uint8_t*>(take(rows_per_block * mark_bytes(cols)));
  return a;
}

inline bool is_state(const simdnorm_column_state* state) {
  return reinterpret_cast<uintptr_t>(state) % state_alignment == 0 && state->magic == state_magic &&
         state->bytes == simdnorm_column_state_size(static_cast<size_t>(state->cols), SIMDNORM_F32);
}

}  // namespace simdnorm

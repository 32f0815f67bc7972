// SPDX-License-Identifier: Apache-2.0
//
// The C entries of the row-wise norms: check, dispatch, split.
#include "padding.hpp"
#include "runtime/caches.hpp"
#include "runtime/checks.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/rows.hpp"
#include "runtime/split.hpp"
#include "runtime/tiles.hpp"

using namespace simdnorm;

namespace {

[[gnu::noinline]] simdnorm_status check(const row_norm_call& c, types among) noexcept {
  region x, written[3], read[3];
  if (const simdnorm_status s = check_pair(c.x, c.y, x, written[0], among)) return s;
  if (const simdnorm_status s = check_epsilon(c.epsilon)) return s;
  if (const simdnorm_status s = check_vector(c.gamma, c.x->cols, read[0], c.x->type)) return s;
  if (const simdnorm_status s = check_vector(c.beta, c.x->cols, read[1], c.x->type)) return s;
  if (const simdnorm_status s = check_vector(c.mean, c.x->rows, written[1])) return s;
  if (const simdnorm_status s = check_vector(c.rstd, c.x->rows, written[2])) return s;
  if (const simdnorm_status s = check_padding(c.padding, c.x->rows, c.x->cols, axis::row, read[2])) return s;
  if (const simdnorm_status s = check_executor(c.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  return share_bytes(written[1], x) || share_bytes(written[2], x) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

// Whether a right executor has nothing to do: who has threads brings them to calls of one row, too, 16 to 28 ns more by
// the other way.
inline bool is_left_alone(const simdnorm_executor& executor, size_t elements) noexcept {
  return executor.run != nullptr && elements < 2 * elements_per_task;
}

// Whether a call is one of the usual kind, and right: one type, strides that run upwards, gamma and beta
// or none, nothing else asked for, and everything apart or in place. Sums of bits instead of
// branches: 1 to 3 ns less than check, which every other call gets, and which tells what is wrong.
inline bool is_usual(const row_norm_call& c) noexcept {
  if (c.x == nullptr || c.y == nullptr) return false;
  const size_t rows = c.x->rows;
  const size_t cols = c.x->cols;
  const size_t x_stride = static_cast<size_t>(c.x->row_stride);
  const size_t y_stride = static_cast<size_t>(c.y->row_stride);
  const uintptr_t x = reinterpret_cast<uintptr_t>(c.x->data);
  const uintptr_t y = reinterpret_cast<uintptr_t>(c.y->data);
  const uintptr_t gamma = reinterpret_cast<uintptr_t>(c.gamma.data);
  const uintptr_t beta = reinterpret_cast<uintptr_t>(c.beta.data);
  uint64_t epsilon = 0;
  memcpy(&epsilon, &c.epsilon, sizeof epsilon);

  size_t odd = static_cast<uint32_t>(c.x->type ^ SIMDNORM_F32) | static_cast<uint32_t>(c.y->type ^ SIMDNORM_F32);
  odd |= (rows ^ c.y->rows) | (cols ^ c.y->cols);
  odd |= (rows | cols | x_stride | y_stride) >> 30;  // products of two are far from overflow
  odd |= (x | y | gamma | beta) % sizeof(float);
  odd |=
      reinterpret_cast<uintptr_t>(c.mean.data) | c.mean.size | reinterpret_cast<uintptr_t>(c.rstd.data) | c.rstd.size;
  odd |= static_cast<uint32_t>(c.padding.kind) | static_cast<uint32_t>(c.padding.fill);
  odd |= c.executor == nullptr || is_left_alone(*c.executor, rows * cols) ? 0 : 1;  // a product that wraps is odd above
  odd |= gamma != 0 ? (c.gamma.size ^ cols) | static_cast<uint32_t>(c.gamma.type ^ SIMDNORM_F32) : c.gamma.size;
  odd |= beta != 0 ? (c.beta.size ^ cols) | static_cast<uint32_t>(c.beta.type ^ SIMDNORM_F32) : c.beta.size;
  if (odd != 0) return false;

  const size_t bytes = cols * sizeof(float);
  const uintptr_t x_end = x + (rows - 1) * x_stride * sizeof(float) + bytes;
  const uintptr_t y_end = y + (rows - 1) * y_stride * sizeof(float) + bytes;
  const auto apart = [y, y_end, bytes](uintptr_t vector) {
    return (vector == 0) | (vector >= y_end) | (vector + bytes <= y);
  };
  return (rows != 0) & (cols != 0) & (x != 0) & (y != 0) & (x_end > x) & (y_end > y) &
         ((rows == 1) | (y_stride >= cols)) & (epsilon < 0x7ff0000000000000u) &
         ((y >= x_end) | (x >= y_end) | ((x == y) & ((x_stride == y_stride) | (rows == 1)))) & apart(gamma) &
         apart(beta);
}

// Fewer rows than threads, and long ones: each row over all threads.
template <class Kernel>
[[gnu::noinline]] simdnorm_status split_rows(const row_norm_call& c, row_norm_arguments a, Kernel kernel) noexcept {
  const size_t chunks = (a.cols + chunk_elements - 1) / chunk_elements;
  const size_t parts = chunks < c.executor->threads ? chunks : c.executor->threads;
  row_split split;
  a.split = &split;
  for (size_t row = 0; row < c.x->rows; ++row) {
    const auto part = [&](size_t i) {
      const size_t last = (i + 1) * chunks / parts * chunk_elements;
      kernel(a, block{row, row + 1, i * chunks / parts * chunk_elements, last < a.cols ? last : a.cols});
    };
    split.step = row_split::sum_chunks;
    if (const simdnorm_status s = for_tasks(c.executor, parts, part)) return s;
    split.step = row_split::finish;
    {
      const control_word_scope ieee;
      kernel(a, block{row, row + 1, 0, a.cols});
    }
    split.step = row_split::write;
    if (split.written) continue;
    if (const simdnorm_status s = for_tasks(c.executor, parts, part)) return s;
  }
  return SIMDNORM_OK;
}

// Rows of so few halves that of f32 a lane is a row: as f32 in a tile, where they lie. Of 16 rows they take 0.9 to 1.3
// of the time of the halves' own loops, of 32 0.7 to 1.0, of 2,048 rows of 5 columns 0.25 to 0.45.
constexpr size_t least_tiny_halves = 32;
[[gnu::noinline]] simdnorm_status run_tiny_halves(const row_norm_call& c, const row_norm_arguments& a,
                                                  const kernel_table& table, row_kernel slot) noexcept {
  constexpr size_t tile_elements = 2048;
  const simdnorm_type type = c.x->type;
  const size_t n = a.cols, most = tile_elements / n;
  return for_row_blocks(c.executor, c.x->rows, n, [&](size_t first, size_t last) {
    float tile[tile_elements], gamma[tiny_columns], beta[tiny_columns];
    row_norm_arguments floats = a;
    const auto widen_parameter = [&](const void*& data, simdnorm_type& data_type, float* to) {
      if (data == nullptr || data_type == SIMDNORM_F32) return;
      widen_row(table, data, data_type, to, n);
      data = to;
      data_type = SIMDNORM_F32;
    };
    widen_parameter(floats.gamma, floats.gamma_type, gamma);
    widen_parameter(floats.beta, floats.beta_type, beta);
    floats.x = floats.y = tile;
    floats.x_stride = floats.y_stride = static_cast<ptrdiff_t>(n);
    floats.stream = false;
    for (size_t i = first; i < last; i += most) {
      const size_t rows = last - i < most ? last - i : most;
      const auto from = static_cast<ptrdiff_t>(i * n);
      widen_row(table, advanced(a.x, type, from), type, tile, rows * n);
      if (a.mean != nullptr) floats.mean = a.mean + i;
      if (a.rstd != nullptr) floats.rstd = a.rstd + i;
      (table.*slot)(floats, block{0, rows, 0, n});
      table.convert_f32({tile, advanced(a.y, type, from), rows * n, SIMDNORM_F32, type}, block{});
    }
  });
}

// A row of fewer columns stays on one thread: it is forked and joined for its sums and for its outputs. Two threads
// against one, Xeon 167, layer norm; RMS norm: 65,536 columns 0.96; 0.90 times as fast, 98,304 1.03; 1.03,
// 131,072 1.5; 1.15.
constexpr size_t least_split = 3 * elements_per_task;

// Whether lengths of rows leave nothing out: then they are rows like others, which is 0.8 of the time at 64 columns.
bool all_whole(const simdnorm_padding& padding, size_t rows, size_t cols) noexcept {
  size_t i = 0;
  while (i < rows && static_cast<size_t>(length_at(padding, i)) == cols) ++i;
  return i == rows;
}

inline simdnorm_status run_rows(const row_norm_call& c, const row_slots& slots) noexcept {
  const bool usual = is_usual(c);
  if (!usual) [[unlikely]] {
    const bool other = c.x != nullptr && c.y != nullptr && !has_plain(slots, c.x->type, c.y->type, c);
    if (other || masks_elements(c.padding)) return run_fused(c, {}, slots);
    if (const simdnorm_status s = check(c, slots.bf16 != nullptr ? types::f32_and_halves : types::f32)) return s;
  }
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (!usual && (c.x->rows == 0 || c.x->cols == 0)) return SIMDNORM_OK;

  row_norm_arguments a;
  set_arguments(a, c);
  a.split = nullptr;
  a.walk = nullptr;
  const bool half = !usual && c.x->type != SIMDNORM_F32;
  const size_t element = half ? 2 : sizeof(float);
  a.rows_together = rows_together_of(c.x->rows, a.cols, element, l1_bytes());
  a.stream = c.x->rows * a.cols * element >= simdnorm_stream_border();
  auto kernel = table->*slots.f32;
  if (usual) [[likely]] {
    const control_word_scope ieee;
    kernel(a, block{0, c.x->rows, 0, a.cols});
    return SIMDNORM_OK;
  }
  if (half) kernel = table->*slots.of(c.x->type);
  if (c.padding.kind == SIMDNORM_PADDING_ROW_LENGTHS && all_whole(c.padding, c.x->rows, a.cols)) {
    a.padding.kind = SIMDNORM_PADDING_NONE;
  }
  if (a.padding.kind == SIMDNORM_PADDING_ROW_LENGTHS) {  // half as long on average
    a.rows_together = rows_together_of(c.x->rows, a.cols, element, 2 * l1_bytes());
  }
  const auto dense = static_cast<ptrdiff_t>(a.cols);
  if (half && a.cols <= tiny_columns && a.x_stride == dense && a.y_stride == dense && c.x->rows >= least_tiny_halves &&
      a.padding.kind == SIMDNORM_PADDING_NONE) {
    return run_tiny_halves(c, a, *table, slots.f32);
  }
  // gamma or beta alone have no kernel that does a part of a row.
  const bool whole = slots.has_beta && (c.gamma.data == nullptr) != (c.beta.data == nullptr);
  if (!half && !whole && is_parallel(c.executor) && a.padding.kind == SIMDNORM_PADDING_NONE &&
      c.x->rows < c.executor->threads && a.cols >= least_split && a.cols <= most_chunks * chunk_elements) {
    return split_rows(c, a, kernel);
  }
  return for_row_blocks(c.executor, c.x->rows, a.cols, [&a, kernel](size_t first, size_t last) {
    kernel(a, block{first, last, 0, a.cols});
  });
}

}  // namespace

simdnorm_status simdnorm::run_plain(const row_norm_call& c, const row_slots& slots) noexcept {
  return run_rows(c, slots);
}

extern "C" {

simdnorm_status simdnorm_layer_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                    const simdnorm_layer_norm_options* options) {
  simdnorm_layer_norm_options storage;
  const simdnorm_layer_norm_options* o = read_layer_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if (o->activation != SIMDNORM_ACTIVATION_NONE || o->quantization != nullptr) [[unlikely]] {
    return run_fused({x, y, o->epsilon, o->gamma, o->beta, o->mean, o->rstd, o->padding, o->executor},
                     {.activation = o->activation, .quantization = o->quantization}, layer_norm_slots);
  }
  return run_rows({x, y, o->epsilon, o->gamma, o->beta, o->mean, o->rstd, o->padding, o->executor}, layer_norm_slots);
}

simdnorm_status simdnorm_rms_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                  const simdnorm_rms_norm_options* options) {
  simdnorm_rms_norm_options storage;
  const simdnorm_rms_norm_options* o = read_rms_norm(options, storage);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if ((o->activation | o->rounding | o->add_unit_offset) != 0 || o->quantization != nullptr) [[unlikely]] {
    return run_fused({x, y, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor},
                     {.activation = o->activation,
                      .rounding = o->rounding,
                      .unit_offset = o->add_unit_offset != 0,
                      .quantization = o->quantization},
                     rms_norm_slots);
  }
  return run_rows({x, y, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor}, rms_norm_slots);
}

simdnorm_status simdnorm_l2_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                 const simdnorm_l2_norm_options* options) {
  simdnorm_l2_norm_options storage;
  const simdnorm_l2_norm_options* o = read_options(options, storage, simdnorm_l2_norm_defaults);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  return run_rows({x, y, o->epsilon, no_input, no_input, no_output, o->norm, o->padding, o->executor}, l2_norm_slots);
}

}  // extern "C"

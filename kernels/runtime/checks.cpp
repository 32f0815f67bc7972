// SPDX-License-Identifier: Apache-2.0
#include "runtime/checks.hpp"

#include "padding.hpp"

namespace simdnorm {
namespace {

constexpr size_t largest = static_cast<size_t>(PTRDIFF_MAX);

template <class Matrix>
simdnorm_status check_matrix(const Matrix* m, region& r, bool output) noexcept {
  r = {};
  if (m == nullptr) return SIMDNORM_NULL_POINTER;
  if (m->type != SIMDNORM_F32) return SIMDNORM_UNSUPPORTED_TYPE;
  if (m->rows == 0 || m->cols == 0) return SIMDNORM_OK;
  if (m->data == nullptr) return SIMDNORM_NULL_POINTER;
  r.first = reinterpret_cast<uintptr_t>(m->data);
  if (r.first % sizeof(float) != 0) return SIMDNORM_MISALIGNED;

  // The whole view, first byte to last, must fit into the address space.
  const ptrdiff_t stride = m->rows > 1 ? m->row_stride : 0;
  if (stride == PTRDIFF_MIN) return SIMDNORM_INVALID_SHAPE;
  const size_t step = static_cast<size_t>(stride < 0 ? -stride : stride);
  if (output && m->rows > 1 && step < m->cols) return SIMDNORM_INVALID_STRIDE;
  size_t elements = 0;
  if (m->cols > largest / sizeof(float) || __builtin_mul_overflow(m->rows - 1, step, &elements) ||
      __builtin_add_overflow(elements, m->cols, &elements) || elements > largest / sizeof(float)) {
    return SIMDNORM_INVALID_SHAPE;
  }
  const size_t before = stride < 0 ? (m->rows - 1) * step * sizeof(float) : 0;
  const size_t after = elements * sizeof(float) - before;
  if (before > r.first || after > UINTPTR_MAX - r.first) return SIMDNORM_INVALID_SHAPE;
  r.rows = m->rows;
  r.row_bytes = m->cols * sizeof(float);
  r.stride_bytes = stride * static_cast<ptrdiff_t>(sizeof(float));
  return SIMDNORM_OK;
}

struct range {
  uintptr_t first, last;  // half open
};

range bounds(const region& r) {
  const ptrdiff_t span = static_cast<ptrdiff_t>(r.rows - 1) * r.stride_bytes;
  const uintptr_t other = r.first + static_cast<uintptr_t>(span);
  return {span < 0 ? other : r.first, (span < 0 ? r.first : other) + r.row_bytes};
}

bool meet(range a, range b) {
  return a.first < b.last && b.first < a.last;
}

}  // namespace

simdnorm_status check_input(const simdnorm_const_matrix* m, region& r) noexcept {
  return check_matrix(m, r, false);
}
simdnorm_status check_output(const simdnorm_matrix* m, region& r) noexcept {
  return check_matrix(m, r, true);
}

simdnorm_status check_pair(const simdnorm_const_matrix* x, const simdnorm_matrix* y, region& rx, region& ry) noexcept {
  if (const simdnorm_status s = check_input(x, rx)) return s;
  if (const simdnorm_status s = check_output(y, ry)) return s;
  if (x->rows != y->rows || x->cols != y->cols) return SIMDNORM_INVALID_SHAPE;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;
  const bool in_place = rx.first == ry.first && rx.stride_bytes == ry.stride_bytes;
  return !in_place && share_bytes(rx, ry) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

simdnorm_status check_padding(const simdnorm_padding& p, size_t rows, size_t cols, axis over, region& r) noexcept {
  r = {};
  if (p.fill != SIMDNORM_FILL_ZERO && p.fill != SIMDNORM_FILL_KEEP) return SIMDNORM_INVALID_PADDING;
  if (p.kind == SIMDNORM_PADDING_NONE) return SIMDNORM_OK;

  size_t most = 0;  // the greatest length allowed; 0 for masks
  switch (p.kind) {
    case SIMDNORM_PADDING_ROW_LENGTHS:
      if (over != axis::row || p.size != rows) return SIMDNORM_INVALID_PADDING;
      most = cols;
      break;
    case SIMDNORM_PADDING_ROW_MASK:
      if (p.size != rows) return SIMDNORM_INVALID_PADDING;
      break;
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS: {
      size_t tokens = 0;
      if (__builtin_mul_overflow(p.size, p.tokens, &tokens) || tokens != rows) return SIMDNORM_INVALID_PADDING;
      most = p.tokens;
      break;
    }
    default:
      return SIMDNORM_INVALID_PADDING;
  }
  if (p.size == 0) return SIMDNORM_OK;
  if (p.data == nullptr) return SIMDNORM_NULL_POINTER;
  if (p.kind == SIMDNORM_PADDING_ROW_MASK) {
    return check_array(static_cast<const uint8_t*>(p.data), p.size, r);
  }
  if (p.index_type != SIMDNORM_I32 && p.index_type != SIMDNORM_I64) return SIMDNORM_INVALID_PADDING;
  const simdnorm_status s = p.index_type == SIMDNORM_I64 ? check_array(static_cast<const int64_t*>(p.data), p.size, r)
                                                         : check_array(static_cast<const int32_t*>(p.data), p.size, r);
  if (s) return s;
  for (size_t i = 0; i < p.size; ++i) {
    const int64_t length = length_at(p, i);
    if (length < 0 || static_cast<uint64_t>(length) > most) return SIMDNORM_INVALID_LENGTH;
  }
  return SIMDNORM_OK;
}

simdnorm_status check_executor(const simdnorm_executor* executor) noexcept {
  return executor != nullptr && executor->threads > 1 && executor->run == nullptr ? SIMDNORM_INVALID_EXECUTOR
                                                                                  : SIMDNORM_OK;
}

simdnorm_status check_epsilon(double epsilon) noexcept {
  return epsilon >= 0.0 && epsilon <= 1.7976931348623157e308 ? SIMDNORM_OK : SIMDNORM_INVALID_EPSILON;
}

bool share_bytes(const region& a, const region& b) noexcept {
  if (a.rows == 0 || a.row_bytes == 0 || b.rows == 0 || b.row_bytes == 0) return false;
  const range ra = bounds(a);
  const range rb = bounds(b);
  if (!meet(ra, rb)) return false;
  // The views are interleaved at most. Each row of one is held against the rows of the other that
  // can reach it; b is made to run upwards, and steps by at least its own length or not at all.
  const uintptr_t b_first = rb.first;
  const size_t b_step = static_cast<size_t>(b.stride_bytes < 0 ? -b.stride_bytes : b.stride_bytes);
  const size_t a_rows = a.stride_bytes == 0 ? 1 : a.rows;
  for (size_t i = 0; i < a_rows; ++i) {
    const uintptr_t first = a.first + static_cast<uintptr_t>(static_cast<ptrdiff_t>(i) * a.stride_bytes);
    const range row{first, first + a.row_bytes};
    if (!meet(row, rb)) continue;
    if (b_step == 0) return true;  // every row of b is the range rb
    // The first row of b whose end lies behind this row's start.
    const uintptr_t past = row.first + 1;
    const uintptr_t b_end = b_first + b.row_bytes;
    const size_t j = past > b_end ? (past - b_end + b_step - 1) / b_step : 0;
    if (j < b.rows && b_first + j * b_step < row.last) return true;
  }
  return false;
}

simdnorm_status check_apart(const region* outputs, size_t output_count, const region* inputs,
                            size_t input_count) noexcept {
  for (size_t i = 0; i < output_count; ++i) {
    for (size_t k = i + 1; k < output_count; ++k) {
      if (share_bytes(outputs[i], outputs[k])) return SIMDNORM_OVERLAP;
    }
    for (size_t k = 0; k < input_count; ++k) {
      if (share_bytes(outputs[i], inputs[k])) return SIMDNORM_OVERLAP;
    }
  }
  return SIMDNORM_OK;
}

}  // namespace simdnorm

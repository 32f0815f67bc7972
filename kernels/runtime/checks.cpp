// SPDX-License-Identifier: Apache-2.0
#include "runtime/checks.hpp"

#include "padding.hpp"

namespace simdnorm {

simdnorm_status check_mask(const simdnorm_padding& p, size_t rows, size_t cols, axis over, region& r) noexcept {
  size_t bytes = 0;  // of a mask
  size_t most = 0;   // the greatest length or offset
  const bool offsets = p.kind == SIMDNORM_PADDING_OFFSETS;
  switch (p.kind) {
    case SIMDNORM_PADDING_ROW_LENGTHS:
      if (over != axis::row || p.size != rows) return SIMDNORM_INVALID_PADDING;
      most = cols;
      break;
    case SIMDNORM_PADDING_ROW_MASK:
    case SIMDNORM_PADDING_ROW_MASK_BITS:
      if (p.size != rows) return SIMDNORM_INVALID_PADDING;
      bytes = p.kind == SIMDNORM_PADDING_ROW_MASK ? rows : rows / 8 + (rows % 8 != 0);
      break;
    case SIMDNORM_PADDING_ELEMENT_MASK:
    case SIMDNORM_PADDING_ELEMENT_MASK_BITS: {
      size_t elements = 0;
      if (__builtin_mul_overflow(rows, cols, &elements) || p.size != elements) return SIMDNORM_INVALID_PADDING;
      bytes = p.kind == SIMDNORM_PADDING_ELEMENT_MASK ? elements : rows * (cols / 8 + (cols % 8 != 0));
      break;
    }
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS: {
      size_t tokens = 0;
      if (__builtin_mul_overflow(p.size, p.tokens, &tokens) || tokens != rows) return SIMDNORM_INVALID_PADDING;
      most = p.tokens;
      break;
    }
    case SIMDNORM_PADDING_OFFSETS:
      if (p.size == 0) return SIMDNORM_INVALID_PADDING;
      most = rows;
      break;
    default:
      return SIMDNORM_INVALID_PADDING;
  }
  if (p.size == 0) return SIMDNORM_OK;
  if (p.data == nullptr) return SIMDNORM_NULL_POINTER;
  if (bytes > 0) return check_array(static_cast<const uint8_t*>(p.data), bytes, r);
  if (p.index_type != SIMDNORM_I32 && p.index_type != SIMDNORM_I64) return SIMDNORM_INVALID_PADDING;
  const simdnorm_status s = p.index_type == SIMDNORM_I64 ? check_array(static_cast<const int64_t*>(p.data), p.size, r)
                                                         : check_array(static_cast<const int32_t*>(p.data), p.size, r);
  if (s) return s;
  int64_t least = 0;  // no length is below; offsets do not fall
  for (size_t i = 0; i < p.size; ++i) {
    const int64_t length = length_at(p, i);
    if (length < least || static_cast<uint64_t>(length) > most) return SIMDNORM_INVALID_LENGTH;
    if (offsets) least = length;
  }
  return SIMDNORM_OK;
}

simdnorm_status check_weights(const simdnorm_const_vector& weights, size_t rows, region& r) noexcept {
  if (const simdnorm_status s = check_vector(weights, rows, r)) return s;
  if (weights.data == nullptr) return SIMDNORM_OK;
  const auto* w = static_cast<const float*>(weights.data);
  int bad = 0;
  for (size_t i = 0; i < rows; ++i) bad |= !((w[i] >= 0.0f) & (w[i] <= 3.402823466e+38f));
  return bad ? SIMDNORM_INVALID_WEIGHT : SIMDNORM_OK;
}

bool share_bytes_inside(const region& a, const region& b) noexcept {
  // The views are interleaved at most. Each row of one is held against the rows of the other that
  // can reach it; b is made to run upwards.
  const size_t b_step = static_cast<size_t>(b.stride_bytes < 0 ? -b.stride_bytes : b.stride_bytes);
  const size_t a_rows = a.stride_bytes == 0 ? 1 : a.rows;
  for (size_t i = 0; i < a_rows; ++i) {
    const uintptr_t first = a.first + static_cast<uintptr_t>(static_cast<ptrdiff_t>(i) * a.stride_bytes);
    const uintptr_t last = first + a.row_bytes;
    if (first >= b.high || b.low >= last) continue;
    if (b_step == 0) return true;  // every row of b is all of b
    // The first row of b whose end lies behind this row's start.
    const uintptr_t b_end = b.low + b.row_bytes;
    const size_t j = first + 1 > b_end ? (first + 1 - b_end + b_step - 1) / b_step : 0;
    if (j < b.rows && b.low + j * b_step < last) return true;
  }
  return false;
}

}  // namespace simdnorm

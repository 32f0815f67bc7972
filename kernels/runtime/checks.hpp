// SPDX-License-Identifier: Apache-2.0
//
// Argument checks: pure functions, called before anything is written.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "built_types.hpp"
#include "byte_types.hpp"
#include "simdnorm/simdnorm.h"

namespace simdnorm {

// Memory as rows of bytes: what overlap is judged by. Its bytes are in [low, high); an empty region
// has low == high == 0.
struct region {
  uintptr_t low, high;
  uintptr_t first;  // of row 0
  size_t rows, row_bytes;
  ptrdiff_t stride_bytes;
};

inline region contiguous(const void* data, size_t bytes) noexcept {
  const uintptr_t first = reinterpret_cast<uintptr_t>(data);
  return {first, first + bytes, first, 1, bytes, 0};
}

// The caller's options, whole: the caller's own struct where it is of our size, the usual case; else
// `storage`, filled with the defaults and what the caller has. in == null: the defaults. A struct that
// is longer than ours (a newer caller) must be zero where we do not know it. Null:
// SIMDNORM_INVALID_STRUCT. first_size is the struct's size in the first release that had it.
template <class Options>
inline const Options* read_options(const Options* in, Options& storage, Options (*defaults)(),
                                   size_t first_size = sizeof(Options)) noexcept {
  if (in != nullptr && in->struct_size == sizeof(Options)) [[likely]]
    return in;
  storage = defaults();
  if (in == nullptr) return &storage;
  const size_t size = in->struct_size;
  if (size < first_size) return nullptr;
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(Options); i < size; ++i) {
    if (bytes[i] != 0) return nullptr;
  }
  memcpy(&storage, in, size < sizeof(Options) ? size : sizeof(Options));
  return &storage;
}

// Of simdnorm_batch_norm_options, before it had an activation.
inline constexpr size_t first_batch_norm_size = offsetof(simdnorm_batch_norm_options, activation);

inline constexpr size_t largest_size = static_cast<size_t>(PTRDIFF_MAX);

// Which element types a norm has kernels for. mixed: f32 and halves, x, y and residual each of its own;
// halves_and_bytes: an output beside these.
enum class types { f32, f32_and_halves, mixed, halves_and_bytes, f64 };

// Bytes of an element; 0: not among the types, or not built.
inline size_t element_size(simdnorm_type type, types among) noexcept {
  if (among == types::f64) return builds_f64 && type == SIMDNORM_F64 ? sizeof(double) : 0;
  if (type == SIMDNORM_F32) return sizeof(float);
  if (among == types::f32) return 0;
  if ((builds_bf16 && type == SIMDNORM_BF16) || (builds_f16 && type == SIMDNORM_F16)) return 2;
  return among == types::halves_and_bytes && is_byte(type) ? 1 : 0;
}

// Shape, type, alignment and stride of one view; fills its region. `Matrix` is either kind.
template <class Matrix>
inline simdnorm_status check_matrix(const Matrix* m, region& r, bool output, types among = types::f32) noexcept {
  r = {};
  if (m == nullptr) return SIMDNORM_NULL_POINTER;
  const size_t size = element_size(m->type, among);
  if (size == 0) return SIMDNORM_UNSUPPORTED_TYPE;
  if (m->rows == 0 || m->cols == 0) return SIMDNORM_OK;
  if (m->data == nullptr) return SIMDNORM_NULL_POINTER;
  r.first = reinterpret_cast<uintptr_t>(m->data);
  if (r.first % size != 0) return SIMDNORM_MISALIGNED;

  // The whole view, first byte to last, must fit into the address space.
  const ptrdiff_t stride = m->rows > 1 ? m->row_stride : 0;
  if (stride == PTRDIFF_MIN) return SIMDNORM_INVALID_SHAPE;
  const size_t step = static_cast<size_t>(stride < 0 ? -stride : stride);
  if (output && m->rows > 1 && step < m->cols) return SIMDNORM_INVALID_STRIDE;
  size_t elements = 0;
  if (m->cols > largest_size / size || __builtin_mul_overflow(m->rows - 1, step, &elements) ||
      __builtin_add_overflow(elements, m->cols, &elements) || elements > largest_size / size) {
    return SIMDNORM_INVALID_SHAPE;
  }
  const size_t before = stride < 0 ? (m->rows - 1) * step * size : 0;
  const size_t after = elements * size - before;
  if (before > r.first || after > UINTPTR_MAX - r.first) return SIMDNORM_INVALID_SHAPE;
  r.low = r.first - before;
  r.high = r.first + after;
  r.rows = m->rows;
  r.row_bytes = m->cols * size;
  r.stride_bytes = stride * static_cast<ptrdiff_t>(size);
  return SIMDNORM_OK;
}

// Whether some byte of two regions whose bounds meet belongs to both.
bool share_bytes_inside(const region& a, const region& b) noexcept;

inline bool share_bytes(const region& a, const region& b) noexcept {
  return a.low < b.high && b.low < a.high && share_bytes_inside(a, b);
}

// Whether two views are one, element by element.
inline bool same_place(const region& a, const region& b) noexcept {
  return a.first == b.first && a.stride_bytes == b.stride_bytes && a.row_bytes == b.row_bytes;
}

// x and y of one call: both valid, of one shape, and y is x or apart from it.
inline simdnorm_status check_pair(const simdnorm_const_matrix* x, const simdnorm_matrix* y, region& rx, region& ry,
                                  types among = types::f32) noexcept {
  if (const simdnorm_status s = check_matrix(x, rx, false, among)) return s;
  if (const simdnorm_status s = check_matrix(y, ry, true, among)) return s;
  if (x->type != y->type && among != types::mixed) return SIMDNORM_UNSUPPORTED_TYPE;
  if (x->rows != y->rows || x->cols != y->cols) return SIMDNORM_INVALID_SHAPE;
  return !same_place(rx, ry) && share_bytes(rx, ry) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

// A vector of `size` elements of one of these types; null is fine (an empty region). `Vector` is either kind.
template <class Vector>
inline simdnorm_status check_vector(const Vector& v, size_t size, region& r, types among) noexcept {
  r = {};
  if (v.data == nullptr) return v.size == 0 || size == 0 ? SIMDNORM_OK : SIMDNORM_NULL_POINTER;
  const size_t bytes = element_size(v.type, among);
  if (bytes == 0) return SIMDNORM_UNSUPPORTED_TYPE;
  if (v.size != size) return SIMDNORM_INVALID_SHAPE;
  r = contiguous(v.data, size * bytes);
  return r.first % bytes == 0 ? SIMDNORM_OK : SIMDNORM_MISALIGNED;
}

// The same of f32 or `other`; null is fine (an empty region). `Vector` is either kind.
template <class Vector>
inline simdnorm_status check_vector(const Vector& v, size_t size, region& r,
                                    simdnorm_type other = SIMDNORM_F32) noexcept {
  r = {};
  if (v.data == nullptr) return v.size == 0 || size == 0 ? SIMDNORM_OK : SIMDNORM_NULL_POINTER;
  return v.type != SIMDNORM_F32 && v.type != other ? SIMDNORM_UNSUPPORTED_TYPE
                                                   : check_vector(v, size, r, types::f32_and_halves);
}

// Of a call whose x is f64: a vector of `size` doubles, or, if it is read, floats; null is fine.
template <class Vector>
simdnorm_status check_doubles(const Vector& v, size_t size, bool is_read, region& r) noexcept {
  r = {};
  if (v.data == nullptr) return v.size == 0 || size == 0 ? SIMDNORM_OK : SIMDNORM_NULL_POINTER;
  if (v.type != SIMDNORM_F64 && !(is_read && v.type == SIMDNORM_F32)) return SIMDNORM_UNSUPPORTED_TYPE;
  if (v.size != size) return SIMDNORM_INVALID_SHAPE;
  const size_t bytes = v.type == SIMDNORM_F64 ? sizeof(double) : sizeof(float);
  r = contiguous(v.data, size * bytes);
  return r.first % bytes == 0 ? SIMDNORM_OK : SIMDNORM_MISALIGNED;
}

// Beside an x of this type: one that is read may have floats beside doubles, and halves else; one that is written is
// f32.
template <class Vector>
simdnorm_status check_vector_beside(simdnorm_type x, const Vector& v, size_t size, bool is_read, region& r) noexcept {
  if (x == SIMDNORM_F64) return check_doubles(v, size, is_read, r);
  return is_read ? check_vector(v, size, r, types::mixed) : check_vector(v, size, r);
}

// A required array of `size` elements.
template <class T>
inline simdnorm_status check_array(const T* p, size_t size, region& r) noexcept {
  r = {};
  if (size == 0) return SIMDNORM_OK;
  if (p == nullptr) return SIMDNORM_NULL_POINTER;
  r = contiguous(p, size * sizeof(T));
  return r.first % alignof(T) == 0 ? SIMDNORM_OK : SIMDNORM_MISALIGNED;
}

enum class axis { row, column };

// The padding of a norm over this axis, of another kind than none; its lengths are looked at, one by
// one.
simdnorm_status check_mask(const simdnorm_padding& padding, size_t rows, size_t cols, axis over, region& r) noexcept;

inline simdnorm_status check_padding(const simdnorm_padding& p, size_t rows, size_t cols, axis over,
                                     region& r) noexcept {
  r = {};
  if (p.fill != SIMDNORM_FILL_ZERO && p.fill != SIMDNORM_FILL_KEEP) return SIMDNORM_INVALID_PADDING;
  return p.kind == SIMDNORM_PADDING_NONE ? SIMDNORM_OK : check_mask(p, rows, cols, over, r);
}

// Optional weights of rows: each is finite and not negative.
simdnorm_status check_weights(const simdnorm_const_vector& weights, size_t rows, region& r) noexcept;

inline simdnorm_status check_executor(const simdnorm_executor* executor) noexcept {
  return executor != nullptr && executor->threads > 1 && executor->run == nullptr ? SIMDNORM_INVALID_EXECUTOR
                                                                                  : SIMDNORM_OK;
}

inline simdnorm_status check_epsilon(double epsilon) noexcept {
  return epsilon >= 0.0 && epsilon <= 1.7976931348623157e308 ? SIMDNORM_OK : SIMDNORM_INVALID_EPSILON;
}

// SIMDNORM_OVERLAP if an output shares a byte with another output or with an input. x and y of a
// matrix call are judged by check_pair instead.
template <size_t Outputs, size_t Inputs>
inline simdnorm_status check_apart(const region (&outputs)[Outputs], const region (&inputs)[Inputs]) noexcept {
  for (size_t i = 0; i < Outputs; ++i) {
    if (outputs[i].high == 0) continue;
    for (size_t k = i + 1; k < Outputs; ++k) {
      if (share_bytes(outputs[i], outputs[k])) return SIMDNORM_OVERLAP;
    }
    for (size_t k = 0; k < Inputs; ++k) {
      if (share_bytes(outputs[i], inputs[k])) return SIMDNORM_OVERLAP;
    }
  }
  return SIMDNORM_OK;
}

}  // namespace simdnorm

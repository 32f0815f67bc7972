// SPDX-License-Identifier: Apache-2.0
//
// Argument checks: pure functions, called before anything is written.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simdnorm/simdnorm.h"

namespace simdnorm {

// Memory as rows of bytes: what overlap is judged by. rows == 0 or row_bytes == 0: nothing.
struct region {
  uintptr_t first;  // of row 0
  size_t rows, row_bytes;
  ptrdiff_t stride_bytes;
};

// Copies the caller's options over `out`, which holds the defaults; in == null leaves them.
// A struct that is longer than ours (a newer caller) must be zero where we do not know it.
// first_size is the struct's size in the first release that had it.
template <class Options>
simdnorm_status read_options(const Options* in, Options& out, size_t first_size) noexcept {
  if (in == nullptr) return SIMDNORM_OK;
  const size_t size = in->struct_size;
  if (size < first_size) return SIMDNORM_INVALID_STRUCT;
  const auto* bytes = reinterpret_cast<const unsigned char*>(in);
  for (size_t i = sizeof(Options); i < size; ++i) {
    if (bytes[i] != 0) return SIMDNORM_INVALID_STRUCT;
  }
  memcpy(&out, in, size < sizeof(Options) ? size : sizeof(Options));
  return SIMDNORM_OK;
}

// Shape, type, alignment and stride of one view; fills its region.
simdnorm_status check_input(const simdnorm_const_matrix* m, region& r) noexcept;
simdnorm_status check_output(const simdnorm_matrix* m, region& r) noexcept;

// x and y of one call: both valid, of one shape, and y is x or apart from it.
simdnorm_status check_pair(const simdnorm_const_matrix* x, const simdnorm_matrix* y, region& rx, region& ry) noexcept;

// A vector of `size` elements; null is fine (an empty region). `Vector` is either kind.
template <class Vector>
simdnorm_status check_vector(const Vector& v, size_t size, region& r) noexcept {
  r = {};
  if (v.data == nullptr) return v.size == 0 || size == 0 ? SIMDNORM_OK : SIMDNORM_NULL_POINTER;
  if (v.type != SIMDNORM_F32) return SIMDNORM_UNSUPPORTED_TYPE;
  if (v.size != size) return SIMDNORM_INVALID_SHAPE;
  r.first = reinterpret_cast<uintptr_t>(v.data);
  if (r.first % sizeof(float) != 0) return SIMDNORM_MISALIGNED;
  r.rows = 1;
  r.row_bytes = size * sizeof(float);
  return SIMDNORM_OK;
}

// A required array of `size` elements.
template <class T>
simdnorm_status check_array(const T* p, size_t size, region& r) noexcept {
  r = {};
  if (size == 0) return SIMDNORM_OK;
  if (p == nullptr) return SIMDNORM_NULL_POINTER;
  r.first = reinterpret_cast<uintptr_t>(p);
  if (r.first % alignof(T) != 0) return SIMDNORM_MISALIGNED;
  r.rows = 1;
  r.row_bytes = size * sizeof(T);
  return SIMDNORM_OK;
}

enum class axis { row, column };

// The padding of a norm over this axis; its lengths are looked at, one by one.
simdnorm_status check_padding(const simdnorm_padding& padding, size_t rows, size_t cols, axis over, region& r) noexcept;

simdnorm_status check_executor(const simdnorm_executor* executor) noexcept;
simdnorm_status check_epsilon(double epsilon) noexcept;

// Whether some byte belongs to both.
bool share_bytes(const region& a, const region& b) noexcept;

// SIMDNORM_OVERLAP if an output shares a byte with another output or with an input. x and y of a
// matrix call are judged by check_pair instead.
simdnorm_status check_apart(const region* outputs, size_t output_count, const region* inputs,
                            size_t input_count) noexcept;

}  // namespace simdnorm

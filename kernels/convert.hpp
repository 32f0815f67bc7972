// SPDX-License-Identifier: Apache-2.0
//
// convert: rows of an element type to another, one of them f32. What the lanes' loads and stores do, alone; a NaN that
// is narrowed is canonical. Tiles of columns and channels pass through it (runtime/tiles.hpp).
#pragma once

#include "built_types.hpp"
#include "element.hpp"
#include "inline.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L, class From, class To>
[[gnu::noinline]] void convert_elements(const From* from, To* to, size_t n) {
  if (n < L::width) return L::store_n(to, L::load_n(from, n), n);
  size_t i = 0;
  for (; i + 2 * L::width <= n; i += 2 * L::width) {
    const typename L::f32 even = L::load(from + i), odd = L::load(from + i + L::width);
    L::store(to + i, even);
    L::store(to + i + L::width, odd);
  }
  if (i + L::width <= n) L::store(to + i, L::load(from + i));
  // The last register overlaps the one before: a part of one costs as much as six whole.
  if (n % L::width != 0) L::store(to + n - L::width, L::load(from + n - L::width));
}

// The same past the caches, of whole lines.
template <class L, class From, class To>
[[gnu::noinline]] void stream_elements(const From* from, To* to, size_t n) {
  for (size_t i = 0; i < n; i += L::width) L::stream(to + i, L::load(from + i));
}

template <class L, class From, class To>
SIMDNORM_INLINE void convert_rows(const convert_arguments& a) {
  constexpr size_t line = 64;
  const auto* from = static_cast<const From*>(a.from);
  auto* to = static_cast<To*>(a.to);
  size_t n = a.n, rows = a.rows;
  const auto width = static_cast<ptrdiff_t>(n);
  if (a.from_stride == width && a.to_stride == width) {
    n = n * rows;
    rows = 1;
  }
  for (size_t r = 0; r < rows; ++r, from += a.from_stride, to += a.to_stride) {
    if (a.fetch != 0) {
      for (size_t i = 0; i < n; i += line / sizeof(From)) L::prefetch(from + a.fetch + i);
    }
    if (L::streams && a.stream && (reinterpret_cast<uintptr_t>(to) | n * sizeof(To)) % line == 0) {
      stream_elements<L>(from, to, n);
    } else {
      convert_elements<L>(from, to, n);
    }
  }
  if (a.stream) L::fence();
}

// Of an element.
SIMDNORM_INLINE size_t bytes_of(simdnorm_type type) {
  if (type == SIMDNORM_F32) return 4;
  return type == SIMDNORM_BF16 || type == SIMDNORM_F16 ? 2 : 1;
}

SIMDNORM_INLINE const void* element_at(const void* p, simdnorm_type type, ptrdiff_t i) {
  return static_cast<const char*>(p) + i * static_cast<ptrdiff_t>(bytes_of(type));
}

// Out of line: for kernels that look at their x themselves.
template <class L>
[[gnu::noinline]] void widen_elements(const void* from, simdnorm_type type, float* to, size_t n) {
  if (builds_bf16 && type == SIMDNORM_BF16) return convert_elements<L>(static_cast<const bf16*>(from), to, n);
  if (builds_f16 && type == SIMDNORM_F16) return convert_elements<L>(static_cast<const f16*>(from), to, n);
  convert_elements<L>(static_cast<const float*>(from), to, n);
}

template <class L, class>
inline void convert(const convert_arguments& a, const block&) {
  if (builds_bf16 && a.from_type == SIMDNORM_BF16) return convert_rows<L, bf16, float>(a);
  if (builds_f16 && a.from_type == SIMDNORM_F16) return convert_rows<L, f16, float>(a);
  if (builds_bf16 && a.to_type == SIMDNORM_BF16) return convert_rows<L, float, bf16>(a);
  if (builds_f16 && a.to_type == SIMDNORM_F16) return convert_rows<L, float, f16>(a);
  convert_rows<L, float, float>(a);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

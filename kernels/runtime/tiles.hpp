// SPDX-License-Identifier: Apache-2.0
//
// Column and channel kernels over f32, bf16 and f16. The kernels take f32; x and y of another type go through them tile
// by tile, in f32 on the stack, widened before and rounded once after (the kernel convert). So a half's result is that
// of the float that it is, and there is one copy of each kernel.
#pragma once

#include <stddef.h>

#include "table.hpp"

namespace simdnorm {

inline size_t bytes_of(simdnorm_type type) noexcept {
  return type == SIMDNORM_F32 ? sizeof(float) : 2;
}

inline const void* advanced(const void* p, simdnorm_type type, ptrdiff_t elements) noexcept {
  return static_cast<const char*>(p) + elements * static_cast<ptrdiff_t>(bytes_of(type));
}
inline void* advanced(void* p, simdnorm_type type, ptrdiff_t elements) noexcept {
  return static_cast<char*>(p) + elements * static_cast<ptrdiff_t>(bytes_of(type));
}

// One row of `type` as f32.
void widen_row(const kernel_table& table, const void* from, simdnorm_type type, float* to, size_t n) noexcept;

void moments_of_tiles(const kernel_table& table, const column_moments_masked_arguments& m, bool masked,
                      const block& b) noexcept;
void extremes_of_tiles(const kernel_table& table, const column_extremes_arguments& a, const block& b) noexcept;
void affine_of_tiles(const kernel_table& table, const column_affine_arguments& a, const block& b) noexcept;
void affine_of_tiles(const kernel_table& table, const channel_rows_affine_arguments& a, const block& b) noexcept;
void affine_of_tiles(const kernel_table& table, const channel_affine_arguments& a, const block& b) noexcept;

// The kernel of the arguments, whatever their types.
inline void run(const kernel_table& table, const column_moments_arguments& a, const block& b) noexcept {
  if (a.x_type == SIMDNORM_F32) [[likely]]
    return table.column_moments_f32(a, b);
  moments_of_tiles(table, {a, {}, nullptr}, false, b);
}
inline void run(const kernel_table& table, const column_moments_masked_arguments& m, const block& b) noexcept {
  if (m.rows.x_type == SIMDNORM_F32) [[likely]]
    return table.column_moments_masked_f32(m, b);
  moments_of_tiles(table, m, true, b);
}
inline void run(const kernel_table& table, const column_extremes_arguments& a, const block& b) noexcept {
  if (a.x_type == SIMDNORM_F32) [[likely]]
    return table.column_extremes_f32(a, b);
  extremes_of_tiles(table, a, b);
}
inline void run(const kernel_table& table, const column_affine_arguments& a, const block& b) noexcept {
  if (a.x_type == SIMDNORM_F32 && a.y_type == SIMDNORM_F32) [[likely]]
    return table.column_affine_f32(a, b);
  affine_of_tiles(table, a, b);
}
inline void run(const kernel_table& table, const channel_rows_affine_arguments& a, const block& b) noexcept {
  if (a.x_type == SIMDNORM_F32 && a.y_type == SIMDNORM_F32 && a.residual_type == SIMDNORM_F32) [[likely]]
    return table.channel_rows_affine_f32(a, b);
  affine_of_tiles(table, a, b);
}
inline void run(const kernel_table& table, const channel_affine_arguments& a, const block& b) noexcept {
  if (a.x_type == SIMDNORM_F32 && a.y_type == SIMDNORM_F32 && a.residual_type == SIMDNORM_F32) [[likely]]
    return table.channel_affine_f32(a, b);
  affine_of_tiles(table, a, b);
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// What the C entries of row norms share: api_rows.cpp has the plain ones, api_fused_rows.cpp those with more
// before or behind the norm.
#pragma once

#include "runtime/checks.hpp"
#include "table.hpp"

namespace simdnorm {

using row_kernel = void (*kernel_table::*)(const row_norm_arguments&, const block&) noexcept;
// The slots of a norm; bf16 and f16 are null where it has f32 alone.
struct row_slots {
  row_kernel f32, bf16, f16;
  row_kernel of(simdnorm_type type) const noexcept {
    return type == SIMDNORM_F32 ? f32 : type == SIMDNORM_BF16 ? bf16 : f16;
  }
};
inline constexpr row_slots layer_norm_slots = {&kernel_table::layer_norm_f32, &kernel_table::layer_norm_bf16,
                                               &kernel_table::layer_norm_f16};
inline constexpr row_slots rms_norm_slots = {&kernel_table::rms_norm_f32, &kernel_table::rms_norm_bf16,
                                             &kernel_table::rms_norm_f16};
inline constexpr row_slots l2_norm_slots = {&kernel_table::l2_norm_f32, nullptr, nullptr};
using fused_row_kernel = void (*kernel_table::*)(const fused_row_arguments&, const block&) noexcept;
using double_row_kernel = void (*kernel_table::*)(const double_row_arguments&, const block&) noexcept;

// What layer_norm, rms_norm and l2_norm have in common; the parts that one lacks are empty vectors.
struct row_norm_call {
  const simdnorm_const_matrix* x;
  const simdnorm_matrix* y;
  double epsilon;
  const simdnorm_const_vector& gamma;
  const simdnorm_const_vector& beta;
  const simdnorm_vector& mean;
  const simdnorm_vector& rstd;
  const simdnorm_padding& padding;
  const simdnorm_executor* executor;
};

// And what they may have beside.
struct fused_row_call {
  const simdnorm_const_matrix* residual = nullptr;
  simdnorm_const_vector bias = {};
  const simdnorm_matrix* sum = nullptr;
  const simdnorm_const_matrix* gate = nullptr;
  simdnorm_activation activation = SIMDNORM_ACTIVATION_NONE;
  simdnorm_rounding rounding = SIMDNORM_ROUND_ONCE;
  bool unit_offset = false;
  const simdnorm_quantization* quantization = nullptr;

  // Whether the plain kernels cannot do it.
  bool any() const noexcept {
    return residual != nullptr || gate != nullptr || activation != SIMDNORM_ACTIVATION_NONE ||
           rounding != SIMDNORM_ROUND_ONCE || unit_offset || quantization != nullptr;
  }
};

// Whether the plain kernels have these types: one of x and y; gamma and beta of that or f32.
inline bool has_plain(const row_slots& slots, simdnorm_type x, simdnorm_type y, const row_norm_call& c) noexcept {
  const auto fits = [x](const simdnorm_const_vector& v) {
    return v.data == nullptr || v.type == SIMDNORM_F32 || v.type == x;
  };
  return x == y && (x == SIMDNORM_F32 || slots.bf16 != nullptr) && fits(c.gamma) && fits(c.beta);
}

inline constexpr simdnorm_const_vector no_input = {};
inline constexpr simdnorm_vector no_output = {};

// The options of the first release end before `activation`.
inline const simdnorm_layer_norm_options* read_layer_norm(const simdnorm_layer_norm_options* in,
                                                          simdnorm_layer_norm_options& storage) noexcept {
  return read_options(in, storage, simdnorm_layer_norm_defaults, offsetof(simdnorm_layer_norm_options, activation));
}
inline const simdnorm_rms_norm_options* read_rms_norm(const simdnorm_rms_norm_options* in,
                                                      simdnorm_rms_norm_options& storage) noexcept {
  return read_options(in, storage, simdnorm_rms_norm_defaults, offsetof(simdnorm_rms_norm_options, activation));
}

// Check and run: a plain call, which may have masks of elements; any call.
simdnorm_status run_plain(const row_norm_call& c, const row_slots& slots, fused_row_kernel fused) noexcept;
simdnorm_status run_fused(const row_norm_call& c, const fused_row_call& f, fused_row_kernel slot) noexcept;
// A call whose x is f64.
simdnorm_status run_doubles(const row_norm_call& c, double_row_kernel slot) noexcept;

}  // namespace simdnorm

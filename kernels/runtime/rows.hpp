// SPDX-License-Identifier: Apache-2.0
//
// What the C entries of row norms share: api_rows.cpp has the plain ones, api_fused_rows.cpp those with more
// before or behind the norm.
#pragma once

#include "runtime/checks.hpp"
#include "table.hpp"

namespace simdnorm {

using row_kernel = void (*kernel_table::*)(const row_norm_arguments&, const block&) noexcept;
using fused_row_kernel = void (*kernel_table::*)(const fused_row_arguments&, const block&) noexcept;
using double_row_kernel = void (*kernel_table::*)(const double_row_arguments&, const block&) noexcept;
// The slots of a norm: plain rows of one type (bf16 and f16 are null where it has f32 alone), all else, and f64.
struct row_slots {
  row_kernel f32, bf16, f16;
  fused_row_kernel fused;
  double_row_kernel f64;
  bool has_beta;

  row_kernel of(simdnorm_type type) const noexcept {
    return type == SIMDNORM_F32 ? f32 : type == SIMDNORM_BF16 ? bf16 : f16;
  }
};
inline constexpr row_slots layer_norm_slots{&kernel_table::layer_norm_f32, &kernel_table::layer_norm_bf16,
                                            &kernel_table::layer_norm_f16, &kernel_table::layer_norm_fused_f32,
                                            &kernel_table::layer_norm_f64, true};
inline constexpr row_slots rms_norm_slots{&kernel_table::rms_norm_f32, &kernel_table::rms_norm_bf16,
                                          &kernel_table::rms_norm_f16, &kernel_table::rms_norm_fused_f32,
                                          &kernel_table::rms_norm_f64, false};
inline constexpr row_slots l2_norm_slots{&kernel_table::l2_norm_f32, nullptr, nullptr, &kernel_table::l2_norm_fused_f32,
                                         &kernel_table::l2_norm_f64, false};

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
  const bool half = x == SIMDNORM_BF16 || x == SIMDNORM_F16;
  return x == y && (x == SIMDNORM_F32 || (half && slots.bf16 != nullptr)) && fits(c.gamma) && fits(c.beta);
}

inline elementwise_function function_of(simdnorm_activation a) noexcept {
  switch (a) {
    case SIMDNORM_ACTIVATION_RELU:
      return elementwise_function::relu;
    case SIMDNORM_ACTIVATION_GELU:
      return elementwise_function::gelu_erf;
    case SIMDNORM_ACTIVATION_GELU_TANH:
      return elementwise_function::gelu_tanh;
    case SIMDNORM_ACTIVATION_SILU:
      return elementwise_function::silu;
    default:
      return elementwise_function::none;
  }
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

// What the arguments of all kernels have of a checked call, and what those with more have.
template <class Arguments>
inline void set_arguments(Arguments& a, const row_norm_call& c) noexcept {
  a.x = static_cast<decltype(a.x)>(c.x->data);
  a.y = static_cast<decltype(a.y)>(c.y->data);
  a.x_stride = c.x->row_stride;
  a.y_stride = c.y->row_stride;
  a.cols = c.x->cols;
  a.gamma = c.gamma.data;
  a.beta = c.beta.data;
  a.gamma_type = c.gamma.type;
  a.beta_type = c.beta.type;
  a.mean = static_cast<decltype(a.mean)>(c.mean.data);
  a.rstd = static_cast<decltype(a.rstd)>(c.rstd.data);
  a.epsilon = c.epsilon;
  a.padding = c.padding;
}
template <class Arguments>
inline void set_fused(Arguments& a, const fused_row_call& f) noexcept {
  if (f.residual != nullptr) {
    a.residual = static_cast<decltype(a.residual)>(f.residual->data);
    a.residual_stride = f.residual->row_stride;
    a.bias = f.bias.data;
    a.bias_type = f.bias.data ? f.bias.type : SIMDNORM_F32;
  }
  if (f.sum != nullptr) {
    a.sum = static_cast<decltype(a.sum)>(f.sum->data);
    a.sum_stride = f.sum->row_stride;
  }
  if (f.gate != nullptr) {
    a.gate = static_cast<decltype(a.gate)>(f.gate->data);
    a.gate_stride = f.gate->row_stride;
  }
  a.function = function_of(f.activation);
  a.unit_offset = f.unit_offset;
}

// Whether not everything that is there is f32. Of what is not there the type says nothing: a call of rms_norm has no
// beta, and one without a residual no bias.
inline bool mixes_types(const fused_row_arguments& a) noexcept {
  const auto mixes = [](const void* data, simdnorm_type type) { return data != nullptr && type != SIMDNORM_F32; };
  return a.x_type != SIMDNORM_F32 || a.y_type != SIMDNORM_F32 || mixes(a.residual, a.residual_type) ||
         mixes(a.bias, a.bias_type) || mixes(a.sum, a.sum_type) || mixes(a.gate, a.gate_type) ||
         mixes(a.gamma, a.gamma_type) || mixes(a.beta, a.beta_type);
}

// Check and run: a plain call, which may have masks of elements; any call.
simdnorm_status run_plain(const row_norm_call& c, const row_slots& slots) noexcept;
simdnorm_status run_fused(const row_norm_call& c, const fused_row_call& f, const row_slots& slots) noexcept;
// A checked call whose x is f64, of matrices or, by their walk, of tensors.
simdnorm_status launch_doubles(const row_norm_call& c, const fused_row_call& f, const row_walk* walk,
                               double_row_kernel slot) noexcept;

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// Norms whose statistics belong to one row: layer_norm, rms_norm, l2_norm.
#pragma once

#include "simdnorm/types.hpp"

namespace simdnorm {

/// See simdnorm_layer_norm_options. Empty spans are "not given" or "not wanted".
struct layer_norm_options {
  double epsilon = 1e-5;
  std::span<const float> gamma{}, beta{};
  std::span<float> mean_out{}, rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
  activation_function activation = activation_function::none;
};

namespace detail {

// Every member is given at once, here and for the other norms: of zeros and then values gcc clears the struct with
// rep stos first, 4 to 5 ns a call.
inline simdnorm_layer_norm_options c_options(const layer_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_layer_norm_options),
          .epsilon = options.epsilon,
          .gamma = c_vector(options.gamma),
          .beta = c_vector(options.beta),
          .mean = c_vector(options.mean_out),
          .rstd = c_vector(options.rstd_out),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.activation),
          .reserved = 0,
          .quantization = nullptr};
}

}  // namespace detail

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, row by row; y may be x.
[[nodiscard]] inline status layer_norm(matrix_view<const float> x, matrix_view<float> y,
                                       const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm, x, y, detail::c_options(options));
}

/// When an element of a half type is rounded; for f32 both are the same.
enum class rounding : simdnorm_rounding {
  once = SIMDNORM_ROUND_ONCE,
  before_weight = SIMDNORM_ROUND_BEFORE_WEIGHT,
};

/// See simdnorm_rms_norm_options.
struct rms_norm_options {
  double epsilon = 1e-5;
  std::span<const float> weight{};
  std::span<float> rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
  activation_function activation = activation_function::none;
  rounding round = rounding::once;
  bool add_unit_offset = false;  ///< x_hat * (1 + weight), as Gemma
};

namespace detail {

inline simdnorm_rms_norm_options c_options(const rms_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_rms_norm_options),
          .epsilon = options.epsilon,
          .weight = c_vector(options.weight),
          .rstd = c_vector(options.rstd_out),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.activation),
          .rounding = static_cast<simdnorm_rounding>(options.round),
          .add_unit_offset = options.add_unit_offset,
          .reserved = 0,
          .quantization = nullptr};
}

}  // namespace detail

/// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row; y may be x.
[[nodiscard]] inline status rms_norm(matrix_view<const float> x, matrix_view<float> y,
                                     const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm, x, y, detail::c_options(options));
}

/// See simdnorm_l2_norm_options.
struct l2_norm_options {
  double epsilon = 1e-12;
  std::span<float> norm_out{};
  padding pad{};
  const executor* exec = nullptr;
};

namespace detail {

inline simdnorm_l2_norm_options c_options(const l2_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_l2_norm_options),
          .epsilon = options.epsilon,
          .norm = c_vector(options.norm_out),
          .padding = options.pad.c,
          .executor = options.exec};
}

}  // namespace detail

/// y = x / max(sqrt(sum(x^2)), epsilon), row by row; y may be x.
[[nodiscard]] inline status l2_norm(matrix_view<const float> x, matrix_view<float> y,
                                    const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm, x, y, detail::c_options(options));
}

/// What an add_* norm adds to x, and where the sum goes.
struct addend {
  matrix_view<const float> residual{};
  std::span<const float> bias{};  ///< [cols], or empty
  matrix_view<float> sum{};       ///< without data: not wanted; may be x or residual
};

/// h = (x + bias) + residual, kept in `sum` if that is given; y = layer_norm(h). y may be x or residual.
[[nodiscard]] inline status add_layer_norm(matrix_view<const float> x, const addend& with, matrix_view<float> y,
                                           const layer_norm_options& options = {}) noexcept {
  const simdnorm_layer_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x), cr = detail::c_view(with.residual);
  const simdnorm_matrix cs = detail::c_view(with.sum), cy = detail::c_view(y);
  return static_cast<status>(
      simdnorm_add_layer_norm(&cx, &cr, detail::c_vector(with.bias), with.sum.data ? &cs : nullptr, &cy, &c));
}

/// h = (x + bias) + residual, kept in `sum` if that is given; y = rms_norm(h). y may be x or residual.
[[nodiscard]] inline status add_rms_norm(matrix_view<const float> x, const addend& with, matrix_view<float> y,
                                         const rms_norm_options& options = {}) noexcept {
  const simdnorm_rms_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x), cr = detail::c_view(with.residual);
  const simdnorm_matrix cs = detail::c_view(with.sum), cy = detail::c_view(y);
  return static_cast<status>(
      simdnorm_add_rms_norm(&cx, &cr, detail::c_vector(with.bias), with.sum.data ? &cs : nullptr, &cy, &c));
}

/// y = rms_norm(x) * silu(z); y may be x or z.
[[nodiscard]] inline status gated_rms_norm(matrix_view<const float> x, matrix_view<const float> z, matrix_view<float> y,
                                           const rms_norm_options& options = {}) noexcept {
  const simdnorm_rms_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x), cz = detail::c_view(z);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_gated_rms_norm(&cx, &cz, &cy, &c));
}

/// Over the last dimension of a tensor, whose stride is 1; the others lie as they like. y may be x.
[[nodiscard]] inline status layer_norm(const tensor_view<const float>& x, const tensor_view<float>& y,
                                       const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm_nd, x, y, detail::c_options(options));
}
[[nodiscard]] inline status rms_norm(const tensor_view<const float>& x, const tensor_view<float>& y,
                                     const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm_nd, x, y, detail::c_options(options));
}
[[nodiscard]] inline status l2_norm(const tensor_view<const float>& x, const tensor_view<float>& y,
                                    const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm_nd, x, y, detail::c_options(options));
}

}  // namespace simdnorm

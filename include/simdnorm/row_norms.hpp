// SPDX-License-Identifier: Apache-2.0
//
// Norms whose statistics belong to one row: layer_norm, rms_norm, l2_norm.
//
// x, residual, gate and sum are each of float, bf16 or f16, parameters too; y is of these or, by a quantization, of
// std::int8_t, std::uint8_t, f8_e4m3 or f8_e5m2. Beside an x of double all matrices and statistics are, parameters
// double or float. Else status::unsupported_type.
#pragma once

#include "simdnorm/types.hpp"

namespace simdnorm {

/// Of y of one byte an element; see simdnorm_quantization.
struct quantization {
  simdnorm_quantization c{};

  /// y = round(v / scale) + zero_point.
  [[nodiscard]] static quantization by(float scale, std::int32_t zero_point = 0) noexcept {
    return {{sizeof(simdnorm_quantization), scale, zero_point, {}}};
  }
  /// Each row by the greatest size of its outputs / 127 (448, 57344 of 8-bit floats), which goes to `scales`, [rows].
  [[nodiscard]] static quantization by_row(std::span<float> scales, std::int32_t zero_point = 0) noexcept {
    return {{sizeof(simdnorm_quantization), 0.0f, zero_point, statistics_view(scales).c()}};
  }
};

/// See simdnorm_layer_norm_options. Empty spans are "not given" or "not wanted".
struct layer_norm_options {
  double epsilon = 1e-5;
  parameter_view gamma{}, beta{};
  statistics_view mean_out{}, rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
  activation_function activation = activation_function::none;
  const quantization* quantize = nullptr;  ///< of y of bytes, and of no other
};

namespace detail {

inline const simdnorm_quantization* c_quantization(const quantization* q) noexcept {
  return q ? &q->c : nullptr;
}

// Every member is given at once, here and for the other norms: of zeros and then values gcc clears the struct with
// rep stos first, 4 to 5 ns a call.
inline simdnorm_layer_norm_options c_options(const layer_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_layer_norm_options),
          .epsilon = options.epsilon,
          .gamma = options.gamma.c(),
          .beta = options.beta.c(),
          .mean = options.mean_out.c(),
          .rstd = options.rstd_out.c(),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.activation),
          .reserved = 0,
          .quantization = c_quantization(options.quantize)};
}

}  // namespace detail

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, row by row; y may be x.
[[nodiscard]] inline status layer_norm(input_matrix x, output_matrix y,
                                       const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm, x, y, detail::c_options(options));
}

/// When an output is rounded to a half type; for x of f32 both are the same.
enum class rounding : simdnorm_rounding {
  once = SIMDNORM_ROUND_ONCE,
  before_weight = SIMDNORM_ROUND_BEFORE_WEIGHT,
};

/// See simdnorm_rms_norm_options.
struct rms_norm_options {
  double epsilon = 1e-5;
  parameter_view weight{};
  statistics_view rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
  activation_function activation = activation_function::none;
  rounding round = rounding::once;
  bool add_unit_offset = false;  ///< x_hat * (1 + weight), as Gemma
  const quantization* quantize = nullptr;
};

namespace detail {

inline simdnorm_rms_norm_options c_options(const rms_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_rms_norm_options),
          .epsilon = options.epsilon,
          .weight = options.weight.c(),
          .rstd = options.rstd_out.c(),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.activation),
          .rounding = static_cast<simdnorm_rounding>(options.round),
          .add_unit_offset = options.add_unit_offset,
          .reserved = 0,
          .quantization = c_quantization(options.quantize)};
}

}  // namespace detail

/// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row; y may be x.
[[nodiscard]] inline status rms_norm(input_matrix x, output_matrix y, const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm, x, y, detail::c_options(options));
}

/// See simdnorm_l2_norm_options.
struct l2_norm_options {
  double epsilon = 1e-12;
  statistics_view norm_out{};
  padding pad{};
  const executor* exec = nullptr;
};

namespace detail {

inline simdnorm_l2_norm_options c_options(const l2_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_l2_norm_options),
          .epsilon = options.epsilon,
          .norm = options.norm_out.c(),
          .padding = options.pad.c,
          .executor = options.exec};
}

}  // namespace detail

/// y = x / max(sqrt(sum(x^2)), epsilon), row by row; y may be x.
[[nodiscard]] inline status l2_norm(input_matrix x, output_matrix y, const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm, x, y, detail::c_options(options));
}

/// What an add_* norm adds to x, and where the sum goes.
struct addend {
  input_matrix residual{};
  parameter_view bias{};  ///< [cols], or empty
  output_matrix sum{};    ///< without data: not wanted; may be x or residual
};

namespace detail {

template <class Function, class Options>
status add_call(Function function, const input_matrix& x, const addend& with, const output_matrix& y,
                const Options& c) noexcept {
  const simdnorm_matrix* const sum = with.sum.c().data ? &with.sum.c() : nullptr;
  return static_cast<status>(function(&x.c(), &with.residual.c(), with.bias.c(), sum, &y.c(), &c));
}

}  // namespace detail

/// h = (x + bias) + residual, kept in `sum` if that is given; y = layer_norm(h). y may be x or residual.
[[nodiscard]] inline status add_layer_norm(input_matrix x, const addend& with, output_matrix y,
                                           const layer_norm_options& options = {}) noexcept {
  return detail::add_call(simdnorm_add_layer_norm, x, with, y, detail::c_options(options));
}

/// h = (x + bias) + residual, kept in `sum` if that is given; y = rms_norm(h). y may be x or residual.
[[nodiscard]] inline status add_rms_norm(input_matrix x, const addend& with, output_matrix y,
                                         const rms_norm_options& options = {}) noexcept {
  return detail::add_call(simdnorm_add_rms_norm, x, with, y, detail::c_options(options));
}

/// y = rms_norm(x) * silu(z); y may be x or z.
[[nodiscard]] inline status gated_rms_norm(input_matrix x, input_matrix z, output_matrix y,
                                           const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_gated_rms_norm, x, z, y, detail::c_options(options));
}

/// Over the last dimension of a tensor, whose stride is 1; the others lie as they like. y may be x.
[[nodiscard]] inline status layer_norm(const input_tensor& x, const output_tensor& y,
                                       const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm_nd, x, y, detail::c_options(options));
}
[[nodiscard]] inline status rms_norm(const input_tensor& x, const output_tensor& y,
                                     const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm_nd, x, y, detail::c_options(options));
}
[[nodiscard]] inline status l2_norm(const input_tensor& x, const output_tensor& y,
                                    const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm_nd, x, y, detail::c_options(options));
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// Norms whose statistics belong to one row: layer_norm, rms_norm, l2_norm.
//
// x, residual, gate and sum are each of float, bf16 or f16, parameters too; y is of these or, by a quantization, of
// std::int8_t, std::uint8_t, f8_e4m3 or f8_e5m2. Views of float go by functions of their own, which take what converts
// to them.
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
  /// Each row by the greatest size of its outputs / 127, which goes to `scales`, [rows].
  [[nodiscard]] static quantization by_row(std::span<float> scales, std::int32_t zero_point = 0) noexcept {
    return {{sizeof(simdnorm_quantization), 0.0f, zero_point, detail::c_vector(scales)}};
  }
};

/// Y of an output and T of inputs, which are not all float.
template <class Y, class... T>
concept mixed_output = (float_or_half<Y> || (type_of<Y> >= SIMDNORM_I8 && type_of<Y> <= SIMDNORM_F8_E5M2)) &&
                       !std::is_const_v<Y> && (float_or_half<T> && ...) &&
                       !(std::same_as<Y, float> && (std::same_as<std::remove_const_t<T>, float> && ...));

/// See simdnorm_layer_norm_options. Empty spans are "not given" or "not wanted".
struct layer_norm_options {
  double epsilon = 1e-5;
  parameter_view gamma{}, beta{};
  std::span<float> mean_out{}, rstd_out{};
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
          .mean = c_vector(options.mean_out),
          .rstd = c_vector(options.rstd_out),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.activation),
          .reserved = 0,
          .quantization = c_quantization(options.quantize)};
}

}  // namespace detail

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, row by row; y may be x.
[[nodiscard]] inline status layer_norm(matrix_view<const float> x, matrix_view<float> y,
                                       const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm, x, y, detail::c_options(options));
}
template <class X, mixed_output<X> Y>
[[nodiscard]] status layer_norm(const matrix_view<X>& x, const matrix_view<Y>& y,
                                const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm, matrix_view<const X>(x), y, detail::c_options(options));
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
  std::span<float> rstd_out{};
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
          .rstd = c_vector(options.rstd_out),
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
[[nodiscard]] inline status rms_norm(matrix_view<const float> x, matrix_view<float> y,
                                     const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm, x, y, detail::c_options(options));
}
template <class X, mixed_output<X> Y>
[[nodiscard]] status rms_norm(const matrix_view<X>& x, const matrix_view<Y>& y,
                              const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm, matrix_view<const X>(x), y, detail::c_options(options));
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
template <class X, mixed_output<X> Y>
[[nodiscard]] status l2_norm(const matrix_view<X>& x, const matrix_view<Y>& y,
                             const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm, matrix_view<const X>(x), y, detail::c_options(options));
}

/// What an add_* norm adds to x, and where the sum goes.
template <float_or_half Residual = float, float_or_half Sum = Residual>
struct addend {
  matrix_view<const Residual> residual{};
  parameter_view bias{};   ///< [cols], or empty
  matrix_view<Sum> sum{};  ///< without data: not wanted; may be x or residual
};

namespace detail {

template <class Function, class X, class Addend, class Y, class Options>
status add_call(Function function, const X& x, const Addend& with, const Y& y, const Options& c) noexcept {
  const simdnorm_const_matrix cx = c_view(x), cr = c_view(with.residual);
  const simdnorm_matrix cs = c_view(with.sum), cy = c_view(y);
  return static_cast<status>(function(&cx, &cr, with.bias.c(), with.sum.data ? &cs : nullptr, &cy, &c));
}

}  // namespace detail

/// h = (x + bias) + residual, kept in `sum` if that is given; y = layer_norm(h). y may be x or residual.
[[nodiscard]] inline status add_layer_norm(matrix_view<const float> x, const addend<>& with, matrix_view<float> y,
                                           const layer_norm_options& options = {}) noexcept {
  return detail::add_call(simdnorm_add_layer_norm, x, with, y, detail::c_options(options));
}
template <class X, class R, class S, mixed_output<X, R, S> Y>
[[nodiscard]] status add_layer_norm(const matrix_view<X>& x, const addend<R, S>& with, const matrix_view<Y>& y,
                                    const layer_norm_options& options = {}) noexcept {
  return detail::add_call(simdnorm_add_layer_norm, matrix_view<const X>(x), with, y, detail::c_options(options));
}

/// h = (x + bias) + residual, kept in `sum` if that is given; y = rms_norm(h). y may be x or residual.
[[nodiscard]] inline status add_rms_norm(matrix_view<const float> x, const addend<>& with, matrix_view<float> y,
                                         const rms_norm_options& options = {}) noexcept {
  return detail::add_call(simdnorm_add_rms_norm, x, with, y, detail::c_options(options));
}
template <class X, class R, class S, mixed_output<X, R, S> Y>
[[nodiscard]] status add_rms_norm(const matrix_view<X>& x, const addend<R, S>& with, const matrix_view<Y>& y,
                                  const rms_norm_options& options = {}) noexcept {
  return detail::add_call(simdnorm_add_rms_norm, matrix_view<const X>(x), with, y, detail::c_options(options));
}

/// y = rms_norm(x) * silu(z); y may be x or z.
[[nodiscard]] inline status gated_rms_norm(matrix_view<const float> x, matrix_view<const float> z, matrix_view<float> y,
                                           const rms_norm_options& options = {}) noexcept {
  const simdnorm_rms_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x), cz = detail::c_view(z);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_gated_rms_norm(&cx, &cz, &cy, &c));
}

template <class X, class Z, mixed_output<X, Z> Y>
[[nodiscard]] status gated_rms_norm(const matrix_view<X>& x, const matrix_view<Z>& z, const matrix_view<Y>& y,
                                    const rms_norm_options& options = {}) noexcept {
  const simdnorm_rms_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(matrix_view<const X>(x)),
                              cz = detail::c_view(matrix_view<const Z>(z));
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_gated_rms_norm(&cx, &cz, &cy, &c));
}

/// Over the last dimension of a tensor, whose stride is 1; the others lie as they like. y may be x.
[[nodiscard]] inline status layer_norm(const tensor_view<const float>& x, const tensor_view<float>& y,
                                       const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm_nd, x, y, detail::c_options(options));
}
template <class X, mixed_output<X> Y>
[[nodiscard]] status layer_norm(const tensor_view<X>& x, const tensor_view<Y>& y,
                                const layer_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm_nd, tensor_view<const X>(x), y, detail::c_options(options));
}
[[nodiscard]] inline status rms_norm(const tensor_view<const float>& x, const tensor_view<float>& y,
                                     const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm_nd, x, y, detail::c_options(options));
}
template <class X, mixed_output<X> Y>
[[nodiscard]] status rms_norm(const tensor_view<X>& x, const tensor_view<Y>& y,
                              const rms_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm_nd, tensor_view<const X>(x), y, detail::c_options(options));
}
[[nodiscard]] inline status l2_norm(const tensor_view<const float>& x, const tensor_view<float>& y,
                                    const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm_nd, x, y, detail::c_options(options));
}
template <class X, mixed_output<X> Y>
[[nodiscard]] status l2_norm(const tensor_view<X>& x, const tensor_view<Y>& y,
                             const l2_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm_nd, tensor_view<const X>(x), y, detail::c_options(options));
}

}  // namespace simdnorm

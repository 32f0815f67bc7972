// SPDX-License-Identifier: Apache-2.0
//
// The row norms of doubles: layer_norm, rms_norm, l2_norm. What they compute row_norms.h says.
#pragma once

#include "simdnorm/types.hpp"

namespace simdnorm {

/// See simdnorm_layer_norm_options. Empty spans are "not given" or "not wanted".
struct layer_norm_f64_options {
  double epsilon = 1e-5;
  std::span<const double> gamma{}, beta{};
  std::span<double> mean_out{}, rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
};

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, row by row; y may be x.
[[nodiscard]] inline status layer_norm(matrix_view<const double> x, matrix_view<double> y,
                                       const layer_norm_f64_options& options = {}) noexcept {
  return detail::call(simdnorm_layer_norm, x, y,
                      simdnorm_layer_norm_options{.struct_size = sizeof(simdnorm_layer_norm_options),
                                                  .epsilon = options.epsilon,
                                                  .gamma = detail::c_vector(options.gamma),
                                                  .beta = detail::c_vector(options.beta),
                                                  .mean = detail::c_vector(options.mean_out),
                                                  .rstd = detail::c_vector(options.rstd_out),
                                                  .padding = options.pad.c,
                                                  .executor = options.exec,
                                                  .activation = SIMDNORM_ACTIVATION_NONE,
                                                  .reserved = 0,
                                                  .quantization = nullptr});
}

/// See simdnorm_rms_norm_options.
struct rms_norm_f64_options {
  double epsilon = 1e-5;
  std::span<const double> weight{};
  std::span<double> rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
};

/// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row; y may be x.
[[nodiscard]] inline status rms_norm(matrix_view<const double> x, matrix_view<double> y,
                                     const rms_norm_f64_options& options = {}) noexcept {
  return detail::call(simdnorm_rms_norm, x, y,
                      simdnorm_rms_norm_options{.struct_size = sizeof(simdnorm_rms_norm_options),
                                                .epsilon = options.epsilon,
                                                .weight = detail::c_vector(options.weight),
                                                .rstd = detail::c_vector(options.rstd_out),
                                                .padding = options.pad.c,
                                                .executor = options.exec,
                                                .activation = SIMDNORM_ACTIVATION_NONE,
                                                .rounding = SIMDNORM_ROUND_ONCE,
                                                .add_unit_offset = 0,
                                                .reserved = 0,
                                                .quantization = nullptr});
}

/// See simdnorm_l2_norm_options.
struct l2_norm_f64_options {
  double epsilon = 1e-12;
  std::span<double> norm_out{};
  padding pad{};
  const executor* exec = nullptr;
};

/// y = x / max(sqrt(sum(x^2)), epsilon), row by row; y may be x.
[[nodiscard]] inline status l2_norm(matrix_view<const double> x, matrix_view<double> y,
                                    const l2_norm_f64_options& options = {}) noexcept {
  return detail::call(simdnorm_l2_norm, x, y,
                      simdnorm_l2_norm_options{.struct_size = sizeof(simdnorm_l2_norm_options),
                                               .epsilon = options.epsilon,
                                               .norm = detail::c_vector(options.norm_out),
                                               .padding = options.pad.c,
                                               .executor = options.exec});
}

}  // namespace simdnorm

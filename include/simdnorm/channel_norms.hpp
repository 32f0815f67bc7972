// SPDX-License-Identifier: Apache-2.0
//
// Norms of [batch, channels, spatial...] tensors: batch_norm, group_norm, instance_norm. channel_norms.h says
// which layouts there are. x, y and residual are each of float, bf16 or f16.
#pragma once

#include "simdnorm/channel_norms.h"
#include "simdnorm/column_norms.hpp"

namespace simdnorm {

/// Normalizes channels by the statistics of their real elements; updates running statistics if given.
[[nodiscard]] inline status batch_norm_training(input_tensor x, output_tensor y,
                                                const batch_norm_training_options& options = {},
                                                activation_function last = activation_function::none) noexcept {
  simdnorm_batch_norm_options c = detail::c_options(options);
  c.activation = static_cast<simdnorm_activation>(last);
  const simdnorm_const_tensor cx = detail::c_view(x);
  const simdnorm_tensor cy = detail::c_view(y);
  return static_cast<status>(simdnorm_batch_norm_training_nd(&cx, &cy, &c));
}

/// y = last(batch_norm(x) + residual), by the statistics of x.
[[nodiscard]] inline status batch_norm_training_add(input_tensor x, input_tensor residual, output_tensor y,
                                                    const batch_norm_training_options& options = {},
                                                    activation_function last = activation_function::relu) noexcept {
  simdnorm_batch_norm_options c = detail::c_options(options);
  const simdnorm_const_tensor cr = detail::c_view(residual);
  c.residual = &cr;
  c.activation = static_cast<simdnorm_activation>(last);
  const simdnorm_const_tensor cx = detail::c_view(x);
  const simdnorm_tensor cy = detail::c_view(y);
  return static_cast<status>(simdnorm_batch_norm_training_nd(&cx, &cy, &c));
}

/// Normalizes channels by given statistics.
[[nodiscard]] inline status batch_norm_inference(input_tensor x, output_tensor y, std::span<const float> mean,
                                                 std::span<const float> variance,
                                                 const batch_norm_options& options = {},
                                                 activation_function last = activation_function::none) noexcept {
  simdnorm_batch_norm_options c = detail::c_options(options);
  c.activation = static_cast<simdnorm_activation>(last);
  const simdnorm_const_tensor cx = detail::c_view(x);
  const simdnorm_tensor cy = detail::c_view(y);
  return static_cast<status>(
      simdnorm_batch_norm_inference_nd(&cx, &cy, detail::c_vector(mean), detail::c_vector(variance), &c));
}

/// y = last(batch_norm(x) + residual), as blocks of residual networks end.
[[nodiscard]] inline status batch_norm_inference_add(input_tensor x, input_tensor residual, output_tensor y,
                                                     std::span<const float> mean, std::span<const float> variance,
                                                     const batch_norm_options& options = {},
                                                     activation_function last = activation_function::relu) noexcept {
  simdnorm_batch_norm_options c = detail::c_options(options);
  const simdnorm_const_tensor cr = detail::c_view(residual);
  c.residual = &cr;
  c.activation = static_cast<simdnorm_activation>(last);
  const simdnorm_const_tensor cx = detail::c_view(x);
  const simdnorm_tensor cy = detail::c_view(y);
  return static_cast<status>(
      simdnorm_batch_norm_inference_nd(&cx, &cy, detail::c_vector(mean), detail::c_vector(variance), &c));
}

/// See simdnorm_group_norm_options.
struct group_norm_options {
  double epsilon = 1e-5;
  std::span<const float> gamma{}, beta{};
  std::span<float> mean_out{}, rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
  activation_function last = activation_function::none;
};

namespace detail {

inline simdnorm_group_norm_options c_options(const group_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_group_norm_options),
          .epsilon = options.epsilon,
          .gamma = c_vector(options.gamma),
          .beta = c_vector(options.beta),
          .mean = c_vector(options.mean_out),
          .rstd = c_vector(options.rstd_out),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.last)};
}

}  // namespace detail

/// Normalizes each of `groups` groups of channels of every sample by its own statistics.
[[nodiscard]] inline status group_norm(input_tensor x, output_tensor y, std::size_t groups,
                                       const group_norm_options& options = {}) noexcept {
  const simdnorm_group_norm_options c = detail::c_options(options);
  const simdnorm_const_tensor cx = detail::c_view(x);
  const simdnorm_tensor cy = detail::c_view(y);
  return static_cast<status>(simdnorm_group_norm(&cx, &cy, groups, &c));
}

/// Normalizes every channel of every sample by its own statistics.
[[nodiscard]] inline status instance_norm(input_tensor x, output_tensor y,
                                          const group_norm_options& options = {}) noexcept {
  const simdnorm_group_norm_options c = detail::c_options(options);
  const simdnorm_const_tensor cx = detail::c_view(x);
  const simdnorm_tensor cy = detail::c_view(y);
  return static_cast<status>(simdnorm_instance_norm(&cx, &cy, &c));
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// Norms of [batch, channels, spatial...] tensors: batch_norm, group_norm, instance_norm. channel_norms.h says
// which layouts there are. Element types are those of column_norms.hpp.
#pragma once

#include "simdnorm/channel_norms.h"
#include "simdnorm/column_norms.hpp"

namespace simdnorm {

/// Normalizes channels by the statistics of their real elements; updates running statistics if given.
[[nodiscard]] inline status batch_norm_training(const input_tensor& x, const output_tensor& y,
                                                const batch_norm_options& options = {},
                                                activation_function last = activation_function::none) noexcept {
  return detail::call(simdnorm_batch_norm_training_nd, x, y, detail::c_options(options, last));
}

/// y = last(batch_norm(x) + residual), by the statistics of x.
[[nodiscard]] inline status batch_norm_training_add(const input_tensor& x, const input_tensor& residual,
                                                    const output_tensor& y, const batch_norm_options& options = {},
                                                    activation_function last = activation_function::relu) noexcept {
  return detail::call(simdnorm_batch_norm_training_nd, x, y, detail::c_options(options, last, &residual.c()));
}

/// Normalizes channels by given statistics, [channels] each.
[[nodiscard]] inline status batch_norm_inference(const input_tensor& x, const output_tensor& y, parameter_view mean,
                                                 parameter_view variance, const batch_norm_options& options = {},
                                                 activation_function last = activation_function::none) noexcept {
  return detail::call(simdnorm_batch_norm_inference_nd, x, y, mean, variance, detail::c_options(options, last));
}

/// y = last(batch_norm(x) + residual), as blocks of residual networks end.
[[nodiscard]] inline status batch_norm_inference_add(const input_tensor& x, const input_tensor& residual,
                                                     const output_tensor& y, parameter_view mean,
                                                     parameter_view variance, const batch_norm_options& options = {},
                                                     activation_function last = activation_function::relu) noexcept {
  return detail::call(simdnorm_batch_norm_inference_nd, x, y, mean, variance,
                      detail::c_options(options, last, &residual.c()));
}

/// See simdnorm_group_norm_options.
struct group_norm_options {
  double epsilon = 1e-5;
  parameter_view gamma{}, beta{};
  statistics_view mean_out{}, rstd_out{};
  padding pad{};
  const executor* exec = nullptr;
  activation_function last = activation_function::none;
};

namespace detail {

inline simdnorm_group_norm_options c_options(const group_norm_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_group_norm_options),
          .epsilon = options.epsilon,
          .gamma = options.gamma.c(),
          .beta = options.beta.c(),
          .mean = options.mean_out.c(),
          .rstd = options.rstd_out.c(),
          .padding = options.pad.c,
          .executor = options.exec,
          .activation = static_cast<simdnorm_activation>(options.last)};
}

}  // namespace detail

/// Normalizes each of `groups` groups of channels of every sample by its own statistics.
[[nodiscard]] inline status group_norm(const input_tensor& x, const output_tensor& y, std::size_t groups,
                                       const group_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_group_norm, x, y, groups, detail::c_options(options));
}

/// Normalizes every channel of every sample by its own statistics.
[[nodiscard]] inline status instance_norm(const input_tensor& x, const output_tensor& y,
                                          const group_norm_options& options = {}) noexcept {
  return detail::call(simdnorm_instance_norm, x, y, detail::c_options(options));
}

}  // namespace simdnorm

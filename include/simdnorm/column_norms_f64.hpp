// SPDX-License-Identifier: Apache-2.0
//
// Column norms of doubles: moments, batch_norm, standardize, min_max, max_abs. What they compute column_norms.h says.
#pragma once

#include "simdnorm/column_norms.hpp"

namespace simdnorm {

/// out[j] = moments of column j over its real elements; out.size() == x.cols.
[[nodiscard]] inline status column_moments(matrix_view<const double> x, std::span<moments> out,
                                           const column_options& options = {}) noexcept {
  if (out.size() != x.cols) return status::invalid_shape;
  const simdnorm_column_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_column_moments(&cx, out.data(), &c));
}

/// See simdnorm_batch_norm_options. Empty spans are "not given" or "not wanted"; what stands behind `exec` is of
/// training alone.
struct batch_norm_f64_options {
  double epsilon = 1e-5;
  std::span<const double> gamma{}, beta{};
  padding pad{};
  const executor* exec = nullptr;
  double momentum = 0.1;
  bool biased_running_variance = false;
  std::span<double> running_mean{}, running_variance{};
  std::span<double> mean_out{}, rstd_out{};
};

namespace detail {

inline simdnorm_batch_norm_options c_options(const batch_norm_f64_options& options) noexcept {
  simdnorm_batch_norm_options c = simdnorm_batch_norm_defaults();
  c.epsilon = options.epsilon;
  c.gamma = c_vector(options.gamma);
  c.beta = c_vector(options.beta);
  c.padding = options.pad.c;
  c.executor = options.exec;
  c.momentum = options.momentum;
  c.biased_running_variance = options.biased_running_variance;
  c.running_mean = c_vector(options.running_mean);
  c.running_variance = c_vector(options.running_variance);
  c.mean = c_vector(options.mean_out);
  c.rstd = c_vector(options.rstd_out);
  return c;
}

}  // namespace detail

/// Normalizes columns by the statistics of their real rows; updates running statistics if given.
[[nodiscard]] inline status batch_norm_training(matrix_view<const double> x, matrix_view<double> y,
                                                const batch_norm_f64_options& options = {}) noexcept {
  return detail::call(simdnorm_batch_norm_training, x, y, detail::c_options(options));
}

/// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta with given mean and variance, [cols] each.
[[nodiscard]] inline status batch_norm_inference(matrix_view<const double> x, matrix_view<double> y,
                                                 std::span<const double> mean, std::span<const double> variance,
                                                 const batch_norm_f64_options& options = {}) noexcept {
  const simdnorm_batch_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(
      simdnorm_batch_norm_inference(&cx, &cy, detail::c_vector(mean), detail::c_vector(variance), &c));
}

/// mean and scale (standard deviation, 1 for a constant column) of every column.
[[nodiscard]] inline status standardize_fit(matrix_view<const double> x, std::span<double> mean,
                                            std::span<double> scale, const standardize_options& options = {}) noexcept {
  if (mean.size() != x.cols || scale.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_standardize_fit(&cx, mean.data(), scale.data(), &c));
}

/// y = (x - mean) / scale.
[[nodiscard]] inline status standardize_transform(matrix_view<const double> x, matrix_view<double> y,
                                                  std::span<const double> mean, std::span<const double> scale,
                                                  const standardize_options& options = {}) noexcept {
  if (mean.size() != x.cols || scale.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_standardize_transform(&cx, &cy, mean.data(), scale.data(), &c));
}

/// y = x * scale + mean; the first argument is the scaled matrix.
[[nodiscard]] inline status standardize_inverse(matrix_view<const double> x, matrix_view<double> y,
                                                std::span<const double> mean, std::span<const double> scale,
                                                const standardize_options& options = {}) noexcept {
  if (mean.size() != x.cols || scale.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_standardize_inverse(&cx, &cy, mean.data(), scale.data(), &c));
}

/// Fit and transform; an empty span: not wanted.
[[nodiscard]] inline status standardize(matrix_view<const double> x, matrix_view<double> y, std::span<double> mean,
                                        std::span<double> scale, const standardize_options& options = {}) noexcept {
  if (!detail::fits(mean, x.cols) || !detail::fits(scale, x.cols)) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_standardize(&cx, &cy, mean.data(), scale.data(), &c));
}

/// Least and greatest value of every column.
[[nodiscard]] inline status min_max_fit(matrix_view<const double> x, std::span<double> min, std::span<double> max,
                                        const min_max_options& options = {}) noexcept {
  if (min.size() != x.cols || max.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_min_max_fit(&cx, min.data(), max.data(), &c));
}

/// y = (x - min) / (max - min) * (high - low) + low.
[[nodiscard]] inline status min_max_transform(matrix_view<const double> x, matrix_view<double> y,
                                              std::span<const double> min, std::span<const double> max,
                                              const min_max_options& options = {}) noexcept {
  if (min.size() != x.cols || max.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_min_max_transform(&cx, &cy, min.data(), max.data(), &c));
}

/// The inverse; the first argument is the scaled matrix.
[[nodiscard]] inline status min_max_inverse(matrix_view<const double> x, matrix_view<double> y,
                                            std::span<const double> min, std::span<const double> max,
                                            const min_max_options& options = {}) noexcept {
  if (min.size() != x.cols || max.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_min_max_inverse(&cx, &cy, min.data(), max.data(), &c));
}

/// Fit and transform; an empty span: not wanted.
[[nodiscard]] inline status min_max(matrix_view<const double> x, matrix_view<double> y, std::span<double> min,
                                    std::span<double> max, const min_max_options& options = {}) noexcept {
  if (!detail::fits(min, x.cols) || !detail::fits(max, x.cols)) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_min_max(&cx, &cy, min.data(), max.data(), &c));
}

/// The greatest |x| of every column, 1 where that is 0.
[[nodiscard]] inline status max_abs_fit(matrix_view<const double> x, std::span<double> scale,
                                        const max_abs_options& options = {}) noexcept {
  if (scale.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_max_abs_fit(&cx, scale.data(), &c));
}

/// y = x / scale.
[[nodiscard]] inline status max_abs_transform(matrix_view<const double> x, matrix_view<double> y,
                                              std::span<const double> scale,
                                              const max_abs_options& options = {}) noexcept {
  if (scale.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_max_abs_transform(&cx, &cy, scale.data(), &c));
}

/// y = x * scale; the first argument is the scaled matrix.
[[nodiscard]] inline status max_abs_inverse(matrix_view<const double> x, matrix_view<double> y,
                                            std::span<const double> scale,
                                            const max_abs_options& options = {}) noexcept {
  if (scale.size() != x.cols) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_max_abs_inverse(&cx, &cy, scale.data(), &c));
}

/// Fit and transform; an empty span: not wanted.
[[nodiscard]] inline status max_abs(matrix_view<const double> x, matrix_view<double> y, std::span<double> scale,
                                    const max_abs_options& options = {}) noexcept {
  if (!detail::fits(scale, x.cols)) return status::invalid_shape;
  const auto c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_max_abs(&cx, &cy, scale.data(), &c));
}

}  // namespace simdnorm

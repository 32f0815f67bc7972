// SPDX-License-Identifier: Apache-2.0
//
// Norms whose statistics belong to one column: batch_norm, standardize, min_max; and the moments
// that they rest on.
#pragma once

#include <memory>
#include <vector>

#include "simdnorm/types.hpp"

namespace simdnorm {

/// Count, mean, sum of squared deviations, min and max of a set of numbers.
using moments = simdnorm_moments;

/// Moments of the union of two disjoint sets, by Chan's formula.
[[nodiscard]] inline moments merge(const moments& a, const moments& b) noexcept {
  return simdnorm_moments_merge(a, b);
}

/// Options of every call that needs no more than a mask and an executor.
struct column_options {
  padding pad{};
  const executor* exec = nullptr;
};

namespace detail {

inline simdnorm_column_options c_options(const column_options& options) noexcept {
  simdnorm_column_options c = simdnorm_column_defaults();
  c.padding = options.pad.c;
  c.executor = options.exec;
  return c;
}

}  // namespace detail

/// out[j] = moments of column j over the real rows; out.size() == x.cols.
[[nodiscard]] inline status column_moments(matrix_view<const float> x, std::span<moments> out,
                                           const column_options& options = {}) noexcept {
  if (out.size() != x.cols) return status::invalid_shape;
  const simdnorm_column_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_column_moments(&cx, out.data(), &c));
}

/// Moments of columns that arrive in pieces: any pieces give the bits of one shot. The constructor
/// allocates, nothing else does. Copyable: a copy goes on independently.
class column_accumulator {
 public:
  /// Throws what std::vector throws for lack of memory; copying does too, nothing else.
  explicit column_accumulator(std::size_t cols) : cols_(cols), memory_(bytes() + 64) {
    bind();
    init();
  }
  column_accumulator(const column_accumulator& other) : cols_(other.cols_), memory_(other.memory_.size()) {
    bind();
    copy_from(other);
  }
  column_accumulator& operator=(const column_accumulator& other) {
    if (this != &other) {
      column_accumulator copy(other);
      swap(copy);
    }
    return *this;
  }
  column_accumulator(column_accumulator&& other) noexcept = default;
  column_accumulator& operator=(column_accumulator&& other) noexcept = default;

  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }

  /// Appends the real rows of x.
  [[nodiscard]] status update(matrix_view<const float> x, const column_options& options = {}) noexcept {
    const simdnorm_column_options c = detail::c_options(options);
    const simdnorm_const_matrix cx = detail::c_view(x);
    return static_cast<status>(simdnorm_column_state_update(state_, &cx, &c));
  }
  /// This set followed by the other's.
  [[nodiscard]] status merge(const column_accumulator& other) noexcept {
    return static_cast<status>(simdnorm_column_state_merge(state_, other.state_));
  }
  /// out[j] = moments of column j so far; out.size() == cols().
  [[nodiscard]] status result(std::span<moments> out) const noexcept {
    if (out.size() != cols_) return status::invalid_shape;
    return static_cast<status>(simdnorm_column_state_result(state_, out.data()));
  }

 private:
  std::size_t cols_;
  std::vector<unsigned char> memory_;
  void* aligned_ = nullptr;
  simdnorm_column_state* state_ = nullptr;

  // An impossible size is asked for all the same: std::vector refuses it.
  [[nodiscard]] std::size_t bytes() const noexcept {
    const std::size_t size = simdnorm_column_state_size(cols_, type_of<float>);
    return size != 0 ? size : static_cast<std::size_t>(-1) / 2;
  }
  void bind() {
    std::size_t space = memory_.size();
    aligned_ = memory_.data();
    aligned_ = std::align(64, bytes(), aligned_, space);
  }
  void init() noexcept {
    (void)simdnorm_column_state_init(aligned_, memory_.size() - 64, cols_, type_of<float>, &state_);
  }
  void copy_from(const column_accumulator& other) noexcept {
    init();
    const auto* from = static_cast<const unsigned char*>(other.aligned_);
    auto* to = static_cast<unsigned char*>(aligned_);
    for (std::size_t i = 0; i < memory_.size() - 64; ++i) to[i] = from[i];
  }
  void swap(column_accumulator& other) noexcept {
    std::swap(cols_, other.cols_);
    memory_.swap(other.memory_);
    std::swap(aligned_, other.aligned_);
    std::swap(state_, other.state_);
  }
};

/// See simdnorm_batch_norm_options.
struct batch_norm_options {
  double epsilon = 1e-5;
  std::span<const float> gamma{}, beta{};
  padding pad{};
  const executor* exec = nullptr;
};

struct batch_norm_training_options : batch_norm_options {
  double momentum = 0.1;
  bool biased_running_variance = false;
  std::span<float> running_mean{}, running_variance{};
  std::span<float> mean_out{}, rstd_out{};
};

namespace detail {

inline simdnorm_batch_norm_options c_options(const batch_norm_options& options) noexcept {
  simdnorm_batch_norm_options c = simdnorm_batch_norm_defaults();
  c.epsilon = options.epsilon;
  c.gamma = c_vector(options.gamma);
  c.beta = c_vector(options.beta);
  c.padding = options.pad.c;
  c.executor = options.exec;
  return c;
}

}  // namespace detail

/// Normalizes columns by the statistics of their real rows; updates running statistics if given.
[[nodiscard]] inline status batch_norm_training(matrix_view<const float> x, matrix_view<float> y,
                                                const batch_norm_training_options& options = {}) noexcept {
  simdnorm_batch_norm_options c = detail::c_options(options);
  c.momentum = options.momentum;
  c.biased_running_variance = options.biased_running_variance;
  c.running_mean = detail::c_vector(options.running_mean);
  c.running_variance = detail::c_vector(options.running_variance);
  c.mean = detail::c_vector(options.mean_out);
  c.rstd = detail::c_vector(options.rstd_out);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_batch_norm_training(&cx, &cy, &c));
}

/// Normalizes columns by given statistics.
[[nodiscard]] inline status batch_norm_inference(matrix_view<const float> x, matrix_view<float> y,
                                                 std::span<const float> mean, std::span<const float> variance,
                                                 const batch_norm_options& options = {}) noexcept {
  const simdnorm_batch_norm_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(
      simdnorm_batch_norm_inference(&cx, &cy, detail::c_vector(mean), detail::c_vector(variance), &c));
}

/// mean and scale (standard deviation, 1 for a constant column) of every column.
[[nodiscard]] inline status standardize_fit(matrix_view<const float> x, std::span<double> mean, std::span<double> scale,
                                            const column_options& options = {}) noexcept {
  if (mean.size() != x.cols || scale.size() != x.cols) return status::invalid_shape;
  const simdnorm_column_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_standardize_fit(&cx, mean.data(), scale.data(), &c));
}

/// y = (x - mean) / scale.
[[nodiscard]] inline status standardize_transform(matrix_view<const float> x, matrix_view<float> y,
                                                  std::span<const double> mean, std::span<const double> scale,
                                                  const column_options& options = {}) noexcept {
  if (mean.size() != x.cols || scale.size() != x.cols) return status::invalid_shape;
  const simdnorm_column_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_standardize_transform(&cx, &cy, mean.data(), scale.data(), &c));
}

/// x = y * scale + mean.
[[nodiscard]] inline status standardize_inverse(matrix_view<const float> y, matrix_view<float> x,
                                                std::span<const double> mean, std::span<const double> scale,
                                                const column_options& options = {}) noexcept {
  if (mean.size() != y.cols || scale.size() != y.cols) return status::invalid_shape;
  const simdnorm_column_options c = detail::c_options(options);
  const simdnorm_const_matrix cy = detail::c_view(y);
  const simdnorm_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_standardize_inverse(&cy, &cx, mean.data(), scale.data(), &c));
}

/// See simdnorm_min_max_options.
struct min_max_options {
  double low = 0.0, high = 1.0;
  padding pad{};
  const executor* exec = nullptr;
};

namespace detail {

inline simdnorm_min_max_options c_options(const min_max_options& options) noexcept {
  simdnorm_min_max_options c = simdnorm_min_max_defaults();
  c.low = options.low;
  c.high = options.high;
  c.padding = options.pad.c;
  c.executor = options.exec;
  return c;
}

}  // namespace detail

/// Least and greatest value of every column.
[[nodiscard]] inline status min_max_fit(matrix_view<const float> x, std::span<double> min, std::span<double> max,
                                        const min_max_options& options = {}) noexcept {
  if (min.size() != x.cols || max.size() != x.cols) return status::invalid_shape;
  const simdnorm_min_max_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_min_max_fit(&cx, min.data(), max.data(), &c));
}

/// y = (x - min) / (max - min) * (high - low) + low.
[[nodiscard]] inline status min_max_transform(matrix_view<const float> x, matrix_view<float> y,
                                              std::span<const double> min, std::span<const double> max,
                                              const min_max_options& options = {}) noexcept {
  if (min.size() != x.cols || max.size() != x.cols) return status::invalid_shape;
  const simdnorm_min_max_options c = detail::c_options(options);
  const simdnorm_const_matrix cx = detail::c_view(x);
  const simdnorm_matrix cy = detail::c_view(y);
  return static_cast<status>(simdnorm_min_max_transform(&cx, &cy, min.data(), max.data(), &c));
}

/// x = (y - low) / (high - low) * (max - min) + min.
[[nodiscard]] inline status min_max_inverse(matrix_view<const float> y, matrix_view<float> x,
                                            std::span<const double> min, std::span<const double> max,
                                            const min_max_options& options = {}) noexcept {
  if (min.size() != y.cols || max.size() != y.cols) return status::invalid_shape;
  const simdnorm_min_max_options c = detail::c_options(options);
  const simdnorm_const_matrix cy = detail::c_view(y);
  const simdnorm_matrix cx = detail::c_view(x);
  return static_cast<status>(simdnorm_min_max_inverse(&cy, &cx, min.data(), max.data(), &c));
}

}  // namespace simdnorm

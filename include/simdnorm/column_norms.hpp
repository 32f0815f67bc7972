// SPDX-License-Identifier: Apache-2.0
//
// Norms whose statistics belong to one column: batch_norm, standardize, min_max; and the moments
// that they rest on. x, y, residual, gamma, beta and a given mean and variance are each of float, bf16 or f16, weights
// float, other vectors float or, where spans say so, double. Beside an x of double everything is, but gamma, beta and
// weights may be float. Else status::unsupported_type.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "simdnorm/types.hpp"

namespace simdnorm {

/// Count, mean, sum of squared deviations, min, max and total weight of a set of numbers.
using moments = simdnorm_moments;

/// Moments of the union of two disjoint sets, by Chan's formula.
[[nodiscard]] inline moments merge(const moments& a, const moments& b) noexcept {
  return simdnorm_moments_merge(a, b);
}

/// See simdnorm_column_options.
struct column_options {
  padding pad{};
  const executor* exec = nullptr;
  parameter_view weights{};  ///< of rows; empty: ones
  bool nan_is_missing = false;
};

namespace detail {

inline simdnorm_column_options c_options(const column_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_column_options),
          .padding = options.pad.c,
          .executor = options.exec,
          .weights = options.weights.c(),
          .nan_is_missing = options.nan_is_missing};
}

}  // namespace detail

/// out[j] = moments of column j over its real elements; out.size() == x.c().cols.
[[nodiscard]] inline status column_moments(input_matrix x, std::span<moments> out,
                                           const column_options& options = {}) noexcept {
  if (out.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_column_moments, x, out, detail::c_options(options));
}

/// Moments of columns that arrive in pieces: any pieces give the bits of one shot. Only making, copying and
/// deserializing one allocates; for lack of memory it is then empty (false), and its calls return
/// status::null_pointer. A copy goes on independently.
class column_accumulator {
 public:
  explicit column_accumulator(std::size_t cols) noexcept
      : cols_(cols), size_(size_for(cols)), memory_(allocate(size_)) {
    if (memory_) (void)simdnorm_column_state_init(memory_.get(), size_, cols_, type_of<float>, &state_);
  }
  column_accumulator(const column_accumulator& other) noexcept : column_accumulator(other.cols_) {
    if (!other.state_) reset();
    if (state_) std::memcpy(memory_.get(), other.memory_.get(), size_);  // plain data without pointers
  }
  column_accumulator(column_accumulator&& other) noexcept { swap(other); }
  column_accumulator& operator=(column_accumulator other) noexcept {
    swap(other);
    return *this;
  }
  ~column_accumulator() = default;

  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] std::size_t cols() const noexcept { return cols_; }

  /// Appends the real elements of x.
  [[nodiscard]] status update(input_matrix x, const column_options& options = {}) noexcept {
    const simdnorm_column_options c = detail::c_options(options);
    return static_cast<status>(simdnorm_column_state_update(state_, &x.c(), &c));
  }
  /// This set followed by the other's.
  [[nodiscard]] status merge(const column_accumulator& other) noexcept {
    return static_cast<status>(simdnorm_column_state_merge(state_, other.state_));
  }
  /// out[j] = moments of column j so far; out.size() == cols().
  [[nodiscard]] status result(std::span<moments> out) const noexcept {
    if (state_ && out.size() != cols_) return status::invalid_shape;
    return static_cast<status>(simdnorm_column_state_result(state_, out.data()));
  }
  /// Bytes that serialize writes, now.
  [[nodiscard]] std::size_t serialized_size() const noexcept { return simdnorm_column_state_serialized_size(state_); }
  /// As bytes, for a file or another machine; out.size() >= serialized_size().
  [[nodiscard]] status serialize(std::span<std::byte> out) const noexcept {
    return static_cast<status>(simdnorm_column_state_serialize(state_, out.data(), out.size()));
  }
  /// What `in`, all of it, tells of. Empty (false) for bytes that are no state, or for lack of memory.
  [[nodiscard]] static column_accumulator deserialize(std::span<const std::byte> in) noexcept {
    column_accumulator a(simdnorm_column_state_serialized_cols(in.data(), in.size()));
    if (a.memory_ &&
        simdnorm_column_state_deserialize(in.data(), in.size(), a.memory_.get(), a.size_, &a.state_) != SIMDNORM_OK)
      a.reset();
    return a;
  }

 private:
  static constexpr std::align_val_t alignment{64};
  struct release {
    void operator()(void* p) const noexcept { ::operator delete(p, alignment); }
  };

  std::size_t cols_ = 0, size_ = 0;
  std::unique_ptr<void, release> memory_;
  simdnorm_column_state* state_ = nullptr;

  static std::size_t size_for(std::size_t cols) noexcept { return simdnorm_column_state_size(cols, type_of<float>); }
  static void* allocate(std::size_t size) noexcept {
    return size != 0 ? ::operator new(size, alignment, std::nothrow) : nullptr;
  }
  void reset() noexcept {
    memory_.reset();
    state_ = nullptr;
  }
  void swap(column_accumulator& other) noexcept {
    std::swap(cols_, other.cols_);
    std::swap(size_, other.size_);
    std::swap(memory_, other.memory_);
    std::swap(state_, other.state_);
  }
};

/// See simdnorm_batch_norm_options. What stands behind `exec` is of training alone.
struct batch_norm_options {
  double epsilon = 1e-5;
  parameter_view gamma{}, beta{};
  padding pad{};
  const executor* exec = nullptr;
  double momentum = 0.1;
  bool biased_running_variance = false;
  statistics_view running_mean{}, running_variance{};
  statistics_view mean_out{}, rstd_out{};
};

namespace detail {

inline simdnorm_batch_norm_options c_options(const batch_norm_options& options, activation_function last,
                                             const simdnorm_const_tensor* residual = nullptr) noexcept {
  return {.struct_size = sizeof(simdnorm_batch_norm_options),
          .epsilon = options.epsilon,
          .gamma = options.gamma.c(),
          .beta = options.beta.c(),
          .padding = options.pad.c,
          .executor = options.exec,
          .momentum = options.momentum,
          .biased_running_variance = options.biased_running_variance,
          .running_mean = options.running_mean.c(),
          .running_variance = options.running_variance.c(),
          .mean = options.mean_out.c(),
          .rstd = options.rstd_out.c(),
          .activation = static_cast<simdnorm_activation>(last),
          .residual = residual};
}

// A matrix as the residual of a batch norm.
inline simdnorm_const_tensor c_residual(const simdnorm_const_matrix& m) noexcept {
  return {m.data, {m.rows, m.cols}, {m.row_stride, 1}, 2, m.type};
}

}  // namespace detail

/// Normalizes columns by the statistics of their real rows; updates running statistics if given.
[[nodiscard]] inline status batch_norm_training(input_matrix x, output_matrix y, const batch_norm_options& options = {},
                                                activation_function last = activation_function::none) noexcept {
  return detail::call(simdnorm_batch_norm_training, x, y, detail::c_options(options, last));
}

/// y = last(batch_norm(x) + residual), by the statistics of x.
[[nodiscard]] inline status batch_norm_training_add(input_matrix x, input_matrix residual, output_matrix y,
                                                    const batch_norm_options& options = {},
                                                    activation_function last = activation_function::relu) noexcept {
  const simdnorm_const_tensor r = detail::c_residual(residual.c());
  return detail::call(simdnorm_batch_norm_training, x, y, detail::c_options(options, last, &r));
}

/// Normalizes columns by given statistics, [cols] each.
[[nodiscard]] inline status batch_norm_inference(input_matrix x, output_matrix y, parameter_view mean,
                                                 parameter_view variance, const batch_norm_options& options = {},
                                                 activation_function last = activation_function::none) noexcept {
  return detail::call(simdnorm_batch_norm_inference, x, y, mean, variance, detail::c_options(options, last));
}

/// y = last(batch_norm(x) + residual), by given statistics.
[[nodiscard]] inline status batch_norm_inference_add(input_matrix x, input_matrix residual, output_matrix y,
                                                     parameter_view mean, parameter_view variance,
                                                     const batch_norm_options& options = {},
                                                     activation_function last = activation_function::relu) noexcept {
  const simdnorm_const_tensor r = detail::c_residual(residual.c());
  return detail::call(simdnorm_batch_norm_inference, x, y, mean, variance, detail::c_options(options, last, &r));
}

/// See simdnorm_standardize_options.
struct standardize_options {
  padding pad{};
  const executor* exec = nullptr;
  parameter_view weights{};  ///< of rows; empty: ones. Not looked at by transform and inverse
  bool nan_is_missing = false;
  bool with_mean = true, with_std = true;
};

/// See simdnorm_min_max_options.
struct min_max_options {
  double low = 0.0, high = 1.0;
  padding pad{};
  const executor* exec = nullptr;
  bool nan_is_missing = false;
  bool clip = false;
};

/// See simdnorm_max_abs_options.
struct max_abs_options {
  padding pad{};
  const executor* exec = nullptr;
  bool nan_is_missing = false;
};

namespace detail {

inline simdnorm_standardize_options c_options(const standardize_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_standardize_options),
          .padding = options.pad.c,
          .executor = options.exec,
          .weights = options.weights.c(),
          .nan_is_missing = options.nan_is_missing,
          .with_mean = options.with_mean,
          .with_std = options.with_std};
}

inline simdnorm_min_max_options c_options(const min_max_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_min_max_options),
          .low = options.low,
          .high = options.high,
          .padding = options.pad.c,
          .executor = options.exec,
          .nan_is_missing = options.nan_is_missing,
          .clip = options.clip};
}

inline simdnorm_max_abs_options c_options(const max_abs_options& options) noexcept {
  return {.struct_size = sizeof(simdnorm_max_abs_options),
          .padding = options.pad.c,
          .executor = options.exec,
          .nan_is_missing = options.nan_is_missing};
}

// Parameters that a fit in one call with its transform may leave out: an empty span is null.
template <class... T>
bool fits(std::size_t cols, std::span<T>... parameters) noexcept {
  return ((parameters.empty() || parameters.size() == cols) && ...);
}

}  // namespace detail

/// mean and scale (standard deviation, 1 for a constant column) of every column.
[[nodiscard]] inline status standardize_fit(input_matrix x, std::span<double> mean, std::span<double> scale,
                                            const standardize_options& options = {}) noexcept {
  if (mean.size() != x.c().cols || scale.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_standardize_fit, x, mean, scale, detail::c_options(options));
}

/// The same from moments.
[[nodiscard]] inline status standardize_parameters(std::span<const moments> of, std::span<double> mean,
                                                   std::span<double> scale,
                                                   const standardize_options& options = {}) noexcept {
  if (mean.size() != of.size() || scale.size() != of.size()) return status::invalid_shape;
  return detail::call(simdnorm_standardize_parameters, of, of.size(), mean, scale, detail::c_options(options));
}

/// y = (x - mean) / scale.
[[nodiscard]] inline status standardize_transform(input_matrix x, output_matrix y, std::span<const double> mean,
                                                  std::span<const double> scale,
                                                  const standardize_options& options = {}) noexcept {
  if (mean.size() != x.c().cols || scale.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_standardize_transform, x, y, mean, scale, detail::c_options(options));
}

/// x = y * scale + mean.
[[nodiscard]] inline status standardize_inverse(input_matrix y, output_matrix x, std::span<const double> mean,
                                                std::span<const double> scale,
                                                const standardize_options& options = {}) noexcept {
  if (mean.size() != y.c().cols || scale.size() != y.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_standardize_inverse, y, x, mean, scale, detail::c_options(options));
}

/// Fit and transform; an empty span: not wanted.
[[nodiscard]] inline status standardize(input_matrix x, output_matrix y, std::span<double> mean,
                                        std::span<double> scale, const standardize_options& options = {}) noexcept {
  if (!detail::fits(x.c().cols, mean, scale)) return status::invalid_shape;
  return detail::call(simdnorm_standardize, x, y, mean, scale, detail::c_options(options));
}

/// Least and greatest value of every column.
[[nodiscard]] inline status min_max_fit(input_matrix x, std::span<double> min, std::span<double> max,
                                        const min_max_options& options = {}) noexcept {
  if (min.size() != x.c().cols || max.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_min_max_fit, x, min, max, detail::c_options(options));
}

/// The same from moments.
[[nodiscard]] inline status min_max_parameters(std::span<const moments> of, std::span<double> min,
                                               std::span<double> max) noexcept {
  if (min.size() != of.size() || max.size() != of.size()) return status::invalid_shape;
  return detail::call(simdnorm_min_max_parameters, of, of.size(), min, max);
}

/// y = (x - min) / (max - min) * (high - low) + low.
[[nodiscard]] inline status min_max_transform(input_matrix x, output_matrix y, std::span<const double> min,
                                              std::span<const double> max,
                                              const min_max_options& options = {}) noexcept {
  if (min.size() != x.c().cols || max.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_min_max_transform, x, y, min, max, detail::c_options(options));
}

/// x = (y - low) / (high - low) * (max - min) + min.
[[nodiscard]] inline status min_max_inverse(input_matrix y, output_matrix x, std::span<const double> min,
                                            std::span<const double> max, const min_max_options& options = {}) noexcept {
  if (min.size() != y.c().cols || max.size() != y.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_min_max_inverse, y, x, min, max, detail::c_options(options));
}

/// Fit and transform; an empty span: not wanted.
[[nodiscard]] inline status min_max(input_matrix x, output_matrix y, std::span<double> min, std::span<double> max,
                                    const min_max_options& options = {}) noexcept {
  if (!detail::fits(x.c().cols, min, max)) return status::invalid_shape;
  return detail::call(simdnorm_min_max, x, y, min, max, detail::c_options(options));
}

/// The greatest |x| of every column, 1 where that is 0.
[[nodiscard]] inline status max_abs_fit(input_matrix x, std::span<double> scale,
                                        const max_abs_options& options = {}) noexcept {
  if (scale.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_max_abs_fit, x, scale, detail::c_options(options));
}

/// The same from moments.
[[nodiscard]] inline status max_abs_parameters(std::span<const moments> of, std::span<double> scale) noexcept {
  if (scale.size() != of.size()) return status::invalid_shape;
  return detail::call(simdnorm_max_abs_parameters, of, of.size(), scale);
}

/// y = x / scale.
[[nodiscard]] inline status max_abs_transform(input_matrix x, output_matrix y, std::span<const double> scale,
                                              const max_abs_options& options = {}) noexcept {
  if (scale.size() != x.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_max_abs_transform, x, y, scale, detail::c_options(options));
}

/// x = y * scale.
[[nodiscard]] inline status max_abs_inverse(input_matrix y, output_matrix x, std::span<const double> scale,
                                            const max_abs_options& options = {}) noexcept {
  if (scale.size() != y.c().cols) return status::invalid_shape;
  return detail::call(simdnorm_max_abs_inverse, y, x, scale, detail::c_options(options));
}

/// Fit and transform; an empty span: not wanted.
[[nodiscard]] inline status max_abs(input_matrix x, output_matrix y, std::span<double> scale,
                                    const max_abs_options& options = {}) noexcept {
  if (!detail::fits(x.c().cols, scale)) return status::invalid_shape;
  return detail::call(simdnorm_max_abs, x, y, scale, detail::c_options(options));
}

}  // namespace simdnorm

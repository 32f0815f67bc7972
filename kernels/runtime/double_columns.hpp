// SPDX-License-Identifier: Apache-2.0
//
// Norms of f64 columns and channels, behind the C entries of api_columns.cpp and api_channels.cpp.
#pragma once

#include "runtime/channels.hpp"
#include "runtime/checks.hpp"
#include "runtime/split.hpp"
#include "table.hpp"

namespace simdnorm {

// How a scaler makes its two parameters of moments, and what they do.
struct double_scaler {
  enum kind_of { standardize, min_max, max_abs };
  kind_of kind;
  bool inverse = false;
  bool clip = false;
  double low = 0.0, high = 1.0;
  const simdnorm_standardize_options* options = nullptr;  // of a fit
};

// What all of them are given. A fit writes one and two (null: not wanted), else they are read.
struct double_column_call {
  const simdnorm_const_matrix* x;
  const simdnorm_matrix* y;  // null: a fit alone
  const simdnorm_padding& padding;
  const simdnorm_executor* executor;
  bool nan_is_missing;
  const simdnorm_const_vector& weights;
  double* one;
  double* two;
  bool fits;
};

template <class View>
bool is_double(const View* x) noexcept {
  return x != nullptr && x->type == SIMDNORM_F64;
}

// What follows gamma and beta: a residual, ReLU.
struct fused_output {
  const void* residual = nullptr;  // null: none
  ptrdiff_t stride = 0;
  bool relu = false;
  simdnorm_type type = SIMDNORM_F32;  // of the residual
};
// The activation and the residual of a batch norm whose x and y have been checked; of api_columns.cpp.
simdnorm_status check_fused(const simdnorm_const_matrix* x, const region& y, const simdnorm_batch_norm_options& o,
                            fused_output& fused, region& r) noexcept;

// Vectors of a batch norm, training's or, with mean and variance, inference's: where they are written, and read.
struct batch_norm_vectors {
  region written[4] = {}, read[5] = {};  // the last: of its padding
};
simdnorm_status check_batch_norm(const simdnorm_batch_norm_options& o, const simdnorm_const_vector* mean,
                                 const simdnorm_const_vector* variance, size_t channels,
                                 batch_norm_vectors& v) noexcept;
// What the kernel is told of it.
double_normalizer_arguments batch_norm_arguments(const simdnorm_batch_norm_options& o,
                                                 const simdnorm_const_vector* mean,
                                                 const simdnorm_const_vector* variance,
                                                 double_columns& columns) noexcept;
// Rows of a matrix of so many columns; of its elements, gaps are what a mask says.
double_gaps gaps_of(const simdnorm_padding& padding, size_t cols) noexcept;

// work(first, last) for strips of columns, each one task.
template <class Work>
simdnorm_status for_double_strips(size_t cols, const simdnorm_executor* executor, Work work) noexcept {
  const size_t strips = (cols + double_columns_per_strip - 1) / double_columns_per_strip;
  return for_tasks(executor, strips, [&](size_t i) {
    const size_t first = i * double_columns_per_strip;
    work(first, first + double_columns_per_strip < cols ? first + double_columns_per_strip : cols);
  });
}

simdnorm_status scale_doubles(const double_column_call& c, const double_scaler& s) noexcept;
simdnorm_status moments_of_doubles(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                   const simdnorm_column_options& o) noexcept;
simdnorm_status batch_norm_doubles(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                   const simdnorm_const_vector* mean, const simdnorm_const_vector* variance,
                                   const simdnorm_batch_norm_options& o) noexcept;

// Of [batch, channels, spatial...].
simdnorm_status batch_norm_double_channels(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                           const simdnorm_const_vector* mean, const simdnorm_const_vector* variance,
                                           const simdnorm_batch_norm_options& o) noexcept;

simdnorm_status group_norm_doubles(const group_call& g) noexcept;

// standardize_fit's rule, of api_columns.cpp.
void standardize_parameters_of(const simdnorm_standardize_options& o, double mean, double m2, double weight,
                               double& to_mean, double& to_scale) noexcept;

}  // namespace simdnorm

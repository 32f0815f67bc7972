// SPDX-License-Identifier: Apache-2.0
//
// Column norms of f64, behind the C entries of api_columns.cpp: padding of rows, no weights, NaN never missing.
#pragma once

#include "simdnorm/simdnorm.h"

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
  bool more;  // weights, or NaN means missing: not for f64
  double* one;
  double* two;
  bool fits;
};

inline bool is_double(const simdnorm_const_matrix* x) noexcept {
  return x != nullptr && x->type == SIMDNORM_F64;
}

simdnorm_status scale_doubles(const double_column_call& c, const double_scaler& s) noexcept;
simdnorm_status moments_of_doubles(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                   const simdnorm_column_options& o) noexcept;
simdnorm_status batch_norm_doubles(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                   const simdnorm_const_vector* mean, const simdnorm_const_vector* variance,
                                   const simdnorm_batch_norm_options& o) noexcept;

// standardize_fit's rule, of api_columns.cpp.
void standardize_parameters_of(const simdnorm_standardize_options& o, double mean, double m2, double weight,
                               double& to_mean, double& to_scale) noexcept;

}  // namespace simdnorm

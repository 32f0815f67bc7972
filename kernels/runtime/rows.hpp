// SPDX-License-Identifier: Apache-2.0
//
// What the C entries of row norms share: api_rows.cpp has the plain ones, api_fused_rows.cpp those with more
// before or behind the norm.
#pragma once

#include "runtime/checks.hpp"
#include "table.hpp"

namespace simdnorm {

using fused_row_kernel = void (*kernel_table::*)(const fused_row_arguments&, const block&) noexcept;

// What layer_norm, rms_norm and l2_norm have in common; the parts that one lacks are empty vectors.
struct row_norm_call {
  const simdnorm_const_matrix* x;
  const simdnorm_matrix* y;
  double epsilon;
  const simdnorm_const_vector& gamma;
  const simdnorm_const_vector& beta;
  const simdnorm_vector& mean;
  const simdnorm_vector& rstd;
  const simdnorm_padding& padding;
  const simdnorm_executor* executor;
};

// And what they may have beside.
struct fused_row_call {
  const simdnorm_const_matrix* residual = nullptr;
  simdnorm_const_vector bias = {};
  const simdnorm_matrix* sum = nullptr;
  bool unit_offset = false;
};

inline constexpr simdnorm_const_vector no_input = {};
inline constexpr simdnorm_vector no_output = {};

// Checks and runs.
simdnorm_status run_fused(const row_norm_call& c, const fused_row_call& f, fused_row_kernel slot) noexcept;

}  // namespace simdnorm

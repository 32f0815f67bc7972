// SPDX-License-Identifier: Apache-2.0
//
// Checked calls of the norms of [batch, channels, spatial...]: api_channels.cpp makes them, and does those of f32,
// api_double_channels.cpp those of f64.
#pragma once

#include "runtime/checks.hpp"
#include "runtime/tensors.hpp"

namespace simdnorm {

struct channel_call {
  const kernel_table* table;
  tensor_view x, y, residual;
  layout shape;
  channel_mask mask;  // channels first
  bool relu, stream;
};

// The parts that all functions check alike; `written` and `read` have y's vectors and those that are read.
struct channel_checks {
  const simdnorm_const_tensor* x;
  const simdnorm_tensor* y;
  const simdnorm_const_tensor* residual;
  double epsilon;
  simdnorm_activation activation;
  const simdnorm_padding& padding;
  const simdnorm_executor* executor;
};
simdnorm_status check_tensors(const channel_checks& k, bool batch_merges, channel_call& c) noexcept;

// Vectors against each other (check_apart) and against the tensors.
template <size_t Outputs, size_t Inputs>
simdnorm_status check_vectors(const channel_call& c, const region (&written)[Outputs],
                              const region (&read)[Inputs]) noexcept {
  if (const simdnorm_status s = check_apart(written, read)) return s;
  if (is_empty(c.shape)) return SIMDNORM_OK;
  for (const region& r : written) {
    if (share_bytes(c.x, r) || share_bytes(c.y, r) || share_bytes(c.residual, r)) return SIMDNORM_OVERLAP;
  }
  for (const region& r : read) {
    if (share_bytes(c.y, r)) return SIMDNORM_OVERLAP;
  }
  return SIMDNORM_OK;
}

// Channels last as a matrix.
inline simdnorm_const_matrix const_matrix(const channel_call& c) {
  return {c.x.data, c.shape.batch * c.shape.size, c.shape.channels, c.x.row, c.x.type};
}
inline simdnorm_matrix matrix(const channel_call& c) {
  return {const_cast<void*>(c.y.data), c.shape.batch * c.shape.size, c.shape.channels, c.y.row, c.y.type};
}

// Options of the matrix function, with the residual as rows.
struct matrix_options {
  matrix_options(const channel_call& c, const simdnorm_batch_norm_options& o) : options(o), residual{} {
    options.struct_size = sizeof options;
    if (o.residual == nullptr) return;
    residual.data = c.residual.data;
    residual.sizes[0] = c.shape.batch * c.shape.size;
    residual.sizes[1] = c.shape.channels;
    residual.strides[0] = c.residual.row;
    residual.strides[1] = 1;
    residual.rank = 2;
    residual.type = c.residual.type;
    options.residual = &residual;
  }
  matrix_options(const matrix_options&) = delete;
  matrix_options& operator=(const matrix_options&) = delete;

  simdnorm_batch_norm_options options;
  simdnorm_const_tensor residual;
};

struct group_call {
  const channel_call& c;
  const simdnorm_group_norm_options& o;
  size_t groups, channels;  // channels of a group
};

// Channels last: where x or y would begin if the rows of this sample were those of a matrix of all samples.
inline ptrdiff_t origin_of(const tensor_view& v, const layout& shape, size_t sample) {
  return static_cast<ptrdiff_t>(sample) * (v.batch - static_cast<ptrdiff_t>(shape.size) * v.row);
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// The C entries of row norms with more before or behind the norm, and calls of the plain ones whose elements are
// masked one by one.
#include "runtime/caches.hpp"
#include "runtime/checks.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/rows.hpp"
#include "runtime/split.hpp"

namespace simdnorm {
namespace {

// A view beside x and y, of their shape; its region.
template <class Matrix>
simdnorm_status check_beside(const Matrix* m, const simdnorm_const_matrix& x, region& r, bool output) noexcept {
  if (const simdnorm_status s = check_matrix(m, r, output)) return s;
  return m->rows != x.rows || m->cols != x.cols ? SIMDNORM_INVALID_SHAPE : SIMDNORM_OK;
}

// An output may be an input, then row by row, or is apart from it.
bool may_write(const region& output, const region& input) noexcept {
  const bool in_place = output.first == input.first && output.stride_bytes == input.stride_bytes;
  return in_place || !share_bytes(output, input);
}

simdnorm_status check(const row_norm_call& c, const fused_row_call& f) noexcept {
  // y and sum; mean and rstd. Inputs that outputs must keep off; those that y and sum may be.
  region written[4] = {}, read[4] = {}, x, residual = {};
  if (const simdnorm_status s = check_pair(c.x, c.y, x, written[0])) return s;
  if (f.residual != nullptr) {
    if (const simdnorm_status s = check_beside(f.residual, *c.x, residual, false)) return s;
  }
  if (f.sum != nullptr) {
    if (const simdnorm_status s = check_beside(f.sum, *c.x, written[1], true)) return s;
  }
  if (const simdnorm_status s = check_epsilon(c.epsilon)) return s;
  if (const simdnorm_status s = check_vector(c.gamma, c.x->cols, read[0])) return s;
  if (const simdnorm_status s = check_vector(c.beta, c.x->cols, read[1])) return s;
  if (const simdnorm_status s = check_vector(f.bias, c.x->cols, read[2])) return s;
  if (const simdnorm_status s = check_vector(c.mean, c.x->rows, written[2])) return s;
  if (const simdnorm_status s = check_vector(c.rstd, c.x->rows, written[3])) return s;
  if (const simdnorm_status s = check_padding(c.padding, c.x->rows, c.x->cols, axis::row, read[3])) return s;
  if (const simdnorm_status s = check_executor(c.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  if (!may_write(written[0], residual) || !may_write(written[1], x) || !may_write(written[1], residual)) {
    return SIMDNORM_OVERLAP;
  }
  for (const region* vector = written + 2; vector < written + 4; ++vector) {
    if (share_bytes(*vector, x) || share_bytes(*vector, residual)) return SIMDNORM_OVERLAP;
  }
  return SIMDNORM_OK;
}

}  // namespace

simdnorm_status run_fused(const row_norm_call& c, const fused_row_call& f, fused_row_kernel slot) noexcept {
  if (const simdnorm_status s = check(c, f)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (c.x->rows == 0 || c.x->cols == 0) return SIMDNORM_OK;
  fused_row_arguments a = {};
  a.x = c.x->data;
  a.y = c.y->data;
  a.x_stride = c.x->row_stride;
  a.y_stride = c.y->row_stride;
  a.cols = c.x->cols;
  a.gamma = c.gamma.data;
  a.beta = c.beta.data;
  a.mean = static_cast<float*>(c.mean.data);
  a.rstd = static_cast<float*>(c.rstd.data);
  a.epsilon = c.epsilon;
  a.padding = c.padding;
  a.stream = c.x->rows * a.cols * sizeof(float) >= simdnorm_stream_border();
  if (f.residual != nullptr) {
    a.residual = f.residual->data;
    a.residual_stride = f.residual->row_stride;
    a.bias = f.bias.data;
  }
  if (f.sum != nullptr) {
    a.sum = f.sum->data;
    a.sum_stride = f.sum->row_stride;
  }
  a.unit_offset = f.unit_offset;
  const auto kernel = table->*slot;
  return for_row_blocks(c.executor, c.x->rows, a.cols, [&a, kernel](size_t first, size_t last) {
    kernel(a, block{first, last, 0, a.cols});
  });
}

}  // namespace simdnorm

using namespace simdnorm;

extern "C" {

simdnorm_status simdnorm_add_layer_norm(const simdnorm_const_matrix* x, const simdnorm_const_matrix* residual,
                                        simdnorm_const_vector bias, const simdnorm_matrix* sum,
                                        const simdnorm_matrix* y, const simdnorm_layer_norm_options* options) {
  simdnorm_layer_norm_options storage;
  const simdnorm_layer_norm_options* o = read_options(options, storage, simdnorm_layer_norm_defaults);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if (residual == nullptr) return SIMDNORM_NULL_POINTER;
  return run_fused({x, y, o->epsilon, o->gamma, o->beta, o->mean, o->rstd, o->padding, o->executor},
                   {.residual = residual, .bias = bias, .sum = sum}, &kernel_table::layer_norm_fused_f32);
}

simdnorm_status simdnorm_add_rms_norm(const simdnorm_const_matrix* x, const simdnorm_const_matrix* residual,
                                      simdnorm_const_vector bias, const simdnorm_matrix* sum, const simdnorm_matrix* y,
                                      const simdnorm_rms_norm_options* options) {
  simdnorm_rms_norm_options storage;
  const simdnorm_rms_norm_options* o = read_options(options, storage, simdnorm_rms_norm_defaults);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  if (residual == nullptr) return SIMDNORM_NULL_POINTER;
  return run_fused({x, y, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor},
                   {.residual = residual, .bias = bias, .sum = sum}, &kernel_table::rms_norm_fused_f32);
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// The C entries of the row-wise norms: check, dispatch, split.
#include "runtime/caches.hpp"
#include "runtime/checks.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/split.hpp"

using namespace simdnorm;

namespace {

using row_kernel = void (*)(const row_norm_arguments&, const block&) noexcept;

// What layer_norm and rms_norm have in common; the parts that one lacks are empty vectors.
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

constexpr simdnorm_const_vector no_input = {};
constexpr simdnorm_vector no_output = {};

inline simdnorm_status check(const row_norm_call& c) noexcept {
  region x, written[3], read[3];
  if (const simdnorm_status s = check_pair(c.x, c.y, x, written[0])) return s;
  if (const simdnorm_status s = check_epsilon(c.epsilon)) return s;
  if (const simdnorm_status s = check_vector(c.gamma, c.x->cols, read[0])) return s;
  if (const simdnorm_status s = check_vector(c.beta, c.x->cols, read[1])) return s;
  if (const simdnorm_status s = check_vector(c.mean, c.x->rows, written[1])) return s;
  if (const simdnorm_status s = check_vector(c.rstd, c.x->rows, written[2])) return s;
  if (const simdnorm_status s = check_padding(c.padding, c.x->rows, c.x->cols, axis::row, read[2])) return s;
  if (const simdnorm_status s = check_executor(c.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  return share_bytes(written[1], x) || share_bytes(written[2], x) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

inline simdnorm_status run(const row_norm_call& c, row_kernel kernel_table::*slot) noexcept {
  if (const simdnorm_status s = check(c)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (c.x->rows == 0 || c.x->cols == 0) return SIMDNORM_OK;

  row_norm_arguments a;
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
  a.rows_together = rows_together_of(a.cols);
  a.stream = c.x->rows * a.cols * sizeof(float) >= simdnorm_stream_border();
  const row_kernel kernel = table->*slot;
  return for_row_blocks(c.executor, c.x->rows, a.cols, [&a, kernel](size_t first, size_t last) {
    kernel(a, block{first, last, 0, a.cols});
  });
}

}  // namespace

extern "C" {

simdnorm_status simdnorm_layer_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                    const simdnorm_layer_norm_options* options) {
  simdnorm_layer_norm_options storage;
  const simdnorm_layer_norm_options* o = read_options(options, storage, simdnorm_layer_norm_defaults);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  return run({x, y, o->epsilon, o->gamma, o->beta, o->mean, o->rstd, o->padding, o->executor},
             &kernel_table::layer_norm_f32);
}

simdnorm_status simdnorm_rms_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                  const simdnorm_rms_norm_options* options) {
  simdnorm_rms_norm_options storage;
  const simdnorm_rms_norm_options* o = read_options(options, storage, simdnorm_rms_norm_defaults);
  if (o == nullptr) return SIMDNORM_INVALID_STRUCT;
  return run({x, y, o->epsilon, o->weight, no_input, no_output, o->rstd, o->padding, o->executor},
             &kernel_table::rms_norm_f32);
}

}  // extern "C"

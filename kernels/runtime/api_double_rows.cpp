// SPDX-License-Identifier: Apache-2.0
//
// Row norms of f64, behind the C entries of api_rows.cpp: check, dispatch, split. A row stays on one thread.
#include "runtime/caches.hpp"
#include "runtime/checks.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/rows.hpp"
#include "runtime/split.hpp"

namespace simdnorm {
namespace {

simdnorm_status check(const row_norm_call& c) noexcept {
  region x, written[3], read[3];
  if (const simdnorm_status s = check_pair(c.x, c.y, x, written[0], types::f64)) return s;
  if (const simdnorm_status s = check_epsilon(c.epsilon)) return s;
  if (const simdnorm_status s = check_doubles(c.gamma, c.x->cols, true, read[0])) return s;
  if (const simdnorm_status s = check_doubles(c.beta, c.x->cols, true, read[1])) return s;
  if (const simdnorm_status s = check_doubles(c.mean, c.x->rows, false, written[1])) return s;
  if (const simdnorm_status s = check_doubles(c.rstd, c.x->rows, false, written[2])) return s;
  if (const simdnorm_status s = check_padding(c.padding, c.x->rows, c.x->cols, axis::row, read[2])) return s;
  if (const simdnorm_status s = check_executor(c.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  return share_bytes(written[1], x) || share_bytes(written[2], x) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

}  // namespace

simdnorm_status run_doubles(const row_norm_call& c, double_row_kernel slot) noexcept {
  if (const simdnorm_status s = check(c)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (c.x->rows == 0 || c.x->cols == 0) return SIMDNORM_OK;
  double_row_arguments a;
  a.x = static_cast<const double*>(c.x->data);
  a.y = static_cast<double*>(c.y->data);
  a.x_stride = c.x->row_stride;
  a.y_stride = c.y->row_stride;
  a.cols = c.x->cols;
  a.gamma = c.gamma.data;
  a.beta = c.beta.data;
  a.gamma_type = c.gamma.type;
  a.beta_type = c.beta.type;
  a.mean = static_cast<double*>(c.mean.data);
  a.rstd = static_cast<double*>(c.rstd.data);
  a.epsilon = c.epsilon;
  a.padding = c.padding;
  a.stream = c.x->rows * a.cols * sizeof(double) >= simdnorm_stream_border();
  const auto kernel = table->*slot;
  return for_row_blocks(c.executor, c.x->rows, a.cols, [&a, kernel](size_t first, size_t last) {
    kernel(a, block{first, last, 0, a.cols});
  });
}

}  // namespace simdnorm

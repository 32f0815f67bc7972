// SPDX-License-Identifier: Apache-2.0
#include "padding.hpp"
#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/double_columns.hpp"
#include "runtime/split.hpp"

namespace simdnorm {
namespace {

simdnorm_status check_x(const simdnorm_const_matrix* x, const simdnorm_padding& padding,
                        const simdnorm_executor* executor, bool more, region& rx, region& pad) noexcept {
  if (const simdnorm_status s = check_matrix(x, rx, false, types::f64)) return s;
  if (const simdnorm_status s = check_padding(padding, x->rows, x->cols, axis::column, pad)) return s;
  if (more || masks_elements(padding)) return SIMDNORM_UNSUPPORTED_TYPE;
  return check_executor(executor);
}

double_column_arguments arguments_of(const simdnorm_const_matrix& x, const simdnorm_matrix* y,
                                     const simdnorm_padding& padding, double_columns& columns) noexcept {
  double_column_arguments a{};
  a.x = static_cast<const double*>(x.data);
  a.x_stride = x.row_stride;
  a.padding = padding;
  a.columns = &columns;
  if (y != nullptr) {
    a.y = static_cast<double*>(y->data);
    a.y_stride = y->row_stride;
  }
  return a;
}

// work(first, last) for strips of columns, each one task.
template <class Work>
simdnorm_status for_double_strips(size_t cols, const simdnorm_executor* executor, Work work) noexcept {
  const size_t strips = (cols + double_columns_per_strip - 1) / double_columns_per_strip;
  return for_tasks(executor, strips, [&](size_t i) {
    const size_t first = i * double_columns_per_strip;
    work(first, first + double_columns_per_strip < cols ? first + double_columns_per_strip : cols);
  });
}

double m2_of(const double_columns& c, size_t j) noexcept {
  return (c.variance[j] * static_cast<double>(c.count)) / c.factor[j] / c.factor[j];
}

// A vector of `size` doubles, or, if it is read, floats; null is fine.
template <class Vector>
simdnorm_status check_doubles(const Vector& v, size_t size, bool or_floats, region& r) noexcept {
  r = {};
  if (v.data == nullptr) return v.size == 0 || size == 0 ? SIMDNORM_OK : SIMDNORM_NULL_POINTER;
  if (v.type != SIMDNORM_F64 && !(or_floats && v.type == SIMDNORM_F32)) return SIMDNORM_UNSUPPORTED_TYPE;
  if (v.size != size) return SIMDNORM_INVALID_SHAPE;
  const size_t bytes = v.type == SIMDNORM_F64 ? sizeof(double) : sizeof(float);
  r = contiguous(v.data, size * bytes);
  return r.first % bytes == 0 ? SIMDNORM_OK : SIMDNORM_MISALIGNED;
}

}  // namespace

simdnorm_status moments_of_doubles(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                   const simdnorm_column_options& o) noexcept {
  region read[2], written[1];
  const bool more = o.weights.data != nullptr || o.nan_is_missing != 0;
  if (const simdnorm_status s = check_x(x, o.padding, o.executor, more, read[0], read[1])) return s;
  if (const simdnorm_status s = check_array(out, x->cols, written[0])) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;
  return for_double_strips(x->cols, o.executor, [&](size_t first, size_t last) {
    double_columns c;
    table->column_moments_f64(arguments_of(*x, nullptr, o.padding, c), block{0, x->rows, first, last});
    for (size_t j = 0; j < last - first; ++j) {
      out[first + j] = {};
      if (c.count == 0) continue;
      out[first + j] = {c.count,
                        canonical(c.mean[j] / c.factor[j]),
                        canonical(m2_of(c, j)),
                        canonical(c.least[j]),
                        canonical(c.greatest[j]),
                        static_cast<double>(c.count)};
    }
  });
}

simdnorm_status scale_doubles(const double_column_call& c, const double_scaler& s) noexcept {
  const size_t count = s.kind == double_scaler::max_abs ? 1 : 2;
  double* const arrays[] = {c.one, c.two};
  region rx, pad, written[3] = {}, read[3] = {};
  if (c.y != nullptr) {
    if (const simdnorm_status e = check_pair(c.x, c.y, rx, written[0], types::f64)) return e;
  }
  if (const simdnorm_status e = check_x(c.x, c.padding, c.executor, c.more && c.fits, rx, pad)) return e;
  read[0] = pad;
  for (size_t i = 0; i < count; ++i) {
    if (c.fits && c.y != nullptr && arrays[i] == nullptr) continue;
    if (const simdnorm_status e = check_array(arrays[i], c.x->cols, c.fits ? written[i + 1] : read[i + 1])) return e;
  }
  if (const simdnorm_status e = check_apart(written, read)) return e;
  if (share_bytes(written[1], rx) || share_bytes(written[2], rx)) return SIMDNORM_OVERLAP;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  const size_t rows = c.x->rows, cols = c.x->cols;
  if (rows == 0 || cols == 0) return SIMDNORM_OK;
  return for_double_strips(cols, c.executor, [&](size_t first, size_t last) {
    double_columns columns;
    double one[double_columns_per_strip], two[double_columns_per_strip];
    double_column_arguments a = arguments_of(*c.x, c.y, c.padding, columns);
    a.extremes_alone = s.kind != double_scaler::standardize;
    if (c.fits) {
      table->column_moments_f64(a, block{0, rows, first, last});
      for (size_t j = 0; j < last - first; ++j) {
        const bool none = columns.count == 0;
        if (s.kind == double_scaler::standardize) {
          standardize_parameters_of(*s.options, columns.mean[j] / columns.factor[j], m2_of(columns, j),
                                    static_cast<double>(columns.count), one[j], two[j]);
        } else {
          one[j] = none ? 0.0 : canonical(columns.least[j]);
          two[j] = none ? 0.0 : canonical(columns.greatest[j]);
          if (s.kind == double_scaler::max_abs) {
            const double least = __builtin_fabs(one[j]), greatest = __builtin_fabs(two[j]);
            const double most = least > greatest ? least : greatest;
            one[j] = two[j] = most == 0.0 ? 1.0 : canonical(most);
          }
        }
      }
      for (size_t i = 0; i < count; ++i) {
        if (arrays[i]) memcpy(arrays[i] + first, i == 0 ? one : two, (last - first) * sizeof(double));
      }
    } else {
      memcpy(one, c.one + first, (last - first) * sizeof(double));
      memcpy(two, (count == 1 ? c.one : c.two) + first, (last - first) * sizeof(double));
    }
    if (c.y == nullptr) return;
    double_normalizer_arguments p{};
    p.columns = &columns;
    p.what = s.inverse ? double_parameters::backward : double_parameters::forward;
    p.range = s.kind == double_scaler::min_max;
    if (s.kind == double_scaler::max_abs) memset(one, 0, sizeof one);
    p.one = one;
    p.two = two;
    p.offset = s.kind == double_scaler::min_max ? s.low : s.kind == double_scaler::max_abs ? -0.0 : 0.0;
    p.high = s.high;
    table->column_normalizer_f64(p, block{0, rows, 0, last - first});
    a.output = column_output::bare;
    if (s.clip && !s.inverse) {
      a.output = column_output::clipped;
      for (size_t j = 0; j < last - first; ++j) {
        columns.beta[j] = s.low;
        columns.gamma[j] = s.high;
      }
    }
    table->column_affine_f64(a, block{0, rows, first, last});
  });
}

simdnorm_status batch_norm_doubles(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                   const simdnorm_const_vector* mean, const simdnorm_const_vector* variance,
                                   const simdnorm_batch_norm_options& o) noexcept {
  region rx, written[5] = {}, read[5] = {};
  const bool training = mean == nullptr;
  if (const simdnorm_status s = check_pair(x, y, rx, written[0], types::f64)) return s;
  if (o.activation != SIMDNORM_ACTIVATION_NONE || o.residual != nullptr) return SIMDNORM_UNSUPPORTED_TYPE;
  if (const simdnorm_status s = check_epsilon(o.epsilon)) return s;
  if (training && !(o.momentum >= 0.0 && o.momentum <= 1.0)) return SIMDNORM_INVALID_MOMENTUM;
  if (const simdnorm_status s = check_doubles(o.gamma, x->cols, true, read[0])) return s;
  if (const simdnorm_status s = check_doubles(o.beta, x->cols, true, read[1])) return s;
  if (training) {
    if (const simdnorm_status s = check_doubles(o.running_mean, x->cols, false, written[1])) return s;
    if (const simdnorm_status s = check_doubles(o.running_variance, x->cols, false, written[2])) return s;
    if (const simdnorm_status s = check_doubles(o.mean, x->cols, false, written[3])) return s;
    if (const simdnorm_status s = check_doubles(o.rstd, x->cols, false, written[4])) return s;
  } else {
    if (x->cols > 0 && (mean->data == nullptr || variance->data == nullptr)) return SIMDNORM_NULL_POINTER;
    if (const simdnorm_status s = check_doubles(*mean, x->cols, false, read[2])) return s;
    if (const simdnorm_status s = check_doubles(*variance, x->cols, false, read[3])) return s;
  }
  region again;
  if (const simdnorm_status s = check_x(x, o.padding, o.executor, false, again, read[4])) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  for (size_t i = 1; i < 5; ++i) {
    if (share_bytes(written[i], rx)) return SIMDNORM_OVERLAP;
  }
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;
  return for_double_strips(x->cols, o.executor, [&](size_t first, size_t last) {
    double_columns columns;
    double_column_arguments a = arguments_of(*x, y, o.padding, columns);
    const block all{0, x->rows, first, last};
    double_normalizer_arguments p{};
    p.columns = &columns;
    p.epsilon = o.epsilon;
    p.gamma = o.gamma.data;
    p.beta = o.beta.data;
    p.gamma_type = o.gamma.type;
    p.beta_type = o.beta.type;
    if (training) {
      table->column_moments_f64(a, all);
      p.what = double_parameters::batch;
      p.momentum = o.momentum;
      p.biased = o.biased_running_variance != 0;
      p.mean = static_cast<double*>(o.mean.data);
      p.rstd = static_cast<double*>(o.rstd.data);
      p.running_mean = static_cast<double*>(o.running_mean.data);
      p.running_variance = static_cast<double*>(o.running_variance.data);
    } else {
      p.what = double_parameters::given;
      p.one = static_cast<const double*>(mean->data);
      p.two = static_cast<const double*>(variance->data);
    }
    table->column_normalizer_f64(p, all);
    a.output = o.gamma.data != nullptr || o.beta.data != nullptr ? column_output::affine : column_output::bare;
    table->column_affine_f64(a, all);
  });
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
#include "padding.hpp"
#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/double_columns.hpp"
#include "runtime/split.hpp"

namespace simdnorm {
namespace {

// Weights of rows, doubles or floats: each is finite and not negative. `unit` brings the largest of doubles near 1.
simdnorm_status check_weights(const simdnorm_const_vector& weights, size_t rows, region& r, double& unit) noexcept {
  unit = 1.0;
  if (const simdnorm_status s = check_doubles(weights, rows, true, r)) return s;
  if (weights.data == nullptr) return SIMDNORM_OK;
  if (weights.type == SIMDNORM_F32) return simdnorm::check_weights(weights, rows, r);
  const auto* w = static_cast<const double*>(weights.data);
  double most = 0.0;
  for (size_t i = 0; i < rows; ++i) {
    if (!(w[i] >= 0.0 && w[i] <= 1.7976931348623157e308)) return SIMDNORM_INVALID_WEIGHT;
    most = w[i] > most ? w[i] : most;
  }
  uint64_t exponent = __builtin_bit_cast(uint64_t, most) >> 52;  // of most, biased
  exponent = exponent < 1 ? 1 : exponent > 2045 ? 2045 : exponent;
  if (most > 0.0) unit = __builtin_bit_cast(double, (2046 - exponent) << 52);
  return SIMDNORM_OK;
}

// Where x, padding and weights are read; `gaps` of fits.
simdnorm_status check_x(const simdnorm_const_matrix* x, const simdnorm_padding& padding,
                        const simdnorm_executor* executor, bool nan_is_missing, const simdnorm_const_vector& weights,
                        region (&read)[3], double_gaps& gaps) noexcept {
  if (const simdnorm_status s = check_matrix(x, read[0], false, types::f64)) return s;
  if (const simdnorm_status s = check_padding(padding, x->rows, x->cols, axis::column, read[1])) return s;
  gaps = gaps_of(padding, x->cols);
  gaps.nan_is_missing = nan_is_missing;
  if (const simdnorm_status s = check_weights(weights, x->rows, read[2], gaps.weight_unit)) return s;
  gaps.weights = weights.data;
  gaps.weights_type = weights.type;
  return check_executor(executor);
}

double_column_arguments arguments_of(const simdnorm_const_matrix& x, const simdnorm_matrix* y,
                                     const simdnorm_padding& padding, const double_gaps& gaps,
                                     double_columns& columns) noexcept {
  double_column_arguments a{};
  a.x = static_cast<const double*>(x.data);
  a.x_stride = x.row_stride;
  a.padding = padding;
  a.gaps = gaps;
  a.columns = &columns;
  a.set_cols = 1;
  if (y != nullptr) {
    a.y = static_cast<double*>(y->data);
    a.y_stride = y->row_stride;
  }
  return a;
}

double weight_of(const double_columns& c, const double_gaps& gaps, size_t j) noexcept {
  return c.weight[j] / gaps.weight_unit;
}
double m2_of(const double_columns& c, const double_gaps& gaps, size_t j) noexcept {
  return (c.variance[j] * c.weight[j]) / c.factor[j] / c.factor[j] / gaps.weight_unit;
}

}  // namespace

double_gaps gaps_of(const simdnorm_padding& padding, size_t cols) noexcept {
  double_gaps g{};
  g.weight_unit = 1.0;
  if (!masks_elements(padding)) return g;
  const bool bits = padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  g.mask.kind = bits ? channel_mask::bits : channel_mask::bytes;
  g.mask.data = padding.data;
  g.mask.plane_step = bits ? (cols + 7) / 8 * 8 : cols;
  return g;
}

simdnorm_status moments_of_doubles(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                   const simdnorm_column_options& o) noexcept {
  region read[3], written[1];
  double_gaps gaps;
  if (const simdnorm_status s = check_x(x, o.padding, o.executor, o.nan_is_missing != 0, o.weights, read, gaps)) {
    return s;
  }
  if (const simdnorm_status s = check_array(out, x->cols, written[0])) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;
  return for_double_strips(x->cols, o.executor, [&](size_t first, size_t last) {
    double_columns c;
    table->column_moments_f64(arguments_of(*x, nullptr, o.padding, gaps, c), block{0, x->rows, first, last});
    for (size_t j = 0; j < last - first; ++j) {
      out[first + j] = {};
      if (c.count[j] == 0) continue;
      out[first + j] = {c.count[j],
                        canonical(c.mean[j] / c.factor[j]),
                        canonical(m2_of(c, gaps, j)),
                        canonical(c.least[j]),
                        canonical(c.greatest[j]),
                        weight_of(c, gaps, j)};
    }
  });
}

simdnorm_status scale_doubles(const double_column_call& c, const double_scaler& s) noexcept {
  const size_t count = s.kind == double_scaler::max_abs ? 1 : 2;
  double* const arrays[] = {c.one, c.two};
  region rx, form[3], written[3] = {}, read[4] = {};
  double_gaps gaps;
  constexpr simdnorm_const_vector none{};
  if (c.y != nullptr) {
    if (const simdnorm_status e = check_pair(c.x, c.y, rx, written[0], types::f64)) return e;
  }
  if (const simdnorm_status e =
          check_x(c.x, c.padding, c.executor, c.nan_is_missing, c.fits ? c.weights : none, form, gaps)) {
    return e;
  }
  rx = form[0];
  read[0] = form[1];
  read[1] = form[2];
  for (size_t i = 0; i < count; ++i) {
    if (c.fits && c.y != nullptr && arrays[i] == nullptr) continue;
    if (const simdnorm_status e = check_array(arrays[i], c.x->cols, c.fits ? written[i + 1] : read[i + 2])) return e;
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
    double_column_arguments a = arguments_of(*c.x, c.y, c.padding, gaps, columns);
    a.extremes_alone = s.kind != double_scaler::standardize;
    if (c.fits) {
      table->column_moments_f64(a, block{0, rows, first, last});
      for (size_t j = 0; j < last - first; ++j) {
        const bool empty = columns.count[j] == 0;
        if (s.kind == double_scaler::standardize) {
          standardize_parameters_of(*s.options, columns.mean[j] / columns.factor[j], m2_of(columns, gaps, j),
                                    weight_of(columns, gaps, j), one[j], two[j]);
        } else {
          one[j] = empty ? 0.0 : canonical(columns.least[j]);
          two[j] = empty ? 0.0 : canonical(columns.greatest[j]);
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
    if (s.clip && !s.inverse) {
      a.clip = true;
      for (size_t j = 0; j < last - first; ++j) {
        columns.beta[j] = s.low;
        columns.gamma[j] = s.high;
      }
    }
    table->column_affine_f64(a, block{0, rows, first, last});
  });
}

simdnorm_status check_batch_norm(const simdnorm_batch_norm_options& o, const simdnorm_const_vector* mean,
                                 const simdnorm_const_vector* variance, size_t channels,
                                 batch_norm_vectors& v) noexcept {
  if (const simdnorm_status s = check_epsilon(o.epsilon)) return s;
  if (mean == nullptr && !(o.momentum >= 0.0 && o.momentum <= 1.0)) return SIMDNORM_INVALID_MOMENTUM;
  if (const simdnorm_status s = check_doubles(o.gamma, channels, true, v.read[0])) return s;
  if (const simdnorm_status s = check_doubles(o.beta, channels, true, v.read[1])) return s;
  if (mean != nullptr) {
    if (channels > 0 && (mean->data == nullptr || variance->data == nullptr)) return SIMDNORM_NULL_POINTER;
    if (const simdnorm_status s = check_doubles(*mean, channels, false, v.read[2])) return s;
    return check_doubles(*variance, channels, false, v.read[3]);
  }
  const simdnorm_vector* const outputs[] = {&o.running_mean, &o.running_variance, &o.mean, &o.rstd};
  for (size_t i = 0; i < 4; ++i) {
    if (const simdnorm_status s = check_doubles(*outputs[i], channels, false, v.written[i])) return s;
  }
  return SIMDNORM_OK;
}

double_normalizer_arguments batch_norm_arguments(const simdnorm_batch_norm_options& o,
                                                 const simdnorm_const_vector* mean,
                                                 const simdnorm_const_vector* variance,
                                                 double_columns& columns) noexcept {
  double_normalizer_arguments p{};
  p.columns = &columns;
  p.epsilon = o.epsilon;
  p.gamma = o.gamma.data;
  p.beta = o.beta.data;
  p.gamma_type = o.gamma.type;
  p.beta_type = o.beta.type;
  if (mean != nullptr) {
    p.what = double_parameters::given;
    p.one = static_cast<const double*>(mean->data);
    p.two = static_cast<const double*>(variance->data);
    return p;
  }
  p.what = double_parameters::batch;
  p.momentum = o.momentum;
  p.biased = o.biased_running_variance != 0;
  p.mean = static_cast<double*>(o.mean.data);
  p.rstd = static_cast<double*>(o.rstd.data);
  p.running_mean = static_cast<double*>(o.running_mean.data);
  p.running_variance = static_cast<double*>(o.running_variance.data);
  return p;
}

simdnorm_status batch_norm_doubles(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                   const simdnorm_const_vector* mean, const simdnorm_const_vector* variance,
                                   const simdnorm_batch_norm_options& o) noexcept {
  region rx, ry[1], rr, form[3];
  fused_output fused;
  batch_norm_vectors v;
  double_gaps gaps;
  if (const simdnorm_status s = check_pair(x, y, rx, ry[0], types::f64)) return s;
  if (const simdnorm_status s = check_fused(x, ry[0], o, fused, rr)) return s;
  if (const simdnorm_status s = check_batch_norm(o, mean, variance, x->cols, v)) return s;
  if (const simdnorm_status s = check_x(x, o.padding, o.executor, false, {}, form, gaps)) return s;
  v.read[4] = form[1];
  const region beside[] = {rx, rr};
  if (const simdnorm_status s = check_apart(ry, v.read)) return s;
  if (const simdnorm_status s = check_apart(ry, v.written)) return s;
  if (const simdnorm_status s = check_apart(v.written, v.read)) return s;
  if (const simdnorm_status s = check_apart(v.written, beside)) return s;
  const kernel_table* table = active_table();
  if (table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (x->rows == 0 || x->cols == 0) return SIMDNORM_OK;
  return for_double_strips(x->cols, o.executor, [&](size_t first, size_t last) {
    double_columns columns;
    double_column_arguments a = arguments_of(*x, y, o.padding, gaps, columns);
    a.residual = static_cast<const double*>(fused.residual);
    a.residual_stride = fused.stride;
    a.relu = fused.relu;
    const block all{0, x->rows, first, last};
    if (mean == nullptr) table->column_moments_f64(a, all);
    table->column_normalizer_f64(batch_norm_arguments(o, mean, variance, columns), all);
    table->column_affine_f64(a, all);
  });
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// The C entries of the column-wise norms: check, dispatch, and for each strip of columns fold its
// statistics, turn them into parameters, apply these. column_state.cpp has the streaming moments.
#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"

using namespace simdnorm;

namespace {

// y = (x - shift) * scale + offset over the rows, columns [first, last).
simdnorm_status apply(const kernel_table& table, const column_source& x, const simdnorm_matrix& y,
                      const column_parameters& parameters, size_t first, size_t last,
                      const simdnorm_executor* executor) noexcept {
  const column_affine_arguments a{
      x.x, y.data, x.x_stride, y.row_stride, x.padding, &parameters, beyond_caches(y.rows, y.cols, 1)};
  return for_row_blocks(executor, x.rows, last - first, [&](size_t row_first, size_t row_last) {
    table.column_affine_f32(a, block{row_first, row_last, first, last});
  });
}

// y = (x - shift) * scale + offset, and in f32 shifted elsewhere.
struct scaling {
  double shift, scale, offset;
  float f32_shift, f32_offset;
};

scaling shifted_to(float f32_shift, double shift, double scale, double offset) {
  return {shift, scale, offset, f32_shift,
          static_cast<float>(offset + (static_cast<double>(f32_shift) - shift) * scale)};
}

// y = (x - mean) / deviation, shifted like the kernel column_normalizer. A deviation of 1 is what the fit
// gives a constant column: shifted by its mean it comes out as exactly 0.
scaling standardized(double mean, double deviation) {
  const bool small = (__builtin_fabs(mean) < __builtin_fabs(deviation)) & (deviation != 1.0);
  return shifted_to(small ? 0.0f : static_cast<float>(mean), mean, 1.0 / deviation, 0.0);
}

// y = (x - low_x) * scale + low_y, so that low_x itself comes out as exactly low_y.
scaling from_low(double low_x, double scale, double low_y) {
  return shifted_to(static_cast<float>(low_x), low_x, scale, low_y);
}

// x = (y - low) * scale + offset. What rounding the offset to f32 loses moves into the shift, whose
// numbers are small: the opposite of standardized.
scaling backward(double low, double scale, double offset) {
  const float high = static_cast<float>(offset);
  const double lost = offset - static_cast<double>(high);
  return {low, scale, offset, static_cast<float>(scale != 0.0 ? low - lost / scale : low), high};
}

template <class Scaling>
void set_parameters(column_parameters& p, size_t first, size_t last, Scaling scaling_of) {
  p.affine = false;
  // What f32 parameters can do without overflow or underflow; NaN is not.
  const auto is_exact = [](const scaling& s) {
    const double size = __builtin_fabs(s.scale);
    return !((__builtin_fabs(s.shift) < 0x1p100) & (__builtin_fabs(s.offset) < 0x1p100) &
             (((size > 0x1p-100) & (size < 0x1p100)) | (size == 0.0)));
  };
  bool any = false;
  for (size_t i = 0; i < last - first; ++i) {
    const scaling s = scaling_of(first + i);
    const float high = static_cast<float>(s.scale * below_one);
    p.shift[i] = s.f32_shift;
    p.scale[i] = high;
    p.scale_low[i] = static_cast<float>(s.scale - static_cast<double>(high));
    p.offset[i] = s.f32_offset;
    any |= is_exact(s);
  }
  p.any_exact = any;
  for (size_t i = 0; any && i < last - first; ++i) {
    const scaling s = scaling_of(first + i);
    p.exact_shift[i] = s.shift;
    p.exact_scale[i] = s.scale;
    p.exact_offset[i] = s.offset;
    p.exact[i] = is_exact(s);
  }
}

// A checked matrix call of a column norm.
struct column_call {
  const kernel_table* table;
  column_source source;
};

simdnorm_status check_columns(const simdnorm_const_matrix* x, const simdnorm_padding& padding,
                              const simdnorm_executor* executor, region& rx, region& pad) noexcept {
  if (const simdnorm_status s = check_matrix(x, rx, false)) return s;
  if (const simdnorm_status s = check_padding(padding, x->rows, x->cols, axis::column, pad)) return s;
  return check_executor(executor);
}

simdnorm_status enter(const simdnorm_const_matrix* x, const simdnorm_padding& padding, column_call& c) noexcept {
  c.table = active_table();
  if (c.table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  c.source = {x->data, x->row_stride, x->rows, padding, beyond_caches(x->rows, x->cols, 2)};
  return SIMDNORM_OK;
}

bool empty(const simdnorm_const_matrix* x) {
  return x->rows == 0 || x->cols == 0;
}

double variance_of(const column_fold& f, size_t c) {
  return f.count > 0 ? f.m2[c] / static_cast<double>(f.count) : 0.0;
}

column_normalizer_arguments normalizer_arguments(const simdnorm_batch_norm_options& o, column_parameters& p) {
  column_normalizer_arguments a{};
  a.gamma = static_cast<const float*>(o.gamma.data);
  a.beta = static_cast<const float*>(o.beta.data);
  a.epsilon = o.epsilon;
  a.momentum = o.momentum;
  a.biased = o.biased_running_variance != 0;
  a.parameters = &p;
  return a;
}

// A fold with room for a strip.
struct strip_fold {
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  column_fold fold{0, mean, m2, nullptr, nullptr};
};

simdnorm_status check_fit(const simdnorm_const_matrix* x, const simdnorm_padding& padding,
                          const simdnorm_executor* executor, double* first, double* second) noexcept {
  region rx, pad, out[2];
  if (const simdnorm_status s = check_columns(x, padding, executor, rx, pad)) return s;
  if (const simdnorm_status s = check_array(first, x->cols, out[0])) return s;
  if (const simdnorm_status s = check_array(second, x->cols, out[1])) return s;
  const region read[] = {rx, pad};
  return check_apart(out, read);
}

// scaling_of(column) is what is done to it.
template <class Scaling>
simdnorm_status transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y, const double* first,
                          const double* second, const simdnorm_padding& padding, const simdnorm_executor* executor,
                          Scaling scaling_of) noexcept {
  region rx, written[1], pad, in[2];
  if (const simdnorm_status s = check_pair(x, y, rx, written[0])) return s;
  if (const simdnorm_status s = check_padding(padding, x->rows, x->cols, axis::column, pad)) return s;
  if (const simdnorm_status s = check_executor(executor)) return s;
  if (const simdnorm_status s = check_array(first, x->cols, in[0])) return s;
  if (const simdnorm_status s = check_array(second, x->cols, in[1])) return s;
  const region read[] = {in[0], in[1], pad};
  if (const simdnorm_status s = check_apart(written, read)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, padding, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(x->cols, executor,
                    [&](size_t from, size_t to, const simdnorm_executor* over_rows) -> simdnorm_status {
                      column_parameters p;
                      set_parameters(p, from, to, scaling_of);
                      return apply(*call.table, call.source, *y, p, from, to, over_rows);
                    });
}

simdnorm_status check_range(const simdnorm_min_max_options& o) noexcept {
  const bool finite = __builtin_isfinite(o.low) && __builtin_isfinite(o.high);
  return finite && o.low < o.high ? SIMDNORM_OK : SIMDNORM_INVALID_RANGE;
}

}  // namespace

extern "C" {

simdnorm_status simdnorm_column_moments(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                        const simdnorm_column_options* options) {
  simdnorm_column_options storage;
  const simdnorm_column_options* chosen = read_options(options, storage, simdnorm_column_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_column_options& o = *chosen;
  region rx, pad, outputs[1];
  if (const simdnorm_status s = check_columns(x, o.padding, o.executor, rx, pad)) return s;
  if (const simdnorm_status s = check_array(out, x->cols, outputs[0])) return s;
  const region read[] = {rx, pad};
  if (const simdnorm_status s = check_apart(outputs, read)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, o.padding, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(
      x->cols, o.executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
        strip_fold total;
        float min[columns_per_strip];
        float max[columns_per_strip];
        total.fold.min = min;
        total.fold.max = max;
        if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, total.fold, over_rows))
          return s;
        for (size_t c = first; c < last; ++c) {
          const size_t i = c - first;
          out[c] = make_moments(total.fold.count, total.mean[i], total.m2[i], min[i], max[i]);
        }
        return SIMDNORM_OK;
      });
}

simdnorm_status simdnorm_batch_norm_training(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                             const simdnorm_batch_norm_options* options) {
  simdnorm_batch_norm_options storage;
  const simdnorm_batch_norm_options* chosen =
      read_options(options, storage, simdnorm_batch_norm_defaults, first_batch_norm_size);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_batch_norm_options& o = *chosen;
  if (o.activation != SIMDNORM_ACTIVATION_NONE || o.residual != nullptr) return SIMDNORM_INVALID_ACTIVATION;
  region rx, pad, written[5], read[3];
  if (const simdnorm_status s = check_pair(x, y, rx, written[0])) return s;
  if (const simdnorm_status s = check_epsilon(o.epsilon)) return s;
  if (!(o.momentum >= 0.0 && o.momentum <= 1.0)) return SIMDNORM_INVALID_MOMENTUM;
  if (const simdnorm_status s = check_vector(o.gamma, x->cols, read[0])) return s;
  if (const simdnorm_status s = check_vector(o.beta, x->cols, read[1])) return s;
  if (const simdnorm_status s = check_vector(o.running_mean, x->cols, written[1])) return s;
  if (const simdnorm_status s = check_vector(o.running_variance, x->cols, written[2])) return s;
  if (const simdnorm_status s = check_vector(o.mean, x->cols, written[3])) return s;
  if (const simdnorm_status s = check_vector(o.rstd, x->cols, written[4])) return s;
  if (const simdnorm_status s = check_padding(o.padding, x->rows, x->cols, axis::column, pad)) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  read[2] = pad;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  for (size_t i = 1; i < 5; ++i) {
    if (share_bytes(written[i], rx)) return SIMDNORM_OVERLAP;
  }
  column_call call;
  if (const simdnorm_status s = enter(x, o.padding, call)) return s;
  if (empty(x)) return SIMDNORM_OK;

  return for_strips(
      x->cols, o.executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
        strip_fold total;
        if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, total.fold, over_rows))
          return s;
        column_parameters p;
        column_normalizer_arguments a = normalizer_arguments(o, p);
        a.fold = &total.fold;
        a.mean = static_cast<float*>(o.mean.data);
        a.rstd = static_cast<float*>(o.rstd.data);
        a.running_mean = static_cast<float*>(o.running_mean.data);
        a.running_variance = static_cast<float*>(o.running_variance.data);
        call.table->column_normalizer_f32(a, block{0, x->rows, first, last});
        return apply(*call.table, call.source, *y, p, first, last, over_rows);
      });
}

simdnorm_status simdnorm_batch_norm_inference(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                              simdnorm_const_vector mean, simdnorm_const_vector variance,
                                              const simdnorm_batch_norm_options* options) {
  simdnorm_batch_norm_options storage;
  const simdnorm_batch_norm_options* chosen =
      read_options(options, storage, simdnorm_batch_norm_defaults, first_batch_norm_size);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_batch_norm_options& o = *chosen;
  if (o.activation != SIMDNORM_ACTIVATION_NONE || o.residual != nullptr) return SIMDNORM_INVALID_ACTIVATION;
  region rx, written[1], read[5];
  if (const simdnorm_status s = check_pair(x, y, rx, written[0])) return s;
  if (const simdnorm_status s = check_epsilon(o.epsilon)) return s;
  if (x->cols > 0 && (mean.data == nullptr || variance.data == nullptr)) return SIMDNORM_NULL_POINTER;
  if (const simdnorm_status s = check_vector(o.gamma, x->cols, read[0])) return s;
  if (const simdnorm_status s = check_vector(o.beta, x->cols, read[1])) return s;
  if (const simdnorm_status s = check_vector(mean, x->cols, read[2])) return s;
  if (const simdnorm_status s = check_vector(variance, x->cols, read[3])) return s;
  if (const simdnorm_status s = check_padding(o.padding, x->rows, x->cols, axis::column, read[4])) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, o.padding, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(x->cols, o.executor,
                    [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
                      column_parameters p;
                      column_normalizer_arguments a = normalizer_arguments(o, p);
                      a.given_mean = static_cast<const float*>(mean.data);
                      a.given_variance = static_cast<const float*>(variance.data);
                      call.table->column_normalizer_f32(a, block{0, x->rows, first, last});
                      return apply(*call.table, call.source, *y, p, first, last, over_rows);
                    });
}

simdnorm_status simdnorm_standardize_fit(const simdnorm_const_matrix* x, double* mean, double* scale,
                                         const simdnorm_column_options* options) {
  simdnorm_column_options storage;
  const simdnorm_column_options* chosen = read_options(options, storage, simdnorm_column_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_column_options& o = *chosen;
  if (const simdnorm_status s = check_fit(x, o.padding, o.executor, mean, scale)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, o.padding, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(
      x->cols, o.executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
        strip_fold total;
        if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, total.fold, over_rows))
          return s;
        for (size_t c = first; c < last; ++c) {
          const double deviation = __builtin_sqrt(variance_of(total.fold, c - first));
          mean[c] = canonical(total.mean[c - first]);
          scale[c] = canonical(deviation == 0.0 ? 1.0 : deviation);
        }
        return SIMDNORM_OK;
      });
}

simdnorm_status simdnorm_standardize_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                               const double* mean, const double* scale,
                                               const simdnorm_column_options* options) {
  simdnorm_column_options storage;
  const simdnorm_column_options* chosen = read_options(options, storage, simdnorm_column_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_column_options& o = *chosen;
  return transform(x, y, mean, scale, o.padding, o.executor, [=](size_t c) { return standardized(mean[c], scale[c]); });
}

simdnorm_status simdnorm_standardize_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                             const double* mean, const double* scale,
                                             const simdnorm_column_options* options) {
  simdnorm_column_options storage;
  const simdnorm_column_options* chosen = read_options(options, storage, simdnorm_column_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_column_options& o = *chosen;
  return transform(y, x, mean, scale, o.padding, o.executor,
                   [=](size_t c) { return backward(0.0, scale[c], mean[c]); });
}

simdnorm_status simdnorm_min_max_fit(const simdnorm_const_matrix* x, double* min, double* max,
                                     const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  if (const simdnorm_status s = check_fit(x, o.padding, o.executor, min, max)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, o.padding, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(
      x->cols, o.executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
        float least[columns_per_strip];
        float greatest[columns_per_strip];
        column_fold fold{0, nullptr, nullptr, least, greatest};
        if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, fold, over_rows)) return s;
        const bool any = fold.count > 0;
        for (size_t c = first; c < last; ++c) {
          min[c] = any ? public_extreme(least[c - first]) : 0.0;
          max[c] = any ? public_extreme(greatest[c - first]) : 0.0;
        }
        return SIMDNORM_OK;
      });
}

simdnorm_status simdnorm_min_max_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y, const double* min,
                                           const double* max, const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  return transform(x, y, min, max, o.padding, o.executor, [=](size_t c) {
    const double extent = max[c] - min[c];
    return from_low(min[c], (o.high - o.low) / (extent != 0.0 ? extent : 1.0), o.low);
  });
}

simdnorm_status simdnorm_min_max_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x, const double* min,
                                         const double* max, const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  return transform(y, x, min, max, o.padding, o.executor, [=](size_t c) {
    const double extent = max[c] - min[c];
    return backward(o.low, (extent != 0.0 ? extent : 1.0) / (o.high - o.low), min[c]);
  });
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// The C entries of the column-wise norms: check, dispatch, and for each strip of columns fold its
// statistics, turn them into parameters, apply these. column_state.cpp has the streaming moments.
#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/double_columns.hpp"

using namespace simdnorm;

namespace {

// Where a matrix is worked on, and over which threads its rows go.
struct column_part {
  size_t row_first, row_last, first, last;
  const simdnorm_executor* executor;
};

// y = (x - shift) * scale + offset over a part, and what follows.
simdnorm_status apply(const kernel_table& table, const column_source& x, const simdnorm_matrix& y,
                      const column_parameters& parameters, const column_part& part,
                      const fused_output& fused = {}) noexcept {
  const auto over_blocks = [&part](auto work) {
    return for_row_blocks(part.executor, part.row_last - part.row_first, part.last - part.first,
                          [&part, work](size_t row_first, size_t row_last) {
                            work(block{part.row_first + row_first, part.row_first + row_last, part.first, part.last});
                          });
  };
  if (fused.residual != nullptr || fused.relu) {
    const channel_rows_affine_arguments a{x.x,          y.data,    fused.residual, x.x_stride, y.row_stride,
                                          fused.stride, x.padding, &parameters,    fused.relu, x.gaps.cols,
                                          x.type,       y.type,    fused.type};
    return over_blocks([&](const block& b) { run(table, a, b); });
  }
  const column_affine_arguments a{
      x.x,    y.data, x.x_stride, y.row_stride, x.padding, &parameters, beyond_caches(y.rows, y.cols, 1, y.type),
      x.gaps, x.type, y.type};
  return over_blocks([&](const block& b) { run(table, a, b); });
}

// How many rows go through all strips before the next do, where parameters are given and need not wait for all rows.
// Past the caches, rows at the same or the opposite place of their pages meet in the same banks of memory strip by
// strip, and lines that rows share are written twice; parameters are made anew for each strip of so many rows, some 4 %
// of its time.
size_t rows_per_part(const column_source& x, const simdnorm_matrix& y, const fused_output& fused) noexcept {
  const auto half_page = static_cast<ptrdiff_t>(2048 / bytes_of(x.type));
  const bool same_place = x.x_stride % half_page == 0 && y.row_stride % half_page == 0;
  const size_t few_strips = same_place && x.type == SIMDNORM_F32 ? 1 : 3;
  if (fused.residual != nullptr || fused.relu || y.cols <= few_strips * columns_per_strip ||
      !beyond_caches(y.rows, y.cols, 1, y.type)) {
    return y.rows;
  }
  if (same_place) return 128;
  return y.row_stride % 16 == 0 ? y.rows : 256;
}

// Calls work(part) for parts that together are the matrix.
template <class Work>
simdnorm_status for_parts(const column_source& x, const simdnorm_matrix& y, const simdnorm_executor* executor,
                          const fused_output& fused, Work work) noexcept {
  const size_t together = rows_per_part(x, y, fused);
  const size_t parts = (y.rows + together - 1) / together;
  if (parts == 1 || (is_parallel(executor) && parts < 2 * executor->threads)) {
    return for_strips(y.cols, executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) {
      return work(column_part{0, y.rows, first, last, over_rows});
    });
  }
  return for_tasks(executor, parts, [&](size_t i) {
    const size_t row_first = i * together;
    const size_t row_last = y.rows - row_first < together ? y.rows : row_first + together;
    (void)for_strips(y.cols, nullptr, [&](size_t first, size_t last, const simdnorm_executor*) {
      return work(column_part{row_first, row_last, first, last, nullptr});
    });
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
  p.output = column_output::bare;
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

// What a call's options say of the elements that count. Its executor and its weights may be null.
struct column_rules {
  const simdnorm_padding& padding;
  const simdnorm_executor* executor;
  bool nan_is_missing = false;
  simdnorm_const_vector weights{};
};

// What a column norm reads of its input's form.
struct column_regions {
  region x, padding, weights;
};

simdnorm_status check_columns(const simdnorm_const_matrix* x, const column_rules& rules, column_regions& r) noexcept {
  if (const simdnorm_status s = check_matrix(x, r.x, false, types::mixed)) return s;
  if (const simdnorm_status s = check_padding(rules.padding, x->rows, x->cols, axis::column, r.padding)) return s;
  if (const simdnorm_status s = check_weights(rules.weights, x->rows, r.weights)) return s;
  return check_executor(rules.executor);
}

simdnorm_status enter(const simdnorm_const_matrix* x, const column_rules& rules, column_call& c) noexcept {
  c.table = active_table();
  if (c.table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  c.source = source_of(*x, rules.padding, rules.nan_is_missing, rules.weights);
  return SIMDNORM_OK;
}

bool empty(const simdnorm_const_matrix* x) {
  return x->rows == 0 || x->cols == 0;
}

column_normalizer_arguments normalizer_arguments(const simdnorm_batch_norm_options& o, column_parameters& p) {
  column_normalizer_arguments a{};
  a.gamma = o.gamma;
  a.beta = o.beta;
  a.epsilon = o.epsilon;
  a.momentum = o.momentum;
  a.biased = o.biased_running_variance != 0;
  a.parameters = &p;
  return a;
}

// A fold with room for a strip.
struct strip_fold {
  explicit strip_fold(bool masked) {
    if (!masked) return;
    fold.values = values;
    fold.weight = weight;
  }
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  double values[columns_per_strip];
  double weight[columns_per_strip];
  column_fold fold{0, mean, m2, nullptr, nullptr, nullptr, nullptr};
};

// Parameters of columns: one array of doubles, or two.
struct column_arrays {
  double* array[2];
  region written[2];
};

// `required`: where a fit has nothing else to write.
simdnorm_status check_arrays(column_arrays& p, size_t count, size_t cols, bool required) noexcept {
  for (size_t i = 0; i < count; ++i) {
    if (p.array[i] == nullptr && !required) continue;
    if (const simdnorm_status s = check_array(p.array[i], cols, p.written[i])) return s;
  }
  return SIMDNORM_OK;
}

simdnorm_status check_fit(const simdnorm_const_matrix* x, const column_rules& rules, column_arrays& p,
                          size_t count) noexcept {
  column_regions r;
  if (const simdnorm_status s = check_columns(x, rules, r)) return s;
  if (const simdnorm_status s = check_arrays(p, count, x->cols, true)) return s;
  const region read[] = {r.x, r.padding, r.weights};
  return check_apart(p.written, read);
}

// A transform, and a fit before it where `p` has what that writes.
simdnorm_status check_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y, const column_rules& rules,
                                column_arrays& p, size_t count, bool fits) noexcept {
  region rx, ry;
  if (const simdnorm_status s = check_pair(x, y, rx, ry, types::mixed)) return s;
  column_regions r;
  if (const simdnorm_status s = check_columns(x, rules, r)) return s;
  if (const simdnorm_status s = check_arrays(p, count, x->cols, !fits)) return s;
  if (!fits) {
    const region written[] = {ry}, read[] = {p.written[0], p.written[1], r.padding};
    return check_apart(written, read);
  }
  const region written[] = {ry, p.written[0], p.written[1]}, read[] = {r.padding, r.weights};
  if (const simdnorm_status s = check_apart(written, read)) return s;
  return share_bytes(p.written[0], rx) || share_bytes(p.written[1], rx) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

// What a strip is fitted to: the first and second parameter of each column.
struct strip_parameters {
  double first[columns_per_strip];
  double second[columns_per_strip];
};

// Parameters of a strip from its fold, what training tells of it, and its outputs.
[[gnu::noinline]] simdnorm_status normalize_strip(const column_call& call, const simdnorm_matrix& y,
                                                  const simdnorm_batch_norm_options& o, const column_fold& fold,
                                                  size_t first, size_t last, const simdnorm_executor* over_rows,
                                                  const fused_output& fused) noexcept {
  column_parameters p;
  column_normalizer_arguments a = normalizer_arguments(o, p);
  a.fold = &fold;
  a.mean = static_cast<float*>(o.mean.data);
  a.rstd = static_cast<float*>(o.rstd.data);
  a.running_mean = static_cast<float*>(o.running_mean.data);
  a.running_variance = static_cast<float*>(o.running_variance.data);
  call.table->column_normalizer_f32(a, block{0, y.rows, first, last});
  return apply(*call.table, call.source, y, p, {0, y.rows, first, last, over_rows}, fused);
}

// A scaler says how the statistics of a strip become its parameters (fit), and what those do (scaling_of, settle).
// Folds and column_parameters are not on the stack at the same time.
template <class Scaler>
[[gnu::noinline]] simdnorm_status scale_strip(const column_call& call, const simdnorm_matrix& y, const Scaler& scaler,
                                              const column_part& part, const double* one, const double* two) noexcept {
  column_parameters p;
  const size_t first = part.first;
  set_parameters(p, first, part.last, [&](size_t c) { return scaler.scaling_of(one[c - first], two[c - first]); });
  scaler.settle(p);
  return apply(*call.table, call.source, y, p, part);
}

void tell(const column_arrays& to, const strip_parameters& p, size_t first, size_t last) noexcept {
  if (to.array[0]) memcpy(to.array[0] + first, p.first, (last - first) * sizeof(double));
  if (to.array[1]) memcpy(to.array[1] + first, p.second, (last - first) * sizeof(double));
}

template <class Scaler>
simdnorm_status fit(const simdnorm_const_matrix* x, const column_rules& rules, column_arrays to,
                    const Scaler& scaler) noexcept {
  if (is_double(x)) {
    return scale_doubles({x, nullptr, rules.padding, rules.executor, rules.nan_is_missing, rules.weights, to.array[0],
                          to.array[1], true},
                         scaler.of_doubles());
  }
  if (const simdnorm_status s = check_fit(x, rules, to, Scaler::parameters)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, rules, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(x->cols, rules.executor,
                    [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
                      strip_parameters p;
                      if (const simdnorm_status s = scaler.fit(call, first, last, over_rows, p)) return s;
                      tell(to, p, first, last);
                      return SIMDNORM_OK;
                    });
}

template <class Scaler>
simdnorm_status transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y, const column_rules& rules,
                          const double* one, const double* two, const Scaler& scaler) noexcept {
  column_arrays given{{const_cast<double*>(one), const_cast<double*>(two)}, {}};
  if (is_double(x)) {
    return scale_doubles(
        {x, y, rules.padding, rules.executor, false, rules.weights, given.array[0], given.array[1], false},
        scaler.of_doubles());
  }
  if (const simdnorm_status s = check_transform(x, y, rules, given, Scaler::parameters, false)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, rules, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_parts(call.source, *y, rules.executor, {}, [&](const column_part& part) {
    return scale_strip(call, *y, scaler, part, one + part.first, two + part.first);
  });
}

template <class Scaler>
simdnorm_status fit_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y, const column_rules& rules,
                              column_arrays to, const Scaler& scaler) noexcept {
  if (is_double(x)) {
    return scale_doubles(
        {x, y, rules.padding, rules.executor, rules.nan_is_missing, rules.weights, to.array[0], to.array[1], true},
        scaler.of_doubles());
  }
  if (const simdnorm_status s = check_transform(x, y, rules, to, Scaler::parameters, true)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, rules, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(x->cols, rules.executor,
                    [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
                      strip_parameters p;
                      if (const simdnorm_status s = scaler.fit(call, first, last, over_rows, p)) return s;
                      tell(to, p, first, last);
                      return scale_strip(call, *y, scaler, {0, x->rows, first, last, over_rows}, p.first, p.second);
                    });
}

// From moments, which say all of their columns.
template <class Parameters>
simdnorm_status from_moments(const simdnorm_moments* moments, size_t cols, column_arrays to, size_t count,
                             Parameters parameters_of) noexcept {
  if (cols > largest_size / sizeof *moments) return SIMDNORM_INVALID_SHAPE;
  region read[1];
  if (const simdnorm_status s = check_array(moments, cols, read[0])) return s;
  if (const simdnorm_status s = check_arrays(to, count, cols, true)) return s;
  if (const simdnorm_status s = check_apart(to.written, read)) return s;
  const control_word_scope ieee;
  for (size_t c = 0; c < cols; ++c) {
    double p[2];
    parameters_of(moments[c], p);
    for (size_t i = 0; i < count; ++i) to.array[i][c] = p[i];
  }
  return SIMDNORM_OK;
}

// The rule of scikit-learn (_is_constant_feature), after Chan, Golub and LeVeque's bound of the error of a variance
// in two passes. NaN is not constant.
bool is_constant(double variance, double mean, double weight) {
  constexpr double eps = 0x1p-52;
  const double error = weight * mean * eps;
  return variance <= weight * eps * variance + error * error;
}

struct standardizer {
  static constexpr size_t parameters = 2;
  const simdnorm_standardize_options& o;

  void parameters_of(double mean, double m2, double weight, double& to_mean, double& to_scale) const {
    const double variance = weight > 0.0 ? m2 / weight : 0.0;
    const bool unit = o.with_std == 0 || is_constant(variance, mean, weight);
    to_mean = o.with_mean ? canonical(mean) : 0.0;
    to_scale = unit ? 1.0 : canonical(__builtin_sqrt(variance));
  }
  simdnorm_status fit(const column_call& call, size_t first, size_t last, const simdnorm_executor* over_rows,
                      strip_parameters& p) const noexcept {
    strip_fold total(call.source.masked);
    if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, total.fold, over_rows)) return s;
    for (size_t c = 0; c < last - first; ++c) {
      const double weight = call.source.masked ? total.weight[c] : static_cast<double>(total.fold.count);
      parameters_of(total.mean[c], total.m2[c], weight, p.first[c], p.second[c]);
    }
    return SIMDNORM_OK;
  }
  scaling scaling_of(double mean, double scale) const { return standardized(mean, scale); }
  double_scaler of_doubles() const { return {double_scaler::standardize, false, false, 0.0, 1.0, &o}; }
  void settle(column_parameters&) const {}
};

struct standardizer_back {
  static constexpr size_t parameters = 2;
  scaling scaling_of(double mean, double scale) const { return backward(0.0, scale, mean); }
  double_scaler of_doubles() const { return {double_scaler::standardize, true}; }
  void settle(column_parameters&) const {}
};

// Extremes of a strip; those of an empty column are 0.
simdnorm_status fit_extremes(const column_call& call, size_t first, size_t last, const simdnorm_executor* over_rows,
                             strip_parameters& p) noexcept {
  float least[columns_per_strip];
  float greatest[columns_per_strip];
  column_fold fold{0, nullptr, nullptr, least, greatest};
  if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, fold, over_rows)) return s;
  for (size_t c = 0; c < last - first; ++c) {
    const bool none = least[c] > greatest[c];
    p.first[c] = none ? 0.0 : public_extreme(least[c]);
    p.second[c] = none ? 0.0 : public_extreme(greatest[c]);
  }
  return SIMDNORM_OK;
}

struct min_max_scaler {
  static constexpr size_t parameters = 2;
  const simdnorm_min_max_options& o;

  simdnorm_status fit(const column_call& call, size_t first, size_t last, const simdnorm_executor* over_rows,
                      strip_parameters& p) const noexcept {
    return fit_extremes(call, first, last, over_rows, p);
  }
  scaling scaling_of(double min, double max) const {
    const double extent = max - min;
    return from_low(min, (o.high - o.low) / (extent != 0.0 ? extent : 1.0), o.low);
  }
  double_scaler of_doubles() const { return {double_scaler::min_max, false, o.clip != 0, o.low, o.high}; }
  void settle(column_parameters& p) const {
    if (!o.clip) return;
    p.output = column_output::clipped;
    for (size_t c = 0; c < columns_per_strip; ++c) {
      p.beta[c] = static_cast<float>(o.low);
      p.gamma[c] = static_cast<float>(o.high);
    }
  }
};

struct min_max_back {
  static constexpr size_t parameters = 2;
  const simdnorm_min_max_options& o;
  scaling scaling_of(double min, double max) const {
    const double extent = max - min;
    return backward(o.low, (extent != 0.0 ? extent : 1.0) / (o.high - o.low), min);
  }
  double_scaler of_doubles() const { return {double_scaler::min_max, true, false, o.low, o.high}; }
  void settle(column_parameters&) const {}
};

double max_abs_of(double min, double max) {
  const double most = __builtin_fabs(min) > __builtin_fabs(max) ? __builtin_fabs(min) : __builtin_fabs(max);
  return most == 0.0 ? 1.0 : canonical(most);
}

struct max_abs_scaler {
  static constexpr size_t parameters = 1;
  simdnorm_status fit(const column_call& call, size_t first, size_t last, const simdnorm_executor* over_rows,
                      strip_parameters& p) const noexcept {
    if (const simdnorm_status s = fit_extremes(call, first, last, over_rows, p)) return s;
    for (size_t c = 0; c < last - first; ++c) p.first[c] = max_abs_of(p.first[c], p.second[c]);
    return SIMDNORM_OK;
  }
  scaling scaling_of(double scale, double) const { return shifted_to(0.0f, 0.0, 1.0 / scale, 0.0); }
  double_scaler of_doubles() const { return {double_scaler::max_abs}; }
  void settle(column_parameters&) const {}
};

struct max_abs_back {
  static constexpr size_t parameters = 1;
  scaling scaling_of(double scale, double) const { return backward(0.0, scale, 0.0); }
  double_scaler of_doubles() const { return {double_scaler::max_abs, true}; }
  void settle(column_parameters&) const {}
};

simdnorm_status check_range(const simdnorm_min_max_options& o) noexcept {
  const bool finite = __builtin_isfinite(o.low) && __builtin_isfinite(o.high);
  return finite && o.low < o.high ? SIMDNORM_OK : SIMDNORM_INVALID_RANGE;
}

}  // namespace

simdnorm_status simdnorm::check_fused(const simdnorm_const_matrix* x, const region& y,
                                      const simdnorm_batch_norm_options& o, fused_output& fused, region& r) noexcept {
  r = {};
  if (o.activation != SIMDNORM_ACTIVATION_NONE && o.activation != SIMDNORM_ACTIVATION_RELU) {
    return SIMDNORM_INVALID_ACTIVATION;
  }
  fused.relu = o.activation == SIMDNORM_ACTIVATION_RELU;
  if (o.residual == nullptr) return SIMDNORM_OK;
  const simdnorm_const_tensor& t = *o.residual;
  if (t.rank != 2 || t.sizes[0] != x->rows || t.sizes[1] != x->cols) return SIMDNORM_INVALID_SHAPE;
  if (x->cols > 1 && t.strides[1] != 1) return SIMDNORM_INVALID_STRIDE;
  const simdnorm_const_matrix m{t.data, x->rows, x->cols, t.strides[0], t.type};
  if (const simdnorm_status s = check_matrix(&m, r, false, is_double(x) ? types::f64 : types::mixed)) return s;
  fused.residual = t.data;
  fused.stride = t.strides[0];
  fused.type = t.type;
  return !same_place(r, y) && share_bytes(r, y) ? SIMDNORM_OVERLAP : SIMDNORM_OK;
}

void simdnorm::standardize_parameters_of(const simdnorm_standardize_options& o, double mean, double m2, double weight,
                                         double& to_mean, double& to_scale) noexcept {
  standardizer{o}.parameters_of(mean, m2, weight, to_mean, to_scale);
}

extern "C" {

simdnorm_status simdnorm_column_moments(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                        const simdnorm_column_options* options) {
  simdnorm_column_options storage;
  const simdnorm_column_options* chosen = read_options(options, storage, simdnorm_column_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_column_options& o = *chosen;
  if (is_double(x)) return moments_of_doubles(x, out, o);
  const column_rules rules{o.padding, o.executor, o.nan_is_missing != 0, o.weights};
  column_regions r;
  region outputs[1];
  if (const simdnorm_status s = check_columns(x, rules, r)) return s;
  if (const simdnorm_status s = check_array(out, x->cols, outputs[0])) return s;
  const region read[] = {r.x, r.padding, r.weights};
  if (const simdnorm_status s = check_apart(outputs, read)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, rules, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_strips(
      x->cols, o.executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
        strip_fold total(call.source.masked);
        float min[columns_per_strip];
        float max[columns_per_strip];
        total.fold.min = min;
        total.fold.max = max;
        if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, total.fold, over_rows))
          return s;
        for (size_t c = first; c < last; ++c) out[c] = make_moments(total.fold, c - first);
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
  if (is_double(x)) return batch_norm_doubles(x, y, nullptr, nullptr, o);
  region rx, rr, pad, written[5], read[3];
  fused_output fused;
  if (const simdnorm_status s = check_pair(x, y, rx, written[0], types::mixed)) return s;
  if (const simdnorm_status s = check_fused(x, written[0], o, fused, rr)) return s;
  if (const simdnorm_status s = check_epsilon(o.epsilon)) return s;
  if (!(o.momentum >= 0.0 && o.momentum <= 1.0)) return SIMDNORM_INVALID_MOMENTUM;
  if (const simdnorm_status s = check_vector(o.gamma, x->cols, read[0], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(o.beta, x->cols, read[1], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(o.running_mean, x->cols, written[1])) return s;
  if (const simdnorm_status s = check_vector(o.running_variance, x->cols, written[2])) return s;
  if (const simdnorm_status s = check_vector(o.mean, x->cols, written[3])) return s;
  if (const simdnorm_status s = check_vector(o.rstd, x->cols, written[4])) return s;
  if (const simdnorm_status s = check_padding(o.padding, x->rows, x->cols, axis::column, pad)) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  read[2] = pad;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  for (size_t i = 1; i < 5; ++i) {
    if (share_bytes(written[i], rx) || share_bytes(written[i], rr)) return SIMDNORM_OVERLAP;
  }
  column_call call;
  if (const simdnorm_status s = enter(x, {o.padding, o.executor}, call)) return s;
  if (empty(x)) return SIMDNORM_OK;

  return for_strips(
      x->cols, o.executor, [&](size_t first, size_t last, const simdnorm_executor* over_rows) -> simdnorm_status {
        strip_fold total(call.source.masked);
        if (const simdnorm_status s = fold_columns(*call.table, call.source, first, last, total.fold, over_rows))
          return s;
        return normalize_strip(call, *y, o, total.fold, first, last, over_rows, fused);
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
  if (is_double(x)) return batch_norm_doubles(x, y, &mean, &variance, o);
  region rx, rr, written[1], read[5];
  fused_output fused;
  if (const simdnorm_status s = check_pair(x, y, rx, written[0], types::mixed)) return s;
  if (const simdnorm_status s = check_fused(x, written[0], o, fused, rr)) return s;
  if (const simdnorm_status s = check_epsilon(o.epsilon)) return s;
  if (x->cols > 0 && (mean.data == nullptr || variance.data == nullptr)) return SIMDNORM_NULL_POINTER;
  if (const simdnorm_status s = check_vector(o.gamma, x->cols, read[0], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(o.beta, x->cols, read[1], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(mean, x->cols, read[2], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(variance, x->cols, read[3], types::mixed)) return s;
  if (const simdnorm_status s = check_padding(o.padding, x->rows, x->cols, axis::column, read[4])) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  if (const simdnorm_status s = check_apart(written, read)) return s;
  column_call call;
  if (const simdnorm_status s = enter(x, {o.padding, o.executor}, call)) return s;
  if (empty(x)) return SIMDNORM_OK;
  return for_parts(call.source, *y, o.executor, fused, [&](const column_part& part) {
    column_parameters p;
    column_normalizer_arguments a = normalizer_arguments(o, p);
    a.given_mean = mean;
    a.given_variance = variance;
    call.table->column_normalizer_f32(a, block{part.row_first, part.row_last, part.first, part.last});
    return apply(*call.table, call.source, *y, p, part, fused);
  });
}

simdnorm_status simdnorm_standardize_fit(const simdnorm_const_matrix* x, double* mean, double* scale,
                                         const simdnorm_standardize_options* options) {
  simdnorm_standardize_options storage;
  const simdnorm_standardize_options* chosen = read_options(options, storage, simdnorm_standardize_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_standardize_options& o = *chosen;
  return fit(x, {o.padding, o.executor, o.nan_is_missing != 0, o.weights}, {{mean, scale}, {}}, standardizer{o});
}

simdnorm_status simdnorm_standardize_parameters(const simdnorm_moments* moments, size_t cols, double* mean,
                                                double* scale, const simdnorm_standardize_options* options) {
  simdnorm_standardize_options storage;
  const simdnorm_standardize_options* chosen = read_options(options, storage, simdnorm_standardize_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_standardize_options& o = *chosen;
  return from_moments(moments, cols, {{mean, scale}, {}}, 2, [&](const simdnorm_moments& m, double* p) {
    standardizer{o}.parameters_of(m.mean, m.m2, m.weight, p[0], p[1]);
  });
}

simdnorm_status simdnorm_standardize_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                               const double* mean, const double* scale,
                                               const simdnorm_standardize_options* options) {
  simdnorm_standardize_options storage;
  const simdnorm_standardize_options* chosen = read_options(options, storage, simdnorm_standardize_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_standardize_options& o = *chosen;
  return transform(x, y, {o.padding, o.executor, o.nan_is_missing != 0}, mean, scale, standardizer{o});
}

simdnorm_status simdnorm_standardize_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                             const double* mean, const double* scale,
                                             const simdnorm_standardize_options* options) {
  simdnorm_standardize_options storage;
  const simdnorm_standardize_options* chosen = read_options(options, storage, simdnorm_standardize_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_standardize_options& o = *chosen;
  return transform(y, x, {o.padding, o.executor, o.nan_is_missing != 0}, mean, scale, standardizer_back{});
}

simdnorm_status simdnorm_standardize(const simdnorm_const_matrix* x, const simdnorm_matrix* y, double* mean,
                                     double* scale, const simdnorm_standardize_options* options) {
  simdnorm_standardize_options storage;
  const simdnorm_standardize_options* chosen = read_options(options, storage, simdnorm_standardize_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_standardize_options& o = *chosen;
  return fit_transform(x, y, {o.padding, o.executor, o.nan_is_missing != 0, o.weights}, {{mean, scale}, {}},
                       standardizer{o});
}

simdnorm_status simdnorm_min_max_fit(const simdnorm_const_matrix* x, double* min, double* max,
                                     const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  return fit(x, {o.padding, o.executor, o.nan_is_missing != 0}, {{min, max}, {}}, min_max_scaler{o});
}

simdnorm_status simdnorm_min_max_parameters(const simdnorm_moments* moments, size_t cols, double* min, double* max) {
  return from_moments(moments, cols, {{min, max}, {}}, 2, [](const simdnorm_moments& m, double* p) {
    p[0] = canonical(m.min);
    p[1] = canonical(m.max);
  });
}

simdnorm_status simdnorm_min_max_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y, const double* min,
                                           const double* max, const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  return transform(x, y, {o.padding, o.executor, o.nan_is_missing != 0}, min, max, min_max_scaler{o});
}

simdnorm_status simdnorm_min_max_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x, const double* min,
                                         const double* max, const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  return transform(y, x, {o.padding, o.executor, o.nan_is_missing != 0}, min, max, min_max_back{o});
}

simdnorm_status simdnorm_min_max(const simdnorm_const_matrix* x, const simdnorm_matrix* y, double* min, double* max,
                                 const simdnorm_min_max_options* options) {
  simdnorm_min_max_options storage;
  const simdnorm_min_max_options* chosen = read_options(options, storage, simdnorm_min_max_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_min_max_options& o = *chosen;
  if (const simdnorm_status s = check_range(o)) return s;
  return fit_transform(x, y, {o.padding, o.executor, o.nan_is_missing != 0}, {{min, max}, {}}, min_max_scaler{o});
}

simdnorm_status simdnorm_max_abs_fit(const simdnorm_const_matrix* x, double* scale,
                                     const simdnorm_max_abs_options* options) {
  simdnorm_max_abs_options storage;
  const simdnorm_max_abs_options* chosen = read_options(options, storage, simdnorm_max_abs_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_max_abs_options& o = *chosen;
  return fit(x, {o.padding, o.executor, o.nan_is_missing != 0}, {{scale, nullptr}, {}}, max_abs_scaler{});
}

simdnorm_status simdnorm_max_abs_parameters(const simdnorm_moments* moments, size_t cols, double* scale) {
  return from_moments(moments, cols, {{scale, nullptr}, {}}, 1,
                      [](const simdnorm_moments& m, double* p) { p[0] = max_abs_of(m.min, m.max); });
}

simdnorm_status simdnorm_max_abs_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                           const double* scale, const simdnorm_max_abs_options* options) {
  simdnorm_max_abs_options storage;
  const simdnorm_max_abs_options* chosen = read_options(options, storage, simdnorm_max_abs_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_max_abs_options& o = *chosen;
  return transform(x, y, {o.padding, o.executor, o.nan_is_missing != 0}, scale, scale, max_abs_scaler{});
}

simdnorm_status simdnorm_max_abs_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x, const double* scale,
                                         const simdnorm_max_abs_options* options) {
  simdnorm_max_abs_options storage;
  const simdnorm_max_abs_options* chosen = read_options(options, storage, simdnorm_max_abs_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_max_abs_options& o = *chosen;
  return transform(y, x, {o.padding, o.executor, o.nan_is_missing != 0}, scale, scale, max_abs_back{});
}

simdnorm_status simdnorm_max_abs(const simdnorm_const_matrix* x, const simdnorm_matrix* y, double* scale,
                                 const simdnorm_max_abs_options* options) {
  simdnorm_max_abs_options storage;
  const simdnorm_max_abs_options* chosen = read_options(options, storage, simdnorm_max_abs_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_max_abs_options& o = *chosen;
  return fit_transform(x, y, {o.padding, o.executor, o.nan_is_missing != 0}, {{scale, nullptr}, {}}, max_abs_scaler{});
}

}  // extern "C"

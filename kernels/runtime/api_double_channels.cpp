// SPDX-License-Identifier: Apache-2.0
//
// Norms of [batch, channels, spatial...] tensors of f64, behind the C entries of api_channels.cpp. Channels last are
// columns, of which a group's are one set; channels first, a set is rows of planes.
#include "padding.hpp"
#include "runtime/channels.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/double_columns.hpp"
#include "runtime/split.hpp"

namespace simdnorm {
namespace {

double_column_arguments arguments_of(const channel_call& c, const simdnorm_padding& padding) noexcept {
  double_column_arguments a{};
  a.x = static_cast<const double*>(c.x.data);
  a.y = static_cast<double*>(const_cast<void*>(c.y.data));
  a.padding = padding;
  a.relu = c.relu;
  return a;
}

// Planes of one set: those of sample or channel `row`, a stride apart.
double_column_arguments planes_of(const channel_call& c, simdnorm_padding_fill fill, size_t sample, size_t channel,
                                  bool of_channel, bool residual) noexcept {
  double_column_arguments a = arguments_of(c, {});
  const auto offset = [&](const tensor_view& v) {
    return static_cast<ptrdiff_t>(sample) * v.batch + static_cast<ptrdiff_t>(channel) * v.channel;
  };
  a.x += offset(c.x);
  a.y += offset(c.y);
  if (residual) a.residual = static_cast<const double*>(c.residual.data) + offset(c.residual);
  const auto step = [&](const tensor_view& v) { return of_channel ? v.batch : v.channel; };
  a.x_stride = step(c.x);
  a.y_stride = step(c.y);
  a.residual_stride = step(c.residual);
  a.padding.fill = fill;
  a.gaps.mask = c.mask;
  a.gaps.mask.first = sample * c.mask.plane_step + channel * c.mask.set_step;
  a.gaps.mask.plane_step = of_channel ? c.mask.plane_step : c.mask.set_step;
  a.set_cols = c.shape.size;
  a.by_rows = true;
  a.planes = true;
  return a;
}

// Parameters of channels [first, last) of a sample, whose moments `columns` has, and what is told of their groups.
void group_parameters(const group_call& g, size_t sample, size_t first, size_t last, double_columns& columns) noexcept {
  double mean[double_columns_per_strip], rstd[double_columns_per_strip];
  const auto from_first = [first](const simdnorm_const_vector& v) -> const void* {
    if (v.data == nullptr) return nullptr;
    return static_cast<const char*>(v.data) + first * (v.type == SIMDNORM_F64 ? sizeof(double) : sizeof(float));
  };
  double_normalizer_arguments p{};
  p.columns = &columns;
  p.what = double_parameters::batch;
  p.epsilon = g.o.epsilon;
  p.gamma = from_first(g.o.gamma);
  p.beta = from_first(g.o.beta);
  p.gamma_type = g.o.gamma.type;
  p.beta_type = g.o.beta.type;
  p.mean = mean;
  p.rstd = rstd;
  g.c.table->column_normalizer_f64(p, block{0, 0, 0, last - first});
  for (size_t k = first; k < last; ++k) {
    if (k % g.channels != 0) continue;
    const size_t at = sample * g.groups + k / g.channels;
    if (g.o.mean.data) static_cast<double*>(g.o.mean.data)[at] = mean[k - first];
    if (g.o.rstd.data) static_cast<double*>(g.o.rstd.data)[at] = rstd[k - first];
  }
}

// work(from, to, columns) for at most a strip's of the channels [first, last), which share the moments where they are
// more.
template <class Work>
void for_channels(size_t first, size_t last, double_columns& moments, Work work) noexcept {
  if (last - first <= double_columns_per_strip) return work(first, last, moments);
  for (size_t from = first; from < last; from += double_columns_per_strip) {
    double_columns columns = moments;
    work(from, last - from < double_columns_per_strip ? last : from + double_columns_per_strip, columns);
  }
}

void group_of_planes(const group_call& g, size_t sample, size_t group) noexcept {
  const channel_call& c = g.c;
  const size_t first = group * g.channels;
  double_columns moments;
  double_column_arguments a = planes_of(c, g.o.padding.fill, sample, first, false, false);
  a.columns = &moments;
  c.table->column_moments_f64(a, block{0, g.channels, 0, c.shape.size});
  for_channels(first, first + g.channels, moments, [&](size_t from, size_t to, double_columns& columns) {
    group_parameters(g, sample, from, to, columns);
    a.columns = &columns;
    for (size_t k = from; k < to; ++k) {
      a.entry = k - from;
      c.table->column_affine_f64(a, block{k - first, k - first + 1, 0, c.shape.size});
    }
  });
}

simdnorm_status groups_channels_last(const group_call& g) noexcept {
  const channel_call& c = g.c;
  const layout& shape = c.shape;
  const bool packed = g.o.padding.kind == SIMDNORM_PADDING_OFFSETS;
  double_column_arguments all = arguments_of(c, g.o.padding);
  all.x_stride = c.x.row;
  all.y_stride = c.y.row;
  all.gaps = gaps_of(g.o.padding, shape.channels);
  all.set_cols = g.channels;
  size_t samples = shape.batch;
  if (packed) {  // every sequence is a sample, and all of it is real; what is outside of them is not
    samples = g.o.padding.size - 1;
    const row_run real = rows_of_offsets(g.o.padding);
    c.table->column_affine_f64(all, block{0, real.first, 0, shape.channels});
    c.table->column_affine_f64(all, block{real.last, shape.size, 0, shape.channels});
    all.padding.kind = SIMDNORM_PADDING_NONE;
  }
  const size_t most = g.channels < double_columns_per_strip ? double_columns_per_strip / g.channels : 1;
  const size_t strips = (g.groups + most - 1) / most;
  const size_t elements = shape.batch * shape.size * shape.channels;
  const size_t units = samples * strips;
  return for_row_blocks(g.o.executor, units, units == 0 ? 0 : elements / units, [&](size_t unit, size_t end) {
    for (; unit < end; ++unit) {
      const size_t sample = unit / strips;
      const size_t group = (unit - sample * strips) * most;
      const size_t first = group * g.channels;
      const size_t last = (group + most < g.groups ? group + most : g.groups) * g.channels;
      double_columns moments;
      double_column_arguments a = all;
      a.columns = &moments;
      block b{sample * shape.size, (sample + 1) * shape.size, first, last};
      if (packed) {
        b.row_first = static_cast<size_t>(length_at(g.o.padding, sample));
        b.row_last = static_cast<size_t>(length_at(g.o.padding, sample + 1));
      } else {
        a.x += origin_of(c.x, shape, sample);
        a.y += origin_of(c.y, shape, sample);
      }
      c.table->column_moments_f64(a, b);
      for_channels(first, last, moments, [&](size_t from, size_t to, double_columns& columns) {
        group_parameters(g, sample, from, to, columns);
        a.columns = &columns;
        c.table->column_affine_f64(a, block{b.row_first, b.row_last, from, to});
      });
    }
  });
}

}  // namespace

simdnorm_status group_norm_doubles(const group_call& g) noexcept {
  if (g.c.shape.last) return groups_channels_last(g);
  const size_t units = g.c.shape.batch * g.groups;
  return for_row_blocks(g.o.executor, units, g.channels * g.c.shape.size, [&](size_t first, size_t last) {
    for (size_t unit = first; unit < last; ++unit) group_of_planes(g, unit / g.groups, unit % g.groups);
  });
}

simdnorm_status batch_norm_double_channels(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                           const simdnorm_const_vector* mean, const simdnorm_const_vector* variance,
                                           const simdnorm_batch_norm_options& o) noexcept {
  channel_call c;
  batch_norm_vectors v;
  if (const simdnorm_status s =
          check_tensors({x, y, o.residual, o.epsilon, o.activation, o.padding, o.executor}, true, c)) {
    return s;
  }
  const layout& shape = c.shape;
  if (const simdnorm_status s = check_batch_norm(o, mean, variance, shape.channels, v)) return s;
  if (const simdnorm_status s = check_channel_padding(o.padding, shape, c.mask, v.read[4])) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  if (const simdnorm_status s = check_vectors(c, v.written, v.read)) return s;
  c.table = active_table();
  if (c.table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (is_empty(shape)) return SIMDNORM_OK;
  if (shape.last) {
    const simdnorm_const_matrix mx = const_matrix(c);
    const simdnorm_matrix my = matrix(c);
    const matrix_options of_matrix(c, o);
    return batch_norm_doubles(&mx, &my, mean, variance, of_matrix.options);
  }
  return for_row_blocks(o.executor, shape.channels, shape.batch * shape.size, [&](size_t first, size_t last) {
    for (size_t channel = first; channel < last; ++channel) {
      double_columns columns;
      double_column_arguments a = planes_of(c, o.padding.fill, 0, channel, true, o.residual != nullptr);
      a.columns = &columns;
      const block all{0, shape.batch, 0, shape.size};
      if (mean == nullptr) c.table->column_moments_f64(a, all);
      c.table->column_normalizer_f64(batch_norm_arguments(o, mean, variance, columns),
                                     block{0, shape.batch, channel, channel + 1});
      c.table->column_affine_f64(a, all);
    }
  });
}

}  // namespace simdnorm

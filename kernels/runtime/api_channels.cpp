// SPDX-License-Identifier: Apache-2.0
//
// The C entries of the norms of [batch, channels, spatial...] tensors: check, find the layout, dispatch. Channels
// first has kernels of its own (kernels/channel); channels last is a matrix, and the column kernels do it.
#include "padding.hpp"
#include "runtime/channels.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/dispatch.hpp"
#include "runtime/double_columns.hpp"
#include "runtime/tiles.hpp"

using namespace simdnorm;

namespace {

// Channels of batch norm, or groups, whose statistics are taken before their outputs are written: so many that the
// latter read x from L2, and that the work of making parameters is shared. No bit depends on it.
constexpr size_t bytes_together = size_t{256} << 10;

size_t sets_together(size_t elements, size_t most) {
  const size_t fit = bytes_together / sizeof(float) / (elements == 0 ? 1 : elements);
  return fit < 1 ? 1 : (fit < most ? fit : most);
}

channel_affine_arguments affine_arguments(const channel_call& c, const column_parameters& p, simdnorm_padding_fill fill,
                                          bool residual) {
  channel_affine_arguments a{};
  a.x = c.x.data;
  a.y = const_cast<void*>(c.y.data);
  a.residual = residual ? c.residual.data : nullptr;
  a.x_strides = {c.x.batch, c.x.channel};
  a.y_strides = {c.y.batch, c.y.channel};
  a.residual_strides = {c.residual.batch, c.residual.channel};
  a.size = c.shape.size;
  a.parameters = &p;
  a.mask = c.mask;
  a.fill = fill;
  a.relu = c.relu;
  a.stream = c.stream;
  a.x_type = c.x.type;
  a.y_type = c.y.type;
  if (residual) a.residual_type = c.residual.type;
  return a;
}

// How far ahead of outputs x is fetched where it is read in order. Not where y is read, too, for what a mask leaves in
// it: inference takes 1.6 of the time, 32 x 64 x 56 x 56. (Training fetches its next channels, and gains there, too.)
ptrdiff_t fetch_ahead(const channel_affine_arguments& a) {
  const bool reads_y = a.mask.kind >= channel_mask::bytes && a.fill == SIMDNORM_FILL_KEEP && a.x != a.y;
  return reads_y ? 0 : 4096;
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

void train_outputs(const simdnorm_batch_norm_options& o, column_normalizer_arguments& a) {
  a.mean = static_cast<float*>(o.mean.data);
  a.rstd = static_cast<float*>(o.rstd.data);
  a.running_mean = static_cast<float*>(o.running_mean.data);
  a.running_variance = static_cast<float*>(o.running_variance.data);
}

size_t tasks_for(const simdnorm_executor* executor, const layout& shape, size_t units) {
  if (!is_parallel(executor)) return 1;
  const size_t worth = shape.batch * shape.channels * shape.size / elements_per_task;
  const size_t wanted = worth < 4 * executor->threads ? worth : 4 * executor->threads;
  return wanted < 1 ? 1 : (wanted < units ? wanted : units);
}

// Statistics of some sets.
struct some_moments {
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  uint64_t count[columns_per_strip];
};

// Whether sets of so many elements go over threads one by one, each cut: where whole sets would leave threads idle.
bool cuts_sets(const simdnorm_executor* executor, size_t sets, size_t elements) {
  if (!is_parallel(executor) || elements < 4 * elements_per_task) return false;
  const size_t rounds = (sets + executor->threads - 1) / executor->threads;
  return 5 * sets < 4 * rounds * executor->threads;
}

// Moments of one set, its chunks over threads.
[[gnu::noinline]] simdnorm_status moments_of_chunks(const channel_call& c, channel_moments_arguments a, size_t set,
                                                    const simdnorm_executor* executor) noexcept {
  channel_split split;
  a.split = &split;
  const auto step = [&](auto which, size_t first, size_t last) {
    split.step = which;
    c.table->channel_moments_f32(a, block{set, set + 1, first, last});
  };
  step(channel_split::start, 0, 0);
  double sum = 0.0;
  double squares = 0.0;
  uint64_t count = 0;
  for (size_t first = 0; first < split.chunks; first += most_chunks) {
    const size_t chunks = split.chunks - first < most_chunks ? split.chunks - first : size_t{most_chunks};
    const size_t tasks = chunks < 4 * executor->threads ? chunks : 4 * executor->threads;
    split.step = channel_split::sum_chunks;
    split.first = first;
    const simdnorm_status s = for_tasks(executor, tasks, [&](size_t i) {
      c.table->channel_moments_f32(a,
                                   block{set, set + 1, first + i * chunks / tasks, first + (i + 1) * chunks / tasks});
    });
    if (s) return s;
    for (size_t i = 0; i < chunks; ++i) {
      const bool only = first == 0 && i == 0;
      sum = only ? split.sums[i] : sum + split.sums[i];
      squares = only ? split.squares[i] : squares + split.squares[i];
      count += split.counts[i];
    }
  }
  split.sums[0] = sum;
  split.squares[0] = squares;
  split.counts[0] = count;
  step(channel_split::finish, 0, 0);
  return SIMDNORM_OK;
}

// Outputs of planes, or of parts of long ones, over threads.
simdnorm_status write_parts(const channel_call& c, const channel_affine_arguments& all, const block& b,
                            const simdnorm_executor* executor) noexcept {
  const size_t size = all.size;
  const size_t channels = b.col_last - b.col_first;
  const size_t planes = (b.row_last - b.row_first) * channels;
  const size_t part = size < 2 * elements_per_task ? size : elements_per_task;
  const size_t parts = (size + part - 1) / part;
  const size_t units = planes * parts;
  const size_t worth = planes * size / elements_per_task;
  const size_t wanted = worth < 4 * executor->threads ? worth : 4 * executor->threads;
  const size_t tasks = wanted < 1 ? 1 : (wanted < units ? wanted : units);
  return for_tasks(executor, tasks, [&](size_t task) {
    const size_t end = (task + 1) * units / tasks;
    for (size_t unit = task * units / tasks; unit < end;) {
      const size_t plane = unit / parts;
      const size_t row = b.row_first + plane / channels;
      const size_t col = plane % channels;
      const size_t from = (unit - plane * parts) * part;
      size_t rows = 1, cols = 1;
      if (parts == 1)
        (channels == 1 ? rows : cols) = channels == 1 || end - unit < channels - col ? end - unit : channels - col;
      channel_affine_arguments a = all;
      const auto ahead = static_cast<ptrdiff_t>(from);
      a.x = advanced(all.x, all.x_type, ahead);
      a.y = advanced(all.y, all.y_type, ahead);
      if (all.residual) a.residual = advanced(all.residual, all.residual_type, ahead);
      a.size = size - from < part ? size - from : part;
      a.parameter = col;
      (a.mask.kind == channel_mask::lengths ? a.mask.skipped : a.mask.first) += from;
      run(*c.table, a, block{row, row + rows, b.col_first + col, b.col_first + col + cols});
      unit += parts == 1 ? rows * cols : 1;
    }
  });
}

// Training, a channel at a time.
simdnorm_status train_cut_channels(const channel_call& c, const simdnorm_batch_norm_options& o) noexcept {
  const layout& shape = c.shape;
  const control_word_scope ieee;
  for (size_t k = 0; k < shape.channels; ++k) {
    double mean, m2;
    uint64_t count;
    const channel_moments_arguments moments{c.x.data, c.x.channel, c.x.batch, shape.batch, shape.size, c.mask,
                                            &mean,    &m2,         &count,    nullptr,     c.x.type};
    if (const simdnorm_status s = moments_of_chunks(c, moments, k, o.executor)) return s;
    const column_fold fold{count, &mean, &m2, nullptr, nullptr};
    column_parameters p;
    column_normalizer_arguments a = normalizer_arguments(o, p);
    a.fold = &fold;
    train_outputs(o, a);
    c.table->column_normalizer_f32(a, block{0, 0, k, k + 1});
    channel_affine_arguments out = affine_arguments(c, p, o.padding.fill, o.residual != nullptr);
    out.fetch = fetch_ahead(out);
    if (const simdnorm_status s = write_parts(c, out, block{0, shape.batch, k, k + 1}, o.executor)) return s;
  }
  return SIMDNORM_OK;
}

simdnorm_status train_channels_first(const channel_call& c, const simdnorm_batch_norm_options& o) noexcept {
  const layout& shape = c.shape;
  if (cuts_sets(o.executor, shape.channels, shape.batch * shape.size)) return train_cut_channels(c, o);
  // The mask of each element gives every channel a count of its own: one by one.
  const bool one_by_one = c.mask.kind >= channel_mask::bytes && c.mask.set_step != 0;
  const size_t together = one_by_one ? 1 : sets_together(shape.batch * shape.size, 64);
  const size_t tasks = tasks_for(o.executor, shape, shape.channels);
  return for_tasks(o.executor, tasks, [&](size_t task) {
    const size_t end = (task + 1) * shape.channels / tasks;
    real_planes real{};
    for (size_t first = task * shape.channels / tasks; first < end;) {
      const size_t last = end - first < together ? end : first + together;
      some_moments m;
      const channel_moments_arguments moments{c.x.data, c.x.channel, c.x.batch, shape.batch, shape.size, c.mask,
                                              m.mean,   m.m2,        m.count,   nullptr,     c.x.type,   &real};
      c.table->channel_moments_f32(moments, block{first, last, 0, 0});
      column_fold fold{m.count[0], m.mean, m.m2, nullptr, nullptr};
      column_parameters p;
      column_normalizer_arguments a = normalizer_arguments(o, p);
      a.fold = &fold;
      train_outputs(o, a);
      c.table->column_normalizer_f32(a, block{0, 0, first, last});
      channel_affine_arguments out = affine_arguments(c, p, o.padding.fill, o.residual != nullptr);
      out.fetch = last < end ? static_cast<ptrdiff_t>(last - first) * c.x.channel : 0;
      run(*c.table, out, block{0, shape.batch, first, last});
      first = last;
    }
  });
}

simdnorm_status infer_channels_first(const channel_call& c, const simdnorm_batch_norm_options& o,
                                     const simdnorm_const_vector& mean,
                                     const simdnorm_const_vector& variance) noexcept {
  const layout& shape = c.shape;
  const bool by_batch = !is_parallel(o.executor) || shape.batch >= o.executor->threads;
  const size_t units = by_batch ? shape.batch : shape.channels;
  // Channels [first, last) with their parameters: write(arguments).
  const auto with_parameters = [&](size_t first, size_t last, auto write) {
    column_parameters p;
    column_normalizer_arguments a = normalizer_arguments(o, p);
    a.given_mean = mean;
    a.given_variance = variance;
    c.table->column_normalizer_f32(a, block{0, 0, first, last});
    channel_affine_arguments out = affine_arguments(c, p, o.padding.fill, o.residual != nullptr);
    out.fetch = fetch_ahead(out);
    return write(out);
  };
  if (cuts_sets(o.executor, units, shape.batch * shape.channels * shape.size / units)) {
    const control_word_scope ieee;
    for (size_t first = 0, last; first < shape.channels; first = last) {
      last = shape.channels - first < columns_per_strip ? shape.channels : first + columns_per_strip;
      const simdnorm_status s = with_parameters(first, last, [&](const channel_affine_arguments& out) {
        return write_parts(c, out, block{0, shape.batch, first, last}, o.executor);
      });
      if (s) return s;
    }
    return SIMDNORM_OK;
  }
  const size_t tasks = tasks_for(o.executor, shape, units);
  return for_tasks(o.executor, tasks, [&](size_t task) {
    const size_t from = task * units / tasks;
    const size_t to = (task + 1) * units / tasks;
    const size_t end = by_batch ? shape.channels : to;
    for (size_t first = by_batch ? 0 : from, last; first < end; first = last) {
      last = end - first < columns_per_strip ? end : first + columns_per_strip;
      with_parameters(first, last, [&](const channel_affine_arguments& out) {
        run(*c.table, out, block{by_batch ? from : 0, by_batch ? to : shape.batch, first, last});
      });
    }
  });
}

// Moments of groups: all of them of `count` elements or, where that is null, each of its own.
struct group_moments {
  const double* mean;
  const double* m2;
  uint64_t count;
  const double* counts;
};

// Parameters of channels [first, last) of a sample, whose groups have the moments m from group `group` on.
void make_group_parameters(const group_call& g, const group_moments& m, size_t group, size_t first, size_t last,
                           column_parameters& p, float* rstd) {
  double each_mean[columns_per_strip];
  double each_m2[columns_per_strip];
  double each_count[columns_per_strip];
  size_t i = first / g.channels - group;
  for (size_t k = first, next = (group + i + 1) * g.channels; k < last; ++i, next += g.channels) {
    for (; k < last && k < next; ++k) {
      each_mean[k - first] = m.mean[i];
      each_m2[k - first] = m.m2[i];
      if (m.counts) each_count[k - first] = m.counts[i];
    }
  }
  const column_fold fold{m.count, each_mean, each_m2, nullptr, nullptr, m.counts ? each_count : nullptr, nullptr};
  column_normalizer_arguments a{};
  const auto from_first = [first](simdnorm_const_vector v) {
    if (v.data) v.data = static_cast<const char*>(v.data) + first * bytes_of(v.type);
    return v;
  };
  a.fold = &fold;
  a.gamma = from_first(g.o.gamma);
  a.beta = from_first(g.o.beta);
  a.epsilon = g.o.epsilon;
  a.rstd = rstd;
  a.parameters = &p;
  g.c.table->column_normalizer_f32(a, block{0, 0, 0, last - first});
}

float canonical_float(double v) {
  return v == v ? static_cast<float>(v) : __builtin_nanf("");
}

// What is told of a group; `rstd` is one of its channels'.
void tell_group(const group_call& g, size_t sample, size_t group, double mean, float rstd) {
  const size_t at = sample * g.groups + group;
  if (g.o.mean.data) static_cast<float*>(g.o.mean.data)[at] = canonical_float(mean);
  if (g.o.rstd.data) static_cast<float*>(g.o.rstd.data)[at] = rstd;
}

// Groups [first, last) of one sample, the channels of all of them at most columns_per_strip unless it is one, which is
// cut where `executor` says so.
simdnorm_status groups_channels_first(const group_call& g, size_t sample, size_t first, size_t last,
                                      const simdnorm_executor* executor) noexcept {
  const channel_call& c = g.c;
  const ptrdiff_t sample_offset = static_cast<ptrdiff_t>(sample) * c.x.batch;
  some_moments m;
  channel_moments_arguments moments{};
  moments.x = advanced(c.x.data, c.x.type, sample_offset);
  moments.x_type = c.x.type;
  moments.set_stride = static_cast<ptrdiff_t>(g.channels) * c.x.channel;
  moments.plane_stride = c.x.channel;
  moments.planes = g.channels;
  moments.size = c.shape.size;
  moments.mask = c.mask;
  moments.mask.first = sample * c.mask.plane_step;
  moments.mask.set_step = g.channels * c.mask.set_step;
  moments.mask.plane_step = c.mask.set_step;
  moments.mean = m.mean;
  moments.m2 = m.m2;
  moments.count = m.count;
  if (is_parallel(executor)) {
    if (const simdnorm_status s = moments_of_chunks(c, moments, first, executor)) return s;
  } else {
    c.table->channel_moments_f32(moments, block{first, last, 0, 0});
  }
  const size_t end = last * g.channels;
  for (size_t from = first * g.channels; from < end;) {
    const size_t to = end - from < columns_per_strip ? end : from + columns_per_strip;
    column_parameters p;
    float rstd[columns_per_strip];
    make_group_parameters(g, {m.mean, m.m2, m.count[0], nullptr}, first, from, to, p, rstd);
    for (size_t k = first; k < last; ++k) {
      const size_t channel = k * g.channels;
      if (from <= channel && channel < to) tell_group(g, sample, k, m.mean[k - first], rstd[channel - from]);
    }
    channel_affine_arguments out = affine_arguments(c, p, g.o.padding.fill, false);
    const block b{sample, sample + 1, from, to};
    if (is_parallel(executor)) {
      out.fetch = fetch_ahead(out);
      if (const simdnorm_status s = write_parts(c, out, b, executor)) return s;
    } else {
      out.fetch = static_cast<ptrdiff_t>(end - first * g.channels) * c.x.channel;
      run(*c.table, out, b);
    }
    from = to;
  }
  return SIMDNORM_OK;
}

simdnorm_status group_channels_first(const group_call& g) noexcept {
  const layout& shape = g.c.shape;
  const bool one_by_one = g.c.mask.kind >= channel_mask::bytes && g.c.mask.set_step != 0;
  const size_t most = g.channels < columns_per_strip ? columns_per_strip / g.channels : 1;
  const size_t together = one_by_one ? 1 : sets_together(g.channels * shape.size, most);
  const size_t units = shape.batch * g.groups;
  if (cuts_sets(g.o.executor, units, g.channels * shape.size)) {
    const control_word_scope ieee;
    for (size_t unit = 0; unit < units; ++unit) {
      const size_t group = unit % g.groups;
      if (const simdnorm_status s = groups_channels_first(g, unit / g.groups, group, group + 1, g.o.executor)) return s;
    }
    return SIMDNORM_OK;
  }
  const size_t tasks = tasks_for(g.o.executor, shape, units);
  return for_tasks(g.o.executor, tasks, [&](size_t task) {
    const size_t end = (task + 1) * units / tasks;
    for (size_t unit = task * units / tasks; unit < end;) {
      const size_t sample = unit / g.groups;
      const size_t first = unit - sample * g.groups;
      size_t last = first + together < g.groups ? first + together : g.groups;
      if (last - first > end - unit) last = first + (end - unit);
      (void)groups_channels_first(g, sample, first, last, nullptr);
      unit += last - first;
    }
  });
}

// A sample of channels last: its rows of the matrix that x is where all rows have one stride; x and y are such that
// this row index fits, whatever the batch's stride.
struct sample_rows {
  size_t first, last;
  const void* x;
  void* y;
  size_t real;
};

// Moments of channels, and how many elements of each count.
struct some_channels {
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  double count[columns_per_strip];
};

// A mask of bits, of columns that do not begin with a byte, as bytes: what column kernels take.
simdnorm_padding as_bytes(const simdnorm_padding& bits, size_t channels, size_t row, size_t rows, size_t from,
                          size_t cols, uint8_t* bytes) {
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* marks = element_marks(bits, channels, row + r, 0);
    for (size_t k = 0; k < cols; ++k) bytes[r * cols + k] = bit_at(marks, from + k);
  }
  simdnorm_padding p = bits;
  p.kind = SIMDNORM_PADDING_ELEMENT_MASK;
  p.data = bytes;
  p.size = rows * cols;
  return p;
}

bool begins_off_byte(const simdnorm_padding& padding, size_t col) {
  return padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS && col % 8 != 0;
}

// Moments of channels [from, to) of a sample, block by block, from such a mask.
[[gnu::noinline]] void moments_off_byte(const channel_call& c, const simdnorm_padding& padding, const sample_rows& rows,
                                        size_t from, size_t to, some_channels& out) {
  constexpr size_t together = 64;
  uint8_t marks[rows_per_block * together];
  float shift[together];
  double sum[together], squares[together], values[together], weight[together], total_weight[together];
  for (size_t at = from; at < to; at += together) {
    const size_t cols = to - at < together ? to - at : together;
    for (size_t k = 0; k < cols; ++k) total_weight[k] = 0.0;
    column_span open{0, shift, sum, squares, values, weight};
    const size_t i = at - from;
    column_fold fold{0, out.mean + i, out.m2 + i, nullptr, nullptr, out.count + i, total_weight};
    for (size_t row = rows.first; row < rows.last; row += rows_per_block) {
      const size_t count = rows.last - row < rows_per_block ? rows.last - row : size_t{rows_per_block};
      const simdnorm_padding bytes = as_bytes(padding, c.shape.channels, row, count, at, cols, marks);
      const auto ahead = static_cast<ptrdiff_t>(row) * c.x.row + static_cast<ptrdiff_t>(at);
      const column_moments_arguments a{advanced(rows.x, c.x.type, ahead), c.x.row, bytes, count,   &open,
                                       row + count == rows.last,          &fold,   false, c.x.type};
      run(*c.table, column_moments_masked_arguments{a, {cols, false}, nullptr}, block{0, count, 0, cols});
    }
  }
}

// Moments of channels [from, to) of a sample; rows go over threads where `executor` says so.
simdnorm_status moments_of_channels(const channel_call& c, const simdnorm_padding& padding, const sample_rows& rows,
                                    size_t from, size_t to, some_channels& out,
                                    const simdnorm_executor* executor) noexcept {
  const bool masked = masks_elements(padding);
  const double count = masked ? 0.0 : static_cast<double>(rows.real);
  for (size_t k = 0; k < to - from; ++k) {
    out.mean[k] = out.m2[k] = 0.0;
    out.count[k] = count;
  }
  if (begins_off_byte(padding, from)) {
    moments_off_byte(c, padding, rows, from, to, out);
    return SIMDNORM_OK;
  }
  double weight[columns_per_strip];
  for (size_t k = 0; k < to - from; ++k) weight[k] = 0.0;
  column_fold fold{0, out.mean, out.m2, nullptr, nullptr, masked ? out.count : nullptr, masked ? weight : nullptr};
  const column_source source{rows.x,  c.x.row, rows.last,  padding, c.stream, {c.shape.channels, false},
                             nullptr, masked,  rows.first, c.x.type};
  if (is_parallel(executor)) {
    return fold_columns(*c.table, source, from, to, fold, executor);
  }
  const column_moments_arguments a{rows.x, c.x.row, padding, rows.real, nullptr, true, &fold, c.stream, c.x.type};
  run_moments(*c.table, source, a, block{rows.first, rows.last, from, to});
  return SIMDNORM_OK;
}

// A group of channels: each counts as the share that it has of the largest's elements, 1 where all have the same.
// mean = sum(w mean_c) / sum(w), M2 = sum(M2_c) + largest sum(w (mean_c - mean)^2), Chan's formula for all at once.
struct channel_sums {
  double largest = 0.0, elements = 0.0;
  double shares = 0.0, sum = 0.0;
  double within = 0.0, between = 0.0;

  void count(const some_channels& s, size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) {
      largest = s.count[i] > largest ? s.count[i] : largest;
      elements = elements + s.count[i];
    }
  }
  double share(double n) const { return n == 0.0 ? 0.0 : n / largest; }
  void add_means(const some_channels& s, size_t from, size_t to) {
    for (size_t i = from; i < to; ++i) {
      const double w = share(s.count[i]);
      shares = shares + w;
      if (w > 0.0) sum = sum + w * s.mean[i];
    }
  }
  double mean() const { return shares > 0.0 ? sum / shares : 0.0; }
  void add_squares(const some_channels& s, size_t from, size_t to) {
    const double m = mean();
    for (size_t i = from; i < to; ++i) {
      const double w = share(s.count[i]);
      if (w == 0.0) continue;
      const double delta = s.mean[i] - m;
      within = within + s.m2[i];
      between = between + w * (delta * delta);
    }
  }
  double m2() const { return within + largest * between; }
};

// Groups [first, last) of a sample.
struct some_groups {
  double mean[columns_per_strip];
  double m2[columns_per_strip];
  double count[columns_per_strip];
};

[[gnu::noinline]] simdnorm_status moments_of_groups(const group_call& g, const simdnorm_padding& padding,
                                                    const sample_rows& rows, size_t first, size_t last,
                                                    some_groups& out, const simdnorm_executor* executor) noexcept {
  const size_t begin = first * g.channels;
  const size_t end = last * g.channels;
  some_channels s;
  const auto tell = [&out](size_t k, const channel_sums& all) {
    out.mean[k] = all.mean();
    out.m2[k] = all.m2();
    out.count[k] = all.elements;
  };
  if (end - begin <= columns_per_strip) {
    if (const simdnorm_status e = moments_of_channels(g.c, padding, rows, begin, end, s, executor)) return e;
    for (size_t k = 0; k < last - first; ++k) {
      const size_t from = k * g.channels;
      const size_t to = from + g.channels;
      channel_sums all;
      all.count(s, from, to);
      all.add_means(s, from, to);
      all.add_squares(s, from, to);
      tell(k, all);
    }
    return SIMDNORM_OK;
  }
  // One group of more channels than a strip: strip by strip, and again. How many elements count is known without a
  // mask of elements.
  channel_sums all;
  const bool known = !masks_elements(padding);
  if (known) {
    all.largest = static_cast<double>(rows.real);
    all.elements = static_cast<double>(rows.real * g.channels);
  }
  for (int turn = known ? 1 : 0; turn < 3; ++turn) {
    for (size_t from = begin; from < end; from += columns_per_strip) {
      const size_t to = end - from < columns_per_strip ? end : from + columns_per_strip;
      if (const simdnorm_status e = moments_of_channels(g.c, padding, rows, from, to, s, executor)) return e;
      if (turn == 0) all.count(s, 0, to - from);
      if (turn == 1) all.add_means(s, 0, to - from);
      if (turn == 2) all.add_squares(s, 0, to - from);
    }
  }
  tell(0, all);
  return SIMDNORM_OK;
}

// Outputs of channels [from, to) of rows [row_first, row_last) of a sample.
void write_channels(const channel_call& c, const simdnorm_padding& padding, const sample_rows& rows,
                    const column_parameters& p, size_t from, size_t to, size_t row_first, size_t row_last) {
  const auto write = [&](const void* x, void* y, const simdnorm_padding& real, size_t mask_cols, const block& b,
                         bool stream) {
    if (c.relu) {
      run(*c.table,
          channel_rows_affine_arguments{x, y, nullptr, c.x.row, c.y.row, 0, real, &p, true, mask_cols, c.x.type,
                                        c.y.type},
          b);
    } else {
      run(*c.table,
          column_affine_arguments{x, y, c.x.row, c.y.row, real, &p, stream, {mask_cols, false}, c.x.type, c.y.type}, b);
    }
  };
  if (!begins_off_byte(padding, from)) {
    write(rows.x, rows.y, padding, c.shape.channels, block{row_first, row_last, from, to}, c.stream);
    return;
  }
  constexpr size_t together = 16;
  uint8_t marks[together * columns_per_strip];
  for (size_t row = row_first; row < row_last; row += together) {
    const size_t count = row_last - row < together ? row_last - row : together;
    const simdnorm_padding bytes = as_bytes(padding, c.shape.channels, row, count, from, to - from, marks);
    const auto ahead = [&](const tensor_view& v) {
      return static_cast<ptrdiff_t>(row) * v.row + static_cast<ptrdiff_t>(from);
    };
    write(advanced(rows.x, c.x.type, ahead(c.x)), advanced(rows.y, c.y.type, ahead(c.y)), bytes, to - from,
          block{0, count, 0, to - from}, false);
  }
}

// Groups [first, last) of a sample; as groups_channels_first. Rows go over threads where `executor` says so.
simdnorm_status groups_channels_last(const group_call& g, const simdnorm_padding& padding, size_t sample,
                                     const sample_rows& rows, size_t first, size_t last,
                                     const simdnorm_executor* executor) noexcept {
  some_groups m;
  if (const simdnorm_status s = moments_of_groups(g, padding, rows, first, last, m, executor)) return s;
  const size_t end = last * g.channels;
  for (size_t from = first * g.channels; from < end;) {
    const size_t to = end - from < columns_per_strip ? end : from + columns_per_strip;
    column_parameters p;
    float rstd[columns_per_strip];
    make_group_parameters(g, {m.mean, m.m2, 0, m.count}, first, from, to, p, rstd);
    for (size_t k = first; k < last; ++k) {
      const size_t channel = k * g.channels;
      if (from <= channel && channel < to) tell_group(g, sample, k, m.mean[k - first], rstd[channel - from]);
    }
    const auto write = [&](size_t row_first, size_t row_last) {
      write_channels(g.c, padding, rows, p, from, to, rows.first + row_first, rows.first + row_last);
    };
    if (const simdnorm_status s = for_row_blocks(executor, rows.last - rows.first, to - from, write)) return s;
    from = to;
  }
  return SIMDNORM_OK;
}

simdnorm_status group_channels_last(const group_call& g) noexcept {
  const channel_call& c = g.c;
  const layout& shape = c.shape;
  const bool packed = g.o.padding.kind == SIMDNORM_PADDING_OFFSETS;
  const size_t samples = packed ? g.o.padding.size - 1 : shape.batch;
  const size_t most = g.channels < columns_per_strip ? columns_per_strip / g.channels : 1;
  const size_t strips = (g.groups + most - 1) / most;
  simdnorm_padding padding = g.o.padding;
  if (packed) padding.kind = SIMDNORM_PADDING_NONE;  // every sequence is a sample, and all of it is real
  const auto rows_of = [&](size_t sample) {
    sample_rows r{};
    r.x = c.x.data;
    r.y = const_cast<void*>(c.y.data);
    if (packed) {
      r.first = static_cast<size_t>(length_at(g.o.padding, sample));
      r.last = static_cast<size_t>(length_at(g.o.padding, sample + 1));
    } else {
      r.first = sample * shape.size;
      r.last = r.first + shape.size;
      r.x = advanced(r.x, c.x.type, origin_of(c.x, shape, sample));
      r.y = advanced(r.y, c.y.type, origin_of(c.y, shape, sample));
    }
    r.real = find_real_rows({r.x, c.x.row, r.last, padding, false}, r.first, r.last - r.first).count;
    return r;
  };
  if (packed && g.o.padding.fill == SIMDNORM_FILL_ZERO) {
    const row_run real = rows_of_offsets(g.o.padding);
    void* y = const_cast<void*>(c.y.data);
    for (size_t row = 0; row < shape.size; row = row + 1 == real.first ? real.last : row + 1) {
      if (real.first <= row && row < real.last) row = real.last;
      if (row < shape.size) {
        memset(advanced(y, c.y.type, static_cast<ptrdiff_t>(row) * c.y.row), 0, shape.channels * bytes_of(c.y.type));
      }
    }
  }
  const size_t units = samples * strips;
  const auto do_unit = [&](size_t unit, const simdnorm_executor* over_rows) {
    const size_t sample = unit / strips;
    const size_t first = (unit - sample * strips) * most;
    const size_t last = first + most < g.groups ? first + most : g.groups;
    return groups_channels_last(g, padding, sample, rows_of(sample), first, last, over_rows);
  };
  if (units > 0 && cuts_sets(g.o.executor, units, shape.batch * shape.size * shape.channels / units)) {
    const control_word_scope ieee;
    for (size_t unit = 0; unit < units; ++unit) {
      if (const simdnorm_status s = do_unit(unit, g.o.executor)) return s;
    }
    return SIMDNORM_OK;
  }
  const size_t tasks = tasks_for(g.o.executor, shape, units);
  return for_tasks(g.o.executor, tasks, [&](size_t task) {
    for (size_t unit = task * units / tasks; unit < (task + 1) * units / tasks; ++unit) (void)do_unit(unit, nullptr);
  });
}

simdnorm_status normalize_groups(const simdnorm_const_tensor* x, const simdnorm_tensor* y, size_t groups, bool instance,
                                 const simdnorm_group_norm_options* options) noexcept {
  simdnorm_group_norm_options storage;
  const simdnorm_group_norm_options* chosen = read_options(options, storage, simdnorm_group_norm_defaults);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_group_norm_options& o = *chosen;
  channel_call c;
  region written[2], read[3];
  if (const simdnorm_status s =
          check_tensors({x, y, nullptr, o.epsilon, o.activation, o.padding, o.executor}, false, c)) {
    return s;
  }
  const layout& shape = c.shape;
  if (instance) groups = shape.channels;
  if (shape.channels > 0 && (groups == 0 || shape.channels % groups != 0)) return SIMDNORM_INVALID_SHAPE;
  if (const simdnorm_status s = check_channel_padding(o.padding, shape, c.mask, read[2])) return s;
  const bool packed = o.padding.kind == SIMDNORM_PADDING_OFFSETS;
  size_t statistics = 0;
  if (__builtin_mul_overflow(packed ? o.padding.size - 1 : shape.batch, groups, &statistics)) {
    return SIMDNORM_INVALID_SHAPE;
  }
  if (const simdnorm_status s = check_vector_beside(x->type, o.gamma, shape.channels, true, read[0])) return s;
  if (const simdnorm_status s = check_vector_beside(x->type, o.beta, shape.channels, true, read[1])) return s;
  if (const simdnorm_status s = check_vector_beside(x->type, o.mean, statistics, false, written[0])) return s;
  if (const simdnorm_status s = check_vector_beside(x->type, o.rstd, statistics, false, written[1])) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  if (const simdnorm_status s = check_vectors(c, written, read)) return s;
  c.table = active_table();
  if (c.table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (is_empty(shape)) return SIMDNORM_OK;
  const group_call g{c, o, groups, shape.channels / groups};
  if (is_double(x)) return group_norm_doubles(g);
  return shape.last ? group_channels_last(g) : group_channels_first(g);
}

}  // namespace

simdnorm_status simdnorm::check_tensors(const channel_checks& k, bool batch_merges, channel_call& c) noexcept {
  const types among = is_double(k.x) ? types::f64 : types::mixed;
  if (const simdnorm_status s = check_tensor(k.x, c.x, among)) return s;
  if (const simdnorm_status s = check_tensor(k.y, c.y, among)) return s;
  if (!same_sizes(*k.x, *k.y)) return SIMDNORM_INVALID_SHAPE;
  c.residual = c.x;
  if (k.residual != nullptr) {
    if (const simdnorm_status s = check_tensor(k.residual, c.residual, among)) return s;
    if (!same_sizes(*k.x, *k.residual)) return SIMDNORM_INVALID_SHAPE;
  }
  if (const simdnorm_status s = check_epsilon(k.epsilon)) return s;
  if (k.activation != SIMDNORM_ACTIVATION_NONE && k.activation != SIMDNORM_ACTIVATION_RELU) {
    return SIMDNORM_INVALID_ACTIVATION;
  }
  c.shape = {};
  c.shape.batch = k.x->sizes[0];
  c.shape.channels = k.x->sizes[1];
  c.shape.size = c.x.size;
  c.relu = k.activation == SIMDNORM_ACTIVATION_RELU;
  if (is_empty(c.shape)) return SIMDNORM_OK;
  const auto all = [&](auto can) { return can(c.x) && can(c.y) && can(c.residual); };
  const bool first = all([](const tensor_view& v) { return v.first; });
  const bool last = all([&](const tensor_view& v) { return v.last && (!batch_merges || v.batch_merges); });
  c.shape.last = last && !(first && c.shape.size > 1);
  if (!first && !last) return SIMDNORM_INVALID_STRIDE;
  if (elements_meet(c.y, c.shape)) return SIMDNORM_INVALID_STRIDE;
  set_regions(c.x, c.shape);
  set_regions(c.y, c.shape);
  if (!same_place(c.x, c.y, c.shape) && share_bytes(c.x, c.y)) return SIMDNORM_OVERLAP;
  if (k.residual != nullptr) {
    set_regions(c.residual, c.shape);
    if (!same_place(c.residual, c.y, c.shape) && share_bytes(c.residual, c.y)) return SIMDNORM_OVERLAP;
  }
  c.stream = beyond_caches(c.shape.batch * c.shape.size, c.shape.channels, 1, c.y.type);
  return SIMDNORM_OK;
}

extern "C" {

simdnorm_status simdnorm_batch_norm_training_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                const simdnorm_batch_norm_options* options) {
  simdnorm_batch_norm_options storage;
  const simdnorm_batch_norm_options* chosen =
      read_options(options, storage, simdnorm_batch_norm_defaults, first_batch_norm_size);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_batch_norm_options& o = *chosen;
  if (is_double(x)) return batch_norm_double_channels(x, y, nullptr, nullptr, o);
  channel_call c;
  region written[4], read[3];
  if (const simdnorm_status s =
          check_tensors({x, y, o.residual, o.epsilon, o.activation, o.padding, o.executor}, true, c)) {
    return s;
  }
  const layout& shape = c.shape;
  if (!(o.momentum >= 0.0 && o.momentum <= 1.0)) return SIMDNORM_INVALID_MOMENTUM;
  if (const simdnorm_status s = check_vector(o.gamma, shape.channels, read[0], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(o.beta, shape.channels, read[1], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(o.running_mean, shape.channels, written[0])) return s;
  if (const simdnorm_status s = check_vector(o.running_variance, shape.channels, written[1])) return s;
  if (const simdnorm_status s = check_vector(o.mean, shape.channels, written[2])) return s;
  if (const simdnorm_status s = check_vector(o.rstd, shape.channels, written[3])) return s;
  if (const simdnorm_status s = check_channel_padding(o.padding, shape, c.mask, read[2])) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  if (const simdnorm_status s = check_vectors(c, written, read)) return s;
  c.table = active_table();
  if (c.table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (is_empty(shape)) return SIMDNORM_OK;
  if (!shape.last) return train_channels_first(c, o);
  const simdnorm_const_matrix mx = const_matrix(c);
  const simdnorm_matrix my = matrix(c);
  const matrix_options of_matrix(c, o);
  return simdnorm_batch_norm_training(&mx, &my, &of_matrix.options);
}

simdnorm_status simdnorm_batch_norm_inference_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                 simdnorm_const_vector mean, simdnorm_const_vector variance,
                                                 const simdnorm_batch_norm_options* options) {
  simdnorm_batch_norm_options storage;
  const simdnorm_batch_norm_options* chosen =
      read_options(options, storage, simdnorm_batch_norm_defaults, first_batch_norm_size);
  if (chosen == nullptr) return SIMDNORM_INVALID_STRUCT;
  const simdnorm_batch_norm_options& o = *chosen;
  if (is_double(x)) return batch_norm_double_channels(x, y, &mean, &variance, o);
  channel_call c;
  const region written[1] = {};
  region read[5];
  if (const simdnorm_status s =
          check_tensors({x, y, o.residual, o.epsilon, o.activation, o.padding, o.executor}, true, c)) {
    return s;
  }
  const layout& shape = c.shape;
  if (shape.channels > 0 && (mean.data == nullptr || variance.data == nullptr)) return SIMDNORM_NULL_POINTER;
  if (const simdnorm_status s = check_vector(o.gamma, shape.channels, read[0], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(o.beta, shape.channels, read[1], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(mean, shape.channels, read[2], types::mixed)) return s;
  if (const simdnorm_status s = check_vector(variance, shape.channels, read[3], types::mixed)) return s;
  if (const simdnorm_status s = check_channel_padding(o.padding, shape, c.mask, read[4])) return s;
  if (const simdnorm_status s = check_executor(o.executor)) return s;
  if (const simdnorm_status s = check_vectors(c, written, read)) return s;
  c.table = active_table();
  if (c.table == nullptr) return SIMDNORM_UNKNOWN_ISA;
  if (is_empty(shape)) return SIMDNORM_OK;
  if (!shape.last) {
    return infer_channels_first(c, o, mean, variance);
  }
  const simdnorm_const_matrix mx = const_matrix(c);
  const simdnorm_matrix my = matrix(c);
  const matrix_options of_matrix(c, o);
  return simdnorm_batch_norm_inference(&mx, &my, mean, variance, &of_matrix.options);
}

simdnorm_status simdnorm_group_norm(const simdnorm_const_tensor* x, const simdnorm_tensor* y, size_t groups,
                                    const simdnorm_group_norm_options* options) {
  return normalize_groups(x, y, groups, false, options);
}

simdnorm_status simdnorm_instance_norm(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                       const simdnorm_group_norm_options* options) {
  return normalize_groups(x, y, 0, true, options);
}

}  // extern "C"

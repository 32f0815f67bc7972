// SPDX-License-Identifier: Apache-2.0

#include "support/channels.hpp"

#include <cstring>

#include "support/placed.hpp"

namespace simdnorm::test {

const char* name_of(channel_operation op) {
  static const char* const names[] = {"batch_norm_training_nd",
                                      "batch_norm_training_nd, all",
                                      "batch_norm_training_nd with a residual",
                                      "batch_norm_inference_nd",
                                      "batch_norm_inference_nd with a residual",
                                      "group_norm",
                                      "group_norm, all",
                                      "group_norm, ReLU",
                                      "instance_norm"};
  return names[static_cast<std::size_t>(op)];
}

channel_problem make_channel_problem(std::uint64_t seed, std::vector<std::size_t> sizes, std::size_t groups, flavour f,
                                     bool by_sample) {
  channel_problem p;
  p.sizes = std::move(sizes);
  p.groups = groups;
  const std::size_t batch = p.batch(), channels = p.channels(), positions = p.positions();
  p.x.resize(batch * channels * positions);
  if (by_sample) {  // lines are rows: groups of samples
    const problem m = make_problem(seed, batch * groups, channels / groups * positions, f, true);
    p.x = m.x;
    p.epsilon = m.epsilon;
  } else {
    const problem m = make_problem(seed, batch * positions, channels, f, false);
    p.epsilon = m.epsilon;
    for (std::size_t n = 0; n < batch; ++n)
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t s = 0; s < positions; ++s) p.x[p.index(n, c, s)] = m.at(n * positions + s, c);
  }
  const problem vectors = make_problem(seed + 1, 1, channels, f == flavour::specials ? f : flavour::normal, false);
  p.gamma = vectors.gamma;
  p.beta = vectors.beta;
  p.mean = vectors.mean;
  p.variance = vectors.variance;
  generator g(seed + 2);
  for (std::size_t i = 0; i < p.x.size(); ++i) p.residual.push_back(static_cast<float>(g.rough_normal()));
  return p;
}

channel_problem sample(channel_operation op, const std::vector<std::size_t>& sizes, std::uint64_t seed) {
  const auto f = static_cast<flavour>(seed % flavour_count);
  const std::size_t groups = sizes[1] % 3 == 0 ? sizes[1] / 3 : sizes[1] % 2 == 0 ? 2 : 1;
  return make_channel_problem(seed, sizes, op == channel_operation::instance_norm ? sizes[1] : groups, f,
                              !is_batch_norm(op));
}

std::string describe(channel_operation op, const channel_problem& p, const channel_setup& s) {
  std::string text = std::string(name_of(op)) + " ";
  for (const std::size_t n : p.sizes) text += std::to_string(n) + "x";
  return text + " in " + std::to_string(p.groups) + " groups, " + (s.last ? "channels last" : "channels first") +
         ", padding " + std::to_string(s.pad.kind) + (s.pad.fill == SIMDNORM_FILL_KEEP ? " kept" : "") + ", types " +
         std::to_string(s.types.x) + " " + std::to_string(s.types.y) + " " + std::to_string(s.types.residual);
}

bool real_element(const channel_shape& p, const mask& m, std::size_t n, std::size_t c, std::size_t s) {
  switch (m.kind) {
    case SIMDNORM_PADDING_ELEMENT_MASK:
    case SIMDNORM_PADDING_ELEMENT_MASK_BITS:
      return m.elements[p.index(n, c, s)] != 0;
    default:
      return m.real(n * p.positions() + s, 0);
  }
}

std::vector<mask> masks_for(const channel_shape& p, std::uint64_t seed) {
  generator g(seed);
  std::vector<mask> all(1);
  mask m;
  m.tokens = p.positions();
  m.cols = p.positions();
  m.index_type = seed & 2 ? SIMDNORM_I32 : SIMDNORM_I64;
  for (std::size_t n = 0; n < p.batch(); ++n)
    m.lengths.push_back(static_cast<std::int64_t>(g.between(n == 0 ? 1 : 0, p.positions())));
  for (std::size_t k = 0; k < p.batch() * p.positions(); ++k) m.rows.push_back(g.below(4) != 0);
  for (std::size_t k = 0; k < p.size(); ++k) m.elements.push_back(g.below(4) != 0);
  for (const simdnorm_padding_kind kind :
       {SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_PADDING_ROW_MASK, SIMDNORM_PADDING_ROW_MASK_BITS,
        SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
    m.kind = kind;
    m.fill = (seed / 2 + all.size()) % 2 == 0 ? SIMDNORM_FILL_ZERO : SIMDNORM_FILL_KEEP;  // of both layouts both
    all.push_back(m);
  }
  return all;
}

channel_place::channel_place(const channel_shape& p, const channel_setup& s) {
  const auto size = static_cast<std::ptrdiff_t>(p.positions());
  const auto channels = static_cast<std::ptrdiff_t>(p.channels());
  const auto gap = static_cast<std::ptrdiff_t>(s.channel_gap);
  const std::ptrdiff_t step = (s.last ? channels : size) + gap;  // from row to row
  const std::ptrdiff_t rows = s.last ? size : channels;
  const std::ptrdiff_t batch = rows * step + static_cast<std::ptrdiff_t>(s.batch_gap);
  strides.resize(p.sizes.size());
  const std::ptrdiff_t sign = s.reversed ? -1 : 1;
  std::ptrdiff_t inner = s.last ? sign * step : 1;
  for (std::size_t i = p.sizes.size(); i-- > 2; inner *= static_cast<std::ptrdiff_t>(p.sizes[i])) strides[i] = inner;
  for (std::size_t k = 0; k < p.positions(); ++k) {
    std::ptrdiff_t at = 0;
    for (std::size_t d = p.sizes.size(), rest = k; d-- > 2; rest /= p.sizes[d])
      at += static_cast<std::ptrdiff_t>(rest % p.sizes[d]) * strides[d];
    positions.push_back(at);
  }
  strides[1] = s.last ? 1 : sign * step;
  strides[0] = s.last && s.reversed ? -batch : batch;  // so that batch and positions stay rows of one stride
  if (p.size() == 0) return;
  std::ptrdiff_t low = 0, high = 0;
  for (std::size_t i = 0; i < strides.size(); ++i) {
    const std::ptrdiff_t reach = strides[i] * static_cast<std::ptrdiff_t>(p.sizes[i] - 1);
    (reach < 0 ? low : high) += reach;
  }
  base = -low;
  count = static_cast<std::size_t>(high - low + 1);
}

mask in_memory_order(const channel_shape& p, const mask& m, const std::vector<std::ptrdiff_t>& strides) {
  if (m.kind != SIMDNORM_PADDING_ELEMENT_MASK && m.kind != SIMDNORM_PADDING_ELEMENT_MASK_BITS) return m;
  const bool last = p.channels() == 1 || strides[1] == 1;
  const bool first = p.positions() == 1 || strides.back() == 1;
  mask to = m;
  to.cols = p.positions();
  if (!last || (first && p.positions() > 1)) return to;
  to.cols = p.channels();
  to.elements.clear();
  for (std::size_t n = 0; n < p.batch(); ++n)
    for (std::size_t s = 0; s < p.positions(); ++s)
      for (std::size_t c = 0; c < p.channels(); ++c) to.elements.push_back(m.elements[p.index(n, c, s)]);
  return to;
}

result run(channel_operation op, const channel_problem& p, const channel_setup& s, arena& memory) {
  memory.reset();
  placed place{memory};
  result r;
  const channel_place where(p, s);
  const auto fill = [&](const std::vector<float>* from, simdnorm_type type) {
    typed_array to(memory, where.count, type, s.types.widened);  // gaps are NaN
    if (from)
      p.for_planes([&](std::size_t n, std::size_t c, std::size_t first) {
        to.put(where.start(n, c), where.positions, from->data() + first);
      });
    return to;
  };
  const auto view = [&](const typed_array& data, auto t) {
    return where.view<decltype(t)>(p, data.at(where.base), data.type());
  };
  const typed_array xs = fill(&p.x, s.types.x);
  const bool adds = adds_residual(op);
  const typed_array ys = s.in_place ? xs : fill(adds && s.residual_is_y ? &p.residual : nullptr, s.types.y);
  const simdnorm_const_tensor x = view(xs, simdnorm_const_tensor{});
  const simdnorm_tensor y = view(ys, simdnorm_tensor{});
  const simdnorm_padding padding = place.in(in_memory_order(p, s.pad, where.strides));

  if (is_batch_norm(op)) {
    simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
    o.epsilon = p.epsilon;
    o.padding = padding;
    o.executor = s.executor;
    simdnorm_const_tensor residual{};
    if (adds) {
      residual = view(s.residual_is_y && !s.in_place ? ys : fill(&p.residual, s.types.residual), residual);
      o.residual = &residual;
      o.activation = SIMDNORM_ACTIVATION_RELU;
    }
    switch (op) {
      case channel_operation::batch_norm_training_all:
        o.gamma = place.in(p.gamma, s.types);
        o.beta = place.in(p.beta, s.types);
        o.running_mean = place.in_out(p.mean);
        o.running_variance = place.in_out(p.variance);
        o.mean = place.out(p.channels());
        o.rstd = place.out(p.channels());
        o.activation = SIMDNORM_ACTIVATION_RELU;
        r.status = simdnorm_batch_norm_training_nd(&x, &y, &o);
        append(r.f32, o.running_mean);
        append(r.f32, o.running_variance);
        append(r.f32, o.mean);
        append(r.f32, o.rstd);
        break;
      case channel_operation::batch_norm_training_add:
        o.gamma = place.in(p.gamma, s.types);
        o.beta = place.in(p.beta, s.types);
        r.status = simdnorm_batch_norm_training_nd(&x, &y, &o);
        break;
      case channel_operation::batch_norm_training:
        r.status = simdnorm_batch_norm_training_nd(&x, &y, &o);
        break;
      default:
        o.gamma = place.in(p.gamma, s.types);
        o.beta = place.in(p.beta, s.types);
        const simdnorm_const_vector mean = place.in(p.mean, s.types), variance = place.in(p.variance, s.types);
        r.status = simdnorm_batch_norm_inference_nd(&x, &y, mean, variance, &o);
    }
  } else {
    simdnorm_group_norm_options o = simdnorm_group_norm_defaults();
    o.epsilon = p.epsilon;
    o.padding = padding;
    o.executor = s.executor;
    const bool instance = op == channel_operation::instance_norm;
    if (op == channel_operation::group_norm_relu) {
      o.gamma = place.in(p.gamma, s.types);
      o.beta = place.in(p.beta, s.types);
      o.activation = SIMDNORM_ACTIVATION_RELU;
    }
    if (op == channel_operation::group_norm_all) {
      o.gamma = place.in(p.gamma, s.types);
      o.beta = place.in(p.beta, s.types);
      const std::size_t samples = s.pad.kind == SIMDNORM_PADDING_OFFSETS ? s.pad.lengths.size() - 1 : p.batch();
      o.mean = place.out(samples * p.groups);
      o.rstd = place.out(samples * p.groups);
    }
    r.status = instance ? simdnorm_instance_norm(&x, &y, &o) : simdnorm_group_norm(&x, &y, p.groups, &o);
    append(r.f32, o.mean);
    append(r.f32, o.rstd);
  }

  r.intact = memory.intact();
  std::vector<char> element(where.count, 0);
  r.y.resize(p.x.size());
  p.for_planes([&](std::size_t n, std::size_t c, std::size_t first) {
    const std::ptrdiff_t start = where.start(n, c);
    for (const std::ptrdiff_t at : where.positions) element[static_cast<std::size_t>(start + at)] = 1;
    ys.get(start, where.positions, r.y.data() + first);
  });
  if (where.count > p.size()) {
    for (std::size_t i = 0; i < where.count; ++i)
      if (!element[i] && bits_of(ys.get(i)) != unwritten) r.intact = false;
  }
  return r;
}

result run(channel_operation op, const channel_problem& p, const channel_setup& s) {
  static offset_arena memory;
  return run(op, p, s, memory);
}

}  // namespace simdnorm::test

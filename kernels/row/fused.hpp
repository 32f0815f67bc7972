// SPDX-License-Identifier: Apache-2.0
//
// Norms with something before or behind them: made_rows.hpp has the general loop. Here are the usual cases: as
// write_short_rows does, one loop writes a row of one batch and sums a row of the next: rows that a residual is added
// to, and rows under a mask, of floats and of one chunk at most; half_rows.hpp has those of bf16 and f16.
#pragma once

#include "row/half_rows.hpp"
#include "row/made_rows.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L>
SIMDNORM_INLINE void fill_lanes(float (&out)[virtual_lanes], float fill) {
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { L::store(out + g * L::width, L::broadcast(fill)); });
}

// What a row's elements are in the sums, register by register.
template <class L, stores S, bool Bias>
struct added_elements {
  const float* x;
  const float* residual;
  const float* bias;
  float* to;    // where h is kept
  float* past;  // and where it goes past the caches; null: nowhere
  SIMDNORM_INLINE typename L::f32 sum(size_t i) const {
    typename L::f32 h = L::load(x + i);
    if constexpr (Bias) h = h + L::load(bias + i);
    return h + L::load(residual + i);
  }
  SIMDNORM_INLINE typename L::f32 at(size_t i) const {
    const typename L::f32 h = sum(i);
    L::store(to + i, h);
    if constexpr (S == stores::streamed) {
      if (past != nullptr) L::stream(past + i, h);
    }
    return h;
  }
  // The lanes of 64 of them, for the shift; returns how many count.
  SIMDNORM_INLINE size_t window(size_t first, row_lanes<L>& lanes) const {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      lanes.v[g] = sum(first + g * L::width) + sum(first + virtual_lanes + g * L::width);
    });
    return shift_elements;
  }
  // The last n < 32 elements, from i on, and `fill` after them.
  [[gnu::noinline]] void tail(size_t i, size_t n, float fill, float (&out)[virtual_lanes]) const {
    const row_source s = float_source(x, residual, Bias ? bias : nullptr, nullptr, false);
    fill_lanes<L>(out, fill);
    make<L>(s, i, n, fill, to + i);
    for (size_t k = 0; k < n; ++k) out[k] = to[i + k];
    for (size_t k = 0; past != nullptr && k < n; ++k) past[i + k] = to[i + k];
  }
  SIMDNORM_INLINE void fetch(size_t i, ptrdiff_t ahead, ptrdiff_t residual_ahead) const {
    L::prefetch(x + ahead + i);
    L::prefetch(x + ahead + i + 16);
    L::prefetch(residual + residual_ahead + i);
    L::prefetch(residual + residual_ahead + i + 16);
  }
  SIMDNORM_INLINE size_t real(size_t n) const { return n; }
};
template <class L, class Mask>
struct masked_elements {
  const float* x;
  Mask mask;
  float fill;
  size_t count = 0;
  SIMDNORM_INLINE typename L::f32 at(size_t i) {
    const auto counts = mask.at(i);
    count += L::count(counts);
    return L::select(counts, L::load(x + i), L::broadcast(fill));
  }
  SIMDNORM_INLINE size_t window(size_t first, row_lanes<L>& lanes) const {
    size_t real = 0;
    const auto element = [&](size_t i) SIMDNORM_LAMBDA {
      const auto counts = mask.at(i);
      real += L::count(counts);
      return L::select(counts, L::load(x + i), L::broadcast(0.0f));
    };
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const typename L::f32 v = element(first + g * L::width);
      lanes.v[g] = v + element(first + virtual_lanes + g * L::width);
    });
    return real;
  }
  [[gnu::noinline]] void tail(size_t i, size_t n, float, float (&out)[virtual_lanes]) {
    const row_source s = float_source(x, nullptr, nullptr, mask.p, Mask::bits);
    fill_lanes<L>(out, fill);
    count += make<L>(s, i, n, fill, out);
  }
  SIMDNORM_INLINE void fetch(size_t i, ptrdiff_t ahead, ptrdiff_t) const {
    L::prefetch(x + ahead + i);
    L::prefetch(x + ahead + i + 16);
  }
  SIMDNORM_INLINE size_t real(size_t) const { return count; }
};

// Where outputs go.
template <class L, stores S>
struct plain_outputs {
  float* y;
  SIMDNORM_INLINE void put_at(size_t i, typename L::f32 v) const { put<L, S>(y + i, v); }
  void tail(size_t i, size_t n, const float* v) const {
    for (size_t k = 0; k < n; ++k) y[i + k] = v[k];
  }
};
template <class L, stores S, class Mask>
struct masked_outputs {
  float* y;
  Mask mask;
  bool keep;
  SIMDNORM_INLINE void put_at(size_t i, typename L::f32 v) const {
    const typename L::f32 rest = keep ? L::load(y + i) : L::broadcast(0.0f);
    put<L, S>(y + i, L::select(mask.at(i), L::canonical(v), rest));
  }
  void tail(size_t i, size_t n, const float* v) const { write_masked<L>(v, y + i, n, mask, i, keep); }
};

// each(g, i) for the registers of the whole groups of [0, n); flush() every 256 elements, but not at the end.
// Returns how far it came.
template <class L, class Each, class Flush>
SIMDNORM_INLINE size_t walk_groups(size_t n, Each each, Flush flush) {
  const size_t full = n - n % virtual_lanes;
  for (size_t i = 0;;) {
    const size_t stop = full - i < flush_every ? full : i + flush_every;
    for (; i < stop; i += virtual_lanes) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { each(g, i + g * L::width); });
    }
    if (i == n || i % flush_every != 0 || n < flush_every) return i;
    flush();
    if (i == full) return i;
  }
}
template <class L, class Sums, class Elements>
SIMDNORM_INLINE void add_tail(Sums& sums, Elements& elements, size_t i, size_t n, float fill) {
  if (i < n) {
    float last[virtual_lanes];  // not aligned: that would cost every row a frame of its own
    elements.tail(i, n - i, fill, last);
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { sums.add(g, L::load(last + g * L::width)); });
  }
}

// The outputs of the last n - i < 32 elements.
template <class L, class Norm, class Outputs>
[[gnu::noinline]] void write_last(const Norm& norm, const typename Norm::batch& out, size_t k, const Outputs& outputs,
                                  size_t i) {
  const size_t n = out.n[k];
  const auto f = norm.outputs(out, k, i);
  alignas(64) float last[virtual_lanes];
  size_t j = 0;
  for (; j + L::width <= n - i; j += L::width) L::store(last + j, f(load_at<L>{j}));
  if (j < n - i) L::store_n(last + j, f(load_tail_at<L>{j, n - i - j}), n - i - j);
  outputs.tail(i, n - i, last);
}

template <class L, class Norm, class Elements>
[[gnu::noinline]] size_t sum_elements(const Norm& norm, typename Norm::batch& in, size_t k, const Elements& what) {
  Elements elements = what;
  typename Norm::sums sums(in, k);
  const auto each = [&](auto g, size_t i) SIMDNORM_LAMBDA { sums.add(g, elements.at(i)); };
  const size_t i = walk_groups<L>(in.n[k], each, [&]() SIMDNORM_LAMBDA { sums.flush(); });
  add_tail<L>(sums, elements, i, in.n[k], norm.filler(in, k));
  sums.done(in, k);
  return elements.real(in.n[k]);
}

template <class L, class Norm, class Outputs>
[[gnu::noinline]] void write_elements(const Norm& norm, const typename Norm::batch& out, size_t k, const Outputs& to) {
  const Outputs outputs = to;
  const auto f = norm.outputs(out, k);
  const auto each = [&](auto, size_t i) SIMDNORM_LAMBDA { outputs.put_at(i, f(load_at<L>{i})); };
  const size_t i = walk_groups<L>(out.n[k], each, []() SIMDNORM_LAMBDA {});
  if (i < out.n[k]) write_last<L>(norm, out, k, outputs, i);
}

// Both rows are of n elements.
template <class L, stores S, class Norm, class Elements, class Outputs>
[[gnu::noinline]] size_t sum_and_write_elements(const Norm& norm, const typename Norm::batch& out, size_t k,
                                                const Outputs& to, typename Norm::batch& in, size_t j,
                                                const Elements& what, size_t n, ptrdiff_t ahead,
                                                ptrdiff_t residual_ahead) {
  const Outputs outputs = to;  // copied: stores of registers may alias anything
  Elements elements = what;
  const auto f = norm.outputs(out, k);
  typename Norm::sums sums(in, j);
  const auto each = [&](auto g, size_t i) SIMDNORM_LAMBDA {
    if (S == stores::streamed && g == 0) elements.fetch(i, ahead, residual_ahead);
    sums.add(g, elements.at(i));
    outputs.put_at(i, f(load_at<L>{i}));
  };
  const size_t i = walk_groups<L>(n, each, [&]() SIMDNORM_LAMBDA { sums.flush(); });
  add_tail<L>(sums, elements, i, n, norm.filler(in, j));
  sums.done(in, j);
  if (i < n) write_last<L>(norm, out, k, outputs, i);
  return elements.real(n);
}

// Row t of those taken becomes row k, and has its shift; false where none of its elements count.
template <class L, class Norm, class Elements>
SIMDNORM_INLINE bool start_elements(const Norm& norm, typename Norm::batch& batch, size_t k, size_t t,
                                    const row_source& s, const Elements& elements) {
  const size_t n = batch.n[t];
  batch.index[k] = batch.index[t];
  batch.x[k] = batch.x[t];
  batch.y[k] = batch.y[t];
  batch.n[k] = n;
  batch.inverse[k] = batch.inverse[t];
  if constexpr (Norm::shifted) {
    row_lanes<L> lanes;
    size_t real = n >= shift_elements ? elements.window(0, lanes) : 0;
    if (real == 0) [[unlikely]] {
      real = other_window<L>(s, n, lanes);
      if (real == 0) return false;
    }
    norm.start_row(batch, k, lanes, real);
  } else {
    size_t first;
    if (s.mask != nullptr && !s.counts(0) && !first_window<L>(s, n, first)) return false;
    norm.start_row(batch, k);
  }
  return true;
}

// Whether row k, under a mask, was not to be trusted, and is written.
template <class L, class Norm>
[[gnu::noinline]] bool write_if_hostile(const fused_row_arguments& a, typename Norm::batch& batch, size_t k,
                                        const row_source& s, size_t real, float* tile) {
  parameter_tiles<L> parameters(a);
  const Norm norm(parameters.arguments());
  row_end<L> end{a, parameters, s, batch.index[k], batch.y[k], nullptr, false, 1.0f};
  const made_row<L> row = {s, batch.n[k], real, tile, parameters, end, false};
  if (is_safe(norm, batch, k, row)) return false;
  norm.hostile(batch, k, row);
  return true;
}

// make(source, index, place) and put(batch, k, source) give the elements and outputs of a row; `buffer`: where rows
// are kept, `room` elements for each of two batches of `most` rows, or null.
template <class L, affine A, stores S, bool Joined, class Norm, class Make, class Put>
SIMDNORM_INLINE void write_joined_rows(const Norm& norm, const fused_row_arguments& a, const block& b, size_t most,
                                       float* buffer, Make make_elements, Put outputs_of) {
  constexpr bool masked = !__is_same(decltype(outputs_of(nullptr, row_source{})), plain_outputs<L, S>);
  constexpr size_t ahead_elements = 4096;
  const size_t rows_ahead = ahead_elements / a.cols + 1;
  const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
  const bool bits = a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  const size_t mask_pitch = bits ? (a.cols + 7) / 8 : a.cols;
  const size_t pitch = (a.cols + 15) / 16 * 16;
  alignas(64) float tile[masked ? tile_elements : 16];
  // What rows are made of is there long before it is used: loads of 16 bytes wait for stores of 8, a quarter of a row
  // of 64 columns.
  struct turn {
    typename Norm::batch batch;
    row_source sources[8];
    decltype(make_elements(row_source{}, size_t{}, nullptr)) elements[8];
    decltype(outputs_of(nullptr, row_source{})) outputs[8];
    size_t real[8];
  };
  turn ring[2];
  turn* out = ring;
  turn* in = ring + 1;
  row_views<L, Norm> views(a, b);
  parameter_check<L, A> parameters;
  for (auto& each : ring) {
    prepare(each.batch, a.cols, most);
    each.batch.count = 0;
  }
  for (;;) {
    typename Norm::batch& next = in->batch;
    typename Norm::batch& last = out->batch;
    while (views.take(next, most)) {
      size_t k = 0;
      for (size_t t = 0; t < next.count; ++t) {
        const size_t i = next.index[t];
        const auto at = [i](const void* p, ptrdiff_t stride) SIMDNORM_LAMBDA {
          return p ? static_cast<const float*>(p) + static_cast<ptrdiff_t>(i) * stride : nullptr;
        };
        row_source& s = in->sources[k];
        s = float_source(next.x[t], at(a.residual, a.residual_stride), static_cast<const float*>(a.bias),
                         masked ? static_cast<const uint8_t*>(a.padding.data) + i * mask_pitch : nullptr, bits);
        auto& elements = in->elements[k];
        elements = make_elements(s, i, buffer != nullptr ? buffer + ((in == ring ? 0 : most) + k) * pitch : nullptr);
        in->outputs[k] = outputs_of(next.y[t], s);
        if (!start_elements<L>(norm, next, k, t, s, elements)) {
          if (!keep) fill_row<L, S>(next.y[t], a.cols, 0.0f);
          if (a.mean) a.mean[i] = 0.0f;
          if (a.rstd) a.rstd[i] = 0.0f;
          continue;
        }
        if constexpr (masked) elements.fill = norm.filler(next, k);
        ++k;
      }
      next.count = k;
      if (k > 0) break;
    }
    if (last.count + next.count == 0) break;
    if constexpr (masked) {
      for (size_t j = next.count; j % 4 != 0; ++j) {
        next.leave_out(j);
        in->real[j] = a.cols;
      }
    }
    const bool joined = Joined && last.count > 0 && last.safe && (masked || parameters.passed(last));
    const size_t count = last.count > next.count ? last.count : next.count;
    for (size_t k = 0; k < count; ++k) {
      if (k < next.count) {
        const auto& elements = in->elements[k];
        const bool fits =
            S == stores::cached || reinterpret_cast<uintptr_t>(last.y[k]) % (L::width * sizeof(float)) == 0;
        if constexpr (Joined) {
          if (joined && k < last.count && fits && last.n[k] == next.n[k]) [[likely]] {
            const bool more = S == stores::streamed && a.walk == nullptr && b.row_last - next.index[k] > rows_ahead;
            const auto way = static_cast<ptrdiff_t>(more ? rows_ahead : 0);
            in->real[k] = sum_and_write_elements<L, S>(norm, last, k, out->outputs[k], next, k, elements, next.n[k],
                                                       way * a.x_stride, way * a.residual_stride);
            if constexpr (!masked) next.x[k] = elements.to;
            continue;
          }
        }
        in->real[k] = sum_elements<L>(norm, next, k, elements);
        if constexpr (!masked) next.x[k] = elements.to;
      }
      if (k >= last.count) continue;
      if constexpr (masked) {
        const row_source& s = out->sources[k];
        const bool aligned = reinterpret_cast<uintptr_t>(last.y[k]) % (L::width * sizeof(float)) == 0;
        if (!last.safe && write_if_hostile<L, Norm>(a, last, k, s, out->real[k], tile)) [[unlikely]]
          continue;
        if (S == stores::cached || aligned) {
          write_elements<L>(norm, last, k, out->outputs[k]);
        } else {
          for (size_t first = 0; first < last.n[k]; first += tile_elements) {
            const size_t m = last.n[k] - first < tile_elements ? last.n[k] - first : tile_elements;
            transform<L>(tile, m, norm.outputs(last, k, first, last.x[k] + first));
            write_masked<L>(s, tile, last.y[k] + first, m, first, keep);
          }
        }
      } else {
        const bool safe = last.safe;
        write_row<L, A, S>(norm, last, k, parameters);
        // NaN in h makes the row's sums NaN: where all are to be trusted there is none.
        if (a.sum != nullptr && !safe) {
          canonicalize_row<L>(static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(last.index[k]) * a.sum_stride,
                              last.n[k]);
        }
      }
    }
    if constexpr (masked) {
      for (size_t k = 0; k < next.count; k += quad::width64) {
        double real[quad::width64];
        for (size_t i = 0; i < quad::width64; ++i) real[i] = static_cast<double>(in->real[k + i]);
        quad::store64(next.inverse + k, quad::div(quad::broadcast64(1.0), quad::load64(real)));
      }
    }
    finish_short_rows(norm, next);
    last.count = 0;
    turn* const done = out;
    out = in;
    in = done;
  }
}

// Rows with a residual: h is kept in `sum`, or in a buffer until it is written.
template <class L, affine A, stores S, bool Bias, class Norm>
[[gnu::noinline]] void write_added_rows(const Norm& norm, const fused_row_arguments& a, const block& b, size_t most) {
  // Half a page away from x: rows of x and of the buffer often keep pace, and a load that follows a store to the
  // same place of another page waits for it.
  constexpr size_t page = 4096;
  alignas(64) float memory[kept_elements + page / sizeof(float)];
  const uintptr_t off = (reinterpret_cast<uintptr_t>(a.x) + page / 2 - reinterpret_cast<uintptr_t>(memory)) % page;
  float* const buffer = memory + off / 64 * 64 / sizeof(float);
  // A sum that replaces x or the residual is in a cache: x or the residual was just read there.
  const bool apart = a.sum != nullptr && a.sum != a.x && a.sum != a.residual;
  const auto make_elements = [&a, apart](const row_source& s, size_t index, float* place) SIMDNORM_LAMBDA {
    const auto* const x = static_cast<const float*>(s.x);
    const auto* const residual = static_cast<const float*>(s.residual);
    const auto* const bias = static_cast<const float*>(s.bias);
    float* sum = static_cast<float*>(a.sum);
    if (sum == nullptr) return added_elements<L, S, Bias>{x, residual, bias, place, nullptr};
    sum += static_cast<ptrdiff_t>(index) * a.sum_stride;
    if (S == stores::streamed && apart && reinterpret_cast<uintptr_t>(sum) % (L::width * sizeof(float)) == 0) {
      return added_elements<L, S, Bias>{x, residual, bias, place, sum};
    }
    return added_elements<L, S, Bias>{x, residual, bias, sum, nullptr};
  };
  const auto outputs = [](float* y, const row_source&) SIMDNORM_LAMBDA { return plain_outputs<L, S>{y}; };
  if (a.sum != nullptr) fill_sums(a, b);
  write_joined_rows<L, A, S, L::fused>(norm, a, b, most, buffer, make_elements, outputs);
}

template <class L, affine A, stores S, class Mask, class Norm>
[[gnu::noinline]] void write_masked_rows(const Norm& norm, const fused_row_arguments& a, const block& b, size_t most) {
  const auto make_elements = [](const row_source& s, size_t, float*) SIMDNORM_LAMBDA {
    return masked_elements<L, Mask>{static_cast<const float*>(s.x), Mask{s.mask}, 0.0f};
  };
  const auto outputs = [keep = a.padding.fill == SIMDNORM_FILL_KEEP](float* y, const row_source& s) SIMDNORM_LAMBDA {
    return masked_outputs<L, S, Mask>{y, Mask{s.mask}, keep};
  };
  write_joined_rows<L, A, S, L::fused>(norm, a, b, most, nullptr, make_elements, outputs);
}

template <class L, affine A, stores S, class Norm>
SIMDNORM_INLINE void write_usual_rows(const Norm& norm, const fused_row_arguments& a, const block& b, size_t most) {
  if (a.residual == nullptr) {
    if (a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS) {
      return write_masked_rows<L, A, S, bit_mask<L>>(norm, a, b, most);
    }
    return write_masked_rows<L, A, S, byte_mask<L>>(norm, a, b, most);
  }
  if constexpr (Norm::adds) {
    if (a.bias != nullptr) return write_added_rows<L, A, S, true>(norm, a, b, most);
    write_added_rows<L, A, S, false>(norm, a, b, most);
  }
}

template <class L, affine A, class Norm>
SIMDNORM_INLINE void write_common_rows(const Norm& norm, const fused_row_arguments& a, const block& b) {
  // Rows of a batch: 2 of 768 or 1,024 columns, with what is kept of them, stay in L1 (16 to 20 % faster than 4).
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const size_t fit = kept_elements / 2 / pitch;
  const size_t wanted = a.cols <= 256 ? 8 : 2;
  const size_t most = fit < wanted ? fit : wanted;
  if constexpr (L::streams) {
    if (a.stream) {
      write_usual_rows<L, A, stores::streamed>(norm, a, b, most);
      L::fence();
      return;
    }
  }
  write_usual_rows<L, A, stores::cached>(norm, a, b, most);
}

// What has loops here: floats alone, of one chunk at most, and a residual or a mask, but nothing else. Neither
// gamma or beta alone nor a weight of ones do.
SIMDNORM_INLINE bool is_common(const fused_row_arguments& a) {
  const bool masked = masks_elements(a.padding);
  return !a.mixed && (a.residual != nullptr) != masked && a.function == elementwise_function::none &&
         a.gate == nullptr && a.cols <= chunk_elements;
}

template <class L, class T>
SIMDNORM_INLINE void layer_norm_fused(const fused_row_arguments& a, const block& b) {
  const bool common = is_common(a);
  if (common && a.gamma && a.beta) {
    write_common_rows<L, affine::both>(layer_norm_body<L, affine::both>(a), a, b);
  } else if (common && !a.gamma && !a.beta) {
    write_common_rows<L, affine::none>(layer_norm_body<L, affine::none>(a), a, b);
  } else {
    write_made_rows<L, layer_norm_body<L, affine::both>>(a, b);
  }
}

template <class L, class T>
SIMDNORM_INLINE void rms_norm_fused(const fused_row_arguments& a, const block& b) {
  const bool common = is_common(a);
  if (a.gamma && a.unit_offset && !a.round_first) {
    using norm = rms_norm_body<L, affine::unit_offset>;
    if (common) return write_common_rows<L, affine::unit_offset>(norm(a), a, b);
    write_half_or_made_rows<L>(a, b, write_made_rows<L, norm>);
  } else {
    using norm = rms_norm_body<L, affine::gamma>;
    if (common && a.gamma) return write_common_rows<L, affine::gamma>(norm(a), a, b);
    write_half_or_made_rows<L>(a, b, write_made_rows<L, norm>);
  }
}

template <class L, class T>
SIMDNORM_INLINE void l2_norm_fused(const fused_row_arguments& a, const block& b) {
  using norm = l2_norm_body<L>;
  if (is_common(a)) return write_common_rows<L, affine::none>(norm(a), a, b);
  write_made_rows<L, norm>(a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// The second loop over rows: for a norm with something before it (a residual and a bias to be added, elements that
// a mask leaves out) or behind it. A batch of rows is made and summed, finished, and written; nothing of
// two rows is interleaved, as pipeline.hpp does. Where rows are made, a batch is kept in L1 in between.
//
// A norm's class is the one that pipeline.hpp describes. This loop asks for four things more:
//   shifted        whether a row has a shift of its first elements
//   start_row(batch, k, first, n, real)  start_row by first[0, n), of which `real` count
//   filler(batch, k)  what counts for nothing in the sums: the shift, or 0
//   outputs(batch, k, from, elements)    outputs of elements that lie elsewhere
#pragma once

#include "math/activation.hpp"
#include "row/l2_norm.hpp"
#include "row/layer_norm.hpp"
#include "row/rms_norm.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Rows that are kept: 32 KiB of stack, and of L1.
constexpr size_t kept_elements = 8192;
// Outputs that something is done to go through a buffer of this many columns.
constexpr size_t tile_elements = 1024;

// ---- masks of elements ----------------------------------------------------------------------------------

template <class L>
struct byte_mask {
  static constexpr bool bits = false;
  const uint8_t* p;  // of the row
  SIMDNORM_INLINE typename L::mask at(size_t i) const { return L::mask_bytes(p + i); }
  SIMDNORM_INLINE typename L::mask at(size_t i, size_t n) const { return L::mask_bytes_n(p + i, n); }
};
template <class L>
struct bit_mask {
  static constexpr bool bits = true;
  const uint8_t* p;
  SIMDNORM_INLINE typename L::mask at(size_t i) const { return L::mask_bits(p, i); }
  SIMDNORM_INLINE typename L::mask at(size_t i, size_t n) const { return L::mask_bits_n(p, i, n); }
};
struct no_mask {};

// to[j] = select(mask, from[j], keep ? to[j] : 0) for m elements whose mask begins at `first`, NaN made canonical.
template <class L, class Mask>
[[gnu::noinline]] void write_masked(const float* from, float* to, size_t m, Mask mask, size_t first, bool keep) {
  const auto write = [&](auto real, auto load, size_t i) SIMDNORM_LAMBDA {
    const typename L::f32 rest = keep ? load(to + i) : L::broadcast(0.0f);
    return L::select(real, L::canonical(load(from + i)), rest);
  };
  size_t i = 0;
  for (; i + L::width <= m; i += L::width) L::store(to + i, write(mask.at(first + i), load_at<L>{0}, i));
  if (i < m) L::store_n(to + i, write(mask.at(first + i, m - i), load_tail_at<L>{0, m - i}, i), m - i);
}

// ---- what a row's elements are ----------------------------------------------------------------------------

// h = (x + bias) + residual, or x; with a mask, of some of its elements.
struct row_source {
  const float* x;
  const float* residual;  // null: none
  const float* bias;      // null: none
  const uint8_t* mask;    // null: all count
  bool bits;

  SIMDNORM_INLINE bool counts(size_t i) const { return bits ? bit_at(mask, i) : mask[i] != 0; }
};

// to[0, m) = h of elements first, first + 1, ... of a row, `fill` for what does not count. Returns how many do.
template <class L, bool Residual, bool Bias, class Mask>
[[gnu::noinline]] size_t make_as(const row_source& s, Mask mask, size_t first, size_t m, float fill, float* to) {
  using f32 = typename L::f32;
  constexpr bool masked = !__is_same(Mask, no_mask);
  const float* const x = s.x + first;
  const float* const residual = Residual ? s.residual + first : nullptr;
  const float* const bias = Bias ? s.bias + first : nullptr;
  const auto element = [&](auto load) SIMDNORM_LAMBDA {
    f32 h = load(x);
    if constexpr (Bias) h = h + load(bias);
    if constexpr (Residual) h = h + load(residual);
    return h;
  };
  const f32 rest = L::broadcast(fill);
  size_t real = masked ? 0 : m;
  const auto put_at = [&](size_t i) SIMDNORM_LAMBDA {
    f32 h = element(load_at<L>{i});
    if constexpr (masked) {
      const auto counts = mask.at(first + i);
      real += L::count(counts);
      h = L::select(counts, h, rest);
    }
    L::store(to + i, h);
  };
  size_t i = 0;
  for (; i + 4 * L::width <= m; i += 4 * L::width) {
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { put_at(i + k * L::width); });
  }
  for (; i + L::width <= m; i += L::width) put_at(i);
  if (i < m) {
    f32 h = element(load_tail_at<L>{i, m - i});
    if constexpr (masked) {
      const auto counts = mask.at(first + i, m - i);
      real += L::count(counts);
      h = L::select(counts, h, rest);
    }
    L::store_n(to + i, h, m - i);
  }
  return real;
}
template <class L, class Mask>
SIMDNORM_INLINE size_t make_by(const row_source& s, Mask mask, size_t first, size_t m, float fill, float* to) {
  if (s.bias != nullptr) return make_as<L, true, true>(s, mask, first, m, fill, to);
  if (s.residual != nullptr) return make_as<L, true, false>(s, mask, first, m, fill, to);
  return make_as<L, false, false>(s, mask, first, m, fill, to);
}
template <class L>
[[gnu::noinline]] size_t make(const row_source& s, size_t first, size_t m, float fill, float* to) {
  if (s.mask == nullptr) return make_by<L>(s, no_mask{}, first, m, fill, to);
  if (s.bits) return make_by<L>(s, bit_mask<L>{s.mask}, first, m, fill, to);
  return make_by<L>(s, byte_mask<L>{s.mask}, first, m, fill, to);
}

// ---- what is done with outputs ------------------------------------------------------------------------------

template <class L>
SIMDNORM_INLINE void activate_tile(elementwise_function function, const float* from, float* to, size_t m) {
  switch (function) {
    case elementwise_function::relu:
      return activate_all<L, elementwise_function::relu>(from, to, m);
    case elementwise_function::gelu_erf:
      return activate_all<L, elementwise_function::gelu_erf>(from, to, m);
    case elementwise_function::gelu_tanh:
      return activate_all<L, elementwise_function::gelu_tanh>(from, to, m);
    default:
      return activate_all<L, elementwise_function::silu>(from, to, m);
  }
}
// tile *= silu(gate)
template <class L>
[[gnu::noinline]] void gate_tile(float* tile, const float* gate, size_t m) {
  size_t i = 0;
  for (; i + L::width <= m; i += L::width) {
    L::store(tile + i, L::load(tile + i) * activate<L, elementwise_function::silu>(L::load(gate + i)));
  }
  if (i < m) {
    const typename L::f32 g = activate<L, elementwise_function::silu>(L::load_n(gate + i, m - i));
    L::store_n(tile + i, L::load_n(tile + i, m - i) * g, m - i);
  }
}

// y[first, first + m) from a tile that holds the norm's outputs, and may be used up.
template <class L>
[[gnu::noinline]] void write_tile(const fused_row_arguments& a, const row_source& s, size_t index, size_t first,
                                  size_t m, float* tile, float* y) {
  float* const to = y + first;
  // Where nothing else is done to them, outputs go through the function to y.
  const bool last = a.gate == nullptr && s.mask == nullptr && !(L::streams && a.stream);
  if (a.function != elementwise_function::none) {
    activate_tile<L>(a.function, tile, last ? to : tile, m);
    if (last) return;
  }
  if (a.gate != nullptr) {
    const float* const gate = static_cast<const float*>(a.gate) + static_cast<ptrdiff_t>(index) * a.gate_stride;
    gate_tile<L>(tile, gate + first, m);
  }
  if (s.mask != nullptr) {
    const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
    if (s.bits) return write_masked<L>(tile, to, m, bit_mask<L>{s.mask}, first, keep);
    return write_masked<L>(tile, to, m, byte_mask<L>{s.mask}, first, keep);
  }
  const auto f = [tile](auto load) SIMDNORM_LAMBDA { return L::canonical(load(tile)); };
  if (L::streams && a.stream) return transform<L, stores::streamed>(to, m, f);
  transform<L>(to, m, f);
}

// A row that is made, for a norm's mend and hostile, tile by tile.
template <class L>
struct made_row {
  const fused_row_arguments& a;
  const row_source& source;
  size_t index, n, count;
  float* y;
  float* tile;

  size_t real() const { return count; }
  [[gnu::noinline]] bool constant(float& value) const {
    size_t i = 0;
    if (source.mask != nullptr) {
      while (!source.counts(i)) ++i;
    }
    const size_t begin = i - i % virtual_lanes;
    make<L>(source, begin, n - begin < virtual_lanes ? n - begin : virtual_lanes, 0.0f, tile);
    value = tile[i - begin];
    bool all = true;
    for_tiles(value, [&](const float* elements, size_t, size_t m) {
      all = all && elements[0] == value && row_is_constant<L>(elements, m);
    });
    return all;
  }
  [[gnu::noinline]] sums64 sums(float shift) const {
    row_sums64<L> s;
    for_tiles(shift, [&](const float* elements, size_t, size_t m) { s.add(elements, m, shift); });
    return s.result();
  }
  template <class F>
  SIMDNORM_INLINE void write(F f) const {
    for_tiles(0.0f, [&](const float* elements, size_t first, size_t m) {
      transform<L>(tile, m, [&](auto load) SIMDNORM_LAMBDA {
        return f(load(elements), [&](const auto* p) SIMDNORM_LAMBDA { return load(p + first); });
      });
      write_tile<L>(a, source, index, first, m, tile, y);
    });
  }

 private:
  template <class Use>
  void for_tiles(float fill, Use use) const {
    for (size_t first = 0; first < n; first += tile_elements) {
      const size_t m = n - first < tile_elements ? n - first : tile_elements;
      make<L>(source, first, m, fill, tile);
      use(tile, first, m);
    }
  }
};

// ---- the loop ---------------------------------------------------------------------------------------------

// Where the mask's first real elements are: a window of 64 columns that begins at a multiple of 64. False
// where there are none.
template <class L>
[[gnu::noinline]] bool first_window(const row_source& s, size_t n, size_t& first) {
  if (s.mask == nullptr) {
    first = 0;
    return true;
  }
  for (size_t i = 0; i < n; ++i) {
    if (s.counts(i)) {
      first = i - i % shift_elements;
      return true;
    }
  }
  return false;
}

// The lanes of a row's first window, whatever it is; how many elements count: 0, and there is none.
template <class L>
[[gnu::noinline]] size_t other_window(const row_source& s, size_t n, row_lanes<L>& lanes) {
  size_t first = 0;
  if (!first_window<L>(s, n, first)) return 0;
  alignas(64) float window[shift_elements];
  const size_t m = n - first < shift_elements ? n - first : shift_elements;
  const size_t real = make<L>(s, first, m, 0.0f, window);
  lanes.clear();
  for_lanes<L>(window, 0, m, L::broadcast(0.0f),
               [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA { lanes.v[g] = lanes.v[g] + v; });
  return real;
}

// The sums of row k, whose elements are made meanwhile, to `to` if that is given (all of it), else chunk by
// chunk into `chunk`; and handed out, each piece, by piece(elements, first, m). Returns how many elements
// count: 0, and there are no sums.
template <class L, class Norm, class Piece>
SIMDNORM_INLINE size_t sum_made_row(const Norm& norm, typename Norm::batch& in, size_t k, const row_source& s,
                                    float* to, float* chunk, Piece piece) {
  const size_t n = in.n[k];
  if constexpr (Norm::shifted) {
    row_lanes<L> lanes;
    const size_t counted = other_window<L>(s, n, lanes);
    if (counted == 0) return 0;
    norm.start_row(in, k, lanes, counted);
  } else {
    norm.start_row(in, k);
  }
  const float fill = norm.filler(in, k);
  size_t real = 0;
  for (size_t from = 0; from < n; from += chunk_elements) {
    const size_t m = n - from < chunk_elements ? n - from : chunk_elements;
    float* const elements = to != nullptr ? to + from : chunk;
    real += make<L>(s, from, m, fill, elements);
    piece(elements, from, m);
    if (from > 0) norm.fold(in, k);
    typename Norm::sums sums(in, k);
    sum_chunk<L>(elements, 0, m, sums);
    sums.done(in, k);
  }
  norm.fold(in, k);
  return real;
}

template <class L, affine A, class Norm>
SIMDNORM_INLINE void write_direct(const Norm& norm, typename Norm::batch& batch, size_t k,
                                  parameter_check<L, A>& parameters, bool stream) {
  if constexpr (L::streams) {
    if (stream) return write_row<L, A, stores::streamed>(norm, batch, k, parameters);
  }
  write_row<L, A, stores::cached>(norm, batch, k, parameters);
}

// What padding of whole columns and rows means for `sum`: the same as for y, which real_row_views looks after.
template <class L>
[[gnu::noinline]] void fill_sums(const fused_row_arguments& a, const block& b) {
  if (a.padding.kind == SIMDNORM_PADDING_NONE || masks_elements(a.padding)) return;
  if (a.padding.fill != SIMDNORM_FILL_ZERO) return;
  for (size_t i = b.row_first; i < b.row_last; ++i) {
    const size_t n = real_columns(a.padding, i, a.cols);
    float* const row = static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(i) * a.sum_stride;
    if (n < a.cols) fill_row<L>(row + n, a.cols - n, 0.0f);
  }
}

// Of rows that are made, `kept` are in the buffer: a batch of them. Otherwise they are read again.
template <class L, affine A, class Norm>
[[gnu::noinline]] void write_fused_rows(const Norm& norm, const fused_row_arguments& a, const block& b) {
  alignas(64) float buffer[kept_elements];
  alignas(64) float tile[tile_elements];
  const bool masked = masks_elements(a.padding);
  const bool added = a.residual != nullptr;
  const bool stream = L::streams && a.stream;
  const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
  const bool direct = !masked && a.function == elementwise_function::none && a.gate == nullptr;
  // Where h goes while it is summed: into `sum` where that may be written as it is made.
  const bool into_sum = a.sum != nullptr && !masked && !(stream && a.cols <= kept_elements);
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const bool kept = added && !into_sum && pitch <= kept_elements;
  const size_t fit = kept ? kept_elements / pitch : 2 * kept_elements / pitch;
  const size_t together = fit < 1 ? 1 : fit < 8 ? fit : 8;
  const bool bits = a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  const size_t mask_pitch = bits ? (a.cols + 7) / 8 : a.cols;

  row_views<L, Norm> views(a, b);
  parameter_check<L, A> parameters;
  typename Norm::batch batch;
  row_source sources[8];
  size_t real[8];
  prepare(batch, a.cols, together);
  if (a.sum != nullptr) fill_sums<L>(a, b);
  while (views.take(batch, together)) {
    const size_t taken = batch.count;
    size_t k = 0;
    for (size_t t = 0; t < taken; ++t) {
      const size_t i = batch.index[t];
      const auto at = [i](const void* p, ptrdiff_t stride) {
        return p ? static_cast<const float*>(p) + static_cast<ptrdiff_t>(i) * stride : nullptr;
      };
      const size_t n = batch.n[t];
      batch.index[k] = i;
      batch.n[k] = n;
      batch.inverse[k] = batch.inverse[t];
      batch.x[k] = batch.x[t];
      batch.y[k] = batch.y[t];
      row_source& s = sources[k];
      s = {batch.x[k], at(a.residual, a.residual_stride), static_cast<const float*>(a.bias),
           masked ? static_cast<const uint8_t*>(a.padding.data) + i * mask_pitch : nullptr, bits};
      if (!added && !masked) {
        norm.start_row(batch, k);
        sum_row<L>(norm, batch, k);
        norm.fold(batch, k);
        ++k;
        continue;
      }
      float* const sum = a.sum ? static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(i) * a.sum_stride : nullptr;
      float* const to = into_sum ? sum : kept ? buffer + k * pitch : nullptr;
      const auto also = [&](const float* elements, size_t first, size_t m) {
        if (sum == nullptr || into_sum) return;
        if (masked) {
          if (bits) return write_masked<L>(elements, sum + first, m, bit_mask<L>{s.mask}, first, keep);
          return write_masked<L>(elements, sum + first, m, byte_mask<L>{s.mask}, first, keep);
        }
        const auto f = [elements](auto load) SIMDNORM_LAMBDA { return load(elements); };
        if constexpr (L::streams) {
          if (stream) return transform<L, stores::streamed>(sum + first, m, f);
        }
        transform<L>(sum + first, m, f);
      };
      real[k] = sum_made_row<L>(norm, batch, k, s, to, buffer, also);
      if (masked) {
        if (real[k] == 0) {
          if (!keep) fill_row<L>(batch.y[k], n, 0.0f);
          if (!keep && sum != nullptr) fill_row<L>(sum, n, 0.0f);
          if (a.mean) a.mean[i] = 0.0f;
          if (a.rstd) a.rstd[i] = 0.0f;
          continue;
        }
        batch.inverse[k] = 1.0 / static_cast<double>(real[k]);
      }
      // From here on a row is what was kept of it, or what `sum` holds.
      if (to != nullptr || sum != nullptr) {
        batch.x[k] = to != nullptr ? to : sum;
        s.x = batch.x[k];
        s.residual = s.bias = nullptr;
      }
      ++k;
    }
    batch.count = k;
    if (k == 0) continue;
    for (size_t j = k; j % 4 != 0; ++j) batch.leave_out(j);
    finish_all<L>(norm, batch);
    const bool safe = batch.safe;
    for (k = 0; k < batch.count; ++k) {
      const row_source& s = sources[k];
      if (direct && s.residual == nullptr) {
        write_direct<L, A>(norm, batch, k, parameters, stream);
      } else {
        const size_t n = batch.n[k];
        const made_row<L> row = {a, s, batch.index[k], n, masked ? real[k] : n, batch.y[k], tile};
        if (!is_safe(norm, batch, k, row)) [[unlikely]] {
          norm.hostile(batch, k, row);
        } else {
          for (size_t first = 0; first < n; first += tile_elements) {
            const size_t m = n - first < tile_elements ? n - first : tile_elements;
            const float* elements = s.x + first;
            if (s.residual != nullptr) {
              make<L>(s, first, m, 0.0f, tile);
              elements = tile;
            }
            transform<L>(tile, m, norm.outputs(batch, k, first, elements));
            write_tile<L>(a, s, batch.index[k], first, m, tile, batch.y[k]);
          }
        }
      }
      // NaN in h makes the row's sums NaN: where all are to be trusted there is none.
      if (a.sum != nullptr && !masked && !safe) {
        canonicalize_row<L>(static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(batch.index[k]) * a.sum_stride,
                            batch.n[k]);
      }
    }
  }
  if constexpr (L::streams) {
    if (stream) L::fence();
  }
}

// ---- the usual cases -----------------------------------------------------------------------------------------
//
// As write_short_rows does, one loop writes a row of one batch and sums a row of the next: rows that a residual is
// added to, and rows under a mask, of one chunk at most.

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
    const row_source s = {x, residual, Bias ? bias : nullptr, nullptr, false};
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
    const row_source s = {x, nullptr, nullptr, mask.p, Mask::bits};
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
  sums.flush();
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
        s = {next.x[t], at(a.residual, a.residual_stride), static_cast<const float*>(a.bias),
             masked ? static_cast<const uint8_t*>(a.padding.data) + i * mask_pitch : nullptr, bits};
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
        const made_row<L> row = {a, s, last.index[k], last.n[k], out->real[k], last.y[k], tile};
        const bool aligned = reinterpret_cast<uintptr_t>(last.y[k]) % (L::width * sizeof(float)) == 0;
        if (!is_safe(norm, last, k, row)) [[unlikely]] {
          norm.hostile(last, k, row);
        } else if (S == stores::cached || aligned) {
          write_elements<L>(norm, last, k, out->outputs[k]);
        } else {
          for (size_t first = 0; first < last.n[k]; first += tile_elements) {
            const size_t m = last.n[k] - first < tile_elements ? last.n[k] - first : tile_elements;
            transform<L>(tile, m, norm.outputs(last, k, first, last.x[k] + first));
            write_tile<L>(a, s, last.index[k], first, m, tile, last.y[k]);
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
    for (size_t k = 0; k < next.count; k += 2) norm.fold2(next, k);
    for (size_t k = 0; k < next.count; k += 4) finish_rows(norm, next, k);
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
    float* sum = static_cast<float*>(a.sum);
    if (sum == nullptr) return added_elements<L, S, Bias>{s.x, s.residual, s.bias, place, nullptr};
    sum += static_cast<ptrdiff_t>(index) * a.sum_stride;
    if (S == stores::streamed && apart && reinterpret_cast<uintptr_t>(sum) % (L::width * sizeof(float)) == 0) {
      return added_elements<L, S, Bias>{s.x, s.residual, s.bias, place, sum};
    }
    return added_elements<L, S, Bias>{s.x, s.residual, s.bias, sum, nullptr};
  };
  const auto outputs = [](float* y, const row_source&) SIMDNORM_LAMBDA { return plain_outputs<L, S>{y}; };
  if (a.sum != nullptr) fill_sums<L>(a, b);
  write_joined_rows<L, A, S, L::fused>(norm, a, b, most, buffer, make_elements, outputs);
}

template <class L, affine A, stores S, class Mask, class Norm>
[[gnu::noinline]] void write_masked_rows(const Norm& norm, const fused_row_arguments& a, const block& b, size_t most) {
  const auto make_elements = [](const row_source& s, size_t, float*) SIMDNORM_LAMBDA {
    return masked_elements<L, Mask>{s.x, Mask{s.mask}, 0.0f};
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

template <class L, affine A, class Norm>
SIMDNORM_INLINE void for_fused_rows(const Norm& norm, const fused_row_arguments& a, const block& b) {
  const bool masked = masks_elements(a.padding);
  const bool added = a.residual != nullptr;
  const bool usual = added != masked && a.function == elementwise_function::none && a.gate == nullptr;
  // gamma or beta alone, or a weight of ones, are not worth loops of their own.
  constexpr bool common = A == affine::both || A == affine::unit_offset ||
                          (A == affine::none ? Norm::shifted || !Norm::adds : !Norm::shifted);
  if (!common || !usual || a.cols > chunk_elements) return write_fused_rows<L, A>(norm, a, b);
  if constexpr (common) write_common_rows<L, A>(norm, a, b);
}
template <class L, class T>
SIMDNORM_INLINE void layer_norm_fused(const fused_row_arguments& a, const block& b) {
  if (a.gamma && a.beta) {
    for_fused_rows<L, affine::both>(layer_norm_body<L, affine::both>(a), a, b);
  } else if (a.gamma) {
    for_fused_rows<L, affine::gamma>(layer_norm_body<L, affine::gamma>(a), a, b);
  } else if (a.beta) {
    for_fused_rows<L, affine::beta>(layer_norm_body<L, affine::beta>(a), a, b);
  } else {
    for_fused_rows<L, affine::none>(layer_norm_body<L, affine::none>(a), a, b);
  }
}

template <class L, class T>
SIMDNORM_INLINE void rms_norm_fused(const fused_row_arguments& a, const block& b) {
  if (a.gamma && a.unit_offset) {
    for_fused_rows<L, affine::unit_offset>(rms_norm_body<L, affine::unit_offset>(a), a, b);
  } else if (a.gamma) {
    for_fused_rows<L, affine::gamma>(rms_norm_body<L, affine::gamma>(a), a, b);
  } else {
    for_fused_rows<L, affine::none>(rms_norm_body<L, affine::none>(a), a, b);
  }
}

template <class L, class T>
SIMDNORM_INLINE void l2_norm_fused(const fused_row_arguments& a, const block& b) {
  for_fused_rows<L, affine::none>(l2_norm_body<L>(a), a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

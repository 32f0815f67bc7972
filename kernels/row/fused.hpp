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
  const uint8_t* p;  // of the row
  SIMDNORM_INLINE typename L::mask at(size_t i) const { return L::mask_bytes(p + i); }
  SIMDNORM_INLINE typename L::mask at(size_t i, size_t n) const { return L::mask_bytes_n(p + i, n); }
};
template <class L>
struct bit_mask {
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
SIMDNORM_INLINE size_t make(const row_source& s, size_t first, size_t m, float fill, float* to) {
  if (s.mask == nullptr) return make_by<L>(s, no_mask{}, first, m, fill, to);
  if (s.bits) return make_by<L>(s, bit_mask<L>{s.mask}, first, m, fill, to);
  return make_by<L>(s, byte_mask<L>{s.mask}, first, m, fill, to);
}

// ---- what is done with outputs ------------------------------------------------------------------------------

template <class L>
SIMDNORM_INLINE void activate_tile(activation function, const float* from, float* to, size_t m) {
  switch (function) {
    case activation::relu:
      return activate_all<L, activation::relu>(from, to, m);
    case activation::gelu_erf:
      return activate_all<L, activation::gelu_erf>(from, to, m);
    case activation::gelu_tanh:
      return activate_all<L, activation::gelu_tanh>(from, to, m);
    default:
      return activate_all<L, activation::silu>(from, to, m);
  }
}
// tile *= silu(gate)
template <class L>
[[gnu::noinline]] void gate_tile(float* tile, const float* gate, size_t m) {
  size_t i = 0;
  for (; i + L::width <= m; i += L::width) {
    L::store(tile + i, L::load(tile + i) * activate<L, activation::silu>(L::load(gate + i)));
  }
  if (i < m) {
    const typename L::f32 g = activate<L, activation::silu>(L::load_n(gate + i, m - i));
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
  if (a.function != activation::none) {
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
        return f(load(elements), [&](const float* p) SIMDNORM_LAMBDA { return load(p + first); });
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
SIMDNORM_INLINE bool first_window(const row_source& s, size_t n, size_t& first) {
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

// The sums of row k, whose elements are made meanwhile, to `to` if that is given (all of it), else chunk by
// chunk into `chunk`; and handed out, each piece, by piece(elements, first, m). Returns how many elements
// count: 0, and there are no sums.
template <class L, class Norm, class Piece>
SIMDNORM_INLINE size_t sum_made_row(const Norm& norm, typename Norm::batch& in, size_t k, const row_source& s,
                                    float* to, float* chunk, Piece piece) {
  const size_t n = in.n[k];
  if constexpr (Norm::shifted) {
    size_t first = 0;
    if (!first_window<L>(s, n, first)) return 0;
    float window[shift_elements];
    const size_t m = n - first < shift_elements ? n - first : shift_elements;
    const size_t real = make<L>(s, first, m, 0.0f, window);
    norm.start_row(in, k, window, m, real);
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
  const bool direct = !masked && a.function == activation::none && a.gate == nullptr;
  // Where h goes while it is summed: into `sum` where that may be written as it is made.
  const bool into_sum = a.sum != nullptr && !masked && !(stream && a.cols <= kept_elements);
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const bool kept = added && !into_sum && pitch <= kept_elements;
  const size_t fit = kept ? kept_elements / pitch : 2 * kept_elements / pitch;
  const size_t together = fit < 1 ? 1 : fit < 8 ? fit : 8;
  const bool bits = a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  const size_t mask_pitch = bits ? (a.cols + 7) / 8 : a.cols;

  real_row_views<L> views(a, b);
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

template <class L>
SIMDNORM_INLINE void layer_norm_fused(const fused_row_arguments& a, const block& b) {
  if (a.gamma && a.beta) {
    write_fused_rows<L, affine::both>(layer_norm_body<L, affine::both>(a), a, b);
  } else if (a.gamma) {
    write_fused_rows<L, affine::gamma>(layer_norm_body<L, affine::gamma>(a), a, b);
  } else if (a.beta) {
    write_fused_rows<L, affine::beta>(layer_norm_body<L, affine::beta>(a), a, b);
  } else {
    write_fused_rows<L, affine::none>(layer_norm_body<L, affine::none>(a), a, b);
  }
}

template <class L>
SIMDNORM_INLINE void rms_norm_fused(const fused_row_arguments& a, const block& b) {
  if (a.gamma && a.unit_offset) {
    write_fused_rows<L, affine::unit_offset>(rms_norm_body<L, affine::unit_offset>(a), a, b);
  } else if (a.gamma) {
    write_fused_rows<L, affine::gamma>(rms_norm_body<L, affine::gamma>(a), a, b);
  } else {
    write_fused_rows<L, affine::none>(rms_norm_body<L, affine::none>(a), a, b);
  }
}

template <class L>
SIMDNORM_INLINE void l2_norm_fused(const fused_row_arguments& a, const block& b) {
  write_fused_rows<L, affine::none>(l2_norm_body<L>(a), a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

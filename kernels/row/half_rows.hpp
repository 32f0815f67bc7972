// SPDX-License-Identifier: Apache-2.0
//
// RMS norm of two-byte rows as language models ask for it: rounded before the weight (Llama), by 1 + weight (Gemma), of
// x + residual, with the sum written back. made_rows.hpp gives the same bits, in up to seven passes over a tile in
// place of two: 1.7 to 3.3 times as long as a norm without any of this, in place of 1.3 to 2.3.
#pragma once

#include "row/made_rows.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// h[from, end) = x + residual, of one chunk at most, and its sums.
template <class L, class T, class Sums>
SIMDNORM_INLINE void add_chunk(const T* x, const T* residual, float* h, size_t from, size_t end, Sums& sums) {
  for (;;) {
    const size_t stop = end - from < flush_every ? end : from + flush_every;
    size_t i = from;
    for (; i + virtual_lanes <= stop; i += virtual_lanes) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
        const size_t at = i + g * L::width;
        const typename L::f32 v = L::load(x + at) + L::load(residual + at);
        L::store(h + at, v);
        sums.add(g, v);
      });
    }
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const size_t at = i + g * L::width;
      if (at >= stop) return;
      const size_t n = stop - at;
      const bool whole = n >= L::width;
      const typename L::f32 v =
          whole ? L::load(x + at) + L::load(residual + at) : L::load_n(x + at, n) + L::load_n(residual + at, n);
      if (whole) {
        L::store(h + at, v);
      } else {
        L::store_n(h + at, v, n);
      }
      sums.add(g, v);  // zeros count for nothing
    });
    if (stop == end) return;
    from = stop;
    sums.flush();
  }
}

// x + residual of row k in h, and its squares.
template <class L, class T, class Norm>
[[gnu::noinline]] void sum_added_row(const Norm& norm, typename Norm::batch& batch, size_t k, const T* residual,
                                     float* h) {
  const size_t n = batch.n[k];
  for (size_t from = 0; from < n; from += chunk_elements) {
    if (from > 0) norm.fold(batch, k);
    typename Norm::sums sums(batch, k);
    add_chunk<L>(batch.x[k], residual, h, from, n - from < chunk_elements ? n : from + chunk_elements, sums);
    sums.done(batch, k);
  }
}

// Of outputs: v = x * rstd, rounded to T where `rounds`; v * weight, or v + v * weight.
template <class L, class T>
struct half_outputs {
  float rstd;
  bool rounds, unit_offset, streams;
  bool finite;  // weights are; outputs of rows that are to be trusted are no NaN then

  // y[0, n) of x[0, n), floats or halves, by a tile's weights; floats also as they are to `sum`, if that is given.
  template <class X>
  [[gnu::noinline]] void write(const X* x, const float* weight, T* y, T* sum, size_t n) const {
    constexpr bool sums = sizeof(X) == sizeof(float);
    using f32 = typename L::f32;
    using u32 = typename L::u32;
    const f32 scale = L::broadcast(rstd);
    // fma(v, w, -0) is v * w, zeros and all.
    const u32 one(unit_offset ? 0xffffffffu : 0u);
    const u32 none(unit_offset ? 0u : 0x80000000u);
    const bool is_rounded = rounds, may_be_nan = !finite;
    const auto output = [&](auto load) SIMDNORM_LAMBDA {
      f32 v = load(x) * scale;
      if (is_rounded) v = L::rounded(T{}, v);
      v = L::fma(v, load(weight), L::floats((L::bits(v) & one) | none));
      return may_be_nan ? L::canonical(v) : v;
    };
    if (L::streams && streams) {
      transform<L, L::streams ? stores::streamed : stores::cached>(y, n, output);
    } else {
      size_t i = 0;
      for (; i + L::width <= n; i += L::width) L::store(y + i, output(load_at<L>{i}));
      if (i < n) L::store_n(y + i, output(load_tail_at<L>{i, n - i}), n - i);
    }
    if constexpr (sums) {
      if (sum != nullptr) convert_elements<L>(x, sum, n);
    }
  }
};

template <class L>
[[gnu::noinline]] bool are_finite(const float* v, size_t n) {
  typename L::f32 zeros = L::broadcast(0.0f);
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) zeros = L::fma(L::load(v + i), L::broadcast(0.0f), zeros);
  if (i < n) zeros = L::fma(L::load_n(v + i, n - i), L::broadcast(0.0f), zeros);
  return !L::any_nan(zeros);
}

// Whether a call is one of these: weights of any type, the rest of one.
SIMDNORM_INLINE bool is_half_call(const fused_row_arguments& a) {
  return (a.x_type == SIMDNORM_BF16 || a.x_type == SIMDNORM_F16) && a.y_type == a.x_type &&
         (a.residual == nullptr || a.residual_type == a.x_type) && a.bias == nullptr &&
         (a.sum == nullptr || a.sum_type == a.x_type) && a.gamma != nullptr && !masks_elements(a.padding) &&
         a.gate == nullptr && a.function == elementwise_function::none && a.cols <= kept_elements;
}

constexpr size_t most_half_rows = 8;  // of a batch

// Batch after batch, up to one with rows that are not to be trusted: how many these are, and which; 0: no row is left.
template <class L, class T, class Views>
[[gnu::noinline]] size_t write_trusted_rows(const fused_row_arguments& a, Views& views,
                                            size_t (&others)[most_half_rows]) {
  using norm_type = rms_norm_body<L, affine::gamma, T, T>;
  alignas(64) float kept[kept_elements];
  const norm_type norm(a);
  const bool added = a.residual != nullptr;
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const size_t fit = kept_elements / pitch;
  const size_t together = !added || fit > most_half_rows ? most_half_rows : fit;
  parameter_tiles<L> parameters(a);
  typename norm_type::batch batch;
  prepare(batch, a.cols, together);
  size_t untrusted = 0;
  while (untrusted == 0 && views.take(batch, together)) {
    for (size_t k = 0; k < batch.count; ++k) {
      norm.clear(batch, k);
      if (!added) {
        sum_row<L>(norm, batch, k);
      } else {
        const auto at = static_cast<ptrdiff_t>(batch.index[k]) * a.residual_stride;
        sum_added_row<L>(norm, batch, k, static_cast<const T*>(a.residual) + at, kept + k * pitch);
      }
      norm.fold(batch, k);
    }
    finish_all<L>(norm, batch);
    bool trusted[most_half_rows];
    for (size_t k = 0; k < batch.count; ++k) {
      trusted[k] = batch.safe || norm.template finish<single>(batch, k);
      if (!trusted[k]) [[unlikely]]
        others[untrusted++] = batch.index[k];
    }
    for (size_t first = 0; first < a.cols; first += tile_elements) {
      const size_t all = a.cols - first < tile_elements ? a.cols - first : tile_elements;
      parameters.set(first, all);
      const float* const weight =
          a.round_first ? parameters.weight() : static_cast<const float*>(parameters.arguments().gamma);
      const bool finite = are_finite<L>(weight, all);
      for (size_t k = 0; k < batch.count; ++k) {
        if (!trusted[k] || batch.n[k] <= first) continue;
        const size_t m = batch.n[k] - first < tile_elements ? batch.n[k] - first : tile_elements;
        T* const y = batch.y[k] + first;
        const half_outputs<L, T> outputs{batch.rstd[k], a.round_first, a.unit_offset, a.stream, finite};
        if (!added) {
          outputs.write(batch.x[k] + first, weight, y, nullptr, m);
          continue;
        }
        const auto at = static_cast<ptrdiff_t>(batch.index[k]) * a.sum_stride + static_cast<ptrdiff_t>(first);
        T* const sum = a.sum != nullptr ? static_cast<T*>(a.sum) + at : nullptr;
        outputs.write(kept + k * pitch + first, weight, y, sum, m);
      }
    }
  }
  return untrusted;
}

using made_rows_kernel = void (*)(const fused_row_arguments&, const block&);

// `otherwise` does rows that are not to be trusted, and needs 48 KiB of stack itself: not on top of what is kept here.
// No other row is written where such a row lies, so that they can wait.
template <class L, class T>
[[gnu::noinline]] void write_half_rows(const fused_row_arguments& a, const block& b, made_rows_kernel otherwise) {
  row_views<L, rms_norm_body<L, affine::gamma, T, T>> views(a, b);
  if (a.sum != nullptr) fill_sums(a, b);
  size_t others[most_half_rows];
  while (const size_t untrusted = write_trusted_rows<L, T>(a, views, others)) {
    for (size_t k = 0; k < untrusted; ++k) otherwise(a, block{others[k], others[k] + 1, b.col_first, b.col_last});
  }
  if constexpr (L::streams) {
    if (a.stream) L::fence();
  }
}

// The rows of a call, by made_rows.hpp where they are none of these.
template <class L>
SIMDNORM_INLINE void write_half_or_made_rows(const fused_row_arguments& a, const block& b, made_rows_kernel otherwise) {
  if constexpr (L::width > 1) {
    if (is_half_call(a)) {
      if constexpr (builds_bf16) {
        if (a.x_type == SIMDNORM_BF16) return write_half_rows<L, bf16>(a, b, otherwise);
      }
      if constexpr (builds_f16) {
        if (a.x_type == SIMDNORM_F16) return write_half_rows<L, f16>(a, b, otherwise);
      }
    }
  }
  otherwise(a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

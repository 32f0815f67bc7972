// SPDX-License-Identifier: Apache-2.0
//
// Norms of two-byte rows as language models ask for them: of x + residual, with the sum written back; RMS norm rounded
// before the weight (Llama) and by 1 + weight (Gemma). made_rows.hpp gives the same bits, in up to seven passes over a
// tile in place of two: 1.7 to 3.3 times as long as a norm without any of this, in place of 1.3 to 2.3.
#pragma once

#include "row/made_rows.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// h[from, end) = x + residual, of one chunk at most, and its sums; where these have a shift, what is not there is
// `fill`.
template <class L, bool Fills, class T, class Sums>
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
      if (n >= L::width) {
        const typename L::f32 v = L::load(x + at) + L::load(residual + at);
        L::store(h + at, v);
        sums.add(g, v);
      } else {
        const typename L::f32 v = L::load_n(x + at, n) + L::load_n(residual + at, n);
        L::store_n(h + at, v, n);
        if constexpr (!Fills) {
          sums.add(g, v);  // zeros count for nothing
        } else if constexpr (L::loads_where) {
          sums.add(g, L::select(L::below(at, stop), v, sums.fill()));
        } else {
          sums.add(g, L::load_n_or(h + at, n, sums.fill()));
        }
      }
    });
    if (stop == end) return;
    from = stop;
    sums.flush();
  }
}

// Lanes of a row's first elements, for its shift.
template <class L>
struct window_sums {
  row_lanes<L> lanes;
  window_sums() { lanes.clear(); }
  template <class G>
  SIMDNORM_INLINE void add(G g, typename L::f32 v) {
    lanes.v[g] = lanes.v[g] + v;
  }
  void flush() {}
};

// x + residual of row k in h, and its sums.
template <class L, class T, class Norm>
[[gnu::noinline]] void sum_added_row(const Norm& norm, typename Norm::batch& batch, size_t k, const T* residual,
                                     float* h) {
  const size_t n = batch.n[k];
  const T* const x = batch.x[k];
  if constexpr (Norm::shifted) {
    const size_t few = n < shift_elements ? n : shift_elements;
    window_sums<L> window;
    add_chunk<L, false>(x, residual, h, 0, few, window);
    norm.start_row(batch, k, window.lanes, few);
  }
  for (size_t from = 0; from < n; from += chunk_elements) {
    if (from > 0) norm.fold(batch, k);
    typename Norm::sums sums(batch, k);
    add_chunk<L, Norm::shifted>(x, residual, h, from, n - from < chunk_elements ? n : from + chunk_elements, sums);
    sums.done(batch, k);
  }
}

// y[0, n) = output(load)
template <class L, class T, class Output>
SIMDNORM_INLINE void write_outputs(T* y, size_t n, bool stream, Output output) {
  if (L::streams && stream) {
    transform<L, L::streams ? stores::streamed : stores::cached>(y, n, output);
  } else {
    size_t i = 0;
    for (; i + L::width <= n; i += L::width) L::store(y + i, output(load_at<L>{i}));
    if (i < n) L::store_n(y + i, output(load_tail_at<L>{i, n - i}), n - i);
  }
}

// y[0, n) of x[0, n), halves or floats, by a tile's parameters; `finite`: they are, and outputs of rows that are to be
// trusted are no NaN then. RMS norm: v = x * rstd, rounded to T where the call says so; v * weight, or v + v * weight.
template <class L, class T, class X>
[[gnu::noinline]] void write_half_outputs(const rms_norm_body<L, affine::gamma, T, T>&, const fused_row_arguments& a,
                                          const typename rms_norm_body<L, affine::gamma, T, T>::batch& batch, size_t k,
                                          const float* weight, bool finite, const X* x, T* y, size_t n) {
  using f32 = typename L::f32;
  using u32 = typename L::u32;
  const f32 scale = L::broadcast(batch.rstd[k]);
  // fma(v, w, -0) is v * w, zeros and all.
  const u32 one(a.unit_offset ? 0xffffffffu : 0u);
  const u32 none(a.unit_offset ? 0u : 0x80000000u);
  const bool rounds = a.round_first, may_be_nan = !finite;
  write_outputs<L>(y, n, goes_past(a), [&](auto load) SIMDNORM_LAMBDA {
    f32 v = load(x) * scale;
    if (rounds) v = L::rounded(T{}, v);
    v = L::fma(v, load(weight), L::floats((L::bits(v) & one) | none));
    return may_be_nan ? L::canonical(v) : v;
  });
}
template <class L, class T, class X>
[[gnu::noinline]] void write_half_outputs(const layer_norm_body<L, affine::both, T, T>& norm,
                                          const fused_row_arguments& a,
                                          const typename layer_norm_body<L, affine::both, T, T>::batch& batch, size_t k,
                                          const float*, bool finite, const X* x, T* y, size_t n) {
  const auto f = norm.outputs(batch, k, 0, x);
  const bool may_be_nan = !finite;
  write_outputs<L>(y, n, goes_past(a), [&](auto load) SIMDNORM_LAMBDA {
    const typename L::f32 v = f(load);
    return may_be_nan ? L::canonical(v) : v;
  });
}

template <class L>
[[gnu::noinline]] bool are_finite(const float* v, size_t n) {
  typename L::f32 zeros = L::broadcast(0.0f);
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) zeros = L::fma(L::load(v + i), L::broadcast(0.0f), zeros);
  if (i < n) zeros = L::fma(L::load_n(v + i, n - i), L::broadcast(0.0f), zeros);
  return !L::any_nan(zeros);
}

// Whether a call is one of these: parameters of any type, the rest of one.
SIMDNORM_INLINE bool is_half_call(const fused_row_arguments& a) {
  return (a.x_type == SIMDNORM_BF16 || a.x_type == SIMDNORM_F16) && a.y_type == a.x_type &&
         (a.residual == nullptr || a.residual_type == a.x_type) && a.bias == nullptr &&
         (a.sum == nullptr || a.sum_type == a.x_type) && !masks_elements(a.padding) && a.gate == nullptr &&
         a.function == elementwise_function::none && a.cols <= kept_elements;
}

constexpr size_t most_half_rows = 8;  // of a batch

// Batch after batch, up to one with rows that are not to be trusted: how many these are, and which; 0: no row is left.
template <class L, class T, class Norm, class Views>
[[gnu::noinline]] size_t write_trusted_rows(const fused_row_arguments& a, Views& views,
                                            size_t (&others)[most_half_rows]) {
  alignas(64) float kept[kept_elements];
  const bool added = a.residual != nullptr;
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const size_t fit = kept_elements / pitch;
  const size_t together = !added || fit > most_half_rows ? most_half_rows : fit;
  parameter_tiles<L> parameters(a);
  const Norm norm(parameters.arguments());
  typename Norm::batch batch;
  prepare(batch, a.cols, together);
  size_t untrusted = 0;
  while (untrusted == 0 && views.take(batch, together)) {
    for (size_t k = 0; k < batch.count; ++k) {
      norm.clear(batch, k);
      if (!Norm::shifted && !added) {
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
      const row_norm_arguments& tile = parameters.arguments();
      const float* const weight = a.round_first ? parameters.weight() : static_cast<const float*>(tile.gamma);
      const bool finite =
          are_finite<L>(weight, all) && (!Norm::shifted || are_finite<L>(static_cast<const float*>(tile.beta), all));
      for (size_t k = 0; k < batch.count; ++k) {
        if (!trusted[k] || batch.n[k] <= first) continue;
        const size_t m = batch.n[k] - first < tile_elements ? batch.n[k] - first : tile_elements;
        T* const y = batch.y[k] + first;
        if constexpr (!Norm::shifted) {
          if (!added) {
            write_half_outputs(norm, a, batch, k, weight, finite, batch.x[k] + first, y, m);
            continue;
          }
        }
        const float* const h = kept + k * pitch + first;
        write_half_outputs(norm, a, batch, k, weight, finite, h, y, m);
        if (a.sum == nullptr) continue;
        const auto at = static_cast<ptrdiff_t>(batch.index[k]) * a.sum_stride + static_cast<ptrdiff_t>(first);
        convert_elements<L>(h, static_cast<T*>(a.sum) + at, m);
      }
    }
  }
  return untrusted;
}

using made_rows_kernel = void (*)(const fused_row_arguments&, const block&);

// `otherwise` does rows that are not to be trusted, and needs 48 KiB of stack itself: not on top of what is kept here.
// No other row is written where such a row lies, so that they can wait.
template <class L, class T, class Norm>
[[gnu::noinline]] void write_half_rows(const fused_row_arguments& a, const block& b, made_rows_kernel otherwise) {
  row_views<L, Norm> views(a, b);
  if (a.sum != nullptr) fill_sums(a, b);
  size_t others[most_half_rows];
  while (const size_t untrusted = write_trusted_rows<L, T, Norm>(a, views, others)) {
    for (size_t k = 0; k < untrusted; ++k) otherwise(a, block{others[k], others[k] + 1, b.col_first, b.col_last});
  }
  if constexpr (L::streams) {
    if (a.stream) L::fence();
  }
}

// The rows of a call, by made_rows.hpp where they are none of these.
template <class L, template <class, affine, class, class> class Body, affine A>
SIMDNORM_INLINE void write_half_or_made_rows(const fused_row_arguments& a, const block& b, made_rows_kernel otherwise) {
  if constexpr (L::width > 1) {
    const bool takes = has_beta<A> ? a.residual != nullptr : a.gamma != nullptr;
    if (takes && is_half_call(a)) {
      if constexpr (builds_bf16) {
        if (a.x_type == SIMDNORM_BF16) return write_half_rows<L, bf16, Body<L, A, bf16, bf16>>(a, b, otherwise);
      }
      if constexpr (builds_f16) {
        if (a.x_type == SIMDNORM_F16) return write_half_rows<L, f16, Body<L, A, f16, f16>>(a, b, otherwise);
      }
    }
  }
  otherwise(a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

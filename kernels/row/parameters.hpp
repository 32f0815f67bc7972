// SPDX-License-Identifier: Apache-2.0
//
// gamma and beta that are not floats, or not both there. The loops over rows are there once, for floats of both (and,
// of layer_norm where elements are floats, for none): parameters of two bytes are converted, and those that are missing
// filled in, once for all rows of a block, or, of long rows, tile by tile.
#pragma once

#include "convert.hpp"
#include "row/pipeline.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Of one vector of parameters on the stack, of two at most: 32 KiB.
constexpr size_t converted_elements = 4096;

// p[from, from + n) as floats: where they are, or in `to`. `missing` must change no bit of an output.
template <class L, class T>
inline const void* as_floats(const void* p, simdnorm_type type, size_t from, size_t n, float* to, float missing) {
  if (p == nullptr) {
    for (size_t i = 0; i < n; ++i) to[i] = missing;
    return to;
  }
  if (type == SIMDNORM_F32) return static_cast<const float*>(p) + from;
  convert_elements<L>(static_cast<const T*>(p) + from, to, n);
  return to;
}

// Rows whose parameters do not fit: statistics of a row, then its outputs tile by tile.
template <class L, affine A, template <class, affine, class, class> class Body, class T>
inline void write_rows_by_tiles(const row_norm_arguments& a, const block& b, float* gamma, float* beta) {
  row_norm_arguments with_tile = a;
  with_tile.gamma_type = with_tile.beta_type = SIMDNORM_F32;
  const Body<L, A, T, T> norm(a);
  const Body<L, A, T, T> tile_norm(with_tile);
  real_row_views<L, T, T> views(a, b);
  typename Body<L, A, T, T>::batch batch;
  prepare(batch, a.cols, 1);
  while (views.take(batch, 1)) {
    norm.start_row(batch, 0);
    norm.clear(batch, 0);
    sum_row<L>(norm, batch, 0);
    norm.fold(batch, 0);
    batch.safe = norm.template finish<single>(batch, 0);
    norm.tell(batch);
    const auto row = whole_row_of<L, Body<L, A, T, T>>(batch, 0);
    if (!is_safe(norm, batch, 0, row)) {
      norm.hostile(batch, 0, row);
      continue;
    }
    const size_t n = batch.n[0];
    const T* const x = batch.x[0];
    T* const y = batch.y[0];
    for (size_t from = 0; from < n; from += converted_elements) {
      const size_t count = n - from < converted_elements ? n - from : converted_elements;
      with_tile.gamma = as_floats<L, T>(a.gamma, a.gamma_type, from, count, gamma, no_gamma);
      with_tile.beta = as_floats<L, T>(a.beta, a.beta_type, from, count, beta, no_beta);
      batch.x[0] = x + from;
      const auto f = tile_norm.outputs(batch, 0);
      parameter_check<L, A> parameters;
      parameters.write(y + from, count, [&](auto check) SIMDNORM_LAMBDA {
        const auto checked = [&](auto load) SIMDNORM_LAMBDA { return check(f(load)); };
        if constexpr (L::streams) {
          if (a.stream && a.x != a.y) return transform<L, stores::streamed>(y + from, count, checked);
        }
        transform<L>(y + from, count, checked);
      });
    }
  }
  if constexpr (L::streams) {
    if (a.stream) L::fence();
  }
}

// A row norm over elements of type T whose gamma and beta are floats or of that type.
template <class L, affine A, template <class, affine, class, class> class Body, class T>
[[gnu::noinline]] void write_typed_rows(const row_norm_arguments& a, const block& b) {
  float gamma[converted_elements], beta[converted_elements];
  if (a.cols > converted_elements) {
    write_rows_by_tiles<L, A, Body, T>(a, b, gamma, beta);
    return;
  }
  row_norm_arguments converted = a;
  converted.gamma = as_floats<L, T>(a.gamma, a.gamma_type, 0, a.cols, gamma, no_gamma);
  converted.beta = as_floats<L, T>(a.beta, a.beta_type, 0, a.cols, beta, no_beta);
  converted.gamma_type = SIMDNORM_F32;
  converted.beta_type = a.beta ? SIMDNORM_F32 : filled_in;
  for_rows<L, A>(Body<L, A, T, T>(converted), converted, b);
}

// `All`: gamma, or gamma and beta; `A`: those that are there.
template <class L, affine All, affine A, template <class, affine, class, class> class Body, class T>
SIMDNORM_INLINE void normalize_rows(const row_norm_arguments& a, const block& b) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if constexpr (A == All) return for_rows<L, A>(Body<L, A, T, T>(a), a, b);
    // A norm without weights is worth loops of its own where it saves two loads an output.
    if constexpr (A == affine::none && All == affine::both) {
      if (has_bare_loops<L>(a)) return for_rows<L, A>(Body<L, A, T, T>(a), a, b);
    }
    if constexpr (A == affine::none) {
      if (a.split != nullptr) return split_row<L, A>(Body<L, A, T, T>(a), a, b);
    }
    write_typed_rows<L, All, Body, T>(a, b);
  } else if (A == All && (!has_gamma<A> || a.gamma_type == SIMDNORM_F32) &&
             (!has_beta<A> || a.beta_type == SIMDNORM_F32)) {
    for_rows<L, All>(Body<L, All, T, T>(a), a, b);
  } else {
    write_typed_rows<L, All, Body, T>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

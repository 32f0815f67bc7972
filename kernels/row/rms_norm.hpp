// SPDX-License-Identifier: Apache-2.0
//
// rms_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <size_t R>
struct rms_norm_batch {
  double squares[R];
  double inverse[R];  // 1 / n
  float rstd[R];

  rms_norm_batch() {
    for (size_t k = 0; k < R; ++k) squares[k] = inverse[k] = 1.0;  // leftovers pass as safe
  }
};

// Sums of squares of N rows of n elements, into entries k on.
template <class L, size_t N, size_t R>
SIMDNORM_INLINE void rms_norm_sums(const float* const (&x)[N], size_t n, size_t k, rms_norm_batch<R>& out) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f);
  struct registers {
    f32 v[group<L>];
  };
  f32 fill[N];
  const double inverse = 1.0 / static_cast<double>(n);
  const auto clear = [zero](registers(&lanes)[N]) SIMDNORM_LAMBDA {
    repeat<N>([&](auto r) SIMDNORM_LAMBDA { repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { lanes[r].v[g] = zero; }); });
  };
  repeat<N>([&](auto r) SIMDNORM_LAMBDA {
    fill[r] = zero;
    out.squares[k + r] = 0.0;
    out.inverse[k + r] = inverse;
  });
  for (size_t from = 0; from < n; from += chunk_elements) {
    const size_t end = n - from < chunk_elements ? n : from + chunk_elements;
    registers squares[N];
    clear(squares);
    for (size_t done = from; done < end; done += flush_every) {
      registers s2[N];
      clear(s2);
      const size_t stop = end - done < flush_every ? end : done + flush_every;
      for_lanes<L, N>(x, done, stop, fill,
                      [&](auto r, auto g, f32 v) SIMDNORM_LAMBDA { s2[r].v[g] = L::fma(v, v, s2[r].v[g]); });
      repeat<N>([&](auto r) SIMDNORM_LAMBDA {
        repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { squares[r].v[g] = squares[r].v[g] + s2[r].v[g]; });
      });
    }
    repeat<N>([&](auto r) SIMDNORM_LAMBDA { out.squares[k + r] += L::sum64(squares[r].v); });
  }
}

template <class L, affine A>
[[gnu::noinline]] void rms_norm_hostile_row(const row_norm_arguments& a, size_t row, const float* x, float* y,
                                            size_t n) {
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(typename L::f64);
  const auto* weight = static_cast<const float*>(a.gamma);
  const double s2 = row_sums64<L>(x, n, 0.0f).squares;
  const double rstd = 1.0 / __builtin_sqrt(s2 / static_cast<double>(n) + a.epsilon);
  if (a.rstd) a.rstd[row] = canonical_float(rstd);
  if (s2 == 0.0) {  // zeros, whose reciprocal may be infinite: no product with it
    fill_row<L>(y, n, 0.0f);
    return;
  }
  const typename L::f64 scale = L::broadcast64(rstd);
  transform<L>(y, n, [&](auto load) SIMDNORM_LAMBDA {
    typename L::wide v = L::widen(load(x));
    for (size_t k = 0; k < parts; ++k) v.part[k] = v.part[k] * scale;
    if constexpr (has_gamma<A>) {
      const typename L::wide w = L::widen(load(weight));
      for (size_t k = 0; k < parts; ++k) v.part[k] = v.part[k] * w.part[k];
    }
    return L::canonical(L::narrow(v));
  });
}

// Entries of the batch from k on; false if one of them must be done in doubles. Safe: no square
// overflowed, none that counts underflowed, rstd is a normal float. NaN fails.
template <class L, size_t R>
SIMDNORM_INLINE bool rms_norm_finish(rms_norm_batch<R>& s, size_t k, double epsilon) {
  using f64 = typename L::f64;
  const f64 squares = L::load64(s.squares + k);
  const f64 square = squares * L::load64(s.inverse + k) + L::broadcast64(epsilon);
  L::store_narrowed(s.rstd + k, L::div(L::broadcast64(1.0), L::sqrt(square)));
  return L::all((squares > L::broadcast64(0.0)) & (squares < L::broadcast64(0x1p127)) &
                (square > L::broadcast64(0x1p-96)) & (square < L::broadcast64(0x1p128)));
}

template <class L, affine A>
inline void rms_norm_rows(const row_norm_arguments& a, const block& b) {
  using f32 = typename L::f32;
  const auto* weight = static_cast<const float*>(a.gamma);
  parameter_check<L, A> parameters;
  for_batches<L>(a, b, [&]<size_t R>(const row_batch<R>& batch) SIMDNORM_LAMBDA {
    rms_norm_batch<R> s;
    for_row_groups<L>(batch,
                      [&](const auto& rows, size_t k, size_t n) SIMDNORM_LAMBDA { rms_norm_sums<L>(rows, n, k, s); });
    const auto finish = [&]<class F>(F, size_t k) SIMDNORM_LAMBDA { return rms_norm_finish<F>(s, k, a.epsilon); };
    const bool all_safe = finish_batch<L, R>(finish);
    for (size_t k = 0; a.rstd && k < batch.count; ++k) a.rstd[batch.index[k]] = s.rstd[k];

    const auto apply = [&]<size_t N>(rows_from<N> rows, auto check) SIMDNORM_LAMBDA {
      const size_t k = rows.first;
      f32 rstd[N];
      const float* x[N];
      float* y[N];
      repeat<N>([&](auto r) SIMDNORM_LAMBDA {
        rstd[r] = L::broadcast(s.rstd[k + r]);
        x[r] = batch.x[k + r];
        y[r] = batch.y[k + r];
      });
      transform<L, N>(y, batch.n[k], [&](auto load) SIMDNORM_LAMBDA {
        f32 w;
        if constexpr (has_gamma<A>) w = load(weight);
        across<L, N> v;
        repeat<N>([&](auto r) SIMDNORM_LAMBDA {
          v.row[r] = load(x[r]) * rstd[r];
          if constexpr (has_gamma<A>) v.row[r] = v.row[r] * w;
          check(v.row[r]);
        });
        return v;
      });
    };
    write_batch<L, A>(
        batch, parameters, all_safe, [&](size_t k) SIMDNORM_LAMBDA { return finish(single{}, k); }, apply,
        [&](size_t k)
            SIMDNORM_LAMBDA { rms_norm_hostile_row<L, A>(a, batch.index[k], batch.x[k], batch.y[k], batch.n[k]); });
  });
}

template <class L>
SIMDNORM_INLINE void rms_norm(const row_norm_arguments& a, const block& b) {
  if (a.gamma) {
    rms_norm_rows<L, affine::gamma>(a, b);
  } else {
    rms_norm_rows<L, affine::none>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

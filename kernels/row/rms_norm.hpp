// SPDX-License-Identifier: Apache-2.0
//
// rms_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Sum of squares in f32 lanes, flushed every flush_every elements and combined in doubles.
template <class L>
[[gnu::always_inline]] inline double row_sum_of_squares(const float* x, size_t n) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f);
  double total = 0.0;
  for (size_t start = 0; start < n; start += chunk_elements) {
    const size_t end = n - start < chunk_elements ? n : start + chunk_elements;
    f32 squares[group<L>];
    for (auto& s : squares) s = zero;
    for (size_t done = start; done < end; done += flush_every) {
      f32 s2[group<L>];
      for (auto& s : s2) s = zero;
      for_lanes<L>(x + done, end - done < flush_every ? end - done : flush_every, zero,
                   [&](size_t g, f32 v) { s2[g] = L::fma(v, v, s2[g]); });
      for (size_t g = 0; g < group<L>; ++g) squares[g] = squares[g] + s2[g];
    }
    total += L::sum64(squares);
  }
  return total;
}

template <class L>
inline double exact_row_sum_of_squares(const float* x, size_t n) {
  using f64 = typename L::f64;
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(f64);
  typename L::wide sum[group<L>];
  for (auto& s : sum) {
    for (auto& p : s.part) p = L::broadcast64(0.0);
  }
  for_lanes<L>(x, n, L::broadcast(0.0f), [&](size_t g, typename L::f32 v) {
    const typename L::wide w = L::widen(v);
    for (size_t k = 0; k < parts; ++k) sum[g].part[k] = sum[g].part[k] + w.part[k] * w.part[k];
  });
  return L::sum64(sum);
}

template <class L, affine A>
[[gnu::noinline]] void rms_norm_hostile_row(const row_norm_arguments& a, size_t row, const float* x, float* y,
                                            size_t n) {
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(typename L::f64);
  const auto* weight = static_cast<const float*>(a.gamma);
  const double s2 = exact_row_sum_of_squares<L>(x, n);
  const double rstd = 1.0 / __builtin_sqrt(s2 / static_cast<double>(n) + a.epsilon);
  if (a.rstd) a.rstd[row] = canonical_float(rstd);
  if (s2 == 0.0) {  // zeros, whose reciprocal may be infinite: no product with it
    fill_row<L>(y, n, 0.0f);
    return;
  }
  const typename L::f64 scale = L::broadcast64(rstd);
  transform<L>(y, n, [&](auto load) {
    typename L::wide v = L::widen(load(x));
    for (size_t k = 0; k < parts; ++k) v.part[k] = v.part[k] * scale;
    if constexpr (has_gamma<A>) {
      const typename L::wide w = L::widen(load(weight));
      for (size_t k = 0; k < parts; ++k) v.part[k] = v.part[k] * w.part[k];
    }
    return L::canonical(L::narrow(v));
  });
}

struct rms_norm_batch {
  double squares[rows_per_batch] = {1, 1, 1, 1, 1, 1, 1, 1};  // leftovers of a first, short batch pass as safe
  double inverse[rows_per_batch] = {1, 1, 1, 1, 1, 1, 1, 1};  // 1 / n
  float rstd[rows_per_batch];
};

// Entries of the batch from k on; false if one of them must be done in doubles. Safe: no square
// overflowed, none that counts underflowed, rstd is a normal float. NaN fails.
template <class L>
[[gnu::always_inline]] inline bool rms_norm_finish(rms_norm_batch& s, size_t k, double epsilon) {
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
  rms_norm_batch s;
  for_batches<L>(a, b, [&](const row_batch& batch) {
    for (size_t k = 0; k < batch.count; ++k) {
      s.squares[k] = row_sum_of_squares<L>(batch.x[k], batch.n[k]);
      s.inverse[k] = 1.0 / static_cast<double>(batch.n[k]);
    }
    bool all_safe = true;
    finish_batch<L>(batch,
                    [&](auto lanes, size_t k) { all_safe &= rms_norm_finish<decltype(lanes)>(s, k, a.epsilon); });
    for (size_t k = 0; k < batch.count; ++k) {
      const float* x = batch.x[k];
      float* y = batch.y[k];
      const size_t n = batch.n[k];
      if (!all_safe && !rms_norm_finish<single>(s, k, a.epsilon)) [[unlikely]] {
        rms_norm_hostile_row<L, A>(a, batch.index[k], x, y, n);
        continue;
      }
      if (a.rstd) a.rstd[batch.index[k]] = s.rstd[k];
      const f32 rstd = L::broadcast(s.rstd[k]);
      parameters.write(y, n, [&](auto check) {
        transform<L>(y, n, [&](auto load) {
          f32 v = load(x) * rstd;
          if constexpr (has_gamma<A>) v = v * load(weight);
          check(v);
          return v;
        });
      });
    }
  });
}

template <class L>
inline void rms_norm(const row_norm_arguments& a, const block& b) {
  if (a.gamma) {
    rms_norm_rows<L, affine::gamma>(a, b);
  } else {
    rms_norm_rows<L, affine::none>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

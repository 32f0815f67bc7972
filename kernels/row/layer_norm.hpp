// SPDX-License-Identifier: Apache-2.0
//
// layer_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// One pass shifted by K, the mean of the first elements: with d = x - K, mean = K + sum(d)/n and
// variance = sum(d^2)/n - (sum(d)/n)^2. All blocks of a row share K, so that Chan's merge of their
// moments is the plain sum of their (sum d, sum d^2).
struct shifted_sums {
  float shift;
  double sum, squares;
};

template <class L>
[[gnu::always_inline]] inline shifted_sums layer_norm_row_sums(const float* x, size_t n) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f);

  // A power of two of elements: their sum and mean are exact when they are all the same.
  const size_t head = n >= 64 ? 64 : size_t{1} << (63 - __builtin_clzll(n));
  f32 start[group<L>];
  for (auto& s : start) s = zero;
  for_lanes<L>(x, head, zero, [&](size_t g, f32 v) { start[g] = start[g] + v; });
  const float shift = L::sum(start) * (1.0f / static_cast<float>(head));
  const f32 k = L::broadcast(shift);

  shifted_sums total{shift, 0.0, 0.0};
  for (size_t start_of_chunk = 0; start_of_chunk < n; start_of_chunk += chunk_elements) {
    const size_t end = n - start_of_chunk < chunk_elements ? n : start_of_chunk + chunk_elements;
    f32 sum[group<L>];
    f32 squares[group<L>];
    for (size_t g = 0; g < group<L>; ++g) sum[g] = squares[g] = zero;
    for (size_t done = start_of_chunk; done < end; done += flush_every) {
      f32 s1[group<L>];
      f32 s2[group<L>];
      for (size_t g = 0; g < group<L>; ++g) s1[g] = s2[g] = zero;
      for_lanes<L>(x + done, end - done < flush_every ? end - done : flush_every, k, [&](size_t g, f32 v) {
        const f32 d = v - k;
        s1[g] = s1[g] + d;
        s2[g] = L::fma(d, d, s2[g]);
      });
      for (size_t g = 0; g < group<L>; ++g) {
        sum[g] = sum[g] + s1[g];
        squares[g] = squares[g] + s2[g];
      }
    }
    total.sum += L::sum64(sum);
    total.squares += L::sum64(squares);
  }
  return total;
}

// What the outputs of a batch's rows are made with: x_hat = fma(x - mean, rstd, offset), where
// offset = -(what rounding the mean to f32 lost) * rstd: without it every output is off by up to
// 0.26 * |mean| / std ulp, and it costs no instruction.
struct layer_norm_batch {
  float shift[rows_per_batch] = {};
  double sum[rows_per_batch] = {};
  double squares[rows_per_batch] = {1, 1, 1, 1, 1, 1, 1, 1};  // leftovers of a first, short batch pass as safe
  double inverse[rows_per_batch] = {1, 1, 1, 1, 1, 1, 1, 1};  // 1 / n
  float mean[rows_per_batch];
  float rstd[rows_per_batch];
  float offset[rows_per_batch];
};

// Entries of the batch from k on; false if one of them must be done in doubles. Safe: the shift
// lost at most two bits of the variance; no square overflowed, and none that counts underflowed
// (one that did is below 2^-149); rstd is a normal float. A sum of squares of 0 is a constant row,
// or one whose squares all underflowed. NaN fails every comparison.
template <class L>
[[gnu::always_inline]] inline bool layer_norm_finish(layer_norm_batch& s, size_t k, double epsilon) {
  using f64 = typename L::f64;
  const f64 inverse = L::load64(s.inverse + k);
  const f64 squares = L::load64(s.squares + k);
  const f64 delta = L::load64(s.sum + k) * inverse;
  const f64 shift2 = delta * delta;
  const f64 variance = squares * inverse - shift2;
  const f64 square = variance + L::broadcast64(epsilon);
  const f64 mean = L::load_widened(s.shift + k) + delta;
  const f64 rstd = L::div(L::broadcast64(1.0), L::sqrt(square));
  const f64 f32_mean = L::store_narrowed(s.mean + k, mean);
  L::store_narrowed(s.rstd + k, rstd);
  L::store_narrowed(s.offset + k, (f32_mean - mean) * rstd);
  return L::all((shift2 <= L::broadcast64(4.0) * variance) & (squares > L::broadcast64(0.0)) &
                (squares < L::broadcast64(0x1p127)) & (square > L::broadcast64(0x1p-96)) &
                (square < L::broadcast64(0x1p128)));
}

template <class L, affine A>
[[gnu::noinline]] void layer_norm_hostile_row(const row_norm_arguments& a, size_t row, const float* x, float* y,
                                              size_t n) {
  using f64 = typename L::f64;
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(f64);
  const auto* gamma = static_cast<const float*>(a.gamma);
  const auto* beta = static_cast<const float*>(a.beta);

  exact_moments m{static_cast<double>(x[0]), 0.0, 0.0};
  const bool constant = row_is_constant<L>(x, n) && __builtin_isfinite(x[0]);
  if (!constant) m = exact_row_moments<L>(x, n);
  const double rstd = 1.0 / __builtin_sqrt(m.variance + a.epsilon);
  if (a.mean) a.mean[row] = canonical_float(m.mean + m.correction);
  if (a.rstd) a.rstd[row] = canonical_float(rstd);

  if (constant) {  // exactly beta, whatever epsilon and gamma are
    if constexpr (has_beta<A>) {
      transform<L>(y, n, [beta](auto load) { return L::canonical(load(beta)); });
    } else {
      fill_row<L>(y, n, 0.0f);
    }
    return;
  }
  const f64 mean = L::broadcast64(m.mean);
  const f64 correction = L::broadcast64(m.correction);
  const f64 scale = L::broadcast64(rstd);
  transform<L>(y, n, [&](auto load) {
    typename L::wide v = L::widen(load(x));
    for (size_t k = 0; k < parts; ++k) v.part[k] = ((v.part[k] - mean) - correction) * scale;
    if constexpr (has_gamma<A>) {
      const typename L::wide g = L::widen(load(gamma));
      for (size_t k = 0; k < parts; ++k) v.part[k] = v.part[k] * g.part[k];
    }
    if constexpr (has_beta<A>) {
      const typename L::wide t = L::widen(load(beta));
      for (size_t k = 0; k < parts; ++k) v.part[k] = v.part[k] + t.part[k];
    }
    return L::canonical(L::narrow(v));
  });
}

template <class L, affine A>
inline void layer_norm_rows(const row_norm_arguments& a, const block& b) {
  using f32 = typename L::f32;
  const auto* gamma = static_cast<const float*>(a.gamma);
  const auto* beta = static_cast<const float*>(a.beta);
  parameter_check<L, A> parameters;
  layer_norm_batch s;
  for_batches<L>(a, b, [&](const row_batch& batch) {
    for (size_t k = 0; k < batch.count; ++k) {
      const shifted_sums sums = layer_norm_row_sums<L>(batch.x[k], batch.n[k]);
      s.shift[k] = sums.shift;
      s.sum[k] = sums.sum;
      s.squares[k] = sums.squares;
      s.inverse[k] = 1.0 / static_cast<double>(batch.n[k]);
    }
    bool all_safe = true;
    finish_batch<L>(batch,
                    [&](auto lanes, size_t k) { all_safe &= layer_norm_finish<decltype(lanes)>(s, k, a.epsilon); });
    for (size_t k = 0; k < batch.count; ++k) {
      const float* x = batch.x[k];
      float* y = batch.y[k];
      const size_t n = batch.n[k];
      if (!all_safe && !layer_norm_finish<single>(s, k, a.epsilon)) [[unlikely]] {
        layer_norm_hostile_row<L, A>(a, batch.index[k], x, y, n);
        continue;
      }
      if (a.mean) a.mean[batch.index[k]] = s.mean[k];
      if (a.rstd) a.rstd[batch.index[k]] = s.rstd[k];
      const f32 mean = L::broadcast(s.mean[k]);
      const f32 rstd = L::broadcast(s.rstd[k]);
      const f32 offset = L::broadcast(s.offset[k]);
      parameters.write(y, n, [&](auto check) {
        transform<L>(y, n, [&](auto load) {
          f32 v = L::fma(load(x) - mean, rstd, offset);
          if constexpr (A == affine::both) {
            v = L::fma(v, load(gamma), load(beta));
          } else if constexpr (A == affine::gamma) {
            v = v * load(gamma);
          } else if constexpr (A == affine::beta) {
            v = v + load(beta);
          }
          check(v);
          return v;
        });
      });
    }
  });
}

template <class L>
inline void layer_norm(const row_norm_arguments& a, const block& b) {
  if (a.gamma && a.beta) {
    layer_norm_rows<L, affine::both>(a, b);
  } else if (a.gamma) {
    layer_norm_rows<L, affine::gamma>(a, b);
  } else if (a.beta) {
    layer_norm_rows<L, affine::beta>(a, b);
  } else {
    layer_norm_rows<L, affine::none>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

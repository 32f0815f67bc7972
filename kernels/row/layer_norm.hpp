// SPDX-License-Identifier: Apache-2.0
//
// layer_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// A row's statistics as the apply pass wants them: x_hat = fma(x - mean, rstd, offset), where
// offset = -(what rounding the mean to f32 lost) * rstd: without it every output is off by up to
// 0.26 * |mean| / std ulp, and it costs no instruction.
struct layer_norm_statistics {
  double mean, rstd;
  float f32_mean, f32_rstd, f32_offset;
  bool safe;  // false: the row must be done in doubles
};

// One pass shifted by K, the mean of the first elements: with d = x - K, mean = K + sum(d)/n and
// variance = sum(d^2)/n - (sum(d)/n)^2. All blocks of a row share K, so that Chan's merge of their
// moments is the plain sum of their (sum d, sum d^2).
template <class L>
inline layer_norm_statistics layer_norm_row_statistics(const float* x, size_t n, double epsilon) {
  using f32 = typename L::f32;
  const f32 zero = L::broadcast(0.0f);

  // A power of two of elements: their sum and mean are exact when they are all the same.
  const size_t head = n >= 64 ? 64 : size_t{1} << (63 - __builtin_clzll(n));
  f32 start[group<L>];
  for (auto& s : start) s = zero;
  for_lanes<L>(x, head, zero, [&](size_t g, f32 v) { start[g] = start[g] + v; });
  const float shift = L::sum(start) * (1.0f / static_cast<float>(head));
  const f32 k = L::broadcast(shift);

  f32 sum[group<L>];
  f32 squares[group<L>];
  for (size_t g = 0; g < group<L>; ++g) sum[g] = squares[g] = zero;
  size_t done = 0;
  do {
    const size_t length = n - done < flush_every ? n - done : flush_every;
    f32 s1[group<L>];
    f32 s2[group<L>];
    for (size_t g = 0; g < group<L>; ++g) s1[g] = s2[g] = zero;
    for_lanes<L>(x + done, length, k, [&](size_t g, f32 v) {
      const f32 d = v - k;
      s1[g] = s1[g] + d;
      s2[g] = L::fma(d, d, s2[g]);
    });
    for (size_t g = 0; g < group<L>; ++g) {
      sum[g] = sum[g] + s1[g];
      squares[g] = squares[g] + s2[g];
    }
    done += length;
  } while (done < n);

  const double inverse = 1.0 / static_cast<double>(n);
  const double s2 = L::sum64(squares);
  const double delta = L::sum64(sum) * inverse;
  const double variance = s2 * inverse - delta * delta;
  layer_norm_statistics r;
  r.mean = static_cast<double>(shift) + delta;
  r.rstd = 1.0 / __builtin_sqrt(variance + epsilon);
  r.f32_mean = static_cast<float>(r.mean);
  r.f32_rstd = static_cast<float>(r.rstd);
  r.f32_offset = static_cast<float>((static_cast<double>(r.f32_mean) - r.mean) * r.rstd);
  // Safe: the shift lost at most two bits of the variance; no square overflowed, and none that
  // counts underflowed (one that did is below 2^-149); rstd is a normal float. s2 == 0 is a
  // constant row, or one whose squares all underflowed. NaN fails every comparison.
  r.safe = (delta * delta <= 4.0 * variance) & (s2 > 0.0) & (s2 < 0x1p127) & (variance + epsilon > 0x1p-96) &
           (epsilon < 0x1p126);
  return r;
}

template <class L, affine A>
inline void layer_norm_hostile_row(const row_norm_arguments& a, size_t row, const float* x, float* y, size_t n) {
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
  for_rows<L>(a, b, [&](size_t row, const float* x, float* y, size_t n) {
    const layer_norm_statistics s = layer_norm_row_statistics<L>(x, n, a.epsilon);
    if (!s.safe) [[unlikely]] {
      layer_norm_hostile_row<L, A>(a, row, x, y, n);
      return;
    }
    if (a.mean) a.mean[row] = s.f32_mean;
    if (a.rstd) a.rstd[row] = s.f32_rstd;
    const f32 mean = L::broadcast(s.f32_mean);
    const f32 rstd = L::broadcast(s.f32_rstd);
    const f32 offset = L::broadcast(s.f32_offset);
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

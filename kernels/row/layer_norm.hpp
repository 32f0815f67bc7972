// SPDX-License-Identifier: Apache-2.0
//
// layer_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// What a batch's rows are made with. One pass shifted by K, the mean of the first elements: with
// d = x - K, mean = K + sum(d)/n and variance = sum(d^2)/n - (sum(d)/n)^2. All blocks of a row share
// K, so that Chan's merge of their moments is the plain sum of their (sum d, sum d^2).
// Then, with rstd = high + low in two floats and offset = (center - mean) * rstd,
//   x_hat = fma(x - center, high, fma(x - center, low, offset)).
// center is 0 where |mean| < std: nothing is rounded but the offset (below 1) and the result, and the
// subtraction is saved. Else it is f32(mean), whose own rounding goes into the offset: without that
// every output is off by up to 0.26 * |mean| / std ulp. Without `low` an output just below 2 may be off
// by 2.5 ulp before the statistics have any error.
template <size_t R>
struct layer_norm_batch {
  float shift[R];
  double sum[R];
  double squares[R];
  double inverse[R];  // 1 / n
  float mean[R];
  float rstd[R];
  float rstd_low[R];
  float center[R];
  float offset[R];

  layer_norm_batch() {
    for (size_t k = 0; k < R; ++k) {  // the leftovers of a first, short batch pass as safe
      shift[k] = 0.0f;
      sum[k] = 0.0;
      squares[k] = inverse[k] = 1.0;
    }
  }
};

template <class L, size_t N>
struct row_lanes {
  struct {
    typename L::f32 v[group<L>];
  } row[N];

  SIMDNORM_INLINE row_lanes() {
    repeat<N>([&](auto r) SIMDNORM_LAMBDA {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { row[r].v[g] = L::broadcast(0.0f); });
    });
  }
};

// sum(d) and sum(d^2) of N rows of n elements with their shifts, into entries k on.
template <class L, size_t N, size_t R>
SIMDNORM_INLINE void layer_norm_sums(const float* const (&x)[N], size_t n, size_t k, layer_norm_batch<R>& out) {
  using f32 = typename L::f32;
  f32 shift[N];
  const double inverse = 1.0 / static_cast<double>(n);
  repeat<N>([&](auto r) SIMDNORM_LAMBDA { shift[r] = L::broadcast(out.shift[k + r]); });
  const auto add = [&](size_t from, size_t stop, row_lanes<L, N>& s1, row_lanes<L, N>& s2) SIMDNORM_LAMBDA {
    for_lanes<L, N>(x, from, stop, shift, [&](auto r, auto g, f32 v) SIMDNORM_LAMBDA {
      const f32 d = v - shift[r];
      s1.row[r].v[g] = s1.row[r].v[g] + d;
      s2.row[r].v[g] = L::fma(d, d, s2.row[r].v[g]);
    });
  };
  if (n <= flush_every) {  // one flush into zeros: the lanes are the second level
    row_lanes<L, N> s1, s2;
    add(0, n, s1, s2);
    repeat<N>([&](auto r) SIMDNORM_LAMBDA {
      out.sum[k + r] = L::sum64(s1.row[r].v);
      out.squares[k + r] = L::sum64(s2.row[r].v);
      out.inverse[k + r] = inverse;
    });
    return;
  }
  double sums[N], squares[N];
  repeat<N>([&](auto r) SIMDNORM_LAMBDA { sums[r] = squares[r] = 0.0; });
  for (size_t from = 0; from < n; from += chunk_elements) {
    const size_t end = n - from < chunk_elements ? n : from + chunk_elements;
    row_lanes<L, N> t1, t2;
    for (size_t done = from; done < end; done += flush_every) {
      row_lanes<L, N> s1, s2;
      add(done, end - done < flush_every ? end : done + flush_every, s1, s2);
      repeat<N>([&](auto r) SIMDNORM_LAMBDA {
        repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
          t1.row[r].v[g] = t1.row[r].v[g] + s1.row[r].v[g];
          t2.row[r].v[g] = t2.row[r].v[g] + s2.row[r].v[g];
        });
      });
    }
    repeat<N>([&](auto r) SIMDNORM_LAMBDA {
      sums[r] += L::sum64(t1.row[r].v);
      squares[r] += L::sum64(t2.row[r].v);
    });
  }
  repeat<N>([&](auto r) SIMDNORM_LAMBDA {
    out.sum[k + r] = sums[r];
    out.squares[k + r] = squares[r];
    out.inverse[k + r] = inverse;
  });
}

// The same with K, the mean of the first 64 elements (or of all, if fewer), for a shift.
template <class L, size_t N, size_t R>
SIMDNORM_INLINE void layer_norm_first_sums(const float* const (&x)[N], size_t n, size_t k, layer_norm_batch<R>& out) {
  using f32 = typename L::f32;
  const size_t head = n < shift_elements ? n : shift_elements;
  f32 fill[N];
  repeat<N>([&](auto r) SIMDNORM_LAMBDA { fill[r] = L::broadcast(0.0f); });
  row_lanes<L, N> start;
  for_lanes<L, N>(x, 0, head, fill,
                  [&](auto r, auto g, f32 v) SIMDNORM_LAMBDA { start.row[r].v[g] = start.row[r].v[g] + v; });
  const float share = 1.0f / static_cast<float>(head);
  repeat<N>([&](auto r) SIMDNORM_LAMBDA { out.shift[k + r] = L::sum(start.row[r].v) * share; });
  layer_norm_sums<L, N>(x, n, k, out);
}

// Whether the sums are worth anything: no square overflowed, none that counts underflowed (one that
// did is below 2^-149, and with it the variance below 2^-96). 0 is a constant row, or one whose squares
// all underflowed. NaN fails.
SIMDNORM_INLINE bool fits_f32(double squares) {
  return (squares > 0.0) & (squares < 0x1p127);
}

// Entries of the batch from k on; false if one of them is not to be trusted: its sums do not fit f32,
// rstd is not a normal float, or the shift is too far from the mean. The error of sum(d) enters the
// variance times the distance of shift and mean, delta: from a third of a standard deviation on it
// shows (2.4 ulp below, 4 at 0.6, 16 at 1.4; rows on a grid of 2^-16).
template <class L, size_t R>
SIMDNORM_INLINE bool layer_norm_finish(layer_norm_batch<R>& s, size_t k, double epsilon) {
  using f64 = typename L::f64;
  const f64 inverse = L::load64(s.inverse + k);
  const f64 squares = L::load64(s.squares + k);
  const f64 delta = L::load64(s.sum + k) * inverse;
  const f64 shift2 = delta * delta;
  const f64 variance = squares * inverse - shift2;
  const f64 square = variance + L::broadcast64(epsilon);
  const f64 mean = L::load_widened(s.shift + k) + delta;
  const f64 rstd = L::div(L::broadcast64(1.0), L::sqrt(square));
  const f64 zero = L::broadcast64(0.0);
  const f64 f32_mean = L::store_narrowed(s.mean + k, mean);
  const f64 high = L::store_narrowed(s.rstd + k, rstd);
  L::store_narrowed(s.rstd_low + k, rstd - high);
  const f64 center = L::select(mean * mean < square, zero, f32_mean);
  L::store_narrowed(s.center + k, center);
  L::store_narrowed(s.offset + k, (center - mean) * rstd);
  return L::all((shift2 <= L::broadcast64(0.125) * variance) & (squares > zero) & (squares < L::broadcast64(0x1p127)) &
                (square > L::broadcast64(0x1p-96)) & (square < L::broadcast64(0x1p128)));
}

template <class L, affine A>
[[gnu::noinline]] void layer_norm_hostile_row(const row_norm_arguments& a, size_t row, const float* x, float* y,
                                              size_t n) {
  using f64 = typename L::f64;
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(f64);
  const auto* gamma = static_cast<const float*>(a.gamma);
  const auto* beta = static_cast<const float*>(a.beta);

  // The mean in two parts: a float, and what is to be added to it.
  float center = x[0];
  double correction = 0.0;
  double variance = 0.0;
  const bool constant = row_is_constant<L>(x, n) && __builtin_isfinite(x[0]);
  if (!constant) {
    const double count = static_cast<double>(n);
    center = static_cast<float>(row_sums64<L>(x, n, 0.0f).sum / count);
    const sums64 s = row_sums64<L>(x, n, center);
    correction = s.sum / count;
    variance = s.squares / count - correction * correction;
  }
  const double rstd = 1.0 / __builtin_sqrt(variance + a.epsilon);
  if (a.mean) a.mean[row] = canonical_float(static_cast<double>(center) + correction);
  if (a.rstd) a.rstd[row] = canonical_float(rstd);

  if (constant) {  // exactly beta, whatever epsilon and gamma are
    if constexpr (has_beta<A>) {
      transform<L>(y, n, [beta](auto load) SIMDNORM_LAMBDA { return L::canonical(load(beta)); });
    } else {
      fill_row<L>(y, n, 0.0f);
    }
    return;
  }
  const f64 mean = L::broadcast64(static_cast<double>(center));
  const f64 low_mean = L::broadcast64(correction);
  const f64 scale = L::broadcast64(rstd);
  transform<L>(y, n, [&](auto load) SIMDNORM_LAMBDA {
    typename L::wide v = L::widen(load(x));
    for (size_t k = 0; k < parts; ++k) v.part[k] = ((v.part[k] - mean) - low_mean) * scale;
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
  for_batches<L>(a, b, [&]<size_t R>(const row_batch<R>& batch) SIMDNORM_LAMBDA {
    layer_norm_batch<R> s;
    for_row_groups<L>(
        batch, [&](const auto& rows, size_t k, size_t n) SIMDNORM_LAMBDA { layer_norm_first_sums<L>(rows, n, k, s); });
    const auto finish = [&]<class F>(F, size_t k) SIMDNORM_LAMBDA { return layer_norm_finish<F>(s, k, a.epsilon); };
    const bool all_safe = finish_batch<L, R>(finish);
    const auto put_statistics = [&](size_t k) SIMDNORM_LAMBDA {
      if (a.mean) a.mean[batch.index[k]] = s.mean[k];
      if (a.rstd) a.rstd[batch.index[k]] = s.rstd[k];
    };
    for (size_t k = 0; k < batch.count; ++k) put_statistics(k);
    // Sums in doubles, shifted by the mean that the first pass found, mend a shift that was too far
    // off: 1 row in 200 of independent numbers.
    const auto safe = [&](size_t k) {
      if (finish(single{}, k)) return true;
      if (!fits_f32(s.squares[k])) return false;
      s.shift[k] = s.mean[k];
      const sums64 again = row_sums64<L>(batch.x[k], batch.n[k], s.shift[k]);
      s.sum[k] = again.sum;
      s.squares[k] = again.squares;
      const bool fine = finish(single{}, k);
      put_statistics(k);
      return fine;
    };

    const auto apply = [&]<size_t N>(rows_from<N> rows, auto check) SIMDNORM_LAMBDA {
      const size_t k = rows.first;
      f32 center[N], high[N], low[N], offset[N];
      const float* x[N];
      float* y[N];
      repeat<N>([&](auto r) SIMDNORM_LAMBDA {
        center[r] = L::broadcast(s.center[k + r]);
        high[r] = L::broadcast(s.rstd[k + r]);
        low[r] = L::broadcast(s.rstd_low[k + r]);
        offset[r] = L::broadcast(s.offset[k + r]);
        x[r] = batch.x[k + r];
        y[r] = batch.y[k + r];
      });
      const auto write = [&](auto centered) SIMDNORM_LAMBDA {
        transform<L, N>(y, batch.n[k], [&](auto load) SIMDNORM_LAMBDA {
          f32 g, t;
          if constexpr (has_gamma<A>) g = load(gamma);
          if constexpr (has_beta<A>) t = load(beta);
          across<L, N> v;
          repeat<N>([&](auto r) SIMDNORM_LAMBDA {
            f32 d = load(x[r]);
            if constexpr (centered) d = d - center[r];
            v.row[r] = L::fma(d, high[r], L::fma(d, low[r], offset[r]));
            if constexpr (A == affine::both) {
              v.row[r] = L::fma(v.row[r], g, t);
            } else if constexpr (A == affine::gamma) {
              v.row[r] = v.row[r] * g;
            } else if constexpr (A == affine::beta) {
              v.row[r] = v.row[r] + t;
            }
            check(v.row[r]);
          });
          return v;
        });
      };
      bool plain = true;
      repeat<N>([&](auto r) SIMDNORM_LAMBDA { plain &= s.center[k + r] == 0.0f; });
      if (plain) {  // x - 0 is x: rows side by side need not agree
        write(constant<false>{});
      } else {
        write(constant<true>{});
      }
    };
    write_batch<L, A>(batch, parameters, all_safe, safe, apply, [&](size_t k) SIMDNORM_LAMBDA {
      layer_norm_hostile_row<L, A>(a, batch.index[k], batch.x[k], batch.y[k], batch.n[k]);
    });
  });
}

template <class L>
SIMDNORM_INLINE void layer_norm(const row_norm_arguments& a, const block& b) {
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

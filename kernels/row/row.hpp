// SPDX-License-Identifier: Apache-2.0
//
// What row-wise norms share: the virtual lanes, the walk over a row, the loop over the rows of a
// block with its padding, and the repair of hostile rows. docs/numerics.md defines the arithmetic.
#pragma once

#include "padding.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Element i of a row belongs to virtual lane i mod 32, on every instruction set.
constexpr size_t virtual_lanes = 32;
// f32 lanes are flushed into second-level f32 lanes every so many elements: their rounding errors
// grow with the square root of this, not of the row (12 ulp without at mean/std 1e4, 2.4 with).
constexpr size_t flush_every = 512;
// Second-level lanes are combined in doubles every so many elements: rows of any length stay
// accurate, and a long row can be cut here.
constexpr size_t chunk_elements = 16384;

template <class L>
constexpr size_t group = virtual_lanes / L::width;  // registers that hold the virtual lanes

// Calls step(register of the group, elements) over x[0, n): the last register of a row is partial.
// Elements that are not there are `fill`.
template <class L, class Step>
inline void for_lanes(const float* x, size_t n, typename L::f32 fill, Step step) {
  size_t i = 0;
  for (; i + virtual_lanes <= n; i += virtual_lanes) {
    for (size_t g = 0; g < group<L>; ++g) step(g, L::load(x + i + g * L::width));
  }
  // g stays a constant of the unrolled loop: an index known only at run time would keep the caller's
  // registers in memory.
  for (size_t g = 0; g < group<L>; ++g) {
    const size_t at = i + g * L::width;
    if (at + L::width <= n) {
      step(g, L::load(x + at));
    } else if (at < n) {
      step(g, L::load_n_or(x + at, n - at, fill));
    }
  }
}

// y[i] = f(loader), with f called as f(index, load) where load(p) reads the register at p + index:
// a full one or a tail. Four registers a turn: one is latency-bound on AVX2.
template <class L, class F>
inline void transform(float* y, size_t n, F f) {
  constexpr size_t unroll = 4;
  size_t i = 0;
  for (; i + unroll * L::width <= n; i += unroll * L::width) {
    for (size_t k = 0; k < unroll; ++k) {
      const size_t at = i + k * L::width;
      L::store(y + at, f([at](const float* p) { return L::load(p + at); }));
    }
  }
  for (; i + L::width <= n; i += L::width) {
    L::store(y + i, f([i](const float* p) { return L::load(p + i); }));
  }
  if (i < n) {
    const size_t rest = n - i;
    L::store_n(y + i, f([i, rest](const float* p) { return L::load_n(p + i, rest); }), rest);
  }
}

// y[0, n) = value
template <class L>
inline void fill_row(float* y, size_t n, float value) {
  const typename L::f32 v = L::broadcast(value);
  transform<L>(y, n, [v](auto) { return v; });
}

// NaN in y[0, n) becomes the canonical NaN.
template <class L>
inline void canonicalize_row(float* y, size_t n) {
  transform<L>(y, n, [y](auto load) { return L::canonical(load(y)); });
}

template <class L>
inline bool row_is_constant(const float* x, size_t n) {
  const typename L::f32 first = L::broadcast(x[0]);
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) {
    if (!L::all_equal(L::load(x + i), first)) return false;
  }
  return i == n || L::all_equal(L::load_n_or(x + i, n - i, first), first);
}

// The f32 rounding; NaN becomes canonical.
inline float canonical_float(double v) {
  return v == v ? static_cast<float>(v) : __builtin_nanf("");
}

// What of gamma and beta is there. Kernels are instantiated for each case.
enum class affine { none, gamma, beta, both };

template <affine A>
constexpr bool has_gamma = A == affine::gamma || A == affine::both;
template <affine A>
constexpr bool has_beta = A == affine::beta || A == affine::both;

// Statistics in doubles of x[0, n), for rows that f32 lanes cannot do: two passes, the second
// corrected for the rounding of the first's mean.
struct exact_moments {
  double mean;        // the first pass's mean
  double correction;  // to be added to it
  double variance;
};

constexpr float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

template <class L>
inline exact_moments exact_row_moments(const float* x, size_t n) {
  using f64 = typename L::f64;
  constexpr size_t parts = sizeof(typename L::wide) / sizeof(f64);
  const f64 zero = L::broadcast64(0.0);
  const double count = static_cast<double>(n);

  typename L::wide sum[group<L>];
  for (auto& s : sum) {
    for (auto& p : s.part) p = zero;
  }
  for_lanes<L>(x, n, L::broadcast(0.0f), [&](size_t g, typename L::f32 v) {
    const typename L::wide w = L::widen(v);
    for (size_t k = 0; k < parts; ++k) sum[g].part[k] = sum[g].part[k] + w.part[k];
  });
  const double mean = L::sum64(sum) / count;

  typename L::wide first[group<L>];
  typename L::wide second[group<L>];
  for (size_t g = 0; g < group<L>; ++g) {
    for (size_t k = 0; k < parts; ++k) first[g].part[k] = second[g].part[k] = zero;
  }
  // Elements that are not there must not count; no float stands exactly for the mean, so they are
  // masked by a weight of zero.
  const f64 m = L::broadcast64(mean);
  size_t i = 0;
  const auto step = [&](size_t g, typename L::wide d) {
    for (size_t k = 0; k < parts; ++k) {
      first[g].part[k] = first[g].part[k] + d.part[k];
      second[g].part[k] = second[g].part[k] + d.part[k] * d.part[k];
    }
  };
  for (size_t g = 0; i + L::width <= n; i += L::width, g = (g + 1) % group<L>) {
    typename L::wide d = L::widen(L::load(x + i));
    for (size_t k = 0; k < parts; ++k) d.part[k] = d.part[k] - m;
    step(g, d);
  }
  if (i < n) {
    typename L::wide d = L::widen(L::load_n(x + i, n - i));
    const typename L::wide here = L::widen(L::load_n_or(ones, n - i, L::broadcast(0.0f)));
    for (size_t k = 0; k < parts; ++k) d.part[k] = (d.part[k] - m) * here.part[k];
    step((i / L::width) % group<L>, d);
  }
  const double correction = L::sum64(first) / count;
  return {mean, correction, L::sum64(second) / count - correction * correction};
}

// Rows are done in batches: the statistics of all, then their square roots and divisions side by
// side in vector registers, then the outputs of all. A row's latency (two trees of additions, a
// square root, a division: about 150 cycles) hides behind the others' work. 2048x64 on AVX-512:
// 38 ns a row one by one, 14 in batches of 8. A row's bits do not depend on its batch.
constexpr size_t rows_per_batch = 8;

// What finish_batch needs of lanes, for one row.
struct single {
  using f64 = double;
  static f64 broadcast64(double v) { return v; }
  static f64 load64(const double* p) { return *p; }
  static f64 load_widened(const float* p) { return static_cast<double>(*p); }
  static f64 store_narrowed(float* p, f64 v) {
    *p = static_cast<float>(v);
    return static_cast<double>(*p);
  }
  static f64 div(f64 a, f64 b) { return a / b; }
  static f64 sqrt(f64 v) { return __builtin_sqrt(v); }
  static bool all(bool m) { return m; }
};

struct row_batch {
  size_t count = 0;
  size_t index[rows_per_batch];
  size_t n[rows_per_batch];  // real columns
  const float* x[rows_per_batch];
  float* y[rows_per_batch];
};

// A batch's inputs must stay in L1 from the statistics to the outputs: 32 KiB of 32 to 64.
inline size_t batch_limit(size_t cols) {
  constexpr size_t elements = 8192;
  const size_t fit = elements / (cols < elements ? cols : elements);
  return fit < rows_per_batch ? fit : rows_per_batch;
}

// Calls work(batch) for all rows of the block that have real columns; does what padding asks for
// with the rest.
template <class L, class Work>
[[gnu::always_inline]] inline void for_batches(const row_norm_arguments& a, const block& b, Work work) {
  const size_t limit = batch_limit(a.cols);
  row_batch batch;
  for (size_t i = b.row_first; i < b.row_last; ++i) {
    float* y = static_cast<float*>(a.y) + static_cast<ptrdiff_t>(i) * a.y_stride;
    const size_t n = real_columns(a.padding, i, a.cols);
    if (n > 0) {
      const size_t k = batch.count++;
      batch.index[k] = i;
      batch.n[k] = n;
      batch.x[k] = static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(i) * a.x_stride;
      batch.y[k] = y;
    } else {
      if (a.mean) a.mean[i] = 0.0f;
      if (a.rstd) a.rstd[i] = 0.0f;
    }
    if (batch.count == limit || (batch.count > 0 && i + 1 == b.row_last)) {
      work(batch);
      batch.count = 0;
    }
  }
  if (a.padding.kind == SIMDNORM_PADDING_NONE || a.padding.fill != SIMDNORM_FILL_ZERO) return;
  for (size_t i = b.row_first; i < b.row_last; ++i) {
    const size_t n = real_columns(a.padding, i, a.cols);
    if (n < a.cols) {
      fill_row<L>(static_cast<float*>(a.y) + static_cast<ptrdiff_t>(i) * a.y_stride + n, a.cols - n, 0.0f);
    }
  }
}

// Runs finish<lanes>(k), which does entries k to k + lanes::width64 of a batch, over all of it: one
// row alone takes scalar lanes, whose square root and division end 20 cycles sooner. Entries beyond
// the batch's count hold leftovers.
template <class L, class Finish>
[[gnu::always_inline]] inline void finish_batch(const row_batch& batch, Finish finish) {
  if (batch.count == 1) {
    finish(single{}, size_t{0});
  } else {
    for (size_t k = 0; k < rows_per_batch; k += L::width64) finish(L{}, k);
  }
}

// gamma and beta may hold NaN or infinity, and then outputs may be NaN of any payload. Every
// output depends on its own column's, so the first row of a call tells: where it is finite, later
// rows can overflow but not become NaN. One more fma per register on that row alone.
template <class L, affine A>
class parameter_check {
 public:
  // apply(check) writes a row of n columns; check(y register) looks at what it writes.
  template <class Apply>
  void write(float* y, size_t n, Apply apply) {
    if (n <= checked_) {
      apply([](typename L::f32) {});
    } else {
      typename L::f32 acc = L::broadcast(0.0f);
      const typename L::f32 zero = acc;
      apply([&](typename L::f32 v) { acc = L::fma(v, zero, acc); });
      checked_ = n;
      if (L::any_nan(acc)) canonicalize_ = true;
    }
    if (canonicalize_) canonicalize_row<L>(y, n);
  }

 private:
  size_t checked_ = A == affine::none ? SIZE_MAX : 0;
  bool canonicalize_ = false;
};

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// What row-wise norms share: the virtual lanes, the walk over a row, the loop over the rows of a
// block with its padding, and the repair of hostile rows. docs/numerics.md defines the arithmetic.
#pragma once

#include "inline.hpp"
#include "padding.hpp"
#include "repeat.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Element i of a row belongs to virtual lane i mod 32, on every instruction set.
constexpr size_t virtual_lanes = 32;
// f32 lanes are flushed into second-level f32 lanes every so many elements, these into doubles every
// so many: rounding errors grow with 8 and 16 additions, not with the row (12 ulp without at mean/std
// 1e4; 4.6 with chunks of 16384 on integers, whose squares all round the same way; 3.2 with 512 on 513
// elements the first of which is an outlier). A long row can be cut at chunks.
constexpr size_t flush_every = 256;
constexpr size_t chunk_elements = 4096;
// A row is shifted by the mean of its first so many elements.
constexpr size_t shift_elements = 64;

template <class L>
constexpr size_t group = virtual_lanes / L::width;  // registers that hold the virtual lanes

// Calls step(row, register of the group, elements) over x[row][0, n) of R rows side by side; the last
// register of a row is partial, and elements that are not there are the row's `fill`.
template <class L, size_t R, class Step>
SIMDNORM_INLINE void for_lanes(const float* const (&x)[R], size_t from, size_t n, const typename L::f32 (&fill)[R],
                               Step step) {
  size_t i = from;
  for (; i + virtual_lanes <= n; i += virtual_lanes) {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      repeat<R>([&](auto r) SIMDNORM_LAMBDA { step(r, g, L::load(x[r] + i + g * L::width)); });
    });
  }
  if (i == n) return;
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
    const size_t at = i + g * L::width;
    repeat<R>([&](auto r) SIMDNORM_LAMBDA {
      if (at + L::width <= n) {
        step(r, g, L::load(x[r] + at));
      } else if (at < n) {
        step(r, g, L::load_n_or(x[r] + at, n - at, fill[r]));
      }
    });
  });
}

// A register of each of R rows.
template <class L, size_t R>
struct across {
  typename L::f32 row[R];
};

// Whether R rows can be written side by side: on the same place of their cache lines.
template <size_t R>
SIMDNORM_INLINE bool same_alignment(float* const (&y)[R]) {
  bool same = true;
  repeat<R>([&](auto r) SIMDNORM_LAMBDA {
    same &= (reinterpret_cast<uintptr_t>(y[r]) - reinterpret_cast<uintptr_t>(y[0])) % 64 == 0;
  });
  return same;
}

// y[r][i] = f(load).row[r], where load(p) reads the register at p + i: a full one or a tail. Four
// registers a turn: one is latency-bound on AVX2.
//
// Stores are aligned to registers first: a store that crosses a cache line costs two, and rows side
// by side then break up each other's lines (16x768, AVX-512, y off by 4 bytes: 4.4 us against 2.7).
// The registers at 0 and at the first aligned place overlap; both are loaded before either is
// stored, since y may be x.
template <class L, size_t R, class F>
SIMDNORM_INLINE void transform(float* const (&y)[R], size_t n, F f) {
  constexpr size_t unroll = R > 1 ? 2 : 4;
  constexpr size_t register_bytes = L::width * sizeof(float);
  const auto at_full = [](size_t at)
                           SIMDNORM_LAMBDA { return [at](const float* p) SIMDNORM_LAMBDA { return L::load(p + at); }; };
  const auto put = [&](size_t at, const across<L, R>& v)
                       SIMDNORM_LAMBDA { repeat<R>([&](auto r) SIMDNORM_LAMBDA { L::store(y[r] + at, v.row[r]); }); };
  size_t i = 0;
  if constexpr (L::width > 1) {
    const size_t off = reinterpret_cast<uintptr_t>(y[0]) % register_bytes;
    if (off != 0 && n >= 8 * L::width) {
      const size_t head = (register_bytes - off) / sizeof(float);
      const across<L, R> first = f(at_full(0));
      const across<L, R> second = f(at_full(head));
      put(0, first);
      put(head, second);
      i = head + L::width;
    }
  }
  for (; i + unroll * L::width <= n; i += unroll * L::width) {
    repeat<unroll>([&](auto k) SIMDNORM_LAMBDA { put(i + k * L::width, f(at_full(i + k * L::width))); });
  }
  for (; i + L::width <= n; i += L::width) put(i, f(at_full(i)));
  if (i < n) {
    const size_t rest = n - i;
    const across<L, R> v = f([i, rest](const float* p) SIMDNORM_LAMBDA { return L::load_n(p + i, rest); });
    repeat<R>([&](auto r) SIMDNORM_LAMBDA { L::store_n(y[r] + i, v.row[r], rest); });
  }
}

// The same for one row, with f(load) a register.
template <class L, class F>
SIMDNORM_INLINE void transform(float* y, size_t n, F f) {
  transform<L, 1>({y}, n, [&](auto load) SIMDNORM_LAMBDA { return across<L, 1>{{f(load)}}; });
}

// y[0, n) = value
template <class L>
SIMDNORM_INLINE void fill_row(float* y, size_t n, float value) {
  const typename L::f32 v = L::broadcast(value);
  transform<L>(y, n, [v](auto) SIMDNORM_LAMBDA { return v; });
}

// NaN in y[0, n) becomes the canonical NaN.
template <class L>
SIMDNORM_INLINE void canonicalize_row(float* y, size_t n) {
  transform<L>(y, n, [y](auto load) SIMDNORM_LAMBDA { return L::canonical(load(y)); });
}

template <class L>
SIMDNORM_INLINE bool row_is_constant(const float* x, size_t n) {
  const typename L::f32 first = L::broadcast(x[0]);
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) {
    if (!L::all_equal(L::load(x + i), first)) return false;
  }
  return i == n || L::all_equal(L::load_n_or(x + i, n - i, first), first);
}

// The f32 rounding; NaN becomes canonical.
SIMDNORM_INLINE float canonical_float(double v) {
  return v == v ? static_cast<float>(v) : __builtin_nanf("");
}

// What of gamma and beta is there. Kernels are instantiated for each case.
enum class affine { none, gamma, beta, both };

template <affine A>
constexpr bool has_gamma = A == affine::gamma || A == affine::both;
template <affine A>
constexpr bool has_beta = A == affine::beta || A == affine::both;

struct sums64 {
  double sum, squares;
};

// sum(d) and sum(d^2) of d = x - shift over x[0, n), in doubles: for rows that f32 lanes cannot do.
template <class L>
[[gnu::noinline]] sums64 row_sums64(const float* x, size_t n, float shift) {
  using f64 = typename L::f64;
  using wide = typename L::wide;
  constexpr size_t parts = sizeof(wide) / sizeof(f64);
  const f64 k = L::broadcast64(static_cast<double>(shift));
  wide sum[group<L>];
  wide squares[group<L>];
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
    repeat<parts>([&](auto p) SIMDNORM_LAMBDA { sum[g].part[p] = squares[g].part[p] = L::broadcast64(0.0); });
  });
  for_lanes<L, 1>({x}, 0, n, {L::broadcast(shift)}, [&](auto, auto g, typename L::f32 v) SIMDNORM_LAMBDA {
    const wide w = L::widen(v);
    repeat<parts>([&](auto p) SIMDNORM_LAMBDA {
      const f64 d = w.part[p] - k;
      sum[g].part[p] = sum[g].part[p] + d;
      squares[g].part[p] = squares[g].part[p] + d * d;
    });
  });
  return {L::sum64(sum), L::sum64(squares)};
}

// Rows are done in batches: the statistics of all, then their square roots and divisions side by
// side in vector registers, then the outputs of all. A row's latency (two trees of additions, a
// square root, a division: about 150 cycles) hides behind the others' work. A row's bits do not
// depend on its batch.
constexpr size_t most_rows_per_batch = 8;

// Rows first to first + N of a batch.
template <size_t N>
struct rows_from {
  static constexpr size_t count = N;
  size_t first;
};

// Up to R rows; R is 1 or most_rows_per_batch.
template <size_t R>
struct row_batch {
  size_t count = 0;
  size_t index[R];
  size_t n[R];  // real columns
  const float* x[R];
  float* y[R];
};

// A batch's inputs must stay in L1 from the statistics to the outputs, beside these: 16 KiB of 32 to
// 48.
SIMDNORM_INLINE size_t rows_that_fit(size_t cols) {
  constexpr size_t elements = 4096;
  const size_t fit = elements / (cols < elements ? cols : elements);
  return fit < most_rows_per_batch ? fit : most_rows_per_batch;
}

template <class L, size_t R, class Work>
SIMDNORM_INLINE void for_batches_of(const row_norm_arguments& a, const block& b, size_t limit, Work work) {
  row_batch<R> batch;
  for (size_t i = b.row_first; i < b.row_last; ++i) {
    const size_t n = real_columns(a.padding, i, a.cols);
    if (n > 0) {
      const size_t k = batch.count++;
      batch.index[k] = i;
      batch.n[k] = n;
      batch.x[k] = static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(i) * a.x_stride;
      batch.y[k] = static_cast<float*>(a.y) + static_cast<ptrdiff_t>(i) * a.y_stride;
    } else {
      if (a.mean) a.mean[i] = 0.0f;
      if (a.rstd) a.rstd[i] = 0.0f;
    }
    if (batch.count == limit || (batch.count > 0 && i + 1 == b.row_last)) {
      work(batch);
      batch.count = 0;
    }
  }
}

// Calls work(batch) for all rows of the block that have real columns; does what padding asks for
// with the rest.
template <class L, class Work>
SIMDNORM_INLINE void for_batches(const row_norm_arguments& a, const block& b, Work work) {
  const size_t limit = b.row_last - b.row_first == 1 ? 1 : rows_that_fit(a.cols);
  if (limit == 1) {
    for_batches_of<L, 1>(a, b, 1, work);
  } else {
    for_batches_of<L, most_rows_per_batch>(a, b, limit, work);
  }
  if (a.padding.kind == SIMDNORM_PADDING_NONE || a.padding.fill != SIMDNORM_FILL_ZERO) return;
  for (size_t i = b.row_first; i < b.row_last; ++i) {
    const size_t n = real_columns(a.padding, i, a.cols);
    if (n < a.cols) {
      fill_row<L>(static_cast<float*>(a.y) + static_cast<ptrdiff_t>(i) * a.y_stride + n, a.cols - n, 0.0f);
    }
  }
}

// What finish_batch needs of lanes, for one row alone: the scalar square root and division end 20
// cycles sooner than the vectors'.
struct single {
  using f64 = double;
  SIMDNORM_INLINE static f64 broadcast64(double v) { return v; }
  SIMDNORM_INLINE static f64 load64(const double* p) { return *p; }
  SIMDNORM_INLINE static f64 load_widened(const float* p) { return static_cast<double>(*p); }
  SIMDNORM_INLINE static f64 store_narrowed(float* p, f64 v) {
    *p = static_cast<float>(v);
    return static_cast<double>(*p);
  }
  SIMDNORM_INLINE static f64 div(f64 a, f64 b) { return a / b; }
  SIMDNORM_INLINE static f64 sqrt(f64 v) { return __builtin_sqrt(v); }
  SIMDNORM_INLINE static f64 select(bool m, f64 a, f64 b) { return m ? a : b; }
  SIMDNORM_INLINE static bool all(bool m) { return m; }
};

// finish(lanes, k) does entries k to k + lanes::width64 of a batch and tells whether all are fine;
// this runs it over the batch. Entries beyond the batch's count hold leftovers.
template <class L, size_t R, class Finish>
SIMDNORM_INLINE bool finish_batch(Finish finish) {
  if constexpr (R == 1) {
    return finish(single{}, size_t{0});
  } else {
    bool fine = true;
    for (size_t k = 0; k < R; k += L::width64) fine &= finish(L{}, k);
    return fine;
  }
}

// Statistics of all rows of a batch: sums(array of pointers to N rows, first index, n), N rows of
// equal length at a time, which hide each other's latency where registers allow (N = 2 on AVX-512).
template <class L, size_t R, class Sums>
SIMDNORM_INLINE void for_row_groups(const row_batch<R>& batch, Sums sums) {
  constexpr size_t together = R > 1 ? L::rows_together : 1;
  size_t k = 0;
  if constexpr (together == 2) {
    for (; k + 2 <= batch.count && batch.n[k] == batch.n[k + 1]; k += 2) {
      const float* const rows[2] = {batch.x[k], batch.x[k + 1]};
      sums(rows, k, batch.n[k]);
    }
  }
  for (; k < batch.count; ++k) {
    const float* const rows[1] = {batch.x[k]};
    sums(rows, k, batch.n[k]);
  }
}

// gamma and beta may hold NaN or infinity, and then outputs may be NaN of any payload. Every
// output depends on its own column's, so the first row of a call tells: where it is finite, later
// rows can overflow but not become NaN. One more fma per register on that row alone.
template <class L, affine A>
class parameter_check {
 public:
  // Whether rows of n columns need no look at their outputs.
  bool passed(size_t n) const { return n <= checked_ && !canonicalize_; }

  // apply(check) writes a row of n columns; check(y register) looks at what it writes.
  template <class Apply>
  [[gnu::always_inline]] void write(float* y, size_t n, Apply apply) {
    if (n <= checked_) {
      apply([](typename L::f32) SIMDNORM_LAMBDA {});
    } else {
      typename L::f32 acc = L::broadcast(0.0f);
      const typename L::f32 zero = acc;
      apply([&](typename L::f32 v) SIMDNORM_LAMBDA { acc = L::fma(v, zero, acc); });
      checked_ = n;
      if (L::any_nan(acc)) canonicalize_ = true;
    }
    if (canonicalize_) canonicalize_row<L>(y, n);
  }

 private:
  size_t checked_ = A == affine::none ? SIZE_MAX : 0;
  bool canonicalize_ = false;
};

// Writes the rows of a batch: apply(rows k to k + N, check) does N of them, two at a time where both
// are plain, so that gamma and beta are loaded once for both; hostile(k) does one in doubles.
template <class L, affine A, size_t R, class Safe, class Apply, class Hostile>
SIMDNORM_INLINE void write_batch(const row_batch<R>& batch, parameter_check<L, A>& parameters, bool all_safe, Safe safe,
                                 Apply apply, Hostile hostile) {
  constexpr auto unchecked = [](typename L::f32) SIMDNORM_LAMBDA {};
  for (size_t k = 0; k < batch.count;) {
    if constexpr (R > 1 && L::rows_written == 2) {
      if (all_safe && k + 2 <= batch.count && batch.n[k] == batch.n[k + 1] && parameters.passed(batch.n[k]) &&
          same_alignment<2>({batch.y[k], batch.y[k + 1]})) {
        apply(rows_from<2>{k}, unchecked);
        k += 2;
        continue;
      }
    }
    if (all_safe || safe(k)) [[likely]] {
      parameters.write(batch.y[k], batch.n[k], [&](auto check) SIMDNORM_LAMBDA { apply(rows_from<1>{k}, check); });
    } else {
      hostile(k);
    }
    ++k;
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

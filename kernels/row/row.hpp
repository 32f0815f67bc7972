// SPDX-License-Identifier: Apache-2.0
//
// What a row is made with: its virtual lanes, the walk over it, sums in doubles for a hostile one.
// docs/numerics.md defines the arithmetic; pipeline.hpp is the loop over rows.
#pragma once

#include "byte_types.hpp"
#include "convert.hpp"
#include "element.hpp"
#include "inline.hpp"
#include "nan_search.hpp"
#include "padding.hpp"
#include "repeat.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Element i of a row belongs to virtual lane i mod 32, on every instruction set.
constexpr size_t virtual_lanes = 32;
// f32 lanes are flushed into second-level f32 lanes every so many elements, these into doubles every
// chunk_elements, 4096: rounding errors grow with 8 and 16 additions, not with the row (12 ulp without at mean/std
// 1e4; 4.6 with chunks of 16384 on integers, whose squares all round the same way; 3.2 with 512 on 513
// elements the first of which is an outlier). A long row can be cut at chunks.
constexpr size_t flush_every = 256;
// A row is shifted by the mean of its first so many elements.
constexpr size_t shift_elements = 64;

template <class L>
constexpr size_t group = virtual_lanes / L::width;  // registers that hold the virtual lanes

// step(g) for registers 0 to N: written out, but for scalar, which has 32 and would have 25 KB more.
template <class L, size_t N, class Step>
SIMDNORM_INLINE void for_registers(Step step) {
  if constexpr (L::width > 1) {
    repeat<N>(step);
  } else {
    for (size_t g = 0; g < N; ++g) step(g);
  }
}

// How many of n bytes are not zero.
template <class L>
[[gnu::noinline]] size_t count_bytes(const uint8_t* p, size_t n) {
  size_t real = 0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) real += L::count_marks(p + i);
  for (; i < n; ++i) real += p[i] != 0;
  return real;
}

// The mask of register g, a constant, of a whole group of 32 elements: bits i, i + 1, ... of p.
template <class L, class G>
SIMDNORM_INLINE typename L::mask bits_of_group(const uint8_t* p, size_t i, G g) {
  if constexpr (requires { L::group_bits(p, i, g); }) {
    return L::group_bits(p, i, g);
  } else {
    return L::mask_bits(p, i);
  }
}

// A register of each virtual lane of a row.
template <class L>
struct row_lanes {
  typename L::f32 v[group<L>];

  SIMDNORM_INLINE void clear() {
    for_registers<L, group<L>>([&](auto g) SIMDNORM_LAMBDA { v[g] = L::broadcast(0.0f); });
  }
// GCC takes what the second level holds before the first flush for read: it is not, and clearing it is eight stores a
// row.
#pragma GCC diagnostic push
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
  SIMDNORM_INLINE void add(const row_lanes& other) {
    for_registers<L, group<L>>([&](auto g) SIMDNORM_LAMBDA { v[g] = v[g] + other.v[g]; });
  }
#pragma GCC diagnostic pop
};
// What is kept of them: lane i + lane i+16.
template <class L>
struct half_lanes {
  static constexpr size_t half = group<L> / 2;
  typename L::f32 v[half];

  SIMDNORM_INLINE void clear() {
    for_registers<L, half>([&](auto g) SIMDNORM_LAMBDA { v[g] = L::broadcast(0.0f); });
  }
  SIMDNORM_INLINE void operator=(const row_lanes<L>& all) {
    for_registers<L, half>([&](auto g) SIMDNORM_LAMBDA { v[g] = all.v[g] + all.v[g + half]; });
  }
};

// Calls step(register of the group, elements) for x[from, n), `from` a multiple of 32; the last register
// is partial, and elements that are not there are `fill`.
template <class L, class X, class Step>
SIMDNORM_INLINE void for_lanes(const X* x, size_t from, size_t n, typename L::f32 fill, Step step) {
  size_t i = from;
  for (; i + virtual_lanes <= n; i += virtual_lanes) {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { step(g, L::load(x + i + g * L::width)); });
  }
  if (i == n) return;
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
    const size_t at = i + g * L::width;
    if (at + L::width <= n) {
      step(g, L::load(x + at));
    } else if (at < n) {
      step(g, L::load_n_or(x + at, n - at, fill));
    }
  });
}

// How outputs are stored: through the caches; so, with the rows to come on their way from memory; or past the caches
// and with them. Lines of outputs that replace what was read are in the caches, and would have to be put out first.
enum class stores { cached, fetched, streamed };

// Whether outputs that are too large for the caches replace nothing that was just read.
SIMDNORM_INLINE bool goes_past(const fused_row_arguments& a) {
  return a.stream && a.y != a.x && a.y != a.residual && a.y != a.gate;
}

template <class L, stores S, class Y>
SIMDNORM_INLINE void put(Y* p, typename L::f32 v, [[maybe_unused]] bool past = true) {
  if constexpr (S == stores::streamed) {
    if (past) return L::stream(p, v);
  }
  L::store(p, v);
}

template <class L>
struct load_at {
  size_t i;
  template <class T>
  SIMDNORM_INLINE typename L::f32 operator()(const T* p) const {
    return L::load(p + i);
  }
};
template <class L>
struct load_tail_at {
  size_t i, rest;
  template <class T>
  SIMDNORM_INLINE auto operator()(const T* p) const {
    return L::load_n(p + i, rest);
  }
};

// Of the register at i the elements before n, which may be none.
template <class L>
struct load_up_to_at {
  size_t i, n;
  SIMDNORM_INLINE typename L::f32 operator()(const float* p) const {
    return L::load_up_to(p, i, n, L::broadcast(0.0f));
  }
};

// Of the register at i the elements that m marks, zeros in place of the others; of gamma and beta all.
template <class L>
struct load_where_at {
  size_t i;
  typename L::mask m;
  template <class T>
  SIMDNORM_INLINE typename L::f32 operator()(const T* p) const {
    return L::load_where(m, p + i);
  }
  SIMDNORM_INLINE typename L::f32 whole(const float* p) const { return L::load(p + i); }
};
template <class L, class Load>
SIMDNORM_INLINE typename L::f32 load_vector(Load load, const float* p) {
  if constexpr (requires { load.whole(p); }) {
    return load.whole(p);
  } else {
    return load(p);
  }
}

// The four parts of y[i] = f(load), where load(p) reads the register at p + i: up to the first register
// of y that is aligned, registers while they are full, and a tail. Each returns how far it came.
//
// Stores are aligned to registers: one that crosses a cache line costs two. Past the caches they are aligned to lines,
// and all of a line is stored: one that leaves in parts is read again (AVX2, rows of 1,000 columns: 1.6 times as long).
// The registers at 0 and at the first aligned place overlap; all are loaded before one is stored, since y may be x.
template <class L, stores S, class Y>
constexpr size_t aligned_elements = (S == stores::streamed) && (L::width * sizeof(Y) < 64) ? 64 / sizeof(Y) : L::width;
// Rows of fewer elements have no head.
template <class L, stores S, class Y>
constexpr size_t head_elements() {
  constexpr size_t aligned = aligned_elements<L, S, Y>;
  return aligned < 4 * L::width ? 8 * L::width : 2 * aligned;
}

template <class L, stores S = stores::cached, class Y, class F>
SIMDNORM_INLINE size_t transform_head(Y* y, size_t n, F f) {
  if constexpr (L::width > 1) {
    constexpr size_t aligned = aligned_elements<L, S, Y>;
    constexpr size_t registers = aligned / L::width;
    const size_t off = reinterpret_cast<uintptr_t>(y) % (aligned * sizeof(Y));
    if (off != 0 && n >= head_elements<L, S, Y>()) {
      const size_t head = aligned - off / sizeof(Y);
      typename L::f32 v[2 * registers];
      repeat<registers>([&](auto k) SIMDNORM_LAMBDA { v[k] = f(load_at<L>{k * L::width}); });
      repeat<registers>([&](auto k) SIMDNORM_LAMBDA { v[registers + k] = f(load_at<L>{head + k * L::width}); });
      repeat<registers>([&](auto k) SIMDNORM_LAMBDA { L::store(y + k * L::width, v[k]); });
      repeat<registers>([&](auto k) SIMDNORM_LAMBDA { L::store(y + head + k * L::width, v[registers + k]); });
      return head + aligned;
    }
  }
  return 0;
}
// Whether stores from where transform_head stops are of whole lines: rows too short for a head are not, and may not be
// streamed.
template <class L, class Y>
SIMDNORM_INLINE bool can_stream(const Y* y, size_t n) {
  constexpr size_t bytes = aligned_elements<L, stores::streamed, Y> * sizeof(Y);
  return n >= head_elements<L, stores::streamed, Y>() || reinterpret_cast<uintptr_t>(y) % bytes == 0;
}
// Four registers a turn: one is latency-bound on AVX2. `past`: whether what may be streamed is.
template <class L, stores S, class Y, class F>
SIMDNORM_INLINE size_t transform_registers(Y* y, size_t i, size_t n, F f, bool past = true) {
  constexpr size_t unit = aligned_elements<L, S, Y>;
  constexpr size_t turn = unit < 4 * L::width ? 4 * L::width : unit;
  for (; i + turn <= n; i += turn) {
    repeat<turn / L::width>(
        [&](auto k) SIMDNORM_LAMBDA { put<L, S>(y + i + k * L::width, f(load_at<L>{i + k * L::width}), past); });
  }
  if constexpr (unit < 4 * L::width) {
    for (; i + unit <= n; i += unit) {
      repeat<unit / L::width>(
          [&](auto k) SIMDNORM_LAMBDA { put<L, S>(y + i + k * L::width, f(load_at<L>{i + k * L::width}), past); });
    }
  }
  return i;
}
// What transform_registers leaves: past the caches a part of a line, or all of a row that may not be streamed.
template <class L, stores S, class Y, class F>
SIMDNORM_INLINE size_t transform_last_registers(Y* y, size_t i, size_t n, F f) {
  if constexpr (S == stores::streamed) {
    for (; i + L::width <= n; i += L::width) L::store(y + i, f(load_at<L>{i}));
  }
  return i;
}
template <class L, class Y, class F>
SIMDNORM_INLINE void transform_tail(Y* y, size_t i, size_t n, F f) {
  if (i == n) return;
  const size_t rest = n - i;
  L::store_n(y + i, f(load_tail_at<L>{i, rest}), rest);
}

// y[0, n) = f
template <class L, stores S = stores::cached, class Y, class F>
SIMDNORM_INLINE void transform(Y* y, size_t n, F f) {
  size_t i = transform_head<L, S>(y, n, f);
  if (S != stores::streamed || can_stream<L>(y, n)) i = transform_registers<L, S>(y, i, n, f);
  i = transform_last_registers<L, S>(y, i, n, f);
  transform_tail<L>(y, i, n, f);
}

// The same through the caches, with a look at all that is written. The last register overlaps the one before, and is
// made before any is stored, since y may be x: after a store of part of a register the next row's first load waits for
// it (512 planes of 49 in place: half the time).
template <class L, class F>
SIMDNORM_INLINE void transform_searched(float* y, size_t n, nan_search<L>& nan, F f) {
  using f32 = typename L::f32;
  const auto searched = [&](auto load) SIMDNORM_LAMBDA {
    const f32 v = f(load);
    nan.add(v);
    return v;
  };
  if (n < L::width) {
    transform_tail<L>(y, 0, n, searched);
    return;
  }
  const f32 last = searched(load_at<L>{n - L::width});
  size_t i = transform_head<L>(y, n, searched);
  for (; i + 4 * L::width <= n; i += 4 * L::width) {
    f32 v[4];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      v[k] = f(load_at<L>{i + k * L::width});
      L::store(y + i + k * L::width, v[k]);
    });
    nan.add(v);
  }
  for (; i + L::width <= n; i += L::width) L::store(y + i, searched(load_at<L>{i}));
  if (i < n) L::store(y + n - L::width, last);
}

// y[0, n) = value
template <class L, stores S = stores::cached, class Y>
SIMDNORM_INLINE void fill_row(Y* y, size_t n, float value) {
  const typename L::f32 v = L::broadcast(value);
  transform<L, S>(y, n, [v](auto) SIMDNORM_LAMBDA { return v; });
}

// NaN in y[0, n) becomes the canonical NaN.
template <class L, class Y>
SIMDNORM_INLINE void canonicalize_row(Y* y, size_t n) {
  transform<L>(y, n, [y](auto load) SIMDNORM_LAMBDA { return L::canonical(load(y)); });
}

// x[0]; for what is done once a row.
template <class L, class X>
SIMDNORM_INLINE float first_element(const X* x) {
  float v[L::width];
  L::store(v, L::width > 1 ? L::load_n(x, 1) : L::load(x));
  return v[0];
}

template <class L, class X>
SIMDNORM_INLINE bool row_is_constant(const X* x, size_t n) {
  const typename L::f32 first = L::broadcast(first_element<L>(x));
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

// to[index[k]] = from[k]. Out of line: GCC makes scatter instructions of it, and unrolls them.
[[gnu::noinline]] inline void scatter(float* to, const size_t* index, const float* from, size_t count) {
#pragma GCC unroll 1
  for (size_t k = 0; k < count; ++k) {
    to[index[k]] = from[k];
    __asm__ volatile("");
  }
}

// What of gamma and beta is there. Kernels are instantiated for each case. unit_offset: gamma is 1 + weight
// (RMS norm alone).
enum class affine { none, gamma, beta, both, unit_offset };

template <affine A>
constexpr bool has_gamma = A == affine::gamma || A == affine::both || A == affine::unit_offset;
template <affine A>
constexpr bool has_beta = A == affine::beta || A == affine::both;

// What stands for parameters that are missing: v * 1 and fma(v, gamma, -0) are v and v * gamma, a negative
// zero included.
constexpr float no_gamma = 1.0f, no_beta = -0.0f;
constexpr simdnorm_type filled_in = 0;  // the type of a beta that is made of no_beta

// The register of a parameter at `load`, for what is done in doubles.
template <class L, class X, class Load>
SIMDNORM_INLINE typename L::f32 load_parameter(Load load, const void* p, simdnorm_type type, float missing) {
  if (p == nullptr) return L::broadcast(missing);
  if constexpr (sizeof(X) != sizeof(float)) {
    if (type != SIMDNORM_F32) return load(static_cast<const X*>(p));
  }
  return load(static_cast<const float*>(p));
}

struct sums64 {
  double sum, squares;
};

// sum(d) and sum(d^2) of d = x - shift in doubles: for rows that f32 lanes cannot do. A row may come in
// pieces, of which all but the last are whole groups of 32 elements.
template <class L>
class row_sums64 {
 public:
  SIMDNORM_INLINE row_sums64() {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      repeat<parts>([&](auto p) SIMDNORM_LAMBDA { sum_[g].part[p] = squares_[g].part[p] = L::broadcast64(0.0); });
    });
  }
  template <class X>
  SIMDNORM_INLINE void add(const X* x, size_t n, float shift) {
    const f64 k = L::broadcast64(static_cast<double>(shift));
    for_lanes<L>(x, 0, n, L::broadcast(shift), [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA {
      const wide w = L::widen(v);
      repeat<parts>([&](auto p) SIMDNORM_LAMBDA {
        const f64 d = w.part[p] - k;
        sum_[g].part[p] = sum_[g].part[p] + d;
        squares_[g].part[p] = squares_[g].part[p] + d * d;
      });
    });
  }
  SIMDNORM_INLINE sums64 result() const { return {L::sum64(sum_), L::sum64(squares_)}; }

 private:
  using f64 = typename L::f64;
  using wide = typename L::wide;
  static constexpr size_t parts = sizeof(wide) / sizeof(f64);
  wide sum_[group<L>], squares_[group<L>];
};

// A row as it lies in memory: what a norm's `mend` and `hostile` ask of a row. made_rows.hpp has another, of
// rows that are made or masked.
template <class L, class X, class Y>
struct whole_row {
  const X* x;
  Y* y;
  size_t n;

  size_t real() const { return n; }  // elements that count
  // Whether all that count are equal, and to what; the first of them where they are not.
  bool constant(float& value) const {
    value = first_element<L>(x);
    return row_is_constant<L>(x, n);
  }
  [[gnu::noinline]] sums64 sums(float shift) const {
    row_sums64<L> s;
    s.add(x, n, shift);
    return s.result();
  }
  // y = f(element, load), where load(p) reads beside the element in a vector of columns.
  template <class F>
  SIMDNORM_INLINE void write(F f) const {
    transform<L>(y, n, [&](auto load) SIMDNORM_LAMBDA { return f(load(x), load); });
  }
};

// gamma and beta may hold NaN or infinity, and then outputs may be NaN of any payload. Every
// output depends on its own column's, so the first row of a call tells: where it is finite, later
// rows can overflow but not become NaN. One more fma per register on that row alone.
class parameter_state {
 public:
  explicit parameter_state(size_t checked) : checked_(checked) {}
  // Whether rows of n columns need no look at their outputs.
  bool passed(size_t n) const { return n <= checked_ && !canonicalize_; }
  // The same for all rows of a batch.
  template <class Batch>
  SIMDNORM_INLINE bool passed(const Batch& batch) const {
    size_t longest = 0;
    for (size_t k = 0; k < batch.count; ++k) longest = batch.n[k] > longest ? batch.n[k] : longest;
    return passed(longest);
  }

 protected:
  size_t checked_;
  bool canonicalize_ = false;
};
template <class L, affine A>
class parameter_check : public parameter_state {
 public:
  parameter_check() : parameter_state(A == affine::none ? SIZE_MAX : 0) {}

  // apply(check) writes a row of n columns; check(y register) looks at what it writes, and returns it.
  // Elements of two bytes are rounded as they are stored, and take no NaN but the canonical one: there
  // it is made in the register, else, which is rare, in y afterwards.
  template <class Y, class Apply>
  SIMDNORM_INLINE void write(Y* y, size_t n, Apply apply) {
    constexpr bool in_register = sizeof(Y) != sizeof(float);
    if (n <= checked_ && !(in_register && canonicalize_)) {
      apply([](typename L::f32 v) SIMDNORM_LAMBDA { return v; });
    } else {
      typename L::f32 acc = L::broadcast(0.0f);
      const typename L::f32 zero = acc;
      apply([&](typename L::f32 v) SIMDNORM_LAMBDA {
        acc = L::fma(v, zero, acc);
        return in_register ? L::canonical(v) : v;
      });
      checked_ = n > checked_ ? n : checked_;
      if (L::any_nan(acc)) canonicalize_ = true;
    }
    if (!in_register && canonicalize_) canonicalize_row<L>(y, n);
  }
};

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

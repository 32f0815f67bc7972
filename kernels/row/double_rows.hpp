// SPDX-License-Identifier: Apache-2.0
//
// layer_norm, rms_norm and l2_norm of doubles: a row at a time, sums, finish, outputs. There is no wider type to
// finish in, so what f32 does in doubles is done in pairs of doubles here. docs/numerics.md, "f64".
#pragma once

#include "element.hpp"
#include "inline.hpp"
#include "math/double_activation.hpp"
#include "padding.hpp"
#include "pairs.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Element i of a row belongs to virtual lane i mod 16. Squares go into pairs of doubles two at a time (chains of 8,
// flushed: 4.2 ulp where one outlier's square meets equal small ones, which all round the same way), sums, whose
// errors count little, after every 128 elements.
constexpr size_t double_lanes = 16;
constexpr size_t double_flush = 128;
// What is made on the way (masked elements, scaled ones, parameters of another type) is made for so many columns.
constexpr size_t double_tile = 256;
static_assert(double_tile % double_flush == 0);
// A row is shifted by the mean of its first so many elements.
constexpr size_t double_shift_elements = 64;
static_assert(double_shift_elements <= double_tile);

// sum(d) and sum(d^2).
struct double_sums {
  doubles sum, squares;
};

// N lanes of pairs.
template <class L, size_t N>
class double_totals {
 public:
  using f64 = typename L::f64;
  static constexpr size_t group = N / L::width64;

  SIMDNORM_INLINE double_totals() {
    each<L, group>([&](auto g) SIMDNORM_LAMBDA { t_[g] = {L::broadcast64(0.0), L::broadcast64(0.0)}; });
  }
  SIMDNORM_INLINE void add(size_t g, f64 v) {
    const pair<f64> s = two_sum(t_[g].high, v);
    t_[g] = {s.high, t_[g].low + s.low};
  }
  SIMDNORM_INLINE void add_low(size_t g, f64 v) { t_[g].low = t_[g].low + v; }
  // Lane i gets lane i + N / 2's, and so on down to lane 1's.
  SIMDNORM_INLINE doubles result() const {
    double high[N], low[N];
    each<L, group>([&](auto g) SIMDNORM_LAMBDA {
      L::store64(high + g * L::width64, t_[g].high);
      L::store64(low + g * L::width64, t_[g].low);
    });
    if constexpr (N == 16) fold<8>(high, low);
    fold<4>(high, low);
    fold<2>(high, low);
    fold<1>(high, low);
    return normal(high[0], low[0]);
  }

 private:
  template <size_t M>
  SIMDNORM_INLINE static void fold(double* high, double* low) {
    if constexpr (L::width64 > 1 && M % L::width64 == 0) {
      for (size_t i = 0; i < M; i += L::width64) {
        const pair<f64> s = sum_of_pairs<f64>({L::load64(high + i), L::load64(low + i)},
                                              {L::load64(high + M + i), L::load64(low + M + i)});
        L::store64(high + i, s.high);
        L::store64(low + i, s.low);
      }
    } else {
#pragma GCC unroll 4
      for (size_t i = 0; i < M; ++i) {
        const doubles s = sum_of_pairs<double>({high[i], low[i]}, {high[M + i], low[M + i]});
        high[i] = s.high;
        low[i] = s.low;
      }
    }
  }
  pair<f64> t_[group];
};

// Of d = x - shift, or of x itself and its squares alone.
template <class L, bool Shifted>
class double_row_sums {
 public:
  using f64 = typename L::f64;
  static constexpr size_t group = double_lanes / L::width64;

  // A row may come in pieces, of which all but the last are multiples of 128 elements.
  SIMDNORM_INLINE void add(const double* x, size_t n, double shift) {
    const f64 k = L::broadcast64(Shifted ? shift : 0.0);
    for (size_t from = 0; from < n; from += double_flush) {
      const double* p = x + from;
      const size_t m = n - from < double_flush ? n - from : double_flush;
      f64 s1[group];
      each<L, group>([&](auto g) SIMDNORM_LAMBDA { s1[g] = L::broadcast64(0.0); });
      const auto difference = [&](auto g, f64 v) SIMDNORM_LAMBDA {
        if constexpr (Shifted) {
          v = v - k;
          s1[g] = s1[g] + v;
        }
        return v;
      };
      size_t i = 0;
      for (; i + 2 * double_lanes <= m; i += 2 * double_lanes) {
        each<L, group>([&](auto g) SIMDNORM_LAMBDA {
          const f64 a = difference(g, L::load64(p + i + g * L::width64));
          const f64 b = difference(g, L::load64(p + i + double_lanes + g * L::width64));
          squares_.add(g, L::fma64(b, b, a * a));
        });
      }
      if (i < m) {
        const auto load = [&](size_t at) SIMDNORM_LAMBDA {
          return at + L::width64 <= m ? L::load64(p + at) : at < m ? L::load64_n_or(p + at, m - at, k) : k;
        };
        each<L, group>([&](auto g) SIMDNORM_LAMBDA {
          const f64 a = difference(g, load(i + g * L::width64));
          const f64 b = difference(g, load(i + double_lanes + g * L::width64));
          squares_.add(g, L::fma64(b, b, a * a));
        });
      }
      if constexpr (Shifted) {
        each<L, group / 2>([&](auto g) SIMDNORM_LAMBDA { sum_.add(g, f64(s1[g] + s1[g + group / 2])); });
      }
    }
  }
  SIMDNORM_INLINE double_sums result() const {
    doubles sum{};
    if constexpr (Shifted) sum = sum_.result();
    return {sum, squares_.result()};
  }

 private:
  double_totals<L, 8> sum_;
  double_totals<L, 16> squares_;
};

template <class L, bool Shifted>
[[gnu::noinline]] double_sums sums_of(const double* x, size_t n, double shift) {
  double_row_sums<L, Shifted> s;
  s.add(x, n, shift);
  return s.result();
}

// sum(d) and sum(d^2) of d = x - shift with the error of every operation kept: for rows that are hostile. Lane i
// mod 8; n is a multiple of 8.
template <class L>
class exact_row_sums {
 public:
  using f64 = typename L::f64;
  SIMDNORM_INLINE void add(const double* x, size_t n, double shift) {
    const f64 k = L::broadcast64(-shift);
    for (size_t i = 0; i < n; i += 8) {
      each<L, double_totals<L, 8>::group>([&](auto g) SIMDNORM_LAMBDA {
        const pair<f64> d = two_sum(L::load64(x + i + g * L::width64), k);
        const f64 square = d.high * d.high;
        const f64 lost = L::fma64(d.high, d.high, L::broadcast64(0.0) - square);
        sum_.add(g, d.high);
        sum_.add_low(g, d.low);
        squares_.add(g, square);
        squares_.add_low(g, L::fma64(d.high + d.high, d.low, lost));
      });
    }
  }
  SIMDNORM_INLINE double_sums result() const { return {sum_.result(), squares_.result()}; }

 private:
  double_totals<L, 8> sum_, squares_;
};

// The sum of at most 64 elements: their lanes, then lane i + lane i + 8's, 4, 2, 1.
template <class L>
SIMDNORM_INLINE double plain_sum(const double* x, size_t n) {
  using f64 = typename L::f64;
  constexpr size_t group = double_lanes / L::width64;
  f64 s[group];
  each<L, group>([&](auto g) SIMDNORM_LAMBDA { s[g] = L::broadcast64(0.0); });
  for (size_t i = 0; i < n; i += double_lanes) {
    each<L, group>([&](auto g) SIMDNORM_LAMBDA {
      const size_t at = i + g * L::width64;
      if (at + L::width64 <= n) {
        s[g] = s[g] + L::load64(x + at);
      } else if (at < n) {
        s[g] = s[g] + L::load64_n(x + at, n - at);
      }
    });
  }
  double a[double_lanes];
  each<L, group>([&](auto g) SIMDNORM_LAMBDA { L::store64(a + g * L::width64, s[g]); });
#pragma GCC unroll 4
  for (size_t half = double_lanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) a[i] = a[i] + a[i + half];
  }
  return a[0];
}

// What x_hat is multiplied with, and what comes behind.
struct double_finish {
  const double* gamma;
  const double* beta;  // null: x_hat itself is added, as gamma is 1 + weight
  double floor;        // 0 of relu, else below all
};

// y = x_hat, or max(x_hat * gamma + beta, floor), NaN made canonical; through the caches, or past them. y may be x.
template <class L, bool Affine, bool Streamed = false>
[[gnu::noinline]] void write_doubles(const double* x, double* y, size_t n, const double_scale& s,
                                     const double_finish& f) {
  using f64 = typename L::f64;
  const f64 center = L::broadcast64(s.center), high = L::broadcast64(s.high);
  const f64 low = L::broadcast64(s.low), offset = L::broadcast64(s.offset);
  const auto output = [&](f64 v, auto parameter) SIMDNORM_LAMBDA {
    const f64 d = v - center;
    f64 out = L::fma64(d, high, L::fma64(d, low, offset));
    if constexpr (Affine) {
      out = L::fma64(out, parameter(f.gamma), f.beta != nullptr ? parameter(f.beta) : out);
      out = L::canonical64(L::max64(L::broadcast64(f.floor), out));
    }
    return out;
  };
  const auto at = [&](size_t i) SIMDNORM_LAMBDA {
    const f64 v = output(L::load64(x + i), [i](const double* p) SIMDNORM_LAMBDA { return L::load64(p + i); });
    if constexpr (Streamed) {
      L::stream64(y + i, v);
    } else {
      L::store64(y + i, v);
    }
  };
  const auto part = [&](size_t i, size_t rest) SIMDNORM_LAMBDA {
    const f64 v = output(L::load64_n(x + i, rest),
                         [i, rest](const double* p) SIMDNORM_LAMBDA { return L::load64_n(p + i, rest); });
    L::store64_n(y + i, v, rest);
  };
  constexpr size_t width = L::width64;
  size_t i = 0;
  if constexpr (Streamed && width > 1) {  // up to the first register of y that is aligned
    const size_t off = reinterpret_cast<uintptr_t>(y) / sizeof(double) % width;
    i = off == 0 ? 0 : width - off < n ? width - off : n;
    if (i > 0 && i < width) part(0, i);
  }
  for (; i + 4 * width <= n; i += 4 * width) {
    each<L, 4>([&](auto k) SIMDNORM_LAMBDA { at(i + k * width); });
  }
  for (; i + width <= n; i += width) at(i);
  if (i < n) part(i, n - i);
}

// Of a row: its first n columns, or those of them that an element mask marks.
struct double_row {
  const double* x;
  double* y;
  size_t n;
  size_t real;           // how many count
  const uint8_t* marks;  // null: all
  bool bits;
  const double* gate;  // null: none

  bool counts(size_t j) const { return marks == nullptr || (bits ? bit_at(marks, j) : marks[j] != 0); }
};

// tile[0, m) = x[from ...] * factor, or `fill` for what does not count and behind the end of the row, up to a multiple
// of 8. Returns m: all there is, at most a tile.
[[gnu::noinline]] inline size_t make_tile(const double_row& r, size_t from, double fill, double factor, double* tile) {
  const size_t m = r.n - from < double_tile ? r.n - from : double_tile;
#pragma GCC unroll 1
  for (size_t j = 0; j < m; ++j) tile[j] = r.counts(from + j) ? r.x[from + j] * factor : fill;
#pragma GCC unroll 1
  for (size_t j = m; j % 8 != 0; ++j) tile[j] = fill;
  return m;
}

// p[from, from + m) as doubles, in `made` if it is anything else; null: as `made` is.
[[gnu::noinline]] inline const double* double_parameter(const void* p, simdnorm_type type, size_t from, size_t m,
                                                        double* made) {
  if (p == nullptr) return made;
  if (type == SIMDNORM_F64) return static_cast<const double*>(p) + from;
  const float* f = static_cast<const float*>(p) + from;
  for (size_t j = 0; j < m; ++j) made[j] = static_cast<double>(f[j]);
  return made;
}

enum class row_norm { layer, rms, l2 };

// A norm. Sums and scale of a row are right, or `false` says that they are not to be trusted; then the row is hostile.
// Which norm is asked row by row: a class for each is three times the code.
template <class L>
class double_norm {
 public:
  double_norm(const double_row_arguments& a, row_norm norm)
      : a_(a),
        norm_(norm),
        shifted_(norm == row_norm::layer),
        late_(a.gate != nullptr || a.function > elementwise_function::relu),
        bare_(a.gamma == nullptr && a.beta == nullptr && a.function == elementwise_function::none),
        floor_(a.function == elementwise_function::relu ? 0.0 : -__builtin_inf()) {}

  void rows(const block& b) {
    const bool bits = a_.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
    const bool masked = masks_elements(a_.padding);
    for (size_t i = b.row_first; i < b.row_last; ++i) {
      double_row r;
      const bool tokens = a_.walk != nullptr && a_.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS;
      find(i, r);
      r.n = r.real = masked ? a_.cols : real_columns(a_.padding, tokens ? i / a_.walk->rows_per_token : i, a_.cols);
      r.marks = element_marks(a_.padding, a_.cols, i, 0);
      r.bits = bits;
      r.gate = a_.gate != nullptr ? a_.gate + static_cast<ptrdiff_t>(i) * a_.gate_stride : nullptr;
      if (masked) {
        r.real = 0;
        for (size_t j = 0; j < r.n; ++j) r.real += r.counts(j);
      }
      if (a_.residual != nullptr) add_residual(i, r, masked);
      double_scale s{};
      if (r.real > 0) {
        if (moments(r, s)) {
          write(r, s, 1.0, !bare_);
        } else {
          hostile(r, s);
        }
      } else if (masked) {
        clear(r.y, a_.cols);
      }
      if (!masked) clear(r.y + r.n, a_.cols - r.n);
      if (a_.mean) a_.mean[i] = s.mean;
      if (a_.rstd) a_.rstd[i] = s.rstd;
    }
    if (a_.stream) L::fence();
  }

 private:
  // Where row i lies.
  void find(size_t i, double_row& r) const {
    r.x = a_.x;
    r.y = a_.y;
    if (a_.walk == nullptr) {
      r.x += static_cast<ptrdiff_t>(i) * a_.x_stride;
      r.y += static_cast<ptrdiff_t>(i) * a_.y_stride;
      return;
    }
    const row_walk& w = *a_.walk;
    for (size_t d = w.dimensions; d-- > 0; i /= w.sizes[d]) {
      const auto k = static_cast<ptrdiff_t>(i % w.sizes[d]);
      r.x += k * w.x_strides[d];
      r.y += k * w.y_strides[d];
    }
  }

  // h = (x + bias) + residual where r counts, into sum or, if that is not wanted, into y, whose norm is in place then.
  [[gnu::noinline]] void add_residual(size_t i, double_row& r, bool masked) {
    using f64 = typename L::f64;
    const double* const residual = a_.residual + static_cast<ptrdiff_t>(i) * a_.residual_stride;
    double* const to = a_.sum != nullptr ? a_.sum + static_cast<ptrdiff_t>(i) * a_.sum_stride : r.y;
    for (size_t j = 0; j < double_tile; ++j) tile_[j] = -0.0;  // no bias, which changes nothing
    for (size_t from = 0; from < r.n; from += double_tile) {
      const size_t m = r.n - from < double_tile ? r.n - from : double_tile;
      const double* const bias = double_parameter(a_.bias, a_.bias_type, from, m, tile_);
      const auto sum = [&](f64 x, f64 b, f64 more) SIMDNORM_LAMBDA { return L::canonical64((x + b) + more); };
      size_t j = 0;
      for (; !masked && j + L::width64 <= m; j += L::width64) {
        L::store64(to + from + j, sum(L::load64(r.x + from + j), L::load64(bias + j), L::load64(residual + from + j)));
      }
      for (; j < m; ++j) {
        const size_t at = from + j;
        if (r.counts(at)) to[at] = canonical_double((r.x[at] + bias[j]) + residual[at]);
      }
    }
    if (a_.sum != nullptr && a_.padding.fill == SIMDNORM_FILL_ZERO) {
      for (size_t j = 0; j < a_.cols; ++j) {
        if (j >= r.n || !r.counts(j)) to[j] = 0.0;
      }
    }
    r.x = to;
  }

  bool moments(const double_row& r, double_scale& s) {
    double shift = 0.0;
    if (shifted_) shift = shift_of(r);
    double_sums sums = sums_about(r, shift);
    if (finish(r, shift, sums, s)) return true;
    // The mean, and once more: this mends a shift that is too far off.
    if (!shifted_ || !(sums.squares.high > 0.0 && sums.squares.high < 0x1p1000)) return false;
    shift = s.mean;
    sums = sums_about(r, shift);
    return finish(r, shift, sums, s);
  }

  // The mean of the first 64 elements, or of those that count in the first 64 columns that have any.
  double shift_of(const double_row& r) {
    if (r.marks == nullptr) {
      const size_t m = r.n < double_shift_elements ? r.n : double_shift_elements;
      return plain_sum<L>(r.x, m) / static_cast<double>(m);
    }
    size_t from = 0, count = 0;
    double_row window = r;
    for (;; from += double_shift_elements) {
      window.n = from + double_shift_elements < r.n ? from + double_shift_elements : r.n;
      for (size_t j = from; j < window.n; ++j) count += r.counts(j);
      if (count > 0) break;
    }
    const size_t m = make_tile(window, from, 0.0, 1.0, tile_);
    return plain_sum<L>(tile_, m) / static_cast<double>(count);
  }

  double_sums sums_about(const double_row& r, double shift) {
    if (r.marks != nullptr) return masked_sums(r, shift);
    return shifted_ ? sums_of<L, true>(r.x, r.n, shift) : sums_of<L, false>(r.x, r.n, shift);
  }
  // A shift of 0 changes no square.
  [[gnu::noinline]] double_sums masked_sums(const double_row& r, double shift) {
    double_row_sums<L, true> s;
    for (size_t from = 0; from < r.n; from += double_tile) {
      const size_t m = make_tile(r, from, shift, 1.0, tile_);
      s.add(tile_, m, shift);
    }
    return s.result();
  }

  // The scale and the statistics of r, from sums about `shift`; whether they are to be trusted. NaN is not.
  bool finish(const double_row& r, double shift, const double_sums& sums, double_scale& s) const {
    return finish(r, shift, sums, a_.epsilon, s);
  }
  [[gnu::noinline]] bool finish(const double_row& r, double shift, const double_sums& sums, double epsilon,
                                double_scale& s) const {
    const double n = static_cast<double>(r.real);
    const double inverse = 1.0 / n;
    s.center = 0.0;
    s.offset = -0.0;
    s.mean = 0.0;
    if (norm_ == row_norm::l2) {
      const double root = __builtin_sqrt(sums.squares.high);
      const double left = (L::fma64(-root, root, sums.squares.high) + sums.squares.low) / (root + root);
      s.rstd = root + (sums.squares.high > 0.0 ? left : 0.0);  // the norm
      if (s.rstd < epsilon) {
        set_reciprocal<L>(epsilon, s);
      } else {
        set_reciprocal_root<L>(sums.squares, s);
      }
      return ordinary(sums.squares.high) & (epsilon < 0x1p1000);
    } else {
      doubles v = divided<L>(sums.squares, n, inverse);
      doubles delta{}, mean{};
      bool near = true;
      if (shifted_) {
        delta = divided<L>(sums.sum, n, inverse);
        mean = two_sum(shift, delta.high);
        mean = normal(mean.high, mean.low + delta.low);
        const double p = delta.high * delta.high;
        const double p_lost = L::fma64(delta.high, delta.high, -p) + 2.0 * (delta.high * delta.low);
        const doubles difference = two_sum(v.high, -p);
        v = normal(difference.high, difference.low + (v.low - p_lost));
        near = 8.0 * p <= v.high;
      }
      const doubles with_epsilon = two_sum(v.high, epsilon);
      v = normal(with_epsilon.high, with_epsilon.low + v.low);
      set_reciprocal_root<L>(v, s);
      s.rstd = s.high + s.low;
      if (shifted_) {
        s.mean = mean.high;
        set_center<L>(mean, v, s);
      }
      return near & ordinary(sums.squares.high) & ordinary(v.high);
    }
  }

  // y of the elements of r that count, x taken times `factor`; zeros for the others if they are wanted.
  void write(const double_row& r, const double_scale& s, double factor, bool affine) {
    const bool as_it_is = r.marks == nullptr && factor == 1.0 && !late_;
    const bool parameters_too = a_.gamma != nullptr && a_.gamma_type == SIMDNORM_F64 &&
                                (a_.unit_offset || (a_.beta != nullptr && a_.beta_type == SIMDNORM_F64));
    if (as_it_is && (!affine || parameters_too)) {
      const double_finish f{static_cast<const double*>(a_.gamma), static_cast<const double*>(a_.beta), floor_};
      if constexpr (L::streams) {
        if (a_.stream) {
          affine ? write_doubles<L, true, true>(r.x, r.y, r.n, s, f)
                 : write_doubles<L, false, true>(r.x, r.y, r.n, s, f);
          return;
        }
      }
      affine ? write_doubles<L, true>(r.x, r.y, r.n, s, f) : write_doubles<L, false>(r.x, r.y, r.n, s, f);
      return;
    }
    write_tiles(r, s, factor, affine);
  }
  [[gnu::noinline]] void write_tiles(const double_row& r, const double_scale& s, double factor, bool affine) {
    if (affine && !filled_) {  // with ones and zeros that leave a negative zero as it is
      for (size_t j = 0; j < double_tile; ++j) {
        gamma_[j] = 1.0;
        beta_[j] = -0.0;
      }
      filled_ = true;
    }
    for (size_t from = 0; from < r.n; from += double_tile) {
      const double* x = r.x + from;
      size_t m = r.n - from < double_tile ? r.n - from : double_tile;
      if (r.marks != nullptr || factor != 1.0) {
        make_tile(r, from, 0.0, factor, tile_);
        x = tile_;
      }
      double* const y = r.marks != nullptr || late_ ? tile_ : r.y + from;
      if (affine) {
        const double* const gamma = double_parameter(a_.gamma, a_.gamma_type, from, m, gamma_);
        const bool added = a_.unit_offset && a_.gamma != nullptr;
        write_doubles<L, true>(
            x, y, m, s, {gamma, added ? nullptr : double_parameter(a_.beta, a_.beta_type, from, m, beta_), floor_});
      } else {
        write_doubles<L, false>(x, y, m, s, {});
      }
      if (late_) activate_doubles<L>(a_.function, tile_, gate_of(r, from), m);
      if (y == tile_) put_tile(r, from, m);
    }
  }
  const double* gate_of(const double_row& r, size_t j) const { return r.gate != nullptr ? r.gate + j : nullptr; }
  void put_tile(const double_row& r, size_t from, size_t m) {
    const bool zeros = a_.padding.fill == SIMDNORM_FILL_ZERO;
#pragma GCC unroll 1
    for (size_t j = from; j < from + m; ++j) {
      if (r.counts(j)) {
        r.y[j] = tile_[j - from];
      } else if (zeros) {
        r.y[j] = 0.0;
      }
    }
  }
  // Padding of n columns, or a row of nothing.
  void clear(double* y, size_t n) {
    if (n == 0 || a_.padding.fill != SIMDNORM_FILL_ZERO) return;
    for (size_t j = 0; j < n; ++j) y[j] = 0.0;
  }
  // Exactly beta, or +0.
  void write_beta(const double_row& r) {
    const bool zeros = a_.padding.fill == SIMDNORM_FILL_ZERO;
    for (size_t j = 0; j < r.n; ++j) {
      if (r.counts(j)) {
        const double beta = a_.beta == nullptr             ? 0.0
                            : a_.beta_type == SIMDNORM_F64 ? static_cast<const double*>(a_.beta)[j]
                                                           : static_cast<double>(static_cast<const float*>(a_.beta)[j]);
        put_one(r, j, canonical_double(beta < floor_ ? 0.0 : beta));
      } else if (zeros) {
        r.y[j] = 0.0;
      }
    }
  }

  // Constant rows; NaN and infinity; what overflows or underflows, which is scaled by a power of two, so that the
  // largest element (or the root of epsilon, if that is more) is near 1, and summed with all errors kept.
  [[gnu::noinline]] void hostile(const double_row& r, double_scale& s) {
    double most = 0.0, first = 0.0;
    bool any = false, equal = true, nan = false;
    for (size_t j = 0; j < r.n; ++j) {
      if (!r.counts(j)) continue;
      const double v = r.x[j];
      if (!any) first = v;
      any = true;
      equal &= v == first;
      nan |= v != v;
      const double size = __builtin_fabs(v);
      most = size > most ? size : most;
    }
    const bool infinite = most > 0x1.fffffffffffffp1023;
    s = {};
    if (nan || (infinite && shifted_)) {
      s.mean = s.rstd = s.high = s.low = __builtin_nan("");
      write_any(r, s, 1.0);
      return;
    }
    if (infinite) {  // itself NaN, finite elements 0
      s.offset = -0.0;
      s.rstd = norm_ == row_norm::l2 ? most : 0.0;
      write_any(r, s, 1.0);
      return;
    }
    if (shifted_ ? equal : most == 0.0) {
      s.mean = shifted_ ? first : 0.0;
      s.rstd = norm_ == row_norm::l2 ? 0.0 : 1.0 / __builtin_sqrt(a_.epsilon);
      if (norm_ == row_norm::layer) {
        write_beta(r);
      } else {
        write_zeros(r);
      }
      return;
    }

    const double floor = norm_ == row_norm::l2 ? 0.0 : __builtin_sqrt(a_.epsilon);
    double factor = reciprocal_power(most > floor ? most : floor);
    double shift = 0.0;
    double_sums sums = exact_sums(r, 0.0, factor);
    if (shifted_) {
      shift = sums.sum.high / static_cast<double>(r.real);
      sums = exact_sums(r, shift, factor);
    }
    const double epsilon = norm_ == row_norm::l2 ? a_.epsilon * factor : a_.epsilon * factor * factor;
    finish(r, shift, sums, epsilon, s);
    s.mean = s.mean / factor;
    s.rstd = norm_ == row_norm::l2 ? s.rstd / factor : s.rstd * factor;
    if (norm_ == row_norm::l2 && s.rstd < a_.epsilon && a_.epsilon > 0x1p-1000) {  // which the factor may make infinite
      set_reciprocal<L>(a_.epsilon, s);
      factor = 1.0;
    }
    write_any(r, s, factor);
  }
  // Outputs that may be NaN: with what stands for parameters that are missing.
  void write_any(const double_row& r, const double_scale& s, double factor) {
    write(r, s, factor, true);
  }
  void write_zeros(const double_row& r) {
    const bool zeros = a_.padding.fill == SIMDNORM_FILL_ZERO;
    for (size_t j = 0; j < r.n; ++j) {
      if (r.counts(j)) {
        put_one(r, j, 0.0);
      } else if (zeros) {
        r.y[j] = 0.0;
      }
    }
  }
  void put_one(const double_row& r, size_t j, double v) {
    if (late_) activate_doubles<L>(a_.function, &v, gate_of(r, j), 1);
    r.y[j] = v;
  }
  double_sums exact_sums(const double_row& r, double shift, double factor) {
    exact_row_sums<L> s;
    for (size_t from = 0; from < r.n; from += double_tile) {
      const size_t m = make_tile(r, from, shift, factor, tile_);
      s.add(tile_, (m + 7) / 8 * 8, shift);
    }
    return s.result();
  }
  const double_row_arguments& a_;
  const row_norm norm_;
  const bool shifted_;
  const bool late_;  // outputs are made in a tile: y may be the gate
  const bool bare_;
  const double floor_;
  bool filled_ = false;
  double tile_[double_tile], gamma_[double_tile], beta_[double_tile];
};

template <class L, class T>
SIMDNORM_INLINE void layer_norm(const double_row_arguments& a, const block& b) {
  double_norm<L>(a, row_norm::layer).rows(b);
}
template <class L, class T>
SIMDNORM_INLINE void rms_norm(const double_row_arguments& a, const block& b) {
  double_norm<L>(a, row_norm::rms).rows(b);
}
template <class L, class T>
SIMDNORM_INLINE void l2_norm(const double_row_arguments& a, const block& b) {
  double_norm<L>(a, row_norm::l2).rows(b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

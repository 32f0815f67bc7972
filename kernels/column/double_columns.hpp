// SPDX-License-Identifier: Apache-2.0
//
// Columns of doubles, and sets of them: extremes and moments, parameters, outputs. Two passes, in pairs of doubles
// about the middle of a column's range, each column scaled by a power of two; then one for outputs. docs/numerics.md,
// "f64". What is contiguous, a plane of a channel or a group of channels, is columns too, whose sums are added at the
// end.
#pragma once

#include "element.hpp"
#include "inline.hpp"
#include "padding.hpp"
#include "pairs.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// work(row) for every real row of the block.
template <class Work>
SIMDNORM_INLINE void for_real_rows(const simdnorm_padding& padding, const block& b, Work work) {
  for (size_t row = b.row_first; row < b.row_last;) {
    const row_run run = next_real_run(padding, row, b.row_last);
    for (size_t i = run.first; i < run.last; ++i) work(i);
    row = run.last;
  }
}

// Two registers of columns, the last of them perhaps partial.
template <class L>
struct column_pair {
  using f64 = typename L::f64;
  static constexpr size_t width = 2 * L::width64;
  size_t n;  // columns that are there

  SIMDNORM_INLINE f64 load(const double* p, size_t v) const {
    const size_t at = v * L::width64;
    if (at + L::width64 <= n) return L::load64(p + at);
    return at < n ? L::load64_n(p + at, n - at) : L::broadcast64(0.0);
  }
  SIMDNORM_INLINE void store(double* p, size_t v, f64 value) const {
    const size_t at = v * L::width64;
    if (at + L::width64 <= n) {
      L::store64(p + at, value);
    } else if (at < n) {
      L::store64_n(p + at, value, n - at);
    }
  }
};

// Rows are gone through in tiles, so that those of a strip are in L1 for all of its registers.
constexpr size_t double_tile_rows = 32;

// Rows [first, last) of at most a strip's columns, and which of their elements count.
struct double_piece {
  const double* x;  // column 0 of row 0
  ptrdiff_t stride;
  size_t first, last, cols;
  const simdnorm_padding& padding;  // of rows
  const double_gaps& gaps;
  size_t mark;  // of column 0 of row 0
  size_t mark_step;

  bool has_gaps() const {
    return gaps.mask.kind >= channel_mask::bytes || gaps.nan_is_missing || gaps.weights != nullptr;
  }
};
inline bool is_marked(const channel_mask& m, size_t entry) {
  if (m.kind == channel_mask::bits) return bit_at(m.data, entry);
  return m.kind != channel_mask::bytes || static_cast<const uint8_t*>(m.data)[entry] != 0;
}
inline double weight_of(const double_gaps& g, size_t row) {
  if (g.weights == nullptr) return 1.0;
  const double w = g.weights_type == SIMDNORM_F64 ? static_cast<const double*>(g.weights)[row]
                                                  : static_cast<double>(static_cast<const float*>(g.weights)[row]);
  return w * g.weight_unit;
}
inline size_t length_of(const channel_mask& m, size_t row) {
  const size_t i = m.first + row * m.plane_step;
  return static_cast<size_t>(m.index_type == SIMDNORM_I64 ? static_cast<const int64_t*>(m.data)[i]
                                                          : static_cast<const int32_t*>(m.data)[i]);
}

// sum(d) and sum(d^2) of d = x * factor - shift, as pairs, so far.
struct double_column_sums {
  double factor[double_columns_per_strip], shift[double_columns_per_strip];
  double sum[double_columns_per_strip], sum_low[double_columns_per_strip];
  double squares[double_columns_per_strip], squares_low[double_columns_per_strip];
};

// Adds rows to least and greatest; NaN in `sum_of_zeros` where a column has NaN or infinity.
template <class L>
[[gnu::noinline]] void double_extremes(const double_piece& p, size_t j, double_columns& c, double* sum_of_zeros) {
  using f64 = typename L::f64;
  const column_pair<L> columns{p.cols - j};
  f64 least[2], greatest[2], zeros[2];
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    least[v] = columns.load(c.least + j, v);
    greatest[v] = columns.load(c.greatest + j, v);
    zeros[v] = columns.load(sum_of_zeros + j, v);
  });
  for_real_rows(p.padding, block{p.first, p.last, 0, 0}, [&](size_t i) SIMDNORM_LAMBDA {
    const double* const x = p.x + static_cast<ptrdiff_t>(i) * p.stride + j;
    each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
      const f64 e = columns.load(x, v);
      least[v] = L::min64(e, least[v]);
      greatest[v] = L::max64(e, greatest[v]);
      zeros[v] = zeros[v] + e * L::broadcast64(0.0);
    });
  });
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    columns.store(c.least + j, v, least[v]);
    columns.store(c.greatest + j, v, greatest[v]);
    columns.store(sum_of_zeros + j, v, zeros[v]);
  });
}

// weights: of the piece's rows; null: ones.
template <class L>
[[gnu::noinline]] void sum_double_columns(const double_piece& p, size_t j, const double* weights, const double* scale,
                                          double_column_sums& s) {
  using f64 = typename L::f64;
  const column_pair<L> columns{p.cols - j};
  f64 factor[2], minus_shift[2];
  pair<f64> sum[2], squares[2];
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    factor[v] = scale != nullptr ? columns.load(scale + j, v) : L::broadcast64(1.0);
    minus_shift[v] = L::broadcast64(0.0) - columns.load(s.shift + j, v);
    sum[v] = {columns.load(s.sum + j, v), columns.load(s.sum_low + j, v)};
    squares[v] = {columns.load(s.squares + j, v), columns.load(s.squares_low + j, v)};
  });
  for_real_rows(p.padding, block{p.first, p.last, 0, 0}, [&](size_t i) SIMDNORM_LAMBDA {
    const double* const x = p.x + static_cast<ptrdiff_t>(i) * p.stride + j;
    each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
      const f64 zero = L::broadcast64(0.0);
      const pair<f64> d = two_sum(f64(columns.load(x, v) * factor[v]), minus_shift[v]);
      pair<f64> t = d;  // weight * d; lost: what its product loses
      f64 lost = zero;
      if (weights != nullptr) {
        const f64 w = L::broadcast64(weights[i]);
        t.high = w * d.high;
        lost = L::fma64(w, d.high, zero - t.high);
        t.low = L::fma64(w, d.low, lost);
      }
      const f64 square = t.high * d.high;
      lost = L::fma64(lost, d.high, L::fma64(t.high, d.high, zero - square));
      const pair<f64> a = two_sum(sum[v].high, t.high);
      sum[v] = {a.high, sum[v].low + (a.low + t.low)};
      const pair<f64> b = two_sum(squares[v].high, square);
      squares[v] = {b.high, squares[v].low + (b.low + L::fma64(t.high + t.high, d.low, lost))};
    });
  });
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    columns.store(s.sum + j, v, sum[v].high);
    columns.store(s.sum_low + j, v, sum[v].low);
    columns.store(s.squares + j, v, squares[v].high);
    columns.store(s.squares_low + j, v, squares[v].low);
  });
}

// Moments of a block: extremes, then sums about the middle of the range, of its columns or of sets of them.
template <class L>
class double_moments {
 public:
  double_moments(const double_column_arguments& a, const block& b) : a_(a), b_(b), c_(*a.columns) {
    const size_t cols = b.col_last - b.col_first;
    one_set_ = a.set_cols >= cols;
    lanes_ = cols < double_columns_per_strip ? cols : size_t{double_columns_per_strip};
    set_ = a.set_cols < lanes_ ? a.set_cols : lanes_;
  }

  void run() {
    for (size_t j = 0; j < lanes_; ++j) {
      c_.count[j] = 0;
      c_.weight[j] = c_.weight_low[j] = zeros_[j] = 0.0;
      c_.least[j] = __builtin_inf();
      c_.greatest[j] = -__builtin_inf();
    }
    all_pieces(step::extremes);
    bool finite = true;
    for (size_t j = 0; j < lanes_; ++j) finite &= zeros_[j] == zeros_[j];
    if (!finite) all_pieces(step::look_for_nan);
    for (size_t j = 0; j < lanes_; j += set_) settle(j);
    if (!a_.extremes_alone) {
      if (sum()) sum();
    }
    for (size_t j = 0; j < lanes_; j += set_) spread(j);
  }

 private:
  enum class step { extremes, look_for_nan, sums };

  // All of the block as pieces of at most a strip's columns.
  void all_pieces(step s) {
    const size_t cols = b_.col_last - b_.col_first;
    const channel_mask& m = a_.gaps.mask;
    const double* const x = a_.x + b_.col_first;
    const size_t mark = m.first + b_.col_first;
    if (!a_.by_rows || (cols <= double_columns_per_strip && m.kind != channel_mask::lengths)) {
      for (size_t j = 0; j < cols; j += double_columns_per_strip) {
        piece({x + j, a_.x_stride, b_.row_first, b_.row_last, columns_from(j, cols), a_.padding, a_.gaps, mark + j,
               m.plane_step},
              s);
      }
      return;
    }
    for_real_rows(a_.padding, b_, [&](size_t i) {
      const double* const row = x + static_cast<ptrdiff_t>(i) * a_.x_stride;
      const size_t n = m.kind == channel_mask::lengths ? length_of(m, i) : cols;
      const size_t whole = n / double_columns_per_strip, rest = n % double_columns_per_strip;
      const size_t first = mark + i * m.plane_step;
      constexpr ptrdiff_t stride = double_columns_per_strip;
      const auto part = [&](size_t from, size_t to, size_t width) {
        if (from < to && width > 0) {
          piece({row, stride, from, to, width, no_padding_, a_.gaps, first, double_columns_per_strip}, s);
        }
      };
      part(0, whole, double_columns_per_strip);
      part(whole, whole + 1, rest);
    });
  }
  static size_t columns_from(size_t j, size_t cols) {
    return cols - j < double_columns_per_strip ? cols - j : size_t{double_columns_per_strip};
  }

  void piece(const double_piece& p, step s) {
    if (p.has_gaps() || s == step::look_for_nan) return gather(p, s);
    if (s == step::extremes) {
      uint64_t n = 0;
      for_real_rows(p.padding, block{p.first, p.last, 0, 0}, [&](size_t) { ++n; });
      for (size_t j = 0; j < p.cols; ++j) c_.count[j] += n;
    }
    double_piece tile = p;
    for (size_t row = p.first; row < p.last; row += double_tile_rows) {
      tile.first = row;
      tile.last = row + double_tile_rows < p.last ? row + double_tile_rows : p.last;
      rows(tile, s, nullptr, s_.factor, zeros_);
    }
  }
  void rows(const double_piece& tile, step s, const double* weights, const double* scale, double* zeros) {
    for (size_t j = 0; j < tile.cols; j += column_pair<L>::width) {
      if (s == step::sums) {
        sum_double_columns<L>(tile, j, weights, scale, s_);
      } else {
        double_extremes<L>(tile, j, c_, zeros);
      }
    }
  }

  // A piece with gaps, in tiles: a gap is NaN, which no extreme takes, or the shift, whose distance is 0.
  [[gnu::noinline]] void gather(const double_piece& p, step s) {
    double tile[double_tile_rows * double_columns_per_strip], weights[double_tile_rows];
    double zeros[double_columns_per_strip];
    for (double& z : zeros) z = 0.0;
    double_piece t{tile, double_columns_per_strip, 0, 0, p.cols, no_padding_, p.gaps, 0, 0};
    const auto flush = [&] {
      if (s != step::look_for_nan) rows(t, s, p.gaps.weights != nullptr ? weights : nullptr, nullptr, zeros);
      t.last = 0;
    };
    for_real_rows(p.padding, block{p.first, p.last, 0, 0}, [&](size_t i) {
      const double w = weight_of(p.gaps, i);
      if (w == 0.0) return;
      const double* const x = p.x + static_cast<ptrdiff_t>(i) * p.stride;
      double* const to = tile + t.last * double_columns_per_strip;
      const size_t mark = p.mark + i * p.mark_step;
#pragma GCC unroll 1
      for (size_t j = 0; j < p.cols; ++j) {
        bool counts = is_marked(p.gaps.mask, mark + j);
        const double v = counts ? x[j] : 0.0;
        counts &= !(p.gaps.nan_is_missing & (v != v));
        if (s == step::sums) {
          to[j] = counts ? v * s_.factor[j] : s_.shift[j];
          continue;
        }
        to[j] = counts ? v : __builtin_nan("");
        if (!counts) continue;
        if (s == step::look_for_nan) {
          if (v != v) c_.least[j] = c_.greatest[j] = v;
          continue;
        }
        ++c_.count[j];
        zeros_[j] = zeros_[j] + v * 0.0;
        const doubles sum = two_sum(c_.weight[j], w);
        c_.weight[j] = sum.high;
        c_.weight_low[j] += sum.low;
      }
      weights[t.last] = w;
      if (++t.last == double_tile_rows) flush();
    });
    if (t.last > 0) flush();
  }

  // Adds lanes of a set in a tree: the upper half of them to the lower.
  template <class Add>
  SIMDNORM_INLINE void fold(size_t first, Add add) {
    for (size_t n = set_; n > 1;) {
      const size_t half = (n + 1) / 2;
      for (size_t i = first; i < first + n - half; ++i) add(i, i + half);
      n = half;
    }
  }
  static void add_pairs(double* high, double* low, size_t to, size_t from) {
    const doubles s = sum_of_pairs<double>({high[to], low[to]}, {high[from], low[from]});
    high[to] = s.high;
    low[to] = s.low;
  }

  // What the set that begins with lane `first` has: extremes, factor, shift.
  [[gnu::noinline]] void settle(size_t first) {
    fold(first, [&](size_t to, size_t from) {
      const bool nan = (c_.least[to] != c_.least[to]) | (c_.least[from] != c_.least[from]);
      c_.count[to] += c_.count[from];
      add_pairs(c_.weight, c_.weight_low, to, from);
      zeros_[to] = zeros_[to] + zeros_[from];
      c_.least[to] = nan ? __builtin_nan("") : c_.least[from] < c_.least[to] ? c_.least[from] : c_.least[to];
      c_.greatest[to] = nan                                   ? __builtin_nan("")
                        : c_.greatest[from] > c_.greatest[to] ? c_.greatest[from]
                                                              : c_.greatest[to];
    });
    const bool finite = zeros_[first] == zeros_[first];
    double& least = c_.least[first];
    double& greatest = c_.greatest[first];
    if (least == 0.0) least = 0.0;  // +0
    if (greatest == 0.0) greatest = 0.0;
    const bool weighted = a_.gaps.weights != nullptr;
    const doubles n = normal(weighted ? c_.weight[first] : static_cast<double>(c_.count[first]),
                             weighted ? c_.weight_low[first] : 0.0);
    c_.weight[first] = n.high;
    c_.weight_low[first] = n.low;
    c_.finite[first] = finite;
    c_.constant[first] = finite && least == greatest;
    const double range = greatest - least;
    const double factor = finite && range > 0.0 ? reciprocal_power(range) : 1.0;
    double shift = finite && c_.count[first] > 0 ? 0.5 * (least * factor) + 0.5 * (greatest * factor) : 0.0;
    if (least == greatest) shift = least;
    c_.factor[first] = factor;
    for (size_t j = first; j < first + set_; ++j) {
      s_.factor[j] = factor;
      s_.shift[j] = shift;
    }
  }

  // All sums, and what comes of them; whether they are to be taken again, about the mean: where weights leave the
  // middle of the range many deviations away.
  bool sum() {
    for (size_t j = 0; j < lanes_; ++j) s_.sum[j] = s_.sum_low[j] = s_.squares[j] = s_.squares_low[j] = 0.0;
    all_pieces(step::sums);
    bool again = false;
    for (size_t j = 0; j < lanes_; j += set_) again |= finish(j);
    return again;
  }
  [[gnu::noinline]] bool finish(size_t first) {
    fold(first, [&](size_t to, size_t from) {
      add_pairs(s_.sum, s_.sum_low, to, from);
      add_pairs(s_.squares, s_.squares_low, to, from);
    });
    c_.mean_low[first] = c_.variance_low[first] = 0.0;
    if (!c_.finite[first]) {
      c_.mean[first] = c_.mean_low[first] = c_.variance[first] = c_.variance_low[first] = __builtin_nan("");
      return false;
    }
    if (c_.constant[first] || c_.count[first] == 0) {
      c_.mean[first] = c_.count[first] > 0 ? c_.least[first] : 0.0;
      c_.variance[first] = 0.0;
      return false;
    }
    const double n = c_.weight[first];
    const double inverse = 1.0 / n;
    const auto over_n = [&](const double* high, const double* low) {
      doubles q = divided<L>(normal(high[first], low[first]), n, inverse);
      q.low -= q.high * (c_.weight_low[first] * inverse);
      return q;
    };
    const doubles delta = over_n(s_.sum, s_.sum_low);
    const doubles square = over_n(s_.squares, s_.squares_low);
    doubles mean = two_sum(s_.shift[first], delta.high);
    mean = normal(mean.high, mean.low + delta.low);
    const double p = delta.high * delta.high;
    const double p_lost = L::fma64(delta.high, delta.high, -p) + 2.0 * (delta.high * delta.low);
    doubles v = two_sum(square.high, -p);
    v = normal(v.high, v.low + (square.low - p_lost));
    c_.mean[first] = mean.high;
    c_.mean_low[first] = mean.low;
    c_.variance[first] = v.high;
    c_.variance_low[first] = v.low;
    if (a_.gaps.weights == nullptr || 0x1p-30 * p <= v.high) return false;
    for (size_t j = first; j < first + set_; ++j) s_.shift[j] = mean.high;
    return true;
  }

  // To all lanes of the set; of one that is the whole block, to as many as it has rows, which may be channels, or,
  // channels last, to all there are.
  void spread(size_t first) {
    const size_t rows = a_.by_rows ? b_.row_last - b_.row_first : size_t{double_columns_per_strip};
    const size_t whole = rows < double_columns_per_strip ? rows : size_t{double_columns_per_strip};
    const size_t last = one_set_ ? whole : first + set_;
    double* const numbers[] = {c_.weight,   c_.weight_low, c_.least,        c_.greatest, c_.mean,
                               c_.mean_low, c_.variance,   c_.variance_low, c_.factor};
    for (size_t j = first + 1; j < last; ++j) {
      c_.count[j] = c_.count[first];
      c_.finite[j] = c_.finite[first];
      c_.constant[j] = c_.constant[first];
      for (double* const v : numbers) v[j] = v[first];
    }
  }

  const double_column_arguments& a_;
  const block& b_;
  double_columns& c_;
  bool one_set_;
  size_t lanes_, set_;  // columns at a time, and those of a set
  double zeros_[double_columns_per_strip];
  double_column_sums s_;
  const simdnorm_padding no_padding_{};
};

// The statistics of a strip, or of a set, into a.columns.
template <class L, class T>
inline void column_moments(const double_column_arguments& a, const block& b) {
  double_moments<L>(a, b).run();
}

// high + low = numerator / denominator, high nearer to 0.
template <class L>
SIMDNORM_INLINE void set_quotient(doubles numerator, doubles denominator, double_scale& s) {
  const double q = numerator.high / denominator.high;
  const double left = (L::fma64(-q, denominator.high, numerator.high) + numerator.low) - q * denominator.low;
  s.high = q * (1.0 - 0x1p-52);
  s.low = (q - s.high) + left / denominator.high;
}

// The parameters of a strip into a.columns, and what training tells.
template <class L, class T>
inline void column_normalizer(const double_normalizer_arguments& a, const block& b) {
  double_columns& c = *a.columns;
  const size_t cols = b.col_last - b.col_first;
  const auto parameter = [&](const void* p, simdnorm_type type, size_t j, double missing) {
    if (p == nullptr) return missing;
    return type == SIMDNORM_F64 ? static_cast<const double*>(p)[b.col_first + j]
                                : static_cast<double>(static_cast<const float*>(p)[b.col_first + j]);
  };
  for (size_t j = 0; j < cols; ++j) {
    double_scale s{};
    double factor = 1.0;
    c.gamma[j] = parameter(a.gamma, a.gamma_type, j, 1.0);
    c.beta[j] = parameter(a.beta, a.beta_type, j, a.gamma == nullptr ? -0.0 : 0.0);
    const double one = a.one ? a.one[b.col_first + j] : 0.0;
    const double two = a.two ? a.two[b.col_first + j] : 0.0;
    switch (a.what) {
      case double_parameters::batch: {
        if (c.count[j] == 0) break;
        const double unscaled_mean = c.mean[j] / c.factor[j];
        const double unscaled_variance = c.variance[j] / c.factor[j] / c.factor[j];
        s.mean = unscaled_mean;
        if (c.constant[j]) {
          s.center = unscaled_mean;
          s.rstd = 1.0 / __builtin_sqrt(a.epsilon);
        } else {
          const double root = __builtin_sqrt(a.epsilon);
          factor = c.factor[j];
          double more = 1.0;  // where epsilon is much larger than the variance
          if (root * factor > 0x1p400) {
            const double other = reciprocal_power(root);
            more = other / factor;
            factor = other;
          }
          doubles v = two_sum(c.variance[j] * more * more, a.epsilon * factor * factor);
          v = normal(v.high, v.low + c.variance_low[j] * more * more);
          set_reciprocal_root<L>(v, s);
          set_center<L>({c.mean[j] * more, c.mean_low[j] * more}, v, s);
          s.rstd = (s.high + s.low) * factor;
        }
        const double keep = 1.0 - a.momentum;
        const double n = static_cast<double>(c.count[j]);
        if (a.running_mean) {
          double& r = a.running_mean[b.col_first + j];
          r = canonical_double(keep * r + a.momentum * unscaled_mean);
        }
        if (a.running_variance && c.count[j] > (a.biased ? 0u : 1u)) {
          double& r = a.running_variance[b.col_first + j];
          r = canonical_double(keep * r + a.momentum * (unscaled_variance * (a.biased ? 1.0 : n / (n - 1.0))));
        }
        break;
      }
      case double_parameters::given: {
        doubles v = two_sum(two, a.epsilon);
        if (v.high < 0x1p-900 || v.high > 0x1p1000) {
          factor = reciprocal_power(__builtin_sqrt(v.high));
        } else if (__builtin_fabs(one) > 0x1p900) {  // x - mean may overflow
          factor = 0x1p-200;
        }
        if (v.high == 0.0) {
          s.center = one;
          factor = 1.0;
          break;
        }
        v = {v.high * factor * factor, v.low * factor * factor};
        set_reciprocal_root<L>(v, s);
        set_center<L>({one * factor, 0.0}, v, s);
        break;
      }
      case double_parameters::forward: {  // (x - shift) * numerator / denominator + offset
        const double most = __builtin_fabs(one) > __builtin_fabs(two) ? __builtin_fabs(one) : __builtin_fabs(two);
        if (most > 0x1p900) factor = 0x1p-200;
        doubles numerator{1.0, 0.0}, denominator{two * factor, 0.0};
        s.center = one;
        s.offset = a.offset;
        if (a.range) {
          numerator = two_sum(a.high, -a.offset);
          denominator = two_sum(two * factor, -(one * factor));
          if (denominator.high == 0.0) denominator = {factor, 0.0};
        }
        const double size = __builtin_fabs(denominator.high);
        if (size < 0x1p-900 || size > 0x1p900) {
          const double more = reciprocal_power(size);
          factor *= more;
          denominator = {denominator.high * more, denominator.low * more};
        }
        set_quotient<L>(numerator, denominator, s);
        s.center *= factor;
        break;
      }
      case double_parameters::backward: {  // (x - offset) * numerator / denominator + shift
        doubles numerator{two, 0.0}, denominator{1.0, 0.0};
        s.center = a.range ? a.offset : 0.0;
        s.offset = one;
        if (a.range) {
          denominator = two_sum(a.high, -a.offset);
          if (__builtin_fabs(one) > 0x1p900 || __builtin_fabs(two) > 0x1p900) factor = 2.0;  // max - min may overflow
          numerator = two_sum(two / factor, -(one / factor));
          if (numerator.high == 0.0) numerator = {1.0 / factor, 0.0};
        }
        if (__builtin_fabs(numerator.high) < 0x1p-900) {  // a quotient among the subnormals has few bits
          factor = 0x1p-600;
          numerator = {numerator.high * 0x1p600, numerator.low * 0x1p600};
        }
        s.center *= factor;
        set_quotient<L>(numerator, denominator, s);
        break;
      }
    }
    if (a.mean) a.mean[b.col_first + j] = canonical_double(s.mean);
    if (a.rstd) a.rstd[b.col_first + j] = canonical_double(s.rstd);
    c.factor[j] = factor;
    c.center[j] = s.center;
    c.high[j] = s.high;
    c.low[j] = s.low;
    c.offset[j] = s.offset;
  }
}

// Of n elements from x (and residual) to y: the parameters of c, which repeat after a strip's. NaN is canonical.
template <class L>
[[gnu::noinline]] void write_double_columns(const double_column_arguments& a, const double_columns& c, const double* x,
                                            const double* residual, double* y, size_t n) {
  using f64 = typename L::f64;
  const f64 floor = L::broadcast64(a.relu ? 0.0 : -__builtin_inf());
  const auto output = [&](size_t i, auto load) SIMDNORM_LAMBDA {
    const size_t j = i % double_columns_per_strip;
    const f64 d = load(x + i) * load(c.factor + j) - load(c.center + j);
    f64 v = L::fma64(d, load(c.high + j), L::fma64(d, load(c.low + j), load(c.offset + j)));
    if (a.clip) {
      v = L::min64(load(c.gamma + j), L::max64(load(c.beta + j), v));
    } else {
      v = L::fma64(v, load(c.gamma + j), load(c.beta + j));
    }
    if (residual != nullptr) v = v + load(residual + i);
    return L::canonical64(L::max64(floor, v));
  };
  size_t i = 0;
  for (; i + L::width64 <= n; i += L::width64) {
    L::store64(y + i, output(i, [](const double* p) SIMDNORM_LAMBDA { return L::load64(p); }));
  }
  if (i < n) {
    const size_t rest = n - i;
    L::store64_n(y + i, output(i, [rest](const double* p) SIMDNORM_LAMBDA { return L::load64_n(p, rest); }), rest);
  }
}

// The same of elements that are marked, the first of them by `mark`; zeros for the others if they are wanted.
template <class L>
[[gnu::noinline]] void write_marked_doubles(const double_column_arguments& a, const double_columns& c, const double* x,
                                            const double* residual, double* y, size_t n, size_t mark) {
  double tile[double_columns_per_strip], more[double_columns_per_strip];
  for (size_t from = 0; from < n; from += double_columns_per_strip) {
    const size_t m = n - from < double_columns_per_strip ? n - from : size_t{double_columns_per_strip};
#pragma GCC unroll 1
    for (size_t j = 0; j < m; ++j) {
      const bool counts = is_marked(a.gaps.mask, mark + from + j);
      tile[j] = counts ? x[from + j] : 0.0;
      more[j] = counts && residual != nullptr ? residual[from + j] : 0.0;
    }
    write_double_columns<L>(a, c, tile, residual != nullptr ? more : nullptr, tile, m);
#pragma GCC unroll 1
    for (size_t j = 0; j < m; ++j) {
      if (is_marked(a.gaps.mask, mark + from + j)) {
        y[from + j] = tile[j];
      } else if (a.padding.fill == SIMDNORM_FILL_ZERO) {
        y[from + j] = 0.0;
      }
    }
  }
}

template <class L, class T>
inline void column_affine(const double_column_arguments& a, const block& b) {
  const size_t cols = b.col_last - b.col_first;
  double_columns same;
  if (a.planes) {
    for (size_t j = 0; j < (cols < double_columns_per_strip ? cols : size_t{double_columns_per_strip}); ++j) {
      same.factor[j] = a.columns->factor[a.entry];
      same.center[j] = a.columns->center[a.entry];
      same.high[j] = a.columns->high[a.entry];
      same.low[j] = a.columns->low[a.entry];
      same.offset[j] = a.columns->offset[a.entry];
      same.gamma[j] = a.columns->gamma[a.entry];
      same.beta[j] = a.columns->beta[a.entry];
    }
  }
  const double_columns& c = a.planes ? same : *a.columns;
  const channel_mask& m = a.gaps.mask;
  const auto zeros = [&](double* y, size_t n) {
    if (n > 0 && a.padding.fill == SIMDNORM_FILL_ZERO) __builtin_memset(y, 0, n * sizeof(double));
  };
  const auto row_of = [&](double* y, size_t i) { return y + static_cast<ptrdiff_t>(i) * a.y_stride + b.col_first; };
  for (size_t row = b.row_first; row < b.row_last;) {
    const row_run run = next_real_run(a.padding, row, b.row_last);
    for (size_t i = row; i < run.first; ++i) zeros(row_of(a.y, i), cols);
    for (size_t i = run.first; i < run.last; ++i) {
      const double* const x = a.x + static_cast<ptrdiff_t>(i) * a.x_stride + b.col_first;
      const double* const residual =
          a.residual != nullptr ? a.residual + static_cast<ptrdiff_t>(i) * a.residual_stride + b.col_first : nullptr;
      double* const y = row_of(a.y, i);
      if (m.kind >= channel_mask::bytes) {
        write_marked_doubles<L>(a, c, x, residual, y, cols, m.first + i * m.plane_step + b.col_first);
        continue;
      }
      const size_t n = m.kind == channel_mask::lengths ? length_of(m, i) : cols;
      write_double_columns<L>(a, c, x, residual, y, n);
      zeros(y + n, cols - n);
    }
    row = run.last;
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

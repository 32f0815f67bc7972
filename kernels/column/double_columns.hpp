// SPDX-License-Identifier: Apache-2.0
//
// Columns of doubles: extremes and moments, parameters, outputs. Two passes, in pairs of doubles about the middle of
// a column's range, each column scaled by a power of two; then one for outputs. docs/numerics.md, "f64".
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

// work(tile, column) for the tiles of the block's rows and the pairs of registers of its columns.
template <class L, class Work>
SIMDNORM_INLINE void for_double_tiles(const block& b, Work work) {
  for (size_t row = b.row_first; row < b.row_last; row += double_tile_rows) {
    block tile = b;
    tile.row_first = row;
    tile.row_last = row + double_tile_rows < b.row_last ? row + double_tile_rows : b.row_last;
    for (size_t j = 0; j < b.col_last - b.col_first; j += column_pair<L>::width) work(tile, j);
  }
}

// Adds rows to least and greatest; NaN in `sum_of_zeros` where a column has NaN or infinity.
template <class L>
[[gnu::noinline]] void double_extremes(const double_column_arguments& a, const block& b, size_t j,
                                       double* sum_of_zeros) {
  using f64 = typename L::f64;
  const column_pair<L> columns{b.col_last - b.col_first - j};
  const double* const x = a.x + b.col_first + j;
  f64 least[2], greatest[2], zeros[2];
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    least[v] = columns.load(a.columns->least + j, v);
    greatest[v] = columns.load(a.columns->greatest + j, v);
    zeros[v] = columns.load(sum_of_zeros + j, v);
  });
  for_real_rows(a.padding, b, [&](size_t i) SIMDNORM_LAMBDA {
    const double* const p = x + static_cast<ptrdiff_t>(i) * a.x_stride;
    each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
      const f64 e = columns.load(p, v);
      least[v] = L::min64(e, least[v]);
      greatest[v] = L::max64(e, greatest[v]);
      zeros[v] = zeros[v] + e * L::broadcast64(0.0);
    });
  });
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    columns.store(a.columns->least + j, v, least[v]);
    columns.store(a.columns->greatest + j, v, greatest[v]);
    columns.store(sum_of_zeros + j, v, zeros[v]);
  });
}

// sum(d) and sum(d^2) of d = x * factor - shift, as pairs, so far.
struct double_column_sums {
  double shift[double_columns_per_strip];
  double sum[double_columns_per_strip], sum_low[double_columns_per_strip];
  double squares[double_columns_per_strip], squares_low[double_columns_per_strip];
};
template <class L>
[[gnu::noinline]] void sum_double_columns(const double_column_arguments& a, const block& b, size_t j,
                                          double_column_sums& s) {
  using f64 = typename L::f64;
  const column_pair<L> columns{b.col_last - b.col_first - j};
  const double* const x = a.x + b.col_first + j;
  f64 factor[2], minus_shift[2];
  pair<f64> sum[2], squares[2];
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    factor[v] = columns.load(a.columns->factor + j, v);
    minus_shift[v] = L::broadcast64(0.0) - columns.load(s.shift + j, v);
    sum[v] = {columns.load(s.sum + j, v), columns.load(s.sum_low + j, v)};
    squares[v] = {columns.load(s.squares + j, v), columns.load(s.squares_low + j, v)};
  });
  for_real_rows(a.padding, b, [&](size_t i) SIMDNORM_LAMBDA {
    const double* const p = x + static_cast<ptrdiff_t>(i) * a.x_stride;
    each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
      const pair<f64> d = two_sum(f64(columns.load(p, v) * factor[v]), minus_shift[v]);
      const f64 square = d.high * d.high;
      const f64 lost = L::fma64(d.high, d.high, L::broadcast64(0.0) - square);
      const pair<f64> t = two_sum(sum[v].high, d.high);
      sum[v] = {t.high, sum[v].low + (t.low + d.low)};
      const pair<f64> u = two_sum(squares[v].high, square);
      squares[v] = {u.high, squares[v].low + (u.low + L::fma64(d.high + d.high, d.low, lost))};
    });
  });
  each<L, 2>([&](auto v) SIMDNORM_LAMBDA {
    columns.store(s.sum + j, v, sum[v].high);
    columns.store(s.sum_low + j, v, sum[v].low);
    columns.store(s.squares + j, v, squares[v].high);
    columns.store(s.squares_low + j, v, squares[v].low);
  });
}

// Whether a column of the block holds NaN, and not infinity alone.
inline bool column_has_nan(const double_column_arguments& a, const block& b, size_t j) {
  bool nan = false;
  for_real_rows(a.padding, b, [&](size_t i) {
    const double v = a.x[static_cast<ptrdiff_t>(i) * a.x_stride + static_cast<ptrdiff_t>(b.col_first + j)];
    nan |= v != v;
  });
  return nan;
}

// The statistics of a strip into a.columns.
template <class L, class T>
inline void column_moments(const double_column_arguments& a, const block& b) {
  double_columns& c = *a.columns;
  const size_t cols = b.col_last - b.col_first;
  c.count = 0;
  for_real_rows(a.padding, b, [&](size_t) { ++c.count; });
  double zeros[double_columns_per_strip];
  double_column_sums s;
  for (size_t j = 0; j < cols; ++j) {
    c.least[j] = __builtin_inf();
    c.greatest[j] = -__builtin_inf();
    zeros[j] = s.sum[j] = s.sum_low[j] = s.squares[j] = s.squares_low[j] = 0.0;
  }
  for_double_tiles<L>(b, [&](const block& tile, size_t j) { double_extremes<L>(a, tile, j, zeros); });
  for (size_t j = 0; j < cols; ++j) {
    double& least = c.least[j];
    double& greatest = c.greatest[j];
    if (zeros[j] != zeros[j] && column_has_nan(a, b, j)) least = greatest = __builtin_nan("");
    if (least == 0.0) least = 0.0;  // +0
    if (greatest == 0.0) greatest = 0.0;
    c.finite[j] = zeros[j] == zeros[j];
    const double range = greatest - least;
    c.factor[j] = c.finite[j] && range > 0.0 ? reciprocal_power(range) : 1.0;
    s.shift[j] = c.finite[j] && c.count > 0 ? 0.5 * (least * c.factor[j]) + 0.5 * (greatest * c.factor[j]) : 0.0;
    if (least == greatest) s.shift[j] = least;
  }
  if (a.extremes_alone) return;
  for_double_tiles<L>(b, [&](const block& tile, size_t j) { sum_double_columns<L>(a, tile, j, s); });
  const double n = static_cast<double>(c.count);
  const double inverse = c.count > 0 ? 1.0 / n : 0.0;
  for (size_t j = 0; j < cols; ++j) {
    c.constant[j] = c.finite[j] && c.least[j] == c.greatest[j];
    if (!c.finite[j]) {
      c.mean[j] = c.mean_low[j] = c.variance[j] = c.variance_low[j] = __builtin_nan("");
      continue;
    }
    if (c.constant[j] || c.count == 0) {
      c.mean[j] = c.count > 0 ? c.least[j] : 0.0;
      c.mean_low[j] = c.variance[j] = c.variance_low[j] = 0.0;
      continue;
    }
    const doubles delta = divided<L>(normal(s.sum[j], s.sum_low[j]), n, inverse);
    const doubles square = divided<L>(normal(s.squares[j], s.squares_low[j]), n, inverse);
    doubles mean = two_sum(s.shift[j], delta.high);
    mean = normal(mean.high, mean.low + delta.low);
    const double p = delta.high * delta.high;
    const double p_lost = L::fma64(delta.high, delta.high, -p) + 2.0 * (delta.high * delta.low);
    doubles v = two_sum(square.high, -p);
    v = normal(v.high, v.low + (square.low - p_lost));
    c.mean[j] = mean.high;
    c.mean_low[j] = mean.low;
    c.variance[j] = v.high;
    c.variance_low[j] = v.low;
  }
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
    c.beta[j] = parameter(a.beta, a.beta_type, j, 0.0);
    const double one = a.one ? a.one[b.col_first + j] : 0.0;
    const double two = a.two ? a.two[b.col_first + j] : 0.0;
    switch (a.what) {
      case double_parameters::batch: {
        if (c.count == 0) break;
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
        const double n = static_cast<double>(c.count);
        if (a.running_mean) {
          double& r = a.running_mean[b.col_first + j];
          r = canonical_double(keep * r + a.momentum * unscaled_mean);
        }
        if (a.running_variance && c.count > (a.biased ? 0u : 1u)) {
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

template <class L, column_output Output>
SIMDNORM_INLINE void write_double_columns(const double_column_arguments& a, const block& b) {
  using f64 = typename L::f64;
  const double_columns& c = *a.columns;
  const size_t cols = b.col_last - b.col_first;
  const auto zeros = [&](size_t first, size_t last) {
    if (a.padding.fill != SIMDNORM_FILL_ZERO) return;
    for (size_t i = first; i < last; ++i) {
      double* const y = a.y + static_cast<ptrdiff_t>(i) * a.y_stride + b.col_first;
#pragma GCC unroll 1
      for (size_t j = 0; j < cols; ++j) y[j] = 0.0;
    }
  };
  const auto output = [](f64 x, auto load, const double_columns& p, size_t j) SIMDNORM_LAMBDA {
    const f64 d = x * load(p.factor + j) - load(p.center + j);
    f64 v = L::fma64(d, load(p.high + j), L::fma64(d, load(p.low + j), load(p.offset + j)));
    if constexpr (Output == column_output::affine) v = L::fma64(v, load(p.gamma + j), load(p.beta + j));
    if constexpr (Output == column_output::clipped) v = L::min64(load(p.gamma + j), L::max64(load(p.beta + j), v));
    return L::canonical64(v);
  };
  for (size_t row = b.row_first; row < b.row_last;) {
    const row_run run = next_real_run(a.padding, row, b.row_last);
    zeros(row, run.first);
    for (size_t i = run.first; i < run.last; ++i) {
      const double* const x = a.x + static_cast<ptrdiff_t>(i) * a.x_stride + b.col_first;
      double* const y = a.y + static_cast<ptrdiff_t>(i) * a.y_stride + b.col_first;
      size_t j = 0;
      for (; j + L::width64 <= cols; j += L::width64) {
        L::store64(y + j, output(
                              L::load64(x + j), [](const double* p) SIMDNORM_LAMBDA { return L::load64(p); }, c, j));
      }
      if (j < cols) {
        const size_t rest = cols - j;
        const auto load = [rest](const double* p) SIMDNORM_LAMBDA { return L::load64_n(p, rest); };
        L::store64_n(y + j, output(load(x + j), load, c, j), rest);
      }
    }
    row = run.last;
  }
}

template <class L, class T>
inline void column_affine(const double_column_arguments& a, const block& b) {
  if (a.output == column_output::bare) {
    write_double_columns<L, column_output::bare>(a, b);
  } else if (a.output == column_output::affine) {
    write_double_columns<L, column_output::affine>(a, b);
  } else {
    write_double_columns<L, column_output::clipped>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

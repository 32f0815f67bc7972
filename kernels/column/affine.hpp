// SPDX-License-Identifier: Apache-2.0
//
// column_affine: x_hat = (x - shift) * scale + offset, y = x_hat * gamma + beta, every column by its
// own parameters; and column_normalizer, which makes them of mean, variance, gamma and beta.
#pragma once

#include "column/column.hpp"
#include "repeat.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// N rows at once: their parameters are loaded once. Finite: no output needs a look for NaN.
template <class L, size_t N, bool Affine, bool Finite>
SIMDNORM_INLINE void affine_rows(const column_parameters& p, size_t cols, const float* const (&x)[N],
                                 float* const (&y)[N]) {
  using f32 = typename L::f32;
  for_columns<L>(cols, [&](size_t j, size_t width, auto load) SIMDNORM_LAMBDA {
    const f32 shift = load(p.shift);
    const f32 scale = load(p.scale);
    const f32 low = load(p.scale_low);
    const f32 offset = load(p.offset);
    f32 gamma, beta;
    if constexpr (Affine) {
      gamma = load(p.gamma);
      beta = load(p.beta);
    }
    f32 v[N];
    repeat<N>([&](auto r) SIMDNORM_LAMBDA {
      const f32 d = load(x[r]) - shift;
      v[r] = L::fma(d, scale, L::fma(d, low, offset));
      if constexpr (Affine) v[r] = L::fma(v[r], gamma, beta);
      if constexpr (!Finite) {
        if (L::any_nan(v[r])) [[unlikely]] {  // the low part can make infinity - infinity of an infinity
          f32 w = L::fma(d, scale, offset);
          if constexpr (Affine) w = L::fma(w, gamma, beta);
          v[r] = L::repair_nan(v[r], w);
        }
      }
    });
    if (width == L::width) {
      repeat<N>([&](auto r) SIMDNORM_LAMBDA { L::store(y[r] + j, v[r]); });
    } else {
      repeat<N>([&](auto r) SIMDNORM_LAMBDA { L::store_n(y[r] + j, v[r], width); });
    }
  });
}

template <class L, bool Affine, bool Finite>
inline void column_affine_of(const column_affine_arguments& a, const block& b) {
  const column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
  const auto x_row = [&](size_t row) SIMDNORM_LAMBDA {
    return static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(row) * a.x_stride + b.col_first;
  };
  const auto y_row = [&](size_t row) SIMDNORM_LAMBDA {
    return static_cast<float*>(a.y) + static_cast<ptrdiff_t>(row) * a.y_stride + b.col_first;
  };

  // Columns that f32 parameters cannot do: few, if any. Their results are worked out before the
  // row is written (y may be x) and put in their places afterwards.
  size_t exact_columns[columns_per_strip];
  size_t exact_count = 0;
  if (p.any_exact) {
    for (size_t c = 0; c < cols; ++c) {
      if (p.exact[c]) exact_columns[exact_count++] = c;
    }
  }

  // Several rows at once pay while x and y are in L2 and stores do not cross cache lines: at 8 to 25 MB
  // they are 2 to 3 times slower than one row at a time.
  constexpr size_t together = 4;
  constexpr size_t l2_elements = 131072;
  const bool side_by_side = exact_count == 0 && (b.row_last - b.row_first) * cols <= l2_elements &&
                            reinterpret_cast<uintptr_t>(y_row(b.row_first)) % 64 == 0 && a.y_stride % 16 == 0;

  for (size_t padded_from = b.row_first; padded_from < b.row_last;) {
    const row_run run = next_real_run(a.padding, padded_from, b.row_last);
    if (a.padding.fill == SIMDNORM_FILL_ZERO) {
      for (size_t i = padded_from; i < run.first; ++i) __builtin_memset(y_row(i), 0, cols * sizeof(float));
    }
    size_t i = run.first;
    if (side_by_side) {
      for (; i + together <= run.last; i += together) {
        affine_rows<L, together, Affine, Finite>(p, cols, {x_row(i), x_row(i + 1), x_row(i + 2), x_row(i + 3)},
                                                 {y_row(i), y_row(i + 1), y_row(i + 2), y_row(i + 3)});
      }
    }
    for (; i < run.last; ++i) {
      const float* x = x_row(i);
      float* y = y_row(i);
      float exact[columns_per_strip];
      for (size_t k = 0; k < exact_count; ++k) {
        const size_t c = exact_columns[k];
        const double v = (static_cast<double>(x[c]) - p.exact_shift[c]) * p.exact_scale[c] + p.exact_offset[c];
        exact[k] = v == v ? static_cast<float>(v) : __builtin_nanf("");
      }
      affine_rows<L, 1, Affine, Finite>(p, cols, {x}, {y});
      for (size_t k = 0; k < exact_count; ++k) y[exact_columns[k]] = exact[k];
    }
    padded_from = run.last;
  }
}

template <class L>
inline void column_affine(const column_affine_arguments& a, const block& b) {
  if (a.parameters->affine) {
    if (a.finite) {
      column_affine_of<L, true, true>(a, b);
    } else {
      column_affine_of<L, true, false>(a, b);
    }
  } else if (a.finite) {
    column_affine_of<L, false, true>(a, b);
  } else {
    column_affine_of<L, false, false>(a, b);
  }
}

// Whether f32 parameters neither overflow nor underflow; false for NaN.
SIMDNORM_INLINE bool f32_parameters_do(double shift, double scale) {
  const double size = __builtin_fabs(scale);
  return (__builtin_fabs(shift) < 0x1p100) & (((size > 0x1p-100) & (size < 0x1p100)) | (size == 0.0));
}

// With rstd in two floats: x_hat = (x - shift) * rstd - (mean - shift) * rstd, then gamma and beta, as
// a row does it (layer_norm.hpp): the shift is 0 where |mean| < std, else f32(mean). A column without
// variance is shifted by its mean, so that it comes out as exactly beta.
//
// Plain loops without a branch, an entry a column: the compiler vectorizes them, and no
// vectorization can change a bit.
template <class L>
inline void column_normalizer(const column_normalizer_arguments& a, const block& b) {
  column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
  p.affine = a.gamma != nullptr || a.beta != nullptr;
  const auto copy = [&](float* to, const void* from, float otherwise) {
    if (from) {
      __builtin_memcpy(to, static_cast<const float*>(from) + b.col_first, cols * sizeof(float));
    } else {
      for (size_t c = 0; c < cols; ++c) to[c] = otherwise;
    }
  };
  copy(p.gamma, a.gamma, 1.0f);
  copy(p.beta, a.beta, 0.0f);
  const double* means = a.mean;
  const double* variances = a.variance;
  const double epsilon = a.epsilon;
  int any = 0;
#pragma GCC ivdep  // the parameters lie apart from mean and variance
  for (size_t c = 0; c < cols; ++c) {
    const double variance = variances[c] + epsilon;
    const double rstd = variance == 0.0 ? 0.0 : 1.0 / __builtin_sqrt(variance);
    const double gamma = static_cast<double>(p.gamma[c]);
    const double beta = static_cast<double>(p.beta[c]);
    const double mean = means[c];
    const double if_any_variance = mean * mean < variance ? 0.0 : mean;
    const float shift = static_cast<float>(variances[c] > 0.0 ? if_any_variance : mean);
    const float high = static_cast<float>(rstd);
    p.shift[c] = shift;
    p.scale[c] = high;
    p.scale_low[c] = static_cast<float>(rstd - static_cast<double>(high));
    p.offset[c] = static_cast<float>((static_cast<double>(shift) - mean) * rstd);
    p.exact_shift[c] = mean;
    p.exact_scale[c] = rstd * gamma;
    p.exact_offset[c] = beta;
  }
  const auto is_exact = [&p, means](size_t c) SIMDNORM_LAMBDA {
    const double finite = p.exact_scale[c] - p.exact_scale[c] + (p.exact_offset[c] - p.exact_offset[c]);
    return !(f32_parameters_do(means[c], static_cast<double>(p.scale[c])) & (finite == 0.0));
  };
  for (size_t c = 0; c < cols; ++c) any |= is_exact(c);
  p.any_exact = any != 0;
  if (any) [[unlikely]] {
    for (size_t c = 0; c < cols; ++c) p.exact[c] = is_exact(c);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// column_affine: y = (x - shift) * scale + offset, every column by its own parameters; and
// column_normalizer, which makes them of mean, variance, gamma and beta.
#pragma once

#include "column/column.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L>
SIMDNORM_INLINE void column_affine(const column_affine_arguments& a, const block& b) {
  using f32 = typename L::f32;
  const column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
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

  size_t padded_from = b.row_first;
  const auto pad_until = [&](size_t row) SIMDNORM_LAMBDA {
    if (a.padding.fill == SIMDNORM_FILL_ZERO) {
      for (size_t i = padded_from; i < row; ++i) __builtin_memset(y_row(i), 0, cols * sizeof(float));
    }
  };
  while (padded_from < b.row_last) {
    const row_run run = next_real_run(a.padding, padded_from, b.row_last);
    pad_until(run.first);
    for (size_t i = run.first; i < run.last; ++i) {
      const float* x = static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(i) * a.x_stride + b.col_first;
      float* y = y_row(i);
      float exact[columns_per_strip];
      for (size_t k = 0; k < exact_count; ++k) {
        const size_t c = exact_columns[k];
        const double v = (static_cast<double>(x[c]) - p.exact_shift[c]) * p.exact_scale[c] + p.exact_offset[c];
        exact[k] = v == v ? static_cast<float>(v) : __builtin_nanf("");
      }
      for_columns<L>(cols, [&](size_t j, size_t width, auto load) SIMDNORM_LAMBDA {
        const f32 d = load(x) - load(p.shift);
        const f32 v = L::canonical(L::fma(d, load(p.scale), L::fma(d, load(p.scale_low), load(p.offset))));
        if (width == L::width) {
          L::store(y + j, v);
        } else {
          L::store_n(y + j, v, width);
        }
      });
      for (size_t k = 0; k < exact_count; ++k) y[exact_columns[k]] = exact[k];
    }
    padded_from = run.last;
  }
}

// Whether f32 parameters neither overflow nor underflow; false for NaN.
SIMDNORM_INLINE bool f32_parameters_do(double shift, double scale) {
  const double size = __builtin_fabs(scale);
  return (__builtin_fabs(shift) < 0x1p100) & (((size > 0x1p-100) & (size < 0x1p100)) | (size == 0.0));
}

// With s = rstd * gamma in two floats: (x - shift) * s + (beta - (mean - shift) * s). The shift is 0
// where |mean| < std, else f32(mean), as in a row (layer_norm.hpp). A column without variance is
// shifted by its mean, so that it comes out as exactly beta.
//
// Plain loops without a branch, an entry a column: the compiler vectorizes them, and no
// vectorization can change a bit.
template <class L>
SIMDNORM_INLINE void column_normalizer(const column_normalizer_arguments& a, const block& b) {
  column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
  float gamma[columns_per_strip];
  float beta[columns_per_strip];
  const auto copy = [&](float* to, const void* from, float otherwise) SIMDNORM_LAMBDA {
    if (from) {
      __builtin_memcpy(to, static_cast<const float*>(from) + b.col_first, cols * sizeof(float));
    } else {
      for (size_t c = 0; c < cols; ++c) to[c] = otherwise;
    }
  };
  copy(gamma, a.gamma, 1.0f);
  copy(beta, a.beta, 0.0f);
  const double* means = a.mean;
  const double* variances = a.variance;
  const double epsilon = a.epsilon;
  int any = 0;
  for (size_t c = 0; c < cols; ++c) {
    const double variance = variances[c] + epsilon;
    // A column without variance is exactly beta, also where epsilon is 0.
    const double rstd = variance == 0.0 ? 0.0 : 1.0 / __builtin_sqrt(variance);
    const double scale = rstd * static_cast<double>(gamma[c]);
    const double mean = means[c];
    const bool small = (mean * mean < variance) & (variances[c] > 0.0);
    const float shift = static_cast<float>(small ? 0.0 : mean);
    const float high = static_cast<float>(scale);
    p.shift[c] = shift;
    p.scale[c] = high;
    p.scale_low[c] = static_cast<float>(scale - static_cast<double>(high));
    p.offset[c] = static_cast<float>(static_cast<double>(beta[c]) - (mean - static_cast<double>(shift)) * scale);
    p.exact_shift[c] = mean;
    p.exact_scale[c] = scale;
    p.exact_offset[c] = static_cast<double>(beta[c]);
    any |= !f32_parameters_do(mean, scale);
  }
  p.any_exact = any != 0;
  if (any) [[unlikely]] {
    for (size_t c = 0; c < cols; ++c) p.exact[c] = !f32_parameters_do(p.exact_shift[c], p.exact_scale[c]);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

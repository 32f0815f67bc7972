// SPDX-License-Identifier: Apache-2.0
//
// channel_rows_affine: channels last, what column_affine does, followed by a residual, ReLU or both. Its outputs are
// those of channel_affine, bit by bit.
#pragma once

#include "channel/affine.hpp"
#include "column/column.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// The element at place j of a row, as a load.
template <class L, class Access>
struct access_at {
  Access access;
  size_t i;
  SIMDNORM_INLINE typename L::f32 operator()(const float* p) const { return access.load(p + i); }
};

// V registers of columns, from j on, of `count` rows. NaN is looked for once and settled in y.
template <class L, size_t V, fused F, class Access>
SIMDNORM_INLINE void affine_rows_of(Access access, const channel_rows_affine_arguments& a, const float* x,
                                    const float* residual, float* y, size_t count, size_t j, float floor) {
  using f32 = typename L::f32;
  const column_parameters& p = *a.parameters;
  f32 shift[V], scale[V], low[V], offset[V], gamma[V], beta[V];
  repeat<V>([&](auto v) SIMDNORM_LAMBDA {
    const size_t at = j + v * L::width;
    shift[v] = access.load(p.shift + at);
    scale[v] = access.load(p.scale + at);
    low[v] = access.load(p.scale_low + at);
    offset[v] = access.load(p.offset + at);
    gamma[v] = access.load(p.gamma + at);
    beta[v] = access.load(p.beta + at);
  });
  const bool affine = p.affine;
  const f32 least = L::broadcast(floor);
  f32 any = L::broadcast(0.0f);
  float* const first = y;
  for (size_t r = 0; r < count; ++r) {
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      const access_at<L, Access> load{access, j + v * L::width};
      const f32 d = load(x) - shift[v];
      f32 out = L::fma(d, scale[v], L::fma(d, low[v], offset[v]));
      if (affine) out = L::fma(out, gamma[v], beta[v]);
      out = fuse<L, F>(out, residual, least, load);
      access.store(y + load.i, out);
      any = any + out;
    });
    x += a.x_stride;
    y += a.y_stride;
    if constexpr (F == fused::residual) residual += a.residual_stride;
  }
  if (L::any_nan(any)) [[unlikely]] {
    y = first;
    for (size_t r = 0; r < count; ++r, y += a.y_stride) {
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        float* const at = y + j + v * L::width;
        access.store(at, L::canonical(access.load(at)));
      });
    }
  }
}

template <class L, fused F>
inline void rows_affine(const channel_rows_affine_arguments& a, const block& b) {
  const column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
  const float floor = a.relu ? 0.0f : -__builtin_inff();
  const auto row_of = [&](const void* data, ptrdiff_t stride, size_t row) SIMDNORM_LAMBDA {
    return static_cast<const float*>(data) + static_cast<ptrdiff_t>(row) * stride + b.col_first;
  };
  // Columns that f32 parameters cannot do, as in column_affine: worked out before their row is written.
  size_t exact_columns[columns_per_strip];
  size_t exact_count = 0;
  for (size_t c = 0; p.any_exact && c < cols; ++c) {
    if (p.exact[c]) exact_columns[exact_count++] = c;
  }
  const size_t tile = exact_count > 0 ? 1 : 1024 / cols + 1;
  for (size_t row = b.row_first; row < b.row_last;) {
    const row_run run = next_real_run(a.padding, row, b.row_last);
    if (a.padding.fill == SIMDNORM_FILL_ZERO) {
      for (; row < run.first; ++row) {
        __builtin_memset(const_cast<float*>(row_of(a.y, a.y_stride, row)), 0, cols * sizeof(float));
      }
    }
    for (row = run.first; row < run.last;) {
      const size_t count = run.last - row < tile ? run.last - row : tile;
      const float* const x = row_of(a.x, a.x_stride, row);
      const float* const residual = F == fused::residual ? row_of(a.residual, a.residual_stride, row) : nullptr;
      float* const y = const_cast<float*>(row_of(a.y, a.y_stride, row));
      float exact[columns_per_strip];
      for (size_t k = 0; k < exact_count; ++k) {
        const size_t c = exact_columns[k];
        float v =
            static_cast<float>((static_cast<double>(x[c]) - p.exact_shift[c]) * p.exact_scale[c] + p.exact_offset[c]);
        if constexpr (F == fused::residual) v = v + residual[c];
        v = floor > v ? floor : v;
        exact[k] = v == v ? v : __builtin_nanf("");
      }
      for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
        affine_rows_of<L, together, F>(access, a, x, residual, y, count, j, floor);
      });
      for (size_t k = 0; k < exact_count; ++k) y[exact_columns[k]] = exact[k];
      row += count;
    }
  }
}

template <class L, class>
inline void channel_rows_affine(const channel_rows_affine_arguments& a, const block& b) {
  if (a.residual != nullptr) {
    rows_affine<L, fused::residual>(a, b);
  } else {
    rows_affine<L, fused::relu>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

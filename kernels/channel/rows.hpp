// SPDX-License-Identifier: Apache-2.0
//
// channel_rows_affine: channels last, what column_affine does, followed by a residual, ReLU or both. Its outputs are
// those of channel_affine, bit by bit.
#pragma once

#include "channel/affine.hpp"
#include "column/column.hpp"
#include "column/side_by_side.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// The element at place j of a row, as a load.
template <class L, class Access>
struct access_at {
  Access access;
  size_t i;
  SIMDNORM_INLINE typename L::f32 operator()(const float* p) const { return access.load(p + i); }
};

// Rows of a tile, from the first on.
struct fused_rows {
  const float* x;
  const float* residual;  // with a residual
  float* y;
  size_t count;
  const uint8_t* marks;  // of an element mask, and the bytes from row to row
  size_t mark_bytes;
  bool keep;  // gaps in y keep what they hold, else +0
};

// V registers of columns, from j on, of all rows. NaN is looked for once and settled in y; where there are gaps it is
// settled at once.
template <class L, class Real, size_t V, fused F, class Access>
SIMDNORM_INLINE void affine_rows_of(Access access, const channel_rows_affine_arguments& a, const fused_rows& rows,
                                    size_t j, float floor) {
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
  const bool affine = p.output == column_output::affine;
  const f32 least = L::broadcast(floor);
  const f32 zero = L::broadcast(0.0f);
  f32 any = zero;
  const float* x = rows.x;
  const float* residual = rows.residual;
  const uint8_t* marks = rows.marks;
  float* y = rows.y;
  for (size_t r = 0; r < rows.count; ++r) {
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      const access_at<L, Access> load{access, j + v * L::width};
      const f32 in = load(x);
      const f32 d = in - shift[v];
      f32 out = L::fma(d, scale[v], L::fma(d, low[v], offset[v]));
      if (affine) out = L::fma(out, gamma[v], beta[v]);
      out = fuse<L, F>(out, residual, least, load);
      if constexpr (Real::all) {
        any = any + out;
      } else {
        const f32 gap = rows.keep ? load(static_cast<const float*>(y)) : zero;
        out = Real::choose(access, marks, load.i, in, L::canonical(out), gap);
      }
      access.store(y + load.i, out);
    });
    x += a.x_stride;
    y += a.y_stride;
    if constexpr (F == fused::residual) residual += a.residual_stride;
    if constexpr (!Real::all) marks += rows.mark_bytes;
  }
  if (Real::all && L::any_nan(any)) [[unlikely]] {
    y = rows.y;
    for (size_t r = 0; r < rows.count; ++r, y += a.y_stride) {
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        float* const at = y + j + v * L::width;
        access.store(at, L::canonical(access.load(at)));
      });
    }
  }
}

// A residual, if there is one, and the floor.
template <class L, fused F>
struct fused_after {
  using f32 = typename L::f32;
  struct finish {
    const float* residual;
    f32 least;
    SIMDNORM_INLINE f32 operator()(f32 v, size_t j) const { return fuse<L, F>(v, residual, least, load_at<L>{j}); }
  };
  const float* residual;
  ptrdiff_t stride;
  float floor;
  SIMDNORM_INLINE finish of_row(ptrdiff_t row) const {
    return {F == fused::residual ? residual + row * stride : nullptr, L::broadcast(floor)};
  }
};

template <class L, class Real, fused F>
inline void rows_affine(const channel_rows_affine_arguments& a, const block& b) {
  const column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
  const float floor = a.relu ? 0.0f : -__builtin_inff();
  const auto row_of = [&](const void* data, ptrdiff_t stride, size_t row) SIMDNORM_LAMBDA {
    return static_cast<const float*>(data) + static_cast<ptrdiff_t>(row) * stride + b.col_first;
  };
  const size_t mark_bytes = Real::all ? 0
                                      : static_cast<size_t>(element_marks(a.padding, a.mask_cols, 1, 0) -
                                                            element_marks(a.padding, a.mask_cols, 0, 0));
  const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
  // Columns that f32 parameters cannot do, as in column_affine: worked out before their row is written.
  size_t exact_columns[columns_per_strip];
  size_t exact_count = 0;
  for (size_t c = 0; p.any_exact && c < cols; ++c) {
    if (p.exact[c]) exact_columns[exact_count++] = c;
  }
  const bool side_by_side = Real::all && L::rows_side_by_side && cols >= least_side_by_side;
  const size_t tile = exact_count > 0 ? 1 : side_by_side ? SIZE_MAX : 1024 / cols + 1;
  for (size_t row = b.row_first; row < b.row_last;) {
    const row_run run = next_real_run(a.padding, row, b.row_last);
    if (!keep) {
      for (; row < run.first; ++row) {
        __builtin_memset(const_cast<float*>(row_of(a.y, a.y_stride, row)), 0, cols * sizeof(float));
      }
    }
    for (row = run.first; row < run.last;) {
      const size_t count = run.last - row < tile ? run.last - row : tile;
      const float* const x = row_of(a.x, a.x_stride, row);
      const float* const residual = F == fused::residual ? row_of(a.residual, a.residual_stride, row) : nullptr;
      float* const y = const_cast<float*>(row_of(a.y, a.y_stride, row));
      const uint8_t* const marks = Real::all ? nullptr : element_marks(a.padding, a.mask_cols, row, b.col_first);
      float exact[columns_per_strip];
      for (size_t k = 0; k < exact_count; ++k) {
        const size_t c = exact_columns[k];
        if (!Real::is(marks, c, 0.0f)) {
          exact[k] = keep ? y[c] : 0.0f;
          continue;
        }
        float v =
            static_cast<float>((static_cast<double>(x[c]) - p.exact_shift[c]) * p.exact_scale[c] + p.exact_offset[c]);
        if constexpr (F == fused::residual) v = v + residual[c];
        v = floor > v ? floor : v;
        exact[k] = v == v ? v : __builtin_nanf("");
      }
      if (side_by_side) {
        if constexpr (Real::all && L::rows_side_by_side) {
          affine_side_by_side<L, column_output::affine>(p, {x, y, a.x_stride, a.y_stride, count, nullptr}, cols,
                                                        fused_after<L, F>{residual, a.residual_stride, floor});
        }
      } else {
        const fused_rows rows{x, residual, y, count, marks, mark_bytes, keep};
        for_column_groups<L>(0, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
          affine_rows_of<L, Real, together, F>(access, a, rows, j, floor);
        });
      }
      for (size_t k = 0; k < exact_count; ++k) y[exact_columns[k]] = exact[k];
      row += count;
    }
  }
}

template <class L, class Real>
inline void rows_affine_fused(const channel_rows_affine_arguments& a, const block& b) {
  if (a.residual != nullptr) {
    rows_affine<L, Real, fused::residual>(a, b);
  } else {
    rows_affine<L, Real, fused::relu>(a, b);
  }
}

template <class L, class>
inline void channel_rows_affine(const channel_rows_affine_arguments& a, const block& b) {
  switch (a.padding.kind) {
    case SIMDNORM_PADDING_ELEMENT_MASK:
      return rows_affine_fused<L, real_elements<L, mark_form::bytes, false>>(a, b);
    case SIMDNORM_PADDING_ELEMENT_MASK_BITS:
      return rows_affine_fused<L, real_elements<L, mark_form::bits, false>>(a, b);
    default:
      return rows_affine_fused<L, real_elements<L, mark_form::none, false>>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

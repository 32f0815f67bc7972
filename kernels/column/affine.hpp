// SPDX-License-Identifier: Apache-2.0
//
// column_affine: x_hat = (x - shift) * scale + offset, y = x_hat * gamma + beta, every column by its
// own parameters; and column_normalizer, which makes them of mean, variance, gamma and beta.
#pragma once

#include <type_traits>

#include "column/column.hpp"
#include "column/side_by_side.hpp"
#include "convert.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// How a group is stored, and whether the next rows are fetched meanwhile: y in the caches; so, with x on its way from
// memory, where it is replaced; or past the caches and with x on its way.
struct cached {
  static constexpr bool ahead = false, past = false;
  template <class L, class Access>
  SIMDNORM_INLINE static void put(const Access& access, float* p, typename L::f32 v) {
    access.store(p, v);
  }
};
struct fetched : cached {
  static constexpr bool ahead = true;
};
struct streamed {
  static constexpr bool ahead = true, past = true;
  template <class L>
  SIMDNORM_INLINE static void put(const whole_register<L>&, float* p, typename L::f32 v) {
    L::stream(p, v);
  }
};

// The rows of a tile, x and y of its first; `fetch` elements further on is the next tile's x.
struct affine_rows {
  const float* x;
  float* y;
  ptrdiff_t x_stride, y_stride;
  size_t count;
  ptrdiff_t fetch;
  const uint8_t* marks;  // of an element mask, and the bytes from row to row
  size_t mark_bytes;
  ptrdiff_t mark_fetch;  // as fetch, in bytes
  bool keep;             // gaps in y keep what they hold, else +0
  const uint16_t* list;  // which rows from the first on; null: the first `count`
  size_t tile;           // so many of them at a time
};

// Outputs without gaps: NaN is looked for once a tile, and settled in y.
template <class L>
struct rarely_nan : real_elements<L, mark_form::none, false> {};
// The same over rows that a mask has listed.
template <class L>
struct listed_rows : real_elements<L, mark_form::none, false> {};

// V registers of columns, from j on, of all rows: their parameters are loaded once. Where all elements are
// real NaN is looked for once, in the sum of all outputs (infinities of both signs make one more); where
// there are gaps it is settled at once.
template <class L, class Real, size_t V, column_output Output, class Store, class Access>
SIMDNORM_INLINE void affine_columns(Access access, const column_parameters& p, const affine_rows& rows, size_t j) {
  using f32 = typename L::f32;
  // A line that leaves in parts costs a read: groups that are less than one go through the caches.
  constexpr bool lines = Access::whole && V * L::width % 16 == 0;
  using put = std::conditional_t<lines, Store, cached>;
  f32 shift[V], scale[V], low[V], offset[V], gamma[V], beta[V];
  repeat<V>([&](auto v) SIMDNORM_LAMBDA {
    const size_t at = j + v * L::width;
    shift[v] = access.load(p.shift + at);
    scale[v] = access.load(p.scale + at);
    low[v] = access.load(p.scale_low + at);
    offset[v] = access.load(p.offset + at);
    if constexpr (Output != column_output::bare) {
      gamma[v] = access.load(p.gamma + at);
      beta[v] = access.load(p.beta + at);
    }
  });
  // Parameters, the mask's constants and x are more than 16 registers: all but two are operands from memory.
  constexpr bool in_registers = Real::all || L::masked_in_registers;
  const auto parameter = [&](f32 kept, const float* of, auto v) SIMDNORM_LAMBDA {
    if constexpr (in_registers) {
      return kept;
    } else {
      return access.load(of + j + v * L::width);
    }
  };
  constexpr bool listed = std::is_same_v<Real, listed_rows<L>>;
  constexpr bool settle = !listed && !std::is_same_v<Real, rarely_nan<L>>;
  const f32 zero = L::broadcast(0.0f);
  f32 any = zero;
  const float* x = rows.x + j;
  float* y = rows.y + j;
  const uint8_t* marks = rows.marks;
  for (size_t r = 0; r < rows.count; ++r, x += rows.x_stride, y += rows.y_stride, marks += rows.mark_bytes) {
    if (listed && rows.list != nullptr) {
      x = rows.x + j + static_cast<ptrdiff_t>(rows.list[r]) * rows.x_stride;
      y = rows.y + j + static_cast<ptrdiff_t>(rows.list[r]) * rows.y_stride;
    }
    f32 out[V];
    repeat<V>([&](auto v) SIMDNORM_LAMBDA {
      const f32 in = access.load(x + v * L::width);
      const f32 d = in - shift[v];
      out[v] = L::fma(d, scale[v], L::fma(d, parameter(low[v], p.scale_low, v), parameter(offset[v], p.offset, v)));
      if constexpr (Output != column_output::bare) {
        const f32 g = parameter(gamma[v], p.gamma, v);
        const f32 b = parameter(beta[v], p.beta, v);
        out[v] = Output == column_output::affine ? L::fma(out[v], g, b) : L::min(g, L::max(b, out[v]));
      }
      if constexpr (settle) out[v] = L::canonical(out[v]);
      if constexpr (!Real::all) {
        const f32 gap = rows.keep ? access.load(y + v * L::width) : zero;
        out[v] = Real::choose(access, marks, j + v * L::width, in, out[v], gap);
      }
    });
    if constexpr (Store::ahead) {
      repeat<(V * L::width + 15) / 16>([&](auto k) SIMDNORM_LAMBDA { L::prefetch(x + rows.fetch + k * 16); });
      if constexpr (Real::form == mark_form::bytes) {
        L::prefetch(reinterpret_cast<const float*>(marks + rows.mark_fetch + j));
      }
    }
    repeat<V>([&](auto v) SIMDNORM_LAMBDA { put::template put<L>(access, y + v * L::width, out[v]); });
    if constexpr (!settle) any = any + sum_of<V>(out);
  }
  if (!settle && L::any_nan(any)) [[unlikely]] {
    y = rows.y + j;
    for (size_t r = 0; r < rows.count; ++r, y += rows.y_stride) {
      if (listed && rows.list != nullptr) y = rows.y + j + static_cast<ptrdiff_t>(rows.list[r]) * rows.y_stride;
      repeat<V>([&](auto v) SIMDNORM_LAMBDA {
        put::template put<L>(access, y + v * L::width, L::canonical(access.load(y + v * L::width)));
      });
    }
  }
}

// Which of the rows from `first` on a mask says are real, and which are not.
constexpr size_t most_listed = 512;
struct row_list {
  size_t count;
  uint16_t real[most_listed], padded[most_listed];
};
[[gnu::noinline, maybe_unused]] inline void list_rows(const simdnorm_padding& padding, size_t first, size_t n,
                                                      row_list& list) {
  with_row_mask(padding, [&](auto real) SIMDNORM_LAMBDA {
    size_t count = 0;
    for (size_t k = 0; k < n; ++k) {
      list.real[count] = list.padded[k - count] = static_cast<uint16_t>(k);
      count += real(first + k);
    }
    list.count = count;
  });
}

// Tile by tile; columns are stored past the caches from `head` on.
template <class L, class Real, column_output Output, class Store>
[[gnu::noinline]] void affine_tiles(const column_parameters& p, const affine_rows& all, size_t head, size_t cols) {
  affine_rows rows = all;
  for (size_t left = all.count; left > 0;) {
    rows.count = left < all.tile ? left : all.tile;
    if constexpr (Store::past) {
      for_column_groups<L, pieces_of_register<L>>(0, head, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
        affine_columns<L, Real, together, Output, cached>(access, p, rows, j);
      });
    }
    for_column_groups<L>(head, cols, [&](auto access, size_t j, auto together) SIMDNORM_LAMBDA {
      affine_columns<L, Real, together, Output, Store>(access, p, rows, j);
    });
    left -= rows.count;
    rows.x += static_cast<ptrdiff_t>(rows.count) * rows.x_stride;
    rows.y += static_cast<ptrdiff_t>(rows.count) * rows.y_stride;
    rows.marks += rows.count * rows.mark_bytes;
  }
}

template <class L, column_output Output>
[[gnu::noinline]] void affine_whole_rows(const column_parameters& p, const affine_rows& rows, size_t, size_t cols) {
  affine_side_by_side<L, Output>(p, {rows.x, rows.y, rows.x_stride, rows.y_stride, rows.count, rows.list}, cols,
                                 nothing_after{});
}

// What differs between the kinds of outputs and gaps: the walk over rows is there once, else it was 60 KB. It calls for
// many tiles at once: a call for each made batch norm inference of 784x128 1.16 times as long.
using affine_step = void (*)(const column_parameters&, const affine_rows&, size_t, size_t);
struct affine_steps {
  bool past, listed;
  affine_step tiles, side_by_side;  // the latter may be null
  bool (*is)(const uint8_t*, size_t, float);
};

template <class L>
[[gnu::noinline]] void affine_block(const affine_steps& steps, const column_affine_arguments& a, const block& b) {
  const column_parameters& p = *a.parameters;
  const size_t cols = b.col_last - b.col_first;
  const auto x_row = [&](size_t row) SIMDNORM_LAMBDA {
    return static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(row) * a.x_stride + b.col_first;
  };
  const auto y_row = [&](size_t row) SIMDNORM_LAMBDA {
    return static_cast<float*>(a.y) + static_cast<ptrdiff_t>(row) * a.y_stride + b.col_first;
  };
  const bool marked = masks_elements(a.padding);
  const size_t mark_bytes = !marked ? 0
                                    : static_cast<size_t>(element_marks(a.padding, a.gaps.cols, 1, 0) -
                                                          element_marks(a.padding, a.gaps.cols, 0, 0));
  const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;

  // Columns that f32 parameters cannot do: few, if any. Their results are worked out before the
  // row is written (y may be x) and put in their places afterwards.
  size_t exact_columns[columns_per_strip];
  size_t exact_count = 0;
  if (p.any_exact) {
    for (size_t c = 0; c < cols; ++c) {
      if (p.exact[c]) exact_columns[exact_count++] = c;
    }
  }
  // A tile's x and y lie in L1 while its columns are gone through. Rows at the same place of their
  // pages share a few sets of it, and a load waits for the store before that it seems to follow.
  const bool same_place = a.x_stride % 1024 == 0 && a.y_stride % 1024 == 0;
  const size_t some_rows = (same_place ? 1024 : 2048) / cols;
  // Lines are streamed whole: one that leaves in two parts costs a read. Where rows begin at different
  // places of their lines they are gone through one by one, up to the first line of each by stores that
  // are cached.
  const auto to_line = [&](size_t row) SIMDNORM_LAMBDA {
    const size_t n = (0 - reinterpret_cast<uintptr_t>(y_row(row))) % 64 / sizeof(float);
    return steps.past ? (n < cols ? n : cols) : 0;
  };
  const bool alike = !steps.past || (a.y_stride % 16 == 0 && to_line(b.row_first) == 0);
  // Past the caches, rows one by one where they are at the same or the opposite place of their pages: line by line of
  // four rows, reads and writes met in the same banks of memory, or did not, as pages lay (2048x4096: 0.7 to 4.7 of a
  // copy's time; 16384x512 on Zen 3: 0.65 of the time one by one). And where they are short, but of more than one
  // group: down a tile 65536x64 took 1.4 to 1.7 times as long on AVX2, 100000x32 1.5 there and 1.3 on AVX-512 (Xeon).
  // With a list for each, which a mask of rows would want, they take 0.95 to 1.3 of a tile's time.
  const auto is_short = [](ptrdiff_t stride) { return stride <= 256 && stride >= -256; };
  const bool groups = cols != L::columns_together * L::width && cols >= 32 && !steps.listed;
  const bool one_by_one = steps.past && ((a.x_stride % 512 == 0 && a.y_stride % 512 == 0) ||
                                         (groups && is_short(a.x_stride) && is_short(a.y_stride)));
  const size_t tile = exact_count > 0 || some_rows == 0 || !alike || one_by_one ? 1 : some_rows;
  const size_t rows_ahead = some_rows > tile ? some_rows : tile;
  // Rows of more than two strips are as fast in tiles, or up to a tenth faster, but for those at the same place of
  // their pages (49x2048, 1024x1024: 0.83 to 0.91 of the time side by side).
  const bool side_by_side = steps.side_by_side != nullptr && cols >= least_side_by_side &&
                            (same_place || (a.x_stride <= 512 && a.x_stride >= -512));
  const affine_step step = side_by_side ? steps.side_by_side : steps.tiles;

  // Rows [i, i + count), with those `next` further on to be fetched.
  const auto tile_at = [&](size_t i, size_t count, ptrdiff_t next, const uint16_t* list) SIMDNORM_LAMBDA {
    const float* x = x_row(i);
    float* y = y_row(i);
    const uint8_t* marks = !marked ? nullptr : element_marks(a.padding, a.gaps.cols, i, b.col_first);
    float exact[columns_per_strip];
    for (size_t k = 0; k < exact_count; ++k) {
      const size_t c = exact_columns[k];
      if (!steps.is(marks, c, 0.0f)) {
        exact[k] = keep ? y[c] : 0.0f;
        continue;
      }
      const double v = (static_cast<double>(x[c]) - p.exact_shift[c]) * p.exact_scale[c] + p.exact_offset[c];
      exact[k] = v == v ? static_cast<float>(v) : __builtin_nanf("");
      if (p.output == column_output::clipped) {
        exact[k] = exact[k] < p.beta[c] ? p.beta[c] : exact[k] > p.gamma[c] ? p.gamma[c] : exact[k];
      }
    }
    const affine_rows rows{x,          y,          a.x_stride,
                           a.y_stride, count,      next * a.x_stride,
                           marks,      mark_bytes, next * static_cast<ptrdiff_t>(mark_bytes),
                           keep,       list,       tile};
    const size_t head = to_line(i);
    if (!alike) {  // the line of the head; and lines that are written in part come in first, a store at a time
      L::prefetch(x + rows.fetch);
      L::prefetch(y + next * a.y_stride);
      L::prefetch(y + next * a.y_stride + cols - 1);
    }
    step(p, rows, head, cols);
    for (size_t k = 0; k < exact_count; ++k) y[exact_columns[k]] = exact[k];
  };

  // A padded row: past the caches where y is too large for them, or its lines would be read first (65536x64 of which a
  // tenth is padded: half as long again).
  const auto clear_row = [&](size_t row) SIMDNORM_LAMBDA {
    float* y = y_row(row);
    if (a.stream && cols % 16 == 0 && reinterpret_cast<uintptr_t>(y) % 64 == 0) {
      for (size_t j = 0; j < cols; j += L::width) L::stream(y + j, L::broadcast(0.0f));
    } else {
      __builtin_memset(y, 0, cols * sizeof(float));
    }
  };

  // Back to front, 256 KiB at a time: the rows that statistics read last are still in L2.
  const size_t chunk = rows_ahead * 32;
  if (steps.listed) {
    const size_t window = tile < most_listed ? tile : most_listed;
    for (size_t end = b.row_last; end > b.row_first;) {
      const size_t begin = end - b.row_first > chunk ? end - chunk : b.row_first;
      for (size_t i = begin; i < end; i += window) {
        const size_t all = window < end - i ? window : end - i;
        const auto next = static_cast<ptrdiff_t>(b.row_last - i > 2 * window ? window : 0);
        if (all_rows_real(a.padding, i, all)) {
          tile_at(i, all, next, nullptr);
          continue;
        }
        row_list list;
        list_rows(a.padding, i, all, list);
        for (size_t k = 0; !keep && k < all - list.count; ++k) clear_row(i + list.padded[k]);
        if (list.count > 0) tile_at(i, list.count, next, list.real);
      }
      end = begin;
    }
    return;
  }
  for (size_t padded_from = b.row_first; padded_from < b.row_last;) {
    const row_run run = next_real_run(a.padding, padded_from, b.row_last);
    if (a.padding.fill == SIMDNORM_FILL_ZERO) {
      for (size_t i = padded_from; i < run.first; ++i) clear_row(i);
    }
    for (size_t end = run.last; end > run.first;) {
      const size_t begin = end - run.first > chunk ? end - chunk : run.first;
      const size_t before = begin - run.first > chunk ? begin - chunk : run.first;
      for (size_t i = begin, count; i < end; i += count) {
        // All tiles but the last have the next one below them.
        const bool many = exact_count == 0 && alike && end - i > tile;
        count = many ? (end - i - 1) / tile * tile : tile < end - i ? tile : end - i;
        const size_t below = i + rows_ahead < end ? i + rows_ahead : before + (i + rows_ahead - end);
        const size_t next = below < run.last ? below : i;
        tile_at(i, count, static_cast<ptrdiff_t>(next) - static_cast<ptrdiff_t>(i), nullptr);
      }
      end = begin;
    }
    padded_from = run.last;
  }
}

template <class L, class Real, class Store>
SIMDNORM_INLINE affine_steps affine_steps_for(column_output output) {
  constexpr bool listed = std::is_same_v<Real, listed_rows<L>>;
  affine_steps steps{Store::past, listed, nullptr, nullptr, Real::is};
  const auto set = [&steps](auto output_of) {
    constexpr column_output Output = decltype(output_of){};
    steps.tiles = affine_tiles<L, Real, Output, Store>;
    if constexpr (L::rows_side_by_side && !Store::ahead && (listed || std::is_same_v<Real, rarely_nan<L>>)) {
      steps.side_by_side = affine_whole_rows<L, Output>;
    }
  };
  switch (output) {
    case column_output::bare:
      set(constant<column_output::bare>{});
      break;
    case column_output::affine:
      set(constant<column_output::affine>{});
      break;
    case column_output::clipped:
      set(constant<column_output::clipped>{});
      break;
  }
  return steps;
}

template <class L, class>
inline void column_affine(const column_affine_arguments& a, const block& b) {
  // What keeps its gaps is read first. Bits are read from the register's first column on: a head that leads to a line
  // would put it elsewhere.
  const bool masked = masks_elements(a.padding);
  const bool lines = (reinterpret_cast<uintptr_t>(a.y) / sizeof(float) + b.col_first) % 16 == 0 && a.y_stride % 16 == 0;
  const bool stream =
      a.stream && !a.parameters->any_exact && !(masked && (a.padding.fill == SIMDNORM_FILL_KEEP || !lines));
  const auto run = [&](auto real) SIMDNORM_LAMBDA {
    using Real = decltype(real);
    const column_output output = a.parameters->output;
    affine_steps steps = affine_steps_for<L, Real, cached>(output);
    constexpr bool fetches =
        L::streams && (std::is_same_v<Real, listed_rows<L>> || std::is_same_v<Real, rarely_nan<L>>);
    // In place, where nothing is fetched ahead, rows of up to 1 KiB under a mask, or half of that where NaN is missing,
    // would take 1.1 to 1.25 times as long through the caches; longer ones take 0.25 to 1.02 of the time (AVX2, Zen 3).
    const ptrdiff_t narrow = fetches ? 0 : masked ? 256 : 128;
    if (stream && (a.x != a.y || (a.x_stride <= narrow && a.x_stride >= -narrow))) {
      steps = affine_steps_for<L, Real, streamed>(output);
    } else if constexpr (fetches) {
      if (stream && output != column_output::clipped) {
        steps.tiles = output == column_output::affine ? affine_tiles<L, Real, column_output::affine, fetched>
                                                      : affine_tiles<L, Real, column_output::bare, fetched>;
        steps.side_by_side = nullptr;
      }
    }
    affine_block<L>(steps, a, b);
    if (a.stream) L::fence();
  };
  if (a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK) {
    run(real_elements<L, mark_form::bytes, false>{});
  } else if (masked) {
    run(real_elements<L, mark_form::bits, false>{});
  } else if (a.gaps.nan_is_missing) {
    run(real_elements<L, mark_form::none, false>{});
  } else if (is_row_mask(a.padding) && !a.parameters->any_exact && (lines || !stream)) {
    run(listed_rows<L>{});
  } else {
    run(rarely_nan<L>{});
  }
}

// With rstd in two floats: x_hat = (x - shift) * rstd - (mean - shift) * rstd, then gamma and beta, as
// a row does it (layer_norm.hpp): the shift is 0 where |mean| < std, else f32(mean). A column without
// variance is shifted by its mean, so that it comes out as exactly beta.
//
// Plain loops without a branch, an entry a column: the compiler vectorizes them, and no
// vectorization can change a bit.
template <class L, class>
inline void column_normalizer(const column_normalizer_arguments& a, const block& b) {
  column_parameters& p = *a.parameters;
  const size_t first = b.col_first;
  const size_t cols = b.col_last - first;
  const uint64_t count = a.fold ? a.fold->count : 1;
  const double* values = a.fold ? a.fold->values : nullptr;  // of each column, where they differ
  double mean[columns_per_strip], variance[columns_per_strip], rstd[columns_per_strip];
  const auto copy = [cols, first](float* to, const simdnorm_const_vector& from, float otherwise) {
    if (from.data) {
      widen_elements<L>(element_at(from.data, from.type, static_cast<ptrdiff_t>(first)), from.type, to, cols);
    } else {
      for (size_t c = 0; c < cols; ++c) to[c] = otherwise;
    }
  };
  if (values) {
    for (size_t c = 0; c < cols; ++c) {
      const double inverse = values[c] > 0.0 ? 1.0 / values[c] : 0.0;
      mean[c] = a.fold->mean[c];
      variance[c] = a.fold->m2[c] * inverse;
    }
  } else if (a.fold) {
    const double inverse = count > 0 ? 1.0 / static_cast<double>(count) : 0.0;
    for (size_t c = 0; c < cols; ++c) {
      mean[c] = a.fold->mean[c];
      variance[c] = a.fold->m2[c] * inverse;
    }
  } else {
    const auto widen = [&](double* to, const simdnorm_const_vector& from) SIMDNORM_LAMBDA {
      copy(p.shift, from, 0.0f);
      for (size_t c = 0; c < cols; ++c) to[c] = static_cast<double>(p.shift[c]);
    };
    widen(mean, a.given_mean);
    widen(variance, a.given_variance);
  }
  p.output = a.gamma.data != nullptr || a.beta.data != nullptr ? column_output::affine : column_output::bare;
  copy(p.gamma, a.gamma, 1.0f);
  copy(p.beta, a.beta, p.output == column_output::bare ? -0.0f : 0.0f);  // fma(x_hat, 1, -0) is x_hat

  // A step of Newton's takes 1 / sqrt in f32, good to 2^-22.6, to 2^-46, for a third of the time that sqrt
  // and division take in doubles.
  const double epsilon = a.epsilon;
  for (size_t c = 0; c < cols; ++c) p.scale[c] = 1.0f / __builtin_sqrtf(static_cast<float>(variance[c] + epsilon));
  for (size_t c = 0; c < cols; ++c) {
    const double rough = static_cast<double>(p.scale[c]);
    const double lost = 1.0 - (variance[c] + epsilon) * (rough * rough);
    rstd[c] = rough + rough * (0.5 * lost);
  }
  for (size_t c = 0; c < cols; ++c) {
    const double if_any_variance = mean[c] * mean[c] < variance[c] + epsilon ? 0.0 : mean[c];
    const float shift = static_cast<float>(variance[c] > 0.0 ? if_any_variance : mean[c]);
    const float high = static_cast<float>(rstd[c] * below_one);
    p.shift[c] = shift;
    p.scale[c] = high;
    p.scale_low[c] = static_cast<float>(rstd[c] - static_cast<double>(high));
    p.offset[c] = static_cast<float>((static_cast<double>(shift) - mean[c]) * rstd[c]);
  }
  // Columns whose f32 parameters, or the step, would overflow or underflow; NaN is one.
  const auto is_exact = [&](size_t c) SIMDNORM_LAMBDA {
    const double v = variance[c] + epsilon;
    const float finite = (p.gamma[c] - p.gamma[c]) + (p.beta[c] - p.beta[c]);
    return !((__builtin_fabs(mean[c]) < 0x1p100) & (v > 0x1p-100) & (v < 0x1p100) & (finite == 0.0f));
  };
  int any = 0;
  for (size_t c = 0; c < cols; ++c) any |= is_exact(c);
  p.any_exact = any != 0;
  if (any) [[unlikely]] {
    for (size_t c = 0; c < cols; ++c) {
      p.exact[c] = is_exact(c);
      if (!p.exact[c]) continue;
      const double v = variance[c] + epsilon;
      rstd[c] = v == 0.0 ? 0.0 : 1.0 / __builtin_sqrt(v);
      p.exact_shift[c] = mean[c];
      p.exact_scale[c] = rstd[c] * static_cast<double>(p.gamma[c]);
      p.exact_offset[c] = a.beta.data ? static_cast<double>(p.beta[c]) : 0.0;
    }
  }

  const auto tell = [cols, first](float* to, auto value) SIMDNORM_LAMBDA {
    if (!to) return;
    for (size_t c = 0; c < cols; ++c) {
      const double v = value(c, static_cast<double>(to[first + c]));
      to[first + c] = v == v ? static_cast<float>(v) : __builtin_nanf("");
    }
  };
  tell(a.mean, [&](size_t c, double) SIMDNORM_LAMBDA { return mean[c]; });
  const double keep = 1.0 - a.momentum;
  if (values) {
    tell(a.rstd, [&](size_t c, double) SIMDNORM_LAMBDA { return values[c] > 0.0 ? rstd[c] : 0.0; });
    for (size_t c = 0; c < cols; ++c) {
      const double n = values[c];
      const auto update = [&](float* to, double value) SIMDNORM_LAMBDA {
        if (!to) return;
        const double v = keep * static_cast<double>(to[first + c]) + a.momentum * value;
        to[first + c] = v == v ? static_cast<float>(v) : __builtin_nanf("");
      };
      if (n > 0.0) update(a.running_mean, mean[c]);
      if (n > (a.biased ? 0.0 : 1.0)) update(a.running_variance, variance[c] * (a.biased ? 1.0 : n / (n - 1.0)));
    }
    return;
  }
  tell(a.rstd, [&](size_t c, double) SIMDNORM_LAMBDA { return count > 0 ? rstd[c] : 0.0; });
  if (count > 0) {
    tell(a.running_mean, [&](size_t c, double old) SIMDNORM_LAMBDA { return keep * old + a.momentum * mean[c]; });
  }
  if (count > (a.biased ? 0 : 1)) {
    const double n = static_cast<double>(count);
    const double unbias = a.biased ? 1.0 : n / (n - 1.0);
    tell(a.running_variance,
         [&](size_t c, double old) SIMDNORM_LAMBDA { return keep * old + a.momentum * (variance[c] * unbias); });
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

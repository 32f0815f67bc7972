// SPDX-License-Identifier: Apache-2.0
#include "runtime/tiles.hpp"

#include <string.h>

#include "padding.hpp"

namespace simdnorm {

namespace {

size_t least_of(size_t a, size_t b) {
  return a < b ? a : b;
}

// Statistics: a block of rows by so many columns, 16 KiB; half of it is a multiple of 8, so that an element mask of
// bits can be cut.
constexpr size_t tile_columns = 64;
// Outputs: a tile in L1 beside the halves that it comes from; with a residual, that is the second half.
constexpr size_t tile_elements = 2048;

// Elements that lie in rows.
struct typed_rows {
  const void* data;
  simdnorm_type type;
  ptrdiff_t stride;
};

// Rows of x as rows of `cols` floats, one after the other.
[[gnu::noinline]] void widen(const kernel_table& table, const typed_rows& x, size_t rows, size_t cols, float* to,
                             ptrdiff_t fetch) {
  table.convert_f32(
      {x.data, to, cols, x.type, SIMDNORM_F32, rows, x.stride, static_cast<ptrdiff_t>(cols), fetch, false}, block{});
}

// And back; `width` is that of the tile's rows.
[[gnu::noinline]] void narrow(const kernel_table& table, const float* from, size_t width, size_t rows, size_t cols,
                              const typed_rows& y, bool stream) {
  table.convert_f32({from, const_cast<void*>(y.data), cols, SIMDNORM_F32, y.type, rows, static_cast<ptrdiff_t>(width),
                     y.stride, 0, stream},
                    block{});
}

// The real ones of a tile's elements alone: where gaps keep what they hold. real(row, column) is asked.
template <class Real>
void narrow_real(const kernel_table& table, const float* from, size_t rows, size_t cols, const typed_rows& y,
                 Real real) {
  constexpr size_t some = 64;
  const size_t bytes = bytes_of(y.type);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; c += some) {
      alignas(4) char rounded[some * sizeof(float)];
      const size_t n = least_of(some, cols - c);
      narrow(table, from + r * cols + c, n, 1, n, {rounded, y.type, 0}, false);
      auto* to = static_cast<char*>(advanced(const_cast<void*>(y.data), y.type,
                                             static_cast<ptrdiff_t>(r) * y.stride + static_cast<ptrdiff_t>(c)));
      for (size_t k = 0; k < n; ++k) {
        if (real(r, c + k)) memcpy(to + k * bytes, rounded + k * bytes, bytes);
      }
    }
  }
}

// Where a walk over the real rows of a block stands; under an element mask all rows are real.
struct row_walker {
  const simdnorm_padding& padding;
  size_t end;
  row_run run;

  row_walker(const simdnorm_padding& p, size_t first, size_t last)
      : padding(p), end(last), run(next_real_run(p, first, last)) {}
  // The next run of real rows, of at most `wanted`; empty where there are no more.
  [[gnu::noinline]] row_run take(size_t wanted) {
    const size_t stop = run.first + least_of(wanted, run.last - run.first);
    const row_run taken{run.first, stop};
    run.first = stop;
    if (run.first == run.last) run = next_real_run(padding, run.last, end);
    return taken;
  }
};

// What is left of a padding in a tile of real rows that begins with (row, col).
simdnorm_padding in_tile(const simdnorm_padding& padding, size_t mask_cols, size_t row, size_t col) {
  simdnorm_padding p{};
  p.fill = padding.fill;
  if (!masks_elements(padding)) return p;
  p.kind = padding.kind;
  p.data = element_marks(padding, mask_cols, row, col);
  return p;
}

bool is_marked(const simdnorm_padding& padding, size_t mask_cols, size_t row, size_t col) {
  const uint8_t* marks = element_marks(padding, mask_cols, row, 0);
  return padding.kind == SIMDNORM_PADDING_ELEMENT_MASK ? marks[col] != 0 : bit_at(marks, col);
}

// A block of real rows.
struct row_block {
  size_t rows = 0, count = 0;
  row_run runs[rows_per_block];

  // The next rows of the walk, at most `wanted`.
  row_block(row_walker& walk, size_t wanted) {
    while (rows < wanted) {
      const row_run some = walk.take(wanted - rows);
      if (some.first == some.last) return;
      runs[count++] = some;
      rows += some.last - some.first;
    }
  }
  void widen_columns(const kernel_table& table, const typed_rows& x, size_t col, size_t cols, float* tile,
                     ptrdiff_t fetch) const {
    for (size_t i = 0; i < count; ++i) {
      const size_t n = runs[i].last - runs[i].first;
      const auto at = static_cast<ptrdiff_t>(runs[i].first) * x.stride + static_cast<ptrdiff_t>(col);
      widen(table, {advanced(x.data, x.type, at), x.type, x.stride}, n, cols, tile, fetch);
      tile += n * cols;
    }
  }
};

}  // namespace

void widen_row(const kernel_table& table, const void* from, simdnorm_type type, float* to, size_t n) noexcept {
  widen(table, {from, type, 0}, 1, n, to, 0);
}

namespace {

// Rows are gone through once, all columns of the block of rows before the next: with 64 columns after the other a
// matrix of 65536x256 took longer than f32. Masked, a kernel's stack is 7 KiB more, and tile and state are half as
// wide.
template <bool Masked>
[[gnu::noinline]] void moments_of_some_columns(const kernel_table& table, const column_moments_masked_arguments& m,
                                               const block& b, size_t col_first, size_t col_last, bool last) {
  const column_moments_arguments& a = m.rows;
  constexpr size_t width = Masked ? tile_columns / 2 : tile_columns;
  alignas(64) float tile[rows_per_block * width];
  float weights[rows_per_block];
  // The open span of the columns; what was given stays where the span is closed.
  constexpr size_t most = Masked ? columns_per_strip / 2 : size_t{columns_per_strip};
  float shift[most];
  double sum[most], squares[most], values[Masked ? most : 1], weight[Masked ? most : 1];
  uint64_t open_count = a.open ? a.open->count : 0, total_count = a.total->count;
  const size_t offset = col_first - b.col_first, all = col_last - col_first;
  const auto carry = [&](auto copy) {
    copy(a.open->shift, shift);
    copy(a.open->sum, sum);
    copy(a.open->squares, squares);
    if constexpr (Masked) {
      copy(a.open->values, values);
      copy(a.open->weight, weight);
    }
  };
  if (open_count > 0) carry([&](auto* given, auto* here) { memcpy(here, given + offset, all * sizeof *here); });
  // The tile's `rows` rows into columns [col, col + cols), `close` the span of these.
  const auto add = [&](const simdnorm_padding& padding, size_t rows, size_t col, size_t cols, bool close,
                       column_span& open, column_fold& total) {
    const size_t at = col - col_first;
    const auto part = [&](auto* of_block) { return of_block ? of_block + offset + at : nullptr; };
    open = {
        open_count, shift + at, sum + at, squares + at, Masked ? values + at : nullptr, Masked ? weight + at : nullptr};
    total = {total_count,        part(a.total->mean),   part(a.total->m2),    part(a.total->min),
             part(a.total->max), part(a.total->values), part(a.total->weight)};
    const column_moments_arguments of_tile{tile, static_cast<ptrdiff_t>(cols), padding, rows, &open, close, &total,
                                           false};
    const block columns{0, rows, 0, cols};
    if constexpr (Masked) {
      table.column_moments_masked_f32({of_tile, m.gaps, m.weights ? weights : nullptr}, columns);
    } else {
      table.column_moments_f32(of_tile, columns);
    }
  };
  column_span open;
  column_fold total;
  row_walker walk(a.padding, b.row_first, b.row_last);
  for (size_t left = a.valid_rows; left > 0;) {
    const row_block rows(walk, least_of(left, rows_per_block));
    if (rows.rows == 0) break;
    left -= rows.rows;
    const ptrdiff_t fetch = a.far && left > 0 ? static_cast<ptrdiff_t>(rows.rows) * a.x_stride : 0;
    for (size_t i = 0, r = 0; m.weights && i < rows.count; ++i) {
      for (size_t row = rows.runs[i].first; row < rows.runs[i].last; ++row) weights[r++] = m.weights[row];
    }
    for (size_t col = col_first; col < col_last; col += width) {
      const size_t cols = least_of(width, col_last - col);
      rows.widen_columns(table, {a.x, a.x_type, a.x_stride}, col, cols, tile, fetch);
      add(in_tile(a.padding, m.gaps.cols, rows.runs[0].first, col), rows.rows, col, cols, false, open, total);
    }
    open_count = open.count;
    total_count = total.count;
  }
  if (a.close) {
    for (size_t col = col_first; col < col_last; col += width) {
      add({}, 0, col, least_of(width, col_last - col), true, open, total);
    }
    total_count = total.count;
  } else {
    carry([&](auto* given, auto* here) { memcpy(given + offset, here, all * sizeof *here); });
  }
  if (!last) return;  // the next columns begin with the same counts
  if (!a.close) a.open->count = open_count;
  a.total->count = total_count;
}

}  // namespace

void moments_of_tiles(const kernel_table& table, const column_moments_masked_arguments& m, bool masked,
                      const block& b) noexcept {
  if (!masked) return moments_of_some_columns<false>(table, m, b, b.col_first, b.col_last, true);
  constexpr size_t some = columns_per_strip / 2;
  for (size_t col = b.col_first; col < b.col_last; col += some) {
    const size_t end = least_of(col + some, b.col_last);
    moments_of_some_columns<true>(table, m, b, col, end, end == b.col_last);
  }
}

void extremes_of_tiles(const kernel_table& table, const column_extremes_arguments& a, const block& b) noexcept {
  alignas(64) float tile[rows_per_block * tile_columns];
  row_walker walk(a.padding, b.row_first, b.row_last);
  for (;;) {
    const row_block rows(walk, rows_per_block);
    if (rows.rows == 0) return;
    for (size_t col = b.col_first; col < b.col_last; col += tile_columns) {
      const size_t cols = least_of(tile_columns, b.col_last - col);
      const size_t i = col - b.col_first;
      rows.widen_columns(table, {a.x, a.x_type, a.x_stride}, col, cols, tile, 0);
      table.column_extremes_f32(
          {tile, static_cast<ptrdiff_t>(cols), in_tile(a.padding, a.gaps.cols, rows.runs[0].first, col), a.min + i,
           a.max + i, a.gaps},
          block{0, rows.rows, 0, cols});
    }
  }
}

namespace {

// Rows and columns to be normalized.
struct typed_matrix {
  typed_rows x, y, residual;
  const simdnorm_padding& padding;
  size_t mask_cols;
  bool stream;
};

// Calls kernel(tile, residual, padding, rows), which leaves y in the tile, over the rows and columns of the block.
template <class Kernel>
void for_output_tiles(const kernel_table& table, const typed_matrix& m, const block& b, Kernel kernel) {
  alignas(64) float tile[tile_elements];
  const bool more = m.residual.data != nullptr;
  const size_t cols = b.col_last - b.col_first;
  const size_t most = (more ? tile_elements / 2 : tile_elements) / cols;
  float* residual = more ? tile + most * cols : nullptr;
  const bool marked = masks_elements(m.padding);
  const bool keep = m.padding.fill == SIMDNORM_FILL_KEEP;
  const bool stream = m.stream && m.x.data != m.y.data;
  const ptrdiff_t fetch = m.stream ? static_cast<ptrdiff_t>(most) * m.x.stride : 0;
  const auto from = [&](const typed_rows& of, size_t row) -> typed_rows {
    const auto at = static_cast<ptrdiff_t>(row) * of.stride + static_cast<ptrdiff_t>(b.col_first);
    return {advanced(of.data, of.type, at), of.type, of.stride};
  };
  const auto clear = [&](size_t row, size_t last) {
    for (; !keep && row < last; ++row) memset(const_cast<void*>(from(m.y, row).data), 0, cols * bytes_of(m.y.type));
  };
  // Back to front, 512 KiB of halves at a time: the rows that statistics read last are still in L2.
  constexpr size_t chunk_of_elements = size_t{1} << 17;
  const size_t chunk = chunk_of_elements / cols;
  for (size_t end = b.row_last, begin; end > b.row_first; end = begin) {
    begin = end - b.row_first > chunk ? end - chunk : b.row_first;
    size_t row = begin;
    for (row_walker walk(m.padding, begin, end); row < end;) {
      constexpr size_t most_runs = 64;
      row_run runs[most_runs];
      size_t count = 0, n = 0;
      while (n < most && count < most_runs) {
        const row_run some = walk.take(most - n);
        if (some.first == some.last) break;
        const size_t rows = some.last - some.first;
        widen(table, from(m.x, some.first), rows, cols, tile + n * cols, some.first + most < end ? fetch : 0);
        if (more) widen(table, from(m.residual, some.first), rows, cols, residual + n * cols, 0);
        runs[count++] = some;
        n += rows;
      }
      if (n > 0) kernel(tile, residual, in_tile(m.padding, m.mask_cols, runs[0].first, b.col_first), n);
      const float* out = tile;
      for (size_t i = 0; i < count; ++i) {
        const row_run& some = runs[i];
        const size_t rows = some.last - some.first;
        clear(row, some.first);
        if (marked && keep) {
          narrow_real(table, out, rows, cols, from(m.y, some.first), [&](size_t r, size_t c) {
            return is_marked(m.padding, m.mask_cols, some.first + r, b.col_first + c);
          });
        } else {
          narrow(table, out, cols, rows, cols, from(m.y, some.first), stream);
        }
        out += rows * cols;
        row = some.last;
      }
      if (n == 0) {
        clear(row, end);
        row = end;
      }
    }
  }
}

}  // namespace

void affine_of_tiles(const kernel_table& table, const column_affine_arguments& a, const block& b) noexcept {
  const typed_matrix m{{a.x, a.x_type, a.x_stride}, {a.y, a.y_type, a.y_stride}, {}, a.padding, a.gaps.cols, a.stream};
  const size_t cols = b.col_last - b.col_first;
  const auto stride = static_cast<ptrdiff_t>(cols);
  for_output_tiles(table, m, b, [&](float* tile, const float*, const simdnorm_padding& padding, size_t rows) {
    table.column_affine_f32({tile, tile, stride, stride, padding, a.parameters, false, a.gaps},
                            block{0, rows, 0, cols});
  });
}

void affine_of_tiles(const kernel_table& table, const channel_rows_affine_arguments& a, const block& b) noexcept {
  const typed_matrix m{{a.x, a.x_type, a.x_stride},
                       {a.y, a.y_type, a.y_stride},
                       {a.residual, a.residual_type, a.residual_stride},
                       a.padding,
                       a.mask_cols,
                       false};
  const size_t cols = b.col_last - b.col_first;
  const auto stride = static_cast<ptrdiff_t>(cols);
  for_output_tiles(table, m, b, [&](float* tile, const float* residual, const simdnorm_padding& padding, size_t rows) {
    table.channel_rows_affine_f32(
        {tile, tile, residual, stride, stride, stride, padding, a.parameters, a.relu, a.mask_cols},
        block{0, rows, 0, cols});
  });
}

void affine_of_tiles(const kernel_table& table, const channel_affine_arguments& a, const block& b) noexcept {
  alignas(64) float tile[tile_elements];
  const bool more = a.residual != nullptr;
  const size_t room = more ? tile_elements / 2 : tile_elements;
  float* residual = more ? tile + room : nullptr;
  const size_t part = least_of(a.size, room);
  const bool marked = a.mask.kind >= channel_mask::bytes;
  const bool keep = a.fill == SIMDNORM_FILL_KEEP;
  // Planes [c, c + planes) of sample n, elements [from, from + size) of each.
  const auto write = [&](size_t n, size_t c, size_t planes, size_t from, size_t size) {
    const auto rows_of = [&](const void* data, const channel_strides& s, simdnorm_type type) -> typed_rows {
      const auto at =
          static_cast<ptrdiff_t>(n) * s.batch + static_cast<ptrdiff_t>(c) * s.channel + static_cast<ptrdiff_t>(from);
      return {advanced(data, type, at), type, s.channel};
    };
    channel_affine_arguments t{};
    t.mask = a.mask;
    t.mask.first += n * a.mask.plane_step + c * a.mask.set_step;
    (a.mask.kind == channel_mask::lengths ? t.mask.skipped : t.mask.first) += from;
    size_t real = size;  // leading elements of each plane; under lengths planes of a sample are alike
    if (a.mask.kind == channel_mask::lengths) {
      simdnorm_padding lengths{};
      lengths.index_type = a.mask.index_type;
      lengths.data = a.mask.data;
      const auto length = static_cast<size_t>(length_at(lengths, t.mask.first));
      real = length > t.mask.skipped ? least_of(size, length - t.mask.skipped) : 0;
    }
    const auto widen_planes = [&](const typed_rows& x, float* to) {
      table.convert_f32({x.data, to, real, x.type, SIMDNORM_F32, planes, x.stride, static_cast<ptrdiff_t>(size)},
                        block{});
    };
    widen_planes(rows_of(a.x, a.x_strides, a.x_type), tile);
    if (more) widen_planes(rows_of(a.residual, a.residual_strides, a.residual_type), residual);
    t.x = t.y = tile;
    t.residual = residual;
    t.x_strides = t.y_strides = t.residual_strides = {0, static_cast<ptrdiff_t>(size)};
    t.size = size;
    t.parameters = a.parameters;
    t.parameter = a.parameter + (c - b.col_first);
    t.fill = a.fill;
    t.relu = a.relu;
    table.channel_affine_f32(t, block{0, 1, 0, planes});
    const typed_rows y = rows_of(a.y, a.y_strides, a.y_type);
    if (marked && keep) {
      const auto* marks = static_cast<const uint8_t*>(a.mask.data);
      narrow_real(table, tile, planes, size, y, [&](size_t p, size_t i) {
        const size_t at = t.mask.first + p * a.mask.set_step + i;
        return a.mask.kind == channel_mask::bytes ? marks[at] != 0 : bit_at(marks, at);
      });
    } else {
      narrow(table, tile, size, planes, keep ? real : size, y, a.stream && a.x != a.y);
    }
  };
  for (size_t n = b.row_first; n < b.row_last; ++n) {
    if (part < a.size) {
      for (size_t c = b.col_first; c < b.col_last; ++c) {
        for (size_t from = 0; from < a.size; from += part) write(n, c, 1, from, least_of(part, a.size - from));
      }
      continue;
    }
    const size_t together = room / part;
    for (size_t c = b.col_first; c < b.col_last; c += together) {
      write(n, c, least_of(together, b.col_last - c), 0, a.size);
    }
  }
}

}  // namespace simdnorm

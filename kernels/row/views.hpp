// SPDX-License-Identifier: Apache-2.0
//
// Which rows of a block are real, batch by batch, whatever the padding; and what it asks for with the rest. Where
// padding leaves rows out, long runs of real rows are handed out as if nothing were padded; of other rows, the next 256
// are listed without a branch: one that goes with the mask costs 20 cycles wherever the mask changes, half of a row of
// 64 columns.
#pragma once

#include "padding.hpp"
#include "row/row.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Rows of a batch: 8 at most where rows lie in registers, one for each lane where a lane is a row.
constexpr size_t batch_rows = 16;

// n and inverse hold what they held before where all rows are of one length.
template <class L, class X, class Y>
struct row_batch {
  using x_type = X;
  using y_type = Y;
  size_t count;
  bool safe;                   // all rows are to be trusted
  size_t n[batch_rows];        // real columns
  double inverse[batch_rows];  // 1 / n
  size_t index[batch_rows];
  const X* x[batch_rows];
  Y* y[batch_rows];

  void leave_out(size_t) {}
};

// Once for each batch: its lengths where nothing is padded, and the places that it does not use. Stages
// work on four rows.
template <class Batch>
[[gnu::noinline]] void prepare(Batch& batch, size_t cols, size_t most) {
  const double inverse = 1.0 / static_cast<double>(cols);
  for (size_t k = 0; k < batch_rows; ++k) {
    batch.n[k] = cols;
    batch.inverse[k] = inverse;
  }
  for (size_t k = most; k % 4 != 0; ++k) batch.leave_out(k);
}

// 0, 1, 2 ...: the numbers of listed rows are copied from here, eight at a time.
struct byte_numbers {
  uint8_t v[256 + 8];
  constexpr byte_numbers() : v() {
    for (size_t i = 0; i < sizeof v; ++i) v[i] = static_cast<uint8_t>(i);
  }
};
constexpr byte_numbers numbers_from_0;

// Of the rows from `first` on, the real ones in the order in which they are done, and behind them the padded ones. What
// fills it is of no element type, and in the library once.
struct row_order {
  static constexpr size_t most = 256;
  size_t first = 0, at = 0, real = 0;
  uint8_t rows[most + 8];

  size_t next() { return first + rows[at++]; }
};

[[gnu::noinline]] inline void list_masked(row_order& list, const simdnorm_padding& padding, size_t n) {
  uint8_t padded[row_order::most];
  size_t real = 0;  // no member: a byte may be stored anywhere
  with_row_mask(padding, [&](auto counts) SIMDNORM_LAMBDA {
    for (size_t i = 0; i < n; ++i) {
      const bool it_does = counts(list.first + i);
      list.rows[real] = padded[i - real] = static_cast<uint8_t>(i);
      real += it_does;
    }
  });
  list.real = real;
  __builtin_memcpy(list.rows + real, padded, n - real);
}

// Of offsets or sequences.
[[gnu::noinline]] inline void list_runs(row_order& list, const simdnorm_padding& padding, size_t n, size_t rows) {
  const bool sequences = padding.kind == SIMDNORM_PADDING_SEQUENCE_LENGTHS;
  const size_t tokens = sequences ? padding.tokens : rows;
  const size_t end = list.first + n;
  size_t sequence = list.first / tokens;
  size_t begin = sequence * tokens;
  uint8_t padded[row_order::most];
  size_t real = 0, left_out = 0;
  for (size_t i = list.first; i < end;) {
    const row_run run = sequences ? row_run{begin, begin + static_cast<size_t>(length_at(padding, sequence))}
                                  : rows_of_offsets(padding);
    const size_t last = run.last < end ? run.last : end;
    const auto leave_out = [&](size_t stop) SIMDNORM_LAMBDA {
      for (; i < stop && i < end; ++i) padded[left_out++] = static_cast<uint8_t>(i - list.first);
    };
    leave_out(run.first);
    for (size_t k = i; k < last; k += 8)
      __builtin_memcpy(list.rows + real + (k - i), numbers_from_0.v + (k - list.first), 8);
    if (i < last) {
      real += last - i;
      i = last;
    }
    begin += tokens;
    ++sequence;
    leave_out(begin);
  }
  list.real = real;
  __builtin_memcpy(list.rows + real, padded, left_out);
}

// Of rows of lengths, those of the most groups of 32 elements first: a loop that turns as often as for the row before
// is foreseen, where lengths at random are three to five mispredictions a row. `registers`: of so many elements, rows
// that are shorter are the last ones; 0: in the order of memory.
[[gnu::noinline]] inline void list_lengths(row_order& list, const simdnorm_padding& padding, size_t n, size_t cols,
                                           size_t registers) {
  constexpr size_t classes = 64;
  uint8_t class_of[row_order::most];
  bool whole = true;
  const auto classify = [&](const auto* lengths) SIMDNORM_LAMBDA {
    for (size_t i = 0; i < n; ++i) {
      const size_t length = static_cast<size_t>(lengths[i]);
      const size_t c =
          (length > 0) + (registers > 0 ? (length >= registers) + (length + virtual_lanes - 1) / virtual_lanes : 0);
      class_of[i] = static_cast<uint8_t>(c < classes ? c : classes - 1);
      whole &= length == cols;
    }
  };
  if (padding.index_type == SIMDNORM_I64) {
    classify(static_cast<const int64_t*>(padding.data) + list.first);
  } else {
    classify(static_cast<const int32_t*>(padding.data) + list.first);
  }
  list.real = n;
  if (whole) {
    __builtin_memcpy(list.rows, numbers_from_0.v, n);
    return;
  }
  uint16_t place[classes] = {};
  for (size_t i = 0; i < n; ++i) ++place[class_of[i]];
  uint16_t longer = 0;
  for (size_t c = classes; c-- > 0;) {
    const uint16_t rows = place[c];
    place[c] = longer;
    longer = static_cast<uint16_t>(longer + rows);
  }
  list.real = place[0];
  for (size_t i = 0; i < n; ++i) list.rows[place[class_of[i]]++] = static_cast<uint8_t>(i);
}

[[gnu::noinline]] inline row_run first_run(const simdnorm_padding& padding, size_t row, size_t end) {
  return next_real_run(padding, row, end);
}

constexpr size_t rows_at_once = 8;

// From a row to the 8 from it on, in bytes.
template <class X, class Y>
struct row_offsets {
  uintptr_t x[rows_at_once], y[rows_at_once];

  [[gnu::noinline]] explicit row_offsets(const row_norm_arguments& a) {
    for (size_t k = 0; k < rows_at_once; ++k) {
      x[k] = k * static_cast<uintptr_t>(a.x_stride) * sizeof(X);
      y[k] = k * static_cast<uintptr_t>(a.y_stride) * sizeof(Y);
    }
  }
};

// Hands out the rows of a block that have real columns.
template <class L, class X, class Y>
class real_row_views {
 public:
  real_row_views(const row_norm_arguments& a, const block& b)
      : a_(a),
        next_(b.row_first),
        run_end_(b.row_last),
        last_(b.row_last),
        x_(static_cast<const X*>(a.x) + static_cast<ptrdiff_t>(b.row_first) * a.x_stride),
        y_(static_cast<Y*>(a.y) + static_cast<ptrdiff_t>(b.row_first) * a.y_stride) {
    if (a.padding.kind == SIMDNORM_PADDING_NONE || masks_elements(a.padding)) {
      way_ = all;
    } else if (a.padding.kind == SIMDNORM_PADDING_ROW_LENGTHS || a.walk != nullptr) {
      way_ = one_by_one;
    } else {
      way_ = in_runs;
      run_end_ = next_;
    }
    if (a.walk != nullptr) [[unlikely]]
      start_walk();
  }

  // Up to `most` rows; false if there are none. Where nothing is padded, lengths are as they were set. `offsets`, where
  // given, are for eight rows at once: one by one they are 20 instructions each, of 170 of a row of 64 columns.
  template <class Batch>
  SIMDNORM_INLINE bool take(Batch& batch, size_t most, const row_offsets<X, Y>* offsets = nullptr) {
    batch.count = 0;
    if (way_ <= in_runs && list_.real == 0) [[likely]] {
      if (offsets != nullptr && most == rows_at_once && next_ < run_end_) put_some(batch, *offsets);
      while (batch.count < most && (next_ < run_end_ || next_run(batch, most))) put(batch, true);
    } else {
      take_some(batch, most);
    }
    if (batch.count < most) leave_out_rest(batch);
    return batch.count > 0;
  }

  // From here on rows of lengths are taken in memory's order, and what lies behind a length is left to who writes the
  // row: by storing all registers of it, or by fill_end. False: these are not such rows, and nothing is changed. Beyond
  // `most` columns the work on what lies there costs more; below 64 masked loads of the row's shift would reach behind
  // the matrix, where qemu 7.2 faults.
  bool take_as_whole(size_t most) {
    if (a_.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS || a_.walk != nullptr || a_.cols < shift_elements ||
        a_.cols > most || a_.cols % virtual_lanes != 0) {
      return false;
    }
    way_ = lengths_in_order;
    return true;
  }
  template <class Batch>
  SIMDNORM_INLINE void fill_end(const Batch& batch, size_t k) const {
    if (batch.n[k] < a_.cols) zero(batch.y[k], batch.n[k]);
  }

 private:
  enum way { all, in_runs, one_by_one, lengths_in_order };
  static constexpr size_t listed_elements = 65536;  // of rows in another order: 256 KiB, so that they stay in L2
  static constexpr size_t long_run = 32;

  template <class Batch>
  [[gnu::noinline]] static void leave_out_rest(Batch& batch) {
    for (size_t k = batch.count; k % 4 != 0; ++k) batch.leave_out(k);
  }
  // The next rows of a run into a batch without any. Places beyond them are written, too.
  SIMDNORM_INLINE void put_some(row_batch<L, X, Y>& batch, const row_offsets<X, Y>& offsets) {
    const size_t left = run_end_ - next_;
    const size_t n = left < rows_at_once ? left : rows_at_once;
    const uintptr_t x = reinterpret_cast<uintptr_t>(x_), y = reinterpret_cast<uintptr_t>(y_);
    const size_t next = next_;
    for (size_t k = 0; k < rows_at_once; ++k) {
      batch.index[k] = next + k;
      batch.x[k] = reinterpret_cast<const X*>(x + offsets.x[k]);
      batch.y[k] = reinterpret_cast<Y*>(y + offsets.y[k]);
    }
    batch.count = n;
    next_ = next + n;
    x_ += static_cast<ptrdiff_t>(n) * a_.x_stride;
    y_ += static_cast<ptrdiff_t>(n) * a_.y_stride;
  }
  // The next row; into the batch, if it is real.
  SIMDNORM_INLINE void put(row_batch<L, X, Y>& batch, bool real) {
    const size_t k = batch.count;
    batch.index[k] = next_;
    batch.x[k] = x_;
    batch.y[k] = y_;
    batch.count = k + real;
    ++next_;
    x_ += a_.x_stride;
    y_ += a_.y_stride;
  }
  [[gnu::noinline]] void take_some(row_batch<L, X, Y>& batch, size_t most) {
    if (way_ == in_runs) return take_listed(batch, most);
    if (way_ == lengths_in_order) return take_lengths_in_order(batch, most);
    if (a_.walk == nullptr) return take_lengths(batch, most);
    while (batch.count < most && (next_ < run_end_ || next_run_of_walk())) {
      const size_t n = real_columns(a_.padding, token_of(next_), a_.cols);
      set_length(batch, n);
      if (n < a_.cols) pad(next_, y_, n);
      put(batch, n > 0);
    }
  }
  void take_lengths_in_order(row_batch<L, X, Y>& batch, size_t most) {
    while (batch.count < most && next_ < last_) {
      const size_t n = static_cast<size_t>(length_at(a_.padding, next_));
      if (n == 0) {
        pad(next_, y_, 0);
      } else {
        set_length(batch, n);
      }
      put(batch, n > 0);
    }
  }
  void take_lengths(row_batch<L, X, Y>& batch, size_t most) {
    for (; batch.count < most; ++batch.count) {
      if (list_.at == list_.real && !next_lengths()) return;
      const size_t i = list_.next();
      const size_t n = static_cast<size_t>(length_at(a_.padding, i));
      place_row(batch, batch.count, i);
      set_length(batch, n);
      if (n < a_.cols) pad(i, row_of_y(i), n);
    }
  }
  SIMDNORM_INLINE void set_length(row_batch<L, X, Y>& batch, size_t n) {
    const size_t k = batch.count;
    if (n == batch.n[k]) return;  // a division is an eighth of a row of 64
    batch.n[k] = n;
    batch.inverse[k] = 1.0 / static_cast<double>(n);
  }
  SIMDNORM_INLINE void place_row(row_batch<L, X, Y>& batch, size_t k, size_t i) {
    batch.index[k] = i;
    batch.x[k] = row_of_x(i);
    batch.y[k] = row_of_y(i);
  }
  // False if no real row is left.
  [[gnu::noinline]] bool next_lengths() {
    list_.at = list_.real = 0;
    while (list_.real == 0 && next_ < last_) {
      const size_t fit = listed_elements / a_.cols;
      list_next(fit < 8 ? 8 : fit < row_order::most ? fit : row_order::most);
    }
    return list_.real > 0;
  }
  void list_next(size_t most) {
    const size_t n = last_ - next_ < most ? last_ - next_ : most;
    list_.first = next_;
    list_.at = 0;
    next_ += n;
    if (way_ == one_by_one) {
      list_lengths(list_, a_.padding, n, a_.cols, a_.rows_together > 0 ? L::width : 0);
    } else if (is_row_mask(a_.padding)) {
      list_masked(list_, a_.padding, n);
    } else {
      list_runs(list_, a_.padding, n, last_);
    }
    for (size_t k = list_.real; k < n; ++k) pad(list_.first + list_.rows[k], row_of_y(list_.first + list_.rows[k]), 0);
  }
  size_t token_of(size_t row) const {
    const bool tokens = a_.walk != nullptr && a_.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS;
    return tokens ? row / a_.walk->rows_per_token : row;
  }
  // More rows: from here on, or, false, in the batch.
  [[gnu::noinline]] bool next_run(row_batch<L, X, Y>& batch, size_t most) {
    if (way_ == all) return next_run_of_walk();
    if (start_run()) return true;
    take_listed(batch, most);
    return false;
  }
  void take_listed(row_batch<L, X, Y>& batch, size_t most) {
    while (batch.count < most) {
      if (list_.at == list_.real) {
        list_.at = list_.real = 0;
        if (start_run()) {
          while (batch.count < most) put(batch, true);  // a long run is longer than that
          return;
        }
        if (list_.real == 0) return;
      }
      if (batch.count == 0 && most == rows_at_once && list_.real - list_.at >= most) {
        place_eight(batch);
        return;
      }
      while (batch.count < most && list_.at < list_.real) place_row(batch, batch.count++, list_.next());
    }
  }
  void place_eight(row_batch<L, X, Y>& batch) {
    const uintptr_t x = reinterpret_cast<uintptr_t>(a_.x), y = reinterpret_cast<uintptr_t>(a_.y);
    const size_t x_bytes = static_cast<size_t>(a_.x_stride) * sizeof(X);
    const size_t y_bytes = static_cast<size_t>(a_.y_stride) * sizeof(Y);
    const uint8_t* const rows = list_.rows + list_.at;
    for (size_t k = 0; k < rows_at_once; ++k) {
      const size_t i = list_.first + rows[k];
      batch.index[k] = i;
      batch.x[k] = reinterpret_cast<const X*>(x + i * x_bytes);
      batch.y[k] = reinterpret_cast<Y*>(y + i * y_bytes);
    }
    list_.at += rows_at_once;
    batch.count = rows_at_once;
  }
  const X* row_of_x(size_t i) const { return static_cast<const X*>(a_.x) + static_cast<ptrdiff_t>(i) * a_.x_stride; }
  Y* row_of_y(size_t i) const { return static_cast<Y*>(a_.y) + static_cast<ptrdiff_t>(i) * a_.y_stride; }

  // True: rows from next_ to run_end_ are real, and many. False: what is real of the next rows is listed, and nothing
  // if there are none.
  [[gnu::noinline]] bool start_run() {
    while (next_ < last_) {
      const row_run run = first_run(a_.padding, next_, last_);
      if (run.last - run.first >= long_run) {
        pad_rows(next_, run.first);
        next_ = run.first;
        x_ = row_of_x(next_);
        y_ = row_of_y(next_);
        run_end_ = run.last;
        return true;
      }
      list_next(row_order::most);
      if (list_.real > 0) break;
    }
    run_end_ = next_;
    return false;
  }
  // What becomes of rows [i, last) that are not real: together, where they follow each other in memory.
  void pad_rows(size_t i, size_t last) const {
    if constexpr (sizeof(Y) > 1) {
      if (i + 1 < last && a_.padding.fill == SIMDNORM_FILL_ZERO && a_.y_stride == static_cast<ptrdiff_t>(a_.cols)) {
        zero_all(row_of_y(i), (last - i) * a_.cols);
        for (; i < last; ++i) pad_statistics(i);
        return;
      }
    }
    for (; i < last; ++i) pad(i, row_of_y(i), 0);
  }
  // What becomes of row i from column n on.
  [[gnu::noinline]] void pad(size_t i, Y* y, size_t n) const {
    if (a_.padding.fill == SIMDNORM_FILL_ZERO) zero(y, n);
    if (n == 0) pad_statistics(i);
  }
  void pad_statistics(size_t i) const {
    if (a_.mean) a_.mean[i] = 0.0f;
    if (a_.rstd) a_.rstd[i] = 0.0f;
  }
  void zero_all(Y* y, size_t n) const {
    if constexpr (L::streams) {
      if (a_.stream) return fill_row<L, stores::streamed>(y, n, 0.0f);
    }
    fill_row<L, stores::cached>(y, n, 0.0f);
  }
  void zero(Y* y, size_t n) const {
    if constexpr (sizeof(Y) == 1) {  // rows_in_bytes
      __builtin_memset(y + n * a_.y_bytes, a_.fill_byte, (a_.cols - n) * a_.y_bytes);
    } else {
      if constexpr (L::streams) {
        if (a_.stream) return fill_row<L, stores::streamed>(y + n, a_.cols - n, 0.0f);
      }
      if (way_ == one_by_one && a_.cols - n >= L::width) return zero_columns(y, n);
      fill_row<L, stores::cached>(y + n, a_.cols - n, 0.0f);
    }
  }
  // By registers that end with the row, so that no branch depends on where in a group of 32 its elements end.
  void zero_columns(Y* y, size_t n) const {
    const typename L::f32 nothing = L::broadcast(0.0f);
    const size_t end = a_.cols - L::width;
    for (; n + virtual_lanes <= a_.cols; n += virtual_lanes) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { L::store(y + n + g * L::width, nothing); });
    }
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const size_t at = n + g * L::width;
      L::store(y + (at < end ? at : end), nothing);
    });
  }
  // A run: rows that are a stride apart.
  [[gnu::noinline]] void start_walk() {
    const row_walk& w = *a_.walk;
    size_t rest = next_;
    for (size_t d = w.dimensions; d-- > 0; rest /= w.sizes[d]) digits_[d] = rest % w.sizes[d];
    place();
  }
  [[gnu::noinline]] bool next_run_of_walk() {
    if (next_ >= last_) return false;
    const row_walk& w = *a_.walk;
    size_t d = w.dimensions - 1;
    digits_[d] = 0;
    for (--d; ++digits_[d] == w.sizes[d]; --d) digits_[d] = 0;
    place();
    return true;
  }
  void place() {
    const row_walk& w = *a_.walk;
    x_ = static_cast<const X*>(a_.x);
    y_ = static_cast<Y*>(a_.y);
    for (size_t d = 0; d < w.dimensions; ++d) {
      x_ += static_cast<ptrdiff_t>(digits_[d]) * w.x_strides[d];
      y_ += static_cast<ptrdiff_t>(digits_[d]) * w.y_strides[d];
    }
    const size_t run = w.sizes[w.dimensions - 1] - digits_[w.dimensions - 1];
    run_end_ = last_ - next_ < run ? last_ : next_ + run;
  }

  const row_norm_arguments& a_;
  size_t next_, run_end_, last_;
  size_t digits_[4];
  way way_;
  const X* x_;
  Y* y_;
  row_order list_;
};

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// What column-wise kernels share: the walk over real rows. docs/numerics.md defines the arithmetic.
#pragma once

#include "inline.hpp"
#include "padding.hpp"
#include "repeat.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Hands out pointers to the real rows of a block, in order.
class real_rows {
 public:
  real_rows(const void* x, ptrdiff_t stride, const simdnorm_padding& padding, const block& b)
      : x_(static_cast<const float*>(x) + b.col_first),
        stride_(stride),
        padding_(padding),
        end_(b.row_last),
        run_(is_row_mask(padding) ? row_run{b.row_first, b.row_last}
                                  : next_real_run(padding, b.row_first, b.row_last)) {}

  // At most `wanted`; fewer only where there are no more.
  size_t take(const float** rows, size_t wanted) {
    if (is_row_mask(padding_)) {
      if (end_ - run_.first >= wanted && all_rows_real(padding_, run_.first, wanted)) {
        put(rows, wanted);
        return wanted;
      }
      return take_marked(rows, wanted);
    }
    size_t taken = 0;
    while (taken < wanted && run_.first < end_) {
      const size_t rest = run_.last - run_.first;
      const size_t count = wanted - taken < rest ? wanted - taken : rest;
      put(rows + taken, count);
      taken += count;
      if (run_.first == run_.last) run_ = next_real_run(padding_, run_.last, end_);
    }
    return taken;
  }

 private:
  void put(const float** rows, size_t count) {
    const float* row = x_ + static_cast<ptrdiff_t>(run_.first) * stride_;
    for (size_t i = 0; i < count; ++i) rows[i] = row + static_cast<ptrdiff_t>(i) * stride_;
    run_.first += count;
  }
  size_t take_marked(const float** rows, size_t wanted) {
    size_t taken = 0;
    with_row_mask(padding_, [&](auto real) SIMDNORM_LAMBDA {
      while (taken < wanted && run_.first < end_) {
        const size_t most = run_.first + (wanted - taken);
        const size_t stop = most < end_ ? most : end_;
        const float* row = x_ + static_cast<ptrdiff_t>(run_.first) * stride_;
        size_t count = taken;
        for (size_t i = run_.first; i < stop; ++i, row += stride_) {
          rows[count] = row;
          count += real(i);
        }
        run_.first = stop;
        taken = count;
      }
    });
    return taken;
  }

  const float* x_;
  ptrdiff_t stride_;
  const simdnorm_padding& padding_;
  size_t end_;
  row_run run_;
};

// How the registers of a group of columns are read and written: whole, or the first n elements.
template <class L>
struct whole_register {
  static constexpr bool whole = true;
  SIMDNORM_INLINE typename L::f32 load(const float* p) const { return L::load(p); }
  SIMDNORM_INLINE void store(float* p, typename L::f32 v) const { L::store(p, v); }
  SIMDNORM_INLINE typename L::mask mask_bytes(const uint8_t* p) const { return L::mask_bytes(p); }
  SIMDNORM_INLINE typename L::mask mask_bits(const uint8_t* p, size_t i) const { return L::mask_bits(p, i); }
};
template <class L>
struct part_of_register {
  static constexpr bool whole = false;
  size_t n;
  SIMDNORM_INLINE typename L::f32 load(const float* p) const { return L::load_n(p, n); }
  SIMDNORM_INLINE void store(float* p, typename L::f32 v) const { L::store_n(p, v, n); }
  SIMDNORM_INLINE typename L::mask mask_bytes(const uint8_t* p) const { return L::mask_bytes_n(p, n); }
  SIMDNORM_INLINE typename L::mask mask_bits(const uint8_t* p, size_t i) const { return L::mask_bits_n(p, i, n); }
};
// Stores n elements piece by piece: AVX-512's masked store takes the next line, too, of a register that
// crosses into it, and a line that then is streamed is slow (16384x1000 took three times as long).
template <class L>
struct pieces_of_register : part_of_register<L> {
  SIMDNORM_INLINE void store(float* p, typename L::f32 v) const {
    float all[L::width];
    L::store(all, v);
    size_t from = 0;
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      constexpr size_t piece = size_t{8} >> k;
      if constexpr (piece < L::width) {
        if (this->n & piece) {
          __builtin_memcpy(p + from, all + from, piece * sizeof(float));
          from += piece;
        }
      }
    });
  }
};

// Calls work(access, first column, registers side by side as a constant) over columns [first, last) of a
// strip: several registers hide each other's latency.
template <class L, class Part = part_of_register<L>, class Work>
SIMDNORM_INLINE void for_column_groups(size_t first, size_t last, Work work) {
  constexpr size_t together = L::columns_together;
  size_t j = first;
  for (; j + together * L::width <= last; j += together * L::width) {
    work(whole_register<L>{}, j, constant<together>{});
  }
  for (; j + L::width <= last; j += L::width) work(whole_register<L>{}, j, constant<size_t{1}>{});
  if (j < last) work(Part{{last - j}}, j, constant<size_t{1}>{});
}

// Which elements of a row are real: `marks` is the row's part of an element mask, and `Numbers` says that
// NaN is not.
enum class mark_form { none, bytes, bits };
template <class L, mark_form Form, bool Numbers>
struct real_elements {
  static constexpr mark_form form = Form;
  static constexpr bool all = Form == mark_form::none && !Numbers;
  // The element's value of `v`, else `otherwise`; x is what the element holds.
  template <class Access>
  SIMDNORM_INLINE static typename L::f32 choose(const Access& access, const uint8_t* marks, size_t j, typename L::f32 x,
                                                typename L::f32 v, typename L::f32 otherwise) {
    if constexpr (all) {
      return v;
    } else if constexpr (Form == mark_form::none) {
      return L::select(L::is_number(x), v, otherwise);
    } else if constexpr (Numbers) {
      return L::select(marked(access, marks, j) & L::is_number(x), v, otherwise);
    } else {
      return L::select(marked(access, marks, j), v, otherwise);
    }
  }
  SIMDNORM_INLINE static bool is(const uint8_t* marks, size_t j, float x) {
    if (Form == mark_form::bytes && marks[j] == 0) return false;
    if (Form == mark_form::bits && !bit_at(marks, j)) return false;
    return !Numbers || x == x;
  }

 private:
  template <class Access>
  SIMDNORM_INLINE static typename L::mask marked(const Access& access, const uint8_t* marks, size_t j) {
    if constexpr (Form == mark_form::bytes) {
      return access.mask_bytes(marks + j);
    } else {
      return access.mask_bits(marks, j);
    }
  }
};

// work(real_elements) for what a call has.
template <class L, class Work>
SIMDNORM_INLINE void with_real_elements(const simdnorm_padding& padding, const column_gaps& gaps, Work work) {
  const auto with_numbers = [&](auto numbers) SIMDNORM_LAMBDA {
    constexpr bool N = decltype(numbers){};
    switch (padding.kind) {
      case SIMDNORM_PADDING_ELEMENT_MASK:
        return work(real_elements<L, mark_form::bytes, N>{});
      case SIMDNORM_PADDING_ELEMENT_MASK_BITS:
        return work(real_elements<L, mark_form::bits, N>{});
      default:
        return work(real_elements<L, mark_form::none, N>{});
    }
  };
  gaps.nan_is_missing ? with_numbers(constant<true>{}) : with_numbers(constant<false>{});
}

// Entries of per-column arrays that a partial register may touch: they are padded to this.
constexpr size_t strip_capacity = columns_per_strip + 16;

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

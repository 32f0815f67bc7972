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
        run_(next_real_run(padding, b.row_first, b.row_last)) {}

  // At most `wanted`; fewer only where there are no more.
  size_t take(const float** rows, size_t wanted) {
    size_t taken = 0;
    while (taken < wanted && run_.first < end_) {
      const size_t rest = run_.last - run_.first;
      const size_t count = wanted - taken < rest ? wanted - taken : rest;
      const float* row = x_ + static_cast<ptrdiff_t>(run_.first) * stride_;
      for (size_t i = 0; i < count; ++i) rows[taken + i] = row + static_cast<ptrdiff_t>(i) * stride_;
      taken += count;
      run_.first += count;
      if (run_.first == run_.last) run_ = next_real_run(padding_, run_.last, end_);
    }
    return taken;
  }

 private:
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
};
template <class L>
struct part_of_register {
  static constexpr bool whole = false;
  size_t n;
  SIMDNORM_INLINE typename L::f32 load(const float* p) const { return L::load_n(p, n); }
  SIMDNORM_INLINE void store(float* p, typename L::f32 v) const { L::store_n(p, v, n); }
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

// Entries of per-column arrays that a partial register may touch: they are padded to this.
constexpr size_t strip_capacity = columns_per_strip + 16;

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// What column-wise kernels share: the walk over real rows. docs/numerics.md defines the arithmetic.
#pragma once

#include "inline.hpp"
#include "padding.hpp"
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

// Calls step(j, load) for the registers of `cols` columns; load(p) reads the register at p + j.
template <class L, class Step>
SIMDNORM_INLINE void for_columns(size_t cols, Step step) {
  size_t j = 0;
  for (; j + L::width <= cols; j += L::width) {
    step(j, L::width, [j](const float* p) SIMDNORM_LAMBDA { return L::load(p + j); });
  }
  if (j < cols) {
    const size_t rest = cols - j;
    step(j, rest, [j, rest](const float* p) SIMDNORM_LAMBDA { return L::load_n(p + j, rest); });
  }
}

// Elements of a tile: the rows that are gone through together, one group of columns after the other.
constexpr size_t tile_elements = 4096;

// Entries of per-column arrays that a partial register may touch: they are padded to this.
constexpr size_t strip_capacity = columns_per_strip + 16;

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

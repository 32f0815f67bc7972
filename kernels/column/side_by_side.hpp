// SPDX-License-Identifier: Apache-2.0
//
// Rows of columns without gaps, stored through the caches: four side by side, register by register, with parameters
// from L1 for every four. Groups of columns that go down a tile's rows (affine.hpp) touch line by line of them, where
// prefetchers lose their way: on Zen 3 12544x64 took 1.4 times as long, 4096x256 1.16.
#pragma once

#include "column/column.hpp"
#include "nan_search.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// So few columns are as fast down a tile.
constexpr size_t least_side_by_side = 32;

struct whole_rows {
  const float* x;
  float* y;
  ptrdiff_t x_stride, y_stride;
  size_t count;
  const uint16_t* list;  // which rows from the first on; null: the first `count`

  SIMDNORM_INLINE ptrdiff_t row(size_t r) const { return static_cast<ptrdiff_t>(list == nullptr ? r : list[r]); }
};

// What follows column_output: nothing. Of a row it makes a function of a register and its first column.
struct nothing_after {
  struct finish {
    template <class V>
    SIMDNORM_INLINE V operator()(V v, size_t) const {
      return v;
    }
  };
  SIMDNORM_INLINE finish of_row(ptrdiff_t) const { return {}; }
};

// y = after(x_hat, as Output says), of at least a register of columns. The last register overlaps the one before, and
// is made first, since y may be x. NaN is looked for once, and settled in y.
template <class L, column_output Output, class After>
[[gnu::noinline]] void affine_side_by_side(const column_parameters& p, const whole_rows& rows, size_t cols,
                                           After after) {
  using f32 = typename L::f32;
  nan_search<L> nan;
  const auto write = [&](size_t r, auto count) SIMDNORM_LAMBDA {
    constexpr size_t together = decltype(count){};
    const float* x[together];
    float* y[together];
    typename After::finish finish[together];
    repeat<together>([&](auto k) SIMDNORM_LAMBDA {
      const ptrdiff_t row = rows.row(r + k);
      x[k] = rows.x + row * rows.x_stride;
      y[k] = rows.y + row * rows.y_stride;
      finish[k] = after.of_row(row);
    });
    const auto outputs = [&](size_t j, f32(&out)[together]) SIMDNORM_LAMBDA {
      const f32 shift = L::load(p.shift + j);
      const f32 scale = L::load(p.scale + j);
      const f32 low = L::load(p.scale_low + j);
      const f32 offset = L::load(p.offset + j);
      repeat<together>([&](auto k) SIMDNORM_LAMBDA {
        const f32 d = L::load(x[k] + j) - shift;
        out[k] = L::fma(d, scale, L::fma(d, low, offset));
      });
      if constexpr (Output != column_output::bare) {
        const f32 g = L::load(p.gamma + j);
        const f32 b = L::load(p.beta + j);
        repeat<together>([&](auto k) SIMDNORM_LAMBDA {
          out[k] = Output == column_output::affine ? L::fma(out[k], g, b) : L::min(g, L::max(b, out[k]));
        });
      }
      repeat<together>([&](auto k) SIMDNORM_LAMBDA { out[k] = finish[k](out[k], j); });
      nan.add(out);
    };
    const size_t last = cols - L::width;
    f32 last_out[together];
    if (cols % L::width != 0) outputs(last, last_out);
    for (size_t j = 0; j <= last; j += L::width) {
      f32 out[together];
      outputs(j, out);
      repeat<together>([&](auto k) SIMDNORM_LAMBDA { L::store(y[k] + j, out[k]); });
    }
    if (cols % L::width != 0) {
      repeat<together>([&](auto k) SIMDNORM_LAMBDA { L::store(y[k] + last, last_out[k]); });
    }
  };
  size_t r = 0;
  for (; r + 4 <= rows.count; r += 4) write(r, constant<size_t{4}>{});
  for (; r < rows.count; ++r) write(r, constant<size_t{1}>{});
  if (nan.found()) [[unlikely]] {
    for (r = 0; r < rows.count; ++r) {
      float* const y = rows.y + rows.row(r) * rows.y_stride;
      for (size_t j = 0; j < cols; ++j) y[j] = y[j] == y[j] ? y[j] : __builtin_nanf("");
    }
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

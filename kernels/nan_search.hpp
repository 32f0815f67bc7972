// SPDX-License-Identifier: Apache-2.0
//
// Whether any of many outputs is NaN, which is rare: they are settled afterwards.
#pragma once

#include "inline.hpp"
#include "repeat.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// A sum of outputs one by one, or of products of two of several, in two chains of four: one chain of additions took as
// long as all that led to the outputs. From 1 on, since a subnormal sum is slow. Infinities may make a NaN, too.
template <class L>
class nan_search {
 public:
  using f32 = typename L::f32;
  SIMDNORM_INLINE void add(f32 v) { any_[0] = any_[0] + v; }
  template <size_t N>
  SIMDNORM_INLINE void add(const f32 (&v)[N]) {
    static_assert(N == 1 || N % 2 == 0);
    if constexpr (N == 1) {
      add(v[0]);
    } else {
      repeat<N / 2>([&](auto k) SIMDNORM_LAMBDA {
        if constexpr (L::width > 1) {
          any_[k % 2] = L::fma(v[2 * k], v[2 * k + 1], any_[k % 2]);
        } else {  // emulates fma
          any_[k % 2] = any_[k % 2] + (v[2 * k] + v[2 * k + 1]);
        }
      });
    }
  }
  SIMDNORM_INLINE bool found() const { return L::any_nan(any_[0] + any_[1]); }

 private:
  f32 any_[2] = {L::broadcast(1.0f), L::broadcast(1.0f)};
};

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

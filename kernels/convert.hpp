// SPDX-License-Identifier: Apache-2.0
//
// convert: an element type to another, one of them f32. What the lanes' loads and stores do, alone; NaN
// becomes the canonical one.
#pragma once

#include "element.hpp"
#include "inline.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L, class From, class To>
inline void convert_elements(const From* from, To* to, size_t n) {
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) L::store(to + i, L::canonical(L::load(from + i)));
  if (i < n) L::store_n(to + i, L::canonical(L::load_n(from + i, n - i)), n - i);
}

template <class L, class>
inline void convert(const convert_arguments& a, const block&) {
  const auto* from = static_cast<const float*>(a.from);
  auto* to = static_cast<float*>(a.to);
  if (a.from_type == SIMDNORM_BF16) {
    convert_elements<L>(static_cast<const bf16*>(a.from), to, a.n);
  } else if (a.from_type == SIMDNORM_F16) {
    convert_elements<L>(static_cast<const f16*>(a.from), to, a.n);
  } else if (a.to_type == SIMDNORM_BF16) {
    convert_elements<L>(from, static_cast<bf16*>(a.to), a.n);
  } else {
    convert_elements<L>(from, static_cast<f16*>(a.to), a.n);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

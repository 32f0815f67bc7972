// SPDX-License-Identifier: Apache-2.0
//
// Element types, as memory has them. Only the lanes' loads and stores look inside.
#pragma once

#include <stdint.h>

namespace simdnorm {

using f32 = float;
using f64 = double;
struct bf16 {  // the upper half of a float
  uint16_t bits;
};
struct f16 {  // IEEE 754 binary16
  uint16_t bits;
};

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// Element types of one byte: simdnorm_quantization says what they are. Internal linkage: runtime/ and the kernels each
// compile their own copy.
#pragma once

#include "built_types.hpp"
#include "simdnorm/types.h"

namespace simdnorm {
namespace {

// Of the types that are built.
[[maybe_unused]] inline bool is_f8(simdnorm_type type) {
  return builds_f8 && (type == SIMDNORM_F8_E4M3 || type == SIMDNORM_F8_E5M2);
}
[[maybe_unused]] inline bool is_byte(simdnorm_type type) {
  return (builds_i8 && (type == SIMDNORM_I8 || type == SIMDNORM_U8)) || is_f8(type);
}

}  // namespace
}  // namespace simdnorm

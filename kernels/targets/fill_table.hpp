// SPDX-License-Identifier: Apache-2.0
//
// The end of every target: all bodies over its lanes, in one table with external linkage,
// simdnorm::<isa>::table. Included after the lanes.
#pragma once

#include "built_types.hpp"
#include "channel/affine.hpp"
#include "channel/moments.hpp"
#include "channel/rows.hpp"
#include "column/affine.hpp"
#include "column/double_columns.hpp"
#include "column/extremes.hpp"
#include "column/moments.hpp"
#include "column/moments_masked.hpp"
#include "convert.hpp"
#include "math/activation.hpp"
#include "row/double_rows.hpp"
#include "row/fused.hpp"
#include "row/l2_norm.hpp"
#include "row/layer_norm.hpp"
#include "row/rms_norm.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// What is not built is empty, and never called: no view is of that type (runtime/checks.hpp).
#define SIMDNORM_KERNEL(family, dtype, arguments)                                                        \
  void family##_##dtype([[maybe_unused]] const arguments& a, [[maybe_unused]] const block& b) noexcept { \
    if constexpr (builds_##dtype) family<lanes, dtype>(a, b);                                            \
  }
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL

}  // namespace

extern const kernel_table table;
constinit const kernel_table table = {
#define SIMDNORM_KERNEL(family, dtype, arguments) family##_##dtype,
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL
};

}  // namespace simdnorm::SIMDNORM_ISA

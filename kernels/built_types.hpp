// SPDX-License-Identifier: Apache-2.0
//
// Which element types have kernels in this build: SIMDNORM_TYPES of cmake/isa.cmake.
#pragma once

namespace simdnorm {

constexpr bool builds_f32 = true;
#ifdef SIMDNORM_WITHOUT_f64
constexpr bool builds_f64 = false;
#else
constexpr bool builds_f64 = true;
#endif
#ifdef SIMDNORM_WITHOUT_bf16
constexpr bool builds_bf16 = false;
#else
constexpr bool builds_bf16 = true;
#endif
#ifdef SIMDNORM_WITHOUT_f16
constexpr bool builds_f16 = false;
#else
constexpr bool builds_f16 = true;
#endif
#ifdef SIMDNORM_WITHOUT_i8
constexpr bool builds_i8 = false;
#else
constexpr bool builds_i8 = true;
#endif
#ifdef SIMDNORM_WITHOUT_f8
constexpr bool builds_f8 = false;
#else
constexpr bool builds_f8 = true;
#endif

}  // namespace simdnorm

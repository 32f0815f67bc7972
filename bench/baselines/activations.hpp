// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stddef.h>

namespace simdnorm_baselines {

#define SIMDNORM_ACTIVATIONS(name)                    \
  namespace name {                                    \
  void copy(const float* x, float* y, size_t n);      \
  void gelu_erf(const float* x, float* y, size_t n);  \
  void gelu_tanh(const float* x, float* y, size_t n); \
  void silu(const float* x, float* y, size_t n);      \
  }
SIMDNORM_ACTIVATIONS(activations_libm)
SIMDNORM_ACTIVATIONS(activations_fast)
#undef SIMDNORM_ACTIVATIONS

}  // namespace simdnorm_baselines

// SPDX-License-Identifier: Apache-2.0
//
// The activations as loops over libm's functions, for the compiler to vectorize: under -ffast-math it calls libmvec's
// (4 ulp) where the C library has them. One restrict pair of arrays, whole loops, as textbooks have them.
#include "activations.hpp"

#include <math.h>
#include <stddef.h>

namespace simdnorm_baselines {
namespace SIMDNORM_BASELINE {

void copy(const float* __restrict x, float* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = x[i] * 2.0f;  // a product, so that it is not a call of memcpy
}
void gelu_erf(const float* __restrict x, float* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678f));
}
void gelu_tanh(const float* __restrict x, float* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    y[i] = 0.5f * x[i] * (1.0f + tanhf(0.79788456f * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
  }
}
void silu(const float* __restrict x, float* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = x[i] / (1.0f + expf(-x[i]));
}

}  // namespace SIMDNORM_BASELINE
}  // namespace simdnorm_baselines

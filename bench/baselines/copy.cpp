// SPDX-License-Identifier: Apache-2.0
//
// The machine's limits: copies with regular and with non-temporal stores, 4 vectors a turn.
// Compiled for this CPU like autovec; include nothing here that has inline functions with linkage.
#include "baselines.hpp"
#include "vectors.hpp"

namespace simdnorm_baselines {
namespace {

template <class Store>
void copy(const float* x, float* y, size_t n, Store put) {
  size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    const vector a = load(x + i), b = load(x + i + width), c = load(x + i + 2 * width), d = load(x + i + 3 * width);
    put(y + i, a);
    put(y + i + width, b);
    put(y + i + 2 * width, c);
    put(y + i + 3 * width, d);
  }
  for (; i < n; ++i) y[i] = x[i];
}

}  // namespace

void copy_regular(const float* x, float* y, size_t n) {
  copy(x, y, n, store);
}

#if defined(SIMDNORM_BASELINES_STREAM)
const bool has_nontemporal = true;
#else
const bool has_nontemporal = false;
#endif
void copy_nontemporal(const float* x, float* y, size_t n) {
  copy(x, y, n, stream);
  fence();
}

}  // namespace simdnorm_baselines

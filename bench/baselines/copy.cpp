// SPDX-License-Identifier: Apache-2.0
//
// The machine's limits: copies with regular and with non-temporal stores, 4 vectors a turn.
// Compiled for this CPU like autovec; include nothing here that has inline functions with linkage.
#include "baselines.hpp"

#if defined(__AVX512F__) || defined(__AVX__) || defined(__SSE2__)
#include <immintrin.h>
#endif

namespace simdnorm_baselines {
namespace {

#if defined(__AVX512F__)
using vector = __m512;
constexpr size_t width = 16;
inline vector load(const float* p) {
  return _mm512_load_ps(p);
}
inline void store(float* p, vector v) {
  _mm512_store_ps(p, v);
}
inline void stream(float* p, vector v) {
  _mm512_stream_ps(p, v);
}
inline void fence() {
  _mm_sfence();
}
#elif defined(__AVX__)
using vector = __m256;
constexpr size_t width = 8;
inline vector load(const float* p) {
  return _mm256_load_ps(p);
}
inline void store(float* p, vector v) {
  _mm256_store_ps(p, v);
}
inline void stream(float* p, vector v) {
  _mm256_stream_ps(p, v);
}
inline void fence() {
  _mm_sfence();
}
#elif defined(__SSE2__)
using vector = __m128;
constexpr size_t width = 4;
inline vector load(const float* p) {
  return _mm_load_ps(p);
}
inline void store(float* p, vector v) {
  _mm_store_ps(p, v);
}
inline void stream(float* p, vector v) {
  _mm_stream_ps(p, v);
}
inline void fence() {
  _mm_sfence();
}
#else
typedef float vector __attribute__((vector_size(16)));
constexpr size_t width = 4;
inline vector load(const float* p) {
  return *reinterpret_cast<const vector*>(p);
}
inline void store(float* p, vector v) {
  *reinterpret_cast<vector*>(p) = v;
}
#define SIMDNORM_NO_STREAM
#endif

}  // namespace

void copy_regular(const float* x, float* y, size_t n) {
  size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    const vector a = load(x + i), b = load(x + i + width), c = load(x + i + 2 * width), d = load(x + i + 3 * width);
    store(y + i, a);
    store(y + i + width, b);
    store(y + i + 2 * width, c);
    store(y + i + 3 * width, d);
  }
  for (; i < n; ++i) y[i] = x[i];
}

#if defined(SIMDNORM_NO_STREAM)
const bool has_nontemporal = false;
void copy_nontemporal(const float* x, float* y, size_t n) {
  copy_regular(x, y, n);
}
#else
const bool has_nontemporal = true;
void copy_nontemporal(const float* x, float* y, size_t n) {
  size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    const vector a = load(x + i), b = load(x + i + width), c = load(x + i + 2 * width), d = load(x + i + 3 * width);
    stream(y + i, a);
    stream(y + i + width, b);
    stream(y + i + 2 * width, c);
    stream(y + i + 3 * width, d);
  }
  for (; i < n; ++i) y[i] = x[i];
  fence();
}
#endif

}  // namespace simdnorm_baselines

// SPDX-License-Identifier: Apache-2.0
//
// The widest vectors of the CPU that the including file is compiled for. Internal linkage: files of different flags
// include it.
#pragma once

#include <stddef.h>

#if defined(__AVX512F__) || defined(__AVX__) || defined(__SSE2__)
#include <immintrin.h>
#define SIMDNORM_BASELINES_STREAM
#endif

namespace simdnorm_baselines {
namespace {

#if defined(__AVX512F__)
constexpr size_t width = 16;
#elif defined(__AVX__)
constexpr size_t width = 8;
#else
constexpr size_t width = 4;
#endif
typedef float vector __attribute__((vector_size(width * sizeof(float))));
typedef float unaligned_vector __attribute__((vector_size(width * sizeof(float)), aligned(alignof(float))));

[[maybe_unused]] inline vector load(const float* p) {
  return *reinterpret_cast<const unaligned_vector*>(p);
}
[[maybe_unused]] inline void store(float* p, vector v) {
  *reinterpret_cast<unaligned_vector*>(p) = v;
}
// Past the caches, to an address that is a multiple of a vector, where there are such stores.
[[maybe_unused]] inline void stream(float* p, vector v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, v);
#elif defined(__AVX__)
  _mm256_stream_ps(p, v);
#elif defined(SIMDNORM_BASELINES_STREAM)
  _mm_stream_ps(p, v);
#else
  store(p, v);
#endif
}
[[maybe_unused]] inline void fence() {
#if defined(SIMDNORM_BASELINES_STREAM)
  _mm_sfence();
#endif
}

}  // namespace
}  // namespace simdnorm_baselines

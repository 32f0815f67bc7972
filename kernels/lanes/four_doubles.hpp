// SPDX-License-Identifier: Apache-2.0
//
// The words of doubles in a 256-bit register: AVX2's own, and AVX-512's where four rows are finished
// together (sum64x4 stores four doubles with one store, and one load reads them again).
#pragma once

#include <immintrin.h>
#include <stddef.h>

#include <xsimd/xsimd.hpp>

#include "inline.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

struct four_doubles {
  using f64 = xsimd::batch<double, xsimd::fma3<xsimd::avx2>>;
  using flags = xsimd::batch_bool<double, xsimd::fma3<xsimd::avx2>>;
  static constexpr size_t width64 = 4;
  SIMDNORM_INLINE static f64 load64(const double* p) { return _mm256_loadu_pd(p); }
  SIMDNORM_INLINE static void store64(double* p, f64 v) { _mm256_storeu_pd(p, v); }
  SIMDNORM_INLINE static f64 load64_n(const double* p, size_t n) {
    const __m128d low = n >= 2 ? _mm_loadu_pd(p) : n == 1 ? _mm_load_sd(p) : _mm_setzero_pd();
    const __m256d v = _mm256_zextpd128_pd256(low);
    return n == 3 ? _mm256_insertf128_pd(v, _mm_load_sd(p + 2), 1) : v;
  }
  SIMDNORM_INLINE static f64 load64_n_or(const double* p, size_t n, f64 fill) {
    const __m256i first =
        _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)), _mm256_setr_epi64x(0, 1, 2, 3));
    return _mm256_blendv_pd(fill, load64_n(p, n), _mm256_castsi256_pd(first));
  }
  SIMDNORM_INLINE static void store64_n(double* p, f64 v, size_t n) {
    __m128d part = _mm256_castpd256_pd128(v);
    if (n & 2) {
      _mm_storeu_pd(p, part);
      part = _mm256_extractf128_pd(v, 1);
      p += 2;
    }
    if (n & 1) _mm_store_sd(p, part);
  }
  SIMDNORM_INLINE static void stream64(double* p, f64 v) { _mm256_stream_pd(p, v); }
  SIMDNORM_INLINE static f64 canonical64(f64 v) {
    return _mm256_blendv_pd(v, broadcast64(__builtin_nan("")), _mm256_cmp_pd(v, v, _CMP_UNORD_Q));
  }
  SIMDNORM_INLINE static f64 min64(f64 a, f64 b) { return _mm256_min_pd(a, b); }
  SIMDNORM_INLINE static f64 max64(f64 a, f64 b) { return _mm256_max_pd(a, b); }
  SIMDNORM_INLINE static f64 fma64(f64 a, f64 b, f64 c) { return _mm256_fmadd_pd(a, b, c); }
  SIMDNORM_INLINE static double fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }
  SIMDNORM_INLINE static f64 load_widened(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
  SIMDNORM_INLINE static f64 store_narrowed(float* p, f64 v) {
    const __m128 narrow = _mm256_cvtpd_ps(v);
    _mm_storeu_ps(p, narrow);
    return _mm256_cvtps_pd(narrow);
  }
  SIMDNORM_INLINE static f64 div(f64 a, f64 b) { return _mm256_div_pd(a, b); }
  SIMDNORM_INLINE static f64 sqrt(f64 v) { return _mm256_sqrt_pd(v); }
  SIMDNORM_INLINE static f64 select(flags m, f64 a, f64 b) { return xsimd::select(m, a, b); }
  SIMDNORM_INLINE static bool all(flags m) { return xsimd::all(m); }
  SIMDNORM_INLINE static f64 broadcast64(double v) { return _mm256_set1_pd(v); }
};

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

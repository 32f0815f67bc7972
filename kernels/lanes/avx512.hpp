// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary on AVX-512 (F, CD, DQ, BW, VL): 16 floats a register. scalar.hpp defines what
// every word means.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include <xsimd/xsimd.hpp>

#include "element.hpp"
#include "inline.hpp"
#include "lanes/four_doubles.hpp"
#include "repeat.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

struct lanes {
  using f32 = xsimd::batch<float, xsimd::avx512bw>;
  using f64 = xsimd::batch<double, xsimd::avx512bw>;
  static constexpr size_t width = 16;
  static constexpr size_t columns_together = 4;      // four chains each, 20 registers
  static constexpr bool rows_side_by_side = false;   // column/side_by_side.hpp
  static constexpr bool masked_in_registers = true;  // columns' parameters beside an element mask
  static constexpr bool fused = true;
  static constexpr bool fused_halves = true;
  static constexpr bool streams = true;
  static constexpr bool masks = true;
  static constexpr bool loads_where = true;
  struct wide {
    f64 part[2];
  };

  SIMDNORM_INLINE static f32 broadcast(float v) { return _mm512_set1_ps(v); }
  SIMDNORM_INLINE static f32 load(const float* p) { return _mm512_loadu_ps(p); }
  SIMDNORM_INLINE static f32 load_n(const float* p, size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  SIMDNORM_INLINE static f32 load_n_or(const float* p, size_t n, f32 fill) {
    return _mm512_mask_loadu_ps(fill, first(n), p);
  }
  SIMDNORM_INLINE static f32 load_up_to(const float* p, size_t i, size_t n, f32 fill) {
    return _mm512_mask_loadu_ps(fill, up_to(i, n), p + i);
  }
  SIMDNORM_INLINE static void store_up_to(float* p, size_t i, size_t n, f32 v) {
    _mm512_mask_storeu_ps(p + i, up_to(i, n), v);
  }
  SIMDNORM_INLINE static void store_up_to(bf16* p, size_t i, size_t n, f32 v) {
    _mm256_mask_storeu_epi16(p + i, up_to(i, n), as_bf16(v));
  }
  SIMDNORM_INLINE static void store_up_to(f16* p, size_t i, size_t n, f32 v) {
    _mm256_mask_storeu_epi16(p + i, up_to(i, n), as_f16(v));
  }
  SIMDNORM_INLINE static void store(float* p, f32 v) { _mm512_storeu_ps(p, v); }
  SIMDNORM_INLINE static void store_n(float* p, f32 v, size_t n) { _mm512_mask_storeu_ps(p, first(n), v); }

  SIMDNORM_INLINE static f32 load(const bf16* p) { return widened_bf16(halves(p)); }
  SIMDNORM_INLINE static f32 load_n(const bf16* p, size_t n) { return widened_bf16(halves_n(p, n)); }
  SIMDNORM_INLINE static void store(bf16* p, f32 v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), as_bf16(v)); }
  SIMDNORM_INLINE static void store_n(bf16* p, f32 v, size_t n) { _mm256_mask_storeu_epi16(p, first(n), as_bf16(v)); }
  SIMDNORM_INLINE static void stream(bf16* p, f32 v) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), as_bf16(v)); }
  SIMDNORM_INLINE static f32 load(const f16* p) { return _mm512_cvtph_ps(halves(p)); }
  SIMDNORM_INLINE static f32 load_n(const f16* p, size_t n) { return _mm512_cvtph_ps(halves_n(p, n)); }
  SIMDNORM_INLINE static void store(f16* p, f32 v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), as_f16(v)); }
  SIMDNORM_INLINE static void store_n(f16* p, f32 v, size_t n) { _mm256_mask_storeu_epi16(p, first(n), as_f16(v)); }
  SIMDNORM_INLINE static void stream(f16* p, f32 v) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), as_f16(v)); }
  SIMDNORM_INLINE static f32 rounded(bf16, f32 v) {
    return _mm512_castsi512_ps(_mm512_and_si512(rounded_up(v), _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }
  SIMDNORM_INLINE static f32 rounded(f16, f32 v) { return _mm512_cvtph_ps(as_f16(v)); }
  template <class T>
  SIMDNORM_INLINE static f32 load_n_or(const T* p, size_t n, f32 fill) {
    return _mm512_mask_mov_ps(fill, first(n), load_n(p, n));
  }

  SIMDNORM_INLINE static void store(uint8_t* p, f32 v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_castps_si512(v)));
  }
  SIMDNORM_INLINE static void store_n(uint8_t* p, f32 v, size_t n) {
    _mm_mask_storeu_epi8(p, first(n), _mm512_cvtepi32_epi8(_mm512_castps_si512(v)));
  }

  SIMDNORM_INLINE static f32 load_column(const float* p, ptrdiff_t stride) {
    return _mm512_i32gather_ps(each(stride), p, 4);
  }
  SIMDNORM_INLINE static void store_column(float* p, ptrdiff_t stride, f32 v) {
    _mm512_i32scatter_ps(p, each(stride), v, 4);
  }
  // Rows k, k + 4, k + 8 and k + 12 are a register's quarters; then 4 x 4 in each.
  SIMDNORM_INLINE static void load_columns(const float* p, ptrdiff_t stride, f32* v) {
    __m512 row[4];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      const float* const at = p + static_cast<ptrdiff_t>(k) * stride;
      row[k] = _mm512_castps128_ps512(_mm_loadu_ps(at));
      row[k] = _mm512_insertf32x4(row[k], _mm_loadu_ps(at + 4 * stride), 1);
      row[k] = _mm512_insertf32x4(row[k], _mm_loadu_ps(at + 8 * stride), 2);
      row[k] = _mm512_insertf32x4(row[k], _mm_loadu_ps(at + 12 * stride), 3);
    });
    turn(row);
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { v[k] = row[k]; });
  }
  SIMDNORM_INLINE static void store_columns(float* p, ptrdiff_t stride, const f32* v) {
    __m512 row[4] = {v[0], v[1], v[2], v[3]};
    turn(row);
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      float* const at = p + static_cast<ptrdiff_t>(k) * stride;
      _mm_storeu_ps(at, _mm512_castps512_ps128(row[k]));
      _mm_storeu_ps(at + 4 * stride, _mm512_extractf32x4_ps(row[k], 1));
      _mm_storeu_ps(at + 8 * stride, _mm512_extractf32x4_ps(row[k], 2));
      _mm_storeu_ps(at + 12 * stride, _mm512_extractf32x4_ps(row[k], 3));
    });
  }
  SIMDNORM_INLINE static void stream(float* p, f32 v) { _mm512_stream_ps(p, v); }
  SIMDNORM_INLINE static void fence() { _mm_sfence(); }
  SIMDNORM_INLINE static void prefetch(const void* p) { _mm_prefetch(p, _MM_HINT_T1); }

  // xsimd 8.1 has no AVX-512 fma: its generic one rounds twice.
  SIMDNORM_INLINE static f32 fma(f32 a, f32 b, f32 c) { return _mm512_fmadd_ps(a, b, c); }
  SIMDNORM_INLINE static f32 fnma(f32 a, f32 b, f32 c) { return _mm512_fnmadd_ps(a, b, c); }
  using u32 = xsimd::batch<uint32_t, xsimd::avx512bw>;
  using octet = u32;
  SIMDNORM_INLINE static u32 bits(f32 v) { return _mm512_castps_si512(v); }
  SIMDNORM_INLINE static f32 floats(u32 u) { return _mm512_castsi512_ps(u); }
  SIMDNORM_INLINE static octet octet_of(u32 u) { return u; }  // vpermps takes the low four bits of a table twice
  SIMDNORM_INLINE static f32 look_up(const float* table, octet o) {
    return _mm512_permutexvar_ps(o, _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
  }
  SIMDNORM_INLINE static f32 div(f32 a, f32 b) { return _mm512_div_ps(a, b); }
  SIMDNORM_INLINE static f32 min(f32 a, f32 b) { return _mm512_min_ps(a, b); }
  SIMDNORM_INLINE static f32 max(f32 a, f32 b) { return _mm512_max_ps(a, b); }
  SIMDNORM_INLINE static u32 max(u32 a, u32 b) { return _mm512_max_epu32(a, b); }
  SIMDNORM_INLINE static u32 integers(f32 v) { return _mm512_cvtps_epi32(v); }
  SIMDNORM_INLINE static f32 canonical(f32 v) {
    return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), broadcast(__builtin_nanf("")));
  }
  using mask = xsimd::batch_bool<float, xsimd::avx512bw>;
  SIMDNORM_INLINE static mask less(f32 a, f32 b) { return mask(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)); }
  SIMDNORM_INLINE static mask is_number(f32 v) { return mask(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q)); }
  SIMDNORM_INLINE static f32 select(mask m, f32 a, f32 b) { return _mm512_mask_mov_ps(b, m, a); }
  SIMDNORM_INLINE static f32 zero_unless(mask m, f32 v) { return _mm512_maskz_mov_ps(m, v); }
  SIMDNORM_INLINE static mask below(size_t i, size_t n) { return mask(up_to(i, n)); }
  SIMDNORM_INLINE static f32 load_where(mask m, const float* p) { return _mm512_maskz_loadu_ps(m, p); }
  SIMDNORM_INLINE static f32 load_where(mask m, const bf16* p) { return widened_bf16(_mm256_maskz_loadu_epi16(m, p)); }
  SIMDNORM_INLINE static f32 load_where(mask m, const f16* p) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, p));
  }
  SIMDNORM_INLINE static mask mask_bytes(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return mask(_mm_test_epi8_mask(bytes, bytes));
  }
  SIMDNORM_INLINE static mask mask_bytes_n(const uint8_t* p, size_t n) {
    const __m128i bytes = _mm_maskz_loadu_epi8(first(n), p);
    return mask(_mm_test_epi8_mask(bytes, bytes));
  }
  SIMDNORM_INLINE static size_t count_marks(const uint8_t* p) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return static_cast<size_t>(__builtin_popcount(_mm256_test_epi8_mask(bytes, bytes)));
  }
  SIMDNORM_INLINE static mask mask_bits(const uint8_t* p, size_t i) {
    uint16_t bits;
    __builtin_memcpy(&bits, p + i / 8, sizeof bits);
    return mask(static_cast<__mmask16>(bits));
  }
  SIMDNORM_INLINE static mask mask_bits_n(const uint8_t* p, size_t i, size_t n) {
    unsigned bits = n > 0 ? p[i / 8] : 0u;
    if (n > 8) bits |= static_cast<unsigned>(p[i / 8 + 1]) << 8;
    return mask(static_cast<__mmask16>(bits & first(n)));
  }
  SIMDNORM_INLINE static bool any(mask m) { return static_cast<__mmask16>(m) != 0; }
  SIMDNORM_INLINE static size_t count(mask m) {
    return static_cast<size_t>(__builtin_popcount(static_cast<__mmask16>(m)));
  }
  SIMDNORM_INLINE static bool any_nan(f32 v) { return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q) != 0; }
  SIMDNORM_INLINE static bool all_equal(f32 a, f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) == 0xffff; }

  static constexpr size_t width64 = 8;
  SIMDNORM_INLINE static f64 load64(const double* p) { return _mm512_loadu_pd(p); }
  SIMDNORM_INLINE static void store64(double* p, f64 v) { _mm512_storeu_pd(p, v); }
  SIMDNORM_INLINE static f64 broadcast64(double v) { return _mm512_set1_pd(v); }
  SIMDNORM_INLINE static f64 load64_n(const double* p, size_t n) { return _mm512_maskz_loadu_pd(first64(n), p); }
  SIMDNORM_INLINE static f64 load64_n_or(const double* p, size_t n, f64 fill) {
    return _mm512_mask_loadu_pd(fill, first64(n), p);
  }
  SIMDNORM_INLINE static void store64_n(double* p, f64 v, size_t n) { _mm512_mask_storeu_pd(p, first64(n), v); }
  SIMDNORM_INLINE static void stream64(double* p, f64 v) { _mm512_stream_pd(p, v); }
  SIMDNORM_INLINE static f64 canonical64(f64 v) {
    return _mm512_mask_mov_pd(v, _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q), broadcast64(__builtin_nan("")));
  }
  SIMDNORM_INLINE static f64 min64(f64 a, f64 b) { return _mm512_min_pd(a, b); }
  SIMDNORM_INLINE static f64 max64(f64 a, f64 b) { return _mm512_max_pd(a, b); }
  SIMDNORM_INLINE static f64 fma64(f64 a, f64 b, f64 c) { return _mm512_fmadd_pd(a, b, c); }
  SIMDNORM_INLINE static double fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }
  SIMDNORM_INLINE static wide widen(f32 v) {
    return {{f64(_mm512_cvtps_pd(_mm512_castps512_ps256(v))), f64(_mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)))}};
  }
  SIMDNORM_INLINE static f32 narrow(wide v) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(v.part[0])), _mm512_cvtpd_ps(v.part[1]), 1);
  }

  SIMDNORM_INLINE static float sum(const f32 (&v)[2]) { return fold(_mm512_add_ps(v[0], v[1])); }
  SIMDNORM_INLINE static double sum64(const f32 (&v)[1]) {
    const wide a = widen(v[0]);
    return fold64(a.part[0] + a.part[1]);
  }
  SIMDNORM_INLINE static double sum64(const wide (&v)[2]) {
    return fold64((v[0].part[0] + v[0].part[1]) + (v[1].part[0] + v[1].part[1]));
  }

  SIMDNORM_INLINE static void sum64x4(const f32 (*v)[1], double* out) {
    __m512d a[4];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { a[k] = halved64(v[k]); });
    const __m512d b = _mm512_add_pd(_mm512_shuffle_f64x2(a[0], a[1], 0x44), _mm512_shuffle_f64x2(a[0], a[1], 0xee));
    const __m512d c = _mm512_add_pd(_mm512_shuffle_f64x2(a[2], a[3], 0x44), _mm512_shuffle_f64x2(a[2], a[3], 0xee));
    __m512d d = _mm512_add_pd(_mm512_shuffle_f64x2(b, c, 0x88), _mm512_shuffle_f64x2(b, c, 0xdd));
    d = _mm512_add_pd(d, _mm512_permute_pd(d, 0x55));
    const __m512i firsts = _mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6);
    _mm256_storeu_pd(out, _mm512_castpd512_pd256(_mm512_permutexvar_pd(firsts, d)));
  }

  SIMDNORM_INLINE static void sum64x8(const f32 (*v)[1], double* out) {
    __m512d a[8];
    repeat<8>([&](auto k) SIMDNORM_LAMBDA { a[k] = halved64(v[k]); });
    __m512d b[4], c[2];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      b[k] = _mm512_add_pd(_mm512_shuffle_f64x2(a[2 * k], a[2 * k + 1], 0x44),
                           _mm512_shuffle_f64x2(a[2 * k], a[2 * k + 1], 0xee));
    });
    repeat<2>([&](auto k) SIMDNORM_LAMBDA {
      c[k] = _mm512_add_pd(_mm512_shuffle_f64x2(b[2 * k], b[2 * k + 1], 0x88),
                           _mm512_shuffle_f64x2(b[2 * k], b[2 * k + 1], 0xdd));
    });
    const __m512d d = _mm512_add_pd(_mm512_unpacklo_pd(c[0], c[1]), _mm512_unpackhi_pd(c[0], c[1]));
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    _mm512_storeu_pd(out, _mm512_permutexvar_pd(order, d));
  }

 private:
  SIMDNORM_INLINE static __m512i each(ptrdiff_t stride) {
    return _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                              _mm512_set1_epi32(static_cast<int>(stride)));
  }
  // Four rows of four elements become four columns, in each quarter.
  SIMDNORM_INLINE static void turn(__m512 (&row)[4]) {
    const __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(row[0], row[1]));
    const __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(row[0], row[1]));
    const __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(row[2], row[3]));
    const __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(row[2], row[3]));
    row[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(low01, low23));
    row[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low01, low23));
    row[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high01, high23));
    row[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high01, high23));
  }
  SIMDNORM_INLINE static __m256i halves(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  SIMDNORM_INLINE static __m256i halves_n(const void* p, size_t n) { return _mm256_maskz_loadu_epi16(first(n), p); }
  SIMDNORM_INLINE static f32 widened_bf16(__m256i v) {
    const __m512i words =
        _mm512_setr_epi32(0 << 16, 1 << 16, 2 << 16, 3 << 16, 4 << 16, 5 << 16, 6 << 16, 7 << 16,  //
                          8 << 16, 9 << 16, 10 << 16, 11 << 16, 12 << 16, 13 << 16, 14 << 16, 15 << 16);
    return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaa, words, _mm512_castsi256_si512(v)));
  }
  // What is a bf16 in its upper half. In integers: AVX512_BF16's conversion takes subnormals for zeros.
  SIMDNORM_INLINE static __m512i rounded_up(__m512 v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i below_half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    return _mm512_mask_add_epi32(below_half, odd, below_half, _mm512_set1_epi32(1));
  }
  SIMDNORM_INLINE static __m256i as_bf16(__m512 v) {
    // One shuffle of words; vpmovdw is two, and wants a shift before.
    const __m512i upper_words =
        _mm512_castsi256_si512(_mm256_setr_epi16(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31));
    return _mm512_castsi512_si256(_mm512_permutexvar_epi16(upper_words, rounded_up(v)));
  }
  SIMDNORM_INLINE static __m256i as_f16(__m512 v) {
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // By a comparison: GCC 12 makes two branches of n - i cut to 0..16, for a shift.
  SIMDNORM_INLINE static __mmask16 up_to(size_t i, size_t n) {
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_cmplt_epi32_mask(places, _mm512_set1_epi32(static_cast<int>(n - i)));
  }
  SIMDNORM_INLINE static __mmask16 first(size_t n) { return static_cast<__mmask16>((1u << n) - 1u); }  // n < 16
  SIMDNORM_INLINE static __mmask8 first64(size_t n) { return static_cast<__mmask8>((1u << n) - 1u); }  // n < 8

  SIMDNORM_INLINE static float fold(__m512 v) {
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
  }
  // Widened out of memory, where these sums are: out of a register it takes the one port for shuffles, too.
  SIMDNORM_INLINE static __m512d halved64(const f32 (&v)[1]) {
    const float* const p = reinterpret_cast<const float*>(v);
    return _mm512_add_pd(_mm512_cvtps_pd(_mm256_loadu_ps(p)), _mm512_cvtps_pd(_mm256_loadu_ps(p + 8)));
  }
  SIMDNORM_INLINE static double fold64(__m512d v) {
    const __m256d a = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
    const __m128d b = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(b, _mm_unpackhi_pd(b, b)));
  }
};

using quad = four_doubles;

// Eight rows are finished together, where a batch has more than four.
struct octet : lanes {
  SIMDNORM_INLINE static f64 load_widened(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
  SIMDNORM_INLINE static f64 store_narrowed(float* p, f64 v) {
    const __m256 narrow = _mm512_cvtpd_ps(v);
    _mm256_storeu_ps(p, narrow);
    return _mm512_cvtps_pd(narrow);
  }
  using flags = xsimd::batch_bool<double, xsimd::avx512bw>;
  SIMDNORM_INLINE static f64 div(f64 a, f64 b) { return _mm512_div_pd(a, b); }
  SIMDNORM_INLINE static f64 sqrt(f64 v) { return _mm512_sqrt_pd(v); }
  SIMDNORM_INLINE static f64 select(flags m, f64 a, f64 b) { return xsimd::select(m, a, b); }
  SIMDNORM_INLINE static bool all(flags m) { return xsimd::all(m); }
};

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

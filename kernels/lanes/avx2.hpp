// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary on AVX2 with FMA and F16C: 8 floats a register. scalar.hpp defines what every word
// means.
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

struct lanes : four_doubles {
  using f32 = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;
  static constexpr size_t width = 8;
  static constexpr size_t columns_together = 2;       // ten registers of sixteen
  static constexpr bool rows_side_by_side = true;     // column/side_by_side.hpp
  static constexpr bool masked_in_registers = false;  // columns' parameters beside an element mask
  static constexpr bool fused = true;
  static constexpr bool fused_halves = false;  // rounding takes three registers of sixteen
  static constexpr bool streams = true;
  static constexpr bool masks = false;
  static constexpr bool loads_where = true;
  struct wide {
    f64 part[2];
  };

  SIMDNORM_INLINE static f32 broadcast(float v) { return _mm256_set1_ps(v); }
  SIMDNORM_INLINE static f32 load(const float* p) { return _mm256_loadu_ps(p); }
  // Tails are put together from smaller loads and stores. vmaskmov would do, but its stores are
  // microcoded on Zen 1 to 3 (12 to 17 cycles), and qemu 7.2 faults on its masked-off elements.
  // Written out wherever they are used they were 0.4 MB of code.
  SIMDNORM_INLINE static f32 load_n(const float* p, size_t n) { return load_part(p, n); }
  SIMDNORM_INLINE static f32 load_n_or(const float* p, size_t n, f32 fill) {
    return _mm256_blendv_ps(fill, load_n(p, n), _mm256_castsi256_ps(first(n)));
  }
  SIMDNORM_INLINE static void store_n(float* p, f32 v, size_t n) { store_part(p, v, n); }
  // The last `width` elements, moved down: what has no element has a place below 0, whose sign chooses `fill`.
  SIMDNORM_INLINE static f32 load_up_to(const float* p, size_t i, size_t n, f32 fill) {
    alignas(64) static constexpr int32_t places[2 * width] = {0, 1, 2, 3, 4, 5, 6, 7, -1, -1, -1, -1, -1, -1, -1, -1};
    const size_t at = i < n - width ? i : n - width;
    const size_t down = i - at < width ? i - at : width;
    const __m256i place = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(places + down));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(_mm256_loadu_ps(p + at), place), fill, _mm256_castsi256_ps(place));
  }
  SIMDNORM_INLINE static void store(float* p, f32 v) { _mm256_storeu_ps(p, v); }

  SIMDNORM_INLINE static f32 load(const bf16* p) { return widened_bf16(halves(p)); }
  SIMDNORM_INLINE static f32 load_n(const bf16* p, size_t n) { return widened_bf16(halves_n(p, n)); }
  SIMDNORM_INLINE static void store(bf16* p, f32 v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), as_bf16(v)); }
  SIMDNORM_INLINE static void store_n(bf16* p, f32 v, size_t n) { store_halves_n(p, as_bf16(v), n); }
  SIMDNORM_INLINE static void stream(bf16* p, f32 v) { _mm_stream_si128(reinterpret_cast<__m128i*>(p), as_bf16(v)); }
  SIMDNORM_INLINE static f32 load(const f16* p) { return _mm256_cvtph_ps(halves(p)); }
  SIMDNORM_INLINE static f32 load_n(const f16* p, size_t n) { return _mm256_cvtph_ps(halves_n(p, n)); }
  SIMDNORM_INLINE static void store(f16* p, f32 v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), as_f16(v)); }
  SIMDNORM_INLINE static void store_n(f16* p, f32 v, size_t n) { store_halves_n(p, as_f16(v), n); }
  SIMDNORM_INLINE static void stream(f16* p, f32 v) { _mm_stream_si128(reinterpret_cast<__m128i*>(p), as_f16(v)); }
  SIMDNORM_INLINE static f32 rounded(bf16, f32 v) {
    return _mm256_castsi256_ps(_mm256_and_si256(rounded_up(v), _mm256_set1_epi32(static_cast<int>(0xffff0000))));
  }
  SIMDNORM_INLINE static f32 rounded(f16, f32 v) { return _mm256_cvtph_ps(as_f16(v)); }
  template <class T>
  SIMDNORM_INLINE static f32 load_n_or(const T* p, size_t n, f32 fill) {
    return _mm256_blendv_ps(fill, load_n(p, n), _mm256_castsi256_ps(first(n)));
  }
  SIMDNORM_INLINE static void store(uint8_t* p, f32 v) { _mm_storeu_si64(p, low_bytes(v)); }
  SIMDNORM_INLINE static void store_n(uint8_t* p, f32 v, size_t n) {
    uint64_t bytes = static_cast<uint64_t>(_mm_cvtsi128_si64(low_bytes(v)));
    for (size_t k = 0; k < n; ++k, bytes >>= 8) p[k] = static_cast<uint8_t>(bytes);
  }

  // Scalar loads and inserts: a gather of eight costs no less on Zen.
  SIMDNORM_INLINE static f32 load_column(const float* p, ptrdiff_t s) {
    return _mm256_setr_ps(p[0], p[s], p[2 * s], p[3 * s], p[4 * s], p[5 * s], p[6 * s], p[7 * s]);
  }
  SIMDNORM_INLINE static void store_column(float* p, ptrdiff_t s, f32 v) {
    __m128 half = _mm256_castps256_ps128(v);
    for (int i = 0; i < 2; ++i) {
      _mm_store_ss(p, half);
      _mm_store_ss(p + s, _mm_movehdup_ps(half));
      _mm_store_ss(p + 2 * s, _mm_movehl_ps(half, half));
      _mm_store_ss(p + 3 * s, _mm_permute_ps(half, 0xff));
      half = _mm256_extractf128_ps(v, 1);
      p += 4 * s;
    }
  }
  // Rows k and k + 4 are a register's halves; then 4 x 4 in each.
  SIMDNORM_INLINE static void load_columns(const float* p, ptrdiff_t stride, f32* v) {
    __m256 row[4];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      const float* const at = p + static_cast<ptrdiff_t>(k) * stride;
      row[k] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at)), _mm_loadu_ps(at + 4 * stride), 1);
    });
    turn(row);
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { v[k] = row[k]; });
  }
  SIMDNORM_INLINE static void store_columns(float* p, ptrdiff_t stride, const f32* v) {
    __m256 row[4] = {v[0], v[1], v[2], v[3]};
    turn(row);
    repeat<4>([&](auto k) SIMDNORM_LAMBDA {
      float* const at = p + static_cast<ptrdiff_t>(k) * stride;
      _mm_storeu_ps(at, _mm256_castps256_ps128(row[k]));
      _mm_storeu_ps(at + 4 * stride, _mm256_extractf128_ps(row[k], 1));
    });
  }
  SIMDNORM_INLINE static void stream(float* p, f32 v) { _mm256_stream_ps(p, v); }
  SIMDNORM_INLINE static void fence() { _mm_sfence(); }
  SIMDNORM_INLINE static void prefetch(const void* p) { _mm_prefetch(p, _MM_HINT_T1); }

  SIMDNORM_INLINE static f32 fma(f32 a, f32 b, f32 c) { return _mm256_fmadd_ps(a, b, c); }
  SIMDNORM_INLINE static f32 fnma(f32 a, f32 b, f32 c) { return _mm256_fnmadd_ps(a, b, c); }
  using u32 = xsimd::batch<uint32_t, xsimd::fma3<xsimd::avx2>>;
  using octet = u32;
  SIMDNORM_INLINE static u32 bits(f32 v) { return _mm256_castps_si256(v); }
  SIMDNORM_INLINE static f32 floats(u32 u) { return _mm256_castsi256_ps(u); }
  SIMDNORM_INLINE static octet octet_of(u32 u) { return u; }  // vpermps takes the low three bits
  SIMDNORM_INLINE static f32 look_up(const float* table, octet o) {
    return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), o);
  }
  using four_doubles::div;
  SIMDNORM_INLINE static f32 div(f32 a, f32 b) { return _mm256_div_ps(a, b); }
  SIMDNORM_INLINE static f32 min(f32 a, f32 b) { return _mm256_min_ps(a, b); }
  SIMDNORM_INLINE static f32 max(f32 a, f32 b) { return _mm256_max_ps(a, b); }
  SIMDNORM_INLINE static u32 max(u32 a, u32 b) { return _mm256_max_epu32(a, b); }
  SIMDNORM_INLINE static u32 integers(f32 v) { return _mm256_cvtps_epi32(v); }
  SIMDNORM_INLINE static f32 canonical(f32 v) {
    return _mm256_blendv_ps(v, broadcast(__builtin_nanf("")), _mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  }
  using mask = xsimd::batch_bool<float, xsimd::fma3<xsimd::avx2>>;
  SIMDNORM_INLINE static mask less(f32 a, f32 b) { return mask(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
  SIMDNORM_INLINE static mask is_number(f32 v) { return mask(_mm256_cmp_ps(v, v, _CMP_ORD_Q)); }
  using four_doubles::select;
  SIMDNORM_INLINE static f32 select(mask m, f32 a, f32 b) { return _mm256_blendv_ps(b, a, m); }
  SIMDNORM_INLINE static f32 zero_unless(mask m, f32 v) { return _mm256_and_ps(m, v); }
  SIMDNORM_INLINE static mask below(size_t i, size_t n) {
    const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return mask(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n - i)), places)));
  }
  SIMDNORM_INLINE static f32 load_where(mask m, const float* p) {
    return _mm256_maskload_ps(p, _mm256_castps_si256(m));
  }
  SIMDNORM_INLINE static mask mask_bytes(const uint8_t* p) { return not_zero(_mm_loadu_si64(p)); }
  SIMDNORM_INLINE static mask mask_bytes_n(const uint8_t* p, size_t n) { return not_zero(bytes_part(p, n)); }
  SIMDNORM_INLINE static size_t count_marks(const uint8_t* p) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    const int zeros = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_setzero_si256()));
    return static_cast<size_t>(__builtin_popcount(~static_cast<unsigned>(zeros)));
  }
  SIMDNORM_INLINE static mask mask_bits(const uint8_t* p, size_t i) { return of_bits(p[i / 8]); }
  template <class G>
  SIMDNORM_INLINE static mask group_bits(const uint8_t* p, size_t i, G g) {
    static_assert(!__is_same(G, size_t), "a constant");
    uint32_t word;
    __builtin_memcpy(&word, p + i / 8 - g, sizeof word);
    const __m256i each = _mm256_slli_epi32(_mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128), G{} * width);
    const __m256i here = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(word)), each);
    return mask(_mm256_castsi256_ps(_mm256_cmpeq_epi32(here, each)));
  }
  SIMDNORM_INLINE static mask mask_bits_n(const uint8_t* p, size_t i, size_t n) {
    return of_bits(n > 0 ? p[i / 8] & ((1u << n) - 1u) : 0u);
  }
  SIMDNORM_INLINE static bool any(mask m) { return _mm256_movemask_ps(m) != 0; }
  SIMDNORM_INLINE static size_t count(mask m) {
    return static_cast<size_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_ps(m))));
  }
  SIMDNORM_INLINE static bool any_nan(f32 v) { return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0; }
  SIMDNORM_INLINE static bool all_equal(f32 a, f32 b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) == 0xff;
  }

  SIMDNORM_INLINE static wide widen(f32 v) {
    return {{f64(_mm256_cvtps_pd(_mm256_castps256_ps128(v))), f64(_mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)))}};
  }
  SIMDNORM_INLINE static f32 narrow(wide v) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(v.part[0])), _mm256_cvtpd_ps(v.part[1]), 1);
  }

  SIMDNORM_INLINE static float sum(const f32 (&v)[4]) {
    const __m256 a = _mm256_add_ps(_mm256_add_ps(v[0], v[2]), _mm256_add_ps(v[1], v[3]));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
  }
  SIMDNORM_INLINE static double sum64(const f32 (&v)[2]) { return fold64(halved64(v)); }
  SIMDNORM_INLINE static double sum64(const wide (&v)[4]) {
    const f64 low = (v[0].part[0] + v[1].part[0]) + (v[2].part[0] + v[3].part[0]);
    const f64 high = (v[0].part[1] + v[1].part[1]) + (v[2].part[1] + v[3].part[1]);
    return fold64(low + high);
  }

  SIMDNORM_INLINE static void sum64x4(const f32 (*v)[2], double* out) {
    __m256d a[4];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { a[k] = halved64(v[k]); });
    const __m256d low =
        _mm256_add_pd(_mm256_permute2f128_pd(a[0], a[2], 0x20), _mm256_permute2f128_pd(a[0], a[2], 0x31));
    const __m256d high =
        _mm256_add_pd(_mm256_permute2f128_pd(a[1], a[3], 0x20), _mm256_permute2f128_pd(a[1], a[3], 0x31));
    _mm256_storeu_pd(out, _mm256_add_pd(_mm256_unpacklo_pd(low, high), _mm256_unpackhi_pd(low, high)));
  }

 private:
  // Four rows of four elements become four columns, in each half.
  SIMDNORM_INLINE static void turn(__m256 (&row)[4]) {
    const __m256d low01 = _mm256_castps_pd(_mm256_unpacklo_ps(row[0], row[1]));
    const __m256d high01 = _mm256_castps_pd(_mm256_unpackhi_ps(row[0], row[1]));
    const __m256d low23 = _mm256_castps_pd(_mm256_unpacklo_ps(row[2], row[3]));
    const __m256d high23 = _mm256_castps_pd(_mm256_unpackhi_ps(row[2], row[3]));
    row[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(low01, low23));
    row[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low01, low23));
    row[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(high01, high23));
    row[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(high01, high23));
  }
  // Registers, not xsimd's batches, which a call passes through memory.
  [[gnu::noinline]] static __m256 load_part(const float* p, size_t n) {
    if (n >= 4) {
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), load_below_4(p + 4, n - 4), 1);
    }
    return _mm256_zextps128_ps256(load_below_4(p, n));
  }
  [[gnu::noinline]] static void store_part(float* p, __m256 v, size_t n) {
    __m128 part = _mm256_castps256_ps128(v);
    if (n & 4) {
      _mm_storeu_ps(p, part);
      part = _mm256_extractf128_ps(v, 1);
      p += 4;
    }
    if (n & 2) {
      _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
      part = _mm_movehl_ps(part, part);
      p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
  }
  [[gnu::noinline]] static __m128i bytes_part(const uint8_t* p, size_t n) {
    uint64_t bytes = 0;
    for (size_t k = 0; k < n; ++k) bytes |= static_cast<uint64_t>(p[k]) << (8 * k);
    return _mm_cvtsi64_si128(static_cast<long long>(bytes));
  }
  SIMDNORM_INLINE static __m256i first(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  SIMDNORM_INLINE static __m128i halves(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
  [[gnu::noinline]] static __m128i halves_n(const void* from, size_t n) {
    const char* p = static_cast<const char*>(from);
    __m128i four = _mm_setzero_si128();
    if (n & 4) {
      four = _mm_loadu_si64(p);
      p += 8;
    }
    uint64_t rest = 0;
    if (n & 2) {
      uint32_t two;
      __builtin_memcpy(&two, p, sizeof two);
      rest = two;
      p += 4;
    }
    if (n & 1) {
      uint16_t one;
      __builtin_memcpy(&one, p, sizeof one);
      rest |= static_cast<uint64_t>(one) << (n & 2 ? 32 : 0);
    }
    const __m128i others = _mm_cvtsi64_si128(static_cast<long long>(rest));
    return n & 4 ? _mm_unpacklo_epi64(four, others) : others;
  }
  [[gnu::noinline]] static void store_halves_n(void* to, __m128i v, size_t n) {
    char* p = static_cast<char*>(to);
    if (n & 4) {
      _mm_storeu_si64(p, v);
      v = _mm_unpackhi_epi64(v, v);
      p += 8;
    }
    if (n & 2) {
      _mm_storeu_si32(p, v);
      v = _mm_srli_si128(v, 4);
      p += 4;
    }
    if (n & 1) _mm_storeu_si16(p, v);
  }
  SIMDNORM_INLINE static f32 widened_bf16(__m128i v) {
    // All eight in both halves, which a load does, then one shuffle: each word to the upper half of its float.
    const __m256i upper = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7,  //
                                           -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
    return _mm256_castsi256_ps(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(v), upper));
  }
  // What is a bf16 in its upper half.
  SIMDNORM_INLINE static __m256i rounded_up(__m256 v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i last = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), last);
  }
  SIMDNORM_INLINE static __m128i as_bf16(__m256 v) {
    // The upper words of each half, then both halves together.
    const __m256i upper_words = _mm256_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                                 2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i words = _mm256_shuffle_epi8(rounded_up(v), upper_words);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(words, 0x08));
  }
  SIMDNORM_INLINE static __m128i as_f16(__m256 v) {
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  SIMDNORM_INLINE static __m128i low_bytes(__m256 v) {
    const __m256i lows = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12));
    const __m256i of_halves = _mm256_shuffle_epi8(_mm256_castps_si256(v), lows);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(of_halves), _mm256_extracti128_si256(of_halves, 1));
  }
  SIMDNORM_INLINE static mask not_zero(__m128i bytes) {
    return mask(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_cvtepu8_epi32(bytes), _mm256_setzero_si256())));
  }
  SIMDNORM_INLINE static mask of_bits(unsigned bits) {
    const __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i here = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), each);
    return mask(_mm256_castsi256_ps(_mm256_cmpeq_epi32(here, each)));
  }
  // 16 lanes as 8 and then 4 in doubles.
  SIMDNORM_INLINE static f64 halved64(const f32 (&v)[2]) {
    const wide low = widen(v[0]);
    const wide high = widen(v[1]);
    return (low.part[0] + high.part[0]) + (low.part[1] + high.part[1]);
  }
  SIMDNORM_INLINE static double fold64(__m256d v) {
    const __m128d a = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a)));
  }
  SIMDNORM_INLINE static __m128 load_below_4(const float* p, size_t n) {
    __m128 v = _mm_setzero_ps();
    if (n & 2) {
      v = _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(p)));
      if (n & 1) v = _mm_movelh_ps(v, _mm_load_ss(p + 2));
    } else if (n & 1) {
      v = _mm_load_ss(p);
    }
    return v;
  }
};
using quad = four_doubles;
using octet = quad;

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

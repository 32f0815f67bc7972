// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary on AArch64 NEON: 4 floats a register. scalar.hpp defines what every word means.
// xsimd's neon64 division and square root are estimates (2 ulp) and are not used.
#pragma once

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#include <xsimd/xsimd.hpp>

#include "element.hpp"
#include "inline.hpp"
#include "repeat.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

struct lanes {
  using f32 = xsimd::batch<float, xsimd::neon64>;
  using f64 = xsimd::batch<double, xsimd::neon64>;
  static constexpr size_t width = 4;
  static constexpr size_t columns_together = 4;      // 20 registers of 32
  static constexpr bool rows_side_by_side = false;   // column/side_by_side.hpp
  static constexpr bool masked_in_registers = true;  // columns' parameters beside an element mask
  static constexpr bool fused = true;
  static constexpr bool fused_halves = true;
  static constexpr bool streams = true;
  static constexpr bool masks = false;
  static constexpr bool loads_where = false;
  struct wide {
    f64 part[2];
  };

  SIMDNORM_INLINE static f32 broadcast(float v) { return vdupq_n_f32(v); }
  SIMDNORM_INLINE static f32 load(const float* p) { return vld1q_f32(p); }
  SIMDNORM_INLINE static f32 load_n(const float* p, size_t n) { return load_n_or(p, n, broadcast(0.0f)); }
  SIMDNORM_INLINE static f32 load_n_or(const float* p, size_t n, f32 fill) {
    float32x4_t v = fill;
    if (n > 0) v = vld1q_lane_f32(p, v, 0);
    if (n > 1) v = vld1q_lane_f32(p + 1, v, 1);
    if (n > 2) v = vld1q_lane_f32(p + 2, v, 2);
    return v;
  }
  // The last `width` elements, moved down; a place beyond the register keeps `fill`.
  SIMDNORM_INLINE static f32 load_up_to(const float* p, size_t i, size_t n, f32 fill) {
    alignas(32) static constexpr uint8_t places[32] = {0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,
                                                       11,  12,  13,  14,  15,  255, 255, 255, 255, 255, 255,
                                                       255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    const size_t at = i < n - width ? i : n - width;
    const size_t down = i - at < width ? i - at : width;
    const uint8x16_t v = vreinterpretq_u8_f32(vld1q_f32(p + at));
    return vreinterpretq_f32_u8(vqtbx1q_u8(vreinterpretq_u8_f32(fill), v, vld1q_u8(places + 4 * down)));
  }
  SIMDNORM_INLINE static void store(float* p, f32 v) { vst1q_f32(p, v); }
  SIMDNORM_INLINE static void store_n(float* p, f32 v, size_t n) {
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
  }

  SIMDNORM_INLINE static f32 load(const bf16* p) { return widened_bf16(vld1_u16(&p->bits)); }
  SIMDNORM_INLINE static f32 load_n(const bf16* p, size_t n) { return widened_bf16(halves_n(&p->bits, n)); }
  SIMDNORM_INLINE static void store(bf16* p, f32 v) { vst1_u16(&p->bits, as_bf16(v)); }
  SIMDNORM_INLINE static void store_n(bf16* p, f32 v, size_t n) { store_halves_n(&p->bits, as_bf16(v), n); }
  SIMDNORM_INLINE static f32 load(const f16* p) { return widened_f16(vld1_u16(&p->bits)); }
  SIMDNORM_INLINE static f32 load_n(const f16* p, size_t n) { return widened_f16(halves_n(&p->bits, n)); }
  SIMDNORM_INLINE static void store(f16* p, f32 v) { vst1_u16(&p->bits, as_f16(v)); }
  SIMDNORM_INLINE static void store_n(f16* p, f32 v, size_t n) { store_halves_n(&p->bits, as_f16(v), n); }
  SIMDNORM_INLINE static f32 rounded(bf16, f32 v) { return widened_bf16(as_bf16(v)); }
  SIMDNORM_INLINE static f32 rounded(f16, f32 v) { return widened_f16(as_f16(v)); }
  template <class T>
  SIMDNORM_INLINE static f32 load_n_or(const T* p, size_t n, f32 fill) {
    const uint32x4_t index = {0, 1, 2, 3};
    return vbslq_f32(vcltq_u32(index, vdupq_n_u32(static_cast<uint32_t>(n))), load_n(p, n), fill);
  }
  SIMDNORM_INLINE static void store(uint8_t* p, f32 v) { store_n(p, v, 4); }
  SIMDNORM_INLINE static void store_n(uint8_t* p, f32 v, size_t n) {
    const uint16x4_t words = vmovn_u32(vreinterpretq_u32_f32(v));
    const uint32_t bytes = vget_lane_u32(vreinterpret_u32_u8(vmovn_u16(vcombine_u16(words, words))), 0);
    __builtin_memcpy(p, &bytes, n);
  }
  template <class T>
  SIMDNORM_INLINE static void stream(T* p, f32 v) {
    store(p, v);
  }

  SIMDNORM_INLINE static f32 load_column(const float* p, ptrdiff_t stride) {
    float32x4_t v = vld1q_dup_f32(p);
    v = vld1q_lane_f32(p + stride, v, 1);
    v = vld1q_lane_f32(p + 2 * stride, v, 2);
    return vld1q_lane_f32(p + 3 * stride, v, 3);
  }
  SIMDNORM_INLINE static void store_column(float* p, ptrdiff_t stride, f32 v) {
    vst1q_lane_f32(p, v, 0);
    vst1q_lane_f32(p + stride, v, 1);
    vst1q_lane_f32(p + 2 * stride, v, 2);
    vst1q_lane_f32(p + 3 * stride, v, 3);
  }
  SIMDNORM_INLINE static void load_columns(const float* p, ptrdiff_t stride, f32* v) {
    float32x4_t row[4];
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { row[k] = vld1q_f32(p + static_cast<ptrdiff_t>(k) * stride); });
    turn(row);
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { v[k] = row[k]; });
  }
  SIMDNORM_INLINE static void store_columns(float* p, ptrdiff_t stride, const f32* v) {
    float32x4_t row[4] = {v[0], v[1], v[2], v[3]};
    turn(row);
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { vst1q_f32(p + static_cast<ptrdiff_t>(k) * stride, row[k]); });
  }
  // AArch64 has non-temporal pair stores, a hint that cores are free to ignore; plain stores do.
  SIMDNORM_INLINE static void stream(float* p, f32 v) { vst1q_f32(p, v); }
  SIMDNORM_INLINE static void fence() {}
  SIMDNORM_INLINE static void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

  SIMDNORM_INLINE static f32 fma(f32 a, f32 b, f32 c) { return vfmaq_f32(c, a, b); }
  SIMDNORM_INLINE static f32 fnma(f32 a, f32 b, f32 c) { return vfmsq_f32(c, a, b); }
  using u32 = xsimd::batch<uint32_t, xsimd::neon64>;
  using octet = uint8x16_t;  // the places of four bytes for each element
  SIMDNORM_INLINE static u32 bits(f32 v) { return vreinterpretq_u32_f32(v); }
  SIMDNORM_INLINE static f32 floats(u32 u) { return vreinterpretq_f32_u32(u); }
  SIMDNORM_INLINE static octet octet_of(u32 u) {
    const uint32x4_t place = vandq_u32(u, vdupq_n_u32(7));
    return vreinterpretq_u8_u32(vmlaq_u32(vdupq_n_u32(0x03020100), place, vdupq_n_u32(0x04040404)));
  }
  SIMDNORM_INLINE static f32 look_up(const float* table, octet o) {
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(table);
    return vreinterpretq_f32_u8(vqtbl2q_u8({{vld1q_u8(bytes), vld1q_u8(bytes + 16)}}, o));
  }
  SIMDNORM_INLINE static f32 div(f32 a, f32 b) { return vdivq_f32(a, b); }
  // vminq would propagate NaN and order zeros: the words take the second operand, as x86 does.
  SIMDNORM_INLINE static f32 min(f32 a, f32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  SIMDNORM_INLINE static f32 max(f32 a, f32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  SIMDNORM_INLINE static u32 max(u32 a, u32 b) { return vmaxq_u32(a, b); }
  SIMDNORM_INLINE static u32 integers(f32 v) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(v)); }
  SIMDNORM_INLINE static f32 canonical(f32 v) { return vbslq_f32(vceqq_f32(v, v), v, broadcast(__builtin_nanf(""))); }
  using mask = xsimd::batch_bool<float, xsimd::neon64>;
  SIMDNORM_INLINE static mask less(f32 a, f32 b) { return mask(vcltq_f32(a, b)); }
  SIMDNORM_INLINE static mask is_number(f32 v) { return mask(vceqq_f32(v, v)); }
  SIMDNORM_INLINE static f32 select(mask m, f32 a, f32 b) { return vbslq_f32(m, a, b); }
  SIMDNORM_INLINE static f32 zero_unless(mask m, f32 v) {
    return vreinterpretq_f32_u32(vandq_u32(m, vreinterpretq_u32_f32(v)));
  }
  SIMDNORM_INLINE static mask mask_bytes(const uint8_t* p) { return mask_bytes_n(p, 4); }
  SIMDNORM_INLINE static mask mask_bytes_n(const uint8_t* p, size_t n) {
    uint32_t bytes = 0;
    __builtin_memcpy(&bytes, p, n);
    const uint32x4_t v = vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
    return mask(vtstq_u32(v, v));
  }
  SIMDNORM_INLINE static size_t count_marks(const uint8_t* p) {
    const uint8x16_t low = vld1q_u8(p), high = vld1q_u8(p + 16), one = vdupq_n_u8(1);
    return vaddvq_u8(vaddq_u8(vminq_u8(low, one), vminq_u8(high, one)));
  }
  SIMDNORM_INLINE static mask mask_bits(const uint8_t* p, size_t i) { return mask_bits_n(p, i, 4); }
  SIMDNORM_INLINE static mask mask_bits_n(const uint8_t* p, size_t i, size_t n) {
    const uint32x4_t each = {1, 2, 4, 8};
    const uint32_t bits = n > 0 ? p[i / 8] >> (i % 8) & ((1u << n) - 1u) : 0u;
    return mask(vtstq_u32(vdupq_n_u32(bits), each));
  }
  SIMDNORM_INLINE static bool any(mask m) { return vmaxvq_u32(m) != 0; }
  SIMDNORM_INLINE static size_t count(mask m) { return vaddvq_u32(vshrq_n_u32(m, 31)); }
  SIMDNORM_INLINE static bool any_nan(f32 v) { return vminvq_u32(vceqq_f32(v, v)) == 0; }
  SIMDNORM_INLINE static bool all_equal(f32 a, f32 b) { return vminvq_u32(vceqq_f32(a, b)) != 0; }

  static constexpr size_t width64 = 2;
  SIMDNORM_INLINE static f64 load64(const double* p) { return vld1q_f64(p); }
  SIMDNORM_INLINE static void store64(double* p, f64 v) { vst1q_f64(p, v); }
  SIMDNORM_INLINE static f64 load64_n(const double* p, size_t n) { return load64_n_or(p, n, broadcast64(0.0)); }
  SIMDNORM_INLINE static f64 load64_n_or(const double* p, size_t n, f64 fill) {
    return n > 0 ? vld1q_lane_f64(p, fill, 0) : float64x2_t(fill);
  }
  SIMDNORM_INLINE static void store64_n(double* p, f64 v, size_t n) {
    if (n > 0) vst1q_lane_f64(p, v, 0);
  }
  SIMDNORM_INLINE static void stream64(double* p, f64 v) { vst1q_f64(p, v); }
  SIMDNORM_INLINE static f64 canonical64(f64 v) {
    return vbslq_f64(vceqq_f64(v, v), v, broadcast64(__builtin_nan("")));
  }
  SIMDNORM_INLINE static f64 min64(f64 a, f64 b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
  SIMDNORM_INLINE static f64 max64(f64 a, f64 b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
  SIMDNORM_INLINE static f64 fma64(f64 a, f64 b, f64 c) { return vfmaq_f64(c, a, b); }
  SIMDNORM_INLINE static double fma64(double a, double b, double c) { return __builtin_fma(a, b, c); }
  SIMDNORM_INLINE static f64 load_widened(const float* p) { return vcvt_f64_f32(vld1_f32(p)); }
  SIMDNORM_INLINE static f64 store_narrowed(float* p, f64 v) {
    const float32x2_t narrow = vcvt_f32_f64(v);
    vst1_f32(p, narrow);
    return vcvt_f64_f32(narrow);
  }
  SIMDNORM_INLINE static f64 div(f64 a, f64 b) { return vdivq_f64(a, b); }
  SIMDNORM_INLINE static f64 sqrt(f64 v) { return vsqrtq_f64(v); }
  SIMDNORM_INLINE static f64 select(xsimd::batch_bool<double, xsimd::neon64> m, f64 a, f64 b) {
    return xsimd::select(m, a, b);
  }
  SIMDNORM_INLINE static bool all(xsimd::batch_bool<double, xsimd::neon64> m) {
    return vgetq_lane_u64(m, 0) != 0 && vgetq_lane_u64(m, 1) != 0;
  }
  SIMDNORM_INLINE static f64 broadcast64(double v) { return vdupq_n_f64(v); }
  SIMDNORM_INLINE static wide widen(f32 v) { return {{f64(vcvt_f64_f32(vget_low_f32(v))), f64(vcvt_high_f64_f32(v))}}; }
  SIMDNORM_INLINE static f32 narrow(wide v) { return vcvt_high_f32_f64(vcvt_f32_f64(v.part[0]), v.part[1]); }

  SIMDNORM_INLINE static float sum(const f32 (&v)[8]) {
    f32 a[4];
    for (size_t i = 0; i < 4; ++i) a[i] = v[i] + v[i + 4];
    const float32x4_t b = (a[0] + a[2]) + (a[1] + a[3]);
    const float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
    return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
  }
  SIMDNORM_INLINE static double sum64(const f32 (&v)[4]) {
    wide w[4];
    for (size_t i = 0; i < 4; ++i) w[i] = widen(v[i]);
    f64 t[4];  // lanes 0-1, 2-3, 4-5, 6-7 of eight
    for (size_t i = 0; i < 2; ++i) {
      for (size_t k = 0; k < 2; ++k) t[2 * i + k] = w[i].part[k] + w[i + 2].part[k];
    }
    const float64x2_t a = (t[0] + t[2]) + (t[1] + t[3]);
    return vgetq_lane_f64(a, 0) + vgetq_lane_f64(a, 1);
  }
  SIMDNORM_INLINE static double sum64(const wide (&v)[8]) {
    f64 t[4];  // lanes 0-1, 2-3, 4-5, 6-7 of the eight that remain
    for (size_t i = 0; i < 2; ++i) {
      for (size_t k = 0; k < 2; ++k) {
        t[2 * i + k] = (v[i].part[k] + v[i + 2].part[k]) + (v[i + 4].part[k] + v[i + 6].part[k]);
      }
    }
    const float64x2_t a = (t[0] + t[2]) + (t[1] + t[3]);
    return vgetq_lane_f64(a, 0) + vgetq_lane_f64(a, 1);
  }

  SIMDNORM_INLINE static void sum64x4(const f32 (*v)[4], double* out) {
    for (size_t k = 0; k < 4; ++k) out[k] = sum64(v[k]);
  }

 private:
  // Four rows of four elements become four columns.
  SIMDNORM_INLINE static void turn(float32x4_t (&row)[4]) {
    const float64x2_t even01 = vreinterpretq_f64_f32(vtrn1q_f32(row[0], row[1]));
    const float64x2_t odd01 = vreinterpretq_f64_f32(vtrn2q_f32(row[0], row[1]));
    const float64x2_t even23 = vreinterpretq_f64_f32(vtrn1q_f32(row[2], row[3]));
    const float64x2_t odd23 = vreinterpretq_f64_f32(vtrn2q_f32(row[2], row[3]));
    row[0] = vreinterpretq_f32_f64(vtrn1q_f64(even01, even23));
    row[1] = vreinterpretq_f32_f64(vtrn1q_f64(odd01, odd23));
    row[2] = vreinterpretq_f32_f64(vtrn2q_f64(even01, even23));
    row[3] = vreinterpretq_f32_f64(vtrn2q_f64(odd01, odd23));
  }
  SIMDNORM_INLINE static uint16x4_t halves_n(const uint16_t* p, size_t n) {
    uint16x4_t v = vdup_n_u16(0);
    if (n > 0) v = vld1_lane_u16(p, v, 0);
    if (n > 1) v = vld1_lane_u16(p + 1, v, 1);
    if (n > 2) v = vld1_lane_u16(p + 2, v, 2);
    return v;
  }
  SIMDNORM_INLINE static void store_halves_n(uint16_t* p, uint16x4_t v, size_t n) {
    if (n > 0) vst1_lane_u16(p, v, 0);
    if (n > 1) vst1_lane_u16(p + 1, v, 1);
    if (n > 2) vst1_lane_u16(p + 2, v, 2);
  }
  SIMDNORM_INLINE static f32 widened_bf16(uint16x4_t v) { return vreinterpretq_f32_u32(vshll_n_u16(v, 16)); }
  SIMDNORM_INLINE static f32 widened_f16(uint16x4_t v) { return vcvt_f32_f16(vreinterpret_f16_u16(v)); }
  // In integers: ARMv8.0 has no conversion to bf16.
  SIMDNORM_INLINE static uint16x4_t as_bf16(float32x4_t v) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    const uint32x4_t last = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), last);
    return vshrn_n_u32(rounded, 16);
  }
  SIMDNORM_INLINE static uint16x4_t as_f16(float32x4_t v) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); }
};
using quad = lanes;
using octet = quad;

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary, and what its words mean, in plain C++: one float a register. Every instruction
// set gives exactly these results, NaN payloads aside.
//
//   f32, f64          a register of `width` floats; one of doubles; + - * are element by element
//   wide              the doubles of one f32 register, part by part
//   load, store       `width` elements; no alignment is asked for
//   load_n, store_n   the first n < width elements; not a byte beyond them is touched; zeros, or
//   load_n_or         `fill`, stand in the register's other places
//   load_up_to(p, i, n, fill)  p[i], p[i + 1], ... below p[n], `fill` in place of what would lie beyond; n >= width, i
//                     a multiple of it, perhaps beyond n. Without a branch. store_up_to, where there are masks
//                     the same words take bf16 and f16: elements become floats, exactly (of a NaN the payload is
//                     kept, f16's made quiet), and are rounded to nearest even; a NaN to be stored is canonical
//                     to bytes: the low byte of the bits
//   rounded(bf16{}, v), rounded(f16{}, v)  v as it comes back when it is stored as a half, and loaded; v is no NaN.
//                     Not on scalar
//   masks             whether load_n and store_n cost no more than load and store; loads_where: below and load_where
//   streams           whether stream and prefetch do anything
//   stream(p, v)      a store past the caches; p is aligned to the register. fence: before whoever waits
//                     for these stores is told that they are done. prefetch: the line of p into L2
//   load_column(p, stride)   an element of each of `width` rows, where a register has more than one; store_column.
//                     load_columns(p, stride, v): four elements of each, v[k] the k-th ones; store_columns
//   fma(a, b, c)      a * b + c, rounded once; fnma(a, b, c): c - a * b, rounded once
//   u32               the bits of `width` floats: bits(v), floats(u); + - & | and shifts << >>, element by element
//   octet_of(u)       places in tables of eight, u mod 8; look_up(table, octet): what stands there
//   min(a, b)         a < b ? a : b        (so b where one is NaN or both are zero)
//   max(a, b)         a > b ? a : b; of u32 the greater one
//   integers(v)       u32 of the integer nearest to v, |v| < 2^22, of two the even one; NaN: the low byte is 0
//   canonical         NaN becomes 0x7fc00000
//   mask              true or false for each element; & and | of two
//   less(a, b)        a < b; false where one is NaN. is_number(v): not NaN
//   select(m, a, b)   a where m is true, else b. zero_unless(m, v): v where m is true, else 0
//   below(i, n)       the mask of which of i, i + 1, ... are less than n; |n - i| < 2^31
//   load_where(m, p)  the elements where m is true, and zeros in place of the others, which are not read
//   mask_bytes(p), mask_bits(p, i)   `width` bytes that are not zero; bits i, i + 1, ... of p, least significant
//                     first, i a multiple of `width`. mask_bytes_n, mask_bits_n: the first n < width, else false;
//                     not a byte is read that holds none of them
//   group_bits(p, i, g)   where it is there: mask_bits(p, i) of register g of 32 elements whose bits are all there
//   any(m), count(m)  whether some element is true, and how many; count_marks(p): how many of 32 bytes are not zero
//   load_widened      width64 floats as doubles; store_narrowed: rounded to floats, and the doubles
//   store_narrowed    that these are
//   sum(v)            of 32 virtual lanes in f32, by halving: lane i gets lane i + 16's, then i + 8, 4, 2, 1
//   sum64(v)          of 16 lanes (i + i+16 of the 32) in doubles: i + 8, 4, 2, 1. Of 32 lanes of doubles:
//                     (i + i+8) + (i+16 + i+24) first, then i + 4, 2, 1
//   sum64x4           the same of four: out[k] of v[k]. At a third of the instructions, where an
//                     instruction set can turn rows into columns; AVX-512 has sum64x8
//   load64_n, store64_n, load64_n_or, canonical64   load_n, store_n, load_n_or and canonical (0x7ff8000000000000) of
//   doubles,
//                     n < width64. stream64, min64, max64: stream, min and
//                     max of doubles
//   fma64(a, b, c)    a * b + c, rounded once, of registers of doubles, and of doubles themselves
//   quad              the doubles' words for four rows at a time, or for as many as a register has
//   octet             the same for eight, where a register has them, else quad
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "element.hpp"
#include "inline.hpp"
#include "lanes/emulated_fma.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

struct lanes {
  using f32 = float;
  using f64 = double;
  static constexpr size_t width = 1;
  static constexpr size_t columns_together = 1;
  static constexpr bool rows_side_by_side = false;   // column/side_by_side.hpp
  static constexpr bool masked_in_registers = true;  // columns' parameters beside an element mask
  static constexpr bool fused = false;               // 32 emulated fma a turn do not fit
  static constexpr bool fused_halves = false;
  static constexpr bool streams = false;
  static constexpr bool masks = false;
  static constexpr bool loads_where = false;
  struct wide {
    f64 part[1];
  };

  SIMDNORM_INLINE static f32 broadcast(float v) { return v; }
  SIMDNORM_INLINE static f32 load(const float* p) { return *p; }
  SIMDNORM_INLINE static f32 load_n(const float*, size_t) { return 0.0f; }
  SIMDNORM_INLINE static f32 load_n_or(const float*, size_t, f32 fill) { return fill; }
  SIMDNORM_INLINE static f32 load_up_to(const float* p, size_t i, size_t n, f32 fill) { return i < n ? p[i] : fill; }
  SIMDNORM_INLINE static void store(float* p, f32 v) { *p = v; }
  SIMDNORM_INLINE static void store_n(float*, f32, size_t) {}

  SIMDNORM_INLINE static f32 load(const bf16* p) { return float_of(static_cast<uint32_t>(p->bits) << 16); }
  SIMDNORM_INLINE static void store(bf16* p, f32 v) {
    const uint32_t bits = bits_of(v);
    const uint32_t rounded = bits + 0x7fff + ((bits >> 16) & 1);
    p->bits = static_cast<uint16_t>(rounded >> 16);
  }
  SIMDNORM_INLINE static f32 load(const f16* p) {
    const uint32_t sign = (p->bits & 0x8000u) << 16;
    const uint32_t rest = p->bits & 0x7fffu;
    if (rest >= 0x7c00) return float_of(sign | 0x7f800000 | ((rest & 0x3ff) << 13) | (rest > 0x7c00 ? 0x400000 : 0));
    // Exponent 15 of f16 is 127 of f32; the product is exact, for subnormals, too.
    return float_of(sign | bits_of(float_of(rest << 13) * 0x1p112f));
  }
  SIMDNORM_INLINE static void store(f16* p, f32 v) {
    const uint32_t bits = bits_of(v);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t size = bits & 0x7fffffff;
    uint32_t half;
    if (size > 0x7f800000) {
      half = 0x7e00;
    } else if (size < 0x38800000) {  // subnormal: a sum with 1/2, whose last bit is worth 2^-24, rounds it
      half = bits_of(float_of(size) + 0.5f) - 0x3f000000;
    } else {
      half = (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13;
      half = half > 0x7c00 ? 0x7c00 : half;
    }
    p->bits = static_cast<uint16_t>(sign | half);
  }
  SIMDNORM_INLINE static void store(uint8_t* p, f32 v) { *p = static_cast<uint8_t>(bits_of(v)); }
  template <class T>
  SIMDNORM_INLINE static f32 load_n(const T*, size_t) {
    return 0.0f;
  }
  template <class T>
  SIMDNORM_INLINE static f32 load_n_or(const T*, size_t, f32 fill) {
    return fill;
  }
  template <class T>
  SIMDNORM_INLINE static void store_n(T*, f32, size_t) {}
  template <class T>
  SIMDNORM_INLINE static void stream(T* p, f32 v) {
    store(p, v);
  }

  SIMDNORM_INLINE static void stream(float* p, f32 v) { *p = v; }
  SIMDNORM_INLINE static void fence() {}
  SIMDNORM_INLINE static void prefetch(const void*) {}

  SIMDNORM_INLINE static f32 fma(f32 a, f32 b, f32 c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fmaf(a, b, c);
#else
    // The product of two floats is exact in double. The sum is rounded to odd (Boldo, Melquiond:
    // Emulation of FMA and Correctly Rounded Sums, 2008), so that rounding it again to float is
    // right; its error comes from Knuth's TwoSum. libm's fmaf would be a call per element.
    const double p = static_cast<double>(a) * static_cast<double>(b);
    const double d = static_cast<double>(c);
    double s = p + d;
    const double from_d = s - p;
    const double error = (p - (s - from_d)) + (d - from_d);
    uint64_t bits;
    uint64_t error_bits;
    __builtin_memcpy(&bits, &s, sizeof bits);
    __builtin_memcpy(&error_bits, &error, sizeof error_bits);
    const bool inexact = (error > 0.0) | (error < 0.0);           // false where s is infinite or NaN
    const uint64_t toward = 1 - 2 * ((bits ^ error_bits) >> 63);  // away from zero: 1; towards: -1
    bits += toward & (0 - (static_cast<uint64_t>(inexact) & ~bits & 1));
    __builtin_memcpy(&s, &bits, sizeof s);
    return static_cast<float>(s);
#endif
  }
  SIMDNORM_INLINE static f32 fnma(f32 a, f32 b, f32 c) {
    return fma(-a, b, c);
  }
  using u32 = uint32_t;
  using octet = uint32_t;
  SIMDNORM_INLINE static u32 bits(f32 v) {
    return __builtin_bit_cast(u32, v);
  }
  SIMDNORM_INLINE static f32 floats(u32 u) {
    return __builtin_bit_cast(f32, u);
  }
  SIMDNORM_INLINE static octet octet_of(u32 u) {
    return u & 7;
  }
  SIMDNORM_INLINE static f32 look_up(const float* table, octet o) {
    return table[o];
  }
  SIMDNORM_INLINE static f32 min(f32 a, f32 b) {
    return a < b ? a : b;
  }
  SIMDNORM_INLINE static f32 max(f32 a, f32 b) {
    return a > b ? a : b;
  }
  SIMDNORM_INLINE static u32 max(u32 a, u32 b) {
    return a > b ? a : b;
  }
  SIMDNORM_INLINE static u32 integers(f32 v) {  // adding 1.5 * 2^23 rounds
    return v == v ? bits(v + 0x1.8p23f) - bits(0x1.8p23f) : 0;
  }
  SIMDNORM_INLINE static f32 canonical(f32 v) {
    return v == v ? v : __builtin_nanf("");
  }
  using mask = bool;
  SIMDNORM_INLINE static mask less(f32 a, f32 b) {
    return a < b;
  }
  SIMDNORM_INLINE static mask is_number(f32 v) {
    return v == v;
  }
  SIMDNORM_INLINE static f32 select(mask m, f32 a, f32 b) {
    return m ? a : b;
  }
  SIMDNORM_INLINE static f32 zero_unless(mask m, f32 v) {
    return m ? v : 0.0f;
  }
  SIMDNORM_INLINE static mask mask_bytes(const uint8_t* p) {
    return *p != 0;
  }
  SIMDNORM_INLINE static mask mask_bytes_n(const uint8_t*, size_t) {
    return false;
  }
  SIMDNORM_INLINE static size_t count_marks(const uint8_t* p) {
    size_t marks = 0;
    for (size_t k = 0; k < 32; ++k) marks += p[k] != 0;
    return marks;
  }
  SIMDNORM_INLINE static mask mask_bits(const uint8_t* p, size_t i) {
    return (p[i / 8] >> (i % 8) & 1) != 0;
  }
  SIMDNORM_INLINE static mask mask_bits_n(const uint8_t*, size_t, size_t) {
    return false;
  }
  SIMDNORM_INLINE static bool any(mask m) {
    return m;
  }
  SIMDNORM_INLINE static size_t count(mask m) {
    return m;
  }
  SIMDNORM_INLINE static bool any_nan(f32 v) {
    return v != v;
  }
  SIMDNORM_INLINE static bool all_equal(f32 a, f32 b) {
    return a == b;
  }

  static constexpr size_t width64 = 1;
  SIMDNORM_INLINE static f64 load64(const double* p) {
    return *p;
  }
  SIMDNORM_INLINE static void store64(double* p, f64 v) {
    *p = v;
  }
  SIMDNORM_INLINE static f64 load64_n(const double*, size_t) {
    return 0.0;
  }
  SIMDNORM_INLINE static f64 load64_n_or(const double*, size_t, f64 fill) {
    return fill;
  }
  SIMDNORM_INLINE static void store64_n(double*, f64, size_t) {}
  SIMDNORM_INLINE static void stream64(double* p, f64 v) {
    *p = v;
  }
  SIMDNORM_INLINE static f64 canonical64(f64 v) {
    return v == v ? v : __builtin_nan("");
  }
  SIMDNORM_INLINE static f64 min64(f64 a, f64 b) {
    return a < b ? a : b;
  }
  SIMDNORM_INLINE static f64 max64(f64 a, f64 b) {
    return a > b ? a : b;
  }
  SIMDNORM_INLINE static f64 fma64(f64 a, f64 b, f64 c) {
#if defined(__FMA__) || defined(__aarch64__)
    return __builtin_fma(a, b, c);
#else
    return emulated_fma64(a, b, c);
#endif
  }
  SIMDNORM_INLINE static f64 load_widened(const float* p) {
    return static_cast<double>(*p);
  }
  SIMDNORM_INLINE static f64 store_narrowed(float* p, f64 v) {
    *p = static_cast<float>(v);
    return static_cast<double>(*p);
  }
  SIMDNORM_INLINE static f64 div(f64 a, f64 b) {
    return a / b;
  }
  SIMDNORM_INLINE static f32 div(f32 a, f32 b) {
    return a / b;
  }
  SIMDNORM_INLINE static f64 sqrt(f64 v) {
    return __builtin_sqrt(v);
  }
  SIMDNORM_INLINE static f64 select(bool m, f64 a, f64 b) {
    return m ? a : b;
  }
  SIMDNORM_INLINE static bool all(bool m) {
    return m;
  }
  SIMDNORM_INLINE static f64 broadcast64(double v) {
    return v;
  }
  SIMDNORM_INLINE static wide widen(f32 v) {
    return {{static_cast<double>(v)}};
  }
  SIMDNORM_INLINE static f32 narrow(wide v) {
    return static_cast<float>(v.part[0]);
  }

  SIMDNORM_INLINE static float sum(const f32 (&v)[32]) {
    float a[16];
    for (size_t i = 0; i < 16; ++i) a[i] = v[i] + v[i + 16];
    for (size_t half = 8; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) a[i] = a[i] + a[i + half];
    }
    return a[0];
  }
  SIMDNORM_INLINE static double sum64(const f32 (&v)[16]) {
    double a[16];
    for (size_t i = 0; i < 16; ++i) a[i] = static_cast<double>(v[i]);
    for (size_t half = 8; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) a[i] = a[i] + a[i + half];
    }
    return a[0];
  }
  SIMDNORM_INLINE static double sum64(const wide (&v)[32]) {
    double a[8];
    for (size_t i = 0; i < 8; ++i) a[i] = (v[i].part[0] + v[i + 8].part[0]) + (v[i + 16].part[0] + v[i + 24].part[0]);
    for (size_t half = 4; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) a[i] = a[i] + a[i + half];
    }
    return a[0];
  }

  SIMDNORM_INLINE static void sum64x4(const f32 (*v)[16], double* out) {
    for (size_t k = 0; k < 4; ++k) out[k] = sum64(v[k]);
  }

 private:
  SIMDNORM_INLINE static uint32_t bits_of(float v) {
    uint32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    return bits;
  }
  SIMDNORM_INLINE static float float_of(uint32_t bits) {
    float v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
  }
};
using quad = lanes;
using octet = quad;

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// The caller's rounding mode, flush-to-zero and unmasked exceptions would change bits or trap.
// Reading the control word costs a few cycles; it is only written where it is not the IEEE default,
// and then put back exactly. The word is per thread: every task has its own scope.
#pragma once

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace simdnorm {

class control_word_scope {
 public:
  control_word_scope() noexcept : saved_(read()) {
    if (!is_default(saved_)) [[unlikely]]
      write(with_default(saved_));
  }
  ~control_word_scope() {
    if (!is_default(saved_)) [[unlikely]]
      write(saved_);
  }
  control_word_scope(const control_word_scope&) = delete;
  control_word_scope& operator=(const control_word_scope&) = delete;

 private:
#if defined(__x86_64__)
  // MXCSR: flags 0-5, DAZ 6, exception masks 7-12, rounding 13-14, FTZ 15. The flags may be what
  // they are.
  using word = uint32_t;
  static constexpr word control = 0xffc0, ieee = 0x1f80;
  static word read() noexcept {
    return _mm_getcsr();
  }
  static void write(word w) noexcept {
    _mm_setcsr(w);
  }
#elif defined(__aarch64__)
  // FPCR: FIZ 0, AH 1, NEP 2, trap enables 8-12 and 15, FZ16 19, rounding 22-23, FZ 24, DN 25.
  using word = uint64_t;
  static constexpr word control = 0x3c89f07, ieee = 0;
  static word read() noexcept {
    word w;
    __asm__ volatile("mrs %0, fpcr" : "=r"(w));
    return w;
  }
  static void write(word w) noexcept {
    __asm__ volatile("msr fpcr, %0" : : "r"(w) : "memory");
  }
#else
  using word = uint32_t;
  static constexpr word control = 0, ieee = 0;
  static word read() noexcept {
    return 0;
  }
  static void write(word) noexcept {}
#endif
  static bool is_default(word w) noexcept {
    return (w & control) == ieee;
  }
  static word with_default(word w) noexcept {
    return (w & ~control) | ieee;
  }

  word saved_;
};

}  // namespace simdnorm

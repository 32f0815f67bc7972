// SPDX-License-Identifier: Apache-2.0
#include "runtime/cpu.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace simdnorm {
namespace {

constexpr bool bit(uint64_t value, unsigned index) {
  return (value >> index & 1) != 0;
}

constexpr unsigned leaf1_fma = 12, leaf1_osxsave = 27, leaf1_avx = 28, leaf1_f16c = 29;
constexpr unsigned leaf7_avx2 = 5, leaf7_avx512f = 16, leaf7_avx512dq = 17, leaf7_avx512cd = 28, leaf7_avx512bw = 30,
                   leaf7_avx512vl = 31;
constexpr uint64_t xcr0_ymm = 0x6, xcr0_zmm = 0xe6;

}  // namespace

cpu_probe probe_cpu() noexcept {
  cpu_probe p{};
#if defined(__x86_64__)
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) return p;
  p.max_leaf = a;
  if (p.max_leaf >= 1) {
    __cpuid(1, a, b, c, d);
    p.leaf1_ecx = c;
  }
  if (p.max_leaf >= 7) {
    __cpuid_count(7, 0, a, b, c, d);
    p.leaf7_ebx = b;
  }
  if (bit(p.leaf1_ecx, leaf1_osxsave)) {
    // xgetbv; without OSXSAVE it is an illegal instruction.
    uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    p.xcr0 = static_cast<uint64_t>(high) << 32 | low;
  }
#elif defined(__aarch64__) && defined(__linux__)
  p.has_neon = (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0;
#elif defined(__aarch64__)
  p.has_neon = true;  // part of the ABI of every other system
#endif
  return p;
}

isa_support detect(const cpu_probe& p) noexcept {
  isa_support s{};
  s.cpu[SIMDNORM_SCALAR] = s.os[SIMDNORM_SCALAR] = true;

  const uint32_t leaf1 = p.max_leaf >= 1 ? p.leaf1_ecx : 0;
  const uint32_t leaf7 = p.max_leaf >= 7 ? p.leaf7_ebx : 0;
  // AVX itself is asked for too: an emulator or hypervisor that masks AVX off may leave AVX2 and
  // FMA set (qemu's max,-avx does).
  const bool avx2 = bit(leaf1, leaf1_avx) && bit(leaf1, leaf1_fma) && bit(leaf1, leaf1_f16c) && bit(leaf7, leaf7_avx2);
  s.cpu[SIMDNORM_AVX2] = avx2;
  s.cpu[SIMDNORM_AVX512] = avx2 && bit(leaf7, leaf7_avx512f) && bit(leaf7, leaf7_avx512cd) &&
                           bit(leaf7, leaf7_avx512dq) && bit(leaf7, leaf7_avx512bw) && bit(leaf7, leaf7_avx512vl);
  const bool osxsave = bit(leaf1, leaf1_osxsave);
  s.os[SIMDNORM_AVX2] = osxsave && (p.xcr0 & xcr0_ymm) == xcr0_ymm;
  s.os[SIMDNORM_AVX512] = osxsave && (p.xcr0 & xcr0_zmm) == xcr0_zmm;

  s.cpu[SIMDNORM_NEON] = s.os[SIMDNORM_NEON] = p.has_neon;
  return s;
}

}  // namespace simdnorm

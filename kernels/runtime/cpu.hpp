// SPDX-License-Identifier: Apache-2.0
//
// What the CPU and the operating system offer. Reading the machine (probe) is apart from judging
// what was read (detect), so that a test can fake any CPU.
#pragma once

#include <stdint.h>

#include "simdnorm/simdnorm.h"

namespace simdnorm {

// The raw bits. All zero: a CPU with nothing.
struct cpu_probe {
  uint32_t max_leaf;   // CPUID leaf 0, EAX
  uint32_t leaf1_ecx;  // FMA 12, OSXSAVE 27, AVX 28, F16C 29
  uint32_t leaf7_ebx;  // leaf 7, subleaf 0: AVX2 5, AVX512 F 16, DQ 17, CD 28, BW 30, VL 31
  uint64_t xcr0;       // read only where OSXSAVE is set: XMM 1, YMM 2, opmask 5, ZMM 6 and 7
  bool has_neon;       // AArch64 with HWCAP_ASIMD
};

// Indexed by simdnorm_isa.
struct isa_support {
  bool cpu[SIMDNORM_ISA_COUNT];
  bool os[SIMDNORM_ISA_COUNT];
};

cpu_probe probe_cpu() noexcept;
isa_support detect(const cpu_probe& probe) noexcept;

}  // namespace simdnorm

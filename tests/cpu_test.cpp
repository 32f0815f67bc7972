// SPDX-License-Identifier: Apache-2.0
//
// Detection on faked CPUs, and the functions that choose an instruction set.

#include "runtime/cpu.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "support/isa_fixture.hpp"
#include "table.hpp"

#ifdef SIMDNORM_HAS_CPU_FEATURES
#include <cpu_features/cpuinfo_x86.h>
#endif

namespace simdnorm::test {
namespace {

constexpr std::uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28, f16c = 1u << 29;
constexpr std::uint32_t avx2 = 1u << 5, avx512f = 1u << 16, dq = 1u << 17, cd = 1u << 28, bw = 1u << 30, vl = 1u << 31;
constexpr std::uint32_t all_leaf1 = fma | osxsave | avx | f16c, all_leaf7 = avx2 | avx512f | dq | cd | bw | vl;
constexpr std::uint64_t xmm = 2, ymm = 4, opmask = 0x20, zmm_low = 0x40, zmm_high = 0x80;
constexpr std::uint64_t os_avx = 1 | xmm | ymm, os_avx512 = os_avx | opmask | zmm_low | zmm_high;

struct faked {
  const char* name;
  cpu_probe probe;
  bool avx2_cpu, avx2_os, avx512_cpu, avx512_os;
};

TEST(detection_test, faked_cpus) {
  const faked cpus[] = {
      {"nothing at all", {}, false, false, false, false},
      {"everything", {13, all_leaf1, all_leaf7, os_avx512, false}, true, true, true, true},
      {"Haswell", {13, all_leaf1, avx2, os_avx, false}, true, true, false, false},
      {"SandyBridge: AVX alone", {13, osxsave | avx, 0, os_avx, false}, false, true, false, false},
      {"Opteron_G5: FMA without AVX2", {13, all_leaf1, 0, os_avx, false}, false, true, false, false},
      {"AVX2 without FMA", {13, osxsave | avx | f16c, avx2, os_avx, false}, false, true, false, false},
      {"AVX2 without F16C", {13, osxsave | avx | fma, avx2, os_avx, false}, false, true, false, false},
      {"max,-avx: FMA and AVX2 are left set", {13, osxsave | fma | f16c, avx2, 3, false}, false, false, false, false},
      {"max,-avx, though the OS saves ymm",
       {13, osxsave | fma | f16c, all_leaf7, os_avx512, false},
       false,
       true,
       false,
       true},
      {"no OSXSAVE: XCR0 cannot be read", {13, fma | avx | f16c, all_leaf7, 0, false}, true, false, true, false},
      {"no OSXSAVE, garbage in XCR0",
       {13, fma | avx | f16c, all_leaf7, ~std::uint64_t{0}, false},
       true,
       false,
       true,
       false},
      {"the OS saves xmm only", {13, all_leaf1, all_leaf7, 1 | xmm, false}, true, false, true, false},
      {"the OS saves ymm without xmm", {13, all_leaf1, all_leaf7, 1 | ymm, false}, true, false, true, false},
      {"ZMM off in the OS", {13, all_leaf1, all_leaf7, os_avx, false}, true, true, true, false},
      {"no opmask in the OS", {13, all_leaf1, all_leaf7, os_avx512 & ~opmask, false}, true, true, true, false},
      {"no low ZMM in the OS", {13, all_leaf1, all_leaf7, os_avx512 & ~zmm_low, false}, true, true, true, false},
      {"no high ZMM in the OS", {13, all_leaf1, all_leaf7, os_avx512 & ~zmm_high, false}, true, true, true, false},
      {"ZMM without YMM in the OS", {13, all_leaf1, all_leaf7, os_avx512 & ~ymm, false}, true, false, true, false},
      {"Knights Landing: F and CD alone",
       {13, all_leaf1, avx2 | avx512f | cd, os_avx512, false},
       true,
       true,
       false,
       true},
      {"AVX-512 without F", {13, all_leaf1, all_leaf7 & ~avx512f, os_avx512, false}, true, true, false, true},
      {"AVX-512 without CD", {13, all_leaf1, all_leaf7 & ~cd, os_avx512, false}, true, true, false, true},
      {"AVX-512 without DQ", {13, all_leaf1, all_leaf7 & ~dq, os_avx512, false}, true, true, false, true},
      {"AVX-512 without BW", {13, all_leaf1, all_leaf7 & ~bw, os_avx512, false}, true, true, false, true},
      {"AVX-512 without VL", {13, all_leaf1, all_leaf7 & ~vl, os_avx512, false}, true, true, false, true},
      {"AVX-512 without AVX2", {13, all_leaf1, all_leaf7 & ~avx2, os_avx512, false}, false, true, false, true},
      {"leaf 7 is beyond the last leaf", {6, all_leaf1, all_leaf7, os_avx512, false}, false, true, false, true},
      {"leaf 1 is beyond the last leaf", {0, all_leaf1, all_leaf7, os_avx512, false}, false, false, false, false},
  };
  for (const faked& f : cpus) {
    const isa_support s = detect(f.probe);
    EXPECT_TRUE(s.cpu[SIMDNORM_SCALAR] && s.os[SIMDNORM_SCALAR]) << f.name;
    EXPECT_EQ(s.cpu[SIMDNORM_AVX2], f.avx2_cpu) << f.name;
    EXPECT_EQ(s.os[SIMDNORM_AVX2], f.avx2_os) << f.name;
    EXPECT_EQ(s.cpu[SIMDNORM_AVX512], f.avx512_cpu) << f.name;
    EXPECT_EQ(s.os[SIMDNORM_AVX512], f.avx512_os) << f.name;
    EXPECT_FALSE(s.cpu[SIMDNORM_NEON]) << f.name;
  }
  cpu_probe arm{};
  arm.has_neon = true;
  const isa_support s = detect(arm);
  EXPECT_TRUE(s.cpu[SIMDNORM_NEON] && s.os[SIMDNORM_NEON]);
  EXPECT_FALSE(s.cpu[SIMDNORM_AVX2] || s.cpu[SIMDNORM_AVX512]);
}

TEST(detection_test, the_list_is_what_was_detected) {
  const isa_support s = detect(probe_cpu());
  const auto list = isa_list();
  for (simdnorm_isa i = 0; i < SIMDNORM_ISA_COUNT; ++i) {
    EXPECT_EQ(list[static_cast<std::size_t>(i)].isa, i) << "worst first";
    EXPECT_EQ(list[static_cast<std::size_t>(i)].cpu != 0, s.cpu[i]);
    EXPECT_EQ(list[static_cast<std::size_t>(i)].os != 0, s.os[i]);
    const auto& e = list[static_cast<std::size_t>(i)];
    EXPECT_EQ(e.available != 0, e.compiled && e.cpu && e.os);
  }
  EXPECT_TRUE(list[SIMDNORM_SCALAR].available);
#if defined(__x86_64__)
  EXPECT_TRUE(list[SIMDNORM_AVX2].compiled && list[SIMDNORM_AVX512].compiled);
  EXPECT_FALSE(list[SIMDNORM_NEON].compiled);
#elif defined(__aarch64__)
  EXPECT_TRUE(list[SIMDNORM_NEON].compiled);
  EXPECT_FALSE(list[SIMDNORM_AVX2].compiled || list[SIMDNORM_AVX512].compiled);
#endif
}

#ifdef SIMDNORM_HAS_CPU_FEATURES
// cpu_features folds the operating system's part in, so the product of both is compared.
TEST(detection_test, agrees_with_cpu_features) {
  const cpu_features::X86Features f = cpu_features::GetX86Info().features;
  const isa_support s = detect(probe_cpu());
  EXPECT_EQ(s.cpu[SIMDNORM_AVX2] && s.os[SIMDNORM_AVX2], f.avx && f.avx2 && f.fma3 && f.f16c);
  EXPECT_EQ(s.cpu[SIMDNORM_AVX512] && s.os[SIMDNORM_AVX512],
            f.avx && f.avx2 && f.fma3 && f.f16c && f.avx512f && f.avx512cd && f.avx512dq && f.avx512bw && f.avx512vl);
}
#endif

class cpu_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(cpu_test);

TEST_P(cpu_test, force_makes_it_active_and_says_why) {
  isa active{};
  ASSERT_EQ(active_isa(active), status::ok);
  EXPECT_EQ(static_cast<simdnorm_isa>(active), GetParam());
  EXPECT_NE(std::string(isa_reason()).find("forced"), std::string::npos) << isa_reason();
}

TEST_P(cpu_test, what_is_unavailable_cannot_be_forced) {
  std::size_t refused = 0;
  for (const simdnorm_isa_state& state : isa_list()) {
    if (state.available) continue;
    ++refused;
    EXPECT_EQ(simdnorm_isa_force(state.isa), SIMDNORM_ISA_UNAVAILABLE);
    simdnorm_isa active = -1;
    ASSERT_EQ(simdnorm_isa_active(&active), SIMDNORM_OK);
    EXPECT_EQ(active, GetParam()) << "a refused force changed something";
  }
  EXPECT_GT(refused, 0u) << "no machine has AVX2 and NEON";
  for (const simdnorm_isa bad : {-1, 4, 99}) {
    EXPECT_EQ(simdnorm_isa_force(bad), SIMDNORM_UNKNOWN_ISA);
    EXPECT_EQ(simdnorm_isa_limit(bad), SIMDNORM_UNKNOWN_ISA);
  }
}

TEST_P(cpu_test, names) {
  const char* const names[] = {"scalar", "avx2", "avx512", "neon"};
  for (simdnorm_isa i = 0; i < SIMDNORM_ISA_COUNT; ++i) {
    EXPECT_STREQ(simdnorm_isa_name(i), names[i]);
    simdnorm_isa back = -1;
    EXPECT_EQ(simdnorm_isa_from_name(names[i], &back), SIMDNORM_OK);
    EXPECT_EQ(back, i);
  }
  EXPECT_EQ(simdnorm_isa_name(-1), nullptr);
  EXPECT_EQ(simdnorm_isa_name(4), nullptr);
  simdnorm_isa out = 42;
  for (const char* bad : {"", "AVX2", "avx", "avx5122", "sse", " avx2", "avx2 "}) {
    EXPECT_EQ(simdnorm_isa_from_name(bad, &out), SIMDNORM_UNKNOWN_ISA) << bad;
    EXPECT_EQ(out, 42);
  }
  EXPECT_EQ(simdnorm_isa_from_name(nullptr, &out), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_isa_from_name("avx2", nullptr), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_isa_active(nullptr), SIMDNORM_NULL_POINTER);
}

// The best available one at or below a ceiling, computed from the list alone.
simdnorm_isa best_below(simdnorm_isa ceiling) {
  simdnorm_isa best = SIMDNORM_SCALAR;
  for (const simdnorm_isa_state& state : isa_list()) {
    const bool below = state.isa == ceiling || (state.isa == SIMDNORM_AVX2 && ceiling == SIMDNORM_AVX512);
    if (below && state.available) best = state.isa;
  }
  return best;
}

TEST_P(cpu_test, limit_is_a_ceiling) {
  for (simdnorm_isa ceiling = 0; ceiling < SIMDNORM_ISA_COUNT; ++ceiling) {
    ASSERT_EQ(simdnorm_isa_limit(ceiling), SIMDNORM_OK);
    simdnorm_isa active = -1;
    ASSERT_EQ(simdnorm_isa_active(&active), SIMDNORM_OK);
    EXPECT_EQ(active, best_below(ceiling)) << "ceiling " << simdnorm_isa_name(ceiling);
    EXPECT_NE(std::string(isa_reason()), "");
  }
  ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
}

TEST_P(cpu_test, reset_goes_back_to_the_first_choice) {
  reset_isa();
  simdnorm_isa first = -1, again = -1;
  ASSERT_EQ(simdnorm_isa_active(&first), SIMDNORM_OK);
  ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
  reset_isa();
  ASSERT_EQ(simdnorm_isa_active(&again), SIMDNORM_OK);
  EXPECT_EQ(first, again);
  ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
}

// "Read once": a variable that is set later changes nothing, not even after a reset.
TEST_P(cpu_test, the_environment_is_read_once) {
  const char* old = std::getenv("SIMDNORM_MAX_ISA");
  const std::string saved = old ? old : "";
  reset_isa();
  simdnorm_isa first = -1, later = -1;
  ASSERT_EQ(simdnorm_isa_active(&first), SIMDNORM_OK);
  setenv("SIMDNORM_MAX_ISA", "no such thing", 1);
  reset_isa();
  EXPECT_EQ(simdnorm_isa_active(&later), SIMDNORM_OK);
  EXPECT_EQ(later, first);
  if (old)
    setenv("SIMDNORM_MAX_ISA", saved.c_str(), 1);
  else
    unsetenv("SIMDNORM_MAX_ISA");
  ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
}

}  // namespace
}  // namespace simdnorm::test

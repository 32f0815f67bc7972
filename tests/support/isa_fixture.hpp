// SPDX-License-Identifier: Apache-2.0
//
// Every test runs once for each instruction set. One that this machine lacks is skipped with the
// reason (main.cpp counts them); a test fails when another instruction set than its own ran.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "simdnorm/simdnorm.hpp"

namespace simdnorm::test {

inline std::string why_unavailable(simdnorm_isa isa) {
  for (const simdnorm_isa_state& state : isa_list()) {
    if (state.isa != isa) continue;
    if (!state.compiled) return "not compiled in";
    if (!state.cpu) return "this CPU lacks it";
    if (!state.os) return "the operating system does not save its registers";
    return state.available ? "" : "unavailable";
  }
  return "not listed";
}

class isa_fixture : public ::testing::TestWithParam<simdnorm_isa> {
 protected:
  void SetUp() override {
    const simdnorm_status s = simdnorm_isa_force(GetParam());
    const std::string why = why_unavailable(GetParam());
    if (s == SIMDNORM_ISA_UNAVAILABLE && !why.empty()) GTEST_SKIP() << why;
    ASSERT_EQ(s, SIMDNORM_OK);
    ASSERT_EQ(why, "") << "forced what the list calls unavailable";
    forced_ = true;
  }
  void TearDown() override {
    simdnorm_stream_border_set(0);  // the machine's
    if (!forced_) return;
    simdnorm_isa active = -1;
    EXPECT_EQ(simdnorm_isa_active(&active), SIMDNORM_OK);
    EXPECT_EQ(active, GetParam()) << "another instruction set ran";
    simdnorm_isa_reset();
  }

 private:
  bool forced_ = false;
};

inline std::string isa_test_name(const ::testing::TestParamInfo<simdnorm_isa>& info) {
  return simdnorm_isa_name(info.param);
}

}  // namespace simdnorm::test

#define SIMDNORM_FOR_EACH_ISA(suite)                                                                          \
  INSTANTIATE_TEST_SUITE_P(isa, suite,                                                                        \
                           ::testing::Values(SIMDNORM_SCALAR, SIMDNORM_AVX2, SIMDNORM_AVX512, SIMDNORM_NEON), \
                           ::simdnorm::test::isa_test_name)

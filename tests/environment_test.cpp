// SPDX-License-Identifier: Apache-2.0
//
// What SIMDNORM_MAX_ISA, as this process found it, makes of the first call. ctest runs these tests
// once for each value, in a process of its own; without the variable they test its absence.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

simdnorm_isa best_at_or_below(simdnorm_isa ceiling) {
  simdnorm_isa_state states[SIMDNORM_ISA_COUNT];
  simdnorm_isa_list(states);
  simdnorm_isa best = SIMDNORM_SCALAR;
  for (const simdnorm_isa_state& s : states) {
    const bool below = s.isa == ceiling || (s.isa == SIMDNORM_AVX2 && ceiling == SIMDNORM_AVX512);
    if (s.available && below) best = s.isa;
  }
  return best;
}

// The value; null when it is not set, or empty, which is the same.
const char* value() {
  const char* v = std::getenv("SIMDNORM_MAX_ISA");
  return v && *v ? v : nullptr;
}
bool is_name(const char* v) {
  for (const char* name : {"scalar", "avx2", "avx512", "neon"})
    if (std::strcmp(v, name) == 0) return true;
  return false;
}

TEST(environment_test, is_a_ceiling) {
  simdnorm_isa_reset();
  simdnorm_isa active = -7;
  if (value() && !is_name(value())) {
    EXPECT_EQ(simdnorm_isa_active(&active), SIMDNORM_UNKNOWN_ISA);
    EXPECT_EQ(active, -7);
    EXPECT_NE(std::string(simdnorm_isa_reason()).find("SIMDNORM_MAX_ISA"), std::string::npos);
    return;
  }
  ASSERT_EQ(simdnorm_isa_active(&active), SIMDNORM_OK);
  simdnorm_isa ceiling = -1;
  if (value()) {
    ASSERT_EQ(simdnorm_isa_from_name(value(), &ceiling), SIMDNORM_OK);
    EXPECT_EQ(active, best_at_or_below(ceiling));
    EXPECT_NE(std::string(simdnorm_isa_reason()).find("SIMDNORM_MAX_ISA"), std::string::npos);
  } else {
    EXPECT_EQ(active, std::max(best_at_or_below(SIMDNORM_AVX512), best_at_or_below(SIMDNORM_NEON)));
  }
}

// An unknown name: that status from every call, and nothing written; any other: every call works.
TEST(environment_test, every_call) {
  simdnorm_isa_reset();
  const simdnorm_status wanted = value() && !is_name(value()) ? SIMDNORM_UNKNOWN_ISA : SIMDNORM_OK;
  for (const operation op : all_operations()) {
    const problem p = make_problem(3, 6, 9, flavour::normal, is_row_wise(op));
    offset_arena memory;
    const result r = run(op, p, {}, memory);
    EXPECT_EQ(r.status, wanted) << name_of(op);
    EXPECT_TRUE(r.intact);
    if (wanted == SIMDNORM_OK) continue;
    for (const float v : r.y) EXPECT_EQ(bits_of(v), unwritten) << name_of(op);
    for (std::size_t k = 0; k < r.f32.size(); ++k) {
      std::uint32_t before = unwritten;
      if ((op == operation::batch_norm_training_affine || op == operation::batch_norm_training_add) && k < 18)
        before = bits_of(k < 9 ? p.mean[k] : p.variance[k - 9]);
      // Behind rstd stands the sum, column by column, which lies over the residual.
      if (op == operation::add_rms_norm_sum && k >= p.rows) {
        before = bits_of(p.at(k % p.rows, k / p.rows - 1) * -0.5f + 0.0f);
      }
      EXPECT_EQ(bits_of(r.f32[k]), before) << name_of(op) << " " << k;
    }
    for (const double v : r.f64) EXPECT_EQ(v, -123456789.0) << name_of(op);
  }
}

// A program may overrule the variable, a bad one too.
TEST(environment_test, limit_and_force_overrule_it) {
  const problem p = make_problem(3, 6, 9, flavour::normal, true);
  ASSERT_EQ(simdnorm_isa_limit(SIMDNORM_SCALAR), SIMDNORM_OK);
  EXPECT_EQ(run(operation::layer_norm, p).status, SIMDNORM_OK);
  simdnorm_isa active = -1;
  ASSERT_EQ(simdnorm_isa_active(&active), SIMDNORM_OK);
  EXPECT_EQ(active, SIMDNORM_SCALAR);
  simdnorm_isa_reset();
  ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
  EXPECT_EQ(run(operation::layer_norm, p).status, SIMDNORM_OK);
  simdnorm_isa_reset();
}

}  // namespace
}  // namespace simdnorm::test

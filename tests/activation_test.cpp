// SPDX-License-Identifier: Apache-2.0
//
// The activation functions: at most 2 ulp against doubles over floats of every kind, the same bits as scalar, zeros,
// infinities and NaN; and the kernel that applies them, at every length and in place. activation_mpfr_test.cpp has
// MPFR, activation_sweep.cpp every float.

#include <gtest/gtest.h>

#include <cstring>

#include "support/activations.hpp"
#include "support/isa_fixture.hpp"

namespace simdnorm::test {
namespace {

class activation_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(activation_test);

TEST_P(activation_test, two_ulps) {
  const std::vector<float> x = floats_of_every_kind(3);
  for (const named_activation& a : all_activations) {
    const std::vector<float> y = activated(a.function, x);
    double most = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] != x[i]) continue;
      const double exact = exact_in_doubles(a.function, x[i]);
      const double error = error_in_ulps(y[i], exact);
      if (!(error <= most)) most = error;
      ASSERT_LE(error, 2) << a.name << " of " << x[i] << " is " << y[i];
      ASSERT_EQ(std::signbit(y[i]), std::signbit(exact)) << a.name << " of " << x[i];
    }
    std::printf("%s: %.2f ulp at most\n", a.name, most);
  }
}

TEST_P(activation_test, nan_is_canonical) {
  const std::vector<float> x = floats_of_every_kind(3);
  for (const named_activation& a : all_activations) {
    const std::vector<float> y = activated(a.function, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (x[i] == x[i]) {
        ASSERT_EQ(y[i], y[i]) << a.name << " of " << x[i];
      } else {
        ASSERT_EQ(bits_of(y[i]), a.function == elementwise_function::none ? bits_of(x[i]) : canonical_nan) << a.name;
      }
    }
  }
}

TEST_P(activation_test, zeros_infinities_and_the_smallest) {
  for (const special_value& s : special_values) {
    const std::vector<float> y = activated(s.function, std::vector<float>(3, float_of(s.x)));
    for (const float v : y)
      EXPECT_EQ(bits_of(v), s.y) << all_activations[static_cast<std::size_t>(s.function)].name << " of "
                                 << float_of(s.x);
  }
}

TEST_P(activation_test, bits_as_scalar) {
  const std::vector<float> x = floats_of_every_kind(8);
  for (const named_activation& a : all_activations) {
    const std::vector<float> mine = activated(a.function, x);
    ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
    const std::vector<float> scalar = activated(a.function, x);
    ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(bits_of(mine[i]), bits_of(scalar[i])) << a.name << " of " << x[i] << ", " << std::hex << bits_of(x[i]);
  }
}

// Every length, at the edge of a page that cannot be touched; out of place and in place; the block says which elements.
TEST_P(activation_test, every_length_and_in_place) {
  generator g(1);
  for (const auto side : {guarded_arena::at_start, guarded_arena::at_end}) {
    guarded_arena memory(side);
    for (const named_activation& a : all_activations) {
      for (std::size_t n = 0; n <= 70; ++n) {
        memory.reset();
        std::vector<float> values(n);
        for (float& v : values) v = static_cast<float>(4 * g.rough_normal());
        std::vector<float> expected;
        for (const float v : values) expected.push_back(activated(a.function, std::vector<float>{v})[0]);
        float* x = memory.take<float>(n);
        float* y = memory.take<float>(n);
        if (n > 0) std::memcpy(x, values.data(), n * sizeof(float));
        activated(a.function, x, y, n);
        ASSERT_TRUE(same_bits(std::vector<float>(y, y + n), expected)) << a.name << " of " << n;
        const std::size_t from = n / 3, to = n - n / 4;
        active_table()->elementwise_f32({x, x, a.function}, {0, 1, from, to});
        for (std::size_t i = 0; i < n; ++i)
          ASSERT_EQ(bits_of(x[i]), bits_of(i >= from && i < to ? expected[i] : values[i])) << a.name << " of " << n;
        ASSERT_TRUE(memory.intact());
      }
    }
  }
}

}  // namespace
}  // namespace simdnorm::test

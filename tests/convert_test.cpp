// SPDX-License-Identifier: Apache-2.0
//
// bf16 and f16 to float and back: every one of the 2^16 halves, every one of the 2^32 floats. What a float
// is rounded to is told by the midpoints between the values of neighbouring halves, in doubles; no integer
// is rounded here.
//
// SIMDNORM_TEST_OUTPUTS (floats, default all) bounds how many are tried: under qemu every one is too long.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "runtime/dispatch.hpp"
#include "support/arena.hpp"
#include "support/data.hpp"
#include "support/half.hpp"
#include "support/isa_fixture.hpp"
#include "table.hpp"

namespace simdnorm::test {
namespace {

class convert_test : public isa_fixture {
 protected:
  static void convert(const void* from, simdnorm_type from_type, void* to, simdnorm_type to_type, std::size_t n) {
    active_table()->convert_f32({from, to, n, from_type, to_type}, {0, 1, 0, n});
  }
};
SIMDNORM_FOR_EACH_ISA(convert_test);

TEST_P(convert_test, every_half_becomes_its_float) {
  for (const half_format& f : half_formats) {
    std::vector<std::uint16_t> halves(65536);
    for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<std::uint16_t>(i);
    std::vector<float> floats(halves.size());
    convert(halves.data(), f.type, floats.data(), SIMDNORM_F32, halves.size());
    for (std::uint32_t i = 0; i < 65536; ++i) {
      const std::uint32_t size = i & 0x7fff;
      if (size > f.infinity()) {
        ASSERT_TRUE(std::isnan(floats[i])) << i;
        continue;
      } else {
        const double expected = size == f.infinity() ? HUGE_VAL : f.size(size);
        ASSERT_EQ(floats[i], static_cast<float>(i < 32768 ? expected : -expected)) << i;
      }
      ASSERT_EQ(bits_of(floats[i]) >> 31, i >> 15) << i;
    }
  }
}

TEST_P(convert_test, every_float_is_rounded_to_nearest_even) {
  constexpr std::size_t chunk = 65536;
  const char* wanted = std::getenv("SIMDNORM_TEST_OUTPUTS");
  const std::uint64_t chunks = wanted ? std::strtoull(wanted, nullptr, 10) / chunk + 1 : 32768;
  const std::uint64_t step = chunks < 32768 ? 32768 / chunks : 1;
  std::vector<float> floats(chunk), negative(chunk);
  std::vector<std::uint16_t> halves(chunk), of_negative(chunk);
  for (const half_format& f : half_formats) {
    std::uint32_t half = 0;
    for (std::uint64_t c = 0; c < 32768; c += step) {
      for (std::uint32_t k = 0; k < chunk; ++k) {
        floats[k] = float_of(static_cast<std::uint32_t>(c * chunk) + k);
        if (floats[k] != floats[k]) floats[k] = float_of(0x7fc00000);  // kernels have settled it
        negative[k] = -floats[k];
      }
      convert(floats.data(), SIMDNORM_F32, halves.data(), f.type, chunk);
      convert(negative.data(), SIMDNORM_F32, of_negative.data(), f.type, chunk);
      double middle = half < f.infinity() ? (f.size(half) + f.size(half + 1)) / 2 : HUGE_VAL;
      for (std::size_t k = 0; k < chunk; ++k) {
        const double v = static_cast<double>(floats[k]);
        if (v != v) {
          if (halves[k] != f.nan()) FAIL() << bits_of(floats[k]) << ": " << halves[k];
          continue;
        } else {
          while (v > middle || (v == middle && half % 2 == 1)) {
            ++half;
            middle = half < f.infinity() ? (f.size(half) + f.size(half + 1)) / 2 : HUGE_VAL;
            if (half == f.infinity()) break;
          }
          if (halves[k] != half) FAIL() << std::hexfloat << v << ": " << halves[k] << ", not " << half;
        }
        if (of_negative[k] != (halves[k] | 0x8000)) FAIL() << std::hexfloat << -v << ": " << of_negative[k];
      }
    }
  }
}

// Tails of every length, against a page that cannot be touched.
TEST_P(convert_test, not_a_byte_outside) {
  generator g(1);
  for (const half_format& f : half_formats)
    for (std::size_t n = 0; n <= 40; ++n) {
      std::vector<float> floats(n);
      std::vector<std::uint16_t> halves(n);
      for (auto& v : floats) v = static_cast<float>(g.below(1000)) / 7;
      convert(floats.data(), SIMDNORM_F32, halves.data(), f.type, n);
      guarded_arena memory(guarded_arena::at_end);
      auto* from = memory.take<float>(n);
      auto* to = memory.take<std::uint16_t>(n);
      auto* back = memory.take<float>(n);
      if (n > 0) std::memcpy(from, floats.data(), n * sizeof(float));
      convert(from, SIMDNORM_F32, to, f.type, n);
      convert(to, f.type, back, SIMDNORM_F32, n);
      ASSERT_TRUE(memory.intact());
      for (std::size_t i = 0; i < n; ++i) {
        std::uint16_t alone;
        convert(from + i, SIMDNORM_F32, &alone, f.type, 1);
        ASSERT_EQ(to[i], alone) << n << " " << i;
        float alone_back;
        convert(&alone, f.type, &alone_back, SIMDNORM_F32, 1);
        ASSERT_EQ(bits_of(back[i]), bits_of(alone_back));
      }
    }
}

}  // namespace
}  // namespace simdnorm::test

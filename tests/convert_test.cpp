// SPDX-License-Identifier: Apache-2.0
//
// bf16 and f16 to float and back: every one of the 2^16 halves, every one of the 2^32 floats. What a float
// is rounded to is told by the midpoints between the values of neighbouring halves, in doubles; no integer
// is rounded here.
//
// SIMDNORM_TEST_OUTPUTS (floats, default all) bounds how many are tried: under qemu every one is too long.

#include <gtest/gtest.h>

#include <algorithm>
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

constexpr std::uint32_t infinity = 0x7f800000;

// The bits of the first float that is not rounded to this half, but to the next: of the middle between them, or of the
// float behind it, since a tie goes to the even one.
std::uint64_t end_of(const half_format& f, std::uint32_t half) {
  if (half == f.infinity()) return infinity + std::uint64_t{1};
  const double middle = (f.size(half) + f.size(half + 1)) / 2;
  return bits_of(static_cast<float>(middle)) + std::uint64_t{half % 2 == 0};
}

bool all_are(const std::uint16_t* v, std::size_t n, std::uint32_t expected) {
  return v[0] == expected && std::memcmp(v, v + 1, (n - 1) * sizeof *v) == 0;
}

TEST_P(convert_test, every_float_is_rounded_to_nearest_even) {
  constexpr std::size_t chunk = 65536;
  const char* wanted = std::getenv("SIMDNORM_TEST_OUTPUTS");
  const std::uint64_t chunks = wanted ? std::strtoull(wanted, nullptr, 10) / chunk + 1 : 32768;
  const std::uint64_t step = chunks < 32768 ? 32768 / chunks : 1;
  std::vector<float> floats(chunk), negative(chunk);
  std::vector<std::uint16_t> halves(chunk), of_negative(chunk);
  std::uint32_t half[] = {0, 0};
  for (std::uint64_t c = 0; c < 32768; c += step) {
    const auto first = static_cast<std::uint32_t>(c * chunk);
    for (std::uint32_t k = 0; k < chunk; ++k) {
      // A NaN is canonical: kernels have settled it.
      floats[k] = float_of(first + k > infinity ? canonical_nan : first + k);
      negative[k] = -floats[k];
    }
    for (std::size_t t = 0; t < 2; ++t) {
      const half_format& f = half_formats[t];
      convert(floats.data(), SIMDNORM_F32, halves.data(), f.type, chunk);
      convert(negative.data(), SIMDNORM_F32, of_negative.data(), f.type, chunk);
      for (std::uint32_t k = 0; k < chunk;) {
        const bool is_nan = first + k > infinity;
        while (!is_nan && first + k >= end_of(f, half[t])) ++half[t];
        const std::uint64_t end = is_nan ? first + chunk : end_of(f, half[t]);
        const auto stop = static_cast<std::uint32_t>(std::min<std::uint64_t>(end - first, chunk));
        const std::uint32_t expected = is_nan ? f.nan() : half[t];
        if (!all_are(halves.data() + k, stop - k, expected) ||
            !(is_nan || all_are(of_negative.data() + k, stop - k, expected | 0x8000))) {
          while (k + 1 < stop && halves[k] == expected && (is_nan || of_negative[k] == (expected | 0x8000))) ++k;
          FAIL() << f.name << " of " << std::hexfloat << floats[k] << ": " << halves[k] << ", of " << negative[k]
                 << ": " << of_negative[k] << ", not " << expected;
        }
        k = stop;
      }
    }
  }
}

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

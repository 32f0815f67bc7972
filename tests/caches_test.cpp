// SPDX-License-Identifier: Apache-2.0
//
// Where borders between regimes come from: the sizes of the caches, faked and this machine's.

#include "runtime/caches.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <cstdint>

#include "simdnorm/simdnorm.h"

namespace simdnorm::test {
namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

TEST(caches_test, border_of_faked_sizes) {
  EXPECT_EQ(stream_border_of({32 * kib, 512 * kib, 8 * mib}), 7 * mib / 4);
  EXPECT_EQ(stream_border_of({32 * kib, 1 * mib, 32 * mib}), 7 * mib);
  // A virtual machine's share of what it is told is unknown.
  EXPECT_EQ(stream_border_of({48 * kib, 2 * mib, 260 * mib}), 7 * mib);
  EXPECT_EQ(stream_border_of({48 * kib, 2 * mib, SIZE_MAX}), 7 * mib);
  // No last level, or one smaller than L2: an L2 is the last.
  EXPECT_EQ(stream_border_of({32 * kib, 512 * kib, 0}), 112 * kib);
  EXPECT_EQ(stream_border_of({64 * kib, 4 * mib, 2 * mib}), 896 * kib);
}

TEST(caches_test, border_is_set_and_reset) {
  const std::size_t usual = simdnorm_stream_border();
  EXPECT_EQ(usual, stream_border_of(probe_caches()));
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{12345}, 3 * mib, std::size_t{SIZE_MAX}}) {
    simdnorm_stream_border_set(bytes);
    EXPECT_EQ(simdnorm_stream_border(), bytes);
  }
  simdnorm_stream_border_set(0);
  EXPECT_EQ(simdnorm_stream_border(), usual);
}

TEST(caches_test, rows_that_make_a_batch) {
  for (const std::size_t l1 : {32 * kib, 48 * kib, 64 * kib}) {
    for (const std::size_t all : {std::size_t{1}, std::size_t{100}, std::size_t{100000}, std::size_t{SIZE_MAX}}) {
      std::size_t before = SIZE_MAX;
      for (std::size_t cols = 1; cols <= 5000; ++cols) {
        const std::size_t rows = rows_together_of(all, cols, sizeof(float), l1);
        EXPECT_TRUE(rows == 8 || rows == 4 || rows == 2 || rows == 0) << rows << " rows of " << cols;
        EXPECT_LE(rows, before) << "more rows where they are longer, " << cols;
        EXPECT_LE(rows * cols * sizeof(float), l1) << rows << " rows of " << cols << " do not stay in L1";
        if (rows == 4) {  // x of two batches, y, gamma and beta
          EXPECT_LE((3 * rows + 2) * cols * sizeof(float), l1) << cols;
        }
        before = rows;
        const std::size_t halves = rows_together_of(all, cols, 2, l1);
        EXPECT_EQ(halves, rows == 0 ? 0u : 8u) << cols;
      }
      EXPECT_EQ(rows_together_of(all, SIZE_MAX, sizeof(float), l1), 0u);
    }
  }
  EXPECT_EQ(rows_together_of(128, 768, sizeof(float), 32 * kib), 2u);
  EXPECT_EQ(rows_together_of(128, 768, sizeof(float), 48 * kib), 4u);
  EXPECT_EQ(l1_bytes(), probe_caches().l1);
}

// What the C library says of the same CPU, where it says anything (under qemu it does not). The last
// level is left out where it may be several: the C library counts AMD's of the whole package.
TEST(caches_test, sizes_of_this_machine) {
  const int cpu = sched_getcpu();  // a hybrid's cores have caches of two sizes
  cpu_set_t one, all;
  CPU_ZERO(&one);
  if (cpu >= 0) CPU_SET(cpu, &one);
  const bool bound =
      cpu >= 0 && sched_getaffinity(0, sizeof all, &all) == 0 && sched_setaffinity(0, sizeof one, &one) == 0;
  const cache_sizes c = probe_caches();
  const long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  const long last = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bound) sched_setaffinity(0, sizeof all, &all);

  EXPECT_GE(c.l1, 8 * kib);
  EXPECT_LE(c.l1, 1 * mib);
  EXPECT_GE(c.l2, 64 * kib);
  EXPECT_GE(c.last, c.l2);
  EXPECT_GT(stream_border_of(c), 0u);
  if (l1 > 0) {
    EXPECT_EQ(c.l1, static_cast<std::size_t>(l1));
  }
  if (l2 > 0) {
    EXPECT_EQ(c.l2, static_cast<std::size_t>(l2));
  }
  if (last > 0) {
    EXPECT_LE(c.last, static_cast<std::size_t>(last));
  }
}

}  // namespace
}  // namespace simdnorm::test

// SPDX-License-Identifier: Apache-2.0
//
// Where the borders between regimes are. They come from the sizes of the caches, as the CPU itself
// tells them: a few instructions at the first call, no file, no allocation (hwloc's topology takes
// milliseconds and is for the report). No border changes a bit of a result.
#pragma once

#include <stddef.h>

namespace simdnorm {

// Bytes; what the CPU does not tell is a default, never 0.
struct cache_sizes {
  size_t l1, l2;  // of one core
  size_t last;    // the last level, whoever shares it
};

cache_sizes probe_caches() noexcept;

// The border that these sizes mean: simdnorm_stream_border's default.
constexpr size_t stream_border_of(const cache_sizes& c) noexcept {
  constexpr size_t most = size_t{32} << 20;
  const size_t last = c.last > c.l2 ? c.last : c.l2;
  return (last < most ? last : most) / 4;
}

// Rows of a row norm that make a batch: between a row's sums and its outputs lies a batch, which should
// stay in L1 beside gamma, beta and outputs (16 KiB of 32 to 48). 0: rows too long for that. 768 columns on
// 48 KiB, cycles a row: batches of 2, 4, 8 with two batches in between 228, 230, 234; with one 209 (4), 231 (8).
constexpr size_t rows_together_of(size_t cols) noexcept {
  if (cols <= 256) return 8;
  return cols <= 1536 ? 4 : 0;
}

}  // namespace simdnorm

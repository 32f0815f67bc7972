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

// The border that these sizes mean: simdnorm_stream_border's default. 7 of 32 MiB: docs/performance.md, "Regimes".
constexpr size_t stream_border_of(const cache_sizes& c) noexcept {
  constexpr size_t most = size_t{32} << 20;
  const size_t last = c.last > c.l2 ? c.last : c.l2;
  return (last < most ? last : most) / 32 * 7;
}

// Of one core, as probe_caches tells.
size_t l1_bytes() noexcept;

// Rows of a row norm that make a batch: between a row's sums and its outputs lies a batch. 0: rows too long for that.
// From 257 columns on a batch of f32 should leave x of two batches, y of one, gamma and beta in L1: with four rows of
// 768 columns in 32 KiB RMS norm takes 1.15 of the time that it takes with two, layer norm 1.03; in 48 KiB four are 2
// to 9 % faster, since they share their square roots, but from L3 7 to 13 % slower. Rows of halves are limited by
// arithmetic: eight are 2 to 10 % faster than four or two.
constexpr size_t rows_together_of(size_t rows, size_t cols, size_t element, size_t l1) noexcept {
  constexpr size_t l2_elements = 131072;
  if (cols <= 256) return 8;
  if (cols > 1536) return 0;
  if (element == 2) return 8;
  const bool fits = (4 * 3 + 2) * element * cols <= l1;
  return fits && (cols <= 512 || rows <= l2_elements / cols) ? 4 : 2;
}

}  // namespace simdnorm

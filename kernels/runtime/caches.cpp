// SPDX-License-Identifier: Apache-2.0
#include "runtime/caches.hpp"

#include "simdnorm/simdnorm.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__)
#include <unistd.h>
#endif

namespace simdnorm {
namespace {

// What a core has that tells nothing: sizes of the smaller cores of the last ten years.
constexpr cache_sizes usual = {size_t{32} << 10, size_t{512} << 10, size_t{8} << 20};

void note(cache_sizes& c, unsigned level, size_t bytes) {
  if (bytes == 0) return;
  if (level == 1) c.l1 = bytes;
  if (level == 2) c.l2 = bytes;
  if (level >= 2 && bytes > c.last) c.last = bytes;
}

#if defined(__x86_64__)
// The deterministic cache parameters: leaf 4 on Intel, 0x8000001d on AMD, of one form.
void read_leaf(cache_sizes& c, unsigned leaf) {
  for (unsigned i = 0; i < 16; ++i) {
    unsigned a = 0, b = 0, k = 0, d = 0;
    __cpuid_count(leaf, i, a, b, k, d);
    const unsigned type = a & 31;
    if (type == 0) return;
    if (type == 2) continue;  // instructions
    const size_t ways = (b >> 22) + 1, partitions = (b >> 12 & 1023) + 1, line = (b & 4095) + 1;
    note(c, a >> 5 & 7, ways * partitions * line * (static_cast<size_t>(k) + 1));
  }
}
#endif

size_t chosen = 0;  // by simdnorm_stream_border_set
// Worked out at the first question; threads that race come to the same.
size_t by_default = 0;
size_t l1 = 0;

}  // namespace

cache_sizes probe_caches() noexcept {
  cache_sizes c = {0, 0, 0};
#if defined(__x86_64__)
  const unsigned extended = __get_cpuid_max(0x80000000u, nullptr);
  bool amd = false;
  if (extended >= 0x8000001du) {
    unsigned a = 0, b = 0, k = 0, d = 0;
    __cpuid(0x80000001u, a, b, k, d);
    amd = (k >> 22 & 1) != 0;  // topology extensions
  }
  if (amd) {
    read_leaf(c, 0x8000001du);
  } else if (__get_cpuid_max(0, nullptr) >= 4) {
    read_leaf(c, 4);
  }
#elif defined(__linux__)
  const auto ask = [&c](unsigned level, int name) {
    const long bytes = sysconf(name);
    if (bytes > 0) note(c, level, static_cast<size_t>(bytes));
  };
  ask(1, _SC_LEVEL1_DCACHE_SIZE);
  ask(2, _SC_LEVEL2_CACHE_SIZE);
  ask(3, _SC_LEVEL3_CACHE_SIZE);
#endif
  if (c.l1 == 0) c.l1 = usual.l1;
  if (c.l2 == 0) c.l2 = usual.l2;
  if (c.last == 0) c.last = usual.last;
  return c;
}

size_t l1_bytes() noexcept {
  size_t bytes = __atomic_load_n(&l1, __ATOMIC_RELAXED);
  if (bytes == 0) [[unlikely]] {
    bytes = probe_caches().l1;
    __atomic_store_n(&l1, bytes, __ATOMIC_RELAXED);
  }
  return bytes;
}

}  // namespace simdnorm

using namespace simdnorm;

extern "C" {

size_t simdnorm_stream_border(void) {
  const size_t set = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
  if (set != 0) return set;
  size_t border = __atomic_load_n(&by_default, __ATOMIC_RELAXED);
  if (border == 0) [[unlikely]] {
    border = stream_border_of(probe_caches());
    __atomic_store_n(&by_default, border, __ATOMIC_RELAXED);
  }
  return border;
}

void simdnorm_stream_border_set(size_t bytes) {
  __atomic_store_n(&chosen, bytes, __ATOMIC_RELAXED);
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// simdnorm_bits [--isa NAME] [--outputs N]: one line `operation hash count` for each operation and activation, over
// inputs that are the same on every machine. Two machines agree in every bit when diff is silent.

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "simdnorm/simdnorm.h"
#include "support/activations.hpp"
#include "support/doubles.hpp"
#include "support/operations.hpp"

int main(int argc, char** argv) {
  simdnorm_isa isa = -1;
  std::uint64_t outputs = 10'000'000;
  for (int i = 1; i < argc; i += 2) {
    char* end = nullptr;
    if (i + 1 < argc && std::strcmp(argv[i], "--isa") == 0 && simdnorm_isa_from_name(argv[i + 1], &isa) == SIMDNORM_OK)
      continue;
    if (i + 1 < argc && std::strcmp(argv[i], "--outputs") == 0 &&
        (outputs = std::strtoull(argv[i + 1], &end, 10), end != argv[i + 1] && *end == '\0'))
      continue;
    std::fprintf(stderr, "usage: %s [--isa scalar|avx2|avx512|neon] [--outputs N]\n", argv[0]);
    return 2;
  }
  if (isa >= 0) {
    const simdnorm_status s = simdnorm_isa_force(isa);
    if (s != SIMDNORM_OK) {
      std::fprintf(stderr, "%s: %s\n", simdnorm_isa_name(isa), simdnorm_status_string(s));
      return 77;  // skipped, for ctest
    }
  }
  simdnorm_isa active = -1;
  if (simdnorm_isa_active(&active) != SIMDNORM_OK || (isa >= 0 && active != isa)) return 1;
  std::fprintf(stderr, "%s\n", simdnorm_isa_name(active));  // not in the lines that are compared
  std::uint64_t total = 0;
  for (const auto& h : simdnorm::test::hash_operations(outputs)) {
    std::printf("%s %016" PRIx64 " %" PRIu64 "\n", simdnorm::test::name_of(h.op), h.hash, h.outputs);
    total += h.outputs;
  }
  for (const auto& h : simdnorm::test::hash_activations(outputs < 1'000'000 ? 1 : 8)) {
    std::printf("%s %016" PRIx64 " %" PRIu64 "\n", h.name, h.hash, h.outputs);
  }
  for (const auto& h : simdnorm::test::hash_doubles(outputs < 1'000'000 ? 2 : 20)) {
    std::printf("%s %016" PRIx64 " %" PRIu64 "\n", h.name.c_str(), h.hash, h.outputs);
  }
  std::fprintf(stderr, "%" PRIu64 " outputs\n", total);
  return total >= outputs ? 0 : 1;
}

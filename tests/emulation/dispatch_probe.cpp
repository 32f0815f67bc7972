// SPDX-License-Identifier: Apache-2.0
//
// What a user's program does on a CPU of any age: calls every operation, lets dispatch choose, then forces every
// instruction set and, with `forced`, calls every operation with it. Prints the chosen one and a hash of every
// operation's outputs. Run under qemu it dies of SIGILL where dispatch believes in an instruction too many.

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <vector>

#include "simdnorm/simdnorm.h"
#include "support/operations.hpp"

namespace {

constexpr std::uint64_t outputs = 20000;

std::vector<simdnorm::test::operation_hash> hashes() {
  return simdnorm::test::hash_operations(outputs);
}

bool same(const std::vector<simdnorm::test::operation_hash>& a, const std::vector<simdnorm::test::operation_hash>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].op != b[i].op || a[i].hash != b[i].hash || a[i].outputs != b[i].outputs) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  simdnorm_isa active = -1;
  if (simdnorm_isa_active(&active) != SIMDNORM_OK) {
    std::fprintf(stderr, "no active instruction set: %s\n", simdnorm_isa_reason());
    return 1;
  }
  std::printf("active %s\n", simdnorm_isa_name(active));
  std::fprintf(stderr, "%s\n", simdnorm_isa_reason());

  const auto chosen = hashes();
  std::uint64_t all = 0;
  for (const auto& h : chosen) {
    std::printf("%s %016" PRIx64 " %" PRIu64 "\n", simdnorm::test::name_of(h.op), h.hash, h.outputs);
    all += h.outputs;
  }
  if (all < outputs) return 1;
  const bool calls_forced = argc > 1 && std::strcmp(argv[1], "forced") == 0;

  simdnorm_isa_state states[SIMDNORM_ISA_COUNT];
  simdnorm_isa_list(states);
  for (const simdnorm_isa_state& state : states) {
    const char* name = simdnorm_isa_name(state.isa);
    std::fprintf(stderr, "%s: compiled %d, cpu %d, os %d, available %d\n", name, state.compiled, state.cpu, state.os,
                 state.available);
    const simdnorm_status forced = simdnorm_isa_force(state.isa);
    if (forced != (state.available ? SIMDNORM_OK : SIMDNORM_ISA_UNAVAILABLE)) {
      std::fprintf(stderr, "%s: forced with status %d\n", name, forced);
      return 1;
    }
    if (calls_forced && state.available && state.isa != active && !same(hashes(), chosen)) {
      std::fprintf(stderr, "%s: other bits than %s\n", name, simdnorm_isa_name(active));
      return 1;
    }
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
//
// The choice of an instruction set, all of it.
#include "runtime/dispatch.hpp"

#include <stdlib.h>
#include <string.h>

#include "runtime/cpu.hpp"

namespace simdnorm {

// The tables that this build has; targets/ defines them.
#define SIMDNORM_DECLARE_TABLE(isa) \
  namespace isa {                   \
  extern const kernel_table table;  \
  }
SIMDNORM_DECLARE_TABLE(scalar)
#ifdef SIMDNORM_HAS_avx2
SIMDNORM_DECLARE_TABLE(avx2)
#endif
#ifdef SIMDNORM_HAS_avx512
SIMDNORM_DECLARE_TABLE(avx512)
#endif
#ifdef SIMDNORM_HAS_neon
SIMDNORM_DECLARE_TABLE(neon)
#endif

namespace {

constexpr const char* isa_names[SIMDNORM_ISA_COUNT] = {"scalar", "avx2", "avx512", "neon"};

constexpr const kernel_table* compiled[SIMDNORM_ISA_COUNT] = {
    &scalar::table,
#ifdef SIMDNORM_HAS_avx2
    &avx2::table,
#else
    nullptr,
#endif
#ifdef SIMDNORM_HAS_avx512
    &avx512::table,
#else
    nullptr,
#endif
#ifdef SIMDNORM_HAS_neon
    &neon::table,
#else
    nullptr,
#endif
};

// Ceilings run scalar < avx2 < avx512 on one architecture and scalar < neon on the other.
constexpr bool at_or_below(simdnorm_isa isa, simdnorm_isa ceiling) {
  if (isa == SIMDNORM_SCALAR || isa == ceiling) return true;
  return isa == SIMDNORM_AVX2 && ceiling == SIMDNORM_AVX512;
}

constexpr bool valid(simdnorm_isa isa) {
  return isa >= 0 && isa < SIMDNORM_ISA_COUNT;
}

enum class reason { best, environment, bad_environment, limited, forced };

// One choice: everything a reader needs in one word of memory, so that it is read with one load.
// Choices are static and immutable; `state` points at one.
struct choice {
  const kernel_table* table;
  simdnorm_isa isa;
  reason why;
};

#define SIMDNORM_CHOICES(why)                                              \
  {                                                                        \
    {compiled[0], 0, why}, {compiled[1], 1, why}, {compiled[2], 2, why}, { \
      compiled[3], 3, why                                                  \
    }                                                                      \
  }
constexpr choice choices[4][SIMDNORM_ISA_COUNT] = {SIMDNORM_CHOICES(reason::best),
                                                   SIMDNORM_CHOICES(reason::environment),
                                                   SIMDNORM_CHOICES(reason::limited), SIMDNORM_CHOICES(reason::forced)};
constexpr choice bad_environment = {nullptr, SIMDNORM_SCALAR, reason::bad_environment};

const choice* state = nullptr;         // what calls use
const choice* first_choice = nullptr;  // what the first call chose; the environment is read once

const choice* row_of(reason why) {
  switch (why) {
    case reason::environment:
      return choices[1];
    case reason::limited:
      return choices[2];
    case reason::forced:
      return choices[3];
    default:
      return choices[0];
  }
}

bool available(const isa_support& support, simdnorm_isa isa) {
  return compiled[isa] != nullptr && support.cpu[isa] && support.os[isa];
}

const choice* best(simdnorm_isa ceiling, reason why) {
  const isa_support support = detect(probe_cpu());
  simdnorm_isa found = SIMDNORM_SCALAR;
  for (simdnorm_isa isa = SIMDNORM_ISA_COUNT - 1; isa > SIMDNORM_SCALAR; --isa) {
    if (at_or_below(isa, ceiling) && available(support, isa)) {
      found = isa;
      break;
    }
  }
  return row_of(why) + found;
}

const choice* choose() {
#if defined(__aarch64__)
  constexpr simdnorm_isa highest = SIMDNORM_NEON;
#else
  constexpr simdnorm_isa highest = SIMDNORM_AVX512;
#endif
  const char* name = getenv("SIMDNORM_MAX_ISA");
  if (name == nullptr || *name == '\0') return best(highest, reason::best);
  simdnorm_isa ceiling = SIMDNORM_SCALAR;
  if (simdnorm_isa_from_name(name, &ceiling) != SIMDNORM_OK) return &bad_environment;
  return best(ceiling, reason::environment);
}

// What the first call chose. Threads that race here come to the same result.
const choice* initial() {
  const choice* c = __atomic_load_n(&first_choice, __ATOMIC_ACQUIRE);
  if (c == nullptr) {
    c = choose();
    __atomic_store_n(&first_choice, c, __ATOMIC_RELEASE);
  }
  return c;
}

const choice* current() {
  const choice* c = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
  if (c == nullptr) [[unlikely]] {
    const choice* first = initial();
    // A limit or force that came in between stays.
    if (__atomic_compare_exchange_n(&state, &c, first, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) c = first;
  }
  return c;
}

}  // namespace

const kernel_table* active_table() noexcept {
  return current()->table;
}

}  // namespace simdnorm

using namespace simdnorm;

extern "C" {

const char* simdnorm_isa_name(simdnorm_isa isa) {
  return valid(isa) ? isa_names[isa] : nullptr;
}

simdnorm_status simdnorm_isa_from_name(const char* name, simdnorm_isa* out) {
  if (name == nullptr || out == nullptr) return SIMDNORM_NULL_POINTER;
  for (simdnorm_isa isa = 0; isa < SIMDNORM_ISA_COUNT; ++isa) {
    if (strcmp(name, isa_names[isa]) == 0) {
      *out = isa;
      return SIMDNORM_OK;
    }
  }
  return SIMDNORM_UNKNOWN_ISA;
}

void simdnorm_isa_list(simdnorm_isa_state* states) {
  if (states == nullptr) return;
  const isa_support support = detect(probe_cpu());
  for (simdnorm_isa isa = 0; isa < SIMDNORM_ISA_COUNT; ++isa) {
    states[isa] = {isa, compiled[isa] != nullptr, support.cpu[isa], support.os[isa], available(support, isa)};
  }
}

simdnorm_status simdnorm_isa_active(simdnorm_isa* out) {
  if (out == nullptr) return SIMDNORM_NULL_POINTER;
  const choice* c = current();
  if (c->why == reason::bad_environment) return SIMDNORM_UNKNOWN_ISA;
  *out = c->isa;
  return SIMDNORM_OK;
}

const char* simdnorm_isa_reason(void) {
  switch (current()->why) {
    case reason::best:
      return "the best that this build, this CPU and its operating system have";
    case reason::environment:
      return "the best at or below SIMDNORM_MAX_ISA";
    case reason::bad_environment:
      return "SIMDNORM_MAX_ISA names no instruction set (scalar, avx2, avx512, neon)";
    case reason::limited:
      return "the best at or below the limit set by the program";
    case reason::forced:
      return "forced by the program";
  }
  return "";
}

simdnorm_status simdnorm_isa_limit(simdnorm_isa isa) {
  if (!valid(isa)) return SIMDNORM_UNKNOWN_ISA;
  __atomic_store_n(&state, best(isa, reason::limited), __ATOMIC_RELEASE);
  return SIMDNORM_OK;
}

simdnorm_status simdnorm_isa_force(simdnorm_isa isa) {
  if (!valid(isa)) return SIMDNORM_UNKNOWN_ISA;
  if (!available(detect(probe_cpu()), isa)) return SIMDNORM_ISA_UNAVAILABLE;
  __atomic_store_n(&state, row_of(reason::forced) + isa, __ATOMIC_RELEASE);
  return SIMDNORM_OK;
}

void simdnorm_isa_reset(void) {
  __atomic_store_n(&state, initial(), __ATOMIC_RELEASE);
}

}  // extern "C"

/* SPDX-License-Identifier: Apache-2.0
 *
 * Instruction sets and caches: what runs, and why.
 */
#ifndef SIMDNORM_CPU_H
#define SIMDNORM_CPU_H

#include "simdnorm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- instruction sets ---------------------------------------------------------------------------
 *
 * The best available one is chosen at the first call. SIMDNORM_MAX_ISA (scalar, avx2, avx512 or
 * neon) in the environment, read once, is a ceiling; a name that is none of these makes every
 * computing call return SIMDNORM_UNKNOWN_ISA. All of this is process-wide. Every instruction set
 * gives the same bits. */

typedef int32_t simdnorm_isa;
enum { SIMDNORM_SCALAR = 0, SIMDNORM_AVX2 = 1, SIMDNORM_AVX512 = 2, SIMDNORM_NEON = 3 };
#define SIMDNORM_ISA_COUNT 4

typedef struct simdnorm_isa_state {
  simdnorm_isa isa;
  int32_t compiled;  /* this build of the library has its kernels */
  int32_t cpu;       /* the CPU has every instruction that they use */
  int32_t os;        /* the operating system saves its registers */
  int32_t available; /* all three */
} simdnorm_isa_state;

/* Fills states[SIMDNORM_ISA_COUNT], worst first. */
SIMDNORM_API void simdnorm_isa_list(simdnorm_isa_state* states);
/* "scalar", "avx2", "avx512", "neon", or null. */
SIMDNORM_API const char* simdnorm_isa_name(simdnorm_isa isa);
SIMDNORM_API simdnorm_status simdnorm_isa_from_name(const char* name, simdnorm_isa* out);
/* Which one calls use now. */
SIMDNORM_API simdnorm_status simdnorm_isa_active(simdnorm_isa* out);
/* Why: a sentence in static memory. */
SIMDNORM_API const char* simdnorm_isa_reason(void);
/* Sets the ceiling: the best available one at or below it. Names of another architecture leave
 * scalar. Replaces what SIMDNORM_MAX_ISA said. */
SIMDNORM_API simdnorm_status simdnorm_isa_limit(simdnorm_isa isa);
/* Exactly this one, or SIMDNORM_ISA_UNAVAILABLE and no change. */
SIMDNORM_API simdnorm_status simdnorm_isa_force(simdnorm_isa isa);
/* Back to the choice made at the first call. */
SIMDNORM_API void simdnorm_isa_reset(void);

/* ---- caches ---------------------------------------------------------------------------------------
 *
 * Outputs that do not fit the last-level cache are written past the caches (non-temporal stores):
 * twice as fast there, several times slower where they would fit. The border changes no bit of a
 * result. All of this is process-wide. */

/* An output of at least this many bytes is written past the caches; where it replaces its input it may stay in them. By
 * default 7/32 of the last-level cache, of which at most 32 MiB are counted: a virtual machine may report a cache that
 * it shares with many others. */
SIMDNORM_API size_t simdnorm_stream_border(void);
/* Sets it: for a program that knows its share of the cache, and for measuring. SIZE_MAX: never past
 * the caches. 0: back to the default. */
SIMDNORM_API void simdnorm_stream_border_set(size_t bytes);

#ifdef __cplusplus
}
#endif

#endif

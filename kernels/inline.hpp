// SPDX-License-Identifier: Apache-2.0
//
// Kernels are made of small functions and lambdas that hold registers. One that the compiler leaves
// out of line passes its registers through memory (16x768 took twice as long), and GCC's own
// judgement, [[gnu::flatten]] included, leaves some out: they all say that they are inline. Without
// optimization they need not be, a target then compiles in a third of the time, and the test of
// leakage sees every function.
#pragma once

#ifdef __OPTIMIZE__
#define SIMDNORM_INLINE [[gnu::always_inline]] inline
#define SIMDNORM_LAMBDA __attribute__((always_inline))
#else
#define SIMDNORM_INLINE inline
#define SIMDNORM_LAMBDA
#endif

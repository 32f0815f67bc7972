/* SPDX-License-Identifier: Apache-2.0
 *
 * simdnorm: normalization kernels, C interface.
 *
 * Every function that computes returns a simdnorm_status. All arguments are checked before the
 * first byte is written: on any status other than SIMDNORM_OK no output has been touched, except
 * after SIMDNORM_EXECUTOR_FAILED, where the caller's own executor gave up half way.
 *
 * No function here allocates, starts a thread, prints, throws or aborts. All are thread-safe;
 * simdnorm_column_state_* calls on one state must not overlap.
 *
 * Sizes are in elements. Strides are in elements between the first elements of two rows.
 *
 * Options are structs. Start from their defaults in C (simdnorm_layer_norm_defaults() and so on), or
 * pass null for them. struct_size lets the structs grow at their end without a new symbol: an older
 * caller's shorter struct is completed with defaults.
 */
#ifndef SIMDNORM_SIMDNORM_H
#define SIMDNORM_SIMDNORM_H

#include "simdnorm/channel_norms.h"
#include "simdnorm/column_norms.h"
#include "simdnorm/cpu.h"
#include "simdnorm/row_norms.h"
#include "simdnorm/types.h"

#endif

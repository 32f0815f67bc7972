/* SPDX-License-Identifier: Apache-2.0
 *
 * simdnorm-threads: the default executor, a separate library (CMake simdnorm::threads, pkg-config
 * simdnorm-threads), for callers without a thread pool of their own. It runs on oneTBB: one worker
 * per core, placed through hwloc; workers spin briefly after the last task, then sleep.
 */
#ifndef SIMDNORM_THREADS_H
#define SIMDNORM_THREADS_H

#include "simdnorm/simdnorm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Makes an executor for `threads` threads, the calling one included; 0: as many as the process may
 * use (affinity mask and container limit). Destroy it after the last call that uses it.
 * SIMDNORM_EXECUTOR_FAILED where threads cannot be had. */
SIMDNORM_API simdnorm_status simdnorm_executor_create(size_t threads, simdnorm_executor** out);
SIMDNORM_API void simdnorm_executor_destroy(simdnorm_executor* executor);

#ifdef __cplusplus
}
#endif

#endif

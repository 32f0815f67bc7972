// SPDX-License-Identifier: Apache-2.0
//
// Work over threads: only where the caller brought an executor. Where work is cut depends on the
// shape alone, and no result depends on where it is cut.
#pragma once

#include <stddef.h>

#include "runtime/control_word.hpp"
#include "simdnorm/simdnorm.h"

namespace simdnorm {

inline bool is_parallel(const simdnorm_executor* executor) noexcept {
  return executor != nullptr && executor->run != nullptr && executor->threads > 1;
}

// Calls work(i) for every i < count, each under an IEEE control word.
template <class Work>
simdnorm_status for_tasks(const simdnorm_executor* executor, size_t count, Work work) noexcept {
  if (count == 0) return SIMDNORM_OK;
  if (count == 1 || !is_parallel(executor)) {
    const control_word_scope ieee;
    for (size_t i = 0; i < count; ++i) work(i);
    return SIMDNORM_OK;
  }
  const auto task = [](void* arg, size_t i) {
    const control_word_scope ieee;
    (*static_cast<Work*>(arg))(i);
  };
  return executor->run(executor->context, count, task, &work) == 0 ? SIMDNORM_OK : SIMDNORM_EXECUTOR_FAILED;
}

// A fork and join costs 1 to 2 us, the time of about 32 K elements from L2: below that many, and
// for less than that many a task, threads do not pay.
inline constexpr size_t elements_per_task = 32768;

// Calls work(first, last) for blocks of rows that together are [0, rows).
template <class Work>
simdnorm_status for_row_blocks(const simdnorm_executor* executor, size_t rows, size_t cols, Work work) noexcept {
  if (!is_parallel(executor)) {
    const control_word_scope ieee;
    work(size_t{0}, rows);
    return SIMDNORM_OK;
  }
  const size_t wide = cols < elements_per_task ? cols : elements_per_task;
  const size_t per_block = elements_per_task / (wide == 0 ? 1 : wide);
  return for_tasks(executor, (rows + per_block - 1) / per_block, [=](size_t i) {
    const size_t first = i * per_block;
    work(first, first + per_block < rows ? first + per_block : rows);
  });
}

}  // namespace simdnorm

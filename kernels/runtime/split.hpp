// SPDX-License-Identifier: Apache-2.0
//
// Work over threads: only where the caller brought an executor. No result depends on where it is cut.
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

// A fork and join costs 1 to 2 us, the time of about 32 K elements from L2: tasks of fewer elements do not
// pay.
inline constexpr size_t elements_per_task = 32768;

// Calls work(first, last) for blocks of rows that together are [0, rows). No result depends on where
// rows are cut: as many tasks as threads if that makes them small, else a few for each, so that one
// that is late does not hold up the others.
template <class Work>
simdnorm_status for_row_blocks(const simdnorm_executor* executor, size_t rows, size_t cols, Work work) noexcept {
  constexpr size_t rounds = 4;
  const size_t threads = is_parallel(executor) ? executor->threads : 1;
  const size_t worth = rows / ((elements_per_task - 1) / (cols == 0 ? 1 : cols) + 1);  // tasks that are large enough
  if (threads == 1 || worth < 2) {
    const control_word_scope ieee;
    work(size_t{0}, rows);
    return SIMDNORM_OK;
  }
  const size_t turns = worth / threads < rounds ? worth / threads : rounds;
  const size_t tasks = turns == 0 ? worth : turns * threads;
  return for_tasks(executor, tasks, [=](size_t i) { work(i * rows / tasks, (i + 1) * rows / tasks); });
}

}  // namespace simdnorm

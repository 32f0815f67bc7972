// SPDX-License-Identifier: Apache-2.0
//
// The default executor as a C++ value; link simdnorm::threads.
#pragma once

#include <memory>

#include "simdnorm/threads.h"
#include "simdnorm/types.hpp"

namespace simdnorm {

struct executor_deleter {
  void operator()(executor* e) const noexcept { simdnorm_executor_destroy(e); }
};
using executor_ptr = std::unique_ptr<executor, executor_deleter>;

/// An executor for `threads` threads, the calling one included; 0: all that the process may use.
/// Null where threads cannot be had, which means the calling thread alone.
[[nodiscard]] inline executor_ptr make_executor(std::size_t threads = 0) noexcept {
  executor* e = nullptr;
  return executor_ptr(simdnorm_executor_create(threads, &e) == SIMDNORM_OK ? e : nullptr);
}

}  // namespace simdnorm

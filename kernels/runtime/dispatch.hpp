// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "table.hpp"

namespace simdnorm {

// The kernels to use now: one atomic load, after the first call. Null: SIMDNORM_MAX_ISA names no
// instruction set, and the call is to return SIMDNORM_UNKNOWN_ISA.
const kernel_table* active_table() noexcept;

}  // namespace simdnorm

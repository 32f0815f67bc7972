// SPDX-License-Identifier: Apache-2.0
//
// simdnorm: normalization kernels, C++20 front. A thin, inline layer over simdnorm.h; see there for
// what every function promises.
#pragma once

#include "simdnorm/channel_norms.hpp"
#include "simdnorm/column_norms.hpp"
#include "simdnorm/cpu.hpp"
#include "simdnorm/row_norms.hpp"
#include "simdnorm/types.hpp"

// SPDX-License-Identifier: Apache-2.0
//
// Row norms without what is beside their loops: statistics are given, what a row's sums would be is added up and
// forgotten. One loop makes the outputs of a row and the sums of the next, as the library's does for rows of up to
// 1,536 columns: a bound there. Of longer ones gamma and beta come from L2 for every row, where the library has tiles.
#pragma once

#include <stddef.h>

namespace simdnorm_baselines {

// Of a row: x_hat = (x - center) * high + ((x - center) * low + offset), or x * high.
struct given_statistics {
  float shift, center, high, low, offset;
};

struct limit_task {
  const float* x;
  float* y;
  size_t rows, cols;  // at least a vector's
  const float *gamma, *beta;
  const given_statistics* rows_statistics;
  float* sink;  // 16 floats
};

// The operations of this library: x - shift, its sum, the sum of its squares; x - center, two fma, gamma and beta.
void limit_layer_norm(const limit_task&);
void limit_layer_norm_streamed(const limit_task&);
// The fewest: x, its sum, the sum of its squares; an fma, gamma and beta. Wrong where the mean is far from 0.
void limit_layer_norm_least(const limit_task&);
void limit_layer_norm_least_streamed(const limit_task&);
// Squares; x * high * gamma.
void limit_rms_norm(const limit_task&);
void limit_rms_norm_streamed(const limit_task&);

}  // namespace simdnorm_baselines

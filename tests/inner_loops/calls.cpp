// SPDX-License-Identifier: Apache-2.0
//
// One kernel over one shape, a number of times, for counting instructions: calls KERNEL VARIANT ROWS COLS TIMES

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "baselines/baselines.hpp"
#include "buffers.hpp"
#include "simdnorm/simdnorm.h"

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const char *kernel = argv[1], *variant = argv[2];
  const std::size_t rows = std::strtoul(argv[3], nullptr, 10), cols = std::strtoul(argv[4], nullptr, 10);
  bench::buffer<float> x(rows * cols), y(rows * cols), gamma(cols), beta(cols), mean(cols), variance(cols),
      scratch(2 * cols);
  bench::fill_normal(x, 1.0, 1.0, 1);
  bench::fill_normal(gamma, 1.0, 0.1, 2);
  bench::fill_normal(beta, 0.0, 0.1, 3);
  bench::fill_normal(mean, 1.0, 0.1, 4);
  bench::fill_normal(variance, 1.0, 0.1, 5);

  const simdnorm_const_matrix in = {x.data(), rows, cols, static_cast<ptrdiff_t>(cols), SIMDNORM_F32};
  const simdnorm_matrix out = {y.data(), rows, cols, static_cast<ptrdiff_t>(cols), SIMDNORM_F32};
  const simdnorm_const_vector g = {gamma.data(), cols, SIMDNORM_F32}, b = {beta.data(), cols, SIMDNORM_F32};
  simdnorm_layer_norm_options layer = simdnorm_layer_norm_defaults();
  layer.gamma = g;
  layer.beta = b;
  simdnorm_rms_norm_options rms = simdnorm_rms_norm_defaults();
  rms.weight = g;
  simdnorm_batch_norm_options batch = simdnorm_batch_norm_defaults();
  batch.gamma = g;
  batch.beta = b;

  const simdnorm_baselines::table* t = nullptr;
  if (std::strcmp(variant, "textbook") == 0) t = &simdnorm_baselines::textbook::functions;
  if (std::strcmp(variant, "autovec") == 0) t = &simdnorm_baselines::autovec::functions;
  if (std::strcmp(variant, "autovec_fast") == 0) t = &simdnorm_baselines::autovec_fast::functions;
  const bool layer_norm = std::strcmp(kernel, "layer_norm") == 0, rms_norm = std::strcmp(kernel, "rms_norm") == 0;
  const bool training = std::strcmp(kernel, "batch_norm_training") == 0;
  simdnorm_status status = SIMDNORM_OK;
  for (long left = std::strtol(argv[5], nullptr, 10); left > 0 && status == SIMDNORM_OK; --left) {
    if (layer_norm && t) {
      t->layer_norm(x.data(), y.data(), rows, cols, gamma.data(), beta.data(), 1e-5f);
    } else if (layer_norm) {
      status = simdnorm_layer_norm(&in, &out, &layer);
    } else if (rms_norm && t) {
      t->rms_norm(x.data(), y.data(), rows, cols, gamma.data(), 1e-5f);
    } else if (rms_norm) {
      status = simdnorm_rms_norm(&in, &out, &rms);
    } else if (training && t) {
      t->batch_norm_training(x.data(), y.data(), rows, cols, gamma.data(), beta.data(), 1e-5f, 0.1f, mean.data(),
                             variance.data(), scratch.data());
    } else if (training) {
      status = simdnorm_batch_norm_training(&in, &out, &batch);
    } else if (t) {
      t->batch_norm_inference(x.data(), y.data(), rows, cols, mean.data(), variance.data(), gamma.data(), beta.data(),
                              1e-5f, scratch.data());
    } else {
      status = simdnorm_batch_norm_inference(&in, &out, {mean.data(), cols, SIMDNORM_F32},
                                             {variance.data(), cols, SIMDNORM_F32}, &batch);
    }
  }
  return status == SIMDNORM_OK ? 0 : 1;
}

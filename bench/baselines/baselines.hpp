// SPDX-License-Identifier: Apache-2.0
//
// What the library is measured against: baselines.cpp, one source compiled three times.
//
//   textbook      -O2 without the vectorizer, for the baseline of the ABI: THE scalar reference
//   autovec       -O3 for this CPU
//   autovec_fast  -O3 -ffast-math for this CPU. The flag is given to the compiler only: at link time
//                 it would set FTZ and DAZ for the whole process (crtfastmath.o).
//
// A plain table of functions, so that nothing inline crosses between units of different flags.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace simdnorm_baselines {

// Norms of columns in steps: what is fitted, then y = (x - shift) * scale + offset. mask: a byte a row or an element,
// what is not real becomes zero; null where all is real.
template <class T>
struct column_steps {
  void (*moments)(const T* x, size_t rows, size_t cols, const uint8_t* mask, T* count, T* mean, T* m2);
  void (*extremes)(const T* x, size_t rows, size_t cols, const uint8_t* mask, T* min, T* max);
  void (*affine)(const T* x, T* y, size_t rows, size_t cols, const uint8_t* mask, const T* shift, const T* scale,
                 const T* offset);
};

struct table {
  // Rows. gamma and beta (weight) have cols entries.
  void (*layer_norm)(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                     float epsilon);
  void (*rms_norm)(const float* x, float* y, size_t rows, size_t cols, const float* weight, float epsilon);
  void (*l2_norm)(const float* x, float* y, size_t rows, size_t cols, float epsilon);
  // mask: a byte an element, rows * cols.
  void (*layer_norm_element_mask)(const float* x, float* y, size_t rows, size_t cols, const float* gamma,
                                  const float* beta, float epsilon, const uint8_t* mask);
  void (*rms_norm_element_mask)(const float* x, float* y, size_t rows, size_t cols, const float* weight, float epsilon,
                                const uint8_t* mask);
  void (*l2_norm_element_mask)(const float* x, float* y, size_t rows, size_t cols, float epsilon, const uint8_t* mask);
  // What stands before and behind a norm where it is not fused: h = x + residual; y = f(y); y *= silu(z);
  // y = relu(y + z).
  void (*add)(const float* x, const float* residual, float* h, size_t n);
  void (*relu)(float* y, size_t n);
  void (*gelu)(float* y, size_t n);
  void (*gelu_tanh)(float* y, size_t n);
  void (*silu)(float* y, size_t n);
  void (*gate)(float* y, const float* z, size_t n);
  void (*add_relu)(float* y, const float* z, size_t n);

  // Of two bytes an element, converted to f32 where it is loaded and rounded where it is stored.
  void (*layer_norm_bf16)(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* gamma,
                          const float* beta, float epsilon);
  void (*layer_norm_f16)(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* gamma,
                         const float* beta, float epsilon);
  void (*rms_norm_bf16)(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* weight, float epsilon);
  void (*rms_norm_f16)(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* weight, float epsilon);
  // Rounded to bf16 before the weight multiplies, and again.
  void (*rms_norm_bf16_round_before_weight)(const uint16_t* x, uint16_t* y, size_t rows, size_t cols,
                                            const float* weight, float epsilon);

  // Where a norm of floats stands between other types.
  void (*from_bf16)(const uint16_t* x, float* h, size_t n);
  void (*from_f16)(const uint16_t* x, float* h, size_t n);
  void (*to_bf16)(const float* h, uint16_t* y, size_t n);
  // Each row by its greatest element, whose scale goes to scales; without scales, all by `scale`.
  void (*to_i8)(const float* h, uint8_t* y, size_t rows, size_t cols, float scale, float* scales);
  void (*to_u8)(const float* h, uint8_t* y, size_t rows, size_t cols, float scale, float* scales);  // zero point 128
  void (*to_e4m3)(const float* h, uint8_t* y, size_t rows, size_t cols, float scale, float* scales);
  void (*to_e5m2)(const float* h, uint8_t* y, size_t rows, size_t cols, float scale, float* scales);

  // Of doubles.
  void (*layer_norm_f64)(const double* x, double* y, size_t rows, size_t cols, const double* gamma, const double* beta,
                         double epsilon);
  void (*rms_norm_f64)(const double* x, double* y, size_t rows, size_t cols, const double* weight, double epsilon);
  void (*l2_norm_f64)(const double* x, double* y, size_t rows, size_t cols, double epsilon);
  void (*add_f64)(const double* x, const double* residual, double* h, size_t n);
  column_steps<double> columns_f64;

  // Columns. scratch has 2 * cols entries. Means and scales are f32 here.
  void (*batch_norm_training)(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                              float epsilon, float momentum, float* running_mean, float* running_variance,
                              float* scratch);
  column_steps<float> columns_by_rows, columns_by_elements;  // masked
  void (*batch_norm_inference)(const float* x, float* y, size_t rows, size_t cols, const float* mean,
                               const float* variance, const float* gamma, const float* beta, float epsilon,
                               float* scratch);
  void (*column_moments)(const float* x, size_t rows, size_t cols, float* mean, float* m2, float* min, float* max);
  void (*standardize_fit)(const float* x, size_t rows, size_t cols, float* mean, float* scale);
  void (*standardize_transform)(const float* x, float* y, size_t rows, size_t cols, const float* mean,
                                const float* scale);
  void (*standardize_inverse)(const float* y, float* x, size_t rows, size_t cols, const float* mean,
                              const float* scale);
  void (*min_max_fit)(const float* x, size_t rows, size_t cols, float* min, float* max);
  void (*min_max_transform)(const float* x, float* y, size_t rows, size_t cols, const float* min, const float* max,
                            float* scratch);

  // Statistics by each algorithm of statistics.hpp: LayerNorm built on it, and all columns.
  void (*layer_norm_one_pass)(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                              float epsilon);
  void (*layer_norm_welford_f32)(const float* x, float* y, size_t rows, size_t cols, const float* gamma,
                                 const float* beta, float epsilon);
  void (*layer_norm_welford_f64)(const float* x, float* y, size_t rows, size_t cols, const float* gamma,
                                 const float* beta, float epsilon);
  void (*one_pass_columns)(const float* x, size_t rows, size_t cols, float* mean, float* m2);
  void (*welford_f32_columns)(const float* x, size_t rows, size_t cols, float* mean, float* m2);
  void (*welford_f64_columns)(const float* x, size_t rows, size_t cols, double* mean, double* m2);
  void (*two_pass_columns)(const float* x, size_t rows, size_t cols, float* mean, float* m2);

  // [batch, channels, size] in this order; gamma, beta, statistics have an entry a channel.
  void (*batch_norm_training_nchw)(const float* x, float* y, size_t batch, size_t channels, size_t size,
                                   const float* gamma, const float* beta, float epsilon, float momentum,
                                   float* running_mean, float* running_variance);
  void (*batch_norm_inference_nchw)(const float* x, float* y, size_t batch, size_t channels, size_t size,
                                    const float* mean, const float* variance, const float* gamma, const float* beta,
                                    float epsilon);
  void (*group_norm)(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups,
                     const float* gamma, const float* beta, float epsilon);
  // Masked, a byte a position of [batch, size] or an element. groups 0: batch norm, by mean and variance if given.
  void (*channels_by_positions)(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups,
                                const float* mean, const float* variance, const float* gamma, const float* beta,
                                float epsilon, const uint8_t* mask);
  void (*channels_by_elements)(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups,
                               const float* mean, const float* variance, const float* gamma, const float* beta,
                               float epsilon, const uint8_t* mask);
  // [batch, size, channels]; mask: a byte a position, or null.
  void (*group_norm_nhwc)(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups,
                          const float* gamma, const float* beta, float epsilon, const uint8_t* mask);
};

namespace textbook {
extern const table functions;
}
namespace autovec {
extern const table functions;
}
namespace autovec_fast {
extern const table functions;
}
namespace clang19_fast {  // another compiler's, in a module of its own: peers/clang.cpp
extern const table functions;
}

// The limits: copies of n floats with the widest vectors of this CPU, never through memcpy, whose
// choice of stores depends on the size. Both pointers are 64-byte aligned.
void copy_regular(const float* x, float* y, size_t n);
void copy_nontemporal(const float* x, float* y, size_t n);
// False where the compiler offers no non-temporal store for this CPU.
extern const bool has_nontemporal;

}  // namespace simdnorm_baselines

/* SPDX-License-Identifier: Apache-2.0
 *
 * Moments of columns, and norms whose statistics belong to a column.
 */
#ifndef SIMDNORM_COLUMN_NORMS_H
#define SIMDNORM_COLUMN_NORMS_H

#include "simdnorm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- moments -----------------------------------------------------------------------------------*/

/* Statistics of a set of numbers: its size, mean, sum of squared deviations from the mean, least
 * and greatest value. variance = m2 / count. The empty set is all zeros. A zero extreme is +0. */
typedef struct simdnorm_moments {
  uint64_t count;
  double mean, m2, min, max;
} simdnorm_moments;

/* The moments of the union of two disjoint sets. Chan, Golub, LeVeque: Updating Formulae and a
 * Pairwise Algorithm for Computing Sample Variances, Stanford STAN-CS-79-773, 1979, eq. 2.1. */
SIMDNORM_API simdnorm_moments simdnorm_moments_merge(simdnorm_moments a, simdnorm_moments b);

typedef struct simdnorm_column_options {
  size_t struct_size;
  simdnorm_padding padding; /* row mask or sequence lengths */
  const simdnorm_executor* executor;
} simdnorm_column_options;

static inline simdnorm_column_options simdnorm_column_defaults(void) {
  simdnorm_column_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  return options;
}

/* out[j] = moments of column j over the real rows; out has x->cols entries. */
SIMDNORM_API simdnorm_status simdnorm_column_moments(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                                     const simdnorm_column_options* options);

/* The same for data that arrives in pieces. The state lives in memory of the caller, is plain data
 * (copy it with memcpy), and carries the rows of its open block: feeding the same rows in any
 * pieces gives the bits of simdnorm_column_moments over all of them. */
typedef struct simdnorm_column_state simdnorm_column_state;

/* Bytes of a state for cols columns of this type, aligned to 64; 0 if type or size is impossible. */
SIMDNORM_API size_t simdnorm_column_state_size(size_t cols, simdnorm_type type);
/* Makes an empty state in `memory` of at least simdnorm_column_state_size bytes, 64-byte aligned. */
SIMDNORM_API simdnorm_status simdnorm_column_state_init(void* memory, size_t bytes, size_t cols, simdnorm_type type,
                                                        simdnorm_column_state** out);
/* Appends the real rows of x (x->cols and x->type as at init). On the calling thread: an executor is
 * checked and not used. */
SIMDNORM_API simdnorm_status simdnorm_column_state_update(simdnorm_column_state* state, const simdnorm_const_matrix* x,
                                                          const simdnorm_column_options* options);
/* into = into followed by `from` (Chan's formula on their totals); `from` is unchanged. */
SIMDNORM_API simdnorm_status simdnorm_column_state_merge(simdnorm_column_state* into,
                                                         const simdnorm_column_state* from);
/* out[j] = moments of column j so far; the state goes on. */
SIMDNORM_API simdnorm_status simdnorm_column_state_result(const simdnorm_column_state* state, simdnorm_moments* out);

/* ---- column-wise norms -------------------------------------------------------------------------*/

typedef struct simdnorm_batch_norm_options {
  size_t struct_size;
  double epsilon;              /* >= 0; default 1e-5 */
  simdnorm_const_vector gamma; /* [cols], optional */
  simdnorm_const_vector beta;  /* [cols], optional */
  simdnorm_padding padding;    /* row mask or sequence lengths */
  const simdnorm_executor* executor;
  /* training only: */
  double momentum;                  /* in [0, 1]; running = (1 - momentum) * running + momentum * batch; default 0.1 */
  int32_t biased_running_variance;  /* 0: n/(n-1) as PyTorch (default); 1: divided by n as ONNX */
  simdnorm_vector running_mean;     /* [cols], optional, updated in place */
  simdnorm_vector running_variance; /* [cols], optional, updated in place */
  simdnorm_vector mean;             /* [cols], optional output: batch mean */
  simdnorm_vector rstd;             /* [cols], optional output: 1 / sqrt(batch variance + epsilon) */
  simdnorm_activation activation;   /* of tensors (channel_norms.h): none (default) or ReLU */
  /* inference of tensors, optional: of x's shape and layout, added before the activation; may be y or x */
  const simdnorm_const_tensor* residual;
} simdnorm_batch_norm_options;

static inline simdnorm_batch_norm_options simdnorm_batch_norm_defaults(void) {
  simdnorm_batch_norm_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  options.momentum = 0.1;
  return options;
}

/* Batch statistics over the real rows of each column, then (x - mean) * rstd * gamma + beta.
 * Ioffe, Szegedy: Batch Normalization, 2015, arXiv 1502.03167. */
SIMDNORM_API simdnorm_status simdnorm_batch_norm_training(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                          const simdnorm_batch_norm_options* options);
/* (x - mean) / sqrt(variance + epsilon) * gamma + beta with given mean and variance, [cols] each. */
SIMDNORM_API simdnorm_status simdnorm_batch_norm_inference(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                           simdnorm_const_vector mean, simdnorm_const_vector variance,
                                                           const simdnorm_batch_norm_options* options);

/* Feature scaling. Fitted parameters are doubles, one per column; they may be stored and reused.
 * standardize: scale[j] = sqrt(m2 / count), or 1 where that is 0; y = (x - mean) / scale. */
SIMDNORM_API simdnorm_status simdnorm_standardize_fit(const simdnorm_const_matrix* x, double* mean, double* scale,
                                                      const simdnorm_column_options* options);
SIMDNORM_API simdnorm_status simdnorm_standardize_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                            const double* mean, const double* scale,
                                                            const simdnorm_column_options* options);
/* x = y * scale + mean; the first argument is the scaled matrix. */
SIMDNORM_API simdnorm_status simdnorm_standardize_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                                          const double* mean, const double* scale,
                                                          const simdnorm_column_options* options);

typedef struct simdnorm_min_max_options {
  size_t struct_size;
  double low, high; /* the feature range; default 0 and 1 */
  simdnorm_padding padding;
  const simdnorm_executor* executor;
} simdnorm_min_max_options;

static inline simdnorm_min_max_options simdnorm_min_max_defaults(void) {
  simdnorm_min_max_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.high = 1.0;
  return options;
}

/* min_max: least and greatest real value of each column; NaN if one of them is NaN. A column
 * without real rows has 0 and 0. */
SIMDNORM_API simdnorm_status simdnorm_min_max_fit(const simdnorm_const_matrix* x, double* min, double* max,
                                                  const simdnorm_min_max_options* options);
/* y = (x - min) / (max - min) * (high - low) + low; a column with max == min divides by 1. */
SIMDNORM_API simdnorm_status simdnorm_min_max_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                        const double* min, const double* max,
                                                        const simdnorm_min_max_options* options);
SIMDNORM_API simdnorm_status simdnorm_min_max_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                                      const double* min, const double* max,
                                                      const simdnorm_min_max_options* options);

#ifdef __cplusplus
}
#endif

#endif

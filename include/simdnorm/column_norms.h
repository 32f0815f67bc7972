/* SPDX-License-Identifier: Apache-2.0
 *
 * Moments of columns, and norms whose statistics belong to a column.
 *
 * f32, bf16 and f16; f64. Of the first three x, y, a residual, gamma, beta and a given mean and variance are each of
 * any; other vectors are f32, or double as below. Statistics are those of the same values in f32, y is f32's rounded
 * once to nearest even. y may be x itself if an element of both has the same size, else they are apart
 * (SIMDNORM_OVERLAP). Beside an x of f64, y and residual are f64, gamma, beta and weights f64 or f32, other vectors
 * f64. States keep f32. Else SIMDNORM_UNSUPPORTED_TYPE.
 */
#ifndef SIMDNORM_COLUMN_NORMS_H
#define SIMDNORM_COLUMN_NORMS_H

#include "simdnorm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- moments -----------------------------------------------------------------------------------*/

/* Statistics of a set of numbers: its size, mean, sum of squared deviations from the mean, least
 * and greatest value, and the sum of the numbers' weights, which is `count` where none were given.
 * With weights w: mean = sum(w x) / weight, m2 = sum(w (x - mean)^2). variance = m2 / weight. The empty
 * set is all zeros. A zero extreme is +0. */
typedef struct simdnorm_moments {
  uint64_t count;
  double mean, m2, min, max, weight;
} simdnorm_moments;

/* The moments of the union of two disjoint sets. Chan, Golub, LeVeque: Updating Formulae and a
 * Pairwise Algorithm for Computing Sample Variances, Stanford STAN-CS-79-773, 1979, eq. 2.1. */
SIMDNORM_API simdnorm_moments simdnorm_moments_merge(simdnorm_moments a, simdnorm_moments b);

typedef struct simdnorm_column_options {
  size_t struct_size;
  simdnorm_padding padding; /* any kind but row lengths */
  const simdnorm_executor* executor;
  simdnorm_const_vector weights; /* [rows], optional: finite, >= 0; 0 as if the row were not there; f32, beside
                                    an x of f64 also f64 */
  int32_t nan_is_missing;        /* 1: a NaN of x does not count; 0 (default): it makes its column NaN */
} simdnorm_column_options;

static inline simdnorm_column_options simdnorm_column_defaults(void) {
  simdnorm_column_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  return options;
}

/* out[j] = moments of column j over its real elements; out has x->cols entries. */
SIMDNORM_API simdnorm_status simdnorm_column_moments(const simdnorm_const_matrix* x, simdnorm_moments* out,
                                                     const simdnorm_column_options* options);

/* The same for data that arrives in pieces. The state lives in memory of the caller, is plain data
 * (copy it with memcpy), and carries the rows of its open block: feeding the same rows in any
 * pieces gives the bits of simdnorm_column_moments over all of them. */
typedef struct simdnorm_column_state simdnorm_column_state;

/* A state is of type f32, and is fed f32, bf16 or f16, mixed as they come.
 * Bytes of a state for cols columns of this type, aligned to 64; 0 if type or size is impossible. */
SIMDNORM_API size_t simdnorm_column_state_size(size_t cols, simdnorm_type type);
/* Makes an empty state in `memory` of at least simdnorm_column_state_size bytes, 64-byte aligned. */
SIMDNORM_API simdnorm_status simdnorm_column_state_init(void* memory, size_t bytes, size_t cols, simdnorm_type type,
                                                        simdnorm_column_state** out);
/* Appends the real elements of x (x->cols as at init). On the calling thread: an executor is
 * checked and not used. Calls may differ in padding, weights and what NaN means. */
SIMDNORM_API simdnorm_status simdnorm_column_state_update(simdnorm_column_state* state, const simdnorm_const_matrix* x,
                                                          const simdnorm_column_options* options);
/* into = into followed by `from` (Chan's formula on their totals); `from` is unchanged. */
SIMDNORM_API simdnorm_status simdnorm_column_state_merge(simdnorm_column_state* into,
                                                         const simdnorm_column_state* from);
/* out[j] = moments of column j so far; the state goes on. */
SIMDNORM_API simdnorm_status simdnorm_column_state_result(const simdnorm_column_state* state, simdnorm_moments* out);

/* A state as bytes, for a file or another machine: any instruction set, any architecture goes on from it with
 * the same bits. kernels/runtime/column_bytes.cpp has the format. 0: not a state. */
SIMDNORM_API size_t simdnorm_column_state_serialized_size(const simdnorm_column_state* state);
/* Writes that many bytes to `out`, which has `bytes` (else SIMDNORM_INVALID_SHAPE). */
SIMDNORM_API simdnorm_status simdnorm_column_state_serialize(const simdnorm_column_state* state, void* out,
                                                             size_t bytes);
/* Columns of a serialized state, for simdnorm_column_state_size; 0 if it is of none, or its checksum is wrong: so
 * bytes from anywhere make nobody ask for more memory than some 15 times their own. */
SIMDNORM_API size_t simdnorm_column_state_serialized_cols(const void* in, size_t in_bytes);
/* Makes the state that `in`, of just in_bytes, tells of in `memory`, as simdnorm_column_state_init does. Whatever
 * the bytes are: they are a state, or the status is SIMDNORM_INVALID_STATE. What `memory` holds after an error is
 * no state. */
SIMDNORM_API simdnorm_status simdnorm_column_state_deserialize(const void* in, size_t in_bytes, void* memory,
                                                               size_t bytes, simdnorm_column_state** out);

/* ---- column-wise norms -------------------------------------------------------------------------*/

typedef struct simdnorm_batch_norm_options {
  size_t struct_size;
  double epsilon;              /* >= 0; default 1e-5 */
  simdnorm_const_vector gamma; /* [cols], optional */
  simdnorm_const_vector beta;  /* [cols], optional */
  simdnorm_padding padding;    /* any kind but row lengths */
  const simdnorm_executor* executor;
  /* training only: */
  double momentum;                  /* in [0, 1]; running = (1 - momentum) * running + momentum * batch; default 0.1 */
  int32_t biased_running_variance;  /* 0: n/(n-1) as PyTorch (default); 1: divided by n as ONNX */
  simdnorm_vector running_mean;     /* [cols], optional, updated in place */
  simdnorm_vector running_variance; /* [cols], optional, updated in place */
  simdnorm_vector mean;             /* [cols], optional output: batch mean */
  simdnorm_vector rstd;             /* [cols], optional output: 1 / sqrt(batch variance + epsilon) */
  /* inference and training: */
  simdnorm_activation activation; /* none (default) or ReLU */
  /* optional: of x's shape (beside a matrix [rows, cols]) and layout, added before the activation; may be y or x */
  const simdnorm_const_tensor* residual;
} simdnorm_batch_norm_options;

static inline simdnorm_batch_norm_options simdnorm_batch_norm_defaults(void) {
  simdnorm_batch_norm_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  options.momentum = 0.1;
  return options;
}

/* Batch statistics over the real elements of each column, then
 * y = activation((x - mean) * rstd * gamma + beta + residual). A residual whose columns are not contiguous is
 * SIMDNORM_INVALID_STRIDE. Ioffe, Szegedy: Batch Normalization, 2015, arXiv 1502.03167. */
SIMDNORM_API simdnorm_status simdnorm_batch_norm_training(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                          const simdnorm_batch_norm_options* options);
/* y = activation((x - mean) / sqrt(variance + epsilon) * gamma + beta + residual) with given mean and variance, [cols]
 * each. */
SIMDNORM_API simdnorm_status simdnorm_batch_norm_inference(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                           simdnorm_const_vector mean, simdnorm_const_vector variance,
                                                           const simdnorm_batch_norm_options* options);

/* Feature scaling. Fitted parameters are doubles, one per column; they may be stored and reused. Of fit
 * and transform in one call, parameters that are not wanted are null. With `nan_is_missing` a NaN does not
 * count when parameters are fitted; in y it stays NaN, with or without.
 *
 * standardize: mean, and scale = sqrt(m2 / weight), or 1 for a constant column; y = (x - mean) / scale.
 * Constant is, as in scikit-learn, variance <= n e variance + (n mean e)^2 with n = weight and e = 2^-52: a
 * variance that rounding in f64 could have made. */
typedef struct simdnorm_standardize_options {
  size_t struct_size;
  simdnorm_padding padding;
  const simdnorm_executor* executor;
  simdnorm_const_vector weights; /* as in simdnorm_column_options; not looked at by transform and inverse */
  int32_t nan_is_missing;
  int32_t with_mean; /* 1 (default); 0: mean is fitted as 0, x is not centered */
  int32_t with_std;  /* 1 (default); 0: scale is fitted as 1 */
} simdnorm_standardize_options;

static inline simdnorm_standardize_options simdnorm_standardize_defaults(void) {
  simdnorm_standardize_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.with_mean = 1;
  options.with_std = 1;
  return options;
}

SIMDNORM_API simdnorm_status simdnorm_standardize_fit(const simdnorm_const_matrix* x, double* mean, double* scale,
                                                      const simdnorm_standardize_options* options);
/* The same from moments[0] to moments[cols - 1], as a state gives them: padding, weights and NaN have had
 * their say. */
SIMDNORM_API simdnorm_status simdnorm_standardize_parameters(const simdnorm_moments* moments, size_t cols, double* mean,
                                                             double* scale,
                                                             const simdnorm_standardize_options* options);
SIMDNORM_API simdnorm_status simdnorm_standardize_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                            const double* mean, const double* scale,
                                                            const simdnorm_standardize_options* options);
/* x = y * scale + mean; the first argument is the scaled matrix. */
SIMDNORM_API simdnorm_status simdnorm_standardize_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                                          const double* mean, const double* scale,
                                                          const simdnorm_standardize_options* options);
/* Fit and transform, the bits of the two calls. Each strip of columns is read again while it is near. */
SIMDNORM_API simdnorm_status simdnorm_standardize(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                  double* mean, double* scale,
                                                  const simdnorm_standardize_options* options);

typedef struct simdnorm_min_max_options {
  size_t struct_size;
  double low, high; /* the feature range; default 0 and 1 */
  simdnorm_padding padding;
  const simdnorm_executor* executor;
  int32_t nan_is_missing;
  int32_t clip; /* 1: transform gives nothing outside [low, high]; NaN stays. Both are taken
                       as f32 (beside an x of f64: f64), and y is rounded to its type after that */
} simdnorm_min_max_options;

static inline simdnorm_min_max_options simdnorm_min_max_defaults(void) {
  simdnorm_min_max_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.high = 1.0;
  return options;
}

/* min_max: least and greatest real value of each column; NaN if one of them is NaN. A column
 * without real elements has 0 and 0. */
SIMDNORM_API simdnorm_status simdnorm_min_max_fit(const simdnorm_const_matrix* x, double* min, double* max,
                                                  const simdnorm_min_max_options* options);
/* The same from moments. */
SIMDNORM_API simdnorm_status simdnorm_min_max_parameters(const simdnorm_moments* moments, size_t cols, double* min,
                                                         double* max);
/* y = (x - min) / (max - min) * (high - low) + low; a column with max == min divides by 1. */
SIMDNORM_API simdnorm_status simdnorm_min_max_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                        const double* min, const double* max,
                                                        const simdnorm_min_max_options* options);
SIMDNORM_API simdnorm_status simdnorm_min_max_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                                      const double* min, const double* max,
                                                      const simdnorm_min_max_options* options);
/* Fit and transform, the bits of the two calls. */
SIMDNORM_API simdnorm_status simdnorm_min_max(const simdnorm_const_matrix* x, const simdnorm_matrix* y, double* min,
                                              double* max, const simdnorm_min_max_options* options);

typedef struct simdnorm_max_abs_options {
  size_t struct_size;
  simdnorm_padding padding;
  const simdnorm_executor* executor;
  int32_t nan_is_missing;
} simdnorm_max_abs_options;

static inline simdnorm_max_abs_options simdnorm_max_abs_defaults(void) {
  simdnorm_max_abs_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  return options;
}

/* max_abs: scale = the greatest |x| of each column's real elements, or 1 where that is 0; NaN if one of them
 * is NaN. */
SIMDNORM_API simdnorm_status simdnorm_max_abs_fit(const simdnorm_const_matrix* x, double* scale,
                                                  const simdnorm_max_abs_options* options);
/* The same from moments. */
SIMDNORM_API simdnorm_status simdnorm_max_abs_parameters(const simdnorm_moments* moments, size_t cols, double* scale);
/* y = x / scale. */
SIMDNORM_API simdnorm_status simdnorm_max_abs_transform(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                        const double* scale, const simdnorm_max_abs_options* options);
/* x = y * scale. */
SIMDNORM_API simdnorm_status simdnorm_max_abs_inverse(const simdnorm_const_matrix* y, const simdnorm_matrix* x,
                                                      const double* scale, const simdnorm_max_abs_options* options);
/* Fit and transform, the bits of the two calls. */
SIMDNORM_API simdnorm_status simdnorm_max_abs(const simdnorm_const_matrix* x, const simdnorm_matrix* y, double* scale,
                                              const simdnorm_max_abs_options* options);

#ifdef __cplusplus
}
#endif

#endif

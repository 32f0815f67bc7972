/* SPDX-License-Identifier: Apache-2.0
 *
 * simdnorm: normalization kernels, C interface.
 *
 * Every function that computes returns a simdnorm_status. All arguments are checked before the
 * first byte is written: on any status other than SIMDNORM_OK no output has been touched, except
 * after SIMDNORM_EXECUTOR_FAILED, where the caller's own executor gave up half way.
 *
 * No function here allocates, starts a thread, prints, throws or aborts. All are thread-safe;
 * simdnorm_column_state_* calls on one state must not overlap.
 *
 * Sizes are in elements. Strides are in elements between the first elements of two rows.
 */
#ifndef SIMDNORM_SIMDNORM_H
#define SIMDNORM_SIMDNORM_H

#include <stddef.h>
#include <stdint.h>

#include "simdnorm/version.h"

#if defined(SIMDNORM_STATIC)
#define SIMDNORM_API
#elif defined(__GNUC__)
#define SIMDNORM_API __attribute__((visibility("default")))
#else
#define SIMDNORM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- status ---------------------------------------------------------------------------------*/

typedef int32_t simdnorm_status;
enum {
  SIMDNORM_OK = 0,
  SIMDNORM_NULL_POINTER = 1,      /* a required pointer is null */
  SIMDNORM_INVALID_SHAPE = 2,     /* sizes disagree, or rows * cols does not fit in memory */
  SIMDNORM_INVALID_STRIDE = 3,    /* |row_stride| of an output is below its columns */
  SIMDNORM_OVERLAP = 4,           /* outputs share an element with each other or with an input */
  SIMDNORM_INVALID_EPSILON = 5,   /* epsilon is negative, NaN or infinite */
  SIMDNORM_INVALID_MOMENTUM = 6,  /* momentum is outside [0, 1] or NaN */
  SIMDNORM_INVALID_RANGE = 7,     /* feature range is not finite, or not low < high */
  SIMDNORM_INVALID_PADDING = 8,   /* padding of an unknown kind, of the wrong size, or not for this norm */
  SIMDNORM_INVALID_LENGTH = 9,    /* a length is negative or longer than its row or sequence */
  SIMDNORM_UNSUPPORTED_TYPE = 10, /* this element type has no kernel here */
  SIMDNORM_INVALID_STRUCT = 11,   /* struct_size is too small, or unknown trailing fields are set */
  SIMDNORM_INVALID_STATE = 12,    /* memory is not a state of this library, or of another shape */
  SIMDNORM_INVALID_EXECUTOR = 13, /* executor without a run function */
  SIMDNORM_EXECUTOR_FAILED = 14,  /* run() of the caller's executor reported failure */
  SIMDNORM_UNKNOWN_ISA = 15,      /* SIMDNORM_MAX_ISA or an argument names no instruction set */
  SIMDNORM_ISA_UNAVAILABLE = 16,  /* not compiled in, or this CPU or operating system lacks it */
  SIMDNORM_MISALIGNED = 17        /* a pointer is not aligned to its element type */
};

/* A short English sentence for a status; never null. */
SIMDNORM_API const char* simdnorm_status_string(simdnorm_status status);

/* The version of the library that runs, as "major.minor.patch". */
SIMDNORM_API const char* simdnorm_version(void);

/* ---- element types and views ----------------------------------------------------------------*/

typedef int32_t simdnorm_type;
enum { SIMDNORM_F32 = 1, SIMDNORM_F64 = 2, SIMDNORM_F16 = 3, SIMDNORM_BF16 = 4 };

/* rows x cols elements; element (i, j) is at data + i * row_stride + j. An input may have stride 0
 * (one row for all) or a negative one. rows or cols may be 0: then nothing is read. */
typedef struct simdnorm_const_matrix {
  const void* data;
  size_t rows, cols;
  ptrdiff_t row_stride;
  simdnorm_type type;
} simdnorm_const_matrix;

/* The same for an output; |row_stride| >= cols when rows > 1. */
typedef struct simdnorm_matrix {
  void* data;
  size_t rows, cols;
  ptrdiff_t row_stride;
  simdnorm_type type;
} simdnorm_matrix;

/* Contiguous elements. data == NULL means "not given" where a vector is optional. */
typedef struct simdnorm_const_vector {
  const void* data;
  size_t size;
  simdnorm_type type;
} simdnorm_const_vector;

typedef struct simdnorm_vector {
  void* data;
  size_t size;
  simdnorm_type type;
} simdnorm_vector;

/* ---- padding: which elements are real --------------------------------------------------------*/

typedef int32_t simdnorm_padding_kind;
enum {
  SIMDNORM_PADDING_NONE = 0,
  /* data: `size` == rows lengths; the first data[i] columns of row i are real. Row norms only. */
  SIMDNORM_PADDING_ROW_LENGTHS = 1,
  /* data: `size` == rows bytes; non-zero marks a real row. */
  SIMDNORM_PADDING_ROW_MASK = 2,
  /* The matrix is a [batch, tokens, features] tensor with rows == batch * tokens. data: `size` ==
   * batch lengths; the first data[b] tokens of sequence b are real. */
  SIMDNORM_PADDING_SEQUENCE_LENGTHS = 3
};

typedef int32_t simdnorm_index_type;
enum { SIMDNORM_I32 = 0, SIMDNORM_I64 = 1 };

typedef int32_t simdnorm_padding_fill;
enum {
  SIMDNORM_FILL_ZERO = 0, /* padded outputs become +0 */
  SIMDNORM_FILL_KEEP = 1  /* padded outputs are not written */
};

/* A padded element is never read: it may hold NaN. A zeroed struct means that all are real. */
typedef struct simdnorm_padding {
  const void* data;
  size_t size;
  size_t tokens; /* SEQUENCE_LENGTHS: tokens per sequence, padding included */
  simdnorm_padding_kind kind;
  simdnorm_index_type index_type; /* of lengths; a row mask is always bytes */
  simdnorm_padding_fill fill;
} simdnorm_padding;

/* ---- threads: only when asked ----------------------------------------------------------------*/

typedef void (*simdnorm_task)(void* arg, size_t index);

/* run() calls task(arg, i) exactly once for every i < count, on any threads, and returns 0 after
 * the last has ended. Any other value is reported as SIMDNORM_EXECUTOR_FAILED. A task must not wait
 * for another. A null executor: the calling thread does all the work. Same bits either way. */
typedef struct simdnorm_executor {
  void* context;
  size_t threads; /* how many tasks can run at once; 0 and 1 mean the calling thread alone */
  int (*run)(void* context, size_t count, simdnorm_task task, void* arg);
} simdnorm_executor;

/* ---- row-wise norms ----------------------------------------------------------------------------
 *
 * x and y have the same shape; y is x itself (same data and stride: in place), or shares no
 * element with it. Options may be null: defaults. */

typedef struct simdnorm_layer_norm_options {
  size_t struct_size;                /* sizeof(simdnorm_layer_norm_options) */
  double epsilon;                    /* >= 0; default 1e-5 */
  simdnorm_const_vector gamma;       /* [cols], optional: scale */
  simdnorm_const_vector beta;        /* [cols], optional: shift */
  simdnorm_vector mean;              /* [rows], optional output: mean of each row */
  simdnorm_vector rstd;              /* [rows], optional output: 1 / sqrt(variance + epsilon) */
  simdnorm_padding padding;          /* default: none */
  const simdnorm_executor* executor; /* default: the calling thread */
} simdnorm_layer_norm_options;

/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and variance (divided by n)
 * of each row over its real elements. Ba, Kiros, Hinton: Layer Normalization, 2016, arXiv
 * 1607.06450. A row of one repeated value gives exactly beta; a row with NaN or infinity gives
 * NaN; a row without real elements gives mean 0 and rstd 0. */
SIMDNORM_API simdnorm_status simdnorm_layer_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                 const simdnorm_layer_norm_options* options);

typedef struct simdnorm_rms_norm_options {
  size_t struct_size;
  double epsilon;               /* >= 0; default 1e-5 */
  simdnorm_const_vector weight; /* [cols], optional */
  simdnorm_vector rstd;         /* [rows], optional output: 1 / sqrt(mean(x^2) + epsilon) */
  simdnorm_padding padding;
  const simdnorm_executor* executor;
} simdnorm_rms_norm_options;

/* y = x / sqrt(mean(x^2) + epsilon) * weight. Zhang, Sennrich: Root Mean Square Layer
 * Normalization, 2019, arXiv 1910.07467. A row of zeros gives +0; in a row with an infinity that
 * is NaN and finite elements are 0; a row with NaN is NaN. */
SIMDNORM_API simdnorm_status simdnorm_rms_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                               const simdnorm_rms_norm_options* options);

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
} simdnorm_batch_norm_options;

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

/* ---- instruction sets ---------------------------------------------------------------------------
 *
 * The best available one is chosen at the first call. SIMDNORM_MAX_ISA (scalar, avx2, avx512 or
 * neon) in the environment, read once, is a ceiling; a name that is none of these makes every
 * computing call return SIMDNORM_UNKNOWN_ISA. All of this is process-wide. Every instruction set
 * gives the same bits. */

typedef int32_t simdnorm_isa;
enum { SIMDNORM_SCALAR = 0, SIMDNORM_AVX2 = 1, SIMDNORM_AVX512 = 2, SIMDNORM_NEON = 3 };
#define SIMDNORM_ISA_COUNT 4

typedef struct simdnorm_isa_state {
  simdnorm_isa isa;
  int32_t compiled;  /* this build of the library has its kernels */
  int32_t cpu;       /* the CPU has every instruction that they use */
  int32_t os;        /* the operating system saves its registers */
  int32_t available; /* all three */
} simdnorm_isa_state;

/* Fills states[SIMDNORM_ISA_COUNT], worst first. */
SIMDNORM_API void simdnorm_isa_list(simdnorm_isa_state* states);
/* "scalar", "avx2", "avx512", "neon", or null. */
SIMDNORM_API const char* simdnorm_isa_name(simdnorm_isa isa);
SIMDNORM_API simdnorm_status simdnorm_isa_from_name(const char* name, simdnorm_isa* out);
/* Which one calls use now. */
SIMDNORM_API simdnorm_status simdnorm_isa_active(simdnorm_isa* out);
/* Why: a sentence in static memory. */
SIMDNORM_API const char* simdnorm_isa_reason(void);
/* Sets the ceiling: the best available one at or below it. Names of another architecture leave
 * scalar. Replaces what SIMDNORM_MAX_ISA said. */
SIMDNORM_API simdnorm_status simdnorm_isa_limit(simdnorm_isa isa);
/* Exactly this one, or SIMDNORM_ISA_UNAVAILABLE and no change. */
SIMDNORM_API simdnorm_status simdnorm_isa_force(simdnorm_isa isa);
/* Back to the choice made at the first call. */
SIMDNORM_API void simdnorm_isa_reset(void);

/* ---- caches ---------------------------------------------------------------------------------------
 *
 * Outputs that do not fit the last-level cache are written past the caches (non-temporal stores):
 * twice as fast there, several times slower where they would fit. The border changes no bit of a
 * result. All of this is process-wide. */

/* An output of at least this many bytes is written past the caches. By default a quarter of the
 * last-level cache, of which at most 32 MiB are counted: a virtual machine may report a cache that it
 * shares with many others. */
SIMDNORM_API size_t simdnorm_stream_border(void);
/* Sets it: for a program that knows its share of the cache, and for measuring. SIZE_MAX: never past
 * the caches. 0: back to the default. */
SIMDNORM_API void simdnorm_stream_border_set(size_t bytes);

/* ---- option structs with their defaults ----------------------------------------------------------
 *
 * Start from these in C. struct_size lets the structs grow at their end without a new symbol: an
 * older caller's shorter struct is completed with defaults. */

#ifdef __cplusplus
#define SIMDNORM_ZERO_INIT \
  {}
#else
#define SIMDNORM_ZERO_INIT \
  { 0 }
#endif

static inline simdnorm_layer_norm_options simdnorm_layer_norm_defaults(void) {
  simdnorm_layer_norm_options options = SIMDNORM_ZERO_INIT;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  return options;
}

static inline simdnorm_rms_norm_options simdnorm_rms_norm_defaults(void) {
  simdnorm_rms_norm_options options = SIMDNORM_ZERO_INIT;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  return options;
}

static inline simdnorm_batch_norm_options simdnorm_batch_norm_defaults(void) {
  simdnorm_batch_norm_options options = SIMDNORM_ZERO_INIT;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  options.momentum = 0.1;
  return options;
}

static inline simdnorm_column_options simdnorm_column_defaults(void) {
  simdnorm_column_options options = SIMDNORM_ZERO_INIT;
  options.struct_size = sizeof options;
  return options;
}

static inline simdnorm_min_max_options simdnorm_min_max_defaults(void) {
  simdnorm_min_max_options options = SIMDNORM_ZERO_INIT;
  options.struct_size = sizeof options;
  options.high = 1.0;
  return options;
}

#undef SIMDNORM_ZERO_INIT

#ifdef __cplusplus
}
#endif

#endif

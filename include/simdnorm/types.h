/* SPDX-License-Identifier: Apache-2.0
 *
 * Status, element types, views, padding, executors: what every function takes.
 */
#ifndef SIMDNORM_TYPES_H
#define SIMDNORM_TYPES_H

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

/* Initializes a struct with zeros, in C and C++. */
#ifdef __cplusplus
#define SIMDNORM_ZEROS \
  {}
#else
#define SIMDNORM_ZEROS \
  { 0 }
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
  SIMDNORM_INVALID_LENGTH = 9,    /* a length or offset is negative, too large, or offsets fall */
  SIMDNORM_UNSUPPORTED_TYPE = 10, /* this element type has no kernel here */
  SIMDNORM_INVALID_STRUCT = 11,   /* struct_size is too small, or unknown trailing fields are set */
  SIMDNORM_INVALID_STATE = 12,    /* memory is not a state of this library, or of another shape */
  SIMDNORM_INVALID_EXECUTOR = 13, /* executor without a run function */
  SIMDNORM_EXECUTOR_FAILED = 14,  /* run() of the caller's executor reported failure */
  SIMDNORM_UNKNOWN_ISA = 15,      /* SIMDNORM_MAX_ISA or an argument names no instruction set */
  SIMDNORM_ISA_UNAVAILABLE = 16,  /* not compiled in, or this CPU or operating system lacks it */
  SIMDNORM_MISALIGNED = 17,       /* a pointer is not aligned to its element type */
  SIMDNORM_INVALID_ACTIVATION =
      18,                       /* an activation that this norm does not have, or a residual that it does not take */
  SIMDNORM_INVALID_WEIGHT = 19, /* a weight is negative, NaN or infinite */
  SIMDNORM_INVALID_OPTION = 20  /* an option is none of its values (rounding, quantization) */
};

/* A short English sentence for a status; never null. */
SIMDNORM_API const char* simdnorm_status_string(simdnorm_status status);

/* The version of the library that runs, as "major.minor.patch". */
SIMDNORM_API const char* simdnorm_version(void);

/* ---- element types and views ----------------------------------------------------------------*/

typedef int32_t simdnorm_type;
enum {
  SIMDNORM_F32 = 1,
  SIMDNORM_F64 = 2,
  SIMDNORM_F16 = 3,
  SIMDNORM_BF16 = 4,
  SIMDNORM_I8 = 5, /* from here on: quantized outputs alone */
  SIMDNORM_U8 = 6,
  SIMDNORM_F8_E4M3 = 7, /* OCP 8-bit floating point: 3 bits of mantissa, no infinity, to 448 (float8_e4m3fn) */
  SIMDNORM_F8_E5M2 = 8  /* 2 bits, to 57344 */
};

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

/* A tensor of 2 to 5 dimensions; element (i0, i1, ...) is at data + i0 * strides[0] + i1 * strides[1] + ...
 * Which dimensions must be contiguous each norm says; nothing is copied. */
#define SIMDNORM_MOST_DIMENSIONS 5
typedef struct simdnorm_const_tensor {
  const void* data;
  size_t sizes[SIMDNORM_MOST_DIMENSIONS];
  ptrdiff_t strides[SIMDNORM_MOST_DIMENSIONS];
  int32_t rank; /* how many of sizes and strides count */
  simdnorm_type type;
} simdnorm_const_tensor;

typedef struct simdnorm_tensor {
  void* data;
  size_t sizes[SIMDNORM_MOST_DIMENSIONS];
  ptrdiff_t strides[SIMDNORM_MOST_DIMENSIONS];
  int32_t rank;
  simdnorm_type type;
} simdnorm_tensor;

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

/* What may be done to a norm's outputs on the way out; NaN stays, and ReLU keeps -0. Each norm says which it has.
 * GELU: x * Phi(x), of the error
 * function. GELU_TANH: its approximation by tanh. SILU (swish): x / (1 + exp(-x)). */
typedef int32_t simdnorm_activation;
enum {
  SIMDNORM_ACTIVATION_NONE = 0,
  SIMDNORM_ACTIVATION_RELU = 1,
  SIMDNORM_ACTIVATION_GELU = 2,
  SIMDNORM_ACTIVATION_GELU_TANH = 3,
  SIMDNORM_ACTIVATION_SILU = 4
};

/* ---- padding: which elements are real ---------------------------------------------------------
 *
 * One description for all norms; docs/padding.md has pictures of what each kind means for each. */

typedef int32_t simdnorm_padding_kind;
enum {
  SIMDNORM_PADDING_NONE = 0,
  /* data: `size` == rows lengths; the first data[i] columns of row i are real. Row norms only. */
  SIMDNORM_PADDING_ROW_LENGTHS = 1,
  /* data: `size` == rows bytes; non-zero marks a real row. */
  SIMDNORM_PADDING_ROW_MASK = 2,
  /* The matrix is a [batch, tokens, features] tensor with rows == batch * tokens. data: `size` ==
   * batch lengths; the first data[b] tokens of sequence b are real. */
  SIMDNORM_PADDING_SEQUENCE_LENGTHS = 3,
  /* data: bits, `size` == rows; bit i % 8 of byte i / 8 (least significant first, as Arrow's) marks row i. */
  SIMDNORM_PADDING_ROW_MASK_BITS = 4,
  /* Sequences packed back to back (cu_seqlens). data: `size` == batch + 1 offsets, none below the one
   * before, in [0, rows]; rows [data[b], data[b + 1]) are sequence b, and all are real. Rows before the
   * first offset and from the last on are padding. */
  SIMDNORM_PADDING_OFFSETS = 5,
  /* data: `size` == rows * cols bytes, row after row; non-zero marks a real element. */
  SIMDNORM_PADDING_ELEMENT_MASK = 6,
  /* The same as bits, `size` == rows * cols; every row begins with a byte of its own: (cols + 7) / 8
   * bytes a row, and element (i, j) is bit j % 8 of byte j / 8 of row i. */
  SIMDNORM_PADDING_ELEMENT_MASK_BITS = 7
};

typedef int32_t simdnorm_index_type;
enum { SIMDNORM_I32 = 0, SIMDNORM_I64 = 1 };

typedef int32_t simdnorm_padding_fill;
enum {
  SIMDNORM_FILL_ZERO = 0, /* padded outputs become +0; int8 and uint8 ones their zero point */
  SIMDNORM_FILL_KEEP = 1  /* padded outputs keep what they hold */
};

/* A padded element is never read: it may hold NaN. A zeroed struct means that all are real. */
typedef struct simdnorm_padding {
  const void* data;
  size_t size;
  size_t tokens; /* SEQUENCE_LENGTHS: tokens per sequence, padding included */
  simdnorm_padding_kind kind;
  simdnorm_index_type index_type; /* of lengths and offsets */
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

#ifdef __cplusplus
}
#endif

#endif

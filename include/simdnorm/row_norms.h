/* SPDX-License-Identifier: Apache-2.0
 *
 * Norms whose statistics belong to one row.
 *
 * x, residual, gate, sum and y are each f32, bf16 or f16, and so are gamma, beta (weight) and bias; mean, rstd and norm
 * are f32. Elements become floats, exactly; every output is rounded once, to nearest even. y of all but l2_norm may
 * also have one byte: int8, uint8, E4M3 or E5M2 (simdnorm_quantization). Else SIMDNORM_UNSUPPORTED_TYPE.
 *
 * f64: x, y, residual, gate and sum are f64, gamma, beta (weight) and bias f64 or f32, mean, rstd and norm f64; h of a
 * residual, the norm before an activation, and what that gives before a gate, are each rounded to f64.
 *
 * x and y have the same shape; y is x itself (same data and stride, elements of one size: in place), or shares no
 * element with it. Options may be null: defaults.
 */
#ifndef SIMDNORM_ROW_NORMS_H
#define SIMDNORM_ROW_NORMS_H

#include "simdnorm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What y is of whose elements have one byte. I8, U8: saturate(round(v / scale) + zero_point), v the output in f32,
 * rounded to nearest even (ONNX QuantizeLinear); v = NaN gives zero_point, and padding is filled with it. F8_E4M3,
 * F8_E5M2: v / scale (in f32), rounded to nearest even and saturated, infinity too; NaN is 0x7f or 0x7e.
 * With row_scale each row has its own scale, found in the same pass and written there: the greatest |v| of its
 * real elements / 127 (448, 57344), or 1 where that is 0, NaN where v is, and 0 for a row without real elements
 * (dynamic quantization: symmetric with I8 and zero_point 0, or U8 and 128). */
typedef struct simdnorm_quantization {
  size_t struct_size;        /* sizeof(simdnorm_quantization) */
  float scale;               /* > 0 and finite; not read where row_scale is given (else SIMDNORM_INVALID_OPTION) */
  int32_t zero_point;        /* a value of y's type, of F8 0 (else SIMDNORM_INVALID_OPTION) */
  simdnorm_vector row_scale; /* f32 [rows], optional output */
} simdnorm_quantization;

static inline simdnorm_quantization simdnorm_quantization_defaults(void) {
  simdnorm_quantization options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.scale = 1.0f;
  return options;
}

typedef struct simdnorm_layer_norm_options {
  size_t struct_size;                        /* sizeof(simdnorm_layer_norm_options) */
  double epsilon;                            /* >= 0; default 1e-5 */
  simdnorm_const_vector gamma;               /* [cols], optional: scale */
  simdnorm_const_vector beta;                /* [cols], optional: shift */
  simdnorm_vector mean;                      /* [rows], optional output: mean of each row */
  simdnorm_vector rstd;                      /* [rows], optional output: 1 / sqrt(variance + epsilon) */
  simdnorm_padding padding;                  /* default: none */
  const simdnorm_executor* executor;         /* default: the calling thread */
  simdnorm_activation activation;            /* default: none; y = activation(norm) */
  int32_t reserved;                          /* 0 */
  const simdnorm_quantization* quantization; /* of y with one byte an element, and of no other */
} simdnorm_layer_norm_options;

static inline simdnorm_layer_norm_options simdnorm_layer_norm_defaults(void) {
  simdnorm_layer_norm_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  return options;
}

/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and variance (divided by n)
 * of each row over its real elements. Ba, Kiros, Hinton: Layer Normalization, 2016, arXiv
 * 1607.06450. A row of one repeated value gives exactly beta; a row with NaN or infinity gives
 * NaN; a row without real elements gives mean 0 and rstd 0. */
SIMDNORM_API simdnorm_status simdnorm_layer_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                                 const simdnorm_layer_norm_options* options);

/* When an output is rounded: once, with its weight, or first to the type of x, before the weight multiplies it, as
 * Llama does (and then to the type of y). For x of f32 both are the same. */
typedef int32_t simdnorm_rounding;
enum { SIMDNORM_ROUND_ONCE = 0, SIMDNORM_ROUND_BEFORE_WEIGHT = 1 };

typedef struct simdnorm_rms_norm_options {
  size_t struct_size;
  double epsilon;               /* >= 0; default 1e-5 */
  simdnorm_const_vector weight; /* [cols], optional */
  simdnorm_vector rstd;         /* [rows], optional output: 1 / sqrt(mean(x^2) + epsilon) */
  simdnorm_padding padding;
  const simdnorm_executor* executor;
  simdnorm_activation activation; /* default: none; y = activation(norm) */
  simdnorm_rounding rounding;     /* default: once */
  int32_t add_unit_offset;        /* not 0: x_hat * (1 + weight), as Gemma; x_hat + x_hat * weight, rounded once */
  int32_t reserved;               /* 0 */
  const simdnorm_quantization* quantization; /* of y with one byte an element, and of no other */
} simdnorm_rms_norm_options;

static inline simdnorm_rms_norm_options simdnorm_rms_norm_defaults(void) {
  simdnorm_rms_norm_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  return options;
}

/* y = x / sqrt(mean(x^2) + epsilon) * weight. Zhang, Sennrich: Root Mean Square Layer
 * Normalization, 2019, arXiv 1910.07467. A row of zeros gives +0; in a row with an infinity that
 * is NaN and finite elements are 0; a row with NaN is NaN. */
SIMDNORM_API simdnorm_status simdnorm_rms_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                               const simdnorm_rms_norm_options* options);

typedef struct simdnorm_l2_norm_options {
  size_t struct_size;
  double epsilon;       /* >= 0; default 1e-12: the least divisor */
  simdnorm_vector norm; /* [rows], optional output: sqrt(sum(x^2)) */
  simdnorm_padding padding;
  const simdnorm_executor* executor;
} simdnorm_l2_norm_options;

static inline simdnorm_l2_norm_options simdnorm_l2_norm_defaults(void) {
  simdnorm_l2_norm_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.epsilon = 1e-12;
  return options;
}

/* y = x / max(sqrt(sum(x^2)), epsilon) over the real elements of each row: unit vectors, of embeddings or of
 * queries and keys; torch.nn.functional.normalize. A row of zeros gives +0, with epsilon 0 too; in a row
 * with an infinity that is NaN and finite elements are 0; a row with NaN is NaN. */
SIMDNORM_API simdnorm_status simdnorm_l2_norm(const simdnorm_const_matrix* x, const simdnorm_matrix* y,
                                              const simdnorm_l2_norm_options* options);

/* ---- with a residual: Add & Norm ----------------------------------------------------------------
 *
 * h = (x + bias) + residual, in f32; y = norm(h), of h before it is rounded to the type of the sum. With sum = residual
 * (or x), y and the new residual stream come of one pass (pre-norm); with sum = NULL h is not kept (post-norm: y is the
 * next input). x, residual, sum and y have one shape. bias: [cols], or empty. sum may be x or residual itself, y may be
 * x or residual itself (same data and stride, elements of one size); else outputs share no element with inputs or with
 * each other. Padding is that of the norm, and what it says of y's padded elements holds for those of sum. Vaswani et
 * al.: Attention Is All You Need, 2017, arXiv 1706.03762; Xiong et al., 2020, arXiv 2002.04745 (pre-norm). */
SIMDNORM_API simdnorm_status simdnorm_add_layer_norm(const simdnorm_const_matrix* x,
                                                     const simdnorm_const_matrix* residual, simdnorm_const_vector bias,
                                                     const simdnorm_matrix* sum, const simdnorm_matrix* y,
                                                     const simdnorm_layer_norm_options* options);
SIMDNORM_API simdnorm_status simdnorm_add_rms_norm(const simdnorm_const_matrix* x,
                                                   const simdnorm_const_matrix* residual, simdnorm_const_vector bias,
                                                   const simdnorm_matrix* sum, const simdnorm_matrix* y,
                                                   const simdnorm_rms_norm_options* options);

/* ---- with a gate --------------------------------------------------------------------------------
 *
 * y = rms_norm(x) * silu(z), silu(z) = z / (1 + exp(-z)): the norm before the gate, as in Qwen3-Next and in Mamba-2's
 * code with norm_before_gate (Dao, Gu, 2024, arXiv 2405.21060); that one's default, rms_norm(x * silu(z)), is another
 * function. z has the shape of x, y may be x or z itself (same data and stride). The options' activation comes
 * between the norm and the gate. */
SIMDNORM_API simdnorm_status simdnorm_gated_rms_norm(const simdnorm_const_matrix* x, const simdnorm_const_matrix* z,
                                                     const simdnorm_matrix* y,
                                                     const simdnorm_rms_norm_options* options);

/* ---- of tensors ----------------------------------------------------------------------------------
 *
 * The norms over the last of 2 to 5 dimensions, which must be contiguous (stride 1; SIMDNORM_INVALID_STRIDE);
 * the others lie as they like, nothing is copied: QK norm of a packed [batch, tokens, 3, heads, features] buffer is
 * a call for the view of q and one for that of k. y has the sizes of x; it is x itself (same data, same
 * strides), or shares no element with it: interleaved views, as q, k and v, do not. y's rows must not run into
 * each other, dimension within dimension (SIMDNORM_INVALID_STRIDE). Rows are counted as the tensor's
 * indices run, the last but one fastest; mean, rstd and norm are [rows].
 *
 * Padding: the first two dimensions are batch and tokens, where there are three or more, else the first is the
 * tokens. Masks of rows, sequence lengths and offsets are those of tokens, batch * tokens of them, and hold for
 * all rows (heads) of a token; row lengths and element masks are of every row. */
SIMDNORM_API simdnorm_status simdnorm_layer_norm_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                    const simdnorm_layer_norm_options* options);
SIMDNORM_API simdnorm_status simdnorm_rms_norm_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                  const simdnorm_rms_norm_options* options);
SIMDNORM_API simdnorm_status simdnorm_l2_norm_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                 const simdnorm_l2_norm_options* options);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Norms of tensors [batch, channels, spatial...] with 2 to 5 dimensions, in this order whatever the memory
 * looks like: strides tell that. Two layouts are known, and x, y and residual have the same one:
 *
 *   channels first  (NCHW) the spatial dimensions are contiguous; batch and channels have any strides
 *   channels last   (NHWC) channels are contiguous, and the spatial dimensions can be merged into rows of one
 *                   stride; for batch norm, batch and spatial dimensions can
 *
 * Strides of dimensions of size 1 do not count. A tensor of both layouts is taken as channels first if it has
 * more than one spatial position, else as channels last. Everything else is SIMDNORM_INVALID_STRIDE, as is an
 * output whose strides let elements meet. y is x (same data and strides), or shares no element with it.
 *
 * f32, bf16 and f16; f64. Of the first three x, y, residual, gamma, beta and a given mean and variance are each of its
 * own type (y is x, then, if their elements have the same size); other vectors are f32. Statistics are those of the
 * same values in f32, y is f32's rounded once to nearest even. Beside an x of f64, y and residual are f64, gamma and
 * beta f64 or f32, other vectors f64. Else SIMDNORM_UNSUPPORTED_TYPE.
 *
 * Padding: a position is one of batch * spatial. SEQUENCE_LENGTHS (size == batch, tokens == spatial
 * positions): the first data[n] positions of sample n are real. ROW_MASK, ROW_MASK_BITS (size == batch *
 * positions): a row is a position. ELEMENT_MASK (size == elements) and ELEMENT_MASK_BITS are in the order that
 * memory has without gaps: channels first [batch, channels, positions], of whose bits every (sample, channel) begins
 * with a byte of its own; channels last [batch, positions, channels], where every position does. OFFSETS: channels
 * last with a batch of 1 only; rows are positions. docs/padding.md has pictures.
 */
#ifndef SIMDNORM_CHANNEL_NORMS_H
#define SIMDNORM_CHANNEL_NORMS_H

#include "simdnorm/column_norms.h"
#include "simdnorm/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Batch norm as in column_norms.h, with the statistics of a channel over batch and spatial dimensions; gamma,
 * beta, running statistics, mean and rstd are [channels]. y = activation(batch_norm(x) + residual). Channels last gives
 * the bits of the [batch * spatial, channels] matrix. */
SIMDNORM_API simdnorm_status simdnorm_batch_norm_training_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                             const simdnorm_batch_norm_options* options);
/* The same with given mean and variance, [channels] each. */
SIMDNORM_API simdnorm_status simdnorm_batch_norm_inference_nd(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                              simdnorm_const_vector mean,
                                                              simdnorm_const_vector variance,
                                                              const simdnorm_batch_norm_options* options);

typedef struct simdnorm_group_norm_options {
  size_t struct_size;
  double epsilon;              /* >= 0; default 1e-5 */
  simdnorm_const_vector gamma; /* [channels], optional */
  simdnorm_const_vector beta;  /* [channels], optional */
  simdnorm_vector mean;        /* [batch * groups], of OFFSETS [sequences * groups], optional output */
  simdnorm_vector rstd;        /* the same shape, optional output: 1 / sqrt(variance + epsilon) */
  simdnorm_padding padding;
  const simdnorm_executor* executor;
  simdnorm_activation activation; /* none (default) or ReLU */
} simdnorm_group_norm_options;

static inline simdnorm_group_norm_options simdnorm_group_norm_defaults(void) {
  simdnorm_group_norm_options options = SIMDNORM_ZEROS;
  options.struct_size = sizeof options;
  options.epsilon = 1e-5;
  return options;
}

/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and variance (divided by the count) of each
 * sample's groups of channels / groups channels, over all their positions; gamma and beta belong to a channel.
 * groups must divide channels (SIMDNORM_INVALID_SHAPE). Wu, He: Group Normalization, 2018, arXiv 1803.08494. */
SIMDNORM_API simdnorm_status simdnorm_group_norm(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                 size_t groups, const simdnorm_group_norm_options* options);
/* Every channel of every sample by its own statistics: groups == channels. Ulyanov, Vedaldi, Lempitsky: Instance
 * Normalization, 2016, arXiv 1607.08022. */
SIMDNORM_API simdnorm_status simdnorm_instance_norm(const simdnorm_const_tensor* x, const simdnorm_tensor* y,
                                                    const simdnorm_group_norm_options* options);

#ifdef __cplusplus
}
#endif

#endif

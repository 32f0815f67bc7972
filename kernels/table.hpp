// SPDX-License-Identifier: Apache-2.0
//
// What runtime/ and the kernels share: plain structs of arguments and the table of function
// pointers. Both sides of the one law include this file, so it holds data only: no inline
// function, no xsimd, no standard container.
//
// A column's or a channel's x_type, y_type and residual_type are f32, bf16 or f16. channel_moments alone looks at them:
// the other kernels are called with f32, tile by tile where it is something else (runtime/tiles.hpp).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "simdnorm/simdnorm.h"

namespace simdnorm {

// Rows [row_first, row_last) x columns [col_first, col_last) of one call.
struct block {
  size_t row_first, row_last;
  size_t col_first, col_last;
};

// One long row over several threads: in turn, `sum_chunks` for blocks of columns that begin at multiples of
// chunk_elements, `finish` once, and, unless that has set `written`, `write` for any blocks of columns.
enum : size_t { chunk_elements = 4096, most_chunks = 512 };

// Of rows of so many f32 and less a lane is a row (row/tiny_rows.hpp).
enum : size_t { tiny_columns = 16 };
struct row_split {
  enum { sum_chunks, finish, write } step;
  bool written;
  double sums[most_chunks];
  double squares[most_chunks];
  float parameters[4];
};

// Rows of a tensor, in row order: the last of the dimensions runs fastest. No two dimensions are one.
struct row_walk {
  size_t dimensions;
  size_t sizes[4];
  ptrdiff_t x_strides[4], y_strides[4];
  size_t rows_per_token;  // what padding says of a row it says of a token: of so many rows (heads)
  bool aligned;           // all strides of y are whole registers of any instruction set
};

// A checked row-wise call; shared by all its blocks.
struct row_norm_arguments {
  const void* x;
  void* y;
  ptrdiff_t x_stride, y_stride;
  size_t cols;
  const void* gamma;                    // weight of rms_norm; null: ones
  const void* beta;                     // null: zeros
  simdnorm_type gamma_type, beta_type;  // f32, or that of x
  float* mean;                          // null: not wanted
  float* rstd;                          // null: not wanted; of l2_norm, where norms go
  double epsilon;
  simdnorm_padding padding;
  bool stream;      // y is too large for the caches
  uint8_t y_bytes;  // of rows_in_bytes: of an element of y, and what its padding is filled with
  uint8_t fill_byte;
  size_t rows_together;  // short rows: how many make a batch (rows_together_of); 0: long rows
  row_split* split;      // of one row that is done in parts; null: whole rows
  const row_walk* walk;  // null: rows are a stride apart; else the strides are those of its last dimension
};

// docs/numerics.md, "Activations". exp and erf are no activations; the table has them so that tests reach them.
enum class elementwise_function { none, relu, gelu_erf, gelu_tanh, silu, sigmoid, tanh, erf, exp };

// What y is of whose elements have one byte: round(v / scale) + zero_point, cut to [least, most]. With a scale of its
// own, a row's greatest size becomes `peak`.
struct quantized_type {
  float scale, zero_point, least, most, peak;
};

// A row norm with more before and behind it: y = function(norm(x + bias + residual)) * silu(gate).
struct fused_row_arguments : row_norm_arguments {
  const void* residual;  // null: none, and no bias
  const void* bias;      // [cols]; null: none
  void* sum;             // where x + bias + residual goes; null: not wanted
  const void* gate;      // null: none
  ptrdiff_t residual_stride, sum_stride, gate_stride;
  elementwise_function function;
  bool unit_offset;  // of rms_norm: gamma is 1 + weight
  bool round_first;  // of rms_norm: outputs are rounded to x_type before they are multiplied by gamma
  bool mixed;        // not all of this, or of gamma and beta, is f32; or y has one byte
  simdnorm_type x_type, y_type, residual_type, bias_type, sum_type, gate_type;
  quantized_type quantized;
  float* row_scale;  // where scales of rows go, of y with one byte; null: there is one scale
};

// A checked row norm of doubles: y = function(norm(x + bias + residual)) * silu(gate). Rows are whole; any padding,
// that of elements too.
struct double_row_arguments {
  const double* x;
  double* y;
  ptrdiff_t x_stride, y_stride;
  size_t cols;
  const void* gamma;                    // weight of rms_norm; null: ones
  const void* beta;                     // null: zeros
  simdnorm_type gamma_type, beta_type;  // f64 or f32
  double* mean;                         // null: not wanted
  double* rstd;                         // null: not wanted; of l2_norm, where norms go
  double epsilon;
  simdnorm_padding padding;
  bool stream;              // y goes past the caches
  const row_walk* walk;     // as in row_norm_arguments
  const double* residual;   // null: none, and no bias
  const void* bias;         // [cols]; null: none
  simdnorm_type bias_type;  // f64 or f32
  double* sum;              // where x + bias + residual goes; null: not wanted
  const double* gate;       // null: none
  ptrdiff_t residual_stride, sum_stride, gate_stride;
  elementwise_function function;
  bool unit_offset;  // of rms_norm: gamma is 1 + weight
};

// Valid rows are added in blocks of this many to spans of this many blocks, and spans are folded into
// the total: the sizes are part of the definition of the result (docs/numerics.md).
enum : size_t { rows_per_block = 64, blocks_per_span = 64, rows_per_span = rows_per_block * blocks_per_span };

// Column-wise work is done in strips of at most this many columns, so that a strip's parameters fit
// on the stack of the caller (column_parameters below: 49 bytes a column).
enum : size_t { columns_per_strip = 256 };

// Moments and extremes of the columns of a strip; entry 0 belongs to the strip's first column. Without
// gaps every column has seen the same rows, hence one count.
struct column_fold {
  uint64_t count;
  double* mean;  // null, and m2: not wanted
  double* m2;
  float* min;  // null, and max: not wanted
  float* max;
  double* values = nullptr;  // with gaps or weights: how many numbers each column has,
  double* weight = nullptr;  // and the sum of their weights
};

// An open span of a strip: with d = x - shift, sum(d) and sum(d^2) of its rows.
struct column_span {
  uint64_t count;
  float* shift;
  double* sum;
  double* squares;
  double* values = nullptr;  // as above
  double* weight = nullptr;
};

// Elements that do not count, beside padded rows: where an element mask says so (`padding` is of one of its
// two kinds, of `cols` columns a row), and where x is NaN if that means missing.
struct column_gaps {
  size_t cols;
  bool nan_is_missing;
};

// Adds the next `valid_rows` valid rows, from row block.row_first on (rows before block.row_last are all
// there is), to the open span, one block of rows_per_block at a time; the last may be shorter. A span
// that is full is folded into `total`. When the rows end, an open span is folded too if it is to be
// closed (and `open` is left as it was), else it is in `open`. Extremes go into `total` at once.
struct column_moments_arguments {
  const void* x;
  ptrdiff_t x_stride;
  simdnorm_padding padding;
  size_t valid_rows;
  column_span* open;  // null: empty
  bool close;
  column_fold* total;
  bool far;  // x comes from memory, not from a cache
  simdnorm_type x_type = SIMDNORM_F32;
};

// The same with gaps and weights: every column has its own counts, in `open` and in `total`.
struct column_moments_masked_arguments {
  column_moments_arguments rows;
  column_gaps gaps;
  const float* weights;  // of all rows of the matrix; null: ones. A row of weight 0 counts for nothing
};

// min[j] = min(min[j], ...) over the valid rows of the block. NaN in a column gives NaN. The caller
// starts with +inf and -inf; zeros come out as +0 or -0 (the caller settles on +0).
struct column_extremes_arguments {
  const void* x;
  ptrdiff_t x_stride;
  simdnorm_padding padding;
  float* min;
  float* max;
  column_gaps gaps;
  simdnorm_type x_type = SIMDNORM_F32;
};

// scale = f32(exact scale * below_one): nearer to 0 than the exact scale, so that scale_low has its
// sign and no infinity of x meets one of the other sign.
constexpr double below_one = 1.0 - 0x1p-23;

// What becomes of x_hat.
enum class column_output : uint8_t {
  bare,     // y = x_hat
  affine,   // y = x_hat * gamma + beta
  clipped,  // y = min(max(x_hat, beta), gamma); NaN stays
};

// x_hat = (x - shift) * (scale + scale_low) + offset, and y as `output` says.
// A column with exact[j] != 0 is computed from the doubles instead, y = (x - exact_shift) *
// exact_scale + exact_offset: its f32 parameters would overflow, underflow or lose the result.
struct column_parameters {
  float shift[columns_per_strip];
  float scale[columns_per_strip];
  float scale_low[columns_per_strip];
  float offset[columns_per_strip];
  float gamma[columns_per_strip];
  float beta[columns_per_strip];
  double exact_shift[columns_per_strip];
  double exact_scale[columns_per_strip];
  double exact_offset[columns_per_strip];
  uint8_t exact[columns_per_strip];
  bool any_exact;
  column_output output;
};

struct column_affine_arguments {
  const void* x;
  void* y;
  ptrdiff_t x_stride, y_stride;
  simdnorm_padding padding;
  const column_parameters* parameters;  // entry 0 belongs to block.col_first
  bool stream;                          // y is too large for the caches
  column_gaps gaps{};                   // nan_is_missing: NaN is common, here
  simdnorm_type x_type = SIMDNORM_F32, y_type = SIMDNORM_F32;
};

// parameters of y = (x - mean) / sqrt(variance + epsilon) * gamma + beta for a strip, from its fold or,
// without one, from given statistics; and what training tells of them. But for the fold all arrays are
// whole; null: not wanted, gamma of ones, beta of zeros. What is given is f32, bf16 or f16.
struct column_normalizer_arguments {
  const column_fold* fold;
  simdnorm_const_vector given_mean;
  simdnorm_const_vector given_variance;
  simdnorm_const_vector gamma;
  simdnorm_const_vector beta;
  double epsilon;
  float* mean;
  float* rstd;
  float* running_mean;
  float* running_variance;
  double momentum;
  bool biased;  // the running variance is divided by n, not n - 1
  column_parameters* parameters;
};

// to[i] = from[i] for n elements, and as many of each of `rows` rows; one of the types is f32, or both; from and to are
// apart. A NaN that is narrowed is canonical; one that is widened keeps its payload. Takes no notice of the block.
struct convert_arguments {
  const void* from;
  void* to;
  size_t n;
  simdnorm_type from_type, to_type;
  size_t rows = 1;
  ptrdiff_t from_stride = 0, to_stride = 0;
  ptrdiff_t fetch = 0;  // so many elements further on `from` is fetched ahead; 0: not
  bool stream = false;  // past the caches, where whole lines are written
};

// y[j] = function(x[j]) for the columns of the block; y may be x.
struct elementwise_arguments {
  const float* x;
  float* y;
  elementwise_function function;
};

// Which elements of [batch, channels, spatial] are real. Plane (set, plane) has the entry first + set * set_step +
// plane * plane_step: of lengths (its leading real elements), or where its bytes or bits begin.
struct channel_mask {
  enum kind_of : int32_t { none, lengths, bytes, bits };
  kind_of kind;
  simdnorm_index_type index_type;
  const void* data;
  size_t first, set_step, plane_step;
  size_t skipped;  // of lengths: what is called a plane begins so many elements after it
};

// What a mask that all sets share leaves of their planes: so many planes, up to the last that has a real element, of so
// many elements, up to the last real one of any plane, and how many are real. `known`: it has been found.
struct real_planes {
  size_t planes, size, count;
  bool known;
};

// One long set over several threads: in turn `start`, which says how many chunks there are; `sum_chunks` for chunks
// [block.col_first, block.col_last), where entry 0 is chunk `first`; and, with all of them in entry 0, `finish`.
struct channel_split {
  enum { start, sum_chunks, finish } step;
  size_t chunks, first;
  float shift;
  double sums[most_chunks];
  double squares[most_chunks];
  uint64_t counts[most_chunks];
};

// Of sets of planes of `size` contiguous elements, plane p of set s at x + s * set_stride + p * plane_stride; entry 0
// of the outputs belongs to set block.row_first.
struct channel_moments_arguments {
  const void* x;
  ptrdiff_t set_stride, plane_stride;
  size_t planes, size;
  channel_mask mask;
  double* mean;
  double* m2;
  uint64_t* count;
  channel_split* split;  // of one set that is done in parts; null: whole sets
  simdnorm_type x_type = SIMDNORM_F32;
  real_planes* real = nullptr;  // kept for further calls under the same mask; null: there are none
};

struct channel_strides {
  ptrdiff_t batch, channel;
};

// Planes of block.row_first to row_last of the batch and of channels block.col_first to col_last.
struct channel_affine_arguments {
  const void* x;
  void* y;
  const void* residual;  // null: none
  channel_strides x_strides, y_strides, residual_strides;
  size_t size;
  const column_parameters* parameters;
  size_t parameter;   // entry of block.col_first
  channel_mask mask;  // a set is a channel, a plane one of the batch
  simdnorm_padding_fill fill;
  bool relu;
  bool stream;      // y goes past the caches where its lines allow it, and x is fetched this far ahead:
  ptrdiff_t fetch;  // elements
  simdnorm_type x_type = SIMDNORM_F32, y_type = SIMDNORM_F32, residual_type = SIMDNORM_F32;
};

// Channels last, rows and columns of a matrix: as column_affine_arguments, with what is fused.
struct channel_rows_affine_arguments {
  const void* x;
  void* y;
  const void* residual;  // null: none
  ptrdiff_t x_stride, y_stride, residual_stride;
  simdnorm_padding padding;
  const column_parameters* parameters;
  bool relu;
  size_t mask_cols;  // of an element mask
  simdnorm_type x_type = SIMDNORM_F32, y_type = SIMDNORM_F32, residual_type = SIMDNORM_F32;
};

// Columns of doubles, in strips of at most so many.
enum : size_t { double_columns_per_strip = 64 };

// What is known of a strip's columns. Mean and variance are pairs, of x * factor, a power of two.
struct double_columns {
  uint64_t count[double_columns_per_strip];  // real elements
  double weight[double_columns_per_strip];   // their weights' sum, a pair, in units of double_gaps::weight_unit
  double weight_low[double_columns_per_strip];
  double least[double_columns_per_strip], greatest[double_columns_per_strip];
  double mean[double_columns_per_strip], mean_low[double_columns_per_strip];
  double variance[double_columns_per_strip], variance_low[double_columns_per_strip];
  double factor[double_columns_per_strip];
  uint8_t finite[double_columns_per_strip], constant[double_columns_per_strip];
  // And what becomes of them: x_hat = (x * factor - center) * (high + low) + offset.
  double center[double_columns_per_strip], high[double_columns_per_strip], low[double_columns_per_strip];
  double offset[double_columns_per_strip], gamma[double_columns_per_strip], beta[double_columns_per_strip];
};

// Elements that do not count, beside padded rows. Of the mask, a plane is a row, and there is one set.
struct double_gaps {
  channel_mask mask;
  bool nan_is_missing;         // of moments
  const void* weights;         // of rows; null: ones. A row of weight 0 counts for nothing
  simdnorm_type weights_type;  // f64 or f32
  double weight_unit;          // a power of two
};

// Of column_moments (over the rows of the block, into columns) and of column_affine (y from columns).
//
// Columns may be parts of sets: of set_cols adjacent ones each, moments are those of the set. A block of more columns
// than a strip's is one set, and goes row by row if by_rows says so: planes, which are rows of many columns.
struct double_column_arguments {
  const double* x;
  double* y;
  const double* residual;  // null: none
  ptrdiff_t x_stride, y_stride, residual_stride;
  simdnorm_padding padding;  // of rows
  double_gaps gaps;
  double_columns* columns;  // entry 0 belongs to block.col_first; of a set that is all of the block, that of each row
                            // (by_rows), or every one
  size_t set_cols;
  bool by_rows;
  bool extremes_alone;
  bool planes;  // of column_affine: all columns have the parameters of `entry`
  size_t entry;
  bool clip;  // y = min(max(x_hat, beta), gamma), NaN kept; else y = x_hat * gamma + beta
  bool relu;
};

// Parameters from the strip's moments (batch), from a given mean and variance, one and two (given), and of scalers:
// standardize (one: mean, two: scale), max-abs (two: scale), and, with `range`, min-max (one: min, two: max) to
// [offset, high].
enum class double_parameters : uint8_t { batch, given, forward, backward };
struct double_normalizer_arguments {
  double_columns* columns;
  double_parameters what;
  bool range;
  bool biased;  // as in column_normalizer_arguments, as what follows
  const double* one;
  const double* two;
  double offset, high;
  double epsilon, momentum;
  const void* gamma;
  const void* beta;
  simdnorm_type gamma_type, beta_type;  // f64 or f32
  double* mean;
  double* rstd;
  double* running_mean;
  double* running_variance;
};

struct kernel_table {
#define SIMDNORM_KERNEL(family, dtype, arguments) void (*family##_##dtype)(const arguments&, const block&) noexcept;
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL
};

}  // namespace simdnorm

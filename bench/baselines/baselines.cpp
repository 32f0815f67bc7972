// SPDX-License-Identifier: Apache-2.0
//
// What an engineer writes who knows the formulas and cares, but does not write SIMD: two passes,
// f32 accumulators, memory walked in order, restrict where it holds. Compiled three times (see
// baselines.hpp); include nothing here that has inline functions with linkage.
#ifndef SIMDNORM_BASELINE
#error "compile with -DSIMDNORM_BASELINE=textbook, autovec or autovec_fast"
#endif

#include "baselines.hpp"

#include <math.h>

#include "statistics.hpp"

namespace simdnorm_baselines::SIMDNORM_BASELINE {
namespace {

void layer_norm_row(const float* __restrict x, float* __restrict y, size_t cols, const float* __restrict gamma,
                    const float* __restrict beta, float epsilon) {
  float sum = 0;
  for (size_t j = 0; j < cols; ++j) sum += x[j];
  const float mean = sum / static_cast<float>(cols);
  float squares = 0;
  for (size_t j = 0; j < cols; ++j) {
    const float d = x[j] - mean;
    squares += d * d;
  }
  const float rstd = 1.0f / sqrtf(squares / static_cast<float>(cols) + epsilon);
  for (size_t j = 0; j < cols; ++j) y[j] = (x[j] - mean) * rstd * gamma[j] + beta[j];
}

void zero_row(float* y, size_t cols) {
  for (size_t j = 0; j < cols; ++j) y[j] = 0;
}

void layer_norm(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                float epsilon) {
  for (size_t i = 0; i < rows; ++i) layer_norm_row(x + i * cols, y + i * cols, cols, gamma, beta, epsilon);
}

void layer_norm_row_mask(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                         float epsilon, const uint8_t* mask) {
  for (size_t i = 0; i < rows; ++i) {
    if (mask[i]) {
      layer_norm_row(x + i * cols, y + i * cols, cols, gamma, beta, epsilon);
    } else {
      zero_row(y + i * cols, cols);
    }
  }
}

void layer_norm_row_lengths(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                            float epsilon, const int32_t* lengths) {
  for (size_t i = 0; i < rows; ++i) {
    const size_t n = static_cast<size_t>(lengths[i]);
    if (n > 0) layer_norm_row(x + i * cols, y + i * cols, n, gamma, beta, epsilon);
    zero_row(y + i * cols + n, cols - n);
  }
}

void rms_norm(const float* x, float* y, size_t rows, size_t cols, const float* __restrict weight, float epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    float squares = 0;
    for (size_t j = 0; j < cols; ++j) squares += in[j] * in[j];
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(cols) + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = in[j] * rstd * weight[j];
  }
}

void l2_norm(const float* x, float* y, size_t rows, size_t cols, float epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    float squares = 0;
    for (size_t j = 0; j < cols; ++j) squares += in[j] * in[j];
    const float norm = sqrtf(squares);
    const float scale = 1.0f / (norm > epsilon ? norm : epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = in[j] * scale;
  }
}

void layer_norm_element_mask(const float* x, float* y, size_t rows, size_t cols, const float* __restrict gamma,
                             const float* __restrict beta, float epsilon, const uint8_t* mask) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    const uint8_t* __restrict real = mask + i * cols;
    float sum = 0;
    float count = 0;
    for (size_t j = 0; j < cols; ++j) {
      sum += real[j] ? in[j] : 0.0f;
      count += real[j] ? 1.0f : 0.0f;
    }
    const float n = count > 0 ? count : 1.0f;
    const float mean = sum / n;
    float squares = 0;
    for (size_t j = 0; j < cols; ++j) {
      const float d = real[j] ? in[j] - mean : 0.0f;
      squares += d * d;
    }
    const float rstd = 1.0f / sqrtf(squares / n + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = real[j] ? (in[j] - mean) * rstd * gamma[j] + beta[j] : 0.0f;
  }
}

void add(const float* __restrict x, const float* __restrict residual, float* __restrict h, size_t n) {
  for (size_t i = 0; i < n; ++i) h[i] = x[i] + residual[i];
}

void silu(float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = y[i] / (1.0f + expf(-y[i]));
}

void gate(float* __restrict y, const float* __restrict z, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] *= z[i] / (1.0f + expf(-z[i]));
}

void add_relu(float* __restrict y, const float* __restrict z, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float v = y[i] + z[i];
    y[i] = 0.5f * (v + fabsf(v));  // of a comparison GCC makes a branch, which measures how well signs are predicted
  }
}

// ---- of doubles

void layer_norm_f64(const double* x, double* y, size_t rows, size_t cols, const double* __restrict gamma,
                    const double* __restrict beta, double epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const double* __restrict in = x + i * cols;
    double* __restrict out = y + i * cols;
    double sum = 0;
    for (size_t j = 0; j < cols; ++j) sum += in[j];
    const double mean = sum / static_cast<double>(cols);
    double squares = 0;
    for (size_t j = 0; j < cols; ++j) {
      const double d = in[j] - mean;
      squares += d * d;
    }
    const double rstd = 1.0 / sqrt(squares / static_cast<double>(cols) + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = (in[j] - mean) * rstd * gamma[j] + beta[j];
  }
}

double squares_of(const double* __restrict x, size_t n) {
  double squares = 0;
  for (size_t j = 0; j < n; ++j) squares += x[j] * x[j];
  return squares;
}

void rms_norm_f64(const double* x, double* y, size_t rows, size_t cols, const double* __restrict weight,
                  double epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const double* __restrict in = x + i * cols;
    double* __restrict out = y + i * cols;
    const double rstd = 1.0 / sqrt(squares_of(in, cols) / static_cast<double>(cols) + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = in[j] * rstd * weight[j];
  }
}

void l2_norm_f64(const double* x, double* y, size_t rows, size_t cols, double epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const double* __restrict in = x + i * cols;
    double* __restrict out = y + i * cols;
    const double norm = sqrt(squares_of(in, cols));
    const double scale = 1.0 / (norm > epsilon ? norm : epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = in[j] * scale;
  }
}

void batch_norm_training_f64(const double* x, double* y, size_t rows, size_t cols, const double* __restrict gamma,
                             const double* __restrict beta, double epsilon, double* scratch) {
  double* __restrict mean = scratch;
  double* __restrict scale = scratch + cols;
  const double n = static_cast<double>(rows);
  for (size_t j = 0; j < cols; ++j) mean[j] = scale[j] = 0;
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) mean[j] += x[i * cols + j];
  }
  for (size_t j = 0; j < cols; ++j) mean[j] /= n;
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      const double d = x[i * cols + j] - mean[j];
      scale[j] += d * d;
    }
  }
  for (size_t j = 0; j < cols; ++j) scale[j] = gamma[j] / sqrt(scale[j] / n + epsilon);
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) y[i * cols + j] = (x[i * cols + j] - mean[j]) * scale[j] + beta[j];
  }
}

struct as_bf16 {
  static float load(uint16_t h) {
    const uint32_t bits = static_cast<uint32_t>(h) << 16;
    float v;
    __builtin_memcpy(&v, &bits, sizeof v);
    return v;
  }
  static uint16_t store(float v) {  // finite
    uint32_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
};
struct as_f16 {
  static float load(uint16_t h) {
    _Float16 v;
    __builtin_memcpy(&v, &h, sizeof v);
    return static_cast<float>(v);
  }
  static uint16_t store(float v) {
    const auto h = static_cast<_Float16>(v);
    uint16_t bits;
    __builtin_memcpy(&bits, &h, sizeof bits);
    return bits;
  }
};

template <class T>
void layer_norm_halves(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                       float epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const uint16_t* __restrict in = x + i * cols;
    uint16_t* __restrict out = y + i * cols;
    float sum = 0;
    for (size_t j = 0; j < cols; ++j) sum += T::load(in[j]);
    const float mean = sum / static_cast<float>(cols);
    float squares = 0;
    for (size_t j = 0; j < cols; ++j) {
      const float d = T::load(in[j]) - mean;
      squares += d * d;
    }
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(cols) + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = T::store((T::load(in[j]) - mean) * rstd * gamma[j] + beta[j]);
  }
}

template <class T>
void rms_norm_halves(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* weight, float epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const uint16_t* __restrict in = x + i * cols;
    uint16_t* __restrict out = y + i * cols;
    float squares = 0;
    for (size_t j = 0; j < cols; ++j) squares += T::load(in[j]) * T::load(in[j]);
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(cols) + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = T::store(T::load(in[j]) * rstd * weight[j]);
  }
}

// y = x * scale + shift, column by column.
void scale_and_shift(const float* x, float* y, size_t rows, size_t cols, const float* __restrict scale,
                     const float* __restrict shift) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    for (size_t j = 0; j < cols; ++j) out[j] = in[j] * scale[j] + shift[j];
  }
}

// y = (x - mean) * scale + shift, column by column: one subtraction more, and far more accurate
// where the mean is large.
void center_and_scale(const float* x, float* y, size_t rows, size_t cols, const float* __restrict mean,
                      const float* __restrict scale, const float* __restrict shift) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    for (size_t j = 0; j < cols; ++j) out[j] = (in[j] - mean[j]) * scale[j] + shift[j];
  }
}

void update_running(size_t n, size_t cols, float momentum, const float* __restrict mean, const float* __restrict m2,
                    float* __restrict running_mean, float* __restrict running_variance) {
  const float unbiased = n > 1 ? static_cast<float>(n - 1) : 1.0f;
  for (size_t j = 0; j < cols; ++j) {
    running_mean[j] = (1 - momentum) * running_mean[j] + momentum * mean[j];
    running_variance[j] = (1 - momentum) * running_variance[j] + momentum * (m2[j] / unbiased);
  }
}

void batch_norm_training(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                         float epsilon, float momentum, float* running_mean, float* running_variance, float* scratch) {
  float* __restrict mean = scratch;
  float* __restrict scale = scratch + cols;
  two_pass_columns<float>(x, rows, cols, mean, scale);
  update_running(rows, cols, momentum, mean, scale, running_mean, running_variance);
  for (size_t j = 0; j < cols; ++j) scale[j] = gamma[j] / sqrtf(scale[j] / static_cast<float>(rows) + epsilon);
  center_and_scale(x, y, rows, cols, mean, scale, beta);
}

void batch_norm_training_row_mask(const float* x, float* y, size_t rows, size_t cols, const float* gamma,
                                  const float* beta, float epsilon, float momentum, float* running_mean,
                                  float* running_variance, float* scratch, const uint8_t* mask) {
  float* __restrict mean = scratch;
  float* __restrict scale = scratch + cols;
  for (size_t j = 0; j < cols; ++j) mean[j] = scale[j] = 0;
  size_t n = 0;
  for (size_t i = 0; i < rows; ++i) {
    if (!mask[i]) continue;
    ++n;
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) mean[j] += row[j];
  }
  if (n > 0) {
    for (size_t j = 0; j < cols; ++j) mean[j] /= static_cast<float>(n);
  }
  for (size_t i = 0; i < rows; ++i) {
    if (!mask[i]) continue;
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) {
      const float d = row[j] - mean[j];
      scale[j] += d * d;
    }
  }
  if (n > 0) {
    update_running(n, cols, momentum, mean, scale, running_mean, running_variance);
    for (size_t j = 0; j < cols; ++j) scale[j] = gamma[j] / sqrtf(scale[j] / static_cast<float>(n) + epsilon);
  }
  for (size_t i = 0; i < rows; ++i) {
    if (mask[i]) {
      center_and_scale(x + i * cols, y + i * cols, 1, cols, mean, scale, beta);
    } else {
      zero_row(y + i * cols, cols);
    }
  }
}

void batch_norm_inference(const float* x, float* y, size_t rows, size_t cols, const float* mean, const float* variance,
                          const float* gamma, const float* beta, float epsilon, float* scratch) {
  float* __restrict scale = scratch;
  float* __restrict shift = scratch + cols;
  for (size_t j = 0; j < cols; ++j) {
    scale[j] = gamma[j] / sqrtf(variance[j] + epsilon);
    shift[j] = beta[j] - mean[j] * scale[j];
  }
  scale_and_shift(x, y, rows, cols, scale, shift);
}

void min_max_fit(const float* x, size_t rows, size_t cols, float* __restrict min, float* __restrict max) {
  for (size_t j = 0; j < cols; ++j) min[j] = max[j] = x[j];
  for (size_t i = 1; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) {
      min[j] = row[j] < min[j] ? row[j] : min[j];
      max[j] = row[j] > max[j] ? row[j] : max[j];
    }
  }
}

void column_moments(const float* x, size_t rows, size_t cols, float* __restrict mean, float* __restrict m2,
                    float* __restrict min, float* __restrict max) {
  for (size_t j = 0; j < cols; ++j) {
    mean[j] = m2[j] = 0;
    min[j] = max[j] = x[j];
  }
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) {
      mean[j] += row[j];
      min[j] = row[j] < min[j] ? row[j] : min[j];
      max[j] = row[j] > max[j] ? row[j] : max[j];
    }
  }
  for (size_t j = 0; j < cols; ++j) mean[j] /= static_cast<float>(rows);
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) {
      const float d = row[j] - mean[j];
      m2[j] += d * d;
    }
  }
}

void standardize_fit(const float* x, size_t rows, size_t cols, float* mean, float* scale) {
  two_pass_columns<float>(x, rows, cols, mean, scale);
  for (size_t j = 0; j < cols; ++j) {
    scale[j] = sqrtf(scale[j] / static_cast<float>(rows));
    if (scale[j] == 0) scale[j] = 1;
  }
}

void standardize_transform(const float* x, float* y, size_t rows, size_t cols, const float* __restrict mean,
                           const float* __restrict scale) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    for (size_t j = 0; j < cols; ++j) out[j] = (in[j] - mean[j]) / scale[j];
  }
}

void standardize_inverse(const float* y, float* x, size_t rows, size_t cols, const float* mean, const float* scale) {
  scale_and_shift(y, x, rows, cols, scale, mean);
}

void min_max_transform(const float* x, float* y, size_t rows, size_t cols, const float* min, const float* max,
                       float* __restrict scratch) {
  for (size_t j = 0; j < cols; ++j) {
    const float range = max[j] - min[j];
    scratch[j] = 1.0f / (range == 0 ? 1.0f : range);
  }
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    for (size_t j = 0; j < cols; ++j) out[j] = (in[j] - min[j]) * scratch[j];
  }
}

template <mean_m2 (*Statistics)(const float*, size_t)>
void layer_norm_by(const float* x, float* y, size_t rows, size_t cols, const float* __restrict gamma,
                   const float* __restrict beta, float epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    const mean_m2 s = Statistics(in, cols);
    const float mean = static_cast<float>(s.mean);
    const float rstd = 1.0f / sqrtf(static_cast<float>(s.m2 / static_cast<double>(cols)) + epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = (in[j] - mean) * rstd * gamma[j] + beta[j];
  }
}

// A plane by one scale and offset.
void scale_plane(const float* __restrict x, float* __restrict y, size_t size, float scale, float offset) {
  for (size_t i = 0; i < size; ++i) y[i] = x[i] * scale + offset;
}

void batch_norm_training_nchw(const float* x, float* y, size_t batch, size_t channels, size_t size, const float* gamma,
                              const float* beta, float epsilon, float momentum, float* running_mean,
                              float* running_variance) {
  const float count = static_cast<float>(batch * size);
  for (size_t c = 0; c < channels; ++c) {
    float sum = 0;
    for (size_t n = 0; n < batch; ++n) {
      const float* plane = x + (n * channels + c) * size;
      for (size_t i = 0; i < size; ++i) sum += plane[i];
    }
    const float mean = sum / count;
    float squares = 0;
    for (size_t n = 0; n < batch; ++n) {
      const float* plane = x + (n * channels + c) * size;
      for (size_t i = 0; i < size; ++i) squares += (plane[i] - mean) * (plane[i] - mean);
    }
    running_mean[c] += momentum * (mean - running_mean[c]);
    running_variance[c] += momentum * (squares / (count - 1) - running_variance[c]);
    const float scale = gamma[c] / sqrtf(squares / count + epsilon);
    for (size_t n = 0; n < batch; ++n) {
      scale_plane(x + (n * channels + c) * size, y + (n * channels + c) * size, size, scale, beta[c] - mean * scale);
    }
  }
}

void batch_norm_inference_nchw(const float* x, float* y, size_t batch, size_t channels, size_t size, const float* mean,
                               const float* variance, const float* gamma, const float* beta, float epsilon) {
  for (size_t n = 0; n < batch; ++n) {
    for (size_t c = 0; c < channels; ++c) {
      const float scale = gamma[c] / sqrtf(variance[c] + epsilon);
      scale_plane(x + (n * channels + c) * size, y + (n * channels + c) * size, size, scale, beta[c] - mean[c] * scale);
    }
  }
}

void group_norm(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups, const float* gamma,
                const float* beta, float epsilon) {
  const size_t each = channels / groups;
  for (size_t g = 0; g < batch * groups; ++g) {
    const float* __restrict from = x + g * each * size;
    float sum = 0;
    for (size_t i = 0; i < each * size; ++i) sum += from[i];
    const float mean = sum / static_cast<float>(each * size);
    float squares = 0;
    for (size_t i = 0; i < each * size; ++i) squares += (from[i] - mean) * (from[i] - mean);
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(each * size) + epsilon);
    for (size_t k = 0; k < each; ++k) {
      const size_t c = g % groups * each + k;
      const size_t at = (g * each + k) * size;
      scale_plane(x + at, y + at, size, gamma[c] * rstd, beta[c] - mean * rstd * gamma[c]);
    }
  }
}

}  // namespace

const table functions = {
    layer_norm,
    layer_norm_row_mask,
    layer_norm_row_lengths,
    rms_norm,
    l2_norm,
    layer_norm_element_mask,
    add,
    silu,
    gate,
    add_relu,
    layer_norm_halves<as_bf16>,
    layer_norm_halves<as_f16>,
    rms_norm_halves<as_bf16>,
    rms_norm_halves<as_f16>,
    layer_norm_f64,
    rms_norm_f64,
    l2_norm_f64,
    batch_norm_training_f64,
    batch_norm_training,
    batch_norm_training_row_mask,
    batch_norm_inference,
    column_moments,
    standardize_fit,
    standardize_transform,
    standardize_inverse,
    min_max_fit,
    min_max_transform,
    layer_norm_by<one_pass<float>>,
    layer_norm_by<welford<float>>,
    layer_norm_by<welford<double>>,
    one_pass_columns<float>,
    welford_columns<float>,
    welford_columns<double>,
    two_pass_columns<float>,
    batch_norm_training_nchw,
    batch_norm_inference_nchw,
    group_norm,
};

}  // namespace simdnorm_baselines::SIMDNORM_BASELINE

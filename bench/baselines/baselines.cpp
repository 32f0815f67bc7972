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

void layer_norm(const float* x, float* y, size_t rows, size_t cols, const float* gamma, const float* beta,
                float epsilon) {
  for (size_t i = 0; i < rows; ++i) layer_norm_row(x + i * cols, y + i * cols, cols, gamma, beta, epsilon);
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

// y = x * weight / max(root of the mean or the sum, least).
template <bool Mean>
void scale_real_elements(const float* x, float* y, size_t rows, size_t cols, const float* __restrict weight,
                         float epsilon, const uint8_t* mask) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = x + i * cols;
    float* __restrict out = y + i * cols;
    const uint8_t* __restrict real = mask + i * cols;
    float squares = 0;
    float count = 0;
    for (size_t j = 0; j < cols; ++j) {
      const float v = real[j] ? in[j] : 0.0f;
      squares += v * v;
      count += real[j] ? 1.0f : 0.0f;
    }
    const float norm = Mean ? sqrtf(squares / (count > 0 ? count : 1.0f) + epsilon) : sqrtf(squares);
    const float scale = 1.0f / (norm > epsilon ? norm : epsilon);
    for (size_t j = 0; j < cols; ++j) out[j] = real[j] ? in[j] * scale * (Mean ? weight[j] : 1.0f) : 0.0f;
  }
}

void rms_norm_element_mask(const float* x, float* y, size_t rows, size_t cols, const float* weight, float epsilon,
                           const uint8_t* mask) {
  scale_real_elements<true>(x, y, rows, cols, weight, epsilon, mask);
}

void l2_norm_element_mask(const float* x, float* y, size_t rows, size_t cols, float epsilon, const uint8_t* mask) {
  scale_real_elements<false>(x, y, rows, cols, nullptr, epsilon, mask);
}

template <class T>
void add(const T* __restrict x, const T* __restrict residual, T* __restrict h, size_t n) {
  for (size_t i = 0; i < n; ++i) h[i] = x[i] + residual[i];
}

// Of comparisons GCC makes branches, which measure how well signs are predicted; hence |v|.
float relu_of(float v) {
  return 0.5f * (v + fabsf(v));
}

void relu(float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = relu_of(y[i]);
}

void gelu(float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = 0.5f * y[i] * (1.0f + erff(y[i] * 0.70710678f));
}

void gelu_tanh(float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float v = y[i];
    y[i] = 0.5f * v * (1.0f + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
  }
}

void silu(float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = y[i] / (1.0f + expf(-y[i]));
}

void gate(float* __restrict y, const float* __restrict z, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] *= z[i] / (1.0f + expf(-z[i]));
}

void add_relu(float* __restrict y, const float* __restrict z, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = relu_of(y[i] + z[i]);
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

template <class T, bool RoundFirst = false>
void rms_norm_halves(const uint16_t* x, uint16_t* y, size_t rows, size_t cols, const float* weight, float epsilon) {
  for (size_t i = 0; i < rows; ++i) {
    const uint16_t* __restrict in = x + i * cols;
    uint16_t* __restrict out = y + i * cols;
    float squares = 0;
    for (size_t j = 0; j < cols; ++j) squares += T::load(in[j]) * T::load(in[j]);
    const float rstd = 1.0f / sqrtf(squares / static_cast<float>(cols) + epsilon);
    for (size_t j = 0; j < cols; ++j) {
      const float v = T::load(in[j]) * rstd;
      out[j] = T::store((RoundFirst ? T::load(T::store(v)) : v) * weight[j]);
    }
  }
}

template <class T>
void from_halves(const uint16_t* __restrict x, float* __restrict h, size_t n) {
  for (size_t i = 0; i < n; ++i) h[i] = T::load(x[i]);
}

template <class T>
void to_halves(const float* __restrict h, uint16_t* __restrict y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] = T::store(h[i]);
}

template <int ZeroPoint>
struct as_integer {
  static constexpr float greatest = 127;
  static uint8_t store(float v) {
    constexpr float low = -128, high = 127;  // around the zero point, of both types
    const float r = rintf(v);
    return static_cast<uint8_t>(static_cast<int>(r < low ? low : r > high ? high : r) + ZeroPoint);
  }
};
// To nearest even at the last bit kept; what is below the normal numbers is a multiple of the least one.
template <int Mantissa, int Bias, int Greatest>
struct as_f8 {
  static constexpr float greatest = Greatest;
  static uint8_t store(float v) {
    const float limit = Greatest, size = fabsf(v) < limit ? fabsf(v) : limit;
    uint32_t bits, sign;
    __builtin_memcpy(&bits, &size, sizeof bits);
    __builtin_memcpy(&sign, &v, sizeof sign);
    constexpr int drop = 23 - Mantissa;
    const uint32_t normal = ((bits + ((1u << (drop - 1)) - 1) + (bits >> drop & 1)) >> drop) -
                            (static_cast<uint32_t>(127 - Bias) << Mantissa);
    const auto small =
        static_cast<uint32_t>(rintf(size * static_cast<float>(1u << (Bias - 1)) * static_cast<float>(1 << Mantissa)));
    const uint32_t code = bits < static_cast<uint32_t>(128 - Bias) << 23 ? small : normal;
    return static_cast<uint8_t>(code | (sign >> 24 & 0x80));
  }
};

template <class T>
void to_bytes(const float* h, uint8_t* y, size_t rows, size_t cols, float scale, float* scales) {
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict in = h + i * cols;
    uint8_t* __restrict out = y + i * cols;
    float step = scale;
    if (scales) {
      float greatest = 0;
      for (size_t j = 0; j < cols; ++j) greatest = fabsf(in[j]) > greatest ? fabsf(in[j]) : greatest;
      step = scales[i] = greatest > 0 ? greatest / T::greatest : 1.0f;
    }
    for (size_t j = 0; j < cols; ++j) out[j] = T::store(in[j] / step);
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

// ---- columns in steps, of which some may not be real

// elements: a byte each, else all of a row are.
struct all_real {
  static constexpr bool elements = false;
  static bool row(const uint8_t*, size_t) { return true; }
  static bool element(const uint8_t*, size_t) { return true; }
};
struct by_rows {
  static constexpr bool elements = false;
  static bool row(const uint8_t* mask, size_t i) { return mask[i]; }
  static bool element(const uint8_t*, size_t) { return true; }
};
struct by_elements {
  static constexpr bool elements = true;
  static bool row(const uint8_t*, size_t) { return true; }
  static bool element(const uint8_t* mask, size_t k) { return mask[k]; }
};

template <class T, class Mask>
void masked_moments(const T* x, size_t rows, size_t cols, const uint8_t* mask, T* __restrict count, T* __restrict mean,
                    T* __restrict m2) {
  for (size_t j = 0; j < cols; ++j) count[j] = mean[j] = m2[j] = 0;
  T real_rows = 0;
  for (size_t i = 0; i < rows; ++i) {
    if (!Mask::row(mask, i)) continue;
    ++real_rows;
    for (size_t j = 0; j < cols; ++j) {
      const bool real = Mask::element(mask, i * cols + j);
      mean[j] += real ? x[i * cols + j] : T{0};
      if (Mask::elements) count[j] += real ? T{1} : T{0};
    }
  }
  for (size_t j = 0; !Mask::elements && j < cols; ++j) count[j] = real_rows;
  for (size_t j = 0; j < cols; ++j) mean[j] /= count[j] > 0 ? count[j] : T{1};
  for (size_t i = 0; i < rows; ++i) {
    if (!Mask::row(mask, i)) continue;
    for (size_t j = 0; j < cols; ++j) {
      const T d = Mask::element(mask, i * cols + j) ? x[i * cols + j] - mean[j] : T{0};
      m2[j] += d * d;
    }
  }
}

template <class T, class Mask>
void masked_extremes(const T* x, size_t rows, size_t cols, const uint8_t* mask, T* __restrict min, T* __restrict max) {
  for (size_t j = 0; j < cols; ++j) min[j] = max[j] = 0;
  bool first = true;  // of the rows; a masked element of it counts as the greatest of all
  constexpr T most = sizeof(T) == 4 ? T{3e38f} : static_cast<T>(1e308);
  for (size_t i = 0; i < rows; ++i) {
    if (!Mask::row(mask, i)) continue;
    for (size_t j = 0; first && j < cols; ++j) {
      min[j] = most;
      max[j] = -most;
    }
    first = false;
    for (size_t j = 0; j < cols; ++j) {
      const bool real = Mask::element(mask, i * cols + j);
      const T v = x[i * cols + j];
      min[j] = real && v < min[j] ? v : min[j];
      max[j] = real && v > max[j] ? v : max[j];
    }
  }
}

template <class T, class Mask>
void masked_affine(const T* x, T* y, size_t rows, size_t cols, const uint8_t* mask, const T* __restrict shift,
                   const T* __restrict scale, const T* __restrict offset) {
  for (size_t i = 0; i < rows; ++i) {
    const T* __restrict in = x + i * cols;
    T* __restrict out = y + i * cols;
    if (Mask::row(mask, i)) {
      for (size_t j = 0; j < cols; ++j) {
        const T v = (in[j] - shift[j]) * scale[j] + offset[j];
        out[j] = Mask::element(mask, i * cols + j) ? v : T{0};
      }
    } else {
      for (size_t j = 0; j < cols; ++j) out[j] = 0;
    }
  }
}

template <class T, class Mask>
constexpr column_steps<T> steps_of = {masked_moments<T, Mask>, masked_extremes<T, Mask>, masked_affine<T, Mask>};

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

// Where the mask of a plane is, whose bytes are those of its positions.
struct of_positions {
  static const uint8_t* plane(const uint8_t* mask, size_t sample, size_t, size_t size) { return mask + sample * size; }
};
struct of_elements {
  static const uint8_t* plane(const uint8_t* mask, size_t, size_t plane, size_t size) { return mask + plane * size; }
};

// Planes first, first + step, ... by their own statistics, or by those that are given.
template <class Mask>
void masked_planes(const float* x, float* y, size_t first, size_t step, size_t planes, size_t channels, size_t size,
                   const float* given_mean, const float* given_variance, const float* gamma, const float* beta,
                   float epsilon, const uint8_t* mask) {
  const auto real_of = [&](size_t plane) { return Mask::plane(mask, plane / channels, plane, size); };
  float mean = given_mean ? *given_mean : 0, variance = given_variance ? *given_variance : 0;
  if (!given_mean) {
    float count = 0;
    for (size_t k = 0; k < planes; ++k) {
      const float* __restrict in = x + (first + k * step) * size;
      const uint8_t* __restrict real = real_of(first + k * step);
      for (size_t i = 0; i < size; ++i) {
        mean += real[i] ? in[i] : 0.0f;
        count += real[i] ? 1.0f : 0.0f;
      }
    }
    count = count > 0 ? count : 1.0f;
    mean /= count;
    for (size_t k = 0; k < planes; ++k) {
      const float* __restrict in = x + (first + k * step) * size;
      const uint8_t* __restrict real = real_of(first + k * step);
      for (size_t i = 0; i < size; ++i) {
        const float d = real[i] ? in[i] - mean : 0.0f;
        variance += d * d;
      }
    }
    variance /= count;
  }
  const float rstd = 1.0f / sqrtf(variance + epsilon);
  for (size_t k = 0; k < planes; ++k) {
    const size_t plane = first + k * step, c = plane % channels;
    const float* __restrict in = x + plane * size;
    float* __restrict out = y + plane * size;
    const uint8_t* __restrict real = real_of(plane);
    const float scale = gamma[c] * rstd, offset = beta[c] - mean * scale;
    for (size_t i = 0; i < size; ++i) out[i] = real[i] ? in[i] * scale + offset : 0.0f;
  }
}

template <class Mask>
void masked_channels(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups,
                     const float* mean, const float* variance, const float* gamma, const float* beta, float epsilon,
                     const uint8_t* mask) {
  for (size_t c = 0; groups == 0 && c < channels; ++c) {
    masked_planes<Mask>(x, y, c, channels, batch, channels, size, mean ? mean + c : nullptr,
                        variance ? variance + c : nullptr, gamma, beta, epsilon, mask);
  }
  for (size_t g = 0; g < batch * groups; ++g) {
    const size_t each = channels / groups;
    masked_planes<Mask>(x, y, g * each, 1, each, channels, size, nullptr, nullptr, gamma, beta, epsilon, mask);
  }
}

void group_norm_nhwc(const float* x, float* y, size_t batch, size_t channels, size_t size, size_t groups,
                     const float* gamma, const float* beta, float epsilon, const uint8_t* mask) {
  const size_t each = channels / groups;
  for (size_t n = 0; n < batch; ++n) {
    const auto real = [&](size_t i) { return !mask || mask[n * size + i]; };
    for (size_t g = 0; g < groups; ++g) {
      const float* from = x + n * size * channels + g * each;
      float sum = 0, positions = 0;
      for (size_t i = 0; i < size; ++i) {
        if (!real(i)) continue;
        ++positions;
        for (size_t k = 0; k < each; ++k) sum += from[i * channels + k];
      }
      const float count = (positions > 0 ? positions : 1.0f) * static_cast<float>(each);
      const float mean = sum / count;
      float squares = 0;
      for (size_t i = 0; i < size; ++i) {
        if (!real(i)) continue;
        for (size_t k = 0; k < each; ++k) {
          const float d = from[i * channels + k] - mean;
          squares += d * d;
        }
      }
      const float rstd = 1.0f / sqrtf(squares / count + epsilon);
      for (size_t i = 0; i < size; ++i) {
        const float* __restrict in = from + i * channels;
        float* __restrict out = y + (n * size + i) * channels + g * each;
        for (size_t k = 0; k < each; ++k) {
          out[k] = real(i) ? (in[k] - mean) * rstd * gamma[g * each + k] + beta[g * each + k] : 0.0f;
        }
      }
    }
  }
}

}  // namespace

const table functions = {
    layer_norm,
    rms_norm,
    l2_norm,
    layer_norm_element_mask,
    rms_norm_element_mask,
    l2_norm_element_mask,
    add<float>,
    relu,
    gelu,
    gelu_tanh,
    silu,
    gate,
    add_relu,
    layer_norm_halves<as_bf16>,
    layer_norm_halves<as_f16>,
    rms_norm_halves<as_bf16>,
    rms_norm_halves<as_f16>,
    rms_norm_halves<as_bf16, true>,
    from_halves<as_bf16>,
    from_halves<as_f16>,
    to_halves<as_bf16>,
    to_bytes<as_integer<0>>,
    to_bytes<as_integer<128>>,
    to_bytes<as_f8<3, 7, 448>>,
    to_bytes<as_f8<2, 15, 57344>>,
    layer_norm_f64,
    rms_norm_f64,
    l2_norm_f64,
    add<double>,
    steps_of<double, all_real>,
    batch_norm_training,
    steps_of<float, by_rows>,
    steps_of<float, by_elements>,
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
    masked_channels<of_positions>,
    masked_channels<of_elements>,
    group_norm_nhwc,
};

}  // namespace simdnorm_baselines::SIMDNORM_BASELINE

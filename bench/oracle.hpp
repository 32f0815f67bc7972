// SPDX-License-Identifier: Apache-2.0
//
// What a result should have been, in long double (64 bits of mantissa on x86, 113 on AArch64), and
// how far it is off. The unit is the gate's: errors of xhat, the normalized value before gamma and
// beta, in f32 ulps of max(1, |xhat|). With gamma and beta an output is granted the half ulp of its
// own rounding, and the rest is divided by |gamma|: |error| = e * |gamma| * ulp(max(1, |xhat|)) +
// ulp(y) / 2, solved for e (docs/numerics.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "simdnorm/simdnorm.hpp"

namespace bench {

// What is checked at most of a large matrix, in elements; rows or columns are taken evenly.
inline constexpr std::size_t sample_elements = std::size_t{1} << 20;

using real = long double;

// The error of y = xhat * gamma + beta, in that unit; infinite where y is NaN.
[[nodiscard]] double weighted_error(real xhat, float y, real gamma, real beta = 0);

// Exact parameters of a sample of rows: xhat = (x - shift) * scale.
class row_oracle {
 public:
  enum class norm { layer, rms, l2 };  // errors of l2 are in ulps of y, which is far below 1

  // length(i): how many elements of row i are real. limit: elements to look at.
  void fit(norm kind, const float* x, std::size_t rows, std::size_t cols, double epsilon, std::size_t limit,
           const std::function<std::size_t(std::size_t)>& length = {});

  // The largest error of y, infinite where a value is NaN that should not be, or where padding is
  // not +0. Rows with NaN or infinity in x are not looked at.
  [[nodiscard]] double error(const float* x, const float* y, const float* gamma, const float* beta) const;

 private:
  struct entry {
    std::size_t row, length;
    real shift, scale;
    bool finite;
  };
  std::size_t cols_ = 0;
  bool relative_ = false;
  std::vector<entry> entries_;
};

// Which elements of a matrix count, and how much.
struct selection {
  const std::uint8_t* rows = nullptr;      // a byte a row
  const std::uint8_t* elements = nullptr;  // a byte an element
  const float* weights = nullptr;          // of rows
  bool gaps_are_nan = false;               // outputs that are not real: NaN, else +0

  [[nodiscard]] bool real(std::size_t i, std::size_t element) const {
    return (!rows || rows[i]) && (!elements || elements[element]);
  }
};

// The same of a sample of columns.
class column_oracle {
 public:
  enum class norm {
    batch,        // variance + epsilon
    standardize,  // epsilon is 0, and a constant column is divided by 1
    min_max,
    max_abs,
  };

  void fit(norm kind, const float* x, std::size_t rows, std::size_t cols, double epsilon, std::size_t limit,
           const selection& valid = {});
  // Parameters that are given, not computed (inference): xhat = (x - mean) / sqrt(variance + epsilon).
  void given(const float* x, const float* mean, const float* variance, std::size_t rows, std::size_t cols,
             double epsilon, std::size_t limit, const selection& valid = {});

  [[nodiscard]] double error(const float* x, const float* y, const float* gamma, const float* beta) const;
  // Of mean and m2 alone: the error of xhat if it were computed from them exactly; extremes must be equal.
  // at(j) gives the moments of column j.
  [[nodiscard]] double moments_error(const float* x, const std::function<simdnorm::moments(std::size_t)>& at,
                                     bool extremes) const;
  // Of the inverse: z scaled back by mean and scale.
  [[nodiscard]] static double inverse_error(const float* z, const float* x, const double* mean, const double* scale,
                                            std::size_t rows, std::size_t cols, std::size_t limit);

 private:
  struct entry {
    std::size_t col;
    real shift, scale, mean, m2, weight;
    float min, max;
    bool finite;
  };
  std::size_t rows_ = 0, cols_ = 0;
  selection valid_;
  std::vector<entry> entries_;

  void sample(std::size_t rows, std::size_t cols, std::size_t limit, const selection& valid);
};

}  // namespace bench

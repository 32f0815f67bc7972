// SPDX-License-Identifier: Apache-2.0
//
// The textbook ways to a mean and a variance, each written the way its source writes it. They are
// references: the benchmark puts their speed and their error beside the library's, and tests hold
// Welford's recurrence against certified data. The library itself computes otherwise
// (docs/numerics.md says how and why).
//
//   one_pass   E[x^2] - E[x]^2. Cancels: wrong from mean/std of about 1e3 on in f32.
//   welford    B. P. Welford: Note on a Method for Calculating Corrected Sums of Squares and
//              Products, Technometrics 4(3), 1962. One division per element, and in f32 the running
//              mean is rounded at every step.
//   two_pass   mean first, then the squared deviations from it. In f32 the rounding of the mean
//              limits it.
//
// Everything is static and in a namespace that the including file may choose, because the benchmark
// compiles this header several times with different flags.
#pragma once

#include <stddef.h>

#ifndef SIMDNORM_BASELINE
#define SIMDNORM_BASELINE reference
#endif

namespace simdnorm_baselines::SIMDNORM_BASELINE {

struct mean_m2 {
  double mean;
  double m2;  // sum of squared deviations from the mean; variance = m2 / n
};

// ---- n contiguous numbers --------------------------------------------------------------------

template <class Real>
[[maybe_unused]] static mean_m2 one_pass(const float* x, size_t n) {
  Real sum = 0, sum_of_squares = 0;
  for (size_t i = 0; i < n; ++i) {
    const Real v = static_cast<Real>(x[i]);
    sum += v;
    sum_of_squares += v * v;
  }
  if (n == 0) return {0, 0};
  const Real mean = sum / static_cast<Real>(n);
  return {static_cast<double>(mean), static_cast<double>(sum_of_squares - sum * mean)};
}

template <class Real>
[[maybe_unused]] static mean_m2 welford(const float* x, size_t n) {
  Real mean = 0, m2 = 0;
  for (size_t i = 0; i < n; ++i) {
    const Real v = static_cast<Real>(x[i]);
    const Real delta = v - mean;
    mean += delta / static_cast<Real>(i + 1);
    m2 += delta * (v - mean);
  }
  return {static_cast<double>(mean), static_cast<double>(m2)};
}

template <class Real>
[[maybe_unused]] static mean_m2 two_pass(const float* x, size_t n) {
  if (n == 0) return {0, 0};
  Real sum = 0;
  for (size_t i = 0; i < n; ++i) sum += static_cast<Real>(x[i]);
  const Real mean = sum / static_cast<Real>(n);
  Real m2 = 0;
  for (size_t i = 0; i < n; ++i) {
    const Real d = static_cast<Real>(x[i]) - mean;
    m2 += d * d;
  }
  return {static_cast<double>(mean), static_cast<double>(m2)};
}

// ---- every column of a rows x cols matrix ------------------------------------------------------
//
// mean[cols] and m2[cols] are both the accumulators and the result; memory is walked row by row.

template <class Real>
[[maybe_unused]] static void one_pass_columns(const float* x, size_t rows, size_t cols, Real* __restrict mean,
                                              Real* __restrict m2) {
  for (size_t j = 0; j < cols; ++j) mean[j] = m2[j] = 0;
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) {
      const Real v = static_cast<Real>(row[j]);
      mean[j] += v;
      m2[j] += v * v;
    }
  }
  if (rows == 0) return;
  for (size_t j = 0; j < cols; ++j) {
    const Real sum = mean[j];
    mean[j] = sum / static_cast<Real>(rows);
    m2[j] -= sum * mean[j];
  }
}

template <class Real>
[[maybe_unused]] static void welford_columns(const float* x, size_t rows, size_t cols, Real* __restrict mean,
                                             Real* __restrict m2) {
  for (size_t j = 0; j < cols; ++j) mean[j] = m2[j] = 0;
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    const Real n = static_cast<Real>(i + 1);
    for (size_t j = 0; j < cols; ++j) {
      const Real v = static_cast<Real>(row[j]);
      const Real delta = v - mean[j];
      mean[j] += delta / n;
      m2[j] += delta * (v - mean[j]);
    }
  }
}

template <class Real>
[[maybe_unused]] static void two_pass_columns(const float* x, size_t rows, size_t cols, Real* __restrict mean,
                                              Real* __restrict m2) {
  for (size_t j = 0; j < cols; ++j) mean[j] = m2[j] = 0;
  if (rows == 0) return;
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) mean[j] += static_cast<Real>(row[j]);
  }
  for (size_t j = 0; j < cols; ++j) mean[j] /= static_cast<Real>(rows);
  for (size_t i = 0; i < rows; ++i) {
    const float* __restrict row = x + i * cols;
    for (size_t j = 0; j < cols; ++j) {
      const Real d = static_cast<Real>(row[j]) - mean[j];
      m2[j] += d * d;
    }
  }
}

}  // namespace simdnorm_baselines::SIMDNORM_BASELINE

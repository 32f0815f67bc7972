// SPDX-License-Identifier: Apache-2.0
//
// What the answers are: textbook definitions, two passes, in binary128. Shares no code with the
// library. A column is gathered into a row first, so there is one oracle for both directions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/wide.hpp"

namespace simdnorm::test {

struct exact_moments {
  std::uint64_t count = 0;
  wide mean = 0, m2 = 0, mean_square = 0;
  double min = 0, max = 0;
  [[nodiscard]] wide variance() const { return count ? m2 / static_cast<wide>(count) : wide(0); }
  [[nodiscard]] wide sigma() const { return square_root(variance()); }
};

template <class T>
exact_moments oracle_moments(const T* x, std::size_t n, std::ptrdiff_t step = 1) {
  exact_moments m;
  m.count = n;
  if (n == 0) return m;
  const auto at = [&](std::size_t i) { return x[static_cast<std::ptrdiff_t>(i) * step]; };
  wide sum = 0;
  m.min = m.max = at(0);
  for (std::size_t i = 0; i < n; ++i) {
    sum += static_cast<wide>(at(i));
    if (at(i) < m.min) m.min = at(i);
    if (at(i) > m.max) m.max = at(i);
  }
  m.mean = sum / static_cast<wide>(n);
  wide residual = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const wide v = static_cast<wide>(at(i)), d = v - m.mean;
    m.m2 += d * d;
    residual += d;
    m.mean_square += v * v;
  }
  m.m2 -= residual * residual / static_cast<wide>(n);  // undoes the rounding of the mean
  if (m.min == m.max) m.m2 = 0;
  m.mean_square /= static_cast<wide>(n);
  if (m.min == 0) m.min = 0;  // +0
  if (m.max == 0) m.max = 0;
  return m;
}

// 1 / sqrt(v + epsilon); 0 where v + epsilon is 0, since then every x - mean is 0 as well.
inline wide oracle_rstd(wide v, double epsilon) {
  const wide s = v + static_cast<wide>(epsilon);
  return s == 0 ? wide(0) : 1 / square_root(s);
}

}  // namespace simdnorm::test

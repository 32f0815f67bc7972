// SPDX-License-Identifier: Apache-2.0
#include "oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bench {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

// f32 ulp of |v| >= 1, or of 1.
double unit(double v) noexcept {
  v = std::fabs(v);
  if (v < 2) return 0x1p-23;
  return std::ldexp(1.0, std::ilogb(v) - 23);
}

// f32 ulp of any v, down to the subnormals.
double ulp(double v) noexcept {
  v = std::fabs(v);
  return v < 0x1p-126 ? 0x1p-149 : std::ldexp(1.0, std::ilogb(v) - 23);
}

bool positive_zero(float v) noexcept {
  return v == 0 && !std::signbit(v);
}

// `want` of `have` things, evenly spread, the first and the last among them.
std::vector<std::size_t> spread(std::size_t have, std::size_t want) {
  want = std::min(std::max<std::size_t>(want, 1), have);
  std::vector<std::size_t> at;
  for (std::size_t k = 0; k < want; ++k) {
    at.push_back(want == 1 ? 0
                           : static_cast<std::size_t>(static_cast<double>(k) * static_cast<double>(have - 1) /
                                                      static_cast<double>(want - 1)));
  }
  return at;
}

}  // namespace

double weighted_error(real xhat, float y, real gamma, real beta) {
  if (std::isnan(y)) return infinite;
  const bool plain = gamma == 1 && beta == 0;
  const real exact = plain ? xhat : xhat * gamma + beta;
  if (std::isinf(y)) return std::fabs(exact) > std::numeric_limits<float>::max() ? 0 : infinite;
  auto off = static_cast<double>(std::fabs(y - exact));
  if (plain) return off / unit(static_cast<double>(xhat));
  off = std::max(0.0, off - ulp(static_cast<double>(exact)) / 2);
  if (off == 0) return 0;
  return off / (std::fabs(static_cast<double>(gamma)) * unit(static_cast<double>(xhat)));
}

void row_oracle::fit(norm kind, const float* x, std::size_t rows, std::size_t cols, double epsilon, std::size_t limit,
                     const std::function<std::size_t(std::size_t)>& length) {
  cols_ = cols;
  relative_ = kind == norm::l2;
  entries_.clear();
  for (const std::size_t i : spread(rows, limit / std::max<std::size_t>(cols, 1))) {
    entry e{i, length ? length(i) : cols, 0, 0, true};
    const float* row = x + i * cols;
    const auto n = static_cast<real>(e.length);
    for (std::size_t j = 0; j < e.length; ++j) e.finite = e.finite && std::isfinite(row[j]);
    if (e.length > 0 && kind == norm::layer) {
      real sum = 0;
      for (std::size_t j = 0; j < e.length; ++j) sum += row[j];
      const real mean = sum / n;
      real residue = 0, m2 = 0;  // what the rounding of the mean left
      for (std::size_t j = 0; j < e.length; ++j) residue += row[j] - mean;
      e.shift = mean + residue / n;
      for (std::size_t j = 0; j < e.length; ++j) m2 += (row[j] - e.shift) * (row[j] - e.shift);
      e.scale = 1 / std::sqrt(m2 / n + epsilon);
    } else if (e.length > 0) {
      real squares = 0;
      for (std::size_t j = 0; j < e.length; ++j) squares += static_cast<real>(row[j]) * row[j];
      e.scale =
          kind == norm::l2 ? 1 / std::max<real>(std::sqrt(squares), epsilon) : 1 / std::sqrt(squares / n + epsilon);
    }
    entries_.push_back(e);
  }
}

double row_oracle::error(const float* x, const float* y, const float* gamma, const float* beta) const {
  double worst = 0;
  for (const entry& e : entries_) {
    const float* in = x + e.row * cols_;
    const float* out = y + e.row * cols_;
    for (std::size_t j = 0; e.finite && j < e.length; ++j) {
      // A constant row with epsilon 0 has an infinite scale and nothing to scale.
      const real centred = in[j] - e.shift;
      const real xhat = centred == 0 ? 0 : centred * e.scale;
      if (relative_ && xhat != 0) {
        const double off = static_cast<double>(std::fabs(out[j] - xhat)) / ulp(static_cast<double>(xhat));
        worst = std::isnan(off) ? infinite : std::max(worst, off);
        continue;
      }
      worst = std::max(worst, weighted_error(xhat, out[j], gamma ? gamma[j] : 1, beta ? beta[j] : 0));
    }
    for (std::size_t j = e.length; j < cols_; ++j) {
      if (!positive_zero(out[j])) worst = infinite;
    }
  }
  return worst;
}

void column_oracle::sample(std::size_t rows, std::size_t cols, std::size_t limit, const selection& valid) {
  rows_ = rows;
  cols_ = cols;
  valid_ = valid;
  entries_.clear();
  for (const std::size_t j : spread(cols, limit / std::max<std::size_t>(rows, 1))) {
    entries_.push_back({j, 0, 0, 0, 0, 0, 0, 0, true});
  }
}

void column_oracle::fit(norm kind, const float* x, std::size_t rows, std::size_t cols, double epsilon,
                        std::size_t limit, const selection& valid) {
  sample(rows, cols, limit, valid);
  const auto over_rows = [&](auto&& body) {
    for (std::size_t i = 0; i < rows; ++i) {
      const real weight = valid.weights ? valid.weights[i] : 1;
      for (entry& e : entries_) {
        if (valid.real(i, i * cols + e.col)) body(e, x[i * cols + e.col], weight);
      }
    }
  };
  for (entry& e : entries_) {
    e.min = std::numeric_limits<float>::infinity();
    e.max = -e.min;
  }
  over_rows([](entry& e, float v, real weight) {
    e.weight += weight;
    e.mean += weight * v;
    e.min = std::min(e.min, v);
    e.max = std::max(e.max, v);
    e.finite = e.finite && std::isfinite(v);
  });
  for (entry& e : entries_) e.mean /= e.weight;
  std::vector<real> residue(entries_.size());
  over_rows([&](entry& e, float v, real weight) {
    residue[static_cast<std::size_t>(&e - entries_.data())] += weight * (v - e.mean);
  });
  for (std::size_t k = 0; k < entries_.size(); ++k) entries_[k].mean += residue[k] / entries_[k].weight;
  over_rows([](entry& e, float v, real weight) { e.m2 += weight * (v - e.mean) * (v - e.mean); });
  for (entry& e : entries_) {
    e.shift = e.mean;
    if (kind == norm::min_max) {
      e.shift = e.min;
      e.scale = 1 / (e.max == e.min ? real{1} : static_cast<real>(e.max) - e.min);
    } else if (kind == norm::max_abs) {
      const float most = std::max(std::fabs(e.min), std::fabs(e.max));
      e.shift = 0;
      e.scale = 1 / (most == 0 ? real{1} : static_cast<real>(most));
    } else if (kind == norm::standardize) {
      e.scale = e.m2 == 0 ? 1 : 1 / std::sqrt(e.m2 / e.weight);
    } else {
      e.scale = 1 / std::sqrt(e.m2 / e.weight + epsilon);
    }
  }
}

void column_oracle::given(const float* x, const float* mean, const float* variance, std::size_t rows, std::size_t cols,
                          double epsilon, std::size_t limit, const selection& valid) {
  sample(rows, cols, limit, valid);
  for (entry& e : entries_) {
    e.shift = mean[e.col];
    e.scale = 1 / std::sqrt(static_cast<real>(variance[e.col]) + epsilon);
    e.finite = std::isfinite(mean[e.col]) && std::isfinite(variance[e.col]);
    for (std::size_t i = 0; i < rows; ++i) e.finite = e.finite && std::isfinite(x[i * cols + e.col]);
  }
}

double column_oracle::error(const float* x, const float* y, const float* gamma, const float* beta) const {
  double most = 0;
  for (std::size_t i = 0; i < rows_; ++i) {
    for (const entry& e : entries_) {
      const float out = y[i * cols_ + e.col];
      if (!valid_.real(i, i * cols_ + e.col)) {
        if (valid_.gaps_are_nan ? !std::isnan(out) : !positive_zero(out)) most = infinite;
        continue;
      }
      if (!e.finite) continue;
      const real centred = x[i * cols_ + e.col] - e.shift;
      const real xhat = centred == 0 ? 0 : centred * e.scale;
      most = std::max(most, weighted_error(xhat, out, gamma ? gamma[e.col] : 1, beta ? beta[e.col] : 0));
    }
  }
  return most;
}

double column_oracle::moments_error(const float* x, const std::function<simdnorm::moments(std::size_t)>& at,
                                    bool extremes) const {
  double most = 0;
  for (const entry& e : entries_) {
    if (!e.finite) continue;
    const simdnorm::moments m = at(e.col);
    if (extremes && (m.min != e.min || m.max != e.max)) return infinite;
    if (e.m2 == 0 || !(m.m2 > 0)) {
      if (m.m2 != 0 || e.m2 != 0 || m.mean != e.mean) return infinite;
      continue;
    }
    const real scale = std::sqrt(e.weight / m.m2);
    const real exact_scale = std::sqrt(e.weight / e.m2);
    for (std::size_t i = 0; i < rows_; ++i) {
      if (!valid_.real(i, i * cols_ + e.col)) continue;
      const real v = x[i * cols_ + e.col];
      const real xhat = (v - e.mean) * exact_scale;
      const auto off = static_cast<double>(std::fabs((v - m.mean) * scale - xhat));
      if (!(off <= infinite)) return infinite;
      most = std::max(most, off / unit(static_cast<double>(xhat)));
    }
  }
  return most;
}

double column_oracle::inverse_error(const float* z, const float* x, const double* mean, const double* scale,
                                    std::size_t rows, std::size_t cols, std::size_t limit) {
  double most = 0;
  for (const std::size_t i : spread(rows, limit / std::max<std::size_t>(cols, 1))) {
    for (std::size_t j = 0; j < cols; ++j) {
      const float v = z[i * cols + j];
      if (std::isfinite(v)) most = std::max(most, weighted_error(v, x[i * cols + j], scale[j], mean[j]));
    }
  }
  return most;
}

}  // namespace bench

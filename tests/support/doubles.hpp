// SPDX-License-Identifier: Apache-2.0
//
// Row norms of f64 behind one call; hostile rows of doubles.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "data/nist_univariate.hpp"
#include "simdnorm/simdnorm.h"
#include "support/arena.hpp"
#include "support/data.hpp"
#include "support/operations.hpp"
#include "support/placed.hpp"

namespace simdnorm::test {

enum class double_norm { layer, rms, l2 };
inline const char* name_of(double_norm n) {
  return n == double_norm::layer ? "layer_norm" : n == double_norm::rms ? "rms_norm" : "l2_norm";
}
inline constexpr double_norm double_norms[] = {double_norm::layer, double_norm::rms, double_norm::l2};

enum class double_given { nothing, doubles, floats, gamma_alone, beta_alone };

struct double_rows {
  std::size_t rows = 0, cols = 0;
  std::vector<double> x, gamma, beta;  // gamma and beta are floats, too
  double epsilon = 1e-5;

  double_rows(std::size_t r, std::size_t c, std::uint64_t seed, double mean = 0) : rows(r), cols(c) {
    generator g(seed);
    for (std::size_t i = 0; i < rows * cols; ++i) x.push_back(mean + g.normal());
    for (std::size_t j = 0; j < cols; ++j) {
      const double weight = 1 + 0.25 * g.normal();
      gamma.push_back(static_cast<double>(static_cast<float>(weight)));
      beta.push_back(static_cast<double>(static_cast<float>(g.normal())));
    }
  }
};

struct double_how {
  double_given given = double_given::nothing;
  bool in_place = false, statistics = true;
  std::size_t pitch = 0;  // columns beyond the row
  mask pad{};
  const simdnorm_executor* executor = nullptr;
  simdnorm_activation function = SIMDNORM_ACTIVATION_NONE;
  bool unit_offset = false;
};

inline constexpr double double_unwritten = 0x1.23456789abcdep-700;

struct double_outputs {
  simdnorm_status status = -1;
  std::vector<double> y, mean, rstd;
  bool intact = false;
};

inline double* unwritten_doubles(arena& memory, std::size_t n) {
  auto* d = memory.take<double>(n);
  std::fill(d, d + n, double_unwritten);
  return d;
}
inline simdnorm_vector double_vector(arena& memory, std::size_t n) {
  return {unwritten_doubles(memory, n), n, SIMDNORM_F64};
}
inline void append(std::vector<double>& to, const simdnorm_vector& v) {
  const auto* d = static_cast<const double*>(v.data);
  to.insert(to.end(), d, d + v.size);
}

// rows x cols doubles in an arena, with `gap` more behind each row but the last; unwritten where nothing was put.
struct double_matrix {
  std::size_t rows, cols, pitch;
  double* data;
  double_matrix(arena& memory, std::size_t r, std::size_t c, std::size_t gap, const std::vector<double>* from = nullptr)
      : rows(r), cols(c), pitch(c + gap), data(unwritten_doubles(memory, r == 0 ? 0 : (r - 1) * pitch + c)) {
    for (std::size_t i = 0; from && i < rows; ++i) std::copy_n(from->data() + i * cols, cols, data + i * pitch);
  }
  [[nodiscard]] simdnorm_const_matrix in() const {
    return {data, rows, cols, static_cast<std::ptrdiff_t>(pitch), SIMDNORM_F64};
  }
  [[nodiscard]] simdnorm_matrix out() const {
    return {data, rows, cols, static_cast<std::ptrdiff_t>(pitch), SIMDNORM_F64};
  }
  [[nodiscard]] std::vector<double> elements() const {
    std::vector<double> all;
    for (std::size_t i = 0; i < rows; ++i) all.insert(all.end(), data + i * pitch, data + i * pitch + cols);
    return all;
  }
  // Whether nothing was written between the rows.
  [[nodiscard]] bool intact() const {
    for (std::size_t i = 0; i + 1 < rows; ++i)
      for (std::size_t j = cols; j < pitch; ++j)
        if (bits_of(data[i * pitch + j]) != bits_of(double_unwritten)) return false;
    return true;
  }
};

// The options of a norm in an arena, and its forms.
struct double_call {
  double_norm norm;
  simdnorm_vector mean, rstd;
  simdnorm_layer_norm_options layer = simdnorm_layer_norm_defaults();
  simdnorm_rms_norm_options rms = simdnorm_rms_norm_defaults();
  simdnorm_l2_norm_options l2 = simdnorm_l2_norm_defaults();

  double_call(double_norm n, const double_rows& p, const double_how& h, arena& memory)
      : norm(n), mean(double_vector(memory, p.rows)), rstd(double_vector(memory, p.rows)) {
    placed place{memory};
    const bool floats = h.given == double_given::floats, any = h.given != double_given::nothing;
    if (any && h.given != double_given::beta_alone) layer.gamma = rms.weight = place.in(p.gamma, floats);
    if (any && h.given != double_given::gamma_alone) layer.beta = place.in(p.beta, floats);
    layer.epsilon = rms.epsilon = l2.epsilon = p.epsilon;
    layer.padding = rms.padding = l2.padding = place.in(h.pad);
    layer.executor = rms.executor = l2.executor = h.executor;
    layer.activation = rms.activation = h.function;
    rms.add_unit_offset = h.unit_offset;
    if (!h.statistics) return;
    layer.mean = mean;
    layer.rstd = rms.rstd = l2.norm = rstd;
  }
  [[nodiscard]] simdnorm_status run(const simdnorm_const_matrix& x, const simdnorm_matrix& y) const {
    if (norm == double_norm::layer) return simdnorm_layer_norm(&x, &y, &layer);
    return norm == double_norm::rms ? simdnorm_rms_norm(&x, &y, &rms) : simdnorm_l2_norm(&x, &y, &l2);
  }
  [[nodiscard]] simdnorm_status run(const simdnorm_const_tensor& x, const simdnorm_tensor& y) const {
    if (norm == double_norm::layer) return simdnorm_layer_norm_nd(&x, &y, &layer);
    return norm == double_norm::rms ? simdnorm_rms_norm_nd(&x, &y, &rms) : simdnorm_l2_norm_nd(&x, &y, &l2);
  }
  [[nodiscard]] simdnorm_status add(const simdnorm_const_matrix& x, const simdnorm_const_matrix& residual,
                                    const simdnorm_const_vector& bias, const simdnorm_matrix* sum,
                                    const simdnorm_matrix& y) const {
    return norm == double_norm::layer ? simdnorm_add_layer_norm(&x, &residual, bias, sum, &y, &layer)
                                      : simdnorm_add_rms_norm(&x, &residual, bias, sum, &y, &rms);
  }
};

inline double_outputs run(double_norm n, const double_rows& p, const double_how& h, arena& memory) {
  memory.reset();
  const double_matrix x(memory, p.rows, p.cols, h.pitch, &p.x);
  const double_matrix y = h.in_place ? x : double_matrix(memory, p.rows, p.cols, h.pitch);
  const double_call call(n, p, h, memory);
  double_outputs out;
  out.status = call.run(x.in(), y.out());
  out.intact = memory.intact() && y.intact();
  out.y = y.elements();
  append(out.mean, call.mean);
  append(out.rstd, call.rstd);
  return out;
}
inline double_outputs run(double_norm n, const double_rows& p, const double_how& h = {}) {
  offset_arena memory;
  return run(n, p, h, memory);
}

inline bool same_doubles(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}
inline bool same_doubles(const double_outputs& a, const double_outputs& b) {
  return a.status == b.status && same_doubles(a.y, b.y) && same_doubles(a.mean, b.mean) && same_doubles(a.rstd, b.rstd);
}

// f(v): as weights of an RMS norm of ones, which are 1 before and after it, and NaN where v is.
inline std::vector<double> activated(simdnorm_activation f, const std::vector<double>& v) {
  const std::vector<double> ones(v.size(), 1.0);
  std::vector<double> y(v.size());
  const auto step = static_cast<std::ptrdiff_t>(v.size());
  const simdnorm_const_matrix x{ones.data(), 1, v.size(), step, SIMDNORM_F64};
  const simdnorm_matrix to{y.data(), 1, v.size(), step, SIMDNORM_F64};
  simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
  o.epsilon = 0;
  o.weight = {v.data(), v.size(), SIMDNORM_F64};
  o.activation = f;
  if (simdnorm_rms_norm(&x, &to, &o) != SIMDNORM_OK) std::abort();
  return y;
}

// Data whose certified values are of decimals: their f64 image is within 2^-53 of those.
inline std::vector<double> doubles_of(const nist::dataset& d) {
  std::vector<double> x(d.data, d.data + d.n);
  if (std::string(d.name) == "numacc4") {
    for (std::size_t i = 0; i < d.n; ++i) x[i] = i == 0 ? 10000000.2 : i % 2 == 1 ? 10000000.1 : 10000000.3;
  } else if (!d.exact_in_f32) {
    for (double& v : x) v = std::nearbyint(v * 1e5) / 1e5;
  }
  return x;
}

// One row that is hard for a reason, and the epsilon it is hard with.
struct hostile_doubles {
  std::string name;
  double epsilon;
  std::vector<double> x;
};

inline std::vector<hostile_doubles> hostile_rows_f64(std::size_t n, std::uint64_t seed = 7) {
  generator g(seed + n);
  std::vector<hostile_doubles> rows;
  const auto make = [&](const char* name, double epsilon, auto&& element) {
    hostile_doubles row{name, epsilon, std::vector<double>(n)};
    for (std::size_t i = 0; i < n; ++i) row.x[i] = static_cast<double>(element(i));
    rows.push_back(std::move(row));
  };
  const double big = std::numeric_limits<double>::max();
  make("constant 100.1", 1e-5, [](std::size_t) { return 100.1; });
  make("constant 0.1", 1e-5, [](std::size_t) { return 0.1; });
  make("constant 0.1, eps 0", 0.0, [](std::size_t) { return 0.1; });
  make("constant DBL_MAX", 1e-5, [&](std::size_t) { return big; });
  make("constant subnormal, eps 0", 0.0, [](std::size_t) { return 0x3p-1074; });
  make("zeros", 1e-5, [](std::size_t) { return 0.0; });
  make("zeros, eps 0", 0.0, [](std::size_t) { return 0.0; });
  make("minus zeros", 1e-5, [](std::size_t) { return -0.0; });
  make("first element 1e12", 1e-5, [&](std::size_t i) { return i == 0 ? 1e12 : g.normal(); });
  make("last element 1e12", 1e-5, [&](std::size_t i) { return i + 1 == n ? 1e12 : g.normal(); });
  make("first 64 at 1e12", 1e-5, [&](std::size_t i) { return g.normal() + (i < 64 ? 1e12 : 0); });
  make("one element 1e40", 1e-5, [&](std::size_t i) { return i == n / 2 ? 1e40 : g.normal(); });
  make("first element -1e40", 1e-5, [&](std::size_t i) { return i == 0 ? -1e40 : g.normal(); });
  make("one element 1.7e10, second", 1e-5, [&](std::size_t i) { return i == 1 ? 1.7e10 / 3 : 25 + g.normal(); });
  make("one element 1e308", 0.0, [&](std::size_t i) { return i == n / 3 ? 1e308 : g.normal(); });
  make("magnitude 1e250", 1e-5, [&](std::size_t) { return 1e250 * g.normal(); });
  make("1e250 away from 0", 1e-5, [&](std::size_t) { return 1e250 + 1e240 * g.normal(); });
  make("near DBL_MAX", 1e-5, [&](std::size_t) { return big * (1 - 0.1 * g.uniform()); });
  make("near DBL_MAX, eps 1e300", 1e300, [&](std::size_t) { return big * (1 - 0.1 * g.uniform()); });
  make("near DBL_MAX, both signs", 1e-5, [&](std::size_t) {
    const double v = big * (1 - 0.1 * g.uniform());
    return g.next() & 1 ? v : -v;
  });
  make("alternating DBL_MAX", 1e-5, [&](std::size_t i) { return i & 1 ? -big : big; });
  make("alternating DBL_MAX, eps 0", 0.0, [&](std::size_t i) { return i & 1 ? -big : big; });
  make("one DBL_MAX in subnormals", 0.0, [&](std::size_t i) { return i == n / 2 ? big : 1e-315 * g.normal(); });
  make("subnormal, eps 0", 0.0, [&](std::size_t) { return 1e-312 * g.normal(); });
  make("subnormal, eps 1e-5", 1e-5, [&](std::size_t) { return 1e-312 * g.normal(); });
  make("few subnormal steps, eps 0", 0.0, [&](std::size_t) { return 0x1p-1074 * static_cast<double>(g.below(4)); });
  make("1e-200, eps 0", 0.0, [&](std::size_t) { return 1e-200 * g.normal(); });
  make("1e-150 around 1e-140, eps 0", 0.0, [&](std::size_t) { return 1e-140 + 1e-150 * g.normal(); });
  make("1e-200, eps 1e-5", 1e-5, [&](std::size_t) { return 1e-200 * g.normal(); });
  make("1e-300, eps 1e-250", 1e-250, [&](std::size_t) { return 1e-300 * g.normal(); });
  make("1e-4, eps 1", 1.0, [&](std::size_t) { return 1e-4 * g.normal(); });
  make("1, eps 1e300", 1e300, [&](std::size_t) { return g.normal(); });
  make("one ulp apart", 0.0, [&](std::size_t) { return 1 + 0x1p-52 * static_cast<double>(g.next() & 1); });
  make("one ulp apart at 1e12", 1e-12, [&](std::size_t) { return 1e12 + 0x1p-13 * static_cast<double>(g.next() & 1); });
  make("step 0 to 1e12", 1e-5, [&](std::size_t i) { return g.normal() + (i < n / 2 ? 0 : 1e12); });
  make("ramp to 1e12", 1e-5, [&](std::size_t i) { return static_cast<double>(i) * 1e12 / static_cast<double>(n); });
  make("lognormal", 1e-5, [&](std::size_t) { return g.lognormal(); });
  make("cauchy", 1e-5, [&](std::size_t) { return g.cauchy(); });
  make("signed lognormal, eps 1e-12", 1e-12, [&](std::size_t) { return g.signed_lognormal(); });
  make("outlier channels", 1e-5, [&](std::size_t i) { return g.normal() * (i % 97 == 13 ? 60 : 0.4) - 0.1; });
  make("one massive channel", 1e-6, [&](std::size_t i) { return i % 512 == 138 ? -1300 + g.normal() : g.normal(); });
  make("one number, mostly", 1e-5, [&](std::size_t i) { return i % 5 == 3 ? 1 + g.uniform() : 0.1; });
  make("integers of sigma 40", 1e-5, [&](std::size_t) { return std::nearbyint(40 * g.normal()); });
  make("thirds", 1e-5, [&](std::size_t) { return static_cast<double>(g.below(7)) / 3; });
  return rows;
}

struct double_hash {
  std::string name;
  std::uint64_t hash, outputs;
};
// The norms over rows of all kinds, with the active instruction set; `rounds` of them.
inline std::vector<double_hash> hash_doubles(std::size_t rounds) {
  std::vector<double_hash> all;
  for (const double_norm n : double_norms) {
    hash h;
    std::uint64_t outputs = 0;
    const auto add = [&](const double_rows& p, const double_how& how) {
      const double_outputs out = run(n, p, how);
      h.add(out.y);
      h.add(out.mean);
      h.add(out.rstd);
      outputs += out.y.size() + 2 * p.rows;
    };
    for (std::size_t k = 0; k < rounds; ++k) {
      generator g(k + 1);
      double_how how;
      how.given = static_cast<double_given>(k % 5);
      for (const std::size_t limit : {std::size_t{40}, std::size_t{300}, std::size_t{3000}}) {
        const std::size_t cols = g.between(1, limit);
        const double mean = k % 3 == 0 ? 1e9 : 0.5;
        add(double_rows(3, cols, k, mean), how);
      }
      for (const hostile_doubles& row : hostile_rows_f64(g.between(1, 600), k)) {
        double_rows p(1, row.x.size(), k);
        p.x = row.x;
        p.epsilon = row.epsilon;
        add(p, how);
      }
      double_rows p(1, 1 + g.below(300), k);
      const int around = static_cast<int>(g.below(1900)) - 950;
      for (double& v : p.x) v = std::ldexp(g.normal(), around) * g.scale(k % 2 == 0 ? 200 : 1900);
      p.epsilon = k % 2 == 0 ? 0 : 1e-5;
      add(p, how);
    }
    all.push_back({std::string(name_of(n)) + "_f64", h.value(), outputs});
  }
  for (const simdnorm_activation f :
       {SIMDNORM_ACTIVATION_GELU, SIMDNORM_ACTIVATION_GELU_TANH, SIMDNORM_ACTIVATION_SILU}) {
    hash h;
    for (std::size_t k = 0; k < rounds; ++k) {
      generator g(k + 1);
      std::vector<double> v(1000);
      for (double& e : v) e = g.normal() * g.scale(k % 2 == 0 ? 24 : 1900);
      h.add(activated(f, v));
    }
    all.push_back({"activation_" + std::to_string(f) + "_f64", h.value(), 1000 * rounds});
  }
  // Columns: of normals, and hostile rows as columns.
  hash h;
  std::uint64_t outputs = 0;
  for (std::size_t k = 0; k < rounds; ++k) {
    generator g(k + 1);
    const std::size_t rows = g.between(1, 300);
    const std::vector<hostile_doubles> lines = hostile_rows_f64(rows, k);
    const std::size_t cols = lines.size() + 20;
    std::vector<double> x(rows * cols), y(rows * cols), one(cols), two(cols);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < cols; ++j)
        x[i * cols + j] = j < lines.size() ? lines[j].x[i] : g.normal() + (k % 2 == 0 ? 1e9 : 0);
    const simdnorm_const_matrix cx{x.data(), rows, cols, static_cast<std::ptrdiff_t>(cols), SIMDNORM_F64};
    const simdnorm_matrix cy{y.data(), rows, cols, static_cast<std::ptrdiff_t>(cols), SIMDNORM_F64};
    const auto add = [&](simdnorm_status s) {
      if (s != SIMDNORM_OK) std::abort();
      h.add(y);
      h.add(one);
      h.add(two);
      outputs += y.size() + 2 * cols;
    };
    simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
    o.epsilon = k % 3 == 0 ? 0 : 1e-5;
    o.mean = {one.data(), cols, SIMDNORM_F64};
    o.rstd = {two.data(), cols, SIMDNORM_F64};
    add(simdnorm_batch_norm_training(&cx, &cy, &o));
    add(simdnorm_standardize(&cx, &cy, one.data(), two.data(), nullptr));
    add(simdnorm_standardize_inverse(&cx, &cy, one.data(), two.data(), nullptr));
    add(simdnorm_min_max(&cx, &cy, one.data(), two.data(), nullptr));
    add(simdnorm_max_abs(&cx, &cy, one.data(), nullptr));
  }
  all.push_back({"columns_f64", h.value(), outputs});
  return all;
}

}  // namespace simdnorm::test

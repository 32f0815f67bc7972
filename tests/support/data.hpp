// SPDX-License-Identifier: Apache-2.0
//
// Inputs of the tests. Every platform must see the same ones, so they come from integers and from
// operations that IEEE 754 rounds exactly (+ - * / and scaling by powers of two); never from the
// logarithms and cosines inside std::normal_distribution, which differ between C libraries. And no
// expression draws two numbers: compilers differ in the order of evaluation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "support/wide.hpp"

namespace simdnorm::test {

// SIMDNORM_TEST_STEP (default 1) leaves out widths and seeds where an emulator makes all of them too slow.
inline std::size_t step_of_cases() {
  const char* text = std::getenv("SIMDNORM_TEST_STEP");
  return text ? std::max<std::size_t>(1, std::strtoull(text, nullptr, 10)) : 1;
}

// The turns of a loop over cases: one of step_of_cases() is taken.
class case_turns {
 public:
  bool skips() { return count_++ % step_of_cases() != 0; }

 private:
  std::size_t count_ = 0;
};

// SplitMix64 (Steele, Lea, Flood, 2014).
class generator {
 public:
  explicit generator(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(next() % n); }
  std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  // Sum of twelve uniform numbers: mean 0, variance 1, within 2 % of the normal density to 3 sigma.
  double normal() {
    const double low = uniform() - 0.5;
    return (twelve_lanes() + low) * 0x1p-16;
  }
  // The same on a grid, as data from integers, fixed point or bf16 are: roundings of sums over such
  // data repeat instead of cancelling.
  double normal_on_grid(double step) { return std::nearbyint(normal() / step) * step; }
  // Sum of four: a third of the price, for the tests that need many numbers and no distribution.
  double rough_normal() { return (lanes(next()) - 131070) * (0x1p-16 * 1.7320508); }
  // (1 + u) * 2^k with k normal of sigma 3: the spread of a lognormal.
  double lognormal() {
    const double u = uniform();
    return std::ldexp(1.0 + u, static_cast<int>(std::lrint(normal() * 3)));
  }
  double signed_lognormal() {
    const double v = lognormal();
    return next() & 1 ? v : -v;
  }
  // A normal times a power of two below 2^(bits / 2), at least 2^-(bits / 2).
  double scaled_normal(int bits) {
    const int exponent = static_cast<int>(below(static_cast<std::size_t>(bits) + 1)) - bits / 2;
    return std::ldexp(rough_normal(), exponent);
  }
  // Uniform in [1, 2) times such a power.
  double scale(int bits) {
    const int exponent = static_cast<int>(below(static_cast<std::size_t>(bits))) - bits / 2;
    return std::ldexp(1 + uniform(), exponent);
  }
  // Quotient of two normals is Cauchy; kept finite.
  double cauchy() {
    const double a = normal();
    const double b = normal();
    return a / (b == 0 ? 1 : b);
  }

 private:
  std::uint64_t state_;
  double twelve_lanes() { return lanes(next()) + lanes(next()) + lanes(next()) - 393210; }  // exact in any order
  static double lanes(std::uint64_t v) {
    return static_cast<double>((v & 0xffff) + (v >> 16 & 0xffff) + (v >> 32 & 0xffff) + (v >> 48));
  }
};

inline std::vector<float> normals(std::uint64_t seed, std::size_t n, double mean, double sigma = 1.0) {
  generator g(seed);
  std::vector<float> v(n);
  for (float& e : v) e = static_cast<float>(mean + sigma * g.normal());
  return v;
}

// One row (or column) that is hard for a reason, and the epsilon it is hard with.
struct hostile_row {
  std::string name;
  double epsilon;
  std::vector<float> x;
  bool constant = false;
};

inline std::vector<hostile_row> hostile_rows(std::size_t n, std::uint64_t seed = 7) {
  generator g(seed + n);
  std::vector<hostile_row> rows;
  const auto make = [&](const char* name, double epsilon, auto&& element) {
    hostile_row row{name, epsilon, std::vector<float>(n), false};
    for (std::size_t i = 0; i < n; ++i) row.x[i] = static_cast<float>(element(i));
    row.constant = std::all_of(row.x.begin(), row.x.end(), [&](float v) { return v == row.x[0]; });
    rows.push_back(std::move(row));
  };
  const double big = std::numeric_limits<float>::max();
  make("constant 100.1", 1e-5, [](std::size_t) { return 100.1f; });
  make("constant 0.1", 1e-5, [](std::size_t) { return 0.1f; });
  make("constant 0.1, eps 0", 0.0, [](std::size_t) { return 0.1f; });
  make("constant FLT_MAX", 1e-5, [&](std::size_t) { return big; });
  make("constant subnormal, eps 0", 0.0, [](std::size_t) { return 3e-45f; });
  make("zeros", 1e-5, [](std::size_t) { return 0.0; });
  make("zeros, eps 0", 0.0, [](std::size_t) { return 0.0; });
  make("minus zeros", 1e-5, [](std::size_t) { return -0.0; });
  make("first element 1e6", 1e-5, [&](std::size_t i) { return i == 0 ? 1e6 : g.normal(); });
  make("last element 1e6", 1e-5, [&](std::size_t i) { return i + 1 == n ? 1e6 : g.normal(); });
  make("first 64 at 1e6", 1e-5, [&](std::size_t i) { return g.normal() + (i < 64 ? 1e6 : 0); });
  make("one element 1e20", 1e-5, [&](std::size_t i) { return i == n / 2 ? 1e20 : g.normal(); });
  make("first element -1e20", 1e-5, [&](std::size_t i) { return i == 0 ? -1e20 : g.normal(); });
  make("one element 1e38", 0.0, [&](std::size_t i) { return i == n / 3 ? 1e38 : g.normal(); });
  make("magnitude 1e30", 1e-5, [&](std::size_t) { return 1e30 * g.normal(); });
  make("1e30 away from 0", 1e-5, [&](std::size_t) { return 1e30 + 1e26 * g.normal(); });
  make("near FLT_MAX", 1e-5, [&](std::size_t) { return big * (1 - 0.1 * g.uniform()); });
  make("near FLT_MAX, both signs", 1e-5, [&](std::size_t) {
    const double v = big * (1 - 0.1 * g.uniform());
    return g.next() & 1 ? v : -v;
  });
  make("alternating FLT_MAX", 1e-5, [&](std::size_t i) { return i & 1 ? -big : big; });
  make("alternating FLT_MAX, eps 0", 0.0, [&](std::size_t i) { return i & 1 ? -big : big; });
  make("one FLT_MAX in subnormals", 0.0, [&](std::size_t i) { return i == n / 2 ? big : 1e-42 * g.normal(); });
  make("subnormal, eps 0", 0.0, [&](std::size_t) { return 1e-40 * g.normal(); });
  make("subnormal, eps 1e-5", 1e-5, [&](std::size_t) { return 1e-40 * g.normal(); });
  make("few subnormal steps, eps 0", 0.0, [&](std::size_t) { return 0x1p-149 * static_cast<double>(g.below(4)); });
  make("1e-30, eps 0", 0.0, [&](std::size_t) { return 1e-30 * g.normal(); });
  make("1e-20 around 1e-18, eps 0", 0.0, [&](std::size_t) { return 1e-18 + 1e-20 * g.normal(); });
  make("1e-30, eps 1e-5", 1e-5, [&](std::size_t) { return 1e-30 * g.normal(); });
  make("1e-4, eps 1", 1.0, [&](std::size_t) { return 1e-4 * g.normal(); });
  make("one ulp apart", 0.0, [&](std::size_t) { return 1 + 0x1p-23 * static_cast<double>(g.next() & 1); });
  make("one ulp apart at 1e6", 1e-12, [&](std::size_t) { return 1e6 + 0x1p-4 * static_cast<double>(g.next() & 1); });
  make("step 0 to 1e6", 1e-5, [&](std::size_t i) { return g.normal() + (i < n / 2 ? 0 : 1e6); });
  make("ramp to 1e6", 1e-5, [&](std::size_t i) { return static_cast<double>(i) * 1e6 / static_cast<double>(n); });
  make("lognormal", 1e-5, [&](std::size_t) { return g.lognormal(); });
  make("cauchy", 1e-5, [&](std::size_t) { return g.cauchy(); });
  make("signed lognormal, eps 1e-12", 1e-12, [&](std::size_t) { return g.signed_lognormal(); });
  // Trained transformers: a few channels, the same in every token, stand 20 to 1000 sigma out.
  make("outlier channels", 1e-5, [&](std::size_t i) { return g.normal() * (i % 97 == 13 ? 60 : 0.4) - 0.1; });
  make("one massive channel", 1e-6, [&](std::size_t i) { return i % 512 == 138 ? -1300 + g.normal() : g.normal(); });
  return rows;
}

}  // namespace simdnorm::test

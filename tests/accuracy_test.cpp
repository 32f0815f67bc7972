// SPDX-License-Identifier: Apache-2.0
//
// The accuracy gate for row norms: against binary128, for means up to 1e6 and rows that break
// common formulas. The largest error of each test is printed and recorded.

#include <gtest/gtest.h>

#include <vector>

#include "support/data.hpp"
#include "support/gate.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class accuracy_test : public isa_fixture {
 protected:
  [[nodiscard]] static std::string here(const char* op) {
    return std::string(op) + ", " + simdnorm_isa_name(GetParam());
  }
};
SIMDNORM_FOR_EACH_ISA(accuracy_test);

enum class norm { layer, rms };

struct affine {
  std::vector<float> gamma, beta;  // either may be empty
};

// Normalizes one row and holds y, mean and rstd against the oracle.
void check_row(gate& g, norm n, const std::vector<float>& x, double epsilon, const std::string& where,
               const affine& a = {}) {
  const std::size_t cols = x.size();
  std::vector<float> y(cols, -1), mean(1, -1), rstd(1, -1);
  const exact_moments m = oracle_moments(x.data(), cols);
  status s;
  if (n == norm::layer) {
    layer_norm_options o;
    o.epsilon = epsilon;
    o.gamma = a.gamma;
    o.beta = a.beta;
    o.mean_out = mean;
    o.rstd_out = rstd;
    s = layer_norm({x.data(), 1, cols}, {y.data(), 1, cols}, o);
  } else {
    rms_norm_options o;
    o.epsilon = epsilon;
    o.weight = a.gamma;
    o.rstd_out = rstd;
    s = rms_norm({x.data(), 1, cols}, {y.data(), 1, cols}, o);
  }
  ASSERT_EQ(s, status::ok) << where;
  const wide variance = n == norm::layer ? m.variance() : m.mean_square;
  const wide centre = n == norm::layer ? m.mean : wide(0);
  const wide r = oracle_rstd(variance, epsilon);
  const bool with_beta = n == norm::layer && !a.beta.empty();  // rms_norm has no beta
  const bool plain = a.gamma.empty() && !with_beta;
  for (std::size_t j = 0; j < cols; ++j) {
    const wide xhat = (static_cast<wide>(x[j]) - centre) * r;
    if (plain)
      g.check(y[j], xhat, where, j);
    else
      g.check(y[j], xhat, a.gamma.empty() ? 1 : a.gamma[j], with_beta ? a.beta[j] : 0, where, j);
  }

  // mean_out and rstd_out are the f32 roundings of the internal values. An error of the mean is an
  // error of every x^ in units of sigma, so the gate allows it 2.5 * 2^-23; one of rstd is multiplied
  // by x^, of which an ulp is 2^-24 at least: 2.5 * 2^-24 of itself.
  if (n == norm::layer) {
    const double allowed = ulp_f32(m.mean) / 2 * 1.0001 + static_cast<double>(m.sigma()) * gate_ulps * 0x1p-23;
    EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(mean[0]) - m.mean)), allowed)
        << where << ": mean " << mean[0] << " should be " << static_cast<double>(m.mean);
  }
  if (variance + static_cast<wide>(epsilon) == 0) return;  // rstd of a constant row at epsilon 0: any
  const double exact = static_cast<double>(r);
  if (exact > 0x1.fffffep127) {
    EXPECT_GE(rstd[0], 0x1.fffffep127f) << where << ": rstd should overflow";
  } else {
    EXPECT_LE(std::fabs(static_cast<double>(rstd[0]) - exact),
              ulp_f32(exact) / 2 * 1.0001 + exact * gate_ulps * 0x1p-24)
        << where << ": rstd " << rstd[0] << " should be " << exact;
  }
}

std::vector<std::size_t> lengths() {
  std::vector<std::size_t> all;
  for (std::size_t n = 1; n <= 300; ++n) all.push_back(n);
  all.insert(all.end(), {333, 512, 513, 768, 1000, 1024, 4096, 65536});
  return all;
}
const double centres[] = {0, 1, 1e3, 1e4, 1e6};

std::string place(const char* what, double value, std::size_t n, std::uint64_t seed) {
  char text[96];
  std::snprintf(text, sizeof text, "%s %g, n %zu, seed %llu", what, value, n, static_cast<unsigned long long>(seed));
  return text;
}

void sweep(norm n, const char* name) {
  gate g(name);
  for (const double centre : centres)
    for (const std::size_t cols : lengths())
      for (std::uint64_t seed = 0; seed < (cols > 4096 ? 1 : 3); ++seed)
        check_row(g, n, normals(seed * 1000003 + cols, cols, centre), 1e-5, place("N(R,1), R", centre, cols, seed));
  g.report();
}
TEST_P(accuracy_test, layer_norm_of_normals_with_means_up_to_a_million) {
  sweep(norm::layer, here("layer_norm").c_str());
}
TEST_P(accuracy_test, rms_norm_of_normals_with_means_up_to_a_million) {
  sweep(norm::rms, here("rms_norm").c_str());
}

void affine_sweep(norm n, const char* name) {
  gate g(name);
  for (const double centre : centres)
    for (const std::size_t cols : {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 129, 300, 768, 1000, 4096}) {
      generator random(cols);
      affine both;
      // Scales from 1e-3 to 1e3, of both signs; shifts of any size beside them, so that gamma * x^
      // and beta cancel now and dominate then.
      for (std::size_t j = 0; j < cols; ++j) {
        both.gamma.push_back(static_cast<float>(std::ldexp(random.normal(), static_cast<int>(random.below(20)) - 10)));
        both.beta.push_back(static_cast<float>(std::ldexp(random.normal(), static_cast<int>(random.below(20)) - 10)));
      }
      both.gamma[0] = 0;
      both.beta[cols - 1] = 0;
      const std::vector<float> x = normals(cols + 17, cols, centre);
      check_row(g, n, x, 1e-5, place("gamma and beta, R", centre, cols, 0), both);
      check_row(g, n, x, 1e-12, place("gamma, R", centre, cols, 0), {both.gamma, {}});
      if (n == norm::layer) check_row(g, n, x, 1e-3, place("beta, R", centre, cols, 0), {{}, both.beta});
    }
  g.report();
}
TEST_P(accuracy_test, layer_norm_with_gamma_and_beta) {
  affine_sweep(norm::layer, here("layer_norm affine").c_str());
}
TEST_P(accuracy_test, rms_norm_with_weight) {
  affine_sweep(norm::rms, here("rms_norm weighted").c_str());
}

void hostile_sweep(norm n, const char* name) {
  gate g(name);
  for (const std::size_t cols :
       {1, 2, 3, 5, 8, 13, 16, 31, 33, 63, 64, 65, 96, 127, 129, 255, 257, 511, 513, 768, 1000, 1025, 4099}) {
    for (const hostile_row& row : hostile_rows(cols)) {
      const std::string where = row.name + ", n " + std::to_string(cols);
      check_row(g, n, row.x, row.epsilon, where);
      affine both;
      both.gamma.assign(cols, 1.7f);
      both.beta.assign(cols, -0.3f);
      check_row(g, n, row.x, row.epsilon, where + ", affine", both);
    }
  }
  g.report();
}
TEST_P(accuracy_test, layer_norm_of_hostile_rows) {
  hostile_sweep(norm::layer, here("layer_norm hostile").c_str());
}
TEST_P(accuracy_test, rms_norm_of_hostile_rows) {
  hostile_sweep(norm::rms, here("rms_norm hostile").c_str());
}

// Magnitudes from the subnormals to FLT_MAX, at epsilon 0: the same x^ at every scale.
TEST_P(accuracy_test, every_power_of_two_of_a_row) {
  gate layer(here("layer_norm scaled")), rms(here("rms_norm scaled"));
  const std::vector<float> base = normals(5, 100, 0.5);
  for (int exponent = -140; exponent <= 125; ++exponent) {
    std::vector<float> x = base;
    for (float& v : x) v = static_cast<float>(std::ldexp(static_cast<double>(v), exponent));
    const exact_moments m = oracle_moments(x.data(), x.size());
    if (m.m2 == 0) continue;
    const std::string where = "times 2^" + std::to_string(exponent);
    check_row(layer, norm::layer, x, 0, where);
    check_row(rms, norm::rms, x, 0, where);
    // Epsilon matters most when it equals the variance.
    check_row(layer, norm::layer, x, static_cast<double>(m.variance()), where + ", eps = variance");
    check_row(rms, norm::rms, x, static_cast<double>(m.variance()), where + ", eps = variance");
  }
  layer.report();
  rms.report();
}

// A ratio of mean to deviation between the tested powers of ten, up to where f32 has two values left.
TEST_P(accuracy_test, every_ratio_of_mean_to_deviation) {
  gate g(here("layer_norm, mean over sigma"));
  for (int exponent = -4; exponent <= 23; ++exponent)
    for (const std::size_t cols : {48, 64, 200, 1024})
      check_row(g, norm::layer, normals(static_cast<std::uint64_t>(exponent + 50), cols, std::ldexp(1.0, exponent)),
                1e-5, place("mean 2^", exponent, cols, 0));
  g.report();
}

// Data on a grid, as images, fixed point and bf16 give.
TEST_P(accuracy_test, data_on_a_grid) {
  gate layer(here("layer_norm on a grid")), rms(here("rms_norm on a grid"));
  case_turns turns;
  for (const double step : {1.0, 0.25, 0x1p-8, 0x1p-12, 0x1p-16, 0x1p-20})
    for (const double centre : {0.0, 0.5, 100.0, 128.0})
      for (const std::size_t cols : {48, 64, 100, 256, 768, 1000, 4096, 16384})
        for (std::uint64_t seed = 0; seed < 4; ++seed) {
          if (turns.skips()) continue;
          generator random(seed * 4099 + cols);
          std::vector<float> x(cols);
          // Unit deviation, or that of 8-bit images.
          for (float& v : x)
            v = static_cast<float>(centre + (step == 1 ? 40 : 1) * random.normal_on_grid(step == 1 ? 0.025 : step));
          if (step == 1)
            for (float& v : x) v = std::nearbyint(v);
          const std::string where = place("step", step, cols, seed) + ", centre " + std::to_string(centre);
          check_row(layer, norm::layer, x, 1e-5, where);
          check_row(rms, norm::rms, x, 1e-5, where);
        }
  layer.report();
  rms.report();
}

// The beginning of a row must not be trusted to look like the rest of it.
TEST_P(accuracy_test, prefixes_unlike_the_rest) {
  gate g(here("layer_norm, odd prefix"));
  case_turns turns;
  generator random(3);
  for (const double step : {0.0, 0x1p-16, 0x1p-8})
    for (const std::size_t prefix : {1, 2, 8, 16, 31, 32, 33, 63, 64, 65, 128, 500})
      for (const double jump : {1e-3, 0.3, 1.0, 3.0, 10.0, 100.0, 1e4, 1e6, 1e10, -1e6})
        for (const std::size_t cols : {129, 513, 1000, 2048}) {
          if (turns.skips()) continue;
          std::vector<float> x(cols);
          for (std::size_t i = 0; i < cols; ++i)
            x[i] = static_cast<float>((step > 0 ? random.normal_on_grid(step) : random.normal()) +
                                      (i < prefix ? jump : 0));
          check_row(g, norm::layer, x, 1e-5,
                    place("jump", jump, cols, prefix) + " elements of it, grid " + std::to_string(step));
        }
  g.report();
}

}  // namespace
}  // namespace simdnorm::test

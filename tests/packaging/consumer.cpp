// SPDX-License-Identifier: Apache-2.0
// An outside C++20 program: it has nothing but an installed simdnorm.
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "simdnorm/simdnorm.hpp"

namespace {

bool close(float a, float b) {
  return std::abs(a - b) <= 3e-7f;
}

const char* wrong() {
  const std::array<float, 6> x{1, 2, 3, 4, 6, 8};
  std::array<float, 6> y{};
  const simdnorm::matrix_view<const float> in(x.data(), 2, 3);
  const simdnorm::matrix_view<float> out(y.data(), 2, 3);

  if (simdnorm::layer_norm(in, out, {.epsilon = 0.0}) != simdnorm::status::ok) return "layer_norm";
  if (!close(y[0], -1.2247449f) || y[1] != 0.0f || !close(y[5], 1.2247449f)) return "layer_norm: wrong result";
  if (simdnorm::rms_norm(in, out) != simdnorm::status::ok) return "rms_norm";
  if (!close(y[2], 3.0f / std::sqrt(14.0f / 3.0f + 1e-5f))) return "rms_norm: wrong result";

  std::array<simdnorm::moments, 3> moments{};
  if (simdnorm::column_moments(in, moments) != simdnorm::status::ok) return "column_moments";
  if (moments[2].count != 2 || moments[2].mean != 5.5 || moments[2].m2 != 12.5) return "column_moments: wrong result";
  simdnorm::column_accumulator sums(3);
  if (sums.update(in) != simdnorm::status::ok || sums.update(in) != simdnorm::status::ok) return "accumulator";
  if (sums.result(moments) != simdnorm::status::ok || moments[0].count != 4) return "accumulator: wrong result";

  std::array<double, 3> mean{}, scale{};
  if (simdnorm::standardize_fit(in, mean, scale) != simdnorm::status::ok || scale[2] != 2.5) return "standardize_fit";

  simdnorm::isa isa{};
  if (simdnorm::active_isa(isa) != simdnorm::status::ok || simdnorm::to_string(isa).empty()) return "active_isa";
  return nullptr;
}

}  // namespace

int main() {
  if (const char* what = wrong()) {
    std::fprintf(stderr, "C++ consumer: %s\n", what);
    return 1;
  }
  std::printf("C++ consumer of simdnorm %s: ok\n", simdnorm_version());
}

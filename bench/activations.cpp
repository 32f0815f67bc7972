// SPDX-License-Identifier: Apache-2.0
//
// simdnorm-bench-activations: the activation functions alone, over 2,048 numbers N(0, 2) in L1, on every instruction
// set of this machine, beside a loop that copies and loops over libm's functions (plain, and -ffast-math). All take
// turns, forward and backward; times are medians, in multiples of the copying loop's.

#include "baselines/activations.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "runtime/dispatch.hpp"
#include "simdnorm/simdnorm.hpp"
#include "table.hpp"

namespace {

constexpr std::size_t n = 2048;
constexpr int rounds = 201;
constexpr double turn = 100e-6;  // seconds: short, so that few turns are interrupted
alignas(64) float x[n], y[n];

struct contestant {
  std::string function, who;
  std::function<void()> call;
  std::vector<double> seconds;  // of a call
};

double once(const contestant& c, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) c.call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

}  // namespace

int main() {
  using simdnorm::elementwise_function;
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2);
  for (float& v : x) v = normal(random);

  namespace b = simdnorm_baselines;
  std::vector<contestant> all;
  all.push_back({"copy", "-O3", [] { b::activations_libm::copy(x, y, n); }, {}});
  const struct {
    const char* name;
    elementwise_function function;
    void (*libm)(const float*, float*, std::size_t);
    void (*fast)(const float*, float*, std::size_t);
  } functions[] = {
      {"relu", elementwise_function::relu, nullptr, nullptr},
      {"gelu_erf", elementwise_function::gelu_erf, b::activations_libm::gelu_erf, b::activations_fast::gelu_erf},
      {"gelu_tanh", elementwise_function::gelu_tanh, b::activations_libm::gelu_tanh, b::activations_fast::gelu_tanh},
      {"silu", elementwise_function::silu, b::activations_libm::silu, b::activations_fast::silu},
      {"sigmoid", elementwise_function::sigmoid, nullptr, nullptr},
      {"tanh", elementwise_function::tanh, nullptr, nullptr},
      {"erf", elementwise_function::erf, nullptr, nullptr},
      {"exp", elementwise_function::exp, nullptr, nullptr},
  };
  for (const auto& f : functions) {
    for (const simdnorm_isa_state& state : simdnorm::isa_list()) {
      if (!state.available || simdnorm_isa_force(state.isa) != SIMDNORM_OK) continue;
      const simdnorm::kernel_table* table = simdnorm::active_table();
      const simdnorm::elementwise_arguments arguments{x, y, f.function};
      all.push_back({f.name,
                     simdnorm_isa_name(state.isa),
                     [=] {
                       table->elementwise_f32(arguments, {0, 1, 0, n});
                     },
                     {}});
    }
    if (f.libm) all.push_back({f.name, "libm", [g = f.libm] { g(x, y, n); }, {}});
    if (f.fast) all.push_back({f.name, "fast-math", [g = f.fast] { g(x, y, n); }, {}});
  }
  simdnorm_isa_reset();

  std::vector<int> calls;
  for (const contestant& c : all) {
    double least = 1;
    for (int k = 0; k < 5; ++k) least = std::min(least, once(c, 3));
    calls.push_back(std::max(1, static_cast<int>(turn / least)));
  }
  for (int r = 0; r < rounds; ++r) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::size_t k = r % 2 == 0 ? i : all.size() - 1 - i;
      all[k].seconds.push_back(once(all[k], calls[k]));
    }
  }
  const double copy = median(all[0].seconds);
  std::printf("%-10s %-10s %s\n", "function", "by", "times the copy's time");
  for (const contestant& c : all) {
    std::printf("%-10s %-10s %.1f\n", c.function.c_str(), c.who.c_str(), median(c.seconds) / copy);
  }
}

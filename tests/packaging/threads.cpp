// SPDX-License-Identifier: Apache-2.0
// An outside C++20 program that uses the default executor.
#include "simdnorm/threads.hpp"

#include <cstdio>
#include <numeric>
#include <vector>

#include "simdnorm/simdnorm.hpp"

int main() {
  constexpr std::size_t rows = 300, cols = 100;
  std::vector<float> x(rows * cols), alone(rows * cols), together(rows * cols);
  std::iota(x.begin(), x.end(), -1000.0f);
  const simdnorm::matrix_view<const float> in(x.data(), rows, cols);

  const simdnorm::executor_ptr executor = simdnorm::make_executor(2);
  if (!executor || simdnorm::batch_norm_training(in, {alone.data(), rows, cols}) != simdnorm::status::ok) return 1;
  simdnorm::batch_norm_options options;
  options.exec = executor.get();
  if (simdnorm::batch_norm_training(in, {together.data(), rows, cols}, options) != simdnorm::status::ok) return 1;
  if (alone != together) {
    std::fprintf(stderr, "C++ threads consumer: two threads and one differ\n");
    return 1;
  }
  std::printf("C++ threads consumer of simdnorm %s: ok\n", simdnorm_version());
}

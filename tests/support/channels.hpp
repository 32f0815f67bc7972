// SPDX-License-Identifier: Apache-2.0
//
// The norms of [batch, channels, spatial...] tensors behind one call, as operations.hpp has those of matrices: a
// promise that holds for all of them is tested on all of them by one loop.
#pragma once

#include <string>
#include <vector>

#include "support/operations.hpp"

namespace simdnorm::test {

enum class channel_operation {
  batch_norm_training,
  batch_norm_training_all,  // gamma, beta, running statistics, mean and rstd out, ReLU
  batch_norm_training_add,  // gamma, beta, a residual, ReLU
  batch_norm_inference,
  batch_norm_inference_add,  // a residual, ReLU
  group_norm,
  group_norm_all,   // gamma, beta, mean and rstd out
  group_norm_relu,  // gamma, beta, ReLU
  instance_norm,
  count_
};
inline std::vector<channel_operation> all_channel_operations() {
  std::vector<channel_operation> all;
  for (int i = 0; i < static_cast<int>(channel_operation::count_); ++i)
    all.push_back(static_cast<channel_operation>(i));
  return all;
}
const char* name_of(channel_operation op);
inline bool takes_statistics(channel_operation op) {
  return op != channel_operation::batch_norm_inference && op != channel_operation::batch_norm_inference_add;
}
inline bool is_batch_norm(channel_operation op) {
  return op < channel_operation::group_norm;
}
// What one set of statistics is taken over: a channel of all samples, a group of a sample.
inline bool is_fused(channel_operation op) {
  return op == channel_operation::batch_norm_training_all || op == channel_operation::batch_norm_training_add ||
         op == channel_operation::batch_norm_inference_add || op == channel_operation::group_norm_relu;
}
inline bool adds_residual(channel_operation op) {
  return op == channel_operation::batch_norm_training_add || op == channel_operation::batch_norm_inference_add;
}

// Elements are in the order of the dimensions.
struct channel_problem {
  std::vector<std::size_t> sizes;  // batch, channels, spatial...
  std::size_t groups = 1;
  std::vector<float> x, residual;
  std::vector<float> gamma, beta, mean, variance;  // channels
  double epsilon = 1e-5;

  [[nodiscard]] std::size_t batch() const { return sizes[0]; }
  [[nodiscard]] std::size_t channels() const { return sizes[1]; }
  [[nodiscard]] std::size_t positions() const {
    std::size_t n = 1;
    for (std::size_t i = 2; i < sizes.size(); ++i) n *= sizes[i];
    return n;
  }
  [[nodiscard]] std::size_t index(std::size_t n, std::size_t c, std::size_t s) const {
    return (n * channels() + c) * positions() + s;
  }
};

// Every channel (or, `by_sample`, every group of a sample) is another line of make_problem.
channel_problem make_channel_problem(std::uint64_t seed, std::vector<std::size_t> sizes, std::size_t groups, flavour f,
                                     bool by_sample);

struct channel_setup {
  bool last = false;            // channels last
  std::size_t batch_gap = 0;    // elements between samples
  std::size_t channel_gap = 0;  // between channels (channels first) or positions (channels last)
  bool reversed = false;        // channels (first) or positions (last) run backwards in memory
  bool in_place = false;
  bool residual_is_y = false;
  const simdnorm_executor* executor = nullptr;
  mask pad{};  // rows: positions; elements: in the order of the dimensions
  element_types types{};
};

// y is in the order of the dimensions.
result run(channel_operation op, const channel_problem& p, const channel_setup& s, arena& memory);
result run(channel_operation op, const channel_problem& p, const channel_setup& s = {});

// Whether element (n, c, s) counts.
bool real_element(const channel_problem& p, const mask& m, std::size_t n, std::size_t c, std::size_t s);

}  // namespace simdnorm::test

// SPDX-License-Identifier: Apache-2.0
//
// The norms of [batch, channels, spatial...] tensors behind one call, as operations.hpp has those of matrices: a
// promise that holds for all of them is tested on all of them by one loop.
#pragma once

#include <algorithm>
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

// Of a tensor whose elements are in the order of the dimensions.
struct channel_shape {
  std::vector<std::size_t> sizes;  // batch, channels, spatial...

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
  [[nodiscard]] std::size_t size() const { return batch() * channels() * positions(); }
  template <class Work>
  void for_elements(Work work) const {
    for_planes([&, size = positions()](std::size_t n, std::size_t c, std::size_t) {
      for (std::size_t s = 0; s < size; ++s) work(n, c, s);
    });
  }
  // work(n, c, index(n, c, 0))
  template <class Work>
  void for_planes(Work work) const {
    const std::size_t size = positions();
    std::size_t first = 0;
    for (std::size_t n = 0; n < batch(); ++n)
      for (std::size_t c = 0; c < channels(); ++c, first += size) work(n, c, first);
  }
};

struct channel_problem : channel_shape {
  std::size_t groups = 1;
  std::vector<float> x, residual;
  std::vector<float> gamma, beta, mean, variance;  // channels
  double epsilon = 1e-5;
};

// Every channel (or, `by_sample`, every group of a sample) is another line of make_problem.
channel_problem make_channel_problem(std::uint64_t seed, std::vector<std::size_t> sizes, std::size_t groups, flavour f,
                                     bool by_sample);
// Of the flavour and with the groups that the seed and the sizes give.
channel_problem sample(channel_operation op, const std::vector<std::size_t>& sizes, std::uint64_t seed);

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

std::string describe(channel_operation op, const channel_problem& p, const channel_setup& s = {});

// Where the elements of a tensor lie.
struct channel_place {
  std::vector<std::ptrdiff_t> strides;
  std::vector<std::ptrdiff_t> positions;  // where each is in a plane
  std::size_t count = 0;                  // elements from the lowest to the highest
  std::ptrdiff_t base = 0;

  channel_place(const channel_shape& p, const channel_setup& s);
  [[nodiscard]] std::size_t at(std::size_t n, std::size_t c, std::size_t s) const {
    return static_cast<std::size_t>(start(n, c) + positions[s]);
  }
  [[nodiscard]] std::ptrdiff_t start(std::size_t n, std::size_t c) const {
    return base + static_cast<std::ptrdiff_t>(n) * strides[0] + static_cast<std::ptrdiff_t>(c) * strides[1];
  }
  // The C struct of what begins at `data`.
  template <class Tensor>
  [[nodiscard]] Tensor view(const channel_shape& p, void* data, simdnorm_type type) const {
    Tensor t{};
    t.data = data;
    std::copy(p.sizes.begin(), p.sizes.end(), t.sizes);
    std::copy(strides.begin(), strides.end(), t.strides);
    t.rank = static_cast<std::int32_t>(p.sizes.size());
    t.type = type;
    return t;
  }
};
// An element mask in the order that the library takes it in: memory's.
mask in_memory_order(const channel_shape& p, const mask& m, const std::vector<std::ptrdiff_t>& strides);

// y is in the order of the dimensions.
result run(channel_operation op, const channel_problem& p, const channel_setup& s, arena& memory);
result run(channel_operation op, const channel_problem& p, const channel_setup& s = {});

// Whether element (n, c, s) counts.
bool real_element(const channel_shape& p, const mask& m, std::size_t n, std::size_t c, std::size_t s);
// Six kinds, drawn from one seed; the first is none.
std::vector<mask> masks_for(const channel_shape& p, std::uint64_t seed);

}  // namespace simdnorm::test

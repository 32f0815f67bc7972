// SPDX-License-Identifier: Apache-2.0
//
// A peer for loader_test.cpp: its layer norm doubles x, and it has no other operation. It keeps its
// result until finish, as peers do that allocate their output.
#include <vector>

#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

class doubling final : public job {
 public:
  explicit doubling(const simdnorm_peer_task& t) : t_(t), result_(t.rows * t.cols) {
    if (t.operation != SIMDNORM_PEER_LAYER_NORM) throw std::runtime_error("it can only double");
  }
  void run() override {
    for (std::size_t i = 0; i < result_.size(); ++i) result_[i] = 2 * t_.x[i];
  }
  void finish() override {
    for (std::size_t i = 0; i < result_.size(); ++i) t_.y[i] = result_[i];
  }

 private:
  simdnorm_peer_task t_;
  std::vector<float> result_;
};

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  description d;
  d.version = "1.2.3";
  d.note = setup.site;
  d.threads = setup.threads;
  d.operations = bit(SIMDNORM_PEER_LAYER_NORM);
  d.make = [](const simdnorm_peer_task& t) { return std::make_unique<doubling>(t); };
  return d;
}

}  // namespace simdnorm_peers

// SPDX-License-Identifier: Apache-2.0
//
// A peer for loader_test.cpp: its layer norm doubles x, with a residual it doubles the sum, its group norm
// multiplies a channel by its gamma; it has no other operation, and of halves bf16 alone. It keeps its result until
// finish, as peers do that allocate their output.
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

class doubling final : public job {
 public:
  explicit doubling(const simdnorm_peer_task& t) : t_(t), result_(t.rows * t.cols) {
    if (t.type == SIMDNORM_PEER_F16) throw std::runtime_error("of halves it doubles bf16");
    if (t.operation != SIMDNORM_PEER_LAYER_NORM && t.operation != SIMDNORM_PEER_ADD_LAYER_NORM &&
        t.operation != SIMDNORM_PEER_GROUP_NORM) {
      throw std::runtime_error("it can only double");
    }
  }
  void run() override {
    for (std::size_t i = 0; i < result_.size(); ++i) {
      const float x = element(i) + (has_residual(t_.operation) ? t_.residual[i] : 0);
      result_[i] = has_channels(t_.operation) ? x * t_.gamma[i / t_.cols % parameters(t_)] : 2 * x;
    }
  }
  void finish() override {
    // The upper half of a float is bf16.
    const std::size_t size = bytes_of(t_.type);
    for (std::size_t i = 0; i < result_.size(); ++i) {
      std::memcpy(static_cast<char*>(t_.y) + i * size, reinterpret_cast<const char*>(&result_[i]) + 4 - size, size);
    }
  }

 private:
  simdnorm_peer_task t_;
  std::vector<float> result_;

  [[nodiscard]] float element(std::size_t i) const {
    const std::size_t size = bytes_of(t_.type);
    float v = 0;
    std::memcpy(reinterpret_cast<char*>(&v) + 4 - size, static_cast<const char*>(t_.x) + i * size, size);
    return v;
  }
};

class sleeping final : public job {
 public:
  void run() override { std::this_thread::sleep_for(std::chrono::microseconds(100)); }
};

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  description d;
  d.version = "1.2.3";
  d.note = setup.site;
  d.threads = setup.threads;
  d.own_layout = true;
  d.operations[SIMDNORM_PEER_F32] =
      bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_ADD_LAYER_NORM) | bit(SIMDNORM_PEER_GROUP_NORM);
  // The second way sleeps: `fastest` must take the first.
  d.make = [](const simdnorm_peer_task& t) {
    return fastest(t, {[&] { return std::make_unique<doubling>(t); }, [&] { return std::make_unique<sleeping>(); }});
  };
  for (const simdnorm_peer_type type : half_types) ask_for(d, type);
  return d;
}

}  // namespace simdnorm_peers

// SPDX-License-Identifier: Apache-2.0
//
// No library: loops (baselines/limits.cpp) that are given what a norm has to find out. Beside it is seen what of a
// norm's time its arithmetic takes, and what its trees, roots, divisions and calls.
#include <cmath>

#include "../baselines/limits.hpp"
#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

using simdnorm_baselines::given_statistics;
using simdnorm_baselines::limit_task;

class loop final : public job {
 public:
  loop(const simdnorm_peer_task& t, void (*run)(const limit_task&)) : run_(run), statistics_(t.rows) {
    const auto* const x = static_cast<const float*>(t.x);
    const auto n = static_cast<double>(t.cols);
    for (std::size_t i = 0; i < t.rows; ++i) {
      const float* const row = x + i * t.cols;
      double sum = 0, squares = 0;
      for (std::size_t j = 0; j < t.cols; ++j) sum += static_cast<double>(row[j]);
      const double mean = t.operation == SIMDNORM_PEER_LAYER_NORM ? sum / n : 0;
      for (std::size_t j = 0; j < t.cols; ++j) {
        const double d = static_cast<double>(row[j]) - mean;
        squares += d * d;
      }
      const double rstd = 1 / std::sqrt(squares / n + static_cast<double>(t.epsilon));
      given_statistics& s = statistics_[i];
      s.shift = row[0];
      s.center = static_cast<float>(mean);
      s.high = static_cast<float>(rstd);
      s.low = static_cast<float>(rstd - static_cast<double>(s.high));
      s.offset = static_cast<float>((static_cast<double>(s.center) - mean) * rstd);
    }
    task_ = {x, static_cast<float*>(t.y), t.rows, t.cols, t.gamma, t.beta, statistics_.data(), sink_.data()};
  }
  // Of the fewest operations: x_hat = x * high + offset.
  void fewest() {
    for (given_statistics& s : statistics_) s.offset = -s.center * s.high;
  }
  void run() override { run_(task_); }

 private:
  void (*run_)(const limit_task&);
  std::vector<given_statistics> statistics_;
  std::array<float, 16> sink_ = {};
  limit_task task_ = {};
};

std::unique_ptr<job> make(const simdnorm_peer_task& t, bool least) {
  if (t.cols < 16) throw std::runtime_error("rows of less than a vector");
  using namespace simdnorm_baselines;
  const bool layer = t.operation == SIMDNORM_PEER_LAYER_NORM;
  const auto way = [&](void (*run)(const limit_task&)) {
    return [&t, run, least]() -> std::unique_ptr<job> {
      auto made = std::make_unique<loop>(t, run);
      if (least) made->fewest();
      return made;
    };
  };
  std::vector<std::function<std::unique_ptr<job>()>> ways = {way(!layer  ? limit_rms_norm
                                                                 : least ? limit_layer_norm_least
                                                                         : limit_layer_norm)};
  // Past the caches where that pays.
  if (t.cols % 16 == 0 && t.rows * t.cols >= std::size_t{1} << 18 && reinterpret_cast<std::uintptr_t>(t.y) % 64 == 0) {
    ways.push_back(way(!layer  ? limit_rms_norm_streamed
                       : least ? limit_layer_norm_least_streamed
                               : limit_layer_norm_streamed));
  }
  return fastest(t, ways);
}

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  const bool least = std::string(setup.name) == "limit_least";
  description d;
  d.version = "-";
  d.note = least ? "no norm: the fewest operations, statistics given; one thread"
                 : "no norm: this library's operations, statistics given; one thread";
  d.library = false;
  d.operations[SIMDNORM_PEER_F32] = bit(SIMDNORM_PEER_LAYER_NORM) | (least ? 0u : bit(SIMDNORM_PEER_RMS_NORM));
  d.make = [least](const simdnorm_peer_task& t) { return make(t, least); };
  return d;
}

}  // namespace simdnorm_peers

// SPDX-License-Identifier: Apache-2.0
//
// bench/run --sweep: where the border between outputs through the caches and past them should be.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

namespace bench {

struct setup;

struct sweep_point {
  double bytes;             // of the outputs
  double cached, streamed;  // seconds of a call
};

inline constexpr double streaming_always = 0, streaming_never = HUGE_VAL;

struct sweep_border {
  double bytes;  // streaming_always, streaming_never: beyond what was measured
  double gain;   // time over all sizes with another border, over that with this one, as a geometric mean
};

// The border with the least time: smaller sizes cached, others streamed. One disturbed point does not move
// it far. `points` in ascending order of size; `other` is the border to compare with.
inline sweep_border best_border(const std::vector<sweep_point>& points, double other) {
  const auto cost = [&](std::size_t first) {
    double logs = 0;
    for (std::size_t i = 0; i < points.size(); ++i) logs += std::log(i < first ? points[i].cached : points[i].streamed);
    return logs;
  };
  std::size_t best = 0, now = 0;
  for (std::size_t first = 1; first <= points.size(); ++first) {
    if (cost(first) < cost(best)) best = first;
    if (points[first - 1].bytes < other) now = first;
  }
  sweep_border b{streaming_always, 1};
  if (points.empty()) return b;
  b.gain = std::exp((cost(now) - cost(best)) / static_cast<double>(points.size()));
  if (best == points.size()) b.bytes = streaming_never;
  if (best > 0 && best < points.size()) {
    // Where the logarithm of the ratio, as a line between the two points, is 0.
    const sweep_point &u = points[best - 1], &v = points[best];
    const double below = std::log(u.streamed / u.cached), above = std::log(v.cached / v.streamed);
    b.bytes = u.bytes * std::pow(v.bytes / u.bytes, below + above > 0 ? below / (below + above) : 0.5);
  }
  return b;
}

// Measures and prints, for each of the kernels that has such a border.
void sweep(const setup& s, const std::vector<std::string>& kernels, bool quick);

}  // namespace bench

// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of bench/run --peers, without the measuring: who has a turn when, and what the times
// say about the library and each peer. No other part of the benchmark is included, so that a test can
// hold it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace bench {

// Rounds run A B C ... C B A: who ends a round begins the next, so every contestant follows each of its
// neighbours equally often, and a machine that gets slower meets all alike. Two rounds are one sweep.
inline std::vector<std::size_t> turns(std::size_t contestants, std::size_t round) {
  std::vector<std::size_t> order(contestants);
  for (std::size_t i = 0; i < contestants; ++i) order[i] = round % 2 == 0 ? i : contestants - 1 - i;
  return order;
}

inline double median(std::vector<double> v) {
  const auto middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  if (v.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(v.begin(), middle)) / 2;
}

enum class role {
  ours,        // the library, forced to an instruction set
  library,     // a peer that somebody ships
  own_layout,  // a library's, over the same numbers in a layout that its own networks keep
  code,        // what a compiler makes of plain loops
  yardstick,   // the copies: a limit, not a peer
};

struct timing {
  std::string op, shape;  // layer_norm, 16x768
  std::size_t elements = 0;
  std::string name;  // avx512, onednn3
  bench::role role = role::yardstick;
  bool in_place = false;
  double seconds = 0;
};

// Below this many elements a call of a framework is mostly the call: listed apart.
inline constexpr std::size_t small_elements = 8192;

// The fastest of the libraries that write out of place what they were given as it was given, shape by shape: a
// peer of its own.
inline constexpr const char* best_library = "best_library";

// How many times as long the peers took as ours, which is one of `all`: (peer, ratio) in the order of
// `all`, then best_library. In-place calls are compared with in-place calls, and only with them.
inline std::vector<std::pair<std::string, double>> ratios(const std::vector<timing>& all, const timing& ours) {
  std::vector<std::pair<std::string, double>> out;
  double best = 0;
  for (const timing& t : all) {
    if (t.op != ours.op || t.shape != ours.shape || t.in_place != ours.in_place) continue;
    if (t.role == role::ours || t.role == role::yardstick) continue;
    out.emplace_back(t.name, t.seconds / ours.seconds);
    if (t.role == role::library && !t.in_place && (best == 0 || t.seconds < best)) best = t.seconds;
  }
  if (best > 0) out.emplace_back(best_library, best / ours.seconds);
  return out;
}

struct mean_and_worst {
  std::size_t shapes = 0;
  double log_sum = 0, worst = 0;
  std::string worst_shape;

  void add(double ratio, const std::string& shape) {
    if (shapes == 0 || ratio < worst) {
      worst = ratio;
      worst_shape = shape;
    }
    log_sum += std::log(ratio);
    ++shapes;
  }
  [[nodiscard]] double mean() const { return shapes == 0 ? 0 : std::exp(log_sum / static_cast<double>(shapes)); }
};

// One line of the summary: an operation of ours on one instruction set against one peer.
struct summary_row {
  std::string op, ours, peer;
  mean_and_worst large, small;                         // from small_elements on, and below
  std::vector<std::pair<std::string, double>> smalls;  // each small shape

  [[nodiscard]] mean_and_worst all() const {
    if (large.shapes == 0) return small;
    mean_and_worst m = large;
    m.shapes += small.shapes;
    m.log_sum += small.log_sum;
    if (small.shapes > 0 && small.worst < m.worst) {
      m.worst = small.worst;
      m.worst_shape = small.worst_shape;
    }
    return m;
  }
};

// In order of appearance: by operation, then instruction set, then peer.
inline std::vector<summary_row> summarize(const std::vector<timing>& all) {
  std::vector<summary_row> rows;
  for (const timing& ours : all) {
    if (ours.role != role::ours) continue;
    for (const auto& [peer, ratio] : ratios(all, ours)) {
      auto row = std::find_if(rows.begin(), rows.end(), [&, &p = peer](const summary_row& r) {
        return r.op == ours.op && r.ours == ours.name && r.peer == p;
      });
      if (row == rows.end()) {
        // After the last row of the same operation and instruction set, or of the same operation.
        auto at = rows.end();
        for (auto r = rows.begin(); r != rows.end(); ++r) {
          if (r->op == ours.op && r->ours == ours.name) at = r + 1;
        }
        for (auto r = rows.begin(); at == rows.end() && r != rows.end(); ++r) {
          if (r->op == ours.op && (r + 1 == rows.end() || (r + 1)->op != ours.op)) at = r + 1;
        }
        row = rows.insert(at, summary_row{ours.op, ours.name, peer, {}, {}, {}});
      }
      if (ours.elements < small_elements) {
        row->small.add(ratio, ours.shape);
        row->smalls.emplace_back(ours.shape, ratio);
      } else {
        row->large.add(ratio, ours.shape);
      }
    }
  }
  return rows;
}

}  // namespace bench

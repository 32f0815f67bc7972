// SPDX-License-Identifier: Apache-2.0
//
// What is printed, and Google Benchmark's JSON.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "contest.hpp"

namespace bench {

// The gate of docs/numerics.md, in ulps of max(1, |xhat|): the library's variants must keep it.
inline constexpr double gate = 2.5;

class report {
 public:
  // "[3/70] layer_norm 128x768" on stderr, if that is a terminal.
  void progress(std::size_t at, std::size_t all, const std::string& what) const;

  // A new section; names: the widest of its lines decides on the columns.
  void section(const std::string& title, std::size_t name_width, bool statistics);
  void add(contest_results r);

  // A contest with peers: a table of its own.
  void add_peers(contest_results r);
  // Means and worst shapes per operation and peer; returns them as JSON too.
  [[nodiscard]] std::string peer_summary() const;

  // Geometric means of the library against the baselines.
  void summary() const;
  // Lines of the library beyond the gate; none is success.
  [[nodiscard]] std::vector<std::string> beyond_gate() const;

  // Google Benchmark's JSON, whole or not at all; throws std::runtime_error. more: further members of
  // the outermost object, `"name": value` with commas between them.
  void write_json(const std::string& path, const std::vector<std::pair<std::string, std::string>>& context,
                  const std::string& more = "") const;

 private:
  std::vector<contest_results> all_;
  std::size_t name_width_ = 0;
  bool statistics_ = false;
};

// Which cache holds this many bytes: "L1", "L2", "L3" or "DRAM".
const char* level_of(double bytes);
// Bytes of the last-level cache; assumed where the system does not tell.
double last_level();
// "L1 48 KiB, L2 2 MiB, L3 260 MiB", with a note where the system does not tell.
std::string cache_text();

}  // namespace bench

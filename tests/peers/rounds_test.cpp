// SPDX-License-Identifier: Apache-2.0
//
// bench/rounds.hpp: whose turn it is, and what the summary of --peers says.
#include "rounds.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "sweep.hpp"

namespace {

using bench::role;
using bench::timing;
using order = std::vector<std::size_t>;
using pairs = std::vector<std::pair<std::string, double>>;

TEST(rounds_test, forward_and_reversed) {
  EXPECT_EQ(bench::turns(4, 0), (order{0, 1, 2, 3}));
  EXPECT_EQ(bench::turns(4, 1), (order{3, 2, 1, 0}));
  EXPECT_EQ(bench::turns(4, 2), (order{0, 1, 2, 3}));
  EXPECT_EQ(bench::turns(1, 1), (order{0}));
  EXPECT_TRUE(bench::turns(0, 0).empty());
}

// A machine that slows down steadily meets all alike: over two rounds the turns of each contestant are
// on average at the same time.
TEST(rounds_test, drift_cancels) {
  constexpr std::size_t n = 7;
  std::vector<std::size_t> when(n);
  std::size_t time = 0;
  for (std::size_t round = 0; round < 2; ++round) {
    for (const std::size_t i : bench::turns(n, round)) when[i] += time++;
  }
  for (const std::size_t sum : when) EXPECT_EQ(sum, 2 * n - 1);
}

TEST(rounds_test, median) {
  EXPECT_EQ(bench::median({3}), 3);
  EXPECT_EQ(bench::median({9, 1, 5}), 5);
  EXPECT_EQ(bench::median({4, 1, 2, 100}), 3);
}

timing of(const char* op, const char* shape, std::size_t elements, const char* name, role r, double seconds,
          bool in_place = false) {
  return {op, shape, elements, name, r, in_place, seconds};
}

TEST(rounds_test, ratios_compare_like_with_like) {
  const std::vector<timing> all = {
      of("layer_norm", "16x768", 12288, "regular", role::yardstick, 0.1),
      of("layer_norm", "16x768", 12288, "avx512", role::ours, 2),
      of("layer_norm", "16x768", 12288, "avx512", role::ours, 4, true),
      of("layer_norm", "16x768", 12288, "clang", role::code, 1),
      of("layer_norm", "16x768", 12288, "slow", role::library, 10),
      of("layer_norm", "16x768", 12288, "fast", role::library, 3),
      of("layer_norm", "16x768", 12288, "inside", role::library, 2, true),
      of("layer_norm", "16x768", 12288, "blocked", role::own_layout, 1),
      of("layer_norm", "1x768", 768, "other shape", role::library, 1),
      of("rms_norm", "16x768", 12288, "other operation", role::library, 1),
  };
  // Autovectorized code is no library, and a layout of its own is not what was given: the best is `fast`.
  EXPECT_EQ(bench::ratios(all, all[1]),
            (pairs{{"clang", 0.5}, {"slow", 5}, {"fast", 1.5}, {"blocked", 0.5}, {"best_library", 1.5}}));
  // In place there is one peer, and no best library.
  EXPECT_EQ(bench::ratios(all, all[2]), (pairs{{"inside", 0.5}}));
}

TEST(rounds_test, summary) {
  std::vector<timing> all;
  const auto shape = [&](const char* name, std::size_t elements, double a, double b) {
    all.push_back(of("layer_norm", name, elements, "avx2", role::ours, 2));
    all.push_back(of("layer_norm", name, elements, "avx512", role::ours, 1));
    all.push_back(of("layer_norm", name, elements, "a", role::library, a));
    all.push_back(of("layer_norm", name, elements, "b", role::library, b));
  };
  shape("8191", 8191, 32, 16);  // small by one element
  shape("8192", 8192, 8, 4);
  shape("big", 1 << 20, 2, 9);
  all.push_back(of("rms_norm", "big", 1 << 20, "avx512", role::ours, 1));
  all.push_back(of("rms_norm", "big", 1 << 20, "a", role::library, 3));

  const std::vector<bench::summary_row> rows = bench::summarize(all);
  std::vector<std::string> names;
  for (const auto& r : rows) names.push_back(r.op + " " + r.ours + " " + r.peer);
  EXPECT_EQ(names,
            (std::vector<std::string>{"layer_norm avx2 a", "layer_norm avx2 b", "layer_norm avx2 best_library",
                                      "layer_norm avx512 a", "layer_norm avx512 b", "layer_norm avx512 best_library",
                                      "rms_norm avx512 a", "rms_norm avx512 best_library"}));
  const bench::summary_row& a = rows.at(3);
  EXPECT_EQ(a.large.shapes, 2u);
  EXPECT_DOUBLE_EQ(a.large.mean(), 4);  // of 8 and 2
  EXPECT_EQ(a.large.worst, 2);
  EXPECT_EQ(a.large.worst_shape, "big");
  EXPECT_EQ(a.small.shapes, 1u);
  EXPECT_EQ(a.smalls, (pairs{{"8191", 32}}));
  EXPECT_EQ(a.all().shapes, 3u);
  EXPECT_DOUBLE_EQ(a.all().mean(), 8);  // of 32, 8 and 2
  EXPECT_EQ(a.all().worst_shape, "big");
  // Shape by shape, not the best on average: b on the first two, a on the last.
  const bench::summary_row& best = rows.at(5);
  EXPECT_DOUBLE_EQ(best.large.mean(), std::sqrt(8.0));  // of 4 and 2
  EXPECT_EQ(best.smalls, (pairs{{"8191", 16}}));
  // On AVX2 the library took twice as long.
  EXPECT_DOUBLE_EQ(rows.at(2).large.mean(), std::sqrt(8.0) / 2);
}

TEST(rounds_test, border_of_a_sweep) {
  const auto border = [](const std::vector<bench::sweep_point>& points) { return bench::best_border(points, 3).bytes; };
  EXPECT_EQ(border({{1, 2, 1}, {2, 3, 1}}), bench::streaming_always);
  EXPECT_EQ(border({{1, 1, 2}, {2, 1, 2}}), bench::streaming_never);
  EXPECT_NEAR(border({{1, 1, 2}, {4, 2, 1}}), 2, 1e-12);  // as far below as above: in the middle
  EXPECT_NEAR(border({{1, 1, 1.01}, {4, 100, 1}, {16, 100, 1}}), 1, 1e-2);
  // One disturbed point on either side.
  EXPECT_NEAR(border({{1, 1, 4}, {2, 1.5, 1}, {4, 1, 2}, {16, 2, 1}, {32, 4, 1}}), 8, 1e-12);
  EXPECT_NEAR(border({{1, 1, 4}, {4, 4, 1}, {16, 1, 1.5}, {32, 4, 1}}), 2, 1e-12);
  // Today's border, 3, streams what takes twice the time at one size of two.
  EXPECT_NEAR(bench::best_border({{2, 1, 2}, {4, 1, 2}}, 3).gain, std::sqrt(2.0), 1e-12);
  EXPECT_EQ(bench::best_border({{2, 1, 2}, {4, 2, 1}}, 3).gain, 1);
}

TEST(rounds_test, nothing_large) {
  const std::vector<timing> all = {of("min_max", "2x2", 4, "avx2", role::ours, 1),
                                   of("min_max", "2x2", 4, "a", role::library, 5)};
  const auto rows = bench::summarize(all);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].large.shapes, 0u);
  EXPECT_EQ(rows[0].large.mean(), 0);
  EXPECT_DOUBLE_EQ(rows[0].all().mean(), 5);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
//
// bench/peers/loader.hpp: a peer that is there works, and one that is not is a reason in words.
#include "peers/loader.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using bench::open_peer;

constexpr const char* modules = SIMDNORM_TEST_MODULES;

TEST(loader_test, a_peer_that_is_there) {
  const bench::peer p = open_peer(modules, "the site", "doubling", 3);
  ASSERT_NE(p.table, nullptr) << p.why;
  EXPECT_EQ(p.name, "doubling");
  EXPECT_STREQ(p.table->version, "1.2.3");
  EXPECT_TRUE(std::string_view(p.table->note).starts_with("the site")) << p.table->note;
  EXPECT_EQ(p.table->threads, 3);
  EXPECT_TRUE(p.has(SIMDNORM_PEER_LAYER_NORM));
  EXPECT_FALSE(p.has(SIMDNORM_PEER_RMS_NORM));

  const std::array<float, 4> x = {1, 2, 3, 4};
  std::array<float, 4> y = {};
  simdnorm_peer_task task = {};
  task.operation = SIMDNORM_PEER_LAYER_NORM;
  task.rows = task.cols = 2;
  task.x = x.data();
  task.y = y.data();
  std::array<char, 64> why{};
  void* const handle = p.table->prepare(p.table, &task, why.data(), why.size());
  ASSERT_NE(handle, nullptr) << why.data();
  p.table->run(handle);
  EXPECT_EQ(y, (std::array<float, 4>{}));
  p.table->finish(handle);
  EXPECT_EQ(y, (std::array<float, 4>{2, 4, 6, 8}));
  p.table->destroy(handle);

  task.operation = SIMDNORM_PEER_RMS_NORM;
  EXPECT_EQ(p.table->prepare(p.table, &task, why.data(), why.size()), nullptr);
  EXPECT_STREQ(why.data(), "it can only double");
}

// What tasks of residuals and of channels carry beside x.
TEST(loader_test, residuals_and_channels) {
  const bench::peer p = open_peer(modules, "", "doubling", 1);
  ASSERT_NE(p.table, nullptr) << p.why;
  EXPECT_EQ(p.table->own_layout, 1u);
  EXPECT_TRUE(p.has(SIMDNORM_PEER_GROUP_NORM));
  EXPECT_FALSE(p.has(SIMDNORM_PEER_INSTANCE_NORM));

  const std::array<float, 8> x = {1, 2, 3, 4, 5, 6, 7, 8}, residual = {10, 20, 30, 40, 50, 60, 70, 80};
  const std::array<float, 2> gamma = {1, -1};
  std::array<float, 8> y = {};
  simdnorm_peer_task task = {};
  task.x = x.data();
  task.y = y.data();
  task.gamma = gamma.data();
  task.residual = residual.data();
  const auto result = [&] {
    void* const handle = p.table->prepare(p.table, &task, nullptr, 0);
    if (!handle) return false;
    p.table->run(handle);
    p.table->finish(handle);
    p.table->destroy(handle);
    return true;
  };
  task.operation = SIMDNORM_PEER_ADD_LAYER_NORM;
  task.rows = 2;
  task.cols = 4;
  ASSERT_TRUE(result());
  EXPECT_EQ(y, (std::array<float, 8>{22, 44, 66, 88, 110, 132, 154, 176}));

  task.operation = SIMDNORM_PEER_GROUP_NORM;
  task.batch = task.channels = task.groups = task.height = 2;
  task.width = 1;
  task.rows = 4;
  task.cols = 2;
  ASSERT_TRUE(result());
  EXPECT_EQ(y, (std::array<float, 8>{1, 2, -3, -4, 5, 6, -7, -8}));
}

// The library itself is asked for halves, and what it says against them is in the note.
TEST(loader_test, halves) {
  const bench::peer p = open_peer(modules, "", "doubling", 1);
  ASSERT_NE(p.table, nullptr) << p.why;
  EXPECT_TRUE(p.has(SIMDNORM_PEER_LAYER_NORM, SIMDNORM_PEER_BF16));
  EXPECT_FALSE(p.has(SIMDNORM_PEER_LAYER_NORM, SIMDNORM_PEER_F16));
  EXPECT_FALSE(p.has(SIMDNORM_PEER_RMS_NORM, SIMDNORM_PEER_BF16));
  EXPECT_FALSE(p.has(SIMDNORM_PEER_ADD_LAYER_NORM, SIMDNORM_PEER_BF16));
  EXPECT_STREQ(p.table->note, "; no layer norm of f16: of halves it doubles bf16");

  const std::array<std::uint16_t, 4> x = {0x3f80, 0x4000, 0xc040, 0};  // 1, 2, -3, 0
  std::array<std::uint16_t, 4> y = {};
  simdnorm_peer_task task = {};
  task.operation = SIMDNORM_PEER_LAYER_NORM;
  task.type = SIMDNORM_PEER_BF16;
  task.rows = task.cols = 2;
  task.x = x.data();
  task.y = y.data();
  void* const handle = p.table->prepare(p.table, &task, nullptr, 0);
  ASSERT_NE(handle, nullptr);
  p.table->run(handle);
  p.table->finish(handle);
  p.table->destroy(handle);
  EXPECT_EQ(y, (std::array<std::uint16_t, 4>{0x4000, 0x4080, 0xc0c0, 0}));
}

// A reason that does not fit is cut, not written beyond.
TEST(loader_test, a_long_reason) {
  const bench::peer p = open_peer(modules, "", "doubling", 1);
  ASSERT_NE(p.table, nullptr) << p.why;
  simdnorm_peer_task task = {};
  task.operation = SIMDNORM_PEER_MIN_MAX;
  std::array<char, 8> why;
  why.fill('#');
  EXPECT_EQ(p.table->prepare(p.table, &task, why.data(), 4), nullptr);
  EXPECT_STREQ(why.data(), "it ");
  EXPECT_EQ(why[4], '#');
}

TEST(loader_test, a_peer_that_is_not_there) {
  for (const char* folder : {modules, "/nonexistent"}) {
    const bench::peer p = open_peer(folder, "", "nobody", 1);
    EXPECT_EQ(p.table, nullptr);
    EXPECT_NE(p.why.find("peer_nobody.so"), std::string::npos) << p.why;
    for (int op = 0; op < SIMDNORM_PEER_OPERATIONS; ++op) {
      EXPECT_FALSE(p.has(static_cast<simdnorm_peer_operation>(op)));
    }
  }
}

TEST(loader_test, a_peer_that_refuses) {
  const bench::peer p = open_peer(modules, "", "refusing", 1);
  EXPECT_EQ(p.table, nullptr);
  EXPECT_EQ(p.why, "its library is of another century");
}

TEST(loader_test, a_module_that_is_no_peer) {
  const bench::peer p = open_peer(modules, "", "empty", 1);
  EXPECT_EQ(p.table, nullptr);
  EXPECT_NE(p.why.find("simdnorm_peer_open"), std::string::npos) << p.why;
}

// What bench/peers/fetch could not bring is told in its words, for that name alone.
TEST(loader_test, reasons_of_fetch) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("simdnorm_peers_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(std::string(modules) + "/peer_doubling.so", folder / "peer_doubling.so");
  std::ofstream(folder / "missing") << "doubling_twice: another one\ndoubling: no network: none at all\n";
  const bench::peer p = open_peer(folder.string(), "", "doubling", 1);
  EXPECT_EQ(p.table, nullptr);
  EXPECT_EQ(p.why, "no network: none at all");
  std::ofstream(folder / "missing") << "doubling_twice: another one\n";
  EXPECT_NE(open_peer(folder.string(), "", "doubling", 1).table, nullptr);
  std::filesystem::remove_all(folder);
}

// A name whose package PyPI does not have for this: fetch says why, and nobody looks for a module.
TEST(loader_test, a_peer_that_cannot_be_had) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("simdnorm_fetch_" + std::to_string(getpid()));
  const std::filesystem::path fetch = std::filesystem::path(SIMDNORM_BENCH_RUN).parent_path() / "peers" / "fetch";
  ASSERT_EQ(std::system((fetch.string() + " " + folder.string() + " --no-fetch sglang 2>&1").c_str()), 0);
  const bench::peer p = open_peer((folder / "peers").string(), "", "sglang", 1);
  EXPECT_EQ(p.table, nullptr);
  EXPECT_NE(p.why.find("sgl-kernel"), std::string::npos) << p.why;
  std::filesystem::remove_all(folder);
}

// bench/run knows the same names, and says so before it installs, builds or fetches anything.
TEST(loader_test, names_of_bench_run) {
  std::string said;
  FILE* const run = popen(SIMDNORM_BENCH_RUN " --peers nobody 2>&1", "r");
  ASSERT_NE(run, nullptr);
  for (std::array<char, 256> line; std::fgets(line.data(), line.size(), run);) said += line.data();
  EXPECT_EQ(WEXITSTATUS(pclose(run)), 2) << said;
  const std::string start = "there is no peer 'nobody'; there are ";
  const std::size_t from = said.find(start);
  ASSERT_NE(from, std::string::npos) << said;
  std::string list = ", " + said.substr(from + start.size(), said.find('\n', from) - from - start.size()) + ",";
  for (const std::string& name : bench::peer_names()) {
    const std::size_t at = list.find(" " + name + ",");
    ASSERT_NE(at, std::string::npos) << name << " is unknown to bench/run";
    list.erase(at, name.size() + 2);
  }
  EXPECT_EQ(list, ",") << "bench/run knows names that the program does not";
}

TEST(loader_test, workers_are_quiet) {
  bench::quiet_workers(2);
  EXPECT_STREQ(std::getenv("OMP_NUM_THREADS"), "2");
  EXPECT_STREQ(std::getenv("OMP_WAIT_POLICY"), "passive");
}

}  // namespace

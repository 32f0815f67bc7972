// SPDX-License-Identifier: Apache-2.0
//
// Machines that this one is not: synthetic and recorded topologies, control groups in a folder.
#include "runtime/topology.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace simdnorm {
namespace {

const cache_group* cache_of(const machine_shape& m, int level) {
  for (const cache_group& c : m.caches)
    if (c.level == level) return &c;
  return nullptr;
}

std::vector<place> all_places(const topology& t, std::size_t threads) {
  return t.places(threads, t.allowed());
}

std::vector<unsigned> first_cpus(const std::vector<place>& places) {
  std::vector<unsigned> cpus;
  for (const place& p : places) cpus.push_back(p.cpus.at(0));
  return cpus;
}

TEST(topology, this_machine) {
  const topology t = topology::load();
  if (!t.is_this_machine()) GTEST_SKIP() << "HWLOC_XMLFILE or HWLOC_SYNTHETIC is set";
  const machine_shape m = t.shape();
  EXPECT_GE(m.cpus, 1U);
  EXPECT_GE(m.cores, 1U);
  EXPECT_LE(m.cores, m.cpus);
  const unsigned allowed = count_cpus(t.allowed());
  EXPECT_GE(allowed, 1U);
  EXPECT_LE(allowed, m.cpus);
  EXPECT_EQ(all_places(t, allowed).size(), allowed);
  EXPECT_TRUE(all_places(t, allowed + 1).empty());
}

TEST(topology, one_core_without_l3) {
  const topology t = topology::from_synthetic("l2:1(size=262144) l1d:1(size=32768) core:1 pu:1");
  EXPECT_FALSE(t.is_this_machine());
  const machine_shape m = t.shape();
  EXPECT_EQ(m.cores, 1U);
  EXPECT_EQ(m.cpus, 1U);
  ASSERT_NE(cache_of(m, 1), nullptr);
  EXPECT_EQ(cache_of(m, 1)->bytes, 32768U);
  EXPECT_EQ(cache_of(m, 1)->kind, 'd');
  ASSERT_NE(cache_of(m, 2), nullptr);
  EXPECT_EQ(cache_of(m, 2)->bytes, 262144U);
  EXPECT_EQ(cache_of(m, 3), nullptr);
  EXPECT_TRUE(m.kinds.empty());
  EXPECT_EQ(all_places(t, 1).size(), 1U);
  EXPECT_TRUE(all_places(t, 2).empty());
}

TEST(topology, no_caches_and_no_cores) {
  const machine_shape m = topology::from_synthetic("pu:4").shape();
  EXPECT_TRUE(m.caches.empty());
  EXPECT_EQ(m.cores, 4U);
  EXPECT_EQ(m.cpus, 4U);
}

TEST(topology, two_sockets_with_numa) {
  // CPUs 0-15 are package 0: cores of two CPUs, 0-7 behind one L3, 8-15 behind the other.
  const topology t = topology::from_synthetic("pack:2 [numa] l3:2 core:4 pu:2");
  const machine_shape m = t.shape();
  EXPECT_EQ(m.packages, 2U);
  EXPECT_EQ(m.cores, 16U);
  EXPECT_EQ(m.cpus, 32U);
  ASSERT_EQ(m.memory.size(), 2U);
  EXPECT_EQ(m.memory[1].cpu_list, "16-31");
  ASSERT_NE(cache_of(m, 3), nullptr);
  EXPECT_EQ(cache_of(m, 3)->count, 4U);
  EXPECT_EQ(cache_of(m, 3)->cpus_each, 8U);

  // Spread: first the packages, then the L3 caches, then cores behind the same L3.
  EXPECT_EQ(first_cpus(all_places(t, 2)), (std::vector<unsigned>{0, 16}));
  EXPECT_EQ(first_cpus(all_places(t, 6)), (std::vector<unsigned>{0, 16, 8, 24, 2, 18}));
  // A whole core each, as long as there are cores.
  for (const place& p : all_places(t, 16)) EXPECT_EQ(p.cpus.size(), 2U);
  std::set<unsigned> cores;
  for (const place& p : all_places(t, 16)) cores.insert(p.core);
  EXPECT_EQ(cores.size(), 16U);
  // Then second hardware threads, after all cores.
  const std::vector<place> more = all_places(t, 20);
  ASSERT_EQ(more.size(), 20U);
  for (std::size_t i = 0; i < 20; ++i) {
    ASSERT_EQ(more[i].cpus.size(), 1U);
    EXPECT_EQ(more[i].cpus[0] % 2, i < 16 ? 0U : 1U);
  }
  EXPECT_EQ(all_places(t, 32).size(), 32U);
  EXPECT_TRUE(all_places(t, 33).empty());
}

TEST(topology, places_respect_the_mask) {
  const topology t = topology::from_synthetic("pack:2 [numa] core:4 pu:2");
  const cpu_set mask = to_cpu_set({1, 2, 3, 9, 14});
  EXPECT_EQ(list_cpus(mask), "1-3,9,14");
  EXPECT_EQ(count_cpus(mask), 5U);
  const std::vector<place> places = t.places(4, mask);
  EXPECT_EQ(first_cpus(places), (std::vector<unsigned>{1, 9, 2, 14}));
  EXPECT_EQ(places[2].cpus, (std::vector<unsigned>{2, 3}));
  EXPECT_EQ(first_cpus(t.places(5, mask)), (std::vector<unsigned>{1, 9, 2, 14, 3}));
  EXPECT_TRUE(t.places(6, mask).empty());
}

TEST(topology, hybrid) {
  // Four fast cores of two CPUs, 0-7; slow cores 8 and 10; an L3 that does not tell its size.
  const topology t = topology::from_xml(SIMDNORM_TEST_DATA "/hybrid.xml");
  const machine_shape m = t.shape();
  EXPECT_EQ(m.cores, 6U);
  EXPECT_EQ(m.cpus, 10U);
  ASSERT_EQ(m.kinds.size(), 2U);
  EXPECT_EQ(m.kinds[0].name, "IntelAtom");
  EXPECT_EQ(m.kinds[0].cores, 2U);
  EXPECT_EQ(m.kinds[1].name, "IntelCore");
  EXPECT_EQ(m.kinds[1].cores, 4U);
  EXPECT_EQ(m.kinds[1].cpus, 8U);
  EXPECT_LT(m.kinds[0].efficiency, m.kinds[1].efficiency);
  std::map<int, int> groups;
  for (const cache_group& c : m.caches) ++groups[c.level];
  EXPECT_EQ(groups, (std::map<int, int>{{1, 2}, {2, 2}, {3, 1}}));
  ASSERT_NE(cache_of(m, 3), nullptr);
  EXPECT_FALSE(cache_of(m, 3)->bytes.has_value());
  EXPECT_FALSE(cache_of(m, 3)->line_bytes.has_value());
  EXPECT_EQ(first_cpus(all_places(t, 6)), (std::vector<unsigned>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(first_cpus(all_places(t, 8)), (std::vector<unsigned>{0, 2, 4, 6, 8, 10, 1, 3}));
}

TEST(topology, nonsense_is_an_error) {
  EXPECT_THROW((void)topology::from_synthetic("pack:two"), std::runtime_error);
  EXPECT_THROW((void)topology::from_xml(SIMDNORM_TEST_DATA "/no_such_file.xml"), std::runtime_error);
}

// ---- control groups --------------------------------------------------------------------------------

class container : public ::testing::Test {
 protected:
  std::filesystem::path root_;

  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("simdnorm_container_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file(root_.string() + path);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  container_limits read() { return read_container_limits(root_.string()); }

  static constexpr const char* v2_mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
};

TEST_F(container, nothing_to_read) {
  const container_limits limits = read();
  EXPECT_EQ(limits.cgroup_version, 0);
  EXPECT_FALSE(limits.quota_cpus || limits.cpuset || limits.memory_bytes);
  EXPECT_EQ(usable_threads(8, limits), 8U);
  EXPECT_EQ(usable_threads(0, limits), 1U);
}

TEST_F(container, version_2_in_a_namespace) {  // what Docker shows inside
  write("/proc/self/cgroup", "0::/\n");
  write("/proc/self/mountinfo", v2_mount);
  write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  write("/sys/fs/cgroup/cpuset.cpus.effective", "0-3\n");
  write("/sys/fs/cgroup/memory.max", "2147483648\n");
  const container_limits limits = read();
  EXPECT_EQ(limits.cgroup_version, 2);
  EXPECT_EQ(limits.quota_cpus, 1.5);
  EXPECT_EQ(limits.cpuset, "0-3");
  EXPECT_EQ(limits.memory_bytes, 2147483648U);
  EXPECT_EQ(usable_threads(4, limits), 2U);  // rounded up
  EXPECT_EQ(usable_threads(1, limits), 1U);
}

TEST_F(container, version_2_tightest_level_counts) {
  write("/proc/self/cgroup", "0::/user.slice/app.service/\n");
  write("/proc/self/mountinfo", v2_mount);
  write("/sys/fs/cgroup/user.slice/cgroup.controllers", "cpu memory\n");
  write("/sys/fs/cgroup/user.slice/cpu.max", "50000 100000\n");
  write("/sys/fs/cgroup/user.slice/app.service/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/user.slice/app.service/memory.max", "max\n");
  const container_limits limits = read();
  EXPECT_EQ(limits.cgroup_version, 2);
  EXPECT_EQ(limits.quota_cpus, 0.5);
  EXPECT_FALSE(limits.memory_bytes);
  EXPECT_EQ(usable_threads(4, limits), 1U);
}

TEST_F(container, version_2_outside_the_mount) {
  write("/proc/self/cgroup", "0::/../other\n");
  write("/proc/self/mountinfo", v2_mount);
  write("/sys/fs/cgroup/cgroup.controllers", "cpu\n");
  write("/sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(read().quota_cpus, 3.0);
}

TEST_F(container, version_1) {
  write("/proc/self/cgroup", "9:memory:/docker/abc\n5:cpu,cpuacct:/docker/abc\n3:cpuset:/docker/abc\n0::/\n");
  // Without a namespace: the mount's root is the container's group.
  write("/proc/self/mountinfo",
        "31 23 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:29 / /sys/fs/cgroup/cpuset ro shared:9 - cgroup cgroup rw,cpuset\n"
        "33 23 0:30 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "34 23 0:31 / /sys/fs/cgroup/unified ro - cgroup2 cgroup2 rw\n");
  write("/sys/fs/cgroup/unified/cgroup.controllers", "\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/cpuset/docker/abc/cpuset.cpus", "2-5\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const container_limits limits = read();
  EXPECT_EQ(limits.cgroup_version, 1);
  EXPECT_EQ(limits.quota_cpus, 2.5);
  EXPECT_EQ(limits.cpuset, "2-5");
  EXPECT_FALSE(limits.memory_bytes);  // "no limit"
  EXPECT_EQ(usable_threads(4, limits), 3U);
}

TEST_F(container, version_1_without_quota) {
  write("/proc/self/cgroup", "1:cpu:/\n");
  write("/proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const container_limits limits = read();
  EXPECT_EQ(limits.cgroup_version, 1);
  EXPECT_FALSE(limits.quota_cpus);
}

TEST_F(container, broken_files_are_no_limits) {
  write("/proc/self/cgroup", "nonsense\n0::/\n:\n");
  write("/proc/self/mountinfo", std::string("short\n1 2 - \n") + v2_mount);
  write("/sys/fs/cgroup/cpu.max", "abc\n");
  write("/sys/fs/cgroup/memory.max", "");
  const container_limits limits = read();
  EXPECT_FALSE(limits.quota_cpus || limits.memory_bytes || limits.cpuset);
}

}  // namespace
}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// What the machine looks like and how much of it this process may use. Read through hwloc and the
// control group files, for simdnorm-info and for executors; a kernel call never gets here.
//
// "cpu" means what hwloc calls a PU and the kernel a CPU: one hardware thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct hwloc_topology;
struct hwloc_bitmap_s;

namespace simdnorm {

// Caches of one level, kind and size. Virtual machines often leave a size, a line size or the whole
// cache out: whoever uses one needs a default.
struct cache_group {
  int level;
  char kind;                           // 'd' data, 'i' instruction, 'u' unified
  std::optional<std::uint64_t> bytes;  // of each
  std::optional<unsigned> line_bytes;
  unsigned count;
  unsigned cpus_each;
};

struct memory_node {
  unsigned os_index;
  std::optional<std::uint64_t> bytes;
  unsigned cpus;
  std::string cpu_list;  // "0-7,16-23"; empty for memory without CPUs (CXL, HBM as a node)
};

// Cores that differ in efficiency ("hybrid"); least performance first. Empty where all are alike.
struct core_kind {
  int efficiency;
  unsigned cores, cpus;
  std::string name;  // as the operating system calls it; may be empty
};

struct machine_shape {
  unsigned packages = 0, cores = 0, cpus = 0;
  std::vector<cache_group> caches;  // L1 first
  std::vector<memory_node> memory;
  std::vector<core_kind> kinds;
};

// Where one thread of an executor belongs.
struct place {
  unsigned core;               // logical index in this topology
  std::vector<unsigned> cpus;  // operating system indices, ascending
};

struct bitmap_deleter {
  void operator()(hwloc_bitmap_s* set) const noexcept;
};
using cpu_set = std::unique_ptr<hwloc_bitmap_s, bitmap_deleter>;

// A loaded hwloc topology. Constructors throw std::runtime_error or std::bad_alloc.
class topology {
 public:
  // This machine, or what HWLOC_XMLFILE or HWLOC_SYNTHETIC in the environment say.
  static topology load();
  static topology from_synthetic(const std::string& description);  // "pack:2 l3:1 core:4 pu:2"
  static topology from_xml(const std::string& file);

  // False for a recorded or synthetic one: nothing can be bound there.
  [[nodiscard]] bool is_this_machine() const;
  [[nodiscard]] machine_shape shape() const;

  // CPUs that the process may run on: the union of its threads' affinity masks, which the cpuset
  // of a container limits. All CPUs if this is not the machine we run on.
  [[nodiscard]] cpu_set allowed() const;

  // One place per thread, within `allowed`: a physical core each, the faster kinds of core first,
  // taken in turn from packages, NUMA nodes and last-level caches; second hardware threads only
  // after all cores. Empty if there are more threads than CPUs: then nobody should be bound.
  [[nodiscard]] std::vector<place> places(std::size_t threads, const cpu_set& allowed) const;

  // Binds the calling thread; false if the system refuses.
  bool bind_this_thread(const cpu_set& cpus) const;
  // Where the calling thread may run; null if unknown.
  [[nodiscard]] cpu_set binding_of_this_thread() const;

 private:
  struct destroy {
    void operator()(hwloc_topology* t) const noexcept;
  };
  std::unique_ptr<hwloc_topology, destroy> handle_;

  explicit topology(hwloc_topology* loaded);
  static topology finish(hwloc_topology* configured);
};

[[nodiscard]] unsigned count_cpus(const cpu_set& cpus);
[[nodiscard]] std::string list_cpus(const cpu_set& cpus);  // "0-3,8"
[[nodiscard]] cpu_set to_cpu_set(const std::vector<unsigned>& cpus);

// Limits of the control groups that the process is in; the tightest of all levels.
struct container_limits {
  int cgroup_version = 0;             // 1 or 2: which one governs CPU time; 0: none found
  std::optional<double> quota_cpus;   // CPU time per wall time; may be fractional
  std::optional<std::string> cpuset;  // as written there
  std::optional<std::uint64_t> memory_bytes;
};

// `root` stands before every path that is read (/proc/self/cgroup, /proc/self/mountinfo and the
// mounts that they name), for tests.
[[nodiscard]] container_limits read_container_limits(const std::string& root = "");

// How many threads make sense: the allowed CPUs, or the quota rounded up if that is less. At least 1.
[[nodiscard]] unsigned usable_threads(unsigned allowed_cpus, const container_limits& limits);

}  // namespace simdnorm

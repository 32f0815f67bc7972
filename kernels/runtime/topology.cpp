// SPDX-License-Identifier: Apache-2.0
#include "runtime/topology.hpp"

#include <hwloc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <new>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace simdnorm {

namespace {

cpu_set make_set() {
  cpu_set set(hwloc_bitmap_alloc());
  if (!set) throw std::bad_alloc();
  return set;
}

cpu_set copy_set(hwloc_const_bitmap_t from) {
  cpu_set set(hwloc_bitmap_dup(from));
  if (!set) throw std::bad_alloc();
  return set;
}

std::string list_of(hwloc_const_bitmap_t set) {
  char* text = nullptr;
  if (hwloc_bitmap_list_asprintf(&text, set) < 0 || text == nullptr) throw std::bad_alloc();
  const std::unique_ptr<char, decltype(&std::free)> owner(text, &std::free);
  return text;
}

unsigned weight_of(hwloc_const_bitmap_t set) {
  const int weight = hwloc_bitmap_weight(set);
  return weight < 0 ? 0U : static_cast<unsigned>(weight);
}

unsigned count_of(hwloc_topology_t t, hwloc_obj_type_t type) {
  const int count = hwloc_get_nbobjs_by_type(t, type);
  return count < 0 ? 0U : static_cast<unsigned>(count);
}

// A topology without core objects (old kernels, some hypervisors) is one core per CPU.
std::vector<hwloc_obj_t> cores_of(hwloc_topology_t t) {
  const hwloc_obj_type_t type = count_of(t, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  std::vector<hwloc_obj_t> cores;
  for (hwloc_obj_t o = nullptr; (o = hwloc_get_next_obj_by_type(t, type, o)) != nullptr;) cores.push_back(o);
  return cores;
}

template <class T>
std::optional<T> known(T value) {
  return value == 0 ? std::nullopt : std::optional<T>(value);
}

}  // namespace

void bitmap_deleter::operator()(hwloc_bitmap_s* set) const noexcept {
  hwloc_bitmap_free(set);
}
void topology::destroy::operator()(hwloc_topology* t) const noexcept {
  hwloc_topology_destroy(t);
}

topology::topology(hwloc_topology* loaded) : handle_(loaded) {}

topology topology::finish(hwloc_topology* configured) {
  topology result(configured);
  unsigned long flags = 0;
#if HWLOC_API_VERSION >= 0x00020500
  // hwloc may otherwise move the calling thread over all CPUs to run cpuid there.
  flags |= HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;
#endif
#if HWLOC_API_VERSION >= 0x00020800
  flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS;  // unused, slow on big machines
#endif
  if (hwloc_topology_set_flags(configured, flags) != 0 || hwloc_topology_load(configured) != 0)
    throw std::runtime_error("hwloc cannot read the topology");
  return result;
}

topology topology::load() {
  hwloc_topology_t t = nullptr;
  if (hwloc_topology_init(&t) != 0) throw std::bad_alloc();
  return finish(t);
}

topology topology::from_synthetic(const std::string& description) {
  hwloc_topology_t t = nullptr;
  if (hwloc_topology_init(&t) != 0) throw std::bad_alloc();
  if (hwloc_topology_set_synthetic(t, description.c_str()) != 0) {
    hwloc_topology_destroy(t);
    throw std::runtime_error("not a synthetic topology: " + description);
  }
  return finish(t);
}

topology topology::from_xml(const std::string& file) {
  hwloc_topology_t t = nullptr;
  if (hwloc_topology_init(&t) != 0) throw std::bad_alloc();
  if (hwloc_topology_set_xml(t, file.c_str()) != 0) {
    hwloc_topology_destroy(t);
    throw std::runtime_error("not a recorded topology: " + file);
  }
  return finish(t);
}

bool topology::is_this_machine() const {
  return hwloc_topology_is_thissystem(handle_.get()) != 0;
}

machine_shape topology::shape() const {
  hwloc_topology_t t = handle_.get();
  machine_shape shape;
  shape.packages = count_of(t, HWLOC_OBJ_PACKAGE);
  shape.cpus = count_of(t, HWLOC_OBJ_PU);
  const std::vector<hwloc_obj_t> cores = cores_of(t);
  shape.cores = static_cast<unsigned>(cores.size());

  // Hybrid machines have caches of several sizes at one level: a group each.
  for (hwloc_obj_type_t type : {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L1ICACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE,
                                HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L5CACHE}) {
    using key = std::tuple<std::uint64_t, unsigned, unsigned>;
    std::map<key, unsigned, std::greater<>> groups;
    char kind = 'u';
    int level = 0;
    for (hwloc_obj_t o = nullptr; (o = hwloc_get_next_obj_by_type(t, type, o)) != nullptr;) {
      const auto& cache = o->attr->cache;
      kind = cache.type == HWLOC_OBJ_CACHE_DATA ? 'd' : cache.type == HWLOC_OBJ_CACHE_INSTRUCTION ? 'i' : 'u';
      level = static_cast<int>(cache.depth);
      ++groups[key(cache.size, cache.linesize, weight_of(o->cpuset))];
    }
    for (const auto& [k, count] : groups) {
      const auto& [bytes, line, cpus] = k;
      shape.caches.push_back({level, kind, known(bytes), known(line), count, cpus});
    }
  }

  for (hwloc_obj_t o = nullptr; (o = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_NUMANODE, o)) != nullptr;)
    shape.memory.push_back(
        {o->os_index, known<std::uint64_t>(o->attr->numanode.local_memory), weight_of(o->cpuset), list_of(o->cpuset)});

#if HWLOC_API_VERSION >= 0x00020400
  const int kinds = hwloc_cpukinds_get_nr(t, 0);
  for (int i = 0; kinds > 1 && i < kinds; ++i) {
    const cpu_set cpus = make_set();
    int efficiency = -1;
    unsigned infos = 0;
    hwloc_info_s* info = nullptr;
    if (hwloc_cpukinds_get_info(t, static_cast<unsigned>(i), cpus.get(), &efficiency, &infos, &info, 0) != 0) continue;
    std::string name;
    for (unsigned j = 0; j < infos; ++j)
      if (std::string(info[j].name) == "CoreType") name = info[j].value;
    const auto inside = [&](hwloc_obj_t core) { return hwloc_bitmap_isincluded(core->cpuset, cpus.get()) != 0; };
    const auto count = std::count_if(cores.begin(), cores.end(), inside);
    shape.kinds.push_back({efficiency, static_cast<unsigned>(count), weight_of(cpus.get()), std::move(name)});
  }
#endif
  return shape;
}

cpu_set topology::allowed() const {
  hwloc_topology_t t = handle_.get();
  cpu_set allowed = copy_set(hwloc_topology_get_allowed_cpuset(t));
  if (!is_this_machine()) return allowed;
  // Of the process, not of the thread: callers pin their main thread and still expect workers on
  // other CPUs, if some thread of theirs may run there.
  const cpu_set bound = make_set();
  if (hwloc_get_cpubind(t, bound.get(), HWLOC_CPUBIND_PROCESS) == 0 ||
      hwloc_get_cpubind(t, bound.get(), HWLOC_CPUBIND_THREAD) == 0) {
    const cpu_set both = make_set();
    hwloc_bitmap_and(both.get(), bound.get(), allowed.get());
    if (!hwloc_bitmap_iszero(both.get())) hwloc_bitmap_copy(allowed.get(), both.get());
  }
  return allowed;
}

std::vector<place> topology::places(std::size_t threads, const cpu_set& allowed) const {
  hwloc_topology_t t = handle_.get();
  struct candidate {
    place where;
    unsigned sibling;                   // 0: the core itself or its first CPU
    int kind;                           // greater: faster
    unsigned in_l3, l3, node, package;  // each counted from 0 within the next
  };
  // Which number `child` has among the children of `parent`, in order of appearance.
  using key = std::tuple<hwloc_obj_t, int, hwloc_obj_t>;
  std::map<key, std::map<key, unsigned>> children;
  const auto number = [&](const key& parent, const key& child) {
    auto& known_ones = children[parent];
    return known_ones.emplace(child, static_cast<unsigned>(known_ones.size())).first->second;
  };

  std::vector<candidate> cores;
  std::map<std::pair<key, int>, unsigned> seen;
  for (hwloc_obj_t core : cores_of(t)) {
    candidate c{};
    c.where.core = core->logical_index;
    unsigned cpu = 0;
    hwloc_bitmap_foreach_begin(cpu, core->cpuset) {
      if (hwloc_bitmap_isset(allowed.get(), cpu)) c.where.cpus.push_back(cpu);
    }
    hwloc_bitmap_foreach_end();
    if (c.where.cpus.empty()) continue;
#if HWLOC_API_VERSION >= 0x00020400
    c.kind = std::max(hwloc_cpukinds_get_by_cpuset(t, core->cpuset, 0), 0);  // ordered by efficiency
#endif
    hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(t, HWLOC_OBJ_PACKAGE, core);
    hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(t, HWLOC_OBJ_L3CACHE, core);
    const int node = hwloc_bitmap_first(core->nodeset);
    c.package = number({nullptr, -1, nullptr}, {package, -1, nullptr});
    c.node = number({package, -1, nullptr}, {package, node, nullptr});
    c.l3 = number({package, node, nullptr}, {package, node, l3});
    c.in_l3 = seen[{key(package, node, l3), c.kind}]++;
    cores.push_back(std::move(c));
  }

  std::vector<candidate> all;
  if (threads <= cores.size()) {
    all = std::move(cores);  // a whole core each: the system may pick either of its hardware threads
  } else {
    for (const candidate& core : cores) {
      for (unsigned i = 0; i < core.where.cpus.size(); ++i) {
        candidate c = core;
        c.where.cpus = {core.where.cpus[i]};
        c.sibling = i;
        all.push_back(std::move(c));
      }
    }
  }
  if (threads > all.size()) return {};
  const auto order = [](const candidate& c) {
    return std::tuple(c.sibling, -c.kind, c.in_l3, c.l3, c.node, c.package, c.where.core);
  };
  std::sort(all.begin(), all.end(), [&](const candidate& a, const candidate& b) { return order(a) < order(b); });
  std::vector<place> places;
  for (std::size_t i = 0; i < threads; ++i) places.push_back(std::move(all[i].where));
  return places;
}

bool topology::bind_this_thread(const cpu_set& cpus) const {
  return hwloc_set_cpubind(handle_.get(), cpus.get(), HWLOC_CPUBIND_THREAD) == 0;
}

cpu_set topology::binding_of_this_thread() const {
  cpu_set set(hwloc_bitmap_alloc());
  if (set && hwloc_get_cpubind(handle_.get(), set.get(), HWLOC_CPUBIND_THREAD) != 0) set.reset();
  return set;
}

unsigned count_cpus(const cpu_set& cpus) {
  return weight_of(cpus.get());
}
std::string list_cpus(const cpu_set& cpus) {
  return list_of(cpus.get());
}

cpu_set to_cpu_set(const std::vector<unsigned>& cpus) {
  cpu_set set = make_set();
  for (unsigned cpu : cpus)
    if (hwloc_bitmap_set(set.get(), cpu) != 0) throw std::bad_alloc();
  return set;
}

// ---- control groups ------------------------------------------------------------------------------

namespace {

std::string first_line(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

// A number, or nothing for "max", -1, an empty or a missing file.
std::optional<double> positive_number(const std::string& text) {
  std::istringstream in(text);
  double value = 0;
  if (!(in >> value) || !(value > 0)) return std::nullopt;
  return value;
}

template <class T>
void tighten(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

bool has_word(const std::string& list, char separator, const std::string& word) {
  std::istringstream in(list);
  for (std::string each; std::getline(in, each, separator);)
    if (each == word) return true;
  return false;
}

// The directories of a controller from the process's own group up to the root of its mount.
// controller empty: the unified hierarchy of version 2.
std::vector<std::string> group_directories(const std::string& root, const std::string& controller) {
  // /proc/self/cgroup: "id:controllers:path"; version 2 has id 0 and no controllers.
  std::string path;
  bool member = false;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t a = line.find(':');
    const std::size_t b = a == std::string::npos ? a : line.find(':', a + 1);
    if (b == std::string::npos) continue;
    const std::string names = line.substr(a + 1, b - a - 1);
    if (controller.empty() ? names.empty() : has_word(names, ',', controller)) {
      path = line.substr(b + 1);
      member = true;
    }
  }
  if (!member) return {};

  // /proc/self/mountinfo: "id parent dev root mountpoint options... - type source superoptions"
  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream head(line.substr(0, dash)), tail(line.substr(dash + 3));
    std::string id, parent, device, mount_root, mount_point, type, source, options;
    head >> id >> parent >> device >> mount_root >> mount_point;
    tail >> type >> source >> options;
    if (controller.empty() ? type != "cgroup2" : type != "cgroup" || !has_word(options, ',', controller)) continue;
    // Inside a container the mount may show only the container's own subtree.
    if (mount_root != "/" && path.compare(0, mount_root.size(), mount_root) == 0) path.erase(0, mount_root.size());
    if (path.find("..") != std::string::npos) path.clear();  // outside what is mounted here
    while (!path.empty() && path.back() == '/') path.pop_back();
    std::vector<std::string> directories;
    for (;;) {
      directories.push_back(root + mount_point + path);
      if (path.empty()) break;
      path.erase(path.rfind('/'));
    }
    return directories;
  }
  return {};
}

}  // namespace

container_limits read_container_limits(const std::string& root) {
  container_limits limits;
  for (const std::string& directory : group_directories(root, "")) {
    if (has_word(first_line(directory + "/cgroup.controllers"), ' ', "cpu")) limits.cgroup_version = 2;
    // "max 100000" or "150000 100000": microseconds of CPU time per period
    std::istringstream cpu(first_line(directory + "/cpu.max"));
    std::string quota, period;
    if (cpu >> quota >> period) {
      const std::optional<double> q = positive_number(quota), p = positive_number(period);
      if (q && p) tighten(limits.quota_cpus, std::optional<double>(*q / *p));
    }
    const std::string cpuset = first_line(directory + "/cpuset.cpus.effective");
    if (!limits.cpuset && !cpuset.empty()) limits.cpuset = cpuset;  // the own group's is the tightest
    const std::optional<double> memory = positive_number(first_line(directory + "/memory.max"));
    if (memory) tighten(limits.memory_bytes, std::optional<std::uint64_t>(static_cast<std::uint64_t>(*memory)));
  }
  if (limits.cgroup_version == 2) return limits;  // a controller belongs to one version or the other

  for (const std::string& directory : group_directories(root, "cpu")) {
    limits.cgroup_version = 1;
    const std::optional<double> q = positive_number(first_line(directory + "/cpu.cfs_quota_us"));
    const std::optional<double> p = positive_number(first_line(directory + "/cpu.cfs_period_us"));
    if (q && p) tighten(limits.quota_cpus, std::optional<double>(*q / *p));
  }
  for (const std::string& directory : group_directories(root, "cpuset")) {
    std::string cpuset = first_line(directory + "/cpuset.effective_cpus");
    if (cpuset.empty()) cpuset = first_line(directory + "/cpuset.cpus");
    if (!limits.cpuset && !cpuset.empty()) limits.cpuset = cpuset;
  }
  for (const std::string& directory : group_directories(root, "memory")) {
    const std::optional<double> memory = positive_number(first_line(directory + "/memory.limit_in_bytes"));
    // "No limit" is LONG_MAX rounded down to pages.
    if (memory && *memory < 9.2e18)
      tighten(limits.memory_bytes, std::optional<std::uint64_t>(static_cast<std::uint64_t>(*memory)));
  }
  return limits;
}

unsigned usable_threads(unsigned allowed_cpus, const container_limits& limits) {
  unsigned threads = std::max(allowed_cpus, 1U);
  // A quota of 1.5 CPUs is two threads: together they are stopped for a quarter of the time, but
  // one alone would leave a third of the quota unused.
  if (limits.quota_cpus && *limits.quota_cpus < threads)
    threads = std::max(1U, static_cast<unsigned>(std::ceil(*limits.quota_cpus)));
  return threads;
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report.hpp"

namespace simdnorm::info {

namespace {

// "48 KiB", "1.25 MiB"
std::string size_text(std::uint64_t bytes) {
  static constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  const double hundredths = std::round(value * 100) / 100;
  std::snprintf(text, sizeof text, "%.6g %s", hundredths, units[unit]);
  return text;
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string count_text(unsigned count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}
std::string cpus_text(unsigned count) {
  return count_text(count, "CPU", "CPUs");
}

std::string join(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(text.size() + 1, width), ' ');
  return text;
}

// "label        value": labels in one column all over the report.
constexpr std::size_t label_width = 18;
std::string row(const std::string& label, const std::string& value) {
  return padded(label, label_width) + value + "\n";
}

// The same for many words: lines of about 80 characters.
std::string rows(std::string label, const std::vector<std::string>& words) {
  std::string out, line;
  for (const std::string& word : words) {
    if (!line.empty() && label_width + line.size() + word.size() > 80) {
      out += row(label, line);
      label.clear();
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return out + row(label, line);
}

std::string cache_name(const cache_group& c) {
  // += and not "L" + std::to_string(...): GCC 12 sees an overlap there (its bug 105329).
  std::string name = "L";
  name += std::to_string(c.level);
  if (c.kind != 'u') name += c.kind;
  return name;
}

std::string cache_text(const cache_group& c, bool with_count) {
  std::string text = c.bytes ? size_text(*c.bytes) : "size unknown";
  if (with_count && c.count > 1) text = std::to_string(c.count) + " x " + text;
  return text;
}

std::string machine_text(const machine_shape& m) {
  std::vector<std::string> parts;
  if (m.packages > 0) parts.push_back(count_text(m.packages, "package", "packages"));
  parts.push_back(count_text(m.cores, "core", "cores"));
  parts.push_back(cpus_text(m.cpus));
  if (m.memory.size() > 1) parts.push_back(std::to_string(m.memory.size()) + " NUMA nodes");
  return join(parts, ", ");
}

// The CPU set is told only where it says more than the affinity mask, which it limits.
std::string container_text(const process_report& p) {
  const container_limits& c = p.container;
  std::vector<std::string> parts;
  if (c.cpuset && c.cpuset != p.affinity) parts.push_back("CPU set " + *c.cpuset);
  if (c.quota_cpus) parts.push_back("time of " + number_text(*c.quota_cpus) + " CPUs");
  if (c.memory_bytes) parts.push_back(size_text(*c.memory_bytes) + " of memory");
  if (!c.quota_cpus && !c.memory_bytes) parts.push_back("no limit of CPU time or memory");
  return join(parts, ", ") + (c.cgroup_version == 0 ? "" : " (cgroup v" + std::to_string(c.cgroup_version) + ")");
}

std::string control_word_text(const control_word_report& w) {
  return std::string("round to ") + w.rounding + ", FTZ " + (w.flush_to_zero ? "on" : "off") + ", DAZ " +
         (w.denormals_are_zero ? "on" : "off") +
         (w.ieee_default ? " (IEEE default)" : " (calls switch to IEEE default)");
}

std::string cpu_name(const cpu_report& c) {
  if (!c.model_name.empty()) return c.model_name;
  return c.vendor.empty() ? c.architecture : c.vendor + " " + c.architecture;
}

std::string active_name(const isa_report& isa) {
  return isa.status == SIMDNORM_OK ? simdnorm_isa_name(isa.active) : "none";
}

const char* yes_no(int value) {
  return value != 0 ? "yes" : "no";
}

}  // namespace

std::string to_text(const report& r) {
  const library_report& lib = r.library;
  std::string out =
      row("simdnorm " + lib.version,
          lib.linkage + ", " + (lib.build_type.empty() ? "no build type" : lib.build_type) + ", " + lib.compiler);
  if (lib.version != lib.header_version) out += row("", "built with headers of " + lib.header_version);

  out += "\n" + row("CPU", cpu_name(r.cpu));
  std::vector<std::string> identity;
  if (!r.cpu.vendor.empty() && r.cpu.vendor != cpu_name(r.cpu)) identity.push_back(r.cpu.vendor);
  if (r.cpu.family) identity.push_back("family " + std::to_string(*r.cpu.family));
  if (r.cpu.model) identity.push_back("model " + std::to_string(*r.cpu.model));
  if (r.cpu.stepping) identity.push_back("stepping " + std::to_string(*r.cpu.stepping));
  if (!identity.empty()) out += row("  identity", join(identity, ", "));
  if (r.cpu.hypervisor) out += row("  virtual machine", *r.cpu.hypervisor);
  // The library has no kernels for these yet.
  if (!r.cpu.other_features.empty()) out += rows("  also has", r.cpu.other_features);

  out += "\n" + row("Instruction sets", "built   CPU   OS");
  for (const simdnorm_isa_state& s : r.isa.sets) {
    const bool active = r.isa.status == SIMDNORM_OK && s.isa == r.isa.active;
    out += row(std::string("  ") + simdnorm_isa_name(s.isa),
               padded(yes_no(s.compiled), 8) + padded(yes_no(s.cpu), 6) +
                   (active ? padded(yes_no(s.os), 6) + "<- active" : yes_no(s.os)));
  }
  out += row("  chosen as", r.isa.reason);
  out += row("  ceiling", r.isa.max_isa ? "SIMDNORM_MAX_ISA=" + *r.isa.max_isa : "none (SIMDNORM_MAX_ISA is not set)");

  // Families down, element types across.
  std::vector<std::string> families, dtypes;
  for (const kernel_report& k : r.kernels) {
    if (std::find(families.begin(), families.end(), k.family) == families.end()) families.push_back(k.family);
    if (std::find(dtypes.begin(), dtypes.end(), k.dtype) == dtypes.end()) dtypes.push_back(k.dtype);
  }
  std::size_t width = label_width;
  for (const std::string& f : families) width = std::max(width, f.size() + 4);
  const auto trimmed = [](std::string line) { return line.erase(line.find_last_not_of(' ') + 1) + "\n"; };
  std::string line = padded("Kernels", width);
  for (const std::string& d : dtypes) line += padded(d, 9);
  out += "\n" + trimmed(line);
  for (const std::string& f : families) {
    line = padded("  " + f, width);
    for (const std::string& d : dtypes) {
      const auto is_it = [&](const kernel_report& k) { return k.family == f && k.dtype == d; };
      const auto k = std::find_if(r.kernels.begin(), r.kernels.end(), is_it);
      line += padded(k == r.kernels.end() ? "-" : k->isa, 9);
    }
    out += trimmed(line);
  }

  out += "\n" + row("Machine", r.machine ? machine_text(*r.machine) : "unknown: hwloc cannot read it");
  if (r.machine) {
    if (!r.this_machine) out += row("  source", "recorded or synthetic, not this machine");
    for (const core_kind& k : r.machine->kinds)
      out += row("  core kind", count_text(k.cores, "core", "cores") + ", " + cpus_text(k.cpus) +
                                    (k.name.empty() ? "" : ", " + k.name) + ", efficiency rank " +
                                    (k.efficiency < 0 ? "unknown" : std::to_string(k.efficiency)));
    unsigned line_bytes = 0;  // told where it changes
    for (int level = 1; level <= 5; ++level) {
      bool any = false;
      for (const cache_group& c : r.machine->caches) {
        if (c.level != level) continue;
        any = true;
        std::string text = cache_text(c, true);
        if (c.cpus_each > 1) text += ", shared by " + cpus_text(c.cpus_each);
        if (c.line_bytes && *c.line_bytes != line_bytes) {
          line_bytes = *c.line_bytes;
          text += ", lines of " + size_text(line_bytes);
        }
        out += row("  " + cache_name(c), text);
      }
      if (!any && level <= 3) out += row("  L" + std::to_string(level), "none, or unknown");
    }
    for (const memory_node& n : r.machine->memory)
      out += row(
          "  NUMA node " + std::to_string(n.os_index),
          (n.bytes ? size_text(*n.bytes) : "size unknown") + (n.cpus == 0 ? ", without CPUs" : ", CPUs " + n.cpu_list));
  }
  out += row("  past the caches", "outputs of at least " + size_text(r.memory.stream_border));
  if (r.memory.page_bytes)
    out += row("  pages", size_text(*r.memory.page_bytes) +
                              (r.memory.huge_pages ? ", transparent huge pages: " + *r.memory.huge_pages : ""));

  out += "\n" + std::string("This process\n");
  if (r.process.affinity) out += row("  may run on", cpus_text(*r.process.affinity_cpus) + ": " + *r.process.affinity);
  out += row("  container", container_text(r.process));
  out += row("  threads", std::to_string(r.process.threads) + " in a default executor");
  out += row("  control word", control_word_text(r.control_word));
  return out;
}

std::string to_short_text(const report& r) {
  constexpr std::size_t width = 10;
  const auto line = [&](const char* label, const std::string& value) { return padded(label, width) + value + "\n"; };
  std::string out = "simdnorm " + r.library.version + " runs on " + active_name(r.isa) + ": " + r.isa.reason +
                    (r.isa.max_isa ? " (" + *r.isa.max_isa + ")" : "") + "\n";
  out += line("CPU", cpu_name(r.cpu) + (r.cpu.hypervisor ? " (" + *r.cpu.hypervisor + " virtual machine)" : "") +
                         (r.machine ? ", " + machine_text(*r.machine) : "") +
                         (r.machine && !r.this_machine ? " (recorded)" : ""));
  std::vector<std::string> sets;
  for (const simdnorm_isa_state& s : r.isa.sets) {
    const char* lack = s.available ? "" : s.cpu == 0 ? " (not in CPU)" : s.os == 0 ? " (off in OS)" : " (not built)";
    // An instruction set of another architecture is no news.
    if (s.compiled != 0 || s.cpu != 0) sets.push_back(simdnorm_isa_name(s.isa) + std::string(lack));
  }
  out += line("sets", join(sets, ", "));
  if (r.machine) {
    std::vector<std::string> caches;
    for (const cache_group& c : r.machine->caches)
      if (c.kind != 'i')
        caches.push_back(cache_name(c) + " " + cache_text(c, false) +
                         (c.cpus_each > 2 ? " shared by " + cpus_text(c.cpus_each) : ""));
    out += line("caches", caches.empty() ? "unknown" : join(caches, ", "));
  }
  out += line("may use", (r.process.affinity ? "CPUs " + *r.process.affinity + "; " : "") + container_text(r.process) +
                             "; " + count_text(r.process.threads, "thread", "threads") + " in a default executor");
  out += line("floats", control_word_text(r.control_word));
  return out;
}

namespace {

using nlohmann::ordered_json;

template <class T>
ordered_json or_null(const std::optional<T>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}
ordered_json or_null(const std::string& value) {
  return value.empty() ? ordered_json(nullptr) : ordered_json(value);
}

}  // namespace

// Keys are stable: within one schema_version they are only added. null means unknown or none.
std::string to_json(const report& r) {
  ordered_json j;
  j["schema_version"] = 1;
  j["library"] = {{"version", r.library.version},
                  {"header_version", r.library.header_version},
                  {"linkage", r.library.linkage},
                  {"build_type", or_null(r.library.build_type)},
                  {"compiler", r.library.compiler}};
  j["cpu"] = {{"architecture", r.cpu.architecture},      {"vendor", or_null(r.cpu.vendor)},
              {"model_name", or_null(r.cpu.model_name)}, {"family", or_null(r.cpu.family)},
              {"model", or_null(r.cpu.model)},           {"stepping", or_null(r.cpu.stepping)},
              {"hypervisor", or_null(r.cpu.hypervisor)}, {"other_features", r.cpu.other_features}};
  j["instruction_sets"] = ordered_json::array();
  for (const simdnorm_isa_state& s : r.isa.sets)
    j["instruction_sets"].push_back({{"name", simdnorm_isa_name(s.isa)},
                                     {"compiled", s.compiled != 0},
                                     {"cpu", s.cpu != 0},
                                     {"os", s.os != 0},
                                     {"available", s.available != 0}});
  j["active"] = {
      {"name", simdnorm_isa_name(r.isa.active)}, {"reason", r.isa.reason}, {"max_isa", or_null(r.isa.max_isa)}};
  j["kernels"] = ordered_json::array();
  for (const kernel_report& k : r.kernels)
    j["kernels"].push_back(
        {{"slot", k.family + "_" + k.dtype}, {"family", k.family}, {"dtype", k.dtype}, {"isa", k.isa}});
  j["machine"] = nullptr;
  if (r.machine) {
    ordered_json& m = j["machine"];
    m = {{"this_machine", r.this_machine},
         {"packages", r.machine->packages},
         {"cores", r.machine->cores},
         {"cpus", r.machine->cpus}};
    m["caches"] = ordered_json::array();
    for (const cache_group& c : r.machine->caches)
      m["caches"].push_back({{"level", c.level},
                             {"kind", c.kind == 'd'   ? "data"
                                      : c.kind == 'i' ? "instruction"
                                                      : "unified"},
                             {"bytes", or_null(c.bytes)},
                             {"line_bytes", or_null(c.line_bytes)},
                             {"count", c.count},
                             {"cpus_each", c.cpus_each}});
    m["numa_nodes"] = ordered_json::array();
    for (const memory_node& n : r.machine->memory)
      m["numa_nodes"].push_back(
          {{"index", n.os_index}, {"bytes", or_null(n.bytes)}, {"cpus", n.cpus}, {"cpu_list", n.cpu_list}});
    m["core_kinds"] = ordered_json::array();
    for (const core_kind& k : r.machine->kinds)
      m["core_kinds"].push_back(
          {{"efficiency", k.efficiency}, {"cores", k.cores}, {"cpus", k.cpus}, {"name", or_null(k.name)}});
  }
  j["process"] = {{"affinity", or_null(r.process.affinity)},
                  {"affinity_cpus", or_null(r.process.affinity_cpus)},
                  {"cgroup_version", r.process.container.cgroup_version},
                  {"quota_cpus", or_null(r.process.container.quota_cpus)},
                  {"cpuset", or_null(r.process.container.cpuset)},
                  {"memory_bytes", or_null(r.process.container.memory_bytes)},
                  {"threads", r.process.threads}};
  j["memory"] = {{"page_bytes", or_null(r.memory.page_bytes)},
                 {"huge_pages", or_null(r.memory.huge_pages)},
                 {"stream_border_bytes", r.memory.stream_border}};
  j["control_word"] = {{"ieee_default", r.control_word.ieee_default},
                       {"flush_to_zero", r.control_word.flush_to_zero},
                       {"denormals_are_zero", r.control_word.denormals_are_zero},
                       {"rounding", r.control_word.rounding}};
  return j.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace simdnorm::info

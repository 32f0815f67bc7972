// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>

#include "rounds.hpp"

namespace bench {
namespace {

struct caches {
  double l1 = 32 << 10, l2 = 1 << 20, l3 = 32 << 20;
  bool known = false;
};

const caches& machine_caches() {
  static const caches found = [] {
    caches c;
    for (const auto& each : benchmark::CPUInfo::Get().caches) {
      if (each.type == "Instruction" || each.size <= 0) continue;
      if (each.level == 1) c.l1 = each.size, c.known = true;
      if (each.level == 2) c.l2 = each.size;
      if (each.level == 3) c.l3 = each.size;
    }
    return c;
  }();
  return found;
}

std::string size_text(double bytes) {
  char s[32];
  if (bytes >= 10 * 1048576.0) {
    std::snprintf(s, sizeof s, "%.0f MiB", bytes / 1048576);
  } else if (bytes >= 1048576) {
    std::snprintf(s, sizeof s, "%.1f MiB", bytes / 1048576);
  } else {
    std::snprintf(s, sizeof s, "%.1f KiB", bytes / 1024);
  }
  return s;
}

std::string time_text(double ns) {
  char s[32];
  std::snprintf(s, sizeof s, ns < 100 ? "%.1f" : "%.0f", ns);
  return s;
}

std::string ratio_text(const std::optional<double>& v) {
  if (!v) return "-";
  char s[32];
  std::snprintf(s, sizeof s, "%.2f", *v);
  return s;
}

std::string error_text(double v) {
  if (!std::isfinite(v)) return "inf";
  char s[32];
  std::snprintf(s, sizeof s, v < 100 ? "%.2f" : v < 99999.5 ? "%.0f" : "%.0e", v);
  return s;
}

// Runs of one name sit next to each other; "128x768" of "layer_norm/f32/avx512/128x768".
std::string shape_of(const result& r) {
  return r.shape;
}

double working_set(const result& r) {
  const bool halves = r.dtype == "bf16" || r.dtype == "f16";
  const std::size_t bytes = halves ? 2 : r.dtype == "f64" ? sizeof(double) : sizeof(float);
  return 2.0 * static_cast<double>(r.rows * r.cols * bytes);
}

struct speedups {
  double log_sum = 0, worst = std::numeric_limits<double>::infinity();
  std::string worst_shape;
  int n = 0;

  void add(const std::optional<double>& v, const result& r) {
    if (!v) return;
    log_sum += std::log(*v);
    ++n;
    if (*v < worst) {
      worst = *v;
      worst_shape = shape_of(r);
    }
  }
  [[nodiscard]] std::string text() const {
    if (n == 0) return "-";
    char s[96];
    std::snprintf(s, sizeof s, "%6.2f (%.2f %s)", std::exp(log_sum / n), worst, worst_shape.c_str());
    return s;
  }
};

}  // namespace

const char* level_of(double bytes) {
  const caches& c = machine_caches();
  return bytes <= c.l1 ? "L1" : bytes <= c.l2 ? "L2" : bytes <= c.l3 ? "L3" : "DRAM";
}

double last_level() {
  return machine_caches().l3;
}

std::string cache_text() {
  const caches& c = machine_caches();
  return "L1 " + size_text(c.l1) + ", L2 " + size_text(c.l2) + ", L3 " + size_text(c.l3) +
         (c.known ? "" : " (assumed: the system does not tell)");
}

void report::progress(std::size_t at, std::size_t all, const std::string& what) const {
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  if (!terminal) return;
  std::fflush(stdout);
  if (what.empty()) {
    std::fprintf(stderr, "\r\033[K");
  } else {
    std::fprintf(stderr, "\r\033[K[%zu/%zu] %s", at, all, what.c_str());
  }
  std::fflush(stderr);
}

void report::section(const std::string& title, std::size_t name_width, bool statistics) {
  name_width_ = std::max<std::size_t>(name_width, 20);
  statistics_ = statistics;
  std::printf("\n== %s\n", title.c_str());
  std::printf("%-*s %9s %7s %9s %9s %8s %8s", static_cast<int>(name_width_), "kernel/type/variant/ROWSxCOLS", "ns/row",
              "GB/s", "xtextbook", "xautovec", "of copy", "of nt");
  if (statistics) {
    std::printf(" %9s %9s %9s\n", "ulp R=1", "R=1e3", "R=1e6");
  } else {
    std::printf(" %9s\n", "max ulp");
  }
}

void report::add(contest_results r) {
  const auto first = std::find_if(r.results.begin(), r.results.end(),
                                  [](const result& each) { return each.shown && each.kernel != "copy"; });
  if (first != r.results.end()) {
    std::printf("-- %s: %s (%s in and out, %s)\n", shape_of(*first).c_str(), r.title.c_str(),
                size_text(working_set(*first)).c_str(), level_of(working_set(*first)));
  }
  for (const result& each : r.results) {
    if (!each.shown) continue;
    std::printf("%-*s %9s %7.1f %9s %9s %8s %8s", static_cast<int>(name_width_), each.name.c_str(),
                time_text(each.seconds * 1e9 / each.rows_counted).c_str(), each.bytes / each.seconds / 1e9,
                ratio_text(each.speedup_scalar).c_str(), ratio_text(each.speedup_autovec).c_str(),
                ratio_text(each.copy_fraction).c_str(), ratio_text(each.nt_copy_fraction).c_str());
    if (each.errors.empty()) {
      std::printf(statistics_ ? " %9s %9s %9s\n" : " %9s\n", "-", "-", "-");
      continue;
    }
    for (std::size_t i = each.errors.size(); i-- > 0;) std::printf(" %9s", error_text(each.errors[i]).c_str());
    std::printf("\n");
  }
  std::fflush(stdout);
  all_.push_back(std::move(r));
}

namespace {

std::string call_text(double seconds) {
  char s[32];
  const double ns = seconds * 1e9;
  if (ns < 1e3) {
    std::snprintf(s, sizeof s, "%.0f ns", ns);
  } else if (ns < 1e6) {
    std::snprintf(s, sizeof s, "%.3g us", ns / 1e3);
  } else {
    std::snprintf(s, sizeof s, "%.3g ms", ns / 1e6);
  }
  return s;
}

}  // namespace

void report::add_peers(contest_results r) {
  const auto first = std::find_if(r.results.begin(), r.results.end(),
                                  [](const result& each) { return each.shown && each.kernel != "copy"; });
  if (first != r.results.end()) {
    int rounds = 0;
    for (const result& each : r.results) rounds = std::max(rounds, each.repetitions);
    std::printf("-- %s %s%s%s (%s in and out, %s; %d rounds)\n", operation_of(first->kernel, first->dtype).c_str(),
                shape_of(*first).c_str(), r.title.empty() ? "" : ", ", r.title.c_str(),
                size_text(working_set(*first)).c_str(), level_of(working_set(*first)), rounds);
  }
  for (const bool in_place : {false, true}) {
    const result* ours = nullptr;  // the fastest of the library
    for (const result& each : r.results) {
      if (each.role == role::ours && each.in_place == in_place && each.shown &&
          (!ours || each.seconds < ours->seconds)) {
        ours = &each;
      }
    }
    if (!ours && in_place) continue;
    for (const result& each : r.results) {
      if (!each.shown || each.in_place != in_place) continue;
      const std::string name = (each.role == role::yardstick ? each.kernel + " " : "") + each.variant;
      std::printf("  %-18s %10s %8s %9s%s%s\n", name.c_str(), call_text(each.seconds).c_str(),
                  ours ? ratio_text(each.seconds / ours->seconds).c_str() : "-",
                  each.errors.empty() ? "-" : error_text(each.errors.back()).c_str(), in_place ? "  in place" : "",
                  &each == ours ? "  <- 1.00" : "");
    }
  }
  for (const std::string& line : r.absent) std::printf("  not here: %s\n", line.c_str());
  std::fflush(stdout);
  all_.push_back(std::move(r));
}

std::string report::peer_summary() const {
  std::vector<timing> timings;
  for (const contest_results& c : all_) {
    for (const result& r : c.results) {
      if (r.shown && r.kernel != "copy") timings.push_back(timing_of(r));
    }
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  const auto member = [](const mean_and_worst& m) {
    nlohmann::ordered_json j;
    j["shapes"] = m.shapes;
    if (m.shapes > 0) {
      j["mean"] = m.mean();
      j["worst"] = m.worst;
      j["worst_shape"] = m.worst_shape;
    }
    return j;
  };
  std::printf(
      "\n== Summary: a peer's time over the library's, geometric mean (worst shape); small: fewer than %zu elements\n",
      small_elements);
  std::string group;
  for (const summary_row& row : summarize(timings)) {
    nlohmann::ordered_json j;
    j["op"] = row.op;
    j["isa"] = row.ours;
    j["peer"] = row.peer;
    j["all"] = member(row.all());
    j["large"] = member(row.large);
    j["small"] = member(row.small);
    for (const auto& [shape, ratio] : row.smalls) j["small_shapes"][shape] = ratio;
    json.push_back(std::move(j));
    if (row.ours == "scalar") continue;  // the fallback: in the JSON only
    if (group != row.op + " " + row.ours) {
      group = row.op + " " + row.ours;
      std::printf("%s\n", group.c_str());
    }
    const auto text = [](const mean_and_worst& m) {
      if (m.shapes == 0) return std::string("-");
      char s[96];
      std::snprintf(s, sizeof s, "%.2f (%.2f %s) of %zu", m.mean(), m.worst, m.worst_shape.c_str(), m.shapes);
      return std::string(s);
    };
    std::printf("  %-16s %-32s small: %s\n", row.peer.c_str(), text(row.large).c_str(), text(row.small).c_str());
    if (row.peer == best_library && !row.smalls.empty()) {
      std::printf("  %-16s", "");
      for (const auto& [shape, ratio] : row.smalls) std::printf(" %s %.2f", shape.c_str(), ratio);
      std::printf("\n");
    }
  }
  std::fflush(stdout);
  return "  \"summary\": " + json.dump();
}

void report::summary() const {
  struct row {
    speedups textbook, autovec, fast, copy;
  };
  // In order of appearance: kernel, then instruction set, then cache resident or not.
  std::vector<std::string> order;
  std::map<std::string, row> rows;
  for (const contest_results& c : all_) {
    for (const result& r : c.results) {
      if (!r.library || !r.shown) continue;
      const std::string level = level_of(working_set(r));
      char key[128];
      std::snprintf(key, sizeof key, "%-36s %-7s %-8s", r.kernel.c_str(), r.variant.c_str(),
                    level == "L1" || level == "L2" ? "L1, L2" : "L3, DRAM");
      if (!rows.contains(key)) order.emplace_back(key);
      row& to = rows[key];
      to.textbook.add(r.speedup_scalar, r);
      to.autovec.add(r.speedup_autovec, r);
      to.fast.add(r.speedup_autovec_fast, r);
      to.copy.add(r.copy_fraction, r);
    }
  }
  if (rows.empty()) return;
  std::vector<std::string> kernels;
  for (const std::string& key : order) {
    if (std::find(kernels.begin(), kernels.end(), key.substr(0, 36)) == kernels.end()) {
      kernels.push_back(key.substr(0, 36));
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](const std::string& a, const std::string& b) {
    const auto place = [&](const std::string& key) {
      return std::find(kernels.begin(), kernels.end(), key.substr(0, 36));
    };
    return place(a) < place(b);
  });
  std::printf("\n== Summary: times as fast as the baselines; geometric mean over shapes (the worst shape)\n");
  std::printf("%-36s %-7s %-8s %6s  %-24s %-24s %-24s\n", "kernel", "variant", "fits", "shapes", "xtextbook",
              "xautovec", "xautovec_fast");
  for (const std::string& key : order) {
    const row& r = rows.at(key);
    std::printf("%s %6d  %-24s %-24s %-24s\n", key.c_str(), std::max(r.textbook.n, r.copy.n), r.textbook.text().c_str(),
                r.autovec.text().c_str(), r.fast.text().c_str());
  }
}

std::vector<std::string> report::beyond_gate() const {
  std::vector<std::string> lines;
  for (const contest_results& c : all_) {
    for (const result& r : c.results) {
      if (!r.library) continue;
      for (std::size_t i = 0; i < r.errors.size(); ++i) {
        if (r.errors[i] <= gate) continue;
        lines.push_back(r.name + (c.data[i].label.empty() ? "" : " at " + c.data[i].label) + ": " +
                        error_text(r.errors[i]) + " ulp");
      }
    }
  }
  return lines;
}

void report::write_json(const std::string& path, const std::vector<std::pair<std::string, std::string>>& context,
                        const std::string& more) const {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  std::ofstream file(temporary);
  if (!file) throw std::runtime_error(path + " cannot be written");
  std::ostringstream text;
  for (const auto& [key, value] : context) benchmark::AddCustomContext(key, value);
  benchmark::JSONReporter json;
  json.SetOutputStream(&text);
  json.SetErrorStream(&text);
  json.ReportContext(benchmark::BenchmarkReporter::Context());

  std::set<std::string> seen;  // a copy of one shape is measured in several contests: the first stays
  std::int64_t family = 0;
  for (const contest_results& c : all_) {
    std::int64_t instance = 0;
    for (const result& r : c.results) {
      if (!r.shown || !seen.insert(r.name).second) continue;
      benchmark::BenchmarkReporter::Run run;
      run.run_name.function_name = r.name;
      run.family_index = family;
      run.per_family_instance_index = instance++;
      run.run_type = benchmark::BenchmarkReporter::Run::RT_Iteration;
      run.iterations = r.iterations;
      run.repetitions = r.repetitions;
      run.repetition_index = 0;
      run.time_unit = benchmark::kNanosecond;
      run.real_accumulated_time = r.real_seconds * static_cast<double>(r.iterations);
      run.cpu_accumulated_time = r.cpu_seconds * static_cast<double>(r.iterations);
      run.statistics = nullptr;
      const auto counter = [&](const char* name, const std::optional<double>& v) {
        // JSON has no infinity: an output that is NaN where it must not be counts as 1e308.
        if (v) run.counters[name] = benchmark::Counter(std::isfinite(*v) ? *v : 1e308);
      };
      counter("bytes_per_second", r.bytes / r.seconds);
      counter("ns_per_row", r.seconds * 1e9 / r.rows_counted);
      counter("speedup_scalar", r.speedup_scalar);
      counter("speedup_autovec", r.speedup_autovec);
      counter("copy_fraction", r.copy_fraction);
      counter("nt_copy_fraction", r.nt_copy_fraction);
      for (const auto& [peer, ratio] : r.ratios) counter(("ratio_" + peer).c_str(), ratio);
      for (std::size_t i = 0; i < r.errors.size(); ++i) counter(c.data[i].counter.c_str(), r.errors[i]);
      json.ReportRuns({run});
    }
    ++family;
  }
  json.Finalize();
  std::string whole = text.str();
  if (!more.empty()) {
    whole.erase(whole.find_last_of('}'));
    while (!whole.empty() && (whole.back() == '\n' || whole.back() == ' ')) whole.pop_back();
    whole += ",\n" + more + "\n}\n";
  }
  file << whole;
  file.close();
  if (!file || std::rename(temporary.c_str(), path.c_str()) != 0) {
    std::remove(temporary.c_str());
    throw std::runtime_error(path + " cannot be written");
  }
}

}  // namespace bench

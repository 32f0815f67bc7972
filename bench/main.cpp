// SPDX-License-Identifier: Apache-2.0
//
// simdnorm-bench: measures the library's kernels against the baselines, over synthetic and real
// numbers or over a caller's matrix. bench/run installs, builds and starts it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <string>
#include <vector>

#include "contest.hpp"
#include "kernels.hpp"
#include "npy.hpp"
#include "peers/loader.hpp"
#include "report.hpp"
#include "simdnorm/simdnorm.hpp"
#include "simdnorm/version.h"
#include "sweep.hpp"
#if defined(SIMDNORM_BENCH_THREADS)
#include "simdnorm/threads.hpp"
#endif

namespace bench {
namespace {

struct options {
  bool quick = false, list = false, check = false, sweep = false;
  std::string input, output, json, filter, real_input, no_real_input;
  std::vector<std::string> kernels;
  std::vector<std::string> peers;
  std::string peers_folder, peers_site;
  std::size_t threads = 1;
};

options parse(int argc, char** argv) {
  options o;
  CLI::App app{"Benchmarks of simdnorm. bench/run builds this program and starts it."};
  app.add_flag("--quick", o.quick, "Fewer shapes and repetitions: about a minute instead of at most five");
  app.add_option("--kernel", o.kernels, "Only these kernels (commas between them)")->delimiter(',');
  app.add_option("--filter", o.filter, "Only names kernel/f32/variant/ROWSxCOLS that this regular expression finds");
  app.add_option("--input", o.input,
                 "Normalize this .npy matrix (2-D, C order; f32, or f64 and f16 converted) instead of the built-in "
                 "shapes; kernel: layer_norm unless --kernel names others");
  app.add_option("--output", o.output, "Write what the one kernel made of --input to this .npy file");
  app.add_option("--json", o.json, "Write Google Benchmark's JSON to this file");
  app.add_option("--threads", o.threads, "Threads for the library and the copies; the baselines run on one")
      ->check(CLI::Range(1, 4096));
  app.add_option("--peers", o.peers, "Measure against these libraries instead (commas between them)")
      ->delimiter(',')
      ->check(CLI::IsMember(peer_names()));
  app.add_option("--peers-folder", o.peers_folder, "Where peer_NAME.so are");
  app.add_option("--peers-site", o.peers_site, "Where bench/peers/fetch put what it fetched");
  app.add_flag("--sweep", o.sweep, "Measure where borders between regimes should be, one thread and --threads");
  app.add_flag("--list", o.list, "Print the names and measure nothing");
  app.add_flag("--check", o.check, "Check the options and the input, and measure nothing");
  app.add_option("--real-input", o.real_input, "Folder that real_input.py has filled");
  app.add_option("--no-real-input", o.no_real_input, "Why there is none; activations are synthesized");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    std::exit(code == 0 ? 0 : 2);
  }
  const auto wrong = [](const char* what) {
    std::fprintf(stderr, "simdnorm-bench: %s\n", what);
    std::exit(2);
  };
  if (!o.kernels.empty()) {
    const std::vector<std::string> known = o.peers.empty() ? kernel_names() : peer_kernel_names();
    for (const std::string& name : o.kernels) {
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      std::string list;
      for (const std::string& each : known) list += (list.empty() ? "" : ", ") + each;
      wrong(("--kernel: there is no kernel '" + name + "'; there are " + list).c_str());
    }
  }
  if (!o.output.empty() && o.input.empty()) wrong("--output needs --input");
  if (!o.peers.empty() && !o.input.empty()) wrong("--peers takes no --input");
  if (!o.output.empty() && o.kernels.size() > 1) wrong("--output takes one --kernel");
  if (o.sweep && (!o.input.empty() || !o.peers.empty() || !o.filter.empty() || !o.json.empty() || o.list)) {
    wrong("--sweep goes with --kernel, --threads and --quick alone");
  }
  return o;
}

void say_if_busy() {
  double load = 0;
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  if (getloadavg(&load, 1) == 1 && load > 0.7 * static_cast<double>(cpus)) {
    std::printf("BUSY          load average %.1f on %ld CPUs: other programs disturb caches and memory\n", load, cpus);
  }
}

void legend(const setup& s, const options& o) {
  std::printf("simdnorm %s, benchmark. %s; compiled by %s. Page size %ld bytes.\n\n", simdnorm_version(),
              cache_text().c_str(), SIMDNORM_BENCH_COMPILER, sysconf(_SC_PAGESIZE));
  std::printf(
      "ns/row     median time of a call / its rows (%s);\n"
      "           the variants of a shape run in random turns over the same buffers\n"
      "GB/s       1e9 bytes read and written a second, each byte of input and output counted once\n"
      "xtextbook  times as fast as textbook; below 1 is slower. xautovec: as autovec\n"
      "of copy    GB/s as a fraction of a copy of the same buffers, regular stores; of nt: non-temporal stores\n"
      "max ulp    largest error against long double, of the normalized value before gamma and beta, in f32\n"
      "           ulps of max(1, |value|); large shapes by a sample. The library's gate is %.1f\n\n",
      s.exec ? "wall clock" : "CPU time of the one thread", gate);
  std::printf("textbook      the plain two-pass loop: %s\n", SIMDNORM_BENCH_TEXTBOOK_FLAGS);
  std::printf("autovec       the same source: %s\n", SIMDNORM_BENCH_AUTOVEC_FLAGS);
  std::printf("autovec_fast  the same source: %s -ffast-math\n", SIMDNORM_BENCH_AUTOVEC_FLAGS);
  std::string here, not_here;
  for (const simdnorm_isa_state& state : simdnorm::isa_list()) {
    const std::string name(simdnorm::to_string(static_cast<simdnorm::isa>(state.isa)));
    if (state.available) {
      here += (here.empty() ? "" : ", ") + name;
    } else {
      not_here += (not_here.empty() ? "" : ", ") + name + " (" +
                  (!state.compiled ? "not compiled in"
                   : !state.cpu    ? "this CPU lacks it"
                                   : "the system lacks it") +
                  ")";
    }
  }
  std::printf("%s\n              the library, forced to each instruction set of this machine%s%s\n", here.c_str(),
              not_here.empty() ? "" : "; not here: ", not_here.c_str());
  if (s.exec) {
    std::printf("threads       %zu for the library and the copies, 1 for textbook and autovec\n", s.exec->threads);
  }
  std::printf("inputs        N(1, 1) in f32, the same in every run, unless a section says otherwise\n");
  say_if_busy();
  if (o.quick) std::printf("--quick       fewer shapes and repetitions\n");
  std::fflush(stdout);
}

effort effort_of(const setup& s, const options& o) {
  effort e;
  if (o.quick) {
    e.min_seconds = 1e-3;
    e.contest_seconds = 0.5;
    e.least = 3;
    e.most = 15;
  }
  e.wall_clock = s.exec != nullptr;
  return e;
}

// Does what --kernel and --filter say. A kernel's forms (layer_norm_row_mask) go with it.
class choice {
 public:
  explicit choice(const options& o) : kernels_(o.kernels) {
    if (!o.filter.empty()) {
      try {
        filter_.emplace(o.filter);
      } catch (const std::regex_error& e) {
        throw std::runtime_error("--filter: " + o.filter + " is no regular expression");
      }
    }
  }
  [[nodiscard]] bool operator()(const contestant& c) const {
    if (!kernels_.empty() && c.kernel != "copy") {
      bool found = false;
      for (const std::string& k : kernels_) found = found || c.kernel == k || c.kernel.starts_with(k + "_");
      if (!found) return false;
    }
    return !filter_ || std::regex_search(c.name(), *filter_);
  }
  // A contest is worth running for more than its copies, unless they are asked for.
  [[nodiscard]] bool any(const contest& c) const {
    for (const contestant& each : c.contestants) {
      if ((each.kernel != "copy" || (filter_ && kernels_.empty())) && (*this)(each)) return true;
    }
    return false;
  }

 private:
  std::vector<std::string> kernels_;
  std::optional<std::regex> filter_;
};

nlohmann::ordered_json peer_json(const peer& p) {
  nlohmann::ordered_json j;
  j["name"] = p.name;
  j["present"] = p.table != nullptr;
  if (p.table) {
    j["version"] = p.table->version;
    j["threads"] = p.table->threads;
    j["in_place"] = p.table->in_place != 0;
    j["note"] = p.table->note;
  } else {
    j["why"] = p.why;
  }
  return j;
}

// more: for the JSON.
int close(const report& r, const options& o, double seconds, const std::string& more = "") {
  if (o.input.empty() && o.peers.empty()) r.summary();
  if (!o.json.empty()) {
    r.write_json(o.json,
                 {{"simdnorm_version", simdnorm_version()},
                  {"compiler", SIMDNORM_BENCH_COMPILER},
                  {"textbook_flags", SIMDNORM_BENCH_TEXTBOOK_FLAGS},
                  {"autovec_flags", SIMDNORM_BENCH_AUTOVEC_FLAGS},
                  {"threads", std::to_string(o.threads)},
                  {"real_input", o.real_input.empty() ? "synthesized" : "MiniLM"}},
                 more);
  }
  const std::vector<std::string> beyond = r.beyond_gate();
  std::printf("\nMeasured in %.0f s.%s%s\n", seconds, o.json.empty() ? "" : " JSON in ", o.json.c_str());
  if (beyond.empty()) {
    std::printf("Every result of the library is within %.1f ulp of the long double oracle.\n", gate);
    return 0;
  }
  std::printf("FAILED: %zu results of the library are further than %.1f ulp from the long double oracle:\n",
              beyond.size(), gate);
  for (const std::string& line : beyond) std::printf("  %s\n", line.c_str());
  return 1;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---- peers -------------------------------------------------------------------------------------------

int run_peers(const setup& s, const options& o, const std::string& cpus) {
  const choice wanted(o);
  if (o.check) return 0;
  std::vector<peer> peers;
  for (const std::string& name : peer_names()) {
    if (std::find(o.peers.begin(), o.peers.end(), name) == o.peers.end()) {
      peers.push_back({name, nullptr, "not asked for: --peers NAME,... chooses"});
      continue;
    }
    peers.push_back(open_peer(o.peers_folder, o.peers_site, name, static_cast<int>(o.threads)));
  }
  std::vector<planned_contest> plan;
  for (const planned_contest& p : peer_contests(s, peers)) {
    if ((!o.quick || p.quick) && wanted.any(p.make(true))) plan.push_back(p);
  }
  if (o.list) {
    for (const planned_contest& p : plan) {
      for (const contestant& c : p.make(true).contestants) {
        if (wanted(c)) std::printf("%s\n", c.name().c_str());
      }
    }
    return 0;
  }
  if (plan.empty()) throw std::runtime_error("nothing to measure: --kernel and --filter leave no benchmark");

  std::printf("simdnorm %s against its peers. %s; compiled by %s. Page size %ld bytes.\n\n", simdnorm_version(),
              cache_text().c_str(), SIMDNORM_BENCH_COMPILER, sysconf(_SC_PAGESIZE));
  nlohmann::ordered_json present = nlohmann::ordered_json::array();
  for (const peer& p : peers) {
    if (p.table) {
      std::printf("%-13s %s; %d thread%s%s%s%s\n", p.name.c_str(), p.table->version, p.table->threads,
                  p.table->threads == 1 ? "" : "s", p.table->in_place ? "; in place" : "", p.table->note[0] ? "; " : "",
                  p.table->note);
    } else {
      std::printf("%-13s NOT HERE: %s\n", p.name.c_str(), p.why.c_str());
    }
    present.push_back(peer_json(p));
  }
  std::printf("%-13s %zu thread%s\n", "the library", o.threads, o.threads == 1 ? "" : "s");
  say_if_busy();
  std::printf(
      "\nOne process, the same buffers, gamma and beta given, N(1, 1) inputs. Every round measures all in turn, "
      "forward\n"
      "and then reversed, a call before each turn; medians of the rounds, wall clock. CPUs of the process: %s.\n"
      "time: of a call; then that over the library's fastest; then the largest error in ulps of max(1, |xhat|) "
      "against\n"
      "long double; of bf16 and f16 in ulps of theirs, half of one being their own rounding. What is in place is\n"
      "compared with the library in place. best_library: the fastest of the libraries out of place, shape by shape.\n"
      "textbook, autovec and autovec_fast are loops by %s.\n\n",
      cpus.empty() ? "not bound, fewer than threads" : cpus.c_str(), SIMDNORM_BENCH_COMPILER);

  if (o.threads > 1) {
    std::printf(
        "Peers' workers sleep between calls, as they must not disturb the next turn: with several threads the small\n"
        "shapes of peers that have no threshold include waking them.\n\n");
  }

  effort e;
  e.min_seconds = o.quick ? 2e-4 : 5e-4;
  e.contest_seconds = o.quick ? 0.25 : 5;
  e.least = o.quick ? 3 : 11;
  e.most = o.quick ? 7 : 33;
  e.wall_clock = true;
  const double start = now();
  report r;
  std::string kernel;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    contest c = plan[i].make(false);
    r.progress(i + 1, plan.size(), c.contestants.back().name());
    contest_results results = run_rounds(c, e, wanted);
    r.progress(0, 0, "");
    if (kernel != c.contestants.back().operation()) {
      kernel = c.contestants.back().operation();
      std::printf("%s== %s\n  %-18s %10s %8s %9s\n", i == 0 ? "" : "\n", kernel.c_str(), "", "time", "/ours",
                  "max ulp");
      std::string without;
      for (const std::string& name : c.without) without += (without.empty() ? "" : ", ") + name;
      if (!without.empty()) std::printf("  do not have it: %s\n", without.c_str());
    }
    r.add_peers(std::move(results));
  }
  const std::string summary = r.peer_summary();
  return close(r, o, now() - start, "  \"peers\": " + present.dump() + ",\n" + summary);
}

int run_sweep(const setup& s, const options& o) {
  if (o.check) return 0;
  std::printf("simdnorm %s, borders between regimes. %s; compiled by %s.\n", simdnorm_version(), cache_text().c_str(),
              SIMDNORM_BENCH_COMPILER);
  say_if_busy();
  std::printf(
      "Outputs of at least the border are written past the caches. Both ways over the same buffers in turns; medians, "
      "CPU\n"
      "time of one thread, wall clock of several. The border named is the one with the least time over all sizes. "
      "Nobody\n"
      "reads the outputs here: where somebody does soon, a higher border is better.\n");
  setup alone = s;
  alone.exec = nullptr;
  sweep(alone, o.kernels, o.quick);
  if (s.exec) sweep(s, o.kernels, o.quick);
  return 0;
}

int run_all(const setup& s, const options& o) {
  const choice wanted(o);
  if (o.check) return 0;
  const activations real = o.real_input.empty() ? make_activations() : read_activations(o.real_input);

  std::vector<planned_contest> plan;
  for (auto& source : {synthetic_contests(s), activation_contests(s, real)}) {
    for (const planned_contest& p : source) {
      if ((!o.quick || p.quick) && wanted.any(p.make(true))) plan.push_back(p);
    }
  }
  std::map<std::string, std::size_t> widths;
  for (const planned_contest& p : plan) {
    for (const contestant& c : p.make(true).contestants) {
      if (o.list && wanted(c)) std::printf("%s\n", c.name().c_str());
      if (wanted(c)) widths[p.section] = std::max(widths[p.section], c.name().size());
    }
  }
  if (o.list) return 0;
  if (plan.empty()) throw std::runtime_error("nothing to measure: --kernel and --filter leave no benchmark");

  legend(s, o);
  if (o.real_input.empty()) {
    std::printf("real input    none: %s\n", o.no_real_input.empty() ? "no --real-input" : o.no_real_input.c_str());
  }

  const effort e = effort_of(s, o);
  const double start = now();
  report r;
  std::string section;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    contest c = plan[i].make(true);
    r.progress(i + 1, plan.size(), c.contestants.back().kernel + ": " + c.title);
    c = plan[i].make(false);
    contest_results results = run_contest(c, e, wanted);
    r.progress(0, 0, "");
    if (section != plan[i].section) {
      section = plan[i].section;
      r.section(section, widths[section], c.data.size() > 1);
    }
    r.add(std::move(results));
  }
  return close(r, o, now() - start);
}

// ---- a caller's matrix -------------------------------------------------------------------------------

void describe(const npy_matrix& m, const std::string& path) {
  std::printf("\n== Input: %s, %zu x %zu", path.c_str(), m.rows, m.cols);
  if (m.descr != "<f4")
    std::printf(", converted from %s to f32 (rounded to nearest)", m.descr == "<f8" ? "f64" : "f16");
  std::printf("\n");
  std::size_t nans = 0, infinities = 0, constant = 0;
  double low = std::numeric_limits<double>::infinity(), high = -low, steepest = 0;
  long double sum = 0;
  for (std::size_t i = 0; i < m.rows; ++i) {
    long double row_sum = 0, squares = 0;
    bool finite = true;
    for (std::size_t j = 0; j < m.cols; ++j) {
      const float v = m.data[i * m.cols + j];
      nans += std::isnan(v);
      infinities += std::isinf(v);
      if (!std::isfinite(v)) {
        finite = false;
        continue;
      }
      low = std::min<double>(low, v);
      high = std::max<double>(high, v);
      row_sum += v;
    }
    sum += row_sum;
    if (!finite) continue;
    const long double mean = row_sum / static_cast<long double>(m.cols);
    for (std::size_t j = 0; j < m.cols; ++j) {
      const long double d = m.data[i * m.cols + j] - mean;
      squares += d * d;
    }
    if (squares == 0) {
      ++constant;
    } else {
      const long double deviation = std::sqrt(squares / static_cast<long double>(m.cols));
      steepest = std::max(steepest, static_cast<double>(std::fabs(mean) / deviation));
    }
  }
  const std::size_t all = m.rows * m.cols, finite = all - nans - infinities;
  if (finite > 0) {
    const long double mean = sum / static_cast<long double>(finite);
    long double squares = 0;
    for (std::size_t i = 0; i < all; ++i) {
      if (std::isfinite(m.data[i])) squares += (m.data[i] - mean) * (m.data[i] - mean);
    }
    std::printf("all elements: mean %.6g, standard deviation %.6g, least %.6g, greatest %.6g\n",
                static_cast<double>(mean), static_cast<double>(std::sqrt(squares / static_cast<long double>(finite))),
                low, high);
  }
  std::printf("rows: largest |mean| / standard deviation %.3g; constant rows: %zu\n", steepest, constant);
  if (nans + infinities > 0) {
    std::printf("NaN: %zu, infinite: %zu; rows (or columns) with them are not checked\n", nans, infinities);
  }
}

int run_input(const setup& s, options o) {
  const npy_matrix m = read_npy_matrix(o.input);
  if (o.kernels.empty()) o.kernels = {"layer_norm"};
  const choice wanted(o);
  if (o.check) return 0;
  legend(s, o);
  describe(m, o.input);
  std::printf("gamma 1, beta 0, epsilon 1e-5%s\n", "; batch_norm_inference is given the matrix's own statistics");
  const effort e = effort_of(s, o);
  const double start = now();
  report r;
  for (std::size_t i = 0; i < o.kernels.size(); ++i) {
    r.progress(i + 1, o.kernels.size(), o.kernels[i]);
    contest c = matrix_contest(s, o.kernels[i], m);
    contest_results results = run_contest(c, e, wanted);
    r.progress(0, 0, "");
    std::size_t width = 0;
    for (const contestant& each : c.contestants) width = std::max(width, each.name().size());
    r.section(o.kernels[i] + " of " + o.input + ", every element checked", width, false);
    r.add(std::move(results));
  }
  const int code = close(r, o, now() - start);
  if (code != 0 && !o.output.empty()) std::printf("%s: not written\n", o.output.c_str());
  if (code == 0 && !o.output.empty()) {
    const kernel_output result = apply_kernel(s, o.kernels[0], m);
    if (o.kernels[0] == "column_moments") {
      write_npy_matrix(o.output, result.moments.data(), 5, m.cols);
      std::printf("%s: count, mean, m2, min, max of every column, 5 x %zu f64\n", o.output.c_str(), m.cols);
    } else {
      write_npy_matrix(o.output, result.y.data(), m.rows, m.cols);
      std::printf("%s: %s of the input, %zu x %zu f32\n", o.output.c_str(), o.kernels[0].c_str(), m.rows, m.cols);
    }
  }
  return code;
}

int main(int argc, char** argv) {
  const options o = parse(argc, argv);
  std::string cpus;
  if (!o.peers.empty()) {
    quiet_workers(static_cast<int>(o.threads));
    cpus = bind_to_cpus(static_cast<int>(o.threads));
  }
  // Google Benchmark's own settings; its command line is not offered.
  std::string program = argv[0], interleave = "--benchmark_enable_random_interleaving=true";
  char* settings[] = {program.data(), interleave.data(), nullptr};
  int count = 2;
  benchmark::Initialize(&count, settings);

  setup s;
  simdnorm::isa active{};
  require(simdnorm::active_isa(active));
  for (const simdnorm_isa_state& state : simdnorm::isa_list()) {
    if (state.available) s.isas.push_back(static_cast<simdnorm::isa>(state.isa));
  }
#if defined(SIMDNORM_BENCH_THREADS)
  simdnorm::executor_ptr exec;
  if (o.threads > 1) {
    exec = simdnorm::make_executor(o.threads);
    if (!exec) throw std::runtime_error("--threads: no threads to be had");
    s.exec = exec.get();
  }
#else
  if (o.threads > 1) throw std::runtime_error("--threads: built without SIMDNORM_THREADS");
#endif
  if (!o.peers.empty()) return run_peers(s, o, cpus);
  if (o.sweep) return run_sweep(s, o);
  return o.input.empty() ? run_all(s, o) : run_input(s, o);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::main(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "simdnorm-bench: %s\n", e.what());
    return 1;
  }
}

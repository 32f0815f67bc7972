// SPDX-License-Identifier: Apache-2.0
#include "contest.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <stdexcept>

namespace bench {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> v) {
  const auto middle = v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2);
  std::nth_element(v.begin(), middle, v.end());
  if (v.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(v.begin(), middle)) / 2;
}

void select(const contestant& c) {
  if (c.forced) require(simdnorm::force_isa(*c.forced));
}

// How long one call takes, well enough to choose a number of iterations. checked: how long the call
// took that was checked, which is good enough where calls are long; 0 if there was none.
double estimate(const contestant& c, double checked, double min_seconds) {
  if (checked > 4 * min_seconds) return checked;
  select(c);
  c.call();
  for (std::size_t n = 1;; n *= 4) {
    const double start = now();
    for (std::size_t i = 0; i < n; ++i) c.call();
    const double seconds = now() - start;
    if (seconds > min_seconds / 10) return seconds / static_cast<double>(n);
  }
}

class collector : public benchmark::BenchmarkReporter {
 public:
  explicit collector(bool wall_clock) : wall_clock_(wall_clock) {}
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      if (run.error_occurred) throw std::runtime_error(run.benchmark_name() + ": " + run.error_message);
      const auto n = static_cast<double>(run.iterations);
      auto& [real, cpu] = times_[run.run_name.function_name];
      real.push_back(run.real_accumulated_time / n);
      cpu.push_back(run.cpu_accumulated_time / n);
    }
  }
  void finish(result& r) const {
    const auto& [real, cpu] = times_.at(r.name);
    r.real_seconds = median(real);
    r.cpu_seconds = median(cpu);
    r.seconds = wall_clock_ ? r.real_seconds : r.cpu_seconds;
    r.repetitions = static_cast<int>(real.size());
  }

 private:
  bool wall_clock_;
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> times_;
};

bool is_reference(const contestant& c) {
  return c.kernel == "copy" || !c.forced;
}

const result* find(const std::vector<result>& all, const std::string& kernel, const std::string& variant,
                   std::size_t rows, std::size_t cols) {
  for (const result& r : all) {
    if (r.kernel == kernel && r.variant == variant && r.rows == rows && r.cols == cols) return &r;
  }
  return nullptr;
}

void compare(std::vector<result>& all) {
  for (result& r : all) {
    if (r.kernel == "copy") continue;
    const auto ratio = [&](const char* variant) -> std::optional<double> {
      const result* other = find(all, r.reference, variant, r.rows, r.cols);
      if (!other) return {};
      return other->seconds / r.seconds;
    };
    const auto bandwidth = [&](const char* variant) -> std::optional<double> {
      const result* other = find(all, "copy", variant, r.rows, r.cols);
      if (!other) return {};
      return (r.bytes / r.seconds) / (other->bytes / other->seconds);
    };
    r.speedup_scalar = ratio("textbook");
    r.speedup_autovec = ratio("autovec");
    r.speedup_autovec_fast = ratio("autovec_fast");
    r.copy_fraction = bandwidth("regular");
    r.nt_copy_fraction = bandwidth("nontemporal");
  }
}

}  // namespace

void require(simdnorm::status s) {
  if (s != simdnorm::status::ok) {
    throw std::runtime_error("simdnorm: " + std::string(simdnorm::to_string(s)));
  }
}

std::string contestant::name() const {
  return kernel + "/f32/" + variant + "/" + std::to_string(rows) + "x" + std::to_string(cols);
}

contest_results run_contest(contest& c, const effort& e, const std::function<bool(const contestant&)>& wanted) {
  contest_results out;
  out.title = c.title;
  out.data = c.data;

  std::vector<contestant*> running;
  for (contestant& each : c.contestants) {
    const bool shown = wanted(each);
    if (!shown && !is_reference(each)) continue;
    running.push_back(&each);
    result r;
    r.kernel = each.kernel;
    r.variant = each.variant;
    r.name = each.name();
    r.reference = each.reference;
    r.rows = each.rows;
    r.cols = each.cols;
    r.rows_counted = each.rows_counted;
    r.bytes = each.bytes;
    r.library = each.forced.has_value();
    r.shown = shown;
    out.results.push_back(std::move(r));
  }

  // First the errors, which also touches every page.
  std::vector<double> checked(running.size());
  for (const data_set& d : c.data) {
    d.prepare();
    for (const auto& fit : c.oracles) fit();
    for (std::size_t i = 0; i < running.size(); ++i) {
      if (!running[i]->error) continue;
      select(*running[i]);
      c.poison();
      const double start = now();
      running[i]->call();
      checked[i] = now() - start;
      out.results[i].errors.push_back(running[i]->error());
    }
  }
  if (c.settle) c.settle();

  // Iterations are fixed beforehand: every repetition of a contestant then does the same work.
  double round = 0;
  benchmark::ClearRegisteredBenchmarks();
  std::vector<benchmark::internal::Benchmark*> registered;
  for (std::size_t i = 0; i < running.size(); ++i) {
    const contestant& each = *running[i];
    const double one = estimate(each, checked[i], e.min_seconds);
    const long n = std::max(1L, std::lround(std::ceil(e.min_seconds / one)));
    out.results[i].iterations = n;
    round += one * static_cast<double>(n + (one < 5e-3 ? 1 : 0));
    registered.push_back(benchmark::RegisterBenchmark(out.results[i].name.c_str(), [&each, one](benchmark::State& s) {
      select(each);
      if (one < 5e-3) each.call();  // the caches as this contestant leaves them
      each.loop(s);
    }));
    registered.back()->Iterations(n);
  }
  int repetitions = std::clamp(static_cast<int>(e.contest_seconds / round), e.least, e.most);
  repetitions -= repetitions % 2 == 0;  // a median of an odd number is one of them
  for (auto* b : registered) b->Repetitions(repetitions);

  collector times(e.wall_clock);
  benchmark::RunSpecifiedBenchmarks(&times, nullptr, ".");
  benchmark::ClearRegisteredBenchmarks();
  for (result& r : out.results) times.finish(r);
  simdnorm::reset_isa();
  compare(out.results);
  return out;
}

}  // namespace bench

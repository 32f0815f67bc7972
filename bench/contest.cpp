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
                   const std::string& dtype, std::size_t rows, std::size_t cols) {
  for (const result& r : all) {
    if (r.kernel == kernel && r.variant == variant && r.dtype == dtype && r.rows == rows && r.cols == cols) return &r;
  }
  return nullptr;
}

void compare(std::vector<result>& all) {
  for (result& r : all) {
    if (r.kernel == "copy") continue;
    const auto ratio = [&](const char* variant) -> std::optional<double> {
      const result* other = find(all, r.reference, variant, r.dtype, r.rows, r.cols);
      if (!other) return {};
      return other->seconds / r.seconds;
    };
    const auto bandwidth = [&](const char* variant) -> std::optional<double> {
      const result* other = find(all, "copy", variant, r.dtype, r.rows, r.cols);
      if (!other) other = find(all, "copy", variant, "f32", r.rows, r.cols);
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
  return kernel + "/" + dtype + "/" + variant + (in_place ? "_in_place/" : "/") +
         (shape.empty() ? std::to_string(rows) + "x" + std::to_string(cols) : shape);
}

namespace {

// Contestants that run, their results without times, and how long the checked call of each took.
struct field {
  contest_results out;
  std::vector<contestant*> running;
  std::vector<double> checked;
};

// Chooses who runs (references: what is compared with also where it is not wanted), and finds the
// errors, which also touches every page.
field enter(contest& c, const std::function<bool(const contestant&)>& wanted, bool references) {
  field f;
  f.out.title = c.title;
  f.out.data = c.data;
  f.out.absent = c.absent;
  for (contestant& each : c.contestants) {
    const bool shown = wanted(each);
    if (!shown && !(references && is_reference(each))) continue;
    f.running.push_back(&each);
    result r;
    r.kernel = each.kernel;
    r.dtype = each.dtype;
    r.variant = each.variant;
    r.name = each.name();
    r.reference = each.reference;
    r.shape = each.shape.empty() ? std::to_string(each.rows) + "x" + std::to_string(each.cols) : each.shape;
    r.rows = each.rows;
    r.cols = each.cols;
    r.rows_counted = each.rows_counted;
    r.bytes = each.bytes;
    r.library = each.forced.has_value();
    r.shown = shown;
    r.role = each.role;
    r.in_place = each.in_place;
    f.out.results.push_back(std::move(r));
  }
  f.checked.resize(f.running.size());
  for (const data_set& d : c.data) {
    d.prepare();
    for (const auto& fit : c.oracles) fit();
    for (std::size_t i = 0; i < f.running.size(); ++i) {
      const contestant& each = *f.running[i];
      if (!each.error) continue;
      select(each);
      c.poison();
      const double start = now();
      each.call();
      f.checked[i] = now() - start;
      if (each.finish) each.finish();
      f.out.results[i].errors.push_back(each.error());
    }
  }
  if (c.settle) c.settle();
  return f;
}

// Calls that are shorter are preceded by one that is not measured: the caches are then as this
// contestant leaves them, not as its predecessor did.
constexpr double warm_below = 5e-3;

int odd_repetitions(double round, const effort& e) {
  const int n = std::clamp(static_cast<int>(e.contest_seconds / round), e.least, e.most);
  return n - (n % 2 == 0);  // a median of an odd number is one of them
}

}  // namespace

contest_results run_contest(contest& c, const effort& e, const std::function<bool(const contestant&)>& wanted) {
  auto [out, running, checked] = enter(c, wanted, true);

  // Iterations are fixed beforehand: every repetition of a contestant then does the same work.
  double round = 0;
  benchmark::ClearRegisteredBenchmarks();
  std::vector<benchmark::internal::Benchmark*> registered;
  for (std::size_t i = 0; i < running.size(); ++i) {
    const contestant& each = *running[i];
    const double one = estimate(each, checked[i], e.min_seconds);
    const long n = std::max(1L, std::lround(std::ceil(e.min_seconds / one)));
    out.results[i].iterations = n;
    round += one * static_cast<double>(n + (one < warm_below ? 1 : 0));
    registered.push_back(benchmark::RegisterBenchmark(out.results[i].name.c_str(), [&each, one](benchmark::State& s) {
      select(each);
      if (one < warm_below) each.call();
      each.loop(s);
    }));
    registered.back()->Iterations(n);
  }
  const int repetitions = odd_repetitions(round, e);
  for (auto* b : registered) b->Repetitions(repetitions);

  collector times(e.wall_clock);
  benchmark::RunSpecifiedBenchmarks(&times, nullptr, ".");
  benchmark::ClearRegisteredBenchmarks();
  for (result& r : out.results) times.finish(r);
  simdnorm::reset_isa();
  compare(out.results);
  return std::move(out);
}

timing timing_of(const result& r) {
  timing t;
  t.op = operation_of(r.kernel, r.dtype);
  t.shape = r.shape;
  t.elements = r.rows * r.cols;
  t.name = r.variant;
  t.role = r.role;
  t.in_place = r.in_place;
  t.seconds = r.seconds;
  return t;
}

contest_results run_rounds(contest& c, const effort& e, const std::function<bool(const contestant&)>& wanted) {
  auto [out, running, checked] = enter(c, wanted, false);

  double round = 0;
  std::vector<double> single(running.size());
  for (std::size_t i = 0; i < running.size(); ++i) {
    single[i] = estimate(*running[i], checked[i], e.min_seconds);
    const long n = std::max(1L, std::lround(std::ceil(e.min_seconds / single[i])));
    out.results[i].iterations = n;
    round += single[i] * static_cast<double>(n + (single[i] < warm_below ? 1 : 0));
  }
  // Every second round is reversed.
  const auto rounds = static_cast<std::size_t>(odd_repetitions(round, e));
  std::vector<std::vector<double>> times(running.size());
  for (std::size_t r = 0; r < rounds; ++r) {
    for (const std::size_t i : turns(running.size(), r)) {
      // A call of a tenth of a second (textbook loops, the emulated fma of scalar) varies less from turn
      // to turn than from loop to loop: seven turns do, and the others get the time.
      if (single[i] > 0.1 && times[i].size() >= 7) continue;
      const contestant& each = *running[i];
      select(each);
      if (single[i] < warm_below) each.call();
      const auto n = static_cast<std::size_t>(out.results[i].iterations);
      const double start = now();
      each.repeat(n);
      times[i].push_back((now() - start) / static_cast<double>(n));
    }
  }
  simdnorm::reset_isa();
  std::vector<timing> timings;
  for (std::size_t i = 0; i < running.size(); ++i) {
    result& r = out.results[i];
    r.seconds = r.real_seconds = r.cpu_seconds = median(times[i]);
    r.repetitions = static_cast<int>(times[i].size());
    timings.push_back(timing_of(r));
  }
  compare(out.results);
  for (std::size_t i = 0; i < running.size(); ++i) {
    if (timings[i].role == role::ours) out.results[i].ratios = ratios(timings, timings[i]);
  }
  return std::move(out);
}

}  // namespace bench

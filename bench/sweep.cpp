// SPDX-License-Identifier: Apache-2.0
#include "sweep.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <functional>
#include <span>

#include "buffers.hpp"
#include "contest.hpp"
#include "kernels.hpp"
#include "report.hpp"
#include "rounds.hpp"

namespace bench {
namespace {

constexpr double mib = 1048576;
// A virtual machine may report a last level that it shares with many others: sizes start where a share of
// 32 MiB would have its border, and end where memory for two matrices may be scarce.
constexpr double most_counted = 32 * mib, most_bytes = 256 * mib;

struct matrices {
  std::size_t rows, cols;
  buffer<float> x, y, gamma, beta, mean, variance;

  matrices(std::size_t rows_, std::size_t cols_)
      : rows(rows_), cols(cols_), x(rows * cols), y(rows * cols), gamma(cols), beta(cols), mean(cols), variance(cols) {
    fill_normal(x, 1.0, 1.0, 1);
    fill_normal(gamma, 1.0, 0.1, 11);
    fill_normal(beta, 0.0, 0.1, 12);
    fill_normal(mean, 1.0, 0.1, 5);
    fill_normal(variance, 1.0, 0.1, 6);
  }
  [[nodiscard]] simdnorm::matrix_view<const float> input() const { return {x.data(), rows, cols}; }
  [[nodiscard]] simdnorm::matrix_view<float> output() const { return {y.data(), rows, cols}; }
  static std::span<const float> of(const buffer<float>& b) { return {b.data(), b.size()}; }
};

struct swept {
  const char* kernel;
  std::size_t cols;
  simdnorm::status (*call)(const setup&, const matrices&);
};
constexpr swept all[] = {
    {"layer_norm", 768,
     [](const setup& s, const matrices& m) {
       return simdnorm::layer_norm(m.input(), m.output(),
                                   {.gamma = m.of(m.gamma), .beta = m.of(m.beta), .exec = s.exec});
     }},
    {"rms_norm", 4096,
     [](const setup& s, const matrices& m) {
       return simdnorm::rms_norm(m.input(), m.output(), {.weight = m.of(m.gamma), .exec = s.exec});
     }},
    {"batch_norm_inference", 256,
     [](const setup& s, const matrices& m) {
       return simdnorm::batch_norm_inference(m.input(), m.output(), m.of(m.mean), m.of(m.variance),
                                             {.gamma = m.of(m.gamma), .beta = m.of(m.beta), .exec = s.exec});
     }},
};

// CPU time of the one thread, as everywhere in this benchmark; the wall clock for several.
double now(bool wall_clock) {
  timespec t;
  clock_gettime(wall_clock ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds_of(const std::function<void()>& call, double least, bool wall_clock) {
  call();  // after the other way, caches hold something else
  const double start = now(wall_clock);
  double passed = 0;
  int calls = 0;
  do {
    call();
    ++calls;
    passed = now(wall_clock) - start;
  } while (passed < least);
  return passed / calls;
}

sweep_point measure(const swept& k, const setup& s, double bytes, bool quick) {
  const auto rows = static_cast<std::size_t>(bytes / static_cast<double>(k.cols * sizeof(float)));
  const matrices m(rows, k.cols);
  const std::size_t borders[] = {SIZE_MAX, 1};
  std::vector<double> times[2];
  for (std::size_t round = 0; round < (quick ? 6 : 14); ++round) {
    for (const std::size_t way : turns(2, round)) {
      simdnorm::set_stream_border(borders[way]);
      times[way].push_back(seconds_of([&] { require(k.call(s, m)); }, quick ? 2e-3 : 5e-3, s.exec != nullptr));
    }
  }
  simdnorm::set_stream_border(0);
  return {static_cast<double>(rows * k.cols * sizeof(float)), median(times[0]), median(times[1])};
}

}  // namespace

void sweep(const setup& s, const std::vector<std::string>& kernels, bool quick) {
  const double last = last_level(), today = static_cast<double>(simdnorm::stream_border());
  const double from = std::min(last, most_counted) / 8, to = std::min(2 * last, most_bytes);
  for (const swept& k : all) {
    if (!kernels.empty() && std::find(kernels.begin(), kernels.end(), k.kernel) == kernels.end()) continue;
    std::printf("\n== %s, rows of %zu, %zu thread%s: outputs through the caches, and past them\n", k.kernel, k.cols,
                s.exec ? s.exec->threads : 1, s.exec ? "s" : "");
    std::printf("%10s %10s %12s %12s %16s  %s\n", "MiB", "of last", "cached us", "streamed us", "cached/streamed",
                "today");
    std::vector<sweep_point> points;
    for (double bytes = from; bytes <= to * 1.01; bytes *= quick ? 2 : std::sqrt(2.0)) {
      const sweep_point p = measure(k, s, bytes, quick);
      points.push_back(p);
      std::printf("%10.1f %10.3f %12.1f %12.1f %16.2f  %s\n", p.bytes / mib, p.bytes / last, p.cached * 1e6,
                  p.streamed * 1e6, p.cached / p.streamed, p.bytes < today ? "cached" : "streamed");
      std::fflush(stdout);
    }
    const sweep_border found = best_border(points, today);
    std::printf("border: ");
    if (found.bytes == streaming_always) {
      std::printf("below %.1f MiB, the least measured", points.front().bytes / mib);
    } else if (found.bytes == streaming_never) {
      std::printf("above %.1f MiB, the most measured", points.back().bytes / mib);
    } else {
      std::printf("%.1f MiB", found.bytes / mib);
    }
    std::printf("; today %.1f MiB, which takes %.1f %% longer over these sizes\n", today / mib, 100 * (found.gain - 1));
  }
}

}  // namespace bench

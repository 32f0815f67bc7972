// SPDX-License-Identifier: Apache-2.0
//
// simdnorm_activation_sweep [--isa NAME] [--function NAME] [--step N] [--limit ULPS]: every N-th of the 2^32 floats
// through the activation kernel, against doubles; prints the largest error and where it is, for results that are
// normal and for those that are subnormal, and fails above the limit. All floats take minutes a function.

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "simdnorm/simdnorm.h"
#include "support/activations.hpp"

namespace simdnorm::test {
namespace {

struct extreme {
  double error = 0;
  std::uint32_t x = 0;
  void see(double e, std::uint32_t at) {
    if (!(e <= error)) error = e, x = at;
  }
  void see(const extreme& e) { see(e.error, e.x); }
};
struct findings {
  extreme normal, subnormal;
  std::uint64_t wrong_nan = 0, wrong_sign = 0, hash = 0;
};

void sweep(elementwise_function f, std::uint64_t first, std::uint64_t last, std::uint64_t step, findings& found) {
  constexpr std::size_t piece = 4096;
  std::vector<float> x(piece), y(piece);
  for (std::uint64_t at = first; at < last;) {
    std::size_t n = 0;
    const std::uint64_t start = at;
    for (; n < piece && at < last; ++n, at += step) x[n] = float_of(static_cast<std::uint32_t>(at));
    activated(f, x.data(), y.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      const auto u = static_cast<std::uint32_t>(start + i * step);
      const std::uint32_t v = bits_of(y[i]);
      found.hash += (v ^ u) * 0x9e3779b97f4a7c15 >> 13;
      if (x[i] != x[i]) {
        found.wrong_nan += f == elementwise_function::none ? v != u : v != canonical_nan;
        continue;
      }
      const double exact = exact_in_doubles(f, x[i]);
      const double e = error_in_ulps(y[i], exact);
      (std::fabs(exact) < 0x1p-126 ? found.subnormal : found.normal).see(e, u);
      found.wrong_sign += std::signbit(exact) != std::signbit(y[i]);
    }
  }
}

findings sweep(elementwise_function f, std::uint64_t step) {
  const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<findings> parts(threads);
  std::vector<std::thread> workers;
  const std::uint64_t all = std::uint64_t{1} << 32, share = (all / threads + step) / step * step;
  for (unsigned t = 0; t < threads; ++t)
    workers.emplace_back([&, t] { sweep(f, t * share, std::min(all, (t + 1) * share), step, parts[t]); });
  for (std::thread& w : workers) w.join();
  findings found;
  for (const findings& p : parts) {
    found.normal.see(p.normal);
    found.subnormal.see(p.subnormal);
    found.wrong_nan += p.wrong_nan;
    found.wrong_sign += p.wrong_sign;
    found.hash += p.hash;
  }
  return found;
}

}  // namespace
}  // namespace simdnorm::test

int main(int argc, char** argv) {
  using namespace simdnorm::test;
  simdnorm_isa isa = -1;
  std::uint64_t step = 1;
  double limit = 2;
  const char* only = nullptr;
  for (int i = 1; i < argc; i += 2) {
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (std::strcmp(argv[i], "--isa") == 0 && simdnorm_isa_from_name(value, &isa) == SIMDNORM_OK) continue;
    if (std::strcmp(argv[i], "--function") == 0 && (only = value, *value != '\0')) continue;
    if (std::strcmp(argv[i], "--step") == 0 && (step = std::strtoull(value, nullptr, 10)) > 0) continue;
    if (std::strcmp(argv[i], "--limit") == 0 && (limit = std::strtod(value, nullptr)) > 0) continue;
    std::fprintf(stderr, "usage: %s [--isa NAME] [--function NAME] [--step N] [--limit ULPS]\n", argv[0]);
    return 2;
  }
  if (isa >= 0 && simdnorm_isa_force(isa) != SIMDNORM_OK) {
    std::fprintf(stderr, "%s: not here\n", simdnorm_isa_name(isa));
    return 77;
  }
  int status = 0, seen = 0;
  for (const named_activation& a : all_activations) {
    if (only && std::strcmp(only, a.name) != 0) continue;
    ++seen;
    const findings f = sweep(a.function, step);
    std::printf("%-9s  normal %.4f ulp at %.9g (%08" PRIx32 ")  subnormal %.4f at %.9g (%08" PRIx32
                ")  hash %016" PRIx64 "\n",
                a.name, f.normal.error, static_cast<double>(float_of(f.normal.x)), f.normal.x, f.subnormal.error,
                static_cast<double>(float_of(f.subnormal.x)), f.subnormal.x, f.hash);
    std::fflush(stdout);
    const bool good = f.normal.error <= limit && f.subnormal.error <= limit && f.wrong_nan == 0 && f.wrong_sign == 0;
    if (!good) {
      std::printf("%-9s  FAILED: limit %g ulp, %" PRIu64 " wrong NaN, %" PRIu64 " wrong signs\n", a.name, limit,
                  f.wrong_nan, f.wrong_sign);
      status = 1;
    }
  }
  return seen ? status : 2;
}

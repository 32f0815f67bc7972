// SPDX-License-Identifier: Apache-2.0
//
// A contest: contestants (kernel x variant) over one shape and the same buffers, measured with
// Google Benchmark in random interleaving, so that drift of the machine meets all of them alike.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rounds.hpp"
#include "simdnorm/simdnorm.hpp"

namespace bench {

// What the tables and the summary of --peers are of: layer_norm, layer_norm/bf16.
inline std::string operation_of(const std::string& kernel, const std::string& dtype) {
  return dtype == "f32" ? kernel : kernel + "/" + dtype;
}

struct contestant {
  std::string kernel;   // layer_norm
  std::string variant;  // textbook, autovec, ..., avx512; of copies: regular, nontemporal
  std::string dtype = "f32";
  std::size_t rows = 0, cols = 0;
  double rows_counted = 0;              // ns per row divides by this: real rows where there is padding
  double bytes = 0;                     // each input byte once, each output byte once
  std::string reference;                // the kernel whose textbook and autovec this one is compared with
  std::optional<simdnorm::isa> forced;  // the library's variants
  std::function<void()> call;           // once
  std::function<void(benchmark::State&)> loop;
  std::function<void(std::size_t)> repeat;  // that many calls
  std::function<double()> error;            // of what call() just left; may be empty
  std::function<void()> finish;             // brings a peer's result to y, unmeasured; may be empty
  bench::role role = role::yardstick;
  bool in_place = false;  // over a copy of x, which is normalized again and again
  std::string shape;      // 32x64x56x56 where that is said instead of ROWSxCOLS

  // kernel/dtype/variant/ROWSxCOLS; variant_in_place where that is so
  [[nodiscard]] std::string name() const;
  [[nodiscard]] std::string operation() const { return operation_of(kernel, dtype); }
};

// Numbers to check with, one after another; the last one stays for the measurement.
struct data_set {
  std::string label;              // "R=1e3"; empty if there is only one
  std::string counter;            // its error in JSON: max_ulp, max_ulp_r1e3
  std::function<void()> prepare;  // inputs, and gamma = 1, beta = 0
};

struct contest {
  std::string title;  // what this shape is
  std::vector<data_set> data;
  std::vector<std::function<void()>> oracles;  // run after each prepare
  std::function<void()> poison;                // overwrites the outputs before each check
  std::function<void()> settle;                // parameters to measure with
  std::vector<contestant> contestants;
  std::vector<std::string> absent;   // "ort: why it is not here"; for peers
  std::vector<std::string> without;  // peers that do not have this operation
};

// Made when its turn comes, so that only one contest's memory is there at a time. With dry == true
// only the contestants' names are wanted.
struct planned_contest {
  std::string section;
  bool quick = false;  // part of --quick
  std::function<contest(bool dry)> make;
};

struct result {
  std::string kernel, variant, name, reference, shape, dtype = "f32";
  std::size_t rows = 0, cols = 0;
  double rows_counted = 0, bytes = 0;
  bool library = false;
  double real_seconds = 0, cpu_seconds = 0;  // medians, one call
  double seconds = 0;                        // the one that counts (effort::wall_clock)
  long iterations = 0;                       // of one repetition
  int repetitions = 0;
  std::vector<double> errors;  // one per data set; empty: not checked
  std::optional<double> speedup_scalar, speedup_autovec, speedup_autovec_fast, copy_fraction, nt_copy_fraction;
  bool shown = true;  // passed --filter, not only measured as a reference
  bench::role role = role::yardstick;
  bool in_place = false;
  std::vector<std::pair<std::string, double>> ratios;  // of the library: each peer's time over its own
};

struct contest_results {
  std::string title;
  std::vector<data_set> data;
  std::vector<result> results;
  std::vector<std::string> absent;
};

struct effort {
  double min_seconds = 2e-3;     // of one repetition of one contestant
  double contest_seconds = 2.5;  // of all repetitions of all contestants; decides on repetitions
  int least = 5, most = 25;      // repetitions
  // One thread is timed by its CPU time: on a busy machine the wall clock counts other programs'
  // time slices too. Several threads are timed by the wall clock.
  bool wall_clock = false;
};

// A status that a measured call returned, other than ok, ends the program: nothing after it means
// anything.
void require(simdnorm::status s);

// `wanted` chooses what is shown; what it is compared with is measured all the same.
contest_results run_contest(contest& c, const effort& e, const std::function<bool(const contestant&)>& wanted);

// The same for contests with peers, by rounds.hpp and the wall clock: forward, then reversed, a call to
// warm up before each turn. Peers may work on threads of their own, so nobody is timed by CPU time.
// What is not wanted is not measured.
contest_results run_rounds(contest& c, const effort& e, const std::function<bool(const contestant&)>& wanted);

// What rounds.hpp needs to know of a result.
timing timing_of(const result& r);

}  // namespace bench

// SPDX-License-Identifier: Apache-2.0
//
// The capability report: collect.cpp asks, render.cpp writes.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "runtime/topology.hpp"
#include "simdnorm/simdnorm.h"

namespace simdnorm::info {

struct library_report {
  std::string version;         // of the library that runs
  std::string header_version;  // of the headers that this program was built with
  std::string linkage, build_type, compiler;
};

struct cpu_report {
  std::string architecture;
  std::string vendor, model_name;                   // empty: unknown
  std::optional<unsigned> family, model, stepping;  // as the vendor counts them
  std::optional<std::string> hypervisor;            // of the virtual machine that we run in
  std::vector<std::string> other_features;          // that normalization might use one day
};

struct isa_report {
  std::array<simdnorm_isa_state, SIMDNORM_ISA_COUNT> sets;
  simdnorm_status status;  // SIMDNORM_UNKNOWN_ISA: SIMDNORM_MAX_ISA is no name
  simdnorm_isa active;
  std::string reason;
  std::optional<std::string> max_isa;  // SIMDNORM_MAX_ISA as seen
};

struct kernel_report {
  std::string family, dtype, isa;
};

struct process_report {
  std::optional<std::string> affinity;  // unknown where the topology is not this machine's
  std::optional<unsigned> affinity_cpus;
  container_limits container;
  unsigned threads;  // of simdnorm_executor_create(0)
};

struct memory_report {
  std::optional<unsigned long> page_bytes;
  std::optional<std::string> huge_pages;  // transparent ones: always, madvise or never
  unsigned long stream_border = 0;        // bytes of an output that is written past the caches
};

// Of the calling thread.
struct control_word_report {
  bool ieee_default;  // otherwise each call switches to it and back
  bool flush_to_zero, denormals_are_zero;
  std::string rounding;
};

struct report {
  library_report library;
  cpu_report cpu;
  isa_report isa;
  std::vector<kernel_report> kernels;
  std::optional<machine_shape> machine;
  bool this_machine = false;  // false: recorded or synthetic, by HWLOC_XMLFILE or HWLOC_SYNTHETIC
  process_report process;
  memory_report memory;
  control_word_report control_word;
};

isa_report collect_isa();
report collect();

std::string valid_isa_names();  // "scalar, avx2, avx512, neon"

std::string to_text(const report& r);
std::string to_short_text(const report& r);
std::string to_json(const report& r);

}  // namespace simdnorm::info

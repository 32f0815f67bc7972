// SPDX-License-Identifier: Apache-2.0
//
// simdnorm-info: what the library found on this machine and what it chose.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <string>

#include "report.hpp"

namespace {

constexpr const char* description = "What simdnorm found on this machine, which instruction set it uses, and why.";

constexpr const char* footer = R"(
Environment:
  SIMDNORM_MAX_ISA   the best instruction set that may be used: scalar, avx2, avx512 or neon
  HWLOC_XMLFILE, HWLOC_SYNTHETIC
                     report a recorded or synthetic machine's caches and cores instead of this one's

JSON keys (null: unknown or none):
  schema_version     1; grows when a key changes its meaning or goes
  library            version, header_version, linkage, build_type, compiler
  cpu                architecture, vendor, model_name, family, model, stepping, hypervisor,
                     other_features[] (which no kernel uses)
  instruction_sets[] name; compiled (this build has it), cpu (the CPU has it), os (the operating
                     system saves its registers), available (all three)
  active             name, reason, max_isa (SIMDNORM_MAX_ISA)
  kernels[]          slot, family, dtype, isa (which it uses now)
  machine            this_machine, packages, cores, cpus, caches[], numa_nodes[], core_kinds[]
  process            affinity, affinity_cpus, cgroup_version (0: none), quota_cpus, cpuset,
                     memory_bytes, threads (in a default executor)
  memory             page_bytes, huge_pages, stream_border_bytes (an output of at least so many is written
                     past the caches)
  control_word       ieee_default, flush_to_zero, denormals_are_zero, rounding

Exit status: 0; 1 for wrong arguments or a failure; 2 if SIMDNORM_MAX_ISA is not a name.)";

int run(int argc, char** argv) {
  CLI::App app{description, "simdnorm-info"};
  app.footer(footer);
  bool json = false, brief = false;
  CLI::Option* json_option = app.add_flag("--json", json, "Write JSON");
  app.add_flag("--short", brief, "Write a few lines")->excludes(json_option);
  app.set_version_flag("--version", std::string("simdnorm ") + simdnorm_version());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 1;
  }

  using namespace simdnorm::info;
  const isa_report isa = collect_isa();
  if (isa.status != SIMDNORM_OK) {
    std::fprintf(stderr,
                 "simdnorm-info: SIMDNORM_MAX_ISA is '%s', which is no instruction set; use one of: %s.\n"
                 "Until then every computing call returns SIMDNORM_UNKNOWN_ISA.\n",
                 isa.max_isa.value_or("").c_str(), valid_isa_names().c_str());
    return 2;
  }
  const report r = collect();
  const std::string text = json ? to_json(r) : brief ? to_short_text(r) : to_text(r);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    std::fprintf(stderr, "simdnorm-info: cannot write\n");
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "simdnorm-info: %s\n", e.what());
    return 1;
  }
}

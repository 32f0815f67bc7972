// SPDX-License-Identifier: Apache-2.0
//
// simdnorm-info from outside, against the library's own answers.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/topology.hpp"
#include "simdnorm/cpu.hpp"

namespace simdnorm {
namespace {

using nlohmann::json;

struct outcome {
  int exit_code = -1;
  std::string text;
};

// "A=B simdnorm-info arguments", with SIMDNORM_MAX_ISA unset before A=B.
outcome info(const std::string& arguments, const std::string& environment = "") {
  const std::string command = "env -u SIMDNORM_MAX_ISA " + environment + " '" SIMDNORM_INFO "' " + arguments;
  outcome o;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return o;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) o.text.append(buffer.data(), n);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) o.exit_code = WEXITSTATUS(status);
  return o;
}

json info_json(const std::string& environment = "") {
  const outcome o = info("--json", environment);
  EXPECT_EQ(o.exit_code, 0);
  return json::parse(o.text);
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? text.size() : end + 1;
  }
  return lines;
}

// The library in this process as it would be without SIMDNORM_MAX_ISA.
class report : public ::testing::Test {
 protected:
  void SetUp() override {
    unsetenv("SIMDNORM_MAX_ISA");
    reset_isa();
  }
};

TEST_F(report, json_has_every_key) {
  const json j = info_json();
  EXPECT_EQ(j.at("schema_version"), 1);
  const std::vector<std::pair<const char*, std::vector<const char*>>> keys = {
      {"library", {"version", "header_version", "linkage", "build_type", "compiler"}},
      {"cpu", {"architecture", "vendor", "model_name", "family", "model", "stepping", "hypervisor", "other_features"}},
      {"active", {"name", "reason", "max_isa"}},
      {"machine", {"this_machine", "packages", "cores", "cpus", "caches", "numa_nodes", "core_kinds"}},
      {"process", {"affinity", "affinity_cpus", "cgroup_version", "quota_cpus", "cpuset", "memory_bytes", "threads"}},
      {"memory", {"page_bytes", "huge_pages", "stream_border_bytes"}},
      {"control_word", {"ieee_default", "flush_to_zero", "denormals_are_zero", "rounding"}}};
  for (const auto& [object, names] : keys) {
    EXPECT_EQ(j.at(object).size(), names.size()) << object;
    for (const char* name : names) EXPECT_TRUE(j.at(object).contains(name)) << object << "." << name;
  }
  EXPECT_EQ(j.size(), keys.size() + 3);  // schema_version, instruction_sets, kernels
}

TEST_F(report, json_agrees_with_the_library) {
  const json j = info_json();
  EXPECT_EQ(j["library"]["version"], simdnorm_version());
  const auto sets = isa_list();
  ASSERT_EQ(j["instruction_sets"].size(), sets.size());
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const json& s = j["instruction_sets"][i];
    EXPECT_EQ(s.at("name"), simdnorm_isa_name(sets[i].isa));
    EXPECT_EQ(s.at("compiled"), sets[i].compiled != 0);
    EXPECT_EQ(s.at("cpu"), sets[i].cpu != 0);
    EXPECT_EQ(s.at("os"), sets[i].os != 0);
    EXPECT_EQ(s.at("available"), sets[i].available != 0);
  }
  isa active{};
  ASSERT_EQ(active_isa(active), status::ok);
  EXPECT_EQ(j["active"]["name"], to_string(active));
  EXPECT_EQ(j["active"]["reason"], isa_reason());
  EXPECT_TRUE(j["active"]["max_isa"].is_null());

  EXPECT_EQ(j["memory"]["stream_border_bytes"], stream_border());

  std::vector<std::string> slots;
#define SIMDNORM_KERNEL(family, dtype, arguments) slots.emplace_back(#family "_" #dtype);
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL
  ASSERT_EQ(j["kernels"].size(), slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    EXPECT_EQ(j["kernels"][i].at("slot"), slots[i]);
    EXPECT_EQ(j["kernels"][i].at("isa"), to_string(active));
  }
}

TEST_F(report, json_agrees_with_the_machine) {
  const json j = info_json();
  const topology t = topology::load();
  const machine_shape m = t.shape();
  EXPECT_EQ(j["machine"]["this_machine"], t.is_this_machine());
  EXPECT_EQ(j["machine"]["cores"], m.cores);
  EXPECT_EQ(j["machine"]["cpus"], m.cpus);
  EXPECT_EQ(j["machine"]["caches"].size(), m.caches.size());
  if (t.is_this_machine()) {
    EXPECT_EQ(j["process"]["affinity"], list_cpus(t.allowed()));
    EXPECT_EQ(j["process"]["threads"], usable_threads(count_cpus(t.allowed()), read_container_limits()));
  }
  EXPECT_EQ(j["control_word"]["ieee_default"], true);
  EXPECT_EQ(j["control_word"]["rounding"], "nearest");
}

TEST_F(report, every_ceiling) {
  for (simdnorm_isa i = 0; i < SIMDNORM_ISA_COUNT; ++i) {
    const std::string name = simdnorm_isa_name(i);
    const json j = info_json("SIMDNORM_MAX_ISA=" + name);
    ASSERT_EQ(simdnorm_isa_limit(i), SIMDNORM_OK);
    isa active{};
    ASSERT_EQ(active_isa(active), status::ok);
    EXPECT_EQ(j["active"]["name"], to_string(active)) << name;
    EXPECT_EQ(j["active"]["max_isa"], name);
    for (const json& k : j["kernels"]) EXPECT_EQ(k["isa"], to_string(active));
  }
}

TEST_F(report, scalar_ceiling_in_words) {
  const std::string text = info("", "SIMDNORM_MAX_ISA=scalar").text;
  for (const std::string& line : lines_of(text)) {
    if (contains(line, "<- active") || contains(line, "layer_norm")) {
      EXPECT_TRUE(contains(line, "scalar")) << line;
    }
  }
  EXPECT_TRUE(contains(text, "<- active"));
  EXPECT_TRUE(contains(text, "SIMDNORM_MAX_ISA=scalar")) << text;
  const std::string brief = info("--short", "SIMDNORM_MAX_ISA=scalar").text;
  EXPECT_TRUE(contains(brief, "runs on scalar")) << brief;
  EXPECT_TRUE(contains(brief, "SIMDNORM_MAX_ISA (scalar)")) << brief;
}

TEST_F(report, unknown_ceiling) {
  for (const char* form : {"", "--json", "--short"}) {
    const outcome silent = info(std::string(form) + " 2>/dev/null", "SIMDNORM_MAX_ISA=sse9");
    EXPECT_EQ(silent.exit_code, 2);
    EXPECT_EQ(silent.text, "");
    const std::string said = info(std::string(form) + " 2>&1 >/dev/null", "SIMDNORM_MAX_ISA=sse9").text;
    EXPECT_TRUE(contains(said, "SIMDNORM_MAX_ISA")) << said;
    EXPECT_TRUE(contains(said, "'sse9'")) << said;
    EXPECT_TRUE(contains(said, "scalar, avx2, avx512, neon")) << said;
  }
}

TEST_F(report, text_is_tidy) {
  const outcome o = info("");
  EXPECT_EQ(o.exit_code, 0);
  for (const char* heading : {"CPU", "Instruction sets", "Kernels", "Machine", "This process"})
    EXPECT_TRUE(contains(o.text, std::string("\n") + heading)) << heading;
  for (const std::string& line : lines_of(o.text)) {
    EXPECT_LE(line.size(), 110U) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << '"' << line << '"';
  }
  const outcome brief = info("--short");
  EXPECT_EQ(brief.exit_code, 0);
  EXPECT_GE(lines_of(brief.text).size(), 4U);
  EXPECT_LE(lines_of(brief.text).size(), 6U);
}

TEST_F(report, other_machines) {
  const json one = info_json("HWLOC_SYNTHETIC='core:1 pu:1'");
  EXPECT_EQ(one["machine"]["this_machine"], false);
  EXPECT_EQ(one["machine"]["cores"], 1);
  EXPECT_TRUE(one["machine"]["caches"].empty());
  EXPECT_TRUE(one["process"]["affinity"].is_null());
  EXPECT_TRUE(contains(info("", "HWLOC_SYNTHETIC='core:1 pu:1'").text, "L3              none, or unknown"));

  const json two = info_json("HWLOC_SYNTHETIC='pack:2 [numa] l3:1 core:4 pu:2'");
  EXPECT_EQ(two["machine"]["packages"], 2);
  EXPECT_EQ(two["machine"]["numa_nodes"].size(), 2U);

  const json hybrid = info_json("HWLOC_XMLFILE='" SIMDNORM_TEST_DATA "/hybrid.xml'");
  EXPECT_EQ(hybrid["machine"]["core_kinds"].size(), 2U);
  bool unknown_l3 = false;
  for (const json& c : hybrid["machine"]["caches"]) unknown_l3 |= c["level"] == 3 && c["bytes"].is_null();
  EXPECT_TRUE(unknown_l3);
  EXPECT_TRUE(contains(info("--short", "HWLOC_XMLFILE='" SIMDNORM_TEST_DATA "/hybrid.xml'").text, "L3 size unknown"));
}

TEST_F(report, arguments) {
  EXPECT_TRUE(contains(info("--version").text, simdnorm_version()));
  const std::string help = info("--help").text;
  for (const char* word : {"--json", "--short", "SIMDNORM_MAX_ISA", "schema_version", "Exit status"})
    EXPECT_TRUE(contains(help, word)) << word;
  EXPECT_EQ(info("--nonsense 2>/dev/null >/dev/null").exit_code, 1);
  EXPECT_EQ(info("--json --short 2>/dev/null >/dev/null").exit_code, 1);
  EXPECT_EQ(info("--json >/dev/full 2>/dev/null").exit_code, 1);
}

}  // namespace
}  // namespace simdnorm

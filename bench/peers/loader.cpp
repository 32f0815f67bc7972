// SPDX-License-Identifier: Apache-2.0
#include "peers/loader.hpp"

#include <dlfcn.h>
#include <malloc.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

namespace bench {
namespace {

// "torch_kernel" is in torch's module.
std::string module_of(const std::string& name) {
  if (name == "torch_kernel" || name == "vllm") return "torch";
  if (name == "limit_least") return "limit";
  if (name == "onednn3_layout") return "onednn3";
  if (name == "ncnn" || name == "sklearn" || name == "onedal") return "python";
  return name;
}

std::string reason_in(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ": ")) return line.substr(name.size() + 2);
  }
  return "";
}

}  // namespace

const std::vector<std::string>& peer_names() {
  static const std::vector<std::string> names = {
      "limit",        "limit_least", "clang19_fast", "onednn2",  "onednn3",      "onednn3_layout",
      "onednn_torch", "torch",       "ort",          "openvino", "torch_kernel", "vllm",
      "ggml",         "ncnn",        "sklearn",      "onedal",   "sglang"};
  return names;
}

peer open_peer(const std::string& folder, const std::string& site, const std::string& name, int threads) {
  peer p;
  p.name = name;
  p.why = reason_in(folder + "/missing", name);
  if (!p.why.empty()) return p;
  void* module = dlopen((folder + "/peer_" + module_of(name) + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    const char* error = dlerror();
    p.why = error ? error : "its module cannot be loaded";
    return p;
  }
  const auto open = reinterpret_cast<simdnorm_peer_open_function>(dlsym(module, SIMDNORM_PEER_ENTRY));
  if (!open) {
    p.why = "its module has no " SIMDNORM_PEER_ENTRY;
    return p;
  }
  std::array<char, 512> why{};
  const simdnorm_peer_setup setup = {SIMDNORM_PEER_INTERFACE, name.c_str(), site.c_str(), threads};
  p.table = open(&setup, why.data(), why.size());
  if (!p.table) p.why = why[0] ? why.data() : "it does not say why";
  return p;
}

void quiet_workers(int threads) {
  const std::string n = std::to_string(threads);
  const std::pair<const char*, const char*> settings[] = {
      {"OMP_NUM_THREADS", n.c_str()}, {"MKL_NUM_THREADS", n.c_str()}, {"OPENBLAS_NUM_THREADS", n.c_str()},
      {"OMP_DYNAMIC", "false"},       {"OMP_WAIT_POLICY", "passive"}, {"GOMP_SPINCOUNT", "0"},
      {"KMP_BLOCKTIME", "0"},         {"OMP_PROC_BIND", "false"},     {"ORT_DISABLE_TELEMETRY", "1"}};
  for (const auto& [name, value] : settings) setenv(name, value, 1);
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

std::string bind_to_cpus(int threads) {
  cpu_set_t may, chosen;
  CPU_ZERO(&chosen);
  if (sched_getaffinity(0, sizeof may, &may) != 0) return "";
  std::vector<int> all;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &may)) all.push_back(i);
  }
  if (all.size() < static_cast<std::size_t>(threads)) return "";
  std::string text;
  for (std::size_t i = all.size() - static_cast<std::size_t>(threads); i < all.size(); ++i) {
    CPU_SET(all[i], &chosen);
    if (!text.empty()) text += ' ';
    text += std::to_string(all[i]);
  }
  return sched_setaffinity(0, sizeof chosen, &chosen) == 0 ? text : "";
}

}  // namespace bench

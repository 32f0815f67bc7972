// SPDX-License-Identifier: Apache-2.0
#include <cfenv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <thread>

#include "report.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#if defined(__unix__)
#include <unistd.h>
#endif

namespace simdnorm::info {

namespace {

std::string trim(const std::string& text) {
  const char* blank = " \t\n\r";
  const std::size_t first = text.find_first_not_of(blank);
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

library_report collect_library() {
  library_report r;
  r.version = simdnorm_version();
  r.header_version = std::to_string(SIMDNORM_VERSION_MAJOR) + "." + std::to_string(SIMDNORM_VERSION_MINOR) + "." +
                     std::to_string(SIMDNORM_VERSION_PATCH);
#if defined(SIMDNORM_STATIC)
  r.linkage = "static";
#else
  r.linkage = "shared";
#endif
  r.build_type = SIMDNORM_BUILD_TYPE;
#if defined(__clang__)
  r.compiler = trim("Clang " __clang_version__);
#elif defined(__GNUC__)
  r.compiler = "GCC " __VERSION__;
#else
  r.compiler = "unknown";
#endif
  return r;
}

#if defined(__x86_64__)

// CPUID, not /proc/cpuinfo: under user-mode emulation that file shows the host.
struct registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

registers cpuid(unsigned leaf, unsigned subleaf = 0) {
  registers r;
  __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
  return r;
}

std::string text_of(std::initializer_list<unsigned> words) {
  std::string text;
  for (unsigned word : words) {
    char bytes[4];
    std::memcpy(bytes, &word, 4);
    text.append(bytes, 4);
  }
  return trim(text.substr(0, text.find('\0')));
}

std::string hypervisor_name(const std::string& signature) {
  static constexpr const char* names[][2] = {{"KVMKVMKVM", "KVM"},         {"Microsoft Hv", "Hyper-V"},
                                             {"VMwareVMware", "VMware"},   {"XenVMMXenVMM", "Xen"},
                                             {"TCGTCGTCGTCG", "QEMU TCG"}, {"VBoxVBoxVBox", "VirtualBox"},
                                             {"bhyve bhyve", "bhyve"},     {"ACRNACRNACRN", "ACRN"}};
  for (const auto& [key, name] : names)
    if (signature == key) return name;
  return signature.empty() ? "unknown" : signature;
}

cpu_report collect_cpu() {
  cpu_report r;
  r.architecture = "x86_64";
  const registers zero = cpuid(0);
  r.vendor = text_of({zero.b, zero.d, zero.c});
  if (zero.a < 1) return r;

  const registers one = cpuid(1);
  const unsigned base_family = one.a >> 8 & 0xf;
  r.family = base_family + (base_family == 0xf ? one.a >> 20 & 0xff : 0);
  r.model = (one.a >> 4 & 0xf) | (base_family == 6 || base_family == 0xf ? one.a >> 12 & 0xf0 : 0);
  r.stepping = one.a & 0xf;
  if ((one.c >> 31 & 1) != 0) {
    const registers h = cpuid(0x40000000);
    r.hypervisor = hypervisor_name(text_of({h.b, h.c, h.d}));
  }
  if (cpuid(0x80000000).a >= 0x80000004) {
    const registers x = cpuid(0x80000002), y = cpuid(0x80000003), z = cpuid(0x80000004);
    r.model_name = text_of({x.a, x.b, x.c, x.d, y.a, y.b, y.c, y.d, z.a, z.b, z.c, z.d});
  }
  if (zero.a >= 7) {
    const registers seven = cpuid(7), more = seven.a >= 1 ? cpuid(7, 1) : registers{};
    const auto add = [&](unsigned word, unsigned bit, const char* name) {
      if ((word >> bit & 1) != 0) r.other_features.emplace_back(name);
    };
    add(more.a, 4, "avx_vnni");
    add(seven.b, 21, "avx512_ifma");
    add(seven.c, 1, "avx512_vbmi");
    add(seven.c, 6, "avx512_vbmi2");
    add(seven.c, 11, "avx512_vnni");
    add(more.a, 5, "avx512_bf16");
    add(seven.d, 23, "avx512_fp16");
    add(seven.d, 24, "amx_tile");
    add(seven.d, 22, "amx_bf16");
    add(seven.d, 25, "amx_int8");
    add(more.d, 19, "avx10");
  }
  return r;
}

control_word_report collect_control_word() {
  const unsigned word = _mm_getcsr();
  // Everything but the six sticky flags: DAZ 6, exception masks 7-12, rounding 13-14, FTZ 15.
  return {(word & 0xffc0) == 0x1f80, (word >> 15 & 1) != 0, (word >> 6 & 1) != 0, ""};
}

#else

// The first "key : value" of /proc/cpuinfo with this key.
[[maybe_unused]] std::string cpuinfo(const std::string& key) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos && trim(line.substr(0, colon)) == key) return trim(line.substr(colon + 1));
  }
  return "";
}

#if defined(__aarch64__)

cpu_report collect_cpu() {
  cpu_report r;
  r.architecture = "aarch64";
  static constexpr struct {
    unsigned long implementer;
    const char* name;
  } vendors[] = {{0x41, "Arm"},      {0x46, "Fujitsu"}, {0x48, "HiSilicon"}, {0x4e, "NVIDIA"},
                 {0x51, "Qualcomm"}, {0x61, "Apple"},   {0x6d, "Microsoft"}, {0xc0, "Ampere"}};
  static constexpr struct {
    unsigned long part;
    const char* name;
  } arm_parts[] = {{0xd03, "Cortex-A53"},  {0xd05, "Cortex-A55"},  {0xd08, "Cortex-A72"},  {0xd0b, "Cortex-A76"},
                   {0xd0c, "Neoverse-N1"}, {0xd40, "Neoverse-V1"}, {0xd49, "Neoverse-N2"}, {0xd4f, "Neoverse-V2"},
                   {0xd84, "Neoverse-V3"}, {0xd8e, "Neoverse-N3"}};
  const auto number = [](const std::string& text) { return std::strtoul(text.c_str(), nullptr, 0); };
  const std::string implementer = cpuinfo("CPU implementer"), part = cpuinfo("CPU part");
  for (const auto& v : vendors)
    if (number(implementer) == v.implementer) r.vendor = v.name;
  if (r.vendor == "Arm")
    for (const auto& p : arm_parts)
      if (number(part) == p.part) r.model_name = p.name;
  if (!implementer.empty()) {
    if (r.vendor.empty()) r.vendor = "implementer " + implementer;
    if (r.model_name.empty()) r.model_name = "part " + part;
    r.stepping = static_cast<unsigned>(number(cpuinfo("CPU revision")));
  }
#if defined(__linux__)
  const unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
  const auto add = [&](unsigned long word, unsigned long mask, const char* name) {
    if ((word & mask) != 0) r.other_features.emplace_back(name);
  };
  add(caps, HWCAP_ASIMDHP, "fp16");
  add(caps, HWCAP_ASIMDDP, "dotprod");
#ifdef HWCAP2_BF16
  add(caps2, HWCAP2_BF16, "bf16");
  add(caps2, HWCAP2_I8MM, "i8mm");
#endif
  add(caps, HWCAP_SVE, "sve");
#ifdef HWCAP2_SVE2
  add(caps2, HWCAP2_SVE2, "sve2");
#endif
#ifdef HWCAP2_SME
  add(caps2, HWCAP2_SME, "sme");
#endif
#endif
  return r;
}

control_word_report collect_control_word() {
  std::uint64_t word = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(word));
  const bool flush = (word >> 24 & 1) != 0;  // FZ: both inputs and outputs
  // FIZ, AH, NEP, trap enables, FZ16, rounding, FZ, DN
  return {(word & 0x3c89f07) == 0, flush, flush || (word & 1) != 0, ""};
}

#else

cpu_report collect_cpu() {
  cpu_report r;
  r.architecture = "unknown";
  r.model_name = cpuinfo("model name");
  return r;
}

control_word_report collect_control_word() {
  return {std::fegetround() == FE_TONEAREST, false, false, ""};
}

#endif
#endif

std::string rounding_name() {
  switch (std::fegetround()) {
    case FE_TONEAREST:
      return "nearest";
    case FE_UPWARD:
      return "up";
    case FE_DOWNWARD:
      return "down";
    case FE_TOWARDZERO:
      return "zero";
    default:
      return "unknown";
  }
}

std::vector<kernel_report> collect_kernels(const isa_report& isa) {
  // Every target fills every slot (there is a test), so each kernel runs on the active set.
  const std::string name = isa.status == SIMDNORM_OK ? simdnorm_isa_name(isa.active) : "";
  return {
#define SIMDNORM_KERNEL(family, dtype, arguments) {#family, #dtype, name},
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL
  };
}

memory_report collect_memory() {
  memory_report r;
#if defined(__unix__)
  const long page = sysconf(_SC_PAGESIZE);
  r.stream_border = simdnorm_stream_border();
  if (page > 0) r.page_bytes = static_cast<unsigned long>(page);
#endif
  // "always [madvise] never"
  std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(in, line);
  const std::size_t open = line.find('['), close = line.find(']');
  if (open != std::string::npos && close != std::string::npos && open < close)
    r.huge_pages = line.substr(open + 1, close - open - 1);
  return r;
}

}  // namespace

std::string valid_isa_names() {
  std::string names;
  for (simdnorm_isa i = 0; i < SIMDNORM_ISA_COUNT; ++i) {
    if (i > 0) names += ", ";
    names += simdnorm_isa_name(i);
  }
  return names;
}

isa_report collect_isa() {
  isa_report r{};
  simdnorm_isa_list(r.sets.data());
  r.status = simdnorm_isa_active(&r.active);
  r.reason = simdnorm_isa_reason();
  const char* ceiling = std::getenv("SIMDNORM_MAX_ISA");
  if (ceiling != nullptr && *ceiling != '\0') r.max_isa = ceiling;  // empty: as if not set
  return r;
}

report collect() {
  report r;
  r.library = collect_library();
  r.cpu = collect_cpu();
  r.isa = collect_isa();
  r.kernels = collect_kernels(r.isa);
  r.process.container = read_container_limits();
  unsigned cpus = std::thread::hardware_concurrency();
  try {
    const topology machine = topology::load();
    r.machine = machine.shape();
    r.this_machine = machine.is_this_machine();
    if (r.this_machine) {
      const cpu_set allowed = machine.allowed();
      cpus = count_cpus(allowed);
      r.process.affinity = list_cpus(allowed);
      r.process.affinity_cpus = cpus;
    }
  } catch (const std::exception&) {
    // The report says that the topology is unknown.
  }
  r.process.threads = usable_threads(cpus, r.process.container);
  r.memory = collect_memory();
  r.control_word = collect_control_word();
  r.control_word.rounding = rounding_name();
  return r;
}

}  // namespace simdnorm::info

// SPDX-License-Identifier: Apache-2.0
//
// PyTorch carries a newer oneDNN than any wheel of its own that runs without SYCL, linked in and not
// exported. Its functions are still named in the library's symbol table: they are found there, and
// onednn.cpp reaches them through jumps of the usual names. This file must not see oneDNN's headers.
#include "dnnl_inside.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>
#include <string>

#define SIMDNORM_DNNL_FUNCTIONS(f)                                                                                    \
  f(dnnl_version) f(dnnl_engine_create) f(dnnl_stream_create) f(dnnl_stream_wait) f(dnnl_memory_desc_create_with_tag) \
      f(dnnl_memory_desc_destroy) f(dnnl_memory_desc_get_size) f(dnnl_memory_create) f(dnnl_memory_destroy)           \
          f(dnnl_layer_normalization_forward_primitive_desc_create)                                                   \
              f(dnnl_batch_normalization_forward_primitive_desc_create)                                               \
                  f(dnnl_group_normalization_forward_primitive_desc_create) f(dnnl_binary_primitive_desc_create)      \
                      f(dnnl_reorder_primitive_desc_create) f(dnnl_primitive_desc_destroy) f(dnnl_primitive_create)   \
                          f(dnnl_primitive_execute) f(dnnl_primitive_destroy)
// Its functions that PyTorch does not call itself may not have been linked in.
constexpr const char* may_be_missing[] = {"dnnl_group_normalization_forward_primitive_desc_create"};

// A place for each address, and a function of that name that jumps to it.
#define SIMDNORM_DNNL_SLOT(name) __attribute__((visibility("hidden"), used)) void* simdnorm_slot_##name = nullptr;
extern "C" {
SIMDNORM_DNNL_FUNCTIONS(SIMDNORM_DNNL_SLOT)
}
#define SIMDNORM_DNNL_JUMP(name)                                                       \
  asm(".text\n.globl " #name "\n.hidden " #name "\n.type " #name ", @function\n" #name \
      ":\n\tjmp *simdnorm_slot_" #name "(%rip)\n");
SIMDNORM_DNNL_FUNCTIONS(SIMDNORM_DNNL_JUMP)

namespace simdnorm_peers {
namespace {

struct wanted {
  const char* name;
  void** slot;
};
#define SIMDNORM_DNNL_WANTED(name) {#name, &simdnorm_slot_##name},
constexpr wanted all[] = {SIMDNORM_DNNL_FUNCTIONS(SIMDNORM_DNNL_WANTED)};

}  // namespace

void find_dnnl_inside(const char* site) {
  const std::string path = std::string(site) + "/torch/lib/libtorch_cpu.so";
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(dlerror());
  link_map* loaded = nullptr;
  if (dlinfo(library, RTLD_DI_LINKMAP, &loaded) != 0) throw std::runtime_error(dlerror());

  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (file < 0 || fstat(file, &about) != 0) throw std::runtime_error(path + " cannot be read");
  const auto size = static_cast<std::size_t>(about.st_size);
  void* const mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (mapped == MAP_FAILED) throw std::runtime_error(path + " cannot be mapped");
  const char* const bytes = static_cast<const char*>(mapped);

  const auto& header = *reinterpret_cast<const Elf64_Ehdr*>(bytes);
  const auto* const sections = reinterpret_cast<const Elf64_Shdr*>(bytes + header.e_shoff);
  for (std::size_t s = 0; s < header.e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const char* const names = bytes + sections[sections[s].sh_link].sh_offset;
    const auto* const symbols = reinterpret_cast<const Elf64_Sym*>(bytes + sections[s].sh_offset);
    for (std::size_t i = 0; i < sections[s].sh_size / sizeof(Elf64_Sym); ++i) {
      const char* const name = names + symbols[i].st_name;
      if (symbols[i].st_value == 0 || std::strncmp(name, "dnnl_", 5) != 0) continue;
      for (const wanted& w : all) {
        if (*w.slot || std::strcmp(name, w.name) != 0) continue;
        *w.slot = reinterpret_cast<void*>(loaded->l_addr + symbols[i].st_value);
      }
    }
  }
  munmap(mapped, size);
  for (const wanted& w : all) {
    bool needed = *w.slot == nullptr;
    for (const char* name : may_be_missing) needed = needed && std::strcmp(name, w.name) != 0;
    if (needed) throw std::runtime_error(std::string("oneDNN's ") + w.name + " is not named in libtorch_cpu.so");
  }
}

bool dnnl_inside_has(const char* name) {
  for (const wanted& w : all) {
    if (std::strcmp(name, w.name) == 0) return *w.slot != nullptr;
  }
  return false;
}

}  // namespace simdnorm_peers

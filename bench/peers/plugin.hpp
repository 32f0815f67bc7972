// SPDX-License-Identifier: Apache-2.0
//
// For peers written in C++: the C interface of peer.h around two functions and a class. A module
// defines simdnorm_peers::open and simdnorm_peers::make, which may throw.
#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "peer.h"

namespace simdnorm_peers {

// One operation over one shape, prepared.
class job {
 public:
  job() = default;
  job(const job&) = delete;
  job& operator=(const job&) = delete;
  virtual ~job() = default;
  virtual void run() = 0;
  virtual void finish() {}
};

struct description {
  std::string version, note;
  int threads = 1;
  bool library = true, in_place = false;
  unsigned operations = 0;
};

description open(const simdnorm_peer_setup& setup);
std::unique_ptr<job> make(const simdnorm_peer_task& task);

constexpr unsigned bit(simdnorm_peer_operation op) {
  return 1u << static_cast<unsigned>(op);
}

namespace detail {

inline void tell(char* why, std::size_t size, const char* what) {
  if (size > 0) std::snprintf(why, size, "%s", what);
}

inline void* prepare(const simdnorm_peer_task* task, char* why, std::size_t size) {
  try {
    return make(*task).release();
  } catch (const std::exception& e) {
    tell(why, size, e.what());
  } catch (...) {
    tell(why, size, "an exception that is no std::exception");
  }
  return nullptr;
}

}  // namespace detail
}  // namespace simdnorm_peers

// Included once a module.
extern "C" __attribute__((visibility("default"))) const simdnorm_peer* simdnorm_peer_open(
    const simdnorm_peer_setup* setup, char* why, size_t why_size) {
  namespace peers = simdnorm_peers;
  static peers::description about;
  static simdnorm_peer table;
  if (setup->interface_version != SIMDNORM_PEER_INTERFACE) {
    peers::detail::tell(why, why_size, "built for another interface");
    return nullptr;
  }
  try {
    about = peers::open(*setup);
  } catch (const std::exception& e) {
    peers::detail::tell(why, why_size, e.what());
    return nullptr;
  }
  table = {about.version.c_str(),
           about.note.c_str(),
           about.threads,
           about.library ? 1 : 0,
           about.in_place ? 1u : 0u,
           about.operations,
           peers::detail::prepare,
           [](void* j) { static_cast<peers::job*>(j)->run(); },
           [](void* j) { static_cast<peers::job*>(j)->finish(); },
           [](void* j) { delete static_cast<peers::job*>(j); }};
  return &table;
}

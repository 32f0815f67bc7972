// SPDX-License-Identifier: Apache-2.0
//
// For peers written in C++: the C interface of peer.h around a function and a class. A module defines
// simdnorm_peers::open, which may throw, as may the maker that it returns.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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
  bool library = true, in_place = false, own_layout = false;
  std::array<unsigned, SIMDNORM_PEER_TYPES> operations = {};
  std::function<std::unique_ptr<job>(const simdnorm_peer_task&)> make;
};

description open(const simdnorm_peer_setup& setup);

constexpr unsigned bit(simdnorm_peer_operation op) {
  return 1u << static_cast<unsigned>(op);
}

inline constexpr simdnorm_peer_type half_types[] = {SIMDNORM_PEER_BF16, SIMDNORM_PEER_F16};
constexpr const char* name_of(simdnorm_peer_type type) {
  return type == SIMDNORM_PEER_BF16 ? "bf16" : type == SIMDNORM_PEER_F16 ? "f16" : "f32";
}
constexpr std::size_t bytes_of(simdnorm_peer_type type) {
  return type == SIMDNORM_PEER_F32 ? 4 : 2;
}

// Tasks over [batch, channels, height, width].
constexpr bool has_channels(simdnorm_peer_operation op) {
  return op == SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW || op == SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW ||
         op == SIMDNORM_PEER_GROUP_NORM || op == SIMDNORM_PEER_INSTANCE_NORM;
}
constexpr bool has_residual(simdnorm_peer_operation op) {
  return op == SIMDNORM_PEER_ADD_LAYER_NORM || op == SIMDNORM_PEER_ADD_RMS_NORM;
}
inline std::vector<std::int64_t> dimensions(const simdnorm_peer_task& t) {
  const auto d = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  if (has_channels(t.operation)) return {d(t.batch), d(t.channels), d(t.height), d(t.width)};
  return {d(t.rows), d(t.cols)};
}
// Entries of gamma, beta, mean and variance.
inline std::size_t parameters(const simdnorm_peer_task& t) {
  return has_channels(t.operation) ? t.channels : t.cols;
}

// The fastest of several ways to the same result, where none is the fastest of every shape: a user would
// have any of them.
inline std::unique_ptr<job> fastest(const simdnorm_peer_task& t,
                                    std::vector<std::function<std::unique_ptr<job>()>> ways) {
  std::unique_ptr<job> best;
  double least = 0;
  for (const auto& way : ways) {
    std::unique_ptr<job> candidate = way();
    if (ways.size() == 1) return candidate;
    candidate->run();
    double seconds = 0;
    for (int i = 0; i < 5; ++i) {
      const auto start = std::chrono::steady_clock::now();
      for (int k = 0; k < (t.rows * t.cols < 100000 ? 100 : 1); ++k) candidate->run();
      const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (i == 0 || s < seconds) seconds = s;
    }
    if (!best || seconds < least) {
      best = std::move(candidate);
      least = seconds;
    }
  }
  return best;
}

// What the library itself says against an operation over two rows of 16 ones; empty if it does it.
inline std::string refusal(const description& d, simdnorm_peer_operation op, simdnorm_peer_type type) {
  constexpr std::size_t cols = 16;
  const std::vector<float> floats(2 * cols, 1.0f);
  const std::vector<std::uint16_t> halves(2 * cols, type == SIMDNORM_PEER_F16 ? 0x3c00 : 0x3f80);
  std::vector<float> y(2 * cols);
  simdnorm_peer_task t = {};
  t.operation = op;
  t.type = type;
  t.rows = 2;
  t.cols = cols;
  const void* const ones = type == SIMDNORM_PEER_F32 ? static_cast<const void*>(floats.data()) : halves.data();
  t.x = d.in_place ? y.data() : ones;
  t.y = y.data();
  t.gamma = t.beta = floats.data();
  t.gamma_of_type = t.beta_of_type = ones;
  t.epsilon = 1e-5f;
  try {
    d.make(t)->run();
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}

// Layer and RMS norm of a type beside f32: those that the library does not refuse, which may depend on the CPU.
// The note has its reasons. To be called when make and the operations of f32 are there.
inline void ask_for(description& d, simdnorm_peer_type type) {
  for (const simdnorm_peer_operation op : {SIMDNORM_PEER_LAYER_NORM, SIMDNORM_PEER_RMS_NORM}) {
    if ((d.operations[SIMDNORM_PEER_F32] & bit(op)) == 0) continue;
    const std::string why = refusal(d, op, type);
    if (why.empty()) {
      d.operations[type] |= bit(op);
    } else {
      const char* norm = op == SIMDNORM_PEER_LAYER_NORM ? "layer" : "RMS";
      d.note += std::string("; no ") + norm + " norm of " + name_of(type) + ": " + why;
    }
  }
}

namespace detail {

inline void tell(char* why, std::size_t size, const char* what) {
  if (size > 0) std::snprintf(why, size, "%s", what);
}

// What the interface's pointers point to; stays as long as the module.
struct opened : simdnorm_peer {
  description about;
};

inline void* prepare(const simdnorm_peer* self, const simdnorm_peer_task* task, char* why, std::size_t size) {
  try {
    return static_cast<const opened*>(self)->about.make(*task).release();
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
  if (setup->interface_version != SIMDNORM_PEER_INTERFACE) {
    peers::detail::tell(why, why_size, "built for another interface");
    return nullptr;
  }
  try {
    auto* const o = new peers::detail::opened{{}, peers::open(*setup)};
    o->version = o->about.version.c_str();
    o->note = o->about.note.c_str();
    o->threads = o->about.threads;
    o->library = o->about.library ? 1 : 0;
    o->in_place = o->about.in_place ? 1u : 0u;
    o->own_layout = o->about.own_layout ? 1u : 0u;
    std::copy(o->about.operations.begin(), o->about.operations.end(), o->operations);
    o->prepare = peers::detail::prepare;
    o->run = [](void* j) { static_cast<peers::job*>(j)->run(); };
    o->finish = [](void* j) { static_cast<peers::job*>(j)->finish(); };
    o->destroy = [](void* j) { delete static_cast<peers::job*>(j); };
    return o;
  } catch (const std::exception& e) {
    peers::detail::tell(why, why_size, e.what());
  } catch (...) {
    peers::detail::tell(why, why_size, "an exception that is no std::exception");
  }
  return nullptr;
}

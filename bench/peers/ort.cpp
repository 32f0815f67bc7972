// SPDX-License-Identifier: Apache-2.0
//
// ONNX Runtime. Its wheel has no headers, but its C interface is a table of functions that only grows:
// what is called here is named by its place in it.
#include <dlfcn.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "onnx.hpp"
#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

using object = void*;  // every Ort* that is only passed on
using status = void*;  // null is success

struct api_base {
  const object* (*get_api)(std::uint32_t version);
  const char* (*get_version)();
};

// Places in OrtApi. The first 102 are those of version 1.
enum place : std::size_t {
  get_error_message = 2,
  create_env = 3,
  create_session_from_array = 8,
  run_session = 9,
  create_session_options = 10,
  set_intra_op_threads = 24,
  set_inter_op_threads = 25,
  create_tensor_with_data = 49,
  create_cpu_memory_info = 69,
  release_status = 93,
  release_session = 95,
  release_value = 96,
  release_session_options = 100,
  add_session_config = 130,
};

struct runtime {
  const object* table = nullptr;
  object env = nullptr, memory = nullptr;
  int threads = 1;
};
runtime ort;

// The arguments' types must be exactly those of the C declaration.
template <class... Arguments>
status call(place at, Arguments... arguments) {
  return reinterpret_cast<status (*)(Arguments...)>(ort.table[at])(arguments...);
}
std::string message_of(status s) {
  std::string why = reinterpret_cast<const char* (*)(status)>(ort.table[get_error_message])(s);
  for (char& c : why) c = c == '\n' ? ' ' : c;
  return why;
}
template <class... Arguments>
void require(place at, Arguments... arguments) {
  const status s = call(at, arguments...);
  if (!s) return;
  const std::string why = message_of(s);
  reinterpret_cast<void (*)(status)>(ort.table[release_status])(s);
  throw std::runtime_error(why);
}
void release(place at, object o) {
  if (o) reinterpret_cast<void (*)(object)>(ort.table[at])(o);
}

class session final : public job {
 public:
  session(const simdnorm_peer_task& t, const std::string& model) {
    object options = nullptr;
    require(create_session_options, &options);
    require(set_intra_op_threads, options, ort.threads);
    require(set_inter_op_threads, options, 1);
    require(add_session_config, options, static_cast<const char*>("session.intra_op.allow_spinning"),
            static_cast<const char*>("0"));
    try {
      require(create_session_from_array, ort.env, static_cast<const void*>(model.data()), model.size(),
              static_cast<const void*>(options), &session_);
    } catch (...) {
      release(release_session_options, options);
      throw;
    }
    release(release_session_options, options);
    in_[0] = tensor(t.x, t);
    if (has_residual(t.operation)) in_[inputs_++] = tensor(t.residual, t);
    y_ = tensor(t.y, t);
    run_once();  // what it does not have is said here
  }
  ~session() override {
    for (const object& each : in_) release(release_value, each);
    release(release_value, y_);
    release(release_session, session_);
  }

  void run() override {
    const status s = run_session_now();
    if (s) throw_away(s);
  }

 private:
  object session_ = nullptr, in_[2] = {}, y_ = nullptr;
  std::size_t inputs_ = 1;

  status run_session_now() {
    const char* const in[] = {"x", "r"};
    const char* const out = "y";
    return reinterpret_cast<status (*)(object, const void*, const char* const*, const object*, std::size_t,
                                       const char* const*, std::size_t, object*)>(ort.table[run_session])(
        session_, nullptr, in, in_, inputs_, &out, 1, &y_);
  }
  void run_once() {
    const status s = run_session_now();
    if (!s) return;
    const std::string why = message_of(s);
    throw_away(s);
    throw std::runtime_error(why);
  }
  static void throw_away(status s) { release(release_status, s); }

  static object tensor(const void* data, const simdnorm_peer_task& t) {
    const std::vector<std::int64_t> shape = dimensions(t);
    object value = nullptr;
    require(create_tensor_with_data, static_cast<const void*>(ort.memory), const_cast<void*>(data),
            t.rows * t.cols * bytes_of(t.type), shape.data(), shape.size(), onnx::element_of(t.type), &value);
    return value;
  }
};

std::unique_ptr<job> make(const simdnorm_peer_task& t) {
  std::vector<std::function<std::unique_ptr<job>()>> ways;
  for (std::string& model : onnx::norms(t, true)) {
    ways.push_back([&t, m = std::move(model)] { return std::make_unique<session>(t, m); });
  }
  return fastest(t, std::move(ways));
}

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  const std::filesystem::path folder = std::filesystem::path(setup.site) / "ort";
  std::string file;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().filename().string().starts_with("libonnxruntime.so")) file = entry.path();
    }
  }
  if (file.empty()) throw std::runtime_error("no libonnxruntime.so in " + folder.string());
  void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw std::runtime_error(dlerror());
  const auto entry = reinterpret_cast<const api_base* (*)()>(dlsym(library, "OrtGetApiBase"));
  if (!entry) throw std::runtime_error("no OrtGetApiBase");
  ort.table = entry()->get_api(16);
  if (!ort.table) throw std::runtime_error("it does not offer version 16 of its interface");
  ort.threads = setup.threads;
  require(create_env, 3 /* errors only */, static_cast<const char*>("bench"), &ort.env);
  require(create_cpu_memory_info, 0 /* device allocator */, 0 /* default memory */, &ort.memory);
  description d;
  d.version = entry()->get_version();
  d.threads = setup.threads;
  d.note =
      "Run of a session into the given output; its threads do not spin; one node, or the fastest of two ways: "
      "residuals by Skip(Simplified)LayerNormalization or Add and norm, group norm by its operator or as an instance "
      "norm, L2 "
      "norm by LpNormalization or ReduceL2, Max, Div";
  d.operations[SIMDNORM_PEER_F32] =
      bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_RMS_NORM) | bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE) |
      bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW) | bit(SIMDNORM_PEER_GROUP_NORM) | bit(SIMDNORM_PEER_INSTANCE_NORM) |
      bit(SIMDNORM_PEER_ADD_LAYER_NORM) | bit(SIMDNORM_PEER_ADD_RMS_NORM) | bit(SIMDNORM_PEER_L2_NORM);
  d.make = make;
  for (const simdnorm_peer_type type : half_types) ask_for(d, type);
  // It has kernels of f16. Of bf16 it finds none, and makes the operator out of Cast, ReduceMean, Sub, ...
  if (d.operations[SIMDNORM_PEER_BF16] != 0) d.note += "; of bf16 by the operator's definition, inlined";
  return d;
}

}  // namespace simdnorm_peers

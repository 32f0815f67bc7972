// SPDX-License-Identifier: Apache-2.0
//
// OpenVINO's CPU plugin by its C interface: a model of one ONNX node or two, computed in the type of x (the default
// on CPUs with bf16 would be bf16), one stream, tensors over the given buffers.
#include <openvino/c/openvino.h>

#include <string>
#include <vector>

#include "onnx.hpp"
#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

ov_core_t* core = nullptr;
std::string threads = "1";

void require(ov_status_e status, const char* what) {
  if (status == OK) return;
  std::string why = std::string(what) + ": " + ov_get_error_info(status);
  const char* last = ov_get_last_err_msg();
  if (last && *last) why += std::string(", ") + last;
  for (char& c : why) c = c == '\n' ? ' ' : c;
  throw std::runtime_error(why);
}

class inference final : public job {
 public:
  inference(const simdnorm_peer_task& t, const std::string& bytes) {
    require(ov_core_read_model_from_memory_buffer(core, bytes.data(), bytes.size(), nullptr, &model_), "model");
    require(ov_core_compile_model(core, model_, "CPU", 10, &compiled_, "PERFORMANCE_HINT", "LATENCY", "NUM_STREAMS",
                                  "1", "INFERENCE_NUM_THREADS", threads.c_str(), "INFERENCE_PRECISION_HINT",
                                  name_of(t.type), "ENABLE_CPU_PINNING", "NO"),
            "compile");
    require(ov_compiled_model_create_infer_request(compiled_, &request_), "request");
    x_ = tensor(const_cast<void*>(t.x), t);
    y_ = tensor(t.y, t);
    require(ov_infer_request_set_input_tensor_by_index(request_, 0, x_), "input");
    if (has_residual(t.operation)) {
      r_ = tensor(const_cast<float*>(t.residual), t);
      require(ov_infer_request_set_input_tensor_by_index(request_, 1, r_), "input");
    }
    require(ov_infer_request_set_output_tensor(request_, y_), "output");
    require(ov_infer_request_infer(request_), "infer");
  }
  ~inference() override {
    ov_tensor_free(x_);
    ov_tensor_free(y_);
    if (r_) ov_tensor_free(r_);
    ov_infer_request_free(request_);
    ov_compiled_model_free(compiled_);
    ov_model_free(model_);
  }

  void run() override { ov_infer_request_infer(request_); }

 private:
  ov_model_t* model_ = nullptr;
  ov_compiled_model_t* compiled_ = nullptr;
  ov_infer_request_t* request_ = nullptr;
  ov_tensor_t *x_ = nullptr, *r_ = nullptr, *y_ = nullptr;

  static ov_tensor_t* tensor(void* data, const simdnorm_peer_task& t) {
    const std::vector<std::int64_t> dims = dimensions(t);
    ov_shape_t shape{};
    require(ov_shape_create(static_cast<std::int64_t>(dims.size()), dims.data(), &shape), "shape");
    ov_tensor_t* made = nullptr;
    const ov_element_type_e type = t.type == SIMDNORM_PEER_BF16 ? BF16 : t.type == SIMDNORM_PEER_F16 ? F16 : F32;
    const ov_status_e status = ov_tensor_create_from_host_ptr(type, shape, data, &made);
    ov_shape_free(&shape);
    require(status, "tensor");
    return made;
  }
};

std::unique_ptr<job> make(const simdnorm_peer_task& t) {
  std::vector<std::function<std::unique_ptr<job>()>> ways;
  for (std::string& model : onnx::norms(t, false)) {
    ways.push_back([&t, m = std::move(model)] { return std::make_unique<inference>(t, m); });
  }
  return fastest(t, std::move(ways));
}

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  require(ov_core_create(&core), "core");
  threads = std::to_string(setup.threads);
  ov_version_t version{};
  require(ov_get_openvino_version(&version), "version");
  description d;
  d.version = version.buildNumber;
  ov_version_free(&version);
  d.threads = setup.threads;
  d.note = "infer of a compiled model, one stream; TBB; residuals are Add and norm, the rest as ONNX Runtime";
  d.operations[SIMDNORM_PEER_F32] =
      bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_RMS_NORM) | bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE) |
      bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW) | bit(SIMDNORM_PEER_GROUP_NORM) | bit(SIMDNORM_PEER_INSTANCE_NORM) |
      bit(SIMDNORM_PEER_ADD_LAYER_NORM) | bit(SIMDNORM_PEER_ADD_RMS_NORM) | bit(SIMDNORM_PEER_L2_NORM);
  d.make = make;
  // Without it on this CPU the plugin would convert to f32 and back around the same norm.
  char* has = nullptr;
  require(ov_core_get_property(core, "CPU", "OPTIMIZATION_CAPABILITIES", &has), "capabilities");
  const std::string capabilities = has;
  ov_free(has);
  for (const simdnorm_peer_type type : half_types) {
    if (capabilities.find(type == SIMDNORM_PEER_BF16 ? "BF16" : "FP16") != std::string::npos) {
      ask_for(d, type);
    } else {
      d.note += std::string("; computes no ") + name_of(type) + " on this CPU";
    }
  }
  return d;
}

}  // namespace simdnorm_peers

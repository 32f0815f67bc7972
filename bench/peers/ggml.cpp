// SPDX-License-Identifier: Apache-2.0
//
// ggml's CPU kernels: ggml_add of a residual, ggml_norm (or ggml_rms_norm, ggml_group_norm, ggml_l2_norm),
// ggml_mul by gamma, ggml_add of beta, one graph, each step in the given output.
#include <ggml-cpu.h>
#include <ggml.h>

#include <string>
#include <vector>

#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

ggml_threadpool* pool = nullptr;
int pool_threads = 1;

class graph final : public job {
 public:
  explicit graph(const simdnorm_peer_task& t) {
    context_ = ggml_init({ggml_tensor_overhead() * 16 + ggml_graph_overhead(), nullptr, true});
    if (!context_) throw std::runtime_error("ggml_init");
    const auto n = [](std::size_t size) { return static_cast<std::int64_t>(size); };
    const bool image = has_channels(t.operation), instance = t.operation == SIMDNORM_PEER_INSTANCE_NORM;
    const auto tensor = [&](const void* data) {
      // Planes as rows for an instance norm, which then is ggml_norm.
      ggml_tensor* x =
          instance ? ggml_new_tensor_3d(context_, GGML_TYPE_F32, n(t.cols), n(t.channels), n(t.batch))
          : image  ? ggml_new_tensor_4d(context_, GGML_TYPE_F32, n(t.width), n(t.height), n(t.channels), n(t.batch))
                   : ggml_new_tensor_2d(context_, GGML_TYPE_F32, n(t.cols), n(t.rows));
      x->data = const_cast<void*>(data);
      return x;
    };
    const auto vector = [&](const float* data) {
      ggml_tensor* v = instance ? ggml_new_tensor_2d(context_, GGML_TYPE_F32, 1, n(t.channels))
                       : image  ? ggml_new_tensor_3d(context_, GGML_TYPE_F32, 1, 1, n(t.channels))
                                : ggml_new_tensor_1d(context_, GGML_TYPE_F32, n(t.cols));
      v->data = const_cast<float*>(data);
      return v;
    };
    ggml_tensor* y = tensor(t.x);
    const auto into = [&](ggml_tensor* made) {
      made->data = t.y;
      y = made;
    };
    if (has_residual(t.operation)) into(ggml_add(context_, y, tensor(t.residual)));
    const bool rms = t.operation == SIMDNORM_PEER_RMS_NORM || t.operation == SIMDNORM_PEER_ADD_RMS_NORM;
    if (t.operation == SIMDNORM_PEER_L2_NORM) {
      into(ggml_l2_norm(context_, y, t.epsilon));
    } else {
      into(rms ? ggml_rms_norm(context_, y, t.epsilon)
           : t.operation == SIMDNORM_PEER_GROUP_NORM
               ? ggml_group_norm(context_, y, static_cast<int>(t.groups), t.epsilon)
               : ggml_norm(context_, y, t.epsilon));
      into(ggml_mul(context_, y, vector(t.gamma)));
      if (!rms) into(ggml_add(context_, y, vector(t.beta)));
    }
    graph_ = ggml_new_graph(context_);
    ggml_build_forward_expand(graph_, y);
    plan_ = ggml_graph_plan(graph_, pool_threads, pool);
    work_.resize(plan_.work_size);
    plan_.work_data = work_.data();
  }
  ~graph() override { ggml_free(context_); }

  void run() override { ggml_graph_compute(graph_, &plan_); }

 private:
  ggml_context* context_ = nullptr;
  ggml_cgraph* graph_ = nullptr;
  ggml_cplan plan_{};
  std::vector<std::uint8_t> work_;
};

std::unique_ptr<job> make(const simdnorm_peer_task& task) {
  return std::make_unique<graph>(task);
}

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  ggml_cpu_init();
  ggml_threadpool_params params = ggml_threadpool_params_default(setup.threads);
  params.poll = 0;  // workers sleep at once
  pool = ggml_threadpool_new(&params);
  pool_threads = setup.threads;
  if (!pool) throw std::runtime_error("ggml_threadpool_new");
  description d;
  d.version = ggml_version();
  d.threads = setup.threads;
  d.note =
      "one graph of (add,) norm, mul, add; compiled on this machine for this CPU; its workers do not poll; its norms "
      "are of f32 alone";
  d.operations[SIMDNORM_PEER_F32] = bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_RMS_NORM) |
                                    bit(SIMDNORM_PEER_GROUP_NORM) | bit(SIMDNORM_PEER_INSTANCE_NORM) |
                                    bit(SIMDNORM_PEER_ADD_LAYER_NORM) | bit(SIMDNORM_PEER_ADD_RMS_NORM) |
                                    bit(SIMDNORM_PEER_L2_NORM);
  d.make = make;
  return d;
}

}  // namespace simdnorm_peers

// SPDX-License-Identifier: Apache-2.0
//
// ggml's CPU kernels: ggml_norm (or ggml_rms_norm), ggml_mul by gamma, ggml_add of beta, one graph, each
// step in the given output.
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
    const auto rows = static_cast<std::int64_t>(t.rows), cols = static_cast<std::int64_t>(t.cols);
    ggml_tensor* x = ggml_new_tensor_2d(context_, GGML_TYPE_F32, cols, rows);
    x->data = const_cast<float*>(t.x);
    const auto vector = [&](const float* data) {
      ggml_tensor* v = ggml_new_tensor_1d(context_, GGML_TYPE_F32, cols);
      v->data = const_cast<float*>(data);
      return v;
    };
    ggml_tensor* y = t.operation == SIMDNORM_PEER_RMS_NORM ? ggml_rms_norm(context_, x, t.epsilon)
                                                           : ggml_norm(context_, x, t.epsilon);
    y->data = t.y;
    y = ggml_mul(context_, y, vector(t.gamma));
    y->data = t.y;
    if (t.operation != SIMDNORM_PEER_RMS_NORM) {
      y = ggml_add(context_, y, vector(t.beta));
      y->data = t.y;
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
  d.note = "one graph of norm, mul, add; compiled on this machine for this CPU; its workers do not poll";
  d.operations = bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_RMS_NORM);
  d.make = make;
  return d;
}

}  // namespace simdnorm_peers

// SPDX-License-Identifier: Apache-2.0
//
// PyTorch, three peers of one module: `torch` calls the operators as a model does (dispatcher, checks, an
// output that the operator allocates), `torch_kernel` the CPU kernels behind them, over the given
// output, which is as near to the arithmetic alone as one gets. `vllm` is vLLM's operators for CPUs, which
// PyTorch's dispatcher calls.
#define HAVE_AVX2_CPU_DEFINITION
#define HAVE_AVX512_CPU_DEFINITION
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/batch_norm.h>
#include <ATen/native/layer_norm.h>
#include <torch/headeronly/version.h>
// The two headers give different types the same names.
#define forward_fn group_norm_forward_fn
#define backward_fn group_norm_backward_fn
#include <ATen/native/group_norm.h>
#undef forward_fn
#undef backward_fn

#include <dlfcn.h>

#include <cmath>
#include <cstring>
#include <string>

#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

at::Tensor over(const void* data, at::IntArrayRef shape, simdnorm_peer_type type = SIMDNORM_PEER_F32) {
  return at::from_blob(const_cast<void*>(data), shape,
                       type == SIMDNORM_PEER_BF16  ? at::kBFloat16
                       : type == SIMDNORM_PEER_F16 ? at::kHalf
                                                   : at::kFloat);
}

// Tensors over a task's buffers.
struct tensors {
  std::int64_t rows, cols, batch, channels, groups;
  float epsilon;
  at::Tensor x, y, gamma, beta, mean, variance, residual;

  explicit tensors(const simdnorm_peer_task& t)
      : rows(static_cast<std::int64_t>(t.rows)),
        cols(static_cast<std::int64_t>(t.cols)),
        batch(static_cast<std::int64_t>(t.batch)),
        channels(static_cast<std::int64_t>(parameters(t))),
        groups(static_cast<std::int64_t>(t.groups)),
        epsilon(t.epsilon),
        x(over(t.x, dimensions(t), t.type)),
        y(over(t.y, dimensions(t), t.type)),
        gamma(over(t.gamma_of_type, {channels}, t.type)),
        beta(over(t.beta_of_type, {channels}, t.type)),
        mean(over(t.mean, {channels})),
        variance(over(t.variance, {channels})) {
    if (has_residual(t.operation)) residual = over(t.residual, {rows, cols});
  }
};

class operators final : public job {
 public:
  explicit operators(const simdnorm_peer_task& t)
      : inference_(),
        t_(t),
        operation_(t.operation),
        running_mean_(at::zeros({t_.channels})),
        running_variance_(at::ones({t_.channels})) {}

  void run() override {
    const c10::InferenceMode no_autograd;
    result_ = at::Tensor();  // as a model that is done with it: the next output gets its memory, still in cache
    switch (operation_) {
      case SIMDNORM_PEER_LAYER_NORM:
        result_ = at::layer_norm(t_.x, {t_.cols}, t_.gamma, t_.beta, t_.epsilon);
        break;
      case SIMDNORM_PEER_RMS_NORM:
        result_ = at::rms_norm(t_.x, {t_.cols}, t_.gamma, t_.epsilon);
        break;
      case SIMDNORM_PEER_ADD_LAYER_NORM:
        result_ = at::layer_norm(at::add(t_.x, t_.residual), {t_.cols}, t_.gamma, t_.beta, t_.epsilon);
        break;
      case SIMDNORM_PEER_ADD_RMS_NORM:
        result_ = at::rms_norm(at::add(t_.x, t_.residual), {t_.cols}, t_.gamma, t_.epsilon);
        break;
      case SIMDNORM_PEER_L2_NORM:  // as torch.nn.functional.normalize
        result_ = at::div(t_.x, at::linalg_vector_norm(t_.x, 2, {-1}, true).clamp_min_(t_.epsilon));
        break;
      case SIMDNORM_PEER_GROUP_NORM:
        result_ = at::group_norm(t_.x, t_.groups, t_.gamma, t_.beta, t_.epsilon, false);
        break;
      case SIMDNORM_PEER_INSTANCE_NORM:
        result_ = at::instance_norm(t_.x, t_.gamma, t_.beta, {}, {}, true, 0.1, t_.epsilon, false);
        break;
      case SIMDNORM_PEER_BATCH_NORM_TRAINING:
      case SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW:
        result_ =
            at::batch_norm(t_.x, t_.gamma, t_.beta, running_mean_, running_variance_, true, 0.1, t_.epsilon, false);
        break;
      default:
        result_ = at::batch_norm(t_.x, t_.gamma, t_.beta, t_.mean, t_.variance, false, 0.1, t_.epsilon, false);
    }
  }
  void finish() override {
    const at::Tensor dense = result_.contiguous();
    std::memcpy(t_.y.data_ptr(), dense.data_ptr(), dense.nbytes());
    result_ = at::Tensor();
  }

 private:
  c10::InferenceMode inference_;
  tensors t_;
  simdnorm_peer_operation operation_;
  at::Tensor running_mean_, running_variance_, result_;
};

// What the dispatch of a kernel comes to; the dispatch itself is not exported. Some kernels have no
// AVX-512 build, and AVX2's then runs.
template <class Stub>
auto chosen() {
  if (Stub::AVX512 && __builtin_cpu_supports("avx512bw")) return Stub::AVX512;
  if (Stub::AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Stub::AVX2;
  return Stub::DEFAULT;
}

class kernels final : public job {
 public:
  explicit kernels(const simdnorm_peer_task& t)
      : inference_(),
        t_(t),
        operation_(t.operation),
        a_(at::empty({t.operation == SIMDNORM_PEER_LAYER_NORM ? t_.rows
                      : t.operation == SIMDNORM_PEER_GROUP_NORM || t.operation == SIMDNORM_PEER_INSTANCE_NORM
                          ? t_.batch * t_.groups
                          : t_.channels},
                     t_.x.options())),
        b_(at::empty_like(a_)) {}

  void run() override {
    switch (operation_) {
      case SIMDNORM_PEER_LAYER_NORM:
        layer_norm_(t_.x, t_.gamma, t_.beta, t_.rows, t_.cols, t_.epsilon, &t_.y, &a_, &b_);
        return;
      case SIMDNORM_PEER_GROUP_NORM:
      case SIMDNORM_PEER_INSTANCE_NORM:
        group_norm_(t_.x, t_.gamma, t_.beta, t_.batch, t_.channels, t_.rows * t_.cols / (t_.batch * t_.channels),
                    t_.groups, t_.epsilon, t_.y, a_, b_);
        return;
      case SIMDNORM_PEER_BATCH_NORM_TRAINING:
      case SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW: {
        statistics_(a_, b_, t_.x);  // means, sums of squared deviations
        float* const scale = b_.data_ptr<float>();
        const auto count = static_cast<float>(t_.rows * t_.cols / t_.channels);
        for (std::int64_t j = 0; j < t_.channels; ++j) {
          scale[j] = 1 / std::sqrt(scale[j] / count + t_.epsilon);
        }
        transform_(t_.y, t_.x, t_.gamma, t_.beta, a_, b_, at::Tensor(), at::Tensor(), true, t_.epsilon);
        return;
      }
      default:
        transform_(t_.y, t_.x, t_.gamma, t_.beta, at::Tensor(), at::Tensor(), t_.mean, t_.variance, false, t_.epsilon);
    }
  }

 private:
  c10::InferenceMode inference_;
  tensors t_;
  simdnorm_peer_operation operation_;
  at::Tensor a_, b_;
  at::native::forward_fn layer_norm_ = chosen<std::remove_cvref_t<decltype(at::native::LayerNormKernel)>>();
  at::native::group_norm_forward_fn group_norm_ = chosen<std::remove_cvref_t<decltype(at::native::GroupNormKernel)>>();
  at::native::batch_norm_fn transform_ = chosen<std::remove_cvref_t<decltype(at::native::batch_norm_cpu_stub)>>();
  at::native::batch_norm_collect_stats_fn statistics_ =
      chosen<std::remove_cvref_t<decltype(at::native::batch_norm_cpu_collect_stats_stub)>>();
};

// vLLM's operators; its module registers them when it is loaded.
void load_vllm(const std::string& site) {
  // PyTorch's empty libtorch.so needs its CUDA half; another one stands for it (CMakeLists.txt).
  const bool avx512 = __builtin_cpu_supports("avx512bw") != 0;
  for (const char* file : {"/vllm/libtorch.so", avx512 ? "/vllm/_C_AVX512.abi3.so" : "/vllm/_C_AVX2.abi3.so"}) {
    // Lazily: what makes a Python module of it is not called, and Python not here.
    if (!dlopen((site + file).c_str(), RTLD_LAZY | RTLD_LOCAL)) throw std::runtime_error(dlerror());
  }
}
class vllm_rms_norm final : public job {
 public:
  explicit vllm_rms_norm(const simdnorm_peer_task& t)
      : inference_(), t_(t), norm_(c10::Dispatcher::singleton().findSchemaOrThrow("_C::rms_norm", "")) {
    try {
      run();  // what it does not have is said here: columns that are no multiple of its vectors
    } catch (const c10::Error& e) {
      throw std::runtime_error(e.msg().substr(0, e.msg().find("  (Could")));
    }
  }
  void run() override {
    const c10::InferenceMode no_autograd;
    stack_.assign({t_.y, t_.x, t_.gamma, static_cast<double>(t_.epsilon)});
    norm_.callBoxed(&stack_);
  }

 private:
  c10::InferenceMode inference_;
  tensors t_;
  c10::OperatorHandle norm_;
  torch::jit::Stack stack_;
};

}  // namespace

description open(const simdnorm_peer_setup& setup) {
  at::set_num_threads(setup.threads);
  description d;
  d.version = TORCH_VERSION;
  d.threads = at::get_num_threads();
  d.operations[SIMDNORM_PEER_F32] =
      bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_BATCH_NORM_TRAINING) | bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE) |
      bit(SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW) | bit(SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW) |
      bit(SIMDNORM_PEER_GROUP_NORM) | bit(SIMDNORM_PEER_INSTANCE_NORM);
  if (std::string(setup.name) == "vllm") {
    load_vllm(setup.site);
    d.version = SIMDNORM_PEER_VLLM_VERSION;
    d.note = "_C::rms_norm through PyTorch's dispatcher, into the given output; of halves gamma is halves, too";
    d.operations[SIMDNORM_PEER_F32] = bit(SIMDNORM_PEER_RMS_NORM);
    d.make = [](const simdnorm_peer_task& t) { return std::make_unique<vllm_rms_norm>(t); };
  } else if (std::string(setup.name) == "torch_kernel") {
    d.note =
        "the CPU kernels without the operators, into the given output; RMS norm has none of its own; of halves gamma "
        "and beta are halves, too";
    d.make = [](const simdnorm_peer_task& t) { return std::make_unique<kernels>(t); };
  } else {
    d.operations[SIMDNORM_PEER_F32] |= bit(SIMDNORM_PEER_RMS_NORM) | bit(SIMDNORM_PEER_ADD_LAYER_NORM) |
                                       bit(SIMDNORM_PEER_ADD_RMS_NORM) | bit(SIMDNORM_PEER_L2_NORM);
    d.note =
        "operators from C++ in inference mode; they allocate their output; a residual is an addition before; of halves "
        "gamma and beta are halves, too";
    d.make = [](const simdnorm_peer_task& t) { return std::make_unique<operators>(t); };
  }
  for (const simdnorm_peer_type type : half_types) ask_for(d, type);
  return d;
}

}  // namespace simdnorm_peers

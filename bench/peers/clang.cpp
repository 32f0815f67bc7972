// SPDX-License-Identifier: Apache-2.0
//
// The best autovectorized code: baselines.cpp by clang++-19 -O3 -march=native -ffast-math. Another
// compiler builds that one object (CMakeLists.txt); this file is around it. -ffast-math is given to the
// compiler only, never to the linker, where it would set FTZ and DAZ for the process.
#include <vector>

#include "../baselines/baselines.hpp"
#include "plugin.hpp"

namespace simdnorm_peers {
namespace {

const simdnorm_baselines::table& code = simdnorm_baselines::clang19_fast::functions;

class loops final : public job {
 public:
  explicit loops(const simdnorm_peer_task& t)
      : t_(t),
        a_(parameters(t)),
        b_(parameters(t)),
        scratch_(2 * t.cols),
        sum_(has_residual(t.operation) ? t.rows * t.cols : 0) {}

  void run() override {
    const auto* const x = static_cast<const float*>(t_.x);
    auto* const y = static_cast<float*>(t_.y);
    if (t_.type != SIMDNORM_PEER_F32) return run_halves();
    switch (t_.operation) {
      case SIMDNORM_PEER_LAYER_NORM:
        return code.layer_norm(x, y, t_.rows, t_.cols, t_.gamma, t_.beta, t_.epsilon);
      case SIMDNORM_PEER_RMS_NORM:
        return code.rms_norm(x, y, t_.rows, t_.cols, t_.gamma, t_.epsilon);
      case SIMDNORM_PEER_BATCH_NORM_TRAINING:
        return code.batch_norm_training(x, y, t_.rows, t_.cols, t_.gamma, t_.beta, t_.epsilon, 0.1f, a_.data(),
                                        b_.data(), scratch_.data());
      case SIMDNORM_PEER_BATCH_NORM_INFERENCE:
        return code.batch_norm_inference(x, y, t_.rows, t_.cols, t_.mean, t_.variance, t_.gamma, t_.beta, t_.epsilon,
                                         scratch_.data());
      case SIMDNORM_PEER_STANDARDIZE:
        code.standardize_fit(x, t_.rows, t_.cols, a_.data(), b_.data());
        return code.standardize_transform(x, y, t_.rows, t_.cols, a_.data(), b_.data());
      case SIMDNORM_PEER_MIN_MAX:
        code.min_max_fit(x, t_.rows, t_.cols, a_.data(), b_.data());
        return code.min_max_transform(x, y, t_.rows, t_.cols, a_.data(), b_.data(), scratch_.data());
      case SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW:
        return code.batch_norm_training_nchw(x, y, t_.batch, t_.channels, t_.cols, t_.gamma, t_.beta, t_.epsilon, 0.1f,
                                             a_.data(), b_.data());
      case SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW:
        return code.batch_norm_inference_nchw(x, y, t_.batch, t_.channels, t_.cols, t_.mean, t_.variance, t_.gamma,
                                              t_.beta, t_.epsilon);
      case SIMDNORM_PEER_GROUP_NORM:
      case SIMDNORM_PEER_INSTANCE_NORM:
        return code.group_norm(x, y, t_.batch, t_.channels, t_.cols, t_.groups, t_.gamma, t_.beta, t_.epsilon);
      case SIMDNORM_PEER_ADD_LAYER_NORM:
        code.add(x, t_.residual, sum_.data(), sum_.size());
        return code.layer_norm(sum_.data(), y, t_.rows, t_.cols, t_.gamma, t_.beta, t_.epsilon);
      case SIMDNORM_PEER_ADD_RMS_NORM:
        code.add(x, t_.residual, sum_.data(), sum_.size());
        return code.rms_norm(sum_.data(), y, t_.rows, t_.cols, t_.gamma, t_.epsilon);
      case SIMDNORM_PEER_L2_NORM:
        return code.l2_norm(x, y, t_.rows, t_.cols, t_.epsilon);
      case SIMDNORM_PEER_OPERATIONS:
        break;
    }
  }

 private:
  simdnorm_peer_task t_;
  std::vector<float> a_, b_, scratch_, sum_;

  void run_halves() {
    const auto* const x = static_cast<const std::uint16_t*>(t_.x);
    auto* const y = static_cast<std::uint16_t*>(t_.y);
    const bool bf16 = t_.type == SIMDNORM_PEER_BF16;
    if (t_.operation == SIMDNORM_PEER_LAYER_NORM) {
      (bf16 ? code.layer_norm_bf16 : code.layer_norm_f16)(x, y, t_.rows, t_.cols, t_.gamma, t_.beta, t_.epsilon);
    } else {
      (bf16 ? code.rms_norm_bf16 : code.rms_norm_f16)(x, y, t_.rows, t_.cols, t_.gamma, t_.epsilon);
    }
  }
};

std::unique_ptr<job> make(const simdnorm_peer_task& task) {
  return std::make_unique<loops>(task);
}

}  // namespace

description open(const simdnorm_peer_setup&) {
  description d;
  d.version = SIMDNORM_PEER_CLANG_VERSION;
  d.note = "two-pass C++, -O3 -ffast-math for this CPU; one thread; a residual in a loop of its own";
  d.library = false;
  d.operations[SIMDNORM_PEER_F32] = (1u << SIMDNORM_PEER_OPERATIONS) - 1;
  for (const simdnorm_peer_type type : half_types) {
    d.operations[type] = bit(SIMDNORM_PEER_LAYER_NORM) | bit(SIMDNORM_PEER_RMS_NORM);
  }
  d.make = make;
  return d;
}

}  // namespace simdnorm_peers

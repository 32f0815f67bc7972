// SPDX-License-Identifier: Apache-2.0
//
// The manifest, kernels/kernel_list.inc: every instruction set has every kernel, its own one, and every
// kernel is named here beside the operations of support/operations.hpp that reach it. A kernel that is
// added to the manifest alone turns this red.

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/dispatch.hpp"
#include "support/channels.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"
#include "table.hpp"

namespace simdnorm::test {
namespace {

// Kernels of tensors; the operations are those of support/channels.hpp.
const std::map<std::string, std::vector<channel_operation>> channel_operations_of_kernel = {
    {"channel_moments_f32", {channel_operation::batch_norm_training, channel_operation::group_norm}},
    {"channel_affine_f32", {channel_operation::batch_norm_inference, channel_operation::instance_norm}},
    {"channel_rows_affine_f32", {channel_operation::batch_norm_inference_add}},
};

const std::map<std::string, std::vector<operation>> operations_of_kernel = {
    {"layer_norm_f32", {operation::layer_norm, operation::layer_norm_affine}},
    {"rms_norm_f32", {operation::rms_norm, operation::rms_norm_weighted}},
    {"l2_norm_f32", {operation::l2_norm}},
    {"layer_norm_fused_f32", {operation::add_layer_norm, operation::layer_norm_silu}},
    {"rms_norm_fused_f32", {operation::add_rms_norm_sum, operation::gated_rms_norm}},
    {"l2_norm_fused_f32", {operation::l2_norm}},
    {"column_moments_f32", {operation::column_moments, operation::batch_norm_training}},
    {"column_moments_masked_f32", {operation::column_moments_weighted, operation::standardize_weighted}},
    {"column_extremes_f32", {operation::column_moments, operation::min_max_fit}},
    {"column_affine_f32", {operation::batch_norm_inference, operation::standardize_transform}},
    {"column_normalizer_f32", {operation::batch_norm_training, operation::batch_norm_inference}},
};
// Kernels that no operation reaches, and the test that does.
const std::map<std::string, std::string> tests_of_kernel = {
    {"convert_f32", "convert_test"},
    {"elementwise_f32", "activation_test"},
    {"layer_norm_bf16", "half_test"},
    {"layer_norm_f16", "half_test"},
    {"rms_norm_bf16", "half_test"},
    {"rms_norm_f16", "half_test"},
    {"layer_norm_f64", "double_test"},
    {"rms_norm_f64", "double_test"},
    {"l2_norm_f64", "double_test"},
    {"column_moments_f64", "double_columns_test"},
    {"column_normalizer_f64", "double_columns_test"},
    {"column_affine_f64", "double_columns_test"},
};

TEST(manifest_test, every_kernel_is_reached_by_an_operation) {
  std::set<std::string> names;
#define SIMDNORM_KERNEL(family, dtype, arguments) names.insert(#family "_" #dtype);
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL
  std::size_t of_channels = 0;
  for (const std::string& name : names) {
    if (tests_of_kernel.count(name)) continue;
    const auto channel = channel_operations_of_kernel.find(name);
    if (channel != channel_operations_of_kernel.end()) {
      EXPECT_FALSE(channel->second.empty()) << name;
      ++of_channels;
      continue;
    }
    const auto found = operations_of_kernel.find(name);
    ASSERT_NE(found, operations_of_kernel.end()) << name << " is tested by nothing";
    EXPECT_FALSE(found->second.empty()) << name;
  }
  EXPECT_EQ(of_channels, channel_operations_of_kernel.size());
  EXPECT_EQ(names.size(), operations_of_kernel.size() + of_channels + tests_of_kernel.size());
}

TEST(manifest_test, every_instruction_set_has_its_own_kernels) {
  std::map<std::string, std::set<const void*>> seen;
  std::size_t sets = 0;
  for (const simdnorm_isa_state& state : isa_list()) {
    if (!state.available) continue;
    ++sets;
    ASSERT_EQ(simdnorm_isa_force(state.isa), SIMDNORM_OK);
    const kernel_table* table = active_table();
    ASSERT_NE(table, nullptr);
#define SIMDNORM_KERNEL(family, dtype, arguments)           \
  EXPECT_NE(table->family##_##dtype, nullptr) << state.isa; \
  seen[#family "_" #dtype].insert(reinterpret_cast<const void*>(table->family##_##dtype));
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL
  }
  simdnorm_isa_reset();
  for (const auto& [name, kernels] : seen) EXPECT_EQ(kernels.size(), sets) << name;
}

}  // namespace
}  // namespace simdnorm::test

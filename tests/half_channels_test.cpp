// SPDX-License-Identifier: Apache-2.0
//
// Norms of [batch, channels, spatial...] tensors of bf16 and f16: as half_columns_test has those of matrices.

#include <gtest/gtest.h>

#include "support/channels.hpp"
#include "support/executors.hpp"
#include "support/half.hpp"
#include "support/isa_fixture.hpp"

namespace simdnorm::test {
namespace {

class half_channels_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(half_channels_test);

using op = channel_operation;
constexpr simdnorm_type f32 = SIMDNORM_F32, bf16 = SIMDNORM_BF16, f16 = SIMDNORM_F16;
const element_types mixtures[] = {{bf16, bf16, bf16, bf16}, {f16, f16, f16, f16},  {f32, bf16, f16, f16},
                                  {bf16, f32, f32, f32},    {f16, f32, bf16, f32}, {bf16, f16, f32, f16},
                                  {f32, f16, f32, bf16},    {f32, f32, f16, bf16}};

// Planes below and above a register, a flush and a tile, and more channels than a strip.
const std::vector<std::vector<std::size_t>> shapes = {{7, 5},         {3, 4, 7},     {2, 6, 33},      {5, 4, 4, 4},
                                                      {9, 4, 14, 14}, {3, 6, 5, 51}, {2, 2, 3, 4, 5}, {2, 300, 3, 3},
                                                      {20, 10, 7, 7}, {1, 2, 2100},  {1, 2, 65, 127}};

// Of every `step` samples one.
template <class Work>
void for_samples(std::uint64_t step, Work work) {
  std::uint64_t seed = 0;
  for (const op o : all_channel_operations())
    for (const auto& sizes : shapes)
      for (const bool last : {false, true})
        for (const element_types& types : mixtures) {
          if (++seed % (step * step_of_cases()) != 0) continue;
          const channel_problem p = sample(o, sizes, seed);
          channel_setup s;
          s.last = last;
          s.types = types;
          for (const std::size_t kind : {seed, seed + 3}) {
            s.pad = masks_for(p, seed / 3)[kind % 6];
            work(o, p, s);
          }
        }
}

TEST_P(half_channels_test, the_rounded_float) {
  for_samples(1, [&](op o, const channel_problem& p, channel_setup s) {
    const result expected = widened(o, p, s);
    ASSERT_EQ(expected.status, SIMDNORM_OK) << describe(o, p, s);
    ASSERT_EQ(difference(run(o, p, s), expected), "") << describe(o, p, s);
    const bool rank2 = p.positions() == 1;
    s.channel_gap = rank2 && !s.last ? 0 : 3;
    s.reversed = p.batch() % 2 == 1 && !(rank2 && !s.last);
    simdnorm_stream_border_set(1);
    const result beyond = run(o, p, s);
    simdnorm_stream_border_set(0);
    ASSERT_TRUE(beyond.intact) << describe(o, p, s);
    ASSERT_EQ(difference(beyond, expected), "") << describe(o, p, s) << ", past the caches";
    if (s.types.y == s.types.residual && adds_residual(o)) {
      s.residual_is_y = true;
      ASSERT_EQ(difference(run(o, p, s), widened(o, p, s)), "") << describe(o, p, s) << ", the residual is y";
    }
    if (s.types.x != s.types.y) return;
    s.in_place = true;
    ASSERT_EQ(difference(run(o, p, s), widened(o, p, s)), "") << describe(o, p, s) << ", in place";
  });
}

TEST_P(half_channels_test, every_plane_size) {
  for (const op o : all_channel_operations())
    for (std::size_t size = 1; size <= 300; size += size < 140 ? 1 : 7) {
      const channel_problem p = sample(o, {3, 4, size}, size);
      channel_setup s;
      s.types = mixtures[size % std::size(mixtures)];
      ASSERT_EQ(difference(run(o, p, s), widened(o, p, s)), "") << describe(o, p, s);
    }
}

TEST_P(half_channels_test, not_a_byte_outside) {
  for (const guarded_arena::side side : {guarded_arena::at_end, guarded_arena::at_start}) {
    guarded_arena memory(side, side == guarded_arena::at_end ? 0 : 1, std::size_t{1} << 19);
    for_samples(5, [&](op o, const channel_problem& p, channel_setup s) {
      const result r = run(o, p, s, memory);
      ASSERT_TRUE(r.intact) << describe(o, p, s);
      ASSERT_EQ(difference(r, widened(o, p, s)), "") << describe(o, p, s);
    });
  }
}

TEST_P(half_channels_test, what_the_padding_holds_does_not_matter) {
  for_samples(5, [&](op o, channel_problem p, const channel_setup& s) {
    if (s.pad.kind == SIMDNORM_PADDING_NONE) return;
    const result expected = run(o, p, s);
    for (const float other : {__builtin_nanf(""), -3e38f}) {
      for (std::size_t n = 0; n < p.batch(); ++n)
        for (std::size_t c = 0; c < p.channels(); ++c)
          for (std::size_t k = 0; k < p.positions(); ++k)
            if (!real_element(p, s.pad, n, c, k)) p.x[p.index(n, c, k)] = p.residual[p.index(n, c, k)] = other;
      ASSERT_EQ(difference(run(o, p, s), expected), "") << describe(o, p, s);
    }
  });
}

// Whole sets over threads, and sets that are cut.
TEST_P(half_channels_test, threads_give_the_same_bits) {
  std::uint64_t seed = 0;
  for (const op o : all_channel_operations())
    for (const std::vector<std::size_t>& sizes :
         {std::vector<std::size_t>{1, 3, 150, 301}, std::vector<std::size_t>{20, 15, 15, 15}})
      for (const bool last : {false, true}) {
        const channel_problem p = sample(o, sizes, ++seed);
        channel_setup s;
        s.last = last;
        s.types = mixtures[seed % std::size(mixtures)];
        s.pad = masks_for(p, seed)[seed % 6];
        const result expected = widened(o, p, s);
        for (const std::size_t count : {2, 7}) {
          shuffle_executor threads(count);
          s.executor = &threads.c;
          ASSERT_EQ(difference(run(o, p, s), expected), "") << describe(o, p, s) << ", " << count << " threads";
        }
      }
}

TEST_P(half_channels_test, types_that_do_not_go_together) {
  std::vector<double> memory(64, 7);
  const std::vector<double> before = memory;
  std::vector<std::uint16_t> halves(64, 0x3f80);
  const auto tensor = [&](auto t, const void* data, simdnorm_type type) {
    t.data = const_cast<void*>(data);
    t.type = type;
    t.rank = 3;
    t.sizes[0] = 2;
    t.sizes[1] = t.sizes[2] = 2;
    t.strides[0] = 4;
    t.strides[1] = 2;
    t.strides[2] = 1;
    return t;
  };
  const auto each = [&](const void* in, simdnorm_type x_type, const void* out, simdnorm_type y_type,
                        simdnorm_status expected, const simdnorm_const_tensor* residual = nullptr) {
    const simdnorm_const_tensor x = tensor(simdnorm_const_tensor{}, in, x_type);
    const simdnorm_tensor y = tensor(simdnorm_tensor{}, out, y_type);
    simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
    o.residual = residual;
    const float ones[2] = {1, 1};
    const simdnorm_const_vector given{ones, 2, SIMDNORM_F32};
    EXPECT_EQ(simdnorm_batch_norm_training_nd(&x, &y, &o), expected);
    EXPECT_EQ(simdnorm_batch_norm_inference_nd(&x, &y, given, given, &o), expected);
    if (residual) return;
    EXPECT_EQ(simdnorm_group_norm(&x, &y, 1, nullptr), expected);
    EXPECT_EQ(simdnorm_instance_norm(&x, &y, nullptr), expected);
  };
  const void* h = halves.data();
  const void* m = memory.data();
  each(h, bf16, m, SIMDNORM_F64, SIMDNORM_UNSUPPORTED_TYPE);
  each(memory.data() + 32, SIMDNORM_F64, m, f16, SIMDNORM_UNSUPPORTED_TYPE);
  each(h, 0, m, f16, SIMDNORM_UNSUPPORTED_TYPE);
  each(h, f16, m, 9, SIMDNORM_UNSUPPORTED_TYPE);
  each(reinterpret_cast<const char*>(h) + 1, bf16, m, bf16, SIMDNORM_MISALIGNED);
  each(h, bf16, h, f32, SIMDNORM_OVERLAP);
  each(h, bf16, halves.data() + 1, bf16, SIMDNORM_OVERLAP);
  for (const int type : {int{SIMDNORM_F64}, 0, 9}) {
    const simdnorm_const_tensor residual = tensor(simdnorm_const_tensor{}, halves.data() + 8, type);
    each(h, bf16, m, bf16, SIMDNORM_UNSUPPORTED_TYPE, &residual);
  }
  const simdnorm_const_tensor over_y = tensor(simdnorm_const_tensor{}, m, f32);
  each(h, bf16, m, bf16, SIMDNORM_OVERLAP, &over_y);
  EXPECT_EQ(memory, before);  // nothing was written
}

}  // namespace
}  // namespace simdnorm::test

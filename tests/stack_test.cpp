// SPDX-License-Identifier: Apache-2.0
//
// A call needs at most 64 KiB of stack: measured on a thread whose stack was painted.

#include <gtest/gtest.h>
#include <pthread.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "support/half.hpp"
#include "support/isa_fixture.hpp"

namespace simdnorm::test {
namespace {

class stack_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(stack_test);

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

constexpr std::size_t promised = std::size_t{64} << 10;

// How many bytes of its stack a thread touched that did nothing but `work`.
std::size_t touched_by(std::function<void()> work) {
  constexpr std::size_t size = std::size_t{1} << 20;
  constexpr unsigned char paint = 0xa5;
  auto* const stack = static_cast<unsigned char*>(std::aligned_alloc(4096, size));
  std::memset(stack, paint, size);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  EXPECT_EQ(pthread_attr_setstack(&attributes, stack, size), 0);
  pthread_t thread;
  const auto run = [](void* p) -> void* {
    (*static_cast<std::function<void()>*>(p))();
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, &attributes, run, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  std::size_t untouched = 0;
  while (untouched < size && stack[untouched] == paint) ++untouched;
  std::free(stack);
  return size - untouched;
}
std::size_t stack_of(const std::function<void()>& call) {
  return touched_by(call) - touched_by([] {});
}

TEST_P(stack_test, it_is_measured) {
  const std::size_t depth = stack_of([] {
    volatile char room[50000];
    for (std::size_t i = 0; i < sizeof room; ++i) room[i] = 1;
  });
  EXPECT_GE(depth, 49000u);
  EXPECT_LE(depth, 60000u);
}

TEST_P(stack_test, row_norms) {
  constexpr std::size_t rows = 9;
  for (const simdnorm_type type : {SIMDNORM_F32, SIMDNORM_F64, SIMDNORM_BF16, SIMDNORM_F16})
    for (const std::size_t cols : {64, 768, 8192, 9000})
      for (const bool hostile : {false, true}) {
        const std::size_t size = type == SIMDNORM_F64 ? 8 : type == SIMDNORM_F32 ? 4 : 2;
        std::vector<unsigned char> x(rows * cols * size), residual(x.size()), y(x.size()), sum(x.size());
        for (std::size_t k = 0; !hostile && k < rows * cols; ++k) {  // hostile: rows of zeros
          const double v = std::sin(static_cast<double>(k));
          const auto f = static_cast<float>(v);
          const std::uint16_t h = half_formats[type == SIMDNORM_BF16 ? 0 : 1].rounded(v);
          std::memcpy(x.data() + k * size,
                      size == 8   ? static_cast<const void*>(&v)
                      : size == 4 ? static_cast<const void*>(&f)
                                  : &h,
                      size);
        }
        std::vector<float> ones(cols, 1);
        std::vector<std::uint8_t> elements(rows * cols, 1);
        elements[cols / 2] = 0;
        const auto pitch = static_cast<std::ptrdiff_t>(cols);
        const simdnorm_const_matrix in{x.data(), rows, cols, pitch, type},
            more{residual.data(), rows, cols, pitch, type};
        const simdnorm_matrix out{y.data(), rows, cols, pitch, type}, total{sum.data(), rows, cols, pitch, type};
        simdnorm_layer_norm_options layer = simdnorm_layer_norm_defaults();
        layer.gamma = layer.beta = {ones.data(), cols, SIMDNORM_F32};
        simdnorm_rms_norm_options rms = simdnorm_rms_norm_defaults();
        rms.weight = layer.gamma;
        simdnorm_rms_norm_options llama = rms;
        llama.rounding = SIMDNORM_ROUND_BEFORE_WEIGHT;
        simdnorm_layer_norm_options masked = layer;
        masked.padding.kind = SIMDNORM_PADDING_ELEMENT_MASK;
        masked.padding.data = elements.data();
        masked.padding.size = elements.size();
        masked.activation = SIMDNORM_ACTIVATION_GELU;
        const std::vector<std::pair<const char*, std::function<simdnorm_status()>>> calls = {
            {"layer_norm", [&] { return simdnorm_layer_norm(&in, &out, &layer); }},
            {"rms_norm", [&] { return simdnorm_rms_norm(&in, &out, &rms); }},
            {"rms_norm, rounded first", [&] { return simdnorm_rms_norm(&in, &out, &llama); }},
            {"layer_norm under a mask, GELU", [&] { return simdnorm_layer_norm(&in, &out, &masked); }},
            {"add_layer_norm", [&] { return simdnorm_add_layer_norm(&in, &more, {}, &total, &out, &layer); }},
            {"add_rms_norm", [&] { return simdnorm_add_rms_norm(&in, &more, {}, &total, &out, &rms); }},
            {"gated_rms_norm", [&] { return simdnorm_gated_rms_norm(&in, &more, &out, &rms); }},
        };
        for (const auto& [name, call] : calls) {
          simdnorm_status status = -1;
          const std::size_t depth = stack_of([&, &f = call] { status = f(); });
          ASSERT_EQ(status, SIMDNORM_OK) << name << ": " << simdnorm_status_string(status);
          ASSERT_LE(depth, promised) << name << ", type " << type << ", " << cols << " columns, hostile " << hostile;
        }
      }
}

TEST_P(stack_test, column_and_channel_norms) {
  constexpr std::size_t rows = 300, cols = 600;
  for (const simdnorm_type type : {SIMDNORM_F32, SIMDNORM_F64, SIMDNORM_BF16})
    for (const bool hostile : {false, true}) {
      std::vector<double> room(rows * cols), y(rows * cols), mean(cols), variance(cols, 1);
      std::vector<float> mean32(cols), variance32(cols, 1);
      for (std::size_t k = 0; !hostile && type != SIMDNORM_BF16 && k < room.size(); ++k) {
        const double v = std::sin(static_cast<double>(k));
        const auto f = static_cast<float>(v);
        if (type == SIMDNORM_F64) room[k] = v;
        if (type == SIMDNORM_F32) std::memcpy(reinterpret_cast<char*>(room.data()) + 4 * k, &f, 4);
      }
      std::vector<std::uint8_t> elements(rows * cols, 1);
      elements[5] = 0;
      const simdnorm_const_matrix in{room.data(), rows, cols, cols, type};
      const simdnorm_matrix out{y.data(), rows, cols, cols, type};
      simdnorm_const_tensor x = {room.data(), {10, 30, 600}, {18000, 600, 1}, 3, type};
      simdnorm_tensor to = {y.data(), {10, 30, 600}, {18000, 600, 1}, 3, type};
      const bool doubles = type == SIMDNORM_F64;
      const auto given = [&](std::vector<double>& d, std::vector<float>& f, std::size_t n) {
        return doubles ? simdnorm_const_vector{d.data(), n, SIMDNORM_F64}
                       : simdnorm_const_vector{f.data(), n, SIMDNORM_F32};
      };
      for (const bool masked : {false, true}) {
        simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
        simdnorm_group_norm_options g = simdnorm_group_norm_defaults();
        if (masked) {
          o.padding.kind = SIMDNORM_PADDING_ELEMENT_MASK;
          o.padding.data = elements.data();
          o.padding.size = elements.size();
          g.padding = o.padding;
        }
        const std::vector<std::pair<const char*, std::function<simdnorm_status()>>> calls = {
            {"batch_norm_training", [&] { return simdnorm_batch_norm_training(&in, &out, &o); }},
            {"batch_norm_inference",
             [&] {
               return simdnorm_batch_norm_inference(&in, &out, given(mean, mean32, cols),
                                                    given(variance, variance32, cols), &o);
             }},
            {"batch_norm_training_nd", [&] { return simdnorm_batch_norm_training_nd(&x, &to, &o); }},
            {"batch_norm_inference_nd",
             [&] {
               return simdnorm_batch_norm_inference_nd(&x, &to, given(mean, mean32, 30),
                                                       given(variance, variance32, 30), &o);
             }},
            {"group_norm", [&] { return simdnorm_group_norm(&x, &to, 6, &g); }},
        };
        for (const auto& [name, call] : calls) {
          simdnorm_status status = -1;
          const std::size_t depth = stack_of([&, &f = call] { status = f(); });
          ASSERT_EQ(status, SIMDNORM_OK) << name << ", type " << type << ", masked " << masked;
          ASSERT_LE(depth, promised) << name << ", type " << type << ", masked " << masked << ", hostile " << hostile;
        }
      }
    }
}

#endif

}  // namespace
}  // namespace simdnorm::test

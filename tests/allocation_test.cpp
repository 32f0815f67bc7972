// SPDX-License-Identifier: Apache-2.0
//
// No call of the C interface allocates. The program's malloc counts; it stands in for libc's.

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace {
std::atomic<bool> counting{false};
std::atomic<std::size_t> allocations{0};
void count() {
  if (counting) ++allocations;
}
}  // namespace

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define SIMDNORM_COUNTS_ALLOCATIONS 1
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t n) {
  return count(), __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size) {
  return count(), __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n) {
  return count(), __libc_realloc(p, n);
}
void* memalign(std::size_t alignment, std::size_t n) {
  return count(), __libc_memalign(alignment, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n) {
  return count(), __libc_memalign(alignment, n);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t n) {
  count();
  return (*out = __libc_memalign(alignment, n)) ? 0 : ENOMEM;
}
void free(void* p) {
  __libc_free(p);
}
}
#endif

namespace simdnorm::test {
namespace {

class allocation_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(allocation_test);

#ifdef SIMDNORM_COUNTS_ALLOCATIONS

template <class Call>
std::size_t allocations_in(Call call) {
  allocations = 0;
  counting = true;
  call();
  counting = false;
  return allocations;
}

int backwards(void*, std::size_t count, simdnorm_task task, void* arg) {
  for (std::size_t i = count; i-- > 0;) task(arg, i);
  return 0;
}

TEST_P(allocation_test, the_counter_counts) {
  EXPECT_EQ(allocations_in([] {
              void* volatile p = std::malloc(10);
              std::free(p);
              int* volatile q = new int(3);
              delete q;
            }),
            2u);
}

TEST_P(allocation_test, no_call_allocates) {
  const std::size_t rows = 5000, cols = 70;
  std::vector<float> x = normals(1, rows * cols, 3), y(rows * cols), gamma(cols, 1), beta(cols), running(cols),
                     variance(cols, 1), mean(cols), rstd(cols), row_mean(rows), row_rstd(rows);
  std::vector<double> a(cols, 0), b(cols, 1);
  std::vector<moments> m(cols);
  std::vector<std::uint8_t> mask(rows, 1);
  mask[7] = 0;
  std::vector<float> weights(rows, 2);
  std::vector<std::uint8_t> elements(rows * cols, 1);
  elements[9] = 0;
  const std::size_t size = simdnorm_column_state_size(cols, SIMDNORM_F32);
  void *memory = std::aligned_alloc(64, (size + 63) / 64 * 64),
       *other_memory = std::aligned_alloc(64, (size + 63) / 64 * 64);
  std::vector<std::byte> bytes(size + 64);
  const simdnorm_const_matrix cx{x.data(), rows, cols, cols, SIMDNORM_F32};
  const simdnorm_matrix cy{y.data(), rows, cols, cols, SIMDNORM_F32};
  const simdnorm_executor reverse{nullptr, 4, &backwards};
  for (const simdnorm_executor* executor : {static_cast<const simdnorm_executor*>(nullptr), &reverse}) {
    std::size_t ok = 0, calls = 0;
    const auto done = [&](simdnorm_status s) {
      ++calls;
      ok += s == SIMDNORM_OK;
    };
    const std::size_t n = allocations_in([&] {
      simdnorm_isa_reset();
      done(simdnorm_isa_force(GetParam()));
      simdnorm_isa active;
      done(simdnorm_isa_active(&active));
      simdnorm_isa_state states[SIMDNORM_ISA_COUNT];
      simdnorm_isa_list(states);
      simdnorm_layer_norm_options lo = simdnorm_layer_norm_defaults();
      lo.gamma = {gamma.data(), cols, SIMDNORM_F32};
      lo.beta = {beta.data(), cols, SIMDNORM_F32};
      lo.mean = {row_mean.data(), rows, SIMDNORM_F32};
      lo.rstd = {row_rstd.data(), rows, SIMDNORM_F32};
      lo.padding = padding::row_mask(mask).c;
      lo.executor = executor;
      done(simdnorm_layer_norm(&cx, &cy, &lo));
      simdnorm_rms_norm_options ro = simdnorm_rms_norm_defaults();
      ro.executor = executor;
      done(simdnorm_rms_norm(&cx, &cy, &ro));
      simdnorm_l2_norm_options no = simdnorm_l2_norm_defaults();
      no.norm = lo.rstd;
      no.executor = executor;
      done(simdnorm_l2_norm(&cx, &cy, &no));
      simdnorm_batch_norm_options bo = simdnorm_batch_norm_defaults();
      bo.gamma = lo.gamma;
      bo.beta = lo.beta;
      bo.padding = lo.padding;
      bo.executor = executor;
      done(simdnorm_batch_norm_inference(&cx, &cy, {running.data(), cols, SIMDNORM_F32},
                                         {variance.data(), cols, SIMDNORM_F32}, &bo));
      bo.running_mean = {running.data(), cols, SIMDNORM_F32};
      bo.running_variance = {variance.data(), cols, SIMDNORM_F32};
      bo.mean = {mean.data(), cols, SIMDNORM_F32};
      bo.rstd = {rstd.data(), cols, SIMDNORM_F32};
      done(simdnorm_batch_norm_training(&cx, &cy, &bo));
      // [1, 5, 700, 100], channels first and last: cut and not; then with a mask, ReLU and a residual.
      for (const bool last : {false, true})
        for (const bool more : {false, true}) {
          const std::initializer_list<std::size_t> sizes{1, 5, 700, 100};
          using const_tensor = tensor_view<const float>;
          using tensor = tensor_view<float>;
          const input_tensor in = last ? const_tensor::channels_last(x.data(), sizes) : const_tensor(x.data(), sizes);
          const output_tensor out = last ? tensor::channels_last(y.data(), sizes) : tensor(y.data(), sizes);
          const simdnorm_const_tensor tx = in.c();
          const simdnorm_tensor ty = out.c();
          simdnorm_batch_norm_options to = simdnorm_batch_norm_defaults();
          simdnorm_group_norm_options go = simdnorm_group_norm_defaults();
          to.executor = go.executor = executor;
          if (more) {
            to.padding = go.padding =
                last ? padding::element_mask_bits(elements, 70000, 5).c : padding::element_mask(elements).c;
            to.activation = go.activation = SIMDNORM_ACTIVATION_RELU;
            to.residual = &tx;
          }
          done(simdnorm_batch_norm_training_nd(&tx, &ty, &to));
          done(simdnorm_batch_norm_inference_nd(&tx, &ty, {running.data(), 5, SIMDNORM_F32},
                                                {variance.data(), 5, SIMDNORM_F32}, &to));
          done(simdnorm_group_norm(&tx, &ty, 1, &go));
          done(simdnorm_instance_norm(&tx, &ty, &go));
        }
      simdnorm_column_options co = simdnorm_column_defaults();
      co.executor = executor;
      done(simdnorm_column_moments(&cx, m.data(), &co));
      simdnorm_standardize_options so = simdnorm_standardize_defaults();
      so.executor = executor;
      done(simdnorm_standardize_fit(&cx, a.data(), b.data(), &so));
      done(simdnorm_standardize_transform(&cx, &cy, a.data(), b.data(), &so));
      done(simdnorm_standardize_inverse(&cx, &cy, a.data(), b.data(), &so));
      so.weights = {weights.data(), rows, SIMDNORM_F32};
      so.nan_is_missing = 1;
      so.padding = padding::element_mask(elements).c;
      done(simdnorm_standardize(&cx, &cy, a.data(), b.data(), &so));
      bo.padding = so.padding;
      done(simdnorm_batch_norm_training(&cx, &cy, &bo));
      simdnorm_max_abs_options xo = simdnorm_max_abs_defaults();
      xo.executor = executor;
      done(simdnorm_max_abs_fit(&cx, a.data(), &xo));
      done(simdnorm_max_abs_transform(&cx, &cy, a.data(), &xo));
      done(simdnorm_max_abs_inverse(&cx, &cy, a.data(), &xo));
      done(simdnorm_max_abs(&cx, &cy, a.data(), &xo));
      simdnorm_min_max_options mo = simdnorm_min_max_defaults();
      mo.executor = executor;
      done(simdnorm_min_max_fit(&cx, a.data(), b.data(), &mo));
      done(simdnorm_min_max_transform(&cx, &cy, a.data(), b.data(), &mo));
      done(simdnorm_min_max_inverse(&cx, &cy, a.data(), b.data(), &mo));
      done(simdnorm_min_max(&cx, &cy, a.data(), b.data(), &mo));
      simdnorm_column_state *state = nullptr, *other = nullptr;
      done(simdnorm_column_state_init(memory, size, cols, SIMDNORM_F32, &state));
      done(simdnorm_column_state_init(other_memory, size, cols, SIMDNORM_F32, &other));
      done(simdnorm_column_state_update(state, &cx, &co));
      co.weights = so.weights;
      co.padding = so.padding;
      done(simdnorm_column_state_update(state, &cx, &co));
      done(simdnorm_column_state_merge(other, state));
      done(simdnorm_column_state_result(other, m.data()));
      done(simdnorm_column_state_serialize(state, bytes.data(), bytes.size()));
      done(simdnorm_column_state_deserialize(bytes.data(), simdnorm_column_state_serialized_size(state), other_memory,
                                             size, &other));
      m[0] = simdnorm_moments_merge(m[0], m[1]);
      done(simdnorm_standardize_parameters(m.data(), cols, a.data(), b.data(), &so));
      done(simdnorm_min_max_parameters(m.data(), cols, a.data(), b.data()));
      done(simdnorm_max_abs_parameters(m.data(), cols, a.data()));
    });
    EXPECT_EQ(n, 0u);
    EXPECT_EQ(ok, calls);
  }
  std::free(memory);
  std::free(other_memory);
}

#endif

}  // namespace
}  // namespace simdnorm::test

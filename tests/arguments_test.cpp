// SPDX-License-Identifier: Apache-2.0
//
// Every argument error: the right status, and not a byte written. All arrays of a call lie in one
// struct, which is compared before and after.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <vector>

#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

class arguments_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(arguments_test);

constexpr std::size_t rows = 12, cols = 10;

// 64 bytes between the arrays, so that a call may go wrong by a little without meeting the next.
struct arrays {
  alignas(64) float x[rows * 64];
  alignas(64) float y[rows * 64];
  alignas(64) float residual[rows * 64], sum[rows * 64], bias[64];
  alignas(64) float gamma[64], beta[64], mean[64], rstd[64], running_mean[64], running_variance[64];
  alignas(64) double first[64], second[64];
  alignas(64) simdnorm_moments out[32];
  alignas(64) std::int64_t lengths[64];
  alignas(64) std::int32_t lengths32[64];
  alignas(64) std::uint8_t mask[64];
  alignas(64) unsigned char state[8192];
};

struct call {
  arrays a;
  simdnorm_const_matrix x;
  simdnorm_matrix y;
  simdnorm_layer_norm_options layer = simdnorm_layer_norm_defaults();
  simdnorm_rms_norm_options rms = simdnorm_rms_norm_defaults();
  simdnorm_l2_norm_options l2 = simdnorm_l2_norm_defaults();
  simdnorm_batch_norm_options batch = simdnorm_batch_norm_defaults();
  simdnorm_column_options column = simdnorm_column_defaults();
  simdnorm_standardize_options standard = simdnorm_standardize_defaults();
  simdnorm_max_abs_options largest = simdnorm_max_abs_defaults();
  simdnorm_min_max_options range = simdnorm_min_max_defaults();
  simdnorm_const_vector given_mean, given_variance;
  double *first, *second;
  simdnorm_moments* out;
  simdnorm_column_state* state = nullptr;
  simdnorm_const_matrix residual;  // or gate
  simdnorm_matrix sum;
  simdnorm_const_vector bias;
  const simdnorm_const_matrix *xp, *rp;
  const simdnorm_matrix *yp, *sp;

  call() {
    std::memset(static_cast<void*>(&a), 0, sizeof a);
    const std::vector<float> v = normals(1, rows * 64, 2);
    std::memcpy(a.x, v.data(), sizeof a.x);
    std::memcpy(a.y, v.data(), sizeof a.y);
    for (std::size_t j = 0; j < 64; ++j) {
      a.gamma[j] = a.rstd[j] = a.running_variance[j] = 1.5f;
      a.second[j] = 3.5;
      a.lengths[j] = 1;
      a.lengths32[j] = 1;
      a.mask[j] = j % 2;
    }
    if (simdnorm_column_state_init(a.state, sizeof a.state, cols, SIMDNORM_F32, &state) != SIMDNORM_OK) std::abort();
    x = {a.x, rows, cols, cols, SIMDNORM_F32};
    y = {a.y, rows, cols, cols, SIMDNORM_F32};
    layer.gamma = batch.gamma = rms.weight = {a.gamma, cols, SIMDNORM_F32};
    layer.beta = batch.beta = {a.beta, cols, SIMDNORM_F32};
    layer.mean = {a.mean, rows, SIMDNORM_F32};
    layer.rstd = rms.rstd = l2.norm = {a.rstd, rows, SIMDNORM_F32};
    batch.mean = {a.mean, cols, SIMDNORM_F32};
    batch.rstd = {a.rstd, cols, SIMDNORM_F32};
    batch.running_mean = {a.running_mean, cols, SIMDNORM_F32};
    batch.running_variance = {a.running_variance, cols, SIMDNORM_F32};
    given_mean = {a.running_mean, cols, SIMDNORM_F32};
    given_variance = {a.running_variance, cols, SIMDNORM_F32};
    first = a.first;
    second = a.second;
    out = a.out;
    residual = {a.residual, rows, cols, cols, SIMDNORM_F32};
    sum = {a.sum, rows, cols, cols, SIMDNORM_F32};
    bias = {a.bias, cols, SIMDNORM_F32};
    xp = &x;
    yp = &y;
    rp = &residual;
    sp = &sum;
  }
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  void pad(const simdnorm_padding& p) {
    layer.padding = rms.padding = l2.padding = batch.padding = column.padding = range.padding = standard.padding =
        largest.padding = p;
  }
  void execute(const simdnorm_executor* e) {
    layer.executor = rms.executor = l2.executor = batch.executor = column.executor = range.executor =
        standard.executor = largest.executor = e;
  }
};

struct function {
  const char* name;
  bool row_wise, y;
  simdnorm_status (*run)(call&);
};
const function layer_norm_f{"layer_norm", true, true,
                            [](call& c) { return simdnorm_layer_norm(c.xp, c.yp, &c.layer); }};
const function rms_norm_f{"rms_norm", true, true, [](call& c) { return simdnorm_rms_norm(c.xp, c.yp, &c.rms); }};
const function l2_norm_f{"l2_norm", true, true, [](call& c) { return simdnorm_l2_norm(c.xp, c.yp, &c.l2); }};
const function add_layer_norm_f{"add_layer_norm", true, true, [](call& c) {
                                  return simdnorm_add_layer_norm(c.xp, c.rp, c.bias, c.sp, c.yp, &c.layer);
                                }};
const function add_rms_norm_f{"add_rms_norm", true, true,
                              [](call& c) { return simdnorm_add_rms_norm(c.xp, c.rp, c.bias, c.sp, c.yp, &c.rms); }};
const function gated_f{"gated_rms_norm", true, true,
                       [](call& c) { return simdnorm_gated_rms_norm(c.xp, c.rp, c.yp, &c.rms); }};
const function training_f{"batch_norm_training", false, true,
                          [](call& c) { return simdnorm_batch_norm_training(c.xp, c.yp, &c.batch); }};
const function inference_f{"batch_norm_inference", false, true, [](call& c) {
                             return simdnorm_batch_norm_inference(c.xp, c.yp, c.given_mean, c.given_variance, &c.batch);
                           }};
const function transforms[] = {
    {"standardize_transform", false, true,
     [](call& c) { return simdnorm_standardize_transform(c.xp, c.yp, c.first, c.second, &c.standard); }},
    {"standardize_inverse", false, true,
     [](call& c) { return simdnorm_standardize_inverse(c.xp, c.yp, c.first, c.second, &c.standard); }},
    {"min_max_transform", false, true,
     [](call& c) { return simdnorm_min_max_transform(c.xp, c.yp, c.first, c.second, &c.range); }},
    {"min_max_inverse", false, true,
     [](call& c) { return simdnorm_min_max_inverse(c.xp, c.yp, c.first, c.second, &c.range); }}};
const function fits[] = {
    {"standardize_fit", false, false,
     [](call& c) { return simdnorm_standardize_fit(c.xp, c.first, c.second, &c.standard); }},
    {"min_max_fit", false, false, [](call& c) { return simdnorm_min_max_fit(c.xp, c.first, c.second, &c.range); }}};
// Fit and transform in one call, and max_abs.
const function fused[] = {
    {"standardize", false, true,
     [](call& c) { return simdnorm_standardize(c.xp, c.yp, c.first, c.second, &c.standard); }},
    {"min_max", false, true, [](call& c) { return simdnorm_min_max(c.xp, c.yp, c.first, c.second, &c.range); }},
    {"max_abs", false, true, [](call& c) { return simdnorm_max_abs(c.xp, c.yp, c.first, &c.largest); }}};
const function largest[] = {
    {"max_abs_fit", false, false, [](call& c) { return simdnorm_max_abs_fit(c.xp, c.first, &c.largest); }},
    {"max_abs_transform", false, true,
     [](call& c) { return simdnorm_max_abs_transform(c.xp, c.yp, c.second, &c.largest); }},
    {"max_abs_inverse", false, true,
     [](call& c) { return simdnorm_max_abs_inverse(c.xp, c.yp, c.second, &c.largest); }}};
const function moments_f{"column_moments", false, false,
                         [](call& c) { return simdnorm_column_moments(c.xp, c.out, &c.column); }};
const function update_f{"column_state_update", false, false,
                        [](call& c) { return simdnorm_column_state_update(c.state, c.xp, &c.column); }};

std::vector<function> functions() {
  std::vector<function> all = {layer_norm_f, rms_norm_f, l2_norm_f,   add_layer_norm_f, add_rms_norm_f,
                               gated_f,      training_f, inference_f, moments_f,        update_f};
  all.insert(all.end(), std::begin(transforms), std::end(transforms));
  all.insert(all.end(), std::begin(fits), std::end(fits));
  all.insert(all.end(), std::begin(fused), std::end(fused));
  all.insert(all.end(), std::begin(largest), std::end(largest));
  return all;
}

// Runs f after `spoil`: the status is as wanted, and on any but OK nothing was written.
template <class Spoil>
void expect(const function& f, simdnorm_status wanted, const std::string& what, Spoil spoil) {
  const auto c = std::make_unique<call>();
  spoil(*c);
  const auto before = std::make_unique<arrays>(c->a);
  const simdnorm_status s = f.run(*c);
  EXPECT_EQ(s, wanted) << f.name << ", " << what << ": " << simdnorm_status_string(s) << " instead of "
                       << simdnorm_status_string(wanted);
  const bool same = std::memcmp(before.get(), &c->a, sizeof(arrays)) == 0;
  if (wanted != SIMDNORM_OK) {
    EXPECT_TRUE(same) << f.name << ", " << what << ": wrote something";
  }
}

// The calls that are spoiled below are fine as they are, and do write.
TEST_P(arguments_test, the_unspoiled_calls_work) {
  for (const function& f : functions()) {
    const auto c = std::make_unique<call>();
    const auto before = std::make_unique<arrays>(c->a);
    ASSERT_EQ(f.run(*c), SIMDNORM_OK) << f.name;
    ASSERT_NE(std::memcmp(before.get(), &c->a, sizeof(arrays)), 0) << f.name;
  }
}

// Halves go where floats go: mixed_types_test, half_columns_test, half_channels_test.
constexpr simdnorm_type types_without_kernel[] = {0, SIMDNORM_F64, SIMDNORM_I8, 77, -1};

TEST_P(arguments_test, views) {
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  for (const function& f : functions()) {
    expect(f, SIMDNORM_NULL_POINTER, "null x", [](call& c) { c.xp = nullptr; });
    expect(f, SIMDNORM_NULL_POINTER, "x without data", [](call& c) { c.x.data = nullptr; });
    for (const simdnorm_type type : types_without_kernel)
      if (f.y || type != SIMDNORM_F64)  // statistics alone take f64: double_columns_test
        expect(f, SIMDNORM_UNSUPPORTED_TYPE, "type of x", [&](call& c) { c.x.type = type; });
    for (const std::size_t bytes : {1, 2, 3})
      expect(f, SIMDNORM_MISALIGNED, "x misaligned",
             [&](call& c) { c.x.data = reinterpret_cast<char*>(c.a.x) + bytes; });
    expect(f, SIMDNORM_INVALID_SHAPE, "rows * cols overflows", [&](call& c) {
      c.x.rows = c.y.rows = huge / 4;
      c.x.cols = c.y.cols = 9;
      c.x.row_stride = c.y.row_stride = 9;
    });
    // (A state notices first that the columns are not its own; the status is the same.)
    expect(f, SIMDNORM_INVALID_SHAPE, "cols overflow", [&](call& c) {
      c.x.rows = c.y.rows = 1;
      c.x.cols = c.y.cols = huge / 2;
    });
    expect(f, SIMDNORM_INVALID_SHAPE, "x strides out of the address space",
           [&](call& c) { c.x.row_stride = PTRDIFF_MAX / 4; });
    expect(f, SIMDNORM_INVALID_SHAPE, "x strides out of the address space, backwards",
           [&](call& c) { c.x.row_stride = PTRDIFF_MIN; });
    if (!f.y) continue;
    expect(f, SIMDNORM_NULL_POINTER, "null y", [](call& c) { c.yp = nullptr; });
    expect(f, SIMDNORM_NULL_POINTER, "y without data", [](call& c) { c.y.data = nullptr; });
    for (const simdnorm_type type : types_without_kernel) {
      const bool bytes = f.row_wise && type == SIMDNORM_I8;  // which lack a scale
      expect(f, bytes ? SIMDNORM_INVALID_OPTION : SIMDNORM_UNSUPPORTED_TYPE, "type of y",
             [&](call& c) { c.y.type = type; });
    }
    expect(f, SIMDNORM_MISALIGNED, "y misaligned", [&](call& c) { c.y.data = reinterpret_cast<char*>(c.a.y) + 2; });
    expect(f, SIMDNORM_INVALID_SHAPE, "fewer rows in y", [](call& c) { c.y.rows = rows - 1; });
    expect(f, SIMDNORM_INVALID_SHAPE, "more columns in y", [](call& c) { c.y.cols = c.y.row_stride = cols + 1; });
    expect(f, SIMDNORM_INVALID_SHAPE, "y strides out of the address space",
           [&](call& c) { c.y.row_stride = PTRDIFF_MAX / 4; });
    expect(f, SIMDNORM_INVALID_SHAPE, "rows of y without x", [](call& c) { c.x.rows = 0; });
    for (const std::ptrdiff_t stride : {0, 1, 9, -1, -9})
      expect(f, SIMDNORM_INVALID_STRIDE, "stride of y", [&](call& c) { c.y.row_stride = stride; });
    for (const std::ptrdiff_t stride : {0, 1, -3})
      expect(f, SIMDNORM_OK, "stride of y with one row", [&](call& c) {
        c.x.rows = c.y.rows = c.residual.rows = c.sum.rows = 1;
        c.y.row_stride = stride;
        c.layer.mean.size = c.layer.rstd.size = c.rms.rstd.size = c.l2.norm.size = 1;
      });
    for (const std::ptrdiff_t stride : {0, 1, 9, 11, 64})
      expect(f, SIMDNORM_OK, "stride of x", [&](call& c) { c.x.row_stride = stride; });
  }
}

TEST_P(arguments_test, views_beside_x) {
  for (const function& f : {add_layer_norm_f, add_rms_norm_f, gated_f}) {
    expect(f, SIMDNORM_NULL_POINTER, "no residual", [](call& c) { c.rp = nullptr; });
    expect(f, SIMDNORM_NULL_POINTER, "residual without data", [](call& c) { c.residual.data = nullptr; });
    expect(f, SIMDNORM_UNSUPPORTED_TYPE, "type of the residual", [](call& c) { c.residual.type = SIMDNORM_I8; });
    expect(f, SIMDNORM_INVALID_SHAPE, "rows of the residual", [](call& c) { c.residual.rows = rows - 1; });
    expect(f, SIMDNORM_INVALID_SHAPE, "columns of the residual", [](call& c) { c.residual.cols = cols + 1; });
    expect(f, SIMDNORM_MISALIGNED, "residual misaligned",
           [](call& c) { c.residual.data = reinterpret_cast<char*>(c.a.residual) + 1; });
    for (const std::ptrdiff_t stride : {0, 3, 11, 30})
      expect(f, SIMDNORM_OK, "stride of the residual", [&](call& c) { c.residual.row_stride = stride; });
    expect(f, SIMDNORM_OK, "the residual is x", [](call& c) { c.residual = c.x; });
    expect(f, SIMDNORM_OK, "y is the residual", [](call& c) { c.y.data = c.a.residual; });
    expect(f, SIMDNORM_OVERLAP, "y is the residual, a row on", [](call& c) { c.y.data = c.a.residual + cols; });
    expect(f, SIMDNORM_OVERLAP, "y is the residual, another stride", [](call& c) {
      c.y.data = c.a.residual;
      c.y.row_stride = cols + 1;
    });
    expect(f, SIMDNORM_OVERLAP, "rstd in the residual",
           [](call& c) { c.layer.rstd.data = c.rms.rstd.data = c.a.residual + 3; });
    expect(f, SIMDNORM_INVALID_ACTIVATION, "activation", [](call& c) { c.layer.activation = c.rms.activation = 5; });
    expect(f, SIMDNORM_INVALID_ACTIVATION, "activation", [](call& c) { c.layer.activation = c.rms.activation = -1; });
  }
  for (const function& f : {add_layer_norm_f, add_rms_norm_f}) {
    expect(f, SIMDNORM_OK, "no sum", [](call& c) { c.sp = nullptr; });
    expect(f, SIMDNORM_OK, "no bias", [](call& c) { c.bias = {}; });
    expect(f, SIMDNORM_INVALID_SHAPE, "bias", [](call& c) { c.bias.size = cols - 1; });
    expect(f, SIMDNORM_UNSUPPORTED_TYPE, "bias", [](call& c) { c.bias.type = SIMDNORM_F64; });
    expect(f, SIMDNORM_NULL_POINTER, "sum without data", [](call& c) { c.sum.data = nullptr; });
    expect(f, SIMDNORM_INVALID_SHAPE, "rows of sum", [](call& c) { c.sum.rows = rows + 1; });
    expect(f, SIMDNORM_INVALID_STRIDE, "stride of sum", [](call& c) { c.sum.row_stride = cols - 1; });
    expect(f, SIMDNORM_UNSUPPORTED_TYPE, "type of sum", [](call& c) { c.sum.type = SIMDNORM_I8; });
    // Every place that y and sum may have: their own, x, the residual.
    for (const std::size_t y : {0, 1, 2})
      for (const std::size_t sum : {0, 1, 2, 3}) {
        const bool one = sum == 3 || (y == sum && y > 0);
        expect(f, one ? SIMDNORM_OVERLAP : SIMDNORM_OK, "y " + std::to_string(y) + ", sum " + std::to_string(sum),
               [&](call& c) {
                 float* const places[] = {c.a.y, c.a.x, c.a.residual};
                 c.y.data = places[y];
                 c.sum.data = sum == 0 ? c.a.sum : sum == 3 ? places[y] : places[sum];
               });
      }
    expect(f, SIMDNORM_OVERLAP, "sum in x", [](call& c) { c.sum.data = c.a.x + 1; });
    expect(f, SIMDNORM_OVERLAP, "sum in the residual", [](call& c) { c.sum.data = c.a.residual + rows * cols - 1; });
    expect(f, SIMDNORM_OVERLAP, "sum in y", [](call& c) { c.sum.data = c.a.y + rows * cols - 1; });
    expect(f, SIMDNORM_OVERLAP, "bias in y", [](call& c) { c.bias.data = c.a.y + 5; });
    expect(f, SIMDNORM_OVERLAP, "bias in sum", [](call& c) { c.bias.data = c.a.sum + 5; });
    expect(f, SIMDNORM_OVERLAP, "gamma in sum", [](call& c) { c.layer.gamma.data = c.rms.weight.data = c.a.sum + 5; });
    expect(f, SIMDNORM_OVERLAP, "rstd in sum", [](call& c) { c.layer.rstd.data = c.rms.rstd.data = c.a.sum + 5; });
    expect(f, SIMDNORM_OK, "interleaved: y and sum in turn", [](call& c) {
      c.sum.data = c.a.y + cols;
      c.y.row_stride = c.sum.row_stride = 2 * cols;
    });
  }
  expect(rms_norm_f, SIMDNORM_INVALID_OPTION, "rounding", [](call& c) { c.rms.rounding = 2; });
  expect(layer_norm_f, SIMDNORM_INVALID_ACTIVATION, "activation", [](call& c) { c.layer.activation = 9; });
  for (const simdnorm_activation a : {1, 2, 3, 4}) {
    expect(layer_norm_f, SIMDNORM_OK, "activation", [&](call& c) { c.layer.activation = a; });
    expect(rms_norm_f, SIMDNORM_OK, "activation", [&](call& c) { c.rms.activation = a; });
  }
  for (const function& f : {layer_norm_f, rms_norm_f, l2_norm_f, add_layer_norm_f}) {
    const auto masked = [&](simdnorm_status wanted, const char* what, simdnorm_padding_kind kind, auto change) {
      expect(f, wanted, what, [&](call& c) {
        simdnorm_padding p{};
        p.kind = kind;
        p.data = c.a.state;
        p.size = rows * cols;
        change(c, p);
        c.pad(p);
      });
    };
    for (const simdnorm_padding_kind kind : {SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
      masked(SIMDNORM_OK, "element mask", kind, [](call&, simdnorm_padding&) {});
      masked(SIMDNORM_NULL_POINTER, "element mask", kind, [](call&, simdnorm_padding& p) { p.data = nullptr; });
      masked(SIMDNORM_INVALID_PADDING, "element mask", kind, [](call&, simdnorm_padding& p) { p.size = rows; });
      masked(SIMDNORM_OVERLAP, "element mask", kind, [](call& c, simdnorm_padding& p) { p.data = c.a.y + 1; });
      masked(SIMDNORM_INVALID_PADDING, "fill", kind, [](call&, simdnorm_padding& p) { p.fill = 2; });
    }
  }
}

TEST_P(arguments_test, overlap_of_x_and_y) {
  for (const function& f : functions()) {
    if (!f.y) continue;
    const auto at = [&](simdnorm_status wanted, const char* what, std::ptrdiff_t y_offset, std::ptrdiff_t x_stride,
                        std::ptrdiff_t y_stride, std::ptrdiff_t x_offset = 0) {
      expect(f, wanted, what, [&](call& c) {
        c.x.data = c.a.x + x_offset;
        c.x.row_stride = x_stride;
        c.y.data = c.a.x + y_offset;
        c.y.row_stride = y_stride;
      });
    };
    at(SIMDNORM_OK, "in place", 0, 10, 10);
    at(SIMDNORM_OK, "in place, with a pitch", 0, 13, 13);
    at(SIMDNORM_OK, "in place, backwards", 400, -13, -13, 400);
    at(SIMDNORM_OK, "packed QKV: q to k", 10, 30, 30);
    at(SIMDNORM_OK, "packed QKV: v to q", 0, 30, 30, 20);
    at(SIMDNORM_OK, "interleaved, against each other", 330, 30, -30, 10);
    at(SIMDNORM_OK, "right behind", 120, 10, 10);
    at(SIMDNORM_OK, "interleaved, twice the stride", 10, 20, 40);
    at(SIMDNORM_OVERLAP, "one element on", 1, 10, 10);
    at(SIMDNORM_OVERLAP, "one element back", 0, 10, 10, 1);
    at(SIMDNORM_OVERLAP, "one row on", 10, 10, 10);
    at(SIMDNORM_OVERLAP, "last element", 119, 10, 10);
    at(SIMDNORM_OVERLAP, "same start, other stride", 0, 10, 11);
    at(SIMDNORM_OVERLAP, "same rows backwards", 110, 10, -10);
    at(SIMDNORM_OVERLAP, "interleaved by one column too few", 9, 30, 30);
    at(SIMDNORM_OVERLAP, "interleaved by one column too many", 21, 30, 30);
    at(SIMDNORM_OVERLAP, "interleaved, strides that meet at the seventh row", 10, 30, 32);
    at(SIMDNORM_OVERLAP, "broadcast in place", 0, 0, 10);
    at(SIMDNORM_OVERLAP, "broadcast of a row of y", 0, 0, 10, 30);
    at(SIMDNORM_OK, "broadcast of a row between rows of y", 0, 0, 30, 40);
    at(SIMDNORM_OVERLAP, "x slides through y", 0, 1, 10);
    at(SIMDNORM_OK, "x slides behind y", 0, 1, 10, 120);
  }
}

// Judged against a list of elements: any strides, offsets and shapes.
TEST_P(arguments_test, overlap_against_brute_force) {
  generator g(17);
  std::size_t overlaps = 0, fine = 0;
  for (int round = 0; round < 4000; ++round) {
    const std::size_t n = g.between(1, 5), m = g.between(1, 6);
    const auto stride = [&](bool output) {
      const auto s = static_cast<std::ptrdiff_t>(g.between(output ? m : 0, 16));
      return g.next() & 1 ? -s : s;
    };
    const std::ptrdiff_t xs = stride(false), ys = g.below(3) ? stride(true) : xs;
    if (static_cast<std::size_t>(std::abs(ys)) < m) continue;
    const auto xo = static_cast<std::ptrdiff_t>(300 + g.below(30)), yo = static_cast<std::ptrdiff_t>(300 + g.below(60));
    std::set<std::ptrdiff_t> elements;
    const auto at = [](std::ptrdiff_t o, std::ptrdiff_t s, std::size_t i, std::size_t j) {
      return o + static_cast<std::ptrdiff_t>(i) * s + static_cast<std::ptrdiff_t>(j);
    };
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < m; ++j) elements.insert(at(xo, xs, i, j));
    bool meet = false;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < m; ++j) meet |= elements.count(at(yo, ys, i, j)) > 0;
    if (xo == yo && (xs == ys || n == 1)) meet = false;
    std::vector<float> memory(700, 1.0f);
    const simdnorm_const_matrix x{memory.data() + xo, n, m, xs, SIMDNORM_F32};
    const simdnorm_matrix y{memory.data() + yo, n, m, ys, SIMDNORM_F32};
    ASSERT_EQ(simdnorm_layer_norm(&x, &y, nullptr), meet ? SIMDNORM_OVERLAP : SIMDNORM_OK)
        << n << "x" << m << ", x at " << xo << " step " << xs << ", y at " << yo << " step " << ys;
    ++(meet ? overlaps : fine);
  }
  EXPECT_GT(overlaps, 500u);
  EXPECT_GT(fine, 500u);
}

TEST_P(arguments_test, overlap_of_other_arrays) {
  const auto overlap = [](const function& f, const char* what, auto spoil) {
    expect(f, SIMDNORM_OVERLAP, what, spoil);
  };
  // Into y, by one element at either end.
  const auto last_of_y = [](call& c) { return c.a.y + rows * cols - 1; };
  overlap(layer_norm_f, "gamma in y", [&](call& c) { c.layer.gamma.data = last_of_y(c); });
  overlap(layer_norm_f, "beta in y", [&](call& c) { c.layer.beta.data = c.a.y - cols + 1; });
  overlap(layer_norm_f, "mean in y", [&](call& c) { c.layer.mean.data = last_of_y(c); });
  overlap(layer_norm_f, "rstd in y", [&](call& c) { c.layer.rstd.data = c.a.y; });
  overlap(layer_norm_f, "mean in x", [&](call& c) { c.layer.mean.data = c.a.x + rows * cols - 1; });
  overlap(layer_norm_f, "rstd in x", [&](call& c) { c.layer.rstd.data = c.a.x + 5; });
  overlap(layer_norm_f, "mean is rstd", [&](call& c) { c.layer.mean.data = c.a.rstd + rows - 1; });
  overlap(layer_norm_f, "mean in gamma", [&](call& c) { c.layer.mean.data = c.a.gamma + cols - 1; });
  overlap(layer_norm_f, "rstd in beta", [&](call& c) { c.layer.rstd.data = c.a.beta; });
  overlap(rms_norm_f, "weight in y", [&](call& c) { c.rms.weight.data = c.a.y + 3; });
  overlap(rms_norm_f, "rstd in y", [&](call& c) { c.rms.rstd.data = c.a.y + 3; });
  overlap(l2_norm_f, "norm in y", [&](call& c) { c.l2.norm.data = c.a.y + 3; });
  overlap(l2_norm_f, "norm in x", [&](call& c) { c.l2.norm.data = c.a.x + 3; });
  overlap(rms_norm_f, "rstd in x", [&](call& c) { c.rms.rstd.data = c.a.x + 3; });
  overlap(rms_norm_f, "rstd in weight", [&](call& c) { c.rms.rstd.data = c.a.gamma + 9; });
  for (const function& f : {layer_norm_f, rms_norm_f, training_f, inference_f}) {
    expect(f, SIMDNORM_OK, "gamma is beta",
           [](call& c) { c.layer.beta = c.layer.gamma, c.batch.beta = c.batch.gamma; });
    expect(f, SIMDNORM_OK, "gamma is a row of x",
           [](call& c) { c.layer.gamma.data = c.batch.gamma.data = c.rms.weight.data = c.a.x; });
  }

  const std::pair<const char*, std::function<simdnorm_vector&(call&)>> outputs[] = {
      {"running_mean", [](call& c) -> simdnorm_vector& { return c.batch.running_mean; }},
      {"running_variance", [](call& c) -> simdnorm_vector& { return c.batch.running_variance; }},
      {"mean", [](call& c) -> simdnorm_vector& { return c.batch.mean; }},
      {"rstd", [](call& c) -> simdnorm_vector& { return c.batch.rstd; }}};
  for (const auto& [name, vector] : outputs) {
    overlap(training_f, name, [&, &v = vector](call& c) { v(c).data = last_of_y(c); });
    overlap(training_f, name, [&v = vector](call& c) { v(c).data = c.a.x + rows * cols - 1; });
    overlap(training_f, name, [&v = vector](call& c) { v(c).data = c.a.gamma + 1; });
    overlap(training_f, name, [&v = vector](call& c) { v(c).data = c.a.beta + cols - 1; });
    for (const auto& [other_name, other] : outputs)
      if (other_name != name)
        overlap(training_f, name,
                [&v = vector, &o = other](call& c) { v(c).data = static_cast<float*>(o(c).data) + 1; });
  }
  overlap(training_f, "gamma in y", [&](call& c) { c.batch.gamma.data = last_of_y(c); });
  overlap(inference_f, "mean in y", [&](call& c) { c.given_mean.data = last_of_y(c); });
  overlap(inference_f, "variance in y", [&](call& c) { c.given_variance.data = c.a.y; });
  overlap(inference_f, "beta in y", [&](call& c) { c.batch.beta.data = c.a.y + 50; });
  expect(inference_f, SIMDNORM_OK, "mean is variance", [](call& c) { c.given_mean = c.given_variance; });
  for (const function& f : transforms) {
    overlap(f, "first in y", [](call& c) { c.first = reinterpret_cast<double*>(c.a.y + 100); });
    overlap(f, "second in y", [](call& c) { c.second = reinterpret_cast<double*>(c.a.y + 118); });
    expect(f, SIMDNORM_OK, "parameters in the gap behind y",
           [](call& c) { c.first = reinterpret_cast<double*>(c.a.y + 120); });
  }
  for (const function& f : fits) {
    overlap(f, "first in x", [](call& c) { c.first = reinterpret_cast<double*>(c.a.x + 118); });
    overlap(f, "second in x", [](call& c) { c.second = reinterpret_cast<double*>(c.a.x); });
    overlap(f, "first is second", [](call& c) { c.first = c.second + cols - 1; });
  }
  overlap(moments_f, "out in x", [](call& c) { c.out = reinterpret_cast<simdnorm_moments*>(c.a.x + 118); });
  overlap(update_f, "x in the state", [](call& c) { c.x.data = c.a.state + 2048; });

  // Masks and lengths are inputs like others.
  for (const function& f : functions()) {
    simdnorm_padding p{};
    p.kind = SIMDNORM_PADDING_ROW_MASK;
    p.size = rows;
    overlap(f, "mask in an output", [&](call& c) {
      p.data = f.y                                            ? static_cast<void*>(last_of_y(c))
               : std::string(f.name) == "column_moments"      ? static_cast<void*>(c.a.out)
               : std::string(f.name) == "column_state_update" ? static_cast<void*>(c.a.state + 100)
                                                              : static_cast<void*>(c.a.first);
      c.pad(p);
    });
    if (!f.row_wise) continue;
    overlap(f, "mask in rstd", [&](call& c) {
      p.data = c.a.rstd;
      c.pad(p);
    });
    p.kind = SIMDNORM_PADDING_ROW_LENGTHS;
    p.index_type = SIMDNORM_I32;
    overlap(f, "lengths in y", [&](call& c) {
      for (std::size_t i = 0; i < rows; ++i) std::memcpy(c.a.y + i, &c.a.lengths32[0], 4);
      p.data = c.a.y;
      c.pad(p);
    });
  }
}

// The usual call is checked in a few sums, every other one argument by argument; a call with an executor
// (of one thread here, which is not asked) is never usual. Both must say the same of any call.
TEST_P(arguments_test, the_usual_check_agrees_with_the_thorough_one) {
  generator source(77);
  const auto random = [&] { return source.next(); };
  std::size_t good = 0, bad = 0;
  const simdnorm_executor alone{nullptr, 1, nullptr};
  std::vector<float> memory(8192);
  const auto pick = [&](auto... of) {
    const std::size_t all[] = {static_cast<std::size_t>(of)...};
    return all[random() % (sizeof all / sizeof all[0])];
  };
  for (std::size_t n = 0; n < 200000; ++n) {
    // Of twelve dice, on average one is loaded.
    const auto loaded = [&] { return random() % 12 == 0; };
    const std::size_t r = loaded() ? pick(0, 1, SIZE_MAX) : 1 + random() % 5;
    const std::size_t c = loaded() ? pick(0, 1, SIZE_MAX / 4) : 1 + random() % 20;
    const bool small = r < 6 && c < 21;
    const auto stride = [&] {
      return static_cast<std::ptrdiff_t>(loaded() ? pick(0, -c, c - 1, SIZE_MAX / 3) : c + random() % 3);
    };
    const auto place = [&](std::size_t from) {
      return reinterpret_cast<unsigned char*>(memory.data() + from + (loaded() ? random() % 1200 : 0)) +
             (loaded() ? 2 : 0);
    };
    simdnorm_const_matrix x{place(200), r, c, stride(), loaded() ? SIMDNORM_F16 : SIMDNORM_F32};
    simdnorm_matrix y{place(1200), loaded() ? r + 1 : r, loaded() ? c + 1 : c, stride(),
                      loaded() ? SIMDNORM_F64 : SIMDNORM_F32};
    if (random() % 4 == 0) {
      y.data = const_cast<void*>(x.data);
      if (!loaded()) y.row_stride = x.row_stride;
    }
    if (loaded()) x.data = nullptr;
    if (loaded()) y.data = nullptr;
    simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
    if (loaded()) o.epsilon = random() % 2 ? -1.0 : std::numeric_limits<double>::quiet_NaN();
    if (random() % 2) o.gamma = {place(2200), loaded() ? c + 1 : c, loaded() ? SIMDNORM_BF16 : SIMDNORM_F32};
    if (random() % 2) o.beta = {place(1900), loaded() ? c - 1 : c, SIMDNORM_F32};
    if (loaded()) o.gamma.size = random() % 2;
    if (loaded()) o.mean = {place(3300), r, SIMDNORM_F32};
    if (loaded()) o.padding.fill = 7;
    if (loaded()) o.padding.kind = 9;
    // Nothing is to be written here where a size is out of bounds: such a call must fail, or be empty.
    const simdnorm_status usual = simdnorm_layer_norm(&x, &y, &o);
    o.executor = &alone;
    const simdnorm_status thorough = simdnorm_layer_norm(&x, &y, &o);
    ASSERT_EQ(usual, thorough) << "call " << n << ": " << r << "x" << c;
    ASSERT_TRUE(small || usual != SIMDNORM_OK || r == 0 || c == 0 || x.data == nullptr) << "call " << n;
    ++(usual == SIMDNORM_OK ? good : bad);
  }
  EXPECT_GT(good, 10000u);
  EXPECT_GT(bad, 10000u);
}

TEST_P(arguments_test, scalars) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const function& f : {layer_norm_f, rms_norm_f, l2_norm_f, training_f, inference_f}) {
    for (const double epsilon : {-1e-5, -5e-324, nan, -nan, infinity, -infinity})
      expect(f, SIMDNORM_INVALID_EPSILON, "epsilon " + std::to_string(epsilon),
             [&](call& c) { c.layer.epsilon = c.rms.epsilon = c.l2.epsilon = c.batch.epsilon = epsilon; });
    for (const double epsilon : {0.0, -0.0, 5e-324, 1.0, 1e300})
      expect(f, SIMDNORM_OK, "epsilon " + std::to_string(epsilon),
             [&](call& c) { c.layer.epsilon = c.rms.epsilon = c.l2.epsilon = c.batch.epsilon = epsilon; });
  }
  for (const double momentum : {-0.1, -5e-324, 1.0000001, nan, infinity, -infinity})
    expect(training_f, SIMDNORM_INVALID_MOMENTUM, "momentum " + std::to_string(momentum),
           [&](call& c) { c.batch.momentum = momentum; });
  for (const double momentum : {0.0, 1.0, 0.5})
    expect(training_f, SIMDNORM_OK, "momentum " + std::to_string(momentum),
           [&](call& c) { c.batch.momentum = momentum; });
  for (const function& f : {transforms[2], transforms[3], fits[1], fused[1]}) {
    for (const auto& [low, high] :
         {std::pair{1.0, 1.0}, {1.0, 0.0}, {nan, 1.0}, {0.0, nan}, {-infinity, 0.0}, {0.0, infinity}})
      expect(f, SIMDNORM_INVALID_RANGE, "range " + std::to_string(low) + ".." + std::to_string(high),
             [&, l = low, h = high](call& c) {
               c.range.low = l;
               c.range.high = h;
             });
    expect(f, SIMDNORM_OK, "range", [](call& c) { c.range.low = -1; });
  }
}

TEST_P(arguments_test, vectors) {
  using vectors = std::vector<std::pair<const char*, std::function<void(call&, void*, std::size_t, simdnorm_type)>>>;
  const auto check = [](const function& f, const vectors& all, std::size_t n) {
    for (const auto& [name, set_vector] : all) {
      const std::string what = name;
      // A place of its own for each, so that nothing else is wrong.
      const auto set = [&set = set_vector](call& c, std::size_t bytes, std::size_t size, simdnorm_type type) {
        set(c, reinterpret_cast<char*>(c.a.y + 256) + bytes, size, type);
      };
      expect(f, SIMDNORM_OK, what, [&](call& c) { set(c, 0, n, SIMDNORM_F32); });
      expect(f, SIMDNORM_INVALID_SHAPE, what + " too short", [&](call& c) { set(c, 0, n - 1, SIMDNORM_F32); });
      expect(f, SIMDNORM_INVALID_SHAPE, what + " too long", [&](call& c) { set(c, 0, n + 1, SIMDNORM_F32); });
      expect(f, SIMDNORM_INVALID_SHAPE, what + " of no size", [&](call& c) { set(c, 0, 0, SIMDNORM_F32); });
      // A parameter may be of halves.
      const bool parameter = what == "gamma" || what == "beta" || what == "weight" || what.starts_with("given");
      for (const simdnorm_type type :
           std::initializer_list<simdnorm_type>{SIMDNORM_F64, SIMDNORM_F16, SIMDNORM_BF16, SIMDNORM_I8, 0, 77})
        if (!parameter || (type != SIMDNORM_F16 && type != SIMDNORM_BF16))
          expect(f, SIMDNORM_UNSUPPORTED_TYPE, what + " of another type", [&](call& c) { set(c, 0, n, type); });
      expect(f, SIMDNORM_MISALIGNED, what + " misaligned", [&](call& c) { set(c, 1, n, SIMDNORM_F32); });
      expect(f, SIMDNORM_NULL_POINTER, what + " with a size and no data",
             [&, &set_nothing = set_vector](call& c) { set_nothing(c, nullptr, n, SIMDNORM_F32); });
    }
  };
  const auto setter = [](auto member) {
    return [member](call& c, void* data, std::size_t size, simdnorm_type type) {
      auto& v = member(c);
      v.data = data;
      v.size = size;
      v.type = type;
    };
  };
  check(layer_norm_f,
        {{"gamma", setter([](call & c) -> auto& { return c.layer.gamma; })},
         {"beta", setter([](call & c) -> auto& { return c.layer.beta; })}},
        cols);
  check(layer_norm_f,
        {{"mean", setter([](call & c) -> auto& { return c.layer.mean; })},
         {"rstd", setter([](call & c) -> auto& { return c.layer.rstd; })}},
        rows);
  check(rms_norm_f, {{"weight", setter([](call & c) -> auto& { return c.rms.weight; })}}, cols);
  check(l2_norm_f, {{"norm", setter([](call & c) -> auto& { return c.l2.norm; })}}, rows);
  check(rms_norm_f, {{"rstd", setter([](call & c) -> auto& { return c.rms.rstd; })}}, rows);
  check(training_f,
        {{"gamma", setter([](call & c) -> auto& { return c.batch.gamma; })},
         {"beta", setter([](call & c) -> auto& { return c.batch.beta; })},
         {"running_mean", setter([](call & c) -> auto& { return c.batch.running_mean; })},
         {"running_variance", setter([](call & c) -> auto& { return c.batch.running_variance; })},
         {"mean", setter([](call & c) -> auto& { return c.batch.mean; })},
         {"rstd", setter([](call & c) -> auto& { return c.batch.rstd; })}},
        cols);
  check(inference_f,
        {{"gamma", setter([](call & c) -> auto& { return c.batch.gamma; })},
         {"beta", setter([](call & c) -> auto& { return c.batch.beta; })},
         {"given mean", setter([](call & c) -> auto& { return c.given_mean; })},
         {"given variance", setter([](call & c) -> auto& { return c.given_variance; })}},
        cols);

  check(moments_f, {{"weights", setter([](call & c) -> auto& { return c.column.weights; })}}, rows);
  check(update_f, {{"weights", setter([](call & c) -> auto& { return c.column.weights; })}}, rows);
  for (const function* f : {&fits[0], &fused[0]})
    check(*f, {{"weights", setter([](call & c) -> auto& { return c.standard.weights; })}}, rows);
  for (const function& f : {moments_f, update_f, fits[0], fused[0]}) {
    const auto weight = [&](simdnorm_status wanted, float w, std::size_t place) {
      expect(f, wanted, "weight " + std::to_string(w), [&](call& c) {
        c.a.rstd[place] = w;
        c.column.weights = c.standard.weights = {c.a.rstd, rows, SIMDNORM_F32};
      });
    };
    const float nan = float_of(canonical_nan), infinity = float_of(0x7f800000);
    for (const std::size_t place : {std::size_t{0}, rows - 1}) {
      for (const float w : {-1.0f, -0x1p-149f, nan, -nan, infinity, -infinity})
        weight(SIMDNORM_INVALID_WEIGHT, w, place);
      for (const float w : {0.0f, -0.0f, 0x1p-149f, std::numeric_limits<float>::max()}) weight(SIMDNORM_OK, w, place);
    }
  }
  expect(transforms[0], SIMDNORM_OK, "weights are a fit's", [](call& c) {
    c.a.rstd[0] = -1;
    c.standard.weights = {c.a.rstd, 3, SIMDNORM_F16};
  });
  expect(fused[0], SIMDNORM_OVERLAP, "weights in y", [](call& c) {
    c.standard.weights = {c.a.y + 2, rows, SIMDNORM_F32};
  });
  expect(fits[0], SIMDNORM_OVERLAP, "weights in mean", [](call& c) {
    c.standard.weights = {c.a.first, rows, SIMDNORM_F32};
  });
  expect(moments_f, SIMDNORM_OVERLAP, "weights in out", [](call& c) {
    c.column.weights = {c.a.out, rows, SIMDNORM_F32};
  });
  expect(update_f, SIMDNORM_OVERLAP, "weights in the state", [](call& c) {
    c.column.weights = {c.a.state, rows, SIMDNORM_F32};
  });
  // Of a fit and a transform in one call parameters may be missing, but not overlap.
  for (const function& f : fused) {
    expect(f, SIMDNORM_OK, "no first parameter", [](call& c) { c.first = nullptr; });
    expect(f, SIMDNORM_OK, "no parameters", [](call& c) { c.first = c.second = nullptr; });
    expect(f, SIMDNORM_MISALIGNED, "first parameter misaligned",
           [](call& c) { c.first = reinterpret_cast<double*>(reinterpret_cast<char*>(c.a.first) + 4); });
    expect(f, SIMDNORM_OVERLAP, "first parameter in x", [](call& c) { c.first = reinterpret_cast<double*>(c.a.x); });
    expect(f, SIMDNORM_OVERLAP, "first parameter in y", [](call& c) { c.first = reinterpret_cast<double*>(c.a.y); });
  }
  for (const function* f : {&fused[0], &fused[1]})
    expect(*f, SIMDNORM_OVERLAP, "one parameter in the other", [](call& c) { c.second = c.first + cols - 1; });
  expect(largest[0], SIMDNORM_NULL_POINTER, "no scale", [](call& c) { c.first = nullptr; });
  expect(largest[1], SIMDNORM_NULL_POINTER, "no scale", [](call& c) { c.second = nullptr; });
  expect(largest[2], SIMDNORM_NULL_POINTER, "no scale", [](call& c) { c.second = nullptr; });
  expect(largest[1], SIMDNORM_OVERLAP, "scale in y", [](call& c) { c.second = reinterpret_cast<double*>(c.a.y); });

  // Required ones.
  expect(inference_f, SIMDNORM_NULL_POINTER, "no mean", [](call& c) { c.given_mean = {}; });
  expect(inference_f, SIMDNORM_NULL_POINTER, "no variance", [](call& c) { c.given_variance = {}; });
  for (const function* group : {&transforms[0], &transforms[1], &transforms[2], &transforms[3], &fits[0], &fits[1]}) {
    expect(*group, SIMDNORM_NULL_POINTER, "no first parameter", [](call& c) { c.first = nullptr; });
    expect(*group, SIMDNORM_NULL_POINTER, "no second parameter", [](call& c) { c.second = nullptr; });
    expect(*group, SIMDNORM_MISALIGNED, "first parameter misaligned",
           [](call& c) { c.first = reinterpret_cast<double*>(reinterpret_cast<char*>(c.a.first) + 4); });
    expect(*group, SIMDNORM_MISALIGNED, "second parameter misaligned",
           [](call& c) { c.second = reinterpret_cast<double*>(reinterpret_cast<char*>(c.a.second) + 4); });
  }
  expect(moments_f, SIMDNORM_NULL_POINTER, "no out", [](call& c) { c.out = nullptr; });
  expect(moments_f, SIMDNORM_MISALIGNED, "out misaligned",
         [](call& c) { c.out = reinterpret_cast<simdnorm_moments*>(reinterpret_cast<char*>(c.a.out) + 4); });
}

TEST_P(arguments_test, padding) {
  for (const function& f : functions()) {
    const auto pad = [&](simdnorm_status wanted, const char* what, simdnorm_padding_kind kind, auto change) {
      expect(f, wanted, what, [&](call& c) {
        simdnorm_padding p{};
        p.kind = kind;
        p.index_type = SIMDNORM_I64;
        p.data = kind == SIMDNORM_PADDING_ROW_MASK ? static_cast<void*>(c.a.mask) : static_cast<void*>(c.a.lengths);
        p.size = kind == SIMDNORM_PADDING_SEQUENCE_LENGTHS ? 3 : rows;
        p.tokens = kind == SIMDNORM_PADDING_SEQUENCE_LENGTHS ? 4 : 0;
        change(c, p);
        c.pad(p);
      });
    };
    const auto nothing = [](call&, simdnorm_padding&) {};
    const simdnorm_padding_kind mask = SIMDNORM_PADDING_ROW_MASK, lengths = SIMDNORM_PADDING_ROW_LENGTHS,
                                sequences = SIMDNORM_PADDING_SEQUENCE_LENGTHS;
    pad(SIMDNORM_OK, "row mask", mask, nothing);
    pad(SIMDNORM_OK, "sequence lengths", sequences, nothing);
    pad(f.row_wise ? SIMDNORM_OK : SIMDNORM_INVALID_PADDING, "row lengths", lengths, nothing);
    for (const simdnorm_padding_kind kind : {8, -1, 1000}) pad(SIMDNORM_INVALID_PADDING, "unknown kind", kind, nothing);
    for (const simdnorm_padding_fill fill : {2, -1}) {
      pad(SIMDNORM_INVALID_PADDING, "unknown fill, mask", mask, [&](call&, simdnorm_padding& p) { p.fill = fill; });
      pad(SIMDNORM_INVALID_PADDING, "unknown fill, lengths", sequences,
          [&](call&, simdnorm_padding& p) { p.fill = fill; });
    }
    for (const std::size_t size : {std::size_t{0}, rows - 1, rows + 1}) {
      pad(SIMDNORM_INVALID_PADDING, "size of the mask", mask, [&](call&, simdnorm_padding& p) { p.size = size; });
      pad(SIMDNORM_INVALID_PADDING, "size of the row lengths", lengths,
          [&](call&, simdnorm_padding& p) { p.size = size; });
    }
    pad(SIMDNORM_INVALID_PADDING, "batch * tokens is not rows", sequences,
        [](call&, simdnorm_padding& p) { p.size = 4; });
    pad(SIMDNORM_INVALID_PADDING, "batch * tokens is not rows", sequences,
        [](call&, simdnorm_padding& p) { p.tokens = 0; });
    pad(SIMDNORM_INVALID_PADDING, "batch * tokens overflows to rows", sequences, [](call&, simdnorm_padding& p) {
      p.size = rows / 4;  // 3 * (2^64 / 3 rounded + 4) wraps around
      p.tokens = std::numeric_limits<std::size_t>::max() / 3 + 5;
    });
    pad(SIMDNORM_NULL_POINTER, "no mask", mask, [](call&, simdnorm_padding& p) { p.data = nullptr; });
    pad(SIMDNORM_NULL_POINTER, "no lengths", sequences, [](call&, simdnorm_padding& p) { p.data = nullptr; });
    pad(SIMDNORM_MISALIGNED, "lengths misaligned", sequences,
        [](call& c, simdnorm_padding& p) { p.data = reinterpret_cast<char*>(c.a.lengths) + 4; });
    pad(SIMDNORM_INVALID_PADDING, "unknown index type", sequences,
        [](call&, simdnorm_padding& p) { p.index_type = 2; });
    const auto length = [&](simdnorm_status wanted, const char* what, simdnorm_padding_kind kind, std::size_t place,
                            std::int64_t value) {
      pad(wanted, what, kind, [&](call& c, simdnorm_padding&) { c.a.lengths[place] = value; });
      if (value < INT32_MIN || value > INT32_MAX) return;
      pad(wanted, what, kind, [&](call& c, simdnorm_padding& p) {
        c.a.lengths32[place] = static_cast<std::int32_t>(value);
        p.data = c.a.lengths32;
        p.index_type = SIMDNORM_I32;
      });
    };
    for (const std::size_t place : {0, 1, 2}) {
      length(SIMDNORM_OK, "full sequence", sequences, place, 4);
      length(SIMDNORM_OK, "empty sequence", sequences, place, 0);
      for (const std::int64_t bad :
           {std::int64_t{-1}, std::int64_t{5}, INT64_MIN, INT64_MAX, (std::int64_t{1} << 32) + 1})
        length(SIMDNORM_INVALID_LENGTH, "length of a sequence", sequences, place, bad);
    }
    const simdnorm_padding_kind offsets = SIMDNORM_PADDING_OFFSETS, bits = SIMDNORM_PADDING_ROW_MASK_BITS;
    const auto packed = [&](simdnorm_status wanted, const char* what, std::int64_t a, std::int64_t b, std::int64_t c3) {
      pad(wanted, what, offsets, [&](call& c, simdnorm_padding& p) {
        c.a.lengths[0] = a;
        c.a.lengths[1] = b;
        c.a.lengths[2] = c3;
        p.size = 3;
      });
    };
    const auto all = static_cast<std::int64_t>(rows);
    packed(SIMDNORM_OK, "offsets", 0, 1, all);
    packed(SIMDNORM_OK, "an empty sequence", 2, 2, 3);
    packed(SIMDNORM_INVALID_LENGTH, "offsets that fall", 3, 2, all);
    packed(SIMDNORM_INVALID_LENGTH, "an offset below 0", -1, 2, all);
    packed(SIMDNORM_INVALID_LENGTH, "an offset beyond the rows", 0, 2, all + 1);
    pad(SIMDNORM_INVALID_PADDING, "no offsets", offsets, [](call&, simdnorm_padding& p) { p.size = 0; });
    pad(SIMDNORM_NULL_POINTER, "no offsets", offsets, [](call&, simdnorm_padding& p) { p.data = nullptr; });
    pad(SIMDNORM_OK, "bits", bits, [](call& c, simdnorm_padding& p) { p.data = c.a.mask; });
    pad(SIMDNORM_INVALID_PADDING, "number of bits", bits, [](call&, simdnorm_padding& p) { p.size = rows + 1; });
    pad(SIMDNORM_NULL_POINTER, "no bits", bits, [](call&, simdnorm_padding& p) { p.data = nullptr; });
    if (!f.row_wise) {
      for (const simdnorm_padding_kind elements : {SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
        const auto place = [](call& c, simdnorm_padding& p) {
          p.data = c.a.x + 256;
          p.size = rows * cols;
        };
        pad(SIMDNORM_OK, "elements", elements, place);
        for (const std::size_t size : {std::size_t{0}, rows, rows * cols - 1, rows * cols + 1})
          pad(SIMDNORM_INVALID_PADDING, "number of elements", elements, [&](call& c, simdnorm_padding& p) {
            place(c, p);
            p.size = size;
          });
        pad(SIMDNORM_NULL_POINTER, "no elements", elements, [&](call& c, simdnorm_padding& p) {
          place(c, p);
          p.data = nullptr;
        });
        if (!f.y) continue;
        pad(SIMDNORM_OVERLAP, "the last byte of the mask in y", elements, [&](call& c, simdnorm_padding& p) {
          place(c, p);
          const std::size_t bytes = elements == SIMDNORM_PADDING_ELEMENT_MASK ? rows * cols : rows * ((cols + 7) / 8);
          p.data = reinterpret_cast<unsigned char*>(c.a.y) + 1 - bytes;
        });
      }
    }
    if (!f.row_wise) continue;
    for (const std::size_t place : {std::size_t{0}, rows - 1}) {
      length(SIMDNORM_OK, "full row", lengths, place, cols);
      length(SIMDNORM_OK, "empty row", lengths, place, 0);
      for (const std::int64_t bad :
           {std::int64_t{-1}, static_cast<std::int64_t>(cols + 1), INT64_MIN, INT64_MAX, (std::int64_t{1} << 32) + 1})
        length(SIMDNORM_INVALID_LENGTH, "length of a row", lengths, place, bad);
    }
  }
}

// An option struct with a tail that this library does not know.
template <class Options>
struct longer {
  Options known;
  unsigned char tail[24];
};

template <class Options>
void check_struct_size(const char* name, const std::function<simdnorm_status(call&, const Options*)>& run,
                       Options (*defaults)(), std::size_t first_size = sizeof(Options)) {
  const auto status_of = [&](const Options* options) {
    const auto c = std::make_unique<call>();
    const auto before = std::make_unique<arrays>(c->a);
    const simdnorm_status s = run(*c, options);
    EXPECT_EQ(std::memcmp(before.get(), &c->a, sizeof(arrays)) == 0, s != SIMDNORM_OK) << name;
    return s;
  };
  EXPECT_EQ(status_of(nullptr), SIMDNORM_OK) << name << " without options";
  Options o = defaults();
  EXPECT_EQ(o.struct_size, sizeof o);
  EXPECT_EQ(status_of(&o), SIMDNORM_OK);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{8}, first_size / 2, first_size - 8, first_size - 1}) {
    o.struct_size = size;
    EXPECT_EQ(status_of(&o), SIMDNORM_INVALID_STRUCT) << name << ", struct_size " << size;
  }
  o.struct_size = first_size;  // of a caller who knows the first release alone
  EXPECT_EQ(status_of(&o), SIMDNORM_OK) << name << ", struct_size " << first_size;
  longer<Options> l{defaults(), {}};
  for (std::size_t more = 0; more <= sizeof l.tail; more += 8) {
    l.known.struct_size = sizeof o + more;
    EXPECT_EQ(status_of(&l.known), SIMDNORM_OK) << name << ", zero tail of " << more;
  }
  for (const std::size_t place : {0, 7, 23}) {
    l.tail[place] = 1;
    EXPECT_EQ(status_of(&l.known), SIMDNORM_INVALID_STRUCT) << name << ", tail set at " << place;
    l.known.struct_size = sizeof o + place;  // what lies behind struct_size is not the struct's
    EXPECT_EQ(status_of(&l.known), SIMDNORM_OK) << name << ", set behind the tail";
    l.known.struct_size = sizeof l;
    l.tail[place] = 0;
  }
}

TEST_P(arguments_test, struct_size) {
  check_struct_size<simdnorm_layer_norm_options>(
      "layer_norm", [](call& c, const auto* o) { return simdnorm_layer_norm(c.xp, c.yp, o); },
      &simdnorm_layer_norm_defaults, offsetof(simdnorm_layer_norm_options, activation));
  check_struct_size<simdnorm_rms_norm_options>(
      "rms_norm", [](call& c, const auto* o) { return simdnorm_rms_norm(c.xp, c.yp, o); }, &simdnorm_rms_norm_defaults,
      offsetof(simdnorm_rms_norm_options, activation));
  check_struct_size<simdnorm_l2_norm_options>(
      "l2_norm", [](call& c, const auto* o) { return simdnorm_l2_norm(c.xp, c.yp, o); }, &simdnorm_l2_norm_defaults);
  check_struct_size<simdnorm_batch_norm_options>(
      "batch_norm_training", [](call& c, const auto* o) { return simdnorm_batch_norm_training(c.xp, c.yp, o); },
      &simdnorm_batch_norm_defaults, offsetof(simdnorm_batch_norm_options, activation));
  check_struct_size<simdnorm_batch_norm_options>(
      "batch_norm_inference",
      [](call& c, const auto* o) {
        return simdnorm_batch_norm_inference(c.xp, c.yp, c.given_mean, c.given_variance, o);
      },
      &simdnorm_batch_norm_defaults, offsetof(simdnorm_batch_norm_options, activation));
  check_struct_size<simdnorm_column_options>(
      "column_moments", [](call& c, const auto* o) { return simdnorm_column_moments(c.xp, c.out, o); },
      &simdnorm_column_defaults);
  check_struct_size<simdnorm_column_options>(
      "column_state_update", [](call& c, const auto* o) { return simdnorm_column_state_update(c.state, c.xp, o); },
      &simdnorm_column_defaults);
  check_struct_size<simdnorm_standardize_options>(
      "standardize_fit", [](call& c, const auto* o) { return simdnorm_standardize_fit(c.xp, c.first, c.second, o); },
      &simdnorm_standardize_defaults);
  check_struct_size<simdnorm_standardize_options>(
      "standardize_transform",
      [](call& c, const auto* o) { return simdnorm_standardize_transform(c.xp, c.yp, c.first, c.second, o); },
      &simdnorm_standardize_defaults);
  check_struct_size<simdnorm_standardize_options>(
      "standardize_inverse",
      [](call& c, const auto* o) { return simdnorm_standardize_inverse(c.xp, c.yp, c.first, c.second, o); },
      &simdnorm_standardize_defaults);
  check_struct_size<simdnorm_standardize_options>(
      "standardize", [](call& c, const auto* o) { return simdnorm_standardize(c.xp, c.yp, c.first, c.second, o); },
      &simdnorm_standardize_defaults);
  check_struct_size<simdnorm_min_max_options>(
      "min_max", [](call& c, const auto* o) { return simdnorm_min_max(c.xp, c.yp, c.first, c.second, o); },
      &simdnorm_min_max_defaults);
  check_struct_size<simdnorm_max_abs_options>(
      "max_abs_fit", [](call& c, const auto* o) { return simdnorm_max_abs_fit(c.xp, c.first, o); },
      &simdnorm_max_abs_defaults);
  check_struct_size<simdnorm_max_abs_options>(
      "max_abs_transform", [](call& c, const auto* o) { return simdnorm_max_abs_transform(c.xp, c.yp, c.second, o); },
      &simdnorm_max_abs_defaults);
  check_struct_size<simdnorm_max_abs_options>(
      "max_abs_inverse", [](call& c, const auto* o) { return simdnorm_max_abs_inverse(c.xp, c.yp, c.second, o); },
      &simdnorm_max_abs_defaults);
  check_struct_size<simdnorm_max_abs_options>(
      "max_abs", [](call& c, const auto* o) { return simdnorm_max_abs(c.xp, c.yp, c.first, o); },
      &simdnorm_max_abs_defaults);
  check_struct_size<simdnorm_min_max_options>(
      "min_max_fit", [](call& c, const auto* o) { return simdnorm_min_max_fit(c.xp, c.first, c.second, o); },
      &simdnorm_min_max_defaults);
  check_struct_size<simdnorm_min_max_options>(
      "min_max_transform",
      [](call& c, const auto* o) { return simdnorm_min_max_transform(c.xp, c.yp, c.first, c.second, o); },
      &simdnorm_min_max_defaults);
  check_struct_size<simdnorm_min_max_options>(
      "min_max_inverse",
      [](call& c, const auto* o) { return simdnorm_min_max_inverse(c.xp, c.yp, c.first, c.second, o); },
      &simdnorm_min_max_defaults);
}

TEST_P(arguments_test, parameters_from_moments) {
  simdnorm_moments m[4] = {{1, 2, 3, 4, 5, 1}, {}, {}, {}};
  double a[4] = {9, 9, 9, 9}, b[4] = {9, 9, 9, 9};
  simdnorm_standardize_options o = simdnorm_standardize_defaults();
  const std::size_t huge = std::numeric_limits<std::size_t>::max() / 8;
  EXPECT_EQ(simdnorm_standardize_parameters(nullptr, 4, a, b, &o), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_standardize_parameters(m, 4, nullptr, b, &o), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_standardize_parameters(m, 4, a, nullptr, &o), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_standardize_parameters(m, huge, a, b, &o), SIMDNORM_INVALID_SHAPE);
  EXPECT_EQ(simdnorm_standardize_parameters(m, 4, a, a + 3, &o), SIMDNORM_OVERLAP);
  EXPECT_EQ(simdnorm_standardize_parameters(m, 4, &m[3].max, b, &o), SIMDNORM_OVERLAP);
  o.struct_size = 7;
  EXPECT_EQ(simdnorm_standardize_parameters(m, 4, a, b, &o), SIMDNORM_INVALID_STRUCT);
  EXPECT_EQ(simdnorm_min_max_parameters(nullptr, 4, a, b), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_min_max_parameters(m, 4, a, a), SIMDNORM_OVERLAP);
  EXPECT_EQ(simdnorm_max_abs_parameters(m, 4, nullptr), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_max_abs_parameters(m, 4, &m[0].mean), SIMDNORM_OVERLAP);
  for (const double* v : {a, b})
    for (int i = 0; i < 4; ++i) EXPECT_EQ(v[i], 9.0);
  EXPECT_EQ(simdnorm_standardize_parameters(m, 4, a, b, nullptr), SIMDNORM_OK);
  EXPECT_EQ(simdnorm_min_max_parameters(nullptr, 0, nullptr, nullptr), SIMDNORM_OK);
}

// Null options are the documented defaults.
TEST_P(arguments_test, defaults) {
  const std::vector<float> x = normals(2, 60, 1);
  std::vector<float> a(60), b(60);
  const simdnorm_const_matrix cx{x.data(), 6, 10, 10, SIMDNORM_F32};
  const simdnorm_matrix ca{a.data(), 6, 10, 10, SIMDNORM_F32}, cb{b.data(), 6, 10, 10, SIMDNORM_F32};
  simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
  EXPECT_EQ(o.epsilon, 1e-5);
  EXPECT_EQ(simdnorm_rms_norm_defaults().epsilon, 1e-5);
  EXPECT_EQ(simdnorm_l2_norm_defaults().epsilon, 1e-12);
  EXPECT_EQ(simdnorm_batch_norm_defaults().epsilon, 1e-5);
  EXPECT_EQ(simdnorm_batch_norm_defaults().momentum, 0.1);
  EXPECT_EQ(simdnorm_min_max_defaults().low, 0.0);
  EXPECT_EQ(simdnorm_min_max_defaults().high, 1.0);
  ASSERT_EQ(simdnorm_layer_norm(&cx, &ca, nullptr), SIMDNORM_OK);
  ASSERT_EQ(simdnorm_layer_norm(&cx, &cb, &o), SIMDNORM_OK);
  EXPECT_TRUE(same_bits(a, b));
  ASSERT_EQ(layer_norm({x.data(), 6, 10}, {b.data(), 6, 10}), status::ok);
  EXPECT_TRUE(same_bits(a, b));
}

TEST_P(arguments_test, executors) {
  for (const function& f : functions()) {
    const simdnorm_executor no_run{nullptr, 4, nullptr};
    expect(f, SIMDNORM_INVALID_EXECUTOR, "an executor that cannot run", [&](call& c) { c.execute(&no_run); });
    for (const std::size_t threads : {0, 1}) {
      const simdnorm_executor one{nullptr, threads, nullptr};
      expect(f, SIMDNORM_OK, "an executor of one thread needs no run", [&](call& c) { c.execute(&one); });
    }
  }
  // One that gives up is reported, for work that is large enough to be given to it.
  failing_executor failing(4);
  std::size_t failures = 0;
  for (const operation op : all_operations()) {
    const problem p = make_problem(1, is_row_wise(op) ? 2000 : 20000, 64, flavour::normal, is_row_wise(op));
    setup s;
    s.executor = &failing.c;
    const std::size_t before = failing.runs;
    const result r = run(op, p, s);
    EXPECT_EQ(r.status, failing.runs > before ? SIMDNORM_EXECUTOR_FAILED : SIMDNORM_OK) << name_of(op);
    EXPECT_TRUE(r.intact);
    failures += r.status == SIMDNORM_EXECUTOR_FAILED;
  }
  EXPECT_GT(failures, 5u);
}

TEST_P(arguments_test, states) {
  EXPECT_EQ(simdnorm_column_state_size(4, SIMDNORM_F64), 0u);
  EXPECT_EQ(simdnorm_column_state_size(4, 0), 0u);
  EXPECT_EQ(simdnorm_column_state_size(std::numeric_limits<std::size_t>::max() / 2, SIMDNORM_F32), 0u);
  EXPECT_GT(simdnorm_column_state_size(0, SIMDNORM_F32), 0u);

  const auto c = std::make_unique<call>();
  const auto other = std::make_unique<call>();
  const std::size_t size = simdnorm_column_state_size(cols, SIMDNORM_F32);
  ASSERT_LE(size, sizeof c->a.state);
  const auto untouched = [&](simdnorm_status wanted, const char* what, auto run) {
    const auto before = std::make_unique<arrays>(c->a), other_before = std::make_unique<arrays>(other->a);
    EXPECT_EQ(run(), wanted) << what;
    EXPECT_EQ(std::memcmp(before.get(), &c->a, sizeof(arrays)), 0) << what;
    EXPECT_EQ(std::memcmp(other_before.get(), &other->a, sizeof(arrays)), 0) << what;
  };
  simdnorm_column_state* out = nullptr;
  unsigned char* memory = c->a.state;
  untouched(SIMDNORM_NULL_POINTER, "init of null",
            [&] { return simdnorm_column_state_init(nullptr, size, cols, SIMDNORM_F32, &out); });
  untouched(SIMDNORM_NULL_POINTER, "init to null",
            [&] { return simdnorm_column_state_init(memory, size, cols, SIMDNORM_F32, nullptr); });
  untouched(SIMDNORM_UNSUPPORTED_TYPE, "init of f64",
            [&] { return simdnorm_column_state_init(memory, size, cols, SIMDNORM_F64, &out); });
  untouched(SIMDNORM_INVALID_SHAPE, "init of too little",
            [&] { return simdnorm_column_state_init(memory, size - 1, cols, SIMDNORM_F32, &out); });
  untouched(SIMDNORM_INVALID_SHAPE, "init of too many columns", [&] {
    return simdnorm_column_state_init(memory, size, std::numeric_limits<std::size_t>::max() / 2, SIMDNORM_F32, &out);
  });
  untouched(SIMDNORM_MISALIGNED, "init misaligned",
            [&] { return simdnorm_column_state_init(memory + 8, size + 64, cols, SIMDNORM_F32, &out); });
  EXPECT_EQ(out, nullptr);

  auto* garbage = reinterpret_cast<simdnorm_column_state*>(c->a.x);
  untouched(SIMDNORM_NULL_POINTER, "update of null",
            [&] { return simdnorm_column_state_update(nullptr, &c->x, nullptr); });
  untouched(SIMDNORM_INVALID_STATE, "update of garbage",
            [&] { return simdnorm_column_state_update(garbage, &other->x, nullptr); });
  untouched(SIMDNORM_INVALID_SHAPE, "update with other columns", [&] {
    simdnorm_const_matrix x = c->x;
    x.cols = cols - 1;
    return simdnorm_column_state_update(c->state, &x, nullptr);
  });
  untouched(SIMDNORM_NULL_POINTER, "merge into null", [&] { return simdnorm_column_state_merge(nullptr, c->state); });
  untouched(SIMDNORM_NULL_POINTER, "merge of null", [&] { return simdnorm_column_state_merge(c->state, nullptr); });
  untouched(SIMDNORM_INVALID_STATE, "merge into garbage",
            [&] { return simdnorm_column_state_merge(garbage, c->state); });
  untouched(SIMDNORM_INVALID_STATE, "merge of garbage", [&] { return simdnorm_column_state_merge(c->state, garbage); });
  untouched(SIMDNORM_OVERLAP, "merge with itself", [&] { return simdnorm_column_state_merge(c->state, c->state); });
  simdnorm_column_state* narrow = nullptr;
  ASSERT_EQ(simdnorm_column_state_init(other->a.state, sizeof other->a.state, cols - 1, SIMDNORM_F32, &narrow),
            SIMDNORM_OK);
  untouched(SIMDNORM_INVALID_STATE, "merge with other columns",
            [&] { return simdnorm_column_state_merge(c->state, narrow); });
  unsigned char* bytes = other->a.state;
  const std::size_t enough = simdnorm_column_state_serialized_size(c->state);
  EXPECT_EQ(simdnorm_column_state_serialized_size(nullptr), 0u);
  EXPECT_EQ(simdnorm_column_state_serialized_size(garbage), 0u);
  untouched(SIMDNORM_NULL_POINTER, "serialize null",
            [&] { return simdnorm_column_state_serialize(nullptr, bytes, enough); });
  untouched(SIMDNORM_NULL_POINTER, "serialize to null",
            [&] { return simdnorm_column_state_serialize(c->state, nullptr, enough); });
  untouched(SIMDNORM_INVALID_STATE, "serialize garbage",
            [&] { return simdnorm_column_state_serialize(garbage, bytes, enough); });
  untouched(SIMDNORM_INVALID_SHAPE, "serialize to too little",
            [&] { return simdnorm_column_state_serialize(c->state, bytes, enough - 1); });
  untouched(SIMDNORM_OVERLAP, "serialize into the state",
            [&] { return simdnorm_column_state_serialize(c->state, memory + 64, enough); });
  ASSERT_EQ(simdnorm_column_state_serialize(c->state, bytes, enough), SIMDNORM_OK);
  EXPECT_EQ(simdnorm_column_state_serialized_cols(bytes, enough), cols);
  EXPECT_EQ(simdnorm_column_state_serialized_cols(bytes, enough - 1), 0u);
  EXPECT_EQ(simdnorm_column_state_serialized_cols(c->a.x, enough), 0u);
  const auto read = [&](simdnorm_status wanted, const char* what, const void* in, std::size_t in_bytes, void* to,
                        std::size_t to_bytes, simdnorm_column_state** to_state) {
    untouched(wanted, what, [&] { return simdnorm_column_state_deserialize(in, in_bytes, to, to_bytes, to_state); });
  };
  read(SIMDNORM_NULL_POINTER, "deserialize null", nullptr, enough, memory, size, &out);
  read(SIMDNORM_NULL_POINTER, "deserialize to null", bytes, enough, nullptr, size, &out);
  read(SIMDNORM_NULL_POINTER, "deserialize without out", bytes, enough, memory, size, nullptr);
  read(SIMDNORM_INVALID_STATE, "deserialize less", bytes, enough - 1, memory, size, &out);
  read(SIMDNORM_INVALID_STATE, "deserialize more", bytes, enough + 1, memory, size, &out);
  read(SIMDNORM_INVALID_STATE, "deserialize garbage", c->a.x, enough, memory, size, &out);
  read(SIMDNORM_INVALID_SHAPE, "deserialize to too little", bytes, enough, memory, size - 1, &out);
  read(SIMDNORM_MISALIGNED, "deserialize misaligned", bytes, enough, memory + 8, size, &out);
  read(SIMDNORM_OVERLAP, "deserialize in place", bytes, enough, bytes, sizeof other->a.state, &out);
  EXPECT_EQ(out, nullptr);
  ASSERT_EQ(simdnorm_column_state_init(other->a.state, sizeof other->a.state, cols - 1, SIMDNORM_F32, &narrow),
            SIMDNORM_OK);
  untouched(SIMDNORM_NULL_POINTER, "result of null", [&] { return simdnorm_column_state_result(nullptr, c->a.out); });
  untouched(SIMDNORM_NULL_POINTER, "result to null", [&] { return simdnorm_column_state_result(c->state, nullptr); });
  untouched(SIMDNORM_INVALID_STATE, "result of garbage",
            [&] { return simdnorm_column_state_result(garbage, c->a.out); });
  untouched(SIMDNORM_OVERLAP, "result into the state",
            [&] { return simdnorm_column_state_result(c->state, reinterpret_cast<simdnorm_moments*>(memory + 128)); });
}

TEST_P(arguments_test, the_c_plus_plus_front_checks_spans) {
  std::vector<float> x(20, 1), y(20);
  std::vector<double> five(5), four(4);
  std::vector<moments> m(4);
  const matrix_view<const float> v{x.data(), 4, 5};
  EXPECT_EQ(column_moments(v, m), status::invalid_shape);
  EXPECT_EQ(standardize_fit(v, five, four), status::invalid_shape);
  EXPECT_EQ(standardize_fit(v, four, five), status::invalid_shape);
  EXPECT_EQ(standardize_transform(v, {y.data(), 4, 5}, five, four), status::invalid_shape);
  EXPECT_EQ(standardize_inverse(v, {y.data(), 4, 5}, four, five), status::invalid_shape);
  EXPECT_EQ(min_max_fit(v, four, five), status::invalid_shape);
  EXPECT_EQ(min_max_transform(v, {y.data(), 4, 5}, five, four), status::invalid_shape);
  EXPECT_EQ(min_max_inverse(v, {y.data(), 4, 5}, four, five), status::invalid_shape);
  EXPECT_EQ(column_accumulator(5).result(m), status::invalid_shape);
  EXPECT_EQ(y, std::vector<float>(20, 0.0f));
  // No exception crosses the front: what cannot be had is empty.
  column_accumulator none(std::numeric_limits<std::size_t>::max() / 2);
  EXPECT_FALSE(none);
  EXPECT_EQ(none.update(v), status::null_pointer);
  EXPECT_EQ(none.result(m), status::null_pointer);
  EXPECT_EQ(none.merge(none), status::null_pointer);
  EXPECT_FALSE(column_accumulator(none));
  column_accumulator some(5);
  EXPECT_TRUE(some);
  EXPECT_EQ(some.merge(none), status::null_pointer);
  const column_accumulator moved = std::move(some);
  EXPECT_TRUE(moved);
  EXPECT_FALSE(some);  // NOLINT(bugprone-use-after-move): that it is empty is the point
}

// Each has a sentence of its own, and something returns it (UNKNOWN_ISA and ISA_UNAVAILABLE: cpu_test).
TEST(status_test, every_status_has_its_sentence) {
  std::set<std::string> sentences;
  for (simdnorm_status s = SIMDNORM_OK; s <= SIMDNORM_INVALID_OPTION; ++s) {
    ASSERT_NE(simdnorm_status_string(s), nullptr);
    const std::string sentence = simdnorm_status_string(s);
    EXPECT_GT(sentence.size(), 1u);
    EXPECT_TRUE(sentences.insert(sentence).second) << s << ": " << sentence;
  }
  for (const simdnorm_status s : {-1, SIMDNORM_INVALID_OPTION + 1, 1000}) {
    ASSERT_NE(simdnorm_status_string(s), nullptr);
    EXPECT_EQ(sentences.count(simdnorm_status_string(s)), 0u) << s;
  }
  const std::string version = std::to_string(SIMDNORM_VERSION_MAJOR) + "." + std::to_string(SIMDNORM_VERSION_MINOR) +
                              "." + std::to_string(SIMDNORM_VERSION_PATCH);
  EXPECT_EQ(simdnorm_version(), version);
}

}  // namespace
}  // namespace simdnorm::test

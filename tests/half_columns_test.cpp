// SPDX-License-Identifier: Apache-2.0
//
// Column norms of bf16 and f16: statistics are those of the same values in f32, to the bit, and an output is f32's,
// rounded once to nearest even. x, y and a residual are each of a type of their own.

#include <gtest/gtest.h>

#include <cstring>

#include "support/executors.hpp"
#include "support/half.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

class half_columns_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(half_columns_test);

constexpr simdnorm_type f32 = SIMDNORM_F32, bf16 = SIMDNORM_BF16, f16 = SIMDNORM_F16;
const element_types mixtures[] = {{bf16, bf16, bf16, bf16}, {f16, f16, f16, f16},  {f32, bf16, f16, f16},
                                  {bf16, f32, f32, f32},    {f16, f32, bf16, f32}, {bf16, f16, f32, f16},
                                  {f32, f16, bf16, bf16},   {f32, f32, bf16, f16}};

std::vector<operation> column_operations() {
  std::vector<operation> all;
  for (const operation op : all_operations())
    if (!is_row_wise(op)) all.push_back(op);
  return all;
}

// Kind `kind` of eight, the first of which is none.
mask draw_mask(std::size_t kind, std::size_t rows, std::size_t cols, std::uint64_t seed) {
  generator g(seed);
  mask m;
  m.fill = seed & 1 ? SIMDNORM_FILL_KEEP : SIMDNORM_FILL_ZERO;
  m.index_type = seed & 2 ? SIMDNORM_I32 : SIMDNORM_I64;
  m.cols = cols;
  const std::size_t odds = g.between(2, 30);
  switch (kind) {
    case 1:
    case 2:
      m.kind = kind == 1 ? SIMDNORM_PADDING_ROW_MASK : SIMDNORM_PADDING_ROW_MASK_BITS;
      for (std::size_t i = 0; i < rows; ++i) m.rows.push_back(g.below(odds) != 0);
      break;
    case 3:
    case 4:
      m.kind = kind == 3 ? SIMDNORM_PADDING_ELEMENT_MASK : SIMDNORM_PADDING_ELEMENT_MASK_BITS;
      for (std::size_t k = 0; k < rows * cols; ++k) m.elements.push_back(k % cols % 7 != 5 && g.below(odds) != 0);
      break;
    case 5:
      m.kind = SIMDNORM_PADDING_SEQUENCE_LENGTHS;
      m.tokens = rows % 5 == 0 ? 5 : rows;
      for (std::size_t i = 0; i < rows / m.tokens; ++i)
        m.lengths.push_back(static_cast<std::int64_t>(g.between(0, m.tokens)));
      break;
    case 6:
      m.kind = SIMDNORM_PADDING_OFFSETS;
      m.lengths = {static_cast<std::int64_t>(rows / 4), static_cast<std::int64_t>(rows / 3),
                   static_cast<std::int64_t>(rows - rows / 5)};
      break;
    case 7:
      m.kind = SIMDNORM_PADDING_ROW_MASK;
      m.rows.assign(rows, 0);  // nothing is real
      break;
    default:
      break;
  }
  return m;
}

std::string describe(operation op, const problem& p, const setup& s) {
  return std::string(name_of(op)) + " " + std::to_string(p.rows) + "x" + std::to_string(p.cols) + ", types " +
         std::to_string(s.types.x) + " " + std::to_string(s.types.y) + " " + std::to_string(s.types.residual) + " " +
         std::to_string(s.types.parameters) + ", padding " + std::to_string(s.pad.kind) +
         (s.pad.fill == SIMDNORM_FILL_KEEP ? ", kept" : "");
}

struct shape {
  std::size_t rows, cols;
};
// Both sides of a register, a block of rows, a tile of columns, a strip and a span.
const shape shapes[] = {{1, 1},    {5, 1},   {70, 3},   {64, 17}, {200, 40}, {330, 5},  {40, 300},
                        {129, 64}, {65, 65}, {33, 129}, {3, 513}, {4200, 9}, {9000, 2}, {80, 256}};

// Of every `step` samples one.
template <class Work>
void for_samples(std::uint64_t step, Work work) {
  std::uint64_t seed = 0;
  for (const operation op : column_operations())
    for (const shape& sh : shapes)
      for (const element_types& types : mixtures) {
        if (++seed % (step * step_of_cases()) != 0) continue;
        const auto f = static_cast<flavour>(seed % flavour_count);
        const problem p = make_problem(seed, sh.rows, sh.cols, f, false);
        setup s;
        s.types = types;
        for (const std::size_t kind : {seed % 8, (seed + 3) % 8}) {
          s.pad = draw_mask(kind, sh.rows, sh.cols, seed / 3);
          work(op, p, s);
        }
      }
}

TEST_P(half_columns_test, the_rounded_float) {
  for_samples(1, [&](operation op, const problem& p, setup s) {
    const result expected = widened(op, p, s);
    ASSERT_EQ(expected.status, SIMDNORM_OK) << describe(op, p, s);
    ASSERT_EQ(difference(run(op, p, s), expected), "") << describe(op, p, s);
    if (!has_y(op)) return;
    s.x_pitch = static_cast<std::ptrdiff_t>(p.cols) + 5;
    s.y_pitch = static_cast<std::ptrdiff_t>(p.cols) + 2;
    simdnorm_stream_border_set(1);
    const result r = run(op, p, s);
    ASSERT_TRUE(r.intact) << describe(op, p, s);
    ASSERT_EQ(difference(r, expected), "") << describe(op, p, s) << ", past the caches";
    s.x_pitch = s.y_pitch = static_cast<std::ptrdiff_t>(p.cols + 63) / 64 * 64;  // whole lines
    ASSERT_EQ(difference(run(op, p, s), expected), "") << describe(op, p, s) << ", past the caches";
    simdnorm_stream_border_set(0);
    if (s.types.x != s.types.y) return;
    s.in_place = true;
    ASSERT_EQ(difference(run(op, p, s), widened(op, p, s)), "") << describe(op, p, s) << ", in place";
  });
}

TEST_P(half_columns_test, not_a_byte_outside) {
  for (const auto side : {guarded_arena::at_start, guarded_arena::at_end})
    for (const std::size_t shift : {0, 3}) {
      guarded_arena memory(side, shift, std::size_t{1} << 19);
      for_samples(5, [&](operation op, const problem& p, setup s) {
        if (p.rows * p.cols > 12000) return;
        s.x_pitch = p.cols % 2 ? static_cast<std::ptrdiff_t>(p.cols) + 1 : 0;
        const result r = run(op, p, s, memory);
        ASSERT_TRUE(r.intact) << describe(op, p, s);
        ASSERT_EQ(difference(r, widened(op, p, s)), "") << describe(op, p, s);
      });
    }
}

TEST_P(half_columns_test, what_the_padding_holds_does_not_matter) {
  for_samples(5, [&](operation op, problem p, setup s) {
    if (s.pad.kind == SIMDNORM_PADDING_NONE) return;
    const result expected = run(op, p, s);
    for (const float other : {__builtin_nanf(""), 3e38f, 1.0f}) {
      for (std::size_t i = 0; i < p.rows; ++i)
        for (std::size_t j = 0; j < p.cols; ++j)
          if (!s.pad.real(i, j)) p.at(i, j) = other;
      ASSERT_EQ(difference(run(op, p, s), expected), "") << describe(op, p, s);
    }
  });
}

TEST_P(half_columns_test, threads_give_the_same_bits) {
  std::uint64_t seed = 0;
  case_turns turns;
  for (const operation op : column_operations())
    for (const shape& sh : {shape{9000, 12}, shape{300, 300}})
      for (std::size_t kind = seed % 2; kind < 6; kind += 2) {
        seed += 3;
        if (turns.skips()) continue;
        const problem p = make_problem(seed, sh.rows, sh.cols, flavour::heavy, false);
        setup s;
        s.types = mixtures[seed % std::size(mixtures)];
        s.pad = draw_mask(kind, sh.rows, sh.cols, seed);
        const result expected = widened(op, p, s);
        shuffle_executor threads(3);
        s.executor = &threads.c;
        ASSERT_EQ(difference(run(op, p, s), expected), "") << describe(op, p, s);
      }
}

// Whole outputs above f16's greatest, infinities and NaN of every sign, subnormals, halves' ties.
TEST_P(half_columns_test, hostile_values) {
  for (const element_types& types : mixtures) {
    problem p = make_problem(3, 90, 40, flavour::normal, false);
    generator g(1);
    const float values[] = {__builtin_inff(),
                            -__builtin_inff(),
                            __builtin_nanf(""),
                            65504.0f,
                            -65520.0f,
                            6e-8f,
                            -1e-40f,
                            3.3e38f,
                            0.0f,
                            -0.0f,
                            1e-8f,
                            2.5f};
    for (std::size_t i = 0; i < p.rows; ++i)
      for (std::size_t j = 0; j < p.cols; ++j) {
        const std::size_t rare = g.below(20);
        if (j % 4 == 1 && rare == 0) p.at(i, j) = values[g.below(std::size(values))];
        if (j % 4 == 2) p.at(i, j) = values[3 + j % 9];
        if (j % 4 == 3) p.at(i, j) *= 1e5f;
      }
    for (std::size_t j = 0; j < p.cols; j += 5) {
      p.gamma[j] = 1e6f;
      p.scale[j] = 1e-7;
    }
    setup s;
    s.types = types;
    for (const operation op : column_operations())
      ASSERT_EQ(difference(run(op, p, s), widened(op, p, s)), "") << describe(op, p, s);
  }
}

// A state that is fed by pieces of several types is, byte by byte, the one that f32 of the same values gives.
TEST_P(half_columns_test, streaming_by_pieces) {
  for (const std::size_t cols : {3, 70, 300}) {
    const std::size_t size = simdnorm_column_state_size(cols, SIMDNORM_F32);
    offset_arena memory;
    unsigned char* bytes[2] = {memory.take<unsigned char>(size, 64), memory.take<unsigned char>(size, 64)};
    simdnorm_column_state* states[2];
    for (int k = 0; k < 2; ++k)
      ASSERT_EQ(simdnorm_column_state_init(bytes[k], size, cols, SIMDNORM_F32, &states[k]), SIMDNORM_OK);
    generator g(cols);
    for (int piece = 0; piece < 30; ++piece) {
      const std::size_t rows = g.between(0, piece % 5 == 0 ? 700 : 70);
      const half_format& f = half_formats[piece % 2];
      std::vector<std::uint16_t> halves(rows * cols);
      std::vector<float> floats(rows * cols);
      for (std::size_t i = 0; i < halves.size(); ++i) {
        halves[i] = f.rounded(100 + g.rough_normal());
        floats[i] = static_cast<float>(f.value(halves[i]));
      }
      const auto stride = static_cast<std::ptrdiff_t>(cols);
      const simdnorm_const_matrix x[2] = {{halves.data(), rows, cols, stride, f.type},
                                          {floats.data(), rows, cols, stride, SIMDNORM_F32}};
      for (int k = 0; k < 2; ++k)
        ASSERT_EQ(simdnorm_column_state_update(states[k], &x[piece % 3 ? k : 1], nullptr), SIMDNORM_OK);
      std::vector<simdnorm_moments> moments[2] = {std::vector<simdnorm_moments>(cols),
                                                  std::vector<simdnorm_moments>(cols)};
      for (int k = 0; k < 2; ++k) ASSERT_EQ(simdnorm_column_state_result(states[k], moments[k].data()), SIMDNORM_OK);
      ASSERT_EQ(std::memcmp(moments[0].data(), moments[1].data(), cols * sizeof(simdnorm_moments)), 0) << piece;
    }
    ASSERT_EQ(std::memcmp(bytes[0], bytes[1], size), 0) << cols;
  }
}

TEST_P(half_columns_test, types_that_do_not_go_together) {
  std::vector<double> memory(64, 7), before = memory, mean(4), scale(4, 1);
  std::vector<std::uint16_t> halves(64, 0x3f80);
  std::vector<float> statistics(4, 1);
  const auto in = [&](void* data, simdnorm_type type) { return simdnorm_const_matrix{data, 2, 4, 4, type}; };
  const auto out = [&](void* data, simdnorm_type type) { return simdnorm_matrix{data, 2, 4, 4, type}; };
  const simdnorm_const_vector given{statistics.data(), 4, SIMDNORM_F32};
  const auto each = [&](const simdnorm_const_matrix& x, const simdnorm_matrix& y, simdnorm_status expected,
                        const simdnorm_batch_norm_options* o = nullptr) {
    EXPECT_EQ(simdnorm_batch_norm_training(&x, &y, o), expected);
    EXPECT_EQ(simdnorm_batch_norm_inference(&x, &y, given, given, o), expected);
    if (o) return;
    EXPECT_EQ(simdnorm_standardize(&x, &y, mean.data(), scale.data(), nullptr), expected);
    EXPECT_EQ(simdnorm_standardize_transform(&x, &y, mean.data(), scale.data(), nullptr), expected);
    EXPECT_EQ(simdnorm_min_max_inverse(&x, &y, mean.data(), scale.data(), nullptr), expected);
    EXPECT_EQ(simdnorm_max_abs(&x, &y, scale.data(), nullptr), expected);
  };
  const simdnorm_const_matrix x = in(halves.data(), bf16);
  each(x, out(memory.data(), SIMDNORM_F64), SIMDNORM_UNSUPPORTED_TYPE);
  each(in(memory.data() + 32, SIMDNORM_F64), out(memory.data(), f16), SIMDNORM_UNSUPPORTED_TYPE);
  each(x, out(memory.data(), 77), SIMDNORM_UNSUPPORTED_TYPE);
  each(in(halves.data(), 0), out(memory.data(), bf16), SIMDNORM_UNSUPPORTED_TYPE);
  each(in(reinterpret_cast<char*>(halves.data()) + 1, f16), out(memory.data(), bf16), SIMDNORM_MISALIGNED);
  each(x, out(halves.data(), f32), SIMDNORM_OVERLAP);  // in place, but larger
  each(x, out(halves.data() + 1, bf16), SIMDNORM_OVERLAP);
  simdnorm_const_tensor residual{};
  residual.data = halves.data() + 16;
  residual.rank = 2;
  residual.sizes[0] = 2;
  residual.sizes[1] = residual.strides[0] = 4;
  residual.strides[1] = 1;
  simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
  o.residual = &residual;
  for (const int type : {int{SIMDNORM_F64}, 0, 9}) {
    residual.type = type;
    each(x, out(memory.data(), bf16), SIMDNORM_UNSUPPORTED_TYPE, &o);
  }
  residual.type = f16;
  residual.data = reinterpret_cast<char*>(memory.data()) + 1;
  each(x, out(memory.data() + 8, bf16), SIMDNORM_MISALIGNED, &o);
  residual.data = memory.data();
  residual.type = f32;
  each(x, out(memory.data(), bf16), SIMDNORM_OVERLAP, &o);
  EXPECT_EQ(memory, before);                           // nothing was written
  EXPECT_EQ(simdnorm_column_state_size(4, bf16), 0u);  // a state takes halves, and is of f32
}

}  // namespace
}  // namespace simdnorm::test

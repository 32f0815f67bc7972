// SPDX-License-Identifier: Apache-2.0
//
// The same input gives the same bits: on every instruction set, for any number of threads, at any
// alignment and pitch, in place or not, wherever a row lies and whatever lies beside it.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include "support/executors.hpp"
#include "support/half.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

class bits_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(bits_test);

// SIMDNORM_TEST_OUTPUTS lowers the count where an emulator makes 10^7 too slow.
std::uint64_t wanted_outputs() {
  const char* text = std::getenv("SIMDNORM_TEST_OUTPUTS");
  return text ? std::strtoull(text, nullptr, 10) : 10'000'000;
}

TEST_P(bits_test, ten_million_outputs_as_scalar) {
  const std::vector<operation_hash> mine = hash_operations(wanted_outputs());
  static std::vector<operation_hash> scalar;
  if (scalar.empty()) {
    ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
    scalar = hash_operations(wanted_outputs());
    ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
  }
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < mine.size(); ++i) {
    EXPECT_EQ(mine[i].outputs, scalar[i].outputs);
    EXPECT_EQ(mine[i].hash, scalar[i].hash) << name_of(mine[i].op) << ": bits differ from scalar";
    total += mine[i].outputs;
  }
  EXPECT_GE(total, wanted_outputs());
}

// The same comparison on small shapes, call by call: says where the bits part.
TEST_P(bits_test, every_length_as_scalar) {
  case_turns turns;
  for (const operation op : all_operations())
    for (std::size_t n = 1; n <= 300; n += n < 140 ? 1 : 7)
      for (std::size_t f = 0; f < flavour_count; ++f) {
        if (turns.skips()) continue;
        const std::size_t rows = is_row_wise(op) ? 3 : n, cols = is_row_wise(op) ? n : 1 + n % 37;
        const problem p = make_problem(n * 10 + f, rows, cols, static_cast<flavour>(f), is_row_wise(op));
        const result mine = run(op, p);
        ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
        const result scalar = run(op, p);
        ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
        ASSERT_EQ(scalar.status, SIMDNORM_OK);
        ASSERT_EQ(difference(mine, scalar), "") << name_of(op) << " " << rows << "x" << cols << " flavour " << f;
      }
}

std::vector<problem> samples(operation op) {
  std::vector<problem> all;
  for (std::size_t f = 0; f < flavour_count; ++f) {
    if (is_row_wise(op)) {
      all.push_back(make_problem(f, 7, 77, static_cast<flavour>(f), true));
      all.push_back(make_problem(f, 3, 700, static_cast<flavour>(f), true));
    } else {
      all.push_back(make_problem(f, 150, 37, static_cast<flavour>(f), false));
      all.push_back(make_problem(f, 20, 300, static_cast<flavour>(f), false));
    }
  }
  return all;
}

TEST_P(bits_test, alignment) {
  case_turns turns;
  for (std::size_t offset = 0; offset < 16; ++offset) {
    offset_arena memory(offset);
    for (const operation op : all_operations())
      for (const problem& p : samples(op)) {
        if (turns.skips()) continue;
        const result r = run(op, p, {}, memory);
        ASSERT_TRUE(r.intact) << name_of(op) << " at offset " << offset;
        ASSERT_EQ(difference(r, run(op, p)), "") << name_of(op) << " at offset " << offset;
      }
  }
}

TEST_P(bits_test, pitch_and_place) {
  offset_arena memory(3);
  for (const operation op : all_operations())
    for (const problem& p : samples(op)) {
      const result expected = run(op, p);
      for (const std::ptrdiff_t more : {0, 1, 5, 16, 64}) {
        const auto cols = static_cast<std::ptrdiff_t>(p.cols);
        setup s;
        s.x_pitch = cols + more;
        const result x_only = run(op, p, s, memory);
        ASSERT_EQ(difference(x_only, expected), "") << name_of(op) << ", input pitch + " << more;
        if (!has_y(op)) continue;
        s.in_place = true;
        const result in_place = run(op, p, s, memory);
        ASSERT_EQ(difference(in_place, expected), "") << name_of(op) << " in place, pitch + " << more;
        ASSERT_TRUE(in_place.intact);
        s.in_place = false;
        s.y_pitch = cols + 7 * more;
        const result both = run(op, p, s, memory);
        ASSERT_EQ(difference(both, expected), "") << name_of(op) << ", output pitch + " << 7 * more;
        ASSERT_TRUE(both.intact);
      }
    }
}

// Stores past the caches and fetching ahead, always and never: only where y lies decides whether its
// lines can be streamed, and neither changes a bit.
TEST_P(bits_test, beyond_the_caches_and_within) {
  const std::size_t before = simdnorm_stream_border();
  case_turns turns;
  for (const std::size_t offset : {0, 3}) {
    offset_arena memory(offset);
    for (const operation op : all_operations()) {
      std::vector<problem> problems = samples(op);
      for (std::size_t f = 0; f < flavour_count; ++f)
        for (const std::size_t cols : {16, 64, 1024})
          problems.push_back(make_problem(f, 4 + 2048 / cols, cols, static_cast<flavour>(f), is_row_wise(op)));
      for (const problem& p : problems)
        for (const std::ptrdiff_t pitch : {0, 1024}) {
          if (turns.skips()) continue;
          setup s;
          s.x_pitch = s.y_pitch = pitch;
          simdnorm_stream_border_set(SIZE_MAX);
          const result within = run(op, p, s, memory);
          simdnorm_stream_border_set(1);
          const result beyond = run(op, p, s, memory);
          simdnorm_stream_border_set(before);
          ASSERT_TRUE(beyond.intact) << name_of(op);
          ASSERT_EQ(difference(beyond, within), "")
              << name_of(op) << " " << p.rows << "x" << p.cols << ", offset " << offset << ", pitch " << pitch;
        }
    }
  }
}

// A row alone has the bits it has in any batch.
TEST_P(bits_test, position_of_a_row_and_number_of_rows) {
  case_turns turns;
  for (const operation op : all_operations()) {
    if (!is_row_wise(op)) continue;
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const std::size_t cols : {1, 5, 64, 100, 513}) {
        if (turns.skips()) continue;
        const std::size_t rows = 37;
        const problem all = make_problem(cols + f, rows, cols, static_cast<flavour>(f), true);
        const result whole = run(op, all);
        for (std::size_t first = 0; first < rows; ++first)
          for (const std::size_t count : {1, 2, 3, 5}) {
            if (first + count > rows) continue;
            problem part = all;
            part.rows = count;
            part.x.assign(all.x.begin() + static_cast<std::ptrdiff_t>(first * cols),
                          all.x.begin() + static_cast<std::ptrdiff_t>((first + count) * cols));
            const result r = run(op, part);
            ASSERT_EQ(std::memcmp(r.y.data(), whole.y.data() + first * cols, count * cols * sizeof(float)), 0)
                << name_of(op) << ", rows " << first << " + " << count << " of " << rows << "x" << cols;
            for (std::size_t k = 0; k < whole.f32.size() / rows; ++k)
              ASSERT_EQ(
                  std::memcmp(r.f32.data() + k * count, whole.f32.data() + k * rows + first, count * sizeof(float)), 0)
                  << name_of(op) << ", rows " << first << " + " << count;
          }
      }
  }
}

// A call of one row that asks for nothing beside y has loops of its own. The row has the bits that it has beside
// others: of every type, in place or not, with parameters that are NaN or infinite, too.
TEST_P(bits_test, a_row_alone) {
  case_turns turns;
  for (const half_format* half : {static_cast<const half_format*>(nullptr), &half_formats[0], &half_formats[1]})
    for (const char* norm : {"layer_norm", "layer_norm, gamma", "layer_norm, beta", "layer_norm, neither", "rms_norm",
                             "rms_norm, no weight", "l2_norm"})
      for (std::size_t f = 0; f < flavour_count; ++f)
        for (const std::size_t cols : {1,  2,  5,  7,   8,   9,   15,  16,  17,  31,  32,  33,   48,  63,
                                       64, 65, 96, 100, 127, 128, 255, 256, 257, 300, 513, 1000, 4097})
          for (const float special : {1.0f, std::nanf("1"), -std::nanf(""), HUGE_VALF}) {
            const std::string name = norm;
            if (turns.skips() || (name == "l2_norm" && half != nullptr)) continue;
            const bool layer = name.find("layer") == 0;
            const bool gammas = name == "layer_norm" || name == "layer_norm, gamma" || name == "rms_norm";
            const bool betas = name == "layer_norm" || name == "layer_norm, beta";
            const problem p = make_problem(cols + f, 1, cols, static_cast<flavour>(f), true);
            const std::size_t size = half ? 2 : 4;
            const std::size_t rows = 3;
            std::vector<unsigned char> x(rows * cols * size), together(x.size(), 1), alone(cols * size, 2);
            for (std::size_t i = 0; i < rows * cols; ++i) {
              const float v = p.x[i % cols];
              const std::uint16_t h = half ? half->rounded(static_cast<double>(v)) : std::uint16_t{0};
              std::memcpy(x.data() + i * size, half ? static_cast<const void*>(&h) : &v, size);
            }
            std::vector<float> gamma = p.gamma;
            std::vector<float> beta = p.beta;
            gamma[cols / 2] = special == 1.0f ? gamma[cols / 2] : special;
            beta[cols - 1] = special == 1.0f ? beta[cols - 1] : special;
            const auto normalize = [&](const void* from, void* to, std::size_t n) {
              const simdnorm_type type = half ? half->type : SIMDNORM_F32;
              const simdnorm_const_matrix in{from, n, cols, static_cast<std::ptrdiff_t>(cols), type};
              const simdnorm_matrix out{to, n, cols, static_cast<std::ptrdiff_t>(cols), type};
              if (layer) {
                simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
                if (gammas) o.gamma = {gamma.data(), cols, SIMDNORM_F32};
                if (betas) o.beta = {beta.data(), cols, SIMDNORM_F32};
                return simdnorm_layer_norm(&in, &out, &o);
              }
              if (name == "l2_norm") return simdnorm_l2_norm(&in, &out, nullptr);
              simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
              if (gammas) o.weight = {gamma.data(), cols, SIMDNORM_F32};
              return simdnorm_rms_norm(&in, &out, &o);
            };
            ASSERT_EQ(normalize(x.data(), together.data(), rows), SIMDNORM_OK);
            ASSERT_EQ(normalize(x.data(), alone.data(), 1), SIMDNORM_OK);
            ASSERT_EQ(normalize(x.data(), x.data(), 1), SIMDNORM_OK);
            for (std::size_t row = 0; row < rows; ++row) {
              ASSERT_EQ(std::memcmp(alone.data(), together.data() + row * alone.size(), alone.size()), 0)
                  << name << ", " << (half ? half->name : "f32") << ", " << cols << " columns, flavour " << f
                  << ", special " << special << ", row " << row;
            }
            ASSERT_EQ(std::memcmp(alone.data(), x.data(), alone.size()), 0)
                << name << ", " << (half ? half->name : "f32") << ", " << cols << " columns, in place";
          }
}

// A column alone has the bits it has among others.
TEST_P(bits_test, number_of_columns) {
  for (const operation op : all_operations()) {
    if (is_row_wise(op)) continue;
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const std::size_t rows : {1, 3, 64, 130}) {
        const std::size_t cols = 300;
        const problem all = make_problem(rows + f, rows, cols, static_cast<flavour>(f), false);
        const result whole = run(op, all);
        for (const auto& [first, count] : std::vector<std::pair<std::size_t, std::size_t>>{
                 {0, 1}, {1, 1}, {299, 1}, {255, 2}, {3, 17}, {250, 31}, {7, 256}, {1, 299}, {0, 64}, {100, 100}}) {
          problem part = all;
          part.cols = count;
          part.x.resize(rows * count);
          for (std::size_t i = 0; i < rows; ++i)
            std::memcpy(part.x.data() + i * count, all.x.data() + i * cols + first, count * sizeof(float));
          const auto cut = [&](auto& v) {
            v = {v.begin() + static_cast<std::ptrdiff_t>(first),
                 v.begin() + static_cast<std::ptrdiff_t>(first + count)};
          };
          cut(part.gamma), cut(part.beta), cut(part.mean), cut(part.variance);
          cut(part.centre), cut(part.scale), cut(part.low), cut(part.high);
          const result r = run(op, part);
          for (std::size_t i = 0; i < r.y.size() / count; ++i)
            ASSERT_EQ(std::memcmp(r.y.data() + i * count, whole.y.data() + i * cols + first, count * sizeof(float)), 0)
                << name_of(op) << ", columns " << first << " + " << count << ", row " << i << ", rows " << rows;
          for (std::size_t k = 0; k < whole.f32.size() / cols; ++k)
            ASSERT_EQ(std::memcmp(r.f32.data() + k * count, whole.f32.data() + k * cols + first, count * sizeof(float)),
                      0)
                << name_of(op) << ", columns " << first << " + " << count << ", f32 output " << k;
          const std::size_t width = doubles_per_column(op);
          for (std::size_t k = 0; k < whole.f64.size() / (cols * width); ++k)
            ASSERT_EQ(std::memcmp(r.f64.data() + k * count * width, whole.f64.data() + (k * cols + first) * width,
                                  count * width * sizeof(double)),
                      0)
                << name_of(op) << ", columns " << first << " + " << count << ", f64 output " << k;
        }
      }
  }
}

TEST_P(bits_test, executors_and_numbers_of_threads) {
  std::size_t runs = 0;
  case_turns turns;
  for (const operation op : all_operations()) {
    std::vector<problem> problems;
    for (const std::size_t f : {std::size_t{0}, static_cast<std::size_t>(flavour::specials)}) {
      // Large enough that splitting is worth it, in every way it could be split; and small.
      problems.push_back(make_problem(f, is_row_wise(op) ? 700 : 9000, is_row_wise(op) ? 150 : 12,
                                      static_cast<flavour>(f), is_row_wise(op)));
      problems.push_back(make_problem(f, is_row_wise(op) ? 5 : 130, is_row_wise(op) ? 20000 : 800,
                                      static_cast<flavour>(f), is_row_wise(op)));
      problems.push_back(make_problem(f, 9, 2100, static_cast<flavour>(f), is_row_wise(op)));
      problems.push_back(make_problem(f, 3, 5, static_cast<flavour>(f), is_row_wise(op)));
    }
    for (const problem& p : problems) {
      if (turns.skips()) continue;
      const result expected = run(op, p);
      ASSERT_EQ(expected.status, SIMDNORM_OK);
      std::vector<std::unique_ptr<test_executor>> executors;
      for (const std::size_t threads : {0, 1, 2, 3, 16}) {
        executors.push_back(std::make_unique<reverse_executor>(threads));
        executors.push_back(std::make_unique<shuffle_executor>(threads));
      }
      for (const std::size_t threads : {2, 5}) executors.push_back(std::make_unique<thread_executor>(threads));
      executors.push_back(std::make_unique<reverse_executor>(1000));
      for (const auto& executor : executors) {
        setup s;
        s.executor = &executor->c;
        ASSERT_EQ(difference(run(op, p, s), expected), "")
            << name_of(op) << " " << p.rows << "x" << p.cols << ", " << executor->c.threads << " threads";
        if (executor->c.threads <= 1) {
          ASSERT_EQ(executor->runs, 0u) << "one thread needs no executor";
        }
        runs += executor->runs;
        if (has_y(op)) {
          s.in_place = true;
          ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op) << " in place";
        }
      }
    }
  }
  EXPECT_GT(runs, 0u) << "no executor was ever asked";
}

// Fewer rows than threads: a row goes over several of them.
TEST_P(bits_test, a_row_over_threads) {
  case_turns turns;
  for (const operation op : {operation::layer_norm, operation::rms_norm}) {
    for (const flavour f : {flavour::normal, flavour::hostile, flavour::specials, flavour::bits}) {
      for (const std::size_t cols : {98304, 103001, 131079}) {
        for (std::uint64_t seed = 0; seed < 3; ++seed) {
          if (turns.skips()) continue;
          const problem p = make_problem(seed, 1 + seed % 2, cols, f, true);
          const result expected = run(op, p);
          ASSERT_EQ(expected.status, SIMDNORM_OK);
          for (const std::size_t threads : {3, 5, 64}) {
            thread_executor executor(threads);
            setup s;
            s.executor = &executor.c;
            for (const bool in_place : {false, true}) {
              s.in_place = in_place;
              ASSERT_EQ(difference(run(op, p, s), expected), "")
                  << name_of(op) << " " << p.rows << "x" << cols << ", " << threads << " threads";
            }
            ASSERT_GT(executor.tasks, 0u);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace simdnorm::test

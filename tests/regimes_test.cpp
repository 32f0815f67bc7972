// SPDX-License-Identifier: Apache-2.0
//
// Row norms have regimes: one row; rows of less than 8 elements; short rows in batches, exact or ragged; long rows
// in tiles; outputs stored through the caches or past them, as those of columns. No border changes a bit.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <tuple>

#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

constexpr std::size_t always = 1, never = SIZE_MAX;

class regimes_test : public isa_fixture {
 protected:
  void TearDown() override {
    simdnorm_stream_border_set(0);
    isa_fixture::TearDown();
  }
  static result run_with(std::size_t border, operation op, const problem& p, const setup& s = {}) {
    simdnorm_stream_border_set(border);
    return run(op, p, s);
  }
  static result run_with(std::size_t border, operation op, const problem& p, const setup& s, arena& memory) {
    simdnorm_stream_border_set(border);
    return run(op, p, s, memory);
  }
};
SIMDNORM_FOR_EACH_ISA(regimes_test);

std::vector<operation> row_norms() {
  std::vector<operation> all = all_operations();
  all.erase(std::remove_if(all.begin(), all.end(), [](operation op) { return !is_row_wise(op); }), all.end());
  return all;
}

// Both sides of every border: of a register, of 8 registers (stores are aligned from there on), of the
// shift, of a flush, of batches of 8, 4 and 2, of long rows, of a chunk.
std::vector<std::size_t> columns() {
  std::vector<std::size_t> all;
  for (std::size_t cols = 1; cols <= 70; ++cols) all.push_back(cols);
  for (const std::size_t cols :
       {96, 127, 128, 129, 255, 256, 257, 320, 768, 1000, 1024, 1025, 1500, 1536, 1537, 2048, 4095, 4096, 4097, 5000})
    all.push_back(cols);
  return all;
}

problem rows_of(const problem& all, std::size_t first, std::size_t count, std::size_t cols) {
  problem p = all;
  p.rows = count;
  p.cols = cols;
  p.x.resize(count * cols);
  for (std::size_t i = 0; i < count && cols > 0; ++i)
    std::memcpy(p.x.data() + i * cols, all.x.data() + (first + i) * all.cols, cols * sizeof(float));
  p.gamma.resize(cols);
  p.beta.resize(cols);
  return p;
}
problem rows_of(const problem& all, std::size_t first, std::size_t count) {
  return rows_of(all, first, count, all.cols);
}

// What `count` rows of a result say.
result rows_of(const result& all, std::size_t rows, std::size_t first, std::size_t count) {
  result r = all;
  const std::size_t cols = all.y.size() / rows;
  const auto cut = [](const std::vector<float>& v, std::size_t from, std::size_t n) {
    return std::vector<float>(v.begin() + static_cast<std::ptrdiff_t>(from),
                              v.begin() + static_cast<std::ptrdiff_t>(from + n));
  };
  r.y = cut(all.y, first * cols, count * cols);
  r.f32.clear();
  for (std::size_t k = 0; k < all.f32.size() / rows; ++k) {
    const std::vector<float> part = cut(all.f32, k * rows + first, count);
    r.f32.insert(r.f32.end(), part.begin(), part.end());
  }
  return r;
}

TEST_P(regimes_test, rows_columns_alignments_cached_and_streamed) {
  constexpr std::size_t most = 33;
  offset_arena aligned;
  std::vector<std::unique_ptr<offset_arena>> shifted;
  for (std::size_t offset = 1; offset < 16; ++offset) shifted.push_back(std::make_unique<offset_arena>(offset));
  std::size_t turn = 0;
  case_turns turns;
  for (const operation op : row_norms())
    for (const std::size_t cols : columns()) {
      if (turns.skips()) continue;
      const problem all = make_problem(cols, most, cols, flavour::normal, true);
      const result whole = run_with(never, op, all);
      ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
      const result scalar = run_with(never, op, all);
      ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
      ASSERT_EQ(difference(whole, scalar), "") << name_of(op) << " " << most << "x" << cols;
      for (const std::size_t rows : {1, 2, 3, 4, 5, 7, 8, 9, 17, 33}) {
        const std::size_t first = turn % (most - rows + 1);
        const problem p = rows_of(all, first, rows);
        const result expected = rows_of(whole, most, first, rows);
        const auto pitch = static_cast<std::ptrdiff_t>(cols);
        const std::size_t offset = ++turn % 15;
        const auto check = [&](const setup& s, arena& memory, const char* what) {
          for (const std::size_t border : {always, never}) {
            const result r = run_with(border, op, p, s, memory);
            ASSERT_TRUE(r.intact) << name_of(op) << " " << rows << "x" << cols << " " << what << " wrote outside";
            ASSERT_EQ(difference(r, expected), "")
                << name_of(op) << " " << rows << "x" << cols << " from row " << first << ", " << what
                << (border == always ? ", streamed" : ", cached") << ", off by " << 4 * (offset + 1) << " bytes";
          }
        };
        check({}, aligned, "aligned");
        check({}, *shifted[offset], "unaligned");
        if (turn % 4 == 0) check({.in_place = true}, aligned, "in place");
        if (turn % 4 == 1) check({.in_place = true}, *shifted[offset], "in place, unaligned");
        if (turn % 4 == 2) check({.x_pitch = pitch + 3, .y_pitch = pitch + 1}, *shifted[offset], "with pitch");
        if (turn % 4 == 3) check({.y_pitch = (pitch + 31) / 16 * 16}, aligned, "with an aligned pitch");
        if (turn % 4 == 3) check({.y_pitch = pitch + 1}, aligned, "with an odd pitch");
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
}

// A row that is not to be trusted takes its batch out of the usual loop; its neighbours stay as they are.
TEST_P(regimes_test, a_hostile_row_at_each_place) {
  constexpr std::size_t rows = 19;
  offset_arena unaligned(5);
  struct spoil {
    const char* what;
    void (*row)(float* x, std::size_t n);
  };
  const spoil spoils[] = {
      {"NaN", [](float* x, std::size_t n) { x[n / 2] = float_of(0xffc01234); }},
      {"constant", [](float* x, std::size_t n) { std::fill(x, x + n, 0.1f); }},
      {"an outlier first", [](float* x, std::size_t) { x[0] = 1e6f; }},
      {"an infinity last", [](float* x, std::size_t n) { x[n - 1] = float_of(0x7f800000); }},
      {"subnormal",
       [](float* x, std::size_t n) {
         for (std::size_t i = 0; i < n; ++i) x[i] *= 0x1p-130f;
       }},
  };
  case_turns turns;
  for (const operation op : row_norms())
    for (const std::size_t cols : {9, 33, 64, 320, 1500, 2048, 5000}) {
      const problem usual = make_problem(cols, rows, cols, flavour::normal, true);
      const result good = run_with(never, op, usual);
      for (std::size_t place = 0; place < rows; ++place) {
        if (turns.skips()) continue;
        const spoil& how = spoils[(place + cols) % std::size(spoils)];
        problem p = usual;
        how.row(&p.at(place, 0), cols);
        const result alone = run_with(never, op, rows_of(p, place, 1));
        for (const std::size_t border : {always, never})
          for (const bool in_place : {false, true}) {
            const result r = run_with(border, op, p, {.in_place = in_place}, unaligned);
            ASSERT_TRUE(r.intact);
            for (std::size_t i = 0; i < rows; ++i)
              ASSERT_EQ(difference(rows_of(r, rows, i, 1), i == place ? alone : rows_of(good, rows, i, 1)), "")
                  << name_of(op) << " " << rows << "x" << cols << ", row " << i << "; " << how.what << " in row "
                  << place << (border == always ? ", streamed" : ", cached");
          }
      }
    }
}

// Rows of any length side by side: none, shorter than what is aligned, and all of it.
TEST_P(regimes_test, mixed_lengths_in_a_batch) {
  constexpr std::size_t rows = 35;
  offset_arena aligned;
  offset_arena unaligned(7);
  case_turns turns;
  for (const operation op : row_norms())
    for (const std::size_t cols : {40, 64, 96, 200, 256, 320, 768, 1500, 1600, 4500, 9000})
      for (const flavour f : {flavour::normal, flavour::specials}) {
        if (turns.skips()) continue;
        generator g(cols);
        const std::size_t lengths[] = {0, 1, 17, 32, 63, 64, 100, 127, 128, 256, 257, 1024, 1025, cols - 1, cols, cols};
        const problem p = make_problem(cols, rows, cols, f, true);
        setup s;
        s.pad.kind = SIMDNORM_PADDING_ROW_LENGTHS;
        for (std::size_t i = 0; i < rows; ++i)
          s.pad.lengths.push_back(static_cast<std::int64_t>(std::min(cols, lengths[g.below(std::size(lengths))])));
        std::vector<result> alone;
        for (std::size_t i = 0; i < rows; ++i)
          alone.push_back(run_with(never, op, rows_of(p, i, 1, static_cast<std::size_t>(s.pad.lengths[i]))));
        for (const simdnorm_padding_fill fill : {SIMDNORM_FILL_ZERO, SIMDNORM_FILL_KEEP})
          for (const auto& [border, memory] : {std::pair<std::size_t, arena*>{always, &aligned},
                                               {always, &unaligned},
                                               {never, &aligned},
                                               {never, &unaligned}}) {
            s.pad.fill = fill;
            const std::uint32_t behind = fill == SIMDNORM_FILL_ZERO ? 0 : unwritten;
            const result r = run_with(border, op, p, s, *memory);
            ASSERT_TRUE(r.intact);
            for (std::size_t i = 0; i < rows; ++i) {
              const std::size_t n = alone[i].y.size();
              ASSERT_EQ(std::memcmp(r.y.data() + i * cols, alone[i].y.data(), n * sizeof(float)), 0)
                  << name_of(op) << " " << rows << "x" << cols << ", row " << i << " of length " << n
                  << (border == always ? ", streamed" : ", cached");
              for (std::size_t j = n; j < cols; ++j) ASSERT_EQ(bits_of(r.y[i * cols + j]), behind);
              if (n == 0) continue;
              std::vector<float> lines = rows_of(r, rows, i, 1).f32;  // of a sum, the columns that are real
              lines.resize(alone[i].f32.size());
              ASSERT_TRUE(same_bits(lines, alone[i].f32)) << name_of(op) << ", row " << i;
            }
          }
      }
}

// Runs of real rows that are handed out as such, and rows that are listed; padded rows one by one and together.
TEST_P(regimes_test, row_masks_cached_and_streamed) {
  constexpr std::size_t rows = 150;
  offset_arena aligned, unaligned(7);
  case_turns turns;
  for (const operation op : row_norms())
    for (const std::size_t cols : {5, 17, 64, 100, 256, 520, 1700}) {
      if (turns.skips()) continue;
      const problem p = make_problem(cols, rows, cols, flavour::normal, true);
      generator g(cols);
      setup s;
      s.pad.kind = SIMDNORM_PADDING_ROW_MASK;
      for (std::size_t i = 0; i < rows; ++i) s.pad.rows.push_back(i < 40 || (i >= 70 && (i < 110 || g.below(3) > 0)));
      const result all = run_with(never, op, p);
      for (const std::size_t border : {always, never})
        for (arena* memory : {&aligned, &unaligned}) {
          const result r = run_with(border, op, p, s, *memory);
          ASSERT_TRUE(r.intact);
          for (std::size_t i = 0; i < rows; ++i) {
            if (s.pad.rows[i] != 0) {
              ASSERT_EQ(difference(rows_of(r, rows, i, 1), rows_of(all, rows, i, 1)), "")
                  << name_of(op) << " " << rows << "x" << cols << ", row " << i
                  << (border == always ? ", streamed" : ", cached");
              continue;
            }
            for (std::size_t j = 0; j < cols; ++j) ASSERT_EQ(bits_of(r.y[i * cols + j]), 0u) << i << ", " << j;
          }
        }
    }
}

TEST_P(regimes_test, columns_cached_and_streamed) {
  constexpr std::size_t counts[] = {1, 2, 7, 16, 33, 65, 130, 300};
  offset_arena aligned, unaligned(3), other(13);
  shuffle_executor threads(3);
  std::size_t turn = 0;
  case_turns turns;
  for (const operation op : all_operations()) {
    if (is_row_wise(op) || !has_y(op)) continue;
    std::vector<std::size_t> widths;
    for (std::size_t cols = 1; cols <= 600; cols += cols < 70 ? 1 : cols < 250 || cols > 260 ? 37 : 1)
      widths.push_back(cols);
    widths.insert(widths.end(), {1001, 1024});  // some rows go through all strips before the next do
    for (const std::size_t cols : widths) {
      const std::size_t rows = cols > 600 ? 700 : counts[++turn % std::size(counts)];
      if (turns.skips()) continue;
      const flavour f = turn % 5 == 0 ? flavour::specials : turn % 7 == 0 ? flavour::bits : flavour::normal;
      const problem p = make_problem(turn, rows, cols, f, false);
      setup s;
      if (turn % 3 == 0) {
        s.pad.kind = SIMDNORM_PADDING_ROW_MASK;
        for (std::size_t i = 0; i < rows; ++i) s.pad.rows.push_back(i % 5 != 1);
      }
      const result expected = run_with(never, op, p, s);
      const auto pitch = static_cast<std::ptrdiff_t>(cols);
      for (arena* memory : {&aligned, &unaligned, &other})
        for (const std::size_t variant : {0, 1, 2, 3}) {
          s.in_place = variant == 1;
          s.x_pitch = variant == 2 ? pitch + 3 : 0;
          s.y_pitch = variant == 2 ? pitch + 1 : variant == 3 ? (pitch + 31) / 16 * 16 : 0;
          s.executor = cols > 600 && variant == 0 ? &threads.c : nullptr;
          const result r = run_with(always, op, p, s, *memory);
          ASSERT_TRUE(r.intact) << name_of(op) << " " << rows << "x" << cols << " wrote outside";
          ASSERT_EQ(difference(r, expected), "")
              << name_of(op) << " " << rows << "x" << cols << ", variant " << variant;
        }
    }
  }
}

TEST_P(regimes_test, executors) {
  offset_arena aligned, unaligned(7);
  case_turns turns;
  for (const operation op : row_norms())
    for (const auto& [rows, cols, f] : {std::tuple<std::size_t, std::size_t, flavour>{3000, 40, flavour::normal},
                                        {4000, 12, flavour::normal},
                                        {300, 768, flavour::normal},
                                        {40, 5000, flavour::normal},
                                        {1, 103001, flavour::normal},  // a row over all threads
                                        {3, 103001, flavour::hostile},
                                        {3, 103001, flavour::specials}}) {
      if (turns.skips()) continue;
      const problem p = make_problem(rows, rows, cols, f, true);
      const result expected = run_with(never, op, p);
      for (const std::size_t threads : {2, 7}) {
        shuffle_executor executor(threads);
        setup s;
        s.executor = &executor.c;
        for (const std::size_t border : {always, never})
          for (arena* memory : {&aligned, &unaligned}) {
            const result r = run_with(border, op, p, s, *memory);
            ASSERT_TRUE(r.intact);
            ASSERT_EQ(difference(r, expected), "") << name_of(op) << " " << rows << "x" << cols << ", " << threads
                                                   << " threads" << (border == always ? ", streamed" : ", cached");
          }
      }
    }
}

}  // namespace
}  // namespace simdnorm::test

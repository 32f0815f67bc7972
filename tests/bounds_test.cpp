// SPDX-License-Identifier: Apache-2.0
//
// No kernel touches a byte outside its arrays: every array of every call lies against a page that
// cannot be read, columns 1 to 300. A violation is a SIGSEGV; writes into the slack are found by
// canaries.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

class bounds_test : public isa_fixture {
 protected:
  static void all_columns(arena& memory, std::size_t step) {
    for (const operation op : all_operations())
      for (std::size_t cols = 1; cols <= 300; cols += step) {
        // Two rows, or more rows than a block holds, now and then.
        const std::size_t rows = is_row_wise(op) ? 2 + cols % 3 : cols % 16 == 0 ? 67 : 1 + cols % 5;
        const problem p = make_problem(cols, rows, cols, flavour::normal, is_row_wise(op));
        setup s;
        switch (cols % 4) {
          case 0:
            s.pad.kind = SIMDNORM_PADDING_ROW_MASK;
            for (std::size_t i = 0; i < rows; ++i) s.pad.rows.push_back(i % 3 != 1);
            break;
          case 1:
            if (!is_row_wise(op)) break;
            s.pad.kind = SIMDNORM_PADDING_ROW_LENGTHS;
            s.pad.index_type = cols % 8 == 1 ? SIMDNORM_I32 : SIMDNORM_I64;
            for (std::size_t i = 0; i < rows; ++i)
              s.pad.lengths.push_back(static_cast<std::int64_t>(cols - cols * i / 7));
            break;
          case 2:
            s.pad.kind = SIMDNORM_PADDING_SEQUENCE_LENGTHS;
            s.pad.index_type = cols % 8 == 2 ? SIMDNORM_I32 : SIMDNORM_I64;
            s.pad.tokens = 1;
            for (std::size_t i = 0; i < rows; ++i) s.pad.lengths.push_back(i % 2 == 0);
            break;
          default:
            if (!is_row_wise(op)) break;
            s.pad.kind = cols % 8 == 3 ? SIMDNORM_PADDING_ELEMENT_MASK : SIMDNORM_PADDING_ELEMENT_MASK_BITS;
            s.pad.cols = cols;
            for (std::size_t k = 0; k < rows * cols; ++k) s.pad.elements.push_back(k % 5 != 1);
            break;
        }
        const result expected = run(op, p, s);
        ASSERT_EQ(expected.status, SIMDNORM_OK) << name_of(op) << " " << rows << "x" << cols;
        for (const int variant : {0, 1, 2}) {
          if (variant && !has_y(op)) break;
          s.in_place = variant == 1;
          s.x_pitch = variant == 2 ? static_cast<std::ptrdiff_t>(cols) + 3 : 0;
          s.y_pitch = variant == 2 ? static_cast<std::ptrdiff_t>(cols) + 1 : 0;
          const result r = run(op, p, s, memory);
          ASSERT_TRUE(r.intact) << name_of(op) << " " << rows << "x" << cols << " wrote outside its arrays";
          ASSERT_EQ(difference(r, expected), "") << name_of(op) << " " << rows << "x" << cols;
        }
      }
  }
};
SIMDNORM_FOR_EACH_ISA(bounds_test);

TEST_P(bounds_test, arrays_end_with_the_page) {
  guarded_arena memory(guarded_arena::at_end);
  all_columns(memory, step_of_cases());
}
TEST_P(bounds_test, arrays_start_with_the_page) {
  guarded_arena memory(guarded_arena::at_start);
  all_columns(memory, step_of_cases());
}
// Short rows of lengths in whole groups of columns, more of them than a batch has: what lies behind a length, the last
// row's too, is loaded under a mask.
TEST_P(bounds_test, rows_of_lengths) {
  for (const auto side : {guarded_arena::at_start, guarded_arena::at_end}) {
    guarded_arena memory(side);
    for (const operation op : all_operations())
      for (const std::size_t cols : {32, 64, 96, 128, 256}) {
        if (!is_row_wise(op)) continue;
        const std::size_t rows = 20;
        const problem p = make_problem(cols, rows, cols, flavour::normal, true);
        setup s;
        s.pad.kind = SIMDNORM_PADDING_ROW_LENGTHS;
        s.pad.index_type = SIMDNORM_I32;
        for (std::size_t i = 0; i < rows; ++i) s.pad.lengths.push_back(static_cast<std::int64_t>(i * 37 % (cols + 1)));
        for (const bool in_place : {false, true}) {
          s.in_place = in_place;
          const result r = run(op, p, s, memory);
          ASSERT_TRUE(r.intact) << name_of(op) << " " << cols << " columns: wrote outside its arrays";
          ASSERT_EQ(difference(r, run(op, p, s)), "") << name_of(op) << " " << cols << " columns";
        }
      }
  }
}
TEST_P(bounds_test, other_alignments) {
  for (const std::size_t shift : {1, 3, 7, 8, 13}) {
    guarded_arena end(guarded_arena::at_end, shift), start(guarded_arena::at_start, shift);
    all_columns(end, 3 * step_of_cases());
    all_columns(start, 3 * step_of_cases());
  }
}
TEST_P(bounds_test, canaries_around_unaligned_arrays) {
  for (std::size_t offset = 0; offset < 16; offset += 3) {
    offset_arena memory(offset);
    all_columns(memory, 5 * step_of_cases() - 1 + step_of_cases() % 2);  // odd: every kind of padding
  }
}

// Long rows take other paths than short ones.
TEST_P(bounds_test, long_rows_and_columns) {
  guarded_arena memory(guarded_arena::at_end, 0, std::size_t{3} << 20);
  case_turns turns;
  for (const operation op : all_operations())
    for (const std::size_t n : {511, 512, 513, 1023, 4097, 65537, 300001}) {
      if (turns.skips()) continue;
      const problem p = is_row_wise(op)
                            ? make_problem(n, 2, n, flavour::normal, true)
                            : make_problem(n, n > 5000 ? 70 : n, n > 5000 ? n / 70 : 3, flavour::normal, false);
      const result r = run(op, p, {}, memory);
      ASSERT_TRUE(r.intact);
      ASSERT_EQ(difference(r, run(op, p)), "") << name_of(op) << " " << p.rows << "x" << p.cols;
    }
}

// Outputs past the caches, with as many rows as make batches and tiles; prefetches reach beyond the last row.
TEST_P(bounds_test, streamed) {
  case_turns turns;
  for (const std::size_t shift : {0, 1, 3, 8, 13})
    for (const guarded_arena::side side : {guarded_arena::at_start, guarded_arena::at_end}) {
      guarded_arena memory(side, shift, std::size_t{1} << 19);
      for (const operation op : all_operations()) {
        if (!has_y(op)) continue;
        for (const std::size_t cols : {3, 31, 32, 63, 64, 65, 127, 129, 256, 320, 1000, 1537, 2048, 4097})
          for (const std::size_t rows : {1, 2, 6, 17, 25}) {
            if ((!is_row_wise(op) && (cols > 320 || rows == 6)) || turns.skips()) continue;
            const problem p = make_problem(cols, rows, cols, flavour::normal, is_row_wise(op));
            const result expected = run(op, p);
            simdnorm_stream_border_set(1);
            for (const bool in_place : {false, true}) {
              const result r = run(op, p, {.in_place = in_place}, memory);
              ASSERT_TRUE(r.intact) << name_of(op) << " " << rows << "x" << cols << " wrote outside its arrays";
              ASSERT_EQ(difference(r, expected), "") << name_of(op) << " " << rows << "x" << cols;
            }
            simdnorm_stream_border_set(0);
          }
      }
    }
}

}  // namespace
}  // namespace simdnorm::test

// SPDX-License-Identifier: Apache-2.0
//
// A padded element has no influence, whatever bits it holds; its output is zero or untouched; the
// form in which the mask arrives does not matter.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {
namespace {

class padding_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(padding_test);

// [batch, tokens, features], sequences of the given lengths.
mask sequences(const std::vector<std::int64_t>& lengths, std::size_t tokens) {
  mask m;
  m.kind = SIMDNORM_PADDING_SEQUENCE_LENGTHS;
  m.lengths = lengths;
  m.tokens = tokens;
  return m;
}
mask as_row_mask(const mask& m, std::size_t rows, std::uint8_t yes = 1) {
  mask r = m;
  r.kind = SIMDNORM_PADDING_ROW_MASK;
  r.lengths.clear();
  r.tokens = 0;
  r.rows.clear();
  for (std::size_t i = 0; i < rows; ++i) r.rows.push_back(m.real(i, 0) ? yes : 0);
  return r;
}
mask as_row_lengths(const mask& m, std::size_t rows, std::size_t cols) {
  mask r = m;
  r.kind = SIMDNORM_PADDING_ROW_LENGTHS;
  r.lengths.clear();
  r.rows.clear();
  r.tokens = 0;
  for (std::size_t i = 0; i < rows; ++i) r.lengths.push_back(m.real(i, 0) ? static_cast<std::int64_t>(cols) : 0);
  return r;
}

mask as_row_mask_bits(const mask& m, std::size_t rows) {
  mask r = as_row_mask(m, rows);
  r.kind = SIMDNORM_PADDING_ROW_MASK_BITS;
  return r;
}
// Sequences of uneven lengths, packed back to back, after `first` padded rows and before others.
mask packed_sequences(std::int64_t first, std::int64_t last, std::uint64_t seed) {
  generator g(seed);
  mask m;
  m.kind = SIMDNORM_PADDING_OFFSETS;
  for (std::int64_t at = first; at < last; at += static_cast<std::int64_t>(g.between(0, 9))) m.lengths.push_back(at);
  m.lengths.push_back(last);
  return m;
}

std::vector<mask> row_masks(std::size_t rows, std::uint64_t seed) {
  generator g(seed);
  std::vector<mask> all;
  for (const std::size_t odds : {2, 5, 50}) {
    mask m;
    m.kind = SIMDNORM_PADDING_ROW_MASK;
    for (std::size_t i = 0; i < rows; ++i)
      m.rows.push_back(static_cast<std::uint8_t>(g.below(odds) ? g.between(1, 255) : 0));
    all.push_back(m);
    if (odds == 2) all.push_back(as_row_mask_bits(m, rows));
  }
  mask only_last;
  only_last.kind = SIMDNORM_PADDING_ROW_MASK;
  only_last.rows.assign(rows, 0);
  only_last.rows[rows - 1] = 255;
  all.push_back(only_last);
  const auto end = static_cast<std::int64_t>(rows);
  all.push_back(packed_sequences(0, end, seed));
  all.push_back(packed_sequences(end / 4, end - end / 3, seed));
  return all;
}

mask random_row_lengths(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  generator g(seed);
  mask m;
  m.kind = SIMDNORM_PADDING_ROW_LENGTHS;
  for (std::size_t i = 0; i < rows; ++i) m.lengths.push_back(static_cast<std::int64_t>(g.between(0, cols)));
  m.lengths[0] = static_cast<std::int64_t>(cols);
  if (rows > 1) m.lengths[1] = 0;
  return m;
}

// Some elements, all of some columns, none of others.
mask random_elements(std::size_t rows, std::size_t cols, std::uint64_t seed, bool bits) {
  generator g(seed);
  mask m;
  m.kind = bits ? SIMDNORM_PADDING_ELEMENT_MASK_BITS : SIMDNORM_PADDING_ELEMENT_MASK;
  m.cols = cols;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) {
      const bool real = j % 7 == 3 || (j % 7 != 5 && g.below(3) != 0);
      m.elements.push_back(static_cast<std::uint8_t>(real ? g.between(1, 255) : 0));
    }
  return m;
}
bool masks_elements(const mask& m) {
  return m.kind == SIMDNORM_PADDING_ELEMENT_MASK || m.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
}
// Of ten elements, `odds` are real; no element of the second row is, and the third begins with padding.
mask random_elements(std::size_t rows, std::size_t cols, std::size_t odds) {
  generator g(rows * cols + odds);
  mask m;
  m.kind = SIMDNORM_PADDING_ELEMENT_MASK;
  m.cols = cols;
  for (std::size_t k = 0; k < rows * cols; ++k) {
    const bool real = g.below(10) < odds && k / cols != 1 && (k / cols != 2 || k % cols >= cols / 2);
    m.elements.push_back(static_cast<std::uint8_t>(real ? g.between(1, 255) : 0));
  }
  return m;
}
mask as_bits(mask m) {
  m.kind = SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  return m;
}
mask as_elements(const mask& m, std::size_t rows, std::size_t cols) {
  mask r;
  r.kind = SIMDNORM_PADDING_ELEMENT_MASK;
  r.fill = m.fill;
  r.cols = cols;
  for (std::size_t k = 0; k < rows * cols; ++k) r.elements.push_back(m.real(k / cols, k % cols) ? 3 : 0);
  return r;
}

std::vector<mask> masks_for(operation op, std::size_t rows, std::size_t cols) {
  std::vector<mask> all = row_masks(rows, rows + cols);
  if (!is_row_wise(op)) {
    all.push_back(random_elements(rows, cols, rows, false));
    all.push_back(random_elements(rows, cols, rows, true));
  }
  if (is_row_wise(op)) {
    all.push_back(random_row_lengths(rows, cols, cols));
    for (const std::size_t odds : {1, 5, 9}) all.push_back(random_elements(rows, cols, odds));
    all.push_back(as_bits(random_elements(rows, cols, 7)));
  }
  if (rows % 5 == 0) {
    std::vector<std::int64_t> lengths;
    for (std::size_t b = 0; b < rows / 5; ++b) lengths.push_back(static_cast<std::int64_t>(b * 7 % 6));
    all.push_back(sequences(lengths, 5));
  }
  return all;
}

struct shape {
  std::size_t rows, cols;
};
std::vector<shape> shapes(operation op) {
  if (is_row_wise(op)) return {{5, 1}, {6, 17}, {10, 64}, {9, 130}, {5, 700}};
  return {{5, 1}, {70, 3}, {65, 17}, {200, 40}, {330, 5}, {40, 300}};
}

void overwrite_padding(problem& p, const mask& m, const std::function<float()>& with) {
  for (std::size_t i = 0; i < p.rows; ++i)
    for (std::size_t j = 0; j < p.cols; ++j)
      if (!m.real(i, j)) p.at(i, j) = with();
}

TEST_P(padding_test, what_the_padding_holds_does_not_matter) {
  case_turns turns;
  for (const operation op : all_operations())
    for (const shape& sh : shapes(op))
      for (const mask& m : masks_for(op, sh.rows, sh.cols)) {
        if (turns.skips()) continue;
        problem p = make_problem(sh.rows * sh.cols, sh.rows, sh.cols, flavour::normal, is_row_wise(op));
        setup s;
        s.pad = m;
        overwrite_padding(p, m, [] { return 0.0f; });
        const result expected = run(op, p, s);
        ASSERT_EQ(expected.status, SIMDNORM_OK) << simdnorm_status_string(expected.status);
        for (std::size_t k = 0; k < expected.y.size(); ++k) {
          const bool real = m.real(k / sh.cols, k % sh.cols);
          if (!real) {
            ASSERT_EQ(bits_of(expected.y[k]), 0u) << name_of(op) << ": padded output is not +0";
          }
          ASSERT_EQ(expected.y[k], expected.y[k]) << name_of(op) << ": NaN";
        }
        generator g(5);
        const std::function<float()> fillers[] = {
            [] { return float_of(0x7fc00000); }, [] { return float_of(0xff800000); }, [] { return -0.0f; },
            [] { return 3e38f; }, [&] { return float_of(static_cast<std::uint32_t>(g.next())); }};
        for (const auto& filler : fillers) {
          overwrite_padding(p, m, filler);
          ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op) << " " << sh.rows << "x" << sh.cols;
          if (!has_y(op)) continue;
          s.in_place = true;
          ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op) << " in place";
          s.in_place = false;
        }
      }
}

TEST_P(padding_test, fill_keep_leaves_padded_outputs_alone) {
  for (const operation op : all_operations()) {
    if (!has_y(op)) continue;
    for (const shape& sh : shapes(op))
      for (mask m : masks_for(op, sh.rows, sh.cols)) {
        const problem p = make_problem(sh.rows * sh.cols, sh.rows, sh.cols, flavour::normal, is_row_wise(op));
        setup s;
        s.pad = m;
        const result zeroed = run(op, p, s);
        s.pad.fill = SIMDNORM_FILL_KEEP;
        for (const bool in_place : {false, true}) {
          s.in_place = in_place;
          const result kept = run(op, p, s);
          ASSERT_EQ(kept.status, SIMDNORM_OK);
          ASSERT_TRUE(same_bits(kept.f32, zeroed.f32));
          for (std::size_t k = 0; k < kept.y.size(); ++k) {
            const bool real = m.real(k / sh.cols, k % sh.cols);
            const std::uint32_t expected = real ? bits_of(zeroed.y[k]) : in_place ? bits_of(p.x[k]) : unwritten;
            ASSERT_EQ(bits_of(kept.y[k]), expected)
                << name_of(op) << " " << sh.rows << "x" << sh.cols << ", element " << k;
          }
        }
      }
  }
}

// Columns: the real rows, packed together, give the same bits. So the padded length of a batch does
// not matter either.
TEST_P(padding_test, masked_columns_have_the_bits_of_the_packed_matrix) {
  case_turns turns;
  for (const operation op : all_operations()) {
    if (is_row_wise(op)) continue;
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const shape& sh : shapes(op))
        for (const mask& m : masks_for(op, sh.rows, sh.cols)) {
          if (masks_elements(m) || turns.skips()) continue;  // see element_masks
          const problem p = make_problem(sh.rows + f, sh.rows, sh.cols, static_cast<flavour>(f), false);
          problem packed = p;
          packed.x.clear();
          packed.weights.clear();
          packed.rows = 0;
          for (std::size_t i = 0; i < sh.rows; ++i) {
            if (!m.real(i, 0)) continue;
            packed.weights.push_back(p.weights[i]);
            packed.x.insert(packed.x.end(), p.x.begin() + static_cast<std::ptrdiff_t>(i * sh.cols),
                            p.x.begin() + static_cast<std::ptrdiff_t>((i + 1) * sh.cols));
            ++packed.rows;
          }
          if (packed.rows == 0) continue;  // see no_real_element
          setup s;
          s.pad = m;
          result masked = run(op, p, s);
          if (has_y(op)) {
            std::vector<float> real;
            for (std::size_t i = 0; i < sh.rows; ++i)
              if (m.real(i, 0))
                real.insert(real.end(), masked.y.begin() + static_cast<std::ptrdiff_t>(i * sh.cols),
                            masked.y.begin() + static_cast<std::ptrdiff_t>((i + 1) * sh.cols));
            masked.y = real;
          }
          ASSERT_EQ(difference(masked, run(op, packed)), "")
              << name_of(op) << " " << sh.rows << "x" << sh.cols << " flavour " << f;
        }
  }
}

// Rows: a row of length n has the bits of a matrix with n columns.
TEST_P(padding_test, a_short_row_has_the_bits_of_a_narrow_matrix) {
  for (const operation op : all_operations()) {
    if (!is_row_wise(op)) continue;
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const std::size_t cols : {1, 7, 40, 150, 600}) {
        const problem p = make_problem(cols + f, 20, cols, static_cast<flavour>(f), true);
        setup s;
        s.pad = random_row_lengths(20, cols, f);
        const result all = run(op, p, s);
        for (std::size_t i = 0; i < 20; ++i) {
          problem one = p;
          one.rows = 1;
          one.cols = static_cast<std::size_t>(s.pad.lengths[i]);
          one.x.assign(p.x.begin() + static_cast<std::ptrdiff_t>(i * cols),
                       p.x.begin() + static_cast<std::ptrdiff_t>(i * cols + one.cols));
          one.gamma.resize(one.cols);
          one.beta.resize(one.cols);
          const result alone = run(op, one);
          for (std::size_t j = 0; j < one.cols; ++j)
            ASSERT_EQ(bits_of(all.y[i * cols + j]), bits_of(alone.y[j]))
                << name_of(op) << ", row " << i << ", column " << j;
          if (one.cols == 0) continue;  // no columns: nothing is written
          for (std::size_t k = 0; k < alone.f32.size(); ++k)
            ASSERT_EQ(bits_of(all.f32[k * 20 + i]), bits_of(alone.f32[k]));
        }
      }
  }
}

// Runs of real rows and of padded ones, long and short, of `longest` rows at most; and the same rows as other masks.
std::vector<mask> runs_of_rows(std::size_t rows, std::size_t longest, std::uint64_t seed) {
  generator g(seed);
  mask m;
  m.kind = SIMDNORM_PADDING_ROW_MASK;
  for (bool real = g.below(2) != 0; m.rows.size() < rows; real = !real)
    m.rows.resize(std::min(rows, m.rows.size() + g.between(1, longest)), real ? 255 : 0);
  const std::size_t tokens = rows / 12;
  std::vector<std::int64_t> lengths;
  for (std::size_t b = 0; b < rows / tokens; ++b)
    lengths.push_back(static_cast<std::int64_t>(g.below(3) == 0 ? g.below(2) * tokens : g.between(0, tokens)));
  const auto end = static_cast<std::int64_t>(rows);
  return {m, as_row_mask_bits(m, rows), sequences(lengths, tokens), packed_sequences(end / 3 + 1, end - 40, seed)};
}

// Rows: every real row has the bits that it has alone, every padded one is zeros or left alone, however real and padded
// rows follow each other.
TEST_P(padding_test, real_rows_have_the_bits_that_they_have_alone) {
  case_turns turns;
  for (const operation op : all_operations()) {
    if (!is_row_wise(op)) continue;
    for (const std::size_t cols : {5, 32, 65}) {
      const std::size_t rows = 1020;
      const problem p = make_problem(cols, rows, cols, flavour::normal, true);
      const result plain = run(op, p);
      for (const std::size_t longest : {2, 12, 70, 600})
        for (mask& m : runs_of_rows(rows, longest, cols + longest))
          for (const simdnorm_padding_fill fill : {SIMDNORM_FILL_ZERO, SIMDNORM_FILL_KEEP}) {
            if (turns.skips()) continue;
            setup s;
            s.pad = m;
            s.pad.fill = fill;
            const result masked = run(op, p, s);
            ASSERT_EQ(masked.status, SIMDNORM_OK);
            ASSERT_TRUE(masked.intact);
            for (std::size_t k = 0; k < masked.y.size(); ++k) {
              const std::uint32_t padded = fill == SIMDNORM_FILL_ZERO ? 0 : unwritten;
              const std::uint32_t expected = m.real(k / cols, 0) ? bits_of(plain.y[k]) : padded;
              ASSERT_EQ(bits_of(masked.y[k]), expected) << name_of(op) << ", row " << k / cols << ", kind " << m.kind;
            }
            for (std::size_t k = 0; k + rows <= plain.f32.size() && k < 2 * rows; ++k) {
              if (!m.real(k % rows, 0)) continue;
              ASSERT_EQ(bits_of(masked.f32[k]), bits_of(plain.f32[k])) << name_of(op) << ", statistic of " << k % rows;
            }
          }
    }
  }
}

TEST_P(padding_test, every_form_of_the_same_mask_gives_the_same_bits) {
  for (const operation op : all_operations())
    for (const auto& [batch, tokens] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {2, 4}, {7, 30}, {32, 10}, {3, 100}, {9, 1}})
      for (const simdnorm_padding_fill fill : {SIMDNORM_FILL_ZERO, SIMDNORM_FILL_KEEP}) {
        generator g(batch);
        std::vector<std::int64_t> lengths;
        for (std::size_t b = 0; b < batch; ++b) lengths.push_back(static_cast<std::int64_t>(g.between(0, tokens)));
        const std::size_t rows = batch * tokens, cols = 19;
        const problem p = make_problem(batch, rows, cols, flavour::specials, is_row_wise(op));
        setup s;
        s.pad = sequences(lengths, tokens);
        s.pad.fill = fill;
        const result i64 = run(op, p, s);
        ASSERT_EQ(i64.status, SIMDNORM_OK);
        setup other = s;
        other.pad.index_type = SIMDNORM_I32;
        ASSERT_EQ(difference(run(op, p, other), i64), "") << name_of(op) << ": i32 lengths";
        for (const std::uint8_t yes : {1, 2, 128, 255}) {
          other = s;
          other.pad = as_row_mask(s.pad, rows, yes);
          ASSERT_EQ(difference(run(op, p, other), i64), "") << name_of(op) << ": row mask of " << int{yes};
        }
        other = s;
        other.pad = as_row_mask_bits(s.pad, rows);
        ASSERT_EQ(difference(run(op, p, other), i64), "") << name_of(op) << ": row mask of bits";
        other.pad = packed_sequences(static_cast<std::int64_t>(rows / 3), static_cast<std::int64_t>(rows / 2), batch);
        other.pad.fill = fill;
        const result packed = run(op, p, other);
        ASSERT_EQ(packed.status, SIMDNORM_OK);
        for (const simdnorm_index_type type : {SIMDNORM_I32, SIMDNORM_I64}) {
          setup bytes = other;
          bytes.pad = as_row_mask(other.pad, rows);
          other.pad.index_type = type;
          ASSERT_EQ(difference(run(op, p, bytes), run(op, p, other)), "") << name_of(op) << ": offsets";
        }
        if (!is_row_wise(op)) {
          other.pad = random_elements(rows, cols, batch, false);
          other.pad.fill = fill;
          const result bytes = run(op, p, other);
          ASSERT_EQ(bytes.status, SIMDNORM_OK);
          other.pad.kind = SIMDNORM_PADDING_ELEMENT_MASK_BITS;
          ASSERT_EQ(difference(run(op, p, other), bytes), "") << name_of(op) << ": element mask of bits";
        }
        if (is_row_wise(op)) {
          for (const simdnorm_index_type type : {SIMDNORM_I32, SIMDNORM_I64}) {
            other.pad = as_row_lengths(s.pad, rows, cols);
            other.pad.index_type = type;
            ASSERT_EQ(difference(run(op, p, other), i64), "") << name_of(op) << ": row lengths";
          }
        }
      }
}

// A column's bits are those of that column alone, with its gaps.
TEST_P(padding_test, columns_with_gaps_do_not_touch_each_other) {
  for (const operation op : all_operations()) {
    if (is_row_wise(op)) continue;
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const std::size_t rows : {1, 40, 200}) {
        const std::size_t cols = 23;
        const problem p = make_problem(rows + f, rows, cols, static_cast<flavour>(f), false);
        setup s;
        s.pad = random_elements(rows, cols, rows + f, false);
        const result all = run(op, p, s);
        for (std::size_t j = 0; j < cols; ++j) {
          problem one = p;
          setup alone;
          alone.pad = s.pad;
          alone.pad.cols = one.cols = 1;
          one.x.clear();
          alone.pad.elements.clear();
          for (std::size_t i = 0; i < rows; ++i) {
            one.x.push_back(p.at(i, j));
            alone.pad.elements.push_back(s.pad.elements[i * cols + j]);
          }
          for (std::vector<float>* v : {&one.gamma, &one.beta, &one.mean, &one.variance}) *v = {(*v)[j]};
          for (std::vector<double>* v : {&one.centre, &one.scale, &one.low, &one.high}) *v = {(*v)[j]};
          const result r = run(op, one, alone);
          for (std::size_t i = 0; i < r.y.size(); ++i)
            ASSERT_EQ(bits_of(r.y[i]), bits_of(all.y[i * cols + j])) << name_of(op) << ", column " << j;
          for (std::size_t k = 0; k < r.f32.size(); ++k)
            ASSERT_EQ(bits_of(r.f32[k]), bits_of(all.f32[k * cols + j])) << name_of(op) << ", column " << j;
          const std::size_t width = doubles_per_column(op);
          for (std::size_t k = 0; k < r.f64.size(); ++k) {
            const std::size_t at = (k / width * cols + j) * width + k % width;
            ASSERT_EQ(bits_of(r.f64[k]), bits_of(all.f64[at])) << name_of(op) << ", column " << j << ", " << k;
          }
        }
      }
  }
}

// Rows that an element mask leaves out as a whole keep their places in blocks: statistics agree with those of
// the row mask as well as they are accurate.
TEST_P(padding_test, an_element_mask_of_full_rows_agrees_with_the_row_mask) {
  for (const std::size_t rows : {70, 300, 5000}) {
    const std::size_t cols = 19;
    const problem p = make_problem(rows, rows, cols, flavour::normal, false);
    setup by_rows;
    by_rows.pad = row_masks(rows, rows)[1];
    by_rows.pad.kind = SIMDNORM_PADDING_ROW_MASK;
    setup by_elements;
    by_elements.pad.kind = SIMDNORM_PADDING_ELEMENT_MASK;
    by_elements.pad.cols = cols;
    for (std::size_t k = 0; k < rows * cols; ++k) by_elements.pad.elements.push_back(by_rows.pad.rows[k / cols]);
    const result a = run(operation::column_moments, p, by_rows), b = run(operation::column_moments, p, by_elements);
    for (std::size_t j = 0; j < cols; ++j) {
      const double* m = a.f64.data() + 6 * j;
      const double* n = b.f64.data() + 6 * j;
      for (const std::size_t k : {0, 3, 4, 5}) ASSERT_EQ(m[k], n[k]);
      ASSERT_LE(std::fabs(m[1] - n[1]), 0x1p-21 * std::sqrt(m[2] / m[5]) + std::fabs(m[1]) * 0x1p-50);
      ASSERT_LE(std::fabs(m[2] - n[2]), 0x1p-21 * m[2]);
    }
    const result c = run(operation::standardize, p, by_rows), d = run(operation::standardize, p, by_elements);
    for (std::size_t k = 0; k < c.y.size(); ++k)
      ASSERT_NEAR(c.y[k], d.y[k], 5 * ulp_f32(std::max(1.0, std::fabs(static_cast<double>(c.y[k])))));
  }
}

TEST_P(padding_test, a_mask_that_pads_nothing_gives_the_bits_of_no_mask) {
  for (const operation op : all_operations()) {
    const problem p = make_problem(3, 60, 33, flavour::hostile, is_row_wise(op));
    if (!is_row_wise(op)) {
      for (std::size_t f = 0; f < flavour_count; ++f)
        for (const std::size_t rows : {1, 60, 64, 200, 4500}) {
          const std::size_t cols = rows > 1000 ? 5 : 33;
          const problem q = make_problem(f, rows, cols, static_cast<flavour>(f), false);
          setup elements;
          elements.pad.cols = cols;
          elements.pad.elements.assign(rows * cols, 9);
          for (const simdnorm_padding_kind kind : {SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
            elements.pad.kind = kind;
            ASSERT_EQ(difference(run(op, q, elements), run(op, q)), "") << name_of(op) << ", element mask " << rows;
          }
        }
    }
    const result expected = run(op, p);
    setup s;
    s.pad = sequences(std::vector<std::int64_t>(6, 10), 10);
    ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op);
    s.pad = as_row_mask(s.pad, 60, 77);
    ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op);
    s.pad = packed_sequences(0, 60, 1);
    ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op);
    if (!is_row_wise(op)) continue;
    s.pad = as_elements(s.pad, 60, 33);
    ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op) << ": elements";
    s.pad = as_bits(s.pad);
    ASSERT_EQ(difference(run(op, p, s), expected), "") << name_of(op) << ": bits of elements";
  }
}

// An element mask that marks a prefix of each row is lengths of rows; rows that are longer than what the kernels
// keep of them, and hostile ones, too.
TEST_P(padding_test, an_element_mask_of_prefixes_gives_the_bits_of_row_lengths) {
  case_turns turns;
  for (const operation op : all_operations()) {
    if (!is_row_wise(op)) continue;
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const std::size_t cols : {1, 9, 40, 63, 64, 65, 100, 150, 600, 1100, 4100, 9000}) {
        if (turns.skips()) continue;
        const std::size_t rows = cols > 2000 ? 5 : 11;
        problem p = make_problem(cols + f, rows, cols, static_cast<flavour>(f), true);
        for (std::size_t j = 0; j < std::min<std::size_t>(cols, 70); ++j) p.at(rows - 1, j) = -0.0f;
        const float strange_nan = -std::nanf("0x54321");  // outputs are the canonical one
        if (f % 3 == 1) p.gamma[cols / 3] = strange_nan;
        if (f % 3 == 2) p.beta[cols / 3] = strange_nan;
        setup s;
        s.pad = random_row_lengths(rows, cols, f);
        for (const simdnorm_padding_fill fill : {SIMDNORM_FILL_ZERO, SIMDNORM_FILL_KEEP}) {
          s.pad.fill = fill;
          setup other = s;
          for (const bool in_place : {false, true}) {
            s.in_place = other.in_place = in_place;
            const result lengths = run(op, p, s);
            ASSERT_EQ(lengths.status, SIMDNORM_OK);
            other.pad = as_elements(s.pad, rows, cols);
            const result bytes = run(op, p, other);
            ASSERT_TRUE(bytes.intact) << name_of(op);
            ASSERT_EQ(difference(bytes, lengths), "") << name_of(op) << " " << cols << " flavour " << f;
            other.pad = as_bits(other.pad);
            ASSERT_EQ(difference(run(op, p, other), lengths), "") << name_of(op) << " " << cols << " flavour " << f;
          }
        }
      }
  }
}

// mean 0, rstd 0, running statistics as they were, status ok.
TEST_P(padding_test, no_real_element) {
  for (const operation op : all_operations()) {
    const std::size_t rows = 70, cols = 21;
    const problem p = make_problem(1, rows, cols, flavour::specials, is_row_wise(op));
    std::vector<mask> masks(4);
    masks[0] = sequences(std::vector<std::int64_t>(7, 0), 10);
    masks[1] = as_row_mask(masks[0], rows);
    masks[2] = as_row_mask_bits(masks[0], rows);
    masks[3] = packed_sequences(9, 9, 1);
    if (is_row_wise(op)) {
      masks.push_back(as_row_lengths(masks[0], rows, cols));
      masks.push_back(as_elements(masks[0], rows, cols));
      masks.push_back(as_bits(masks.back()));
    }
    if (!is_row_wise(op)) {
      mask none;
      none.kind = SIMDNORM_PADDING_ELEMENT_MASK;
      none.cols = cols;
      none.elements.assign(rows * cols, 0);
      masks.push_back(none);
      none.kind = SIMDNORM_PADDING_ELEMENT_MASK_BITS;
      masks.push_back(none);
    }
    for (const mask& m : masks) {
      setup s;
      s.pad = m;
      const result r = run(op, p, s);
      ASSERT_EQ(r.status, SIMDNORM_OK) << name_of(op);
      for (const float v : r.y) ASSERT_EQ(bits_of(v), 0u) << name_of(op);
      if (op == operation::batch_norm_training_affine || op == operation::batch_norm_training_add) {
        for (std::size_t j = 0; j < cols; ++j) {
          ASSERT_EQ(bits_of(r.f32[j]), bits_of(p.mean[j])) << "running mean";
          ASSERT_EQ(bits_of(r.f32[cols + j]), bits_of(p.variance[j])) << "running variance";
          if (op == operation::batch_norm_training_add) continue;
          ASSERT_EQ(bits_of(r.f32[2 * cols + j]), 0u) << "mean";
          ASSERT_EQ(bits_of(r.f32[3 * cols + j]), 0u) << "rstd";
        }
      } else {
        for (const float v : r.f32) ASSERT_EQ(bits_of(v), 0u) << name_of(op);
      }
      for (std::size_t k = 0; k < r.f64.size(); ++k) {
        // The scale of a column without spread is 1.
        const bool standardized =
            op == operation::standardize_fit || op == operation::standardize || op == operation::standardize_weighted;
        const bool scale = (standardized && k >= cols) || op == operation::max_abs_fit || op == operation::max_abs;
        ASSERT_EQ(bits_of(r.f64[k]), bits_of(scale ? 1.0 : 0.0)) << name_of(op) << " " << k;
      }
    }
  }
}

}  // namespace
}  // namespace simdnorm::test

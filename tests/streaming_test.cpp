// SPDX-License-Identifier: Apache-2.0
//
// Streaming moments: any pieces give the bits of one shot, copies go on independently, merges agree.

#include <gtest/gtest.h>

#include <cstring>

#include "data/column_state_v1.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class streaming_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(streaming_test);

void expect_same(const std::vector<moments>& a, const std::vector<moments>& b, const std::string& where) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t j = 0; j < a.size(); ++j) {
    ASSERT_EQ(a[j].count, b[j].count) << where;
    ASSERT_EQ(bits_of(a[j].mean), bits_of(b[j].mean))
        << where << ", mean of column " << j << ": " << a[j].mean << " " << b[j].mean;
    ASSERT_EQ(bits_of(a[j].m2), bits_of(b[j].m2))
        << where << ", m2 of column " << j << ": " << a[j].m2 << " " << b[j].m2;
    ASSERT_EQ(bits_of(a[j].min), bits_of(b[j].min)) << where << ", min of column " << j;
    ASSERT_EQ(bits_of(a[j].max), bits_of(b[j].max)) << where << ", max of column " << j;
    ASSERT_EQ(bits_of(a[j].weight), bits_of(b[j].weight)) << where << ", weight of column " << j;
  }
}

std::vector<moments> one_shot(const problem& p, const column_options& o = {}) {
  std::vector<moments> out(p.cols);
  EXPECT_EQ(column_moments({p.x.data(), p.rows, p.cols}, out, o), status::ok);
  return out;
}
std::vector<moments> result_of(const column_accumulator& a) {
  std::vector<moments> out(a.cols());
  EXPECT_EQ(a.result(out), status::ok);
  return out;
}

// Cuts [0, rows) at random; pieces of 0, 1, 63, 64, 65 rows are likely.
std::vector<std::size_t> pieces(generator& g, std::size_t rows) {
  static const std::size_t sizes[] = {0, 1, 2, 63, 64, 65, 128, 127, 4095, 4096, 4097};
  std::vector<std::size_t> all;
  for (std::size_t done = 0; done < rows;) {
    std::size_t n = g.below(3) ? sizes[g.below(std::size(sizes))] : g.below(rows + 1);
    n = std::min(n, rows - done);
    all.push_back(n);
    done += n;
  }
  all.push_back(0);
  return all;
}

void feed(column_accumulator& a, const problem& p, const std::vector<std::size_t>& sizes,
          const std::vector<std::uint8_t>* mask = nullptr) {
  std::size_t row = 0;
  for (const std::size_t n : sizes) {
    column_options o;
    if (mask) o.pad = padding::row_mask({mask->data() + row, n});
    ASSERT_EQ(a.update({p.x.data() + row * p.cols, n, p.cols}, o), status::ok);
    row += n;
  }
  ASSERT_EQ(row, p.rows);
}

struct shape {
  std::size_t rows, cols;
};
const shape shapes[] = {{1, 1},     {64, 3},   {65, 300}, {130, 17}, {700, 5},
                        {1000, 33}, {4096, 2}, {4097, 3}, {9000, 7}, {70, 513}};

TEST_P(streaming_test, any_pieces_give_the_bits_of_one_shot) {
  for (const shape& sh : shapes)
    for (std::size_t f = 0; f < flavour_count; ++f) {
      const problem p = make_problem(sh.rows + f, sh.rows, sh.cols, static_cast<flavour>(f), false);
      const std::vector<moments> expected = one_shot(p);
      generator g(f);
      for (int round = 0; round < 12; ++round) {
        column_accumulator a(sh.cols);
        feed(a, p, pieces(g, sh.rows));
        expect_same(result_of(a), expected, std::to_string(sh.rows) + "x" + std::to_string(sh.cols));
      }
      column_accumulator one_by_one(sh.cols), with_results(sh.cols);
      feed(one_by_one, p, std::vector<std::size_t>(sh.rows, 1));
      expect_same(result_of(one_by_one), expected, "row by row");
      for (std::size_t i = 0; i < sh.rows && i < 200; ++i) {
        ASSERT_EQ(with_results.update({p.x.data() + i * sh.cols, 1, sh.cols}), status::ok);
        problem prefix = p;
        prefix.rows = i + 1;
        if (i % 9 == 0 || i % 64 > 61 || i % 64 < 2)
          expect_same(result_of(with_results), one_shot(prefix), "asked after row " + std::to_string(i));
      }
    }
}

TEST_P(streaming_test, masks_in_pieces) {
  for (const shape& sh : shapes)
    for (const std::size_t odds : {2, 10, 100}) {
      const problem p = make_problem(sh.rows, sh.rows, sh.cols, flavour::normal, false);
      generator g(odds);
      std::vector<std::uint8_t> mask(sh.rows);
      problem packed = p;
      packed.rows = 0;
      packed.x.clear();
      for (std::size_t i = 0; i < sh.rows; ++i) {
        mask[i] = static_cast<std::uint8_t>(g.below(odds) ? 3 : 0);
        if (!mask[i]) continue;
        ++packed.rows;
        packed.x.insert(packed.x.end(), p.x.begin() + static_cast<std::ptrdiff_t>(i * sh.cols),
                        p.x.begin() + static_cast<std::ptrdiff_t>((i + 1) * sh.cols));
      }
      const std::vector<moments> expected = one_shot(packed);
      column_options o;
      o.pad = padding::row_mask(mask);
      expect_same(one_shot(p, o), expected, "one shot, masked");
      for (int round = 0; round < 6; ++round) {
        column_accumulator a(sh.cols);
        feed(a, p, pieces(g, sh.rows), &mask);
        expect_same(result_of(a), expected, "masked pieces");
      }
    }
}

// Pitch, broadcast and sequence lengths of a piece.
TEST_P(streaming_test, pieces_of_any_layout) {
  const std::size_t cols = 11, rows = 300;
  const problem p = make_problem(1, rows, 2 * cols, flavour::normal, false);
  problem left = make_problem(1, rows + 6, cols, flavour::normal, false);
  for (std::size_t i = 0; i < rows; ++i)
    std::memcpy(left.x.data() + i * cols, p.x.data() + i * 2 * cols, cols * sizeof(float));
  for (std::size_t i = rows; i < rows + 6; ++i) std::memcpy(left.x.data() + i * cols, p.x.data(), cols * sizeof(float));
  column_accumulator a(cols);
  ASSERT_EQ(a.update({p.x.data(), rows, cols, 2 * cols}), status::ok);
  const std::int32_t lengths[] = {1, 0, 5};
  column_options o;
  o.pad = padding::sequence_lengths(std::span<const std::int32_t>(lengths), 7);
  ASSERT_EQ(a.update({p.x.data(), 21, cols, 0}, o), status::ok);
  expect_same(result_of(a), one_shot(left), "pitch, then six times one row");
}

TEST_P(streaming_test, executors_do_not_change_bits) {
  // Covered for one-shot calls in bits_test; here: a piece with an executor beside one without.
  struct inline_executor {
    static int run(void*, std::size_t count, simdnorm_task task, void* arg) {
      for (std::size_t i = count; i-- > 0;) task(arg, i);
      return 0;
    }
  };
  const simdnorm_executor executor{nullptr, 8, &inline_executor::run};
  const problem p = make_problem(3, 20000, 40, flavour::normal, false);
  column_options o;
  o.exec = &executor;
  column_accumulator a(40);
  ASSERT_EQ(a.update({p.x.data(), 100, 40}), status::ok);
  ASSERT_EQ(a.update({p.x.data() + 100 * 40, 19900, 40}, o), status::ok);
  expect_same(result_of(a), one_shot(p), "executor");
}

// The state is plain data.
TEST_P(streaming_test, a_state_copied_by_memcpy_goes_on) {
  const std::size_t cols = 9, size = simdnorm_column_state_size(cols, SIMDNORM_F32);
  ASSERT_GT(size, 0u);
  const problem p = make_problem(5, 500, cols, flavour::normal, false);
  const std::vector<moments> expected = one_shot(p);
  for (const std::size_t first : {0, 1, 63, 64, 65, 200, 500}) {
    void *here = std::aligned_alloc(64, (size + 63) / 64 * 64), *there = std::aligned_alloc(64, (size + 63) / 64 * 64);
    simdnorm_column_state* state = nullptr;
    ASSERT_EQ(simdnorm_column_state_init(here, size, cols, SIMDNORM_F32, &state), SIMDNORM_OK);
    const simdnorm_const_matrix head{p.x.data(), first, cols, cols, SIMDNORM_F32};
    const simdnorm_const_matrix tail{p.x.data() + first * cols, 500 - first, cols, cols, SIMDNORM_F32};
    ASSERT_EQ(simdnorm_column_state_update(state, &head, nullptr), SIMDNORM_OK);
    std::memcpy(there, here, size);
    std::memset(here, 0xee, size);  // the copy must not look back
    auto* copy = static_cast<simdnorm_column_state*>(there);
    ASSERT_EQ(simdnorm_column_state_update(copy, &tail, nullptr), SIMDNORM_OK);
    std::vector<moments> out(cols);
    ASSERT_EQ(simdnorm_column_state_result(copy, out.data()), SIMDNORM_OK);
    expect_same(out, expected, "copied after " + std::to_string(first));
    std::free(here);
    std::free(there);
  }
  // The C++ copy, assignment and move.
  column_accumulator a(cols);
  ASSERT_EQ(a.update({p.x.data(), 77, cols}), status::ok);
  column_accumulator b(a), c(1);
  c = a;
  column_accumulator d(std::move(a));
  for (column_accumulator* other : {&b, &c, &d}) {
    ASSERT_EQ(other->update({p.x.data() + 77 * cols, 423, cols}), status::ok);
    expect_same(result_of(*other), expected, "C++ copy");
  }
}

TEST_P(streaming_test, merging_with_an_empty_state_changes_nothing) {
  for (const std::size_t rows : {1, 64, 100, 5000}) {
    const problem p = make_problem(rows, rows, 6, flavour::hostile, false);
    column_accumulator full(6), empty(6), other(6);
    ASSERT_EQ(full.update({p.x.data(), rows, 6}), status::ok);
    const std::vector<moments> before = result_of(full);
    ASSERT_EQ(full.merge(empty), status::ok);
    expect_same(result_of(full), before, "full + empty");
    ASSERT_EQ(other.merge(full), status::ok);
    expect_same(result_of(other), before, "empty + full");
  }
}

// Chan's formula, whatever the tree, to 1e-13; and what f64 loses when means are far from 0: half an
// ulp of the mean moves m2 by up to |mean| / sigma * 2^-52 of itself.
TEST_P(streaming_test, merge_trees_agree) {
  const std::size_t cols = 5, parts = 16;
  for (const std::size_t rows : {64, 100, 5000})
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const problem p = make_problem(seed, rows * parts, cols, flavour::normal, false);
      std::vector<column_accumulator> leaves;
      std::vector<std::vector<moments>> values;
      for (std::size_t k = 0; k < parts; ++k) {
        leaves.emplace_back(cols);
        ASSERT_EQ(leaves[k].update({p.x.data() + k * rows * cols, rows, cols}), status::ok);
        values.push_back(result_of(leaves[k]));
      }
      column_accumulator chain(leaves[0]);
      for (std::size_t k = 1; k < parts; ++k) ASSERT_EQ(chain.merge(leaves[k]), status::ok);
      column_accumulator backwards(leaves[parts - 1]);
      for (std::size_t k = parts - 1; k-- > 0;) ASSERT_EQ(backwards.merge(leaves[k]), status::ok);
      std::vector<column_accumulator> tree = leaves;
      for (std::size_t step = 1; step < parts; step *= 2)
        for (std::size_t k = 0; k + step < parts; k += 2 * step) ASSERT_EQ(tree[k].merge(tree[k + step]), status::ok);
      const std::vector<moments> a = result_of(chain), b = result_of(backwards), c = result_of(tree[0]),
                                 whole = one_shot(p);
      for (std::size_t j = 0; j < cols; ++j) {
        moments plain = values[0][j];
        for (std::size_t k = 1; k < parts; ++k) plain = merge(plain, values[k][j]);
        const double sigma = std::sqrt(a[j].m2 / static_cast<double>(a[j].count));
        for (const moments& m : {b[j], c[j], plain}) {
          ASSERT_EQ(m.count, rows * parts);
          ASSERT_LE(std::fabs(m.mean - a[j].mean), 1e-13 * sigma + std::fabs(a[j].mean) * 0x1p-51);
          ASSERT_LE(std::fabs(m.m2 - a[j].m2), (1e-13 + std::fabs(a[j].mean) / sigma * 0x1p-52) * a[j].m2);
          ASSERT_EQ(m.min, a[j].min);
          ASSERT_EQ(m.max, a[j].max);
        }
        ASSERT_LE(std::fabs(whole[j].m2 - a[j].m2), 0x1p-20 * a[j].m2);
      }
    }
}

// Updates go on after a merge.
TEST_P(streaming_test, merge_then_update) {
  const std::size_t cols = 4;
  const problem p = make_problem(8, 1000, cols, flavour::normal, false);
  column_accumulator a(cols), b(cols);
  ASSERT_EQ(a.update({p.x.data(), 300, cols}), status::ok);
  ASSERT_EQ(b.update({p.x.data() + 300 * cols, 33, cols}), status::ok);
  ASSERT_EQ(a.merge(b), status::ok);
  ASSERT_EQ(a.update({p.x.data() + 333 * cols, 667, cols}), status::ok);
  const std::vector<moments> out = result_of(a);
  for (std::size_t j = 0; j < cols; ++j) {
    const exact_moments e = oracle_moments(p.x.data() + j, 1000, cols);
    EXPECT_EQ(out[j].count, 1000u);
    EXPECT_LE(std::fabs(out[j].mean - static_cast<double>(e.mean)),
              static_cast<double>(e.sigma()) * 0x1p-24 + std::fabs(out[j].mean) * 0x1p-51);
    EXPECT_LE(std::fabs(out[j].m2 - static_cast<double>(e.m2)), static_cast<double>(e.m2) * 0x1p-21);
    EXPECT_EQ(out[j].min, e.min);
    EXPECT_EQ(out[j].max, e.max);
  }
}

// Rows with weights, elements that are missing or masked; some pieces have none of that.
struct gapped {
  problem p;
  std::vector<std::uint8_t> elements, rows;
  bool missing = false;

  gapped(std::uint64_t seed, std::size_t count, std::size_t cols, flavour f)
      : p(make_problem(seed, count, cols, f, false)) {
    generator g(seed);
    missing = (g.next() & 1) != 0;
    const std::size_t plain = g.below(count + 1);  // so many rows have no gaps and weights of 1
    for (std::size_t i = 0; i < count; ++i) {
      rows.push_back(static_cast<std::uint8_t>(g.below(9) != 0));
      if (i < plain) p.weights[i] = 1;
      for (std::size_t j = 0; j < cols; ++j) {
        elements.push_back(static_cast<std::uint8_t>(i < plain || g.below(5) != 0));
        if (missing && i >= plain && g.below(8) == 0) p.at(i, j) = float_of(0x7fc00000);
      }
    }
    plain_rows = plain;
  }
  std::size_t plain_rows = 0;

  column_options options(std::size_t row, std::size_t n) const {
    column_options o;
    o.pad = padding::element_mask({elements.data() + row * p.cols, n * p.cols});
    o.weights = {p.weights.data() + row, n};
    o.nan_is_missing = missing;
    return o;
  }
  [[nodiscard]] matrix_view<const float> view(std::size_t row, std::size_t n) const {
    return {p.x.data() + row * p.cols, n, p.cols};
  }
};

TEST_P(streaming_test, gaps_and_weights_in_any_pieces) {
  for (const shape& sh : shapes)
    for (std::size_t f = 0; f < flavour_count; ++f) {
      const gapped all(sh.rows + f, sh.rows, sh.cols, static_cast<flavour>(f));
      std::vector<moments> expected(sh.cols);
      ASSERT_EQ(column_moments(all.view(0, sh.rows), expected, all.options(0, sh.rows)), status::ok);
      generator g(f);
      for (int round = 0; round < 8; ++round) {
        column_accumulator a(sh.cols);
        std::size_t row = 0;
        for (const std::size_t n : pieces(g, sh.rows)) {
          // Pieces without gaps may come without a word of them.
          const bool nan = all.missing && static_cast<flavour>(f) == flavour::specials;
          const bool bare = !nan && row + n <= all.plain_rows && g.below(3) != 0;
          ASSERT_EQ(a.update(all.view(row, n), bare ? column_options{} : all.options(row, n)), status::ok);
          row += n;
        }
        expect_same(result_of(a), expected, std::to_string(sh.rows) + "x" + std::to_string(sh.cols));
      }
    }
}

TEST_P(streaming_test, merge_trees_with_gaps_and_weights_agree) {
  const std::size_t cols = 6, parts = 20;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    const std::size_t rows = seed % 3 == 0 ? 7 : seed % 3 == 1 ? 130 : 1500;
    gapped all(seed, rows * parts, cols, flavour::normal);
    for (float& v : all.p.x)  // means near 0: what f64 loses of far ones is in merge_trees_agree
      while (std::fabs(v) > 500) v = static_cast<float>(std::remainder(static_cast<double>(v), 100));
    std::vector<column_accumulator> leaves;
    for (std::size_t k = 0; k < parts; ++k) {
      leaves.emplace_back(cols);
      const bool bare = (k + 1) * rows <= all.plain_rows;
      ASSERT_EQ(leaves[k].update(all.view(k * rows, rows), bare ? column_options{} : all.options(k * rows, rows)),
                status::ok);
    }
    std::vector<std::vector<moments>> results;
    generator g(seed + 100);
    for (int tree = 0; tree < 6; ++tree) {
      std::vector<column_accumulator> left = leaves;
      while (left.size() > 1) {  // any two
        const std::size_t a = g.below(left.size()), b = g.below(left.size());
        if (a == b) continue;
        ASSERT_EQ(left[a].merge(left[b]), status::ok);
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(b));
      }
      results.push_back(result_of(left[0]));
    }
    for (const std::vector<moments>& r : results)
      for (std::size_t j = 0; j < cols; ++j) {
        const moments &m = r[j], &first = results[0][j];
        const double sigma = std::sqrt(first.m2 / first.weight);
        ASSERT_EQ(m.count, first.count);
        ASSERT_EQ(m.min, first.min);
        ASSERT_EQ(m.max, first.max);
        ASSERT_LE(std::fabs(m.weight - first.weight), 1e-13 * first.weight);
        ASSERT_LE(std::fabs(m.mean - first.mean), 1e-13 * (sigma + std::fabs(first.mean)));
        ASSERT_LE(std::fabs(m.m2 - first.m2), 1e-13 * first.m2);
      }
  }
}

std::vector<std::byte> bytes_of(const column_accumulator& a) {
  std::vector<std::byte> bytes(a.serialized_size());
  EXPECT_EQ(a.serialize(bytes), status::ok);
  return bytes;
}

TEST_P(streaming_test, a_serialized_state_goes_on) {
  for (const shape& sh : shapes)
    for (const bool plain : {false, true}) {
      const gapped all(sh.rows, sh.rows, sh.cols, flavour::specials);
      const auto options = [&](std::size_t row, std::size_t n) {
        return plain ? column_options{} : all.options(row, n);
      };
      std::vector<moments> expected(sh.cols);
      ASSERT_EQ(column_moments(all.view(0, sh.rows), expected, options(0, sh.rows)), status::ok);
      generator g(sh.rows);
      for (int round = 0; round < 8; ++round) {
        column_accumulator a(sh.cols);
        std::size_t row = 0;
        for (const std::size_t n : pieces(g, sh.rows)) {
          ASSERT_EQ(a.update(all.view(row, n), options(row, n)), status::ok);
          row += n;
          const std::vector<std::byte> bytes = bytes_of(a);
          a = column_accumulator::deserialize(bytes);
          ASSERT_TRUE(a);
          ASSERT_EQ(bytes_of(a), bytes);
        }
        expect_same(result_of(a), expected, "through bytes");
      }
    }
  column_accumulator none(0);
  EXPECT_TRUE(column_accumulator::deserialize(bytes_of(none)));
}

// The same bytes on every machine, and what they mean.
TEST_P(streaming_test, a_state_of_another_machine) {
  std::vector<float> x, weights;
  std::vector<std::uint8_t> elements(66 * 3, 1);
  elements[65 * 3 + 1] = 0;
  for (std::size_t i = 0; i < 66; ++i) {
    for (std::size_t j = 0; j < 3; ++j) x.push_back(static_cast<float>((i % 4) * (j + 1)));
    weights.push_back(static_cast<float>(1 + i % 2));
  }
  column_options o;
  o.pad = padding::element_mask(elements);
  o.weights = weights;
  column_accumulator a(3);
  ASSERT_EQ(a.update({x.data(), 66, 3}, o), status::ok);
  const std::vector<std::byte> mine = bytes_of(a);
  ASSERT_EQ(mine.size(), sizeof column_state_v1);
  EXPECT_EQ(std::memcmp(mine.data(), column_state_v1, mine.size()), 0);

  column_accumulator b = column_accumulator::deserialize(std::as_bytes(std::span(column_state_v1)));
  ASSERT_TRUE(b);
  expect_same(result_of(b), result_of(a), "of another machine");
  const problem more = make_problem(1, 500, 3, flavour::normal, false);
  for (column_accumulator* c : {&a, &b}) ASSERT_EQ(c->update({more.x.data(), 500, 3}), status::ok);
  expect_same(result_of(b), result_of(a), "and on");
}

std::uint64_t checksum(const std::vector<std::byte>& bytes) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (i < 24 || i >= 32) h = (h ^ static_cast<std::uint64_t>(bytes[i])) * 0x100000001b3;
  return h;
}

// A state that came of whatever bytes can be used.
void use(column_accumulator& a, const gapped& all) {
  std::vector<moments> out(a.cols());
  ASSERT_EQ(a.result(out), status::ok);
  ASSERT_EQ(bytes_of(a).size(), a.serialized_size());
  if (a.cols() != all.p.cols) return;
  column_accumulator other(a);
  ASSERT_EQ(a.update(all.view(0, 70), all.options(0, 70)), status::ok);
  ASSERT_EQ(a.merge(other), status::ok);
  ASSERT_EQ(a.update(all.view(0, 70)), status::ok);
  ASSERT_EQ(a.result(out), status::ok);
}

TEST_P(streaming_test, bytes_that_are_no_state) {
  const std::size_t cols = 3;
  const gapped all(4, 200, cols, flavour::normal);
  std::size_t taken = 0, refused = 0;
  for (const bool plain : {false, true}) {
    column_accumulator a(cols);
    ASSERT_EQ(a.update(all.view(0, 67), plain ? column_options{} : all.options(0, 67)), status::ok);
    const std::vector<std::byte> good = bytes_of(a);
    for (std::size_t n = 0; n < good.size(); ++n)
      ASSERT_FALSE(column_accumulator::deserialize(std::span(good).first(n))) << n << " bytes";
    std::vector<std::byte> longer = good;
    longer.push_back({});
    ASSERT_FALSE(column_accumulator::deserialize(longer));
    const auto seal = [](std::vector<std::byte>& bytes) {
      const std::uint64_t sum = checksum(bytes);
      std::memcpy(bytes.data() + 24, &sum, 8);
    };
    for (std::size_t i = 0; i < good.size(); ++i)
      for (int v = 1; v < 256; v += i < 64 ? 1 : 6) {
        std::vector<std::byte> bad = good;
        bad[i] ^= static_cast<std::byte>(v);
        ASSERT_FALSE(column_accumulator::deserialize(bad)) << "byte " << i;
        // The same with a checksum that is right.
        seal(bad);
        column_accumulator b = column_accumulator::deserialize(bad);
        ++(b ? taken : refused);
        if (b) use(b, all);
      }
    generator g(plain);
    for (int round = 0; round < 3000; ++round) {
      std::vector<std::byte> bad = good;
      for (std::size_t k = g.between(1, 9); k-- > 0;) bad[g.below(bad.size())] = static_cast<std::byte>(g.next());
      if (g.next() & 1) bad.resize(g.below(good.size() + 1));
      if (bad.size() >= 32) seal(bad);
      column_accumulator b = column_accumulator::deserialize(bad);
      if (b) use(b, all);
    }
  }
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace simdnorm::test

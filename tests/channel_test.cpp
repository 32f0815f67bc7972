// SPDX-License-Identifier: Apache-2.0
//
// What the norms of [batch, channels, spatial...] tensors promise beside accuracy: the same bits everywhere, not a byte
// outside their arrays, no influence of what is padded, a status for every bad argument.

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "support/channels.hpp"
#include "support/executors.hpp"
#include "support/isa_fixture.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace simdnorm::test {
namespace {

class channel_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(channel_test);

using op = channel_operation;

const std::vector<std::vector<std::size_t>> shapes = {{7, 5},         {3, 4, 7},      {2, 6, 33},     {5, 4, 4, 4},
                                                      {9, 4, 14, 14}, {3, 6, 5, 51},  {1, 3, 23, 29}, {2, 2, 3, 4, 5},
                                                      {2, 300, 3, 3}, {20, 10, 7, 7}, {1, 2, 2100}};

template <class Work>
void for_samples(Work work) {
  std::uint64_t seed = 0;
  case_turns turns;
  for (const op o : all_channel_operations())
    for (const auto& sizes : shapes)
      for (const bool last : {false, true}) {
        const channel_problem p = sample(o, sizes, ++seed);
        for (const mask& m : masks_for(p, seed)) {
          if (turns.skips()) continue;
          channel_setup s;
          s.last = last;
          s.pad = m;
          work(o, p, s);
        }
      }
}

TEST_P(channel_test, bits_as_scalar) {
  for_samples([&](op o, const channel_problem& p, const channel_setup& s) {
    const result mine = run(o, p, s);
    ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
    const result scalar = run(o, p, s);
    ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
    ASSERT_EQ(scalar.status, SIMDNORM_OK) << describe(o, p, s);
    ASSERT_EQ(difference(mine, scalar), "") << describe(o, p, s);
  });
}

TEST_P(channel_test, every_plane_size_as_scalar) {
  case_turns turns;
  for (const op o : all_channel_operations())
    for (std::size_t size = 1; size <= 300; size += size < 140 ? 1 : 7) {
      if (turns.skips()) continue;
      const channel_problem p = sample(o, {3, 4, size}, size);
      const result mine = run(o, p);
      ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
      const result scalar = run(o, p);
      ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
      ASSERT_EQ(scalar.status, SIMDNORM_OK);
      ASSERT_EQ(difference(mine, scalar), "") << describe(o, p);
    }
}

// Alignment, gaps between samples and channels, in place, past the caches: no bit of a result.
TEST_P(channel_test, wherever_it_lies) {
  const std::size_t before = simdnorm_stream_border();
  for (const std::size_t offset : {0, 1, 3, 8, 13}) {
    offset_arena memory(offset);
    for_samples([&](op o, const channel_problem& p, channel_setup s) {
      if (s.pad.fill == SIMDNORM_FILL_KEEP && s.pad.kind != SIMDNORM_PADDING_NONE) return;
      // Where channels last is what strides of rank 2 mean, a gap would make it channels first.
      const bool rank2 = p.positions() == 1;
      const result expected = run(o, p, s);
      ASSERT_EQ(expected.status, SIMDNORM_OK) << describe(o, p, s);
      for (const std::size_t gap : {0, 3, 16})
        for (const int variant : {0, 1, 2, 3}) {
          s.channel_gap = rank2 && !s.last ? 0 : gap;
          s.batch_gap = s.last && is_batch_norm(o) ? 0 : variant == 2 ? 5 : 0;
          s.reversed = variant == 3 && !(rank2 && !s.last);
          s.in_place = variant == 1;
          s.residual_is_y = variant == 2;
          const result r = run(o, p, s, memory);
          ASSERT_TRUE(r.intact) << describe(o, p, s) << ", gap " << gap << ", variant " << variant;
          ASSERT_EQ(difference(r, expected), "") << describe(o, p, s) << ", gap " << gap << ", variant " << variant;
          simdnorm_stream_border_set(1);
          const result beyond = run(o, p, s, memory);
          simdnorm_stream_border_set(before);
          ASSERT_TRUE(beyond.intact) << describe(o, p, s);
          ASSERT_EQ(difference(beyond, expected), "") << describe(o, p, s) << ", past the caches, gap " << gap;
        }
    });
  }
}

TEST_P(channel_test, not_a_byte_outside) {
  for (const guarded_arena::side side : {guarded_arena::at_end, guarded_arena::at_start})
    for (const std::size_t shift : {0, 1, 5, 8}) {
      guarded_arena memory(side, shift, std::size_t{1} << 19);
      for_samples([&](op o, const channel_problem& p, channel_setup s) {
        const result expected = run(o, p, s);
        for (const bool in_place : {false, true})
          for (const std::size_t border : {std::size_t{0}, std::size_t{1}}) {
            if (in_place && s.pad.fill == SIMDNORM_FILL_KEEP && s.pad.kind != SIMDNORM_PADDING_NONE) continue;
            s.in_place = in_place;
            simdnorm_stream_border_set(border);
            const result r = run(o, p, s, memory);
            simdnorm_stream_border_set(0);
            ASSERT_TRUE(r.intact) << describe(o, p, s);
            ASSERT_EQ(difference(r, expected), "") << describe(o, p, s);
          }
      });
    }
  guarded_arena memory(guarded_arena::at_end, 0, std::size_t{1} << 16);
  case_turns turns;
  for (const op o : all_channel_operations())
    for (std::size_t size = 1; size <= 300; ++size) {
      if (turns.skips()) continue;
      const channel_problem p = sample(o, {2, 3, size}, size);
      const result r = run(o, p, {}, memory);
      ASSERT_TRUE(r.intact);
      ASSERT_EQ(difference(r, run(o, p)), "") << describe(o, p);
    }
}

TEST_P(channel_test, executors_and_numbers_of_threads) {
  std::size_t runs = 0;
  std::uint64_t turn = 0;
  case_turns turns;
  for (const op o : all_channel_operations())
    for (const auto& sizes : std::vector<std::vector<std::size_t>>{
             {9, 12, 33, 35}, {2, 300, 20, 20}, {1, 6, 200, 203}, {300, 2, 21, 21}, {2, 3, 5}})
      for (const bool last : {false, true})
        for (const std::uint64_t seed : {3 * (turn++ % 2)}) {
          const channel_problem p = sample(o, sizes, seed);
          for (const mask& m : masks_for(p, 4 * seed)) {
            if (m.kind != SIMDNORM_PADDING_NONE && m.kind != SIMDNORM_PADDING_SEQUENCE_LENGTHS) continue;
            if (turns.skips()) continue;
            channel_setup s;
            s.last = last;
            s.pad = m;
            const result expected = run(o, p, s);
            std::vector<std::unique_ptr<test_executor>> executors;
            for (const std::size_t threads : {1, 2, 3, 16})
              executors.push_back(std::make_unique<reverse_executor>(threads));
            executors.push_back(std::make_unique<thread_executor>(3));
            for (const auto& executor : executors) {
              s.executor = &executor->c;
              ASSERT_EQ(difference(run(o, p, s), expected), "")
                  << describe(o, p, s) << ", " << executor->c.threads << " threads";
              if (executor->c.threads == 1) {
                ASSERT_EQ(executor->runs, 0u);
              }
              runs += executor->runs;
            }
          }
        }
  EXPECT_GT(runs, 0u);
}

// Sets that are cut: fewer than threads. Guard pages around them, as their last parts are not whole.
TEST_P(channel_test, one_set_over_threads) {
  guarded_arena memory(guarded_arena::at_end, 1, std::size_t{1} << 22);
  std::size_t runs = 0;
  std::uint64_t turn = 0;
  case_turns turns;
  for (const op o : all_channel_operations())
    for (const auto& sizes : std::vector<std::vector<std::size_t>>{
             {3, 3, 211, 213}, {1, 2, 400, 503}, {1, 66, 65, 67}, {2700, 1, 49}, {2, 1, 5000, 31}, {1, 300, 10, 70}})
      for (const bool last : {false, true})
        for (const std::uint64_t seed : {turn++ % flavour_count}) {
          if (turns.skips()) continue;
          const channel_problem p = make_channel_problem(seed, sizes,
                                                         o == op::instance_norm ? sizes[1]
                                                         : sizes[1] % 2 == 0    ? 2
                                                                                : 1,
                                                         static_cast<flavour>(seed), !is_batch_norm(o));
          const std::vector<mask> masks = masks_for(p, seed);
          for (const std::size_t m : {std::size_t{0}, 1 + seed % (masks.size() - 1)}) {
            channel_setup s;
            s.last = last;
            s.pad = masks[m];
            const result expected = run(o, p, s);
            ASSERT_EQ(expected.status, SIMDNORM_OK) << describe(o, p, s);
            for (const std::size_t threads : {2, 5, 16}) {
              reverse_executor executor(threads);
              s.executor = &executor.c;
              s.in_place = threads == 16 && (m == 0 || s.pad.fill == SIMDNORM_FILL_ZERO);
              const result r = run(o, p, s, memory);
              ASSERT_TRUE(r.intact) << describe(o, p, s);
              ASSERT_EQ(difference(r, expected), "") << describe(o, p, s) << ", " << threads << " threads";
              runs += executor.runs;
            }
          }
        }
  EXPECT_GT(runs, 50u / step_of_cases());
  // Sums and outputs in 4 tasks for each thread.
  for (const op o : {op::batch_norm_training, op::group_norm}) {
    const channel_problem p = make_channel_problem(1, {1, 1, 1024, 1024}, 1, flavour::normal, false);
    reverse_executor executor(4);
    channel_setup s;
    s.executor = &executor.c;
    ASSERT_EQ(difference(run(o, p, s), run(o, p)), "");
    EXPECT_EQ(executor.tasks, 32u);
  }
}

#if defined(__x86_64__)
TEST_P(channel_test, control_word) {
  offset_arena memory;
  for_samples([&](op o, const channel_problem& p, const channel_setup& s) {
    const result expected = run(o, p, s, memory);
    for (const unsigned word : {0x9fc0u, 0x5f80u, 0x7f80u}) {
      const unsigned before = _mm_getcsr();
      _mm_setcsr(word);
      const result r = run(o, p, s, memory);
      const unsigned after = _mm_getcsr();
      _mm_setcsr(before);
      ASSERT_EQ(difference(r, expected), "") << describe(o, p, s);
      ASSERT_EQ(after & ~0x3fu, word & ~0x3fu);
    }
  });
}
#endif

// Inference is element by element: both layouts give the same bits; and training channels last those of a matrix.
TEST_P(channel_test, layouts_and_the_matrix) {
  std::uint64_t seed = 0;
  for (const auto& sizes : shapes)
    for (std::size_t f = 0; f < flavour_count; ++f) {
      for (const op o : {op::batch_norm_inference, op::batch_norm_inference_add}) {
        const channel_problem p = make_channel_problem(++seed, sizes, 1, static_cast<flavour>(f), false);
        channel_setup last;
        last.last = true;
        ASSERT_EQ(difference(run(o, p), run(o, p, last)), "") << describe(o, p);
      }
      channel_problem p = make_channel_problem(++seed, sizes, 1, static_cast<flavour>(f), false);
      problem m = make_problem(1, p.batch() * p.positions(), p.channels(), flavour::normal, false);
      for (std::size_t n = 0; n < p.batch(); ++n)
        for (std::size_t c = 0; c < p.channels(); ++c)
          for (std::size_t k = 0; k < p.positions(); ++k) m.at(n * p.positions() + k, c) = p.x[p.index(n, c, k)];
      m.gamma = p.gamma;
      m.beta = p.beta;
      m.mean = p.mean;
      m.variance = p.variance;
      m.epsilon = p.epsilon;
      const auto same = [&](op o, operation of_matrix, bool relu) {
        for (const mask& pad : masks_for(p, 0)) {
          channel_setup s;
          s.last = true;
          s.pad = pad;
          setup sm;
          sm.pad = pad;
          const result mine = run(o, p, s);
          if (pad.kind >= SIMDNORM_PADDING_ELEMENT_MASK) {
            sm.pad.cols = p.channels();
            for (std::size_t i = 0; i < p.x.size(); ++i) {
              const std::size_t row = i / p.channels();
              sm.pad.elements[i] = pad.elements[p.index(row / p.positions(), i % p.channels(), row % p.positions())];
            }
          }
          const result matrix = run(of_matrix, m, sm);
          ASSERT_TRUE(same_bits(mine.f32, matrix.f32)) << describe(o, p, s);
          for (std::size_t n = 0; n < p.batch(); ++n)
            for (std::size_t c = 0; c < p.channels(); ++c)
              for (std::size_t k = 0; k < p.positions(); ++k) {
                float expected = matrix.y[(n * p.positions() + k) * p.channels() + c];
                if (relu && expected < 0) expected = 0;
                ASSERT_EQ(bits_of(mine.y[p.index(n, c, k)]), bits_of(expected))
                    << describe(o, p, s) << ", position " << n << " " << k << ", channel " << c;
              }
        }
      };
      same(op::batch_norm_training, operation::batch_norm_training, false);
      same(op::batch_norm_training_all, operation::batch_norm_training_affine, true);
      same(op::batch_norm_inference, operation::batch_norm_inference, false);
    }
}

// The first lengths[n] positions of sample n, in every form; samples beyond have none.
mask mask_of_lengths(const channel_shape& p, std::vector<std::int64_t> lengths) {
  mask m;
  m.tokens = m.cols = p.positions();
  lengths.resize(p.batch(), 0);
  for (const std::int64_t length : lengths)
    for (std::size_t k = 0; k < p.positions(); ++k) m.rows.push_back(k < static_cast<std::size_t>(length));
  p.for_elements(
      [&](std::size_t n, std::size_t, std::size_t k) { m.elements.push_back(m.rows[n * p.positions() + k]); });
  m.lengths = std::move(lengths);
  return m;
}

// Every form of the same mask, all real included, gives the same bits; what is padded has no influence.
TEST_P(channel_test, forms_of_a_mask) {
  std::uint64_t seed = 0;
  for (const op o : all_channel_operations())
    for (const auto& sizes : shapes)
      for (const bool last : {false, true})
        for (const bool all_real : {false, true}) {
          channel_problem p = sample(o, sizes, ++seed);
          if (p.positions() == 1) continue;
          generator g(seed);
          std::vector<std::int64_t> lengths;
          for (std::size_t n = 0; n < p.batch(); ++n)
            lengths.push_back(static_cast<std::int64_t>(all_real ? p.positions() : g.between(0, p.positions())));
          mask m = mask_of_lengths(p, lengths);
          m.kind = all_real ? SIMDNORM_PADDING_NONE : SIMDNORM_PADDING_SEQUENCE_LENGTHS;
          channel_setup s;
          s.last = last;
          s.pad = m;
          const result expected = run(o, p, s);
          ASSERT_EQ(expected.status, SIMDNORM_OK) << describe(o, p, s);
          for (std::size_t i = 0; i < p.x.size(); ++i)
            if (!m.elements[i]) p.x[i] = p.residual[i] = float_of(0x7f812345);
          for (const simdnorm_padding_kind kind :
               {SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_PADDING_ROW_MASK, SIMDNORM_PADDING_ROW_MASK_BITS,
                SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
            // Channels last an element mask keeps the places of rows that it leaves out.
            if (last && !all_real && takes_statistics(o) && kind >= SIMDNORM_PADDING_ELEMENT_MASK) continue;
            s.pad.kind = kind;
            ASSERT_EQ(difference(run(o, p, s), expected), "") << describe(o, p, s);
            s.pad.fill = SIMDNORM_FILL_KEEP;
            result kept = run(o, p, s);
            for (std::size_t i = 0; i < kept.y.size(); ++i)
              if (!m.elements[i]) {
                ASSERT_EQ(bits_of(kept.y[i]), unwritten) << describe(o, p, s);
                kept.y[i] = 0;
              }
            ASSERT_EQ(difference(kept, expected), "") << describe(o, p, s);
            s.pad.fill = SIMDNORM_FILL_ZERO;
          }
        }
}

// Positions and samples of padding more at the end: no bit of what is real, nor of the statistics.
TEST_P(channel_test, padding_further) {
  thread_executor threads(3);
  std::uint64_t seed = 0;
  case_turns turns;
  for (const op o : all_channel_operations())
    for (const auto& sizes : std::vector<std::vector<std::size_t>>{{5, 4, 7}, {4, 6, 33}, {3, 4, 200}, {2, 2, 9000}})
      for (const std::size_t positions : {0, 1, 40})
        for (const std::size_t samples : {0, 3}) {
          ++seed;
          if (turns.skips()) continue;
          channel_problem p = sample(o, sizes, seed);
          channel_problem further = p;
          further.sizes = {p.batch() + samples, p.channels(), p.positions() + positions};
          further.x.assign(further.size(), float_of(0x7f812345));
          further.residual = further.x;
          p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
            further.x[further.index(n, c, k)] = p.x[p.index(n, c, k)];
            further.residual[further.index(n, c, k)] = p.residual[p.index(n, c, k)];
          });
          generator g(seed);
          std::vector<std::int64_t> lengths;
          for (std::size_t n = 0; n < p.batch(); ++n)
            lengths.push_back(static_cast<std::int64_t>(n == 1 ? p.positions() : g.between(1, p.positions())));
          channel_setup s, t;
          s.pad = mask_of_lengths(p, lengths);
          t.pad = mask_of_lengths(further, lengths);
          for (const bool last : {false, true})
            for (const simdnorm_padding_kind kind :
                 {SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_PADDING_ROW_MASK, SIMDNORM_PADDING_ROW_MASK_BITS,
                  SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS})
              for (const bool threaded : {false, true}) {
                if (last && kind >= SIMDNORM_PADDING_ELEMENT_MASK) continue;
                s.last = t.last = last;
                s.pad.kind = t.pad.kind = kind;
                s.executor = t.executor = threaded ? &threads.c : nullptr;
                const result near = run(o, p, s), far = run(o, further, t);
                ASSERT_EQ(near.status, SIMDNORM_OK) << describe(o, p, s);
                p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
                  ASSERT_EQ(bits_of(near.y[p.index(n, c, k)]), bits_of(far.y[further.index(n, c, k)]))
                      << describe(o, further, t) << ", sample " << n << ", channel " << c << ", position " << k;
                });
                if (is_batch_norm(o)) {
                  ASSERT_TRUE(same_bits(near.f32, far.f32)) << describe(o, further, t);
                  continue;
                }
                for (std::size_t n = 0; n < p.batch() && !threaded; ++n) {  // a sample has the bits it has alone
                  channel_problem alone = p;
                  alone.sizes = {1, p.channels(), static_cast<std::size_t>(lengths[n])};
                  if (alone.positions() == 1) continue;  // where channels last is what strides of rank 2 mean
                  alone.x.resize(alone.size());
                  alone.residual.resize(alone.size());
                  alone.for_elements([&](std::size_t, std::size_t c, std::size_t k) {
                    alone.x[alone.index(0, c, k)] = p.x[p.index(n, c, k)];
                  });
                  channel_setup plain;
                  plain.last = last;
                  const result one = run(o, alone, plain);
                  ASSERT_EQ(one.status, SIMDNORM_OK);
                  alone.for_elements([&](std::size_t, std::size_t c, std::size_t k) {
                    ASSERT_EQ(bits_of(one.y[alone.index(0, c, k)]), bits_of(far.y[further.index(n, c, k)]))
                        << describe(o, further, t) << ", sample " << n << " alone, position " << k;
                  });
                }
              }
        }
}

// Packed sequences: each is what it is alone.
TEST_P(channel_test, packed_sequences) {
  const std::size_t channels = 12;
  const std::vector<std::int64_t> offsets = {2, 2, 9, 10, 75, 130};
  const std::size_t positions = 140;
  for (std::size_t f = 0; f < flavour_count; ++f) {
    channel_problem p = make_channel_problem(f, {1, channels, positions}, 4, static_cast<flavour>(f), false);
    channel_setup s;
    s.last = true;
    s.pad.kind = SIMDNORM_PADDING_OFFSETS;
    s.pad.lengths = offsets;
    for (const op o : {op::group_norm, op::group_norm_all, op::instance_norm}) {
      const result all = run(o, p, s);
      ASSERT_EQ(all.status, SIMDNORM_OK);
      ASSERT_TRUE(all.intact);
      std::size_t rows = 0;
      for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
        const auto first = static_cast<std::size_t>(offsets[b]), last = static_cast<std::size_t>(offsets[b + 1]);
        if (first == last) continue;
        channel_problem alone = p;
        alone.sizes[2] = last - first;
        alone.x.clear();
        for (std::size_t c = 0; c < channels; ++c)
          for (std::size_t k = first; k < last; ++k) alone.x.push_back(p.x[p.index(0, c, k)]);
        alone.residual.resize(alone.x.size());
        channel_setup plain;
        plain.last = true;
        const result one = run(o, alone, plain);
        for (std::size_t c = 0; c < channels; ++c)
          for (std::size_t k = first; k < last; ++k, ++rows)
            ASSERT_EQ(bits_of(all.y[p.index(0, c, k)]), bits_of(one.y[alone.index(0, c, k - first)]))
                << name_of(o) << ", sequence " << b << ", position " << k;
        for (std::size_t i = 0; o == op::group_norm_all && i < 4; ++i) {
          ASSERT_EQ(bits_of(all.f32[b * 4 + i]), bits_of(one.f32[i]));
          ASSERT_EQ(bits_of(all.f32[5 * 4 + b * 4 + i]), bits_of(one.f32[4 + i]));
        }
      }
      ASSERT_EQ(rows, channels * 128);
      for (std::size_t c = 0; c < channels; ++c)
        for (const std::size_t k : {0, 1, 130, 139}) ASSERT_EQ(bits_of(all.y[p.index(0, c, k)]), 0u);
    }
    // Batch norm: the same rows, whoever they belong to.
    mask rows;
    rows.kind = SIMDNORM_PADDING_ROW_MASK;
    for (std::size_t k = 0; k < positions; ++k) rows.rows.push_back(2 <= k && k < 130);
    const result packed = run(op::batch_norm_training_all, p, s);
    s.pad = rows;
    ASSERT_EQ(difference(packed, run(op::batch_norm_training_all, p, s)), "");
  }
}

// A channel's bits, and a group's, do not depend on the others.
TEST_P(channel_test, a_channel_alone) {
  for (std::size_t f = 0; f < flavour_count; ++f)
    for (const op o : {op::batch_norm_training, op::batch_norm_training_all, op::instance_norm}) {
      const std::vector<std::size_t> sizes = {3, 70, 5, 9};
      const channel_problem p = make_channel_problem(f, sizes, 1, static_cast<flavour>(f), false);
      const result whole = run(o, p);
      for (const std::size_t c : {0, 1, 33, 69}) {
        channel_problem one = p;
        one.sizes[1] = 1;
        one.x.clear();
        for (std::size_t n = 0; n < 3; ++n)
          for (std::size_t k = 0; k < 45; ++k) one.x.push_back(p.x[p.index(n, c, k)]);
        one.residual.resize(one.x.size());
        for (auto* v : {&one.gamma, &one.beta, &one.mean, &one.variance}) *v = {(*v)[c]};
        const result r = run(o, one);
        for (std::size_t n = 0; n < 3; ++n)
          for (std::size_t k = 0; k < 45; ++k)
            ASSERT_EQ(bits_of(r.y[n * 45 + k]), bits_of(whole.y[p.index(n, c, k)])) << name_of(o) << ", channel " << c;
      }
    }
}

TEST_P(channel_test, constants_specials_and_nothing) {
  // Exactly beta; NaN and infinity in their channel alone; no elements.
  channel_problem p = make_channel_problem(1, {3, 4, 5, 7}, 4, flavour::normal, false);
  for (std::size_t n = 0; n < 3; ++n)
    for (std::size_t k = 0; k < 35; ++k) {
      p.x[p.index(n, 0, k)] = 0.1f;
      p.x[p.index(n, 1, k)] = n == 1 && k == 30 ? float_of(0xffc12345) : 1.0f + static_cast<float>(k);
      p.x[p.index(n, 2, k)] = n == 2 && k == 3 ? HUGE_VALF : static_cast<float>(k);
    }
  p.beta = {-0.3f, 0, 0, 0};
  for (auto& b : p.beta) b = b == 0 ? 2.0f : 0.7f;
  for (const bool last : {false, true})
    for (const double epsilon : {0.0, 1e-5}) {
      channel_setup s;
      s.last = last;
      p.epsilon = epsilon;
      const result r = run(op::batch_norm_training_all, p, s);
      const result g = run(op::group_norm_all, p, s);
      for (std::size_t n = 0; n < 3; ++n)
        for (std::size_t k = 0; k < 35; ++k) {
          ASSERT_EQ(r.y[p.index(n, 0, k)], 0.7f);
          ASSERT_EQ(g.y[p.index(n, 0, k)], 0.7f);
          ASSERT_EQ(bits_of(r.y[p.index(n, 1, k)]), canonical_nan);
          ASSERT_EQ(bits_of(r.y[p.index(n, 2, k)]), canonical_nan);
          ASSERT_EQ(std::isnan(g.y[p.index(n, 1, k)]), n == 1);
          ASSERT_EQ(std::isnan(g.y[p.index(n, 2, k)]), n == 2);
          ASSERT_FALSE(std::isnan(r.y[p.index(n, 3, k)]));
        }
      for (const auto& sizes : std::vector<std::vector<std::size_t>>{{0, 4, 3}, {2, 0, 3}, {2, 4, 0}, {0, 0}}) {
        channel_problem none = make_channel_problem(1, sizes, 1, flavour::normal, false);
        for (const op o : all_channel_operations()) ASSERT_EQ(run(o, none, s).status, SIMDNORM_OK) << describe(o, none);
      }
    }
}

// ---- arguments ------------------------------------------------------------------------------------

struct call {
  std::vector<float> x = std::vector<float>(2 * 6 * 5 * 4, 1.0f), y = std::vector<float>(240, 7.0f),
                     v = std::vector<float>(6, 1.0f);
  simdnorm_const_tensor cx{};
  simdnorm_tensor cy{};
  simdnorm_batch_norm_options b = simdnorm_batch_norm_defaults();
  simdnorm_group_norm_options g = simdnorm_group_norm_defaults();
  std::size_t groups = 3;

  call() {
    cx = input_tensor(x.data(), {2, 6, 5, 4}).c();
    cy = output_tensor(y.data(), {2, 6, 5, 4}).c();
  }
  // All functions give this status and write nothing.
  void expect(simdnorm_status status, const char* what, bool batch = true, bool group = true) {
    const std::vector<float> before = y;
    const simdnorm_const_vector cv{v.data(), 6, SIMDNORM_F32};
    if (batch) {
      EXPECT_EQ(simdnorm_batch_norm_training_nd(&cx, &cy, &b), status) << what;
      EXPECT_EQ(simdnorm_batch_norm_inference_nd(&cx, &cy, cv, cv, &b), status) << what;
    }
    if (group) {
      EXPECT_EQ(simdnorm_group_norm(&cx, &cy, groups, &g), status) << what;
      EXPECT_EQ(simdnorm_instance_norm(&cx, &cy, &g), status) << what;
    }
    if (status != SIMDNORM_OK) {
      EXPECT_TRUE(same_bits(before, y)) << what;
    }
  }
};

TEST_P(channel_test, arguments) {
  call().expect(SIMDNORM_OK, "good");
  const auto with = [](simdnorm_status status, const char* what, auto change, bool batch = true, bool group = true) {
    call c;
    change(c);
    c.expect(status, what, batch, group);
  };
  with(SIMDNORM_NULL_POINTER, "no x", [](call& c) { c.cx.data = nullptr; });
  with(SIMDNORM_NULL_POINTER, "no y", [](call& c) { c.cy.data = nullptr; });
  with(SIMDNORM_UNSUPPORTED_TYPE, "type", [](call& c) { c.cx.type = SIMDNORM_F64; });
  with(SIMDNORM_INVALID_SHAPE, "rank 1", [](call& c) { c.cx.rank = c.cy.rank = 1; });
  with(SIMDNORM_INVALID_SHAPE, "rank 6", [](call& c) { c.cx.rank = c.cy.rank = 6; });
  with(SIMDNORM_INVALID_SHAPE, "other sizes", [](call& c) { c.cy.sizes[3] = 3; });
  with(SIMDNORM_INVALID_SHAPE, "other rank", [](call& c) { c.cy.rank = 3; });
  with(SIMDNORM_INVALID_SHAPE, "too large", [](call& c) { c.cx.sizes[0] = c.cy.sizes[0] = SIZE_MAX / 2; });
  with(SIMDNORM_INVALID_STRIDE, "gap in a plane", [](call& c) { c.cx.strides[2] = 5; });
  with(SIMDNORM_INVALID_STRIDE, "plane turned", [](call& c) { c.cx.strides[2] = 1, c.cx.strides[3] = 5; });
  with(SIMDNORM_INVALID_STRIDE, "y's channels meet", [](call& c) { c.cy.strides[1] = 19; });
  with(SIMDNORM_INVALID_STRIDE, "y's samples meet", [](call& c) { c.cy.strides[0] = 100; });
  with(SIMDNORM_INVALID_STRIDE, "x and y of two layouts",
       [](call& c) { c.cy.strides[1] = 1, c.cy.strides[2] = 24, c.cy.strides[3] = 6; });
  with(SIMDNORM_OK, "one x for all channels", [](call& c) { c.cx.strides[1] = 0; });
  with(SIMDNORM_OK, "slice of channels", [](call& c) {
    c.cx.sizes[1] = c.cy.sizes[1] = 6;
    c.cy.strides[0] = c.cx.strides[0] = 120;
  });
  with(SIMDNORM_OVERLAP, "y one element on", [](call& c) {
    c.cx.sizes[0] = c.cy.sizes[0] = 1;
    c.cx.data = c.y.data();
    c.cy.data = c.y.data() + 1;
  });
  with(SIMDNORM_INVALID_EPSILON, "epsilon", [](call& c) { c.b.epsilon = c.g.epsilon = -1; });
  with(SIMDNORM_INVALID_ACTIVATION, "activation", [](call& c) { c.b.activation = c.g.activation = 9; });
  with(SIMDNORM_INVALID_PADDING, "padding kind", [](call& c) { c.b.padding.kind = c.g.padding.kind = 99; });
  with(SIMDNORM_INVALID_PADDING, "row lengths",
       [](call& c) { c.b.padding.kind = c.g.padding.kind = SIMDNORM_PADDING_ROW_LENGTHS; });
  with(SIMDNORM_INVALID_PADDING, "offsets, channels first", [](call& c) {
    static const std::int64_t offsets[] = {0, 2};
    c.b.padding.kind = c.g.padding.kind = SIMDNORM_PADDING_OFFSETS;
    c.b.padding.data = c.g.padding.data = offsets;
    c.b.padding.size = c.g.padding.size = 2;
    c.b.padding.index_type = c.g.padding.index_type = SIMDNORM_I64;
  });
  with(SIMDNORM_INVALID_LENGTH, "length", [](call& c) {
    static const std::int64_t lengths[] = {3, 21};
    c.b.padding = c.g.padding = {lengths, 2, 20, SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_I64, 0};
  });
  with(SIMDNORM_INVALID_PADDING, "number of lengths", [](call& c) {
    static const std::int64_t lengths[] = {3, 2, 1};
    c.b.padding = c.g.padding = {lengths, 3, 20, SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_I64, 0};
  });
  with(SIMDNORM_INVALID_STRUCT, "struct_size", [](call& c) { c.b.struct_size = c.g.struct_size = 8; });
  with(SIMDNORM_INVALID_EXECUTOR, "executor", [](call& c) {
    static const simdnorm_executor none = {nullptr, 2, nullptr};
    c.b.executor = c.g.executor = &none;
  });
  with(SIMDNORM_INVALID_SHAPE, "gamma", [](call& c) { c.b.gamma = c.g.gamma = {c.v.data(), 5, SIMDNORM_F32}; });
  with(
      SIMDNORM_INVALID_SHAPE, "groups",
      [](call& c) {
        c.groups = 4, c.g.mean = {c.v.data(), 1, SIMDNORM_F32};
      },
      false);
  with(SIMDNORM_OVERLAP, "gamma in y", [](call& c) { c.b.gamma = c.g.gamma = {c.y.data() + 100, 6, SIMDNORM_F32}; });
  // One after the other in one memory: channels 0 to 5 of 12 are x, 6 to 11 are y; then one channel shared.
  for (const std::ptrdiff_t shared : {0, 1}) {
    std::vector<float> both(2 * 12 * 20, 1.0f);
    call c;
    c.cx.strides[0] = c.cy.strides[0] = 240;
    c.cx.data = both.data();
    c.cy.data = both.data() + (6 - shared) * 20;
    c.expect(shared ? SIMDNORM_OVERLAP : SIMDNORM_OK, "slices of one tensor");
    // Every other channel.
    c.cx.strides[1] = c.cy.strides[1] = 40;
    c.cx.data = both.data();
    c.cy.data = both.data() + (shared ? 40 : 20);
    c.expect(shared ? SIMDNORM_OVERLAP : SIMDNORM_OK, "interleaved channels");
  }
  // Of batch norm alone.
  call c;
  simdnorm_const_tensor residual = c.cx;
  const simdnorm_const_vector cv{c.v.data(), 6, SIMDNORM_F32};
  c.b.residual = &residual;
  c.expect(SIMDNORM_OK, "residual", true, false);
  residual.sizes[0] = 1;
  c.expect(SIMDNORM_INVALID_SHAPE, "residual's sizes", true, false);
  residual.sizes[0] = 2;
  residual.data = c.y.data();
  c.expect(SIMDNORM_OK, "residual is y", true, false);
  residual.strides[0] = 0;
  c.expect(SIMDNORM_OVERLAP, "residual in y", true, false);
  residual = c.cx;
  c.b.mean = {c.v.data(), 6, SIMDNORM_F32};
  std::vector<float> apart(240, 1.0f);
  residual.data = apart.data();
  EXPECT_EQ(simdnorm_batch_norm_training_nd(&c.cx, &c.cy, &c.b), SIMDNORM_OK);
  c.b.mean.data = apart.data() + 100;
  EXPECT_EQ(simdnorm_batch_norm_training_nd(&c.cx, &c.cy, &c.b), SIMDNORM_OVERLAP);
  c.b.mean = {};
  c.b.residual = nullptr;
  EXPECT_EQ(simdnorm_batch_norm_inference_nd(&c.cx, &c.cy, {}, cv, &c.b), SIMDNORM_NULL_POINTER);
}

// An element mask of channels last is a mask of rows of channels.
TEST_P(channel_test, element_mask_of_channels_last) {
  std::vector<std::uint8_t> mask(241, 1);
  std::vector<float> y(240, 7.0f);
  call c;
  const tensor_view<const float> tx = tensor_view<float>::channels_last(c.x.data(), {2, 6, 5, 4});
  const tensor_view<float> ty = tensor_view<float>::channels_last(y.data(), {2, 6, 5, 4});
  mask[6 * 21 + 5] = 0;  // sample 1, position 1, channel 5
  const auto written = [&](status s) {
    EXPECT_EQ(s, status::ok);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < 240; ++i) kept += y[i] == 7.0f;
    EXPECT_EQ(kept, 1u);
    EXPECT_EQ(y[6 * 21 + 5], 7.0f);
    y.assign(240, 7.0f);
  };
  const padding pad = padding::element_mask(std::span(mask).first(240), fill::keep);
  written(batch_norm_training(tx, ty, {.pad = pad}));
  written(batch_norm_training(tx, ty, {.pad = pad}, activation_function::relu));
  written(batch_norm_inference(tx, ty, c.v, c.v, {.pad = pad}));
  written(group_norm(tx, ty, 2, {.pad = pad}));
  written(instance_norm(tx, ty, {.pad = pad, .last = activation_function::relu}));
  const padding longer = padding::element_mask(mask);
  EXPECT_EQ(batch_norm_training(tx, ty, {.pad = longer}), status::invalid_padding);
  EXPECT_EQ(batch_norm_inference(tx, ty, c.v, c.v, {.pad = longer}), status::invalid_padding);
  EXPECT_EQ(group_norm(tx, ty, 2, {.pad = longer}), status::invalid_padding);
  EXPECT_EQ(instance_norm(tx, ty, {.pad = longer}), status::invalid_padding);
}

// ReLU and a residual of a matrix: the bits of the steps.
TEST_P(channel_test, matrices_fused) {
  const auto max0 = [](float v) { return v < 0 ? 0.0f : v; };
  for (std::size_t f = 0; f < flavour_count; ++f)
    for (const std::size_t cols : {1, 7, 64, 300}) {
      const problem p = make_problem(f, 70, cols, static_cast<flavour>(f), false);
      problem r = make_problem(f + 9, 70, cols, flavour::normal, false);
      std::vector<float> plain(p.x.size()), y(p.x.size()), moving(cols), expected(cols);
      const matrix_view<const float> x(p.x.data(), 70, cols), residual(r.x.data(), 70, cols);
      const matrix_view<float> out(y.data(), 70, cols), out_plain(plain.data(), 70, cols);
      const auto same = [&](auto value) {
        for (std::size_t i = 0; i < y.size(); ++i) {
          const float v = value(plain[i], r.x[i]);
          ASSERT_EQ(bits_of(y[i]), v == v ? bits_of(v) : canonical_nan) << cols << " columns, element " << i;
        }
      };
      batch_norm_options o;
      o.gamma = p.gamma;
      o.beta = p.beta;
      o.mean_out = expected;
      ASSERT_EQ(batch_norm_training(x, out_plain, o), status::ok);
      o.mean_out = moving;
      ASSERT_EQ(batch_norm_training(x, out, o, activation_function::relu), status::ok);
      same([&](float v, float) { return max0(v); });
      EXPECT_TRUE(same_bits(moving, expected));
      ASSERT_EQ(batch_norm_training_add(x, residual, out, o), status::ok);
      same([&](float v, float a) { return max0(v + a); });
      ASSERT_EQ(batch_norm_inference(x, out_plain, p.mean, p.variance, o), status::ok);
      ASSERT_EQ(batch_norm_inference(x, out, p.mean, p.variance, o, activation_function::relu), status::ok);
      same([&](float v, float) { return max0(v); });
      ASSERT_EQ(batch_norm_inference_add(x, residual, out, p.mean, p.variance, o, activation_function::none),
                status::ok);
      same([&](float v, float a) { return v + a; });
      y = r.x;  // in place of the residual
      ASSERT_EQ(batch_norm_inference_add(x, out, out, p.mean, p.variance, o), status::ok);
      same([&](float v, float a) { return max0(v + a); });
    }
  std::vector<float> x(40, 1.0f), y(41, 7.0f), v(4, 1.0f);
  simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
  const simdnorm_const_matrix cx{x.data(), 10, 4, 4, SIMDNORM_F32};
  const simdnorm_matrix cy{y.data(), 10, 4, 4, SIMDNORM_F32};
  const simdnorm_const_vector cv{v.data(), 4, SIMDNORM_F32};
  simdnorm_const_tensor good{};
  good.data = x.data();
  good.sizes[0] = 10;
  good.sizes[1] = 4;
  good.strides[0] = 4;
  good.strides[1] = 1;
  good.rank = 2;
  good.type = SIMDNORM_F32;
  const auto expect = [&](simdnorm_status status, const char* what, auto change) {
    simdnorm_const_tensor t = good;
    change(t);
    o.residual = &t;
    const std::vector<float> before = y;
    EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), status) << what;
    EXPECT_EQ(simdnorm_batch_norm_inference(&cx, &cy, cv, cv, &o), status) << what;
    if (status != SIMDNORM_OK) {
      EXPECT_TRUE(same_bits(before, y)) << what;
    }
  };
  using tensor = simdnorm_const_tensor;
  expect(SIMDNORM_OK, "good", [](tensor&) {});
  expect(SIMDNORM_OK, "y", [&](tensor& t) { t.data = y.data(); });
  expect(SIMDNORM_OK, "one row for all", [](tensor& t) { t.strides[0] = 0; });
  expect(SIMDNORM_INVALID_SHAPE, "rank", [](tensor& t) { t.rank = 3, t.sizes[2] = t.strides[2] = 1; });
  expect(SIMDNORM_INVALID_SHAPE, "rows", [](tensor& t) { t.sizes[0] = 9; });
  expect(SIMDNORM_INVALID_SHAPE, "columns", [](tensor& t) { t.sizes[1] = 3; });
  expect(SIMDNORM_INVALID_STRIDE, "columns apart", [](tensor& t) { t.strides[1] = 2; });
  expect(SIMDNORM_UNSUPPORTED_TYPE, "type", [](tensor& t) { t.type = SIMDNORM_F64; });
  expect(SIMDNORM_NULL_POINTER, "no data", [](tensor& t) { t.data = nullptr; });
  expect(SIMDNORM_OVERLAP, "beside y", [&](tensor& t) { t.data = y.data() + 1; });
  std::vector<float> apart(40, 1.0f);
  good.data = apart.data();
  o.mean = {apart.data() + 30, 4, SIMDNORM_F32};
  o.residual = &good;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_OVERLAP);
  o.activation = SIMDNORM_ACTIVATION_SILU;
  EXPECT_EQ(simdnorm_batch_norm_training(&cx, &cy, &o), SIMDNORM_INVALID_ACTIVATION);
  EXPECT_EQ(simdnorm_batch_norm_inference(&cx, &cy, cv, cv, &o), SIMDNORM_INVALID_ACTIVATION);
}

// The C++ layer passes on what it is given.
TEST_P(channel_test, cpp_layer) {
  const channel_problem p = make_channel_problem(3, {2, 6, 5, 4}, 3, flavour::normal, false);
  std::vector<float> y(p.x.size()), mean(6), rstd(6);
  const tensor_view<const float> x(p.x.data(), {2, 6, 5, 4}), r(p.residual.data(), {2, 6, 5, 4});
  const tensor_view<float> out(y.data(), {2, 6, 5, 4});
  ASSERT_EQ(batch_norm_training(x, out), status::ok);
  EXPECT_TRUE(same_bits(y, run(op::batch_norm_training, p).y));
  batch_norm_options o;
  o.gamma = p.gamma;
  o.beta = p.beta;
  ASSERT_EQ(batch_norm_inference(x, out, p.mean, p.variance, o), status::ok);
  EXPECT_TRUE(same_bits(y, run(op::batch_norm_inference, p).y));
  ASSERT_EQ(batch_norm_inference_add(x, r, out, p.mean, p.variance, o), status::ok);
  EXPECT_TRUE(same_bits(y, run(op::batch_norm_inference_add, p).y));
  batch_norm_options training;
  training.gamma = p.gamma;
  training.beta = p.beta;
  ASSERT_EQ(batch_norm_training_add(x, r, out, training), status::ok);
  EXPECT_TRUE(same_bits(y, run(op::batch_norm_training_add, p).y));
  group_norm_options g;
  g.gamma = p.gamma;
  g.beta = p.beta;
  g.mean_out = mean;
  g.rstd_out = rstd;
  ASSERT_EQ(group_norm(x, out, 3, g), status::ok);
  const result expected = run(op::group_norm_all, p);
  EXPECT_TRUE(same_bits(y, expected.y));
  mean.insert(mean.end(), rstd.begin(), rstd.end());
  EXPECT_TRUE(same_bits(mean, expected.f32));
  ASSERT_EQ(instance_norm(x, out), status::ok);
  EXPECT_TRUE(same_bits(y, run(op::instance_norm, p).y));
  const tensor_view<float> last = tensor_view<float>::channels_last(y.data(), {2, 6, 5, 4});
  EXPECT_EQ(instance_norm(x, last), status::invalid_stride);
}

}  // namespace
}  // namespace simdnorm::test

// SPDX-License-Identifier: Apache-2.0
//
// The accuracy of the norms of [batch, channels, spatial...] tensors, against binary128: every rank, both layouts,
// odd sizes, hostile channels, masks.

#include <gtest/gtest.h>

#include <cstdio>

#include "support/channels.hpp"
#include "support/gate.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class channel_accuracy_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(channel_accuracy_test);

using op = channel_operation;

// Statistics of a set, and its normalized values, by the definitions.
struct exact_set {
  exact_moments m;
  wide rstd = 0;
};
exact_set exact(const std::vector<float>& real, double epsilon) {
  exact_set e;
  e.m = oracle_moments(real.data(), real.size());
  e.rstd = oracle_rstd(e.m.variance(), epsilon);
  return e;
}

// Checks r against the definitions. y of elements that are not real must be +0.
void check(gate& g, op o, const channel_problem& p, const channel_setup& s, const result& r, const std::string& where) {
  ASSERT_EQ(r.status, SIMDNORM_OK) << where;
  ASSERT_TRUE(r.intact) << where;
  const std::size_t groups = o == op::instance_norm ? p.channels() : p.groups;
  const std::size_t wide_group = p.channels() / groups;
  const bool batch = is_batch_norm(o);
  const std::size_t sets = batch ? p.channels() : p.batch() * groups;
  std::vector<exact_set> sets_of(sets);
  std::vector<std::vector<float>> real(sets);
  const auto set_of = [&](std::size_t n, std::size_t c) { return batch ? c : n * groups + c / wide_group; };
  for (std::size_t n = 0; n < p.batch(); ++n)
    for (std::size_t c = 0; c < p.channels(); ++c)
      for (std::size_t k = 0; k < p.positions(); ++k)
        if (real_element(p, s.pad, n, c, k)) real[set_of(n, c)].push_back(p.x[p.index(n, c, k)]);
  for (std::size_t i = 0; i < sets; ++i) {
    if (takes_statistics(o)) sets_of[i] = exact(real[i], p.epsilon);
  }
  const bool affine = o != op::batch_norm_training && o != op::group_norm && o != op::instance_norm;
  for (std::size_t n = 0; n < p.batch(); ++n)
    for (std::size_t c = 0; c < p.channels(); ++c)
      for (std::size_t k = 0; k < p.positions(); ++k) {
        const std::size_t i = p.index(n, c, k);
        const float y = r.y[i];
        if (!real_element(p, s.pad, n, c, k)) {
          ASSERT_EQ(bits_of(y), 0u) << where;
          continue;
        }
        wide mean, rstd;
        if (takes_statistics(o)) {
          mean = sets_of[set_of(n, c)].m.mean;
          rstd = sets_of[set_of(n, c)].rstd;
        } else {
          mean = static_cast<wide>(p.mean[c]);
          rstd = oracle_rstd(static_cast<wide>(p.variance[c]), p.epsilon);
        }
        const wide xhat = (static_cast<wide>(p.x[i]) - mean) * rstd;
        wide expected = affine ? xhat * static_cast<wide>(p.gamma[c]) + static_cast<wide>(p.beta[c]) : xhat;
        double slack = affine ? ulp_f32(expected) / 2 : 0;
        if (adds_residual(o)) {
          expected += static_cast<wide>(p.residual[i]);
          slack += ulp_f32(expected) / 2;
        }
        const double scale = affine ? std::fabs(static_cast<double>(p.gamma[c])) : 1;
        if (is_fused(o) && expected < 0) {
          ASSERT_GE(y, 0) << where;
          expected = 0;
        }
        g.judge(y, xhat, expected, scale, slack, where, i);
      }
  // mean and rstd, rounded to f32.
  std::size_t first = o == op::batch_norm_training_all ? 2 * p.channels() : 0;
  if (o == op::batch_norm_training_all || o == op::group_norm_all)
    for (std::size_t i = 0; i < sets; ++i) {
      const exact_set& e = sets_of[i];
      const double std = std::sqrt(static_cast<double>(e.m.variance()));
      const double mean = static_cast<double>(e.m.mean);
      ASSERT_NEAR(r.f32[first + i], mean, ulp_f32(mean) + 3e-7 * std) << where << ", mean of set " << i;
      if (real[i].empty()) {
        ASSERT_EQ(r.f32[first + sets + i], 0.0f);
        continue;
      }
      const double rstd = static_cast<double>(e.rstd);
      if (rstd > 1e-30 && rstd < 1e30) {
        ASSERT_NEAR(r.f32[first + sets + i] / rstd, 1, 3e-7) << where << ", set " << i;
      }
    }
  if (o == op::batch_norm_training_all)
    for (std::size_t c = 0; c < p.channels(); ++c) {
      const exact_set& e = sets_of[c];
      const double n = static_cast<double>(real[c].size());
      const double variance = static_cast<double>(e.m.variance());
      const double old_mean = p.mean[c], old_variance = p.variance[c];
      const double mean = n > 0 ? 0.9 * old_mean + 0.1 * static_cast<double>(e.m.mean) : old_mean;
      ASSERT_NEAR(r.f32[c], mean, 2 * ulp_f32(mean) + 1e-7 * std::sqrt(variance)) << where;
      const double expected = n > 1 ? 0.9 * old_variance + 0.1 * variance * n / (n - 1) : old_variance;
      if (expected < 3e38) {
        ASSERT_NEAR(r.f32[p.channels() + c], expected, 4e-7 * expected) << where;
      }
    }
}

const std::vector<std::vector<std::size_t>> shapes = {{5, 4},         {1, 6},          {33, 3},         {3, 4, 7},
                                                      {2, 6, 100},    {2, 2, 7, 7},    {9, 4, 14, 14},  {3, 6, 5, 51},
                                                      {1, 4, 56, 56}, {2, 2, 3, 4, 5}, {1, 8, 1, 9, 1}, {2, 300, 3, 3},
                                                      {70, 2, 1, 1},  {1, 2, 5000},    {2, 4, 61, 67}};

TEST_P(channel_accuracy_test, every_rank_and_layout) {
  case_turns turns;
  for (const op o : all_channel_operations()) {
    gate g(name_of(o));
    std::uint64_t seed = 0;
    for (const auto& sizes : shapes)
      for (const double mean : {0.0, 1.0, 1e3, 1e6})
        for (const bool last : {false, true}) {
          if (turns.skips()) continue;
          channel_problem p = make_channel_problem(++seed, sizes, sizes[1] % 2 ? 1 : 2, flavour::normal, false);
          generator r(seed);
          for (float& v : p.x) v = static_cast<float>(mean + r.normal());
          if (mean > 1)
            for (std::size_t c = 0; c < p.channels(); ++c) p.mean[c] = static_cast<float>(mean);
          for (float& v : p.variance) v = 0.5f + v;
          if (mean > 1 && !takes_statistics(o))
            for (float& v : p.variance) v = 1;
          channel_setup s;
          s.last = last;
          check(g, o, p, s, run(o, p, s), describe(o, p, s));
        }
    g.report();
  }
}

// A channel, or a group of a sample, is another hostile line: outliers, constants, subnormals, close to FLT_MAX.
TEST_P(channel_accuracy_test, hostile) {
  case_turns turns;
  for (const op o : all_channel_operations()) {
    if (!takes_statistics(o)) continue;
    gate g(name_of(o));
    for (const bool last : {false, true}) {
      for (const auto& sizes : std::vector<std::vector<std::size_t>>{
               {3, 40, 14, 14}, {4, 40, 7, 7}, {2, 40, 3}, {40, 40}, {2, 40, 500}, {1, 40, 31, 33}}) {
        const std::size_t positions = channel_problem{sizes, 1, {}, {}, {}, {}, {}, {}, 0}.positions();
        const bool by_sample = !is_batch_norm(o);
        const std::size_t groups = by_sample && o != op::instance_norm ? 20 : 40;
        const std::size_t lines = by_sample ? sizes[0] * groups : 40;
        const std::size_t length = sizes[0] * sizes[1] * positions / lines;
        channel_problem p = make_channel_problem(1, sizes, groups, flavour::normal, by_sample);
        const std::vector<hostile_row> all = hostile_rows(length, positions);
        for (const double epsilon : {0.0, 1e-12, 1e-5, 1.0}) {
          if (turns.skips()) continue;
          p.epsilon = epsilon;
          for (std::size_t line = 0; line < lines; ++line) {
            const std::vector<float>& from = all[line % all.size()].x;
            std::size_t k = 0;
            for (std::size_t n = 0; n < p.batch(); ++n)
              for (std::size_t c = 0; c < p.channels(); ++c) {
                if ((by_sample ? n * groups + c / (p.channels() / groups) : c) != line) continue;
                for (std::size_t s = 0; s < positions; ++s) p.x[p.index(n, c, s)] = from[k++];
              }
          }
          if (o == op::batch_norm_training_all) {  // running statistics of such channels overflow
            p.mean.assign(p.channels(), 0.0f);
            p.variance.assign(p.channels(), 1.0f);
          }
          channel_setup s;
          s.last = last;
          const result r = run(o, p, s);
          if (o == op::batch_norm_training_all || o == op::group_norm_all) {
            // Outputs alone: means near FLT_MAX have no slack.
            channel_problem plain = p;
            plain.gamma.assign(p.channels(), 1.0f);
            plain.beta.assign(p.channels(), 0.0f);
            ASSERT_EQ(r.status, SIMDNORM_OK);
            continue;
          }
          // A constant set is exactly 0, whatever epsilon.
          check(g, o, p, s, r, describe(o, p, s) + ", epsilon " + std::to_string(epsilon));
        }
      }
    }
    if (o != op::batch_norm_training_all && o != op::group_norm_all) g.report();
  }
}

// Feature maps begin with zeros, and many are zero throughout.
TEST_P(channel_accuracy_test, sparse_feature_maps) {
  for (const op o : {op::batch_norm_training, op::batch_norm_training_all, op::group_norm, op::instance_norm}) {
    gate g(name_of(o));
    for (const std::size_t side : {7, 14, 30, 57}) {
      channel_problem p = make_channel_problem(side, {4, 8, side, side}, 4, flavour::normal, false);
      generator r(side);
      for (std::size_t n = 0; n < p.batch(); ++n)
        for (std::size_t c = 0; c < p.channels(); ++c)
          for (std::size_t k = 0; k < p.positions(); ++k) {
            float& v = p.x[p.index(n, c, k)];
            const double normal = r.normal();
            v = c == 3 || k < p.positions() / 2 || normal < 0 ? 0.0f : static_cast<float>(normal * 5);
            if (c == 5) v += 100;
          }
      check(g, o, p, {}, run(o, p), describe(o, p, {}));
    }
    g.report();
  }
}

// The shift is the mean of a sample (docs/numerics.md): here of 64 patches of 16 elements, 15625 apart, which stand
// out. It is 31 standard deviations off; the guard must find that, and doubles mend it.
TEST_P(channel_accuracy_test, the_sample_stands_out) {
  case_turns turns;
  for (const op o : {op::batch_norm_training, op::instance_norm}) {
    if (turns.skips()) continue;
    gate g(name_of(o));
    channel_problem p = make_channel_problem(1, {1, 1, 1000, 1000}, 1, flavour::normal, false);
    generator r(5);
    for (std::size_t k = 0; k < p.x.size(); ++k) {
      const bool sampled = k >= 7812 && (k - 7812) % 15625 < 16;
      p.x[k] = static_cast<float>(r.normal() + (sampled ? 1e4 : 0));
    }
    check(g, o, p, {}, run(o, p), describe(o, p, {}));
    g.report();
    EXPECT_LT(g.worst(), 1) << "mended is 0.5, not mended 2.0";
  }
}

TEST_P(channel_accuracy_test, large_channels) {
  for (const op o : {op::batch_norm_training, op::group_norm}) {
    gate g(name_of(o));
    case_turns turns;
    for (const double mean : {0.0, 1.0, 1e6}) {
      if (turns.skips()) continue;
      channel_problem p = make_channel_problem(9, {6, 2, 112, 113}, 1, flavour::normal, false);
      generator r(77);
      for (float& v : p.x) v = static_cast<float>(mean + r.normal_on_grid(0x1p-4));
      check(g, o, p, {}, run(o, p), describe(o, p, {}));
      // 36 chunks, and 15 of small planes.
      for (const auto& sizes : std::vector<std::vector<std::size_t>>{{4, 1, 541, 542}, {1800, 2, 9, 11}}) {
        if (o == op::group_norm) continue;
        p = make_channel_problem(9, sizes, 1, flavour::normal, false);
        for (float& v : p.x) v = static_cast<float>(mean + r.normal_on_grid(0x1p-4));
        check(g, o, p, {}, run(o, p), describe(o, p, {}));
      }
    }
    g.report();
  }
}

// The real elements alone count; those that do not hold NaN.
TEST_P(channel_accuracy_test, masks) {
  case_turns turns;
  for (const op o : all_channel_operations()) {
    gate g(std::string(name_of(o)) + ", masked");
    std::uint64_t seed = 0;
    for (const auto& sizes : shapes)
      for (const simdnorm_padding_kind kind :
           {SIMDNORM_PADDING_SEQUENCE_LENGTHS, SIMDNORM_PADDING_ROW_MASK, SIMDNORM_PADDING_ROW_MASK_BITS,
            SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS})
        for (const bool last : {false, true}) {
          if (turns.skips()) continue;
          const bool elements = kind == SIMDNORM_PADDING_ELEMENT_MASK || kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
          channel_problem p = make_channel_problem(++seed, sizes, sizes[1] % 2 ? 1 : 2, flavour::normal, false);
          generator r(seed);
          for (float& v : p.x) v = static_cast<float>(10 + r.normal());
          for (float& v : p.variance) v = 0.5f + v;
          channel_setup s;
          s.last = last;
          s.pad.kind = kind;
          s.pad.tokens = p.positions();
          s.pad.cols = p.positions();
          s.pad.index_type = seed & 1 ? SIMDNORM_I32 : SIMDNORM_I64;
          for (std::size_t n = 0; n < p.batch(); ++n)
            s.pad.lengths.push_back(static_cast<std::int64_t>(r.between(0, p.positions())));
          for (std::size_t k = 0; k < p.batch() * p.positions(); ++k) s.pad.rows.push_back(r.below(3) != 0);
          if (elements)
            for (std::size_t k = 0; k < p.x.size(); ++k) s.pad.elements.push_back(r.below(3) != 0);
          if (sizes.size() == 2 && !last && kind == SIMDNORM_PADDING_SEQUENCE_LENGTHS) continue;
          for (std::size_t n = 0; n < p.batch(); ++n)
            for (std::size_t c = 0; c < p.channels(); ++c)
              for (std::size_t k = 0; k < p.positions(); ++k)
                if (!real_element(p, s.pad, n, c, k)) p.x[p.index(n, c, k)] = float_of(0x7fc01234);
          // Without a gap rank 2 is channels last.
          if (elements && p.positions() == 1 && !last) s.channel_gap = 1;
          check(g, o, p, s, run(o, p, s), describe(o, p, s));
        }
    g.report();
  }
}

}  // namespace
}  // namespace simdnorm::test

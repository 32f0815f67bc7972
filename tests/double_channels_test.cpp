// SPDX-License-Identifier: Apache-2.0
//
// Norms of [batch, channels, spatial...] tensors of f64: accuracy, hostile sets, bits, padding, bounds, arguments.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/channels.hpp"
#include "support/double_gate.hpp"
#include "support/doubles.hpp"
#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class double_channels_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(double_channels_test);

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

enum class op { training, training_all, inference, inference_all, group, group_all, instance };
constexpr op operations[] = {op::training, op::training_all, op::inference, op::inference_all,
                             op::group,    op::group_all,    op::instance};
const char* name_of(op o) {
  static const char* const names[] = {
      "batch_norm_training", "batch_norm_training, all", "batch_norm_inference", "batch_norm_inference, all",
      "group_norm",          "group_norm, all",          "instance_norm"};
  return names[static_cast<int>(o)];
}
bool of_batch(op o) {
  return o <= op::inference_all;
}
bool has_all(op o) {
  return o == op::training_all || o == op::inference_all || o == op::group_all;
}

struct problem : channel_shape {
  std::size_t groups = 1;
  bool last = false, floats = false;  // gamma and beta are floats
  double epsilon = 1e-5;
  std::vector<double> x{}, residual{}, gamma{}, beta{}, mean{}, variance{};
  [[nodiscard]] std::size_t groups_of(op o) const { return o == op::instance ? channels() : groups; }
  [[nodiscard]] std::size_t sets(op o) const { return of_batch(o) ? channels() : batch() * groups_of(o); }
  [[nodiscard]] std::size_t set_of(op o, std::size_t n, std::size_t c) const {
    return of_batch(o) ? c : n * groups_of(o) + c / (channels() / groups_of(o));
  }
};
problem make_problem(std::size_t batch, std::size_t channels, std::size_t positions, bool last, std::uint64_t seed) {
  if (positions == 1 || channels == 1) last = positions == 1;  // what strides of both layouts mean
  problem p{{{batch, channels, positions}}, channels % 3 == 0 ? channels / 3 : channels % 2 == 0 ? 2u : 1u, last};
  p.floats = seed % 2 == 1;
  generator g(seed);
  const double means[] = {0, 0.3, 1, 1e3, 1e6, 1e9, 1e12};
  const auto parameter = [&](double v) { return p.floats ? static_cast<double>(static_cast<float>(v)) : v; };
  for (std::size_t k = 0; k < p.size(); ++k) {
    p.x.push_back(means[(seed + k / positions % channels * 3 / channels) % 7] + g.normal());
    p.residual.push_back(g.normal());
  }
  for (std::size_t c = 0; c < channels; ++c) {
    p.gamma.push_back(parameter(1 + g.normal() / 4));
    p.beta.push_back(parameter(g.normal()));
    p.mean.push_back(means[(seed + c * 3 / channels) % 7] + g.normal() / 8);
    p.variance.push_back(0.5 + g.uniform());
  }
  return p;
}

struct how {
  bool in_place = false;
  std::size_t gap = 0;  // elements between samples and channels, or rows
  const simdnorm_executor* executor = nullptr;
};
struct outputs {
  simdnorm_status status = -1;
  std::vector<double> y, told;  // told: running mean and variance, mean, rstd
  bool intact = false;
};
bool same(const outputs& a, const outputs& b) {
  return a.status == b.status && same_doubles(a.y, b.y) && same_doubles(a.told, b.told);
}

outputs run(op o, const problem& p, const mask& m, const how& h, arena& memory) {
  memory.reset();
  placed place{memory};
  channel_setup layout;
  layout.last = p.last;
  layout.channel_gap = h.gap;
  layout.batch_gap = p.last && of_batch(o) ? 0 : h.gap;
  const channel_place where(p, layout);
  const auto take = [&](const std::vector<double>* v) {
    double* const t = unwritten_doubles(memory, where.count);
    if (v) {
      p.for_elements(
          [&](std::size_t n, std::size_t c, std::size_t k) { t[where.at(n, c, k)] = (*v)[p.index(n, c, k)]; });
    }
    return t;
  };
  double* const x = take(&p.x);
  double* const y = h.in_place ? x : take(nullptr);
  const auto cx = where.view<simdnorm_const_tensor>(p, x, SIMDNORM_F64);
  const auto cy = where.view<simdnorm_tensor>(p, y, SIMDNORM_F64);
  simdnorm_const_tensor residual = cx;
  const auto output = [&](double value) {
    const simdnorm_vector v = double_vector(memory, p.sets(o));
    std::fill_n(static_cast<double*>(v.data), v.size, value);
    return v;
  };
  const simdnorm_padding padding = place.in(in_memory_order(p, m, where.strides));
  const simdnorm_const_vector gamma = place.in(p.gamma, p.floats), beta = place.in(p.beta, p.floats);
  outputs out;
  if (of_batch(o)) {
    simdnorm_batch_norm_options b = simdnorm_batch_norm_defaults();
    b.epsilon = p.epsilon;
    b.padding = padding;
    b.executor = h.executor;
    simdnorm_vector vectors[] = {output(2), output(3), output(-1), output(-1)};
    if (has_all(o)) {
      b.gamma = gamma;
      b.beta = beta;
      residual.data = take(&p.residual);
      b.residual = &residual;
      b.activation = SIMDNORM_ACTIVATION_RELU;
      b.running_mean = vectors[0];
      b.running_variance = vectors[1];
      b.mean = vectors[2];
      b.rstd = vectors[3];
    }
    if (o == op::inference || o == op::inference_all) {
      out.status = simdnorm_batch_norm_inference_nd(&cx, &cy, place.in(p.mean, false), place.in(p.variance, false), &b);
    } else {
      out.status = simdnorm_batch_norm_training_nd(&cx, &cy, &b);
    }
    for (const simdnorm_vector& v : vectors) append(out.told, v);
  } else {
    simdnorm_group_norm_options g = simdnorm_group_norm_defaults();
    g.epsilon = p.epsilon;
    g.padding = padding;
    g.executor = h.executor;
    simdnorm_vector vectors[] = {output(-1), output(-1)};
    if (has_all(o)) {
      g.gamma = gamma;
      g.beta = beta;
      g.activation = SIMDNORM_ACTIVATION_RELU;
    }
    g.mean = vectors[0];
    g.rstd = vectors[1];
    out.status = o == op::instance ? simdnorm_instance_norm(&cx, &cy, &g) : simdnorm_group_norm(&cx, &cy, p.groups, &g);
    for (const simdnorm_vector& v : vectors) append(out.told, v);
  }
  out.intact = memory.intact();
  std::vector<char> inside(where.count);
  out.y.resize(p.size());
  p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
    const std::size_t at = where.at(n, c, k);
    out.y[p.index(n, c, k)] = y[at];
    inside[at] = 1;
  });
  for (std::size_t k = 0; k < where.count; ++k) out.intact &= inside[k] || bits_of(y[k]) == bits_of(double_unwritten);
  return out;
}
outputs run(op o, const problem& p, const mask& m = {}, const how& h = {}) {
  offset_arena memory;
  return run(o, p, m, h, memory);
}

// Against the definitions, in binary128.
void check(double_gate& gate, op o, const problem& p, const mask& m, const outputs& out, const std::string& where) {
  ASSERT_EQ(out.status, SIMDNORM_OK) << where;
  ASSERT_TRUE(out.intact) << where;
  const bool given = o == op::inference || o == op::inference_all;
  std::vector<std::vector<double>> real(p.sets(o));
  std::vector<exact_moments> moments(p.sets(o));
  p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
    if (real_element(p, m, n, c, k)) real[p.set_of(o, n, c)].push_back(p.x[p.index(n, c, k)]);
  });
  for (std::size_t s = 0; s < real.size() && !given; ++s) moments[s] = oracle_moments(real[s].data(), real[s].size());
  p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
    const std::size_t i = p.index(n, c, k), set = p.set_of(o, n, c);
    if (!real_element(p, m, n, c, k)) {
      ASSERT_EQ(bits_of(out.y[i]), 0u) << where;
      return;
    }
    const wide mean = given ? static_cast<wide>(p.mean[c]) : moments[set].mean;
    const wide rstd = oracle_rstd(given ? static_cast<wide>(p.variance[c]) : moments[set].variance(), p.epsilon);
    const wide xhat = (static_cast<wide>(p.x[i]) - mean) * rstd;
    if (!has_all(o)) return gate.xhat(out.y[i], xhat, where, i);
    wide expected = xhat * static_cast<wide>(p.gamma[c]) + static_cast<wide>(p.beta[c]);
    wide slack = static_cast<wide>(ulp_f64(expected)) / 2;
    if (of_batch(o)) {
      expected += static_cast<wide>(p.residual[i]);
      slack += static_cast<wide>(ulp_f64(expected)) / 2;
    }
    gate.judge(out.y[i], expected > 0 ? expected : wide(0),
               static_cast<wide>(std::fabs(p.gamma[c])) * gate.unit_of(xhat), slack, where, i);
  });
  if (given || o == op::training) return;
  const std::size_t first = of_batch(o) ? 2 * p.channels() : 0, sets = real.size();
  for (std::size_t s = 0; s < sets; ++s) {
    const exact_moments& e = moments[s];
    const double got_mean = out.told[first + s], got_rstd = out.told[first + sets + s];
    if (real[s].empty()) {
      EXPECT_TRUE(got_mean == 0 && got_rstd == 0) << where;
      continue;
    }
    const wide size = absolute(e.mean) > e.sigma() ? absolute(e.mean) : e.sigma();
    EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(got_mean) - e.mean)), 2 * ulp_f64(size)) << where;
    const wide rstd = oracle_rstd(e.variance(), p.epsilon);
    if (rstd > 0 && rstd < static_cast<wide>(std::numeric_limits<double>::max())) {
      EXPECT_LE(static_cast<double>(absolute(static_cast<wide>(got_rstd) - rstd)), 2 * ulp_f64(rstd)) << where;
    }
    if (!of_batch(o)) continue;
    const auto n = static_cast<double>(real[s].size());
    const double mean = static_cast<double>(e.mean), variance = static_cast<double>(e.variance());
    EXPECT_NEAR(out.told[s], 0.9 * 2 + 0.1 * mean, 1e-15 * (2 + std::fabs(mean))) << where;
    EXPECT_NEAR(out.told[sets + s], n > 1 ? 0.9 * 3 + 0.1 * variance * n / (n - 1) : 3.0, 1e-15 * (3 + variance))
        << where;
  }
}

struct shape {
  std::size_t batch, channels, positions;
};
constexpr shape shapes[] = {{7, 5, 1},   {3, 4, 7},   {2, 6, 33}, {5, 4, 16},  {9, 4, 196},  {3, 6, 63},
                            {1, 3, 667}, {2, 2, 64},  {2, 70, 9}, {3, 12, 49}, {1, 2, 2100}, {2, 6, 65},
                            {2, 130, 2}, {4, 2, 130}, {1, 1, 1},  {1, 1, 300}, {2, 192, 3}};

template <class Work>
void for_samples(Work work) {
  std::uint64_t seed = 0;
  for (const op o : operations)
    for (const shape& s : shapes)
      for (const bool last : {false, true}) {
        const problem p = make_problem(s.batch, s.channels, s.positions, last, ++seed);
        for (mask m : masks_for(p, seed)) {
          m.fill = SIMDNORM_FILL_ZERO;
          work(o, p, m,
               std::string(name_of(o)) + " " + std::to_string(s.batch) + "x" + std::to_string(s.channels) + "x" +
                   std::to_string(s.positions) + (last ? " last" : " first") + ", padding " + std::to_string(m.kind));
        }
      }
}

TEST_P(double_channels_test, meets_the_gate) {
  for (const op wanted : operations) {
    double_gate gate(name_of(wanted));
    case_turns turns;
    for_samples([&](op o, const problem& p, const mask& m, const std::string& where) {
      if (o == wanted && !turns.skips()) check(gate, o, p, m, run(o, p, m), where);
    });
    gate.report();
  }
}

// A hostile row as every set.
TEST_P(double_channels_test, hostile_sets_meet_the_gate) {
  for (const op o : {op::training, op::group, op::instance}) {
    double_gate gate(std::string(name_of(o)) + " of hostile sets");
    for (const shape& s : {shape{3, 2, 5}, shape{2, 3, 70}, shape{4, 2, 49}, shape{1, 4, 200}}) {
      for (const bool last : {false, true}) {
        problem p = make_problem(s.batch, s.channels, s.positions, last, 8);
        p.groups = 1;
        const std::size_t size = p.size() / p.sets(o);
        for (const hostile_doubles& row : hostile_rows_f64(size)) {
          p.epsilon = row.epsilon;
          std::vector<std::size_t> used(p.sets(o));
          p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
            p.x[p.index(n, c, k)] = row.x[used[p.set_of(o, n, c)]++];
          });
          const outputs out = run(o, p);
          check(gate, o, p, {}, out, row.name);
          if (row.name.rfind("constant", 0) != 0) continue;
          for (const double v : out.y) ASSERT_EQ(bits_of(v), 0u) << row.name;
        }
      }
    }
    gate.report();
  }
}

// The certified data of NIST as one channel, cut into planes where that is possible.
TEST_P(double_channels_test, nist) {
  for (const nist::dataset& d : nist::datasets) {
    problem p = make_problem(1, 1, d.n, false, 2);
    p.x = doubles_of(d);
    p.epsilon = 0;
    double_gate gate(std::string("group_norm of ") + d.name);
    check(gate, op::group, p, {}, run(op::group, p), d.name);
    gate.report();
  }
}

TEST_P(double_channels_test, one_result_wherever_and_whoever) {
  thread_executor threads(3);
  std::size_t turn = 0;
  case_turns turns;
  for_samples([&](op o, const problem& original, const mask& m, const std::string& where) {
    if (turns.skips()) return;
    problem p = original;
    if (++turn % 4 == 0) {  // what is not finite, of one set
      p.x[p.size() / 2] = nan;
      p.x[p.size() / 3] = -infinity;
      p.x[p.size() / 5] = infinity;
    }
    const outputs mine = run(o, p, m);
    ASSERT_EQ(mine.status, SIMDNORM_OK) << where;
    ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
    ASSERT_TRUE(same(run(o, p, m), mine)) << where;
    ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
    for (const how& h :
         {how{true, 0, nullptr}, how{false, 3, nullptr}, how{true, 5, nullptr}, how{false, 0, &threads.c}}) {
      const outputs other = run(o, p, m, h);
      ASSERT_TRUE(same(other, mine) && other.intact) << where;
    }
    for (const std::vector<double>* v : {&mine.y, &mine.told})
      for (const double e : *v) {
        if (e != e) {
          ASSERT_EQ(bits_of(e), canonical_nan_f64) << where;
        }
      }
  });
  const problem large = make_problem(4, 6, 9000, false, 5);
  for (const op o : operations) ASSERT_TRUE(same(run(o, large, {}, {false, 0, &threads.c}), run(o, large)));
  ASSERT_GT(threads.tasks.load(), 0u);
}

TEST_P(double_channels_test, padding_is_never_read_and_kept_on_request) {
  case_turns turns;
  for_samples([&](op o, const problem& p, const mask& m, const std::string& where) {
    if (turns.skips()) return;
    if (m.kind == SIMDNORM_PADDING_NONE) return;
    const outputs expected = run(o, p, m);
    problem garbage = p;
    mask kept_mask = m, all = m;
    kept_mask.fill = SIMDNORM_FILL_KEEP;
    const outputs kept = run(o, p, kept_mask);
    ASSERT_TRUE(same_doubles(kept.told, expected.told)) << where;
    p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
      const std::size_t i = p.index(n, c, k);
      const bool real = real_element(p, m, n, c, k);
      if (!real) garbage.x[i] = garbage.residual[i] = i % 2 == 0 ? nan : infinity;
      ASSERT_EQ(bits_of(kept.y[i]), real ? bits_of(expected.y[i]) : bits_of(double_unwritten)) << where;
    });
    ASSERT_TRUE(same(run(o, garbage, m), expected)) << where;
    // A mask that leaves nothing out is none.
    all.lengths.assign(p.batch(), static_cast<std::int64_t>(p.positions()));
    all.rows.assign(p.batch() * p.positions(), 1);
    all.elements.assign(p.size(), 1);
    ASSERT_TRUE(same(run(o, p, all), run(o, p))) << where;
  });
}

// What a set has is all that its bits depend on: lengths and masks that say the same, and the other samples.
TEST_P(double_channels_test, forms_of_a_mask_agree) {
  for (const op o : operations) {
    for (const shape& s : shapes) {
      const problem p = make_problem(s.batch, s.channels, s.positions, false, 3);
      const mask lengths = masks_for(p, 4)[1];
      mask elements = lengths;
      elements.kind = SIMDNORM_PADDING_ELEMENT_MASK;
      p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
        elements.elements[p.index(n, c, k)] = real_element(p, lengths, n, c, k);
      });
      ASSERT_TRUE(same(run(o, p, elements), run(o, p, lengths))) << name_of(o) << " " << s.positions;
    }
  }
}

// Positions and samples of padding more at the end: no bit of what is real, nor of a channel's statistics.
TEST_P(double_channels_test, padding_further) {
  for (const op o : operations)
    for (const shape& s : shapes)
      for (const std::size_t positions : {1, 70})
        for (const std::size_t samples : {0, 2}) {
          if (s.positions == 1 || s.channels == 1) continue;
          const problem p = make_problem(s.batch, s.channels, s.positions, false, 3);
          problem further = p;
          further.sizes = {s.batch + samples, s.channels, s.positions + positions};
          further.x.assign(further.size(), nan);
          further.residual = further.x;
          mask lengths, more;
          lengths.kind = SIMDNORM_PADDING_SEQUENCE_LENGTHS;
          generator g(5);
          for (std::size_t n = 0; n < s.batch; ++n)
            lengths.lengths.push_back(static_cast<std::int64_t>(n == 0 ? s.positions : g.between(1, s.positions)));
          more = lengths;
          more.lengths.resize(further.batch(), 0);
          lengths.tokens = s.positions;
          more.tokens = further.positions();
          p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
            further.x[further.index(n, c, k)] = p.x[p.index(n, c, k)];
            further.residual[further.index(n, c, k)] = p.residual[p.index(n, c, k)];
          });
          const outputs near = run(o, p, lengths), far = run(o, further, more);
          ASSERT_EQ(near.status, SIMDNORM_OK);
          p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
            ASSERT_EQ(bits_of(near.y[p.index(n, c, k)]), bits_of(far.y[further.index(n, c, k)]))
                << name_of(o) << " " << s.positions << " + " << positions << ", " << n << " " << c << " " << k;
          });
          if (of_batch(o)) {
            ASSERT_TRUE(same_doubles(near.told, far.told)) << name_of(o);
          }
        }
}

// Every sequence is a sample of its own.
TEST_P(double_channels_test, packed_sequences) {
  const std::vector<std::int64_t> offsets = {2, 7, 7, 30, 41};
  for (const std::size_t channels : {6, 70}) {
    for (const std::size_t groups : {std::size_t{1}, std::size_t{2}, channels}) {
      problem p = make_problem(1, channels, 44, true, 12);
      p.groups = groups;
      const std::size_t size = p.size();
      std::vector<double> x(size), y(size, double_unwritten), mean(4 * groups), rstd(4 * groups);
      for (std::size_t c = 0; c < channels; ++c)
        for (std::size_t k = 0; k < 44; ++k) x[k * channels + c] = k >= 2 && k < 41 ? p.x[p.index(0, c, k)] : nan;
      const auto step = static_cast<std::ptrdiff_t>(channels);
      const simdnorm_const_tensor cx{x.data(), {1, channels, 44}, {44 * step, 1, step}, 3, SIMDNORM_F64};
      const simdnorm_tensor cy{y.data(), {1, channels, 44}, {44 * step, 1, step}, 3, SIMDNORM_F64};
      simdnorm_group_norm_options o = simdnorm_group_norm_defaults();
      o.padding = {offsets.data(), 5, 0, SIMDNORM_PADDING_OFFSETS, SIMDNORM_I64, SIMDNORM_FILL_ZERO};
      o.mean = {mean.data(), mean.size(), SIMDNORM_F64};
      o.rstd = {rstd.data(), rstd.size(), SIMDNORM_F64};
      ASSERT_EQ(simdnorm_group_norm(&cx, &cy, groups, &o), SIMDNORM_OK);
      for (std::size_t s = 0; s < 4; ++s) {
        const auto from = static_cast<std::size_t>(offsets[s]), to = static_cast<std::size_t>(offsets[s + 1]);
        problem one = make_problem(1, channels, std::max<std::size_t>(to - from, 1), true, 12);
        one.groups = groups;
        for (std::size_t c = 0; c < channels; ++c)
          for (std::size_t k = from; k < to; ++k) one.x[one.index(0, c, k - from)] = p.x[p.index(0, c, k)];
        const outputs alone = run(op::group, one);
        for (std::size_t g = 0; g < groups; ++g) {
          EXPECT_EQ(bits_of(mean[s * groups + g]), from == to ? 0u : bits_of(alone.told[g]));
          EXPECT_EQ(bits_of(rstd[s * groups + g]), from == to ? 0u : bits_of(alone.told[groups + g]));
        }
        for (std::size_t c = 0; c < channels; ++c)
          for (std::size_t k = from; k < to; ++k)
            ASSERT_EQ(bits_of(y[k * channels + c]), bits_of(alone.y[one.index(0, c, k - from)]));
      }
      for (std::size_t k = 0; k < size; ++k) {
        if (k / channels < 2 || k / channels >= 41) {
          ASSERT_EQ(bits_of(y[k]), 0u);
        }
      }
    }
  }
}

TEST_P(double_channels_test, no_byte_beyond_is_touched) {
  for (const auto side : {guarded_arena::at_start, guarded_arena::at_end}) {
    guarded_arena memory(side);
    for (const op o : operations)
      for (const bool last : {false, true})
        for (std::size_t size = 1; size <= 140; size += size < 20 ? 1 : 7) {
          const problem p = last ? make_problem(2, size, 3, true, size) : make_problem(2, 4, size, false, size);
          const mask m = masks_for(p, size)[size % 6];
          ASSERT_TRUE(same(run(o, p, m, {}, memory), run(o, p, m))) << name_of(o) << " " << size;
          ASSERT_TRUE(run(o, p, m, {true, 1, nullptr}, memory).intact);
        }
  }
}

TEST_P(double_channels_test, the_cpp_front) {
  const std::vector<std::size_t> sizes{3, 4, 15};
  for (const bool last : {false, true}) {
    problem p = make_problem(sizes[0], sizes[1], sizes[2], last, 7);
    p.groups = 2;
    // In the order of memory.
    std::vector<double> in(p.size()), skip(in), y(in), mean(12), rstd(12), running(4), variance(4);
    const auto view = [&](std::vector<double>& v) {
      return last ? tensor_view<double>::channels_last(v.data(), {3, 4, 15})
                  : tensor_view<double>(v.data(), {3, 4, 15});
    };
    const auto at = [&](std::size_t n, std::size_t c, std::size_t k) {
      return last ? (n * 15 + k) * 4 + c : p.index(n, c, k);
    };
    p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
      in[at(n, c, k)] = p.x[p.index(n, c, k)];
      skip[at(n, c, k)] = p.residual[p.index(n, c, k)];
    });
    const auto expect = [&](status s, op o, const std::vector<double>& told) {
      ASSERT_EQ(s, status::ok) << name_of(o);
      const outputs expected = run(o, p);
      p.for_elements([&](std::size_t n, std::size_t c, std::size_t k) {
        ASSERT_EQ(bits_of(y[at(n, c, k)]), bits_of(expected.y[p.index(n, c, k)])) << name_of(o);
      });
      ASSERT_TRUE(told.empty() || same_doubles(told, expected.told)) << name_of(o);
    };
    const auto joined = [](std::initializer_list<std::span<const double>> parts) {
      std::vector<double> all;
      for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
      return all;
    };
    const std::vector<float> gamma(p.gamma.begin(), p.gamma.end());
    std::fill(running.begin(), running.end(), 2);
    std::fill(variance.begin(), variance.end(), 3);
    const batch_norm_options all{.gamma = gamma,
                                 .beta = p.beta,
                                 .running_mean = running,
                                 .running_variance = variance,
                                 .mean_out = std::span(mean).first(4),
                                 .rstd_out = std::span(rstd).first(4)};
    expect(batch_norm_training(view(in), view(y)), op::training, {});
    const status trained = batch_norm_training_add(view(in), view(skip), view(y), all);
    expect(trained, op::training_all, joined({running, variance, std::span(mean).first(4), std::span(rstd).first(4)}));
    expect(batch_norm_inference(view(in), view(y), p.mean, p.variance), op::inference, {});
    expect(
        batch_norm_inference_add(view(in), view(skip), view(y), p.mean, p.variance, {.gamma = gamma, .beta = p.beta}),
        op::inference_all, {});
    const status grouped = group_norm(view(in), view(y), 2,
                                      {.gamma = p.gamma,
                                       .beta = p.beta,
                                       .mean_out = std::span(mean).first(6),
                                       .rstd_out = std::span(rstd).first(6),
                                       .last = activation_function::relu});
    expect(grouped, op::group_all, joined({std::span(mean).first(6), std::span(rstd).first(6)}));
    const status instances = instance_norm(view(in), view(y), {.mean_out = mean, .rstd_out = rstd});
    expect(instances, op::instance, joined({mean, rstd}));
    std::vector<float> floats(p.size());
    EXPECT_EQ(group_norm(view(in), {floats.data(), {3, 4, 15}}, 2), status::unsupported_type);
    EXPECT_EQ(batch_norm_inference(view(in), view(y), gamma, gamma), status::unsupported_type);
  }
}

TEST_P(double_channels_test, a_bad_argument_is_a_status) {
  double x[24], y[24], v[6] = {1, 1, 1, 1, 1, 1};
  float f[6] = {};
  for (int k = 0; k < 24; ++k) x[k] = k;
  std::fill(std::begin(y), std::end(y), double_unwritten);
  const simdnorm_const_tensor in{x, {2, 4, 3}, {12, 3, 1}, 3, SIMDNORM_F64};
  const simdnorm_tensor out{y, {2, 4, 3}, {12, 3, 1}, 3, SIMDNORM_F64};
  const auto training = [&](auto&& change, simdnorm_const_tensor cx, simdnorm_tensor cy) {
    simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
    change(o, cx, cy);
    return simdnorm_batch_norm_training_nd(&cx, &cy, &o);
  };
  const auto group = [&](auto&& change, simdnorm_const_tensor cx, simdnorm_tensor cy, std::size_t groups = 2) {
    simdnorm_group_norm_options o = simdnorm_group_norm_defaults();
    change(o, cx, cy);
    return simdnorm_group_norm(&cx, &cy, groups, &o);
  };
  const auto both = [&](simdnorm_status expected, auto&& change) {
    EXPECT_EQ(training(change, in, out), expected);
    EXPECT_EQ(group(change, in, out), expected);
  };
  both(SIMDNORM_UNSUPPORTED_TYPE, [](auto&, auto&, auto& cy) { cy.type = SIMDNORM_F32; });
  both(SIMDNORM_UNSUPPORTED_TYPE, [](auto&, auto& cx, auto&) { cx.type = SIMDNORM_F32; });
  both(SIMDNORM_UNSUPPORTED_TYPE, [&](auto& o, auto&, auto&) { o.gamma = {v, 4, SIMDNORM_BF16}; });
  both(SIMDNORM_UNSUPPORTED_TYPE, [&](auto& o, auto&, auto&) { o.mean = {f, 4, SIMDNORM_F32}; });
  both(SIMDNORM_INVALID_SHAPE, [&](auto& o, auto&, auto&) { o.beta = {v, 3, SIMDNORM_F64}; });
  both(SIMDNORM_INVALID_SHAPE, [](auto&, auto&, auto& cy) { cy.sizes[1] = 3; });
  both(SIMDNORM_NULL_POINTER, [](auto&, auto&, auto& cy) { cy.data = nullptr; });
  both(SIMDNORM_MISALIGNED, [](auto&, auto& cx, auto&) { cx.data = static_cast<const char*>(cx.data) + 4; });
  both(SIMDNORM_INVALID_STRIDE, [](auto&, auto& cx, auto&) { cx.strides[2] = 2; });
  both(SIMDNORM_INVALID_STRIDE, [](auto&, auto&, auto& cy) { cy.strides[1] = 2; });
  both(SIMDNORM_OVERLAP, [](auto&, auto& cx, auto& cy) { cx.data = static_cast<double*>(cy.data) + 1; });
  both(SIMDNORM_OVERLAP, [&](auto& o, auto&, auto&) { o.mean = {y + 20, 4, SIMDNORM_F64}; });
  both(SIMDNORM_OVERLAP, [&](auto& o, auto&, auto&) { o.rstd = {x, 4, SIMDNORM_F64}; });
  both(SIMDNORM_OVERLAP, [&](auto& o, auto&, auto&) { o.gamma = {y, 4, SIMDNORM_F64}; });
  both(SIMDNORM_INVALID_EPSILON, [](auto& o, auto&, auto&) { o.epsilon = -1; });
  both(SIMDNORM_INVALID_ACTIVATION, [](auto& o, auto&, auto&) { o.activation = SIMDNORM_ACTIVATION_GELU; });
  both(SIMDNORM_INVALID_STRUCT, [](auto& o, auto&, auto&) { o.struct_size = 3; });
  both(SIMDNORM_INVALID_PADDING, [](auto& o, auto&, auto&) { o.padding.kind = SIMDNORM_PADDING_ROW_LENGTHS; });
  both(SIMDNORM_INVALID_PADDING, [](auto& o, auto&, auto&) { o.padding.kind = SIMDNORM_PADDING_OFFSETS; });
  both(SIMDNORM_INVALID_EXECUTOR, [](auto& o, auto&, auto&) {
    static const simdnorm_executor nobody{nullptr, 2, nullptr};
    o.executor = &nobody;
  });
  const auto nothing = [](auto&, auto&, auto&) {};
  EXPECT_EQ(group(nothing, in, out, 3), SIMDNORM_INVALID_SHAPE);
  EXPECT_EQ(group(nothing, in, out, 0), SIMDNORM_INVALID_SHAPE);
  EXPECT_EQ(training([](auto& o, auto&, auto&) { o.momentum = 2; }, in, out), SIMDNORM_INVALID_MOMENTUM);
  const auto residual = [&](simdnorm_const_tensor r) {
    return training([&](auto& o, auto&, auto&) { o.residual = &r; }, in, out);
  };
  EXPECT_EQ(residual({x, {2, 4, 3}, {12, 3, 1}, 3, SIMDNORM_F32}), SIMDNORM_UNSUPPORTED_TYPE);
  EXPECT_EQ(residual({x, {2, 3, 3}, {12, 3, 1}, 3, SIMDNORM_F64}), SIMDNORM_INVALID_SHAPE);
  EXPECT_EQ(residual({y + 1, {2, 4, 3}, {12, 3, 1}, 3, SIMDNORM_F64}), SIMDNORM_OVERLAP);
  EXPECT_EQ(simdnorm_batch_norm_inference_nd(&in, &out, {}, {}, nullptr), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_batch_norm_inference_nd(&in, &out, {f, 4, SIMDNORM_F32}, {v, 4, SIMDNORM_F64}, nullptr),
            SIMDNORM_UNSUPPORTED_TYPE);
  for (const double e : y) EXPECT_EQ(bits_of(e), bits_of(double_unwritten));
  EXPECT_EQ(training([](auto&, auto& cx, auto& cy) { cx.sizes[0] = cy.sizes[0] = 0; }, in, out), SIMDNORM_OK);
}

}  // namespace
}  // namespace simdnorm::test

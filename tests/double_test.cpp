// SPDX-License-Identifier: Apache-2.0
//
// Row norms of f64: the accuracy gate in f64's ulps, hostile rows, NIST's sets, bits, bounds, padding, arguments.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/double_gate.hpp"
#include "support/doubles.hpp"
#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class double_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(double_test);

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double largest = std::numeric_limits<double>::max();

struct expectation {
  wide center, scale;
};
expectation expect(double_norm n, const double* x, std::size_t count, double epsilon) {
  const exact_moments m = oracle_moments(x, count);
  if (n == double_norm::layer) return {m.mean, oracle_rstd(m.variance(), epsilon)};
  if (n == double_norm::rms) return {0, oracle_rstd(m.mean_square, epsilon)};
  const wide norm = square_root(m.mean_square * static_cast<wide>(count));
  const wide divisor = norm > static_cast<wide>(epsilon) ? norm : static_cast<wide>(epsilon);
  return {0, divisor == 0 ? wide(0) : 1 / divisor};
}

void check_rows(double_norm n, const double_rows& p, const double_outputs& out, double_given given, double_gate& g,
                const std::string& where) {
  const bool has_gamma = n != double_norm::l2 && given != double_given::nothing && given != double_given::beta_alone;
  const bool has_beta = n == double_norm::layer && given != double_given::nothing && given != double_given::gamma_alone;
  for (std::size_t i = 0; i < p.rows; ++i) {
    const double* x = p.x.data() + i * p.cols;
    const expectation e = expect(n, x, p.cols, p.epsilon);
    for (std::size_t j = 0; j < p.cols; ++j) {
      const wide exact = (static_cast<wide>(x[j]) - e.center) * e.scale;
      const double y = out.y[i * p.cols + j];
      if (n == double_norm::l2) {
        g.relative(y, exact, where, j);
      } else if (has_gamma || has_beta) {
        g.affine(y, exact, has_gamma ? p.gamma[j] : 1, has_beta ? p.beta[j] : 0, where, j);
      } else {
        g.xhat(y, exact, where, j);
      }
    }
  }
}

const std::size_t widths[] = {1,  2,   3,   5,   8,   15,  16,  17,  31,  63,   64,
                              65, 100, 127, 128, 129, 255, 256, 257, 768, 1000, 4099};

TEST_P(double_test, ordinary_rows_meet_the_gate) {
  for (const double_norm n : double_norms) {
    double_gate g(std::string(name_of(n)) + " of doubles");
    for (const double mean : {0.0, 0.3, 1.0, 1e3, 1e6, 1e9, 1e12}) {
      for (const std::size_t cols : widths) {
        for (const auto given : {double_given::nothing, double_given::doubles, double_given::floats}) {
          if (given != double_given::nothing && (n == double_norm::l2 || cols % 4 == 0)) continue;
          double_rows p(2, cols, cols + static_cast<std::size_t>(mean), mean);
          double_how h;
          h.given = given;
          const double_outputs out = run(n, p, h);
          ASSERT_EQ(out.status, SIMDNORM_OK);
          check_rows(n, p, out, given, g, "mean " + std::to_string(mean) + ", " + std::to_string(cols) + " columns");
        }
      }
    }
    g.report();
  }
}

TEST_P(double_test, long_rows_meet_the_gate) {
  for (const double_norm n : double_norms) {
    double_gate g(std::string(name_of(n)) + " of long rows");
    for (const double mean : {0.0, 1.0, 1e12}) {
      double_rows p(1, 100000, 5, mean);
      const double_outputs out = run(n, p);
      ASSERT_EQ(out.status, SIMDNORM_OK);
      check_rows(n, p, out, double_given::nothing, g, "mean " + std::to_string(mean));
    }
    g.report();
  }
}

TEST_P(double_test, hostile_rows_meet_the_gate) {
  for (const double_norm n : double_norms) {
    double_gate g(std::string(name_of(n)) + " of hostile doubles");
    for (const std::size_t cols : {2, 3, 17, 64, 65, 129, 513, 768, 1025}) {
      for (const hostile_doubles& row : hostile_rows_f64(cols)) {
        for (const auto given : {double_given::nothing, double_given::doubles}) {
          if (given != double_given::nothing && n == double_norm::l2) continue;
          double_rows p(1, cols, 3);
          p.x = row.x;
          p.epsilon = row.epsilon;
          double_how h;
          h.given = given;
          const double_outputs out = run(n, p, h);
          ASSERT_EQ(out.status, SIMDNORM_OK);
          check_rows(n, p, out, given, g, row.name + ", " + std::to_string(cols));
        }
      }
    }
    g.report();
  }
}

TEST_P(double_test, statistics_are_right) {
  double_gate means("mean of rows, in ulps of max(|mean|, std)"), scales("rstd of rows"), norms("norms of rows");
  for (const std::size_t cols : {2, 17, 129, 1000}) {
    for (const hostile_doubles& row : hostile_rows_f64(cols, 11)) {
      double_rows p(1, cols, 3);
      p.x = row.x;
      p.epsilon = row.epsilon;
      const exact_moments m = oracle_moments(p.x.data(), cols);
      const double_outputs layer = run(double_norm::layer, p);
      const wide size = absolute(m.mean) > m.sigma() ? absolute(m.mean) : m.sigma();
      means.judge(layer.mean[0], m.mean, static_cast<wide>(ulp_f64(size)), 0, row.name, cols);
      if (m.variance() + static_cast<wide>(row.epsilon) > 0) {
        scales.relative(layer.rstd[0], oracle_rstd(m.variance(), row.epsilon), row.name, cols);
      } else {
        EXPECT_EQ(layer.rstd[0], infinity) << row.name;
      }
      const double_outputs l2 = run(double_norm::l2, p);
      norms.relative(l2.rstd[0], square_root(m.mean_square * static_cast<wide>(cols)), row.name, cols);
    }
  }
  means.report();
  scales.report();
  norms.report();
}

TEST_P(double_test, nist) {
  for (const nist::dataset& d : nist::datasets) {
    const std::vector<double> x = doubles_of(d);
    double_rows p(1, d.n, 1);
    p.x = x;
    p.epsilon = 0;
    const double_outputs out = run(double_norm::layer, p);
    ASSERT_EQ(out.status, SIMDNORM_OK);
    const exact_moments m = oracle_moments(x.data(), d.n);
    const auto n = static_cast<double>(d.n);
    const double sd = std::sqrt(n / (n - 1)) / out.rstd[0];
    const double exact_sd = static_cast<double>(square_root(m.m2 / static_cast<wide>(n - 1)));
    const auto digits = [](double v, double right) {
      const double e = std::fabs(v / right - 1);
      return e == 0 ? 16.0 : std::min(16.0, -std::log10(e));
    };
    std::printf("             %-8s mean %.1f, standard deviation %.1f certified digits\n", d.name,
                digits(out.mean[0], d.certified_mean), digits(sd, d.certified_sd));
    EXPECT_GE(digits(out.mean[0], d.certified_mean), 14.5) << d.name;
    EXPECT_GE(digits(sd, exact_sd), 15) << d.name;
    // What the image has lost of NIST's 15 digits: those of mean/std, 1e8 for NumAcc4.
    const double lost = std::max(0.0, std::log10(std::fabs(d.certified_mean) / d.certified_sd));
    EXPECT_GE(digits(sd, d.certified_sd), std::min(14.5, 15.5 - lost)) << d.name;
  }
}

// The definition is the scalar target; others have its bits, wherever a row lies.
TEST_P(double_test, bits_are_those_of_scalar) {
  const auto each = [](auto&& work) {
    for (const double_norm n : double_norms) {
      for (const std::size_t cols : widths) {
        for (const auto given : {double_given::nothing, double_given::doubles, double_given::floats,
                                 double_given::gamma_alone, double_given::beta_alone}) {
          double_rows p(3, cols, cols, cols % 3 == 0 ? 1e9 : 0.5);
          work(n, p, given);
        }
      }
      for (const std::size_t cols : {3, 17, 129, 768}) {
        for (const hostile_doubles& row : hostile_rows_f64(cols)) {
          double_rows p(1, cols, 3);
          p.x = row.x;
          p.epsilon = row.epsilon;
          work(n, p, double_given::nothing);
          work(n, p, double_given::doubles);
        }
      }
      // Bits at random, of any magnitude; of a few magnitudes, so that sums mean something.
      generator g(99);
      for (int k = 0; k < 300; ++k) {
        double_rows p(1, 1 + g.below(300), 3);
        const int spread = k % 3 == 0 ? 2000 : 60, around = static_cast<int>(g.below(1900)) - 950;
        for (double& v : p.x) v = std::ldexp(g.normal(), k % 3 == 0 ? 0 : around) * g.scale(spread);
        p.epsilon = k % 2 == 0 ? 0 : g.scale(200);
        work(n, p, k % 4 == 0 ? double_given::doubles : double_given::nothing);
      }
    }
  };
  std::vector<double_outputs> expected;
  ASSERT_EQ(simdnorm_isa_force(SIMDNORM_SCALAR), SIMDNORM_OK);
  each([&](double_norm n, const double_rows& p, double_given given) {
    double_how h;
    h.given = given;
    expected.push_back(run(n, p, h));
  });
  ASSERT_EQ(simdnorm_isa_force(GetParam()), SIMDNORM_OK);
  std::size_t at = 0;
  each([&](double_norm n, const double_rows& p, double_given given) {
    simdnorm_stream_border_set(at % 3 == 0 ? 1 : 0);  // past the caches, or by the machine's
    double_how h;
    h.given = given;
    h.in_place = at % 2 == 0;
    h.pitch = at % 5;
    offset_arena memory(at % 8);
    const double_outputs out = run(n, p, h, memory);
    ASSERT_TRUE(out.intact);
    ASSERT_TRUE(same_doubles(out, expected[at])) << name_of(n) << ", " << p.cols << " columns, call " << at;
    ++at;
  });
}

TEST_P(double_test, threads_change_no_bit) {
  for (const double_norm n : double_norms) {
    double_rows p(200, 700, 5, 3);
    double_how h;
    h.given = double_given::doubles;
    const double_outputs expected = run(n, p, h);
    thread_executor threads(3);
    shuffle_executor shuffled(4);
    for (test_executor* e : {static_cast<test_executor*>(&threads), static_cast<test_executor*>(&shuffled)}) {
      h.executor = &e->c;
      EXPECT_TRUE(same_doubles(run(n, p, h), expected)) << name_of(n);
      EXPECT_GT(e->tasks, 1u);
    }
    failing_executor failing(2);
    h.executor = &failing.c;
    EXPECT_EQ(run(n, p, h).status, SIMDNORM_EXECUTOR_FAILED);
  }
}

TEST_P(double_test, no_byte_beyond_is_touched) {
  for (const auto side : {guarded_arena::at_start, guarded_arena::at_end}) {
    guarded_arena memory(side);
    for (std::size_t cols = 1; cols <= 70; ++cols) {
      simdnorm_stream_border_set(cols % 2 == 0 ? 1 : 0);
      for (const double_norm n : double_norms) {
        for (const auto given : {double_given::nothing, double_given::doubles, double_given::floats}) {
          double_rows p(2, cols, cols);
          double_how h;
          h.given = given;
          h.in_place = cols % 2 == 0;
          h.pitch = cols % 3;
          ASSERT_EQ(run(n, p, h, memory).status, SIMDNORM_OK);
          p.x[0] = largest;  // a hostile row
          p.x[cols - 1] = cols % 4 == 1 ? nan : -largest;
          ASSERT_EQ(run(n, p, h, memory).status, SIMDNORM_OK);
        }
      }
    }
  }
}

// ---- padding ---------------------------------------------------------------------------------------

std::vector<mask> all_masks(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  generator g(seed);
  std::vector<mask> all;
  const auto make = [&](simdnorm_padding_kind kind) -> mask& {
    all.emplace_back();
    all.back().kind = kind;
    all.back().cols = cols;
    return all.back();
  };
  mask& lengths = make(SIMDNORM_PADDING_ROW_LENGTHS);
  for (std::size_t i = 0; i < rows; ++i)
    lengths.lengths.push_back(i == 1 ? 0 : static_cast<std::int64_t>(g.below(cols + 1)));
  for (const auto kind : {SIMDNORM_PADDING_ROW_MASK, SIMDNORM_PADDING_ROW_MASK_BITS}) {
    mask& m = make(kind);
    for (std::size_t i = 0; i < rows; ++i) m.rows.push_back(g.next() & 1 ? 0 : 7);
  }
  mask& sequences = make(SIMDNORM_PADDING_SEQUENCE_LENGTHS);
  sequences.tokens = rows / 2;
  sequences.lengths = {2, static_cast<std::int64_t>(rows / 2)};
  make(SIMDNORM_PADDING_OFFSETS).lengths = {1, 3, static_cast<std::int64_t>(rows) - 1};
  for (const auto kind : {SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
    mask& m = make(kind);
    for (std::size_t i = 0; i < rows; ++i) {
      const std::uint64_t of = i == 1 ? 0 : i == 2 ? 9 : 1 + g.below(8);  // of 9, so many count; none, all
      for (std::size_t j = 0; j < cols; ++j) m.elements.push_back(g.below(9) < of && (i != 3 || j >= 100));
    }
  }
  return all;
}

TEST_P(double_test, padding_does_not_count) {
  for (const double_norm n : double_norms) {
    double_gate g(std::string(name_of(n)) + " of doubles beside padding");
    for (const std::size_t cols : {3, 20, 128, 150, 300}) {
      constexpr std::size_t rows = 8;
      for (const mask& m : all_masks(rows, cols, cols)) {
        for (const bool hostile : {false, true}) {
          double_rows p(rows, cols, cols, 10);
          if (hostile)
            for (double& v : p.x) v *= 0x1p1010;
          double_rows garbage = p;
          for (std::size_t i = 0; i < rows; ++i)
            for (std::size_t j = 0; j < cols; ++j)
              if (!m.real(i, j)) garbage.x[i * cols + j] = (i + j) % 3 == 0 ? nan : (i + j) % 3 == 1 ? infinity : 1e300;
          for (const auto given : {double_given::nothing, double_given::doubles, double_given::floats}) {
            double_how h;
            h.given = given;
            h.pitch = cols % 2;
            h.pad = m;
            const double_outputs out = run(n, p, h);
            ASSERT_EQ(out.status, SIMDNORM_OK);
            ASSERT_TRUE(out.intact);
            ASSERT_TRUE(same_doubles(run(n, garbage, h), out)) << "kind " << m.kind;
            h.in_place = true;
            ASSERT_TRUE(same_doubles(run(n, garbage, h), out)) << "kind " << m.kind;
            h.in_place = false;
            h.pad.fill = SIMDNORM_FILL_KEEP;
            const double_outputs kept = run(n, p, h);
            for (std::size_t i = 0; i < rows; ++i) {
              double_rows one(1, 0, 1);
              one.epsilon = p.epsilon;
              std::vector<double> ys, gammas, betas;
              for (std::size_t j = 0; j < cols; ++j) {
                const std::size_t at = i * cols + j;
                ASSERT_EQ(bits_of(kept.y[at]), bits_of(m.real(i, j) ? out.y[at] : double_unwritten));
                if (!m.real(i, j)) {
                  ASSERT_EQ(bits_of(out.y[at]), 0u);
                  continue;
                }
                one.x.push_back(p.x[at]);
                one.gamma.push_back(p.gamma[j]);
                one.beta.push_back(p.beta[j]);
                ys.push_back(out.y[at]);
              }
              one.cols = one.x.size();
              if (one.cols == 0) {
                EXPECT_EQ(bits_of(out.mean[i]), n == double_norm::layer ? 0u : bits_of(double_unwritten));
                EXPECT_EQ(bits_of(out.rstd[i]), 0u);
                continue;
              }
              double_outputs packed;
              packed.y = ys;
              check_rows(n, one, packed, given, g, "kind " + std::to_string(m.kind));
            }
          }
        }
      }
    }
    g.report();
  }
}

// A mask of a prefix has the bits of a row length, that of all those of none.
TEST_P(double_test, forms_of_padding_have_one_result) {
  for (const double_norm n : double_norms) {
    for (const std::size_t cols : {5, 65, 200, 700}) {
      for (const double mean : {0.0, 1e9}) {
        double_rows p(3, cols, cols, mean);
        mask lengths, elements;
        lengths.kind = SIMDNORM_PADDING_ROW_LENGTHS;
        for (const std::size_t n_real : {cols, cols / 2, cols - 1})
          lengths.lengths.push_back(static_cast<std::int64_t>(n_real));
        elements.cols = cols;
        for (std::size_t k = 0; k < 3 * cols; ++k)
          elements.elements.push_back(lengths.real(k / cols, k % cols) ? 255 : 0);
        double_how h;
        h.given = double_given::doubles;
        const double_outputs whole = run(n, p, h);
        h.pad = lengths;
        const double_outputs out = run(n, p, h);
        for (const auto kind : {SIMDNORM_PADDING_ELEMENT_MASK, SIMDNORM_PADDING_ELEMENT_MASK_BITS}) {
          h.pad = elements;
          h.pad.kind = kind;
          EXPECT_TRUE(same_doubles(run(n, p, h), out)) << name_of(n) << " " << cols;
        }
        for (std::size_t j = 0; j < cols; ++j) ASSERT_EQ(bits_of(out.y[j]), bits_of(whole.y[j]));
      }
    }
  }
}

// ---- semantics -------------------------------------------------------------------------------------

TEST_P(double_test, constant_rows_are_exactly_beta) {
  for (const double value : {0.1, -3.7e200, 0x1p-1074, largest, 1e12 + 0.3, -0.0}) {
    for (const double epsilon : {0.0, 1e-5}) {
      for (const std::size_t cols : {1, 2, 63, 65, 300, 5000}) {
        double_rows p(1, cols, 4);
        p.x.assign(cols, value);
        p.epsilon = epsilon;
        p.beta[0] = -0.0;
        double_how h;
        double_outputs out = run(double_norm::layer, p, h);
        for (const double y : out.y) ASSERT_EQ(bits_of(y), 0u) << value;
        EXPECT_EQ(out.mean[0], value);
        EXPECT_EQ(out.rstd[0], 1 / std::sqrt(epsilon));
        for (const auto given : {double_given::doubles, double_given::floats, double_given::beta_alone}) {
          h.given = given;
          out = run(double_norm::layer, p, h);
          for (std::size_t j = 0; j < cols; ++j) ASSERT_EQ(bits_of(out.y[j]), bits_of(p.beta[j])) << value << " " << j;
        }
        h.given = double_given::gamma_alone;
        out = run(double_norm::layer, p, h);
        for (const double y : out.y) ASSERT_EQ(bits_of(y), 0u) << value;
      }
    }
  }
}

TEST_P(double_test, what_nan_and_infinity_do) {
  for (const double_norm n : double_norms) {
    for (const double special : {nan, -nan, infinity, -infinity}) {
      for (const std::size_t place : {0, 1, 70, 198}) {
        for (const auto given : {double_given::nothing, double_given::doubles}) {
          double_rows p(3, 199, 4);
          p.x[199 + place] = special;
          double_how h;
          h.given = given;
          const double_outputs out = run(n, p, h);
          double_rows clean(3, 199, 4);
          const double_outputs right = run(n, clean, h);
          const bool zeros = n != double_norm::layer && std::isinf(special);
          for (std::size_t k = 0; k < out.y.size(); ++k) {
            if (k / 199 != 1) {
              ASSERT_EQ(bits_of(out.y[k]), bits_of(right.y[k]));
            } else if (zeros && k != 199 + place) {
              ASSERT_EQ(out.y[k], 0.0);
            } else {
              ASSERT_EQ(bits_of(out.y[k]), canonical_nan_f64);
            }
          }
          if (n == double_norm::layer) {
            EXPECT_EQ(bits_of(out.mean[1]), canonical_nan_f64);
          }
          if (!zeros) {
            EXPECT_EQ(bits_of(out.rstd[1]), canonical_nan_f64);
          } else {
            EXPECT_EQ(out.rstd[1], n == double_norm::l2 ? infinity : 0.0);
          }
        }
      }
    }
  }
  // In parameters.
  double_rows p(2, 40, 4);
  p.gamma[3] = -nan;
  p.beta[5] = -nan;
  p.gamma[7] = infinity;
  p.x.assign(p.x.size(), 0);
  p.x[1] = 1;
  double_how h;
  h.given = double_given::doubles;
  const double_outputs out = run(double_norm::layer, p, h);
  EXPECT_EQ(bits_of(out.y[3]), canonical_nan_f64);
  EXPECT_EQ(bits_of(out.y[5]), canonical_nan_f64);
  EXPECT_EQ(out.y[7], -infinity);
  EXPECT_EQ(bits_of(out.y[40 + 5]), canonical_nan_f64);
}

TEST_P(double_test, zeros_keep_their_sign) {
  double_rows p(1, 50, 4);
  p.x[3] = -0.0;
  p.x[4] = 0.0;
  for (const double_norm n : {double_norm::rms, double_norm::l2}) {
    const double_outputs out = run(n, p);
    EXPECT_EQ(bits_of(out.y[3]), bits_of(-0.0));
    EXPECT_EQ(bits_of(out.y[4]), bits_of(0.0));
    double_rows zeros(1, 50, 4);
    zeros.x.assign(50, -0.0);
    zeros.epsilon = 0;
    for (const double y : run(n, zeros).y) EXPECT_EQ(bits_of(y), 0u);
  }
}

// ---- arguments -------------------------------------------------------------------------------------

TEST_P(double_test, a_bad_argument_is_a_status) {
  alignas(64) double x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  alignas(64) double y[13], gamma[4] = {1, 1, 1, 1}, mean[3];
  float floats[4] = {1, 1, 1, 1};
  std::fill(std::begin(y), std::end(y), double_unwritten);
  struct arguments {
    simdnorm_const_matrix x;
    simdnorm_matrix y;
    simdnorm_layer_norm_options o;
  };
  const arguments good = [&] {
    arguments a{{x, 3, 4, 4, SIMDNORM_F64}, {y, 3, 4, 4, SIMDNORM_F64}, simdnorm_layer_norm_defaults()};
    a.o.gamma = {gamma, 4, SIMDNORM_F64};
    a.o.mean = {mean, 3, SIMDNORM_F64};
    return a;
  }();
  const auto bad = [&](simdnorm_status expected, const std::function<void(arguments&)>& change) {
    arguments a = good;
    change(a);
    EXPECT_EQ(simdnorm_layer_norm(&a.x, &a.y, &a.o), expected);
    simdnorm_rms_norm_options r = simdnorm_rms_norm_defaults();
    r.epsilon = a.o.epsilon;
    r.weight = a.o.gamma;
    r.rstd = a.o.mean;
    r.padding = a.o.padding;
    r.executor = a.o.executor;
    r.activation = a.o.activation;
    EXPECT_EQ(simdnorm_rms_norm(&a.x, &a.y, &r), expected);
    for (const double v : y) EXPECT_EQ(bits_of(v), bits_of(double_unwritten));
  };
  bad(SIMDNORM_NULL_POINTER, [](arguments& a) { a.x.data = nullptr; });
  bad(SIMDNORM_NULL_POINTER, [](arguments& a) { a.y.data = nullptr; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.y.type = SIMDNORM_F32; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.x.type = SIMDNORM_F32; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [](arguments& a) { a.o.gamma.type = SIMDNORM_BF16; });
  bad(SIMDNORM_UNSUPPORTED_TYPE, [&](arguments& a) { a.o.mean = {floats, 3, SIMDNORM_F32}; });
  bad(SIMDNORM_INVALID_ACTIVATION, [](arguments& a) { a.o.activation = 5; });
  bad(SIMDNORM_INVALID_SHAPE, [](arguments& a) { a.o.gamma.size = 3; });
  bad(SIMDNORM_INVALID_SHAPE, [](arguments& a) { a.o.mean.size = 4; });
  bad(SIMDNORM_INVALID_SHAPE, [](arguments& a) { a.y.cols = 3; });
  bad(SIMDNORM_INVALID_SHAPE, [](arguments& a) { a.x.rows = SIZE_MAX / 8; });
  bad(SIMDNORM_INVALID_STRIDE, [](arguments& a) { a.y.row_stride = 3; });
  bad(SIMDNORM_MISALIGNED, [&](arguments& a) { a.x.data = reinterpret_cast<const char*>(x) + 4; });
  bad(SIMDNORM_MISALIGNED, [&](arguments& a) { a.o.gamma.data = reinterpret_cast<const char*>(gamma) + 4; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.x.data = y + 1; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.o.gamma.data = y; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.o.mean.data = y; });
  bad(SIMDNORM_OVERLAP, [&](arguments& a) { a.o.mean.data = x; });
  bad(SIMDNORM_INVALID_EPSILON, [](arguments& a) { a.o.epsilon = -1; });
  bad(SIMDNORM_INVALID_EPSILON, [](arguments& a) { a.o.epsilon = nan; });
  bad(SIMDNORM_INVALID_PADDING, [](arguments& a) { a.o.padding.kind = SIMDNORM_PADDING_ELEMENT_MASK; });
  bad(SIMDNORM_INVALID_PADDING, [](arguments& a) { a.o.padding.kind = 99; });
  const simdnorm_executor broken{nullptr, 2, nullptr};
  bad(SIMDNORM_INVALID_EXECUTOR, [&](arguments& a) { a.o.executor = &broken; });
  // What is right.
  arguments a = good;
  a.o.gamma = {floats, 4, SIMDNORM_F32};
  EXPECT_EQ(simdnorm_layer_norm(&a.x, &a.y, &a.o), SIMDNORM_OK);
  a.x.row_stride = 0;
  EXPECT_EQ(simdnorm_layer_norm(&a.x, &a.y, &a.o), SIMDNORM_OK);
  EXPECT_EQ(bits_of(y[12]), bits_of(double_unwritten));
  EXPECT_EQ(bits_of(y[0]), bits_of(y[4]));
  a.x = {x + 8, 3, 4, -4, SIMDNORM_F64};
  a.y = {x + 8, 3, 4, -4, SIMDNORM_F64};
  EXPECT_EQ(simdnorm_layer_norm(&a.x, &a.y, &a.o), SIMDNORM_OK);
  a.x.rows = a.y.rows = 0;
  a.o.mean = {};
  a.x.data = a.y.data = nullptr;
  EXPECT_EQ(simdnorm_layer_norm(&a.x, &a.y, &a.o), SIMDNORM_OK);
}

TEST_P(double_test, the_cpp_front) {
  const double_rows p(4, 30, 8, 2);
  const std::vector<float> gamma(p.gamma.begin(), p.gamma.end());
  const std::vector<double> zeros(p.x.size());
  std::vector<double> y(p.x.size()), sum(y), mean(4), rstd(4);
  const matrix_view<const double> x(p.x.data(), 4, 30);
  const matrix_view<double> to(y.data(), 4, 30);
  const tensor_view<const double> heads(p.x.data(), {2, 2, 30});
  const addend with{.residual = {zeros.data(), 4, 30}, .bias = {}, .sum = {sum.data(), 4, 30}};
  for (const bool relu : {false, true}) {
    double_how h;
    h.given = double_given::doubles;
    h.function = relu ? SIMDNORM_ACTIVATION_RELU : SIMDNORM_ACTIVATION_NONE;
    const auto last = relu ? activation_function::relu : activation_function::none;
    const auto expect = [&](status s, double_norm n) {
      EXPECT_EQ(s, status::ok);
      const double_outputs expected = run(n, p, h);
      EXPECT_TRUE(same_doubles(y, expected.y) && same_doubles(rstd, expected.rstd)) << name_of(n);
      if (n == double_norm::layer) {
        EXPECT_TRUE(same_doubles(mean, expected.mean));
      }
      for (std::vector<double>* v : {&y, &mean, &rstd}) std::fill(v->begin(), v->end(), double_unwritten);
    };
    const layer_norm_options layer{
        .gamma = gamma, .beta = p.beta, .mean_out = mean, .rstd_out = rstd, .activation = last};
    expect(layer_norm({p.x.data(), 4, 30}, {y.data(), 4, 30}, layer), double_norm::layer);
    expect(layer_norm(heads, {y.data(), {2, 2, 30}}, layer), double_norm::layer);
    expect(add_layer_norm(x, with, to, layer), double_norm::layer);
    EXPECT_TRUE(same_doubles(sum, p.x));
    const rms_norm_options rms{.weight = p.gamma, .rstd_out = rstd, .activation = last};
    expect(rms_norm(x, to, rms), double_norm::rms);
    expect(rms_norm(heads, {y.data(), {2, 2, 30}}, rms), double_norm::rms);
    expect(add_rms_norm(x, with, to, rms), double_norm::rms);
    h.unit_offset = true;
    expect(rms_norm(x, to, {.weight = p.gamma, .rstd_out = rstd, .activation = last, .add_unit_offset = true}),
           double_norm::rms);
    const l2_norm_options l2{.epsilon = 1e-5, .norm_out = rstd};
    expect(l2_norm(x, to, l2), double_norm::l2);
    expect(l2_norm(heads, {y.data(), {2, 2, 30}}, l2), double_norm::l2);
  }
  // Types that do not go together.
  std::vector<float> floats(y.size());
  EXPECT_EQ(layer_norm(x, {floats.data(), 4, 30}), status::unsupported_type);
  EXPECT_EQ(layer_norm({floats.data(), 4, 30}, to), status::unsupported_type);
  EXPECT_EQ(layer_norm(x, to, {.mean_out = std::span(floats).first(4)}), status::unsupported_type);
  EXPECT_EQ(layer_norm({floats.data(), 4, 30}, {floats.data(), 4, 30}, {.gamma = p.gamma}), status::unsupported_type);
  EXPECT_EQ(add_rms_norm(x, {.residual = {floats.data(), 4, 30}}, to), status::unsupported_type);
  EXPECT_EQ(gated_rms_norm(x, {floats.data(), 4, 30}, to), status::unsupported_type);
  // A gate, and functions of e^x: what each makes of what the norm gives.
  EXPECT_EQ(rms_norm(x, to), status::ok);
  const std::vector<double> norm = y, gate = activated(SIMDNORM_ACTIVATION_SILU, p.x);
  EXPECT_EQ(rms_norm(x, to, {.activation = activation_function::gelu}), status::ok);
  EXPECT_TRUE(same_doubles(y, activated(SIMDNORM_ACTIVATION_GELU, norm)));
  EXPECT_EQ(gated_rms_norm(x, x, to), status::ok);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(bits_of(y[i]), bits_of(norm[i] * gate[i]));
}

}  // namespace
}  // namespace simdnorm::test

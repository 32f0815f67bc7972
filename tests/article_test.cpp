// SPDX-License-Identifier: Apache-2.0
//
// The worked examples of "Layer Normalization Explained: Why Transformers Prefer It Over Batch Norm":
// a 5 x 3 table of pre-activations, and two sentences padded to four tokens of three features.

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/gate.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class article_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(article_test);

// z1 z2 z3
const float table[15] = {7, 5, 4,  //
                         2, 3, 4,  //
                         1, 2, 3,  //
                         7, 5, 6,  //
                         3, 3, 4};

// By hand: column means 20/5, 18/5, 21/5; sums of squared deviations 112 - 80, 72 - 64.8, 93 - 88.2.
const double column_means[3] = {4.0, 3.6, 4.2};
const double column_m2[3] = {32.0, 7.2, 4.8};
// Row means 16/3, 3, 2, 6, 10/3; sums of squared deviations 14/3, 2, 2, 2, 2/3.
const double row_means[5] = {16.0 / 3, 3, 2, 6, 10.0 / 3};
const double row_m2[5] = {14.0 / 3, 2, 2, 2, 2.0 / 3};

TEST_P(article_test, batch_norm_of_the_table_column_by_column) {
  moments m[3];
  ASSERT_EQ(column_moments({table, 5, 3}, m), status::ok);
  const double least[3] = {1, 2, 3}, greatest[3] = {7, 5, 6};
  for (int j = 0; j < 3; ++j) {
    EXPECT_EQ(m[j].count, 5u);
    EXPECT_NEAR(m[j].mean, column_means[j], 2e-7);
    EXPECT_NEAR(m[j].m2, column_m2[j], 4e-7 * column_m2[j]);
    EXPECT_EQ(m[j].min, least[j]);
    EXPECT_EQ(m[j].max, greatest[j]);
  }

  float y[15], mean[3], rstd[3], running_mean[3] = {}, running_variance[3] = {1, 1, 1};
  batch_norm_options o;
  o.epsilon = 0;
  o.mean_out = mean;
  o.rstd_out = rstd;
  o.running_mean = running_mean;
  o.running_variance = running_variance;
  ASSERT_EQ(batch_norm_training({table, 5, 3}, {y, 5, 3}, o), status::ok);
  for (int j = 0; j < 3; ++j) {
    const double sigma = std::sqrt(column_m2[j] / 5);
    for (int i = 0; i < 5; ++i) {
      const double xhat = (static_cast<double>(table[3 * i + j]) - column_means[j]) / sigma;
      EXPECT_NEAR(y[3 * i + j], xhat, gate_ulps * ulp_f32(std::max(1.0, std::fabs(xhat)))) << i << " " << j;
    }
    EXPECT_EQ(mean[j], static_cast<float>(column_means[j]));
    EXPECT_NEAR(rstd[j], 1 / sigma, ulp_f32(1 / sigma));
    EXPECT_NEAR(running_mean[j], 0.1 * column_means[j], 1e-7);
    EXPECT_NEAR(running_variance[j], 0.9 + 0.1 * column_m2[j] / 4, 3e-7);
  }
  // The first value: (7 - 4) / sqrt(6.4) = 1.1858541225631423 (the article assumes 0.36).
  EXPECT_NEAR(y[0], 1.1858541225631423, gate_ulps * 0x1p-23);
}

TEST_P(article_test, layer_norm_of_the_table_row_by_row) {
  const float gamma[3] = {1, 0.5f, -2}, beta[3] = {0, 1, 0.25f};
  float y[15], z[15], mean[5], rstd[5];
  layer_norm_options o;
  o.epsilon = 0;
  o.mean_out = mean;
  o.rstd_out = rstd;
  ASSERT_EQ(layer_norm({table, 5, 3}, {y, 5, 3}, o), status::ok);
  o.gamma = gamma;
  o.beta = beta;
  ASSERT_EQ(layer_norm({table, 5, 3}, {z, 5, 3}, o), status::ok);
  for (int i = 0; i < 5; ++i) {
    const double sigma = std::sqrt(row_m2[i] / 3);
    for (int j = 0; j < 3; ++j) {
      const double xhat = (static_cast<double>(table[3 * i + j]) - row_means[i]) / sigma;
      const double unit = ulp_f32(std::max(1.0, std::fabs(xhat)));
      EXPECT_NEAR(y[3 * i + j], xhat, gate_ulps * unit) << i << " " << j;
      const double g = static_cast<double>(gamma[j]), expected = g * xhat + static_cast<double>(beta[j]);
      EXPECT_NEAR(z[3 * i + j], expected, gate_ulps * std::fabs(g) * unit + ulp_f32(expected) / 2) << i << " " << j;
    }
    EXPECT_EQ(mean[i], static_cast<float>(row_means[i]));
    EXPECT_NEAR(rstd[i], 1 / sigma, ulp_f32(1 / sigma));
  }
  // First row: (7 - 16/3) / sqrt(14/9) = 5 / sqrt(14); (5 - 16/3) = -1 / sqrt(14); -4 / sqrt(14).
  const double root = std::sqrt(14.0);
  EXPECT_NEAR(y[0], 5 / root, gate_ulps * 0x1p-23);
  EXPECT_NEAR(y[1], -1 / root, gate_ulps * 0x1p-23);
  EXPECT_NEAR(y[2], -4 / root, gate_ulps * 0x1p-23);
}

// "Hi Rahul" has two tokens, "How are you today" four; padding is zero.
const float sentences[24] = {6.50f, 2.41f, 3.21f,  //
                             1.12f, 4.75f, 0.98f,  //
                             0,     0,     0,      //
                             0,     0,     0,      //
                             3.30f, 5.86f, 1.17f,  //
                             2.04f, 0.39f, 7.25f,  //
                             4.61f, 3.08f, 2.93f,  //
                             0.77f, 6.14f, 5.52f};
const std::int32_t lengths[2] = {2, 4};
const std::size_t real_rows[6] = {0, 1, 4, 5, 6, 7};

exact_moments of_real_tokens(std::size_t feature) {
  float x[6];
  for (std::size_t i = 0; i < 6; ++i) x[i] = sentences[real_rows[i] * 3 + feature];
  return oracle_moments(x, 6);
}

TEST_P(article_test, masked_batch_norm_has_the_statistics_of_the_real_tokens) {
  float y[24], unmasked_y[24], mean[3], rstd[3], unmasked_mean[3], unmasked_rstd[3];
  batch_norm_options o;
  o.mean_out = mean;
  o.rstd_out = rstd;
  o.pad = padding::sequence_lengths(std::span<const std::int32_t>(lengths), 4);
  ASSERT_EQ(batch_norm_training({sentences, 8, 3}, {y, 8, 3}, o), status::ok);
  o.pad = {};
  o.mean_out = unmasked_mean;
  o.rstd_out = unmasked_rstd;
  ASSERT_EQ(batch_norm_training({sentences, 8, 3}, {unmasked_y, 8, 3}, o), status::ok);
  for (std::size_t j = 0; j < 3; ++j) {
    const exact_moments e = of_real_tokens(j);
    const double exact_rstd = static_cast<double>(oracle_rstd(e.variance(), 1e-5));
    EXPECT_NEAR(mean[j], static_cast<double>(e.mean), ulp_f32(e.mean));
    EXPECT_NEAR(rstd[j], exact_rstd, 2 * ulp_f32(exact_rstd));
    for (std::size_t i = 0; i < 8; ++i) {
      if (i == 2 || i == 3) {
        EXPECT_EQ(bits_of(y[i * 3 + j]), 0u);
        continue;
      }
      const wide xhat = (static_cast<wide>(sentences[i * 3 + j]) - e.mean) * oracle_rstd(e.variance(), 1e-5);
      EXPECT_NEAR(y[i * 3 + j], static_cast<double>(xhat),
                  gate_ulps * ulp_f32(std::max(1.0, static_cast<double>(absolute(xhat)))));
    }
    // Two zeros among eight pull the mean down by a quarter, and the outputs with it.
    EXPECT_NEAR(unmasked_mean[j], 0.75 * static_cast<double>(e.mean), 1e-6);
    EXPECT_GT(std::fabs(unmasked_mean[j] - mean[j]), 0.5f);
    EXPECT_GT(std::fabs(unmasked_y[j] - y[j]), 0.1f);
  }
}

// Padding that is not zero would be worse; masked, it is nothing at all.
TEST_P(article_test, masked_batch_norm_ignores_what_padding_holds) {
  float poisoned[24], y[24], z[24];
  std::copy(std::begin(sentences), std::end(sentences), poisoned);
  for (std::size_t k = 6; k < 12; ++k) poisoned[k] = float_of(canonical_nan);
  batch_norm_options o;
  o.pad = padding::sequence_lengths(std::span<const std::int32_t>(lengths), 4);
  ASSERT_EQ(batch_norm_training({sentences, 8, 3}, {y, 8, 3}, o), status::ok);
  ASSERT_EQ(batch_norm_training({poisoned, 8, 3}, {z, 8, 3}, o), status::ok);
  for (std::size_t k = 0; k < 24; ++k) EXPECT_EQ(bits_of(y[k]), bits_of(z[k]));
}

// "Padding tokens do not affect normalization": row by row, a token is alone with its features.
TEST_P(article_test, layer_norm_of_a_token_does_not_see_the_padding) {
  float masked[24], unmasked[24], packed[18], tokens[18];
  layer_norm_options o;
  ASSERT_EQ(layer_norm({sentences, 8, 3}, {unmasked, 8, 3}, o), status::ok);
  o.pad = padding::sequence_lengths(std::span<const std::int32_t>(lengths), 4);
  ASSERT_EQ(layer_norm({sentences, 8, 3}, {masked, 8, 3}, o), status::ok);
  for (std::size_t i = 0; i < 6; ++i) std::copy_n(sentences + real_rows[i] * 3, 3, tokens + i * 3);
  ASSERT_EQ(layer_norm({tokens, 6, 3}, {packed, 6, 3}), status::ok);
  for (std::size_t i = 0; i < 6; ++i) {
    const exact_moments e = oracle_moments(tokens + i * 3, 3);
    for (std::size_t j = 0; j < 3; ++j) {
      const std::size_t k = real_rows[i] * 3 + j;
      EXPECT_EQ(bits_of(masked[k]), bits_of(packed[i * 3 + j]));
      EXPECT_EQ(bits_of(masked[k]), bits_of(unmasked[k]));
      const wide xhat = (static_cast<wide>(sentences[k]) - e.mean) * oracle_rstd(e.variance(), 1e-5);
      EXPECT_NEAR(masked[k], static_cast<double>(xhat),
                  gate_ulps * ulp_f32(std::max(1.0, static_cast<double>(absolute(xhat)))));
    }
  }
  // A padding token is a constant row: its outputs are zero with and without the mask.
  for (std::size_t k = 6; k < 12; ++k) {
    EXPECT_EQ(bits_of(masked[k]), 0u);
    EXPECT_EQ(bits_of(unmasked[k]), 0u);
  }
}

}  // namespace
}  // namespace simdnorm::test

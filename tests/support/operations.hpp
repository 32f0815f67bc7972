// SPDX-License-Identifier: Apache-2.0
//
// Every computing function of the library behind one call, so that a promise which holds for all of
// them (bits, bounds, padding, no allocation) is tested on all of them by one loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "simdnorm/simdnorm.h"
#include "support/arena.hpp"
#include "support/data.hpp"

namespace simdnorm::test {

enum class operation {
  layer_norm,
  layer_norm_affine,  // gamma, beta, mean out, rstd out
  rms_norm,
  rms_norm_weighted,     // weight, rstd out
  l2_norm,               // norm out
  add_layer_norm,        // residual, gamma, beta
  add_layer_norm_sum,    // bias, residual, gamma, beta, sum, mean and rstd out
  add_rms_norm_sum,      // residual, which is where the sum goes; weight, rstd out
  layer_norm_silu,       // gamma, beta, silu
  rms_norm_offset_gelu,  // 1 + weight, gelu, rstd out
  gated_rms_norm,        // weight, z; rstd out
  batch_norm_training,
  batch_norm_training_affine,  // gamma, beta, running statistics, mean out, rstd out
  batch_norm_inference,
  batch_norm_training_add,   // a residual, gamma, beta, running statistics, ReLU
  batch_norm_inference_add,  // a residual, ReLU
  standardize_transform,
  standardize_inverse,
  min_max_transform,
  min_max_transform_clipped,
  min_max_inverse,
  max_abs_transform,
  max_abs_inverse,
  standardize,           // fit and transform
  standardize_weighted,  // by weights of the rows, NaN for missing
  min_max,               // NaN for missing
  max_abs,
  // No y from here on.
  column_moments,
  column_moments_weighted,  // NaN for missing
  column_state,             // two updates, a merge and a result
  column_state_weighted,    // the same with weights, NaN for missing
  standardize_fit,
  min_max_fit,
  max_abs_fit,
  count_,
};
inline constexpr std::size_t operation_count = static_cast<std::size_t>(operation::count_);

inline std::vector<operation> all_operations() {
  std::vector<operation> all;
  for (std::size_t i = 0; i < operation_count; ++i) all.push_back(static_cast<operation>(i));
  return all;
}
const char* name_of(operation op);
inline bool is_row_wise(operation op) {
  return op < operation::batch_norm_training;
}
inline bool has_y(operation op) {
  return op < operation::column_moments;
}
// How many doubles stand together for a column: moments, or one parameter.
inline std::size_t doubles_per_column(operation op) {
  return op >= operation::column_moments && op <= operation::column_state_weighted ? 6 : 1;
}

// What is computed; says nothing of where it lies.
struct problem {
  std::size_t rows = 0, cols = 0;
  std::vector<float> x;               // rows * cols
  std::vector<float> gamma, beta;     // cols
  std::vector<float> mean, variance;  // cols: given statistics; also the old running ones
  std::vector<double> centre, scale;  // cols: given mean and scale
  std::vector<double> low, high;      // cols: given min and max
  std::vector<float> weights;         // rows: some are 0
  double epsilon = 1e-5;

  [[nodiscard]] float& at(std::size_t i, std::size_t j) { return x[i * cols + j]; }
  [[nodiscard]] float at(std::size_t i, std::size_t j) const { return x[i * cols + j]; }
};

enum class flavour {
  normal,    // N(R, 1), R of 0, 1, 1e3, 1e4 or 1e6
  heavy,     // lognormal and Cauchy
  hostile,   // each line (row of a row norm, column of a column norm) another of hostile_rows
  specials,  // normal, with a NaN or infinity in some lines
  bits,      // random finite bit patterns
};
inline constexpr std::size_t flavour_count = 5;

// `lines_are_rows`: the direction along which statistics are taken.
problem make_problem(std::uint64_t seed, std::size_t rows, std::size_t cols, flavour f, bool lines_are_rows);

// Which elements are real.
struct mask {
  simdnorm_padding_kind kind = SIMDNORM_PADDING_NONE;
  std::vector<std::int64_t> lengths;   // row or sequence lengths, or offsets
  std::vector<std::uint8_t> rows;      // row mask, also for bits
  std::vector<std::uint8_t> elements;  // element mask, rows * cols, also for bits
  std::size_t cols = 0;                // of an element mask
  std::size_t tokens = 0;
  simdnorm_index_type index_type = SIMDNORM_I64;
  simdnorm_padding_fill fill = SIMDNORM_FILL_ZERO;

  [[nodiscard]] bool real(std::size_t i, std::size_t j) const;
};

// Of the norms of columns and channels; parameters: gamma, beta, given mean and variance. `widened`: the same values in
// memory of f32, and f32's y rounded here by half.hpp: what a call of these types must give, to the bit.
struct element_types {
  simdnorm_type x = SIMDNORM_F32, y = SIMDNORM_F32, residual = SIMDNORM_F32, parameters = SIMDNORM_F32;
  bool widened = false;
};

struct setup {
  std::ptrdiff_t x_pitch = 0, y_pitch = 0;  // 0: cols
  bool in_place = false;
  const simdnorm_executor* executor = nullptr;
  mask pad{};
  element_types types{};
};

// What y holds before a call: no kernel produces this, so a skipped write shows.
inline constexpr std::uint32_t unwritten = 0x7fabcdef;
inline constexpr std::uint16_t unwritten_half = 0x7fab;

struct result {
  simdnorm_status status = -1;
  bool intact = false;      // nothing around the arrays or between the rows was written
  std::vector<float> y;     // rows * cols
  std::vector<float> f32;   // per-line outputs in f32, one after another; the columns of `sum`, padding as +0, last
  std::vector<double> f64;  // per-column outputs in f64 and moments

  [[nodiscard]] std::size_t outputs() const { return y.size() + f32.size() + f64.size(); }
};

result run(operation op, const problem& p, const setup& s, arena& memory);
// Aligned, contiguous, out of place, one thread.
result run(operation op, const problem& p, const setup& s = {});

// What a call of these types must give.
template <class Operation, class Problem, class Setup>
result widened(Operation op, const Problem& p, Setup s) {
  s.types.widened = true;
  return run(op, p, s);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b);
bool same_bits(const std::vector<double>& a, const std::vector<double>& b);
// "" when equal, else where they first differ.
std::string difference(const result& a, const result& b);

// FNV-1a, 64 bits, over 32-bit words (low word of a double first).
class hash {
 public:
  void add(const std::vector<float>& v);
  void add(const std::vector<double>& v);
  void add(const result& r) {
    add(r.y);
    add(r.f32);
    add(r.f64);
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
  void word(std::uint32_t w) { value_ = (value_ ^ w) * 0x100000001b3; }
};

struct operation_hash {
  operation op;
  std::uint64_t hash;
  std::uint64_t outputs;
};
// All operations over shapes and flavours drawn from one seed: at least `outputs` outputs, with the
// active instruction set.
std::vector<operation_hash> hash_operations(std::uint64_t outputs);

}  // namespace simdnorm::test

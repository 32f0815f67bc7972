// SPDX-License-Identifier: Apache-2.0

#include "support/operations.hpp"

#include <cfenv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "support/placed.hpp"

namespace simdnorm::test {

const char* name_of(operation op) {
  static const char* const names[operation_count] = {"layer_norm",
                                                     "layer_norm_affine",
                                                     "rms_norm",
                                                     "rms_norm_weighted",
                                                     "l2_norm",
                                                     "add_layer_norm",
                                                     "add_layer_norm_sum",
                                                     "add_rms_norm_sum",
                                                     "layer_norm_silu",
                                                     "rms_norm_offset_gelu",
                                                     "gated_rms_norm",
                                                     "batch_norm_training",
                                                     "batch_norm_training_affine",
                                                     "batch_norm_inference",
                                                     "batch_norm_training_add",
                                                     "batch_norm_inference_add",
                                                     "standardize_transform",
                                                     "standardize_inverse",
                                                     "min_max_transform",
                                                     "min_max_transform_clipped",
                                                     "min_max_inverse",
                                                     "max_abs_transform",
                                                     "max_abs_inverse",
                                                     "standardize",
                                                     "standardize_weighted",
                                                     "min_max",
                                                     "max_abs",
                                                     "column_moments",
                                                     "column_moments_weighted",
                                                     "column_state",
                                                     "column_state_weighted",
                                                     "standardize_fit",
                                                     "min_max_fit",
                                                     "max_abs_fit"};
  return names[static_cast<std::size_t>(op)];
}

namespace {

float finite_bits(generator& g) {
  std::uint32_t u;
  do u = static_cast<std::uint32_t>(g.next());
  while ((u & 0x7f800000) == 0x7f800000);
  return float_of(u);
}

}  // namespace

problem make_problem(std::uint64_t seed, std::size_t rows, std::size_t cols, flavour f, bool lines_are_rows) {
  problem p;
  p.rows = rows;
  p.cols = cols;
  p.x.resize(rows * cols);
  generator g(seed);
  const std::size_t lines = lines_are_rows ? rows : cols;
  const std::size_t length = lines_are_rows ? cols : rows;
  const auto at = [&](std::size_t line, std::size_t i) -> float& {
    return lines_are_rows ? p.x[line * cols + i] : p.x[i * cols + line];
  };
  static const double centres[] = {0, 1, 1e3, 1e4, 1e6};
  if (f == flavour::hostile && length > 0) {
    const std::vector<hostile_row> all = hostile_rows(length, seed);
    const std::size_t first = g.below(all.size());
    p.epsilon = g.next() & 1 ? 1e-5 : 0.0;
    for (std::size_t l = 0; l < lines; ++l)
      for (std::size_t i = 0; i < length; ++i) at(l, i) = all[(first + l) % all.size()].x[i];
  } else {
    for (std::size_t l = 0; l < lines; ++l) {
      const double centre = centres[g.below(5)];
      for (std::size_t i = 0; i < length; ++i) {
        float& e = at(l, i);
        switch (f) {
          case flavour::heavy:
            if (l & 1) {
              e = static_cast<float>(g.scaled_normal(12));
            } else {
              const double divisor = g.uniform() + 0x1p-20;
              e = static_cast<float>(g.rough_normal() / divisor);
            }
            break;
          case flavour::bits:
            e = finite_bits(g);
            break;
          default:
            e = static_cast<float>(centre + g.rough_normal());
        }
      }
      if (f == flavour::specials && length > 0 && g.below(3) == 0) {
        static const std::uint32_t specials[] = {0x7fc00000, 0xffc00000, 0x7f800001,
                                                 0xffffffff, 0x7f800000, 0xff800000};
        at(l, g.below(length)) = float_of(specials[g.below(6)]);
        if (g.next() & 1) at(l, g.below(length)) = float_of(specials[g.below(6)]);
      }
    }
  }
  for (std::size_t j = 0; j < cols; ++j) {
    p.gamma.push_back(static_cast<float>(1 + 0.3 * g.rough_normal()));
    p.beta.push_back(static_cast<float>(0.5 * g.rough_normal()));
    p.mean.push_back(static_cast<float>(10 * g.rough_normal()));
    p.variance.push_back(static_cast<float>(g.scale(12)));
    p.centre.push_back(100 * g.rough_normal());
    p.scale.push_back(g.scale(12));
    p.low.push_back(g.rough_normal());
    p.high.push_back(p.low[j] + (g.below(8) == 0 ? 0 : 1 + g.uniform()));
  }
  for (std::size_t i = 0; i < rows; ++i)
    p.weights.push_back(g.below(6) == 0 ? 0.0f : static_cast<float>(g.scale(f == flavour::heavy ? 24 : 2)));
  if (f == flavour::specials && cols > 0) {
    p.gamma[g.below(cols)] = float_of(0xffc12345);
    p.beta[g.below(cols)] = float_of(0x7f800000);
    p.mean[g.below(cols)] = float_of(0x7fc00001);
    p.variance[g.below(cols)] = -1.0f;
  }
  return p;
}

bool mask::real(std::size_t i, std::size_t j) const {
  switch (kind) {
    case SIMDNORM_PADDING_ROW_LENGTHS:
      return static_cast<std::int64_t>(j) < lengths[i];
    case SIMDNORM_PADDING_ROW_MASK:
    case SIMDNORM_PADDING_ROW_MASK_BITS:
      return rows[i] != 0;
    case SIMDNORM_PADDING_OFFSETS: {
      const auto row = static_cast<std::int64_t>(i);
      return lengths.front() <= row && row < lengths.back();
    }
    case SIMDNORM_PADDING_ELEMENT_MASK:
    case SIMDNORM_PADDING_ELEMENT_MASK_BITS:
      return elements[i * cols + j] != 0;
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS:
      return static_cast<std::int64_t>(i % tokens) < lengths[i / tokens];
    default:
      return true;
  }
}

namespace {

constexpr std::size_t element_count(std::size_t rows, std::size_t cols, std::ptrdiff_t pitch) {
  return rows == 0 || cols == 0 ? 0 : (rows - 1) * static_cast<std::size_t>(pitch) + cols;
}

// Inputs that are computed here are, whatever mode the caller is in.
class default_environment {
 public:
  default_environment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~default_environment() { std::fesetenv(&saved_); }
  default_environment(const default_environment&) = delete;
  default_environment& operator=(const default_environment&) = delete;

 private:
  std::fenv_t saved_;
};

void append(std::vector<double>& to, const simdnorm_moments* m, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j)
    to.insert(to.end(), {static_cast<double>(m[j].count), m[j].mean, m[j].m2, m[j].min, m[j].max, m[j].weight});
}

}  // namespace

result run(operation op, const problem& p, const setup& s, arena& memory) {
  memory.reset();
  placed place{memory};
  result r;
  const auto cols = static_cast<std::ptrdiff_t>(p.cols);
  const std::ptrdiff_t x_pitch = s.x_pitch ? s.x_pitch : cols;
  const std::ptrdiff_t y_pitch = s.in_place ? x_pitch : s.y_pitch ? s.y_pitch : cols;

  const std::size_t x_count = element_count(p.rows, p.cols, x_pitch);
  const auto element_at = [](std::size_t i, std::ptrdiff_t pitch, std::size_t j) {
    return i * static_cast<std::size_t>(pitch) + j;
  };
  typed_array xs(memory, x_count, s.types.x, s.types.widened);  // unwritten is NaN: the gaps are not read either
  for (std::size_t i = 0; i < p.rows; ++i) xs.put(element_at(i, x_pitch, 0), p.x.data() + i * p.cols, p.cols);
  const simdnorm_const_matrix x{xs.at(0), p.rows, p.cols, x_pitch, xs.type()};

  const std::size_t y_count = has_y(op) ? element_count(p.rows, p.cols, y_pitch) : 0;
  const typed_array ys = s.in_place || !has_y(op) ? xs : typed_array(memory, y_count, s.types.y, s.types.widened);
  const simdnorm_matrix y{ys.at(0), p.rows, p.cols, y_pitch, ys.type()};
  const simdnorm_padding padding = place.in(s.pad);

  const auto column_options = [&](bool weighted) {
    simdnorm_column_options o = simdnorm_column_defaults();
    o.padding = padding;
    o.executor = s.executor;
    if (weighted) o.weights = place.in(p.weights);
    o.nan_is_missing = weighted;
    return o;
  };
  const auto standardize_options = [&](bool weighted) {
    simdnorm_standardize_options o = simdnorm_standardize_defaults();
    o.padding = padding;
    o.executor = s.executor;
    if (weighted) o.weights = place.in(p.weights);
    o.nan_is_missing = weighted;
    return o;
  };
  const auto max_abs_options = [&] {
    simdnorm_max_abs_options o = simdnorm_max_abs_defaults();
    o.padding = padding;
    o.executor = s.executor;
    return o;
  };
  const auto tell = [&](const double* v) { r.f64.insert(r.f64.end(), v, v + p.cols); };
  const auto batch_options = [&] {
    simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
    o.epsilon = p.epsilon;
    o.padding = padding;
    o.executor = s.executor;
    return o;
  };
  const auto min_max_options = [&] {
    simdnorm_min_max_options o = simdnorm_min_max_defaults();
    o.low = -1;
    o.high = 2.5;
    o.padding = padding;
    o.executor = s.executor;
    return o;
  };

  // A matrix beside x, of another pitch, that depends on nothing but x: a part of a problem keeps its part.
  const std::ptrdiff_t beside_pitch = x_pitch + 3;
  const std::size_t beside_count = element_count(p.rows, p.cols, beside_pitch);
  const auto for_beside = [&](float scale, float shift, auto put) {
    const default_environment here;
    for (std::size_t i = 0; i < p.rows; ++i)
      for (std::size_t j = 0; j < p.cols; ++j) {
        const float v = p.at(i, j) * scale;
        put(element_at(i, beside_pitch, j), v + shift);
      }
  };
  const auto beside = [&](float scale, float shift) {
    float* m = memory.take<float>(beside_count);
    for (std::size_t i = 0; i < beside_count; ++i) m[i] = float_of(unwritten);
    for_beside(scale, shift, [&](std::size_t at, float v) { m[at] = v; });
    return m;
  };
  const auto beside_view = [&](float* m) { return simdnorm_matrix{m, p.rows, p.cols, beside_pitch, SIMDNORM_F32}; };
  const auto const_view = [](const simdnorm_matrix& m) {
    return simdnorm_const_matrix{m.data, m.rows, m.cols, m.row_stride, m.type};
  };
  bool sum_right = true;
  const auto append_sum = [&](const float* m, bool was_unwritten) {
    for (std::size_t j = 0; j < p.cols; ++j)
      for (std::size_t i = 0; i < p.rows; ++i) {
        const float v = m[static_cast<std::ptrdiff_t>(i) * beside_pitch + static_cast<std::ptrdiff_t>(j)];
        const bool real = s.pad.real(i, j);
        if (!real && s.pad.fill == SIMDNORM_FILL_ZERO && bits_of(v) != 0) sum_right = false;
        if (!real && s.pad.fill == SIMDNORM_FILL_KEEP && was_unwritten && bits_of(v) != unwritten) sum_right = false;
        r.f32.push_back(real ? v : 0.0f);
      }
    for (std::size_t i = 0; i + 1 < p.rows && p.cols; ++i)
      for (std::ptrdiff_t j = cols; j < beside_pitch; ++j)
        if (bits_of(m[static_cast<std::ptrdiff_t>(i) * beside_pitch + j]) != unwritten) sum_right = false;
  };

  switch (op) {
    case operation::layer_norm_silu: {
      simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
      o.epsilon = p.epsilon;
      o.padding = padding;
      o.executor = s.executor;
      o.gamma = place.in(p.gamma);
      o.beta = place.in(p.beta);
      o.activation = SIMDNORM_ACTIVATION_SILU;
      r.status = simdnorm_layer_norm(&x, &y, &o);
      break;
    }
    case operation::rms_norm_offset_gelu:
    case operation::gated_rms_norm: {
      simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
      o.epsilon = p.epsilon;
      o.padding = padding;
      o.executor = s.executor;
      o.weight = place.in(p.gamma);
      o.rstd = place.out(p.rows);
      if (op == operation::gated_rms_norm) {
        const simdnorm_const_matrix z = const_view(beside_view(beside(-0.5f, 1.0f)));
        r.status = simdnorm_gated_rms_norm(&x, &z, &y, &o);
      } else {
        o.add_unit_offset = 1;
        o.activation = SIMDNORM_ACTIVATION_GELU;
        r.status = simdnorm_rms_norm(&x, &y, &o);
      }
      append(r.f32, o.rstd);
      break;
    }
    case operation::add_layer_norm:
    case operation::add_layer_norm_sum: {
      simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
      o.epsilon = p.epsilon;
      o.padding = padding;
      o.executor = s.executor;
      o.gamma = place.in(p.gamma);
      o.beta = place.in(p.beta);
      const simdnorm_const_matrix residual = const_view(beside_view(beside(0.37f, 1.0f)));
      if (op == operation::add_layer_norm) {
        r.status = simdnorm_add_layer_norm(&x, &residual, {}, nullptr, &y, &o);
        break;
      }
      o.mean = place.out(p.rows);
      o.rstd = place.out(p.rows);
      std::vector<float> bias;
      {
        const default_environment here;
        for (std::size_t j = 0; j < p.cols; ++j) bias.push_back(static_cast<float>(p.centre[j] * 0.01));
      }
      float* m = memory.take<float>(beside_count);
      for (std::size_t i = 0; i < beside_count; ++i) m[i] = float_of(unwritten);
      const simdnorm_matrix sum = beside_view(m);
      r.status = simdnorm_add_layer_norm(&x, &residual, place.in(bias), &sum, &y, &o);
      append(r.f32, o.mean);
      append(r.f32, o.rstd);
      append_sum(m, true);
      break;
    }
    case operation::add_rms_norm_sum: {
      simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
      o.epsilon = p.epsilon;
      o.padding = padding;
      o.executor = s.executor;
      o.weight = place.in(p.gamma);
      o.rstd = place.out(p.rows);
      float* m = beside(-0.5f, 0.0f);
      const simdnorm_matrix sum = beside_view(m);
      const simdnorm_const_matrix residual = const_view(sum);
      r.status = simdnorm_add_rms_norm(&x, &residual, {}, &sum, &y, &o);
      append(r.f32, o.rstd);
      append_sum(m, false);
      break;
    }
    case operation::layer_norm:
    case operation::layer_norm_affine: {
      simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
      o.epsilon = p.epsilon;
      o.padding = padding;
      o.executor = s.executor;
      if (op == operation::layer_norm_affine) {
        o.gamma = place.in(p.gamma);
        o.beta = place.in(p.beta);
        o.mean = place.out(p.rows);
        o.rstd = place.out(p.rows);
      }
      r.status = simdnorm_layer_norm(&x, &y, &o);
      append(r.f32, o.mean);
      append(r.f32, o.rstd);
      break;
    }
    case operation::rms_norm:
    case operation::rms_norm_weighted: {
      simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
      o.epsilon = p.epsilon;
      o.padding = padding;
      o.executor = s.executor;
      if (op == operation::rms_norm_weighted) {
        o.weight = place.in(p.gamma);
        o.rstd = place.out(p.rows);
      }
      r.status = simdnorm_rms_norm(&x, &y, &o);
      append(r.f32, o.rstd);
      break;
    }
    case operation::l2_norm: {
      simdnorm_l2_norm_options o = simdnorm_l2_norm_defaults();
      o.epsilon = p.epsilon;
      o.norm = place.out(p.rows);
      o.padding = padding;
      o.executor = s.executor;
      r.status = simdnorm_l2_norm(&x, &y, &o);
      append(r.f32, o.norm);
      break;
    }
    case operation::batch_norm_training:
    case operation::batch_norm_training_affine: {
      simdnorm_batch_norm_options o = batch_options();
      if (op == operation::batch_norm_training_affine) {
        o.gamma = place.in(p.gamma, s.types);
        o.beta = place.in(p.beta, s.types);
        o.running_mean = place.in_out(p.mean);
        o.running_variance = place.in_out(p.variance);
        o.mean = place.out(p.cols);
        o.rstd = place.out(p.cols);
      }
      r.status = simdnorm_batch_norm_training(&x, &y, &o);
      append(r.f32, o.running_mean);
      append(r.f32, o.running_variance);
      append(r.f32, o.mean);
      append(r.f32, o.rstd);
      break;
    }
    case operation::batch_norm_inference: {
      simdnorm_batch_norm_options o = batch_options();
      o.gamma = place.in(p.gamma, s.types);
      o.beta = place.in(p.beta, s.types);
      const simdnorm_const_vector mean = place.in(p.mean, s.types), variance = place.in(p.variance, s.types);
      r.status = simdnorm_batch_norm_inference(&x, &y, mean, variance, &o);
      break;
    }
    case operation::batch_norm_training_add:
    case operation::batch_norm_inference_add: {
      simdnorm_batch_norm_options o = batch_options();
      o.gamma = place.in(p.gamma, s.types);
      o.beta = place.in(p.beta, s.types);
      o.activation = SIMDNORM_ACTIVATION_RELU;
      simdnorm_const_tensor residual{};
      typed_array residuals(memory, beside_count, s.types.residual, s.types.widened);
      for_beside(0.37f, 1.0f, [&](std::size_t at, float v) { residuals.put(at, v); });
      residual.data = residuals.at(0);
      residual.sizes[0] = p.rows;
      residual.sizes[1] = p.cols;
      residual.strides[0] = beside_pitch;
      residual.strides[1] = 1;
      residual.rank = 2;
      residual.type = residuals.type();
      o.residual = &residual;
      if (op == operation::batch_norm_training_add) {
        o.running_mean = place.in_out(p.mean);
        o.running_variance = place.in_out(p.variance);
        r.status = simdnorm_batch_norm_training(&x, &y, &o);
        append(r.f32, o.running_mean);
        append(r.f32, o.running_variance);
      } else {
        const simdnorm_const_vector mean = place.in(p.mean, s.types), variance = place.in(p.variance, s.types);
        r.status = simdnorm_batch_norm_inference(&x, &y, mean, variance, &o);
      }
      break;
    }
    case operation::standardize_transform:
    case operation::standardize_inverse: {
      const simdnorm_standardize_options o = standardize_options(false);
      const double *mean = place.in(p.centre), *scale = place.in(p.scale);
      r.status = op == operation::standardize_transform ? simdnorm_standardize_transform(&x, &y, mean, scale, &o)
                                                        : simdnorm_standardize_inverse(&x, &y, mean, scale, &o);
      break;
    }
    case operation::min_max_transform:
    case operation::min_max_transform_clipped:
    case operation::min_max_inverse: {
      simdnorm_min_max_options o = min_max_options();
      o.clip = op == operation::min_max_transform_clipped;
      const double *low = place.in(p.low), *high = place.in(p.high);
      r.status = op != operation::min_max_inverse ? simdnorm_min_max_transform(&x, &y, low, high, &o)
                                                  : simdnorm_min_max_inverse(&x, &y, low, high, &o);
      break;
    }
    case operation::max_abs_transform:
    case operation::max_abs_inverse: {
      const simdnorm_max_abs_options o = max_abs_options();
      const double* scale = place.in(p.scale);
      r.status = op == operation::max_abs_transform ? simdnorm_max_abs_transform(&x, &y, scale, &o)
                                                    : simdnorm_max_abs_inverse(&x, &y, scale, &o);
      break;
    }
    case operation::standardize:
    case operation::standardize_weighted: {
      const simdnorm_standardize_options o = standardize_options(op == operation::standardize_weighted);
      double *mean = place.out_f64(p.cols), *scale = place.out_f64(p.cols);
      r.status = simdnorm_standardize(&x, &y, mean, scale, &o);
      tell(mean);
      tell(scale);
      break;
    }
    case operation::min_max: {
      simdnorm_min_max_options o = min_max_options();
      o.nan_is_missing = 1;
      double *low = place.out_f64(p.cols), *high = place.out_f64(p.cols);
      r.status = simdnorm_min_max(&x, &y, low, high, &o);
      tell(low);
      tell(high);
      break;
    }
    case operation::max_abs: {
      const simdnorm_max_abs_options o = max_abs_options();
      double* scale = place.out_f64(p.cols);
      r.status = simdnorm_max_abs(&x, &y, scale, &o);
      tell(scale);
      break;
    }
    case operation::column_moments:
    case operation::column_moments_weighted: {
      const simdnorm_column_options o = column_options(op == operation::column_moments_weighted);
      auto* out = memory.take<simdnorm_moments>(p.cols);
      r.status = simdnorm_column_moments(&x, out, &o);
      if (r.status == SIMDNORM_OK) append(r.f64, out, p.cols);
      break;
    }
    case operation::column_state:
    case operation::column_state_weighted: {
      // All rows; then the same state once more, merged with a copy of itself.
      const simdnorm_column_options o = column_options(op == operation::column_state_weighted);
      const std::size_t size = simdnorm_column_state_size(p.cols, SIMDNORM_F32);
      void *first = memory.take<unsigned char>(size, 64), *second = memory.take<unsigned char>(size, 64);
      auto* out = memory.take<simdnorm_moments>(p.cols);
      simdnorm_column_state* state = nullptr;
      const auto step = [&](simdnorm_status status) {
        if (r.status == SIMDNORM_OK) r.status = status;
      };
      r.status = simdnorm_column_state_init(first, size, p.cols, SIMDNORM_F32, &state);
      step(simdnorm_column_state_update(state, &x, &o));
      step(simdnorm_column_state_result(state, out));
      if (r.status == SIMDNORM_OK) append(r.f64, out, p.cols);
      std::memcpy(second, first, size);
      step(simdnorm_column_state_update(state, &x, &o));
      step(simdnorm_column_state_merge(state, static_cast<const simdnorm_column_state*>(second)));
      step(simdnorm_column_state_result(state, out));
      if (r.status == SIMDNORM_OK) append(r.f64, out, p.cols);
      break;
    }
    case operation::standardize_fit: {
      const simdnorm_standardize_options o = standardize_options(false);
      double *mean = place.out_f64(p.cols), *scale = place.out_f64(p.cols);
      r.status = simdnorm_standardize_fit(&x, mean, scale, &o);
      r.f64.assign(mean, mean + p.cols);
      r.f64.insert(r.f64.end(), scale, scale + p.cols);
      break;
    }
    case operation::max_abs_fit: {
      const simdnorm_max_abs_options o = max_abs_options();
      double* scale = place.out_f64(p.cols);
      r.status = simdnorm_max_abs_fit(&x, scale, &o);
      tell(scale);
      break;
    }
    case operation::count_:  // not an operation
      break;
    case operation::min_max_fit: {
      const simdnorm_min_max_options o = min_max_options();
      double *low = place.out_f64(p.cols), *high = place.out_f64(p.cols);
      r.status = simdnorm_min_max_fit(&x, low, high, &o);
      r.f64.assign(low, low + p.cols);
      r.f64.insert(r.f64.end(), high, high + p.cols);
      break;
    }
  }

  r.intact = memory.intact() && sum_right;
  if (has_y(op)) {
    r.y.resize(p.rows * p.cols);
    for (std::size_t i = 0; i < p.rows && p.cols; ++i) {
      ys.get(element_at(i, y_pitch, 0), r.y.data() + i * p.cols, p.cols);
      if (i + 1 == p.rows) break;
      for (std::size_t j = p.cols; j < static_cast<std::size_t>(y_pitch); ++j)
        if (bits_of(ys.get(element_at(i, y_pitch, j))) != unwritten) r.intact = false;
    }
  }
  return r;
}

result run(operation op, const problem& p, const setup& s) {
  static offset_arena memory;
  return run(op, p, s, memory);
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}
bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

std::string difference(const result& a, const result& b) {
  char text[160];
  if (a.status != b.status) {
    std::snprintf(text, sizeof text, "status %d against %d", a.status, b.status);
    return text;
  }
  if (a.y.size() != b.y.size() || a.f32.size() != b.f32.size() || a.f64.size() != b.f64.size()) return "sizes differ";
  const auto compare = [&](const char* what, const std::vector<float>& u, const std::vector<float>& v) {
    if (same_bits(u, v)) return false;
    std::size_t i = 0;
    while (bits_of(u[i]) == bits_of(v[i])) ++i;
    std::snprintf(text, sizeof text, "%s[%zu]: %.9g (%08x) against %.9g (%08x)", what, i, static_cast<double>(u[i]),
                  static_cast<unsigned>(bits_of(u[i])), static_cast<double>(v[i]),
                  static_cast<unsigned>(bits_of(v[i])));
    return true;
  };
  if (compare("y", a.y, b.y) || compare("f32 output", a.f32, b.f32)) return text;
  if (!same_bits(a.f64, b.f64)) {
    std::size_t i = 0;
    while (bits_of(a.f64[i]) == bits_of(b.f64[i])) ++i;
    std::snprintf(text, sizeof text, "f64 output[%zu]: %.17g (%016llx) against %.17g (%016llx)", i, a.f64[i],
                  static_cast<unsigned long long>(bits_of(a.f64[i])), b.f64[i],
                  static_cast<unsigned long long>(bits_of(b.f64[i])));
    return text;
  }
  return "";
}

void hash::add(const std::vector<float>& v) {
  for (const float e : v) word(bits_of(e));
}
void hash::add(const std::vector<double>& v) {
  for (const double e : v) {
    const std::uint64_t u = bits_of(e);
    word(static_cast<std::uint32_t>(u));
    word(static_cast<std::uint32_t>(u >> 32));
  }
}

std::vector<operation_hash> hash_operations(std::uint64_t outputs) {
  static const std::size_t lengths[] = {1,   2,   3,   16,  31,  32,  33,  63,   64,   65,   127,  128,  129,
                                        255, 256, 257, 333, 512, 513, 768, 1000, 1024, 1536, 4096, 8191, 65536};
  std::vector<operation_hash> hashes;
  std::uint64_t with_y = 0;
  for (const operation op : all_operations()) with_y += has_y(op);
  for (const operation op : all_operations()) {
    // An operation with y gives an output per element, a fit a few per column: equal shares of the
    // outputs to the former, a tenth of such a share to the latter, costs about the same each.
    const std::uint64_t share = outputs / with_y + 1;
    const std::uint64_t target = has_y(op) ? share : share / 10 + 1;
    generator g(0x51 + static_cast<std::uint64_t>(op));
    hash h;
    std::uint64_t count = 0;
    while (count < target) {
      std::size_t rows, cols;
      if (is_row_wise(op)) {
        cols = g.below(3) ? g.between(1, 300) : lengths[g.below(std::size(lengths))];
        rows = g.between(1, cols > 2000 ? 2 : 24);
      } else {
        cols = g.between(1, 600);
        rows = g.below(3) ? g.between(1, 300) : lengths[g.below(std::size(lengths) - 1)];
        if (rows > 1024) cols = g.between(1, 24);
      }
      const auto f = static_cast<flavour>(g.below(flavour_count));
      const problem p = make_problem(g.next(), rows, cols, f, is_row_wise(op));
      setup s;
      const std::size_t kind = g.below(7);
      if (kind == 0) {
        s.pad.kind = SIMDNORM_PADDING_ROW_MASK;
        for (std::size_t i = 0; i < rows; ++i) s.pad.rows.push_back(static_cast<std::uint8_t>(g.below(4) != 0));
      } else if ((kind == 2 || kind == 3) && is_row_wise(op)) {
        s.pad.kind = kind == 2 ? SIMDNORM_PADDING_ELEMENT_MASK : SIMDNORM_PADDING_ELEMENT_MASK_BITS;
        s.pad.cols = cols;
        const std::size_t odds = g.between(1, 9);
        for (std::size_t i = 0; i < rows * cols; ++i)
          s.pad.elements.push_back(static_cast<std::uint8_t>(g.below(10) < odds));
      } else if (kind == 1 && is_row_wise(op)) {
        s.pad.kind = SIMDNORM_PADDING_ROW_LENGTHS;
        for (std::size_t i = 0; i < rows; ++i) s.pad.lengths.push_back(static_cast<std::int64_t>(g.between(0, cols)));
      } else if ((kind == 2 || kind == 3) && !is_row_wise(op)) {
        s.pad.kind = kind == 2 ? SIMDNORM_PADDING_ELEMENT_MASK : SIMDNORM_PADDING_ELEMENT_MASK_BITS;
        s.pad.cols = cols;
        for (std::size_t k = 0; k < rows * cols; ++k) s.pad.elements.push_back(static_cast<std::uint8_t>(g.below(5)));
      }
      const result r = run(op, p, s);
      if (r.status != SIMDNORM_OK || !r.intact) {
        std::fprintf(stderr, "%s: status %d, %s\n", name_of(op), r.status, simdnorm_status_string(r.status));
        std::abort();
      }
      h.add(r);
      count += r.outputs();
    }
    hashes.push_back({op, h.value(), count});
  }
  return hashes;
}

}  // namespace simdnorm::test

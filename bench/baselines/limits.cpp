// SPDX-License-Identifier: Apache-2.0
//
// Compiled for this CPU, with contraction: a * b + c is one operation.
#include "limits.hpp"

#include "vectors.hpp"

namespace simdnorm_baselines {
namespace {

constexpr size_t together = 2;                   // vectors a turn: the sums of four would not stay in registers
constexpr size_t ahead = 16384 / sizeof(float);  // where stores go past the caches, as the library does
struct sums {
  vector first[together], second[together];
};

struct exact_layer_norm {
  static void add(vector v, const given_statistics& s, vector& first, vector& second) {
    const vector d = v - s.shift;
    first += d;
    second += d * d;
  }
  static vector output(vector v, const given_statistics& s, const float* gamma, const float* beta) {
    const vector u = v - s.center;
    const vector x_hat = u * s.high + (u * s.low + s.offset);
    return x_hat * load(gamma) + load(beta);
  }
};
struct least_layer_norm {
  static void add(vector v, const given_statistics&, vector& first, vector& second) {
    first += v;
    second += v * v;
  }
  static vector output(vector v, const given_statistics& s, const float* gamma, const float* beta) {
    return (v * s.high + s.offset) * load(gamma) + load(beta);
  }
};
struct rms_norm {
  static void add(vector v, const given_statistics&, vector&, vector& second) { second += v * v; }
  static vector output(vector v, const given_statistics& s, const float* gamma, const float*) {
    return v * s.high * load(gamma);
  }
};

template <class Norm, bool Streamed>
void rows(const limit_task& t) {
  sums sum = {};
  const size_t last = t.rows - 1;
  for (size_t i = 0; i < t.rows; ++i) {
    const float* const x = t.x + i * t.cols;
    const float* const next = t.x + (i < last ? i + 1 : i) * t.cols;
    const bool fetches = Streamed && (t.rows - i) * t.cols > ahead + 2 * t.cols;
    float* const y = t.y + i * t.cols;
    const given_statistics s = t.rows_statistics[i], of_next = t.rows_statistics[i < last ? i + 1 : i];
    const auto step = [&](size_t j, size_t v) __attribute__((always_inline)) {
      Norm::add(load(next + j), of_next, sum.first[v], sum.second[v]);
      const vector out = Norm::output(load(x + j), s, t.gamma + j, t.beta + j);
      if (Streamed) {
        if (fetches) __builtin_prefetch(next + j + ahead, 0, 2);
        stream(y + j, out);
      } else {
        store(y + j, out);
      }
    };
    size_t j = 0;
    for (; j + together * width <= t.cols; j += together * width) {
      step(j, 0);
      step(j + width, 1);
    }
    for (; j + width <= t.cols; j += width) step(j, 0);
    if (j < t.cols) {  // not past the caches: there rows are whole vectors
      j = t.cols - width;
      store(y + j, Norm::output(load(x + j), s, t.gamma + j, t.beta + j));
    }
  }
  if (Streamed) fence();
  store(t.sink, sum.first[0] + sum.first[1] + sum.second[0] + sum.second[1]);
}

}  // namespace

void limit_layer_norm(const limit_task& t) {
  rows<exact_layer_norm, false>(t);
}
void limit_layer_norm_streamed(const limit_task& t) {
  rows<exact_layer_norm, true>(t);
}
void limit_layer_norm_least(const limit_task& t) {
  rows<least_layer_norm, false>(t);
}
void limit_layer_norm_least_streamed(const limit_task& t) {
  rows<least_layer_norm, true>(t);
}
void limit_rms_norm(const limit_task& t) {
  rows<rms_norm, false>(t);
}
void limit_rms_norm_streamed(const limit_task& t) {
  rows<rms_norm, true>(t);
}

}  // namespace simdnorm_baselines

// SPDX-License-Identifier: Apache-2.0
//
// rms_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/parameters.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// y = (x * rstd) * weight, rstd = 1 / sqrt(sum(x^2) / n + epsilon).
template <class L, class X, class Y>
class rms_norm_statistics {
 public:
  using f32 = typename L::f32;

  struct batch : row_batch<L, X, Y> {
    half_lanes<L> square_lanes[batch_rows];
    double squares[batch_rows];
    float rstd[batch_rows];

    void leave_out(size_t k) {
      squares[k] = 1.0;
      square_lanes[k].clear();
      square_lanes[k].v[0] = L::broadcast(1.0f);
    }
  };

  explicit rms_norm_statistics(const row_norm_arguments& a) : a_(a) {}

  SIMDNORM_INLINE void start_row(batch&, size_t) const {}
  static constexpr bool shifted = false;
  static constexpr bool adds = true;  // whether there is a norm with a residual
  SIMDNORM_INLINE static float filler(const batch&, size_t) { return 0.0f; }
  using sums = square_sums<L, batch>;

  SIMDNORM_INLINE void clear(batch& b, size_t k) const { b.squares[k] = 0.0; }
  SIMDNORM_INLINE void fold(batch& b, size_t k) const { b.squares[k] += L::sum64(b.square_lanes[k].v); }
  SIMDNORM_INLINE void fold4(batch& b, size_t k) const { L::sum64x4(&b.square_lanes[k].v, b.squares + k); }
  SIMDNORM_INLINE void fold8(batch& b) const { L::sum64x8(&b.square_lanes[0].v, b.squares); }

  // Not to be trusted: a square that overflowed or, if it counts, underflowed, and an rstd that is no
  // normal float. NaN fails.
  template <class F>
  SIMDNORM_INLINE bool finish(batch& s, size_t k) const {
    using f64 = typename F::f64;
    const f64 squares = F::load64(s.squares + k);
    const f64 square = squares * F::load64(s.inverse + k) + F::broadcast64(a_.epsilon);
    F::store_narrowed(s.rstd + k, F::div(F::broadcast64(1.0), F::sqrt(square)));
    return F::all((squares > F::broadcast64(0.0)) & (squares < F::broadcast64(0x1p127)) &
                  (square > F::broadcast64(0x1p-96)) & (square < F::broadcast64(0x1p128)));
  }

  SIMDNORM_INLINE void tell(const batch& b) const {
    if (a_.rstd) scatter(a_.rstd, b.index, b.rstd, b.count);
  }

  SIMDNORM_INLINE void save(const batch& b, row_split& split, size_t chunk) const {
    split.squares[chunk] = L::sum64(b.square_lanes[0].v);
  }
  SIMDNORM_INLINE void restore(batch& b, const row_split& split, size_t chunk) const {
    b.squares[0] += split.squares[chunk];
  }
  SIMDNORM_INLINE void save_parameters(const batch& b, row_split& split) const { split.parameters[0] = b.rstd[0]; }
  SIMDNORM_INLINE void restore_parameters(batch& b, const row_split& split) const { b.rstd[0] = split.parameters[0]; }

  SIMDNORM_INLINE void column_sums(const f32 (&v)[tiny_columns], size_t n, batch& b) const {
    sum_of_column_squares<L>(v, n, b.squares);
  }
  template <class Row>
  SIMDNORM_INLINE bool mend(batch&, size_t, const Row&) const {
    return false;
  }

 protected:
  const row_norm_arguments& a_;
};

// The outputs of rows whose statistics these are.
template <class L, affine A, class X = float, class Y = float>
class rms_norm_body : public rms_norm_statistics<L, X, Y> {
 public:
  using statistics = rms_norm_statistics<L, X, Y>;
  using f32 = typename L::f32;
  using batch = typename statistics::batch;
  using statistics::statistics;

  SIMDNORM_INLINE auto outputs(const batch& b, size_t k, size_t from = 0) const {
    return outputs(b, k, from, b.x[k] + from);
  }
  SIMDNORM_INLINE auto outputs(const batch& b, size_t k, size_t from, const X* elements) const {
    const float* const all = static_cast<const float*>(a_.gamma);
    return [x = elements, weight = all ? all + from : nullptr, rstd = L::broadcast(b.rstd[k])](auto load)
               SIMDNORM_LAMBDA {
                 const f32 v = load(x) * rstd;
                 if constexpr (A == affine::unit_offset) {
                   return L::fma(v, load_vector<L>(load, weight), v);
                 } else if constexpr (has_gamma<A>) {
                   return f32(v * load_vector<L>(load, weight));
                 } else {
                   return v;
                 }
               };
  }

  SIMDNORM_INLINE auto column_outputs(const batch& b) const {
    return [weight = static_cast<const float*>(a_.gamma), rstd = L::load(b.rstd)](f32 x, size_t j) SIMDNORM_LAMBDA {
      const f32 v = x * rstd;
      if constexpr (A == affine::unit_offset) {
        return L::fma(v, L::broadcast(weight[j]), v);
      } else if constexpr (has_gamma<A>) {
        return f32(v * L::broadcast(weight[j]));
      } else {
        return v;
      }
    };
  }

  template <class Row>
  [[gnu::noinline]] void hostile(const batch& b, size_t k, const Row& row) const {
    constexpr size_t parts = sizeof(typename L::wide) / sizeof(typename L::f64);
    const auto weight = [this](auto load)
                            SIMDNORM_LAMBDA { return load_parameter<L, X>(load, a_.gamma, a_.gamma_type, no_gamma); };
    const double s2 = row.sums(0.0f).squares;
    const double rstd = 1.0 / __builtin_sqrt(s2 / static_cast<double>(row.real()) + a_.epsilon);
    if (a_.rstd) a_.rstd[b.index[k]] = canonical_float(rstd);
    if (s2 == 0.0) {  // zeros, whose reciprocal may be infinite: no product with it
      row.write([](f32, auto) SIMDNORM_LAMBDA { return L::broadcast(0.0f); });
      return;
    }
    const typename L::f64 scale = L::broadcast64(rstd);
    row.write([&](f32 x, auto load) SIMDNORM_LAMBDA {
      typename L::wide v = L::widen(x);
      for (size_t p = 0; p < parts; ++p) v.part[p] = v.part[p] * scale;
      if constexpr (has_gamma<A>) {
        const typename L::wide w = L::widen(weight(load));
        for (size_t p = 0; p < parts; ++p) {
          v.part[p] = v.part[p] * (A == affine::unit_offset ? w.part[p] + L::broadcast64(1.0) : w.part[p]);
        }
      }
      return L::canonical(L::narrow(v));
    });
  }

 private:
  using statistics::a_;
};

template <class L, class T>
SIMDNORM_INLINE void rms_norm(const row_norm_arguments& a, const block& b) {
  if (a.gamma) {
    normalize_rows<L, affine::gamma, affine::gamma, rms_norm_body, T>(a, b);
  } else {
    normalize_rows<L, affine::gamma, affine::none, rms_norm_body, T>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

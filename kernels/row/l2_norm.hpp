// SPDX-License-Identifier: Apache-2.0
//
// l2_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/pipeline.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// y = x * f32(1 / max(norm, epsilon)), norm = sqrt(sum(x^2)). What the caller may want is the norm, not its
// reciprocal: `rstd` of the arguments is where norms go.
template <class L>
class l2_norm_body {
 public:
  using statistics = l2_norm_body;  // one class for both
  using f32 = typename L::f32;

  struct batch : row_batch<L, float, float> {
    half_lanes<L> square_lanes[batch_rows];
    double squares[batch_rows];
    float norm[batch_rows], scale[batch_rows];

    void leave_out(size_t k) {
      squares[k] = 1.0;
      square_lanes[k].clear();
      square_lanes[k].v[0] = L::broadcast(1.0f);
    }
  };

  explicit l2_norm_body(const row_norm_arguments& a) : a_(a) {}

  SIMDNORM_INLINE void start_row(batch&, size_t) const {}
  static constexpr bool shifted = false;
  static constexpr bool adds = false;  // whether there is a norm with a residual
  SIMDNORM_INLINE static float filler(const batch&, size_t) { return 0.0f; }

  using sums = square_sums<L, batch>;

  SIMDNORM_INLINE void clear(batch& b, size_t k) const { b.squares[k] = 0.0; }
  SIMDNORM_INLINE void fold(batch& b, size_t k) const { b.squares[k] += L::sum64(b.square_lanes[k].v); }
  SIMDNORM_INLINE void fold4(batch& b, size_t k) const { L::sum64x4(&b.square_lanes[k].v, b.squares + k); }
  SIMDNORM_INLINE void fold8(batch& b) const { L::sum64x8(&b.square_lanes[0].v, b.squares); }

  // Not to be trusted: squares that overflowed or underflowed, and a scale that is no normal float. NaN
  // fails.
  template <class F>
  SIMDNORM_INLINE bool finish(batch& s, size_t k) const {
    using f64 = typename F::f64;
    const f64 squares = F::load64(s.squares + k);
    const f64 norm = F::sqrt(squares);
    const f64 epsilon = F::broadcast64(a_.epsilon);
    const f64 divisor = F::select(norm < epsilon, epsilon, norm);
    F::store_narrowed(s.norm + k, norm);
    F::store_narrowed(s.scale + k, F::div(F::broadcast64(1.0), divisor));
    return F::all((squares > F::broadcast64(0x1p-96)) & (squares < F::broadcast64(0x1p127)) &
                  (divisor < F::broadcast64(0x1p125)));
  }

  SIMDNORM_INLINE void tell(const batch& b) const {
    if (a_.rstd) scatter(a_.rstd, b.index, b.norm, b.count);
  }

  SIMDNORM_INLINE void save(const batch& b, row_split& split, size_t chunk) const {
    split.squares[chunk] = L::sum64(b.square_lanes[0].v);
  }
  SIMDNORM_INLINE void restore(batch& b, const row_split& split, size_t chunk) const {
    b.squares[0] += split.squares[chunk];
  }
  SIMDNORM_INLINE void save_parameters(const batch& b, row_split& split) const { split.parameters[0] = b.scale[0]; }
  SIMDNORM_INLINE void restore_parameters(batch& b, const row_split& split) const { b.scale[0] = split.parameters[0]; }

  SIMDNORM_INLINE auto outputs(const batch& b, size_t k, size_t from = 0) const {
    return outputs(b, k, from, b.x[k] + from);
  }
  SIMDNORM_INLINE auto outputs(const batch& b, size_t k, size_t, const float* elements) const {
    return [x = elements, scale = L::broadcast(b.scale[k])](auto load) SIMDNORM_LAMBDA { return f32(load(x) * scale); };
  }

  SIMDNORM_INLINE void column_sums(const f32 (&v)[tiny_columns], size_t n, batch& b) const {
    sum_of_column_squares<L>(v, n, b.squares);
  }
  SIMDNORM_INLINE auto column_outputs(const batch& b) const {
    return [scale = L::load(b.scale)](f32 x, size_t) SIMDNORM_LAMBDA { return f32(x * scale); };
  }

  template <class Row>
  SIMDNORM_INLINE bool mend(batch&, size_t, const Row&) const {
    return false;
  }

  template <class Row>
  [[gnu::noinline]] void hostile(const batch& b, size_t k, const Row& row) const {
    constexpr size_t parts = sizeof(typename L::wide) / sizeof(typename L::f64);
    const double norm = __builtin_sqrt(row.sums(0.0f).squares);
    if (a_.rstd) a_.rstd[b.index[k]] = canonical_float(norm);
    if (norm == 0.0) {
      row.write([](f32, auto) SIMDNORM_LAMBDA { return L::broadcast(0.0f); });
      return;
    }
    const typename L::f64 scale = L::broadcast64(1.0 / (norm < a_.epsilon ? a_.epsilon : norm));
    row.write([&](f32 x, auto) SIMDNORM_LAMBDA {
      typename L::wide v = L::widen(x);
      for (size_t p = 0; p < parts; ++p) v.part[p] = v.part[p] * scale;
      return L::canonical(L::narrow(v));
    });
  }

 private:
  const row_norm_arguments& a_;
};

template <class L, class T>
SIMDNORM_INLINE void l2_norm(const row_norm_arguments& a, const block& b) {
  for_rows<L, affine::none>(l2_norm_body<L>(a), a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

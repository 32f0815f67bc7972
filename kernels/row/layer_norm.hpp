// SPDX-License-Identifier: Apache-2.0
//
// layer_norm: one body for every instruction set. docs/numerics.md, "A row".
#pragma once

#include "row/parameters.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Whether the sums are worth anything: no square overflowed, none that counts underflowed (one that
// did is below 2^-149, and with it the variance below 2^-96). 0 is a constant row, or one whose squares
// all underflowed. NaN fails.
SIMDNORM_INLINE bool fits_f32(double squares) {
  return (squares > 0.0) & (squares < 0x1p127);
}

// One pass shifted by K, the mean of the first elements: with d = x - K, mean = K + sum(d)/n and
// variance = sum(d^2)/n - (sum(d)/n)^2. All blocks of a row share K, so that Chan's merge of their
// moments is the plain sum of their (sum d, sum d^2).
// Then, with rstd = high + low in two floats and offset = (center - mean) * rstd,
//   x_hat = fma(x - center, high, fma(x - center, low, offset)).
// center is 0 where |mean| < std: nothing is rounded but the offset (below 1) and the result. Else it is
// f32(mean), whose own rounding goes into the offset: without that every output is off by up to
// 0.26 * |mean| / std ulp. Without `low` an output just below 2 may be off by 2.5 ulp before the
// statistics have any error.
template <class L, class X, class Y>
class layer_norm_statistics {
 public:
  using f32 = typename L::f32;

  struct batch : row_batch<L, X, Y> {
    half_lanes<L> lanes[batch_rows], square_lanes[batch_rows];  // of d and of d^2
    double sums[batch_rows], squares[batch_rows];
    float shift[batch_rows], mean[batch_rows], rstd[batch_rows], rstd_low[batch_rows];
    float center[batch_rows], offset[batch_rows];

    // Stages work on four rows: one that is not there passes as one to be trusted.
    void leave_out(size_t k) {
      shift[k] = 0.0f;
      sums[k] = 0.0;
      squares[k] = 1.0;
      lanes[k].clear();
      square_lanes[k].clear();
      square_lanes[k].v[0] = L::broadcast(1.0f);
    }
  };

  explicit layer_norm_statistics(const row_norm_arguments& a) : a_(a) {}

  SIMDNORM_INLINE void start_row(batch& b, size_t k) const {
    b.shift[k] = L::sum(first_lanes(b.x[k], b.n[k]).v) * share(b.n[k]);
  }
  // The same without a branch that goes with the row's length, which is 5 to 20 cycles where lengths vary.
  SIMDNORM_INLINE void start_row_of_any_length(batch& b, size_t k) const {
    const X* const x = b.x[k];
    const size_t n = b.n[k];
    row_lanes<L> sum;
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const size_t i = g * L::width, j = virtual_lanes + i;
      sum.v[g] = L::load_where(L::below(i, n), x + i) + L::load_where(L::below(j, n), x + j);
    });
    b.shift[k] = L::sum(sum.v) * share(n);
  }
  // start_row of a row that fused.hpp makes, by the lanes of its first elements, of which `real` count and the others
  // are zeros.
  static constexpr bool shifted = true;
  static constexpr bool adds = true;  // whether there is a norm with a residual
  SIMDNORM_INLINE static void start_row(batch& b, size_t k, const row_lanes<L>& lanes, size_t real) {
    b.shift[k] = L::sum(lanes.v) * share(real);
  }
  SIMDNORM_INLINE static float filler(const batch& b, size_t k) { return b.shift[k]; }

  class sums {
   public:
    static constexpr bool shifted = true;
    SIMDNORM_INLINE sums(const batch& b, size_t k) : shift_(L::broadcast(b.shift[k])) {
      s1_.clear();
      s2_.clear();
    }
    SIMDNORM_INLINE f32 fill() const { return shift_; }
    template <class G>
    SIMDNORM_INLINE void add(G g, f32 v) {
      const f32 d = v - shift_;
      s1_.v[g] = s1_.v[g] + d;
      s2_.v[g] = L::fma(d, d, s2_.v[g]);
    }
    template <class G>
    SIMDNORM_INLINE void add_where(G g, typename L::mask m, f32 v) {
      const f32 d = L::zero_unless(m, v - shift_);
      s1_.v[g] = s1_.v[g] + d;
      s2_.v[g] = L::fma(d, d, s2_.v[g]);
    }
    SIMDNORM_INLINE void flush() {
      if (flushed_) join();
      t1_ = s1_;
      t2_ = s2_;
      flushed_ = true;
      s1_.clear();
      s2_.clear();
    }
    SIMDNORM_INLINE void done(batch& b, size_t k) {
      if (flushed_) join();
      b.lanes[k] = s1_;
      b.square_lanes[k] = s2_;
    }

   private:
    SIMDNORM_INLINE void join() {
      s1_.add(t1_);
      s2_.add(t2_);
    }
    f32 shift_;
    row_lanes<L> s1_, s2_, t1_, t2_;
    bool flushed_ = false;
  };

  SIMDNORM_INLINE void clear(batch& b, size_t k) const { b.sums[k] = b.squares[k] = 0.0; }
  SIMDNORM_INLINE void fold(batch& b, size_t k) const {
    b.sums[k] += L::sum64(b.lanes[k].v);
    b.squares[k] += L::sum64(b.square_lanes[k].v);
  }
  SIMDNORM_INLINE void fold4(batch& b, size_t k) const {
    L::sum64x4(&b.lanes[k].v, b.sums + k);
    L::sum64x4(&b.square_lanes[k].v, b.squares + k);
  }
  SIMDNORM_INLINE void fold8(batch& b) const {
    L::sum64x8(&b.lanes[0].v, b.sums);
    L::sum64x8(&b.square_lanes[0].v, b.squares);
  }

  // Not to be trusted: sums that do not fit f32, an rstd that is no normal float, and a shift too far
  // from the mean. The error of sum(d) enters the variance times the distance of shift and mean, delta:
  // from a third of a standard deviation on it shows (2.4 ulp below, 4 at 0.6, 16 at 1.4; rows on a
  // grid of 2^-16).
  template <class F>
  SIMDNORM_INLINE bool finish(batch& s, size_t k) const {
    using f64 = typename F::f64;
    const f64 inverse = F::load64(s.inverse + k);
    const f64 squares = F::load64(s.squares + k);
    const f64 delta = F::load64(s.sums + k) * inverse;
    const f64 shift2 = delta * delta;
    const f64 variance = squares * inverse - shift2;
    const f64 square = variance + F::broadcast64(a_.epsilon);
    const f64 mean = F::load_widened(s.shift + k) + delta;
    const f64 rstd = F::div(F::broadcast64(1.0), F::sqrt(square));
    const f64 zero = F::broadcast64(0.0);
    const f64 f32_mean = F::store_narrowed(s.mean + k, mean);
    const f64 high = F::store_narrowed(s.rstd + k, rstd);
    F::store_narrowed(s.rstd_low + k, rstd - high);
    const f64 center = F::select(mean * mean < square, zero, f32_mean);
    F::store_narrowed(s.center + k, center);
    F::store_narrowed(s.offset + k, (center - mean) * rstd);
    return F::all((shift2 <= F::broadcast64(0.125) * variance) & (squares > zero) &
                  (squares < F::broadcast64(0x1p127)) & (square > F::broadcast64(0x1p-96)) &
                  (square < F::broadcast64(0x1p128)));
  }

  SIMDNORM_INLINE void tell(const batch& b) const {
    if (a_.mean) scatter(a_.mean, b.index, b.mean, b.count);
    if (a_.rstd) scatter(a_.rstd, b.index, b.rstd, b.count);
  }

  SIMDNORM_INLINE void save(const batch& b, row_split& split, size_t chunk) const {
    split.sums[chunk] = L::sum64(b.lanes[0].v);
    split.squares[chunk] = L::sum64(b.square_lanes[0].v);
  }
  SIMDNORM_INLINE void restore(batch& b, const row_split& split, size_t chunk) const {
    b.sums[0] += split.sums[chunk];
    b.squares[0] += split.squares[chunk];
  }
  SIMDNORM_INLINE void save_parameters(const batch& b, row_split& split) const {
    split.parameters[0] = b.center[0];
    split.parameters[1] = b.rstd[0];
    split.parameters[2] = b.rstd_low[0];
    split.parameters[3] = b.offset[0];
  }
  SIMDNORM_INLINE void restore_parameters(batch& b, const row_split& split) const {
    b.center[0] = split.parameters[0];
    b.rstd[0] = split.parameters[1];
    b.rstd_low[0] = split.parameters[2];
    b.offset[0] = split.parameters[3];
  }

  SIMDNORM_INLINE void column_sums(const f32 (&v)[tiny_columns], size_t n, batch& b) const {
    f32 shift, d[tiny_columns];
    sum_of_columns<L>(v, n, shift);
    shift = shift * L::broadcast(share(n));
    L::store(b.shift, shift);
    for (size_t j = 0; j < n; ++j) d[j] = v[j] - shift;
    sum_of_columns<L>(d, n, b.sums);
    sum_of_column_squares<L>(d, n, b.squares);
  }
  // Sums in doubles, shifted by the mean that the first pass found, mend a shift that was too far off:
  // 1 row in 200 of independent numbers.
  template <class Row>
  [[gnu::noinline]] bool mend(batch& b, size_t k, const Row& row) const {
    if (!fits_f32(b.squares[k])) return false;
    b.shift[k] = b.mean[k];
    const sums64 again = row.sums(b.shift[k]);
    b.sums[k] = again.sum;
    b.squares[k] = again.squares;
    const bool fine = finish<single>(b, k);
    if (a_.mean) a_.mean[b.index[k]] = b.mean[k];
    if (a_.rstd) a_.rstd[b.index[k]] = b.rstd[k];
    return fine;
  }

 protected:
  const row_norm_arguments& a_;

 private:
  SIMDNORM_INLINE static float share(size_t n) {
    return 1.0f / static_cast<float>(n < shift_elements ? n : shift_elements);
  }
  // Sums of the lanes of the first elements: of 64, or of all, if they are fewer.
  SIMDNORM_INLINE static row_lanes<L> first_lanes(const X* x, size_t n) {
    static_assert(shift_elements == 2 * virtual_lanes);
    if (n < shift_elements) [[unlikely]]
      return few_lanes(x, n);
    row_lanes<L> sum;
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      sum.v[g] = L::load(x + g * L::width) + L::load(x + virtual_lanes + g * L::width);
    });
    return sum;
  }
  SIMDNORM_INLINE static row_lanes<L> few_lanes(const X* x, size_t n) {
    row_lanes<L> sum;
    sum.clear();
    if constexpr (sizeof(X) == sizeof(float) && L::width > 1) {
      if (n >= L::width && n % virtual_lanes != 0) {  // no branch goes with the length, but one
        const f32 zero = sum.v[0];
        const bool more = n > virtual_lanes;
        if (more) {
          repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { sum.v[g] = sum.v[g] + L::load(x + g * L::width); });
        }
        repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
          sum.v[g] = sum.v[g] + L::load_up_to(x, g * L::width + (more ? virtual_lanes : 0), n, zero);
        });
        return sum;
      }
    }
    for_lanes<L>(x, 0, n, L::broadcast(0.0f), [&](auto g, f32 v) SIMDNORM_LAMBDA { sum.v[g] = sum.v[g] + v; });
    return sum;
  }
};

// The outputs of rows whose statistics these are.
template <class L, affine A, class X = float, class Y = float>
class layer_norm_body : public layer_norm_statistics<L, X, Y> {
 public:
  using statistics = layer_norm_statistics<L, X, Y>;
  using f32 = typename L::f32;
  using batch = typename statistics::batch;
  using statistics::statistics;

  SIMDNORM_INLINE auto outputs(const batch& b, size_t k, size_t from = 0) const {
    return outputs(b, k, from, b.x[k] + from);
  }
  template <class E>
  SIMDNORM_INLINE auto outputs(const batch& b, size_t k, size_t from, const E* elements) const {
    const auto at = [from](const void* p) SIMDNORM_LAMBDA { return p ? static_cast<const float*>(p) + from : nullptr; };
    return [x = elements, gamma = at(a_.gamma), beta = at(a_.beta), center = L::broadcast(b.center[k]),
            high = L::broadcast(b.rstd[k]), low = L::broadcast(b.rstd_low[k]),
            offset = L::broadcast(b.offset[k])](auto load) SIMDNORM_LAMBDA {
      const f32 d = load(x) - center;
      return with_parameters(L::fma(d, high, L::fma(d, low, offset)), gamma, beta, load);
    };
  }

  SIMDNORM_INLINE auto column_outputs(const batch& b) const {
    return [gamma = static_cast<const float*>(a_.gamma), beta = static_cast<const float*>(a_.beta),
            center = L::load(b.center), high = L::load(b.rstd), low = L::load(b.rstd_low),
            offset = L::load(b.offset)](f32 x, size_t j) SIMDNORM_LAMBDA {
      const f32 d = x - center;
      return with_parameters(L::fma(d, high, L::fma(d, low, offset)), gamma, beta,
                             [j](const float* p) SIMDNORM_LAMBDA { return L::broadcast(p[j]); });
    };
  }

  template <class Row>
  [[gnu::noinline]] void hostile(const batch& b, size_t k, const Row& row) const {
    using f64 = typename L::f64;
    constexpr size_t parts = sizeof(typename L::wide) / sizeof(f64);
    const size_t index = b.index[k];
    const auto gamma = [this](auto load)
                           SIMDNORM_LAMBDA { return load_parameter<L, X>(load, a_.gamma, a_.gamma_type, no_gamma); };
    const auto beta = [this](auto load)
                          SIMDNORM_LAMBDA { return load_parameter<L, X>(load, a_.beta, a_.beta_type, no_beta); };

    // The mean in two parts: a float, and what is to be added to it.
    float center = 0.0f;
    double correction = 0.0;
    double variance = 0.0;
    const bool constant = row.constant(center) && __builtin_isfinite(center);
    if (!constant) {
      const double count = static_cast<double>(row.real());
      center = static_cast<float>(row.sums(0.0f).sum / count);
      const sums64 s = row.sums(center);
      correction = s.sum / count;
      variance = s.squares / count - correction * correction;
    }
    const double rstd = 1.0 / __builtin_sqrt(variance + a_.epsilon);
    if (a_.mean) a_.mean[index] = canonical_float(static_cast<double>(center) + correction);
    if (a_.rstd) a_.rstd[index] = canonical_float(rstd);

    if (constant) {  // exactly beta, whatever epsilon and gamma are
      if (has_beta<A> && a_.beta != nullptr && a_.beta_type != filled_in) {
        row.write([beta](f32, auto load) SIMDNORM_LAMBDA { return L::canonical(beta(load)); });
      } else {
        row.write([](f32, auto) SIMDNORM_LAMBDA { return L::broadcast(0.0f); });
      }
      return;
    }
    const f64 mean = L::broadcast64(static_cast<double>(center));
    const f64 low_mean = L::broadcast64(correction);
    const f64 scale = L::broadcast64(rstd);
    row.write([&](f32 x, auto load) SIMDNORM_LAMBDA {
      typename L::wide v = L::widen(x);
      for (size_t p = 0; p < parts; ++p) v.part[p] = ((v.part[p] - mean) - low_mean) * scale;
      if constexpr (has_gamma<A>) {
        const typename L::wide g = L::widen(gamma(load));
        for (size_t p = 0; p < parts; ++p) v.part[p] = v.part[p] * g.part[p];
      }
      if constexpr (has_beta<A>) {
        const typename L::wide t = L::widen(beta(load));
        for (size_t p = 0; p < parts; ++p) v.part[p] = v.part[p] + t.part[p];
      }
      return L::canonical(L::narrow(v));
    });
  }

 private:
  using statistics::a_;

  template <class Load>
  SIMDNORM_INLINE static f32 with_parameters(f32 v, const float* gamma, const float* beta, Load load) {
    if constexpr (A == affine::both) {
      return L::fma(v, load_vector<L>(load, gamma), load_vector<L>(load, beta));
    } else if constexpr (A == affine::gamma) {
      return v * load_vector<L>(load, gamma);
    } else if constexpr (A == affine::beta) {
      return v + load_vector<L>(load, beta);
    } else {
      return v;
    }
  }
};

template <class L, class T>
SIMDNORM_INLINE void layer_norm(const row_norm_arguments& a, const block& b) {
  if (a.gamma && a.beta) {
    normalize_rows<L, affine::both, affine::both, layer_norm_body, T>(a, b);
  } else if (a.gamma) {
    normalize_rows<L, affine::both, affine::gamma, layer_norm_body, T>(a, b);
  } else if (a.beta) {
    normalize_rows<L, affine::both, affine::beta, layer_norm_body, T>(a, b);
  } else {
    normalize_rows<L, affine::both, affine::none, layer_norm_body, T>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

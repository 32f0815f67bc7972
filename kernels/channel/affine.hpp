// SPDX-License-Identifier: Apache-2.0
//
// channel_affine: x_hat = (x - shift) * scale + offset, y = x_hat * gamma + beta, every plane by its
// channel's parameters (column_normalizer makes them); then, where asked for, + residual and ReLU.
#pragma once

#include "channel/planes.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// What follows gamma and beta: nothing, a floor, or a residual and a floor. The floor is 0 with ReLU, else -inf; where
// there are no gamma and beta, they are 1 and -0: loops for all that may be there were 100 KB more.
enum class fused { none, relu, residual };

// How outputs are stored. far: through the caches, but x comes from memory and is fetched ahead, as it is past them.
// In place a store past the caches would evict the line that was just read.
enum class reach { near, far, past };

// Where a plane lies. `floor` is 0 with ReLU, else -inf.
struct plane_place {
  const float* x;
  float* y;
  const float* residual;
  ptrdiff_t fetch;
};

template <class L, fused F, class Load>
SIMDNORM_INLINE typename L::f32 fuse(typename L::f32 v, const float* residual, typename L::f32 floor, Load load) {
  if constexpr (F == fused::residual) v = v + load(residual);
  if constexpr (F == fused::none) return v;
  return L::max(floor, v);  // NaN stays, and so does -0
}

// The output register of the elements at `load`, by f32 parameters.
template <class L, fused F, bool Fetch>
SIMDNORM_INLINE auto plane_outputs(const column_parameters& p, size_t c, const plane_place& at, float floor) {
  using f32 = typename L::f32;
  return [x = at.x, residual = at.residual, fetch = at.x + at.fetch, shift = L::broadcast(p.shift[c]),
          scale = L::broadcast(p.scale[c]), low = L::broadcast(p.scale_low[c]), offset = L::broadcast(p.offset[c]),
          gamma = L::broadcast(p.gamma[c]), beta = L::broadcast(p.beta[c]), least = L::broadcast(floor)](auto load)
             SIMDNORM_LAMBDA {
               if constexpr (Fetch) L::prefetch(fetch + load.i);
               const f32 d = load(x) - shift;
               const f32 v = L::fma(d, scale, L::fma(d, low, offset));
               return fuse<L, F>(L::fma(v, gamma, beta), residual, least, load);
             };
}

// The same of a channel that f32 parameters cannot do.
template <class L, fused F>
SIMDNORM_INLINE auto exact_outputs(const column_parameters& p, size_t c, const plane_place& at, float floor) {
  using f64 = typename L::f64;
  return [x = at.x, residual = at.residual, shift = L::broadcast64(p.exact_shift[c]),
          scale = L::broadcast64(p.exact_scale[c]), offset = L::broadcast64(p.exact_offset[c]),
          least = L::broadcast(floor)](auto load) SIMDNORM_LAMBDA {
    constexpr size_t parts = sizeof(typename L::wide) / sizeof(f64);
    typename L::wide v = L::widen(load(x));
    repeat<parts>([&](auto k) SIMDNORM_LAMBDA { v.part[k] = (v.part[k] - shift) * scale + offset; });
    return fuse<L, F>(L::narrow(v), residual, least, load);
  };
}

// Writes n elements of a plane. Past the caches a last register that overlaps the one before would meet a line that has
// just left (1024 planes of 196: three times as long).
template <class L, stores S, class F>
SIMDNORM_INLINE void write_plane(float* y, size_t n, nan_search<L>& nan, F f) {
  if constexpr (S == stores::streamed) {
    transform<L, S>(y, n, [&](auto load) SIMDNORM_LAMBDA {
      const typename L::f32 v = f(load);
      nan.add(v);
      return v;
    });
  } else {
    transform_searched<L>(y, n, nan, f);
  }
}
// The same, with NaN settled in y.
template <class L, class F>
SIMDNORM_INLINE void write_plane_settled(float* y, size_t n, F f) {
  nan_search<L> nan;
  write_plane<L, stores::cached>(y, n, nan, f);
  if (nan.found()) [[unlikely]]
    canonicalize_row<L>(y, n);
}

template <class L, stores S>
[[gnu::noinline]] void write_zeros(float* y, size_t n) {
  fill_row<L, S>(y, n, 0.0f);
}

// Elements that a mask marks as real; the others become 0 or stay. NaN is settled in y. `past`: groups of 32 go past
// the caches, which takes a y on a line of its own.
//
// A function of its own, so that parameters and search are in registers.
template <class L, fused F, bool Far>
[[gnu::noinline]] void write_marked(const column_parameters& p, size_t c, const plane_place& at, float floor,
                                    const plane_mask& of_plane, bool keep, [[maybe_unused]] bool past) {
  using f32 = typename L::f32;
  const plane_mask mask = of_plane;  // whose size no store to y can change
  const auto f = plane_outputs<L, F, false>(p, c, at, floor);
  float* const y = at.y;
  const auto store = [&](size_t i, f32 v) SIMDNORM_LAMBDA {
    if constexpr (Far) {
      if (past) return L::stream(y + i, v);
    }
    L::store(y + i, v);
  };
  const auto kept = [&](auto real, f32 v, auto load)
                        SIMDNORM_LAMBDA { return keep ? L::select(real, v, load(static_cast<const float*>(y))) : v; };
  nan_search<L> nan;
  const size_t n = mask.size();
  size_t from = 0;
  for (; from + virtual_lanes <= n; from += virtual_lanes) {
    if constexpr (Far) {
      for (size_t line = 0; line < virtual_lanes; line += 16) L::prefetch(at.x + at.fetch + from + line);
    }
    const bool any = mask.with_marks<L, true>(from, virtual_lanes, [&](auto real) SIMDNORM_LAMBDA {
      f32 v[group<L>];
      const auto put = [&](auto g) SIMDNORM_LAMBDA {
        const load_at<L> load{from + g * L::width};
        store(load.i, kept(real(g), v[g], load));
      };
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
        v[g] = L::zero_unless(real(g), f(load_at<L>{from + g * L::width}));
        if constexpr (!Far) put(g);
      });
      nan.add(v);
      // Of a line that leaves the caches all stores together: apart, AVX2's halves are 1.5 of the time.
      if constexpr (Far) repeat<group<L>>(put);
    });
    if (!any && !keep) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { store(from + g * L::width, L::broadcast(0.0f)); });
    }
  }
  if (from < n) {
    const size_t rest = n - from;
    const bool any = mask.with_marks<L, false>(from, rest, [&](auto real) SIMDNORM_LAMBDA {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
        const size_t i = g * L::width;
        if (i >= rest) return;
        const auto out_at = [&](auto load) SIMDNORM_LAMBDA {
          const f32 v = L::zero_unless(real(g), f(load));
          nan.add(v);
          return kept(real(g), v, load);
        };
        if (i + L::width <= rest) {
          L::store(y + from + i, out_at(load_at<L>{from + i}));
        } else {
          L::store_n(y + from + i, out_at(load_tail_at<L>{from + i, rest - i}), rest - i);
        }
      });
    });
    if (!any && !keep) write_zeros<L, stores::cached>(y + from, rest);
  }
  if (!nan.found()) [[likely]]
    return;
  for (from = 0; from < n; from += virtual_lanes) {
    const size_t rest = n - from < virtual_lanes ? n - from : virtual_lanes;
    for (uint32_t word = mask.word(from, rest); word != 0; word &= word - 1) {
      float& v = y[from + static_cast<size_t>(__builtin_ctz(word))];
      if (v != v) v = __builtin_nanf("");
    }
  }
}

// The same of a channel that f32 parameters cannot do: rare, and element by element.
template <fused F>
[[gnu::noinline]] void write_marked_exactly(const column_parameters& p, size_t c, const plane_place& at, float floor,
                                            const plane_mask& mask, bool keep) {
  for (size_t from = 0; from < mask.size(); from += virtual_lanes) {
    const size_t rest = mask.size() - from < virtual_lanes ? mask.size() - from : virtual_lanes;
    const uint32_t word = mask.word(from, rest);
    for (size_t i = from; i < from + rest; ++i) {
      if ((word >> (i - from) & 1) == 0) {
        if (!keep) at.y[i] = 0.0f;
        continue;
      }
      const double x = static_cast<double>(at.x[i]);
      float v = static_cast<float>((x - p.exact_shift[c]) * p.exact_scale[c] + p.exact_offset[c]);
      if constexpr (F == fused::residual) v = v + at.residual[i];
      v = floor > v ? floor : v;
      at.y[i] = v == v ? v : __builtin_nanf("");
    }
  }
}

// Where plane (n, c) lies.
template <fused F>
SIMDNORM_INLINE plane_place place_of(const channel_affine_arguments& a, size_t n, size_t c) {
  const auto at = [n, c](const void* data, const channel_strides& s) SIMDNORM_LAMBDA {
    return static_cast<const float*>(data) + static_cast<ptrdiff_t>(n) * s.batch +
           static_cast<ptrdiff_t>(c) * s.channel;
  };
  return {at(a.x, a.x_strides), const_cast<float*>(at(a.y, a.y_strides)),
          F == fused::residual ? at(a.residual, a.residual_strides) : nullptr, a.fetch};
}

// Planes of the block whose leading elements are real, all or as many as the sample's length says, by f32 parameters
// from entry `parameter` on. NaN is looked for once a sample, and settled in y.
template <class L, fused F, reach R>
[[gnu::noinline]] void whole_planes(const channel_affine_arguments& a, const block& b, size_t parameter) {
  constexpr stores S = R == reach::past ? stores::streamed : stores::cached;
  const column_parameters& p = *a.parameters;
  const float floor = a.relu ? 0.0f : -__builtin_inff();
  const bool keep = a.fill == SIMDNORM_FILL_KEEP;
  for (size_t n = b.row_first; n < b.row_last; ++n) {
    const size_t real = plane_mask(a.mask, a.mask.first + n * a.mask.plane_step, a.size).size();
    const size_t zeros = keep ? 0 : a.size - real;
    nan_search<L> nan;
    for (size_t c = b.col_first; c < b.col_last; ++c) {
      const plane_place place = place_of<F>(a, n, c);
      write_plane<L, S>(place.y, real, nan,
                        plane_outputs<L, F, R != reach::near>(p, c - b.col_first + parameter, place, floor));
      if (zeros != 0) write_zeros<L, S>(place.y + real, zeros);
    }
    if (nan.found()) [[unlikely]] {
      for (size_t c = b.col_first; c < b.col_last; ++c) canonicalize_row<L>(place_of<F>(a, n, c).y, real);
    }
  }
  if constexpr (S == stores::streamed) L::fence();
}

// Planes with a mask that marks elements, and those of channels that f32 parameters cannot do.
template <class L, fused F>
[[gnu::noinline]] void other_planes(const channel_affine_arguments& a, const block& b, size_t parameter) {
  const column_parameters& p = *a.parameters;
  const float floor = a.relu ? 0.0f : -__builtin_inff();
  const bool keep = a.fill == SIMDNORM_FILL_KEEP;
  [[maybe_unused]] const bool may_leave = !keep && a.x != a.y;  // else a line of y is read, too
  for (size_t n = b.row_first; n < b.row_last; ++n) {
    for (size_t c = b.col_first; c < b.col_last; ++c) {
      const plane_place place = place_of<F>(a, n, c);
      const size_t i = c - b.col_first + parameter;
      const bool exact = p.any_exact && p.exact[i];
      const plane_mask mask(a.mask, a.mask.first + n * a.mask.plane_step + c * a.mask.set_step, a.size);
      if (mask.marks_elements()) {
        if (exact) {
          write_marked_exactly<F>(p, i, place, floor, mask, keep);
        } else if (L::streams && a.stream && (may_leave || a.fetch != 0)) {
          const bool past = may_leave && reinterpret_cast<uintptr_t>(place.y) % 64 == 0;
          write_marked<L, F, L::streams>(p, i, place, floor, mask, keep, past);
        } else {
          write_marked<L, F, false>(p, i, place, floor, mask, keep, false);
        }
        continue;
      }
      write_plane_settled<L>(place.y, mask.size(), exact_outputs<L, F>(p, i, place, floor));
      if (!keep) write_zeros<L, stores::cached>(place.y + mask.size(), a.size - mask.size());
    }
  }
  if constexpr (L::streams) {
    if (a.stream) L::fence();
  }
}

using planes_kernel = void (*)(const channel_affine_arguments&, const block&, size_t);

// F of the planes in the caches; what goes to memory waits for it, and has loops with a floor alone.
template <class L, fused F>
inline planes_kernel whole_planes_for(const channel_affine_arguments& a) {
  if constexpr (L::streams) {
    constexpr fused far = F == fused::none ? fused::relu : F;
    // A line that two planes share costs a read: one in 12 of planes of 14 x 14, all that there are of 7 x 7.
    const bool lines = a.size % 16 == 0 || a.size >= 128;
    if (a.stream && (a.x == a.y || !lines)) return whole_planes<L, far, reach::far>;
    if (a.stream) return whole_planes<L, far, reach::past>;
  }
  return whole_planes<L, F, reach::near>;
}

template <class L, class>
inline void channel_affine(const channel_affine_arguments& a, const block& b) {
  const bool residual = a.residual != nullptr;
  const planes_kernel others = residual ? other_planes<L, fused::residual> : other_planes<L, fused::relu>;
  if (a.mask.kind >= channel_mask::bytes) return others(a, b, a.parameter);
  const planes_kernel whole = residual ? whole_planes_for<L, fused::residual>(a)
                              : a.relu ? whole_planes_for<L, fused::relu>(a)
                                       : whole_planes_for<L, fused::none>(a);
  const column_parameters& p = *a.parameters;
  if (!p.any_exact) [[likely]]
    return whole(a, b, a.parameter);
  for (size_t c = b.col_first, end; c < b.col_last; c = end) {
    const auto is_exact = [&](size_t i) { return p.exact[i - b.col_first + a.parameter] != 0; };
    for (end = c + 1; end < b.col_last && is_exact(end) == is_exact(c);) ++end;
    (is_exact(c) ? others : whole)(a, block{b.row_first, b.row_last, c, end}, c - b.col_first + a.parameter);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// channel_affine: x_hat = (x - shift) * scale + offset, y = x_hat * gamma + beta, every plane by its
// channel's parameters (column_normalizer makes them); then, where asked for, + residual and ReLU.
#pragma once

#include "channel/planes.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// What follows gamma and beta: ReLU, or a residual and ReLU. Where there is none, the floor is -inf; where there are no
// gamma and beta, they are 1 and -0: a loop for each of the cases was 100 KB more.
enum class fused { relu, residual };

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

// Writes n elements of a plane. NaN is looked for once, in the sum of all outputs (infinities of both signs
// make one more), and settled in y.
//
// In the caches a plane's last register overlaps the one before, and is made before any is stored, since y may be x:
// after a store of part of a register the next plane's first load waits for it (512 planes of 49 in place: half the
// time). Past the caches such a store would meet a line that has just left (1024 planes of 196: three times as long).
template <class L, stores S, class F>
SIMDNORM_INLINE void write_plane(float* y, size_t n, F f) {
  using f32 = typename L::f32;
  f32 any = L::broadcast(0.0f);
  const auto checked = [&](auto load) SIMDNORM_LAMBDA {
    const f32 v = f(load);
    any = any + v;
    return v;
  };
  if (S == stores::streamed || n < L::width) {
    transform<L, S>(y, n, checked);
  } else {
    const f32 last = checked(load_at<L>{n - L::width});
    const size_t i = transform_registers<L, S>(y, transform_head<L>(y, n, checked), n, checked);
    if (i < n) L::store(y + n - L::width, last);
  }
  if (L::any_nan(any)) [[unlikely]]
    canonicalize_row<L>(y, n);
}

template <class L>
[[gnu::noinline]] void write_zeros(float* y, size_t n) {
  fill_row<L>(y, n, 0.0f);
}

// Elements that a mask marks as real; the others become 0 or stay.
template <class L, class F>
SIMDNORM_INLINE void write_marked(float* y, const plane_mask& mask, bool keep, F f) {
  using f32 = typename L::f32;
  for (size_t from = 0; from < mask.size(); from += virtual_lanes) {
    const size_t rest = mask.size() - from < virtual_lanes ? mask.size() - from : virtual_lanes;
    typename L::mask real[group<L>];
    if (!mask.marks<L>(from, rest, real)) {
      if (!keep) write_zeros<L>(y + from, rest);
      continue;
    }
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const size_t at = g * L::width;
      if (at >= rest) return;
      const auto put_at = [&](auto load) SIMDNORM_LAMBDA {
        const f32 otherwise = keep ? load(static_cast<const float*>(y)) : L::broadcast(0.0f);
        return L::select(real[g], L::canonical(f(load)), otherwise);
      };
      if (at + L::width <= rest) {
        L::store(y + from + at, put_at(load_at<L>{from + at}));
      } else {
        L::store_n(y + from + at, put_at(load_tail_at<L>{from + at, rest - at}), rest - at);
      }
    });
  }
}

template <class L, fused F, reach R>
inline void affine_planes(const channel_affine_arguments& a, const block& b) {
  constexpr stores S = R == reach::past ? stores::streamed : stores::cached;
  const column_parameters& p = *a.parameters;
  const float floor = a.relu ? 0.0f : -__builtin_inff();
  const auto at = [](const void* data, const channel_strides& s, size_t n, size_t c) SIMDNORM_LAMBDA {
    return static_cast<const float*>(data) + static_cast<ptrdiff_t>(n) * s.batch +
           static_cast<ptrdiff_t>(c) * s.channel;
  };
  for (size_t n = b.row_first; n < b.row_last; ++n) {
    for (size_t c = b.col_first; c < b.col_last; ++c) {
      const plane_place place{at(a.x, a.x_strides, n, c), const_cast<float*>(at(a.y, a.y_strides, n, c)),
                              F == fused::residual ? at(a.residual, a.residual_strides, n, c) : nullptr, a.fetch};
      const size_t i = c - b.col_first + a.parameter;
      const bool exact = p.any_exact && p.exact[i];
      if (a.mask.kind != channel_mask::none) {
        const plane_mask mask(a.mask, a.mask.first + n * a.mask.plane_step + c * a.mask.set_step, a.size);
        if (mask.marks_elements()) {
          const bool keep = a.fill == SIMDNORM_FILL_KEEP;
          if (exact) {
            write_marked<L>(place.y, mask, keep, exact_outputs<L, F>(p, i, place, floor));
          } else {
            write_marked<L>(place.y, mask, keep, plane_outputs<L, F, false>(p, i, place, floor));
          }
        } else {
          if (exact) {
            write_plane<L, stores::cached>(place.y, mask.size(), exact_outputs<L, F>(p, i, place, floor));
          } else {
            write_plane<L, stores::cached>(place.y, mask.size(), plane_outputs<L, F, false>(p, i, place, floor));
          }
          if (a.fill == SIMDNORM_FILL_ZERO) write_zeros<L>(place.y + mask.size(), a.size - mask.size());
        }
      } else if (exact) {
        write_plane<L, stores::cached>(place.y, a.size, exact_outputs<L, F>(p, i, place, floor));
      } else {
        write_plane<L, S>(place.y, a.size, plane_outputs<L, F, R != reach::near>(p, i, place, floor));
      }
    }
  }
  if constexpr (S == stores::streamed) L::fence();
}

template <class L, fused F>
inline void affine_planes_stored(const channel_affine_arguments& a, const block& b) {
  if constexpr (L::streams) {
    // A line that two planes share costs a read: one in 12 of planes of 14 x 14, all that there are of 7 x 7.
    const bool lines = a.size % 16 == 0 || a.size >= 128;
    if (a.stream && (a.x == a.y || !lines)) {
      affine_planes<L, F, reach::far>(a, b);
      return;
    }
    if (a.stream) {
      affine_planes<L, F, reach::past>(a, b);
      return;
    }
  }
  affine_planes<L, F, reach::near>(a, b);
}

template <class L, class>
inline void channel_affine(const channel_affine_arguments& a, const block& b) {
  if (a.residual != nullptr) {
    affine_planes_stored<L, fused::residual>(a, b);
  } else {
    affine_planes_stored<L, fused::relu>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

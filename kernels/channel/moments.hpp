// SPDX-License-Identifier: Apache-2.0
//
// channel_moments: count, mean and M2 of sets of planes. docs/numerics.md, "A channel".
#pragma once

#include "channel/planes.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// The shift of a set is the mean of a sample: so many patches of so many elements, spread over all planes. The
// first elements alone would not do: feature maps begin with zeros, and neighbours are alike.
constexpr size_t patch_elements = 16;
constexpr size_t most_patches = 64;
constexpr size_t elements_per_patch = 128;
// Flushes whose doubles are summed before they go to the total: a long set's chunks can be summed by several threads.
constexpr size_t flushes_per_chunk = 256;

// Where the patches of a set lie: the same for all sets of a call (three divisions of 64 bits are a quarter of a set
// of 49 elements).
struct sample_places {
  size_t patches, width, last;  // a patch begins at `last` of its plane at the latest
  size_t plane, at;             // of the first
  size_t plane_step, at_step;

  SIMDNORM_INLINE sample_places(size_t planes, size_t size) {
    const size_t total = planes * size;
    patches = total / elements_per_patch;
    patches = patches < 4 ? 4 : patches;
    patches = patches > most_patches ? most_patches : patches;
    // Odd, so that patches do not all stand in one column of an image.
    size_t step = total / patches;
    step = step == 0 ? 1 : step - (step > 1 && step % 2 == 0);
    width = size < patch_elements ? size : patch_elements;
    last = size - width;
    plane = step / 2 / size;
    at = step / 2 % size;
    plane_step = step / size;
    at_step = step % size;
  }

  // From a patch to the next.
  SIMDNORM_INLINE void step(size_t& p, size_t& i, size_t size) const {
    p += plane_step;
    i += at_step;
    if (i >= size) {
      i -= size;
      ++p;
    }
  }
};

// Which elements of a sample's patches are real, a bit each: the same for all sets of a call, of all but element masks
// (made again for each set they were a third of its time).
struct sample_marks {
  uint16_t patch[most_patches];
  size_t count;

  void make(const plane_set& set, const sample_places& places) {
    static_assert(patch_elements <= 16);
    count = 0;
    size_t plane = places.plane;
    size_t at = places.at;
    for (size_t k = 0; k < places.patches && plane < set.planes; ++k) {
      const size_t from = at < places.last ? at : places.last;
      const plane_mask mask = set.mask_of(plane);
      const size_t rest = mask.size() < from ? 0 : mask.size() - from;
      const uint32_t marks = rest == 0 ? 0 : mask.word(from, rest < places.width ? rest : places.width);
      patch[k] = static_cast<uint16_t>(marks);
      count += ones(marks);
      places.step(plane, at, set.size);
    }
  }
};

// The mean of a sample. `marks` is read where Masked.
template <class L, bool Masked>
SIMDNORM_INLINE float sample_mean(const plane_set& set, const sample_places& places, const sample_marks& marks) {
  using f32 = typename L::f32;
  constexpr size_t half = group<L> / 2;
  static_assert(half * L::width == patch_elements);
  const size_t width = places.width;
  size_t plane = places.plane;
  size_t at = places.at;
  const f32 zero = L::broadcast(0.0f);
  row_lanes<L> sum;
  sum.clear();
  size_t count = 0;
  for (size_t k = 0; k < places.patches && plane < set.planes; ++k) {
    if (!Masked || marks.patch[k] != 0) {
      const size_t from = at < places.last ? at : places.last;
      float room[patch_elements];
      const float* const x = set.elements<L, Masked>(plane, from, width, room);
      const auto add_to = [&](auto first) SIMDNORM_LAMBDA {
        repeat<half>([&](auto g) SIMDNORM_LAMBDA {
          const size_t i = g * L::width;
          if (i >= width) return;
          f32 v = i + L::width <= width ? L::load(x + i) : L::load_n(x + i, width - i);
          if constexpr (Masked) {
            v = L::select(L::mask_bits(reinterpret_cast<const uint8_t*>(marks.patch + k), i), v, zero);
          }
          sum.v[first + g] = sum.v[first + g] + v;
        });
      };
      if (k % 2 == 0) {
        add_to(constant<size_t{0}>{});
      } else {
        add_to(constant<half>{});
      }
      count += width;
    }
    places.step(plane, at, set.size);
  }
  if constexpr (Masked) count = marks.count;
  return count == 0 ? 0.0f : L::sum(sum.v) * (1.0f / static_cast<float>(count));
}

// What is flushed together: `planes_together` planes, or, where that is 0, one of per_plane parts of a plane. The same
// for all sets of a call.
struct flush_places {
  size_t planes_together, per_plane, count;

  SIMDNORM_INLINE flush_places(size_t planes, size_t size) {
    const size_t turns = (size + virtual_lanes - 1) / virtual_lanes;
    planes_together = turns > turns_per_flush ? 0 : turns_per_flush / turns;
    per_plane = (size + flush_elements - 1) / flush_elements;
    count = planes_together == 0 ? planes * per_plane : (planes + planes_together - 1) / planes_together;
  }
  SIMDNORM_INLINE size_t chunks() const { return (count + flushes_per_chunk - 1) / flushes_per_chunk; }
};

// Calls part(plane, from, end) for the elements of flushes [first, last), at most flush_elements or a whole plane at a
// time, and flush() where each ends.
template <class Part, class Flush>
SIMDNORM_INLINE void for_flushes(const plane_set& set, const flush_places& places, size_t first, size_t last, Part part,
                                 Flush flush) {
  if (places.planes_together != 0) {
    size_t p = first * places.planes_together;
    for (size_t f = first; f < last; ++f) {
      const size_t rest = set.planes - p;
      const size_t stop = p + (rest < places.planes_together ? rest : places.planes_together);
      for (; p < stop; ++p) part(p, size_t{0}, set.size);
      flush();
    }
    return;
  }
  size_t p = first == 0 ? 0 : first / places.per_plane;
  size_t from = (first - p * places.per_plane) * flush_elements;
  for (size_t left = last - first; left > 0; ++p, from = 0) {
    for (; left > 0 && from < set.size; from += flush_elements, --left) {
      part(p, from, set.size - from < flush_elements ? set.size : from + flush_elements);
      flush();
    }
  }
}

// sum(d) and sum(d^2) of d = x - shift over flushes [first, last): f32 lanes, into doubles every flush.
template <class L, bool Masked>
SIMDNORM_INLINE sums64 sum_flushes(const plane_set& set, const flush_places& places, size_t first, size_t last,
                                   float shift) {
  using f32 = typename L::f32;
  using wide = typename L::wide;
  constexpr size_t half = group<L> / 2;
  constexpr size_t parts = sizeof(wide) / sizeof(typename L::f64);
  const f32 k = L::broadcast(shift);
  row_lanes<L> s1, s2;
  s1.clear();
  s2.clear();
  wide sum[group<L>];  // 16 lanes, and zeros
  wide squares[group<L>];
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
    repeat<parts>([&](auto p) SIMDNORM_LAMBDA { sum[g].part[p] = squares[g].part[p] = L::broadcast64(0.0); });
  });
  widened_planes halves;
  const auto add = [&](size_t p, size_t from, size_t end) SIMDNORM_LAMBDA {
    const auto add_difference = [&](auto g, f32 d) SIMDNORM_LAMBDA {
      s1.v[g] = s1.v[g] + d;
      s2.v[g] = L::fma(d, d, s2.v[g]);
    };
    for_plane_lanes<L, Masked>(
        set, halves, p, from, end, k, [&](auto g, f32 v) SIMDNORM_LAMBDA { add_difference(g, v - k); },
        [&](auto g, f32 v, auto real) SIMDNORM_LAMBDA { add_difference(g, L::zero_unless(real, v - k)); });
  };
  const auto flush = [&]() SIMDNORM_LAMBDA {
    repeat<half>([&](auto g) SIMDNORM_LAMBDA {
      const wide w1 = L::widen(s1.v[g] + s1.v[g + half]);
      const wide w2 = L::widen(s2.v[g] + s2.v[g + half]);
      repeat<parts>([&](auto p) SIMDNORM_LAMBDA {
        sum[g].part[p] = sum[g].part[p] + w1.part[p];
        squares[g].part[p] = squares[g].part[p] + w2.part[p];
      });
    });
    s1.clear();
    s2.clear();
  };
  for_flushes(set, places, first, last, add, flush);
  return {L::sum64(sum), L::sum64(squares)};
}

// The same over a chunk.
template <class L, bool Masked>
[[gnu::noinline]] sums64 sum_chunk(const plane_set& set, const flush_places& places, size_t chunk, float shift) {
  const size_t first = chunk * flushes_per_chunk;
  const size_t rest = places.count - first;
  return sum_flushes<L, Masked>(set, places, first, first + (rest < flushes_per_chunk ? rest : flushes_per_chunk),
                                shift);
}

// The same over the set: its chunks, one after the other.
template <class L, bool Masked>
SIMDNORM_INLINE sums64 sum_planes(const plane_set& set, const flush_places& places, float shift) {
  if (places.count <= flushes_per_chunk) return sum_flushes<L, Masked>(set, places, 0, places.count, shift);
  sums64 total = sum_chunk<L, Masked>(set, places, 0, shift);
  for (size_t i = 1; i < places.chunks(); ++i) {
    const sums64 chunk = sum_chunk<L, Masked>(set, places, i, shift);
    total.sum = total.sum + chunk.sum;
    total.squares = total.squares + chunk.squares;
  }
  return total;
}

// The same in 32 lanes of doubles: for sets that f32 lanes cannot do.
template <class L, bool Masked>
[[gnu::noinline]] sums64 sum_planes64(const plane_set& set, float shift) {
  using f64 = typename L::f64;
  using wide = typename L::wide;
  constexpr size_t parts = sizeof(wide) / sizeof(f64);
  const f64 k = L::broadcast64(static_cast<double>(shift));
  wide sum[group<L>];
  wide squares[group<L>];
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
    repeat<parts>([&](auto p) SIMDNORM_LAMBDA { sum[g].part[p] = squares[g].part[p] = L::broadcast64(0.0); });
  });
  widened_planes halves;
  for (size_t p = 0; p < set.planes; ++p) {
    for_plane_lanes<L, Masked>(set, halves, p, 0, set.size, L::broadcast(shift),
                               [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA {
                                 const wide w = L::widen(v);
                                 repeat<parts>([&](auto i) SIMDNORM_LAMBDA {
                                   const f64 d = w.part[i] - k;
                                   sum[g].part[i] = sum[g].part[i] + d;
                                   squares[g].part[i] = squares[g].part[i] + d * d;
                                 });
                               });
  }
  return {L::sum64(sum), L::sum64(squares)};
}

// How many elements of a set are real.
template <class L>
SIMDNORM_INLINE size_t count_real(const plane_set& set) {
  size_t count = 0;
  for (size_t p = 0; p < set.planes; ++p) count += set.mask_of(p).count<L>(0, set.size);
  return count;
}

// The first real element of a set that has some.
template <class L, bool Masked>
inline float first_real(const plane_set& set) {
  if constexpr (!Masked) return *set.plane(0);
  for (size_t p = 0;; ++p) {
    const plane_mask mask = set.mask_of(p);
    for (size_t i = 0; i < mask.size(); i += virtual_lanes) {
      const size_t rest = mask.size() - i < virtual_lanes ? mask.size() - i : virtual_lanes;
      const uint32_t word = mask.word(i, rest);
      float room;
      if (word != 0) return *set.elements<L, Masked>(p, i + static_cast<size_t>(__builtin_ctz(word)), 1, &room);
    }
  }
}

template <class L, bool Masked>
SIMDNORM_INLINE bool all_are(const plane_set& set, float value) {
  const typename L::f32 v = L::broadcast(value);
  widened_planes halves;
  for (size_t p = 0; p < set.planes; ++p) {
    for (size_t from = 0; from < set.size; from += flush_elements) {
      bool same = true;
      for_plane_lanes<L, Masked>(set, halves, p, from,
                                 set.size - from < flush_elements ? set.size : from + flush_elements, v,
                                 [&](auto, typename L::f32 e) SIMDNORM_LAMBDA { same &= L::all_equal(e, v); });
      if (!same) return false;
    }
  }
  return true;
}

struct set_moments {
  double mean, m2;
};

// A set whose sums in f32 cannot be trusted, `sums` with shift: constant, too far from its shift, NaN or
// infinity in it, close to overflow or underflow.
template <class L, bool Masked>
[[gnu::noinline]] set_moments mend_set(const plane_set& set, size_t count, float shift, sums64 sums) {
  const float first = first_real<L, Masked>(set);
  if (__builtin_isfinite(first) && all_are<L, Masked>(set, first)) return {static_cast<double>(first), 0.0};
  const double n = static_cast<double>(count);
  if ((sums.squares > 0.0) & (sums.squares < 0x1p127)) {
    shift = static_cast<float>(static_cast<double>(shift) + sums.sum / n);
  } else {
    shift = static_cast<float>(sum_planes64<L, Masked>(set, 0.0f).sum / n);
  }
  const sums64 again = sum_planes64<L, Masked>(set, shift);
  const double delta = again.sum / n;
  return {static_cast<double>(shift) + delta, again.squares - again.sum * delta};
}

// Mean and M2 of a set of `count` elements, from its sums with that shift; `inverse` is 1 / count.
template <class L, bool Masked>
SIMDNORM_INLINE set_moments finish_set(const plane_set& set, size_t count, double inverse, float shift, sums64 sums) {
  // The guard of a row, delta^2 <= variance / 8, and squares that neither overflowed nor underflowed.
  const double n = static_cast<double>(count);
  if ((9.0 * (sums.sum * sums.sum) <= n * sums.squares) & (sums.squares > 0x1p-95) & (sums.squares < 0x1p127))
      [[likely]] {
    const double delta = sums.sum * inverse;
    return {static_cast<double>(shift) + delta, sums.squares - sums.sum * delta};
  }
  return mend_set<L, Masked>(set, count, shift, sums);
}

SIMDNORM_INLINE plane_set set_of(const channel_moments_arguments& a, size_t s) {
  const ptrdiff_t at = static_cast<ptrdiff_t>(s) * a.set_stride;
  return {a.x_type == SIMDNORM_F32 ? static_cast<const void*>(static_cast<const float*>(a.x) + at)
                                   : static_cast<const uint16_t*>(a.x) + at,
          a.x_type,
          a.plane_stride,
          a.planes,
          a.size,
          &a.mask,
          a.mask.first + s * a.mask.set_step};
}

template <class L, bool Masked>
SIMDNORM_INLINE void moments_of_sets(const channel_moments_arguments& a, const block& b) {
  sample_places places(a.planes, a.size);
  flush_places flushes(a.planes, a.size);
  size_t planes = a.planes, size = a.size;  // of these places
  sample_marks marks;
  const double all = 1.0 / static_cast<double>(a.planes * a.size);
  // What is real is the same of all channels of a batch, of all but element masks.
  const bool shared = a.mask.set_step == 0;
  real_planes real{};
  if (Masked && shared && a.real != nullptr) real = *a.real;
  for (size_t s = b.row_first; s < b.row_last; ++s) {
    plane_set set = set_of(a, s);
    const size_t i = s - b.row_first;
    size_t count = set.planes * set.size;
    if constexpr (Masked) {
      if (!shared || !real.known) {
        set.leave_out_padding();
        real = {set.planes, set.size, count_real<L>(set), true};
      }
      set.planes = real.planes;
      set.size = real.size;
      count = real.count;
      if (set.planes != planes || set.size != size) {
        planes = set.planes;
        size = set.size;
        places = sample_places(planes, size);
        flushes = flush_places(planes, size);
      }
    }
    a.count[i] = count;
    if (Masked && count == 0) {
      a.mean[i] = a.m2[i] = 0.0;
      continue;
    }
    if (Masked && (!shared || s == b.row_first)) marks.make(set, places);
    const float shift = sample_mean<L, Masked>(set, places, marks);
    const sums64 sums = sum_planes<L, Masked>(set, flushes, shift);
    const double inverse = Masked ? 1.0 / static_cast<double>(count) : all;
    const set_moments m = finish_set<L, Masked>(set, count, inverse, shift, sums);
    a.mean[i] = m.mean;
    a.m2[i] = m.m2;
  }
  if (Masked && shared && a.real != nullptr) *a.real = real;
}

// A part of one long set, for channel_split's three steps (table.hpp).
template <class L, bool Masked>
[[gnu::noinline]] void split_set(const channel_moments_arguments& a, const block& b) {
  channel_split& split = *a.split;
  plane_set set = set_of(a, b.row_first);
  if constexpr (Masked) set.leave_out_padding();
  const flush_places flushes(set.planes, set.size);
  switch (split.step) {
    case channel_split::start: {
      const sample_places places(set.planes, set.size);
      sample_marks marks;
      if constexpr (Masked) marks.make(set, places);
      split.chunks = flushes.chunks();
      split.shift = sample_mean<L, Masked>(set, places, marks);
      break;
    }
    case channel_split::sum_chunks:
      for (size_t chunk = b.col_first; chunk < b.col_last; ++chunk) {
        const sums64 sums = sum_chunk<L, Masked>(set, flushes, chunk, split.shift);
        const size_t first = chunk * flushes_per_chunk;
        const size_t rest = flushes.count - first;
        const size_t last = first + (rest < flushes_per_chunk ? rest : flushes_per_chunk);
        uint64_t count = 0;
        for_flushes(
            set, flushes, first, last,
            [&](size_t p, size_t from, size_t end)
                SIMDNORM_LAMBDA { count += Masked ? set.mask_of(p).count<L>(from, end) : end - from; },
            []() SIMDNORM_LAMBDA {});
        const size_t i = chunk - split.first;
        split.sums[i] = sums.sum;
        split.squares[i] = sums.squares;
        split.counts[i] = count;
      }
      break;
    case channel_split::finish: {
      const size_t count = split.counts[0];
      const double inverse = 1.0 / static_cast<double>(count);
      const sums64 sums{split.sums[0], split.squares[0]};
      a.count[0] = count;
      const set_moments m =
          count == 0 ? set_moments{0.0, 0.0} : finish_set<L, Masked>(set, count, inverse, split.shift, sums);
      a.mean[0] = m.mean;
      a.m2[0] = m.m2;
    }
  }
}

template <class L, bool Masked>
SIMDNORM_INLINE void moments_or_part(const channel_moments_arguments& a, const block& b) {
  if (a.split != nullptr) {
    split_set<L, Masked>(a, b);
  } else {
    moments_of_sets<L, Masked>(a, b);
  }
}

template <class L, class>
SIMDNORM_INLINE void channel_moments(const channel_moments_arguments& a, const block& b) {
  if (a.mask.kind == channel_mask::none && a.x_type == SIMDNORM_F32) {
    moments_or_part<L, false>(a, b);
  } else {
    moments_or_part<L, true>(a, b);
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

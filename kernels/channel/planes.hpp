// SPDX-License-Identifier: Apache-2.0
//
// What channel-wise kernels share: planes, and which of their elements are real. docs/numerics.md defines
// the arithmetic.
#pragma once

#include "convert.hpp"
#include "inline.hpp"
#include "repeat.hpp"
#include "row/row.hpp"
#include "table.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// A mask as a plane sees it: how many leading elements may be real, and, where they are marked one by one,
// which.
class plane_mask {
 public:
  SIMDNORM_INLINE plane_mask(const channel_mask& m, size_t index, size_t size)
      : data_(static_cast<const uint8_t*>(m.data)), kind_(m.kind), index_(index), n_(size) {
    if (m.kind == channel_mask::lengths) {
      const size_t length = m.index_type == SIMDNORM_I64
                                ? static_cast<size_t>(static_cast<const int64_t*>(m.data)[index])
                                : static_cast<size_t>(static_cast<const int32_t*>(m.data)[index]);
      const size_t rest = length > m.skipped ? length - m.skipped : 0;
      n_ = rest < size ? rest : size;
    }
  }

  SIMDNORM_INLINE size_t size() const { return n_; }
  SIMDNORM_INLINE bool marks_elements() const { return kind_ >= channel_mask::bytes; }

  // Bit k: whether element from + k is real, for k < count <= 32; not a byte of the mask that holds none of
  // them is read.
  SIMDNORM_INLINE uint32_t word(size_t from, size_t count) const {
    if (!marks_elements()) return static_cast<uint32_t>((uint64_t{1} << count) - 1);
    return kind_ == channel_mask::bytes ? word_of_bytes(data_ + index_ + from, count)
                                        : word_of_bits(data_, index_ + from, count);
  }

  // The same in registers: work(real), where real(g) makes register g of those of [from, from + count); false: none is
  // real. Made where they are used, since registers that two forms of a mask might have set are set in memory. Bytes
  // that fill the registers (Whole: count is 32) are taken as they are: by way of a word they were 1.3 operations an
  // element, as many as all the rest of a sum.
  template <class L, bool Whole, class Work>
  SIMDNORM_INLINE bool with_marks(size_t from, size_t count, Work work) const {
    if constexpr (Whole) {
      if (kind_ == channel_mask::bytes) {
        const uint8_t* const p = data_ + index_ + from;
        uint64_t any = 0;
        repeat<virtual_lanes / 8>([&](auto k) SIMDNORM_LAMBDA {
          uint64_t eight;
          __builtin_memcpy(&eight, p + 8 * k, sizeof eight);
          any |= eight;
        });
        if (any == 0) return false;
        work([p](auto g) SIMDNORM_LAMBDA { return L::mask_bytes(p + g * L::width); });
        return true;
      }
    }
    const uint32_t marked = word(from, count);
    if (marked == 0) return false;
    uint8_t bytes[4];
    __builtin_memcpy(bytes, &marked, sizeof bytes);
    work([&bytes](auto g) SIMDNORM_LAMBDA { return bits_of_group<L>(bytes, g * L::width, g); });
    return true;
  }

  // How many of the elements [from, end) are real.
  template <class L>
  size_t count(size_t from, size_t end) const {
    if (!marks_elements()) {
      end = end < n_ ? end : n_;
      return from < end ? end - from : 0;
    }
    if (kind_ == channel_mask::bytes) return count_bytes<L>(data_ + index_ + from, end - from);
    size_t real = 0;
    for (size_t i = from; i < end; i += 32) real += ones(word(i, end - i < 32 ? end - i : 32));
    return real;
  }

  // How many leading elements there are if those at the end that are not real are left out.
  SIMDNORM_INLINE size_t extent() const {
    if (!marks_elements()) return n_;
    for (size_t end = n_; end > 0;) {
      const size_t count = end < 32 ? end : 32;
      const uint32_t marked = word(end - count, count);
      if (marked != 0) return end - count + 32 - static_cast<size_t>(__builtin_clz(marked));
      end -= count;
    }
    return 0;
  }

 private:
  const uint8_t* data_;
  channel_mask::kind_of kind_;
  size_t index_, n_;
};

// Turns of 32 elements between two additions to doubles. A row's second level in f32 would not do: half of a feature
// map are the same number, whose squares all round the same way (2.67 ulp where 80 % are).
constexpr size_t turns_per_flush = 4;
constexpr size_t flush_elements = turns_per_flush * virtual_lanes;

// Halves of some planes, or of a part of one, as floats: plane p has [from, end), end - from of them.
struct widened_planes {
  static constexpr size_t room = 8 * flush_elements;
  size_t first = 0, last = 0;  // planes
  size_t from = 0, end = 0;    // elements of each
  alignas(64) float elements[room];
};

// The planes of one set of numbers. `Masked`, below and in moments.hpp, is for sets that have a mask, or are of bf16 or
// f16, or both; without it x is f32 and all of it real.
struct plane_set {
  const void* x;
  simdnorm_type type;
  ptrdiff_t stride;
  size_t planes, size;
  const channel_mask* mask;
  size_t mask_first;

  SIMDNORM_INLINE const float* plane(size_t p) const {
    return static_cast<const float*>(x) + static_cast<ptrdiff_t>(p) * stride;
  }
  // Elements [from, from + n) of a plane, at most to the next multiple of flush_elements: where they lie or, of halves,
  // in `halves`, which takes what follows, too (a call for each flush was a third of the time).
  template <class L, bool Masked>
  SIMDNORM_INLINE const float* elements(size_t p, size_t from, size_t n, widened_planes& halves) const {
    if (!Masked || type == SIMDNORM_F32) return plane(p) + from;
    const bool there = halves.first <= p && p < halves.last && halves.from <= from && from + n <= halves.end;
    if (!there) widen<L>(p, from, halves);
    return halves.elements + (p - halves.first) * (halves.end - halves.from) + (from - halves.from);
  }
  // Elements [from, from + n), nothing else.
  template <class L, bool Masked>
  SIMDNORM_INLINE const float* elements(size_t p, size_t from, size_t n, float* room) const {
    if (!Masked || type == SIMDNORM_F32) return plane(p) + from;
    widen_elements<L>(half(p, from), type, room, n);
    return room;
  }
  SIMDNORM_INLINE plane_mask mask_of(size_t p) const {
    return plane_mask(*mask, mask_first + p * mask->plane_step, size);
  }
  // Leaves out what is not real of all planes at their ends, and the last planes in which nothing is: sums go by
  // `planes` and `size`, and a batch that is padded further shall have the same bits.
  void leave_out_padding() {
    if (mask->kind == channel_mask::none) return;
    const size_t different = mask->plane_step == 0 ? 1 : planes;
    size_t last = 0, longest = 0;
    for (size_t p = 0; p < different; ++p) {
      const size_t extent = mask_of(p).extent();
      if (extent != 0) last = p + 1;
      longest = longest < extent ? extent : longest;
    }
    if (last == 0) return;
    if (different == planes) planes = last;
    size = longest;
  }

 private:
  const uint16_t* half(size_t p, size_t from) const {
    return static_cast<const uint16_t*>(x) + static_cast<ptrdiff_t>(p) * stride + static_cast<ptrdiff_t>(from);
  }
  template <class L>
  [[gnu::noinline]] void widen(size_t p, size_t from, widened_planes& to) const {
    const bool whole = size <= widened_planes::room;
    const size_t fit = whole ? widened_planes::room / size : 1;
    to.first = p;
    to.last = planes - p < fit ? planes : p + fit;
    to.from = whole ? 0 : from;
    to.end = size - to.from < widened_planes::room ? size : to.from + widened_planes::room;
    float* here = to.elements;
    for (; p < to.last; ++p, here += to.end - to.from) {
      const size_t real = mask_of(p).size();
      const size_t end = real < to.end ? real : to.end;
      if (to.from < end) widen_elements<L>(half(p, to.from), type, here, end - to.from);
    }
  }
};

// Calls step(register of the group, elements) for elements [from, end) of a plane, and marked(register, elements, which
// are real) where a mask marks them. What is not there is `fill`.
template <class L, bool Masked, class Step, class Marked>
SIMDNORM_INLINE void for_plane_lanes(const plane_set& set, widened_planes& halves, size_t p, size_t from, size_t end,
                                     typename L::f32 fill, Step step, Marked marked) {
  if constexpr (!Masked) {
    for_lanes<L>(set.plane(p), from, end, fill, step);
  } else {
    const plane_mask mask = set.mask_of(p);
    end = end < mask.size() ? end : mask.size();
    for (; from < end; from += flush_elements) {
      const size_t n = end - from < flush_elements ? end - from : flush_elements;
      const float* const x = set.elements<L, Masked>(p, from, n, halves);
      if (!mask.marks_elements()) {
        for_lanes<L>(x, 0, n, fill, step);
        continue;
      }
      size_t i = 0;
      for (; i + virtual_lanes <= n; i += virtual_lanes) {
        mask.with_marks<L, true>(from + i, virtual_lanes, [&](auto real) SIMDNORM_LAMBDA {
          repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { marked(g, L::load(x + i + g * L::width), real(g)); });
        });
      }
      if (i == n) continue;
      mask.with_marks<L, false>(from + i, n - i, [&](auto real) SIMDNORM_LAMBDA {
        for_lanes<L>(x, i, n, fill, [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA { marked(g, v, real(g)); });
      });
    }
  }
}
// The same for steps that take `fill` for what is not real.
template <class L, bool Masked, class Step>
SIMDNORM_INLINE void for_plane_lanes(const plane_set& set, widened_planes& halves, size_t p, size_t from, size_t end,
                                     typename L::f32 fill, Step step) {
  for_plane_lanes<L, Masked>(set, halves, p, from, end, fill, step,
                             [&](auto g, typename L::f32 v, auto real)
                                 SIMDNORM_LAMBDA { step(g, L::select(real, v, fill)); });
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

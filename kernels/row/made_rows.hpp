// SPDX-License-Identifier: Apache-2.0
//
// The general loop over rows: of elements that are made (a residual and a bias to be added, two bytes that become
// floats, elements that a mask leaves out), and of outputs that something is done to (an activation, a gate, a weight
// after a rounding, another type, a scale). A batch of rows is made and summed, finished, and written tile by tile;
// nothing of two rows is interleaved, as pipeline.hpp does. Types are looked at once a tile: there is one loop for
// all of them. fused.hpp has the usual cases, which are worth loops of their own.
//
// A norm's class is the one that pipeline.hpp describes. This loop asks for four things more:
//   shifted        whether a row has a shift of its first elements
//   start_row(batch, k, lanes, real)  start_row by the lanes of its first elements, of which `real` count
//   filler(batch, k)  what counts for nothing in the sums: the shift, or 0
//   outputs(batch, k, from, elements)    outputs of elements that lie elsewhere
#pragma once

#include "convert.hpp"
#include "math/activation.hpp"
#include "row/l2_norm.hpp"
#include "row/layer_norm.hpp"
#include "row/rms_norm.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

// Rows that are kept: 32 KiB of stack, and of L1.
constexpr size_t kept_elements = 8192;
// Outputs that something is done to go through a buffer of this many columns.
constexpr size_t tile_elements = 1024;

// ---- types ----------------------------------------------------------------------------------------------

SIMDNORM_INLINE void* element_at(void* p, simdnorm_type type, ptrdiff_t i) {
  return static_cast<char*>(p) + i * static_cast<ptrdiff_t>(bytes_of(type));
}

// work(p), p a pointer to floats or halves.
template <class Work>
SIMDNORM_INLINE void with_elements(const void* p, simdnorm_type type, Work work) {
  if (builds_bf16 && type == SIMDNORM_BF16) {
    work(static_cast<const bf16*>(p));
  } else if (builds_f16 && type == SIMDNORM_F16) {
    work(static_cast<const f16*>(p));
  } else {
    work(static_cast<const float*>(p));
  }
}

// to[0, n) = a + from, of one type, or to + from.
template <class L>
[[gnu::noinline]] void add_elements(const void* a, const void* from, simdnorm_type type, float* to, size_t n) {
  const auto add = [&](const auto* v, const auto* p) SIMDNORM_LAMBDA {
    size_t i = 0;
    for (; i + L::width <= n; i += L::width) L::store(to + i, L::load(v + i) + L::load(p + i));
    if (i < n) L::store_n(to + i, L::load_n(v + i, n - i) + L::load_n(p + i, n - i), n - i);
  };
  with_elements(from, type, [&](const auto* p) SIMDNORM_LAMBDA {
    if (a == nullptr) return add(static_cast<const float*>(to), p);
    add(static_cast<decltype(p)>(a), p);
  });
}

// to[0, n) = from, NaN made canonical.
template <class L>
[[gnu::noinline]] void store_elements(const float* from, void* to, simdnorm_type type, size_t n, bool stream) {
  const auto f = [from](auto load) SIMDNORM_LAMBDA { return L::canonical(load(from)); };
  const auto put_all = [&](auto* y) SIMDNORM_LAMBDA {
    if constexpr (L::streams) {
      if (stream) return transform<L, stores::streamed>(y, n, f);
    }
    transform<L>(y, n, f);
  };
  if (builds_bf16 && type == SIMDNORM_BF16) return put_all(static_cast<bf16*>(to));
  if (builds_f16 && type == SIMDNORM_F16) return put_all(static_cast<f16*>(to));
  put_all(static_cast<float*>(to));
}

// v / divisor, correctly rounded, in three operations where a division takes 16 cycles a register of AVX-512 and 5 of
// AVX2: docs/numerics.md says why that is exact, of divisors in [2^-80, 2^80] and quotients that count.
template <class L>
struct quotients {
  using f32 = typename L::f32;
  f32 divisor, reciprocal;
  explicit quotients(float scale) : divisor(L::broadcast(scale)), reciprocal(L::broadcast(1.0f / scale)) {}
  SIMDNORM_INLINE f32 operator()(f32 v) const {
    if constexpr (L::width == 1) {  // its fma is emulated
      return L::div(v, divisor);
    } else {
      const f32 near = v * reciprocal;
      return L::fma(L::fnma(near, divisor, v), reciprocal, near);
    }
  }
};

// tile[0, n) is divided where its scale is none for quotients; returns the scale that is left.
template <class L>
SIMDNORM_INLINE float divide_by_unusual(float* tile, size_t n, float scale) {
  if (scale >= 0x1p-80f && scale <= 0x1p80f) [[likely]]
    return scale;
  const typename L::f32 divisor = L::broadcast(scale);
  transform<L>(tile, n, [&](auto load) SIMDNORM_LAMBDA { return L::div(load(tile), divisor); });
  return 1.0f;
}

// y[0, n) = clamp(round(v / scale) + zero_point) of v in the tile, which is used up; NaN gives zero_point. What is cut
// is v: bounds are integers, and the quotient of a bound times the scale rounds to it. `fits`: nothing is to be cut.
template <class L>
[[gnu::noinline]] void quantize(float* tile, uint8_t* y, size_t n, float scale, const quantized_type& q, bool fits) {
  using f32 = typename L::f32;
  const float divisor = divide_by_unusual<L>(tile, n, scale);
  const quotients<L> quotient(divisor);
  const f32 least = L::broadcast((q.least - q.zero_point) * divisor);
  const f32 most = L::broadcast((q.most - q.zero_point) * divisor);
  const typename L::u32 zero_point(static_cast<uint32_t>(static_cast<int32_t>(q.zero_point)));
  const auto bytes = [&](f32 v) SIMDNORM_LAMBDA { return L::floats(L::integers(quotient(v)) + zero_point); };
  if (fits) {
    transform<L>(y, n, [&](auto load) SIMDNORM_LAMBDA { return bytes(load(tile)); });
  } else {
    // NaN is the second of each pair, and stays.
    transform<L>(y, n, [&](auto load) SIMDNORM_LAMBDA { return bytes(L::max(least, L::min(most, load(tile)))); });
  }
}

// y[0, n) = the codes of v / scale in a type of 8-bit floats, cut to its numbers; the tile is used up. Of a size s let
// e be its exponent, or the least of a normal number. Codes are 2^(e - m) apart there, m bits of mantissa: adding 1.5 *
// 2^23 of these rounds s to so many, and a code is that number and 2^m for each exponent below. A byte is all that is
// wanted of the sum, so that what is to be added to each code can be in the summand; it is even, as ties ask for.
template <class L>
[[gnu::noinline]] void round_to_f8(float* tile, uint8_t* y, size_t n, float scale, const quantized_type& q,
                                   simdnorm_type type) {
  using f32 = typename L::f32;
  using u32 = typename L::u32;
  const bool e4m3 = type == SIMDNORM_F8_E4M3;
  const int mantissa = e4m3 ? 3 : 2;
  const uint32_t bias = e4m3 ? 7 : 15;
  const uint32_t first_code = ((bias - 127u) - 1u) << mantissa;
  const u32 summand((static_cast<uint32_t>(23 - mantissa) << 23) + 0x400000u + (first_code & 0xffu));
  const u32 least_normal((128u - bias) << 23);
  const u32 nan(e4m3 ? 127u : 126u);
  const float divisor = divide_by_unusual<L>(tile, n, scale);
  const quotients<L> quotient(divisor);
  const f32 most = L::broadcast(q.most * divisor);
  transform<L>(y, n, [&](auto load) SIMDNORM_LAMBDA {
    const u32 bits = L::bits(load(tile));
    const f32 size = quotient(L::min(most, L::floats(bits & u32(0x7fffffffu))));  // NaN is the second, and stays
    const u32 exponent = L::max(L::bits(size) & u32(0x7f800000u), least_normal);
    const u32 number = L::bits(size + L::floats(exponent + summand));
    const u32 code = (number + (exponent >> (23 - mantissa))) | ((bits >> 24) & u32(0x80u));
    return L::select(L::is_number(size), L::floats(code), L::floats(nan));
  });
}

// The greatest size of outputs so far; NaN if one of them is, whose bits are beyond those of all numbers.
template <class L>
struct greatest {
  using u32 = typename L::u32;
  u32 most;
  explicit greatest(float peak) : most(__builtin_bit_cast(uint32_t, peak)) {}
  SIMDNORM_INLINE void add(typename L::f32 v) { most = L::max(most, L::bits(v) & u32(0x7fffffffu)); }
  [[gnu::noinline]] static float of(typename L::f32 sizes) {
    float each[L::width];
    L::store(each, sizes);
    uint32_t greatest = 0;
    for (const float size : each) {
      const auto bits = __builtin_bit_cast(uint32_t, size);
      greatest = bits > greatest ? bits : greatest;
    }
    return greatest > 0x7f800000u ? __builtin_nanf("") : __builtin_bit_cast(float, greatest);
  }
  SIMDNORM_INLINE float result() const { return of(L::floats(most)); }
};

// max(peak, |v|) over v[0, n)
template <class L>
[[gnu::noinline]] float greatest_size(const float* v, size_t n, float peak) {
  greatest<L> sizes(peak);
  size_t i = 0;
  for (; i + L::width <= n; i += L::width) sizes.add(L::load(v + i));
  if (i < n) sizes.add(L::load_n(v + i, n - i));
  return sizes.result();
}

// ---- masks of elements ----------------------------------------------------------------------------------

template <class L>
struct byte_mask {
  static constexpr bool bits = false;
  const uint8_t* p;  // of the row
  SIMDNORM_INLINE typename L::mask at(size_t i) const { return L::mask_bytes(p + i); }
  template <class G>
  SIMDNORM_INLINE typename L::mask of_group(G, size_t i) const {
    return at(i);
  }
  SIMDNORM_INLINE typename L::mask at(size_t i, size_t n) const { return L::mask_bytes_n(p + i, n); }
};
template <class L>
struct bit_mask {
  static constexpr bool bits = true;
  const uint8_t* p;
  SIMDNORM_INLINE typename L::mask at(size_t i) const { return L::mask_bits(p, i); }
  template <class G>
  SIMDNORM_INLINE typename L::mask of_group(G g, size_t i) const {
    return bits_of_group<L>(p, i, g);
  }
  SIMDNORM_INLINE typename L::mask at(size_t i, size_t n) const { return L::mask_bits_n(p, i, n); }
};
struct no_mask {};

// to[j] = select(mask, from[j], keep ? to[j] : 0) for m elements whose mask begins at `first`, NaN made canonical.
template <class L, class Mask>
[[gnu::noinline]] void write_masked(const float* from, float* to, size_t m, Mask mask, size_t first, bool keep) {
  const auto write = [&](auto real, auto load, size_t i) SIMDNORM_LAMBDA {
    const typename L::f32 other = keep ? load(to + i) : L::broadcast(0.0f);
    return L::select(real, L::canonical(load(from + i)), other);
  };
  size_t i = 0;
  for (; i + L::width <= m; i += L::width) L::store(to + i, write(mask.at(first + i), load_at<L>{0}, i));
  if (i < m) L::store_n(to + i, write(mask.at(first + i, m - i), load_tail_at<L>{0, m - i}, i), m - i);
}

// ---- what a row's elements are ----------------------------------------------------------------------------

// h = (x + bias) + residual, or x; with a mask, of some of its elements.
struct row_source {
  const void* x;
  const void* residual;  // null: none
  const void* bias;      // null: none
  const uint8_t* mask;   // null: all count
  bool bits;
  bool floats;  // all of x, residual and bias are; else they are of these types
  simdnorm_type x_type, residual_type, bias_type;

  SIMDNORM_INLINE bool counts(size_t i) const { return bits ? bit_at(mask, i) : mask[i] != 0; }
  // Whether h lies in memory as it is.
  SIMDNORM_INLINE bool is_there() const { return floats && residual == nullptr; }
};

SIMDNORM_INLINE row_source float_source(const float* x, const float* residual, const float* bias, const uint8_t* mask,
                                        bool bits) {
  return {x, residual, bias, mask, bits, true, SIMDNORM_F32, SIMDNORM_F32, SIMDNORM_F32};
}

template <class L>
SIMDNORM_INLINE void write_masked(const row_source& s, const float* from, float* to, size_t m, size_t first,
                                  bool keep) {
  if (s.bits) return write_masked<L>(from, to, m, bit_mask<L>{s.mask}, first, keep);
  write_masked<L>(from, to, m, byte_mask<L>{s.mask}, first, keep);
}

// to[0, m) = h of m elements whose mask begins at `first`, `fill` for what does not count. Returns how many do.
template <class L, bool Residual, bool Bias, class Mask>
[[gnu::noinline]] size_t make_as(const float* x, const float* residual, const float* bias, Mask mask, size_t first,
                                 size_t m, float fill, float* to) {
  using f32 = typename L::f32;
  constexpr bool masked = !__is_same(Mask, no_mask);
  const auto element = [&](auto load) SIMDNORM_LAMBDA {
    f32 h = load(x);
    if constexpr (Bias) h = h + load(bias);
    if constexpr (Residual) h = h + load(residual);
    return h;
  };
  const f32 rest = L::broadcast(fill);
  size_t real = masked ? 0 : m;
  const auto put_at = [&](size_t i) SIMDNORM_LAMBDA {
    f32 h = element(load_at<L>{i});
    if constexpr (masked) {
      const auto counts = mask.at(first + i);
      real += L::count(counts);
      h = L::select(counts, h, rest);
    }
    L::store(to + i, h);
  };
  size_t i = 0;
  for (; i + 4 * L::width <= m; i += 4 * L::width) {
    repeat<4>([&](auto k) SIMDNORM_LAMBDA { put_at(i + k * L::width); });
  }
  for (; i + L::width <= m; i += L::width) put_at(i);
  if (i < m) {
    f32 h = element(load_tail_at<L>{i, m - i});
    if constexpr (masked) {
      const auto counts = mask.at(first + i, m - i);
      real += L::count(counts);
      h = L::select(counts, h, rest);
    }
    L::store_n(to + i, h, m - i);
  }
  return real;
}
template <class L, class Mask>
SIMDNORM_INLINE size_t make_by(const float* x, const float* residual, const float* bias, Mask mask, size_t first,
                               size_t m, float fill, float* to) {
  if (bias != nullptr) return make_as<L, true, true>(x, residual, bias, mask, first, m, fill, to);
  if (residual != nullptr) return make_as<L, true, false>(x, residual, bias, mask, first, m, fill, to);
  return make_as<L, false, false>(x, residual, bias, mask, first, m, fill, to);
}
template <class L>
SIMDNORM_INLINE size_t make_floats(const row_source& s, const float* x, const float* residual, const float* bias,
                                   size_t first, size_t m, float fill, float* to) {
  if (s.mask == nullptr) return make_by<L>(x, residual, bias, no_mask{}, first, m, fill, to);
  if (s.bits) return make_by<L>(x, residual, bias, bit_mask<L>{s.mask}, first, m, fill, to);
  return make_by<L>(x, residual, bias, byte_mask<L>{s.mask}, first, m, fill, to);
}
// to[0, m) = h of elements first, first + 1, ... of a row, `fill` for what does not count. Returns how many do.
template <class L>
[[gnu::noinline]] size_t make(const row_source& s, size_t first, size_t m, float fill, float* to) {
  if (s.floats) [[likely]] {
    const auto at = [first](const void* p)
                        SIMDNORM_LAMBDA { return p ? static_cast<const float*>(p) + first : nullptr; };
    return make_floats<L>(s, at(s.x), at(s.residual), at(s.bias), first, m, fill, to);
  }
  const auto from = static_cast<ptrdiff_t>(first);
  const void* const x = element_at(s.x, s.x_type, from);
  const bool at_once = s.residual != nullptr && s.bias == nullptr && s.residual_type == s.x_type;
  if (!at_once) widen_elements<L>(x, s.x_type, to, m);
  if (s.bias != nullptr) add_elements<L>(nullptr, element_at(s.bias, s.bias_type, from), s.bias_type, to, m);
  if (s.residual != nullptr) {
    const void* const residual = element_at(s.residual, s.residual_type, from);
    add_elements<L>(at_once ? x : nullptr, residual, s.residual_type, to, m);
  }
  return s.mask == nullptr ? m : make_floats<L>(s, to, nullptr, nullptr, first, m, fill, to);
}

// ---- parameters -------------------------------------------------------------------------------------------

// gamma and beta as floats, a tile at a time: for a norm over these arguments element 0 is the tile's first.
template <class L>
class parameter_tiles {
 public:
  explicit parameter_tiles(const fused_row_arguments& a) : a_(a), tile_(a) {
    tile_.gamma_type = SIMDNORM_F32;
    tile_.beta_type = a.beta ? SIMDNORM_F32 : filled_in;
  }
  const row_norm_arguments& arguments() const { return tile_; }
  // What is multiplied after the rounding; null: nothing.
  const float* weight() const { return weight_; }

  [[gnu::noinline]] void set(size_t first, size_t m) {
    tile_.gamma = at(a_.round_first ? nullptr : a_.gamma, a_.gamma_type, first, m, gamma_, no_gamma);
    if (a_.round_first) {
      weight_ = a_.gamma ? at(a_.gamma, a_.gamma_type, first, m, beta_, no_gamma) : nullptr;
    } else {
      tile_.beta = at(a_.beta, a_.beta_type, first, m, beta_, no_beta);
    }
  }

 private:
  static const float* at(const void* p, simdnorm_type type, size_t first, size_t m, float* to, float missing) {
    if (p != nullptr && type == SIMDNORM_F32) return static_cast<const float*>(p) + first;
    if (p != nullptr) {
      widen_elements<L>(element_at(p, type, static_cast<ptrdiff_t>(first)), type, to, m);
    } else {
      fill_row<L>(to, m, missing);
    }
    return to;
  }
  const fused_row_arguments& a_;
  row_norm_arguments tile_;
  const float* weight_ = nullptr;
  alignas(64) float gamma_[tile_elements], beta_[tile_elements];
};

// ---- what is done with outputs ------------------------------------------------------------------------------

template <class L>
SIMDNORM_INLINE void activate_tile(elementwise_function function, const float* from, float* to, size_t m) {
  switch (function) {
    case elementwise_function::relu:
      return activate_all<L, elementwise_function::relu>(from, to, m);
    case elementwise_function::gelu_erf:
      return activate_all<L, elementwise_function::gelu_erf>(from, to, m);
    case elementwise_function::gelu_tanh:
      return activate_all<L, elementwise_function::gelu_tanh>(from, to, m);
    default:
      return activate_all<L, elementwise_function::silu>(from, to, m);
  }
}
// tile *= silu(gate)
template <class L>
[[gnu::noinline]] void gate_tile(float* tile, const float* gate, size_t m) {
  size_t i = 0;
  for (; i + L::width <= m; i += L::width) {
    L::store(tile + i, L::load(tile + i) * activate<L, elementwise_function::silu>(L::load(gate + i)));
  }
  if (i < m) {
    const typename L::f32 g = activate<L, elementwise_function::silu>(L::load_n(gate + i, m - i));
    L::store_n(tile + i, L::load_n(tile + i, m - i) * g, m - i);
  }
}
// tile = round(tile) * weight, or * (1 + weight); rounded to a half type.
template <class L>
[[gnu::noinline]] void round_and_weigh(float* tile, size_t m, simdnorm_type type, const float* weight, bool unit) {
  alignas(64) uint16_t rounded[tile_elements];
  store_elements<L>(tile, rounded, type, m, false);
  widen_elements<L>(rounded, type, tile, m);
  if (weight == nullptr) return;
  transform<L>(tile, m, [&](auto load) SIMDNORM_LAMBDA {
    const typename L::f32 v = load(tile);
    const typename L::f32 w = load(weight);
    return unit ? L::fma(v, w, v) : typename L::f32(v * w);
  });
}

// What becomes of the outputs of a row, tile by tile.
template <class L>
struct row_end {
  const fused_row_arguments& a;
  const parameter_tiles<L>& parameters;
  const row_source& source;
  size_t index;
  void* y;
  float* place;   // where outputs are kept until the row's scale is known; null: nowhere
  bool measures;  // outputs are not written, but kept, and their greatest size found
  float scale;
  float peak = 0.0f;

  // A tile of the norm's outputs, which is used up.
  [[gnu::noinline]] void put(size_t first, size_t m, float* tile) {
    if (a.round_first) round_and_weigh<L>(tile, m, a.x_type, parameters.weight(), a.unit_offset);
    if (a.function != elementwise_function::none) {
      // Where nothing else is done to them, outputs go through the function to y.
      const bool last = a.gate == nullptr && source.mask == nullptr && a.y_type == SIMDNORM_F32 && !stream();
      activate_tile<L>(a.function, tile, last ? static_cast<float*>(y) + first : tile, m);
      if (last) return;
    }
    if (a.gate != nullptr) multiply_by_gate(first, m, tile);
    if (!measures) return write(first, m, tile);
    if (source.mask != nullptr) write_masked<L>(source, tile, tile, m, first, false);
    peak = greatest_size<L>(tile, m, peak);
    if (place != nullptr && place + first != tile) __builtin_memcpy(place + first, tile, m * sizeof(float));
  }
  // A tile of outputs that all has been done to.
  [[gnu::noinline]] void write(size_t first, size_t m, float* tile) const {
    if (is_byte(a.y_type)) return write_bytes(static_cast<uint8_t*>(y) + first, first, m, tile);
    store(y, a.y_type, first, m, tile);
  }
  // A row of n elements none of which is real.
  [[gnu::noinline]] void write_padding(size_t n) const {
    if (a.padding.fill == SIMDNORM_FILL_KEEP) return;
    __builtin_memset(y, a.fill_byte, n * bytes_of(a.y_type));
    if (a.sum != nullptr) __builtin_memset(row_of_sum(), 0, n * bytes_of(a.sum_type));
  }
  // A tile of h.
  [[gnu::noinline]] void put_sum(size_t first, size_t m, const float* elements) const {
    if (source.mask == nullptr) {
      void* const to = element_at(row_of_sum(), a.sum_type, static_cast<ptrdiff_t>(first));
      return store_elements<L>(elements, to, a.sum_type, m, stream());
    }
    alignas(64) float copy[tile_elements];
    __builtin_memcpy(copy, elements, m * sizeof(float));
    store(row_of_sum(), a.sum_type, first, m, copy);
  }

 private:
  bool stream() const { return L::streams && goes_past(a); }
  void* row_of_sum() const { return element_at(a.sum, a.sum_type, static_cast<ptrdiff_t>(index) * a.sum_stride); }
  void multiply_by_gate(size_t first, size_t m, float* tile) const {
    const ptrdiff_t from = static_cast<ptrdiff_t>(index) * a.gate_stride + static_cast<ptrdiff_t>(first);
    const void* gate = element_at(a.gate, a.gate_type, from);
    alignas(64) float widened[tile_elements];
    if (a.gate_type != SIMDNORM_F32) {
      widen_elements<L>(gate, a.gate_type, widened, m);
      gate = widened;
    }
    gate_tile<L>(tile, static_cast<const float*>(gate), m);
  }
  void write_bytes(uint8_t* to, size_t first, size_t m, float* tile) const {
    const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
    // What is padded becomes 0, which gives its byte, unless the scale is NaN.
    const bool apart = source.mask != nullptr && (keep || scale != scale);
    if (source.mask != nullptr && !apart) write_masked<L>(source, tile, tile, m, first, false);
    uint8_t bytes[tile_elements];
    uint8_t* const y_or_bytes = apart ? bytes : to;
    if (is_f8(a.y_type)) {
      round_to_f8<L>(tile, y_or_bytes, m, scale, a.quantized, a.y_type);
    } else {
      // By a row's own scale its greatest size becomes 127, but for a subnormal scale, a few of whose least bits may be
      // all.
      const quantized_type& q = a.quantized;
      const bool fits = a.row_scale != nullptr && scale >= 0x1p-80f && q.most - q.zero_point >= 127.0f &&
                        q.zero_point - q.least >= 127.0f;
      quantize<L>(tile, y_or_bytes, m, scale, q, fits);
    }
    for (size_t i = 0; apart && i < m; ++i) {
      if (source.counts(first + i)) {
        to[i] = bytes[i];
      } else if (!keep) {
        to[i] = static_cast<uint8_t>(a.fill_byte);
      }
    }
  }
  // To a row of y or of the sum.
  void store(void* row, simdnorm_type type, size_t first, size_t m, float* tile) const {
    void* const to = element_at(row, type, static_cast<ptrdiff_t>(first));
    if (source.mask == nullptr) return store_elements<L>(tile, to, type, m, stream());
    const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
    if (type == SIMDNORM_F32) return write_masked<L>(source, tile, static_cast<float*>(to), m, first, keep);
    if (!keep) {
      write_masked<L>(source, tile, tile, m, first, false);
      return store_elements<L>(tile, to, type, m, stream());
    }
    uint16_t stored[tile_elements];
    store_elements<L>(tile, stored, type, m, false);
    for (size_t i = 0; i < m; ++i) {
      if (source.counts(first + i)) static_cast<uint16_t*>(to)[i] = stored[i];
    }
  }
};

// A row that is made, for a norm's mend and hostile, tile by tile.
template <class L>
struct made_row {
  const row_source& source;
  size_t n, count;
  float* tile;
  parameter_tiles<L>& parameters;
  row_end<L>& end;
  bool writes_sum;

  size_t real() const { return count; }
  [[gnu::noinline]] bool constant(float& value) const {
    size_t i = 0;
    if (source.mask != nullptr) {
      while (!source.counts(i)) ++i;
    }
    const size_t begin = i - i % virtual_lanes;
    make<L>(source, begin, n - begin < virtual_lanes ? n - begin : virtual_lanes, 0.0f, tile);
    value = tile[i - begin];
    bool all = true;
    for_tiles(value, [&](const float* elements, size_t, size_t m) {
      all = all && elements[0] == value && row_is_constant<L>(elements, m);
    });
    return all;
  }
  [[gnu::noinline]] sums64 sums(float shift) const {
    row_sums64<L> s;
    for_tiles(shift, [&](const float* elements, size_t, size_t m) { s.add(elements, m, shift); });
    return s.result();
  }
  template <class F>
  SIMDNORM_INLINE void write(F f) const {
    for_tiles(0.0f, [&](const float* elements, size_t first, size_t m) {
      if (writes_sum) end.put_sum(first, m, elements);
      parameters.set(first, m);
      transform<L>(tile, m, [&](auto load) SIMDNORM_LAMBDA { return f(load(elements), load); });
      end.put(first, m, tile);
    });
  }

 private:
  template <class Use>
  void for_tiles(float fill, Use use) const {
    for (size_t first = 0; first < n; first += tile_elements) {
      const size_t m = n - first < tile_elements ? n - first : tile_elements;
      make<L>(source, first, m, fill, tile);
      use(tile, first, m);
    }
  }
};

// ---- the loop ---------------------------------------------------------------------------------------------

// Where the mask's first real elements are: a window of 64 columns that begins at a multiple of 64. False
// where there are none.
template <class L>
[[gnu::noinline]] bool first_window(const row_source& s, size_t n, size_t& first) {
  if (s.mask == nullptr) {
    first = 0;
    return true;
  }
  for (size_t i = 0; i < n; ++i) {
    if (s.counts(i)) {
      first = i - i % shift_elements;
      return true;
    }
  }
  return false;
}

// The lanes of a row's first window, whatever it is; how many elements count: 0, and there is none.
template <class L>
[[gnu::noinline]] size_t other_window(const row_source& s, size_t n, row_lanes<L>& lanes) {
  size_t first = 0;
  if (!first_window<L>(s, n, first)) return 0;
  alignas(64) float window[shift_elements];
  const size_t m = n - first < shift_elements ? n - first : shift_elements;
  const size_t real = make<L>(s, first, m, 0.0f, window);
  lanes.clear();
  for_lanes<L>(window, 0, m, L::broadcast(0.0f),
               [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA { lanes.v[g] = lanes.v[g] + v; });
  return real;
}

// The sums of row k, whose elements are made meanwhile, to `to` if that is given (all of it), else chunk by
// chunk into `chunk`; and handed out, each piece, by piece(elements, first, m). Returns how many elements
// count: 0, and there are no sums.
template <class L, class Norm, class Piece>
SIMDNORM_INLINE size_t sum_made_row(const Norm& norm, typename Norm::batch& in, size_t k, const row_source& s,
                                    float* to, float* chunk, Piece piece) {
  const size_t n = in.n[k];
  if constexpr (Norm::shifted) {
    row_lanes<L> lanes;
    const size_t counted = other_window<L>(s, n, lanes);
    if (counted == 0) return 0;
    norm.start_row(in, k, lanes, counted);
  } else {
    norm.start_row(in, k);
  }
  norm.clear(in, k);
  const float fill = norm.filler(in, k);
  size_t real = 0;
  for (size_t from = 0; from < n; from += chunk_elements) {
    const size_t m = n - from < chunk_elements ? n - from : chunk_elements;
    float* const elements = to != nullptr ? to + from : chunk;
    real += make<L>(s, from, m, fill, elements);
    piece(elements, from, m);
    if (from > 0) norm.fold(in, k);
    typename Norm::sums sums(in, k);
    sum_chunk<L>(elements, 0, m, sums);
    sums.done(in, k);
  }
  norm.fold(in, k);
  return real;
}

// What padding of whole columns and rows means for `sum`: the same as for y, which real_row_views looks after.
[[gnu::noinline]] inline void fill_sums(const fused_row_arguments& a, const block& b) {
  if (a.padding.kind == SIMDNORM_PADDING_NONE || masks_elements(a.padding)) return;
  if (a.padding.fill != SIMDNORM_FILL_ZERO) return;
  for (size_t i = b.row_first; i < b.row_last; ++i) {
    const size_t n = real_columns(a.padding, i, a.cols);
    const ptrdiff_t from = static_cast<ptrdiff_t>(i) * a.sum_stride + static_cast<ptrdiff_t>(n);
    if (n < a.cols) __builtin_memset(element_at(a.sum, a.sum_type, from), 0, (a.cols - n) * bytes_of(a.sum_type));
  }
}

// The rows of a call, by bytes: strides are in bytes.
struct rows_in_bytes : row_norm_arguments {
  row_walk walk_in_bytes;
  explicit rows_in_bytes(const fused_row_arguments& a) : row_norm_arguments(a) {
    const auto of_x = static_cast<ptrdiff_t>(bytes_of(a.x_type));
    const auto of_y = static_cast<ptrdiff_t>(bytes_of(a.y_type));
    x_stride *= of_x;
    y_stride *= of_y;
    if (a.walk == nullptr) return;
    walk_in_bytes = *a.walk;
    for (size_t d = 0; d < a.walk->dimensions; ++d) {
      walk_in_bytes.x_strides[d] *= of_x;
      walk_in_bytes.y_strides[d] *= of_y;
    }
    walk = &walk_in_bytes;
  }
};

template <class L, class Norm>
[[gnu::noinline]] void write_made_rows(const fused_row_arguments& a, const block& b) {
  alignas(64) float buffer[kept_elements];
  alignas(64) float tile[tile_elements];
  parameter_tiles<L> parameters(a);
  const Norm norm(parameters.arguments());
  const rows_in_bytes where(a);
  const bool masked = masks_elements(a.padding);
  const bool added = a.residual != nullptr;
  const bool stream = L::streams && goes_past(a);
  const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
  const bool floats = a.x_type == SIMDNORM_F32 && (!added || a.residual_type == SIMDNORM_F32) &&
                      (a.bias == nullptr || a.bias_type == SIMDNORM_F32);
  const bool bare = !masked && !a.round_first && a.gate == nullptr && a.function == elementwise_function::none;
  const bool straight = bare && a.y_type == SIMDNORM_F32;
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const bool fits = pitch <= kept_elements;
  // A sum of floats is written while h is made, and may be where h is kept; one of another type, or of elements of
  // another type, with the outputs: it may be x or the residual, which is read until then.
  const bool late_sum = a.sum != nullptr && !(floats && a.sum_type == SIMDNORM_F32);
  const bool into_sum = a.sum != nullptr && !late_sum && !masked && !(stream && fits);
  const bool kept = (added || !floats) && !into_sum && fits;
  const bool scaled = (builds_i8 || builds_f8) && a.row_scale != nullptr;
  const size_t fit = (scaled ? 1 : kept ? 2 : 4) * kept_elements / 2 / pitch;
  const size_t together = fit < 1 ? 1 : fit < 8 ? fit : 8;
  const bool bits = a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  const size_t mask_pitch = bits ? (a.cols + 7) / 8 : a.cols;

  real_row_views<L, uint8_t, uint8_t> views(where, b);
  row_batch<L, uint8_t, uint8_t> taken;
  typename Norm::batch batch;
  row_source sources[8];
  void* rows_of_y[8];
  size_t real[8];
  bool safe[8];
  float peaks[8];
  prepare(taken, a.cols, together);
  if (a.sum != nullptr) fill_sums(a, b);
  if (scaled) {
    for (size_t i = b.row_first; i < b.row_last; ++i) a.row_scale[i] = 0.0f;
  }
  while (views.take(taken, together)) {
    size_t k = 0;
    for (size_t t = 0; t < taken.count; ++t) {
      const size_t i = taken.index[t];
      const size_t n = taken.n[t];
      batch.index[k] = i;
      batch.n[k] = n;
      batch.inverse[k] = taken.inverse[t];
      rows_of_y[k] = taken.y[t];
      real[k] = n;
      row_source& s = sources[k];
      s = {taken.x[t],
           added ? element_at(a.residual, a.residual_type, static_cast<ptrdiff_t>(i) * a.residual_stride) : nullptr,
           a.bias,
           masked ? static_cast<const uint8_t*>(a.padding.data) + i * mask_pitch : nullptr,
           bits,
           floats,
           a.x_type,
           a.residual_type,
           a.bias_type};
      if (s.is_there() && !masked) {
        batch.x[k] = static_cast<const float*>(s.x);
        norm.start_row(batch, k);
        norm.clear(batch, k);
        sum_row<L>(norm, batch, k);
        norm.fold(batch, k);
        ++k;
        continue;
      }
      float* const sum = a.sum != nullptr && !late_sum
                             ? static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(i) * a.sum_stride
                             : nullptr;
      float* const to = into_sum ? sum : kept ? buffer + k * pitch : nullptr;
      const auto also = [&](const float* elements, size_t first, size_t m) {
        if (sum == nullptr || into_sum) return;
        if (masked) return write_masked<L>(s, elements, sum + first, m, first, keep);
        store_elements<L>(elements, sum + first, SIMDNORM_F32, m, stream);
      };
      real[k] = sum_made_row<L>(norm, batch, k, s, to, buffer, also);
      if (masked) {
        if (real[k] == 0) {
          const row_end<L> end{a, parameters, s, i, rows_of_y[k], nullptr, false, 1.0f};
          end.write_padding(n);
          if (a.mean) a.mean[i] = 0.0f;
          if (a.rstd) a.rstd[i] = 0.0f;
          continue;
        }
        batch.inverse[k] = 1.0 / static_cast<double>(real[k]);
      }
      // From here on a row is what was kept of it, or what `sum` holds.
      if (to != nullptr || sum != nullptr) {
        s.x = to != nullptr ? to : sum;
        s.residual = s.bias = nullptr;
        s.floats = true;
      }
      ++k;
    }
    batch.count = k;
    if (k == 0) continue;
    for (size_t j = k; j % 4 != 0; ++j) batch.leave_out(j);
    finish_all<L>(norm, batch);
    const bool all_safe = batch.safe;

    const auto end_of = [&](size_t row, bool measures) SIMDNORM_LAMBDA {
      float* const place = scaled && fits ? buffer + row * pitch : nullptr;
      const float scale = scaled && !measures ? a.row_scale[batch.index[row]] : a.quantized.scale;
      return row_end<L>{a,
                        parameters,
                        sources[row],
                        batch.index[row],
                        rows_of_y[row],
                        place,
                        measures,
                        scale,
                        measures ? peaks[row] : 0.0f};
    };
    // Outputs of all rows, tile by tile: a tile's parameters stay in L1. `sums`: h is written, too.
    const auto pass = [&](bool measures, bool sums) {
      for (size_t row = 0; row < k; ++row) {
        peaks[row] = 0.0f;
        row_end<L> end = end_of(row, measures);
        const made_row<L> made = {sources[row], batch.n[row], real[row], tile, parameters, end, sums};
        safe[row] = is_safe(norm, batch, row, made);
        if (safe[row]) [[likely]]
          continue;
        norm.hostile(batch, row, made);
        peaks[row] = end.peak;
      }
      for (size_t first = 0; first < a.cols; first += tile_elements) {
        parameters.set(first, a.cols - first < tile_elements ? a.cols - first : tile_elements);
        for (size_t row = 0; row < k; ++row) {
          if (!safe[row] || batch.n[row] <= first) continue;
          const row_source& s = sources[row];
          const size_t m = batch.n[row] - first < tile_elements ? batch.n[row] - first : tile_elements;
          row_end<L> end = end_of(row, measures);
          const float* elements = static_cast<const float*>(s.x) + (s.is_there() ? first : 0);
          if (!s.is_there()) {
            make<L>(s, first, m, 0.0f, tile);
            elements = tile;
          }
          if (sums) end.put_sum(first, m, elements);
          const auto f = norm.outputs(batch, row, 0, elements);
          if (straight) {
            float* const to = static_cast<float*>(rows_of_y[row]) + first;
            const auto checked = [f](auto load) SIMDNORM_LAMBDA { return L::canonical(f(load)); };
            if (stream) {
              transform<L, stores::streamed>(to, m, checked);
            } else {
              transform<L>(to, m, checked);
            }
            continue;
          }
          float* const to = measures && end.place != nullptr ? end.place + first : tile;
          if (bare && measures) {
            greatest<L> sizes(peaks[row]);
            const auto measured = [&](auto load) SIMDNORM_LAMBDA {
              const typename L::f32 v = f(load);
              sizes.add(v);
              return v;
            };
            transform<L>(to, m, measured);
            peaks[row] = sizes.result();
            continue;
          }
          transform<L>(to, m, f);
          end.put(first, m, to);
          peaks[row] = end.peak;
        }
      }
    };
    if (!scaled) {
      pass(false, late_sum);
    } else {
      pass(true, late_sum && fits);
      for (size_t row = 0; row < k; ++row) {
        const float scale = canonical_float(static_cast<double>(peaks[row] / a.quantized.peak));
        a.row_scale[batch.index[row]] = scale == 0.0f ? 1.0f : scale;
      }
      if (!fits) {
        pass(false, late_sum);
      } else {
        for (size_t row = 0; row < k; ++row) {
          const row_end<L> end = end_of(row, false);
          for (size_t first = 0; first < batch.n[row]; first += tile_elements) {
            const size_t m = batch.n[row] - first < tile_elements ? batch.n[row] - first : tile_elements;
            end.write(first, m, end.place + first);
          }
        }
      }
    }
    // NaN in h makes the row's sums NaN: where all are to be trusted there is none.
    if (a.sum != nullptr && !late_sum && !masked && !all_safe) {
      for (size_t row = 0; row < k; ++row) {
        canonicalize_row<L>(static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(batch.index[row]) * a.sum_stride,
                            batch.n[row]);
      }
    }
  }
  if constexpr (L::streams) {
    if (a.stream) L::fence();
  }
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

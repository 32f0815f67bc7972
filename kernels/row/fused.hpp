// SPDX-License-Identifier: Apache-2.0
//
// Norms with something before or behind them: made_rows.hpp has the general loop. Here are the usual cases: as
// write_short_rows does, one loop writes a row of one batch and sums a row of the next: rows that a residual is added
// to, and rows under a mask, of floats and of one chunk at most; half_rows.hpp has those of bf16 and f16.
#pragma once

#include "row/half_rows.hpp"
#include "row/made_rows.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L>
SIMDNORM_INLINE void fill_lanes(float (&out)[virtual_lanes], float fill) {
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { L::store(out + g * L::width, L::broadcast(fill)); });
}

// What a row's elements are in the sums, register by register.
struct added_place {
  const float* x;
  const float* residual;
  const float* bias;
  float* to;    // where h is kept
  float* past;  // and where it goes past the caches; null: nowhere
};
template <class L, stores S, bool Bias>
struct added_elements : added_place {
  SIMDNORM_INLINE typename L::f32 sum(size_t i) const {
    typename L::f32 h = L::load(x + i);
    if constexpr (Bias) h = h + L::load(bias + i);
    return h + L::load(residual + i);
  }
  SIMDNORM_INLINE typename L::f32 at(size_t i) const {
    const typename L::f32 h = sum(i);
    L::store(to + i, h);
    if constexpr (S == stores::streamed) {
      if (past != nullptr) L::stream(past + i, h);
    }
    return h;
  }
  template <class Sums, class G>
  SIMDNORM_INLINE void add(Sums& sums, G g, size_t i) const {
    sums.add(g, at(i));
  }
  // How many of the first n count.
  SIMDNORM_INLINE static size_t count(size_t n) { return n; }
  // The lanes of 64 of them, for the shift; returns how many count.
  SIMDNORM_INLINE size_t window(size_t first, row_lanes<L>& lanes) const {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      lanes.v[g] = sum(first + g * L::width) + sum(first + virtual_lanes + g * L::width);
    });
    return shift_elements;
  }
  // The last n < 32 elements, from i on, and `fill` after them.
  [[gnu::noinline]] void tail(size_t i, size_t n, float fill, float (&out)[virtual_lanes]) const {
    const row_source s = float_source(x, residual, Bias ? bias : nullptr, nullptr, false);
    fill_lanes<L>(out, fill);
    make<L>(s, i, n, fill, to + i);
    for (size_t k = 0; k < n; ++k) out[k] = to[i + k];
    for (size_t k = 0; past != nullptr && k < n; ++k) past[i + k] = to[i + k];
  }
  SIMDNORM_INLINE void fetch(size_t i, ptrdiff_t ahead, ptrdiff_t residual_ahead) const {
    L::prefetch(x + ahead + i);
    L::prefetch(x + ahead + i + 16);
    L::prefetch(residual + residual_ahead + i);
    L::prefetch(residual + residual_ahead + i + 16);
  }
};
struct masked_place {
  const float* x;
  const uint8_t* mask;
  float fill;
  bool finite;  // gamma and beta are: outputs of a row that is to be trusted are no NaN then
};
template <class L, class Mask>
struct masked_elements {
  const float* x;
  Mask mask;
  float fill;
  explicit masked_elements(const masked_place& place) : x(place.x), mask{place.mask}, fill(place.fill) {}
  // What does not count is left out by an `and` of its distance from the shift, or of itself: cheaper than a choice.
  template <class Sums, class G>
  SIMDNORM_INLINE void add(Sums& sums, G g, size_t i) const {
    const auto counts = mask.of_group(g, i);
    if constexpr (Sums::shifted) {
      sums.add_where(g, counts, L::load(x + i));
    } else {
      sums.add(g, L::zero_unless(counts, L::load(x + i)));
    }
  }
  SIMDNORM_INLINE size_t count(size_t n) const {
    return Mask::bits ? count_bits(mask.p, n) : count_bytes<L>(mask.p, n);
  }
  SIMDNORM_INLINE size_t window(size_t first, row_lanes<L>& lanes) const {
    size_t real = 0;
    const auto element = [&](auto g, size_t i) SIMDNORM_LAMBDA {
      const auto counts = mask.of_group(g, i);
      real += L::count(counts);
      return L::zero_unless(counts, L::load(x + i));
    };
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const typename L::f32 v = element(g, first + g * L::width);
      lanes.v[g] = v + element(g, first + virtual_lanes + g * L::width);
    });
    return real;
  }
  [[gnu::noinline]] void tail(size_t i, size_t n, float, float (&out)[virtual_lanes]) const {
    const row_source s = float_source(x, nullptr, nullptr, mask.p, Mask::bits);
    fill_lanes<L>(out, fill);
    make<L>(s, i, n, fill, out);
  }
  SIMDNORM_INLINE void fetch(size_t i, ptrdiff_t ahead, ptrdiff_t) const {
    L::prefetch(x + ahead + i);
    L::prefetch(x + ahead + i + 16);
  }
};

// Where outputs go.
template <class L, stores S>
struct plain_outputs {
  float* y;
  plain_outputs(const fused_row_arguments&, float* row, const added_place&) : y(row) {}
  template <class G>
  SIMDNORM_INLINE void put_at(G, size_t i, typename L::f32 v) const {
    put<L, S>(y + i, v);
  }
  void tail(size_t i, size_t n, const float* v) const {
    for (size_t k = 0; k < n; ++k) y[i + k] = v[k];
  }
};
template <class L, stores S, class Mask>
struct masked_outputs {
  float* y;
  Mask mask;
  bool keep, may_be_nan, past;
  masked_outputs(const fused_row_arguments& a, float* row, const masked_place& place)
      : y(row),
        mask{place.mask},
        keep(a.padding.fill == SIMDNORM_FILL_KEEP),
        may_be_nan(!place.finite),
        past(goes_past(a) && !keep) {}
  template <class G>
  SIMDNORM_INLINE void put_at(G g, size_t i, typename L::f32 v) const {
    const auto counts = mask.of_group(g, i);
    if (may_be_nan) [[unlikely]]
      v = L::canonical(v);
    put<L, S>(y + i, keep ? L::select(counts, v, L::load(y + i)) : L::zero_unless(counts, v), past);
  }
  void tail(size_t i, size_t n, const float* v) const { write_masked<L>(v, y + i, n, mask, i, keep); }
};

// each(g, i) for the registers of the whole groups of [0, n); flush() every 256 elements, but not at the end.
// Returns how far it came.
template <class L, class Each, class Flush>
SIMDNORM_INLINE size_t walk_groups(size_t n, Each each, Flush flush) {
  const size_t full = n - n % virtual_lanes;
  for (size_t i = 0;;) {
    const size_t stop = full - i < flush_every ? full : i + flush_every;
    for (; i < stop; i += virtual_lanes) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { each(g, i + g * L::width); });
    }
    if (i == n || i % flush_every != 0 || n < flush_every) return i;
    flush();
    if (i == full) return i;
  }
}
template <class L, class Sums, class Elements>
SIMDNORM_INLINE void add_tail(Sums& sums, const Elements& elements, size_t i, size_t n, float fill) {
  if (i < n) {
    float last[virtual_lanes];  // not aligned: that would cost every row a frame of its own
    elements.tail(i, n - i, fill, last);
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { sums.add(g, L::load(last + g * L::width)); });
  }
}

// The outputs of the last n - i < 32 elements.
template <class L, class Norm, class Outputs>
[[gnu::noinline]] void write_last(const Norm& norm, const typename Norm::batch& out, size_t k, const Outputs& outputs,
                                  size_t i) {
  const size_t n = out.n[k];
  const auto f = norm.outputs(out, k, i);
  alignas(64) float last[virtual_lanes];
  size_t j = 0;
  for (; j + L::width <= n - i; j += L::width) L::store(last + j, f(load_at<L>{j}));
  if (j < n - i) L::store_n(last + j, f(load_tail_at<L>{j, n - i - j}), n - i - j);
  outputs.tail(i, n - i, last);
}

template <class L, class Statistics, class Elements, class Place>
[[gnu::noinline]] void sum_elements(typename Statistics::batch& in, size_t k, const Place& place) {
  const Elements elements{place};
  typename Statistics::sums sums(in, k);
  const auto each = [&](auto g, size_t i) SIMDNORM_LAMBDA { elements.add(sums, g, i); };
  const size_t i = walk_groups<L>(in.n[k], each, [&]() SIMDNORM_LAMBDA { sums.flush(); });
  add_tail<L>(sums, elements, i, in.n[k], Statistics::filler(in, k));
  sums.done(in, k);
}

// Both rows are of n elements.
template <class L, stores S, class Norm, class Elements, class Outputs, class Place>
[[gnu::noinline]] void sum_and_write_elements(const fused_row_arguments& a, const typename Norm::batch& out, size_t k,
                                              const Place& to, typename Norm::batch& in, size_t j, const Place& place,
                                              size_t n, ptrdiff_t ahead, ptrdiff_t residual_ahead) {
  const Norm norm(a);
  const Outputs outputs(a, out.y[k], to);  // copied: stores of registers may alias anything
  const Elements elements{place};
  const auto f = norm.outputs(out, k);
  typename Norm::sums sums(in, j);
  const auto each = [&](auto g, size_t i) SIMDNORM_LAMBDA {
    if (S != stores::cached && g == 0) elements.fetch(i, ahead, residual_ahead);
    elements.add(sums, g, i);
    outputs.put_at(g, i, f(load_at<L>{i}));
  };
  const size_t i = walk_groups<L>(n, each, [&]() SIMDNORM_LAMBDA { sums.flush(); });
  add_tail<L>(sums, elements, i, n, norm.filler(in, j));
  sums.done(in, j);
  if (i < n) write_last<L>(norm, out, k, outputs, i);
}

// What of the loop below depends on gamma and beta, on a bias and on the kind of a mask: the loop is there once for all
// of them (written into each it was 90 KB more).
template <class L, class Batch, class Place>
struct row_ways {
  size_t (*start)(const fused_row_arguments&, Batch&, size_t first, const Place* of_rows, double* real);
  void (*sum)(Batch& in, size_t k, const Place&);
  void (*sum_and_write)(const fused_row_arguments&, const Batch& out, size_t k, const Place& to, Batch& in, size_t j,
                        const Place&, size_t n, ptrdiff_t ahead, ptrdiff_t residual_ahead);
  void (*write)(const fused_row_arguments&, Batch& out, size_t k, const Place& to, double real, parameter_state&);
};

// What row k of a batch is made of, whose x is where it lies.
template <class Batch>
SIMDNORM_INLINE row_source source_of(const fused_row_arguments& a, const Batch& batch, size_t k) {
  const size_t i = batch.index[k];
  const bool bits = a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  const auto* const residual = static_cast<const float*>(a.residual);
  const auto* const mask = static_cast<const uint8_t*>(a.padding.data);
  return float_source(batch.x[k],
                      residual != nullptr ? residual + static_cast<ptrdiff_t>(i) * a.residual_stride : nullptr,
                      static_cast<const float*>(a.bias),
                      masks_elements(a.padding) ? mask + i * (bits ? (a.cols + 7) / 8 : a.cols) : nullptr, bits);
}

// The lanes of a row's first window of which an element counts, and how many do.
template <class L, class Batch>
[[gnu::noinline]] size_t other_window_of(const fused_row_arguments& a, const Batch& batch, size_t k,
                                         row_lanes<L>& lanes) {
  return other_window<L>(source_of(a, batch, k), batch.n[k], lanes);
}

// The shifts of a batch's rows from `first` on, and how many of their elements count; returns the first row of which
// none does.
template <class L, class Statistics, class Elements, class Place>
[[gnu::noinline]] size_t start_elements(const fused_row_arguments& a, typename Statistics::batch& batch, size_t first,
                                        const Place* of_rows, double* real) {
  for (size_t k = first; k < batch.count; ++k) {
    const Elements elements{of_rows[k]};
    const size_t n = batch.n[k];
    const size_t count = elements.count(n);
    if (count == 0) return k;
    real[k] = static_cast<double>(count);
    if constexpr (Statistics::shifted) {
      row_lanes<L> lanes;
      size_t counted = n >= shift_elements ? elements.window(0, lanes) : 0;
      if (counted == 0) [[unlikely]]
        counted = other_window_of<L>(a, batch, k, lanes);
      Statistics::start_row(batch, k, lanes, counted);
    }
  }
  return batch.count;
}

// make_place(x, index, kept) says where the elements of a row are; `buffer`: where rows of two batches of `most` rows
// are kept, or null.
template <class L, stores S, bool Masked, class Statistics, class Place, class Make>
SIMDNORM_INLINE void write_joined_rows(const row_ways<L, typename Statistics::batch, Place>& ways,
                                       parameter_state& parameters, const fused_row_arguments& a, const block& b,
                                       size_t most, float* buffer, Make make_place) {
  using batch_type = typename Statistics::batch;
  constexpr size_t ahead_elements = 4096;
  const Statistics statistics(a);
  const size_t rows_ahead = ahead_elements / a.cols + 1;
  const size_t pitch = (a.cols + 15) / 16 * 16;
  // What rows are made of is there long before it is used: loads of 16 bytes wait for stores of 8, a quarter of a row
  // of 64 columns.
  struct turn {
    batch_type batch;
    Place elements[8];
    double real[8];
    // Row k has no real elements: those after it move up.
    [[gnu::noinline]] void leave_out(const fused_row_arguments& a, size_t k) {
      const size_t i = batch.index[k];
      if (a.padding.fill != SIMDNORM_FILL_KEEP) fill_row<L, S>(batch.y[k], a.cols, 0.0f);
      if (a.mean) a.mean[i] = 0.0f;
      if (a.rstd) a.rstd[i] = 0.0f;
      for (--batch.count; k < batch.count; ++k) {
        batch.index[k] = batch.index[k + 1];
        batch.x[k] = batch.x[k + 1];
        batch.y[k] = batch.y[k + 1];
        batch.n[k] = batch.n[k + 1];
        batch.inverse[k] = batch.inverse[k + 1];
        elements[k] = elements[k + 1];
      }
    }
  };
  turn ring[2];
  turn* out = ring;
  turn* in = ring + 1;
  real_row_views<L, float, float> views(a, b);
  for (auto& each : ring) {
    prepare(each.batch, a.cols, most);
    each.batch.count = 0;
  }
  for (;;) {
    batch_type& next = in->batch;
    batch_type& last = out->batch;
    while (views.take(next, most)) {
      for (size_t k = 0; k < next.count; ++k) {
        float* const kept = buffer != nullptr ? buffer + ((in == ring ? 0 : most) + k) * pitch : nullptr;
        in->elements[k] = make_place(next.x[k], next.index[k], kept);
      }
      if constexpr (Masked || Statistics::shifted) {
        size_t started = 0;
        for (;;) {
          started = ways.start(a, next, started, in->elements, in->real);
          if (started == next.count) [[likely]]
            break;
          in->leave_out(a, started);
        }
      }
      if (next.count > 0) break;
    }
    if (last.count + next.count == 0) break;
    if constexpr (Masked) {
      for (size_t k = 0; k < next.count; ++k) in->elements[k].fill = statistics.filler(next, k);
      for (size_t j = next.count; j % 4 != 0; ++j) {
        next.leave_out(j);
        in->real[j] = 1.0;
      }
    }
    const bool joined = L::fused && last.count > 0 && last.safe && (Masked || parameters.passed(last));
    const size_t count = last.count > next.count ? last.count : next.count;
    for (size_t k = 0; k < count; ++k) {
      if (k < next.count) {
        const Place& place = in->elements[k];
        // Stores past the caches want whole registers. Stores of h and of y that cross lines, one of them or both,
        // break up each other's: 1.5 to 2 times as long as sums and outputs apart (AVX-512; of half a line each it is
        // nothing).
        const auto fits = [&]() SIMDNORM_LAMBDA {
          constexpr size_t bytes = L::width * sizeof(float);
          constexpr bool lines = !Masked && bytes == 64;
          uintptr_t at = 0;
          if constexpr (lines || S == stores::streamed) at = reinterpret_cast<uintptr_t>(last.y[k]);
          if constexpr (lines) at |= reinterpret_cast<uintptr_t>(place.to);
          return at % bytes == 0;
        };
        if constexpr (L::fused) {
          if (joined && k < last.count && fits() && last.n[k] == next.n[k]) [[likely]] {
            const bool more = S != stores::cached && a.walk == nullptr && b.row_last - next.index[k] > rows_ahead;
            const auto way = static_cast<ptrdiff_t>(more ? rows_ahead : 0);
            ways.sum_and_write(a, last, k, out->elements[k], next, k, place, next.n[k], way * a.x_stride,
                               way * a.residual_stride);
            if constexpr (!Masked) next.x[k] = place.to;
            continue;
          }
        }
        ways.sum(next, k, place);
        if constexpr (!Masked) next.x[k] = place.to;
      }
      if (k < last.count) ways.write(a, last, k, out->elements[k], Masked ? out->real[k] : 0.0, parameters);
    }
    if constexpr (Masked) {
      for (size_t k = 0; k < next.count; k += quad::width64) {
        quad::store64(next.inverse + k, quad::div(quad::broadcast64(1.0), quad::load64(in->real + k)));
      }
    }
    finish_short_rows_of(statistics, next);
    last.count = 0;
    turn* const done = out;
    out = in;
    in = done;
  }
}

template <class L, affine A, stores S, class Norm>
[[gnu::noinline]] void write_added_row(const fused_row_arguments& a, typename Norm::batch& out, size_t k,
                                       const added_place&, double, parameter_state& parameters) {
  const bool safe = out.safe;
  write_row_inline<L, A, S>(Norm(a), out, k, static_cast<parameter_check<L, A>&>(parameters));
  // NaN in h makes the row's sums NaN: where all are to be trusted there is none.
  if (a.sum != nullptr && !safe) {
    canonicalize_row<L>(static_cast<float*>(a.sum) + static_cast<ptrdiff_t>(out.index[k]) * a.sum_stride, out.n[k]);
  }
}

// Rows with a residual: h is kept in `sum`, or in a buffer until it is written.
template <class L, stores S, class Statistics>
[[gnu::noinline]] void write_added_rows_by(const row_ways<L, typename Statistics::batch, added_place>& ways,
                                           parameter_state& parameters, const fused_row_arguments& a, const block& b,
                                           size_t most) {
  // Half a page away from x: rows of x and of the buffer often keep pace, and a load that follows a store to the
  // same place of another page waits for it.
  constexpr size_t page = 4096;
  alignas(64) float memory[kept_elements + page / sizeof(float)];
  const uintptr_t off = (reinterpret_cast<uintptr_t>(a.x) + page / 2 - reinterpret_cast<uintptr_t>(memory)) % page;
  float* const buffer = memory + off / 64 * 64 / sizeof(float);
  // A sum that replaces x or the residual is in a cache: x or the residual was just read there.
  const bool apart = a.sum != nullptr && a.sum != a.x && a.sum != a.residual;
  const auto make_place = [&a, apart](const float* x, size_t index, float* kept) SIMDNORM_LAMBDA {
    const auto i = static_cast<ptrdiff_t>(index);
    const auto* const residual = static_cast<const float*>(a.residual) + i * a.residual_stride;
    const auto* const bias = static_cast<const float*>(a.bias);
    float* sum = static_cast<float*>(a.sum);
    if (sum == nullptr) return added_place{x, residual, bias, kept, nullptr};
    sum += i * a.sum_stride;
    if (S == stores::streamed && apart && reinterpret_cast<uintptr_t>(sum) % (L::width * sizeof(float)) == 0) {
      return added_place{x, residual, bias, kept, sum};
    }
    return added_place{x, residual, bias, sum, nullptr};
  };
  if (a.sum != nullptr) fill_sums(a, b);
  write_joined_rows<L, S, false, Statistics, added_place>(ways, parameters, a, b, most, buffer, make_place);
}

template <class L, affine A, stores S, bool Bias, class Norm>
SIMDNORM_INLINE void write_added_rows(const fused_row_arguments& a, const block& b, size_t most) {
  using statistics = typename Norm::statistics;
  constexpr stores put = S == stores::fetched ? stores::cached : S;
  using elements = added_elements<L, put, Bias>;
  static constexpr row_ways<L, typename Norm::batch, added_place> ways{
      start_elements<L, statistics, elements, added_place>, sum_elements<L, statistics, elements>,
      sum_and_write_elements<L, S, Norm, elements, plain_outputs<L, put>>, write_added_row<L, A, put, Norm>};
  parameter_check<L, A> parameters;
  write_added_rows_by<L, S, statistics>(ways, parameters, a, b, most);
}

// A row under a mask, of which `real` elements count.
template <class L, stores S, class Mask, class Norm>
[[gnu::noinline]] void write_masked_row(const fused_row_arguments& a, typename Norm::batch& out, size_t k,
                                        const masked_place& place, double real, parameter_state&) {
  alignas(64) float tile[tile_elements];
  if (!out.safe) [[unlikely]] {
    const row_source s = source_of(a, out, k);
    parameter_tiles<L> parameters(a);
    const Norm tiles(parameters.arguments());
    row_end<L> end{a, parameters, s, out.index[k], out.y[k], nullptr, false, 1.0f};
    const made_row<L> row = {s, out.n[k], static_cast<size_t>(real), tile, parameters, end, false};
    if (!is_safe(tiles, out, k, row)) return tiles.hostile(out, k, row);
  }
  const Norm norm(a);
  const masked_outputs<L, S, Mask> to(a, out.y[k], place);
  if (S == stores::cached || reinterpret_cast<uintptr_t>(to.y) % (L::width * sizeof(float)) == 0) {
    const auto f = norm.outputs(out, k);
    const auto each = [&](auto g, size_t i) SIMDNORM_LAMBDA { to.put_at(g, i, f(load_at<L>{i})); };
    const size_t i = walk_groups<L>(out.n[k], each, []() SIMDNORM_LAMBDA {});
    if (i < out.n[k]) write_last<L>(norm, out, k, to, i);
    return;
  }
  for (size_t first = 0; first < out.n[k]; first += tile_elements) {
    const size_t m = out.n[k] - first < tile_elements ? out.n[k] - first : tile_elements;
    transform<L>(tile, m, norm.outputs(out, k, first, out.x[k] + first));
    write_masked<L>(tile, to.y + first, m, to.mask, first, to.keep);
  }
}

template <class L, stores S, class Statistics>
[[gnu::noinline]] void write_masked_rows_by(const row_ways<L, typename Statistics::batch, masked_place>& ways,
                                            const fused_row_arguments& a, const block& b, size_t most) {
  const bool bits = a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
  const auto* const mask = static_cast<const uint8_t*>(a.padding.data);
  const auto is_finite = [&a](const void* p) {
    return p == nullptr || are_finite<L>(static_cast<const float*>(p), a.cols);
  };
  // Of a few rows outputs are looked at instead.
  const bool finite = b.row_last - b.row_first >= 4 && is_finite(a.gamma) && is_finite(a.beta);
  const size_t pitch = bits ? (a.cols + 7) / 8 : a.cols;
  const auto make_place = [mask, pitch, finite](const float* x, size_t i, float*) SIMDNORM_LAMBDA {
    return masked_place{x, mask + i * pitch, 0.0f, finite};
  };
  parameter_state parameters(0);  // outputs are looked at as they are written
  write_joined_rows<L, S, true, Statistics, masked_place>(ways, parameters, a, b, most, nullptr, make_place);
}

template <class L, stores S, class Mask, class Norm>
SIMDNORM_INLINE void write_masked_rows(const fused_row_arguments& a, const block& b, size_t most) {
  using statistics = typename Norm::statistics;
  using elements = masked_elements<L, Mask>;
  static constexpr row_ways<L, typename Norm::batch, masked_place> ways{
      start_elements<L, statistics, elements, masked_place>, sum_elements<L, statistics, elements>,
      sum_and_write_elements<L, S, Norm, elements, masked_outputs<L, S, Mask>>, write_masked_row<L, S, Mask, Norm>};
  write_masked_rows_by<L, S, statistics>(ways, a, b, most);
}

template <class L, affine A, stores S, class Norm>
SIMDNORM_INLINE void write_usual_rows(const fused_row_arguments& a, const block& b, size_t most) {
  if (a.residual == nullptr) {
    if (a.padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS) {
      return write_masked_rows<L, S, bit_mask<L>, Norm>(a, b, most);
    }
    return write_masked_rows<L, S, byte_mask<L>, Norm>(a, b, most);
  }
  if constexpr (Norm::adds) {
    if (a.bias != nullptr) return write_added_rows<L, A, S, true, Norm>(a, b, most);
    write_added_rows<L, A, S, false, Norm>(a, b, most);
  }
}

template <class L, affine A, class Norm>
SIMDNORM_INLINE void write_common_rows(const fused_row_arguments& a, const block& b) {
  // Rows of a batch: 2 of 768 or 1,024 columns, with what is kept of them, stay in L1 (16 to 20 % faster than 4).
  const size_t pitch = (a.cols + 15) / 16 * 16;
  const size_t fit = kept_elements / 2 / pitch;
  const size_t wanted = a.cols <= 256 ? 8 : 2;
  const size_t most = fit < wanted ? fit : wanted;
  if constexpr (L::streams) {
    // Rows with a residual that are replaced: through the caches RMS norm takes 0.83 to 0.94 of the time (AVX2, Zen 3),
    // whether rows are fetched ahead or not; layer norm 0.9 to 1.0 if they are, else 1.2.
    constexpr bool fetches = Norm::adds && A == affine::both;
    const bool in_place = a.stream && a.residual != nullptr && !goes_past(a);
    if (fetches && in_place && a.bias == nullptr) {
      if constexpr (fetches) write_added_rows<L, A, stores::fetched, false, Norm>(a, b, most);
    } else if (a.stream && (Norm::shifted || !in_place)) {
      write_usual_rows<L, A, stores::streamed, Norm>(a, b, most);
    } else {
      write_usual_rows<L, A, stores::cached, Norm>(a, b, most);
    }
    if (a.stream) L::fence();  // padded rows, too
  } else {
    write_usual_rows<L, A, stores::cached, Norm>(a, b, most);
  }
}

// What has loops here: floats alone, of one chunk at most, and a residual or a mask, but nothing else. Neither
// gamma or beta alone nor a weight of ones do.
SIMDNORM_INLINE bool is_common(const fused_row_arguments& a) {
  const bool masked = masks_elements(a.padding);
  return !a.mixed && (a.residual != nullptr) != masked && a.function == elementwise_function::none &&
         a.gate == nullptr && a.cols <= chunk_elements;
}

template <class L, class T>
SIMDNORM_INLINE void layer_norm_fused(const fused_row_arguments& a, const block& b) {
  const bool common = is_common(a);
  if (common && a.gamma && a.beta) {
    write_common_rows<L, affine::both, layer_norm_body<L, affine::both>>(a, b);
  } else if (common && !a.gamma && !a.beta) {
    write_common_rows<L, affine::none, layer_norm_body<L, affine::none>>(a, b);
  } else {
    write_half_or_made_rows<L, layer_norm_body, affine::both>(a, b,
                                                              write_made_rows<L, layer_norm_body<L, affine::both>>);
  }
}

template <class L, class T>
SIMDNORM_INLINE void rms_norm_fused(const fused_row_arguments& a, const block& b) {
  const bool common = is_common(a);
  if (a.gamma && a.unit_offset && !a.round_first) {
    using norm = rms_norm_body<L, affine::unit_offset>;
    if (common) return write_common_rows<L, affine::unit_offset, norm>(a, b);
    write_half_or_made_rows<L, rms_norm_body, affine::gamma>(a, b, write_made_rows<L, norm>);
  } else {
    using norm = rms_norm_body<L, affine::gamma>;
    if (common && a.gamma) return write_common_rows<L, affine::gamma, norm>(a, b);
    write_half_or_made_rows<L, rms_norm_body, affine::gamma>(a, b, write_made_rows<L, norm>);
  }
}

template <class L, class T>
SIMDNORM_INLINE void l2_norm_fused(const fused_row_arguments& a, const block& b) {
  using norm = l2_norm_body<L>;
  if (is_common(a)) return write_common_rows<L, affine::none, norm>(a, b);
  write_made_rows<L, norm>(a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

// SPDX-License-Identifier: Apache-2.0
//
// The loop over the rows of a block. A row goes through stages: start (its shift), sums, finish (sums to
// doubles, square root, division: the parameters of its outputs), outputs. Two trees of additions, a
// square root and a division are 170 cycles of latency, the time in which 60 registers are normalized. So
// rows go in batches, square roots and divisions of a batch are done side by side, and one loop makes the
// outputs of a row of one batch and the sums of a row of the next: its loads, additions, multiplications
// and stores keep all ports of a core busy.
//
// A norm is a type with
//   statistics     a class of all that does not depend on gamma and beta, which the norm is derived from, or is: what
//                  needs no more is there once
//   batch          what it keeps of up to 16 rows; derives from row_batch
//   start_row(batch, k)  first look at the elements; start_row_of_any_length, where there is one, without a branch that
//                  goes with the length
//   sums           f32 lanes of a row: sums(batch, k), fill(), add(register of the group, elements),
//                  flush() every 256 elements, but not at the end, done(batch, k); add_where(register, mask, elements):
//                  those where it is false are 0, and are left out
//   clear(batch, k) a row's doubles are 0
//   fold(batch, k) a row's lanes added to its doubles; fold4(batch, k): of four rows, from zero
//   finish<F>(batch, k)  parameters of rows k to k + F::width64; false if one is not to be trusted
//   tell(batch)    mean and rstd to the caller
//   outputs(batch, k)    returns f(load), the output register of the elements at load; outputs(batch, k,
//                  from) the same of elements from `from` on
//   save, restore  a chunk's sums, save_parameters, restore_parameters: what parts of a split row share
//   column_sums(v, n, batch)  sums of `width` rows of n <= tiny_columns elements, v[j] element j of each
//   column_outputs(batch)     returns f(v, j), the outputs of element j of these rows
//   mend(batch, k, row)  whether a row that was not to be trusted can be done in f32 after all
//   hostile(batch, k, row)  does it in doubles; `row` says what its elements are (whole_row of row.hpp)
// A row's bits do not depend on the rows beside it, nor on which of the loops below does it.
#pragma once

#include "row/row.hpp"
#include "row/tiny_rows.hpp"
#include "row/views.hpp"

namespace simdnorm::SIMDNORM_ISA {
namespace {

template <class L, class Norm>
using row_views = real_row_views<L, typename Norm::batch::x_type, typename Norm::batch::y_type>;

// exact: rows of whole groups of 32 elements, their outputs aligned to registers, past the caches to lines. even: rows
// of one length, stored as they lie; tails, but no heads. ragged: any. Of 43 cycles of a ragged row of 65 columns,
// heads and tails that need not meet are half; aligned stores make up for them at no length up to 1,025
// (even rows are 5 to 36 % faster on AVX-512, 2 to 60 % on AVX2).
enum class rows { ragged, even, exact };

// The sums of x[from, end), of one chunk at most.
template <class L, class X, class Sums>
SIMDNORM_INLINE void sum_chunk(const X* x, size_t from, size_t end, Sums& sums) {
  for (;;) {
    const size_t stop = end - from < flush_every ? end : from + flush_every;
    for_lanes<L>(x, from, stop, sums.fill(), [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA { sums.add(g, v); });
    if (stop == end) return;
    from = stop;
    sums.flush();
  }
}

// The sums of row k, all of them.
template <class L, class Norm>
SIMDNORM_INLINE void sum_row_inline(const Norm& norm, typename Norm::batch& in, size_t k) {
  const auto* const x = in.x[k];
  const size_t n = in.n[k];
  for (size_t from = 0; from < n; from += chunk_elements) {
    const size_t end = n - from < chunk_elements ? n : from + chunk_elements;
    if (from > 0) norm.fold(in, k);
    typename Norm::sums sums(in, k);
    sum_chunk<L>(x, from, end, sums);
    sums.done(in, k);
  }
}
template <class L, class Statistics>
[[gnu::noinline]] void sum_row_of(const Statistics& statistics, typename Statistics::batch& in, size_t k) {
  sum_row_inline<L>(statistics, in, k);
}
template <class L, class Norm>
SIMDNORM_INLINE void sum_row(const Norm& norm, typename Norm::batch& in, size_t k) {
  sum_row_of<L, typename Norm::statistics>(norm, in, k);
}

// The outputs of row k of one batch and the sums of row j, of at most chunk_elements, of another, in
// one loop. `ahead`: a row to be fetched into L2 meanwhile, but where S is `cached`.
template <class L, stores S, rows Rows, class Norm>
SIMDNORM_INLINE void sum_and_write(const Norm& norm, const typename Norm::batch& out, size_t k,
                                   typename Norm::batch& in, size_t j, const typename Norm::batch::x_type* ahead) {
  const auto f = norm.outputs(out, k);
  auto* const y = out.y[k];
  const auto* const x = in.x[j];
  const auto both = [&](auto& sums, size_t i, size_t at) SIMDNORM_LAMBDA {
    if constexpr (S != stores::cached) {
      for (size_t line = 0; line < virtual_lanes; line += 64 / sizeof *ahead) L::prefetch(ahead + i + line);
    }
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      sums.add(g, L::load(x + i + g * L::width));
      put<L, S>(y + at + g * L::width, f(load_at<L>{at + g * L::width}));
    });
  };
  typename Norm::sums sums(in, j);
  const size_t in_n = in.n[j];
  if constexpr (Rows == rows::exact && S == stores::cached && L::width > 1) {
    if (in_n <= flush_every) {
      for (size_t i = 0; i < in_n; i += virtual_lanes) both(sums, i, i);
      sums.done(in, j);
      return;
    }
  }
  if constexpr (Rows != rows::ragged) {
    // Without masks the last register of outputs of even rows ends with the row and overlaps the one before: it is made
    // first, since y may be x.
    [[maybe_unused]] typename L::f32 last;
    if constexpr (Rows == rows::even && !L::masks) last = f(load_at<L>{in_n - L::width});
    for (size_t i = 0;;) {
      const size_t stop = in_n - i < flush_every ? in_n : i + flush_every;
      const size_t full = Rows == rows::exact ? stop : stop - stop % virtual_lanes;
      for (; i < full; i += virtual_lanes) both(sums, i, i);
      if constexpr (Rows == rows::even) {
        repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
          const size_t at = i + g * L::width;
          if (at + L::width <= stop) {
            sums.add(g, L::load(x + at));
            L::store(y + at, f(load_at<L>{at}));
          } else if (at < stop) {
            if constexpr (L::masks) {
              sums.add(g, L::load_n_or(x + at, stop - at, sums.fill()));
              L::store_n(y + at, f(load_tail_at<L>{at, stop - at}), stop - at);
            } else {
              sums.add(g, L::load_up_to(x, at, stop, sums.fill()));
              L::store(y + in_n - L::width, last);
            }
          }
        });
        i = stop;
      }
      if (i == in_n) break;
      sums.flush();
    }
    sums.done(in, j);
  } else {
    const size_t out_n = out.n[k];
    size_t at = transform_head<L, S>(y, out_n, f);
    const size_t last = at + (out_n - at) / virtual_lanes * virtual_lanes;
    for (size_t done = 0;; done += flush_every) {
      const size_t stop = in_n - done < flush_every ? in_n : done + flush_every;
      size_t i = done;
      const size_t in_groups = (stop - done) / virtual_lanes;
      const size_t out_groups = (last - at) / virtual_lanes;
      const size_t groups = in_groups < out_groups ? in_groups : out_groups;
      for (const size_t end = i + groups * virtual_lanes; i < end; i += virtual_lanes, at += virtual_lanes) {
        both(sums, i, at);
      }
      for_lanes<L>(x, i, stop, sums.fill(), [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA { sums.add(g, v); });
      if (stop == in_n) break;
      sums.flush();
    }
    sums.done(in, j);
    at = transform_registers<L, S>(y, at, out_n, f);
    at = transform_last_registers<L, S>(y, at, out_n, f);
    transform_tail<L>(y, at, out_n, f);
  }
}

// Calls step(i) for the groups of 32 elements in [i, end), and flushes the sums where they are to be.
template <class Sums, class Step>
SIMDNORM_INLINE void for_flushed_groups(Sums& sums, size_t i, size_t end, Step step) {
  while (i < end) {
    const size_t flushed = i / flush_every * flush_every + flush_every;
    const size_t stop = end < flushed ? end : flushed;
    for (; i < stop; i += virtual_lanes) step(i);
    if (i == flushed) sums.flush();
  }
}

// sum_and_write of two rows of any lengths from a register on: no branch depends on where in a group of 32 they end.
// Without masks the last outputs are made first, in registers that end with the row and overlap those before, since y
// may be x; what they overlap goes through the caches (a line that has just left is read again: twice as long from
// memory).
template <class L, stores S, class Norm>
SIMDNORM_INLINE void sum_and_write_uneven(const Norm& norm, const typename Norm::batch& out, size_t k,
                                          typename Norm::batch& in, size_t j,
                                          const typename Norm::batch::x_type* ahead) {
  const auto f = norm.outputs(out, k);
  auto* const y = out.y[k];
  const auto* const x = in.x[j];
  const size_t in_n = in.n[j];
  const size_t in_full = (in_n - 1) / virtual_lanes * virtual_lanes;
  const size_t out_n = out.n[k];
  const size_t out_full = (out_n - 1) / virtual_lanes * virtual_lanes;
  constexpr bool apart = S == stores::streamed && !L::masks;
  const size_t put_end = !apart ? out_full : out_full < virtual_lanes ? 0 : out_full - virtual_lanes;
  [[maybe_unused]] const size_t out_end = out_n - L::width;
  [[maybe_unused]] const auto place = [&](size_t g) SIMDNORM_LAMBDA {
    const size_t at = out_full + g * L::width;
    return at < out_end ? at : out_end;
  };
  [[maybe_unused]] alignas(64) float last[virtual_lanes];
  if constexpr (!L::masks) {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { L::store(last + g * L::width, f(load_at<L>{place(g)})); });
  }

  typename Norm::sums sums(in, j);
  const size_t common = in_full < put_end ? in_full : put_end;
  for_flushed_groups(sums, 0, common, [&](size_t i) SIMDNORM_LAMBDA {
    if constexpr (S == stores::streamed) {
      for (size_t line = 0; line < virtual_lanes; line += 64 / sizeof *ahead) L::prefetch(ahead + i + line);
    }
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      sums.add(g, L::load(x + i + g * L::width));
      put<L, S>(y + i + g * L::width, f(load_at<L>{i + g * L::width}));
    });
  });
  for_flushed_groups(sums, common, in_full, [&](size_t i) SIMDNORM_LAMBDA {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { sums.add(g, L::load(x + i + g * L::width)); });
  });
  repeat<group<L>>([&](auto g)
                       SIMDNORM_LAMBDA { sums.add(g, L::load_up_to(x, in_full + g * L::width, in_n, sums.fill())); });
  sums.done(in, j);
  for (size_t at = common; at < put_end; at += virtual_lanes) {
    repeat<group<L>>([&](auto g)
                         SIMDNORM_LAMBDA { put<L, S>(y + at + g * L::width, f(load_at<L>{at + g * L::width})); });
  }
  if constexpr (L::masks) {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const size_t at = out_full + g * L::width;
      L::store_up_to(y, at, out_n, f(load_up_to_at<L>{at, out_n}));
    });
  } else {
    if constexpr (apart) {
      for (size_t at = put_end; at < out_full; at += L::width) L::store(y + at, f(load_at<L>{at}));
    }
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { L::store(y + place(g), L::load(last + g * L::width)); });
  }
}

// The same of two rows of any lengths as if they were whole, of `cols`: what lies behind a length is not read, and its
// outputs are zeros. Lengths of short rows cost no branch then, and neither an order of rows nor a fill of their ends.
template <class L, class Norm>
SIMDNORM_INLINE void sum_and_write_whole(const Norm& norm, const typename Norm::batch& out, size_t k,
                                         typename Norm::batch& in, size_t j, size_t cols) {
  const auto f = norm.outputs(out, k);
  auto* const y = out.y[k];
  const auto* const x = in.x[j];
  const size_t in_n = in.n[j], out_n = out.n[k];
  typename Norm::sums sums(in, j);
  for (size_t i = 0; i < cols; i += virtual_lanes) {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
      const size_t at = i + g * L::width;
      const typename L::mask in_real = L::below(at, in_n), out_real = L::below(at, out_n);
      sums.add_where(g, in_real, L::load_where(in_real, x + at));
      L::store(y + at, L::zero_unless(out_real, f(load_where_at<L>{at, out_real})));
    });
  }
  sums.done(in, j);
}

// The same past the caches, of rows of any number of columns: all lines leave whole, and of x no more is touched than
// groups of 32 that have something real (a load under an empty mask fetches its line, too). All stores of a line
// together: halves that come apart leave it apart. Of `ahead`, the row to be fetched, ahead_n elements are real.
// `keep`: what lies behind a length stays as it is; where there are masks alone.
template <class L, class Norm>
SIMDNORM_INLINE void sum_and_stream_whole(const Norm& norm, const typename Norm::batch& out, size_t k,
                                          typename Norm::batch& in, size_t j, size_t cols,
                                          const typename Norm::batch::x_type* ahead, size_t ahead_n,
                                          [[maybe_unused]] bool keep) {
  using f32 = typename L::f32;
  const auto f = norm.outputs(out, k);
  auto* const y = out.y[k];
  const auto* const x = in.x[j];
  const size_t in_n = in.n[j], out_n = out.n[k];
  const size_t in_full = (in_n - 1) / virtual_lanes * virtual_lanes;
  const size_t out_full = (out_n - 1) / virtual_lanes * virtual_lanes;
  const size_t common = in_full < out_full ? in_full : out_full;
  typename Norm::sums sums(in, j);
  size_t fetched = 0;
  const auto fetch = [&]() SIMDNORM_LAMBDA {
    const size_t at = fetched < ahead_n ? fetched : ahead_n - 1;
    for (size_t line = 0; line < virtual_lanes; line += 64 / sizeof *ahead) L::prefetch(ahead + at + line);
    fetched += virtual_lanes;
  };
  const auto stream = [&](size_t i, auto output) SIMDNORM_LAMBDA {
    fetch();
    constexpr size_t of_line = 64 / sizeof *y;  // elements
    constexpr size_t registers = of_line / L::width;
    repeat<virtual_lanes / of_line>([&](auto line) SIMDNORM_LAMBDA {
      f32 v[registers];
      repeat<registers>([&](auto r) SIMDNORM_LAMBDA {
        constexpr constant<line * registers + r> g;
        v[r] = output(g, i + g * L::width);
      });
      repeat<registers>([&](auto r) SIMDNORM_LAMBDA { L::stream(y + i + (line * registers + r) * L::width, v[r]); });
    });
  };
  for_flushed_groups(sums, 0, common, [&](size_t i) SIMDNORM_LAMBDA {
    stream(i, [&](auto g, size_t at) SIMDNORM_LAMBDA {
      sums.add(g, L::load(x + at));
      return f(load_at<L>{at});
    });
  });
  for_flushed_groups(sums, common, in_full, [&](size_t i) SIMDNORM_LAMBDA {
    repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { sums.add(g, L::load(x + i + g * L::width)); });
  });
  repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
    const size_t at = in_full + g * L::width;
    const typename L::mask real = L::below(at, in_n);
    sums.add_where(g, real, L::load_where(real, x + at));
  });
  sums.done(in, j);
  for (size_t i = common; i < out_full; i += virtual_lanes) {
    stream(i, [&](auto, size_t at) SIMDNORM_LAMBDA { return f(load_at<L>{at}); });
  }
  if constexpr (L::masks) {
    if (keep) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA {
        const size_t at = out_full + g * L::width;
        L::store_up_to(y, at, out_n, f(load_where_at<L>{at, L::below(at, out_n)}));
      });
      while (fetched < ahead_n) fetch();
      return;
    }
  }
  stream(out_full, [&](auto, size_t at) SIMDNORM_LAMBDA {
    const typename L::mask real = L::below(at, out_n);
    return L::zero_unless(real, f(load_where_at<L>{at, real}));
  });
  for (size_t i = out_full + virtual_lanes; i < cols; i += virtual_lanes) {
    stream(i, [&](auto, size_t) SIMDNORM_LAMBDA { return L::broadcast(0.0f); });
  }
}

// What finish needs of lanes, for one row alone: the scalar square root and division end 20 cycles
// sooner than the vectors'.
struct single {
  using f64 = double;
  static constexpr size_t width64 = 1;
  SIMDNORM_INLINE static f64 broadcast64(double v) { return v; }
  SIMDNORM_INLINE static f64 load64(const double* p) { return *p; }
  SIMDNORM_INLINE static f64 load_widened(const float* p) { return static_cast<double>(*p); }
  SIMDNORM_INLINE static f64 store_narrowed(float* p, f64 v) {
    *p = static_cast<float>(v);
    return static_cast<double>(*p);
  }
  SIMDNORM_INLINE static f64 div(f64 a, f64 b) { return a / b; }
  SIMDNORM_INLINE static f64 sqrt(f64 v) { return __builtin_sqrt(v); }
  SIMDNORM_INLINE static f64 select(bool m, f64 a, f64 b) { return m ? a : b; }
  SIMDNORM_INLINE static bool all(bool m) { return m; }
};

// A batch's rows from their lanes, four at a time, or eight. Entries up to the next four beyond its count were left
// out. All trees, then all square roots: four rows' one after the other are 3 to 9 % of rows of 64 columns more.
template <class Statistics>
[[gnu::noinline]] void finish_short_rows_of(const Statistics& norm, typename Statistics::batch& batch) {
  if constexpr (octet::width64 == 8) {
    if (batch.count > 4) {
      norm.fold8(batch);
      batch.safe = norm.template finish<octet>(batch, 0);
      norm.tell(batch);
      return;
    }
  }
  for (size_t k = 0; k < batch.count; k += 4) norm.fold4(batch, k);
  bool safe = true;
  for (size_t k = 0; k < batch.count; k += quad::width64) safe &= norm.template finish<quad>(batch, k);
  batch.safe = safe;
  norm.tell(batch);
}

template <class Norm>
SIMDNORM_INLINE void finish_short_rows(const Norm& norm, typename Norm::batch& batch) {
  finish_short_rows_of<typename Norm::statistics>(norm, batch);
}

// The same of rows whose sums are in doubles already.
template <class L, class Norm>
SIMDNORM_INLINE void finish_all(const Norm& norm, typename Norm::batch& batch) {
  batch.safe = true;
  for (size_t k = 0; k < batch.count; k += quad::width64) batch.safe &= norm.template finish<quad>(batch, k);
  norm.tell(batch);
}

template <class L, class Norm>
SIMDNORM_INLINE whole_row<L, typename Norm::batch::x_type, typename Norm::batch::y_type> whole_row_of(
    const typename Norm::batch& batch, size_t k) {
  return {batch.x[k], batch.y[k], batch.n[k]};
}

// Of a batch that is not safe: whether row k is, or is after its sums were taken again.
template <class Norm, class Row>
SIMDNORM_INLINE bool is_row_safe(const Norm& norm, typename Norm::batch& batch, size_t k, const Row& row) {
  return norm.template finish<single>(batch, k) || norm.mend(batch, k, row);
}
template <class Norm, class Row>
SIMDNORM_INLINE bool is_safe(const Norm& norm, typename Norm::batch& batch, size_t k, const Row& row) {
  return batch.safe || is_row_safe(norm, batch, k, row);
}
template <class L, class Statistics>
[[gnu::noinline]] bool is_whole_row_safe(const Statistics& norm, typename Statistics::batch& batch, size_t k) {
  return is_row_safe(norm, batch, k, whole_row_of<L, Statistics>(batch, k));
}

template <class L, affine A, stores S, class Norm>
SIMDNORM_INLINE void write_row_inline(const Norm& norm, typename Norm::batch& batch, size_t k,
                                      parameter_check<L, A>& parameters) {
  if (!batch.safe && !is_whole_row_safe<L, typename Norm::statistics>(norm, batch, k)) [[unlikely]] {
    norm.hostile(batch, k, whole_row_of<L, Norm>(batch, k));
    return;
  }
  const auto f = norm.outputs(batch, k);
  parameters.write(batch.y[k], batch.n[k], [&](auto check) SIMDNORM_LAMBDA {
    transform<L, S>(batch.y[k], batch.n[k], [&](auto load) SIMDNORM_LAMBDA { return check(f(load)); });
  });
}

template <class L, affine A, stores S, class Norm>
[[gnu::noinline]] void write_row(const Norm& norm, typename Norm::batch& batch, size_t k,
                                 parameter_check<L, A>& parameters) {
  write_row_inline<L, A, S>(norm, batch, k, parameters);
}

// Many short rows: a batch is written while the next one is summed.
template <class L, affine A, stores S, rows Rows, class Norm>
[[gnu::noinline]] void write_short_rows(const Norm& norm, const row_norm_arguments& a, const block& b) {
  constexpr size_t ahead_elements = 4096;
  constexpr bool floats = sizeof(typename Norm::batch::x_type) == sizeof(float);
  constexpr bool fuses = floats ? L::fused : L::fused_halves;
  const size_t most = a.rows_together;
  // Of a tensor, the same row of the next run.
  const bool runs = a.walk != nullptr && a.walk->dimensions > 1;
  const size_t rows_ahead = runs ? a.walk->sizes[a.walk->dimensions - 1] : ahead_elements / a.cols + 1;
  const ptrdiff_t way =
      runs ? a.walk->x_strides[a.walk->dimensions - 2] : static_cast<ptrdiff_t>(rows_ahead) * a.x_stride;
  constexpr size_t unit = aligned_elements<L, S, typename Norm::batch::y_type>;
  [[maybe_unused]] const bool aligned =
      a.walk == nullptr && a.y_stride % ptrdiff_t{unit} == 0 &&
      reinterpret_cast<uintptr_t>(a.y) % (unit * sizeof(typename Norm::batch::y_type)) == 0;
  [[maybe_unused]] const bool lengths =
      a.padding.kind == SIMDNORM_PADDING_ROW_LENGTHS;  // past the caches: not in memory's order, unless as_whole
  row_views<L, Norm> views(a, b);
  // Of rows::ragged floats, those in the caches are rows of lengths, without heads; the others may begin anywhere.
  constexpr bool of_lengths = floats && Rows == rows::ragged && S == stores::cached;
  constexpr bool whole_lengths = (floats || L::masks) && Rows == rows::ragged && L::loads_where;
  [[maybe_unused]] bool as_whole = false;
  [[maybe_unused]] const bool keep = a.padding.fill == SIMDNORM_FILL_KEEP;
  // Of halves, which are widened for it, 96 columns are as fast the other way, 128 slower by a tenth.
  constexpr size_t most_whole = (floats ? 16 : 4) * L::width;
  if constexpr (whole_lengths && S == stores::cached) as_whole = views.take_as_whole(keep ? 0 : most_whole);
  if constexpr (whole_lengths && S == stores::streamed) {
    as_whole = aligned && views.take_as_whole(keep && !L::masks ? 0 : SIZE_MAX);
  }
  // Written into every loop it is 45 KB: into those of rows in the caches.
  constexpr bool by_eight =
      L::width > 1 && S == stores::cached && (Rows == rows::exact || (floats && Rows == rows::even));
  const row_offsets<typename Norm::batch::x_type, typename Norm::batch::y_type> offsets(a);
  parameter_check<L, A> parameters;
  typename Norm::batch ring[3];
  typename Norm::batch* out = ring;
  typename Norm::batch* in = ring + 1;
  typename Norm::batch* next = ring + 2;
  for (auto& each : ring) {
    prepare(each, a.cols, most);
    each.count = 0;
    each.safe = true;
  }
  // A row by itself; where none is written with another, S is `cached` whatever the stores are.
  const auto write_alone = [&](typename Norm::batch& batch, size_t k) SIMDNORM_LAMBDA {
    if constexpr (S == stores::streamed || (L::streams && !fuses)) {
      if (S == stores::streamed || (a.stream && a.x != a.y)) {
        return write_row<L, A, stores::streamed>(norm, batch, k, parameters);
      }
    }
    if constexpr (S != stores::streamed) write_row<L, A, stores::cached>(norm, batch, k, parameters);
  };
  const auto start = [&](typename Norm::batch& batch, size_t k) SIMDNORM_LAMBDA {
    if constexpr (whole_lengths && Norm::shifted) {
      if (as_whole) return norm.start_row_of_any_length(batch, k);
    }
    norm.start_row(batch, k);
  };
  if (views.take(*in, most)) start(*in, 0);
  while (out->count + in->count > 0) {
    next->count = 0;
    if (in->count == most) views.take(*next, most, by_eight ? &offsets : nullptr);
    const bool all_safe = out->safe;
    const bool can_fuse = fuses && out->count > 0;
    bool fused = can_fuse && (Rows == rows::ragged ? parameters.passed(*out) : parameters.passed(a.cols));
    const size_t count = out->count > in->count ? out->count : in->count;
    const size_t both = out->count < in->count ? out->count : in->count;
    for (size_t k = 0; k < count; ++k) {
      // Just before its sums: earlier, and its first lines would be a stream of their own to the prefetchers.
      if (k + 1 < in->count) {
        start(*in, k + 1);
      } else if (k + 1 == in->count && next->count > 0) {
        start(*next, 0);
      }
      const bool fits =
          S != stores::streamed || Rows == rows::exact || k >= both || can_stream<L>(out->y[k], out->n[k]);
      // A row that is not to be trusted is done by itself, the others of its batch are not.
      const bool trusted =
          all_safe || k >= out->count || is_whole_row_safe<L, typename Norm::statistics>(norm, *out, k);
      if (fuses && fused && fits && k < both && trusted) [[likely]] {
        const auto* ahead = in->x[k];
        if constexpr (S != stores::cached) {
          if (lengths) {
            if (k < next->count) ahead = next->x[k];
          } else if (b.row_last - in->index[k] > rows_ahead) {
            ahead += way;
          }
        }
        if constexpr (whole_lengths) {
          if (as_whole) {
            if constexpr (S == stores::streamed) {
              const size_t ahead_n = k < next->count ? next->n[k] : in->n[k];
              sum_and_stream_whole<L>(norm, *out, k, *in, k, a.cols, ahead, ahead_n, keep);
            } else {
              sum_and_write_whole<L>(norm, *out, k, *in, k, a.cols);
            }
            continue;
          }
        }
        if constexpr (floats && Rows == rows::ragged) {
          const bool whole = out->n[k] == in->n[k] && in->n[k] % virtual_lanes == 0;
          if (!whole && (of_lengths || aligned) && out->n[k] >= L::width && in->n[k] >= L::width) {
            sum_and_write_uneven<L, S>(norm, *out, k, *in, k, ahead);
            continue;
          }
          if (of_lengths && !whole) {
            sum_row<L>(norm, *in, k);
            write_alone(*out, k);
            continue;
          }
        }
        sum_and_write<L, S, of_lengths ? rows::exact : Rows>(norm, *out, k, *in, k, ahead);
      } else {
        if (k < in->count) sum_row<L>(norm, *in, k);
        if (k < out->count) {
          if (trusted) [[likely]] {
            write_alone(*out, k);
          } else {
            norm.hostile(*out, k, whole_row_of<L, Norm>(*out, k));
          }
          if constexpr (whole_lengths) {
            if (as_whole && !keep) views.fill_end(*out, k);
          }
        }
        if (Rows != rows::ragged && k == 0) fused = can_fuse && parameters.passed(a.cols);  // after a call's first row
      }
    }
    finish_short_rows(norm, *in);
    typename Norm::batch* const done = out;
    out = in;
    in = next;
    next = done;
  }
}

// Lanes of squares, of norms without a shift; into square_lanes of their batch.
template <class L, class Batch>
class square_sums {
 public:
  using f32 = typename L::f32;
  static constexpr bool shifted = false;
  SIMDNORM_INLINE square_sums(const Batch&, size_t) { s2_.clear(); }
  SIMDNORM_INLINE f32 fill() const { return L::broadcast(0.0f); }
  template <class G>
  SIMDNORM_INLINE void add(G g, f32 v) {
    s2_.v[g] = L::fma(v, v, s2_.v[g]);
  }
  template <class G>
  SIMDNORM_INLINE void add_where(G g, typename L::mask, f32 v) {
    add(g, v);
  }
  SIMDNORM_INLINE void flush() {
    if (flushed_) s2_.add(t2_);
    t2_ = s2_;
    flushed_ = true;
    s2_.clear();
  }
  SIMDNORM_INLINE void done(Batch& b, size_t k) {
    if (flushed_) s2_.add(t2_);
    b.square_lanes[k] = s2_;
  }

 private:
  row_lanes<L> s2_, t2_;
  bool flushed_ = false;
};

// Rows of few elements: a lane is a row. What a row costs beside its elements is then shared by all lanes, and no tree
// goes across lanes. Between the sums of some rows and their outputs are the sums of the next: 0.9 to 0.97 of the time.
template <class L, affine A, class Norm>
[[gnu::noinline]] void write_tiny_rows(const Norm& norm, const row_norm_arguments& a, const block& b) {
  constexpr size_t width = L::width;
  struct rows_together {
    typename L::f32 v[tiny_columns];
    typename Norm::batch batch;
    size_t first;
    bool safe;
  };
  parameter_check<L, A> parameters;
  rows_together some[2];
  for (rows_together& rows : some) prepare(rows.batch, a.cols, width);
  const auto row_by_row = [&](auto& batch, size_t first, size_t last) __attribute__((noinline)) {
    row_views<L, Norm> views(a, block{first, last, b.col_first, b.col_last});
    views.take(batch, width);
    for (size_t k = 0; k < batch.count; ++k) {
      norm.start_row(batch, k);
      norm.clear(batch, k);
      sum_row<L>(norm, batch, k);
      norm.fold(batch, k);
    }
    finish_all<L>(norm, batch);
    for (size_t k = 0; k < batch.count; ++k) write_row<L, A, stores::cached>(norm, batch, k, parameters);
  };
  const auto sum = [&](rows_together& rows, size_t first) SIMDNORM_LAMBDA {
    rows.first = first;
    rows.batch.count = width;
    const float* const x = static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(first) * a.x_stride;
    load_tiny_rows<L>(x, a.x_stride, a.cols, rows.v);
    norm.column_sums(rows.v, a.cols, rows.batch);
    rows.safe = true;
    for (size_t k = 0; k < width; k += octet::width64) rows.safe &= norm.template finish<octet>(rows.batch, k);
  };
  const auto write = [&](rows_together& rows) SIMDNORM_LAMBDA {
    if (!rows.safe) [[unlikely]]
      return row_by_row(rows.batch, rows.first, rows.first + width);
    const auto f = norm.column_outputs(rows.batch);
    for (size_t j = 0; j < a.cols; ++j) rows.v[j] = f(rows.v[j], j);
    float* const y = static_cast<float*>(a.y) + static_cast<ptrdiff_t>(rows.first) * a.y_stride;
    store_tiny_rows<L>(y, a.y_stride, a.cols, rows.v);
    for (size_t k = 0; k < width; ++k) rows.batch.index[k] = rows.first + k;
    norm.tell(rows.batch);
  };
  row_by_row(some[0].batch, b.row_first, b.row_first + 1);  // tells of gamma and beta
  rows_together *now = some, *next = some + 1;
  bool waiting = false;
  size_t i = b.row_first + 1;
  do {
    bool summed = false;
    if (i < b.row_last) {
      const bool few = b.row_last - i < width;
      if (few && a.x != a.y) i = b.row_last - width;  // some rows once more, unless they are not what they were
      const size_t first = i;
      i += width;
      if (!parameters.passed(a.cols) || (few && a.x == a.y)) [[unlikely]] {
        row_by_row(next->batch, first, i < b.row_last ? i : b.row_last);
        continue;
      }
      sum(*next, first);
      summed = true;
    }
    if (waiting) write(*now);
    waiting = summed;
    rows_together* const written = now;
    now = next;
    next = written;
  } while (waiting || i < b.row_last);
}

// One row of floats as it lies, of which nothing is told. What is kept of it stays in registers, since no function is
// given it; false: it is not to be trusted, and nothing is written.
template <class L, class Norm>
[[gnu::noinline]] bool write_plain_row(const Norm& norm, const row_norm_arguments& a, const block& b) {
  const size_t n = a.cols;
  const float* const x = static_cast<const float*>(a.x) + static_cast<ptrdiff_t>(b.row_first) * a.x_stride;
  float* const y = static_cast<float*>(a.y) + static_cast<ptrdiff_t>(b.row_first) * a.y_stride;
  typename Norm::batch row;
  row.x[0] = x;
  row.n[0] = n;
  row.inverse[0] = 1.0 / static_cast<double>(n);
  norm.start_row(row, 0);
  norm.clear(row, 0);
  if (n > flush_every) {
    sum_row_inline<L>(norm, row, 0);
  } else {
    typename Norm::sums sums(row, 0);
    size_t i = 0;
    for (; i + virtual_lanes <= n; i += virtual_lanes) {
      repeat<group<L>>([&](auto g) SIMDNORM_LAMBDA { sums.add(g, L::load(x + i + g * L::width)); });
    }
    if (i < n && n >= L::width) {
      repeat<group<L>>([&](auto g)
                           SIMDNORM_LAMBDA { sums.add(g, L::load_up_to(x, i + g * L::width, n, sums.fill())); });
    } else if (i < n) {
      sums.add(constant<size_t{0}>{}, L::load_n_or(x, n, sums.fill()));
    }
    sums.done(row, 0);
  }
  norm.fold(row, 0);
  if (!norm.template finish<single>(row, 0)) [[unlikely]]
    return false;
  nan_search<L> nan;
  transform_searched<L>(y, n, nan, norm.outputs(row, 0));
  if (nan.found()) [[unlikely]]
    canonicalize_row<L>(y, n);
  return true;
}

// One row that write_plain_row does not do: of halves, with padding, mean or rstd, of a tensor, or not to be trusted.
template <class L, affine A, class Norm>
[[gnu::noinline]] void write_one_row(const Norm& norm, const row_norm_arguments& a, const block& b) {
  row_views<L, Norm> views(a, b);
  parameter_check<L, A> parameters;
  typename Norm::batch batch;
  batch.n[0] = a.cols;
  batch.inverse[0] = 1.0 / static_cast<double>(a.cols);
  if (!views.take(batch, 1)) return;
  norm.start_row(batch, 0);
  norm.clear(batch, 0);
  const size_t n = batch.n[0];
  if (n <= flush_every) {  // a flush into zeros changes nothing
    typename Norm::sums sums(batch, 0);
    for_lanes<L>(batch.x[0], 0, n, sums.fill(), [&](auto g, typename L::f32 v) SIMDNORM_LAMBDA { sums.add(g, v); });
    sums.done(batch, 0);
  } else {
    sum_row_inline<L>(norm, batch, 0);
  }
  norm.fold(batch, 0);
  batch.safe = norm.template finish<single>(batch, 0);
  norm.tell(batch);
  write_row_inline<L, A, stores::cached>(norm, batch, 0, parameters);
}

// Long rows: gamma and beta would come from L2 for every row. So the outputs of several rows are made
// tile by tile, and a tile's gamma and beta stay in L1; the rows' elements come from L2 again. Meanwhile
// the next rows are fetched into L2.
template <class L, affine A, stores S, class Norm>
[[gnu::noinline]] void write_long_rows(const Norm& norm, const row_norm_arguments& a, const block& b) {
  constexpr size_t tile = 1024;
  // Of L2: 256 KiB; 64 where the next rows are fetched meanwhile and outputs go past the caches. There
  // tiles lose from 4,096 columns on: 8192x8192 has 0.70 of a copy row by row, 0.54 with tiles of 8 rows;
  // 2048x4096 has 0.66 and 0.79.
  constexpr size_t elements_together = (S == stores::streamed ? 65536 : 262144) / sizeof(typename Norm::batch::x_type);
  const size_t fit = elements_together / a.cols;
  const size_t together = fit < (S == stores::streamed ? 4 : 1) ? 1 : fit < 8 ? fit : 8;
  const bool past = a.x != a.y;
  row_views<L, Norm> views(a, b);
  parameter_check<L, A> parameters;
  typename Norm::batch batch;
  prepare(batch, a.cols, together);
  while (views.take(batch, together)) {
    bool passed = true;
    size_t longest = 0;
    for (size_t k = 0; k < batch.count; ++k) {
      norm.start_row(batch, k);
      norm.clear(batch, k);
      sum_row<L>(norm, batch, k);
      norm.fold(batch, k);
      passed &= parameters.passed(batch.n[k]);
      longest = batch.n[k] > longest ? batch.n[k] : longest;
    }
    finish_all<L>(norm, batch);
    if (!batch.safe || !passed || batch.count == 1) {
      for (size_t k = 0; k < batch.count; ++k) {
        if (past) {
          write_row<L, A, S>(norm, batch, k, parameters);
        } else {
          write_row<L, A, stores::cached>(norm, batch, k, parameters);
        }
      }
      continue;
    }
    size_t at[batch_rows];
    for (size_t k = 0; k < batch.count; ++k) {
      at[k] = transform_head<L, S>(batch.y[k], batch.n[k], norm.outputs(batch, k));
    }
    for (size_t to = tile; to < longest + tile; to += tile) {
      for (size_t k = 0; k < batch.count; ++k) {
        const size_t stop = to < batch.n[k] ? to : batch.n[k];
        if (at[k] >= stop) continue;
        const auto f = norm.outputs(batch, k);
        if (S == stores::streamed && can_stream<L>(batch.y[k], batch.n[k])) {
          const bool more = a.walk == nullptr && b.row_last - batch.index[k] > together;
          const auto* ahead = batch.x[k] + (more ? static_cast<ptrdiff_t>(together) * a.x_stride : 0);
          const auto fetching = [&](auto load) SIMDNORM_LAMBDA {
            L::prefetch(ahead + load.i);
            return f(load);
          };
          at[k] = transform_registers<L, S>(batch.y[k], at[k], stop, fetching, past);
        } else {
          at[k] = transform_registers<L, stores::cached>(batch.y[k], at[k], stop, f);
        }
        if (stop == batch.n[k]) {
          at[k] = transform_last_registers<L, S>(batch.y[k], at[k], stop, f);
          transform_tail<L>(batch.y[k], at[k], stop, f);
          at[k] = stop;  // once: longer rows go on, and y may be x
        }
      }
    }
  }
}

// A part of one long row, for row_split's three steps (table.hpp). The sums of a chunk and the outputs of
// an element are what they are when one thread does the whole row.
template <class L, affine A, class Norm>
[[gnu::noinline]] void split_row(const Norm& norm, const row_norm_arguments& a, const block& b) {
  row_split& split = *a.split;
  row_views<L, Norm> views(a, b);
  parameter_check<L, A> parameters;
  typename Norm::batch batch;
  batch.n[0] = a.cols;
  batch.inverse[0] = 1.0 / static_cast<double>(a.cols);
  if (!views.take(batch, 1)) return;
  // Others may be writing to the row's beginning in the last step.
  if (split.step != row_split::write) norm.start_row(batch, 0);
  norm.clear(batch, 0);
  switch (split.step) {
    case row_split::sum_chunks:
      for (size_t from = b.col_first; from < b.col_last; from += chunk_elements) {
        typename Norm::sums sums(batch, 0);
        const size_t end = b.col_last - from < chunk_elements ? b.col_last : from + chunk_elements;
        sum_chunk<L>(batch.x[0], from, end, sums);
        sums.done(batch, 0);
        norm.save(batch, split, from / chunk_elements);
      }
      break;
    case row_split::finish: {
      const auto row = whole_row_of<L, Norm>(batch, 0);
      for (size_t i = 0; i * chunk_elements < a.cols; ++i) norm.restore(batch, split, i);
      batch.safe = norm.template finish<single>(batch, 0);
      norm.tell(batch);
      split.written = !is_safe(norm, batch, 0, row);
      if (split.written) {
        norm.hostile(batch, 0, row);
      } else {
        norm.save_parameters(batch, split);
      }
      break;
    }
    case row_split::write: {
      norm.restore_parameters(batch, split);
      const size_t n = b.col_last - b.col_first;
      const auto f = norm.outputs(batch, 0, b.col_first);
      parameters.write(batch.y[0] + b.col_first, n, [&](auto check) SIMDNORM_LAMBDA {
        transform<L>(batch.y[0] + b.col_first, n, [&](auto load) SIMDNORM_LAMBDA { return check(f(load)); });
      });
      break;
    }
  }
}

// Whether the offsets of `width` rows fit what load_column works with.
template <class L>
SIMDNORM_INLINE bool rows_fit(ptrdiff_t stride) {
  constexpr ptrdiff_t most = ptrdiff_t{1} << 26;
  return stride < most && stride > -most;
}

// Whether rows are of whole groups of 32 elements, and outputs aligned to registers, past the caches to lines.
template <class L, stores S, class Y>
SIMDNORM_INLINE bool are_exact(const row_norm_arguments& a) {
  constexpr ptrdiff_t aligned = aligned_elements<L, S, Y>;
  return a.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS &&  // other padding leaves rows out
         a.cols % virtual_lanes == 0 && reinterpret_cast<uintptr_t>(a.y) % (aligned * sizeof(Y)) == 0 &&
         (a.walk == nullptr ? a.y_stride % aligned == 0 : a.walk->aligned);
}

// Whether there are loops for a norm without parameters: of whole rows on their lines and of rows in the caches.
template <class L>
SIMDNORM_INLINE bool has_bare_loops(const row_norm_arguments& a) {
  if constexpr (L::width > 1) {
    if (a.padding.kind == SIMDNORM_PADDING_ROW_LENGTHS || (!L::masks && a.cols <= tiny_columns)) return false;
    if constexpr (L::streams) return !a.stream || a.x == a.y || are_exact<L, stores::streamed, float>(a);
  }
  return true;
}

template <class L, affine A, stores S, class Norm>
SIMDNORM_INLINE void write_rows(const Norm& norm, const row_norm_arguments& a, const block& b) {
  constexpr bool floats = sizeof(typename Norm::batch::x_type) == sizeof(float);
  constexpr bool bare = floats && Norm::shifted && A == affine::none;  // has_bare_loops
  if constexpr (L::width > 1 && floats && (L::masks || !bare)) {
    if (a.cols <= tiny_columns && a.padding.kind == SIMDNORM_PADDING_NONE && a.walk == nullptr &&
        b.row_last - b.row_first >= L::width && rows_fit<L>(a.x_stride) && rows_fit<L>(a.y_stride)) {
      write_tiny_rows<L, A>(norm, a, b);
      return;
    }
  }
  if (a.rows_together == 0) return write_long_rows<L, A, S>(norm, a, b);
  if constexpr (!floats && L::width > 1 && !L::fused_halves) {  // no loop of two rows: all are the same
    return write_short_rows<L, A, stores::cached, rows::exact>(norm, a, b);
  }
  if constexpr (L::width > 1) {  // on scalar all three are the same
    if (are_exact<L, S, typename Norm::batch::y_type>(a)) return write_short_rows<L, A, S, rows::exact>(norm, a, b);
    // Of two-byte elements only where parts of a register are loaded and stored under a mask.
    if constexpr (S == stores::cached && (floats || L::masks)) {
      const bool whole = a.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS;
      if (whole && (L::masks || a.cols >= L::width)) {
        return write_short_rows<L, A, stores::cached, rows::even>(norm, a, b);
      }
    }
  }
  if constexpr (L::width == 1 || !bare) write_short_rows<L, A, S, rows::ragged>(norm, a, b);
}

// The same from memory and back to where they lie: by loops that store through the caches and fetch the rows to come,
// where there are such: 0.4 to 0.9 of the time of stores past them. Where nothing is fetched, norms of one parameter
// take 0.7 to 0.9 of it, layer norm up to 1.4 (Zen 3) and 0.6 (Xeon with AVX-512).
template <class L, affine A, class Norm>
SIMDNORM_INLINE void write_rows_in_place(const Norm& norm, const row_norm_arguments& a, const block& b) {
  constexpr bool floats = sizeof(typename Norm::batch::x_type) == sizeof(float);
  constexpr bool loops = floats || (L::fused_halves && L::masks);  // those of rows::even
  constexpr bool fetches = loops && (A == affine::both || A == affine::gamma || (floats && Norm::shifted));
  if constexpr (fetches) {
    if (a.rows_together > 0 && a.cols >= virtual_lanes) {
      return write_short_rows<L, A, stores::fetched, rows::even>(norm, a, b);
    }
  }
  constexpr bool past = Norm::shifted && A != affine::none;
  if (a.rows_together == 0 || past) return write_rows<L, A, stores::streamed>(norm, a, b);
  write_rows<L, A, stores::cached>(norm, a, b);
}

// Normalizes the rows of a block.
template <class L, affine A, class Norm>
SIMDNORM_INLINE void for_rows(const Norm& norm, const row_norm_arguments& a, const block& b) {
  if constexpr (sizeof(typename Norm::batch::x_type) == sizeof(float)) {  // a row of halves stays on one thread
    if (a.split != nullptr) return split_row<L, A>(norm, a, b);
  }
  if constexpr (L::width > 1) {  // on scalar a row alone is a batch like others: 36 KB of code less
    if (b.row_last - b.row_first == 1) {
      if constexpr (sizeof(typename Norm::batch::x_type) == sizeof(float)) {
        const bool plain =
            a.padding.kind == SIMDNORM_PADDING_NONE && a.walk == nullptr && a.mean == nullptr && a.rstd == nullptr;
        if (plain && write_plain_row<L>(norm, a, b)) return;
      }
      write_one_row<L, A>(norm, a, b);
      if constexpr (L::streams) {
        if (a.stream) L::fence();  // zeros behind a row that is shorter
      }
      return;
    }
  }
  if constexpr (L::streams) {
    if (a.stream) {
      // Behind the lengths of rows lie lines that nobody has read.
      if (a.x == a.y && a.padding.kind != SIMDNORM_PADDING_ROW_LENGTHS) {
        write_rows_in_place<L, A>(norm, a, b);
      } else {
        write_rows<L, A, stores::streamed>(norm, a, b);
      }
      L::fence();
      return;
    }
  }
  write_rows<L, A, stores::cached>(norm, a, b);
}

}  // namespace
}  // namespace simdnorm::SIMDNORM_ISA

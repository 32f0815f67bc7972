// SPDX-License-Identifier: Apache-2.0
//
// Questions asked of a checked simdnorm_padding. Everything here has internal linkage: runtime/ and
// the kernels each compile their own copy.
#pragma once

#include "table.hpp"

namespace simdnorm {
namespace {

// Entry i of lengths or offsets.
[[maybe_unused]] inline int64_t length_at(const simdnorm_padding& padding, size_t i) {
  return padding.index_type == SIMDNORM_I64 ? static_cast<const int64_t*>(padding.data)[i]
                                            : static_cast<const int32_t*>(padding.data)[i];
}

// Whether elements are marked one by one: what follows asks about rows, and all of them count.
[[maybe_unused]] inline bool masks_elements(const simdnorm_padding& padding) {
  return padding.kind == SIMDNORM_PADDING_ELEMENT_MASK || padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
}

[[maybe_unused]] inline bool bit_at(const void* bits, size_t i) {
  return (static_cast<const uint8_t*>(bits)[i / 8] >> (i % 8) & 1) != 0;
}

// An element mask of `cols` columns, from (row, col) on; col is a multiple of 8. Null: no element mask.
[[maybe_unused]] inline const uint8_t* element_marks(const simdnorm_padding& padding, size_t cols, size_t row,
                                                     size_t col) {
  const auto* all = static_cast<const uint8_t*>(padding.data);
  if (padding.kind == SIMDNORM_PADDING_ELEMENT_MASK) return all + row * cols + col;
  if (padding.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS) return all + row * ((cols + 7) / 8) + col / 8;
  return nullptr;
}

// Bit k: whether byte k of p is not zero, for k < count <= 32.
[[maybe_unused]] inline uint32_t word_of_bytes(const uint8_t* p, size_t count) {
  uint64_t word = 0;
  size_t k = 0;
  for (; k + 8 <= count; k += 8) {
    uint64_t eight;
    __builtin_memcpy(&eight, p + k, sizeof eight);
    // The highest bit of each byte that is not zero; then these eight side by side.
    const uint64_t high = (((eight & 0x7f7f7f7f7f7f7f7f) + 0x7f7f7f7f7f7f7f7f) | eight) & 0x8080808080808080;
    word |= ((high >> 7) * 0x0102040810204080 >> 56) << k;
  }
  for (; k < count; ++k) word |= static_cast<uint64_t>(p[k] != 0) << k;
  return static_cast<uint32_t>(word);
}

// Bits first to first + count of p, count <= 32; not a byte that holds none of them is read.
[[maybe_unused]] inline uint32_t word_of_bits(const uint8_t* p, size_t first, size_t count) {
  p += first / 8;
  const size_t bytes = (first % 8 + count + 7) / 8;
  uint64_t word = 0;
  if (bytes >= 4) {
    uint32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    word = four;
    if (bytes == 5) word |= static_cast<uint64_t>(p[4]) << 32;
  } else {
    for (size_t k = 0; k < bytes; ++k) word |= static_cast<uint64_t>(p[k]) << (8 * k);
  }
  return static_cast<uint32_t>((word >> (first % 8)) & ((uint64_t{1} << count) - 1));
}

// How many bits are set; without popcnt the builtin is a call.
[[maybe_unused]] inline size_t ones(uint32_t v) {
  v = v - (v >> 1 & 0x55555555);
  v = (v & 0x33333333) + (v >> 2 & 0x33333333);
  return ((v + (v >> 4)) & 0x0f0f0f0f) * 0x01010101 >> 24;
}
// How many of the first n bits are set.
[[maybe_unused]] inline size_t count_bits(const uint8_t* p, size_t n) {
  size_t real = 0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    uint32_t word;
    __builtin_memcpy(&word, p + i / 8, sizeof word);
    real += ones(word);
  }
  for (; i < n; i += 8) real += ones(n - i < 8 ? p[i / 8] & ((1u << (n - i)) - 1u) : p[i / 8]);
  return real;
}

// Half-open range of rows.
struct row_run {
  size_t first, last;
};

// The rows that offsets mark, of the first `rows`.
[[maybe_unused]] inline row_run rows_of_offsets(const simdnorm_padding& padding) {
  return {static_cast<size_t>(length_at(padding, 0)), static_cast<size_t>(length_at(padding, padding.size - 1))};
}

// How many leading columns of this row are real.
[[maybe_unused]] inline size_t real_columns(const simdnorm_padding& padding, size_t row, size_t cols) {
  switch (padding.kind) {
    case SIMDNORM_PADDING_ROW_LENGTHS:
      return static_cast<size_t>(length_at(padding, row));
    case SIMDNORM_PADDING_ROW_MASK:
      return static_cast<const uint8_t*>(padding.data)[row] != 0 ? cols : 0;
    case SIMDNORM_PADDING_ROW_MASK_BITS:
      return bit_at(padding.data, row) ? cols : 0;
    case SIMDNORM_PADDING_OFFSETS: {
      const row_run real = rows_of_offsets(padding);
      return real.first <= row && row < real.last ? cols : 0;
    }
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS: {
      const size_t sequence = row / padding.tokens;
      return row - sequence * padding.tokens < static_cast<size_t>(length_at(padding, sequence)) ? cols : 0;
    }
    default:
      return cols;
  }
}

[[maybe_unused]] inline bool is_row_mask(const simdnorm_padding& padding) {
  return padding.kind == SIMDNORM_PADDING_ROW_MASK || padding.kind == SIMDNORM_PADDING_ROW_MASK_BITS;
}

// work(real) for a mask of rows, real(row) saying which are, and true; false for another kind. Rows that are masked
// here and there are better listed, without a branch, than found run by run: a run's end is a misprediction.
template <class Work>
inline bool with_row_mask(const simdnorm_padding& padding, Work work) {
  if (padding.kind == SIMDNORM_PADDING_ROW_MASK) {
    work([mask = static_cast<const uint8_t*>(padding.data)](size_t i) { return mask[i] != 0; });
    return true;
  }
  if (padding.kind == SIMDNORM_PADDING_ROW_MASK_BITS) {
    work([bits = padding.data](size_t i) { return bit_at(bits, i); });
    return true;
  }
  return false;
}

// Whether a mask of rows says of all of n rows that they are real. Often they are, and then nothing need be listed.
[[maybe_unused]] inline bool all_rows_real(const simdnorm_padding& padding, size_t first, size_t n) {
  const auto* mask = static_cast<const uint8_t*>(padding.data);
  if (padding.kind == SIMDNORM_PADDING_ROW_MASK) {
    constexpr uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t zeros = 0;  // a top bit for every byte of 0 (and perhaps for a byte of 1 above one)
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
      uint64_t bytes;
      __builtin_memcpy(&bytes, mask + first + i, 8);
      zeros |= (bytes - ones) & ~bytes & tops;
    }
    for (; i < n; ++i) zeros |= mask[first + i] == 0;
    return zeros == 0;
  }
  unsigned bits = 0xff;
  size_t i = 0;
  for (; i < n && (first + i) % 8 != 0; ++i) bits &= bit_at(mask, first + i) ? 0xff : 0;
  for (; i + 8 <= n; i += 8) bits &= mask[(first + i) / 8];
  for (; i < n; ++i) bits &= bit_at(mask, first + i) ? 0xff : 0;
  return bits == 0xff;
}

// The first run of rows that `real(row)` says are real, from `row` on and below `end`.
template <class Real>
inline row_run next_run_where(size_t row, size_t end, Real real) {
  while (row < end && !real(row)) ++row;
  size_t last = row;
  while (last < end && real(last)) ++last;
  return {row, last};
}

// The first run of real rows at or after `row` and below `end`; first == last == end where there is
// none. Not for row lengths: those mask columns.
[[maybe_unused]] inline row_run next_real_run(const simdnorm_padding& padding, size_t row, size_t end) {
  switch (padding.kind) {
    case SIMDNORM_PADDING_ROW_MASK:
      return next_run_where(row, end,
                            [mask = static_cast<const uint8_t*>(padding.data)](size_t i) { return mask[i] != 0; });
    case SIMDNORM_PADDING_ROW_MASK_BITS:
      return next_run_where(row, end, [bits = padding.data](size_t i) { return bit_at(bits, i); });
    case SIMDNORM_PADDING_OFFSETS: {
      const row_run real = rows_of_offsets(padding);
      const size_t first = row > real.first ? row : real.first;
      const size_t last = end < real.last ? end : real.last;
      return first < last ? row_run{first, last} : row_run{end, end};
    }
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS:
      while (row < end) {
        const size_t sequence = row / padding.tokens;
        const size_t start = sequence * padding.tokens;
        const size_t stop = start + static_cast<size_t>(length_at(padding, sequence));
        if (row < stop) return {row, stop < end ? stop : end};
        row = start + padding.tokens;
      }
      return {end, end};
    default:
      return {row, end};
  }
}

}  // namespace
}  // namespace simdnorm

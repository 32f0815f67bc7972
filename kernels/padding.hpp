// SPDX-License-Identifier: Apache-2.0
//
// Questions asked of a checked simdnorm_padding. Everything here has internal linkage: runtime/ and
// the kernels each compile their own copy.
#pragma once

#include "table.hpp"

namespace simdnorm {
namespace {

[[maybe_unused]] inline int64_t length_at(const simdnorm_padding& padding, size_t i) {
  return padding.index_type == SIMDNORM_I64 ? static_cast<const int64_t*>(padding.data)[i]
                                            : static_cast<const int32_t*>(padding.data)[i];
}

// How many leading columns of this row are real.
[[maybe_unused]] inline size_t real_columns(const simdnorm_padding& padding, size_t row, size_t cols) {
  switch (padding.kind) {
    case SIMDNORM_PADDING_ROW_LENGTHS:
      return static_cast<size_t>(length_at(padding, row));
    case SIMDNORM_PADDING_ROW_MASK:
      return static_cast<const uint8_t*>(padding.data)[row] != 0 ? cols : 0;
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS: {
      const size_t sequence = row / padding.tokens;
      return row - sequence * padding.tokens < static_cast<size_t>(length_at(padding, sequence)) ? cols : 0;
    }
    default:
      return cols;
  }
}

// Half-open range of rows.
struct row_run {
  size_t first, last;
};

// The first run of real rows at or after `row` and below `end`; first == last == end where there is
// none. Not for row lengths: those mask columns.
[[maybe_unused]] inline row_run next_real_run(const simdnorm_padding& padding, size_t row, size_t end) {
  switch (padding.kind) {
    case SIMDNORM_PADDING_ROW_MASK: {
      const auto* mask = static_cast<const uint8_t*>(padding.data);
      while (row < end && mask[row] == 0) ++row;
      size_t last = row;
      while (last < end && mask[last] != 0) ++last;
      return {row, last};
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

// SPDX-License-Identifier: Apache-2.0
#include "runtime/tensors.hpp"

namespace simdnorm {

namespace {

size_t magnitude(ptrdiff_t v) {
  return v < 0 ? 0 - static_cast<size_t>(v) : static_cast<size_t>(v);
}

// Whether dimensions [from, rank) are rows of one stride: `step` is theirs, 0 while no dimension has told.
bool merge(const size_t* sizes, const ptrdiff_t* strides, int32_t from, int32_t rank, ptrdiff_t& step, size_t& count) {
  for (int32_t i = rank - 1; i >= from; --i) {
    if (sizes[i] == 1) continue;
    if (count == 1) {
      step = strides[i];
    } else if (strides[i] != step * static_cast<ptrdiff_t>(count)) {
      return false;
    }
    count *= sizes[i];
  }
  return true;
}

}  // namespace

simdnorm_status check_tensor_parts(const void* data, const size_t* sizes, const ptrdiff_t* strides, int32_t rank,
                                   simdnorm_type type, types among, tensor_view& v) noexcept {
  const size_t element = element_size(type, among);
  if (element == 0) return SIMDNORM_UNSUPPORTED_TYPE;
  if (rank < 2 || rank > SIMDNORM_MOST_DIMENSIONS) return SIMDNORM_INVALID_SHAPE;
  v.data = data;
  v.type = type;
  v.element = element;
  v.batches = sizes[0];
  v.channels = sizes[1];
  v.size = 1;
  bool empty = false;
  for (int32_t i = 0; i < rank; ++i) empty |= sizes[i] == 0;
  if (empty) {
    for (int32_t i = 2; i < rank; ++i) v.size = sizes[i] == 0 ? 0 : v.size;
    return SIMDNORM_OK;
  }
  // Elements and reach, in elements, fit in memory.
  size_t elements = 1;
  size_t reach = 0;
  for (int32_t i = 0; i < rank; ++i) {
    size_t extent = 0;
    if (__builtin_mul_overflow(elements, sizes[i], &elements) ||
        __builtin_mul_overflow(sizes[i] - 1, magnitude(strides[i]), &extent) ||
        __builtin_add_overflow(reach, extent, &reach)) {
      return SIMDNORM_INVALID_SHAPE;
    }
  }
  if (elements > largest_size / element || reach >= largest_size / element) return SIMDNORM_INVALID_SHAPE;
  if (data == nullptr) return SIMDNORM_NULL_POINTER;
  const uintptr_t at = reinterpret_cast<uintptr_t>(data);
  if (at % element != 0) return SIMDNORM_MISALIGNED;
  size_t before = 0;
  for (int32_t i = 0; i < rank; ++i) before += strides[i] < 0 ? (sizes[i] - 1) * magnitude(strides[i]) : 0;
  before *= element;
  const size_t after = (reach + 1) * element - before;
  if (before > at || after > UINTPTR_MAX - at) return SIMDNORM_INVALID_SHAPE;
  v.low = at - before;
  v.high = at + after;

  v.batch = sizes[0] == 1 ? 0 : strides[0];
  v.channel = sizes[1] == 1 ? 0 : strides[1];
  ptrdiff_t step = 0;
  size_t positions = 1;
  const bool merges = merge(sizes, strides, 2, rank, step, positions);
  v.size = 1;
  for (int32_t i = 2; i < rank; ++i) v.size *= sizes[i];
  v.first = merges && (v.size == 1 || step == 1);
  v.last = merges && (v.channels == 1 || strides[1] == 1);
  v.row = step;
  if (v.size == 1) v.row = v.batch;  // of one position each: the batch's
  v.batch_merges = v.batches == 1 || v.size == 1 || v.batch == v.row * static_cast<ptrdiff_t>(v.size);
  return SIMDNORM_OK;
}

bool elements_meet(const tensor_view& v, const layout& l) noexcept {
  const size_t batch = magnitude(v.batch);
  if (l.last) {
    const size_t row = magnitude(v.row);
    const size_t sample = (l.size - 1) * row + l.channels;
    if (l.size > 1 && row < l.channels) return true;
    return l.batch > 1 && batch < sample;
  }
  const size_t channel = magnitude(v.channel);
  const auto nested = [&l](size_t inner, size_t inner_count, size_t outer, size_t outer_count) {
    if (inner_count > 1 && inner < l.size) return false;
    return outer_count < 2 || outer >= (inner_count - 1) * inner + l.size;
  };
  return !nested(channel, l.channels, batch, l.batch) && !nested(batch, l.batch, channel, l.channels);
}

void set_regions(tensor_view& v, const layout& l) noexcept {
  const auto bytes = static_cast<ptrdiff_t>(v.element);
  const uintptr_t at = reinterpret_cast<uintptr_t>(v.data);
  v.outer = 1;
  v.outer_bytes = 0;
  region& r = v.rows;
  r.first = at;
  if (l.last && v.batch_merges) {
    r.rows = l.batch * l.size;
    r.row_bytes = l.channels * v.element;
    r.stride_bytes = v.row * bytes;
  } else if (!l.last && v.channel == static_cast<ptrdiff_t>(l.size)) {
    r.rows = l.batch;
    r.row_bytes = l.channels * l.size * v.element;
    r.stride_bytes = v.batch * bytes;
  } else {
    r.rows = l.last ? l.size : l.channels;
    r.row_bytes = (l.last ? l.channels : l.size) * v.element;
    r.stride_bytes = (l.last ? v.row : v.channel) * bytes;
    v.outer = v.batch == 0 ? 1 : l.batch;
    v.outer_bytes = v.batch * bytes;
  }
  const size_t extent = (r.rows - 1) * magnitude(r.stride_bytes);
  r.low = r.stride_bytes < 0 ? r.first - extent : r.first;
  r.high = r.low + extent + r.row_bytes;
}

bool same_place(const tensor_view& a, const tensor_view& b, const layout& l) noexcept {
  return a.data == b.data && a.element == b.element && a.batch == b.batch &&
         (l.last ? l.size == 1 || a.row == b.row : a.channel == b.channel);
}

namespace {

region moved(const region& r, size_t part, ptrdiff_t bytes) {
  const auto by = static_cast<uintptr_t>(static_cast<ptrdiff_t>(part) * bytes);
  region m = r;
  m.low += by;
  m.high += by;
  m.first += by;
  return m;
}

}  // namespace

bool share_bytes(const tensor_view& a, const region& b) noexcept {
  if (b.high == 0 || a.high <= b.low || b.high <= a.low) return false;
  for (size_t i = 0; i < a.outer; ++i) {
    if (share_bytes(moved(a.rows, i, a.outer_bytes), b)) return true;
  }
  return false;
}

bool share_bytes(const tensor_view& a, const tensor_view& b) noexcept {
  if (a.high <= b.low || b.high <= a.low) return false;
  for (size_t i = 0; i < b.outer; ++i) {
    if (share_bytes(a, moved(b.rows, i, b.outer_bytes))) return true;
  }
  return false;
}

simdnorm_status check_channel_padding(const simdnorm_padding& p, const layout& l, channel_mask& mask,
                                      region& r) noexcept {
  r = {};
  mask = {};
  if (p.fill != SIMDNORM_FILL_ZERO && p.fill != SIMDNORM_FILL_KEEP) return SIMDNORM_INVALID_PADDING;
  if (p.kind == SIMDNORM_PADDING_NONE) return SIMDNORM_OK;
  mask.data = p.data;
  mask.index_type = p.index_type;
  const size_t positions = l.batch * l.size;
  switch (p.kind) {
    case SIMDNORM_PADDING_SEQUENCE_LENGTHS:
      if (p.size != l.batch || p.tokens != l.size) return SIMDNORM_INVALID_PADDING;
      mask.kind = channel_mask::lengths;
      mask.plane_step = 1;
      return check_mask(p, positions, l.channels, axis::column, r);
    case SIMDNORM_PADDING_ROW_MASK:
    case SIMDNORM_PADDING_ROW_MASK_BITS:
      mask.kind = p.kind == SIMDNORM_PADDING_ROW_MASK ? channel_mask::bytes : channel_mask::bits;
      mask.plane_step = l.size;
      return check_mask(p, positions, l.channels, axis::column, r);
    case SIMDNORM_PADDING_OFFSETS:
      if (!l.last || l.batch != 1) return SIMDNORM_INVALID_PADDING;
      return check_mask(p, positions, l.channels, axis::column, r);
    case SIMDNORM_PADDING_ELEMENT_MASK:
    case SIMDNORM_PADDING_ELEMENT_MASK_BITS: {
      if (l.last) return check_mask(p, positions, l.channels, axis::column, r);
      if (p.size != positions * l.channels) return SIMDNORM_INVALID_PADDING;
      const bool bits = p.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS;
      const size_t row_bytes = bits ? l.size / 8 + (l.size % 8 != 0) : l.size;
      mask.kind = bits ? channel_mask::bits : channel_mask::bytes;
      mask.set_step = bits ? 8 * row_bytes : l.size;
      mask.plane_step = mask.set_step * l.channels;
      if (p.size == 0) return SIMDNORM_OK;
      if (p.data == nullptr) return SIMDNORM_NULL_POINTER;
      return check_array(static_cast<const uint8_t*>(p.data), row_bytes * l.batch * l.channels, r);
    }
    default:
      return SIMDNORM_INVALID_PADDING;
  }
}

}  // namespace simdnorm

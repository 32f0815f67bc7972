// SPDX-License-Identifier: Apache-2.0
//
// A column state as bytes that another machine can go on from. Version 1, all numbers little-endian:
//
//    0  "simdncol"
//    8  u32 version, u32 type (simdnorm_type)
//   16  u64 bytes in all
//   24  u64 FNV-1a over all bytes but these eight
//   32  u64 columns, u64 rows in full blocks of the open span, u64 rows in the total
//   56  u32 rows in the open block, u32 masked (0 or 1)
//   64  of the total, an entry a column each: f64 mean, M2, [values, weight,] f32 min, max
//       of the open span, where it has rows: f64 sum, squares, [values, weight,] f32 shift
//       of the open block: f32 rows; [f32 weights; rows of mark bits]
//
// What is in brackets is there if `masked`.
#include <string.h>

#include "runtime/checks.hpp"
#include "runtime/column_fold.hpp"
#include "runtime/column_state.hpp"

using namespace simdnorm;

namespace {

constexpr char magic[9] = "simdncol";
constexpr uint32_t version = 1;
constexpr size_t header_bytes = 64;
constexpr size_t checksum_at = 24;

// What counts out the arrays.
struct shape {
  uint64_t cols, span_count, total_count;
  uint32_t open_rows, masked;
};

// Bytes of a state of this shape, whose columns are known to be a possible number.
size_t bytes_of(const shape& s) {
  const size_t cols = static_cast<size_t>(s.cols);
  const size_t counts = s.masked ? 2 : 0;
  size_t bytes = header_bytes + cols * ((2 + counts) * sizeof(double) + 2 * sizeof(float));
  if (s.span_count > 0) bytes += cols * ((2 + counts) * sizeof(double) + sizeof(float));
  bytes += s.open_rows * cols * sizeof(float);
  if (s.masked) bytes += s.open_rows * (sizeof(float) + mark_bytes(cols));
  return bytes;
}

uint64_t checksum(const uint8_t* bytes, size_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; ++i) {
    if (i == checksum_at) i += sizeof(uint64_t);
    if (i < count) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  }
  return hash;
}

// Moves numbers to bytes and back, one after the other.
struct writer {
  uint8_t* at;
  template <class T>
  void put(T v) {
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);  // both byte orders that targets have are little-endian
    for (size_t i = 0; i < sizeof v; ++i) *at++ = static_cast<uint8_t>(bits >> (8 * i));
  }
  template <class T>
  void array(const T* v, size_t count) {
    for (size_t i = 0; i < count; ++i) put(v[i]);
  }
};
struct reader {
  const uint8_t* at;
  template <class T>
  T get() {
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof(T); ++i) bits |= static_cast<uint64_t>(*at++) << (8 * i);
    T v;
    memcpy(&v, &bits, sizeof v);
    return v;
  }
  template <class T>
  void array(T* v, size_t count) {
    for (size_t i = 0; i < count; ++i) v[i] = get<T>();
  }
};
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

shape shape_of(const simdnorm_column_state* state) {
  return {state->cols, state->span_count, state->total_count, static_cast<uint32_t>(state->open_rows),
          static_cast<uint32_t>(state->masked)};
}

// The arrays in their order.
template <class Stream, class Arrays>
void move_arrays(Stream& stream, const shape& s, const Arrays& a) {
  const size_t cols = static_cast<size_t>(s.cols);
  stream.array(a.total_mean, cols);
  stream.array(a.total_m2, cols);
  if (s.masked) stream.array(a.total_values, cols);
  if (s.masked) stream.array(a.total_weight, cols);
  stream.array(a.min, cols);
  stream.array(a.max, cols);
  if (s.span_count > 0) {
    stream.array(a.span_sum, cols);
    stream.array(a.span_squares, cols);
    if (s.masked) stream.array(a.span_values, cols);
    if (s.masked) stream.array(a.span_weight, cols);
    stream.array(a.span_shift, cols);
  }
  stream.array(a.open, s.open_rows * cols);
  if (s.masked) stream.array(a.open_weights, s.open_rows);
  if (s.masked) stream.array(a.open_marks, s.open_rows * mark_bytes(cols));
}

// Whether a number of rows and blocks is one that a state can have. Rows of more than 2^53 are no doubles.
bool is_possible(const shape& s) {
  constexpr uint64_t most_rows = uint64_t{1} << 53;
  return s.span_count < rows_per_span && s.span_count % rows_per_block == 0 && s.open_rows < rows_per_block &&
         s.total_count <= most_rows && s.masked <= 1 &&
         simdnorm_column_state_size(static_cast<size_t>(s.cols), SIMDNORM_F32) != 0;
}

// Whether each column has a whole number of values, not more than there are rows, and a weight just where it has
// values.
bool are_counts(const double* values, const double* weight, size_t cols, uint64_t rows) {
  int bad = 0;
  for (size_t c = 0; c < cols; ++c) {
    const double v = values[c];
    bad |= !((v >= 0.0) & (v <= static_cast<double>(rows)));
    bad |= !((weight[c] >= 0.0) & (weight[c] <= 0x1p192));  // 2^53 rows of FLT_MAX: below 2^182
    bad |= (v > 0.0) != (weight[c] > 0.0);
  }
  if (bad) return false;
  for (size_t c = 0; c < cols; ++c) bad |= static_cast<double>(static_cast<uint64_t>(values[c])) != values[c];
  return bad == 0;
}

bool are_weights(const float* weights, size_t count) {
  int bad = 0;
  for (size_t i = 0; i < count; ++i) bad |= !((weights[i] >= 0.0f) & (weights[i] <= 3.402823466e+38f));
  return bad == 0;
}

// The header of a state that is whole: its size, checksum and fields are right.
bool read_shape(const uint8_t* in, size_t bytes, shape& s) {
  if (bytes < header_bytes || memcmp(in, magic, 8) != 0) return false;
  reader r{in + 8};
  if (r.get<uint32_t>() != version || r.get<uint32_t>() != SIMDNORM_F32) return false;
  const uint64_t all = r.get<uint64_t>();
  const uint64_t sum = r.get<uint64_t>();
  s.cols = r.get<uint64_t>();
  s.span_count = r.get<uint64_t>();
  s.total_count = r.get<uint64_t>();
  s.open_rows = r.get<uint32_t>();
  s.masked = r.get<uint32_t>();
  return is_possible(s) && all == bytes_of(s) && all == bytes && sum == checksum(in, bytes);
}

}  // namespace

extern "C" {

size_t simdnorm_column_state_serialized_size(const simdnorm_column_state* state) {
  return state != nullptr && is_state(state) ? bytes_of(shape_of(state)) : 0;
}

simdnorm_status simdnorm_column_state_serialize(const simdnorm_column_state* state, void* out, size_t bytes) {
  if (state == nullptr || out == nullptr) return SIMDNORM_NULL_POINTER;
  if (!is_state(state)) return SIMDNORM_INVALID_STATE;
  const shape s = shape_of(state);
  const size_t size = bytes_of(s);
  if (bytes < size) return SIMDNORM_INVALID_SHAPE;
  if (share_bytes(contiguous(out, size), contiguous(state, static_cast<size_t>(state->bytes)))) return SIMDNORM_OVERLAP;
  auto* first = static_cast<uint8_t*>(out);
  memcpy(first, magic, 8);
  writer w{first + 8};
  w.put(version);
  w.put(uint32_t{SIMDNORM_F32});
  w.put(static_cast<uint64_t>(size));
  w.put(uint64_t{0});
  w.put(s.cols);
  w.put(s.span_count);
  w.put(s.total_count);
  w.put(s.open_rows);
  w.put(s.masked);
  move_arrays(w, s, arrays_of(state));
  writer{first + checksum_at}.put(checksum(first, size));
  return SIMDNORM_OK;
}

size_t simdnorm_column_state_serialized_cols(const void* in, size_t in_bytes) {
  shape s;
  return in != nullptr && read_shape(static_cast<const uint8_t*>(in), in_bytes, s) ? static_cast<size_t>(s.cols) : 0;
}

simdnorm_status simdnorm_column_state_deserialize(const void* in, size_t in_bytes, void* memory, size_t bytes,
                                                  simdnorm_column_state** out) {
  if (in == nullptr || memory == nullptr || out == nullptr) return SIMDNORM_NULL_POINTER;
  const auto* first = static_cast<const uint8_t*>(in);
  shape s;
  if (!read_shape(first, in_bytes, s)) return SIMDNORM_INVALID_STATE;
  const size_t cols = static_cast<size_t>(s.cols);
  const size_t size = simdnorm_column_state_size(cols, SIMDNORM_F32);
  if (bytes < size) return SIMDNORM_INVALID_SHAPE;
  if (reinterpret_cast<uintptr_t>(memory) % state_alignment != 0) return SIMDNORM_MISALIGNED;
  if (share_bytes(contiguous(memory, size), contiguous(in, in_bytes))) return SIMDNORM_OVERLAP;
  simdnorm_column_state* state = nullptr;
  if (const simdnorm_status status = simdnorm_column_state_init(memory, bytes, cols, SIMDNORM_F32, &state))
    return status;
  const state_arrays a = arrays_of(state);
  reader r{first + header_bytes};
  move_arrays(r, s, a);
  state->span_count = s.span_count;
  state->total_count = s.total_count;
  state->open_rows = s.open_rows;
  state->masked = s.masked;
  const bool sound = s.masked == 0 || (are_counts(a.total_values, a.total_weight, cols, s.total_count) &&
                                       are_counts(a.span_values, a.span_weight, cols, s.span_count) &&
                                       are_weights(a.open_weights, s.open_rows));
  if (!sound) {
    state->magic = 0;
    return SIMDNORM_INVALID_STATE;
  }
  *out = state;
  return SIMDNORM_OK;
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
//
// Element types, status, views, padding and executors of the C++ front. Everything converts to the
// C structs of simdnorm.h and costs nothing at run time.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ranges>
#include <span>
#include <string_view>
#include <type_traits>

#include "simdnorm/simdnorm.h"

namespace simdnorm {

/// The statuses of simdnorm.h; `if (status s = layer_norm(...); s != status::ok) ...`.
enum class status : simdnorm_status {
  ok = SIMDNORM_OK,
  null_pointer = SIMDNORM_NULL_POINTER,
  invalid_shape = SIMDNORM_INVALID_SHAPE,
  invalid_stride = SIMDNORM_INVALID_STRIDE,
  overlap = SIMDNORM_OVERLAP,
  invalid_epsilon = SIMDNORM_INVALID_EPSILON,
  invalid_momentum = SIMDNORM_INVALID_MOMENTUM,
  invalid_range = SIMDNORM_INVALID_RANGE,
  invalid_padding = SIMDNORM_INVALID_PADDING,
  invalid_length = SIMDNORM_INVALID_LENGTH,
  unsupported_type = SIMDNORM_UNSUPPORTED_TYPE,
  invalid_struct = SIMDNORM_INVALID_STRUCT,
  invalid_state = SIMDNORM_INVALID_STATE,
  invalid_executor = SIMDNORM_INVALID_EXECUTOR,
  executor_failed = SIMDNORM_EXECUTOR_FAILED,
  unknown_isa = SIMDNORM_UNKNOWN_ISA,
  isa_unavailable = SIMDNORM_ISA_UNAVAILABLE,
  misaligned = SIMDNORM_MISALIGNED,
  invalid_activation = SIMDNORM_INVALID_ACTIVATION,
  invalid_weight = SIMDNORM_INVALID_WEIGHT,
  invalid_option = SIMDNORM_INVALID_OPTION,
};

/// A short English sentence.
[[nodiscard]] inline std::string_view to_string(status s) noexcept {
  return simdnorm_status_string(static_cast<simdnorm_status>(s));
}

/// What a norm can end with; each says which it has.
enum class activation_function : simdnorm_activation {
  none = SIMDNORM_ACTIVATION_NONE,
  relu = SIMDNORM_ACTIVATION_RELU,
  gelu = SIMDNORM_ACTIVATION_GELU,
  gelu_tanh = SIMDNORM_ACTIVATION_GELU_TANH,
  silu = SIMDNORM_ACTIVATION_SILU,
};

/// Elements of two bytes, as memory has them; what converts them is the caller's own or the library's.
struct bf16 {
  std::uint16_t bits;  ///< the upper half of a float
};
struct f16 {
  std::uint16_t bits;  ///< IEEE 754 binary16
};
/// Elements of one byte, of quantized outputs alone.
struct f8_e4m3 {
  std::uint8_t bits;  ///< OCP 8-bit floating point E4M3
};
struct f8_e5m2 {
  std::uint8_t bits;  ///< and E5M2
};

namespace detail {

template <class T>
inline constexpr simdnorm_type type_number = 0;
template <>
inline constexpr simdnorm_type type_number<float> = SIMDNORM_F32;
template <>
inline constexpr simdnorm_type type_number<double> = SIMDNORM_F64;
template <>
inline constexpr simdnorm_type type_number<f16> = SIMDNORM_F16;
template <>
inline constexpr simdnorm_type type_number<bf16> = SIMDNORM_BF16;
template <>
inline constexpr simdnorm_type type_number<std::int8_t> = SIMDNORM_I8;
template <>
inline constexpr simdnorm_type type_number<std::uint8_t> = SIMDNORM_U8;
template <>
inline constexpr simdnorm_type type_number<f8_e4m3> = SIMDNORM_F8_E4M3;
template <>
inline constexpr simdnorm_type type_number<f8_e5m2> = SIMDNORM_F8_E5M2;

}  // namespace detail

template <class T>
inline constexpr simdnorm_type type_of = detail::type_number<std::remove_const_t<T>>;

/// The element types that have kernels; each function says which it takes.
template <class T>
concept element = type_of<T>
!= 0;
/// float, double, bf16 or f16.
template <class T>
concept input_element = (type_of<T> >= SIMDNORM_F32 && type_of<T> <= SIMDNORM_BF16);

/// rows x cols elements; element (i, j) is at data + i * row_stride + j.
template <element T>
struct matrix_view {
  T* data = nullptr;
  std::size_t rows = 0, cols = 0;
  std::ptrdiff_t row_stride = 0;

  constexpr matrix_view() noexcept = default;
  /// Contiguous rows.
  constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count) noexcept
      : matrix_view(first, row_count, col_count, static_cast<std::ptrdiff_t>(col_count)) {}
  /// Rows that start `stride` elements apart.
  constexpr matrix_view(T* first, std::size_t row_count, std::size_t col_count, std::ptrdiff_t stride) noexcept
      : data(first), rows(row_count), cols(col_count), row_stride(stride) {}

  /// A writable view is also a readable one.
  constexpr operator matrix_view<const T>() const noexcept requires(!std::is_const_v<T>) {
    return {data, rows, cols, row_stride};
  }
};

/// 2 to 5 dimensions; element (i0, i1, ...) is at data + i0 * strides[0] + i1 * strides[1] + ...
template <element T>
struct tensor_view {
  T* data = nullptr;
  std::array<std::size_t, SIMDNORM_MOST_DIMENSIONS> sizes{};
  std::array<std::ptrdiff_t, SIMDNORM_MOST_DIMENSIONS> strides{};
  std::int32_t rank = 0;

  constexpr tensor_view() noexcept = default;
  /// Contiguous, the last dimension fastest. More than 5 sizes: rank 0, which every call refuses.
  constexpr tensor_view(T* first, std::initializer_list<std::size_t> shape) noexcept : data(first) {
    if (shape.size() > sizes.size()) return;
    rank = static_cast<std::int32_t>(shape.size());
    std::size_t step = 1;
    for (std::size_t i = shape.size(); i-- > 0; step *= sizes[i]) {
      sizes[i] = shape.begin()[i];
      strides[i] = static_cast<std::ptrdiff_t>(step);
    }
  }
  /// With given strides, in elements.
  constexpr tensor_view(T* first, std::initializer_list<std::size_t> shape,
                        std::initializer_list<std::ptrdiff_t> steps) noexcept
      : data(first) {
    if (shape.size() > sizes.size() || shape.size() != steps.size()) return;
    rank = static_cast<std::int32_t>(shape.size());
    for (std::size_t i = 0; i < shape.size(); ++i) {
      sizes[i] = shape.begin()[i];
      strides[i] = steps.begin()[i];
    }
  }
  /// [batch, channels, spatial...] in that order, of which channels lie next to each other in memory
  /// (NHWC; PyTorch's channels_last).
  static constexpr tensor_view channels_last(T* first, std::initializer_list<std::size_t> shape) noexcept {
    tensor_view v(first, shape);
    if (v.rank < 2) return v;
    std::size_t step = v.sizes[1];
    v.strides[1] = 1;
    for (std::size_t i = static_cast<std::size_t>(v.rank); i-- > 2; step *= v.sizes[i]) {
      v.strides[i] = static_cast<std::ptrdiff_t>(step);
    }
    v.strides[0] = static_cast<std::ptrdiff_t>(step);
    return v;
  }

  /// A writable view is also a readable one.
  constexpr operator tensor_view<const T>() const noexcept requires(!std::is_const_v<T>) {
    tensor_view<const T> v;
    v.data = data;
    v.sizes = sizes;
    v.strides = strides;
    v.rank = rank;
    return v;
  }
};

namespace detail {

template <class C>
inline constexpr bool is_input = std::is_const_v<std::remove_pointer_t<decltype(C::data)>>;
// Elements that an input or output of this C struct may have. Which go together the call says, by a status.
template <class T, class C>
concept viewed_by = (is_input<C> ? input_element<T> : element<T> && !std::is_const_v<T>);
template <class Range, class C>
concept viewed_range = std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> &&
    viewed_by<std::remove_reference_t<std::ranges::range_reference_t<Range>>, C> &&
    (is_input<C> || std::ranges::borrowed_range<Range>);

template <class C>
class matrix_argument {
 public:
  constexpr matrix_argument() noexcept = default;
  /// Of no elements; of floats.
  constexpr matrix_argument(std::nullptr_t, std::size_t rows, std::size_t cols) noexcept
      : matrix_argument(matrix_view<float>(nullptr, rows, cols)) {}
  template <viewed_by<C> T>
  constexpr matrix_argument(const matrix_view<T>& m) noexcept : c_{m.data, m.rows, m.cols, m.row_stride, type_of<T>} {}
  template <viewed_by<C> T>
  constexpr matrix_argument(T* first, std::size_t rows, std::size_t cols) noexcept
      : matrix_argument(matrix_view<T>(first, rows, cols)) {}
  template <viewed_by<C> T>
  constexpr matrix_argument(T* first, std::size_t rows, std::size_t cols, std::ptrdiff_t stride) noexcept
      : matrix_argument(matrix_view<T>(first, rows, cols, stride)) {}
  [[nodiscard]] constexpr const C& c() const noexcept { return c_; }

 private:
  C c_{nullptr, 0, 0, 0, SIMDNORM_F32};
};

template <class C>
class tensor_argument {
 public:
  template <viewed_by<C> T>
  constexpr tensor_argument(const tensor_view<T>& t) noexcept : c_{t.data, {}, {}, t.rank, type_of<T>} {
    for (std::size_t i = 0; i < t.sizes.size(); ++i) {
      c_.sizes[i] = t.sizes[i];
      c_.strides[i] = t.strides[i];
    }
  }
  template <viewed_by<C> T>
  constexpr tensor_argument(T* first, std::initializer_list<std::size_t> shape) noexcept
      : tensor_argument(tensor_view<T>(first, shape)) {}
  template <viewed_by<C> T>
  constexpr tensor_argument(T* first, std::initializer_list<std::size_t> shape,
                            std::initializer_list<std::ptrdiff_t> steps) noexcept
      : tensor_argument(tensor_view<T>(first, shape, steps)) {}
  [[nodiscard]] constexpr const C& c() const noexcept { return c_; }

 private:
  C c_;
};

template <class C>
class vector_argument {
 public:
  constexpr vector_argument() noexcept = default;
  template <viewed_by<C> T>
  constexpr vector_argument(T* first, std::size_t size) noexcept : c_{first, size, type_of<T>} {}
  template <viewed_range<C> Range>
  constexpr vector_argument(Range&& range) noexcept
      : vector_argument(std::ranges::data(range), std::ranges::size(range)) {}
  [[nodiscard]] constexpr const C& c() const noexcept { return c_; }

 private:
  C c_{nullptr, 0, 0};  // of zeros: with another type gcc clears options with rep stos, 4 to 5 ns a call
};

}  // namespace detail

/// A matrix of float, double, bf16 or f16 that a function reads, or one that it writes, which may also be of bytes:
/// made of a view, or as one is.
using input_matrix = detail::matrix_argument<simdnorm_const_matrix>;
using output_matrix = detail::matrix_argument<simdnorm_matrix>;
/// The same of tensors.
using input_tensor = detail::tensor_argument<simdnorm_const_tensor>;
using output_tensor = detail::tensor_argument<simdnorm_tensor>;
/// A vector of parameters: gamma, beta, a weight or a bias, of float, double, bf16 or f16; empty: none. Made of
/// anything contiguous; nothing is copied.
using parameter_view = detail::vector_argument<simdnorm_const_vector>;
/// Statistics that a function writes, float or, beside an x of double, double; empty: not wanted. Made of anything
/// contiguous that stays.
using statistics_view = detail::vector_argument<simdnorm_vector>;

namespace detail {

// An argument as simdnorm.h takes it.
template <class C>
const C* c_argument(const matrix_argument<C>& m) noexcept {
  return &m.c();
}
template <class C>
const C* c_argument(const tensor_argument<C>& t) noexcept {
  return &t.c();
}
template <class C>
C c_argument(const vector_argument<C>& v) noexcept {
  return v.c();
}
template <class T>
T* c_argument(std::span<T> v) noexcept {
  return v.data();
}
inline std::size_t c_argument(std::size_t n) noexcept {
  return n;
}
template <class Options>
const Options* c_argument(const Options& options) noexcept {
  return &options;
}

template <class... Parameters, class... Arguments>
status call(simdnorm_status (*function)(Parameters...), const Arguments&... arguments) noexcept {
  return static_cast<status>(function(c_argument(arguments)...));
}

}  // namespace detail

/// What happens to outputs at padded places.
enum class fill : simdnorm_padding_fill { zero = SIMDNORM_FILL_ZERO, keep = SIMDNORM_FILL_KEEP };

/// Which elements are real; the default is all of them. A padded element is never read.
struct padding {
  simdnorm_padding c{};

  /// The first lengths[i] columns of row i are real (row norms).
  template <class Index>
  requires std::same_as<Index, std::int32_t> || std::same_as<Index, std::int64_t>
  [[nodiscard]] static padding row_lengths(std::span<const Index> lengths, fill f = fill::zero) noexcept {
    return {make(SIMDNORM_PADDING_ROW_LENGTHS, lengths.data(), lengths.size(), 0, index_type<Index>, f)};
  }
  /// Non-zero marks a real row.
  [[nodiscard]] static padding row_mask(std::span<const std::uint8_t> mask, fill f = fill::zero) noexcept {
    return {make(SIMDNORM_PADDING_ROW_MASK, mask.data(), mask.size(), 0, SIMDNORM_I32, f)};
  }
  /// A [batch, tokens, features] tensor: the first lengths[b] tokens of sequence b are real.
  template <class Index>
  requires std::same_as<Index, std::int32_t> || std::same_as<Index, std::int64_t>
  [[nodiscard]] static padding sequence_lengths(std::span<const Index> lengths, std::size_t tokens,
                                                fill f = fill::zero) noexcept {
    return {make(SIMDNORM_PADDING_SEQUENCE_LENGTHS, lengths.data(), lengths.size(), tokens, index_type<Index>, f)};
  }
  /// Bit i % 8 of byte i / 8 marks row i; `rows` of them.
  [[nodiscard]] static padding row_mask_bits(std::span<const std::uint8_t> bits, std::size_t rows,
                                             fill f = fill::zero) noexcept {
    const bool enough = bits.size() >= rows / 8 + (rows % 8 != 0);
    return {make(SIMDNORM_PADDING_ROW_MASK_BITS, bits.data(), enough ? rows : 0, 0, SIMDNORM_I32, f)};
  }
  /// Sequences packed back to back (cu_seqlens): rows offsets[b] to offsets[b + 1] are sequence b.
  template <class Index>
  requires std::same_as<Index, std::int32_t> || std::same_as<Index, std::int64_t>
  [[nodiscard]] static padding offsets(std::span<const Index> all, fill f = fill::zero) noexcept {
    return {make(SIMDNORM_PADDING_OFFSETS, all.data(), all.size(), 0, index_type<Index>, f)};
  }
  /// rows x cols bytes, row after row; non-zero marks a real element.
  [[nodiscard]] static padding element_mask(std::span<const std::uint8_t> mask, fill f = fill::zero) noexcept {
    return {make(SIMDNORM_PADDING_ELEMENT_MASK, mask.data(), mask.size(), 0, SIMDNORM_I32, f)};
  }
  /// The same as bits; every row begins with a byte of its own.
  [[nodiscard]] static padding element_mask_bits(std::span<const std::uint8_t> bits, std::size_t rows, std::size_t cols,
                                                 fill f = fill::zero) noexcept {
    const std::size_t row_bytes = cols / 8 + (cols % 8 != 0);
    const bool enough = row_bytes == 0 || bits.size() / row_bytes >= rows;
    return {make(SIMDNORM_PADDING_ELEMENT_MASK_BITS, bits.data(), enough ? rows * cols : 0, 0, SIMDNORM_I32, f)};
  }

 private:
  template <class Index>
  static constexpr simdnorm_index_type index_type = sizeof(Index) == 8 ? SIMDNORM_I64 : SIMDNORM_I32;

  static simdnorm_padding make(simdnorm_padding_kind kind, const void* data, std::size_t size, std::size_t tokens,
                               simdnorm_index_type index, fill f) noexcept {
    return {data, size, tokens, kind, index, static_cast<simdnorm_padding_fill>(f)};
  }
};

/// Null: the calling thread does all the work. See simdnorm_executor for what run() promises, and
/// threads.hpp for one that is ready to use.
using executor = simdnorm_executor;

}  // namespace simdnorm

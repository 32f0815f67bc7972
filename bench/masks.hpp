// SPDX-License-Identifier: Apache-2.0
//
// Which elements are real, in every form that the library takes, and as bytes for baselines and oracles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "simdnorm/simdnorm.hpp"

namespace bench {

// Rows are those of a matrix, or positions of a tensor.
enum class mask_form { lengths, sequence_lengths, offsets, row_mask, row_mask_bits, element_mask, element_mask_bits };

class mask {
 public:
  // Sequences of `tokens` rows, of which the first lengths[b] are real. Of offsets as many rows, packed.
  [[nodiscard]] static mask of_sequences(mask_form form, std::vector<std::int32_t> lengths, std::size_t tokens,
                                         std::size_t cols) {
    mask m(form, lengths.size() * tokens, cols);
    m.tokens_ = tokens;
    m.bytes_.assign(m.rows_, 0);
    std::size_t next = 0;
    std::vector<std::int32_t> offsets{0};
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      const auto n = static_cast<std::size_t>(lengths[b]);
      if (form != mask_form::offsets) next = b * tokens;
      for (std::size_t i = 0; i < n; ++i) m.bytes_[next++] = 1;
      offsets.push_back(static_cast<std::int32_t>(next));
    }
    m.numbers_ = form == mask_form::offsets ? std::move(offsets) : std::move(lengths);
    m.finish(cols);
    return m;
  }
  // Rows that are real or not, by any pattern.
  [[nodiscard]] static mask of_rows(mask_form form, std::vector<std::uint8_t> real, std::size_t cols) {
    mask m(form, real.size(), cols);
    m.bytes_ = std::move(real);
    m.finish(cols);
    return m;
  }
  // The first lengths[i] elements of row i.
  [[nodiscard]] static mask of_prefixes(std::vector<std::int32_t> lengths, std::size_t cols) {
    mask m(mask_form::lengths, lengths.size(), cols);
    m.bytes_.assign(m.rows_ * cols, 0);
    for (std::size_t i = 0; i < m.rows_; ++i) {
      for (std::size_t j = 0; j < static_cast<std::size_t>(lengths[i]); ++j) m.bytes_[i * cols + j] = 1;
    }
    m.numbers_ = std::move(lengths);
    m.finish(1);
    return m;
  }
  // Bytes of elements; bits of them begin anew in each row.
  [[nodiscard]] static mask of_elements(mask_form form, std::vector<std::uint8_t> real, std::size_t rows,
                                        std::size_t cols) {
    mask m(form, rows, cols);
    m.bytes_ = std::move(real);
    m.finish(1);
    return m;
  }

  [[nodiscard]] const char* name() const {
    constexpr const char* names[] = {"lengths",       "sequence_lengths", "offsets",          "row_mask",
                                     "row_mask_bits", "element_mask",     "element_mask_bits"};
    return names[static_cast<int>(form_)];
  }
  [[nodiscard]] mask_form form() const { return form_; }
  [[nodiscard]] bool of_whole_rows() const {
    return form_ != mask_form::lengths && form_ != mask_form::element_mask && form_ != mask_form::element_mask_bits;
  }
  [[nodiscard]] bool of_element_mask() const { return !of_whole_rows() && form_ != mask_form::lengths; }
  // Of prefixes and elements all are.
  [[nodiscard]] std::size_t real_rows() const { return of_whole_rows() ? real_elements_ / cols_ : rows_; }
  [[nodiscard]] std::size_t real_elements() const { return real_elements_; }
  // A byte a row, or an element.
  [[nodiscard]] const std::uint8_t* bytes() const { return bytes_.data(); }
  [[nodiscard]] bool real(std::size_t i, std::size_t j) const {
    return bytes_[of_whole_rows() ? i : i * cols_ + j] != 0;
  }
  [[nodiscard]] std::span<const std::int32_t> numbers() const { return numbers_; }
  // What the mask itself takes to read, where that is not next to nothing.
  [[nodiscard]] double mask_bytes() const {
    const auto elements = static_cast<double>(rows_ * cols_);
    return form_ == mask_form::element_mask ? elements : form_ == mask_form::element_mask_bits ? elements / 8 : 0;
  }

  [[nodiscard]] simdnorm::padding padding() const {
    using simdnorm::padding;
    switch (form_) {
      case mask_form::lengths:
        return padding::row_lengths(numbers());
      case mask_form::sequence_lengths:
        return padding::sequence_lengths(numbers(), tokens_);
      case mask_form::offsets:
        return padding::offsets(numbers());
      case mask_form::row_mask:
        return padding::row_mask(bytes_);
      case mask_form::row_mask_bits:
        return padding::row_mask_bits(bits_, rows_);
      case mask_form::element_mask:
        return padding::element_mask(bytes_);
      case mask_form::element_mask_bits:
        return padding::element_mask_bits(bits_, rows_, cols_);
    }
    return {};
  }

 private:
  mask_form form_;
  std::size_t rows_, cols_, tokens_ = 0, real_elements_ = 0;
  std::vector<std::int32_t> numbers_;  // lengths or offsets
  std::vector<std::uint8_t> bytes_, bits_;

  mask(mask_form form, std::size_t rows, std::size_t cols) : form_(form), rows_(rows), cols_(cols) {}

  // each: what a byte stands for, in elements.
  void finish(std::size_t each) {
    real_elements_ = 0;
    for (const std::uint8_t b : bytes_) real_elements_ += b ? each : 0;
    if (form_ != mask_form::row_mask_bits && form_ != mask_form::element_mask_bits) return;
    const std::size_t line = form_ == mask_form::row_mask_bits ? rows_ : cols_, line_bytes = (line + 7) / 8;
    bits_.assign(bytes_.size() / line * line_bytes, 0);
    for (std::size_t k = 0; k < bytes_.size(); ++k) {
      std::uint8_t& to = bits_[k / line * line_bytes + k % line / 8];
      to = static_cast<std::uint8_t>(to | (bytes_[k] ? 1u << k % line % 8 : 0));
    }
  }
};

}  // namespace bench

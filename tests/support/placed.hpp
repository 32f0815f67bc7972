// SPDX-License-Identifier: Apache-2.0
//
// What a call takes, copied into an arena.
#pragma once

#include <array>
#include <cstring>
#include <vector>

#include "support/half.hpp"
#include "support/operations.hpp"

namespace simdnorm::test {

// Values of all halves: the definition takes 50 ns for each.
inline float value_of(const half_format& f, std::uint16_t half) {
  static const auto tables = [] {
    std::vector<float> all[2];
    for (std::size_t k = 0; k < 2; ++k)
      for (std::uint32_t h = 0; h < 65536; ++h)
        all[k].push_back(static_cast<float>(half_formats[k].value(static_cast<std::uint16_t>(h))));
    return std::array{all[0], all[1]};
  }();
  return tables[f.type == SIMDNORM_BF16 ? 0 : 1][half];
}

// Elements of one type in the arena, read and written as floats; all unwritten at first.
class typed_array {
 public:
  typed_array(arena& memory, std::size_t n, simdnorm_type type, bool widened = false)
      : type_(widened ? SIMDNORM_F32 : type) {
    for (const half_format& f : half_formats)
      if (f.type == type) format_ = &f;
    if (type_ == SIMDNORM_F32) {
      floats_ = memory.take<float>(n);
      for (std::size_t i = 0; i < n; ++i) floats_[i] = float_of(unwritten);
    } else {
      halves_ = memory.take<std::uint16_t>(n);
      for (std::size_t i = 0; i < n; ++i) halves_[i] = unwritten_half;
    }
  }
  void put(std::size_t i, float v) {
    if (halves_) {
      halves_[i] = bits_of(v) == unwritten ? unwritten_half : format_->rounded(static_cast<double>(v));
    } else {
      floats_[i] = rounded(v);
    }
  }
  [[nodiscard]] float get(std::size_t i) const {
    if (!halves_) return rounded(floats_[i]);
    const std::uint16_t h = halves_[i];
    if (h == unwritten_half) return float_of(unwritten);
    if ((h & 0x7fffu) <= format_->infinity()) return value_of(*format_, h);
    return float_of(h == format_->nan() ? 0x7fc00000u : 0x7f800000u | h);
  }
  // Elements that follow each other.
  void put(std::size_t first, const float* from, std::size_t n) {
    if (format_ == nullptr) {
      if (n > 0) std::memcpy(floats_ + first, from, n * sizeof(float));
    } else {
      for (std::size_t i = 0; i < n; ++i) put(first + i, from[i]);
    }
  }
  void get(std::size_t first, float* to, std::size_t n) const {
    if (format_ == nullptr) {
      if (n > 0) std::memcpy(to, floats_ + first, n * sizeof(float));
    } else {
      for (std::size_t i = 0; i < n; ++i) to[i] = get(first + i);
    }
  }
  // Elements at start + places[0], start + places[1] and so on.
  void put(std::ptrdiff_t start, const std::vector<std::ptrdiff_t>& places, const float* from) {
    for (const std::ptrdiff_t at : places) {
      if (format_ == nullptr) {
        floats_[start + at] = *from++;
      } else {
        put(static_cast<std::size_t>(start + at), *from++);
      }
    }
  }
  void get(std::ptrdiff_t start, const std::vector<std::ptrdiff_t>& places, float* to) const {
    for (const std::ptrdiff_t at : places) {
      *to++ = format_ == nullptr ? floats_[start + at] : get(static_cast<std::size_t>(start + at));
    }
  }
  [[nodiscard]] simdnorm_type type() const { return type_; }
  [[nodiscard]] void* at(std::ptrdiff_t i) const {
    return halves_ ? static_cast<void*>(halves_ + i) : static_cast<void*>(floats_ + i);
  }

 private:
  simdnorm_type type_;
  const half_format* format_ = nullptr;  // null: of floats
  float* floats_ = nullptr;
  std::uint16_t* halves_ = nullptr;

  [[nodiscard]] float rounded(float v) const {
    if (format_ == nullptr || bits_of(v) == unwritten) return v;
    return v != v ? float_of(0x7fc00000) : value_of(*format_, format_->rounded(static_cast<double>(v)));
  }
};

// The arrays of one call, copied into the arena.
struct placed {
  arena& memory;

  simdnorm_const_vector in(const std::vector<float>& v) {
    float* p = memory.take<float>(v.size());
    if (!v.empty()) std::memcpy(p, v.data(), v.size() * sizeof(float));
    return {p, v.size(), SIMDNORM_F32};
  }
  // Parameters of a call of these types.
  simdnorm_const_vector in(const std::vector<float>& v, const element_types& types) {
    typed_array a(memory, v.size(), types.parameters, types.widened);
    a.put(0, v.data(), v.size());
    return {a.at(0), v.size(), a.type()};
  }
  simdnorm_vector out(std::size_t n) {
    float* p = memory.take<float>(n);
    for (std::size_t i = 0; i < n; ++i) p[i] = float_of(unwritten);
    return {p, n, SIMDNORM_F32};
  }
  simdnorm_vector in_out(const std::vector<float>& v) {
    const simdnorm_const_vector c = in(v);
    return {const_cast<void*>(c.data), c.size, c.type};
  }
  const double* in(const std::vector<double>& v) {
    double* p = memory.take<double>(v.size());
    if (!v.empty()) std::memcpy(p, v.data(), v.size() * sizeof(double));
    return p;
  }
  // Doubles, or the floats that they are.
  simdnorm_const_vector in(const std::vector<double>& v, bool floats) {
    return floats ? in(std::vector<float>(v.begin(), v.end())) : simdnorm_const_vector{in(v), v.size(), SIMDNORM_F64};
  }
  double* out_f64(std::size_t n) {
    double* p = memory.take<double>(n);
    for (std::size_t i = 0; i < n; ++i) p[i] = -123456789.0;
    return p;
  }
  simdnorm_padding in(const mask& m) {
    simdnorm_padding c{};
    c.kind = m.kind;
    c.fill = m.fill;
    c.index_type = m.index_type;
    c.tokens = m.tokens;
    const auto bytes = [this](const std::vector<std::uint8_t>& from) {
      auto* p = memory.take<std::uint8_t>(from.size());
      if (!from.empty()) std::memcpy(p, from.data(), from.size());
      return p;
    };
    // Bits that stand for no element are set: they must not count.
    const auto bits = [&bytes](const std::vector<std::uint8_t>& from, std::size_t cols) {
      const std::size_t row_bytes = (cols + 7) / 8;
      std::vector<std::uint8_t> all(cols == 0 ? 0 : from.size() / cols * row_bytes, 0xff);
      for (std::size_t k = 0; k < from.size(); ++k) {
        if (from[k] == 0) all[k / cols * row_bytes + k % cols / 8] &= static_cast<std::uint8_t>(~(1u << k % cols % 8));
      }
      return bytes(all);
    };
    if (m.kind == SIMDNORM_PADDING_ROW_MASK || m.kind == SIMDNORM_PADDING_ROW_MASK_BITS) {
      c.data = m.kind == SIMDNORM_PADDING_ROW_MASK ? bytes(m.rows) : bits(m.rows, m.rows.size());
      c.size = m.rows.size();
    } else if (m.kind == SIMDNORM_PADDING_ELEMENT_MASK || m.kind == SIMDNORM_PADDING_ELEMENT_MASK_BITS) {
      c.data = m.kind == SIMDNORM_PADDING_ELEMENT_MASK ? bytes(m.elements) : bits(m.elements, m.cols);
      c.size = m.elements.size();
    } else if (m.kind != SIMDNORM_PADDING_NONE) {
      c.size = m.lengths.size();
      if (m.index_type == SIMDNORM_I32) {
        auto* p = memory.take<std::int32_t>(c.size);
        for (std::size_t i = 0; i < c.size; ++i) p[i] = static_cast<std::int32_t>(m.lengths[i]);
        c.data = p;
      } else {
        auto* p = memory.take<std::int64_t>(c.size);
        for (std::size_t i = 0; i < c.size; ++i) p[i] = m.lengths[i];
        c.data = p;
      }
    }
    return c;
  }
};

inline void append(std::vector<float>& to, const simdnorm_vector& v) {
  const auto* p = static_cast<const float*>(v.data);
  to.insert(to.end(), p, p + v.size);
}

}  // namespace simdnorm::test

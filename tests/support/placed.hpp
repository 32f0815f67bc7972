// SPDX-License-Identifier: Apache-2.0
//
// What a call takes, copied into an arena.
#pragma once

#include <cstring>
#include <vector>

#include "support/operations.hpp"

namespace simdnorm::test {

// The arrays of one call, copied into the arena.
struct placed {
  arena& memory;

  simdnorm_const_vector in(const std::vector<float>& v) {
    float* p = memory.take<float>(v.size());
    if (!v.empty()) std::memcpy(p, v.data(), v.size() * sizeof(float));
    return {p, v.size(), SIMDNORM_F32};
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

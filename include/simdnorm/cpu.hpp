// SPDX-License-Identifier: Apache-2.0
//
// Which instruction sets there are, which one runs, and how to choose.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "simdnorm/types.hpp"

namespace simdnorm {

enum class isa : simdnorm_isa {
  scalar = SIMDNORM_SCALAR,
  avx2 = SIMDNORM_AVX2,      ///< AVX2, FMA and F16C
  avx512 = SIMDNORM_AVX512,  ///< F, CD, DQ, BW and VL
  neon = SIMDNORM_NEON,
};

[[nodiscard]] inline std::string_view to_string(isa i) noexcept {
  const char* name = simdnorm_isa_name(static_cast<simdnorm_isa>(i));
  return name ? std::string_view(name) : std::string_view();
}

/// All of them, with what is known of each on this machine; worst first.
[[nodiscard]] inline std::array<simdnorm_isa_state, SIMDNORM_ISA_COUNT> isa_list() noexcept {
  std::array<simdnorm_isa_state, SIMDNORM_ISA_COUNT> states{};
  simdnorm_isa_list(states.data());
  return states;
}

/// The one that calls use now; status::unknown_isa if SIMDNORM_MAX_ISA is not a name.
[[nodiscard]] inline status active_isa(isa& out) noexcept {
  simdnorm_isa c = SIMDNORM_SCALAR;
  const auto s = static_cast<status>(simdnorm_isa_active(&c));
  if (s == status::ok) out = static_cast<isa>(c);
  return s;
}

[[nodiscard]] inline std::string_view isa_reason() noexcept {
  return simdnorm_isa_reason();
}
[[nodiscard]] inline status limit_isa(isa i) noexcept {
  return static_cast<status>(simdnorm_isa_limit(static_cast<simdnorm_isa>(i)));
}
[[nodiscard]] inline status force_isa(isa i) noexcept {
  return static_cast<status>(simdnorm_isa_force(static_cast<simdnorm_isa>(i)));
}
inline void reset_isa() noexcept {
  simdnorm_isa_reset();
}

/// Outputs of at least this many bytes are written past the caches, but where they replace their input (cpu.h,
/// "caches").
[[nodiscard]] inline std::size_t stream_border() noexcept {
  return simdnorm_stream_border();
}
/// No bit of a result depends on it. SIZE_MAX: never; 0: back to what the cache sizes say.
inline void set_stream_border(std::size_t bytes) noexcept {
  simdnorm_stream_border_set(bytes);
}

}  // namespace simdnorm

// SPDX-License-Identifier: Apache-2.0
//
// Row norms whose operands are each f32, bf16 or f16, and whose outputs may be bytes: the bits that the same call
// gives for the floats that they are, each output then rounded here, by definition. Calls are drawn at random, every
// kind of padding, place and option among them; a seed names one.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "support/arena.hpp"
#include "support/data.hpp"
#include "support/executors.hpp"
#include "support/half.hpp"
#include "support/isa_fixture.hpp"
#include "support/oracle.hpp"

namespace simdnorm::test {
namespace {

class mixed_types_test : public isa_fixture {
 protected:
  void TearDown() override {
    simdnorm_stream_border_set(0);
    isa_fixture::TearDown();
  }
};
SIMDNORM_FOR_EACH_ISA(mixed_types_test);

std::size_t bytes_of(simdnorm_type type) {
  if (type == SIMDNORM_F32) return 4;
  return type >= SIMDNORM_I8 ? 1 : 2;
}
const half_format& format_of(simdnorm_type type) {
  return half_formats[type == SIMDNORM_BF16 ? 0 : 1];
}

float rounded(float v, simdnorm_type type) {
  if (type == SIMDNORM_F32) return v;
  const half_format& f = format_of(type);
  return static_cast<float>(f.value(f.rounded(static_cast<double>(v))));
}
// The element that v, which is of that type, is; of bytes, v is an integer.
std::uint32_t element_of(float v, simdnorm_type type) {
  if (type == SIMDNORM_F32) return v != v ? canonical_nan : bits_of(v);
  if (bytes_of(type) == 1) return static_cast<std::uint8_t>(static_cast<int>(v));
  return format_of(type).rounded(static_cast<double>(v));
}

// A NaN that is none to be stored: negative, with a payload.
std::uint32_t strange_nan(simdnorm_type type) {
  return type == SIMDNORM_F32 ? 0xffc54321 : type == SIMDNORM_BF16 ? 0xffd5 : 0xfe55;
}

// rows x cols elements in memory, `pitch` apart.
struct operand {
  simdnorm_type type = SIMDNORM_F32;
  std::size_t rows = 0, cols = 0, pitch = 0;
  char* data = nullptr;

  operand() = default;
  operand(arena& memory, simdnorm_type t, std::size_t r, std::size_t c, std::size_t more)
      : type(t), rows(r), cols(c), pitch(c + more) {
    data = memory.take<char>(((r - 1) * pitch + c) * bytes_of(t), bytes_of(t));
  }
  operand(arena& memory, simdnorm_type t, std::size_t r, std::size_t c, std::size_t more, const std::vector<float>& v)
      : operand(memory, t, r, c, more) {
    for (std::size_t i = 0; i < r; ++i)
      for (std::size_t j = 0; j < c; ++j) {
        const float element = v[i * c + j];
        set(i, j, element != element ? strange_nan(t) : element_of(element, t));
      }
  }
  void set(std::size_t i, std::size_t j, std::uint32_t element) {
    std::memcpy(data + (i * pitch + j) * bytes_of(type), &element, bytes_of(type));
  }
  [[nodiscard]] std::uint32_t get(std::size_t i, std::size_t j) const {
    std::uint32_t element = 0;
    std::memcpy(&element, data + (i * pitch + j) * bytes_of(type), bytes_of(type));
    return element;
  }
  [[nodiscard]] simdnorm_const_matrix in() const {
    return {data, rows, cols, static_cast<std::ptrdiff_t>(pitch), type};
  }
  [[nodiscard]] simdnorm_matrix out() const { return {data, rows, cols, static_cast<std::ptrdiff_t>(pitch), type}; }
  [[nodiscard]] simdnorm_const_vector vector() const {
    return data ? simdnorm_const_vector{data, cols, type} : simdnorm_const_vector{};
  }
};

// Which elements are real, and the padding that says so.
struct random_padding {
  simdnorm_padding c{};
  std::vector<std::uint8_t> bytes;
  std::vector<std::int32_t> lengths;
  std::vector<bool> real;

  random_padding(generator& g, std::size_t rows, std::size_t cols, simdnorm_padding_kind kind) : real(rows * cols) {
    c.kind = kind;
    c.size = rows;
    const auto mark = [&](auto counts) {
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < cols; ++j) real[i * cols + j] = counts(i, j);
    };
    const auto half = [&] { return g.between(0, 3) > 0; };
    switch (kind) {
      case SIMDNORM_PADDING_ROW_LENGTHS:
        for (std::size_t i = 0; i < rows; ++i) lengths.push_back(static_cast<std::int32_t>(g.between(0, cols)));
        mark([&](std::size_t i, std::size_t j) { return j < static_cast<std::size_t>(lengths[i]); });
        break;
      case SIMDNORM_PADDING_ROW_MASK:
        for (std::size_t i = 0; i < rows; ++i) bytes.push_back(half() ? 7 : 0);
        mark([&](std::size_t i, std::size_t) { return bytes[i] != 0; });
        break;
      case SIMDNORM_PADDING_ROW_MASK_BITS:
        bytes.assign((rows + 7) / 8, 0);
        for (std::size_t i = 0; i < rows; ++i)
          if (half()) bytes[i / 8] = static_cast<std::uint8_t>(bytes[i / 8] | 1u << i % 8);
        mark([&](std::size_t i, std::size_t) { return (bytes[i / 8] >> i % 8 & 1) != 0; });
        break;
      case SIMDNORM_PADDING_SEQUENCE_LENGTHS:
        c.tokens = rows % 3 == 0 ? 3 : 1;
        c.size = rows / c.tokens;
        for (std::size_t i = 0; i < c.size; ++i) lengths.push_back(static_cast<std::int32_t>(g.between(0, c.tokens)));
        mark(
            [&](std::size_t i, std::size_t) { return i % c.tokens < static_cast<std::size_t>(lengths[i / c.tokens]); });
        break;
      case SIMDNORM_PADDING_OFFSETS:
        lengths = {static_cast<std::int32_t>(rows / 4), static_cast<std::int32_t>(rows / 2),
                   static_cast<std::int32_t>(rows - rows / 8)};
        c.size = 3;
        mark([&](std::size_t i, std::size_t) { return i >= rows / 4 && i < rows - rows / 8; });
        break;
      case SIMDNORM_PADDING_ELEMENT_MASK:
        c.size = rows * cols;
        for (std::size_t k = 0; k < rows * cols; ++k) bytes.push_back(half() && k / cols % 7 != 5);
        mark([&](std::size_t i, std::size_t j) { return bytes[i * cols + j] != 0; });
        break;
      case SIMDNORM_PADDING_ELEMENT_MASK_BITS:
        c.size = rows * cols;
        bytes.assign(rows * ((cols + 7) / 8), 0);
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t j = 0; j < cols; ++j)
            if (half() && i % 7 != 5) bytes[i * ((cols + 7) / 8) + j / 8] |= static_cast<std::uint8_t>(1u << j % 8);
        mark([&](std::size_t i, std::size_t j) { return (bytes[i * ((cols + 7) / 8) + j / 8] >> j % 8 & 1) != 0; });
        break;
      default:
        c.size = 0;
        mark([](std::size_t, std::size_t) { return true; });
    }
    c.data = lengths.empty() ? static_cast<const void*>(bytes.data()) : lengths.data();
    if (kind == SIMDNORM_PADDING_NONE) c.data = nullptr;
    c.fill = g.between(0, 1) ? SIMDNORM_FILL_KEEP : SIMDNORM_FILL_ZERO;
  }
};

enum class norm { layer, rms, l2, add_layer, add_rms, gated };
constexpr simdnorm_type inputs[] = {SIMDNORM_F32, SIMDNORM_BF16, SIMDNORM_F16};

// What a call is given beside its memory.
struct options {
  norm n;
  double epsilon = 1e-5;
  simdnorm_padding padding{};
  simdnorm_activation activation = 0;
  simdnorm_rounding rounding = 0;
  bool unit_offset = false;
  const simdnorm_quantization* quantization = nullptr;
  const simdnorm_executor* executor = nullptr;
};
struct memory_of_call {
  operand x, y, residual, bias, sum, gate, gamma, beta;
  simdnorm_vector mean{}, rstd{};
};

simdnorm_status run(const options& o, const memory_of_call& m) {
  const simdnorm_const_matrix x = m.x.in(), residual = m.residual.in(), gate = m.gate.in();
  const simdnorm_matrix y = m.y.out(), sum = m.sum.out();
  const simdnorm_matrix* to = m.sum.data ? &sum : nullptr;
  if (o.n == norm::layer || o.n == norm::add_layer) {
    simdnorm_layer_norm_options c = simdnorm_layer_norm_defaults();
    c.epsilon = o.epsilon;
    c.gamma = m.gamma.vector();
    c.beta = m.beta.vector();
    c.mean = m.mean;
    c.rstd = m.rstd;
    c.padding = o.padding;
    c.executor = o.executor;
    c.activation = o.activation;
    c.quantization = o.quantization;
    return o.n == norm::layer ? simdnorm_layer_norm(&x, &y, &c)
                              : simdnorm_add_layer_norm(&x, &residual, m.bias.vector(), to, &y, &c);
  }
  if (o.n == norm::l2) {
    simdnorm_l2_norm_options c = simdnorm_l2_norm_defaults();
    c.norm = m.rstd;
    c.padding = o.padding;
    c.executor = o.executor;
    return simdnorm_l2_norm(&x, &y, &c);
  }
  simdnorm_rms_norm_options c = simdnorm_rms_norm_defaults();
  c.epsilon = o.epsilon;
  c.weight = m.gamma.vector();
  c.rstd = m.rstd;
  c.padding = o.padding;
  c.executor = o.executor;
  c.activation = o.activation;
  c.rounding = o.rounding;
  c.add_unit_offset = o.unit_offset;
  c.quantization = o.quantization;
  if (o.n == norm::rms) return simdnorm_rms_norm(&x, &y, &c);
  if (o.n == norm::gated) return simdnorm_gated_rms_norm(&x, &gate, &y, &c);
  return simdnorm_add_rms_norm(&x, &residual, m.bias.vector(), to, &y, &c);
}

// 8-bit floats by their definition: of all numbers, in the order of their codes, the one nearest to v.
bool is_f8(simdnorm_type type) {
  return type == SIMDNORM_F8_E4M3 || type == SIMDNORM_F8_E5M2;
}
double f8_value(unsigned code, simdnorm_type type) {
  const int bits = type == SIMDNORM_F8_E4M3 ? 3 : 2, bias = type == SIMDNORM_F8_E4M3 ? 7 : 15;
  const int exponent = static_cast<int>(code >> bits);
  const unsigned mantissa = code & ((1u << bits) - 1u);
  const double below = std::ldexp(static_cast<double>(mantissa), -bits);
  return exponent == 0 ? std::ldexp(below, 1 - bias) : std::ldexp(1 + below, exponent - bias);
}
std::vector<float> f8_numbers(simdnorm_type type) {
  std::vector<float> all;
  for (unsigned code = 0; code <= (type == SIMDNORM_F8_E4M3 ? 0x7eu : 0x7bu); ++code)
    all.push_back(static_cast<float>(f8_value(code, type)));
  return all;
}
float f8_code(float v, simdnorm_type type) {
  if (v != v) return type == SIMDNORM_F8_E4M3 ? 0x7f : 0x7e;
  static const std::vector<float> e4m3 = f8_numbers(SIMDNORM_F8_E4M3), e5m2 = f8_numbers(SIMDNORM_F8_E5M2);
  const std::vector<float>& all = type == SIMDNORM_F8_E4M3 ? e4m3 : e5m2;
  const double size = std::fabs(static_cast<double>(v));
  const auto above = std::lower_bound(all.begin(), all.end(), size, [](float a, double b) { return a < b; });
  auto code = static_cast<std::size_t>(above - all.begin());
  if (code == all.size()) {
    --code;
  } else if (code > 0) {
    const double up = all[code] - size, down = size - all[code - 1];
    if (down < up || (down == up && code % 2 == 1)) --code;
  }
  return static_cast<float>(code + (std::signbit(v) ? 0x80 : 0));
}

float quantized(float v, float scale, std::int32_t zero_point, simdnorm_type type) {
  if (is_f8(type)) return f8_code(v / scale, type);
  const float least = type == SIMDNORM_I8 ? -128 : 0;
  const float most = type == SIMDNORM_I8 ? 127 : 255;
  const float q = v / scale;
  if (q != q) return static_cast<float>(zero_point);
  return static_cast<float>(std::clamp(std::nearbyint(static_cast<double>(q)) + zero_point, static_cast<double>(least),
                                       static_cast<double>(most)));
}

struct shape {
  std::size_t rows, cols;
};

// Which types a call's operands have: any; outputs of one byte; one type of halves but for the weight, which may be
// f32, without bias, activation and element mask: what kernels/row/half_rows.hpp takes, where it is RMS norm.
enum class operands { any, bytes, halves };

// Draws a call, makes it, and says what is wrong with it.
std::string difference(std::uint64_t seed, norm n, operands of, shape s, arena& memory) {
  const bool bytes = of == operands::bytes, halves = of == operands::halves;
  generator g(seed);
  const auto [rows, cols] = s;
  const auto one_of = [&](std::size_t count) { return static_cast<std::size_t>(g.between(0, count - 1)); };
  const simdnorm_type half = one_of(2) == 0 ? SIMDNORM_BF16 : SIMDNORM_F16;
  const auto any_type = [&] { return halves ? half : inputs[one_of(3)]; };
  const auto values = [&](std::size_t count, simdnorm_type type, double mean, double size = 1) {
    std::vector<float> v;
    for (std::size_t k = 0; k < count; ++k) v.push_back(rounded(static_cast<float>(mean + size * g.normal()), type));
    return v;
  };
  options o{n};
  const bool added = n == norm::add_layer || n == norm::add_rms;
  const bool rms = n == norm::rms || n == norm::add_rms || n == norm::gated;
  const auto pitch = [&] { return one_of(3) == 0 ? one_of(4) : 0; };
  const simdnorm_type x_type = any_type();
  constexpr simdnorm_type byte_types[] = {SIMDNORM_I8, SIMDNORM_U8, SIMDNORM_F8_E4M3, SIMDNORM_F8_E5M2};
  const simdnorm_type y_type = bytes ? byte_types[one_of(4)] : any_type();
  const simdnorm_type residual_type = any_type(), bias_type = any_type(), gate_type = any_type(),
                      gamma_type = halves && one_of(2) == 0 ? SIMDNORM_F32 : any_type(), beta_type = any_type();

  std::vector<float> x = values(rows * cols, x_type, static_cast<double>(one_of(3)));
  const std::vector<float> residual = values(rows * cols, residual_type, 0.5);
  const std::vector<float> bias = values(cols, bias_type, 0), gate = values(rows * cols, gate_type, 0, 3);
  std::vector<float> gamma = values(cols, gamma_type, 1, 0.25);
  std::vector<float> beta = values(cols, beta_type, 0);
  if (halves) {  // zeros of both signs
    for (std::size_t k = 0; k < x.size(); k += 1 + one_of(9)) x[k] = one_of(2) == 0 ? 0.0f : -0.0f;
    for (std::size_t j = 0; j < cols; j += 1 + one_of(9)) gamma[j] = one_of(2) == 0 ? 0.0f : -gamma[j];
  }
  // Now and then parameters that are not finite.
  if (one_of(4) == 0) gamma[one_of(cols)] = std::numeric_limits<float>::infinity();
  if (one_of(4) == 0) gamma[one_of(cols)] = -std::numeric_limits<float>::quiet_NaN();
  if (one_of(4) == 0) beta[one_of(cols)] = -std::numeric_limits<float>::quiet_NaN();
  // A constant row, and ones with an outlier, an infinity and NaN.
  const bool hostile = one_of(2) == 0 && rows > 4;
  if (hostile) {
    for (std::size_t j = 0; j < cols; ++j) x[j] = rounded(3.25f, x_type);
    x[1 * cols] = rounded(6e4f, x_type);
    x[2 * cols + cols / 2] = std::numeric_limits<float>::infinity();
    x[3 * cols + cols - 1] = std::numeric_limits<float>::quiet_NaN();
  }
  const random_padding padding(g, rows, cols, static_cast<simdnorm_padding_kind>(one_of(halves ? 6 : 8)));
  for (std::size_t k = 0; k < x.size(); ++k)
    if (!padding.real[k]) x[k] = std::numeric_limits<float>::quiet_NaN();
  o.padding = padding.c;
  const bool has_gamma = one_of(3) > 0, has_beta = one_of(2) == 0, has_bias = added && !halves && one_of(2);
  o.activation = n != norm::l2 && !halves && one_of(3) == 0 ? static_cast<simdnorm_activation>(one_of(5)) : 0;
  o.unit_offset = rms && one_of(halves ? 2 : 4) == 0;
  const bool before = rms && x_type != SIMDNORM_F32 && n != norm::gated && one_of(3) == 0;
  if (before) o.activation = 0;

  // The floats.
  const simdnorm_type f32 = SIMDNORM_F32;
  std::vector<float> want_mean(rows, 7), want_rstd(rows, 7), got_mean(rows, 7), got_rstd(rows, 7), scales(rows, 7);
  memory_of_call want;
  want.x = operand(memory, f32, rows, cols, 0, x);
  want.y = operand(memory, f32, rows, cols, 0);
  if (added) want.residual = operand(memory, f32, rows, cols, 0, residual);
  if (has_bias) want.bias = operand(memory, f32, 1, cols, 0, bias);
  if (n == norm::gated) want.gate = operand(memory, f32, rows, cols, 0, gate);
  if (n != norm::l2 && has_gamma && !before) want.gamma = operand(memory, f32, 1, cols, 0, gamma);
  if (!rms && n != norm::l2 && has_beta) want.beta = operand(memory, f32, 1, cols, 0, beta);
  if (n == norm::layer || n == norm::add_layer) want.mean = {want_mean.data(), rows, f32};
  want.rstd = {want_rstd.data(), rows, f32};
  if (const simdnorm_status status = run(o, want)) return simdnorm_status_string(status);

  // What they come to.
  memory_of_call m = want;
  m.x = operand(memory, x_type, rows, cols, pitch(), x);
  if (added) m.residual = operand(memory, residual_type, rows, cols, pitch(), residual);
  if (has_bias) m.bias = operand(memory, bias_type, 1, cols, 0, bias);
  if (n == norm::gated) m.gate = operand(memory, gate_type, rows, cols, pitch(), gate);
  if (n != norm::l2 && has_gamma) m.gamma = operand(memory, gamma_type, 1, cols, 0, gamma);
  if (m.beta.data) m.beta = operand(memory, beta_type, 1, cols, 0, beta);
  if (m.mean.data) m.mean.data = got_mean.data();
  m.rstd.data = got_rstd.data();
  m.y = operand(memory, y_type, rows, cols, pitch());
  const auto in_place = [&](const operand& input) {
    return input.data && bytes_of(input.type) == bytes_of(y_type) && one_of(3) == 0;
  };
  std::string where;
  if (in_place(m.x)) {
    m.y = m.x;
    where = " y in x";
  } else if (in_place(m.residual)) {
    m.y = m.residual;
    where = " y in the residual";
  } else if (in_place(m.gate)) {
    m.y = m.gate;
    where = " y in the gate";
  }
  m.y.type = y_type;
  if (added && one_of(3) > 0) {
    m.sum = operand(memory, any_type(), rows, cols, pitch());
    if (m.y.data != m.residual.data && one_of(3) == 0) {
      m.sum = m.residual;
      where += " sum in the residual";
    } else if (m.y.data != m.x.data && one_of(3) == 0) {
      m.sum = m.x;
      where += " sum in x";
    }
  }
  const operand y_before = m.y, sum_before = m.sum;
  std::vector<std::uint32_t> kept_y, kept_sum;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < cols; ++j) {
      kept_y.push_back(y_before.get(i, j));
      if (m.sum.data) kept_sum.push_back(sum_before.get(i, j));
    }
  simdnorm_quantization q = simdnorm_quantization_defaults();
  q.zero_point =
      y_type == SIMDNORM_I8 ? static_cast<std::int32_t>(one_of(256)) - 128 : static_cast<std::int32_t>(one_of(256));
  if (is_f8(y_type)) q.zero_point = 0;
  const bool dynamic = one_of(2) == 0;
  q.scale = static_cast<float>(std::exp2(-1.0 - static_cast<double>(one_of(6))) * 1.37);
  if (dynamic) {
    q.scale = 0;
    q.zero_point = y_type == SIMDNORM_U8 ? 128 : 0;
    q.row_scale = {scales.data(), rows, f32};
  }
  if (bytes) o.quantization = &q;
  o.rounding = before ? SIMDNORM_ROUND_BEFORE_WEIGHT : SIMDNORM_ROUND_ONCE;
  shuffle_executor threads(3);
  if (one_of(3) == 0) o.executor = &threads.c;
  if (const simdnorm_status status = run(o, m)) return simdnorm_status_string(status) + where;

  std::string what = " (types " + std::to_string(x_type) + " to " + std::to_string(y_type) + ", padding " +
                     std::to_string(o.padding.kind) + ", fill " + std::to_string(o.padding.fill) + ", activation " +
                     std::to_string(o.activation) + ", before " + std::to_string(before) + ", dynamic " +
                     std::to_string(dynamic) + where + ")";
  for (std::size_t i = 0; i < rows; ++i) {
    if (m.mean.data && bits_of(got_mean[i]) != bits_of(want_mean[i])) return "mean of row " + std::to_string(i) + what;
    if (bits_of(got_rstd[i]) != bits_of(want_rstd[i])) return "rstd of row " + std::to_string(i) + what;
    std::vector<float> row(cols);
    float peak = 0, scale = q.scale;
    bool any = false, numbers = true;
    for (std::size_t j = 0; j < cols; ++j) {
      float v;
      const std::uint32_t bits = want.y.get(i, j);
      std::memcpy(&v, &bits, 4);
      if (before) {
        v = rounded(v, x_type);
        if (has_gamma) v = o.unit_offset ? std::fma(v, gamma[j], v) : v * gamma[j];
      }
      row[j] = v;
      if (!padding.real[i * cols + j]) continue;
      any = true;
      numbers = numbers && v == v;
      peak = std::max(peak, std::fabs(v));
    }
    if (bytes && dynamic) {
      scale = !any       ? 0.0f
              : !numbers ? std::numeric_limits<float>::quiet_NaN()
                         : peak / (y_type == SIMDNORM_F8_E4M3   ? 448.0f
                                   : y_type == SIMDNORM_F8_E5M2 ? 57344.0f
                                                                : 127.0f);
      if (any && scale == 0.0f) scale = 1.0f;
      if (bits_of(scales[i]) != bits_of(scale)) return "scale of row " + std::to_string(i) + what;
    }
    for (std::size_t j = 0; j < cols; ++j) {
      const std::size_t k = i * cols + j;
      const bool real = padding.real[k];
      const std::string at = "[" + std::to_string(i) + ", " + std::to_string(j) + "]";
      std::uint32_t expected = element_of(bytes ? quantized(row[j], scale, q.zero_point, y_type) : row[j], y_type);
      if (!real) {
        expected = o.padding.fill == SIMDNORM_FILL_KEEP ? kept_y[k]
                   : bytes                              ? static_cast<std::uint8_t>(q.zero_point)
                                                        : 0;
      }
      if (m.y.get(i, j) != expected) {
        return "y" + at + " is " + std::to_string(m.y.get(i, j)) + ", not " + std::to_string(expected) + what;
      }
      if (!m.sum.data) continue;
      float h = x[k];
      if (has_bias) h = h + bias[j];
      h = h + residual[k];
      std::uint32_t sum = element_of(h, m.sum.type);
      if (!real) sum = o.padding.fill == SIMDNORM_FILL_KEEP ? kept_sum[k] : 0;
      if (m.sum.get(i, j) != sum) {
        return "sum" + at + " is " + std::to_string(m.sum.get(i, j)) + ", not " + std::to_string(sum) + what;
      }
    }
  }
  return memory.intact() ? "" : "something beside the rows was written" + what;
}

constexpr norm all_norms[] = {norm::layer, norm::rms, norm::l2, norm::add_layer, norm::add_rms, norm::gated};

// Rows that are kept and rows that are not, tails of every length, one tile and several.
shape shape_of(std::uint64_t seed) {
  constexpr std::size_t long_rows[] = {333, 768, 1024, 1031, 1536, 2048, 4096, 4500, 8192, 8200, 9000};
  if (seed % 3 > 0) return {1 + seed % 23, 1 + seed * 7 % 130};
  const std::size_t cols = long_rows[seed / 3 % std::size(long_rows)];
  return {cols > 2000 ? 3 + seed % 4 : 1 + seed % 11, cols};
}

void compare_calls(operands of) {
  offset_arena memory(0, std::size_t{1} << 22);
  for (std::uint64_t seed = 0; seed < 120; seed += step_of_cases())
    for (const norm n : all_norms) {
      if (of == operands::bytes && n == norm::l2) continue;
      simdnorm_stream_border_set(seed % 4 == 0 ? 1 : SIZE_MAX);
      const shape s = shape_of(seed);
      ASSERT_EQ(difference(seed, n, of, s, memory), "")
          << "seed " << seed << ", norm " << static_cast<int>(n) << ", " << s.rows << "x" << s.cols;
      memory.reset();
    }
}
TEST_P(mixed_types_test, what_the_floats_give_rounded) {
  compare_calls(operands::any);
}
// Of x + residual, RMS norm by Llama's rounding and Gemma's weight: in halves alone they have a loop of their own.
TEST_P(mixed_types_test, what_the_floats_give_rounded_of_halves_alone) {
  compare_calls(operands::halves);
}
TEST_P(mixed_types_test, what_the_floats_give_quantized) {
  compare_calls(operands::bytes);
}

// A constant row gives exactly beta: every number of a type of 8-bit floats, what lies halfway to the next one, and
// the floats beside these.
TEST_P(mixed_types_test, f8_rounds_to_nearest_even_and_saturates) {
  for (const simdnorm_type type : {SIMDNORM_F8_E4M3, SIMDNORM_F8_E5M2}) {
    const std::vector<float> numbers = f8_numbers(type);
    std::vector<float> beta{std::nanf(""), std::numeric_limits<float>::infinity(), 3e38f, 1e-40f};
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      const float next = k + 1 < numbers.size() ? numbers[k + 1] : 2 * numbers[k];
      for (const float v : {numbers[k], (numbers[k] + next) / 2}) {
        beta.push_back(v);
        beta.push_back(std::nextafter(v, 0.0f));
        beta.push_back(std::nextafter(v, 1e30f));
      }
    }
    for (std::size_t k = beta.size(); k-- > 0;) beta.push_back(-beta[k]);
    const std::size_t n = beta.size();
    const std::vector<float> x(n, 1.5f);
    std::vector<std::uint8_t> y(n + 1, 0xa5);
    const simdnorm_const_matrix in{x.data(), 1, n, static_cast<std::ptrdiff_t>(n), SIMDNORM_F32};
    const simdnorm_matrix out{y.data(), 1, n, static_cast<std::ptrdiff_t>(n), type};
    simdnorm_quantization q = simdnorm_quantization_defaults();
    simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
    o.beta = {beta.data(), n, SIMDNORM_F32};
    o.quantization = &q;
    ASSERT_EQ(simdnorm_layer_norm(&in, &out, &o), SIMDNORM_OK);
    for (std::size_t j = 0; j < n; ++j)
      EXPECT_EQ(y[j], static_cast<std::uint8_t>(f8_code(beta[j], type))) << type << ": " << beta[j];
    EXPECT_EQ(y[n], 0xa5);
    q.zero_point = 1;
    EXPECT_EQ(simdnorm_layer_norm(&in, &out, &o), SIMDNORM_INVALID_OPTION);
  }
}

// The same of v / scale, which is as a division rounds it: for scales of all sizes what lies next to halfway between
// two bytes, where another rounding of the quotient would give the other one.
TEST_P(mixed_types_test, a_quotient_is_rounded_as_a_division_is) {
  generator g(11);
  std::vector<float> scales{1e-44f, 1e-39f, 3e-25f, 3e25f, 1e36f, 1.0f, std::nextafter(2.0f, 0.0f)};
  while (scales.size() < 256)
    scales.push_back(std::ldexp(1.0f + static_cast<float>(g.uniform()), static_cast<int>(g.below(20)) - 10));
  for (const float scale : scales) {
    for (const simdnorm_type type : {SIMDNORM_I8, SIMDNORM_U8, SIMDNORM_F8_E4M3, SIMDNORM_F8_E5M2}) {
      const bool f8 = type == SIMDNORM_F8_E4M3 || type == SIMDNORM_F8_E5M2;
      std::vector<float> halfway;
      if (f8) {
        const std::vector<float> numbers = f8_numbers(type);
        for (std::size_t k = 0; k + 1 < numbers.size(); ++k) halfway.push_back((numbers[k] + numbers[k + 1]) / 2);
      } else {
        for (int k = 0; k < 258; ++k) halfway.push_back(static_cast<float>(k) + 0.5f);
      }
      std::vector<float> beta;
      for (const float quotient : halfway) {
        const float v = quotient * scale;
        if (!std::isfinite(v)) continue;
        const float below = std::nextafter(v, 0.0f), above = std::nextafter(v, 3e38f);
        for (const float near : {v, below, above, std::nextafter(below, 0.0f), std::nextafter(above, 3e38f)}) {
          beta.push_back(near);
          beta.push_back(-near);
        }
      }
      const std::size_t n = beta.size();
      const std::vector<float> x(n, 1.5f);
      std::vector<std::uint8_t> y(n);
      const simdnorm_const_matrix in{x.data(), 1, n, static_cast<std::ptrdiff_t>(n), SIMDNORM_F32};
      const simdnorm_matrix out{y.data(), 1, n, static_cast<std::ptrdiff_t>(n), type};
      simdnorm_quantization q = simdnorm_quantization_defaults();
      q.scale = scale;
      q.zero_point = f8 ? 0 : type == SIMDNORM_U8 ? 101 : -7;
      simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
      o.beta = {beta.data(), n, SIMDNORM_F32};
      o.quantization = &q;
      ASSERT_EQ(simdnorm_layer_norm(&in, &out, &o), SIMDNORM_OK);
      const float least = type == SIMDNORM_U8 ? 0.0f : -128.0f, most = least + 255.0f;
      for (std::size_t j = 0; j < n; ++j) {
        const float quotient = beta[j] / scale;
        const float integer = std::nearbyint(quotient) + static_cast<float>(q.zero_point);
        const auto expected = static_cast<std::uint8_t>(f8 ? static_cast<int>(f8_code(quotient, type))
                                                           : static_cast<int>(std::clamp(integer, least, most)));
        ASSERT_EQ(y[j], expected) << type << ": " << beta[j] << " / " << scale;
      }
    }
  }
}

// A row's own scale that is subnormal may be far from its greatest size / 127: bytes are saturated then.
TEST_P(mixed_types_test, a_subnormal_row_scale_saturates) {
  constexpr std::size_t n = 64;
  const std::vector<float> x(n, 1.5f);
  std::vector<float> beta(n);
  for (std::uint32_t peak = 1; peak < 40000; peak += 1 + peak / 64) {
    for (std::size_t j = 0; j < n; ++j) {
      const float size = static_cast<float>(peak - peak * (j / 2) / n) * std::numeric_limits<float>::denorm_min();
      beta[j] = j % 2 == 0 ? size : -size;
    }
    for (const simdnorm_type type : {SIMDNORM_I8, SIMDNORM_U8}) {
      std::vector<std::uint8_t> y(n);
      float scale = 0;
      const simdnorm_const_matrix in{x.data(), 1, n, n, SIMDNORM_F32};
      const simdnorm_matrix out{y.data(), 1, n, n, type};
      simdnorm_quantization q = simdnorm_quantization_defaults();
      q.zero_point = type == SIMDNORM_U8 ? 128 : 0;
      q.row_scale = {&scale, 1, SIMDNORM_F32};
      simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
      o.beta = {beta.data(), n, SIMDNORM_F32};
      o.quantization = &q;
      ASSERT_EQ(simdnorm_layer_norm(&in, &out, &o), SIMDNORM_OK);
      const float expected_scale = beta[0] / 127.0f;
      ASSERT_EQ(scale, expected_scale == 0.0f ? 1.0f : expected_scale) << peak;
      for (std::size_t j = 0; j < n; ++j) {
        const float v = quantized(beta[j], scale, q.zero_point, type);
        ASSERT_EQ(y[j], static_cast<std::uint8_t>(static_cast<int>(v))) << peak << ": " << beta[j] << " / " << scale;
      }
    }
  }
}

TEST_P(mixed_types_test, at_any_alignment_and_between_guard_pages) {
  for (std::uint64_t seed = 1000; seed < 1016; seed += step_of_cases())
    for (const norm n : all_norms)
      for (const operands of : {operands::any, operands::bytes, operands::halves}) {
        if (of == operands::bytes && n == norm::l2) continue;
        for (const auto side : {guarded_arena::at_start, guarded_arena::at_end}) {
          guarded_arena memory(side, 0, std::size_t{1} << 18);
          ASSERT_EQ(difference(seed, n, of, shape_of(seed), memory), "") << seed << ", " << static_cast<int>(n);
        }
        offset_arena memory(seed % 64, std::size_t{1} << 22);
        ASSERT_EQ(difference(seed, n, of, shape_of(seed), memory), "") << seed << ", " << static_cast<int>(n);
      }
}

// [tokens, 3, heads, features], as q of packed q, k and v.
TEST_P(mixed_types_test, tensors) {
  generator g(4);
  constexpr std::size_t tokens = 5, heads = 4, features = 40, rows = tokens * heads;
  for (const simdnorm_type x_type : inputs)
    for (const simdnorm_type y_type : {SIMDNORM_F32, SIMDNORM_BF16, SIMDNORM_F16, SIMDNORM_I8})
      for (const bool layer : {true, false})
        for (const bool lengths : {false, true}) {
          std::vector<float> packed;
          for (std::size_t k = 0; k < tokens * 3 * heads * features; ++k)
            packed.push_back(rounded(static_cast<float>(g.normal()), x_type));
          offset_arena memory;
          const operand all(memory, x_type, 1, packed.size(), 0, packed);
          std::vector<float> q_rows;
          for (std::size_t t = 0; t < tokens; ++t)
            for (std::size_t k = 0; k < heads * features; ++k) q_rows.push_back(packed[t * 3 * heads * features + k]);
          const operand x(memory, x_type, rows, features, 0, q_rows);
          const operand flat(memory, y_type, rows, features, 0), y(memory, y_type, rows, features, 0);
          std::vector<std::int32_t> each;
          for (std::size_t i = 0; i < rows; ++i) each.push_back(static_cast<std::int32_t>(i % features));
          simdnorm_padding padding{};
          if (lengths) padding = {each.data(), rows, 0, SIMDNORM_PADDING_ROW_LENGTHS, SIMDNORM_I32, 0};
          std::vector<float> scales(rows), flat_scales(rows);
          simdnorm_quantization q = simdnorm_quantization_defaults(), flat_q = q;
          q.row_scale = {scales.data(), rows, SIMDNORM_F32};
          flat_q.row_scale = {flat_scales.data(), rows, SIMDNORM_F32};
          const bool bytes = y_type == SIMDNORM_I8;
          const simdnorm_const_tensor in{
              all.data, {tokens, heads, features}, {3 * heads * features, features, 1}, 3, x_type};
          const simdnorm_tensor out{y.data, {tokens, heads, features}, {heads * features, features, 1}, 3, y_type};
          const simdnorm_const_matrix mx = x.in();
          const simdnorm_matrix my = flat.out();
          if (layer) {
            simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
            o.padding = padding;
            o.quantization = bytes ? &flat_q : nullptr;
            ASSERT_EQ(simdnorm_layer_norm(&mx, &my, &o), SIMDNORM_OK);
            o.quantization = bytes ? &q : nullptr;
            ASSERT_EQ(simdnorm_layer_norm_nd(&in, &out, &o), SIMDNORM_OK);
          } else {
            simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
            o.padding = padding;
            o.quantization = bytes ? &flat_q : nullptr;
            ASSERT_EQ(simdnorm_rms_norm(&mx, &my, &o), SIMDNORM_OK);
            o.quantization = bytes ? &q : nullptr;
            ASSERT_EQ(simdnorm_rms_norm_nd(&in, &out, &o), SIMDNORM_OK);
          }
          for (std::size_t i = 0; i < rows; ++i)
            for (std::size_t j = 0; j < features; ++j) ASSERT_EQ(y.get(i, j), flat.get(i, j)) << i << ", " << j;
          ASSERT_EQ(scales, flat_scales);
          ASSERT_TRUE(memory.intact());
        }
}

// Llama's own figures: x_hat in bf16, times a weight in bf16, by hand.
TEST_P(mixed_types_test, llama_rounds_before_the_weight) {
  const std::uint16_t x[] = {0x3f80, 0x4000, 0x4040, 0x4080};       // 1, 2, 3, 4: rms 2.7386
  const std::uint16_t weight[] = {0x3fa6, 0x3fa6, 0x3fa6, 0x3fa6};  // 1.296875
  std::uint16_t y[4] = {}, once[4] = {};
  const simdnorm_const_matrix in{x, 1, 4, 4, SIMDNORM_BF16};
  const simdnorm_matrix out{y, 1, 4, 4, SIMDNORM_BF16}, out_once{once, 1, 4, 4, SIMDNORM_BF16};
  simdnorm_rms_norm_options o = simdnorm_rms_norm_defaults();
  o.weight = {weight, 4, SIMDNORM_BF16};
  ASSERT_EQ(simdnorm_rms_norm(&in, &out_once, &o), SIMDNORM_OK);
  o.rounding = SIMDNORM_ROUND_BEFORE_WEIGHT;
  ASSERT_EQ(simdnorm_rms_norm(&in, &out, &o), SIMDNORM_OK);
  const half_format& f = format_of(SIMDNORM_BF16);
  bool differ = false;
  for (int j = 0; j < 4; ++j) {
    const double hat = (j + 1) / std::sqrt(7.5 + 1e-5);
    EXPECT_EQ(y[j], f.rounded(1.296875 * f.value(f.rounded(hat)))) << j;
    EXPECT_EQ(once[j], f.rounded(1.296875 * hat)) << j;
    differ = differ || y[j] != once[j];
  }
  EXPECT_TRUE(differ);
}

TEST_P(mixed_types_test, what_does_not_go_together_is_a_status_and_writes_nothing) {
  std::vector<float> memory(256, 1);
  std::vector<char> bytes(64, 3);
  std::vector<float> scales(4, 5);
  const simdnorm_const_matrix x{memory.data(), 4, 8, 8, SIMDNORM_F32};
  const simdnorm_matrix y{bytes.data(), 4, 8, 8, SIMDNORM_I8};
  simdnorm_quantization q = simdnorm_quantization_defaults();
  simdnorm_layer_norm_options o = simdnorm_layer_norm_defaults();
  const auto expect = [&](simdnorm_status status, const char* what) {
    EXPECT_EQ(simdnorm_layer_norm(&x, &y, &o), status) << what;
    for (const char b : bytes) ASSERT_EQ(b, 3) << what;
    for (const float s : scales) ASSERT_EQ(s, 5) << what;
  };
  expect(SIMDNORM_INVALID_OPTION, "bytes without a quantization");
  o.quantization = &q;
  for (const float scale : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    q.scale = scale;
    expect(SIMDNORM_INVALID_OPTION, "scale");
  }
  q.scale = 1;
  for (const std::int32_t zero_point : {-129, 128, 1 << 30}) {
    q.zero_point = zero_point;
    expect(SIMDNORM_INVALID_OPTION, "zero point");
  }
  q.zero_point = 0;
  q.struct_size -= 8;
  expect(SIMDNORM_INVALID_STRUCT, "size");
  q.struct_size += 8;
  q.row_scale = {scales.data(), 3, SIMDNORM_F32};
  expect(SIMDNORM_INVALID_SHAPE, "scales of other rows");
  q.row_scale = {scales.data(), 4, SIMDNORM_BF16};
  expect(SIMDNORM_UNSUPPORTED_TYPE, "scales of another type");
  q.row_scale = {memory.data() + 3, 4, SIMDNORM_F32};
  expect(SIMDNORM_OVERLAP, "scales in x");
  q.row_scale = {};
  const simdnorm_matrix in_x{memory.data(), 4, 8, 32, SIMDNORM_I8};
  EXPECT_EQ(simdnorm_layer_norm(&x, &in_x, &o), SIMDNORM_OVERLAP);
  const simdnorm_matrix floats{memory.data() + 64, 4, 8, 8, SIMDNORM_F32};
  EXPECT_EQ(simdnorm_layer_norm(&x, &floats, &o), SIMDNORM_INVALID_OPTION) << "a quantization of floats";
  const simdnorm_const_matrix of_bytes{bytes.data(), 4, 8, 8, SIMDNORM_I8};
  EXPECT_EQ(simdnorm_layer_norm(&of_bytes, &floats, nullptr), SIMDNORM_UNSUPPORTED_TYPE);
  EXPECT_EQ(simdnorm_l2_norm(&x, &y, nullptr), SIMDNORM_INVALID_OPTION);
  const simdnorm_const_matrix doubles{memory.data(), 4, 8, 8, SIMDNORM_F64};
  EXPECT_EQ(simdnorm_layer_norm(&doubles, &y, &o), SIMDNORM_UNSUPPORTED_TYPE);
}

}  // namespace
}  // namespace simdnorm::test

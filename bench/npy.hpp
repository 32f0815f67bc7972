// SPDX-License-Identifier: Apache-2.0
//
// Reads and writes NumPy's .npy files: C order, little endian, f32 and what converts to it. Written
// for files of strangers: nothing in a header is believed before it is checked against the size of
// the file, and every refusal says what is wrong and what would be right.
//
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "buffers.hpp"

namespace bench {

struct npy_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace npy_detail {

static_assert(std::endian::native == std::endian::little, "the .npy code reads little-endian data as it is");

struct closer {
  void operator()(std::FILE* f) const noexcept { std::fclose(f); }
};
using file = std::unique_ptr<std::FILE, closer>;

// The header: a Python dictionary literal with three known keys, and nothing else.
class header_parser {
 public:
  explicit header_parser(std::string_view text) : text_(text) {}

  void parse(std::string& descr, bool& fortran_order, std::vector<std::size_t>& shape) {
    bool have_descr = false, have_order = false, have_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !have_descr) {
        skip();
        if (at_ < text_.size() && text_[at_] == '[') fail("holds records with several fields, not numbers");
        descr = string();
        have_descr = true;
      } else if (key == "fortran_order" && !have_order) {
        fortran_order = boolean();
        have_order = true;
      } else if (key == "shape" && !have_shape) {
        shape = tuple();
        have_shape = true;
      } else {
        fail("has a broken header (unexpected or repeated key)");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (at_ != text_.size() || !have_descr || !have_order || !have_shape) fail("has a broken header");
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;

  [[noreturn]] static void fail(const char* what) { throw npy_error(what); }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool accept(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail("has a broken header");
  }
  std::string string() {
    skip();
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) fail("has a broken header");
    const std::size_t close = text_.find(text_[at_], at_ + 1);
    if (close == std::string_view::npos) fail("has a broken header");
    std::string s(text_.substr(at_ + 1, close - at_ - 1));
    for (const char c : s) {
      if (c < ' ' || c > '~') fail("has a broken header");
    }
    at_ = close + 1;
    return s;
  }
  bool boolean() {
    skip();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) == word) {
        at_ += word.size();
        return value;
      }
    }
    fail("has a broken header");
  }
  std::vector<std::size_t> tuple() {
    std::vector<std::size_t> numbers;
    expect('(');
    while (!accept(')')) {
      skip();
      std::size_t n = 0;
      const std::size_t first = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
        const auto digit = static_cast<std::size_t>(text_[at_] - '0');
        if (n > (SIZE_MAX - digit) / 10) fail("has an impossible shape");
        n = n * 10 + digit;
      }
      if (at_ == first) fail("has a broken shape");
      numbers.push_back(n);
      if (numbers.size() > 32) fail("has more than 32 dimensions");  // NumPy's own limit was 32, now 64
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return numbers;
  }
};

inline std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string s = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    s += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return s + (shape.size() == 1 ? ",)" : ")");
}

inline float from_f16(std::uint16_t h) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float subnormal = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -subnormal : subnormal;
}

// An open file that is known to hold `shape` numbers of `descr` from here on.
struct open_array {
  file f;
  std::string descr;
  std::vector<std::size_t> shape;
  std::size_t count = 1;
};

inline std::size_t item_bytes(const std::string& descr) {
  if (descr == "<f4" || descr == "<i4") return 4;
  if (descr == "<f8") return 8;
  if (descr == "<f2") return 2;
  if (descr.find('O') != std::string::npos) {
    throw npy_error("holds Python objects (dtype object), not numbers; save x.astype('<f4')");
  }
  if (!descr.empty() && descr[0] == '>') {
    throw npy_error("is big endian (" + descr + "); save x.astype('<f4')");
  }
  throw npy_error("holds " + descr + "; f32 is read as it is, f64 and f16 are converted: save x.astype('<f4')");
}

inline open_array open(const std::string& path) {
  open_array a;
  a.f.reset(std::fopen(path.c_str(), "rb"));
  if (!a.f) throw npy_error(std::string("cannot be opened: ") + std::strerror(errno));
  struct stat info {};
  if (fstat(fileno(a.f.get()), &info) != 0) throw npy_error("cannot be read");
  if (!S_ISREG(info.st_mode)) throw npy_error("is not a regular file");
  const auto bytes = static_cast<std::uint64_t>(info.st_size);

  unsigned char start[12];
  if (std::fread(start, 1, 10, a.f.get()) != 10 || std::memcmp(start, "\x93NUMPY", 6) != 0) {
    throw npy_error("is not a .npy file (no \\x93NUMPY at its start)");
  }
  std::size_t header_at = 10, header_bytes = start[8] | static_cast<std::size_t>(start[9]) << 8;
  if (start[6] == 2 || start[6] == 3) {
    if (std::fread(start + 10, 1, 2, a.f.get()) != 2) throw npy_error("is truncated in its header");
    header_at = 12;
    header_bytes |= static_cast<std::size_t>(start[10]) << 16 | static_cast<std::size_t>(start[11]) << 24;
  } else if (start[6] != 1) {
    throw npy_error("is of .npy version " + std::to_string(start[6]) + "; 1, 2 and 3 are known");
  }
  // A matrix of numbers needs about 120 bytes; NumPy itself refuses more than 10,000.
  if (header_bytes > 65536) throw npy_error("has an impossible header length");
  if (header_at + header_bytes > bytes) throw npy_error("is truncated in its header");
  std::string header(header_bytes, '\0');
  if (std::fread(header.data(), 1, header_bytes, a.f.get()) != header_bytes) {
    throw npy_error("is truncated in its header");
  }

  bool fortran_order = false;
  header_parser(header).parse(a.descr, fortran_order, a.shape);
  const std::size_t item = item_bytes(a.descr);
  if (fortran_order && a.shape.size() > 1) {
    throw npy_error("is in Fortran order (column by column); save numpy.ascontiguousarray(x)");
  }
  for (const std::size_t n : a.shape) {
    if (n != 0 && a.count > SIZE_MAX / item / n) {
      throw npy_error("has an impossible shape " + shape_text(a.shape));
    }
    a.count *= n;
  }
  const std::uint64_t data = bytes - header_at - header_bytes;
  if (data < a.count * item) {
    throw npy_error("is truncated: " + shape_text(a.shape) + " of " + a.descr + " needs " +
                    std::to_string(a.count * item) + " bytes, there are " + std::to_string(data));
  }
  if (data > a.count * item) {
    throw npy_error("has " + std::to_string(data - a.count * item) + " bytes too many after " + shape_text(a.shape) +
                    " of " + a.descr);
  }
  return a;
}

inline void read_floats(open_array& a, float* out) {
  const std::size_t item = item_bytes(a.descr);
  std::vector<unsigned char> chunk(std::size_t{1} << 16);
  for (std::size_t done = 0; done < a.count;) {
    const std::size_t n = std::min(a.count - done, chunk.size() / item);
    if (std::fread(chunk.data(), item, n, a.f.get()) != n) throw npy_error("could not be read to its end");
    for (std::size_t i = 0; i < n; ++i) {
      const unsigned char* p = chunk.data() + i * item;
      if (item == 4) {
        std::memcpy(out + done + i, p, 4);
      } else if (item == 8) {
        double v;
        std::memcpy(&v, p, 8);
        out[done + i] = static_cast<float>(v);
      } else {
        std::uint16_t v;
        std::memcpy(&v, p, 2);
        out[done + i] = from_f16(v);
      }
    }
    done += n;
  }
}

template <class F>
auto naming(const std::string& path, F&& f) {
  try {
    return f();
  } catch (const npy_error& e) {
    throw npy_error(path + " " + e.what());
  } catch (const std::bad_alloc&) {
    throw npy_error(path + " does not fit in memory");
  }
}

}  // namespace npy_detail

struct npy_matrix {
  buffer<float> data;
  std::size_t rows = 0, cols = 0;
  std::string descr;  // of the file: <f4, or what was converted
};

// A 2-D matrix in C order with at least one row and one column.
inline npy_matrix read_npy_matrix(const std::string& path) {
  return npy_detail::naming(path, [&] {
    npy_detail::open_array a = npy_detail::open(path);
    if (a.shape.size() != 2) {
      throw npy_error("is not a matrix: shape " + npy_detail::shape_text(a.shape) + " has " +
                      std::to_string(a.shape.size()) + " dimensions, not 2");
    }
    if (a.count == 0) throw npy_error("is empty: shape " + npy_detail::shape_text(a.shape));
    if (a.descr == "<i4") throw npy_error("holds <i4 (integers); save x.astype('<f4')");
    npy_matrix m;
    m.rows = a.shape[0];
    m.cols = a.shape[1];
    m.descr = a.descr;
    m.data = buffer<float>(a.count);
    npy_detail::read_floats(a, m.data.data());
    return m;
  });
}

// A vector of f32 or i32.
template <class T>
std::vector<T> read_npy_vector(const std::string& path) {
  return npy_detail::naming(path, [&] {
    npy_detail::open_array a = npy_detail::open(path);
    const char* wanted = std::is_same_v<T, float> ? "<f4" : "<i4";
    if (a.shape.size() != 1 || a.descr != wanted) throw npy_error(std::string("is not a vector of ") + wanted);
    std::vector<T> v(a.count);
    if (std::fread(v.data(), sizeof(T), a.count, a.f.get()) != a.count) throw npy_error("could not be read");
    return v;
  });
}

// Writes a matrix of f32 or f64 beside the target and renames it: the target is whole or as it was.
template <class T>
void write_npy_matrix(const std::string& path, const T* data, std::size_t rows, std::size_t cols) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  std::string header = std::string("{'descr': '") + (sizeof(T) == 4 ? "<f4" : "<f8") +
                       "', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " + std::to_string(cols) +
                       "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  const auto n = static_cast<std::uint16_t>(header.size());
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(n & 0xff);
  start += static_cast<char>(n >> 8);

  std::string temporary = path + ".XXXXXX";
  const int descriptor = mkstemp(temporary.data());
  if (descriptor < 0) throw npy_error(path + " cannot be written: " + std::strerror(errno));
  (void)fchmod(descriptor, 0644);
  std::FILE* f = fdopen(descriptor, "wb");
  bool good = f != nullptr && std::fwrite(start.data(), 1, start.size(), f) == start.size() &&
              std::fwrite(header.data(), 1, header.size(), f) == header.size() &&
              std::fwrite(data, sizeof(T), rows * cols, f) == rows * cols;
  int reason = errno;
  if (f != nullptr && std::fclose(f) != 0) {
    if (good) reason = errno;
    good = false;
  }
  if (good && std::rename(temporary.c_str(), path.c_str()) != 0) {
    reason = errno;
    good = false;
  }
  if (!good) {
    unlink(temporary.c_str());
    throw npy_error(path + " cannot be written: " + std::strerror(reason));
  }
}

}  // namespace bench

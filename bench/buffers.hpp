// SPDX-License-Identifier: Apache-2.0
//
// Memory for measuring, and the numbers in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace bench {

inline constexpr std::size_t page_bytes = 4096;

// n elements from the start of a page on. Two buffers of one shape are then congruent modulo 4096,
// which costs nothing; what costs 17 to 40 % is an output 64 bytes after its input modulo 4096
// (a load then waits for a store to the same low 12 address bits), and this rules it out.
template <class T>
class buffer {
 public:
  buffer() = default;
  explicit buffer(std::size_t n) : size_(n) {
    if (n == 0) return;
    if (n > (SIZE_MAX - page_bytes) / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = (n * sizeof(T) + page_bytes - 1) / page_bytes * page_bytes;
    memory_.reset(static_cast<T*>(std::aligned_alloc(page_bytes, bytes)));
    if (!memory_) throw std::bad_alloc();
    for (std::size_t i = 0; i < n; ++i) memory_.get()[i] = T{};
  }

  [[nodiscard]] T* data() const noexcept { return memory_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T& operator[](std::size_t i) const noexcept { return memory_.get()[i]; }
  [[nodiscard]] T* begin() const noexcept { return data(); }
  [[nodiscard]] T* end() const noexcept { return data() + size_; }

 private:
  struct deleter {
    void operator()(T* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<T, deleter> memory_;
  std::size_t size_ = 0;
};

// Close to N(0, 1): the sum of four uniform 16-bit numbers, scaled. The same numbers in every run,
// and quick enough for 8192 x 8192 of them, which std::normal_distribution is not.
class normal_numbers {
 public:
  explicit normal_numbers(std::uint64_t seed) noexcept : state_(seed) {}

  [[nodiscard]] double operator()() noexcept {
    state_ += 0x9e3779b97f4a7c15u;  // splitmix64
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    const std::uint64_t sum = (z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48);
    // Four uniforms on 0..65535 have mean 131070 and variance (2^32 - 1) / 3.
    return (static_cast<double>(sum) - 131070.0) * (1.7320508075688772 / 65536.0);
  }

 private:
  std::uint64_t state_;
};

inline void fill_normal(buffer<float>& b, double mean, double deviation, std::uint64_t seed) noexcept {
  normal_numbers next(seed);
  for (float& v : b) v = static_cast<float>(mean + deviation * next());
}

}  // namespace bench

// SPDX-License-Identifier: Apache-2.0
//
// Where the arrays of a call lie in memory: at a chosen distance from alignment, or flush against
// a page that cannot be touched. Guard pages are the ground truth: ASan misses masked loads.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace simdnorm::test {

class arena {
 public:
  arena() = default;
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  virtual ~arena() = default;

  template <class T>
  T* take(std::size_t count, std::size_t alignment = alignof(T)) {
    return static_cast<T*>(take_bytes(count * sizeof(T), alignment));
  }
  // Forgets all arrays; the memory is used again.
  virtual void reset() = 0;
  // Whether the bytes around every array are as they were.
  [[nodiscard]] virtual bool intact() const = 0;

 protected:
  static constexpr unsigned char canary = 0xa5;
  virtual void* take_bytes(std::size_t bytes, std::size_t alignment) = 0;
  static bool all_canary(const unsigned char* first, const unsigned char* last) {
    for (; first != last; ++first)
      if (*first != canary) return false;
    return true;
  }
};

// Each array starts `offset` elements after a 64-byte boundary, with 64 canary bytes and more on
// either side.
class offset_arena : public arena {
 public:
  explicit offset_arena(std::size_t offset = 0, std::size_t capacity = std::size_t{1} << 20) : offset_(offset) {
    add_chunk(capacity);
  }
  ~offset_arena() override {
    for (const chunk& c : chunks_) std::free(c.memory);
  }
  void reset() override {
    arrays_.clear();
    current_ = used_ = 0;
  }
  [[nodiscard]] bool intact() const override {
    for (const array& a : arrays_)
      if (!all_canary(a.memory, a.first) || !all_canary(a.last, a.end)) return false;
    return true;
  }

 private:
  struct chunk {
    unsigned char* memory;
    std::size_t size;
  };
  struct array {
    unsigned char *memory, *first, *last, *end;
  };
  std::size_t offset_, current_ = 0, used_ = 0;
  std::vector<chunk> chunks_;
  std::vector<array> arrays_;

  void add_chunk(std::size_t size) {
    chunks_.push_back({static_cast<unsigned char*>(std::aligned_alloc(64, size)), size});
    if (!chunks_.back().memory) std::abort();
  }
  void* take_bytes(std::size_t bytes, std::size_t alignment) override {
    const std::size_t shift = 64 + (alignment >= 64 ? 0 : offset_ * alignment);
    const std::size_t total = (shift + bytes + 64 + 63) / 64 * 64;
    while (used_ + total > chunks_[current_].size) {
      used_ = 0;
      if (++current_ == chunks_.size()) add_chunk(total > chunks_[0].size ? total : chunks_[0].size);
    }
    unsigned char* memory = chunks_[current_].memory + used_;
    used_ += total;
    const array a{memory, memory + shift, memory + shift + bytes, memory + total};
    std::memset(a.memory, canary, shift);
    std::memset(a.last, canary, static_cast<std::size_t>(a.end - a.last));
    arrays_.push_back(a);
    return a.first;
  }
};

// Each array lies between two unreadable pages and touches one of them: its first byte is the first
// of a page, or its last byte the last of one (as near as its alignment allows).
class guarded_arena : public arena {
 public:
  enum side { at_start, at_end };
  // `shift` moves the arrays that many elements away from the page border.
  guarded_arena(side s, std::size_t shift = 0, std::size_t capacity = std::size_t{1} << 17)
      : side_(s),
        shift_(shift),
        page_(static_cast<std::size_t>(sysconf(_SC_PAGESIZE))),
        capacity_((capacity + page_ - 1) / page_ * page_) {}
  ~guarded_arena() override {
    for (unsigned char* r : regions_) munmap(r - page_, capacity_ + 2 * page_);
  }
  void reset() override { arrays_.clear(); }
  [[nodiscard]] bool intact() const override {
    for (const array& a : arrays_)
      if (!all_canary(a.before, a.first) || !all_canary(a.last, a.after)) return false;
    return true;
  }

 private:
  static constexpr std::size_t slack = 256;
  struct array {
    unsigned char *before, *first, *last, *after;
  };
  side side_;
  std::size_t shift_, page_, capacity_;
  std::vector<unsigned char*> regions_;
  std::vector<array> arrays_;

  void* take_bytes(std::size_t bytes, std::size_t alignment) override {
    const std::size_t shift = alignment >= 64 ? 0 : shift_ * alignment;
    if (bytes + shift + alignment > capacity_) std::abort();
    if (arrays_.size() == regions_.size()) {
      void* m = mmap(nullptr, capacity_ + 2 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (m == MAP_FAILED) std::abort();
      unsigned char* region = static_cast<unsigned char*>(m) + page_;
      if (mprotect(region, capacity_, PROT_READ | PROT_WRITE) != 0) std::abort();
      regions_.push_back(region);
    }
    unsigned char* region = regions_[arrays_.size()];
    std::size_t start = shift;
    if (side_ == at_end) start = (capacity_ - shift - bytes) / alignment * alignment;
    array a;
    a.first = region + start;
    a.last = a.first + bytes;
    a.before = a.first - (start < slack ? start : slack);
    a.after = a.last + (capacity_ - start - bytes < slack ? capacity_ - start - bytes : slack);
    std::memset(a.before, canary, static_cast<std::size_t>(a.first - a.before));
    std::memset(a.last, canary, static_cast<std::size_t>(a.after - a.last));
    arrays_.push_back(a);
    return a.first;
  }
};

}  // namespace simdnorm::test

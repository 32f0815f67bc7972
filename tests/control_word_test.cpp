// SPDX-License-Identifier: Apache-2.0
//
// A caller's rounding mode, flush-to-zero and trapping exceptions change no bit and come back
// exactly as they were, on every thread.

#include <gtest/gtest.h>

#include <atomic>

#include "support/executors.hpp"
#include "support/isa_fixture.hpp"
#include "support/operations.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace simdnorm::test {
namespace {

#if defined(__x86_64__)
using control_word = unsigned;
control_word read_control() {
  return _mm_getcsr();
}
void write_control(control_word w) {
  _mm_setcsr(w);
}
constexpr control_word not_flags = ~0x3fu;  // exception flags are results, not control
struct mode {
  const char* name;
  control_word word;
};
const mode modes[] = {{"FTZ", 0x9f80},
                      {"DAZ", 0x1fc0},
                      {"FTZ and DAZ", 0x9fc0},
                      {"downwards", 0x3f80},
                      {"upwards", 0x5f80},
                      {"towards zero", 0x7f80},
                      {"towards zero, FTZ and DAZ", 0xffc0},
                      {"all exceptions trap", 0x0000},
                      {"all but inexact trap, upwards", 0x5000}};
#elif defined(__aarch64__)
using control_word = std::uint64_t;
control_word read_control() {
  control_word w;
  __asm__ volatile("mrs %0, fpcr" : "=r"(w));
  return w;
}
void write_control(control_word w) {
  __asm__ volatile("msr fpcr, %0" : : "r"(w));
}
constexpr control_word not_flags = ~control_word{0};
struct mode {
  const char* name;
  control_word word;
};
const mode modes[] = {{"FZ", 1u << 24},           {"default NaN", 1u << 25},
                      {"upwards", 1u << 22},      {"downwards", 2u << 22},
                      {"towards zero", 3u << 22}, {"towards zero, FZ and default NaN", 3u << 22 | 3u << 24}};
#endif

class control_word_test : public isa_fixture {};
SIMDNORM_FOR_EACH_ISA(control_word_test);

#if defined(__x86_64__) || defined(__aarch64__)

// Everything between is computed in the given mode, so nothing but the call belongs there: run()
// fills its arrays with copies only.
result run_in(const mode& m, operation op, const problem& p, const setup& s, arena& memory, control_word& after) {
  const control_word before = read_control();
  write_control(m.word);
  result r = run(op, p, s, memory);
  after = read_control();
  write_control(before);
  return r;
}

TEST_P(control_word_test, bits_and_the_word_itself_stay) {
  offset_arena memory;
  for (const operation op : all_operations())
    for (std::size_t f = 0; f < flavour_count; ++f)
      for (const std::size_t n : {1, 40, 200}) {
        problem p = make_problem(n + f, is_row_wise(op) ? 5 : n, is_row_wise(op) ? n : 9, static_cast<flavour>(f),
                                 is_row_wise(op));
        if (n == 40)  // subnormal input
          for (float& v : p.x) v = float_of(bits_of(v) & 0x807fffff);
        if (n == 40) p.epsilon = 0;
        const result expected = run(op, p);
        for (const mode& m : modes) {
          control_word after = 0;
          const result r = run_in(m, op, p, {}, memory, after);
          ASSERT_EQ(difference(r, expected), "") << name_of(op) << ", flavour " << f << ", " << m.name;
          ASSERT_EQ(after & not_flags, m.word & not_flags) << name_of(op) << " in mode " << m.name;
        }
      }
}

TEST_P(control_word_test, merging_moments) {
  const moments a{3, 1.0 / 3, 0.1, -1, 7e-310, 3}, b{7, 1e-3, 5e-309, -4e-310, 1, 7};
  const moments expected = merge(a, b);
  for (const mode& m : modes) {
    const control_word before = read_control();
    write_control(m.word);
    const moments r = merge(a, b);
    const control_word after = read_control();
    write_control(before);
    EXPECT_EQ(bits_of(r.mean), bits_of(expected.mean)) << m.name;
    EXPECT_EQ(bits_of(r.m2), bits_of(expected.m2)) << m.name;
    EXPECT_EQ(bits_of(r.min), bits_of(expected.min)) << m.name;
    EXPECT_EQ(bits_of(r.max), bits_of(expected.max)) << m.name;
    EXPECT_EQ(after & not_flags, m.word & not_flags) << m.name;
  }
}

// The word is per thread: workers have their own.
TEST_P(control_word_test, words_of_worker_threads) {
  offset_arena memory;
  for (const operation op : all_operations()) {
    const problem p =
        make_problem(4, is_row_wise(op) ? 300 : 9000, is_row_wise(op) ? 500 : 10, flavour::hostile, is_row_wise(op));
    const result expected = run(op, p);
    for (const mode& m : modes) {
      std::atomic<int> changed{0};
      thread_executor executor(3);
      executor.on_start = [&] { write_control(m.word); };
      executor.on_end = [&] {
        if ((read_control() & not_flags) != (m.word & not_flags)) ++changed;
      };
      setup s;
      s.executor = &executor.c;
      ASSERT_EQ(difference(run(op, p, s, memory), expected), "") << name_of(op) << ", workers in mode " << m.name;
      ASSERT_EQ(changed, 0) << name_of(op) << ", workers in mode " << m.name;
    }
  }
}

#endif

}  // namespace
}  // namespace simdnorm::test

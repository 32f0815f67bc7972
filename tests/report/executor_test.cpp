// SPDX-License-Identifier: Apache-2.0
//
// The default executor: what simdnorm_executor promises, and what threads.h adds to it.
#include <gtest/gtest.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_group.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "simdnorm/simdnorm.hpp"
#include "simdnorm/threads.hpp"

namespace simdnorm {
namespace {

using clock = std::chrono::steady_clock;

double microseconds_since(clock::time_point start) {
  return std::chrono::duration<double, std::micro>(clock::now() - start).count();
}

double cpu_milliseconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec);
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

std::ptrdiff_t threads_of_this_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

std::vector<int> affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

// Any callable as a task.
template <class F>
int run(const executor& e, std::size_t count, F f) {
  return e.run(
      e.context, count, [](void* arg, std::size_t i) { (*static_cast<F*>(arg))(i); }, &f);
}

std::vector<int> times_called(const executor& e, std::size_t count) {
  std::vector<std::atomic<int>> called(count);
  EXPECT_EQ(run(e, count, [&](std::size_t i) { ++called.at(i); }), 0);
  return {called.begin(), called.end()};
}

class each_size : public ::testing::TestWithParam<std::size_t> {};

TEST_P(each_size, each_index_exactly_once) {
  const executor_ptr e = make_executor(GetParam());
  ASSERT_NE(e, nullptr);
  EXPECT_EQ(e->threads, GetParam());
  for (std::size_t count : {0, 1, 2, 3, 7, 64, 65, 1000})
    for (int repeat = 0; repeat < 50; ++repeat) ASSERT_EQ(times_called(*e, count), std::vector<int>(count, 1)) << count;
  EXPECT_EQ(times_called(*e, 100000), std::vector<int>(100000, 1));
}
// Fewer and more threads than CPUs, and more than a job has ranges.
INSTANTIATE_TEST_SUITE_P(executor, each_size, ::testing::Values(1, 2, 3, 8, 100));

TEST(executor, default_is_what_the_process_may_use) {
  const executor_ptr e = make_executor();
  ASSERT_NE(e, nullptr);
  EXPECT_GE(e->threads, 1U);
  EXPECT_LE(e->threads, affinity().size());
}

TEST(executor, impossible_requests) {
  simdnorm_executor* e = nullptr;
  EXPECT_EQ(simdnorm_executor_create(2, nullptr), SIMDNORM_NULL_POINTER);
  EXPECT_EQ(simdnorm_executor_create(static_cast<std::size_t>(-1), &e), SIMDNORM_EXECUTOR_FAILED);
  EXPECT_EQ(e, nullptr);
  simdnorm_executor_destroy(nullptr);
}

TEST(executor, no_memory_for_threads_is_a_status) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer needs the addresses itself";
#endif
  // In a process of its own: 64 stacks do not fit into 100 MB of addresses.
  std::fflush(nullptr);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit limit{100 << 20, 100 << 20};
    setrlimit(RLIMIT_AS, &limit);
    simdnorm_executor* e = nullptr;
    _exit(simdnorm_executor_create(64, &e) == SIMDNORM_EXECUTOR_FAILED && e == nullptr ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(executor, tasks_run_on_several_threads) {
  const executor_ptr e = make_executor(4);
  ASSERT_NE(e, nullptr);
  // oneTBB promises no thread, so ask until a second one shows up.
  bool several = false;
  for (int attempt = 0; attempt < 1000 && !several; ++attempt) {
    std::atomic<std::size_t> here{0};
    run(*e, 4, [&](std::size_t) {
      const std::size_t mine = here++;
      const auto start = clock::now();
      while (mine == 0 && here == 1 && microseconds_since(start) < 10000) std::this_thread::yield();
      if (mine == 0 && here > 1) several = true;
    });
  }
  EXPECT_TRUE(several);
}

TEST(executor, concurrent_callers) {
  const executor_ptr e = make_executor(3);
  ASSERT_NE(e, nullptr);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 6; ++c)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 300; ++repeat) {
        std::vector<std::atomic<int>> called(17);
        if (run(*e, called.size(), [&](std::size_t i) { ++called[i]; }) != 0) ++wrong;
        for (const auto& times : called) wrong += times != 1;
      }
    });
  for (std::thread& c : callers) c.join();
  EXPECT_EQ(wrong, 0);
}

TEST(executor, nested_calls) {
  const executor_ptr a = make_executor(3), b = make_executor(2);
  ASSERT_TRUE(a && b);
  std::atomic<int> total{0};
  for (int repeat = 0; repeat < 100; ++repeat)
    EXPECT_EQ(run(*a, 5,
                  [&](std::size_t) {
                    run(*b, 4, [&](std::size_t) { run(*a, 3, [&](std::size_t) { ++total; }); });
                    run(*a, 2, [&](std::size_t) { ++total; });
                  }),
              0);
  EXPECT_EQ(total, 100 * 5 * (4 * 3 + 2));
}

TEST(executor, exceptions_become_failure) {
  const executor_ptr e = make_executor(2);
  ASSERT_NE(e, nullptr);
  for (std::size_t count : {1, 2, 100})
    EXPECT_NE(run(*e, count,
                  [&](std::size_t i) {
                    if (i == count / 2) throw std::runtime_error("no");
                  }),
              0);
  EXPECT_EQ(times_called(*e, 100), std::vector<int>(100, 1));  // and it still works
}

TEST(executor, inside_cancelled_tasks_of_the_application) {
  const executor_ptr e = make_executor(2);
  ASSERT_NE(e, nullptr);
  tbb::task_group group;
  std::atomic<bool> ran{false};
  group.run([&] {
    group.cancel();
    EXPECT_EQ(times_called(*e, 100), std::vector<int>(100, 1));
    ran = true;
  });
  group.wait();
  EXPECT_TRUE(ran);
}

TEST(executor, affinity_of_caller_and_lent_workers_is_kept) {
  const std::vector<int> before = affinity();
  {
    const executor_ptr e = make_executor(before.size());
    ASSERT_NE(e, nullptr);
    for (int repeat = 0; repeat < 100; ++repeat) {
      EXPECT_EQ(times_called(*e, 16), std::vector<int>(16, 1));
      ASSERT_EQ(affinity(), before);
    }
    // Workers that go on to the application's own arena may run anywhere again.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int> bound{0};
    tbb::parallel_for(0, 1000, [&](int) { bound += affinity() != before; });
    EXPECT_EQ(bound, 0);
    // A caller that is a thread of oneTBB is a caller, not a worker.
    tbb::parallel_for(0, 1000, [&](int) {
      const std::thread::id caller = std::this_thread::get_id();
      run(*e, 4, [&](std::size_t) { bound += std::this_thread::get_id() == caller && affinity() != before; });
    });
    EXPECT_EQ(bound, 0);
  }
  EXPECT_EQ(affinity(), before);
}

TEST(executor, workers_have_a_core_each) {
  const std::vector<int> allowed = affinity();
  if (allowed.size() < 2) GTEST_SKIP() << "one CPU";
  const executor_ptr e = make_executor(allowed.size());
  ASSERT_NE(e, nullptr);
  const std::thread::id caller = std::this_thread::get_id();
  std::set<std::vector<int>> seen;
  std::mutex mutex;
  for (int repeat = 0; repeat < 2000 && seen.size() + 1 < allowed.size(); ++repeat)
    run(*e, allowed.size() * 4, [&](std::size_t) {
      const auto start = clock::now();
      while (microseconds_since(start) < 20) {
      }
      if (std::this_thread::get_id() == caller) return;
      const std::lock_guard lock(mutex);
      seen.insert(affinity());
    });
  EXPECT_FALSE(seen.empty());
  for (const std::vector<int>& cpus : seen) EXPECT_EQ(cpus.size(), 1U);
}

TEST(executor, same_bits_as_one_thread) {
  const std::size_t rows = 700, cols = 333;
  std::vector<float> x(rows * cols), one(x.size()), many(x.size());
  std::mt19937 random(1);
  std::normal_distribution<float> normal(1000.0F, 1.0F);
  for (float& v : x) v = normal(random);
  const matrix_view<const float> in(x.data(), rows, cols);
  for (std::size_t threads : {2, 5}) {
    const executor_ptr e = make_executor(threads);
    ASSERT_NE(e, nullptr);
    layer_norm_options row;
    ASSERT_EQ(layer_norm(in, matrix_view<float>(one.data(), rows, cols), row), status::ok);
    row.exec = e.get();
    ASSERT_EQ(layer_norm(in, matrix_view<float>(many.data(), rows, cols), row), status::ok);
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(one[i]), std::bit_cast<std::uint32_t>(many[i])) << i;

    batch_norm_options column;
    ASSERT_EQ(batch_norm_training(in, matrix_view<float>(one.data(), rows, cols), column), status::ok);
    column.exec = e.get();
    ASSERT_EQ(batch_norm_training(in, matrix_view<float>(many.data(), rows, cols), column), status::ok);
    for (std::size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(one[i]), std::bit_cast<std::uint32_t>(many[i])) << i;
  }
}

TEST(executor, idle_workers_sleep) {
  const executor_ptr e = make_executor(4);
  ASSERT_NE(e, nullptr);
  for (int repeat = 0; repeat < 1000; ++repeat) run(*e, 8, [](std::size_t) {});
  const double before = cpu_milliseconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double used = cpu_milliseconds() - before;
  std::printf("CPU time in 300 ms without work: %.2f ms\n", used);
  EXPECT_LT(used, 50.0);
}

TEST(executor, destroy_joins) {
  const std::ptrdiff_t before = threads_of_this_process();
  for (int repeat = 0; repeat < 5; ++repeat) {
    // In a thread of its own: a thread that has used oneTBB itself, as this one may have in other
    // tests, keeps the workers alive.
    std::thread([] {
      const executor_ptr e = make_executor(4);
      ASSERT_NE(e, nullptr);
      EXPECT_EQ(times_called(*e, 100), std::vector<int>(100, 1));
    }).join();
  }
  // A joined thread stays in /proc for a moment: joining waits for its memory, not for its entry.
  const auto start = clock::now();
  while (threads_of_this_process() > before && microseconds_since(start) < 2e6) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(threads_of_this_process(), before);
}

// Prints what kernels/runtime/executor.cpp states. No limit is tested: it depends on the machine
// and on who else uses it.
TEST(executor, overhead) {
  const executor_ptr e = make_executor(2);
  ASSERT_NE(e, nullptr);
  std::atomic<int> here{0};
  const auto measure = [&](const char* name, int repeats, double gap, auto task) {
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
      here = 0;
      const auto start = clock::now();
      run(*e, 2, task);
      times.push_back(microseconds_since(start));
      const auto end = clock::now();
      while (microseconds_since(end) < gap) {
      }
    }
    std::sort(times.begin(), times.end());
    std::printf("%-48s median %.2f us, 90 %% below %.2f us\n", name, times[times.size() / 2],
                times[times.size() * 9 / 10]);
  };
  const auto nothing = [](std::size_t) {};
  // oneTBB may leave both tasks to one thread: wait for the other, but not for ever.
  const auto meet = [&](std::size_t) {
    ++here;
    const auto start = clock::now();
    while (here < 2 && microseconds_since(start) < 1000) {
    }
    here = 2;
  };
  measure("2 empty tasks, back to back", 20000, 0, nothing);
  measure("2 tasks that wait for each other, back to back", 20000, 0, meet);
  measure("the same, 20 us after the last", 2000, 20, meet);
  measure("the same, 1 ms after the last", 300, 1000, meet);
}

}  // namespace
}  // namespace simdnorm

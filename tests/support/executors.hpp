// SPDX-License-Identifier: Apache-2.0
//
// Executors as callers might bring them; simdnorm_executor promises only that each task runs once.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "simdnorm/simdnorm.h"
#include "support/data.hpp"

namespace simdnorm::test {

// Counts what it was asked to do, so that a test can tell that it was asked at all.
struct test_executor {
  simdnorm_executor c{};
  std::atomic<std::size_t> runs{0}, tasks{0};

  test_executor(std::size_t threads, int (*run)(void*, std::size_t, simdnorm_task, void*)) {
    c.context = this;
    c.threads = threads;
    c.run = run;
  }
  test_executor(const test_executor&) = delete;
  test_executor& operator=(const test_executor&) = delete;
  static test_executor& of(void* context, std::size_t count) {
    test_executor& self = *static_cast<test_executor*>(context);
    ++self.runs;
    self.tasks += count;
    return self;
  }
};

// Threads that take the next task from a counter; `on_start` and `on_end` frame each thread.
struct thread_executor : test_executor {
  std::function<void()> on_start, on_end;
  explicit thread_executor(std::size_t threads) : test_executor(threads, &run) {}

 private:
  static int run(void* context, std::size_t count, simdnorm_task task, void* arg) {
    auto& self = static_cast<thread_executor&>(of(context, count));
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
      if (self.on_start) self.on_start();
      for (std::size_t i; (i = next++) < count;) task(arg, i);
      if (self.on_end) self.on_end();
    };
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < self.c.threads; ++t) threads.emplace_back(work);
    for (std::thread& t : threads) t.join();
    return 0;
  }
};

// Runs the tasks backwards on the calling thread.
struct reverse_executor : test_executor {
  explicit reverse_executor(std::size_t threads) : test_executor(threads, &run) {}

 private:
  static int run(void* context, std::size_t count, simdnorm_task task, void* arg) {
    of(context, count);
    for (std::size_t i = count; i-- > 0;) task(arg, i);
    return 0;
  }
};

// Runs the tasks in a random order, two halves on two threads at a time.
struct shuffle_executor : test_executor {
  generator random{99};
  explicit shuffle_executor(std::size_t threads) : test_executor(threads, &run) {}

 private:
  static int run(void* context, std::size_t count, simdnorm_task task, void* arg) {
    auto& self = static_cast<shuffle_executor&>(of(context, count));
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) order[i] = i;
    for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[self.random.below(i)]);
    std::thread other([&] {
      for (std::size_t i = 0; i < count / 2; ++i) task(arg, order[i]);
    });
    for (std::size_t i = count / 2; i < count; ++i) task(arg, order[i]);
    other.join();
    return 0;
  }
};

// Gives up before the first task.
struct failing_executor : test_executor {
  explicit failing_executor(std::size_t threads) : test_executor(threads, &run) {}

 private:
  static int run(void* context, std::size_t count, simdnorm_task, void*) {
    of(context, count);
    return -7;
  }
};

}  // namespace simdnorm::test

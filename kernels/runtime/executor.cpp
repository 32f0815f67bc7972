// SPDX-License-Identifier: Apache-2.0
//
// simdnorm-threads: the default executor on oneTBB.
//
// One run() is one tbb::parallel_for over as many participants as there are threads. A participant
// does not own tasks; it draws them from counters, so that a call of 1,000 blocks costs the pool no
// more than a call of two.
//
// Cost, measured by executor.overhead in tests/report/executor_test.cpp (2 threads, 2 tasks, median of
// 20,000 run()s; virtual machine with 2 cores of Sapphire Rapids, oneTBB 2021.8):
//   empty tasks back to back                        0.5 us; the caller often does both itself
//   tasks that wait for each other, back to back    1.6 to 2.1 us: the true fork and join
//   the same, 20 us after the last                  1.7 to 2.5 us
//   the same, 1 ms after the last                   50 to 100 us: the worker sleeps and must be woken
// Workers of oneTBB spin for 50 to 100 us after their last task, then sleep: 0.1 to 0.6 ms of CPU
// time in 300 ms of idling. Binding workers when they enter and unbinding them when they leave does
// not show beside the wake-up (measured with and without).
//
// oneTBB promises no worker: where other processes hold the CPUs, the caller does all the tasks
// itself. So a task must never wait for another one.
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_scheduler_observer.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "simdnorm/threads.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include "runtime/topology.hpp"

namespace simdnorm {

namespace {

// More than any machine has CPUs; a greater request is a mistake (a negative number, say).
constexpr std::size_t most_threads = 1 << 14;
constexpr std::size_t no_place = static_cast<std::size_t>(-1);

// ---- one call ------------------------------------------------------------------------------------

// The tasks of one call, cut into contiguous ranges. A thread starts with the range of its slot in
// the pool and helps with the others when that is empty: the next call of the same shape finds its
// rows in the same core's cache and NUMA node, and a thread that is late or absent holds nobody up.
class job {
 public:
  job(std::size_t count, std::size_t threads, simdnorm_task task, void* arg) noexcept
      : ranges_(std::min({count, threads, most_ranges})), task_(task), arg_(arg) {
    const std::size_t each = count / ranges_, more = count % ranges_;
    std::size_t first = 0;
    for (std::size_t i = 0; i < ranges_; ++i) {
      range_[i].next.store(first, std::memory_order_relaxed);
      first += each + (i < more ? 1 : 0);
      range_[i].end = first;
    }
  }

  void work(std::size_t slot) {
    for (std::size_t i = 0; i < ranges_; ++i) {
      range& r = range_[(slot + i) % ranges_];
      while (r.next.load(std::memory_order_relaxed) < r.end) {
        const std::size_t index = r.next.fetch_add(1, std::memory_order_relaxed);
        if (index < r.end) task_(arg_, index);
      }
    }
  }

 private:
  static constexpr std::size_t most_ranges = 64;  // 4 KiB of the caller's stack; more threads share
  struct alignas(64) range {
    std::atomic<std::size_t> next;
    std::size_t end;
  };
  range range_[most_ranges];
  std::size_t ranges_;
  simdnorm_task task_;
  void* arg_;
};

// A task that calls run() again gets the calling thread alone: all threads are busy anyway, and two
// executors that call each other cannot wait for each other's threads.
thread_local bool inside_task = false;
// A caller may itself be a thread of oneTBB: then it is no worker of ours, and stays unbound.
thread_local bool calling = false;

// Sets a flag for a scope.
class flag_scope {
 public:
  explicit flag_scope(bool& flag) noexcept : flag_(flag), before_(std::exchange(flag, true)) {}
  ~flag_scope() { flag_ = before_; }
  flag_scope(const flag_scope&) = delete;
  flag_scope& operator=(const flag_scope&) = delete;

 private:
  bool& flag_;
  bool before_;
};

// ---- worker threads ------------------------------------------------------------------------------

// Workers belong to oneTBB and may serve the application's own arenas, too: each is bound when it
// enters an executor and gets back what it had when it leaves.
struct worker_state {
  cpu_set before;  // null: not inside, or its binding is unknown
  std::size_t place = no_place;
};
thread_local worker_state this_worker;

// oneTBB has one limit of threads for the process; by default the CPUs it may use. It is raised
// while an executor needs more, never lowered, and shared by all: two executors in use at once
// divide the threads between them instead of fighting for the CPUs.
class thread_pool {
 public:
  void add(std::size_t threads) {
    const std::lock_guard lock(mutex_);
    wanted_.push_back(threads);
    try {
      if (wanted_.size() == 1) handle_ = tbb::task_scheduler_handle(tbb::attach{});
      raise();
    } catch (...) {
      wanted_.pop_back();
      throw;
    }
  }
  void remove(std::size_t threads) {
    const std::lock_guard lock(mutex_);
    wanted_.erase(std::find(wanted_.begin(), wanted_.end(), threads));
    raise();
    // Joins the workers; false, and they stay, while the application uses oneTBB itself.
    if (wanted_.empty()) (void)tbb::finalize(handle_, std::nothrow);
  }

 private:
  std::mutex mutex_;
  std::vector<std::size_t> wanted_;
  tbb::task_scheduler_handle handle_;
  std::size_t limit_ = 0;
  std::optional<tbb::global_control> control_;

  void raise() {
    const std::size_t most = wanted_.empty() ? 0 : *std::max_element(wanted_.begin(), wanted_.end());
    if (most == limit_) return;
    control_.reset();
    limit_ = most;
    constexpr auto parameter = tbb::global_control::max_allowed_parallelism;
    if (most > tbb::global_control::active_value(parameter)) control_.emplace(parameter, most);
  }
};

thread_pool& pool() {
  static thread_pool the_pool;
  return the_pool;
}

// ---- the executor --------------------------------------------------------------------------------

class default_executor : private tbb::task_scheduler_observer {
 public:
  simdnorm_executor face{};

  default_executor(std::size_t threads, std::optional<topology> machine, const std::vector<place>& places)
      : default_executor(threads, std::move(machine)) {
    for (const place& p : places) {
      places_.push_back(to_cpu_set(p.cpus));
      for (unsigned cpu : p.cpus) {
        if (cpu >= place_of_cpu_.size()) place_of_cpu_.resize(cpu + 1, no_place);
        place_of_cpu_[cpu] = places_.size() - 1;
      }
    }
    if (!places_.empty()) observe(true);
  }

  ~default_executor() override {
    if (!places_.empty()) {
      // Workers leave by themselves, about 0.1 ms after the last task. Wait, so that all get their
      // own binding back; the limit is for a worker that the application keeps from running.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
      while (inside_.load() != 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      observe(false);
    }
    arena_.terminate();
    pool().remove(threads_);
  }

  // Has oneTBB start its threads, so that the first call does not pay for it and a failure comes
  // now. The pool promises no thread: give up after 5 ms, they will come when they are needed.
  void start_workers() noexcept {
    struct roll_call {
      std::atomic<std::size_t> missing;
      std::chrono::steady_clock::time_point deadline;
    } all{threads_, std::chrono::steady_clock::now() + std::chrono::milliseconds(5)};
    const auto wait_for_all = [](void* arg, std::size_t) {
      auto& r = *static_cast<roll_call*>(arg);
      r.missing.fetch_sub(1);
      while (r.missing.load() != 0 && std::chrono::steady_clock::now() < r.deadline) std::this_thread::yield();
    };
    (void)run(threads_, wait_for_all, &all);
  }

  int run(std::size_t count, simdnorm_task task, void* arg) noexcept {
    try {
      if (count == 0) return 0;
      if (count == 1 || threads_ == 1 || inside_task) {
        for (std::size_t i = 0; i < count; ++i) task(arg, i);
        return 0;
      }
      note_caller();
      const flag_scope here(calling);
      job work(count, threads_, task, arg);
      // Isolated: the caller's own oneTBB tasks may be cancelled, ours must run.
      tbb::task_group_context context(tbb::task_group_context::isolated);
      arena_.execute([&] {
        tbb::parallel_for(
            tbb::blocked_range<std::size_t>(0, std::min(count, threads_), 1),
            [&](const tbb::blocked_range<std::size_t>&) { take_part(work); }, tbb::simple_partitioner{}, context);
      });
      return context.is_group_execution_cancelled() ? 1 : 0;
    } catch (...) {
      return 1;  // a task threw, or memory ran out
    }
  }

 private:
  std::size_t threads_;
  std::optional<topology> machine_;
  std::vector<cpu_set> places_;  // by slot of the arena; empty: nobody is bound
  std::vector<std::size_t> place_of_cpu_;
  std::atomic<std::size_t> caller_place_{0};
  std::atomic<int> inside_{0};
  tbb::task_arena arena_;

  // Registers with the pool; the destructor unregisters even if the public constructor throws.
  default_executor(std::size_t threads, std::optional<topology> machine)
      : tbb::task_scheduler_observer(arena_),
        threads_(threads),
        machine_(std::move(machine)),
        arena_(static_cast<int>(threads), 1) {
    pool().add(threads_);
  }

  void take_part(job& work) {
    const int slot = tbb::this_task_arena::current_thread_index();
    const std::size_t s = slot < 0 ? 0 : static_cast<std::size_t>(slot);
    settle(s);
    const flag_scope here(inside_task);
    work.work(s);
  }

  // The caller is never bound, so workers keep out of its way: whoever has the place where the
  // caller runs takes place 0 instead. Without this a worker may be bound to the caller's core,
  // and the scheduler needs milliseconds to see that only the caller can move.
  void note_caller() noexcept {
#if defined(__linux__)
    if (places_.empty()) return;
    const int cpu = sched_getcpu();
    const std::size_t c = static_cast<std::size_t>(cpu);
    const std::size_t p = cpu >= 0 && c < place_of_cpu_.size() ? place_of_cpu_[c] : no_place;
    if (p != caller_place_.load(std::memory_order_relaxed)) caller_place_.store(p, std::memory_order_relaxed);
#endif
  }

  // Binds the calling thread to the place of its slot, if it is a worker and not there yet.
  void settle(std::size_t slot) noexcept {
    worker_state& me = this_worker;
    if (!me.before) return;
    const std::size_t want = slot == caller_place_.load(std::memory_order_relaxed) ? 0 : slot;
    if (want == me.place || want >= places_.size()) return;
    if (machine_->bind_this_thread(places_[want])) me.place = want;
  }

  void on_scheduler_entry(bool worker) override {
    if (!worker || calling) return;
    inside_.fetch_add(1);
    this_worker.place = no_place;
    this_worker.before = machine_->binding_of_this_thread();
    const int slot = tbb::this_task_arena::current_thread_index();
    if (slot >= 0) settle(static_cast<std::size_t>(slot));
  }
  void on_scheduler_exit(bool worker) override {
    if (!worker || calling) return;
    if (this_worker.place != no_place) (void)machine_->bind_this_thread(this_worker.before);
    this_worker = worker_state{};
    inside_.fetch_sub(1);
  }
};

extern "C" int simdnorm_default_executor_run(void* context, std::size_t count, simdnorm_task task, void* arg) {
  return static_cast<default_executor*>(context)->run(count, task, arg);
}

// Whether the system gives as many threads now. oneTBB starts its own later, from inside a run(),
// and ends the process if it cannot.
bool can_start(std::size_t threads) {
  std::vector<std::thread> probes;
  probes.reserve(threads);
  bool all = true;
  std::mutex gate;  // holds every probe until the last has started
  std::unique_lock closed(gate);
  try {
    while (probes.size() < threads) probes.emplace_back([&] { const std::lock_guard pass(gate); });
  } catch (...) {
    all = false;
  }
  closed.unlock();
  for (std::thread& probe : probes) probe.join();
  return all;
}

}  // namespace

}  // namespace simdnorm

extern "C" SIMDNORM_API simdnorm_status simdnorm_executor_create(std::size_t threads, simdnorm_executor** out) {
  using namespace simdnorm;
  if (out == nullptr) return SIMDNORM_NULL_POINTER;
  if (threads > most_threads) return SIMDNORM_EXECUTOR_FAILED;
  try {
    std::optional<topology> machine;
    std::vector<place> places;
    unsigned allowed_cpus = std::max(1U, std::thread::hardware_concurrency());
    try {
      machine = topology::load();
    } catch (const std::exception&) {
      // Unplaced threads are better than none.
    }
    // HWLOC_SYNTHETIC and HWLOC_XMLFILE describe machines where nothing can be bound.
    if (machine && machine->is_this_machine()) {
      const cpu_set allowed = machine->allowed();
      allowed_cpus = count_cpus(allowed);
      if (threads == 0) threads = usable_threads(allowed_cpus, read_container_limits());
      places = machine->places(threads, allowed);
    }
    if (threads == 0) threads = usable_threads(allowed_cpus, read_container_limits());
    if (!can_start(threads - 1)) return SIMDNORM_EXECUTOR_FAILED;
    auto made = std::make_unique<default_executor>(threads, std::move(machine), places);
    made->face = {made.get(), threads, &simdnorm_default_executor_run};
    made->start_workers();
    *out = &made.release()->face;
    return SIMDNORM_OK;
  } catch (...) {
    return SIMDNORM_EXECUTOR_FAILED;
  }
}

extern "C" SIMDNORM_API void simdnorm_executor_destroy(simdnorm_executor* executor) {
  if (executor == nullptr) return;
  delete static_cast<simdnorm::default_executor*>(executor->context);
}

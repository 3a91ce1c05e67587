// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_FORK

#include <selectors/os/fork.hpp>

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace selectors::detail {

// The number of this process, as an object remembers it that must know later whether it is a child's copy. One load, so
// that a signal handler can ask.
inline std::uint32_t this_process() noexcept { return forks; }

// Waits a moment for another thread. A thread of real-time priority must sleep: sched_yield(2) lets no thread of lower
// priority run.
inline void wait_a_moment(int& tries) noexcept {
  constexpr int yields = 100;
  if (++tries < yields) {
    ::sched_yield();
    return;
  }
  const timespec pause{0, 100'000};
  ::nanosleep(&pause, nullptr);
}

// A lock for a few instructions and system calls that never wait. A fork(2) copies it locked if another thread of the
// parent holds it at that moment, and no such thread exists in the child: so it names the process whose thread holds
// it, and a child takes a lock that its parent held.
class process_lock {
 public:
  constexpr process_lock() noexcept = default;

  void lock() noexcept {
    const std::uint32_t mine = this_process() + 1;
    int tries = 0;
    for (;;) {
      std::uint32_t holder = holder_.load(std::memory_order_relaxed);
      if (holder != mine && holder_.compare_exchange_weak(holder, mine, std::memory_order_acquire)) return;
      if (holder == mine) wait_a_moment(tries);
    }
  }
  void unlock() noexcept { holder_.store(0, std::memory_order_release); }

 private:
  std::atomic<std::uint32_t> holder_{0};
};

// std::lock_guard without <mutex>.
class process_lock_guard {
 public:
  explicit process_lock_guard(process_lock& lock) noexcept : lock_(lock) { lock_.lock(); }
  process_lock_guard(const process_lock_guard&) = delete;
  process_lock_guard& operator=(const process_lock_guard&) = delete;
  ~process_lock_guard() { lock_.unlock(); }

 private:
  process_lock& lock_;
};

}  // namespace selectors::detail

#endif

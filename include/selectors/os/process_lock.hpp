// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/os/fork.hpp>

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace SELECTORS_NAMESPACE::detail {

// Yields to another thread, and sleeps after 100 attempts: a thread of real-time priority must, because
// sched_yield(2) lets no thread of lower priority run.
inline void wait_a_moment(int& tries) noexcept {
  constexpr int yields = 100;
  if (++tries < yields) {
    ::sched_yield();
    return;
  }
  const timespec pause{0, 100'000};
  ::nanosleep(&pause, nullptr);
}

// A lock for short sections without blocking system calls. If another thread holds it during fork(2), the
// child's copy is locked, but the child has no such thread. So the lock points to the process word of its
// holder (os/fork.hpp), which is zero in every child: a child can take a lock that its parent held.
class process_lock {
 public:
  constexpr process_lock() noexcept = default;

  void lock() noexcept {
    const std::uint32_t* const mine = own_word();
    int tries = 0;
    for (;;) {
      const std::uint32_t* holder = holder_.load(std::memory_order_acquire);
      const bool is_held = holder != nullptr && __atomic_load_n(holder, __ATOMIC_RELAXED) != 0;
      if (!is_held && holder_.compare_exchange_weak(holder, mine, std::memory_order_acquire)) return;
      if (is_held) wait_a_moment(tries);
    }
  }
  void unlock() noexcept { holder_.store(nullptr, std::memory_order_release); }

 private:
  // Without memory for a word, a child cannot be recognized, and finds a lock that its parent held locked.
  static const std::uint32_t* own_word() noexcept {
    static constexpr std::uint32_t any_process = 1;
    process_stamp this_one;
    return this_one.set() ? &any_process : this_one.word();
  }

  std::atomic<const std::uint32_t*> holder_{nullptr};
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

}  // namespace SELECTORS_NAMESPACE::detail

#endif

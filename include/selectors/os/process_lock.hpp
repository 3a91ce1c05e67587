// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_FORK

#include <selectors/os/fork.hpp>

#include <sched.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace SELECTORS_NAMESPACE::detail {

// Waits a moment for another thread. A thread of real-time priority must sleep: sched_yield(2) lets no thread
// of lower priority run.
inline void wait_a_moment(int& tries) noexcept {
  constexpr int yields = 100;
  if (++tries < yields) {
    ::sched_yield();
    return;
  }
  const timespec pause{0, 100'000};
  ::nanosleep(&pause, nullptr);
}

// A lock for a few instructions and system calls that never wait. A fork(2) copies it locked if another
// thread of the parent holds it at that moment, and no such thread exists in the child. So it points to the
// word of its holder's process (os/fork.hpp), which is zero in every child: a child takes a lock that its
// parent held.
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
  // Where there is no memory for a word, this process is not told from its children.
  static const std::uint32_t* own_word() noexcept {
    static constexpr std::uint32_t any_process = 1;
    process_stamp this_one;
    return this_one.set() ? &any_process : __atomic_load_n(&process_word, __ATOMIC_ACQUIRE);
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

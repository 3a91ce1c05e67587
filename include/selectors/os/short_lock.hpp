// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>
#include <cerrno>

namespace SELECTORS_NAMESPACE::detail {

// A lock for a few instructions at a time, which a child process can make its own.
//
// Why not a std::mutex: fork(2) copies a mutex as it is, and one that another thread holds at that moment
// stays locked in the child forever. POSIX leaves undefined what unlocking or initializing it there does,
// pthread_atfork(3); this lock is reset by a store. Also, a thread that locks a std::mutex twice hangs, while
// `lock` returns false. A thread that waits long sleeps, as with a mutex: spinning would waste a time slice
// if the holder was preempted.
class short_lock {
 public:
  // Returns false, and does nothing, if this thread holds it already.
  [[nodiscard]] bool lock() noexcept {
    const void* const self = this_thread();
    int seen = unlocked;
    if (!state_.compare_exchange_strong(seen, locked, std::memory_order_acquire, std::memory_order_relaxed)) {
      if (holder_.load(std::memory_order_relaxed) == self) return false;
      wait();
    }
    holder_.store(self, std::memory_order_relaxed);
    return true;
  }

  void unlock() noexcept {
    holder_.store(nullptr, std::memory_order_relaxed);
    if (state_.exchange(unlocked, std::memory_order_release) == contended) wake_one();
  }

  [[nodiscard]] bool is_held_by_this_thread() const noexcept {
    return holder_.load(std::memory_order_relaxed) == this_thread();
  }

  // In a child process, where no thread that might hold it exists.
  void reset() noexcept {
    holder_.store(nullptr, std::memory_order_relaxed);
    state_.store(unlocked, std::memory_order_release);
  }

 private:
  enum : int { unlocked, locked, contended };
  static constexpr int max_spins = 20;  // about as long as a critical section

  // Every thread has an errno of its own. Unlike a thread_local of this header, it is the same one in all
  // modules of a process, whatever the visibility of their symbols.
  static const void* this_thread() noexcept { return &errno; }

  // A lock taken here is marked contended even if no other thread waits any more, which costs one needless
  // wake-up.
  SELECTORS_NOINLINE void wait() noexcept {
    for (int spins = 0; spins != max_spins; ++spins) {
      int seen = state_.load(std::memory_order_relaxed);
      if (seen == unlocked &&
          state_.compare_exchange_weak(seen, locked, std::memory_order_acquire, std::memory_order_relaxed))
        return;
    }
    while (state_.exchange(contended, std::memory_order_acquire) != unlocked) sleep();
  }

  // On Linux futex(2) itself: std::atomic::wait of libstdc++ yields before it sleeps, and threads that yield
  // to each other pass the lock to and fro at each post, which makes a post twice as long.
#if SELECTORS_HAS_EPOLL && defined(SYS_futex)
  static_assert(sizeof(std::atomic<int>) == sizeof(int));
  SELECTORS_COLD void sleep() noexcept {
    ::syscall(SYS_futex, &state_, FUTEX_WAIT_PRIVATE, contended, nullptr, nullptr, 0);
  }
  SELECTORS_COLD void wake_one() noexcept {
    ::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
#else
  SELECTORS_COLD void sleep() noexcept { state_.wait(contended, std::memory_order_relaxed); }
  SELECTORS_COLD void wake_one() noexcept { state_.notify_one(); }
#endif

  std::atomic<int> state_{unlocked};
  std::atomic<const void*> holder_{nullptr};
};

}  // namespace SELECTORS_NAMESPACE::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/kqueue_descriptor.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/child.hpp>

#include <sys/types.h>

#include <sys/event.h>
#include <time.h>

#include <cerrno>

namespace SELECTORS_NAMESPACE::detail {

// Reports the end of a child by EVFILT_PROC of kqueue(2), in a queue of its own, so that any selector can
// watch it. The queue is readable while it holds the event. Child processes do not inherit it.
class kqueue_watch {
 public:
  // Sets `is_missing` if the system cannot watch the process: some answer ESRCH for one that has ended
  // already.
  failure open(pid_t pid, bool& is_missing) noexcept {
    if (const failure failed = find_child(pid)) return failed;
    if (const failure failed = queue_.open()) return failed;
    event change{};
    change.ident = static_cast<decltype(change.ident)>(pid);
    change.filter = EVFILT_PROC;
    change.flags = EV_ADD | EV_ONESHOT;
    change.fflags = NOTE_EXIT;
    if (call(&change, nullptr) >= 0) return {};
    is_missing = true;
    const int error = errno;
    queue_.close();
    return failure::system("kevent", error);
  }

  native_handle_type native_handle() const noexcept { return queue_.get(); }
  child_end reap(pid_t pid) noexcept { return reap_child(pid); }

  // Takes the event, which is reported once, and before the child can be reaped.
  void silence() noexcept {
    event got{};
    call(nullptr, &got);
  }
  // In a child process the number is free or reused.
  void silence_copy() noexcept {}

  bool kill(pid_t pid, int signal) noexcept { return kill_child(pid, signal); }

 private:
  using event = struct kevent;

  int call(const event* change, event* got) noexcept {
    const timespec at_once{};
    int result = 0;
    do {
      result = ::kevent(queue_.get(), change, change != nullptr, got, got != nullptr, &at_once);
    } while (result < 0 && errno == EINTR);
    return result;
  }

  kqueue_descriptor queue_;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

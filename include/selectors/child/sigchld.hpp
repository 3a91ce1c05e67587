// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_FORK

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/child.hpp>
#include <selectors/os/signal_handlers.hpp>
#include <selectors/wakeup.hpp>

#include <sys/types.h>

#include <signal.h>

#include <atomic>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Reports the end of a child by SIGCHLD, where the system has nothing better. Signals coalesce, so the
// handler examines each watched child, with one system call each. It also calls the program's own handler,
// which must return: after siglongjmp(3) it is not called again in that thread. A handler that the program
// sets later must call the one that it replaces; otherwise ends are missed until the next child is watched.
class sigchld_watch {
 public:
  failure open(pid_t pid, bool& is_missing) noexcept {
    is_missing = false;
    if (const failure failed = find_child(pid)) return failed;
    std::error_code error;
    std::unique_ptr<listener> made(new (std::nothrow) listener(pid, error));
    if (made == nullptr) return failure::memory();
    if (error) return failure::system(SELECTORS_HAS_EVENTFD ? "eventfd" : "pipe", error.value());
    if (const failure failed = all_signal_handlers.subscribe(*made)) return failed;
    made->look();  // it may have ended already
    listener_ = std::unique_ptr<listener, unsubscribe>(made.release());
    return {};
  }

  native_handle_type native_handle() const noexcept {
    return listener_ == nullptr ? invalid_handle : listener_->bell.native_handle();
  }
  child_end reap(pid_t pid) noexcept {
    const child_end end = reap_child(pid);
    if (end.state == child_state::is_running) listener_->start_anew();
    return end;
  }

  // The handler notifies only once.
  void silence() noexcept {
    silence_copy();
    listener_->bell.reset();
  }
  // In a child process.
  void silence_copy() noexcept { listener_->is_reported.store(true); }

  bool kill(pid_t pid, int signal) noexcept { return kill_child(pid, signal); }

 private:
  struct listener final : signal_subscriber {
    listener(pid_t which, std::error_code& error) noexcept
        : signal_subscriber(&hear, previous_handler::is_called), bell(error), pid(which) {
      numbers.insert(SIGCHLD);
    }

    static void hear(signal_subscriber& self, int) noexcept { static_cast<listener&>(self).look(); }

    // A child that was reaped elsewhere is reported as well. So is one that cannot be examined: `reap` finds
    // out.
    void look() noexcept {
      if (is_reported.load()) return;
      int error = 0;
      if (look_at_child(pid, error) == child_state::is_running) return;
      if (!is_reported.exchange(true)) bell.notify();
    }
    void start_anew() noexcept {
      if (!is_reported.load()) return;
      bell.reset();
      is_reported.store(false);
      look();
    }

    wakeup bell;
    const pid_t pid;
    std::atomic<bool> is_reported{false};
  };

  struct unsubscribe {
    void operator()(listener* which) const noexcept {
      which->home->unsubscribe(*which);
      delete which;
    }
  };

  std::unique_ptr<listener, unsubscribe> listener_;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/wakeup/eventfd.hpp>
#include <selectors/wakeup/loopback.hpp>
#include <selectors/wakeup/pipe.hpp>

#include <system_error>

namespace selectors {

namespace detail {

#if SELECTORS_HAS_EVENTFD
using wakeup_channel = eventfd_channel;
#elif SELECTORS_HAS_WINSOCK
using wakeup_channel = winsock_channel;
#else
using wakeup_channel = pipe_channel;
#endif

}  // namespace detail

/// How other threads, and signal handlers, end a selector's wait: a pollable like any other, registered for
/// `event::read`, that becomes readable by `notify` and stays so until `reset`. On Linux an eventfd(2), elsewhere a
/// pipe(2), close-on-exec; on Windows a TCP connection of the process with itself, not inherited. The first selector or
/// wakeup starts Winsock.
///
/// After fork(2) parent and child share it: a child makes its own.
class wakeup {
 public:
#if SELECTORS_EXCEPTIONS
  /// Throws std::system_error with the kernel's error: EMFILE, ENFILE, ENOMEM; on Windows whatever refuses sockets
  /// that are connected to 127.0.0.1. (It is a template for the sake of programs that do not call it.)
  template <class = void>
  wakeup() {
    if (const failure failed = channel_.open()) detail::raise(failed, "wakeup");
  }
#endif
  /// The same, reported to `error`; a wakeup that failed to open notifies nobody and has no handle.
  explicit wakeup(std::error_code& error) noexcept { error = channel_.open().code(); }

  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;

  /// Makes the handle readable. From any thread, and from a signal handler: errno is kept. One system call;
  /// any number of notifications before a `reset` are one. (On Windows the handle becomes readable a moment later, if
  /// another thread is in the midst of notifying.)
  void notify() noexcept { channel_.notify(); }

  /// Takes the notification; returns whether there was one. Reset before draining the queue that it
  /// announces, so that what is queued afterwards announces itself again. One system call, errno kept; of a
  /// pipe with many notifications a few.
  bool reset() noexcept { return channel_.reset(); }

  [[nodiscard]] native_handle_type native_handle() const noexcept { return channel_.native_handle(); }

 private:
  detail::wakeup_channel channel_;
};

}  // namespace selectors

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

namespace SELECTORS_NAMESPACE {

namespace detail {

#if SELECTORS_HAS_EVENTFD
using wakeup_channel = eventfd_channel;
#elif SELECTORS_HAS_WINSOCK
using wakeup_channel = winsock_channel;
#else
using wakeup_channel = pipe_channel;
#endif

}  // namespace detail

/// Lets other threads and signal handlers wake a selector: a pollable, registered for `event::read`, that
/// becomes readable by `notify` and stays so until `reset`. It is close-on-exec: on Linux an eventfd(2),
/// elsewhere, or where a sandbox refuses eventfd(2), a pipe(2). On Windows it is a TCP connection of the
/// process with itself, and is not inherited; the first selector or wakeup starts Winsock.
///
/// After fork(2), the child's copy does nothing until the child calls `reopen`: it neither notifies the
/// parent nor takes the parent's notifications, not even in a signal handler. (A child that shares its
/// parent's memory, as vfork(2) makes it, must not use the library.)
///
/// No other thread may be notifying while it is reopened or destroyed, and no signal handler may while it is
/// destroyed.
class wakeup {
 public:
#if SELECTORS_EXCEPTIONS
  /// Throws std::system_error with the kernel's error: EMFILE, ENFILE, ENOMEM; on Windows whatever refuses
  /// sockets that are connected to 127.0.0.1. (A template, so that only programs that call it contain
  /// it.)
  template <class = void>
  wakeup() {
    if (const failure failed = channel_.open()) detail::raise(failed, "wakeup");
  }
#endif
  /// The same, reported to `error`; a wakeup that failed to open has no handle, and `notify` does nothing.
  explicit wakeup(std::error_code& error) noexcept { error = channel_.open().code(); }

#if SELECTORS_EXCEPTIONS
  /// Opens a new one without a notification: in a child process, the child's own. It keeps its number, so
  /// that a selector that is reopened afterwards watches it; a selector that watched the old one needs
  /// `reopen` or `watch`. It gets another number if the program has closed the old one and reused the number,
  /// or if the number is beyond a limit that was lowered: no descriptor of the program is touched, as far as
  /// the kernel can distinguish them. On Windows it keeps its connection unless that is broken. Throws
  /// std::system_error with the kernel's error, and has changed nothing then.
  template <class = void>
  void reopen() {
    if (const failure failed = channel_.reopen()) detail::raise(failed, "wakeup::reopen");
  }
#endif
  /// The same, reported to `error`.
  void reopen(std::error_code& error) noexcept { error = channel_.reopen().code(); }

  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;

  /// Makes the handle readable. From any thread, and from a signal handler: errno is kept. One system call,
  /// none in a child before `reopen`. Notifications coalesce until `reset`. (On Windows the handle becomes
  /// readable a moment later if another thread is notifying at the same time.)
  void notify() noexcept { channel_.notify(); }

  /// Takes the notification, and returns whether there was one. Call it before draining the queue that it
  /// announces, so that values queued afterwards notify again. Keeps errno. One system call; a few for a pipe
  /// with many notifications; none in a child before `reopen`, where it returns false.
  bool reset() noexcept { return channel_.reset(); }

  [[nodiscard]] native_handle_type native_handle() const noexcept { return channel_.native_handle(); }

 private:
  detail::wakeup_channel channel_;
};

}  // namespace SELECTORS_NAMESPACE

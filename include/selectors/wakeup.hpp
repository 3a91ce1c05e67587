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

/// How other threads, and signal handlers, end a selector's wait: a pollable like any other, registered for
/// `event::read`, that becomes readable by `notify` and stays so until `reset`. On Linux an eventfd(2), or
/// a pipe(2) where a sandbox refuses that; elsewhere a pipe(2); close-on-exec; on Windows a TCP connection
/// of the process with itself, not inherited. The first selector or wakeup starts Winsock.
///
/// A child that fork(2) made has a copy that does nothing: it neither notifies its parent nor takes its
/// parent's notifications, not in a signal handler either, until the child calls `reopen`. (A child that
/// shares its parent's memory, as vfork(2) makes it, must not use the library.)
///
/// No other thread may be notifying while it is reopened or destroyed, and no signal handler may while it is
/// destroyed.
class wakeup {
 public:
#if SELECTORS_EXCEPTIONS
  /// Throws std::system_error with the kernel's error: EMFILE, ENFILE, ENOMEM; on Windows whatever refuses
  /// sockets that are connected to 127.0.0.1. (It is a template for the sake of programs that do not call
  /// it.)
  template <class = void>
  wakeup() {
    if (const failure failed = channel_.open()) detail::raise(failed, "wakeup");
  }
#endif
  /// The same, reported to `error`; a wakeup that failed to open notifies nobody and has no handle.
  explicit wakeup(std::error_code& error) noexcept { error = channel_.open().code(); }

#if SELECTORS_EXCEPTIONS
  /// Makes a fresh one, which is not notified: in a child process, its own. It keeps its number, so that a
  /// selector that is reopened afterwards watches it, and one that watched the old one has to be told
  /// (`reopen`, or `watch`). It goes on with another number if the program has closed the old one and that
  /// is somebody else's by now, or is beyond a limit that was lowered: nobody else's descriptor is touched,
  /// as far as the kernel can tell it apart. On Windows it keeps its connection, unless that is broken.
  /// Throws std::system_error with the kernel's error, and has changed nothing then.
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
  /// none in a child before `reopen`; any number of notifications before a `reset` are one. (On Windows the
  /// handle becomes readable a moment later, if another thread is in the midst of notifying.)
  void notify() noexcept { channel_.notify(); }

  /// Takes the notification; returns whether there was one. Reset before draining the queue that it
  /// announces, so that what is queued afterwards announces itself again. One system call, errno kept; of a
  /// pipe with many notifications a few. In a child before `reopen` there is none.
  bool reset() noexcept { return channel_.reset(); }

  [[nodiscard]] native_handle_type native_handle() const noexcept { return channel_.native_handle(); }

 private:
  detail::wakeup_channel channel_;
};

}  // namespace SELECTORS_NAMESPACE

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/descriptor.hpp>
#include <selectors/detail/platform.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace selectors {

/// How other threads, and signal handlers, end a selector's wait: a pollable like any other, registered for
/// `event::read`, that becomes readable by `notify` and stays so until `reset`. An eventfd(2), close-on-exec.
///
/// After fork(2) parent and child share it: a child makes its own.
class wakeup {
 public:
#if SELECTORS_EXCEPTIONS
  /// Throws std::system_error with the kernel's error: EMFILE, ENFILE, ENOMEM.
  wakeup() {
    if (const failure failed = open()) detail::raise(failed, "wakeup");
  }
#endif
  /// The same, reported to `error`; a wakeup that failed to open notifies nobody and has no handle.
  explicit wakeup(std::error_code& error) noexcept { error = open().code(); }

  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;
  ~wakeup() { detail::close_descriptor(event_); }

  /// Makes the handle readable. From any thread, and from a signal handler: errno is kept. One system call;
  /// any number of notifications before a `reset` are one.
  void notify() noexcept {
    const int kept = errno;
    const std::uint64_t one = 1;
    // EAGAIN says that the counter is full, so a notification is there already: eventfd(2). There is nothing
    // else to tell a signal handler.
    while (::write(event_, &one, sizeof one) < 0 && errno == EINTR) {
    }
    errno = kept;
  }

  /// Takes the notification; returns whether there was one. Reset before draining the queue that it
  /// announces, so that what is queued afterwards announces itself again. One system call, errno kept.
  bool reset() noexcept {
    const int kept = errno;
    std::uint64_t count = 0;
    auto taken = ::read(event_, &count, sizeof count);  // EAGAIN: there is none
    while (taken < 0 && errno == EINTR) taken = ::read(event_, &count, sizeof count);
    errno = kept;
    return taken == sizeof count;
  }

  [[nodiscard]] native_handle_type native_handle() const noexcept { return event_; }

 private:
  failure open() noexcept {
    event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return event_ < 0 ? failure::system("eventfd", errno) : failure();
  }

  native_handle_type event_ = detail::invalid_handle;
};

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EVENTFD

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/posix.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace selectors::detail {

// What a wakeup is made of on Linux: an eventfd(2), which counts notifications and is readable unless there are none.
class eventfd_channel {
 public:
  ~eventfd_channel() { close_descriptor(event_); }

  failure open() noexcept {
    event_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return event_ < 0 ? failure::system("eventfd", errno) : failure();
  }

  // EAGAIN says that the counter is full, so a notification is there already: eventfd(2). There is nothing
  // else to tell a signal handler.
  void notify() noexcept {
    const int kept = errno;
    const std::uint64_t one = 1;
    while (::write(event_, &one, sizeof one) < 0 && errno == EINTR) {
    }
    errno = kept;
  }

  bool reset() noexcept {
    const int kept = errno;
    std::uint64_t count = 0;
    auto taken = ::read(event_, &count, sizeof count);  // EAGAIN: there is none
    while (taken < 0 && errno == EINTR) taken = ::read(event_, &count, sizeof count);
    errno = kept;
    return taken == sizeof count;
  }

  native_handle_type native_handle() const noexcept { return event_; }

 private:
  native_handle_type event_ = invalid_handle;
};

}  // namespace selectors::detail

#endif

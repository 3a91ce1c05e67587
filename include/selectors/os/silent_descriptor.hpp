// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_PIDFD

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/posix.hpp>
#include <selectors/os/process_lock.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace selectors::detail {

// A descriptor that is never readable: an eventfd(2) that nobody notifies. There is one in the process while somebody holds
// it, so that putting it over another number needs no free descriptor, and works when all are in use.
class silent_descriptor {
 public:
  constexpr silent_descriptor() noexcept = default;

  failure hold() noexcept {
    const process_lock_guard guard(lock_);
    if (holders_ == 0) number_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (number_ < 0) return failure::system("eventfd", errno);
    ++holders_;
    return {};
  }
  void release() noexcept {
    const process_lock_guard guard(lock_);
    if (--holders_ == 0) close_descriptor(number_);
  }

  // By who holds it. What the number named is closed. dup3(2) is an old call, but a sandbox may know dup2(2) alone.
  void put_over(native_handle_type number) const noexcept {
    if (again([&] { return ::dup3(number_, number, O_CLOEXEC); })) return;
    if (again([&] { return ::dup2(number_, number); })) ::fcntl(number, F_SETFD, FD_CLOEXEC);
  }

 private:
  // EBUSY: another thread is about to open this number: dup(2).
  template <class Call>
  static bool again(Call call) noexcept {
    int result = 0;
    do {
      result = call();
    } while (result < 0 && (errno == EINTR || errno == EBUSY));
    return result >= 0;
  }

  process_lock lock_;
  std::size_t holders_ = 0;
  native_handle_type number_ = invalid_handle;
};

inline constinit silent_descriptor the_silent_descriptor;

}  // namespace selectors::detail

#endif

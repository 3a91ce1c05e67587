// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EVENTFD

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/owned_descriptor.hpp>
#include <selectors/wakeup/pipe.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// The channel of a wakeup on Linux: an eventfd(2), which counts notifications and is readable while the count
// is not zero. It has no writing end. Where a sandbox refuses eventfd(2), a pipe is used.
class eventfd_channel : private pipe_channel {
 public:
  failure open() noexcept {
    if (const failure failed = process_.set()) return failed;
    reader_ = owned_descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (reader_) return {};
    const int error = errno;
    process_.clear();
    if (error == ENOSYS || error == EPERM || error == EACCES) return pipe_channel::open();
    return failure::system("eventfd", error);
  }

  failure reopen() noexcept {
    eventfd_channel fresh;
    if (const failure failed = fresh.open()) return failed;
    take(std::move(fresh));
    return {};
  }

  // EAGAIN means that the counter is full, so a notification is pending already: eventfd(2). Other errors
  // cannot be reported from a signal handler.
  void notify() noexcept {
    const std::uint64_t one = 1;
    if (process_.is_current()) write_to(writer_ ? writer_ : reader_, &one, sizeof one);
  }

  bool reset() noexcept {
    if (writer_) return pipe_channel::reset();
    if (!process_.is_current()) return false;
    const int kept = errno;
    std::uint64_t count = 0;
    auto taken = ::read(reader_.get(), &count, sizeof count);  // EAGAIN: there is none
    while (taken < 0 && errno == EINTR) taken = ::read(reader_.get(), &count, sizeof count);
    errno = kept;
    return taken == sizeof count;
  }

  using pipe_channel::native_handle;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/posix.hpp>

#include <sys/types.h>

#include <fcntl.h>
#include <sys/event.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace selectors::detail {

// The descriptor of a queue. A child does not inherit it: there the number is free, or somebody else's. (What libkqueue
// leaves open in a child stays open.)
class kqueue_descriptor {
 public:
  kqueue_descriptor() noexcept = default;
  kqueue_descriptor(kqueue_descriptor&& other) noexcept { *this = std::move(other); }
  kqueue_descriptor& operator=(kqueue_descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    std::swap(process_, other.process_);
    return *this;
  }
  ~kqueue_descriptor() { close(); }

  native_handle_type get() const noexcept { return number_; }

  failure open() noexcept {
    if (const failure failed = process_.set()) return failed;
    return make(number_);
  }

  // A new queue, on the same number if it can; or it fails, and keeps the old one.
  failure reopen() noexcept {
    process_stamp own;
    if (const failure failed = own.set()) return failed;
    native_handle_type fresh = invalid_handle;
    if (const failure failed = make(fresh)) return failed;
    if (SELECTORS_HAS_KERNEL_KQUEUE && is_own() && take_place_of_old(fresh)) return {};
    close();
    number_ = fresh;
    process_ = own;
    return {};
  }

  void close() noexcept {
    if (!is_own()) number_ = invalid_handle;
    close_descriptor(number_);
  }

 private:
  bool is_own() const noexcept { return process_.is_current(); }

  // No child inherits it, so none can carry it through exec(2) before it is close-on-exec.
  static failure make(native_handle_type& queue) noexcept {
    queue = ::kqueue();
    if (queue < 0) return failure::system("kqueue", errno);
    if (::fcntl(queue, F_SETFD, FD_CLOEXEC) == 0) return {};
    const int error = errno;
    close_descriptor(queue);
    return failure::system("fcntl", error);
  }

  // dup2(2) closes the old one.
  bool take_place_of_old(native_handle_type& fresh) noexcept {
    int result = 0;
    do {
      result = ::dup2(fresh, number_);
    } while (result < 0 && (errno == EINTR || errno == EBUSY));
    if (result < 0 || ::fcntl(number_, F_SETFD, FD_CLOEXEC) < 0) return false;
    close_descriptor(fresh);
    return true;
  }

  native_handle_type number_ = invalid_handle;
  process_stamp process_;  // whose it is
};

}  // namespace selectors::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/owned_descriptor.hpp>
#include <selectors/os/posix.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Makes a close-on-exec epoll(7) object. epoll_create1(2) is from Linux 2.6.27; a sandbox may allow only the
// older call.
SELECTORS_COLD inline failure make_epoll(owned_descriptor& made) noexcept {
  int fresh = ::epoll_create1(EPOLL_CLOEXEC);
  if (fresh < 0 && is_forbidden_call(errno)) {
    fresh = ::epoll_create(1);
    if (fresh >= 0) ::fcntl(fresh, F_SETFD, FD_CLOEXEC);
  }
  if (fresh < 0) return failure::system("epoll_create1", errno);
  made = owned_descriptor(fresh);
  return {};
}

// Lets `outer` watch `inner` for read, level or edge. Zero or an errno.
inline int nest_epoll(int operation, int outer, int inner, std::uint32_t trigger, void* token) noexcept {
  epoll_event watched{};
  watched.events = EPOLLIN | trigger;
  watched.data.ptr = token;
  return ::epoll_ctl(outer, operation, inner, &watched) == 0 ? 0 : errno;
}

// Its request is an unsigned long in one C library, and an int in another.
template <class Request>
int call_ioctl(int (*call)(int, Request, ...), int number, unsigned long request, void* argument) noexcept {
  return call(number, static_cast<Request>(request), argument);
}

// What EPIOCSPARAMS sets (ioctl_eventpoll(2), Linux 6.9): how long a wait polls the network devices itself.
SELECTORS_COLD inline void copy_busy_polling(int from, int to) noexcept {
  struct {
    std::uint32_t microseconds;
    std::uint16_t budget;
    std::uint8_t is_preferred;
    std::uint8_t padding;
  } parameters{};
  const int kept = errno;
  if (call_ioctl(::ioctl, from, _IOR(0x8A, 0x02, decltype(parameters)), &parameters) == 0 &&
      (parameters.microseconds != 0 || parameters.budget != 0 || parameters.is_preferred != 0))
    (void)call_ioctl(::ioctl, to, _IOW(0x8A, 0x01, decltype(parameters)), &parameters);
  errno = kept;
}

// The object that others watch when a selector is nested in another loop: an epoll(7) object that watches the
// selector's own, so that the selector's own can be replaced. It is readable when that one is, and, by means
// of a descriptor that is always readable, when the selector has work of its own.
class epoll_front {
 public:
  explicit operator bool() const noexcept { return static_cast<bool>(front_); }
  native_handle_type get() const noexcept { return front_.get(); }

  SELECTORS_COLD failure make(int inner) noexcept {
    epoll_front fresh;
    if (const failure failed = make_epoll(fresh.front_)) return failed;
    if (const failure failed = fresh.make_readable()) return failed;
    if (const int error = nest_epoll(EPOLL_CTL_ADD, fresh.get(), inner, 0, nullptr))
      return failure::system("epoll_ctl", error);
    *this = std::move(fresh);
    return {};
  }

  // In a child, where the object is shared with the parent: makes a new one, on the same number if possible.
  SELECTORS_COLD failure remake(int inner) noexcept {
    epoll_front fresh;
    if (const failure failed = fresh.make(inner)) return failed;
    if (front_.is_intact()) copy_busy_polling(get(), fresh.get());
    front_.replace(std::move(fresh.front_));
    readable_ = std::move(fresh.readable_);
    is_ready_ = false;
    return {};
  }

  // Watches `fresh` instead of `inner`. On failure nothing has changed.
  SELECTORS_COLD failure exchange(int inner, int fresh) noexcept {
    if (const failure failed = add(fresh)) return failed;
    remove(inner);
    return {};
  }
  SELECTORS_COLD failure add(int inner) noexcept {
    const int error = front_ ? nest_epoll(EPOLL_CTL_ADD, get(), inner, 0, nullptr) : 0;
    return error == 0 ? failure() : failure::system("epoll_ctl", error);
  }
  // Call it before `inner` is closed: if a child process holds a duplicate, closing does not remove it.
  SELECTORS_COLD void remove(int inner) noexcept {
    if (front_) (void)nest_epoll(EPOLL_CTL_DEL, get(), inner, 0, nullptr);
  }

  // Readable, and reported again to those who watch edge-triggered and have heard of it.
  SELECTORS_COLD void signal_again() noexcept {
    signal(false);
    signal(true);
  }
  // Readable or not, beside what the inner object says. One system call for a change.
  SELECTORS_NOINLINE void signal(bool is_ready) noexcept {
    if (is_ready == is_ready_) return;
    const int operation = is_ready ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
    if (nest_epoll(operation, get(), readable_.get(), 0, nullptr) == 0 || !is_ready) is_ready_ = is_ready;
  }

  SELECTORS_COLD void close() noexcept {
    front_.close();
    readable_.close();
    is_ready_ = false;
  }

 private:
  // An eventfd(2) that is never read; where a sandbox refuses that, the reading end of a pipe(2) without
  // writer.
  SELECTORS_COLD failure make_readable() noexcept {
    int fresh = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fresh < 0) {
      int ends[2];
      if (::pipe(ends) != 0) return failure::system("pipe", errno);
      ::close(ends[1]);
      fresh = ends[0];
      ::fcntl(fresh, F_SETFD, FD_CLOEXEC);
    }
    readable_ = owned_descriptor(fresh);
    return {};
  }

  owned_descriptor front_;
  owned_descriptor readable_;
  bool is_ready_ = false;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

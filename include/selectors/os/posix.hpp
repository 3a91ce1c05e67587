// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/detail/chrono.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

// What the backends of POSIX share.
namespace SELECTORS_NAMESPACE::detail {

// Whether a number is open, and can ever be ready. F_GETFL fails with EBADF alone, and only for a number that
// is not open: fcntl(2). A descriptor opened with O_PATH names a file without opening it: poll(2) reports
// POLLNVAL for it, and epoll_ctl(2) fails with EBADF.
inline bool is_open_descriptor(native_handle_type handle) noexcept {
  const int flags = ::fcntl(handle, F_GETFL);
#if defined(O_PATH)
  return flags >= 0 && (flags & O_PATH) == 0;
#else
  return flags >= 0;
#endif
}

// Whether poll(2) reports a file as always ready: a regular file, a directory, a disk, or a character device
// without readiness (/dev/null). For a character device only poll(2) itself knows.
// Returns `refusal`, why another call does not take the file, if it is not one; nothing if it is.
inline failure refusal_unless_always_ready(native_handle_type handle, failure refusal) noexcept {
  struct stat about{};
  if (::fstat(handle, &about) != 0) return failure::system("fstat", errno);
  if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode)) return {};
  if (!S_ISCHR(about.st_mode)) return refusal;
  constexpr short both = POLLIN | POLLOUT;
  pollfd asked{handle, both, 0};
  return ::poll(&asked, 1, 0) == 1 && asked.revents == both ? failure() : refusal;
}

// Whether a system call does not exist or is forbidden: old kernels answer ENOSYS, sandboxes any of these.
constexpr bool is_forbidden_call(int error) noexcept {
  return error == ENOSYS || error == EPERM || error == EACCES || error == EOPNOTSUPP;
}

// Closes the descriptor and sets it to the invalid handle. Linux releases the number even if close(2) fails,
// so EINTR must not be retried. Keeps errno, because a close often follows a failure.
inline void close_descriptor(native_handle_type& handle) noexcept {
  if (handle == invalid_handle) return;
  const int kept = errno;
  ::close(handle);
  errno = kept;
  handle = invalid_handle;
}

// A timeout for ppoll(2), pselect(2) and kevent(2); null waits forever. A timeout above a hundred million
// seconds (three years) counts as forever, since macOS and some BSDs refuse it with EINVAL, select(2).
class timespec_of {
 public:
  explicit timespec_of(std::chrono::nanoseconds timeout) noexcept {
    const auto whole = std::chrono::floor<std::chrono::seconds>(timeout);
    is_endless_ = whole >= longest;
    if (is_endless_) return;
    value_.tv_sec = static_cast<decltype(value_.tv_sec)>(whole.count());
    value_.tv_nsec = static_cast<decltype(value_.tv_nsec)>((timeout - whole).count());
  }
  const timespec* get() const noexcept { return is_endless_ ? nullptr : &value_; }

 private:
  static constexpr std::chrono::seconds longest{100'000'000};

  timespec value_{};
  bool is_endless_ = false;
};

// Rounded up to whole microseconds: FreeBSD's pselect(2) rounds down to a timeval.
constexpr std::chrono::nanoseconds whole_microseconds(std::chrono::nanoseconds timeout) noexcept {
  constexpr auto max_whole = std::chrono::floor<std::chrono::microseconds>((std::chrono::nanoseconds::max)());
  return timeout <= max_whole ? std::chrono::ceil<std::chrono::microseconds>(timeout) : timeout;
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif

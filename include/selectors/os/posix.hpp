// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/handle.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

// What the backends of POSIX share.
namespace SELECTORS_NAMESPACE::detail {

// Whether a number is open, and can ever be ready. F_GETFL fails with EBADF alone, and only for a number that
// is not open: fcntl(2). What open(2) made with O_PATH is a name of a file, not the file: poll(2) calls it
// invalid, and epoll_ctl(2) a bad descriptor.
inline bool is_open_descriptor(native_handle_type handle) noexcept {
  const int flags = ::fcntl(handle, F_GETFL);
#if defined(O_PATH)
  return flags >= 0 && (flags & O_PATH) == 0;
#else
  return flags >= 0;
#endif
}

// Whether poll(2) calls a file always ready: a regular file, a directory, a disk, and a device that cannot
// tell (/dev/null). Of a device poll(2) itself has to be asked.
inline bool is_always_ready_file(native_handle_type handle) noexcept {
  struct stat about{};
  if (::fstat(handle, &about) != 0) return false;
  if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode)) return true;
  if (!S_ISCHR(about.st_mode)) return false;
  constexpr short both = POLLIN | POLLOUT;
  pollfd asked{handle, both, 0};
  return ::poll(&asked, 1, 0) == 1 && asked.revents == both;
}

// Whether a system call is not there, or not for us: old kernels answer ENOSYS, sandboxes one of these.
constexpr bool is_forbidden_call(int error) noexcept {
  return error == ENOSYS || error == EPERM || error == EACCES || error == EOPNOTSUPP;
}

// Closes and forgets. After an error Linux has closed the number nonetheless, and EINTR must not be retried:
// close(2). errno is kept, since who closes has often just failed.
inline void close_descriptor(native_handle_type& handle) noexcept {
  if (handle == invalid_handle) return;
  const int kept = errno;
  ::close(handle);
  errno = kept;
  handle = invalid_handle;
}

// A timeout as ppoll(2), pselect(2) and kevent(2) want it: null is forever. A hundred million seconds (three
// years) are as good as that: with more, some BSDs' and macOS's kernels answer EINVAL, select(2).
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

// Rounded up to what a timeval can say: pselect(2) of FreeBSD cuts off the rest.
constexpr std::chrono::nanoseconds whole_microseconds(std::chrono::nanoseconds timeout) noexcept {
  constexpr auto most = std::chrono::floor<std::chrono::microseconds>((std::chrono::nanoseconds::max)());
  return timeout <= most ? std::chrono::ceil<std::chrono::microseconds>(timeout) : timeout;
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif

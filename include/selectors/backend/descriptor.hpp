// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/platform.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/handle.hpp>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <limits>

// What the backends of POSIX share.
namespace selectors::detail {

// F_GETFD fails with EBADF alone, and only for a number that is not open: fcntl(2).
inline bool is_open_descriptor(native_handle_type handle) noexcept { return ::fcntl(handle, F_GETFD) >= 0; }

// Closes and forgets. After an error Linux has closed the number nonetheless, and EINTR must not be retried:
// close(2). errno is kept, since who closes has often just failed.
inline void close_descriptor(native_handle_type& handle) noexcept {
  if (handle == invalid_handle) return;
  const int kept = errno;
  ::close(handle);
  errno = kept;
  handle = invalid_handle;
}

// A timeout as ppoll(2) and pselect(2) want it: null is forever, and so is what time_t cannot say.
class timespec_of {
 public:
  explicit timespec_of(std::chrono::nanoseconds timeout) noexcept {
    const auto whole = std::chrono::floor<std::chrono::seconds>(timeout);
    endless_ =
        timeout == (std::chrono::nanoseconds::max)() || whole.count() > (std::numeric_limits<time_t>::max)();
    if (endless_) return;
    value_.tv_sec = static_cast<time_t>(whole.count());
    value_.tv_nsec = static_cast<decltype(value_.tv_nsec)>((timeout - whole).count());
  }
  const timespec* get() const noexcept { return endless_ ? nullptr : &value_; }

 private:
  timespec value_{};
  bool endless_ = false;
};

}  // namespace selectors::detail

#endif

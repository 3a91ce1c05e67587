// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/posix.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace selectors::detail {

// pipe2(2): of Linux and the BSDs, not of macOS.
template <class Ends>
concept has_pipe2 = requires(Ends ends) { pipe2(ends, O_CLOEXEC | O_NONBLOCK); };

// What a wakeup is made of where there is no eventfd(2): a pipe(2), each byte a notification. Not an EVFILT_USER of
// kqueue(2): that belongs to one kqueue, and poll(2) and select(2) cannot watch it.
//
// The pipe itself is all there is to know. A flag that spared the writes would be copied by fork(2) while the pipe is
// shared, and once the two disagree no notification arrives any more; and who finds it raised, by a thread that has not
// written yet, would return before the pipe is readable. (Windows has no fork(2), and a dear send: it has the flag.)
class pipe_channel {
 public:
  ~pipe_channel() {
    close_descriptor(reader_);
    close_descriptor(writer_);
  }

  failure open() noexcept { return open_by<has_pipe2<int*>>(); }

  // In two steps another thread's fork(2) and exec may come between, and inherit the pipe.
  template <bool AtOnce, class Ends = int*>
  failure open_by() noexcept {
    int ends[2];
    if constexpr (AtOnce) {
      if (pipe2(static_cast<Ends>(ends), O_CLOEXEC | O_NONBLOCK) != 0) return failure::system("pipe2", errno);
    } else {
      if (::pipe(ends) != 0) return failure::system("pipe", errno);
      if (!set_flags(ends[0]) || !set_flags(ends[1])) {
        const failure failed = failure::system("fcntl", errno);
        close_descriptor(ends[0]);
        close_descriptor(ends[1]);
        return failed;
      }
    }
    reader_ = ends[0];
    writer_ = ends[1];
    return {};
  }

  // EAGAIN says that the pipe is full, so a notification is there already: write(2). There is nothing else to
  // tell a signal handler.
  void notify() noexcept {
    const int kept = errno;
    const char byte = 0;
    while (::write(writer_, &byte, 1) < 0 && errno == EINTR) {
    }
    errno = kept;
  }

  // Less than was asked for is all there was: read(2). A byte left behind would be a notification told twice.
  bool reset() noexcept {
    const int kept = errno;
    bool is_notified = false;
    char bytes[1024];
    ssize_t taken = 0;
    do {
      taken = ::read(reader_, bytes, sizeof bytes);  // EAGAIN: there is none
      is_notified = is_notified || taken > 0;
    } while (taken == sizeof bytes || (taken < 0 && errno == EINTR));
    errno = kept;
    return is_notified;
  }

  native_handle_type native_handle() const noexcept { return reader_; }

 private:
  static bool set_flags(int end) noexcept {
    return ::fcntl(end, F_SETFD, FD_CLOEXEC) == 0 && ::fcntl(end, F_SETFL, O_NONBLOCK) == 0;
  }

  native_handle_type reader_ = invalid_handle;
  native_handle_type writer_ = invalid_handle;
};

}  // namespace selectors::detail

#endif

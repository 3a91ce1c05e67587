// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/owned_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// pipe2(2): of Linux and the BSDs, not of macOS.
template <class Ends>
concept has_pipe2 = requires(Ends ends) { pipe2(ends, O_CLOEXEC | O_NONBLOCK); };

// What a wakeup is made of where there is no eventfd(2): a pipe(2), each byte a notification. Not an
// EVFILT_USER of kqueue(2): that belongs to one kqueue, and poll(2) and select(2) cannot watch it.
//
// The pipe itself is all there is to know. A flag that spared the writes would be copied by fork(2) while
// the pipe is shared, and once the two disagree no notification arrives any more; and who finds it raised,
// by a thread that has not written yet, would return before the pipe is readable. (Windows has no fork(2),
// and a dear send: it has the flag.)
//
// A child's copy of it does nothing until it is reopened, since the pipe is its parent's.
class pipe_channel {
 public:
  failure open() noexcept { return open_by<has_pipe2<int*>>(); }

  // In two steps another thread's fork(2) and exec may come between, and inherit the pipe.
  template <bool AtOnce>
  failure open_by() noexcept {
    if (const failure failed = process_.set()) return failed;
    const failure failed = make<AtOnce>();
    if (failed) process_.clear();
    return failed;
  }

  // A fresh pipe on the same numbers, if they are its own still, or free; or it fails, and nothing has
  // changed.
  failure reopen() noexcept {
    pipe_channel fresh;
    if (const failure failed = fresh.open()) return failed;
    take(std::move(fresh));
    return {};
  }

  // EAGAIN says that the pipe is full, so a notification is there already: write(2). There is nothing else to
  // tell a signal handler.
  void notify() noexcept {
    const char byte = 0;
    if (process_.is_current()) write_to(writer_, &byte, sizeof byte);
  }

  // Less than was requested is all there was: read(2). A byte left behind would be a notification reported
  // twice.
  bool reset() noexcept {
    if (!process_.is_current()) return false;
    const int kept = errno;
    bool is_notified = false;
    char bytes[1024];
    ssize_t taken = 0;
    do {
      taken = ::read(reader_.get(), bytes, sizeof bytes);  // EAGAIN: there is none
      is_notified = is_notified || taken > 0;
    } while (taken == sizeof bytes || (taken < 0 && errno == EINTR));
    errno = kept;
    return is_notified;
  }

  native_handle_type native_handle() const noexcept { return reader_.get(); }

 protected:
  static void write_to(const owned_descriptor& end, const void* from, std::size_t size) noexcept {
    const int kept = errno;
    while (::write(end.get(), from, size) < 0 && errno == EINTR) {
    }
    errno = kept;
  }

  // The number of the reading end is what selectors know, so a fresh writing end that has it by chance
  // makes way.
  void take(pipe_channel&& fresh) noexcept {
    if (fresh.writer_ && fresh.writer_.get() == reader_.get()) fresh.writer_.renumber();
    reader_.replace(std::move(fresh.reader_));
    if (fresh.writer_)
      writer_.replace(std::move(fresh.writer_));
    else
      writer_.close();
    process_ = fresh.process_;
  }

  owned_descriptor reader_;
  owned_descriptor writer_;
  process_stamp process_;

 private:
  template <bool AtOnce, class Ends = int*>
  failure make() noexcept {
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
    reader_ = owned_descriptor(ends[0]);
    writer_ = owned_descriptor(ends[1]);
    return {};
  }

  static bool set_flags(int end) noexcept {
    return ::fcntl(end, F_SETFD, FD_CLOEXEC) == 0 && ::fcntl(end, F_SETFL, O_NONBLOCK) == 0;
  }
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

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

// pipe2(2) exists on Linux and the BSDs, not on macOS.
template <class Ends>
concept has_pipe2 = requires(Ends ends) { pipe2(ends, O_CLOEXEC | O_NONBLOCK); };

// The channel of a wakeup without eventfd(2): a pipe(2), in which each byte is a notification. EVFILT_USER of
// kqueue(2) cannot serve: it belongs to one kqueue, and poll(2) and select(2) cannot watch it.
//
// There is no flag beside the pipe that would save writes. fork(2) would copy the flag but share the pipe,
// and once the two disagree no notification arrives any more. Also, a thread that finds the flag set by
// another that has not written yet would return before the pipe is readable. (The channel for Windows has
// such a flag, because there is no fork there, and a send is expensive.)
//
// A child's copy does nothing until it is reopened, because the pipe is shared with the parent.
class pipe_channel {
 public:
  failure open() noexcept { return open_by<has_pipe2<int*>>(); }

  // With pipe(2), the program that another thread executes at the same moment may inherit the pipe.
  template <bool AtOnce>
  failure open_by() noexcept {
    if (const failure failed = process_.set()) return failed;
    const failure failed = make<AtOnce>();
    if (failed) process_.clear();
    return failed;
  }

  // Makes a new pipe, on the same numbers if they still name the old one or are free. On failure nothing has
  // changed.
  failure reopen() noexcept {
    pipe_channel fresh;
    if (const failure failed = fresh.open()) return failed;
    take(std::move(fresh));
    return {};
  }

  // EAGAIN means that the pipe is full, so a notification is pending already: write(2). Other errors cannot
  // be reported from a signal handler.
  void notify() noexcept {
    const char byte = 0;
    if (process_.is_current()) write_to(writer_, &byte, sizeof byte);
  }

  // Empties the pipe: a byte left behind would be a second notification. A short read means that the pipe was
  // empty afterwards, read(2).
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

  // Selectors know the number of the reading end. If the new writing end happens to have that number, it gets
  // another.
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

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/kqueue_changes.hpp>
#include <selectors/detail/relaxed_atomic.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/posix.hpp>

#include <sys/types.h>

#include <fcntl.h>
#include <sys/event.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// The descriptor of a queue. A child process does not inherit it: there the number is free or reused.
// (libkqueue leaves descriptors open in a child; they stay open.)
//
// A program may close every open number, the queue's too, and reuse it. So each queue is marked by a user
// event (EVFILT_USER) with an identifier that no other queue has. Where there is no such filter, any queue on
// the number is taken for this one. The mark is triggered to wake watchers of the queue when the selector has
// work of its own.
class kqueue_descriptor {
 public:
  kqueue_descriptor() noexcept = default;
  kqueue_descriptor(kqueue_descriptor&& other) noexcept { *this = std::move(other); }
  kqueue_descriptor& operator=(kqueue_descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    std::swap(mark_, other.mark_);
    std::swap(process_, other.process_);
    std::swap(is_signalled_, other.is_signalled_);
    return *this;
  }
  ~kqueue_descriptor() { close(); }

  native_handle_type get() const noexcept { return number_; }

  failure open() noexcept {
    if (const failure failed = process_.set()) return failed;
    if (const failure failed = make(number_)) return failed;
    mark_ = set_mark(number_);
    is_signalled_ = false;
    return {};
  }

  // Makes a new queue, on the same number if that still names the old one. On failure it keeps the old one.
  failure reopen() noexcept {
    process_stamp own;
    if (const failure failed = own.set()) return failed;
    native_handle_type fresh = invalid_handle;
    if (const failure failed = make(fresh)) return failed;
    const std::uintptr_t mark = set_mark(fresh);
    const bool was_closed = fresh == number_;  // by the program
    if (!was_closed && !(SELECTORS_HAS_KERNEL_KQUEUE && can_be_replaced() && take_place_of_old(fresh))) {
      close();
      number_ = fresh;
    }
    process_ = own;
    mark_ = mark;
    is_signalled_ = false;
    return {};
  }

  void close() noexcept {
    if (!is_own()) number_ = invalid_handle;
    close_descriptor(number_);
    is_signalled_ = false;
  }

  // Whether the number is the queue that was made here, in this process.
  bool is_own() const noexcept {
    if (number_ == invalid_handle || !process_.is_current()) return false;
    if (!SELECTORS_HAS_KERNEL_KQUEUE) return true;
    const int kept = errno;
    const int error = change_mark(number_, mark_, EV_ENABLE);
    errno = kept;
    return error != ENOENT && error != EBADF;
  }

  bool is_signalled() const noexcept { return is_signalled_; }

#if SELECTORS_KQUEUE_HAS_USER_EVENTS
  // Makes the queue readable, and wakes edge-triggered watchers again.
  void signal_again() noexcept {
    signal(false);
    signal(true);
  }
  // Makes the queue readable whatever its filters report, or not, by triggering the mark, as a level. One
  // system call if that changes. Only removing and adding the mark resets it on every kernel: macOS does not
  // for EV_CLEAR. With no room for events, kevent(2) stops at the first change that it refuses; so if the
  // number names another queue by now, the mark is not added to that one.
  void signal(bool is_ready) noexcept {
    if (is_ready == is_signalled_ || number_ == invalid_handle || !process_.is_current()) return;
    const int kept = errno;
    if (mark_ == 0 && is_ready) mark_ = set_mark(number_);
    if (mark_ != 0) {
      kernel_event changes[] = {mark_event(mark_, is_ready ? 0 : EV_DELETE), mark_event(mark_, EV_ADD)};
      if (is_ready) changes[0].fflags = NOTE_TRIGGER;
      const int error = apply(number_, changes, is_ready ? 1 : 2);
      if (error == 0) is_signalled_ = is_ready;
      if (!is_ready && error != 0) {
        is_signalled_ = false;
        if (error != ENOENT && error != EBADF) mark_ = 0;  // removed, and not added for lack of memory
      }
    }
    errno = kept;
  }
#endif

 private:
  // A child does not inherit a queue, so it cannot pass through exec(2) before it is made close-on-exec.
  static failure make(native_handle_type& queue) noexcept {
    queue = ::kqueue();
    if (queue < 0) return failure::system("kqueue", errno);
    if (::fcntl(queue, F_SETFD, FD_CLOEXEC) == 0) return {};
    const int error = errno;
    close_descriptor(queue);
    return failure::system("fcntl", error);
  }

  // The identifier of the mark, or 0 if there is none.
  static std::uintptr_t set_mark([[maybe_unused]] native_handle_type queue) noexcept {
#if SELECTORS_KQUEUE_HAS_USER_EVENTS
    // If two threads get the same number, it marks two different queues, which is harmless.
    marks = marks + 1;
    const std::uintptr_t name = (std::uintptr_t{marks} << 24) ^ static_cast<std::uintptr_t>(queue) ^ 0x5e1ec7;
    if (name != 0 && change_mark(queue, name, EV_ADD) == 0) return name;
#endif
    return 0;
  }

#if SELECTORS_KQUEUE_HAS_USER_EVENTS
  // Its token, udata, is null.
  static kernel_event mark_event(std::uintptr_t name, unsigned action) noexcept {
    kernel_event e{};
    e.ident = static_cast<decltype(e.ident)>(name);
    e.filter = static_cast<decltype(e.filter)>(EVFILT_USER);
    e.flags = static_cast<decltype(e.flags)>(action);
    return e;
  }

  // 0, or the error of the first change that was refused; those behind it are not made. After an interruption
  // all of them may have been made: made once more, they have the same effect.
  static int apply(native_handle_type queue, const kernel_event* changes, std::size_t count) noexcept {
    const timespec at_once{};
    while (call_kevent(::kevent, queue, changes, count, nullptr, 0, &at_once) < 0)
      if (errno != EINTR) return errno;
    return 0;
  }
#endif

  // Returns 0, or the error of the change. Without a mark, it only tests whether the number is a queue.
  static int change_mark(native_handle_type queue, [[maybe_unused]] std::uintptr_t name,
                         [[maybe_unused]] unsigned action) noexcept {
    const timespec at_once{};
    kernel_event e{};
    std::size_t count = 0;
#if SELECTORS_KQUEUE_HAS_USER_EVENTS
    if (name != 0) {
      count = 1;
      e = mark_event(name, action | EV_RECEIPT);
    }
#endif
    while (call_kevent(::kevent, queue, &e, count, &e, count, &at_once) < 0)
      if (errno != EINTR) return errno;
    return count != 0 && (e.flags & EV_ERROR) != 0 ? static_cast<int>(e.data) : 0;
  }

  // In a child the number is free, unless it has been given to something else.
  bool can_be_replaced() const noexcept {
    if (number_ == invalid_handle) return false;
    return process_.is_current() ? is_own() : !is_open_descriptor(number_);
  }

  // dup2(2) closes the old one.
  bool take_place_of_old(native_handle_type& fresh) noexcept {
    int result = 0;
    do {
      result = ::dup2(fresh, number_);
    } while (result < 0 && (errno == EINTR || errno == EBUSY));
    if (result < 0) return false;
    if (::fcntl(number_, F_SETFD, FD_CLOEXEC) < 0) {
      close_descriptor(number_);
      return false;
    }
    close_descriptor(fresh);
    return true;
  }

  static inline constinit relaxed_atomic<std::uint32_t> marks{0};

  native_handle_type number_ = invalid_handle;
  process_stamp process_;  // the process that made it
  std::uintptr_t mark_ = 0;
  bool is_signalled_ = false;  // the mark is triggered
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

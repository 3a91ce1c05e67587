// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/concept.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>

#include <sys/types.h>

#include <sys/event.h>
#include <time.h>

#include <cerrno>
#include <cstddef>
#include <limits>

// Whether a queue has user events: not on NetBSD before 10, and those of libkqueue are not used.
#if defined(EVFILT_USER) && SELECTORS_HAS_KERNEL_KQUEUE
#define SELECTORS_KQUEUE_HAS_USER_EVENTS 1
#else
#define SELECTORS_KQUEUE_HAS_USER_EVENTS 0
#endif

// The changes that the kqueue backend submits to kevent(2). The field types differ by system.
namespace SELECTORS_NAMESPACE::detail {

using kernel_event = struct ::kevent;

// Counts are int; on NetBSD size_t.
template <class Count>
int call_kevent(int (*call)(int, const kernel_event*, Count, kernel_event*, Count, const timespec*),
                native_handle_type kqueue, const kernel_event* changes, std::size_t change_count,
                kernel_event* events, std::size_t room, const timespec* timeout) noexcept {
  return call(kqueue, changes, static_cast<Count>(change_count), events, static_cast<Count>(room), timeout);
}

inline registration* token_of(const kernel_event& e) noexcept {
  return reinterpret_cast<registration*>(e.udata);  // NOLINT(performance-no-int-to-ptr): an integer on some
}

// One handle has a set of filters, each named by the event that it reports:
//
//   read          EVFILT_READ
//   write         EVFILT_WRITE
//   priority      EVFILT_EXCEPT with NOTE_OOB, on macOS, OpenBSD and DragonFly
//   read_hangup   EVFILT_READ for its EV_EOF alone, where `read` is not requested: a low-water mark that no
//                 data reaches (NOTE_LOWAT), and EV_CLEAR, so that data which the filter reports nevertheless
//                 (the pipes of most kernels know no such mark) wakes a wait once for each write and never
//                 makes it spin
//
inline constexpr event_bits read_filter = mask_bits::of(event::read);
inline constexpr event_bits write_filter = mask_bits::of(event::write);
inline constexpr event_bits hangup_filter = mask_bits::of(event::read_hangup);
#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
inline constexpr event_bits priority_filter = mask_bits::of(event::priority);
#else
inline constexpr event_bits priority_filter = 0;
#endif
// The filters that are distinct in the kernel; and all.
inline constexpr event_bits kernel_filters = read_filter | write_filter | priority_filter;
inline constexpr event_bits every_filter = kernel_filters | hangup_filter;

// All changes to the filters of one handle, submitted by one kevent(2). With EV_RECEIPT each change gets its
// own answer in its own place, and since there is no room for events, the call does not wait.
class kqueue_changes {
 public:
  explicit kqueue_changes(registration& r) noexcept : who_(&r) {}

  void remove(event_bits filters) noexcept { append(filters, flags(EV_DELETE)); }
  void add(event_bits filters, trigger mode) noexcept {
    append(filters & ~hangup_filter, mode == trigger::edge ? flags(EV_ADD | EV_CLEAR) : flags(EV_ADD));
    append(filters & hangup_filter, flags(EV_ADD | EV_CLEAR));
  }
  // Makes `hangup_filter`, which has reported an end, level-triggered.
  void add_level_hangup() noexcept { append(hangup_filter, flags(EV_ADD)); }

  // After EINTR all changes have been applied, kevent(2), but their results are lost. So they are submitted
  // again, and a filter that is missing then counts as removed. Under libkqueue, which may keep what it
  // cannot remove, that is not certain.
  void submit(native_handle_type kqueue) noexcept {
    if (count_ == 0) return;
    kernel_event events[max_changes];
    const timespec at_once{};
    bool interrupted = false;
    int result = 0;
    do {
      interrupted = interrupted || result < 0;
      for (std::size_t i = 0; i != count_; ++i) events[i] = event_of(changes_[i]);
      result = detail::call_kevent(::kevent, kqueue, events, count_, events, count_, &at_once);
    } while (result < 0 && errno == EINTR);
    is_answered_ = result >= 0;
    for (std::size_t i = 0; i != count_; ++i) {
      change& one = changes_[i];
      // Only EV_ERROR is set in every system's receipts.
      if (result < 0)
        one.error = errno;
      else
        one.error = (events[i].flags & EV_ERROR) != 0 ? static_cast<int>(events[i].data) : 0;
      if (SELECTORS_HAS_KERNEL_KQUEUE && interrupted && one.error == ENOENT && !one.is_addition()) {
        one.error = 0;
        is_uncertain_ = true;
      }
    }
  }

  // Whether the call as a whole succeeded, so that each error belongs to a change.
  bool was_called() const noexcept { return is_answered_; }
  // Whether the kernel had already dropped the filters that were to be removed: the number was closed and
  // reused. After an interruption that is not known; then it may be why the additions were refused.
  bool have_lost() const noexcept {
    if (!is_answered_) return false;
    if (is_uncertain_ && error() != 0) return true;
    for (std::size_t i = 0; i != count_; ++i)
      if (changes_[i].error == ENOENT && !changes_[i].is_addition()) return true;
    return false;
  }
  // Whether every change that was refused was refused with `error`.
  bool all_failed_with(int error) const noexcept {
    for (std::size_t i = 0; i != count_; ++i)
      if (changes_[i].error != 0 && changes_[i].error != error) return false;
    return is_answered_;
  }

  event_bits added() const noexcept { return done(true); }
  event_bits removed() const noexcept { return done(false); }
  // The error of the first refused change to one of `filters`, or 0.
  int error(event_bits filters = every_filter) const noexcept {
    for (std::size_t i = 0; i != count_; ++i)
      if (changes_[i].error != 0 && (changes_[i].filter & filters) != 0) return changes_[i].error;
    return 0;
  }

 private:
  using flags = decltype(kernel_event::flags);
  static constexpr std::size_t max_changes = 6;  // three removed and three added

  struct change {
    event_bits filter;
    flags action;
    int error;
    bool is_addition() const noexcept { return (action & EV_ADD) != 0; }
  };

  void append(event_bits filters, flags action) noexcept {
    for (const event_bits filter : {read_filter, hangup_filter, write_filter, priority_filter})
      if ((filters & filter) != 0) changes_[count_++] = {filter, action, 0};
  }

  event_bits done(bool additions) const noexcept {
    event_bits filters = 0;
    for (std::size_t i = 0; i != count_; ++i)
      if (changes_[i].error == 0 && changes_[i].is_addition() == additions) filters |= changes_[i].filter;
    return filters;
  }

  // The types of the fields differ by system.
  kernel_event event_of(const change& from) const noexcept {
    kernel_event e{};
    e.ident = static_cast<decltype(e.ident)>(who_->handle);
    e.filter = static_cast<decltype(e.filter)>(from.filter == write_filter ? EVFILT_WRITE : EVFILT_READ);
#if defined(NOTE_LOWAT)
    if (from.filter == hangup_filter) {
      e.fflags = static_cast<decltype(e.fflags)>(NOTE_LOWAT);
      e.data = (std::numeric_limits<int>::max)();
    }
#endif
#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
    if (from.filter == priority_filter) {
      e.filter = static_cast<decltype(e.filter)>(EVFILT_EXCEPT);
      e.fflags = static_cast<decltype(e.fflags)>(NOTE_OOB);
    }
#endif
    e.flags = static_cast<flags>(from.action | EV_RECEIPT);
    e.udata = reinterpret_cast<decltype(e.udata)>(who_);
    return e;
  }

  registration* who_;
  std::size_t count_ = 0;
  bool is_answered_ = false;
  bool is_uncertain_ = false;  // whether what was missing had been there before an interruption
  change changes_[max_changes] = {};
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/concept.hpp>
#include <selectors/backend/kqueue_aside.hpp>
#include <selectors/backend/kqueue_changes.hpp>
#include <selectors/backend/kqueue_descriptor.hpp>
#include <selectors/backend/kqueue_events.hpp>
#include <selectors/backend/kqueue_listeners.hpp>
#include <selectors/backend/kqueue_slot.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/detail/number_set.hpp>
#include <selectors/os/posix.hpp>

#include <sys/types.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>

namespace SELECTORS_NAMESPACE {

/// kqueue(2) of macOS and the BSDs: the cost of a wait grows with what is ready, whatever is registered. One
/// system call for each change, and fstat(2) for a new handle. Level, edge and one-shot triggering.
/// `read_hangup` can be requested by itself.
///
/// `priority` is a socket's out-of-band data, where the kernel has a filter for it (EVFILT_EXCEPT: macOS,
/// OpenBSD, DragonFly); elsewhere it is errc::invalid_events. Requested alone, it reports a hangup on macOS
/// only. The kernel forgets a closed descriptor without reporting it.
///
/// Descriptors that a kqueue refuses (macOS: /dev/tty) or reports wrongly (NetBSD: FIFOs) are watched by
/// select(2) beside the queue; while there are any, each wait costs two system calls. select(2) has no edges,
/// so a FIFO's edge does not report the end on macOS, and a terminal that the kqueue refuses can be
/// registered level-triggered or one-shot only; edge-triggered, it fails with kevent(2)'s EINVAL.
///
/// `native_handle` is the queue itself, which can be watched by poll(2), select(2) and another queue: it is
/// readable while one of the filters, or the selector itself, has something to report. For the latter it
/// needs EVFILT_USER, which NetBSD has since 10; without it, and under libkqueue, work of the selector's own
/// does not wake a watcher of the queue. Descriptors that select(2) watches beside the queue never do.
/// `reopen` keeps the queue, except in a child process, where the selector gets its own, on the same number
/// if that is free.
class kqueue_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "kqueue";
  static constexpr const char* wait_call = "kevent";
  // With EV_ONESHOT, each of a handle's two filters would fire once.
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = true;
  static constexpr bool has_native_handle = true;
  static constexpr event_mask requestable = detail::mask_bits::mask(detail::every_filter);

  static constexpr bool supports(trigger, bool exclusive) noexcept { return !exclusive; }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  failure open() noexcept {
    // kevent(2) returns at once if nevents is 0, and a selector with nothing registered must still wait.
    if (!events_.reserve(1, 0)) return failure::memory();
    return kqueue_.open();
  }
  // A fresh queue, on the same number if it can. Whoever watched the old one watches nothing now.
  failure reopen() noexcept {
    if (const failure failed = kqueue_.reopen()) return failed;
    forget_all();
    return {};
  }
  void close() noexcept {
    kqueue_.close();
    forget_all();
  }
  native_handle_type native_handle() const noexcept { return kqueue_.get(); }

  // Takes all that is attached from the queue, which stays the one that others watch; `attached` is as it was
  // afterwards. Returns false if a fresh queue is needed: this one is not ours any more, or cannot be
  // emptied.
  template <class ForEach>
  bool remove_all(ForEach for_each) noexcept {
    if (!SELECTORS_HAS_KERNEL_KQUEUE || !kqueue_.is_own()) return false;
    bool is_empty = true;
    for_each([&](registration& r) {
      if (!r.attached) return;
      is_empty = remove(r) && is_empty;
      r.attached = true;
    });
    if (is_empty) forget_all();
    return is_empty;
  }

#if SELECTORS_KQUEUE_HAS_USER_EVENTS
  // Whoever watches the queue is told by its mark that the selector itself has work to do: needs no more
  // descriptors. What is watched aside they do not see.
  bool has_front() const noexcept { return kqueue_.get() != detail::invalid_handle; }
  failure make_front() noexcept { return {}; }
  void signal(bool is_ready) noexcept { kqueue_.signal(is_ready); }
  void signal_again() noexcept { kqueue_.signal_again(); }
#endif

  failure reserve(std::size_t count, std::size_t used, native_handle_type handle) noexcept {
    // Reserved now so that nothing is allocated later. Not for high numbers, which need much memory:
    // descriptors that are watched aside are rare.
    if (handle <= highest_prepared && !aside_.has_room(handle) && is_open(handle))
      if (const failure failed = aside_.reserve(handle, native_handle())) return failed;
    const bool fits = count <= slot::max_entries && events_.reserve(count * filters_a_handle + 1, 0) &&
                      ready_.reserve(count, used) &&
                      (!SELECTORS_KQUEUE_MISSES_LISTEN || listeners_.reserve(count)) &&
                      (SELECTORS_HAS_KERNEL_KQUEUE || leaked_.reserve(handle));
    return fits ? failure() : failure::memory();
  }

  // Files are always ready, as poll(2) says; to the filters of kqueue(2) they are not, or not supported. The
  // number of a closed descriptor may be that of the queue itself by now, which would wake it forever.
  failure add(registration& r) noexcept {
    if (r.handle == native_handle()) return failure::system("kevent", EINVAL);
    struct stat about{};
    if (::fstat(r.handle, &about) < 0 && errno != EOPNOTSUPP) return failure::system("fstat", errno);
    r.slot = S_ISSOCK(about.st_mode) ? slot::socket : 0;
    if (S_ISFIFO(about.st_mode)) r.slot = is_opened_for(r, O_WRONLY) ? slot::writing_end : slot::pipe;
    const event_bits wanted = filters_for(r);
    r.always_ready =
        S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode) || wanted == 0;
    if (r.always_ready) {
      r.always_ready = is_open(r.handle);  // O_PATH, which fstat(2) takes
      return r.always_ready ? failure() : failure::not_open();
    }
    if (SELECTORS_KQUEUE_MISSES_FIFO_END && slot::is_pipe(r) && about.st_dev != 0 &&
        r.interest.mode != trigger::edge)
      return put_aside(r, 0, false);

    detail::kqueue_changes changes(r);
    if (!SELECTORS_HAS_KERNEL_KQUEUE) {
      forget(r);
      r.aliased = leaked_.contains(r.handle);
    }
    watch_for(changes, wanted, r.interest);
    changes.submit(native_handle());
    const failure refused = finish_change(r, changes, changes.added());
    if (!refused) {
      if (SELECTORS_KQUEUE_MISSES_LISTEN && slot::is_socket(r)) listeners_.note(r);
      return {};
    }
    if (changes.added() == 0 && is_unsupported(changes.error()) && S_ISCHR(about.st_mode))
      return take_device(r, refused);
    remove_filters(r, changes.added());
    return refused;
  }

  // All filters are removed and added again: an added filter reports existing readiness, EV_CLEAR takes
  // effect only when a filter is added, and the number may mean another file by now, since the kernel dropped
  // the filters of a closed one.
  failure modify(registration& r, any_interest was) noexcept {
    if ((r.slot & slot::is_aside) != 0) return add_instead(r, was);
    const event_bits watched = slot::watched(r);
    const event_bits wanted = filters_for(r);
    detail::kqueue_changes changes(r);
    changes.remove(watched);
    watch_for(changes, wanted, r.interest);
    changes.submit(native_handle());
    if (SELECTORS_HAS_KERNEL_KQUEUE && changes.have_lost()) return add_instead(r, was);
    const event_bits now = (watched & ~changes.removed()) | changes.added();
    const failure refused = finish_change(r, changes, now);
    if (!refused) {
      if (wanted != 0) return {};
      r.attached = false;  // not a socket, and `priority` alone: no filter reports that
      r.always_ready = true;
      return {};
    }
    detail::kqueue_changes back(r);
    back.remove(changes.added());
    watch_for(back, changes.removed(), was);
    back.submit(native_handle());
    slot::set_watched(r, watched);
    if (back.added() != changes.removed()) (void)remove(r);
    return refused;
  }

  // Makes the kernel watch whatever the number means now. On failure it is not attached.
  failure rewatch(registration& r, any_interest) noexcept {
    if (r.attached) (void)remove(r);
    forget(r);
    return add(r);
  }

  // EBADF and ENOENT: the descriptor was closed, which removed its filters, kqueue(2); under libkqueue it did
  // not. There, what is removed of a number that leaked before may be the leaked registration.
  bool remove(registration& r) noexcept {
    r.attached = false;
    if ((r.slot & slot::is_aside) != 0) {
      aside_.remove(r);
      r.slot &= ~slot::is_aside;
      return true;
    }
    detail::kqueue_changes changes(r);
    changes.remove(slot::watched(r));
    changes.submit(native_handle());
    const int error = changes.error();
    if (SELECTORS_HAS_KERNEL_KQUEUE) return error == 0 || error == EBADF || error == ENOENT;
    if (error != 0) leaked_.insert(r.handle);
    return error == 0 && !r.aliased;
  }

  // Some kernels wait at most a day, and some refuse a longer timeout. The clock is read only where a wait
  // may end with nothing to report.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    using clock = std::chrono::steady_clock;
    constexpr std::chrono::nanoseconds day = std::chrono::hours(24);
    constexpr std::chrono::nanoseconds forever = (std::chrono::nanoseconds::max)();
    if (SELECTORS_KQUEUE_MISSES_LISTEN && !listeners_.empty()) [[unlikely]]
      find_listeners();
    const bool is_timed = may_skip_ || !aside_.empty() || kqueue_.is_signalled();
    const auto start = is_timed ? clock::now() : clock::time_point();
    for (std::chrono::nanoseconds left = timeout;;) {
      const auto now = left < day || left == forever ? left : day;
      bool has_skipped = false;
      const int found = aside_.empty() ? collect(now, has_skipped) : collect_both(now, has_skipped);
      if (found != 0 || timeout.count() <= 0) return found;
      if (!has_skipped)
        left -= now;
      else if (left != forever)
        left = timeout - (clock::now() - start);
      if (left.count() <= 0) return 0;
    }
  }

 private:
  using slot = detail::kqueue_slot;

  static constexpr native_handle_type highest_prepared = 65535;
  static constexpr std::size_t filters_a_handle = detail::priority_filter != 0 ? 3 : 2;

  // Adds it as a new registration, or restores the former one.
  failure add_instead(registration& r, any_interest was) noexcept {
    const failure refused = rewatch(r, was);
    if (!refused) return {};
    const any_interest wanted = r.interest;
    r.interest = was;
    if (add(r)) r.attached = false;
    r.interest = wanted;
    return refused;
  }

  // ---- what is watched ------------------------------------------------------------------------------------

  // To the kernel: one filter for each event, that for `priority` only for sockets. A pipe also gets the
  // filter that is not requested, for its end: not every kernel reports the end by every filter.
  static event_bits filters_for(const registration& r) noexcept {
    event_bits filters = detail::mask_bits::of(r.interest.events) & detail::every_filter;
    if (!slot::is_socket(r)) filters &= ~detail::mask_bits::of(event::priority);
    if (slot::is_pipe(r)) filters |= detail::hangup_filter;
    if (slot::is_writing_end(r)) filters |= detail::write_filter;
    return (filters & detail::read_filter) != 0 ? filters & ~detail::hangup_filter : filters;
  }
  // Whether EVFILT_WRITE only serves to report the end. It is an edge then, so that free space does not make
  // a wait spin.
  static bool is_for_end(const any_interest& what) noexcept { return !what.events.contains(event::write); }
  static void watch_for(detail::kqueue_changes& changes, event_bits filters,
                        const any_interest& what) noexcept {
    const event_bits for_end = is_for_end(what) ? filters & detail::write_filter : 0;
    changes.add(filters & ~for_end, what.mode);
    changes.add(for_end, trigger::edge);
  }

  // After `changes`: succeeds if r is watched by all of `filters`, if those that the kernel refused are not
  // needed, or if select(2) can watch it instead. Otherwise returns why the kernel refused.
  failure finish_change(registration& r, const detail::kqueue_changes& changes, event_bits filters) noexcept {
    const int error = changes.error();
    if (error != 0) {
      if (!slot::is_pipe(r)) return failure::system("kevent", error);
      const bool is_gone = has_no_peer(r, changes);
      if (is_gone && !is_opened_for(r, O_RDONLY)) return put_aside(r, filters, true);
      // EVFILT_READ reports the end of a reading end by itself. NetBSD 10 refuses the filter of the other
      // direction; a pipe registered for that direction alone waits for the hangup.
      const event_bits reader = detail::every_filter & ~detail::write_filter;
      const event_bits own = slot::is_writing_end(r) ? detail::write_filter : reader;
      const bool is_other_refused = changes.error(own) == 0 && changes.all_failed_with(EINVAL);
      if (!is_gone && !is_other_refused) return failure::system("kevent", error);
      if (filters == 0) return put_aside(r, 0, true);
    }
    r.attached = true;
    slot::set_watched(r, filters);
    const bool has_priority = (filters & detail::priority_filter) != 0;
    may_skip_ = may_skip_ || slot::watches_for_end(r) || slot::is_pipe(r) || has_priority;
    return {};
  }

  // Whether a pipe was refused only because its other end is closed: EPIPE, or EBADF on NetBSD.
  static bool has_no_peer(const registration& r, const detail::kqueue_changes& changes) noexcept {
    const int other = changes.error(detail::every_filter & ~detail::write_filter);
    if (!changes.was_called() || (other != 0 && other != EINVAL)) return false;
    const int error = changes.error(detail::write_filter);
    return error == EPIPE || (error == EBADF && is_open(r.handle));
  }
  static bool is_opened_for(const registration& r, int access) noexcept {
    const int flags = ::fcntl(r.handle, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == access;
  }

  failure put_aside(registration& r, event_bits watched, bool for_end) noexcept {
    if (const failure failed = aside_.reserve(r.handle, native_handle())) return failed;
    remove_filters(r, watched);
    slot::set_watched(r, 0);
    r.slot |= slot::is_aside;
    aside_.add(r, for_end);
    return {};
  }

  // Errors for a device that no filter supports, such as /dev/null on some systems, or a terminal. EPERM
  // comes from epoll, under libkqueue.
  static bool is_unsupported(int error) noexcept {
    return error == EINVAL || error == ENODEV || error == ENOTSUP || error == EOPNOTSUPP || error == EPERM;
  }
  failure take_device(registration& r, failure refused) noexcept {
    if (::isatty(r.handle) == 0) {
      r.always_ready = true;
      return {};
    }
    if (r.interest.mode == trigger::edge) return refused;
    return put_aside(r, 0, false);
  }

  void remove_filters(registration& r, event_bits filters) noexcept {
    detail::kqueue_changes back(r);
    back.remove(filters);
    back.submit(native_handle());
  }

  // Removes every filter on the number. libkqueue keeps the filters of a closed descriptor, and applies them
  // to the next one with its number.
  void forget(registration& r) noexcept { remove_filters(r, detail::kernel_filters); }

  void forget_all() noexcept {
    aside_.clear();
    listeners_.clear();
    leaked_.clear();
    may_skip_ = false;
  }

  SELECTORS_COLD void find_listeners() noexcept {
    listeners_.look([this](registration& r) {
      const event_bits reader = slot::watched(r) & (detail::read_filter | detail::hangup_filter);
      detail::kqueue_changes changes(r);
      changes.remove(reader);
      changes.add(reader, r.interest.mode);
      changes.submit(native_handle());
    });
  }

  // ---- what is found --------------------------------------------------------------------------------------

  int collect(std::chrono::nanoseconds timeout, bool& has_skipped) noexcept {
    const detail::timespec_of time(timeout);
    const int count = ask(time.get());
    return count <= 0 ? count : static_cast<int>(merge(static_cast<std::size_t>(count), has_skipped));
  }
  int ask(const timespec* timeout) noexcept {
    return detail::call_kevent(::kevent, native_handle(), nullptr, 0, events_.data(), events_.capacity(),
                               timeout);
  }

  SELECTORS_COLD int collect_both(std::chrono::nanoseconds timeout, bool& has_skipped) noexcept {
    std::size_t found = 0;
    const int count = aside_.wait(native_handle(), timeout, [&](const entry& one) {
      const registration& r = *one.token;
      const bool has_ended = slot::is_pipe(r) && detail::hangs_up(r.handle);
      ready_[found++] = {one.token, one.events | (has_ended ? end_of_pipe(r) : 0)};
      if (r.interest.mode == trigger::edge) aside_.silence(r);
    });
    if (count < 0) return count;
    has_skipped = count > 0;
    const int more = collect_after(found, has_skipped);
    return more < 0 && found == 0 ? more : static_cast<int>(found) + (more < 0 ? 0 : more);
  }

  // How a pipe that is watched aside reports its end.
  static event_bits end_of_pipe(const registration& r) noexcept {
    constexpr event_bits error = detail::mask_bits::of(event::error);
    if (slot::is_writing_end(r)) return error;
    return detail::mask_bits::of(event::hangup) | (is_for_end(r.interest) ? 0 : error);
  }

  // Adds what is ready in the queue to the entries that select(2) found.
  int collect_after(std::size_t found, bool& has_skipped) noexcept {
    const timespec at_once{};
    const int count = ask(&at_once);
    return count <= 0 ? count : static_cast<int>(merge(static_cast<std::size_t>(count), has_skipped, found));
  }

  // What is to be reported for an event of a pipe or of `hangup_filter`; may be nothing.
  SELECTORS_COLD event_bits examine(registration& r, const detail::kernel_event& e,
                                    event_bits bits) noexcept {
    // On a writing end, EV_EOF of either filter means the same: there is no reader.
    if (slot::is_writing_end(r) && detail::reports_end(e))
      bits = (bits & ~detail::mask_bits::of(event::hangup)) | detail::mask_bits::of(event::error);
    if (detail::reports_reading(e) && slot::watches_for_end(r)) {
      const bool has_ended = detail::reports_end(e);
      if (r.attached && has_ended != slot::has_ended(r) && r.interest.mode == trigger::level)
        report_end_as_level(r, has_ended);
      return has_ended ? bits & ~detail::mask_bits::of(event::read) : 0;
    }
    if (!detail::reports_writing(e)) return bits;
    const bool is_requested = !is_for_end(r.interest);
    if (!detail::reports_end(e)) return is_requested ? bits : 0;
    // NetBSD's FIFOs always claim to have no reader. If poll(2) disagrees, the FIFO is watched by select(2)
    // instead, from the next wait on.
    const short truth = detail::polled(r.handle);
    const bool is_true = (truth & (POLLHUP | POLLERR)) != 0;
    const bool is_better_aside = is_requested ? !is_true : is_true;
    if (r.attached && r.interest.mode != trigger::edge && is_better_aside)
      (void)put_aside(r, slot::watched(r), is_true);
    if (is_true) return is_requested ? bits : detail::mask_bits::of(event::error);
    return is_requested && (truth & POLLOUT) != 0 ? detail::mask_bits::of(event::write) : 0;
  }

  // An unhandled end is level-triggered. But another writer may open a FIFO, and then it has data.
  void report_end_as_level(registration& r, bool has_ended) noexcept {
    detail::kqueue_changes changes(r);
    changes.remove(detail::hangup_filter);
    if (has_ended)
      changes.add_level_hangup();
    else
      changes.add(detail::hangup_filter, trigger::level);
    changes.submit(native_handle());
    if (changes.error() == 0) slot::set_ended(r, has_ended);
  }

  // The slot belongs to the backend only while the handle is attached.
  SELECTORS_COLD std::size_t entry_of_stale(const registration& r, std::size_t at,
                                            std::size_t found) const noexcept {
    while (at < found && ready_[at].token != &r) ++at;
    return at;
  }

  // The filters of one handle become one entry. The slot holds the index of the handle's entry; if the entry
  // there is not the handle's, or not of this wait, the handle has none yet.
  std::size_t merge(std::size_t count, bool& has_skipped, std::size_t first = 0) noexcept {
    std::size_t found = first;
    for (std::size_t i = 0; i != count; ++i) {
      registration* const token = detail::token_of(events_[i]);
      if (token == nullptr) [[unlikely]] {  // the queue's mark
        has_skipped = true;
        continue;
      }
      registration& r = *token;
      event_bits bits = detail::bits_of(events_[i], slot::is_socket(r));
      if (slot::is_pipe(r) || slot::watches_for_end(r)) [[unlikely]]
        bits = examine(r, events_[i], bits);
      if (bits == 0 || (bits == detail::mask_bits::of(event::hangup) && slot::knows_half_end(r)))
          [[unlikely]] {
        has_skipped = true;
        continue;
      }
      std::size_t at = r.attached ? slot::entry(r) : entry_of_stale(r, first, found);
      if (at < first || at >= found || ready_[at].token != &r) {
        at = found++;
        if (r.attached) slot::set_entry(r, at);
        ready_[at] = {&r, 0};
      }
      event_bits& all = ready_[at].events;
      all |= bits;
      if (all >= detail::read_ended) [[unlikely]]
        all |= detail::hangup_of(r, all);
    }
    return found - first;
  }

  detail::kqueue_descriptor kqueue_;
  detail::buffer<detail::kernel_event> events_;
  detail::kqueue_aside aside_;
  detail::kqueue_listeners listeners_;
  detail::number_set leaked_;  // under libkqueue
  bool may_skip_ = false;      // something is watched of which some events are dropped
};

}  // namespace SELECTORS_NAMESPACE

#endif

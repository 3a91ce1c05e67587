// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/concept.hpp>
#include <selectors/backend/kqueue_changes.hpp>
#include <selectors/backend/kqueue_descriptor.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/os/posix.hpp>

#include <sys/types.h>

#include <poll.h>
#include <sys/event.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

namespace selectors {

/// kqueue(2) of macOS and the BSDs: the cost of a wait grows with what is ready, whatever is registered. One system
/// call for each change, and fstat(2) for a new handle. Level, edge and one-shot triggering.
///
/// `priority` is a socket's out-of-band data, where the kernel has a filter for it (EVFILT_EXCEPT: macOS, OpenBSD,
/// DragonFly); elsewhere it is errc::invalid_events. Asked for alone, it hears of no hangup but on macOS. The kernel
/// forgets a descriptor that is closed, and says nothing of it.
class kqueue_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "kqueue";
  static constexpr bool has_native_handle = true;
  static constexpr const char* wait_call = "kevent";
  // Of two filters with EV_ONESHOT each would fire for itself.
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = true;
  static constexpr event_mask requestable = detail::mask_bits::mask(detail::every_filter);

  static constexpr bool supports(trigger, bool exclusive) noexcept { return !exclusive; }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  failure open() noexcept {
    // With no room kevent(2) does not wait, and a selector with nothing registered still does.
    if (!events_.reserve(1, 0)) return failure::memory();
    return kqueue_.open();
  }
  failure reopen() noexcept { return kqueue_.reopen(); }
  void close() noexcept { kqueue_.close(); }
  native_handle_type native_handle() const noexcept { return kqueue_.get(); }

  failure reserve(std::size_t count, std::size_t used, native_handle_type) noexcept {
    const bool fits = count <= (std::numeric_limits<int>::max)() / filters_a_handle / 2 &&
                      events_.reserve(count * filters_a_handle, 0) && ready_.reserve(count, used);
    return fits ? failure() : failure::memory();
  }

  // Files are always ready, as poll(2) says; to the filters of kqueue(2) they are not, or not supported. A number that
  // was closed may be that of the queue itself by now, which would wake it for ever.
  failure add(registration& r) noexcept {
    if (r.handle == native_handle()) return failure::system("kevent", EINVAL);
    struct stat about{};
    if (::fstat(r.handle, &about) < 0 && errno != EOPNOTSUPP) return failure::system("fstat", errno);
    r.slot = S_ISSOCK(about.st_mode) ? is_socket : 0;
    const event_bits wanted = filters_for(r);
    r.always_ready =
        S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode) || wanted == 0;
    if (r.always_ready) return {};

    detail::kqueue_changes changes(r);
    if (!SELECTORS_HAS_KERNEL_KQUEUE) forget(r);
    changes.add(wanted, r.interest.mode);
    changes.submit(native_handle());
    event_bits watched = changes.added();
    const int error = changes.error();
    r.attached = error == 0 || is_hung_up(r, changes, watched);
    if (r.attached) {
      set_watched(r, watched);
      return {};
    }
    if (watched == 0 && is_always_ready(about.st_mode, error) && ::isatty(r.handle) == 0) {
      r.always_ready = true;
      return {};
    }
    detail::kqueue_changes back(r);
    back.remove(watched);
    back.submit(native_handle());
    return failure::system("kevent", error);
  }

  // What is or becomes an edge or a one-shot is added anew: EV_CLEAR is given to a filter once, when it is added, and
  // what is added tells what is ready already. From level to level nothing is touched that stays.
  failure modify(registration& r, any_interest was) noexcept {
    const event_bits watched = watched_of(r);
    const event_bits wanted = filters_for(r);
    const bool is_anew = r.interest.mode != trigger::level || was.mode != trigger::level;
    detail::kqueue_changes changes(r);
    changes.remove(is_anew ? watched : watched & ~wanted);
    changes.add(is_anew ? wanted : wanted & ~watched, r.interest.mode);
    changes.submit(native_handle());
    event_bits now = (watched & ~changes.removed()) | changes.added();
    const int error = changes.error();
    if (error == 0 || is_hung_up(r, changes, now)) {
      set_watched(r, now);
      if (wanted != 0) return {};
      r.attached = false;  // no socket, and only `priority`: it has none
      r.always_ready = true;
      return {};
    }
    detail::kqueue_changes back(r);
    back.remove(changes.added());
    back.add(changes.removed(), was.mode);
    back.submit(native_handle());
    if (back.added() != changes.removed()) (void)remove(r);
    return failure::system("kevent", error);
  }

  // EBADF and ENOENT: the descriptor was closed, and with it the kernel forgot the filters: kqueue(2). libkqueue did
  // not.
  bool remove(registration& r) noexcept {
    r.attached = false;
    detail::kqueue_changes changes(r);
    changes.remove(watched_of(r));
    changes.submit(native_handle());
    const int error = changes.error();
    return error == 0 || (SELECTORS_HAS_KERNEL_KQUEUE && (error == EBADF || error == ENOENT));
  }

  // Some kernels take a day for the longest timeout there is, and some refuse a longer one.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    constexpr std::chrono::nanoseconds day = std::chrono::hours(24);
    constexpr std::chrono::nanoseconds forever = (std::chrono::nanoseconds::max)();
    for (;;) {
      const auto now = timeout < day || timeout == forever ? timeout : day;
      const detail::timespec_of time(now);
      const int count =
          detail::call_kevent(::kevent, native_handle(), nullptr, 0, events_.data(), room(), time.get());
      if (count != 0) return count < 0 ? count : merge(static_cast<std::size_t>(count));
      timeout -= now;
      if (timeout.count() <= 0) return 0;
    }
  }

 private:
  // A slot: what the last wait made of the handle, as the number of its entry; the filters that watch it; what it is.
  static constexpr std::uint32_t entry_bits = 0x0FFFFFFF;
  static constexpr int filter_shift = 28;
  static constexpr std::uint32_t is_socket = std::uint32_t{1} << 31;
  // Behind those of an entry: which filters have told an end.
  static constexpr event_bits read_ended = 256, write_ended = 512;

  static constexpr std::size_t filters_a_handle = detail::priority_filter != 0 ? 3 : 2;

  static event_bits watched_of(const registration& r) noexcept {
    return (r.slot >> filter_shift) & detail::every_filter;
  }
  static void set_watched(registration& r, event_bits filters) noexcept {
    r.slot = (r.slot & is_socket) | (filters << filter_shift);
  }

  // To the kernel: the filters, one for each event; but nothing has out-of-band data other than a socket.
  static event_bits filters_for(const registration& r) noexcept {
    const event_bits filters = detail::mask_bits::of(r.interest.events);
    return (r.slot & is_socket) != 0 ? filters : filters & ~detail::mask_bits::of(event::priority);
  }

  // The kernel refuses to watch the writing end of a pipe that nobody reads: with EPIPE, or EBADF on NetBSD. The
  // reader's filter, which it takes of either end, tells of the hangup.
  bool is_hung_up(registration& r, const detail::kqueue_changes& changes, event_bits& watched) noexcept {
    const int error = changes.error(detail::write_filter);
    if ((r.slot & is_socket) != 0 || (error != EPIPE && (error != EBADF || !hangs_up(r.handle))))
      return false;
    if (changes.error(detail::every_filter & ~detail::write_filter) != 0) return false;
    if ((watched & detail::read_filter) != 0) return true;
    detail::kqueue_changes instead(r);
    instead.add(detail::read_filter, r.interest.mode);
    instead.submit(native_handle());
    watched |= instead.added();
    return instead.error() == 0;
  }

  // A device that no filter supports, such as /dev/null on some systems. EPERM is epoll's under libkqueue.
  static bool is_always_ready(decltype(stat::st_mode) mode, int error) noexcept {
    const bool is_unsupported =
        error == EINVAL || error == ENODEV || error == ENOTSUP || error == EOPNOTSUPP || error == EPERM;
    return is_unsupported && !S_ISSOCK(mode) && !S_ISFIFO(mode);
  }

  // libkqueue keeps the filters of what was closed, and takes those for the number's.
  void forget(registration& r) noexcept {
    detail::kqueue_changes changes(r);
    changes.remove(detail::every_filter);
    changes.submit(native_handle());
  }

  std::size_t room() const noexcept { return events_.capacity(); }

  // Two filters of one handle make one entry, wherever they stand. An entry that is not the handle's, or not of this
  // wait, says that there is none yet.
  int merge(std::size_t count) noexcept {
    std::size_t found = 0;
    for (std::size_t i = 0; i != count; ++i) {
      registration& r = *detail::token_of(events_[i]);
      std::size_t at = r.slot & entry_bits;
      if (at >= found || ready_[at].token != &r) {
        at = found++;
        r.slot = (r.slot & ~entry_bits) | static_cast<std::uint32_t>(at);
        ready_[at] = {&r, 0};
      }
      event_bits& bits = ready_[at].events;
      bits |= from_kernel(events_[i], (r.slot & is_socket) != 0);
      if (bits >= read_ended) [[unlikely]]
        bits |= ended(r, bits);
    }
    return static_cast<int>(found);
  }

  // From the kernel:
  //
  //                   always     with EV_EOF, of a socket         with EV_EOF, of a pipe or a terminal
  //   EVFILT_READ     read       read_hangup                      hangup
  //   EVFILT_WRITE    write      hangup, once both have ended     error: nobody reads
  //   EVFILT_EXCEPT   priority, if it is NOTE_OOB; else hangup
  //
  // and with EV_EOF, fflags are the socket's error. There may be data before the end.
  static event_bits from_kernel(const detail::kernel_event& e, bool socket) noexcept {
    const bool has_ended = (e.flags & EV_EOF) != 0;
    event_mask found = e.filter == static_cast<decltype(e.filter)>(EVFILT_READ) ? event::read : event::write;
#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
    if (e.filter == static_cast<decltype(e.filter)>(EVFILT_EXCEPT))
      return detail::mask_bits::of((e.fflags & NOTE_OOB) != 0 ? event::priority : event::hangup);
#endif
    if (!has_ended) return detail::mask_bits::of(found);
    const bool reads = found == event::read;
    if (socket && e.fflags != 0) found |= event::error;
    if (socket && reads) found |= event::read_hangup;
    if (!socket) found |= reads ? event::hangup : event::error;
    return detail::mask_bits::of(found) | (!socket ? 0 : reads ? read_ended : write_ended);
  }

  // Whether the connection is gone, or half of it. Of the half that is not watched only poll(2) knows, and it matters
  // to `priority` alone, which a hangup raises.
  static event_bits ended(const registration& r, event_bits bits) noexcept {
    constexpr event_bits hangup = detail::mask_bits::of(event::hangup);
    if ((bits & read_ended) != 0 && (bits & write_ended) != 0) return hangup;
    if (!r.interest.events.contains(event::priority)) return 0;
    return hangs_up(r.handle) ? hangup : 0;
  }
  static bool hangs_up(native_handle_type handle) noexcept {
    pollfd one{handle, POLLIN | POLLOUT, 0};
    return ::poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR)) != 0;
  }

  detail::kqueue_descriptor kqueue_;
  detail::buffer<detail::kernel_event> events_;
};

}  // namespace selectors

#endif

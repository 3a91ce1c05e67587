// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/kqueue_changes.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <poll.h>
#include <sys/event.h>

// From the kernel:
//
//                   always     with EV_EOF, of a socket         with EV_EOF, of a pipe or a terminal
//   EVFILT_READ     read       read_hangup                      hangup
//   EVFILT_WRITE    write      hangup, once both have ended     error: nobody reads
//   EVFILT_EXCEPT   priority, if it is NOTE_OOB; else hangup, which counts only without EVFILT_READ
//
// With EV_EOF, fflags is the socket's error. There may still be data before the end.
namespace SELECTORS_NAMESPACE::detail {

// Two further bits: which filters of a socket have reported an end.
inline constexpr event_bits read_ended = 512, write_ended = 1024;

inline bool is_of(const kernel_event& e, decltype(kernel_event::filter) filter) noexcept {
  return e.filter == filter;
}
inline bool reports_reading(const kernel_event& e) noexcept {
  return is_of(e, static_cast<decltype(e.filter)>(EVFILT_READ));
}
inline bool reports_writing(const kernel_event& e) noexcept {
  return is_of(e, static_cast<decltype(e.filter)>(EVFILT_WRITE));
}
inline bool reports_end(const kernel_event& e) noexcept { return (e.flags & EV_EOF) != 0; }

inline event_bits bits_of(const kernel_event& e, bool socket) noexcept {
  const bool reads = reports_reading(e);
#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
  if (is_of(e, static_cast<decltype(e.filter)>(EVFILT_EXCEPT)))
    return mask_bits::of((e.fflags & NOTE_OOB) != 0 ? event::priority : event::hangup);
#endif
  event_mask found = reads ? event::read : event::write;
  if (!reports_end(e)) return mask_bits::of(found);
  if (!socket) return mask_bits::of(found | (reads ? event::hangup : event::error));
  if (e.fflags != 0) found |= event::error;
  if (reads) found |= event::read_hangup;
  return mask_bits::of(found) | (reads ? read_ended : write_ended);
}

// The poll(2) events of one handle now.
inline short polled(native_handle_type handle) noexcept {
  pollfd one{handle, POLLIN | POLLOUT, 0};
  return ::poll(&one, 1, 0) == 1 ? one.revents : short{0};
}
inline bool hangs_up(native_handle_type handle) noexcept {
  return (polled(handle) & (POLLHUP | POLLERR)) != 0;
}

// Whether the connection is closed, or half-closed. Only poll(2) knows about the half that is not watched,
// which matters to `priority` alone: a hangup raises it.
inline event_bits hangup_of(const registration& r, event_bits bits) noexcept {
  constexpr event_bits hangup = mask_bits::of(event::hangup);
  if ((bits & read_ended) != 0 && (bits & write_ended) != 0) return hangup;
  if (!r.interest.events.contains(event::priority)) return 0;
  return hangs_up(r.handle) ? hangup : 0;
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif

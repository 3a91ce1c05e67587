// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_POLL && !SELECTORS_HAS_WINSOCK

#include <selectors/backend/concept.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/detail/relaxed_atomic.hpp>
#include <selectors/os/posix.hpp>

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

namespace SELECTORS_NAMESPACE {

namespace detail {

#if defined(POLLRDHUP)
inline constexpr int poll_read_hangup = POLLRDHUP;
#else
inline constexpr int poll_read_hangup = 0;
#endif

// ppoll(2) exists on Linux and the BSDs (NetBSD since 10), not on macOS. Where a sandbox forbids it, poll(2)
// is used.
inline constinit relaxed_atomic<bool> is_ppoll_allowed{true};
template <class Watched>
concept has_ppoll = requires(Watched* watched) { ppoll(watched, nfds_t{}, nullptr, nullptr); };

// Without ppoll(2): milliseconds, rounded up, in several calls if an int cannot hold them.
inline int poll_by_milliseconds(pollfd* watched, nfds_t count, std::chrono::nanoseconds timeout) noexcept {
  constexpr std::chrono::milliseconds longest((std::numeric_limits<int>::max)());
  for (;;) {
    const auto whole = std::chrono::ceil<std::chrono::milliseconds>(timeout);
    const auto part = whole < longest ? whole : longest;
    const bool is_endless = timeout == (std::chrono::nanoseconds::max)();
    const int found = ::poll(watched, count, is_endless ? -1 : static_cast<int>(part.count()));
    if (found != 0 || part == whole) return found;
    timeout -= part;
  }
}

template <class Watched>
int poll_for(Watched* watched, std::size_t count, std::chrono::nanoseconds timeout) noexcept {
  if constexpr (has_ppoll<Watched>) {
    if (is_ppoll_allowed) {
      const timespec_of time(timeout);
      const int found = ppoll(watched, static_cast<nfds_t>(count), time.get(), nullptr);
      if (found >= 0 || !is_forbidden_call(errno)) return found;
      is_ppoll_allowed = false;
    }
  }
  return poll_by_milliseconds(watched, static_cast<nfds_t>(count), timeout);
}

}  // namespace detail

/// poll(2): the cost of a wait grows with what is registered. No system call for a change (on macOS one, to
/// see whether poll(2) takes it), and no kernel object. Level and one-shot triggering.
class poll_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "poll";
  static constexpr const char* wait_call = detail::has_ppoll<pollfd> ? "ppoll" : "poll";
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = false;
  // POLLRDHUP: of Linux and FreeBSD, poll(2).
  static constexpr event_mask requestable =
      event::read | event::write | event::priority |
      (detail::poll_read_hangup != 0 ? event::read_hangup : event_mask());

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::edge && !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  poll_backend() noexcept = default;
  poll_backend(poll_backend&& other) noexcept { *this = std::move(other); }
  poll_backend& operator=(poll_backend&& other) noexcept {
    std::swap(size_, other.size_);
    watched_ = std::move(other.watched_);
    tokens_ = std::move(other.tokens_);
    ready_ = std::move(other.ready_);
    return *this;
  }

  failure open() noexcept { return {}; }
  failure reopen() noexcept {
    size_ = 0;
    return {};
  }
  void close() noexcept { size_ = 0; }

  failure reserve(std::size_t count, std::size_t used, native_handle_type) noexcept {
    const bool fits = watched_.reserve(count) && tokens_.reserve(count) && ready_.reserve(count, used);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    if (SELECTORS_POLL_REFUSES_FILES != 0 && is_refused(r)) {
      if (::isatty(r.handle) != 0) return failure::system("poll", ENOTSUP);  // a terminal is not always ready
      r.always_ready = true;
      return {};
    }
    r.slot = static_cast<std::uint32_t>(size_++);
    r.attached = true;
    tokens_[r.slot] = &r;
    watched_[r.slot] = {r.handle, to_kernel(r.interest), 0};
    return {};
  }

  failure modify(registration& r, any_interest) noexcept {
    watched_[r.slot].events = to_kernel(r.interest);
    return {};
  }

  // Swap-remove: an entry left in place with a negative number would still count against RLIMIT_NOFILE,
  // poll(2).
  bool remove(registration& r) noexcept {
    r.attached = false;
    --size_;
    watched_[r.slot] = watched_[size_];
    tokens_[r.slot] = tokens_[size_];
    tokens_[r.slot]->slot = r.slot;
    return true;
  }

  int wait(std::chrono::nanoseconds timeout) noexcept {
    int left = detail::poll_for(watched_.data(), size_, timeout);
    if (left < 0) return left;
    std::size_t found = 0;
    for (std::size_t i = 0; left > 0 && i != size_; ++i) {
      if (watched_[i].revents == 0) continue;
      ready_[found++] = {tokens_[i], from_kernel(watched_[i].revents)};
      --left;
    }
    return static_cast<int>(found);
  }

 private:
  // macOS reports POLLNVAL for an open device or directory, and checks no further entries then: poll(2),
  // BUGS.
  static bool is_refused(const registration& r) noexcept {
    pollfd asked{r.handle, to_kernel(r.interest), 0};
    const bool is_invalid = ::poll(&asked, 1, 0) == 1 && (asked.revents & POLLNVAL) != 0;
    return is_invalid && is_open(r.handle);
  }

  // To the kernel:
  //
  //   read         POLLIN | POLLRDHUP
  //   priority     POLLPRI
  //   write        POLLOUT    no POLLRDHUP: half-closed, it would keep waking a writer
  //   read_hangup  POLLRDHUP
  //
  static short to_kernel(any_interest what) noexcept {
    int bits = 0;
    if (what.events.contains(event::read)) bits |= POLLIN | detail::poll_read_hangup;
    if (what.events.contains(event::read_hangup)) bits |= detail::poll_read_hangup;
    if (what.events.contains(event::priority)) bits |= POLLPRI;
    if (what.events.contains(event::write)) bits |= POLLOUT;
    return static_cast<short>(bits);
  }

  // From the kernel:
  //
  //   POLLIN    read        POLLERR    error
  //   POLLPRI   priority    POLLHUP    hangup
  //   POLLOUT   write       POLLRDHUP  read_hangup
  //   POLLNVAL  the descriptor is closed; comes alone
  //
  static event_bits from_kernel(int bits) noexcept {
    if ((bits & POLLNVAL) != 0) return descriptor_closed;
    event_mask found;
    if ((bits & POLLIN) != 0) found |= event::read;
    if ((bits & POLLPRI) != 0) found |= event::priority;
    if ((bits & POLLOUT) != 0) found |= event::write;
    if ((bits & POLLERR) != 0) found |= event::error;
    if ((bits & POLLHUP) != 0) found |= event::hangup;
    if ((bits & detail::poll_read_hangup) != 0) found |= event::read_hangup;
    return detail::mask_bits::of(found);
  }

  std::size_t size_ = 0;
  detail::buffer<pollfd> watched_;        // dense, in no order
  detail::buffer<registration*> tokens_;  // the registration of each entry
};

}  // namespace SELECTORS_NAMESPACE

#endif

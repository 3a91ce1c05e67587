// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/platform.hpp>

#if SELECTORS_HAS_POLL && SELECTORS_HAS_WINSOCK

#include <selectors/backend/concept.hpp>
#include <selectors/backend/winsock.hpp>
#include <selectors/detail/buffer.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace selectors {

/// WSAPoll: the cost of a wait grows with what is registered. No system call for a change, and no kernel object. Level
/// and one-shot triggering.
class poll_backend {
 public:
  struct entry {
    registration* token;
    event_bits events;
  };

  static constexpr std::string_view name = "poll";
  static constexpr const char* wait_call = "WSAPoll";
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = false;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::edge && !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_socket(handle); }

  poll_backend() noexcept = default;
  poll_backend(poll_backend&& other) noexcept { *this = std::move(other); }
  poll_backend& operator=(poll_backend&& other) noexcept {
    std::swap(size_, other.size_);
    watched_ = std::move(other.watched_);
    tokens_ = std::move(other.tokens_);
    ready_ = std::move(other.ready_);
    return *this;
  }

  failure open() noexcept { return detail::start_winsock(); }
  failure reopen() noexcept {
    size_ = 0;
    return {};
  }
  void close() noexcept { size_ = 0; }
  native_handle_type native_handle() const noexcept { return detail::invalid_handle; }

  failure reserve(std::size_t count, native_handle_type) noexcept {
    const bool fits = watched_.reserve(count) && tokens_.reserve(count) && ready_.reserve(count);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
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

  // The last one takes the place.
  bool remove(registration& r) noexcept {
    r.attached = false;
    --size_;
    watched_[r.slot] = watched_[size_];
    tokens_[r.slot] = tokens_[size_];
    tokens_[r.slot]->slot = r.slot;
    return true;
  }

  int wait(std::chrono::nanoseconds timeout) noexcept {
    detail::countdown time(timeout);
    for (;;) {
      if (size_ == 0) {
        ::Sleep(time.milliseconds() < 0 ? INFINITE : static_cast<DWORD>(time.milliseconds()));
      } else if (::WSAPoll(watched_.data(), static_cast<ULONG>(size_), time.milliseconds()) < 0) {
        errno = ::WSAGetLastError();
        return -1;
      }
      if (const int found = take_ready(); found != 0 || time.is_over()) return found;
    }
  }

  void put(std::size_t i, registration& r, event_bits bits) noexcept { ready_[i] = {&r, bits}; }
  const entry* entries() const noexcept { return ready_.data(); }
  static registration* token(const entry& e) noexcept { return e.token; }
  static event_bits bits(const entry& e) noexcept { return e.events; }
  static event_bits events(const entry& e) noexcept { return e.events; }

 private:
  int take_ready() noexcept {
    std::size_t found = 0;
    for (std::size_t i = 0; i != size_; ++i)
      if (watched_[i].revents != 0) ready_[found++] = {tokens_[i], from_kernel(watched_[i].revents)};
    return static_cast<int>(found);
  }

  // To the kernel:
  //
  //   read      POLLRDNORM
  //   priority  POLLRDBAND
  //   write     POLLWRNORM
  //
  static short to_kernel(any_interest what) noexcept {
    int bits = 0;
    if (what.events.contains(event::read)) bits |= POLLRDNORM;
    if (what.events.contains(event::priority)) bits |= POLLRDBAND;
    if (what.events.contains(event::write)) bits |= POLLWRNORM;
    return static_cast<short>(bits);
  }

  // From the kernel.
  static event_bits from_kernel(int bits) noexcept {
    if ((bits & POLLNVAL) != 0) return descriptor_closed;
    event_mask found;
    if ((bits & POLLRDNORM) != 0) found |= event::read;
    if ((bits & POLLRDBAND) != 0) found |= event::priority;
    if ((bits & POLLWRNORM) != 0) found |= event::write;
    if ((bits & POLLERR) != 0) found |= event::error;
    if ((bits & POLLHUP) != 0) found |= event::read | event::read_hangup;
    return detail::mask_bits::of(found);
  }

  std::size_t size_ = 0;
  detail::buffer<pollfd> watched_;        // dense, in no order
  detail::buffer<registration*> tokens_;  // whose each of them is
  detail::buffer<entry> ready_;
};

static_assert(selector_backend<poll_backend>);

}  // namespace selectors

#endif

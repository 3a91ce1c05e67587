// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_POLL && SELECTORS_HAS_WINSOCK

#include <selectors/backend/concept.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/os/winsock.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// WSAPoll: the cost of a wait grows with what is registered. No system call for a change, and no kernel
/// object. Level and one-shot triggering. Two kinds of sockets that WSAPoll does not serve are polled by
/// select, a hundred times a second while there are any: a socket registered for write alone whose peer has
/// shut down its sending side, and, before Windows 10 version 2004, a socket that is connecting.
class poll_backend : public detail::ready_list {
 public:
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
    std::swap(polled_, other.polled_);
    watched_ = std::move(other.watched_);
    tokens_ = std::move(other.tokens_);
    ready_ = std::move(other.ready_);
    return *this;
  }

  failure open() noexcept { return detail::start_winsock(); }
  failure reopen() noexcept {
    size_ = polled_ = 0;
    return {};
  }
  void close() noexcept { size_ = polled_ = 0; }

  failure reserve(std::size_t count, std::size_t used, native_handle_type) noexcept {
    const bool fits = watched_.reserve(count) && tokens_.reserve(count) && ready_.reserve(count, used);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    r.slot = static_cast<std::uint32_t>(size_++);
    r.attached = true;
    tokens_[r.slot] = &r;
    watched_[r.slot] = {r.handle, to_kernel(r.interest), 0};
    if (detail::reports_failed_connects() || !is_connecting(r.handle)) return_to_poll(r.slot);
    return {};
  }

  failure modify(registration& r, any_interest) noexcept {
    watched_[r.slot].events = to_kernel(r.interest);
    if (r.slot >= polled_ && (detail::reports_failed_connects() || !is_connecting(r.handle)))
      return_to_poll(r.slot);
    return {};
  }

  // Swap-remove: the last entry takes its place.
  bool remove(registration& r) noexcept {
    r.attached = false;
    if (r.slot < polled_) put_aside(r.slot);
    exchange(r.slot, --size_);
    return true;
  }

  // Closing a socket does not end a WSAPoll that is waiting; it is reported only when the timeout has passed.
  // So the first call does not wait. A socket that returns from select to WSAPoll is polled at once.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    detail::countdown time(timeout);
    int milliseconds = 0;
    int failures = 0;
    for (bool is_again = false;;) {
      if (!ask(milliseconds) && (errno != WSAENOTSOCK || ++failures == 3)) return -1;
      const std::size_t polled = polled_;
      const std::size_t found = look_aside(take_ready());
      if (found != 0) return static_cast<int>(found);
      is_again = !is_again && polled_ > polled;
      if (!is_again && time.is_over()) return 0;
      milliseconds = is_again ? 0 : next(time);
    }
  }

 private:
  // ---- those that WSAPoll serves, before `polled_`, and those that it does not ----------------------------

  void exchange(std::size_t a, std::size_t b) noexcept {
    std::swap(watched_[a], watched_[b]);
    std::swap(tokens_[a], tokens_[b]);
    tokens_[a]->slot = static_cast<std::uint32_t>(a);
    tokens_[b]->slot = static_cast<std::uint32_t>(b);
  }
  void put_aside(std::size_t i) noexcept { exchange(i, --polled_); }
  void return_to_poll(std::size_t i) noexcept { exchange(i, polled_++); }

  // Neither a listener nor a socket without connections.
  static bool is_connecting(SOCKET socket) noexcept {
    int type = 0;
    int listens = 0;
    int size = sizeof type;
    ::getsockopt(socket, SOL_SOCKET, SO_TYPE, reinterpret_cast<char*>(&type), &size);
    size = sizeof listens;
    ::getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, reinterpret_cast<char*>(&listens), &size);
    return type == SOCK_STREAM && listens == 0 && !detail::is_connected_socket(socket);
  }

  // Reports failed connects and closed sockets. A socket that is ready returns to WSAPoll, which knows the
  // details.
  std::size_t look_aside(std::size_t found) noexcept {
    for (std::size_t i = polled_; i < size_; ++i) {
      const event_bits bits = look_at(*tokens_[i]);
      if (bits == 0) continue;
      if ((bits & (detail::mask_bits::of(event::error) | descriptor_closed)) != 0)
        ready_[found++] = {tokens_[i], bits};
      else
        return_to_poll(i);
    }
    return found;
  }

  // What select reports of the socket now. Unlike WSAPoll, select accepts sockets without a peer; for these,
  // exceptfds means that the connect failed.
  static event_bits look_at(const registration& r) noexcept {
    const event_mask asked = r.interest.events;
    fd_set reading, writing, failing;
    for (fd_set* set : {&reading, &writing, &failing}) {
      set->fd_count = 1;
      set->fd_array[0] = r.handle;
    }
    if (!asked.contains(event::read)) reading.fd_count = 0;
    if (!asked.contains(event::write)) writing.fd_count = 0;
    timeval now{0, 0};
    if (::select(0, &reading, &writing, &failing, &now) < 0) return is_open(r.handle) ? 0 : descriptor_closed;
    event_mask found;
    if (reading.fd_count != 0) found |= event::read;
    if (writing.fd_count != 0) found |= event::write;
    if (failing.fd_count != 0) {
      if (!detail::is_connected_socket(r.handle))
        found |= event::error;
      else if (asked.contains(event::priority))
        found |= event::priority;
    }
    return detail::mask_bits::of(found);
  }

  // ---- waiting --------------------------------------------------------------------------------------------

  int next(const detail::countdown& time) const noexcept {
    constexpr int pause = 10;
    const int milliseconds = time.milliseconds();
    if (polled_ == size_) return milliseconds;
    return milliseconds < 0 || milliseconds > pause ? pause : milliseconds;
  }

  // False on failure, with errno. WSAPoll fails at once instead of waiting if it is given no socket, or none
  // that is open; in the second case the closed ones are marked. None is found if another thread has reused
  // the number meanwhile.
  bool ask(int milliseconds) noexcept {
    if (polled_ == 0) {
      if (milliseconds != 0) ::Sleep(milliseconds < 0 ? INFINITE : static_cast<DWORD>(milliseconds));
      return true;
    }
    if (::WSAPoll(watched_.data(), static_cast<ULONG>(polled_), milliseconds) >= 0) return true;
    const int error = ::WSAGetLastError();
    bool any_closed = false;
    for (std::size_t i = 0; i != polled_; ++i) {
      const bool is_closed = !is_open(watched_[i].fd);
      watched_[i].revents = is_closed ? POLLNVAL : 0;
      any_closed = any_closed || is_closed;
    }
    errno = error;
    return any_closed;
  }

  // The peer's half-close is not reported to a registration that did not request `read`: it would end every
  // wait.
  std::size_t take_ready() noexcept {
    std::size_t found = 0;
    for (std::size_t i = polled_; i-- != 0;) {
      const int bits = watched_[i].revents;
      if (bits == 0) continue;
      if (bits == POLLHUP && (watched_[i].events & POLLRDNORM) == 0)
        put_aside(i);
      else
        ready_[found++] = {tokens_[i], from_kernel(bits)};
    }
    return found;
  }

  // To the kernel:
  //
  //   read      POLLRDNORM
  //   priority  POLLRDBAND    POLLPRI in a request is WSAEINVAL
  //   write     POLLWRNORM
  //
  static short to_kernel(any_interest what) noexcept {
    int bits = 0;
    if (what.events.contains(event::read)) bits |= POLLRDNORM;
    if (what.events.contains(event::priority)) bits |= POLLRDBAND;
    if (what.events.contains(event::write)) bits |= POLLWRNORM;
    return static_cast<short>(bits);
  }

  // From the kernel:
  //
  //   POLLRDNORM  read            POLLERR  error; with POLLHUP a reset, and hangup too
  //   POLLRDBAND  priority        POLLHUP  alone: the peer has shut down its sending side, so the end of the
  //   POLLWRNORM  write                    stream can be read: read, read_hangup
  //   POLLNVAL    the socket is closed, or the number is not a socket
  //
  static event_bits from_kernel(int bits) noexcept {
    if ((bits & POLLNVAL) != 0) return descriptor_closed;
    event_mask found;
    if ((bits & POLLRDNORM) != 0) found |= event::read;
    if ((bits & POLLRDBAND) != 0) found |= event::priority;
    if ((bits & POLLWRNORM) != 0) found |= event::write;
    if ((bits & POLLERR) != 0) found |= event::error;
    if ((bits & POLLHUP) != 0) {
      found |= event::read | event::read_hangup;
      if ((bits & POLLERR) != 0) found |= event::hangup;
    }
    return detail::mask_bits::of(found);
  }

  std::size_t size_ = 0;
  std::size_t polled_ = 0;
  detail::buffer<WSAPOLLFD> watched_;     // dense; first those that WSAPoll serves
  detail::buffer<registration*> tokens_;  // the registration of each entry
};

}  // namespace SELECTORS_NAMESPACE

#endif

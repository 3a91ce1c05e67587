// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_SELECT && SELECTORS_HAS_WINSOCK

#include <selectors/backend/concept.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/detail/handle_hash.hpp>
#include <selectors/os/winsock.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// select of Winsock: the cost of a wait grows with what is registered. One system call when a socket begins
/// to be watched, none for other changes, and no kernel object. Level and one-shot triggering. FD_SETSIZE is
/// no limit: an fd_set is a count and an array, and these are the library's own.
class select_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "select";
  static constexpr const char* wait_call = "select";
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = false;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::edge && !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_socket(handle); }

  select_backend() noexcept = default;
  select_backend(select_backend&& other) noexcept { *this = std::move(other); }
  select_backend& operator=(select_backend&& other) noexcept {
    std::swap(size_, other.size_);
    tokens_ = std::move(other.tokens_);
    watched_ = std::move(other.watched_);
    for (std::size_t set = 0; set != sets; ++set) sets_[set] = std::move(other.sets_[set]);
    ready_ = std::move(other.ready_);
    return *this;
  }

  failure open() noexcept { return detail::start_winsock(); }
  failure reopen() noexcept {
    while (size_ != 0) (void)remove(*watched_[size_ - 1].token);
    return {};
  }
  void close() noexcept { (void)reopen(); }

  failure reserve(std::size_t count, std::size_t used, native_handle_type) noexcept {
    bool fits = tokens_.reserve(count) && watched_.reserve(count) && ready_.reserve(count, used);
    for (auto& set : sets_) fits = fits && set.reserve(1 + count);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    r.slot = static_cast<std::uint32_t>(size_++);
    r.attached = true;
    tokens_.set(r.handle, &r);
    watched_[r.slot] = {&r, 0, detail::is_connected_socket(r.handle), false};
    return {};
  }

  failure modify(registration&, any_interest) noexcept { return {}; }

  // Swap-remove: the last entry takes its place.
  bool remove(registration& r) noexcept {
    r.attached = false;
    tokens_.set(r.handle, nullptr);
    watched_[r.slot] = watched_[--size_];
    watched_[r.slot].token->slot = r.slot;
    return true;
  }

  // One closed socket makes select fail for all, with WSAENOTSOCK. The closed ones are then looked for one by
  // one, reported, and left out. None is found if another thread has reused the number meanwhile.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    detail::countdown time(timeout);
    std::size_t entries = 0;
    for (std::size_t i = 0; i != size_; ++i) watched_[i].is_closed = false;
    for (int fruitless = 0;;) {
      const int count = ask(entries == 0 ? time.milliseconds() : 0);
      if (count > 0) entries = take_ready(entries);
      if (entries != 0 && count >= 0) return static_cast<int>(entries);
      if (count == 0 && time.is_over()) return 0;
      if (count >= 0) continue;
      const int error = ::WSAGetLastError();
      const std::size_t before = entries;
      if (error == WSAENOTSOCK) entries = take_closed(before);
      if (entries != before) continue;
      if (error != WSAENOTSOCK || ++fruitless == 3) {
        if (entries != 0) return static_cast<int>(entries);
        errno = error;
        return -1;
      }
    }
  }

 private:
  enum set_name : std::size_t { readable, writable, exceptional, sets };

  struct watch {
    registration* token;
    std::uint32_t entry;  // its entry in this wait, plus one; 0 for none
    bool is_connected;
    bool is_closed;
  };

  // An fd_set of any size: the count, then the sockets.
  static_assert(offsetof(fd_set, fd_array) == sizeof(SOCKET));
  fd_set* as_fd_set(set_name which) noexcept { return reinterpret_cast<fd_set*>(sets_[which].data()); }
  void insert(set_name which, SOCKET socket) noexcept { sets_[which][++sets_[which][0]] = socket; }

  // To the kernel:
  //
  //   read      readfds
  //   write     writefds
  //   priority  exceptfds, which is also the only set that reports a failed connect: a socket without a peer
  //             is in it whatever is requested
  //
  bool fill_sets() noexcept {
    for (auto& one : sets_) one[0] = 0;
    for (std::size_t i = 0; i != size_; ++i) {
      watch& w = watched_[i];
      w.entry = 0;
      if (w.is_closed) continue;
      const event_mask asked = w.token->interest.events;
      if (asked.contains(event::read)) insert(readable, w.token->handle);
      if (asked.contains(event::write)) insert(writable, w.token->handle);
      if (asked.contains(event::priority) || !w.is_connected) insert(exceptional, w.token->handle);
    }
    return (sets_[readable][0] | sets_[writable][0] | sets_[exceptional][0]) != 0;
  }

  // Given no socket, select fails at once instead of waiting.
  int ask(int milliseconds) noexcept {
    if (size_ == 0 || !fill_sets()) {
      ::Sleep(milliseconds < 0 ? INFINITE : static_cast<DWORD>(milliseconds));
      return 0;
    }
    timeval time{milliseconds / 1000, milliseconds % 1000 * 1000};
    return ::select(0, as_fd_set(readable), as_fd_set(writable), as_fd_set(exceptional),
                    milliseconds < 0 ? nullptr : &time);
  }

  std::size_t take_closed(std::size_t entries) noexcept {
    for (std::size_t i = 0; i != size_; ++i) {
      watch& w = watched_[i];
      if (w.is_closed || is_open(w.token->handle)) continue;
      w.is_closed = true;
      set_entry(entries++, *w.token, descriptor_closed);
    }
    return entries;
  }

  // From the kernel: the table above, read backwards; but exceptfds without a peer is an error.
  std::size_t take_ready(std::size_t entries) noexcept {
    static constexpr event event_of[sets] = {event::read, event::write, event::priority};
    for (std::size_t which = readable; which != sets; ++which) {
      for (std::size_t i = 1; i <= sets_[which][0]; ++i) {
        registration* const r = tokens_.find(sets_[which][i]);
        if (r == nullptr) continue;
        event_mask found = event_of[which];
        if (which == exceptional && !detail::is_connected_socket(r->handle))
          found = event::error;
        else
          watched_[r->slot].is_connected = watched_[r->slot].is_connected || which != readable;
        if (found == event::priority && !r->interest.events.contains(found)) continue;
        watch& w = watched_[r->slot];
        if (w.entry == 0) {
          set_entry(entries++, *r, 0);
          w.entry = static_cast<std::uint32_t>(entries);
        }
        ready_[w.entry - 1].events |= detail::mask_bits::of(found);
      }
    }
    return entries;
  }

  std::size_t size_ = 0;
  detail::handle_hash<registration> tokens_;
  detail::buffer<watch> watched_;  // dense, in no order
  detail::buffer<SOCKET> sets_[sets];
};

}  // namespace SELECTORS_NAMESPACE

#endif

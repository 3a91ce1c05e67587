// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/kqueue_slot.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <sys/types.h>

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Sockets on which listen(2) may still be called. NetBSD, OpenBSD and DragonFly decide when EVFILT_READ is
// added whether it reports connections or data (soo_kqfilter of uipc_socket.c): if listen(2) is called later,
// it never reports a connection until it is added again. So each wait first checks the sockets that were
// neither connected nor listening; usually there are none.
class kqueue_listeners {
 public:
  kqueue_listeners() noexcept = default;
  kqueue_listeners(kqueue_listeners&& other) noexcept { *this = std::move(other); }
  kqueue_listeners& operator=(kqueue_listeners&& other) noexcept {
    std::swap(all_, other.all_);
    std::swap(size_, other.size_);
    return *this;
  }

  bool empty() const noexcept { return size_ == 0; }
  bool reserve(std::size_t count) noexcept { return all_.reserve(count, size_); }
  void clear() noexcept { size_ = 0; }

  // Adds a newly registered socket to the list if it may still listen. An unregistered socket stays in the
  // list until the list is scanned.
  void note(registration& r) noexcept {
    if (state_of(r.handle) != state::may_listen) return;
    if (size_ == all_.capacity()) tidy();
    r.slot |= kqueue_slot::may_listen;
    all_[size_++] = &r;
  }

  // Calls `listens(registration)` for each socket that listens now.
  template <class Visit>
  void look(Visit listens) noexcept {
    tidy();
    std::size_t kept = 0;
    for (std::size_t i = 0; i != size_; ++i) {
      registration& r = *all_[i];
      const state now = state_of(r.handle);
      if (now == state::may_listen) {
        all_[kept++] = &r;
        continue;
      }
      r.slot &= ~kqueue_slot::may_listen;
      if (now == state::listens) listens(r);
    }
    size_ = kept;
  }

 private:
  enum class state : std::uint8_t { may_listen, listens, neither };

  static int option(native_handle_type socket, int name) noexcept {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(socket, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  }

  // One system call for a connected socket, which most are.
  static state state_of(native_handle_type socket) noexcept {
    sockaddr_storage peer;
    socklen_t size = sizeof peer;
    if (::getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0 || errno != ENOTCONN)
      return state::neither;
    const int accepts = option(socket, SO_ACCEPTCONN);
    if (accepts > 0) return state::listens;
    const int type = option(socket, SO_TYPE);
    return accepts == 0 && (type == SOCK_STREAM || type == SOCK_SEQPACKET) ? state::may_listen
                                                                           : state::neither;
  }

  // Drops the sockets that are registered no longer, and the duplicates.
  void tidy() noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i != size_; ++i) {
      registration& r = *all_[i];
      if (!r.attached || (r.slot & kqueue_slot::may_listen) == 0) continue;
      r.slot &= ~kqueue_slot::may_listen;
      all_[kept++] = &r;
    }
    for (std::size_t i = 0; i != kept; ++i) all_[i]->slot |= kqueue_slot::may_listen;
    size_ = kept;
  }

  buffer<registration*> all_;
  std::size_t size_ = 0;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/winsock.hpp>

#include <atomic>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// A socket that is closed with its scope, never inherited by a child process.
class owned_socket {
 public:
  owned_socket() noexcept = default;
  explicit owned_socket(SOCKET socket) noexcept : socket_(socket) {
    if (socket_ != INVALID_SOCKET)
      ::SetHandleInformation(reinterpret_cast<HANDLE>(socket_), HANDLE_FLAG_INHERIT, 0);
  }
  owned_socket(owned_socket&& other) noexcept : socket_(std::exchange(other.socket_, INVALID_SOCKET)) {}
  owned_socket& operator=(owned_socket&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~owned_socket() {
    if (socket_ != INVALID_SOCKET) ::closesocket(socket_);
  }

  static owned_socket make_tcp() noexcept {
    return owned_socket(::WSASocketW(AF_INET, SOCK_STREAM, IPPROTO_TCP, nullptr, 0,
                                     WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT));
  }
  explicit operator bool() const noexcept { return socket_ != INVALID_SOCKET; }
  SOCKET get() const noexcept { return socket_; }

 private:
  SOCKET socket_ = INVALID_SOCKET;
};

// The channel of a wakeup on Windows: a TCP connection of the process with itself, since only sockets can be
// waited for together with sockets. At most one byte is in flight.
class winsock_channel {
 public:
  failure open() noexcept {
    if (const failure failed = start_winsock()) return failed;
    const char* call = nullptr;
    if (connect(call)) return {};
    const int error = ::WSAGetLastError();
    reader_ = owned_socket();
    writer_ = owned_socket();
    return failure::system(call, error);
  }

  // Windows has no fork, so the connection belongs to this process. A new one, with another number, is needed
  // only if the old one is broken or was closed by the program. No notification is pending afterwards.
  failure reopen() noexcept {
    if (reader_ && writer_ && are_peers()) {
      reset();
      return {};
    }
    winsock_channel fresh;
    if (const failure failed = fresh.open()) return failed;
    reader_ = std::move(fresh.reader_);
    writer_ = std::move(fresh.writer_);
    state_.store(0, std::memory_order_release);
    return {};
  }

  // Does nothing if a notification is pending, that is, if `reset` has not yet taken its byte. This is found
  // out by a write, not by a load, so that what the thread did before is visible to the thread that takes the
  // notification.
  void notify() noexcept {
    if ((state_.fetch_or(claimed, std::memory_order_acq_rel) & claimed) != 0) return;
    const int kept = ::WSAGetLastError();
    const char byte = 0;
    if (::send(writer_.get(), &byte, 1, 0) == 1) {
      int seen = claimed;
      state_.compare_exchange_strong(seen, claimed | sent, std::memory_order_acq_rel);
    } else {
      state_.store(0, std::memory_order_release);
    }
    ::WSASetLastError(kept);
  }

  // Takes the byte, then clears the state. In the other order a byte sent in between would be taken together
  // with the first, and the state would claim a byte that is gone. A sent byte may take a moment to arrive,
  // so this tries again, yielding, at most `max_tries` times; a connection that the program broke never
  // delivers it.
  bool reset() noexcept {
    const int kept = ::WSAGetLastError();
    bool taken = take();
    for (int tries = 0; !taken && tries != max_tries && (state_.load(std::memory_order_acquire) & sent) != 0;
         ++tries) {
      ::SwitchToThread();
      taken = take();
    }
    if (taken) state_.exchange(0, std::memory_order_acq_rel);
    ::WSASetLastError(kept);
    return taken;
  }

  native_handle_type native_handle() const noexcept { return reader_.get(); }

 private:
  enum : int { claimed = 1, sent = 2 };
  static constexpr int max_tries = 1000;
  static constexpr int max_strangers = 64;

  bool take() noexcept {
    char bytes[16];
    return ::recv(reader_.get(), bytes, sizeof bytes, 0) > 0;
  }

  // Any program on this machine may connect to the port while it listens: the accepted connection is the
  // right one only if each end is the other's peer. `max_strangers` bounds the number of others that are
  // accepted first.
  bool connect(const char*& call) noexcept {
    const owned_socket listener = owned_socket::make_tcp();
    call = "WSASocket";
    if (!listener) return false;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    const BOOL yes = TRUE;
    const auto* const on = reinterpret_cast<const char*>(&yes);
    call = "bind";
    ::setsockopt(listener.get(), SOL_SOCKET, SO_EXCLUSIVEADDRUSE, on, sizeof yes);
    if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return false;
    call = "listen";
    if (::listen(listener.get(), 1) != 0) return false;
    call = "getsockname";
    if (!name_of(::getsockname, listener, address)) return false;
    call = "WSASocket";
    writer_ = owned_socket::make_tcp();
    if (!writer_) return false;
    call = "connect";
    if (::connect(writer_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return false;
    call = "accept";
    for (int strangers = 0; strangers != max_strangers; ++strangers) {
      reader_ = owned_socket(::accept(listener.get(), nullptr, nullptr));
      if (!reader_) return false;
      if (!are_peers()) continue;
      call = "setsockopt";
      return make_prompt(on);
    }
    ::WSASetLastError(WSAECONNABORTED);
    return false;
  }

  bool make_prompt(const char* on) noexcept {
    u_long yes = 1;
    return ::setsockopt(writer_.get(), IPPROTO_TCP, TCP_NODELAY, on, sizeof(BOOL)) == 0 &&
           ::ioctlsocket(writer_.get(), static_cast<long>(FIONBIO), &yes) == 0 &&
           ::ioctlsocket(reader_.get(), static_cast<long>(FIONBIO), &yes) == 0;
  }

  template <class Call>
  static bool name_of(Call call, const owned_socket& socket, sockaddr_in& name) noexcept {
    int size = sizeof name;
    return call(socket.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0;
  }

  bool are_peers() const noexcept {
    sockaddr_in mine{}, his_peer{}, his{}, my_peer{};
    return name_of(::getsockname, writer_, mine) && name_of(::getpeername, reader_, his_peer) &&
           name_of(::getsockname, reader_, his) && name_of(::getpeername, writer_, my_peer) &&
           is_same(mine, his_peer) && is_same(his, my_peer);
  }
  static bool is_same(const sockaddr_in& a, const sockaddr_in& b) noexcept {
    return a.sin_addr.s_addr == b.sin_addr.s_addr && a.sin_port == b.sin_port;
  }

  owned_socket reader_;
  owned_socket writer_;
  std::atomic<int> state_{0};
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

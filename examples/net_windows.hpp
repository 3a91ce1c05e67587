// SPDX-License-Identifier: BSL-1.0
#pragma once

// Sockets where they are handles of their own, and what ends a server. net_posix.hpp has the same names.

#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>

#include <winsock2.h>
#include <ws2tcpip.h>

#include <windows.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace net::os {

using handle = selectors::native_handle_type;
inline constexpr int sending_side = SD_SEND;

// Of the call that has just failed.
inline int last_error() noexcept { return ::WSAGetLastError(); }

inline bool is_for_later(int error) noexcept { return error == WSAEWOULDBLOCK; }
// Whether an error of accept concerns only the connection that it would have returned.
inline bool is_of_one_connection(int error) noexcept {
  return error == WSAECONNRESET || error == WSAECONNABORTED;
}
inline std::string lookup_error(int error) { return std::system_category().message(error); }

inline void close(handle socket) noexcept { ::closesocket(socket); }

// Makes a new socket non-blocking, and no child's.
inline handle prepared(handle socket) noexcept {
  if (socket == INVALID_SOCKET) return socket;
  u_long on = 1;
  if (::ioctlsocket(socket, static_cast<long>(FIONBIO), &on) == 0) {
    ::SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0);
    return socket;
  }
  const int error = ::WSAGetLastError();
  ::closesocket(socket);
  ::WSASetLastError(error);
  return INVALID_SOCKET;
}

inline handle open(const addrinfo& like) noexcept {
  return prepared(::socket(like.ai_family, like.ai_socktype, like.ai_protocol));
}
inline handle accept(handle listening, sockaddr* address, socklen_t* size) noexcept {
  return prepared(::accept(listening, address, size));
}

// Before bind. By SO_REUSEADDR the port could be taken from who listens on it; this option forbids that. The
// next server has it as soon as none of the connections of the one before is active.
inline bool claim_port(handle socket) noexcept {
  const BOOL on = TRUE;
  return ::setsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, reinterpret_cast<const char*>(&on),
                      sizeof on) == 0;
}

// A peer that vanished without a word is noticed after the system's default, two hours. Accepted sockets
// inherit this from the listening one.
inline void prepare_connections(handle listening) noexcept {
  const BOOL on = TRUE;
  ::setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, reinterpret_cast<const char*>(&on), sizeof on);
  ::setsockopt(listening, SOL_SOCKET, SO_KEEPALIVE, reinterpret_cast<const char*>(&on), sizeof on);
}

// How many bytes; negative after an error. Sizes are int here.
inline int size_of(std::size_t bytes) noexcept {
  return static_cast<int>(std::min<std::size_t>(bytes, 1 << 30));
}
inline std::ptrdiff_t send(handle to, std::string_view bytes) noexcept {
  return ::send(to, bytes.data(), size_of(bytes.size()), 0);
}
inline std::ptrdiff_t receive(handle from, std::span<char> buffer) noexcept {
  return ::recv(from, buffer.data(), size_of(buffer.size()), 0);
}

// Of a connect that has only begun.
inline bool is_connecting(int error) noexcept { return error == WSAEWOULDBLOCK; }
// How a connect has ended: 0, or why it failed.
inline int pending_error(handle socket) noexcept {
  int error = 0, size = sizeof error;
  const int how = ::getsockopt(socket, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size);
  return how == 0 ? error : ::WSAGetLastError();
}

// Before anything else: who opens sockets before the first selector starts Winsock himself. It ends with the
// process.
inline void start() {
  WSADATA about;
  if (const int error = ::WSAStartup(MAKEWORD(2, 2), &about); error != 0)
    throw std::system_error(error, std::system_category(), "WSAStartup");
}

}  // namespace net::os

namespace net {

// What ends a server: Ctrl-C, Ctrl-Break, and the end of the console.
inline selectors::signal_set ending_signals() { return {SIGINT, SIGBREAK, SIGTERM}; }

}  // namespace net

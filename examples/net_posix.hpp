// SPDX-License-Identifier: BSL-1.0
#pragma once

// Sockets where they are descriptors, and the signals that end a server. net_windows.hpp has the same names.

#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace net::os {

using handle = selectors::native_handle_type;
inline constexpr int sending_side = SHUT_WR;

// Of the call that has just failed.
inline int last_error() noexcept { return errno; }

inline bool is_for_later(int error) noexcept {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}
// Whether an error of accept(2) concerns only the connection that it would have returned, or only this call.
inline bool is_of_one_connection(int error) noexcept { return error == ECONNABORTED || error == EINTR; }
inline std::string lookup_error(int error) { return ::gai_strerror(error); }

inline void close(handle socket) noexcept { ::close(socket); }

// Makes a new socket non-blocking and close-on-exec. Two calls more than by accept4(2), which macOS does not
// have.
inline handle prepared(handle socket) noexcept {
  if (socket < 0) return socket;
  if (::fcntl(socket, F_SETFL, O_NONBLOCK) == 0 && ::fcntl(socket, F_SETFD, FD_CLOEXEC) == 0) return socket;
  const int error = errno;
  ::close(socket);
  errno = error;
  return -1;
}

inline handle open(const addrinfo& like) noexcept {
  return prepared(::socket(like.ai_family, like.ai_socktype, like.ai_protocol));
}
inline handle accept(handle listening, sockaddr* address, socklen_t* size) noexcept {
  return prepared(::accept(listening, address, size));
}

// Before bind. The port is to be had at once, though connections of the server before linger on it, but not
// while another listens on it: socket(7).
inline bool claim_port(handle socket) noexcept {
  const int on = 1;
  return ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
}

// A peer that vanished without a word (no power, no network) is noticed after 60 + 3 * 10 seconds. Accepted
// sockets inherit this from the listening one, socket(7) and tcp(7), so that it costs a connection no system
// call. What is sent does not wait for the acknowledgement of what was sent before (TCP_NODELAY): all that is
// ready is sent by one call.
inline void prepare_connections(handle listening) noexcept {
  const int on = 1;
  ::setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(listening, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
#if defined(TCP_KEEPIDLE) && defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
  const int idle = 60, interval = 10, probes = 3;
  ::setsockopt(listening, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(listening, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  ::setsockopt(listening, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
#endif
}

// How many bytes; negative after an error. SIGPIPE is ignored, so a lost connection is an error like any
// other.
inline std::ptrdiff_t send(handle to, std::string_view bytes) noexcept {
  return ::send(to, bytes.data(), bytes.size(), 0);
}
inline std::ptrdiff_t receive(handle from, std::span<char> buffer) noexcept {
  return ::recv(from, buffer.data(), buffer.size(), 0);
}

// Of a connect that has only begun.
inline bool is_connecting(int error) noexcept { return error == EINPROGRESS; }
// How a connect has ended: 0, or why it failed.
inline int pending_error(handle socket) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

// Before anything else. The number of a closed standard stream would become that of the next socket, and what
// is printed would go to a client. Read-only, so that writing to a closed stdout remains an error.
inline void start() noexcept {
  int opened = 0;
  while (opened >= 0 && opened <= STDERR_FILENO) opened = ::open("/dev/null", O_RDONLY);
  if (opened >= 0) ::close(opened);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace net::os

namespace net {

// What ends a server.
inline selectors::signal_set ending_signals() { return {SIGINT, SIGTERM}; }

}  // namespace net

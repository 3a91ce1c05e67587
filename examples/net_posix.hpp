// SPDX-License-Identifier: BSL-1.0
#pragma once

// Sockets where they are descriptors, and the end by signal. net_windows.hpp has the same names.

#include <selectors/selectors.hpp>

#include <fcntl.h>
#include <netdb.h>
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

// Of the call that has just failed.
inline int last_error() noexcept { return errno; }

inline bool is_for_later(int error) noexcept {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}
// Of accept, which would fail again at once.
inline bool is_out_of_sockets(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}
inline std::string lookup_error(int error) { return ::gai_strerror(error); }

inline void close(handle socket) noexcept { ::close(socket); }

// Makes a new socket non-blocking and close-on-exec. Two calls more than by accept4(2), which macOS does not have.
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

// Before bind. The port is to be had at once, though connections of the server before linger on it, but not while
// another listens on it: socket(7).
inline bool claim_port(handle socket) noexcept {
  const int on = 1;
  return ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
}

// How many bytes; negative after an error. SIGPIPE is ignored, so a connection that is lost is an error, too.
inline std::ptrdiff_t send(handle to, std::string_view bytes) noexcept {
  return ::send(to, bytes.data(), bytes.size(), 0);
}
inline std::ptrdiff_t receive(handle from, std::span<char> buffer) noexcept {
  return ::recv(from, buffer.data(), buffer.size(), 0);
}

// Before anything else. A standard stream that is closed would be the number of the next socket, and what is
// printed would go to a client.
inline void start() noexcept {
  int opened = 0;
  while (opened >= 0 && opened <= STDERR_FILENO) opened = ::open("/dev/null", O_RDWR);
  if (opened >= 0) ::close(opened);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace net::os

namespace net {

// Readable once SIGINT or SIGTERM has come. There is one at a time.
class end_by_signal {
 public:
  end_by_signal() {
    target = &wakeup_;
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { target->notify(); });
  }
  end_by_signal(const end_by_signal&) = delete;
  ~end_by_signal() {
    for (const int number : {SIGINT, SIGTERM}) std::signal(number, SIG_IGN);  // it is ending already
    target = nullptr;
  }
  os::handle native_handle() const noexcept { return wakeup_.native_handle(); }

 private:
  static inline selectors::wakeup* target = nullptr;
  selectors::wakeup wakeup_;
};

}  // namespace net

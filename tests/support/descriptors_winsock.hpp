// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/handle.hpp>
#include <selectors/os/winsock.hpp>

#include <ws2tcpip.h>

#include <cstddef>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

// Sockets to watch: owned, non-blocking, not inherited. Windows can wait for nothing else in this way, so a
// pipe is a TCP connection here.
namespace support {

// Starts Winsock in the same way as the selectors under test do.
[[maybe_unused]] inline const bool winsock_is_started = !selectors::detail::start_winsock();

inline int checked(int result, const char* call) {
  if (result == SOCKET_ERROR) throw std::system_error(::WSAGetLastError(), std::system_category(), call);
  return result;
}
inline SOCKET checked(SOCKET result, const char* call) {
  if (result == INVALID_SOCKET) throw std::system_error(::WSAGetLastError(), std::system_category(), call);
  return result;
}

class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(SOCKET number) noexcept : number_(number) {}
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, INVALID_SOCKET)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~descriptor() { close(); }

  SOCKET native_handle() const noexcept { return number_; }
  SOCKET get() const noexcept { return number_; }
  SOCKET release() noexcept { return std::exchange(number_, INVALID_SOCKET); }
  void close() noexcept {
    if (number_ != INVALID_SOCKET) ::closesocket(std::exchange(number_, INVALID_SOCKET));
  }

 private:
  SOCKET number_ = INVALID_SOCKET;
};

inline void close_number(SOCKET number) noexcept { ::closesocket(number); }

inline constexpr int SHUT_WR = SD_SEND;

inline descriptor prepared(SOCKET socket) {
  descriptor owned(socket);
  u_long yes = 1;
  checked(::ioctlsocket(socket, static_cast<long>(FIONBIO), &yes), "ioctlsocket");
  ::SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0);
  return owned;
}

template <class Value>
void set_option(const descriptor& socket, int level, int name, const Value& value) {
  checked(::setsockopt(socket.get(), level, name, reinterpret_cast<const char*>(&value), sizeof value),
          "setsockopt");
}

inline descriptor make_socket(int type = SOCK_STREAM) {
  return prepared(checked(::WSASocketW(AF_INET, type, 0, nullptr, 0, WSA_FLAG_OVERLAPPED), "WSASocket"));
}

inline sockaddr_in loopback(std::uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = ::htons(port);
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  return address;
}

inline sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

inline sockaddr_in bound(const descriptor& socket) {
  sockaddr_in address = loopback();
  checked(::bind(socket.get(), generic(address), sizeof address), "bind");
  int size = sizeof address;
  checked(::getsockname(socket.get(), generic(address), &size), "getsockname");
  return address;
}

// Whether WSAPoll reports one of `events` before the time is over.
inline bool becomes_ready(const descriptor& socket, short events, int milliseconds = 10'000) {
  WSAPOLLFD asked{socket.get(), events, 0};
  return ::WSAPoll(&asked, 1, milliseconds) == 1;
}

// A listening TCP socket on a port that the system picks, and its address. Connected sockets get small
// buffers, because the default ones take megabytes to fill.
struct listener {
  descriptor socket = make_small_socket();
  sockaddr_in address = bound(socket);
  listener() { checked(::listen(socket.get(), 16), "listen"); }

  descriptor connect() {
    descriptor client = make_small_socket();
    if (::connect(client.get(), generic(address), sizeof address) != 0 &&
        ::WSAGetLastError() != WSAEWOULDBLOCK)
      checked(SOCKET_ERROR, "connect");
    becomes_ready(client, POLLWRNORM);
    return client;
  }
  descriptor accept() {
    becomes_ready(socket, POLLRDNORM);
    return prepared(checked(::accept(socket.get(), nullptr, nullptr), "accept"));
  }

 private:
  static descriptor make_small_socket() {
    descriptor small_one = make_socket();
    for (const int buffer : {SO_SNDBUF, SO_RCVBUF}) set_option(small_one, SOL_SOCKET, buffer, 131072);
    return small_one;
  }
};

struct socket_pair {
  descriptor first, second;
};

inline socket_pair make_tcp_pair() {
  listener server;
  descriptor client = server.connect();
  descriptor accepted = server.accept();
  for (const descriptor* one : {&client, &accepted}) set_option(*one, IPPROTO_TCP, TCP_NODELAY, BOOL(TRUE));
  return {std::move(client), std::move(accepted)};
}
inline socket_pair make_socket_pair() { return make_tcp_pair(); }

struct pipe_ends {
  descriptor reader, writer;
};

inline pipe_ends make_pipe() {
  socket_pair pair = make_tcp_pair();
  return {std::move(pair.first), std::move(pair.second)};
}

inline std::vector<pipe_ends> make_pipes(std::size_t count) {
  std::vector<pipe_ends> pipes;
  while (pipes.size() != count) pipes.push_back(make_pipe());
  return pipes;
}

inline void write_byte(const descriptor& to, char byte = 'x') {
  checked(::send(to.get(), &byte, 1, 0), "send");
}
inline char read_byte(const descriptor& from) {
  char byte = 0;
  checked(::recv(from.get(), &byte, 1, 0), "recv");
  return byte;
}
// TCP moves data to the other end over time, and acknowledges it up to 40 ms later: a socket is full if it
// stays so. WSAPoll reports a half-closed peer, too, which makes no room.
inline void fill(const descriptor& to) {
  static constexpr char block[65536] = {};
  bool has_sent = false;
  do {
    has_sent = false;
    while (::send(to.get(), block, sizeof block, 0) > 0) has_sent = true;
    while (::send(to.get(), block, 1, 0) > 0) has_sent = true;
  } while (becomes_ready(to, POLLWRNORM, 50) && has_sent);
}
inline void fill_for_good(const descriptor& to) { fill(to); }
inline void drain(const descriptor& from) {
  char block[65536];
  for (int quiet = 0; quiet != 3; ++quiet) {
    while (::recv(from.get(), block, sizeof block, 0) > 0) quiet = 0;
    ::Sleep(1);
  }
}

// The system chooses the number, so the second argument has no effect.
inline descriptor dup_number_above(SOCKET of, int) {
  WSAPROTOCOL_INFOW about;
  checked(::WSADuplicateSocketW(of, ::GetCurrentProcessId(), &about), "WSADuplicateSocket");
  return descriptor(checked(::WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &about,
                                         0, WSA_FLAG_OVERLAPPED),
                            "WSASocket"));
}
inline descriptor dup_of(const descriptor& of) { return dup_number_above(of.get(), 0); }
inline descriptor dup_above(const descriptor& of, int least) { return dup_number_above(of.get(), least); }
// Puts another reference to what `of` refers to on a number; whatever that number was is closed. The number
// cannot be requested, but the system soon gives a free one to a new socket.
inline descriptor dup_onto(const descriptor& of, SOCKET number) {
  if (of.get() == number) return descriptor(number);
  ::closesocket(number);
  std::vector<descriptor> others;
  for (int tries = 0; tries != 1000; ++tries) {
    descriptor one = dup_of(of);
    if (one.get() == number) return one;
    others.push_back(std::move(one));
  }
  throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor), "dup_onto");
}
inline bool may_have_descriptors(int) noexcept { return true; }
inline bool is_open(SOCKET number) { return selectors::detail::is_open_socket(number); }
inline bool is_close_on_exec(SOCKET number) {
  DWORD flags = 0;
  return ::GetHandleInformation(reinterpret_cast<HANDLE>(number), &flags) &&
         (flags & HANDLE_FLAG_INHERIT) == 0;
}

}  // namespace support

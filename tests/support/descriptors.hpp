// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK
#include "descriptors_winsock.hpp"
#else

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

// Descriptors to watch: owned, non-blocking, close-on-exec.
namespace support {

inline int checked(int result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::system_category(), call);
  return result;
}

class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int number) noexcept : number_(number) {}
  descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~descriptor() { close(); }

  int native_handle() const noexcept { return number_; }
  int get() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }
  void close() noexcept {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_ = -1;
};

inline void close_number(int number) noexcept { ::close(number); }

struct pipe_ends {
  descriptor reader, writer;
};

// Two calls, because macOS has neither pipe2(2) nor accept4(2) nor SOCK_NONBLOCK.
inline descriptor prepared(int number) {
  descriptor made(number);
  checked(::fcntl(number, F_SETFD, FD_CLOEXEC), "fcntl");
  checked(::fcntl(number, F_SETFL, O_NONBLOCK), "fcntl");
  return made;
}

inline pipe_ends make_pipe() {
  int ends[2];
  checked(::pipe(ends), "pipe");
  return {prepared(ends[0]), prepared(ends[1])};
}

inline std::vector<pipe_ends> make_pipes(std::size_t count) {
  std::vector<pipe_ends> pipes;
  while (pipes.size() != count) pipes.push_back(make_pipe());
  return pipes;
}

struct socket_pair {
  descriptor first, second;
};

inline socket_pair make_socket_pair() {
  int ends[2];
  checked(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
  return {prepared(ends[0]), prepared(ends[1])};
}

template <class Value>
void set_option(const descriptor& socket, int level, int name, const Value& value) {
  checked(::setsockopt(socket.get(), level, name, &value, sizeof value), "setsockopt");
}

inline descriptor make_socket(int type = SOCK_STREAM) {
  return prepared(checked(::socket(AF_INET, type, 0), "socket"));
}

inline sockaddr_in loopback(std::uint16_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

inline sockaddr_in bound(const descriptor& socket) {
  sockaddr_in address = loopback();
  checked(::bind(socket.get(), generic(address), sizeof address), "bind");
  socklen_t size = sizeof address;
  checked(::getsockname(socket.get(), generic(address), &size), "getsockname");
  return address;
}

// Whether poll(2) reports one of `events` before the time is over.
inline bool becomes_ready(const descriptor& which, short events, int milliseconds = 10'000) {
  pollfd asked{which.get(), events, 0};
  return ::poll(&asked, 1, milliseconds) == 1;
}

// A listening TCP socket on a port that the system picks, and its address.
struct listener {
  descriptor socket = make_socket();
  sockaddr_in address = bound(socket);
  listener() { checked(::listen(socket.get(), 16), "listen"); }

  descriptor connect() {
    descriptor client = make_socket();
    if (::connect(client.get(), generic(address), sizeof address) < 0 && errno != EINPROGRESS)
      checked(-1, "connect");
    return client;
  }
  // Except on Linux, connect(2) may return before the listener has the connection, even on the loopback
  // interface.
  descriptor accept() {
    becomes_ready(socket, POLLIN);
    return prepared(checked(::accept(socket.get(), nullptr, nullptr), "accept"));
  }
};

inline socket_pair make_tcp_pair() {
  listener server;
  descriptor client = server.connect();
  descriptor accepted = server.accept();
  becomes_ready(client, POLLOUT);
  return {std::move(client), std::move(accepted)};
}

inline void write_byte(const descriptor& to, char byte = 'x') {
  checked(static_cast<int>(::write(to.get(), &byte, 1)), "write");
}
inline char read_byte(const descriptor& from) {
  char byte = 0;
  checked(static_cast<int>(::read(from.get(), &byte, 1)), "read");
  return byte;
}
inline void fill(const descriptor& to) {
  static constexpr char block[4096] = {};
  while (::write(to.get(), block, sizeof block) > 0) {
  }
  while (::write(to.get(), block, 1) > 0) {
  }
}
// The kernel moves data to the other end of a TCP connection over time, which makes room again: fills that,
// too.
inline void fill_for_good(const descriptor& to) {
  do fill(to);
  while (becomes_ready(to, POLLOUT, 20));
}
inline void drain(const descriptor& from) {
  char block[4096];
  while (::read(from.get(), block, sizeof block) > 0) {
  }
}

inline descriptor dup_of(const descriptor& of) { return descriptor(checked(::dup(of.get()), "dup")); }
inline descriptor dup_number_above(int of, int least) {
  return descriptor(checked(::fcntl(of, F_DUPFD_CLOEXEC, least), "fcntl"));
}
inline descriptor dup_above(const descriptor& of, int least) { return dup_number_above(of.get(), least); }
// Puts another reference to what `of` refers to on a number; whatever that number was is closed.
inline descriptor dup_onto(const descriptor& of, int number) {
  return descriptor(checked(::dup2(of.get(), number), "dup2"));
}
inline bool is_open(int number) { return ::fcntl(number, F_GETFD) >= 0; }
inline bool is_close_on_exec(int number) { return (::fcntl(number, F_GETFD) & FD_CLOEXEC) != 0; }

inline std::vector<int> open_descriptors() {
  std::vector<int> open;
  for (int number = 0; number != 20000; ++number)
    if (is_open(number)) open.push_back(number);
  return open;
}

// Raises the soft limit on descriptors to `count` if it is lower; false if the hard limit does not allow
// that.
inline bool may_have_descriptors(rlim_t count) {
  rlimit limit{};
  checked(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  if (limit.rlim_cur >= count) return true;
  limit.rlim_cur = count;
  return limit.rlim_max >= count && ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// The soft limit on descriptors, until the end of the scope.
class descriptor_limit {
 public:
  explicit descriptor_limit(rlim_t soft) {
    checked(::getrlimit(RLIMIT_NOFILE, &before_), "getrlimit");
    rlimit lowered = before_;
    lowered.rlim_cur = soft;
    checked(::setrlimit(RLIMIT_NOFILE, &lowered), "setrlimit");
  }
  descriptor_limit(const descriptor_limit&) = delete;
  ~descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

// No descriptor can be opened until the end of the scope: the limit is the lowest number that is free.
class exhausted_descriptors {
 public:
  exhausted_descriptors() : limit_(lowest_free()) {}

 private:
  static rlim_t lowest_free() {
    const descriptor probe(checked(::dup(0), "dup"));
    return static_cast<rlim_t>(probe.get());
  }
  descriptor_limit limit_;
};

}  // namespace support

#endif

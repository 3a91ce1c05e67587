// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the servers need and nobody wants to read twice: sockets, addresses, and a graceful end by signal.

#include "options.hpp"

#include <selectors/selectors.hpp>

#if SELECTORS_HAS_WINSOCK
#include "net_windows.hpp"
#else
#include "net_posix.hpp"
#endif

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <concepts>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace net {

// ---- sockets: owned, non-blocking, close-on-exec ----------------------------------------------------------

class socket {
 public:
  socket() noexcept = default;
  explicit socket(os::handle handle) noexcept : handle_(handle) {}
  socket(socket&& other) noexcept : handle_(std::exchange(other.handle_, none)) {}
  socket& operator=(socket&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~socket() {
    if (handle_ != none) os::close(handle_);
  }
  explicit operator bool() const noexcept { return handle_ != none; }
  os::handle native_handle() const noexcept { return handle_; }

 private:
  static constexpr auto none = static_cast<os::handle>(-1);
  os::handle handle_ = none;
};

enum class status { done, blocked, end };

// Some of what has come. A reset, and every other error, is an end as well.
struct received {
  status how;
  std::string_view bytes;
};
inline received receive(const socket& from, std::span<char> buffer) {
  const auto size = os::receive(from.native_handle(), buffer);
  if (size > 0) return {status::done, {buffer.data(), static_cast<std::size_t>(size)}};
  if (size < 0 && os::is_for_later(os::last_error())) return {status::blocked, {}};
  return {status::end, {}};
}

// Bytes on their way out. Gives its memory back whenever it has sent them all, unless it is little.
class backlog {
 public:
  std::size_t size() const noexcept { return bytes_.size() - sent_; }
  bool empty() const noexcept { return size() == 0; }

  // All or nothing. Throws std::bad_alloc.
  void append(std::string_view more) { bytes_ += more; }
  void append(std::initializer_list<std::string_view> parts, std::string_view end = {}) {
    std::size_t needed = bytes_.size() + end.size();
    for (const std::string_view part : parts) needed += part.size();
    if (needed > bytes_.capacity()) bytes_.reserve((std::max)(needed, 2 * bytes_.capacity()));
    for (const std::string_view part : parts) bytes_ += part;
    bytes_ += end;
  }

  // As much as the socket takes. An end means that nobody will ever read it.
  status send_to(const socket& to) {
    while (!empty()) {
      const auto size = os::send(to.native_handle(), std::string_view(bytes_).substr(sent_));
      if (size < 0) {
        const bool is_blocked = os::is_for_later(os::last_error());
        bytes_.erase(0, std::exchange(sent_, 0));
        return is_blocked ? status::blocked : status::end;
      }
      sent_ += static_cast<std::size_t>(size);
    }
    if (bytes_.capacity() > 1024)
      bytes_ = std::string();
    else
      bytes_.clear();
    sent_ = 0;
    return status::done;
  }

 private:
  std::string bytes_;
  std::size_t sent_ = 0;
};

// Closing it then is a reset: the peer learns that what it has received may not be all.
inline void reset_when_closed(const socket& which) noexcept {
  const linger at_once{1, 0};
  ::setsockopt(which.native_handle(), SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&at_once),
               sizeof at_once);
}

// No more is sent; what the peer sends can still be received.
inline void finish_sending(const socket& to) noexcept { ::shutdown(to.native_handle(), os::sending_side); }

// ---- addresses --------------------------------------------------------------------------------------------

inline std::string name_of(const sockaddr_storage& address, socklen_t size) {
  char host[NI_MAXHOST], port[NI_MAXSERV];
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  if (::getnameinfo(generic, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) !=
      0)
    return "?";
  const std::string text = address.ss_family == AF_INET6 ? "[" + std::string(host) + "]" : host;
  return text + ":" + port;
}

template <selectors::pollable Socket>
std::string local_name(const Socket& of) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(of.native_handle(), reinterpret_cast<sockaddr*>(&address), &size);
  return name_of(address, size);
}

struct free_addresses {
  void operator()(addrinfo* all) const noexcept { ::freeaddrinfo(all); }
};

using addresses = std::unique_ptr<addrinfo, free_addresses>;

// Blocks while it asks a name server.
inline addresses look_up(const std::string& host, const std::string& port, int flags = 0) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* first = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &first); error != 0)
    throw std::runtime_error("getaddrinfo " + host + ": " + os::lookup_error(error));
  return addresses(first);
}

// A listening socket on the first address of the host that can be had. `claim` is called before bind.
inline socket listen(const std::string& host, const std::string& port,
                     bool (*claim)(os::handle) noexcept = os::claim_port) {
  const addresses all = look_up(host, port, AI_PASSIVE);
  std::pair<std::string, int> refused;
  for (const addrinfo* one = all.get(); one != nullptr; one = one->ai_next) {
    socket made(os::open(*one));
    if (!made)
      refused = {"socket", os::last_error()};
    else if (!claim(made.native_handle()))
      refused = {"setsockopt", os::last_error()};
    else if (::bind(made.native_handle(), one->ai_addr, static_cast<socklen_t>(one->ai_addrlen)) != 0)
      refused = {"bind", os::last_error()};
    else if (::listen(made.native_handle(), SOMAXCONN) != 0)
      refused = {"listen", os::last_error()};
    else
      return os::prepare_connections(made.native_handle()), std::move(made);
  }
  throw std::system_error(refused.second, std::system_category(), refused.first + " " + host + ":" + port);
}

// A listening socket in a selector. While accept(2) fails for a reason that stays (no descriptor, no memory,
// a sandbox), the connection stays in the queue and the socket stays readable: accepting is paused for a
// moment, or the loop would spin.
class acceptor {
 public:
  explicit acceptor(socket listening) : socket_(std::move(listening)) {}
  os::handle native_handle() const noexcept { return socket_.native_handle(); }

  // Calls `welcome(socket, name)` for up to 16 waiting connections. One for which there is no memory is
  // closed.
  template <class Selector, class Welcome>
  void accept_some(Selector& sel, Welcome welcome) {
    for (int i = 0; i != 16; ++i) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      socket peer(os::accept(native_handle(), reinterpret_cast<sockaddr*>(&address), &size));
      if (!peer) {
        const int error = os::last_error();
        if (os::is_of_one_connection(error)) continue;
        if (!os::is_for_later(error)) pause(sel);
        return;
      }
      try {
        welcome(std::move(peer), name_of(address, size));
      } catch (const std::exception&) {
        return pause(sel);  // the others that wait would meet the same
      }
    }
  }

  // When to end a wait at the latest: while paused, when it is time to try again.
  std::chrono::steady_clock::time_point resume_at() const { return resume_at_; }

  // After each wait. If the kernel has no memory to watch the socket again, it stays paused.
  template <class Selector, class Interest = selectors::event>
  void resume(Selector& sel, Interest interest = selectors::event::read) {
    if (resume_at_ == never || std::chrono::steady_clock::now() < resume_at_) return;
    std::error_code error;
    sel.modify(*this, interest, error);
    error ? pause(sel) : void(resume_at_ = never);
  }

 private:
  static constexpr auto never = (std::chrono::steady_clock::time_point::max)();

  template <class Selector>
  void pause(Selector& sel) {
    sel.modify(*this, {});  // an empty interest never fails
    resume_at_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  }

  socket socket_;
  std::chrono::steady_clock::time_point resume_at_ = never;
};

// ---- the program ------------------------------------------------------------------------------------------

// Whoever started the program may wait for this line, so a line that cannot be written is an error.
inline void print(const std::string& text) {
  errno = 0;
  if (std::cout << text << std::flush) return;
  const int error = errno != 0 ? errno : EIO;
  throw std::system_error(error, std::generic_category(), "write to stdout");
}

template <selectors::pollable Socket>
void announce(const Socket& listening) {
  print("listening on " + local_name(listening) + "\n");
}

// The main function of a server: `serve(backend*, listening socket, options)` until a signal, or without the
// socket if it listens in its own way.
template <class Serve>
int run(std::string_view program, int argc, char** argv, Serve serve, const extra_option& extra = {}) {
  try {
    os::start();
    for (int i = 1; i < argc; ++i)
      if (argv[i] == std::string_view("--help")) return print(help(program, extra)), 0;
    const options chosen = parse(argc, argv, extra);
    for_each_backend([&]<class Backend>(Backend* backend) {
      if (chosen.backend != Backend::name) return;
      if constexpr (std::invocable<Serve, Backend*, const options&>)
        serve(backend, chosen);
      else
        serve(backend, listen(chosen.host, chosen.port), chosen);
    });
    return 0;
  } catch (const wrong_usage& error) {
    std::cerr << program << ": " << printable(error.what()) << "\n" << help(program, extra);
    return 2;
  } catch (const std::exception& error) {
    std::cerr << program << ": " << printable(error.what()) << '\n';
    return 1;
  }
}

}  // namespace net

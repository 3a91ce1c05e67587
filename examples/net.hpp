// SPDX-License-Identifier: BSL-1.0
#pragma once

// What the servers need and nobody wants to read twice: options, addresses, sockets, and a graceful end by
// signal.

#include <selectors/selectors.hpp>

#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

namespace net {

// ---- sockets: owned, non-blocking, close-on-exec ------------------------------------------------------------------

class socket {
 public:
  socket() noexcept = default;
  explicit socket(int handle) noexcept : handle_(handle) {}
  socket(socket&& other) noexcept : handle_(std::exchange(other.handle_, -1)) {}
  socket& operator=(socket&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~socket() {
    if (handle_ >= 0) ::close(handle_);
  }
  explicit operator bool() const noexcept { return handle_ >= 0; }
  int native_handle() const noexcept { return handle_; }

 private:
  int handle_ = -1;
};

enum class status { done, blocked, end };

// Some of what has come. A reset, and every other error, is an end as well.
struct received {
  status how;
  std::string_view bytes;
};
inline received receive(const socket& from, std::span<char> buffer) {
  const auto size = ::recv(from.native_handle(), buffer.data(), buffer.size(), 0);
  if (size > 0) return {status::done, {buffer.data(), static_cast<std::size_t>(size)}};
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return {status::blocked, {}};
  return {status::end, {}};
}

// Bytes on their way out. Gives its memory back whenever it has sent them all.
class backlog {
 public:
  std::size_t size() const noexcept { return bytes_.size() - sent_; }
  bool empty() const noexcept { return size() == 0; }
  void append(std::string_view more) { bytes_ += more; }

  // As much as the socket takes. An end means that nobody will ever read it.
  status send_to(const socket& to) {
    while (!empty()) {
      const auto size =
          ::send(to.native_handle(), bytes_.data() + sent_, bytes_.size() - sent_, MSG_NOSIGNAL);
      if (size >= 0) {
        sent_ += static_cast<std::size_t>(size);
      } else if (errno != EINTR) {
        const bool blocked = errno == EAGAIN || errno == EWOULDBLOCK;
        bytes_.erase(0, std::exchange(sent_, 0));
        return blocked ? status::blocked : status::end;
      }
    }
    bytes_ = std::string();
    sent_ = 0;
    return status::done;
  }

 private:
  std::string bytes_;
  std::size_t sent_ = 0;
};

// ---- addresses ----------------------------------------------------------------------------------------------------

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

// A listening socket on the first address of the host that can be had.
inline socket listen(const std::string& host, const std::string& port) {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* first = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &wanted, &first); error != 0)
    throw std::runtime_error("getaddrinfo " + host + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(first, ::freeaddrinfo);
  std::pair<const char*, int> refused{"getaddrinfo", EADDRNOTAVAIL};
  for (const addrinfo* one = first; one != nullptr; one = one->ai_next) {
    socket made(::socket(one->ai_family, one->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, one->ai_protocol));
    const int on = 1;
    if (!made)
      refused = {"socket", errno};
    else if (::setsockopt(made.native_handle(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
      refused = {"setsockopt", errno};
    else if (::bind(made.native_handle(), one->ai_addr, one->ai_addrlen) != 0)
      refused = {"bind", errno};
    else if (::listen(made.native_handle(), SOMAXCONN) != 0)
      refused = {"listen", errno};
    else
      return made;
  }
  throw std::system_error(refused.second, std::system_category(),
                          std::string(refused.first) + " " + host + ":" + port);
}

// A listening socket in a selector. Out of descriptors, it is paused: else it would wake the loop for ever.
class acceptor {
 public:
  explicit acceptor(socket listening) : socket_(std::move(listening)) {}
  int native_handle() const noexcept { return socket_.native_handle(); }

  // Calls `welcome(socket, name)` for some of those who wait.
  template <class Selector, class Welcome>
  void accept_some(Selector& sel, Welcome welcome) {
    for (int i = 0; i != 16; ++i) {
      sockaddr_storage address{};
      socklen_t size = sizeof address;
      auto* const generic = reinterpret_cast<sockaddr*>(&address);
      socket peer(::accept4(native_handle(), generic, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (peer) {
        welcome(std::move(peer), name_of(address, size));
        continue;
      }
      is_paused_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (is_paused_) sel.modify(*this, {});
      return;  // nobody waits any more, or whoever did has gone: accept(2) tells his errors here
    }
  }

  // How long to wait at most: while paused a moment, since a descriptor may become free anywhere in the
  // system.
  std::chrono::milliseconds patience() const {
    return is_paused_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds::max();
  }
  template <class Selector>
  void resume(Selector& sel) {
    if (std::exchange(is_paused_, false)) sel.modify(*this, selectors::event::read);
  }

 private:
  socket socket_;
  bool is_paused_ = false;
};

// ---- the program --------------------------------------------------------------------------------------------------

// What strangers send, fit for a terminal.
inline std::string printable(std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\')
      out += c;
    else
      out.append("\\x").append({digits[byte / 16], digits[byte % 16]});
  }
  return out;
}

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
  int native_handle() const noexcept { return wakeup_.native_handle(); }

 private:
  static inline selectors::wakeup* target = nullptr;
  selectors::wakeup wakeup_;
};

struct options {
  std::string host = "127.0.0.1";
  std::string port = "12345";
  std::string backend{selectors::default_backend::name};
  bool verbose = false;

  // On stderr, if --verbose was given.
  void log(const std::string& who, std::string_view what) const {
    if (verbose) std::cerr << who << ' ' << what << '\n';
  }
};

struct wrong_usage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Calls `call` with each backend's type, as a null pointer to it.
template <class Call>
void for_each_backend(Call call) {
  const auto each = [&]<class... Backend>(std::tuple<Backend...>*) {
    (call(static_cast<Backend*>(nullptr)), ...);
  };
  each(static_cast<selectors::available_backends*>(nullptr));
}

inline options parse(int argc, char** argv) {
  options chosen;
  constexpr option known[] = {
      {"host", required_argument, nullptr, 'h'},    {"port", required_argument, nullptr, 'p'},
      {"backend", required_argument, nullptr, 'b'}, {"verbose", no_argument, nullptr, 'v'},
      {"help", no_argument, nullptr, '?'},          {nullptr, 0, nullptr, 0}};
  opterr = 0;
  for (int found; (found = ::getopt_long(argc, argv, ":", known, nullptr)) != -1;) {
    if (found == 'h') chosen.host = optarg;
    if (found == 'p') chosen.port = optarg;
    if (found == 'b') chosen.backend = optarg;
    if (found == 'v') chosen.verbose = true;
    if (found == ':') throw wrong_usage(std::string(argv[optind - 1]) + " needs a value");
    if (found == '?') throw wrong_usage(std::string("unknown option ") + argv[optind - 1]);
  }
  if (optind != argc) throw wrong_usage(std::string("unexpected argument ") + argv[optind]);
  std::uint16_t number = 0;
  const char* const end = chosen.port.data() + chosen.port.size();
  if (const auto [stop, error] = std::from_chars(chosen.port.data(), end, number);
      error != std::errc() || stop != end)
    throw wrong_usage("--port " + chosen.port + ": not a number from 0 to 65535");
  bool is_known = false;
  for_each_backend([&]<class Backend>(Backend*) { is_known = is_known || chosen.backend == Backend::name; });
  if (!is_known) throw wrong_usage("--backend " + chosen.backend + ": there is none of this name");
  return chosen;
}

inline std::string help(std::string_view program) {
  std::string text = "usage: " + std::string(program) +
                     " [OPTION]...\n"
                     "  --host HOST      listen on this address (127.0.0.1)\n"
                     "  --port PORT      and this port; 0 lets the system choose (12345)\n"
                     "  --backend NAME   one of:";
  for_each_backend([&]<class Backend>(Backend*) { text.append(" ").append(Backend::name); });
  return text +
         "\n  --verbose        tell on stderr who came, what they sent, who left\n  --help           this\n";
}

// A standard stream that is closed would be the number of the next socket, and what is printed would go to a client.
inline void open_standard_streams() noexcept {
  int opened = 0;
  while (opened >= 0 && opened <= STDERR_FILENO) opened = ::open("/dev/null", O_RDWR);
  if (opened >= 0) ::close(opened);
}

// The main function of a server: `serve(backend*, listening socket, options)` until a signal.
template <class Serve>
int run(std::string_view program, int argc, char** argv, Serve serve) {
  open_standard_streams();
  try {
    for (int i = 1; i < argc; ++i)
      if (argv[i] == std::string_view("--help")) return std::cout << help(program) << std::flush, 0;
    const options chosen = parse(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);
    for_each_backend([&]<class Backend>(Backend* backend) {
      if (chosen.backend == Backend::name) serve(backend, listen(chosen.host, chosen.port), chosen);
    });
    return 0;
  } catch (const wrong_usage& error) {
    std::cerr << program << ": " << printable(error.what()) << "\n" << help(program);
    return 2;
  } catch (const std::exception& error) {
    std::cerr << program << ": " << printable(error.what()) << '\n';
    return 1;
  }
}

}  // namespace net

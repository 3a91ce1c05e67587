// SPDX-License-Identifier: BSL-1.0

// Which ports of 127.0.0.1 are open? Connects to each in a range, many at a time, each for at most a second.

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

namespace {

constexpr std::size_t max_in_flight = 200;
constexpr auto patience = std::chrono::seconds(1);

class owned_descriptor {
 public:
  explicit owned_descriptor(int descriptor) noexcept : descriptor_(descriptor) {}
  owned_descriptor(owned_descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  owned_descriptor& operator=(owned_descriptor&&) = delete;
  ~owned_descriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  int native_handle() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

using timer_queue = selectors::timer_queue<int>;  // the data is the descriptor

struct probe {
  owned_descriptor socket;
  std::uint16_t port;
  timer_queue::id deadline;
};

sockaddr_in address_of(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

class scanner {
 public:
  // Returns 0, or the errno that made it impossible to go on.
  int scan(std::uint16_t first, std::uint16_t last) {
    int next = first;
    while (next <= last || !sel_.empty()) {
      int error = 0;
      while (next <= last && sel_.size() < max_in_flight && error == 0) {
        error = begin(static_cast<std::uint16_t>(next));
        if (error == 0) ++next;
      }
      if (sel_.empty() && error != 0) return error;
      if (sel_.empty()) continue;
      for (auto [key, events] : sel_.select_until(timers_.next())) {
        timers_.cancel(key.data().deadline);
        end(key.handle());
      }
      for (auto& timer : timers_.expired()) end(timer.data());
    }
    return 0;
  }

 private:
  // Returns 0, or the errno if the port has to be tried again: out of descriptors, or of local ports.
  int begin(std::uint16_t port) {
    owned_descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
    const int handle = socket.native_handle();
    if (handle < 0 || fcntl(handle, F_SETFL, O_NONBLOCK) != 0) return errno;
    const sockaddr_in address = address_of(port);
    const int how = connect(handle, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (how != 0 && errno == ECONNREFUSED) return 0;
    if (how != 0 && errno != EINPROGRESS) return errno;
    auto& timer = timers_.add(patience, handle);
    sel_.register_(handle, selectors::event::write, probe{std::move(socket), port, timer.id()});
    return 0;
  }

  // The connect has succeeded or failed, or its time is over.
  void end(int handle) {
    // Moved out, the socket is closed here; left in the key, it would be by the next select.
    const probe done = std::move(sel_.unregister(handle).data());
    if (is_open(handle)) std::printf("%d\n", done.port);
  }

  // A port that nobody listens on may be given to the connecting socket itself, which is then connected to
  // itself.
  static bool is_open(int handle) {
    sockaddr_in here{}, there{};
    socklen_t here_size = sizeof here, there_size = sizeof there;
    return getpeername(handle, reinterpret_cast<sockaddr*>(&there), &there_size) == 0 &&
           getsockname(handle, reinterpret_cast<sockaddr*>(&here), &here_size) == 0 &&
           here.sin_port != there.sin_port;
  }

  timer_queue timers_;
  selectors::selector<probe> sel_;
};

bool parse(const char* text, std::uint16_t& port) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, port);
  return error == std::errc() && stop == end && port != 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t first = 1, last = 1024;
  if (argc == 2 && argv[1] == std::string_view("--help"))
    return std::puts("usage: port_scan [FIRST LAST]"), 0;
  if (argc != 1 && (argc != 3 || !parse(argv[1], first) || !parse(argv[2], last)))
    return std::fputs("usage: port_scan [FIRST LAST]\n", stderr), 2;
  if (const int error = scanner().scan(first, last); error != 0)
    return std::fprintf(stderr, "port_scan: %s\n", std::strerror(error)), 1;
  return std::fflush(stdout) == 0 ? 0 : 1;
}

// SPDX-License-Identifier: BSL-1.0

// c-ares: `with_cares SERVER:PORT NAME...` asks a name server for all names at once, and prints what it says.

#include <selectors/selectors.hpp>

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <system_error>

using selectors::event;
using selectors::event_mask;
using namespace std::chrono;

selectors::selector<> sel;
int running = 0;

// What c-ares waits for on a socket, as two masks; neither, before it closes it.
void on_socket(void*, ares_socket_t socket, int is_reading, int is_writing) {
  std::error_code error;  // exceptions must not pass through C
  if (is_reading == 0 && is_writing == 0) return void(sel.unregister(socket, error));
  sel.watch(socket,
            (is_reading != 0 ? event::read : event_mask()) | (is_writing != 0 ? event::write : event_mask()),
            error);
}

void on_answer(void* name, int status, int, ares_addrinfo* answer) {
  --running;
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(answer, ares_freeaddrinfo);
  std::printf("%s:", static_cast<const char*>(name));
  if (status != ARES_SUCCESS) std::printf(" %s", ares_strerror(status));
  for (const ares_addrinfo_node* one = answer != nullptr ? answer->nodes : nullptr; one != nullptr;
       one = one->ai_next) {
    std::array<char, INET_ADDRSTRLEN> text{};
    const auto* const address = reinterpret_cast<const sockaddr_in*>(one->ai_addr);
    inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size());
    std::printf(" %s", text.data());
  }
  std::printf("\n");
}

// One deadline for all names, which moves with every step: asked for before each wait.
steady_clock::time_point deadline(ares_channel channel) {
  timeval left{};
  if (ares_timeout(channel, nullptr, &left) == nullptr) return steady_clock::time_point::max();
  return steady_clock::now() + seconds(left.tv_sec) + microseconds(left.tv_usec);
}

int main(int argc, char** argv) {
  ares_options options{};
  options.timeout = 300;  // milliseconds, the first time
  options.tries = 3;
  options.sock_state_cb = on_socket;
  options.lookups = const_cast<char*>("b");  // no files
  ares_channel channel = nullptr;
  if (argc < 2 || ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
      ares_init_options(&channel, &options,
                        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS) !=
          ARES_SUCCESS ||
      ares_set_servers_ports_csv(channel, argv[1]) != ARES_SUCCESS)
    return std::fputs("usage: with_cares SERVER:PORT NAME...\n", stderr), 2;
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_INET;
  running = argc - 2;
  for (int i = 2; i < argc; ++i) ares_getaddrinfo(channel, argv[i], nullptr, &hints, on_answer, argv[i]);
  while (running > 0) {
    for (auto [key, events] : sel.select_until(deadline(channel)))
      ares_process_fd(channel, events.contains(event::read) ? key.handle() : ARES_SOCKET_BAD,
                      events.contains(event::write) ? key.handle() : ARES_SOCKET_BAD);
    ares_process_fd(channel, ARES_SOCKET_BAD,
                    ARES_SOCKET_BAD);  // what has timed out, though others are ready
  }
  ares_destroy(channel);
  ares_library_cleanup();
}

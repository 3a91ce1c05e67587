// SPDX-License-Identifier: BSL-1.0

// An echo server on this library: the peer of echo_by_hand.cpp in the comparison of program sizes.

#include <selectors/selectors.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

using selectors::event;

int main(int argc, char** argv) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 0));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener, 16) != 0)
    return 1;

  selectors::selector<> sel;
  sel.register_(listener, event::read);
  for (;;) {
    for (auto [key, events] : sel.select()) {
      const int handle = key.handle();
      if (handle == listener) {
        const int client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (client >= 0) sel.register_(client, event::read);
        continue;
      }
      char bytes[4096];
      const auto size = read(handle, bytes, sizeof bytes);
      if (size > 0 && write(handle, bytes, static_cast<std::size_t>(size)) >= 0) continue;
      sel.unregister(key);
      close(handle);
    }
  }
}

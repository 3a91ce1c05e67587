// SPDX-License-Identifier: BSL-1.0

// What the example servers do for one request, on bare epoll, with as few system calls as that takes: the
// peers of examples/chat_server.cpp and examples/http_server.cpp in the comparison of system calls, without
// their limits and deadlines. `servers_by_hand chat|http`. Prints its port.

#include "net.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::vector<int> clients;

void send_all(int client, std::string_view bytes) {
  if (send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
    give_up("send");
}

// A line that has come whole, to all the others at once.
void chat(int from, std::string_view line) {
  const std::string said = "somebody: " + std::string(line);
  for (const int client : clients)
    if (client != from) send_all(client, said);
}

void answer(int client, std::string_view request) {
  if (!request.ends_with("\r\n\r\n")) give_up("half a request");
  send_all(client,
           "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc == 2 ? argv[1] : "";
  if (what != "chat" && what != "http") return std::fputs("usage: servers_by_hand chat|http\n", stderr), 2;
  const int listener = net::listen_on_loopback();
  std::printf("%d\n", net::port_of(listener));
  std::fflush(stdout);
  const int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  checked(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
  for (;;) {
    epoll_event events[64];
    const int count = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int handle = events[i].data.fd;
      if (handle == listener) {
        event.data.fd = checked(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC), "accept4");
        checked(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event), "epoll_ctl");
        clients.push_back(event.data.fd);
        if (what == "chat") send_all(event.data.fd, "* welcome\n");
        continue;
      }
      char bytes[16 * 1024];
      const auto size = recv(handle, bytes, sizeof bytes, 0);
      if (size <= 0) {
        std::erase(clients, handle);
        close(handle);
        continue;
      }
      (what == "chat" ? chat : answer)(handle, {bytes, static_cast<std::size_t>(size)});
    }
  }
}

// SPDX-License-Identifier: BSL-1.0

// The "hello" of examples/http_server.cpp on bare epoll, level-triggered.

#include "http_hello.hpp"
#include "net.hpp"

#include <sys/epoll.h>

#include <cstdio>
#include <vector>

namespace {

struct connection {
  std::string in, out;
  bool is_writing = false;
};

bool serve(int epoll, int handle, connection& one) {
  char bytes[16384];
  if (one.out.empty()) {
    const ssize_t size = recv(handle, bytes, sizeof bytes, 0);
    if (size <= 0) return size < 0 && errno == EAGAIN;
    one.in.append(bytes, static_cast<std::size_t>(size));
    if (!hello::answer(one.in, one.out)) return false;
    if (one.out.empty()) return true;
  }
  const ssize_t sent = send(handle, one.out.data(), one.out.size(), MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return false;
  if (sent > 0) one.out.erase(0, static_cast<std::size_t>(sent));
  if (const bool is_blocked = !one.out.empty(); is_blocked != one.is_writing) {
    one.is_writing = is_blocked;
    epoll_event event{};
    event.events = is_blocked ? EPOLLOUT : EPOLLIN;
    event.data.fd = handle;
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, handle, &event) != 0) return false;
  }
  return true;
}

}  // namespace

int main() {
  const int listener = net::listen_on_loopback();
  std::printf("listening on 127.0.0.1:%d\n", net::port_of(listener));
  std::fflush(stdout);
  const int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  checked(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
  std::vector<connection> connections;
  for (;;) {
    epoll_event events[1024];
    const int count = epoll_wait(epoll, events, 1024, -1);
    for (int i = 0; i < count; ++i) {
      const int handle = events[i].data.fd;
      if (handle != listener) {
        if (!serve(epoll, handle, connections[static_cast<std::size_t>(handle)])) close(handle);
        continue;
      }
      event.data.fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (event.data.fd < 0) continue;
      const auto index = static_cast<std::size_t>(event.data.fd);
      if (connections.size() <= index) connections.resize(index + 1);
      connections[index] = {};
      net::send_at_once(event.data.fd);
      checked(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event), "epoll_ctl");
    }
  }
}

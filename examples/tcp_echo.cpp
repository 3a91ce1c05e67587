// SPDX-License-Identifier: BSL-1.0
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <selectors/selectors.hpp>
using selectors::event;
selectors::selector<void (*)(int)> sel;  // each key holds the callback of its socket

void echo(int conn) {
  char data[4096];  // What is not sent yet stays in the kernel: a peer that does not read is stopped.
  const ssize_t got = recv(conn, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
  const ssize_t sent = got > 0 ? send(conn, data, std::size_t(got), MSG_DONTWAIT) : got;
  if (sent > 0) recv(conn, data, std::size_t(sent), 0);
  if (sent == 0 || (sent < 0 && errno != EAGAIN)) return sel.unregister(conn), void(close(conn));
  sel.modify(conn, sent < got ? event::write : event::read);
}

void on_accept(int sock) {
  const int conn = accept(sock, nullptr, nullptr);
  conn >= 0 ? sel.register_(conn, event::read, echo) : sel.modify(sock, {});  // out of descriptors: pause
}

int main(int argc, char** argv) {
  const char* const port = argc > 1 ? argv[1] : "12345";
  addrinfo* at = nullptr;
  if (getaddrinfo("127.0.0.1", port, nullptr, &at) != 0) return std::puts("usage: tcp_echo [PORT]"), 2;
  const int sock = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(sock, at->ai_addr, at->ai_addrlen) || listen(sock, SOMAXCONN)) return std::perror("bind"), 1;
  fcntl(sock, F_SETFL, O_NONBLOCK);
  std::signal(SIGPIPE, SIG_IGN);
  sel.register_(sock, event::read, on_accept);
  dprintf(STDOUT_FILENO, "listening on 127.0.0.1:%s\n", port);
  for (auto ready = sel.select();; ready = sel.select(std::chrono::seconds(1)), sel.modify(sock, event::read))
    for (auto [key, events] : ready) key.data()(key.handle());
}

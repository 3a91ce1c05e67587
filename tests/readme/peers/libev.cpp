// SPDX-License-Identifier: BSL-1.0
#include "listening.hpp"

#include <cerrno>
#include <cstddef>

#include <ev.h>

void echo(struct ev_loop* loop, ev_io* watcher, int) {
  char data[4096];
  const ssize_t got = recv(watcher->fd, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
  const ssize_t sent = got > 0 ? send(watcher->fd, data, std::size_t(got), MSG_DONTWAIT) : got;
  if (sent > 0) recv(watcher->fd, data, std::size_t(sent), 0);
  const int conn = watcher->fd, next = sent < got ? EV_WRITE : EV_READ;
  ev_io_stop(loop, watcher);  // to change what it watches it has to be stopped
  if (sent > 0 || (sent < 0 && errno == EAGAIN)) {
    ev_io_set(watcher, conn, next);
    ev_io_start(loop, watcher);
  } else {
    delete watcher;  // its memory is the caller's
    close(conn);
  }
}

void accept(struct ev_loop* loop, ev_io* watcher, int) {
  const int conn = accept(watcher->fd, nullptr, nullptr);
  if (conn < 0) return;
  ev_io* made = new ev_io;
  ev_io_init(made, echo, conn, EV_READ);
  ev_io_start(loop, made);
}

int main(int argc, char** argv) {
  struct ev_loop* loop = ev_default_loop(0);
  ev_io listener;
  ev_io_init(&listener, accept, listening(argc, argv), EV_READ);
  ev_io_start(loop, &listener);
  ev_run(loop, 0);
}

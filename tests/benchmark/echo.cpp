// SPDX-License-Identifier: BSL-1.0

// An echo server on a readiness loop, for load.cpp to talk to: `echo PEER`. Prints its port.

#include "net.hpp"
#include "peers/peers.hpp"

#include <sys/socket.h>
#include <unistd.h>

namespace {

struct end {
  int handle;
  bool is_listener;

  template <class Loop>
  void on_ready(Loop& loop, bool, bool) {
    if (is_listener) {
      const int accepted = accept4(handle, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted < 0) return;
      net::send_at_once(accepted);
      loop.add({accepted, false});
      return;
    }
    char bytes[4096];
    const auto size = read(handle, bytes, sizeof bytes);
    if (size > 0 && write(handle, bytes, static_cast<std::size_t>(size)) == size) return;
    const int closed = handle;
    loop.remove(*this);
    close(closed);
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: echo PEER\n", stderr), 2;
  return with_peer(argv[1], []<template <class> class Loop>(peer<Loop>) {
    const int listener = net::listen_on_loopback();
    std::printf("%d\n", net::port_of(listener));
    std::fflush(stdout);
    Loop<end> loop;
    loop.add({listener, true});
    loop.run();
    return 0;
  });
}

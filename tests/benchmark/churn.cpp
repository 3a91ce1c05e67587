// SPDX-License-Identifier: BSL-1.0

// Short connections: accept, register, one exchange, unregister, close: `churn PEER CONNECTIONS`. A round is
// that many, a hundred at a time; it prints the nanoseconds that each took, its client's part included.

#include "net.hpp"
#include "peers/peers.hpp"
#include "rounds.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace {

// The listener, or an accepted connection.
struct end {
  int handle;
  bool is_listener;
  int* left;

  template <class Loop>
  void on_ready(Loop& loop, bool, bool) {
    if (is_listener) {
      const int accepted = accept4(handle, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted >= 0) loop.add({accepted, false, left});
      return;
    }
    char byte;
    if (read(handle, &byte, 1) != 1 || write(handle, &byte, 1) != 1) std::abort();
    const int closed = handle;
    int& others = *left;
    loop.remove(*this);
    close(closed);
    if (--others == 0) loop.stop();
  }
};

template <template <class> class Loop>
int run(int connections) {
  constexpr int at_once = 100;
  const int listener = net::listen_on_loopback();
  int left = 0;
  Loop<end> loop;
  loop.add({listener, true, &left});
  return take_turns([&] {
    const double start = processor_time();
    for (int done = 0; done < connections; done += at_once) {
      std::array<int, at_once> clients;
      for (int& client : clients) {
        client = net::connect_to(net::port_of(listener));
        if (write(client, "!", 1) != 1) give_up("write");
      }
      left = at_once;
      loop.run();
      for (const int client : clients) {
        char byte;
        if (read(client, &byte, 1) != 1) give_up("read");
        net::reset(client);
      }
    }
    return std::array{(processor_time() - start) / connections};
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: churn PEER CONNECTIONS\n", stderr), 2;
  return with_peer(argv[1], [&]<template <class> class Loop>(peer<Loop>) {  //
    return run<Loop>(std::atoi(argv[2]));
  });
}

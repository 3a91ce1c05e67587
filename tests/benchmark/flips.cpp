// SPDX-License-Identifier: BSL-1.0

// Interest in writing, switched on and off at each event, as a server does that waits to send: `flips PEER
// EVENTS`. A hundred bytes go round in a ring of as many socket pairs; whoever can read one asks to write,
// and whoever can write passes it on and asks no more. A round prints the nanoseconds of each event, and its
// system calls of epoll_ctl(2).

#include "peers/peers.hpp"
#include "rounds.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

namespace {

long control_calls = 0;

struct hop {
  int handle;
  int next;
  long* left;

  template <class Loop>
  void on_ready(Loop& loop, bool readable, bool writable) {
    char byte = '!';
    if (readable) {
      if (read(handle, &byte, 1) != 1) std::abort();
      loop.watch_writing(*this, true);
    } else if (writable) {
      if (write(next, &byte, 1) != 1) std::abort();
      loop.watch_writing(*this, false);
    }
    if (--*left == 0) loop.stop();
  }
};

template <template <class> class Loop>
int run(long events) {
  constexpr std::size_t count = 100;
  std::array<int[2], count> pairs;
  for (auto& pair : pairs)
    checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), "socketpair");
  long left = 0;
  Loop<hop> loop;
  for (std::size_t i = 0; i != count; ++i) {
    loop.add({pairs[i][0], pairs[(i + 1) % count][1], &left});
    if (write(pairs[i][1], "!", 1) != 1) give_up("write");
  }
  return take_turns([&] {
    left = events;
    control_calls = 0;
    const double start = processor_time();
    loop.run();
    const double time = processor_time() - start;
    const auto done = static_cast<double>(events - left);
    return std::array{time / done, static_cast<double>(control_calls) / done};
  });
}

}  // namespace

// A program's own function goes before the C library's, in the shared libraries too.
extern "C" int epoll_ctl(int epoll, int operation, int handle, epoll_event* event) noexcept {
  ++control_calls;
  return static_cast<int>(syscall(SYS_epoll_ctl, epoll, operation, handle, event));
}

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: flips PEER EVENTS\n", stderr), 2;
  return with_peer(argv[1], [&]<template <class> class Loop>(peer<Loop>) {  //
    return run<Loop>(std::atol(argv[2]));
  });
}

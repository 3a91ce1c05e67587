// SPDX-License-Identifier: BSL-1.0

// libevent's benchmark: PAIRS socket pairs in a ring, all of them watched, in which ACTIVE bytes go round.
// Who can read a byte passes it on to the next: `ring PEER PAIRS ACTIVE EVENTS`. A round is about EVENTS of
// them, and prints the nanoseconds that an event took. There is room for more than a byte in each read, so
// that a short one has drained the socket, as an edge-triggered peer must: by_hand and selectors are such
// peers in the program `ring_edge`, which is built of this file, too.

#include "peers/peers.hpp"
#include "rounds.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

struct hop {
  int handle;
  int next;
  long* left;

  template <class Loop>
  void on_ready(Loop& loop, bool readable, bool) {
    char bytes[64];
    const auto size = readable ? read(handle, bytes, sizeof bytes) : 0;
    if (size <= 0 || write(next, bytes, static_cast<std::size_t>(size)) != size) std::abort();
    if ((*left -= size) <= 0) loop.stop();
  }
};

std::vector<std::array<int, 2>> make_pairs(std::size_t count) {
  std::vector<std::array<int, 2>> pairs(count);
  for (auto& pair : pairs)
    checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), "socketpair");
  return pairs;
}

template <template <class> class Loop>
int run(std::size_t count, std::size_t active, long events) {
  const auto pairs = make_pairs(count);
  long left = 0;
  Loop<hop> loop;
  for (std::size_t i = 0; i != count; ++i) loop.add({pairs[i][0], pairs[(i + 1) % count][1], &left});
  for (std::size_t i = 0; i != active; ++i)
    if (write(pairs[i * count / active][1], "!", 1) != 1) give_up("write");
  return take_turns([&] {
    left = events;
    const double start = processor_time();
    loop.run();
    return std::array{(processor_time() - start) / static_cast<double>(events - left)};
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fputs("usage: ring PEER PAIRS ACTIVE EVENTS\n", stderr), 2;
  const auto count = [argv](int i) { return static_cast<std::size_t>(std::atol(argv[i])); };
  const auto visit = [&]<template <class> class Loop>(peer<Loop>) {
    return run<Loop>(count(2), count(3), std::atol(argv[4]));
  };
#if SELECTORS_RING_OF_EDGES
  return with_peer_of_edges(argv[1], visit);
#else
  return with_peer_of_ring(argv[1], visit);
#endif
}

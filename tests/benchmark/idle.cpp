// SPDX-License-Identifier: BSL-1.0

// Ten that are always ready among many that never are: `idle PEER REGISTERED WAITS`. A round prints the
// nanoseconds of a wait and of dispatching what it found.

#include "peers/peers.hpp"
#include "rounds.hpp"

#include <sys/eventfd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string_view>

namespace {

struct watched {
  int handle;
  long* left;

  template <class Loop>
  void on_ready(Loop& loop, bool, bool) {
    if (--*left == 0) loop.stop();
  }
};

template <template <class> class Loop>
int run(std::size_t registered, long waits) {
  constexpr std::size_t active = 10;
  long left = 0;
  Loop<watched> loop;
  for (std::size_t i = 0; i != registered; ++i) {
    const bool ready = i % (registered / active) == 0;
    loop.add({checked(eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"), &left});
  }
  return take_turns([&] {
    left = waits * static_cast<long>(active);
    const double start = processor_time();
    loop.run();
    return std::array{(processor_time() - start) / static_cast<double>(waits)};
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: idle PEER REGISTERED WAITS\n", stderr), 2;
  return with_peer(argv[1], [&]<template <class> class Loop>(peer<Loop>) {
    return run<Loop>(static_cast<std::size_t>(std::atol(argv[2])), std::atol(argv[3]));
  });
}

// SPDX-License-Identifier: BSL-1.0

// Of several selectors that watch one descriptor exclusively, not all are woken.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

using namespace selectors;
using namespace support;

#if SELECTORS_HAS_EPOLL

namespace {

// How many of two threads, each waiting in a selector of its own, a single byte wakes.
template <class What>
int woken_by_one_byte(What what) {
  auto pipe = make_pipe();
  std::atomic<int> waiting = 0, woken = 0;
  std::array<std::thread, 2> threads;
  for (std::thread& one : threads) {
    one = std::thread([&] {
      selector<void, epoll_backend> sel;
      sel.register_(pipe.reader, what);
      ++waiting;
      if (!sel.select(200ms).empty()) ++woken;
    });
  }
  while (waiting != 2) std::this_thread::yield();
  std::this_thread::sleep_for(20ms);
  write_byte(pipe.writer);
  for (std::thread& one : threads) one.join();
  return woken;
}

}  // namespace

TEST_CASE("one event wakes one of the selectors that watch exclusively, and all of the others",
          "[exclusive][native]") {
  // A thread that is late to wait finds the byte there, and one that was not let run in time finds none; so
  // it is enough to be seen once.
  int least = 2, most = 0;
  for (int round = 0; round != 10 && least != 1; ++round)
    if (const int woken = woken_by_one_byte(exclusive(event::read)); woken != 0) least = woken;
  for (int round = 0; round != 10 && most != 2; ++round)
    most = (std::max)(most, woken_by_one_byte(event::read));
  CHECK(least == 1);
  CHECK(most == 2);
}

#endif

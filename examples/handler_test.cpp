// SPDX-License-Identifier: BSL-1.0

// A program's own logic, tested without a socket and without waiting.

#include <selectors/selectors.hpp>
#include <selectors/testing.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>

using namespace std::chrono_literals;
using selectors::event;

// Finds the connections that have been silent for a minute. What it waits with, and its clock, are given by
// type.
template <class Backend = selectors::default_backend, class Clock = std::chrono::steady_clock>
struct watchdog {
  selectors::selector<typename Clock::time_point, Backend> connections;  // when each was heard last

  void add(selectors::native_handle_type connection) {
    connections.register_(connection, event::read, Clock::now());
  }

  // Waits for the next silent one, and lets go of it.
  selectors::native_handle_type wait() {
    for (;;) {
      auto& oldest = *std::min_element(connections.begin(), connections.end(),
                                       [](auto& a, auto& b) { return a.data() < b.data(); });
      if (Clock::now() >= oldest.data() + 1min) return connections.unregister(oldest).handle();
      for (auto [key, events] : connections.select_until(oldest.data() + 1min)) key.data() = Clock::now();
    }
  }
};

int main() {
  using selectors::testing::clock;
  watchdog<selectors::testing::scripted_backend, clock> dog;
  auto& script = dog.connections.backend();
  const auto start = clock::now();

  dog.add(3);
  dog.add(4);
  script.after(40s, [&] { script.pulse(3, event::read); });
  const auto first = dog.wait();
  const auto passed = clock::now() - start;
  const auto second = dog.wait();

  std::cout << first << " after " << passed / 1s << " s, " << second << " after "
            << (clock::now() - start) / 1s << " s\n";
  return first == 4 && passed == 60s && second == 3 && clock::now() - start == 100s ? 0 : 1;
}

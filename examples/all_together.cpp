// SPDX-License-Identifier: BSL-1.0

// The loop that has them all: handles, timers, values from other threads, signals.

#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>
#include <selectors/timer_queue.hpp>

#include <chrono>
#include <csignal>
#include <functional>
#include <iostream>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using selectors::event;

int main() {
  selectors::selector<std::function<void()>> sel;  // what to do when a handle is ready
  selectors::timer_queue<std::function<void()>> timers;
  selectors::mailbox<std::string> mailbox;
  selectors::signal_set signals{SIGINT, SIGTERM};
  bool is_done = false;

  sel.register_(signals, event::read, [&] { is_done = !signals.take().empty(); });
  sel.register_(mailbox, event::read, [&] {
    for (const std::string& text : mailbox.take()) std::cout << text << std::endl;
    timers.add(100ms, [] { std::raise(SIGTERM); });
  });
  std::thread other([&] { mailbox.post("from another thread"); });

  while (!is_done) {
    for (auto [key, events] : sel.select_until(timers.next())) key.data()();
    for (auto& timer : timers.expired()) timer.data()();
  }
  other.join();
}

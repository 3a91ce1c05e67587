// SPDX-License-Identifier: BSL-1.0

// Work that is done every so often, and work that is done once, beside whatever else a selector waits for.

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <chrono>
#include <functional>
#include <iostream>

using namespace std::chrono_literals;

namespace {

struct task {
  std::chrono::milliseconds period;  // zero: it is done once
  std::function<void()> run;
};

using timers = selectors::timer_queue<task>;

// Does what is due. A task that repeats is due again one period after it was due, not after it was done, so
// that it does not drift. A program that has slept for longer than a period leaves out what it missed.
void run_expired(timers& queue) {
  const auto now = timers::clock::now();
  for (auto& timer : queue.expired(now)) {
    const auto period = timer.data().period;
    if (period > 0ms) {
      const auto missed = (now - timer.due()) / period;
      queue.move(timer, timer.due() + (missed + 1) * period);  // first, so that the task may cancel it
    }
    timer.data().run();
  }
}

}  // namespace

int main() {
  selectors::selector<> sel;  // register sockets and pipes here
  timers queue;
  bool is_done = false;
  int ticks = 0;

  queue.add(0ms, {100ms, [&] { std::cout << "tick " << ++ticks << std::endl; }});
  const auto reminder = queue.add(10s, {0ms, [] { std::cout << "this takes long" << std::endl; }}).id();
  queue.add(450ms, {0ms, [&] {
                      queue.cancel(reminder);  // does nothing if it has expired
                      is_done = true;
                    }});

  while (!is_done) {
    for (auto [key, events] : sel.select_until(queue.next())) {
      // Serve what is ready.
      (void)key;
      (void)events;
    }
    run_expired(queue);
  }
  std::cout << "done after " << ticks << " ticks" << std::endl;
}

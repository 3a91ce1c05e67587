// SPDX-License-Identifier: BSL-1.0

// A thread that works, and a loop that is told when something is done.

#include <selectors/selectors.hpp>

#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

int main() {
  std::mutex guard;
  std::vector<int> results;
  selectors::wakeup done;

  std::thread worker([&] {
    for (int n = 1; n <= 5; ++n) {
      {
        const std::lock_guard lock(guard);
        results.push_back(n * n);
      }
      done.notify();
    }
  });

  selectors::selector<> sel;
  sel.register_(done, selectors::event::read);
  for (int seen = 0; seen < 5;) {
    if (sel.select().empty()) continue;
    done.reset();  // first, so that what is queued from now on wakes the loop again
    const std::lock_guard lock(guard);
    for (const int square : results) std::cout << ++seen << " squared is " << square << '\n';
    results.clear();
  }
  worker.join();
}

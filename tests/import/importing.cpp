// SPDX-License-Identifier: BSL-1.0

// A unit that imports the library, beside one that includes it.

#include <selectors/config.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

import selectors;

using namespace std::chrono_literals;
using selectors::event;

selectors::selector<int> made_by_includes(selectors::wakeup& wake);
bool is_not_registered(std::error_code code);

namespace {

bool selects() {
  selectors::selector<std::string> sel;
  selectors::wakeup wake;
  sel.register_(wake, event::read | event::write, "it");
  sel.modify(wake, selectors::oneshot(event::read));
  wake.notify();
  std::string found;
  for (auto [key, events] : sel.select(10s)) found = key.data() + " is ready to " + to_string(events);
  std::puts(found.c_str());
  return found == "it is ready to read";
}

// What the other unit has made is the same type.
bool meets() {
  selectors::wakeup wake;
  selectors::selector<int> sel = made_by_includes(wake);
  wake.notify();
  for (auto [key, events] : sel.select(10s))
    if (key.data() == 5 && events == event::read) return true;
  return false;
}

bool compares() {
  std::error_code error;
  selectors::selector<> sel;
  sel.unregister(0, error);
  const std::error_code made = selectors::errc::not_registered;  // a specialization of std's is found
  return error == selectors::errc::not_registered && error == made && is_not_registered(error);
}

bool uses_the_others() {
  selectors::timer_queue<int> timers;
  timers.add(0s, 1);
  int sum = 0;
  for (auto& timer : timers.expired()) sum += timer.data();
  selectors::mailbox<int> box;
  box.post(2);
  for (const int one : box.take()) sum += one;
  selectors::selector<void, selectors::testing::scripted_backend> scripted;
  scripted.register_(3, event::read);
#if SELECTORS_HAS_COROUTINES
  selectors::selector<selectors::coroutine_waiter> waited;
  resume(waited.select(0s));
#endif
#if SELECTORS_HAS_EPOLL
  selectors::epoll_selector<> over_epoll;
  over_epoll.register_(box, selectors::edge(event::read));
#endif
  return sum == 3 && scripted.size() == 1;
}

}  // namespace

int main() {
  if (!selects()) return 1;
  if (!meets()) return 2;
  if (!compares()) return 3;
  if (!uses_the_others()) return 4;
}

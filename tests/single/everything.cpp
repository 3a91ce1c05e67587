// SPDX-License-Identifier: BSL-1.0

// One of everything that the one header has and the program has not left out. Alone in a directory with it.

#include "selectors.hpp"

namespace {

using namespace std::chrono_literals;
using selectors::event;

bool use_selector() {
  selectors::selector<int> sel;
  selectors::wakeup wake;
  sel.register_(wake, event::read, 7);
  wake.notify();
  int found = 0;
  for (auto [key, events] : sel.select(10s)) found = key.data();
  return found == 7;
}

bool use_others() {
#if !defined(SELECTORS_NO_TIMER_QUEUE)
  selectors::timer_queue<int> timers;
  timers.add(0s, 3);
  int due = 0;
  for (auto& timer : timers.expired()) due += timer.data();
  if (due != 3) return false;
#endif
#if !defined(SELECTORS_NO_MAILBOX)
  selectors::mailbox<int> box;
  box.post(4);
  int taken = 0;
  for (int& one : box.take()) taken += one;
  if (taken != 4) return false;
#endif
#if !defined(SELECTORS_NO_SIGNAL_SET)
  const selectors::signal_set signals({SIGTERM});
  if (selectors::handle_of(signals) < 0) return false;
#endif
#if !defined(SELECTORS_NO_CHILD_EXIT)
  std::error_code error;
  const selectors::child_exit nobody(1, error);  // a process that is nobody's child here
  if (!error) return false;
#endif
#if !defined(SELECTORS_NO_TESTING)
  selectors::selector<int, selectors::testing::scripted_backend> scripted;
  scripted.register_(3, event::read, 1);
  if (scripted.size() != 1) return false;
#endif
  return true;
}

}  // namespace

bool other_unit();

#if defined(OTHER_UNIT)
bool other_unit() { return use_selector() && use_others(); }
#else
int main() { return use_selector() && use_others() && other_unit() ? 0 : 1; }
#endif

// SPDX-License-Identifier: BSL-1.0

// The macros that other people's headers leave behind.

// The standard library's own headers come first: they are not the ones under test.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <string>
#include <system_error>
#include <tuple>

#define min(a, b) hostile
#define max(a, b) hostile
#define ERROR 0
#define interface struct
#define small char
#define near
#define far
#define IN
#define OUT
#define check(x) hostile
#define minor(x) hostile
#define major(x) hostile

#include <selectors/selectors.hpp>

int main() {
  selectors::selector<int> sel;
  selectors::poll_selector<> poll;
  selectors::select_selector<> select;
  selectors::wakeup wake;
  wake.notify();
  sel.register_(wake, selectors::event::read, 1);
  poll.register_(wake, selectors::event::read);
  select.register_(wake, selectors::event::read);
  return !sel.select().empty() && !poll.select().empty() && !select.select().empty() ? 0 : 1;
}

// SPDX-License-Identifier: BSL-1.0

// <windows.h> before, with all that it defines: min, max, ERROR, near, far, interface, small.

// The standard library's own headers come first: they are not the ones under test.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <system_error>
#include <tuple>
#include <vector>

#include <winsock2.h>

#include <windows.h>

// MinGW leaves these to C.
#if !defined(min)
#define min(a, b) hostile
#define max(a, b) hostile
#endif

#if !defined(ERROR) || !defined(near) || !defined(interface)
#error "this proves nothing"
#endif

#include <selectors/backend/afd.hpp>
#include <selectors/selectors.hpp>
#include <selectors/testing.hpp>

#if !defined(min) || !defined(max)
#error "the program's macros are gone"
#endif

int main() {
  selectors::selector<int> sel;
  selectors::poll_selector<> poll;
  selectors::afd_selector<> afd;
  selectors::wakeup wake;
  wake.notify();
  sel.register_(wake, selectors::event::read, 1);
  poll.register_(wake, selectors::event::read);
  afd.register_(wake, selectors::event::read);
  return !sel.select().empty() && !poll.select().empty() && !afd.select().empty() ? 0 : 1;
}

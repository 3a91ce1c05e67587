// SPDX-License-Identifier: BSL-1.0

// The library before <windows.h>: no macro of its own is left, and min and max are not defined behind the
// program's back.

#include <selectors/selectors.hpp>

// libstdc++ defines NOMINMAX by itself.
#if (defined(NOMINMAX) && !defined(__GLIBCXX__)) || defined(WIN32_LEAN_AND_MEAN) || defined(min) || \
    defined(max)
#error "the library has left a macro behind"
#endif

#include <windows.h>
#include <algorithm>

int main() {
  selectors::select_selector<> sel;
  selectors::wakeup wake;
  sel.register_(wake, selectors::event::read);
  ::Sleep(0);
  return sel.select(std::chrono::milliseconds(std::min(1, 2))).empty() ? 0 : 1;
}

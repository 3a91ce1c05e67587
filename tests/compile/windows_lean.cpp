// SPDX-License-Identifier: BSL-1.0

// A lean <windows.h> before, without any Winsock, and the macros kept.

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <selectors/selectors.hpp>

#if !defined(NOMINMAX) || !defined(WIN32_LEAN_AND_MEAN)
#error "the program's macros are gone"
#endif

int main() {
  selectors::select_selector<> sel;
  return sel.select(std::chrono::milliseconds(1)).empty() ? 0 : 1;
}

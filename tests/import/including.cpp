// SPDX-License-Identifier: BSL-1.0

// A unit that includes the library, beside one that imports it.

#include <selectors/selectors.hpp>

#include <system_error>

selectors::selector<int> made_by_includes(selectors::wakeup& wake);
bool is_not_registered(std::error_code code);

selectors::selector<int> made_by_includes(selectors::wakeup& wake) {
  selectors::selector<int> sel;
  sel.register_(wake, selectors::event::read, 5);
  return sel;
}

bool is_not_registered(std::error_code code) { return code == selectors::errc::not_registered; }

// SPDX-License-Identifier: BSL-1.0
#include <selectors/selectors.hpp>

int main() {
  selectors::selector<> sel;
  selectors::wakeup wake;
  sel.register_(wake, selectors::event::read);
  wake.notify();
  return sel.select().empty() ? 1 : 0;
}

// SPDX-License-Identifier: BSL-1.0

// Two units that include everything are one program: nothing is defined twice, and both see the same.

#include <selectors/selectors.hpp>

#include <cstddef>

std::size_t size_in_other_unit(const selectors::selector<int>& sel);
const std::error_category* category_of_other_unit();

int main() {
  selectors::selector<int> sel;
  const selectors::wakeup bell;
  sel.register_(bell, selectors::event::read, 1);
  const bool same =
      size_in_other_unit(sel) == sel.size() && category_of_other_unit() == &selectors::selectors_category();
  return same ? 0 : 1;
}

// SPDX-License-Identifier: BSL-1.0

// Two units that include everything are one program: nothing is defined twice, and both see the same.

#include <selectors/selectors.hpp>

selectors::native_handle_type handle_of_other_unit(const selectors::selector<int>& sel);
const std::error_category* category_of_other_unit();

int main() {
  selectors::selector<int> sel;
  const bool same = handle_of_other_unit(sel) == sel.native_handle() &&
                    category_of_other_unit() == &selectors::selectors_category();
  return same ? 0 : 1;
}

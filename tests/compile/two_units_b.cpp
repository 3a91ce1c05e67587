// SPDX-License-Identifier: BSL-1.0
#include <selectors/selectors.hpp>

selectors::native_handle_type handle_of_other_unit(const selectors::selector<int>& sel);
const std::error_category* category_of_other_unit();

selectors::native_handle_type handle_of_other_unit(const selectors::selector<int>& sel) {
  return sel.native_handle();
}
const std::error_category* category_of_other_unit() { return &selectors::selectors_category(); }

// SPDX-License-Identifier: BSL-1.0
#include <selectors/selectors.hpp>

#include <cstddef>

std::size_t size_in_other_unit(const selectors::selector<int>& sel);
const std::error_category* category_of_other_unit();

std::size_t size_in_other_unit(const selectors::selector<int>& sel) { return sel.size(); }
const std::error_category* category_of_other_unit() { return &selectors::selectors_category(); }

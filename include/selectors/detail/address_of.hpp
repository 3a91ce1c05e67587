// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

namespace SELECTORS_NAMESPACE::detail {

// `&object`, whatever operator& the namespace of a template's argument declares. std::addressof needs
// <memory>, which is large.
template <class T>
constexpr T* address_of(T& object) noexcept {
  return __builtin_addressof(object);
}

}  // namespace SELECTORS_NAMESPACE::detail

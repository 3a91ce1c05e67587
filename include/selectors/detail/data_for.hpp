// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/version.hpp>

#include <concepts>
#include <system_error>
#include <type_traits>

namespace SELECTORS_NAMESPACE::detail {

// What can be passed as data: anything that converts to a Data, except an error_code, which always receives
// the error.
template <class D, class Data>
concept data_for = !std::is_void_v<Data> && !std::same_as<std::remove_cvref_t<D>, std::error_code> &&
                   std::convertible_to<D, Data>;

}  // namespace SELECTORS_NAMESPACE::detail

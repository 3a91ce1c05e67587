// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/detail/data_for.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/handle.hpp>
#include <selectors/version.hpp>

#include <concepts>
#include <system_error>
#include <type_traits>

// What the calls of a selector accept, and what the compiler says about everything else.

namespace SELECTORS_NAMESPACE::detail {

// The argument of `modify`, `watch`, `unregister`, `mark_ready` and the look-ups: a handle, or a key, which
// names its own registration and no later one.
template <class H, class Key>
concept handle_or_key = pollable<H> || std::same_as<std::remove_cvref_t<H>, Key>;

template <class H>
constexpr bool is_noexcept_handle() noexcept {
  if constexpr (pollable<H>) return detail::handle_of_is_noexcept<H>();
  return true;
}

// Whether a key can be made without data.
template <class Data>
concept data_by_default = std::is_void_v<Data> || std::is_default_constructible_v<Data>;

template <class Data, class D>
constexpr bool is_noexcept_data() noexcept {
  if constexpr (std::is_void_v<D> || std::is_void_v<Data>)
    return std::is_void_v<Data> || std::is_nothrow_default_constructible_v<Data>;
  else
    return std::is_nothrow_convertible_v<D, Data>;
}

// ---- wrong calls ------------------------------------------------------------------------------------------

// For a call that no overload accepts, a compiler lists all of them. Instead a selector has one more overload
// for each kind of mistake, which takes one of the types below in place of an argument. The conversion to it
// is deleted, so that the compiler's one error names the type, and the name is the message. The error is in
// the immediate context, so a requires-expression can detect that the call is invalid. A conversion ranks
// below an exact match, so these overloads are chosen only when no other fits.

template <class Key>
struct a_handle_is_a_native_handle_type_or_has_native_handle_or_fileno {
  template <class T>
    requires(!handle_or_key<T, Key> && !is_interest<T>)
  a_handle_is_a_native_handle_type_or_has_native_handle_or_fileno(T&&) = delete;
};

template <class Backend>
struct the_backend_does_not_support_this_interest {
  template <class T>
    requires(!interest_for<T, Backend>)
  the_backend_does_not_support_this_interest(const T&) = delete;
};

struct the_data_has_no_handle_or_does_not_convert_to_the_data_of_the_selector {
  template <class T>
  the_data_has_no_handle_or_does_not_convert_to_the_data_of_the_selector(T&&) = delete;
};

template <class Given, class Data>
struct the_data_does_not_convert_to_the_data_of_the_selector {
  template <class T>
  the_data_does_not_convert_to_the_data_of_the_selector(const T&) = delete;
};

struct a_selector_without_data_takes_none {
  template <class T>
  a_selector_without_data_takes_none(const T&) = delete;
};

template <class Data>
struct the_data_has_no_default_constructor_and_must_be_given {
  template <class T>
  the_data_has_no_default_constructor_and_must_be_given(const T&) = delete;
};

struct without_exceptions_the_last_argument_is_an_error_code {
  template <class T>
  without_exceptions_the_last_argument_is_an_error_code(const T&) = delete;
};

struct a_const_selector_cannot_be_changed {
  template <class T>
  a_const_selector_cannot_be_changed(T&&) = delete;
};

// What is wrong with the arguments after the interest: data, an error_code, both, or neither.
template <class Data, class... Rest>
struct rest_of_call;

template <class Data>
struct rest_of_call<Data> {
  static constexpr bool is_right = data_by_default<Data> && has_exceptions;
  using problem =
      std::conditional_t<data_by_default<Data>, without_exceptions_the_last_argument_is_an_error_code,
                         the_data_has_no_default_constructor_and_must_be_given<Data>>;
};
template <class Data>
struct rest_of_call<Data, std::error_code&> {
  static constexpr bool is_right = data_by_default<Data>;
  using problem = the_data_has_no_default_constructor_and_must_be_given<Data>;
};
template <class Data, class D, class... Rest>
struct rest_of_call<Data, D, Rest...> {
  static constexpr bool has_place_for_error = std::same_as<void(Rest...), void(std::error_code&)>;
  static constexpr bool is_right =
      data_for<D, Data> && (has_place_for_error || (sizeof...(Rest) == 0 && has_exceptions));
  using problem = std::conditional_t<
      std::is_void_v<Data>, a_selector_without_data_takes_none,
      std::conditional_t<data_for<D, Data>, without_exceptions_the_last_argument_is_an_error_code,
                         the_data_does_not_convert_to_the_data_of_the_selector<D, Data>>>;
};

}  // namespace SELECTORS_NAMESPACE::detail

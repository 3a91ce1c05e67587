// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace selectors {

/// What the operating system calls the things a selector watches: a file descriptor or, on Windows, a SOCKET.
#if SELECTORS_HAS_WINSOCK
using native_handle_type = std::uintptr_t;
#else
using native_handle_type = int;
#endif

namespace detail {

inline constexpr native_handle_type invalid_handle = static_cast<native_handle_type>(-1);

// What may be the name of something: not a negative number.
constexpr bool is_valid(native_handle_type handle) noexcept {
#if SELECTORS_HAS_WINSOCK
  return handle != invalid_handle;
#else
  return handle >= 0;
#endif
}

template <class H>
concept is_native_handle = std::same_as<std::remove_cvref_t<H>, native_handle_type>;

// An lvalue, as handle_of sees its argument: a member that is not const serves wherever the object is not.
template <class H>
concept has_native_handle = requires(std::remove_reference_t<H>& h) {
  { h.native_handle() } -> std::same_as<native_handle_type>;
};

template <class H>
concept has_fileno = requires(std::remove_reference_t<H>& h) {
  { h.fileno() } -> std::same_as<native_handle_type>;
};

}  // namespace detail

/// What can be registered: exactly a native_handle_type, or an object whose native_handle() or fileno()
/// returns exactly that type (the former preferred). A bool, a long or a std::thread is none; but a thread of MinGW's has
/// a number of that type, and is refused when it is registered: it is no socket.
template <class H>
concept pollable = detail::is_native_handle<H> || detail::has_native_handle<H> || detail::has_fileno<H>;

namespace detail {

template <class H>
constexpr bool handle_of_is_noexcept() noexcept {
  using object = std::remove_reference_t<H>&;
  if constexpr (is_native_handle<H>)
    return true;
  else if constexpr (has_native_handle<H>)
    return noexcept(std::declval<object>().native_handle());
  else
    return noexcept(std::declval<object>().fileno());
}

}  // namespace detail

/// The native handle of a pollable. Throws only what the object's own function throws.
template <pollable H>
[[nodiscard]] constexpr native_handle_type handle_of(H&& h) noexcept(detail::handle_of_is_noexcept<H>()) {
  if constexpr (detail::is_native_handle<H>)
    return h;
  else if constexpr (detail::has_native_handle<H>)
    return h.native_handle();
  else
    return h.fileno();
}

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#include <concepts>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// The operating system's name for what a selector watches: a file descriptor or, on Windows, a SOCKET.
#if SELECTORS_HAS_WINSOCK
using native_handle_type = std::uintptr_t;
#else
using native_handle_type = int;
#endif

namespace detail {

inline constexpr native_handle_type invalid_handle = static_cast<native_handle_type>(-1);

// Whether a number can be a handle.
constexpr bool is_valid(native_handle_type handle) noexcept {
#if SELECTORS_HAS_WINSOCK
  return handle != invalid_handle;
#else
  return handle >= 0;
#endif
}

template <class H>
concept is_native_handle = std::same_as<std::remove_cvref_t<H>, native_handle_type>;

// An lvalue, like the argument of handle_of: its non-const members can be called if the object is not const.
template <class H>
concept has_native_handle = requires(std::remove_reference_t<H>& h) {
  { h.native_handle() } -> std::same_as<native_handle_type>;
};

template <class H>
concept has_fileno = requires(std::remove_reference_t<H>& h) {
  { h.fileno() } -> std::same_as<native_handle_type>;
};

template <class H>
concept is_handle_object = has_native_handle<H> || has_fileno<H>;

// A raw pointer, std::unique_ptr, std::shared_ptr and the like: may be null, and points to an object with a
// handle.
template <class H>
concept points_to_handle_object = requires(std::remove_reference_t<H>& h) {
  static_cast<bool>(h);
  requires is_handle_object<decltype(*h)>;
};

}  // namespace detail

/// What can be registered: exactly a native_handle_type; an object whose native_handle() or fileno() returns
/// exactly that type (the former is preferred); or what points to such an object: a raw or smart pointer,
/// never a pointer to a number.
///
/// A bool, a long or a std::thread does not qualify. With MinGW a std::thread does, since its native_handle()
/// is a number of the same type as a SOCKET; it is refused when it is registered, because it is not a socket.
template <class H>
concept pollable =
    detail::is_native_handle<H> || detail::is_handle_object<H> || detail::points_to_handle_object<H>;

namespace detail {

template <class H>
constexpr bool handle_of_is_noexcept() noexcept {
  using object = std::remove_reference_t<H>&;
  if constexpr (is_native_handle<H>)
    return true;
  else if constexpr (has_native_handle<H>)
    return noexcept(std::declval<object>().native_handle());
  else if constexpr (has_fileno<H>)
    return noexcept(std::declval<object>().fileno());
  else
    return noexcept(static_cast<bool>(std::declval<object>())) && noexcept(*std::declval<object>()) &&
           detail::handle_of_is_noexcept<decltype(*std::declval<object>())>();
}

}  // namespace detail

/// The native handle of a pollable; the invalid one, -1 or INVALID_SOCKET, of a null pointer. Throws only
/// what the object's own function throws. O(1).
template <pollable H>
[[nodiscard]] constexpr native_handle_type handle_of(H&& h) noexcept(detail::handle_of_is_noexcept<H>()) {
  if constexpr (detail::is_native_handle<H>)
    return h;
  else if constexpr (detail::has_native_handle<H>)
    return h.native_handle();
  else if constexpr (detail::has_fileno<H>)
    return h.fileno();
  else
    return static_cast<bool>(h) ? selectors::handle_of(*h) : detail::invalid_handle;
}

}  // namespace SELECTORS_NAMESPACE

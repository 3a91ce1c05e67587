// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/chrono.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>
#include <selectors/version.hpp>

#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// One kernel interface. It knows nothing of keys and data, allocates in `reserve` only, and never throws. A
/// selector calls it from one thread at a time. A default-constructed or moved-from backend is closed.
///
///   name               what users call it
///   wait_call          the system call behind `wait`, named in its errors
///   supports(m, x)     whether it supports trigger mode m, exclusive if x
///   disarms_oneshot    whether the kernel silences a one-shot that it reports; else the selector removes it
///   refuses_closed     whether `add` fails for a closed descriptor; else the selector calls `is_open` first
///   is_open(h)         whether h is an open descriptor
///   open, close        opens and closes the kernel object, if the backend has one
///   reopen             replaces it by a new one that watches nothing, on the same number if possible; on
///                      failure keeps the old one
///   native_handle      its descriptor, or the invalid handle
///   reserve(n, u, h)   makes room for n registrations, for n entries of which the first u are kept, and for
///                      handle h
///   add(r)             watches r.handle for r.interest and sets r.attached; for a file that is always ready
///                      and that the kernel does not watch, sets r.always_ready. Neither is set before
///   modify(r, was)     replaces the interest `was` by r.interest and re-arms; or clears r.attached and sets
///                      r.always_ready. On failure nothing has changed, or r.attached is false: neither
///                      interest could be restored
///   remove(r)          clears r.attached; false if the kernel cannot confirm that it has forgotten the token
///   wait(t)            waits up to t and fills the entries, each with at least one bit. Returns their
///                      number, 0 only after t has elapsed, or -1 with errno (Windows: or Winsock's code).
///                      std::chrono::nanoseconds::max() is no timeout
///   set_entry(i, r, e) makes entry i: registration r with the bits e
///   entries            the entries of the last wait
///   token(entry)       its registration
///   events(entry)      its translated bits
///   bits(entry)        a cheap form: equal to `events` if only read, priority and write are set, otherwise
///                      with at least one further bit, apart from 0x100 and 0x8000
///
/// Optional members: `requestable`, an event_mask of the events that can be requested of it; without it these
/// are read, write and priority. Others are refused with errc::invalid_events. `has_native_handle`, a bool:
/// whether native_handle is a descriptor that others can watch; without it a selector over the backend has no
/// native_handle(). `count(what)`, noexcept, is called for each `statistic`.
// clang-format off
template <class Backend>
concept selector_backend =
    std::default_initializable<Backend> && std::movable<Backend> &&
    requires(Backend b, const Backend& constant, registration& r, any_interest was, std::size_t n,
             native_handle_type handle, std::chrono::nanoseconds timeout, event_bits bits, trigger mode,
             const typename Backend::entry& entry) {
      { Backend::name } -> std::convertible_to<std::string_view>;
      { Backend::wait_call } -> std::convertible_to<const char*>;
      { Backend::supports(mode, true) } noexcept -> std::same_as<bool>;
      { Backend::disarms_oneshot } -> std::convertible_to<bool>;
      { Backend::refuses_closed } -> std::convertible_to<bool>;
      { Backend::is_open(handle) } noexcept -> std::same_as<bool>;
      { b.open() } noexcept -> std::same_as<failure>;
      { b.close() } noexcept;
      { b.reopen() } noexcept -> std::same_as<failure>;
      { b.reserve(n, n, handle) } noexcept -> std::same_as<failure>;
      { b.add(r) } noexcept -> std::same_as<failure>;
      { b.modify(r, was) } noexcept -> std::same_as<failure>;
      { b.remove(r) } noexcept -> std::same_as<bool>;
      { b.wait(timeout) } noexcept -> std::same_as<int>;
      { b.set_entry(n, r, bits) } noexcept;
      { constant.entries() } noexcept -> std::same_as<const typename Backend::entry*>;
      { Backend::token(entry) } noexcept -> std::same_as<registration*>;
      { Backend::events(entry) } noexcept -> std::same_as<event_bits>;
      { Backend::bits(entry) } noexcept -> std::same_as<event_bits>;
    };
// clang-format on

/// Whether a backend supports a trigger mode, exclusive or not, for generic code.
template <class Backend, trigger Mode, bool Exclusive = false>
concept supports = selector_backend<Backend> && (Mode != trigger::oneshot || !Exclusive) &&
                   Backend::supports(Mode, Exclusive);

namespace detail {

constexpr interest<trigger::level> as_interest(event_mask what) noexcept { return what; }
template <trigger Mode, bool Exclusive>
constexpr interest<Mode, Exclusive> as_interest(interest<Mode, Exclusive> what) noexcept {
  return what;
}
template <class Interest>
using as_interest_t = decltype(detail::as_interest(std::declval<const Interest&>()));

template <class T>
concept is_interest = requires { typename detail::as_interest_t<T>; };

template <class Backend>
constexpr event_mask requestable_of() noexcept {
  if constexpr (requires { Backend::requestable; }) return Backend::requestable;
  return event::read | event::write | event::priority;
}

// Whether the native handle can be watched by others: only if the backend says so.
template <class Backend>
constexpr bool has_native_handle_of() noexcept {
  if constexpr (requires { Backend::has_native_handle; }) return Backend::has_native_handle;
  return false;
}
template <class Backend>
inline constexpr bool has_native_handle_v = detail::has_native_handle_of<Backend>();

}  // namespace detail

/// The events that can be requested of a backend, for generic code.
template <selector_backend Backend>
inline constexpr event_mask requestable_events = detail::requestable_of<Backend>();

/// What can be requested of a backend: an event, an event_mask, or an interest in a trigger mode that the
/// backend supports.
template <class Interest, class Backend>
concept interest_for =
    detail::is_interest<Interest> &&
    supports<Backend, detail::as_interest_t<Interest>::mode, detail::as_interest_t<Interest>::is_exclusive>;

}  // namespace SELECTORS_NAMESPACE

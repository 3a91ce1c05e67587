// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

namespace selectors {

/// One kernel interface. It knows nothing of keys and data, allocates in `reserve` only, and never throws. A
/// selector calls it from one thread at a time. A default-constructed or moved-from backend is closed.
///
///   name               what users call it
///   wait_call          the system call behind `wait`, for its errors
///   supports(m, x)     whether it has trigger mode m, exclusive if x
///   disarms_oneshot    whether the kernel silences a one-shot that it reports; else the selector removes it
///   refuses_closed     whether `add` refuses what is not open; else the selector asks `is_open` before
///   is_open(h)         whether h is an open descriptor
///   open, close        the kernel object, where there is one
///   reopen             a new one that watches nothing, on the same number if it can; or fails, keeping the old
///   native_handle      its descriptor, or the invalid handle
///   reserve(n, u, h)   room for n registrations and n entries, of which the first u are kept, and for handle h
///   add(r)             watches r.handle for r.interest; sets r.attached or, for such a file, r.always_ready, neither
///                      of which is set
///   modify(r, was)     takes r.interest instead of `was`, and arms it again; or clears r.attached and sets
///                      r.always_ready. On failure all is as before, or r.attached is false: the kernel took
///                      back neither
///   remove(r)          clears r.attached; false if the kernel cannot confirm that it has forgotten the token
///   wait(t)            fills the entries, each with a bit at least, and returns their number, or -1 and errno, which
///                      on Windows may be a code of Winsock. Not 0 before t has passed;
///                      std::chrono::nanoseconds::max() never does
///   set_entry(i, r, e)       makes entry i: registration r with the bits e
///   entries            what the last wait found, of which `token` says whose it is, `events` what it is, and
///   bits(entry)        the same as far as it is read, priority and write alone; more than these if there is more
///
/// It may also have `requestable`, an event_mask: what of read, write and priority it can watch, if not all; else is refused
/// with errc::invalid_events. And `count(what)`, noexcept: then it is told of each `statistic`.
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

/// Whether a backend has a trigger mode, exclusive or not: for generic code to ask.
template <class Backend, trigger Mode, bool Exclusive = false>
concept supports = selector_backend<Backend> && (Mode != trigger::oneshot || !Exclusive) &&
                   Backend::supports(Mode, Exclusive);

namespace detail {

constexpr interest<trigger::level> as_interest(event_mask what) noexcept { return what; }
template <trigger Mode, bool Exclusive>
constexpr interest<Mode, Exclusive> as_interest(interest<Mode, Exclusive> what) noexcept {
  return what;
}
template <class What>
using as_interest_t = decltype(detail::as_interest(std::declval<const What&>()));

}  // namespace detail

/// What can be asked of a backend: an event, an event_mask, or an interest in a trigger mode that the backend
/// has.
template <class What, class Backend>
concept interest_for = requires {
  typename detail::as_interest_t<What>;
} && supports<Backend, detail::as_interest_t<What>::mode, detail::as_interest_t<What>::is_exclusive>;

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace selectors {

/// What a selector hands to its backend for each key. Its address is the token: it stays the same, and
/// readable, as long as the backend lives, so the kernel may carry it.
struct registration {
  native_handle_type handle = detail::invalid_handle;
  std::uint32_t slot = 0;  ///< the backend's own, while attached
  any_interest interest;   ///< what is asked for now
  bool attached : 1 =
      false;  ///< kept by the backend: the kernel watches the handle, or will at the next wait
  bool always_ready : 1 =
      false;  ///< kept by the selector: the kernel does not take this kind of file (set by `add`)
};

/// The bits in which a backend reports: those of `event`, and one for a descriptor that the kernel calls
/// closed. The selector adds what `error` and `hangup` raise.
using event_bits = std::uint32_t;
inline constexpr event_bits descriptor_closed = 64;

/// One kernel interface. It knows nothing of keys and data, allocates in `reserve` only, and never throws. A
/// selector calls it from one thread at a time; a default-constructed or moved-from backend is closed.
///
///  `name`          what users call it
///  `wait_call`     the system call behind `wait`, for its errors
///  `supports(m,x)` whether it has trigger mode m, exclusive if x
///  `disarms_oneshot`  whether the kernel silences a one-shot when it reports it; else the selector removes
///  it then `refuses_closed`   whether `add` fails for a descriptor that is not open; else the selector looks
///  before `is_open(h)`    whether h is an open descriptor `open` `close` `native_handle`   the kernel
///  object, where there is one `reopen`        a new kernel object that watches nothing, on the same number
///  if it can; or fails and keeps the old `reserve(n, h)` room for n attached registrations and n entries,
///  and for handle h `add(r)`        watches r.handle for r.interest; sets r.attached or r.always_ready
///  `modify(r, was)`   r.interest was `was`: changes it, and arms it again. If it fails all is as before, but
///  for
///                  r.attached being false when the kernel took back neither
///  `remove(r)`     clears r.attached; false if the kernel cannot confirm that it has forgotten the token
///  `wait(t)`       fills the entries; their number, or a negative errno. Never returns 0 before `t` has
///  passed;
///                  std::chrono::nanoseconds::max() is forever
///  `put(i, r, e)`  makes entry number i: registration r with event bits e
///  `entries` `token(entry)` `events(entry)`   what the last wait found
template <class Backend>
concept selector_backend = std::default_initializable<Backend> && std::movable<Backend> &&
    requires(Backend b, const Backend& constant, registration& r, any_interest was, std::size_t n,
             native_handle_type handle, std::chrono::nanoseconds timeout, event_bits bits, trigger mode,
             const typename Backend::entry& entry) {
  { Backend::name } -> std::convertible_to<std::string_view>;
  { Backend::wait_call } -> std::convertible_to<const char*>;
  { Backend::supports(mode, true) } -> std::same_as<bool>;
  { Backend::disarms_oneshot } -> std::convertible_to<bool>;
  { Backend::refuses_closed } -> std::convertible_to<bool>;
  { b.open() }
  noexcept->std::same_as<failure>;
  { b.reopen() }
  noexcept->std::same_as<failure>;
  { b.close() }
  noexcept;
  { Backend::is_open(handle) }
  noexcept->std::same_as<bool>;
  { constant.native_handle() }
  noexcept->std::same_as<native_handle_type>;
  { b.reserve(n, handle) }
  noexcept->std::same_as<failure>;
  { b.add(r) }
  noexcept->std::same_as<failure>;
  { b.modify(r, was) }
  noexcept->std::same_as<failure>;
  { b.remove(r) }
  noexcept->std::same_as<bool>;
  { b.wait(timeout) }
  noexcept->std::same_as<int>;
  { b.put(n, r, bits) }
  noexcept;
  { constant.entries() }
  noexcept->std::same_as<const typename Backend::entry*>;
  { Backend::token(entry) }
  noexcept->std::same_as<registration*>;
  { Backend::events(entry) }
  noexcept->std::same_as<event_bits>;
};

/// Whether a backend has a trigger mode, exclusive or not: for generic code to ask.
template <class Backend, trigger Mode, bool Exclusive = false>
concept supports =
    selector_backend<Backend> &&(Mode != trigger::oneshot || !Exclusive) && Backend::supports(Mode,
                                                                                              Exclusive);

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
}
&&supports<Backend, detail::as_interest_t<What>::mode, detail::as_interest_t<What>::is_exclusive>;

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/version.hpp>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace SELECTORS_NAMESPACE {

/// What a handle can be ready for, and what can happen to it. `read`, `write` and `priority` can be
/// requested; `read_hangup` can be requested by itself where the backend reports it (requestable_events);
/// `error` and `hangup` are output only. The values are distinct bits; `read`, `priority`, `write`, `error`
/// and `hangup` equal those of poll(2) on Linux.
enum class event : std::uint8_t {
  read = 1,          ///< a read or an accept would not block, or the stream has ended
  priority = 2,      ///< something exceptional can be read, such as TCP's out-of-band byte
  write = 4,         ///< a write would not block, or a connect has completed or failed
  error = 8,         ///< an error is pending; also raises the requested read, write and priority
  hangup = 16,       ///< both directions are shut down, or a pipe's other end is closed; raises these, too
  read_hangup = 32,  ///< the peer has shut down its sending side; with `read`, or requested by itself
};

namespace detail {
struct mask_bits;
}

/// A set of events. Converts from `event`; every operation is constexpr, noexcept and O(1).
class event_mask {
 public:
  constexpr event_mask() noexcept = default;
  constexpr event_mask(event e) noexcept : bits_(static_cast<std::uint8_t>(e)) {}

  /// Whether every event of `other` is in this set.
  [[nodiscard]] constexpr bool contains(event_mask other) const noexcept {
    return (bits_ & other.bits_) == other.bits_;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
  constexpr explicit operator bool() const noexcept { return bits_ != 0; }

  constexpr event_mask& operator|=(event_mask other) noexcept { return *this = *this | other; }
  constexpr event_mask& operator&=(event_mask other) noexcept { return *this = *this & other; }
  constexpr event_mask& operator-=(event_mask other) noexcept { return *this = *this - other; }
  constexpr event_mask& operator^=(event_mask other) noexcept { return *this = *this ^ other; }

  friend constexpr event_mask operator|(event_mask a, event_mask b) noexcept {
    return from(a.bits_ | b.bits_);
  }
  friend constexpr event_mask operator&(event_mask a, event_mask b) noexcept {
    return from(a.bits_ & b.bits_);
  }
  friend constexpr event_mask operator-(event_mask a, event_mask b) noexcept {
    return from(a.bits_ & ~b.bits_);
  }
  friend constexpr event_mask operator^(event_mask a, event_mask b) noexcept {
    return from(a.bits_ ^ b.bits_);
  }
  friend constexpr bool operator==(event_mask, event_mask) noexcept = default;

 private:
  friend struct detail::mask_bits;

  static constexpr event_mask from(int bits) noexcept {
    event_mask mask;
    mask.bits_ = static_cast<std::uint8_t>(bits);
    return mask;
  }

  std::uint8_t bits_ = 0;
};

/// Makes `event::read | event::write` an event_mask.
[[nodiscard]] constexpr event_mask operator|(event a, event b) noexcept {
  return event_mask(a) | event_mask(b);
}

/// "read|write", in the order read, write, priority, error, hangup, read_hangup; "none" when empty.
[[nodiscard]] inline std::string to_string(event_mask mask) {
  if (mask.empty()) return "none";
  struct named {
    event value;
    const char* name;
  };
  static constexpr named names[] = {{event::read, "read"},         {event::write, "write"},
                                    {event::priority, "priority"}, {event::error, "error"},
                                    {event::hangup, "hangup"},     {event::read_hangup, "read_hangup"}};
  std::string text;
  for (const named& one : names) {
    if (!mask.contains(one.value)) continue;
    if (!text.empty()) text += '|';
    text += one.name;
  }
  return text;
}

/// Writes `to_string(mask)`, padded to the width of the stream.
template <class Char, class Traits>
std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out, event_mask mask) {
  std::basic_string<Char, Traits> wide;
  for (const char c : to_string(mask)) wide += out.widen(c);
  return out << wide;
}

/// When requested events are reported.
enum class trigger : std::uint8_t {
  level,   ///< as long as the handle is ready
  edge,    ///< once for each change, and again after `modify`     (epoll, kqueue)
  oneshot  ///< once, then nothing until `modify`                  (every backend)
};

/// Events plus a trigger mode in the type, so that a mode that a backend does not support is a compile-time
/// error. Made by `edge`, `oneshot` and `exclusive`; a plain event_mask is level-triggered and not exclusive.
template <trigger Mode, bool Exclusive = false>
  requires(Mode != trigger::oneshot || !Exclusive)  // EINVAL, epoll_ctl(2)
class interest {
 public:
  static constexpr trigger mode = Mode;
  static constexpr bool is_exclusive = Exclusive;

  constexpr explicit(Mode != trigger::level || Exclusive) interest(event_mask events) noexcept
      : events_(events) {}

  [[nodiscard]] constexpr event_mask events() const noexcept { return events_; }
  friend constexpr bool operator==(interest, interest) noexcept = default;

 private:
  event_mask events_;
};

/// Reports each change once. Read or write until that would block: otherwise no further event comes.
[[nodiscard]] constexpr auto edge(event_mask events) noexcept { return interest<trigger::edge>(events); }

/// Reports once, then nothing until `modify`.
[[nodiscard]] constexpr auto oneshot(event_mask events) noexcept {
  return interest<trigger::oneshot>(events);
}

/// If several selectors watch one handle, an event wakes at least one of them, and usually not all: for a
/// listener shared by threads or processes. epoll only. Takes `read` and `write` only (EPOLLEXCLUSIVE,
/// epoll_ctl(2)).
[[nodiscard]] constexpr auto exclusive(event_mask events) noexcept {
  return interest<trigger::level, true>(events);
}
[[nodiscard]] constexpr auto exclusive(interest<trigger::edge> events) noexcept {
  return interest<trigger::edge, true>(events.events());
}

struct a_oneshot_interest_cannot_be_exclusive {};
a_oneshot_interest_cannot_be_exclusive exclusive(interest<trigger::oneshot>) = delete;

/// An interest with its trigger mode as a value: what a registration carries and a backend reads.
struct any_interest {
  event_mask events;
  trigger mode = trigger::level;
  bool exclusive = false;

  constexpr any_interest() noexcept = default;
  constexpr any_interest(event_mask mask) noexcept : events(mask) {}
  template <trigger Mode, bool Exclusive>
  constexpr any_interest(interest<Mode, Exclusive> from) noexcept
      : events(from.events()), mode(Mode), exclusive(Exclusive) {}

  friend constexpr bool operator==(any_interest, any_interest) noexcept = default;
};

namespace detail {

/// The bits behind a mask, for the backends' tables and the dispatch loop.
struct mask_bits {
  static constexpr std::uint32_t of(event_mask mask) noexcept { return mask.bits_; }
  static constexpr event_mask mask(std::uint32_t bits) noexcept {
    return event_mask::from(static_cast<int>(bits));
  }
};

}  // namespace detail
}  // namespace SELECTORS_NAMESPACE

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace selectors {

/// What can be true of a handle. `read`, `write` and `priority` may be asked for, and are reported; `error`,
/// `hangup` and `read_hangup` are only ever reported, beside those they raise. The values are distinct bits,
/// equal to those of poll(2) wherever poll(2) has them in this order.
enum class event : std::uint8_t {
  read = 1,          ///< a read, an accept or the end of the stream would not block
  priority = 2,      ///< something exceptional to read, such as TCP's out-of-band byte
  write = 4,         ///< a write would not block, or a connect has ended
  error = 8,         ///< an error is pending; also raises the read, write and priority that were asked for
  hangup = 16,       ///< both directions are shut down; raises the same
  read_hangup = 32,  ///< the peer has shut down its sending side; comes only with a `read` that was asked for
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

/// Writes `to_string(mask)`, padded as the stream asks.
template <class Char, class Traits>
std::basic_ostream<Char, Traits>& operator<<(std::basic_ostream<Char, Traits>& out, event_mask mask) {
  std::basic_string<Char, Traits> wide;
  for (const char c : to_string(mask)) wide += out.widen(c);
  return out << wide;
}

/// When a readiness that was asked for is reported.
enum class trigger : std::uint8_t {
  level,   ///< as long as it lasts
  edge,    ///< once for each change, and again after `modify`     (epoll, kqueue)
  oneshot  ///< once, then nothing until `modify`                  (every backend)
};

/// Events with the trigger mode in which they are wanted, in its type, so that asking a backend for what it
/// does not have is an error of the compiler. Made by `edge`, `oneshot` and `exclusive`; a plain event_mask
/// is the rest.
template <trigger Mode, bool Exclusive = false>
  requires(Mode != trigger::oneshot || !Exclusive)  // EINVAL in epoll_ctl(2): no such thing exists
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

/// Report each change once: read or write until the call would block, or nothing more is heard.
[[nodiscard]] constexpr auto edge(event_mask events) noexcept { return interest<trigger::edge>(events); }

/// Report once, then keep silent until `modify`.
[[nodiscard]] constexpr auto oneshot(event_mask events) noexcept {
  return interest<trigger::oneshot>(events);
}

/// Of several selectors that watch one handle, wake at least one and usually not all: for a listener shared
/// by threads or processes. Takes `read` and `write` only (EPOLLEXCLUSIVE, epoll_ctl(2)).
[[nodiscard]] constexpr auto exclusive(event_mask events) noexcept {
  return interest<trigger::level, true>(events);
}
[[nodiscard]] constexpr auto exclusive(interest<trigger::edge> events) noexcept {
  return interest<trigger::edge, true>(events.events());
}

struct a_oneshot_interest_cannot_be_exclusive {};
a_oneshot_interest_cannot_be_exclusive exclusive(interest<trigger::oneshot>) = delete;

/// An interest of any kind, as a value: what a registration carries and a backend reads.
struct any_interest {
  event_mask events;
  trigger mode = trigger::level;
  bool exclusive = false;

  constexpr any_interest() noexcept = default;
  constexpr any_interest(event_mask mask) noexcept : events(mask) {}
  template <trigger Mode, bool Exclusive>
  constexpr any_interest(interest<Mode, Exclusive> what) noexcept
      : events(what.events()), mode(Mode), exclusive(Exclusive) {}

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
}  // namespace selectors

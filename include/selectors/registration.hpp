// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/event.hpp>
#include <selectors/handle.hpp>

#include <cstdint>
#include <utility>

namespace selectors {

/// What a selector hands to its backend for each key. Its address is the token: it stays the same, and
/// readable, as long as the backend lives, so the kernel may carry it.
///
///   slot           the backend's own, while attached
///   interest       what is asked for now
///   attached       kept by the backend: the kernel watches the handle, or will at the next wait
///   always_ready   kept by the selector, since the kernel does not take this kind of file
struct registration {
  native_handle_type handle = detail::invalid_handle;
  std::uint32_t slot = 0;
  any_interest interest;
  bool attached : 1 = false;
  bool always_ready : 1 = false;
};

/// The bits in which a backend reports: those of `event`, and one for a descriptor that the kernel calls
/// closed. The selector adds what `error` and `hangup` raise.
using event_bits = std::uint32_t;
inline constexpr event_bits descriptor_closed = 64;

/// What a selector does that its backend does not see.
enum class statistic : std::uint8_t {
  reached,  ///< a loop reached an entry
  stale,    ///< an entry was dropped: its key did not ask for it any more
  saved,    ///< a modification was in force already
  healed    ///< the kernel object is about to be made anew
};

namespace detail {

inline constexpr event_bits requestable_bits = mask_bits::of(event::read | event::write | event::priority);

// What is reported beside what was asked for.
constexpr event_bits reportable(event_mask asked) noexcept {
  event_mask all = asked | event::error | event::hangup;
  if (asked.contains(event::read)) all |= event::read_hangup;
  return mask_bits::of(all);
}

// An error or a hangup raises whatever may have been asked for: code that watches only that sees every
// failure.
constexpr event_bits raised(event_bits bits) noexcept {
  return (bits & mask_bits::of(event::error | event::hangup)) != 0 ? bits | requestable_bits : bits;
}

inline constexpr std::uint16_t all_bits = 0xffff;

// A registration and what the selector knows of it: the part of a key that does not depend on its data.
//
//   attached, always_ready   the backend watches it, or the selector does; neither, if it is paused or silent
//   armed      something of it may be reported: it is not paused, silenced, or a one-shot that fired
//   refused    the kernel took it back: to be reported once as an error
//   leaked     the kernel did not confirm its removal, and may go on to report its token
//   maybe_aliased    added while another was leaked: the kernel knows what it watches by number and file, and may take
//              the other one for it. So its removal is not believed, and it may be reported twice
//   self_reported     in the list of those that the selector itself reports: always ready or refused
struct record : registration {
  // The bits that the loop may not report without asking `core::reach`: all that was not asked for, or all. Of no
  // character type, since the optimizer must take those for a part of anything else.
  std::uint16_t slow_path_mask = all_bits;
  bool registered : 1 = false;
  bool armed : 1 = false;
  bool failed : 1 = false;
  bool leaked : 1 = false;
  bool maybe_aliased : 1 = false;
  bool self_reported : 1 = false;
  std::uint16_t last_epoch : 10 = 0;  // of a maybe_aliased: the loop that told it last
  record* next = nullptr;             // in one list at most
};

// What a list of records needs: they are many, short-lived and never searched.
class record_list {
 public:
  record_list() noexcept = default;
  explicit operator bool() const noexcept { return first_ != nullptr; }
  void push(record& r) noexcept {
    r.next = first_;
    first_ = &r;
  }
  record& pop() noexcept {
    record& r = *first_;
    first_ = std::exchange(r.next, nullptr);
    return r;
  }
  record* first() const noexcept { return first_; }

 private:
  record* first_ = nullptr;
};

}  // namespace detail
}  // namespace selectors

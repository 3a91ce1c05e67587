// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/version.hpp>

#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE {

/// What a selector hands to its backend for each key. Its address is the token: it stays the same, and
/// readable, as long as the backend lives, so the kernel may carry it.
///
///   slot           the backend's own, while attached
///   interest       what is requested now
///   attached       kept by the backend: the kernel watches the handle, or will at the next wait
///   always_ready   kept by the backend too: the kernel does not take this kind of file, so the selector
///                  itself reports it
///   leaked         kept by the selector, and by a backend that finds leaks: the kernel may report the token
///                  though nothing is attached, or once more
///   aliased, seen  for a backend whose kernel may confuse two registrations of one number: see epoll
struct registration {
  native_handle_type handle = detail::invalid_handle;
  std::uint32_t slot = 0;
  any_interest interest;
  bool attached : 1 = false;
  bool always_ready : 1 = false;
  bool leaked : 1 = false;
  bool aliased : 1 = false;
  bool seen : 1 = false;
};

/// The bits of an entry: those of `event`, one for a descriptor that the kernel reports as closed, and one
/// for an entry that the selector has voided. The selector adds the events that `error` and `hangup` raise.
using event_bits = std::uint32_t;
inline constexpr event_bits descriptor_closed = 64;
inline constexpr event_bits entry_is_void = 0x4000;

/// Statistics that a selector counts and its backend cannot.
enum class statistic : std::uint8_t {
  reached,  ///< a loop reached an entry
  stale,    ///< an entry was dropped because its key no longer requested it
  saved,    ///< the interest of a modification was in force already
  healed    ///< leaks are about to be isolated, or the kernel object replaced
};

namespace detail {

inline constexpr event_bits read_write_priority = mask_bits::of(event::read | event::write | event::priority);
inline constexpr event_bits reportable_bits = 127;
// One more bit of an entry, which no backend sets: the kernel reports its events again, although its key is
// not level-triggered by now.
inline constexpr event_bits entry_is_repeated = 0x1000;
inline constexpr event_bits requestable_bits =
    read_write_priority | mask_bits::of(event_mask(event::read_hangup));

// What a kernel reports for the interest `requested`: error and hangup are reported unrequested.
constexpr event_bits reportable(event_mask requested) noexcept {
  event_mask all = requested | event::error | event::hangup;
  if (requested.contains(event::read)) all |= event::read_hangup;
  return mask_bits::of(all);
}

// The part of `bits` that is reported to a key with the interest `requested`. An error or a hangup raises
// read, write and priority if they were requested, so that code which checks only these sees every failure. A
// hangup also raises read_hangup.
constexpr event_bits filtered(event_bits bits, event_mask requested) noexcept {
  event_bits raised = bits;
  if ((bits & mask_bits::of(event::error | event::hangup)) != 0) raised |= read_write_priority;
  if ((bits & mask_bits::of(event::hangup)) != 0) raised |= mask_bits::of(event::read_hangup);
  return (raised & mask_bits::of(requested)) | (bits & reportable(requested));
}

// `record::slow_path_mask`: the event bits that send an entry to the slow path, all that were not requested,
// or all bits. It also says what interest is in force, if that is plain: the kernel watches the key, for
// neither `oneshot` nor `exclusive`, and nothing is odd about it. Then `modify` need look at nothing else.
//
//   is_not_plain   clear if the interest is plain
//   is_not_edge    clear if it is plain and edge-triggered
//
// These two bits are in no entry.
inline constexpr std::uint32_t all_bits = 0xffff;
inline constexpr std::uint32_t is_not_plain = 0x8000;
inline constexpr std::uint32_t is_not_edge = 0x0100;

constexpr bool can_be_plain(const any_interest& what) noexcept {
  return what.mode != trigger::oneshot && !what.exclusive;
}
constexpr std::uint32_t plain_mask_of(const any_interest& what) noexcept {
  const std::uint32_t of_level = all_bits ^ is_not_plain ^ mask_bits::of(what.events);
  return what.mode == trigger::edge ? of_level ^ is_not_edge : of_level;
}
constexpr any_interest plain_interest_of(std::uint32_t mask) noexcept {
  any_interest what(mask_bits::mask(~mask & requestable_bits));
  what.mode = static_cast<trigger>(~mask / is_not_edge & 1);
  return what;
}

// A registration and the selector's own state of it: the part of a key that does not depend on its data.
//
//   attached, always_ready   the backend watches it, or the selector does; neither, if it is paused or silent
//   armed           something of it may be reported: it is not paused, silenced, or a one-shot that fired
//   failed          the kernel refused to watch it again: to be reported once as an error
//   self_reported   in the list of those that the selector itself may report: always ready, failed, marked
//                   ready, or not reached by the last loop
//   carried         not reached by the last loop: first in the next
//   marked          marked ready by the program, and not reached since
//   exhausted       a file that is always ready, edge-triggered, and has been reported
struct record : registration {
  // See above. Not uint8_t: the optimizer must assume that a character type aliases anything.
  std::uint16_t slow_path_mask = all_bits;
  bool registered : 1 = false;
  bool armed : 1 = false;
  bool failed : 1 = false;
  bool self_reported : 1 = false;
  bool carried : 1 = false;
  bool marked : 1 = false;
  bool exhausted : 1 = false;
  std::uint8_t pending_bits = 0;  // reported by the next select, with or without the kernel's events
  record* next = nullptr;         // in one list at most

  // No backend's `bits` needs more than 16 bits, and one instruction tests 16 bits in memory.
  bool needs_slow_path(event_bits bits) const noexcept {
    return (slow_path_mask & static_cast<std::uint16_t>(bits)) != 0;
  }
};

// An intrusive list: it allocates nothing, and is never searched, except by `remove`.
class record_list {
 public:
  record_list() noexcept = default;
  explicit operator bool() const noexcept { return first_ != nullptr; }
  void push_back(record& r) noexcept {
    r.next = nullptr;
    (first_ != nullptr ? last_->next : first_) = &r;
    last_ = &r;
  }
  record& pop_front() noexcept {
    record& r = *first_;
    first_ = std::exchange(r.next, nullptr);
    return r;
  }
  void append(record_list& other) noexcept {
    while (other) push_back(other.pop_front());
  }
  // Linear.
  SELECTORS_NOINLINE void remove(const record& r) noexcept {
    record_list kept;
    while (*this)
      if (record& one = pop_front(); &one != &r) kept.push_back(one);
    *this = kept;
  }
  record* first() const noexcept { return first_; }

 private:
  record* first_ = nullptr;
  record* last_ = nullptr;
};

}  // namespace detail
}  // namespace SELECTORS_NAMESPACE

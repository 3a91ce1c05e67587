// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>

#include <selectors/event.hpp>

#include <cstdint>
#include <utility>

namespace selectors::detail {

inline constexpr event_bits askable_bits = mask_bits::of(event::read | event::write | event::priority);

// What is reported beside what was asked for.
constexpr event_bits reportable(event_mask asked) noexcept {
  event_mask all = asked | event::error | event::hangup;
  if (asked.contains(event::read)) all |= event::read_hangup;
  return mask_bits::of(all);
}

// An error or a hangup raises whatever may have been asked for: code that watches only that sees every
// failure.
constexpr event_bits raised(event_bits bits) noexcept {
  return (bits & mask_bits::of(event::error | event::hangup)) != 0 ? bits | askable_bits : bits;
}

inline constexpr std::uint16_t all_bits = 0xffff;

// A registration and what the selector knows of it: the part of a key that does not depend on its data.
//
//   attached, always_ready   the backend watches it, or the selector does; neither, if it is paused or silent
//   armed      something of it may be reported: it is not paused, silenced, or a one-shot that fired
//   refused    the kernel took it back: to be reported once as an error
//   leaked     the kernel did not confirm its removal, and may go on to report its token
//   suspect    added while another was leaked: the kernel knows what it watches by number and file, and may take
//              the other one for it. So its removal is not believed, and it may be reported twice
//   listed     in the list of those that the selector itself reports: always ready or refused
struct record : registration {
  // The bits that the loop may not report without asking `core::reach`: all that was not asked for, or all. Of no
  // character type, since the optimizer must take those for a part of anything else.
  std::uint16_t careful = all_bits;
  bool registered : 1 = false;
  bool armed : 1 = false;
  bool refused : 1 = false;
  bool leaked : 1 = false;
  bool suspect : 1 = false;
  bool listed : 1 = false;
  std::uint16_t told : 10 = 0;  // of a suspect: the loop that told it last
  record* next = nullptr;       // in one list at most
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

}  // namespace selectors::detail

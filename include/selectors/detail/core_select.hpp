// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/core.hpp>

// The part of the core that waits, reports, and heals.

namespace selectors::detail {

// ---- healing ----------------------------------------------------------------------------------------------

template <selector_backend Backend>
void core<Backend>::note_ghost(const record& r) noexcept {
  if ((r.leaked || r.suspect) && ++state_.ghosts > state_.size / 8) state_.chores |= heal_wanted;
}

// A fresh kernel object, where nothing is leaked. Without a descriptor to spare, the old one's.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::heal() noexcept {
  note(notice::healed);
  if (state_.backend.reopen()) {
    state_.backend.close();
    if (const failure failed = state_.backend.open()) {
      close();
      return failed;
    }
  }
  attach_all();
  return {};
}

// The kernel object that knew them is gone.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::forget_leaks() noexcept {
  state_.leaky = false;
  state_.ghosts = 0;
  state_.chores &= static_cast<std::uint8_t>(~heal_wanted);
  for (; state_.quarantine; --state_.quarantined) state_.nodes.give(&state_.quarantine.pop());
}

// To a kernel object that watches nothing: what was armed is armed again.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::attach_all() noexcept {
  forget_leaks();
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) {
    record& r = keys().at(i);
    r.attached = r.leaked = r.suspect = false;
    // An edge is told again by a fresh kernel object, so that of a file is, too.
    if (r.always_ready && r.interest.mode == trigger::edge) r.armed = true;
    if (!r.armed) continue;
    r.always_ready = false;  // unless it is, still
    if (state_.backend.add(r))
      refuse(r);
    else
      arm(r);
  }
}

// ---- the loop ---------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_HOT outcome core<Backend>::select(nanoseconds timeout) noexcept {
  if (!is_of_this_process()) [[unlikely]]
    return fail(usable());
  ++epoch_;
  if (state_.chores != 0 || state_.cursor != state_.end) [[unlikely]]
    return select_with_care(timeout);
  const int count = state_.backend.wait(timeout);
  if (count > 0) [[likely]] {
    const entry* const first = state_.backend.entries();
    state_.cursor = first;
    state_.end = first + count;
    if ((Backend::bits(*first) & static_cast<record*>(Backend::token(*first))->careful) == 0) [[likely]]
      return outcome::ready;
  }
  return settle(count, timeout);
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::fail(failure why) noexcept {
  why_ = why;
  return outcome::failed;
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::select_with_care(nanoseconds timeout) noexcept {
  arm_unreached();
  state_.cursor = state_.end = nullptr;
  destroy_retired();
  if ((state_.chores & heal_wanted) != 0) {
    if (const failure failed = heal()) return fail(failed);
  }
  return settle(wait_with_care(timeout), timeout);
}

// No time is lost while the selector itself has something to report, nor is that lost to a signal.
template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::wait_with_care(nanoseconds timeout) noexcept {
  const bool ready = sweep_listed();
  const int count = state_.backend.wait(ready ? nanoseconds::zero() : timeout);
  return ready && count < 0 && errno == EINTR ? 0 : count;
}

// After a wait: is there anything to report? If only what is stale ended it, it was too short.
template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::settle(int count, nanoseconds timeout) noexcept {
  for (;;) {
    state_.cursor = state_.end = nullptr;
    if (count < 0)
      return errno == EINTR ? outcome::interrupted : fail(failure::system(Backend::wait_call, errno));
    count = put_listed(count);
    if (count == 0) return outcome::timed_out;
    const entry* const first = state_.backend.entries();
    state_.cursor = first;
    state_.end = first + count;
    if (has_next()) return outcome::ready;

    for (const entry* e = first; e != state_.end; ++e) {
      note(notice::stale);
      note_ghost(*static_cast<record*>(Backend::token(*e)));
    }
    if ((state_.chores & heal_wanted) != 0) {
      if (const failure failed = heal()) return fail(failed);
    }
    count = wait_with_care(timeout);
  }
}

// What an unfinished loop did not reach, and the kernel will not tell again by itself.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::arm_unreached() noexcept {
  for (const entry* e = state_.cursor; e != state_.end; ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    if (!r.armed || !r.attached || r.interest.mode == trigger::level) continue;
    if (state_.backend.modify(r, r.interest)) {
      detach(r);
      refuse(r);
    }
  }
}

template <selector_backend Backend>
SELECTORS_APART bool core<Backend>::has_next() const noexcept {
  for (const entry* e = state_.cursor; e != state_.end; ++e)
    if (peek(*static_cast<const record*>(Backend::token(*e)), Backend::events(*e)) != 0) return true;
  return false;
}

// The next entry that has something left to report.
template <selector_backend Backend>
SELECTORS_HOT reached core<Backend>::next() noexcept {
  if (state_.cursor == state_.end) return {};
  const entry& e = *state_.cursor++;
  auto* const r = static_cast<record*>(Backend::token(e));
  if (const event_bits bits = Backend::bits(e); (bits & r->careful) == 0) [[likely]] {
    note(notice::reached);
    return {r, bits};
  }
  return next_with_care();
}

// From the entry just passed on: one with an error, or a one-shot, or more than what is asked by now.
template <selector_backend Backend>
SELECTORS_COLD reached core<Backend>::next_with_care() noexcept {
  for (const entry* e = state_.cursor - 1; e != state_.end; state_.cursor = ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    const event_bits told = reach(r, Backend::events(*e));
    if (told == 0) continue;
    state_.cursor = e + 1;
    return {&r, told};
  }
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::peek(const record& r, event_bits bits) noexcept {
  if (!r.armed || !(r.attached || r.always_ready || r.refused)) return 0;
  if (r.refused || (bits & descriptor_closed) != 0) return mask_bits::of(r.interest.events | event::error);
  return raised(bits) & reportable(r.interest.events);
}

// Whether this loop has told a suspect before. A record remembers 10 bits of the epoch, so one in 1,024 is
// taken for told that was not: it is not lost, since it stays armed and healing adds it again.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::is_told_twice(record& r) noexcept {
  constexpr std::uint16_t bits_of_told = 1023;
  const bool is_told = r.suspect && r.told == (epoch_ & bits_of_told);
  r.told = epoch_ & bits_of_told;
  return is_told;
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::reach(record& r, event_bits bits) noexcept {
  if (r.always_ready && !Backend::is_open(r.handle)) bits = descriptor_closed;
  const event_bits told = peek(r, bits);
  if (told == 0) {
    note(notice::stale);
    note_ghost(r);
    return 0;
  }
  if (is_told_twice(r)) {
    note(notice::stale);
    state_.chores |= heal_wanted;
    return 0;
  }
  note(notice::reached);
  if (r.refused || (bits & descriptor_closed) != 0) {
    detach(r);
    r.always_ready = false;
  } else if (r.interest.mode == trigger::oneshot || (r.always_ready && r.interest.mode == trigger::edge)) {
    if (Backend::disarms_oneshot)
      r.armed = false;
    else
      detach(r);
  }
  return told;
}

}  // namespace selectors::detail

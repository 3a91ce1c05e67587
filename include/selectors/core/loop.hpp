// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/core/core.hpp>

// The part of the core that waits, reports, and heals.

namespace selectors::detail {

// ---- the loop ---------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_ALWAYS_INLINE outcome core<Backend>::select(nanoseconds timeout) noexcept {
  if (!is_of_this_process()) [[unlikely]]
    return fail(usable());
  ++epoch_;
  if (state_.pending_work != 0 || state_.cursor != state_.end) [[unlikely]]
    return select_slow(timeout);
  const int count = state_.backend.wait(timeout);
  if (count > 0) [[likely]] {
    const entry* const first = state_.backend.entries();
    state_.cursor = first;
    state_.end = first + count;
    if ((Backend::bits(*first) & static_cast<record*>(Backend::token(*first))->slow_path_mask) == 0)
        [[likely]]
      return outcome::ready;
  }
  return finish_wait(count, timeout);
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::fail(failure why) noexcept {
  why_ = why;
  return outcome::failed;
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::select_slow(nanoseconds timeout) noexcept {
  arm_unreached();
  state_.cursor = state_.end = nullptr;
  destroy_retired();
  if ((state_.pending_work & heal_wanted) != 0) {
    if (const failure failed = heal()) return fail(failed);
  }
  return finish_wait(wait_slow(timeout), timeout);
}

// No time is lost while the selector itself has something to report, nor is that lost to a signal.
template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::wait_slow(nanoseconds timeout) noexcept {
  const bool ready = prune_self_reported();
  const int count = state_.backend.wait(ready ? nanoseconds::zero() : timeout);
  return ready && count < 0 && errno == EINTR ? 0 : count;
}

// After a wait: is there anything to report? If only what is stale ended it, it was too short.
template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::finish_wait(int found, nanoseconds timeout) noexcept {
  for (;;) {
    state_.cursor = state_.end = nullptr;
    if (found < 0)
      return errno == EINTR ? outcome::interrupted : fail(failure::system(Backend::wait_call, errno));
    found = append_self_reported(found);
    if (found == 0) return outcome::timed_out;
    const entry* const first = state_.backend.entries();
    state_.cursor = first;
    state_.end = first + found;
    if (has_next()) return outcome::ready;

    for (const entry* e = first; e != state_.end; ++e) {
      count(statistic::stale);
      note_ghost(*static_cast<record*>(Backend::token(*e)));
    }
    if ((state_.pending_work & heal_wanted) != 0) {
      if (const failure failed = heal()) return fail(failed);
    }
    found = wait_slow(timeout);
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
      mark_failed(r);
    }
  }
}

template <selector_backend Backend>
SELECTORS_NOINLINE bool core<Backend>::has_next() const noexcept {
  for (const entry* e = state_.cursor; e != state_.end; ++e)
    if (peek(*static_cast<const record*>(Backend::token(*e)), Backend::events(*e)) != 0) return true;
  return false;
}

// The next entry that has something left to report.
template <selector_backend Backend>
SELECTORS_ALWAYS_INLINE reached core<Backend>::next() noexcept {
  if (state_.cursor == state_.end) return {};
  const entry& e = *state_.cursor++;
  auto* const r = static_cast<record*>(Backend::token(e));
  if (const event_bits bits = Backend::bits(e); (bits & r->slow_path_mask) == 0) [[likely]] {
    count(statistic::reached);
    return {r, bits};
  }
  return next_slow();
}

// From the entry just passed on: one with an error, or a one-shot, or more than what is asked by now.
template <selector_backend Backend>
SELECTORS_COLD reached core<Backend>::next_slow() noexcept {
  for (const entry* e = state_.cursor - 1; e != state_.end; state_.cursor = ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    const event_bits told = deliver(r, Backend::events(*e));
    if (told == 0) continue;
    state_.cursor = e + 1;
    return {&r, told};
  }
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::peek(const record& r, event_bits bits) noexcept {
  if (!r.armed || !(r.attached || r.always_ready || r.failed)) return 0;
  if (r.failed || (bits & descriptor_closed) != 0) return mask_bits::of(r.interest.events | event::error);
  return raised(bits) & reportable(r.interest.events);
}

// Whether this loop has told a maybe_aliased before. A record remembers 10 bits of the epoch, so one in 1,024 is
// taken for told that was not: it is not lost, since it stays armed and healing adds it again.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::already_reported(record& r) noexcept {
  constexpr std::uint16_t bits_of_told = 1023;
  const bool is_told = r.maybe_aliased && r.last_epoch == (epoch_ & bits_of_told);
  r.last_epoch = epoch_ & bits_of_told;
  return is_told;
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::deliver(record& r, event_bits bits) noexcept {
  if (r.always_ready && !Backend::is_open(r.handle)) bits = descriptor_closed;
  const event_bits told = peek(r, bits);
  if (told == 0) {
    count(statistic::stale);
    note_ghost(r);
    return 0;
  }
  if (already_reported(r)) {
    count(statistic::stale);
    state_.pending_work |= heal_wanted;
    return 0;
  }
  count(statistic::reached);
  if (r.failed || (bits & descriptor_closed) != 0) {
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

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>

// Registering, modifying, unregistering, and retired keys.

namespace SELECTORS_NAMESPACE::detail {

// ---- registering ------------------------------------------------------------------------------------------

// The list is short: it grows only while constructors of data register further handles.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::is_being_constructed(native_handle_type handle) const noexcept {
  for (const record* r = state_.constructing.first(); r != nullptr; r = r->next)
    if (r->handle == handle) return true;
  return false;
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::reserve(native_handle_type handle) noexcept {
  // A number that is not open must not cost memory, however large it is.
  if (!state_.keys.has_room(handle) && !Backend::is_open(handle)) return failure::not_open();
  // Those whose data is being constructed are not in the table yet, but will be.
  const std::size_t keys = state_.nodes.taken() + 1;
  if (!state_.nodes.reserve_one(type_->layout) || !state_.keys.reserve(handle, keys))
    return failure::memory();
  // The entries may be moved in memory during a loop.
  const bool is_looping = state_.cursor != nullptr;
  const entry* const before = state_.backend.entries();
  const auto reached = is_looping ? state_.cursor - state_.backend.entries() : 0;
  const auto used = is_looping ? state_.end - state_.backend.entries() : 0;
  // One entry more, for the mark at the end of a loop.
  const failure failed = state_.backend.reserve(keys + 1, static_cast<std::size_t>(used), handle);
  if (is_looping) {
    state_.cursor = state_.backend.entries() + reached;
    state_.end = state_.backend.entries() + used;
    if (before != state_.backend.entries()) ++epoch_;  // so that the loop looks up its new position
  }
  return failed;
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::add(native_handle_type handle, const any_interest& what,
                                              record*& added) noexcept {
  if (const failure refused = usable()) return refused;
  if (!is_valid(handle)) return errc::invalid_handle;
  if (keys().find(handle) != nullptr) return errc::already_registered;
  if (state_.constructing && is_being_constructed(handle)) return errc::already_registered;
  if (!is_requestable(what)) return failure::invalid_events(refused_of(what.events, what.exclusive));
  if (!Backend::refuses_closed || what.events.empty())
    if (!Backend::is_open(handle)) return failure::not_open();
  // Memory is reserved first, but the kernel's errors take precedence.
  if (const failure failed = reserve(handle)) return Backend::is_open(handle) ? failed : failure::not_open();

  record& r = *type_->create(state_.nodes.take());
  r.handle = handle;
  r.interest = what;
  if (!what.events.empty()) {
    if (const failure failed = state_.backend.add(r)) {
      state_.nodes.give(&r);
      return failed;
    }
  }
  state_.constructing.push_back(r);
  added = &r;
  return {};
}

// Data's constructor must not close the selector. If it does, the key is retired as all others were. If it
// reopened the selector afterwards, the key is added to the new kernel object here.
template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::publish(record& r) noexcept {
  state_.constructing.remove(r);
  failure lost = is_open() ? failure() : errc::closed;
  if (!lost && !r.attached && !r.always_ready && !r.interest.events.empty()) [[unlikely]]
    lost = state_.backend.add(r);
  if (lost) [[unlikely]] {
    state_.retired.push_back(r);
    add_work(retired_keys);
    return lost;
  }
  r.registered = true;
  state_.keys.set(r.handle, &r);
  ++state_.size;
  arm(r);
  note_leaks();
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::withdraw(record& r) noexcept {
  state_.constructing.remove(r);
  detach(r);
  recycle(r);
}

template <selector_backend Backend>
inline failure core<Backend>::modify(lookup which, any_interest what) noexcept {
  record* const r = which.key_record;
  if (!is_of_this_process() || r == nullptr || !is_requestable(what)) [[unlikely]]
    return refusal_to_modify(which, what.events, what.exclusive);
  if (!can_be_plain(what)) return change(*r, what);
  const std::uint32_t mask = plain_mask_of(what);
  if (what.mode == trigger::level) {
    if (r->slow_path_mask == mask) {
      count(statistic::saved);
      return {};
    }
  } else if ((r->slow_path_mask & is_not_edge) != 0) {
    return change(*r, what);  // is not an edge yet
  }
  return change_plainly(*r, mask);
}

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::refusal_to_modify(lookup which, event_mask events,
                                                        bool exclusive) const noexcept {
  if (const failure refused = usable()) return refused;
  return which.key_record == nullptr ? which.missing()
                                     : failure::invalid_events(refused_of(events, exclusive));
}

// Replaces a plain interest, which `slow_path_mask` describes, by another one. Short, because servers change
// between reading and writing often: what is rare goes to functions that take what is in registers anyway.
template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::change_plainly(record& r, std::uint32_t mask) noexcept {
  const any_interest what = plain_interest_of(mask);
  if ((r.slow_path_mask & is_not_plain) != 0 || what.events.empty()) [[unlikely]]
    return change_oddly(r, mask);
  r.interest.events = what.events;
  r.interest.mode = what.mode;
  r.interest.exclusive = false;  // it is, and now the compiler knows
  if (const failure failed = state_.backend.modify(r, plain_interest_of(r.slow_path_mask))) [[unlikely]]
    return finish_plain_change(r, failed);
  if (!r.attached || r.leaked) [[unlikely]]
    return finish_plain_change(r, {});
  r.slow_path_mask = static_cast<std::uint16_t>(mask);
  forget_first();
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::change_oddly(record& r, std::uint32_t mask) noexcept {
  return change(r, plain_interest_of(mask));
}

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::finish_plain_change(record& r, failure why) noexcept {
  return finish_change(r, plain_interest_of(r.slow_path_mask), why);
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::change(record& r, any_interest what) noexcept {
  if (r.interest == what && what.mode == trigger::level && r.armed && !r.failed) {
    count(statistic::saved);
    return {};
  }
  if (!r.attached || what.events.empty()) return pause_or_resume(r, what);
  const any_interest was = std::exchange(r.interest, what);
  const failure failed = state_.backend.modify(r, was);
  if (failed || r.leaked || !r.attached) [[unlikely]]
    return finish_change(r, was, failed);
  note_repeated(r, was.mode);
  arm(r);
  return {};
}

// What the kernel had found of a level-triggered key, and the loop has not reached, need not be remembered if
// the key becomes an edge or a one-shot: the kernel, which has been asked anew, reports it again if it is
// still so. Linear in the unreached entries.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::note_repeated(record& r, trigger was) noexcept {
  if (was != trigger::level || r.marked || is_reported_again(r)) return;
  const entry* const first = state_.backend.entries();
  for (const entry* e = state_.cursor; e != end(); ++e)
    if (Backend::token(*e) == &r)
      state_.backend.set_entry(static_cast<std::size_t>(e - first), r,
                               Backend::events(*e) | entry_is_repeated);
}

// The rare outcomes of a change: it failed; or the number means another file, and the old one's registration
// may be leaked; or the kernel does not watch the file.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::finish_change(record& r, const any_interest& was,
                                                    failure why) noexcept {
  note_leaks();
  if (why) return roll_back(r, was, why);
  note_repeated(r, was.mode);
  arm(r);
  return {};
}

// The number may mean another file by now: always calls the kernel, and drops what was pending from the old
// file.
template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::watch(lookup which, const any_interest& what) noexcept {
  if (const failure refused = usable()) return refused;
  if (which.key_record == nullptr) return which.missing();
  if (!is_requestable(what)) return failure::invalid_events(refused_of(what.events, what.exclusive));
  record& r = *which.key_record;
  if (what.events.empty() || !r.attached) {
    if (!what.events.empty() && !Backend::is_open(r.handle)) return failure::not_open();
    if (const failure failed = pause_or_resume(r, what)) return failed;
  } else {
    if (!Backend::refuses_closed && !Backend::is_open(r.handle)) return failure::not_open();
    const any_interest was = std::exchange(r.interest, what);
    if (const failure failed = finish_change(r, was, watch_anew(r, was))) return failed;
  }
  drop_pending(r);
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::watch_anew(record& r, const any_interest& was) noexcept {
  if constexpr (requires { state_.backend.rewatch(r, was); }) {
    return state_.backend.rewatch(r, was);
  } else {
    if (!state_.backend.remove(r)) r.leaked = true;
    const failure failed = state_.backend.add(r);
    if (!failed) return {};
    const any_interest wanted = std::exchange(r.interest, was);
    if (state_.backend.add(r)) r.attached = false;
    r.interest = wanted;
    return failed;
  }
}

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::roll_back(record& r, const any_interest& was, failure why) noexcept {
  r.interest = was;
  if (!r.attached) mark_failed(r);
  return why;
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::pause_or_resume(record& r, const any_interest& what) noexcept {
  if (what.events.empty()) {
    detach(r);
    r.interest = what;
    r.always_ready = false;
    return {};
  }
  const bool was_paused = r.interest.events.empty();
  const any_interest was = std::exchange(r.interest, what);
  const bool was_always_ready = r.always_ready;
  failure failed;
  if (finds_leaks || !r.leaked) {
    r.always_ready = false;  // `add` sets it again if it still is
    failed = state_.backend.add(r);
  } else if (Backend::is_open(r.handle)) {
    // Adding now could report it twice, since the leaked registration is still in the kernel. Healing adds
    // it.
    add_work(heal_wanted);
  } else {
    failed = failure::not_open();
  }
  if (failed) {
    r.interest = was;
    r.always_ready = was_always_ready;
    return failed;
  }
  if (was_paused && r.attached) note_repeated(r, was.mode);
  arm(r);
  note_leaks();
  return {};
}

template <selector_backend Backend>
failure core<Backend>::remove(lookup which) noexcept {
  if (!is_open()) return errc::closed;
  if (which.key_record == nullptr) return which.missing();
  detach(*which.key_record);
  retire(*which.key_record);
  return {};
}

// After the backend accepted the current interest, or the key was paused.
template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::arm(record& r) noexcept {
  r.failed = r.exhausted = false;
  r.armed = !r.interest.events.empty();
  set_slow_path_mask(r);
  if (r.always_ready || r.self_reported) add_self_reported(r);
}

template <selector_backend Backend>
inline void core<Backend>::set_slow_path_mask(record& r) noexcept {
  const bool is_fast = r.attached && r.armed && !r.failed && !r.marked && r.interest.mode != trigger::oneshot;
  const std::uint32_t plain = plain_mask_of(r.interest);
  const std::uint32_t fast = r.interest.exclusive ? plain | is_not_plain : plain;
  r.slow_path_mask = static_cast<std::uint16_t>(is_fast ? fast : all_bits);
  forget_first();
}

// The kernel no longer watches it. The next select reports that once, as an error.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::mark_failed(record& r) noexcept {
  r.armed = r.failed = true;
  r.slow_path_mask = all_bits;
  forget_first();
  add_self_reported(r);
}

// Removes it from the kernel. In a child process the kernel object is shared with the parent, and is not
// touched.
template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::detach(record& r) noexcept {
  r.slow_path_mask = all_bits;
  r.armed = r.failed = false;
  forget_first();
  if (!r.attached || !is_of_this_process()) return;
  if (!state_.backend.remove(r)) {
    r.leaked = true;
    note_leaks();
  }
}

template <selector_backend Backend>
inline void core<Backend>::note_leaks() noexcept {
  if constexpr (finds_leaks)
    if (state_.backend.may_have_leaks()) [[unlikely]]
      note_those_leaks();
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::note_those_leaks() noexcept {
  if constexpr (finds_leaks) {
    if (state_.backend.has_leaks()) add_work(leaks_suspected);
    if (state_.backend.wants_isolation()) want_heal(heal_wanted);
  }
}

// ---- retired keys -----------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::retire(record& r) noexcept {
  state_.keys.set(r.handle, nullptr);
  --state_.size;
  r.registered = false;
  if (!r.self_reported) state_.retired.push_back(r);  // else pruning moves it there
  add_work(retired_keys);
  if (type_->has_destructor) signal(true);
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::retire_all() noexcept {
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) retire(keys().at(i));
}

// Data's destructor may register, modify and unregister, and so retire more.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::destroy_retired() noexcept {
  for (prune_self_reported(); state_.retired; prune_self_reported()) {
    while (state_.retired) {
      record& r = state_.retired.pop_front();
      type_->destroy_data(r);
      recycle(r);
    }
  }
  remove_work(retired_keys);
}

// A node whose token the kernel may still report is not reused. When the quarantine exceeds the number of
// keys by more than 64, a full heal empties it, at one system call a key: so each leak costs a constant
// number of calls.
template <selector_backend Backend>
void core<Backend>::recycle(record& r) noexcept {
  if (!r.leaked || !is_open()) return state_.nodes.give(&r);
  state_.quarantine.push_back(r);
  if (++state_.quarantined > 64 + state_.size) want_heal(heal_wanted | full_heal_wanted);
}

}  // namespace SELECTORS_NAMESPACE::detail

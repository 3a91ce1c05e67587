// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/core/core.hpp>

// The part of the core that keeps the keys.

namespace selectors::detail {

// ---- registering ------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::reserve(native_handle_type handle) noexcept {
  if (!state_.nodes.reserve_one(type_->layout) || !state_.keys.reserve(handle)) return failure::memory();
  // The entries may move while a loop goes over them.
  const bool is_looping = state_.cursor != state_.end;
  const auto reached = is_looping ? state_.cursor - state_.backend.entries() : 0;
  const auto used = is_looping ? state_.end - state_.backend.entries() : 0;
  const std::size_t count = state_.nodes.taken() + 1;
  const failure failed = state_.backend.reserve(count, static_cast<std::size_t>(used), handle);
  if (is_looping) {
    state_.cursor = state_.backend.entries() + reached;
    state_.end = state_.backend.entries() + used;
  }
  return failed;
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::add(native_handle_type handle, const any_interest& what,
                                              record*& added) noexcept {
  if (const failure refused = usable()) return refused;
  if (!is_valid(handle)) return errc::invalid_handle;
  if (keys().find(handle) != nullptr) return errc::already_registered;
  if (!is_requestable(what)) return errc::invalid_events;
  if (!Backend::refuses_closed || what.events.empty())
    if (!Backend::is_open(handle)) return failure::not_open();
  if (const failure failed = reserve(handle)) return failed;

  record& r = *type_->create(state_.nodes.take());
  r.handle = handle;
  r.interest = what;
  if (!what.events.empty()) {
    if (const failure failed = state_.backend.add(r)) {
      state_.nodes.give(&r);
      return failed;
    }
  }
  r.registered = true;
  r.maybe_aliased = state_.leaky;
  arm(r);
  state_.keys.set(handle, &r);
  ++state_.size;
  added = &r;
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::withdraw(record& r) noexcept {
  detach(r);
  if (r.self_reported) remove_self_reported(r);
  state_.keys.set(r.handle, nullptr);
  --state_.size;
  r.registered = false;
  recycle(r);
}

template <selector_backend Backend>
inline failure core<Backend>::modify(lookup which, any_interest what) noexcept {
  if (const failure refused = usable()) return refused;
  record* const r = which.key_record;
  if (r == nullptr) return which.missing();
  if (!is_requestable(what)) return errc::invalid_events;
  if (r->interest == what && what.mode == trigger::level && r->armed && !r->failed) {
    count(statistic::saved);
    return {};
  }
  const any_interest changed = what;  // else all of the above would work in memory
  return change(*r, changed);
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::change(record& r, const any_interest& what) noexcept {
  if (!r.attached || what.events.empty()) [[unlikely]]
    return pause_or_resume(r, what);
  const any_interest was = std::exchange(r.interest, what);
  const failure failed = state_.backend.modify(r, was);
  if (failed) [[unlikely]]
    return roll_back(r, was, failed);
  arm(r);
  return {};
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
  const any_interest was = std::exchange(r.interest, what);
  const bool was_always_ready = r.always_ready;
  failure failed;
  if (!r.leaked) {
    r.always_ready = false;  // unless it is, still
    failed = state_.backend.add(r);
  } else if (Backend::is_open(r.handle)) {
    // Added now, it might be reported twice: by what the kernel kept of it too. Healing adds it.
    state_.pending_work |= heal_wanted;
  } else {
    failed = failure::not_open();
  }
  if (failed) {
    r.interest = was;
    r.always_ready = was_always_ready;
    return failed;
  }
  arm(r);
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

// After the backend took the interest that is in force now, or with nothing to watch.
template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::arm(record& r) noexcept {
  r.failed = false;
  r.armed = !r.interest.events.empty();
  const bool is_fast = r.attached && !r.maybe_aliased && r.interest.mode != trigger::oneshot;
  r.slow_path_mask = static_cast<std::uint16_t>(is_fast ? ~mask_bits::of(r.interest.events) : all_bits);
  if (r.always_ready) add_self_reported(r);
}

// The kernel holds it no more: told once, by the next select.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::mark_failed(record& r) noexcept {
  r.armed = r.failed = true;
  r.slow_path_mask = all_bits;
  add_self_reported(r);
}

// Takes it from the kernel. In a child process the kernel's object is still the parent's, and not touched.
template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::detach(record& r) noexcept {
  r.slow_path_mask = all_bits;
  r.armed = r.failed = false;
  if (!r.attached || !is_of_this_process()) return;
  if (!state_.backend.remove(r) || r.maybe_aliased) {
    r.leaked = true;
    state_.leaky = true;
  }
}

// ---- retired keys -----------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::retire(record& r) noexcept {
  state_.keys.set(r.handle, nullptr);
  --state_.size;
  r.registered = false;
  if (!r.self_reported) state_.retired.push(r);  // else it is swept there
  state_.pending_work |= retired_keys;
}

template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::retire_all() noexcept {
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) retire(keys().at(i));
}

// Data's destructor may register, modify and unregister, and so retire more.
template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::destroy_retired() noexcept {
  for (prune_self_reported(); state_.retired; prune_self_reported()) {
    while (state_.retired) {
      record& r = state_.retired.pop();
      type_->destroy_data(r);
      recycle(r);
    }
  }
  state_.pending_work &= static_cast<std::uint8_t>(~retired_keys);
}

// A token that the kernel may still name is not given to another key.
template <selector_backend Backend>
void core<Backend>::recycle(record& r) noexcept {
  if (!r.leaked || !is_open()) return state_.nodes.give(&r);
  state_.quarantine.push(r);
  if (++state_.quarantined > 64 + state_.size) state_.pending_work |= heal_wanted;
}

// ---- what the selector reports itself ---------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::add_self_reported(record& r) noexcept {
  if (!r.self_reported) state_.self_reported.push(r);
  r.self_reported = true;
  state_.pending_work |= self_reported_keys;
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::remove_self_reported(record& r) noexcept {
  record_list kept;
  while (state_.self_reported) {
    record& one = state_.self_reported.pop();
    if (&one != &r) kept.push(one);
  }
  state_.self_reported = kept;
}

// Sorts out who is no longer of them; returns whether any has something to tell now.
template <selector_backend Backend>
SELECTORS_NOINLINE bool core<Backend>::prune_self_reported() noexcept {
  bool ready = false;
  record_list kept;
  while (state_.self_reported) {
    record& r = state_.self_reported.pop();
    const bool stays = r.registered && r.armed && (r.always_ready || r.failed);
    r.self_reported = stays;
    if (stays) {
      kept.push(r);
      ready = ready || can_be_ready(r);
    } else if (!r.registered) {
      state_.retired.push(r);
    }
  }
  state_.self_reported = kept;
  if (!kept) state_.pending_work &= static_cast<std::uint8_t>(~self_reported_keys);
  return ready;
}

// Behind what the kernel reports; there is room for as many entries as there are nodes out.
template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::append_self_reported(int count) noexcept {
  constexpr event_bits both = mask_bits::of(event::read | event::write);
  auto i = static_cast<std::size_t>(count);
  for (record* r = state_.self_reported.first(); r != nullptr && i < state_.nodes.taken(); r = r->next)
    if (can_be_ready(*r)) state_.backend.set_entry(i++, *r, r->failed ? descriptor_closed : both);
  return static_cast<int>(i);
}

}  // namespace selectors::detail

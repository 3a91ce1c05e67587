// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/core.hpp>

// The part of the core that keeps the keys.

namespace selectors::detail {

// ---- registering ------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::reserve(native_handle_type handle) noexcept {
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
SELECTORS_APART failure core<Backend>::add(native_handle_type handle, const any_interest& what,
                                           record*& added) noexcept {
  if (const failure refused = usable()) return refused;
  if (!is_valid(handle)) return errc::invalid_handle;
  if (keys().find(handle) != nullptr) return errc::already_registered;
  if (!is_askable(what)) return errc::invalid_events;
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
  r.suspect = state_.leaky;
  arm(r);
  state_.keys.set(handle, &r);
  ++state_.size;
  added = &r;
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::withdraw(record& r) noexcept {
  detach(r);
  if (r.listed) unlist(r);
  state_.keys.set(r.handle, nullptr);
  --state_.size;
  r.registered = false;
  recycle(r);
}

template <selector_backend Backend>
inline failure core<Backend>::modify(target which, any_interest what) noexcept {
  if (const failure refused = usable()) return refused;
  record* const r = which.found;
  if (r == nullptr) return which.missing();
  if (!is_askable(what)) return errc::invalid_events;
  if (r->interest == what && what.mode == trigger::level && r->armed && !r->refused) {
    note(notice::saved);
    return {};
  }
  const any_interest changed = what;  // else all of the above would work in memory
  return change(*r, changed);
}

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::change(record& r, const any_interest& what) noexcept {
  if (!r.attached || what.events.empty()) [[unlikely]]
    return pause_or_resume(r, what);
  const any_interest was = std::exchange(r.interest, what);
  const failure failed = state_.backend.modify(r, was);
  if (failed) [[unlikely]]
    return take_back(r, was, failed);
  arm(r);
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::take_back(record& r, const any_interest& was, failure why) noexcept {
  r.interest = was;
  if (!r.attached) refuse(r);
  return why;
}

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::pause_or_resume(record& r, const any_interest& what) noexcept {
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
    state_.chores |= heal_wanted;
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
failure core<Backend>::remove(target which) noexcept {
  if (!is_open()) return errc::closed;
  if (which.found == nullptr) return which.missing();
  detach(*which.found);
  retire(*which.found);
  return {};
}

// After the backend took the interest that is in force now, or with nothing to watch.
template <selector_backend Backend>
SELECTORS_APART void core<Backend>::arm(record& r) noexcept {
  r.refused = false;
  r.armed = !r.interest.events.empty();
  const bool is_fast = r.attached && !r.suspect && r.interest.mode != trigger::oneshot;
  r.careful = static_cast<std::uint16_t>(is_fast ? ~mask_bits::of(r.interest.events) : all_bits);
  if (r.always_ready) list(r);
}

// The kernel holds it no more: told once, by the next select.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::refuse(record& r) noexcept {
  r.armed = r.refused = true;
  r.careful = all_bits;
  list(r);
}

// Takes it from the kernel. In a child process the kernel's object is still the parent's, and not touched.
template <selector_backend Backend>
SELECTORS_APART void core<Backend>::detach(record& r) noexcept {
  r.careful = all_bits;
  r.armed = r.refused = false;
  if (!r.attached || !is_of_this_process()) return;
  if (!state_.backend.remove(r) || r.suspect) {
    r.leaked = true;
    state_.leaky = true;
  }
}

// ---- retired keys -----------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_APART void core<Backend>::retire(record& r) noexcept {
  state_.keys.set(r.handle, nullptr);
  --state_.size;
  r.registered = false;
  if (!r.listed) state_.retired.push(r);  // else it is swept there
  state_.chores |= retired_keys;
}

template <selector_backend Backend>
SELECTORS_APART void core<Backend>::retire_all() noexcept {
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) retire(keys().at(i));
}

// Data's destructor may register, modify and unregister, and so retire more.
template <selector_backend Backend>
SELECTORS_APART void core<Backend>::destroy_retired() noexcept {
  for (sweep_listed(); state_.retired; sweep_listed()) {
    while (state_.retired) {
      record& r = state_.retired.pop();
      type_->destroy_data(r);
      recycle(r);
    }
  }
  state_.chores &= static_cast<std::uint8_t>(~retired_keys);
}

// A token that the kernel may still name is not given to another key.
template <selector_backend Backend>
void core<Backend>::recycle(record& r) noexcept {
  if (!r.leaked || !is_open()) return state_.nodes.give(&r);
  state_.quarantine.push(r);
  if (++state_.quarantined > 64 + state_.size) state_.chores |= heal_wanted;
}

// ---- what the selector reports itself ---------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::list(record& r) noexcept {
  if (!r.listed) state_.listed.push(r);
  r.listed = true;
  state_.chores |= listed_keys;
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::unlist(record& r) noexcept {
  record_list kept;
  while (state_.listed) {
    record& one = state_.listed.pop();
    if (&one != &r) kept.push(one);
  }
  state_.listed = kept;
}

// Sorts out who is no longer of them; returns whether any has something to tell now.
template <selector_backend Backend>
SELECTORS_APART bool core<Backend>::sweep_listed() noexcept {
  bool ready = false;
  record_list kept;
  while (state_.listed) {
    record& r = state_.listed.pop();
    const bool stays = r.registered && r.armed && (r.always_ready || r.refused);
    r.listed = stays;
    if (stays) {
      kept.push(r);
      ready = ready || has_news(r);
    } else if (!r.registered) {
      state_.retired.push(r);
    }
  }
  state_.listed = kept;
  if (!kept) state_.chores &= static_cast<std::uint8_t>(~listed_keys);
  return ready;
}

// Behind what the kernel reports; there is room for as many entries as there are nodes out.
template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::put_listed(int count) noexcept {
  constexpr event_bits both = mask_bits::of(event::read | event::write);
  auto i = static_cast<std::size_t>(count);
  for (record* r = state_.listed.first(); r != nullptr && i < state_.nodes.taken(); r = r->next)
    if (has_news(*r)) state_.backend.put(i++, *r, r->refused ? descriptor_closed : both);
  return static_cast<int>(i);
}

}  // namespace selectors::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>

#include <cstddef>

// What the selector reports without the kernel: files that are always ready, keys that the kernel refused to
// watch again, keys that were marked ready, and entries that the last loop did not reach.

namespace SELECTORS_NAMESPACE::detail {

template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::mark_ready(lookup which, event_mask events) noexcept {
  if (const failure refused = usable()) return refused;
  if (which.key_record == nullptr) return which.missing();
  const event_mask allowed =
      event::read | event::write | event::priority | (requestable_events<Backend> & event::read_hangup);
  if (const event_mask refused = events - allowed; !refused.empty()) return failure::invalid_events(refused);
  if (events.empty()) return {};
  record& r = *which.key_record;
  r.pending_bits = static_cast<std::uint8_t>(r.pending_bits | mask_bits::of(events));
  r.marked = true;
  r.slow_path_mask = all_bits;
  forget_first();
  add_self_reported(r);
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::add_self_reported(record& r) noexcept {
  if (!r.self_reported) state_.self_reported.push_back(r);
  r.self_reported = true;
  add_work(self_reported_keys);
  if (peek(r, own_bits(r)) != 0) signal(true);
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::own_bits(const record& r) noexcept {
  event_bits bits = r.pending_bits;
  if (r.failed) bits |= descriptor_closed;
  if (r.always_ready && !r.exhausted) bits |= mask_bits::of(event::read | event::write);
  return bits;
}

// Removes the records that have nothing to report any more. Returns whether any of the others has something
// to report now.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::prune_self_reported() noexcept {
  bool is_ready = false;
  record_list kept;
  while (state_.self_reported) {
    record& r = state_.self_reported.pop_front();
    const bool has_own = r.registered && peek(r, own_bits(r)) != 0;
    // What was marked stays until a select drops it: it may be requested by then.
    const bool stays =
        r.registered &&
        (r.pending_bits != 0 || (r.armed && (has_own || r.carried || (r.always_ready && !r.exhausted))));
    is_ready = is_ready || has_own;
    r.self_reported = stays;
    if (stays) {
      kept.push_back(r);
      continue;
    }
    r.carried = false;
    const bool was_marked = r.marked;
    r.marked = false;
    if (was_marked && r.registered) set_slow_path_mask(r);
    if (!r.registered) state_.retired.push_back(r);
  }
  state_.self_reported = kept;
  if (!kept) remove_work(self_reported_keys);
  return is_ready;
}

// Appends self-reported records to the kernel's entries. Each key gets one entry: for a key in the list, the
// kernel's events are merged with its own. First come the records that the last loop did not reach, in their
// order, then the kernel's entries, then the rest. There is room for as many entries as there are nodes.
template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::merge_self_reported(int found) noexcept {
  if (!state_.self_reported) return found;
  Backend& backend = state_.backend;
  std::size_t kernels = 0;
  for (std::size_t i = 0; i != static_cast<std::size_t>(found); ++i) {
    const entry e = backend.entries()[i];
    record& r = *static_cast<record*>(Backend::token(e));
    const event_bits bits = Backend::events(e) & reportable_bits;
    if (r.self_reported)
      r.pending_bits = static_cast<std::uint8_t>(r.pending_bits | bits);
    else
      backend.set_entry(kernels++, r, bits);
  }
  std::size_t first = 0;
  for (record* r = state_.self_reported.first(); r != nullptr; r = r->next)
    if (r->carried && own_bits(*r) != 0) ++first;
  for (std::size_t i = kernels; i != 0; --i) {
    const entry e = backend.entries()[i - 1];
    backend.set_entry(first + i - 1, *Backend::token(e), Backend::events(e));
  }
  std::size_t front = 0;
  std::size_t back = first + kernels;
  for (record* r = state_.self_reported.first(); r != nullptr; r = r->next) {
    if (const event_bits bits = own_bits(*r); bits != 0)
      backend.set_entry(r->carried ? front++ : back++, *r, bits);
    r->pending_bits = 0;
    r->carried = false;
  }
  return static_cast<int>(back);
}

// Entries that an unfinished loop did not reach come first in the next one. Events that the kernel reports
// again are left to it. The others are remembered: edges, one-shots, marks, and what the kernel reports only
// once, such as the `priority` of /proc/self/mounts.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::carry_unreached() noexcept {
  bool has_carried = false;
  for (const entry* e = state_.cursor; e != end(); ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    const event_bits found = Backend::events(*e);
    const event_bits bits = found & reportable_bits;
    if (!r.registered || bits == 0) continue;
    const bool is_repeated = is_reported_again(r) || (found & entry_is_repeated) != 0;
    constexpr event_bits reported_once = mask_bits::of(event::priority);
    const event_bits kept = is_repeated ? bits & reported_once : bits;
    if (!r.failed) r.pending_bits = static_cast<std::uint8_t>(r.pending_bits | kept);
    r.carried = has_carried = true;
  }
  if (!has_carried) return;
  record_list others;
  while (state_.self_reported) {
    record& r = state_.self_reported.pop_front();
    if (!r.carried || !r.registered) others.push_back(r);
  }
  for (const entry* e = state_.cursor; e != end(); ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    if (!r.registered || !r.carried) continue;
    r.self_reported = true;
    state_.self_reported.push_back(r);
  }
  state_.self_reported.append(others);
  add_work(self_reported_keys);
}

// Drops what was pending from the file that the number named before.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::drop_pending(record& r) noexcept {
  r.pending_bits = 0;
  r.marked = false;
  set_slow_path_mask(r);
  const entry* const first = state_.backend.entries();
  for (const entry* e = state_.cursor; e != end(); ++e)
    if (Backend::token(*e) == &r)
      state_.backend.set_entry(static_cast<std::size_t>(e - first), r, entry_is_void);
}

}  // namespace SELECTORS_NAMESPACE::detail

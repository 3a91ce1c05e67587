// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>

// Leaks and how they heal.
//
// A leak is a registration that outlived its descriptor: the program closed a number before it unregistered
// it, while a duplicate kept the file open (dup(2), a child process). Linux's epoll then goes on watching the
// file, and cannot be told to stop: it knows registrations by number and file, and the number means nothing
// any more, or another file. The node of such a key is put into quarantine instead of being reused, since the
// kernel may still report it: then it is a ghost. A number that leaked and is registered again is aliased:
// the kernel could take one registration for the other.
//
// Healing gets rid of ghosts. The epoll backend isolates them first, at a constant number of system calls
// (see epoll.hpp). A full heal replaces the kernel object, which costs a system call a key, and frees the
// quarantine. It is due when the quarantine outgrows 64 nodes and the number of keys: each leak pays for one
// key. Other backends that can leak heal after 1 + size()/8 reports of ghosts: with fewer, one program that
// duplicates a descriptor could make the selector replace its object at each wait.

namespace SELECTORS_NAMESPACE::detail {

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::note_stale(const record& r) noexcept {
  count(statistic::stale);
  if (!r.leaked) return;
  if constexpr (finds_leaks)
    add_work(leaks_suspected);
  else if (++state_.ghosts > state_.size / 8)
    add_work(heal_wanted);
}

// A fresh kernel object, where nothing is leaked. Without a descriptor to spare, the old one's.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::heal() noexcept {
  count(statistic::healed);
  if constexpr (finds_leaks) {
    const auto for_each = [this](auto visit) {
      this->for_each_record([&](record& r) { visit(r, r.armed || !r.registered); });
    };
    if (!has_work(full_heal_wanted) && state_.backend.isolate_leaks(for_each)) {
      remove_work(heal_wanted);
      for_each_record([this](record& r) {
        if (r.armed && !r.attached && !r.always_ready && !r.failed) mark_failed(r);
      });
      note_leaks();
      return {};
    }
  }
  if (state_.backend.reopen()) {
    if (const failure failed = make_room()) {
      close();
      return failed;
    }
  }
  attach_all();
  signal(has_own_work());
  return {};
}

// Gives up the kernel object first, so that there is a descriptor for the fresh one.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::make_room() noexcept {
  if constexpr (requires { state_.backend.replace(); }) {
    return state_.backend.replace();
  } else {
    state_.backend.close();
    return state_.backend.open();
  }
}

// The kernel object that knew them is gone.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::forget_leaks() noexcept {
  state_.ghosts = 0;
  remove_work(leaks_suspected | heal_wanted | full_heal_wanted);
  for (; state_.quarantine; --state_.quarantined) state_.nodes.give(&state_.quarantine.pop_front());
}

// To a kernel object that watches nothing: what was armed is armed again.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::attach_all() noexcept {
  forget_leaks();
  for_each_record([this](record& r) { attach(r); });
}

template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::attach(record& r) noexcept {
  const bool was_attached = r.attached;
  r.attached = r.leaked = r.aliased = false;
  if (!r.registered) {  // its data is being constructed
    if (was_attached) (void)state_.backend.add(r);
    return;
  }
  // A fresh kernel object reports an edge again, and so does the selector that of a file.
  if (r.always_ready && r.interest.mode == trigger::edge) r.armed = true;
  if (!r.armed) return;
  r.always_ready = false;  // unless it is, still
  if (state_.backend.add(r))
    mark_failed(r);
  else
    arm(r);
}

}  // namespace SELECTORS_NAMESPACE::detail

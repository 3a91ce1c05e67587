// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>

// Healing: how leaked registrations are removed from the kernel.
//
// A leak is a registration that outlived its descriptor: the program closed a number before it unregistered
// it, while a duplicate kept the file open (dup(2), a child process). Linux's epoll then keeps watching the
// file, and there is no call that stops it: epoll identifies a registration by number and file, and the
// number is closed or names another file. The kernel may still report the token of such a key; that report is
// a ghost. So the key's node goes into quarantine instead of being reused. A number that leaked and is
// registered again is aliased: the kernel may confuse the two registrations.
//
// Healing stops the ghosts. The epoll backend first isolates them, with a constant number of system calls
// (see epoll.hpp). A full heal replaces the kernel object, at one system call a key, and frees the
// quarantine. It is due when the quarantine exceeds the number of keys by more than 64: each leak pays for
// one key. Other backends that can leak heal after 1 + size()/8 reports of ghosts, so that a heal costs at
// most eight system calls a ghost; with a fixed number, one leaked descriptor could force a heal at each
// wait.

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

// Isolates the leaks, or makes a fresh kernel object without any. If no descriptor is free, it takes the old
// one's.
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

// Closes the kernel object first, so that its descriptor is free for the fresh one.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::make_room() noexcept {
  if constexpr (requires { state_.backend.replace(); }) {
    return state_.backend.replace();
  } else {
    state_.backend.close();
    return state_.backend.open();
  }
}

// If others watch the kernel object itself, empties it instead of replacing it, unless it may still report
// ghosts.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::empty_kernel_object() noexcept {
  if constexpr (requires { state_.backend.remove_all([](auto) {}); }) {
    bool has_leaks = static_cast<bool>(state_.quarantine);
    for_each_record([&](record& r) { has_leaks = has_leaks || r.leaked; });
    return !has_leaks && state_.backend.remove_all([this](auto visit) { this->for_each_record(visit); });
  }
  return false;
}

// The kernel object that had the leaked registrations is closed.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::forget_leaks() noexcept {
  state_.ghosts = 0;
  remove_work(leaks_suspected | heal_wanted | full_heal_wanted);
  for (; state_.quarantine; --state_.quarantined) state_.nodes.give(&state_.quarantine.pop_front());
}

// Registers all keys with a fresh kernel object: what was armed is armed again.
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
  if (!r.armed) return;
  r.always_ready = false;  // unless it is, still
  if (state_.backend.add(r))
    mark_failed(r);
  else
    arm(r);
}

}  // namespace SELECTORS_NAMESPACE::detail

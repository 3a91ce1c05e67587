// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/core/core.hpp>

namespace selectors::detail {

// ---- healing ----------------------------------------------------------------------------------------------

template <selector_backend Backend>
void core<Backend>::note_ghost(const record& r) noexcept {
  if ((r.leaked || r.maybe_aliased) && ++state_.ghosts > state_.size / 8) state_.pending_work |= heal_wanted;
}

// A fresh kernel object, where nothing is leaked. Without a descriptor to spare, the old one's.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::heal() noexcept {
  count(statistic::healed);
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
  state_.pending_work &= static_cast<std::uint8_t>(~heal_wanted);
  for (; state_.quarantine; --state_.quarantined) state_.nodes.give(&state_.quarantine.pop());
}

// To a kernel object that watches nothing: what was armed is armed again.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::attach_all() noexcept {
  forget_leaks();
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) {
    record& r = keys().at(i);
    r.attached = r.leaked = r.maybe_aliased = false;
    // An edge is told again by a fresh kernel object, so that of a file is, too.
    if (r.always_ready && r.interest.mode == trigger::edge) r.armed = true;
    if (!r.armed) continue;
    r.always_ready = false;  // unless it is, still
    if (state_.backend.add(r))
      mark_failed(r);
    else
      arm(r);
  }
}

}  // namespace selectors::detail

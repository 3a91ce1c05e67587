// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/core/core.hpp>
#include <selectors/detail/chrono.hpp>

#include <cerrno>
#include <utility>

// Waiting, and the loop over what a wait found.

namespace SELECTORS_NAMESPACE::detail {

// When a wait must end. Constructed with `forever`, it never reads the clock: where no stale report can end a
// wait early, the kernel alone keeps the timeout.
class deadline {
 public:
  explicit deadline(nanoseconds timeout) noexcept : left_(timeout) {
    if (is_finite()) end_ = clock::now() + left_;
  }
  nanoseconds left() noexcept {
    if (is_finite()) {
      const auto now = clock::now();
      left_ = now < end_ ? std::chrono::duration_cast<nanoseconds>(end_ - now) : nanoseconds::zero();
    }
    return left_;
  }

 private:
  using clock = std::chrono::steady_clock;
  // Half of the clock's range is 146 years.
  bool is_finite() const noexcept { return left_ > nanoseconds::zero() && left_ < forever / 2; }

  nanoseconds left_;
  clock::time_point end_{};
};

// ---- waiting ----------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_ALWAYS_INLINE selected core<Backend>::select(nanoseconds timeout) noexcept {
  if (!state_.gate.is_current() || state_.cursor != nullptr) [[unlikely]]
    return select_slow(timeout);
  const int found = state_.backend.wait(timeout);
  if (found > 0) [[likely]] {
    const entry* const first = state_.backend.entries();
    auto* const r = static_cast<record*>(Backend::token(*first));
    const event_bits bits = Backend::bits(*first);
    if (!r->needs_slow_path(bits)) [[likely]] {
      state_.cursor = first;
      state_.end = first + found;
      return {outcome::ready, {r, bits}};
    }
  }
  return finish_wait(found, timeout);
}

// A wait with a timeout reads the clock if a leaked registration may end it early.
template <selector_backend Backend>
inline selected core<Backend>::select_for(nanoseconds timeout) noexcept {
  if (may_have_leaks() && timeout != nanoseconds::zero()) [[unlikely]]
    add_work(leaks_suspected);
  return select(timeout);
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::fail(failure why) noexcept {
  why_ = why;
  return outcome::failed;
}

// After the wait of the fast path: sets up the loop over what it found. If all of that is stale, waits for
// the rest of the timeout.
template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::finish_wait(int found, nanoseconds timeout) noexcept {
  if (found <= 0) {
    state_.cursor = nullptr;
    if (found == 0) return outcome::timed_out;
    return errno == EINTR ? outcome::interrupted : fail(failure::system(Backend::wait_call, errno));
  }
  state_.cursor = state_.backend.entries();
  state_.end = state_.cursor + found;
  if (has_next()) return outcome::ready;
  add_work(leaks_suspected);
  if (begin_loop(gather(found))) return outcome::ready;
  return timeout == nanoseconds::zero() && !has_work(heal_wanted) ? outcome::timed_out : wait_slow(timeout);
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::select_slow(nanoseconds timeout) noexcept {
  if (!is_of_this_process()) return fail(usable());
  carry_unreached();
  end_loop();
  destroy_retired();
  return wait_slow(timeout);
}

// Waits until there is something to report: a wait that only stale reports ended is continued. If the
// selector itself has something to report, this does not block, and a signal does not count as an
// interruption.
template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::wait_slow(nanoseconds timeout) noexcept {
  bool reads_clock = has_work(leaks_suspected | heal_wanted);
  deadline end(reads_clock ? timeout : forever);
  nanoseconds left = timeout;
  bool has_healed = false;
  for (;;) {
    if (has_work(heal_wanted))
      if (const failure failed = heal()) return fail(failed);
    const bool is_ready = prune_self_reported();
    if (!is_ready) signal(false);  // it would end the wait, where what is waited for is what others watch
    int found = state_.backend.wait(is_ready ? nanoseconds::zero() : left);
    if (found < 0 && is_ready && errno == EINTR) found = 0;
    if (found < 0) {
      const int error = errno;
      signal(has_own_work());
      return error == EINTR ? outcome::interrupted : fail(failure::system(Backend::wait_call, error));
    }
    if (begin_loop(gather(found))) return outcome::ready;
    if (found == 0 || left == nanoseconds::zero()) {
      // A leak that was found must not keep the native handle readable after this select.
      left = nanoseconds::zero();
      if (has_work(heal_wanted) && !std::exchange(has_healed, true)) continue;
      signal(has_own_work());
      return outcome::timed_out;
    }
    if (!std::exchange(reads_clock, true)) {
      add_work(leaks_suspected);
      end = deadline(left);
    }
    left = end.left();
  }
}

// Removes ghosts from what a wait found, and adds what the selector itself reports.
template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::gather(int found) noexcept {
  if constexpr (finds_leaks) {
    if (may_have_leaks() || has_work(leaks_suspected)) {
      found = state_.backend.drop_leaked(found, [this] { count(statistic::stale); });
      if (state_.backend.wants_isolation()) add_work(heal_wanted);
      if (state_.backend.wants_full_heal()) add_work(heal_wanted | full_heal_wanted);
      if (!state_.backend.has_leaks()) remove_work(leaks_suspected);
    }
  }
  return merge_self_reported(found);
}

// Sets up the loop over what was found; false if there is nothing to report in it.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::begin_loop(int found) noexcept {
  state_.cursor = state_.backend.entries();
  state_.end = state_.cursor + found;
  if (has_next()) {
    if (has_work(watched_from_outside)) watch_loop(found);
    return true;
  }
  for (const entry* e = state_.cursor; e != state_.end; ++e)
    note_stale(*static_cast<record*>(Backend::token(*e)));
  state_.cursor = nullptr;
  return false;
}

// ---- the loop ---------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE bool core<Backend>::has_next() const noexcept {
  for (const entry* e = state_.cursor; e != end(); ++e)
    if (peek(*static_cast<const record*>(Backend::token(*e)), Backend::events(*e)) != 0) return true;
  return false;
}

// The slow path from the entry at the cursor: an error, a one-shot, events no longer requested, or the mark
// at the end of a loop that is watched from outside. At the end the cursor is null.
template <selector_backend Backend>
SELECTORS_COLD loop_step<typename Backend::entry> core<Backend>::next_slow() noexcept {
  while (state_.cursor != end()) {
    const entry& e = *state_.cursor;
    record& r = *static_cast<record*>(Backend::token(e));
    if (r.handle == invalid_handle) [[unlikely]] {
      finish_loop();
      signal(has_own_work());
      return {};
    }
    ++state_.cursor;
    const event_bits events = deliver(r, Backend::events(e));
    if (events != 0) return {{&r, events}, state_.cursor, state_.end, epoch_};
  }
  finish_loop();
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD loop_step<typename Backend::entry> core<Backend>::next_after(std::uint64_t epoch) noexcept {
  return is_running(epoch) ? next_slow() : loop_step<entry>();
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::peek(const record& r, event_bits bits) noexcept {
  if (!r.armed || !(r.attached || r.always_ready || r.failed)) return 0;
  if (r.failed || (bits & descriptor_closed) != 0) return mask_bits::of(r.interest.events | event::error);
  return filtered(bits, r.interest.events);
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::deliver(record& r, event_bits bits) noexcept {
  if (r.always_ready && !Backend::is_open(r.handle)) bits = descriptor_closed;
  const event_bits reported = peek(r, bits);
  if (reported == 0) {
    note_stale(r);
    return 0;
  }
  count(statistic::reached);
  const bool was_marked = r.marked && r.pending_bits == 0;  // else the mark is for the next select
  if (was_marked) r.marked = false;
  if (r.failed || (bits & descriptor_closed) != 0) {
    detach(r);
    r.always_ready = false;
  } else if (r.interest.mode == trigger::oneshot) {
    // Marked ready by the program, a one-shot is still armed in the kernel.
    if (Backend::disarms_oneshot && !was_marked)
      r.armed = false;
    else
      detach(r);
  } else {
    if (r.interest.mode == trigger::edge) r.exhausted = r.always_ready;
    if (was_marked) set_slow_path_mask(r);
  }
  return reported;
}

// A loop of a selector whose native handle is watched: the handle must stay readable while there are
// unreached entries that the kernel does not report again, or reports again only to a level-triggered
// watcher. A mark at the end of the loop calls `signal` when that is over.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::watch_loop(int found) noexcept {
  static constinit record end_of_loop;
  const record& first = *static_cast<const record*>(Backend::token(*state_.cursor));
  constexpr event_bits repeated = mask_bits::of(event::read | event::write);
  const bool is_repeated =
      found == 1 && is_reported_again(first) && (Backend::events(*state_.cursor) & ~repeated) == 0;
  if constexpr (has_front)
    if (!is_repeated) state_.backend.signal_again();
  state_.backend.set_entry(static_cast<std::size_t>(found), end_of_loop, entry_is_void);
  ++state_.end;
}

}  // namespace SELECTORS_NAMESPACE::detail

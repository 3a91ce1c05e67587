// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "world.hpp"

#include <selectors/selectors.hpp>

#include <poll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

namespace fuzz {

using namespace std::chrono_literals;

// Thrown when a selector breaks a promise, or backends differ.
struct difference : std::logic_error {
  using std::logic_error::logic_error;
};

inline void require(bool holds, const std::string& what) {
  if (!holds) throw difference(what);
}

// Computes what a selector must report, by its promises, from what poll(2) reports.
template <class Backend>
class oracle {
  using event = selectors::event;
  using event_mask = selectors::event_mask;

 public:
  bool has(std::size_t slot) const { return keys_[slot].has_value(); }
  event_mask events(std::size_t slot) const { return keys_[slot]->what.events; }
  std::size_t size() const {
    std::size_t count = 0;
    for (const auto& one : keys_) count += one.has_value();
    return count;
  }

  // ---- changes --------------------------------------------------------------------------------------------

  // register_ or modify was called, with this result.
  void asked(std::size_t slot, selectors::any_interest what, bool is_new, std::error_code error,
             const world& now) {
    if (is_refused_terminal(slot, what, error, now)) return;
    const std::error_code promised = refusal(slot, what, is_new, now);
    if (is_displaced(slot, now) && !is_new) {
      // The number was closed since: the kernel may have forgotten it, or refuse the file that has it now.
      require(!error || error == std::errc::bad_file_descriptor ||
                  error == std::errc::no_such_file_or_directory ||
                  error == std::errc::operation_not_permitted ||
                  (Backend::name == "kqueue" && error == std::errc::invalid_argument),
              "modify of a closed descriptor: " + error.message());
    } else {
      require(error == promised,
              (is_new ? "register_: " : "modify: ") + error.message() + " instead of " + promised.message());
    }
    if (error) return;
    if (is_new) keys_[slot].emplace();
    key& one = *keys_[slot];
    const bool was_displaced = !is_new && is_displaced(slot, now);
    one.what = what;
    one.is_owed = false;
    one.is_armed = one.is_fresh = !what.events.empty();
    one.is_refused = false;
    if (was_displaced)
      one.is_uncertain = true;
    else
      one.identity = what.events.empty() ? 0 : identity(now, slot);
  }
  void forget(std::size_t slot) { keys_[slot].reset(); }

  // watch was called: whatever was known of the number before, it is what it means now.
  void watched(std::size_t slot, selectors::any_interest what, std::error_code error, const world& now) {
    if (!has(slot)) return asked(slot, what, true, error, now);
    if (is_refused_terminal(slot, what, error, now)) return;
    std::error_code promised;
    if (!now.is_open(slot) && !what.events.empty()) promised = {EBADF, std::system_category()};
    require(error == promised, "watch: " + error.message() + " instead of " + promised.message());
    if (error) return;
    key fresh;
    fresh.what = what;
    fresh.is_armed = fresh.is_fresh = !what.events.empty();
    fresh.identity = what.events.empty() ? 0 : identity(now, slot);
    fresh.is_old = keys_[slot]->is_old;
    keys_[slot] = fresh;
  }

  // mark_ready was called, in a loop or not.
  void marked(std::size_t slot, event_mask events, std::error_code error) {
    const std::error_code promised =
        has(slot) ? std::error_code() : make_error_code(selectors::errc::not_registered);
    require(error == promised, "mark_ready: " + error.message() + " instead of " + promised.message());
    if (!error) keys_[slot]->new_marks |= events;
  }

  // A fresh kernel object: what is closed is refused, and what was refused before and is open again is
  // watched.
  void reopened(const world& now) {
    for (std::size_t slot = 0; slot != world::slots; ++slot) {
      if (!keys_[slot]) continue;
      if (!keys_[slot]->is_armed) continue;
      key& one = *keys_[slot];
      if (one.is_unreached && is_displaced(slot, now)) one.is_uncertain = true;
      if (one.is_uncertain) continue;
      if (now.is_open(slot)) {
        one.identity = identity(now, slot);
        one.is_fresh = true;
        one.is_refused = false;
      } else if (binds) {
        one.is_refused = true;
      }
    }
  }

  // ---- the loop -------------------------------------------------------------------------------------------

  // What poll(2) reported before and after the wait; where these differ, either may be reported.
  void look(const std::array<int, world::slots>& before, const std::array<int, world::slots>& after,
            const world& now) {
    for (std::size_t slot = 0; slot != world::slots; ++slot) {
      expectation& one = expected_[slot];
      one = {};
      if (!keys_[slot]) continue;
      const bool was_unreached = std::exchange(keys_[slot]->is_unreached, false);
      if (was_unreached && is_displaced(slot, now)) keys_[slot]->is_uncertain = true;
      const event_mask marks = take_marks(*keys_[slot]);
      const bool is_known =
          !is_displaced(slot, now) && !keys_[slot]->is_uncertain && !is_odd_terminal(slot, now);
      // What was not reached may be remembered, and an edge that was reported is not, though it is marked.
      const bool is_remembered = was_unreached || (keys_[slot]->what.mode == selectors::trigger::edge &&
                                                   !keys_[slot]->is_fresh && !marks.empty());
      one.is_certain = before[slot] == after[slot] && is_known && !is_remembered;
      one.may = expected(slot, before[slot]) | expected(slot, after[slot]) | marks;
      const bool must = keys_[slot]->what.mode != selectors::trigger::edge || keys_[slot]->is_fresh;
      one.must = must && one.is_certain && !one.may.empty();
      const bool is_closed = ((before[slot] | after[slot]) & POLLNVAL) != 0;
      if (is_known && !is_closed && !marks.empty()) one.must = true;
      if (std::exchange(keys_[slot]->is_owed, false) && is_known && keys_[slot]->is_armed) one.must = true;
      one.is_clean =
          ((before[slot] | after[slot]) & (POLLERR | POLLHUP | POLLNVAL)) == 0 && !keys_[slot]->is_refused;
      one.is_closed = (after[slot] & POLLNVAL) != 0;
      keys_[slot]->is_old = true;
    }
  }

  void told(std::size_t slot, event_mask events) {
    expectation& one = expected_[slot];
    require(has(slot), "told of what is not registered");
    require(!one.is_told, "told twice");
    require(!one.is_new, "told of what was registered after the wait");
    one.is_told = true;
    key& k = *keys_[slot];
    k.marks = {};
    const event_mask asked = k.what.events;
    const event_mask detail = events - (event::read | event::write | event::priority);
    const event_mask raised = events - detail;
    const std::string text = " (" + to_string(events) + ", asked for " + to_string(asked) + ", expected " +
                             to_string(one.may) + ", slot " + std::to_string(slot) + ")";
    require(!events.empty(), "told of nothing" + text);
    require((raised - asked).empty(), "told what was not asked for" + text);
    require(!detail.contains(event::read_hangup) || asked.contains(event::read),
            "read_hangup unasked" + text);
    if (one.is_certain && !one.is_touched) {
      require(k.is_armed, "told while silent" + text);
      require(raised == one.may, "told something else" + text);
    }
    if (k.what.mode == selectors::trigger::oneshot) k.is_armed = false;
    k.is_fresh = false;
    if (!events.contains(event::error)) return;
    // A closed or refused handle is silent until modify.
    if (k.is_refused || (one.is_closed && one.is_certain))
      k.is_armed = k.is_refused = false;
    else if (!one.is_certain || one.is_touched)
      k.is_uncertain = true;
  }

  // Whether every backend must report the same of it.
  bool is_comparable(std::size_t slot) const {
    return expected_[slot].is_certain && expected_[slot].is_clean;
  }

  // The loop has registered, modified or unregistered it.
  void touch(std::size_t slot) {
    expected_[slot].is_touched = true;
    if (has(slot) && !keys_[slot]->is_old) expected_[slot].is_new = true;
  }

  // Unreached entries are re-armed by the next select or reopen, and reported as errors if the kernel
  // refuses.
  void loop_left() {
    for (std::size_t slot = 0; slot != world::slots; ++slot) {
      if (!keys_[slot]) continue;
      key& one = *keys_[slot];
      one.is_unreached = true;
      // What the kernel does not report again is remembered.
      one.is_owed = expected_[slot].must && !expected_[slot].is_told && !expected_[slot].is_touched &&
                    Backend::disarms_oneshot && one.what.mode != selectors::trigger::level;
    }
  }

  void loop_ended() {
    for (std::size_t slot = 0; slot != world::slots; ++slot) {
      if (keys_[slot]) keys_[slot]->marks = {};
      const expectation& one = expected_[slot];
      require(!one.must || one.is_touched || one.is_told,
              "not told: " + to_string(one.may) + " of slot " + std::to_string(slot));
    }
  }

 private:
  // Whether the kernel watches the file that a number named when it was added, rather than the number.
  static constexpr bool binds = Backend::refuses_closed;
  // And whether it forgets that file when the number is closed, though a duplicate is open.
  static constexpr bool forgets = Backend::name == "kqueue" && SELECTORS_HAS_KERNEL_KQUEUE;
  static int identity(const world& now, std::size_t slot) {
    return forgets ? now.incarnation(slot) : now.identity(slot);
  }

  struct key {
    selectors::any_interest what;
    int identity = 0;           // to which it was added; 0 while it is paused
    bool is_armed = false;      // neither paused nor silenced
    bool is_fresh = false;      // an edge that must be reported
    bool is_refused = false;    // to be reported as an error
    bool is_uncertain = false;  // changed while it was displaced
    bool is_old = false;
    bool is_unreached = false;  // by a loop that was left early
    bool is_owed = false;       // and must be reported by the next
    event_mask marks;           // by mark_ready, and not reached since
    event_mask new_marks;       // for the next select
  };

  // Those that the next select reports; the others are dropped by it.
  static event_mask take_marks(key& one) {
    one.marks |= std::exchange(one.new_marks, event_mask());
    if (!one.is_armed || (one.marks & one.what.events).empty()) one.marks = {};
    return one.marks & one.what.events;
  }
  struct expectation {
    event_mask may;
    bool is_certain = false;
    bool must = false;
    bool is_clean = false;  // no error, and no hangup
    bool is_closed = false;
    bool is_told = false;
    bool is_touched = false;
    bool is_new = false;
  };

  // Its number was closed, and perhaps reused, since it was added.
  bool is_displaced(std::size_t slot, const world& now) const {
    if (!binds || !keys_[slot] || keys_[slot]->is_refused) return false;
    const key& one = *keys_[slot];
    return one.is_uncertain || (one.identity != 0 && one.identity != identity(now, slot));
  }

  // NetBSD's kqueue never reports the end of a terminal, and macOS's does not take every terminal.
  static bool is_odd_terminal(std::size_t slot, const world& now) {
    return Backend::name == "kqueue" && now.is_terminal(slot);
  }
  // macOS: a terminal that the kqueue refuses is watched by select(2), which has no edges.
  static bool is_refused_terminal(std::size_t slot, selectors::any_interest what, std::error_code error,
                                  const world& now) {
    return what.mode == selectors::trigger::edge && error == std::errc::invalid_argument &&
           is_odd_terminal(slot, now);
  }

  std::error_code refusal(std::size_t slot, selectors::any_interest what, bool is_new,
                          const world& now) const {
    if (is_new && has(slot)) return make_error_code(selectors::errc::already_registered);
    if (!is_new && !has(slot)) return make_error_code(selectors::errc::not_registered);
    if (!now.is_open(slot) && (is_new || (binds && !what.events.empty())))
      return {EBADF, std::system_category()};
    return {};
  }

  event_mask expected(std::size_t slot, int seen) const {
    const key& one = *keys_[slot];
    if (!one.is_armed) return {};
    if (one.is_refused || (seen & POLLNVAL) != 0) return one.what.events;
    event_mask ready;
    if (Backend::name == "select") {  // select(2) reports a failure as readiness alone
      if ((seen & (POLLIN | POLLHUP | POLLERR)) != 0) ready |= event::read;
      if ((seen & (POLLOUT | POLLERR)) != 0) ready |= event::write;
      if ((seen & POLLPRI) != 0) ready |= event::priority;
    } else {
      if ((seen & POLLIN) != 0) ready |= event::read;
      if ((seen & POLLOUT) != 0) ready |= event::write;
      if ((seen & POLLPRI) != 0) ready |= event::priority;
      if ((seen & (POLLERR | POLLHUP)) != 0) ready |= event::read | event::write | event::priority;
    }
    return ready & one.what.events;
  }

  std::array<std::optional<key>, world::slots> keys_;
  std::array<expectation, world::slots> expected_;
};

}  // namespace fuzz

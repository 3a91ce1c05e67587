// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/detail/fork.hpp>
#include <selectors/detail/handle_table.hpp>
#include <selectors/detail/platform.hpp>
#include <selectors/detail/pool.hpp>
#include <selectors/detail/record.hpp>
#include <selectors/detail/timeout.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace selectors::detail {

// What a record's node is in truth: a key with data of some type.
struct node_type {
  pool::layout layout;
  record* (*create)(void* memory) noexcept;  // a key without its data
  void (*destroy_data)(record& key) noexcept;
};

// A handle that a call names, and the record it means; null if none.
struct target {
  native_handle_type handle;
  record* found;

  failure missing() const noexcept { return handle < 0 ? errc::invalid_handle : errc::not_registered; }
};

// What a step of a loop arrives at; null at the end.
struct reached {
  record* found = nullptr;
  event_bits events = 0;
};

enum class outcome : std::uint8_t { ready, timed_out, interrupted, failed };

// Everything of a selector that does not depend on the type of its data: the keys, the rules of what is
// reported, and the loop. It never throws.
template <selector_backend Backend>
class core {
 public:
  using entry = typename Backend::entry;

  explicit core(const node_type& type) noexcept : type_(&type) {}
  core(core&& other) noexcept : type_(other.type_), state_(std::exchange(other.state_, state{})) {
    ++other.epoch_;
  }
  core& operator=(core&& other) noexcept;
  ~core();

  failure open() noexcept;
  failure reopen() noexcept;
  void close() noexcept;
  void clear() noexcept;

  // A new record for `handle`, whose data the caller constructs next, or takes back with `withdraw`.
  failure add(native_handle_type handle, any_interest what, record*& added) noexcept;
  void withdraw(record& r) noexcept;
  failure modify(target which, any_interest what) noexcept;
  failure remove(target which) noexcept;

  // A loop over what it found is valid as long as `epoch` stays what it was afterwards. `why` tells why it
  // failed.
  outcome select(nanoseconds timeout) noexcept;
  failure why() const noexcept { return why_; }
  outcome refuse_timeout() noexcept {
    return fail(is_of_this_process() ? failure(errc::invalid_timeout) : usable());
  }
  std::uint64_t epoch() const noexcept { return epoch_; }
  bool has_next() const noexcept;
  reached next() noexcept;

  const handle_table& keys() const noexcept { return state_.keys; }
  std::size_t size() const noexcept { return state_.size; }
  bool is_open() const noexcept { return state_.stamp != closed_stamp; }
  native_handle_type native_handle() const noexcept { return state_.backend.native_handle(); }

  // Closed or forked: refused before all else.
  failure usable() const noexcept {
    if (is_of_this_process()) [[likely]]
      return {};
    return is_open() ? errc::forked : errc::closed;
  }

 private:
  static constexpr std::uint32_t closed_stamp = 0;

  // What makes a select look around before and after it waits.
  enum chore : std::uint8_t { retired_keys = 1, listed_keys = 2, heal_wanted = 4 };

  // All of it moves when the selector is moved; what outstanding loops and references to the selector need
  // does not.
  struct state {
    Backend backend;
    handle_table keys;
    pool nodes;
    const entry* cursor = nullptr;  // what the loop reaches next
    const entry* end = nullptr;
    record_list retired;     // unregistered; their data lives until the next select
    record_list listed;      // reported by the selector itself; also the retired among them, until swept
    record_list quarantine;  // destroyed, but the kernel may still name them
    std::size_t size = 0;
    std::size_t quarantined = 0;
    std::size_t ghosts = 0;              // reports of what is leaked, since the last heal
    std::size_t room = 0;                // for entries
    std::uint32_t stamp = closed_stamp;  // the process it belongs to, by `forks`
    std::uint8_t chores = 0;
    bool leaky = false;      // something is leaked
    bool left_over = false;  // came here by being assigned over
  };

  bool is_of_this_process() const noexcept { return state_.stamp == forks.load(std::memory_order_relaxed); }
  void end_loop() noexcept {
    ++epoch_;
    state_.cursor = state_.end = nullptr;
  }

  static bool is_askable(any_interest what) noexcept {
    const event_bits bits = mask_bits::of(what.events);
    return (bits & ~askable_bits) == 0 && !(what.exclusive && what.events.contains(event::priority));
  }

  // Whether and as what an entry is told, were it reached now; nothing is changed.
  static event_bits peek(const record& r, event_bits bits) noexcept;
  event_bits reach(record& r, event_bits bits) noexcept;

  failure reserve(native_handle_type handle) noexcept;
  failure change(record& r, any_interest what) noexcept;
  void arm(record& r) noexcept;
  void refuse(record& r) noexcept;
  void detach(record& r) noexcept;
  void retire(record& r) noexcept;
  void retire_all() noexcept;
  void list(record& r) noexcept;
  void unlist(record& r) noexcept;
  // A file has nothing exceptional to read, ever.
  static bool has_news(const record& r) noexcept { return r.refused || r.interest.events != event::priority; }
  bool sweep_listed() noexcept;
  void destroy_retired() noexcept;
  void recycle(record& r) noexcept;
  void note_ghost(const record& r) noexcept;
  failure heal() noexcept;
  void forget_leaks() noexcept;
  void attach_all() noexcept;
  void arm_unreached() noexcept;
  int put_listed(int count) noexcept;
  outcome select_with_care(nanoseconds timeout) noexcept;
  outcome fail(failure why) noexcept;
  outcome settle(int count, nanoseconds timeout) noexcept;
  reached next_with_care() noexcept;

  const node_type* type_;
  failure why_;
  std::uint64_t epoch_ = 0;  // ends outstanding loops; stays with the object, and only grows
  state state_;
};

// ---- opening and closing
// ---------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::open() noexcept {
  if (const failure failed = count_forks()) return failed;
  if (const failure failed = state_.backend.open()) return failed;
  state_.stamp = forks.load(std::memory_order_relaxed);
  return {};
}

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::reopen() noexcept {
  if (is_of_this_process()) arm_unreached();  // or it is lost if this fails
  end_loop();
  destroy_retired();
  state_.left_over = false;
  if (!is_open()) return open();
  if (const failure failed = state_.backend.reopen()) return failed;
  state_.stamp = forks.load(std::memory_order_relaxed);
  attach_all();
  return {};
}

template <selector_backend Backend>
SELECTORS_APART void core<Backend>::close() noexcept {
  end_loop();
  retire_all();
  state_.backend.close();
  forget_leaks();
  state_.stamp = closed_stamp;
}

// What was here lives on in the other, which asks for patience: a handler may be running in it. What the
// other had by an earlier assignment ends now.
template <selector_backend Backend>
core<Backend>& core<Backend>::operator=(core&& other) noexcept {
  if (this == &other) return *this;
  close();
  if (state_.left_over) destroy_retired();
  std::swap(state_, other.state_);
  other.state_.left_over = true;
  ++epoch_;
  ++other.epoch_;
  return *this;
}

template <selector_backend Backend>
core<Backend>::~core() {
  close();
  destroy_retired();
}

template <selector_backend Backend>
SELECTORS_APART void core<Backend>::clear() noexcept {
  end_loop();
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) {
    detach(keys().at(i));
    retire(keys().at(i));
  }
}

// ---- registering
// -----------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::reserve(native_handle_type handle) noexcept {
  if (!state_.nodes.reserve_one(type_->layout) || !state_.keys.reserve(handle)) return failure::memory();
  // The entries may move while a loop goes over them.
  const auto reached = state_.cursor - state_.backend.entries();
  const auto left = state_.end - state_.cursor;
  const std::size_t count = state_.nodes.taken() + 1;
  const failure failed = state_.backend.reserve(count, handle);
  if (!failed && state_.room < count) state_.room = count;
  if (left != 0) {
    state_.cursor = state_.backend.entries() + reached;
    state_.end = state_.cursor + left;
  }
  return failed;
}

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::add(native_handle_type handle, any_interest what,
                                           record*& added) noexcept {
  if (const failure refused = usable()) return refused;
  if (handle < 0) return errc::invalid_handle;
  if (keys().find(handle) != nullptr) return errc::already_registered;
  if (!is_askable(what)) return errc::invalid_events;
  if (!Backend::refuses_closed || what.events.empty())
    if (!Backend::is_open(handle)) return failure::system("fcntl", EBADF);
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
  if (r->interest == what && what.mode == trigger::level && r->armed && !r->refused) return {};
  return change(*r, what);
}

template <selector_backend Backend>
SELECTORS_APART failure core<Backend>::change(record& r, any_interest what) noexcept {
  if (what.events.empty()) {
    detach(r);
    r.interest = what;
    r.always_ready = false;
    arm(r);
    return {};
  }
  const any_interest was = std::exchange(r.interest, what);
  const bool was_always_ready = r.always_ready;
  failure failed;
  if (r.attached) {
    failed = state_.backend.modify(r, was);
    if (failed && !r.attached) refuse(r);
  } else if (!r.leaked) {
    failed = state_.backend.add(r);
    r.suspect = state_.leaky;
  } else if (Backend::is_open(r.handle)) {
    // Added now, it might be reported twice: by what the kernel kept of it too. Healing adds it.
    state_.chores |= heal_wanted;
  } else {
    failed = failure::system("fcntl", EBADF);
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
  const bool is_fast = r.attached && r.interest.mode != trigger::oneshot;
  r.fast = is_fast ? static_cast<std::uint8_t>(reportable(r.interest.events)) : std::uint8_t{0};
  if (r.armed && r.always_ready) list(r);
}

// The kernel holds it no more: told once, by the next select.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::refuse(record& r) noexcept {
  r.armed = r.refused = true;
  r.always_ready = false;
  r.fast = 0;
  list(r);
}

// Takes it from the kernel. In a child process the kernel's object is still the parent's, and not touched.
template <selector_backend Backend>
SELECTORS_APART void core<Backend>::detach(record& r) noexcept {
  r.fast = 0;
  r.armed = r.refused = false;
  if (!r.attached) return;
  if (!is_of_this_process()) {
    r.attached = false;
  } else if (!state_.backend.remove(r) || r.suspect) {
    r.leaked = true;
    state_.leaky = true;
  }
}

// ---- retired keys
// ----------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_APART void core<Backend>::retire(record& r) noexcept {
  state_.keys.set(r.handle, nullptr);
  --state_.size;
  r.registered = r.armed = false;
  r.fast = 0;
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

// ---- what the selector reports itself
// --------------------------------------------------------------------------

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
  r.listed = false;
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

template <selector_backend Backend>
SELECTORS_COLD int core<Backend>::put_listed(int count) noexcept {
  constexpr event_bits both = mask_bits::of(event::read | event::write);
  auto i = static_cast<std::size_t>(count);
  for (record* r = state_.listed.first(); r != nullptr && i != state_.room; r = r->next)
    if (has_news(*r)) state_.backend.put(i++, *r, r->refused ? descriptor_closed : both);
  return static_cast<int>(i);
}

// ---- healing
// ---------------------------------------------------------------------------------------------------

template <selector_backend Backend>
void core<Backend>::note_ghost(const record& r) noexcept {
  if (r.leaked && ++state_.ghosts > state_.size / 8) state_.chores |= heal_wanted;
}

// A fresh kernel object, where nothing is leaked. Without a descriptor to spare, the old one's.
template <selector_backend Backend>
SELECTORS_COLD failure core<Backend>::heal() noexcept {
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
  state_.chores &= static_cast<std::uint8_t>(~heal_wanted);
  for (; state_.quarantine; --state_.quarantined) state_.nodes.give(&state_.quarantine.pop());
}

// To a kernel object that watches nothing: what was armed is armed again.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::attach_all() noexcept {
  forget_leaks();
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) {
    record& r = keys().at(i);
    r.attached = r.leaked = r.suspect = false;
    if (!r.armed || r.refused) continue;
    if (state_.backend.add(r))
      refuse(r);
    else
      arm(r);
  }
}

// ---- the loop
// --------------------------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_HOT outcome core<Backend>::select(nanoseconds timeout) noexcept {
  if (!is_of_this_process()) [[unlikely]]
    return fail(usable());
  ++epoch_;
  if (state_.chores != 0 || state_.cursor != state_.end) [[unlikely]]
    return select_with_care(timeout);
  const int count = state_.backend.wait(timeout);
  if (count > 0) [[likely]] {
    const entry* const first = state_.backend.entries();
    state_.cursor = first;
    state_.end = first + count;
    if ((Backend::bits(*first) & static_cast<record*>(Backend::token(*first))->fast) != 0) [[likely]]
      return outcome::ready;
  }
  return settle(count, timeout);
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::fail(failure why) noexcept {
  why_ = why;
  return outcome::failed;
}

template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::select_with_care(nanoseconds timeout) noexcept {
  arm_unreached();
  state_.cursor = state_.end = nullptr;
  destroy_retired();
  if ((state_.chores & heal_wanted) != 0) {
    if (const failure failed = heal()) return fail(failed);
  }
  const bool ready = sweep_listed();
  int count = state_.backend.wait(ready ? nanoseconds::zero() : timeout);
  if (count < 0 && errno == EINTR && ready) count = 0;
  return settle(count, timeout);
}

// After a wait: is there anything to report? If only what is stale ended it, it was too short.
template <selector_backend Backend>
SELECTORS_COLD outcome core<Backend>::settle(int count, nanoseconds timeout) noexcept {
  for (;;) {
    state_.cursor = state_.end = nullptr;
    if (count < 0)
      return errno == EINTR ? outcome::interrupted : fail(failure::system(Backend::wait_call, errno));
    count = put_listed(count);
    if (count == 0) return outcome::timed_out;
    const entry* const first = state_.backend.entries();
    state_.cursor = first;
    state_.end = first + count;
    if (has_next()) return outcome::ready;

    for (const entry* e = first; e != state_.end; ++e) note_ghost(*static_cast<record*>(Backend::token(*e)));
    state_.cursor = state_.end = nullptr;
    if ((state_.chores & heal_wanted) != 0) {
      if (const failure failed = heal()) return fail(failed);
    }
    count = state_.backend.wait(timeout);
  }
}

// What an unfinished loop did not reach, and the kernel will not tell again by itself.
template <selector_backend Backend>
SELECTORS_COLD void core<Backend>::arm_unreached() noexcept {
  for (const entry* e = state_.cursor; e != state_.end; ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    if (!r.registered || !r.armed || !r.attached || r.interest.mode == trigger::level) continue;
    if (state_.backend.modify(r, r.interest)) {
      detach(r);
      refuse(r);
    }
  }
}

template <selector_backend Backend>
SELECTORS_APART bool core<Backend>::has_next() const noexcept {
  for (const entry* e = state_.cursor; e != state_.end; ++e)
    if (peek(*static_cast<const record*>(Backend::token(*e)), Backend::events(*e)) != 0) return true;
  return false;
}

// The next entry that has something left to report.
template <selector_backend Backend>
SELECTORS_HOT reached core<Backend>::next() noexcept {
  if (state_.cursor == state_.end) return {};
  const entry& e = *state_.cursor++;
  auto* const r = static_cast<record*>(Backend::token(e));
  if (const auto bits = Backend::bits(e); bits <= askable_bits) [[likely]] {
    if (const event_bits told = bits & r->fast; told != 0) [[likely]]
      return {r, told};
  }
  return next_with_care();
}

// From the entry just passed on: one with an error, or a one-shot, or nothing to report.
template <selector_backend Backend>
SELECTORS_COLD reached core<Backend>::next_with_care() noexcept {
  for (const entry* e = state_.cursor - 1; e != state_.end; state_.cursor = ++e) {
    record& r = *static_cast<record*>(Backend::token(*e));
    const event_bits told = reach(r, Backend::events(*e));
    if (told == 0) continue;
    state_.cursor = e + 1;
    return {&r, told};
  }
  return {};
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::peek(const record& r, event_bits bits) noexcept {
  if (!r.armed || !(r.attached || r.always_ready || r.refused)) return 0;
  if (r.refused || (bits & descriptor_closed) != 0) return mask_bits::of(r.interest.events | event::error);
  return raised(bits) & reportable(r.interest.events);
}

template <selector_backend Backend>
SELECTORS_COLD event_bits core<Backend>::reach(record& r, event_bits bits) noexcept {
  if (r.always_ready && !Backend::is_open(r.handle)) bits = descriptor_closed;
  const event_bits told = peek(r, bits);
  if (told == 0) {
    note_ghost(r);
  } else if (r.refused || (bits & descriptor_closed) != 0) {
    detach(r);
    r.always_ready = false;
  } else if (r.interest.mode == trigger::oneshot || (r.always_ready && r.interest.mode == trigger::edge)) {
    if (Backend::disarms_oneshot || !r.attached)
      r.armed = false;
    else
      detach(r);
  }
  return told;
}

}  // namespace selectors::detail

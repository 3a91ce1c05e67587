// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/config.hpp>
#include <selectors/core/handle_table.hpp>
#include <selectors/detail/pool.hpp>
#include <selectors/detail/timeout.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/registration.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// A hand-made vtable of the concrete key type, of which the core knows the record alone.
struct key_vtable {
  pool::layout layout;
  record* (*create)(void* memory) noexcept;  // a key without its data
  void (*destroy_data)(record& key) noexcept;
  bool has_destructor;  // destroying the data does something
};

// A handle that a call names, and the record of its key; null if there is none.
struct lookup {
  native_handle_type handle;
  record* key_record;

  failure missing() const noexcept { return is_valid(handle) ? errc::not_registered : errc::invalid_handle; }
};

// The result of one step of the loop; null at the end.
struct reached {
  record* key_record = nullptr;
  event_bits events = 0;
};

// A step of the loop on its slow path, and where the loop goes on.
template <class Entry>
struct loop_step {
  reached result;
  const Entry* next = nullptr;
  const Entry* end = nullptr;
  std::uint64_t epoch = 0;
};

enum class outcome : std::uint8_t { ready, timed_out, interrupted, failed };

// What a select found, and its first entry if that can be reported as it is.
struct selected {
  outcome result;
  reached first;

  constexpr selected(outcome what, reached entry = {}) noexcept : result(what), first(entry) {}
};

// Everything of a selector that does not depend on the type of its data: the keys, the rules of what is
// reported, and the loop. It never throws. Interests go by reference: by value, their three bytes are stored
// in pieces and reloaded whole, which defeats the processor's store forwarding.
template <selector_backend Backend>
class core {
 public:
  using entry = typename Backend::entry;

  SELECTORS_NOINLINE explicit core(const key_vtable& type) noexcept : type_(&type) {}
  core(core&& other) noexcept : state_(std::exchange(other.state_, state{})), type_(other.type_) {
    other.end_loop();
  }
  core& operator=(core&& other) noexcept;
  ~core();

  failure open() noexcept;
  failure reopen() noexcept;
  void close() noexcept;
  void clear() noexcept;

  // Makes a record for `handle`. No look-up finds it until the caller has constructed its data and called
  // `publish`; if that fails, the caller calls `withdraw`.
  failure add(native_handle_type handle, const any_interest& what, record*& added) noexcept;
  failure publish(record& r) noexcept;
  void withdraw(record& r) noexcept;

  failure modify(lookup which, any_interest what) noexcept;
  failure watch(lookup which, const any_interest& what) noexcept;
  failure remove(lookup which) noexcept;
  failure mark_ready(lookup which, event_mask events) noexcept;

  // The results are valid while `epoch()` keeps the value that it has afterwards. `why()` is the reason of a
  // failure.
  selected select(nanoseconds timeout) noexcept;
  selected select_for(nanoseconds timeout) noexcept;
  failure why() const noexcept { return why_; }
  outcome refuse_timeout() noexcept {
    return fail(is_of_this_process() ? failure(errc::invalid_timeout) : usable());
  }
  std::uint64_t epoch() const noexcept { return epoch_; }

  // A loop keeps its position in registers, and here: the entry after the one reached last, or null.
  const entry* cursor() const noexcept { return state_.cursor; }
  const entry* end() const noexcept { return state_.cursor == nullptr ? nullptr : state_.end; }
  // Whether the loop has not reached anything yet.
  bool is_at_first() const noexcept { return state_.cursor == state_.backend.entries(); }
  void set_cursor(const entry* next) noexcept { state_.cursor = next; }
  // Whether the loop that began at `epoch` has not been ended. If the epoch has changed nevertheless, the
  // entries have moved in memory.
  bool is_running(std::uint64_t epoch) const noexcept {
    return epoch >= loop_epoch_ && state_.cursor != nullptr;
  }
  bool has_next() const noexcept;
  void count_reached() noexcept { count(statistic::reached); }
  void finish_loop() noexcept { state_.cursor = nullptr; }
  // Continues with the entry at the cursor.
  loop_step<entry> next_slow() noexcept;
  // For a loop that remembers an earlier epoch: the entries have moved, or it has ended.
  loop_step<entry> next_after(std::uint64_t epoch) noexcept;

  const handle_table& keys() const noexcept { return state_.keys; }
  std::size_t size() const noexcept { return state_.size; }
  bool is_open() const noexcept { return !state_.stamp.is_empty(); }
  Backend& backend() noexcept { return state_.backend; }
  const Backend& backend() const noexcept { return state_.backend; }
  native_handle_type native_handle(failure& why) const noexcept
    requires has_native_handle_v<Backend>;

  // The first check of a call: closed or forked.
  failure usable() const noexcept {
    if (is_of_this_process()) [[likely]]
      return {};
    return is_open() ? errc::forked : errc::closed;
  }

 private:
  // Work pending for the next select; any bit takes the slow path.
  enum work : std::uint8_t {
    retired_keys = 1,          // there are keys whose data is to be destroyed
    self_reported_keys = 2,    // the selector itself may have something to report
    leaks_suspected = 4,       // a wait may report ghosts, or a key twice
    heal_wanted = 8,           // leaked registrations are to be isolated
    full_heal_wanted = 16,     // the kernel object is to be replaced
    watched_from_outside = 32  // `native_handle` was called; stays set
  };

  // The kernel object can be nested in others, and is told when the selector itself has work to do.
  static constexpr bool has_front = requires(Backend b) { b.signal(true), b.signal_again(); };
  // The backend finds leaked registrations by itself, and isolates them.
  static constexpr bool finds_leaks = requires(Backend b) { b.has_leaks(); };

  // The part that moves when the selector is moved. The rest, which outstanding loops use, stays.
  struct state {
    Backend backend;
    handle_table keys;
    pool nodes;
    const entry* cursor = nullptr;  // the next entry of the loop; null without a loop
    record_list constructing;       // keys whose data is being constructed
    record_list retired;            // unregistered keys; their data is destroyed by the next select
    record_list self_reported;      // may contain retired keys, until pruned
    record_list quarantine;         // data destroyed, but the kernel may still report the token
    std::size_t size = 0;
    std::size_t quarantined = 0;
    std::size_t ghosts = 0;      // reports of leaked registrations since the last heal
    process_stamp stamp;         // the process that opened it; empty when closed
    const entry* end = nullptr;  // of the loop, if there is one
    process_stamp gate;          // equal to `stamp` while no work is pending, else empty: one test for both
    std::uint8_t pending_work = 0;
    bool inherited = false;  // this object was assigned from: its keys are those of the target
  };

  bool is_of_this_process() const noexcept { return state_.stamp.is_current(); }
  bool has_work(unsigned bits) const noexcept { return (state_.pending_work & bits) != 0; }
  void add_work(unsigned bits) const noexcept {
    state_.pending_work = static_cast<std::uint8_t>(state_.pending_work | bits);
    state_.gate.clear();
  }
  void remove_work(unsigned bits) noexcept {
    state_.pending_work = static_cast<std::uint8_t>(state_.pending_work & ~bits);
    set_gate();
  }
  void set_gate() noexcept {
    if (state_.pending_work == 0)
      state_.gate = state_.stamp;
    else
      state_.gate.clear();
  }
  void count([[maybe_unused]] statistic what) noexcept {
    if constexpr (requires { state_.backend.count(what); }) state_.backend.count(what);
  }
  void end_loop() noexcept {
    loop_epoch_ = ++epoch_;
    state_.cursor = nullptr;
  }

  static constexpr event_mask refused_of(event_mask events, bool exclusive) noexcept {
    constexpr event_mask both = event::read | event::write;
    return events - (exclusive ? requestable_events<Backend> & both : requestable_events<Backend>);
  }
  static constexpr bool is_requestable(const any_interest& what) noexcept {
    return refused_of(what.events, what.exclusive).empty();
  }

  // The events that a loop would report of an entry now; changes nothing.
  static event_bits peek(const record& r, event_bits bits) noexcept;
  event_bits deliver(record& r, event_bits bits) noexcept;
  // The events that the selector itself reports of a key.
  static event_bits own_bits(const record& r) noexcept;

  // Whether the kernel reports it again while it is ready if a loop did not reach it. A one-shot that
  // kqueue(2) has not disarmed is remembered nevertheless: if it were closed meanwhile, it would never be
  // reported.
  static bool is_reported_again(const record& r) noexcept {
    constexpr bool repeats_oneshot = !Backend::disarms_oneshot && !Backend::refuses_closed;
    const bool is_level =
        r.interest.mode == trigger::level || (r.interest.mode == trigger::oneshot && repeats_oneshot);
    return r.attached && is_level && !r.marked;
  }
  bool is_being_constructed(native_handle_type handle) const noexcept;
  failure reserve(native_handle_type handle) noexcept;
  failure refusal_to_modify(lookup which, event_mask events, bool exclusive) const noexcept;
  failure change_plainly(record& r, std::uint32_t mask) noexcept;
  failure change_oddly(record& r, std::uint32_t mask) noexcept;
  failure finish_plain_change(record& r, failure why) noexcept;
  failure change(record& r, any_interest what) noexcept;
  failure finish_change(record& r, const any_interest& was, failure why) noexcept;
  failure watch_anew(record& r, const any_interest& was) noexcept;
  failure pause_or_resume(record& r, const any_interest& what) noexcept;
  failure roll_back(record& r, const any_interest& was, failure why) noexcept;
  void arm(record& r) noexcept;
  void set_slow_path_mask(record& r) noexcept;
  // If the loop has not begun, makes it look at its first entry again, which `select` has passed to it.
  void forget_first() noexcept {
    if (is_at_first()) ++epoch_;
  }
  void note_repeated(record& r, trigger was) noexcept;
  void mark_failed(record& r) noexcept;
  void detach(record& r) noexcept;
  void note_leaks() noexcept;
  void note_those_leaks() noexcept;
  void retire(record& r) noexcept;
  void retire_all() noexcept;
  void destroy_retired() noexcept;
  void recycle(record& r) noexcept;

  void add_self_reported(record& r) noexcept;
  bool prune_self_reported() noexcept;
  int merge_self_reported(int found) noexcept;
  void carry_unreached() noexcept;
  void drop_pending(record& r) noexcept;
  bool has_own_work() const noexcept;
  // Not in a child process, which shares what is signalled with its parent.
  void signal([[maybe_unused]] bool is_ready) const noexcept {
    if constexpr (has_front)
      if (has_work(watched_from_outside) && is_of_this_process()) state_.backend.signal(is_ready);
  }

  // To be done by the next select, which may find something to report then.
  void want_heal(unsigned bits) noexcept {
    add_work(bits);
    signal(true);
  }
  bool may_have_leaks() const noexcept {
    if constexpr (finds_leaks)
      return state_.backend.may_have_leaks();
    else
      return static_cast<bool>(state_.quarantine);
  }
  void note_stale(const record& r) noexcept;
  failure heal() noexcept;
  failure make_room() noexcept;
  bool empty_kernel_object() noexcept;
  void forget_leaks() noexcept;
  void attach(record& r) noexcept;
  void attach_all() noexcept;
  template <class Visit>
  void for_each_record(Visit visit) noexcept {
    std::size_t position = keys().next(0);
    for (record* r = record_at(position); r != nullptr; r = record_after(position, *r)) visit(*r);
  }
  // Those that are registered, by position, and then those whose data is being constructed.
  record* record_at(std::size_t position) const noexcept {
    return position != handle_table::none ? &keys().at(position) : state_.constructing.first();
  }
  SELECTORS_COLD record* record_after(std::size_t& position, const record& r) const noexcept {
    if (position == handle_table::none) return r.next;
    position = keys().next(position + 1);
    return record_at(position);
  }

  outcome select_slow(nanoseconds timeout) noexcept;
  outcome finish_wait(int found, nanoseconds timeout) noexcept;
  outcome wait_slow(nanoseconds timeout) noexcept;
  int gather(int found) noexcept;
  bool begin_loop(int found) noexcept;
  void watch_loop(int found) noexcept;
  outcome fail(failure why) noexcept;

  mutable state state_;  // first: the backend has the address of the core. Mutable: see `native_handle`
  const key_vtable* type_;
  failure why_;
  std::uint64_t epoch_ = 0;       // outstanding loops remember it; is not moved, only grows
  std::uint64_t loop_epoch_ = 0;  // loops of earlier epochs have ended
};

// ---- opening and closing ----------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::open() noexcept {
  process_stamp own;
  if (const failure failed = own.set()) return failed;
  if (const failure failed = state_.backend.open()) return failed;
  state_.stamp = own;
  set_gate();
  return {};
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::reopen() noexcept {
  carry_unreached();  // before anything that can fail
  end_loop();
  destroy_retired();
  state_.inherited = false;
  if (!is_open()) return open();
  process_stamp own;
  if (const failure failed = own.set()) return failed;
  if (!empty_kernel_object())
    if (const failure failed = state_.backend.reopen()) return failed;
  state_.stamp = own;
  set_gate();
  attach_all();
  signal(has_own_work());
  return {};
}

template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::close() noexcept {
  end_loop();
  retire_all();
  for (record* r = state_.constructing.first(); r != nullptr; r = r->next)
    r->attached = r->always_ready = r->aliased = false;
  state_.backend.close();
  forget_leaks();
  remove_work(watched_from_outside);
  state_.stamp.clear();
  state_.gate.clear();
}

// Our former keys move into `other`, because a handler of one of them may be running. Keys that this object
// inherited by an earlier assignment are destroyed now. Loops over both objects end: `close` ends those over
// this one, and the other has no entries left.
template <selector_backend Backend>
SELECTORS_NOINLINE core<Backend>& core<Backend>::operator=(core&& other) noexcept {
  if (this == &other) return *this;
  close();
  if (state_.inherited) destroy_retired();
  std::swap(state_, other.state_);
  other.state_.inherited = true;
  other.end_loop();
  return *this;
}

template <selector_backend Backend>
SELECTORS_NOINLINE core<Backend>::~core() {
  close();
  destroy_retired();
}

template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::clear() noexcept {
  end_loop();
  for (std::size_t i = keys().next(0); i != handle_table::none; i = keys().next(i + 1)) {
    detach(keys().at(i));
    retire(keys().at(i));
  }
}

// ---- the native handle, for others to watch ---------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE native_handle_type core<Backend>::native_handle(failure& why) const noexcept
  requires has_native_handle_v<Backend>
{
  why = is_open() ? failure() : errc::closed;
  if constexpr (has_front) {
    if (why) return invalid_handle;
    if (!state_.backend.has_front()) {
      why = usable();
      if (!why) why = state_.backend.make_front();
      if (why) return invalid_handle;
    }
    add_work(watched_from_outside);
    const bool has_unreached = state_.cursor != nullptr && state_.cursor != state_.end;
    if (is_of_this_process()) signal(has_unreached || has_own_work());
  }
  // clang 14 instantiates this for every backend of an explicit instantiation, whatever the constraint.
  if constexpr (has_native_handle_v<Backend>)
    return state_.backend.native_handle();
  else
    return invalid_handle;
}

// Whether `select(0)` would report or destroy something without the kernel reporting anything.
template <selector_backend Backend>
SELECTORS_COLD bool core<Backend>::has_own_work() const noexcept {
  if (has_work(heal_wanted) || (type_->has_destructor && state_.retired)) return true;
  for (const record* r = state_.self_reported.first(); r != nullptr; r = r->next)
    if (r->registered ? peek(*r, own_bits(*r)) != 0 : type_->has_destructor) return true;
  return false;
}

}  // namespace SELECTORS_NAMESPACE::detail

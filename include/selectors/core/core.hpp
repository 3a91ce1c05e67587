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

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace selectors::detail {

// What a record's node is in truth: a key with data of some type.
struct key_vtable {
  pool::layout layout;
  record* (*create)(void* memory) noexcept;  // a key without its data
  void (*destroy_data)(record& key) noexcept;
};

// A handle that a call names, and the record it means; null if none.
struct lookup {
  native_handle_type handle;
  record* key_record;

  failure missing() const noexcept { return is_valid(handle) ? errc::not_registered : errc::invalid_handle; }
};

// What a step of a loop arrives at; nothing at the end.
struct reached {
  record* found = nullptr;
  event_bits events = 0;
};

enum class outcome : std::uint8_t { ready, timed_out, interrupted, failed };

// Everything of a selector that does not depend on the type of its data: the keys, the rules of what is
// reported, and the loop. It never throws. Interests go by reference: their three bytes would be put into a register
// through memory, in pieces that the processor has to wait for.
template <selector_backend Backend>
class core {
 public:
  using entry = typename Backend::entry;

  explicit core(const key_vtable& type) noexcept : type_(&type) {}
  core(core&& other) noexcept : type_(other.type_), state_(std::exchange(other.state_, state{})) {}
  core& operator=(core&& other) noexcept;
  ~core();

  failure open() noexcept;
  failure reopen() noexcept;
  void close() noexcept;
  void clear() noexcept;

  // A new record for `handle`, whose data the caller constructs next, or takes back with `withdraw`.
  failure add(native_handle_type handle, const any_interest& what, record*& added) noexcept;
  void withdraw(record& r) noexcept;
  failure modify(lookup which, any_interest what) noexcept;
  failure remove(lookup which) noexcept;

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
  bool is_open() const noexcept { return !state_.stamp.is_empty(); }
  Backend& backend() noexcept { return state_.backend; }
  const Backend& backend() const noexcept { return state_.backend; }

  // Closed or forked: refused before all else.
  failure usable() const noexcept {
    if (is_of_this_process()) [[likely]]
      return {};
    return is_open() ? errc::forked : errc::closed;
  }

 private:
  // What makes a select look around before and after it waits.
  enum work : std::uint8_t { retired_keys = 1, self_reported_keys = 2, heal_wanted = 4 };

  // All of it moves when the selector is moved; what outstanding loops and references to the selector need
  // does not.
  struct state {
    Backend backend;
    handle_table keys;
    pool nodes;
    const entry* cursor = nullptr;  // what the loop reaches next
    const entry* end = nullptr;
    record_list retired;        // unregistered; their data lives until the next select
    record_list self_reported;  // reported by the selector itself; also the retired among them, until swept
    record_list quarantine;     // destroyed, but the kernel may still name them
    std::size_t size = 0;
    std::size_t quarantined = 0;
    std::size_t ghosts = 0;  // reports of what is leaked, since the last heal
    process_stamp stamp;     // the process it belongs to; empty when it is closed
    std::uint8_t pending_work = 0;
    bool leaky = false;      // something is leaked
    bool inherited = false;  // came here by being assigned over
  };

  bool is_of_this_process() const noexcept { return state_.stamp.is_current(); }
  void count([[maybe_unused]] statistic what) noexcept {
    if constexpr (requires { state_.backend.count(what); }) state_.backend.count(what);
  }
  void end_loop() noexcept {
    ++epoch_;
    state_.cursor = state_.end = nullptr;
  }

  static bool is_requestable(const any_interest& what) noexcept {
    event_bits allowed = requestable_bits;
    if constexpr (requires { Backend::requestable; }) allowed = mask_bits::of(Backend::requestable);
    if (what.exclusive) allowed &= ~mask_bits::of(event::priority);
    return (mask_bits::of(what.events) & ~allowed) == 0;
  }

  // Whether and as what an entry is told, were it reached now; nothing is changed.
  static event_bits peek(const record& r, event_bits bits) noexcept;
  event_bits deliver(record& r, event_bits bits) noexcept;
  bool already_reported(record& r) noexcept;

  failure reserve(native_handle_type handle) noexcept;
  failure change(record& r, const any_interest& what) noexcept;
  failure pause_or_resume(record& r, const any_interest& what) noexcept;
  failure roll_back(record& r, const any_interest& was, failure why) noexcept;
  void arm(record& r) noexcept;
  void mark_failed(record& r) noexcept;
  void detach(record& r) noexcept;
  void retire(record& r) noexcept;
  void retire_all() noexcept;
  void add_self_reported(record& r) noexcept;
  void remove_self_reported(record& r) noexcept;
  // A file has nothing exceptional to read, ever.
  static bool can_be_ready(const record& r) noexcept {
    return r.failed || r.interest.events != event::priority;
  }
  bool prune_self_reported() noexcept;
  void destroy_retired() noexcept;
  void recycle(record& r) noexcept;
  void note_ghost(const record& r) noexcept;
  failure heal() noexcept;
  void forget_leaks() noexcept;
  void attach_all() noexcept;
  void arm_unreached() noexcept;
  int append_self_reported(int count) noexcept;
  outcome select_slow(nanoseconds timeout) noexcept;
  int wait_slow(nanoseconds timeout) noexcept;
  outcome fail(failure why) noexcept;
  outcome finish_wait(int count, nanoseconds timeout) noexcept;
  reached next_slow() noexcept;

  const key_vtable* type_;
  failure why_;
  std::uint64_t epoch_ = 0;  // ends outstanding loops; stays with the object, and only grows
  state state_;
};

// ---- opening and closing ----------------------------------------------------------------------------------

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::open() noexcept {
  process_stamp own;
  if (const failure failed = own.set()) return failed;
  if (const failure failed = state_.backend.open()) return failed;
  state_.stamp = own;
  return {};
}

template <selector_backend Backend>
SELECTORS_NOINLINE failure core<Backend>::reopen() noexcept {
  if (is_of_this_process()) arm_unreached();  // or it is lost if this fails
  end_loop();
  destroy_retired();
  state_.inherited = false;
  if (!is_open()) return open();
  process_stamp own;
  if (const failure failed = own.set()) return failed;
  if (const failure failed = state_.backend.reopen()) return failed;
  state_.stamp = own;
  attach_all();
  return {};
}

template <selector_backend Backend>
SELECTORS_NOINLINE void core<Backend>::close() noexcept {
  end_loop();
  retire_all();
  state_.backend.close();
  forget_leaks();
  state_.stamp.clear();
}

// What was here lives on in the other, which asks for patience: a handler may be running in it. What the
// other had by an earlier assignment ends now. A loop over either ends: of this one by `close`, of the other since
// there is nothing left to reach.
template <selector_backend Backend>
core<Backend>& core<Backend>::operator=(core&& other) noexcept {
  if (this == &other) return *this;
  close();
  if (state_.inherited) destroy_retired();
  std::swap(state_, other.state_);
  other.state_.inherited = true;
  return *this;
}

template <selector_backend Backend>
core<Backend>::~core() {
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

}  // namespace selectors::detail

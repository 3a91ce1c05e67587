// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/concept.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/config.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

// For tests of programs that use the library: a backend without a kernel. Readiness and errors are scripted,
// and time is virtual, so a test with a day of timeouts takes no time. Not part of the umbrella.

namespace SELECTORS_NAMESPACE::testing {

/// The virtual time of this thread's scripted backends. It passes only while one of them waits, and in
/// `advance`. It is a <chrono> clock, for `select_until` and for everything in the program under test that
/// reads the time.
class clock {
 public:
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept { return time_point(now_); }
  static void advance(duration time) noexcept { now_ = after(time).time_since_epoch(); }
  /// now() + time, or the last time that there is.
  static time_point after(duration time) noexcept {
    const duration left = (duration::max)() - now_;
    return time_point(time < left ? now_ + time : (duration::max)());
  }

 private:
  static inline thread_local duration now_ = std::chrono::hours(1);
};

/// The operations that a scripted backend can be made to fail.
enum class operation : std::uint8_t { open, reopen, reserve, add, modify, wait };

/// A backend whose handles are any small numbers, and whose readiness is scripted:
///
///   selectors::selector<handler, selectors::testing::scripted_backend> sel;
///   sel.register_(7, event::read, on_readable);
///   sel.backend().set_ready(7, event::read);
///   for (auto [key, events] : sel.select()) ...
///
/// It supports every trigger mode. The selector calls the members that every backend has; the test calls the
/// others.
class scripted_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "scripted";
  static constexpr const char* wait_call = "scripted wait";
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = false;
  static constexpr event_mask requestable = event::read | event::write | event::priority | event::read_hangup;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::oneshot || !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_valid(handle); }

  // ---- the script -----------------------------------------------------------------------------------------

  /// From now on `handle` is ready for `events`, until the next such call. It need not be registered yet. To
  /// edge-triggered registrations each call is a change. May throw std::bad_alloc. O(1).
  void set_ready(native_handle_type handle, event_mask events) {
    change(handle, detail::mask_bits::of(events));
  }

  /// The same until one wait has reported it, as if the handler read everything.
  void pulse(native_handle_type handle, event_mask events) {
    set_ready(handle, events);
    state_of(handle).is_pulse = true;
  }

  /// From now on `handle` is closed, to the selector; `set_ready` opens it again.
  void set_closed(native_handle_type handle) { change(handle, descriptor_closed); }

  /// Calls `action` when `time` of virtual time has passed; actions that are due at the same time run in the
  /// order of these calls. It runs within the wait, and may call the functions of this section, but not the
  /// selector. It must not throw.
  void after(clock::duration time, std::function<void()> action) {
    const auto due = clock::after(time);
    const auto position = std::upper_bound(actions_.begin(), actions_.end(), due,
                                           [](auto point, const timed& one) { return point < one.due; });
    actions_.insert(position, {due, std::move(action)});
  }

  /// The next wait ends with nothing, as if a signal had arrived.
  void interrupt() { refuse(operation::wait, EINTR); }

  /// The next `times` calls of `what` fail with `error`, an errno; `reserve` fails with not_enough_memory
  /// whatever `error` is.
  void refuse(operation what, int error, int times = 1) noexcept {
    planned_failures_[index(what)] = {error, times};
  }

  /// Calls `visit(registration)` for each handle that is watched: registered, and neither paused nor
  /// silenced.
  template <class Visit>
  void for_each_watched(Visit visit) const {
    for (std::size_t i = 0; i != size_; ++i) visit(std::as_const(*watched_[i].who));
  }

  /// How often the selector has waited.
  [[nodiscard]] std::size_t waits() const noexcept { return waits_; }

  // ---- the backend ----------------------------------------------------------------------------------------

  scripted_backend() noexcept = default;
  scripted_backend(scripted_backend&& other) noexcept { *this = std::move(other); }
  scripted_backend& operator=(scripted_backend&& other) noexcept {
    std::swap(size_, other.size_);
    std::swap(waits_, other.waits_);
    std::swap(planned_failures_, other.planned_failures_);
    std::swap(actions_, other.actions_);
    watched_ = std::move(other.watched_);
    states_ = std::move(other.states_);
    ready_ = std::move(other.ready_);
    return *this;
  }

  failure open() noexcept { return refused(operation::open, "scripted open"); }
  failure reopen() noexcept {
    if (const failure failed = refused(operation::reopen, "scripted reopen")) return failed;
    size_ = 0;
    return {};
  }
  void close() noexcept { size_ = 0; }

  failure reserve(std::size_t count, std::size_t used, native_handle_type handle) noexcept {
    const bool fits = !refused(operation::reserve, "") && watched_.reserve(count) &&
                      ready_.reserve(count, used) && states_.reserve(static_cast<std::size_t>(handle) + 1);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    if (const failure failed = refused(operation::add, "scripted add")) return failed;
    r.slot = static_cast<std::uint32_t>(size_++);
    r.attached = true;
    watched_[r.slot] = {&r, never_seen};
    return {};
  }

  failure modify(registration& r, any_interest) noexcept {
    if (const failure failed = refused(operation::modify, "scripted modify")) return failed;
    watched_[r.slot].seen = never_seen;
    return {};
  }

  bool remove(registration& r) noexcept {
    r.attached = false;
    watched_[r.slot] = watched_[--size_];
    watched_[r.slot].who->slot = r.slot;
    return true;
  }

  /// Fails with EDEADLK if it would wait forever: nothing scripted could end it.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    ++waits_;
    const bool is_endless = timeout == (std::chrono::nanoseconds::max)();
    for (;;) {
      act();
      if (const failure failed = refused(operation::wait, wait_call)) {
        errno = failed.code().value();
        return -1;
      }
      if (const int found = collect(); found != 0) return found;
      if (actions_.empty() && is_endless) {
        errno = EDEADLK;
        return -1;
      }
      if (timeout.count() <= 0) return 0;
      const auto passes =
          actions_.empty() ? timeout : (std::min)(timeout, actions_.front().due - clock::now());
      clock::advance(passes);
      timeout -= passes;
    }
  }

 private:
  // The script of one handle, registered or not.
  struct state {
    event_bits ready;
    std::uint32_t changes;
    bool is_pulse;
  };
  struct watch {
    registration* who;
    std::int64_t seen;  // the change that was reported last, for edges
  };
  struct timed {
    clock::time_point due;
    std::function<void()> action;
  };
  struct planned_failure {
    int error = 0;
    int times = 0;
  };
  static constexpr std::int64_t never_seen = -1;
  static constexpr std::size_t operations = 6;

  static constexpr std::size_t index(operation what) noexcept { return static_cast<std::size_t>(what); }

  failure refused(operation what, const char* call) noexcept {
    planned_failure& now = planned_failures_[index(what)];
    if (now.times == 0) return {};
    --now.times;
    return failure::system(call, now.error);
  }

  void change(native_handle_type handle, event_bits ready) {
    state& now = state_of(handle);
    now = {ready, now.changes + 1, false};
  }
  state& state_of(native_handle_type handle) {
    const auto i = static_cast<std::size_t>(handle);
    if (states_.reserve(i + 1)) return states_[i];
#if SELECTORS_EXCEPTIONS
    throw std::bad_alloc();
#else
    std::abort();
#endif
  }

  void act() noexcept {
    while (!actions_.empty() && actions_.front().due <= clock::now()) {
      const auto action = std::move(actions_.front().action);
      actions_.erase(actions_.begin());
      action();
    }
  }

  int collect() noexcept {
    std::size_t found = 0;
    for (std::size_t i = 0; i != size_; ++i) {
      watch& one = watched_[i];
      state& now = states_[static_cast<std::size_t>(one.who->handle)];
      const bool is_edge = one.who->interest.mode == trigger::edge;
      const event_bits bits = now.ready & (detail::reportable(one.who->interest.events) | descriptor_closed);
      if (bits == 0 || (is_edge && one.seen == now.changes)) continue;
      one.seen = now.changes;
      if (now.is_pulse) now.ready = 0;
      ready_[found++] = {one.who, bits};
    }
    return static_cast<int>(found);
  }

  std::size_t size_ = 0;
  std::size_t waits_ = 0;
  planned_failure planned_failures_[operations];
  std::vector<timed> actions_;  // by when they are due
  detail::buffer<watch> watched_;
  detail::buffer<state> states_;  // by handle
};

}  // namespace SELECTORS_NAMESPACE::testing

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_COROUTINES
#error "selectors/coroutine.hpp needs a compiler with coroutines (GCC 10: -fcoroutines)"
#include "selectors/coroutine.hpp needs coroutines"  // no such file, which ends the compilation
#endif

#include <selectors/arguments.hpp>
#include <selectors/backend/concept.hpp>
#include <selectors/coroutine/waiter.hpp>
#include <selectors/detail/due_time.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/key.hpp>
#include <selectors/ready_range.hpp>
#include <selectors/selector.hpp>
#include <selectors/timer_queue.hpp>

#include <concepts>
#include <coroutine>
#include <system_error>

// Readiness and deadlines that coroutines of any kind can await. There is no task type and no scheduler: the
// program's own loop resumes them. Not part of the umbrella.
//
//   selectors::selector<selectors::coroutine_waiter> sel;
//   selectors::timer_queue<selectors::coroutine_waiter> timers;
//
//   task serve(int socket) {
//     while (co_await ready(sel, socket, event::read, timers, 5s))  // empty when 5 s have passed
//       if (!answer(socket)) break;
//     close(socket);
//   }
//
//   for (;;) {
//     resume(sel.select_until(timers.next()));
//     resume(timers.expired());
//   }
//
// A coroutine that is suspended here is destroyed as any other, by whoever owns it, from wherever: then it
// waits no longer. Its frame holds all that the wait needs, so nothing is allocated once the selector and the
// queue are warm.
//
// Several coroutines may wait for one handle, for the same events or for others. The key requests all of it,
// each is given what it requested, and they are resumed in the order in which they came. The handle is
// registered exactly while a coroutine waits for it or is being resumed. Waiting for it again by then costs
// one system call, and the handle is watched anew (`selector::watch`), because its number may mean another
// descriptor by now. When nobody waits any more, it is unregistered, which costs one system call (none with
// poll and select). Close a descriptor only when no other coroutine waits for it.
//
// A selector or a queue that is cleared, closed or destroyed lets go of those who wait in it. They are never
// resumed, not even by the other of the two, and remain the program's to destroy. Neither is moved while
// somebody waits in it. `mark_ready` wakes who waits; a mark that was made while nobody waited is dropped by
// the wait.
//
// Other data: a selector<coroutine_waiter> holds coroutines alone. Where there are handlers, too, it is
// registered in their selector, for read, and `resume(sel.select(0s))` is its handler. On poll and select,
// and on Windows, no selector can be registered in another: there, all of a program's handles are awaited, or
// none.

namespace SELECTORS_NAMESPACE {

namespace detail {

// The only one that puts coroutines into a coroutine_waiter, and has them resumed.
struct coroutine_access {
  template <class Backend>
  static void add(suspension& who, selector<coroutine_waiter, Backend>& sel,
                  selector_key<coroutine_waiter>& key) noexcept {
    static constexpr waited_for calls{
        [](void* entry) noexcept { return key_access::record_of(key_at(entry)).registered; },
        [](void* owner, void* entry, event_mask events) noexcept {
          std::error_code error;
          return key_at(entry).events() == events ||
                 selector_at<Backend>(owner).modify(key_at(entry), events, error) != nullptr;
        },
        [](void* owner, void* entry, event_mask events) noexcept {
          std::error_code ignored;  // closed by somebody, or of another process
          selector_at<Backend>(owner).mark_ready(key_at(entry), events, ignored);
        },
        [](void* owner, void* entry) noexcept {
          std::error_code ignored;
          selector_at<Backend>(owner).unregister(key_at(entry), ignored);
        }};
    key.data().add(who.in_key, calls, &sel, &key);
  }

  template <class Clock>
  static void add(suspension& who, timer_queue<coroutine_waiter, Clock>& timers,
                  timer<coroutine_waiter, Clock>& added) noexcept {
    static constexpr waited_for calls{
        [](void* entry) noexcept { return timer_access::record_of(timer_at<Clock>(entry)).is_in(); },
        [](void*, void*, event_mask) noexcept { return true; }, [](void*, void*, event_mask) noexcept {},
        [](void* owner, void* entry) noexcept {
          static_cast<timer_queue<coroutine_waiter, Clock>*>(owner)->cancel(timer_at<Clock>(entry));
        }};
    added.data().add(who.in_timer, calls, &timers, &added);
  }

  static event_mask requested_of(const selector_key<coroutine_waiter>* key) noexcept {
    return key != nullptr ? key->data().requested() : event_mask();
  }
  // What was marked ready for those who wait already.
  static event_mask marked_of(selector_key<coroutine_waiter>* key) noexcept {
    if (key == nullptr || !key_access::record_of(*key).marked) return {};
    return mask_bits::mask(key_access::record_of(*key).pending_bits) & key->data().requested();
  }
  static bool resume(coroutine_waiter& ready, event_mask events) { return ready.resume_ready(events); }
  static bool resume(coroutine_waiter& expired) { return expired.resume_expired(); }

 private:
  static selector_key<coroutine_waiter>& key_at(void* entry) noexcept {
    return *static_cast<selector_key<coroutine_waiter>*>(entry);
  }
  template <class Backend>
  static selector<coroutine_waiter, Backend>& selector_at(void* owner) noexcept {
    return *static_cast<selector<coroutine_waiter, Backend>*>(owner);
  }
  template <class Clock>
  static timer<coroutine_waiter, Clock>& timer_at(void* entry) noexcept {
    return *static_cast<timer<coroutine_waiter, Clock>*>(entry);
  }
};

// Where a failure goes: it is thrown, or reported.
struct throwing {
  static constexpr bool is_noexcept = false;
};
struct reporting {
  static constexpr bool is_noexcept = true;
  std::error_code* error;
};

// Until when to wait.
struct no_deadline {
  template <class Errors>
  bool start(suspension&, const Errors&) const noexcept {
    return true;
  }
};
template <class Clock, class When>
struct deadline_in {
  timer_queue<coroutine_waiter, Clock>* timers;
  When due;

  template <class Errors>
  bool start(suspension& who, const Errors& errors) const noexcept(Errors::is_noexcept) {
    timer<coroutine_waiter, Clock>* added = nullptr;
    if constexpr (std::same_as<Errors, throwing>)
      added = &timers->add(due);
    else
      added = timers->add(due, *errors.error);
    if (added != nullptr) coroutine_access::add(who, *timers, *added);
    return added != nullptr;
  }
};

// What `elapsed` returns.
template <class Deadline, class Errors>
class [[nodiscard]] elapsed_awaiter {
 public:
  elapsed_awaiter(const Deadline& deadline, const Errors& errors) noexcept
      : deadline_(deadline), errors_(errors) {}

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) noexcept(Errors::is_noexcept) {
    who_.coroutine = waiting;
    return deadline_.start(who_, errors_);
  }
  void await_resume() const noexcept {}

 private:
  Deadline deadline_;
  Errors errors_;
  suspension who_{event_mask()};
};

// What `ready` returns.
template <class Backend, class Deadline, class Errors>
class [[nodiscard]] ready_awaiter {
 public:
  ready_awaiter(selector<coroutine_waiter, Backend>& from, native_handle_type handle, event_mask events,
                const Deadline& deadline, const Errors& errors) noexcept
      : selector_(&from), handle_(handle), deadline_(deadline), errors_(errors), who_(events) {}

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> waiting) noexcept(Errors::is_noexcept) {
    who_.coroutine = waiting;
    who_.got = {};
    if (!deadline_.start(who_, errors_)) return false;
    rollback undo{who_};
    selector_key<coroutine_waiter>* key = selector_->find(handle_);
    const event_mask requested = who_.requested | coroutine_access::requested_of(key);
    const event_mask marked = coroutine_access::marked_of(key);  // `watch` drops it, and others wait for it
    if constexpr (std::same_as<Errors, throwing>)
      key = &selector_->watch(handle_, requested);
    else
      key = selector_->watch(handle_, requested, *errors_.error);
    if (key == nullptr) return false;
    coroutine_access::add(who_, *selector_, *key);
    if (std::error_code ignored; !marked.empty()) selector_->mark_ready(*key, marked, ignored);
    return true;
  }
  event_mask await_resume() const noexcept { return who_.got; }

 private:
  // Cancels the deadline of a wait that fails.
  struct rollback {
    suspension& who;
    ~rollback() {
      if (who.in_key.at == nullptr) who.leave();
    }
  };

  selector<coroutine_waiter, Backend>* selector_;
  native_handle_type handle_;
  Deadline deadline_;
  Errors errors_;
  suspension who_;
};

// What `timer_queue<coroutine_waiter, Clock>::expired` returns, whatever the clock.
template <class Range>
concept expired_coroutines = requires(Range& range) {
  { (*range.begin()).data() } -> std::same_as<coroutine_waiter&>;
  (*range.begin()).due();
};

}  // namespace detail

// ---- waiting ----------------------------------------------------------------------------------------------

/// `co_await ready(sel, h, events)` suspends the coroutine until `resume` is given a report of `h` that has
/// one of `events`. Returns those of the requested events that were reported, with `error`, `hangup` and
/// `read_hangup` as the selector reports them. With an empty mask only a deadline ends the wait.
///
/// `h` is a native handle, or an object that has one; it is read by this call, and is borrowed until the
/// coroutine is resumed or destroyed. A handle that is ready already is reported by the next select: the
/// coroutine is always suspended first.
///
/// Errors: those of `selector::watch`. The coroutine is not suspended then, and nobody else's wait is
/// changed: `co_await` throws, or, in the form with `error`, reports there and returns an empty mask.
///
/// Complexity: as `selector::watch`, amortized O(1), with one system call for a handle that nobody waits for,
/// and one or two for others. Being resumed is O(1) for each coroutine that waits for the handle.
template <selector_backend Backend, pollable H>
  requires detail::has_exceptions
auto ready(selector<coroutine_waiter, Backend>& sel, H&& h,
           event_mask events) noexcept(detail::is_noexcept_handle<H>()) {
  return detail::ready_awaiter<Backend, detail::no_deadline, detail::throwing>(sel, selectors::handle_of(h),
                                                                               events, {}, {});
}
/// As above, reporting to `error`.
template <selector_backend Backend, pollable H>
auto ready(selector<coroutine_waiter, Backend>& sel, H&& h, event_mask events,
           std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
  return detail::ready_awaiter<Backend, detail::no_deadline, detail::reporting>(sel, selectors::handle_of(h),
                                                                                events, {}, {&error});
}

/// As above, until `due` at the latest, a time point of the queue's clock, or a duration from when the
/// coroutine is suspended: then `co_await` returns an empty mask. If both come in one round of the loop, the
/// coroutine is resumed once, by the `resume` that comes first.
///
/// Errors: those of `timer_queue::add` (errc::invalid_timeout, no memory), then those of `selector::watch`.
///
/// Complexity: as above, and O(log n) in the number of timers.
template <selector_backend Backend, pollable H, class Clock, detail::due_for<Clock> When>
  requires detail::has_exceptions
auto ready(selector<coroutine_waiter, Backend>& sel, H&& h, event_mask events,
           timer_queue<coroutine_waiter, Clock>& timers, When due) noexcept(detail::is_noexcept_handle<H>()) {
  using deadline = detail::deadline_in<Clock, When>;
  return detail::ready_awaiter<Backend, deadline, detail::throwing>(sel, selectors::handle_of(h), events,
                                                                    {&timers, due}, {});
}
/// As above, reporting to `error`, which is clear when the time has passed.
template <selector_backend Backend, pollable H, class Clock, detail::due_for<Clock> When>
auto ready(selector<coroutine_waiter, Backend>& sel, H&& h, event_mask events,
           timer_queue<coroutine_waiter, Clock>& timers, When due,
           std::error_code& error) noexcept(detail::is_noexcept_handle<H>()) {
  using deadline = detail::deadline_in<Clock, When>;
  return detail::ready_awaiter<Backend, deadline, detail::reporting>(sel, selectors::handle_of(h), events,
                                                                     {&timers, due}, {&error});
}

/// `co_await elapsed(timers, due)` suspends the coroutine until `due`, a time point of the queue's clock, or
/// a duration from when it is suspended. `elapsed(timers, 0s)` lets others run: the next
/// `resume(timers.expired())` resumes it.
///
/// Errors: those of `timer_queue::add`: errc::invalid_timeout, no memory. The coroutine is not suspended
/// then: `co_await` throws, or reports to `error`. O(log n) in the number of timers.
template <class Clock, detail::due_for<Clock> When>
  requires detail::has_exceptions
auto elapsed(timer_queue<coroutine_waiter, Clock>& timers, When due) noexcept {
  using deadline = detail::deadline_in<Clock, When>;
  return detail::elapsed_awaiter<deadline, detail::throwing>({&timers, due}, {});
}
/// As above, reporting to `error`.
template <class Clock, detail::due_for<Clock> When>
auto elapsed(timer_queue<coroutine_waiter, Clock>& timers, When due, std::error_code& error) noexcept {
  using deadline = detail::deadline_in<Clock, When>;
  return detail::elapsed_awaiter<deadline, detail::reporting>({&timers, due}, {&error});
}

// ---- resuming ---------------------------------------------------------------------------------------------

/// Resumes the coroutines that wait for what a select of a selector<coroutine_waiter> has found: handle by
/// handle, those of one handle in the order in which they came. Those that wait anew meanwhile, also for the
/// same handle, are left to the next select.
///
/// A coroutine may do anything meanwhile: wait, end, destroy others, unregister and close handles, run a loop
/// of its own with `resume` in it, clear or destroy the selector. An exception that it lets out comes out of
/// `resume`. The others are reported by the next select then.
///
/// Complexity: linear in the coroutines that wait for the handles found. A handle for which somebody waits
/// again costs no system call here, unless the events requested of it have become fewer.
template <selector_backend Backend>
void resume(detail::ready_range<coroutine_waiter, Backend> found) {
  for (auto entry = found.begin(); entry != found.end(); ++entry) {
    const auto [key, events] = *entry;
    if (!detail::coroutine_access::resume(key.data(), events)) return;  // perhaps without a selector
  }
}

/// Resumes the coroutines whose time has come, the earliest first. The same is allowed meanwhile, and holds
/// for exceptions: what is not reached stays in the queue. Call it each round, after `resume(sel.select…)`.
template <detail::expired_coroutines Expired>
void resume(Expired expired) {
  for (auto entry = expired.begin(); entry != expired.end(); ++entry)
    if (!detail::coroutine_access::resume((*entry).data())) return;  // perhaps without a queue
}

}  // namespace SELECTORS_NAMESPACE

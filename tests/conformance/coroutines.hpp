// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support/expect.hpp"

#include <selectors/coroutine.hpp>

#include <chrono>
#include <coroutine>
#include <optional>
#include <utility>

namespace support {

// A coroutine that runs at once until it first waits. It is destroyed with its owner. An exception comes out
// of whoever resumes it.
class task {
 public:
  struct promise_type {
    task get_return_object() noexcept {
      return task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const { throw; }
  };

  task() noexcept = default;
  task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    destroy();
    coroutine_ = std::exchange(other.coroutine_, nullptr);
    return *this;
  }
  ~task() { destroy(); }

  bool is_done() const noexcept { return coroutine_ && coroutine_.done(); }
  void destroy() noexcept {
    if (const auto old = std::exchange(coroutine_, nullptr)) old.destroy();
  }

 private:
  explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

// A clock that stands still until it is moved.
struct manual_clock {
  using duration = std::chrono::milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<manual_clock>;
  static constexpr bool is_steady = false;
  static time_point now() noexcept { return time; }
  static inline time_point time{};
};

using selectors::coroutine_waiter;
using timer_waiters = selectors::timer_queue<coroutine_waiter, manual_clock>;

// One wait, and what came of it.
struct outcome {
  int resumed = 0;
  selectors::event_mask got;
};

template <class Selector, selectors::pollable H>
task wait_once(Selector& sel, H& h, selectors::event_mask events, outcome& out) {
  out.got = co_await ready(sel, h, events);
  ++out.resumed;
}
template <class Selector, selectors::pollable H>
task wait_until(Selector& sel, H& h, selectors::event_mask events, timer_waiters& timers,
                std::chrono::milliseconds time, outcome& out) {
  out.got = co_await ready(sel, h, events, timers, time);
  ++out.resumed;
}

// What can be requested of what was reported: error, hangup and read_hangup are detail.
inline selectors::event_mask raised(const outcome& out) { return out.got & requestable; }

}  // namespace support

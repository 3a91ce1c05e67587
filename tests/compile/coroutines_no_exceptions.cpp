// SPDX-License-Identifier: BSL-1.0

// Compiled with -fno-exceptions -fno-rtti: coroutines, with the forms that report to an error_code.

#include <selectors/coroutine.hpp>
#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>
#include <selectors/wakeup.hpp>

#include <chrono>
#include <coroutine>
#include <cstdlib>
#include <system_error>

using namespace selectors;
using namespace std::chrono_literals;

namespace {

struct task {
  struct promise_type {
    task get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::abort(); }
  };
};

template <class... Arguments>
constexpr bool can_wait = requires(Arguments... arguments) { ready(arguments...); };
using coroutines = selector<coroutine_waiter>&;
using deadlines = timer_queue<coroutine_waiter>&;
static_assert(can_wait<coroutines, native_handle_type, event, std::error_code&>);
static_assert(can_wait<coroutines, native_handle_type, event> == detail::has_exceptions);
static_assert(
    can_wait<coroutines, native_handle_type, event, deadlines, std::chrono::seconds, std::error_code&>);
static_assert(can_wait<coroutines, native_handle_type, event, deadlines, std::chrono::seconds> ==
              detail::has_exceptions);

int state = 0;

task wait(coroutines sel, deadlines timers, wakeup& waker) {
  std::error_code error;
  if (co_await ready(sel, detail::invalid_handle, event::read, error) || error != errc::invalid_handle)
    co_return;
  state = 1;
  if (co_await ready(sel, waker, event::read, timers, 10s, error) != event::read || error) co_return;
  state = 2;
  waker.reset();
  if (co_await ready(sel, waker, event::read, timers, 1ms, error) || error) co_return;
  state = 3;
  co_await elapsed(timers, 1ms, error);
  if (!error) state = 4;
}

}  // namespace

int main() {
  std::error_code error;
  selector<coroutine_waiter> sel(error);
  wakeup waker(error);
  timer_queue<coroutine_waiter> timers;
  wait(sel, timers, waker);
  if (state != 1) return 1;
  waker.notify();
  while (!sel.empty() || !timers.empty()) {
    resume(sel.select_until(timers.next(), error));
    if (error) return 2;
    resume(timers.expired());
  }
  return state == 4 ? 0 : 3;
}

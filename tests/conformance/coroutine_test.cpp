// SPDX-License-Identifier: BSL-1.0

// Coroutines wait for readiness and for time, and are given what they requested.

#include "coroutines.hpp"
#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// Counts what is handed to the kernel, or would be.
template <class Backend>
struct counting_changes : Backend {
  int changes = 0;

  failure add(registration& r) noexcept {
    ++changes;
    return Backend::add(r);
  }
  failure modify(registration& r, any_interest was) noexcept {
    ++changes;
    return Backend::modify(r, was);
  }
  failure rewatch(registration& r, any_interest was) noexcept
    requires requires(Backend backend) { backend.rewatch(r, was); }
  {
    ++changes;
    return Backend::rewatch(r, was);
  }
  bool remove(registration& r) noexcept {
    ++changes;
    return Backend::remove(r);
  }
};

template <class Selector>
void run_once(Selector& sel) {
  resume(sel.select(0s));
}

}  // namespace

BACKEND_TEST_CASE("a coroutine waits for a handle, which is registered as long as it does", "[coroutine]",
                  backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pipe = make_pipe();
  outcome out;
  task waiting = wait_once(sel, pipe.reader, event::read, out);
  CHECK(sel.at(pipe.reader).events() == event::read);
  run_once(sel);
  CHECK(out.resumed == 0);
  write_byte(pipe.writer);
  resume(sel.select(10s));
  CHECK(out.resumed == 1);
  CHECK(out.got == event::read);
  CHECK(waiting.is_done());
  CHECK(sel.empty());
  run_once(sel);
  CHECK(out.resumed == 1);
}

BACKEND_TEST_CASE("each of several is given what it requested, in the order they came", "[coroutine]",
                  backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pair = make_tcp_pair();
  std::vector<int> order;
  const auto wait = [&](int number, event_mask events, outcome& out) -> task {
    out.got = co_await ready(sel, pair.first, events);
    ++out.resumed;
    order.push_back(number);
  };
  outcome out[5];
  task waiting[5];
  fill_for_good(pair.first);
  waiting[0] = wait(0, event::write, out[0]);
  waiting[1] = wait(1, event::read, out[1]);
  waiting[2] = wait(2, event::read | event::write, out[2]);
  waiting[3] = wait(3, {}, out[3]);
  waiting[4] = wait(4, event::read, out[4]);
  CHECK(sel.size() == 1);
  CHECK(sel.at(pair.first).events() == (event::read | event::write));
  write_byte(pair.second);
  resume(sel.select(10s));
  CHECK(order == std::vector{1, 2, 4});
  CHECK(out[1].got == event::read);
  CHECK(out[2].got == event::read);
  CHECK(sel.at(pair.first).events() == event::write);
  waiting[1] = wait(1, event::read | event::write, out[1]);
  drain(pair.second);
  while (out[0].resumed == 0) {
    resume(sel.select(10s));
    drain(pair.second);
  }
  CHECK(out[0].got == event::write);
  CHECK(sel.at(pair.first).events().empty());  // number 3 alone, who waits for nothing
  waiting[3].destroy();
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("an error and a hangup wake all of whom they raise an event", "[coroutine]", backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pair = make_tcp_pair();
  outcome reads, writes, nothing;
  fill_for_good(pair.first);
  task reading = wait_once(sel, pair.first, event::read, reads);
  task writing = wait_once(sel, pair.first, event::write, writes);
  task waiting = wait_once(sel, pair.first, {}, nothing);
  pair.second.close();  // with unread data: a reset
  while (!reading.is_done() || !writing.is_done()) resume(sel.select(10s));
  CHECK(raised(reads) == event::read);
  CHECK(raised(writes) == event::write);
  if (is_linux && !is_select<TestType>) CHECK((reads.got & writes.got).contains(event::error));
  CHECK(nothing.resumed == 0);
  CHECK(sel.at(pair.first).events().empty());
  run_once(sel);
  CHECK(nothing.resumed == 0);
}

BACKEND_TEST_CASE("the end of a stream is detail for who reads, and for nobody else", "[coroutine]",
                  backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pair = make_tcp_pair();
  outcome reads, writes;
  task reading = wait_once(sel, pair.first, event::read, reads);
  task writing = wait_once(sel, pair.first, event::write, writes);
  checked(::shutdown(pair.second.get(), SHUT_WR), "shutdown");
  while (!reading.is_done()) resume(sel.select(10s));
  CHECK(raised(reads) == event::read);
  CHECK(writes.got == event::write);
  if (is_linux && !is_select<TestType>) CHECK(reads.got.contains(event::read_hangup));
}

BACKEND_TEST_CASE("what `ready` returns can be awaited again", "[coroutine]", backends) {
  selector<coroutine_waiter, TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  int step = 0;
  const auto wait = [&]() -> task {
    std::error_code error;
    auto awaited = ready(sel, pipe.reader, event::read, timers, 1ms, error);
    auto copy = awaited;
    event_mask got;
    got = co_await awaited;
    CHECK(got == event::read);
    drain(pipe.reader);
    ++step;
    got = co_await awaited;
    CHECK(got.empty());  // it is time
    CHECK_FALSE(error);
    ++step;
    got = co_await copy;
    CHECK(got.empty());
    ++step;
    auto refused = ready(sel, detail::invalid_handle, event::read, timers, 1ms, error);
    got = co_await refused;
    CHECK(got.empty());
    CHECK(error == errc::invalid_handle);
    CHECK(timers.empty());  // though `refused` still exists
    ++step;
  };
  task waiting = wait();
  write_byte(pipe.writer);
  resume(sel.select(10s));
  CHECK(step == 1);
  for (int round = 0; round != 2; ++round) {
    manual_clock::time += 1ms;
    resume(timers.expired());
  }
  CHECK(step == 4);
  CHECK(waiting.is_done());
}

BACKEND_TEST_CASE("a deadline passes", "[coroutine]", backends) {
  selector<coroutine_waiter, TestType> sel;
  timer_queue<coroutine_waiter> timers;
  auto pipe = make_pipe();
  const auto start = std::chrono::steady_clock::now();
  event_mask got = event::read;
  int resumed = 0;
  const auto wait = [&]() -> task {
    got = co_await ready(sel, pipe.reader, event::read, timers, 20ms);
    ++resumed;
    co_await elapsed(timers, start + 40ms);
    ++resumed;
    co_await elapsed(timers, 0s);
    ++resumed;
  };
  task waiting = wait();
  while (!waiting.is_done()) {
    resume(sel.select_until(timers.next()));
    const auto passed = std::chrono::steady_clock::now() - start;
    const int before = resumed;
    resume(timers.expired());
    if (before == 0 && resumed == 1) {
      CHECK(passed >= 20ms);
      CHECK(sel.empty());
    }
    if (before == 1 && resumed == 2) CHECK(passed >= 40ms);
    REQUIRE(passed < 30s);
  }
  CHECK(got.empty());
  CHECK(resumed == 3);
  CHECK(timers.empty());
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("readiness and the deadline in one round resume once", "[coroutine]", backends) {
  const bool is_time_first = GENERATE(false, true);
  selector<coroutine_waiter, TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  outcome out;
  task waiting = wait_until(sel, pipe.reader, event::read, timers, 5ms, out);
  CHECK(timers.size() == 1);
  write_byte(pipe.writer);
  manual_clock::time += 5ms;
  if (is_time_first) resume(timers.expired());
  resume(sel.select(0s));
  resume(timers.expired());
  resume(sel.select(0s));
  CHECK(out.resumed == 1);
  CHECK(out.got == (is_time_first ? event_mask() : event::read));
  CHECK(timers.empty());
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("a deadline that is not needed is cancelled", "[coroutine]", backends) {
  selector<coroutine_waiter, TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  outcome out[2];
  task waiting = wait_until(sel, pipe.reader, event::read, timers, 1h, out[0]);
  task destroyed = wait_until(sel, pipe.reader, event::read, timers, 1h, out[1]);
  CHECK(timers.size() == 2);
  destroyed.destroy();
  CHECK(timers.size() == 1);
  write_byte(pipe.writer);
  resume(sel.select(10s));
  CHECK(out[0].resumed == 1);
  CHECK(timers.empty());
  CHECK(timers.next() == (manual_clock::time_point::max)());
}

BACKEND_TEST_CASE("a wait that fails does not suspend, and changes nothing", "[coroutine]", backends) {
  const bool throws = GENERATE(false, true);
  const bool has_deadline = GENERATE(false, true);
  selector<coroutine_waiter, TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  std::error_code error;
  outcome other;
  task waiting_too = wait_once(sel, pipe.reader, event::read, other);
  const auto attempt = [&](native_handle_type handle, event_mask events) -> task {
    event_mask got = event::priority;
    error = errc::forked;
    try {
      if (throws && has_deadline)
        got = co_await ready(sel, handle, events, timers, 1h);
      else if (throws)
        got = co_await ready(sel, handle, events);
      else if (has_deadline)
        got = co_await ready(sel, handle, events, timers, 1h, error);
      else
        got = co_await ready(sel, handle, events, error);
      CHECK_FALSE(throws);
      CHECK(got.empty());
    } catch (const std::system_error& thrown) {
      CHECK(throws);
      error = thrown.code();
    }
  };
  CHECK(attempt(detail::invalid_handle, event::read).is_done());
  CHECK(error == errc::invalid_handle);
  CHECK(attempt(pipe.reader.get(), event::hangup).is_done());
  CHECK(error == errc::invalid_events);
  const auto closed = [] { return make_pipe().reader.get(); }();
  CHECK(attempt(closed, event::read).is_done());
  CHECK(error == std::errc::bad_file_descriptor);
  CHECK(sel.size() == 1);
  CHECK(timers.empty());
  CHECK(sel.at(pipe.reader).events() == event::read);
  write_byte(pipe.writer);
  resume(sel.select(10s));
  CHECK(other.resumed == 1);
  sel.close();
  CHECK(attempt(pipe.reader.get(), event::read).is_done());
  CHECK(error == errc::closed);
  CHECK(timers.empty());
}

BACKEND_TEST_CASE("a success clears the error", "[coroutine]", backends) {
  selector<coroutine_waiter, TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  std::error_code errors[3] = {errc::closed, errc::closed, errc::closed};
  const auto wait = [&]() -> task {
    co_await ready(sel, pipe.reader, event::read, errors[0]);
    co_await ready(sel, pipe.reader, event::read, timers, 1ms, errors[1]);
    co_await elapsed(timers, 1ms, errors[2]);
  };
  task waiting = wait();
  write_byte(pipe.writer);
  resume(sel.select(10s));
  resume(sel.select(10s));
  manual_clock::time += 1ms;
  resume(timers.expired());
  CHECK(waiting.is_done());
  for (const std::error_code& error : errors) CHECK_FALSE(error);
}

TEST_CASE("a time that is not a number is refused", "[coroutine]") {
  selector<coroutine_waiter> sel;
  timer_queue<coroutine_waiter> timers;
  auto pipe = make_pipe();
  const std::chrono::duration<double> nan(std::numeric_limits<double>::quiet_NaN());
  int refused = 0;
  const auto attempt = [&]() -> task {
    std::error_code error;
    co_await elapsed(timers, nan, error);
    CHECK(error == errc::invalid_timeout);
    co_await ready(sel, pipe.reader, event::read, timers, nan, error);
    CHECK(error == errc::invalid_timeout);
    try {
      co_await elapsed(timers, nan);
    } catch (const std::system_error& thrown) {
      refused += thrown.code() == errc::invalid_timeout;
    }
    try {
      co_await ready(sel, pipe.reader, event::read, timers, nan);
    } catch (const std::system_error& thrown) {
      refused += thrown.code() == errc::invalid_timeout;
    }
  };
  CHECK(attempt().is_done());
  CHECK(refused == 2);
  CHECK(sel.empty());
  CHECK(timers.empty());
}

BACKEND_TEST_CASE("who waits again is left to the next select", "[coroutine]", backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pipe = make_pipe();
  int rounds = 0;
  const auto wait = [&]() -> task {
    for (;;) {
      co_await ready(sel, pipe.reader, event::read);
      ++rounds;
    }
  };
  task waiting = wait();
  write_byte(pipe.writer);
  for (int n = 1; n != 4; ++n) {
    resume(sel.select(10s));
    CHECK(rounds == n);
    CHECK(sel.contains(pipe.reader));
  }
}

BACKEND_TEST_CASE("a mark for those who wait is theirs, whoever comes to wait after it", "[coroutine]",
                  backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pipe = make_pipe();
  outcome first, second;
  task one = wait_once(sel, pipe.reader, event::read, first);
  sel.mark_ready(pipe.reader, event::read);
  task other = wait_once(sel, pipe.reader, priority_or_read<TestType>, second);
  run_once(sel);
  CHECK(first.resumed == 1);
  CHECK(second.resumed == (has_priority<TestType> ? 0 : 1));

  outcome third;
  task last = wait_once(sel, pipe.reader, event::read, third);
  sel.mark_ready(pipe.reader, event::write);  // nobody waits for that
  outcome fourth;
  task never = wait_once(sel, pipe.reader, event::read, fourth);
  run_once(sel);
  CHECK(third.resumed + fourth.resumed == 0);
}

BACKEND_TEST_CASE("to wait again is one change, and no other is made in between", "[coroutine]", backends) {
  using backend = counting_changes<TestType>;
  if constexpr (requires(backend b, registration& r, any_interest was) { b.rewatch(r, was); }) {
    selector<coroutine_waiter, backend> sel;
    timer_waiters timers;
    auto pipe = make_pipe();
    bool has_deadline = false;
    int left = 10;
    const auto wait = [&]() -> task {
      while (left-- != 0) {
        if (has_deadline)
          co_await ready(sel, pipe.reader, event::read, timers, 1ms);
        else
          co_await ready(sel, pipe.reader, event::read);
      }
    };
    const int& changes = sel.backend().changes;
    task waiting = wait();
    CHECK(changes == 1);
    write_byte(pipe.writer);
    for (int n = 2; n != 5; ++n) {
      resume(sel.select(10s));
      CHECK(changes == n);
    }
    has_deadline = true;
    resume(sel.select(10s));
    CHECK(changes == 5);
    drain(pipe.reader);
    manual_clock::time += 1ms;
    resume(timers.expired());
    CHECK(changes == 6);
    left = 0;
    manual_clock::time += 1ms;
    resume(timers.expired());
    CHECK(changes == 7);
    CHECK(waiting.is_done());
    CHECK(sel.empty());
  }
}

BACKEND_TEST_CASE("who leaves while another is being resumed costs nothing by itself", "[coroutine]",
                  backends) {
  using backend = counting_changes<TestType>;
  if constexpr (requires(backend b, registration& r, any_interest was) { b.rewatch(r, was); }) {
    selector<coroutine_waiter, backend> sel;
    auto pair = make_socket_pair();
    outcome out;
    task left;
    const int& changes = sel.backend().changes;
    const auto wait = [&]() -> task {
      co_await ready(sel, pair.first, event::read);
      const int before = changes;
      left.destroy();
      CHECK(changes == before);
      co_await ready(sel, pair.first, event::read);
    };
    task waiting = wait();
    left = wait_once(sel, pair.first, event::read | event::write, out);
    fill(pair.first);
    CHECK(changes == 2);
    write_byte(pair.second);
    resume(sel.select(10s));
    CHECK(changes == 3);
    CHECK(sel.at(pair.first).events() == event::read);
  }
}

#if !SELECTORS_HAS_WINSOCK  // where no number is the lowest that is free
BACKEND_TEST_CASE("a number that means another descriptor by now is watched as that", "[coroutine]",
                  backends) {
  selector<coroutine_waiter, TestType> sel;
  auto pipe = make_pipe();
  std::vector<char> read;
  const auto wait = [&]() -> task {
    co_await ready(sel, pipe.reader, event::read);
    read.push_back(read_byte(pipe.reader));
    auto other = make_pipe();
    const auto number = pipe.reader.get();
    pipe.reader.close();
    pipe.reader = dup_of(other.reader);
    REQUIRE(pipe.reader.get() == number);  // the lowest that is free
    pipe.writer = std::move(other.writer);
    other.reader.close();
    co_await ready(sel, pipe.reader, event::read);
    read.push_back(read_byte(pipe.reader));
  };
  task waiting = wait();
  write_byte(pipe.writer, 'a');
  resume(sel.select(10s));
  CHECK(read.size() == 1);
  run_once(sel);
  CHECK(read.size() == 1);
  write_byte(pipe.writer, 'b');
  resume(sel.select(10s));
  CHECK(read == std::vector{'a', 'b'});
  CHECK(sel.empty());
}
#endif

BACKEND_TEST_CASE("thousands wait for one handle", "[coroutine]", backends) {
  constexpr std::size_t count = 3000;
  selector<coroutine_waiter, TestType> sel;
  auto pair = make_socket_pair();
  std::vector<std::size_t> order;
  const auto wait = [&](std::size_t number) -> task {
    co_await ready(sel, pair.first, number % 2 == 0 ? event::read : event::write);
    order.push_back(number);
  };
  std::vector<task> waiting;
  for (std::size_t n = 0; n != count; ++n) waiting.push_back(wait(n));
  for (std::size_t n = 0; n < count; n += 3) waiting[n].destroy();
  resume(sel.select(10s));
  std::vector<std::size_t> expected;
  for (std::size_t n = 1; n < count; n += 2)
    if (n % 3 != 0) expected.push_back(n);
  CHECK(order == expected);
  CHECK(sel.at(pair.first).events() == event::read);
  waiting.clear();
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("a warm selector and queue allocate nothing for coroutines", "[coroutine][allocation]",
                  backends) {
  selector<coroutine_waiter, TestType> sel;
  timer_waiters timers;
  auto pipes = make_pipes(20);
  int rounds = 0;
  const auto wait = [&](auto& pipe) -> task {
    for (;;) {
      co_await ready(sel, pipe.reader, event::read);
      co_await ready(sel, pipe.reader, event::read, timers, 1h);
      ++rounds;
      co_await ready(sel, pipe.writer, event::write);
      co_await elapsed(timers, 1ms);
    }
  };
  std::vector<task> waiting;
  for (auto& pipe : pipes) {
    write_byte(pipe.writer);
    waiting.push_back(wait(pipe));
  }
  std::size_t before = 0;
  for (int round = 0; round != 40; ++round) {
    if (round == 10) before = allocations();
    resume(sel.select(0s));
    manual_clock::time += 1ms;
    resume(timers.expired());
  }
  CHECK(allocations() == before);
  CHECK(rounds >= 100);
}

BACKEND_TEST_CASE("without memory a wait changes nothing, wherever it is missing", "[coroutine][allocation]",
                  backends) {
  const bool throws = GENERATE(false, true);
  std::size_t failures = 0;
  for (std::size_t budget = 0;; ++budget) {
    selector<coroutine_waiter, TestType> sel;
    timer_waiters timers;
    auto pipe = make_pipe();
    const descriptor high = dup_above(pipe.reader, 900);
    std::error_code error;
    std::optional<allocation_budget> memory;
    bool was_exceeded = false;
    const auto wait = [&]() -> task {
      co_await elapsed(timers, 1ms);  // the frame is made by now
      memory.emplace(budget);
      try {
        if (throws)
          co_await ready(sel, high, event::read, timers, 1h);
        else
          co_await ready(sel, high, event::read, timers, 1h, error);
      } catch (const std::system_error& thrown) {
        error = thrown.code();
      }
      if (memory) was_exceeded = memory->was_exceeded();
      memory.reset();
    };
    task waiting = wait();
    manual_clock::time += 1ms;
    resume(timers.expired());
    const bool is_waiting = memory.has_value();
    memory.reset();
    if (is_waiting) {
      CHECK(sel.contains(high));
      CHECK(timers.size() == 1);
      break;
    }
    ++failures;
    CHECK(was_exceeded);
    CHECK(error == std::errc::not_enough_memory);
    CHECK(sel.empty());
    CHECK(timers.empty());
    REQUIRE(budget < 100);
  }
  CHECK(failures > 0);
}

BACKEND_TEST_CASE("a selector of coroutines is nested in one of handlers", "[coroutine]", backends) {
  if constexpr (pollable<selector<coroutine_waiter, TestType>&>) {
    selector<coroutine_waiter, TestType> sel;
    selector<int, TestType> outer;
    auto pipe = make_pipe();
    outcome out;
    task waiting = wait_once(sel, pipe.reader, event::read, out);
    outer.register_(sel, event::read, 1);
    for ([[maybe_unused]] auto one : outer.select(0s)) resume(sel.select(0s));
    expect_idle(outer);
    write_byte(pipe.writer);
    for ([[maybe_unused]] auto one : outer.select(10s)) resume(sel.select(0s));
    CHECK(out.resumed == 1);
    for ([[maybe_unused]] auto one : outer.select(0s)) resume(sel.select(0s));
    expect_idle(outer);
  }
}

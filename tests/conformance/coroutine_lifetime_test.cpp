// SPDX-License-Identifier: BSL-1.0

// Whatever a resumed coroutine does: end, throw, destroy others, run a loop of its own, take the selector or
// the queue away from under them all.

#include "coroutines.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

template <class Backend>
using coroutines = selector<coroutine_waiter, Backend>;

// Waits once, and then does something.
template <class Selector>
task then(Selector& sel, descriptor& h, event_mask events, std::function<void()> act) {
  co_await ready(sel, h, events);
  act();
}

}  // namespace

BACKEND_TEST_CASE("a suspended coroutine that is destroyed unregisters", "[coroutine]", backends) {
  coroutines<TestType> sel;
  auto pair = make_socket_pair();
  outcome reads, writes;
  task reading = wait_once(sel, pair.first, event::read, reads);
  task writing = wait_once(sel, pair.first, event::write, writes);
  CHECK(sel.at(pair.first).events() == (event::read | event::write));
  writing.destroy();
  CHECK(sel.at(pair.first).events() == event::read);
  resume(sel.select(0s));
  writing = wait_once(sel, pair.first, event::write, writes);
  reading.destroy();
  CHECK(sel.at(pair.first).events() == event::write);
  writing.destroy();
  CHECK(sel.empty());
  resume(sel.select(0s));
  CHECK(reads.resumed + writes.resumed == 0);
}

BACKEND_TEST_CASE("a coroutine is destroyed by one that is resumed before it", "[coroutine]", backends) {
  coroutines<TestType> sel;
  timer_waiters timers;
  auto pair = make_socket_pair();
  auto other = make_socket_pair();
  outcome same, elsewhere, in_time;
  task victims[3];
  int resumed = 0;
  const auto act = [&] {
    ++resumed;
    for (task& victim : victims) victim.destroy();
  };
  task first = then(sel, pair.first, event::write, act);
  victims[0] = wait_once(sel, pair.first, event::write, same);
  victims[1] = wait_once(sel, other.first, event::write, elsewhere);
  victims[2] = wait_until(sel, pair.second, event::read, timers, 0ms, in_time);
  task second = then(sel, other.first, event::write, act);
  task third = then(sel, pair.first, event::write, act);
  resume(sel.select(10s));
  resume(timers.expired());
  CHECK(resumed == 3);
  // Which of the two handles comes first is the kernel's affair.
  CHECK(same.resumed + elsewhere.resumed <= 1);
  CHECK(in_time.resumed == 0);
  CHECK(sel.empty());
  CHECK(timers.empty());
}

BACKEND_TEST_CASE("a coroutine that ends destroys its own frame", "[coroutine]", backends) {
  coroutines<TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  std::optional<task> owner;
  int ended = 0;
  const auto wait = [&](bool has_deadline) -> task {
    struct counter {
      int& value;
      ~counter() { ++value; }
    } at_end{ended};
    if (has_deadline)
      co_await ready(sel, pipe.reader, event::priority, timers, 1ms);
    else
      co_await ready(sel, pipe.reader, event::read);
    struct forever_suspended {
      std::optional<task>& of;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<>) { of.reset(); }
      void await_resume() const noexcept {}
    };
    co_await forever_suspended{owner};
  };
  owner.emplace(wait(false));
  write_byte(pipe.writer);
  resume(sel.select(10s));
  CHECK_FALSE(owner);
  CHECK(ended == 1);
  CHECK(sel.empty());
  if constexpr (has_priority<TestType>) {
    owner.emplace(wait(true));
    manual_clock::time += 1ms;
    resume(timers.expired());
    CHECK_FALSE(owner);
    CHECK(ended == 2);
    CHECK(sel.empty());
  }
}

BACKEND_TEST_CASE("an exception comes out of resume, and the others are reported by the next select",
                  "[coroutine]", backends) {
  coroutines<TestType> sel;
  auto pipe = make_pipe();
  auto other = make_pipe();
  outcome same, elsewhere;
  const auto act = [&] {
    drain(pipe.reader);  // nothing is ready any more, but who waited has a right to its turn
    throw std::runtime_error("let out");
  };
  task throws = then(sel, pipe.reader, event::read, act);
  task waits = wait_once(sel, pipe.reader, event::read, same);
  task waits_too = wait_once(sel, other.reader, event::read, elsewhere);
  write_byte(pipe.writer);
  write_byte(other.writer);
  int thrown = 0;
  for (int round = 0; round != 3; ++round) {
    try {
      resume(sel.select(0s));
    } catch (const std::runtime_error&) {
      ++thrown;
      CHECK(same.resumed == 0);
    }
  }
  CHECK(thrown == 1);
  CHECK(throws.is_done());
  CHECK(same.resumed == 1);
  CHECK(same.got == event::read);
  CHECK(elsewhere.resumed == 1);
  CHECK(sel.empty());
}

TEST_CASE("an exception comes out of resume, and later timers stay", "[coroutine]") {
  timer_waiters timers;
  int resumed = 0;
  const auto wait = [&](int time, bool throws) -> task {
    co_await elapsed(timers, std::chrono::milliseconds(time));
    ++resumed;
    if (throws) throw std::runtime_error("let out");
  };
  task first = wait(1, true);
  task second = wait(2, false);
  manual_clock::time += 5ms;
  CHECK_THROWS_AS(resume(timers.expired()), std::runtime_error);
  CHECK(resumed == 1);
  CHECK(timers.size() == 1);
  resume(timers.expired());
  CHECK(resumed == 2);
}

BACKEND_TEST_CASE("a handle of which the exception was about is unregistered", "[coroutine]", backends) {
  coroutines<TestType> sel;
  timer_waiters timers;
  auto pipe = make_pipe();
  const auto wait = [&]() -> task {
    co_await ready(sel, pipe.reader, event::read, timers, 1ms);
    throw std::runtime_error("let out");
  };
  task by_time = wait();
  manual_clock::time += 1ms;
  CHECK_THROWS_AS(resume(timers.expired()), std::runtime_error);
  CHECK(sel.empty());
  task by_readiness = wait();
  write_byte(pipe.writer);
  CHECK_THROWS_AS(resume(sel.select(10s)), std::runtime_error);
  CHECK(sel.empty());
  CHECK(timers.empty());
}

BACKEND_TEST_CASE("cleared, closed or destroyed, a selector lets go of who waits", "[coroutine]", backends) {
  const int how = GENERATE(0, 1, 2, 3);
  const bool from_inside = GENERATE(false, true);
  auto sel = std::make_unique<coroutines<TestType>>();
  timer_waiters timers;
  auto pair = make_socket_pair();
  auto other = make_socket_pair();
  outcome out[3];
  const auto act = [&] {
    if (how == 0) sel->clear();
    if (how == 1) sel->close();
    if (how == 2) sel.reset();
    if (how == 3) {
      sel->clear();
      resume(sel->select(0s));
    }
  };
  task first;
  if (from_inside) first = then(*sel, pair.first, event::write, act);
  task waiting[] = {wait_once(*sel, pair.first, event::write, out[0]),
                    wait_until(*sel, pair.first, event::write, timers, 1ms, out[1]),
                    wait_until(*sel, other.first, event::read, timers, 1ms, out[2])};
  const bool destroys_early = GENERATE(false, true);
  from_inside ? resume(sel->select(10s)) : act();
  if (destroys_early)
    for (task& one : waiting) one.destroy();
  if (how == 1) sel->reopen();
  manual_clock::time += 1ms;
  if (sel) CHECK(sel->empty());
  for (int round = 0; round != 2; ++round) {
    resume(timers.expired());
    if (sel) resume(sel->select(0s));
  }
  for (const outcome& one : out) CHECK(one.resumed == 0);
  CHECK(timers.empty());
  if (sel) {
    outcome anew;
    task again = wait_once(*sel, pair.first, event::write, anew);
    resume(sel->select(10s));
    CHECK(anew.resumed == 1);
  }
}

BACKEND_TEST_CASE("cleared or destroyed, a queue lets go of who waits", "[coroutine]", backends) {
  const bool is_destroyed = GENERATE(false, true);
  const bool from_inside = GENERATE(false, true);
  coroutines<TestType> sel;
  auto timers = std::make_unique<timer_waiters>();
  auto pair = make_socket_pair();
  outcome plain, both;
  const auto act = [&]() -> task {
    if (from_inside) co_await elapsed(*timers, 0ms);
    is_destroyed ? timers.reset() : timers->clear();
  };
  const auto wait = [&]() -> task {
    co_await elapsed(*timers, 0ms);
    ++plain.resumed;
  };
  task waiting = wait_until(sel, pair.first, event::write, *timers, 1h, both);
  task first = act();
  task second;
  if (from_inside) {
    resume(timers->expired());
  }
  if (!is_destroyed) second = wait();
  if (is_destroyed) CHECK(sel.empty());
  resume(sel.select(0s));
  CHECK(both.resumed == 0);
  CHECK(sel.empty());
  if (!is_destroyed) resume(timers->expired());
  CHECK(plain.resumed == (is_destroyed ? 0 : 1));
  CHECK(first.is_done());
}

BACKEND_TEST_CASE("a queue that a coroutine clears lets go of who is next on the same handle", "[coroutine]",
                  backends) {
  coroutines<TestType> sel;
  timer_waiters timers;
  auto pair = make_socket_pair();
  outcome both, plain;
  task first = then(sel, pair.first, event::write, [&] { timers.clear(); });
  task second = wait_until(sel, pair.first, event::write, timers, 1h, both);
  task third = wait_once(sel, pair.first, event::write, plain);
  resume(sel.select(10s));
  CHECK(both.resumed == 0);
  CHECK(plain.resumed == 1);
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("who is unregistered by the program is let go", "[coroutine]", backends) {
  coroutines<TestType> sel;
  auto pair = make_socket_pair();
  outcome before[2], after;
  task waiting[] = {wait_once(sel, pair.first, event::write, before[0]),
                    wait_once(sel, pair.first, event::write, before[1])};
  sel.unregister(pair.first);
  task anew = wait_once(sel, pair.first, event::write, after);
  waiting[0].destroy();
  CHECK(sel.contains(pair.first));
  resume(sel.select(10s));
  waiting[1].destroy();
  resume(sel.select(0s));
  CHECK(after.resumed == 1);
  CHECK(before[0].resumed + before[1].resumed == 0);
}

BACKEND_TEST_CASE("a loop inside of a coroutine resumes the others, and does not spin", "[coroutine]",
                  backends) {
  coroutines<TestType> sel;
  timer_waiters timers;
  auto pair = make_socket_pair();
  outcome out[3];
  std::chrono::steady_clock::duration passed{};
  const auto act = [&] {
    resume(sel.select(0s));
    CHECK(out[0].resumed == 1);
    CHECK(sel.contains(pair.first));
    // The handle is still writable, and still registered, but nobody waits for it.
    for (int round = 0; round != 3; ++round) resume(sel.select(0s));
    const auto start = std::chrono::steady_clock::now();
    resume(sel.select(20ms));
    passed = std::chrono::steady_clock::now() - start;
    resume(timers.expired());
    CHECK(out[1].resumed == 1);
    task fourth = wait_once(sel, pair.first, event::write, out[2]);
    for (int round = 0; round != 3; ++round) resume(sel.select(0s));
    CHECK(out[2].resumed == 1);
    CHECK(sel.at(pair.first).events().empty());  // nobody waits, but one is being resumed
  };
  task first = then(sel, pair.first, event::write, act);
  task second = wait_once(sel, pair.first, event::write, out[0]);
  task third = wait_until(sel, pair.first, event::read, timers, 0ms, out[1]);
  resume(sel.select(10s));
  CHECK(first.is_done());
  CHECK(passed >= 20ms);
  CHECK(out[0].resumed == 1);
  CHECK(out[1].resumed == 1);
  CHECK(out[1].got.empty());
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("a coroutine closes the handle for which others wait", "[coroutine]", backends) {
  coroutines<TestType> sel;
  auto pair = make_socket_pair();
  fill_for_good(pair.first);
  outcome writes;
  const auto number = pair.first.get();
  task reading = then(sel, pair.first, event::read, [&] { pair.first.close(); });
  task writing = wait_once(sel, pair.first, event::write, writes);
  write_byte(pair.second);
  resume(sel.select(10s));
  CHECK(reading.is_done());
  // The other one learns it, too, whether the kernel reports it or forgets the descriptor.
  for (int round = 0; round != 3; ++round) resume(sel.select(0s));
  CHECK(writes.resumed == 1);
  CHECK(writes.got.contains(event::write));
  CHECK_FALSE(sel.contains(number));
}

BACKEND_TEST_CASE("the last of all destroys the selector or the queue", "[coroutine]", backends) {
  auto sel = std::make_unique<coroutines<TestType>>();
  auto timers = std::make_unique<timer_waiters>();
  auto pair = make_socket_pair();
  auto other = make_socket_pair();
  int resumed = 0;
  const auto wait = [&](descriptor& h) -> task {
    co_await ready(*sel, h, event::write);
    ++resumed;
    sel.reset();
  };
  const auto wait_for_time = [&](std::chrono::milliseconds time) -> task {
    co_await elapsed(*timers, time);
    ++resumed;
    timers.reset();
  };
  task waiting[] = {wait(pair.first), wait(other.first), wait_for_time(0ms), wait_for_time(1ms)};
  resume(sel->select(10s));
  CHECK(resumed == 1);
  manual_clock::time += 1ms;
  resume(timers->expired());
  CHECK(resumed == 2);
  for (task& one : waiting) one.destroy();
}

BACKEND_TEST_CASE("a mark wakes who waits", "[coroutine]", backends) {
  coroutines<TestType> sel;
  auto pipe = make_pipe();
  outcome out;
  task waiting = wait_once(sel, pipe.reader, event::read, out);
  sel.mark_ready(pipe.reader, event::read);
  resume(sel.select(10s));
  CHECK(out.got == event::read);
}

// Whatever coroutines and programs do to each other, in thousands of orders.
BACKEND_TEST_CASE("chaos among coroutines", "[coroutine][random]", backends) {
  std::mt19937 random(GENERATE(range(1U, 21U)));
  const auto below = [&](std::size_t n) { return random() % n; };
  std::optional<coroutines<TestType>> sel(std::in_place);
  timer_waiters timers;
  std::vector<socket_pair> pairs;
  for (int i = 0; i != 4; ++i) pairs.push_back(make_socket_pair());
  struct one {
    task coroutine;
    native_handle_type handle{};
    event_mask events;
    bool is_waiting = false;
    bool is_running = false;
  };
  std::vector<one> all(24);
  int depth = 0;
  int resumed = 0;

  std::function<void()> disturb;
  const auto live = [&](std::size_t number) -> task {
    one& self = all[number];
    for (;;) {
      if (below(10) == 0) co_return;
      static constexpr event_mask choices[] = {event::read, event::write, event::read | event::write, {}};
      const descriptor& h = pairs[below(pairs.size())].first;
      self.handle = h.get();
      self.events = choices[below(4)];
      self.is_waiting = true;
      self.is_running = false;
      event_mask got;
      if (below(3) == 0) {
        got = co_await ready(*sel, h, self.events, timers, std::chrono::milliseconds(below(5)));
      } else if (below(4) == 0) {
        self.events = {};
        self.is_waiting = false;
        co_await elapsed(timers, std::chrono::milliseconds(below(5)));
      } else {
        got = co_await ready(*sel, h, self.events);
        if (got.empty()) throw std::logic_error("resumed without a reason");
      }
      self.is_waiting = false;
      self.is_running = true;
      if (!self.events.contains(got & requestable)) throw std::logic_error("given what was not requested");
      ++resumed;
      disturb();
      if (below(12) == 0) {
        self.is_running = false;
        throw std::runtime_error("let out");
      }
    }
  };
  const auto run = [&] {
    try {
      resume(sel->select(0s));
      manual_clock::time += 1ms;
      resume(timers.expired());
    } catch (const std::runtime_error&) {
    }
  };
  const auto end = [&](std::size_t number) {
    if (all[number].is_running) return;
    all[number].coroutine.destroy();
    all[number].is_waiting = false;
  };
  disturb = [&] {
    for (std::size_t n = below(4); n != 0; --n) {
      switch (below(8)) {
        case 0:
        case 1: end(below(all.size())); break;
        case 2:
          if (depth < 2) {
            ++depth;
            run();
            --depth;
          }
          break;
        case 3: write_byte(pairs[below(pairs.size())].second); break;
        case 4: drain(pairs[below(pairs.size())].first); break;
        case 5:
          if (below(8) != 0) break;
          sel->clear();
          for (one& each : all) each.is_waiting = false;
          break;
        case 6:
          if (below(8) != 0) break;
          timers.clear();
          break;
        default: break;
      }
    }
  };
  for (int round = 0; round != 300; ++round) {
    const std::size_t number = below(all.size());
    end(number);
    all[number].is_running = true;
    all[number].coroutine = live(number);
    all[number].is_running = false;
    disturb();
    run();
  }
  CHECK(resumed > 300);
  for (std::size_t n = 0; n != all.size(); ++n) end(n);
  resume(timers.expired());
  CHECK(sel->empty());
  CHECK(timers.empty());
  sel.reset();
}

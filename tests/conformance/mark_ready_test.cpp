// SPDX-License-Identifier: BSL-1.0

// mark_ready: for what is ready above the descriptor. The next select reports it, once, without waiting.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/replaced.hpp"

#include <limits>
#include <optional>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// Fails if a select waits.
constexpr auto never = 3600s;

template <class Backend>
struct one_key {
  selector<int, Backend> sel;
  pipe_ends pipe = make_pipe();
  native_handle_type handle = pipe.reader.get();
};

}  // namespace

BACKEND_TEST_CASE("a mark is reported by the next select, without waiting, once", "[mark]", backends) {
  const int which = GENERATE(0, 1, 2);
  INFO("mode " << which);
  with_mode<TestType>(which, [](auto mode, bool) {
    one_key<TestType> one;
    one.sel.register_(one.handle, mode(event::read), 1);
    for (int i = 0; i != 3; ++i) {
      one.sel.mark_ready(one.handle, event::read);
      CHECK(ready(one.sel, never) == readiness{{one.handle, event::read}});
      expect_idle_for(one.sel, 5ms);
      one.sel.modify(one.handle, mode(event::read));
    }
    one.sel.mark_ready(one.sel.at(one.handle), event::read);
    CHECK(ready(one.sel, never).size() == 1);
  });
}

BACKEND_TEST_CASE("a mark and what the kernel reports are one entry", "[mark]", backends) {
  selector<void, TestType> sel;
  auto [first, second] = make_socket_pair();
  const bool is_oneshot = GENERATE(false, true);
  if (is_oneshot)
    sel.register_(first, oneshot(event::read | event::write));
  else
    sel.register_(first, event::read | event::write);
  sel.mark_ready(first, event::read);
  expect_ready(sel, {{first.get(), event::read | event::write}});
  if (is_oneshot) {
    expect_idle(sel);
  } else {
    expect_ready(sel, {{first.get(), event::write}});
    sel.mark_ready(first, event::write);
    expect_ready(sel, {{first.get(), event::write}});
  }
}

BACKEND_TEST_CASE("a mark of what is not requested when it is reached is dropped", "[mark]", backends) {
  one_key<TestType> one;
  one.sel.register_(one.handle, event::read, 1);
  SECTION("not requested") { one.sel.mark_ready(one.handle, event::write); }
  SECTION("nothing") { one.sel.mark_ready(one.handle, event_mask()); }
  SECTION("paused") {
    one.sel.modify(one.handle, {});
    one.sel.mark_ready(one.handle, event::read);
  }
  SECTION("paused later") {
    one.sel.mark_ready(one.handle, event::read);
    one.sel.modify(one.handle, {});
  }
  SECTION("unregistered later") {
    one.sel.mark_ready(one.handle, event::read);
    one.sel.unregister(one.handle);
    one.sel.register_(one.handle, event::read, 2);
  }
  SECTION("a one-shot that has fired") {
    one.sel.modify(one.handle, oneshot(event::read));
    one.sel.mark_ready(one.handle, event::read);
    expect_ready(one.sel, {{one.handle, event::read}});
    one.sel.mark_ready(one.handle, event::read);
  }
  expect_idle_for(one.sel, 5ms);
  one.sel.modify(one.handle, oneshot(event::read));
  expect_idle_for(one.sel, 5ms);
  write_byte(one.pipe.writer);
  expect_ready(one.sel, {{one.handle, event::read}});
}

BACKEND_TEST_CASE("a mark is filtered to what is requested by then", "[mark]", backends) {
  one_key<TestType> one;
  one.sel.register_(one.handle, event::read | priority_or_read<TestType>, 1);
  one.sel.mark_ready(one.handle, requestable);
  expect_ready(one.sel, {{one.handle, event::read | priority_or_read<TestType>}});
  one.sel.mark_ready(one.handle, event::read);
  one.sel.mark_ready(one.handle, priority_or_read<TestType>);
  one.sel.modify(one.handle, event::read);
  expect_ready(one.sel, {{one.handle, event::read}});
  expect_idle(one.sel);
}

BACKEND_TEST_CASE("the errors of mark_ready come in order, and mark nothing", "[mark]", backends) {
  one_key<TestType> one;
  const auto outcome = [&](native_handle_type handle, event_mask events) {
    std::error_code error = errc::forked;
    const bool is_done = one.sel.mark_ready(handle, events, error);
    CHECK(is_done == !error);
    return error;
  };
  one.sel.register_(one.handle, event::read, 1);
  CHECK_FALSE(outcome(one.handle, event_mask()));
  for (const event bad : {event::error, event::hangup})
    CHECK(outcome(one.handle, bad | event::read) == errc::invalid_events);
  if (requestable_events<TestType>.contains(event::read_hangup))
    CHECK_FALSE(outcome(one.handle, event::read_hangup));
  else
    CHECK(outcome(one.handle, event::read_hangup) == errc::invalid_events);
  CHECK(outcome(detail::invalid_handle, event::error) == errc::invalid_handle);
  CHECK(outcome(one.pipe.writer.get(), event::error) == errc::not_registered);
  auto& key = one.sel.unregister(one.handle);
  CHECK(error_of([&](auto& error) { one.sel.mark_ready(key, event::read, error); }) == errc::not_registered);
  one.sel.register_(one.handle, priority_or_read<TestType>, 2);
  CHECK(error_of([&](auto& error) { one.sel.mark_ready(key, event::read, error); }) == errc::not_registered);
  expect_idle(one.sel);
  one.sel.close();
  CHECK(outcome(detail::invalid_handle, event::error) == errc::closed);
  CHECK_THROWS_AS(one.sel.mark_ready(one.handle, event::read), std::system_error);
}

BACKEND_TEST_CASE("within a loop, a mark is for the next select", "[mark]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
  write_byte(pipes[0].writer);
  write_byte(pipes[1].writer);
  int reached = 0;
  for ([[maybe_unused]] auto one : sel.select(0s)) {
    ++reached;
    for (auto& [reader, writer] : pipes) {
      drain(reader);
      sel.mark_ready(reader, event::read);
    }
  }
  CHECK(reached == 2);
  CHECK(ready(sel, never).size() == 3);
  expect_idle(sel);
}

BACKEND_TEST_CASE("a handler that marks its own key is called again by each select, and by no other",
                  "[mark]", backends) {
  const int which = GENERATE(0, 2);
  with_mode<TestType>(which, [](auto mode, bool) {
    one_key<TestType> one;
    one.sel.register_(one.handle, mode(event::read), 1);
    write_byte(one.pipe.writer);
    for (int i = 0; i != 5; ++i) {
      int reached = 0;
      for (auto [key, events] : one.sel.select(never)) {
        ++reached;
        drain(one.pipe.reader);
        one.sel.mark_ready(key, event::read);
      }
      CHECK(reached == 1);
    }
    expect_ready(one.sel, {{one.handle, event::read}});
    expect_idle(one.sel);
  });
}

BACKEND_TEST_CASE("a mark that was not reached is kept", "[mark]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(5);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, event::read);
    sel.mark_ready(reader, event::read);
  }
  readiness found;
  for (int i = 0; i != 5; ++i) {
    for (auto [key, events] : sel.select(never)) {
      CHECK(found.emplace(key.handle(), events).second);
      break;
    }
  }
  CHECK(found.size() == 5);
  expect_idle(sel);
}

BACKEND_TEST_CASE("a marked one-shot fires once, and re-arms as ever", "[mark]", backends) {
  one_key<TestType> one;
  one.sel.register_(one.handle, oneshot(event::read), 1);
  one.sel.mark_ready(one.handle, event::read);
  expect_ready(one.sel, {{one.handle, event::read}});
  write_byte(one.pipe.writer);
  expect_idle(one.sel);
  one.sel.mark_ready(one.handle, event::read);
  expect_idle(one.sel);
  one.sel.modify(one.handle, oneshot(event::read));
  expect_ready(one.sel, {{one.handle, event::read}});
  expect_idle(one.sel);
}

BACKEND_TEST_CASE("a mark survives a move, and what becomes of the kernel object", "[mark]", backends) {
  one_key<TestType> one;
  one.sel.register_(one.handle, event::read, 1);
  one.sel.mark_ready(one.handle, event::read);
  SECTION("reopen") {
    one.sel.reopen();
    CHECK(ready(one.sel, never).size() == 1);
    expect_idle(one.sel);
  }
  SECTION("move") {
    auto other = std::move(one.sel);
    CHECK(ready(other, never).size() == 1);
    expect_idle(other);
  }
  SECTION("clear") {
    one.sel.clear();
    one.sel.register_(one.handle, event::read, 2);
    expect_idle(one.sel);
  }
}

BACKEND_TEST_CASE("a mark costs no memory and no system call", "[mark]", backends) {
  selector<void, counting<TestType>> sel;
  auto pipes = make_pipes(200);
  for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
  const auto changes = sel.backend().counters().changes;
  const auto memory = allocations();
  for (int i = 0; i != 3; ++i) {
    for (auto& [reader, writer] : pipes) sel.mark_ready(reader, event::read);
    std::size_t count = 0;
    for ([[maybe_unused]] auto one : sel.select(never)) ++count;
    REQUIRE(count == pipes.size());
  }
  CHECK(allocations() == memory);
  CHECK(sel.backend().counters().changes == changes);
  CHECK(sel.backend().counters().waits == 3);
}

BACKEND_TEST_CASE("a select with a mark is no select that a signal ended", "[mark]", backends) {
  one_key<TestType> one;
  one.sel.register_(one.handle, event::read, 1);
  one.sel.mark_ready(one.handle, event::read);
  const auto range = one.sel.select();
  CHECK_FALSE(range.interrupted());
  CHECK_FALSE(range.empty());
}

// SPDX-License-Identifier: BSL-1.0

// An empty mask silences everything.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("a paused handle reports nothing, not even a hang-up", "[pausing]", backends) {
  selector<int, TestType> sel;
  auto [first, second] = make_socket_pair();
  write_byte(second);
  auto& key = sel.register_(first, event::read | event::write, 3);
  sel.modify(first, {});
  second.close();
  expect_idle_for(sel, 20ms);
  CHECK(key.events().empty());
  CHECK(sel.size() == 1);
  sel.modify(first, event::read);
  CHECK(key.data() == 3);
  expect_raised(sel, {{first.get(), event::read}});
}

BACKEND_TEST_CASE("a handle can be registered paused", "[pausing]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  sel.register_(pipe.reader, event_mask());
  expect_idle_for(sel, 20ms);
  sel.modify(pipe.reader, event::read);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

// Found by the chaos test: room was made for as many as were watched at the time, not for the paused.
BACKEND_TEST_CASE("many handles registered paused are resumed together", "[pausing]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(100);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event_mask());
  }
  const std::size_t before = allocations();
  for (auto& key : sel) sel.modify(key, event::read);
  CHECK(allocations() == before);
  CHECK(ready(sel).size() == 100);
}

BACKEND_TEST_CASE("the writer of a pipe whose reader is gone is silent while paused", "[pausing]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.writer, event_mask());
  pipe.reader.close();
  expect_idle_for(sel, 20ms);
  sel.modify(pipe.writer, event::write);
  expect_raised(sel, {{pipe.writer.get(), event::write}});
}

BACKEND_TEST_CASE("a one-shot can be paused and resumed", "[pausing]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  sel.register_(pipe.reader, oneshot(event::read));
  sel.modify(pipe.reader, {});
  expect_idle(sel);
  sel.modify(pipe.reader, oneshot(event::read));
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  expect_idle(sel);
  sel.modify(pipe.reader, {});
  expect_idle(sel);
}

BACKEND_TEST_CASE("resuming an edge reports what is ready", "[pausing]", backends) {
  if constexpr (supports<TestType, trigger::edge>) {
    selector<void, TestType> sel;
    auto pipe = make_pipe();
    write_byte(pipe.writer);
    sel.register_(pipe.reader, edge(event::read));
    expect_ready(sel, {{pipe.reader.get(), event::read}});
    expect_idle(sel);
    sel.modify(pipe.reader, {});
    sel.modify(pipe.reader, edge(event::read));
    expect_ready(sel, {{pipe.reader.get(), event::read}});
    expect_idle(sel);
  }
}

BACKEND_TEST_CASE("pausing and resuming in the loop does not report twice", "[pausing]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(2);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  int reached = 0;
  for ([[maybe_unused]] auto one : sel.select()) {
    ++reached;
    for (auto& other : sel) {
      sel.modify(other, {});
      sel.modify(other, event::read);
    }
  }
  CHECK(reached == 2);
}

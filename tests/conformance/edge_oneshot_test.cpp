// SPDX-License-Identifier: BSL-1.0

// Triggering: edge, one-shot, exclusive.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("a one-shot reports once, then is silent until modify", "[oneshot]", backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, oneshot(event::read), 1);
  expect_idle(sel);
  write_byte(pipe.writer);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  write_byte(pipe.writer);
  expect_idle_for(sel, 10ms);
  pipe.writer.close();
  expect_idle_for(sel, 10ms);
  CHECK(sel.at(pipe.reader).events() == event::read);
  for (int i = 0; i != 2; ++i) {
    sel.modify(pipe.reader, oneshot(event::read));
    expect_raised(sel, {{pipe.reader.get(), event::read}});
    expect_idle(sel);
  }
  sel.modify(pipe.reader, event::read);
  for (int i = 0; i != 2; ++i) expect_raised(sel, {{pipe.reader.get(), event::read}});
}

BACKEND_TEST_CASE("a one-shot reports all that is ready, and is silent for all", "[oneshot]", backends) {
  selector<void, TestType> sel;
  auto [first, second] = make_socket_pair();
  sel.register_(first, oneshot(event::read | event::write));
  expect_ready(sel, {{first.get(), event::write}});
  write_byte(second);
  expect_idle_for(sel, 10ms);
  sel.modify(first, oneshot(event::read | event::write));
  expect_ready(sel, {{first.get(), event::read | event::write}});
}

BACKEND_TEST_CASE("a one-shot may be armed again by its handler", "[oneshot]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  sel.register_(pipe.reader, oneshot(event::read));
  for (int i = 0; i != 3; ++i) {
    int reached = 0;
    for (auto [key, events] : sel.select()) {
      ++reached;
      sel.modify(key, oneshot(event::read));
    }
    CHECK(reached == 1);
  }
}

BACKEND_TEST_CASE("an edge is reported once for each change", "[edge]", backends) {
  if constexpr (supports<TestType, trigger::edge>) {
    selector<void, TestType> sel;
    auto pipe = make_pipe();
    sel.register_(pipe.reader, edge(event::read));
    expect_idle(sel);
    for (int i = 0; i != 2; ++i) {
      write_byte(pipe.writer);
      expect_ready(sel, {{pipe.reader.get(), event::read}});
      expect_idle(sel);
    }
    sel.modify(pipe.reader, edge(event::read));
    expect_ready(sel, {{pipe.reader.get(), event::read}});
    expect_idle(sel);
  }
}

BACKEND_TEST_CASE("of an exclusive interest at least one selector is woken, and it is what modify says",
                  "[exclusive]", backends) {
  if constexpr (supports<TestType, trigger::level, true>) {
    selector<void, TestType> first, second;
    listener server;
    for (auto* sel : {&first, &second}) sel->register_(server.socket, exclusive(event::read));
    const descriptor client = server.connect();
    CHECK(ready(first, 0s).size() + ready(second, 0s).size() >= 1);
    first.modify(server.socket, exclusive(event::read | event::write));
    expect_ready(first, {{server.socket.get(), event::read}});
    first.modify(server.socket, event::read);
    expect_ready(first, {{server.socket.get(), event::read}});
    first.modify(server.socket, exclusive(edge(event::read)));
    expect_ready(first, {{server.socket.get(), event::read}});
    expect_idle(first);
    first.modify(server.socket, event_mask());
    expect_idle(first);
    first.modify(server.socket, exclusive(event::read));
    expect_ready(first, {{server.socket.get(), event::read}});
    expect_ready(first, {{server.socket.get(), event::read}});
  }
}

BACKEND_TEST_CASE("an exclusive interest takes read and write only", "[exclusive]", backends) {
  if constexpr (supports<TestType, trigger::level, true>) {
    selector<void, TestType> sel;
    auto pipe = make_pipe();
    CHECK(error_of([&](auto& error) {
            sel.register_(pipe.reader, exclusive(event::read | event::priority), error);
          }) == errc::invalid_events);
    sel.register_(pipe.reader, exclusive(event::read));
    CHECK(error_of([&](auto& error) { sel.modify(pipe.reader, exclusive(edge(event::priority)), error); }) ==
          errc::invalid_events);
    write_byte(pipe.writer);
    expect_ready(sel, {{pipe.reader.get(), event::read}});
  }
}

BACKEND_TEST_CASE("what a backend does not have, a program can ask", "[edge]", backends) {
  using type = selector<void, TestType>;
  STATIC_REQUIRE(supports<TestType, trigger::level>);
  STATIC_REQUIRE(supports<TestType, trigger::oneshot>);
  STATIC_REQUIRE_FALSE(supports<TestType, trigger::oneshot, true>);
  STATIC_REQUIRE(supports<TestType, trigger::edge> == has_object<TestType>);
  STATIC_REQUIRE(supports<TestType, trigger::level, true> == is_epoll<TestType>);
  STATIC_REQUIRE(requires(type& sel) { sel.register_(1, edge(event::read)); } == has_object<TestType>);
  STATIC_REQUIRE(requires(type& sel) { sel.modify(1, exclusive(event::read)); } == is_epoll<TestType>);
}

BACKEND_TEST_CASE("an edge that was told with its details is told again when it changes", "[edge]",
                  backends) {
  if constexpr (supports<TestType, trigger::edge>) {
    selector<void, TestType> sel;
    auto [first, second] = make_socket_pair();
    sel.register_(first, edge(event::read));
    checked(::shutdown(second.get(), SHUT_WR), "shutdown");
    expect_ready(sel, {{first.get(), event::read | event::read_hangup}});
    expect_idle(sel);
    second.close();
    event_mask told = event::read | event::read_hangup | event::hangup;
    if (is_kqueue<TestType>) told -= event::hangup;  // its reader's filter knows one half alone
    expect_ready(sel, {{first.get(), told}});
    expect_idle(sel);
  }
}

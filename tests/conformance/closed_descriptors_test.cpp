// SPDX-License-Identifier: BSL-1.0

// Descriptors that are closed while registered.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <system_error>

using namespace selectors;
using namespace support;

namespace {

// A closed number that is registered, and a live pipe beside it.
template <class Backend>
struct with_closed {
  selector<int, Backend> sel;
  pipe_ends live = make_pipe();
  pipe_ends closed = make_pipe();
  native_handle_type number = closed.reader.get();

  explicit with_closed(event_mask what = event::read) {
    sel.register_(live.reader, event::read, 1);
    sel.register_(number, what, 2);
    closed.reader.close();
  }
  // Where the kernel tells of it: once, as an error with what was asked for.
  void expect_told(event_mask asked = event::read) {
    if (!has_object<Backend>) expect_ready(sel, {{number, asked | event::error}});
  }
};

}  // namespace

BACKEND_TEST_CASE("a closed descriptor can be unregistered", "[closed]", backends) {
  with_closed<TestType> one;
  CHECK(one.sel.unregister(one.number).data() == 2);
  expect_idle_for(one.sel, 10ms);
  CHECK(one.sel.size() == 1);
}

BACKEND_TEST_CASE("a closed descriptor can be paused", "[closed]", backends) {
  with_closed<TestType> one;
  one.sel.modify(one.number, {});
  expect_idle_for(one.sel, 10ms);
  CHECK(one.sel.size() == 2);
}

BACKEND_TEST_CASE("a closed descriptor is told once where the kernel tells of it, and then silent",
                  "[closed]", backends) {
  const event_mask asked =
      GENERATE(event_mask(event::read), event::read | priority_or_read<TestType>, event_mask(event::write));
  with_closed<TestType> one(asked);
  one.expect_told(asked);
  expect_idle_for(one.sel, 10ms);
  CHECK(one.sel.at(one.number).events() == asked);
}

BACKEND_TEST_CASE("a closed descriptor spoils nothing for the others", "[closed]", backends) {
  with_closed<TestType> one;
  write_byte(one.live.writer);
  readiness expected{{one.live.reader.get(), event::read}};
  if (!has_object<TestType>) expected[one.number] = event::read | event::error;
  expect_ready(one.sel, expected);
  expect_ready(one.sel, {{one.live.reader.get(), event::read}});
}

BACKEND_TEST_CASE("modifying a closed descriptor fails with epoll and kqueue, and is told again elsewhere",
                  "[closed]", backends) {
  with_closed<TestType> one;
  one.expect_told();
  std::error_code error;
  one.sel.modify(one.number, event::read | event::write, error);
  if (has_object<TestType>) {
    CHECK(error == std::error_code(EBADF, std::system_category()));
    CHECK(one.sel.at(one.number).events() == event::read);
    CHECK_THROWS_AS(one.sel.modify(one.number, event::write), std::system_error);
  } else {
    CHECK_FALSE(error);
    expect_ready(one.sel, {{one.number, event::read | event::write | event::error}});
  }
  expect_idle_for(one.sel, 10ms);
}

BACKEND_TEST_CASE("a number in use again recovers by unregister and register_", "[closed]", backends) {
  with_closed<TestType> one;
  one.expect_told();
  auto fresh = make_pipe();
  dup_onto(fresh.reader, one.number).release();
  const descriptor again(one.number);
  CHECK(error_of([&](auto& error) { one.sel.register_(again, event::read, 3, error); }) ==
        errc::already_registered);
  one.sel.unregister(again);
  one.sel.register_(again, event::read, 3);
  expect_idle(one.sel);
  write_byte(fresh.writer);
  expect_ready(one.sel, {{again.get(), event::read}});
}

BACKEND_TEST_CASE("many closed descriptors and many ready ones are told in one call", "[closed]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(200);
  readiness expected;
  for (std::size_t i = 0; i != pipes.size(); ++i) {
    auto& [reader, writer] = pipes[i];
    const auto number = reader.get();
    sel.register_(number, event::read);
    write_byte(writer);
    expected[number] = event::read;
    if (i % 3 != 0) continue;
    reader.close();
    if (has_object<TestType>)
      expected.erase(number);
    else
      expected[number] = event::read | event::error;
  }
  expect_ready(sel, expected);
  CHECK(ready(sel).size() == 133);
}

BACKEND_TEST_CASE("a descriptor closed in the loop by somebody else is reached no more than once", "[closed]",
                  backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    if (reached++ != 0) continue;
    for (auto& [reader, writer] : pipes)
      if (reader.get() != key.handle()) reader.close();
  }
  CHECK(reached == 3);
  const std::size_t next = ready(sel).size();
  CHECK(next == (has_object<TestType> ? 1 : 3));
  CHECK(ready(sel).size() == 1);
}

BACKEND_TEST_CASE("reopen tells a closed descriptor once, as an error", "[closed]", backends) {
  if (!keeps_number<TestType>) return;  // it may take the closed one
  with_closed<TestType> one;
  one.sel.reopen();
  expect_ready(one.sel, {{one.number, event::read | event::error}});
  expect_idle_for(one.sel, 10ms);
  one.sel.reopen();
  expect_idle_for(one.sel, 10ms);
}

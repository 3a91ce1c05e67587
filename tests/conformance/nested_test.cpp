// SPDX-License-Identifier: BSL-1.0

// A selector inside another loop: its native handle is readable exactly while `select(0)` would report
// something, or has something to destroy.

#include "support/nested.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL

#include <fcntl.h>

using namespace selectors;
using namespace support;

namespace {

constexpr auto no_front = "the queue has no events of the program's own";

}

BACKEND_TEST_CASE("an outer loop hears of a ready key until it is read, and of nothing else", "[nested]",
                  outer_loops) {
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  auto pipes = make_pipes(2);
  for (auto& pipe : pipes) inner.register_(pipe.reader, event::read);
  CHECK_FALSE(outer.hears());
  for (int round = 0; round != 3; ++round) {
    write_byte(pipes[1].writer);
    CHECK(outer.hears());
    expect_ready(inner, {{pipes[1].reader.get(), event::read}});
    drain(pipes[1].reader);
    expect_idle(inner);
    CHECK_FALSE(outer.hears());
  }
}

BACKEND_TEST_CASE("an outer loop hears what happens after the inner selector healed or was reopened",
                  "[nested]", outer_loops) {
  const int quiet = GENERATE(0, 40, 200);  // beyond 32 keys leaks are isolated
  const bool is_reopened = GENERATE(false, true);
  nested_selector<> inner;
  const int handle = inner.native_handle();
  TestType outer(handle);
  auto live = make_pipe();
  auto pipes = make_pipes(static_cast<std::size_t>(quiet));
  for (auto& pipe : pipes) inner.register_(pipe.reader, event::read);
  inner.register_(live.reader, event::read);
  for (int leaks = 1; leaks != 30; ++leaks) {
    leak(inner);
    expect_idle(inner);
    if (is_reopened && leaks % 7 == 0) inner.reopen();
    expect_idle(inner);
    CHECK_FALSE(outer.hears());
    CHECK(inner.native_handle() == handle);
    write_byte(live.writer);
    CHECK(outer.hears());
    expect_ready(inner, {{live.reader.get(), event::read}});
    drain(live.reader);
    expect_idle(inner);
    CHECK_FALSE(outer.hears());
  }
  CHECK_FALSE(outer.hears());
}

BACKEND_TEST_CASE("keys registered while leaks are isolated wake the outer loop", "[nested]", outer_loops) {
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  auto quiet = make_pipes(50);
  for (auto& pipe : quiet) inner.register_(pipe.reader, event::read);
  leaked left = leak(inner);
  expect_idle(inner);
  auto young = make_pipes(20);
  for (auto& pipe : young) inner.register_(pipe.reader, event::read);
  for (auto* pipe : {&quiet[3], &young[5], &quiet[49], &young[19]}) {
    CHECK_FALSE(outer.hears());
    write_byte(pipe->writer);
    CHECK(outer.hears());
    expect_ready(inner, {{pipe->reader.get(), event::read}});
    drain(pipe->reader);
    expect_idle(inner);
  }
  CHECK_FALSE(outer.hears());
}

BACKEND_TEST_CASE("files that are always ready, and marked keys, wake the outer loop", "[nested]",
                  outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  auto pipe = make_pipe();
  inner.register_(pipe.reader, event::read);
  SECTION("a file") {
    const descriptor file(checked(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
    inner.register_(file, event::read);
    for (int i = 0; i != 3; ++i) {
      CHECK(outer.hears_again());
      expect_ready(inner, {{file.get(), event::read}});
    }
    inner.modify(file, {});
  }
  SECTION("a file, once") {
    const descriptor file(checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
    inner.register_(file, oneshot(event::write));
    CHECK(outer.hears());
    expect_ready(inner, {{file.get(), event::write}});
  }
  SECTION("a mark") {
    inner.mark_ready(pipe.reader, event::read);
    CHECK(outer.hears());
    expect_ready(inner, {{pipe.reader.get(), event::read}});
  }
  SECTION("a mark that was made before anybody asked for the handle, in a loop that goes on") {
    write_byte(pipe.writer);
    for (auto [key, events] : inner.select(0s)) {
      drain(pipe.reader);
      inner.mark_ready(key, event::read);
    }
    CHECK(outer.hears());
    expect_ready(inner, {{pipe.reader.get(), event::read}});
  }
  SECTION("a mark that becomes requested") {
    inner.modify(pipe.reader, {});
    inner.mark_ready(pipe.reader, event::read);
    CHECK_FALSE(outer.hears());
    inner.modify(pipe.reader, event::read);
    CHECK(outer.hears());
    expect_ready(inner, {{pipe.reader.get(), event::read}});
  }
  SECTION("a mark of what is not requested") { inner.mark_ready(pipe.reader, event::write); }
  SECTION("a mark that is dropped") {
    inner.mark_ready(pipe.reader, event::read);
    inner.modify(pipe.reader, {});
  }
  expect_idle(inner);
  CHECK_FALSE(outer.hears());
}

// A front that a child shares with its parent.
BACKEND_TEST_CASE("what a child does wakes no outer loop of its parent's, and silences none",
                  "[nested][fork]", outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<std::string> inner;
  TestType outer(inner.native_handle());
  auto pipes = make_pipes(2);
  for (auto& [reader, writer] : pipes) inner.register_(reader, oneshot(event::read), "some data");
  SECTION("wakes") {
    const int how = GENERATE(0, 1, 2, 3, 4);
    CHECK(in_child([&] {
            if (how == 0) inner.unregister(pipes[0].reader);
            if (how == 1) inner.clear();
            if (how == 2) inner.close();
            if (how == 3) nested_selector<std::string>(std::move(inner));
            if (how == 4) inner.unregister(pipes[0].reader), inner.reopen();
            return 0;
          }) == 0);
    expect_idle(inner);
    CHECK_FALSE(outer.hears());
  }
  SECTION("silences") {
    for (auto& [reader, writer] : pipes) write_byte(writer);
    auto entry = inner.select(0s).begin();
    CHECK(in_child([&] {
            while (entry != std::default_sentinel) ++entry;
            return 0;
          }) == 0);
    CHECK(outer.hears());
    CHECK(ready(inner, 0s).size() == 1);
    CHECK_FALSE(outer.hears());
  }
}

BACKEND_TEST_CASE("retired data with a destructor wakes the outer loop, which destroys it", "[nested]",
                  outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<std::shared_ptr<int>> inner;
  TestType outer(inner.native_handle());
  auto pipes = make_pipes(2);
  auto data = std::make_shared<int>(1);
  std::weak_ptr<int> is_alive = data;
  inner.register_(pipes[0].reader, event::read, std::move(data));
  inner.register_(pipes[1].reader, event::read, nullptr);
  const bool is_in_loop = GENERATE(false, true);
  if (is_in_loop) {
    write_byte(pipes[0].writer);
    CHECK(outer.hears());
    for (auto [key, events] : inner.select(0s)) inner.unregister(key);
  } else {
    inner.unregister(pipes[0].reader);
  }
  CHECK_FALSE(is_alive.expired());
  CHECK(outer.hears());
  expect_idle(inner);
  CHECK(is_alive.expired());
  CHECK_FALSE(outer.hears());
  inner.clear();
  CHECK(outer.hears());
  expect_idle(inner);
  CHECK_FALSE(outer.hears());
}

BACKEND_TEST_CASE("a key that is closed, or refused at reopen, wakes the outer loop once", "[nested]",
                  outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  auto pipe = make_pipe();
  const int number = pipe.reader.get();
  inner.register_(number, event::read);
  pipe.reader.close();
  inner.reopen();
  CHECK(outer.hears());
  expect_ready(inner, {{number, event::read | event::error}});
  expect_idle(inner);
  CHECK_FALSE(outer.hears());
}

BACKEND_TEST_CASE("the native handle is the same object however late it is asked for", "[nested]",
                  outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<> inner;
  auto pipes = make_pipes(40);
  for (auto& pipe : pipes) inner.register_(pipe.reader, event::read);
  leaked left = leak(inner);
  expect_idle(inner);  // isolated by now
  SECTION("while a loop has unreached entries") {
    for (int i : {0, 1, 2}) inner.modify(pipes[static_cast<std::size_t>(i)].reader, oneshot(event::read));
    for (int i : {0, 1, 2}) write_byte(pipes[static_cast<std::size_t>(i)].writer);
    std::optional<TestType> outer;
    for ([[maybe_unused]] auto one : inner.select(0s)) {
      outer.emplace(inner.native_handle());
      break;
    }
    CHECK(outer->hears());
    CHECK(ready(inner, 0s).size() == 2);
    expect_idle(inner);
    CHECK_FALSE(outer->hears());
  }
  SECTION("after a loop that was left at its last entry, which is ready without the kernel") {
    const descriptor file(checked(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open"));
    inner.register_(file, event::read);
    for ([[maybe_unused]] auto one : inner.select(0s)) break;
    TestType outer(inner.native_handle());
    CHECK(outer.hears());
    expect_ready(inner, {{file.get(), event::read}});
  }
  SECTION("with a mark") {
    inner.mark_ready(pipes[7].reader, event::read);
    TestType outer(inner.native_handle());
    CHECK(outer.hears());
    expect_ready(inner, {{pipes[7].reader.get(), event::read}});
    CHECK_FALSE(outer.hears());
  }
}

#endif

// SPDX-License-Identifier: BSL-1.0

// Nothing that a child process does reaches its parent's kernel object.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/raw_child.hpp"
#include "support/skip.hpp"

#include <pthread.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// What a handler does in a child that was registered before the library's: that is registered when the first
// selector is opened.
std::function<void()> in_early_handler;
[[maybe_unused]] const int early_handler = pthread_atfork(nullptr, nullptr, [] {
  if (in_early_handler) in_early_handler();
});

}  // namespace

BACKEND_TEST_CASE("a child is refused what would use its parent's kernel object", "[fork]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  auto other = make_pipe();
  sel.register_(pipe.reader, event::read);
  CHECK(in_child([&] {
          std::error_code error;
          sel.select(error);
          if (error != errc::forked) return 1;
          sel.select(0s, error);
          if (error != errc::forked) return 2;
          sel.register_(other.reader, event::read, error);
          if (error != errc::forked) return 3;
          sel.register_(-1, event::read, error);
          if (error != errc::forked) return 4;
          sel.modify(pipe.reader, event::write, error);
          if (error != errc::forked) return 5;
          sel.modify(pipe.reader, event::read, error);
          if (error != errc::forked) return 6;
          return sel.is_open() && sel.contains(pipe.reader) && sel.size() == 1 ? 0 : 7;
        }) == 0);
}

BACKEND_TEST_CASE("what a child unregisters, clears or closes stays registered with its parent", "[fork]",
                  backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(2);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, event::read);
    write_byte(writer);
  }
  const int how = GENERATE(0, 1, 2, 3);
  CHECK(in_child([&] {
          std::error_code error;
          if (how == 0) sel.unregister(pipes[0].reader, error);
          if (how == 1) sel.clear();
          if (how == 2) sel.close();
          if (how == 3) selector<void, TestType>(std::move(sel));
          return error ? 1 : 0;
        }) == 0);
  CHECK(ready(sel).size() == 2);
}

BACKEND_TEST_CASE("a child that reopens has the same keys and disturbs its parent in nothing", "[fork]",
                  backends) {
  selector<int, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, event::read, reader.get());
    write_byte(writer);
  }
  sel.modify(pipes[2].reader, oneshot(event::read));
  CHECK(in_child([&] {
          std::error_code error;
          sel.unregister(pipes[0].reader, error);
          if (error) return 1;
          sel.reopen(error);
          if (error) return 2;
          int found = 0;
          for (auto [key, events] : sel.select(10s, error)) found += key.data() == key.handle() ? 1 : 100;
          if (error || found != 2) return 3;
          sel.unregister(pipes[1].reader, error);
          if (error) return 4;
          sel.modify(pipes[2].reader, event::write, error);
          return error ? 5 : 0;
        }) == 0);
  CHECK(ready(sel).size() == 3);
  CHECK(ready(sel).size() == 2);
}

BACKEND_TEST_CASE("a grandchild is refused what its parent's reopened selector would do", "[fork]",
                  backends) {
  selector<void, TestType> sel;
  CHECK(in_child([&] {
          std::error_code error;
          sel.reopen(error);
          if (error) return 1;
          return in_child([&] {
            sel.select(0s, error);
            if (error != errc::forked) return 2;
            sel.reopen(error);
            if (error) return 3;
            sel.select(0s, error);
            return error ? 4 : 0;
          });
        }) == 0);
}

BACKEND_TEST_CASE("a selector made in a child is the child's own", "[fork]", backends) {
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  CHECK(in_child([&] {
          std::error_code error;
          selector<void, TestType> sel(error);
          if (error) return 1;
          sel.register_(pipe.reader, event::read, error);
          if (error) return 2;
          return sel.select(10s, error).empty() ? 3 : 0;
        }) == 0);
}

BACKEND_TEST_CASE("a moved selector is still its maker's", "[fork]", backends) {
  selector<void, TestType> maker;
  selector<void, TestType> sel(std::move(maker));
  CHECK(in_child([&] {
          std::error_code error;
          selector<void, TestType> moved(std::move(sel));
          moved.select(0s, error);
          if (error != errc::forked) return 1;
          sel.select(0s, error);
          return error == errc::closed ? 0 : 2;
        }) == 0);
}

BACKEND_TEST_CASE("what a loop did not reach before a fork, parent and child each still get", "[fork]",
                  backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, oneshot(event::read));
    write_byte(writer);
  }
  for ([[maybe_unused]] auto one : sel.select()) break;
  CHECK(in_child([&] {
          std::error_code error;
          sel.reopen(error);
          if (error) return 1;
          int found = 0;
          for ([[maybe_unused]] auto one : sel.select(10s, error)) ++found;
          return found == 2 ? 0 : 2;
        }) == 0);
  CHECK(ready(sel).size() == 2);
  expect_idle(sel);
}

BACKEND_TEST_CASE("every descriptor that the library makes is close-on-exec", "[fork]", backends) {
  const std::vector<int> before = open_descriptors();
  selector<void, TestType> sel;
  const wakeup other_threads;
  const auto check_new = [&] {
    const std::vector<int> after = open_descriptors();
    std::vector<int> made;
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(made));
    CHECK(made.size() == (has_object<TestType> ? 1u : 0u) + (SELECTORS_HAS_EVENTFD ? 1u : 2u));
    for (const int number : made) CHECK(is_close_on_exec(number));
  };
  check_new();
  sel.reopen();
  check_new();
  sel.close();
  sel.reopen();
  check_new();
}

BACKEND_TEST_CASE("a child that reopens within a loop of its parent arms nothing there", "[fork]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, oneshot(event::read));
    write_byte(writer);
  }
  int reached = 0;
  for ([[maybe_unused]] auto one : sel.select()) {
    if (reached++ != 0) continue;
    CHECK(in_child([&] {
            std::error_code error;
            sel.reopen(error);
            return error ? 1 : 0;
          }) == 0);
  }
  CHECK(reached == 3);
  expect_idle(sel);
}

// A process's table of descriptors may have no place for the number any more, and select(2) leaves it as it
// was asked.
BACKEND_TEST_CASE("what was closed before a fork is not ready for the child, however high its number",
                  "[fork][native]", backends) {
  if (!may_have_descriptors(6000)) {
    WARN("left out: this user may not have so many descriptors");
    return;
  }
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  sel.register_(pipe.reader, event::read);
  sel.register_(dup_above(pipe.reader, 5000), event::read);
  CHECK(in_child([&] {
          std::error_code error;
          sel.reopen(error);
          if (error) return 1;
          for ([[maybe_unused]] auto one : sel.select(10s, error)) {  // where the kernel tells of it: once
          }
          if (error) return 2;
          for (auto [key, events] : sel.select(10s, error))
            if (key.handle() != pipe.reader.get()) return 3;
          return error ? 4 : 0;
        }) == 0);
}

// kqueue(2): a child does not inherit the queue, so its number may be another file's there.
BACKEND_TEST_CASE("a number that is another file's in a child is left alone there", "[fork]", backends) {
  if constexpr (has_object<TestType>) {
    selector<void, TestType> sel;
    auto pipes = make_pipes(2);
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
    const int number = sel.native_handle();
    const int how = GENERATE(0, 1, 2, 3);
    if (is_epoll<TestType>) return;  // inherited: the number is the selector's own
    CHECK(in_child([&] {
            std::error_code error;
            const descriptor other = dup_onto(pipes[0].reader, number);
            write_byte(pipes[0].writer);
            if (how == 0) sel.close();
            if (how == 1) selector<void, TestType>(std::move(sel));
            if (how == 2) sel.reopen(error);
            if (how == 3) sel = selector<void, TestType>(error);
            if (error) return 1;
            return read_byte(other) == 'x' ? 0 : 2;
          }) == 0);
  }
}

BACKEND_TEST_CASE("a child is one in a fork handler that was registered before the library's", "[fork]",
                  backends) {
  if (!has_emptied_pages()) return skip("nothing but a fork handler of the library tells children there");
  if (is_kqueue<TestType> && is_linux)
    return skip("the double of kqueue(2) takes a child's queues away after its handlers, not before");
  selector<void, TestType> refused, reopened, cleared;
  wakeup bell;
  auto pipes = make_pipes(3);
  refused.register_(pipes[0].reader, event::read);
  reopened.register_(pipes[1].reader, event::read);
  cleared.register_(pipes[2].reader, event::read);
  for (auto& [reader, writer] : pipes) write_byte(writer);
  std::error_code refusal, error;
  in_early_handler = [&] {
    bell.notify();
    refused.select(0s, refusal);
    reopened.reopen(error);
    cleared.clear();
  };
  CHECK(in_child([&] {
          if (refusal != errc::forked) return 1;
          if (error) return 2;
          refused.select(0s, error);
          if (error != errc::forked) return 3;
          int found = 0;
          for ([[maybe_unused]] auto one : reopened.select(0s, error)) ++found;
          return error || found != 1 ? 4 : 0;
        }) == 0);
  in_early_handler = nullptr;
  CHECK_FALSE(bell.reset());
  CHECK(ready(refused).size() == 1);
  CHECK(ready(reopened).size() == 1);
  CHECK(ready(cleared).size() == 1);
}

BACKEND_TEST_CASE("a child that runs no fork handlers is one", "[fork][native]", backends) {
  if (!has_emptied_pages()) return skip("nothing but a fork handler of the library tells children there");
  selector<void, TestType> sel;
  wakeup bell;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  sel.register_(bell, event::read);
  const raw_fork how = GENERATE(raw_fork::clone, raw_fork::underscore_fork);
  CHECK(in_raw_child(how, [&] {
          std::error_code error;
          bell.notify();
          sel.select(0s, error);
          if (error != errc::forked) return 1;
          bell.reopen(error);
          if (error) return 2;
          sel.reopen(error);
          if (error) return 3;
          bell.notify();
          int found = 0;
          for (auto [key, events] : sel.select(10s, error))
            found += key.handle() == bell.native_handle() ? 1 : 9;
          if (error || found != 1) return 4;
          return in_raw_child(how, [&] {
            sel.select(0s, error);
            if (error != errc::forked || bell.reset()) return 5;
            return 0;
          });
        }) == 0);
  expect_idle(sel);
  write_byte(pipe.writer);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

BACKEND_TEST_CASE("of a child's selectors those are its own that it has reopened", "[fork]", backends) {
  selector<void, TestType> first, second;
  CHECK(in_child([&] {
          std::error_code error;
          first.reopen(error);
          if (error) return 1;
          second.select(0s, error);
          if (error != errc::forked) return 2;
          return in_child([&] {
            second.reopen(error);
            if (error) return 3;
            first.select(0s, error);
            if (error != errc::forked) return 4;
            second.select(0s, error);
            return error ? 5 : 0;
          });
        }) == 0);
}

BACKEND_TEST_CASE("a selector that a child has closed or moved from is closed there", "[fork]", backends) {
  selector<void, TestType> closed, moved;
  CHECK(in_child([&] {
          std::error_code error;
          closed.close();
          closed.select(0s, error);
          if (error != errc::closed || closed.is_open()) return 1;
          selector<void, TestType> to(std::move(moved));
          moved.select(0s, error);
          if (error != errc::closed || moved.is_open() || !to.is_open()) return 2;
          moved = std::move(to);
          moved.select(0s, error);
          if (error != errc::forked) return 3;
          closed.reopen(error);
          if (error) return 4;
          moved = std::move(closed);
          moved.select(0s, error);
          return error || closed.is_open() ? 5 : 0;
        }) == 0);
}

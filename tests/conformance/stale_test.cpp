// SPDX-License-Identifier: BSL-1.0

// One entry a handle, and nothing stale: what a loop reaches is what its key asks for at that step.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <memory>
#include <optional>
#include <vector>

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("a handle is reported once, with all its events together", "[stale]", backends) {
  selector<void, TestType> sel;
  auto [first, second] = make_socket_pair();
  write_byte(second);
  sel.register_(first, event::read | event::write);
  expect_ready(sel, {{first.get(), event::read | event::write}});
}

BACKEND_TEST_CASE("one select reports all that is ready", "[stale]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(300);
  readiness expected;
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
    expected[reader.get()] = event::read;
  }
  expect_ready(sel, expected);
  expect_ready(sel, expected);
}

BACKEND_TEST_CASE("a key unregistered in the loop is not reached any more", "[stale]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    ++reached;
    for (auto& [reader, writer] : pipes)
      if (reader.get() != key.handle()) sel.unregister(reader);
  }
  CHECK(reached == 1);
  CHECK(sel.size() == 1);
}

BACKEND_TEST_CASE("a key paused in the loop is not reached any more", "[stale]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    ++reached;
    for (auto& other : sel)
      if (&other != &key) sel.modify(other, {});
  }
  CHECK(reached == 1);
  CHECK(ready(sel).size() == 1);
}

BACKEND_TEST_CASE("an entry is cut to what its key asks for when it is reached", "[stale]", backends) {
  selector<void, TestType> sel;
  auto one = make_socket_pair();
  auto two = make_socket_pair();
  for (auto* pair : {&one, &two}) {
    write_byte(pair->second);
    sel.register_(pair->first, event::read | event::write);
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    CHECK(events == (reached++ == 0 ? event::read | event::write : event_mask(event::write)));
    for (auto& other : sel) sel.modify(other, event::write);
  }
  CHECK(reached == 2);
}

BACKEND_TEST_CASE("widening an interest in the loop invents nothing", "[stale]", backends) {
  selector<void, TestType> sel;
  auto one = make_socket_pair();
  auto two = make_socket_pair();
  for (auto* pair : {&one, &two}) sel.register_(pair->first, event::write);
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    ++reached;
    CHECK(events == event::write);
    for (auto& other : sel) sel.modify(other, event::read | event::write);
  }
  CHECK(reached == 2);
}

BACKEND_TEST_CASE("a new key on the same number never receives the old one's event", "[stale]", backends) {
  selector<int, TestType> sel;
  auto one = make_pipe();
  auto two = make_pipe();
  auto quiet = make_pipe();
  write_byte(one.writer);
  write_byte(two.writer);
  sel.register_(one.reader, event::read, 1);
  sel.register_(two.reader, event::read, 1);
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    CHECK(key.data() == 1);
    if (reached++ != 0) continue;
    descriptor& other = key.handle() == one.reader.get() ? two.reader : one.reader;
    sel.unregister(other);
    dup_onto(quiet.reader, other.get()).release();
    sel.register_(other, event::read, 2);
  }
  CHECK(reached == 1);
  CHECK(ready(sel).size() == 1);
}

BACKEND_TEST_CASE("registering in the loop disturbs nothing, however many", "[stale]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(20);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  std::vector<pipe_ends> more;
  readiness found;
  for (auto [key, events] : sel.select()) {
    CHECK(found.emplace(key.handle(), events).second);
    for (int i = 0; i != 20; ++i) {
      more.push_back(make_pipe());
      write_byte(more.back().writer);
      sel.register_(more.back().reader, event::read);
    }
  }
  CHECK(found.size() == 20);
  CHECK(ready(sel).size() == 420);
}

BACKEND_TEST_CASE("select, clear, close, reopen and a move end a loop at its next step", "[stale]",
                  backends) {
  std::optional<selector<void, TestType>> sel(std::in_place);
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel->register_(reader, event::read);
  }
  int reached = 0;
  SECTION("select") {
    auto range = sel->select();
    for ([[maybe_unused]] auto one : range) {
      ++reached;
      CHECK_FALSE(range.empty());
      (void)sel->select();
      CHECK(range.empty());
      CHECK(ready(*sel).size() == 3);
    }
  }
  SECTION("clear") {
    for ([[maybe_unused]] auto one : sel->select()) {
      ++reached;
      sel->clear();
      CHECK(sel->empty());
    }
  }
  SECTION("close") {
    for ([[maybe_unused]] auto one : sel->select()) {
      ++reached;
      sel->close();
      CHECK_FALSE(sel->is_open());
    }
  }
  SECTION("reopen") {
    for ([[maybe_unused]] auto one : sel->select()) {
      ++reached;
      sel->reopen();
    }
    CHECK(ready(*sel).size() == 3);
  }
  SECTION("move from") {
    selector<void, TestType> other;
    for ([[maybe_unused]] auto one : sel->select()) {
      ++reached;
      other = std::move(*sel);
    }
    CHECK(ready(other).size() == 3);
  }
  SECTION("move to") {
    selector<void, TestType> other;
    for ([[maybe_unused]] auto one : sel->select()) {
      ++reached;
      *sel = std::move(other);
    }
    CHECK(sel->empty());
  }
  CHECK(reached == 1);
}

BACKEND_TEST_CASE("a descriptor closed in the loop after unregistering is forgotten", "[stale]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    if (reached++ != 0) continue;
    for (auto& [reader, writer] : pipes) {
      if (reader.get() == key.handle()) continue;
      sel.unregister(reader);
      reader.close();
    }
  }
  CHECK(reached == 1);
  CHECK(ready(sel).size() == 1);
}

BACKEND_TEST_CASE("an entry is cut in its details, too", "[stale]", backends) {
  selector<void, TestType> sel;
  auto one = make_socket_pair();
  auto two = make_socket_pair();
  for (auto* pair : {&one, &two}) {
    checked(::shutdown(pair->second.get(), SHUT_WR), "shutdown");
    sel.register_(pair->first, event::read | event::write);
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    if (reached++ != 0) CHECK(events == event::write);
    for (auto& other : sel) sel.modify(other, event::write);
  }
  CHECK(reached == 2);
}

BACKEND_TEST_CASE("what the kernel found is told, even if it was closed meanwhile", "[stale]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, oneshot(event::read));
  }
  int reached = 0;
  for (auto [key, events] : sel.select()) {
    ++reached;
    CHECK(events == event::read);
    for (auto& pipe : pipes) pipe.reader.close();
  }
  CHECK(reached == 3);
}

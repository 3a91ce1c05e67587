// SPDX-License-Identifier: BSL-1.0

// What a loop did not reach is reported again by the next select, one-shot and edge too; what it reached is
// not.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <stdexcept>

#if !SELECTORS_HAS_WINSOCK
#include <fcntl.h>
#endif

using namespace selectors;
using namespace support;

namespace {

// Three pipes that are ready to read, one-shot.
template <class Backend>
struct three_oneshots {
  std::optional<selector<void, Backend>> sel{std::in_place};
  std::vector<pipe_ends> pipes = make_pipes(3);
  std::set<native_handle_type> told;

  three_oneshots() {
    for (auto& [reader, writer] : pipes) {
      write_byte(writer);
      sel->register_(reader, oneshot(event::read));
    }
  }
  void tell(native_handle_type handle) { CHECK(told.insert(handle).second); }
  void expect_the_rest(selector<void, Backend>& from) {
    for (const auto& [handle, events] : ready(from)) tell(handle);
    CHECK(told.size() == 3);
    expect_idle(from);
  }
};

}  // namespace

BACKEND_TEST_CASE("a loop left by break loses no one-shot and tells none twice", "[lost]", backends) {
  three_oneshots<TestType> all;
  for (auto [key, events] : all.sel->select()) {
    all.tell(key.handle());
    break;
  }
  all.expect_the_rest(*all.sel);
}

BACKEND_TEST_CASE("a loop left by an exception loses no one-shot", "[lost]", backends) {
  three_oneshots<TestType> all;
  try {
    for (auto [key, events] : all.sel->select()) {
      all.tell(key.handle());
      throw std::runtime_error("handler");
    }
  } catch (const std::runtime_error&) {
  }
  all.expect_the_rest(*all.sel);
}

BACKEND_TEST_CASE("a loop ended by a select within loses no one-shot", "[lost]", backends) {
  three_oneshots<TestType> all;
  for (auto [key, events] : all.sel->select()) {
    all.tell(key.handle());
    for (auto [inner, of_inner] : all.sel->select()) {
      all.tell(inner.handle());
      break;
    }
  }
  all.expect_the_rest(*all.sel);
}

BACKEND_TEST_CASE("a result that nobody looks at loses nothing", "[lost]", backends) {
  three_oneshots<TestType> all;
  (void)all.sel->select();
  CHECK_FALSE(all.sel->select().empty());
  all.expect_the_rest(*all.sel);
}

BACKEND_TEST_CASE("a loop ended by reopen or by a move loses no one-shot", "[lost]", backends) {
  three_oneshots<TestType> all;
  SECTION("reopen") {
    for (auto [key, events] : all.sel->select()) {
      all.tell(key.handle());
      all.sel->reopen();
    }
    all.expect_the_rest(*all.sel);
  }
  SECTION("move") {
    std::optional<selector<void, TestType>> other;
    for (auto [key, events] : all.sel->select()) {
      all.tell(key.handle());
      other.emplace(std::move(*all.sel));
    }
    all.expect_the_rest(*other);
  }
}

BACKEND_TEST_CASE("empty looks without reaching", "[lost]", backends) {
  three_oneshots<TestType> all;
  auto range = all.sel->select();
  CHECK_FALSE(range.empty());
  CHECK_FALSE(range.empty());
  auto it = range.begin();
  all.tell((*it).key.handle());
  CHECK_FALSE(range.empty());
  ++it;
  all.tell((*it).key.handle());
  it++;
  all.tell((*it).key.handle());
  CHECK(range.empty());
  ++it;
  CHECK(it == range.end());
  expect_idle(*all.sel);
}

BACKEND_TEST_CASE("begin reaches the first entry", "[lost]", backends) {
  three_oneshots<TestType> all;
  auto range = all.sel->select();
  all.tell((*range.begin()).key.handle());
  all.expect_the_rest(*all.sel);
}

BACKEND_TEST_CASE("an unreached one-shot follows what becomes of its key", "[lost]", backends) {
  three_oneshots<TestType> all;
  for (auto [key, events] : all.sel->select()) {
    all.tell(key.handle());
    break;
  }
  const auto other = std::find_if(all.pipes.begin(), all.pipes.end(),
                                  [&](auto& pipe) { return all.told.count(pipe.reader.get()) == 0; });
  SECTION("paused") {
    all.sel->modify(other->reader, {});
    CHECK(ready(*all.sel).size() == 1);
    expect_idle(*all.sel);
  }
  SECTION("unregistered") {
    all.sel->unregister(other->reader);
    CHECK(ready(*all.sel).size() == 1);
    expect_idle(*all.sel);
  }
  SECTION("asked for something else") {
    all.sel->modify(other->reader, oneshot(has_priority<TestType> ? event::priority : event::write));
    CHECK(ready(*all.sel).size() == 1);
    expect_idle(*all.sel);
  }
  SECTION("made level-triggered") {
    all.sel->modify(other->reader, event::read);
    CHECK(ready(*all.sel).size() == 2);
    expect_ready(*all.sel, {{other->reader.get(), event::read}});
  }
}

// Where the kernel is not asked again, it is reported as it was found.
BACKEND_TEST_CASE("an unreached one-shot whose descriptor was closed is reported once", "[lost]", backends) {
  three_oneshots<TestType> all;
  for (auto [key, events] : all.sel->select()) {
    all.tell(key.handle());
    break;
  }
  auto lost = std::find_if(all.pipes.begin(), all.pipes.end(),
                           [&](auto& pipe) { return all.told.count(pipe.reader.get()) == 0; });
  const auto number = lost->reader.get();
  lost->reader.close();
  const readiness found = ready(*all.sel);
  CHECK(found.size() == 2);
  REQUIRE(found.count(number) == 1);
  CHECK(found.at(number) == (has_object<TestType> || TestType::disarms_oneshot ? event_mask(event::read)
                                                                               : event::read | event::error));
  expect_idle(*all.sel);
  all.sel->unregister(number);
}

BACKEND_TEST_CASE("what is level-triggered is reported again in any case", "[lost]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  for (int i = 0; i != 3; ++i)
    for ([[maybe_unused]] auto one : sel.select()) break;
  CHECK(ready(sel).size() == 3);
}

BACKEND_TEST_CASE(
    "what was level-triggered, not reached, and is an edge or a one-shot by now is asked of the kernel",
    "[lost]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  auto other = make_pipe();
  write_byte(pipe.writer);
  sel.register_(pipe.reader, event::read);
  (void)sel.select(0s);
  const bool is_drained = GENERATE(true, false);
  const int how = GENERATE(0, 1, 2, 3);
  // libkqueue does not know that the number is another file's.
  if (how == 3 && is_kqueue<TestType> && !SELECTORS_HAS_KERNEL_KQUEUE) return;
  if (is_drained) read_byte(pipe.reader);
  if (how == 0) sel.modify(pipe.reader, oneshot(event::read));
  if constexpr (TestType::supports(trigger::edge, false)) {
    if (how == 1) sel.modify(pipe.reader, edge(event::read));
  }
  if (how == 2) {
    sel.modify(pipe.reader, {});
    sel.modify(pipe.reader, oneshot(event::read));
  }
  if (how == 3) {
    dup_onto(other.reader, pipe.reader.get()).release();
    if (!is_drained) write_byte(other.writer);
    sel.modify(pipe.reader, oneshot(event::read));
  }
  if (is_drained) return expect_idle(sel);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

BACKEND_TEST_CASE("a range that found nothing stays empty whatever a later select finds", "[lost]",
                  backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, oneshot(event::read));
  const auto none = sel.select(0s);
  write_byte(pipe.writer);
  const auto some = sel.select(10s);
  CHECK(none.empty());
  for ([[maybe_unused]] auto one : none) CHECK(false);
  CHECK_FALSE(some.empty());
  int count = 0;
  for ([[maybe_unused]] auto one : some) ++count;
  CHECK(count == 1);
}

BACKEND_TEST_CASE("an unreached edge is reported again, a reached one is not", "[lost]", backends) {
  if constexpr (supports<TestType, trigger::edge>) {
    selector<void, TestType> sel;
    auto pipes = make_pipes(3);
    const bool is_exclusive = GENERATE(false, true);
    for (auto& [reader, writer] : pipes) {
      write_byte(writer);
      sel.register_(reader, edge(event::read));
      if constexpr (supports<TestType, trigger::edge, true>)
        if (is_exclusive) sel.modify(reader, exclusive(edge(event::read)));
    }
    auto first = detail::invalid_handle;
    for (auto [key, events] : sel.select()) {
      first = key.handle();
      break;
    }
    const readiness rest = ready(sel);
    CHECK(rest.size() == 2);
    CHECK(rest.count(first) == 0);
    expect_idle(sel);
  }
}

#if !SELECTORS_HAS_WINSOCK
BACKEND_TEST_CASE("an unreached one-shot file is reported again, a reached one is not", "[lost]", backends) {
  selector<void, TestType> sel;
  std::vector<descriptor> files;
  for (int i = 0; i != 3; ++i) {
    files.emplace_back(checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
    sel.register_(files.back(), oneshot(event::write));
  }
  std::set<int> told;
  for (auto [key, events] : sel.select()) {
    told.insert(key.handle());
    break;
  }
  for (const auto& [handle, events] : ready(sel)) {
    CHECK(told.insert(handle).second);
    CHECK(events == event::write);
  }
  CHECK(told.size() == 3);
  expect_idle(sel);
}
#else
TEST_CASE("an unreached one-shot file is reported again, a reached one is not", "[files]") {
  skip("nothing but sockets is watched");
}
#endif

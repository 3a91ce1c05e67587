// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("a counting backend counts what its selector does", "[counters]", backends) {
  selector<void, counting<TestType>> sel;
  const selector_counters& counted = sel.backend().counters();
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, event::read);
    write_byte(writer);
  }
  CHECK(counted.changes == 3);
  sel.modify(pipes[0].reader, event::read);
  CHECK(counted.saved == 1);
  CHECK(counted.changes == 3);
  sel.modify(pipes[0].reader, oneshot(event::read));
  CHECK(counted.changes == 4);

  CHECK(counted.waits == 0);
  int left = 2;
  for ([[maybe_unused]] auto one : sel.select())
    if (--left == 0) break;
  CHECK(counted.waits == 1);
  CHECK(counted.events == 2);
  CHECK(counted.stale == 0);

  const auto before = counted;
  bool is_first = true;
  for (auto [key, events] : sel.select()) {
    if (!std::exchange(is_first, false)) continue;
    for (auto& one : pipes)
      if (one.reader.get() != key.handle()) sel.modify(one.reader, {});
  }
  CHECK(counted.waits == before.waits + 1);
  CHECK(counted.events == before.events + 1);
  CHECK(counted.stale >= 1);
  CHECK(counted.heals == 0);

  sel.backend().counters() = {};
  CHECK(counted.waits == 0);
}

#if SELECTORS_HAS_EPOLL
TEST_CASE("a counting backend counts heals", "[counters][native]") {
  selector<void, counting<epoll_backend>> sel;
  auto pipe = make_pipe();
  const descriptor duplicate = dup_of(pipe.reader);
  write_byte(pipe.writer);
  sel.register_(pipe.reader, event::read);
  const auto number = pipe.reader.get();
  pipe.reader.close();
  sel.unregister(number);
  expect_idle_for(sel, 5ms);
  CHECK(sel.backend().counters().stale >= 1);
  CHECK(sel.backend().counters().heals == 1);
  CHECK(sel.backend().counters().waits <= 4);
}
#endif

BACKEND_TEST_CASE("what is told once or left alone costs no call", "[counters]", backends) {
  selector<void, counting<TestType>> sel;
  const selector_counters& counted = sel.backend().counters();
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    sel.register_(reader, event::read);
    write_byte(writer);
  }
  for ([[maybe_unused]] auto one : sel.select()) break;
  CHECK(ready(sel).size() == 3);
  CHECK(counted.changes == 3);
  sel.modify(pipes[0].reader, oneshot(event::read));
  CHECK(ready(sel).size() == 3);
  // Where the kernel does not silence a one-shot, the selector removes it.
  CHECK(counted.changes == (TestType::disarms_oneshot ? 4 : 5));
  sel.unregister(pipes[1].reader);
  CHECK(counted.changes == (TestType::disarms_oneshot ? 5 : 6));
}

BACKEND_TEST_CASE("a handle that is watched anew is a change, of what is removed and added, too",
                  "[counters]", backends) {
  selector<void, counting<TestType>> sel;
  const selector_counters& counted = sel.backend().counters();
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  const auto before = counted.changes;
  sel.watch(pipe.reader, event::read);
  constexpr bool has_rewatch = requires(TestType b, registration r) { b.rewatch(r, any_interest()); };
  CHECK(counted.changes - before == (has_rewatch ? 1 : 2));
}

BACKEND_TEST_CASE("what is done and undone many times over needs no healing", "[counters]", backends) {
  selector<void, counting<TestType>> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) write_byte(writer);
  for (int i = 0; i != 200; ++i) {
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
    for ([[maybe_unused]] auto one : sel.select()) sel.clear();
  }
  CHECK(sel.backend().counters().heals == 0);
  for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
  for (auto [key, events] : sel.select())
    for (auto& other : sel)
      if (&other != &key) sel.modify(other, {});
  (void)sel.select();
  CHECK(sel.backend().counters().stale >= 2);
  CHECK(sel.backend().counters().heals == 0);
}

#if SELECTORS_HAS_EPOLL
namespace {

// A descriptor that was closed while registered, whose duplicate is ready to read.
struct ghost {
  pipe_ends pipe = make_pipe();
  descriptor duplicate = dup_of(pipe.reader);
  explicit ghost(selector<void, counting<epoll_backend>>& sel) {
    write_byte(pipe.writer);
    sel.register_(pipe.reader, event::read);
    const auto number = pipe.reader.get();
    pipe.reader.close();
    sel.unregister(number);
  }
};

}  // namespace

TEST_CASE("a ghost among many keys is isolated at once, and wakes nobody afterwards", "[counters][native]") {
  selector<void, counting<epoll_backend>> sel;
  const selector_counters& counted = sel.backend().counters();
  auto pipes = make_pipes(80);
  for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
  for (int leaks = 0; leaks != 3; ++leaks) {
    const ghost one(sel);
    expect_idle(sel);
    CHECK(counted.heals == 1);
    const auto before = counted;
    for (int i = 0; i != 5; ++i) expect_idle_for(sel, 2ms);
    CHECK(counted.waits == before.waits + 5);
    CHECK(counted.stale == before.stale);
    CHECK(counted.heals == 1);
    write_byte(pipes[0].writer);
    expect_ready(sel, {{pipes[0].reader.get(), event::read}});
    drain(pipes[0].reader);
  }
  // What was registered before and after is told apart: nothing new is taken for leaked.
  for (int i = 0; i != 300; ++i) {
    sel.unregister(pipes[1].reader);
    sel.register_(pipes[1].reader, event::read);
    expect_idle(sel);
  }
  CHECK(counted.heals == 1);
}

TEST_CASE("a closed selector has nothing to heal when it is opened again", "[counters][native]") {
  selector<void, counting<epoll_backend>> sel;
  auto pipe = make_pipe();
  const descriptor duplicate = dup_of(pipe.reader);
  sel.register_(pipe.reader, event::read);
  const auto number = pipe.reader.get();
  pipe.reader.close();
  sel.modify(number, {});
  const descriptor again = dup_onto(duplicate, number);
  sel.modify(again, event::read);  // watched when it is healed
  sel.close();
  sel.reopen();
  expect_idle(sel);
  CHECK(sel.backend().counters().heals == 0);
}
#endif

BACKEND_TEST_CASE("a modification is saved if its interest is level-triggered and in force, and then only",
                  "[counters]", backends) {
  selector<void, counting<TestType>> sel;
  const selector_counters& counted = sel.backend().counters();
  auto pipes = make_pipes(1);
  const auto& reader = pipes[0].reader;
  sel.register_(reader, event::read);
  std::uint64_t changes = 1;
  const auto is_a_change = [&](auto interest) {
    sel.modify(reader, interest);
    return counted.changes == ++changes;
  };
  sel.mark_ready(reader, event::read);
  sel.modify(reader, event::read);
  CHECK(counted.saved == 1);  // what is odd about the key is not its interest
  CHECK(is_a_change(oneshot(event::read)));
  CHECK(is_a_change(oneshot(event::read)));
  CHECK(is_a_change(event::read));
  if constexpr (supports<TestType, trigger::edge>) {
    CHECK(is_a_change(edge(event::read)));
    CHECK(is_a_change(edge(event::read)));
    CHECK(is_a_change(event::read));
  }
  CHECK(is_a_change(event::read | event::priority));
  CHECK(is_a_change(event_mask()));
  sel.modify(reader, event_mask());
  CHECK(counted.changes == changes);
  CHECK(is_a_change(event::read | event::priority));
  CHECK(counted.saved == 1);
  sel.modify(reader, event::read | event::priority);
  CHECK(counted.saved == 2);
  CHECK(counted.changes == changes);
}

// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

using namespace selectors;
using namespace support;

TEMPLATE_LIST_TEST_CASE("a counting backend counts what its selector does", "[counters]", backends) {
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
  const int number = pipe.reader.get();
  pipe.reader.close();
  sel.unregister(number);
  expect_idle(sel);
  CHECK(sel.backend().counters().stale >= 1);
  CHECK(sel.backend().counters().heals == 1);
  CHECK(sel.backend().counters().waits >= 2);
}
#endif

// SPDX-License-Identifier: BSL-1.0

// What a loop over an inner selector did not reach wakes the outer loop again, however that watches.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/nested.hpp"
#include "support/skip.hpp"

#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL

using namespace selectors;
using namespace support;

namespace {

constexpr auto no_front = "the queue has no events of the program's own";

}

BACKEND_TEST_CASE("what a loop did not reach wakes the outer loop", "[nested]", outer_loops) {
  if (!has_front) return skip(no_front);
  const auto kind = GENERATE(trigger::level, trigger::edge, trigger::oneshot);
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    if (kind == trigger::level) inner.register_(reader, event::read);
    if (kind == trigger::edge) inner.register_(reader, edge(event::read));
    if (kind == trigger::oneshot) inner.register_(reader, oneshot(event::read));
    write_byte(writer);
  }
  for (int left = 3; left != 0; --left) {
    CHECK(outer.hears());
    int reached = 0;
    for (auto [key, events] : inner.select(0s)) {
      ++reached;
      char byte;
      CHECK(::read(key.handle(), &byte, 1) == 1);
      break;
    }
    CHECK(reached == 1);
  }
  expect_idle(inner);
  CHECK_FALSE(outer.hears());
}

BACKEND_TEST_CASE("an outer loop hears what a loop left by an exception, or by select, did not reach",
                  "[nested]", outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    inner.register_(reader, oneshot(event::read));
    write_byte(writer);
  }
  SECTION("thrown out of") {
    try {
      for ([[maybe_unused]] auto one : inner.select(0s)) throw 1;
    } catch (int) {
    }
    CHECK(outer.hears());
    CHECK(ready(inner, 0s).size() == 2);
  }
  SECTION("not looked at") {
    (void)inner.select(0s);
    CHECK(outer.hears());
    CHECK(ready(inner, 0s).size() == 3);
  }
  SECTION("looked at by empty") {
    CHECK_FALSE(inner.select(0s).empty());
    CHECK(outer.hears());
    CHECK(ready(inner, 0s).size() == 3);
  }
  SECTION("moved meanwhile") {
    nested_selector<> other;
    for ([[maybe_unused]] auto one : inner.select(0s)) other = std::move(inner);
    CHECK(outer.hears());
    CHECK(ready(other, 0s).size() == 2);
    expect_idle(other);
    CHECK_FALSE(outer.hears());
    return;
  }
  SECTION("reopened meanwhile") {
    for ([[maybe_unused]] auto one : inner.select(0s)) inner.reopen();
    CHECK(outer.hears());
    CHECK(ready(inner, 0s).size() == 2);
  }
  expect_idle(inner);
  CHECK_FALSE(outer.hears());
}

BACKEND_TEST_CASE("an unreached key that is unregistered or paused does not keep the outer loop awake",
                  "[nested]", outer_loops) {
  if (!has_front) return skip(no_front);
  nested_selector<> inner;
  TestType outer(inner.native_handle());
  std::vector<socket_pair> pairs;
  for (int i = 0; i != 3; ++i) {
    pairs.push_back(make_socket_pair());
    fill(pairs.back().first);
    inner.register_(pairs.back().first, edge(event::read));
    write_byte(pairs.back().second);
  }
  (void)inner.select(0s);
  CHECK(outer.hears());
  inner.unregister(pairs[0].first);
  inner.modify(pairs[1].first, {});
  inner.modify(pairs[2].first, edge(event::write));
  expect_idle(inner);
  CHECK_FALSE(outer.hears());
}

#endif

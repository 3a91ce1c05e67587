// SPDX-License-Identifier: BSL-1.0

// Nothing is allocated once warm, and a lack of memory changes nothing.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <memory>
#include <optional>

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("a warm selector allocates nothing", "[allocation]", backends) {
  selector<int, TestType> sel;
  auto pipes = make_pipes(100);
  readiness warm;
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read, 1);
  }
  const std::size_t before = allocations();
  std::size_t reached = 0;
  for (int round = 0; round != 3; ++round) {
    for ([[maybe_unused]] auto one : sel.select()) ++reached;
    for ([[maybe_unused]] auto one : sel.select(0s)) break;
    for (auto& key : sel) sel.modify(key, oneshot(event::read));
    for (auto [key, events] : sel.select()) sel.modify(key, event::read);
    for (auto& key : sel) sel.unregister(key);
    (void)sel.select(0s);
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read, 2);
    sel.clear();
    (void)sel.select(0s);
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read, 2);
    sel.reopen();
    sel.close();
    sel.reopen();
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read, 2);
  }
  CHECK(reached == 300);
  CHECK(allocations() == before);
}

BACKEND_TEST_CASE("register_ without memory changes nothing, wherever it is missing", "[allocation]",
                  backends) {
  const bool throws = GENERATE(false, true);
  std::size_t failures = 0;
  for (std::size_t budget = 0;; ++budget) {
    selector<std::unique_ptr<int>, TestType> sel;
    auto first = make_pipe();
    auto second = make_pipe();
    write_byte(first.writer);
    sel.register_(first.reader, event::read, nullptr);
    const descriptor high = dup_above(second.reader, 900);
    auto data = std::make_unique<int>(7);
    std::error_code error;
    bool exceeded = false;
    {
      allocation_budget memory(budget);
      if (throws) {
        try {
          sel.register_(high, event::read, std::move(data));
        } catch (const std::system_error& refused) {
          error = refused.code();
        }
      } else {
        sel.register_(high, event::read, std::move(data), error);
      }
      exceeded = memory.was_exceeded();
    }
    if (!exceeded) {
      CHECK_FALSE(error);
      CHECK(*sel.at(high).data() == 7);
      break;
    }
    ++failures;
    CHECK(error == std::errc::not_enough_memory);
    REQUIRE(data != nullptr);
    CHECK(*data == 7);
    CHECK(sel.size() == 1);
    CHECK_FALSE(sel.contains(high));
    expect_ready(sel, {{first.reader.get(), event::read}});
    sel.register_(high, event::read, std::move(data));
    CHECK(sel.size() == 2);
  }
  CHECK(failures > 0);
}

BACKEND_TEST_CASE("registering many without memory changes nothing, in a loop too", "[allocation]",
                  backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(150);
  for (std::size_t i = 0; i != 10; ++i) {
    write_byte(pipes[i].writer);
    sel.register_(pipes[i].reader, event::read);
  }
  std::size_t failures = 0, reached = 0, registered = 10;
  for ([[maybe_unused]] auto one : sel.select()) {
    ++reached;
    for (std::size_t i = 0; i != 14; ++i) {
      bool exceeded = false;
      std::error_code error;
      {
        allocation_budget memory(0);
        sel.register_(pipes[registered].reader, event::read, error);
        exceeded = memory.was_exceeded();
      }
      if (exceeded) {
        ++failures;
        CHECK(error == std::errc::not_enough_memory);
        sel.register_(pipes[registered].reader, event::read);
      }
      ++registered;
    }
  }
  CHECK(reached == 10);
  CHECK(failures > 0);
  CHECK(sel.size() == registered);
  CHECK(ready(sel).size() == 10);
}

BACKEND_TEST_CASE("data that cannot be made takes no memory, however often it is tried", "[allocation]",
                  backends) {
  struct throwing {
    throwing() { throw 1; }
  };
  selector<throwing, TestType> sel;
  auto pipe = make_pipe();
  std::size_t warm = 0;
  for (int i = 0; i != 200; ++i) {
    if (i == 1) warm = allocations();
    try {
      sel.register_(pipe.reader, event::read);
    } catch (int) {
      continue;
    }
    FAIL("nothing was thrown");
  }
  CHECK(allocations() == warm);
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("an error that there is no memory to tell of is a lack of memory", "[allocation]",
                  backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  std::error_code error;
  {
    allocation_budget none(0);
    try {
      sel.register_(pipe.reader, event::read);
    } catch (const std::system_error& refused) {
      error = refused.code();
    }
  }
  CHECK(error == std::errc::not_enough_memory);
}

BACKEND_TEST_CASE("a selector that is gone has given its memory back", "[allocation]", backends) {
  auto pipes = make_pipes(100);
  const auto live = live_allocations();
  {
    selector<std::unique_ptr<int>, TestType> sel;
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read, std::make_unique<int>(1));
    for (std::size_t i = 0; i != 50; ++i) sel.unregister(pipes[i].reader);
    selector<std::unique_ptr<int>, TestType> other = std::move(sel);
    sel = std::move(other);
    (void)sel.select(0s);
  }
  CHECK(live_allocations() == live);
}

BACKEND_TEST_CASE("a selector that had no memory to open is closed", "[allocation]", backends) {
  if constexpr (has_object<TestType>) {
    std::size_t failures = 0;
    for (std::size_t budget = 0;; ++budget) {
      std::error_code error;
      std::optional<selector<void, TestType>> sel;
      bool exceeded = false;
      {
        allocation_budget memory(budget);
        sel.emplace(error);
        exceeded = memory.was_exceeded();
      }
      if (!exceeded) break;
      ++failures;
      CHECK(error == std::errc::not_enough_memory);
      CHECK_FALSE(sel->is_open());
      allocation_budget none(0);
      std::error_code thrown;
      try {
        selector<void, TestType> refused;
      } catch (const std::system_error& refused) {
        thrown = refused.code();
      }
      none.lift();
      CHECK(thrown == std::errc::not_enough_memory);
    }
    CHECK(failures > 0);
  }
}

// SPDX-License-Identifier: BSL-1.0

// The scripted backend, as the tests of a program use it. That it is a backend like any other is what the
// conformance suite shows.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/expect.hpp"

#include <selectors/testing.hpp>

#include <cerrno>
#include <new>
#include <string>
#include <system_error>
#include <vector>

using namespace selectors;
using namespace support;
using selectors::testing::clock;
using selectors::testing::operation;
using selectors::testing::scripted_backend;

namespace {

using scripted_selector = selector<int, scripted_backend>;

// A selector with the handles 3 and 4, and its script.
struct scripted {
  scripted() {
    sel.register_(number_of(3), event::read, 30);
    sel.register_(number_of(4), event::read | event::write, 40);
  }
  scripted_selector sel;
  scripted_backend& script = sel.backend();
};

}  // namespace

TEST_CASE("what is scripted to be ready is reported until it is scripted otherwise", "[testing]") {
  scripted one;
  one.script.set_ready(3, event::read | event::write);
  one.script.set_ready(4, event::write);
  one.script.set_ready(5, event::read);  // nobody asks
  for (int times = 0; times != 3; ++times) expect_ready(one.sel, {{3, event::read}, {4, event::write}});
  one.script.set_ready(3, {});
  expect_ready(one.sel, {{4, event::write}});
  one.script.set_ready(4, event::error);
  expect_ready(one.sel, {{4, event::read | event::write | event::error}});
  CHECK(one.script.waits() == 5);
}

TEST_CASE("a pulse is reported by one wait", "[testing]") {
  scripted one;
  one.script.pulse(3, event::read);
  expect_ready(one.sel, {{3, event::read}});
  expect_idle(one.sel);
  one.script.pulse(3, event::write);  // not asked for: kept for who does
  expect_idle(one.sel);
  one.sel.modify(number_of(3), event::write);
  expect_ready(one.sel, {{3, event::write}});
  expect_idle(one.sel);
}

TEST_CASE("time passes in waits alone, exactly as long as was asked", "[testing]") {
  scripted one;
  const auto start = clock::now();
  CHECK(one.sel.select(24h).empty());
  CHECK(clock::now() - start == 24h);
  CHECK(one.sel.select(0s).empty());
  CHECK(one.sel.select(-1s).empty());
  CHECK(clock::now() - start == 24h);
  CHECK(one.sel.select_until(clock::now() + 1ns).empty());
  CHECK(clock::now() - start == 24h + 1ns);
  one.script.set_ready(3, event::read);
  CHECK_FALSE(one.sel.select(24h).empty());
  CHECK(clock::now() - start == 24h + 1ns);
  clock::advance(5s);
  CHECK(clock::now() - start == 24h + 1ns + 5s);
}

TEST_CASE("actions happen when they are due, in their order, and end a wait if they make something ready",
          "[testing]") {
  scripted one;
  const auto start = clock::now();
  std::vector<int> order;
  one.script.after(3s, [&] { order.push_back(3); });
  one.script.after(1s, [&] { order.push_back(1); });
  one.script.after(3s, [&] {
    order.push_back(4);
    one.script.set_ready(4, event::write);
  });
  one.script.after(2s, [&] {
    order.push_back(2);
    one.script.after(5s, [&] { one.script.set_ready(3, event::read); });
  });
  CHECK(one.sel.select(500ms).empty());
  CHECK(order.empty());
  expect_ready(one.sel, {{4, event::write}});
  CHECK(order == std::vector<int>{1, 2, 3, 4});
  CHECK(clock::now() - start == 3s);
  one.script.set_ready(4, {});
  CHECK_FALSE(one.sel.select().empty());
  CHECK(clock::now() - start == 7s);
}

TEST_CASE("an action that is due when the timeout ends is not too late", "[testing]") {
  scripted one;
  one.script.after(2s, [&] { one.script.set_ready(3, event::read); });
  CHECK_FALSE(one.sel.select(2s).empty());
}

TEST_CASE("edges are told once a change, one-shots once a modify", "[testing]") {
  scripted_selector sel;
  auto& script = sel.backend();
  sel.register_(number_of(3), edge(event::read), 30);
  sel.register_(number_of(4), oneshot(event::read), 40);
  script.set_ready(3, event::read);
  script.set_ready(4, event::read);
  expect_ready(sel, {{3, event::read}, {4, event::read}});
  expect_idle(sel);
  script.set_ready(3, event::read);
  expect_ready(sel, {{3, event::read}});
  sel.modify(number_of(3), edge(event::read));
  sel.modify(number_of(4), oneshot(event::read));
  expect_ready(sel, {{3, event::read}, {4, event::read}});
  expect_idle(sel);
}

TEST_CASE("a wait that nothing can end is an error instead of a test that hangs", "[testing]") {
  scripted one;
  CHECK(error_of([&](auto& error) { one.sel.select(error); }) == std::errc::resource_deadlock_would_occur);
}

TEST_CASE("a wait and an action may be as far ahead as there are nanoseconds", "[testing]") {
  selector<void, testing::scripted_backend> sel;
  sel.register_(number_of(7), event::read);
  const auto start = testing::clock::now();
  bool is_done = false;
  sel.backend().after(std::chrono::nanoseconds::max() - 1ns, [&] { is_done = true; });
  CHECK(sel.select(std::chrono::nanoseconds::max() - 1h).empty());
  CHECK(is_done);
  CHECK(testing::clock::now() == testing::clock::time_point::max());
  testing::clock::advance(start - testing::clock::now());
}

TEST_CASE("what is scripted to fail fails as often as was said", "[testing]") {
  scripted one;
  const auto refused = [&](auto call) { return error_of(call) == std::errc::permission_denied; };
  one.script.refuse(operation::add, EACCES, 2);
  for (int times = 0; times != 2; ++times)
    CHECK(refused([&](auto& error) { one.sel.register_(number_of(5), event::read, 50, error); }));
  one.sel.register_(number_of(5), event::read, 50);
  one.script.refuse(operation::modify, EACCES);
  CHECK(refused([&](auto& error) { one.sel.modify(number_of(5), event::write, error); }));
  one.sel.modify(number_of(5), event::write);
  one.script.refuse(operation::wait, EACCES);
  CHECK(refused([&](auto& error) { one.sel.select(error); }));
  one.script.refuse(operation::reopen, EACCES);
  CHECK(refused([&](auto& error) { one.sel.reopen(error); }));
  one.script.refuse(operation::reserve, 0);
  CHECK(error_of([&](auto& error) { one.sel.register_(number_of(6), event::read, 60, error); }) ==
        std::errc::not_enough_memory);
  one.sel.close();
  one.script.refuse(operation::open, EACCES);
  CHECK(refused([&](auto& error) { one.sel.reopen(error); }));
  one.sel.reopen();
  CHECK(one.sel.is_open());
}

TEST_CASE("an interrupted wait ends with nothing, and at once", "[testing]") {
  scripted one;
  const auto start = clock::now();
  one.script.set_ready(3, event::read);
  one.script.interrupt();
  CHECK(one.sel.select().empty());
  expect_ready(one.sel, {{3, event::read}});
  one.script.set_ready(3, {});
  one.script.after(1s, [&] { one.script.interrupt(); });
  CHECK(one.sel.select(1h).empty());
  CHECK(clock::now() - start == 1s);
  one.sel.unregister(number_of(4));  // so that there is something to do before the wait
  one.script.interrupt();
  CHECK(one.sel.select_until(clock::now() + 1h).empty());
  CHECK(clock::now() - start == 1s);
}

TEST_CASE("what is scripted to be closed is told once, as an error", "[testing]") {
  scripted one;
  one.script.set_closed(3);
  expect_ready(one.sel, {{3, event::read | event::error}});
  expect_idle(one.sel);
}

TEST_CASE("a test can ask what is watched", "[testing]") {
  scripted one;
  one.sel.modify(number_of(3), {});
  std::vector<native_handle_type> watched;
  one.script.for_each_watched([&](const registration& r) { watched.push_back(r.handle); });
  CHECK(watched == std::vector<native_handle_type>{4});
  const auto& sel = one.sel;
  CHECK(sel.find(number_of(4)) == &sel.at(number_of(4)));
  CHECK(sel.find(number_of(5)) == nullptr);
  auto it = sel.begin();
  CHECK(it++->handle() == 3);
  CHECK(it->handle() == 4);
  CHECK(++it == sel.end());
}

TEST_CASE("a script moves with its selector", "[testing]") {
  scripted one;
  one.script.set_ready(3, event::read);
  int acted = 0;
  one.script.after(1s, [&] { ++acted; });
  expect_ready(one.sel, {{3, event::read}});
  one.script.refuse(operation::reserve, 0);
  scripted_selector other = std::move(one.sel);
  CHECK(one.script.waits() == 0);
  expect_ready(other, {{3, event::read}});
  CHECK(other.backend().waits() == 2);
  CHECK(error_of([&](auto& error) { other.register_(number_of(5), event::read, 50, error); }) ==
        std::errc::not_enough_memory);
  one.sel.reopen();
  one.sel.register_(number_of(3), event::read, 30);
  CHECK(one.sel.select(1s).empty());
  CHECK(acted == 0);
  expect_ready(other, {{3, event::read}});
  CHECK(acted == 1);
}

TEST_CASE("the scripted handles start with 0", "[testing]") {
  scripted one;
  one.sel.register_(number_of(0), event::read, 0);
  one.script.set_ready(0, event::read);
  expect_ready(one.sel, {{0, event::read}});
  CHECK(error_of([&](auto& error) { one.sel.register_(number_of(-1), event::read, 0, error); }) ==
        errc::invalid_handle);
}

TEST_CASE("what is refused at reopen is told once, as an error", "[testing]") {
  scripted one;
  one.script.refuse(operation::add, ENOMEM);
  one.sel.reopen();
  expect_ready(one.sel, {{3, event::read | event::error}});
  expect_idle(one.sel);
}

TEST_CASE("a script without memory throws, a registration without memory says so", "[testing]") {
  scripted one;
  bool is_thrown = false;
  {
    allocation_budget none(0);
    try {
      one.script.set_ready(5000, event::read);
    } catch (const std::bad_alloc&) {
      is_thrown = true;
    }
  }
  CHECK(is_thrown);
  one.sel.register_(number_of(5), event::read, 50);  // there is room for it afterwards
  one.sel.unregister(number_of(5));
  expect_idle(one.sel);  // destroys the key
  one.script.refuse(operation::reserve, 0);
  std::string text;
  const std::size_t before = allocations();
  std::size_t after = 0;
  try {
    one.sel.register_(number_of(5), event::read, 50);
  } catch (const std::system_error& refused) {
    after = allocations();
    text = refused.what();
  }
  CHECK(after == before);
  CHECK_THAT(text, support::contains("register_(5)") && support::contains("memory"));
}

TEST_CASE("no key is taken for one that its loop has told already, however many loops there were",
          "[testing]") {
  scripted_selector sel;
  auto& script = sel.backend();
  sel.register_(number_of(3), oneshot(event::read), 30);
  script.set_ready(3, event::read);
  expect_ready(sel, {{3, event::read}});
  for (int loops = 1; loops != 65536; ++loops) REQUIRE(sel.select(0s).empty());
  sel.modify(number_of(3), oneshot(event::read));
  expect_ready(sel, {{3, event::read}});
}

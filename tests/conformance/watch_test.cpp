// SPDX-License-Identifier: BSL-1.0

// watch: the kernel watches what a number means now, whoever closed it and opened another on it.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/replaced.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#if !SELECTORS_HAS_WINSOCK
#include <fcntl.h>
#endif

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("watch registers what is not registered, with its data", "[watch]", backends) {
  selector<std::unique_ptr<int>, TestType> sel;
  auto pipe = make_pipe();
  auto data = std::make_unique<int>(1);
  auto& key = sel.watch(pipe.reader, event::read, std::move(data));
  CHECK(data == nullptr);
  CHECK(*key.data() == 1);
  CHECK(key.events() == event::read);
  data = std::make_unique<int>(2);
  CHECK(&sel.watch(pipe.reader, event::read, std::move(data)) == &key);
  REQUIRE(data != nullptr);  // as std::map::try_emplace
  CHECK(*key.data() == 1);
  CHECK(sel.size() == 1);
  write_byte(pipe.writer);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  auto other = make_pipe();
  CHECK(sel.watch(other.reader, event_mask()).data() == nullptr);
  CHECK(sel.watch(key, event_mask()).events().empty());
  expect_idle(sel);
}

BACKEND_TEST_CASE("watch follows a number to another file, in every trigger mode", "[watch]", backends) {
  const int which = GENERATE(0, 1, 2);
  INFO("mode " << which);
  with_mode<TestType>(which, [](auto mode, bool reports_once) {
    selector<int, TestType> sel;
    replaced number;
    auto& key = sel.register_(number.get(), mode(event::read), 7);
    SECTION("closed before, nothing pending") {
      number.replace();
      sel.watch(number.get(), mode(event::read));
      expect_idle(sel);
    }
    SECTION("with the old file's data pending") {
      number.write();
      number.replace();
      sel.watch(number.get(), mode(event::read));
      expect_idle(sel);
    }
    SECTION("with a duplicate of the old file") {
      number.write();
      const descriptor duplicate = dup_number_above(number.get(), 300);
      number.replace();
      sel.watch(number.get(), mode(event::read));
      for (int i = 0; i != 3; ++i) expect_idle(sel);
    }
    SECTION("reported before") {
      number.write();
      expect_ready(sel, {{number.get(), event::read}});
      number.replace();
      sel.watch(key, mode(event::read));
      expect_idle(sel);
    }
    SECTION("paused before") {
      sel.modify(key, {});
      number.replace();
      sel.watch(key, mode(event::read));
      expect_idle(sel);
    }
    SECTION("many times") {
      for (int i = 0; i != 5; ++i) {
        number.replace();
        sel.watch(key, mode(event::read));
      }
    }
    number.write();
    expect_ready(sel, {{number.get(), event::read}});
    if (reports_once) expect_idle(sel);
    if (!reports_once) expect_ready(sel, {{number.get(), event::read}});
    sel.watch(key, mode(event::read));
    expect_ready(sel, {{number.get(), event::read}});
    CHECK(key.data() == 7);
    CHECK(sel.size() == 1);
  });
}

BACKEND_TEST_CASE("modify to something else follows a number to another file", "[watch]", backends) {
  selector<void, TestType> sel;
  replaced number;
  sel.register_(number.get(), event::read);
  number.write();
  const bool has_duplicate = GENERATE(false, true);
  descriptor duplicate;
  if (has_duplicate) duplicate = dup_number_above(number.get(), 300);
  number.replace();
  SECTION("level") {
    sel.modify(number.get(), event::read | event::write);
    if (pipes_are_one_way()) expect_idle(sel);
    if (!pipes_are_one_way()) expect_ready(sel, {{number.get(), event::write}});
    sel.modify(number.get(), event::read);
  }
  SECTION("one-shot") { sel.modify(number.get(), oneshot(event::read)); }
  SECTION("edge, exclusive") {
    if constexpr (supports<TestType, trigger::edge>) sel.modify(number.get(), edge(event::read));
    if constexpr (supports<TestType, trigger::level, true>) sel.modify(number.get(), exclusive(event::read));
    if constexpr (!supports<TestType, trigger::edge>) sel.modify(number.get(), oneshot(event::read));
  }
  SECTION("paused and resumed") {
    sel.modify(number.get(), {});
    sel.modify(number.get(), event::read);
  }
  for (int i = 0; i != 3; ++i) expect_idle(sel);
  number.write();
  expect_ready(sel, {{number.get(), event::read}});
}

#if !SELECTORS_HAS_WINSOCK
BACKEND_TEST_CASE("watch and modify follow a number to a file that is always ready, and back", "[watch]",
                  backends) {
  const bool watches = GENERATE(false, true);
  const int which = GENERATE(0, 1, 2);
  INFO("watches " << watches << ", mode " << which);
  with_mode<TestType>(which, [&](auto mode, bool reports_once) {
    selector<void, TestType> sel;
    replaced number;
    sel.register_(number.get(), mode(event::read));
    number.write();
    const descriptor file(checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "open"));
    dup_onto(file, number.get()).release();
    const auto follow = [&](auto what) {
      if (watches)
        sel.watch(number.get(), what);
      else
        sel.modify(number.get(), what);
    };
    follow(mode(event::write));
    expect_ready(sel, {{number.get(), event::write}});
    if (reports_once) expect_idle(sel);
    if (!reports_once) expect_ready(sel, {{number.get(), event::write}});
    number.replace();
    follow(mode(event::read));
    expect_idle(sel);
    number.write();
    expect_ready(sel, {{number.get(), event::read}});
  });
}
#endif

BACKEND_TEST_CASE("watch of a number that is closed is an error, and pausing it is not", "[watch]",
                  backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  const auto number = pipe.reader.get();
  sel.register_(number, event::read, 1);
  const bool has_duplicate = GENERATE(false, true);
  descriptor duplicate;
  if (has_duplicate) duplicate = dup_of(pipe.reader);
  pipe.reader.close();
  const auto not_open = std::errc::bad_file_descriptor;
  CHECK(error_of([&](auto& error) { sel.watch(number, event::read, error); }) == not_open);
  CHECK(error_of([&](auto& error) { sel.watch(number, oneshot(event::write), error); }) == not_open);
  CHECK(sel.at(number).events() == event::read);
  CHECK(sel.watch(number, event_mask()).events().empty());
  for (int i = 0; i != 3; ++i) expect_idle(sel);
  CHECK(error_of([&](auto& error) { sel.watch(number, event::read, error); }) == not_open);
  CHECK(sel.at(number).events().empty());
  CHECK(sel.at(number).data() == 1);
  sel.unregister(number);
  CHECK(error_of([&](auto& error) { sel.watch(number, event::read, error); }) == not_open);
  CHECK(error_of([&](auto& error) { sel.watch(number, event_mask(), error); }) == not_open);
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("watch of a key whose registration is gone is not_registered, and registers nothing",
                  "[watch]", backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read, 1);
  auto& gone = sel.unregister(pipe.reader);
  CHECK(error_of([&](auto& error) { sel.watch(gone, event::read, 2, error); }) == errc::not_registered);
  CHECK(sel.empty());
  sel.register_(pipe.reader, event::read, 3);
  CHECK(error_of([&](auto& error) { sel.watch(gone, event::write, error); }) == errc::not_registered);
  CHECK(sel.at(pipe.reader).events() == event::read);
}

BACKEND_TEST_CASE("the errors of watch come in the order of register_", "[watch]", backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  constexpr event_mask bad = event::error;
  const auto outcome = [&](auto what, auto h) {
    return error_of([&](auto& error) { sel.watch(h, what, 1, error); });
  };
  CHECK(outcome(bad, detail::invalid_handle) == errc::invalid_handle);
  CHECK(outcome(bad, pipe.reader.get()) == errc::invalid_events);
  sel.register_(pipe.reader, event::read, 1);
  CHECK(outcome(bad, pipe.reader.get()) == errc::invalid_events);
  CHECK(sel.at(pipe.reader).events() == event::read);
  sel.close();
  CHECK(outcome(bad, detail::invalid_handle) == errc::closed);
  CHECK_THROWS_AS(sel.watch(pipe.reader, event::read), std::system_error);
}

BACKEND_TEST_CASE("within a loop, watch drops what the old file still had to report", "[watch]", backends) {
  selector<void, TestType> sel;
  std::vector<replaced> numbers(2);
  for (auto& number : numbers) {
    sel.register_(number.get(), event::read);
    number.write();
  }
  int reached = 0;
  for ([[maybe_unused]] auto one : sel.select(0s)) {
    ++reached;
    for (auto& number : numbers) {
      number.replace();
      sel.watch(number.get(), event::read);
    }
  }
  CHECK(reached == 1);
  expect_idle(sel);
  for (auto& number : numbers) number.write();
  CHECK(ready(sel, 0s).size() == 2);
}

BACKEND_TEST_CASE("watch drops what an earlier loop did not reach, and a mark", "[watch]", backends) {
  selector<void, TestType> sel;
  std::vector<replaced> numbers(2);
  for (auto& number : numbers) {
    sel.register_(number.get(), oneshot(event::read));
    number.write();
  }
  (void)sel.select(0s);
  const bool is_remembered = GENERATE(false, true);
  if (is_remembered)
    for ([[maybe_unused]] auto one : sel.select(0s)) break;
  for (auto& number : numbers) sel.mark_ready(number.get(), event::read);
  for (auto& number : numbers) {
    number.replace();
    sel.watch(number.get(), oneshot(event::read));
  }
  expect_idle(sel);
  for (auto& number : numbers) number.write();
  CHECK(ready(sel, 0s).size() == 2);
  expect_idle(sel);
}

BACKEND_TEST_CASE("watch reports again what is ready, once more what was reported once", "[watch]",
                  backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, oneshot(event::read));
  write_byte(pipe.writer);
  for (int i = 0; i != 3; ++i) {
    expect_ready(sel, {{pipe.reader.get(), event::read}});
    expect_idle(sel);
    sel.watch(pipe.reader, oneshot(event::read));
  }
  sel.watch(pipe.reader, event::read);
  for (int i = 0; i != 3; ++i) expect_ready(sel, {{pipe.reader.get(), event::read}});
}

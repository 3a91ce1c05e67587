// SPDX-License-Identifier: BSL-1.0

// Moving, closing and opening again.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <type_traits>
#include <utility>

using namespace selectors;
using namespace support;

namespace {

template <class Selector>
void expect_closed(Selector& sel) {
  auto pipe = make_pipe();
  CHECK_FALSE(sel.is_open());
  CHECK(object_of(sel) == detail::invalid_handle);
  CHECK(sel.empty());
  CHECK(sel.begin() == sel.end());
  CHECK_FALSE(sel.contains(pipe.reader));
  CHECK(error_of([&](auto& error) { sel.register_(pipe.reader, event::read, error); }) == errc::closed);
  CHECK(error_of([&](auto& error) { sel.modify(pipe.reader, event::read, error); }) == errc::closed);
  CHECK(error_of([&](auto& error) { sel.unregister(pipe.reader, error); }) == errc::closed);
  CHECK(error_of([&](auto& error) { CHECK(sel.select(error).empty()); }) == errc::closed);
  CHECK(error_of([&](auto& error) { CHECK(sel.select(1s, error).empty()); }) == errc::closed);
  CHECK_THROWS_AS(sel.select(), std::system_error);
  sel.clear();
  sel.close();
  CHECK_FALSE(sel.is_open());
}

template <class Selector>
void expect_usable(Selector& sel) {
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  CHECK(sel.is_open());
  sel.register_(pipe.reader, event::read);
  CHECK(ready(sel).at(pipe.reader.get()) == event::read);
  sel.unregister(pipe.reader);
}

}  // namespace

BACKEND_TEST_CASE("a closed selector refuses all, and reopens empty", "[moving]", backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  write_byte(pipe.writer);
  sel.close();
  expect_closed(sel);
  sel.reopen();
  CHECK(sel.empty());
  expect_idle_for(sel, 5ms);
  expect_usable(sel);
}

BACKEND_TEST_CASE("a selector moves with its keys, and leaves a closed one", "[moving]", backends) {
  selector<int, TestType> first;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  first.register_(pipe.reader, event::read, 9);
  const auto handle = object_of(first);
  selector<int, TestType> second(std::move(first));
  CHECK(object_of(second) == handle);
  CHECK(second.at(pipe.reader).data() == 9);
  expect_ready(second, {{pipe.reader.get(), event::read}});
  expect_closed(first);
  first.reopen();
  expect_usable(first);
  expect_ready(second, {{pipe.reader.get(), event::read}});
}

BACKEND_TEST_CASE("selectors swap", "[moving]", backends) {
  selector<int, TestType> first, second;
  auto pipes = make_pipes(2);
  for (auto& [reader, writer] : pipes) write_byte(writer);
  first.register_(pipes[0].reader, event::read);
  second.register_(pipes[1].reader, event::read);
  std::swap(first, second);
  expect_ready(first, {{pipes[1].reader.get(), event::read}});
  expect_ready(second, {{pipes[0].reader.get(), event::read}});
}

BACKEND_TEST_CASE("a selector moved to itself stays as it was", "[moving]", backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  sel.register_(pipe.reader, event::read);
  auto& same = sel;
  sel = std::move(same);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

BACKEND_TEST_CASE("assigning over a selector closes its kernel object", "[moving]", backends) {
  selector<int, TestType> first, second;
  const auto handle = object_of(first);
  first = std::move(second);
  if (has_object<TestType>) CHECK_FALSE(is_open(handle));
  expect_closed(second);
  expect_usable(first);
}

BACKEND_TEST_CASE("clear unregisters all and keeps the selector open", "[moving]", backends) {
  selector<int, TestType> sel;
  auto pipes = make_pipes(5);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read);
  }
  sel.clear();
  CHECK(sel.empty());
  expect_idle(sel);
  for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
  CHECK(ready(sel).size() == 5);
}

BACKEND_TEST_CASE("reopen arms again what was armed", "[moving]", backends) {
  selector<int, TestType> sel;
  auto pipes = make_pipes(4);
  for (auto& [reader, writer] : pipes) write_byte(writer);
  sel.register_(pipes[0].reader, oneshot(event::read));
  expect_ready(sel, {{pipes[0].reader.get(), event::read}});
  sel.register_(pipes[1].reader, oneshot(event::read));
  sel.register_(pipes[2].reader, event::read);
  sel.register_(pipes[3].reader, event_mask());
  const auto handle = object_of(sel);
  sel.reopen();
  if (keeps_number<TestType>) CHECK(object_of(sel) == handle);
  expect_ready(sel, {{pipes[1].reader.get(), event::read}, {pipes[2].reader.get(), event::read}});
  expect_ready(sel, {{pipes[2].reader.get(), event::read}});
}

BACKEND_TEST_CASE("a selector moves, and does not copy", "[moving]", backends) {
  using type = selector<int, TestType>;
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<type>);
  STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<type>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<type>);
  STATIC_REQUIRE(std::is_nothrow_move_assignable_v<type>);
  STATIC_REQUIRE(std::is_nothrow_swappable_v<type>);
}

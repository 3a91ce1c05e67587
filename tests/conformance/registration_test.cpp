// SPDX-License-Identifier: BSL-1.0

// register_, modify, unregister, look-ups and iteration, in all their forms.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

struct point {
  int x = 0, y = 0;
};

struct connection {
  descriptor socket;
  std::string name;
  native_handle_type native_handle() const noexcept { return socket.get(); }
};

struct with_fileno {
  native_handle_type number;
  native_handle_type fileno() { return number; }
};

}  // namespace

BACKEND_TEST_CASE("every form of register_ makes a key", "[registration]", backends) {
  auto [reader, writer] = make_pipe();
  std::error_code error = errc::closed;
  SECTION("no data") {
    selector<void, TestType> sel;
    auto& key = sel.register_(reader, event::read);
    CHECK(key.handle() == reader.get());
    CHECK(key.events() == event::read);
    const event_mask both = event::write | (has_priority<TestType> ? event::priority : event::read);
    auto* other = sel.register_(writer, both, error);
    REQUIRE(other != nullptr);
    CHECK_FALSE(error);
    CHECK(other->events() == both);
  }
  SECTION("data that initializes itself") {
    selector<int, TestType> sel;
    CHECK(sel.register_(reader, event::read).data() == 0);
    CHECK(sel.register_(writer, event::write, error)->data() == 0);
  }
  SECTION("data that is given") {
    selector<std::string, TestType> sel;
    CHECK(sel.register_(reader, event::read, "reader").data() == "reader");
    const std::string name = "writer";
    CHECK(sel.register_(writer, event::write, name, error)->data() == "writer");
  }
  SECTION("data in braces") {
    selector<point, TestType> sel;
    CHECK(sel.register_(reader, event::read, {1, 2}).data().y == 2);
    CHECK(sel.register_(writer, event::write, {3, 4}, error)->data().x == 3);
  }
  SECTION("data that moves only") {
    selector<std::unique_ptr<int>, TestType> sel;
    CHECK(*sel.register_(reader, event::read, std::make_unique<int>(1)).data() == 1);
    CHECK(*sel.register_(writer, event::write, std::make_unique<int>(2), error)->data() == 2);
  }
  SECTION("data that has the handle") {
    selector<connection, TestType> sel;
    const auto number = reader.get();
    connection one{std::move(reader), "one"};
    CHECK(sel.register_(event::read, std::move(one)).handle() == number);
    CHECK(sel.at(number).data().name == "one");
    CHECK(sel.register_(event::write, connection{std::move(writer), "two"}, error)->data().name == "two");
  }
  SECTION("handles of every kind") {
    selector<void, TestType> sel;
    CHECK(sel.register_(reader.get(), event::read).handle() == reader.get());
    with_fileno file{writer.get()};
    CHECK(sel.register_(file, event::write, error)->handle() == writer.get());
    CHECK(sel.contains(file));
  }
  SECTION("interests of every kind") {
    selector<void, TestType> sel;
    CHECK(sel.register_(reader, oneshot(event::read)).events() == event::read);
    CHECK(sel.register_(writer, {}).events().empty());
  }
  CHECK_FALSE((error && error != errc::closed));
}

BACKEND_TEST_CASE("modify changes the events and keeps the data", "[registration]", backends) {
  selector<int, TestType> sel;
  auto [first, second] = make_socket_pair();
  auto& key = sel.register_(first, event::read, 5);
  CHECK(&sel.modify(first, event::write) == &key);
  CHECK(key.events() == event::write);
  CHECK(key.data() == 5);
  expect_ready(sel, {{first.get(), event::write}});
  std::error_code error = errc::closed;
  CHECK(sel.modify(key, event::read | event::write, error) == &key);
  CHECK_FALSE(error);
  write_byte(second);
  expect_ready(sel, {{first.get(), event::read | event::write}});
}

BACKEND_TEST_CASE("what is unregistered is not reported and not found", "[registration]", backends) {
  selector<int, TestType> sel;
  auto pipes = make_pipes(2);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, event::read, 1);
  }
  CHECK(sel.unregister(pipes[0].reader).handle() == pipes[0].reader.get());
  CHECK(sel.find(pipes[0].reader) == nullptr);
  CHECK_FALSE(sel.contains(pipes[0].reader));
  CHECK(sel.size() == 1);
  expect_ready(sel, {{pipes[1].reader.get(), event::read}});
  std::error_code error = errc::closed;
  CHECK(sel.unregister(sel.at(pipes[1].reader), error) != nullptr);
  CHECK_FALSE(error);
  CHECK(sel.empty());
  expect_idle(sel);
}

BACKEND_TEST_CASE("look-ups find what is registered, const or not", "[registration]", backends) {
  selector<int, TestType> sel;
  auto [reader, writer] = make_pipe();
  auto& key = sel.register_(reader, event::read, 1);
  const auto& constant = sel;
  CHECK(sel.find(reader) == &key);
  CHECK(constant.find(reader) == &key);
  CHECK(&sel.at(reader) == &key);
  CHECK(&constant.at(reader.get()) == &key);
  CHECK(constant.contains(reader));
  CHECK(sel.find(writer) == nullptr);
  CHECK(sel.find(number_of(-1)) == nullptr);
  CHECK(sel.find(number_of(1'000'000)) == nullptr);
  CHECK_FALSE(constant.contains(number_of(-5)));
  for (const native_handle_type unknown : {writer.get(), number_of(-1), number_of(1'000'000)}) {
    try {
      (void)constant.at(unknown);
      FAIL("found");
    } catch (const std::system_error& refused) {
      CHECK(refused.code() == errc::not_registered);
    }
  }
}

BACKEND_TEST_CASE("the keys are a range, in which any may be unregistered or modified meanwhile",
                  "[registration]", backends) {
  selector<int, TestType> sel;
  auto pipes = make_pipes(20);
  for (int i = 0; i != 20; ++i) sel.register_(pipes[static_cast<std::size_t>(i)].reader, event::read, i + 1);
  const auto& constant = sel;
  int seen = 0;
  for (const auto& key : constant) CHECK(key.data() == ++seen);
  CHECK(seen == 20);
  seen = 0;
  for (auto& key : sel) {
    sel.modify(key, event_mask());
    sel.unregister(pipes[static_cast<std::size_t>(key.data())].reader);
    if (seen % 4 == 0) sel.unregister(key);
    ++seen;
  }
  CHECK(seen == 10);
  CHECK(sel.size() == 7);
  sel.clear();
  CHECK(sel.begin() == sel.end());
}

BACKEND_TEST_CASE("errors come in their order and change nothing", "[registration]", backends) {
  selector<std::unique_ptr<int>, TestType> sel;
  auto [reader, writer] = make_pipe();
  sel.register_(reader, event::read, std::make_unique<int>(1));
  auto data = std::make_unique<int>(2);
  const auto registering = [&](native_handle_type handle, event_mask what) {
    return error_of(
        [&](auto& error) { CHECK(sel.register_(handle, what, std::move(data), error) == nullptr); });
  };
  CHECK(registering(number_of(-1), event::hangup) == errc::invalid_handle);
  CHECK(registering(reader.get(), event::hangup) == errc::already_registered);
  CHECK(registering(number_of(19'999), event::hangup) == errc::invalid_events);
  CHECK(registering(writer.get(), event::error) == errc::invalid_events);
  CHECK(registering(writer.get(), event::hangup | event::read) == errc::invalid_events);
  CHECK(registering(number_of(19'999), event::read) == std::errc::bad_file_descriptor);
  CHECK(registering(number_of(19'999), event_mask()) == std::errc::bad_file_descriptor);

  const auto modifying = [&](native_handle_type handle, event_mask what) {
    return error_of([&](auto& error) { CHECK(sel.modify(handle, what, error) == nullptr); });
  };
  CHECK(modifying(number_of(-1), event::hangup) == errc::invalid_handle);
  CHECK(modifying(writer.get(), event::hangup) == errc::not_registered);
  CHECK(modifying(reader.get(), event::hangup) == errc::invalid_events);

  const auto unregistering = [&](native_handle_type handle) {
    return error_of([&](auto& error) { CHECK(sel.unregister(handle, error) == nullptr); });
  };
  CHECK(unregistering(number_of(-1)) == errc::invalid_handle);
  CHECK(unregistering(writer.get()) == errc::not_registered);

  REQUIRE(data != nullptr);
  CHECK(*data == 2);
  CHECK(sel.size() == 1);
  CHECK(sel.at(reader).events() == event::read);
  sel.close();
  CHECK(registering(number_of(-1), event::hangup) == errc::closed);
  CHECK(modifying(number_of(-1), event::hangup) == errc::closed);
  CHECK(unregistering(number_of(-1)) == errc::closed);
}

BACKEND_TEST_CASE("what is thrown names the call, the handle and the cause", "[registration]", backends) {
  selector<void, TestType> sel;
  const auto text_of = [](auto call) -> std::string {
    try {
      call();
    } catch (const std::system_error& refused) {
      return refused.what();
    }
    return "nothing was thrown";
  };
  const std::string refused = text_of([&] { sel.register_(number_of(19'999), event::read); });
  CHECK_THAT(refused, contains("register_(19999)") && contains("Bad file descriptor"));
  CHECK_THAT(refused, contains(SELECTORS_HAS_WINSOCK ? "getsockopt" : "fcntl"));
  CHECK_THAT(text_of([&] { sel.unregister(number_of(7)); }),
             contains("unregister(7)") && contains("not registered"));
  CHECK_THAT(text_of([&] { sel.modify(number_of(-1), event::read); }),
             contains("modify") && contains("invalid handle"));
  CHECK_THAT(text_of([&] { (void)sel.at(number_of(7)); }), contains("at(7)") && contains("not registered"));
  sel.close();
  CHECK_THAT(text_of([&] { sel.select(); }), contains("select") && contains("closed"));
}

BACKEND_TEST_CASE("modify to the level interest in force is no call to the kernel", "[registration]",
                  backends) {
  selector<void, TestType> sel;
  auto [reader, writer] = make_pipe();
  sel.register_(reader, event::read);
  const auto number = reader.get();
  reader.close();
  CHECK_FALSE(error_of([&](auto& error) { sel.modify(number, event::read, error); }));
  if (has_object<TestType>) {
    CHECK(error_of([&](auto& error) { sel.modify(number, oneshot(event::read), error); }).value() == EBADF);
    CHECK(error_of([&](auto& error) { sel.modify(number, event::write, error); }).value() == EBADF);
  }
}

BACKEND_TEST_CASE("what cannot throw says so", "[registration]", backends) {
  using plain = selector<void, TestType>;
  using throwing = selector<std::string, TestType>;
  std::error_code error;
  STATIC_REQUIRE(noexcept(plain(error)));
  STATIC_REQUIRE(noexcept(std::declval<plain&>().register_(number_of(1), event::read, error)));
  STATIC_REQUIRE(
      noexcept(std::declval<throwing&>().register_(number_of(1), event::read, std::string(), error)));
  STATIC_REQUIRE_FALSE(
      noexcept(std::declval<throwing&>().register_(number_of(1), event::read, "text", error)));
  STATIC_REQUIRE(noexcept(std::declval<throwing&>().modify(number_of(1), event::read, error)));
  STATIC_REQUIRE(noexcept(std::declval<throwing&>().unregister(number_of(1), error)));
  STATIC_REQUIRE(noexcept(std::declval<throwing&>().select(error)));
  STATIC_REQUIRE(noexcept(std::declval<throwing&>().select(std::declval<std::chrono::seconds>(), error)));
  STATIC_REQUIRE(noexcept(std::declval<throwing&>().find(number_of(1))));
}

BACKEND_TEST_CASE("what points to a thing with a handle is registered by it", "[registration]", backends) {
  auto [reader, writer] = make_pipe();
  const auto number = reader.get();
  auto one = std::make_unique<connection>(connection{std::move(reader), "one"});
  selector<std::unique_ptr<connection>, TestType> sel;
  connection* const raw = one.get();
  CHECK(sel.register_(event::read, std::move(one)).handle() == number);
  CHECK(one == nullptr);
  CHECK(sel.contains(raw));
  CHECK(sel.at(raw).data().get() == raw);
  CHECK(&sel.modify(sel.at(raw).data(), oneshot(event::read)) == sel.find(number));
  write_byte(writer);
  expect_ready(sel, {{number, event::read}});
  CHECK(error_of([&](auto& error) { sel.register_(event::read, std::move(one), error); }) ==
        errc::invalid_handle);
  CHECK(error_of([&](auto& error) { sel.modify(one, event::read, error); }) == errc::invalid_handle);
  CHECK(error_of([&](auto& error) { sel.unregister(one, error); }) == errc::invalid_handle);
  CHECK_FALSE(sel.contains(one));
  CHECK(sel.size() == 1);
  sel.unregister(raw);
  CHECK(sel.empty());
}

BACKEND_TEST_CASE("watch registers what is not registered, and keeps what is", "[registration]", backends) {
  auto pipe = make_pipe();
  const descriptor& reader = pipe.reader;
  const descriptor& writer = pipe.writer;
  std::error_code error = errc::closed;
  selector<std::unique_ptr<int>, TestType> sel;
  auto data = std::make_unique<int>(1);
  auto& key = sel.watch(reader, event::read, std::move(data));
  CHECK(data == nullptr);
  CHECK(*key.data() == 1);
  data = std::make_unique<int>(2);
  CHECK(&sel.watch(reader, oneshot(event::read), std::move(data)) == &key);
  REQUIRE(data != nullptr);
  CHECK(*data == 2);
  CHECK(*key.data() == 1);
  CHECK(sel.watch(key, event::read, std::move(data), error) == &key);
  CHECK_FALSE(error);
  CHECK(data != nullptr);
  CHECK(&sel.watch(key, {}) == &key);
  CHECK(key.events().empty());
  CHECK(sel.watch(reader, event::read, error) == &key);
  CHECK(sel.watch(writer, event::write, error)->data() == nullptr);
  write_byte(writer);
  expect_ready(sel, {{reader.get(), event::read}, {writer.get(), event::write}});

  CHECK(error_of([&](auto& e) { CHECK(sel.watch(number_of(-1), event::hangup, e) == nullptr); }) ==
        errc::invalid_handle);
  CHECK(error_of([&](auto& e) { CHECK(sel.watch(reader, event::hangup, e) == nullptr); }) ==
        errc::invalid_events);
  CHECK(error_of([&](auto& e) { CHECK(sel.watch(number_of(19'999), event::read, e) == nullptr); }) ==
        std::errc::bad_file_descriptor);
  auto& gone = sel.unregister(reader);
  sel.register_(reader, event::read);
  CHECK(error_of([&](auto& e) { CHECK(sel.watch(gone, event::read, e) == nullptr); }) ==
        errc::not_registered);
  CHECK_THROWS_AS(sel.watch(gone, event::read), std::system_error);
  CHECK_THROWS_WITH(sel.watch(number_of(-1), event::read), contains("watch"));
  sel.close();
  CHECK(error_of([&](auto& e) { CHECK(sel.watch(reader, event::read, e) == nullptr); }) == errc::closed);
}

BACKEND_TEST_CASE("mark_ready refuses what modify refuses", "[registration]", backends) {
  auto [reader, writer] = make_pipe();
  selector<void, TestType> sel;
  auto& key = sel.register_(reader, event::read);
  const auto marking = [&](auto&& handle, event_mask events) {
    return error_of([&](auto& error) {
      const bool is_marked = sel.mark_ready(handle, events, error);
      CHECK(is_marked == !error);
    });
  };
  CHECK(marking(number_of(-1), event::hangup) == errc::invalid_handle);
  CHECK(marking(writer, event::hangup) == errc::not_registered);
  CHECK(marking(reader, event::hangup) == errc::invalid_events);
  CHECK(marking(key, event::error) == errc::invalid_events);
  CHECK_FALSE(marking(key, event_mask()));
  expect_idle(sel);
  CHECK_THROWS_WITH(sel.mark_ready(writer, event::read),
                    contains("mark_ready(") && contains("not registered"));
  sel.unregister(key);
  sel.register_(reader, event::read);
  CHECK(marking(key, event::read) == errc::not_registered);
  sel.close();
  CHECK(marking(reader, event::read) == errc::closed);
}

namespace {

template <class Selector>
concept has_native_handle = requires(const Selector& sel) { sel.native_handle(); };
template <class Selector, class H, class Interest = event_mask>
concept can_register = requires(Selector& sel, H&& h, Interest interest) { sel.register_(h, interest); };
template <class Selector, class H>
concept can_do_all = requires(Selector& sel, H&& h, std::error_code& error) {
  sel.modify(h, event::read);
  sel.watch(h, event::read, error);
  sel.unregister(h, error);
  sel.mark_ready(h, event::read);
  sel.find(h);
  sel.at(h);
  sel.contains(h);
};

}  // namespace

BACKEND_TEST_CASE("a requires-expression can ask what is possible", "[registration]", backends) {
  using tested = selector<void, TestType>;
  STATIC_REQUIRE(can_register<tested, native_handle_type>);
  STATIC_REQUIRE_FALSE(can_register<tested, long>);
  STATIC_REQUIRE_FALSE(can_register<tested, std::string>);
  STATIC_REQUIRE_FALSE(can_register<tested, native_handle_type*>);
  STATIC_REQUIRE_FALSE(can_register<const tested, native_handle_type>);
  STATIC_REQUIRE_FALSE(can_register<tested, native_handle_type, int>);
  using edges = interest<trigger::edge>;
  STATIC_REQUIRE(can_register<tested, native_handle_type, edges> == supports<TestType, trigger::edge>);
  using exclusives = interest<trigger::level, true>;
  STATIC_REQUIRE(can_register<tested, native_handle_type, exclusives> ==
                 supports<TestType, trigger::level, true>);
  STATIC_REQUIRE_FALSE(can_register<selector<connection, TestType>, native_handle_type, std::string>);
  STATIC_REQUIRE(can_do_all<tested, native_handle_type>);
  STATIC_REQUIRE(can_do_all<tested, const selector_key<void>&>);
  STATIC_REQUIRE(can_do_all<tested, connection*>);
  STATIC_REQUIRE_FALSE(can_do_all<tested, long>);
  STATIC_REQUIRE_FALSE(can_do_all<tested, const selector_key<int>&>);
  STATIC_REQUIRE_FALSE(can_do_all<const tested, native_handle_type>);
  STATIC_REQUIRE(has_native_handle<tested> == (is_epoll<TestType> || is_kqueue<TestType>));
  STATIC_REQUIRE(pollable<tested> == has_native_handle<tested>);
  STATIC_REQUIRE(requestable_events<TestType>.contains(event::read | event::write));
}

// SPDX-License-Identifier: BSL-1.0

// No limit of its own; and clear errors at the system's limits.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <optional>
#include <string>

using namespace selectors;
using namespace support;

#if !SELECTORS_HAS_WINSOCK
BACKEND_TEST_CASE("descriptors above FD_SETSIZE are watched like any other", "[limits][native]", backends) {
  if (!may_have_descriptors(9100)) {
    WARN("left out: this user may not have so many descriptors");
    return;
  }
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  auto [first, second] = make_socket_pair();
  const descriptor high = dup_above(pipe.reader, 5000);
  const descriptor higher = dup_above(first, 9000);
  REQUIRE(high.get() > FD_SETSIZE);
  sel.register_(high, event::read);
  sel.register_(higher, event::read | event::write);
  expect_ready(sel, {{higher.get(), event::write}});
  write_byte(pipe.writer);
  write_byte(second);
  expect_ready(sel, {{high.get(), event::read}, {higher.get(), event::read | event::write}});
  sel.unregister(higher);
  expect_ready(sel, {{high.get(), event::read}});
  sel.register_(pipe.reader, event::read);
  expect_ready(sel, {{pipe.reader.get(), event::read}, {high.get(), event::read}});
  sel.unregister(pipe.reader);
  expect_ready(sel, {{high.get(), event::read}});
}
#else
TEST_CASE("descriptors above FD_SETSIZE are watched like any other", "[limits]") {
  skip("numbers are the system's to choose; more sockets than that are tried below");
}
#endif

BACKEND_TEST_CASE("thousands of handles are watched at once", "[limits][native]", backends) {
  if (!may_have_descriptors(4100)) {
    WARN("left out: this user may not have so many descriptors");
    return;
  }
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  std::vector<descriptor> many;
  for (int i = 0; i != 4000; ++i) {
    many.push_back(dup_of(pipe.reader));
    sel.register_(many.back(), event::read, i);
  }
  expect_idle(sel);
  write_byte(pipe.writer);
  CHECK(ready(sel).size() == 4000);
  for (std::size_t i = 0; i != many.size(); i += 2) sel.unregister(many[i]);
  CHECK(ready(sel).size() == 2000);
}

#if !SELECTORS_HAS_WINSOCK
BACKEND_TEST_CASE("without a free descriptor a selector is an error that names the call, and is closed",
                  "[limits]", backends) {
  if constexpr (has_object<TestType>) {
    std::error_code error;
    std::optional<selector<void, TestType>> sel;
    std::string text;
    {
      const exhausted_descriptors none;
      sel.emplace(error);
      try {
        selector<void, TestType> thrown;
      } catch (const std::system_error& refused) {
        text = refused.what();
      }
    }
    CHECK(error == std::error_code(EMFILE, std::system_category()));
    CHECK_THAT(text, contains("selector") && contains(is_epoll<TestType> ? "epoll_create1" : "kqueue"));
    CHECK_FALSE(sel->is_open());
    CHECK(error_of([&](auto& refused) { sel->select(refused); }) == errc::closed);
    sel->reopen();
    CHECK(sel->is_open());
    expect_idle(*sel);
  }
}

BACKEND_TEST_CASE("reopen without a free descriptor leaves all as it was", "[limits]", backends) {
  selector<void, TestType> sel;
  auto pipes = make_pipes(3);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    sel.register_(reader, oneshot(event::read));
  }
  for ([[maybe_unused]] auto one : sel.select()) break;
  const auto handle = object_of(sel);
  {
    const exhausted_descriptors none;
    const std::error_code error = error_of([&](auto& refused) { sel.reopen(refused); });
    // A queue of the kernel's is emptied, and stays the same.
    constexpr bool is_replaced = has_object<TestType> && (is_epoll<TestType> || !SELECTORS_HAS_KERNEL_KQUEUE);
    CHECK(error == (is_replaced ? std::error_code(EMFILE, std::system_category()) : std::error_code()));
  }
  CHECK(object_of(sel) == handle);
  CHECK(sel.size() == 3);
  CHECK(ready(sel).size() == 2);
  expect_idle(sel);
}

// macOS and the BSDs take FD_SETSIZE of them, whatever the limit is.
BACKEND_TEST_CASE("more handles than poll takes are an error that names the call", "[limits][native]",
                  backends) {
  if constexpr (TestType::name == "poll" && is_linux) {
    selector<void, TestType> sel;
    auto pipes = make_pipes(40);
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read);
    write_byte(pipes[0].writer);
    std::string text;
    {
      const descriptor_limit few(30);
      CHECK(error_of([&](auto& error) { sel.select(0s, error); }).value() == EINVAL);
      try {
        sel.select(0s);
      } catch (const std::system_error& refused) {
        text = refused.what();
      }
    }
    CHECK_THAT(text, contains("select") && contains("ppoll"));
    expect_ready(sel, {{pipes[0].reader.get(), event::read}});
  }
}
#else
TEST_CASE("without a free descriptor", "[limits]") {
  skip("a process of Windows has as many sockets as there is memory, and a selector is none there");
}
#endif

// SPDX-License-Identifier: BSL-1.0

// The console's events as signals. What Windows does, a thread of the test does: it calls the handler. (There
// is no console to press Ctrl-C in where tests run, and GenerateConsoleCtrlEvent reports to every process of
// the console.)

#include "support/catch.hpp"
#include "support/expect.hpp"

#include <selectors/signal_set.hpp>

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

bool is_handled(DWORD event) {
  BOOL handled = FALSE;
  std::thread([&] { handled = detail::handle_console_event(event); }).join();
  return handled != FALSE;
}

}  // namespace

BACKEND_TEST_CASE("the console's events are signals", "[signal_set]", backends) {
  selector<void, TestType> sel;
  signal_set set{SIGINT, SIGBREAK};
  sel.register_(set, event::read);
  expect_idle(sel);
  CHECK(is_handled(CTRL_C_EVENT));
  CHECK(is_handled(CTRL_C_EVENT));
  CHECK_FALSE(is_handled(CTRL_CLOSE_EVENT));
  expect_ready(sel, {{set.native_handle(), event::read}});
  const signal_set::numbers numbers = set.take();
  CHECK(numbers.contains(SIGINT));
  CHECK_FALSE(numbers.contains(SIGBREAK));
  CHECK(set.take().empty());
  expect_idle(sel);
  CHECK(is_handled(CTRL_BREAK_EVENT));
  expect_ready(sel, {{set.native_handle(), event::read}});
  CHECK(set.take().contains(SIGBREAK));
}

TEST_CASE("several sets hear of one event, and nobody when they have gone", "[signal_set]") {
  {
    signal_set first{SIGINT}, second{SIGINT, SIGTERM};
    CHECK(is_handled(CTRL_C_EVENT));
    CHECK(first.take().contains(SIGINT));
    CHECK(second.take().contains(SIGINT));
    CHECK_FALSE(is_handled(CTRL_BREAK_EVENT));
  }
  CHECK_FALSE(is_handled(CTRL_C_EVENT));
}

TEST_CASE("the handler of an event that ends the process does not return before the sets are destroyed",
          "[signal_set]") {
  for (const DWORD event : {DWORD{CTRL_CLOSE_EVENT}, DWORD{CTRL_LOGOFF_EVENT}, DWORD{CTRL_SHUTDOWN_EVENT}}) {
    selector<> sel;
    std::optional<signal_set> first, second;
    first.emplace(std::initializer_list<int>{SIGTERM});
    second.emplace(std::initializer_list<int>{SIGINT, SIGTERM});
    sel.register_(*first, event::read);
    std::atomic<bool> has_returned{false};
    std::thread windows([&] { has_returned = detail::handle_console_event(event) != FALSE; });
    CHECK_FALSE(sel.select(10s).empty());
    CHECK(first->take().contains(SIGTERM));
    sel.unregister(*first);
    first.reset();
    std::this_thread::sleep_for(50ms);
    CHECK_FALSE(has_returned);
    CHECK(second->take().contains(SIGTERM));
    second.reset();
    windows.join();
    CHECK(has_returned);
  }
}

TEST_CASE("what is no event of the console is refused", "[signal_set]") {
  for (const int number : {0, -1, SIGABRT, SIGFPE, SIGILL, SIGSEGV, 9, 128}) {
    INFO("signal " << number);
    std::error_code error;
    signal_set refused({SIGINT, number}, error);
    CHECK(error == std::errc::invalid_argument);
    CHECK(refused.take().empty());
  }
  std::error_code error;
  signal_set none({}, error);
  CHECK(error == std::errc::invalid_argument);
  CHECK_FALSE(is_handled(CTRL_C_EVENT));
}

TEST_CASE("sets come and go while events do", "[signal_set][signals]") {
  std::atomic<bool> is_over{false};
  std::thread windows([&] {
    while (!is_over) detail::handle_console_event(CTRL_C_EVENT);
  });
  for (int i = 0; i != 100; ++i) {
    signal_set set{SIGINT};
    while (!set.take().contains(SIGINT)) std::this_thread::yield();
  }
  is_over = true;
  windows.join();
  SUCCEED("none was lost");
}

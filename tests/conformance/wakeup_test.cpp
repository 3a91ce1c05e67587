// SPDX-License-Identifier: BSL-1.0

// How other threads and signal handlers reach a selector.

#include "notifications.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#if !SELECTORS_HAS_WINSOCK
#include <signal.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

using namespace selectors;
using namespace support;

BACKEND_TEST_CASE("a wakeup is readable from notify to reset, however often it was notified", "[wakeup]",
                  backends) {
  selector<void, TestType> sel;
  wakeup wake;
  sel.register_(wake, event::read);
  expect_idle(sel);
  CHECK_FALSE(wake.reset());
  for (int i = 0; i != 3; ++i) wake.notify();
  for (int i = 0; i != 2; ++i) expect_ready(sel, {{wake.native_handle(), event::read}});
  CHECK(wake.reset());
  CHECK_FALSE(wake.reset());
  expect_idle(sel);
}

BACKEND_TEST_CASE("a wakeup ends a wait, from a thread", "[wakeup]", backends) {
  selector<void, TestType> sel;
  wakeup wake;
  sel.register_(wake, event::read);
  std::thread other([&] { wake.notify(); });
  CHECK_FALSE(sel.select().empty());
  other.join();
}

#if !SELECTORS_HAS_WINSOCK
namespace {

wakeup* signalled = nullptr;

}  // namespace

BACKEND_TEST_CASE("a wakeup ends a wait, from a signal handler, and keeps errno", "[wakeup]", backends) {
  selector<void, TestType> sel;
  wakeup wake;
  sel.register_(wake, event::read);
  signalled = &wake;
  struct sigaction action{}, before{};
  action.sa_handler = [](int) { signalled->notify(); };
  checked(::sigaction(SIGUSR2, &action, &before), "sigaction");
  errno = ELOOP;
  ::raise(SIGUSR2);
  CHECK(errno == ELOOP);
  CHECK_FALSE(sel.select().empty());
  errno = ELOOP;
  CHECK(wake.reset());
  CHECK_FALSE(wake.reset());
  CHECK(errno == ELOOP);
  ::sigaction(SIGUSR2, &before, nullptr);
}
#else
TEST_CASE("a wakeup ends a wait, from a signal handler, and keeps errno", "[wakeup]") {
  skip("a handler of SIGINT runs in a thread of its own, and there is no other signal from outside");
}
#endif

BACKEND_TEST_CASE("one wakeup wakes several selectors", "[wakeup]", backends) {
  selector<void, TestType> first, second;
  wakeup wake;
  first.register_(wake, event::read);
  second.register_(wake, event::read);
  wake.notify();
  expect_ready(first, {{wake.native_handle(), event::read}});
  expect_ready(second, {{wake.native_handle(), event::read}});
}

BACKEND_TEST_CASE("a wakeup that is reset before draining misses nothing of a queue", "[wakeup]", backends) {
  constexpr int threads = 4, items = 5000;
  selector<void, TestType> sel;
  wakeup wake;
  sel.register_(wake, event::read);
  std::mutex guard;
  std::vector<int> queue;
  std::vector<std::thread> producers;
  for (int t = 0; t != threads; ++t) {
    producers.emplace_back([&] {
      for (int i = 0; i != items; ++i) {
        {
          const std::lock_guard lock(guard);
          queue.push_back(i);
        }
        wake.notify();
      }
    });
  }
  std::size_t received = 0;
  std::vector<int> taken;
  while (received != threads * items) {
    auto range = sel.select(10s);
    REQUIRE_FALSE(range.empty());
    for ([[maybe_unused]] auto one : range) {
      CHECK(wake.reset());
      {
        const std::lock_guard lock(guard);
        taken.swap(queue);
      }
      received += taken.size();
      taken.clear();
    }
  }
  for (std::thread& producer : producers) producer.join();
  CHECK(received == threads * items);
}

BACKEND_TEST_CASE("of a million notifications by threads and a signal handler none is lost, none invented",
                  "[wakeup][signals][native]", backends) {
  selector<void, TestType> sel;
  wakeup wake;
  expect_none_lost_none_invented(sel, wake);
}

#if SELECTORS_HAS_EVENTFD
TEST_CASE("a full wakeup is notified already", "[wakeup]") {
  wakeup wake;
  const std::uint64_t nearly_full = 0xfffffffffffffffe;
  checked(static_cast<int>(::write(wake.native_handle(), &nearly_full, sizeof nearly_full)), "write");
  errno = ELOOP;
  wake.notify();
  CHECK(errno == ELOOP);
  CHECK(wake.reset());
  CHECK_FALSE(wake.reset());
}

#endif

#if !SELECTORS_HAS_WINSOCK
TEST_CASE("a wakeup without a descriptor is an error that names the call", "[wakeup]") {
  std::error_code error;
  std::string text;
  {
    const exhausted_descriptors none;
    wakeup refused(error);
    refused.notify();
    CHECK_FALSE(refused.reset());
    CHECK(refused.native_handle() == -1);
    try {
      wakeup thrown;
    } catch (const std::system_error& what) {
      text = what.what();
    }
  }
  CHECK(error == std::error_code(EMFILE, std::system_category()));
  CHECK_THAT(text, contains("wakeup") && contains(SELECTORS_HAS_EVENTFD ? "eventfd" : "pipe"));
  wakeup wake(error);
  CHECK_FALSE(error);
}
#else
TEST_CASE("a wakeup without a descriptor is an error that names the call", "[wakeup]") {
  skip("a process of Windows has as many sockets as there is memory");
}
#endif

BACKEND_TEST_CASE("a wakeup that is reopened is not notified, and wakes a selector that is reopened after it",
                  "[wakeup]", backends) {
  selector<void, TestType> sel;
  wakeup bell;
  const native_handle_type number = bell.native_handle();
  sel.register_(bell, event::read);
  bell.notify();
  bell.reopen();
  CHECK(bell.native_handle() == number);
  CHECK_FALSE(bell.reset());
  sel.reopen();
  expect_idle(sel);
  bell.notify();
  expect_ready(sel, {{number, event::read}});
  CHECK(bell.reset());
}

TEST_CASE("a wakeup is neither copied nor moved", "[wakeup]") {
  STATIC_REQUIRE(pollable<wakeup>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<wakeup>);
  STATIC_REQUIRE_FALSE(std::is_move_constructible_v<wakeup>);
  STATIC_REQUIRE_FALSE(std::is_move_assignable_v<wakeup>);
}

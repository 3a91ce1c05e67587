// SPDX-License-Identifier: BSL-1.0

// Signals as events: none is lost, none invented, and what a set has changed in the process is put back.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/signal_set.hpp>

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <thread>
#include <type_traits>
#include <vector>

using namespace selectors;
using namespace support;

// The test framework has handlers of SIGINT, SIGTERM and what ends a program: these tests use other signals.
namespace {

using list = std::vector<int>;

list taken(signal_set& set) {
  list numbers;
  for (const int number : set.take()) numbers.push_back(number);
  return numbers;
}

struct sigaction action_of(int number) {
  struct sigaction action{};
  checked(::sigaction(number, nullptr, &action), "sigaction");
  return action;
}
auto handler_of(int number) { return action_of(number).sa_handler; }

// Sets a handler, and puts the one before back.
class handler {
 public:
  handler(int number, void (*function)(int)) : number_(number) {
    struct sigaction action{};
    action.sa_handler = function;
    checked(::sigaction(number, &action, &before_), "sigaction");
  }
  handler(const handler&) = delete;
  ~handler() { ::sigaction(number_, &before_, nullptr); }

 private:
  int number_;
  struct sigaction before_{};
};

void ignore(int) {}
void ignore_too(int) {}

}  // namespace

BACKEND_TEST_CASE("a signal set is readable from the first signal until it is taken", "[signal_set]",
                  backends) {
  selector<void, TestType> sel;
  signal_set set{SIGUSR2, SIGHUP, SIGUSR1};
  sel.register_(set, event::read);
  expect_idle(sel);
  CHECK(set.take().empty());
  ::raise(SIGHUP);
  for (int i = 0; i != 2; ++i) expect_ready(sel, {{set.native_handle(), event::read}});
  ::raise(SIGUSR1);
  ::raise(SIGHUP);
  expect_ready(sel, {{set.native_handle(), event::read}});
  const signal_set::numbers numbers = set.take();
  CHECK(list(numbers.begin(), numbers.end()) == list{SIGHUP, SIGUSR1});  // 1 everywhere, so the lowest
  CHECK_FALSE(numbers.empty());
  CHECK(numbers.contains(SIGHUP));
  CHECK_FALSE(numbers.contains(SIGUSR2));
  for (const int strange : {-1, 0, 128, 1 << 20}) CHECK_FALSE(numbers.contains(strange));
  expect_idle(sel);
  CHECK(set.take().empty());
  ::raise(SIGUSR2);
  expect_ready(sel, {{set.native_handle(), event::read}});
  CHECK(taken(set) == list{SIGUSR2});
}

BACKEND_TEST_CASE("a signal ends a wait, and is reported", "[signal_set]", backends) {
  selector<void, TestType> sel;
  signal_set set{SIGUSR1};
  sel.register_(set, event::read);
  std::thread other([self = ::pthread_self()] { ::pthread_kill(self, SIGUSR1); });
  auto found = ready(sel);  // empty if the wait was interrupted before it saw the wakeup
  if (found.empty()) found = ready(sel);
  CHECK(found == readiness{{set.native_handle(), event::read}});
  CHECK(taken(set) == list{SIGUSR1});
  other.join();
}

BACKEND_TEST_CASE("sets in several selectors and threads hear of the same signal", "[signal_set]", backends) {
  constexpr int threads = 3;
  std::atomic<int> prepared{0}, right{0};
  std::vector<std::thread> loops;
  for (int i = 0; i != threads; ++i)
    loops.emplace_back([&] {
      selector<void, TestType> sel;
      signal_set set{SIGUSR1, SIGUSR2};
      sel.register_(set, event::read);
      ++prepared;
      const auto end = std::chrono::steady_clock::now() + 10s;
      while (std::chrono::steady_clock::now() < end) {
        if (sel.select(1s).empty()) continue;
        if (taken(set) == list{SIGUSR2}) ++right;
        return;
      }
    });
  while (prepared != threads) std::this_thread::yield();
  ::kill(::getpid(), SIGUSR2);
  for (std::thread& loop : loops) loop.join();
  CHECK(right == threads);
}

TEST_CASE("what has come is a range and a value", "[signal_set]") {
  using numbers = signal_set::numbers;
  STATIC_REQUIRE(std::ranges::forward_range<numbers>);
  STATIC_REQUIRE(std::is_same_v<std::ranges::range_value_t<numbers>, int>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<numbers>);
  STATIC_REQUIRE(noexcept(std::declval<signal_set&>().take()));
  STATIC_REQUIRE(pollable<signal_set>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<signal_set>);
  STATIC_REQUIRE_FALSE(std::is_move_constructible_v<signal_set>);
  STATIC_REQUIRE_FALSE(std::is_move_assignable_v<signal_set>);
  signal_set set{SIGUSR1, SIGUSR2};
  ::raise(SIGUSR1);
  ::raise(SIGUSR2);
  const numbers first = set.take(), copy = first;
  CHECK(first == copy);
  CHECK_FALSE(first == numbers());
  CHECK(std::ranges::distance(first) == 2);
  auto step = first.begin();
  CHECK(*step++ == std::min(SIGUSR1, SIGUSR2));
  CHECK(*step == std::max(SIGUSR1, SIGUSR2));
  CHECK(++step == first.end());
}

TEST_CASE("every signal that can be caught is, and no other", "[signal_set][native]") {
  const list never{SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  int caught = 0;
  for (int number = 1; number != 200; ++number) {
    struct sigaction before{};
    const bool is_signal = ::sigaction(number, nullptr, &before) == 0 &&
                           std::find(never.begin(), never.end(), number) == never.end();
    INFO("signal " << number);
    std::error_code error = std::make_error_code(std::errc::timed_out);
    {
      signal_set set({number}, error);
      CHECK(!error == is_signal);
      if (error) CHECK(error == std::errc::invalid_argument);
      if (error) continue;
      ::raise(number);
      CHECK(taken(set) == list{number});
      ++caught;
    }
    CHECK(action_of(number).sa_handler == before.sa_handler);
  }
  CHECK(caught > 20);
#if defined(SIGRTMIN)
  CHECK(caught > 24 + SIGRTMAX - SIGRTMIN);
#endif
}

TEST_CASE("a set of what is no signal is refused whole", "[signal_set]") {
  const auto open = open_descriptors();
  for (const int wrong : {0, -1, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 128, 129, 1 << 20}) {
    INFO("signal " << wrong);
    std::error_code error;
    signal_set set({SIGUSR1, wrong, SIGUSR2}, error);
    CHECK(error == std::errc::invalid_argument);
    for (const int number : {SIGUSR1, SIGUSR2}) CHECK(handler_of(number) == SIG_DFL);
    CHECK(set.take().empty());
  }
  std::error_code error;
  signal_set none({}, error);
  CHECK(error == std::errc::invalid_argument);
  try {
    signal_set thrown{SIGUSR1, SIGKILL};
    FAIL("not refused");
  } catch (const std::system_error& refused) {
    CHECK(refused.code() == std::errc::invalid_argument);
    CHECK_THAT(refused.what(), contains("signal_set") && contains("sigaction"));
  }
  CHECK(handler_of(SIGUSR1) == SIG_DFL);
  CHECK(open_descriptors().size() == open.size() + (SELECTORS_HAS_EVENTFD ? 1 : 2));  // those of `none`
}

TEST_CASE("a set that fails keeps what another set has", "[signal_set]") {
  signal_set set{SIGUSR1};
  std::error_code error;
  {
    signal_set refused({SIGUSR1, SIGUSR2, SIGKILL}, error);
  }
  CHECK(error == std::errc::invalid_argument);
  ::raise(SIGUSR1);
  CHECK(taken(set) == list{SIGUSR1});
  CHECK(handler_of(SIGUSR2) == SIG_DFL);
}

TEST_CASE("a set without a descriptor is an error that changes nothing", "[signal_set]") {
  std::error_code error;
  {
    const exhausted_descriptors none;
    const signal_set set({SIGUSR1}, error);
    CHECK(set.native_handle() == -1);
  }
  CHECK(error == std::error_code(EMFILE, std::system_category()));
  CHECK(handler_of(SIGUSR1) == SIG_DFL);
}

TEST_CASE("the last set of a signal puts back the handler there was", "[signal_set]") {
  for (const bool first_goes_first : {false, true}) {
    for (const auto before : {SIG_DFL, SIG_IGN, &ignore}) {
      const handler here(SIGUSR1, before);
      std::optional<signal_set> first, second;
      first.emplace(std::initializer_list<int>{SIGUSR1, SIGUSR2});
      second.emplace(std::initializer_list<int>{SIGHUP, SIGUSR1, SIGUSR1});
      (first_goes_first ? first : second).reset();
      CHECK(handler_of(SIGUSR1) != before);
      ::raise(SIGUSR1);
      CHECK(taken(first ? *first : *second) == list{SIGUSR1});
      first.reset();
      second.reset();
      CHECK(handler_of(SIGUSR1) == before);
    }
  }
  for (const int number : {SIGUSR1, SIGUSR2, SIGHUP}) CHECK(handler_of(number) == SIG_DFL);
}

TEST_CASE("a handler that the program has set since stays", "[signal_set]") {
  const handler before(SIGUSR1, &ignore);
  {
    std::optional<handler> since;
    {
      signal_set set{SIGUSR1};
      since.emplace(SIGUSR1, &ignore_too);
      ::raise(SIGUSR1);
      CHECK(set.take().empty());
    }
    CHECK(handler_of(SIGUSR1) == &ignore_too);
  }
  // And one that is made afterwards hears, and puts that back.
  {
    signal_set first{SIGUSR1};
    const handler since(SIGUSR1, &ignore_too);
    {
      signal_set second{SIGUSR1};
      ::raise(SIGUSR1);
      CHECK(taken(first) == list{SIGUSR1});
      CHECK(taken(second) == list{SIGUSR1});
    }
    first.~signal_set();
    CHECK(handler_of(SIGUSR1) == &ignore_too);
    new (&first) signal_set{SIGUSR2};
  }
}

TEST_CASE("the program's handler is replaced, calls restart, and no signal is blocked", "[signal_set]") {
  static std::atomic<int> calls{0};
  calls = 0;
  const handler before(SIGUSR1, [](int) { ++calls; });
  sigset_t mask_before, mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask_before);
  signal_set set{SIGUSR1};
  errno = ELOOP;
  ::raise(SIGUSR1);
  CHECK(errno == ELOOP);
  CHECK(calls == 0);
  CHECK((action_of(SIGUSR1).sa_flags & SA_RESTART) != 0);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  for (int number = 1; number != 32; ++number)
    CHECK(sigismember(&mask, number) == sigismember(&mask_before, number));
}

TEST_CASE("a signal set allocates nothing", "[signal_set]") {
  {
    const signal_set warm{SIGUSR1};
  }
  const auto before = allocations();
  {
    signal_set set{SIGUSR1, SIGUSR2};
    ::raise(SIGUSR1);
    for ([[maybe_unused]] const int number : set.take()) {
    }
  }
  CHECK(allocations() == before);
}

TEST_CASE("of a storm of signals none is lost, none invented, and destroyed sets write nowhere",
          "[signal_set][signals]") {
  // Each thread that raises does so at itself, so handlers run in all of them at once.
  std::atomic<bool> is_over{false};
  const signal_set shield{SIGUSR1, SIGUSR2};  // so that the default never takes place
  std::vector<std::thread> raisers;
  for (const int number : {SIGUSR1, SIGUSR2})
    raisers.emplace_back([&, number] {
      while (!is_over) ::raise(number);
    });
  int wrong = 0;
  for (int i = 0; i != 2000; ++i) {
    auto set = std::make_unique<signal_set>(std::initializer_list<int>{SIGUSR1, SIGUSR2});
    for (const int number : set->take()) wrong += number != SIGUSR1 && number != SIGUSR2;
    const int handle = set->native_handle();
    set.reset();
    // Somebody else's pipe has the number now.
    const auto pipe = make_pipe();
    const bool is_same = pipe.reader.get() == handle || pipe.writer.get() == handle;
    wrong += is_same && becomes_ready(pipe.reader, POLLIN, 0);
  }
  is_over = true;
  for (std::thread& raiser : raisers) raiser.join();
  CHECK(wrong == 0);
}

TEST_CASE("a signal that comes while others are taken is not lost", "[signal_set][signals]") {
  constexpr int rounds = 20000;
  signal_set asking{SIGUSR1};
  std::atomic<int> acknowledged{0};
  std::thread raiser([&] {
    for (int i = 0; i != rounds; ++i) {
      while (acknowledged != i) std::this_thread::yield();
      ::raise(SIGUSR1);
    }
  });
  selector<> sel;
  sel.register_(asking, event::read);
  int received = 0, empty = 0;
  while (received != rounds) {
    if (sel.select(10s).empty()) {
      ++empty;
      if (empty == 100) break;
      continue;
    }
    if (asking.take().contains(SIGUSR1)) acknowledged = ++received;
  }
  acknowledged = rounds - 1;
  CHECK(received == rounds);
  raiser.join();
}

// ---- fork
// ---------------------------------------------------------------------------------------------------------

BACKEND_TEST_CASE("a signal in a child reaches neither its parent nor its copy of the set",
                  "[signal_set][fork]", backends) {
  selector<void, TestType> sel;
  signal_set set{SIGHUP, SIGUSR1};
  sel.register_(set, event::read);
  CHECK(in_child([&] {
          ::raise(SIGHUP);
          ::raise(SIGUSR1);
          return set.take().empty() ? 0 : 1;
        }) == 0);
  expect_idle(sel);
  CHECK(set.take().empty());
  ::raise(SIGUSR1);
  CHECK(in_child([&] { return set.take().empty() ? 0 : 1; }) == 0);  // what has come is the parent's
  expect_ready(sel, {{set.native_handle(), event::read}});
  CHECK(taken(set) == list{SIGUSR1});
}

TEST_CASE("a child makes a set of its own", "[signal_set][fork]") {
  signal_set set{SIGHUP};
  CHECK(in_child([&] {
          {
            selector<> sel;
            signal_set own{SIGHUP, SIGUSR1};
            sel.register_(own, event::read);
            ::raise(SIGHUP);
            if (sel.select(5s).empty() || taken(own) != list{SIGHUP}) return 1;
            if (!set.take().empty()) return 2;
            // And a grandchild one more.
            if (in_child([&] {
                  ::raise(SIGHUP);
                  if (!own.take().empty()) return 1;
                  signal_set third{SIGHUP};
                  ::raise(SIGHUP);
                  return taken(third) == list{SIGHUP} && own.take().empty() ? 0 : 2;
                }) != 0)
              return 3;
            if (!own.take().empty()) return 4;
          }
          return handler_of(SIGHUP) == SIG_DFL && handler_of(SIGUSR1) == SIG_DFL ? 0 : 5;
        }) == 0);
  CHECK(set.take().empty());
  ::raise(SIGHUP);
  CHECK(taken(set) == list{SIGHUP});
}

TEST_CASE("a child that destroys its copy has the handlers back, its parent keeps its own",
          "[signal_set][fork]") {
  auto set = std::make_unique<signal_set>(std::initializer_list<int>{SIGHUP, SIGUSR1});
  CHECK(in_child([&] {
          signal_set own{SIGUSR1};
          set.reset();
          if (handler_of(SIGHUP) != SIG_DFL) return 1;
          ::raise(SIGUSR1);
          return taken(own) == list{SIGUSR1} ? 0 : 2;
        }) == 0);
  CHECK(in_child([&] {
          set.reset();
          return ::raise(SIGHUP);
        }) == -1);
  ::raise(SIGHUP);
  CHECK(taken(*set) == list{SIGHUP});
}

BACKEND_TEST_CASE("a child reopens its copy, and the selector that has it", "[signal_set][fork]", backends) {
  selector<void, TestType> sel;
  signal_set set{SIGHUP, SIGUSR1};
  sel.register_(set, event::read);
  std::error_code error;
  set.reopen(error);  // does nothing here
  CHECK_FALSE(error);
  ::raise(SIGUSR1);
  CHECK(in_child([&] {
          const int handle = set.native_handle();
          set.reopen();
          sel.reopen();
          if (set.native_handle() != handle) return 1;
          if (!set.take().empty() || !sel.select(0s).empty()) return 2;
          ::raise(SIGHUP);
          if (sel.select(5s).empty() || taken(set) != list{SIGHUP}) return 3;
          return sel.select(0s).empty() ? 0 : 4;
        }) == 0);
  expect_ready(sel, {{set.native_handle(), event::read}});
  CHECK(taken(set) == list{SIGUSR1});
  signal_set refused({SIGKILL}, error);
  refused.reopen(error);
  CHECK(error == errc::closed);
}

TEST_CASE("what a child executes has the default handlers", "[signal_set][fork]") {
  const signal_set set{SIGHUP};
  CHECK(in_child([] { return ::execl("/bin/sh", "sh", "-c", "kill -HUP $$", nullptr); }) == -1);
}

TEST_CASE("a child of a process in a storm of signals and sets finds no lock held and waits for nobody",
          "[signal_set][fork][signals]") {
  std::atomic<bool> is_over{false};
  const signal_set shield{SIGUSR1, SIGUSR2};
  std::vector<std::thread> others;
  others.emplace_back([&] {
    while (!is_over) ::raise(SIGUSR1);
  });
  others.emplace_back([&] {
    std::error_code error;
    while (!is_over) signal_set come_and_gone({SIGUSR1, SIGUSR2}, error);
  });
  int wrong = 0;
  for (int i = 0; i != 200; ++i)
    wrong += in_child([&] {
               std::error_code error;
               for (int times = 0; times != 2; ++times) {
                 signal_set own({SIGUSR1, SIGUSR2}, error);
                 if (error) return 1;
                 ::raise(SIGUSR2);
                 if (taken(own) != list{SIGUSR2}) return 2;
               }
               return 0;
             }) != 0;
  is_over = true;
  for (std::thread& other : others) other.join();
  CHECK(wrong == 0);
}

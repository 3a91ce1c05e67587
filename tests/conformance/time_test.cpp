// SPDX-License-Identifier: BSL-1.0

// A timeout is never cut short.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <cerrno>
#include <chrono>
#include <limits>
#include <ratio>
#include <thread>

using namespace selectors;
using namespace support;
using std::chrono::duration;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

namespace {

// How long an empty select takes.
template <class Select>
nanoseconds time_of(Select select) {
  const auto start = steady_clock::now();
  CHECK(select().empty());
  return steady_clock::now() - start;
}

// Runs at half the speed of the steady clock.
struct slow_clock {
  using rep = std::int64_t;
  using period = std::micro;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<slow_clock>;
  [[maybe_unused]] static constexpr bool is_steady = true;
  static time_point now() noexcept {
    return time_point(std::chrono::duration_cast<duration>(steady_clock::now().time_since_epoch() / 2));
  }
};

// The time since an epoch far from everybody else's, as MSVC's file_clock (1601), a Julian date (the year
// -4713) and times of galaxies are.
template <class Period, std::int64_t EpochInSeconds>
struct far_clock {
  using rep = std::int64_t;
  using period = Period;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<far_clock>;
  [[maybe_unused]] static constexpr bool is_steady = true;
  static time_point now() noexcept {
    return time_point(std::chrono::duration_cast<duration>(steady_clock::now().time_since_epoch()) +
                      std::chrono::duration_cast<duration>(std::chrono::seconds(EpochInSeconds)));
  }
};

// Finer than a nanosecond, and faster with every look at it.
struct picosecond_clock {
  using rep = std::int64_t;
  using period = std::pico;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<picosecond_clock>;
  [[maybe_unused]] static constexpr bool is_steady = true;
  static time_point now() noexcept { return time_point(duration(time += 100)); }
  static inline rep time = 10'000;
};

template <class Clock, class Selector>
void expect_until(Selector& sel) {
  const auto until = Clock::now() + 3ms;
  const auto start = steady_clock::now();
  CHECK(sel.select_until(until).empty());
  CHECK(Clock::now() >= until);
  CHECK(steady_clock::now() - start < 10s);
  CHECK(sel.select_until(Clock::now() - std::chrono::seconds(1)).empty());
  CHECK(sel.select_until(std::chrono::floor<std::chrono::hours>(until)).empty());
  CHECK(steady_clock::now() - start < 10s);
}

// Wakes a selector from another thread, so that a wait that would last for ever ends.
template <class Selector, class Select>
void expect_waits_until_woken(Selector& sel, Select select) {
  wakeup wake;
  sel.register_(wake, event::read);
  std::thread other([&] { wake.notify(); });
  CHECK_FALSE(select().empty());
  other.join();
  sel.unregister(wake);
}

}  // namespace

BACKEND_TEST_CASE("a timeout of zero or less reports what is ready now", "[time]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  CHECK(sel.select(0s).empty());
  CHECK(sel.select(-1s).empty());
  CHECK(sel.select(nanoseconds::min()).empty());
  CHECK(sel.select(std::chrono::hours::min()).empty());
  CHECK(sel.select(-std::numeric_limits<double>::infinity() * duration<double>(1)).empty());
  CHECK(sel.select_until(steady_clock::now() - 1h).empty());
  CHECK(sel.select_until(steady_clock::time_point::min()).empty());
  write_byte(pipe.writer);
  CHECK_FALSE(sel.select(-1s).empty());
  CHECK_FALSE(sel.select_until(steady_clock::time_point::min()).empty());
}

BACKEND_TEST_CASE("select is never early, in whatever unit", "[time]", backends) {
  selector<void, TestType> sel;
  const auto pipe = make_pipe();
  if (GENERATE(false, true)) sel.register_(pipe.reader, event::read);
  for (const auto time : {1ns, 999ns, 1000ns, 1001ns, 999'999ns, 1'000'000ns, 1'000'001ns, 2'500'000ns})
    CHECK(time_of([&] { return sel.select(time); }) >= time);
  CHECK(time_of([&] { return sel.select(1ms); }) >= 1ms);
  CHECK(time_of([&] { return sel.select(duration<double>(0.0015)); }) >= 1500us);
  CHECK(time_of([&] { return sel.select(duration<float, std::milli>(2.25f)); }) >= 2250us);
  CHECK(time_of([&] { return sel.select(duration<int, std::ratio<1, 700>>(1)); }) >= 1'428'572ns);
  CHECK(time_of([&] { return sel.select(duration<std::int64_t, std::pico>(1'000'000'001)); }) >= 1'000'001ns);
}

BACKEND_TEST_CASE("select_until is never early, by any clock", "[time]", backends) {
  selector<void, TestType> sel;
  const auto steady = steady_clock::now() + 3ms;
  CHECK(sel.select_until(steady).empty());
  CHECK(steady_clock::now() >= steady);
  const auto system = std::chrono::system_clock::now() + 3ms;
  CHECK(sel.select_until(system).empty());
  CHECK(std::chrono::system_clock::now() >= system);
  const auto slow = slow_clock::now() + 3ms;
  std::error_code error = errc::closed;
  CHECK(sel.select_until(slow, error).empty());
  CHECK_FALSE(error);
  CHECK(slow_clock::now() >= slow);
}

BACKEND_TEST_CASE("select_until is on time, whatever the epoch of the clock", "[time]", backends) {
  selector<void, TestType> sel;
  expect_until<far_clock<std::ratio<1, 10'000'000>, 11'644'473'600>>(sel);
  expect_until<far_clock<std::milli, 210'866'803'200>>(sel);
  expect_until<far_clock<std::milli, -210'866'803'200>>(sel);
  expect_until<far_clock<std::micro, 9'000'000'000'000>>(sel);
  expect_until<far_clock<std::ratio<1, 3>, 1'000'000'000'000'000>>(sel);
}

BACKEND_TEST_CASE("select_until is not early by parts of a nanosecond", "[time]", backends) {
  selector<void, TestType> sel;
  for (std::int64_t more = 1; more < 3000; more += 37) {
    const picosecond_clock::time_point until(picosecond_clock::duration(picosecond_clock::time + more));
    CHECK(sel.select_until(until).empty());
    CHECK(picosecond_clock::time >= until.time_since_epoch().count());
  }
}

BACKEND_TEST_CASE("enormous timeouts are for ever", "[time]", backends) {
  selector<void, TestType> sel;
  expect_waits_until_woken(sel, [&] { return sel.select(nanoseconds::max()); });
  expect_waits_until_woken(sel, [&] { return sel.select(std::chrono::hours::max()); });
  expect_waits_until_woken(sel, [&] { return sel.select(std::chrono::hours(24 * 365 * 100)); });
  expect_waits_until_woken(sel, [&] { return sel.select(duration<double>(1e300)); });
  expect_waits_until_woken(
      sel, [&] { return sel.select(std::numeric_limits<double>::infinity() * duration<double>(1)); });
  expect_waits_until_woken(
      sel, [&] { return sel.select(duration<std::uint64_t>(std::numeric_limits<std::uint64_t>::max())); });
  expect_waits_until_woken(sel, [&] { return sel.select_until(steady_clock::time_point::max()); });
  expect_waits_until_woken(sel, [&] {
    return sel.select_until(std::chrono::time_point<std::chrono::system_clock, std::chrono::hours>::max());
  });
  expect_waits_until_woken(sel, [&] { return sel.select(); });
}

BACKEND_TEST_CASE("a timeout that is not a number is refused", "[time]", backends) {
  selector<void, TestType> sel;
  const duration<double> nan(std::numeric_limits<double>::quiet_NaN());
  CHECK(error_of([&](auto& error) { CHECK(sel.select(nan, error).empty()); }) == errc::invalid_timeout);
  const std::chrono::time_point<steady_clock, duration<double>> until(nan);
  CHECK(error_of([&](auto& error) { CHECK(sel.select_until(until, error).empty()); }) ==
        errc::invalid_timeout);
  CHECK_THROWS_AS(sel.select(nan), std::system_error);
  CHECK_THROWS_AS(sel.select_until(until), std::system_error);
  sel.close();
  CHECK(error_of([&](auto& error) { sel.select(nan, error); }) == errc::closed);
}

BACKEND_TEST_CASE("a wait ends when something becomes ready", "[time]", backends) {
  selector<void, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  std::thread other([&] { write_byte(pipe.writer); });
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  other.join();
}

#if SELECTORS_HAS_EPOLL
TEST_CASE("without epoll_pwait2 a timeout is rounded up to milliseconds, and no longer", "[time]") {
  selector<void, epoll_backend> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  const bool had = detail::has_epoll_pwait2;
  detail::has_epoll_pwait2 = false;
  for (const nanoseconds timeout : {nanoseconds(1), nanoseconds(1'000'001), nanoseconds(3'000'000)})
    CHECK(time_of([&] { return sel.select(timeout); }) >= timeout);
  const auto start = steady_clock::now();
  std::thread other([&] {
    std::this_thread::sleep_for(5ms);
    write_byte(pipe.writer);
  });
  // More milliseconds than an int has, and what comes meanwhile is told at once.
  sel.modify(pipe.reader, oneshot(event::read));
  CHECK_FALSE(sel.select(std::chrono::hours(24 * 365)).empty());
  sel.modify(pipe.reader, event::read);
  CHECK_FALSE(sel.select(5s).empty());
  CHECK(steady_clock::now() - start < 5s);
  other.join();
  detail::has_epoll_pwait2 = had;
}
#endif

#if SELECTORS_HAS_EPOLL
TEST_CASE("a second has as many nanoseconds as the kernel thinks", "[time]") {
  selector<void, epoll_backend> sel;
  CHECK(time_of([&] { return sel.select(1s); }) >= 1s);
}

TEST_CASE("what errno was before says nothing of epoll_pwait2", "[time]") {
  selector<void, epoll_backend> sel;
  detail::has_epoll_pwait2 = true;
  errno = 0;
  (void)sel.select(1ns);
  const bool had = detail::has_epoll_pwait2;
  errno = ENOSYS;
  (void)sel.select(1ns);
  CHECK(detail::has_epoll_pwait2 == had);
}
#endif

// SPDX-License-Identifier: BSL-1.0

// Deadlines: any clock, any precision, rounded up, and saturating.

#include "support/catch.hpp"

#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>

#include <cstdint>
#include <limits>
#include <ratio>
#include <string>

using namespace selectors;
using namespace std::chrono_literals;
using std::chrono::duration;

namespace {

// A clock of any representation and period, that stands where it is put.
template <class Rep, class Period>
struct any_clock {
  using rep = Rep;
  using period = Period;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<any_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static inline rep count = 0;
  static time_point now() { return time_point(duration(count)); }
};

template <class Clock, class When>
auto due(When when) {
  timer_queue<void, Clock> queue;
  return queue.add(when).due().time_since_epoch().count();
}
// A time point of the clock, in another unit.
template <class Clock, class Duration>
auto at(Duration since_epoch) {
  return due<Clock>(std::chrono::time_point<Clock, Duration>(since_epoch));
}

template <class T>
constexpr T max_of = (std::numeric_limits<T>::max)();
template <class T>
constexpr T min_of = (std::numeric_limits<T>::min)();

using seconds_clock = any_clock<std::int64_t, std::ratio<1>>;
using nano_clock = any_clock<std::int64_t, std::nano>;
using atto_clock = any_clock<std::int64_t, std::atto>;
using thirds_clock = any_clock<std::int32_t, std::ratio<1, 3>>;
using year_clock = any_clock<std::int16_t, std::chrono::years::period>;
using unsigned_clock = any_clock<std::uint32_t, std::milli>;
using double_clock = any_clock<double, std::ratio<1>>;
using float_clock = any_clock<float, std::milli>;

struct same_epoch {
  using rep = std::chrono::steady_clock::rep;
  using period = std::chrono::steady_clock::period;
  using duration = std::chrono::steady_clock::duration;
  using time_point = std::chrono::steady_clock::time_point;
  [[maybe_unused]] static constexpr bool is_steady = true;
  static time_point now() noexcept { return time_point(1h); }
};

}  // namespace

TEST_CASE("deadlines are rounded up to a tick of the clock", "[timer_queue]") {
  seconds_clock::count = 100;
  CHECK(due<seconds_clock>(1ns) == 101);
  CHECK(due<seconds_clock>(1s) == 101);
  CHECK(due<seconds_clock>(1s + 1ns) == 102);
  CHECK(due<seconds_clock>(duration<double>(0.25)) == 101);
  CHECK(due<seconds_clock>(duration<double>(-0.25)) == 100);
  CHECK(due<seconds_clock>(-1ns) == 100);
  CHECK(due<seconds_clock>(-1s) == 99);
  CHECK(due<seconds_clock>(-1001ms) == 99);
  CHECK(at<seconds_clock>(5ns) == 1);
  CHECK(at<seconds_clock>(-5ns) == 0);
  CHECK(at<seconds_clock>(-1'000'000'005ns) == -1);
  CHECK(at<seconds_clock>(2h) == 7200);
  CHECK(at<seconds_clock>(duration<float>(1.5F)) == 2);

  thirds_clock::count = 0;
  CHECK(due<thirds_clock>(1s) == 3);
  CHECK(due<thirds_clock>(333'333'333ns) == 1);
  CHECK(due<thirds_clock>(333'333'334ns) == 2);
  CHECK(due<thirds_clock>(duration<int, std::ratio<1, 700>>(700)) == 3);
  CHECK(due<thirds_clock>(duration<int, std::ratio<1, 700>>(701)) == 4);

  nano_clock::count = 0;
  CHECK(due<nano_clock>(duration<std::int64_t, std::pico>(1001)) == 2);
  CHECK(due<nano_clock>(duration<std::int64_t, std::pico>(1000)) == 1);
  CHECK(due<nano_clock>(duration<std::int64_t, std::atto>(1)) == 1);
  CHECK(at<nano_clock>(duration<std::int64_t, std::pico>(max_of<std::int64_t>)) == 9'223'372'036'854'776);
}

TEST_CASE("deadlines are exact where the arithmetic needs more than 64 bits", "[timer_queue]") {
  using one = any_clock<std::int64_t, std::ratio<1, 3'000'000'019>>;
  using other = duration<std::int64_t, std::ratio<1, 3'000'000'037>>;
  one::count = 0;
  CHECK(due<one>(other(3'000'000'037)) == 3'000'000'019);
  CHECK(due<one>(other(3'000'000'036)) == 3'000'000'019);  // and a bit less, rounded up
  CHECK(due<one>(other(3'000'000'038)) == 3'000'000'020);
  CHECK(due<one>(-other(3'000'000'038)) == -3'000'000'019);
  // 2^40 * 3000000019 / 3000000037 is 1099511621178.93...
  CHECK(due<one>(other(std::int64_t{1} << 40)) == 1'099'511'621'179);
  CHECK(due<one>(-other(std::int64_t{1} << 40)) == -1'099'511'621'178);
  // A count, times 1'000'000'000, that is just below 2^64.
  using fine = duration<std::int64_t, std::ratio<1, 18'446'744'073>>;
  nano_clock::count = 0;
  CHECK(due<nano_clock>(fine(18'446'744'072)) == 1'000'000'000);
  CHECK(due<nano_clock>(fine(18'446'744'073)) == 1'000'000'000);
  CHECK(due<nano_clock>(fine(18'446'744'073 * 3 - 1)) == 3'000'000'000);
  CHECK(due<nano_clock>(-fine(18'446'744'072)) == -999'999'999);
}

TEMPLATE_TEST_CASE("what is too far ahead is never due, and what is too far back is due", "[timer_queue]",
                   seconds_clock, nano_clock, atto_clock, thirds_clock, year_clock, unsigned_clock) {
  using rep = typename TestType::rep;
  const auto infinity = std::numeric_limits<double>::infinity();
  for (const rep now : {rep(0), rep(5), min_of<rep>, max_of<rep>, static_cast<rep>(max_of<rep> - 1)}) {
    TestType::count = now;
    CHECK(due<TestType>(duration<double>(1e300)) == max_of<rep>);
    CHECK(due<TestType>(duration<double>(infinity)) == max_of<rep>);
    CHECK(due<TestType>(duration<double>(-infinity)) == min_of<rep>);
    CHECK(due<TestType>(duration<std::uint64_t, std::chrono::years::period>(max_of<std::uint64_t>)) ==
          max_of<rep>);
    CHECK(due<TestType>(duration<std::int64_t, std::chrono::years::period>(min_of<std::int64_t>)) ==
          min_of<rep>);
    CHECK(at<TestType>(duration<double>(infinity)) == max_of<rep>);
    CHECK(at<TestType>(duration<double>(-infinity)) == min_of<rep>);
    CHECK(at<TestType>(duration<std::int64_t, std::exa>(100)) == max_of<rep>);
    CHECK(due<TestType>(TestType::time_point::max()) == max_of<rep>);
    CHECK(due<TestType>(TestType::time_point::min()) == min_of<rep>);
    CHECK(due<TestType>(typename TestType::duration(0)) == now);
  }
  TestType::count = max_of<rep>;
  timer_queue<void, TestType> queue;
  queue.add(duration<double>(infinity));
  queue.add(std::chrono::years(1));
  CHECK(queue.next() == TestType::time_point::max());
  CHECK(queue.expired(TestType::time_point::max()).empty());
  queue.add(-std::chrono::years(1));
  CHECK_FALSE(queue.expired().empty());
  CHECK(queue.size() == 3);
}

TEST_CASE("from a far epoch, a duration that does not fit the clock may still end within it",
          "[timer_queue]") {
  seconds_clock::count = min_of<std::int64_t>;
  CHECK(due<seconds_clock>(duration<std::uint64_t>(max_of<std::uint64_t> - 1)) == max_of<std::int64_t> - 1);
  CHECK(due<seconds_clock>(duration<std::uint64_t>(std::uint64_t{1} << 63)) == 0);
  CHECK(due<seconds_clock>(-1s) == min_of<std::int64_t>);
  seconds_clock::count = max_of<std::int64_t> - 5;
  CHECK(due<seconds_clock>(4s) == max_of<std::int64_t> - 1);
  CHECK(due<seconds_clock>(5s) == max_of<std::int64_t>);
  CHECK(due<seconds_clock>(6s) == max_of<std::int64_t>);
}

TEST_CASE("a clock that counts in floating point", "[timer_queue]") {
  double_clock::count = 0.5;
  CHECK(due<double_clock>(250ms) == 0.75);
  CHECK(due<double_clock>(duration<double>(std::numeric_limits<double>::infinity())) == max_of<double>);
  CHECK(at<double_clock>(duration<long double>(1.0L + std::numeric_limits<double>::epsilon() / 4)) >= 1.0);
  CHECK(at<double_clock>(duration<double>(std::numeric_limits<double>::infinity())) == max_of<double>);
  CHECK(at<double_clock>(duration<double>(-std::numeric_limits<double>::infinity())) ==
        std::numeric_limits<double>::lowest());
  // 2^24 + 1 is no float: the next one is.
  CHECK(at<float_clock>(std::chrono::milliseconds((1 << 24) + 1)) == 16777218.0F);
  float_clock::count = 0;
  CHECK(due<float_clock>(std::chrono::milliseconds((1 << 24) + 1)) == 16777218.0F);
  timer_queue<int, double_clock> queue;
  queue.add(1s, 1);
  queue.add(500ms, 2);
  queue.add(duration<double>(1e300) * 1e300, 3);
  double_clock::count = 1.0;
  int reached = 0;
  for (auto& timer : queue.expired()) reached = timer.data();
  CHECK(reached == 2);
  CHECK(queue.next() == double_clock::time_point(duration<double>(1.5)));
}

TEMPLATE_TEST_CASE("what is not a number is no deadline", "[timer_queue]", float, double, long double) {
  const duration<TestType> nan(std::numeric_limits<TestType>::quiet_NaN());
  const std::chrono::time_point<selectors::testing::clock, duration<TestType>> until(nan);
  timer_queue<int, selectors::testing::clock> queue;
  std::error_code error;
  CHECK(queue.add(nan, 1, error) == nullptr);
  CHECK(error == errc::invalid_timeout);
  CHECK(error == std::errc::invalid_argument);
  CHECK(queue.add(until, error) == nullptr);
  CHECK(error == errc::invalid_timeout);
  CHECK(queue.add(-nan, 1, error) == nullptr);
  CHECK_THROWS_AS(queue.add(nan, 1), std::system_error);
  try {
    queue.add(until);
  } catch (const std::system_error& thrown) {
    CHECK(thrown.code() == errc::invalid_timeout);
    CHECK(std::string(thrown.what()).find("add") != std::string::npos);
  }
  CHECK(queue.empty());
  auto& timer = queue.add(1s, 1);
  const auto due = timer.due();
  queue.move(timer, nan);
  CHECK_FALSE(queue.move(timer.id(), until));
  CHECK(timer.due() == due);
  CHECK(queue.next() == due);
  CHECK(queue.move(timer.id(), duration<TestType>(2)));
  CHECK(timer.due() == selectors::testing::clock::now() + 2s);
}

TEST_CASE("a clock that has the epoch of another takes that one's time points", "[timer_queue]") {
  timer_queue<int, same_epoch> queue;
  CHECK(queue.add(std::chrono::steady_clock::time_point(2h), 1).due() == same_epoch::now() + 1h);
  CHECK(queue.add(1h, 1).due() == same_epoch::now() + 1h);
}

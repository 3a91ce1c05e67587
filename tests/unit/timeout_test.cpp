// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/detail/timeout.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <ratio>
#include <string>
#include <tuple>

using namespace selectors::detail;
using namespace std::chrono_literals;
using std::chrono::duration;
using std::chrono::time_point;

namespace {

template <class Rep>
constexpr Rep most_of = std::numeric_limits<Rep>::max();

}  // namespace

TEST_CASE("whole units convert exactly", "[timeout]") {
  STATIC_REQUIRE(to_nanoseconds(0s) == 0ns);
  STATIC_REQUIRE(to_nanoseconds(1ns) == 1ns);
  STATIC_REQUIRE(to_nanoseconds(-1ns) == -1ns);
  STATIC_REQUIRE(to_nanoseconds(3us) == 3000ns);
  STATIC_REQUIRE(to_nanoseconds(90min) == 5'400'000'000'000ns);
  STATIC_REQUIRE(to_nanoseconds(duration<std::uint8_t>(200)) == 200s);
  STATIC_REQUIRE(to_nanoseconds(duration<short, std::milli>(-5)) == -5ms);
  STATIC_REQUIRE(to_nanoseconds(9'223'372'036'854'775'806ns).count() == most_of<std::int64_t> - 1);
}

TEST_CASE("parts of a nanosecond round up", "[timeout]") {
  STATIC_REQUIRE(to_nanoseconds(duration<int, std::pico>(1)) == 1ns);
  STATIC_REQUIRE(to_nanoseconds(duration<int, std::pico>(1000)) == 1ns);
  STATIC_REQUIRE(to_nanoseconds(duration<int, std::pico>(1001)) == 2ns);
  STATIC_REQUIRE(to_nanoseconds(duration<int, std::pico>(-1999)) == -1ns);
  STATIC_REQUIRE(to_nanoseconds(duration<int, std::ratio<1, 3>>(1)) == 333'333'334ns);
  STATIC_REQUIRE(to_nanoseconds(duration<int, std::ratio<1001, 30000>>(2)) == 66'733'334ns);
  STATIC_REQUIRE(to_nanoseconds(duration<std::int64_t, std::atto>(1)) == 1ns);
  STATIC_REQUIRE(to_nanoseconds(duration<std::int64_t, std::atto>(most_of<std::int64_t>)) == 9'223'372'037ns);
}

TEST_CASE("what does not fit saturates", "[timeout]") {
  STATIC_REQUIRE(to_nanoseconds(std::chrono::nanoseconds::max()) == forever);
  STATIC_REQUIRE(to_nanoseconds(std::chrono::microseconds::max()) == forever);
  STATIC_REQUIRE(to_nanoseconds(std::chrono::hours::max()) == forever);
  STATIC_REQUIRE(to_nanoseconds(std::chrono::hours::min()) == -forever);
  STATIC_REQUIRE(to_nanoseconds(std::chrono::nanoseconds::min()) == -forever);
  STATIC_REQUIRE(to_nanoseconds(duration<std::uint64_t, std::nano>(most_of<std::uint64_t>)) == forever);
  STATIC_REQUIRE(to_nanoseconds(duration<std::int64_t, std::exa>(1)) == forever);
  STATIC_REQUIRE(to_nanoseconds(duration<std::int64_t, std::exa>(-1)) == -forever);
  STATIC_REQUIRE(to_nanoseconds(292 * 365 * 24h) < forever);
  STATIC_REQUIRE(to_nanoseconds(300 * 365 * 24h) == forever);
  STATIC_REQUIRE(to_nanoseconds(9'223'372'035s) < forever);
  STATIC_REQUIRE(to_nanoseconds(9'223'372'036s) == forever);
}

TEST_CASE("floating-point durations round up, saturate, and may not be a number", "[timeout]") {
  CHECK(to_nanoseconds(duration<double>(1.5)) == 1500ms);
  CHECK(to_nanoseconds(duration<double>(1e-12)) == 1ns);
  CHECK(to_nanoseconds(duration<double>(-1e-12)) == 0ns);
  CHECK(to_nanoseconds(duration<double>(-2.5)) == -2500ms);
  CHECK(to_nanoseconds(duration<float, std::milli>(0.25f)) == 250us);
  CHECK(to_nanoseconds(duration<long double, std::ratio<60>>(0.5L)) == 30s);
  CHECK(to_nanoseconds(duration<long double>(9.3e9L)) == forever);
  CHECK(to_nanoseconds(duration<long double>(-9.3e9L)) == -forever);
  CHECK(to_nanoseconds(duration<double>(1e300)) == forever);
  CHECK(to_nanoseconds(duration<double>(-1e300)) == -forever);
  CHECK(to_nanoseconds(duration<double>(std::numeric_limits<double>::infinity())) == forever);
  CHECK(to_nanoseconds(duration<float>(std::numeric_limits<float>::quiet_NaN())) == not_a_time);
}

TEST_CASE("what remains until a time point is never negative and never too short", "[timeout]") {
  using clock = std::chrono::steady_clock;
  using point = clock::time_point;
  STATIC_REQUIRE(remaining(point(5s), point(2s)) == 3s);
  STATIC_REQUIRE(remaining(point(2s), point(5s)) == 0s);
  STATIC_REQUIRE(remaining(point(2s), point(2s)) == 0s);
  STATIC_REQUIRE(remaining(point(2s), point(-2s)) == 4s);
  STATIC_REQUIRE(remaining(point(-2s), point(-5s)) == 3s);
  STATIC_REQUIRE(remaining(point::max(), point(5s)) == forever);
  STATIC_REQUIRE(remaining(point::max() - 1ns, point(-5s)) == forever);
  STATIC_REQUIRE(remaining(point::min(), point(5s)) == 0s);
  STATIC_REQUIRE(remaining(point::min(), point::min()) == 0s);
  STATIC_REQUIRE(remaining(time_point<clock, std::chrono::hours>::max(), point(5s)) == forever);
  CHECK(remaining(time_point<clock, duration<double>>(duration<double>(NAN)), point(5s)) == not_a_time);
}

namespace {

using clock_of_tests = std::chrono::steady_clock;
template <class Rep, class Period>
using point_of = time_point<clock_of_tests, duration<Rep, Period>>;

// A number of a program's own: nothing but what <chrono> asks of one.
struct ticks {
  std::int64_t value = 0;
  constexpr ticks() = default;
  constexpr explicit ticks(std::int64_t v) : value(v) {}
  constexpr explicit operator double() const { return static_cast<double>(value); }
};

}  // namespace

TEST_CASE("an epoch may be any time away", "[timeout]") {
  using filetime = std::ratio<1, 10'000'000>;  // since 1601
  using from = point_of<std::int64_t, filetime>;
  constexpr std::int64_t today = 133'800'000'000'000'000;
  STATIC_REQUIRE(remaining(from(duration<std::int64_t, filetime>(today + 500'000)),
                           from(duration<std::int64_t, filetime>(today))) == 50ms);
  STATIC_REQUIRE(remaining(from(duration<std::int64_t, filetime>(today - 1)),
                           from(duration<std::int64_t, filetime>(today))) == 0ns);
  using julian = point_of<std::int64_t, std::milli>;  // since the year -4713
  constexpr julian noon{std::chrono::hours(24) * 2'460'000};
  STATIC_REQUIRE(remaining(noon + 50ms, noon) == 50ms);
  STATIC_REQUIRE(remaining(noon, noon + 50ms) == 0ns);
  STATIC_REQUIRE(remaining(point_of<std::int64_t, std::micro>(noon + 50ms), noon) == 50ms);
  constexpr julian before{std::chrono::hours(-24) * 2'460'000};
  STATIC_REQUIRE(remaining(before + 50ms, before) == 50ms);
  STATIC_REQUIRE(remaining(point_of<std::int64_t, std::ratio<60>>(std::chrono::minutes(5)),
                           point_of<std::int64_t, std::milli>(299'999ms)) == 1ms);
  STATIC_REQUIRE(remaining(noon, before) == forever);
  STATIC_REQUIRE(remaining(before, noon) == 0ns);
}

TEST_CASE("a clock may be finer than a nanosecond", "[timeout]") {
  using ps = point_of<std::int64_t, std::pico>;
  using pico = duration<std::int64_t, std::pico>;
  using ns = point_of<std::int64_t, std::nano>;
  STATIC_REQUIRE(remaining(ps(pico(10'900)), ps(pico(10'200))) == 1ns);
  STATIC_REQUIRE(remaining(ps(pico(10'900)), ps(pico(10'899))) == 1ns);
  STATIC_REQUIRE(remaining(ps(pico(10'900)), ps(pico(10'900))) == 0ns);
  STATIC_REQUIRE(remaining(ps(pico(12'201)), ps(pico(10'200))) == 3ns);
  STATIC_REQUIRE(remaining(ps(pico(10'900)), ns(10ns)) == 1ns);
  STATIC_REQUIRE(remaining(ps(pico(10'900)), ns(11ns)) == 0ns);
  STATIC_REQUIRE(remaining(ns(11ns), ps(pico(10'999))) == 1ns);
  STATIC_REQUIRE(remaining(ns(11ns), ps(pico(11'000))) == 0ns);
  STATIC_REQUIRE(remaining(ps(pico(-10'200)), ps(pico(-10'900))) == 1ns);
}

TEST_CASE("any representation", "[timeout]") {
  using u64 = duration<std::uint64_t>;
  STATIC_REQUIRE(remaining(point_of<std::uint64_t, std::ratio<1>>(u64(7)),
                           point_of<std::uint64_t, std::ratio<1>>(u64(5))) == 2s);
  STATIC_REQUIRE(remaining(point_of<std::uint64_t, std::ratio<1>>(u64(5)),
                           point_of<std::uint64_t, std::ratio<1>>(u64(7))) == 0s);
  STATIC_REQUIRE(remaining(point_of<std::uint64_t, std::ratio<1>>(u64(5)),
                           point_of<std::int64_t, std::ratio<1>>(duration<std::int64_t>(-5))) == 10s);
  STATIC_REQUIRE(remaining(point_of<std::uint8_t, std::ratio<1>>::max(), clock_of_tests::time_point(5s)) ==
                 250s);
  STATIC_REQUIRE(remaining(point_of<std::int64_t, std::exa>(duration<std::int64_t, std::exa>(1)),
                           clock_of_tests::time_point(5s)) == forever);
  STATIC_REQUIRE(remaining(point_of<std::int64_t, std::exa>(duration<std::int64_t, std::exa>(0)),
                           clock_of_tests::time_point(5s)) == 0s);
  STATIC_REQUIRE(to_nanoseconds(duration<ticks>(ticks(5))) == 5s);
  STATIC_REQUIRE(to_nanoseconds(duration<ticks, std::milli>(ticks(-5))) == -5ms);
  STATIC_REQUIRE(remaining(point_of<ticks, std::milli>(duration<ticks, std::milli>(ticks(7))),
                           clock_of_tests::time_point(2ms)) == 5ms);
#ifdef __SIZEOF_INT128__
  __extension__ using wide = __int128;
  STATIC_REQUIRE(to_nanoseconds(duration<wide>(5)) == 5s);
  STATIC_REQUIRE(to_nanoseconds(duration<wide, std::atto>(wide(1'000'000'000'000) * 1'000'000'001)) ==
                 1'000'000'001'000ns);
  STATIC_REQUIRE(to_nanoseconds(duration<wide, std::atto>(wide(1'000'000'000'000) * 1'000'000'001 + 1)) ==
                 1'000'000'001'001ns);
  STATIC_REQUIRE(to_nanoseconds(duration<wide>(wide(1) << 120)) == forever);
  STATIC_REQUIRE(to_nanoseconds(duration<wide>(-(wide(1) << 120))) == -forever);
  using far = point_of<wide, std::nano>;
  STATIC_REQUIRE(remaining(far(duration<wide, std::nano>((wide(1) << 80) + 7)),
                           far(duration<wide, std::nano>(wide(1) << 80))) == 7ns);
#endif
}

TEST_CASE("floating-point time points are compared as <chrono> does", "[timeout]") {
  using seconds = duration<double>;
  using floating = point_of<double, std::ratio<1>>;
  CHECK(remaining(floating(seconds(1.5)), floating(seconds(1.5))) == 0ns);
  CHECK(remaining(floating(seconds(0.1)), floating(seconds(0.1))) == 0ns);
  CHECK(remaining(floating(seconds(1.5)), floating(seconds(1.25))) == 250ms);
  CHECK(remaining(floating(seconds(std::nextafter(1.5, 2.0))), floating(seconds(1.5))) == 1ns);
  CHECK(remaining(floating(seconds(-1.25)), floating(seconds(-1.5))) == 250ms);
  CHECK(remaining(floating(seconds(2.5)), clock_of_tests::time_point(2s)) == 500ms);
  CHECK(remaining(floating(seconds(0.0000000001)), clock_of_tests::time_point()) == 1ns);
  CHECK(remaining(floating(seconds(1e300)), clock_of_tests::time_point(2s)) == forever);
  CHECK(remaining(floating(seconds(-1e300)), clock_of_tests::time_point(2s)) == 0ns);
  CHECK(remaining(floating(seconds(std::numeric_limits<double>::infinity())), clock_of_tests::time_point()) ==
        forever);
  CHECK(remaining(clock_of_tests::time_point(2s), floating(seconds(1.75))) == 250ms);
  CHECK(remaining(floating(seconds(13'380'000'000.5)), floating(seconds(13'380'000'000))) == 500ms);
}

#ifdef __SIZEOF_INT128__

namespace {

__extension__ using wide = __int128;
constexpr wide limit = most_of<std::int64_t>;

// Numbers of every magnitude, and the least and the greatest.
std::int64_t any_count(std::mt19937_64& random) {
  const auto some = static_cast<std::int64_t>(random() >> (1 + random() % 63));
  switch (random() % 8) {
    case 0: return most_of<std::int64_t> - static_cast<std::int64_t>(random() % 3);
    case 1: return std::numeric_limits<std::int64_t>::min() + static_cast<std::int64_t>(random() % 3);
    case 2: return 0;
    case 3:
    case 4: return -some;
    default: return some;
  }
}

using periods = std::tuple<std::atto, std::pico, std::ratio<1, 10'000'000>, std::nano, std::micro, std::milli,
                           std::ratio<1, 3>, std::ratio<1001, 30000>, std::ratio<1, 700>, std::ratio<1>,
                           std::ratio<60>, std::ratio<3600>, std::ratio<86400>>;

}  // namespace

BACKEND_TEST_CASE("every duration is what exact arithmetic says", "[timeout]", periods) {
  std::mt19937_64 random(1);
  int wrong = 0;
  for (int i = 0; i != 20'000; ++i) {
    const std::int64_t count = any_count(random);
    const wide scaled = static_cast<wide>(count) * TestType::num * 1'000'000'000;
    wide expected = scaled / TestType::den;
    if (scaled > 0 && scaled % TestType::den != 0) ++expected;
    const wide found = to_nanoseconds(duration<std::int64_t, TestType>(count)).count();
    // What comes within two ticks of the end may already be forever.
    const wide slack = 2 * (static_cast<wide>(1'000'000'000) * TestType::num / TestType::den + 1);
    const bool is_near_end = expected > limit - slack || expected < -limit + slack;
    if (found != expected && !(is_near_end && found == (count < 0 ? -limit : limit))) ++wrong;
    if (found != to_nanoseconds(duration<wide, TestType>(count)).count()) ++wrong;
    if (count >= 0 &&
        found != to_nanoseconds(duration<std::uint64_t, TestType>(static_cast<std::uint64_t>(count))).count())
      ++wrong;
  }
  CHECK(wrong == 0);
}

BACKEND_TEST_CASE("every time that remains is what exact arithmetic says", "[timeout]", periods) {
  const auto against = [](auto period_of_now) {
    using now_period = decltype(period_of_now);
    std::mt19937_64 random(2);
    int wrong = 0;
    for (int i = 0; i != 10'000; ++i) {
      const std::int64_t until = any_count(random);
      const auto is_endless = [](std::int64_t count, auto ratio) {
        constexpr auto period = decltype(ratio)::num / decltype(ratio)::den;
        return period != 0 && (count < 0 ? -(count + 1) : count) >= (most_of<std::int64_t> / 2 / period);
      };
      // Of `now`, half are near.
      const long double same =
          static_cast<long double>(until) * TestType::num / TestType::den * now_period::den / now_period::num;
      const std::int64_t now =
          random() % 2 != 0 && std::abs(same) < 9e18L
              ? static_cast<std::int64_t>(same) + static_cast<std::int64_t>(random() % 7) - 3
              : any_count(random);
      const wide gap = static_cast<wide>(until) * TestType::num * now_period::den -
                       static_cast<wide>(now) * now_period::num * TestType::den;
      const wide unit = static_cast<wide>(TestType::den) * now_period::den;
      const wide found =
          remaining(point_of<std::int64_t, TestType>(duration<std::int64_t, TestType>(until)),
                    point_of<std::int64_t, now_period>(duration<std::int64_t, now_period>(now)))
              .count();
      if (until == most_of<std::int64_t> && tick<TestType>::parts == 1)
        wrong += found != limit;
      else if (is_endless(until, TestType()) || is_endless(now, now_period()))
        continue;
      else if (gap <= 0)
        wrong += found != 0;
      else if (gap / unit >= 9'223'372'030)
        wrong += found < static_cast<wide>(9'223'372'030) * 1'000'000'000;
      else
        wrong += found != gap / unit * 1'000'000'000 + (gap % unit * 1'000'000'000 + unit - 1) / unit;
    }
    CHECK(wrong == 0);
  };
  // 64 bits each, and 128 for their products: so one of the two is no finer than a nanosecond.
  against(std::nano());
  against(std::ratio<1>());
  if constexpr (std::ratio_greater_equal_v<TestType, std::pico>) against(std::ratio<3600>());
  if constexpr (std::ratio_greater_equal_v<TestType, std::nano>) against(std::pico());
}

TEMPLATE_TEST_CASE("every fraction is what exact arithmetic says", "[timeout]", float, double, long double) {
  const auto in = [](auto period) {
    using unit = decltype(period);
    std::mt19937_64 random(3);
    int wrong = 0;
    for (int i = 0; i != 20'000; ++i) {
      // significand / 2^places seconds or the like: exact in TestType, and in 128 bits when scaled.
      const auto significand = static_cast<std::int64_t>(random() >> (41 + random() % 23));
      const int places = static_cast<int>(random() % 60);
      const TestType ticks = std::ldexp(static_cast<TestType>(significand), -places);
      const wide scaled = static_cast<wide>(significand) * unit::num * 1'000'000'000;
      const wide parts = (static_cast<wide>(1) << places) * unit::den;
      wrong += to_nanoseconds(duration<TestType, unit>(ticks)).count() !=
               std::min((scaled + parts - 1) / parts, limit);
      wrong += to_nanoseconds(duration<TestType, unit>(-ticks)).count() != -std::min(scaled / parts, limit);
    }
    CHECK(wrong == 0);
  };
  in(std::ratio<1>());
  in(std::milli());
  in(std::micro());
  in(std::nano());
  in(std::ratio<60>());
  in(std::ratio<3600>());
  in(std::ratio<1, 3>());
  in(std::ratio<1001, 30000>());
}

#endif

// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/detail/timeout.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <ratio>

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

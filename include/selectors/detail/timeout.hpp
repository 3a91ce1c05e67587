// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace selectors::detail {

using std::chrono::nanoseconds;

// No end of waiting. What does not fit into nanoseconds (292 years) is as good as that.
inline constexpr nanoseconds forever = (nanoseconds::max)();
// What a duration or time point that is not a number becomes.
inline constexpr nanoseconds not_a_time = (nanoseconds::min)();

inline constexpr std::int64_t max_count = (std::numeric_limits<std::int64_t>::max)();

constexpr nanoseconds saturated(bool negative, std::uint64_t magnitude) noexcept {
  const auto count =
      magnitude < static_cast<std::uint64_t>(max_count) ? static_cast<std::int64_t>(magnitude) : max_count;
  return nanoseconds(negative ? -count : count);
}

// Any duration in nanoseconds, rounded up and saturating.
template <class Rep, class Period>
constexpr nanoseconds to_nanoseconds(std::chrono::duration<Rep, Period> duration) noexcept {
  // One tick is `whole / parts` nanoseconds.
  using reduced = std::ratio<std::nano::den, Period::den>;
  constexpr std::int64_t parts = reduced::den;
  constexpr std::int64_t scale = reduced::num;
  constexpr bool whole_fits = Period::num <= max_count / scale;
  constexpr std::int64_t whole = whole_fits ? Period::num * scale : 0;

  if constexpr (std::is_integral_v<Rep> && sizeof(Rep) <= sizeof(std::int64_t) && whole_fits &&
                parts <= max_count / whole) {
    const bool negative = duration.count() < Rep{};
    const auto ticks = negative ? std::uint64_t{0} - static_cast<std::uint64_t>(duration.count())
                                : static_cast<std::uint64_t>(duration.count());
    constexpr auto per = static_cast<std::uint64_t>(whole);
    constexpr auto in = static_cast<std::uint64_t>(parts);
    if (ticks / in >= static_cast<std::uint64_t>(max_count) / per)
      return saturated(negative, ~std::uint64_t{0});
    const std::uint64_t rest = ticks % in * per;
    const std::uint64_t up = !negative && rest % in != 0 ? 1 : 0;
    return saturated(negative, ticks / in * per + rest / in + up);
  } else {
    const long double exact = static_cast<long double>(duration.count()) *
                              static_cast<long double>(Period::num) * 1e9L /
                              static_cast<long double>(Period::den);
    if (exact != exact) return not_a_time;
    if (exact >= 9.2e18L) return forever;
    if (exact <= -9.2e18L) return -forever;
    const auto count = static_cast<std::int64_t>(exact);
    return nanoseconds(static_cast<long double>(count) < exact ? count + 1 : count);
  }
}

// From now to a time point of any clock; zero when it has passed.
template <class Clock, class Duration>
constexpr nanoseconds remaining(std::chrono::time_point<Clock, Duration> until,
                                typename Clock::time_point now) noexcept {
  const nanoseconds end = to_nanoseconds(until.time_since_epoch());
  const nanoseconds start = to_nanoseconds(now.time_since_epoch());
  if (end == not_a_time || end == forever) return end;
  if (end <= start) return nanoseconds::zero();
  if (start < nanoseconds::zero() && end > forever + start) return forever;
  return end - start;
}

}  // namespace selectors::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/chrono.hpp>
#include <selectors/version.hpp>

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>

// When a timer is due: time points and durations of any representation and period, as a time point of one
// clock. They are rounded up, so that no timer is early, and saturate. timeout.hpp answers another question:
// how many nanoseconds are left.

namespace SELECTORS_NAMESPACE::detail {

template <class T>
inline constexpr bool is_duration = false;
template <class Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;

template <class T, class Clock>
inline constexpr bool is_time_point_of = false;
template <class Clock, class Duration>
inline constexpr bool is_time_point_of<std::chrono::time_point<Clock, Duration>, Clock> = true;

// What `due` can be: a time point of the clock, of any precision, or a duration from now.
template <class When, class Clock>
concept due_for = is_duration<When> || is_time_point_of<When, typename Clock::time_point::clock>;

// Whether a duration is not a number, by the bits of the object: with -ffast-math the compiler may assume
// that x != x is false, and that no function receives or returns NaN.
template <class Rep, class Period>
bool is_nan(const std::chrono::duration<Rep, Period>& value) noexcept {
  if constexpr (!std::is_floating_point_v<Rep>) {
    return false;
  } else if constexpr (sizeof(Rep) == sizeof(std::uint32_t)) {
    return (std::bit_cast<std::uint32_t>(value) & 0x7fffffffU) > 0x7f800000U;
  } else if constexpr (sizeof(Rep) == sizeof(std::uint64_t)) {
    return (std::bit_cast<std::uint64_t>(value) & 0x7fffffffffffffff) > 0x7ff0000000000000;
  } else {
    constexpr int digits = std::numeric_limits<Rep>::digits;
    std::uint64_t words[2] = {};
    std::memcpy(words, &value, sizeof value < sizeof words ? sizeof value : sizeof words);
    if constexpr (digits == 64) {  // x87: the leading bit is written out
      return (words[1] & 0x7fff) == 0x7fff && (words[0] << 1) != 0;
    } else if constexpr (digits == 113) {
      const bool is_little = std::endian::native == std::endian::little;
      const std::uint64_t high = words[is_little ? 1 : 0] & 0x7fffffffffffffff;
      return high > 0x7fff000000000000 || (high == 0x7fff000000000000 && words[is_little ? 0 : 1] != 0);
    } else {  // a pair of doubles, the larger one first
      return (words[0] & 0x7fffffffffffffff) > 0x7ff0000000000000;
    }
  }
}

// `rest` * `by` / `in`, rounded up or down; `rest` < `in` < 2^63. Binary long division: the product may need
// 126 bits.
constexpr std::uint64_t scaled(std::uint64_t rest, std::uint64_t by, std::uint64_t in,
                               bool round_up) noexcept {
  std::uint64_t quotient = 0;
  std::uint64_t remainder = 0;
  for (int bit = 62; bit >= 0; --bit) {
    quotient *= 2;
    remainder *= 2;
    if (remainder >= in) remainder -= in, ++quotient;
    if ((by >> bit & 1) != 0) remainder += rest;
    if (remainder >= in) remainder -= in, ++quotient;
  }
  return quotient + (round_up && remainder != 0 ? 1 : 0);
}

// A duration in ticks of some period: how many, after the rounding, and on which side of zero.
struct ticks {
  bool is_negative;
  std::uint64_t magnitude;
};

inline constexpr std::uint64_t max_ticks = (std::numeric_limits<std::uint64_t>::max)();

template <class To, class Rep, class Period>
constexpr ticks to_ticks(const std::chrono::duration<Rep, Period>& from) noexcept {
  // A tick of `from` is num / den ticks of To, where both are products of two numbers without a common
  // divisor.
  constexpr std::intmax_t max = (std::numeric_limits<std::intmax_t>::max)();
  constexpr std::intmax_t nums = std::gcd(Period::num, To::num);
  constexpr std::intmax_t dens = std::gcd(Period::den, To::den);
  constexpr std::intmax_t num[2] = {Period::num / nums, To::den / dens};
  constexpr std::intmax_t den[2] = {Period::den / dens, To::num / nums};

  if constexpr (std::is_integral_v<Rep> && sizeof(Rep) <= sizeof(std::uint64_t) && num[0] <= max / num[1] &&
                den[0] <= max / den[1]) {
    constexpr auto by = static_cast<std::uint64_t>(num[0] * num[1]);
    constexpr auto in = static_cast<std::uint64_t>(den[0] * den[1]);
    const bool is_negative = from.count() < Rep{};
    const auto bits = static_cast<std::uint64_t>(from.count());
    const std::uint64_t count = is_negative ? std::uint64_t{0} - bits : bits;
    if constexpr (by == 1 && in == 1) return {is_negative, count};
    const std::uint64_t whole = count / in;
    if (whole > max_ticks / by) return {is_negative, max_ticks};
    std::uint64_t part = 0;
    if constexpr (in == 1)
      ;
    else if constexpr (in <= max_ticks / by)
      part = count % in * by / in + (!is_negative && count % in * by % in != 0 ? 1 : 0);
    else
      part = scaled(count % in, by, in, !is_negative);
    return {is_negative, whole * by > max_ticks - part ? max_ticks : whole * by + part};
  } else {
    const auto count = static_cast<long double>(from.count());
    const bool is_negative = count < 0;
    const long double exact = (is_negative ? -count : count) / static_cast<long double>(den[0]) /
                              static_cast<long double>(den[1]) * static_cast<long double>(num[0]) *
                              static_cast<long double>(num[1]);
    if (exact >= 18446744073709551615.0L) return {is_negative, max_ticks};
    const auto below = static_cast<std::uint64_t>(exact);
    return {is_negative, !is_negative && static_cast<long double>(below) < exact ? below + 1 : below};
  }
}

// `start` plus a number of ticks, saturating.
template <std::integral Rep>
constexpr Rep advanced(Rep start, ticks by) noexcept {
  using limits = std::numeric_limits<Rep>;
  const auto from = static_cast<std::uint64_t>(start);
  const auto room = [from](Rep a) { return static_cast<std::uint64_t>(a) - from; };
  if (!by.is_negative)
    return by.magnitude >= room((limits::max)()) ? (limits::max)() : static_cast<Rep>(from + by.magnitude);
  return by.magnitude >= std::uint64_t{0} - room((limits::min)()) ? (limits::min)()
                                                                  : static_cast<Rep>(from - by.magnitude);
}

// The same for a floating-point representation, which may be coarser than the sum.
template <class To, class Rep, class Period>
To later_by(To start, const std::chrono::duration<Rep, Period>& by) noexcept {
  using rep = typename To::rep;
  const long double exact = static_cast<long double>(start.count()) +
                            std::chrono::duration<long double, typename To::period>(by).count();
  if (exact >= static_cast<long double>((To::max)().count())) return (To::max)();
  if (exact <= static_cast<long double>((To::min)().count())) return (To::min)();
  const auto rounded = static_cast<rep>(exact);
  return To(static_cast<long double>(rounded) < exact ? std::nextafter(rounded, (To::max)().count())
                                                      : rounded);
}

template <class To, class From>
constexpr To saturating_add(const To& start, const From& by) noexcept {
  using rep = typename To::rep;
  if constexpr (std::integral<rep> && sizeof(rep) <= sizeof(std::uint64_t))
    return To(advanced(start.count(), to_ticks<typename To::period>(by)));
  else if constexpr (std::is_floating_point_v<rep>)
    return later_by(start, by);
  else
    return start + std::chrono::ceil<To>(by);  // a user-defined type, which saturates or not by itself
}

// A time point of Clock, or none, for NaN.
template <class Clock>
struct due_time {
  typename Clock::time_point point;
  bool is_valid;
};

template <class Clock, class ClockOfPoint, class Duration>
due_time<Clock> to_due(const std::chrono::time_point<ClockOfPoint, Duration>& when) noexcept {
  using point = typename Clock::time_point;
  if (is_nan(when.time_since_epoch())) return {point(), false};
  if constexpr (std::same_as<point, std::chrono::time_point<ClockOfPoint, Duration>> &&
                std::integral<typename point::rep>)
    return {when, true};
  else
    return {point(saturating_add(point::duration::zero(), when.time_since_epoch())), true};
}

template <class Clock, class Rep, class Period>
due_time<Clock> to_due(const std::chrono::duration<Rep, Period>& from_now) noexcept(noexcept(Clock::now())) {
  using point = typename Clock::time_point;
  if (is_nan(from_now)) return {point(), false};
  return {point(saturating_add(Clock::now().time_since_epoch(), from_now)), true};
}

}  // namespace SELECTORS_NAMESPACE::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/chrono.hpp>
#include <selectors/version.hpp>

#include <bit>
#include <cstdint>
#include <limits>
#include <ratio>
#include <type_traits>

namespace SELECTORS_NAMESPACE::detail {

using std::chrono::nanoseconds;

// Waits forever. A timeout that does not fit into nanoseconds (292 years) counts as forever.
inline constexpr nanoseconds forever = (nanoseconds::max)();
// The result for a duration or time point that is not a number.
inline constexpr nanoseconds not_a_time = (nanoseconds::min)();

inline constexpr std::int64_t max_count = (std::numeric_limits<std::int64_t>::max)();

// ---- numbers ----------------------------------------------------------------------------------------------

// A built-in integer of any width: std::is_integral is false for __int128 with -std=c++20.
template <class Rep>
concept integer_rep = !std::is_class_v<Rep> && requires(Rep count) { count % count; };

// The type in which such counts are computed: 64 bits of the same signedness, or more.
template <integer_rep Rep>
using widened =
    std::conditional_t<(sizeof(Rep) > sizeof(std::int64_t)), Rep,
                       std::conditional_t<(static_cast<Rep>(-1) < Rep{}), std::int64_t, std::uint64_t>>;

// By its bits: with -ffast-math the compiler assumes that no number is NaN.
constexpr bool is_nan(double number) noexcept {
  return std::bit_cast<std::uint64_t>(number) << 1 > std::uint64_t{0x7ff} << 53;
}

// The count of a floating-point or user-defined representation, by the best conversion that it has.
template <class Rep>
constexpr auto as_floating(const Rep& count) noexcept {
  if constexpr (std::is_floating_point_v<Rep>)
    return count;
  else if constexpr (requires { static_cast<long double>(count); })
    return static_cast<long double>(count);
  else if constexpr (requires { static_cast<double>(count); })
    return static_cast<double>(count);
  else
    return static_cast<long double>(static_cast<std::int64_t>(count));
}

// ---- ticks ------------------------------------------------------------------------------------------------

// How long a tick of Period is: `whole / parts` nanoseconds, in lowest terms.
template <class Period>
struct tick {
  using in_nanoseconds = std::ratio<std::nano::den, Period::den>;
  static constexpr std::int64_t parts = in_nanoseconds::den;
  static constexpr bool whole_fits = Period::num <= max_count / in_nanoseconds::num;
  static constexpr std::int64_t whole = whole_fits ? Period::num * in_nanoseconds::num : max_count;
  // Whether integers of 64 bits suffice: for every period that is in use.
  static constexpr bool is_exact = whole_fits && parts <= max_count / whole;
  static constexpr bool is_splittable = is_exact && Period::num <= max_count / Period::den &&
                                        parts <= (std::numeric_limits<std::uint32_t>::max)();
  // How many bits of a fraction are multiplied by `whole` at a time.
  static constexpr unsigned step = whole < std::int64_t{1} << 31   ? 32
                                   : whole < std::int64_t{1} << 47 ? 16
                                                                   : 8;
  static constexpr bool is_exact_for_fractions = is_splittable && whole < std::int64_t{1} << 55;
};

// What a fraction of a tick is in `1 / parts` nanoseconds, rounded down, and whether something was cut off.
// It is exact: floating-point arithmetic only takes the fraction apart, and a multiplication by a power of
// two and the removal of the leading digits do not round. 128 bits hold all that can make a difference.
struct part_of_tick {
  std::int64_t count = 0;
  bool is_cut = false;
};

template <class Period, class Float>
constexpr part_of_tick scaled_fraction(Float fraction) noexcept {
  constexpr unsigned step = tick<Period>::step;
  constexpr unsigned steps = 128 / step;
  std::uint64_t digits[steps] = {};
  for (std::uint64_t& digit : digits) {
    fraction *= static_cast<Float>(std::uint64_t{1} << step);
    digit = static_cast<std::uint64_t>(fraction);
    fraction -= static_cast<Float>(digit);
  }
  bool is_cut = fraction > Float{};
  std::uint64_t product = 0;
  for (unsigned i = steps; i-- != 0;) {
    product += digits[i] * static_cast<std::uint64_t>(tick<Period>::whole);
    is_cut = is_cut || (product & ((std::uint64_t{1} << step) - 1)) != 0;
    product >>= step;
  }
  return {static_cast<std::int64_t>(product), is_cut};
}

// Ticks, and what is more, in nanoseconds; rounded towards later times, and saturating.
template <class Period, class Count>
constexpr nanoseconds scaled(Count ticks, part_of_tick more = {}) noexcept {
  constexpr std::int64_t whole = tick<Period>::whole;
  constexpr std::int64_t parts = tick<Period>::parts;
  const Count units = ticks / static_cast<Count>(parts);
  if (units >= static_cast<Count>(max_count / whole)) return forever;
  if constexpr (static_cast<Count>(-1) < Count{})
    if (units <= -static_cast<Count>(max_count / whole)) return -forever;
  const std::int64_t rest = static_cast<std::int64_t>(ticks % static_cast<Count>(parts)) * whole + more.count;
  const std::int64_t up = rest % parts > 0 || more.is_cut ? 1 : 0;
  return nanoseconds(static_cast<std::int64_t>(units) * whole + rest / parts + up);
}

// Where 64 bits do not suffice, or the count has been rounded to its leading digits long before: rounded up
// by more than the multiplications can have lost.
template <class Period, class Float>
constexpr nanoseconds scaled_roughly(Float ticks) noexcept {
  constexpr auto epsilon = std::numeric_limits<long double>::epsilon();
  long double exact = static_cast<long double>(ticks) * static_cast<long double>(Period::num) * 1e9L /
                      static_cast<long double>(Period::den);
  if (exact > 0) exact += exact * (4 * epsilon);
  if (exact >= 9.2e18L) return forever;  // 2^63 is 9.223e18: below it by more than any rounding
  if (exact <= -9.2e18L) return -forever;
  const auto count = static_cast<std::int64_t>(exact);
  return nanoseconds(static_cast<long double>(count) < exact ? count + 1 : count);
}

template <class Period, class Float>
constexpr nanoseconds scaled_floating(Float ticks) noexcept {
  constexpr Float limit = static_cast<Float>(std::uint64_t{1} << 62);
  if (detail::is_nan(static_cast<double>(ticks))) return not_a_time;
  if constexpr (tick<Period>::is_exact_for_fractions) {
    const Float magnitude = ticks < Float{} ? -ticks : ticks;
    if (magnitude < limit) {
      const auto count = static_cast<std::int64_t>(magnitude);
      const part_of_tick more = detail::scaled_fraction<Period>(magnitude - static_cast<Float>(count));
      if (ticks < Float{}) return detail::scaled<Period>(-count, {-more.count, false});
      return detail::scaled<Period>(count, more);
    }
  }
  return detail::scaled_roughly<Period>(ticks);
}

// Any duration in nanoseconds, rounded up and saturating; not_a_time if it is not a number.
template <class Rep, class Period>
constexpr nanoseconds to_nanoseconds(std::chrono::duration<Rep, Period> duration) noexcept {
  if constexpr (!integer_rep<Rep>)
    return detail::scaled_floating<Period>(detail::as_floating(duration.count()));
  else if constexpr (tick<Period>::is_exact)
    return detail::scaled<Period>(static_cast<widened<Rep>>(duration.count()));
  else
    return detail::scaled_roughly<Period>(static_cast<long double>(duration.count()));
}

// ---- time points ------------------------------------------------------------------------------------------

// A time since the epoch of its clock, however far that is: seconds, and nanoseconds from 0 to 999,999,999,
// and `rest / parts` nanoseconds.
struct instant {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
  std::uint64_t rest = 0;
  std::uint64_t parts = 1;

  constexpr bool is_after(const instant& other) const noexcept {
    if (seconds != other.seconds) return seconds > other.seconds;
    if (nanoseconds != other.nanoseconds) return nanoseconds > other.nanoseconds;
    return rest * other.parts > other.rest * parts;  // neither has more than 32 bits
  }
};

// A time point more than 146 billion years away counts as forever, or as forever ago.
inline constexpr std::int64_t max_seconds = std::int64_t{1} << 62;

template <class Period, class Count>
constexpr instant split(Count ticks) noexcept {
  constexpr auto den = static_cast<Count>(Period::den);
  constexpr std::int64_t per_second = tick<Period>::in_nanoseconds::num;
  constexpr std::int64_t parts = tick<Period>::parts;
  Count units = ticks / den;
  Count left = ticks % den;
  if (left < Count{}) {
    left += den;
    units -= 1;
  }
  if (units > static_cast<Count>(max_seconds / Period::num)) return {max_seconds, 0, 0, 1};
  if constexpr (static_cast<Count>(-1) < Count{})
    if (units < -static_cast<Count>(max_seconds / Period::num)) return {-max_seconds, 0, 0, 1};
  const std::int64_t over = static_cast<std::int64_t>(left) * Period::num;
  const std::int64_t below = over % Period::den * per_second;
  return {static_cast<std::int64_t>(units) * Period::num + over / Period::den, below / parts,
          static_cast<std::uint64_t>(below % parts), static_cast<std::uint64_t>(parts)};
}

template <class Period, class Float>
constexpr instant split_floating(Float ticks, bool round_up) noexcept {
  constexpr Float limit = static_cast<Float>(max_seconds);
  constexpr std::int64_t second = std::nano::den;
  if (tick<Period>::is_exact_for_fractions && ticks < limit && ticks > -limit) {
    if constexpr (tick<Period>::is_exact_for_fractions) {
      auto count = static_cast<std::int64_t>(ticks);
      if (static_cast<Float>(count) > ticks) --count;
      const part_of_tick more = detail::scaled_fraction<Period>(ticks - static_cast<Float>(count));
      instant made = detail::split<Period>(count);
      const std::int64_t sum = static_cast<std::int64_t>(made.rest) + more.count;
      made.nanoseconds += sum / tick<Period>::parts;
      if (round_up && (sum % tick<Period>::parts != 0 || more.is_cut)) ++made.nanoseconds;
      made.rest = 0;
      made.parts = 1;
      made.seconds += made.nanoseconds / second;
      made.nanoseconds %= second;
      return made;
    }
  }
  const long double exact = static_cast<long double>(ticks) * static_cast<long double>(Period::num) /
                            static_cast<long double>(Period::den);
  if (!(exact < static_cast<long double>(max_seconds))) return {max_seconds, 0, 0, 1};
  if (!(exact > -static_cast<long double>(max_seconds))) return {-max_seconds, 0, 0, 1};
  auto seconds = static_cast<std::int64_t>(exact);
  if (static_cast<long double>(seconds) > exact) --seconds;
  return {seconds, static_cast<std::int64_t>((exact - static_cast<long double>(seconds)) * 1e9L), 0, 1};
}

template <class Rep, class Period>
constexpr instant instant_of(const std::chrono::duration<Rep, Period>& time, bool round_up) noexcept {
  if constexpr (!integer_rep<Rep>)
    return detail::split_floating<Period>(detail::as_floating(time.count()), round_up);
  else if constexpr (tick<Period>::is_splittable)
    return detail::split<Period>(static_cast<widened<Rep>>(time.count()));
  else
    return detail::split_floating<Period>(static_cast<long double>(time.count()), round_up);
}

template <class Rep, class Period>
constexpr bool is_not_a_time(const std::chrono::duration<Rep, Period>& time) noexcept {
  if constexpr (integer_rep<Rep>)
    return false;
  else
    return detail::is_nan(static_cast<double>(detail::as_floating(time.count())));
}

// From now to another time of the same clock, rounded up; zero exactly when `now` has reached it. Times that
// are not integers are compared as <chrono> does, since a caller compares them so to see whether the time is
// reached.
template <class Duration, class Now>
constexpr nanoseconds between(const Duration& until, const Now& now) noexcept {
  if (detail::is_not_a_time(until) || detail::is_not_a_time(now)) return not_a_time;
  const instant end = detail::instant_of(until, true);
  const instant start = detail::instant_of(now, false);
  if (end.seconds == max_seconds) return forever;
  bool is_ahead = end.is_after(start);
  if constexpr (!integer_rep<typename Duration::rep> && !integer_rep<typename Now::rep>)
    if constexpr (requires { static_cast<bool>(until <= now); }) is_ahead = !static_cast<bool>(until <= now);
  if (!is_ahead) return nanoseconds::zero();
  if (!end.is_after(start)) return nanoseconds(1);
  const std::uint64_t gap =
      static_cast<std::uint64_t>(end.seconds) - static_cast<std::uint64_t>(start.seconds);
  if (gap >= static_cast<std::uint64_t>(max_count / std::nano::den)) return forever;
  const std::int64_t up = end.rest * start.parts > start.rest * end.parts ? 1 : 0;
  return nanoseconds(static_cast<std::int64_t>(gap) * std::nano::den + end.nanoseconds - start.nanoseconds +
                     up);
}

// From now to a time point, rounded up and saturating. Zero exactly when the clock has reached it, so no wait
// is too short and none is repeated needlessly. The greatest time point of a clock with ticks of a nanosecond
// or more is never reached.
template <class Clock, class Duration, class NowClock, class NowDuration>
constexpr nanoseconds remaining(const std::chrono::time_point<Clock, Duration>& until,
                                const std::chrono::time_point<NowClock, NowDuration>& now) noexcept {
  using rep = typename Duration::rep;
  using period = typename Duration::period;
  if constexpr (integer_rep<rep>)
    if (sizeof(rep) >= sizeof(std::int64_t) && tick<period>::parts == 1 && until == (until.max)())
      return forever;
  if constexpr (integer_rep<rep> && std::is_same_v<rep, typename NowDuration::rep> &&
                std::is_same_v<period, typename NowDuration::period> && sizeof(rep) <= sizeof(std::int64_t) &&
                tick<period>::is_exact) {
    const rep end = until.time_since_epoch().count();
    const rep start = now.time_since_epoch().count();
    if (end <= start) return nanoseconds::zero();
    return detail::scaled<period>(static_cast<std::uint64_t>(end) - static_cast<std::uint64_t>(start));
  } else {
    return detail::between(until.time_since_epoch(), now.time_since_epoch());
  }
}

}  // namespace SELECTORS_NAMESPACE::detail

// SPDX-License-Identifier: BSL-1.0

// Compiled with -O2 -ffast-math, which takes it that nothing is NaN or infinite: NaN is no deadline all the
// same, and infinity is never.

#include <selectors/timer_queue.hpp>

#include <chrono>
#include <cstring>
#include <limits>
#include <system_error>

using namespace selectors;

namespace {

// Copied as bits: the compiler may take a function that is given NaN for one that is not called.
template <class Rep>
std::chrono::duration<Rep> duration_of(const Rep& count) {
  std::chrono::duration<Rep> made;
  std::memcpy(&made, &count, sizeof made);
  return made;
}

template <class Rep>
int run(const Rep& nan, const Rep& infinity) {
  timer_queue<int> queue;
  std::error_code error;
  const std::chrono::duration<Rep> no_number = duration_of(nan);
  const std::chrono::time_point<std::chrono::steady_clock, std::chrono::duration<Rep>> no_time(no_number);
  if (queue.add(no_number, 1, error) != nullptr || error != errc::invalid_timeout) return 1;
  if (queue.add(no_time, 1, error) != nullptr || error != errc::invalid_timeout) return 2;
  auto* const timer = queue.add(duration_of(infinity), 1, error);
  if (timer == nullptr || timer->due() != queue.next()) return 3;
  if (queue.next() != (std::chrono::steady_clock::time_point::max)()) return 4;
  if (queue.move(timer->id(), no_number) || timer->due() != queue.next()) return 5;
  return 0;
}

template <class Rep>
int run() {
  static Rep nan = std::numeric_limits<Rep>::quiet_NaN();
  static Rep infinity = std::numeric_limits<Rep>::infinity();
  asm volatile("" : : "r"(&nan), "r"(&infinity) : "memory");  // to the optimizer, any number
  return run(nan, infinity);
}

}  // namespace

int main() {
  if (const int failed = run<float>()) return failed;
  if (const int failed = run<double>()) return 10 + failed;
  if (const int failed = run<long double>()) return 20 + failed;
  return 0;
}

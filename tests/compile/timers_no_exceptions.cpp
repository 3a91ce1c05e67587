// SPDX-License-Identifier: BSL-1.0

// Compiled with -fno-exceptions -fno-rtti: timers, with the forms that report to an error_code.

#include <selectors/timer_queue.hpp>

#include <chrono>
#include <limits>
#include <system_error>

using namespace selectors;
using namespace std::chrono_literals;

int main() {
  timer_queue<int> queue;
  std::error_code error = errc::closed;
  auto* const one = queue.add(0s, 1, error);
  if (one == nullptr || error) return 1;
  auto* const two = queue.add(std::chrono::steady_clock::now() + 1h, error);
  if (two == nullptr || two->data() != 0) return 2;
  const std::chrono::duration<double> nan(std::numeric_limits<double>::quiet_NaN());
  if (queue.add(nan, 1, error) != nullptr || error != errc::invalid_timeout) return 3;
  if (queue.move(two->id(), nan) || !queue.move(two->id(), 2h)) return 4;
  int reached = 0;
  for (auto& timer : queue.expired()) reached += timer.data();
  if (reached != 1 || queue.size() != 1 || queue.next() != two->due()) return 5;
  if (!queue.cancel(two->id()) || queue.find(two->id()) != nullptr || !queue.empty()) return 6;
  timer_queue<> plain;
  if (plain.add(1s, error) == nullptr || error) return 7;
  return 0;
}

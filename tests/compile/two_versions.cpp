// SPDX-License-Identifier: BSL-1.0

// Two versions of the library in one program: this file is compiled twice, the second time as another one.
// What each half says of itself must be its own.

#include <selectors/child_exit.hpp>
#include <selectors/mailbox.hpp>
#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>
#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>

#include <chrono>
#include <system_error>
#include <typeinfo>

#define JOIN_NAME(half, name) half##_##name
#define JOIN(half, name) JOIN_NAME(half, name)
#define MINE(name) JOIN(HALF, name)

int first_version();
int second_version();
const std::type_info& first_type();
const std::type_info& second_type();
std::error_code first_error();
std::error_code second_error();
bool first_works();
bool second_works();
bool first_recognises(std::error_code code);
bool second_recognises(std::error_code code);

int MINE(version)() { return SELECTORS_VERSION; }

const std::type_info& MINE(type)() { return typeid(selectors::selector<int>); }

std::error_code MINE(error)() { return selectors::errc::not_registered; }

bool MINE(recognises)(std::error_code code) { return code == selectors::errc::not_registered; }

bool MINE(works)() {
  selectors::selector<int> sel;
  selectors::wakeup wake;
  sel.register_(wake, selectors::event::read, SELECTORS_VERSION);
  wake.notify();
  int found = 0;
  for (auto [key, events] : sel.select(std::chrono::seconds(10))) found = key.data();
  return found == SELECTORS_VERSION && sel.find(wake) != nullptr;
}

#if defined(WITH_MAIN)
int main() {
  if (first_version() == second_version() || first_type() == second_type()) return 1;
  if (!first_works() || !second_works()) return 2;
  if (!first_recognises(second_error()) || !second_recognises(first_error())) return 3;
  return 0;
}
#endif

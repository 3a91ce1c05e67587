// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/event.hpp>

#if !SELECTORS_HAS_WINSOCK
#include <sys/time.h>
#endif

#include <atomic>
#include <csignal>
#include <cstdint>
#include <thread>
#include <vector>

namespace support {

// A million notifications, by eight threads and a signal handler, where there is such a thing. Bell is a
// wakeup, or what one is made of.
template <class Selector, class Bell>
void expect_none_lost_none_invented(Selector& sel, Bell& wake) {
  constexpr std::uint64_t threads = 8, each = 125'000;
  sel.register_(wake, selectors::event::read);
  static std::atomic<std::uint64_t> sent, signals;
  sent = signals = 0;
#if !SELECTORS_HAS_WINSOCK
  static Bell* signalled;
  signalled = &wake;
  struct sigaction action{}, before{};
  action.sa_handler = [](int) {
    ++signals;
    ++sent;
    signalled->notify();
  };
  checked(::sigaction(SIGALRM, &action, &before), "sigaction");
  const itimerval storm{{0, 1000}, {0, 1000}};
  const itimerval calm{};
  checked(::setitimer(ITIMER_REAL, &storm, nullptr), "setitimer");
#endif
  std::vector<std::thread> notifiers;
  for (std::uint64_t t = 0; t != threads; ++t) {
    notifiers.emplace_back([&] {
      for (std::uint64_t i = 0; i != each; ++i) {
        ++sent;
        wake.notify();
      }
    });
  }
  // What has been sent is known when the notification that announces it is taken.
  std::uint64_t known = 0, empty = 0, taken = 0;
  while (known < threads * each + signals) {
    auto range = sel.select(10s);
    if (range.empty()) {
      ++empty;
      REQUIRE(empty <= signals);  // a timeout would be a notification lost
      continue;
    }
    for ([[maybe_unused]] auto one : range) {
      REQUIRE(wake.reset());  // or it was invented, or is told again and again
      ++taken;
      known = sent;
    }
  }
#if !SELECTORS_HAS_WINSOCK
  checked(::setitimer(ITIMER_REAL, &calm, nullptr), "setitimer");
  ::sigaction(SIGALRM, &before, nullptr);
#endif
  for (std::thread& notifier : notifiers) notifier.join();
  CHECK(taken <= sent);
  wake.reset();
  CHECK_FALSE(wake.reset());
  expect_idle_for(sel, 5ms);
}

}  // namespace support

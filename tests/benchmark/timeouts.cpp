// SPDX-License-Identifier: BSL-1.0

// How late a timeout is: `timeouts by_hand|selectors NANOSECONDS WAITS`. A round prints by how many
// nanoseconds each of its waits was too long; by hand that is epoll_pwait2(2) itself.

#include "rounds.hpp"

#include <selectors/selectors.hpp>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

template <class Wait>
int run(std::chrono::nanoseconds timeout, std::size_t waits, Wait wait) {
  std::vector<double> late(waits);
  return take_turns([&]() -> const std::vector<double>& {
    for (double& one : late) {
      const auto start = std::chrono::steady_clock::now();
      wait();
      one = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start - timeout)
                .count();
    }
    return late;
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: timeouts by_hand|selectors NANOSECONDS WAITS\n", stderr), 2;
  const std::chrono::nanoseconds timeout(std::atol(argv[2]));
  const auto waits = static_cast<std::size_t>(std::atol(argv[3]));
  if (argv[1] == std::string_view("selectors")) {
    selectors::epoll_selector<> sel;
    return run(timeout, waits, [&] { (void)sel.select(timeout); });
  }
  const int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  const timespec time{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000};
  return run(timeout, waits, [&] {
    epoll_event event;
    syscall(SYS_epoll_pwait2, epoll, &event, 1, &time, nullptr, sizeof(sigset_t));
  });
}

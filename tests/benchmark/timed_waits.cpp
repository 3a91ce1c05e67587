// SPDX-License-Identifier: BSL-1.0

// Waits that have a timeout and do not need it, as a server's that has to look around every five seconds:
// `timed_waits by_hand|selectors WAITS`. One eventfd is always ready. A round prints the nanoseconds of a
// wait of five seconds and of reporting what is ready; by hand that is epoll_pwait2(2) itself.

#include "interposed.hpp"
#include "rounds.hpp"

#include <selectors/selectors.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <string_view>

namespace {

using namespace std::chrono_literals;

class by_hand {
 public:
  explicit by_hand(int handle) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = handle;
    checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, handle, &event), "epoll_ctl");
  }
  template <class Visit>
  void wait(Visit visit) {
    const timespec time{5, 0};
    const long count = syscall(SYS_epoll_pwait2, epoll_, events_, 64, &time, nullptr, 0);
    for (long i = 0; i < count; ++i) visit(events_[i].data.fd);
  }

 private:
  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  epoll_event events_[64];
};

class by_selectors {
 public:
  explicit by_selectors(int handle) { sel_.register_(handle, selectors::event::read); }
  template <class Visit>
  void wait(Visit visit) {
    for (auto [key, events] : sel_.select(5s)) visit(key.handle());
  }

 private:
  selectors::epoll_selector<> sel_;
};

template <class Side>
int run(long waits) {
  Side side(checked(eventfd(1, EFD_CLOEXEC), "eventfd"));
  return take_turns([&] {
    const double start = processor_time();
    long sum = 0;
    for (long i = 0; i != waits; ++i) side.wait([&sum](int handle) { sum += handle; });
    if (sum == 0) give_up("a wait that found nothing");
    return std::array{(processor_time() - start) / static_cast<double>(waits)};
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: timed_waits by_hand|selectors WAITS\n", stderr), 2;
  const long waits = std::atol(argv[2]);
  return argv[1] == std::string_view("by_hand") ? run<by_hand>(waits) : run<by_selectors>(waits);
}

// SPDX-License-Identifier: BSL-1.0

// A thread woken from its wait by another, which waits for it in turn: `wakeup by_hand|selectors TRIPS`. A
// round prints the nanoseconds of the way there and back. Both threads share a processor, so that the figure
// is theirs and not that of how a machine wakes a sleeping one.

#include "rounds.hpp"

#include <selectors/selectors.hpp>

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <thread>

namespace {

// One side: waits in a loop of its own for the other's word.
class by_hand {
 public:
  by_hand() {
    epoll_event event{};
    event.events = EPOLLIN;
    checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &event), "epoll_ctl");
  }
  void notify() {
    const std::uint64_t one = 1;
    if (write(event_, &one, sizeof one) != sizeof one) give_up("write");
  }
  void wait() {
    epoll_event found;
    std::uint64_t count;
    if (epoll_wait(epoll_, &found, 1, -1) == 1 && read(event_, &count, sizeof count) != sizeof count)
      give_up("read");
  }

 private:
  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  int event_ = checked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
};

class by_selectors {
 public:
  by_selectors() { sel_.register_(wakeup_, selectors::event::read); }
  void notify() { wakeup_.notify(); }
  void wait() {
    for (auto [key, events] : sel_.select()) wakeup_.reset();
  }

 private:
  selectors::wakeup wakeup_;
  selectors::selector<> sel_;
};

void share_a_processor() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

template <class Side>
int run(long trips) {
  share_a_processor();  // which threads inherit
  Side here;
  Side there;
  std::thread([&] {
    for (;;) {
      there.wait();
      here.notify();
    }
  }).detach();
  const int result = take_turns([&] {
    const auto start = std::chrono::steady_clock::now();
    for (long i = 0; i != trips; ++i) {
      there.notify();
      here.wait();
    }
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
    return std::array{time.count() / static_cast<double>(trips)};
  });
  std::_Exit(result);  // the other thread waits forever
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: wakeup by_hand|selectors TRIPS\n", stderr), 2;
  const long trips = std::atol(argv[2]);
  return argv[1] == std::string_view("by_hand") ? run<by_hand>(trips) : run<by_selectors>(trips);
}

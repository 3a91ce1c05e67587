// SPDX-License-Identifier: BSL-1.0

// The calls beside the loop, beside the system call that each of them makes: on 19,000 eventfds, one after
// the other, by Google Benchmark. They are registered a second time, too, when memory is warm. For figures,
// `--benchmark_enable_random_interleaving --benchmark_repetitions=N`.

#include "rounds.hpp"

#include <selectors/selectors.hpp>

#include <benchmark/benchmark.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

namespace {

using selectors::event;

constexpr std::size_t count = 19'000;

const std::vector<int>& handles() {
  static const auto made = [] {
    std::vector<int> some(count);
    for (int& handle : some) handle = checked(eventfd(0, EFD_CLOEXEC), "eventfd");
    return some;
  }();
  return made;
}

class by_hand {
 public:
  ~by_hand() { close(epoll_); }
  void register_all() { control_all(EPOLL_CTL_ADD, EPOLLIN); }
  void modify_all() { control_all(EPOLL_CTL_MOD, EPOLLIN | EPOLLPRI); }
  void unregister_all() { control_all(EPOLL_CTL_DEL, 0); }

 private:
  void control_all(int operation, unsigned events) {
    for (const int handle : handles()) {
      epoll_event event{};
      event.events = events;
      event.data.fd = handle;
      checked(epoll_ctl(epoll_, operation, handle, &event), "epoll_ctl");
    }
  }

  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
};

class by_selectors {
 public:
  void register_all() {
    for (const int handle : handles()) sel_.register_(handle, event::read);
  }
  void modify_all() {
    for (const int handle : handles()) sel_.modify(handle, event::read | event::priority);
  }
  // With the next wait, which does what an unregistration leaves to do.
  void unregister_all() {
    for (const int handle : handles()) sel_.unregister(handle);
    (void)sel_.select(std::chrono::nanoseconds::zero());
  }

 private:
  selectors::epoll_selector<> sel_;
};

// Times one part of registering, modifying, unregistering and again registering all.
enum class part { registering, modifying, unregistering, again };

template <class Side>
void operation(benchmark::State& state, part timed) {
  handles();
  Side side;
  for (auto round : state) {
    const double start = processor_time();
    side.register_all();
    const double registered = processor_time();
    side.modify_all();
    const double modified = processor_time();
    side.unregister_all();
    const double unregistered = processor_time();
    side.register_all();
    const double end = processor_time();
    const double parts[] = {registered - start, modified - registered, unregistered - modified,
                            end - unregistered};
    state.SetIterationTime(parts[static_cast<int>(timed)] / 1e9);
  }
}

template <class Side>
void add(const std::string& name) {
  const auto add_one = [&](const char* what, part timed) {
    benchmark::RegisterBenchmark((name + '/' + what).c_str(), operation<Side>, timed)
        ->UseManualTime()
        ->Iterations(1);
  };
  add_one("register", part::registering);
  add_one("modify", part::modifying);
  add_one("unregister", part::unregistering);
  add_one("register again", part::again);
}

}  // namespace

int main(int argc, char** argv) {
  add<by_hand>("by_hand");
  add<by_selectors>("selectors");
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}

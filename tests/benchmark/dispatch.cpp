// SPDX-License-Identifier: BSL-1.0

// A loop to count the instructions of: `dispatch LOOP ACTIVE ROUNDS`, where LOOP is `raw`, the epoll loop
// that a careful programmer writes by hand, with an index in epoll_data, or `selectors`, the same on this
// library. ACTIVE eventfds are ready all the time. Two runs that differ in ROUNDS alone tell what a round
// costs, without what surrounds it.

#include "handler.hpp"

#include <selectors/selectors.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

void run_raw(const std::vector<int>& handles, long rounds) {
  std::vector<counter> counters(handles.size());
  std::vector<epoll_event> events(handles.size());
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i != handles.size(); ++i) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.u64 = i;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, handles[i], &event) != 0) std::exit(1);
  }
  escape(events.data());
  for (long round = 0; round != rounds; ++round) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      handle(counters[event.data.u64], (event.events & EPOLLIN) != 0);
    }
  }
  close(epoll);
}

void run_selectors(const std::vector<int>& handles, long rounds) {
  selectors::epoll_selector<counter> selector;
  for (const int handle : handles) selector.register_(handle, selectors::event::read);
  escape(&selector);
  for (long round = 0; round != rounds; ++round)
    for (auto [key, events] : selector.select()) handle(key.data(), events.contains(selectors::event::read));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: dispatch raw|selectors ACTIVE ROUNDS\n", stderr), 2;
  std::vector<int> handles(static_cast<std::size_t>(std::atol(argv[2])));
  for (int& handle : handles) handle = eventfd(1, EFD_CLOEXEC);
  if (argv[1] == std::string_view("raw"))
    run_raw(handles, std::atol(argv[3]));
  else
    run_selectors(handles, std::atol(argv[3]));
}

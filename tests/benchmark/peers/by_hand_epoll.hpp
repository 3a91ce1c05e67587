// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/epoll.h>

#include <cstdlib>

// The loop that a careful programmer writes on epoll(7): the address of what is watched in epoll_data, one
// system call for each change, and no more checks than his own program needs.
template <class Source, unsigned Trigger>
class by_hand_on_epoll {
 public:
  Source& add(Source source) {
    auto* const added = new Source(source);
    control(EPOLL_CTL_ADD, *added, EPOLLIN | Trigger);
    return *added;
  }
  void watch_writing(Source& source, bool wanted) {
    control(EPOLL_CTL_MOD, source, (wanted ? EPOLLIN | EPOLLOUT : EPOLLIN) | Trigger);
  }
  void remove(Source& source) {
    control(EPOLL_CTL_DEL, source, 0);
    delete &source;
  }

  void run() {
    running_ = true;
    while (running_) {
      const int count = epoll_wait(epoll_, events_, most, -1);
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events_[i];
        const bool writable = (event.events & EPOLLOUT) != 0;
        const bool readable = (event.events & ~static_cast<unsigned>(EPOLLOUT)) != 0;
        static_cast<Source*>(event.data.ptr)->on_ready(*this, readable, writable);
      }
    }
  }
  void stop() { running_ = false; }

 private:
  static constexpr int most = 1024;

  void control(int operation, Source& source, unsigned events) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &source;
    if (epoll_ctl(epoll_, operation, source.handle, &event) != 0) std::abort();
  }

  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  bool running_ = false;
  epoll_event events_[most];
};

template <class Source>
using by_hand_epoll = by_hand_on_epoll<Source, 0>;
template <class Source>
using by_hand_edge = by_hand_on_epoll<Source, EPOLLET>;

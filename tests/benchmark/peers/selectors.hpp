// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/selectors.hpp>

// This library.
template <class Source, class Backend, bool IsEdge = false>
class selectors_loop {
 public:
  Source& add(Source source) { return sel_.register_(source.handle, interest(event::read), source).data(); }
  void watch_writing(Source& source, bool wanted) {
    sel_.modify(source.handle, interest(wanted ? event::read | event::write : event::read));
  }
  void remove(Source& source) { sel_.unregister(source.handle); }

  void run() {
    running_ = true;
    while (running_)
      for (auto [key, events] : sel_.select())
        key.data().on_ready(*this, events.contains(event::read), events.contains(event::write));
  }
  void stop() { running_ = false; }

 private:
  using event = selectors::event;

  static auto interest(selectors::event_mask events) {
    if constexpr (IsEdge)
      return selectors::edge(events);
    else
      return events;
  }

  bool running_ = false;
  selectors::selector<Source, Backend> sel_;
};

template <class Source>
using selectors_epoll = selectors_loop<Source, selectors::epoll_backend>;
template <class Source>
using selectors_edge = selectors_loop<Source, selectors::epoll_backend, true>;
template <class Source>
using selectors_poll = selectors_loop<Source, selectors::poll_backend>;
template <class Source>
using selectors_select = selectors_loop<Source, selectors::select_backend>;

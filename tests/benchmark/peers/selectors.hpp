// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/selectors.hpp>

// This library.
template <class Source, class Backend>
class selectors_loop {
 public:
  Source& add(Source source) { return sel_.register_(source.handle, event::read, source).data(); }
  void watch_writing(Source& source, bool wanted) {
    sel_.modify(source.handle, wanted ? event::read | event::write : event::read);
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

  bool running_ = false;
  selectors::selector<Source, Backend> sel_;
};

template <class Source>
using selectors_epoll = selectors_loop<Source, selectors::epoll_backend>;
template <class Source>
using selectors_poll = selectors_loop<Source, selectors::poll_backend>;
template <class Source>
using selectors_select = selectors_loop<Source, selectors::select_backend>;

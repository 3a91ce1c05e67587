// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

// libevent: events embedded in what is watched, no locks, and changes collected until the next wait.
template <class Source>
class libevent_loop {
 public:
  Source& add(Source source) {
    auto* const added = new watcher(source, *this);
    event_assign(&added->reading, base_, source.handle, EV_READ | EV_PERSIST, on_event, added);
    event_assign(&added->writing, base_, source.handle, EV_WRITE | EV_PERSIST, on_event, added);
    event_add(&added->reading, nullptr);
    return *added;
  }
  void watch_writing(Source& source, bool wanted) {
    ::event& writing = static_cast<watcher&>(source).writing;
    wanted ? event_add(&writing, nullptr) : event_del(&writing);
  }
  void remove(Source& source) {
    auto* const removed = static_cast<watcher*>(&source);
    event_del(&removed->reading);
    event_del(&removed->writing);
    delete removed;
  }

  void run() { event_base_loop(base_, EVLOOP_NO_EXIT_ON_EMPTY); }
  void stop() { event_base_loopexit(base_, nullptr); }

 private:
  struct watcher : Source {
    watcher(const Source& source, libevent_loop& in) : Source(source), loop(in) {}
    libevent_loop& loop;
    ::event reading;
    ::event writing;
  };

  static void on_event(evutil_socket_t, short events, void* data) {
    auto& ready = *static_cast<watcher*>(data);
    ready.on_ready(ready.loop, (events & EV_READ) != 0, (events & EV_WRITE) != 0);
  }

  static event_base* make() {
    event_config* const config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    event_base* const base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
  }

  event_base* base_ = make();
};

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <ev.h>

// libev: the watcher is embedded in what is watched, and the loop is no default loop, which would watch for
// children too.
template <class Source>
class libev_loop {
 public:
  libev_loop() { ev_set_userdata(loop_, this); }

  Source& add(Source source) {
    auto* const added = new watcher{source, {}};
    ev_io_init(&added->io, on_event, source.handle, EV_READ);
    added->io.data = added;
    ev_io_start(loop_, &added->io);
    return *added;
  }
  // What is stopped and started again before the next wait costs one system call at most.
  void watch_writing(Source& source, bool wanted) {
    ev_io& io = static_cast<watcher&>(source).io;
    ev_io_stop(loop_, &io);
    ev_io_modify(&io, wanted ? EV_READ | EV_WRITE : EV_READ);
    ev_io_start(loop_, &io);
  }
  void remove(Source& source) {
    auto* const removed = static_cast<watcher*>(&source);
    ev_io_stop(loop_, &removed->io);
    delete removed;
  }

  void run() { ev_run(loop_, 0); }
  void stop() { ev_break(loop_, EVBREAK_ONE); }

 private:
  struct watcher : Source {
    ev_io io;
  };

  static void on_event(struct ev_loop* loop, ev_io* io, int events) {
    static_cast<watcher*>(io->data)->on_ready(*static_cast<libev_loop*>(ev_userdata(loop)),
                                              (events & EV_READ) != 0, (events & EV_WRITE) != 0);
  }

  struct ev_loop* loop_ = ev_loop_new(unsigned{EVBACKEND_EPOLL} | unsigned{EVFLAG_NOENV});
};

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <uv.h>

// libuv: a uv_poll_t embedded in what is watched. It may be freed only when the loop says that it is closed.
template <class Source>
class libuv_loop {
 public:
  libuv_loop() {
    uv_loop_init(&loop_);
    loop_.data = this;
  }

  Source& add(Source source) {
    auto* const added = new watcher{source, {}};
    uv_poll_init(&loop_, &added->poll, source.handle);
    added->poll.data = added;
    uv_poll_start(&added->poll, UV_READABLE, on_event);
    return *added;
  }
  void watch_writing(Source& source, bool wanted) {
    uv_poll_start(&static_cast<watcher&>(source).poll, wanted ? UV_READABLE | UV_WRITABLE : UV_READABLE,
                  on_event);
  }
  void remove(Source& source) {
    uv_close(reinterpret_cast<uv_handle_t*>(&static_cast<watcher&>(source).poll),
             [](uv_handle_t* closed) { delete static_cast<watcher*>(closed->data); });
  }

  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  void stop() { uv_stop(&loop_); }

 private:
  struct watcher : Source {
    uv_poll_t poll;
  };

  static void on_event(uv_poll_t* poll, int status, int events) {
    static_cast<watcher*>(poll->data)
        ->on_ready(*static_cast<libuv_loop*>(poll->loop->data), status < 0 || (events & UV_READABLE) != 0,
                   (events & UV_WRITABLE) != 0);
  }

  uv_loop_t loop_;
};

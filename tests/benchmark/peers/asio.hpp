// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <asio.hpp>

// Asio: async_wait, for a program with one thread, which needs no locks (ASIO_CONCURRENCY_HINT_UNSAFE).
template <class Source>
class asio_loop {
 public:
  Source& add(Source source) {
    auto* const added = new watcher(source, context_);
    wait(*added, asio::posix::stream_descriptor::wait_read);
    return *added;
  }
  // A wait for writing ends by itself when it is served: there is nothing to switch off.
  void watch_writing(Source& source, bool wanted) {
    auto& one = static_cast<watcher&>(source);
    if (std::exchange(one.writing, wanted) || !wanted) return;
    wait(one, asio::posix::stream_descriptor::wait_write);
  }
  void remove(Source& source) {
    auto& removed = static_cast<watcher&>(source);
    removed.descriptor.release();
    removed.removed = true;
  }

  void run() {
    context_.restart();
    context_.run();
  }
  void stop() { context_.stop(); }

 private:
  struct watcher : Source {
    watcher(const Source& source, asio::io_context& context)
        : Source(source), descriptor(context, source.handle) {}
    asio::posix::stream_descriptor descriptor;
    int pending = 0;
    bool writing = false;
    bool removed = false;
  };

  void wait(watcher& one, asio::posix::stream_descriptor::wait_type what) {
    ++one.pending;
    one.descriptor.async_wait(what, [this, what, &one](asio::error_code) {
      --one.pending;
      const bool writable = what == asio::posix::stream_descriptor::wait_write;
      if (!one.removed && (!writable || one.writing)) one.on_ready(*this, !writable, writable);
      if (one.removed)
        one.pending == 0 ? delete &one : void();
      else if (!writable || one.writing)
        wait(one, what);
    });
  }

  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
};

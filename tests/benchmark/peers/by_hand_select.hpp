// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/select.h>

#include <cstdlib>

// The loop that a careful programmer writes on select(2): it takes descriptors below FD_SETSIZE only.
template <class Source>
class by_hand_select {
 public:
  Source& add(Source source) {
    if (source.handle >= FD_SETSIZE) std::abort();
    FD_SET(source.handle, &wanted_);
    if (end_ <= source.handle) end_ = source.handle + 1;
    return *(sources_[source.handle] = new Source(source));
  }

  void run() {
    running_ = true;
    while (running_) {
      fd_set found = wanted_;
      int left = select(end_, &found, nullptr, nullptr, nullptr);
      for (int i = 0; left > 0; ++i) {
        if (!FD_ISSET(i, &found)) continue;
        --left;
        sources_[i]->on_ready(*this, true, false);
      }
    }
  }
  void stop() { running_ = false; }

 private:
  bool running_ = false;
  int end_ = 0;
  fd_set wanted_ = {};
  Source* sources_[FD_SETSIZE] = {};
};

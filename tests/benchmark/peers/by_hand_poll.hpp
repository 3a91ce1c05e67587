// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <poll.h>

#include <cstddef>
#include <vector>

// The loop that a careful programmer writes on poll(2): a dense array, gone through until all that is ready
// has been seen.
template <class Source>
class by_hand_poll {
 public:
  Source& add(Source source) {
    sources_.push_back(new Source(source));
    watched_.push_back({source.handle, POLLIN, 0});
    return *sources_.back();
  }

  void run() {
    running_ = true;
    while (running_) {
      int left = poll(watched_.data(), watched_.size(), -1);
      for (std::size_t i = 0; left > 0; ++i) {
        const int found = watched_[i].revents;
        if (found == 0) continue;
        --left;
        sources_[i]->on_ready(*this, (found & ~POLLOUT) != 0, (found & POLLOUT) != 0);
      }
    }
  }
  void stop() { running_ = false; }

 private:
  bool running_ = false;
  std::vector<pollfd> watched_;
  std::vector<Source*> sources_;
};

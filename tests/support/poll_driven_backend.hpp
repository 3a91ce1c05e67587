// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/backend/poll.hpp>
#include <selectors/os/posix.hpp>
#include <selectors/testing.hpp>

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <string_view>
#include <vector>

namespace support {

// The scripted backend of testing.hpp with poll(2) as the author of its script, so that the conformance
// suite, which uses real descriptors, can run on it. Timeouts are rounded to milliseconds, as on systems
// without ppoll(2). There is no edge triggering, because poll(2) does not report changes.
class poll_driven_backend : public selectors::testing::scripted_backend {
 public:
  static constexpr std::string_view name = "poll_driven";

  static constexpr bool supports(selectors::trigger mode, bool exclusive) noexcept {
    return mode != selectors::trigger::edge && !exclusive;
  }
  static bool is_open(int handle) noexcept { return selectors::detail::is_open_descriptor(handle); }

  selectors::failure reserve(std::size_t count, std::size_t used,
                             selectors::native_handle_type handle) noexcept {
    return asked_.reserve(count, 0) ? scripted_backend::reserve(count, used, handle)
                                    : selectors::failure::memory();
  }

  int wait(std::chrono::nanoseconds timeout) noexcept {
    std::size_t count = 0;
    for_each_watched([&](const selectors::registration& r) {
      asked_[count++] = {r.handle, to_poll(r.interest.events), 0};
    });
    const auto size = static_cast<nfds_t>(count);
    if (selectors::detail::poll_by_milliseconds(asked_.data(), size, timeout) < 0) return -1;
    for (std::size_t i = 0; i != count; ++i) {
      const int bits = asked_[i].revents;
      if ((bits & POLLNVAL) != 0)
        set_closed(asked_[i].fd);
      else
        set_ready(asked_[i].fd, from_poll(bits));
    }
    return scripted_backend::wait(std::chrono::nanoseconds::zero());
  }

 private:
#if defined(POLLRDHUP)
  static constexpr int read_hangup = POLLRDHUP;
#else
  static constexpr int read_hangup = 0;
#endif

  static short to_poll(selectors::event_mask events) noexcept {
    int bits = 0;
    if (events.contains(selectors::event::read)) bits |= POLLIN | read_hangup;
    if (events.contains(selectors::event::read_hangup)) bits |= read_hangup;
    if (events.contains(selectors::event::write)) bits |= POLLOUT;
    if (events.contains(selectors::event::priority)) bits |= POLLPRI;
    return static_cast<short>(bits);
  }
  static selectors::event_mask from_poll(int bits) noexcept {
    selectors::event_mask events;
    if ((bits & POLLIN) != 0) events |= selectors::event::read;
    if ((bits & POLLOUT) != 0) events |= selectors::event::write;
    if ((bits & POLLPRI) != 0) events |= selectors::event::priority;
    if ((bits & POLLERR) != 0) events |= selectors::event::error;
    if ((bits & POLLHUP) != 0) events |= selectors::event::hangup;
    if ((bits & read_hangup) != 0) events |= selectors::event::read_hangup;
    return events;
  }

  selectors::detail::buffer<pollfd> asked_;
};

static_assert(selectors::selector_backend<poll_driven_backend>);

}  // namespace support

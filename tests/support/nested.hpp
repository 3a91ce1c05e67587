// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "descriptors.hpp"
#include "expect.hpp"

#include <selectors/selectors.hpp>

#include <poll.h>

#include <string>
#include <tuple>
#include <utility>

#if SELECTORS_HAS_EPOLL

#include <sys/epoll.h>

// Other programs' loops, which watch the native handle of a selector, and leaks to heal from.
namespace support {

// What is nested: a selector with a kernel object of its own. Over the double of kqueue(2) that is a queue.
#if defined(SELECTORS_TESTED_BACKEND)
using nested_backend = selectors::SELECTORS_TESTED_BACKEND;
#else
using nested_backend = selectors::epoll_backend;
#endif
template <class Data = void>
using nested_selector = selectors::selector<Data, nested_backend>;
// Whether whoever watches it is woken for what the selector reports of its own accord.
template <class Backend>
constexpr bool has_front_v = requires(Backend backend) { backend.signal(true); };
constexpr bool has_front = has_front_v<nested_backend>;

// poll(2), as GLib and Qt have it.
class outer_poll {
 public:
  static std::string test_name() { return "poll(2)"; }
  explicit outer_poll(int inner) : inner_(inner) {}
  bool hears() const {
    pollfd asked{inner_, POLLIN, 0};
    return checked(::poll(&asked, 1, 0), "poll") == 1;
  }
  bool hears_again() const { return hears(); }

 private:
  int inner_;
};

// An epoll object, level- or edge-triggered, whose other keys are always quiet.
template <unsigned Trigger>
class outer_epoll {
 public:
  static std::string test_name() { return Trigger == 0 ? "level" : "edge"; }
  explicit outer_epoll(int inner) : epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    epoll_event watched{};
    watched.events = EPOLLIN | Trigger;
    checked(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, inner, &watched), "epoll_ctl");
  }
  bool hears() const {
    epoll_event found;
    return checked(::epoll_wait(epoll_.get(), &found, 1, 0), "epoll_wait") == 1;
  }
  // An edge is reported for a change; a loop that goes on does not need another.
  bool hears_again() {
    if (Trigger == 0) return hears();
    const bool hears_first = std::exchange(has_heard_, true) || hears();
    return hears_first;
  }

 private:
  descriptor epoll_;
  bool has_heard_ = false;
};

// Another selector.
class outer_selector {
 public:
  static std::string test_name() { return "selector"; }
  explicit outer_selector(int inner) { outer_.register_(inner, selectors::event::read); }
  bool hears() { return !ready(outer_, std::chrono::seconds(0)).empty(); }
  bool hears_again() { return hears(); }

 private:
  nested_selector<> outer_;
};

using outer_loops = std::tuple<outer_poll, outer_epoll<0>, outer_epoll<EPOLLET>, outer_selector>;

// What keeps the file of a leaked registration open.
struct leaked {
  pipe_ends pipe;
  descriptor duplicate;
};

// A registration that is ready, whose descriptor was closed first.
template <class Selector>
leaked leak(Selector& sel) {
  leaked made{make_pipe(), {}};
  made.duplicate = dup_number_above(made.pipe.reader.get(), 500);
  const int number = made.pipe.reader.get();
  sel.register_(number, selectors::event::read);
  made.pipe.reader.close();
  sel.unregister(number);
  write_byte(made.pipe.writer);
  return made;
}

}  // namespace support

#endif

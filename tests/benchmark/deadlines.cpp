// SPDX-License-Identifier: BSL-1.0

// Connections with an idle timeout: `deadlines WHO EVENTS`. Ten bytes go round in a ring of 1,000 socket
// pairs; whoever passes one on has its deadline moved to a minute from now, and each wait is limited by the
// next deadline of all. A round prints the nanoseconds of an event. By hand that is epoll_pwait2(2), and a
// list in the order of the deadlines, which is all it takes where every timeout is the same.

#include "interposed.hpp"
#include "rounds.hpp"

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#if SELECTORS_PEER_ASIO
#include <asio.hpp>
#endif
#if SELECTORS_PEER_LIBEV
#include <ev.h>
#endif
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <list>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

constexpr std::size_t pair_count = 1000;
constexpr std::size_t active = 10;

struct hop {
  int handle;
  int next;

  void pass_on() const {
    char byte;
    if (read(handle, &byte, 1) != 1 || write(next, &byte, 1) != 1) std::abort();
  }
};

std::vector<hop> make_ring() {
  std::vector<std::array<int, 2>> pairs(pair_count);
  for (auto& pair : pairs)
    checked(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.data()), "socketpair");
  std::vector<hop> ring;
  for (std::size_t i = 0; i != pair_count; ++i) ring.push_back({pairs[i][0], pairs[(i + 1) % pair_count][1]});
  for (std::size_t i = 0; i != active; ++i)
    if (write(pairs[i * pair_count / active][1], "!", 1) != 1) give_up("write");
  return ring;
}

// Each of these plays `left` events.

class by_hand {
 public:
  explicit by_hand(const std::vector<hop>& ring) {
    for (const hop& one : ring) {
      connections_.push_back({one, steady::now() + 1min});
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &connections_.back();
      checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, one.handle, &event), "epoll_ctl");
    }
    for (auto one = connections_.begin(); one != connections_.end(); ++one) one->self = one;
  }
  void run(long left) {
    auto now = steady::now();
    while (left > 0) {
      const auto wait = std::chrono::nanoseconds(connections_.front().due - now).count();
      const timespec time{wait / 1'000'000'000, wait % 1'000'000'000};
      const long count = syscall(SYS_epoll_pwait2, epoll_, events_, 1024, &time, nullptr, 0);
      now = steady::now();
      for (long i = 0; i < count; ++i) {
        auto& one = *static_cast<connection*>(events_[i].data.ptr);
        one.pass_on();
        one.due = now + 1min;
        connections_.splice(connections_.end(), connections_, one.self);
        --left;
      }
      if (connections_.front().due <= now) give_up("a connection that is idle");
    }
  }

 private:
  struct connection : hop {
    connection(const hop& one, steady::time_point at) : hop(one), due(at) {}
    steady::time_point due;
    std::list<connection>::iterator self;
  };

  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::list<connection> connections_;  // in the order in which they are due
  epoll_event events_[1024];
};

class by_selectors {
 public:
  explicit by_selectors(const std::vector<hop>& ring) {
    for (const hop& one : ring)
      sel_.register_(one.handle, selectors::event::read, connection{one, &timers_.add(1min)});
  }
  void run(long left) {
    while (left > 0) {
      auto ready = sel_.select_until(timers_.next());
      const auto now = steady::now();
      for (auto [key, events] : ready) {
        key.data().pass_on();
        timers_.move(*key.data().deadline, now + 1min);
        --left;
      }
      for ([[maybe_unused]] auto& timer : timers_.expired(now)) give_up("a connection that is idle");
    }
  }

 private:
  using timers = selectors::timer_queue<>;
  struct connection : hop {
    connection(const hop& one, timers::timer_type* at) : hop(one), deadline(at) {}
    timers::timer_type* deadline;
  };

  timers timers_;
  selectors::epoll_selector<connection> sel_;
};

#if SELECTORS_PEER_LIBEV
class by_libev {
 public:
  explicit by_libev(const std::vector<hop>& ring) : connections_(ring.size()) {
    for (std::size_t i = 0; i != ring.size(); ++i) {
      connection& one = connections_[i];
      one.way = ring[i];
      one.owner = this;
      ev_io_init(&one.io, on_event, ring[i].handle, EV_READ);
      one.io.data = &one;
      ev_io_start(loop_, &one.io);
      ev_init(&one.idle, [](struct ev_loop*, ev_timer*, int) { give_up("a connection that is idle"); });
      one.idle.repeat = 60.;
      ev_timer_again(loop_, &one.idle);
    }
  }
  void run(long left) {
    left_ = left;
    ev_run(loop_, 0);
  }

 private:
  struct connection {
    hop way;
    by_libev* owner;
    ev_io io;
    ev_timer idle;
  };

  static void on_event(struct ev_loop* loop, ev_io* io, int) {
    auto& one = *static_cast<connection*>(io->data);
    one.way.pass_on();
    ev_timer_again(loop, &one.idle);
    if (--one.owner->left_ == 0) ev_break(loop, EVBREAK_ONE);
  }

  struct ev_loop* loop_ = ev_loop_new(unsigned{EVBACKEND_EPOLL} | unsigned{EVFLAG_NOENV});
  std::vector<connection> connections_;
  long left_ = 0;
};
#endif

#if SELECTORS_PEER_ASIO
class by_asio {
 public:
  explicit by_asio(const std::vector<hop>& ring) {
    connections_.reserve(ring.size());
    for (const hop& one : ring) {
      connections_.push_back(
          {one, asio::posix::stream_descriptor(context_, one.handle), asio::steady_timer(context_)});
      move(connections_.back());
      wait(connections_.back());
    }
  }
  void run(long left) {
    left_ = left;
    context_.restart();
    context_.run();
  }

 private:
  struct connection {
    hop way;
    asio::posix::stream_descriptor descriptor;
    asio::steady_timer idle;
  };

  static void move(connection& one) {
    one.idle.expires_after(1min);
    one.idle.async_wait([](asio::error_code error) {
      if (!error) give_up("a connection that is idle");
    });
  }
  void wait(connection& one) {
    one.descriptor.async_wait(asio::posix::stream_descriptor::wait_read, [this, &one](asio::error_code) {
      one.way.pass_on();
      move(one);
      if (--left_ == 0) context_.stop();
      wait(one);
    });
  }

  asio::io_context context_{ASIO_CONCURRENCY_HINT_UNSAFE};
  std::vector<connection> connections_;
  long left_ = 0;
};
#endif

template <class Side>
int run(long events) {
  static Side side(make_ring());
  const int result = take_turns([events] {
    const double start = processor_time();
    side.run(events);
    return std::array{(processor_time() - start) / static_cast<double>(events)};
  });
  std::_Exit(result);  // what a peer does at its end is no part of this
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view who = argc == 3 ? argv[1] : "";
  const long events = argc == 3 ? std::atol(argv[2]) : 0;
  if (who == "by_hand") return run<by_hand>(events);
  if (who == "selectors") return run<by_selectors>(events);
#if SELECTORS_PEER_LIBEV
  if (who == "libev") return run<by_libev>(events);
#endif
#if SELECTORS_PEER_ASIO
  if (who == "asio") return run<by_asio>(events);
#endif
  return std::fputs("usage: deadlines by_hand|selectors|libev|asio EVENTS\n", stderr), 2;
}

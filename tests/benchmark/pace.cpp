// SPDX-License-Identifier: BSL-1.0

// Clients of an echo server that come at a pace of their own: `pace PORT CONNECTIONS RATE MILLISECONDS`. Each
// of RATE requests a second is due at a time that was fixed beforehand, on the next of the connections,
// whether the ones before it were answered or not; and its trip is counted from when it was due, so that a
// server that stalls is not spared what would have come meanwhile. A round prints the trips in nanoseconds,
// median, 99th and 99.9th percentile; then by how much the client itself was late to send, 99.9th percentile:
// it should be small beside the trips, or the client is what was measured. It never sleeps, so it wants a
// processor.

#include "net.hpp"
#include "rounds.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;
using time_point = clock_type::time_point;

constexpr std::size_t request_size = 64;

struct client {
  int handle = -1;
  std::size_t received = 0;
  std::deque<time_point> due = {};  // of the requests that are not answered yet
};

double nanoseconds(clock_type::duration time) {
  return std::chrono::duration<double, std::nano>(time).count();
}

double percentile(std::vector<double>& of, double part) {
  const auto place = of.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(of.size() - 1));
  std::nth_element(of.begin(), place, of.end());
  return *place;
}

class pacer {
 public:
  pacer(unsigned short port, std::size_t connections, std::size_t rate)
      : clients_(connections), events_(connections), gap_(std::chrono::nanoseconds(1'000'000'000 / rate)) {
    for (client& one : clients_) {
      one.handle = net::connect_to(port);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &one;
      checked(epoll_ctl(epoll_, EPOLL_CTL_ADD, one.handle, &event), "epoll_ctl");
    }
  }

  std::array<double, 4> play(std::chrono::milliseconds time) {
    trips_.clear();
    late_.clear();
    auto due = clock_type::now();
    const auto end = due + time;
    std::size_t next = 0;
    for (std::size_t unanswered = 0; due < end || unanswered != 0;) {
      for (auto now = clock_type::now(); due <= now && due < end; due += gap_, now = clock_type::now()) {
        send(clients_[next++ % clients_.size()], due, now);
        ++unanswered;
      }
      unanswered -= receive_some();
      if (clock_type::now() > end + std::chrono::seconds(10)) give_up("a server that does not answer");
    }
    return {percentile(trips_, 0.5), percentile(trips_, 0.99), percentile(trips_, 0.999),
            percentile(late_, 0.999)};
  }

 private:
  void send(client& one, time_point due, time_point now) {
    static constexpr char bytes[request_size] = {};
    if (write(one.handle, bytes, request_size) != request_size) give_up("write");
    late_.push_back(nanoseconds(now - due));
    one.due.push_back(due);
  }

  // Returns how many requests are answered now.
  std::size_t receive_some() {
    const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), 0);
    std::size_t answered = 0;
    for (int i = 0; i < count; ++i) {
      client& one = *static_cast<client*>(events_[static_cast<std::size_t>(i)].data.ptr);
      char bytes[16 * request_size];
      const auto size = read(one.handle, bytes, sizeof bytes);
      if (size <= 0) give_up("read");
      const auto now = clock_type::now();
      for (one.received += static_cast<std::size_t>(size); one.received >= request_size;
           one.received -= request_size, ++answered) {
        trips_.push_back(nanoseconds(now - one.due.front()));
        one.due.pop_front();
      }
    }
    return answered;
  }

  int epoll_ = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::vector<client> clients_;
  std::vector<epoll_event> events_;
  clock_type::duration gap_;
  std::vector<double> trips_, late_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fputs("usage: pace PORT CONNECTIONS RATE MILLISECONDS\n", stderr), 2;
  const auto number = [argv](int i) { return static_cast<std::size_t>(std::atol(argv[i])); };
  pacer clients(static_cast<unsigned short>(number(1)), number(2), number(3));
  return take_turns([&] { return clients.play(std::chrono::milliseconds(number(4))); });
}

// SPDX-License-Identifier: BSL-1.0

// Clients of an echo server: `load PORT CONNECTIONS MILLISECONDS`. Each sends 64 bytes, waits for them to
// come back, and sends again. A round connects them all, lets them settle, and prints the nanoseconds for
// each request and the round trips in nanoseconds: median, 99 in 100, 999 in 1,000. Last, how many requests
// there were, those of settling too.

#include "net.hpp"
#include "rounds.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct client {
  int handle;
  clock_type::time_point sent;
  std::size_t received = 0;

  static constexpr std::size_t size = 64;

  void send() {
    static constexpr char bytes[size] = {};
    sent = clock_type::now();
    if (write(handle, bytes, size) != size) give_up("write");
  }
  bool receive() {
    char bytes[size];
    const auto count = read(handle, bytes, size - received);
    if (count <= 0) give_up("read");
    received += static_cast<std::size_t>(count);
    return received == size;
  }
};

// Lets them talk for that long; the round trips that ended in it, shortest first.
std::vector<double> talk(std::vector<client>& clients, int epoll, std::chrono::milliseconds time) {
  std::vector<double> trips;
  std::vector<epoll_event> events(clients.size());
  const auto end = clock_type::now() + time;
  for (auto now = clock_type::now(); now < end;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 10'000);
    if (count <= 0) give_up("a server that does not answer");
    for (int i = 0; i != count; ++i) {
      client& one = *static_cast<client*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (!one.receive()) continue;
      now = clock_type::now();
      trips.push_back(std::chrono::duration<double, std::nano>(now - one.sent).count());
      one.received = 0;
      one.send();
    }
  }
  std::sort(trips.begin(), trips.end());
  return trips;
}

std::array<double, 5> play(unsigned short port, std::size_t count, std::chrono::milliseconds time) {
  const int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  std::vector<client> clients(count);
  for (client& one : clients) {
    one.handle = net::connect_to(port);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &one;
    checked(epoll_ctl(epoll, EPOLL_CTL_ADD, one.handle, &event), "epoll_ctl");
  }
  for (client& one : clients) one.send();
  const auto settling = talk(clients, epoll, time / 4).size();
  const auto trips = talk(clients, epoll, time);
  for (client& one : clients) net::reset(one.handle);
  close(epoll);
  if (trips.empty()) give_up("a server that is too slow");
  const auto count_of = [](std::size_t trips) { return static_cast<double>(trips); };
  const auto at = [&](double part) { return trips[static_cast<std::size_t>(part * count_of(trips.size()))]; };
  return {static_cast<double>(time.count()) * 1e6 / count_of(trips.size()), at(0.5), at(0.99), at(0.999),
          count_of(settling + trips.size())};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: load PORT CONNECTIONS MILLISECONDS\n", stderr), 2;
  return take_turns([argv] {
    return play(static_cast<unsigned short>(std::atoi(argv[1])), static_cast<std::size_t>(std::atol(argv[2])),
                std::chrono::milliseconds(std::atol(argv[3])));
  });
}

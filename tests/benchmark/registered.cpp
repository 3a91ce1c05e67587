// SPDX-License-Identifier: BSL-1.0

// What a wait costs as more sockets are registered of which one is ready: `registered BACKEND [MOST]`
// connects up to MOST pairs, registers an end of each, and prints the time of a round (a byte is sent, waited
// for and read) at 10 of them, 100, and so on, in microseconds and as a multiple of the first. It stops where
// the system gives no more sockets. For Windows.

#include "../support/descriptors.hpp"

#include <selectors/backend/afd.hpp>
#include <selectors/selectors.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

using selectors::event;
using clock_type = std::chrono::steady_clock;

double microseconds_since(clock_type::time_point start) {
  return std::chrono::duration<double, std::micro>(clock_type::now() - start).count();
}

// One listener for all of them.
class pairs {
 public:
  bool make_one() {
    try {
      support::descriptor client = listener_.connect();
      support::descriptor accepted = listener_.accept();
      support::set_option(client, IPPROTO_TCP, TCP_NODELAY, BOOL(TRUE));
      all_.push_back({std::move(client), std::move(accepted)});
    } catch (const std::system_error& error) {
      std::printf("no more than %zu pairs: %s\n", all_.size(), error.what());
      return false;
    }
    return true;
  }
  std::vector<support::socket_pair>& all() { return all_; }

 private:
  support::listener listener_;
  std::vector<support::socket_pair> all_;
};

template <class Backend>
double time_of_a_round(selectors::selector<void, Backend>& sel, const support::socket_pair& active) {
  constexpr int rounds = 50;
  std::vector<double> times;
  for (int i = 0; i != rounds; ++i) {
    const auto start = clock_type::now();
    support::write_byte(active.first);
    std::size_t found = 0;
    for (auto [key, events] : sel.select()) {
      if (key.handle() == active.second.get()) support::read_byte(active.second);
      ++found;
    }
    times.push_back(microseconds_since(start));
    if (found != 1) std::abort();
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

template <class Backend>
int measure(std::size_t most) {
  selectors::selector<void, Backend> sel;
  pairs sockets;
  double first = 0;
  double registering = 0;
  bool is_last = false;
  std::printf("%-8s %10s %12s %8s %14s\n", "backend", "registered", "us a round", "ratio", "us to register");
  for (std::size_t count = 10; !is_last; count *= 10) {
    is_last = count >= most;
    const std::size_t goal = is_last ? most : count;
    const std::size_t before = sel.size();
    while (sel.size() != goal) {
      if (!sockets.make_one()) {
        is_last = true;
        break;
      }
      const auto start = clock_type::now();
      sel.register_(sockets.all().back().second.get(), event::read);
      registering += microseconds_since(start);
    }
    if (sel.size() == before) break;
    const auto start = clock_type::now();
    if (!sel.select(std::chrono::seconds(0)).empty()) std::abort();
    registering += microseconds_since(start);  // what is new is started by the next wait
    const double time = time_of_a_round(sel, sockets.all()[sel.size() / 2]);
    if (first == 0) first = time;
    std::printf("%-8.8s %10zu %12.1f %8.2f %14.1f\n", Backend::name.data(), sel.size(), time, time / first,
                registering / static_cast<double>(sel.size() - before));
    registering = 0;
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view which = count > 1 ? arguments[1] : "afd";
  const std::size_t most = count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 10000;
  if (which == "afd") return measure<selectors::afd_backend>(most);
  if (which == "select") return measure<selectors::select_backend>(most);
  if (which == "poll") return measure<selectors::poll_backend>(most);
  return 2;
}

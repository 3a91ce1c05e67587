// SPDX-License-Identifier: BSL-1.0

// Random steps, after which each backend is asked what select_backend is: they have the same keys, and tell
// the same.

#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/selectors.hpp>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

struct watched {
  socket_pair pair = make_tcp_pair();
  bool is_registered = false;
  bool is_oneshot = false;
};

template <class Backend>
class twins {
 public:
  explicit twins(unsigned seed) : random_(seed) {
    for (int i = 0; i != 12; ++i) sockets_.emplace_back();
  }

  void step() {
    watched& one = sockets_[below(sockets_.size())];
    switch (below(10)) {
      case 0:
      case 1: return register_(one);
      case 2:
      case 3: return modify(one);
      case 4: return unregister(one);
      case 5: return write(one.pair.second);
      case 6: return write(one.pair.first);
      case 7: return drain_some(one);
      case 8: return below(4) == 0 ? lose(one) : write(one.pair.second);
      default: return compare();
    }
  }

  std::size_t told() const { return told_; }

 private:
  std::size_t below(std::size_t limit) { return random_() % limit; }

  template <class Call>
  void with_random_interest(watched& one, Call call) {
    static constexpr event_mask all[] = {event_mask(), event::read, event::write, event::read | event::write,
                                         event::read | event::priority};
    const event_mask asked = all[below(std::size(all))];
    one.is_oneshot = below(3) == 0;
    if (one.is_oneshot)
      call(oneshot(asked));
    else
      call(asked);
  }
  void register_(watched& one) {
    if (one.is_registered) return;
    one.is_registered = true;
    with_random_interest(one, [&](auto what) {
      truth_.register_(one.pair.first, what);
      tried_.register_(one.pair.first, what);
    });
  }
  void modify(watched& one) {
    if (!one.is_registered) return;
    with_random_interest(one, [&](auto what) {
      truth_.modify(one.pair.first, what);
      tried_.modify(one.pair.first, what);
    });
  }
  void unregister(watched& one) {
    if (!one.is_registered) return;
    one.is_registered = false;
    truth_.unregister(one.pair.first);
    tried_.unregister(one.pair.first);
  }
  static void write(const descriptor& to) {
    const char byte = 'x';
    (void)::send(to.get(), &byte, 1, 0);
  }
  static void drain_some(watched& one) {
    char bytes[16];
    (void)::recv(one.pair.first.get(), bytes, sizeof bytes, 0);
  }

  // The peer ends its side, or breaks off, or the socket itself is closed: after it was unregistered, or
  // before. Then a new pair takes its place.
  void lose(watched& one) {
    switch (below(4)) {
      case 0: ::shutdown(one.pair.second.get(), SD_SEND); return;
      case 1: one.pair.second.close(); return;
      case 2: unregister(one); break;
      default: {
        if (!one.is_registered) break;
        const SOCKET gone = one.pair.first.release();
        ::closesocket(gone);
        truth_.unregister(gone);
        tried_.unregister(gone);
        one.is_registered = false;
      }
    }
    one.pair = make_tcp_pair();
  }

  // A failure is readiness to select, and to others an error, which raises `priority` as well.
  template <class Selector>
  static void add_told(Selector& sel, readiness& told) {
    for (auto [key, events] : sel.select(0s)) told[key.handle()] = events & (event::read | event::write);
  }

  // What TCP passes on may take a moment to arrive.
  void compare() {
    readiness truth, tried;
    const auto start = std::chrono::steady_clock::now();
    do {
      add_told(truth_, truth);
      add_told(tried_, tried);
      told_ += truth.size();
      if (truth == tried) return;
      ::Sleep(1);
    } while (std::chrono::steady_clock::now() - start < 2s);
    INFO("select " << text_of(truth) << ", " << Backend::name << ' ' << text_of(tried));
    CHECK(truth == tried);
  }

  std::size_t told_ = 0;
  std::mt19937 random_;
  std::vector<watched> sockets_;
  selector<void, select_backend> truth_;
  selector<void, Backend> tried_;
};

unsigned long from_environment(const char* name, unsigned long otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoul(text, nullptr, 10) : otherwise;
}

}  // namespace

// SELECTORS_SEEDS and SELECTORS_SECONDS make it longer.
BACKEND_TEST_CASE("random steps are told as select tells them", "[random]", backends) {
  const unsigned long seeds = from_environment("SELECTORS_SEEDS", 60);
  const auto time = std::chrono::seconds(from_environment("SELECTORS_SECONDS", 8));
  const auto start = std::chrono::steady_clock::now();
  for (unsigned seed = 1; seed <= seeds && std::chrono::steady_clock::now() - start < time; ++seed) {
    twins<TestType> both(seed);
    for (int step = 0; step != 500; ++step) {
      INFO("seed " << seed << ", step " << step);
      both.step();
    }
    CHECK(both.told() != 0);
  }
}

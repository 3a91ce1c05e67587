// SPDX-License-Identifier: BSL-1.0

// Descriptors closed, duplicated and replaced behind the selector's back, at random: whatever happens, a loop
// reports registered keys only, each once, with what they asked for; and when all is unregistered nothing
// spins.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// Knows its key, and is found out when it is used after its end.
struct identity {
  explicit identity(native_handle_type number) : handle(number) {}
  identity(identity&& other) noexcept : handle(other.handle) {}
  ~identity() { handle = detail::invalid_handle; }
  native_handle_type handle;
};

template <class Backend>
class chaos {
 public:
  explicit chaos(unsigned seed) : random_(seed) {
    while (sources_.size() != 6) {
      sources_.push_back(make_socket_pair());
      write_byte(sources_.back().second);
    }
    for (int i = 0; i != 10; ++i) numbers_.push_back(dup_above(sources_[0].first, 300 + 3 * i).release());
  }
  ~chaos() {
    for (const auto number : numbers_) close_number(number);
  }

  void step() {
    const auto number = numbers_[below(numbers_.size())];
    std::error_code error;
    switch (below(12)) {
      case 0: close_number(number); break;
      case 1: dup_onto(sources_[below(sources_.size())].first, number).release(); break;
      case 2: keep_duplicate(number); break;
      case 3:
        if (!duplicates_.empty()) dup_onto(duplicates_[below(duplicates_.size())], number).release();
        break;
      case 4:
        if (duplicates_.size() > 8) duplicates_.erase(duplicates_.begin());
        break;
      case 5:
      case 6: register_(number); break;
      case 7: modify(number); break;
      case 8: sel_.unregister(number, error); break;
      case 9:
        if (below(30) == 0) sel_.reopen();
        break;
      default: select();
    }
  }

  // Nothing is registered any more, and nothing of it is left to wake anybody.
  void end() {
    for (auto& key : sel_) sel_.unregister(key);
    expect_idle_for(sel_, 2ms);
    expect_idle_for(sel_, 2ms);
  }

 private:
  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  template <class Call>
  void with_random_interest(Call call) {
    static constexpr event_mask all[] = {event_mask(), event::read, event::write, event::read | event::write};
    const event_mask asked = all[below(4)];
    if constexpr (supports<Backend, trigger::edge, true>) {
      if (below(6) == 0) return call(edge(asked));
      if (below(6) == 0) return call(exclusive(asked));
      if (below(6) == 0) return call(exclusive(edge(asked)));
    }
    if (below(3) == 0) return call(oneshot(asked));
    call(asked);
  }

  void keep_duplicate(native_handle_type number) {
    std::vector<descriptor> others;  // on numbers of those that come and go
    while (is_open(number)) {
      descriptor one = dup_number_above(number, 400);
      if (std::find(numbers_.begin(), numbers_.end(), one.get()) != numbers_.end()) {
        others.push_back(std::move(one));
        continue;
      }
      duplicates_.push_back(std::move(one));
      return;
    }
  }
  void register_(native_handle_type number) {
    std::error_code error;
    with_random_interest([&](auto what) { sel_.register_(number, what, identity(number), error); });
  }
  void modify(native_handle_type number) {
    std::error_code error;
    with_random_interest([&](auto what) { sel_.modify(number, what, error); });
  }

  void select() {
    std::set<native_handle_type> told;
    const bool leaves = below(3) == 0;
    for (auto [key, events] : sel_.select(0s)) {
      REQUIRE(told.insert(key.handle()).second);
      REQUIRE(sel_.find(key.handle()) == &key);
      REQUIRE(key.data().handle == key.handle());
      REQUIRE_FALSE(events.empty());
      REQUIRE_FALSE(key.events().empty());
      REQUIRE(((events & requestable) - key.events()).empty());
      if (leaves && below(2) == 0) return;
      const auto other = numbers_[below(numbers_.size())];
      std::error_code error;
      if (below(4) == 0) sel_.unregister(other, error);
      if (below(4) == 0) register_(other);
      if (below(4) == 0) modify(other);
      if (below(8) == 0) close_number(other);
    }
  }

  std::mt19937 random_;
  std::vector<socket_pair> sources_;
  std::vector<native_handle_type> numbers_;  // of descriptors that come and go
  std::vector<descriptor> duplicates_;
  selector<identity, Backend> sel_;
};

}  // namespace

BACKEND_TEST_CASE("whatever becomes of descriptors, nothing stale is told and nothing spins", "[chaos]",
                  backends) {
  for (unsigned seed = 1; seed != 41; ++seed) {
    INFO("seed " << seed);
    chaos<TestType> all(seed);
    for (int step = 0; step != 400; ++step) {
      INFO("step " << step);
      all.step();
    }
    all.end();
  }
}

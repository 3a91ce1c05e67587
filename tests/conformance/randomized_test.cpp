// SPDX-License-Identifier: BSL-1.0

// Thousands of random steps beside a model that knows what must be reported.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <map>
#include <random>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

struct expected_key {
  event_mask asked;
  trigger mode = trigger::level;
  bool armed = false;
  // What the key was found ready for by a loop that did not reach it. If the key is oneshot by then, the next
  // loop may report that, too, though it is so no longer.
  event_mask remembered;
};

// A socket of which is known what it is ready for.
struct watched {
  socket_pair pair = make_socket_pair();
  bool readable = false;
  bool writable = true;

  event_mask ready() const {
    event_mask events;
    if (readable) events |= event::read;
    if (writable) events |= event::write;
    return events;
  }
};

template <class Backend>
class machine {
 public:
  explicit machine(unsigned seed) : random_(seed), sockets_(12) {}

  void step() {
    watched& one = sockets_[below(sockets_.size())];
    switch (below(10)) {
      case 0: toggle_readable(one); break;
      case 1: toggle_writable(one); break;
      case 2: register_(one); break;
      case 3: modify(one); break;
      case 4: unregister(one); break;
      case 5:
        if (below(20) == 0) sel_.reopen();
        break;
      default: select();
    }
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  static void toggle_readable(watched& one) {
    if (one.readable)
      drain(one.pair.first);
    else
      write_byte(one.pair.second);
    one.readable = !one.readable;
  }
  // A full socket of TCP, which is what Windows has, does not stay so: of that the model would have to know.
  static void toggle_writable(watched& one) {
    if (SELECTORS_HAS_WINSOCK) return;
    if (one.writable)
      fill(one.pair.first);
    else
      drain(one.pair.second);
    one.writable = !one.writable;
  }

  event_mask random_events() {
    static constexpr event_mask all[] = {event_mask(), event::read, event::write, event::read | event::write};
    return all[below(4)];
  }
  template <class Call>
  void with_random_interest(watched& one, Call call) {
    const event_mask asked = random_events();
    const bool once = below(2) == 0;
    const auto handle = one.pair.first.get();
    const trigger mode = once ? trigger::oneshot : trigger::level;
    model_[handle] = {asked, mode, !asked.empty(), remembered(handle)};
    if (once)
      call(oneshot(asked));
    else
      call(asked);
  }

  void register_(watched& one) {
    const auto handle = one.pair.first.get();
    if (model_.count(handle) != 0) return;
    with_random_interest(one, [&](auto what) { sel_.register_(handle, what, handle); });
  }
  void modify(watched& one) {
    const auto handle = one.pair.first.get();
    if (model_.count(handle) == 0) return;
    with_random_interest(one, [&](auto what) { sel_.modify(handle, what); });
  }
  void unregister(watched& one) {
    if (model_.erase(one.pair.first.get()) != 0) sel_.unregister(one.pair.first);
  }

  // What a handle would report if it was reached now, having been found ready for `found`.
  event_mask expected(native_handle_type handle, event_mask found) const {
    const auto key = model_.find(handle);
    return key == model_.end() || !key->second.armed ? event_mask() : found & key->second.asked;
  }
  event_mask remembered(native_handle_type handle) const {
    const auto key = model_.find(handle);
    return key == model_.end() ? event_mask() : key->second.remembered;
  }
  void remember_unreached(const readiness& found, const readiness& told) {
    for (auto& [handle, key] : model_)
      if (const auto one = found.find(handle); one != found.end() && told.count(handle) == 0)
        key.remembered |= expected(handle, one->second);
  }

  void select() {
    readiness found;
    for (watched& one : sockets_) {
      const event_mask events = expected(one.pair.first.get(), one.ready());
      if (!events.empty()) found[one.pair.first.get()] = events;
    }
    const bool leaves = below(4) == 0;
    readiness told;
    for (auto [key, events] : sel_.select(0s)) {
      const auto handle = key.handle();
      REQUIRE(key.data() == handle);
      REQUIRE(told.emplace(handle, events).second);
      const event_mask now = expected(handle, found[handle]);
      const event_mask before = std::exchange(model_[handle].remembered, {});
      REQUIRE_FALSE(events.empty());
      REQUIRE((now | before).contains(events));
      if (before.empty()) REQUIRE(events == now);
      if (model_[handle].mode == trigger::oneshot) model_[handle].armed = false;
      if (leaves && below(3) == 0) return remember_unreached(found, told);
      if (below(3) != 0) continue;
      watched& other = sockets_[below(sockets_.size())];
      // Not what was found ready and not reached yet: of that the model would have to know when it was armed.
      const auto it = other.pair.first.get();
      const bool is_ready = found.count(it) != 0 || !remembered(it).empty();
      if (is_ready && told.count(it) == 0) {
        if (below(2) == 0) unregister(other);
        continue;
      }
      if (below(2) == 0)
        modify(other);
      else
        unregister(other);
    }
    for (const auto& [handle, events] : found)
      if (told.count(handle) == 0) REQUIRE(expected(handle, events).empty());
  }

  std::mt19937 random_;
  std::vector<watched> sockets_;
  std::map<native_handle_type, expected_key> model_;
  selector<native_handle_type, Backend> sel_;
};

}  // namespace

BACKEND_TEST_CASE("random steps report what a model of them expects", "[randomized]", backends) {
  for (unsigned seed = 1; seed != 21; ++seed) {
    INFO("seed " << seed);
    machine<TestType> all(seed);
    for (int step = 0; step != 500; ++step) {
      INFO("step " << step);
      all.step();
    }
  }
}

// SPDX-License-Identifier: BSL-1.0

// Data that uses the queue when it is made and when it is destroyed, that throws, and memory that runs out.

#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;
using namespace std::chrono_literals;
using clock_type = selectors::testing::clock;

namespace {

// Calls something when it is made, and something else when it is destroyed.
class acting {
 public:
  struct actions {
    std::function<void()> when_made;
    std::function<void()> when_destroyed;
  };

  acting(actions of) : actions_(std::move(of)) {
    if (actions_.when_made) actions_.when_made();
  }
  acting(const acting&) = delete;
  ~acting() {
    if (actions_.when_destroyed) actions_.when_destroyed();
  }

 private:
  actions actions_;
};

using acting_queue = timer_queue<acting, clock_type>;

template <class Queue>
std::size_t expire(Queue& queue, clock_type::time_point now = clock_type::now()) {
  std::size_t count = 0;
  for (auto& timer : queue.expired(now)) count += queue.find(timer.id()) == nullptr ? 1U : 0U;
  return count;
}

}  // namespace

TEST_CASE("a timer is seen when its data exists, and not before", "[timer_queue]") {
  acting_queue queue;
  acting_queue::id other;
  queue.add(1s, acting::actions{[&] {
                                  CHECK(queue.empty());
                                  CHECK(queue.begin() == queue.end());
                                  CHECK(queue.next() == clock_type::time_point::max());
                                  queue.clear();
                                  CHECK(queue.expired().empty());
                                  for (int i = 0; i != 100; ++i)
                                    other = queue.add(2s, acting::actions()).id();
                                  CHECK(queue.size() == 100);
                                  CHECK(queue.move(other, 3s));
                                },
                                {}});
  CHECK(queue.size() == 101);
  CHECK(queue.next() == clock_type::now() + 1s);
  CHECK(queue.cancel(other));
  CHECK(expire(queue, clock_type::now() + 10s) == 100);
}

TEST_CASE("a constructor that throws leaves all as it was", "[timer_queue]") {
  acting_queue queue;
  const acting::actions throws{[] { throw std::runtime_error("no"); }, {}};
  std::error_code error;
  CHECK_THROWS_AS(queue.add(1s, throws), std::runtime_error);
  CHECK_THROWS_AS(queue.add(1s, throws, error), std::runtime_error);
  CHECK(queue.empty());
  CHECK(queue.next() == clock_type::time_point::max());
  auto& timer = queue.add(1s, acting::actions());
  const auto due = timer.due();
  const auto allocated = live_allocations();
  for (int i = 0; i != 100; ++i) CHECK_THROWS_AS(queue.add(1s, throws), std::runtime_error);
  CHECK(live_allocations() == allocated);
  CHECK(queue.size() == 1);
  CHECK(queue.next() == due);
  CHECK(queue.find(timer.id()) == &timer);
}

TEST_CASE("a destructor may cancel what would be next, move, and add", "[timer_queue]") {
  acting_queue queue;
  acting_queue::id next;
  acting_queue::id later;
  int destroyed = 0;
  const auto count = [&] { ++destroyed; };
  queue.add(0s, acting::actions{{}, [&] {
                                  ++destroyed;
                                  CHECK(queue.cancel(next));
                                  CHECK(queue.move(later, -1s));
                                  queue.add(0s, acting::actions{{}, count});
                                }});
  next = queue.add(0s, acting::actions{{}, count}).id();
  later = queue.add(1h, acting::actions{{}, count}).id();
  CHECK(expire(queue) == 1);
  CHECK(destroyed == 2);
  CHECK(queue.size() == 2);
  CHECK(expire(queue) == 2);
  CHECK(destroyed == 4);
}

TEST_CASE("a destructor may start a loop, which ends that in which it runs", "[timer_queue]") {
  acting_queue queue;
  std::size_t inner = 0;
  queue.add(0s, acting::actions{{}, [&] { inner = expire(queue); }});
  for (int i = 0; i != 3; ++i) queue.add(0s, acting::actions());
  CHECK(expire(queue) == 1);
  CHECK(inner == 3);
}

TEST_CASE("a queue is destroyed though its data cancels and adds as it goes", "[timer_queue]") {
  int destroyed = 0;
  const auto live = live_allocations();
  {
    std::vector<acting_queue::id> ids;
    acting_queue queue;
    for (int i = 0; i != 10; ++i) {
      ids.push_back(queue
                        .add(0s, acting::actions{{},
                                                 [&] {
                                                   ++destroyed;
                                                   for (const auto id : ids) queue.cancel(id);
                                                   if (destroyed < 20)
                                                     queue.add(0s, acting::actions{{}, [&] { ++destroyed; }});
                                                 }})
                        .id());
    }
    for (auto& timer : queue.expired()) {
      queue.cancel(ids[5]);
      CHECK(queue.find(timer.id()) == nullptr);
      break;
    }
  }
  CHECK(destroyed == 20);
  CHECK(live_allocations() == live);
}

TEST_CASE("nothing is allocated once warm, and never by move, cancel and expired", "[timer_queue]") {
  timer_queue<std::uint64_t, clock_type> queue;
  std::vector<timer<std::uint64_t, clock_type>*> timers(1000);
  const auto round = [&] {
    for (std::size_t i = 0; i != timers.size(); ++i) timers[i] = &queue.add(i * 1ms, i);
    for (std::size_t i = 0; i < timers.size(); i += 2) queue.move(*timers[i], (2000 - i) * 1ms);
    for (std::size_t i = 0; i < timers.size(); i += 5) queue.cancel(*timers[i]);
    for (auto& timer : queue.expired(clock_type::now() + 500ms)) queue.move(timer, timer.data() % 3 * 1s);
    for (auto& timer : queue) queue.move(timer, 0s);
    CHECK(queue.next() == clock_type::now());
    queue.clear();
    CHECK(expire(queue) == 0);
  };
  round();
  const auto before = allocations();
  for (int i = 0; i != 10; ++i) round();
  CHECK(allocations() == before);
}

TEST_CASE("without memory a timer is not added, and all else goes on", "[timer_queue]") {
  std::size_t failures = 0;
  for (std::size_t budget = 0;; ++budget) {
    timer_queue<std::uint64_t, clock_type> queue;
    std::size_t added = 0;
    bool has_failed = false;
    {
      allocation_budget memory(budget);
      for (; added != 500 && !has_failed; ++added) {
        std::error_code error = errc::closed;
        auto* const timer = queue.add((500 - added) * 1ms, added, error);
        has_failed = timer == nullptr;
        if (has_failed) {
          memory.lift();
          CHECK(error == std::errc::not_enough_memory);
          CHECK(queue.size() == added);
          break;
        }
      }
    }
    if (!has_failed) break;
    ++failures;
    {
      const allocation_budget memory(0);
      bool thrown = false;
      try {
        for (int i = 0; i != 100; ++i) queue.add(1h, 0U);
      } catch (const std::system_error& error) {
        thrown = error.code() == std::errc::not_enough_memory;
      }
      if (!thrown) FAIL("memory did not run out");
    }
    CHECK(expire(queue, clock_type::now() + 1s) == added);
    for (int i = 0; i != 100; ++i) queue.add(1s, 1U);
    CHECK(expire(queue, clock_type::now() + 2h) >= 100);
  }
  CHECK(failures > 10);
}

TEST_CASE("data of any alignment and kind", "[timer_queue]") {
  struct alignas(64) wide {
    int value;
  };
  timer_queue<wide, clock_type> queue;
  for (int i = 0; i != 50; ++i)
    CHECK(reinterpret_cast<std::uintptr_t>(&queue.add(1s, wide{i}).data()) % 64 == 0);
  struct immovable {
    immovable() = default;
    immovable(const immovable&) = delete;
    int value = 7;
  };
  timer_queue<immovable, clock_type> in_place;
  CHECK(in_place.add(1s).data().value == 7);
  timer_queue<std::unique_ptr<int>, clock_type> movable;
  auto data = std::make_unique<int>(1);
  std::error_code error;
  CHECK(movable.add(std::chrono::duration<double>(std::nan("")), std::move(data), error) == nullptr);
  CHECK(data != nullptr);  // it is taken last
  auto& timer = movable.add(1s, std::move(data));
  CHECK(data == nullptr);
  data = std::move(movable.cancel(timer).data());
  CHECK(*data == 1);
}

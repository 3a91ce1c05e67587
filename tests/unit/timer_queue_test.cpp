// SPDX-License-Identifier: BSL-1.0

// Timers, one promise after the other.

#include "support/catch.hpp"

#include <selectors/selectors.hpp>
#include <selectors/testing.hpp>
#include <selectors/timer_queue.hpp>

#include <algorithm>
#include <iterator>
#include <memory>
#include <ranges>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace selectors;
using namespace std::chrono_literals;
using clock_type = selectors::testing::clock;
using time_point = clock_type::time_point;
using int_queue = timer_queue<int, clock_type>;

namespace {

// What one loop over `expired` reaches.
template <class Queue>
std::vector<int> expired(Queue& queue, time_point now = clock_type::now()) {
  std::vector<int> found;
  for (auto& timer : queue.expired(now)) found.push_back(timer.data());
  return found;
}

using ints = std::vector<int>;

struct connection;
struct connection {  // it can hold the id of a timer that holds it
  timer_queue<connection>::id deadline;
};

template <class Queue>
concept can_add_without_data = requires(Queue& queue) { queue.add(1s); };
template <class Queue, class When>
concept can_add_at = requires(Queue& queue, When when) { queue.add(when, 1); };
template <class Queue, class D>
concept can_add_data = requires(Queue& queue, D data) { queue.add(1s, std::forward<D>(data)); };

struct no_default {
  explicit no_default(int) {}
};

static_assert(can_add_without_data<timer_queue<>> && can_add_without_data<int_queue>);
static_assert(!can_add_without_data<timer_queue<no_default>>);
static_assert(can_add_data<timer_queue<no_default>, no_default>);
static_assert(!can_add_data<timer_queue<no_default>, int> && !can_add_data<timer_queue<>, int>);
static_assert(can_add_at<int_queue, time_point> && can_add_at<int_queue, std::chrono::duration<float>>);
static_assert(!can_add_at<int_queue, std::chrono::steady_clock::time_point> && !can_add_at<int_queue, int>);
static_assert(!std::is_copy_constructible_v<int_queue> && std::is_nothrow_move_constructible_v<int_queue>);
static_assert(std::is_nothrow_move_assignable_v<int_queue>);
static_assert(!std::is_copy_constructible_v<int_queue::timer_type>);
static_assert(!std::is_move_constructible_v<int_queue::timer_type>);
static_assert(!std::is_default_constructible_v<int_queue::timer_type>);
static_assert(std::regular<int_queue::id> && std::is_trivially_copyable_v<int_queue::id>);
static_assert(std::ranges::input_range<int_queue::expired_range> &&
              std::ranges::view<int_queue::expired_range>);
static_assert(std::ranges::forward_range<int_queue> && std::ranges::forward_range<const int_queue>);
static_assert(std::is_same_v<std::ranges::range_reference_t<const int_queue>, const int_queue::timer_type&>);
static_assert(std::is_same_v<timer_queue<>::timer_type, timer<void, std::chrono::steady_clock>>);
static_assert(noexcept(std::declval<int_queue&>().move(std::declval<int_queue::timer_type&>(),
                                                       std::declval<time_point>())));
static_assert(noexcept(std::declval<int_queue&>().add(time_point::duration(), 1,
                                                      std::declval<std::error_code&>())));
static_assert(noexcept(std::declval<int_queue&>().expired()) && noexcept(std::declval<int_queue&>().next()));

}  // namespace

TEST_CASE("timers expire in the order of their deadlines, ties in that of adding", "[timer_queue]") {
  int_queue queue;
  const auto now = clock_type::now();
  queue.add(now + 3s, 30);
  queue.add(now + 1s, 10);
  queue.add(2s, 20);
  queue.add(now + 1s, 11);
  queue.add(now + 2s, 21);
  queue.add(now - 1h, 0);
  CHECK(queue.size() == 6);
  CHECK(queue.next() == now - 1h);
  CHECK(expired(queue) == ints{0});
  CHECK(queue.next() == now + 1s);
  CHECK(expired(queue, now + 1s - 1ns).empty());
  CHECK(expired(queue, now + 1s) == ints{10, 11});
  clock_type::advance(2s);
  CHECK(expired(queue) == ints{20, 21});
  CHECK(queue.size() == 1);
  CHECK(expired(queue, now + 1h) == ints{30});
  CHECK(queue.empty());
  CHECK(queue.next() == time_point::max());
  CHECK(expired(queue, time_point::max()).empty());
}

TEST_CASE("a timer has a deadline, data and an id", "[timer_queue]") {
  timer_queue<std::unique_ptr<std::string>, clock_type> queue;
  auto& timer = queue.add(1s, std::make_unique<std::string>("kept"));
  CHECK(timer.due() == clock_type::now() + 1s);
  CHECK(*timer.data() == "kept");
  CHECK(*std::as_const(timer).data() == "kept");
  CHECK(queue.find(timer.id()) == &timer);
  CHECK(std::as_const(queue).find(timer.id()) == &timer);
  auto& other = queue.add(1s);
  CHECK(other.data() == nullptr);
  CHECK(other.id() != timer.id());
  CHECK(timer.id() < other.id());
  std::error_code error = errc::closed;
  auto* const third = queue.add(1s, {std::make_unique<std::string>("braces")}, error);
  REQUIRE(third != nullptr);
  CHECK(*third->data() == "braces");
  CHECK_FALSE(error);
  timer_queue<void, clock_type> plain;
  CHECK(plain.find(plain.add(clock_type::now()).id()) != nullptr);
  REQUIRE(plain.add(clock_type::now(), error) != nullptr);
  CHECK(plain.size() == 2);
  timer_queue<connection> connections;
  auto& one = connections.add(1s, connection());
  one.data().deadline = one.id();
  CHECK(connections.cancel(one.data().deadline));
}

TEST_CASE("a timer that is moved expires at its new time", "[timer_queue]") {
  int_queue queue;
  const auto now = clock_type::now();
  auto& one = queue.add(now + 1s, 1);
  auto& two = queue.add(now + 2s, 2);
  auto& three = queue.add(now + 3s, 3);
  queue.move(one, now + 4s);
  CHECK(one.due() == now + 4s);
  CHECK(queue.next() == now + 2s);
  queue.move(three, 1s);
  CHECK(queue.next() == now + 1s);
  CHECK(queue.move(two.id(), now + 4s));
  CHECK(expired(queue, now + 3s) == ints{3});
  CHECK(queue.next() == now + 4s);
  CHECK(expired(queue, now + 5s) == ints{1, 2});
}

TEST_CASE("among ties, moving counts as adding anew", "[timer_queue]") {
  int_queue queue;
  const auto due = clock_type::now() + 1s;
  auto& one = queue.add(due, 1);
  auto& two = queue.add(due, 2);
  queue.add(due, 3);
  queue.move(one, due);
  queue.move(two, due + 1s);
  queue.add(due, 4);
  queue.move(two, due);
  CHECK(expired(queue, due) == ints{3, 1, 4, 2});
}

// Two children of the heap's top are due at the same time, one of them moved but not sifted yet, and has a
// child that comes before the other.
TEST_CASE("a tie is decided by when a timer was moved, though the heap does not know yet", "[timer_queue]") {
  int_queue queue;
  const auto due = clock_type::now() + 10s;
  queue.add(due - 1s, 0);
  auto& moved = queue.add(due, 3);
  auto& sibling = queue.add(due + 1s, 2);
  queue.add(due + 2s, 4);
  queue.add(due + 2s, 5);
  queue.add(due, 1);  // below `moved`
  queue.add(due + 3s, 6);
  queue.move(sibling, due);
  queue.move(moved, due);
  CHECK(expired(queue, due) == ints{0, 1, 2, 3});
  CHECK(expired(queue, due + 3s) == ints{4, 5, 6});
}

TEST_CASE("what has been moved later and earlier again, and past its neighbours, is in order",
          "[timer_queue]") {
  int_queue queue;
  const auto now = clock_type::now();
  std::vector<int_queue::timer_type*> timers;
  for (int i = 0; i != 100; ++i) timers.push_back(&queue.add(now + i * 1s, i));
  for (int i = 0; i != 100; ++i) queue.move(*timers[static_cast<std::size_t>(i)], now + (300 - i) * 1s);
  for (int i = 0; i != 100; i += 2) queue.move(*timers[static_cast<std::size_t>(i)], now + (250 - i) * 1s);
  for (int i = 0; i != 100; i += 4) queue.move(*timers[static_cast<std::size_t>(i)], now + i * 1s);
  std::vector<std::pair<time_point, int>> expected;
  for (auto* const timer : timers) expected.emplace_back(timer->due(), timer->data());
  std::sort(expected.begin(), expected.end());
  std::vector<std::pair<time_point, int>> found;
  for (auto& timer : queue.expired(now + 1h)) found.emplace_back(timer.due(), timer.data());
  CHECK(found == expected);
}

TEST_CASE("a cancelled timer does not expire, and lives until the next step of a loop", "[timer_queue]") {
  timer_queue<std::shared_ptr<int>, clock_type> queue;
  const auto data = std::make_shared<int>(1);
  auto& one = queue.add(1s, data);
  auto& two = queue.add(1s, data);
  const auto id = two.id();
  CHECK(&queue.cancel(one) == &one);
  CHECK(queue.cancel(id));
  CHECK_FALSE(queue.cancel(id));
  CHECK(queue.find(id) == nullptr);
  CHECK(&queue.cancel(one) == &one);
  CHECK_FALSE(queue.move(id, 1s));
  queue.move(one, 2s);  // retired it is, and stays
  CHECK(queue.empty());
  CHECK(queue.next() == time_point::max());
  CHECK(data.use_count() == 3);
  const auto due = queue.expired();
  CHECK(due.empty());
  CHECK(data.use_count() == 3);
  CHECK(one.data() == data);
  CHECK(due.begin() == due.end());
  CHECK(data.use_count() == 1);
}

TEST_CASE("an id names one timer, though its memory is in use again", "[timer_queue]") {
  int_queue queue;
  CHECK(queue.find({}) == nullptr);
  CHECK_FALSE(queue.cancel(int_queue::id()));
  std::set<int_queue::id> ids;
  std::set<const void*> places;
  int_queue::id last;
  for (int i = 0; i != 100; ++i) {
    auto& timer = queue.add(1s, i);
    CHECK(queue.find(last) == nullptr);
    CHECK_FALSE(queue.move(last, 1s));
    CHECK_FALSE(queue.cancel(last));
    places.insert(&timer);
    CHECK(ids.insert(last = timer.id()).second);
    queue.cancel(timer);
    CHECK(expired(queue).empty());
  }
  CHECK(places.size() == 1);
}

TEST_CASE("an id survives a move of its timer, also within its turn", "[timer_queue]") {
  int_queue queue;
  const auto id = queue.add(0s, 1).id();
  for (int i = 0; i != 3; ++i) {
    for (auto& timer : queue.expired()) {
      CHECK(queue.find(id) == nullptr);
      CHECK_FALSE(queue.move(id, 1s));
      CHECK_FALSE(queue.cancel(id));
      queue.move(timer, 1s);
      CHECK(timer.id() == id);
      CHECK(queue.find(id) == &timer);
      CHECK(queue.move(id, 2s));
    }
    CHECK(queue.next() == clock_type::now() + 2s);
    clock_type::advance(2s);
  }
  CHECK(expired(queue) == ints{1});
  CHECK(queue.find(id) == nullptr);
}

TEST_CASE("queues do not know each other's ids", "[timer_queue]") {
  int_queue one;
  int_queue two;
  const auto id = one.add(1s, 1).id();
  const auto other = two.add(1s, 2).id();
  CHECK(id != other);
  CHECK(two.find(id) == nullptr);
  CHECK_FALSE(one.cancel(other));
  int_queue third(std::move(one));
  CHECK(third.find(id) != nullptr);
  CHECK(one.find(id) == nullptr);
  const auto later = one.add(1s, 3).id();
  CHECK(one.find(id) == nullptr);
  one = std::move(third);
  CHECK(one.find(later) == nullptr);
  CHECK(one.find(id) != nullptr);
}

TEST_CASE("a loop ends though what it reaches is moved to now under a clock that stands still",
          "[timer_queue]") {
  int_queue queue;
  for (int i = 0; i != 5; ++i) queue.add(0s, i);
  for (int round = 0; round != 3; ++round) {
    ints found;
    for (auto& timer : queue.expired()) {
      found.push_back(timer.data());
      queue.move(timer, 0s);
      CHECK(queue.next() == clock_type::now());
    }
    CHECK(found == ints{0, 1, 2, 3, 4});
    CHECK(queue.size() == 5);
    CHECK(queue.next() == clock_type::now());
  }
}

TEST_CASE("what is added or moved in a loop is left to the next one, due or not", "[timer_queue]") {
  int_queue queue;
  const auto now = clock_type::now();
  queue.add(now, 1);
  auto& later = queue.add(now + 1h, 9);
  auto& pending = queue.add(now, 2);
  queue.add(now, 3);
  ints found;
  for (auto& timer : queue.expired()) {
    found.push_back(timer.data());
    if (timer.data() == 1) {
      queue.add(now - 1h, 4);
      CHECK(queue.next() == now - 1h);
      queue.move(later, now - 2h);
      CHECK(queue.next() == now - 2h);
      queue.move(pending, now);
      queue.add(now + 1s, 5);
    }
  }
  CHECK(found == ints{1, 3});
  CHECK(queue.next() == now - 2h);
  CHECK(expired(queue) == ints{9, 4, 2});
  CHECK(queue.next() == now + 1s);
}

TEST_CASE("what is due in the next round can be moved and cancelled in this one", "[timer_queue]") {
  int_queue queue;
  const auto now = clock_type::now();
  queue.add(now, 0);
  for (int i = 10; i != 20; ++i) queue.add(now + 1h, i);
  for (auto& timer : queue.expired()) {
    CHECK(timer.data() == 0);
    auto& one = queue.add(now - 5s, 1);
    auto& two = queue.add(now - 4s, 2);
    auto& three = queue.add(now - 3s, 3);
    queue.add(now - 2s, 4);
    CHECK(queue.next() == now - 5s);
    queue.cancel(one);
    CHECK(queue.next() == now - 4s);
    queue.move(two, now - 1s);
    CHECK(queue.next() == now - 3s);
    queue.move(three, now - 6s);
    CHECK(queue.next() == now - 6s);
    queue.move(three, now + 1s);
    CHECK(queue.next() == now - 2s);
    queue.add(now + 2s, 5);  // takes the place of one of these in the heap
    CHECK(queue.size() == 14);
  }
  CHECK(expired(queue) == ints{4, 2});
  CHECK(expired(queue, now + 10s) == ints{3, 5});
  CHECK(expired(queue, now + 1h) == ints{10, 11, 12, 13, 14, 15, 16, 17, 18, 19});
}

TEST_CASE("what a loop does not reach stays", "[timer_queue]") {
  int_queue queue;
  for (int i = 0; i != 5; ++i) queue.add(0s, i);
  for (auto& timer : queue.expired()) {
    queue.add(0s, 10 + timer.data());
    if (timer.data() == 1) break;
  }
  CHECK(queue.size() == 5);
  CHECK(queue.next() == clock_type::now());
  queue.add(-1s, 20);  // after the break, and before the next loop
  CHECK(queue.next() == clock_type::now() - 1s);
  CHECK(expired(queue) == ints{20, 2, 3, 4, 10, 11});
}

TEST_CASE("a timer has its turn until the next step, after a break too", "[timer_queue]") {
  timer_queue<std::shared_ptr<int>, clock_type> queue;
  const auto data = std::make_shared<int>();
  queue.add(0s, data);
  timer<std::shared_ptr<int>, clock_type>* reached = nullptr;
  for (auto& timer : queue.expired()) {
    reached = &timer;
    break;
  }
  REQUIRE(reached != nullptr);
  CHECK(queue.empty());
  CHECK(data.use_count() == 2);
  queue.move(*reached, 1s);
  CHECK(queue.size() == 1);
  CHECK(queue.expired().empty());
  CHECK(queue.expired().begin() == std::default_sentinel);
  CHECK(queue.size() == 1);
  CHECK(data.use_count() == 2);
  for (auto& timer : queue.expired(clock_type::now() + 1s)) CHECK(&timer == reached);
  CHECK(data.use_count() == 1);
}

TEST_CASE("within its turn a timer can be cancelled, moved and cancelled again, and cleared",
          "[timer_queue]") {
  timer_queue<std::shared_ptr<int>, clock_type> queue;
  const auto data = std::make_shared<int>();
  queue.add(0s, data);
  for (auto& timer : queue.expired()) {
    CHECK(&queue.cancel(timer) == &timer);
    queue.move(timer, 1s);
    CHECK(queue.size() == 1);
    queue.cancel(timer);
    CHECK(queue.empty());
    queue.move(timer, 2s);
    queue.clear();
    CHECK(queue.empty());
    CHECK(timer.data() == data);
    queue.move(timer, 3s);
    CHECK(timer.due() == clock_type::now() + 3s);
  }
  CHECK(queue.size() == 1);
  CHECK(data.use_count() == 2);
  queue.clear();
  CHECK(data.use_count() == 2);
  (void)queue.expired().begin();
  CHECK(data.use_count() == 1);
}

TEST_CASE("a loop skips what it cancels", "[timer_queue]") {
  int_queue queue;
  std::vector<int_queue::id> ids;
  for (int i = 0; i != 100; ++i) ids.push_back(queue.add(0s, i).id());
  ints found;
  for (auto& timer : queue.expired()) {
    found.push_back(timer.data());
    for (int next = timer.data() + 1; next % 10 != 0; ++next)
      CHECK(queue.cancel(ids[static_cast<std::size_t>(next)]));
    if (timer.data() == 50) queue.clear();
  }
  CHECK(found == ints{0, 10, 20, 30, 40, 50});
}

TEST_CASE("another loop, or a move of the queue, ends a loop", "[timer_queue]") {
  int_queue queue;
  for (int i = 0; i != 4; ++i) queue.add(0s, i);
  auto outer = queue.expired();
  auto it = outer.begin();
  CHECK(it->data() == 0);
  for (auto& timer : queue.expired()) {
    CHECK(timer.data() == 1);
    break;
  }
  CHECK(outer.empty());
  ++it;
  CHECK(it == outer.end());
  CHECK(outer.begin() == outer.end());
  int_queue other;
  for (auto& timer : queue.expired()) {
    CHECK(timer.data() == 2);
    other = std::move(queue);
  }
  CHECK(queue.empty());
  CHECK(expired(other) == ints{3});
}

TEST_CASE("a range goes on where its last loop stopped, and is at its end once", "[timer_queue]") {
  int_queue queue;
  for (int i = 0; i != 3; ++i) queue.add(0s, i);
  const auto due = queue.expired();
  CHECK_FALSE(due.empty());
  CHECK(due.begin()->data() == 0);
  CHECK(due.begin()->data() == 1);
  for (auto& timer : due) queue.move(timer, 0s);
  CHECK(due.empty());
  CHECK(due.begin() == due.end());
  CHECK(queue.size() == 1);
  CHECK(int_queue::expired_range().empty());
  CHECK(int_queue::expired_range().begin() == int_queue::expired_range().end());
}

TEST_CASE("a queue that is moved keeps its timers in place; the other one is empty and usable",
          "[timer_queue]") {
  int_queue one;
  auto& timer = one.add(1s, 1);
  const auto id = timer.id();
  int_queue two(std::move(one));
  CHECK(one.empty());
  CHECK(one.begin() == one.end());
  CHECK(one.next() == time_point::max());
  CHECK(two.find(id) == &timer);
  two.move(timer, 2s);
  one.add(3s, 3);
  CHECK(one.size() == 1);
  one = std::move(two);
  CHECK(two.empty());
  CHECK(expired(two, clock_type::now() + 1h).empty());
  two.add(0s, 4);
  CHECK(expired(two) == ints{4});
  CHECK(one.find(id) == &timer);
  auto& self = one;
  one = std::move(self);
  CHECK(expired(one, clock_type::now() + 1h) == ints{1});
}

TEST_CASE("what a queue had that is assigned to lives on in the other", "[timer_queue]") {
  const auto data = std::make_shared<int>();
  timer_queue<std::shared_ptr<int>, clock_type> one;
  one.add(1s, data);
  one.cancel(one.add(1s, data));
  {
    timer_queue<std::shared_ptr<int>, clock_type> two;
    one = std::move(two);
    CHECK(one.empty());
    CHECK(two.empty());
    CHECK(data.use_count() == 3);
  }
  CHECK(data.use_count() == 1);
}

TEST_CASE("going over all timers, any may be added, moved and cancelled", "[timer_queue]") {
  int_queue queue;
  std::set<int> expected;
  for (int i = 0; i != 50; ++i) {
    queue.add(i * 1s, i);
    expected.insert(i);
  }
  std::set<int> found;
  for (const auto& timer : std::as_const(queue)) CHECK(found.insert(timer.data()).second);
  CHECK(found == expected);
  found.clear();
  std::vector<int_queue::id> added;
  for (auto it = queue.begin(); it != queue.end(); ++it) {
    if (it->data() < 50) CHECK(found.insert(it->data()).second);
    queue.move(*it, 1h);
    if (it->data() % 2 == 0) queue.cancel(*it);
    added.push_back(queue.add(2h, 100).id());
  }
  CHECK(found == expected);
  CHECK(queue.size() == 25 + added.size());
  for (auto& timer : queue) queue.cancel(timer);
  CHECK(queue.empty());
  const int_queue::const_iterator end = queue.end();
  CHECK(queue.begin() == end);
  auto it = int_queue::iterator();
  CHECK(it == queue.end());
  queue.add(1s, 1);
  it = queue.begin();
  CHECK(it++->data() == 1);
  CHECK(it == queue.end());
}

TEST_CASE("a clock that is set changes what is due, and nothing else", "[timer_queue]") {
  int_queue queue;
  const auto now = clock_type::now();
  queue.add(now + 1s, 1);
  queue.add(now + 2s, 2);
  CHECK(expired(queue, now - 24h).empty());
  for (auto& timer : queue.expired(now + 1s)) queue.move(timer, now - 12h);
  CHECK(expired(queue, now - 24h).empty());
  CHECK(queue.next() == now - 12h);
  CHECK(expired(queue, now + 24h) == ints{1, 2});
}

TEST_CASE("a selector waits for the next timer, and for ever if there is none", "[timer_queue]") {
  timer_queue<int> timers;
  selector<> sel;
  const auto due = timers.add(3ms, 1).due();
  CHECK(timers.next() == due);
  CHECK(sel.select_until(timers.next()).empty());
  CHECK(std::chrono::steady_clock::now() >= due);
  int reached = 0;
  for (auto& timer : timers.expired()) reached += timer.data();
  CHECK(reached == 1);
  wakeup wake;
  sel.register_(wake, event::read);
  wake.notify();
  CHECK_FALSE(sel.select_until(timers.next()).empty());
  selector<void, selectors::testing::scripted_backend> scripted;
  timer_queue<int, clock_type> virtual_timers;
  virtual_timers.add(24h, 2);
  CHECK(scripted.select_until(virtual_timers.next()).empty());
  CHECK(expired(virtual_timers) == ints{2});
}

TEST_CASE("a million timers", "[timer_queue]") {
  timer_queue<std::size_t, clock_type> queue;
  constexpr std::size_t count = 1'000'000;
  const auto now = clock_type::now();
  std::vector<timer<std::size_t, clock_type>*> timers(count);
  for (std::size_t i = 0; i != count; ++i)
    timers[i] = &queue.add(now + std::chrono::nanoseconds(i * 7919 % count), i);
  for (std::size_t i = 0; i < count; i += 3)
    queue.move(*timers[i], now + std::chrono::nanoseconds(2 * count - i));
  for (std::size_t i = 1; i < count; i += 3) queue.cancel(*timers[i]);
  std::size_t reached = 0;
  auto last = time_point::min();
  bool is_sorted = true;
  for (auto& timer : queue.expired(now + 1s)) {
    is_sorted = is_sorted && timer.due() >= last && timer.data() % 3 != 1;
    last = timer.due();
    ++reached;
  }
  CHECK(is_sorted);
  CHECK(reached == count - count / 3);
}

// SPDX-License-Identifier: BSL-1.0

// How other threads hand a loop something to do.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <selectors/mailbox.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

template <class T>
std::vector<T> all_of(mailbox<T>& box) {
  std::vector<T> found;
  for (T& one : box.take()) found.push_back(std::move(one));
  return found;
}

std::vector<int> numbers(int first, int last) {
  std::vector<int> all;
  for (int n = first; n != last; ++n) all.push_back(n);
  return all;
}

// Counts those that are alive, but for what has been moved from.
struct counted {
  static inline int alive = 0;
  int number;
  bool is_full = true;
  explicit(false) counted(int n) : number(n) { ++alive; }
  counted(counted&& other) noexcept : number(other.number), is_full(std::exchange(other.is_full, false)) {}
  ~counted() { alive -= is_full ? 1 : 0; }
};

}  // namespace

BACKEND_TEST_CASE("a mailbox is readable from a post to its take", "[mailbox]", backends) {
  selector<void, TestType> sel;
  mailbox<int> box;
  sel.register_(box, event::read);
  expect_idle(sel);
  CHECK(box.take().empty());
  for (int round = 0; round != 3; ++round) {
    for (int n = 0; n != 3; ++n) box.post(n);
    for (int i = 0; i != 2; ++i) expect_ready(sel, {{box.native_handle(), event::read}});
    CHECK(all_of(box) == numbers(0, 3));
    expect_idle(sel);
    CHECK(all_of(box).empty());
  }
}

BACKEND_TEST_CASE("a post ends a wait", "[mailbox]", backends) {
  selector<void, TestType> sel;
  mailbox<std::string> box;
  sel.register_(box, event::read);
  std::thread other([&] { box.post("from a thread"); });
  CHECK_FALSE(sel.select().empty());
  other.join();
  CHECK(all_of(box) == std::vector<std::string>{"from a thread"});
}

BACKEND_TEST_CASE("what a loop over a mailbox does not reach stays and wakes again", "[mailbox]", backends) {
  selector<void, TestType> sel;
  mailbox<int> box;
  sel.register_(box, event::read);
  for (int n = 0; n != 1000; ++n) box.post(n);
  int expected = 0;
  SECTION("after a break") {
    for (int& one : box.take()) {
      CHECK(one == expected++);
      if (expected == 600) break;
    }
  }
  SECTION("after an exception") {
    CHECK_THROWS_AS(
        [&] {
          for (int& one : box.take()) {
            CHECK(one == expected++);
            if (expected == 1) throw std::runtime_error("enough");
          }
        }(),
        std::runtime_error);
  }
  SECTION("when nothing was looked at") { CHECK_FALSE(box.take().empty()); }
  for (int i = 0; i != 2; ++i) expect_ready(sel, {{box.native_handle(), event::read}});
  box.post(1000);
  CHECK(all_of(box) == numbers(expected, 1001));
  expect_idle(sel);
}

BACKEND_TEST_CASE("an edge is there again for what a loop over a mailbox did not reach", "[mailbox]",
                  backends) {
  if constexpr (supports<TestType, trigger::edge>) {
    selector<void, TestType> sel;
    mailbox<int> box;
    sel.register_(box, edge(event::read));
    for (int round = 0; round != 3; ++round) {
      for (int n = 0; n != 3; ++n) box.post(n);
      expect_ready(sel, {{box.native_handle(), event::read}});
      expect_idle(sel);
      for (int n = 0; n != 2; ++n) {
        for (int& one : box.take()) {
          CHECK(one == n);
          break;
        }
        expect_ready(sel, {{box.native_handle(), event::read}});
        expect_idle(sel);
      }
      CHECK(all_of(box) == numbers(2, 3));
      expect_idle(sel);
    }
  }
}

BACKEND_TEST_CASE("what is posted within a loop over a mailbox is for the next", "[mailbox]", backends) {
  selector<void, TestType> sel;
  mailbox<int> box;
  sel.register_(box, event::read);
  for (int n = 0; n != 1000; ++n) box.post(n);
  int expected = 0;
  for (int& one : box.take()) {
    CHECK(one == expected++);
    box.post(one + 1000);
  }
  CHECK(expected == 1000);
  expect_ready(sel, {{box.native_handle(), event::read}});
  CHECK(all_of(box) == numbers(1000, 2000));
  expect_idle(sel);
}

TEST_CASE("a mailbox's values are destroyed one by one, by the next step of the loop", "[mailbox]") {
  const auto live = live_allocations();
  {
    mailbox<counted> box;
    for (int n = 0; n != 1000; ++n) box.post(n);
    CHECK(counted::alive == 1000);
    int left = 1000;
    for ([[maybe_unused]] counted& one : box.take()) {
      CHECK(counted::alive == left--);
      if (left == 300) break;
    }
    CHECK(counted::alive == 300);
    for (int n = 0; n != 1000; ++n) box.post(n);  // several chunks' worth
    CHECK(counted::alive == 1300);
  }
  CHECK(counted::alive == 0);
  CHECK(live_allocations() == live);
}

TEST_CASE("a loop within a loop over a mailbox goes on where the outer one stands", "[mailbox]") {
  {
    mailbox<counted> box;
    for (int n = 0; n != 1000; ++n) box.post(n);
    int reached = 0, posted = 1000;
    for (counted& outer : box.take()) {
      CHECK(outer.number == reached++);
      for (int n = 0; n != 3; ++n) box.post(posted++);
      int inner_ones = 0;
      for (counted& inner : box.take()) {
        CHECK(inner.number == reached++);
        if (++inner_ones == 400) break;
      }
      CHECK(outer.is_full);
      CHECK(outer.number == reached - inner_ones - 1);
    }
    CHECK(reached == 1009);
    CHECK(box.take().empty());
  }
  CHECK(counted::alive == 0);
}

TEST_CASE("what is taken is a single-pass range", "[mailbox]") {
  using taken = mailbox<std::unique_ptr<int>>::taken;
  STATIC_REQUIRE(std::ranges::input_range<taken>);
#if __cpp_lib_ranges >= 202110L  // P2415: what is no view can be kept by one
  STATIC_REQUIRE(std::ranges::viewable_range<taken>);
#endif
  STATIC_REQUIRE(std::same_as<std::ranges::range_reference_t<taken>, std::unique_ptr<int>&>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<taken>);
  mailbox<std::unique_ptr<int>> box;
  for (int n = 0; n != 5; ++n) box.post(std::make_unique<int>(n));
  auto first = box.take();
  CHECK(**first.begin() == 0);
  CHECK(**first.begin() == 0);
  auto second = std::move(first);
  CHECK(first.empty());
  CHECK(first.begin() == first.end());
  auto at = second.begin();
  CHECK(**++at == 1);
  at++;
  CHECK(**at == 2);
  second = box.take();  // what it was destroys its own, and gives back the rest
  CHECK(**second.begin() == 3);
  CHECK_FALSE(second.empty());
  at = second.begin();
  CHECK(++at != second.end());
  CHECK(++at == second.end());
  CHECK(second.empty());
}

TEST_CASE("a mailbox is a pollable, neither copied nor moved", "[mailbox]") {
  STATIC_REQUIRE(pollable<mailbox<int>>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<mailbox<int>>);
  STATIC_REQUIRE_FALSE(std::is_move_constructible_v<mailbox<int>>);
  STATIC_REQUIRE_FALSE(std::is_move_assignable_v<mailbox<int>>);
}

// ---- what is posted ---------------------------------------------------------------------------------------

namespace {

struct large {
  explicit large(int n) : bytes{} { bytes[0] = bytes[9999] = static_cast<char>(n); }
  std::array<char, 10000> bytes;
};

struct alignas(256) aligned {
  int number;
};

}  // namespace

TEST_CASE("what is posted may be large, aligned, a const lvalue, braces, or convert to what is taken",
          "[mailbox]") {
  mailbox<large> large_ones;
  mailbox<aligned> aligned_ones;
  mailbox<std::pair<int, std::string>> pairs;
  const std::pair<int, std::string> kept(3, "kept");
  const std::string text(100, 'x');
  mailbox<std::string> texts;
  for (int n = 0; n != 20; ++n) {
    large_ones.post(large(n));
    aligned_ones.post({n});
    pairs.post(kept);
    pairs.post({n, "made of braces"});
    texts.post("literal");
    texts.post(text);
  }
  int n = 0;
  for (large& one : large_ones.take()) {
    CHECK((one.bytes[0] == static_cast<char>(n) && one.bytes[9999] == static_cast<char>(n)));
    ++n;
  }
  n = 0;
  for (aligned& one : aligned_ones.take()) {
    CHECK(reinterpret_cast<std::uintptr_t>(&one) % 256 == 0);
    CHECK(one.number == n++);
  }
  const auto found = all_of(pairs);
  CHECK(found.size() == 40);
  CHECK((found[0] == kept && found[39] == std::pair<int, std::string>(19, "made of braces")));
  CHECK((all_of(texts)[39] == text && kept.second == "kept"));
}

namespace {

struct refused_by_constructor {};
struct picky {
  explicit(false) picky(int n) : number(n) {
    if (n < 0) throw refused_by_constructor();
  }
  int number;
};

}  // namespace

TEST_CASE("what a conversion throws comes through, and nothing is posted", "[mailbox]") {
  mailbox<picky> box;
  std::error_code error;
  for (int n = 0; n != 500; ++n) {
    box.post(n);
    CHECK_THROWS_AS(box.post(-1), refused_by_constructor);
    CHECK_THROWS_AS(box.post(-1, error), refused_by_constructor);
  }
  int n = 0;
  for (picky& one : box.take()) CHECK(one.number == n++);
  CHECK(n == 500);
  CHECK(box.take().empty());
  STATIC_REQUIRE(noexcept(mailbox<int>(error)));
  STATIC_REQUIRE_FALSE(noexcept(box.post(1, error)));
  STATIC_REQUIRE(noexcept(std::declval<mailbox<int>&>().post(1, error)));
}

// ---- what T does meanwhile --------------------------------------------------------------------------------

namespace {

// Does with the mailbox what it is told to when it is destroyed, moved or made of a number.
struct busy {
  using box_type = mailbox<busy>;
  static inline box_type* box = nullptr;
  static inline int at_destruction = 0;  // how often it posts
  static inline bool takes = false;
  static inline bool at_move = false;
  static inline std::error_code error;

  explicit(false) busy(int n) : number(n) {
    if (n < 100) return;
    box->post(n - 100);
    if (takes)
      for ([[maybe_unused]] busy& one : box->take()) break;
  }
  busy(busy&& other) noexcept : number(std::exchange(other.number, -1)) {
    if (!at_move) return;
    at_move = false;
    CHECK_FALSE(box->post(busy(7), error));
    CHECK(box->take().empty());
    CHECK(box->take().begin() == box->take().end());
  }
  ~busy() {
    if (number < 0 || at_destruction == 0) return;
    --at_destruction;
    box->post(busy(number + 1), error);
    if (takes) seen += static_cast<int>(std::ranges::distance(box->take()));
  }
  static inline int seen = 0;
  int number;
};

}  // namespace

BACKEND_TEST_CASE("a value may post and take when it is destroyed", "[mailbox]", backends) {
  selector<void, TestType> sel;
  mailbox<busy> box;
  busy::box = &box;
  busy::error.clear();
  busy::takes = GENERATE(false, true);
  busy::seen = 0;
  sel.register_(box, event::read);
  box.post(busy(1));
  box.post(busy(2));
  busy::at_destruction = 300;
  int loops = 0;
  for (; !ready(sel, 0s).empty(); ++loops)
    for (busy& one : box.take()) busy::seen += one.number > 0 ? 1 : 0;
  CHECK(busy::at_destruction == 0);
  CHECK_FALSE(busy::error);
  CHECK(loops >= 1);
  CHECK(box.take().empty());
}

TEST_CASE("posting and taking under a mailbox's lock is refused, and loses nothing", "[mailbox]") {
  mailbox<busy> box;
  busy::box = &box;
  busy::at_destruction = 0;
  busy::error.clear();
  selector<> sel;
  sel.register_(box, event::read);
  box.post(busy(0));  // whose notification must stay
  busy::at_move = true;
  box.post(busy(1));
  expect_ready(sel, {{box.native_handle(), event::read}});
  CHECK_FALSE(busy::at_move);
  CHECK(busy::error == std::errc::resource_deadlock_would_occur);
  std::vector<int> found;
  for (busy& one : box.take()) found.push_back(one.number);
  CHECK(found == std::vector<int>{0, 1});
}

TEST_CASE("a conversion may post and take", "[mailbox]") {
  mailbox<busy> box;
  busy::box = &box;
  busy::at_destruction = 0;
  busy::takes = GENERATE(false, true);
  for (int n = 100; n != 700; n += 2) box.post(n);
  int count = 0;
  for ([[maybe_unused]] busy& one : box.take()) ++count;
  CHECK(count == (busy::takes ? 300 : 1350));  // 299 is posted after 199, and that after 99
}

TEST_CASE("a mailbox that is being destroyed takes no more", "[mailbox]") {
  std::optional<mailbox<busy>> box(std::in_place);
  busy::box = &*box;
  busy::takes = true;
  busy::error.clear();
  busy::seen = 0;
  for (int n = 0; n != 300; ++n) box->post(busy(n));
  busy::at_destruction = 10;
  box.reset();
  CHECK(busy::at_destruction == 0);
  CHECK(busy::error == errc::closed);
  CHECK(busy::seen == 0);
}

// ---- memory and descriptors -------------------------------------------------------------------------------

TEST_CASE("a warm mailbox allocates nothing", "[mailbox][allocation]") {
  mailbox<std::size_t> box;
  constexpr std::size_t most = 1000;
  for (std::size_t n = 0; n != most; ++n) box.post(n);
  for (std::size_t one : box.take()) CHECK(one < most);
  const auto before = allocations();
  std::size_t posted = 0, taken = 0, in = 0;
  for (std::size_t round = 0; round != 3000; ++round) {
    for (std::size_t count = round * 7 % (most - in); count != 0; --count, ++in) box.post(posted++);
    std::size_t wanted = round * 13 % (in + 1);
    bool is_right = true;
    for (std::size_t one : box.take()) {
      is_right = is_right && one == taken++;
      --in;
      if (wanted-- == 0) break;
    }
    if (!is_right) FAIL("out of order");
  }
  CHECK(allocations() == before);
}

TEST_CASE("a mailbox without memory says so, and loses nothing", "[mailbox][allocation]") {
  bool has_failed = true;
  for (std::size_t budget = 0; has_failed; ++budget) {
    has_failed = false;
    const auto live = live_allocations();
    {
      mailbox<std::unique_ptr<int>> box;
      std::vector<int> expected;
      for (int n = 0; n != 900; ++n) {
        auto value = std::make_unique<int>(n);
        std::error_code error;
        bool was_posted = false;
        {
          allocation_budget limited(budget);
          was_posted = n % 2 == 0 || budget > 3 ? box.post(std::move(value), error) : false;
          if (n % 2 != 0 && budget <= 3) {
            try {
              box.post(std::move(value));
              was_posted = true;
            } catch (const std::system_error& thrown) {
              error = thrown.code();
            }
          }
          limited.lift();
          has_failed = has_failed || limited.was_exceeded();
        }
        CHECK(was_posted == !error);
        if (was_posted) {
          expected.push_back(n);
          continue;
        }
        CHECK(error == std::errc::not_enough_memory);
        REQUIRE(value != nullptr);
        CHECK(*value == n);
        if (n % 100 == 0) box.post(std::move(value)), expected.push_back(n);
      }
      std::vector<int> found;
      for (auto& one : box.take()) found.push_back(*one);
      CHECK(found == expected);
      if (budget == 0) CHECK(has_failed);
    }
    CHECK(live_allocations() == live);
  }
}

TEST_CASE("a conversion is not begun without memory", "[mailbox][allocation]") {
  mailbox<std::string> box;
  std::string text(100, 'x');
  const char* const literal = "of another type";
  std::error_code error;
  {
    allocation_budget none(0);
    CHECK_FALSE(box.post(literal, error));
    CHECK_FALSE(box.post(std::move(text), error));
  }
  CHECK(error == std::errc::not_enough_memory);
  CHECK(text.size() == 100);
  CHECK(box.post(std::move(text), error));
  CHECK_FALSE(error);
  CHECK(all_of(box).size() == 1);
}

#if !SELECTORS_HAS_WINSOCK
TEST_CASE("a mailbox without a descriptor is an error that names the call", "[mailbox]") {
  std::error_code error, closed;
  std::string text;
  {
    const exhausted_descriptors none;
    mailbox<int> refused(error);
    CHECK_FALSE(refused.post(1, closed));
    CHECK(refused.take().empty());
    CHECK(refused.native_handle() == -1);
    try {
      mailbox<int> thrown;
    } catch (const std::system_error& what) {
      text = what.what();
    }
  }
  CHECK(error == std::error_code(EMFILE, std::system_category()));
  CHECK(closed == errc::closed);
  CHECK_THAT(text, contains(SELECTORS_HAS_EVENTFD ? "eventfd" : "pipe"));
  mailbox<int> box(error);
  CHECK_FALSE(error);
  CHECK(box.post(1, error));
}
#else
TEST_CASE("a mailbox without a descriptor is an error that names the call", "[mailbox]") {
  skip("a process of Windows has as many sockets as there is memory");
}
#endif

// ---- threads ----------------------------------------------------------------------------------------------

BACKEND_TEST_CASE("of what many threads post nothing is lost, and each thread's is in its order",
                  "[mailbox][threads]", backends) {
  struct posted {
    std::size_t thread;
    int number;
  };
  const std::size_t threads = GENERATE(std::size_t{1}, std::size_t{4}, std::size_t{16});
  constexpr int most =
      SELECTORS_HAS_WINSOCK ? 8000 : 40000;  // where each break makes a few slow calls, fewer
  const int items = most / static_cast<int>(threads);
  const bool leaves = GENERATE(false, true);
  selector<void, TestType> sel;
  mailbox<posted> box;
  sel.register_(box, event::read);
  std::vector<std::thread> posters;
  for (std::size_t t = 0; t != threads; ++t)
    posters.emplace_back([&box, t, items] {
      for (int n = 0; n != items; ++n) box.post(posted{t, n});
    });
  std::vector<int> next(threads, 0);
  std::size_t received = 0;
  bool is_in_order = true;
  while (received != threads * static_cast<std::size_t>(items)) {
    const auto range = sel.select(10s);
    if (range.empty()) FAIL("nothing wakes the loop, after " << received);
    int reached = 0;
    for (posted& one : box.take()) {
      is_in_order = is_in_order && one.number == next[one.thread]++;
      ++received;
      if (leaves && ++reached == 50) break;
    }
  }
  for (std::thread& poster : posters) poster.join();
  CHECK(is_in_order);
  for (const int n : next) CHECK(n == items);
  CHECK(box.take().empty());
  expect_idle(sel);
}

// The one who posts last may still be about to notify when the one who takes it is done with the mailbox.
TEST_CASE("a mailbox may be destroyed when the last value has been taken", "[mailbox][threads]") {
  for (int round = 0; round != 300; ++round) {
    std::thread poster;
    {
      mailbox<int> box;
      poster = std::thread([&box] { box.post(1); });
      for (bool is_done = false; !is_done;)
        for ([[maybe_unused]] int& one : box.take()) is_done = true;
    }
    poster.join();
  }
}

// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/event.hpp>

#include <iomanip>
#include <sstream>
#include <type_traits>

using namespace selectors;

namespace {

constexpr event all[] = {event::read,  event::write,  event::priority,
                         event::error, event::hangup, event::read_hangup};

}  // namespace

TEST_CASE("events are distinct bits", "[event]") {
  event_mask sum;
  for (const event one : all) {
    CHECK_FALSE(event_mask(one).empty());
    CHECK((sum & one).empty());
    sum |= one;
  }
  for (const event one : all) CHECK(sum.contains(one));
}

TEST_CASE("a mask is a set of events", "[event]") {
  constexpr event_mask none;
  constexpr event_mask both = event::read | event::write;
  STATIC_REQUIRE(none.empty());
  STATIC_REQUIRE_FALSE(none);
  STATIC_REQUIRE(both);
  STATIC_REQUIRE(both.contains(event::read));
  STATIC_REQUIRE(both.contains(both));
  STATIC_REQUIRE(both.contains(none));
  STATIC_REQUIRE_FALSE(both.contains(event::read | event::error));
  STATIC_REQUIRE((both & event::read) == event::read);
  STATIC_REQUIRE((event::read & both) == event::read);
  STATIC_REQUIRE((both - event::read) == event::write);
  STATIC_REQUIRE((both ^ (event::write | event::hangup)) == (event::read | event::hangup));
  STATIC_REQUIRE((both | event::priority) - both == event::priority);
  STATIC_REQUIRE(both != event::read);
  STATIC_REQUIRE(event::read == event_mask(event::read));

  event_mask mask = event::read;
  CHECK((mask |= event::write) == both);
  CHECK((mask &= event::write) == event::write);
  CHECK((mask ^= both) == event::read);
  CHECK((mask -= event::read).empty());
}

TEST_CASE("a mask is as cheap as an integer", "[event]") {
  STATIC_REQUIRE(std::is_trivially_copyable_v<event_mask>);
  STATIC_REQUIRE(sizeof(event_mask) == 1);
  STATIC_REQUIRE(noexcept(event::read | event::write));
  STATIC_REQUIRE(noexcept(event_mask() - event::read));
  STATIC_REQUIRE(std::is_convertible_v<event, event_mask>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<event_mask, bool>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<event_mask, int>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<event_mask, int>);
}

TEST_CASE("a mask is written as the names of its events", "[event]") {
  CHECK(to_string(event_mask()) == "none");
  CHECK(to_string(event::hangup) == "hangup");
  CHECK(to_string(event::write | event::read) == "read|write");
  event_mask mask;
  for (const event one : all) mask |= one;
  CHECK(to_string(mask) == "read|write|priority|error|hangup|read_hangup");

  std::ostringstream narrow;
  narrow << std::setw(8) << std::setfill('.') << event_mask(event::read) << (event::read | event::error);
  CHECK(narrow.str() == "....readread|error");
  std::wostringstream wide;
  wide << (event::read | event::write) << L' ' << event_mask();
  CHECK(wide.str() == L"read|write none");
}

TEST_CASE("an interest carries its trigger mode in its type", "[event]") {
  constexpr auto edges = edge(event::read);
  STATIC_REQUIRE(std::is_same_v<decltype(edges), const interest<trigger::edge>>);
  STATIC_REQUIRE(std::is_same_v<decltype(oneshot(event::read)), interest<trigger::oneshot>>);
  STATIC_REQUIRE(std::is_same_v<decltype(exclusive(event::read)), interest<trigger::level, true>>);
  STATIC_REQUIRE(std::is_same_v<decltype(exclusive(edges)), interest<trigger::edge, true>>);
  STATIC_REQUIRE(edges.events() == event::read);
  STATIC_REQUIRE(exclusive(edge(event::read | event::write)).events() == (event::read | event::write));
  STATIC_REQUIRE(noexcept(edge(event::read)));
  STATIC_REQUIRE(std::is_convertible_v<event_mask, interest<trigger::level>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<event_mask, interest<trigger::edge>>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<interest<trigger::edge>, event_mask>);
  constexpr any_interest erased = exclusive(edges);
  STATIC_REQUIRE(erased.mode == trigger::edge);
  STATIC_REQUIRE(erased.exclusive);
  STATIC_REQUIRE(erased.events == event::read);
}

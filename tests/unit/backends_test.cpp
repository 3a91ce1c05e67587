// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/selectors.hpp>

#include <tuple>
#include <type_traits>

using namespace selectors;

#if !defined(SELECTORS_HAS_EPOLL) || !defined(SELECTORS_HAS_KQUEUE) || !defined(SELECTORS_HAS_POLL) || \
    !defined(SELECTORS_HAS_SELECT)
#error "every SELECTORS_HAS_… is defined, 0 or 1"
#endif

TEST_CASE("Linux has epoll, poll and select, and epoll is the default", "[backends]") {
  STATIC_REQUIRE(SELECTORS_HAS_EPOLL == 1);
  STATIC_REQUIRE(SELECTORS_HAS_POLL == 1);
  STATIC_REQUIRE(SELECTORS_HAS_SELECT == 1);
  STATIC_REQUIRE(SELECTORS_HAS_KQUEUE == 0);
  STATIC_REQUIRE(std::is_same_v<default_backend, epoll_backend>);
  STATIC_REQUIRE(std::is_same_v<available_backends, std::tuple<epoll_backend, poll_backend, select_backend>>);
  STATIC_REQUIRE(epoll_backend::name == "epoll");
  STATIC_REQUIRE(poll_backend::name == "poll");
  STATIC_REQUIRE(select_backend::name == "select");
}

TEST_CASE("each backend has an alias for its selectors", "[backends]") {
  STATIC_REQUIRE(std::is_same_v<selector<int>, default_selector<int>>);
  STATIC_REQUIRE(std::is_same_v<default_selector<int>, epoll_selector<int>>);
  STATIC_REQUIRE(std::is_same_v<poll_selector<int>, selector<int, poll_backend>>);
  STATIC_REQUIRE(std::is_same_v<select_selector<>, selector<void, select_backend>>);
  STATIC_REQUIRE(std::is_same_v<poll_selector<>::backend_type, poll_backend>);
}

TEST_CASE("what a backend supports is known at compile time", "[backends]") {
  STATIC_REQUIRE(supports<epoll_backend, trigger::edge>);
  STATIC_REQUIRE(supports<epoll_backend, trigger::edge, true>);
  STATIC_REQUIRE(supports<epoll_backend, trigger::level, true>);
  STATIC_REQUIRE_FALSE(supports<epoll_backend, trigger::oneshot, true>);
  STATIC_REQUIRE(supports<poll_backend, trigger::oneshot>);
  STATIC_REQUIRE_FALSE(supports<poll_backend, trigger::edge>);
  STATIC_REQUIRE_FALSE(supports<select_backend, trigger::level, true>);
  STATIC_REQUIRE_FALSE(supports<int, trigger::level>);
}

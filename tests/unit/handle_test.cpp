// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/handle.hpp>

#include <thread>

using namespace selectors;

namespace {

enum unscoped : int { some_value };

struct constant {
  constexpr int native_handle() const noexcept { return 5; }
};
struct changing {
  int native_handle() { return 6; }
};
struct file {
  constexpr int fileno() const noexcept { return 7; }
};
struct both {
  constexpr int native_handle() const noexcept { return 8; }
  constexpr int fileno() const noexcept { return 9; }
};
struct strange_and_file {
  void* native_handle() const { return nullptr; }
  int fileno() const { return 10; }
};
struct of_long {
  long native_handle() const { return 1; }
};
struct of_reference {
  int& native_handle() const;
};
struct converts {
  operator int() const { return 1; }
};

}  // namespace

TEST_CASE("what has a handle is pollable, and nothing that merely converts", "[handle]") {
  STATIC_REQUIRE(pollable<int>);
  STATIC_REQUIRE(pollable<const int&>);
  STATIC_REQUIRE(pollable<int&&>);
  STATIC_REQUIRE(pollable<constant>);
  STATIC_REQUIRE(pollable<const constant&>);
  STATIC_REQUIRE(pollable<changing>);
  STATIC_REQUIRE(pollable<changing&>);
  STATIC_REQUIRE(pollable<file>);
  STATIC_REQUIRE(pollable<both>);
  STATIC_REQUIRE(pollable<strange_and_file>);
  STATIC_REQUIRE_FALSE(pollable<const changing&>);
  STATIC_REQUIRE_FALSE(pollable<long>);
  STATIC_REQUIRE_FALSE(pollable<unsigned>);
  STATIC_REQUIRE_FALSE(pollable<short>);
  STATIC_REQUIRE_FALSE(pollable<char>);
  STATIC_REQUIRE_FALSE(pollable<bool>);
  STATIC_REQUIRE_FALSE(pollable<unscoped>);
  STATIC_REQUIRE_FALSE(pollable<int*>);
  STATIC_REQUIRE_FALSE(pollable<of_long>);
  STATIC_REQUIRE_FALSE(pollable<of_reference>);
  STATIC_REQUIRE_FALSE(pollable<converts>);
  STATIC_REQUIRE_FALSE(pollable<std::thread>);
}

TEST_CASE("handle_of reads the handle, native_handle before fileno", "[handle]") {
  STATIC_REQUIRE(handle_of(3) == 3);
  STATIC_REQUIRE(handle_of(constant()) == 5);
  STATIC_REQUIRE(handle_of(file()) == 7);
  STATIC_REQUIRE(handle_of(both()) == 8);
  CHECK(handle_of(changing()) == 6);
  changing lvalue;
  CHECK(handle_of(lvalue) == 6);
  CHECK(handle_of(strange_and_file()) == 10);
  STATIC_REQUIRE(noexcept(handle_of(3)));
  STATIC_REQUIRE(noexcept(handle_of(constant())));
  STATIC_REQUIRE_FALSE(noexcept(handle_of(changing())));
  CHECK(detail::handle_of_is_noexcept<int>());
  CHECK(detail::handle_of_is_noexcept<constant>());
  CHECK(detail::handle_of_is_noexcept<file>());
}

// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/handle.hpp>

#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <vector>

using namespace selectors;

namespace {

using number = native_handle_type;

enum unscoped : number { some_value };

struct constant {
  constexpr number native_handle() const noexcept { return 5; }
};
struct changing {
  number native_handle() { return 6; }
};
struct file {
  constexpr number fileno() const noexcept { return 7; }
};
struct both {
  constexpr number native_handle() const noexcept { return 8; }
  constexpr number fileno() const noexcept { return 9; }
};
struct strange_and_file {
  void* native_handle() const { return nullptr; }
  number fileno() const { return 10; }
};
struct of_long {
  long native_handle() const { return 1; }
};
struct of_reference {
  number& native_handle() const;
};
struct converts {
  operator number() const { return 1; }
};

// A smart pointer of somebody else's.
struct owner {
  const constant* object;
  constexpr explicit operator bool() const noexcept { return object != nullptr; }
  constexpr const constant& operator*() const noexcept { return *object; }
};
struct with_its_own : owner {
  constexpr number native_handle() const noexcept { return 11; }
};
constexpr constant target;

}  // namespace

TEST_CASE("what has a handle is pollable, and nothing that merely converts", "[handle]") {
  STATIC_REQUIRE(pollable<number>);
  STATIC_REQUIRE(pollable<const number&>);
  STATIC_REQUIRE(pollable<number&&>);
  STATIC_REQUIRE(pollable<constant>);
  STATIC_REQUIRE(pollable<const constant&>);
  STATIC_REQUIRE(pollable<changing>);
  STATIC_REQUIRE(pollable<changing&>);
  STATIC_REQUIRE(pollable<file>);
  STATIC_REQUIRE(pollable<both>);
  STATIC_REQUIRE(pollable<strange_and_file>);
  STATIC_REQUIRE_FALSE(pollable<const changing&>);
  STATIC_REQUIRE(pollable<int> == std::is_same_v<number, int>);
  STATIC_REQUIRE_FALSE(pollable<long>);
  STATIC_REQUIRE_FALSE(pollable<unsigned>);
  STATIC_REQUIRE_FALSE(pollable<short>);
  STATIC_REQUIRE_FALSE(pollable<char>);
  STATIC_REQUIRE_FALSE(pollable<bool>);
  STATIC_REQUIRE_FALSE(pollable<unscoped>);
  STATIC_REQUIRE_FALSE(pollable<number*>);
  STATIC_REQUIRE_FALSE(pollable<of_long>);
  STATIC_REQUIRE_FALSE(pollable<of_reference>);
  STATIC_REQUIRE_FALSE(pollable<converts>);
// A thread of MinGW's is an uintptr_t, as a socket is: the kernel refuses it.
#if !SELECTORS_HAS_WINSOCK
  STATIC_REQUIRE_FALSE(pollable<std::thread>);
#endif
}

TEST_CASE("handle_of reads the handle, native_handle before fileno", "[handle]") {
  STATIC_REQUIRE(handle_of(number{3}) == 3);
  STATIC_REQUIRE(handle_of(constant()) == 5);
  STATIC_REQUIRE(handle_of(file()) == 7);
  STATIC_REQUIRE(handle_of(both()) == 8);
  CHECK(handle_of(changing()) == 6);
  changing lvalue;
  CHECK(handle_of(lvalue) == 6);
  CHECK(handle_of(strange_and_file()) == 10);
  STATIC_REQUIRE(noexcept(handle_of(number{3})));
  STATIC_REQUIRE(noexcept(handle_of(constant())));
  STATIC_REQUIRE_FALSE(noexcept(handle_of(changing())));
  CHECK(detail::handle_of_is_noexcept<number>());
  CHECK(detail::handle_of_is_noexcept<constant>());
  CHECK(detail::handle_of_is_noexcept<file>());
}

TEST_CASE("what points to an object with a handle is pollable", "[handle]") {
  STATIC_REQUIRE(pollable<constant*>);
  STATIC_REQUIRE(pollable<const constant*>);
  STATIC_REQUIRE(pollable<const constant* const&>);
  STATIC_REQUIRE(pollable<file*>);
  STATIC_REQUIRE(pollable<changing*>);
  STATIC_REQUIRE_FALSE(pollable<const changing*>);
  STATIC_REQUIRE(pollable<std::unique_ptr<constant>>);
  STATIC_REQUIRE(pollable<const std::unique_ptr<changing>&>);
  STATIC_REQUIRE(pollable<std::shared_ptr<file>&>);
  STATIC_REQUIRE(pollable<std::optional<both>>);
  STATIC_REQUIRE(pollable<owner>);
  STATIC_REQUIRE_FALSE(pollable<constant**>);
  STATIC_REQUIRE_FALSE(pollable<std::unique_ptr<constant>*>);
  STATIC_REQUIRE_FALSE(pollable<void*>);
  STATIC_REQUIRE_FALSE(pollable<std::nullptr_t>);
  STATIC_REQUIRE_FALSE(pollable<number*>);
  STATIC_REQUIRE_FALSE(pollable<std::unique_ptr<number>>);
  STATIC_REQUIRE_FALSE(pollable<std::shared_ptr<number>>);
  STATIC_REQUIRE_FALSE(pollable<std::optional<number>>);
  STATIC_REQUIRE_FALSE(pollable<of_long*>);
  STATIC_REQUIRE_FALSE(pollable<std::vector<constant>>);
#if !SELECTORS_HAS_WINSOCK
  STATIC_REQUIRE_FALSE(pollable<std::thread*>);
#endif

  STATIC_REQUIRE(handle_of(&target) == 5);
  STATIC_REQUIRE(handle_of(owner{&target}) == 5);
  STATIC_REQUIRE(handle_of(with_its_own{{&target}}) == 11);
  STATIC_REQUIRE(handle_of(static_cast<const constant*>(nullptr)) == detail::invalid_handle);
  STATIC_REQUIRE(handle_of(owner{nullptr}) == detail::invalid_handle);
  STATIC_REQUIRE(noexcept(handle_of(&target)));
  STATIC_REQUIRE(noexcept(handle_of(owner{&target})));
  STATIC_REQUIRE_FALSE(noexcept(handle_of(static_cast<changing*>(nullptr))));
  CHECK(handle_of(std::make_unique<changing>()) == 6);
  CHECK(handle_of(std::make_shared<file>()) == 7);
  CHECK(handle_of(std::optional<both>(both())) == 8);
  CHECK(handle_of(std::unique_ptr<constant>()) == detail::invalid_handle);
  CHECK(handle_of(std::shared_ptr<constant>()) == detail::invalid_handle);
  CHECK(handle_of(std::optional<constant>()) == detail::invalid_handle);
}

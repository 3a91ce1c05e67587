// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/error.hpp>

#include <set>
#include <string>
#include <system_error>

using namespace selectors;

namespace {

constexpr errc all[] = {
    errc::already_registered, errc::not_registered, errc::invalid_events, errc::invalid_handle,
    errc::invalid_timeout,    errc::closed,         errc::forked};

}  // namespace

TEST_CASE("each error has a message of its own, and a place in its category", "[error]") {
  std::set<std::string> messages;
  for (const errc one : all) {
    const std::error_code code = one;
    CHECK(code);
    CHECK(code.category() == selectors_category());
    CHECK_FALSE(code.message().empty());
    messages.insert(code.message());
  }
  CHECK(messages.size() == std::size(all));
  CHECK(selectors_category().name() == std::string("selectors"));
  CHECK_FALSE(selectors_category().message(99).empty());
  CHECK(selectors_category().default_error_condition(99).category() == selectors_category());
  STATIC_REQUIRE(static_cast<int>(errc::already_registered) == 1);
  STATIC_REQUIRE(std::is_error_code_enum_v<errc>);
}

TEST_CASE("errors are equivalent to the standard's conditions", "[error]") {
  CHECK(make_error_code(errc::already_registered) == std::errc::file_exists);
  CHECK(make_error_code(errc::not_registered) == std::errc::no_such_file_or_directory);
  CHECK(make_error_code(errc::invalid_events) == std::errc::invalid_argument);
  CHECK(make_error_code(errc::invalid_timeout) == std::errc::invalid_argument);
  CHECK(make_error_code(errc::invalid_handle) == std::errc::bad_file_descriptor);
  CHECK(make_error_code(errc::closed) == std::errc::bad_file_descriptor);
  CHECK(make_error_code(errc::forked) == std::errc::operation_not_permitted);
  CHECK(make_error_code(errc::closed) != std::errc::invalid_argument);
}

TEST_CASE("a failure becomes the error_code of its origin", "[error]") {
  CHECK_FALSE(failure());
  CHECK(failure().code() == std::error_code());
  CHECK(failure(errc::closed).code() == errc::closed);
  CHECK(failure(errc::closed).call() == nullptr);
  const failure refused = failure::system("epoll_ctl", EPERM);
  CHECK(refused);
  CHECK(refused.code() == std::errc::operation_not_permitted);
#if !SELECTORS_HAS_WINSOCK  // where the system's numbers are not these
  CHECK(refused.code().category() == std::system_category());
#endif
  CHECK(refused.call() == std::string("epoll_ctl"));
  CHECK(failure::not_open().code() == std::errc::bad_file_descriptor);
  CHECK(failure::memory().code() == std::errc::not_enough_memory);
}

// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/detail/raise.hpp>
#include <selectors/error.hpp>

#include <new>
#include <set>
#include <string>
#include <system_error>

using namespace selectors;

namespace {

constexpr errc all[] = {
    errc::already_registered, errc::not_registered, errc::invalid_events, errc::invalid_handle,
    errc::invalid_timeout,    errc::closed,         errc::forked};

// As another module has it, whose symbols are hidden.
const detail::selectors_error_category category_of_another_module{};

struct stranger final : std::error_category {
  const char* name() const noexcept override { return "a stranger's"; }
  std::string message(int) const override { return "a stranger's error"; }
};

std::string text_of(failure what, const char* operation) {
  try {
    detail::raise(what, operation);
  } catch (const std::system_error& error) {
    CHECK(error.code() == what.code());
    return error.what();
  }
}
std::string text_of(failure what, const char* operation, native_handle_type handle) {
  try {
    detail::raise(what, operation, handle);
  } catch (const std::system_error& error) {
    CHECK(error.code() == what.code());
    return error.what();
  }
}

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

TEST_CASE("an error equals what it is, whichever module made it", "[error]") {
  const stranger other;
  for (const errc one : all) {
    for (const std::error_code& code :
         {make_error_code(one), std::error_code(static_cast<int>(one), category_of_another_module)}) {
      CHECK(code == one);
      CHECK(one == code);
      CHECK_FALSE(code != one);
      CHECK_FALSE(one != code);
      CHECK(code != (one == errc::closed ? errc::forked : errc::closed));
      CHECK(code == make_error_code(one).default_error_condition());
      CHECK(make_error_code(one).default_error_condition() == code);
    }
    CHECK(std::error_code(static_cast<int>(one), other) != one);
    CHECK(std::error_code(static_cast<int>(one), std::generic_category()) != one);
    CHECK(std::error_code() != one);
  }
  const std::error_code closed(static_cast<int>(errc::closed), category_of_another_module);
  CHECK(closed == std::errc::bad_file_descriptor);
  CHECK(std::errc::bad_file_descriptor == closed);
  CHECK(closed != std::errc::invalid_argument);
}

TEST_CASE("a failure of events names them, and costs no room", "[error]") {
  constexpr failure refused = failure::invalid_events(event::error | event::priority);
  CHECK(refused.code() == errc::invalid_events);
  CHECK(refused.events() == (event::error | event::priority));
  CHECK(failure(errc::invalid_events).events().empty());
  CHECK(sizeof(failure) <= 16);
}

TEST_CASE("an exception names the call, the handle, what refused it and why", "[error]") {
  CHECK(text_of(errc::closed, "select") == "selectors: select: the selector is closed");
  CHECK(text_of(errc::not_registered, "at", 7) == "selectors: at(7): not registered");
  CHECK(text_of(errc::invalid_handle, "register_", detail::invalid_handle) ==
        "selectors: register_(-1): invalid handle");
  const std::string refused = text_of(failure::system("epoll_ctl", ENOSPC), "register_", 7);
  CHECK_THAT(refused, support::contains("selectors: register_(7): epoll_ctl: "));
  CHECK(text_of(failure::invalid_events(event::hangup), "modify", 0) ==
        "selectors: modify(0): these events cannot be requested: hangup");
  const event_mask events =
      event::read | event::write | event::priority | event::error | event::hangup | event::read_hangup;
  CHECK(text_of(failure::invalid_events(events), "register_", 7) ==
        "selectors: register_(7): these events cannot be requested: " + to_string(events));
  CHECK(text_of(failure::invalid_events(event::error | event::priority), "register_", 7) ==
        "selectors: register_(7): these events cannot be requested: priority|error");
  // Too long for the room there is: cut off, in whatever place.
  for (std::size_t size = 100; size != 200; ++size) {
    const std::string operation(size, 'x');
    const std::string text = text_of(failure::invalid_events(events), operation.c_str(), 7);
    CHECK_THAT(text, support::contains("selectors: xxx"));
    CHECK(text.size() < 184);
  }
}

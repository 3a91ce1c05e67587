// SPDX-License-Identifier: BSL-1.0

// A backend that refuses on request: whatever the kernel says no to, the state stays as it was, and the error
// is told.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <memory>
#include <string>
#include <tuple>

using namespace selectors;
using namespace support;

namespace {

// What the next calls of a refusing backend answer.
struct orders {
  int open = 0, reopen = 0, add = 0, modify = 0, wait = 0;  // an errno, or 0
  bool loses_on_modify = false;                             // as an exclusive registration can be lost
  bool confirms_removal = true;
};
orders refuse;

template <class Backend>
class refusing_backend : public Backend {
 public:
  static constexpr std::string_view name = "refusing";

  failure open() noexcept {
    return refuse.open != 0 ? failure::system("open", refuse.open) : Backend::open();
  }
  void remove_all() = delete;  // what could not be refused
  failure reopen() noexcept {
    return refuse.reopen != 0 ? failure::system("reopen", refuse.reopen) : Backend::reopen();
  }
  failure add(registration& r) noexcept {
    return refuse.add != 0 ? failure::system("add", refuse.add) : Backend::add(r);
  }
  failure modify(registration& r, any_interest was) noexcept {
    if (refuse.modify == 0) return Backend::modify(r, was);
    if (refuse.loses_on_modify) (void)Backend::remove(r);
    return failure::system("modify", refuse.modify);
  }
  // Keeps the registration, as the kernel does for a descriptor whose duplicate lives.
  bool remove(registration& r) noexcept {
    if (refuse.confirms_removal) return Backend::remove(r);
    r.attached = false;
    return false;
  }
  int wait(std::chrono::nanoseconds timeout) noexcept {
    if (refuse.wait == 0) return Backend::wait(timeout);
    errno = refuse.wait;
    return -1;
  }
};

// One that does not find leaks by itself: the selector heals it as it does any backend of a user's.
template <class Backend>
class healed_backend : public refusing_backend<Backend> {
 public:
  static std::string test_name() { return "healed " + std::string(Backend::name); }
  bool has_leaks() const noexcept = delete;
  failure replace() noexcept = delete;
};

template <template <class> class Wrapper, class Backends>
struct wrapping;
template <template <class> class Wrapper, class... Backends>
struct wrapping<Wrapper, std::tuple<Backends...>> {
  using type = std::tuple<Wrapper<Backends>...>;
};
using refusing = wrapping<refusing_backend, system_backends>::type;
using healed = wrapping<healed_backend, system_backends>::type;
using refusing_or_healed = decltype(std::tuple_cat(refusing(), healed()));

std::error_code system_error_of(int error) { return failure::system("", error).code(); }

// A selector on a refusing backend, and a pipe that is registered and ready.
template <class Backend>
struct with_refusals {
  with_refusals() {
    refuse = {};
    sel.register_(pipe.reader, event::read, std::make_unique<int>(1));
    write_byte(pipe.writer);
  }
  ~with_refusals() { refuse = {}; }
  void expect_as_before() {
    refuse = {};
    CHECK(sel.size() == 1);
    CHECK(sel.at(pipe.reader).events() == event::read);
    CHECK(*sel.at(pipe.reader).data() == 1);
    expect_ready(sel, {{pipe.reader.get(), event::read}});
  }

  pipe_ends pipe = make_pipe();
  selector<std::unique_ptr<int>, Backend> sel;
};

}  // namespace

BACKEND_TEST_CASE("a registration that the kernel refuses changes nothing", "[failures]", refusing) {
  with_refusals<TestType> one;
  auto other = make_pipe();
  auto data = std::make_unique<int>(2);
  for (const int error : {ENOMEM, ENOSPC, ELOOP, EINVAL}) {
    refuse.add = error;
    CHECK(error_of([&](auto& refused) {
            one.sel.register_(other.reader, event::read, std::move(data), refused);
          }) == system_error_of(error));
    CHECK_THROWS_AS(one.sel.register_(other.reader, event::read, std::move(data)), std::system_error);
    REQUIRE(data != nullptr);
    CHECK_FALSE(one.sel.contains(other.reader));
    one.expect_as_before();
  }
}

BACKEND_TEST_CASE("a modification that the kernel refuses changes nothing", "[failures]", refusing) {
  with_refusals<TestType> one;
  refuse.modify = ENOMEM;
  CHECK(error_of([&](auto& refused) { one.sel.modify(one.pipe.reader, oneshot(event::read), refused); }) ==
        system_error_of(ENOMEM));
  one.expect_as_before();
  one.sel.modify(one.pipe.reader, {});
  refuse.add = ENOMEM;
  CHECK(error_of([&](auto& refused) { one.sel.modify(one.pipe.reader, event::read, refused); }) ==
        system_error_of(ENOMEM));
  refuse = {};
  CHECK(one.sel.at(one.pipe.reader).events().empty());
  expect_idle_for(one.sel, 5ms);
  one.sel.modify(one.pipe.reader, event::read);
  one.expect_as_before();
}

BACKEND_TEST_CASE("a registration lost by modify is told once as an error, then silent until modify",
                  "[failures]", refusing) {
  with_refusals<TestType> one;
  refuse.modify = ENOSPC;
  refuse.loses_on_modify = true;
  CHECK(error_of([&](auto& refused) { one.sel.modify(one.pipe.reader, oneshot(event::read), refused); }) ==
        system_error_of(ENOSPC));
  refuse = {};
  expect_ready(one.sel, {{one.pipe.reader.get(), event::read | event::error}});
  expect_idle_for(one.sel, 5ms);
  one.sel.modify(one.pipe.reader, event::read);
  one.expect_as_before();
}

BACKEND_TEST_CASE("a wait that fails is an error that names the call, and loses nothing", "[failures]",
                  refusing) {
  with_refusals<TestType> one;
  refuse.wait = ENOMEM;
  CHECK(error_of([&](auto& refused) { CHECK(one.sel.select(refused).empty()); }) == system_error_of(ENOMEM));
  try {
    one.sel.select(1s);
    FAIL("nothing was thrown");
  } catch (const std::system_error& refused) {
    CHECK_THAT(refused.what(), contains("select: ") && contains(TestType::wait_call));
  }
  one.expect_as_before();
  for (int times = 0; times != 3; ++times) {
    refuse.wait = EINTR;
    std::error_code error = errc::closed;
    CHECK(one.sel.select(error).empty());
    CHECK_FALSE(error);
    CHECK(one.sel.select(1s).empty());
    CHECK(one.sel.select_until(std::chrono::steady_clock::now() + 1h).empty());
  }
  one.expect_as_before();
}

BACKEND_TEST_CASE("an unreached one-shot needs nothing of the kernel to be reported", "[failures]",
                  refusing) {
  with_refusals<TestType> one;
  one.sel.modify(one.pipe.reader, oneshot(event::read));
  (void)one.sel.select();
  refuse.modify = refuse.add = ENOMEM;
  expect_ready(one.sel, {{one.pipe.reader.get(), event::read}});
  expect_idle_for(one.sel, 5ms);
  CHECK(error_of([&](auto& refused) { one.sel.modify(one.pipe.reader, oneshot(event::read), refused); }) ==
        system_error_of(ENOMEM));
  expect_idle_for(one.sel, 5ms);
  refuse = {};
  one.sel.modify(one.pipe.reader, event::read);
  one.expect_as_before();
}

BACKEND_TEST_CASE("a selector that cannot open is closed, and one that cannot reopen stays as it was",
                  "[failures]", refusing) {
  with_refusals<TestType> one;
  refuse.reopen = ENFILE;
  CHECK(error_of([&](auto& refused) { one.sel.reopen(refused); }) == system_error_of(ENFILE));
  one.expect_as_before();
  refuse.reopen = ENFILE;
  CHECK_THROWS_AS(one.sel.reopen(), std::system_error);
  one.expect_as_before();
  refuse.open = ENFILE;
  std::error_code error;
  selector<void, TestType> closed(error);
  CHECK(error == system_error_of(ENFILE));
  CHECK_FALSE(closed.is_open());
}

BACKEND_TEST_CASE("what the kernel refuses at reopen is told once, as an error", "[failures]", refusing) {
  with_refusals<TestType> one;
  refuse.add = ENOMEM;
  one.sel.reopen();
  refuse = {};
  expect_ready(one.sel, {{one.pipe.reader.get(), event::read | event::error}});
  expect_idle_for(one.sel, 5ms);
  one.sel.modify(one.pipe.reader, event::read);
  one.expect_as_before();
}

BACKEND_TEST_CASE("what the kernel refused is asked for again by modify and by reopen", "[failures]",
                  refusing) {
  with_refusals<TestType> one;
  for (const bool modifies : {true, false}) {
    refuse.add = ENOMEM;
    one.sel.reopen();
    refuse = {};
    if (modifies)
      one.sel.modify(one.pipe.reader, event::read);
    else
      one.sel.reopen();
    one.expect_as_before();
  }
}

BACKEND_TEST_CASE("what was refused is told whatever was asked for, and a signal takes it from nobody",
                  "[failures]", refusing) {
  constexpr event what = priority_or_read<TestType>;
  with_refusals<TestType> one;
  one.sel.modify(one.pipe.reader, what);
  refuse.add = ENOMEM;
  one.sel.reopen();
  refuse = {};
  refuse.wait = ENOMEM;
  CHECK(error_of([&](auto& error) { CHECK(one.sel.select(1s, error).empty()); }) == system_error_of(ENOMEM));
  refuse.wait = EINTR;
  expect_ready(one.sel, {{one.pipe.reader.get(), what | event::error}});
  one.sel.unregister(one.pipe.reader);
  CHECK(one.sel.select_until(std::chrono::steady_clock::now() + 1h).empty());
}

BACKEND_TEST_CASE("registrations that are refused or leaked over and over take no more memory", "[failures]",
                  refusing_or_healed) {
  with_refusals<TestType> one;
  auto other = make_pipe();
  drain(one.pipe.reader);
  std::size_t warm = 0;
  for (int i = 0; i != 2000; ++i) {
    if (i == 300) warm = allocations();
    std::error_code error;
    refuse.add = ENOMEM;
    one.sel.register_(other.reader, event::read, nullptr, error);
    refuse = {};
    one.sel.register_(other.reader, event::read, nullptr, error);
    refuse.confirms_removal = false;
    one.sel.unregister(other.reader, error);
    one.sel.select(0s, error);
    refuse = {};
  }
  CHECK(allocations() == warm);
}

BACKEND_TEST_CASE("healing before a wait that can open nothing closes the selector, too", "[failures]",
                  healed) {
  with_refusals<TestType> one;
  refuse.confirms_removal = false;
  one.sel.modify(one.pipe.reader, {});
  one.sel.modify(one.pipe.reader, event::read);
  refuse.reopen = EMFILE;
  refuse.open = ENFILE;
  CHECK(error_of([&](auto& error) { one.sel.select(1s, error); }) == system_error_of(ENFILE));
  CHECK_FALSE(one.sel.is_open());
}

BACKEND_TEST_CASE("healing that can open nothing closes the selector, and select tells why", "[failures]",
                  healed) {
  with_refusals<TestType> one;
  refuse.confirms_removal = false;
  one.sel.unregister(one.pipe.reader);
  refuse.reopen = EMFILE;
  refuse.open = ENFILE;
  CHECK(error_of([&](auto& refused) { CHECK(one.sel.select(1s, refused).empty()); }) ==
        system_error_of(ENFILE));
  CHECK_FALSE(one.sel.is_open());
  CHECK(error_of([&](auto& refused) { one.sel.select(refused); }) == errc::closed);
  refuse = {};
  one.sel.reopen();
  CHECK(one.sel.empty());
  one.sel.register_(one.pipe.reader, event::read, std::make_unique<int>(1));
  one.expect_as_before();
}

BACKEND_TEST_CASE("registrations that the kernel keeps for nobody are healed, however many", "[failures]",
                  refusing_or_healed) {
  with_refusals<TestType> one;
  auto pipes = make_pipes(200);
  for (auto& [reader, writer] : pipes) {
    write_byte(writer);
    one.sel.register_(reader, event::read, nullptr);
  }
  refuse.confirms_removal = false;
  for (std::size_t i = 0; i != pipes.size(); ++i) {
    if (i % 2 == 0)
      one.sel.unregister(pipes[i].reader);
    else
      one.sel.modify(pipes[i].reader, {});
  }
  refuse = {};
  for (int i = 0; i != 40; ++i) expect_ready(one.sel, {{one.pipe.reader.get(), event::read}});
  drain(one.pipe.reader);
  expect_idle_for(one.sel, 5ms);
  CHECK(one.sel.size() == 101);
}

// SPDX-License-Identifier: BSL-1.0

// Data of every kind, and all or nothing when its constructor throws.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/skip.hpp"

#include <any>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <variant>

using namespace selectors;
using namespace support;

namespace {

struct immovable {
  explicit immovable(int v) : value(v) {}
  immovable(const immovable&) = delete;
  int value;
};

struct makes_immovable {
  int value;
  operator immovable() const { return immovable(value); }
};

struct alignas(64) aligned {
  int value = 0;
};

struct refusal : std::runtime_error {
  refusal() : std::runtime_error("refused") {}
};

struct throwing {
  throwing() { throw refusal(); }
  throwing(int v) : value(v) {
    if (v < 0) throw refusal();
  }
  throwing(const throwing& other) : throwing(-other.value) {}
  int value = 0;
};

}  // namespace

BACKEND_TEST_CASE("data may be of any object type", "[data]", backends) {
  auto pipe = make_pipe();
  const auto number = pipe.reader.get();
  write_byte(pipe.writer);
  SECTION("made in place by conversion, never moved") {
    selector<immovable, TestType> sel;
    CHECK(sel.register_(number, event::read, makes_immovable{4}).data().value == 4);
  }
  SECTION("more aligned than operator new aligns") {
    selector<aligned, TestType> sel;
    auto pipes = make_pipes(40);
    for (auto& [reader, writer] : pipes) {
      auto& data = sel.register_(reader, event::read, aligned{7}).data();
      CHECK(reinterpret_cast<std::uintptr_t>(&data) % 64 == 0);
    }
  }
  SECTION("large") {
    selector<std::array<char, 4096>, TestType> sel;
    CHECK(sel.register_(number, event::read).data()[4095] == 0);
  }
  SECTION("constant") {
    selector<const int, TestType> sel;
    CHECK(sel.register_(number, event::read, 3).data() == 3);
  }
  SECTION("a pointer") {
    selector<immovable*, TestType> sel;
    CHECK(sel.register_(number, event::read).data() == nullptr);
    CHECK(sel.register_(pipe.writer, event::read, nullptr).data() == nullptr);
  }
  SECTION("a function") {
    selector<std::function<int(int)>, TestType> sel;
    sel.register_(number, event::read, [](int x) { return x + 1; });
    for (auto [key, events] : sel.select()) CHECK(key.data()(1) == 2);
  }
  SECTION("a variant, an any") {
    selector<std::variant<int, std::string>, TestType> sel;
    CHECK(std::get<std::string>(sel.register_(number, event::read, "text").data()) == "text");
    selector<std::any, TestType> any;
    CHECK(std::any_cast<int>(any.register_(number, event::read, 5).data()) == 5);
  }
  SECTION("an error_code, which is never taken for one") {
    selector<std::error_code, TestType> sel;
    std::error_code error = errc::closed;
    CHECK(sel.register_(number, event::read, error) != nullptr);
    CHECK_FALSE(error);
    CHECK_FALSE(sel.at(number).data());
  }
  SECTION("the data is the key's own") {
    selector<int, TestType> sel;
    sel.register_(number, event::read, 1);
    for (auto [key, events] : sel.select()) key.data() = 2;
    for (const auto& [key, events] : sel.select()) CHECK(key.data() == 2);
    for (auto&& [key, events] : sel.select()) CHECK(&key == sel.find(number));
    CHECK(std::as_const(sel).at(number).data() == 2);
  }
}

namespace {

// What an implicit conversion may not choose, though a cast would.
struct choosy {
  choosy(int) : by("int") {}
  explicit choosy(short) : by("short") {}
  explicit choosy(const char*) : by("text") {}
  std::string by;
};
struct two_ways {
  operator int() const { return 2; }
  explicit operator bool() const { return false; }
};
template <class Selector, class D>
concept takes = requires(Selector& sel, D&& data, std::error_code& error) {
  sel.register_(native_handle_type{}, event::read, std::forward<D>(data), error);
};

}  // namespace

BACKEND_TEST_CASE("data is converted as in Data d = x", "[data]", backends) {
  auto pipe = make_pipe();
  selector<choosy, TestType> sel;
  CHECK(sel.register_(pipe.reader, event::read, short{1}).data().by == "int");
  STATIC_REQUIRE(takes<selector<choosy, TestType>, int>);
  STATIC_REQUIRE_FALSE(takes<selector<choosy, TestType>, const char*>);
  STATIC_REQUIRE_FALSE(takes<selector<std::unique_ptr<int>, TestType>, int*>);
  STATIC_REQUIRE_FALSE(takes<selector<choosy, TestType>, std::error_code&>);
  STATIC_REQUIRE_FALSE(takes<selector<void, TestType>, int>);
  selector<bool, TestType> flags;
  CHECK(flags.register_(pipe.reader, event::read, two_ways()).data());
  selector<char, TestType> letters;
  CHECK(letters.register_(pipe.reader, event::read, 65).data() == 65);
}

BACKEND_TEST_CASE("what the constructor of data throws comes through, and nothing is registered", "[data]",
                  backends) {
  selector<throwing, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  std::error_code error;
  const throwing good(5);
  CHECK_THROWS_AS(sel.register_(pipe.reader, event::read, -1), refusal);
  CHECK_THROWS_AS(sel.register_(pipe.reader, event::read, -1, error), refusal);
  CHECK_THROWS_AS(sel.register_(pipe.reader, event::read), refusal);
  CHECK_THROWS_AS(sel.register_(pipe.reader, event::read, error), refusal);
  CHECK_THROWS_AS(sel.register_(pipe.reader, event::read, good, error), refusal);
  CHECK(sel.empty());
  CHECK_FALSE(sel.contains(pipe.reader));
  expect_idle_for(sel, 10ms);
  sel.register_(pipe.reader, event::read, 1);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

#if !SELECTORS_HAS_WINSOCK
BACKEND_TEST_CASE("a file whose data throws is not told", "[data]", backends) {
  selector<throwing, TestType> sel;
  auto one = descriptor(checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open"));
  auto two = descriptor(checked(::open("/dev/null", O_RDONLY | O_CLOEXEC), "open"));
  sel.register_(one, event::read, 1);
  CHECK_THROWS_AS(sel.register_(two, event::read, -1), refusal);
  expect_ready(sel, {{one.get(), event::read}});
}
#else
TEST_CASE("a file whose data throws is not told", "[files]") { skip("nothing but sockets is watched"); }
#endif

namespace {

template <class Backend>
struct registers_another {
  using selector_type = selector<registers_another, Backend>;
  registers_another() = default;
  registers_another(std::pair<selector_type*, native_handle_type> other) {
    other.first->register_(other.second, event::read);
  }
};

}  // namespace

BACKEND_TEST_CASE("the constructor of data may register another handle", "[data]", backends) {
  typename registers_another<TestType>::selector_type sel;
  auto pipes = make_pipes(2);
  for (auto& [reader, writer] : pipes) write_byte(writer);
  sel.register_(pipes[0].reader, event::read, std::pair(&sel, pipes[1].reader.get()));
  CHECK(ready(sel).size() == 2);
}

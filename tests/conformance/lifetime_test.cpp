// SPDX-License-Identifier: BSL-1.0

// A running handler is safe: retired keys live, in place, until the next select.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

using handler = std::function<void()>;

// Counts how many of it live.
struct witness {
  explicit witness(int& alive) : alive_(&alive) { ++alive; }
  witness(witness&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
  ~witness() {
    if (alive_ != nullptr) --*alive_;
  }
  int* alive_;
};

struct owner {
  descriptor socket;
  native_handle_type native_handle() const noexcept { return socket.get(); }
};

}  // namespace

BACKEND_TEST_CASE("a handler may unregister itself and run on", "[lifetime]", backends) {
  selector<handler, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  const auto value = std::make_shared<int>(42);
  int seen = 0;
  sel.register_(pipe.reader, event::read, [&, value] {
    sel.unregister(pipe.reader);
    CHECK_FALSE(sel.contains(pipe.reader));
    seen = *value;
  });
  for (auto [key, events] : sel.select()) key.data()();
  CHECK(seen == 42);
  CHECK(value.use_count() == 2);
  expect_idle(sel);
  CHECK(value.use_count() == 1);
}

BACKEND_TEST_CASE("a handler may register its own number again", "[lifetime]", backends) {
  selector<handler, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  int first = 0, second = 0;
  const auto value = std::make_shared<int>(7);
  sel.register_(pipe.reader, event::read, [&, value] {
    sel.unregister(pipe.reader);
    sel.register_(pipe.reader, event::read, [&] { ++second; });
    first += *value;
  });
  for (int i = 0; i != 2; ++i)
    for (auto [key, events] : sel.select()) key.data()();
  CHECK(first == 7);
  CHECK(second == 1);
}

BACKEND_TEST_CASE("a handler may close or clear its selector and run on", "[lifetime]", backends) {
  selector<handler, TestType> sel;
  auto pipe = make_pipe();
  write_byte(pipe.writer);
  const auto value = std::make_shared<int>(1);
  const bool closes = GENERATE(true, false);
  int seen = 0;
  sel.register_(pipe.reader, event::read, [&, closes, value] {
    if (closes)
      sel.close();
    else
      sel.clear();
    seen = *value;
  });
  for (auto [key, events] : sel.select()) key.data()();
  CHECK(seen == 1);
  CHECK(value.use_count() == 2);
  CHECK(sel.is_open() == !closes);
  sel.reopen();
  CHECK(value.use_count() == 1);
}

BACKEND_TEST_CASE("select destroys retired keys before it waits", "[lifetime]", backends) {
  selector<owner, TestType> sel;
  auto [ours, theirs] = make_socket_pair();
  const auto number = ours.get();
  sel.register_(event::read, owner{std::move(ours)});
  selector<void, TestType> peer;
  peer.register_(theirs, event::read);
  sel.unregister(number);
  expect_idle(peer);
  expect_idle(sel);
  expect_raised(peer, {{theirs.get(), event::read}});
  CHECK_FALSE(is_open(number));
}

BACKEND_TEST_CASE("a select that is refused destroys nothing", "[lifetime]", backends) {
  int alive = 0;
  selector<witness, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read, witness(alive));
  sel.unregister(pipe.reader);
  CHECK(error_of([&](auto& error) { sel.select(std::chrono::duration<double>(NAN), error); }) ==
        errc::invalid_timeout);
  CHECK(alive == 1);
  sel.close();
  CHECK(error_of([&](auto& error) { sel.select(error); }) == errc::closed);
  CHECK(alive == 1);
  sel.reopen();
  CHECK(alive == 0);
}

BACKEND_TEST_CASE("destroying a selector destroys all data, retired too", "[lifetime]", backends) {
  int alive = 0;
  auto pipes = make_pipes(3);
  {
    selector<witness, TestType> sel;
    for (auto& [reader, writer] : pipes) sel.register_(reader, event::read, witness(alive));
    sel.unregister(pipes[0].reader);
    CHECK(alive == 3);
  }
  CHECK(alive == 0);
}

BACKEND_TEST_CASE("data can be moved out of the key that unregister returns", "[lifetime]", backends) {
  selector<std::unique_ptr<int>, TestType> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read, std::make_unique<int>(5));
  const std::unique_ptr<int> data = std::move(sel.unregister(pipe.reader).data());
  CHECK(*data == 5);
}

BACKEND_TEST_CASE("a key that is gone is not registered, even if its number is again", "[lifetime]",
                  backends) {
  selector<int, TestType> sel;
  auto pipe = make_pipe();
  auto& old = sel.register_(pipe.reader, event::read, 1);
  sel.unregister(old);
  sel.register_(pipe.reader, event::read, 2);
  CHECK(error_of([&](auto& error) { sel.unregister(old, error); }) == errc::not_registered);
  CHECK(error_of([&](auto& error) { sel.modify(old, event::write, error); }) == errc::not_registered);
  CHECK(sel.at(pipe.reader).data() == 2);
  CHECK(old.data() == 1);
}

BACKEND_TEST_CASE("references to keys stay valid while registered, through moves and growth", "[lifetime]",
                  backends) {
  std::optional<selector<native_handle_type, TestType>> sel(std::in_place);
  auto pipes = make_pipes(200);
  std::vector<selector_key<native_handle_type>*> keys;
  for (auto& [reader, writer] : pipes) keys.push_back(&sel->register_(reader, event::read, reader.get()));
  selector<native_handle_type, TestType> other(std::move(*sel));
  sel.reset();
  for (std::size_t i = 0; i != pipes.size(); ++i) {
    CHECK(keys[i]->data() == pipes[i].reader.get());
    CHECK(other.find(pipes[i].reader) == keys[i]);
  }
}

namespace {

constexpr native_handle_type none = detail::invalid_handle;

// Data whose destructor uses the selector.
template <class Backend>
struct busy {
  using selector_type = selector<std::unique_ptr<busy>, Backend>;
  selector_type* sel;
  native_handle_type unregisters, modifies, registers;
  ~busy() {
    std::error_code error;
    if (unregisters != none) sel->unregister(unregisters, error);
    if (modifies != none) sel->modify(modifies, event::read | priority_or_read<Backend>, error);
    if (registers != none) sel->register_(registers, event::read, std::unique_ptr<busy>(), error);
  }
};

}  // namespace

BACKEND_TEST_CASE("the destructor of data may use the selector", "[lifetime]", backends) {
  using data = busy<TestType>;
  typename data::selector_type sel;
  auto pipes = make_pipes(4);
  const auto number = [&](std::size_t i) { return pipes[i].reader.get(); };
  auto chained = std::unique_ptr<data>(new data{&sel, none, none, number(3)});
  sel.register_(number(0), event::read, std::unique_ptr<data>(new data{&sel, number(1), number(2), none}));
  sel.register_(number(1), event::read, std::move(chained));
  sel.register_(number(2), event::read, nullptr);
  sel.unregister(number(0));
  expect_idle(sel);
  CHECK_FALSE(sel.contains(number(0)));
  CHECK_FALSE(sel.contains(number(1)));
  CHECK(sel.at(number(2)).events() == (event::read | priority_or_read<TestType>));
  CHECK(sel.contains(number(3)));
  write_byte(pipes[3].writer);
  expect_ready(sel, {{number(3), event::read}});
}

BACKEND_TEST_CASE("the data of a closed selector may try to use it when it is destroyed", "[lifetime]",
                  backends) {
  using data = busy<TestType>;
  auto pipes = make_pipes(2);
  typename data::selector_type sel;
  for (auto& [reader, writer] : pipes)
    sel.register_(reader, event::read,
                  std::unique_ptr<data>(new data{&sel, pipes[0].reader.get(), none, pipes[1].reader.get()}));
}

BACKEND_TEST_CASE("assigning over a selector lets what it held live on in the other", "[lifetime]",
                  backends) {
  int alive = 0;
  auto pipes = make_pipes(3);
  selector<witness, TestType> sel;
  sel.register_(pipes[0].reader, event::read, witness(alive));
  sel.register_(pipes[1].reader, event::read, witness(alive));
  sel.unregister(pipes[0].reader);
  std::optional<selector<witness, TestType>> other(std::in_place);
  other->register_(pipes[2].reader, event::read, witness(alive));
  sel = std::move(*other);
  CHECK(alive == 3);
  CHECK(sel.size() == 1);
  CHECK(sel.contains(pipes[2].reader));
  CHECK_FALSE(other->is_open());
  CHECK(other->empty());
  SECTION("until that is destroyed") {
    other.reset();
    CHECK(alive == 1);
  }
  SECTION("until that is assigned to") {
    selector<witness, TestType> third;
    *other = std::move(third);
    CHECK(alive == 1);
  }
  SECTION("until that is reopened") {
    other->reopen();
    CHECK(alive == 1);
    CHECK(other->empty());
    other->register_(pipes[0].reader, event::read, witness(alive));
    selector<witness, TestType> third;
    *other = std::move(third);
    CHECK(alive == 2);
  }
}

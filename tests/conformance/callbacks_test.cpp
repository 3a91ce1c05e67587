// SPDX-License-Identifier: BSL-1.0

// Data whose constructors and destructors call the selector. A key is seen by others only once its data
// exists, and nothing is destroyed that was not made.

#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <functional>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

struct refused {};

// Calls back when it is made and when it is destroyed, and counts how many there are.
template <class Backend>
struct caller {
  using selector_type = selector<caller, Backend>;

  struct orders {
    std::function<void()> made, gone;
    bool throws = false;
  };

  static inline int alive = 0;
  static inline int mistakes = 0;

  explicit(false) caller(orders all) : orders_(std::move(all)) {
    if (orders_.made) orders_.made();
    if (orders_.throws) throw refused();
    ++alive;
    self_ = this;
  }
  caller(const caller&) = delete;
  ~caller() {
    if (self_ != this) ++mistakes;  // not made, or destroyed before
    self_ = nullptr;
    --alive;
    if (orders_.gone) std::exchange(orders_.gone, nullptr)();
  }

 private:
  orders orders_;
  const caller* self_ = nullptr;
};

template <class Backend>
struct stage {
  using data = caller<Backend>;
  using orders = typename data::orders;

  stage() { data::alive = data::mistakes = 0; }
  ~stage() {
    sel.reset();
    CHECK(data::alive == 0);
    CHECK(data::mistakes == 0);
  }

  void add(std::size_t i, orders what = {}) { sel->register_(pipes[i].reader, event::read, std::move(what)); }
  std::error_code try_add(std::size_t i, orders what = {}) {
    return error_of(
        [&](auto& error) { sel->register_(pipes[i].reader, event::read, std::move(what), error); });
  }
  bool has(std::size_t i) const { return sel->contains(pipes[i].reader); }
  void write_all() {
    for (auto& pipe : pipes) write_byte(pipe.writer);
  }

  std::vector<pipe_ends> pipes = make_pipes(8);
  std::optional<selector<data, Backend>> sel{std::in_place};
};

}  // namespace

BACKEND_TEST_CASE("a constructor that registers others, and throws or not", "[callbacks]", backends) {
  const bool throws = GENERATE(false, true);
  stage<TestType> all;
  const auto register_first = [&] {
    all.add(0, {[&] {
                  all.add(1);
                  CHECK_FALSE(all.has(0));
                  CHECK(all.sel->size() == 1);
                },
                {},
                throws});
  };
  if (throws)
    CHECK_THROWS_AS(register_first(), refused);
  else
    register_first();
  CHECK(all.has(0) == !throws);
  CHECK(all.sel->size() == (throws ? 1 : 2));
  all.write_all();
  CHECK(ready(*all.sel).size() == all.sel->size());
  all.try_add(0);
  CHECK(ready(*all.sel).size() == 2);
}

BACKEND_TEST_CASE("constructors nest, and the one that throws takes back its own key alone", "[callbacks]",
                  backends) {
  const std::size_t thrower = GENERATE(0U, 1U, 2U, 3U, 99U);
  stage<TestType> all;
  std::function<void(std::size_t)> nest = [&](std::size_t i) {
    const auto made = [&, i] {
      for (std::size_t outer = 0; outer <= i; ++outer) {
        CHECK_FALSE(all.has(outer));
        CHECK(all.try_add(outer) == errc::already_registered);
      }
      if (i == 3) return;
      try {
        nest(i + 1);
      } catch (const refused&) {
      }
    };
    all.add(i, {made, {}, i == thrower});
  };
  try {
    nest(0);
  } catch (const refused&) {
    CHECK(thrower == 0);
  }
  for (std::size_t i = 0; i != 4; ++i) CHECK(all.has(i) == (i != thrower));
  all.write_all();
  CHECK(ready(*all.sel).size() == all.sel->size());
  if (thrower != 99) CHECK_FALSE(all.try_add(thrower));
  CHECK(ready(*all.sel).size() == 4);
}

BACKEND_TEST_CASE("a constructor cannot find, modify, watch, mark or unregister its own number",
                  "[callbacks]", backends) {
  const bool throws = GENERATE(false, true);
  stage<TestType> all;
  auto& handle = all.pipes[0].reader;
  int checked = 0;
  const auto made = [&] {
    auto& sel = *all.sel;
    CHECK(sel.find(handle) == nullptr);
    CHECK(sel.empty());
    CHECK(sel.begin() == sel.end());
    CHECK(error_of([&](auto& e) { sel.unregister(handle, e); }) == errc::not_registered);
    CHECK(error_of([&](auto& e) { sel.modify(handle, event::read, e); }) == errc::not_registered);
    CHECK(error_of([&](auto& e) { sel.mark_ready(handle, event::read, e); }) == errc::not_registered);
    CHECK(all.try_add(0) == errc::already_registered);
    CHECK(error_of([&](auto& e) { sel.watch(handle, event::read, typename stage<TestType>::orders(), e); }) ==
          errc::already_registered);
    ++checked;
  };
  try {
    all.add(0, {made, {}, throws});
  } catch (const refused&) {
  }
  CHECK(checked == 1);
  CHECK(all.has(0) == !throws);
}

BACKEND_TEST_CASE("a constructor that unregisters, modifies and marks others", "[callbacks]", backends) {
  const bool throws = GENERATE(false, true);
  stage<TestType> all;
  for (std::size_t i = 1; i != 4; ++i) all.add(i);
  try {
    all.add(0, {[&] {
                  all.sel->unregister(all.pipes[1].reader);
                  all.sel->modify(all.pipes[2].reader, event_mask());
                  all.sel->mark_ready(all.pipes[3].reader, event::read);
                  for (auto& key : *all.sel) CHECK(key.handle() != all.pipes[0].reader.get());
                },
                {},
                throws});
  } catch (const refused&) {
  }
  CHECK(all.sel->size() == (throws ? 2 : 3));
  expect_ready(*all.sel, {{all.pipes[3].reader.get(), event::read}});
  expect_idle(*all.sel);
}

// Which it must not do; nothing of it corrupts the selector all the same.
BACKEND_TEST_CASE("a constructor that clears, closes or reopens", "[callbacks]", backends) {
  const bool throws = GENERATE(false, true);
  const int what = GENERATE(0, 1, 2, 3);
  stage<TestType> all;
  all.add(1);
  try {
    const auto error = all.try_add(0, {[&] {
                                         if (what == 0) all.sel->clear();
                                         if (what == 1) all.sel->close();
                                         if (what == 2) all.sel->reopen();
                                         if (what == 3) {
                                           all.sel->close();
                                           all.sel->reopen();
                                         }
                                       },
                                       {},
                                       throws});
    CHECK_FALSE(throws);
    if (what == 1) CHECK(error == errc::closed);
  } catch (const refused&) {
  }
  if (!all.sel->is_open()) all.sel->reopen();
  all.write_all();
  for (int i = 0; i != 2; ++i) CHECK(ready(*all.sel, 0s).size() == all.sel->size());
  all.try_add(0);
  all.try_add(1);
  for (int i = 0; i != 2; ++i) CHECK(ready(*all.sel, 0s).size() == 2);
}

BACKEND_TEST_CASE("a constructor within a loop, and while keys are iterated over", "[callbacks]", backends) {
  const bool throws = GENERATE(false, true);
  stage<TestType> all;
  for (std::size_t i = 1; i != 4; ++i) all.add(i);
  all.write_all();
  int reached = 0;
  for (auto [key, events] : all.sel->select()) {
    if (reached++ != 0) continue;
    const auto handle = key.handle();
    try {
      all.add(0, {[&] {
                    for (std::size_t i = 1; i != 4; ++i)
                      if (all.pipes[i].reader.get() != handle) all.sel->unregister(all.pipes[i].reader);
                    for (std::size_t i = 4; i != 8; ++i) all.add(i);
                  },
                  {},
                  throws});
    } catch (const refused&) {
    }
  }
  CHECK(reached == 1);
  std::size_t count = 0;
  for (auto& key : *all.sel) {
    ++count;
    if (count == 1) all.sel->unregister(key);
  }
  CHECK(count == (throws ? 5 : 6));
  CHECK(ready(*all.sel).size() == count - 1);
}

BACKEND_TEST_CASE("a destructor that registers, unregisters and looks up", "[callbacks]", backends) {
  stage<TestType> all;
  int called = 0;
  const auto gone = [&] {
    ++called;
    CHECK_FALSE(all.has(0));
    all.add(3, {{}, [&] { ++called; }, false});
    all.sel->unregister(all.pipes[1].reader);
    all.sel->unregister(all.pipes[3].reader);
    all.add(0);
    all.sel->modify(all.pipes[2].reader, event_mask());
    all.sel->mark_ready(all.pipes[0].reader, event::read);
  };
  all.add(0, {{}, gone, false});
  all.add(1, {{}, [&] { ++called; }, false});
  all.add(2);
  all.sel->unregister(all.pipes[0].reader);
  CHECK(called == 0);
  expect_ready(*all.sel, {{all.pipes[0].reader.get(), event::read}});
  CHECK(called == 3);  // what it retired goes before the wait, too
  CHECK(all.sel->size() == 2);
  CHECK(caller<TestType>::alive == 2);
}

BACKEND_TEST_CASE("an iterator at a key that was unregistered goes on behind it", "[callbacks]", backends) {
  stage<TestType> all;
  for (std::size_t i = 0; i != 6; ++i) all.add(i);
  std::vector<native_handle_type> seen;
  for (auto it = all.sel->begin(); it != all.sel->end(); ++it) {
    const auto handle = it->handle();
    seen.push_back(handle);
    all.sel->unregister(*it);
    if (seen.size() == 2) {
      CHECK(it->handle() == handle);  // retired, and alive
      for (std::size_t i = 0; i != 6; ++i)
        if (i % 2 == 1 && all.has(i)) all.sel->unregister(all.pipes[i].reader);
      all.try_add(0);
    }
  }
  CHECK(seen.size() >= 3);
  CHECK(std::set<native_handle_type>(seen.begin(), seen.end()).size() >= 3);
  CHECK(all.sel->size() <= 1);
}

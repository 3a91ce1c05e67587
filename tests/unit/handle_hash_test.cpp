// SPDX-License-Identifier: BSL-1.0

#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <selectors/detail/handle_hash.hpp>
#include <selectors/handle.hpp>

#include <cstddef>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

using namespace selectors;
using support::allocation_budget;
using support::allocations;

namespace {

struct item {
  native_handle_type handle = detail::invalid_handle;
};
using table = detail::handle_hash<item>;

// Items whose numbers lie as far apart as `stride`.
std::vector<item> make_items(std::size_t count, int stride) {
  std::vector<item> items(count);
  for (std::size_t i = 0; i != count; ++i)
    items[i].handle = static_cast<native_handle_type>(static_cast<int>(i) * stride);
  return items;
}

std::vector<item*> items_of(const table& all) {
  std::vector<item*> found;
  for (std::size_t i = all.next(0); i != table::none; i = all.next(i + 1)) found.push_back(&all.at(i));
  return found;
}

void put(table& all, item& one) {
  std::size_t count = 1;
  for (std::size_t i = all.next(0); i != table::none; i = all.next(i + 1)) ++count;
  REQUIRE(all.reserve(count));
  all.set(one.handle, &one);
}

}  // namespace

TEST_CASE("an empty table finds nothing", "[handle_hash]") {
  table all;
  CHECK(all.find(0) == nullptr);
  CHECK(all.find(detail::invalid_handle) == nullptr);
  CHECK(all.next(0) == table::none);
  all.set(7, nullptr);
  REQUIRE(all.reserve(1));
  CHECK(all.find(7) == nullptr);
  CHECK(all.next(0) == table::none);
}

TEST_CASE("handles of any number are found until they are taken out", "[handle_hash]") {
  for (const int stride : {1, 3, 4, 64, 4096, 1 << 20}) {
    auto items = make_items(1000, stride);
    table all;
    for (item& one : items) put(all, one);
    for (item& one : items) CHECK(all.find(one.handle) == &one);
    CHECK(all.find(static_cast<native_handle_type>(1000) * static_cast<native_handle_type>(stride)) ==
          nullptr);
    for (std::size_t i = 0; i < items.size(); i += 2) all.set(items[i].handle, nullptr);
    for (std::size_t i = 0; i != items.size(); ++i)
      CHECK(all.find(items[i].handle) == (i % 2 == 0 ? nullptr : &items[i]));
    CHECK(items_of(all).size() == 500);
  }
}

TEST_CASE("who stays keeps the position, whoever leaves meanwhile", "[handle_hash]") {
  auto items = make_items(100, 4);
  table all;
  for (item& one : items) put(all, one);
  std::set<native_handle_type> seen;
  std::size_t left = items.size();
  for (std::size_t i = all.next(0); i != table::none; i = all.next(i + 1)) {
    const native_handle_type here = all.at(i).handle;
    CHECK(seen.insert(here).second);
    for (item& other : items) {
      if (all.find(other.handle) == nullptr || (other.handle / 4 + here / 4) % 3 != 0) continue;
      all.set(other.handle, nullptr);
      --left;
    }
    for (const item* const one : items_of(all)) CHECK(all.find(one->handle) == one);
  }
  // Each was seen that was there when it was its turn.
  for (const item* const one : items_of(all)) CHECK(seen.count(one->handle) == 1);
  CHECK(items_of(all).size() == left);
}

TEST_CASE("a table knows what a map knows, whatever comes and goes", "[handle_hash]") {
  std::mt19937 random(1);
  auto items = make_items(300, 4);
  table all;
  std::map<native_handle_type, item*> expected;
  for (int step = 0; step != 50'000; ++step) {
    item& one = items[random() % items.size()];
    if (expected.count(one.handle) != 0) {
      all.set(one.handle, nullptr);
      expected.erase(one.handle);
    } else {
      put(all, one);
      expected[one.handle] = &one;
    }
    const item& other = items[random() % items.size()];
    const auto known = expected.find(other.handle);
    REQUIRE(all.find(other.handle) == (known == expected.end() ? nullptr : known->second));
  }
  CHECK(items_of(all).size() == expected.size());
  for (const item* const one : items_of(all)) CHECK(expected.at(one->handle) == one);
}

TEST_CASE("a warm table allocates nothing", "[handle_hash]") {
  auto items = make_items(500, 4);
  table all;
  for (std::size_t i = 0; i != 250; ++i) put(all, items[i]);
  const std::size_t before = allocations();
  for (std::size_t i = 250; i != 20'000; ++i) {
    all.set(items[i % 500 < 250 ? i % 500 + 250 : i % 500 - 250].handle, nullptr);
    put(all, items[i % 500]);
  }
  CHECK(allocations() == before);
  CHECK(items_of(all).size() == 250);
}

TEST_CASE("what was reserved fits", "[handle_hash]") {
  for (const std::size_t count : {1U, 2U, 15U, 16U, 17U, 100U}) {
    auto items = make_items(count, 4);
    table all;
    REQUIRE(all.reserve(count));
    const std::size_t before = allocations();
    for (item& one : items) all.set(one.handle, &one);
    CHECK(allocations() == before);
    for (item& one : items) CHECK(all.find(one.handle) == &one);
  }
}

TEST_CASE("a table without memory stays as it was, wherever it is missing", "[handle_hash]") {
  auto items = make_items(200, 4);
  table all;
  std::size_t failures = 0;
  for (std::size_t i = 0; i != items.size(); ++i) {
    for (std::size_t budget = 0;; ++budget) {
      bool fits = false;
      {
        const allocation_budget memory(budget);
        fits = all.reserve(i + 1);
      }
      if (fits) break;
      ++failures;
      for (std::size_t other = 0; other != i; ++other)
        REQUIRE(all.find(items[other].handle) == &items[other]);
      REQUIRE(items_of(all).size() == i);
    }
    all.set(items[i].handle, &items[i]);
  }
  CHECK(failures >= 8);
}

TEST_CASE("a table moves, and leaves an empty one", "[handle_hash]") {
  auto items = make_items(3, 4);
  table all;
  for (item& one : items) put(all, one);
  all.set(items[0].handle, nullptr);
  table other = std::move(all);
  CHECK(all.find(4) == nullptr);
  CHECK(all.next(0) == table::none);
  CHECK(other.find(4) == &items[1]);
  put(all, items[2]);
  std::swap(all, other);
  CHECK(items_of(all).size() == 2);
  CHECK(items_of(other).size() == 1);
}

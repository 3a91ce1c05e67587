// SPDX-License-Identifier: BSL-1.0

#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <selectors/detail/pool.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

using namespace support;
using selectors::detail::pool;

namespace {

// How many nodes each of the first chunks has.
std::vector<int> chunks_of(pool::layout node, std::size_t chunks) {
  pool nodes;
  std::vector<int> sizes;
  sizes.reserve(chunks + 1);
  while (sizes.size() <= chunks) {
    const std::size_t before = allocations();
    REQUIRE(nodes.reserve_one(node));
    if (allocations() != before) sizes.push_back(0);
    ++sizes.back();
    nodes.take();
  }
  sizes.pop_back();
  return sizes;
}

}  // namespace

TEST_CASE("a pool grows by a kibibyte first, and by a quarter when it is large", "[pool]") {
  CHECK(chunks_of({16, 8}, 6) == std::vector<int>{16, 16, 16, 16, 16, 20});
  CHECK(chunks_of({64, 8}, 1) == std::vector<int>{17});
  CHECK(chunks_of({1000, 8}, 1) == std::vector<int>{2});
}

TEST_CASE("the nodes of a pool do not overlap, and are aligned", "[pool]") {
  for (const pool::layout node : {pool::layout{9, 1}, pool::layout{24, 8}, pool::layout{72, 64}}) {
    const auto live = live_allocations();
    {
      pool nodes;
      std::vector<std::uintptr_t> places;
      for (int i = 0; i != 50; ++i) {
        REQUIRE(nodes.reserve_one(node));
        void* const memory = nodes.take();
        std::memset(memory, 0xff, node.size);
        places.push_back(reinterpret_cast<std::uintptr_t>(memory));
      }
      std::sort(places.begin(), places.end());
      for (std::size_t i = 0; i != places.size(); ++i) {
        CHECK(places[i] % node.alignment == 0);
        if (i != 0) CHECK(places[i] - places[i - 1] >= node.size);
      }
    }
    CHECK(live_allocations() == live);
  }
}

TEST_CASE("a node that was given back is taken again, by whom the pool was moved to", "[pool]") {
  const auto live = live_allocations();
  {
    pool one;
    REQUIRE(one.reserve_one({16, 8}));
    void* const node = one.take();
    REQUIRE(one.reserve_one({16, 8}));
    one.take();
    one.give(node);
    pool other(std::move(one));
    CHECK(one.taken() == 0);
    CHECK(other.taken() == 1);
    const std::size_t before = allocations();
    REQUIRE(other.reserve_one({16, 8}));
    CHECK(allocations() == before);
    CHECK(other.take() == node);
    REQUIRE(one.reserve_one({16, 8}));
    CHECK(allocations() == before + 1);
  }
  CHECK(live_allocations() == live);
}

TEST_CASE("a pool grows on where it is moved to", "[pool]") {
  pool one;
  while (one.taken() != 80) {
    REQUIRE(one.reserve_one({16, 8}));
    one.take();
  }
  pool other(std::move(one));
  std::size_t before = allocations();
  REQUIRE(other.reserve_one({16, 8}));
  CHECK(allocations() == before + 1);
  for (int i = 0; i != 20; ++i) {
    REQUIRE(other.reserve_one({16, 8}));
    other.take();
  }
  CHECK(allocations() == before + 1);
}

TEST_CASE("a node that no memory can hold is refused, and so is one that there is no memory for", "[pool]") {
  pool nodes;
  const std::size_t before = allocations();
  CHECK_FALSE(nodes.reserve_one({std::numeric_limits<std::size_t>::max() / 2, 8}));
  CHECK(allocations() == before);
  allocation_budget none(0);
  const bool reserved = nodes.reserve_one({16, 8});
  none.lift();
  CHECK_FALSE(reserved);
}

// SPDX-License-Identifier: BSL-1.0

#include "support/allocations.hpp"
#include "support/catch.hpp"

#include <selectors/detail/buffer.hpp>

#include <cstdint>
#include <limits>

using namespace support;
using selectors::detail::buffer;

TEST_CASE("a buffer keeps what it has as it grows, and the rest is zero", "[buffer]") {
  buffer<int> numbers;
  CHECK(numbers.capacity() == 0);
  for (std::size_t size = 1; size != 200; ++size) {
    REQUIRE(numbers.reserve(size));
    REQUIRE(numbers.capacity() >= size);
    CHECK(numbers[size - 1] == 0);
    numbers[size - 1] = static_cast<int>(size);
  }
  for (std::size_t i = 0; i != 199; ++i) REQUIRE(numbers[i] == static_cast<int>(i) + 1);
}

TEST_CASE("a buffer keeps no more than is in use, if it is told", "[buffer]") {
  buffer<int> numbers;
  REQUIRE(numbers.reserve(4, 0));
  for (int i = 0; i != 4; ++i) numbers[static_cast<std::size_t>(i)] = i + 1;
  REQUIRE(numbers.reserve(1000, GENERATE(std::size_t{3}, std::size_t{4})));
  for (int i = 0; i != 3; ++i) CHECK(numbers[static_cast<std::size_t>(i)] == i + 1);
  REQUIRE(numbers.reserve(500, 0));
  CHECK(numbers[2] == 3);
}

TEST_CASE("a buffer allocates when it must, and by a half at least", "[buffer]") {
  buffer<int> numbers;
  REQUIRE(numbers.reserve(100));
  CHECK(numbers.capacity() == 100);
  const std::size_t before = allocations();
  REQUIRE(numbers.reserve(100));
  REQUIRE(numbers.reserve(1));
  CHECK(allocations() == before);
  REQUIRE(numbers.reserve(GENERATE(std::size_t{101}, std::size_t{147})));
  CHECK(numbers.capacity() == 150);
  REQUIRE(numbers.reserve(1000));
  CHECK(numbers.capacity() == 1000);
}

TEST_CASE("what cannot be had is refused, and nothing is changed", "[buffer]") {
  buffer<std::uint64_t> numbers;
  REQUIRE(numbers.reserve(1));
  numbers[0] = 7;
  constexpr std::size_t most = (std::numeric_limits<std::ptrdiff_t>::max)() / sizeof(std::uint64_t);
  const std::size_t before = allocations();
  CHECK_FALSE(numbers.reserve(most + 1));
  CHECK_FALSE(numbers.reserve((std::numeric_limits<std::size_t>::max)()));
  CHECK(allocations() == before);
  {
    allocation_budget none(0);
    CHECK_FALSE(numbers.reserve(1000));
  }
  {
    allocation_budget none(0);
    const bool reserved = numbers.reserve(most);
    const bool was_tried = none.was_exceeded();
    none.lift();
    CHECK_FALSE(reserved);
    CHECK(was_tried);
  }
  CHECK(numbers.capacity() == 1);
  CHECK(numbers[0] == 7);
}

TEST_CASE("a buffer gives its memory back, and moves it", "[buffer]") {
  const auto live = live_allocations();
  {
    buffer<int> one, other;
    REQUIRE(one.reserve(10));
    one[9] = 9;
    other = std::move(one);
    CHECK(other[9] == 9);
    buffer<int> third(std::move(other));
    CHECK(third[9] == 9);
    REQUIRE(third.reserve(1000));
    CHECK(live_allocations() == live + 1);
  }
  CHECK(live_allocations() == live);
}

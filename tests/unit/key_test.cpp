// SPDX-License-Identifier: BSL-1.0

#include "support/catch.hpp"

#include <selectors/selectors.hpp>

#include <iterator>
#include <ranges>
#include <type_traits>

using namespace selectors;

namespace {

struct incomplete;
struct holder {  // names a selector of what is not complete yet
  selector<incomplete>* of = nullptr;
  selector_key<incomplete>* key = nullptr;
};
struct incomplete {
  selector<incomplete>* mine = nullptr;
};

template <class Key>
concept has_data = requires(Key& key) { key.data(); };

}  // namespace

TEST_CASE("a key is made by a selector only, and stays where it is", "[key]") {
  using key = selector_key<int>;
  STATIC_REQUIRE_FALSE(std::is_default_constructible_v<key>);
  STATIC_REQUIRE_FALSE(std::is_copy_constructible_v<key>);
  STATIC_REQUIRE_FALSE(std::is_move_constructible_v<key>);
  STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<key>);
  STATIC_REQUIRE_FALSE(std::is_destructible_v<key>);
}

TEST_CASE("a key's data is as constant as the key, and absent for void", "[key]") {
  STATIC_REQUIRE(std::is_same_v<decltype(std::declval<selector_key<int>&>().data()), int&>);
  STATIC_REQUIRE(std::is_same_v<decltype(std::declval<const selector_key<int>&>().data()), const int&>);
  STATIC_REQUIRE(has_data<selector_key<int>>);
  STATIC_REQUIRE_FALSE(has_data<selector_key<void>>);
  STATIC_REQUIRE(noexcept(std::declval<const selector_key<void>&>().handle()));
  STATIC_REQUIRE(noexcept(std::declval<const selector_key<void>&>().events()));
}

TEST_CASE("a selector may be named before its data is complete", "[key]") {
  holder one;
  CHECK(one.of == nullptr);
  STATIC_REQUIRE(std::is_same_v<selector<incomplete>::data_type, incomplete>);
}

TEST_CASE("a ready range is a view and an input range of ready_event by value", "[key]") {
  using range = selector<int>::ready_range;
  STATIC_REQUIRE(std::ranges::view<range>);
  STATIC_REQUIRE(std::ranges::input_range<range>);
  STATIC_REQUIRE(std::ranges::input_range<const range>);
  STATIC_REQUIRE_FALSE(std::ranges::forward_range<range>);
  STATIC_REQUIRE(std::is_same_v<std::ranges::range_value_t<range>, ready_event<int>>);
  STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<range>, ready_event<int>>);
  STATIC_REQUIRE(std::is_same_v<decltype(ready_event<int>::key), selector_key<int>&>);
  const range none;
  CHECK(none.empty());
  CHECK(none.begin() == none.end());
}

TEST_CASE("a selector is a forward range of its keys", "[key]") {
  STATIC_REQUIRE(std::ranges::forward_range<selector<int>>);
  STATIC_REQUIRE(std::ranges::forward_range<const selector<int>>);
  STATIC_REQUIRE(std::is_same_v<std::ranges::range_reference_t<selector<int>>, selector_key<int>&>);
  STATIC_REQUIRE(
      std::is_same_v<std::ranges::range_reference_t<const selector<int>>, const selector_key<int>&>);
  STATIC_REQUIRE(std::is_convertible_v<selector<int>::iterator, selector<int>::const_iterator>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<selector<int>::const_iterator, selector<int>::iterator>);
}

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/core/handle_table.hpp>
#include <selectors/key.hpp>

#include <cstddef>
#include <iterator>
#include <type_traits>

namespace selectors::detail {

/// A forward iterator over the registered keys, by handle. It holds a position in the table and no key, so
/// any key may be modified or unregistered while it is used. What is registered meanwhile may be missed.
template <class Key>
class key_iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = std::remove_const_t<Key>;
  using difference_type = std::ptrdiff_t;
  using pointer = Key*;
  using reference = Key&;

  key_iterator() noexcept = default;
  key_iterator(const handle_table& keys, std::size_t from) noexcept
      : keys_(&keys), position_(keys.next(from)) {}
  operator key_iterator<const Key>() const noexcept
    requires(!std::is_const_v<Key>)
  {
    return {*keys_, position_};
  }

  reference operator*() const noexcept { return key_access::key_of<value_type>(keys_->at(position_)); }
  pointer operator->() const noexcept { return key_access::pointer_to<value_type>(keys_->at(position_)); }
  key_iterator& operator++() noexcept {
    position_ = keys_->next(position_ + 1);
    return *this;
  }
  key_iterator operator++(int) noexcept {
    key_iterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const key_iterator& a, const key_iterator& b) noexcept {
    return a.position_ == b.position_;
  }

 private:
  const handle_table* keys_ = nullptr;
  std::size_t position_ = handle_table::none;
};

}  // namespace selectors::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/core/handle_table.hpp>
#include <selectors/detail/iterator.hpp>
#include <selectors/key.hpp>
#include <selectors/registration.hpp>
#include <selectors/version.hpp>

#include <cstddef>
#include <type_traits>

namespace SELECTORS_NAMESPACE::detail {

/// A forward iterator over the registered keys, by handle. Any key may be modified or unregistered during an
/// iteration. An iterator at an unregistered key stays valid until the next select, as the key does, and can
/// be incremented. Keys that are registered meanwhile may be missed.
template <class Key>
class key_iterator {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = std::remove_const_t<Key>;
  using difference_type = std::ptrdiff_t;
  using pointer = Key*;
  using reference = Key&;

  key_iterator() noexcept = default;
  key_iterator(const handle_table& keys, std::size_t from) noexcept : keys_(&keys) { go_to(from); }
  operator key_iterator<const Key>() const noexcept
    requires(!std::is_const_v<Key>)
  {
    key_iterator<const Key> same;
    same.keys_ = keys_;
    same.position_ = position_;
    same.record_ = record_;
    return same;
  }

  reference operator*() const noexcept { return key_access::key_of<value_type>(*record_); }
  pointer operator->() const noexcept { return key_access::pointer_to<value_type>(*record_); }
  key_iterator& operator++() noexcept {
    go_to(position_ + 1);
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
  template <class>
  friend class key_iterator;

  void go_to(std::size_t from) noexcept {
    position_ = keys_->next(from);
    record_ = position_ == handle_table::none ? nullptr : &keys_->at(position_);
  }

  const handle_table* keys_ = nullptr;
  record* record_ = nullptr;  // kept, since the table may have another one at this position by now, or none
  std::size_t position_ = handle_table::none;
};

}  // namespace SELECTORS_NAMESPACE::detail

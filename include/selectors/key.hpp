// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <cstddef>
#include <new>
#include <utility>

namespace selectors {

template <class Data>
class selector_key;

namespace detail {

// What every key has, whatever its data.
class basic_key : record {
 public:
  basic_key(const basic_key&) = delete;
  basic_key& operator=(const basic_key&) = delete;

  /// The registered handle.
  [[nodiscard]] native_handle_type handle() const noexcept { return record::handle; }
  /// What was asked for; empty while paused.
  [[nodiscard]] event_mask events() const noexcept { return record::interest.events; }

 private:
  template <class>
  friend class selectors::selector_key;
  friend struct key_access;

  basic_key() noexcept = default;
  ~basic_key() = default;
};

// The only one that makes keys, and turns them into what the core and the backends know of them, and back.
struct key_access {
  static record& record_of(basic_key& key) noexcept { return key; }
  static const record& record_of(const basic_key& key) noexcept { return key; }
  template <class Key>
  static Key& key_of(record& r) noexcept {
    return static_cast<Key&>(static_cast<basic_key&>(r));
  }

  template <class Key>
  static record* create(void* memory) noexcept {
    return ::new (memory) Key;
  }
  // In place: what converts to Data by returning one need not even be movable.
  template <class Data, class From>
  static void construct_data(selector_key<Data>& key, From&& from) {
    ::new (static_cast<void*>(&key.storage_)) Data(static_cast<Data>(std::forward<From>(from)));
  }
  template <class Data>
  static void construct_data(selector_key<Data>& key) {
    ::new (static_cast<void*>(&key.storage_)) Data();
  }
  template <class Key>
  static void destroy_data(record& r) noexcept {
    if constexpr (requires(Key& key) { key.data(); }) key_of<Key>(r).destroy_data();
  }
};

}  // namespace detail

/// One registration: the handle, what was asked for, and the data given with it. Made by a selector, neither
/// copied nor moved; a reference to it is valid while it is registered and, to `data()` above all, until the
/// `select` after that.
template <class Data>
class selector_key : public detail::basic_key {
 public:
  [[nodiscard]] Data& data() noexcept { return data_; }
  [[nodiscard]] const Data& data() const noexcept { return data_; }

 private:
  friend struct detail::key_access;

  selector_key() noexcept {}
  ~selector_key() {}
  void destroy_data() noexcept { data_.~Data(); }

  union {
    Data data_;
    std::byte storage_;  // where it is made
  };
};

/// A key that carries nothing.
template <>
class selector_key<void> : public detail::basic_key {
  friend struct detail::key_access;
  selector_key() noexcept = default;
  ~selector_key() = default;
};

/// What a loop over a ready range gets: a key, and what of it is ready.
template <class Data>
struct ready_event {
  selector_key<Data>& key;
  event_mask events;
};

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>
#include <selectors/version.hpp>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace SELECTORS_NAMESPACE {

template <class Data>
class selector_key;

namespace detail {

// The part of a key that does not depend on the type of its data.
class basic_key : record {
 public:
  basic_key(const basic_key&) = delete;
  basic_key& operator=(const basic_key&) = delete;

  /// The registered handle.
  [[nodiscard]] native_handle_type handle() const noexcept { return record::handle; }
  /// The requested events; empty while paused.
  [[nodiscard]] event_mask events() const noexcept { return record::interest.events; }

 private:
  template <class>
  friend class selectors::selector_key;
  friend struct key_access;

  basic_key() noexcept = default;
  ~basic_key() = default;
};

// Makes keys, and converts between a key and its record: the core and the backends know only records.
struct key_access {
  static record& record_of(basic_key& key) noexcept { return key; }
  static const record& record_of(const basic_key& key) noexcept { return key; }
  template <class Key>
  static Key& key_of(record& r) noexcept {
    return *pointer_to<Key>(r);
  }
  // Converts pointers, not references: `&key` could call an operator& that is found through the namespace of
  // Data.
  template <class Key>
  static Key* pointer_to(record& r) noexcept {
    return static_cast<Key*>(static_cast<basic_key*>(&r));
  }

  template <class Key>
  static record* create(void* memory) noexcept {
    return ::new (memory) Key;
  }
  // Like `Data d = from;`: explicit constructors and conversions are not considered. Constructed in place, so
  // a Data that a conversion operator returns need not be movable.
  template <class Data, class From>
  static void construct_data(selector_key<Data>& key, From&& from) {
    void* const memory = &key.storage_;
    if constexpr (std::is_scalar_v<Data> && std::is_scalar_v<std::remove_cvref_t<From>>)
      ::new (memory) Data(static_cast<Data>(from));  // the same, without a warning about narrowing
    else
      ::new (memory) Data(key_access::converted<std::remove_cv_t<Data>>(std::forward<From>(from)));
  }
  template <class Data, class From>
  static Data converted(From&& from) {
    return std::forward<From>(from);
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

/// One registration: the handle, the requested events, and the data given with it. Made by a selector,
/// neither copied nor moved. References to it and its data stay valid until the first `select` or `reopen`
/// after it is unregistered.
template <class Data>
class selector_key : public detail::basic_key {
 public:
  /// The data: the caller's to read, change and move from.
  [[nodiscard]] Data& data() noexcept { return data_; }
  /// As above, of a constant key.
  [[nodiscard]] const Data& data() const noexcept { return data_; }

 private:
  friend struct detail::key_access;

  selector_key() noexcept {}
  ~selector_key() {}
  void destroy_data() noexcept { data_.~Data(); }

  union {
    Data data_;
    std::byte storage_;  // the address where data_ is constructed
  };
};

/// A key without data.
template <>
class selector_key<void> : public detail::basic_key {
  friend struct detail::key_access;
  selector_key() noexcept = default;
  ~selector_key() = default;
};

/// An entry of a ready range: a key, and the events for which it is ready.
template <class Data>
struct ready_event {
  selector_key<Data>& key;
  event_mask events;
};

}  // namespace SELECTORS_NAMESPACE

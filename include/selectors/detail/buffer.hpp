// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// The part of a buffer that does not depend on the type of its elements.
class untyped_buffer {
 public:
  std::size_t capacity() const noexcept { return capacity_; }

 protected:
  untyped_buffer() noexcept = default;
  untyped_buffer(untyped_buffer&& other) noexcept { *this = std::move(other); }
  untyped_buffer& operator=(untyped_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~untyped_buffer() { ::operator delete(data_); }

  SELECTORS_COLD bool grow(std::size_t count, std::size_t size_of_element, std::size_t kept,
                           bool is_zeroed) noexcept {
    const std::size_t wanted = count > capacity_ + capacity_ / 2 ? count : capacity_ + capacity_ / 2;
    if (wanted > (std::numeric_limits<std::ptrdiff_t>::max)() / size_of_element) return false;
    void* const grown = ::operator new(wanted * size_of_element, std::nothrow);
    if (grown == nullptr) return false;
    const std::size_t used = kept * size_of_element;
    if (used != 0) std::memcpy(grown, data_, used);
    if (is_zeroed) std::memset(static_cast<char*>(grown) + used, 0, wanted * size_of_element - used);
    ::operator delete(data_);
    data_ = grown;
    capacity_ = wanted;
    return true;
  }

  void* data_ = nullptr;
  std::size_t capacity_ = 0;
};

// A growing array of trivial elements that returns false instead of throwing when there is no memory. It has
// a capacity but no size: all of it can be used. Growing by half keeps registering amortized O(1) and wastes
// little memory.
template <class T>
class buffer : public untyped_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // Makes room for `count` elements; false if there is no memory, and nothing has changed then. New elements
  // are zero.
  [[nodiscard]] bool reserve(std::size_t count) noexcept {
    return count <= capacity_ || grow(count, sizeof(T), capacity_, true);
  }
  // The same for elements that are written before they are read: only the first `used` are kept, and the rest
  // is not touched, so that the system need not provide its pages yet.
  [[nodiscard]] bool reserve(std::size_t count, std::size_t used) noexcept {
    return count <= capacity_ || grow(count, sizeof(T), used, false);
  }

  T* data() noexcept { return static_cast<T*>(data_); }
  const T* data() const noexcept { return static_cast<const T*>(data_); }
  T& operator[](std::size_t i) noexcept { return data()[i]; }
  const T& operator[](std::size_t i) const noexcept { return data()[i]; }
};

}  // namespace SELECTORS_NAMESPACE::detail

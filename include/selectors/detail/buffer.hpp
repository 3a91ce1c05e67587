// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/platform.hpp>

#include <cstddef>
#include <cstring>
#include <limits>
#include <new>
#include <type_traits>
#include <utility>

namespace selectors::detail {

// An array of trivial elements that grows, zeroed, and answers instead of throwing when there is no memory.
// All of its capacity is there to use: it has no size of its own. Growing by a half keeps the cost of
// registering amortized and the memory beside a handle small.
template <class T>
class buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  buffer() noexcept = default;
  buffer(buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  buffer& operator=(buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~buffer() { ::operator delete(data_); }

  // Room for `count` elements, or false and nothing changed. Moves what is there.
  [[nodiscard]] bool reserve(std::size_t count) noexcept { return count <= capacity_ || grow(count); }

  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::size_t capacity() const noexcept { return capacity_; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  SELECTORS_COLD bool grow(std::size_t count) noexcept {
    const std::size_t wanted = count > capacity_ + capacity_ / 2 ? count : capacity_ + capacity_ / 2;
    if (wanted > (std::numeric_limits<std::ptrdiff_t>::max)() / sizeof(T)) return false;
    void* const grown = ::operator new(wanted * sizeof(T), std::nothrow);
    if (grown == nullptr) return false;
    if (capacity_ != 0) std::memcpy(grown, static_cast<const void*>(data_), capacity_ * sizeof(T));
    std::memset(static_cast<void*>(static_cast<T*>(grown) + capacity_), 0, (wanted - capacity_) * sizeof(T));
    ::operator delete(data_);
    data_ = static_cast<T*>(grown);
    capacity_ = wanted;
    return true;
  }

  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace selectors::detail

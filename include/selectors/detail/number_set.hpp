// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/detail/buffer.hpp>
#include <selectors/handle.hpp>
#include <selectors/version.hpp>

#include <cstddef>
#include <cstdint>

namespace SELECTORS_NAMESPACE::detail {

// A set of descriptor numbers, as bits.
class number_set {
 public:
  [[nodiscard]] bool reserve(native_handle_type highest) noexcept {
    return words_.reserve(index(highest) + 1);
  }
  bool contains(native_handle_type number) const noexcept {
    return index(number) < words_.capacity() && (words_[index(number)] & mask(number)) != 0;
  }
  void insert(native_handle_type number) noexcept { words_[index(number)] |= mask(number); }
  void erase(native_handle_type number) noexcept { words_[index(number)] &= ~mask(number); }
  void clear() noexcept {
    for (std::size_t i = 0; i != words_.capacity(); ++i) words_[i] = 0;
  }

 private:
  static std::size_t index(native_handle_type number) noexcept {
    return static_cast<std::size_t>(number) / 64;
  }
  static std::uint64_t mask(native_handle_type number) noexcept {
    return std::uint64_t{1} << (static_cast<unsigned>(number) % 64);
  }

  buffer<std::uint64_t> words_;
};

}  // namespace SELECTORS_NAMESPACE::detail

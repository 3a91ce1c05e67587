// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fuzz {

// Bytes, read as the choices of a script; zeros after their end.
class choices {
 public:
  explicit choices(std::span<const std::uint8_t> bytes) noexcept : bytes_(bytes) {}

  bool at_end() const noexcept { return next_ >= bytes_.size(); }
  // A number below n, which is at most 256.
  std::size_t below(std::size_t n) noexcept { return at_end() ? 0 : bytes_[next_++] % n; }
  bool one_in(std::size_t n) noexcept { return below(n) == n - 1; }

 private:
  std::span<const std::uint8_t> bytes_;
  std::size_t next_ = 0;
};

}  // namespace fuzz

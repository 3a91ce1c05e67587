// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

// The program's operator new, counted, and failing on request. Of this thread alone: the test framework's
// other threads, if any, are left in peace.
namespace support {

std::size_t allocations() noexcept;
// How many of them have not been given back, by whatever thread.
std::ptrdiff_t live_allocations() noexcept;

// From the (n+1)-th allocation on, every one fails, until the end of the scope.
class allocation_budget {
 public:
  explicit allocation_budget(std::size_t n) noexcept;
  allocation_budget(const allocation_budget&) = delete;
  ~allocation_budget();
  // Whether one has failed.
  bool was_exceeded() const noexcept;
  // Memory again: for the assertions.
  void lift() noexcept;
};

}  // namespace support

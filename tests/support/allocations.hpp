// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>

// Counts what this thread allocates by operator new, and makes allocations of this thread fail on request.
namespace support {

std::size_t allocations() noexcept;
// The allocations of all threads that have not been freed yet.
std::ptrdiff_t live_allocations() noexcept;

// From the (n+1)-th allocation on, every one fails, until the end of the scope.
class allocation_budget {
 public:
  explicit allocation_budget(std::size_t n) noexcept;
  allocation_budget(const allocation_budget&) = delete;
  ~allocation_budget();
  // Whether an allocation has failed.
  bool was_exceeded() const noexcept;
  // Ends the budget early, since assertions allocate.
  void lift() noexcept;
};

}  // namespace support

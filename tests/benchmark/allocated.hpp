// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

// Replaces the allocation functions of the program, to count what is allocated: to be included once.

inline std::size_t allocated = 0;    // bytes, and not given back
inline std::size_t allocations = 0;  // ever

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocated += size;
  ++allocations;
  auto* const memory = static_cast<std::size_t*>(std::malloc(size + 16));
  if (memory == nullptr) std::abort();
  *memory = size;
  return memory + 2;
}
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  auto* const begin = static_cast<std::size_t*>(memory) - 2;
  allocated -= *begin;
  std::free(begin);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void* operator new(std::size_t size) { return operator new(size, std::nothrow); }

// SPDX-License-Identifier: BSL-1.0
#include "allocations.hpp"

#include <selectors/config.hpp>

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

#if SELECTORS_HAS_WINSOCK
#include <malloc.h>
#endif

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

thread_local std::size_t count = 0;
thread_local std::size_t left = unlimited;
thread_local bool exceeded = false;
std::atomic<std::ptrdiff_t> live = 0;

void* allocate(std::size_t size, std::size_t alignment) noexcept {
  ++count;
  if (left == 0) {
    exceeded = true;
    return nullptr;
  }
  if (left != unlimited) --left;
  ++live;
#if SELECTORS_HAS_WINSOCK  // whose C library has no aligned_alloc, and frees what is aligned by another call
  return ::_aligned_malloc(size == 0 ? 1 : size, alignment);
#else
  if (alignment <= alignof(std::max_align_t)) return std::malloc(size == 0 ? 1 : size);
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
#endif
}

void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  if (void* const memory = allocate(size, alignment)) return memory;
  throw std::bad_alloc();
}

void release(void* memory) noexcept {
  if (memory != nullptr) --live;
#if SELECTORS_HAS_WINSOCK
  ::_aligned_free(memory);
#else
  std::free(memory);
#endif
}

constexpr std::size_t usual = alignof(std::max_align_t);

}  // namespace

namespace support {

std::size_t allocations() noexcept { return count; }
std::ptrdiff_t live_allocations() noexcept { return live; }

allocation_budget::allocation_budget(std::size_t n) noexcept {
  exceeded = false;
  left = n;
}
allocation_budget::~allocation_budget() { lift(); }
bool allocation_budget::was_exceeded() const noexcept { return exceeded; }
void allocation_budget::lift() noexcept { left = unlimited; }

}  // namespace support

void* operator new(std::size_t n) { return allocate_or_throw(n, usual); }
void* operator new[](std::size_t n) { return allocate_or_throw(n, usual); }
void* operator new(std::size_t n, std::align_val_t a) {
  return allocate_or_throw(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return allocate_or_throw(n, static_cast<std::size_t>(a));
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, usual); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return allocate(n, usual); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return allocate(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }

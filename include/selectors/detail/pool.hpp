// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#include <cstddef>
#include <limits>
#include <new>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Memory for nodes of one size, in chunks that are freed only with the pool: a token that the kernel still
// carries may be stale, but never dangles, and a warm pool does not allocate.
class pool {
 public:
  struct layout {
    std::size_t size;
    std::size_t alignment;
  };

  pool() noexcept = default;
  pool(pool&& other) noexcept { *this = std::move(other); }
  pool& operator=(pool&& other) noexcept {
    std::swap(chunks_, other.chunks_);
    std::swap(free_, other.free_);
    std::swap(total_, other.total_);
    std::swap(taken_, other.taken_);
    return *this;
  }
  ~pool() {
    while (chunks_ != nullptr) release(std::exchange(chunks_, chunks_->next));
  }

  // The number of nodes in use.
  std::size_t taken() const noexcept { return taken_; }

  // Makes sure that `take` finds a free node; false if there is no memory.
  [[nodiscard]] bool reserve_one(layout node) noexcept { return free_ != nullptr || grow(node); }

  void* take() noexcept {
    ++taken_;
    return std::exchange(free_, free_->next);
  }

  void give(void* node) noexcept {
    --taken_;
    free_ = ::new (node) link{free_};
  }

 private:
  struct link {
    link* next;
  };
  struct chunk {
    chunk* next;
    std::size_t alignment;
  };

  SELECTORS_COLD bool grow(layout node) noexcept {
    const std::size_t alignment = node.alignment > alignof(chunk) ? node.alignment : alignof(chunk);
    const std::size_t stride = (node.size + alignment - 1) / alignment * alignment;
    const std::size_t header = (sizeof(chunk) + alignment - 1) / alignment * alignment;
    // The first chunk has about a kibibyte; each later one a quarter of the nodes so far.
    const std::size_t least = stride < 64 ? 16 : 1 + 1024 / stride;
    const std::size_t count = least > total_ / 4 ? least : total_ / 4;
    if (count > ((std::numeric_limits<std::ptrdiff_t>::max)() - header) / stride) return false;
    void* const memory =
        alignment > __STDCPP_DEFAULT_NEW_ALIGNMENT__
            ? ::operator new(header + count * stride, std::align_val_t(alignment), std::nothrow)
            : ::operator new(header + count * stride, std::nothrow);
    if (memory == nullptr) return false;
    chunks_ = ::new (memory) chunk{chunks_, alignment};
    total_ += count;
    auto* const nodes = static_cast<std::byte*>(memory) + header;
    for (std::size_t i = count; i != 0; --i) free_ = ::new (nodes + (i - 1) * stride) link{free_};
    return true;
  }

  static void release(chunk* memory) noexcept {
    if (memory->alignment > __STDCPP_DEFAULT_NEW_ALIGNMENT__)
      ::operator delete(memory, std::align_val_t(memory->alignment));
    else
      ::operator delete(memory);
  }

  chunk* chunks_ = nullptr;
  link* free_ = nullptr;
  std::size_t total_ = 0;
  std::size_t taken_ = 0;
};

}  // namespace SELECTORS_NAMESPACE::detail

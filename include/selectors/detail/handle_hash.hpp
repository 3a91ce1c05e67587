// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/handle.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// A map from handles to items, for handles that may be any number. An item has a member `handle`. It keeps
// its position until it is erased, so an iteration misses none when others are erased. An index by hash
// points to the positions: open addressing, linear probing, at most half full. Nothing is allocated while
// there are no more items than at some earlier time.
template <class Item>
class handle_hash {
 public:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  handle_hash() noexcept = default;
  handle_hash(handle_hash&& other) noexcept { *this = std::move(other); }
  handle_hash& operator=(handle_hash&& other) noexcept {
    std::swap(count_, other.count_);
    std::swap(used_, other.used_);
    std::swap(free_, other.free_);
    slots_ = std::move(other.slots_);
    index_ = std::move(other.index_);
    return *this;
  }

  // Makes room for `count` items; false if there is no memory, and nothing has changed then. No number takes
  // more room than another.
  [[nodiscard]] bool reserve(std::size_t count) noexcept {
    return slots_.reserve(count) && (count * 2 <= index_.capacity() || grow_index(count * 2));
  }
  [[nodiscard]] bool reserve(native_handle_type, std::size_t count) noexcept { return reserve(count); }
  static constexpr bool has_room(native_handle_type) noexcept { return true; }

  Item* find(native_handle_type handle) const noexcept {
    const std::size_t i = search(handle);
    return i != none ? slots_[index_[i] - 1].item : nullptr;
  }

  // Inserts an item for a handle that has none, or, given null, erases the handle's item if it has one.
  void set(native_handle_type handle, Item* item) noexcept {
    if (item != nullptr)
      insert(handle, item);
    else if (const std::size_t i = search(handle); i != none)
      erase(i);
  }

  // The position of the first item at or after `from`, or `none`.
  std::size_t next(std::size_t from) const noexcept {
    while (from < used_ && slots_[from].item == nullptr) ++from;
    return from < used_ ? from : none;
  }
  Item& at(std::size_t position) const noexcept { return *slots_[position].item; }

 private:
  struct slot {
    Item* item;
    std::uint32_t next_free;  // of a slot without an item: the next such slot, plus one
  };

  std::size_t mask() const noexcept { return index_.capacity() - 1; }

  // Fibonacci hashing: the upper half of the product depends on all bits of the number. On Windows the lowest
  // two bits of a handle are always zero.
  std::size_t home(native_handle_type handle) const noexcept {
    const std::uint64_t mixed = static_cast<std::uint64_t>(handle) * 0x9e3779b97f4a7c15u;
    return static_cast<std::size_t>(mixed >> 32) & mask();
  }

  std::size_t search(native_handle_type handle) const noexcept {
    if (count_ == 0) return none;
    for (std::size_t i = home(handle); index_[i] != 0; i = (i + 1) & mask())
      if (slots_[index_[i] - 1].item->handle == handle) return i;
    return none;
  }

  void add_to_index(native_handle_type handle, std::uint32_t position) noexcept {
    std::size_t i = home(handle);
    while (index_[i] != 0) i = (i + 1) & mask();
    index_[i] = position + 1;
  }

  void insert(native_handle_type handle, Item* item) noexcept {
    std::uint32_t position = static_cast<std::uint32_t>(used_);
    if (free_ != 0) {
      position = free_ - 1;
      free_ = slots_[position].next_free;
    } else {
      ++used_;
    }
    slots_[position].item = item;
    add_to_index(handle, position);
    ++count_;
  }

  // Backward-shift deletion: later entries of the same probe sequence move into the hole, so that no search
  // ends too early.
  void erase(std::size_t hole) noexcept {
    const std::uint32_t position = index_[hole] - 1;
    slots_[position] = {nullptr, free_};
    free_ = position + 1;
    --count_;
    for (std::size_t i = (hole + 1) & mask(); index_[i] != 0; i = (i + 1) & mask()) {
      const std::size_t wanted = home(slots_[index_[i] - 1].item->handle);
      if (((i - wanted) & mask()) < ((i - hole) & mask()))
        continue;  // its home is behind the hole, so it must stay
      index_[hole] = index_[i];
      hole = i;
    }
    index_[hole] = 0;
  }

  SELECTORS_COLD bool grow_index(std::size_t least) noexcept {
    std::size_t capacity = index_.capacity() == 0 ? 32 : index_.capacity();
    while (capacity < least) capacity *= 2;
    buffer<std::uint32_t> grown;
    if (!grown.reserve(capacity)) return false;
    index_ = std::move(grown);
    for (std::size_t i = 0; i != used_; ++i)
      if (slots_[i].item != nullptr) add_to_index(slots_[i].item->handle, static_cast<std::uint32_t>(i));
    return true;
  }

  std::size_t count_ = 0;
  std::size_t used_ = 0;    // slots that were ever used
  std::uint32_t free_ = 0;  // the first slot without an item, plus one; 0 if there is none
  buffer<slot> slots_;
  buffer<std::uint32_t> index_;  // positions plus one; 0 is empty
};

}  // namespace SELECTORS_NAMESPACE::detail

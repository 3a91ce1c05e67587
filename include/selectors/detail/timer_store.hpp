// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/pool.hpp>
#include <selectors/detail/timer_heap.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Ascending numbers, unique among the timers of the process. Each queue takes them in blocks, so that queues
// rarely contend.
class serial_numbers {
 public:
  std::uint64_t next() noexcept {
    if (last_ % block == 0) [[unlikely]]
      last_ = start_of_block();
    return ++last_;
  }
  std::uint64_t last() const noexcept { return last_; }

 private:
  static constexpr std::uint64_t block = std::uint64_t{1} << 24;

  SELECTORS_COLD static std::uint64_t start_of_block() noexcept {
    static std::atomic<std::size_t> blocks{0};
    return blocks.fetch_add(1, std::memory_order_relaxed) * block;
  }

  std::uint64_t last_ = 0;
};

// A timer without its data: its position in the heap, and its identity. Once allocated, the memory remains a
// timer_record of the same slot until the store is destroyed.
template <class TimePoint>
struct timer_record : timer_node<TimePoint> {
  std::uint64_t serial = 0;  // of the timer in this slot, or the last one that was
};

// The timers of a queue, independent of their data: the timers in the queue, the current one of a loop, the
// retired ones, and memory for more. It is moved as a whole; `timer_queue` constructs and destroys the data.
template <class TimePoint>
class timer_store {
 public:
  using record = timer_record<TimePoint>;

  timer_heap<TimePoint>& heap() noexcept { return heap_; }
  std::size_t size() const noexcept { return heap_.size(); }
  std::size_t slots() const noexcept { return memory_.taken(); }
  record& at_slot(std::size_t slot) const noexcept { return *slots_[slot]; }

  // The record of the timer with this serial number if it is in the queue, else null.
  record* find(std::size_t slot, std::uint64_t serial) const noexcept {
    if (slot >= slots()) return nullptr;
    record* const found = slots_[slot];
    return found->serial == serial && found->is_in() ? found : nullptr;
  }

  // A record that is not in the queue yet, or null if there is no memory. Everything that the timer can ever
  // need is allocated here. `create` makes a record in memory of that layout.
  record* take(pool::layout layout, record* (*create)(void*) noexcept) noexcept {
    if (free_count_ != 0) [[likely]]
      return free_[--free_count_];
    return make(layout, create);
  }
  void give(record& r) noexcept { free_[free_count_++] = &r; }

  void add(record& r, TimePoint due) noexcept {
    r.serial = numbers_.next();
    r.due = due;
    r.order = r.serial;
    heap_.insert(r);
  }

  // Does nothing to a retired timer.
  void move(record& r, TimePoint due) noexcept {
    if (r.is_in()) [[likely]]
      return heap_.move(r, due, numbers_.next());
    if (&r != current_) return;
    r.due = due;
    r.order = numbers_.next();
    heap_.insert(r);
  }

  void cancel(record& r) noexcept {
    if (!r.is_in()) return;
    heap_.remove(r);
    retire(r);
  }

  void cancel_all() noexcept {
    heap_.clear([this](timer_node<TimePoint>& n) { retire(static_cast<record&>(n)); });
  }

  // ---- the loop over what is due --------------------------------------------------------------------------

  // Timers that are added or moved from now on have a higher order.
  std::uint64_t last_order() const noexcept { return numbers_.last(); }

  // Removes the next timer that is due in this round and makes it the current one. Null if there is none.
  record* reach() noexcept {
    timer_node<TimePoint>* const found = heap_.first_due();
    if (found == nullptr) {
      heap_.end_round();
      return nullptr;
    }
    heap_.remove(*found);
    return current_ = static_cast<record*>(found);
  }

  // Ends the turn of the current timer: it is retired unless it is in the queue again.
  void end_turn() noexcept {
    record* const was = std::exchange(current_, nullptr);
    if (was != nullptr && !was->is_in()) retire(*was);
  }

  // Takes a retired timer, so that its data can be destroyed; null if there is none.
  record* pop_retired() noexcept {
    record* const first = retired_;
    if (first != nullptr) retired_ = static_cast<record*>(first->next);
    return first;
  }

  // Whether there is no timer in the queue, current or retired.
  bool is_vacant() const noexcept { return size() == 0 && current_ == nullptr && retired_ == nullptr; }

 private:
  void retire(record& r) noexcept {
    if (&r == current_) return;  // its turn is not over yet
    r.next = retired_;
    retired_ = &r;
  }

  SELECTORS_NOINLINE record* make(pool::layout layout, record* (*create)(void*) noexcept) noexcept {
    const std::size_t slot = slots();
    if (!slots_.reserve(slot + 1, slot) || !free_.reserve(slot + 1, 0) || !heap_.reserve(slot + 1) ||
        !memory_.reserve_one(layout))
      return nullptr;
    record* const made = create(memory_.take());
    made->slot = static_cast<std::uint32_t>(slot);
    slots_[slot] = made;
    return made;
  }

  pool memory_;
  buffer<record*> slots_;  // all records ever made
  timer_heap<TimePoint> heap_;
  buffer<record*>
      free_;  // an array, since a list would have to be read from memory that was not used for long
  std::size_t free_count_ = 0;
  record* retired_ = nullptr;
  record* current_ = nullptr;  // the timer that a loop reached last, even if it is in the queue again
  serial_numbers numbers_;
};

}  // namespace SELECTORS_NAMESPACE::detail

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/error.hpp>

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// The queue of a mailbox, in chunks. A value is moved once, into its slot, and stays there. Any thread
// appends, under the lock; one thread, the taker, reads and destroys values, and needs the lock only once a
// chunk. (Lock is os/short_lock.hpp.)
template <class T, class Lock>
class posted_queue {
 public:
  struct chunk {
    static constexpr std::size_t size = 2048;  // holds about 250 values of 8 bytes
    static constexpr std::size_t header = 2 * sizeof(void*);
    static constexpr std::size_t capacity = sizeof(T) < size - header ? (size - header) / sizeof(T) : 1;

    T* slot(std::size_t index) noexcept { return reinterpret_cast<T*>(slots) + index; }

    chunk* next;
    std::size_t destroyed;  // the number of values destroyed
    alignas(T) std::byte slots[capacity * sizeof(T)];
  };

  posted_queue() noexcept = default;
  posted_queue(const posted_queue&) = delete;
  ~posted_queue() {
    chunk* const first = head_;
    while (reached_ != posted_) std::destroy_at(reach().value);
    for (chunk* chain : {first, spare_})
      while (chain != nullptr) delete std::exchange(chain, chain->next);
  }

  // In a child process: makes the queue empty and unlocked. The chunks are not freed, because a thread of the
  // parent may have been linking them when the process forked.
  void abandon() noexcept {
    head_ = tail_ = spare_ = nullptr;
    filled_ = chunk::capacity;
    head_index_ = reached_ = posted_ = reserved_ = available_ = chunks_ = room_ = known_destroyed_ = 0;
    destroyed_.store(0, std::memory_order_relaxed);
    lock_.reset();
  }

  // ---- any thread ----

  // False, and nothing done, if this thread holds the lock already.
  [[nodiscard]] bool lock() noexcept { return lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }
  bool is_locked_by_this_thread() const noexcept { return lock_.is_held_by_this_thread(); }

  // ---- under the lock ----

  // Makes sure that `append` or `reserve` finds room. On failure the lock is not held any more.
  failure make_room() noexcept { return has_room() ? failure() : grow(); }
  // Reserves room for a value that is being constructed without the lock.
  void reserve() noexcept { ++reserved_; }
  void give_back() noexcept { --reserved_; }

  void append(T&& value) noexcept {
    if (filled_ == chunk::capacity) begin_chunk();
    ::new (static_cast<void*>(tail_->slot(filled_))) T(std::move(value));
    ++filled_;
    --available_;
    ++posted_;
  }
  // The number of values ever posted.
  std::size_t posted() const noexcept { return posted_; }

  // ---- the taker, without the lock ----

  struct position {
    T* value;
    chunk* in;
  };

  // Whether fewer than `limit` values were ever reached; `limit` is an earlier result of `posted`.
  bool is_before(std::size_t limit) const noexcept {
    return static_cast<std::ptrdiff_t>(limit - reached_) > 0;
  }
  position reach() noexcept {
    if (head_index_ == chunk::capacity) {
      head_ = head_->next;
      head_index_ = 0;
    }
    ++reached_;
    return {std::launder(head_->slot(head_index_++)), head_};
  }
  void destroy(position reached) noexcept {
    std::destroy_at(reached.value);
    if (++reached.in->destroyed == chunk::capacity)
      recycle(reached.in);
    else
      count_destroyed();
  }

 private:
  // How many values fit into `chunks` chunks wherever in a chunk the first of them lies. This ensures that
  // nothing is allocated while there are no more values than at some earlier time.
  static constexpr std::size_t room_of(std::size_t chunks) noexcept {
    return chunks == 0 ? 0 : (chunks - 1) * chunk::capacity + 1;
  }
  bool has_room() noexcept {
    if (available_ <= reserved_) return false;
    if (posted_ + reserved_ - known_destroyed_ < room_) return true;
    known_destroyed_ = destroyed_.load(std::memory_order_relaxed);
    return posted_ + reserved_ - known_destroyed_ < room_;
  }

  // Allocates without the lock, so that no thread waits for the allocator.
  SELECTORS_COLD failure grow() noexcept {
    do {
      lock_.unlock();
      auto* const made = ::new (std::nothrow) chunk;
      if (made == nullptr) return failure::memory();
      (void)lock_.lock();
      made->next = std::exchange(spare_, made);
      available_ += chunk::capacity;
      room_ = room_of(++chunks_);
    } while (!has_room());
    return {};
  }

  void begin_chunk() noexcept {
    chunk* const next = std::exchange(spare_, spare_->next);
    next->next = nullptr;
    next->destroyed = 0;
    (tail_ == nullptr ? head_ : tail_->next) = next;
    tail_ = next;
    filled_ = 0;
  }

  // The chunk's last value is counted as destroyed only when the chunk can be reused: otherwise a thread
  // could find room but no chunk. If the chunk is the tail, it starts over.
  SELECTORS_COLD void recycle(chunk* emptied) noexcept {
    const bool was_locked = !lock_.lock();  // locked already: a T's move constructor steps a loop
    if (emptied == head_) {
      if (emptied != tail_) head_ = head_->next;
      head_index_ = 0;
    }
    if (emptied == tail_) {
      emptied->destroyed = 0;
      filled_ = 0;
    } else {
      emptied->next = std::exchange(spare_, emptied);
    }
    available_ += chunk::capacity;
    count_destroyed();
    if (!was_locked) lock_.unlock();
  }

  void count_destroyed() noexcept {
    destroyed_.store(destroyed_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  // Members that the lock guards and members of the taker are in separate cache lines.
  alignas(64) Lock lock_;
  chunk* tail_ = nullptr;
  std::size_t filled_ = chunk::capacity;  // slots used in the tail
  std::size_t posted_ = 0;                // how many, ever
  std::size_t reserved_ = 0;
  std::size_t available_ = 0;  // free slots in the tail and the spare chunks
  std::size_t chunks_ = 0;
  std::size_t room_ = 0;
  std::size_t known_destroyed_ = 0;  // a copy of `destroyed_`: its cache line is the taker's
  chunk* spare_ = nullptr;

  alignas(64) chunk* head_ = nullptr;
  std::size_t head_index_ = 0;
  std::size_t reached_ = 0;                // how many, ever
  std::atomic<std::size_t> destroyed_{0};  // how many, ever; written by the taker alone
};

}  // namespace SELECTORS_NAMESPACE::detail

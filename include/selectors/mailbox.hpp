// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/detail/short_lock.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/wakeup.hpp>

#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

namespace selectors {

namespace detail {

// A process, by the word that a process_stamp remembers it by; as an atomic pointer, since the threads of a
// child may all find at once that the mailbox is not theirs yet.
using process_name = const std::uint32_t*;

// Whether it is this one. None is not.
inline bool is_this_process(process_name name) noexcept {
  return name != nullptr && process_stamp::is_current(name);
}

// What a mailbox keeps its values in: they stay where they were posted to, so that each is moved once.
template <class T>
struct mailbox_chunk {
  static constexpr std::size_t size = 2048;  // for small values: of 8 bytes some 250
  static constexpr std::size_t header = 2 * sizeof(void*);
  static constexpr std::size_t capacity = sizeof(T) < size - header ? (size - header) / sizeof(T) : 1;

  T* slot(std::size_t index) noexcept { return reinterpret_cast<T*>(slots) + index; }

  mailbox_chunk* next;
  std::size_t destroyed;  // how many of the values
  alignas(T) std::byte slots[capacity * sizeof(T)];
};

}  // namespace detail

/// How other threads hand a loop something to do: a queue of values, posted by any thread and taken by one. A
/// pollable like any other, registered for `event::read`, that is readable while there is something to take.
///
///     selectors::mailbox<result> box;
///     sel.register_(box, event::read);
///     // any thread:                      // the loop, when `box` is ready:
///     box.post(result{…});                for (result& one : box.take()) show(one);
///
/// `T` is moved without throwing, and once: from what is posted to where `take` finds it. The first post
/// after a `take` makes one system call, the others none. Memory is kept for later posts until the mailbox is
/// destroyed: nothing is allocated while no more values are in it than at some earlier time.
///
/// What T does. Its destructor, and the conversion of what is posted to a T, may post and take. Its move
/// constructor runs under the mailbox's lock: there `post` fails with
/// std::errc::resource_deadlock_would_occur, and `take` is empty. While the mailbox is destroyed `post` fails
/// with errc::closed. `post` is no function for a signal handler: it may allocate.
///
/// After fork(2) a child's copy is empty and its own: nothing that either process posts reaches the other,
/// and no lock is found held. The first call of any function of it in the child makes it so, and may fail for
/// lack of descriptors; make it before a selector that has the mailbox registered is reopened. Values that
/// the parent had not destroyed by then are not destroyed in the child, and their memory is not freed there:
/// another thread may have been in the midst of moving one. A loop over `take` in which the child was made
/// ends there at its next step.
template <class T>
class mailbox {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T>, "a mailbox is of objects");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a mailbox needs a T that moves and is destroyed without throwing");

  using chunk = detail::mailbox_chunk<T>;

 public:
  using value_type = T;
  class taken;

#if SELECTORS_EXCEPTIONS
  /// Throws std::system_error with what the wakeup's making fails with (EMFILE, ENFILE, ENOMEM; on Windows
  /// whatever refuses sockets), or std::errc::not_enough_memory.
  template <class = void>
  mailbox() {
    if (const failure failed = open()) detail::raise(failed, "mailbox");
  }
#endif
  /// The same, reported to `error`. A mailbox that failed to open stays empty; `post` to it is errc::closed.
  explicit mailbox(std::error_code& error) noexcept : wake_(error) {
    if (!error) error = open().code();
  }

  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;

  /// Destroys what has not been taken, in order. It waits for a `post` whose value is in but which has not
  /// returned yet; no other may begin, and no loop over `take` may be under way.
  ~mailbox();

#if SELECTORS_EXCEPTIONS
  /// Hands over `value`: a T, or what converts to one; braces make a T. From any thread, also the taker's. It
  /// returns at once; what it may wait for is the lock, which nobody holds for more than a few instructions,
  /// system calls and allocations not among them.
  ///
  /// All or nothing: `value` is taken last, when nothing else can fail. Amortized O(1): one allocation for
  /// some dozens of values, none once warm; one system call if nothing is announced since the last `take`,
  /// else none. What has been posted happens before its `take`.
  ///
  /// Throws std::system_error: std::errc::not_enough_memory; errc::closed if the mailbox is being destroyed;
  /// std::errc::resource_deadlock_would_occur from within T's move constructor; in a child, at first,
  /// whatever refuses it a wakeup (EMFILE, ENFILE). What the conversion to T throws comes through, and
  /// nothing is posted.
  template <class D = T>
    requires std::convertible_to<D, T>
  void post(D&& value) {
    if (const failure failed = try_post(std::forward<D>(value))) detail::raise(failed, "mailbox::post");
  }
#endif
  /// The same, reported to `error`, which is cleared on success. Returns whether it was posted.
  template <class D = T>
    requires std::convertible_to<D, T>
  bool post(D&& value, std::error_code& error) noexcept(std::is_nothrow_constructible_v<T, D>) {
    const failure failed = try_post(std::forward<D>(value));
    if (!failed) {
      error.clear();
      return true;
    }
    error = failed.code();
    return false;
  }

  /// What has come until now, for one thread at a time: a single-pass range of T&, each thread's values in
  /// the order in which it posted them. May be empty, though the handle was readable. One system call, for a
  /// pipe with many notifications a few; O(1), and the loop over it O(1) for each value; nothing is
  /// allocated.
  ///
  /// A value is destroyed by the loop's next step, or with the range: move out what shall live longer. What
  /// the loop does not reach stays, and makes the handle readable again when the range is destroyed, at the
  /// end of a range-based `for`; so does what is posted after this call. Within the loop anything may be
  /// posted; another `take` there goes on behind the value that this one has reached.
  [[nodiscard]] taken take() noexcept;

  /// For a selector: the wakeup's. In a child, the child's own, or the invalid handle if it can have none.
  [[nodiscard]] native_handle_type native_handle() const noexcept {
    auto& self = const_cast<mailbox&>(*this);  // which in a child makes it anew
    if (!self.is_own() && self.adopt() && is_open()) return detail::invalid_handle;
    return wake_.native_handle();
  }

 private:
  // ---- whose it is ----

  bool is_own() const noexcept { return detail::is_this_process(process_.load(std::memory_order_acquire)); }
  bool is_open() const noexcept { return process_.load(std::memory_order_relaxed) != nullptr; }
  failure open() noexcept {
    detail::process_stamp here;
    if (const failure failed = here.set()) return failed;
    process_.store(here.word(), std::memory_order_release);
    return {};
  }
  SELECTORS_COLD failure adopt() noexcept;
  void abandon() noexcept;

  // ---- posting, under the lock ----

  // How many values fit without an allocation, wherever in a chunk the first of them lies.
  static constexpr std::size_t room_of(std::size_t chunks) noexcept {
    return chunks == 0 ? 0 : (chunks - 1) * chunk::capacity + 1;
  }
  bool has_room() const noexcept {
    return posted_ + reserved_ - destroyed_.load(std::memory_order_relaxed) < room_ && available_ > reserved_;
  }
  failure lock_with_room() noexcept {
    if (!is_own())
      if (const failure failed = adopt()) return failed;
    if (!lock_.lock()) return failure::system("lock", EDEADLK);
    return has_room() ? failure() : grow();
  }
  SELECTORS_COLD failure grow() noexcept;

  template <class D>
  failure try_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>);
  template <class D>
  failure convert_and_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>);
  void put_and_unlock(T&& value) noexcept;
  void begin_chunk() noexcept;
  void announce_and_unlock() noexcept;

  // ---- taking ----

  bool is_before(std::size_t limit) const noexcept {
    return static_cast<std::ptrdiff_t>(limit - reached_) > 0;
  }
  T* reach(chunk*& from) noexcept;
  void destroy(T* value, chunk* of) noexcept;
  SELECTORS_COLD void recycle(chunk* emptied) noexcept;
  void put_back() noexcept;

  // The posters' words, guarded by the lock, and the taker's, in cache lines of their own.
  alignas(64) detail::short_lock lock_;
  std::atomic<detail::process_name> process_{nullptr};  // which it belongs to; null: none
  bool is_announced_ = false;  // since the last `take`: the handle is readable, or a thread makes it so
  chunk* tail_ = nullptr;
  std::size_t filled_ = chunk::capacity;  // of the tail
  std::size_t posted_ = 0;                // how many, ever
  std::size_t reserved_ = 0;              // slots for values that are being converted
  std::size_t available_ = 0;             // slots free in the tail and the spare chunks
  std::size_t chunks_ = 0;
  std::size_t room_ = 0;
  chunk* spare_ = nullptr;
  std::atomic<std::uint32_t> announcing_{0};            // threads about to notify
  std::atomic<detail::process_name> adopter_{nullptr};  // in which a thread makes it its process's own

  alignas(64) chunk* head_ = nullptr;
  std::size_t head_index_ = 0;
  std::size_t reached_ = 0;                // how many, ever
  std::atomic<std::size_t> destroyed_{0};  // how many, ever; written by the taker alone
  wakeup wake_;
};

/// What `take` returns: a single-pass std::ranges::input_range of T&, with empty(). It is moved, not copied,
/// and does not outlive its mailbox.
template <class T>
class mailbox<T>::taken {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;

    iterator() noexcept = default;
    T& operator*() const noexcept { return *of_->value_; }
    T* operator->() const noexcept { return of_->value_; }
    iterator& operator++() noexcept {
      of_->step();
      return *this;
    }
    void operator++(int) noexcept { of_->step(); }
    friend bool operator==(const iterator& at, std::default_sentinel_t) noexcept { return at.is_over(); }

   private:
    friend taken;
    bool is_over() const noexcept { return of_->value_ == nullptr; }
    explicit iterator(taken* of) noexcept : of_(of) {}
    taken* of_ = nullptr;
  };

  taken(taken&& other) noexcept { *this = std::move(other); }
  taken& operator=(taken&& other) noexcept {
    std::swap(box_, other.box_);
    std::swap(value_, other.value_);
    std::swap(chunk_, other.chunk_);
    std::swap(limit_, other.limit_);
    std::swap(process_, other.process_);
    return *this;
  }
  ~taken() {
    if (!is_valid()) return;
    if (value_ != nullptr) box_->destroy(std::exchange(value_, nullptr), chunk_);
    if (box_->is_before(limit_)) box_->put_back();
  }

  /// The first value that no loop has reached yet.
  [[nodiscard]] iterator begin() noexcept {
    if (value_ == nullptr) step();
    return iterator(this);
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }
  /// Whether there is no value at which the loop stands or which it has still to reach.
  [[nodiscard]] bool empty() const noexcept {
    return value_ == nullptr && !(is_valid() && box_->is_before(limit_));
  }

 private:
  friend mailbox;
  taken() noexcept = default;
  taken(mailbox* box, std::size_t limit) noexcept
      : box_(box), limit_(limit), process_(box->process_.load(std::memory_order_relaxed)) {}

  // In a child nothing is left of it, and what it holds is not the child's to destroy.
  bool is_valid() const noexcept { return box_ != nullptr && detail::is_this_process(process_); }

  // The value is let go of before its destructor runs, which may do with the mailbox what it likes.
  void step() noexcept {
    T* const last = std::exchange(value_, nullptr);
    if (!is_valid()) return;
    if (last != nullptr) box_->destroy(last, chunk_);
    if (box_->is_before(limit_)) value_ = box_->reach(chunk_);
  }

  mailbox* box_ = nullptr;
  T* value_ = nullptr;  // at which the loop stands
  chunk* chunk_ = nullptr;
  std::size_t limit_ = 0;  // of all that was ever posted, where this range ends
  detail::process_name process_ = nullptr;
};

// ---- how -------------------------------------------------------------------------------------------------

template <class T>
mailbox<T>::~mailbox() {
  if (!is_own()) return;  // a child's copy: what is in it is the parent's
  process_.store(nullptr, std::memory_order_relaxed);
  if (lock_.lock()) lock_.unlock();  // the posts that have the lock are in
  while (announcing_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  for (chunk* in; reached_ != posted_;) std::destroy_at(reach(in));
  for (chunk* chain : {head_, spare_})
    while (chain != nullptr) delete std::exchange(chain, chain->next);
}

// The first thread of a child that comes here makes the mailbox anew; the others wait. `adopter_` names the
// process, so that a grandchild does not wait for a thread that it does not have.
template <class T>
failure mailbox<T>::adopt() noexcept {
  if (!is_open()) return errc::closed;
  detail::process_stamp here;
  if (const failure failed = here.set()) return failed;
  for (;;) {
    detail::process_name seen = adopter_.load(std::memory_order_acquire);
    if (is_own()) return {};
    if (!detail::is_this_process(seen) &&
        adopter_.compare_exchange_strong(seen, here.word(), std::memory_order_acq_rel))
      break;
    std::this_thread::yield();
  }
  std::error_code error;
  if (!is_own()) {  // still: not adopted since that was looked at
    abandon();
    wake_.reopen(error);
    if (!error) process_.store(here.word(), std::memory_order_release);
  }
  adopter_.store(nullptr, std::memory_order_release);
  if (!error) return {};
  return error == std::errc::not_enough_memory ? failure::memory() : failure::system("wakeup", error.value());
}

// Not even the chunks are freed: the thread that held the lock may have been in the midst of linking them.
template <class T>
void mailbox<T>::abandon() noexcept {
  lock_.reset();
  head_ = tail_ = spare_ = nullptr;
  filled_ = chunk::capacity;
  head_index_ = reached_ = posted_ = reserved_ = available_ = chunks_ = room_ = 0;
  is_announced_ = false;
  destroyed_.store(0, std::memory_order_relaxed);
  announcing_.store(0, std::memory_order_relaxed);
}

// Memory is had without the lock, so that no thread waits for it. On failure the lock is not held.
template <class T>
failure mailbox<T>::grow() noexcept {
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

template <class T>
template <class D>
failure mailbox<T>::try_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>) {
  if (const failure failed = lock_with_room()) return failed;
  if constexpr (std::same_as<D, T>) {
    put_and_unlock(std::move(value));
    return {};
  } else {
    return convert_and_post(std::forward<D>(value));
  }
}

// A conversion runs without the lock, for it may take its time, throw, and use the mailbox; a slot is
// reserved meanwhile. It may even fork: in the child nothing is reserved.
template <class T>
template <class D>
failure mailbox<T>::convert_and_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>) {
  struct reservation {
    mailbox* of;
    ~reservation() {
      if (of == nullptr || !of->is_own() || !of->lock_.lock()) return;
      --of->reserved_;
      of->lock_.unlock();
    }
  };
  ++reserved_;
  lock_.unlock();
  reservation kept{this};
  T converted = static_cast<T>(std::forward<D>(value));
  if (!is_own() || !lock_.lock()) return try_post(std::move(converted));
  kept.of = nullptr;
  --reserved_;
  put_and_unlock(std::move(converted));
  return {};
}

template <class T>
void mailbox<T>::put_and_unlock(T&& value) noexcept {
  if (filled_ == chunk::capacity) begin_chunk();
  ::new (static_cast<void*>(tail_->slot(filled_))) T(std::move(value));
  ++filled_;
  --available_;
  ++posted_;
  announce_and_unlock();
}

template <class T>
void mailbox<T>::begin_chunk() noexcept {
  chunk* const next = std::exchange(spare_, spare_->next);
  next->next = nullptr;
  next->destroyed = 0;
  (tail_ == nullptr ? head_ : tail_->next) = next;
  tail_ = next;
  filled_ = 0;
}

// Without the lock, since to notify may wake a thread; counted, since the mailbox must not be destroyed
// meanwhile.
template <class T>
void mailbox<T>::announce_and_unlock() noexcept {
  if (is_announced_) {
    lock_.unlock();
    return;
  }
  is_announced_ = true;
  announcing_.fetch_add(1, std::memory_order_relaxed);
  lock_.unlock();
  wake_.notify();
  announcing_.fetch_sub(1, std::memory_order_release);
}

// The notification is taken first: what is posted in between is either found, or announced anew.
template <class T>
auto mailbox<T>::take() noexcept -> taken {
  if (!is_own() && adopt()) return {};
  if (lock_.is_held_by_this_thread()) return {};
  wake_.reset();
  if (!lock_.lock()) return {};
  is_announced_ = false;
  const std::size_t limit = posted_;
  lock_.unlock();
  return {this, limit};
}

template <class T>
T* mailbox<T>::reach(chunk*& from) noexcept {
  if (head_index_ == chunk::capacity) {
    head_ = head_->next;
    head_index_ = 0;
  }
  ++reached_;
  from = head_;
  return std::launder(from->slot(head_index_++));
}

template <class T>
void mailbox<T>::destroy(T* value, chunk* of) noexcept {
  std::destroy_at(value);
  if (++of->destroyed == chunk::capacity)
    recycle(of);
  else
    destroyed_.store(destroyed_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// The last value is counted when the chunk can be used: else a poster would find room, but no chunk. The tail
// starts over.
template <class T>
void mailbox<T>::recycle(chunk* emptied) noexcept {
  const bool was_locked = !lock_.lock();  // a T's move constructor takes the step of a loop
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
  destroyed_.store(destroyed_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (!was_locked) lock_.unlock();
}

// Where the lock is held already, in a T's move constructor, the post that goes on announces.
template <class T>
void mailbox<T>::put_back() noexcept {
  if (lock_.lock()) announce_and_unlock();
}

}  // namespace selectors

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/detail/posted_queue.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/fork.hpp>
#include <selectors/os/short_lock.hpp>
#include <selectors/wakeup.hpp>

#include <atomic>
#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

namespace SELECTORS_NAMESPACE {

namespace detail {

// Identifies a process: the address of its process_stamp word. It is stored in atomics, because several
// threads of a child may find at the same time that the mailbox is still the parent's.
using process_name = const std::uint32_t*;

// Whether it is this process; false for null.
inline bool is_this_process(process_name name) noexcept {
  return name != nullptr && process_stamp::is_current(name);
}

}  // namespace detail

/// Passes values from any thread to a loop. A pollable, registered for `event::read`, that is readable while
/// there is something to take. Any thread posts, one thread takes.
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
/// Restrictions on T. Its destructor, and the conversion of what is posted to a T, may post and take. Its
/// move constructor runs under the mailbox's lock: there `post` fails with
/// std::errc::resource_deadlock_would_occur, and `take` is empty. While the mailbox is destroyed `post` fails
/// with errc::closed. A signal handler must not call `post`, which may allocate.
///
/// After fork(2) a child's copy is empty and its own: nothing that either process posts reaches the other,
/// and its lock is free. The first call of any member function in the child makes it so, and may fail for
/// lack of descriptors; call one before reopening a selector in which the mailbox is registered. Values that
/// the parent had not destroyed by then are not destroyed in the child, and their memory is not freed there:
/// another thread may have been in the midst of moving one. A loop over `take` in which the child was made
/// ends there at its next step.
template <class T>
class mailbox {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_array_v<T>, "a mailbox is of objects");
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a mailbox needs a T that moves and is destroyed without throwing");

  using queue = detail::posted_queue<T, detail::short_lock>;

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

  /// Destroys what has not been taken, in order. Waits for a `post` that has added its value but not returned
  /// yet. No other call may begin, and no loop over `take` may be in progress.
  ~mailbox();

#if SELECTORS_EXCEPTIONS
  /// Hands over `value`: a T, or what converts to one; braces make a T. From any thread, also the taker's. It
  /// does not block, except for the lock, which is held for a few instructions only, never during a system
  /// call or an allocation.
  ///
  /// All or nothing: `value` is taken last, when nothing else can fail. Amortized O(1): one allocation for
  /// some dozens of values, none once warm; one system call for the first post after a `take`, none for the
  /// others. A `post` happens before the `take` that returns its value.
  ///
  /// Throws std::system_error: std::errc::not_enough_memory; errc::closed if the mailbox is being destroyed;
  /// std::errc::resource_deadlock_would_occur from within T's move constructor; in a child, at first,
  /// whatever refuses it a wakeup (EMFILE, ENFILE). If the conversion to T throws, the exception propagates
  /// and nothing is posted.
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

  /// The values posted until now: a single-pass range of T&, each thread's values in the order in which it
  /// posted them. One thread at a time. May be empty, though the handle was readable. O(1), with one system
  /// call (a few if the handle is a pipe with many notifications), and O(1) for each value in the loop;
  /// nothing is allocated.
  ///
  /// A value is destroyed by the loop's next step, or with the range: move out what must live longer. What
  /// the loop does not reach stays, and makes the handle readable again when the range is destroyed, at the
  /// end of a range-based `for`; so does what is posted after this call. Within the loop anything may be
  /// posted; another `take` there continues after the value that this one has reached.
  [[nodiscard]] taken take() noexcept;

  /// For a selector: the wakeup's. In a child, the child's own, or the invalid handle if it can have none.
  [[nodiscard]] native_handle_type native_handle() const noexcept {
    auto& self = const_cast<mailbox&>(*this);  // which in a child makes it anew
    if (!self.is_own() && self.adopt() && is_open()) return detail::invalid_handle;
    return wake_.native_handle();
  }

 private:
  // ---- the process that it belongs to ----

  bool is_own() const noexcept { return detail::is_this_process(process_.load(std::memory_order_acquire)); }
  bool is_open() const noexcept { return process_.load(std::memory_order_relaxed) != nullptr; }
  failure open() noexcept {
    detail::process_stamp here;
    if (const failure failed = here.set()) return failed;
    process_.store(here.word(), std::memory_order_release);
    return {};
  }
  SELECTORS_COLD failure adopt() noexcept;

  // ---- posting ----

  template <class D>
  failure try_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>);
  template <class D>
  failure convert_and_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>);
  void announce_and_unlock() noexcept;
  void put_back() noexcept;

  std::atomic<detail::process_name> process_{nullptr};  // that it belongs to; null if it is not open
  bool is_announced_ = false;                 // since the last `take`: the handle is readable, or about to be
  std::atomic<std::uint32_t> announcing_{0};  // threads about to notify
  std::atomic<detail::process_name> adopter_{
      nullptr};  // the process in which a thread is making it that process's own
  wakeup wake_;
  queue queue_;  // destroyed first: destructors of its values may use the handle
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
    T& operator*() const noexcept { return *of_->at_.value; }
    T* operator->() const noexcept { return of_->at_.value; }
    iterator& operator++() noexcept {
      of_->step();
      return *this;
    }
    void operator++(int) noexcept { of_->step(); }
    friend bool operator==(const iterator& at, std::default_sentinel_t) noexcept { return at.is_over(); }

   private:
    friend taken;
    bool is_over() const noexcept { return of_->at_.value == nullptr; }
    explicit iterator(taken* of) noexcept : of_(of) {}
    taken* of_ = nullptr;
  };

  taken(taken&& other) noexcept { *this = std::move(other); }
  taken& operator=(taken&& other) noexcept {
    std::swap(box_, other.box_);
    std::swap(at_, other.at_);
    std::swap(limit_, other.limit_);
    std::swap(process_, other.process_);
    return *this;
  }
  ~taken() {
    if (!is_valid()) return;
    if (at_.value != nullptr) box_->queue_.destroy(std::exchange(at_, {}));
    if (box_->queue_.is_before(limit_)) box_->put_back();
  }

  /// An iterator at the first value that no loop has reached yet.
  [[nodiscard]] iterator begin() noexcept {
    if (at_.value == nullptr) step();
    return iterator(this);
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }
  /// Whether there is no current value and none left to reach.
  [[nodiscard]] bool empty() const noexcept {
    return at_.value == nullptr && !(is_valid() && box_->queue_.is_before(limit_));
  }

 private:
  friend mailbox;
  taken() noexcept = default;
  taken(mailbox* box, std::size_t limit) noexcept
      : box_(box), limit_(limit), process_(box->process_.load(std::memory_order_relaxed)) {}

  // False in a child made during the loop, which must not destroy the parent's values.
  bool is_valid() const noexcept { return box_ != nullptr && detail::is_this_process(process_); }

  // Forgets the value before its destructor runs, which may use the mailbox.
  void step() noexcept {
    const typename queue::position last = at_;
    at_.value = nullptr;
    if (!is_valid()) return;
    if (last.value != nullptr) box_->queue_.destroy(last);
    if (box_->queue_.is_before(limit_)) at_ = box_->queue_.reach();
  }

  mailbox* box_ = nullptr;
  typename queue::position at_{};  // the current value of the loop
  std::size_t limit_ = 0;          // the range ends after this many of all values ever posted
  detail::process_name process_ = nullptr;
};

// ---- how -------------------------------------------------------------------------------------------------

template <class T>
mailbox<T>::~mailbox() {
  if (!is_own()) {  // a child's copy, whose values are the parent's; or it failed to open
    queue_.abandon();
    return;
  }
  process_.store(nullptr, std::memory_order_relaxed);
  if (queue_.lock()) queue_.unlock();  // waits for a post that holds the lock
  while (announcing_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

// The first thread of a child that comes here makes the mailbox anew; the others wait. `adopter_` names the
// process, so that a grandchild does not wait for a thread that it does not have.
template <class T>
failure mailbox<T>::adopt() noexcept {
  if (!is_open()) return errc::closed;
  if (queue_.is_locked_by_this_thread()) return failure::system("lock", EDEADLK);  // forked by a T that moves
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
  if (!is_own()) {  // still not adopted
    is_announced_ = false;
    announcing_.store(0, std::memory_order_relaxed);
    queue_.abandon();
    wake_.reopen(error);
    if (!error) process_.store(here.word(), std::memory_order_release);
  }
  adopter_.store(nullptr, std::memory_order_release);
  if (!error) return {};
  return error == std::errc::not_enough_memory ? failure::memory() : failure::system("wakeup", error.value());
}

template <class T>
template <class D>
failure mailbox<T>::try_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>) {
  if (!is_own())
    if (const failure failed = adopt()) return failed;
  if (!queue_.lock()) return failure::system("lock", EDEADLK);
  if (const failure failed = queue_.make_room()) return failed;
  if constexpr (std::same_as<D, T>) {
    queue_.append(std::forward<D>(value));
    announce_and_unlock();
    return {};
  } else {
    return convert_and_post(std::forward<D>(value));
  }
}

// Converts without the lock, since the conversion may be slow, throw, or use the mailbox; room is reserved
// meanwhile. It may even fork: then the child's queue, which a post there may have made anew, has no
// reservation.
template <class T>
template <class D>
failure mailbox<T>::convert_and_post(D&& value) noexcept(std::is_nothrow_constructible_v<T, D>) {
  struct reservation {
    mailbox* of;
    detail::process_name process = of->process_.load(std::memory_order_relaxed);
    bool is_there() const noexcept {
      return of->is_own() && of->process_.load(std::memory_order_relaxed) == process;
    }
    ~reservation() {
      if (of == nullptr || !is_there() || !of->queue_.lock()) return;
      of->queue_.give_back();
      of->queue_.unlock();
    }
  };
  queue_.reserve();
  queue_.unlock();
  reservation kept{this};
  T converted = static_cast<T>(std::forward<D>(value));
  if (!kept.is_there() || !queue_.lock()) return try_post(std::move(converted));
  kept.of = nullptr;
  queue_.give_back();
  queue_.append(std::move(converted));
  announce_and_unlock();
  return {};
}

// Notifies without the lock, since that may wake a thread; counted, so that the destructor can wait for it.
template <class T>
void mailbox<T>::announce_and_unlock() noexcept {
  if (is_announced_) {
    queue_.unlock();
    return;
  }
  is_announced_ = true;
  announcing_.fetch_add(1, std::memory_order_relaxed);
  queue_.unlock();
  wake_.notify();
  announcing_.fetch_sub(1, std::memory_order_release);
}

// Takes the notification first: a value that is posted in between is either found, or notifies again.
template <class T>
auto mailbox<T>::take() noexcept -> taken {
  if (!is_own() && adopt()) return {};
  if (queue_.is_locked_by_this_thread()) return {};
  wake_.reset();
  if (!queue_.lock()) return {};
  is_announced_ = false;
  const std::size_t limit = queue_.posted();
  queue_.unlock();
  return {this, limit};
}

// If this thread holds the lock already, in a T's move constructor, the `post` in progress will notify.
template <class T>
void mailbox<T>::put_back() noexcept {
  if (queue_.lock()) announce_and_unlock();
}

}  // namespace SELECTORS_NAMESPACE

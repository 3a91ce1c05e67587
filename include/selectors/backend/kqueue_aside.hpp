// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_KQUEUE

#include <selectors/backend/concept.hpp>
#include <selectors/backend/select_posix.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/error.hpp>
#include <selectors/event.hpp>
#include <selectors/handle.hpp>
#include <selectors/registration.hpp>

#include <cstddef>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// The descriptors that a kqueue refuses or reports wrongly: macOS's /dev/tty, pipes that have hung up
// already, NetBSD's FIFOs. They are watched by select(2), because macOS's poll(2) refuses terminals too.
// While there are any, select(2) watches the queue as well.
class kqueue_aside {
 public:
  using entry = select_backend::entry;

  kqueue_aside() noexcept = default;
  kqueue_aside(kqueue_aside&& other) noexcept { *this = std::move(other); }
  kqueue_aside& operator=(kqueue_aside&& other) noexcept {
    std::swap(select_, other.select_);
    std::swap(size_, other.size_);
    std::swap(room_, other.room_);
    return *this;
  }

  bool empty() const noexcept { return size_ == 0; }

  // Room for the handle and for the queue's own number, and an entry for each number up to the higher one.
  bool has_room(native_handle_type handle) const noexcept { return handle < room_; }
  failure reserve(native_handle_type handle, native_handle_type queue) noexcept {
    native_handle_type highest = handle < queue ? queue : handle;
    if (has_room(highest)) return {};
    const native_handle_type half_more = room_ + room_ / 2;
    if (highest < half_more) highest = half_more;
    if (const failure failed = select_.reserve(static_cast<std::size_t>(highest) + 1, 0, highest))
      return failed;
    room_ = highest + 1;
    return {};
  }

  // Watches r for its interest and, with `for_end`, for `read` too, which is how select(2) reports the end of
  // a pipe.
  void add(registration& r, bool for_end) noexcept {
    (void)select_.add(r);  // which cannot fail
    if (for_end) watch(r, r.interest.events | event::read);
    ++size_;
  }
  void remove(registration& r) noexcept {
    (void)select_.remove(r);
    --size_;
  }
  // It is not reported any more until it is added again.
  void silence(const registration& r) noexcept { watch(r, {}); }
  void clear() noexcept {
    select_.close();
    size_ = 0;
  }

  // Waits for these descriptors and for the queue. Calls `visit(entry)` for each descriptor that is ready;
  // returns the number of entries, the queue's included, or -1 with errno.
  template <class Visit>
  int wait(native_handle_type queue, std::chrono::nanoseconds timeout, Visit visit) noexcept {
    registration itself;
    itself.handle = queue;
    itself.interest.events = event::read;
    (void)select_.add(itself);
    const int count = select_.wait(timeout);
    (void)select_.remove(itself);
    for (int i = 0; i < count; ++i) {
      const entry& one = select_.entries()[i];
      if (one.token != &itself) visit(one);
    }
    return count;
  }

 private:
  void watch(const registration& r, event_mask events) noexcept {
    registration changed = r;
    changed.interest.events = events;
    (void)select_.modify(changed, r.interest);
  }

  select_backend select_;
  std::size_t size_ = 0;
  native_handle_type room_ = 0;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

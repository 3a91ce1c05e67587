// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_WINSOCK

#include <selectors/backend/afd_device.hpp>
#include <selectors/backend/concept.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/os/winsock.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace SELECTORS_NAMESPACE::detail::afd {

// One poll of one socket. It is neither moved nor reused between its start and its completion.
struct request {
  io_status status;
  poll_info info;
  registration* owner;  // null if it has none, or has lost it
  SOCKET base;
  ULONG asked;         // the requested events; `info` has the reported ones afterwards
  std::uint32_t slot;  // its index in the pool
  // Unstarted: its index in the queue, plus one. Free: the slot of the next free one, plus one.
  std::uint32_t queue_index;
  std::uint32_t round;    // the wait that started it
  std::uint32_t devices;  // the count of devices when its number was last found to be a socket
  bool in_flight;
  bool cancelled;
};

// The requests of a backend, with a list of those that are free and a queue of those that the next wait
// starts. They are allocated in blocks, each with a handle of the device.
class request_pool {
 public:
  request_pool() noexcept = default;
  request_pool(request_pool&& other) noexcept { *this = std::move(other); }
  request_pool& operator=(request_pool&& other) noexcept {
    std::swap(used_, other.used_);
    std::swap(free_, other.free_);
    std::swap(unstarted_, other.unstarted_);
    blocks_ = std::move(other.blocks_);
    queue_ = std::move(other.queue_);
    return *this;
  }
  ~request_pool() {
    for (std::size_t i = 0; i != blocks_.capacity(); ++i) delete blocks_[i];
  }

  // Makes sure that there are at least `count` requests, completing through the port.
  failure reserve(HANDLE port, std::size_t count) noexcept {
    while (used_ * block::size < count) {
      if (const failure failed = add_block(port)) return failed;
    }
    return {};
  }

  // Closes the devices. If the kernel still holds requests, their memory is leaked on purpose.
  void close(bool is_held) noexcept {
    for (std::size_t i = 0; i != used_; ++i) {
      ::CloseHandle(blocks_[i]->device);
      if (is_held) blocks_[i] = nullptr;
    }
    used_ = unstarted_ = 0;
    free_ = 0;
  }

  request& at(std::size_t slot) const noexcept {
    return blocks_[slot / block::size]->requests[slot % block::size];
  }
  HANDLE device_of(const request& q) const noexcept { return blocks_[q.slot / block::size]->device; }

  // Calls `visit(request)` for each that has an owner.
  template <class Visit>
  void for_each_owned(Visit visit) const noexcept {
    for (std::size_t slot = 0; slot != used_ * block::size; ++slot)
      if (at(slot).owner != nullptr) visit(at(slot));
  }

  bool has_free() const noexcept { return free_ != 0; }
  request& take() noexcept {
    request& q = at(free_ - 1);
    free_ = std::exchange(q.queue_index, 0);
    return q;
  }
  void give(request& q) noexcept { q.queue_index = std::exchange(free_, q.slot + 1); }

  void start_later(request& q) noexcept {
    if (q.queue_index != 0) return;
    queue_[unstarted_++] = q.slot;
    q.queue_index = static_cast<std::uint32_t>(unstarted_);
  }

  // Swap-remove: the last one in the queue takes its place.
  void start_never(request& q) noexcept {
    if (q.queue_index == 0) return;
    const std::uint32_t last = queue_[--unstarted_];
    queue_[q.queue_index - 1] = last;
    at(last).queue_index = q.queue_index;
    q.queue_index = 0;
  }

  // Calls `start(request)` for each unstarted request. Those that `start` postpones are queued again, for the
  // next wait.
  template <class Start>
  void start_all(Start start) noexcept {
    const std::size_t count = std::exchange(unstarted_, 0);
    for (std::size_t i = 0; i != count; ++i) {
      request& q = at(queue_[i]);
      q.queue_index = 0;
      start(q);
    }
  }

 private:
  // Requests of one device handle. To cancel one, the kernel searches all requests of the handle, so a handle
  // has few.
  struct block {
    static constexpr std::size_t size = 32;
    HANDLE device;
    request requests[size];
  };

  SELECTORS_COLD failure add_block(HANDLE port) noexcept {
    const std::size_t first = used_ * block::size;
    if (!blocks_.reserve(used_ + 1) || !queue_.reserve(first + block::size)) return failure::memory();
    block*& added = blocks_[used_];  // reused if there was one before `close`, else null
    if (added == nullptr) added = new (std::nothrow) block;
    if (added == nullptr) return failure::memory();
    *added = {};
    if (const failure failed = open_device(port, added->device)) return failed;
    ++used_;
    for (std::size_t i = block::size; i-- != 0;) {
      added->requests[i].slot = static_cast<std::uint32_t>(first + i);
      give(added->requests[i]);
    }
    return {};
  }

  std::size_t used_ = 0;    // blocks in use
  std::uint32_t free_ = 0;  // the first free slot, plus one
  std::size_t unstarted_ = 0;
  buffer<block*> blocks_;
  buffer<std::uint32_t> queue_;  // slots of unstarted requests, in no order
};

}  // namespace SELECTORS_NAMESPACE::detail::afd

#endif

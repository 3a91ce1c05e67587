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

// One poll of one socket. It stays where it is, and its own, from when it is started until its answer has
// come back.
struct request {
  io_status status;
  poll_info info;
  registration* owner;  // null: nobody's, or nobody's any more
  SOCKET base;
  ULONG asked;         // of the kernel; the answer takes the queue_index of the question
  std::uint32_t slot;  // its own number
  std::uint32_t
      queue_index;  // of the unstarted: its queue_index among them, plus one; of a free one: the next free slot, plus one
  std::uint32_t round;    // of the wait that started it
  std::uint32_t devices;  // that there were when its number was a socket
  bool in_flight;
  bool cancelled;
};

// The requests of a backend, and which of them are free, and which are to be started by the next wait. They
// lie in blocks, each with a device of its own.
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

  // At least `count` requests, of devices that answer to the port.
  failure reserve(HANDLE port, std::size_t count) noexcept {
    while (used_ * block::size < count) {
      if (const failure failed = add_block(port)) return failed;
    }
    return {};
  }

  // Closes the devices. If the kernel holds requests still, their memory is left to it for ever.
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

  // The last one takes the queue_index.
  void start_never(request& q) noexcept {
    if (q.queue_index == 0) return;
    const std::uint32_t last = queue_[--unstarted_];
    queue_[q.queue_index - 1] = last;
    at(last).queue_index = q.queue_index;
    q.queue_index = 0;
  }

  // Calls `start(request)` for each that is unstarted. Those that it puts off until the next time queue up in
  // the places behind.
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
  // Requests of one device. To find the one to cancel, the kernel searches those of a device: so they are
  // few.
  struct block {
    static constexpr std::size_t size = 32;
    HANDLE device;
    request requests[size];
  };

  SELECTORS_COLD failure add_block(HANDLE port) noexcept {
    const std::size_t first = used_ * block::size;
    if (!blocks_.reserve(used_ + 1) || !queue_.reserve(first + block::size)) return failure::memory();
    block*& added = blocks_[used_];  // from before it was closed, or null
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

  std::size_t used_ = 0;    // of the blocks
  std::uint32_t free_ = 0;  // the first free slot, plus one
  std::size_t unstarted_ = 0;
  buffer<block*> blocks_;
  buffer<std::uint32_t> queue_;  // slots of the unstarted, in no order
};

}  // namespace SELECTORS_NAMESPACE::detail::afd

#endif

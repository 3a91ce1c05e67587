// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_PIDFD

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/owned_descriptor.hpp>
#include <selectors/os/posix.hpp>
#include <selectors/os/process_lock.hpp>

#include <sys/eventfd.h>

#include <cerrno>
#include <cstddef>

namespace SELECTORS_NAMESPACE::detail {

// A descriptor that is never readable: an eventfd(2) that is never written. The process has one while it is
// held, so that duplicating it onto another number works when no descriptor is free.
class silent_descriptor {
 public:
  constexpr silent_descriptor() noexcept = default;

  failure hold() noexcept {
    const process_lock_guard guard(lock_);
    if (holders_ == 0) {
      number_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (number_ < 0) return failure::system("eventfd", errno);
      mark_ = file_mark::put_on(number_);
    }
    ++holders_;
    return {};
  }
  void release() noexcept {
    const process_lock_guard guard(lock_);
    if (--holders_ == 0 && mark_.is_on(number_)) close_descriptor(number_);
  }

  // Only while it is held. Makes `number` a duplicate of it, which closes what `number` named.
  void put_over(native_handle_type number, file_mark& mark) const noexcept {
    if (mark.is_on(number) && mark_.is_on(number_) && dup_onto(number_, number)) mark = mark_;
  }

 private:
  process_lock lock_;
  std::size_t holders_ = 0;
  native_handle_type number_ = invalid_handle;
  file_mark mark_;
};

inline constinit silent_descriptor the_silent_descriptor;

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL

#include <selectors/detail/chrono.hpp>
#include <selectors/detail/relaxed_atomic.hpp>
#include <selectors/os/posix.hpp>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>

// epoll_wait(2) with a timeout, in nanoseconds where the kernel supports that.
namespace SELECTORS_NAMESPACE::detail {

#if defined(SYS_epoll_pwait2)
inline constexpr long epoll_pwait2_number = SYS_epoll_pwait2;
#else
inline constexpr long epoll_pwait2_number = 441;  // on every architecture whose headers may lack it
#endif

// epoll_pwait2(2) is from Linux 5.11: old kernels answer ENOSYS, sandboxes EPERM and the like.
inline constinit relaxed_atomic<bool> has_epoll_pwait2{SELECTORS_USES_EPOLL_PWAIT2 != 0};

inline int epoll_wait_for_milliseconds(int epoll, epoll_event* found, int room, std::int64_t left) noexcept {
  for (;;) {
    constexpr std::int64_t longest = (std::numeric_limits<int>::max)();
    const int now = static_cast<int>(left < longest ? left : longest);
    const int count = ::epoll_wait(epoll, found, room, now);
    left -= now;
    if (count != 0 || left == 0) return count;
  }
}

SELECTORS_COLD inline int epoll_wait_for(int epoll, epoll_event* found, int room,
                                         std::chrono::nanoseconds timeout) noexcept {
  // Called by number, since not every C library declares it. The fields of its timespec have 64 bits
  // everywhere.
  if (has_epoll_pwait2) {
    struct {
      std::int64_t seconds;
      std::int64_t nanoseconds;
    } const time{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000};
    const auto count = ::syscall(epoll_pwait2_number, epoll, found, room, &time, nullptr, std::size_t{0});
    if (count >= 0 || !is_forbidden_call(errno)) return static_cast<int>(count);
    has_epoll_pwait2 = false;
  }
  return epoll_wait_for_milliseconds(epoll, found, room,
                                     std::chrono::ceil<std::chrono::milliseconds>(timeout).count());
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif

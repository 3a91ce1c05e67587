// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_EPOLL

#include <selectors/backend/concept.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/relaxed_atomic.hpp>
#include <selectors/os/posix.hpp>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

namespace selectors {

namespace detail {
// epoll_pwait2(2) is Linux 5.11's: old kernels answer ENOSYS, sandboxes EPERM.
inline constinit relaxed_atomic<bool> has_epoll_pwait2{true};
}  // namespace detail

/// Linux's epoll(7): the cost of a wait grows with what is ready, whatever is registered. One system call for
/// each change. Level, edge and one-shot triggering; exclusive wake-ups.
class epoll_backend {
 public:
  using entry = epoll_event;

  static constexpr std::string_view name = "epoll";
  static constexpr bool has_native_handle = true;
  static constexpr const char* wait_call = "epoll_wait";
  static constexpr bool disarms_oneshot = true;
  static constexpr bool refuses_closed = true;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::oneshot || !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  epoll_backend() noexcept = default;
  epoll_backend(epoll_backend&& other) noexcept
      : epoll_(std::exchange(other.epoll_, detail::invalid_handle)), entries_(std::move(other.entries_)) {}
  epoll_backend& operator=(epoll_backend&& other) noexcept {
    std::swap(epoll_, other.epoll_);
    entries_ = std::move(other.entries_);
    return *this;
  }
  ~epoll_backend() { close(); }

  failure open() noexcept {
    // epoll_wait(2) takes no empty buffer, and a selector with nothing registered still waits.
    if (!entries_.reserve(1, 0)) return failure::memory();
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    return epoll_ < 0 ? failure::system("epoll_create1", errno) : failure();
  }

  failure reopen() noexcept {
    native_handle_type fresh = ::epoll_create1(EPOLL_CLOEXEC);
    if (fresh < 0) return failure::system("epoll_create1", errno);
    int moved = 0;
    do {
      moved = ::dup3(fresh, epoll_, O_CLOEXEC);
    } while (moved < 0 &&
             (errno == EINTR || errno == EBUSY));  // EBUSY: a race with open(2) and dup(2), says dup(2)
    const int error = errno;
    detail::close_descriptor(fresh);
    return moved < 0 ? failure::system("dup3", error) : failure();
  }

  void close() noexcept { detail::close_descriptor(epoll_); }
  native_handle_type native_handle() const noexcept { return epoll_; }

  failure reserve(std::size_t count, std::size_t used, native_handle_type) noexcept {
    // The kernel takes no buffer of more bytes than an int counts (EP_MAX_EVENTS).
    const bool fits =
        count <= (std::numeric_limits<int>::max)() / sizeof(entry) / 2 && entries_.reserve(count, used);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    int error = control(EPOLL_CTL_ADD, r);
    if (error == EEXIST) {  // a leftover of a descriptor that was closed while a duplicate lived, and is back
      control(EPOLL_CTL_DEL, r);
      error = control(EPOLL_CTL_ADD, r);
    }
    r.attached = error == 0;
    r.always_ready = error == EPERM;  // a file that is always ready, as poll(2) says: epoll_ctl(2)
    return error == 0 || error == EPERM ? failure() : failure::system("epoll_ctl", error);
  }

  failure modify(registration& r, any_interest was) noexcept {
    if (r.interest.exclusive || was.exclusive) [[unlikely]]
      return modify_exclusive(r, was);
    const int error = control(EPOLL_CTL_MOD, r);
    return error == 0 ? failure() : failure::system("epoll_ctl", error);
  }

  // EBADF and ENOENT: the descriptor was closed, and the kernel may or may not still watch what a duplicate
  // keeps open.
  bool remove(registration& r) noexcept {
    r.attached = false;
    return control(EPOLL_CTL_DEL, r) == 0;
  }

  int wait(std::chrono::nanoseconds timeout) noexcept {
    if (timeout == (std::chrono::nanoseconds::max)())
      return ::epoll_wait(epoll_, entries_.data(), room(), -1);
    if (timeout.count() == 0) return ::epoll_wait(epoll_, entries_.data(), room(), 0);
    return wait_for(timeout);
  }

  void set_entry(std::size_t i, registration& r, event_bits bits) noexcept {
    entries_[i].events = bits;
    entries_[i].data.ptr = &r;
  }
  const entry* entries() const noexcept { return entries_.data(); }
  static registration* token(const entry& e) noexcept { return static_cast<registration*>(e.data.ptr); }
  static std::uint32_t bits(const entry& e) noexcept { return e.events; }

  // From the kernel. The first five are equal to ours:
  //
  //   EPOLLIN       read            EPOLLERR      error
  //   EPOLLPRI      priority        EPOLLHUP      hangup
  //   EPOLLOUT      write           EPOLLRDHUP    read_hangup
  //
  static event_bits events(const entry& e) noexcept {
    if ((e.events & EPOLLRDHUP) == 0) return e.events;
    return (e.events & ~static_cast<std::uint32_t>(EPOLLRDHUP)) | static_cast<event_bits>(event::read_hangup);
  }
  static_assert(EPOLLIN == static_cast<int>(event::read) && EPOLLPRI == static_cast<int>(event::priority) &&
                EPOLLOUT == static_cast<int>(event::write) && EPOLLERR == static_cast<int>(event::error) &&
                EPOLLHUP == static_cast<int>(event::hangup));

 private:
  // To the kernel:
  //
  //   read        EPOLLIN | EPOLLRDHUP   but no EPOLLRDHUP when exclusive (EINVAL)
  //   priority    EPOLLPRI
  //   write       EPOLLOUT               no EPOLLRDHUP: half-closed, it would wake a writer for ever
  //   edge        EPOLLET
  //   one-shot    EPOLLONESHOT
  //   exclusive   EPOLLEXCLUSIVE
  //   nothing     not watched at all: EPOLLERR and EPOLLHUP come unasked
  //
  static std::uint32_t to_kernel(any_interest what) noexcept {
    std::uint32_t bits = detail::mask_bits::of(what.events);
    if (what.events.contains(event::read) && !what.exclusive) bits |= EPOLLRDHUP;
    if (what.mode == trigger::edge) bits |= EPOLLET;
    if (what.mode == trigger::oneshot) bits |= EPOLLONESHOT;
    if (what.exclusive) bits |= EPOLLEXCLUSIVE;
    return bits;
  }

  // EPOLLEXCLUSIVE can be set by EPOLL_CTL_ADD only: epoll_ctl(2).
  SELECTORS_NOINLINE failure modify_exclusive(registration& r, const any_interest& was) noexcept {
    int error = control(EPOLL_CTL_DEL, r);
    if (error != 0) return failure::system("epoll_ctl", error);
    error = control(EPOLL_CTL_ADD, r);
    if (error == 0) return {};
    r.interest = was;
    r.attached = control(EPOLL_CTL_ADD, r) == 0;
    return failure::system("epoll_ctl", error);
  }

  // Zero or an errno.
  SELECTORS_NOINLINE int control(int operation, registration& r) noexcept {
    epoll_event event{};
    event.events = to_kernel(r.interest);
    event.data.ptr = &r;
    return ::epoll_ctl(epoll_, operation, r.handle, &event) == 0 ? 0 : errno;
  }

  int room() const noexcept { return static_cast<int>(entries_.capacity()); }

  SELECTORS_COLD int wait_for(std::chrono::nanoseconds timeout) noexcept {
    // Not every C library declares it. Its time is 64 bits wide everywhere.
    if (detail::has_epoll_pwait2) {
      struct {
        std::int64_t seconds;
        std::int64_t nanoseconds;
      } const time{timeout.count() / 1'000'000'000, timeout.count() % 1'000'000'000};
      const auto count =
          ::syscall(call_number, epoll_, entries_.data(), room(), &time, nullptr, std::size_t{0});
      if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
      detail::has_epoll_pwait2 = false;
    }
    return wait_for_milliseconds(std::chrono::ceil<std::chrono::milliseconds>(timeout).count());
  }

  int wait_for_milliseconds(std::int64_t left) noexcept {
    for (;;) {
      constexpr std::int64_t most = (std::numeric_limits<int>::max)();
      const int now = static_cast<int>(left < most ? left : most);
      const int count = ::epoll_wait(epoll_, entries_.data(), room(), now);
      left -= now;
      if (count != 0 || left == 0) return count;
    }
  }

#if defined(SYS_epoll_pwait2)
  static constexpr long call_number = SYS_epoll_pwait2;
#else
  static constexpr long call_number = 441;  // on every architecture whose headers may lack it
#endif

  native_handle_type epoll_ = detail::invalid_handle;
  detail::buffer<entry> entries_;
};

}  // namespace selectors

#endif

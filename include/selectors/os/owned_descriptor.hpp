// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if !SELECTORS_HAS_WINSOCK

#include <selectors/detail/relaxed_atomic.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/posix.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Tells whether a number still names the same file, or the program has closed it and it may name another. One
// system call at most.
//
// Linux: epoll and eventfd files share one inode, so fstat(2) cannot tell two of them apart, and /proc may
// not be mounted. But every open file description has a signal number (F_SETSIG and F_GETSIG, fcntl(2)),
// which has no effect without O_ASYNC, and is zero unless it was set. Each of the library's files gets
// another number, in turn. Not recognized as different: two of the library's files with the same one of the
// 64 numbers, and a file whose owner has set the same number.
//
// Elsewhere, or if that call is refused, the inode serves. It distinguishes pipes (except on OpenBSD and
// NetBSD, where it is zero), but for other anonymous files only their kind.
class file_mark {
 public:
  constexpr file_mark() noexcept = default;

  // Marks a file that was just opened.
  SELECTORS_NOINLINE static file_mark put_on(native_handle_type fresh) noexcept {
    const int kept = errno;
    file_mark mark;
    if (!mark.set_signal(fresh)) mark.value_ = inode_of(fresh);
    errno = kept;
    return mark;
  }

  // Keeps errno.
  SELECTORS_NOINLINE bool is_on(native_handle_type number) const noexcept {
    const int kept = errno;
    const bool is_same = value_ != none && (is_signal() ? signal_of(number) : inode_of(number)) == value_;
    errno = kept;
    return is_same;
  }

 private:
  static constexpr std::uint64_t none = 0;
  static constexpr std::uint64_t signals = 64;  // _NSIG of Linux; of mips it is 128
  static constexpr std::uint64_t inode_bit = std::uint64_t{1} << 63;

  bool is_signal() const noexcept { return value_ <= signals; }

#if defined(F_SETSIG)
  // Modules have counters of their own; they start at different numbers.
  bool set_signal(native_handle_type fresh) noexcept {
    static constinit relaxed_atomic<std::uint32_t> marks{0};
    marks = marks + 1;
    const std::uint64_t turn = marks + (reinterpret_cast<std::uintptr_t>(&marks) >> 12);
    const std::uint64_t signal = 1 + turn % signals;
    if (::fcntl(fresh, F_SETSIG, static_cast<int>(signal)) != 0) return false;
    value_ = signal;
    return true;
  }
  static std::uint64_t signal_of(native_handle_type number) noexcept {
    const int signal = ::fcntl(number, F_GETSIG);
    return signal > 0 ? static_cast<std::uint64_t>(signal) : none;
  }
#else
  bool set_signal(native_handle_type) noexcept { return false; }
  static std::uint64_t signal_of(native_handle_type) noexcept { return none; }
#endif

  static std::uint64_t inode_of(native_handle_type number) noexcept {
    struct stat about{};
    if (::fstat(number, &about) != 0) return none;
    const auto device = static_cast<std::uint64_t>(about.st_dev);
    const auto kind = static_cast<std::uint64_t>(about.st_mode & S_IFMT);
    return inode_bit | (static_cast<std::uint64_t>(about.st_ino) ^ (device << 40) ^ (kind << 20));
  }

  std::uint64_t value_ = none;
};

// dup3(2) exists on Linux and the BSDs, not on macOS.
template <class Number>
concept has_dup3 = requires(Number number) { dup3(number, number, O_CLOEXEC); };

// Makes `number` a close-on-exec duplicate of `fresh`; returns whether it succeeded. A sandbox may allow only
// the older call.
template <class Number = native_handle_type>
bool dup_onto(Number fresh, Number number) noexcept {
  int moved = -1;
  if constexpr (has_dup3<Number>) {
    do {
      moved = dup3(fresh, number, O_CLOEXEC);
    } while (moved < 0 &&
             (errno == EINTR || errno == EBUSY));  // EBUSY: a race with open(2) and dup(2), says dup(2)
    if (moved >= 0) return true;
    if (errno != ENOSYS && errno != EPERM && errno != EACCES && errno != EOPNOTSUPP && errno != EINVAL)
      return false;
  }
  do {
    moved = ::dup2(fresh, number);
  } while (moved < 0 && (errno == EINTR || errno == EBUSY));
  return moved >= 0 && ::fcntl(number, F_SETFD, FD_CLOEXEC) == 0;
}

// A descriptor that its owner closes, unless the number names another file by then: a program that closes all
// inherited descriptors, as daemons do, closes this one too, and may reuse the number. Every function keeps
// errno.
class owned_descriptor {
 public:
  owned_descriptor() noexcept = default;
  // Takes ownership of a descriptor that was just opened. An invalid number makes it empty.
  explicit owned_descriptor(native_handle_type fresh) noexcept : number_(fresh) {
    if (fresh >= 0)
      mark_ = file_mark::put_on(fresh);
    else
      number_ = invalid_handle;
  }
  owned_descriptor(owned_descriptor&& other) noexcept
      : number_(std::exchange(other.number_, invalid_handle)), mark_(other.mark_) {}
  owned_descriptor& operator=(owned_descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    std::swap(mark_, other.mark_);
    return *this;
  }
  ~owned_descriptor() { close(); }

  explicit operator bool() const noexcept { return number_ != invalid_handle; }
  native_handle_type get() const noexcept { return number_; }

  // Whether the number still names the same file, as far as the kernel can tell.
  bool is_intact() const noexcept { return number_ != invalid_handle && mark_.is_on(number_); }

  SELECTORS_NOINLINE void close() noexcept {
    if (is_intact()) close_descriptor(number_);
    number_ = invalid_handle;
  }

  // Moves to another number, if one is free, and frees the old one.
  void renumber() noexcept {
    const int kept = errno;
    native_handle_type moved = ::fcntl(number_, F_DUPFD_CLOEXEC, 0);
    if (moved >= 0) std::swap(number_, moved);
    close_descriptor(moved);
    errno = kept;
  }

  // Takes over the file of `fresh`, and closes its own. It keeps its number if that still names its file or
  // is free. Otherwise (the program has reused it, or it is beyond a limit that was lowered) it takes the
  // number of `fresh`.
  SELECTORS_NOINLINE void replace(owned_descriptor&& fresh) noexcept {
    const int kept = errno;
    if (fresh.number_ != number_ && takes_number(fresh.number_)) {
      mark_ = fresh.mark_;
      close_descriptor(fresh.number_);
    } else {
      if (fresh.number_ != number_) close();
      number_ = std::exchange(fresh.number_, invalid_handle);
      mark_ = fresh.mark_;
    }
    errno = kept;
  }

 private:
  bool takes_number(native_handle_type fresh) const noexcept {
    if (number_ == invalid_handle) return false;
    if (mark_.is_on(number_)) return dup_onto(fresh, number_);
    // The number was free. Not dup3: if another thread is given the number meanwhile, dup3 would close its
    // file.
    native_handle_type moved = ::fcntl(fresh, F_DUPFD_CLOEXEC, number_);
    if (moved == number_) return true;
    close_descriptor(moved);
    return false;
  }

  native_handle_type number_ = invalid_handle;
  file_mark mark_;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

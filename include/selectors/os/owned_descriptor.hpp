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

// Tells whether a number still names the file that it named, or the program has closed it and somebody else
// may have it now. It asks no more than one system call.
//
// Linux: epoll and eventfd files share one inode, so fstat(2) cannot tell two of them apart, and /proc may
// not be mounted. But every open file description has a signal number that fcntl(2) sets and gets
// (F_SETSIG, F_GETSIG), and that nothing uses unless somebody sets O_ASYNC too; of a stranger's file it is
// zero. Each file is given another number, in turn. What this cannot tell: the library's own files with the
// same one of the 64 numbers, and a stranger's whose owner has set it.
//
// Elsewhere, or if that call is refused: the inode, which tells pipes apart (not on OpenBSD and NetBSD,
// where it is zero), but of other files their kind alone.
class file_mark {
 public:
  constexpr file_mark() noexcept = default;

  // Of a file that was just opened, and that nobody else knows.
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
  // Modules with counters of their own begin at different numbers.
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

// dup3(2): of Linux and the BSDs, not of macOS.
template <class Number>
concept has_dup3 = requires(Number number) { dup3(number, number, O_CLOEXEC); };

// Makes `number` a close-on-exec name of what `fresh` names; whether it could. A sandbox may allow the
// older call alone.
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

// A descriptor that is closed with its owner, unless its number is somebody else's by then: a program that
// closes all that it inherited, as daemons do, closes this one too. Every function keeps errno.
class owned_descriptor {
 public:
  owned_descriptor() noexcept = default;
  // Takes over what was just opened; an invalid number is none.
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

  // Whether the number still names what it named, as far as the kernel can tell.
  bool is_intact() const noexcept { return number_ != invalid_handle && mark_.is_on(number_); }

  SELECTORS_NOINLINE void close() noexcept {
    if (is_intact()) close_descriptor(number_);
    number_ = invalid_handle;
  }

  // Goes on with another number, if there is one: the old one is free then.
  void renumber() noexcept {
    const int kept = errno;
    native_handle_type moved = ::fcntl(number_, F_DUPFD_CLOEXEC, 0);
    if (moved >= 0) std::swap(number_, moved);
    close_descriptor(moved);
    errno = kept;
  }

  // Owns what `fresh` owns from now on, and closes what it had. It keeps its number if that is its own
  // still, or is free; else (somebody else has it, or it is beyond a limit that was lowered) it goes on
  // with the number of `fresh`.
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
    // Not dup3: another thread may be given the number in between, and would lose it.
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

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_SELECT && !SELECTORS_HAS_WINSOCK

#include <selectors/backend/concept.hpp>
#include <selectors/backend/ready_list.hpp>
#include <selectors/detail/buffer.hpp>
#include <selectors/detail/chrono.hpp>
#include <selectors/detail/relaxed_atomic.hpp>
#include <selectors/os/posix.hpp>

#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>
#if SELECTORS_HAS_EPOLL
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <bit>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

namespace SELECTORS_NAMESPACE {

namespace detail {

#if SELECTORS_PSELECT_HAS_TWO_NAMES
// macOS's pselect(2) accepts descriptors beyond FD_SETSIZE only if _DARWIN_UNLIMITED_SELECT was defined
// before <sys/select.h> was first included, which a library cannot ensure. This is the symbol that the macro
// selects.
extern "C" int selectors_pselect(int count, fd_set* readers, fd_set* writers, fd_set* exceptional,
                                 const timespec* timeout, const sigset_t* mask) noexcept
    __asm("_pselect$DARWIN_EXTSN");
#else
inline int selectors_pselect(int count, fd_set* readers, fd_set* writers, fd_set* exceptional,
                             const timespec* timeout, const sigset_t* mask) noexcept {
  return ::pselect(count, readers, writers, exceptional, timeout, mask);
}
#endif

// Where a sandbox forbids pselect6(2), which is pselect(2)'s system call on Linux, the older select is used.
// It is called by number, since glibc's select(2) calls pselect6 too. On i386 SYS_select is an obsolete call
// that takes its arguments as a struct.
inline constinit relaxed_atomic<bool> is_pselect_allowed{true};

inline int select_for(int count, fd_set* readers, fd_set* writers, fd_set* exceptional,
                      const timespec* timeout) noexcept {
#if SELECTORS_HAS_EPOLL && (defined(SYS__newselect) || defined(SYS_select))
#if defined(SYS__newselect)
  constexpr long number = SYS__newselect;
#else
  constexpr long number = SYS_select;
#endif
  if (!is_pselect_allowed) {
    struct {
      long seconds;
      long microseconds;
    } time{};
    if (timeout != nullptr) {  // a time_t may be wider than the kernel's long, whose seconds reach 68 years
      time.seconds = timeout->tv_sec < LONG_MAX ? static_cast<long>(timeout->tv_sec) : LONG_MAX;
      time.microseconds = timeout->tv_nsec / 1000;
    }
    return static_cast<int>(
        ::syscall(number, count, readers, writers, exceptional, timeout != nullptr ? &time : nullptr));
  }
  const int found = detail::selectors_pselect(count, readers, writers, exceptional, timeout, nullptr);
  if (found >= 0 || !is_forbidden_call(errno)) return found;
  is_pselect_allowed = false;
  return detail::select_for(count, readers, writers, exceptional, timeout);
#else
  return detail::selectors_pselect(count, readers, writers, exceptional, timeout, nullptr);
#endif
}

// The word of the kernel's bitmaps. An fd_set is an array of these; the name of the array differs by system.
// unsigned long on Linux and FreeBSD, 32 bits on macOS, NetBSD and OpenBSD.
inline auto word_of(fd_set set) noexcept {
  const auto& [words] = set;
  return words[0];
}
using fd_word = std::make_unsigned_t<decltype(word_of(fd_set{}))>;

}  // namespace detail

/// select(2): the cost of a wait grows with the highest number registered. A change costs no system call (an
/// fstat(2) for `priority`, where files are always exceptional). No kernel object. Level and one-shot
/// triggering. FD_SETSIZE is no limit: the kernel takes bitmaps of any length, and these are the library's
/// own, laid out as the kernel's are.
class select_backend : public detail::ready_list {
 public:
  static constexpr std::string_view name = "select";
  static constexpr const char* wait_call = "pselect";
  static constexpr bool disarms_oneshot = false;
  static constexpr bool refuses_closed = false;

  static constexpr bool supports(trigger mode, bool exclusive) noexcept {
    return mode != trigger::edge && !exclusive;
  }
  static bool is_open(native_handle_type handle) noexcept { return detail::is_open_descriptor(handle); }

  select_backend() noexcept = default;
  select_backend(select_backend&& other) noexcept { *this = std::move(other); }
  select_backend& operator=(select_backend&& other) noexcept {
    std::swap(words_, other.words_);
    for (std::size_t set = 0; set != sets; ++set) {
      requested_[set] = std::move(other.requested_[set]);
      found_[set] = std::move(other.found_[set]);
    }
    tokens_ = std::move(other.tokens_);
    ready_ = std::move(other.ready_);
    return *this;
  }

  failure open() noexcept { return {}; }
  failure reopen() noexcept {
    for (auto& set : requested_)
      for (std::size_t i = 0; i != words_; ++i) set[i] = 0;
    words_ = 0;
    return {};
  }
  void close() noexcept { (void)reopen(); }

  failure reserve(std::size_t count, std::size_t used, native_handle_type handle) noexcept {
    const bit_position bit(handle);
    bool fits = ready_.reserve(count, used) && tokens_.reserve(static_cast<std::size_t>(handle) + 1);
    for (std::size_t set = 0; set != sets; ++set)
      fits = fits && requested_[set].reserve(bit.index + 1) && found_[set].reserve(bit.index + 1);
    return fits ? failure() : failure::memory();
  }

  failure add(registration& r) noexcept {
    r.attached = true;
    tokens_[static_cast<std::size_t>(r.handle)] = &r;
    return modify(r, {});
  }

  // To the kernel:
  //
  //   read      readfds
  //   write     writefds
  //   priority  exceptfds
  //
  failure modify(registration& r, any_interest) noexcept {
    const bit_position bit(r.handle);
    if (words_ <= bit.index) words_ = bit.index + 1;  // `remove` may have lowered it below this word
    for (std::size_t set = 0; set != sets; ++set) {
      const bool is_requested = r.interest.events.contains(event_of[set]) &&
                                (event_of[set] != event::priority || !is_always_exceptional(r.handle));
      word& bits = requested_[set][bit.index];
      bits = is_requested ? bits | bit.mask : bits & ~bit.mask;
    }
    return {};
  }

  bool remove(registration& r) noexcept {
    const bit_position bit(r.handle);
    for (auto& set : requested_) set[bit.index] &= ~bit.mask;
    while (words_ != 0 && any(requested_, words_ - 1) == 0) --words_;
    r.attached = false;
    return true;
  }

  // One closed descriptor makes pselect(2) fail for all, with EBADF. The closed ones are then looked for one
  // by one, reported, and left out. None is found if another thread has reused the number meanwhile.
  int wait(std::chrono::nanoseconds timeout) noexcept {
    copy_requested();
    int count = ask(timeout);
    std::size_t entries = 0;
    for (int fruitless = 0; count < 0 && errno == EBADF && fruitless != 2;) {
      const std::size_t before = entries;
      entries = take_closed(before);
      if (entries == before) ++fruitless;
      count = ask(entries == 0 ? timeout : std::chrono::nanoseconds::zero());
    }
    if (count < 0 && entries == 0) return count;
    if (count > 0) entries = take_ready(entries, count);
    return static_cast<int>(entries);
  }

 private:
  using word = detail::fd_word;
  static constexpr std::size_t bits_of_word = sizeof(word) * CHAR_BIT;

  static constexpr std::size_t sets = 3;
  static constexpr event event_of[sets] = {event::read, event::write, event::priority};
  using bitmaps = detail::buffer<word>[sets];

  // POSIX's select() says so of files, and macOS follows it, though a file has no priority data.
  static bool is_always_exceptional(native_handle_type handle) noexcept {
    if (!SELECTORS_SELECT_EXCEPTS_FILES) return false;
    struct stat found{};
    return ::fstat(handle, &found) == 0 && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode));
  }

  // The position of a handle's bit.
  struct bit_position {
    explicit bit_position(native_handle_type handle) noexcept
        : index(static_cast<std::size_t>(handle) / bits_of_word),
          mask(word{1} << (static_cast<std::size_t>(handle) % bits_of_word)) {}
    std::size_t index;
    word mask;
  };

  static word any(const bitmaps& of, std::size_t index) noexcept {
    return of[0][index] | of[1][index] | of[2][index];
  }

  // Calls `visit(handle, bit)` for each handle in any of the sets.
  template <class Visit>
  void for_each_in(const bitmaps& of, Visit visit) const noexcept {
    for (std::size_t i = 0; i != words_; ++i) {
      for (word left = any(of, i); left != 0; left &= left - 1) {
        visit(static_cast<native_handle_type>(i * bits_of_word +
                                              static_cast<std::size_t>(std::countr_zero(left))),
              left & (~left + 1));
      }
    }
  }

  void copy_requested() noexcept {
    for (std::size_t set = 0; set != sets; ++set)
      for (std::size_t i = 0; i != words_; ++i) found_[set][i] = requested_[set][i];
  }

  // Most kernels ignore numbers that the process cannot have, so nfds is rounded up to a whole word.
  int ask(std::chrono::nanoseconds timeout) noexcept {
    const detail::timespec_of time(detail::whole_microseconds(timeout));
    const auto set = [this](std::size_t i) { return reinterpret_cast<fd_set*>(found_[i].data()); };
    return detail::select_for(static_cast<int>(words_ * bits_of_word), set(0), set(1), set(2), time.get());
  }

  // The sets still hold what was requested: pselect(2) leaves them unchanged on error.
  std::size_t take_closed(std::size_t entries) noexcept {
    for_each_in(found_, [&](native_handle_type handle, word bit) {
      if (detail::is_open_descriptor(handle)) return;
      for (auto& set : found_) set[bit_position(handle).index] &= ~bit;
      set_entry(entries++, *tokens_[static_cast<std::size_t>(handle)], descriptor_closed);
    });
    return entries;
  }

  // From the kernel: the table above, read backwards. An error or a hangup shows as readiness alone. Stops
  // after `count` bits: the bits that follow belong to numbers that the process cannot have, and the kernel
  // did not clear them.
  std::size_t take_ready(std::size_t entries, int count) noexcept {
    for_each_in(found_, [&](native_handle_type handle, word bit) {
      if (count <= 0) return;
      event_mask found;
      for (std::size_t set = 0; set != sets; ++set) {
        if ((found_[set][bit_position(handle).index] & bit) == 0) continue;
        found |= event_of[set];
        --count;
      }
      set_entry(entries++, *tokens_[static_cast<std::size_t>(handle)], detail::mask_bits::of(found));
    });
    return entries;
  }

  std::size_t words_ = 0;  // in use: up to the highest handle that is watched
  bitmaps requested_;
  bitmaps found_;
  detail::buffer<registration*> tokens_;  // by handle
};

}  // namespace SELECTORS_NAMESPACE

#endif

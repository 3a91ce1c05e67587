// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>
#include <selectors/error.hpp>

#include <cstdint>

#if SELECTORS_HAS_FORK
#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#endif

namespace SELECTORS_NAMESPACE::detail {

#if SELECTORS_HAS_FORK

// How a child process is recognised. What must not be used by a child remembers a word that is not zero in
// the process that made it, and is zero in every child from its first instruction: it is on a page that the
// kernel empties in the child (MADV_WIPEONFORK, madvise(2), Linux 4.14; INHERIT_ZERO, minherit(2) of
// FreeBSD; MAP_INHERIT_ZERO of OpenBSD and NetBSD). So a child is one in whatever handlers of
// pthread_atfork(3) it runs first, after _Fork and a bare clone(2), and when the module that made the page
// is unloaded. A child takes the next word for its own.
//
// Where the kernel has nothing of the kind (macOS, an old Linux, an emulator that ignores madvise), a
// handler of pthread_atfork(3) empties the page. It misses what that misses: handlers that were registered
// earlier run before it in the child, _Fork and clone(2) run none, and a module that is unloaded takes its
// handlers away.
//
// A child that shares its parent's memory (vfork(2), CLONE_VM) is not told apart.
struct process_page {
  static constexpr std::uintptr_t size = 4096;  // or what the system makes of it

  std::uint32_t is_kept;  // no kernel has emptied this page
  process_page* older;

  static process_page* of(std::uintptr_t place) noexcept {
    return reinterpret_cast<process_page*>((place - 1) & ~(size - 1));
  }
  std::uintptr_t begin() const noexcept { return reinterpret_cast<std::uintptr_t>(this + 1); }
  std::uintptr_t end() const noexcept { return reinterpret_cast<std::uintptr_t>(this) + size; }
};

// The next word that nobody has remembered yet, where the newest page ends if that has none left; and this
// process's own. Each module has its own pages. They are never given back: another module may remember a
// word of them.
inline constinit std::uintptr_t next_process_word = 0;
inline constinit std::uint32_t* process_word = nullptr;
inline constinit bool forks_are_handled = false;

inline void empty_kept_pages() noexcept {
  const std::uintptr_t next = next_process_word;
  if (next == 0) return;
  for (process_page* page = process_page::of(next); page != nullptr && page->is_kept != 0; page = page->older)
    for (std::uintptr_t word = page->begin(); word != page->end(); word += sizeof(std::uint32_t))
      *reinterpret_cast<std::uint32_t*>(word) = 0;
}

// Two threads that both register the handler do no harm.
inline failure handle_forks() noexcept {
  if (__atomic_load_n(&forks_are_handled, __ATOMIC_RELAXED)) return {};
  const int error = pthread_atfork(nullptr, nullptr, empty_kept_pages);
  if (error != 0) return failure::system("pthread_atfork", error);
  __atomic_store_n(&forks_are_handled, true, __ATOMIC_RELAXED);
  return {};
}

// Has the kernel empty the page in children. Zero, also where that is left to the handler; else an errno.
inline int empty_in_children([[maybe_unused]] void* page) noexcept {
  int result = 0;
#if defined(MADV_WIPEONFORK)
  result = ::madvise(page, process_page::size, MADV_WIPEONFORK);
#elif defined(INHERIT_ZERO)
  result = ::minherit(page, process_page::size, INHERIT_ZERO);
#elif defined(MAP_INHERIT_ZERO)
  result = ::minherit(page, process_page::size, MAP_INHERIT_ZERO);
#endif
  if (result == 0) return 0;
  // An old kernel, or a sandbox.
  const bool is_unknown = errno == EINVAL || errno == ENOSYS || errno == EPERM || errno == EACCES;
  return is_unknown ? 0 : errno;
}

// `next` is where the newest page ended; another thread may have made one since.
inline failure add_process_page(std::uintptr_t next) noexcept {
  void* const memory =
      ::mmap(nullptr, process_page::size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (memory == MAP_FAILED) return failure::system("mmap", errno);
  const int error = empty_in_children(memory);
  auto* const page = static_cast<process_page*>(memory);
  if (error == 0) {
    page->is_kept = 1;
    page->older = next == 0 ? nullptr : process_page::of(next);
    if (__atomic_compare_exchange_n(&next_process_word, &next, page->begin(), false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
      return {};
  }
  ::munmap(memory, process_page::size);
  return error == 0 ? failure() : failure::system("madvise", error);
}

// No word is taken twice, so what two threads take at once are both this process's.
SELECTORS_COLD inline failure take_process_word(std::uint32_t*& word) noexcept {
  if (const failure failed = handle_forks()) return failed;
  for (;;) {
    std::uintptr_t next = __atomic_load_n(&next_process_word, __ATOMIC_ACQUIRE);
    if ((next & (process_page::size - 1)) == 0) {  // there is no page, or none has room
      if (const failure failed = add_process_page(next)) return failed;
    } else if (__atomic_compare_exchange_n(&next_process_word, &next, next + sizeof(std::uint32_t), false,
                                           __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      word = reinterpret_cast<std::uint32_t*>(next);
      __atomic_store_n(word, 1, __ATOMIC_RELEASE);
      __atomic_store_n(&process_word, word, __ATOMIC_RELEASE);
      return {};
    }
  }
}

// Remembers a process: the one in which it was set, whatever module did that and whatever module asks. The
// check is one load, as a loop and a signal handler need it. Copies remember the same process.
class process_stamp {
 public:
  process_stamp() noexcept = default;
  process_stamp(const process_stamp& other) noexcept { *this = other; }
  process_stamp& operator=(const process_stamp& other) noexcept {
    word_ = other.is_empty() ? &zero_ : other.word_;
    return *this;
  }

  // Fails with what mmap(2), madvise(2) or pthread_atfork(3) fails with, and has changed nothing then.
  SELECTORS_NOINLINE failure set() noexcept {
    std::uint32_t* word = __atomic_load_n(&process_word, __ATOMIC_ACQUIRE);
    if (word == nullptr || __atomic_load_n(word, __ATOMIC_RELAXED) == 0)
      if (const failure failed = take_process_word(word)) return failed;
    word_ = word;
    return {};
  }
  void clear() noexcept { word_ = &zero_; }

  // Whether this is the process in which it was set. False when it is empty.
  // A plain load, since nobody writes the word while it is read, but the kernel in a child.
  bool is_current() const noexcept { return *word_ != 0; }
  bool is_empty() const noexcept { return word_ == &zero_; }
  // What it remembers the process by: not zero there, and zero in a child, as long as the process lives.
  const std::uint32_t* word() const noexcept { return word_; }
  static bool is_current(const std::uint32_t* word) noexcept {
    return __atomic_load_n(word, __ATOMIC_RELAXED) != 0;
  }

 private:
  // Its own zero: one that a module has would be gone with the module, and another for each.
  const std::uint32_t* word_ = &zero_;
  std::uint32_t zero_ = 0;
};

#else

// Every process is the first one.
class process_stamp {
 public:
  constexpr failure set() noexcept {
    is_set_ = true;
    return {};
  }
  constexpr void clear() noexcept { is_set_ = false; }
  constexpr bool is_current() const noexcept { return is_set_; }
  constexpr bool is_empty() const noexcept { return !is_set_; }
  static const std::uint32_t* word() noexcept { return &one; }
  static constexpr bool is_current(const std::uint32_t*) noexcept { return true; }

 private:
  static constexpr std::uint32_t one = 1;
  bool is_set_ = false;
};

#endif

}  // namespace SELECTORS_NAMESPACE::detail

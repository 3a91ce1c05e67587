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

// How a child process is recognized. An object that a child must not use remembers the address of a word that
// is not zero in the process that made it, and zero in every child from its first instruction: the kernel
// zeroes its page in a child (MADV_WIPEONFORK, madvise(2), Linux 4.14; INHERIT_ZERO, minherit(2) of FreeBSD;
// MAP_INHERIT_ZERO of OpenBSD and NetBSD). So a child is recognized in every handler of pthread_atfork(3),
// after _Fork and after a bare clone(2), and even if the module that made the page has been unloaded. A child
// uses the next word as its own.
//
// Where the kernel cannot do that (macOS, an old Linux, an emulator that ignores madvise), a handler of
// pthread_atfork(3) zeroes the page. It has that function's limits: handlers that were registered earlier run
// before it in the child, _Fork and clone(2) run none, and unloading a module removes its handlers.
//
// A child that shares its parent's memory (vfork(2), CLONE_VM) cannot be recognized.
struct process_page {
  static constexpr std::uintptr_t size = 4096;  // madvise rounds up to the system's page size

  std::uint32_t is_kept;  // zero once the kernel has zeroed the page
  process_page* older;

  static process_page* of(std::uintptr_t address) noexcept {
    return reinterpret_cast<process_page*>((address - 1) & ~(size - 1));
  }
  std::uintptr_t begin() const noexcept { return reinterpret_cast<std::uintptr_t>(this + 1); }
  std::uintptr_t end() const noexcept { return reinterpret_cast<std::uintptr_t>(this) + size; }
};

// The next unused word (the end of the newest page if that is full), and the word of this process. Each
// module has its own pages. They are never unmapped, because another module may remember a word of them.
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

// It is harmless if two threads register the handler.
inline failure handle_forks() noexcept {
  if (__atomic_load_n(&forks_are_handled, __ATOMIC_RELAXED)) return {};
  const int error = pthread_atfork(nullptr, nullptr, empty_kept_pages);
  if (error != 0) return failure::system("pthread_atfork", error);
  __atomic_store_n(&forks_are_handled, true, __ATOMIC_RELAXED);
  return {};
}

// Makes the kernel zero the page in children. Returns 0, also where that is left to the handler, or an errno.
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
  const bool is_unknown =
      errno == EINVAL || errno == ENOSYS || errno == EPERM || errno == EACCES || errno == EOPNOTSUPP;
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

// No word is used twice; two threads that call this at once get two words, both of this process.
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

// Remembers the process in which it was set. It works across modules, and the check is one load, cheap enough
// for a loop and a signal handler. Copies remember the same process.
class process_stamp {
 public:
  process_stamp() noexcept = default;
  process_stamp(const process_stamp& other) noexcept { *this = other; }
  process_stamp& operator=(const process_stamp& other) noexcept {
    word_ = other.is_empty() ? &zero_ : other.word_;
    return *this;
  }

  // Fails with the error of mmap(2), madvise(2) or pthread_atfork(3); then nothing has changed.
  SELECTORS_NOINLINE failure set() noexcept {
    std::uint32_t* word = __atomic_load_n(&process_word, __ATOMIC_ACQUIRE);
    if (word == nullptr || __atomic_load_n(word, __ATOMIC_RELAXED) == 0)
      if (const failure failed = take_process_word(word)) return failed;
    word_ = word;
    return {};
  }
  void clear() noexcept { word_ = &zero_; }

  // Whether this is the process in which it was set. False when it is empty. A plain load is enough: only the
  // kernel changes the word afterwards, when it makes a child.
  bool is_current() const noexcept { return *word_ != 0; }
  bool is_empty() const noexcept { return word_ == &zero_; }
  // The word: not zero in the process that set it, and zero in a child.
  const std::uint32_t* word() const noexcept { return word_; }
  static bool is_current(const std::uint32_t* word) noexcept {
    return __atomic_load_n(word, __ATOMIC_RELAXED) != 0;
  }

 private:
  // What an empty stamp points to. A member, because a static one would differ between modules and disappear
  // when its module is unloaded.
  const std::uint32_t* word_ = &zero_;
  std::uint32_t zero_ = 0;
};

#else

// Without fork(2) there are no children to recognize.
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

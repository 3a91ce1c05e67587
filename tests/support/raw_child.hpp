// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "child.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

#include <csignal>

// Children that are made without fork(2), and so run no handlers of pthread_atfork(3).
namespace support {

enum class raw_fork { clone, underscore_fork };

inline pid_t fork_by([[maybe_unused]] raw_fork how) {
#if defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
  if (how == raw_fork::underscore_fork) return checked(::_Fork(), "_Fork");
#endif
#endif
#if defined(SYS_clone) && defined(__s390x__)
  return checked(static_cast<int>(::syscall(SYS_clone, nullptr, SIGCHLD, nullptr, nullptr, nullptr)),
                 "clone");
#elif defined(SYS_clone)
  return checked(static_cast<int>(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr)),
                 "clone");
#else
  return checked(::fork(), "fork");
#endif
}

// As in_child does.
template <class Body>
int in_raw_child(raw_fork how, Body&& body) {
  const pid_t child = fork_by(how);
  if (child == 0) {
    ::alarm(10);
    end_child(body());
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Whether the kernel, and an emulator between it and us, has a page that is empty in a child (madvise(2)).
inline bool has_emptied_pages() {
#if defined(MADV_WIPEONFORK)
  void* const page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || ::madvise(page, 4096, MADV_WIPEONFORK) != 0) return false;
  *static_cast<int*>(page) = 7;
  const bool is_empty = in_child([&] { return *static_cast<int*>(page); }) == 0;
  ::munmap(page, 4096);
  return is_empty;
#else
  return false;
#endif
}

}  // namespace support

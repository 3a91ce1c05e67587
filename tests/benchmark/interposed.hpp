// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>

// The program's own syscall(2), which goes before the C library's: where instructions are counted, which
// exact.py says in the environment, it does epoll_pwait2(2) by epoll_wait(2), since valgrind does not know
// the former. Its own instructions are the same for all who call it. To be included once.
// Elsewhere than on x86-64 it is left out: there the library's way without epoll_pwait2 is counted.

#if defined(__x86_64__)

namespace interposed {

inline const bool is_counted = std::getenv("SELECTORS_BENCHMARK_COUNTED") != nullptr;

inline long bare_syscall(long number, const long (&of)[6]) {
  long result;
  register long r10 asm("r10") = of[3];
  register long r8 asm("r8") = of[4];
  register long r9 asm("r9") = of[5];
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(of[0]), "S"(of[1]), "d"(of[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}

}  // namespace interposed

extern "C" long syscall(long number, ...) noexcept {
  long of[6];
  std::va_list given;
  va_start(given, number);
  for (long& one : of) one = va_arg(given, long);
  va_end(given);
  if (number != SYS_epoll_pwait2 || !interposed::is_counted) return interposed::bare_syscall(number, of);
  const auto* const time = reinterpret_cast<const timespec*>(of[3]);
  const long wait = time == nullptr ? -1 : time->tv_sec * 1000 + (time->tv_nsec + 999'999) / 1'000'000;
  return epoll_wait(static_cast<int>(of[0]), reinterpret_cast<epoll_event*>(of[1]), static_cast<int>(of[2]),
                    static_cast<int>(wait));
}

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#if __cplusplus < 202002L && (!defined(_MSVC_LANG) || _MSVC_LANG < 202002L)
#error "selectors needs C++20: compile with -std=c++20 (MSVC: /std:c++20)"
#include "selectors needs C++20"  // no such file, which ends the compilation before hundreds of other errors
#endif

#include <selectors/version.hpp>

// The only file that asks which operating system and which compiler options are in use.
//
// SELECTORS_HAS_EPOLL, _KQUEUE, _POLL and _SELECT are public: always defined, 0 or 1. The rest is the
// library's own:
//
//   SELECTORS_HAS_WINSOCK   only sockets are handles, of type SOCKET; else file descriptors, of type int
//   SELECTORS_HAS_FORK      there is fork(2), which copies selectors too
//   SELECTORS_HAS_EVENTFD   eventfd(2)
//   SELECTORS_HAS_PIDFD     the kernel may have pidfd_open(2)
//
//   SELECTORS_HAS_KERNEL_KQUEUE   kqueue(2) is the kernel's own: it forgets closed descriptors, children do
//                                 not inherit it, and dup2(2) works on it
//   SELECTORS_KQUEUE_MISSES_FIFO_END  EVFILT_READ of a FIFO never reports that the writers are gone
//   SELECTORS_KQUEUE_MISSES_LISTEN    a socket that is watched before listen(2) never reports a connection
//   SELECTORS_POLL_REFUSES_FILES      poll(2) takes neither devices nor directories
//   SELECTORS_SELECT_EXCEPTS_FILES    select(2) calls every file exceptional, as POSIX says
//   SELECTORS_PSELECT_HAS_TWO_NAMES   pselect(2) takes no descriptor beyond FD_SETSIZE, but another of its
//                                     names does
//
// To use libkqueue on Linux, put its <sys/event.h> on the include path, link it, and define
// SELECTORS_LIBKQUEUE; as 0, if the library that is linked behaves exactly as a kernel does.

#if defined(__linux__)
#define SELECTORS_HAS_EPOLL 1
#if defined(SELECTORS_LIBKQUEUE)
#define SELECTORS_HAS_KQUEUE 1
#else
#define SELECTORS_HAS_KQUEUE 0
#endif
#define SELECTORS_HAS_POLL 1
#define SELECTORS_HAS_SELECT 1
#define SELECTORS_HAS_WINSOCK 0
#define SELECTORS_HAS_FORK 1
#define SELECTORS_HAS_EVENTFD 1
#define SELECTORS_HAS_PIDFD 1
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
#define SELECTORS_HAS_EPOLL 0
#define SELECTORS_HAS_KQUEUE 1
#define SELECTORS_HAS_POLL 1
#define SELECTORS_HAS_SELECT 1
#define SELECTORS_HAS_WINSOCK 0
#define SELECTORS_HAS_FORK 1
#define SELECTORS_HAS_EVENTFD 0
#define SELECTORS_HAS_PIDFD 0
#elif defined(_WIN32) && !defined(__CYGWIN__)
#define SELECTORS_HAS_EPOLL 0
#define SELECTORS_HAS_KQUEUE 0
#define SELECTORS_HAS_POLL 1
#define SELECTORS_HAS_SELECT 1
#define SELECTORS_HAS_WINSOCK 1
#define SELECTORS_HAS_FORK 0
#define SELECTORS_HAS_EVENTFD 0
#define SELECTORS_HAS_PIDFD 0
#elif defined(__EMSCRIPTEN__)
// WebAssembly in a browser or Node: fork(2) fails with ENOSYS.
#define SELECTORS_HAS_EPOLL 0
#define SELECTORS_HAS_KQUEUE 0
#define SELECTORS_HAS_POLL 1
#define SELECTORS_HAS_SELECT 1
#define SELECTORS_HAS_WINSOCK 0
#define SELECTORS_HAS_FORK 0
#define SELECTORS_HAS_EVENTFD 0
#define SELECTORS_HAS_PIDFD 0
#elif defined(__wasi__)
#error "selectors: WASI is not supported: it has no pipe and no socket pair to wake a selector by"
#elif defined(__unix__) || defined(__sun) || defined(__CYGWIN__) || defined(__HAIKU__) || \
    defined(__QNX__) || defined(_AIX)
// illumos and Solaris, Cygwin, Haiku, QNX, AIX and others: the callers detect whether ppoll(2), pipe2(2) and
// dup3(2) exist. There is no backend for illumos's event ports or Haiku's event queues.
#define SELECTORS_HAS_EPOLL 0
#define SELECTORS_HAS_KQUEUE 0
#define SELECTORS_HAS_POLL 1
#define SELECTORS_HAS_SELECT 1
#define SELECTORS_HAS_WINSOCK 0
#define SELECTORS_HAS_FORK 1
#define SELECTORS_HAS_EVENTFD 0
#define SELECTORS_HAS_PIDFD 0
#else
#error "selectors: this system is not supported; Linux, macOS, the BSDs, other POSIX systems and Windows are"
#endif

#if defined(__APPLE__)
#define SELECTORS_PSELECT_HAS_TWO_NAMES 1
#else
#define SELECTORS_PSELECT_HAS_TWO_NAMES 0
#endif

#if defined(SELECTORS_SELECT_EXCEPTS_FILES)  // a test says so
#elif defined(__linux__) || defined(_WIN32)
#define SELECTORS_SELECT_EXCEPTS_FILES 0
#else
#define SELECTORS_SELECT_EXCEPTS_FILES 1
#endif

#if defined(SELECTORS_POLL_REFUSES_FILES)  // a test says so
#elif defined(__APPLE__)
#define SELECTORS_POLL_REFUSES_FILES 1
#else
#define SELECTORS_POLL_REFUSES_FILES 0
#endif

#if SELECTORS_HAS_KQUEUE && defined(SELECTORS_LIBKQUEUE)
#define SELECTORS_HAS_KERNEL_KQUEUE (!SELECTORS_LIBKQUEUE)
#else
#define SELECTORS_HAS_KERNEL_KQUEUE SELECTORS_HAS_KQUEUE
#endif

// soo_kqfilter in uipc_socket.c of NetBSD, OpenBSD and DragonFly. The tests' double can behave like each of
// them.
#if defined(__NetBSD__) || defined(__OpenBSD__) || defined(__DragonFly__) || defined(SELECTORS_LIBKQUEUE)
#define SELECTORS_KQUEUE_MISSES_LISTEN SELECTORS_HAS_KERNEL_KQUEUE
#else
#define SELECTORS_KQUEUE_MISSES_LISTEN 0
#endif

// Reported of macOS by programs that avoid kqueue for FIFOs. A pipe has no device number there, sys_pipe.c.
#if defined(SELECTORS_KQUEUE_MISSES_FIFO_END)  // a test says so
#elif defined(__APPLE__)
#define SELECTORS_KQUEUE_MISSES_FIFO_END 1
#else
#define SELECTORS_KQUEUE_MISSES_FIFO_END 0
#endif

// Where a sandbox kills a program that calls epoll_pwait2(2) (Android 8 to 14), waits are in milliseconds.
#if defined(SELECTORS_NO_EPOLL_PWAIT2) || defined(__ANDROID__)
#define SELECTORS_USES_EPOLL_PWAIT2 0
#else
#define SELECTORS_USES_EPOLL_PWAIT2 1
#endif

// With -fno-exceptions only the error_code forms of the interface exist.
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define SELECTORS_EXCEPTIONS 1
#else
#define SELECTORS_EXCEPTIONS 0
#endif

// Whether <selectors/coroutine.hpp> can be used.
#if defined(__cpp_impl_coroutine)
#define SELECTORS_HAS_COROUTINES 1
#else
#define SELECTORS_HAS_COROUTINES 0
#endif

#if defined(__GNUC__)
// Out of line and in a cold section: for rare work, so that it does not slow down the loop.
#define SELECTORS_COLD [[gnu::cold, gnu::noinline]]
// Out of line: for calls outside the loop, so that programs stay small.
#define SELECTORS_NOINLINE [[gnu::noinline]]
// Always inline: for the few lines that run for each event.
#define SELECTORS_ALWAYS_INLINE [[gnu::always_inline]] inline
#else
#define SELECTORS_COLD __declspec(noinline)
#define SELECTORS_NOINLINE __declspec(noinline)
#define SELECTORS_ALWAYS_INLINE __forceinline
#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#if __cplusplus < 202002L && (!defined(_MSVC_LANG) || _MSVC_LANG < 202002L)
#error "selectors needs C++20: compile with -std=c++20 (MSVC: /std:c++20)"
#include "selectors needs C++20"  // no such file, which ends the compilation before hundreds of other errors
#endif

#include <selectors/version.hpp>

// The only file that asks which operating system and which compiler options these are.
//
// SELECTORS_HAS_EPOLL, _KQUEUE, _POLL and _SELECT are public: always defined, 0 or 1. The rest is the
// library's own:
//
//   SELECTORS_HAS_WINSOCK   handles are sockets alone, named by a SOCKET; else descriptors, named by an int
//   SELECTORS_HAS_FORK      a process can be copied, selectors and all
//   SELECTORS_HAS_EVENTFD   eventfd(2)
//   SELECTORS_HAS_PIDFD     the kernel may have pidfd_open(2)
//
//   SELECTORS_HAS_KERNEL_KQUEUE   kqueue(2) is the kernel's own: it forgets what is closed, no child inherits
//                                 it, and dup2(2) moves it
//   SELECTORS_KQUEUE_MISSES_FIFO_END  EVFILT_READ of a FIFO never reports that the writers are gone
//   SELECTORS_KQUEUE_MISSES_LISTEN    a socket that is watched before listen(2) never reports a connection
//   SELECTORS_POLL_REFUSES_FILES      poll(2) takes neither devices nor directories
//   SELECTORS_SELECT_EXCEPTS_FILES    select(2) calls every file exceptional, as POSIX says
//   SELECTORS_PSELECT_HAS_TWO_NAMES   pselect(2) takes no descriptor beyond FD_SETSIZE, but another of its
//                                     names does
//
// A program on Linux that links libkqueue, and finds its <sys/event.h>, says so by SELECTORS_LIBKQUEUE; 0
// says that what it links behaves as a kernel does.

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
// A program in a web browser or in Node: fork(2) fails there with ENOSYS.
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
// illumos and Solaris, Cygwin, Haiku, QNX, AIX and others: whether there are ppoll(2), pipe2(2) and dup3(2)
// is looked up where they are called. illumos's event ports and Haiku's event queues have no backend.
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

// uipc_socket.c, soo_kqfilter, of NetBSD, OpenBSD and DragonFly. The double of the tests behaves in all ways
// there are.
#if defined(__NetBSD__) || defined(__OpenBSD__) || defined(__DragonFly__) || defined(SELECTORS_LIBKQUEUE)
#define SELECTORS_KQUEUE_MISSES_LISTEN SELECTORS_HAS_KERNEL_KQUEUE
#else
#define SELECTORS_KQUEUE_MISSES_LISTEN 0
#endif

// Said of macOS by programs that gave up on its FIFOs. A pipe has no device number there, sys_pipe.c.
#if defined(__APPLE__)
#define SELECTORS_KQUEUE_MISSES_FIFO_END 1
#else
#define SELECTORS_KQUEUE_MISSES_FIFO_END 0
#endif

// epoll_pwait2(2) can be done without, in milliseconds: where a sandbox kills who calls it (Android 8 to 14).
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
// Out of line and out of the way: what a program does seldom must not slow what it does always.
#define SELECTORS_COLD [[gnu::cold, gnu::noinline]]
// Out of line, for a call that is no part of the loop: programs stay small.
#define SELECTORS_NOINLINE [[gnu::noinline]]
// In line, whatever the compiler thinks of it: the few lines that run for each event.
#define SELECTORS_ALWAYS_INLINE [[gnu::always_inline]] inline
#else
#define SELECTORS_COLD __declspec(noinline)
#define SELECTORS_NOINLINE __declspec(noinline)
#define SELECTORS_ALWAYS_INLINE __forceinline
#endif

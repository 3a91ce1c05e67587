// SPDX-License-Identifier: BSL-1.0
#pragma once

// The only file that asks which operating system and which compiler options these are.
//
// SELECTORS_HAS_EPOLL, _KQUEUE, _POLL and _SELECT are public: always defined, 0 or 1.

#if defined(__linux__)
#define SELECTORS_HAS_EPOLL 1
#define SELECTORS_HAS_KQUEUE 0
#define SELECTORS_HAS_POLL 1
#define SELECTORS_HAS_SELECT 1
#else
#error "selectors: this operating system is not supported yet; Linux is"
#endif

// With -fno-exceptions only the error_code forms of the interface exist.
#if defined(__cpp_exceptions)
#define SELECTORS_EXCEPTIONS 1
#else
#define SELECTORS_EXCEPTIONS 0
#endif

// Out of line and out of the way: what a program does seldom must not slow what it does always.
#define SELECTORS_COLD [[gnu::cold, gnu::noinline]]
// Out of line, for a call that is no part of the loop: programs stay small.
#define SELECTORS_APART [[gnu::noinline]]
// In line, whatever the compiler thinks of it: the few lines that run for each event.
#define SELECTORS_HOT [[gnu::always_inline]] inline

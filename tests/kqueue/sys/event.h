// SPDX-License-Identifier: BSL-1.0
#pragma once

// The double's <sys/event.h>: the part of kqueue(2) that the library may use. With KQUEUE_DOUBLE_OF_NETBSD
// its types are those of NetBSD in 2016, and there is no filter for out-of-band data; else they are those of
// macOS.

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(KQUEUE_DOUBLE_OF_NETBSD)

struct kevent {
  uintptr_t ident;
  uint32_t filter;
  uint32_t flags;
  uint32_t fflags;
  int64_t data;
  intptr_t udata;
};

#define EVFILT_READ 0U
#define EVFILT_WRITE 1U
#define EVFILT_PROC 4U

#define EV_ADD 0x0001U
#define EV_DELETE 0x0002U
#define EV_ENABLE 0x0004U
#define EV_DISABLE 0x0008U
#define EV_ONESHOT 0x0010U
#define EV_CLEAR 0x0020U
#define EV_RECEIPT 0x0040U
#define EV_EOF 0x8000U
#define EV_ERROR 0x4000U

#define NOTE_LOWAT 0x0001U
#define NOTE_EXIT 0x80000000U

typedef size_t kqueue_double_count;

#else

#pragma pack(push, 4)
struct kevent {
  uintptr_t ident;
  int16_t filter;
  uint16_t flags;
  uint32_t fflags;
  intptr_t data;
  void* udata;
};
#pragma pack(pop)

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#define EVFILT_PROC (-5)
#define EVFILT_USER (-10)
#define EVFILT_EXCEPT (-15)

#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_RECEIPT 0x0040
#define EV_EOF 0x8000
#define EV_ERROR 0x4000

#define NOTE_LOWAT 0x00000001
#define NOTE_OOB 0x00000002
#define NOTE_TRIGGER 0x01000000
#define NOTE_EXIT 0x80000000U

typedef int kqueue_double_count;

#endif

#ifdef __cplusplus
extern "C" {
#endif

int kqueue(void);
int kevent(int kq, const struct kevent* changes, kqueue_double_count change_count, struct kevent* events,
           kqueue_double_count room, const struct timespec* timeout);

#ifdef __cplusplus
}
#endif

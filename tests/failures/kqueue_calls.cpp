// SPDX-License-Identifier: BSL-1.0
#include "system_calls.hpp"
#include "wrap.hpp"

#include <sys/event.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>

// The system calls that only the kqueue backend makes.

// NOLINTBEGIN(bugprone-reserved-identifier)
WRAP(int, kqueue, ())
WRAP(int, getsockopt, (int handle, int level, int name, void* value, socklen_t* size), handle, level, name,
     value, size)
WRAP(int, getpeername, (int handle, sockaddr* peer, socklen_t* size), handle, peer, size)

// Not a terminal, then.
extern "C" int __real_isatty(int handle);
extern "C" int __wrap_isatty(int handle);
extern "C" int __wrap_isatty(int handle) { return support::fails("isatty") ? 0 : __real_isatty(handle); }

// The error of a change is in its receipt, here in the last one's. A closed descriptor has no filters, and
// after an interruption all changes have been applied: kqueue(2).
extern "C" int __real_kevent(int kq, const struct kevent* changes, kqueue_double_count change_count,
                             struct kevent* events, kqueue_double_count room, const timespec* timeout);
extern "C" int __wrap_kevent(int kq, const struct kevent* changes, kqueue_double_count change_count,
                             struct kevent* events, kqueue_double_count room, const timespec* timeout);
extern "C" int __wrap_kevent(int kq, const struct kevent* changes, kqueue_double_count change_count,
                             struct kevent* events, kqueue_double_count room, const timespec* timeout) {
  if (!support::fails("kevent")) return __real_kevent(kq, changes, change_count, events, room, timeout);
  const int error = errno;
  if (change_count == 0) return -1;
  const auto last = static_cast<std::size_t>(change_count) - 1;
  const bool is_gone = (error == EBADF || error == ENOENT) && (changes[last].flags & EV_DELETE) != 0;
  // Asked about a queue's mark, either answer says that the number belongs to another file, so that must be
  // true.
  if (changes[last].filter == EVFILT_USER && (error == EBADF || error == ENOENT))
    return __real_kevent(kq, changes, change_count, events, room, timeout);
  const bool all = is_gone || error == EINTR;
  if (room == 0) {  // the call itself fails, with the first change that is refused
    const auto count = static_cast<kqueue_double_count>(last + (all ? 1 : 0));
    if (count != 0 && __real_kevent(kq, changes, count, nullptr, 0, timeout) < 0) return -1;
    errno = error;
    return -1;
  }
  struct kevent receipt = changes[last];
  if (all || last != 0) {
    const auto count = static_cast<kqueue_double_count>(last + (all ? 1 : 0));
    const int told = __real_kevent(kq, changes, count, events, count, timeout);
    if (told != static_cast<int>(count)) return told;
  }
  if (error == EINTR) {
    errno = EINTR;
    return -1;
  }
  receipt.flags = EV_ERROR;
  receipt.data = error;
  events[last] = receipt;
  return static_cast<int>(change_count);
}
// NOLINTEND(bugprone-reserved-identifier)

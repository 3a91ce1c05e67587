// SPDX-License-Identifier: BSL-1.0
#include "system_calls.hpp"

#include "wrap.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <map>

namespace {

bool is_planned = false;
bool is_in_library = false;
support::planned_failure plan;
std::size_t calls_made = 0;
bool has_happened = false;
std::string_view planned_name;

// The numbers on all architectures but alpha, for older headers.
constexpr long pidfd_open = 434, pidfd_send_signal = 424;

}  // namespace

namespace support {

bool fails(std::string_view name) noexcept {
  if (!is_planned || !is_in_library) return false;
  const std::size_t call = calls_made++;
  if (call == plan.call) {
    has_happened = true;
    planned_name = name;
  } else if (!has_happened || !plan.lasts || name != planned_name) {
    return false;
  }
  if (plan.error == 0) return false;
  errno = plan.error;
  return true;
}

failing_system_calls::failing_system_calls(planned_failure wanted) noexcept {
  plan = wanted;
  calls_made = 0;
  has_happened = false;
  planned_name = {};
  is_planned = true;
}
failing_system_calls::~failing_system_calls() { lift(); }
bool failing_system_calls::happened() const noexcept { return has_happened; }
std::string_view failing_system_calls::name() const noexcept { return planned_name; }
std::size_t failing_system_calls::calls() const noexcept { return calls_made; }
void failing_system_calls::lift() noexcept { is_planned = false; }

in_library::in_library() noexcept { is_in_library = true; }
in_library::~in_library() { is_in_library = false; }

std::vector<int> errors_of(std::string_view call) {
  static const std::map<std::string_view, std::vector<int>> errors{
      {"epoll_create1", {EMFILE, ENFILE, ENOMEM, EINVAL, ENOSYS, EPERM, EACCES}},
      {"epoll_create", {EMFILE, ENFILE, ENOMEM, EINVAL, EPERM}},
      {"ioctl", {EINVAL, ENOTTY}},
      {"epoll_ctl", {EBADF, EEXIST, EINVAL, ELOOP, ENOENT, ENOMEM, ENOSPC, EPERM}},
      {"epoll_wait", {EBADF, EINTR, EINVAL}},
      {"epoll_pwait2", {EBADF, EINTR, EINVAL, ENOSYS, EPERM, EACCES, EOPNOTSUPP}},
      {"dup3", {EBADF, EBUSY, EINTR, EINVAL, EMFILE, ENOMEM, ENOSYS, EPERM, EACCES}},
      {"ppoll", {EINTR, EINVAL, ENOMEM, ENOSYS, EPERM, EACCES, EOPNOTSUPP}},
      {"pselect", {EBADF, EINTR, EINVAL, ENOMEM, ENOSYS, EPERM, EACCES, EOPNOTSUPP}},
      {"fcntl", {EBADF}},
      {"close", {EBADF, EINTR, EIO, ENOSPC}},
      {"eventfd", {EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM, ENOSYS, EPERM, EACCES}},
      {"pidfd_open", {EMFILE, ENFILE, ENODEV, ENOMEM, ENOSYS, EPERM, EACCES}},
      {"pidfd_send_signal", {EPERM, ENOSYS, EACCES}},
      {"sigaction", {EINVAL}},
      {"waitid", {EINTR, EINVAL}},
      {"waitpid", {EINTR}},
      {"kill", {EPERM}},
      {"fstat", {EBADF, EIO, ENOMEM, EOVERFLOW}},
      {"pipe", {EMFILE, ENFILE}},
      {"pipe2", {EMFILE, ENFILE}},
      {"read", {EAGAIN, EBADF, EINTR, EINVAL, EIO}},
      {"write", {EAGAIN, EINTR}},
      {"pthread_atfork", {ENOMEM}},
      {"mmap", {EAGAIN, ENOMEM, EPERM}},
      {"madvise", {EACCES, EAGAIN, EINVAL, ENOMEM, ENOSYS, EPERM}},
      {"munmap", {EINVAL}},
      {"kqueue", {EMFILE, ENFILE, ENOMEM}},
      {"kevent", {EACCES, EBADF, EINTR, EINVAL, ENOENT, ENOMEM}},
      {"dup2", {EBADF, EBUSY, EINTR, EMFILE}},
      {"poll", {EINTR, EINVAL, ENOMEM}},
      {"isatty", {EBADF, ENOTTY}},
      {"getsockopt", {EBADF, EINVAL, ENOBUFS}},
      {"getpeername", {EBADF, EINVAL, ENOBUFS, ENOTCONN}},
  };
  return errors.at(call);
}

}  // namespace support

// NOLINTBEGIN(bugprone-reserved-identifier)
WRAP(int, epoll_create1, (int flags), flags)
WRAP(int, epoll_ctl, (int epoll, int operation, int handle, epoll_event* event), epoll, operation, handle,
     event)
WRAP(int, epoll_wait, (int epoll, epoll_event* events, int size, int timeout), epoll, events, size, timeout)
WRAP(int, dup3, (int from, int to, int flags), from, to, flags)
WRAP(int, ppoll, (pollfd * watched, nfds_t count, const timespec* timeout, const sigset_t* mask), watched,
     count, timeout, mask)
WRAP(int, pselect,
     (int count, fd_set* readers, fd_set* writers, fd_set* exceptional, const timespec* timeout,
      const sigset_t* mask),
     count, readers, writers, exceptional, timeout, mask)
WRAP(int, poll, (pollfd * watched, nfds_t count, int timeout), watched, count, timeout)
WRAP(int, epoll_create, (int size), size)
WRAP(int, dup2, (int from, int to), from, to)
WRAP(int, fstat, (int handle, struct stat* about), handle, about)
WRAP(int, madvise, (void* begin, std::size_t size, int advice), begin, size, advice)
WRAP(int, munmap, (void* begin, std::size_t size), begin, size)
WRAP(int, eventfd, (unsigned value, int flags), value, flags)
WRAP(int, pipe, (int* ends), ends)
WRAP(int, pipe2, (int* ends, int flags), ends, flags)
WRAP(int, sigaction, (int number, const struct sigaction* action, struct sigaction* before), number, action,
     before)
WRAP(int, waitid, (idtype_t type, id_t which, siginfo_t* info, int options), type, which, info, options)
WRAP(pid_t, waitpid, (pid_t which, int* status, int options), which, status, options)
WRAP(int, kill, (pid_t which, int number), which, number)
WRAP(ssize_t, read, (int handle, void* to, std::size_t size), handle, to, size)

// An error other than EINTR means that the counter, or the pipe, is full, so there is something to read.
extern "C" ssize_t __real_write(int handle, const void* from, std::size_t size);
extern "C" ssize_t __wrap_write(int handle, const void* from, std::size_t size);
extern "C" ssize_t __wrap_write(int handle, const void* from, std::size_t size) {
  if (!support::fails("write")) return __real_write(handle, from, size);
  if (errno == EAGAIN) {
    (void)!__real_write(handle, from, size);
    errno = EAGAIN;
  }
  return -1;
}

// Closes the descriptor even when it fails, as Linux does: close(2).
extern "C" int __real_close(int handle);
extern "C" int __wrap_close(int handle);
extern "C" int __wrap_close(int handle) {
  const int result = __real_close(handle);
  return support::fails("close") ? -1 : result;
}

extern "C" void* __real_mmap(void* where, std::size_t size, int protection, int flags, int file,
                             off_t offset);
extern "C" void* __wrap_mmap(void* where, std::size_t size, int protection, int flags, int file,
                             off_t offset);
extern "C" void* __wrap_mmap(void* where, std::size_t size, int protection, int flags, int file,
                             off_t offset) {
  return support::fails("mmap") ? MAP_FAILED : __real_mmap(where, size, protection, flags, file, offset);
}

// Returns the error itself.
extern "C" int __real_pthread_atfork(void (*prepare)(), void (*parent)(), void (*child)());
extern "C" int __wrap_pthread_atfork(void (*prepare)(), void (*parent)(), void (*child)());
extern "C" int __wrap_pthread_atfork(void (*prepare)(), void (*parent)(), void (*child)()) {
  if (support::fails("pthread_atfork")) return errno;
  static const int result =
      __real_pthread_atfork(prepare, parent, child);  // one handler, however often it is asked for
  return result;
}

extern "C" int __real_fcntl(int handle, int command, ...);
extern "C" int __wrap_fcntl(int handle, int command, ...);
extern "C" int __wrap_fcntl(int handle, int command, ...) {
  va_list rest;
  va_start(rest, command);
  const long argument = va_arg(rest, long);
  va_end(rest);
  if (!support::fails("fcntl")) return __real_fcntl(handle, command, argument);
  // When the library asks whether a number is still its own, EBADF means that it was closed.
  const int error = errno;
  if (command == F_GETSIG) __real_close(handle);
  errno = error;
  return -1;
}

extern "C" int __real_ioctl(int handle, unsigned long request, ...);
extern "C" int __wrap_ioctl(int handle, unsigned long request, ...);
extern "C" int __wrap_ioctl(int handle, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  return support::fails("ioctl") ? -1 : __real_ioctl(handle, request, argument);
}

extern "C" long __real_syscall(long number, ...);
extern "C" long __wrap_syscall(long number, ...);
// Reads six arguments, however few there are.
extern "C" [[gnu::no_sanitize_address]] long __wrap_syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long a[6];
  for (long& one : a) one = va_arg(rest, long);
  va_end(rest);
  if (number == SYS_epoll_pwait2 && support::fails("epoll_pwait2")) return -1;
  if (number == pidfd_open && support::fails("pidfd_open")) return -1;
  if (number == pidfd_send_signal && support::fails("pidfd_send_signal")) return -1;
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
// NOLINTEND(bugprone-reserved-identifier)

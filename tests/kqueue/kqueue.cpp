// SPDX-License-Identifier: BSL-1.0

// A double of kqueue(2) for tests on Linux, written from FreeBSD's manual page and from what is known of each
// kernel (settings.hpp). The queue's descriptor is the epoll's, so it can be watched. It differs from a
// kernel in this: the socket's error is not told, only that there is one (looking would take it); an edge
// tells both filters of a descriptor, unless the other one is a level. One thread at a time.

#include "settings.hpp"
#include "watched.hpp"

#include <sys/event.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <mutex>
#include <new>

namespace kqueue_double {
namespace {

// In a child nobody holds it: whoever did is a thread of the parent's.
class process_mutex {
 public:
  void lock() {
    if (const pid_t current = ::getpid(); process_ != current) {
      new (&mutex_) std::recursive_mutex;
      process_ = current;
    }
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::recursive_mutex mutex_;
  pid_t process_ = ::getpid();
};

process_mutex guard;
using lock = std::lock_guard<process_mutex>;

map<std::shared_ptr<queue>>& queues() {
  static auto* const all = new (std::malloc(sizeof(map<std::shared_ptr<queue>>))) map<std::shared_ptr<queue>>;
  return *all;  // outlives whoever closes last
}

std::int64_t now_in_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1000000000} + now.tv_nsec;
}

int wait(const std::shared_ptr<queue>& in, struct kevent* events, std::size_t room, const timespec* timeout) {
  if (room == 0) return 0;
  const std::int64_t most = std::int64_t{100000000} * 1000000000;
  std::int64_t end = -1;
  if (timeout != nullptr) {
    if (timeout->tv_sec < 0 || timeout->tv_sec > 100000000 || timeout->tv_nsec < 0 ||
        timeout->tv_nsec >= 1000000000) {
      errno = EINVAL;
      return -1;
    }
    end = now_in_nanoseconds() + timeout->tv_sec * std::int64_t{1000000000} + timeout->tv_nsec;
  }
  for (;;) {
    {
      const lock held(guard);
      if (const std::size_t told = collect(*in, events, room); told != 0) return static_cast<int>(told);
    }
    const std::int64_t left = end < 0 ? most : std::max<std::int64_t>(end - now_in_nanoseconds(), 0);
    if (end >= 0 && left == 0) return 0;
    timespec pause{static_cast<time_t>(left / 1000000000), left % 1000000000};
    pollfd one{in->epoll, POLLIN, 0};
    if (call(SYS_ppoll, &one, std::size_t{1}, &pause, nullptr, std::size_t{8}) < 0) return -1;
  }
}

// ---- descriptors that are closed, and processes that are copied -------------------------------------------

// Before the number is closed, or becomes another one.
void note_close(int number) {
  const lock held(guard);
  const auto queue = queues().find(number);
  if (queue != queues().end()) {
    if (queue->second.use_count() == 1) close_children(*queue->second);
    queues().erase(queue);
  }
  if (chosen(word::kept)) return;
  for (auto& [one, in] : queues()) {
    const auto place = in->watches.find(number);
    if (place == in->watches.end() || in->process != ::getpid()) continue;
    in->epoll = one;
    tell_epoll(*in, place->second, EPOLL_CTL_DEL);
    in->watches.erase(place);
  }
}

void note_copy(int from, int to) {
  const lock held(guard);
  const auto place = queues().find(from);
  if (place == queues().end()) return;
  const auto in = place->second;
  queues()[to] = in;
}

void leave_to_parent() {
  if (chosen(word::inherited)) return;
  const lock held(guard);
  for (auto& [number, in] : queues()) {
    close_children(*in);
    call(SYS_close, number);
  }
  queues().clear();
}

bool is_open(int number) { return call(SYS_fcntl, number, F_GETFD, 0) >= 0; }

bool is_allowed(int number) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return static_cast<rlim_t>(number) < limit.rlim_cur;
}

// What was on the number is closed by it.
template <class Call>
int copy(int from, int to, Call system_call) {
  const bool is_closed = is_open(from) && is_allowed(to);
  if (is_closed) note_close(to);
  const int result = system_call();
  if (result >= 0) note_copy(from, to);
  return result;
}

// The sockets that were shut down for writing, by their inodes.
vector<ino_t>& shut_sockets() {
  static auto* const all = new (std::malloc(sizeof(vector<ino_t>))) vector<ino_t>;
  return *all;
}

}  // namespace

bool is_shut_for_writing(int number) {
  const auto& all = shut_sockets();
  return std::find(all.begin(), all.end(), status_of(number).st_ino) != all.end();
}

bool is_queue(int number) {
  const lock held(guard);
  return queues().count(number) != 0;
}

}  // namespace kqueue_double

using namespace kqueue_double;

extern "C" {

int kqueue() {
  const int epoll = call(SYS_epoll_create1, 0);
  if (epoll < 0) return -1;
  const lock held(guard);
  queues()[epoll] = std::allocate_shared<queue>(uncounted<queue>(), queue{epoll, ::getpid(), {}, {}});
  return epoll;
}

int kevent(int kq, const struct kevent* changes, kqueue_double_count change_count, struct kevent* events,
           kqueue_double_count room, const timespec* timeout) {
  std::shared_ptr<queue> in;
  std::size_t receipts = 0;
  {
    const lock held(guard);
    const auto place = queues().find(kq);
    if (place == queues().end()) {
      errno = EBADF;
      return -1;
    }
    in = place->second;
    in->epoll = kq;  // one of several numbers, perhaps
    const auto space = static_cast<std::size_t>(room);
    for (std::size_t i = 0; i != static_cast<std::size_t>(change_count); ++i) {
      struct kevent change = changes[i];
      const int error = apply(*in, change);
      show_users(*in);
      if (error == 0 && (change.flags & EV_RECEIPT) == 0) continue;
      if (receipts == space) {
        if (error == 0) break;  // what follows is not processed
        errno = error;
        return -1;
      }
      if (!chosen(word::echo)) change.flags = 0;
      change.flags |= EV_ERROR;
      change.data = error;
      events[receipts++] = change;
    }
    if (change_count != 0 && chosen(word::restless) && in->calls++ % 3 == 0) {
      errno = EINTR;
      return -1;
    }
  }
  if (receipts != 0 && (!chosen(word::patient) || receipts == static_cast<std::size_t>(room)))
    return static_cast<int>(receipts);
  const int told = wait(in, events + receipts, static_cast<std::size_t>(room) - receipts, timeout);
  return told < 0 && receipts == 0 ? told : static_cast<int>(receipts) + std::max(told, 0);
}

// In the place of the C library's.
int close(int number) {
  note_close(number);
  return call(SYS_close, number);
}

int dup3(int from, int to, int flags) noexcept {
  if (from == to) {
    errno = EINVAL;
    return -1;
  }
  // A sandbox's answer would come too late, after what was on the number is taken to be closed.
  if (call(SYS_dup3, from, from, flags) < 0 && errno != EINVAL) return -1;
  return copy(from, to, [&] { return call(SYS_dup3, from, to, flags); });
}

int dup2(int from, int to) noexcept {
  if (from == to) return is_open(from) ? to : -1;
#if defined(SYS_dup2)
  return copy(from, to, [&] { return call(SYS_dup2, from, to); });
#else
  return dup3(from, to, 0);
#endif
}

int fcntl(int number, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  const long argument = va_arg(arguments, long);
  va_end(arguments);
  const int result = call(SYS_fcntl, number, command, argument);
  if (command != F_GETFL || result < 0 || !pipes_are_duplex() || !is_unnamed_pipe(number)) return result;
  return (result & ~O_ACCMODE) | O_RDWR;
}

int fstat(int number, struct stat* about) noexcept {
  const int result = call(SYS_newfstatat, number, "", about, AT_EMPTY_PATH);
  if (result == 0 && chosen(word::lasting) && S_ISFIFO(about->st_mode) && is_unnamed_pipe(number))
    about->st_dev = 0;
  return result;
}

int shutdown(int number, int how) noexcept {
  const int result = call(SYS_shutdown, number, how);
  const lock held(guard);
  if (result == 0 && how != SHUT_RD) shut_sockets().push_back(status_of(number).st_ino);
  return result;
}

pid_t fork() noexcept {
  static const auto real = reinterpret_cast<pid_t (*)()>(::dlsym(RTLD_NEXT, "fork"));
  guard.lock();  // so that no thread leaves the child half a change
  const pid_t child = real();
  if (child == 0)
    leave_to_parent();
  else
    guard.unlock();
  return child;
}

}  // extern "C"

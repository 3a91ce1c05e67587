// SPDX-License-Identifier: BSL-1.0

// A double of kqueue(2) for tests on Linux, written from FreeBSD's manual page. Where that leaves a choice, or where
// systems are known to differ, the environment variable KQUEUE_DOUBLE chooses, a list of these words:
//
//   kept        filters outlive their descriptor while a duplicate lives, and cannot be removed then, as the epoll under
//               libkqueue has it; else closing takes them along
//   inherited   a child process keeps the queue, as under libkqueue; else its number is free there
//   echo        receipts and events carry the flags of the change, too; else EV_ERROR alone, or what is told
//   stale       adding what is there already keeps the old udata; else it takes the new one
//   taken       the writing end of a pipe that nobody reads can be watched; else it is refused with EPIPE
//   badf        it is refused with EBADF
//   ended       EVFILT_EXCEPT tells of the end of a stream, too
//   patient     with room left after the receipts, it waits for events; else it returns
//   backwards   of two filters the writer's is told first, and all in another order
//   devices     devices such as /dev/null are always ready; else they are refused with ENODEV
//   opnotsupp   they are refused with EOPNOTSUPP
//   restless    every third call with changes is interrupted, having applied them
//
// It stands on epoll(7), since poll(2) cannot tell edges, by bare system calls and malloc(3): tests that replace those of
// the library do not reach it. The queue's descriptor is the epoll's, so it can be watched. It differs from a kernel in this: the
// socket's error is not told, only that there is one (looking would take it); an edge tells both filters of a descriptor;
// what a process shut down itself shows only when the other end is shut down, too. One thread at a time.

#include <sys/event.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace {

// Memory that no test counts.
template <class T>
struct uncounted {
  using value_type = T;
  uncounted() = default;
  template <class U>
  uncounted(const uncounted<U>&) {}
  T* allocate(std::size_t count) {
    if (void* const memory = std::malloc(count * sizeof(T))) return static_cast<T*>(memory);
    std::abort();
  }
  void deallocate(T* memory, std::size_t) { std::free(memory); }
  friend bool operator==(uncounted, uncounted) { return true; }
};
template <class T>
using vector = std::vector<T, uncounted<T>>;
template <class T>
using map = std::map<int, T, std::less<>, uncounted<std::pair<const int, T>>>;

bool chosen(std::string_view word) {
  static const char* const text = std::getenv("KQUEUE_DOUBLE");
  for (std::string_view rest = text != nullptr ? text : ""; !rest.empty();) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    if (rest.substr(0, end) == word) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

template <class... Arguments>
int call(long number, Arguments... arguments) {
  return static_cast<int>(::syscall(number, arguments...));
}

using filter_type = decltype(kevent::filter);
constexpr auto reading = static_cast<filter_type>(EVFILT_READ);
constexpr auto writing = static_cast<filter_type>(EVFILT_WRITE);
#if defined(EVFILT_EXCEPT)
constexpr auto exceptional = static_cast<filter_type>(EVFILT_EXCEPT);
constexpr filter_type filters[] = {reading, writing, exceptional};
#else
constexpr filter_type filters[] = {reading, writing};
#endif

enum class kind : std::uint8_t { stream, datagram, pipe, file, device };

struct note {
  struct kevent what;
  bool is_there = false;
  bool is_told = false;  // an edge of what is always ready
};

// All that is asked of one descriptor: the kernel's epoll knows it once.
struct watch {
  int number = -1;
  kind type = kind::device;
  note notes[std::size(filters)] = {};
  bool is_forever = false;  // nothing that epoll would watch

  note* find(filter_type filter) {
    for (std::size_t i = 0; i != std::size(filters); ++i)
      if (filters[i] == filter) return &notes[i];
    return nullptr;
  }
  bool has(filter_type filter) { return find(filter)->is_there; }
  bool is_empty() const {
    return std::none_of(std::begin(notes), std::end(notes), [](const note& one) { return one.is_there; });
  }
};

using node = map<watch>::node_type;

struct queue {
  int epoll;
  pid_t process;
  map<watch> watches;
  std::list<node, uncounted<node>> kept;  // what cannot be removed from the epoll any more
  unsigned calls = 0;
};

std::recursive_mutex guard;
using lock = std::lock_guard<std::recursive_mutex>;

map<std::shared_ptr<queue>>& queues() {
  static auto* const all = new (std::malloc(sizeof(map<std::shared_ptr<queue>>))) map<std::shared_ptr<queue>>;
  return *all;  // outlives whoever closes last
}

// ---- what is asked of the epoll ---------------------------------------------------------------------------

int tell_epoll(queue& in, watch& of, int operation) {
  epoll_event event{};
  for (const note& one : of.notes) {
    if (!one.is_there) continue;
    if (one.what.filter == reading) event.events |= EPOLLIN | EPOLLRDHUP;
    if (one.what.filter == writing) event.events |= EPOLLOUT;
#if defined(EVFILT_EXCEPT)
    if (one.what.filter == exceptional) {
      event.events |= EPOLLPRI;
      if (chosen("ended")) event.events |= EPOLLRDHUP;
    }
#endif
    if ((one.what.flags & EV_CLEAR) != 0) event.events |= EPOLLET;
  }
  event.data.ptr = &of;
  if (of.is_forever || call(SYS_epoll_ctl, in.epoll, operation, of.number, &event) == 0) return 0;
  if (errno != EEXIST) return errno;  // what was kept of this file on this number becomes the new one
  return call(SYS_epoll_ctl, in.epoll, EPOLL_CTL_MOD, of.number, &event) == 0 ? 0 : errno;
}

kind kind_of(int number) {
  struct stat about{};
  ::fstat(number, &about);
  if (S_ISFIFO(about.st_mode)) return kind::pipe;
  if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode)) return kind::file;
  if (!S_ISSOCK(about.st_mode)) return kind::device;
  int type = 0;
  socklen_t size = sizeof type;
  ::getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &size);
  return type == SOCK_DGRAM ? kind::datagram : kind::stream;
}

int poll_now(int number) {
  pollfd one{number, POLLIN | POLLOUT, 0};
  const timespec at_once{};
  call(SYS_ppoll, &one, std::size_t{1}, &at_once, nullptr, std::size_t{8});
  return one.revents;
}

bool epoll_takes(int number) {
  const int probe = call(SYS_epoll_create1, EPOLL_CLOEXEC);
  epoll_event event{};
  const bool takes = probe < 0 || call(SYS_epoll_ctl, probe, EPOLL_CTL_ADD, number, &event) == 0;
  if (probe >= 0) call(SYS_close, probe);
  return takes;
}

// ---- changes ----------------------------------------------------------------------------------------------

int refusal(const struct kevent& change, kind type) {
  const int number = static_cast<int>(change.ident);
#if defined(EVFILT_EXCEPT)
  const bool is_socket = type == kind::stream || type == kind::datagram;
  if (change.filter == exceptional && (!is_socket || change.fflags != NOTE_OOB)) return EINVAL;
#endif
  if (type == kind::file && change.filter == writing) return EINVAL;
  if (type == kind::device && !epoll_takes(number) && !chosen("devices"))
    return chosen("opnotsupp") ? EOPNOTSUPP : ENODEV;
  if (type == kind::pipe && change.filter == writing && !chosen("taken") &&
      (poll_now(number) & (POLLERR | POLLHUP)) != 0)
    return chosen("badf") ? EBADF : EPIPE;
  return 0;
}

int add(queue& in, const struct kevent& change) {
  const int number = static_cast<int>(change.ident);
  watch& of = in.watches[number];
  const bool is_new = of.is_empty();
  if (is_new) {
    of.number = number;
    of.type = kind_of(number);
    of.is_forever = of.type == kind::file || (of.type == kind::device && !epoll_takes(number));
  }
  note& one = *of.find(change.filter);
  const int error = one.is_there ? 0 : refusal(change, of.type);
  if (error != 0) {
    if (is_new) in.watches.erase(number);
    return error;
  }
  if (!one.is_there)
    one = {change, true, false};
  else if (!chosen("stale"))
    one.what.udata = change.udata;  // but the flags are those of its birth
  one.is_told = false;
  return tell_epoll(in, of, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
}

// The epoll knows what it watches by number and file. So it may not find what it shall forget; and if it keeps another
// file's of the same number, it may forget that instead. What it may still tell of is kept, then.
int forget(queue& in, watch& of, filter_type filter) {
  note& one = *of.find(filter);
  one.is_there = false;
  const int error = tell_epoll(in, of, of.is_empty() ? EPOLL_CTL_DEL : EPOLL_CTL_MOD);
  if (error == 0 && !of.is_empty()) return 0;
  const bool is_doubtful = std::any_of(in.kept.begin(), in.kept.end(),
                                       [&](const node& other) { return other.mapped().number == of.number; });
  one.is_there = true;
  if (error != 0 || is_doubtful)
    in.kept.push_back(in.watches.extract(of.number));
  else
    in.watches.erase(of.number);
  return error;
}

int apply(queue& in, const struct kevent& change) {
  if (std::find(std::begin(filters), std::end(filters), change.filter) == std::end(filters)) return EINVAL;
  const int number = static_cast<int>(change.ident);
  const bool is_open = call(SYS_fcntl, number, F_GETFD) >= 0;
  if (!is_open && !chosen("kept")) return EBADF;
  const auto place = in.watches.find(number);
  const bool is_there = place != in.watches.end() && place->second.has(change.filter);
  if ((change.flags & EV_ADD) != 0) return is_open || is_there ? add(in, change) : EBADF;
  if (!is_there) return ENOENT;
  if ((change.flags & EV_DELETE) == 0) return EINVAL;  // the rest is not played
  return forget(in, place->second, change.filter);
}

// ---- events -----------------------------------------------------------------------------------------------

std::int64_t bytes_in(int number) {
  int count = 0;
  return ::ioctl(number, FIONREAD, &count) == 0 ? count : 1;  // a listening socket counts connections
}

// Whether a filter has something to tell, and what.
bool tell(watch& of, const note& one, std::uint32_t bits, struct kevent& event) {
  const bool is_socket = of.type == kind::stream || of.type == kind::datagram;
  const bool has_failed = (bits & EPOLLERR) != 0;
  const bool is_gone = (bits & EPOLLHUP) != 0;
  bool has_ended = false;
  event = one.what;
  event.fflags = 0;
  event.data = 0;
  if (!chosen("echo")) event.flags &= EV_CLEAR;
  if (one.what.filter == reading) {
    if ((bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return false;
    has_ended = (bits & (EPOLLRDHUP | EPOLLHUP)) != 0 || (has_failed && of.type != kind::datagram);
    event.data = bytes_in(of.number);
  } else if (one.what.filter == writing) {
    if ((bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0) return false;
    has_ended = is_gone || (has_failed && of.type != kind::datagram);
    event.data = 1;
  } else {
#if defined(EVFILT_EXCEPT)
    if ((bits & EPOLLPRI) != 0) event.fflags = NOTE_OOB;
    has_ended = chosen("ended") && (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (event.fflags == 0 && !has_ended) return false;
#endif
  }
  if (has_ended) event.flags |= EV_EOF;
  if (has_ended && is_socket && has_failed) event.fflags |= ECONNRESET << 8;  // some error, and no note
  return true;
}

void collect_from(queue& in, watch& of, std::uint32_t bits, vector<struct kevent>& found) {
  const std::size_t before = found.size();
  for (note& one : of.notes) {
    struct kevent event;
    if (!one.is_there || one.is_told || !tell(of, one, bits, event)) continue;
    found.push_back(event);
    one.is_told = of.is_forever && (one.what.flags & EV_CLEAR) != 0;
  }
  // An error or a hangup that nobody here asked for: epoll would tell it for ever.
  epoll_event quiet{EPOLLET | EPOLLPRI, {&of}};
  if (found.size() == before && !of.is_forever)
    call(SYS_epoll_ctl, in.epoll, EPOLL_CTL_MOD, of.number, &quiet);
}

// What is ready now. An event that finds no room stays; one of a one-shot goes.
std::size_t collect(queue& in, struct kevent* events, std::size_t room) {
  vector<struct kevent> found;
  for (auto& [number, of] : in.watches) {
    if (!of.is_forever) continue;
    const bool is_at_end =
        of.type == kind::file && ::lseek(number, 0, SEEK_CUR) >= ::lseek(number, 0, SEEK_END);
    collect_from(in, of, is_at_end ? 0u : EPOLLIN | EPOLLOUT, found);
  }
  vector<epoll_event> ready(std::max<std::size_t>(room / std::size(filters), 1));
  const int count = call(SYS_epoll_pwait, in.epoll, ready.data(), static_cast<int>(ready.size()), 0, nullptr,
                         std::size_t{8});
  for (int i = 0; i < count; ++i) {
    const epoll_event& one = ready[static_cast<std::size_t>(i)];
    collect_from(in, *static_cast<watch*>(one.data.ptr), one.events, found);
  }
  if (chosen("backwards")) std::reverse(found.begin(), found.end());
  const std::size_t told = std::min(room, found.size());
  std::copy_n(found.begin(), told, events);
  for (std::size_t i = 0; i != found.size(); ++i) {
    const auto place = in.watches.find(static_cast<int>(found[i].ident));
    if (place == in.watches.end() || !place->second.has(found[i].filter)) continue;
    if (i >= told)
      tell_epoll(in, place->second, EPOLL_CTL_MOD);
    else if ((place->second.find(found[i].filter)->what.flags & EV_ONESHOT) != 0)
      forget(in, place->second, found[i].filter);
  }
  return told;
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

// ---- descriptors that are closed, and processes that are copied ---------------------------------------------

// Before the number is closed, or becomes another one.
void note_close(int number) {
  const lock held(guard);
  queues().erase(number);
  if (chosen("kept")) return;
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
  if (chosen("inherited")) return;
  const lock held(guard);
  for (auto& [number, in] : queues()) call(SYS_close, number);
  queues().clear();
}

bool is_open(int number) { return call(SYS_fcntl, number, F_GETFD) >= 0; }

}  // namespace

extern "C" {

int kqueue() {
  const int epoll = call(SYS_epoll_create1, 0);
  if (epoll < 0) return -1;
  const lock held(guard);
  queues()[epoll] = std::allocate_shared<queue>(uncounted<queue>(), queue{epoll, ::getpid(), {}, {}, 0});
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
      if (error == 0 && (change.flags & EV_RECEIPT) == 0) continue;
      if (receipts == space) {
        if (error == 0) break;  // what follows is not processed
        errno = error;
        return -1;
      }
      if (!chosen("echo")) change.flags = 0;
      change.flags |= EV_ERROR;
      change.data = error;
      events[receipts++] = change;
    }
    if (change_count != 0 && chosen("restless") && in->calls++ % 3 == 0) {
      errno = EINTR;
      return -1;
    }
  }
  if (receipts != 0 && (!chosen("patient") || receipts == static_cast<std::size_t>(room)))
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
  if (is_open(from)) note_close(to);
  const int result = call(SYS_dup3, from, to, flags);
  if (result >= 0) note_copy(from, to);
  return result;
}

int dup2(int from, int to) noexcept {
  if (from == to) return is_open(from) ? to : -1;
  return dup3(from, to, 0);
}

pid_t fork() noexcept {
  static const auto real = reinterpret_cast<pid_t (*)()>(::dlsym(RTLD_NEXT, "fork"));
  const pid_t child = real();
  if (child == 0) leave_to_parent();
  return child;
}

}  // extern "C"

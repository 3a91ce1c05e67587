// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/event.h>

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <utility>
#include <vector>

// The state of the double's queues. It is built on epoll(7), since poll(2) has no edges, and uses raw system
// calls and malloc(3), so that tests that replace the library's do not affect it.
namespace kqueue_double {

// Memory that the tests do not count.
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

template <class... Arguments>
int call(long number, Arguments... arguments) {
  return static_cast<int>(::syscall(number, arguments...));
}

using filter_type = decltype(kevent::filter);
inline constexpr auto reading = static_cast<filter_type>(EVFILT_READ);
inline constexpr auto writing = static_cast<filter_type>(EVFILT_WRITE);
#if defined(EVFILT_EXCEPT)
inline constexpr auto exceptional = static_cast<filter_type>(EVFILT_EXCEPT);
inline constexpr filter_type filters[] = {reading, writing, exceptional};
#else
inline constexpr filter_type filters[] = {reading, writing};
#endif

enum class kind : std::uint8_t { stream, datagram, pipe, file, device, terminal, process, user };
enum class end : std::uint8_t { reader, writer, both };

// A knote.
struct note {
  struct kevent what;
  bool is_there = false;
  bool is_told = false;     // the edge of an always-ready file has been reported
  bool did_listen = false;  // when it was added
  std::int64_t told_bytes =
      -1;  // an edge beside a level: what was there when it was reported, and whether it had ended
  bool told_end = false;
};

// All filters of one descriptor, which are one registration in epoll.
struct watch {
  int number = -1;
  kind type = kind::device;
  end side = end::both;     // of a pipe
  bool is_fifo = false;     // a named pipe
  bool is_forever = false;  // always ready: a file that epoll refuses
  bool is_quiet = false;    // epoll reports what no level reports, so it is an edge there
  bool is_quieted = false;  // only just, so that epoll reports it once more
  note notes[std::size(filters)] = {};

  note* find(filter_type filter) {
    for (std::size_t i = 0; i != std::size(filters); ++i)
      if (filters[i] == filter) return &notes[i];
    return nullptr;
  }
  bool has(filter_type filter) { return find(filter)->is_there; }
  bool is_empty() const {
    return std::none_of(std::begin(notes), std::end(notes), [](const note& one) { return one.is_there; });
  }
  bool is_edge() const {
    return std::all_of(std::begin(notes), std::end(notes),
                       [](const note& one) { return !one.is_there || (one.what.flags & EV_CLEAR) != 0; });
  }
  bool lies() const;                // its EVFILT_WRITE is always ready, and claims that nobody reads
  bool is_duplex() const;           // a pipe that can be read and written at both ends
  bool is_always_writable() const;  // whatever epoll says
};

using node = map<watch>::node_type;

// A process that is watched by EVFILT_PROC, by means of a pidfd.
struct child {
  watch pidfd;
  struct kevent what;
};

// An event of the program's own.
struct user {
  struct kevent what;
  bool is_triggered;
};

struct queue {
  int epoll;
  pid_t process;
  map<watch> watches;
  std::list<node, uncounted<node>> kept;  // registrations that can no longer be removed from epoll
  std::list<child, uncounted<child>> children = {};
  vector<user> users = {};  // EVFILT_USER
  watch triggered = {};     // what epoll reports while one of them is triggered
  bool is_triggered = false;
  unsigned calls = 0;
  unsigned turns = 0;
};

bool is_queue(int number);

// watched.cpp: what Linux reports of a descriptor.
void look_at(int number, watch& of);
struct stat status_of(int number);
bool is_unnamed_pipe(int number);
bool is_shut_for_writing(int number);  // by this process; kqueue.cpp
bool epoll_takes(int number);
bool listens(int number);
short polled(int number);
std::int64_t bytes_in(int number);
std::int64_t buffer_of(const watch& of);

// changes.cpp
void close_children(queue& in);
int tell_epoll(queue& in, watch& of, int operation);
int forget(queue& in, watch& of, filter_type filter);
int apply(queue& in, const struct kevent& change);
void show_users(queue& in);  // to epoll

// events.cpp: what is ready now. An event that finds no room stays; one of a one-shot goes.
std::size_t collect(queue& in, struct kevent* events, std::size_t room);

}  // namespace kqueue_double

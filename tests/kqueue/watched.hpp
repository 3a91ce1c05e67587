// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sys/event.h>

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

// What the double's queues know. It stands on epoll(7), since poll(2) cannot tell edges, by bare system calls
// and malloc(3): tests that replace those of the library do not reach it.
namespace kqueue_double {

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

enum class kind : std::uint8_t { stream, datagram, pipe, file, device, terminal, process };
enum class end : std::uint8_t { reader, writer, both };

// A knote.
struct note {
  struct kevent what;
  bool is_there = false;
  bool is_told = false;     // an edge of what is always ready
  bool did_listen = false;  // when it was added
  std::int64_t told_bytes =
      -1;  // an edge beside a level: what was there when it was reported, and whether it had ended
  bool told_end = false;
};

// All that is asked of one descriptor: the kernel's epoll knows it once.
struct watch {
  int number = -1;
  kind type = kind::device;
  end side = end::both;     // of a pipe
  bool is_fifo = false;     // a pipe with a name
  bool is_forever = false;  // nothing that epoll would watch
  bool is_quiet = false;    // epoll reports what no note has to report, and was told to do so once a change
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
  bool lies() const;  // whether its EVFILT_WRITE is always ready, and claims that nobody reads
};

using node = map<watch>::node_type;

// A process whose end is waited for (EVFILT_PROC), by a pidfd.
struct child {
  watch pidfd;
  struct kevent what;
};

struct queue {
  int epoll;
  pid_t process;
  map<watch> watches;
  std::list<node, uncounted<node>> kept;  // what cannot be removed from the epoll any more
  std::list<child, uncounted<child>> children = {};
  vector<std::uintptr_t> users = {};  // EVFILT_USER: there, and never triggered
  unsigned calls = 0;
  unsigned turns = 0;
};

bool is_queue(int number);

// watched.cpp: what Linux knows of a descriptor.
void look_at(int number, watch& of);
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

// events.cpp: what is ready now. An event that finds no room stays; one of a one-shot goes.
std::size_t collect(queue& in, struct kevent* events, std::size_t room);

}  // namespace kqueue_double

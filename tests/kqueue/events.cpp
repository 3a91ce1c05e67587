// SPDX-License-Identifier: BSL-1.0
#include "settings.hpp"
#include "watched.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace kqueue_double {
namespace {

constexpr std::uint32_t gone = EPOLLHUP | EPOLLERR;

bool is_unconnected(const watch& of, std::uint32_t bits) {
  return of.type == kind::stream && (bits & EPOLLHUP) != 0 && (polled(of.number) & POLLRDHUP) == 0;
}

// A full pipe whose reader has closed.
bool is_unwoken(const watch& of, std::uint32_t bits) {
  return of.side == end::writer && chosen(word::unwoken) && (bits & EPOLLERR) != 0 && (bits & EPOLLOUT) == 0;
}

// Events that some kernels are known not to report.
bool is_withheld(const watch& of, const note& one, std::uint32_t bits) {
  const bool reads = one.what.filter == reading;
  const bool writes = one.what.filter == writing;
  switch (of.type) {
    case kind::pipe:
      if (of.is_duplex()) return is_unwoken(of, bits) && writes;
      if (reads && of.is_fifo && chosen(word::lasting)) return (bits & EPOLLIN) == 0;
      if (reads && of.side == end::writer) return chosen(word::silent) || (bits & gone) == 0;
      if (writes && of.side == end::reader)
        return chosen(word::silent) || chosen(word::unheard) || (bits & gone) == 0;
      return writes && is_unwoken(of, bits);
    case kind::terminal: return chosen(word::endless) && (bits & (reads ? EPOLLIN : EPOLLOUT)) == 0;
    case kind::stream:
      if (!chosen(word::kept) && is_unconnected(of, bits)) return true;
      return reads && chosen(word::deaf) && !one.did_listen && listens(of.number);
    default: return false;
  }
}

// Whether a low-water mark keeps EVFILT_READ from reporting data.
bool is_below_mark(const watch& of, const note& one, std::int64_t bytes) {
  if ((one.what.fflags & NOTE_LOWAT) == 0 || (of.type == kind::pipe && !chosen(word::capped))) return false;
  const auto mark = static_cast<std::int64_t>(one.what.data);
  return bytes < (chosen(word::capped) ? std::min(mark, buffer_of(of)) : mark);
}

// What a filter reports now, if anything.
bool report(watch& of, note& one, std::uint32_t bits, struct kevent& event) {
  const bool is_socket = of.type == kind::stream || of.type == kind::datagram;
  const bool has_failed = (bits & EPOLLERR) != 0;
  const bool is_gone = (bits & EPOLLHUP) != 0;
  bool has_ended = false;
  event = one.what;
  event.fflags = 0;
  event.data = 0;
  if (!chosen(word::echo) && !chosen(word::carry)) event.flags &= EV_CLEAR;
  if (is_withheld(of, one, bits)) return false;
  if (one.what.filter == reading) {
    if ((bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return false;
    has_ended = (bits & (EPOLLRDHUP | EPOLLHUP)) != 0 || (has_failed && of.type != kind::datagram);
    if (of.type == kind::terminal && chosen(word::endless)) has_ended = false;
    if (of.type == kind::pipe && of.is_fifo && chosen(word::lasting)) has_ended = false;
    event.data = static_cast<decltype(event.data)>(bytes_in(of.number));
    if (!has_ended && !has_failed && is_below_mark(of, one, event.data)) return false;
  } else if (one.what.filter == writing) {
    if ((bits & (EPOLLOUT | EPOLLHUP | EPOLLERR)) == 0) return false;
    has_ended = is_gone || (has_failed && of.type != kind::datagram);
    if (is_socket && !chosen(word::kept)) has_ended = has_ended || is_shut_for_writing(of.number);
    if (of.type == kind::terminal && chosen(word::endless)) has_ended = false;
    event.data = 1;
  } else {
#if defined(EVFILT_EXCEPT)
    if ((bits & EPOLLPRI) != 0) event.fflags = NOTE_OOB;
    has_ended = chosen(word::ended) && (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (event.fflags == 0 && !has_ended) return false;
#endif
  }
  // An edge beside a level: epoll is level-triggered then, so changes are detected here.
  if ((one.what.flags & EV_CLEAR) != 0 && !of.is_edge()) {
    const std::int64_t bytes = one.what.filter == reading ? event.data : 0;
    if (one.told_bytes == bytes && one.told_end == has_ended) return false;
    one.told_bytes = bytes;
    one.told_end = has_ended;
  }
  if (has_ended) event.flags |= EV_EOF;
  if (has_ended && is_socket && has_failed) event.fflags |= ECONNRESET << 8;  // some error, and no note
  return true;
}

void collect_from(queue& in, watch& of, std::uint32_t bits, vector<struct kevent>& found) {
  bool is_quiet = true;
  for (note& one : of.notes) {
    struct kevent event;
    if (!one.is_there || one.is_told || (one.what.filter == writing && of.is_always_writable())) continue;
    if (!report(of, one, bits, event)) continue;
    found.push_back(event);
    const bool is_edge = (one.what.flags & EV_CLEAR) != 0;
    is_quiet = is_quiet && is_edge;
    one.is_told = of.is_forever && is_edge;
  }
  // epoll would report forever what no level reports; as an edge it reports each change once.
  if (of.is_forever || of.is_edge() || of.is_quiet == is_quiet) return;
  of.is_quiet = is_quiet;
  tell_epoll(in, of, EPOLL_CTL_MOD);
  of.is_quieted = is_quiet;
}

// What has become an edge in epoll is reported by it once more, and nobody waits for that.
void settle(queue& in) {
  const auto is_quieted = [](const auto& one) { return one.second.is_quieted; };
  if (std::none_of(in.watches.begin(), in.watches.end(), is_quieted)) return;
  vector<epoll_event> ready(in.watches.size() + in.children.size() + 1);
  const int count = call(SYS_epoll_pwait, in.epoll, ready.data(), static_cast<int>(ready.size()), 0, nullptr,
                         std::size_t{8});
  for (int i = 0; i < count; ++i) {
    watch& of = *static_cast<watch*>(ready[static_cast<std::size_t>(i)].data.ptr);
    if (of.type == kind::user || of.type == kind::process) continue;
    if (!of.is_quieted && (of.is_edge() || of.is_quiet)) tell_epoll(in, of, EPOLL_CTL_MOD);
  }
  for (auto& [number, of] : in.watches) of.is_quieted = false;
}

void collect_end(queue& in, const watch& pidfd, vector<struct kevent>& found) {
  for (const child& one : in.children) {
    if (&one.pidfd != &pidfd) continue;
    struct kevent event = one.what;
    event.flags |= EV_EOF;
    event.fflags = NOTE_EXIT;
    found.push_back(event);
  }
}

void collect_forever(queue& in, vector<struct kevent>& found) {
  for (auto& [number, of] : in.watches) {
    if (of.is_forever) {
      const bool is_at_end =
          of.type == kind::file && ::lseek(number, 0, SEEK_CUR) >= ::lseek(number, 0, SEEK_END);
      collect_from(in, of, is_at_end ? 0u : EPOLLIN | EPOLLOUT, found);
    } else if (of.is_always_writable()) {
      const bool has_ended = of.lies() || (polled(number) & POLLHUP) != 0;
      note& one = *of.find(writing);
      if (one.is_told && (one.told_end == has_ended || chosen(word::unwoken))) continue;
      one.is_told = (one.what.flags & EV_CLEAR) != 0;
      one.told_end = has_ended;
      struct kevent event = one.what;
      event.fflags = 0;
      event.data = 1;
      if (has_ended) event.flags |= EV_EOF;
      found.push_back(event);
    }
  }
}

void collect_users(const queue& in, vector<struct kevent>& found) {
  for (const user& one : in.users) {
    if (!one.is_triggered) continue;
    struct kevent event = one.what;
    if (!chosen(word::echo) && !chosen(word::carry)) event.flags &= EV_CLEAR;
    found.push_back(event);
  }
}

void put_in_order(queue& in, vector<struct kevent>& found) {
  if (chosen(word::backwards)) std::reverse(found.begin(), found.end());
  if (!chosen(word::rotating) || found.empty()) return;
  const auto first = static_cast<std::ptrdiff_t>(in.turns++ % found.size());
  std::rotate(found.begin(), found.begin() + first, found.end());
}

}  // namespace

std::size_t collect(queue& in, struct kevent* events, std::size_t room) {
  vector<struct kevent> found;
  collect_forever(in, found);
  collect_users(in, found);
  vector<epoll_event> ready(std::max<std::size_t>(room / std::size(filters), 1) + 1);
  const int count = call(SYS_epoll_pwait, in.epoll, ready.data(), static_cast<int>(ready.size()), 0, nullptr,
                         std::size_t{8});
  for (int i = 0; i < count; ++i) {
    const epoll_event& one = ready[static_cast<std::size_t>(i)];
    watch& of = *static_cast<watch*>(one.data.ptr);
    if (of.type == kind::user) continue;
    if (of.type == kind::process)
      collect_end(in, of, found);
    else
      collect_from(in, of, one.events, found);
  }
  put_in_order(in, found);
  const std::size_t told = std::min(room, found.size());
  std::copy_n(found.begin(), told, events);
  for (std::size_t i = 0; i != found.size(); ++i) {
    if (found[i].filter == static_cast<filter_type>(EVFILT_PROC)) {
      struct kevent ended = found[i];
      ended.flags = EV_DELETE;
      if (i < told) apply(in, ended);  // a process ends once
      continue;
    }
    if (std::find(std::begin(filters), std::end(filters), found[i].filter) == std::end(filters)) continue;
    const auto place = in.watches.find(static_cast<int>(found[i].ident));
    if (place == in.watches.end() || !place->second.has(found[i].filter)) continue;
    if (i >= told) {
      note& one = *place->second.find(found[i].filter);
      one.told_bytes = -1;
      one.is_told = false;
      tell_epoll(in, place->second, EPOLL_CTL_MOD);
    } else if ((place->second.find(found[i].filter)->what.flags & EV_ONESHOT) != 0) {
      forget(in, place->second, found[i].filter);
    }
  }
  show_users(in);
  settle(in);
  return told;
}

}  // namespace kqueue_double

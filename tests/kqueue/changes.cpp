// SPDX-License-Identifier: BSL-1.0
#include "settings.hpp"
#include "watched.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>

namespace kqueue_double {

int tell_epoll(queue& in, watch& of, int operation) {
  epoll_event event{};
  for (const note& one : of.notes) {
    if (!one.is_there) continue;
    if (one.what.filter == reading) event.events |= EPOLLIN | EPOLLRDHUP;
    if (one.what.filter == writing) event.events |= EPOLLOUT;
#if defined(EVFILT_EXCEPT)
    if (one.what.filter == exceptional) {
      event.events |= EPOLLPRI;
      if (chosen(word::ended)) event.events |= EPOLLRDHUP;
    }
#endif
  }
  if (of.is_quiet || of.is_edge()) event.events |= EPOLLET;
  event.data.ptr = &of;
  if (of.is_forever || call(SYS_epoll_ctl, in.epoll, operation, of.number, &event) == 0) return 0;
  if (errno != EEXIST) return errno;  // what was kept of this file on this number becomes the new one
  return call(SYS_epoll_ctl, in.epoll, EPOLL_CTL_MOD, of.number, &event) == 0 ? 0 : errno;
}

namespace {

int refusal_of_pipe(const struct kevent& change, const watch& of) {
  if (chosen(word::refused) && ((change.filter == reading && of.side == end::writer) ||
                                (change.filter == writing && of.side == end::reader)))
    return EINVAL;
  if (change.filter != writing || chosen(word::taken)) return 0;
  if (chosen(word::silent) && of.side == end::reader && !of.is_duplex()) return 0;
  if ((polled(of.number) & (POLLERR | POLLHUP)) == 0) return 0;
  return chosen(word::badf) ? EBADF : EPIPE;
}

int refusal(const struct kevent& change, const watch& of) {
#if defined(EVFILT_EXCEPT)
  const bool is_socket = of.type == kind::stream || of.type == kind::datagram;
  if (change.filter == exceptional && (!is_socket || change.fflags != NOTE_OOB)) return EINVAL;
#endif
  if (change.filter == writing && is_queue(of.number)) return EPERM;
  switch (of.type) {
    case kind::file: return change.filter == writing ? EINVAL : 0;
    case kind::device:
      if (!of.is_forever || chosen(word::devices)) return 0;
      return chosen(word::opnotsupp) ? EOPNOTSUPP : ENODEV;
    case kind::terminal: return chosen(word::refuses_tty) ? EINVAL : 0;
    case kind::pipe: return refusal_of_pipe(change, of);
    default: return 0;
  }
}

int add(queue& in, const struct kevent& change) {
  const int number = static_cast<int>(change.ident);
  watch& of = in.watches[number];
  const bool is_new = of.is_empty();
  if (is_new) look_at(number, of);
  note& one = *of.find(change.filter);
  const int error = one.is_there ? 0 : refusal(change, of);
  if (error != 0) {
    if (is_new) in.watches.erase(number);
    return error;
  }
  if (!one.is_there) {
    one = {change, true, false, of.type == kind::stream && listens(number)};
  } else {
    if (!chosen(word::stale)) one.what.udata = change.udata;  // but the flags are those of its birth
    one.is_told = one.told_end = false;
    one.told_bytes = -1;
  }
  of.is_quiet = false;
  return tell_epoll(in, of, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
}

void end_watching(queue& in, std::list<child, uncounted<child>>::iterator one) {
  call(SYS_close, one->pidfd.number);
  in.children.erase(one);
}

int apply_to_process(queue& in, const struct kevent& change) {
  const auto place = std::find_if(in.children.begin(), in.children.end(),
                                  [&](const child& one) { return one.what.ident == change.ident; });
  if ((change.flags & EV_DELETE) != 0) {
    if (place == in.children.end()) return ENOENT;
    end_watching(in, place);
    return 0;
  }
  const int pidfd = call(SYS_pidfd_open, static_cast<pid_t>(change.ident), 0);
  if (pidfd < 0) return ESRCH;
  child& one = in.children.emplace_back();
  one.pidfd.number = pidfd;
  one.pidfd.type = kind::process;
  one.what = change;
  epoll_event event{EPOLLIN, {&one.pidfd}};
  return call(SYS_epoll_ctl, in.epoll, EPOLL_CTL_ADD, pidfd, &event) == 0 ? 0 : errno;
}

#if defined(EVFILT_USER)
// What is always readable, for all queues: made before a program counts its descriptors, and again if the
// program has closed it.
int& always_readable() {
  static int number = call(SYS_eventfd2, 1u, EFD_CLOEXEC);
  return number;
}
[[maybe_unused]] const int made_early = always_readable();

int apply_to_user(queue& in, const struct kevent& change) {
  auto place = std::find_if(in.users.begin(), in.users.end(),
                            [&](const user& one) { return one.what.ident == change.ident; });
  if ((change.flags & EV_ADD) != 0 && place == in.users.end()) {
    in.users.push_back({change, false});
    place = in.users.end() - 1;
  }
  if (place == in.users.end()) return ENOENT;
  if ((change.flags & EV_DELETE) != 0)
    in.users.erase(place);
  else if ((change.fflags & NOTE_TRIGGER) != 0)
    place->is_triggered = true;
  show_users(in);
  return 0;
}
#endif

}  // namespace

// epoll knows a registration by number and file. So it may not find the one to be removed, and if it has one
// of another file on the same number, it may remove that instead. A registration that it may still report is
// kept.
int forget(queue& in, watch& of, filter_type filter) {
  note& one = *of.find(filter);
  one.is_there = false;
  of.is_quiet = false;
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

void close_children(queue& in) {
  while (!in.children.empty()) end_watching(in, in.children.begin());
}

// Whoever watches the queue sees what epoll does not know of.
void show_users([[maybe_unused]] queue& in) {
#if defined(EVFILT_USER)
  bool is_triggered =
      std::any_of(in.users.begin(), in.users.end(), [](const user& one) { return one.is_triggered; });
  for (auto& [number, of] : in.watches)
    for (const note& one : of.notes)
      if (((of.is_forever && of.type == kind::device) ||
           (of.is_always_writable() && one.what.filter == writing)) &&
          one.is_there && !one.is_told)
        is_triggered = true;
  if (is_triggered == in.is_triggered) return;
  in.triggered.type = kind::user;
  epoll_event event{EPOLLIN, {&in.triggered}};
  const int operation = is_triggered ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;
  if (call(SYS_epoll_ctl, in.epoll, operation, always_readable(), &event) != 0 && is_triggered) {
    always_readable() = call(SYS_eventfd2, 1u, EFD_CLOEXEC);
    call(SYS_epoll_ctl, in.epoll, operation, always_readable(), &event);
  }
  in.is_triggered = is_triggered;
#endif
}

int apply(queue& in, const struct kevent& change) {
  if (change.filter == static_cast<filter_type>(EVFILT_PROC)) return apply_to_process(in, change);
#if defined(EVFILT_USER)
  if (change.filter == static_cast<filter_type>(EVFILT_USER)) return apply_to_user(in, change);
#endif
  if (std::find(std::begin(filters), std::end(filters), change.filter) == std::end(filters)) return EINVAL;
  const int number = static_cast<int>(change.ident);
  const bool is_open = call(SYS_fcntl, number, F_GETFD, 0) >= 0;
  if (!is_open && !chosen(word::kept)) return EBADF;
  const auto place = in.watches.find(number);
  const bool is_there = place != in.watches.end() && place->second.has(change.filter);
  if ((change.flags & EV_ADD) != 0) return is_open || is_there ? add(in, change) : EBADF;
  if (!is_there) return ENOENT;
  if ((change.flags & EV_DELETE) == 0) return EINVAL;  // the rest is not played
  return forget(in, place->second, change.filter);
}

}  // namespace kqueue_double

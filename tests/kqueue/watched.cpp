// SPDX-License-Identifier: BSL-1.0
#include "watched.hpp"

#include "settings.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <termios.h>

namespace kqueue_double {

bool watch::lies() const {
  return type == kind::pipe && is_fifo && side == end::writer && chosen(word::liar);
}

bool watch::is_duplex() const { return type == kind::pipe && !is_fifo && pipes_are_duplex(); }

bool watch::is_always_writable() const {
  return notes[1].is_there && (lies() || (is_duplex() && side == end::reader));
}

namespace {

int option(int number, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(number, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

bool is_terminal(int number) {
  termios about{};
  return ::ioctl(number, TCGETS, &about) == 0;
}

}  // namespace

void look_at(int number, watch& of) {
  of.number = number;
  const struct stat about = status_of(number);
  if (S_ISFIFO(about.st_mode)) {
    of.type = kind::pipe;
    of.is_fifo = !is_unnamed_pipe(number);
    const int access = call(SYS_fcntl, number, F_GETFL, 0) & O_ACCMODE;
    of.side = access == O_RDONLY ? end::reader : access == O_WRONLY ? end::writer : end::both;
  } else if (S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) || S_ISBLK(about.st_mode)) {
    of.type = kind::file;
  } else if (!S_ISSOCK(about.st_mode)) {
    of.type = is_terminal(number) ? kind::terminal : kind::device;
  } else {
    of.type = option(number, SO_TYPE) == SOCK_DGRAM ? kind::datagram : kind::stream;
  }
  of.is_forever = of.type == kind::file || (of.type == kind::device && !epoll_takes(number));
}

struct stat status_of(int number) {
  struct stat about{};
  call(SYS_newfstatat, number, "", &about, AT_EMPTY_PATH);
  return about;
}

bool is_unnamed_pipe(int number) {
  constexpr long pipefs = 0x50495045;
  struct statfs system{};
  return ::fstatfs(number, &system) == 0 && system.f_type == pipefs;
}

bool epoll_takes(int number) {
  const int probe = call(SYS_epoll_create1, EPOLL_CLOEXEC);
  epoll_event event{};
  const bool takes = probe < 0 || call(SYS_epoll_ctl, probe, EPOLL_CTL_ADD, number, &event) == 0;
  if (probe >= 0) call(SYS_close, probe);
  return takes;
}

bool listens(int number) { return option(number, SO_ACCEPTCONN) == 1; }

short polled(int number) {
  pollfd one{number, POLLIN | POLLOUT | POLLRDHUP, 0};
  const timespec at_once{};
  call(SYS_ppoll, &one, std::size_t{1}, &at_once, nullptr, std::size_t{8});
  return one.revents;
}

std::int64_t bytes_in(int number) {
  int count = 0;
  return ::ioctl(number, FIONREAD, &count) == 0 ? count : 1;  // a listening socket counts connections
}

std::int64_t buffer_of(const watch& of) {
  return of.type == kind::pipe ? call(SYS_fcntl, of.number, F_GETPIPE_SZ, 0)
                               : option(of.number, SO_RCVBUF) / 2;
}

}  // namespace kqueue_double

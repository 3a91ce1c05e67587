// SPDX-License-Identifier: BSL-1.0

// What each of Linux's own descriptors needs: `with_linux FOLDER FIFO` prints what happens to a folder, a
// FIFO, a clock, the network's links, a terminal and the mounts, until stdin ends.

#include <selectors/selectors.hpp>

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <pty.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

using selectors::event;
selectors::selector<void (*)(int)> sel;
const char* fifo = nullptr;
alignas(8) char data[1 << 15];

int add(int number, event what, void (*call)(int)) {
  if (number < 0) std::perror("with_linux"), std::exit(1);
  return sel.register_(number, what, call).handle();
}

std::string_view take(int number, const char* what = nullptr) {
  const ssize_t got = read(number, data, sizeof data);
  if (got > 0 && what != nullptr) std::printf("%s: %.*s\n", what, int(got), data);
  return {data, got > 0 ? std::size_t(got) : 0};
}

// A read takes whole events, and fails without room for one. Overflow: some were lost, so look for yourself.
void on_inotify(int number) {
  for (std::string_view rest = take(number); !rest.empty();) {
    const auto* const one = reinterpret_cast<const inotify_event*>(rest.data());
    const char* const what = (one->mask & IN_Q_OVERFLOW) ? "overflow" : (one->mask & IN_CREATE) ? "+" : "-";
    std::printf("inotify: %s %s\n", what, one->len > 0 ? one->name : "");
    rest.remove_prefix(sizeof *one + one->len);
  }
}

// Readable until it is read: how often it has expired. Non-blocking, since setting it takes that back.
void on_timer(int number) {
  if (!take(number).empty()) std::printf("timerfd: %llu\n", *reinterpret_cast<unsigned long long*>(data));
}

// Datagrams, each of several messages, and cut if there is no room. ENOBUFS: some were lost, so ask again.
void on_netlink(int number) {
  for (std::string_view rest = take(number); !rest.empty();) {
    const auto* const one = reinterpret_cast<const nlmsghdr*>(rest.data());
    if (one->nlmsg_type == RTM_NEWLINK)
      std::printf("netlink: link %d\n", reinterpret_cast<const ifinfomsg*>(one + 1)->ifi_index);
    rest.remove_prefix(NLMSG_ALIGN(one->nlmsg_len));
  }
}

// The end of a terminal is an error, EIO, and no end of file.
void on_terminal(int number) {
  if (take(number, "pty").empty()) std::puts("pty: end"), close(sel.unregister(number).handle());
}

// Always readable, so that is not requested. A change is `priority`, once, with an error that is none.
void on_mounts(int) { std::puts("mounts: changed"); }

// Without a writer it is at its end, and hung up forever. One that is opened anew waits for the next writer.
void on_fifo(int number) {
  if (!take(number, "fifo").empty()) return;
  std::puts("fifo: no writer");
  close(sel.unregister(number).handle());
  add(open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC), event::read, on_fifo);
}

int main(int argc, char** argv) {
  fifo = argc == 3 ? argv[2] : "";
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int folder = add(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), event::read, on_inotify);
  const int timer = add(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), event::read, on_timer);
  const int links = add(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), event::read, on_netlink);
  add(open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC), event::read, on_fifo);
  add(open("/proc/self/mounts", O_RDONLY | O_CLOEXEC), event::priority, on_mounts);
  add(STDIN_FILENO, event::read, nullptr);
  int terminal = -1;
  if (forkpty(&terminal, nullptr, nullptr, nullptr) == 0)
    execl("/bin/sh", "sh", "-c", "test -t 0 && echo a terminal", nullptr), _exit(127);
  add(terminal, event::read, on_terminal);
  inotify_add_watch(folder, argv[1], IN_CREATE | IN_DELETE);
  const itimerspec each_half_second{{0, 500'000'000}, {0, 500'000'000}};
  timerfd_settime(timer, 0, &each_half_second, nullptr);
  const std::pair<nlmsghdr, ifinfomsg> all{{sizeof all, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, 0}, {}};
  send(links, &all, sizeof all, 0);
  for (bool is_over = false; !is_over;)
    for (auto [key, events] : sel.select())
      key.handle() != STDIN_FILENO ? key.data()(key.handle()) : void(is_over = take(STDIN_FILENO).empty());
}

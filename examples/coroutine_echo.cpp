// SPDX-License-Identifier: BSL-1.0

// An echo server of coroutines, `coroutine_echo [PORT [SECONDS]]`: who is silent for so long is disconnected.

#include <selectors/coroutine.hpp>
#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>

// The plainest task there is: it starts at once, nobody waits for it, and its frame goes with it.
struct task {
  struct promise_type {
    task get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::abort(); }
  };
};

selectors::selector<selectors::coroutine_waiter> sel;
selectors::timer_queue<selectors::coroutine_waiter> timers;

task serve(int conn, std::chrono::seconds patience) {
  const struct closed_at_the_end {
    int descriptor;
    ~closed_at_the_end() { close(descriptor); }
  } owner{conn};
  char data[4096];
  std::error_code error;
  while (co_await ready(sel, conn, selectors::event::read, timers, patience, error)) {  // or it was too long
    const ssize_t got = recv(conn, data, sizeof data, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) co_return;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t more = send(conn, data + sent, std::size_t(got - sent), MSG_DONTWAIT);
      if (more >= 0)
        sent += more;
      else if (errno != EAGAIN ||
               !co_await ready(sel, conn, selectors::event::write, timers, patience, error))
        co_return;
    }
  }
}

task accept_all(int sock, std::chrono::seconds patience) {
  for (;;) {
    co_await ready(sel, sock, selectors::event::read);
    if (const int conn = accept(sock, nullptr, nullptr); conn >= 0)
      serve(conn, patience);
    else
      co_await elapsed(timers, std::chrono::milliseconds(100));  // out of descriptors?
  }
}

int main(int argc, char** argv) {
  const char* const port = argc > 1 ? argv[1] : "12345";
  addrinfo* at = nullptr;
  if (getaddrinfo("127.0.0.1", port, nullptr, &at) != 0) return std::puts("usage: coroutine_echo [PORT]"), 2;
  const int sock = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(sock, at->ai_addr, at->ai_addrlen) || listen(sock, SOMAXCONN)) return std::perror("bind"), 1;
  fcntl(sock, F_SETFL, O_NONBLOCK);
  std::signal(SIGPIPE, SIG_IGN);
  accept_all(sock, std::chrono::seconds(argc > 2 ? std::atoi(argv[2]) : 60));
  dprintf(STDOUT_FILENO, "listening on 127.0.0.1:%s\n", port);
  for (;; resume(timers.expired())) resume(sel.select_until(timers.next()));
}

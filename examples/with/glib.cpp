// SPDX-License-Identifier: BSL-1.0

// GLib, the other way round: its main loop waits, for timeouts, idle work and, as one more descriptor, for a
// selector, which is readable while anything in it is ready. `with_glib PORT...` connects to these ports of
// 127.0.0.1 and reads until they end; once a second it prints how much has come.

#include <selectors/selectors.hpp>

#include <glib-unix.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

using selectors::event;

struct program {
  selectors::selector<int> sel;  // each key holds its port
  GMainLoop* loop = g_main_loop_new(nullptr, FALSE);
  std::size_t bytes = 0;
};

void start(program& all, int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in address{AF_INET, htons(static_cast<in_port_t>(port)), {htonl(INADDR_LOOPBACK)}, {}};
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (socket < 0 || (connect(socket, generic, sizeof address) != 0 && errno != EINPROGRESS)) {
    std::printf("%d: %s\n", port, std::strerror(errno));
    close(socket);
  } else {
    all.sel.register_(socket, event::read, port);
  }
}

void receive(program& all, selectors::selector_key<int>& key) {
  char data[4096];
  const ssize_t got = recv(key.handle(), data, sizeof data, 0);  // reports a connect that failed, too
  if (got > 0) all.bytes += std::size_t(got);
  if (got > 0 || (got < 0 && errno == EAGAIN)) return;
  std::printf("%d: %s\n", key.data(), got == 0 ? "end" : std::strerror(errno));
  close(key.handle());
  all.sel.unregister(key);
  if (all.sel.empty()) g_main_loop_quit(all.loop);
}

// Takes what is ready now. While anything is still ready, or marked ready, the selector stays readable.
gboolean on_ready(gint, GIOCondition, gpointer context) {
  auto& all = *static_cast<program*>(context);
  for (auto [key, events] : all.sel.select(std::chrono::seconds(0))) receive(all, key);
  return G_SOURCE_CONTINUE;
}

gboolean on_second(gpointer context) {
  std::printf("%zu bytes so far\n", static_cast<program*>(context)->bytes);
  return G_SOURCE_CONTINUE;
}

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  program all;
  std::error_code error;
  const int readable = all.sel.native_handle(error);  // takes two descriptors: while there are some
  if (error) return std::fprintf(stderr, "%s\n", error.message().c_str()), 1;
  g_unix_fd_add(readable, G_IO_IN, on_ready, &all);
  g_timeout_add(1000, on_second, &all);
  for (int i = 1; i < argc; ++i) start(all, std::atoi(argv[i]));
  if (!all.sel.empty()) g_main_loop_run(all.loop);
  std::printf("%zu bytes\n", all.bytes);
  g_main_loop_unref(all.loop);
}

// SPDX-License-Identifier: BSL-1.0

// sd-bus: `with_dbus` answers org.example.Echo on the session bus, and pings each name that comes as a line
// of stdin. sd-bus says before each wait what it waits for, and until when. A lost bus is tried again.

#include <selectors/selectors.hpp>

#include <poll.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

using selectors::event;
using selectors::event_mask;
using namespace std::chrono;
selectors::selector<> sel;
sd_bus* bus = nullptr;
int unanswered = 0, socket_number = -1;  // what is registered
bool is_settled = false;                 // whether it remains that

int on_call(sd_bus_message* call, void*, sd_bus_error*) {
  const char* text = nullptr;
  if (sd_bus_message_is_method_call(call, "org.example.Echo", "Echo") <= 0) return 0;
  const int error = sd_bus_message_read(call, "s", &text);
  return error < 0 ? error : sd_bus_reply_method_return(call, "s", text);
}

int on_pong(sd_bus_message* reply, void*, sd_bus_error*) {
  const sd_bus_error* const error = sd_bus_message_get_error(reply);
  return std::puts(error != nullptr ? error->message : "pong"), --unanswered, 0;
}

int on_name(sd_bus_message* reply, void*, sd_bus_error*) {
  std::puts(sd_bus_message_get_error(reply) == nullptr ? "connected"
                                                       : sd_bus_message_get_error(reply)->message);
  return sel.modify(STDIN_FILENO, event::read), 0;
}

void ping(const std::string& to) {
  const char* const peer = "org.freedesktop.DBus.Peer";
  const int sent =
      sd_bus_call_method_async(bus, nullptr, to.c_str(), "/", peer, "Ping", on_pong, nullptr, "");
  sent < 0 ? std::puts(std::strerror(-sent)) : ++unanswered;
}

int connect() {
  if (const int error = sd_bus_open_user(&bus); error < 0) return error;
  sd_bus_set_method_call_timeout(bus, 500'000);
  sd_bus_add_object(bus, nullptr, "/org/example/Echo", on_call, nullptr);
  return sd_bus_request_name_async(bus, nullptr, "org.example.Echo", 0, on_name, nullptr);
}

void lose(int error) {
  std::printf("lost: %s\n", std::strerror(-error));
  sel.modify(STDIN_FILENO, {});
  if (socket_number >= 0) sel.unregister(std::exchange(socket_number, -1));
  bus = sd_bus_close_unref(bus);
}

// Everything that needs no waiting; then what to wait for, and until when.
steady_clock::time_point proceed() {
  int more = bus == nullptr ? connect() : 1;
  while (more > 0) more = sd_bus_process(bus, nullptr);
  if (more < 0) return lose(more), steady_clock::now() + milliseconds(200);
  const int now = sd_bus_get_fd(bus), mask = sd_bus_get_events(bus);
  const event_mask events = ((mask & POLLIN) != 0 ? event::read : event_mask()) |
                            ((mask & POLLOUT) != 0 ? event::write : event_mask());
  const int before = std::exchange(socket_number, now);
  if (before >= 0 && before != now) sel.unregister(before);
  // While it tries one address after another, the number may be that of another socket than before.
  before == now&& is_settled ? sel.modify(now, events) : sel.watch(now, events);
  is_settled = sd_bus_is_ready(bus) > 0;
  std::uint64_t until = 0;  // microseconds of CLOCK_MONOTONIC, which is steady_clock's
  sd_bus_get_timeout(bus, &until);
  return steady_clock::time_point(microseconds(std::min(until, std::uint64_t(INT64_MAX / 1000))));
}

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  sel.register_(STDIN_FILENO, {});
  std::string input;
  for (bool is_open = true; is_open || unanswered > 0;)
    for (auto [key, events] : sel.select_until(proceed())) {
      if (key.handle() != STDIN_FILENO) continue;  // sd_bus_process looks for itself
      char data[4096];
      const ssize_t got = read(STDIN_FILENO, data, sizeof data);
      if (got <= 0) is_open = false, sel.modify(key, {});
      for (ssize_t n = 0; n < got; ++n)
        data[n] != '\n' ? input.push_back(data[n]) : ping(std::exchange(input, {}));
    }
  sd_bus_flush_close_unref(bus);
}

// SPDX-License-Identifier: BSL-1.0

// libmosquitto: `with_mqtt PORT TOPIC` publishes each line of stdin, and prints what comes to the topic. A
// broker that is gone is tried again each second, and what it has not confirmed is sent again.

#include <selectors/selectors.hpp>
#include <selectors/timer_queue.hpp>

#include <mosquitto.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

using selectors::event;
using namespace std::chrono_literals;

selectors::selector<> sel;
int socket_number = -1;  // what is registered
int unconfirmed = 0;
const char* topic = nullptr;

// After each call: libmosquitto closes its socket before anybody can know, and says whether it has to write
// only when it is asked.
void follow(mosquitto* client) {
  const int now = mosquitto_socket(client);
  if (socket_number >= 0 && socket_number != now) sel.unregister(socket_number);  // closed already
  if (now >= 0 && socket_number != now) sel.watch(now, event::read);
  if (now >= 0) sel.modify(now, mosquitto_want_write(client) ? event::read | event::write : event::read);
  socket_number = now;
}

void on_connect(mosquitto* client, void*, int refused) {
  std::printf("connected: %s\n", mosquitto_connack_string(refused));
  if (refused == 0) mosquitto_subscribe(client, nullptr, topic, 1);
}
void on_subscribe(mosquitto*, void*, int, int, const int*) { std::puts("subscribed"); }
void on_publish(mosquitto*, void*, int) { --unconfirmed; }
void on_message(mosquitto*, void*, const mosquitto_message* message) {
  std::printf("%.*s\n", message->payloadlen, static_cast<const char*>(message->payload));
}
void on_disconnect(mosquitto*, void*, int why) {
  if (why != 0) std::printf("lost: %s\n", mosquitto_strerror(why));
}

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: with_mqtt PORT TOPIC\n", stderr), 2;
  topic = argv[2];
  std::signal(SIGPIPE, SIG_IGN);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  mosquitto_lib_init();
  mosquitto* const client = mosquitto_new(nullptr, true, nullptr);
  mosquitto_connect_callback_set(client, on_connect);
  mosquitto_subscribe_callback_set(client, on_subscribe);
  mosquitto_publish_callback_set(client, on_publish);
  mosquitto_message_callback_set(client, on_message);
  mosquitto_disconnect_callback_set(client, on_disconnect);
  if (const int error = mosquitto_connect_async(client, "127.0.0.1", std::atoi(argv[1]), 5))
    std::printf("lost: %s\n", mosquitto_strerror(error));
  sel.register_(STDIN_FILENO, event::read);
  selectors::timer_queue<> timers;  // each second: it wants to be called, for pings and what is overdue
  timers.add(1s);
  std::string input;
  for (bool is_open = true; is_open || unconfirmed > 0;) {
    follow(client);
    for (auto [key, events] : sel.select_until(timers.next())) {
      if (key.handle() == STDIN_FILENO) {
        char data[4096];
        const ssize_t got = read(STDIN_FILENO, data, sizeof data);
        if (got <= 0) is_open = false, sel.modify(key, {});
        for (ssize_t n = 0; n < got; ++n) {
          if (data[n] != '\n') {
            input += data[n];
            continue;
          }
          mosquitto_publish(client, nullptr, topic, int(input.size()), input.data(), 1, false);
          ++unconfirmed;
          input.clear();
        }
      } else {
        if (events.contains(event::read)) mosquitto_loop_read(client, 1);
        if (events.contains(event::write)) mosquitto_loop_write(client, 1);  // nothing, if it has closed
      }
    }
    for (auto& timer : timers.expired()) {
      timers.move(timer, 1s);
      if (const int error =
              socket_number >= 0 ? mosquitto_loop_misc(client) : mosquitto_reconnect_async(client))
        std::printf("error: %s\n", mosquitto_strerror(error));
    }
  }
  mosquitto_disconnect(client);
  mosquitto_destroy(client);
  mosquitto_lib_cleanup();
}

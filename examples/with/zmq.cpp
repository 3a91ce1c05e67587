// SPDX-License-Identifier: BSL-1.0

// ZeroMQ: `with_zmq` passes messages on from a PULL socket to a PUSH socket, as fast as somebody takes them.
// The descriptor of a socket, ZMQ_FD, becomes readable when something has changed, until ZMQ_EVENTS, which
// says what, is read or a message is sent or received: an edge, however the loop has registered it.

#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>

#include <zmq.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

using selectors::event;

int option(void* socket, int which) {
  int value = 0;
  std::size_t size = sizeof value;
  zmq_getsockopt(socket, which, &value, &size);
  return value;
}

void* open(void* context, int type) {
  void* const socket = zmq_socket(context, type);
  const int most = 100, linger = 0;
  for (const int which : {ZMQ_SNDHWM, ZMQ_RCVHWM}) zmq_setsockopt(socket, which, &most, sizeof most);
  zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
  if (socket == nullptr || zmq_bind(socket, "tcp://127.0.0.1:*") != 0)
    std::fprintf(stderr, "zmq_bind: %s\n", zmq_strerror(errno)), std::exit(1);
  std::array<char, 100> endpoint{};
  std::size_t size = endpoint.size();
  zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint.data(), &size);
  std::printf("%s at %s\n", type == ZMQ_PULL ? "pull" : "push", endpoint.data());
  return socket;
}

// Asks for both: that of the first is lost to the loop as well, once it has been asked for.
bool can_pass(void* from, void* to) {
  const int in = option(from, ZMQ_EVENTS), out = option(to, ZMQ_EVENTS);
  return (in & ZMQ_POLLIN) != 0 && (out & ZMQ_POLLOUT) != 0;
}

void pass_one(void* from, void* to) {
  zmq_msg_t part;
  for (bool is_more = true; is_more;) {  // parts come together or not at all
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, from, ZMQ_DONTWAIT) < 0) return;
    is_more = zmq_msg_more(&part) != 0;
    if (zmq_msg_send(&part, to, is_more ? ZMQ_DONTWAIT | ZMQ_SNDMORE : ZMQ_DONTWAIT) < 0)
      zmq_msg_close(&part);
  }
}

int main() {
  void* const context = zmq_ctx_new();
  selectors::selector<> sel;
  selectors::signal_set ending{SIGINT, SIGTERM};
  void* const from = open(context, ZMQ_PULL);
  void* const to = open(context, ZMQ_PUSH);
  std::fflush(stdout);
  sel.register_(ending, event::read);
  sel.register_(option(to, ZMQ_FD), event::read);
  auto& incoming = sel.register_(option(from, ZMQ_FD), event::read);
  sel.mark_ready(incoming, event::read);  // whatever came before it was registered
  while (ending.take().empty()) {
    bool is_changed = false;
    for ([[maybe_unused]] auto one : sel.select()) is_changed = true;  // what is not looped over comes again
    // A few at a time. What is left, no descriptor will report: the loop has to remember it.
    for (int n = 0; is_changed && n < 10 && can_pass(from, to); ++n) pass_one(from, to);
    if (is_changed && can_pass(from, to)) sel.mark_ready(incoming, event::read);
  }
  zmq_close(from);
  zmq_close(to);
  zmq_ctx_term(context);
}

// SPDX-License-Identifier: BSL-1.0
#include "listening.hpp"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

void echo(bufferevent* conn, void*) {
  bufferevent_write_buffer(conn, bufferevent_get_input(conn));
  if (evbuffer_get_length(bufferevent_get_output(conn)) > 65536) bufferevent_disable(conn, EV_READ);
}

void drained(bufferevent* conn, void* is_at_end) {
  is_at_end != nullptr ? bufferevent_free(conn) : void(bufferevent_enable(conn, EV_READ));
}

void over(bufferevent* conn, short events, void*) {
  const bool owes = (events & BEV_EVENT_EOF) != 0 && evbuffer_get_length(bufferevent_get_output(conn)) > 0;
  owes ? bufferevent_setcb(conn, nullptr, drained, over, conn) : bufferevent_free(conn);
}

void accept(evconnlistener* listener, int sock, sockaddr*, int, void*) {
  bufferevent* conn = bufferevent_socket_new(evconnlistener_get_base(listener), sock, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_setcb(conn, echo, drained, over, nullptr);
  bufferevent_enable(conn, EV_READ | EV_WRITE);
}

int main(int argc, char** argv) {
  event_base* base = event_base_new();
  evconnlistener_new(base, accept, nullptr, LEV_OPT_CLOSE_ON_FREE, 0, listening(argc, argv));
  event_base_dispatch(base);
}

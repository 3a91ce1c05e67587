// SPDX-License-Identifier: BSL-1.0
#include "listening.hpp"

#include <uv.h>

struct connection {
  uv_tcp_t socket;
  uv_write_t request;
  char data[4096];
};

connection* of(void* handle) { return static_cast<connection*>(static_cast<uv_handle_t*>(handle)->data); }

void end(uv_stream_t* socket) {
  uv_close(reinterpret_cast<uv_handle_t*>(socket), [](uv_handle_t* handle) { delete of(handle); });
}

void room(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(of(handle)->data, sizeof of(handle)->data);
}

void echo(uv_stream_t* socket, ssize_t size, const uv_buf_t* buffer) {
  if (size < 0) return end(socket);
  const uv_buf_t data = uv_buf_init(buffer->base, static_cast<unsigned>(size));
  uv_read_stop(socket);  // until it is written: else what a peer does not read piles up
  uv_write(&of(socket)->request, socket, &data, 1, [](uv_write_t* request, int error) {
    error != 0 ? end(request->handle) : void(uv_read_start(request->handle, room, echo));
  });
}

void accept(uv_stream_t* listener, int) {
  auto* made = new connection;
  uv_tcp_init(listener->loop, &made->socket);
  made->socket.data = made;
  auto* socket = reinterpret_cast<uv_stream_t*>(&made->socket);
  uv_accept(listener, socket) == 0 ? void(uv_read_start(socket, room, echo)) : end(socket);
}

int main(int argc, char** argv) {
  uv_tcp_t listener;
  uv_tcp_init(uv_default_loop(), &listener);
  uv_tcp_open(&listener, listening(argc, argv));
  uv_listen(reinterpret_cast<uv_stream_t*>(&listener), SOMAXCONN, accept);
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

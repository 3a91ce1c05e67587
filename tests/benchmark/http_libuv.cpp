// SPDX-License-Identifier: BSL-1.0

// The "hello" of examples/http_server.cpp on libuv: it tries to write at once, and else queues.

#include "http_hello.hpp"
#include "net.hpp"

#include <uv.h>

#include <cstdio>

namespace {

struct connection {
  uv_tcp_t socket;
  uv_write_t request;
  std::string in, out;
};

char buffer[16384];

connection* of(void* handle) { return static_cast<connection*>(static_cast<uv_handle_t*>(handle)->data); }
void end(uv_stream_t* socket) {
  auto* const handle = reinterpret_cast<uv_handle_t*>(socket);
  if (uv_is_closing(handle) == 0) uv_close(handle, [](uv_handle_t* closed) { delete of(closed); });
}
void room(uv_handle_t*, std::size_t, uv_buf_t* made) { *made = uv_buf_init(buffer, sizeof buffer); }

void read(uv_stream_t* socket, ssize_t size, const uv_buf_t* bytes) {
  if (size < 0) return end(socket);
  connection& one = *of(socket);
  one.in.append(bytes->base, static_cast<std::size_t>(size));
  if (!hello::answer(one.in, one.out)) return end(socket);
  if (one.out.empty()) return;
  uv_buf_t data = uv_buf_init(one.out.data(), static_cast<unsigned>(one.out.size()));
  const int sent = uv_try_write(socket, &data, 1);
  if (sent > 0) one.out.erase(0, static_cast<std::size_t>(sent));
  if (one.out.empty()) return;
  uv_read_stop(socket);
  data = uv_buf_init(one.out.data(), static_cast<unsigned>(one.out.size()));
  uv_write(&one.request, socket, &data, 1, [](uv_write_t* request, int error) {
    of(request->handle)->out.clear();
    error != 0 ? end(request->handle) : void(uv_read_start(request->handle, room, read));
  });
}

void accept(uv_stream_t* listener, int) {
  auto* const made = new connection;
  uv_tcp_init(listener->loop, &made->socket);
  made->socket.data = made;
  auto* const socket = reinterpret_cast<uv_stream_t*>(&made->socket);
  if (uv_accept(listener, socket) != 0) return end(socket);
  uv_tcp_nodelay(&made->socket, 1);
  uv_read_start(socket, room, read);
}

}  // namespace

int main() {
  const int listening = net::listen_on_loopback();
  std::printf("listening on 127.0.0.1:%d\n", net::port_of(listening));
  std::fflush(stdout);
  uv_tcp_t listener;
  uv_tcp_init(uv_default_loop(), &listener);
  uv_tcp_open(&listener, listening);
  uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 4096, accept);
  uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

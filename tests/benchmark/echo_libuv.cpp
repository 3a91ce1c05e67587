// SPDX-License-Identifier: BSL-1.0

// The echo server in libuv's own style: streams, and writing at once what can be. Prints its port.

#include <uv.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdio>
#include <cstdlib>

namespace {

struct session {
  uv_tcp_t socket;
  char bytes[4096];
};

session& of(void* socket) { return *static_cast<session*>(static_cast<uv_handle_t*>(socket)->data); }

void close(session& one) {
  uv_close(reinterpret_cast<uv_handle_t*>(&one.socket), [](uv_handle_t* closed) { delete &of(closed); });
}

void lend(uv_handle_t* socket, std::size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(of(socket).bytes, sizeof of(socket).bytes);
}

void echo(uv_stream_t* socket, ssize_t size, const uv_buf_t* read) {
  if (size == 0) return;
  const uv_buf_t buffer = uv_buf_init(read->base, static_cast<unsigned>(size < 0 ? 0 : size));
  if (size < 0 || uv_try_write(socket, &buffer, 1) != size) close(of(socket));
}

void accept(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto* const one = new session;
  one->socket.data = one;
  uv_tcp_init(listener->loop, &one->socket);
  auto* const stream = reinterpret_cast<uv_stream_t*>(&one->socket);
  if (uv_accept(listener, stream) != 0) return close(*one);
  uv_tcp_nodelay(&one->socket, 1);
  uv_read_start(stream, lend, echo);
}

}  // namespace

int main() {
  uv_tcp_t listener;
  uv_tcp_init(uv_default_loop(), &listener);
  sockaddr_in address{};
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0);
  if (uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 4096, accept) != 0) return 1;
  int size = sizeof address;
  uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

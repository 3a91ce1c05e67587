// SPDX-License-Identifier: BSL-1.0

// The "hello" of examples/http_server.cpp on Asio, in its own style: a read, then a write of all answers.

#include "http_hello.hpp"
#include "net.hpp"

#include <asio.hpp>

#include <array>
#include <cstdio>
#include <memory>
#include <system_error>
#include <utility>

namespace {

using asio::ip::tcp;

struct connection : std::enable_shared_from_this<connection> {
  explicit connection(tcp::socket accepted) : socket(std::move(accepted)) {}

  void read() {
    socket.async_read_some(asio::buffer(buffer),
                           [self = shared_from_this()](std::error_code error, std::size_t size) {
                             if (error) return;
                             self->in.append(self->buffer.data(), size);
                             if (!hello::answer(self->in, self->out)) return;
                             self->out.empty() ? self->read() : self->write();
                           });
  }
  void write() {
    asio::async_write(socket, asio::buffer(out),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (error) return;
                        self->out.clear();
                        self->read();
                      });
  }

  tcp::socket socket;
  std::string in, out;
  std::array<char, 16384> buffer;
};

void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
    if (!error) {
      socket.set_option(tcp::no_delay(true), error);
      std::make_shared<connection>(std::move(socket))->read();
    }
    accept(acceptor);
  });
}

}  // namespace

int main() {
  const int listening = net::listen_on_loopback();
  std::printf("listening on 127.0.0.1:%d\n", net::port_of(listening));
  std::fflush(stdout);
  asio::io_context context(1);
  tcp::acceptor acceptor(context, tcp::v4(), listening);
  accept(acceptor);
  context.run();
}

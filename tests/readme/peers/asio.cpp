// SPDX-License-Identifier: BSL-1.0
#include "listening.hpp"

#include <asio.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

using asio::ip::tcp;

struct connection : std::enable_shared_from_this<connection> {
  explicit connection(tcp::socket accepted) : socket(std::move(accepted)) {}

  void echo() {
    socket.async_read_some(asio::buffer(data),
                           [self = shared_from_this()](std::error_code error, std::size_t size) {
                             if (error)
                               return;  // the last reference to the connection goes, and it is closed
                             asio::async_write(self->socket, asio::buffer(self->data, size),
                                               [self](std::error_code failed, std::size_t) {
                                                 if (!failed) self->echo();
                                               });
                           });
  }

  tcp::socket socket;
  std::array<char, 4096> data;
};

void accept(tcp::acceptor& acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
    if (!error) std::make_shared<connection>(std::move(socket))->echo();
    accept(acceptor);
  });
}

int main(int argc, char** argv) {
  asio::io_context context;
  tcp::acceptor acceptor(context, tcp::v4(), listening(argc, argv));
  accept(acceptor);
  context.run();
}

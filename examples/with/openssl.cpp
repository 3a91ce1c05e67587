// SPDX-License-Identifier: BSL-1.0

// OpenSSL: a TLS echo server, `with_openssl CERTIFICATE KEY`. A read may have to wait until the socket is
// writable and a write until it is readable; and what OpenSSL has read already makes no socket readable.

#include <selectors/selectors.hpp>
#include <selectors/signal_set.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>

using selectors::event;
using namespace std::chrono_literals;

struct connection {
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl = {nullptr, SSL_free};
  int held = 0;                   // bytes of `data` to be sent back
  std::array<char, 4096> data{};  // a record has up to 16 KiB
};
using selector = selectors::selector<connection>;

// One read and one write at most, so that nobody waits for somebody who sends much.
void serve(selector& sel, selector::key_type& key) {
  auto& [ssl, held, data] = key.data();
  ERR_clear_error();
  if (held <= 0) held = SSL_read(ssl.get(), data.data(), int(data.size()));  // also the handshake
  // Repeated until it succeeds, with the same bytes at the same address.
  const int done = held > 0 ? SSL_write(ssl.get(), data.data(), held) : held;
  if (done <= 0) switch (SSL_get_error(ssl.get(), done)) {
      case SSL_ERROR_WANT_READ: return void(sel.modify(key, event::read));
      case SSL_ERROR_WANT_WRITE: return void(sel.modify(key, event::write));
      case SSL_ERROR_ZERO_RETURN: SSL_shutdown(ssl.get()); [[fallthrough]];
      default: close(key.handle()); return void(sel.unregister(key));
    }
  held = 0;
  sel.modify(key, event::read);
  if (SSL_has_pending(ssl.get()) == 1) sel.mark_ready(key, event::read);  // what select cannot see
}

bool accept_one(selector& sel, int listener, SSL_CTX* context) {
  const int socket = accept(listener, nullptr, nullptr);
  if (socket < 0) return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
  fcntl(socket, F_SETFL, O_NONBLOCK);
  auto& key = sel.register_(socket, event::read);
  key.data().ssl.reset(SSL_new(context));
  SSL_set_accept_state(key.data().ssl.get());
  SSL_set_fd(key.data().ssl.get(), socket);
  return true;
}

int main(int argc, char** argv) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()),
                                                                  SSL_CTX_free);
  SSL_CTX_set_read_ahead(context.get(), 1);  // takes from the socket whatever there is, whole records too
  if (argc != 3 || SSL_CTX_use_certificate_chain_file(context.get(), argv[1]) != 1 ||
      SSL_CTX_use_PrivateKey_file(context.get(), argv[2], SSL_FILETYPE_PEM) != 1)
    return std::fputs("usage: with_openssl CERTIFICATE KEY\n", stderr), 2;
  std::signal(SIGPIPE, SIG_IGN);
  selectors::signal_set ending{SIGINT, SIGTERM};
  selector sel;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in address{AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener, generic, size) != 0 || listen(listener, SOMAXCONN) != 0) return std::perror("bind"), 1;
  getsockname(listener, generic, &size);
  std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  sel.register_(listener, event::read);
  sel.register_(ending, event::read);
  for (auto ready = sel.select(); ending.take().empty();
       ready = sel.select(1s), sel.modify(listener, event::read))
    for (auto [key, events] : ready)
      if (key.data().ssl != nullptr)
        serve(sel, key);
      else if (key.handle() == listener && !accept_one(sel, listener, context.get()))
        sel.modify(key, {});  // out of descriptors: for a second, or until something else happens
}

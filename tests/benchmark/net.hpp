// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "rounds.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

// TCP on the loopback address, on ports that the system picks.
namespace net {

inline sockaddr_in loopback(unsigned short port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline int listen_on_loopback() {
  const int listener = checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  const sockaddr_in address = loopback(0);
  checked(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  checked(listen(listener, 4096), "listen");
  return listener;
}

inline unsigned short port_of(int listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  checked(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.sin_port);
}

inline void send_at_once(int connection) {
  const int on = 1;
  checked(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
}

inline int connect_to(unsigned short port) {
  const int client = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  const sockaddr_in address = loopback(port);
  checked(connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
  send_at_once(client);
  return client;
}

// Closes so that no TIME_WAIT remains: the ports must last for all the rounds.
inline void reset(int client) {
  const linger at_once{1, 0};
  checked(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), "setsockopt");
  close(client);
}

}  // namespace net

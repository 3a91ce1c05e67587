// SPDX-License-Identifier: BSL-1.0
#pragma once

// The same beginning for each: a listening socket of 127.0.0.1 on the port that is given.

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

inline int listening(int argc, char** argv) {
  const int port = argc > 1 ? std::atoi(argv[1]) : 12345;
  const int sock = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  here.sin_port = htons(static_cast<in_port_t>(port));
  setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(sock, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 || listen(sock, SOMAXCONN) != 0) {
    std::perror("bind");
    std::exit(1);
  }
  fcntl(sock, F_SETFL, O_NONBLOCK);
  std::signal(SIGPIPE, SIG_IGN);
  std::printf("listening on 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  return sock;
}

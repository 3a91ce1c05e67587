// SPDX-License-Identifier: BSL-1.0
#include "listening.hpp"

#include <poll.h>

#include <cerrno>
#include <cstddef>
#include <vector>

int main(int argc, char** argv) {
  const int sock = listening(argc, argv);

  std::vector<pollfd> fds{{sock, POLLIN, 0}};  // to look up by descriptor takes a second table
  while (poll(fds.data(), fds.size(), -1) > 0) {
    for (std::size_t i = fds.size(); i-- > 1;) {
      if (fds[i].revents == 0) continue;
      char data[4096];
      const int conn = fds[i].fd;
      const ssize_t got = recv(conn, data, sizeof data, MSG_PEEK | MSG_DONTWAIT);
      const ssize_t sent = got > 0 ? send(conn, data, std::size_t(got), MSG_DONTWAIT) : got;
      if (sent > 0) recv(conn, data, std::size_t(sent), 0);
      if (sent > 0 || (sent < 0 && errno == EAGAIN)) {
        fds[i].events = sent < got ? POLLOUT : POLLIN;
      } else {
        close(conn);
        fds[i] = fds.back();  // handled already: the loop runs backwards
        fds.pop_back();
      }
    }
    if (fds[0].revents == 0) continue;
    if (const int conn = accept(sock, nullptr, nullptr); conn >= 0) fds.push_back({conn, POLLIN, 0});
  }
}

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "descriptors.hpp"

#include <sys/wait.h>
#include <unistd.h>

namespace support {

// Runs `body` in a child process and returns what it returns: 0 when all went well, else the number of the
// step that failed; -1 if a signal killed the child. SIGALRM ends it after ten seconds. Assertions of the
// test framework have no effect in the child.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = checked(::fork(), "fork");
  if (child == 0) {
    ::alarm(10);
    ::_exit(body());
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace support

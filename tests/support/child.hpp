// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "descriptors.hpp"

#include <sys/wait.h>
#include <unistd.h>

namespace support {

// Runs `body` in a child process, and returns the number of the step at which it stopped by returning
// non-zero; 0 when all went well, -1 when it was killed. It ends after ten seconds by itself. No assertion of
// the test framework works in there.
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

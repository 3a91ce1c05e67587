// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "descriptors.hpp"

#include <sys/wait.h>
#include <unistd.h>

#if defined(SELECTORS_COUNTS_COVERAGE)
extern "C" int __llvm_profile_write_file();
#endif

namespace support {

// Without destructors, and without what the parent has yet to write.
[[noreturn]] inline void end_child(int code) {
#if defined(SELECTORS_COUNTS_COVERAGE)
  (void)__llvm_profile_write_file();
#endif
  ::_exit(code);
}

// Runs `body` in a child process and returns what it returns: 0 when all went well, else the number of the
// step that failed; -1 if a signal killed the child. SIGALRM ends it after ten seconds. Assertions of the
// test framework have no effect in the child.
template <class Body>
int in_child(Body&& body) {
  const pid_t child = checked(::fork(), "fork");
  if (child == 0) {
    ::alarm(10);
    end_child(body());
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace support

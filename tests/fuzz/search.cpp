// SPDX-License-Identifier: BSL-1.0

// For clang's -fsanitize=fuzzer: searches for scripts that reach new code.

#include "scripts.hpp"

#include <sys/prctl.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  std::signal(SIGPIPE, SIG_IGN);
  ::prctl(PR_SET_TIMERSLACK, 1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    fuzz::play({data, size});
  } catch (const fuzz::difference& found) {
    std::fprintf(stderr, "difference: %s\n", found.what());
    std::abort();
  }
  return 0;
}

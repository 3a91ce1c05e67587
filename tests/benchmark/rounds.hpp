// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <time.h>

#include <cstdio>
#include <cstdlib>

// The processor time of this thread, in nanoseconds: what others do on the machine is not in it, but for what
// they do to its caches.
inline double processor_time() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// Plays a round for each line of standard input, and prints what it measured: so whoever started several
// programs has them take turns. What a round is, is up to the program.
template <class Round>
int take_turns(Round round) {
  std::puts("ready");
  std::fflush(stdout);
  for (int c = std::getchar(); c != EOF; c = std::getchar()) {
    for (const double figure : round()) std::printf("%.3f ", figure);
    std::puts("");
    std::fflush(stdout);
  }
  return 0;
}

// Never returns: a workload that cannot be set up measures nothing.
[[noreturn]] inline void give_up(const char* call) {
  std::perror(call);
  std::exit(1);
}
inline int checked(int result, const char* call) {
  if (result < 0) give_up(call);
  return result;
}

// SPDX-License-Identifier: BSL-1.0

// Compiled with -fno-exceptions -fno-rtti: signal sets, and where there are child processes, their ends.

#include <selectors/child_exit.hpp>
#include <selectors/signal_set.hpp>

#include <csignal>
#include <system_error>

#if SELECTORS_HAS_FORK
#include <unistd.h>
#endif

int main() {
  std::error_code error;
  selectors::signal_set refused({12345}, error);
  if (error != std::errc::invalid_argument) return 1;
  selectors::signal_set set({SIGINT, SIGTERM}, error);
  if (error) return 2;
  set.reopen(error);
  if (error || !set.take().empty()) return 3;
#if SELECTORS_HAS_FORK
  ::raise(SIGINT);
  if (!set.take().contains(SIGINT)) return 4;
  const selectors::child_exit none(::getpid(), error);
  if (error != std::errc::no_child_process) return 5;
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  selectors::child_exit child(pid, error);
  if (error) return 6;
  for (bool has_ended = false; !has_ended;) {
    has_ended = child.reap(error).has_value();
    if (error) return 7;
  }
#endif
}

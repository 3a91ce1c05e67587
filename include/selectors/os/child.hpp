// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_FORK

#include <selectors/error.hpp>

#include <sys/types.h>

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

// What waitid(2) and waitpid(2) report of one child process. Neither call blocks here.
namespace SELECTORS_NAMESPACE::detail {

enum class child_state : unsigned char { is_running, has_ended, is_not_ours };

struct child_end {
  child_state state;
  int status = 0;  // as waitpid(2) reports it, if the child has ended
};

// Examines the child and leaves it waitable (WNOWAIT). `error` is the errno of a failure other than ECHILD.
// Safe in a signal handler: on every system waitid is a plain system call.
inline child_state look_at_child(idtype_t type, id_t which, int& error) noexcept {
  siginfo_t info{};  // si_pid stays 0 if there is nothing to report: POSIX, waitid
  int result = 0;
  do {
    result = ::waitid(type, which, &info, WEXITED | WNOHANG | WNOWAIT);
  } while (result < 0 && errno == EINTR);
  error = result < 0 && errno != ECHILD ? errno : 0;
  if (result < 0) return child_state::is_not_ours;
  return info.si_pid == 0 ? child_state::is_running : child_state::has_ended;
}
inline child_state look_at_child(pid_t pid, int& error) noexcept {
  return look_at_child(P_PID, static_cast<id_t>(pid), error);
}

// Fails unless it is a child of this process, alive or not yet waited for.
inline failure find_child(pid_t pid) noexcept {
  int error = 0;
  if (look_at_child(pid, error) != child_state::is_not_ours) return {};
  return failure::system("waitid", error != 0 ? error : ECHILD);
}

// Reaps it if it has ended. Without WUNTRACED and WCONTINUED a stop is not reported.
inline child_end reap_child(pid_t pid) noexcept {
  int status = 0;
  pid_t ended = 0;
  do {
    ended = ::waitpid(pid, &status, WNOHANG);
  } while (ended < 0 && errno == EINTR);
  if (ended == 0) return {child_state::is_running};
  if (ended < 0) return {child_state::is_not_ours};
  return {child_state::has_ended, status};
}

// No other thread may wait for the child between the two calls, or its number could belong to another
// process.
inline bool kill_child(pid_t pid, int signal) noexcept {
  int error = 0;
  if (look_at_child(pid, error) != child_state::is_not_ours) return ::kill(pid, signal) == 0;
  errno = ESRCH;
  return false;
}

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_FORK

#include <selectors/child/kqueue.hpp>
#include <selectors/child/pidfd.hpp>
#include <selectors/child/sigchld.hpp>
#include <selectors/detail/raise.hpp>
#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/child.hpp>
#include <selectors/os/fork.hpp>

#include <sys/types.h>

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

namespace SELECTORS_NAMESPACE {

namespace detail {

// Uses `Better`, or SIGCHLD where the system lacks that.
template <class Better>
class watch_or_sigchld {
 public:
  failure open(pid_t pid, bool& is_missing) noexcept {
    const failure failed = better_.open(pid, is_missing);
    is_fallback_ = failed && is_missing;
    return is_fallback_ ? fallback_.open(pid, is_missing) : failed;
  }
  native_handle_type native_handle() const noexcept {
    return is_fallback_ ? fallback_.native_handle() : better_.native_handle();
  }
  child_end reap(pid_t pid) noexcept { return is_fallback_ ? fallback_.reap(pid) : better_.reap(pid); }
  void silence() noexcept { is_fallback_ ? fallback_.silence() : better_.silence(); }
  void silence_copy() noexcept { is_fallback_ ? fallback_.silence_copy() : better_.silence_copy(); }
  bool kill(pid_t pid, int signal) noexcept {
    return is_fallback_ ? fallback_.kill(pid, signal) : better_.kill(pid, signal);
  }

 private:
  Better better_;
  sigchld_watch fallback_;
  bool is_fallback_ = false;
};

#if SELECTORS_HAS_PIDFD
using child_watch = watch_or_sigchld<pidfd_watch>;
#elif SELECTORS_HAS_KQUEUE
using child_watch = watch_or_sigchld<kqueue_watch>;
#else
using child_watch = sigchld_watch;
#endif

}  // namespace detail

/// The end of a child process as an event: a pollable that is readable once the child has ended. Use it by
/// the name `child_exit`.
///
///     selectors::child_exit child(pid);      // of fork(2) or posix_spawn(3)
///     sel.register_(child, event::read);
///     …
///     if (const std::optional<int> status = child.reap()) std::cout << WEXITSTATUS(*status);
///
/// By pidfd_open(2) on Linux, in an epoll(7) of its own, and EVFILT_PROC of kqueue(2) on macOS and the BSDs.
/// Where the system has neither (before Linux 5.3, or in a sandbox that forbids it), by a handler of SIGCHLD.
/// That handler also calls the program's own, if there is one, and examines each watched child, so each end
/// costs a system call for each of them. A SIGCHLD that every thread blocks is not noticed. A program that
/// sets its own handler of SIGCHLD later must call the one that it replaces.
///
/// It does not own the child: its destructor neither waits nor kills. The child remains a zombie until
/// somebody waits for it: `reap`, or waitpid(2) by the program. Do not reap it elsewhere meanwhile, by
/// waitpid(-1) or by ignoring SIGCHLD, which discards the status, wait(2). If that happens, `reap` reports it
/// once.
///
/// Move-only. The handle stays the same when it is moved, and is close-on-exec. A moved-from object, or one
/// that failed to open, has no handle and no child: `reap` returns an empty optional, and `kill` false. One
/// thread at a time uses an object.
///
/// After fork(2), in a child: the processes that its parent watches are not its children. `reap` reports
/// no_child_process once and is silent afterwards, `kill` returns false, destruction is as usual; the parent
/// notices nothing. Before the child reopens a selector in which the copy is registered, it unregisters the
/// copy.
template <class Watch>
class basic_child_exit {
 public:
#if SELECTORS_EXCEPTIONS
  /// Watches the child with this process id: alive, or ended and not yet waited for.
  ///
  /// Throws std::system_error: EINVAL if `pid` is not positive; ECHILD (std::errc::no_child_process) if it is
  /// no child of this process, or has been waited for; EMFILE, ENFILE, ENOMEM. Two descriptors and six system
  /// calls with a pidfd, no allocation (SIGCHLD: one).
  template <class = void>
  explicit basic_child_exit(pid_t pid) {
    if (const failure failed = open(pid)) detail::raise(failed, "child_exit");
  }
#endif
  /// The same, reported to `error`.
  basic_child_exit(pid_t pid, std::error_code& error) noexcept { error = open(pid).code(); }

  basic_child_exit(basic_child_exit&& other) noexcept
      : watch_(std::move(other.watch_)),
        pid_(std::exchange(other.pid_, 0)),
        process_(other.process_),
        is_reported_(std::exchange(other.is_reported_, true)) {}
  basic_child_exit& operator=(basic_child_exit&& other) noexcept {
    basic_child_exit taken(std::move(other));
    std::swap(watch_, taken.watch_);
    std::swap(pid_, taken.pid_);
    std::swap(process_, taken.process_);
    std::swap(is_reported_, taken.is_reported_);
    return *this;
  }
  ~basic_child_exit() = default;

#if SELECTORS_EXCEPTIONS
  /// Reaps the child if it has ended, so that no zombie is left, and returns its status as waitpid(2)
  /// describes it (WIFEXITED, WEXITSTATUS, WIFSIGNALED, WTERMSIG…). Empty while it is running or stopped. The
  /// status is taken once: afterwards the result is always empty, and the handle is never readable again.
  /// Unregister it before the object is destroyed, as any handle.
  ///
  /// Throws std::system_error with ECHILD (std::errc::no_child_process), once, if somebody else has waited
  /// for the child: then its status is lost. Never blocks. At most five system calls.
  template <class = void>
  std::optional<int> reap() {
    failure failed;
    const std::optional<int> status = try_reap(failed);
    if (failed) detail::raise(failed, "reap", native_handle());
    return status;
  }
#endif
  /// The same, reported to `error`, which is cleared otherwise.
  std::optional<int> reap(std::error_code& error) noexcept {
    failure failed;
    const std::optional<int> status = try_reap(failed);
    error = failed.code();
    return status;
  }

  /// The child's process id, also after it has been reaped, when another process may have it; 0 without a
  /// child.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Sends the child a signal; 0 sends none and only tests whether it could. False after `reap` has reported
  /// the end, in a child process, or with errno as kill(2) sets it. With a pidfd the signal never reaches
  /// another process (pidfd_send_signal(2)), even if the child was reaped elsewhere; without one it can, if
  /// another thread reaps the child at the same moment, or if the program has reaped it and has started
  /// another one that got the same id.
  bool kill(int signal) noexcept {
    if (!is_reported_ && process_.is_current()) return watch_.kill(pid_, signal);
    errno = ESRCH;
    return false;
  }

  [[nodiscard]] native_handle_type native_handle() const noexcept { return watch_.native_handle(); }

 private:
  failure open(pid_t pid) noexcept {
    if (pid <= 0) return failure::system("waitid", EINVAL);
    if (const failure failed = process_.set()) return failed;
    bool is_missing = false;
    if (const failure failed = watch_.open(pid, is_missing)) return failed;
    pid_ = pid;
    is_reported_ = false;
    return {};
  }

  std::optional<int> try_reap(failure& failed) noexcept {
    if (is_reported_) return {};
    if (!process_.is_current()) {
      is_reported_ = true;
      watch_.silence_copy();
      failed = failure::system("waitid", ECHILD);
      return {};
    }
    const detail::child_end end = watch_.reap(pid_);
    if (end.state == detail::child_state::is_running) return {};
    is_reported_ = true;
    watch_.silence();
    if (end.state == detail::child_state::has_ended) return end.status;
    failed = failure::system("waitid", ECHILD);
    return {};
  }

  Watch watch_;
  pid_t pid_ = 0;
  detail::process_stamp process_;  // the process whose child it is
  bool is_reported_ = true;        // its end has been reported, or there is no child
};

/// The end of a child process as an event, by the best means that the system has.
using child_exit = basic_child_exit<detail::child_watch>;

}  // namespace SELECTORS_NAMESPACE

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_PIDFD

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/child.hpp>
#include <selectors/os/owned_descriptor.hpp>
#include <selectors/os/posix.hpp>

#include <sys/types.h>

#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Reports the end of a child by pidfd_open(2), Linux 5.3: a descriptor of this process, never of a later one
// with the same id. It becomes readable when the process ends, and stays readable after it has been reaped,
// also where a copy of it is watched (fork(2) makes copies). So the handle is an epoll(7) of its own that
// watches the pidfd, and from which it is removed.
class pidfd_watch {
 public:
  // Sets `is_missing` if a call does not exist, a sandbox forbids it, or the kernel lacks pidfds (ENODEV).
  failure open(pid_t pid, bool& is_missing) noexcept {
    owned_descriptor pidfd(static_cast<native_handle_type>(::syscall(open_call, pid, 0U)));
    if (!pidfd) {
      // EINVAL, and ENOENT since Linux 6.9: the id of a thread, which is nobody's child
      const int error = errno == ESRCH || errno == EINVAL || errno == ENOENT ? ECHILD : errno;
      return refused("pidfd_open", error, is_missing);
    }
    if (const failure failed = find(pid, pidfd.get())) return failed;
    owned_descriptor front(::epoll_create1(EPOLL_CLOEXEC));
    if (!front) return refused("epoll_create1", errno, is_missing);
    epoll_event event{};
    event.events = EPOLLIN;
    if (::epoll_ctl(front.get(), EPOLL_CTL_ADD, pidfd.get(), &event) != 0)
      return refused("epoll_ctl", errno, is_missing);
    front_ = std::move(front);
    pidfd_ = std::move(pidfd);
    return {};
  }

  native_handle_type native_handle() const noexcept { return front_.get(); }

  // waitid(2) accepts a pidfd since Linux 5.4; before, it fails with EINVAL.
  child_end reap(pid_t pid) noexcept {
    if (!pidfd_.is_intact()) return reap_child(pid);  // the program has closed all descriptors
    siginfo_t info{};
    int result = 0;
    do {
      result = ::waitid(by_pidfd, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return errno == ECHILD ? child_end{child_state::is_not_ours} : reap_child(pid);
    if (info.si_pid == 0) return {child_state::is_running};
    return {child_state::has_ended, status_of(info)};
  }

  void silence() noexcept {
    epoll_event none{};  // which Linux before 2.6.9 wants
    ::epoll_ctl(front_.get(), EPOLL_CTL_DEL, pidfd_.get(), &none);
    pidfd_.close();
  }
  // In a child process, which shares the epoll with its parent: gets an empty one. Closing the pidfd makes
  // sure that there is a descriptor for it.
  void silence_copy() noexcept {
    pidfd_.close();
    if (owned_descriptor empty(::epoll_create1(EPOLL_CLOEXEC)); empty) front_.replace(std::move(empty));
  }

  // pidfd_send_signal(2) is older than pidfd_open(2), but a sandbox may forbid it with EPERM. A child that
  // may not be signalled gives EPERM with kill(2) too.
  bool kill(pid_t pid, int signal) noexcept {
    if (!pidfd_.is_intact()) return kill_child(pid, signal);
    if (::syscall(signal_call, pidfd_.get(), signal, nullptr, 0U) == 0) return true;
    if (errno != ENOSYS && errno != EPERM && errno != EACCES && errno != EOPNOTSUPP) return false;
    return !find(pid, pidfd_.get()) && ::kill(pid, signal) == 0;
  }

 private:
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  static constexpr long open_call = SYS_pidfd_open, signal_call = SYS_pidfd_send_signal;
#else  // headers older than Linux 5.3; all architectures but alpha have these numbers
  static constexpr long open_call = 434, signal_call = 424;
#endif
  static constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, unknown to glibc before 2.36

  static failure refused(const char* call, int error, bool& is_missing) noexcept {
    is_missing =
        error == ENOSYS || error == EPERM || error == EACCES || error == EOPNOTSUPP || error == ENODEV;
    return failure::system(call, error);
  }

  static failure find(pid_t pid, native_handle_type opened) noexcept {
    int error = 0;
    if (look_at_child(by_pidfd, static_cast<id_t>(opened), error) != child_state::is_not_ours) return {};
    return error != 0 ? find_child(pid) : failure::system("waitid", ECHILD);
  }

  // From the form in which waitid(2) reports an end to that of waitpid(2):
  //   CLD_EXITED   the exit code in the second byte
  //   CLD_KILLED   the signal
  //   CLD_DUMPED   the signal, and the bit of WCOREDUMP
  static int status_of(const siginfo_t& info) noexcept {
    if (info.si_code == CLD_EXITED) return (info.si_status & 0xff) << 8;
    return info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
  }

  owned_descriptor front_;  // an epoll: the handle
  owned_descriptor pidfd_;
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <selectors/config.hpp>

#if SELECTORS_HAS_PIDFD

#include <selectors/error.hpp>
#include <selectors/handle.hpp>
#include <selectors/os/child.hpp>
#include <selectors/os/owned_descriptor.hpp>
#include <selectors/os/posix.hpp>
#include <selectors/os/silent_descriptor.hpp>

#include <sys/types.h>

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace SELECTORS_NAMESPACE::detail {

// Reports the end of a child by pidfd_open(2), Linux 5.3: a descriptor of this process, never of a later one
// with the same id. It becomes readable when the process ends, and stays readable after it has been reaped.
class pidfd_watch {
 public:
  pidfd_watch() noexcept = default;
  pidfd_watch(pidfd_watch&& other) noexcept
      : number_(std::exchange(other.number_, invalid_handle)), mark_(other.mark_), silent_(other.silent_) {}
  pidfd_watch& operator=(pidfd_watch&& other) noexcept {
    std::swap(number_, other.number_);
    std::swap(mark_, other.mark_);
    std::swap(silent_, other.silent_);
    return *this;
  }
  ~pidfd_watch() {
    if (number_ == invalid_handle) return;
    if (mark_.is_on(number_)) close_descriptor(number_);
    silent_->release();
  }

  // Sets `is_missing` if the call does not exist, a sandbox forbids it, or the kernel lacks pidfds (ENODEV).
  failure open(pid_t pid, bool& is_missing) noexcept {
    native_handle_type opened = static_cast<native_handle_type>(::syscall(open_call, pid, 0U));
    if (opened < 0) {
      const int error = errno;
      is_missing =
          error == ENOSYS || error == EPERM || error == EACCES || error == EOPNOTSUPP || error == ENODEV;
      // EINVAL: the id of a thread, which is nobody's child
      return failure::system("pidfd_open", error == ESRCH || error == EINVAL ? ECHILD : error);
    }
    failure failed = find(pid, opened);
    if (!failed) failed = silent_->hold();
    if (failed) {
      close_descriptor(opened);
    } else {
      number_ = opened;
      mark_ = file_mark::put_on(opened);
    }
    return failed;
  }

  native_handle_type native_handle() const noexcept { return number_; }

  // waitid(2) accepts a pidfd since Linux 5.4; before, it fails with EINVAL.
  child_end reap(pid_t pid) noexcept {
    siginfo_t info{};
    int result = 0;
    do {
      result = ::waitid(by_pidfd, static_cast<id_t>(number_), &info, WEXITED | WNOHANG);
    } while (result < 0 && errno == EINTR);
    if (result < 0) return errno == ECHILD ? child_end{child_state::is_not_ours} : reap_child(pid);
    if (info.si_pid == 0) return {child_state::is_running};
    return {child_state::has_ended, status_of(info)};
  }

  void silence() noexcept { silent_->put_over(number_, mark_); }

  // pidfd_send_signal(2) is older than pidfd_open(2), but a sandbox may forbid it with EPERM. A child that
  // may not be signalled gives EPERM with kill(2) too.
  bool kill(pid_t pid, int signal) noexcept {
    if (::syscall(signal_call, number_, signal, nullptr, 0U) == 0) return true;
    if (errno != ENOSYS && errno != EPERM && errno != EACCES && errno != EOPNOTSUPP) return false;
    return !find(pid, number_) && ::kill(pid, signal) == 0;
  }

 private:
#if defined(SYS_pidfd_open) && defined(SYS_pidfd_send_signal)
  static constexpr long open_call = SYS_pidfd_open, signal_call = SYS_pidfd_send_signal;
#else  // headers older than Linux 5.3; all architectures but alpha have these numbers
  static constexpr long open_call = 434, signal_call = 424;
#endif
  static constexpr auto by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD, unknown to glibc before 2.36

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

  native_handle_type number_ = invalid_handle;
  file_mark mark_;
  silent_descriptor* silent_ = &the_silent_descriptor;  // its module's, though another module may close it
};

}  // namespace SELECTORS_NAMESPACE::detail

#endif

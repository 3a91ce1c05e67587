// SPDX-License-Identifier: BSL-1.0

// Each system call of a signal_set and of a child_exit fails in turn with each error that its manual page
// lists: another call replaces it, or the error is reported, and nothing is left behind.

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"
#include "system_calls.hpp"

#include <selectors/child_exit.hpp>
#include <selectors/signal_set.hpp>

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

using namespace selectors;
using namespace support;

namespace {

// Makes the n-th call fail, for each n and each error, until there is no n-th call. `body` is given the
// error, and returns whether everything succeeded.
template <class Body>
int fail_each_call(Body body) {
  int failures = 0;
  for (std::size_t n = 0;; ++n) {
    std::string name;
    {
      failing_system_calls seam({n, 0, false});
      CHECK(body(0, seam));
      if (!seam.happened()) return failures;
      name = seam.name();
    }
    for (const int error : errors_of(name)) {
      INFO("call " << n << ", " << name << ", fails with " << error);
      const auto open = open_descriptors();
      const auto live = live_allocations();
      failing_system_calls seam({n, error, false});
      CHECK(body(error, seam));
      CHECK(seam.happened());
      seam.lift();
      CHECK(open_descriptors() == open);
      CHECK(live_allocations() == live);
      ++failures;
    }
  }
}

void (*handler_of(int number))(int) {
  struct sigaction action{};
  ::sigaction(number, nullptr, &action);
  return action.sa_handler;
}

bool is_either(std::error_code error, int planned) {
  return error == std::error_code(planned, std::system_category());
}

// A child that has ended, watched and reaped; what does not report an error must be right.
template <class Child>
bool watch_one(int planned, failing_system_calls& seam) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(3);
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  bool is_right = true;
  {
    std::error_code error;
    std::optional<Child> child;
    {
      const in_library now;
      child.emplace(pid, error);
    }
    if (error) {
      is_right = is_either(error, planned) && child->native_handle() == -1;
      seam.lift();
      child.emplace(pid, error);
      is_right = is_right && !error;
    }
    is_right = is_right && becomes_ready(descriptor(::dup(child->native_handle())), POLLIN, 0);
    std::optional<int> status;
    {
      const in_library now;
      (void)child->kill(0);
      status = child->reap(error);
    }
    is_right = is_right && !error && status && WEXITSTATUS(*status) == 3 && !child->reap(error) && !error;
    const in_library now;
    child.reset();
  }
  seam.lift();
  while (::waitpid(pid, nullptr, 0) > 0) {
  }
  return is_right;
}

}  // namespace

TEST_CASE("each system call of a child's end may fail", "[child_exit]") {
  CHECK(fail_each_call(&watch_one<child_exit>) > 0);
}

TEST_CASE("each system call of a child's end by SIGCHLD may fail", "[child_exit]") {
  const signal_set keeps_the_handler{SIGCHLD};  // what the destructor cannot put back is another case
  CHECK(fail_each_call(&watch_one<basic_child_exit<detail::sigchld_watch>>) > 0);
}

TEST_CASE("each system call of a signal set may fail", "[signal_set]") {
  CHECK(fail_each_call([](int planned, failing_system_calls& seam) {
          std::error_code error;
          std::optional<signal_set> set;
          {
            const in_library now;
            set.emplace(std::initializer_list<int>{SIGUSR1, SIGUSR2}, error);
          }
          bool is_right = true;
          if (error) {
            is_right = is_either(error, planned);
            seam.lift();
            is_right = is_right && handler_of(SIGUSR1) == SIG_DFL && handler_of(SIGUSR2) == SIG_DFL;
            set.emplace(std::initializer_list<int>{SIGUSR1, SIGUSR2}, error);
          }
          ::raise(SIGUSR2);
          signal_set::numbers numbers;
          {
            const in_library now;
            numbers = set->take();
          }
          return is_right && !error && numbers.contains(SIGUSR2) && !numbers.contains(SIGUSR1);
        }) > 0);
  CHECK(handler_of(SIGUSR1) == SIG_DFL);
}

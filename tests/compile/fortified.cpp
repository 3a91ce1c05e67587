// SPDX-License-Identifier: BSL-1.0

// Compiled with -D_FORTIFY_SOURCE=2, which makes FD_SET abort above FD_SETSIZE.

#include <selectors/selectors.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

namespace {

constexpr rlim_t high_number = 3000;

// The usual soft limit is 1,024; a process may raise it as far as the hard limit.
bool may_open(rlim_t number) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (limit.rlim_cur > number) return true;
  limit.rlim_cur = number + 1;
  return limit.rlim_max > number && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace

int main() {
  if (!may_open(high_number)) {
    std::puts("skipped: the hard limit on descriptors (ulimit -Hn) does not allow number 3,000");
    return 77;  // CTest's SKIP_RETURN_CODE
  }
  selectors::wakeup wake;
  const int high = fcntl(wake.native_handle(), F_DUPFD_CLOEXEC, static_cast<int>(high_number));
  if (high < static_cast<int>(high_number)) {
    std::perror("fcntl(F_DUPFD_CLOEXEC)");
    return 1;
  }
  wake.notify();
  selectors::select_selector<> sel;
  sel.register_(high, selectors::event::read);
  selectors::poll_selector<> poll;
  poll.register_(high, selectors::event::read);
  return !sel.select().empty() && !poll.select().empty() ? 0 : 1;
}

// SPDX-License-Identifier: BSL-1.0

// Compiled with -D_FORTIFY_SOURCE=2, which makes FD_SET abort above FD_SETSIZE.

#include <selectors/selectors.hpp>

#include <fcntl.h>
#include <unistd.h>

int main() {
  selectors::wakeup wake;
  const int high = fcntl(wake.native_handle(), F_DUPFD_CLOEXEC, 3000);
  if (high < 3000) return 1;
  wake.notify();
  selectors::select_selector<> sel;
  sel.register_(high, selectors::event::read);
  selectors::poll_selector<> poll;
  poll.register_(high, selectors::event::read);
  return !sel.select().empty() && !poll.select().empty() ? 0 : 1;
}

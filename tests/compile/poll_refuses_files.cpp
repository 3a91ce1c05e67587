// SPDX-License-Identifier: BSL-1.0

// Compiled as for macOS, whose poll(2) says of open devices and directories that they are not open. Linux says so of
// descriptors that only name a file, O_PATH.

#define SELECTORS_POLL_REFUSES_FILES 1

#include <selectors/selectors.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

using namespace selectors;
using namespace std::chrono_literals;

namespace {

// What one select reports of the handles; 0 of those it does not.
struct found {
  found(poll_selector<>& sel, int file, int other) {
    for (auto [key, events] : sel.select(0s)) {
      if (key.handle() == file) of_file = events;
      if (key.handle() == other) of_other = events;
    }
  }
  event_mask of_file, of_other;
};

}  // namespace

int main() {
  const int file = open("/dev", O_PATH | O_DIRECTORY);
  int ends[2];
  if (file < 0 || pipe(ends) != 0 || write(ends[1], "x", 1) != 1) return 1;
  poll_selector<> sel;
  sel.register_(ends[0], event::read);
  sel.register_(file, event::read | event::write);
  for (int i = 0; i != 2; ++i) {
    const found now(sel, file, ends[0]);
    if (now.of_file != (event::read | event::write) || now.of_other != event::read) return 2;
  }
  sel.modify(file, oneshot(event::read));
  if (found(sel, file, ends[0]).of_file != event::read || found(sel, file, ends[0]).of_file) return 3;
  sel.modify(file, event::write);
  sel.reopen();
  if (found(sel, file, ends[0]).of_file != event::write) return 4;
  close(file);  // told once, as everywhere
  if (found(sel, file, ends[0]).of_file != (event::write | event::error) || found(sel, file, ends[0]).of_file)
    return 5;
  sel.unregister(file);
  return found(sel, file, ends[0]).of_other == event::read ? 0 : 6;
}

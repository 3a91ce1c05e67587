// SPDX-License-Identifier: BSL-1.0

// Compiled as for macOS, whose poll(2) says of open devices and directories that they are not open (Linux
// says so of descriptors that only name a file, O_PATH), and whose select(2) calls files exceptional.

#define SELECTORS_POLL_REFUSES_FILES 1
#define SELECTORS_SELECT_EXCEPTS_FILES 1

#include <fcntl.h>

// The library refuses such a descriptor, unless the system has none, as macOS.
constexpr int name_only = O_PATH;
#undef O_PATH

#include <selectors/selectors.hpp>

#include <unistd.h>

#include <chrono>

using namespace selectors;
using namespace std::chrono_literals;

namespace {

// What one select reports of the handles; 0 of those it does not.
struct found {
  template <class Selector>
  found(Selector& sel, int file, int other) {
    for (auto [key, events] : sel.select(0s)) {
      if (key.handle() == file) of_file = events;
      if (key.handle() == other) of_other = events;
    }
  }
  event_mask of_file, of_other;
};

int by_poll() {
  const int file = open("/dev", name_only | O_DIRECTORY);
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

// What was always ready is not for ever, when its number is another file's.
int by_poll_of_another() {
  const int file = open("/dev", name_only | O_DIRECTORY);
  int ends[2];
  if (file < 0 || pipe(ends) != 0) return 11;
  poll_selector<> sel;
  sel.register_(file, event::read);
  dup2(ends[0], file);
  sel.modify(file, oneshot(event::read));
  sel.modify(file, event::read);
  sel.reopen();
  return found(sel, file, ends[0]).of_file ? 12 : 0;
}

// A file of which nothing is wanted that select(2) can tell is in none of its sets, and comes back.
int by_select() {
  int ends[2];
  if (pipe(ends) != 0) return 21;
  const int file = dup2(open("/", O_RDONLY), 150), other = dup2(ends[0], 151);
  select_selector<> sel;
  sel.register_(file, event::priority);
  sel.register_(other, event::read);
  if (found(sel, file, other).of_file) return 22;
  sel.unregister(other);
  sel.modify(file, event::read | event::priority);
  return found(sel, file, other).of_file == event::read ? 0 : 23;
}

}  // namespace

int main() {
  if (const int failed = by_poll()) return failed;
  if (const int failed = by_poll_of_another()) return failed;
  return by_select();
}

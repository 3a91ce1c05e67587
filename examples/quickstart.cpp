// SPDX-License-Identifier: BSL-1.0
#include <selectors/selectors.hpp>

#include <unistd.h>

#include <cstdio>
#include <functional>

int main() {
  selectors::selector<std::function<void(int)>> sel;  // each key holds a handler
  int ends[2];
  if (pipe(ends) != 0) return 1;
  sel.register_(ends[1], selectors::event::write, [&, left = 3](int handle) mutable {
    if (dprintf(handle, "%d, ", left--) > 0 && left > 0) return;
    sel.unregister(handle);  // a handler may unregister itself, and run on
    close(handle);
  });
  sel.register_(ends[0], selectors::event::read, [&](int handle) {
    char text[64];
    const int size = static_cast<int>(read(handle, text, sizeof text));
    if (size <= 0) close(sel.unregister(handle).handle());  // the end of the stream is readiness, too
    size > 0 ? std::printf("%.*s", size, text) : std::puts("lift-off");
  });
  while (!sel.empty())
    for (auto [key, events] : sel.select()) key.data()(key.handle());
}

// SPDX-License-Identifier: BSL-1.0

// What a key costs when there are many: `scale WHAT KEYS`, over the scripted backend, which has no kernel and
// so no limit of descriptors. A round does for all of the keys, to have its instructions counted:
//
//   none       nothing
//   register   a selector registers them, and is destroyed
//   dispatch   all are ready: one wait, and a loop over what is ready; the backend's part is in it
//   iterate    a loop over the selector
//   heal       each leaks (it is closed while a duplicate keeps its file open) and is registered again, until
//              the selector heals
//
// `bytes` prints how many bytes a key takes, those of the backend among them.

#include "allocated.hpp"
#include "rounds.hpp"

#include <selectors/selectors.hpp>
#include <selectors/testing.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

using selectors::event;

// One whose kernel never confirms that it has forgotten a registration.
struct leaking_backend : selectors::testing::scripted_backend {
  bool remove(selectors::registration& r) noexcept {
    scripted_backend::remove(r);
    return false;
  }
  selectors::failure reopen() noexcept {
    ++times_healed;
    return scripted_backend::reopen();
  }
  static inline long times_healed = 0;
};

template <class Backend>
using selector_of = selectors::selector<long, Backend>;
using scripted = selector_of<selectors::testing::scripted_backend>;

template <class Selector>
void register_all(Selector& sel, int keys) {
  for (int i = 0; i != keys; ++i) sel.register_(i, event::read, long{i});
}

void leak_all(selector_of<leaking_backend>& sel, int keys) {
  const long before = leaking_backend::times_healed;
  for (int i = 0; i != keys; ++i) {
    sel.unregister(i);
    sel.register_(i, event::read, long{i});
  }
  for (int i = 0; leaking_backend::times_healed == before; ++i) {
    if (i == 1000) give_up("a selector that does not heal");
    sel.unregister(i);
    (void)sel.select(std::chrono::seconds(0));
    sel.register_(i, event::read, long{i});
  }
}

template <class Round>
int play(Round round) {
  return take_turns([&] {
    round();
    return std::array<double, 0>{};
  });
}

int run(std::string_view what, int keys) {
  if (what == "none") return play([] {});
  if (what == "register") {
    return play([keys] {
      scripted sel;
      register_all(sel, keys);
    });
  }
  if (what == "heal") {
    selector_of<leaking_backend> sel;
    register_all(sel, keys);
    return play([&] { leak_all(sel, keys); });
  }
  scripted sel;
  register_all(sel, keys);
  if (what == "bytes") return std::printf("%zu\n", allocated / static_cast<std::size_t>(keys)) < 0;
  for (int i = 0; i != keys; ++i) sel.backend().set_ready(i, event::read);
  const long wanted = static_cast<long>(keys) * (keys - 1) / 2;
  return play([&] {
    long sum = 0;
    if (what == "dispatch")
      for (auto [key, events] : sel.select()) sum += key.data();
    else
      for (const auto& key : sel) sum += key.data();
    if (sum != wanted) give_up("a key that is missing");
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc == 3 ? argv[1] : "";
  for (const std::string_view one : {"none", "register", "dispatch", "iterate", "heal", "bytes"})
    if (what == one) return run(what, std::atoi(argv[2]));
  return std::fputs("usage: scale none|register|dispatch|iterate|heal|bytes KEYS\n", stderr), 2;
}

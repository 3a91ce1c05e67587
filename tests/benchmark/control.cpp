// SPDX-License-Identifier: BSL-1.0

// The calls beside the loop: `control CALL ROUNDS` makes one call over and over; see measure.py for what they tell.

#include "handler.hpp"

#include <selectors/selectors.hpp>

#include <sys/eventfd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

using selectors::event;

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: control none|modify|find ROUNDS\n", stderr), 2;
  const std::string_view call = argv[1];
  const long rounds = std::atol(argv[2]);
  selectors::epoll_selector<> sel;
  std::vector<int> handles(100);
  for (int& handle : handles) {
    handle = eventfd(0, EFD_CLOEXEC);
    sel.register_(handle, event::read);
  }
  escape(&sel);
  const int watched = handles[50];
  counter found;
  const auto repeat = [rounds](auto round) {
    for (long i = 0; i != rounds; ++i) round();
  };
  if (call == "none") repeat([&] { handle(found, true); });
  if (call == "find") repeat([&] { handle(found, sel.find(watched) != nullptr); });
  if (call == "modify") {
    repeat([&] {
      sel.modify(watched, event::read);
      handle(found, true);
    });
  }
  return found.events > 0 ? 0 : 1;
}

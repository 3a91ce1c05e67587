// SPDX-License-Identifier: BSL-1.0

// What is exact of the calls beside the loop: `calls CALL COUNT`.
//
//   none, find, modify, flip   one call over and over, to have its instructions counted: nothing, `find`,
//                              `modify` to the interest in force, and to another one
//   dup, add, register         COUNT descriptors are made, and watched by nobody, by a bare epoll(7), by a
//                              selector
//   unregister, again          a selector registers them and unregisters them all; and registers them again
//   memory, allocations        print the bytes that a handle takes, and how often memory is allocated

#include "allocated.hpp"
#include "rounds.hpp"

#include <selectors/selectors.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

using selectors::event;

namespace {

// Registers that many handles, and prints the bytes that the library keeps of each beside the caller's data.
int print_bytes_of_a_handle(std::size_t count) {
  selectors::epoll_selector<> sel;
  const int original = eventfd(0, EFD_CLOEXEC);
  for (std::size_t i = 0; i != count; ++i) sel.register_(dup(original), event::read);
  std::printf("%zu\n", allocated / count);
  return 0;
}

// How often memory is allocated while that many are registered; and once that is done, in a hundred rounds of
// everything, registering a handle again among it.
int print_allocations(std::size_t count) {
  const std::size_t before = allocations;
  selectors::epoll_selector<> sel;
  const int original = eventfd(1, EFD_CLOEXEC);
  std::vector<int> handles(count);
  const std::size_t start = allocations;
  for (int& handle : handles) sel.register_(handle = dup(original), event::read);
  const std::size_t cold = allocations - start + (start - before - 1);
  (void)sel.select();
  const std::size_t warm = allocations;
  for (int round = 0; round != 100; ++round) {
    for (auto [key, events] : sel.select()) sel.modify(key, event::read | event::write);
    sel.unregister(handles[static_cast<std::size_t>(round)]);
    (void)sel.select();
    sel.register_(handles[static_cast<std::size_t>(round)], event::read);
  }
  std::printf("%zu %zu\n", cold, allocations - warm);
  return 0;
}

std::vector<int> duplicates(std::size_t count) {
  const int original = checked(eventfd(0, EFD_CLOEXEC), "eventfd");
  std::vector<int> made(count);
  for (int& one : made) one = checked(dup(original), "dup");
  return made;
}

int add_bare(const std::vector<int>& handles) {
  const int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  for (const int handle : handles) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = handle;
    checked(epoll_ctl(epoll, EPOLL_CTL_ADD, handle, &event), "epoll_ctl");
  }
  return 0;
}

int register_them(const std::vector<int>& handles, std::string_view call) {
  selectors::epoll_selector<> sel;
  for (const int handle : handles) sel.register_(handle, event::read);
  if (call == "register") return 0;
  for (const int handle : handles) sel.unregister(handle);
  (void)sel.select(std::chrono::seconds(0));
  if (call == "unregister") return 0;
  for (const int handle : handles) sel.register_(handle, event::read);
  return 0;
}

// To the optimizer, a use of all that anybody can reach.
template <class T>
void use(T& object) {
  asm volatile("" : : "r"(&object) : "memory");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3)
    return std::fputs(
               "usage: calls none|find|modify|flip|dup|add|register|unregister|again|memory|"
               "allocations COUNT\n",
               stderr),
           2;
  const std::string_view call = argv[1];
  const auto count = static_cast<std::size_t>(std::atol(argv[2]));
  if (call == "memory") return print_bytes_of_a_handle(count);
  if (call == "allocations") return print_allocations(count);
  if (call == "dup") return duplicates(count).size() != count;
  if (call == "add") return add_bare(duplicates(count));
  if (call == "register" || call == "unregister" || call == "again")
    return register_them(duplicates(count), call);
  selectors::epoll_selector<> sel;
  std::vector<int> handles(100);
  for (int& handle : handles) sel.register_(handle = eventfd(0, EFD_CLOEXEC), event::read);
  const int watched = handles[50];
  const auto repeat = [count, &sel](auto round) {
    for (std::size_t i = 0; i != count; ++i) {
      round();
      use(sel);
    }
  };
  if (call == "none") repeat([] {});
  if (call == "find") {
    repeat([&] {
      auto* found = sel.find(watched);
      use(*found);
    });
  }
  if (call == "modify") repeat([&] { sel.modify(watched, event::read); });
  if (call == "flip") {
    repeat([&, writes = false]() mutable {
      sel.modify(watched, (writes = !writes) ? event::read | event::write : event::read);
    });
  }
}

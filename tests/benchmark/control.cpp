// SPDX-License-Identifier: BSL-1.0

// The calls beside the loop: `control CALL ROUNDS` makes one call over and over; see measure.py for what they
// tell.

#include "handler.hpp"

#include <selectors/selectors.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>
#include <vector>

using selectors::event;

namespace {

std::size_t allocated = 0;  // and not given back

// Registers as many handles as asked for, and tells what the library keeps of each beside the caller's data.
int print_bytes_of_a_handle(long count) {
  selectors::epoll_selector<> sel;
  const int original = eventfd(0, EFD_CLOEXEC);
  for (long i = 0; i != count; ++i) sel.register_(dup(original), event::read);
  std::printf("%ld\n", static_cast<long>(allocated) / count);
  return 0;
}

}  // namespace

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocated += size;
  auto* const memory = static_cast<std::size_t*>(std::malloc(size + 16));
  if (memory == nullptr) std::abort();
  *memory = size;
  return memory + 2;
}
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  auto* const begin = static_cast<std::size_t*>(memory) - 2;
  allocated -= *begin;
  std::free(begin);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
void* operator new(std::size_t size) { return operator new(size, std::nothrow); }

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: control none|modify|find|memory ROUNDS\n", stderr), 2;
  const std::string_view call = argv[1];
  const long rounds = std::atol(argv[2]);
  if (call == "memory") return print_bytes_of_a_handle(rounds);
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

// SPDX-License-Identifier: BSL-1.0

// What is exact of the calls beside the loop: `calls CALL COUNT`. `none`, `find`, `modify` (to what is in
// force) and `flip` (to something else) make one call over and over, to have its instructions counted;
// `memory` and `allocations` tell what they say.

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

std::size_t allocated = 0;    // bytes, and not given back
std::size_t allocations = 0;  // ever

// Registers as many handles as asked for, and tells what the library keeps of each beside the caller's data.
int print_bytes_of_a_handle(std::size_t count) {
  selectors::epoll_selector<> sel;
  const int original = eventfd(0, EFD_CLOEXEC);
  for (std::size_t i = 0; i != count; ++i) sel.register_(dup(original), event::read);
  std::printf("%zu\n", allocated / count);
  return 0;
}

// How often memory is asked for while that many are registered; and once that is done, by a hundred rounds of
// everything, a registration anew among it.
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

// To the optimizer, a use of all that anybody can reach.
template <class T>
void use(T& object) {
  asm volatile("" : : "r"(&object) : "memory");
}

}  // namespace

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocated += size;
  ++allocations;
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
  if (argc != 3)
    return std::fputs("usage: calls none|find|modify|flip|memory|allocations COUNT\n", stderr), 2;
  const std::string_view call = argv[1];
  const auto count = static_cast<std::size_t>(std::atol(argv[2]));
  if (call == "memory") return print_bytes_of_a_handle(count);
  if (call == "allocations") return print_allocations(count);
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

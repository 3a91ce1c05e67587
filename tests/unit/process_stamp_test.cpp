// SPDX-License-Identifier: BSL-1.0

// How a child process is recognised.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"

#include <selectors/os/fork.hpp>

#include <sys/mman.h>

#include <cstddef>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

using namespace selectors;
using namespace selectors::detail;
using namespace support;

namespace {

process_stamp set_stamp() {
  process_stamp stamp;
  REQUIRE_FALSE(stamp.set());
  return stamp;
}

std::size_t current_among(const std::vector<process_stamp>& stamps) {
  std::size_t count = 0;
  for (const process_stamp& one : stamps) count += one.is_current() ? 1u : 0u;
  return count;
}

// As if this process were the child of the one before, with another word.
void take_next_word() {
  std::uint32_t* word = nullptr;
  REQUIRE_FALSE(take_process_word(word));
}

constexpr std::size_t several_pages = 3 * process_page::size / sizeof(std::uint32_t);

}  // namespace

TEST_CASE("a stamp is current in the process that set it, in no child, and in a child that sets it",
          "[process_stamp]") {
  process_stamp empty;
  CHECK(empty.is_empty());
  CHECK_FALSE(empty.is_current());
  process_stamp stamp = set_stamp();
  CHECK_FALSE(stamp.is_empty());
  CHECK(stamp.is_current());
  CHECK(in_child([&] {
          if (stamp.is_current() || stamp.is_empty() || empty.is_current()) return 1;
          const process_stamp parents = stamp;
          if (stamp.set() || !stamp.is_current() || parents.is_current()) return 2;
          return in_child([&] {
            if (stamp.is_current() || parents.is_current()) return 3;
            const process_stamp childs = stamp;
            if (stamp.set() || !stamp.is_current()) return 4;
            return childs.is_current() || parents.is_current() ? 5 : 0;
          });
        }) == 0);
  CHECK(stamp.is_current());
  stamp.clear();
  CHECK(stamp.is_empty());
  CHECK_FALSE(stamp.is_current());
}

TEST_CASE("copies of a stamp name the same process, wherever they are", "[process_stamp]") {
  std::optional<process_stamp> first(set_stamp());
  process_stamp copy = *first, assigned;
  assigned = *first;
  first.reset();
  CHECK(copy.is_current());
  CHECK(assigned.is_current());
  std::swap(copy, assigned);
  CHECK(copy.is_current());
  std::optional<process_stamp> none(std::in_place);
  copy = *none;
  process_stamp other = *none;
  none.reset();
  CHECK(copy.is_empty());
  CHECK(other.is_empty());
  CHECK_FALSE(copy.is_current());
}

TEST_CASE("stamps of more generations than a page has words for are told apart", "[process_stamp]") {
  std::vector<process_stamp> stamps;
  const std::uint32_t* last = nullptr;
  for (std::size_t i = 0; i != several_pages; ++i) {
    take_next_word();
    REQUIRE(process_word != last);
    last = process_word;
    stamps.push_back(set_stamp());
  }
  CHECK(current_among(stamps) == stamps.size());
  CHECK(in_child([&] {
          if (current_among(stamps) != 0) return 1;
          process_stamp own;
          if (own.set() || !own.is_current() || current_among(stamps) != 0) return 2;
          return 0;
        }) == 0);
  CHECK(current_among(stamps) == stamps.size());
}

TEST_CASE("threads that set stamps at once in a child set them for it", "[process_stamp]") {
  const process_stamp parents = set_stamp();
  CHECK(in_child([&] {
          for (int round = 0; round != 20; ++round) {
            process_word = nullptr;  // as in a child whose first it is
            std::vector<process_stamp> stamps(8);
            std::vector<std::thread> threads;
            for (process_stamp& one : stamps) threads.emplace_back([&one] { (void)one.set().code(); });
            for (std::thread& one : threads) one.join();
            if (current_among(stamps) != stamps.size() || parents.is_current()) return 1;
            if (in_child([&] { return current_among(stamps) == 0 ? 0 : 1; }) != 0) return 2;
          }
          return 0;
        }) == 0);
}

#if defined(MADV_KEEPONFORK)
TEST_CASE("where the kernel empties no page in a child, a fork handler does", "[process_stamp]") {
  std::vector<process_stamp> stamps;
  const bool has_several = GENERATE(false, true);
  for (std::size_t i = 0; i != (has_several ? several_pages : 1); ++i) {
    take_next_word();
    stamps.push_back(set_stamp());
  }
  CHECK(in_child([&] {  // no other test sees these pages
          for (auto* page = process_page::of(next_process_word); page != nullptr; page = page->older)
            if (::madvise(page, process_page::size, MADV_KEEPONFORK) != 0) return 1;
          process_stamp own;
          if (own.set()) return 2;
          // The pages are empty in here already, and so is what says that the kernel does it.
          process_page::of(next_process_word)->is_kept = 1;
          const pid_t child = ::fork();
          if (child == 0) ::_exit(own.is_current() ? 3 : 0);
          int status = 0;
          if (::waitpid(child, &status, 0) < 0 || !WIFEXITED(status)) return 4;
          return own.is_current() ? WEXITSTATUS(status) : 5;
        }) == 0);
  // All of them, in the process that made them.
  std::vector<void*> pages;
  for (auto* page = process_page::of(next_process_word); page != nullptr; page = page->older)
    pages.push_back(page);
  CHECK((pages.size() > 2 || !has_several));
  for (void* page : pages) REQUIRE(::madvise(page, process_page::size, MADV_KEEPONFORK) == 0);
  CHECK(in_child([&] {
          if (current_among(stamps) != 0) return 1;
          process_stamp own;
          if (own.set() || !own.is_current() || current_among(stamps) != 0) return 2;
          return in_child([&] { return own.is_current() ? 3 : 0; });
        }) == 0);
  for (void* page : pages) REQUIRE(::madvise(page, process_page::size, MADV_WIPEONFORK) == 0);
  CHECK(current_among(stamps) == stamps.size());
}
#endif

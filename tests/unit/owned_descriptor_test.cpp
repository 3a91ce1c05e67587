// SPDX-License-Identifier: BSL-1.0

// A descriptor whose number the program may have closed and given away.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"

#include <selectors/config.hpp>
#include <selectors/os/owned_descriptor.hpp>

#if SELECTORS_HAS_EPOLL
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

using namespace selectors::detail;
using namespace support;

namespace {

// One end of a pipe, an eventfd, an epoll: what the library owns.
int open_one(int kind) {
#if SELECTORS_HAS_EPOLL
  if (kind == 1) return checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
  if (kind == 2) return checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
#endif
  (void)kind;
  return make_pipe().reader.release();
}

const int kinds = SELECTORS_HAS_EPOLL ? 3 : 1;

ino_t inode_of(int number) {
  struct stat about{};
  checked(::fstat(number, &about), "fstat");
  return about.st_ino;
}

}  // namespace

TEST_CASE("an owned descriptor is closed with its owner, and errno is kept", "[owned_descriptor]") {
  const auto before = open_descriptors();
  errno = ELOOP;
  {
    owned_descriptor one(open_one(GENERATE(range(0, kinds))));
    CHECK(one);
    CHECK(one.is_intact());
    CHECK(is_close_on_exec(one.get()));
    owned_descriptor other(std::move(one));
    CHECK_FALSE(one);
    CHECK_FALSE(one.is_intact());
    CHECK(other.is_intact());
    one = std::move(other);
    CHECK(one.is_intact());
    errno = ELOOP;
  }
  CHECK(errno == ELOOP);
  CHECK(open_descriptors() == before);
  owned_descriptor none(-7);
  CHECK_FALSE(none);
  CHECK(none.get() == -1);
  none.close();
}

TEST_CASE("an owned descriptor is replaced on its own number", "[owned_descriptor]") {
  const int kind = GENERATE(range(0, kinds));
  owned_descriptor one(open_one(kind));
  const int number = one.get();
  const auto before = open_descriptors();
  owned_descriptor fresh(open_one(kind));
  const descriptor same(checked(::dup(fresh.get()), "dup"));
  errno = ELOOP;
  one.replace(std::move(fresh));
  CHECK(errno == ELOOP);
  CHECK(one.get() == number);
  CHECK(one.is_intact());
  CHECK(inode_of(number) == inode_of(same.get()));
  CHECK(is_close_on_exec(number));
  CHECK_FALSE(fresh);
  CHECK(open_descriptors().size() == before.size() + 1);  // and `same`
}

TEST_CASE("a number that is somebody else's is neither closed nor taken", "[owned_descriptor]") {
  const int kind = GENERATE(range(0, kinds)), stranger_kind = GENERATE(range(0, kinds));
#if !defined(F_SETSIG)
  if (kind == stranger_kind) return;
#endif
  owned_descriptor one(open_one(kind));
  const int number = one.get();
  ::close(number);
  const descriptor stranger(open_one(stranger_kind));  // on the lowest number that is free
  REQUIRE(stranger.get() == number);
  CHECK_FALSE(one.is_intact());
  const ino_t inode = inode_of(number);
  SECTION("by closing it") {
    one.close();
    CHECK_FALSE(one);
  }
  SECTION("by destroying it") { const owned_descriptor gone(std::move(one)); }
  SECTION("by replacing it") {
    const auto before = open_descriptors();
    one.replace(owned_descriptor(open_one(kind)));
    CHECK(one.get() != number);
    CHECK(one.is_intact());
    CHECK(is_close_on_exec(one.get()));
    CHECK(open_descriptors().size() == before.size() + 1);
    one.close();
    CHECK(open_descriptors() == before);
  }
  CHECK(is_open(number));
  CHECK(inode_of(number) == inode);
}

#if defined(F_SETSIG)
TEST_CASE("the library's own descriptors are no strangers to each other", "[owned_descriptor]") {
  owned_descriptor one(open_one(2));
  const int number = one.get();
  ::close(number);
  for (int times = 0; times != 63; ++times) {
    owned_descriptor other(open_one(2));
    REQUIRE(other.get() == number);
    CHECK_FALSE(one.is_intact());
  }
}
#endif

TEST_CASE("a number that is free is taken again", "[owned_descriptor]") {
  const int kind = GENERATE(range(0, kinds));
  owned_descriptor one(open_one(kind));
  // Above the number that a fresh one gets, or on it.
  if (GENERATE(true, false)) one = owned_descriptor(::fcntl(one.get(), F_DUPFD_CLOEXEC, 40));
  const int number = one.get();
  ::close(number);
  CHECK_FALSE(one.is_intact());
  const auto before = open_descriptors();
  one.replace(owned_descriptor(open_one(kind)));
  CHECK(one.get() == number);
  CHECK(one.is_intact());
  CHECK(is_close_on_exec(number));
  CHECK(open_descriptors().size() == before.size() + 1);
}

TEST_CASE("beyond a limit that was lowered a descriptor goes on with another number", "[owned_descriptor]") {
  const int kind = GENERATE(range(0, kinds));
  const bool is_closed = GENERATE(true, false);
  owned_descriptor one(open_one(kind));
  one = owned_descriptor(::fcntl(one.get(), F_DUPFD_CLOEXEC, 300));
  REQUIRE(one.get() >= 300);
  CHECK(in_child([&] {
          const int number = one.get();
          if (is_closed) ::close(number);
          const rlimit lowered{200, 200};
          if (::setrlimit(RLIMIT_NOFILE, &lowered) != 0) return 1;
          one.replace(owned_descriptor(open_one(kind)));
          if (!one.is_intact() || one.get() >= 200) return 2;
          return is_open(number) ? 3 : 0;
        }) == 0);
  CHECK(one.is_intact());
}

TEST_CASE("a child's descriptor is its parent's until it replaces it", "[owned_descriptor]") {
  const int kind = GENERATE(range(0, kinds));
  owned_descriptor one(open_one(kind));
  CHECK(in_child([&] {
          if (!one.is_intact()) return 1;
          const int number = one.get();
          one.replace(owned_descriptor(open_one(kind)));
          return one.is_intact() && one.get() == number ? 0 : 2;
        }) == 0);
  CHECK(one.is_intact());
}

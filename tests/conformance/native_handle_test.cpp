// SPDX-License-Identifier: BSL-1.0

// The descriptor of a selector: how many there are, how deep selectors nest, and what survives healing and
// reopen.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"
#include "support/nested.hpp"
#include "support/skip.hpp"

#include <algorithm>
#include <system_error>
#include <utility>
#include <vector>

#if SELECTORS_HAS_EPOLL

#include <sys/ioctl.h>

using namespace selectors;
using namespace support;

namespace {

// Selectors of which each watches the one before; the first watches a pipe. Returns the error that the last
// one met, and leaves it out.
struct chain {
  pipe_ends pipe = make_pipe();
  std::vector<epoll_selector<>> links;

  std::error_code add() {
    epoll_selector<> next;
    std::error_code error;
    if (links.empty())
      next.register_(pipe.reader, event::read, error);
    else
      next.register_(links.back(), event::read, error);
    if (!error) links.push_back(std::move(next));
    return error;
  }
  // Whether the outermost hears of the pipe, and each hears of the one within.
  bool is_heard() {
    bool all = true;
    for (auto link = links.rbegin(); link != links.rend(); ++link) all = all && ready(*link, 0s).size() == 1;
    return all;
  }
};

// What ioctl_eventpoll(2) takes, since Linux 6.9.
struct busy_polling {
  std::uint32_t microseconds = 0;
  std::uint16_t budget = 0;
  std::uint8_t is_preferred = 0;
  std::uint8_t padding = 0;

  bool set(int epoll) const { return ::ioctl(epoll, _IOW(0x8A, 0x01, busy_polling), this) == 0; }
  bool get(int epoll) { return ::ioctl(epoll, _IOR(0x8A, 0x02, busy_polling), this) == 0; }
};

// The number that the next descriptor gets.
rlim_t free_number() { return static_cast<rlim_t>(descriptor(checked(::dup(0), "dup")).get()); }

bool keeps_parameters(int epoll) {
  busy_polling found;
  return found.get(epoll) && found.microseconds == 17 && found.budget == 8 && found.is_preferred == 1;
}

}  // namespace

TEST_CASE("a selector of which nobody asks for the native handle is one descriptor", "[native_handle]") {
  const auto before = open_descriptors().size();
  nested_selector<> sel;
  CHECK(open_descriptors().size() == before + 1);
  sel.reopen();
  CHECK(open_descriptors().size() == before + 1);
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  for (int i = 0; i != 5; ++i) {
    leak(sel);
    expect_idle(sel);
  }
  CHECK(open_descriptors().size() == before + 3);  // with the pipe's two
  sel.close();
  CHECK(open_descriptors().size() == before + 2);
}

TEST_CASE("the native handle costs descriptors once, which are closed with the selector", "[native_handle]") {
  const auto before = open_descriptors();
  {
    nested_selector<> sel;
    const int handle = sel.native_handle();
    CHECK(is_open(handle));
    const auto asked = open_descriptors().size();
    for (int i = 0; i != 3; ++i) {
      CHECK(sel.native_handle() == handle);
      sel.reopen();
    }
    CHECK(open_descriptors().size() == asked);
    for (const int number : open_descriptors())
      if (std::find(before.begin(), before.end(), number) == before.end()) CHECK(is_close_on_exec(number));
    nested_selector<> other = std::move(sel);
    CHECK(other.native_handle() == handle);
    CHECK(sel.native_handle() == -1);
    other.close();
    CHECK(other.native_handle() == -1);
    CHECK_FALSE(is_open(handle));
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("a native handle that cannot be made is the invalid handle, with the error", "[native_handle]") {
  epoll_selector<> sel;
  std::error_code error;
  {
    const exhausted_descriptors none;
    CHECK(sel.native_handle() == -1);
    CHECK(sel.native_handle(error) == -1);
    CHECK(error == std::error_code(EMFILE, std::system_category()));
  }
  {
    // Enough for the object in front, and not for all that it needs.
    const descriptor_limit one(free_number() + 1);
    CHECK(sel.native_handle(error) == -1);
    CHECK(error);
  }
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  write_byte(pipe.writer);
  expect_ready(sel, {{pipe.reader.get(), event::read}});
  CHECK(is_open(sel.native_handle(error)));
  CHECK_FALSE(error);
  sel.close();
  CHECK(sel.native_handle(error) == -1);
  CHECK(error == errc::closed);
}

// epoll_ctl(2): ELOOP beyond five objects in a chain (EP_MAX_NESTS is 4). A selector that is nested is two of
// them.
TEST_CASE("how deep selectors nest", "[native_handle]") {
  chain all;
  while (!all.add()) REQUIRE(all.links.size() < 20);
  CHECK(all.links.size() == 3);
  std::error_code error;
  CHECK(all.links.back().native_handle(error) == -1);
  CHECK(error == std::error_code(ELOOP, std::system_category()));
  CHECK_FALSE(all.is_heard());
  write_byte(all.pipe.writer);
  CHECK(all.is_heard());
  drain(all.pipe.reader);
  CHECK_FALSE(all.is_heard());
  for (auto& link : all.links) link.reopen();
  write_byte(all.pipe.writer);
  CHECK(all.is_heard());
}

TEST_CASE("isolated leaks take no depth from a chain of two selectors", "[native_handle]") {
  chain all;
  CHECK_FALSE(all.add());
  auto quiet = make_pipes(40);
  for (auto& pipe : quiet) all.links[0].register_(pipe.reader, event::read);
  leaked left = leak(all.links[0]);
  expect_idle(all.links[0]);
  CHECK_FALSE(all.add());
  for (int i = 0; i != 3; ++i) {
    CHECK_FALSE(all.is_heard());
    write_byte(all.pipe.writer);
    CHECK(all.is_heard());
    drain(all.pipe.reader);
  }
}

// What cannot be isolated at that depth is healed all the same.
TEST_CASE("leaks within the deepest chain are healed", "[native_handle]") {
  chain all;
  while (!all.add()) {
  }
  auto quiet = make_pipes(40);
  for (auto& pipe : quiet) all.links[0].register_(pipe.reader, event::read);
  for (int i = 0; i != 5; ++i) {
    leaked left = leak(all.links[0]);
    expect_idle_for(all.links[0], 5ms);
    CHECK_FALSE(all.is_heard());
    write_byte(all.pipe.writer);
    CHECK(all.is_heard());
    drain(all.pipe.reader);
  }
}

TEST_CASE("a selector watches neither itself nor what watches it", "[native_handle]") {
  epoll_selector<> one, two;
  std::error_code error;
  one.register_(one, event::read, error);
  CHECK(error);
  CHECK(one.empty());
  two.register_(one, event::read);
  one.register_(two, event::read, error);
  CHECK(error == std::error_code(ELOOP, std::system_category()));
  CHECK(one.empty());
}

TEST_CASE("what was set on the native handle survives healing, reopen and fork", "[native_handle]") {
  epoll_selector<> sel;
  const busy_polling wanted{17, 8, 1};
  if (!wanted.set(sel.native_handle())) return skip("no EPIOCSPARAMS: Linux 6.9");
  CHECK(keeps_parameters(sel.native_handle()));
  auto quiet = make_pipes(40);
  for (auto& pipe : quiet) sel.register_(pipe.reader, event::read);
  std::vector<leaked> left;
  for (int i = 0; i != 200; ++i) {
    left.push_back(leak(sel));
    expect_idle(sel);
  }
  CHECK(keeps_parameters(sel.native_handle()));
  sel.reopen();
  CHECK(keeps_parameters(sel.native_handle()));
  CHECK(in_child([&] {
          std::error_code error;
          sel.reopen(error);
          return error ? 1 : keeps_parameters(sel.native_handle()) ? 0 : 2;
        }) == 0);
  CHECK(keeps_parameters(sel.native_handle()));
}

TEST_CASE("in a child the inner selector is reopened before the outer, on the same number",
          "[native_handle]") {
  nested_selector<> inner, outer;
  auto pipe = make_pipe();
  inner.register_(pipe.reader, event::read);
  outer.register_(inner, event::read);
  const int number = inner.native_handle();
  CHECK(in_child([&] {
          std::error_code error;
          if (inner.native_handle() != number) return 1;
          inner.reopen(error);
          if (error || inner.native_handle() != number) return 2;
          outer.reopen(error);
          if (error) return 3;
          if (!outer.select(0s).empty()) return 4;
          (void)!::write(pipe.writer.get(), "x", 1);
          if (outer.select(1s).empty()) return 5;
          if (inner.select(0s).empty()) return 6;
          inner.mark_ready(pipe.reader, event::read);
          inner.unregister(pipe.reader);
          return 0;
        }) == 0);
  expect_ready(outer, {{number, event::read}});
  expect_ready(inner, {{pipe.reader.get(), event::read}});
  drain(pipe.reader);
  expect_idle(inner);
  expect_idle(outer);
}

#endif

// SPDX-License-Identifier: BSL-1.0
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/selectors.hpp>

#include <sys/event.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

// A queue that is watched by another one, without the selector knowing.
namespace {

using namespace selectors;
using namespace support;

using tested = selector<void, kqueue_backend>;

class outer_queue {
 public:
  explicit outer_queue(int inner, unsigned flags = 0) : queue_(checked(::kqueue(), "kqueue")) {
    struct kevent change{};
    change.ident = static_cast<decltype(change.ident)>(inner);
    change.filter = EVFILT_READ;
    change.flags = static_cast<decltype(change.flags)>(EV_ADD | flags);
    call(&change, 1, nullptr, 0);
  }
  bool hears() const {
    struct kevent found{};
    return call(nullptr, 0, &found, 1) == 1;
  }

 private:
  // Changes that were interrupted have been applied; made once more, they have the same effect.
  int call(const struct kevent* changes, int change_count, struct kevent* found, int room) const {
    const timespec at_once{};
    int result = 0;
    do result = ::kevent(queue_.get(), changes, change_count, found, room, &at_once);
    while (result < 0 && errno == EINTR);
    return checked(result, "kevent");
  }

  descriptor queue_;
};

}  // namespace

TEST_CASE("a queue watches a selector, and goes on after reopen", "[kernels]") {
  const unsigned flags = GENERATE(0u, unsigned{EV_CLEAR});
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  const int number = sel.native_handle();
  const outer_queue outer(number, flags);
  for (int round = 0; round != 3; ++round) {
    CHECK_FALSE(outer.hears());
    sel.mark_ready(pipe.reader, event::read);
    CHECK(outer.hears());
    expect_ready(sel, {{pipe.reader.get(), event::read}});
    expect_idle(sel);
    CHECK_FALSE(outer.hears());
    write_byte(pipe.writer);
    CHECK(outer.hears());
    expect_ready(sel, {{pipe.reader.get(), event::read}});
    read_byte(pipe.reader);
    expect_idle(sel);
    CHECK_FALSE(outer.hears());
    sel.reopen();
    CHECK(sel.native_handle() == number);
  }
}

TEST_CASE("a trigger that nothing is left of neither ends a wait nor keeps it busy", "[kernels]") {
  tested sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  const outer_queue outer(sel.native_handle());
  sel.mark_ready(pipe.reader, event::read);
  CHECK(outer.hears());
  sel.modify(pipe.reader, {});
  expect_idle_for(sel, 20ms);
  CHECK_FALSE(outer.hears());
}

TEST_CASE("of a number that is another queue's nothing is triggered, and nothing left there", "[kernels]") {
  auto sel = std::make_unique<tested>();
  auto pipe = make_pipe();
  sel->register_(pipe.reader, event::read);
  const int number = sel->native_handle();
  ::close(number);
  tested stranger;
  REQUIRE(stranger.native_handle() == number);
  const outer_queue outer(number);
  sel->mark_ready(pipe.reader, event::read);
  CHECK_FALSE(outer.hears());
  sel->unregister(pipe.reader);
  sel.reset();
  CHECK_FALSE(outer.hears());
  CHECK(is_open(number));
}

TEST_CASE("a child's queue takes the number, where that is free, though it is not the lowest", "[kernels]") {
  descriptor low = dup_of(make_pipe().reader);
  auto pipe = make_pipe();
  tested sel;
  sel.register_(pipe.reader, event::read);
  const int number = sel.native_handle();
  REQUIRE(low.get() < number);
  low.close();
  const outer_queue outer(number);
  CHECK(in_child([&] {
          sel.unregister(pipe.reader);  // triggers nothing: the queue is the parent's
          sel.reopen();
          return sel.native_handle() == number && is_close_on_exec(number) ? 0 : 1;
        }) == 0);
  CHECK_FALSE(outer.hears());
  write_byte(pipe.writer);
  CHECK(outer.hears());
  expect_ready(sel, {{pipe.reader.get(), event::read}});
}

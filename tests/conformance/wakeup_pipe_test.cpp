// SPDX-License-Identifier: BSL-1.0

// What a wakeup is made of where there is no eventfd(2), tried everywhere.

#include "notifications.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/wakeup/pipe.hpp>

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

struct pipe_bell : detail::pipe_channel {
  pipe_bell() { REQUIRE_FALSE(open()); }
};

std::vector<int> opened_since(const std::vector<int>& before) {
  const std::vector<int> after = open_descriptors();
  std::vector<int> opened;
  std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(opened));
  return opened;
}

}  // namespace

BACKEND_TEST_CASE("a wakeup of a pipe is readable from notify to reset, however often it was notified",
                  "[wakeup]", backends) {
  selector<void, TestType> sel;
  pipe_bell wake;
  sel.register_(wake, event::read);
  expect_idle(sel);
  CHECK_FALSE(wake.reset());
  // 1024 are taken at a time.
  for (const int times : {1, 3, 1023, 1024, 1025, 2048}) {
    for (int i = 0; i != times; ++i) wake.notify();
    for (int i = 0; i != 2; ++i) expect_ready(sel, {{wake.native_handle(), event::read}});
    CHECK(wake.reset());
    CHECK_FALSE(wake.reset());
    expect_idle(sel);
  }
}

BACKEND_TEST_CASE(
    "of a million notifications to a pipe by threads and a signal handler none is lost, none invented",
    "[wakeup][signals][native]", backends) {
  selector<void, TestType> sel;
  pipe_bell wake;
  expect_none_lost_none_invented(sel, wake);
}

TEST_CASE("a wakeup whose pipe is full is notified already", "[wakeup]") {
  pipe_bell wake;
  errno = ELOOP;
  for (int i = 0; i != 100'000; ++i) wake.notify();
  CHECK(errno == ELOOP);
  CHECK(wake.reset());
  CHECK_FALSE(wake.reset());
  CHECK(errno == ELOOP);
  wake.notify();
  CHECK(wake.reset());
}

TEST_CASE("a wakeup's pipe is close-on-exec and does not block, opened in one step or in several",
          "[wakeup]") {
  const std::vector<int> before = open_descriptors();
  {
    detail::pipe_channel wake;
    if (GENERATE(true, false))
      REQUIRE_FALSE(wake.open());
    else
      REQUIRE_FALSE(wake.open_by<false>());
    const std::vector<int> opened = opened_since(before);
    CHECK(opened.size() == 2);
    for (const int number : opened) {
      CHECK(is_close_on_exec(number));
      CHECK((::fcntl(number, F_GETFL) & O_NONBLOCK) != 0);
    }
    CHECK(std::count(opened.begin(), opened.end(), wake.native_handle()) == 1);
    wake.notify();
    CHECK(wake.reset());
  }
  CHECK(opened_since(before).empty());
}

TEST_CASE("a wakeup without room for a pipe is an error that names the call, and notifies nobody",
          "[wakeup]") {
  detail::pipe_channel wake;
  const bool is_at_once = GENERATE(true, false);
  failure failed;
  {
    const exhausted_descriptors none;
    failed = is_at_once ? wake.open() : wake.open_by<false>();
    wake.notify();
    CHECK_FALSE(wake.reset());
  }
  CHECK(failed.code() == std::error_code(EMFILE, std::system_category()));
  CHECK_THAT(failed.call(), contains("pipe"));
  CHECK(wake.native_handle() == -1);
}

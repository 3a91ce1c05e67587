// SPDX-License-Identifier: BSL-1.0

// A wakeup in a child process, and one that is made anew.

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/descriptors.hpp"
#include "support/expect.hpp"

#include <selectors/os/fork.hpp>
#include <selectors/wakeup/pipe.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using namespace selectors;
using namespace support;

namespace {

// What a wakeup is made of where there is no eventfd(2), tried everywhere.
class pipe_bell : public detail::pipe_channel {
 public:
  pipe_bell() { REQUIRE_FALSE(open()); }
  void reopen(std::error_code& error) noexcept { error = detail::pipe_channel::reopen().code(); }
};

// Every backend with every bell.
template <class Backend, class Bell>
struct backend_with_bell {
  using first_type = Backend;
  using second_type = Bell;
  static std::string test_name() {
    return std::string(Backend::name) + (std::is_same_v<Bell, wakeup> ? "" : ", pipe");
  }
};
template <class Bell, class Tuple>
struct with;
template <class Bell, class... Backends>
struct with<Bell, std::tuple<Backends...>> {
  using type = std::tuple<backend_with_bell<Backends, Bell>...>;
};
using pairs = decltype(std::tuple_cat(with<wakeup, backends>::type(), with<pipe_bell, backends>::type()));

wakeup* signalled = nullptr;

void close_all() {
  for (const int number : open_descriptors())
    if (number > 2) ::close(number);
}

}  // namespace

BACKEND_TEST_CASE("a child's copy of a wakeup neither notifies nor takes what its parent was notified of",
                  "[wakeup][fork]", pairs) {
  selector<void, typename TestType::first_type> sel;
  typename TestType::second_type bell;
  sel.register_(bell, event::read);
  CHECK(in_child([&] {
          errno = ELOOP;
          bell.notify();
          if (bell.reset() || errno != ELOOP) return 1;
          return is_open(bell.native_handle()) ? 0 : 2;
        }) == 0);
  expect_idle(sel);
  CHECK_FALSE(bell.reset());
  bell.notify();
  CHECK(in_child([&] { return bell.reset() ? 1 : 0; }) == 0);
  expect_ready(sel, {{bell.native_handle(), event::read}});
  CHECK(bell.reset());
  expect_idle(sel);
}

BACKEND_TEST_CASE("a wakeup that a child reopens is the child's own, on the same number", "[wakeup][fork]",
                  pairs) {
  selector<void, typename TestType::first_type> sel;
  typename TestType::second_type bell;
  sel.register_(bell, event::read);
  bell.notify();
  const auto body = [&](int from) {
    std::error_code error;
    const int number = bell.native_handle();
    const auto before = open_descriptors();
    bell.reopen(error);
    if (error) return from + 1;
    if (bell.native_handle() != number || open_descriptors() != before || !is_close_on_exec(number))
      return from + 2;
    sel.reopen(error);
    if (error) return from + 3;
    if (!sel.select(0s, error).empty() || error || bell.reset())
      return from + 4;  // its parent's, not its own
    bell.notify();
    int found = 0;
    for (auto [key, events] : sel.select(10s, error)) found += key.handle() == number ? 1 : 9;
    if (error || found != 1) return from + 5;
    return bell.reset() && !bell.reset() ? 0 : from + 6;
  };
  CHECK(in_child([&] {
          const int failed = body(0);
          if (failed != 0) return failed;
          bell.notify();
          if (in_child([&] { return body(10); }) != 0) return 20;  // a child of the child
          return bell.reset() ? 0 : 21;
        }) == 0);
  expect_ready(sel, {{bell.native_handle(), event::read}});
  CHECK(bell.reset());
  CHECK_FALSE(bell.reset());
  expect_idle(sel);
}

BACKEND_TEST_CASE("a wakeup that is reopened where it was made is a fresh one on the same number", "[wakeup]",
                  pairs) {
  selector<void, typename TestType::first_type> sel;
  typename TestType::second_type bell;
  const int number = bell.native_handle();
  sel.register_(bell, event::read);
  bell.notify();
  const auto before = open_descriptors();
  std::error_code error = errc::closed;
  errno = ELOOP;
  bell.reopen(error);
  CHECK(errno == ELOOP);
  CHECK_FALSE(error);
  CHECK(bell.native_handle() == number);
  CHECK(open_descriptors() == before);
  CHECK_FALSE(bell.reset());
  sel.reopen();
  expect_idle(sel);
  bell.notify();
  expect_ready(sel, {{number, event::read}});
  CHECK(bell.reset());
}

BACKEND_TEST_CASE("a wakeup whose numbers are somebody else's in a child leaves them alone",
                  "[wakeup][fork][native]", pairs) {
  selector<void, typename TestType::first_type> sel;
  typename TestType::second_type bell;
  const int how = GENERATE(0, 1, 2, 3);
  CHECK(in_child([&] {
          const int number = bell.native_handle();
          close_all();
          std::vector<descriptor> others;
          while (others.empty() || others.back().get() < number + 2)
            others.push_back(make_socket(SOCK_DGRAM));
          const auto before = open_descriptors();
          std::error_code error;
          if (how == 0) bell.reopen(error);
          if (how == 1) std::destroy_at(&bell);
          if (how == 2) {
            bell.notify();
            if (bell.reset()) return 1;
          }
          if (how == 3) {  // and the library's own are no strangers
            others.erase(others.begin() + (number - others.front().get()));
            const typename TestType::second_type own;
            if (own.native_handle() != number) return 2;
            bell.reopen(error);
            if (bell.native_handle() == number) return 3;
          }
          if (error) return 4;
          for (const auto& one : others) {
            int type = 0;
            socklen_t size = sizeof type;
            if (::getsockopt(one.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_DGRAM)
              return 5;
          }
          if (how == 0 || how == 3) {
            if (bell.native_handle() == number || !is_close_on_exec(bell.native_handle())) return 6;
            bell.notify();
            if (!bell.reset() || bell.reset()) return 7;
            std::destroy_at(&bell);
          }
          return open_descriptors().size() == before.size() - (how == 3 ? 1u : 0u) ? 0 : 8;
        }) == 0);
  CHECK_FALSE(bell.reset());
}

BACKEND_TEST_CASE("a wakeup whose numbers are free in a child takes them again", "[wakeup][fork]", pairs) {
  selector<void, typename TestType::first_type> sel;
  const auto pipe = make_pipe();  // of lower numbers, closed in the child
  typename TestType::second_type bell;
  const bool is_lower_free = GENERATE(true, false);
  CHECK(in_child([&] {
          const int number = bell.native_handle();
          close_all();
          for (int taken = 0; !is_lower_free && taken < number;) {
            taken = ::dup(0);
            if (taken >= number) ::close(taken);
          }
          std::error_code error;
          bell.reopen(error);
          if (error || bell.native_handle() != number || !is_close_on_exec(number)) return 1;
          bell.notify();
          return bell.reset() && !bell.reset() ? 0 : 2;
        }) == 0);
}

BACKEND_TEST_CASE("a wakeup beyond a limit that a child has lowered goes on with another number",
                  "[wakeup][fork][native]", pairs) {
  std::vector<descriptor> many(200);
  for (auto& one : many) one = make_socket(SOCK_DGRAM);
  typename TestType::second_type bell;
  many.clear();
  const int number = bell.native_handle();
  CHECK(in_child([&] {
          const rlimit lowered{100, 100};
          if (::setrlimit(RLIMIT_NOFILE, &lowered) != 0) return 1;
          std::error_code error;
          bell.reopen(error);
          if (error || bell.native_handle() == number || is_open(number)) return 2;
          bell.notify();
          return bell.reset() && !bell.reset() ? 0 : 3;
        }) == 0);
  CHECK_FALSE(bell.reset());
  CHECK(bell.native_handle() == number);
}

BACKEND_TEST_CASE("a wakeup that cannot be reopened stays as it was", "[wakeup][fork]", pairs) {
  typename TestType::second_type bell;
  bell.notify();
  std::error_code error;
  const int number = bell.native_handle();
  {
    const exhausted_descriptors none;
    bell.reopen(error);
  }
  CHECK(error == std::error_code(EMFILE, std::system_category()));
  CHECK(bell.native_handle() == number);
  CHECK(bell.reset());
  bell.notify();
  CHECK(in_child([&] {
          {
            const exhausted_descriptors none;
            bell.reopen(error);
          }
          if (!error || bell.native_handle() != number || bell.reset()) return 1;
          bell.reopen(error);
          bell.notify();
          return error || !bell.reset() ? 2 : 0;
        }) == 0);
  CHECK(bell.reset());
}

TEST_CASE("a signal handler of a child that notifies does not reach the parent", "[wakeup][fork]") {
  wakeup bell;
  signalled = &bell;
  struct sigaction action{}, before{};
  action.sa_handler = [](int) { signalled->notify(); };
  checked(::sigaction(SIGUSR2, &action, &before), "sigaction");
  CHECK(in_child([&] {
          errno = ELOOP;
          ::raise(SIGUSR2);
          if (errno != ELOOP) return 1;
          std::error_code error;
          bell.reopen(error);
          if (error || bell.reset()) return 2;
          ::raise(SIGUSR2);
          return bell.reset() ? 0 : 3;
        }) == 0);
  CHECK_FALSE(bell.reset());
  ::raise(SIGUSR2);
  CHECK(bell.reset());
  ::sigaction(SIGUSR2, &before, nullptr);
}

TEST_CASE("reopening names the call that failed, and opens what was never open", "[wakeup]") {
  std::error_code error;
  std::string text;
  {
    const exhausted_descriptors none;
    wakeup bell(error);
    try {
      bell.reopen();
    } catch (const std::system_error& what) {
      error = what.code();
      text = what.what();
    }
    CHECK(bell.native_handle() == -1);
    bell.notify();
    CHECK_FALSE(bell.reset());
  }
  CHECK(error == std::error_code(EMFILE, std::system_category()));
  CHECK_THAT(text, contains("reopen: ") && contains(SELECTORS_HAS_EVENTFD ? "eventfd" : "pipe"));
  const auto before = open_descriptors();
  {
    detail::pipe_channel late;
    CHECK_FALSE(late.reset());
    REQUIRE_FALSE(late.reopen());
    late.notify();
    CHECK(late.reset());
  }
  CHECK(open_descriptors() == before);
}

// SPDX-License-Identifier: BSL-1.0

#include "support/allocations.hpp"
#include "support/catch.hpp"
#include "support/descriptors.hpp"

#include <selectors/selectors.hpp>

#if !SELECTORS_HAS_WINSOCK
#include <poll.h>
#include <sys/select.h>
#endif

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>

using namespace selectors;

#if !defined(SELECTORS_HAS_EPOLL) || !defined(SELECTORS_HAS_KQUEUE) || !defined(SELECTORS_HAS_POLL) || \
    !defined(SELECTORS_HAS_SELECT)
#error "every SELECTORS_HAS_… is defined, 0 or 1"
#endif

TEST_CASE("each platform has its backends, the default first", "[backends]") {
#if SELECTORS_HAS_EPOLL
  STATIC_REQUIRE(std::is_same_v<default_backend, epoll_backend>);
  STATIC_REQUIRE(std::is_same_v<default_selector<int>, epoll_selector<int>>);
  STATIC_REQUIRE(epoll_backend::name == "epoll");
#elif SELECTORS_HAS_KQUEUE
  STATIC_REQUIRE(std::is_same_v<default_backend, kqueue_backend>);
  STATIC_REQUIRE(
      std::is_same_v<available_backends, std::tuple<kqueue_backend, poll_backend, select_backend>>);
#elif SELECTORS_HAS_WINSOCK
  STATIC_REQUIRE(std::is_same_v<available_backends, std::tuple<select_backend, poll_backend>>);
#else
  STATIC_REQUIRE(std::is_same_v<available_backends, std::tuple<poll_backend, select_backend>>);
#endif
#if SELECTORS_HAS_KQUEUE
  STATIC_REQUIRE(std::is_same_v<kqueue_selector<int>, selector<int, kqueue_backend>>);
  STATIC_REQUIRE(kqueue_backend::name == "kqueue");
#elif SELECTORS_HAS_EPOLL
  STATIC_REQUIRE(std::is_same_v<available_backends, std::tuple<epoll_backend, poll_backend, select_backend>>);
#endif
  STATIC_REQUIRE(SELECTORS_HAS_POLL == 1);
  STATIC_REQUIRE(SELECTORS_HAS_SELECT == 1);
  STATIC_REQUIRE(poll_backend::name == "poll");
  STATIC_REQUIRE(select_backend::name == "select");
}

TEST_CASE("each backend has an alias for its selectors", "[backends]") {
  STATIC_REQUIRE(std::is_same_v<selector<int>, default_selector<int>>);
  STATIC_REQUIRE(std::is_same_v<poll_selector<int>, selector<int, poll_backend>>);
  STATIC_REQUIRE(std::is_same_v<select_selector<>, selector<void, select_backend>>);
  STATIC_REQUIRE(std::is_same_v<poll_selector<>::backend_type, poll_backend>);
}

TEST_CASE("what a backend supports is known at compile time", "[backends]") {
#if SELECTORS_HAS_EPOLL
  STATIC_REQUIRE(supports<epoll_backend, trigger::edge>);
  STATIC_REQUIRE(supports<epoll_backend, trigger::edge, true>);
  STATIC_REQUIRE(supports<epoll_backend, trigger::level, true>);
  STATIC_REQUIRE_FALSE(supports<epoll_backend, trigger::oneshot, true>);
#endif
  STATIC_REQUIRE(supports<poll_backend, trigger::oneshot>);
  STATIC_REQUIRE_FALSE(supports<poll_backend, trigger::edge>);
  STATIC_REQUIRE_FALSE(supports<select_backend, trigger::level, true>);
  STATIC_REQUIRE_FALSE(supports<int, trigger::level>);
}

TEST_CASE("what a backend supports can be asked at run time, too", "[backends]") {
#if SELECTORS_HAS_EPOLL
  CHECK(epoll_backend::supports(trigger::edge, true));
  CHECK_FALSE(epoll_backend::supports(trigger::oneshot, true));
#endif
  CHECK(poll_backend::supports(trigger::oneshot, false));
  CHECK_FALSE(poll_backend::supports(trigger::edge, false));
  CHECK(select_backend::supports(trigger::level, false));
  CHECK_FALSE(select_backend::supports(trigger::level, true));
}

#if !SELECTORS_HAS_WINSOCK
TEST_CASE("a timeout is null when it is for ever, else in seconds and nanoseconds", "[backends]") {
  CHECK(detail::timespec_of(std::chrono::nanoseconds::max()).get() == nullptr);
  const detail::timespec_of time(std::chrono::nanoseconds(2'000'000'003));
  CHECK(time.get()->tv_sec == 2);
  CHECK(time.get()->tv_nsec == 3);
}

TEST_CASE("three years are for ever, before the kernel refuses them", "[backends]") {
  constexpr std::chrono::seconds longest(100'000'000);
  CHECK(detail::timespec_of(longest).get() == nullptr);
  const detail::timespec_of time(longest - std::chrono::nanoseconds(1));
  CHECK(time.get()->tv_sec == 99'999'999);
  CHECK(time.get()->tv_nsec == 999'999'999);
}

TEST_CASE("a timeout in whole microseconds is no shorter", "[backends]") {
  using std::chrono::nanoseconds;
  CHECK(detail::whole_microseconds(nanoseconds(0)) == nanoseconds(0));
  CHECK(detail::whole_microseconds(nanoseconds(1)) == nanoseconds(1000));
  CHECK(detail::whole_microseconds(nanoseconds(1000)) == nanoseconds(1000));
  CHECK(detail::whole_microseconds(nanoseconds(1001)) == nanoseconds(2000));
  CHECK(detail::whole_microseconds(nanoseconds::max()) == nanoseconds::max());
  CHECK(detail::whole_microseconds(nanoseconds::max() - nanoseconds(808)) >=
        nanoseconds::max() - nanoseconds(808));
}

TEST_CASE("the words of select's bitmaps are the kernel's", "[backends]") {
  constexpr auto bits_of_word = sizeof(detail::fd_word) * CHAR_BIT;
  for (const std::size_t handle : {std::size_t{1}, std::size_t{31}, std::size_t{33}, bits_of_word + 5}) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(static_cast<int>(handle), &set);
    detail::fd_word words[sizeof(fd_set) / sizeof(detail::fd_word)];
    std::memcpy(words, &set, sizeof words);
    CHECK(words[handle / bits_of_word] == detail::fd_word{1} << handle % bits_of_word);
  }
}

TEST_CASE("without ppoll a wait is rounded up to milliseconds", "[backends]") {
  using std::chrono::nanoseconds;
  for (const nanoseconds timeout :
       {nanoseconds(0), nanoseconds(1), nanoseconds(1'000'001), nanoseconds(3'000'000)}) {
    const auto start = std::chrono::steady_clock::now();
    CHECK(detail::poll_by_milliseconds(nullptr, 0, timeout) == 0);
    CHECK(std::chrono::steady_clock::now() - start >= timeout);
  }
  auto pipe = support::make_pipe();
  support::write_byte(pipe.writer);
  pollfd asked{pipe.reader.get(), POLLIN, 0};
  for (const nanoseconds timeout : {nanoseconds::max(), nanoseconds::max() - nanoseconds(1)})
    CHECK(detail::poll_by_milliseconds(&asked, 1, timeout) == 1);
}

TEST_CASE("closing a descriptor keeps errno and forgets it", "[backends]") {
  support::descriptor gone = support::make_pipe().reader;
  int number = gone.get();
  gone.close();
  errno = ELOOP;
  detail::close_descriptor(number);
  CHECK(errno == ELOOP);
  CHECK(number == -1);
}
#endif

#if SELECTORS_HAS_EPOLL
TEST_CASE("an epoll backend that is gone has closed its descriptor", "[backends]") {
  int number = -1;
  std::size_t all = 0;
  {
    epoll_backend backend;
    REQUIRE_FALSE(backend.open());
    CHECK(backend.native_handle() == -1);  // nobody has asked for it
    CHECK_FALSE(backend.make_front());
    number = backend.native_handle();
    CHECK(support::is_open(number));
    CHECK_FALSE(backend.reopen());
    CHECK(backend.native_handle() == number);
    all = support::open_descriptors().size();
  }
  CHECK_FALSE(support::is_open(number));
  CHECK(support::open_descriptors().size() + 3 == all);
}

TEST_CASE("epoll takes no more entries than an int counts the bytes of, twice", "[backends]") {
  constexpr std::size_t most = (std::numeric_limits<int>::max)() / sizeof(epoll_event) / 2;
  for (const std::size_t count : {most, most + 1}) {
    epoll_backend backend;
    support::allocation_budget none(0);
    const failure refused = backend.reserve(count, 0, 3);
    const bool was_tried = none.was_exceeded();
    none.lift();
    CHECK(refused.is_lack_of_memory());
    CHECK(was_tried == (count == most));
  }
}
#endif

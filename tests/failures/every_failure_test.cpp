// SPDX-License-Identifier: BSL-1.0

// Plans the first failure of a script later and later, until none happens: each system call with each error
// that its manual page lists, each allocation, and each operation of data that may throw.

#include "script.hpp"
#include "support/allocations.hpp"
#include "system_calls.hpp"

#include <set>
#include <string>

using namespace selectors;
using namespace support;

namespace {

// As in a process that has not used the library yet.
void forget_what_is_known() {
  detail::forks_are_handled = false;
  detail::process_word = nullptr;
  detail::next_process_word = 0;
#if SELECTORS_HAS_EPOLL
  detail::has_epoll_pwait2 = true;
#endif
  detail::is_ppoll_allowed = true;
  detail::is_pselect_allowed = true;
}

// Runs `body`, after which nothing may be left behind.
template <class Body>
void without_leaks(Body body) {
  const auto open = open_descriptors().size();
  const auto live = live_allocations();
  body();
  CHECK(live_allocations() == live);
  CHECK(open_descriptors().size() == open);
}

bool can_last(int error) { return error != EINTR && error != EBUSY && error != EAGAIN; }

// What is reported to the caller: the error itself, and in an exception the name of the call as well.
bool is_promised(const planned_failure& plan, std::string_view name, std::error_code error,
                 const std::string& text) {
  if (name == "epoll_pwait2") name = "epoll_wait";
  return error == std::error_code(plan.error, std::system_category()) &&
         (text.empty() || text.find(name) != std::string::npos);
}

// The name of the call that a plan would hit; empty if the script does not get there.
template <class Backend>
std::string call_number(std::size_t n) {
  forget_what_is_known();
  failing_system_calls seam({n, 0, false});
  script<Backend> all(false, [](auto, auto&) { return false; }, [&] { seam.lift(); });
  all.run();
  return std::string(seam.name());
}

template <class Backend>
int refusals_with(const planned_failure& plan, const std::string& name, bool throws) {
  forget_what_is_known();
  int refusals = 0;
  INFO(name << ", call " << plan.call << ", fails with "
            << std::error_code(plan.error, std::system_category()).message()
            << (plan.lasts ? ", and so on" : "") << (throws ? ", throwing" : ""));
  without_leaks([&] {
    failing_system_calls seam(plan);
    script<Backend> all(
        throws,
        [&](std::error_code error, const std::string& text) { return is_promised(plan, name, error, text); },
        [&] { seam.lift(); });
    if (plan.error == EPERM || (name == "kevent" && plan.error == EINVAL)) all.expect_more();
    // After a closed descriptor was found, pselect(2) is called again, and may fail: the descriptor was
    // reported nevertheless.
    if (plan.error == EINTR || name == "pselect") all.expect_interruption([&] { return seam.happened(); });
    all.run();
    CHECK(seam.happened());
    refusals = all.refusals();
  });
  return refusals;
}

}  // namespace

BACKEND_TEST_CASE("each system call fails in turn with each of its errors", "[failures]", system_backends) {
  std::set<std::string> names;
  int runs = 0, refusals = 0;
  for (std::size_t n = 0;; ++n) {
    const std::string name = call_number<TestType>(n);
    if (name.empty()) break;
    names.insert(name);
    for (const int error : errors_of(name))
      for (const bool lasts : {false, true})
        for (const bool throws : {false, true}) {
          if (lasts && !can_last(error)) continue;
          refusals += refusals_with<TestType>({n, error, lasts}, name, throws);
          ++runs;
        }
  }
  std::string all;
  for (const auto& name : names) all += " " + name;
  WARN(TestType::name << ": " << runs << " failures of" << all << ", " << refusals << " of them told");
  CHECK(names.count(std::string(TestType::wait_call)) == 1);
  CHECK(runs > 50);
  CHECK(refusals > 20);
}

TEST_CASE("each system call of a wakeup's pipe fails in turn with each of its errors", "[failures]") {
  const bool is_at_once = GENERATE(true, false);
  std::set<std::string> names;
  detail::pipe_channel first;
  REQUIRE_FALSE(first.open());  // from now on a child is recognized
  for (std::size_t n = 0;; ++n) {
    std::string name;
    const auto use = [&](const planned_failure& plan) {
      detail::pipe_channel bell;
      const auto open = [&] { return is_at_once ? bell.open() : bell.open_by<false>(); };
      failing_system_calls seam(plan);
      const in_library now;
      if (const failure failed = open()) {
        CHECK(failed.code() == std::error_code(plan.error, std::system_category()));
        CHECK(failed.call() == seam.name());
        CHECK(bell.native_handle() == -1);
        CHECK_FALSE(open());
      }
      const auto ring = [&] {
        bell.notify();
        if (!bell.reset()) CHECK(bell.reset());
        CHECK_FALSE(bell.reset());
      };
      ring();
      if (const failure failed = bell.reopen()) {
        CHECK(failed.code() == std::error_code(plan.error, std::system_category()));
        CHECK(failed.call() == seam.name());
        ring();
        CHECK_FALSE(bell.reopen());
      }
      ring();
      name = seam.name();
    };
    use({n, 0, false});
    if (name.empty()) break;
    names.insert(name);
    for (const int error : errors_of(name)) {
      INFO(name << ", call " << n << ", fails with " << error);
      without_leaks([&] { use({n, error, false}); });
    }
  }
  // The first thing it does is to reopen.
  std::set<std::string> all{"close", "dup3", "fcntl", "pipe2", "read", "write"};
  if (!is_at_once) all.insert("pipe");
  CHECK(names == all);
}

BACKEND_TEST_CASE("each allocation fails in turn", "[failures][allocation]", system_backends) {
  for (const bool throws : {false, true}) {
    for (int n = 0;; ++n) {
      INFO("allocation " << n << (throws ? ", throwing" : ""));
      int refusals = 0;
      bool happened = false;
      without_leaks([&] {
        limited_memory::left = n;
        limited_memory::was_short = false;
        script<TestType> all(
            throws, [](std::error_code error, auto&) { return error == std::errc::not_enough_memory; },
            [] { limited_memory::left = -1; });
        all.run();
        refusals = all.refusals();
        happened = limited_memory::was_short;
      });
      if (!happened) {
        CHECK(n > 3);
        break;
      }
      CHECK(refusals == 1);
    }
  }
}

BACKEND_TEST_CASE("each operation of data that may throw does in turn", "[failures][data]", system_backends) {
  for (const bool throws : {false, true}) {
    for (int n = 0;; ++n) {
      INFO("operation " << n << (throws ? ", throwing" : ""));
      int refusals = 0;
      without_leaks([&] {
        script<TestType> all(throws, [](auto, auto&) { return false; }, [] { fussy::patience = -1; });
        fussy::patience = n;
        all.run();
        refusals = all.refusals();
      });
      if (refusals == 0) {
        CHECK(n > 8);
        break;
      }
    }
  }
}

#if SELECTORS_HAS_EPOLL
TEST_CASE("a kernel or a sandbox that has no epoll_pwait2 is asked for it once", "[failures]") {
  const int error = GENERATE(ENOSYS, EPERM);
  forget_what_is_known();
  selector<void, epoll_backend> sel;
  failing_system_calls seam({0, error, false});
  const in_library now;
  CHECK(sel.select(1ms).empty());
  CHECK(seam.name() == "epoll_pwait2");
  CHECK_FALSE(detail::has_epoll_pwait2);
  forget_what_is_known();
}
#endif

TEST_CASE("a sandbox that refuses an eventfd gets a pipe", "[failures]") {
  const int error = GENERATE(ENOSYS, EPERM, EACCES);
  std::error_code refused;
  wakeup first(refused);
  failing_system_calls seam({0, error, true});
  const in_library now;
  wakeup bell(refused);
  CHECK(seam.name() == "eventfd");
  CHECK_FALSE(refused);
  const auto ring = [](wakeup& which) {
    CHECK_FALSE(which.reset());
    for (int i = 0; i != 3; ++i) which.notify();
    return which.reset() && !which.reset();
  };
  CHECK(ring(bell));
  // From one to the other and back, on the same number.
  for (int times = 0; times != 4; ++times) {
    if (times == 2) seam.lift();
    for (wakeup* one : {&first, &bell}) {
      const int number = one->native_handle();
      one->reopen(refused);
      CHECK_FALSE(refused);
      CHECK(one->native_handle() == number);
      CHECK(ring(*one));
    }
  }
}

TEST_CASE("a sandbox that refuses dup3 gets a descriptor on the same number by dup2", "[failures]") {
  const int error = GENERATE(ENOSYS, EPERM, EACCES, EINVAL);
  wakeup bell;
  const int number = bell.native_handle();
  std::error_code refused;
  failing_system_calls seam({3, error, false});
  {
    const in_library now;
    bell.reopen(refused);
  }
  CHECK(seam.name() == "dup3");
  CHECK_FALSE(refused);
  CHECK(bell.native_handle() == number);
  CHECK(is_close_on_exec(number));
}

TEST_CASE("a kernel that cannot mark a descriptor tells it by its inode", "[failures]") {
  detail::process_stamp known;  // so that opening the pipe is the first call
  REQUIRE_FALSE(known.set());
  detail::pipe_channel bell;
  {
    failing_system_calls seam({1, EINVAL, true});
    const in_library now;
    REQUIRE_FALSE(bell.open());
    CHECK(seam.name() == "fcntl");
  }
  const int number = bell.native_handle();
  CHECK_FALSE(bell.reopen());
  CHECK(bell.native_handle() == number);
}

TEST_CASE("no page of memory to know children by is an error of the call that failed", "[failures]") {
  struct plan {
    std::size_t call;
    int error;
    const char* name;
    bool is_refused;
  };
  const auto [call, error, name, is_refused] = GENERATE(
      plan{0, ENOMEM, "pthread_atfork", true}, plan{1, ENOMEM, "mmap", true}, plan{1, EAGAIN, "mmap", true},
      plan{2, ENOMEM, "madvise", true}, plan{2, EAGAIN, "madvise", true}, plan{2, EINVAL, "madvise", false},
      plan{2, ENOSYS, "madvise", false}, plan{2, EPERM, "madvise", false}, plan{2, EACCES, "madvise", false});
  const bool is_wakeup = GENERATE(true, false);
  forget_what_is_known();
  std::error_code outcome;
  std::string text;
  failing_system_calls seam({call, error, false});
  try {
    const in_library now;
    if (is_wakeup)
      wakeup();
    else
      selector<void>();
  } catch (const std::system_error& refused) {
    outcome = refused.code();
    text = refused.what();
  }
  CHECK(seam.name() == name);
  if (is_refused) {
    CHECK(outcome == std::error_code(error, std::system_category()));
    CHECK_THAT(text, contains(name) && contains(is_wakeup ? "wakeup" : "selector"));
  } else {
    CHECK_FALSE(outcome);
  }
  forget_what_is_known();
}

TEST_CASE("without memory to count forks, no selector opens", "[failures]") {
  forget_what_is_known();
  std::error_code error;
  {
    failing_system_calls seam({0, ENOMEM, false});
    const in_library now;
    selector<void> refused(error);
    CHECK(seam.name() == "pthread_atfork");
    CHECK_FALSE(refused.is_open());
  }
  CHECK(error == std::errc::not_enough_memory);
  {
    failing_system_calls seam({3, 0, false});  // and a page
    const in_library now;
    {
      selector<void, poll_backend> first(error);
    }
    {
      selector<void, poll_backend> second(error);
    }
    CHECK_FALSE(seam.happened());
  }
}

#if SELECTORS_HAS_EPOLL
TEST_CASE("no other failure is taken for a kernel without epoll_pwait2", "[failures]") {
  forget_what_is_known();
  selector<void, epoll_backend> sel;
  failing_system_calls seam({0, EINTR, false});
  const in_library now;
  CHECK(sel.select(1h).empty());
  CHECK(seam.name() == "epoll_pwait2");
  CHECK(detail::has_epoll_pwait2);
}

TEST_CASE("a wait for ever or not at all is an epoll_wait", "[failures]") {
  selector<void, epoll_backend> sel;
  wakeup bell;
  sel.register_(bell, event::read);
  bell.notify();
  const bool is_endless = GENERATE(true, false);
  failing_system_calls seam({0, 0, false});
  const in_library now;
  CHECK_FALSE((is_endless ? sel.select() : sel.select(0s)).empty());
  CHECK(seam.name() == "epoll_wait");
}

TEST_CASE("reopening is tried again when it was interrupted, or met another thread's opening", "[failures]") {
  const int error = GENERATE(EINTR, EBUSY);
  wakeup bell;
  const int number = bell.native_handle();
  failing_system_calls seam({3, error, false});
  const in_library now;
  std::error_code refused;
  bell.reopen(refused);
  CHECK(seam.name() == "dup3");
  CHECK_FALSE(refused);
  CHECK(bell.native_handle() == number);
}

TEST_CASE("what is not exclusive is modified by one call", "[failures]") {
  selector<void, epoll_backend> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  failing_system_calls seam({1, 0, false});
  const in_library now;
  sel.modify(pipe.reader, oneshot(event::read));
  CHECK_FALSE(seam.happened());
}
#endif

TEST_CASE("a closed descriptor that pselect found is told, though it fails then", "[failures]") {
  const int error = GENERATE(ENOMEM, EINTR);
  selector<void, select_backend> sel;
  descriptor gone = make_pipe().reader;
  const int number = gone.get();
  sel.register_(number, event::read);
  gone.close();
  failing_system_calls seam({2, error, false});  // after the first pselect, and fcntl
  const in_library now;
  std::error_code refused;
  int told = 0;
  for (auto [key, events] : sel.select(1s, refused)) told += events == (event::read | event::error) ? 1 : 0;
  CHECK(seam.name() == "pselect");
  CHECK_FALSE(refused);
  CHECK(told == 1);
}

TEST_CASE("a pselect that was interrupted is not asked again", "[failures]") {
  selector<void, select_backend> sel;
  auto pipe = make_pipe();
  sel.register_(pipe.reader, event::read);
  failing_system_calls seam({0, EINTR, false});
  const in_library now;
  CHECK(sel.select(1h).empty());
  CHECK(seam.name() == "pselect");
}

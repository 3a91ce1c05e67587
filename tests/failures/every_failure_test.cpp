// SPDX-License-Identifier: BSL-1.0

// The first failure of a script is planned ever later, until none happens: each system call with each error that its
// manual page lists, each allocation, and each operation of data that may throw.

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
  detail::forks_are_counted = false;
#if SELECTORS_HAS_EPOLL
  detail::has_epoll_pwait2 = true;
#endif
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

// What the caller is told of: the error itself, with the call's name in what is thrown.
bool is_promised(const planned_failure& plan, std::string_view name, std::error_code error,
                 const std::string& text) {
  if (name == "pthread_atfork") return error == std::errc::not_enough_memory;
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
    // Having found a closed descriptor, pselect(2) is asked again, and that may fail: what is told is told.
    if (plan.error == EINTR || name == "pselect") all.expect_interruption([&] { return seam.happened(); });
    all.run();
    CHECK(seam.happened());
    refusals = all.refusals();
  });
  return refusals;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("each system call fails in turn with each of its errors", "[failures]",
                        system_backends) {
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
      bell.notify();
      if (!bell.reset()) CHECK(bell.reset());
      CHECK_FALSE(bell.reset());
      name = seam.name();
    };
    use({n, 0, false});
    if (name.empty() || name == "close") break;
    names.insert(name);
    for (const int error : errors_of(name)) {
      INFO(name << ", call " << n << ", fails with " << error);
      without_leaks([&] { use({n, error, false}); });
    }
  }
  const std::set<std::string> opening =
      is_at_once ? std::set<std::string>{"pipe2"} : std::set<std::string>{"pipe", "fcntl"};
  for (const auto& name : opening) CHECK(names.count(name) == 1);
  CHECK(names.size() == opening.size() + 2);  // write and read
}

TEMPLATE_LIST_TEST_CASE("each allocation fails in turn", "[failures][allocation]", system_backends) {
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

TEMPLATE_LIST_TEST_CASE("each operation of data that may throw does in turn", "[failures][data]",
                        system_backends) {
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
    failing_system_calls seam({2, 0, false});
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
  selector<void, epoll_backend> sel;
  failing_system_calls seam({1, error, false});
  const in_library now;
  std::error_code refused;
  sel.reopen(refused);
  CHECK(seam.name() == "dup3");
  CHECK_FALSE(refused);
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
